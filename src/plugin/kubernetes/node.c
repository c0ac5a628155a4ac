/* Draft → node: the address sets of a service, packed. */
#include "plugin/kubernetes/index_int.h"
#include "base/rng.h"
#include "wire/name.h"
#include <stdlib.h>

enum { RR_HEAD = 10, FEW = 16 };

/* ---- endpoint names ---- */

size_t fl_k8s_endpoint_name(char to[256], const struct fl_slice *s, uint32_t i, bool pod_names)
{
	const struct fl_endpoint *e = &s->ep[i];
	struct fl_str name = fl_slice_text(s, e->hostname);
	if (!name.n && pod_names && e->pod && (name = fl_slice_text(s, e->pod)).n > FL_LABEL_MAX)
		name.n = 0;             /* CoreDNS: only one that makes a label (plugin/kubernetes/object/endpoint.go) */
	if (name.n) {
		name.n = name.n < 255 ? name.n : 255;
		memcpy(to, name.p, name.n);
		return name.n;
	}
	name = fl_slice_text(s, e->spelling);
	size_t n = name.n < 46 ? name.n : 45;
	if (n)
		memcpy(to, name.p, n);
	else
		n = fl_ip_text(to, fl_k8s_addr(s, i), s->alen);
	char from = memchr(to, '.', n) ? '.' : ':';
	for (size_t k = 0; k < n; k++)
		to[k] = to[k] == from ? '-' : to[k];
	if (from == ':' && n && to[n - 1] == '-')
		to[n++] = '0';
	return n;
}

/* ---- packing addresses ---- */

struct pack { struct fl_rrset *set; uint8_t *to; uint8_t alen; uint32_t ttl; struct fl_seen *seen; };

static bool met(const struct pack *p, const uint8_t *addr)
{
	if (p->seen)
		return !fl_seen_new(p->seen, fl_hash(addr, p->alen));
	unsigned size = RR_HEAD + p->alen;
	for (unsigned i = 0; i < p->set->count; i++)
		if (!memcmp(p->set->data + i * size + RR_HEAD, addr, p->alen))
			return true;
	return false;
}

static void put_addr(struct pack *p, const uint8_t *addr)
{
	if (p->set->count >= FL_K8S_RECORDS_MAX || met(p, addr))
		return;
	uint8_t *r = p->to + p->set->len;
	fl_put16(r, p->set->type);
	fl_put16(r + 2, FL_C_IN);
	fl_put32(r + 4, p->ttl);
	fl_put16(r + 8, p->alen);
	memcpy(r + RR_HEAD, addr, p->alen);
	p->set->count++;
	p->set->len += RR_HEAD + p->alen;
}

/* How many addresses of a family there may be, at most. */
static uint32_t count_family(const struct fl_k8s_draft *d, uint8_t kind, uint8_t alen)
{
	uint32_t n = 0;
	for (unsigned i = 0; kind == FL_K8S_VIP && i < d->svc->nip; i++)
		n += d->svc->ip[i].len == alen;
	for (uint32_t k = 0; kind == FL_K8S_HEADLESS && k < d->nslice; k++)
		for (uint32_t i = 0; d->slice[k]->alen == alen && i < d->slice[k]->nep; i++)
			n += fl_k8s_ready(d->slice[k], i);
	return n < FL_K8S_RECORDS_MAX ? n : FL_K8S_RECORDS_MAX;
}

static void pack_family(const struct fl_k8s_draft *d, struct fl_k8s_node *n, uint8_t alen, uint32_t max, uint32_t ttl, uint8_t *to)
{
	struct fl_seen seen = { .cap = fl_seen_cap(max) };
	struct pack p = { alen == 4 ? &n->a : &n->aaaa, to, alen, ttl, max > FEW ? &seen : NULL };
	if (p.seen)
		seen.slot = fl_xalloc(seen.cap * sizeof *seen.slot);
	*p.set = (struct fl_rrset){ .type = alen == 4 ? FL_T_A : FL_T_AAAA, .stride = (uint16_t)(RR_HEAD + alen), .data = to };
	for (unsigned i = 0; n->kind == FL_K8S_VIP && i < d->svc->nip; i++)
		if (d->svc->ip[i].len == alen)
			put_addr(&p, d->svc->ip[i].b);
	for (uint32_t k = 0; n->kind == FL_K8S_HEADLESS && k < d->nslice; k++)
		for (uint32_t i = 0; d->slice[k]->alen == alen && i < d->slice[k]->nep; i++)
			if (fl_k8s_ready(d->slice[k], i))
				put_addr(&p, fl_k8s_addr(d->slice[k], i));
	free(seen.slot);
}

static void pack_alias(struct fl_k8s_node *n, const uint8_t *target, int len, uint32_t ttl, uint8_t *to)
{
	fl_put16(to, FL_T_CNAME);
	fl_put16(to + 2, FL_C_IN);
	fl_put32(to + 4, ttl);
	fl_put16(to + 8, (uint16_t)len);
	memcpy(to + RR_HEAD, target, (size_t)len);
	n->a = (struct fl_rrset){ .type = FL_T_CNAME, .count = 1, .len = (uint32_t)(RR_HEAD + len), .data = to };
}

/* ---- what a service is ---- */

static bool any_ready(const struct fl_k8s_draft *d)
{
	for (uint32_t k = 0; k < d->nslice; k++)
		for (uint32_t i = 0; i < d->slice[k]->nep; i++)
			if (fl_k8s_ready(d->slice[k], i))
				return true;
	return false;
}

/* An alias' target in wire form; 0: it has none that is a name (an IP address makes no record). */
static int target_of(const struct fl_service *s, uint8_t to[FL_NAME_MAX])
{
	struct fl_ip ip;
	int n = fl_ip_parse(s->external_name, &ip) ? 0 : fl_name_parse(to, s->external_name);
	return n > 0 ? n : 0;
}

static uint8_t kind_of(const struct fl_k8s_index *ix, const struct fl_k8s_draft *d, bool ready, int target)
{
	if (!d->svc)
		return FL_K8S_HIDDEN;
	if (d->svc->type == FL_EXTERNAL_NAME && !d->multicluster)
		return target ? FL_K8S_ALIAS : FL_K8S_HIDDEN;
	if (d->svc->headless)
		return FL_K8S_HEADLESS;
	return ix->how.ignore_empty && !ready ? FL_K8S_HIDDEN : FL_K8S_VIP;
}

static bool is_local(const struct fl_k8s_index *ix, const struct fl_slice *s)
{
	for (unsigned l = 0; l < ix->how.nlocal; l++)
		for (uint32_t i = 0; s->alen == ix->how.local[l].len && i < s->nep; i++)
			if (!memcmp(fl_k8s_addr(s, i), ix->how.local[l].b, s->alen) && fl_k8s_ready(s, i))
				return true;
	return false;
}

static bool any_local(const struct fl_k8s_index *ix, const struct fl_k8s_draft *d)
{
	for (uint32_t k = 0; k < d->nslice; k++)
		if (is_local(ix, d->slice[k]))
			return true;
	return false;
}

/* ---- the node ---- */

static size_t round8(size_t n) { return (n + 7) & ~(size_t)7; }
static size_t head_of(uint32_t nslice) { return round8(sizeof(struct fl_k8s_node)) + nslice * sizeof(void *); }

size_t fl_k8s_node_bytes(const struct fl_k8s_node *n) { return head_of(n->nslice) + n->nkey + n->a.len + n->aaaa.len; }

struct fl_k8s_node *fl_k8s_node_build(struct fl_k8s_index *ix, const struct fl_k8s_draft *d, struct fl_k8s_ns *ns, size_t *bytes)
{
	uint8_t target[FL_NAME_MAX];
	if (!d->svc && !d->nslice)
		return NULL;
	bool ready = any_ready(d);
	int ntarget = d->svc && d->svc->type == FL_EXTERNAL_NAME ? target_of(d->svc, target) : 0;
	uint8_t kind = kind_of(ix, d, ready, ntarget);
	uint32_t n4 = count_family(d, kind, 4), n6 = count_family(d, kind, 16);
	size_t head = head_of(d->nslice), alias = kind == FL_K8S_ALIAS ? RR_HEAD + (size_t)ntarget : 0;
	struct fl_k8s_node *n = fl_xalloc(head + d->nkey + n4 * (RR_HEAD + 4) + n6 * (RR_HEAD + 16) + alias);
	const struct fl_slice **slice = (void *)((char *)n + round8(sizeof *n));
	uint8_t *key = (uint8_t *)n + head, *data = key + d->nkey;
	*n = (struct fl_k8s_node){ .kind = kind, .nkey = d->nkey, .local = any_local(ix, d), .ready = ready,
				   .hash = d->hash, .nslice = d->nslice, .ns = ns, .svc = d->svc, .slice = slice, .key = key };
	if (d->nslice)
		memcpy(slice, d->slice, d->nslice * sizeof *slice);
	memcpy(key, d->key, d->nkey);
	if (alias) {
		pack_alias(n, target, ntarget, ix->how.ttl, data);
	} else {
		pack_family(d, n, 4, n4, ix->how.ttl, data);
		pack_family(d, n, 16, n6, ix->how.ttl, data + n4 * (RR_HEAD + 4));
	}
	*bytes = fl_k8s_node_bytes(n);
	return n;
}

/* ---- NS names ---- */

enum { SELVES_MAX = 256, FRONT_MAX = 256 };
struct selves { struct fl_k8s_self at[SELVES_MAX]; uint8_t front[SELVES_MAX][FRONT_MAX]; unsigned n; };

static uint8_t put_labels(uint8_t *to, const char *endpoint, size_t nendpoint, const uint8_t *key, unsigned nkey)
{
	static const uint8_t svc[] = "\3svc";
	size_t n = 0;
	if (nendpoint > FL_LABEL_MAX || memchr(endpoint, '.', nendpoint))
		return 0;
	if (nendpoint) {
		to[n++] = (uint8_t)nendpoint;
		memcpy(to + n, endpoint, nendpoint);
		n += nendpoint;
	}
	memcpy(to + n, key, nkey);
	memcpy(to + n + nkey, svc, 4);
	n += nkey + 4;
	return n < FL_NAME_MAX ? (uint8_t)n : 0;
}

static void selves_add(struct selves *s, const char *endpoint, size_t nendpoint, const struct fl_k8s_node *node, const uint8_t *b,
		       uint8_t len)
{
	if (s->n == SELVES_MAX || !len)
		return;
	struct fl_k8s_self *e = &s->at[s->n];
	*e = (struct fl_k8s_self){ .front = s->front[s->n], .ip.len = len };
	memcpy(e->ip.b, b, len);
	e->nfront = put_labels(s->front[s->n], endpoint, nendpoint, node->key, node->nkey);
	for (unsigned i = 0; i < s->n; i++)
		if (s->at[i].nfront == e->nfront && !memcmp(s->at[i].front, e->front, e->nfront) &&
		    s->at[i].ip.len == len && !memcmp(s->at[i].ip.b, b, len))
			return;
	s->n += e->nfront != 0;
}

/* CoreDNS plugin/kubernetes/ns.go: the cluster IPs of a service whose endpoint this is, or all endpoints of the slice it is in. */
static void selves_of(struct selves *s, const struct fl_k8s_index *ix, const struct fl_k8s_node *n, enum fl_k8s_view v)
{
	char name[256];
	struct fl_ip ip;
	if (!n->svc)
		return;
	bool endpoints = n->svc->headless && v != FL_K8S_OUTSIDE;
	for (unsigned i = 0; !endpoints && v == FL_K8S_INSIDE && i < n->svc->nip; i++)
		selves_add(s, "", 0, n, n->svc->ip[i].b, n->svc->ip[i].len);
	for (unsigned i = 0; !endpoints && v != FL_K8S_INSIDE && i < n->svc->nexternal; i++)
		if (fl_ip_parse(n->svc->external[i], &ip))
			selves_add(s, "", 0, n, ip.b, ip.len);
	for (uint32_t k = 0; endpoints && k < n->nslice; k++) {
		const struct fl_slice *sl = n->slice[k];
		uint32_t nep = is_local(ix, sl) ? sl->nep : 0;
		for (uint32_t i = 0; i < nep && s->n < SELVES_MAX; i++)
			if (fl_k8s_ready(sl, i))
				selves_add(s, name, fl_k8s_endpoint_name(name, sl, i, ix->how.pod_names), n, fl_k8s_addr(sl, i),
					   sl->alen);
	}
}

struct fl_k8s_selves *fl_k8s_selves_build(const struct fl_k8s_index *ix, enum fl_k8s_view v, size_t *bytes)
{
	static const uint8_t fallback[] = "\2ns\3dns";
	struct selves *s = fl_xalloc(sizeof *s);
	for (unsigned i = 0; i < ix->nlocal; i++)
		selves_of(s, ix, ix->local[i], v);
	for (unsigned i = 0; !ix->nlocal && i < ix->how.nlocal && i < SELVES_MAX; i++) {
		memcpy(s->front[i], fallback, sizeof fallback - 1);
		s->at[s->n++] = (struct fl_k8s_self){ s->front[i], sizeof fallback - 1, ix->how.local[i] };
	}
	size_t n = 0;
	for (unsigned i = 0; i < s->n; i++)
		n += s->at[i].nfront;
	*bytes = sizeof(struct fl_k8s_selves) + s->n * sizeof *s->at + n;
	struct fl_k8s_selves *out = fl_xalloc(*bytes);
	uint8_t *to = (uint8_t *)&out->at[s->n];
	for (unsigned i = 0; i < s->n; i++) {
		out->at[out->n] = s->at[i];
		out->at[out->n++].front = memcpy(to, s->at[i].front, s->at[i].nfront);
		to += s->at[i].nfront;
	}
	free(s);
	return out;
}

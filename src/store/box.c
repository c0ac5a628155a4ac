/* Inputs → one packed block each. */
#include "store/store_int.h"
#include "base/err.h"
#include "base/rng.h"

enum { PLAIN = FL_EP_READY | FL_EP_SERVING, PLAIN_MAX = 256 };

/* ---- digests ---- */

static void mix(uint64_t *h, uint64_t v)
{
	unsigned __int128 m = (unsigned __int128)(*h ^ v) * 0x9e3779b97f4a7c15ull;
	*h = (uint64_t)m ^ (uint64_t)(m >> 64) ^ 0x243f6a8885a308d3ull;
}

static void mix_str(uint64_t *h, struct fl_str s)
{
	mix(h, s.n);
	if (s.n)
		mix(h, fl_hash(s.p, s.n));
}

uint64_t fl_digest_ports(const struct fl_port_in *p, unsigned n)
{
	uint64_t h = n;
	for (unsigned i = 0; i < n; i++) {
		mix_str(&h, p[i].name);
		mix_str(&h, p[i].protocol);
		mix_str(&h, p[i].app_protocol);
		mix(&h, (uint64_t)p[i].port);
	}
	return h;
}

uint64_t fl_digest_service(const struct fl_service_in *in)
{
	uint64_t h = 1;
	mix_str(&h, in->type);
	mix_str(&h, in->external_name);
	mix(&h, in->ncluster_ip);
	for (unsigned i = 0; i < in->ncluster_ip; i++)
		mix_str(&h, in->cluster_ip[i]);
	mix(&h, in->nexternal);
	for (unsigned i = 0; i < in->nexternal; i++)
		mix_str(&h, in->external[i]);
	mix(&h, fl_digest_ports(in->port, in->nport));
	mix(&h, in->publish_not_ready);
	return h;
}

uint64_t fl_digest_slice(const struct fl_slice_in *in, const struct fl_store_wants *w)
{
	uint64_t h = 2;
	mix_str(&h, in->service);
	mix_str(&h, in->cluster);
	mix_str(&h, in->address_type);
	mix(&h, fl_digest_ports(in->port, in->nport));
	mix(&h, in->nep);
	for (unsigned i = 0; i < in->nep; i++) {
		const struct fl_endpoint_in *e = &in->ep[i];
		mix(&h, e->flags | (uint64_t)e->naddress << 8);
		for (unsigned k = 0; k < e->naddress; k++)
			mix_str(&h, e->address[k]);
		mix_str(&h, e->hostname);
		if (w->pod_names)
			mix_str(&h, e->pod);
		if (w->zones)
			mix_str(&h, e->zone);
		if (w->nodes)
			mix_str(&h, e->node);
	}
	return h;
}

uint64_t fl_digest_pod(const struct fl_pod_in *in, const struct fl_store_wants *w)
{
	uint64_t h = 3;
	mix(&h, in->nip);
	for (unsigned i = 0; i < in->nip; i++)
		mix_str(&h, in->ip[i]);
	for (unsigned i = 0; w->pod_labels && i < in->nlabel; i++) {
		mix_str(&h, in->label[i].key);
		mix_str(&h, in->label[i].value);
	}
	return h;
}

/* ---- blocks ---- */

/* Cuts one allocation into parts; the first pass counts, the second places. */
struct cut { char *base; size_t at; };

static void *part(struct cut *c, size_t n, size_t align)
{
	c->at = (c->at + align - 1) & ~(align - 1);
	void *p = c->base ? c->base + c->at : NULL;
	c->at += n;
	return p;
}

static struct fl_str put_str(struct cut *c, struct fl_str s)
{
	char *p = part(c, s.n + 1, 1);
	if (p)
		fl_put_bytes(p, s.p, s.n);
	return (struct fl_str){ p ? p : "", s.n };
}

static uint64_t rv_of(struct fl_str rv)
{
	int64_t n;
	return !fl_parse_int(rv, 0, INT64_MAX, &n) ? (uint64_t)n : rv.n ? fl_hash(rv.p, rv.n) : 0;
}

/* The head of every object. size: of its struct. */
static struct fl_object *head(struct cut *c, size_t size, enum fl_kind kind, const struct fl_meta_in *in,
			      const struct fl_shared *sh)
{
	struct fl_box *b = part(c, sizeof *b + size, 8);
	struct fl_str name = put_str(c, in->name);
	if (!b)
		return NULL;
	b->shared = *sh;
	struct fl_object *o = (struct fl_object *)(b + 1);
	o->kind = (uint8_t)kind;
	o->rv = rv_of(in->rv);
	o->ns = (struct fl_str){ sh->ns->text, sh->ns->n };
	o->name = name;
	return o;
}

static void finish(const struct cut *c, struct fl_object *o) { fl_box_of(o)->bytes = (uint32_t)c->at; }

#define TWICE(c) for (int pass_ = 0; pass_ < 2; (c).base = pass_++ ? (c).base : fl_xalloc((c).at), (c).at = pass_ == 1 ? 0 : (c).at)

struct fl_object *fl_box_namespace(const struct fl_meta_in *in, const struct fl_shared *sh)
{
	struct cut c = { 0 };
	struct fl_object *o = NULL;
	TWICE(c)
		o = head(&c, sizeof(struct fl_namespace), FL_KIND_NAMESPACE, in, sh);
	finish(&c, o);
	return o;
}

static uint8_t type_of(struct fl_str t)
{
	return fl_str_is(t, "ExternalName") ? FL_EXTERNAL_NAME : fl_str_is(t, "LoadBalancer") ? FL_LOAD_BALANCER
		: fl_str_is(t, "NodePort") ? FL_NODE_PORT : FL_CLUSTER_IP;
}

struct fl_object *fl_box_service(enum fl_kind kind, const struct fl_service_in *in, const struct fl_shared *sh, const char **what)
{
	struct cut c = { 0 };
	struct fl_service *s = NULL;
	unsigned nip = 0, nexternal = in->nexternal < UINT16_MAX ? in->nexternal : UINT16_MAX;
	struct fl_ip ips[8];
	bool headless = (in->ncluster_ip && fl_str_is(in->cluster_ip[0], "None")) ||
			(kind == FL_KIND_IMPORT && fl_str_is(in->type, "Headless"));
	for (unsigned i = 0; i < in->ncluster_ip && nip < FL_COUNT(ips) && !headless; i++)
		if (fl_ip_parse(in->cluster_ip[i], &ips[nip]) || !in->cluster_ip[i].n)
			nip++;
		else
			*what = "a cluster IP that is no address";
	TWICE(c) {
		s = (struct fl_service *)head(&c, sizeof *s, kind, &in->meta, sh);
		struct fl_ip *ip = part(&c, nip * sizeof *ip, 1);
		struct fl_str *ext = part(&c, nexternal * sizeof *ext, 8), name = put_str(&c, in->external_name);
		for (unsigned i = 0; i < nexternal; i++) {
			struct fl_str e = put_str(&c, in->external[i]);
			if (ext)
				ext[i] = e;
		}
		if (!s)
			continue;
		fl_put_bytes(ip, ips, nip * sizeof *ip);
		s->type = type_of(in->type);
		s->headless = headless;
		s->publish_not_ready = in->publish_not_ready;
		s->nip = (uint8_t)nip;
		s->ip = ip;
		s->nport = (uint16_t)sh->ports->n;
		s->port = sh->ports->port;
		s->nexternal = (uint16_t)nexternal;
		s->external = ext;
		s->external_name = name;
	}
	finish(&c, &s->o);
	return &s->o;
}

/* ---- slices ---- */

/* A string among those of the slice; 0 when it is empty or not wanted. */
static uint32_t put_text(struct cut *c, const char *text, struct fl_str s, bool wanted)
{
	if (!s.n || !wanted)
		return 0;
	size_t at = c->at;
	put_str(c, s);
	return c->base ? (uint32_t)(c->base + at - text) : 1;
}

static uint32_t put_spelling(struct cut *c, const char *text, struct fl_str given, const struct fl_ip *ip)
{
	char canonical[46];
	size_t n = fl_ip_text(canonical, ip->b, ip->len);
	return put_text(c, text, given, !fl_str_eq(given, (struct fl_str){ canonical, n }));
}

/* Most endpoints say nothing of themselves but that they are ready: these entries all slices share. */
static const struct fl_endpoint *plain(void)
{
	static struct fl_endpoint shared[PLAIN_MAX];
	for (int i = 0; !shared[PLAIN_MAX - 1].flags && i < PLAIN_MAX; i++)
		shared[i].flags = PLAIN;
	return shared;
}

static bool is_plain(const struct fl_slice_in *in, const struct fl_store_wants *w, uint8_t alen, uint32_t total)
{
	bool same = alen == 4 && total <= PLAIN_MAX;    /* an IPv6 address may have a spelling of its own */
	for (unsigned i = 0; i < in->nep && same; i++) {
		const struct fl_endpoint_in *e = &in->ep[i];
		same = e->flags == PLAIN && !e->hostname.n && !(w->pod_names && e->pod.n) && !(w->zones && e->zone.n) &&
		       !(w->nodes && e->node.n);
	}
	return same;
}

/* Places the endpoints of the slice's family. */
static void put_endpoints(struct cut *c, struct fl_slice *s, const struct fl_slice_in *in, uint8_t alen, uint32_t total,
			  const struct fl_store_wants *w, const char **what)
{
	bool shared = is_plain(in, w, alen, total);
	struct fl_endpoint *ep = part(c, shared ? 0 : total * sizeof *ep, 4);
	uint8_t *addr = part(c, (size_t)total * alen, 1);
	char *text = part(c, 1, 1);
	uint32_t n = 0;
	for (unsigned i = 0; i < in->nep && alen; i++)
		for (unsigned k = 0; k < in->ep[i].naddress; k++) {
			const struct fl_endpoint_in *e = &in->ep[i];
			struct fl_ip ip;
			if (!fl_ip_parse(e->address[k], &ip) || ip.len != alen) {
				*what = "an endpoint whose address is not of the slice's family";
				continue;
			}
			struct fl_endpoint p = { put_text(c, text, e->hostname, true), put_text(c, text, e->pod, w->pod_names),
						 put_text(c, text, e->zone, w->zones), put_text(c, text, e->node, w->nodes),
						 alen == 16 ? put_spelling(c, text, e->address[k], &ip) : 0, e->flags };
			if (s) {
				if (!shared)
					ep[n] = p;
				memcpy(addr + (size_t)n * alen, ip.b, alen);
			}
			n++;
		}
	if (s) {
		s->ep = shared ? plain() : ep;
		s->addr = addr;
		s->text = text;
		s->nep = n;
	}
}

struct fl_object *fl_box_slice(enum fl_kind kind, const struct fl_slice_in *in, const struct fl_store_wants *w,
			       const struct fl_shared *sh, const char **what)
{
	struct cut c = { 0 };
	struct fl_slice *s = NULL;
	uint32_t total = 0;
	uint8_t alen = fl_str_is(in->address_type, "IPv4") ? 4 : fl_str_is(in->address_type, "IPv6") ? 16 : 0;
	if (!alen && !fl_str_is(in->address_type, "FQDN"))
		*what = "an addressType that is neither IPv4 nor IPv6 nor FQDN";
	for (unsigned i = 0; i < in->nep; i++)
		total += in->ep[i].naddress;
	total = alen ? total : 0;
	TWICE(c) {
		s = (struct fl_slice *)head(&c, sizeof *s, kind, &in->meta, sh);
		struct fl_str cluster = put_str(&c, in->cluster);
		put_endpoints(&c, s, in, alen, total, w, what);
		if (!s)
			continue;
		s->service = (struct fl_str){ sh->service->text, sh->service->n };
		s->cluster = cluster;
		s->alen = alen;
		s->nport = (uint16_t)sh->ports->n;
		s->port = sh->ports->port;
		s->trigger_ns = in->trigger_ns;
	}
	finish(&c, &s->o);
	return &s->o;
}

struct fl_object *fl_box_pod(const struct fl_pod_in *in, const struct fl_store_wants *w, const struct fl_shared *sh,
			     const char **what)
{
	struct cut c = { 0 };
	struct fl_pod *p = NULL;
	struct fl_ip ips[8];
	unsigned nip = 0, nlabel = !w->pod_labels ? 0 : in->nlabel < UINT16_MAX ? in->nlabel : UINT16_MAX;
	for (unsigned i = 0; i < in->nip && nip < FL_COUNT(ips); i++)
		if (fl_ip_parse(in->ip[i], &ips[nip]))
			nip++;
		else
			*what = "a pod IP that is no address";
	TWICE(c) {
		p = (struct fl_pod *)head(&c, sizeof *p, FL_KIND_POD, &in->meta, sh);
		struct fl_ip *ip = part(&c, nip * sizeof *ip, 1);
		struct fl_label_in *label = part(&c, nlabel * sizeof *label, 8);
		for (unsigned i = 0; i < nlabel; i++) {
			struct fl_label_in l = { put_str(&c, in->label[i].key), put_str(&c, in->label[i].value) };
			if (label)
				label[i] = l;
		}
		if (!p)
			continue;
		fl_put_bytes(ip, ips, nip * sizeof *ip);
		p->nip = (uint8_t)nip;
		p->ip = ip;
		p->nlabel = (uint16_t)nlabel;
		p->label = label;
	}
	finish(&c, &p->o);
	return &p->o;
}

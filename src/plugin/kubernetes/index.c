#include "plugin/kubernetes/index.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "plugin/kubernetes/endpoints.h"
#include "plugin/kubernetes/metrics.h"
#include "plugin/kubernetes/table.h"
#include <stdlib.h>

enum { RECLAIM_BYTES = 1 << 20 };

/* Services of one cluster IP, ordered by namespace and name. */
struct ip_entry { struct fl_ip ip; uint32_t n, cap; const struct fl_service *service[]; };

struct k8s_index {
	struct fl_subscriber sub;
	struct fl_store *store;
	uint32_t ttl_s, serial;
	struct k8s_table nodes, ips, namespaces;
	struct k8s_endpoints endpoints;
	struct fl_rcu_bin bin;
	uint64_t binned_ns;
	size_t bytes;
};

static uint64_t hash_name(struct fl_str ns, struct fl_str name)
{
	return fl_hash_fold(name.p, name.n) + 31 * fl_hash_fold(ns.p, ns.n);
}
static uint64_t hash_node(const void *item)
{
	const struct k8s_node *n = item;
	return hash_name(n->ns, n->name);
}
static uint64_t hash_ip(const void *item)
{
	const struct ip_entry *e = item;
	return fl_hash(e->ip.b, e->ip.len);
}
static uint64_t hash_namespace(const void *item)
{
	const struct fl_object *o = item;
	return fl_hash_fold(o->name.p, o->name.n);
}

/* ---- reading ---- */

const struct k8s_node *fl_k8s_find(const struct k8s_index *x, struct fl_str ns, struct fl_str name)
{
	const struct k8s_node *n;
	for (struct k8s_probe p = fl_k8s_probe(&x->nodes, hash_name(ns, name)); (n = fl_k8s_probe_next(&p));)
		if (fl_str_ieq(n->name, name) && fl_str_ieq(n->ns, ns))
			return n;
	return NULL;
}

bool fl_k8s_namespace(const struct k8s_index *x, struct fl_str name)
{
	const struct fl_object *o;
	for (struct k8s_probe p = fl_k8s_probe(&x->namespaces, fl_hash_fold(name.p, name.n)); (o = fl_k8s_probe_next(&p));)
		if (fl_str_ieq(o->name, name))
			return true;
	return false;
}

static struct ip_entry *find_ip(const struct k8s_index *x, const uint8_t *b, uint8_t len)
{
	struct ip_entry *e;
	for (struct k8s_probe p = fl_k8s_probe(&x->ips, fl_hash(b, len)); (e = fl_k8s_probe_next(&p));)
		if (e->ip.len == len && !memcmp(e->ip.b, b, len))
			return e;
	return NULL;
}

const struct fl_service *fl_k8s_by_ip(const struct k8s_index *x, const uint8_t *b, uint8_t len)
{
	const struct ip_entry *e = find_ip(x, b, len);
	return e ? e->service[0] : NULL;
}

void fl_k8s_by_endpoint(const struct k8s_index *x, const uint8_t *b, uint8_t len,
			bool (*fn)(void *arg, const struct fl_slice *s, uint32_t slot), void *arg)
{
	fl_k8s_endpoints_find(&x->endpoints, b, len, fn, arg);
}

uint32_t fl_k8s_serial(const struct k8s_index *x) { return __atomic_load_n(&x->serial, __ATOMIC_RELAXED); }
bool fl_k8s_synced(const struct k8s_index *x) { return fl_store_synced(x->store); }

/* ---- nodes ---- */

static void throw_away(struct k8s_index *x, void *p, size_t n)
{
	if (!x->bin.n)
		x->binned_ns = fl_clock_ns();
	fl_rcu_free_later(&x->bin, p, n);
}

static size_t node_size(unsigned nslice, unsigned na, unsigned naaaa)
{
	return sizeof(struct k8s_node) + nslice * sizeof(struct fl_slice *) + 14u * na + 26u * naaaa;
}

/* Packs addresses of one length behind each other as records; each address once. Returns where the next may go. */
static uint8_t *put_address(struct fl_rrset *set, uint8_t *to, const uint8_t *addr, uint8_t len, uint32_t ttl)
{
	uint16_t stride = (uint16_t)(10 + len);
	for (unsigned i = 0; i < set->count; i++)
		if (!memcmp(set->data + i * stride + 10, addr, len))
			return to;
	fl_put16(to, len == 4 ? FL_T_A : FL_T_AAAA);
	fl_put16(to + 2, FL_C_IN);
	fl_put32(to + 4, ttl);
	fl_put16(to + 8, len);
	memcpy(to + 10, addr, len);
	set->count++;
	set->len += stride;
	return to + stride;
}

static bool one_of(const struct k8s_node *n, const struct fl_slice *s)
{
	for (unsigned i = 0; i < n->nslice; i++)
		if (n->slice[i] == s)
			return true;
	return false;
}

/* Upper bounds of what the sets will hold. */
static void count(const struct k8s_node *n, unsigned *na, unsigned *naaaa, uint32_t *nready)
{
	const struct fl_service *v = n->service;
	*na = *naaaa = 0;
	*nready = 0;
	for (unsigned i = 0; i < n->nslice; i++)
		for (unsigned e = 0; e < n->slice[i]->nep; e++) {
			if (!(n->slice[i]->ep[e].flags & FL_EP_READY))
				continue;
			++*nready;
			if (v && v->headless)
				++*(n->slice[i]->alen == 4 ? na : naaaa);
		}
	for (unsigned i = 0; v && !v->headless && i < v->nip; i++) {
		*na += v->ip[i].len == 4;
		*naaaa += v->ip[i].len == 16;
	}
}

static void pack(struct k8s_node *n, uint32_t ttl, unsigned na)
{
	const struct fl_service *v = n->service;
	uint8_t *a = (uint8_t *)&n->slice[n->nslice], *aaaa = a + 14u * na;
	n->a = (struct fl_rrset){ .type = FL_T_A, .stride = 14, .data = a };
	n->aaaa = (struct fl_rrset){ .type = FL_T_AAAA, .stride = 26, .data = aaaa };
	for (unsigned i = 0; v && !v->headless && i < v->nip; i++)
		if (v->ip[i].len == 4)
			a = put_address(&n->a, a, v->ip[i].b, 4, ttl);
		else if (v->ip[i].len == 16)
			aaaa = put_address(&n->aaaa, aaaa, v->ip[i].b, 16, ttl);
	for (unsigned i = 0; v && v->headless && i < n->nslice; i++) {
		const struct fl_slice *s = n->slice[i];
		for (unsigned e = 0; e < s->nep; e++) {
			if (!(s->ep[e].flags & FL_EP_READY))
				continue;
			if (s->alen == 4)
				a = put_address(&n->a, a, s->addr + 4u * e, 4, ttl);
			else
				aaaa = put_address(&n->aaaa, aaaa, s->addr + 16u * e, 16, ttl);
		}
	}
}

/* old (NULL: there is none) with another Service, without slice `drop` and with `add`: made and published. */
static void renew(struct k8s_index *x, const struct k8s_node *old, const struct fl_service *service, const struct fl_slice *drop,
		  const struct fl_slice *add)
{
	unsigned most = (old ? old->nslice : 0) + 1, na, naaaa;
	struct k8s_node *probe = fl_xalloc(node_size(most, 0, 0)), *n = NULL;
	probe->service = service;
	for (unsigned i = 0; old && i < old->nslice; i++)
		if (old->slice[i] != drop)
			probe->slice[probe->nslice++] = old->slice[i];
	if (add && !one_of(probe, add))
		probe->slice[probe->nslice++] = add;
	count(probe, &na, &naaaa, &probe->nready);
	if (probe->service || probe->nslice) {
		probe->bytes = (uint32_t)node_size(probe->nslice, na, naaaa);
		n = fl_xalloc(probe->bytes);
		memcpy(n, probe, node_size(probe->nslice, 0, 0));
		n->ns = n->service ? n->service->o.ns : n->slice[0]->o.ns;
		n->name = n->service ? n->service->o.name : n->slice[0]->service;
		pack(n, x->ttl_s, na);
		x->bytes += n->bytes;
	}
	free(probe);
	if (old) {
		fl_k8s_table_swap(&x->nodes, (void *)(uintptr_t)old, n);
		x->bytes -= old->bytes;
		throw_away(x, (void *)(uintptr_t)old, old->bytes);
	} else if (n) {
		fl_k8s_table_add(&x->nodes, n, &x->bin);
	}
}

/* ---- cluster IPs ---- */

static int by_name(const struct fl_service *a, const struct fl_service *b)
{
	int c = strcmp(a->o.ns.p, b->o.ns.p);
	return c ? c : strcmp(a->o.name.p, b->o.name.p);
}

static size_t ip_size(uint32_t cap) { return sizeof(struct ip_entry) + cap * sizeof(struct fl_service *); }

/* One IP's entry without `drop` and with `add`. */
static void ip_renew(struct k8s_index *x, const struct fl_ip *ip, const struct fl_service *drop, const struct fl_service *add)
{
	struct ip_entry *old = find_ip(x, ip->b, ip->len);
	uint32_t cap = (old ? old->n : 0) + 1;
	struct ip_entry *e = fl_xalloc(ip_size(cap));
	e->ip = *ip;
	e->cap = cap;
	for (uint32_t i = 0; i < cap; i++) {
		const struct fl_service *v = old && i < old->n ? old->service[i] : NULL;
		if (add && (!v || by_name(add, v) < 0)) {
			e->service[e->n++] = add;
			add = NULL;
		}
		if (v && v != drop)
			e->service[e->n++] = v;
	}
	if (!e->n) {
		free(e);
		e = NULL;
	}
	if (old)
		fl_k8s_table_swap(&x->ips, old, e);
	else if (e)
		fl_k8s_table_add(&x->ips, e, &x->bin);
	x->bytes += e ? ip_size(cap) : 0;
	if (old) {
		x->bytes -= ip_size(old->cap);
		throw_away(x, old, ip_size(old->cap));
	}
}

static void ips_renew(struct k8s_index *x, const struct fl_service *old, const struct fl_service *now)
{
	for (unsigned i = 0; old && !old->headless && i < old->nip; i++)
		if (old->ip[i].len)
			ip_renew(x, &old->ip[i], old, NULL);
	for (unsigned i = 0; now && !now->headless && i < now->nip; i++)
		if (now->ip[i].len)
			ip_renew(x, &now->ip[i], NULL, now);
}

/* ---- deltas ---- */

static void service_changed(struct k8s_index *x, const struct fl_service *old, const struct fl_service *now)
{
	const struct fl_service *any = now ? now : old;
	ips_renew(x, old, now);
	renew(x, fl_k8s_find(x, any->o.ns, any->o.name), now, NULL, NULL);
}

static void slice_changed(struct k8s_index *x, const struct fl_slice *old, const struct fl_slice *now)
{
	fl_k8s_endpoints_change(&x->endpoints, old, now, &x->bin);
	bool same = old && now && fl_str_eq(old->service, now->service);
	if (old && !same && old->service.n) {
		const struct k8s_node *n = fl_k8s_find(x, old->o.ns, old->service);
		renew(x, n, n ? n->service : NULL, old, NULL);
	}
	if (now && now->service.n) {
		const struct k8s_node *n = fl_k8s_find(x, now->o.ns, now->service);
		renew(x, n, n ? n->service : NULL, same ? old : NULL, now);
	}
}

/* CoreDNS counts what a slice with the trigger's time changes, when its service is known. */
static void programmed(struct k8s_index *x, const struct fl_slice *s)
{
	const struct k8s_node *n = s->trigger_ns && s->service.n ? fl_k8s_find(x, s->o.ns, s->service) : NULL;
	if (n && n->service)
		fl_k8s_programmed(s->trigger_ns, n->service->headless);
}

static void namespace_changed(struct k8s_index *x, const struct fl_object *old, const struct fl_object *now)
{
	if (old)
		fl_k8s_table_swap(&x->namespaces, (void *)(uintptr_t)old, (void *)(uintptr_t)now);
	else
		fl_k8s_table_add(&x->namespaces, (void *)(uintptr_t)now, &x->bin);
}

static void changed(struct fl_subscriber *sub, enum fl_kind kind, const struct fl_object *old, const struct fl_object *now)
{
	struct k8s_index *x = (struct k8s_index *)sub;
	switch (kind) {
	case FL_KIND_NAMESPACE:
		namespace_changed(x, old, now);
		return;                 /* does not move the serial */
	case FL_KIND_SERVICE:
		service_changed(x, (const struct fl_service *)old, (const struct fl_service *)now);
		break;
	case FL_KIND_SLICE:
		slice_changed(x, (const struct fl_slice *)old, (const struct fl_slice *)now);
		programmed(x, (const struct fl_slice *)(now ? now : old));
		break;
	default:
		break;
	}
	__atomic_store_n(&x->serial, (uint32_t)fl_clock_wall_s(), __ATOMIC_RELAXED);
}

/* What was replaced is freed in batches: a grace period for each event would cost more than the event. */
static void flush(struct fl_subscriber *sub)
{
	struct k8s_index *x = (struct k8s_index *)sub;
	if (x->bin.n && (x->bin.bytes > RECLAIM_BYTES || fl_clock_ns() - x->binned_ns > FL_SEC))
		fl_rcu_reclaim(&x->bin);
}

/* ---- the whole ---- */

size_t fl_k8s_index_bytes(const struct k8s_index *x)
{
	return x->bytes + fl_k8s_table_bytes(&x->nodes) + fl_k8s_table_bytes(&x->ips) + fl_k8s_table_bytes(&x->namespaces) +
	       fl_k8s_endpoints_bytes(&x->endpoints);
}

struct k8s_index *fl_k8s_index_create(struct fl_store *store, uint32_t ttl_s)
{
	struct k8s_index *x = fl_xalloc(sizeof *x);
	x->store = store;
	x->ttl_s = ttl_s;
	x->nodes.hash = hash_node;
	x->ips.hash = hash_ip;
	x->namespaces.hash = hash_namespace;
	x->sub = (struct fl_subscriber){ .changed = changed, .flush = flush };
	fl_store_subscribe(store, &x->sub);
	fl_k8s_metrics_add(store, x);
	return x;
}

static void free_all(struct k8s_table *t)
{
	for (uint32_t i = 0; t->now && i <= t->now->mask; i++)
		if (t->now->slot[i] != &fl_k8s_grave)
			free(t->now->slot[i]);
	fl_k8s_table_finish(t);
}

void fl_k8s_index_destroy(struct k8s_index *x)
{
	if (!x)
		return;
	fl_k8s_metrics_drop(x->store);
	fl_store_unsubscribe(x->store, &x->sub);
	fl_rcu_bin_finish(&x->bin);
	free_all(&x->nodes);
	free_all(&x->ips);
	fl_k8s_table_finish(&x->namespaces);
	fl_k8s_endpoints_finish(&x->endpoints);
	free(x);
}

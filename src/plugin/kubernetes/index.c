#include "plugin/kubernetes/index_int.h"
#include "plugin/kubernetes/metrics.h"
#include "base/clock.h"
#include "base/rng.h"
#include "store/cluster.h"
#include "wire/name.h"
#include <errno.h>
#include <stdlib.h>

enum { RECLAIM_BYTES = 512 * 1024 };

/* ---- keys ---- */

static bool put_label(uint8_t *key, unsigned *n, struct fl_str s)
{
	if (!s.n || s.n > FL_LABEL_MAX)
		return false;
	key[(*n)++] = (uint8_t)s.n;
	for (size_t i = 0; i < s.n; i++)
		key[(*n)++] = fl_lower((uint8_t)s.p[i]);
	return true;
}

/* 0: no question can name it. */
static unsigned key_of(uint8_t key[FL_K8S_KEY_MAX], struct fl_str service, struct fl_str ns)
{
	unsigned n = 0;
	return put_label(key, &n, service) && put_label(key, &n, ns) ? n : 0;
}

static uint32_t hash_key(const uint8_t *key, unsigned n) { return fl_k8s_hash32(fl_hash_fold(key, n)); }
static uint32_t hash_ip(const uint8_t *b, uint8_t len) { return fl_k8s_hash32(fl_hash(b, len)); }

static bool same_key(const uint8_t *a, const uint8_t *b, unsigned n)
{
	return fl_name_eq((struct fl_name){ a, (uint8_t)n }, (struct fl_name){ b, (uint8_t)n });
}

static const struct fl_k8s_node *find_node(const struct fl_k8s_table *t, uint32_t hash, const uint8_t *key, unsigned n,
					   uint32_t *at)
{
	struct fl_k8s_probe p = fl_k8s_probe(t, hash);
	for (const struct fl_k8s_node *node; (node = fl_k8s_next(&p));)
		if (node->nkey == n && same_key(node->key, key, n)) {
			*at = p.at;
			return node;
		}
	return NULL;
}

/* ---- namespaces ---- */

static struct fl_k8s_ns *ns_find(const struct fl_k8s_index *ix, struct fl_str name, struct fl_k8s_probe *p)
{
	*p = fl_k8s_probe(&ix->ns, fl_k8s_hash32(fl_hash_fold(name.p, name.n)));
	for (struct fl_k8s_ns *c; (c = fl_k8s_next(p));)
		if (fl_str_ieq((struct fl_str){ c->name, c->n }, name))
			return c;
	return NULL;
}

static bool listed(const struct fl_k8s_how *how, const struct fl_k8s_ns *c)
{
	for (unsigned i = 0; i < how->nnamespace; i++)
		if (fl_str_ieq(how->namespaces[i], (struct fl_str){ c->name, c->n }))
			return true;
	return !how->nnamespace;
}

static struct fl_k8s_ns *ns_get(struct fl_k8s_index *ix, struct fl_str name)
{
	struct fl_k8s_probe p;
	struct fl_k8s_ns *c = ns_find(ix, name, &p);
	if (!c) {
		c = fl_xalloc(sizeof *c + name.n);
		c->n = (uint8_t)name.n;
		for (size_t i = 0; i < name.n; i++)
			c->name[i] = (char)fl_lower((uint8_t)name.p[i]);
		fl_k8s_table_add(&ix->ns, p.hash, c);
	}
	c->refs++;
	return c;
}

static void ns_put(struct fl_k8s_index *ix, struct fl_k8s_ns *c)
{
	struct fl_k8s_probe p;
	if (--c->refs)
		return;
	if (fl_k8s_table_find(&ix->ns, fl_k8s_hash32(fl_hash_fold(c->name, c->n)), c, &p))
		fl_k8s_table_set(&ix->ns, &p, NULL);
	fl_rcu_free_later(&ix->bin, c, sizeof *c + c->n);
}

static void ns_changed(struct fl_k8s_index *ix, struct fl_str name, bool exists)
{
	if (!name.n || name.n > FL_LABEL_MAX)
		return;
	struct fl_k8s_ns *c = ns_get(ix, name);
	if (c->exists != exists) {      /* its existence is a reference */
		c->exists = exists;
		c->refs += exists ? 1u : -1u;
		__atomic_store_n(&c->exposed, exists && listed(&ix->how, c), __ATOMIC_RELEASE);
	}
	ns_put(ix, c);
}

/* ---- drafts ---- */

static struct fl_k8s_draft *draft_of(struct fl_k8s_index *ix, bool mc, struct fl_str service, struct fl_str ns)
{
	uint8_t key[FL_K8S_KEY_MAX];
	uint32_t at;
	unsigned n = key_of(key, service, ns);
	if (!n)
		return NULL;
	uint32_t hash = hash_key(key, n);
	struct fl_k8s_probe p = fl_k8s_probe(&ix->drafts, hash);
	for (struct fl_k8s_draft *d; (d = fl_k8s_next(&p));)
		if (d->multicluster == mc && d->nkey == n && !memcmp(d->key, key, n))
			return d;
	struct fl_k8s_draft *d = fl_xalloc(sizeof *d + n);
	*d = (struct fl_k8s_draft){ .hash = hash, .multicluster = mc, .nkey = (uint8_t)n };
	memcpy(d->key, key, n);
	const struct fl_k8s_node *was = d->was = find_node(&ix->node[mc], hash, key, n, &at);
	if (was) {
		d->svc = was->svc;
		d->nslice = d->cap = was->nslice;
		d->slice = fl_xalloc((d->cap + 1) * sizeof *d->slice);
		memcpy(d->slice, was->slice, was->nslice * sizeof *d->slice);
	}
	fl_k8s_table_add(&ix->drafts, hash, d);
	*ix->draft_end = d;
	ix->draft_end = &d->next;
	return d;
}

static int by_name(const struct fl_slice *a, const struct fl_slice *b) { return strcmp(a->o.name.p, b->o.name.p); }

static void draft_slice(struct fl_k8s_draft *d, const struct fl_slice *old, const struct fl_slice *now)
{
	uint32_t i = 0;
	while (old && i < d->nslice && d->slice[i] != old)
		i++;
	if (old && i < d->nslice) {
		if (now) {
			d->slice[i] = now;
			return;
		}
		memmove(&d->slice[i], &d->slice[i + 1], (--d->nslice - i) * sizeof *d->slice);
	}
	if (!now)
		return;
	if (d->nslice == d->cap) {
		d->cap = d->cap ? 2 * d->cap : 2;
		d->slice = fl_xrealloc(d->slice, d->cap * sizeof *d->slice);
	}
	for (i = d->nslice++; i && by_name(d->slice[i - 1], now) > 0; i--)
		d->slice[i] = d->slice[i - 1];
	d->slice[i] = now;
}

/* ---- by address ---- */

/* v stands under the address instead of old (NULL: besides what is there), once. */
static void ip_put(struct fl_k8s_table *t, const uint8_t *b, uint8_t len, const void *old, void *v)
{
	uint32_t hash = hash_ip(b, len);
	struct fl_k8s_probe p = fl_k8s_probe(t, hash), at = { 0 };
	for (const void *have; (have = fl_k8s_next(&p));) {
		if (have == v)
			return;
		if (have == old)
			at = p;
	}
	if (at.t)
		fl_k8s_table_set(t, &at, v);
	else
		fl_k8s_table_add(t, hash, v);
}

static void ip_drop(struct fl_k8s_table *t, const uint8_t *b, uint8_t len, const void *old)
{
	struct fl_k8s_probe p;
	if (fl_k8s_table_find(t, hash_ip(b, len), old, &p))
		fl_k8s_table_set(t, &p, NULL);
}

/* The cells of all addresses are fetched at once, not one after the other: the table is larger than what caches hold. */
static void warm(const struct fl_k8s_table *t, const struct fl_slice *s)
{
	for (uint32_t i = 0; s && i < s->nep; i++)
		fl_k8s_table_warm(t, hash_ip(fl_k8s_addr(s, i), s->alen));
}

static void slice_ips(struct fl_k8s_index *ix, const struct fl_slice *old, const struct fl_slice *now)
{
	warm(&ix->slice, now);
	warm(&ix->slice, old);
	for (uint32_t i = 0; now && now->service.n && i < now->nep; i++)
		if (fl_k8s_ready(now, i))
			ip_put(&ix->slice, fl_k8s_addr(now, i), now->alen, old, (void *)now);
	for (uint32_t i = 0; old && i < old->nep; i++)
		ip_drop(&ix->slice, fl_k8s_addr(old, i), old->alen, old);
}

static void list_ips(struct fl_k8s_table *t, const struct fl_ip *was, unsigned nwas, const void *old,
		     const struct fl_ip *is, unsigned nis, const void *now)
{
	for (unsigned i = 0; i < nis; i++)
		if (is[i].len)
			ip_put(t, is[i].b, is[i].len, old, (void *)now);
	for (unsigned i = 0; i < nwas; i++)
		if (was[i].len)
			ip_drop(t, was[i].b, was[i].len, old);
}

static void external_ips(struct fl_k8s_index *ix, const struct fl_service *old, const struct fl_service *now)
{
	struct fl_ip ip;
	for (unsigned i = 0; now && i < now->nexternal; i++)
		if (fl_ip_parse(now->external[i], &ip))
			ip_put(&ix->external, ip.b, ip.len, old, (void *)now);
	for (unsigned i = 0; old && i < old->nexternal; i++)
		if (fl_ip_parse(old->external[i], &ip))
			ip_drop(&ix->external, ip.b, ip.len, old);
}

/* ---- events ---- */

static void service_changed(struct fl_k8s_index *ix, bool mc, const struct fl_service *old, const struct fl_service *now)
{
	const struct fl_service *any = now ? now : old;
	struct fl_k8s_draft *d = draft_of(ix, mc, any->o.name, any->o.ns);
	if (d)
		d->svc = now;
	if (!mc && ix->how.reverse)
		list_ips(&ix->vip, old ? old->ip : NULL, old ? old->nip : 0, old, now ? now->ip : NULL, now ? now->nip : 0, now);
	if (!mc && ix->how.externals)
		external_ips(ix, old, now);
}

static void slice_changed(struct fl_k8s_index *ix, bool mc, const struct fl_slice *old, const struct fl_slice *now)
{
	struct fl_k8s_draft *from = old ? draft_of(ix, mc, old->service, old->o.ns) : NULL;
	struct fl_k8s_draft *to = now ? draft_of(ix, mc, now->service, now->o.ns) : NULL;
	if (from)
		draft_slice(from, old, to == from ? now : NULL);
	if (to && to != from)
		draft_slice(to, NULL, now);
	if (mc)
		return;
	if (ix->how.reverse)
		slice_ips(ix, old, now);
	const struct fl_k8s_draft *d = to ? to : from;
	if (d && d->svc)
		fl_k8s_observe_programming(d->svc, now ? now : old);
}

static void pod_changed(struct fl_k8s_index *ix, const struct fl_pod *old, const struct fl_pod *now)
{
	if (ix->how.pods)
		list_ips(&ix->pod, old ? old->ip : NULL, old ? old->nip : 0, old, now ? now->ip : NULL, now ? now->nip : 0, now);
}

static void changed(struct fl_subscriber *sub, enum fl_kind kind, const struct fl_object *old, const struct fl_object *now)
{
	struct fl_k8s_index *ix = (struct fl_k8s_index *)sub;
	bool mc = kind == FL_KIND_IMPORT || kind == FL_KIND_MCSLICE;
	uint32_t s = (uint32_t)fl_clock_wall_s();
	if (s > ix->serial[mc])
		__atomic_store_n(&ix->serial[mc], s, __ATOMIC_RELAXED);
	switch (kind) {
	case FL_KIND_NAMESPACE:
		__atomic_store_n(&ix->serial[1], ix->serial[0], __ATOMIC_RELAXED);
		ns_changed(ix, (now ? now : old)->name, now != NULL);
		break;
	case FL_KIND_SERVICE: case FL_KIND_IMPORT:
		service_changed(ix, mc, (const struct fl_service *)old, (const struct fl_service *)now);
		break;
	case FL_KIND_SLICE: case FL_KIND_MCSLICE:
		slice_changed(ix, mc, (const struct fl_slice *)old, (const struct fl_slice *)now);
		break;
	case FL_KIND_POD:
		pod_changed(ix, (const struct fl_pod *)old, (const struct fl_pod *)now);
		break;
	case FL_KINDS:
		break;
	}
}

/* ---- publishing ---- */

static void note_local(struct fl_k8s_index *ix, const struct fl_k8s_node *was, const struct fl_k8s_node *node)
{
	bool is = node && node->local;
	unsigned i = 0;
	if (!is && !(was && was->local))
		return;
	ix->selves_stale = true;
	while (i < ix->nlocal && ix->local[i] != was)
		i++;
	if (i < ix->nlocal && is) {
		ix->local[i] = node;
	} else if (i < ix->nlocal) {
		ix->local[i] = ix->local[--ix->nlocal];
	} else if (is) {
		ix->local = fl_xrealloc(ix->local, (ix->nlocal + 1) * sizeof *ix->local);
		ix->local[ix->nlocal++] = node;
	}
}

static void publish(struct fl_k8s_index *ix, struct fl_k8s_draft *d)
{
	struct fl_k8s_table *t = &ix->node[d->multicluster];
	const struct fl_k8s_node *was = d->was;
	unsigned service = d->key[0] + 1u;
	struct fl_k8s_ns *ns = ns_get(ix, (struct fl_str){ (const char *)d->key + service + 1, d->key[service] });
	struct fl_k8s_probe p;
	size_t bytes = 0;
	struct fl_k8s_node *node = fl_k8s_node_build(ix, d, ns, &bytes);
	ix->node_bytes += bytes;
	if (!node)
		ns_put(ix, ns);
	if (was && fl_k8s_table_find(t, d->hash, was, &p))
		fl_k8s_table_set(t, &p, node);
	else if (node)
		fl_k8s_table_add(t, d->hash, node);
	if (!d->multicluster)
		note_local(ix, was, node);
	if (was) {
		size_t gone = fl_k8s_node_bytes(was);
		ns_put(ix, was->ns);
		ix->node_bytes -= gone;
		fl_rcu_free_later(&ix->bin, (void *)was, gone);
	}
}

static void drafts_drop(struct fl_k8s_index *ix)
{
	fl_k8s_table_finish(&ix->drafts);
	ix->draft = NULL;
	ix->draft_end = &ix->draft;
}

static void flush(struct fl_subscriber *sub)
{
	struct fl_k8s_index *ix = (struct fl_k8s_index *)sub;
	for (struct fl_k8s_draft *d = ix->draft, *next; d; d = next) {
		next = d->next;
		publish(ix, d);
		free(d->slice);
		free(d);
	}
	if (ix->draft)
		drafts_drop(ix);
	for (int v = 0; v < FL_K8S_VIEWS && ix->selves_stale; v++) {
		size_t bytes;
		struct fl_k8s_selves *old = ix->selves[v];
		fl_rcu_set(&ix->selves[v], fl_k8s_selves_build(ix, (enum fl_k8s_view)v, &bytes));
		fl_rcu_free_later(&ix->bin, old, bytes);
	}
	ix->selves_stale = false;
	uint64_t now = fl_clock_ns();
	if (!ix->bin.n || !ix->binned_ns)
		ix->binned_ns = now;
	if (ix->bin.bytes > RECLAIM_BYTES || now - ix->binned_ns > FL_SEC) {
		fl_rcu_reclaim(&ix->bin);
		ix->binned_ns = 0;
	}
}

/* ---- on shards ---- */

const struct fl_k8s_node *fl_k8s_node(const struct fl_k8s_index *ix, bool multicluster, const uint8_t *key, unsigned n)
{
	uint32_t at;
	return n > FL_K8S_KEY_MAX ? NULL : find_node(&ix->node[multicluster], hash_key(key, n), key, n, &at);
}

void fl_k8s_each_node(const struct fl_k8s_index *ix, bool multicluster, void (*fn)(void *arg, const struct fl_k8s_node *n), void *arg)
{
	const struct fl_k8s_slots *t = fl_rcu_get(&ix->node[multicluster].now);
	for (uint32_t i = 0; t && i <= t->mask; i++) {
		const struct fl_k8s_node *n = fl_rcu_get(&t->hash[i]) ? fl_rcu_get(&t->ptr[i]) : NULL;
		if (n)
			fn(arg, n);
	}
}

int fl_k8s_scan_nodes(const struct fl_k8s_index *ix, struct fl_cluster_scan *at, uint32_t slots,
		      void (*fn)(void *arg, const struct fl_k8s_node *n), void *arg)
{
	const struct fl_k8s_slots *t = ix->node[false].now;
	if (at->next && at->index != t)
		return -ESTALE;
	at->index = t;
	for (uint32_t left = slots; t && left; left--, at->next++) {
		if (at->next > t->mask)
			return 0;
		const struct fl_k8s_node *n = t->hash[at->next] ? t->ptr[at->next] : NULL;
		if (n)
			fn(arg, n);
	}
	return t && at->next <= t->mask;
}

bool fl_k8s_exposed(const struct fl_k8s_index *ix, struct fl_str ns)
{
	struct fl_k8s_probe p;
	const struct fl_k8s_ns *c = ns_find(ix, ns, &p);
	return c && __atomic_load_n(&c->exposed, __ATOMIC_ACQUIRE);
}

static bool has_ip(const struct fl_ip *list, unsigned n, const struct fl_ip *ip)
{
	for (unsigned i = 0; i < n; i++)
		if (list[i].len == ip->len && !memcmp(list[i].b, ip->b, ip->len))
			return true;
	return false;
}

static int by_key(const struct fl_object *a, const struct fl_object *b)
{
	int d = strcmp(a->ns.p, b->ns.p);
	return d ? d : strcmp(a->name.p, b->name.p);
}

const struct fl_service *fl_k8s_vip(const struct fl_k8s_index *ix, const struct fl_ip *ip)
{
	struct fl_k8s_probe p = fl_k8s_probe(&ix->vip, hash_ip(ip->b, ip->len));
	const struct fl_service *best = NULL;
	for (const struct fl_service *s; (s = fl_k8s_next(&p));)
		if (has_ip(s->ip, s->nip, ip) && (!best || by_key(&s->o, &best->o) < 0) && fl_k8s_exposed(ix, s->o.ns))
			best = s;
	return best;
}

static bool has_external(const struct fl_service *s, const struct fl_ip *ip)
{
	struct fl_ip have;
	for (unsigned i = 0; i < s->nexternal; i++)
		if (fl_ip_parse(s->external[i], &have) && have.len == ip->len && !memcmp(have.b, ip->b, ip->len))
			return true;
	return false;
}

unsigned fl_k8s_by_external(const struct fl_k8s_index *ix, const struct fl_ip *ip, const struct fl_service **to, unsigned cap)
{
	struct fl_k8s_probe p = fl_k8s_probe(&ix->external, hash_ip(ip->b, ip->len));
	unsigned n = 0, kept = 0;
	for (const struct fl_service *s; (s = fl_k8s_next(&p));) {
		if (!has_external(s, ip) || !fl_k8s_exposed(ix, s->o.ns))
			continue;
		n++;
		if (kept == cap && (!cap || by_key(&to[cap - 1]->o, &s->o) < 0))
			continue;
		unsigned at = kept < cap ? kept++ : cap - 1;    /* the last one gives way */
		for (; at && by_key(&to[at - 1]->o, &s->o) > 0; at--)
			to[at] = to[at - 1];
		to[at] = s;
	}
	return n;
}

struct fl_k8s_probe fl_k8s_slices(const struct fl_k8s_index *ix, const struct fl_ip *ip)
{
	return fl_k8s_probe(&ix->slice, hash_ip(ip->b, ip->len));
}

static bool slice_has(const struct fl_slice *s, const struct fl_ip *ip)
{
	for (uint32_t i = 0; s->alen == ip->len && i < s->nep; i++)
		if (!memcmp(fl_k8s_addr(s, i), ip->b, ip->len) && fl_k8s_ready(s, i))
			return true;
	return false;
}

const struct fl_slice *fl_k8s_slice_next(struct fl_k8s_probe *p, const struct fl_ip *ip)
{
	const struct fl_slice *s;
	while ((s = fl_k8s_next(p)) && !slice_has(s, ip))
		;
	return s;
}

struct fl_k8s_probe fl_k8s_pods(const struct fl_k8s_index *ix, const struct fl_ip *ip)
{
	return fl_k8s_probe(&ix->pod, hash_ip(ip->b, ip->len));
}

const struct fl_pod *fl_k8s_pod_next(struct fl_k8s_probe *p, const struct fl_ip *ip)
{
	const struct fl_pod *pod;
	while ((pod = fl_k8s_next(p)) && !has_ip(pod->ip, pod->nip, ip))
		;
	return pod;
}

const struct fl_k8s_selves *fl_k8s_selves(const struct fl_k8s_index *ix, enum fl_k8s_view v) { return fl_rcu_get(&ix->selves[v]); }
uint32_t fl_k8s_serial(const struct fl_k8s_index *ix, bool mc) { return __atomic_load_n(&ix->serial[mc], __ATOMIC_RELAXED); }
bool fl_k8s_synced(const struct fl_k8s_index *ix) { return fl_store_synced(ix->store); }

/* ---- the whole ---- */

static void copy_how(struct fl_k8s_how *to, const struct fl_k8s_how *how)
{
	struct fl_str *ns = fl_xalloc((how->nnamespace + 1) * sizeof *ns);
	struct fl_ip *local = fl_xalloc((how->nlocal + 1) * sizeof *local);
	for (unsigned i = 0; i < how->nnamespace; i++)
		ns[i] = (struct fl_str){ fl_xstrndup(how->namespaces[i].p, how->namespaces[i].n), how->namespaces[i].n };
	if (how->nlocal)
		memcpy(local, how->local, how->nlocal * sizeof *local);
	*to = *how;
	to->namespaces = ns;
	to->local = local;
}

struct fl_k8s_index *fl_k8s_index_create(struct fl_store *s, const struct fl_k8s_how *how)
{
	struct fl_k8s_index *ix = fl_xalloc(sizeof *ix);
	size_t bytes;
	*ix = (struct fl_k8s_index){ .sub = { .changed = changed, .flush = flush }, .store = s };
	copy_how(&ix->how, how);
	struct fl_k8s_table *t[] = { &ix->node[0], &ix->node[1], &ix->ns, &ix->vip, &ix->slice, &ix->pod, &ix->external, &ix->drafts };
	for (unsigned i = 0; i < FL_COUNT(t); i++)
		t[i]->bin = &ix->bin;
	drafts_drop(ix);
	for (int v = 0; v < FL_K8S_VIEWS; v++)
		ix->selves[v] = fl_k8s_selves_build(ix, (enum fl_k8s_view)v, &bytes);
	fl_store_subscribe(s, &ix->sub);
	return ix;
}

static void free_all(struct fl_k8s_table *t)
{
	for (uint32_t i = 0; t->now && i <= t->now->mask; i++)
		free(t->now->ptr[i]);
	fl_k8s_table_finish(t);
}

void fl_k8s_index_destroy(struct fl_k8s_index *ix)
{
	if (!ix)
		return;
	fl_store_unsubscribe(ix->store, &ix->sub);
	flush(&ix->sub);
	fl_rcu_bin_finish(&ix->bin);
	free_all(&ix->node[0]);
	free_all(&ix->node[1]);
	free_all(&ix->ns);
	fl_k8s_table_finish(&ix->vip);
	fl_k8s_table_finish(&ix->slice);
	fl_k8s_table_finish(&ix->pod);
	fl_k8s_table_finish(&ix->external);
	for (unsigned i = 0; i < ix->how.nnamespace; i++)
		free((char *)ix->how.namespaces[i].p);
	free((void *)ix->how.namespaces);
	free((void *)ix->how.local);
	for (int v = 0; v < FL_K8S_VIEWS; v++)
		free(ix->selves[v]);
	free(ix->local);
	free(ix);
}

size_t fl_k8s_index_bytes(const struct fl_k8s_index *ix)
{
	size_t n = sizeof *ix + ix->node_bytes + ix->bin.bytes;
	const struct fl_k8s_table *t[] = { &ix->node[0], &ix->node[1], &ix->ns, &ix->vip, &ix->slice, &ix->pod };
	for (unsigned i = 0; i < FL_COUNT(t); i++)
		n += fl_k8s_table_bytes(t[i]);
	return n + ix->ns.live * (sizeof(struct fl_k8s_ns) + 16);
}

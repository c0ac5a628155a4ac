#include "store/outward.h"
#include "store/store_int.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/rng.h"
#include <errno.h>
#include <stdlib.h>

enum { RECLAIM_BYTES = 1 << 20 };

/* Objects of one kind, by (namespace, name): open addressing, kept under 3/4 full. */
struct table {
	struct fl_object **slot;
	uint32_t n, used, cap;          /* used: with the graves */
	uint32_t mark;
	bool synced, listing;
};

struct fl_store {
	struct fl_store_wants wants;
	struct table table[FL_KINDS];
	struct fl_interns interns;
	struct fl_port_lists port_lists;
	struct fl_subscriber *subscriber;
	struct fl_rcu_bin bin;
	uint64_t binned_ns;             /* when the oldest of the bin went in */
	size_t bytes;
	bool synced, dirty;
	struct fl_source_state source;
};

static struct fl_object grave;          /* where an object was */

/* ---- tables ---- */

static uint64_t hash_of(struct fl_str ns, struct fl_str name) { return fl_hash(name.p, name.n) * 31 + fl_hash(ns.p, ns.n); }

static struct fl_object **find(const struct table *t, struct fl_str ns, struct fl_str name)
{
	if (!t->cap)
		return NULL;
	for (uint32_t i = (uint32_t)hash_of(ns, name) & (t->cap - 1); t->slot[i]; i = (i + 1) & (t->cap - 1)) {
		struct fl_object *o = t->slot[i];
		if (o != &grave && fl_str_eq(o->name, name) && fl_str_eq(o->ns, ns))
			return &t->slot[i];
	}
	return NULL;
}

static void put_slot(struct table *t, struct fl_object *o)
{
	uint32_t i = (uint32_t)hash_of(o->ns, o->name) & (t->cap - 1);
	while (t->slot[i])
		i = (i + 1) & (t->cap - 1);
	t->slot[i] = o;
	t->used++;
}

static void make_room(struct fl_store *s, struct table *t)
{
	if (4 * (t->used + 1) <= 3 * t->cap)
		return;
	struct table old = *t;
	t->cap = old.cap ? (2 * (t->n + 1) > old.cap ? 2 * old.cap : old.cap) : 64;
	t->slot = fl_xalloc(t->cap * sizeof *t->slot);
	t->used = 0;
	for (uint32_t i = 0; i < old.cap; i++)
		if (old.slot[i] && old.slot[i] != &grave)
			put_slot(t, old.slot[i]);
	s->bytes += (t->cap - old.cap) * sizeof *t->slot;
	free(old.slot);
}

/* ---- telling ---- */

static void tell(struct fl_store *s, enum fl_kind kind, const struct fl_object *old, const struct fl_object *now)
{
	s->dirty = true;
	for (struct fl_subscriber *sub = s->subscriber; sub; sub = sub->next)
		sub->changed(sub, kind, old, now);
}

static void let_go(struct fl_store *s, struct fl_object *o)
{
	struct fl_box *b = fl_box_of(o);
	if (!s->bin.n)
		s->binned_ns = fl_clock_ns();
	s->bytes -= b->bytes;
	fl_intern_put(&s->interns, b->shared.ns, &s->bin);
	fl_intern_put(&s->interns, b->shared.service, &s->bin);
	fl_ports_put(&s->port_lists, b->shared.ports, &s->bin);
	fl_rcu_free_later(&s->bin, b, b->bytes);
}

/* ---- writing ---- */

/* The object of that name when it says the same: touched, and nothing else to do. */
static struct fl_object *unchanged(struct table *t, const struct fl_meta_in *m, uint64_t digest)
{
	struct fl_object **at = find(t, m->ns, m->name);
	int64_t rv;
	if (!at || fl_box_of(*at)->digest != digest)
		return NULL;
	(*at)->mark = t->mark;
	if (!fl_parse_int(m->rv, 0, INT64_MAX, &rv))
		(*at)->rv = (uint64_t)rv;
	return *at;
}

static void put(struct fl_store *s, struct table *t, struct fl_object *o, uint64_t digest)
{
	struct fl_box *b = fl_box_of(o);
	b->digest = digest;
	o->mark = t->mark;
	s->bytes += b->bytes;
	struct fl_object **at = find(t, o->ns, o->name), *old = at ? *at : NULL;
	if (at) {
		*at = o;
	} else {
		make_room(s, t);
		put_slot(t, o);
		t->n++;
	}
	tell(s, (enum fl_kind)o->kind, old, o);
	if (old)
		let_go(s, old);
}

static int result(const char *what, const char **out)
{
	if (out)
		*out = what;
	return what != NULL;
}

int fl_store_put_namespace(struct fl_store *s, const struct fl_meta_in *in)
{
	struct table *t = &s->table[FL_KIND_NAMESPACE];
	struct fl_meta_in m = *in;
	m.ns = FL_STR("");
	if (!in->name.n)
		return -EINVAL;
	if (!unchanged(t, &m, 1))
		put(s, t, fl_box_namespace(&m, &(struct fl_shared){ .ns = fl_intern_get(&s->interns, m.ns) }), 1);
	return 0;
}

static struct fl_ports *ports_of(struct fl_store *s, const struct fl_port_in *port, unsigned n)
{
	return fl_ports_get(&s->port_lists, port, n < UINT16_MAX ? n : UINT16_MAX);
}

static int put_service(struct fl_store *s, enum fl_kind kind, const struct fl_service_in *in, const char **what)
{
	struct table *t = &s->table[kind];
	const char *odd = NULL;
	if (!in->meta.name.n)
		return -EINVAL;
	uint64_t digest = fl_digest_service(in);
	if (!unchanged(t, &in->meta, digest)) {
		struct fl_shared sh = { .ns = fl_intern_get(&s->interns, in->meta.ns), .ports = ports_of(s, in->port, in->nport) };
		put(s, t, fl_box_service(kind, in, &sh, &odd), digest);
	}
	return result(odd, what);
}

int fl_store_put_service(struct fl_store *s, const struct fl_service_in *in, const char **what)
{
	if (!s->wants.outward.on)
		return put_service(s, FL_KIND_SERVICE, in, what);
	struct fl_outward_room room;
	struct fl_service_in out = *in;
	fl_outward(&s->wants.outward, &out, &room);
	return put_service(s, FL_KIND_SERVICE, &out, what);
}

int fl_store_put_import(struct fl_store *s, const struct fl_service_in *in, const char **what)
{
	return put_service(s, FL_KIND_IMPORT, in, what);
}

int fl_store_put_slice(struct fl_store *s, enum fl_kind kind, const struct fl_slice_in *in, const char **what)
{
	struct table *t = &s->table[kind];
	const char *odd = NULL;
	if (!in->meta.name.n || (kind != FL_KIND_SLICE && kind != FL_KIND_MCSLICE))
		return -EINVAL;
	uint64_t digest = fl_digest_slice(in, &s->wants);
	if (!unchanged(t, &in->meta, digest)) {
		struct fl_shared sh = { fl_intern_get(&s->interns, in->meta.ns), fl_intern_get(&s->interns, in->service),
					ports_of(s, in->port, in->nport) };
		put(s, t, fl_box_slice(kind, in, &s->wants, &sh, &odd), digest);
	}
	return result(odd, what);
}

int fl_store_put_pod(struct fl_store *s, const struct fl_pod_in *in, const char **what)
{
	struct table *t = &s->table[FL_KIND_POD];
	const char *odd = NULL;
	if (!in->meta.name.n)
		return -EINVAL;
	uint64_t digest = fl_digest_pod(in, &s->wants);
	if (!unchanged(t, &in->meta, digest)) {
		struct fl_shared sh = { .ns = fl_intern_get(&s->interns, in->meta.ns) };
		put(s, t, fl_box_pod(in, &s->wants, &sh, &odd), digest);
	}
	return result(odd, what);
}

int fl_store_touch(struct fl_store *s, enum fl_kind kind, struct fl_str ns, struct fl_str name)
{
	struct table *t = &s->table[kind];
	struct fl_object **at = find(t, kind == FL_KIND_NAMESPACE ? FL_STR("") : ns, name);
	if (!at)
		return -ENOENT;
	(*at)->mark = t->mark;
	return 0;
}

static void remove_at(struct fl_store *s, struct table *t, struct fl_object **at)
{
	struct fl_object *o = *at;
	*at = &grave;
	t->n--;
	tell(s, (enum fl_kind)o->kind, o, NULL);
	let_go(s, o);
}

int fl_store_remove(struct fl_store *s, enum fl_kind kind, struct fl_str ns, struct fl_str name)
{
	struct table *t = &s->table[kind];
	struct fl_object **at = find(t, kind == FL_KIND_NAMESPACE ? FL_STR("") : ns, name);
	if (!at)
		return -ENOENT;
	remove_at(s, t, at);
	return 0;
}

/* ---- lists ---- */

void fl_store_list_begin(struct fl_store *s, enum fl_kind kind)
{
	s->table[kind].mark++;
	s->table[kind].listing = true;
}

static void check_synced(struct fl_store *s)
{
	for (int k = 0; k < FL_KINDS; k++)
		if (s->wants.kind[k] && !s->table[k].synced)
			return;
	if (__atomic_exchange_n(&s->synced, true, __ATOMIC_RELEASE))
		return;
	for (struct fl_subscriber *sub = s->subscriber; sub; sub = sub->next)
		if (sub->synced)
			sub->synced(sub);
}

void fl_store_list_end(struct fl_store *s, enum fl_kind kind)
{
	struct table *t = &s->table[kind];
	for (uint32_t i = 0; t->listing && i < t->cap; i++)
		if (t->slot[i] && t->slot[i] != &grave && t->slot[i]->mark != t->mark)
			remove_at(s, t, &t->slot[i]);
	t->listing = false;
	t->synced = true;
	check_synced(s);
}

/* What the broken list named keeps its mark, the next list moves on. */
void fl_store_list_abort(struct fl_store *s, enum fl_kind kind) { s->table[kind].listing = false; }

bool fl_store_synced(const struct fl_store *s) { return __atomic_load_n(&s->synced, __ATOMIC_ACQUIRE); }
bool fl_store_kind_synced(const struct fl_store *s, enum fl_kind kind) { return s->table[kind].synced; }

/* ---- batches ---- */

void fl_store_reclaim(struct fl_store *s) { fl_rcu_reclaim(&s->bin); }

void fl_store_flush(struct fl_store *s)
{
	if (s->dirty) {
		s->dirty = false;
		for (struct fl_subscriber *sub = s->subscriber; sub; sub = sub->next)
			if (sub->flush)
				sub->flush(sub);
	}
	if (s->bin.n && (s->bin.bytes > RECLAIM_BYTES || fl_clock_ns() - s->binned_ns > FL_SEC))
		fl_store_reclaim(s);
}

void fl_store_subscribe(struct fl_store *s, struct fl_subscriber *sub)
{
	sub->next = s->subscriber;
	s->subscriber = sub;
	for (int k = 0; k < FL_KINDS; k++)
		for (uint32_t i = 0; i < s->table[k].cap; i++)
			if (s->table[k].slot[i] && s->table[k].slot[i] != &grave)
				sub->changed(sub, (enum fl_kind)k, NULL, s->table[k].slot[i]);
	if (sub->flush)
		sub->flush(sub);
	if (fl_store_synced(s) && sub->synced)
		sub->synced(sub);
}

void fl_store_unsubscribe(struct fl_store *s, struct fl_subscriber *sub)
{
	for (struct fl_subscriber **p = &s->subscriber; *p; p = &(*p)->next)
		if (*p == sub) {
			*p = sub->next;
			return;
		}
}

/* ---- looking ---- */

const struct fl_object *fl_store_find(const struct fl_store *s, enum fl_kind kind, struct fl_str ns, struct fl_str name)
{
	struct fl_object **at = find(&s->table[kind], kind == FL_KIND_NAMESPACE ? FL_STR("") : ns, name);
	return at ? *at : NULL;
}

void fl_store_each(const struct fl_store *s, enum fl_kind kind, void (*fn)(void *arg, const struct fl_object *o), void *arg)
{
	const struct table *t = &s->table[kind];
	for (uint32_t i = 0; i < t->cap; i++)
		if (t->slot[i] && t->slot[i] != &grave)
			fn(arg, t->slot[i]);
}

size_t fl_store_count(const struct fl_store *s, enum fl_kind kind) { return s->table[kind].n; }
size_t fl_store_bytes(const struct fl_store *s) { return s->bytes + s->interns.bytes + s->port_lists.bytes + s->bin.bytes; }
struct fl_source_state *fl_store_source(struct fl_store *s) { return &s->source; }
const struct fl_store_wants *fl_store_wants(const struct fl_store *s) { return &s->wants; }

/* ---- the whole ---- */

static struct fl_str copied(struct fl_str s) { return s.n ? (struct fl_str){ fl_xstrndup(s.p, s.n), s.n } : FL_STR(""); }

struct fl_store *fl_store_create(const struct fl_store_wants *w)
{
	struct fl_store *s = fl_xalloc(sizeof *s);
	s->wants = *w;
	s->wants.outward.domain = copied(w->outward.domain);
	s->wants.outward.zone = copied(w->outward.zone);
	return s;
}

void fl_store_destroy(struct fl_store *s)
{
	if (!s)
		return;
	for (int k = 0; k < FL_KINDS; k++) {
		struct table *t = &s->table[k];
		for (uint32_t i = 0; i < t->cap; i++)
			if (t->slot[i] && t->slot[i] != &grave)
				free(fl_box_of(t->slot[i]));
		free(t->slot);
	}
	fl_rcu_bin_finish(&s->bin);
	fl_interns_finish(&s->interns);
	fl_port_lists_finish(&s->port_lists);
	if (s->wants.outward.domain.n)
		free((char *)(uintptr_t)s->wants.outward.domain.p);
	if (s->wants.outward.zone.n)
		free((char *)(uintptr_t)s->wants.outward.zone.p);
	free(s);
}

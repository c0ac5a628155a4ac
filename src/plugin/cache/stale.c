/* Refreshing: of what is nearly over (prefetch) and of what is over (serve_stale), after CoreDNS plugin/cache/handler.go and RFC 8767. At
 * most one refresh of an entry is under way, on whatever shard: who sets the bit of its note begins. */
#include "plugin/cache/cache_int.h"
#include <errno.h>

enum { HITS_SHIFT = 41 };
static const uint64_t hits_max = (1ull << (64 - HITS_SHIFT)) - 1, when_mask = (1ull << HITS_SHIFT) - 1;

static uint64_t ms(uint64_t ns) { return ns / FL_MS; }

/* ---- whose turn is it? ---- */

static bool claim(struct cache_use *u, uint64_t now, int64_t recheck_ns)
{
	uint64_t was = __atomic_load_n(&u->refresh, __ATOMIC_RELAXED);
	if (was & 1 || (recheck_ns && ms(now) < was >> 1))
		return false;
	return __atomic_compare_exchange_n(&u->refresh, &was, was | 1, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

/* One more hit; how many in a row, none longer than `apart` from the one before. Lost when two shards count at once. */
static uint64_t count(struct cache_use *u, uint64_t now, uint64_t apart_ns)
{
	uint64_t was = __atomic_load_n(&u->asked, __ATOMIC_RELAXED), last = was & when_mask, hits = was >> HITS_SHIFT;
	bool anew = !last || (ms(now) > last && ms(now) - last > ms(apart_ns));
	hits = anew ? 1 : hits < hits_max ? hits + 1 : hits_max;
	__atomic_store_n(&u->asked, hits << HITS_SHIFT | (ms(now) & when_mask), __ATOMIC_RELAXED);
	return hits;
}

static struct cache_use *note(const struct cache *c, const struct cache_slot *st)
{
	return fl_cache_slab_use(c->store->slab, st->hash, st->cell);
}

/* A copy of q that asks below me; its slot is filled. NULL: no memory, or it is itself one. */
static struct cache_slot *detach(struct fl_query *q, enum cache_role role, const struct cache_slot *of)
{
	struct fl_query *d = fl_detach(q);
	if (!d)
		return NULL;
	struct cache_slot *st = fl_cache_slot(d, d->arena, role, of->hash);
	*fl_slot_of(d, q) = st;
	if (st) {
		st->ad = true;
		st->cell = of->cell;
		st->claimed = true;
		st->asked = of->asked;
	}
	d->ask.flags |= FL_AD;
	return st;
}

static void begin(const struct cache *c, struct fl_query *q, const struct cache_entry *e, uint32_t cell, enum cache_role role,
		  int64_t recheck_ns)
{
	struct cache_slot of = { .hash = e->hash, .cell = cell };
	struct cache_use *u = note(c, &of);
	if (!claim(u, fl_now(q->shard), recheck_ns))
		return;
	of.asked = __atomic_load_n(&u->asked, __ATOMIC_RELAXED);
	if (detach(q, role, &of))
		fl_grid_add(((struct cache_mine *)fl_mine(q))->prefetches, q->shard->id, 0, 1);
	else
		__atomic_store_n(&u->refresh, 0, __ATOMIC_RELAXED);
}

void fl_cache_prefetch(const struct cache *c, struct fl_query *q, const struct cache_entry *e, uint32_t cell)
{
	uint64_t now = fl_now(q->shard);
	uint64_t hits = count(fl_cache_slab_use(c->store->slab, e->hash, cell), now, (uint64_t)c->apart_ns);
	uint32_t threshold = (uint32_t)(((uint64_t)c->percent * e->ttl_s + 99) / 100);
	if (hits >= (uint64_t)c->prefetch && fl_cache_left(e, now) <= threshold)
		begin(c, q, e, cell, CACHE_PREFETCH, 0);
}

/* ---- what is over ---- */

enum fl_verdict fl_cache_stale_serve(const struct cache *c, struct fl_query *q, const struct cache_entry *e, bool ad)
{
	struct cache_mine *m = fl_mine(q);
	uint32_t ttl = c->stale_ttl_s ? c->stale_ttl_s : c->keepttl ? e->ttl_s : 0;
	if (!fl_cache_serve(q, e, ttl, ad))
		return fl_yield(q, -ENOMEM);
	fl_grid_add(m->stale, q->shard->id, 0, 1);
	return FL_DONE;
}

/* The upstream goes first. */
static enum fl_verdict verify(const struct cache *c, struct fl_query *q, const struct cache_entry *e, uint32_t cell, struct cache_slot *st)
{
	bool ad = q->ask.flags & FL_AD;
	struct cache_slot of = { .hash = e->hash, .cell = cell };
	bool tracked = c->recheck_ns || c->verify_ns;
	if (!st && !(st = fl_cache_slot(q, q->arena, CACHE_VERIFY, e->hash)))
		return fl_cache_stale_serve(c, q, e, ad);
	if (!c->verify_ns && !st->leads && fl_cache_join(q, st)) {
		fl_grid_add(((struct cache_mine *)fl_mine(q))->joined, q->shard->id, 0, 1);
		st->role = CACHE_FOLLOW;
		st->counted = true;
		*fl_slot(q) = st;
		return FL_WAIT;
	}
	if (tracked && !claim(note(c, &of), fl_now(q->shard), c->recheck_ns)) {
		if (st->leads)
			fl_cache_landed(q, st, true);
		return fl_cache_stale_serve(c, q, e, ad);
	}
	st->old = e;
	st->cell = cell;
	st->claimed = tracked;
	st->role = CACHE_VERIFY;
	if (!c->verify_ns)
		return fl_cache_go_down(q, st);
	of.asked = __atomic_load_n(&note(c, &of)->asked, __ATOMIC_RELAXED);
	st->claimed = false;            /* the other one's */
	struct cache_slot *d = detach(q, CACHE_CHECK, &of);
	if (!d) {
		__atomic_store_n(&note(c, &of)->refresh, 0, __ATOMIC_RELAXED);
		return fl_cache_stale_serve(c, q, e, ad);
	}
	st->role = CACHE_WAIT;
	st->ticket = fl_ticket(q);
	st->arena = q->arena;
	st->peer = d;
	d->peer = st;
	*fl_slot(q) = st;
	fl_wake_at(q, fl_now(q->shard) + (uint64_t)c->verify_ns);
	return FL_WAIT;
}

enum fl_verdict fl_cache_stale(const struct cache *c, struct fl_query *q, const struct cache_entry *e, uint32_t cell, struct cache_slot *st)
{
	bool waited = st && (st->news == CACHE_LOOK_AGAIN || st->news == CACHE_ALONE);       /* the one that it waited for found nothing better */
	if (c->verify && !waited)
		return verify(c, q, e, cell, st);
	if (st && st->leads)
		fl_cache_landed(q, st, true);
	if (!c->verify)
		begin(c, q, e, cell, CACHE_REFRESH, c->recheck_ns);
	return fl_cache_stale_serve(c, q, e, q->ask.flags & FL_AD);
}

enum fl_verdict fl_cache_waited(const struct cache *c, struct fl_query *q, struct cache_slot *st)
{
	if (st->peer && q->why != -ETIMEDOUT)
		return FL_WAIT;
	if (st->peer)
		st->peer->peer = NULL;
	st->peer = NULL;
	if (!st->fresh)
		return fl_cache_stale_serve(c, q, st->old, st->ad);
	return fl_cache_serve(q, st->fresh, st->fresh->ttl_s, st->ad) ? FL_DONE : fl_yield(q, -ENOMEM);
}

/* ---- what came in ---- */

bool fl_cache_accept(const struct cache *c, const struct fl_query *q)
{
	const struct fl_reply *r = &q->res;
	enum fl_kind k;
	if (q->dropped || r->bare || r->stream || r->set & FL_TC)
		return false;
	if (c->prefer)
		return fl_cache_kind(q) == FL_KIND_NOERROR && fl_cache_answers(q);
	k = fl_typify(q, q->ask.dnssec_ok ? fl_clock_wall_s() : 0);
	return k != FL_KIND_OTHERERROR && k != FL_KIND_META && k != FL_KIND_UPDATE && (r->rcode == FL_NOERROR || r->rcode == FL_NXDOMAIN);
}

/* The new entry goes on with the hits of the old one. */
static void hand_on(const struct cache *c, const struct fl_query *q, const struct cache_slot *st)
{
	uint32_t cell = fl_cache_slab_find(c->store->slab, st->hash, CACHE_DENIAL);
	cell = cell ? cell : fl_cache_slab_find(c->store->slab, st->hash, CACHE_SUCCESS);
	if (cell && st->asked)
		__atomic_store_n(&fl_cache_slab_use(c->store->slab, st->hash, cell)->asked,
				 (st->asked & ~when_mask) | (ms(q->born_ns) & when_mask), __ATOMIC_RELAXED);
}

void fl_cache_refreshed(const struct cache *c, struct fl_query *q, struct cache_slot *st, bool good, uint32_t ttl_s)
{
	struct cache_slot *w = st->peer;
	st->peer = NULL;
	if (w)
		w->peer = NULL;
	if (w && st->role == CACHE_CHECK) {
		w->fresh = good ? fl_cache_encode(q, w->arena, CACHE_SUCCESS, ttl_s) : NULL;
		fl_wake(w->ticket, 0);
	}
	if (!st->claimed)
		return;
	st->claimed = false;
	int64_t recheck = st->role == CACHE_PREFETCH || good ? 0 : c->recheck_ns;
	uint64_t now = fl_clock_ns();
	if (good && q)
		hand_on(c, q, st);
	__atomic_store_n(&note(c, st)->refresh, recheck ? ms(now + (uint64_t)recheck) << 1 : 0, __ATOMIC_RELAXED);
}

/* cache [TTL] [ZONES...] { ... }: keeps what the plugins below answered. Behaviour after CoreDNS plugin/cache; what comes from an
 * index that is always fresh (kubernetes) is passed with the TTL that a cache would give it, and never kept. */
#include "plugin/cache/cache_int.h"
#include "plugin/cache/persist.h"
#include <errno.h>
#include <stdlib.h>

/* ---- hits ---- */

/* Another shard's clock may be a moment ahead. */
uint32_t fl_cache_left(const struct cache_entry *e, uint64_t now)
{
	int64_t age_ns = (int64_t)(now - e->stored_ns);
	uint64_t age = age_ns > 0 ? (uint64_t)age_ns / FL_SEC : 0;
	return age < e->ttl_s ? e->ttl_s - (uint32_t)age : 0;
}

struct choice { const struct cache *c; uint64_t now; };

static bool is_failure(const struct cache_entry *e) { return e->rcode == FL_SERVFAIL || e->rcode == FL_NOTIMP; }

/* Not over, or not for long: whole seconds, as CoreDNS counts them. A failure is no data (RFC 8767 §4) and never served when it is over. */
static bool usable(const struct choice *o, const struct cache_found *f, int kind)
{
	const struct cache_entry *e = &f->head[kind];
	if (!f->there[kind])
		return false;
	if (fl_cache_left(e, o->now))
		return true;
	uint64_t age = (o->now - e->stored_ns) / FL_SEC;
	return o->c->stale_ns && !is_failure(e) && age - e->ttl_s < (uint64_t)o->c->stale_ns / FL_SEC;
}

/* A denial goes first, but a failure does not hide a good answer. */
static int choose(const void *arg, const struct cache_found *f)
{
	const struct choice *o = arg;
	if (o->c->prefer && o->c->stale_ns) {
		if (usable(o, f, CACHE_SUCCESS) && f->head[CACHE_SUCCESS].bits & CACHE_ANSWERS)
			return CACHE_SUCCESS;
		if (usable(o, f, CACHE_GOOD))
			return CACHE_GOOD;
	}
	bool yes = usable(o, f, CACHE_SUCCESS);
	if (usable(o, f, CACHE_DENIAL) && (!yes || f->head[CACHE_DENIAL].rcode != FL_SERVFAIL))
		return CACHE_DENIAL;
	return yes ? CACHE_SUCCESS : -1;
}

static const struct cache_entry *find(const struct cache *c, struct fl_query *q, uint64_t hash, uint32_t *cell)
{
	struct choice o = { c, fl_now(q->shard) };
	const struct cache_entry *e = fl_cache_slab_get(c->store->slab, hash, choose, &o, q->arena, cell);
	return e && fl_cache_fits(q, e) ? e : NULL;
}

static bool nothing_kept(const struct cache *c, struct fl_name n)
{
	return c->except[0].n && c->except[1].n && fl_zones_match(&c->except[0], n) >= 0 && fl_zones_match(&c->except[1], n) >= 0;
}

bool fl_cache_serve(struct fl_query *q, const struct cache_entry *e, uint32_t ttl_s, bool ad)
{
	if (fl_cache_decode(q, e, ttl_s))
		return false;
	if ((q->ask.dnssec_ok || ad) && e->bits & CACHE_AD)     /* who wants to know (RFC 6840 §5.7, §5.8) */
		q->res.set |= FL_AD;
	return true;
}

/* ---- the way down ---- */

struct cache_slot *fl_cache_slot(struct fl_query *q, struct fl_arena *a, enum cache_role role, uint64_t hash)
{
	struct cache_slot *st = fl_alloc(a, sizeof *st);
	if (st)
		*st = (struct cache_slot){ .role = role, .ad = q->ask.flags & FL_AD, .hash = hash };
	return st;
}

enum fl_verdict fl_cache_go_down(struct fl_query *q, struct cache_slot *st)
{
	*fl_slot(q) = st;
	q->ask.flags |= FL_AD;          /* so that what is kept may be told to those who ask for it */
	return FL_WRAP;
}

static enum fl_verdict hit(const struct cache *c, struct fl_query *q, const struct cache_entry *e, uint32_t cell, struct cache_slot *st)
{
	struct cache_mine *m = fl_mine(q);
	uint32_t left = fl_cache_left(e, fl_now(q->shard));
	if (!st || !st->counted)
		fl_grid_add(m->hits, q->shard->id, fl_cache_kind_of(e) == CACHE_DENIAL, 1);
	if (!left)
		return fl_cache_stale(c, q, e, cell, st);
	if (st && st->leads)            /* was to lead; it came in meanwhile */
		fl_cache_landed(q, st, true);
	if (c->prefetch)
		fl_cache_prefetch(c, q, e, cell);
	return fl_cache_serve(q, e, c->keepttl ? e->ttl_s : left, q->ask.flags & FL_AD) ? FL_DONE : fl_yield(q, -ENOMEM);
}

/* Once for each request that is no hit: one that waited for another's answer may have been counted. */
static void count_miss(struct fl_query *q, const struct cache_slot *st)
{
	if (!st || !st->counted)
		fl_grid_add(((struct cache_mine *)fl_mine(q))->misses, q->shard->id, 0, 1);
}

static enum fl_verdict query(void *inst, struct fl_query *q)
{
	const struct cache *c = inst;
	struct cache_mine *m = fl_mine(q);
	struct cache_slot *st = *fl_slot(q);
	uint32_t cell;
	if (st && st->role == CACHE_WAIT)
		return fl_cache_waited(c, q, st);
	if (st && st->news == CACHE_NO_NEWS)
		return FL_WAIT;
	if (!st) {
		if (q->client->opcode != FL_OP_QUERY || (!c->all && fl_zones_match(&c->zones, q->qname) < 0))
			return FL_NEXT;
		fl_grid_add(m->requests, q->shard->id, 0, 1);
	}
	bool never = nothing_kept(c, q->qname); /* as kubeadm has it for the cluster: no entry to look for, none to wait for */
	uint64_t hash = never ? 0 : fl_cache_hash(q);
	const struct cache_entry *e = never ? NULL : find(c, q, hash, &cell);
	if (e)
		return hit(c, q, e, cell, st);
	if (!st && !(st = fl_cache_slot(q, q->arena, CACHE_MISS, hash))) {
		count_miss(q, NULL);
		return fl_yield(q, -ENOMEM);
	}
	bool again = st->news == CACHE_LOOK_AGAIN;      /* it could not be stored, or not be read in peace: one more asks for all */
	if (again) {
		st->role = CACHE_MISS;
		st->news = CACHE_NO_NEWS;
	}
	if (st->role == CACHE_MISS && !never && fl_cache_join(q, st)) {
		fl_grid_add(m->joined, q->shard->id, 0, !again);
		st->role = CACHE_FOLLOW;
		*fl_slot(q) = st;
		return FL_WAIT;
	}
	count_miss(q, st);
	st->role = CACHE_MISS;
	return fl_cache_go_down(q, st);
}

/* ---- the way up ---- */

/* Is it for the cache, now or, when another thread writes there, the next time? Else equal questions need not wait for each other. */
static bool keep(const struct cache *c, struct fl_query *q, const struct cache_slot *st, bool denial, uint32_t ttl)
{
	struct cache_mine *m = fl_mine(q);
	unsigned gone[2], how = 0;
	if (c->except[denial].n && fl_zones_match(&c->except[denial], q->qname) >= 0)
		return false;
	bool answers = !denial && c->prefer && fl_cache_answers(q);
	if (!denial && c->prefer)
		how = answers ? CACHE_DROP_DENIAL | CACHE_DROP_GOOD : CACHE_SAVE_GOOD;
	else if (!denial && st->role != CACHE_MISS)
		how = CACHE_DROP_DENIAL;        /* the newest word on what was asked */
	struct cache_entry *e = fl_cache_encode(q, q->arena, denial ? CACHE_DENIAL : CACHE_SUCCESS, ttl);
	if (e && answers)
		e->bits |= CACHE_ANSWERS;
	int ret = e ? fl_cache_slab_put(c->store->slab, e, how, gone) : -ENOMEM;
	if (ret) {
		fl_grid_add(m->drops, q->shard->id, 0, 1);
		return ret == -EBUSY;
	}
	for (unsigned i = 0; i < 2; i++)
		if (gone[i])
			fl_grid_add(m->evictions, q->shard->id, i, gone[i]);
	if (!__atomic_load_n(&m->stored, __ATOMIC_RELAXED))
		__atomic_store_n(&m->stored, true, __ATOMIC_RELAXED);
	return true;
}

static uint32_t clip(uint32_t ttl, uint32_t min, uint32_t max)
{
	ttl = ttl < min ? min : ttl;
	return ttl > max ? max : ttl;
}

/* Classified, with one TTL for all, and stored if it may be (as keep() says). */
static bool settle(const struct cache *c, struct fl_query *q, const struct cache_slot *st, uint32_t *ttl_out)
{
	struct fl_reply *r = &q->res;
	enum fl_kind kind = fl_cache_kind(q);
	bool failed = kind == FL_KIND_SERVERERROR, denial = failed || fl_classify(kind) == FL_CLASS_DENIAL;
	uint32_t min = c->min_s[denial], max = c->max_s[denial];
	uint32_t ttl = failed ? (uint32_t)(c->fail_ns / (int64_t)FL_SEC) : clip(fl_cache_lowest_ttl(r, kind, max), min, max);
	bool kept = !r->live && ttl && fl_cache_may_store(q, kind) && keep(c, q, st, denial, ttl);
	for (unsigned i = 0; i < r->n; i++)
		r->item[i].ttl_min = r->item[i].ttl_max = ttl;
	r->opt = NULL;                  /* hop by hop (RFC 6891 §6.2.1) */
	if (!r->bare)
		r->has_ede = false;
	if (!q->ask.dnssec_ok && !st->ad)
		r->set &= (uint16_t)~FL_AD;
	*ttl_out = ttl;
	return kept;
}

static enum fl_verdict reply_verify(const struct cache *c, struct fl_query *q, struct cache_slot *st)
{
	uint32_t ttl;
	bool good = fl_cache_accept(c, q);
	if (good || (c->prefer && !q->res.bare && !(q->res.set & FL_TC)))
		settle(c, q, st, &ttl);
	fl_cache_refreshed(c, NULL, st, good, 0);
	if (q->root->late)
		fl_cache_left_flight(st);
	else
		fl_cache_landed(q, st, true);   /* fresh or stale: the cache has it */
	return good ? FL_DONE : fl_cache_stale_serve(c, q, st->old, st->ad);
}

/* Nobody hears this one but the cache, and who waits a while. */
static enum fl_verdict reply_detached(const struct cache *c, struct fl_query *q, struct cache_slot *st)
{
	struct fl_client *cl = (struct fl_client *)q->client;   /* its own copy (fl_detach) */
	uint32_t ttl = 0;
	if (q->res.set & FL_TC && !cl->tcp && !q->root->late) {
		cl->tcp = true;
		return FL_AGAIN;
	}
	bool good = st->role == CACHE_PREFETCH ? !q->res.bare : fl_cache_accept(c, q);
	if (good || (c->prefer && !q->res.bare && !(q->res.set & FL_TC)))
		settle(c, q, st, &ttl);
	fl_cache_refreshed(c, q, st, good, ttl);
	return FL_DONE;
}

static enum fl_verdict reply(void *inst, struct fl_query *q)
{
	const struct cache *c = inst;
	struct cache_slot *st = *fl_slot(q);
	const struct fl_reply *r = &q->res;
	uint32_t ttl;
	if (!st)                        /* detached, when memory was out */
		return FL_DONE;
	if (!st->ad)
		q->ask.flags &= (uint16_t)~FL_AD;
	if (st->role >= CACHE_PREFETCH)
		return reply_detached(c, q, st);
	if (st->role == CACHE_VERIFY && !q->dropped)
		return reply_verify(c, q, st);
	if (q->root->late) {            /* a client that left is no failure */
		fl_cache_left_flight(st);
		return FL_DONE;
	}
	/* Nothing was written. A failure of what is below (an upstream that does not answer) is kept. */
	bool silent = q->dropped || r->stream || (r->bare && (r->rcode != FL_SERVFAIL || !r->why));
	bool kept = !silent && settle(c, q, st, &ttl);
	if (st->claimed)
		fl_cache_refreshed(c, NULL, st, false, 0);
	fl_cache_landed(q, st, kept);
	return FL_DONE;
}

static void cancel(void *inst, struct fl_query *q)
{
	struct cache_slot *st = *fl_slot(q);
	if (!st)
		return;
	if (st->role == CACHE_FOLLOW)   /* left before what it waited for came in */
		count_miss(q, st);
	fl_cache_left_flight(st);
	fl_cache_refreshed(inst, NULL, st, false, 0);
}

/* The process ends, perhaps without stopping what serves (SIGINT). */
static uint64_t leave(void *inst)
{
	const struct cache *c = inst;
	fl_cache_persist_now(c->store->persist);
	return 0;
}

/* ---- of each shard ---- */

static int shard_start(void *inst, struct fl_shard *sh, void **local)
{
	(void)inst, (void)sh;
	*local = fl_cache_flights_create();
	return 0;
}

static void shard_stop(void *inst, struct fl_shard *sh, void *local)
{
	(void)inst, (void)sh;
	free(local);
}

static const struct fl_opt opts[] = {
	{ "", "[TTL] [ZONES...]", "keeps answers, at most TTL seconds (3600, denials 1800), for the zones (those of the block)" },
	{ "success", "CAPACITY [TTL] [MINTTL]", "answers: how many (9984), and the bounds of their TTL (3600, 5)" },
	{ "denial", "CAPACITY [TTL] [MINTTL]", "NXDOMAIN and NODATA: how many (9984), and the bounds of their TTL (1800, 5)" },
	{ "prefetch", "AMOUNT [DURATION] [PERCENTAGE%]", "asked AMOUNT times, never DURATION (1m) apart: refreshed in the last PERCENTAGE (10%) of its TTL" },
	{ "serve_stale", "[DURATION] [REFRESH_MODE] ...", "what is over is served for DURATION (1h) more: at once (immediate), or when the upstream fails (verify)" },
	{ "serve_stale_policy", "prefer_positive", "an answer is rather served stale than a denial fresh" },
	{ "servfail", "DURATION", "how long failures are kept (5s); 0: not at all" },
	{ "disable", "success|denial [ZONES...]", "what is not kept, below these zones (all)" },
	{ "keepttl", "", "TTLs are not counted down" },
	{ "max_bytes", "SIZE", "the memory of all entries: 64M; their number is then only bounded where success and denial say so" },
	{ "persist", "FILE [INTERVAL]", "entries survive a restart: written every INTERVAL (5m) and at the end" },
	{ NULL },
};

FL_PLUGIN(cache, .opts = opts, .setup = fl_cache_setup, .chain = fl_cache_chain, .start = fl_cache_start, .stop = fl_cache_stop, .leave = leave,
	  .shard_start = shard_start, .shard_stop = shard_stop, .query = query, .reply = reply, .cancel = cancel);

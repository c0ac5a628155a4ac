/* cache [TTL] [ZONES...] { ... }: keeps what the plugins below answered. Behaviour after CoreDNS plugin/cache; what comes from an
 * index that is always fresh (kubernetes) is passed with the TTL that a cache would give it, and never kept. */
#include "plugin/cache/cache_int.h"

enum { MISSED = 1, CLIENT_AD = 2 };     /* in the slot */

/* ---- hits ---- */

/* Seconds left; 0: it is over. Another shard's clock may be a moment ahead. */
static uint32_t left(const struct cache_entry *e, uint64_t now)
{
	uint64_t age = now > e->stored_ns ? (now - e->stored_ns) / FL_SEC : 0;
	return age < e->ttl_s ? e->ttl_s - (uint32_t)age : 0;
}

static const struct cache_entry *get(const struct cache *c, struct fl_query *q, uint64_t hash, int which)
{
	const struct cache_entry *e = fl_cache_slab_get(c->store->slab[which], hash, q->arena);
	return e && left(e, fl_now(q->shard)) && fl_cache_fits(q, e) ? e : NULL;
}

/* A denial goes first, but a failure does not hide a good answer. */
static const struct cache_entry *find(const struct cache *c, struct fl_query *q, int *which)
{
	uint64_t hash = fl_cache_hash(q);
	const struct cache_entry *no = get(c, q, hash, CACHE_DENIAL), *yes = NULL;
	if (!no || no->rcode == FL_SERVFAIL)
		yes = get(c, q, hash, CACHE_SUCCESS);
	*which = yes ? CACHE_SUCCESS : CACHE_DENIAL;
	return yes ? yes : no;
}

static bool nothing_kept(const struct cache *c, struct fl_name n)
{
	return c->except[0].n && c->except[1].n && fl_zones_match(&c->except[0], n) >= 0 && fl_zones_match(&c->except[1], n) >= 0;
}

static enum fl_verdict query(void *inst, struct fl_query *q)
{
	struct cache *c = inst;
	struct cache_mine *m = fl_mine(q);
	unsigned sh = q->shard->id;
	const struct cache_entry *e;
	int which;
	if (q->client->opcode != FL_OP_QUERY || (!c->all && fl_zones_match(&c->zones, q->qname) < 0))
		return FL_NEXT;
	fl_grid_add(m->requests, sh, 0, 1);
	bool ad = q->ask.flags & FL_AD;
	e = nothing_kept(c, q->qname) ? NULL : find(c, q, &which);
	if (e && !fl_cache_decode(q, e, c->keepttl ? e->ttl_s : left(e, fl_now(q->shard)))) {
		fl_grid_add(m->hits, sh, (unsigned)which, 1);
		if (q->ask.dnssec_ok || ad)     /* who wants to know (RFC 6840 §5.7, §5.8) */
			q->res.set |= e->flags & FL_AD;
		return FL_DONE;
	}
	fl_grid_add(m->misses, sh, 0, 1);
	*fl_slot(q) = (void *)(uintptr_t)(MISSED | (ad ? CLIENT_AD : 0));
	q->ask.flags |= FL_AD;          /* so that what is kept may be told to those who ask for it */
	return FL_WRAP;
}

/* ---- misses, on the way up ---- */

static void keep(struct cache *c, struct fl_query *q, int which, uint32_t ttl)
{
	struct cache_mine *m = fl_mine(q);
	if (c->except[which].n && fl_zones_match(&c->except[which], q->qname) >= 0)
		return;
	struct cache_entry *e = fl_cache_encode(q, ttl);
	int gone = e ? fl_cache_slab_put(c->store->slab[which], e, q->shard->rng) : -1;
	if (gone < 0)
		return;
	if (gone)
		fl_grid_add(m->evictions, q->shard->id, (unsigned)which, (uint64_t)gone);
	if (!__atomic_load_n(&m->stored, __ATOMIC_RELAXED))
		__atomic_store_n(&m->stored, true, __ATOMIC_RELAXED);
}

static uint32_t clip(uint32_t ttl, uint32_t min, uint32_t max)
{
	ttl = ttl < min ? min : ttl;
	return ttl > max ? max : ttl;
}

static enum fl_verdict reply(void *inst, struct fl_query *q)
{
	struct cache *c = inst;
	uintptr_t slot = (uintptr_t)*fl_slot(q);
	struct fl_reply *r = &q->res;
	bool ad = slot & CLIENT_AD;
	if (!ad)
		q->ask.flags &= (uint16_t)~FL_AD;
	if (q->dropped || r->stream)
		return FL_DONE;
	/* Nothing was written. A failure of what is below (an upstream that does not answer) is kept, a client that left is none. */
	if (r->bare && (r->rcode != FL_SERVFAIL || !r->why || q->root->late))
		return FL_DONE;
	enum fl_kind kind = fl_cache_kind(q);
	bool failed = kind == FL_KIND_SERVERERROR;
	int which = failed || fl_classify(kind) == FL_CLASS_DENIAL ? CACHE_DENIAL : CACHE_SUCCESS;
	uint32_t min = c->min_s[which], max = c->max_s[which];
	uint32_t ttl = failed ? (uint32_t)(c->fail_ns / (int64_t)FL_SEC) : clip(fl_cache_lowest_ttl(r, kind, max), min, max);
	if (!r->live && ttl && fl_cache_may_store(q, kind))
		keep(c, q, which, ttl);
	for (unsigned i = 0; i < r->n; i++)
		r->item[i].ttl_min = r->item[i].ttl_max = ttl;
	r->opt = NULL;                  /* hop by hop (RFC 6891 §6.2.1) */
	if (!r->bare)
		r->has_ede = false;
	if (!q->ask.dnssec_ok && !ad)
		r->set &= (uint16_t)~FL_AD;
	return FL_DONE;
}

/* ---- metrics ---- */

static int chain(void *inst, struct fl_chain *ch, struct fl_arena *a, void **mine)
{
	static const char *const types[] = { [CACHE_SUCCESS] = "success", [CACHE_DENIAL] = "denial" };
	static const struct fl_dim type = { FL_COUNT(types), types };
	static const struct fl_metric_def requests = { .name = "coredns_cache_requests_total", .kind = FL_COUNTER,
		.help = "The count of cache requests.", .labels = { "server", "zones", "view" } };
	static const struct fl_metric_def misses = { .name = "coredns_cache_misses_total", .kind = FL_COUNTER,
		.help = "The count of cache misses. Deprecated, derive misses from cache hits/requests counters.",
		.labels = { "server", "zones", "view" } };
	static const struct fl_metric_def hits = { .name = "coredns_cache_hits_total", .kind = FL_COUNTER,
		.help = "The count of cache hits.", .labels = { "server", "zones", "view", "type" } };
	static const struct fl_metric_def evictions = { .name = "coredns_cache_evictions_total", .kind = FL_COUNTER,
		.help = "The count of cache evictions.", .labels = { "server", "zones", "view", "type" } };
	static const struct fl_metric_def entries = { .name = "coredns_cache_entries", .kind = FL_GAUGE,
		.help = "The number of elements in the cache.", .labels = { "server", "zones", "view", "type" } };
	struct cache *c = inst;
	struct cache_mine *m = fl_zalloc(a, sizeof *m);
	struct fl_str fixed[4] = { ch->server, c->label, ch->view };
	m->requests = fl_metric_grid(fl_metric(&requests), fixed, NULL, 0);
	m->misses = fl_metric_grid(fl_metric(&misses), fixed, NULL, 0);
	m->hits = fl_metric_grid(fl_metric(&hits), fixed, &type, 1);
	m->evictions = fl_metric_grid(fl_metric(&evictions), fixed, &type, 1);
	for (unsigned i = 0; i < FL_COUNT(types); i++) {
		fixed[3] = fl_str(types[i]);
		m->entries[i] = fl_metric_grid(fl_metric(&entries), fixed, NULL, 0);
	}
	m->next = c->mine;
	c->mine = m;
	*mine = m;
	return 0;
}

static void refresh(void *arg)
{
	struct cache *c = arg;
	uint64_t n[2] = { fl_cache_slab_count(c->store->slab[0]), fl_cache_slab_count(c->store->slab[1]) };
	for (struct cache_mine *m = c->mine; m; m = m->next)
		for (unsigned i = 0; i < 2 && __atomic_load_n(&m->stored, __ATOMIC_RELAXED); i++)
			fl_grid_set(m->entries[i], (double)n[i]);
}

static int start(void *inst, struct fl_err *e)
{
	(void)e;
	fl_metric_before(refresh, inst);
	return 0;
}

static void stop(void *inst)
{
	struct cache *c = inst;
	fl_metric_before_drop(refresh, inst);
	for (struct cache_mine *m = c->mine; m; m = m->next)
		for (unsigned i = 0; i < 2; i++)
			fl_grid_hide(m->entries[i]);
}

static const struct fl_opt opts[] = {
	{ "", "[TTL] [ZONES...]", "keeps answers, at most TTL seconds (3600, denials 1800), for the zones (those of the block)" },
	{ "success", "CAPACITY [TTL] [MINTTL]", "answers: how many (9984), and the bounds of their TTL (3600, 5)" },
	{ "denial", "CAPACITY [TTL] [MINTTL]", "NXDOMAIN and NODATA: how many (9984), and the bounds of their TTL (1800, 5)" },
	{ "servfail", "DURATION", "how long failures are kept (5s); 0: not at all" },
	{ "disable", "success|denial [ZONES...]", "what is not kept, below these zones (all)" },
	{ "keepttl", "", "TTLs are not counted down" },
	{ "prefetch", "AMOUNT [DURATION] [PERCENTAGE%]", "later" },
	{ "serve_stale", "[DURATION] [REFRESH_MODE] ...", "later" },
	{ "serve_stale_policy", "prefer_positive", "later" },
	{ NULL },
};

FL_PLUGIN(cache, .opts = opts, .setup = fl_cache_setup, .chain = chain, .start = start, .stop = stop, .query = query,
	  .reply = reply);

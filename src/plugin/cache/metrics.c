#include "plugin/cache/cache_int.h"
#include "plugin/cache/persist.h"

#define CHAIN { "server", "zones", "view" }
#define BY_TYPE { "server", "zones", "view", "type" }

static const char *const types[] = { [CACHE_SUCCESS] = "success", [CACHE_DENIAL] = "denial" };
static const struct fl_dim type = { FL_COUNT(types), types };

static const struct fl_metric_def requests = { .name = "coredns_cache_requests_total", .kind = FL_COUNTER,
	.help = "The count of cache requests.", .labels = CHAIN };
static const struct fl_metric_def misses = { .name = "coredns_cache_misses_total", .kind = FL_COUNTER,
	.help = "The count of cache misses. Deprecated, derive misses from cache hits/requests counters.", .labels = CHAIN };
static const struct fl_metric_def drops = { .name = "coredns_cache_drops_total", .kind = FL_COUNTER,
	.help = "The number responses that are not cached, because the reply is malformed.", .labels = CHAIN };
static const struct fl_metric_def prefetches = { .name = "coredns_cache_prefetch_total", .kind = FL_COUNTER,
	.help = "The number of times the cache has prefetched a cached item.", .labels = CHAIN };
static const struct fl_metric_def stale = { .name = "coredns_cache_served_stale_total", .kind = FL_COUNTER,
	.help = "The number of requests served from stale cache entries.", .labels = CHAIN };
static const struct fl_metric_def joined = { .name = "fairlead_cache_joined_total", .kind = FL_COUNTER,
	.help = "Requests that waited for an equal one on its way to the plugins below.", .labels = CHAIN };
static const struct fl_metric_def hits = { .name = "coredns_cache_hits_total", .kind = FL_COUNTER,
	.help = "The count of cache hits.", .labels = BY_TYPE };
static const struct fl_metric_def evictions = { .name = "coredns_cache_evictions_total", .kind = FL_COUNTER,
	.help = "The count of cache evictions.", .labels = BY_TYPE };
static const struct fl_metric_def entries = { .name = "coredns_cache_entries", .kind = FL_GAUGE,
	.help = "The number of elements in the cache.", .labels = BY_TYPE };
static const struct fl_metric_def bytes = { .name = "fairlead_cache_bytes", .kind = FL_GAUGE,
	.help = "Memory that the entries of the cache take.", .labels = CHAIN };

int fl_cache_chain(void *inst, struct fl_chain *ch, struct fl_arena *a, void **mine)
{
	struct cache *c = inst;
	struct cache_mine *m = fl_zalloc(a, sizeof *m);
	struct fl_str fixed[4] = { ch->server, c->label, ch->view };
	m->requests = fl_metric_grid(fl_metric(&requests), fixed, NULL, 0);
	m->misses = fl_metric_grid(fl_metric(&misses), fixed, NULL, 0);
	m->drops = fl_metric_grid(fl_metric(&drops), fixed, NULL, 0);
	m->prefetches = fl_metric_grid(fl_metric(&prefetches), fixed, NULL, 0);
	m->stale = fl_metric_grid(fl_metric(&stale), fixed, NULL, 0);
	m->joined = fl_metric_grid(fl_metric(&joined), fixed, NULL, 0);
	m->bytes = fl_metric_grid(fl_metric(&bytes), fixed, NULL, 0);
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
	const struct cache *c = arg;
	for (struct cache_mine *m = c->mine; m; m = m->next) {
		if (!__atomic_load_n(&m->stored, __ATOMIC_RELAXED))
			continue;
		for (int i = 0; i < 2; i++)
			fl_grid_set(m->entries[i], (double)fl_cache_slab_count(c->store->slab, i));
		fl_grid_set(m->bytes, (double)fl_cache_slab_bytes(c->store->slab));
	}
}

int fl_cache_start(void *inst, struct fl_err *e)
{
	struct cache *c = inst;
	(void)e;
	bool kept = fl_cache_slab_count(c->store->slab, CACHE_SUCCESS) || fl_cache_slab_count(c->store->slab, CACHE_DENIAL);
	for (struct cache_mine *m = c->mine; m; m = m->next)
		m->stored = kept;       /* over a reload or a restart */
	fl_metric_before(refresh, inst);
	fl_cache_persist_active(c->store->persist);
	return 0;
}

void fl_cache_stop(void *inst)
{
	struct cache *c = inst;
	fl_metric_before_drop(refresh, inst);
	for (struct cache_mine *m = c->mine; m; m = m->next) {
		for (unsigned i = 0; i < 2; i++)
			fl_grid_hide(m->entries[i]);
		fl_grid_hide(m->bytes);
	}
}

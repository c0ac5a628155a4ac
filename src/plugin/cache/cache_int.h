/* cache, inside. One instance a server block; success and denial have a slab each.
 *
 *   query  hit ─ DONE            a copy of the entry in the arena, all TTLs what is left of one
 *          miss ─ WRAP … reply   classify, one TTL for all records, store unless it is alive or forbidden */
#pragma once
#include "dns/plugin.h"
#include "dns/typify.h"
#include "plugin/cache/slab.h"

enum { CACHE_SUCCESS, CACHE_DENIAL };

/* Metrics of one chain (server, zones, view). */
struct cache_mine {
	struct fl_grid *requests, *misses, *hits, *evictions;
	struct fl_grid *entries[2];
	bool stored;                    /* atomic: something came in through this chain */
	struct cache_mine *next;
};

struct cache {
	struct fl_zones zones, except[2];       /* except: never stored */
	bool all;                       /* zones hold the root */
	struct fl_str label;            /* zones, joined by commas */
	int64_t cap[2], fail_ns;
	uint32_t min_s[2], max_s[2];
	bool keepttl;
	struct cache_store *store;
	struct cache_mine *mine;
};

struct cache_store { struct cache_slab *slab[2]; };

/* setup.c */
int fl_cache_setup(struct fl_setup *s, void **inst);

/* item.c: q->res ⇄ entries */
struct cache_entry *fl_cache_encode(struct fl_query *q, uint32_t ttl_s);       /* in the arena; NULL: too big, or no memory */
int fl_cache_decode(struct fl_query *q, const struct cache_entry *e, uint32_t ttl_s);   /* → q->res, without AD; 0, -ENOMEM */
uint64_t fl_cache_hash(const struct fl_query *q);
bool fl_cache_fits(const struct fl_query *q, const struct cache_entry *e);     /* is it about this question? */

/* answer.c: what kind of answer is q->res? */
/* CoreDNS's classes, and NOERROR that does not answer the question but has a SOA is NODATA (plugin/cache cacheResponseType). */
enum fl_kind fl_cache_kind(const struct fl_query *q);
/* May it be stored at all, whatever the settings? */
bool fl_cache_may_store(const struct fl_query *q, enum fl_kind k);
/* The lowest TTL of all records, at most `max`; fewer than a record: 5 (dnsutil.MinimalTTLWithMaximum). */
uint32_t fl_cache_lowest_ttl(const struct fl_reply *r, enum fl_kind k, uint32_t max);

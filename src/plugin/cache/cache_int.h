/* cache, inside. One instance a server block; what it keeps lies in one slab, shared by all shards and kept over reloads.
 *
 *   query  hit ─ DONE            a copy of the entry in the arena, all TTLs what is left of one; asked often and nearly over: refreshed
 *          over ─ stale.c        (serve_stale) refreshed beside, or the upstream goes first
 *          miss ─ WRAP … reply   classify, one TTL for all records, store unless it is alive or forbidden
 *               └ WAIT           somebody of this shard asks the same already: flight.c
 *
 *   cache.c   the way down and up         slab.c, slab_write.c   entries in memory        persist.c       the file, its times and its thread
 *   stale.c   refreshing                  item.c                 answers ⇄ entries        persist_file.c  its bytes
 *   flight.c  equal misses, joined        answer.c               what kind of answer      setup.c, setup_opt.c, metrics.c */
#pragma once
#include "dns/plugin.h"
#include "dns/typify.h"
#include "plugin/cache/slab.h"

/* Metrics of one chain (server, zones, view). */
struct cache_mine {
	struct fl_grid *requests, *misses, *hits, *evictions, *drops, *prefetches, *stale, *joined;
	struct fl_grid *entries[2], *bytes;
	bool stored;                    /* atomic: something came in through this chain */
	struct cache_mine *next;
};

struct cache {
	struct fl_zones zones, except[2];       /* except: never stored */
	bool all;                       /* zones hold the root */
	struct fl_str label;            /* zones, joined by commas */
	int64_t cap[2], fail_ns;
	bool capped[2];                 /* success, denial said how many */
	uint64_t max_bytes;             /* 0: nothing was said */
	uint32_t min_s[2], max_s[2];
	bool keepttl;
	/* prefetch: after so many hits (0: off), none longer than this apart, when so much of the TTL is left */
	int64_t prefetch, apart_ns, percent;
	/* serve_stale: 0 is off */
	int64_t stale_ns, verify_ns, recheck_ns;        /* verify_ns: how long clients wait for the upstream, 0: until it is through */
	uint32_t stale_ttl_s;
	bool verify, prefer;            /* mode verify; policy prefer_positive */
	const char *persist;            /* path, NULL: not */
	int64_t persist_ns;
	struct cache_store *store;
	struct cache_mine *mine;
};

/* What outlives reloads. */
struct cache_store { struct cache_slab *slab; struct cache_persist *persist; };

/* What a query that missed, waits or refreshes knows: in its slot. */
enum cache_role {
	CACHE_MISS,             /* its answer is for the client and the cache */
	CACHE_VERIFY,           /* the same, but `old` is there if it is no good */
	CACHE_FOLLOW,           /* waits for who leads the same question */
	CACHE_WAIT,             /* waits a while for peer, which verifies */
	CACHE_PREFETCH, CACHE_REFRESH, CACHE_CHECK,     /* detached: of what is nearly over; of what is over; the same, somebody waits */
};
enum cache_news { CACHE_NO_NEWS, CACHE_LOOK_AGAIN, CACHE_ALONE /* look again, and do not wait any more */, CACHE_LEAD };
struct cache_slot {
	enum cache_role role;
	enum cache_news news;           /* for a follower */
	bool ad;                        /* what the client said */
	bool counted;                   /* as a hit, before it waited */
	bool leads;                     /* stands in the table of flights */
	bool claimed;                   /* holds the refresh of the entry at `cell` */
	uint64_t hash, key;             /* of the entry, of the flight */
	struct cache_slot *next, **from;        /* in the table, or among the followers */
	struct cache_slot *followers;
	struct fl_ticket ticket;        /* followers and waiting ones */
	const struct cache_entry *old, *fresh;
	uint32_t cell;
	uint64_t asked;                 /* hits of what is refreshed */
	struct cache_slot *peer;        /* CACHE_WAIT ⇄ CACHE_CHECK */
	struct fl_arena *arena;         /* of the one that waits */
};

/* cache.c */
uint32_t fl_cache_left(const struct cache_entry *e, uint64_t now);      /* seconds; 0: it is over */
struct cache_slot *fl_cache_slot(struct fl_query *q, struct fl_arena *a, enum cache_role role, uint64_t hash);  /* NULL: no memory */
/* Answers from an entry; false: no memory. */
bool fl_cache_serve(struct fl_query *q, const struct cache_entry *e, uint32_t ttl_s, bool ad);
enum fl_verdict fl_cache_go_down(struct fl_query *q, struct cache_slot *st);

/* stale.c */
/* A valid entry was hit: is it time to refresh it? */
void fl_cache_prefetch(const struct cache *c, struct fl_query *q, const struct cache_entry *e, uint32_t cell);
/* One that is over was hit. st: NULL, or of a follower that is done waiting. */
enum fl_verdict fl_cache_stale(const struct cache *c, struct fl_query *q, const struct cache_entry *e, uint32_t cell, struct cache_slot *st);
enum fl_verdict fl_cache_stale_serve(const struct cache *c, struct fl_query *q, const struct cache_entry *e, bool ad);
enum fl_verdict fl_cache_waited(const struct cache *c, struct fl_query *q, struct cache_slot *st);
/* May what came in take the place of what is over (RFC 8767 §4)? */
bool fl_cache_accept(const struct cache *c, const struct fl_query *q);
/* The refresh is over, with success or without; who waits is told. q: NULL when it was cancelled. */
void fl_cache_refreshed(const struct cache *c, struct fl_query *q, struct cache_slot *st, bool good, uint32_t ttl_s);

/* flight.c: equal misses of one shard */
void *fl_cache_flights_create(void);
/* Somebody leads this question: st waits for it (true). Else st leads from now on, or goes alone. */
bool fl_cache_join(struct fl_query *q, struct cache_slot *st);
/* The end of a flight: everybody looks again. shared: the answer, or if it could not be stored this time the next one, can be had from
 * the cache. */
void fl_cache_landed(struct fl_query *q, struct cache_slot *st, bool shared);
/* st will not answer: another one leads. Also for followers, which just leave. */
void fl_cache_left_flight(struct cache_slot *st);

/* setup.c, setup_opt.c (the options that say something of refreshing and memory) */
int fl_cache_setup(struct fl_setup *s, void **inst);
struct cache_reading {
	struct fl_setup *s;
	struct cache *c;
	struct fl_str *arg; unsigned n; /* of the option */
	bool stale, policy;
	struct fl_str file;             /* of persist, as written */
};
int fl_cache_number(struct cache_reading *r, struct fl_str text, int64_t *v);
int fl_cache_duration(struct cache_reading *r, struct fl_str text, const char *before, int64_t *ns);
int fl_cache_o_prefetch(struct cache_reading *r);
int fl_cache_o_serve_stale(struct cache_reading *r);
int fl_cache_o_serve_stale_policy(struct cache_reading *r);
int fl_cache_o_max_bytes(struct cache_reading *r);
int fl_cache_o_persist(struct cache_reading *r);

/* metrics.c */
int fl_cache_chain(void *inst, struct fl_chain *ch, struct fl_arena *a, void **mine);
int fl_cache_start(void *inst, struct fl_err *e);
void fl_cache_stop(void *inst);

/* item.c: q->res ⇄ entries */
/* Of kind, in the arena; NULL: too big, or no memory. */
struct cache_entry *fl_cache_encode(const struct fl_query *q, struct fl_arena *a, unsigned kind, uint32_t ttl_s);
int fl_cache_decode(struct fl_query *q, const struct cache_entry *e, uint32_t ttl_s);   /* → q->res, without AD; 0, -ENOMEM */
uint64_t fl_cache_hash(const struct fl_query *q);
uint64_t fl_cache_hash_of(const struct cache_entry *e);         /* from its name and bits */
bool fl_cache_fits(const struct fl_query *q, const struct cache_entry *e);     /* is it about this question? */
bool fl_cache_sound(const struct cache_entry *e, size_t n);     /* n octets from a stranger: is this a whole entry, in all its parts? */

/* answer.c: what kind of answer is q->res? */
/* CoreDNS's classes, and NOERROR that does not answer the question but has a SOA is NODATA (plugin/cache cacheResponseType). */
enum fl_kind fl_cache_kind(const struct fl_query *q);
/* May it be stored at all, whatever the settings? */
bool fl_cache_may_store(const struct fl_query *q, enum fl_kind k);
bool fl_cache_answers(const struct fl_query *q);        /* are there records of what was asked, at the end of the aliases? */
/* The lowest TTL of all records, at most `max`; fewer than a record: 5 (dnsutil.MinimalTTLWithMaximum). */
uint32_t fl_cache_lowest_ttl(const struct fl_reply *r, enum fl_kind k, uint32_t max);

/* slab: where a cache keeps its entries, answers and denials together. Shared by all shards; nobody ever waits for anybody.
 *
 *   16 shelves ── buckets ── entry → entry …          an entry is a chain of cells of 128 octets in mapped memory; an address of a name fits one
 *
 * A shelf is a seqlock: its number is odd while somebody writes. A reader copies an entry out and looks at the number again; when
 * it moved, the copy is thrown away and made anew, a few times, and then it is a miss. A writer that finds another one at work
 * tries for a moment and then leaves it: what is not stored is asked again. All shared words are atomic, so a torn copy is only
 * ever thrown away.
 *
 * Which cells are used, and which begin an entry, stands in bitmaps, one word for the cells of a page. What is full gives up an expired entry
 * if a short look finds one, else one that was not asked since SIEVE's hand passed it: a hit sets a bit, and only when it is clear, so
 * that readers of what is asked often share their lines. Pages that are empty go back to the system (fl_cache_slab_sweep). */
#pragma once
#include "base/mem.h"

enum { CACHE_ENTRY_MAX = 16 * 1024 };
/* Of a question at most one entry each. GOOD: an answer that something else took the place of (serve_stale_policy prefer_positive). */
enum { CACHE_SUCCESS, CACHE_DENIAL, CACHE_GOOD, CACHE_KINDS };

/* What an entry begins with; behind it name_len octets of the question's name, then the items (item.c). */
struct cache_entry {
	uint64_t hash;
	uint64_t stored_ns;             /* on the monotonic clock; may lie before its beginning (persist): compare differences */
	uint32_t ttl_s;
	uint16_t len, nitems;           /* len: octets in all, this included */
	uint16_t type, class, rcode;
	uint8_t bits, name_len;
};
enum { CACHE_DO = 1, CACHE_CD = 2, CACHE_AA = 4, CACHE_RA = 8, CACHE_AD = 16, CACHE_ANSWERS = 32, CACHE_KIND = 6 /* shift */ };

static inline unsigned fl_cache_kind_of(const struct cache_entry *e) { return e->bits >> CACHE_KIND; }

struct cache_slab;
struct cache_slab_how {
	int64_t cap[2];                 /* entries of answers and denials, as CoreDNS: in 256 parts, at least 4 in each */
	uint64_t bytes;                 /* of all memory; 0: 1 KiB for each of them */
	bool noted;                     /* fl_cache_slab_use() will be used */
	uint64_t stale_ns;              /* how long entries are of use when they are over */
};
struct cache_slab *fl_cache_slab_create(const struct cache_slab_how *how);      /* NULL: no address space */
void fl_cache_slab_destroy(struct cache_slab *s);       /* NULL is fine */
/* How many of CACHE_SUCCESS (with GOOD) or CACHE_DENIAL; how many at most; octets of cells in use. Any thread. */
uint64_t fl_cache_slab_count(const struct cache_slab *s, int which);
uint64_t fl_cache_slab_cap(const struct cache_slab *s, int which);
uint64_t fl_cache_slab_bytes(const struct cache_slab *s);
uint64_t fl_cache_slab_puts(const struct cache_slab *s);        /* changes since the beginning, roughly */

/* What there is of one hash: heads (their names and items are not there), and where. choose() picks a kind, or -1. */
struct cache_found { struct cache_entry head[CACHE_KINDS]; bool there[CACHE_KINDS]; };
typedef int cache_choose(const void *arg, const struct cache_found *f);
/* A copy of the chosen one in the arena; NULL: none, or it could not be read in peace. *cell: its place, for fl_cache_slab_use. */
const struct cache_entry *fl_cache_slab_get(struct cache_slab *s, uint64_t hash, cache_choose *choose, const void *arg, struct fl_arena *a,
					    uint32_t *cell);

/* Stores an entry (aligned to 8) in the place of one with the same hash and kind. gone: how many others had to go, by kind (GOOD as
 * SUCCESS). 0; -EBUSY, -E2BIG: not stored. */
enum { CACHE_DROP_DENIAL = 1,   /* and the denial of the same question goes */
       CACHE_DROP_GOOD = 2,     /* and the GOOD */
       CACHE_SAVE_GOOD = 4 };   /* what it replaces becomes GOOD if it answers */
int fl_cache_slab_put(struct cache_slab *s, const struct cache_entry *e, unsigned how, unsigned gone[2]);

/* What is noted of an entry beside it. The place may have become another entry's meanwhile: then that one is noted, which does no harm. */
struct cache_use {
	uint64_t asked;                 /* hits << 41 | when last, ms (CoreDNS plugin/cache/freq) */
	uint64_t refresh;               /* 1: one is under way; else the ms before which none may begin << 1 */
};
struct cache_use *fl_cache_slab_use(struct cache_slab *s, uint64_t hash, uint32_t cell);
/* Where the entry of this hash and kind is now; 0: nowhere. */
uint32_t fl_cache_slab_find(struct cache_slab *s, uint64_t hash, int kind);

/* Drops what is over and gives pages back, at most n cells of each shelf, going on where it was. now: monotonic ns. Main thread. */
void fl_cache_slab_sweep(struct cache_slab *s, uint64_t now, uint32_t n);
/* A copy of the next entry behind *at (0: the first) into to, of CACHE_ENTRY_MAX octets; false: there are no more. */
bool fl_cache_slab_walk(struct cache_slab *s, uint64_t *at, struct cache_entry *to);

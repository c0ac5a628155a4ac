/* slab: where a cache keeps its entries. Shared by all shards; nobody ever waits for anybody.
 *
 *   16 shelves ── buckets ── entry → entry …          an entry is a chain of cells of 256 octets in mapped memory
 *
 * A shelf is a seqlock: its number is odd while somebody writes. A reader copies an entry out and looks at the number again; when
 * it moved, the copy is thrown away and made anew, a few times, and then it is a miss. A writer that finds another one at work
 * tries for a moment and then leaves it: what is not stored is asked again. All shared words are atomic, so a torn copy is only
 * ever thrown away.
 *
 * A full shelf gives up an expired entry if a short look finds one, else a random one. */
#pragma once
#include "base/mem.h"
#include "base/rng.h"

enum { CACHE_ENTRY_MAX = 16 * 1024 };

/* What an entry begins with; behind it name_len octets of the question's name, then the items (item.c). */
struct cache_entry {
	uint64_t hash;
	uint64_t stored_ns;
	uint32_t len, ttl_s;            /* len: octets in all, this included */
	uint16_t type, class, rcode, flags;     /* flags: header bits AA, RA, AD as they came */
	uint8_t want, name_len;         /* want: DO, CD of the question */
	uint16_t nitems;
	uint32_t spare;
};

struct cache_slab;
/* As many entries as CoreDNS would keep: cap in 256 parts, at least 4 in each. NULL: no address space. */
struct cache_slab *fl_cache_slab_create(int64_t cap);
void fl_cache_slab_destroy(struct cache_slab *s);       /* NULL is fine */
uint64_t fl_cache_slab_count(const struct cache_slab *s);
uint64_t fl_cache_slab_cap(const struct cache_slab *s);
/* A copy of the entry with this hash, in the arena; NULL: none, or it could not be read in peace. */
const struct cache_entry *fl_cache_slab_get(struct cache_slab *s, uint64_t hash, struct fl_arena *a);
/* Stores an entry (aligned to 8) in the place of one with the same hash. How many others had to go; -EBUSY, -E2BIG: not stored. */
int fl_cache_slab_put(struct cache_slab *s, const struct cache_entry *e, struct fl_rng *rng);

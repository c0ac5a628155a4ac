/* slab, inside: its words, for slab.c (making, reading) and slab_write.c (storing, making room). */
#pragma once
#include "plugin/cache/slab.h"

enum { SHELVES = 16, CELL_WORDS = 16, PAYLOAD_WORDS = CELL_WORDS - 1, HEAD_WORDS = sizeof(struct cache_entry) / 8, PAGE = 4096,
       WORDS_MIN = 16, SPINS = 256 };

/* A cell: the first word links (low half: the next cell of the entry; high half, in an entry's first cell: the next entry of the
 * bucket), the rest is the entry. Cells of a shelf are numbered from 1. */
struct shelf {
	_Alignas(64) uint32_t seq;
	uint32_t n[2], ncells;          /* entries, by kind; cells in use */
	uint32_t low;                   /* no word of `used` before this one has room */
	/* Cells, 0: none. Of answers and denials: the newest and the oldest, where the hand stands, and where to look for what is over. */
	uint32_t newest[2], oldest[2], hand[2], look[2];
	uint32_t sweep;                 /* a word of the maps */
};

/* Between entries in the order in which they came. */
struct age { uint32_t older, newer; };

struct cache_slab {
	struct shelf shelf[SHELVES];
	uint64_t cap[2], stale_ns;
	uint32_t max[2], ncells, nwords, mask;  /* of a shelf: entries, cells, words of a map, buckets - 1 */
	uint64_t *bucket;               /* low half: the first entry; high half: a bit of the hash of each of its entries */
	bool noted;
	/* A bit a cell. Written under the shelf's number, but for visited, which readers set. dirty: the page was touched since it was given back,
	 * in bit 0. */
	uint32_t *used, *head, *visited, *dirty;
	struct age *age;
	uint64_t *cell;
	struct cache_use *use;          /* touched with prefetch and serve_stale only */
	void *map; size_t map_len;
};
_Static_assert(PAGE == 32 * CELL_WORDS * 8, "a word of a map is a page of cells");
_Static_assert(CACHE_GOOD < 4 && sizeof(struct cache_entry) == HEAD_WORDS * 8, "kind has two bits");

/* Acquire and release order everything against the shelf's number; on x86 they are plain moves. */
#define LOAD(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define STORE(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)

enum { W_HASH = 1 };            /* words of an entry's first cell */

static inline void pause_cpu(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

static inline struct shelf *shelf_of(struct cache_slab *s, uint64_t hash) { return &s->shelf[hash % SHELVES]; }

static inline uint64_t *bucket_of(struct cache_slab *s, uint64_t hash)
{
	return s->bucket + (hash % SHELVES) * ((size_t)s->mask + 1) + (hash / SHELVES & s->mask);
}

/* Most of what is asked for and not there is seen in its bucket, without a look at the entries beside it. */
static inline uint64_t sign_of(uint64_t hash) { return 1ull << (32 + (hash >> 59)); }

static inline uint64_t *cell_at(struct cache_slab *s, const struct shelf *h, uint32_t c)
{
	return s->cell + ((size_t)(h - s->shelf) * s->ncells + c - 1) * CELL_WORDS;
}

static inline uint32_t *map_word(struct cache_slab *s, uint32_t *map, const struct shelf *h, uint32_t c)
{
	return map + (size_t)(h - s->shelf) * s->nwords + (c - 1) / 32;
}

static inline uint32_t map_bit(uint32_t c) { return 1u << (c - 1) % 32; }
static inline uint32_t next_cell(const uint64_t *cell) { return (uint32_t)LOAD(&cell[0]); }
static inline uint32_t next_entry(const uint64_t *cell) { return (uint32_t)(LOAD(&cell[0]) >> 32); }
static inline bool still(const struct shelf *h, uint32_t seq) { return __atomic_load_n(&h->seq, __ATOMIC_RELAXED) == seq; }

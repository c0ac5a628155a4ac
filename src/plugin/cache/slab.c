#include "plugin/cache/slab.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { SHELVES = 16, CELL_WORDS = 32, PAYLOAD_WORDS = CELL_WORDS - 1, CELLS_PER_ENTRY = 4, CELLS_MIN = 128, TRIES = 8, SPINS = 256,
       STEPS_MAX = 256, LOOKS = 8 };

/* A cell: the first word links (low half: the next cell of the entry; high half, in an entry's first cell: the next entry of the
 * bucket), the rest is the entry. Cells of a shelf are numbered from 1. */
struct shelf {
	_Alignas(64) uint32_t seq;
	uint32_t n, fresh, free, nfree; /* entries; cells used so far; list of given back ones and its length */
};

struct cache_slab {
	struct shelf shelf[SHELVES];
	uint64_t cap;
	uint32_t max, ncells, mask;     /* of a shelf: entries, cells, buckets - 1 */
	uint32_t *bucket;
	uint64_t *cell;
	void *map; size_t map_len;
};

/* Acquire and release order everything against the shelf's number; on x86 they are plain moves. */
#define LOAD(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define STORE(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)

static inline void pause_cpu(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

struct cache_slab *fl_cache_slab_create(int64_t cap)
{
	uint64_t part = cap / 256 > 4 ? (uint64_t)cap / 256 : 4, buckets = 16;
	if (part > UINT32_MAX / 256)
		return NULL;
	struct cache_slab *s = aligned_alloc(64, sizeof *s);
	if (!s)
		return NULL;
	memset(s, 0, sizeof *s);
	s->cap = part * 256;
	s->max = (uint32_t)(s->cap / SHELVES);
	s->ncells = s->max * CELLS_PER_ENTRY > CELLS_MIN ? s->max * CELLS_PER_ENTRY : CELLS_MIN;
	while (buckets < s->max)
		buckets *= 2;
	s->mask = (uint32_t)buckets - 1;
	size_t index = SHELVES * buckets * sizeof *s->bucket;
	s->map_len = index + (size_t)SHELVES * s->ncells * CELL_WORDS * sizeof *s->cell;
	s->map = mmap(NULL, s->map_len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (s->map == MAP_FAILED) {
		free(s);
		return NULL;
	}
	s->bucket = s->map;
	s->cell = (uint64_t *)((char *)s->map + index);
	return s;
}

void fl_cache_slab_destroy(struct cache_slab *s)
{
	if (!s)
		return;
	munmap(s->map, s->map_len);
	free(s);
}

uint64_t fl_cache_slab_count(const struct cache_slab *s)
{
	uint64_t n = 0;
	for (unsigned i = 0; i < SHELVES; i++)
		n += LOAD(&s->shelf[i].n);
	return n;
}

uint64_t fl_cache_slab_cap(const struct cache_slab *s) { return s->cap; }

/* ---- places ---- */

static struct shelf *shelf_of(struct cache_slab *s, uint64_t hash) { return &s->shelf[hash % SHELVES]; }

static uint32_t *bucket_of(struct cache_slab *s, uint64_t hash)
{
	return s->bucket + (hash % SHELVES) * ((size_t)s->mask + 1) + (hash / SHELVES & s->mask);
}

static uint64_t *cell_at(struct cache_slab *s, const struct shelf *h, uint32_t c)
{
	return s->cell + ((size_t)(h - s->shelf) * s->ncells + c - 1) * CELL_WORDS;
}

static uint32_t next_cell(const uint64_t *cell) { return (uint32_t)LOAD(&cell[0]); }
static uint32_t next_entry(const uint64_t *cell) { return (uint32_t)(LOAD(&cell[0]) >> 32); }
static void links(uint64_t *cell, uint32_t cells, uint32_t entries) { STORE(&cell[0], (uint64_t)entries << 32 | cells); }

/* Words of an entry's first cell. */
enum { W_HASH = 1, W_STORED = 2, W_LEN_TTL = 3 };

static void len_ttl(const uint64_t *cell, uint32_t *len, uint32_t *ttl)
{
	uint64_t w = LOAD(&cell[W_LEN_TTL]);
	uint32_t half[2];
	memcpy(half, &w, sizeof w);
	*len = half[0];
	*ttl = half[1];
}

/* ---- reading ---- */

static bool copy_out(struct cache_slab *s, const struct shelf *h, uint32_t c, uint64_t *to, size_t words)
{
	for (size_t at = 0; at < words;) {
		if (!c || c > s->ncells)
			return false;
		const uint64_t *cell = cell_at(s, h, c);
		for (unsigned i = 1; i < CELL_WORDS && at < words; i++)
			to[at++] = LOAD(&cell[i]);
		c = next_cell(cell);
	}
	return true;
}

/* The first cell of the entry in its bucket; 0: not there, as far as can be seen. */
static uint32_t find(struct cache_slab *s, const struct shelf *h, uint64_t hash)
{
	uint32_t c = LOAD(bucket_of(s, hash));
	for (int i = 0; c && c <= s->ncells && i < STEPS_MAX; i++) {
		const uint64_t *cell = cell_at(s, h, c);
		if (LOAD(&cell[W_HASH]) == hash)
			return c;
		c = next_entry(cell);
	}
	return 0;
}

static bool still(const struct shelf *h, uint32_t seq) { return __atomic_load_n(&h->seq, __ATOMIC_RELAXED) == seq; }

const struct cache_entry *fl_cache_slab_get(struct cache_slab *s, uint64_t hash, struct fl_arena *a)
{
	struct shelf *h = shelf_of(s, hash);
	uint64_t *to = NULL;
	size_t room = 0;
	for (int i = 0, spins = 0; i < TRIES && spins < SPINS;) {
		uint32_t seq = LOAD(&h->seq), len, ttl;
		if (seq & 1) {
			spins++;
			pause_cpu();
			continue;
		}
		i++;
		uint32_t c = find(s, h, hash);
		if (!c && still(h, seq))
			return NULL;
		if (!c)
			continue;
		len_ttl(cell_at(s, h, c), &len, &ttl);
		if (len < sizeof(struct cache_entry) || len > CACHE_ENTRY_MAX)
			continue;
		size_t words = (len + 7u) / 8;
		if (words > room && !(to = fl_alloc(a, words * 8)))
			return NULL;
		room = words > room ? words : room;
		if (copy_out(s, h, c, to, words) && still(h, seq))
			return (const struct cache_entry *)to;
	}
	return NULL;
}

/* ---- writing: the shelf's number is odd ---- */

static bool lock(struct shelf *h)
{
	for (int i = 0; i < SPINS; i++) {
		uint32_t seq = __atomic_load_n(&h->seq, __ATOMIC_RELAXED);
		if (!(seq & 1) && __atomic_compare_exchange_n(&h->seq, &seq, seq + 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			return true;
		pause_cpu();
	}
	return false;
}

static void unlock(struct shelf *h) { __atomic_fetch_add(&h->seq, 1, __ATOMIC_RELEASE); }

static void cell_free(struct cache_slab *s, struct shelf *h, uint32_t c)
{
	links(cell_at(s, h, c), h->free, 0);
	h->free = c;
	h->nfree++;
}

static uint32_t cell_take(struct cache_slab *s, struct shelf *h)
{
	uint32_t c = h->free;
	if (!c)
		return ++h->fresh;
	h->free = next_cell(cell_at(s, h, c));
	h->nfree--;
	return c;
}

static void drop(struct cache_slab *s, struct shelf *h, uint32_t c)
{
	uint64_t *cell = cell_at(s, h, c);
	uint32_t *head = bucket_of(s, cell[W_HASH]), after = next_entry(cell);
	if (*head == c) {
		STORE(head, after);
	} else {
		uint64_t *prev = cell_at(s, h, *head);
		while (next_entry(prev) != c)
			prev = cell_at(s, h, next_entry(prev));
		links(prev, next_cell(prev), after);
	}
	for (uint32_t next; c; c = next) {
		next = next_cell(cell_at(s, h, c));
		cell_free(s, h, c);
	}
	STORE(&h->n, h->n - 1);
}

static bool expired(const uint64_t *cell, uint64_t now)
{
	uint32_t len, ttl;
	len_ttl(cell, &len, &ttl);
	return cell[W_STORED] + ttl * 1000000000ull <= now;
}

/* Makes room by one entry; there is one. */
static void evict(struct cache_slab *s, struct shelf *h, uint64_t now, struct fl_rng *rng)
{
	const uint32_t *bucket = s->bucket + (size_t)(h - s->shelf) * ((size_t)s->mask + 1);
	uint32_t at = (uint32_t)fl_rng_next(rng), victim = 0;
	int looks = 0;
	for (uint32_t i = 0; i <= s->mask && looks < LOOKS; i++)
		for (uint32_t c = bucket[(at + i) & s->mask]; c && looks < LOOKS; c = next_entry(cell_at(s, h, c)), looks++) {
			if (!expired(cell_at(s, h, c), now)) {
				victim = victim ? victim : c;
				continue;
			}
			victim = c;
			looks = LOOKS - 1;
		}
	drop(s, h, victim);
}

static void write_entry(struct cache_slab *s, struct shelf *h, const struct cache_entry *e)
{
	const uint64_t *from = (const uint64_t *)e;
	uint32_t *head = bucket_of(s, e->hash), first = cell_take(s, h), c = first, entries = *head;
	size_t words = (e->len + 7u) / 8;
	for (size_t at = 0;;) {
		uint64_t *cell = cell_at(s, h, c);
		for (unsigned i = 1; i < CELL_WORDS && at < words; i++)
			STORE(&cell[i], from[at++]);
		uint32_t next = at < words ? cell_take(s, h) : 0;
		links(cell, next, entries);
		if (!next)
			break;
		entries = 0;
		c = next;
	}
	STORE(head, first);
	STORE(&h->n, h->n + 1);
}

int fl_cache_slab_put(struct cache_slab *s, const struct cache_entry *e, struct fl_rng *rng)
{
	struct shelf *h = shelf_of(s, e->hash);
	size_t words = (e->len + 7u) / 8, need = (words + PAYLOAD_WORDS - 1) / PAYLOAD_WORDS;
	int gone = 0;
	if (e->len > CACHE_ENTRY_MAX)
		return -E2BIG;
	if (!lock(h))
		return -EBUSY;
	uint32_t old = find(s, h, e->hash);
	if (old)
		drop(s, h, old);
	while (h->n && (h->n >= s->max || h->nfree + (s->ncells - h->fresh) < need)) {
		evict(s, h, e->stored_ns, rng);
		gone++;
	}
	write_entry(s, h, e);
	unlock(h);
	return gone;
}

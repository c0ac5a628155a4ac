#include "plugin/cache/slab_int.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { STEPS_MAX = 256, TRIES = 8, ENTRY_BYTES = 1024 };

/* ---- memory ---- */

static uint64_t cap_of(int64_t cap) { return 256 * (uint64_t)(cap / 256 > 4 ? cap / 256 : 4); }

/* The arrays, one behind the other; the cells begin on a page. */
static size_t layout(struct cache_slab *s, uintptr_t at)
{
	size_t buckets = SHELVES * ((size_t)s->mask + 1), words = (size_t)SHELVES * s->nwords, n = 0;
	s->bucket = (uint64_t *)(at + n);
	n += buckets * sizeof *s->bucket;
	s->used = (uint32_t *)(at + n);
	s->head = s->used + words;
	s->visited = s->head + words;
	s->dirty = s->visited + words;
	n += 4 * words * sizeof *s->used;
	s->age = (struct age *)(at + n);
	n += words * 32 * sizeof *s->age;
	n = (n + PAGE - 1) & ~(size_t)(PAGE - 1);
	s->cell = (uint64_t *)(at + n);
	n += words * PAGE;
	s->use = (struct cache_use *)(at + n);
	return n + words * 32 * sizeof *s->use;
}

struct cache_slab *fl_cache_slab_create(const struct cache_slab_how *how)
{
	if (how->cap[0] > UINT32_MAX / 64 || how->cap[1] > UINT32_MAX / 64 || how->bytes > 1ull << 40)
		return NULL;
	struct cache_slab *s = aligned_alloc(64, sizeof *s);
	if (!s)
		return NULL;
	memset(s, 0, sizeof *s);
	s->stale_ns = how->stale_ns;
	s->noted = how->noted;
	uint64_t all = 0, buckets = 16;
	for (unsigned i = 0; i < 2; i++) {
		s->cap[i] = cap_of(how->cap[i]);
		s->max[i] = (uint32_t)(s->cap[i] / SHELVES);
		all += s->max[i];
	}
	uint64_t bytes = how->bytes ? how->bytes / SHELVES : all * ENTRY_BYTES;
	/* A page of cells, and what stands of them in buckets, maps, ages and notes. */
	uint64_t words = bytes / (PAGE + 32 * 20 + (how->noted ? 32 * sizeof *s->use : 0));
	s->nwords = (uint32_t)(words > WORDS_MIN ? words : WORDS_MIN);
	s->ncells = s->nwords * 32;
	while (buckets * 3 / 2 < (all < s->ncells ? all : s->ncells))
		buckets *= 2;
	s->mask = (uint32_t)buckets - 1;
	s->map_len = layout(s, 0);
	s->map = mmap(NULL, s->map_len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (s->map == MAP_FAILED) {
		free(s);
		return NULL;
	}
	madvise(s->map, s->map_len, MADV_NOHUGEPAGE);   /* entries lie all over it */
	layout(s, (uintptr_t)s->map);
	return s;
}

void fl_cache_slab_destroy(struct cache_slab *s)
{
	if (!s)
		return;
	munmap(s->map, s->map_len);
	free(s);
}

uint64_t fl_cache_slab_count(const struct cache_slab *s, int which)
{
	uint64_t n = 0;
	for (unsigned i = 0; i < SHELVES; i++)
		n += LOAD(&s->shelf[i].n[which]);
	return n;
}

uint64_t fl_cache_slab_cap(const struct cache_slab *s, int which) { return s->cap[which]; }

uint64_t fl_cache_slab_bytes(const struct cache_slab *s)
{
	uint64_t n = 0;
	for (unsigned i = 0; i < SHELVES; i++)
		n += LOAD(&s->shelf[i].ncells);
	return n * CELL_WORDS * 8;
}

uint64_t fl_cache_slab_puts(const struct cache_slab *s)
{
	uint64_t n = 0;
	for (unsigned i = 0; i < SHELVES; i++)
		n += LOAD(&s->shelf[i].seq);
	return n;
}

/* ---- reading ---- */

static void head_out(const uint64_t *cell, struct cache_entry *e)
{
	uint64_t w[HEAD_WORDS];
	for (unsigned i = 0; i < HEAD_WORDS; i++)
		w[i] = LOAD(&cell[1 + i]);
	memcpy(e, w, sizeof w);
}

static bool copy_out(struct cache_slab *s, const struct shelf *h, uint32_t c, uint64_t *to, size_t words)
{
	for (size_t at = 0; at < words;) {
		if (!c || c > s->ncells)
			return false;
		const uint64_t *cell = cell_at(s, h, c);
		size_t n = words - at < PAYLOAD_WORDS ? words - at : PAYLOAD_WORDS;
#pragma GCC unroll 5
		for (size_t i = 0; i < n; i++)
			to[at + i] = LOAD(&cell[1 + i]);
		at += n;
		c = next_cell(cell);
	}
	return true;
}

/* The first cells of the entries of this hash, by kind; false: there is none, as far as can be seen. */
static inline bool look(struct cache_slab *s, const struct shelf *h, uint64_t hash, uint32_t first[CACHE_KINDS], struct cache_found *f)
{
	uint64_t b = LOAD(bucket_of(s, hash));
	uint32_t c = (uint32_t)b;
	bool any = false;
	if (!(b & sign_of(hash)))
		return false;
	memset(f->there, 0, sizeof f->there);   /* heads of what is not there are never looked at */
	for (int i = 0; c && c <= s->ncells && i < STEPS_MAX; i++) {
		const uint64_t *cell = cell_at(s, h, c);
		if (LOAD(&cell[W_HASH]) == hash) {
			struct cache_entry e;
			head_out(cell, &e);
			unsigned k = fl_cache_kind_of(&e);
			if (k < CACHE_KINDS) {
				f->head[k] = e;
				f->there[k] = any = true;
				first[k] = c;
			}
		}
		c = next_entry(cell);
	}
	return any;
}

static inline void visit(struct cache_slab *s, const struct shelf *h, uint32_t c)
{
	uint32_t *w = map_word(s, s->visited, h, c), bit = map_bit(c);
	if (!(__atomic_load_n(w, __ATOMIC_RELAXED) & bit))
		__atomic_fetch_or(w, bit, __ATOMIC_RELAXED);
}

const struct cache_entry *fl_cache_slab_get(struct cache_slab *s, uint64_t hash, cache_choose *choose, const void *arg, struct fl_arena *a,
					    uint32_t *cell)
{
	struct shelf *h = shelf_of(s, hash);
	uint64_t *to = NULL;
	size_t room = 0;
	for (int i = 0, spins = 0; i < TRIES && spins < SPINS;) {
		struct cache_found f;
		uint32_t seq = LOAD(&h->seq), first[CACHE_KINDS];
		if (seq & 1) {
			spins++;
			pause_cpu();
			continue;
		}
		i++;
		bool any = look(s, h, hash, first, &f);
		int kind = any ? choose(arg, &f) : -1;
		if (kind < 0 && still(h, seq))
			return NULL;
		if (kind < 0)
			continue;
		size_t words = (f.head[kind].len + 7u) / 8;
		if (words < HEAD_WORDS || words > CACHE_ENTRY_MAX / 8)
			continue;
		if (words > room && !(to = fl_alloc(a, words * 8)))
			return NULL;
		room = words > room ? words : room;
		if (copy_out(s, h, first[kind], to, words) && still(h, seq)) {
			visit(s, h, first[kind]);
			*cell = first[kind];
			return (const struct cache_entry *)to;
		}
	}
	return NULL;
}

static int any_kind(const void *arg, const struct cache_found *f)
{
	int kind = *(const int *)arg;
	return f->there[kind] ? kind : -1;
}

uint32_t fl_cache_slab_find(struct cache_slab *s, uint64_t hash, int kind)
{
	const struct shelf *h = shelf_of(s, hash);
	for (int i = 0; i < TRIES; i++) {
		struct cache_found f;
		uint32_t seq = LOAD(&h->seq), first[CACHE_KINDS];
		bool any = look(s, h, hash, first, &f);
		if (!(seq & 1) && still(h, seq))
			return any && any_kind(&kind, &f) == kind ? first[kind] : 0;
	}
	return 0;
}

struct cache_use *fl_cache_slab_use(struct cache_slab *s, uint64_t hash, uint32_t cell)
{
	return &s->use[(size_t)(hash % SHELVES) * s->ncells + cell - 1];
}

bool fl_cache_slab_walk(struct cache_slab *s, uint64_t *at, struct cache_entry *to)
{
	for (; *at < (uint64_t)SHELVES * s->ncells; ++*at) {
		const struct shelf *h = &s->shelf[*at / s->ncells];
		uint32_t c = (uint32_t)(*at % s->ncells) + 1;
		if (!LOAD(map_word(s, s->head, h, c))) {
			*at |= 31;              /* ncells is a multiple of 32 */
			continue;
		}
		for (int i = 0; i < TRIES; i++) {
			struct cache_entry e;
			uint32_t seq = LOAD(&h->seq);
			if (seq & 1) {
				pause_cpu();
				continue;
			}
			bool begins = LOAD(map_word(s, s->head, h, c)) & map_bit(c);
			if (begins) {
				head_out(cell_at(s, h, c), &e);
				begins = e.len >= sizeof e && e.len <= CACHE_ENTRY_MAX &&
					 copy_out(s, h, c, (uint64_t *)to, (e.len + 7u) / 8);
			}
			if (!still(h, seq))
				continue;
			if (!begins)
				break;
			++*at;
			return true;
		}
	}
	return false;
}

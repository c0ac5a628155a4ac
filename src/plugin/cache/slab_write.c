/* Storing in a slab, and making room in it: the shelf's number is odd meanwhile. */
#include "plugin/cache/slab_int.h"
#include <errno.h>
#include <sys/mman.h>

enum { LOOKS = 8, TURN_MAX = 4096, SECOND = 1000000000 };

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

static void links(uint64_t *cell, uint32_t cells, uint32_t entries) { STORE(&cell[0], (uint64_t)entries << 32 | cells); }

static void set(struct cache_slab *s, uint32_t *map, const struct shelf *h, uint32_t c, bool on)
{
	uint32_t *w = map_word(s, map, h, c);
	STORE(w, on ? *w | map_bit(c) : *w & ~map_bit(c));
}

/* ---- cells ---- */

static uint32_t cell_take(struct cache_slab *s, struct shelf *h)
{
	uint32_t *used = map_word(s, s->used, h, 1), w = h->low;
	while (used[w] == UINT32_MAX)
		w++;
	uint32_t c = w * 32 + (uint32_t)__builtin_ctz(~used[w]) + 1;
	STORE(&used[w], used[w] | map_bit(c));
	uint32_t *dirty = map_word(s, s->dirty, h, c);
	if (!*dirty)
		STORE(dirty, 1);
	h->low = w;
	STORE(&h->ncells, h->ncells + 1);
	return c;
}

static void cell_free(struct cache_slab *s, struct shelf *h, uint32_t c)
{
	set(s, s->used, h, c, false);
	h->low = (c - 1) / 32 < h->low ? (c - 1) / 32 : h->low;
	STORE(&h->ncells, h->ncells - 1);
}

static struct cache_entry head_of(const uint64_t *cell)
{
	struct cache_entry e;
	memcpy(&e, cell + 1, sizeof e);         /* only writers write, and we are the one */
	return e;
}

static bool is_denial(struct cache_slab *s, const struct shelf *h, uint32_t c)
{
	struct cache_entry e = head_of(cell_at(s, h, c));
	return fl_cache_kind_of(&e) == CACHE_DENIAL;
}

/* ---- the order in which they came ---- */

static struct age *age_of(struct cache_slab *s, const struct shelf *h, uint32_t c)
{
	return &s->age[(size_t)(h - s->shelf) * s->ncells + c - 1];
}

static void age_begin(struct cache_slab *s, struct shelf *h, uint32_t c, unsigned which)
{
	*age_of(s, h, c) = (struct age){ h->newest[which], 0 };
	if (h->newest[which])
		age_of(s, h, h->newest[which])->newer = c;
	else
		h->oldest[which] = c;
	h->newest[which] = c;
}

static void age_end(struct cache_slab *s, struct shelf *h, uint32_t c, unsigned which)
{
	struct age a = *age_of(s, h, c);
	*(a.older ? &age_of(s, h, a.older)->newer : &h->oldest[which]) = a.newer;
	*(a.newer ? &age_of(s, h, a.newer)->older : &h->newest[which]) = a.older;
	h->hand[which] = h->hand[which] == c ? a.newer : h->hand[which];
	h->look[which] = h->look[which] == c ? a.newer : h->look[which];
}

/* Out of its bucket, whose bits are then those of who is left. */
static void unhang(struct cache_slab *s, const struct shelf *h, uint32_t c)
{
	uint64_t *cell = cell_at(s, h, c), *bucket = bucket_of(s, cell[W_HASH]), signs = 0;
	uint32_t after = next_entry(cell), first = (uint32_t)*bucket == c ? after : (uint32_t)*bucket;
	for (uint32_t e = first; e; e = next_entry(cell_at(s, h, e))) {
		uint64_t *it = cell_at(s, h, e);
		if (next_entry(it) == c)
			links(it, next_cell(it), after);
		signs |= sign_of(it[W_HASH]);
	}
	STORE(bucket, signs | first);
}

static void drop(struct cache_slab *s, struct shelf *h, uint32_t c)
{
	unsigned which = is_denial(s, h, c);
	unhang(s, h, c);
	set(s, s->head, h, c, false);
	age_end(s, h, c, which);
	for (uint32_t next; c; c = next) {
		next = next_cell(cell_at(s, h, c));
		cell_free(s, h, c);
	}
	STORE(&h->n[which], h->n[which] - 1);
}

/* ---- room ---- */

/* Past its time and past the time in which it may be served all the same. */
static bool over(const struct cache_slab *s, const struct cache_entry *e, uint64_t now)
{
	int64_t age = (int64_t)(now - e->stored_ns);
	return age > 0 && (uint64_t)age >= e->ttl_s * (uint64_t)SECOND + s->stale_ns;
}

/* A short look, going on where the last one ended, for one that is over. */
static uint32_t find_over(struct cache_slab *s, struct shelf *h, unsigned which, uint64_t now)
{
	for (int i = 0; i < LOOKS; i++) {
		uint32_t c = h->look[which] ? h->look[which] : h->oldest[which];
		struct cache_entry e = head_of(cell_at(s, h, c));
		h->look[which] = age_of(s, h, c)->newer;
		if (over(s, &e, now))
			return c;
	}
	return 0;
}

/* SIEVE (Zhang et al., NSDI 2024): the hand goes from the oldest to the newest and begins again; those that were asked since it passed lose
 * their bit and stay where they are, the first other one goes. */
static uint32_t turn(struct cache_slab *s, struct shelf *h, unsigned which)
{
	uint32_t c = h->hand[which];
	for (int i = 0;; i++) {
		c = c ? c : h->oldest[which];
		uint32_t *visited = map_word(s, s->visited, h, c), bit = map_bit(c);
		if (!(__atomic_load_n(visited, __ATOMIC_RELAXED) & bit) || i == TURN_MAX)
			break;
		__atomic_fetch_and(visited, ~bit, __ATOMIC_RELAXED);
		c = age_of(s, h, c)->newer;
	}
	h->hand[which] = c;             /* dropping it moves the hand on */
	return c;
}

/* What the next evict() will want of memory comes meanwhile: heads of those that it looks at, and the place of the one at the hand, whose
 * own head was brought by the call before. */
static void prepare(struct cache_slab *s, struct shelf *h, unsigned which)
{
	uint32_t c = h->look[which];
	for (int i = 0; c && i < LOOKS; i++) {
		__builtin_prefetch(&cell_at(s, h, c)[1]);
		c = age_of(s, h, c)->newer;
	}
	if (!(c = h->hand[which]))
		return;
	__builtin_prefetch(bucket_of(s, cell_at(s, h, c)[W_HASH]), 1);
	c = age_of(s, h, c)->newer;
	if (c)
		__builtin_prefetch(cell_at(s, h, c), 1);
}

/* Makes room by one entry; there is one of this kind. */
static void evict(struct cache_slab *s, struct shelf *h, unsigned which, uint64_t now, unsigned gone[2])
{
	uint32_t c = find_over(s, h, which, now);
	gone[which]++;
	drop(s, h, c ? c : turn(s, h, which));
	prepare(s, h, which);
}

/* For room in octets: of the kind that has taken more of its part. */
static unsigned fuller(const struct cache_slab *s, const struct shelf *h)
{
	return (uint64_t)h->n[CACHE_DENIAL] * s->max[CACHE_SUCCESS] > (uint64_t)h->n[CACHE_SUCCESS] * s->max[CACHE_DENIAL];
}

/* ---- storing ---- */

static void forget_use(struct cache_use *u)
{
	if (!__atomic_load_n(&u->asked, __ATOMIC_RELAXED) && !__atomic_load_n(&u->refresh, __ATOMIC_RELAXED))
		return;
	__atomic_store_n(&u->asked, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&u->refresh, 0, __ATOMIC_RELAXED);
}

static void write_entry(struct cache_slab *s, struct shelf *h, const struct cache_entry *e)
{
	const uint64_t *from = (const uint64_t *)e;
	uint64_t *bucket = bucket_of(s, e->hash), before = *bucket;
	uint32_t first = cell_take(s, h), c = first, entries = (uint32_t)before;
	size_t words = (e->len + 7u) / 8;
	unsigned which = fl_cache_kind_of(e) == CACHE_DENIAL;
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
	if (s->noted)
		forget_use(fl_cache_slab_use(s, e->hash, first));
	__atomic_fetch_and(map_word(s, s->visited, h, first), ~map_bit(first), __ATOMIC_RELAXED);
	age_begin(s, h, first, which);
	set(s, s->head, h, first, true);
	STORE(bucket, (before & ~(uint64_t)UINT32_MAX) | sign_of(e->hash) | first);
	STORE(&h->n[which], h->n[which] + 1);
}

/* The first cell of the entry of this hash and kind; 0: none. */
static uint32_t have(struct cache_slab *s, const struct shelf *h, uint64_t hash, unsigned kind)
{
	uint64_t b = *bucket_of(s, hash);
	for (uint32_t c = b & sign_of(hash) ? (uint32_t)b : 0; c; c = next_entry(cell_at(s, h, c))) {
		struct cache_entry e = head_of(cell_at(s, h, c));
		if (e.hash == hash && fl_cache_kind_of(&e) == kind)
			return c;
	}
	return 0;
}

static void forget(struct cache_slab *s, struct shelf *h, uint64_t hash, unsigned kind)
{
	uint32_t c = have(s, h, hash, kind);
	if (c)
		drop(s, h, c);
}

/* The old answer is kept beside the new one, which says nothing. */
static void save_good(struct cache_slab *s, struct shelf *h, uint64_t hash)
{
	uint32_t c = have(s, h, hash, CACHE_SUCCESS);
	struct cache_entry e = c ? head_of(cell_at(s, h, c)) : (struct cache_entry){ 0 };
	if (!(e.bits & CACHE_ANSWERS))
		return;
	forget(s, h, hash, CACHE_GOOD);
	e.bits = (uint8_t)((e.bits & ((1 << CACHE_KIND) - 1)) | CACHE_GOOD << CACHE_KIND);
	uint64_t w[HEAD_WORDS];
	memcpy(w, &e, sizeof w);
	for (unsigned i = 0; i < HEAD_WORDS; i++)
		STORE(&cell_at(s, h, c)[1 + i], w[i]);
}

int fl_cache_slab_put(struct cache_slab *s, const struct cache_entry *e, unsigned how, unsigned gone[2])
{
	struct shelf *h = shelf_of(s, e->hash);
	size_t words = (e->len + 7u) / 8, need = (words + PAYLOAD_WORDS - 1) / PAYLOAD_WORDS;
	unsigned kind = fl_cache_kind_of(e), which = kind == CACHE_DENIAL;
	gone[0] = gone[1] = 0;
	if (e->len > CACHE_ENTRY_MAX)
		return -E2BIG;
	if (!lock(h))
		return -EBUSY;
	if (how & CACHE_SAVE_GOOD)
		save_good(s, h, e->hash);
	if (how & CACHE_DROP_GOOD)
		forget(s, h, e->hash, CACHE_GOOD);
	if (how & CACHE_DROP_DENIAL)
		forget(s, h, e->hash, CACHE_DENIAL);
	forget(s, h, e->hash, kind);
	while (h->n[which] >= s->max[which])
		evict(s, h, which, e->stored_ns, gone);
	while (s->ncells - h->ncells < need)
		evict(s, h, fuller(s, h), e->stored_ns, gone);
	write_entry(s, h, e);
	unlock(h);
	return 0;
}

/* ---- sweeping ---- */

/* Looked at without the lock, so that nobody is held up where nothing is over. */
static bool seems_over(struct cache_slab *s, const struct shelf *h, uint32_t w, uint64_t now)
{
	for (uint32_t bits = LOAD(map_word(s, s->head, h, w * 32 + 1)); bits; bits &= bits - 1) {
		uint64_t raw[HEAD_WORDS];
		struct cache_entry e;
		const uint64_t *cell = cell_at(s, h, w * 32 + (uint32_t)__builtin_ctz(bits) + 1);
		for (unsigned i = 0; i < HEAD_WORDS; i++)
			raw[i] = LOAD(&cell[1 + i]);
		memcpy(&e, raw, sizeof e);
		if (over(s, &e, now))
			return true;
	}
	return false;
}

/* Of one page of cells: what is over goes, and the page with it when it is empty. */
static void clean(struct cache_slab *s, struct shelf *h, uint32_t w, uint64_t now)
{
	uint32_t first = w * 32 + 1, *used = map_word(s, s->used, h, first), *dirty = map_word(s, s->dirty, h, first);
	if (!seems_over(s, h, w, now) && (LOAD(used) || !LOAD(dirty)))
		return;
	if (!lock(h))
		return;
	for (uint32_t bits = *map_word(s, s->head, h, first); bits; bits &= bits - 1) {
		uint32_t c = w * 32 + (uint32_t)__builtin_ctz(bits) + 1;
		struct cache_entry e = head_of(cell_at(s, h, c));
		if (over(s, &e, now))
			drop(s, h, c);
	}
	if (!*used && *dirty) {
		STORE(dirty, 0);
		madvise(cell_at(s, h, first), PAGE, MADV_DONTNEED);
	}
	unlock(h);
}

void fl_cache_slab_sweep(struct cache_slab *s, uint64_t now, uint32_t n)
{
	for (unsigned i = 0; i < SHELVES; i++) {
		struct shelf *h = &s->shelf[i];
		for (uint32_t k = 0; k < n / 32 && k < s->nwords; k++) {
			clean(s, h, h->sweep, now);
			h->sweep = h->sweep + 1 == s->nwords ? 0 : h->sweep + 1;
		}
	}
}

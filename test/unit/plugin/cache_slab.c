/* Where the cache keeps entries: bounds, replacement, and readers and writers at the same time (also under TSan). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/rng.h"
#include "plugin/cache/slab.h"

static struct fl_rng rng;
static _Alignas(16) char memory[1 << 20];

static uint64_t hash(uint64_t key)
{
	uint64_t h = (key + 1) * 0x9e3779b97f4a7c15ull;
	return h ^ h >> 29;
}

/* An entry whose every octet follows from its key and its version. */
static void fill(struct cache_entry *e, uint64_t key, uint8_t version, uint32_t len)
{
	memset(e, 0, sizeof *e);
	e->hash = hash(key);
	e->len = (uint16_t)len;
	e->ttl_s = 30;
	e->stored_ns = FL_SEC;
	e->name_len = version;
	e->type = (uint16_t)key;
	for (uint32_t i = sizeof *e; i < len; i++)
		((uint8_t *)e)[i] = (uint8_t)(key + version + i);
}

static bool whole(const struct cache_entry *e, uint64_t key)
{
	for (uint32_t i = sizeof *e; i < e->len; i++)
		if (((const uint8_t *)e)[i] != (uint8_t)(key + e->name_len + i))
			return false;
	return e->type == (uint16_t)key && e->ttl_s == 30;
}

static int pick(const void *arg, const struct cache_found *f) { return f->there[*(const int *)arg] ? *(const int *)arg : -1; }

static const struct cache_entry *get_kind(struct cache_slab *s, uint64_t key, int kind, struct fl_arena *a)
{
	uint32_t cell;
	return fl_cache_slab_get(s, hash(key), pick, &kind, a, &cell);
}

static const struct cache_entry *get(struct cache_slab *s, uint64_t key, struct fl_arena *a) { return get_kind(s, key, CACHE_SUCCESS, a); }

static bool has(struct cache_slab *s, uint64_t key, int kind)
{
	struct fl_arena a;
	fl_arena_init(&a, memory, sizeof memory, NULL, 0);
	return get_kind(s, key, kind, &a) != NULL;
}

static struct cache_slab *slab(int64_t cap)
{
	return fl_cache_slab_create(&(struct cache_slab_how){ .cap = { cap, cap } });
}

static uint64_t count(const struct cache_slab *s) { return fl_cache_slab_count(s, CACHE_SUCCESS); }

/* How many had to go, or an error. */
static int put(struct cache_slab *s, const struct cache_entry *e)
{
	unsigned gone[2];
	int ret = fl_cache_slab_put(s, e, 0, gone);
	return ret ? ret : (int)(gone[0] + gone[1]);
}

static void set_kind(struct cache_entry *e, unsigned kind, unsigned bits) { e->bits = (uint8_t)(kind << CACHE_KIND | bits); }

static void test_put_get(void **state)
{
	(void)state;
	struct cache_slab *s = slab(10000);
	struct cache_entry *e = malloc(CACHE_ENTRY_MAX + 8);
	static const uint32_t lens[] = { sizeof *e, sizeof *e + 1, 119, 120, 121, 240, 241, 5000, CACHE_ENTRY_MAX };
	assert_int_equal(fl_cache_slab_cap(s, CACHE_SUCCESS), 9984);
	for (unsigned i = 0; i < FL_COUNT(lens); i++) {
		fill(e, i, 1, lens[i]);
		assert_int_equal(put(s, e), 0);
	}
	assert_int_equal(count(s), FL_COUNT(lens));
	for (unsigned v = 2; v < 5; v++)        /* replaced by others of other lengths: nothing leaks */
		for (unsigned i = 0; i < FL_COUNT(lens); i++) {
			fill(e, i, (uint8_t)v, lens[(i + v) % FL_COUNT(lens)]);
			assert_int_equal(put(s, e), 0);
		}
	assert_int_equal(count(s), FL_COUNT(lens));
	for (unsigned i = 0; i < FL_COUNT(lens); i++) {
		struct fl_arena a;
		fl_arena_init(&a, memory, sizeof memory, NULL, 0);
		const struct cache_entry *got = get(s, i, &a);
		assert_non_null(got);
		assert_int_equal(got->name_len, 4);
		assert_int_equal(got->len, lens[(i + 4) % FL_COUNT(lens)]);
		assert_true(whole(got, i));
	}
	struct fl_arena a;
	fl_arena_init(&a, memory, 64, NULL, 0);
	assert_null(get(s, 100, &a));
	assert_null(get(s, 8, &a));             /* no room for the copy: a miss */
	e->len = CACHE_ENTRY_MAX + 1;
	assert_int_equal(put(s, e), -E2BIG);
	free(e);
	fl_cache_slab_destroy(s);
	fl_cache_slab_destroy(NULL);
	assert_null(slab(INT64_MAX));
}

/* Never more than the capacity, whatever comes; big entries push more of them out; what is there is whole. */
static void test_full(void **state)
{
	(void)state;
	struct cache_slab *s = slab(-1);
	struct cache_entry *e = malloc(CACHE_ENTRY_MAX + 8);
	uint64_t gone = 0, total = 20000;
	assert_int_equal(fl_cache_slab_cap(s, CACHE_SUCCESS), 1024);
	for (uint64_t i = 0; i < total; i++) {
		fill(e, i, 1, sizeof *e + fl_rng_below(&rng, i % 97 ? 200 : CACHE_ENTRY_MAX - sizeof *e));
		int ret = put(s, e);
		assert_true(ret >= 0);
		gone += (uint64_t)ret;
		assert_true(count(s) <= 1024);
	}
	assert_int_equal(count(s) + gone, total);
	assert_true(count(s) > 700);
	uint64_t found = 0;
	for (uint64_t i = 0; i < total; i++) {
		struct fl_arena a;
		fl_arena_init(&a, memory, sizeof memory, NULL, 0);
		const struct cache_entry *got = get(s, i, &a);
		assert_true(!got || whole(got, i));
		found += got != NULL;
	}
	assert_int_equal(found, count(s));
	free(e);
	fl_cache_slab_destroy(s);
}

/* Entries that are over go before those that are not. */
static void test_expired_first(void **state)
{
	(void)state;
	struct cache_slab *s = slab(0);
	_Alignas(8) uint8_t room[256];
	struct cache_entry *e = (struct cache_entry *)room;
	for (uint64_t i = 0; i < 1000; i++) {
		fill(e, i, 1, 100);
		e->stored_ns = i % 2 ? 100 * FL_SEC : FL_SEC;
		put(s, e);
	}
	for (uint64_t i = 1000; i < 1400; i++) {
		fill(e, i, 1, 100);
		e->stored_ns = 100 * FL_SEC;
		put(s, e);
	}
	unsigned live = 0;
	for (uint64_t i = 1; i < 1000; i += 2) {
		struct fl_arena a;
		fl_arena_init(&a, memory, sizeof memory, NULL, 0);
		live += get(s, i, &a) != NULL;
	}
	assert_true(live > 450);
	fl_cache_slab_destroy(s);
}

/* Answers and denials each have their number; of one question both are found. */
static void test_kinds(void **state)
{
	(void)state;
	struct cache_slab *s = fl_cache_slab_create(&(struct cache_slab_how){ .cap = { 2048, 0 } });
	_Alignas(8) uint8_t room[256];
	struct cache_entry *e = (struct cache_entry *)room;
	for (uint64_t i = 0; i < 2000; i++)
		for (unsigned kind = CACHE_SUCCESS; kind <= CACHE_DENIAL; kind++) {
			fill(e, i, 1, 150);
			set_kind(e, kind, 0);
			assert_true(put(s, e) >= 0);
		}
	assert_true(count(s) > 1800 && count(s) <= 2000);
	assert_int_equal(fl_cache_slab_count(s, CACHE_DENIAL), 1024);
	assert_int_equal(fl_cache_slab_bytes(s), (count(s) + 1024) * 256);
	unsigned both = 0, found[2] = { 0 };
	for (uint64_t i = 0; i < 2000; i++) {
		bool yes = has(s, i, CACHE_SUCCESS), no = has(s, i, CACHE_DENIAL);
		found[0] += yes, found[1] += no, both += yes && no;
	}
	assert_int_equal(found[0], count(s));
	assert_int_equal(found[1], 1024);
	assert_true(both > 800);
	fl_cache_slab_destroy(s);
}

/* What goes with a put, and what is saved from it. */
static void test_good(void **state)
{
	(void)state;
	struct cache_slab *s = slab(0);
	_Alignas(8) uint8_t room[256];
	struct cache_entry *e = (struct cache_entry *)room;
	unsigned gone[2];
	fill(e, 1, 1, 100);
	set_kind(e, CACHE_SUCCESS, CACHE_ANSWERS);
	assert_int_equal(fl_cache_slab_put(s, e, 0, gone), 0);
	set_kind(e, CACHE_DENIAL, 0);
	assert_int_equal(fl_cache_slab_put(s, e, 0, gone), 0);
	for (int i = 0; i < 3; i++) {                   /* what says nothing is not saved, and what was saved stays */
		fill(e, 1, (uint8_t)(2 + i), 60);
		set_kind(e, CACHE_SUCCESS, 0);
		assert_int_equal(fl_cache_slab_put(s, e, CACHE_SAVE_GOOD, gone), 0);
		assert_true(has(s, 1, CACHE_SUCCESS) && has(s, 1, CACHE_DENIAL) && has(s, 1, CACHE_GOOD));
		assert_int_equal(count(s), 2);
	}
	struct fl_arena a;
	fl_arena_init(&a, memory, sizeof memory, NULL, 0);
	const struct cache_entry *good = get_kind(s, 1, CACHE_GOOD, &a);
	assert_int_equal(good->name_len, 1);
	assert_true(good->bits & CACHE_ANSWERS && whole(good, 1));
	set_kind(e, CACHE_SUCCESS, CACHE_ANSWERS);
	assert_int_equal(fl_cache_slab_put(s, e, CACHE_DROP_DENIAL | CACHE_DROP_GOOD, gone), 0);
	assert_true(has(s, 1, CACHE_SUCCESS) && !has(s, 1, CACHE_DENIAL) && !has(s, 1, CACHE_GOOD));
	assert_int_equal(count(s) + fl_cache_slab_count(s, CACHE_DENIAL), 1);
	fl_cache_slab_destroy(s);
}

/* However many come that nobody asks twice, what is asked stays. */
static void test_asked_stays(void **state)
{
	(void)state;
	struct cache_slab *s = slab(0);
	_Alignas(8) uint8_t room[256];
	struct cache_entry *e = (struct cache_entry *)room;
	for (uint64_t i = 0; i < 20000; i++) {
		if (i >= 500)
			for (uint64_t hot = i % 5; hot < 500; hot += 5)
				has(s, hot, CACHE_SUCCESS);
		fill(e, i, 1, 100);
		put(s, e);
	}
	unsigned hot = 0;
	for (uint64_t i = 0; i < 500; i++)
		hot += has(s, i, CACHE_SUCCESS);
	assert_int_equal(hot, 500);
	fl_cache_slab_destroy(s);
}

/* Hits of a Zipf load over ten times as many names as fit: far more than what chance would keep. */
static void test_zipf(void **state)
{
	(void)state;
	enum { NAMES = 10240, ASKS = 200000 };
	struct cache_slab *s = slab(0);
	_Alignas(8) uint8_t room[256];
	struct cache_entry *e = (struct cache_entry *)room;
	static double upto[NAMES];
	unsigned hits = 0;
	for (unsigned i = 0; i < NAMES; i++)
		upto[i] = (i ? upto[i - 1] : 0) + 1.0 / (i + 1);
	for (unsigned n = 0; n < ASKS; n++) {
		double x = upto[NAMES - 1] * fl_rng_below(&rng, 1 << 30) / (1 << 30);
		unsigned low = 0, high = NAMES - 1;
		while (low < high) {
			unsigned mid = (low + high) / 2;
			if (upto[mid] < x)
				low = mid + 1;
			else
				high = mid;
		}
		if (has(s, low, CACHE_SUCCESS)) {
			hits += n >= ASKS / 2;
			continue;
		}
		fill(e, low, 1, 100);
		put(s, e);
	}
	print_message("# hits of a Zipf load: %.1f %%\n", hits * 100.0 / (ASKS / 2));
	assert_true(hits > ASKS / 2 * 0.71);            /* chance would keep 0.63, LRU 0.67; always the 1024 most asked: 0.77 */
	fl_cache_slab_destroy(s);
}

/* A bound in octets holds, whatever the sizes, and all of it can be used. */
static void test_bytes(void **state)
{
	(void)state;
	struct cache_slab *s = fl_cache_slab_create(&(struct cache_slab_how){ .cap = { 1 << 20, 1 << 20 }, .bytes = 4 << 20, .noted = true });
	struct cache_entry *e = malloc(CACHE_ENTRY_MAX + 8);
	for (uint64_t i = 0; i < 60000; i++) {
		fill(e, i, 1, sizeof *e + fl_rng_below(&rng, i % 97 ? 200 : CACHE_ENTRY_MAX - sizeof *e));
		set_kind(e, i % 3 ? CACHE_SUCCESS : CACHE_DENIAL, 0);
		assert_true(put(s, e) >= 0);
		assert_true(fl_cache_slab_bytes(s) <= 4 << 20);
	}
	assert_true(fl_cache_slab_bytes(s) > 3 << 20);
	free(e);
	fl_cache_slab_destroy(s);
}

/* What is over goes without being asked for, and its pages with it; what may still be served stale stays. */
static void test_sweep(void **state)
{
	(void)state;
	struct cache_slab *s = fl_cache_slab_create(&(struct cache_slab_how){ .cap = { 4096, 0 }, .stale_ns = 10 * FL_SEC });
	_Alignas(8) uint8_t room[600];
	struct cache_entry *e = (struct cache_entry *)room;
	for (uint64_t i = 0; i < 3000; i++) {
		fill(e, i, 1, 100 + i % 500);
		e->stored_ns = i % 10 ? FL_SEC : 100 * FL_SEC;
		put(s, e);
	}
	fl_cache_slab_sweep(s, 40 * FL_SEC, UINT32_MAX);
	assert_int_equal(count(s), 3000);
	fl_cache_slab_sweep(s, 41 * FL_SEC, 64);        /* a part of it */
	assert_true(count(s) < 3000 && count(s) > 300);
	fl_cache_slab_sweep(s, 41 * FL_SEC, UINT32_MAX);
	assert_int_equal(count(s), 300);
	for (uint64_t i = 0; i < 3000; i += 10)
		assert_true(has(s, i, CACHE_SUCCESS));
	fl_cache_slab_sweep(s, 200 * FL_SEC, UINT32_MAX);
	fl_cache_slab_sweep(s, 200 * FL_SEC, UINT32_MAX);
	assert_int_equal(fl_cache_slab_bytes(s), 0);
	for (uint64_t i = 0; i < 3000; i++) {           /* and pages that were given back serve again */
		fill(e, i, 2, 100);
		assert_int_equal(put(s, e), 0);
	}
	assert_int_equal(count(s), 3000);
	fl_cache_slab_destroy(s);
}

/* Every entry once. */
static void test_walk(void **state)
{
	(void)state;
	struct cache_slab *s = slab(2048);
	struct cache_entry *e = malloc(CACHE_ENTRY_MAX + 8);
	uint64_t at = 0, n = 0, sum = 0;
	assert_false(fl_cache_slab_walk(s, &at, e));
	for (uint64_t i = 0; i < 1500; i++) {
		fill(e, i, 1, sizeof *e + fl_rng_below(&rng, 500));
		put(s, e);
	}
	for (at = 0; fl_cache_slab_walk(s, &at, e); n++) {
		assert_true(whole(e, e->type));
		sum += e->type;
	}
	assert_int_equal(n, 1500);
	assert_int_equal(sum, 1500 * 1499 / 2);
	free(e);
	fl_cache_slab_destroy(s);
}

/* ---- threads ---- */

enum { KEYS = 64, ROUNDS = 60000 };
static struct cache_slab *shared;
static unsigned torn, hits;

static void *reader(void *arg)
{
	struct fl_rng r;
	char *mem = aligned_alloc(16, 1 << 15);
	fl_rng_init(&r, (uint64_t)(uintptr_t)arg);
	for (int i = 0; i < ROUNDS; i++) {
		struct fl_arena a;
		uint64_t key = fl_rng_below(&r, KEYS);
		fl_arena_init(&a, mem, 1 << 15, NULL, 0);
		const struct cache_entry *e = get(shared, key, &a);
		if (e && !whole(e, key))
			__atomic_fetch_add(&torn, 1, __ATOMIC_RELAXED);
		if (e)
			__atomic_fetch_add(&hits, 1, __ATOMIC_RELAXED);
	}
	free(mem);
	return NULL;
}

static void *writer(void *arg)
{
	struct fl_rng r;
	struct cache_entry *e = aligned_alloc(16, CACHE_ENTRY_MAX);
	fl_rng_init(&r, (uint64_t)(uintptr_t)arg);
	for (int i = 0; i < ROUNDS / 4; i++) {
		fill(e, fl_rng_below(&r, KEYS), (uint8_t)i, sizeof *e + fl_rng_below(&r, i % 50 ? 400 : 8000));
		put(shared, e);
	}
	free(e);
	return NULL;
}

/* As the main thread does: drops, gives back, reads all. */
static void *sweeper(void *arg)
{
	struct cache_entry *e = aligned_alloc(16, CACHE_ENTRY_MAX);
	for (int i = 0; i < 60; i++) {
		fl_cache_slab_sweep(arg, i % 4 ? 2 * FL_SEC : 40 * FL_SEC, UINT32_MAX);
		for (uint64_t at = 0; fl_cache_slab_walk(arg, &at, e);)
			if (!whole(e, e->type))
				__atomic_fetch_add(&torn, 1, __ATOMIC_RELAXED);
	}
	free(e);
	return NULL;
}

/* Readers, writers and the sweeper, who drops everything now and then. */
static void test_swept_threads(void **state)
{
	(void)state;
	pthread_t t[3];
	shared = slab(0);
	hits = torn = 0;
	for (uintptr_t i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&t[i], NULL, i == 0 ? reader : i == 1 ? writer : sweeper, i == 2 ? (void *)shared : (void *)(i + 7)), 0);
	for (unsigned i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(torn, 0);
	assert_true(count(shared) <= KEYS);
	fl_cache_slab_destroy(shared);
}

static void test_threads(void **state)
{
	(void)state;
	pthread_t t[4];
	shared = slab(0);
	struct cache_entry *e = aligned_alloc(16, CACHE_ENTRY_MAX);
	for (unsigned key = 0; key < KEYS; key++) {     /* so that hits do not wait for a writer to be scheduled */
		fill(e, key, (uint8_t)key, sizeof *e + 100);
		put(shared, e);
	}
	free(e);
	for (uintptr_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&t[i], NULL, i % 2 ? writer : reader, (void *)(i + 1)), 0);
	for (unsigned i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(torn, 0);
	assert_true(hits > ROUNDS / 2);
	assert_true(count(shared) <= KEYS);
	fl_cache_slab_destroy(shared);
}

int main(void)
{
	fl_rng_init(&rng, 42);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_put_get), cmocka_unit_test(test_full), cmocka_unit_test(test_expired_first),
		cmocka_unit_test(test_kinds), cmocka_unit_test(test_good), cmocka_unit_test(test_asked_stays), cmocka_unit_test(test_zipf),
		cmocka_unit_test(test_bytes), cmocka_unit_test(test_sweep), cmocka_unit_test(test_walk), cmocka_unit_test(test_threads),
		cmocka_unit_test(test_swept_threads),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

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
	e->len = len;
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

static const struct cache_entry *get(struct cache_slab *s, uint64_t key, struct fl_arena *a)
{
	return fl_cache_slab_get(s, hash(key), a);
}

static void test_put_get(void **state)
{
	(void)state;
	struct cache_slab *s = fl_cache_slab_create(10000);
	struct cache_entry *e = malloc(CACHE_ENTRY_MAX + 8);
	static const uint32_t lens[] = { sizeof *e, sizeof *e + 1, 247, 248, 249, 496, 497, 5000, CACHE_ENTRY_MAX };
	assert_int_equal(fl_cache_slab_cap(s), 9984);
	for (unsigned i = 0; i < FL_COUNT(lens); i++) {
		fill(e, i, 1, lens[i]);
		assert_int_equal(fl_cache_slab_put(s, e, &rng), 0);
	}
	assert_int_equal(fl_cache_slab_count(s), FL_COUNT(lens));
	for (unsigned v = 2; v < 5; v++)        /* replaced by others of other lengths: nothing leaks */
		for (unsigned i = 0; i < FL_COUNT(lens); i++) {
			fill(e, i, (uint8_t)v, lens[(i + v) % FL_COUNT(lens)]);
			assert_int_equal(fl_cache_slab_put(s, e, &rng), 0);
		}
	assert_int_equal(fl_cache_slab_count(s), FL_COUNT(lens));
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
	assert_int_equal(fl_cache_slab_put(s, e, &rng), -E2BIG);
	free(e);
	fl_cache_slab_destroy(s);
	fl_cache_slab_destroy(NULL);
	assert_null(fl_cache_slab_create(INT64_MAX));
}

/* Never more than the capacity, whatever comes; big entries push more of them out; what is there is whole. */
static void test_full(void **state)
{
	(void)state;
	struct cache_slab *s = fl_cache_slab_create(-1);
	struct cache_entry *e = malloc(CACHE_ENTRY_MAX + 8);
	uint64_t gone = 0, put = 20000;
	assert_int_equal(fl_cache_slab_cap(s), 1024);
	for (uint64_t i = 0; i < put; i++) {
		fill(e, i, 1, sizeof *e + fl_rng_below(&rng, i % 97 ? 200 : CACHE_ENTRY_MAX - sizeof *e));
		int ret = fl_cache_slab_put(s, e, &rng);
		assert_true(ret >= 0);
		gone += (uint64_t)ret;
		assert_true(fl_cache_slab_count(s) <= 1024);
	}
	assert_int_equal(fl_cache_slab_count(s) + gone, put);
	assert_true(fl_cache_slab_count(s) > 700);
	uint64_t found = 0;
	for (uint64_t i = 0; i < put; i++) {
		struct fl_arena a;
		fl_arena_init(&a, memory, sizeof memory, NULL, 0);
		const struct cache_entry *got = get(s, i, &a);
		assert_true(!got || whole(got, i));
		found += got != NULL;
	}
	assert_int_equal(found, fl_cache_slab_count(s));
	free(e);
	fl_cache_slab_destroy(s);
}

/* Entries that are over go before those that are not. */
static void test_expired_first(void **state)
{
	(void)state;
	struct cache_slab *s = fl_cache_slab_create(0);
	_Alignas(8) uint8_t room[256];
	struct cache_entry *e = (struct cache_entry *)room;
	for (uint64_t i = 0; i < 1000; i++) {
		fill(e, i, 1, 100);
		e->stored_ns = i % 2 ? 100 * FL_SEC : FL_SEC;
		fl_cache_slab_put(s, e, &rng);
	}
	for (uint64_t i = 1000; i < 1400; i++) {
		fill(e, i, 1, 100);
		e->stored_ns = 100 * FL_SEC;
		fl_cache_slab_put(s, e, &rng);
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
		fl_cache_slab_put(shared, e, &r);
	}
	free(e);
	return NULL;
}

static void test_threads(void **state)
{
	(void)state;
	pthread_t t[4];
	shared = fl_cache_slab_create(0);
	struct cache_entry *e = aligned_alloc(16, CACHE_ENTRY_MAX);
	for (unsigned key = 0; key < KEYS; key++) {     /* so that hits do not wait for a writer to be scheduled */
		fill(e, key, (uint8_t)key, sizeof *e + 100);
		fl_cache_slab_put(shared, e, &rng);
	}
	free(e);
	for (uintptr_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&t[i], NULL, i % 2 ? writer : reader, (void *)(i + 1)), 0);
	for (unsigned i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(torn, 0);
	assert_true(hits > ROUNDS / 2);
	assert_true(fl_cache_slab_count(shared) <= KEYS);
	fl_cache_slab_destroy(shared);
}

int main(void)
{
	fl_rng_init(&rng, 42);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_put_get), cmocka_unit_test(test_full), cmocka_unit_test(test_expired_first),
		cmocka_unit_test(test_threads),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

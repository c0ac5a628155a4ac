#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/rng.h"
#include "base/str.h"

static void test_seed(void **state)
{
	(void)state;
	struct fl_rng a, b;
	fl_rng_init(&a, 5);
	fl_rng_init(&b, 5);
	for (int i = 0; i < 100; i++)
		assert_true(fl_rng_next(&a) == fl_rng_next(&b));
	fl_rng_init(&b, 6);
	assert_true(fl_rng_next(&a) != fl_rng_next(&b));
	setenv("FL_SEED", "5", 1);
	fl_rng_init(&a, 0);
	fl_rng_init(&b, 5);
	assert_true(fl_rng_next(&a) == fl_rng_next(&b));
	unsetenv("FL_SEED");
	fl_rng_init(&a, 0);
	fl_rng_init(&b, 0);
	assert_true(fl_rng_next(&a) != fl_rng_next(&b));
}

static void test_below(void **state)
{
	(void)state;
	struct fl_rng r;
	unsigned count[7] = { 0 };
	fl_rng_init(&r, 1);
	for (int i = 0; i < 70000; i++) {
		uint32_t v = fl_rng_below(&r, 7);
		assert_true(v < 7);
		count[v]++;
		assert_int_equal(fl_rng_below(&r, 1), 0);
		assert_true(fl_rng_below(&r, UINT32_MAX) < UINT32_MAX);
	}
	for (int i = 0; i < 7; i++)
		assert_in_range(count[i], 9500, 10500);
}

static void test_bytes(void **state)
{
	(void)state;
	uint8_t a[64] = { 0 }, b[64] = { 0 };
	fl_random_bytes(a, 63);
	fl_random_bytes(b, 63);
	assert_int_equal(a[63], 0);
	assert_memory_not_equal(a, b, 63);
	fl_random_bytes(a, 0);
}

/* Equal bytes hash alike wherever they lie; folding changes letters and nothing else. */
static void test_hash(void **state)
{
	(void)state;
	struct fl_rng r;
	uint8_t a[80], b[80];
	fl_rng_init(&r, 0);
	for (int round = 0; round < 20000; round++) {
		size_t n = fl_rng_below(&r, 70), at = fl_rng_below(&r, 8);
		bool same = true;
		for (size_t i = 0; i < n; i++) {
			a[i] = (uint8_t)fl_rng_next(&r);
			uint8_t c = (uint8_t)(fl_lower(a[i]) ^ (fl_rng_below(&r, 40) ? 0 : 0x20));
			b[at + i] = c;
			same = same && fl_lower(c) == fl_lower(a[i]);
		}
		assert_true((fl_hash_fold(a, n) == fl_hash_fold(b + at, n)) == same);
		memcpy(b + at, a, n);
		assert_true(fl_hash(a, n) == fl_hash(b + at, n));
		if (n) {
			b[at + fl_rng_below(&r, (uint32_t)n)] ^= (uint8_t)(1u << fl_rng_below(&r, 8));
			assert_true(fl_hash(a, n) != fl_hash(b + at, n));
		}
	}
	assert_true(fl_hash("\0\0", 1) != fl_hash("\0\0", 2));
	assert_true(fl_hash("", 0) != fl_hash("\0", 1));
	assert_true(fl_hash(NULL, 0) == fl_hash("", 0));         /* an empty string that lies nowhere */
	assert_true(fl_hash_fold(NULL, 0) == fl_hash_fold("", 0));
}

/* Names that differ only in a few digits spread over a table's buckets and over the upper bits. */
static void test_spread(void **state)
{
	(void)state;
	enum { BUCKETS = 256, NAMES = 256 * 64 };
	unsigned low[BUCKETS] = { 0 }, high[BUCKETS] = { 0 };
	for (int i = 0; i < NAMES; i++) {
		char name[64];
		int n = snprintf(name, sizeof name, "svc-%d.ns.svc.cluster.local", i);
		uint64_t h = fl_hash_fold(name, (size_t)n);
		low[h % BUCKETS]++;
		high[h >> 56]++;
	}
	for (int i = 0; i < BUCKETS; i++) {
		assert_in_range(low[i], 16, 128);
		assert_in_range(high[i], 16, 128);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_seed), cmocka_unit_test(test_below), cmocka_unit_test(test_bytes), cmocka_unit_test(test_hash),
		cmocka_unit_test(test_spread),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

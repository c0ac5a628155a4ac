/* The books of the status page against exact counts of a skewed stream: what they say of a key is never less than what it had, less `over` never
 * more, and what had more than its share of a set is there. FL_SEED=n replays. */
#include "base/mem.h"
#include "base/clock.h"
#include "seed.h"
#include "plugin/dashboard/books.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

enum { KEYS = 3000, STEPS = 200000, SHARDS = 3 };

static struct fl_rng rng;
static uint64_t truth[SHARDS][KEYS], of_set[SHARDS][BOOK_SETS];

/* Keys of all lengths: the longest is a name of 255 bytes. */
static size_t key_of(uint8_t to[BOOK_KEY], unsigned k, bool upper)
{
	size_t n = 8 + k % (BOOK_KEY - 7);
	memset(to, upper ? 'A' + (int)(k % 26) : 'a' + (int)(k % 26), n);
	snprintf((char *)to, 8, "%07u", k);
	to[7] = 0;
	return n;
}

static unsigned draw(void)
{
	unsigned k = KEYS;
	for (int i = 0; i < 4; i++) {           /* the least of some: small numbers are frequent */
		unsigned x = fl_rng_below(&rng, KEYS);
		k = x < k ? x : k;
	}
	return fl_rng_below(&rng, 4) ? k : k % 7;
}

static uint64_t count_of(const struct book *b, unsigned k, uint32_t *over)
{
	uint8_t key[BOOK_KEY];
	size_t n = key_of(key, k, false);
	for (unsigned i = 0; i < BOOK_SETS * BOOK_WAYS; i++) {
		const struct book_entry *e = &b->at[i / BOOK_WAYS][i % BOOK_WAYS];
		if (e->count && e->n == n && !memcmp(e->key, key, n)) {
			*over = e->over;
			return e->count;
		}
	}
	return 0;
}

static void test_bounds(void **state)
{
	(void)state;
	struct book *b[SHARDS];
	uint8_t key[BOOK_KEY];
	seed_of(&rng);
	for (unsigned s = 0; s < SHARDS; s++)
		b[s] = fl_xalloc(sizeof *b[s]);
	for (unsigned i = 0; i < STEPS; i++) {
		unsigned k = draw(), s = i % SHARDS;
		uint32_t weight = 1 + fl_rng_below(&rng, 3);
		size_t n = key_of(key, k, fl_rng_below(&rng, 2));
		uint64_t h = fl_hash_fold(key, n);
		fl_dash_book_add(b[s], key, n, h, weight, true, 1);
		truth[s][k] += weight;
		of_set[s][h % BOOK_SETS] += weight;
	}
	for (unsigned s = 0; s < SHARDS; s++)
		for (unsigned k = 0; k < KEYS; k++) {
			uint32_t over = 0;
			size_t n = key_of(key, k, false);
			uint64_t count = count_of(b[s], k, &over), all = of_set[s][fl_hash_fold(key, n) % BOOK_SETS];
			if (count)
				assert_true(count >= truth[s][k] && count - over <= truth[s][k]);
			else
				assert_true(truth[s][k] * BOOK_WAYS <= all);
		}
	struct book_top top;
	fl_dash_book_top(b, SHARDS, 1, &top);
	assert_int_equal(top.n, BOOK_TOP);
	for (unsigned i = 1; i < top.n; i++)
		assert_true(top.at[i - 1].count - top.at[i - 1].over >= top.at[i].count - top.at[i].over);
	uint64_t all = 0;
	for (unsigned s = 0; s < SHARDS; s++)
		all += b[s]->total;
	assert_true(top.total == all);
	for (unsigned k = 0; k < 7; k++) {      /* the seven that are asked most by far are all there */
		bool there = false;
		size_t n = key_of(key, k, false);
		for (unsigned i = 0; i < 7; i++)
			there = there || (top.at[i].n == n && !memcmp(top.at[i].key, key, n));
		assert_true(there);
	}
	for (unsigned s = 0; s < SHARDS; s++)
		free(b[s]);
}

static void test_halves(void **state)
{
	(void)state;
	struct book *b = fl_xalloc(sizeof *b);
	struct book_top top;
	uint64_t t = 5;
	for (unsigned i = 0; i < 1000; i++)
		fl_dash_book_add(b, (const uint8_t *)"\1a", 3, 7, 1, true, t);
	fl_dash_book_top(&b, 1, t + 61 * FL_SEC, &top);
	assert_true(top.n == 1 && top.at[0].count == 500 && top.total == 500);
	fl_dash_book_add(b, (const uint8_t *)"\1A", 3, 7, 1, true, t + 121 * FL_SEC);
	fl_dash_book_top(&b, 1, t + 121 * FL_SEC, &top);
	assert_true(top.at[0].count == 251);
	fl_dash_book_top(&b, 1, t + 100000 * FL_SEC, &top);
	assert_int_equal(top.n, 0);
	struct book *none = NULL;
	fl_dash_book_top(&none, 1, t, &top);
	assert_int_equal(top.n, 0);
	b->open = 1;                            /* the other side has it: nobody waits */
	fl_dash_book_add(b, (const uint8_t *)"\1b", 3, 8, 1, true, t);
	fl_dash_book_top(&b, 1, t, &top);
	assert_int_equal(top.n, 0);
	free(b);
}

/* Few are all counted; of many one in BOOK_EVERY, for as many. */
static void test_draw(void **state)
{
	(void)state;
	struct book *b = fl_xalloc(sizeof *b);
	uint64_t counted = 0, drawn = 0;
	for (unsigned i = 0; i < 1000; i++)
		counted += fl_dash_book_draw(b, 1 + i * FL_MS);
	assert_int_equal(counted, 1000);
	counted = 0;
	for (unsigned i = 0; i < 1000000; i++) {
		uint32_t w = fl_dash_book_draw(b, 2 * FL_SEC + i * 1000ull);
		counted += w;
		drawn += w != 0;
	}
	assert_in_range(counted, 950000, 1050000);
	assert_in_range(drawn, 100000, 300000);
	free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_bounds), cmocka_unit_test(test_halves), cmocka_unit_test(test_draw) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

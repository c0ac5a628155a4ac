#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include "base/mem.h"
#include "base/rng.h"

static void test_heap(void **state)
{
	(void)state;
	char *p = fl_xalloc(100);
	for (int i = 0; i < 100; i++)
		assert_int_equal(p[i], 0);
	p = fl_xrealloc(p, 1000);
	p[999] = 1;
	free(p);
	p = fl_xrealloc(fl_xalloc(0), 0);
	assert_non_null(p);
	free(p);
	p = fl_xstrndup("abcdef", 3);
	assert_string_equal(p, "abc");
	free(p);
	p = fl_xstrndup(NULL, 0);
	assert_string_equal(p, "");
	free(p);
}

static void test_pool_sizes(void **state)
{
	(void)state;
	assert_int_equal(fl_pool_size(0), 2048);
	assert_int_equal(fl_pool_size(2048), 2048);
	assert_int_equal(fl_pool_size(2049), 4096);
	assert_int_equal(fl_pool_size(FL_PIECE_MAX), FL_PIECE_MAX);
	assert_int_equal(fl_pool_size(FL_PIECE_MAX + 1), 0);
	struct fl_pool p;
	fl_pool_init(&p, 5000);
	void *a = fl_pool_get(&p, 100), *b = fl_pool_get(&p, 2048);
	assert_non_null(a);
	assert_non_null(b);
	assert_int_equal(p.used, 4096);
	assert_null(fl_pool_get(&p, 1));                /* the limit */
	fl_pool_put(&p, a, 100);
	assert_ptr_equal(fl_pool_get(&p, 2000), a);     /* the same class again */
	assert_null(fl_pool_get(&p, FL_PIECE_MAX + 1));
	fl_pool_put(&p, a, 2000);
	fl_pool_put(&p, b, 2048);
	fl_pool_put(&p, NULL, 2048);
	assert_int_equal(p.used, 0);
	fl_pool_finish(&p);
	fl_pool_finish(&p);
}

/* Pieces of all sizes come and go; each keeps what was written into it, none overlaps, and the books are right. */
static void test_pool_random(void **state)
{
	(void)state;
	enum { N = 64 };
	static struct { uint8_t *p; size_t n; uint8_t mark; } held[N];
	struct fl_rng r;
	struct fl_pool pool;
	size_t used = 0, refused = 0;
	fl_rng_init(&r, 0);
	fl_pool_init(&pool, 300 << 10);
	for (int i = 0; i < 20000; i++) {
		unsigned k = fl_rng_below(&r, N);
		if (held[k].p) {
			for (size_t b = 0; b < held[k].n; b += 512)
				assert_int_equal(held[k].p[b], held[k].mark);
			assert_int_equal(held[k].p[held[k].n - 1], held[k].mark);
			fl_pool_put(&pool, held[k].p, held[k].n);
			used -= fl_pool_size(held[k].n);
			held[k].p = NULL;
			continue;
		}
		held[k].n = 1 + fl_rng_below(&r, 1u << fl_rng_below(&r, 19));
		held[k].mark = (uint8_t)i;
		held[k].p = fl_pool_get(&pool, held[k].n);
		if (!held[k].p) {
			assert_true(held[k].n > FL_PIECE_MAX || used + fl_pool_size(held[k].n) > pool.limit);
			refused++;
			continue;
		}
		assert_int_equal((uintptr_t)held[k].p % 16, 0);
		used += fl_pool_size(held[k].n);
		assert_int_equal(pool.used, used);
		memset(held[k].p, held[k].mark, held[k].n);
	}
	assert_true(refused > 0);
	fl_pool_finish(&pool);
}

static void test_arena(void **state)
{
	(void)state;
	_Alignas(16) char mem[256];
	struct fl_arena a;
	fl_arena_init(&a, mem, sizeof mem, NULL, 3 * FL_CHUNK);
	char *p = fl_alloc(&a, 1), *q = fl_alloc(&a, 17);
	assert_ptr_equal(p, mem);
	assert_ptr_equal(q, mem + 16);
	struct fl_arena_mark mark = fl_arena_mark(&a);
	char *z = fl_zalloc(&a, 1000);                  /* beyond the caller's memory: a chunk */
	for (int i = 0; i < 1000; i++)
		assert_int_equal(z[i], 0);
	assert_int_equal(a.used, FL_CHUNK);
	char *large = fl_alloc(&a, FL_CHUNK + 100);     /* more than a chunk: one of its own size */
	memset(large, 7, FL_CHUNK + 100);
	assert_null(fl_alloc(&a, 2 * FL_CHUNK));        /* the limit */
	assert_null(fl_alloc(&a, SIZE_MAX - 100));
	struct fl_str s = fl_arena_str(&a, FL_STR("name"));
	assert_string_equal(s.p, "name");
	assert_int_equal(s.n, 4);
	assert_string_equal(fl_arena_str(&a, (struct fl_str){ NULL, 0 }).p, "");
	s = fl_arena_printf(&a, "%s-%d", "x", 12);
	assert_string_equal(s.p, "x-12");
	assert_int_equal(s.n, 4);
	assert_memory_equal(fl_copy(&a, "abc", 3), "abc", 3);
	assert_non_null(fl_copy(&a, NULL, 0));
	fl_arena_rewind(&a, mark);
	assert_int_equal(a.used, 0);
	assert_ptr_equal(fl_alloc(&a, 1), mem + 48);
	fl_arena_finish(&a);
	fl_arena_finish(&(struct fl_arena){ 0 });
}

/* A full arena says so everywhere, and one on a pool gives all back. */
static void test_arena_limits(void **state)
{
	(void)state;
	struct fl_arena a;
	fl_arena_init(&a, NULL, 0, NULL, 0);
	assert_null(fl_alloc(&a, 1));
	assert_null(fl_zalloc(&a, 1));
	assert_null(fl_copy(&a, "a", 1));
	assert_null(fl_arena_str(&a, FL_STR("a")).p);
	assert_int_equal(fl_arena_printf(&a, "a").n, 0);
	fl_arena_finish(&a);
	struct fl_pool pool;
	fl_pool_init(&pool, 64 * 1024);
	fl_arena_init(&a, NULL, 0, &pool, 32 * 1024);
	unsigned n = 0;
	while (fl_alloc(&a, 1000))
		n++;
	assert_in_range(n, 4 * 7, 4 * 8 + 4);
	assert_true(pool.used <= 32 * 1024);
	fl_arena_finish(&a);
	assert_int_equal(pool.used, 0);
	assert_null(fl_alloc(&a, 1 << 20));             /* larger than any piece */
	fl_pool_finish(&pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_heap), cmocka_unit_test(test_pool_sizes), cmocka_unit_test(test_pool_random),
		cmocka_unit_test(test_arena), cmocka_unit_test(test_arena_limits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* How long a server is waited for before another is asked too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "plugin/forward/forward_int.h"

static uint64_t patience(const struct fwd_times *t)
{
	struct fwd_stanza st = { .hedge = true, .hedge_auto = true };
	return fl_forward_patience(&st, t);
}

static void test_fixed(void **state)
{
	(void)state;
	struct fwd_times t = { 0 };
	struct fwd_stanza st = { .hedge = true, .hedge_ns = 123 };
	assert_int_equal(fl_forward_patience(&st, &t), 123);
}

/* 1 .. 64 ms in any order: 3 of 64 took longer than 61 ms. */
static void test_p95(void **state)
{
	(void)state;
	struct fwd_times t = { 0 };
	assert_int_equal(patience(&t), 200 * FL_MS);
	for (unsigned i = 0; i < 64; i++)
		fl_forward_took(&t, (1 + i * 37 % 64) * FL_MS);
	assert_in_range(patience(&t), 60 * FL_MS, 62 * FL_MS);
	for (unsigned i = 0; i < 64; i++)               /* it became fast: forgotten after as many */
		fl_forward_took(&t, 10 * FL_MS);
	assert_int_equal(patience(&t), 10 * FL_MS);
	fl_forward_took(&t, 900 * FL_MS);               /* one that took long changes nothing */
	for (unsigned i = 0; i < 15; i++)
		fl_forward_took(&t, 10 * FL_MS);
	assert_int_equal(patience(&t), 10 * FL_MS);
}

static void test_bounds(void **state)
{
	(void)state;
	struct fwd_times t = { 0 };
	for (unsigned i = 0; i < 16; i++)
		fl_forward_took(&t, 100);
	assert_int_equal(patience(&t), 5 * FL_MS);
	for (unsigned i = 0; i < 64; i++)
		fl_forward_took(&t, 100000 * FL_SEC);
	assert_int_equal(patience(&t), FL_SEC);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_fixed), cmocka_unit_test(test_p95), cmocka_unit_test(test_bounds) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

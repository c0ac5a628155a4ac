#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/clock.h"
#include "kube/limit.h"

enum { LIST = false, WATCH = true };

static void test_none(void **state)
{
	(void)state;
	struct fl_limit l;
	fl_limit_init(&l, 0, 0, 0, 0);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(fl_limit_take(&l, LIST, 0), 0);
}

static void test_bucket(void **state)
{
	(void)state;
	struct fl_limit l;
	uint64_t now = 100 * FL_SEC;
	fl_limit_init(&l, 2, 3, 0, now);
	for (int i = 0; i < 3; i++)
		assert_int_equal(fl_limit_take(&l, LIST, now), 0);
	uint64_t wait = fl_limit_take(&l, LIST, now);
	assert_in_range(wait, FL_SEC / 2, FL_SEC / 2 + 10);
	assert_int_equal(fl_limit_take(&l, WATCH, now), 0);             /* takes no token */
	assert_int_not_equal(fl_limit_take(&l, LIST, now + wait / 2), 0);
	assert_int_equal(fl_limit_take(&l, LIST, now + wait), 0);
	now += 3600 * FL_SEC;                                           /* never more than the burst */
	for (int i = 0; i < 3; i++)
		assert_int_equal(fl_limit_take(&l, LIST, now), 0);
	assert_int_not_equal(fl_limit_take(&l, LIST, now), 0);
}

static void test_defaults(void **state)
{
	(void)state;
	struct fl_limit l;
	fl_limit_init(&l, 0, 1, 0, 0);
	assert_int_equal(fl_limit_take(&l, LIST, 0), 0);
	assert_in_range(fl_limit_take(&l, LIST, 0), FL_SEC / 5, FL_SEC / 5 + 10);
	fl_limit_init(&l, 1, 0, 0, 0);
	for (int i = 0; i < 10; i++)
		assert_int_equal(fl_limit_take(&l, LIST, 0), 0);
	assert_int_not_equal(fl_limit_take(&l, LIST, 0), 0);
	fl_limit_init(&l, 1e-300, 1, 0, 0);
	assert_int_equal(fl_limit_take(&l, LIST, 0), 0);
	assert_in_range(fl_limit_take(&l, LIST, 0), UINT64_MAX / 4, UINT64_MAX - 1);    /* once in an age: not a slot */
}

static void test_slots(void **state)
{
	(void)state;
	struct fl_limit l;
	fl_limit_init(&l, 100, 1, 2, 0);
	assert_int_equal(fl_limit_take(&l, WATCH, 0), 0);
	assert_int_equal(fl_limit_take(&l, LIST, 0), 0);
	assert_int_equal(fl_limit_take(&l, LIST, 3600 * FL_SEC), UINT64_MAX);
	fl_limit_give(&l);
	assert_int_equal(fl_limit_take(&l, WATCH, 0), 0);
	assert_int_equal(fl_limit_take(&l, WATCH, 0), UINT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_none), cmocka_unit_test(test_bucket), cmocka_unit_test(test_defaults), cmocka_unit_test(test_slots),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include "base/seen.h"

static void test_new_once(void **state)
{
	(void)state;
	struct fl_seen s = { .cap = fl_seen_cap(1000) };
	s.slot = calloc(s.cap, sizeof *s.slot);
	assert_true(s.cap >= 2000 && !(s.cap & (s.cap - 1)));
	for (uint64_t i = 0; i < 1000; i++)
		assert_true(fl_seen_new(&s, i * 0x9e3779b97f4a7c15ull));
	for (uint64_t i = 0; i < 1000; i++)
		assert_false(fl_seen_new(&s, i * 0x9e3779b97f4a7c15ull));
	assert_false(fl_seen_new(&s, 0));       /* 0 counts as any other */
	free(s.slot);
}

static void test_full(void **state)
{
	(void)state;
	struct fl_seen s = { .cap = fl_seen_cap(0) };
	s.slot = calloc(s.cap, sizeof *s.slot);
	unsigned n = 0;
	for (uint64_t i = 1; i < 1000; i++)
		n += fl_seen_new(&s, i);
	assert_int_equal(n, s.cap * 3 / 4);
	assert_true(fl_seen_cap(UINT64_MAX) == 2 * FL_SEEN_MAX);
	free(s.slot);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_new_once), cmocka_unit_test(test_full) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

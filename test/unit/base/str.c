#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/rng.h"
#include "base/str.h"

static void test_compare(void **state)
{
	(void)state;
	assert_true(fl_str_eq(FL_STR(""), (struct fl_str){ "x", 0 }));
	assert_true(fl_str_is(FL_STR("abc"), "abc"));
	assert_false(fl_str_is(FL_STR("abc"), "ab"));
	assert_false(fl_str_is(FL_STR("abc"), "abC"));
	assert_true(fl_str_ieq(FL_STR("aBz[`"), FL_STR("AbZ[`")));
	assert_false(fl_str_ieq(FL_STR("[`@"), FL_STR("{@`")));         /* next to the letters, and not letters */
	assert_false(fl_str_ieq(FL_STR("a"), FL_STR("ab")));
	assert_true(fl_str_starts(FL_STR("abc"), FL_STR("ab")));
	assert_true(fl_str_starts(FL_STR("abc"), FL_STR("")));
	assert_false(fl_str_starts(FL_STR("ab"), FL_STR("abc")));
	assert_true(fl_str_ends(FL_STR("abc"), FL_STR("bc")));
	assert_false(fl_str_ends(FL_STR("bc"), FL_STR("abc")));
	assert_int_equal(fl_str(NULL).n, 0);
	assert_true(fl_str_starts(FL_STR("abc"), fl_str(NULL)) && fl_str_starts(fl_str(NULL), fl_str(NULL)));
	assert_true(fl_str_ends(FL_STR("abc"), fl_str(NULL)) && fl_str_ends(fl_str(NULL), FL_STR("")));
	char one[] = "x";
	assert_ptr_equal(fl_put_bytes(one, NULL, 0), one);
	assert_ptr_equal(fl_put_bytes(one, "y", 1), one + 1);
	assert_string_equal(one, "y");
	for (int c = 0; c < 256; c++)
		assert_int_equal(fl_lower((uint8_t)c), c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

static void test_parts(void **state)
{
	(void)state;
	assert_true(fl_str_is(fl_str_trim(FL_STR(" \t\r\n\v\f a b \n")), "a b"));
	assert_int_equal(fl_str_trim(FL_STR(" \t ")).n, 0);
	assert_int_equal(fl_str_trim(FL_STR("")).n, 0);
	static const struct { const char *s, *head, *rest; } rows[] = {
		{ "a.b.c", "a", "b.c" }, { "abc", "abc", "" }, { ".abc", "", "abc" }, { "abc.", "abc", "" }, { "", "", "" }, { ".", "", "" },
	};
	for (size_t i = 0; i < FL_COUNT(rows); i++) {
		struct fl_str head, rest = fl_str_cut(fl_str(rows[i].s), '.', &head);
		assert_true(fl_str_is(head, rows[i].head));
		assert_true(fl_str_is(rest, rows[i].rest));
	}
	struct fl_str none;
	assert_int_equal(fl_str_cut(fl_str(NULL), '.', &none).n + none.n, 0);
	/* A walk over all parts ends, whatever the last one is. */
	unsigned parts = 0;
	for (struct fl_str s = FL_STR("1,2,,3,"), part; s.n; parts++)
		s = fl_str_cut(s, ',', &part);
	assert_int_equal(parts, 4);
}

static void test_integers(void **state)
{
	(void)state;
	static const struct { const char *s; int64_t min, max; int ret; int64_t v; } rows[] = {
		{ "0", 0, 9, 0, 0 }, { "007", 0, 9, 0, 7 }, { "+5", 0, 9, 0, 5 }, { "-5", -9, 9, 0, -5 }, { "-0", 0, 9, 0, 0 },
		{ "9223372036854775807", INT64_MIN, INT64_MAX, 0, INT64_MAX }, { "-9223372036854775808", INT64_MIN, INT64_MAX, 0, INT64_MIN },
		{ "9223372036854775808", INT64_MIN, INT64_MAX, -ERANGE, 0 }, { "-9223372036854775809", INT64_MIN, INT64_MAX, -ERANGE, 0 },
		{ "99999999999999999999999999", INT64_MIN, INT64_MAX, -ERANGE, 0 }, { "10", 0, 9, -ERANGE, 0 }, { "-1", 0, 9, -ERANGE, 0 },
		{ "", 0, 9, -EINVAL, 0 }, { "-", 0, 9, -EINVAL, 0 }, { "+", 0, 9, -EINVAL, 0 }, { "1x", 0, 9, -EINVAL, 0 },
		{ " 1", 0, 9, -EINVAL, 0 }, { "1 ", 0, 9, -EINVAL, 0 }, { "--1", -9, 9, -EINVAL, 0 }, { "0x1", 0, 9, -EINVAL, 0 },
		{ "99999999999999999999999999x", 0, 9, -EINVAL, 0 },
	};
	for (size_t i = 0; i < FL_COUNT(rows); i++) {
		int64_t v = 77;
		int ret = fl_parse_int(fl_str(rows[i].s), rows[i].min, rows[i].max, &v);
		if (ret != rows[i].ret || v != (ret ? 77 : rows[i].v))
			fail_msg("'%s': %d, %lld", rows[i].s, ret, (long long)v);
	}
	struct fl_rng r;
	fl_rng_init(&r, 0);
	for (int i = 0; i < 10000; i++) {
		char text[24];
		int64_t want = (int64_t)fl_rng_next(&r) >> fl_rng_below(&r, 63), v;
		snprintf(text, sizeof text, "%lld", (long long)want);
		assert_int_equal(fl_parse_int(fl_str(text), INT64_MIN, INT64_MAX, &v), 0);
		if (v != want)
			fail_msg("%s became %lld", text, (long long)v);
	}
}

static void test_err(void **state)
{
	(void)state;
	struct fl_err e;
	assert_int_equal(fl_err_set(&e, "%s:%d", "f", 3), -EINVAL);
	assert_string_equal(e.msg, "f:3");
	assert_int_equal(fl_err_set(NULL, "x"), -EINVAL);
	fl_err_set(&e, "%600s", "x");
	assert_int_equal(strlen(e.msg), sizeof e.msg - 1);
}

/* RFC 4648 §10, without the padding; and the two signs that are its own. */
static void test_base64url(void **state)
{
	(void)state;
	static const struct { const char *in, *out; } row[] = {
		{ "", "" }, { "f", "Zg" }, { "fo", "Zm8" }, { "foo", "Zm9v" }, { "foob", "Zm9vYg" }, { "fooba", "Zm9vYmE" }, { "foobar", "Zm9vYmFy" },
		{ "\xfb\xff\xbf", "-_-_" },
	};
	char to[16];
	for (size_t i = 0; i < FL_COUNT(row); i++) {
		assert_int_equal(fl_base64url(to, row[i].in, strlen(row[i].in)), strlen(row[i].out));
		assert_string_equal(to, row[i].out);
	}
}

static void test_clock(void **state)
{
	(void)state;
	uint64_t a = fl_clock_ns(), wall = fl_clock_wall_s();
	assert_true(a > 0 && fl_clock_ns() >= a);
	assert_true(wall > 1700000000);
	fl_clock_virtual(5 * FL_SEC);
	assert_true(fl_clock_is_virtual());
	assert_int_equal(fl_clock_ns(), 5 * FL_SEC);
	wall = fl_clock_wall_s();
	fl_clock_virtual(7 * FL_SEC);
	assert_int_equal(fl_clock_wall_s(), wall + 2);
	fl_clock_virtual(0);
	assert_false(fl_clock_is_virtual());
	assert_true(fl_clock_ns() >= a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_compare), cmocka_unit_test(test_parts), cmocka_unit_test(test_integers), cmocka_unit_test(test_err),
		cmocka_unit_test(test_clock), cmocka_unit_test(test_base64url),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include "conf/conf.h"

static void test_durations(void **state)
{
	(void)state;
	static const struct { const char *text; int64_t ns; const char *back; } rows[] = {
		{ "0", 0, "0s" }, { "-0", 0, "0s" }, { "0s", 0, "0s" }, { "5s", 5000000000, "5s" }, { "+5s", 5000000000, "5s" },
		{ "1h30m", 5400000000000, "1h30m0s" }, { "1.5s", 1500000000, "1.5s" }, { ".5s", 500000000, "500ms" },
		{ "1.s", 1000000000, "1s" },
		{ "-2m", -120000000000, "-2m0s" }, { "90s", 90000000000, "1m30s" }, { "1ns", 1, "1ns" },
		{ "1us", 1000, "1\xC2\xB5s" },
		{ "1\xC2\xB5s", 1000, "1\xC2\xB5s" }, { "1\xCE\xBCs", 1000, "1\xC2\xB5s" }, { "1.25ms", 1250000, "1.25ms" },
		{ "1001ns", 1001, "1.001\xC2\xB5s" }, { "100h", 360000000000000, "100h0m0s" },
		{ "1m0.000000001s", 60000000001, "1m0.000000001s" },
		{ "0.3333333333333333333333h", 1200000000000, "20m0s" }, { "1s1s", 2000000000, "2s" },
		{ "9223372036854775807ns", INT64_MAX, "2562047h47m16.854775807s" },
		{ "-9223372036854775808ns", INT64_MIN, "-2562047h47m16.854775808s" },
		{ "9223372036s854ms775us807ns", INT64_MAX, "2562047h47m16.854775807s" },
	};
	for (size_t i = 0; i < FL_COUNT(rows); i++) {
		struct fl_err e = { "" };
		int64_t ns = -77;
		char back[32];
		assert_int_equal(fl_duration_parse(fl_str(rows[i].text), &ns, &e), 0);
		assert_true(ns == rows[i].ns);
		assert_int_equal(fl_duration_text(back, ns), strlen(rows[i].back));
		assert_string_equal(back, rows[i].back);
	}
}

static void test_bad_durations(void **state)
{
	(void)state;
	static const struct { const char *text, *want; } rows[] = {
		{ "5", "time: missing unit in duration \"5\"" }, { "1h0", "time: missing unit in duration \"1h0\"" },
		{ "", "time: invalid duration \"\"" }, { "-", "time: invalid duration \"-\"" },
		{ ".s", "time: invalid duration \".s\"" },
		{ "abc", "time: invalid duration \"abc\"" }, { "1x", "time: unknown unit \"x\" in duration \"1x\"" },
		{ "1 s", "time: unknown unit \" s\" in duration \"1 s\"" }, { "--1s", "time: invalid duration \"--1s\"" },
		{ "1\"\\\x01\xC3\xA9", "time: unknown unit \"\\\"\\\\\\x01\\xc3\\xa9\" in duration \"1\\\"\\\\\\x01\\xc3\\xa9\"" },
		{ "9223372036854775808ns", "time: invalid duration \"9223372036854775808ns\"" },
		{ "99999999999999999999s", "time: invalid duration \"99999999999999999999s\"" },
		{ "2562048h", "time: invalid duration \"2562048h\"" },
		{ "-9223372036854775809ns", "time: invalid duration \"-9223372036854775809ns\"" },
	};
	for (size_t i = 0; i < FL_COUNT(rows); i++) {
		struct fl_err e = { "" };
		int64_t ns = -77;
		assert_int_equal(fl_duration_parse(fl_str(rows[i].text), &ns, &e), -EINVAL);
		assert_string_equal(e.msg, rows[i].want);
		assert_true(ns == -77);
	}
}

static void test_atoi(void **state)
{
	(void)state;
	static const struct { const char *text; int64_t want; const char *words; } rows[] = {
		{ "0", 0, NULL }, { "-12", -12, NULL }, { "+7", 7, NULL }, { "007", 7, NULL },
		{ "9223372036854775807", INT64_MAX, NULL },
		{ "abc", 0, "strconv.Atoi: parsing \"abc\": invalid syntax" },
		{ "", 0, "strconv.Atoi: parsing \"\": invalid syntax" },
		{ "1.5", 0, "strconv.Atoi: parsing \"1.5\": invalid syntax" },
		{ "\"\t", 0, "strconv.Atoi: parsing \"\\\"\\t\": invalid syntax" },
		{ "9223372036854775808", 0, "strconv.Atoi: parsing \"9223372036854775808\": value out of range" },
	};
	for (size_t i = 0; i < FL_COUNT(rows); i++) {
		struct fl_err e = { "" };
		int64_t n = 0;
		assert_int_equal(fl_atoi(fl_str(rows[i].text), &n, &e), rows[i].words ? -EINVAL : 0);
		assert_string_equal(e.msg, rows[i].words ? rows[i].words : "");
		assert_true(n == rows[i].want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_durations), cmocka_unit_test(test_bad_durations),
		cmocka_unit_test(test_atoi) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/log.h"

static char text[16384];
static size_t text_n, lines;
static void capture(void *arg, const char *line, size_t n)
{
	assert_ptr_equal(arg, text);
	assert_true(text_n + n < sizeof text);
	memcpy(text + text_n, line, n);
	text_n += n;
	text[text_n] = 0;
	lines++;
}

static int setup(void **state)
{
	(void)state;
	text_n = lines = 0;
	text[0] = 0;
	fl_log_capture(capture, text);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fl_log_capture(NULL, NULL);
	fl_log_json(false);
	fl_log_debug(false);
	return 0;
}

static void test_plain(void **state)
{
	(void)state;
	fl_log(FL_INFO, "plugin/reload", "hash %d", 7);
	fl_log(FL_WARN, NULL, "no %s", "fire");
	fl_log(FL_ERROR, "plugin/x", "%s", "");
	fl_log(FL_DEBUG, NULL, "hidden");
	fl_log_debug(true);
	fl_log(FL_DEBUG, NULL, "seen");
	assert_string_equal(text, "[INFO] plugin/reload: hash 7\n[WARNING] no fire\n[ERROR] plugin/x: \n[DEBUG] seen\n");
	assert_int_equal(lines, 4);
}

/* A line too long is cut, and stays one line. */
static void test_long(void **state)
{
	(void)state;
	fl_log(FL_INFO, NULL, "%9000d", 1);
	assert_int_equal(lines, 1);
	assert_in_range(text_n, 4000, 4096);
	assert_int_equal(text[text_n - 1], '\n');
	fl_log_json(true);
	char quotes[5000];
	memset(quotes, '"', sizeof quotes - 1);
	quotes[sizeof quotes - 1] = 0;
	text_n = 0;
	fl_log(FL_INFO, "plugin/a", "%s", quotes);
	assert_string_equal(text + text_n - 15, ",\"plugin\":\"a\"}\n");
	assert_int_equal(text[text_n - 16], '"');
}

static void test_json(void **state)
{
	(void)state;
	fl_log_json(true);
	assert_true(fl_log_is_json());
	fl_log(FL_WARN, "plugin/cache", "a \"b\"\t\\ \n\x01\xc3\xa4");
	int y, mo, d, h, mi, s, zh, zm, used = 0;
	long ns;
	char sign;
	assert_int_equal(sscanf(text, "{\"time\":\"%4d-%2d-%2dT%2d:%2d:%2d.%9ld%c%2d:%2d\",%n", &y, &mo, &d, &h, &mi, &s, &ns, &sign, &zh, &zm,
				&used), 10);
	assert_true(y >= 2024 && (sign == '+' || sign == '-'));
	assert_string_equal(text + used, "\"level\":\"WARN\",\"msg\":\"a \\\"b\\\"\\t\\\\ \\n\\u0001\xc3\xa4\",\"plugin\":\"cache\"}\n");
	text_n = 0;
	fl_log(FL_INFO, NULL, "x");
	assert_non_null(strstr(text, "\"level\":\"INFO\",\"msg\":\"x\"}\n"));
}

static void test_escape(void **state)
{
	(void)state;
	char to[64];
	struct fl_str s = FL_STR("\x00\x1f\x7f/");
	assert_int_equal(fl_json_escape(to, sizeof to, s), 14);
	assert_memory_equal(to, "\\u0000\\u001f\x7f/", 14);
	/* Never past cap, whatever fits or not. */
	for (size_t cap = 0; cap < 32; cap++) {
		memset(to, '#', sizeof to);
		size_t n = fl_json_escape(to, cap, FL_STR("a\x01\"b\n\x02zzzzzzzzz"));
		assert_true(n <= cap);
		for (size_t i = cap; i < sizeof to; i++)
			assert_int_equal(to[i], '#');
	}
}

static void test_every(void **state)
{
	(void)state;
	uint64_t last = 0;
	fl_clock_virtual(FL_SEC);
	assert_true(fl_log_every(10 * FL_SEC, &last));
	assert_false(fl_log_every(10 * FL_SEC, &last));
	fl_clock_virtual(11 * FL_SEC - 1);
	assert_false(fl_log_every(10 * FL_SEC, &last));
	fl_clock_virtual(11 * FL_SEC);
	assert_true(fl_log_every(10 * FL_SEC, &last));
	assert_false(fl_log_every(10 * FL_SEC, &last));
	fl_clock_virtual(0);
}

/* Without capture it is one write to standard output. */
static void test_stdout(void **state)
{
	(void)state;
	int fd[2], keep = dup(STDOUT_FILENO);
	char got[100];
	assert_int_equal(pipe(fd), 0);
	fflush(stdout);
	dup2(fd[1], STDOUT_FILENO);
	fl_log_capture(NULL, NULL);
	fl_log(FL_INFO, NULL, "one");
	fl_log_raw("raw\n", 4);
	dup2(keep, STDOUT_FILENO);
	ssize_t n = read(fd[0], got, sizeof got);
	assert_int_equal(n, 15);
	assert_memory_equal(got, "[INFO] one\nraw\n", 15);
	close(keep);
	close(fd[0]);
	close(fd[1]);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_plain), TEST(test_long), TEST(test_json), TEST(test_escape), TEST(test_every), TEST(test_stdout),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include "conf/conf.h"

static struct fl_conf c;
static struct fl_err err;
static struct fl_disp d;

/* The dispenser of the only directive of text. */
static void start(const char *text)
{
	fl_conf_finish(&c);
	assert_int_equal(fl_conf_parse(&c, "Cf", fl_str(text), "/", NULL, &err), 0);
	assert_int_equal(c.block[0].ndir, 1);
	fl_disp_init(&d, &c, &c.block[0].dir[0], &err);
}

static void assert_val(const char *want) { assert_string_equal(fl_disp_val(&d).p, want); }

static void test_moving(void **state)
{
	(void)state;
	start(". {\n log \"a\nb\" c\n log d\n}");
	assert_val("");
	assert_string_equal(fl_disp_file(&d), "Cf");
	assert_int_equal(fl_disp_line(&d), 0);
	assert_true(fl_disp_next(&d));
	assert_val("log");
	assert_int_equal(fl_disp_line(&d), 2);
	assert_false(fl_disp_next_line(&d));
	assert_true(fl_disp_next_arg(&d));
	assert_val("a\nb");
	assert_false(fl_disp_next_line(&d));
	assert_true(fl_disp_next_arg(&d));      /* the quoted token ends on the line of c */
	assert_val("c");
	assert_int_equal(fl_disp_line(&d), 3);
	assert_false(fl_disp_next_arg(&d));
	assert_true(fl_disp_next_line(&d));
	assert_val("log");
	assert_true(fl_disp_next(&d));
	assert_val("d");
	assert_false(fl_disp_next(&d));
	assert_false(fl_disp_next_arg(&d));
	assert_false(fl_disp_next_line(&d));
	assert_val("d");
}

static void test_args(void **state)
{
	(void)state;
	struct fl_str *a;
	start(". {\n log a b {\n c d\n }\n log\n}");
	assert_true(fl_disp_next(&d));
	assert_int_equal(fl_disp_args(&d, &a), 2);
	assert_string_equal(a[0].p, "a");
	assert_string_equal(a[1].p, "b");
	assert_val("b");
	assert_true(fl_disp_next_block(&d));
	assert_val("c");
	assert_int_equal(fl_disp_args(&d, &a), 1);
	assert_string_equal(a[0].p, "d");
	assert_false(fl_disp_next_block(&d));
	assert_true(fl_disp_next(&d));
	assert_val("log");
	assert_int_equal(fl_disp_args(&d, &a), 0);
	assert_false(fl_disp_next_block(&d));
}

/* The usual loops of a plugin, as one string. */
static void test_blocks(void **state)
{
	(void)state;
	static const struct { const char *text, *want; } rows[] = {
		{ ". {\n log\n}", "log;" },
		{ ". {\n log {\n }\n}", "log;" },
		{ ". {\n log { a\n b c\n }\n log x {\n  d\n }\n}", "log[a b c];log(x)[d];" },
		/* an inner block's end ends the loop: the caller looks at nesting */
		{ ". {\n log {\n a {\n b\n }\n c\n }\n}", "log[a b];" },
		{ ". {\n log\n log x\n}", "log;log(x);" },
	};
	for (size_t i = 0; i < FL_COUNT(rows); i++) {
		start(rows[i].text);
		char is[256] = "";
		while (fl_disp_next(&d)) {
			struct fl_str *a;
			if (!fl_str_is(fl_disp_val(&d), "log"))
				continue;
			strcat(is, "log");
			for (unsigned k = fl_disp_args(&d, &a), j = 0; j < k; j++)
				strcat(strcat(strcat(is, "("), a[j].p), ")");
			unsigned n = 0;
			while (fl_disp_next_block(&d)) {
				strcat(strcat(is, n++ ? " " : "["), fl_disp_val(&d).p);
				for (unsigned k = fl_disp_args(&d, &a), j = 0; j < k; j++)
					strcat(strcat(is, " "), a[j].p);
			}
			strcat(is, n ? "];" : ";");
		}
		assert_string_equal(is, rows[i].want);
	}
}

static void test_errors(void **state)
{
	(void)state;
	start(". {\n log a {\n}\n}");
	assert_int_equal(fl_disp_err(&d, "x%d", 1), -EINVAL);
	assert_string_equal(err.msg, "Cf:0 - Error during parsing: x1");
	fl_disp_next(&d);
	fl_disp_next(&d);
	assert_int_equal(fl_disp_arg_err(&d), -EINVAL);
	assert_string_equal(err.msg, "Cf:2 - Error during parsing: Wrong argument count or unexpected line ending after 'a'");
	fl_disp_next(&d);
	assert_int_equal(fl_disp_arg_err(&d), -EINVAL);
	assert_string_equal(err.msg, "Cf:2 - Error during parsing: Unexpected token '{', expecting argument");
	assert_int_equal(fl_disp_syntax_err(&d, "Unknown field foo"), -EINVAL);
	assert_string_equal(err.msg, "Cf:2 - Syntax error: Unexpected token '{', expecting 'Unknown field foo'");
	d.err = NULL;
	assert_int_equal(fl_disp_err(&d, "nobody listens"), -EINVAL);
}

static int tear_down(void **state)
{
	(void)state;
	fl_conf_finish(&c);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_moving), cmocka_unit_test(test_args), cmocka_unit_test(test_blocks),
			cmocka_unit_test(test_errors),
	};
	return cmocka_run_group_tests(tests, NULL, tear_down);
}

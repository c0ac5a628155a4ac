/* The expected groups and errors are what Go 1.26's regexp says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "lang/regex.h"

static const struct { const char *pattern, *subject, *groups; } matches[] = {
	{ "", "", "[]" },
	{ "a|ab", "ab", "[a]" },                                /* leftmost, first alternative */
	{ "^ip-(?P<a>[0-9]+)-(?<b>[0-9]+)[.]test[.]$", "ip-10-7.test.", "[ip-10-7.test.][10][7]" },
	{ "(.*)-(eu|us)\\.geo\\.test", "www-eu.geo.test.", "[www-eu.geo.test][www][eu]" },
	{ "^(\\w+)\\.auto\\.test\\.$", "app.auto.test.", "[app.auto.test.][app]" },
	{ "x$", "x\n", NULL },                                  /* $ is the very end */
	{ "(?m)x$", "x\ny", "[x]" },
	{ "a.c", "a\nc", NULL },
	{ "(?s)a.c", "a\nc", "[a\nc]" },
	{ "(a)|(b)", "b", "[b]-[b]" },
	{ "a{,2}", "a{,2}", "[a{,2}]" },                        /* no repeat: letters */
	{ "a{2,3}", "aaaa", "[aaa]" },
	{ "a{2,3}?", "aaaa", "[aa]" },
	{ "(?U)a+", "aaa", "[a]" },
	{ "(?i)straSSe", "STRASSE", "[STRASSE]" },
	{ "(?i:A)b", "aB", NULL },
	{ "\\v", "\n", NULL },                                  /* VT alone, not any vertical space */
	{ "\\v", "\v", "[\v]" },
	{ "\\s", "\v", NULL },
	{ "[\\s]", "\f", "[\f]" },
	{ "\\S", "\v", "[\v]" },
	{ "\\07\\101", "\aA", "[\aA]" },
	{ "\\x41\\x{1F600}", "A\xf0\x9f\x98\x80", "[A\xf0\x9f\x98\x80]" },
	{ "\\Qa.b\\E+", "xa.bb", "[a.bb]" },
	{ "[]a]+", "]a]", "[]a]]" },
	{ "[^]a]", "]ab", "[b]" },
	{ "[[:alpha:]_]+", "1ab_2", "[ab_]" },
	{ "[a[]", "[", "[[]" },
	{ "\\pL+", "1\xc3\xa9", "[\xc3\xa9]" },
	{ "\\_\\-\\.", "_-.", "[_-.]" },
	{ "b", "\xff\xfe" "b", "[b]" },                          /* no UTF-8: no error */
	{ "(?P<1st>x)", "x", "[x][x]" },
};

static const struct { const char *pattern, *words; } refused[] = {
	{ "(", "missing closing ): `(`" },
	{ ")", "unexpected ): `)`" },
	{ "a(?=b)", "invalid or unsupported Perl syntax: `(?=`" },
	{ "a(?!b)", "invalid or unsupported Perl syntax: `(?!`" },
	{ "(?<=a)b", "invalid or unsupported Perl syntax: `(?<`" },
	{ "(?<!a)b", "invalid or unsupported Perl syntax: `(?<`" },
	{ "(?>a)", "invalid or unsupported Perl syntax" },
	{ "(?|a)", "invalid or unsupported Perl syntax" },
	{ "(?#c)", "invalid or unsupported Perl syntax" },
	{ "(?x)a", "invalid or unsupported Perl syntax" },
	{ "(?P=n)", "invalid or unsupported Perl syntax" },
	{ "(?P>n)", "invalid or unsupported Perl syntax" },
	{ "(?R)", "invalid or unsupported Perl syntax" },
	{ "(?1)", "invalid or unsupported Perl syntax" },
	{ "(?'n'a)", "invalid or unsupported Perl syntax" },
	{ "(*ACCEPT)", "missing argument to repetition operator: `*`" },
	{ "(a)\\1", "invalid escape sequence: `\\1`" },
	{ "\\8", "invalid escape sequence: `\\8`" },
	{ "\\Z", "invalid escape sequence: `\\Z`" },
	{ "\\h", "invalid escape sequence: `\\h`" },
	{ "\\C", "invalid escape sequence: `\\C`" },
	{ "\\K", "invalid escape sequence" },
	{ "\\R", "invalid escape sequence" },
	{ "\\G", "invalid escape sequence" },
	{ "\\X", "invalid escape sequence" },
	{ "\\gx", "invalid escape sequence" },
	{ "[\\b]", "invalid escape sequence: `\\b`" },
	{ "a*+", "invalid nested repetition operator: `*+`" },
	{ "a++", "invalid nested repetition operator: `++`" },
	{ "a**", "invalid nested repetition operator: `**`" },
	{ "a{2}+", "invalid nested repetition operator" },
	{ "*a", "missing argument to repetition operator: `*`" },
	{ "(|*)", "missing argument to repetition operator" },
	{ "a{1001}", "invalid repeat count: `{1001}`" },
	{ "a{3,2}", "invalid repeat count: `{3,2}`" },
	{ "(a{100}){100}", "invalid repeat count: `{100}`" },
	{ "((a{100})b){11}", "invalid repeat count" },
	{ "[a", "missing closing ]: `[a`" },
	{ "a\\", "trailing backslash at end of expression" },
	{ "(?P<n", "invalid named capture" },
	{ "(?P<n>a)(?P<n>b)", "" },
	{ "[b-a]", "" },
	{ "\\p{Nosuch}", "" },
	{ "[[:nosuch:]]", "" },
	{ "\\x{110000}", "invalid escape sequence" },
	{ "\\x4", "invalid escape sequence" },
};

static void matching(void **state)
{
	(void)state;
	struct fl_regex_scratch *s = fl_regex_scratch_create(FL_REGEX_GROUPS);
	assert_non_null(s);
	for (unsigned i = 0; i < FL_COUNT(matches); i++) {
		struct fl_err e = { 0 };
		struct fl_regex *r = fl_regex_compile(fl_str(matches[i].pattern), &e);
		if (!r)
			fail_msg("%s: %s", matches[i].pattern, e.msg);
		struct fl_regex_match m;
		int ret = fl_regex_match(r, s, fl_str(matches[i].subject), &m);
		char got[256], *p = got;
		assert_true(ret >= 0);
		for (unsigned g = 0; ret && g < m.n; g++)
			p += m.group[g].p ? sprintf(p, "[%.*s]", FL_FMT(m.group[g])) : sprintf(p, "-");
		*p = 0;
		if (ret != (matches[i].groups != NULL) || (ret && strcmp(got, matches[i].groups)))
			fail_msg("%s on %s: %d %s", matches[i].pattern, matches[i].subject, ret, got);
		fl_regex_free(r);
	}
	fl_regex_scratch_free(s);
}

static void refusing(void **state)
{
	(void)state;
	for (unsigned i = 0; i < FL_COUNT(refused); i++) {
		struct fl_err e = { 0 };
		struct fl_regex *r = fl_regex_compile(fl_str(refused[i].pattern), &e);
		if (r || strncmp(e.msg, "error parsing regexp: ", 22) || !strstr(e.msg, refused[i].words))
			fail_msg("%s: %s", refused[i].pattern, r ? "compiled" : e.msg);
	}
}

static void names(void **state)
{
	(void)state;
	struct fl_err e;
	struct fl_regex *r = fl_regex_compile(FL_STR("(?P<a>x)(y)(?<b2>z)"), &e);
	assert_int_equal(fl_regex_groups(r), 3);
	assert_int_equal(fl_regex_group(r, FL_STR("a")), 1);
	assert_int_equal(fl_regex_group(r, FL_STR("b2")), 3);
	assert_int_equal(fl_regex_group(r, FL_STR("c")), -1);
	assert_string_equal(fl_regex_group_name(r, 3), "b2");
	assert_null(fl_regex_group_name(r, 2));
	assert_null(fl_regex_group_name(r, 9));
	assert_string_equal(fl_regex_text(r), "(?P<a>x)(y)(?<b2>z)");
	fl_regex_free(r);
}

/* What would keep PCRE2 busy for ever ends soon and says so; the scratch is as good as before. */
static void work(void **state)
{
	(void)state;
	struct fl_err e;
	struct fl_regex_scratch *s = fl_regex_scratch_create(3);
	struct fl_regex *slow = fl_regex_compile(FL_STR("^(a+)+$"), &e), *easy = fl_regex_compile(FL_STR("(a+)x"), &e);
	char subject[1000];
	memset(subject, 'a', sizeof subject);
	subject[sizeof subject - 1] = 0x21;
	for (int i = 0; i < 50; i++) {
		assert_int_equal(fl_regex_match(slow, s, (struct fl_str){ subject, sizeof subject }, NULL), -E2BIG);
		assert_int_equal(fl_regex_match(easy, s, FL_STR("aaax"), NULL), 1);
		assert_int_equal(fl_regex_match(easy, s, FL_STR("aaay"), NULL), 0);
	}
	fl_regex_free(slow);
	fl_regex_free(easy);
	fl_regex_scratch_free(s);
}

static void size(void **state)
{
	(void)state;
	struct fl_err e;
	char *pattern = malloc(FL_REGEX_MAX + 1);
	memset(pattern, 'a', FL_REGEX_MAX + 1);
	assert_null(fl_regex_compile((struct fl_str){ pattern, FL_REGEX_MAX + 1 }, &e));
	struct fl_regex *r = fl_regex_compile((struct fl_str){ pattern, FL_REGEX_MAX }, &e);
	assert_non_null(r);
	fl_regex_free(r);
	memset(pattern, '(', FL_REGEX_MAX);
	assert_null(fl_regex_compile((struct fl_str){ pattern, FL_REGEX_MAX }, &e));
	for (int i = 0; i < 300; i += 3)
		memcpy(pattern + i, "(a)", 3);
	assert_null(fl_regex_compile((struct fl_str){ pattern, 300 }, &e));     /* 100 groups */
	r = fl_regex_compile((struct fl_str){ pattern, 297 }, &e);
	assert_int_equal(fl_regex_groups(r), 99);
	fl_regex_free(r);
	free(pattern);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(matching), cmocka_unit_test(refusing), cmocka_unit_test(names), cmocka_unit_test(work),
		cmocka_unit_test(size),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

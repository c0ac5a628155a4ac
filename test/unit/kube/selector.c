/* Label selectors: what matches, and the words on what is wrong. The table was checked against k8s.io/apimachinery 0.37. */
#include "kube/source.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

/* match: against no label; a=b; a=c; a=""; a=b and x=y. */
static const struct { const char *text, *match;
} good[] = {
    {"", "11111" },
    {"a=b", "01001" },
    {"a==b", "01001" },
    {"a!=b", "10110" },
    {"a in (b,c)", "01101" },
    {"a in (b, c )", "01101" },
    {"a notin (b)", "10110" },
    {"a", "01111" },
    {"!a", "10000" },
    {"! a", "10000" },
    {"a=b,x=y", "00001" },
    {"a,x", "00001" },
    {"a=", "00010" },
    {"a in ()", "00010" },
    {"a==", "00010" },
    {"a notin ()", "11101" },
    {"a notin (,)", "11101" },
    {"a in (,b)", "01011" },
    {"in=b", "00000" },
    {"notin", "00000" },
    {"in in (in)", "00000" },
    {"a in(b)", "01001" },
    {"a = b , x = y", "00001" },
    {"a in (b,,c)", "01111" },
    {"x notin (y, z),a in (b)", "01000" },
    {"kubernetes.io/a_b.c=x-1", "00000" },
};

#define PREFIX "couldn't parse the selector string \"%s\": "
static const struct { const char *text, *words;
} bad[] = {
    {"a in (b", PREFIX "unable to parse requirement: found '', expected: ',' or ')'" },
    {"a in b", PREFIX "unable to parse requirement: found 'b' expected: '('" },
    {"a b", PREFIX "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt" },
    {"=b", PREFIX "found '=', expected: !, identifier, or 'end of string'" },
    {"a=b c", PREFIX "found 'c', expected: ',' or 'end of string'" },
    {"a=b,,x", PREFIX "found ',', expected: identifier after ','" },
    {"a=b,", PREFIX "found '', expected: identifier after ','" },
    {",a", PREFIX "found ',', expected: !, identifier, or 'end of string'" },
    {"a in (b) x", PREFIX "found 'x', expected: ',' or 'end of string'" },
    {"a=b=c", PREFIX "found '=', expected: ',' or 'end of string'" },
    {"!a=b", PREFIX "found '=', expected: ',' or 'end of string'" },
    {"!!a", PREFIX "unable to parse requirement: found '!', expected: identifier" },
    {"(a)", PREFIX "found '(', expected: !, identifier, or 'end of string'" },
    {"a=(b)", PREFIX "unable to parse requirement: found '(', expected: identifier" },
    {"a<5", "\"lt\" isn't supported in label selectors" },
    {"A/B=c", PREFIX "unable to parse requirement: <nil>: Invalid value: \"A/B\": prefix part" },
    {"a/b/c=d", PREFIX "unable to parse requirement: <nil>: Invalid value: \"a/b/c\":" },
    {"-a=b", PREFIX "unable to parse requirement: <nil>: Invalid value: \"-a\": name part must consist of alphanumeric characters" },
    {"a.-b/c", PREFIX "unable to parse requirement: <nil>: Invalid value: \"a.-b/c\": prefix part" },
    {"a=-b",
     PREFIX "unable to parse requirement: values[0][a]: Invalid value: \"-b\": a valid label must be an empty string or consist" },
    {"a=0123456789012345678901234567890123456789012345678901234567890123",
     PREFIX "unable to parse requirement: values[0][a]: Invalid value: " },
};

static void test_good(void **state)
{
	(void)state;
	struct fl_label_in ab = { FL_STR("a"), FL_STR("b") }, ac = { FL_STR("a"), FL_STR("c") }, ae = { FL_STR("a"), FL_STR("") };
	struct fl_label_in two[] = { { FL_STR("x"), FL_STR("y") }, ab };
	for (unsigned i = 0; i < FL_COUNT(good); i++) {
		struct fl_err e = { "" };
		struct fl_selector *s = fl_selector_parse(fl_str(good[i].text), &e);
		if (!s)
			fail_msg("%s: %s", good[i].text, e.msg);
		bool got[] = { fl_selector_match(s, NULL, 0), fl_selector_match(s, &ab, 1), fl_selector_match(s, &ac, 1),
			      fl_selector_match(s, &ae, 1), fl_selector_match(s, two, 2) };
		for (unsigned k = 0; k < FL_COUNT(got); k++)
			if (got[k] != (good[i].match[k] == '1'))
				fail_msg("%s: set %u: %d", good[i].text, k, got[k]);
		fl_selector_free(s);
	}
	assert_true(fl_selector_match(NULL, &ab, 1));
}

static void test_bad(void **state)
{
	(void)state;
	for (unsigned i = 0; i < FL_COUNT(bad); i++) {
		struct fl_err e = { "" };
		char want[512];
		snprintf(want, sizeof want, bad[i].words, bad[i].text);
		assert_null(fl_selector_parse(fl_str(bad[i].text), &e));
		if (strncmp(e.msg, want, strlen(want)))
			fail_msg("%s: \"%s\" instead of \"%s\"", bad[i].text, e.msg, want);
	}
	assert_null(fl_selector_parse((struct fl_str){ "a\0b", 3 }, &(struct fl_err){ "" }));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_good), cmocka_unit_test(test_bad) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

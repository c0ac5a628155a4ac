/* tree and migrate: text in, text out. Written on one line here: ';' stands for a new line in what goes in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include "conf/migrate.h"

static struct fl_arena arena;
static char notes[2048];

static void note(void *arg, const struct fl_migrate_note *n)
{
	(void)arg;
	size_t at = strlen(notes);
	snprintf(notes + at, sizeof notes - at, "%d:%s;", n->line, n->text);
}

static struct fl_str lines(const char *text)
{
	struct fl_str s = fl_arena_str(&arena, fl_str(text));
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] == ';')
			((char *)(uintptr_t)s.p)[i] = '\n';
	return s;
}

/* The text with ';' for its lines and one blank for each run of them, or "LINE: message". */
static const char *migrated(const char *from, const char *to, const char *text, bool deprecated)
{
	static const char *const known[] = { "kubernetes", "forward", NULL };
	struct fl_stmt root;
	struct fl_err e;
	struct fl_migrate m = { .from = from, .to = to, .deprecated = deprecated, .note = note, .known = from ? NULL : known };
	int line;
	notes[0] = 0;
	if (fl_tree_parse(&arena, lines(text), &root, &line, &e) || fl_migrate(&arena, &m, &root, &line, &e))
		return fl_arena_printf(&arena, "%d: %s", line, e.msg).p;
	struct fl_str out = fl_tree_text(&arena, &root);
	char *p = (char *)(uintptr_t)out.p, *to_p = p;
	for (size_t i = 0; i < out.n; i++) {
		bool blank = p[i] == ' ' || p[i] == '\n';
		if (blank && to_p > p && (to_p[-1] == ' ' || to_p[-1] == ';'))
			continue;
		*to_p++ = p[i] == '\n' ? ';' : p[i];
	}
	*to_p = 0;
	return p;
}

/* ---- tests ---- */

static const struct { const char *in, *out; } shapes[] = {
	{ "", "" },
	{ ". {;}", ". {;};" },
	{ ".:53, a.org,; b.org { log; }", ".:53, a.org, b.org {;log;};" },
	{ "a.org;log;cache 30 {;success 5;}", "a.org {;log;cache 30 {;success 5;};};" },
	{ "(snip) {;log;};. {;import snip # why;};import x", "(snip) {;log;};. {;import snip # why;};import x;" },
	{ "# a; # b;. { # c;# d;log # e;# f;} # g;# h", "# a;# b;. { # c;# d;log # e;# f;};# g;# h;" },
	{ ". {;log \"a;b\" {$X} \"\\\"\" a\"b c#d;}", ". {;log \"a;b\" {$X} \"\\\"\" a\"b c#d;};" },
	{ ". {;a {;b {;c d;};};}", ". {;a {;b {;c d;};};};" },
	{ ". {;a { b c };}", ". {;a {;b c;};};" },
	{ "\xEF\xBB\xBF. {;log\r;}", ". {;log;};" },
	{ ". {;a\r b\r \r;}", ". {;a b;};" },
	{ ". {", "1: the brace of \".\" is not closed" },
	{ "};", "1: '}' closes nothing" },
	{ "{;}", "1: '{' without a name before it" },
	{ ".;{;log;};", ". {;log;};" },
	{ ". {;{;", "2: '{' without a name before it" },
	{ ". {;log \"x;", "2: a quote is not closed" },
	{ ". {;};log;", "3: \"log\" stands outside of a server block" },
	{ "a { a { a { a { a { a { a { a { a { a { a { a { a { a { a { a { a { a { ", "1: more than 16 levels of braces" },
};

static void test_tree(void **state)
{
	(void)state;
	for (unsigned i = 0; i < FL_COUNT(shapes); i++)
		if (strcmp(migrated("1.15.0", "1.15.0", shapes[i].in, false), shapes[i].out))
			fail_msg("%s:\nwant %s\nis   %s", shapes[i].in, shapes[i].out, migrated("1.15.0", "1.15.0", shapes[i].in, false));
}

/* Rows without a comment are corefile-migration's results. */
static const struct { const char *from, *to; bool deprecated; const char *in, *out; } rows[] = {
	{ "1.2.0", "1.2.1", false, ". {;proxy . 1.1.1.1;}", ". {;proxy . 1.1.1.1;loop;};" },
	{ "1.2.0", "1.2.1", false, ". {;whoami;}", ". {;whoami;};" },
	{ "1.1.3", "1.1.4", false, ". {;proxy . 1.1.1.1 {;protocol https_google;};}", ". {;proxy . 1.1.1.1;};" },
	{ "1.3.1", "1.4.0", false, ". {;proxy . 8.8.8.8;}", ". {;proxy . 8.8.8.8;};" },
	/* the policy goes: forward has none like it, and it does not mean TCP */
	{ "1.3.1", "1.4.0", true, ". {;proxy . 8.8.8.8 {;policy least_conn;spray;max_fails 3;except a.org;};}", ". {;forward . 8.8.8.8 {;except a.org;};};" },
	/* TCP stays TCP */
	{ "1.3.1", "1.5.0", false, ". {;proxy . 8.8.8.8 {;protocol force_tcp;};}", ". {;forward . 8.8.8.8 {;force_tcp;};};" },
	{ "1.3.1", "1.5.0", false, ". {;proxy . 8.8.8.8 {;protocol dns force_tcp;policy first;};}", ". {;forward . 8.8.8.8 {;force_tcp;policy sequential;};};" },
	{ "1.3.1", "1.5.0", false, ".:53 {;kubernetes cluster.local;proxy example.org 10.0.0.1:53;proxy . /etc/resolv.conf;cache 30;}",
	  ".:53 {;kubernetes cluster.local;forward . /etc/resolv.conf;cache 30;ready;};example.org {;forward . 10.0.0.1:53;loop;errors;cache 30;};" },
	/* all of them, in one go */
	{ "1.3.1", "1.5.0", false, ".:53 {;forward a.org 1.1.1.1;forward b.org 1.1.1.1;forward . 2.2.2.2;}",
	  ".:53 {;forward . 2.2.2.2;};a.org {;forward . 1.1.1.1;loop;errors;cache 30;};b.org {;forward . 1.1.1.1;loop;errors;cache 30;};" },
	{ "1.3.1", "1.5.0", false, "a.org b.org {;proxy a.org 1.1.1.1;}", "2: unhandled migration of multi-domain/port server block" },
	{ "1.3.1", "1.5.0", false, "a.org {;proxy a.org 1.1.1.1;}", "2: unhandled migration of non-default domain/port server block" },
	{ "1.3.1", "1.5.0", false, ". {;proxy;}", "2: found invalid forward plugin declaration" },
	{ "1.5.0", "1.15.0", false, "a.org {;forward a.org 1.1.1.1 {;max_concurrent 5;};}", "a.org {;forward a.org 1.1.1.1 {;max_concurrent 5;};};" },
	{ "1.4.0", "1.5.0", false, "a {;kubernetes;};b {;log;}", "a {;kubernetes;ready;};b {;log;};" },
	{ "1.4.0", "1.5.0", false, "(k) {;kubernetes;};b {;import k;}", "(k) {;kubernetes;};b {;import k;};" },    /* not into a snippet */
	{ "1.6.4", "1.6.5", false, ". {;health;}", ". {;health {;lameduck 5s;};};" },
	{ "1.6.4", "1.6.5", false, ". {;health {;lameduck 9s;};}", ". {;health {;lameduck 9s;};};" },
	{ "1.6.9", "1.7.0", false, ". {;kubernetes c {;resyncperiod 1m;upstream;endpoint http://a:8080 http://b:8080;};forward . x;}",
	  ". {;kubernetes c {;endpoint http://a:8080;};forward . x {;max_concurrent 1000;};};" },
	{ "1.5.0", "1.5.2", false, ". {;kubernetes c {;resyncperiod 1m;};}", ". {;kubernetes c {;resyncperiod 1m;};};" },
	{ "1.5.0", "1.5.2", true, ". {;kubernetes c {;resyncperiod 1m;};}", ". {;kubernetes c;};" },
	{ "1.7.1", "1.8.0", false, ". {;kubernetes cluster.local {;transfer to * 10.0.0.9;};log;}",
	  ". {;kubernetes cluster.local;log;transfer cluster.local {;to * 10.0.0.9;};};" },
	/* file and auto, too; without a zone it is the block's */
	{ "1.7.1", "1.8.0", false, "a.org:53 {;file db.a {;transfer to 10.0.0.9;transfer to 10.0.0.8;};auto b.org {;transfer to *;};}",
	  "a.org:53 {;file db.a;auto b.org;transfer {;to 10.0.0.9;to 10.0.0.8;};transfer b.org {;to *;};};" },
	/* gone before: goes */
	{ "1.9.4", "1.15.0", false, ". {;federation c {;x y;};kubernetes c {;upstream /etc/resolv.conf;};}", ". {;kubernetes c;};" },
	{ "1.11.4", "1.15.0", false, ". {;forward . x {;fail_fast;};}", ". {;forward . x {;failfast_all_unhealthy_upstreams;};};" },
	{ "1.9.4", "1.15.0", false, ". {;health;forward . x;kubernetes;}", ". {;health;forward . x;kubernetes;};" },
	{ "1.x", "1.15.0", false, ".", "0: start version '1.x' not supported" },
	{ "1.9.4", "1.9.3", false, ".", "0: cannot migrate up to '1.9.3' from '1.9.4'" },
};

static void test_rules(void **state)
{
	(void)state;
	for (unsigned i = 0; i < FL_COUNT(rows); i++) {
		const char *is = migrated(rows[i].from, rows[i].to, rows[i].in, rows[i].deprecated);
		if (strcmp(is, rows[i].out))
			fail_msg("%s -> %s: %s:\nwant %s\nis   %s", rows[i].from, rows[i].to, rows[i].in, rows[i].out, is);
	}
}

static void test_notes(void **state)
{
	(void)state;
	migrated("1.3.1", "1.4.0", ". {;kubernetes c {;upstream;};proxy . x;}", false);
	assert_string_equal(notes, "3:Option \"upstream\" in plugin \"kubernetes\" is deprecated in 1.4.0.;5:Plugin \"proxy\" is deprecated in 1.4.0. It is replaced by \"forward\".;");
	migrated("1.5.0", "1.6.0", ". {;kubernetes c {;upstream;};}", false);
	assert_string_equal(notes, "3:Option \"upstream\" in plugin \"kubernetes\" is ignored in 1.5.0.;");
	migrated("1.6.4", "1.6.5", ". {;health;}", false);
	assert_string_equal(notes, "2:Option \"lameduck\" in plugin \"health\" is added as a default in 1.6.5.;");
	migrated("1.3.1", "1.5.0", ". {;proxy . x {;spray;};}", false);
	assert_string_equal(notes, "2:Plugin \"proxy\" is removed in 1.5.0. It is replaced by \"forward\".;3:Option \"spray\" in plugin \"proxy\" is removed in 1.5.0.;");
	migrated(NULL, NULL, ". {;import a;mine;forward . x;}", false);
	assert_string_equal(notes, "3:Plugin \"mine\" is not known in 1.15.0.;");
}

/* Without --from: the newest version that took it all, 1.9.4 at most, and not above --to. */
static void test_guess(void **state)
{
	(void)state;
	static const struct { const char *in, *to, *want; } cases[] = {
		{ ". {;forward . x;}", NULL, "1.9.4" }, { ". {;proxy . x;}", NULL, "1.4.0" }, { ". {;kubernetes {;upstream;};}", NULL, "1.6.9" },
		{ ". {;kubernetes {;transfer to *;};}", NULL, "1.7.1" }, { ". {;kubernetes {;transfer to *;upstream;};}", NULL, "1.6.9" },
		{ ". {;log;}", "1.5.0", "1.5.0" },
	};
	for (unsigned i = 0; i < FL_COUNT(cases); i++) {
		struct fl_stmt root;
		struct fl_err e;
		struct fl_migrate m = { .to = cases[i].to };
		int line;
		assert_int_equal(fl_tree_parse(&arena, lines(cases[i].in), &root, &line, &e), 0);
		assert_int_equal(fl_migrate(&arena, &m, &root, &line, &e), 0);
		assert_string_equal(m.guessed, cases[i].want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tree), cmocka_unit_test(test_rules), cmocka_unit_test(test_notes), cmocka_unit_test(test_guess),
	};
	fl_arena_init(&arena, NULL, 0, NULL, SIZE_MAX / 2);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	fl_arena_finish(&arena);
	return failed;
}

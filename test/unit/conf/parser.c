#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "conf/conf.h"

static const char *const known[] = { "whoami", "log", "cache", "template", "bind", "reload", NULL };

/* The blocks on one line: keys, then each directive with its tokens; a token is printed with its line. */
static const char *dump(struct fl_conf *c)
{
	struct fl_str s = FL_STR("");
	for (unsigned b = 0; b < c->nblock; b++) {
		for (unsigned i = 0; i < c->block[b].nkey; i++)
			s = fl_arena_printf(&c->arena, "%s%s ", s.p, c->block[b].key[i].text.p);
		s = fl_arena_printf(&c->arena, "%s{", s.p);
		for (unsigned d = 0; d < c->block[b].ndir; d++) {
			const struct fl_directive *dir = &c->block[b].dir[d];
			s = fl_arena_printf(&c->arena, "%s %s:", s.p, dir->name.p);
			for (unsigned t = 0; t < dir->ntok; t++)
				s = fl_arena_printf(&c->arena, "%s [%s]%d", s.p, dir->tok[t].text.p, dir->tok[t].line);
			s = fl_arena_printf(&c->arena, "%s;", s.p);
		}
		s = fl_arena_printf(&c->arena, "%s } ", s.p);
	}
	return s.p;
}

struct row { const char *text, *want; };

static void run(const struct row *rows, size_t n, bool good)
{
	for (size_t i = 0; i < n; i++) {
		struct fl_conf c;
		struct fl_err e = { "" };
		int ret = fl_conf_parse(&c, "Corefile", fl_str(rows[i].text), "/nonexistent", known, &e);
		assert_string_equal(ret ? e.msg : dump(&c), rows[i].want);
		assert_int_equal(ret, good ? 0 : -EINVAL);
		fl_conf_finish(&c);
	}
}

static const struct row good[] = {
	/* blocks and keys */
	{ "", "" },
	{ "# nothing\n", "" },
	{ "(s) {\n whoami\n}\n", "" },
	{ ".:53 {\n whoami\n}\n", ".:53 { whoami: [whoami]2; } " },
	{ ".:1053\n{\n whoami\n}\n", ".:1053 { whoami: [whoami]3; } " },
	{ ".:53\nwhoami\nlog a b\n", ".:53 { whoami: [whoami]2; log: [log]3 [a]3 [b]3; } " },
	{ "a.org", "a.org { } " },
	{ "a, b,\nc d {\n}\ne {\n log\n}", "a b c d { } e { log: [log]5; } " },
	{ "a {\n whoami\n}\n}\n", "a { whoami: [whoami]2; } } { } " },
	{ "\"a.org\" \"\" {\n}", "a.org { } " },
	{ "{\n whoami\n}\na {\n}", "a { } " },
	{ "a, import", "a import { } " },       /* a key: not at the start of a line */
	{ "(s)", "(s) { } " },
	{ "(a) b {\n log\n}", "(a) b { log: [log]2; } " },
	/* the last brace of a directive's block passes for the server block's */
	{ ". {\n log {\n }\n", ". { log: [log]2 [{]2 [}]3; } " },
	/* lexer */
	{ "\xef\xbb\xbf.:1053 {\n whoami\n}\n", ".:1053 { whoami: [whoami]2; } " },
	{ ".:1053 {\r\n whoami\r\n}\r\n", ".:1053 { whoami: [whoami]2; } " },
	{ ". {\n log a\rb\n}", ". { log: [log]2 [ab]2; } " },
	{ ". {\n whoami#x\n}\n", ". { whoami: [whoami]2; } " },
	{ ". {\n log a#b c # d e\n}\n", ". { log: [log]2 [a]2 [c]2; } " },
	{ ". {\n log . \"{name} \\\"q\\\" \\\\n # x\"\n}", ". { log: [log]2 [.]2 [{name} \"q\" \\\\n # x]2; } " },
	{ ". {\n log \"a\nb\" c\n whoami\n}", ". { log: [log]2 [a\nb]2 [c]3; whoami: [whoami]4; } " },
	{ ". {\n log \"a\"b a\"b c\n}", ". { log: [log]2 [a]2 [b]2 [a\"b]2 [c]2; } " },
	{ ".\nlog \"never closed\n", ". { log: [log]2 [never closed\n]2; } " },
	{ ".\nlog \"", ". { log: [log]2; } " },
	{ ". {\n log a\xc2\xa0" "b\xe2\x80\xa8" "c\xe3\x80\x80" "d\n}", ". { log: [log]2 [a]2 [b]2 [c]2 [d]2; } " },
	{ ". {\n log \xff \xe2\x82 \xed\xa0\x80 \xc3\xa9\n}",
	  ". { log: [log]2 [\xef\xbf\xbd]2 [\xef\xbf\xbd\xef\xbf\xbd]2 [\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd]2 [\xc3\xa9]2; } " },
	/* directives */
	{ ". {\n log 1\n whoami\n log 2\n}", ". { log: [log]2 [1]2 [log]4 [2]4; whoami: [whoami]3; } " },
	{ ". {\n log { a\n b {\n c\n }\n }\n}", ". { log: [log]2 [{]2 [a]2 [b]3 [{]3 [c]4 [}]5 [}]6; } " },
	/* env */
	{ "{$FL_A}:1053 {%FL_A%}2 {\n}", "env.org:1053 env.org2 { } " },
	{ "{$FL_AB} {\n}", "a b { } " },
	{ ". {\n {$FL_NONE}whoami x{$FL_A}y{$FL_A}{%FL_A%}\n}", ". { whoami: [whoami]2 [xenv.orgyenv.orgenv.org]2; } " },
	{ ". {\n log {$FL_NONE:def} {$} {$}{$FL_A} {$FL_A {%%} {{$x}} {$FL_REF}\n}",
	  ". { log: [log]2 []2 [{$}]2 [{$}{$FL_A}]2 [{$FL_A]2 [{%%}]2 [{}]2 [<env.org>]2; } " },
	{ "{$FL_KEYS}\nb {\n}", "a.org b { } " },
	/* snippets */
	{ "(s) {\n whoami\n log {\n }\n}\n. {\n import s\n log x\n}",
	  ". { whoami: [whoami]2; log: [log]3 [{]3 [}]4 [log]8 [x]8; } " },
	{ "(s) {\n a\n {$FL_A}\n}\n. {\n log {\n  import s\n  import {$FL_S}\n }\n}",
	  ". { log: [log]6 [{]6 [a]2 [env.org]3 [a]2 [env.org]3 [}]9; } " },
	{ "(s) {\n x.org {\n whoami\n }\n}\nimport s\nimport s\n", "x.org { whoami: [whoami]3; } x.org { whoami: [whoami]3; } " },
	{ "(s) {\n}\n. {\n import s\n}\nimport s", ". { } " },
	{ "(t) {\n log t\n}\n(s) {\n import t\n}\n. {\n import s\n}", ". { log: [log]2 [t]2; } " },
	{ "(s) {\n log import s\n}\n. {\n import s\n}", ". { log: [log]2 [import]2 [s]2; } " },
};

static const struct row bad[] = {
	{ ".:53 {\n x\n}", "Corefile:2 - Error during parsing: Unknown directive 'x'" },
	{ ".:53 {\n whoami\n", "Corefile:2 - Syntax error: Unexpected token 'whoami', expecting '}'" },
	{ ".:53, {\n}", "Corefile:1 - Error during parsing: Expected another address but had '{' - check for extra comma" },
	{ "a,", "Corefile:1 - Error during parsing: Unexpected EOF" },
	{ ".:53 {\n log {\n a\n", "Corefile:3 - Error during parsing: Unexpected EOF" },
	{ ".:1053 { whoami }\n", "Corefile:1 - Error during parsing: Unexpected '}' because no matching opening brace" },
	/* ends the keys, but opens nothing */
	{ "a {$FL_OPEN}\n whoami\n", "Corefile:1 - Error during parsing: Unknown directive '{'" },
	{ "{$FL_A} {\n {$FL_A}\n}", "Corefile:2 - Error during parsing: Unknown directive 'env.org'" },
	/* snippets */
	{ "(s) {\n {args[0]}\n}\n.:1053 {\n import s whoami\n}\n",
	  "Corefile:5 - Error during parsing: Import takes only one argument (glob pattern or file)" },
	{ "(s) {\n whoami\n}\n(s) {\n log\n}\n.:1053 {\n import s\n}\n",
	  "Corefile:4 - Error during parsing: redeclaration of previously declared snippet s" },
	{ "(s) {\n import s\n}\n.:1053 {\n import s\n}\n",
	  "Corefile:3 - Error during parsing: maximum snippet import depth (10000) exceeded" },
	{ "(a) {\n import b\n}\n(b) {\n import a\n}\n.:1053 {\n import a\n}\n",
	  "Corefile:5 - Error during parsing: maximum snippet import depth (10000) exceeded" },
	{ ".:1053 {\n import s\n}\n(s) {\n whoami\n}\n", "Corefile:2 - Error during parsing: File to import not found: s" },
	{ "(s) {\n whoami\n", "Corefile:2 - Syntax error: Unexpected token 'whoami', expecting '}'" },
	{ "(s)\nwhoami\n", "Corefile:2 - Syntax error: Unexpected token 'whoami', expecting '{'" },
	/* import */
	{ ".:1053 {\n import nofile\n}\n", "Corefile:2 - Error during parsing: File to import not found: nofile" },
	{ ".:1053 {\n whoami\n import n*f*\n}\n",
	  "Corefile:3 - Error during parsing: Glob pattern may only contain one wildcard (*), but has others: /nonexistent/n*f*" },
	{ ". {\n import n?f?\n}",
	  "Corefile:2 - Error during parsing: Glob pattern may only contain one wildcard (*), but has others: /nonexistent/n?f?" },
	{ ". {\n import [ab]\n}",
	  "Corefile:2 - Error during parsing: Glob pattern may only contain one wildcard (*), but has others: /nonexistent/[ab]" },
	{ ". {\n import [ab\n}", "Corefile:2 - Error during parsing: Failed to use import pattern [ab: syntax error in pattern" },
	{ ". {\n import a\\\n}", "Corefile:2 - Error during parsing: Failed to use import pattern a\\: syntax error in pattern" },
	{ ".:1053 {\n import\n}\n",
	  "Corefile:2 - Error during parsing: Wrong argument count or unexpected line ending after 'import'" },
	{ ".:1053 {\n import {$FL_NONE}\n}\n", "Corefile:2 - Error during parsing: Import requires a non-empty filepath" },
	{ ".:1053 {\n import /\n}\n", "Corefile:2 - Error during parsing: Could not import /: is a directory" },
	/* bounds that CoreDNS does not have */
	{ ".\nlog {$FL_LOOP}", "Corefile:2 - Error during parsing: environment references expand too far: {$FL_LOOP}" },
	{ ".\nlog {$FL_GROW}", "Corefile:2 - Error during parsing: environment references expand too far: {$FL_GROW}" },
};

static void test_good(void **state)
{
	(void)state;
	run(good, FL_COUNT(good), true);
}

static void test_bad(void **state)
{
	(void)state;
	run(bad, FL_COUNT(bad), false);
}

static void test_any_directive(void **state)
{
	(void)state;
	struct fl_conf c;
	assert_int_equal(fl_conf_parse(&c, "Corefile", FL_STR(". {\n nosuch\n}"), "/", NULL, NULL), 0);
	assert_string_equal(dump(&c), ". { nosuch: [nosuch]2; } ");
	fl_conf_finish(&c);
}

static void test_tokens(void **state)
{
	(void)state;
	struct fl_conf c;
	assert_int_equal(fl_conf_parse(&c, "Corefile", FL_STR("{$FL_A}, {\n"), "/", known, NULL), -EINVAL);
	fl_conf_finish(&c);
	assert_int_equal(fl_conf_parse(&c, "Corefile", FL_STR("{$FL_A}:53 {\n {$FL_NONE}log {$FL_A}\n}"), "/", known, NULL), 0);
	const struct fl_token *k = &c.block[0].key[0], *t = c.block[0].dir[0].tok;
	assert_string_equal(k->raw.p, "{$FL_A}:53");
	assert_int_equal(k->line, 1);
	assert_int_equal(k->file.n, 0);
	assert_string_equal(t[0].raw.p, "{$FL_NONE}log");
	assert_string_equal(t[1].raw.p, "{$FL_A}");
	assert_true(t[0].is_name);
	assert_false(t[1].is_name);
	fl_conf_finish(&c);
}

/* Names are found again however many there are, and each block starts afresh. */
static void test_many_names(void **state)
{
	(void)state;
	enum { N = 100 };
	struct fl_arena a;
	struct fl_conf c;
	fl_arena_init(&a, NULL, 0, NULL, SIZE_MAX / 2);
	struct fl_str s = FL_STR("a {\n");
	for (int i = 0; i < 2 * N; i++)
		s = fl_arena_printf(&a, "%sd%d %d\n", s.p, i % N, i);
	s = fl_arena_printf(&a, "%s}\nb {\nd7\n}\n", s.p);
	assert_int_equal(fl_conf_parse(&c, "Corefile", s, "/", NULL, NULL), 0);
	assert_int_equal(c.block[0].ndir, N);
	for (int i = 0; i < N; i++) {
		const struct fl_directive *d = &c.block[0].dir[i];
		assert_int_equal(d->ntok, 4);
		assert_string_equal(d->name.p, fl_arena_printf(&a, "d%d", i).p);
		assert_string_equal(d->tok[3].text.p, fl_arena_printf(&a, "%d", N + i).p);
	}
	assert_int_equal(c.block[1].ndir, 1);
	assert_int_equal(c.block[1].dir[0].ntok, 1);
	fl_conf_finish(&c);
	fl_arena_finish(&a);
}

/* Text of n times piece between head and foot. */
static struct fl_str repeat(const char *head, const char *piece, size_t n, const char *foot)
{
	size_t k = strlen(piece), at = strlen(head);
	char *p = fl_xalloc(at + n * k + strlen(foot) + 1);
	memcpy(p, head, at);
	for (size_t i = 0; i < n; i++, at += k)
		memcpy(p + at, piece, k);
	memcpy(p + at, foot, strlen(foot) + 1);
	return fl_str(p);
}

/* What would make a recursive or a copying parser burn. */
static void test_large(void **state)
{
	(void)state;
	static const struct { const char *head, *piece; size_t n; const char *foot, *want; } rows[] = {
		{ ". {\nlog ", "{\n", 100000, "", "Corefile:100001 - Error during parsing: Unexpected EOF" },
		{ ". {\nlog\n", "log {\n}\n", 100000, "}", "" },
		{ "", "a {\nlog\n}\n", 50000, "", "" },
		{ "(a) {\nimport b\n", "log\n", 1000, "}\n(b) {\nimport a\n}\n. {\nimport a\n}",
		  "Corefile:1005 - Error during parsing: the configuration is too large" },
		{ "", "log ", 1000001, "", "Corefile:0 - Error during parsing: the configuration is too large" },
	};
	for (size_t i = 0; i < FL_COUNT(rows); i++) {
		struct fl_err e = { "" };
		struct fl_conf c;
		struct fl_str text = repeat(rows[i].head, rows[i].piece, rows[i].n, rows[i].foot);
		int ret = fl_conf_parse(&c, "Corefile", text, "/", NULL, &e);
		assert_string_equal(e.msg, rows[i].want);
		assert_int_equal(ret, *rows[i].want ? -EINVAL : 0);
		fl_conf_finish(&c);
		free((char *)text.p);
	}
}

int main(void)
{
	setenv("FL_A", "env.org", 1);
	setenv("FL_AB", "a b", 1);
	setenv("FL_REF", "<{$FL_A}>", 1);
	setenv("FL_KEYS", "a.org,", 1);
	setenv("FL_OPEN", "{", 1);
	setenv("FL_S", "s", 1);
	setenv("FL_LOOP", "{$FL_LOOP}", 1);
	setenv("FL_GROW", "{$FL_GROW}{$FL_GROW}x", 1);
	unsetenv("FL_NONE");
	unsetenv("x");
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good), cmocka_unit_test(test_bad), cmocka_unit_test(test_any_directive),
			cmocka_unit_test(test_tokens),
		cmocka_unit_test(test_large), cmocka_unit_test(test_many_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

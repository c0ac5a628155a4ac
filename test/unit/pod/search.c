/* Which names are asked: rows of (libc, file, name, what each answers) → the names in their order and the end. */
#include "pod/search.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#define POD "nameserver 10.96.0.10\nsearch ns1.svc.c.l svc.c.l c.l corp\noptions ndots:5\n"

static struct fl_arena arena = { .limit = 16 << 20 };

/* answers: a letter for each name asked, the last for all further: F found, N no data, X no such name, S servfail, R refused, T silent,
 * U unreachable. */
static const struct { enum fl_libc libc; const char *file, *name, *answers, *asked; enum fl_answer end; } rows[] = {
	{ FL_GLIBC, POD, "web", "F", "web.ns1.svc.c.l", FL_ANSWER_FOUND },
	{ FL_GLIBC, POD, "web", "X", "web.ns1.svc.c.l web.svc.c.l web.c.l web.corp web", FL_ANSWER_NXDOMAIN },
	{ FL_GLIBC, POD, "www.example.org", "XXXXF", "www.example.org.ns1.svc.c.l www.example.org.svc.c.l www.example.org.c.l www.example.org.corp "
	  "www.example.org", FL_ANSWER_FOUND },
	{ FL_GLIBC, POD, "www.example.org.", "X", "www.example.org", FL_ANSWER_NXDOMAIN },
	{ FL_GLIBC, POD, "a.b.c.d.e.f", "F", "a.b.c.d.e.f", FL_ANSWER_FOUND },
	{ FL_GLIBC, POD, "a.b.c.d.e.f", "XNX", "a.b.c.d.e.f a.b.c.d.e.f.ns1.svc.c.l a.b.c.d.e.f.svc.c.l a.b.c.d.e.f.c.l a.b.c.d.e.f.corp", FL_ANSWER_NXDOMAIN },
	{ FL_GLIBC, POD, "a.b.c.d.e.f", "NX", "a.b.c.d.e.f a.b.c.d.e.f.ns1.svc.c.l a.b.c.d.e.f.svc.c.l a.b.c.d.e.f.c.l a.b.c.d.e.f.corp", FL_ANSWER_NODATA },
	{ FL_GLIBC, POD, "web", "NX", "web.ns1.svc.c.l web.svc.c.l web.c.l web.corp web", FL_ANSWER_NODATA },
	{ FL_GLIBC, POD, "web", "SX", "web.ns1.svc.c.l web.svc.c.l web.c.l web.corp web", FL_ANSWER_SERVFAIL },
	{ FL_GLIBC, POD, "web", "TX", "web.ns1.svc.c.l web", FL_ANSWER_NXDOMAIN },
	{ FL_GLIBC, POD, "web", "R", "web.ns1.svc.c.l web", FL_ANSWER_OTHER },
	{ FL_GLIBC, POD, "web", "U", "web.ns1.svc.c.l", FL_ANSWER_UNREACHABLE },
	{ FL_GLIBC, POD, "a.b.c.d.e.f", "TX", "a.b.c.d.e.f a.b.c.d.e.f.ns1.svc.c.l a.b.c.d.e.f.svc.c.l a.b.c.d.e.f.c.l a.b.c.d.e.f.corp", FL_ANSWER_SILENT },
	{ FL_GLIBC, "search a . b\n", "web", "X", "web.a web web.b", FL_ANSWER_NXDOMAIN },
	{ FL_GLIBC, "nameserver 1.1.1.1\n", "web", "X", "web", FL_ANSWER_NXDOMAIN },
	{ FL_GLIBC, "domain d.e\n", "web", "X", "web.d.e web", FL_ANSWER_NXDOMAIN },
	{ FL_GLIBC, POD, "", "X", "", FL_ANSWER_BAD_NAME },
	{ FL_GLIBC, POD, "web..", "X", "", FL_ANSWER_BAD_NAME },
	{ FL_GLIBC, POD, ".", "N", "", FL_ANSWER_NODATA },
	{ FL_MUSL, POD, "web", "X", "web.ns1.svc.c.l web.svc.c.l web.c.l web.corp web", FL_ANSWER_NXDOMAIN },
	{ FL_MUSL, POD, "web", "XN", "web.ns1.svc.c.l web.svc.c.l", FL_ANSWER_NODATA },
	{ FL_MUSL, POD, "web", "S", "web.ns1.svc.c.l", FL_ANSWER_SERVFAIL },
	{ FL_MUSL, POD, "web", "R", "web.ns1.svc.c.l", FL_ANSWER_OTHER },
	{ FL_MUSL, POD, "web", "T", "web.ns1.svc.c.l", FL_ANSWER_SILENT },
	{ FL_MUSL, POD, "a.b.c.d.e.f", "X", "a.b.c.d.e.f", FL_ANSWER_NXDOMAIN },
	{ FL_MUSL, "search a\n", "x.y", "X", "x.y", FL_ANSWER_NXDOMAIN },
	{ FL_NSLOOKUP, POD, "web", "X", "web.ns1.svc.c.l web.svc.c.l web.c.l web.corp web", FL_ANSWER_NXDOMAIN },
	{ FL_NSLOOKUP, POD, "web", "XN", "web.ns1.svc.c.l web.svc.c.l", FL_ANSWER_NODATA },
	{ FL_NSLOOKUP, POD, "web", "SF", "web.ns1.svc.c.l web.svc.c.l", FL_ANSWER_FOUND },
	{ FL_NSLOOKUP, "search a b\n", "x.y", "X", "x.y x.y.a x.y.b", FL_ANSWER_NXDOMAIN },
};

static enum fl_answer answer_of(char c)
{
	static const char letters[] = "FNXSRTU";
	return (enum fl_answer)(strchr(letters, c) - letters);
}

static void every_row(void **state)
{
	(void)state;
	for (unsigned i = 0; i < FL_COUNT(rows); i++) {
		struct fl_resolver client;
		struct fl_search s;
		struct fl_words asked = { 0 };
		struct fl_str name;
		const char *next = rows[i].answers;
		fl_client_parse(&arena, fl_str(rows[i].file), rows[i].libc, &client);
		fl_search_begin(&s, &arena, rows[i].libc, &client, fl_str(rows[i].name));
		while (fl_search_next(&s, &name)) {
			assert_true(asked.n < 20);
			fl_words_add(&arena, &asked, name);
			fl_search_told(&s, answer_of(*next));
			next += next[1] != 0;
		}
		struct fl_str text = fl_words_join(&arena, &asked, " ");
		if (!fl_str_is(text, rows[i].asked) || s.result != rows[i].end)
			fail_msg("row %u (%s): \"%s\", end: %s", i, rows[i].name, text.p, fl_answer_text(s.result));
	}
}

static void files(void **state)
{
	(void)state;
	struct fl_resolver c;
	fl_client_parse(&arena, FL_STR("nameserver 1.1.1.1\nnameserver name\nnameserver fe80::1%eth0\n nameserver 9.9.9.9\n#nameserver 8.8.8.8\n"
				       "nameserver 2.2.2.2\nnameserver 3.3.3.3\nsearch a b\ndomain d e\noptions ndots:99 timeout:99 attempts:99 use-vc\n"),
			FL_GLIBC, &c);
	assert_string_equal(fl_words_join(&arena, &c.servers, " ").p, "1.1.1.1 fe80::1%eth0 2.2.2.2");
	assert_string_equal(fl_words_join(&arena, &c.searches, " ").p, "d");
	assert_true(c.ndots == 15 && c.timeout_s == 30 && c.attempts == 5 && c.use_tcp);
	fl_client_parse(&arena, FL_STR("options ndots: timeout:0 attempts:99 use-vc ndots:x"), FL_MUSL, &c);
	assert_string_equal(fl_words_join(&arena, &c.servers, " ").p, "127.0.0.1");
	assert_true(c.ndots == 1 && c.timeout_s == 1 && c.attempts == 10 && !c.use_tcp && !c.searches.n);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(every_row), cmocka_unit_test(files) };
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	fl_arena_finish(&arena);
	return failed;
}

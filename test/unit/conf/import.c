#include "../files.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include "conf/conf.h"

static const char *const known[] = { "whoami", "log", "cache", NULL };
static char dir[] = "/tmp/fl-conf-XXXXXX";

static const struct { const char *name, *text; } files[] = {
	{ "d/1.conf", ".:1054 {\n whoami\n}\n" }, { "d/2.conf", ".:1055 {\n whoami\n foo\n}\n" },
	{ "g/b.conf", "b {\n log b\n}\n" }, { "g/a.conf", "a {\n log a\n}\n" }, { "g/.c.conf", "c {\n log c\n}\n" },
	{ "g/ab.inc", "log ab\n" },
	{ "h1/x.inc", "log h1\n" }, { "h2/x.inc", "log h2\n" }, { "h2/y.inc", "log y\n" },
	{ "up/one.inc", "import ../g/ab.inc\nimport two/t*.inc\ncache\n" }, { "up/two/t.inc", "log \"a\nb\" c\n" },
	{ "self.conf", "import self.conf\n" }, { "empty.inc", "" }, { "s*r.inc", "log star\n" }, { "args.inc", "x y\nz\n" },
};

static int set_up(void **state)
{
	(void)state;
	if (!mkdtemp(dir) || chdir(dir))
		return -1;
	for (const char **d = (const char *[]){ "d", "g", "h1", "h2", "up", "up/two", NULL }; *d; d++)
		if (mkdir(*d, 0700))
			return -1;
	for (size_t i = 0; i < FL_COUNT(files); i++)
		write_file(files[i].name, files[i].text);
	return mkfifo("pipe", 0600) || symlink("nowhere", "dangling");
}

static int tear_down(void **state)
{
	(void)state;
	char cmd[64];
	snprintf(cmd, sizeof cmd, "rm -rf %s", dir);
	return chdir("/") || system(cmd);
}

/* All tokens of the directives, keys in <>; files of tokens as what follows dir. */
static const char *dump(struct fl_conf *c)
{
	struct fl_str s = FL_STR("");
	for (unsigned b = 0; b < c->nblock; b++) {
		for (unsigned i = 0; i < c->block[b].nkey; i++)
			s = fl_arena_printf(&c->arena, "%s<%s>", s.p, c->block[b].key[i].text.p);
		for (unsigned d = 0; d < c->block[b].ndir; d++)
			for (unsigned t = 0; t < c->block[b].dir[d].ntok; t++) {
				const struct fl_token *k = &c->block[b].dir[d].tok[t];
				s = fl_arena_printf(&c->arena, "%s %s@%s:%d", s.p, k->text.p,
					k->file.n ? k->file.p + strlen(dir) + 1 : "",
						    k->line);
			}
		s = fl_arena_printf(&c->arena, "%s;", s.p);
	}
	return s.p;
}

static int parse(struct fl_conf *c, const char *text, struct fl_err *e)
{
	*e = (struct fl_err){ "" };
	return fl_conf_parse(c, "Corefile", fl_str(text), ".", known, e);
}

static void test_good(void **state)
{
	(void)state;
	static const struct { const char *text, *want; } rows[] = {
		{ "import d/1.conf\n.:1053 {\n whoami\n}\n", "<.:1054> whoami@d/1.conf:2;<.:1053> whoami@:3;" },
		{ "import g/*.conf\n",
		  "<c> log@g/.c.conf:2 c@g/.c.conf:2;<a> log@g/a.conf:2 a@g/a.conf:2;<b> log@g/b.conf:2 b@g/b.conf:2;" },
		{ "import g/?.conf\n", "<a> log@g/a.conf:2 a@g/a.conf:2;<b> log@g/b.conf:2 b@g/b.conf:2;" },
		{ ". {\n import h*/?.inc\n}",
		  "<.> log@h1/x.inc:1 h1@h1/x.inc:1 log@h2/x.inc:1 h2@h2/x.inc:1 log@h2/y.inc:1 y@h2/y.inc:1;" },
		{ ". {\n import h?/x.inc\n}", "<.> log@h1/x.inc:1 h1@h1/x.inc:1 log@h2/x.inc:1 h2@h2/x.inc:1;" },
		{ ". {\n import ./d/..//g/ab.inc\n log\n}", "<.> log@g/ab.inc:1 ab@g/ab.inc:1 log@:3;" },
		{ ". {\n import up/one.inc\n}",
		  "<.> log@g/ab.inc:1 ab@g/ab.inc:1 log@up/two/t.inc:1 a\nb@up/two/t.inc:1 c@up/two/t.inc:2 "
						"cache@up/one.inc:3;" },
		{ ". {\n import s\\*r.inc\n import s\\*?.inc\n}",
		  "<.> log@s*r.inc:1 star@s*r.inc:1 log@s*r.inc:1 star@s*r.inc:1;" },
		{ ". {\n import empty.inc\n}\nimport empty.inc", "<.>;" },
		{ ". {\n log {\n import args.inc\n }\n}", "<.> log@:2 {@:2 x@args.inc:1 y@args.inc:1 z@args.inc:2 }@:4;" },
	};
	for (size_t i = 0; i < FL_COUNT(rows); i++) {
		struct fl_conf c;
		struct fl_err e;
		int ret = parse(&c, rows[i].text, &e);
		assert_string_equal(e.msg, "");
		assert_int_equal(ret, 0);
		assert_string_equal(dump(&c), rows[i].want);
		assert_int_equal(c.nwarning, 0);
		fl_conf_finish(&c);
	}
}

/* In `want`, @ is the folder. */
static void test_bad(void **state)
{
	(void)state;
	static const struct { const char *text, *want; } rows[] = {
		{ "import d/*.conf\n", "@/d/2.conf:3 - Error during parsing: Unknown directive 'foo'" },
		{ ". {\n import d\n}", "Corefile:2 - Error during parsing: Could not import @/d: is a directory" },
		{ ". {\n import dangling\n}",
		  "Corefile:2 - Error during parsing: Could not import @/dangling: open @/dangling: no such file or directory" },
		{ ". {\n import up/none\n}", "Corefile:2 - Error during parsing: File to import not found: up/none" },
		{ "import self.conf\n", "@/self.conf:1 - Error during parsing: maximum file import depth (10000) exceeded" },
		{ ". {\n import args.inc\n}", "@/args.inc:1 - Error during parsing: Unknown directive 'x'" },
	};
	for (size_t i = 0; i < FL_COUNT(rows); i++) {
		struct fl_conf c;
		struct fl_err e;
		char want[512];
		size_t n = 0;
		for (const char *p = rows[i].want; *p; p++)
			n += (size_t)snprintf(want + n, sizeof want - n, *p == '@' ? "%s" : "%.1s", *p == '@' ? dir : p);
		assert_int_equal(parse(&c, rows[i].text, &e), -EINVAL);
		assert_string_equal(e.msg, want);
		fl_conf_finish(&c);
	}
}

static void test_nothing_matches(void **state)
{
	(void)state;
	struct fl_conf c;
	struct fl_err e;
	assert_int_equal(parse(&c, ". {\n import custom/*.override\n import g/a*/x\n import g]\n import /nonexistent*/\n}", &e), 0);
	assert_int_equal(c.nwarning, 4);
	assert_string_equal(c.warning[0].p, "No files matching import glob pattern: custom/*.override");
	assert_string_equal(c.warning[1].p, "No files matching import glob pattern: g/a*/x");
	assert_string_equal(c.warning[2].p, "No files matching import glob pattern: g]");
	assert_string_equal(c.warning[3].p, "No files matching import glob pattern: /nonexistent*/");
	assert_string_equal(dump(&c), "<.>;");
	fl_conf_finish(&c);
}

static void assert_source(const struct fl_conf *c, unsigned i, const char *path, bool glob)
{
	char want[256];
	snprintf(want, sizeof want, "%s/%s", dir, path);
	assert_true(i < c->nsource);
	assert_string_equal(c->source[i].path.p, want);
	assert_int_equal(c->source[i].glob, glob);
}

/* Each once, the missing one too: a watcher waits for it. */
static void test_sources(void **state)
{
	(void)state;
	struct fl_conf c;
	struct fl_err e;
	assert_int_equal(parse(&c, ". {\n import h2/*.inc\n import h2/x.inc\n import ./g/../none/*\n import nofile\n}", &e),
		-EINVAL);
	assert_int_equal(c.nsource, 5);
	assert_source(&c, 0, "h2/*.inc", true);
	assert_source(&c, 1, "h2/x.inc", false);
	assert_source(&c, 2, "h2/y.inc", false);
	assert_source(&c, 3, "none/*", true);
	assert_source(&c, 4, "nofile", false);
	fl_conf_finish(&c);
}

/* A relative import starts from the importing file; `base` stands for the main file's folder, wherever the process is. */
static void test_base(void **state)
{
	(void)state;
	char base[64];
	struct fl_conf c;
	snprintf(base, sizeof base, "%s/up/../g", dir);
	assert_int_equal(fl_conf_parse(&c, "x", FL_STR(".\nimport ab.inc"), base, known, NULL), 0);
	assert_string_equal(dump(&c), "<.> log@g/ab.inc:1 ab@g/ab.inc:1;");
	fl_conf_finish(&c);
	assert_int_equal(fl_conf_parse(&c, "x", FL_STR(".\nimport ../g/ab.inc"), "up", known, NULL), 0);
	assert_string_equal(dump(&c), "<.> log@g/ab.inc:1 ab@g/ab.inc:1;");
	fl_conf_finish(&c);
}

/* A pipe without a writer is at its end: a reload must not hang on it. */
static void test_pipe(void **state)
{
	(void)state;
	struct fl_conf c;
	struct fl_err e;
	assert_int_equal(parse(&c, ". {\n import pipe\n}", &e), 0);
	fl_conf_finish(&c);
}

static void test_read(void **state)
{
	(void)state;
	struct fl_arena a;
	struct fl_str t;
	fl_arena_init(&a, NULL, 0, NULL, SIZE_MAX / 2);
	assert_int_equal(fl_conf_read(&a, "d/1.conf", &t), 0);
	assert_string_equal(t.p, ".:1054 {\n whoami\n}\n");
	assert_int_equal(fl_conf_read(&a, "empty.inc", &t), 0);
	assert_int_equal(t.n, 0);
	assert_int_equal(fl_conf_read(&a, "none", &t), -ENOENT);
	assert_int_equal(fl_conf_read(&a, "d", &t), -EISDIR);
	assert_int_equal(fl_conf_read(&a, "/dev/zero", &t), -EFBIG);
	int saved = dup(0), fd[2];
	assert_int_equal(pipe(fd), 0);
	assert_int_equal(write(fd[1], "hello", 5), 5);
	close(fd[1]);
	dup2(fd[0], 0);
	assert_int_equal(fl_conf_read(&a, "stdin", &t), 0);
	assert_string_equal(t.p, "hello");
	int null = open("/dev/null", O_RDONLY);
	dup2(null, 0);
	assert_int_equal(fl_conf_read(&a, "stdin", &t), 0);
	assert_int_equal(t.n, 0);
	dup2(saved, 0);
	close(saved);
	close(null);
	close(fd[0]);
	fl_arena_finish(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good), cmocka_unit_test(test_bad), cmocka_unit_test(test_nothing_matches),
			cmocka_unit_test(test_sources),
		cmocka_unit_test(test_base), cmocka_unit_test(test_pipe), cmocka_unit_test(test_read),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}

/* gotmpl.txt holds pairs of lines: "> TEMPLATE", then what Go 1.26's text/template makes of it with the data below ("V text", "R": the
 * error of the run, "E": that of parsing), or "L": valid there, refused here by name. ␤ ␉ ␍ stand for LF, TAB and CR. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "rows.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "lang/gotmpl.h"

/* ---- a world ---- */

#define TEXT(z) { .kind = FL_TMPL_STR, .s = { z, sizeof z - 1 } }
#define INT(v) { .kind = FL_TMPL_INT, .i = v }
#define FLOAT(v) { .kind = FL_TMPL_FLOAT, .f = v }
static const struct fl_tmpl_value match[] = { TEXT("a-10-b.example.org."), TEXT("10"), TEXT("b"), TEXT("") };
static const struct fl_tmpl_value group[] = { TEXT("0"), TEXT("a-10-b.example.org."), TEXT("1"), TEXT("10"), TEXT("2"), TEXT("b"), TEXT("3"), TEXT(""),
	TEXT("num"), TEXT("10"), TEXT("word"), TEXT("b") };
static const struct fl_tmpl_value list[] = { INT(1), TEXT("x"), { FL_TMPL_NONE }, { .kind = FL_TMPL_BOOL, .b = true } };
static const struct fl_tmpl_value map[] = { TEXT("a"), TEXT("b"), TEXT("k"), INT(1) };
static const struct fl_tmpl_value var[] = { TEXT("big"), FLOAT(1e21), TEXT("f"), FLOAT(2.5), TEXT("half"), FLOAT(0.5), TEXT("i"), INT(7), TEXT("l"),
	{ .kind = FL_TMPL_LIST, .n = 4, .at = list }, TEXT("m"), { .kind = FL_TMPL_MAP, .n = 2, .at = map }, TEXT("n"), { FL_TMPL_NONE }, TEXT("neg"),
	INT(-3), TEXT("s"), TEXT("text"), TEXT("t"), { .kind = FL_TMPL_BOOL, .b = true } };
static const struct { int object; const char *name; struct fl_tmpl_value v; } fields[] = {
	{ 0, "Zone", TEXT("example.org.") }, { 0, "Name", TEXT("a-10-b.example.org.") }, { 0, "Regex", TEXT("^(.*)$") }, { 0, "Class", TEXT("IN") },
	{ 0, "Type", TEXT("A") }, { 0, "Remote", TEXT("127.0.0.1") },
	{ 0, "Match", { .kind = FL_TMPL_LIST, .n = 4, .at = match, .type = "[]string" } },
	{ 0, "Group", { .kind = FL_TMPL_MAP, .n = 6, .at = group, .type = "map[string]string" } },
	{ 0, "Var", { .kind = FL_TMPL_MAP, .n = 10, .at = var } },
	{ 0, "Question", { .kind = FL_TMPL_OBJECT, .object = 1, .type = "*template.Question" } },
	{ 1, "Name", TEXT("a-10-B.Example.org.") }, { 1, "Qtype", { .kind = FL_TMPL_UINT, .u = 1, .type = "uint16" } },
	{ 1, "Qclass", { .kind = FL_TMPL_UINT, .u = 1, .type = "uint16" } },
};

static int field(void *arg, struct fl_arena *a, int object, struct fl_str name, struct fl_tmpl_value *out)
{
	(void)arg, (void)a;
	for (unsigned i = 0; i < FL_COUNT(fields); i++)
		if (fields[i].object == object && fl_str_is(name, fields[i].name)) {
			*out = fields[i].v;
			return 0;
		}
	return fl_str_is(name, "Later") ? -ENOTSUP : -ENOENT;
}

static struct fl_str meta(void *arg, struct fl_arena *a, struct fl_str text)
{
	(void)arg, (void)a;
	return fl_str_is(text, "a/b") ? FL_STR("meta") : FL_STR("");
}

static const char *later(const struct fl_str *ident, unsigned n, bool alone)
{
	return n == 1 && alone && fl_str_is(ident[0], "Question") ? "printing .Question" : NULL;
}

static const struct fl_tmpl_world world = { "*template.templateData", field, "Meta", meta, later };

static char *made_of(struct fl_str text)
{
	struct fl_arena a, b;
	struct fl_tmpl t;
	struct fl_err e = { "" };
	struct fl_str out;
	char *to;
	size_t n;
	FILE *f = open_memstream(&to, &n);
	fl_arena_init(&a, NULL, 0, NULL, SIZE_MAX / 2);
	fl_arena_init(&b, NULL, 0, NULL, 4 << 20);
	int ret = fl_tmpl_compile(&t, &a, "answer", text, &world, &e);
	if (ret)
		fprintf(f, "E %s", e.msg);
	else if ((ret = fl_tmpl_run(&t, &b, NULL, &out, &e)))
		fprintf(f, "R %s", ret == -EINVAL ? e.msg : "no memory");
	else
		fprintf(f, "V %.*s", FL_FMT(out));
	fl_arena_finish(&b);
	fl_arena_finish(&a);
	fclose(f);
	return to;
}

/* ---- the table ---- */

static void as_go_says(void **state)
{
	(void)state;
	check_rows("test/unit/lang/gotmpl.txt", made_of, "support", 2, 250);
}

/* ---- bounds ---- */

#define expect(...) check_repeated(made_of, __VA_ARGS__)

static void bounds(void **state)
{
	(void)state;
	expect("{{ ", "(", "1", 100000, "max expression depth exceeded");
	expect("", "{{ if true }}", "", 100000, "max expression depth exceeded");
	expect("", "{{ range 100000 }}", "{{ end }}{{ end }}{{ end }}", 3, "more than 20000 steps");
	expect("{{ range 20 }}{{ range 20 }}{{ print `", "0123456789", "` }}{{ end }}{{ end }}", 1000, "more than 65536 bytes");
	expect("{{ print", " 1", " }}", 100, "more than 15 arguments");
	expect("", "{{ $x := 1 }}", "", 100, "more than 32 variables");
	expect("", "{{ .Name }}", "", 200, "V a-10-b.");               /* more parts than a flat one has */
	expect("{{ printf \"%10000d", "%10000d", "\" 1 2 3 4 5 6 7 8 }}", 7, "more than 65536 bytes");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(as_go_says), cmocka_unit_test(bounds) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* expr.txt holds pairs of lines: "> EXPRESSION", then what github.com/expr-lang/expr 1.17.8 makes of it with the functions below
 * ("V value", "R": ends with an error when it runs, "E words"), or "L": valid there, refused here by name. ␤ ␉ ␍ stand for LF, TAB
 * and CR. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "rows.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "lang/expr.h"
#include "lang/regex.h"

/* ---- a world ---- */

#define ARGS void *arg, struct fl_arena *a, const struct fl_expr_value *in, struct fl_expr_value *out
#define TEXT(fn, text) static int fn(ARGS) { (void)arg, (void)a, (void)in; \
	*out = (struct fl_expr_value){ FL_EXPR_STR, .s = FL_STR(text) }; return 0; }
#define INT(fn, v)                                                                                                                 \
	static int fn(ARGS)                                                                                                        \
	{                                                                                                                          \
		(void)arg, (void)a, (void)in;                                                                                      \
		*out = (struct fl_expr_value){FL_EXPR_INT, .i = v};                                                                \
		return 0;                                                                                                          \
	}
TEXT(type, "A") TEXT(name, "www.example.com.") TEXT(class, "IN") TEXT(proto, "udp") TEXT(client_ip, "192.0.2.7") TEXT(port, "4242")
TEXT(server_ip, "127.0.0.1") TEXT(server_port, "53") INT(size, 33) INT(id, 77) INT(opcode, 0) INT(bufsize, 1232)

static int dnssec_ok(ARGS)
{
	(void)arg, (void)a, (void)in;
	*out = (struct fl_expr_value){ FL_EXPR_BOOL, .b = true };
	return 0;
}

static int metadata(ARGS)
{
	(void)arg, (void)a;
	*out = (struct fl_expr_value){ FL_EXPR_STR, .s = fl_str_is(in[0].s, "test/x") ? FL_STR("value") : FL_STR("") };
	return 0;
}

static int incidr(ARGS)
{
	(void)arg, (void)a;
	*out = (struct fl_expr_value){ FL_EXPR_BOOL, .b = fl_str_is(in[1].s, "192.0.2.0/24") };
	return fl_str_is(in[0].s, "192.0.2.7") && memchr(in[1].s.p, '/', in[1].s.n) ? 0 : -EINVAL;
}

static const struct fl_expr_fn fns[] = {
	{ "incidr", "bss", true, incidr },
	{ "metadata", "ss", false, metadata },
	{ "type", "s", false, type },
	{ "name", "s", false, name },
	{ "class", "s", false, class },
	{ "proto", "s", false, proto },
	{ "size", "i", false, size },
	{ "client_ip", "s", false, client_ip },
	{ "port", "s", false, port },
	{ "id", "i", false, id },
	{ "opcode", "i", false, opcode },
	{ "do", "b", false, dnssec_ok },
	{ "bufsize", "i", false, bufsize },
	{ "server_ip", "s", false, server_ip },
	{ "server_port", "s", false, server_port },
	{ 0 },
};

/* ---- results as text ---- */

static struct fl_regex_scratch *scratch;

static void put(FILE *f, const struct fl_expr_value *v)
{
	int64_t lo = v->type == FL_EXPR_RANGE_OF ? v->range.lo : 0, n = v->type == FL_EXPR_RANGE_OF ? v->range.hi - lo + 1 : v->n;
	switch (v->type) {
	case FL_EXPR_NIL: fputs("<nil>", f); break;
	case FL_EXPR_BOOL: fputs(v->b ? "true" : "false", f); break;
	case FL_EXPR_INT: fprintf(f, "%lld", (long long)v->i); break;
	case FL_EXPR_FLOAT: fprintf(f, "%.10g", v->f); break;
	case FL_EXPR_STR: fprintf(f, "%.*s", FL_FMT(v->s)); break;
	case FL_EXPR_MAP: fputs("map", f); break;
	default:
		fputc('[', f);
		for (int64_t i = 0; i < n; i++) {
			struct fl_expr_value number = { FL_EXPR_INT, .i = lo + i };
			fputs(i ? " " : "", f);
			put(f, v->type == FL_EXPR_LIST ? &v->at[i] : &number);
		}
		fputc(']', f);
	}
}

static char *made_of(struct fl_str text)
{
	struct fl_arena a, b;
	struct fl_expr_value v;
	struct fl_err e;
	char *to;
	size_t n;
	FILE *f = open_memstream(&to, &n);
	fl_arena_init(&a, NULL, 0, NULL, SIZE_MAX / 2);
	fl_arena_init(&b, NULL, 0, NULL, 1 << 20);
	struct fl_expr *x = fl_expr_compile(&a, text, fns, &e);
	int ret = x ? fl_expr_run(x, &b, scratch, NULL, &v) : 0;
	if (!x) {
		fprintf(f, "E %s", e.msg);
	} else if (ret) {
		fputs("R", f);
	} else {
		fputs("V ", f);
		put(f, &v);
	}
	fl_expr_free(x);
	fl_arena_finish(&b);
	fl_arena_finish(&a);
	fclose(f);
	return to;
}

/* ---- the table ---- */

static void as_expr_says(void **state)
{
	(void)state;
	check_rows("test/unit/lang/expr.txt", made_of, "does not support", 3, 500);
}

/* ---- bounds ---- */

#define expect(...) check_repeated(made_of, __VA_ARGS__)

static void bounds(void **state)
{
	(void)state;
	expect("1 == 2", " || name() == 'x'", " || true", 2000, "V true");     /* runs of || are not deep */
	expect("'b' in [", "'a', ", "'b']", 5000, "V true");
	expect("1", " + 1", "", 500, "nested more than 100 deep");
	expect("", "(", "1", 100000, "nested more than 100 deep");
	expect("", "- ", "1", 100000, "nested more than 100 deep");
	expect("", "[", "1", 100000, "nested more than 100 deep");
	expect("true", " ? true", "", 100000, "nested more than 100 deep");
	expect("", "if true {1} else ", "{2}", 100000, "nested more than 100 deep");
	expect("name()", "[0:]", "", 100000, "nested more than 100 deep");
	expect("true", " || true", "", 100000, "exceeds maximum allowed nodes");
	expect("", "string(", "1", 60, "E ");
	expect("", "1 < (", "2", 90, "E "); /* the middle of a < b < c stands in the tree twice */
	expect("all(1..1000, all(1..1000, # > 0))", "", "", 0, "R");            /* too many steps */
	expect("repeat('aaaaaaaaaa', 1000000)", "", "", 0, "R");
	expect("len(replace(repeat(name(), 1000), '', repeat('x', 1000)))", "", "", 0, "R");
	expect("any([1], any([1], any([1], any([1], any([1], any([1], any([1], any([1], #))))))))", "", "", 0,
	       "should return boolean");
	expect("any([1], any([1], any([1], any([1], any([1], any([1], any([1], any([1], any([1], #)))))))))", "", "", 0,
	       "does not support");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(as_expr_says), cmocka_unit_test(bounds) };
	scratch = fl_regex_scratch_create(FL_REGEX_GROUPS);
	int ret = cmocka_run_group_tests(tests, NULL, NULL);
	fl_regex_scratch_free(scratch);
	return ret;
}

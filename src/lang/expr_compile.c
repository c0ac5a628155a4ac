/* From text to what runs: the parser, then the checker, and the words for what either complains of. */
#include "lang/expr_int.h"

/* As expr shows where it is: "MESSAGE (LINE:COLUMN)\n | TEXT\n | ...^". */
static void told(const struct complaint *why, struct fl_str text, struct fl_err *e)
{
	size_t from = 0, end;
	int rune = 0, line = 1, column = 0;
	char shown[512], dots[512];
	for (size_t i = 0; i < text.n && rune < why->at; rune++) {
		size_t n = fl_expr_rune_len((struct fl_str){ text.p + i, text.n - i });
		column++;
		if (text.p[i] == '\n') {
			from = i + 1;
			line++;
			column = 0;
		}
		i += n;
	}
	const char *nl = from < text.n ? memchr(text.p + from, '\n', text.n - from) : NULL;
	end = nl ? (size_t)(nl - text.p) : text.n;
	if (from == end) {
		fl_err_set(e, "%s", why->msg);
		return;
	}
	size_t n = end - from < sizeof shown - 1 ? end - from : sizeof shown - 1;
	for (size_t i = 0; i < n; i++)
		shown[i] = text.p[from + i] == '\t' ? ' ' : text.p[from + i];
	shown[n] = 0;
	size_t k = (size_t)column < sizeof dots - 1 ? (size_t)column : sizeof dots - 1;
	memset(dots, '.', k);
	dots[k] = 0;
	fl_err_set(e, "%s (%d:%d)\n | %s\n | %s^", why->msg, line, column + 1, shown, dots);
}

struct fl_expr *fl_expr_compile(struct fl_arena *a, struct fl_str text, const struct fl_expr_fn *fns, struct fl_err *e)
{
	return fl_expr_compile_named(a, text, fns, NULL, 0, e);
}

bool fl_expr_may_name(struct fl_arena *a, struct fl_str name)
{
	static const struct fl_expr_fn none[] = { { 0 } };
	struct fl_str own = fl_arena_str(a, name);
	struct parser p = { .lex = { .arena = a, .src = own }, .arena = a, .fns = none };
	struct node *n = own.p ? fl_expr_parse(&p) : NULL;
	return n && !p.err.set && n->kind == X_NAME && fl_str_eq(n->text, name) && !fl_expr_builtin(name);
}

struct fl_expr *fl_expr_compile_named(struct fl_arena *a, struct fl_str text, const struct fl_expr_fn *fns, const struct fl_expr_name *names,
				      unsigned n, struct fl_err *e)
{
	struct fl_expr *x = fl_zalloc(a, sizeof *x);
	struct fl_str own = fl_arena_str(a, text);
	if (!x || !own.p) {
		fl_err_set(e, "out of memory");
		return NULL;
	}
	struct parser p = { .lex = { .arena = a, .src = own }, .arena = a, .fns = fns };
	struct checker c = { .arena = a, .fns = fns, .expr = x, .names = names, .nnames = n };
	x->root = fl_expr_parse(&p);
	if (x->root)
		fl_expr_check(&c, x->root);
	if (!c.err.set)
		c.err = p.err.set ? p.err : c.late;
	if (!c.err.set)
		return x;
	told(&c.err, own, e);
	fl_expr_free(x);
	return NULL;
}

void fl_expr_free(struct fl_expr *x)
{
	if (!x)
		return;
	for (unsigned i = 0; i < x->nregex; i++)
		fl_regex_free(x->regex[i]);
	x->nregex = 0;
}

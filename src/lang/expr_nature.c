/* Types as expr's checker knows them, and their names in Go. */
#include "lang/expr_check_int.h"
#include <stdio.h>

bool fl_expr_nature_unknown(struct nature t) { return t.k == T_UNKNOWN || t.k == T_ANY; }

struct nature fl_expr_nature_letter(char c)
{
	static const char letters[] = "bifsaAS";
	static const enum type_kind kinds[] = { T_BOOL, T_INT, T_FLOAT, T_STR, T_ANY, T_LIST, T_STRS };
	const char *at = strchr(letters, c);
	return OF(kinds[at - letters]);
}

static const char *letter_text(char c)
{
	struct nature t = fl_expr_nature_letter(c);
	return t.k == T_BOOL ? "bool" : t.k == T_INT ? "int" : t.k == T_ANY ? "interface {}" : "string";
}

const char *fl_expr_nature_text(char to[100], struct nature t)
{
	static const char *const names[] = {[T_UNKNOWN] = "unknown", [T_ANY] = "interface {}",
					    [T_NIL] = "unknown",     [T_BOOL] = "bool",
					    [T_INT] = "int",	     [T_FLOAT] = "float64",
					    [T_STR] = "string",	     [T_LIST] = "[]interface {}",
					    [T_STRS] = "[]string",   [T_MAP] = "map[string]interface {}",
					    [T_BYTES] = "[]uint8"};
	if (t.k != T_FUNC)
		return names[t.k];
	size_t n = (size_t)snprintf(to, 100, "func(");
	for (const char *c = t.fn->types + 1; *c; c++)
		n += (size_t)snprintf(to + n, 100 - n, "%s%s", c > t.fn->types + 1 ? ", " : "", letter_text(*c));
	snprintf(to + n, 100 - n, t.fn->fails ? ") (%s, error)" : ") %s", letter_text(t.fn->types[0]));
	return to;
}

struct nature fl_expr_nature_list(struct checker *c, struct nature elem)
{
	return (struct nature){ T_LIST, fl_copy(c->arena, &elem, sizeof elem) };        /* no memory: any, which is always right */
}

struct nature fl_expr_nature_elem(const struct nature *t)
{
	return t->k == T_STRS ? str_nature : t->k == T_BYTES ? int_nature : t->elem ? *t->elem : any;
}

static bool same_type(struct nature a, struct nature b)
{
	char x[100], y[100];
	return a.k == b.k && (a.k != T_FUNC || !strcmp(fl_expr_nature_text(x, a), fl_expr_nature_text(y, b)));
}

bool fl_expr_nature_assignable(struct nature from, struct nature to)
{
	if (from.k == T_NIL && (to.k == T_ANY || to.k == T_FUNC || to.k == T_MAP || is_list(to)))
		return true;
	if (from.k == T_UNKNOWN || from.k == T_NIL || to.k == T_UNKNOWN || to.k == T_NIL)
		return false;
	return to.k == T_ANY || same_type(from, to);
}

bool fl_expr_nature_comparable(struct nature a, struct nature b)
{
	return fl_expr_nature_unknown(a) || fl_expr_nature_unknown(b) || a.k == T_NIL || b.k == T_NIL ||
	       (is_number(a) && is_number(b)) || (is_list(a) && is_list(b)) || fl_expr_nature_assignable(a, b);
}

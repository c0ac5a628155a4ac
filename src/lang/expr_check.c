/* Types, after checker/checker.go of expr: unknown is compatible with everything and looked at again when it runs. */
#include "lang/expr_check_int.h"
#include <stdarg.h>
#include <stdio.h>

/* ---- errors ---- */

struct nature fl_expr_check_error(struct checker *c, int at, const char *fmt, ...)
{
	char text[320];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	fl_expr_complain(&c->err, at, "%s", text);
	return unknown;
}

struct nature fl_expr_check_later(struct checker *c, int at, const char *what)
{
	return fl_expr_check_error(c, at, "%s is known, but this version of fairlead does not support it yet", what);
}

/* ---- names ---- */

/* What CoreDNS makes of a result's type (plugin/template/setup.go): the zero of its Go type; what is in a list is forgotten. */
static int find_name(const struct checker *c, struct fl_str name)
{
	unsigned i = 0;
	while (i < c->nnames && !fl_str_eq(c->names[i].name, name))
		i++;
	return i < c->nnames ? (int)i : -1;
}

static struct nature named(const struct checker *c, int i)
{
	struct nature t = c->names[i].expr->root->type;
	return t.k == T_ANY || t.k == T_NIL || t.k == T_FUNC ? unknown : OF(t.k);
}

static struct nature name(struct checker *c, struct node *n)
{
	int given = find_name(c, n->text);
	for (unsigned i = c->nvar; i--;)
		if (fl_str_eq(c->var[i].name, n->text)) {
			n->var = (int)i;
			return c->var[i].type;
		}
	if (given >= 0) {
		n->var = -1 - given;
		return named(c, given);
	}
	const struct fl_expr_fn *fn = fl_expr_fn(c->fns, n->text);
	char what[140];
	if (fn) {
		fl_expr_complain(
		    &c->late, n->at,
		    "%s is a function: write %s(); as a value it is known, but this version of fairlead does not support it yet",
		    fn->name, fn->name);
		return (struct nature){ T_FUNC, .fn = fn };
	}
	if (fl_str_is(n->text, "$env") || fl_expr_builtin(n->text)) {
		snprintf(what, sizeof what, "%.*s as a value", FL_FMT(n->text));
		return fl_expr_check_later(c, n->at, what);
	}
	return fl_expr_check_error(c, n->at, "unknown name %.*s", FL_FMT(n->text));
}

static struct nature let(struct checker *c, struct node *n)
{
	if (fl_expr_fn(c->fns, n->text) || find_name(c, n->text) >= 0)
		return fl_expr_check_error(c, n->at, "cannot redeclare %.*s", FL_FMT(n->text));
	if (fl_expr_builtin(n->text))
		return fl_expr_check_error(c, n->at, "cannot redeclare builtin %.*s", FL_FMT(n->text));
	for (unsigned i = 0; i < c->nvar; i++)
		if (fl_str_eq(c->var[i].name, n->text))
			return fl_expr_check_error(c, n->at, "cannot redeclare variable %.*s", FL_FMT(n->text));
	struct nature v = fl_expr_check(c, n->kid[0]);
	if (c->nvar == NEST_VARS)
		return fl_expr_check_later(c, n->at, "more variables");
	n->var = (int)c->nvar;
	c->var[c->nvar].name = n->text;
	c->var[c->nvar++].type = v;
	struct nature t = fl_expr_check(c, n->kid[1]);
	c->nvar--;
	return t;
}

static struct nature pointer(struct checker *c, struct node *n)
{
	if (!c->nin)
		return fl_expr_check_error(c, n->at, "cannot use pointer accessor outside predicate");
	struct nature list = c->in[c->nin - 1].list;
	n->by_index = fl_str_is(n->text, "index");
	if (!n->text.n)
		return fl_expr_nature_unknown(list) ? unknown : fl_expr_nature_elem(&list);
	if (n->by_index && c->in[c->nin - 1].index)
		return int_nature;
	return fl_expr_check_error(c, n->at, "unknown pointer #%.*s", FL_FMT(n->text));
}

/* ---- lists, maps and their parts ---- */

/* Go's reflect.Kind: what has no type yet has none. */
static enum type_kind go_kind(struct nature t)
{
	return t.k == T_NIL ? T_UNKNOWN : t.k == T_STRS || t.k == T_BYTES ? T_LIST : t.k;
}

/* A list of literals is made once. */
static void settle(struct checker *c, struct node *n)
{
	struct fl_expr_value *at;
	for (unsigned i = 0; i < n->n; i++)
		if (!n->kid[i]->constant)
			return;
	if (!(at = fl_alloc(c->arena, (n->n + 1) * sizeof *at)))
		return;
	for (unsigned i = 0; i < n->n; i++)
		at[i] = n->kid[i]->value;
	n->value = (struct fl_expr_value){ FL_EXPR_LIST, .n = n->n, .at = at };
	n->constant = true;
}

static struct nature array(struct checker *c, struct node *n)
{
	struct nature before = unknown;
	bool same = true;
	for (unsigned i = 0; i < n->n; i++) {
		struct nature t = fl_expr_check(c, n->kid[i]);
		same = same && (!i || go_kind(t) == go_kind(before));
		before = t;
	}
	settle(c, n);
	return same ? fl_expr_nature_list(c, before) : OF(T_LIST);
}

static struct nature no_such(struct checker *c, const struct node *n, struct nature of, struct nature what)
{
	char a[100], b[100];
	const struct node *prop = n->kid[1];
	if (prop->constant && prop->value.type == FL_EXPR_STR)
		return fl_expr_check_error(c, n->at, "type %s has no %s %.*s", fl_expr_nature_text(a, of),
					   n->method ? "method" : "field", FL_FMT(prop->value.s));
	return fl_expr_check_error(c, n->at, "type %s[%s] is undefined", fl_expr_nature_text(a, of), fl_expr_nature_text(b, what));
}

static struct nature member(struct checker *c, struct node *n)
{
	char a[100], b[100];
	const struct node *prop = n->kid[1];
	struct nature of = fl_expr_check(c, n->kid[0]), what = fl_expr_check(c, n->kid[1]);
	if (fl_expr_nature_unknown(of))
		return unknown;
	if (of.k == T_NIL && prop->constant && prop->value.type == FL_EXPR_STR)
		return fl_expr_check_error(c, n->at, "type nil has no field %.*s", FL_FMT(prop->value.s));
	if (of.k == T_MAP) {
		if (!fl_expr_nature_assignable(what, str_nature) && !fl_expr_nature_unknown(what))
			return fl_expr_check_error(c, prop->at, "cannot use %s to get an element from %s",
						   fl_expr_nature_text(a, what), fl_expr_nature_text(b, of));
		return any;
	}
	if (is_list(of)) {
		if (what.k != T_INT && !fl_expr_nature_unknown(what))
			return fl_expr_check_error(c, prop->at, "array elements can only be selected using an integer (got %s)",
						   fl_expr_nature_text(a, what));
		return fl_expr_nature_elem(&of);
	}
	return no_such(c, n, of, what);
}

static struct nature slice(struct checker *c, struct node *n)
{
	char a[100];
	struct nature of = fl_expr_check(c, n->kid[0]);
	if (!fl_expr_nature_unknown(of) && of.k != T_STR && !is_list(of))
		return fl_expr_check_error(c, n->at, "cannot slice %s", fl_expr_nature_text(a, of));
	for (unsigned i = 1; i < 3; i++) {
		struct nature t = fl_expr_check(c, n->kid[i]);
		bool left_out = n->kid[i]->at < 0;
		if (!left_out && t.k != T_INT && !fl_expr_nature_unknown(t))
			return fl_expr_check_error(c, n->kid[i]->at, "non-integer slice index %s", fl_expr_nature_text(a, t));
	}
	return of;
}

static struct nature map(struct checker *c, struct node *n)
{
	for (unsigned i = 0; i < n->n; i++) {
		struct nature t = fl_expr_check(c, n->kid[i]);
		if (!(i & 1) && t.k != T_STR)
			fl_expr_complain(
			    &c->late, n->kid[i]->at,
			    "a map key that is not a string is known, but this version of fairlead does not support it yet");
	}
	return OF(T_MAP);
}

/* ---- calls ---- */

/* Go's assignability of each argument, from the left; the error goes to why, those inside arguments to c. */
struct nature fl_expr_check_call(struct checker *c, const char *types, struct node *n, struct complaint *why)
{
	size_t want = strlen(types) - 1;
	char a[100], b[100];
	if (n->n != want) {
		fl_expr_complain(why, n->at, "%s arguments to call %.*s", n->n > want ? "too many" : "not enough", FL_FMT(n->text));
		for (unsigned i = 0; i < n->n; i++)
			fl_expr_check(c, n->kid[i]);
		return unknown;
	}
	for (unsigned i = 0; i < n->n; i++) {
		struct nature t = fl_expr_check(c, n->kid[i]), to = fl_expr_nature_letter(types[i + 1]);
		if (t.k == T_NIL && to.k != T_ANY)
			fl_expr_complain(why, n->kid[i]->at, "cannot use nil as argument (type %s) to call %.*s",
					 fl_expr_nature_text(b, to), FL_FMT(n->text));
		else if (t.k != T_NIL && !fl_expr_nature_assignable(t, to) && !fl_expr_nature_unknown(t))
			fl_expr_complain(why, n->kid[i]->at, "cannot use %s as argument (type %s) to call %.*s ",
					 fl_expr_nature_text(a, t), fl_expr_nature_text(b, to), FL_FMT(n->text));
		if (why->set)
			return unknown;
	}
	return fl_expr_nature_letter(types[0]);
}

static struct nature call(struct checker *c, struct node *n)
{
	struct complaint why = { 0 };
	char text[100];
	if (n->method) {                        /* kid 0: what is called */
		struct nature t = fl_expr_check(c, n->kid[0]);
		if (fl_expr_nature_unknown(t))
			return fl_expr_check_later(c, n->at, "a method");
		return fl_expr_check_error(c, n->at, "%s is not callable", fl_expr_nature_text(text, t));
	}
	for (unsigned i = 0; i < c->nvar; i++)
		if (fl_str_eq(c->var[i].name, n->text)) {
			struct nature t = c->var[i].type;
			if (fl_expr_nature_unknown(t) || t.k == T_FUNC)
				return fl_expr_check_later(c, n->at, "a call of a variable");
			if (t.k == T_NIL)
				return fl_expr_check_error(c, n->at, "%.*s is nil; cannot call nil as function", FL_FMT(n->text));
			return fl_expr_check_error(c, n->at, "%s is not callable", fl_expr_nature_text(text, t));
		}
	n->fn = fl_expr_fn(c->fns, n->text);
	if (!n->fn)
		return fl_expr_check_error(c, n->at, "unknown name %.*s", FL_FMT(n->text));
	struct nature out = fl_expr_check_call(c, n->fn->types, n, &why);
	if (why.set)
		fl_expr_complain(&c->err, why.at, "%s", why.msg);
	return out;
}

/* ---- all ---- */

static struct nature literal(const struct node *n)
{
	static const enum type_kind kinds[] = {[FL_EXPR_NIL] = T_NIL,
					       [FL_EXPR_BOOL] = T_BOOL,
					       [FL_EXPR_INT] = T_INT,
					       [FL_EXPR_FLOAT] = T_FLOAT,
					       [FL_EXPR_STR] = T_STR};
	return OF(kinds[n->value.type]);
}

static struct nature check(struct checker *c, struct node *n)
{
	struct nature t = unknown;
	switch (n->kind) {
	case X_CONST: return literal(n);
	case X_NAME: return name(c, n);
	case X_UNARY: return fl_expr_check_unary(c, n);
	case X_BINARY: return fl_expr_check_binary(c, n);
	case X_LOGIC: return fl_expr_check_logic(c, n);
	case X_COND: return fl_expr_check_cond(c, n);
	case X_ARRAY: return array(c, n);
	case X_MAP: return map(c, n);
	case X_MEMBER: return member(c, n);
	case X_SLICE: return slice(c, n);
	case X_CALL: return call(c, n);
	case X_BUILTIN: return fl_expr_check_builtin(c, n);
	case X_POINTER: return pointer(c, n);
	case X_LET: return let(c, n);
	case X_BYTES: return fl_expr_check_later(c, n->at, "a literal of bytes");
	case X_CHAIN: case X_PREDICATE: return fl_expr_check(c, n->kid[0]);
	case X_SEQ:
		for (unsigned i = 0; i < n->n; i++)
			t = fl_expr_check(c, n->kid[i]);
	}
	return t;
}

/* Once a node: the middle of a < b < c stands in the tree twice, and overloads look at their arguments again. */
struct nature fl_expr_check(struct checker *c, struct node *n)
{
	if (!n->checked) {
		n->type = check(c, n);
		n->checked = true;
	}
	return n->type;
}

/* Types, after checker/checker.go of expr: unknown is compatible with everything and looked at again when it runs. */
#include "lang/expr_int.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const struct nature unknown = { T_UNKNOWN }, any = { T_ANY };
static const struct nature str_nature = { T_STR }, int_nature = { T_INT };
#define OF(kind) ((struct nature){ kind })

/* ---- natures ---- */

bool fl_expr_nature_unknown(struct nature t) { return t.k == T_UNKNOWN || t.k == T_ANY; }
static bool is_number(struct nature t) { return t.k == T_INT || t.k == T_FLOAT; }
static bool is_list(struct nature t) { return t.k == T_LIST || t.k == T_STRS || t.k == T_BYTES; }

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

static bool comparable(struct nature a, struct nature b)
{
	return fl_expr_nature_unknown(a) || fl_expr_nature_unknown(b) || a.k == T_NIL || b.k == T_NIL ||
	       (is_number(a) && is_number(b)) || (is_list(a) && is_list(b)) || fl_expr_nature_assignable(a, b);
}

enum { BOOLS = 1, INTS = 2, NUMBERS = 4, STRINGS = 8 };

static bool any_of(struct nature t, unsigned what)
{
	return (what & BOOLS && t.k == T_BOOL) || (what & INTS && t.k == T_INT) || (what & NUMBERS && is_number(t)) ||
	       (what & STRINGS && t.k == T_STR);
}

/* At least one is unknown, and the other might do. */
static bool maybe(struct nature a, struct nature b, unsigned what)
{
	bool ua = fl_expr_nature_unknown(a), ub = fl_expr_nature_unknown(b);
	return (ua && ub) || (ua && any_of(b, what)) || (ub && any_of(a, what));
}

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

/* ---- operators ---- */

/* -1 is a literal too. */
static void negate(struct node *n)
{
	struct fl_expr_value v = n->kid[0]->value;
	if (!n->kid[0]->constant || (v.type != FL_EXPR_INT && v.type != FL_EXPR_FLOAT))
		return;
	if (n->op == OP_MINUS && v.type == FL_EXPR_INT)
		v.i = (int64_t)-(uint64_t)v.i;
	else if (n->op == OP_MINUS)
		v.f = -v.f;
	n->kind = X_CONST;
	n->value = v;
	n->constant = true;
}

static struct nature unary(struct checker *c, struct node *n)
{
	char text[100];
	struct nature t = fl_expr_check(c, n->kid[0]);
	if (n->op == OP_NOT && (t.k == T_BOOL || fl_expr_nature_unknown(t)))
		return OF(T_BOOL);
	if (n->op != OP_NOT && (is_number(t) || fl_expr_nature_unknown(t))) {
		negate(n);
		return is_number(t) ? t : unknown;
	}
	return fl_expr_check_error(c, n->at, "invalid operation: %.*s (mismatched type %s)", FL_FMT(n->text),
				   fl_expr_nature_text(text, t));
}

static struct nature mismatch(struct checker *c, const struct node *n, int at, struct nature l, struct nature r)
{
	char a[100], b[100];
	return fl_expr_check_error(c, at, "invalid operation: %.*s (mismatched types %s and %s)", FL_FMT(n->text),
				   fl_expr_nature_text(a, l), fl_expr_nature_text(b, r));
}

static struct nature logic(struct checker *c, struct node *n)
{
	struct nature l = fl_expr_check(c, n->kid[0]);
	for (unsigned i = 1; i < n->n; i++) {
		struct nature r = fl_expr_check(c, n->kid[i]);
		if (!(l.k == T_BOOL && r.k == T_BOOL) && !maybe(l, r, BOOLS))
			return mismatch(c, n, n->kid[i]->op_at, l, r);
		l = OF(T_BOOL);
	}
	return l;
}

/* A list of literals is made once. Texts are sorted too: `in` then looks a few up, however many there are. */
static int by_text(const void *a, const void *b)
{
	struct fl_str x = ((const struct fl_expr_value *)a)->s, y = ((const struct fl_expr_value *)b)->s;
	int d = memcmp(x.n ? x.p : "", y.n ? y.p : "", x.n < y.n ? x.n : y.n);
	return d ? d : (x.n > y.n) - (x.n < y.n);
}

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

static void sort_texts(struct checker *c, struct node *n)
{
	bool texts = n->kind == X_ARRAY && n->constant && n->n;
	for (unsigned i = 0; i < n->n && texts; i++)
		texts = n->value.at[i].type == FL_EXPR_STR;
	struct fl_expr_value *at = texts ? fl_copy(c->arena, n->value.at, n->n * sizeof *at) : NULL;
	if (!at)
		return;
	qsort(at, n->n, sizeof *at, by_text);
	n->value.at = at;
	n->sorted = true;
}

static struct nature in(struct checker *c, struct node *n, struct nature l, struct nature r)
{
	char a[100], b[100];
	if (r.k == T_MAP) {
		if (!fl_expr_nature_unknown(l) && !fl_expr_nature_assignable(l, str_nature))
			return fl_expr_check_error(c, n->at, "cannot use %s as type string in map key", fl_expr_nature_text(a, l));
		return OF(T_BOOL);
	}
	if (is_list(r)) {
		struct nature elem = fl_expr_nature_elem(&r);
		if (!comparable(l, elem))
			return fl_expr_check_error(c, n->at, "cannot use %s as type %s in array", fl_expr_nature_text(a, l),
						   fl_expr_nature_text(b, elem));
		sort_texts(c, n->kid[1]);
		return OF(T_BOOL);
	}
	if (fl_expr_nature_unknown(r) || (fl_expr_nature_unknown(l) && r.k == T_STR))
		return OF(T_BOOL);
	return mismatch(c, n, n->at, l, r);
}

static struct nature matches(struct checker *c, struct node *n, struct nature l, struct nature r)
{
	const struct node *p = n->kid[1];
	struct fl_err e;
	if (p->constant && p->value.type == FL_EXPR_STR) {
		if (p->value.s.n > FL_REGEX_MAX)
			return fl_expr_check_later(c, n->at, "a pattern of more than 10000 octets");
		if (c->expr->nregex == FL_COUNT(c->expr->regex))
			return fl_expr_check_later(c, n->at, "more than 64 patterns");
		if (!(n->regex = fl_regex_compile(p->value.s, &e)))
			return fl_expr_check_error(c, n->at, "%s", e.msg);
		c->expr->regex[c->expr->nregex++] = n->regex;
	}
	if (!((l.k == T_STR || l.k == T_BYTES) && r.k == T_STR) && !maybe(l, r, STRINGS))
		return mismatch(c, n, n->at, l, r);
	if (!n->regex)
		fl_expr_complain(&c->late, n->at,
				 "a pattern that is not a literal is known, but this version of fairlead does not support it yet");
	return OF(T_BOOL);
}

static struct nature coalesce(struct nature l, struct nature r)
{
	if (l.k == T_NIL)
		return r;
	return r.k == T_NIL || fl_expr_nature_assignable(r, l) ? l : unknown;
}

/* 'a' + 'b' is a literal too: a long pattern may be written in parts. */
static void fold(struct checker *c, struct node *n)
{
	const struct node *a = n->kid[0], *b = n->kid[1];
	if (!a->constant || !b->constant || a->value.type != FL_EXPR_STR || b->value.type != FL_EXPR_STR)
		return;
	struct fl_str s = { fl_alloc(c->arena, a->value.s.n + b->value.s.n + 1), a->value.s.n + b->value.s.n };
	if (!s.p)
		return;
	fl_put_bytes(fl_put_bytes((char *)s.p, a->value.s.p, a->value.s.n), b->value.s.p, b->value.s.n);
	n->kind = X_CONST;
	n->constant = true;
	n->value = (struct fl_expr_value){ FL_EXPR_STR, .s = s };
}

static struct nature arithmetic(struct checker *c, struct node *n, struct nature l, struct nature r)
{
	bool numbers = is_number(l) && is_number(r), plus = n->op == OP_PLUS;
	if (n->op == OP_DIV || n->op == OP_POW)
		return numbers || maybe(l, r, NUMBERS) ? OF(T_FLOAT) : mismatch(c, n, n->at, l, r);
	if (numbers)
		return l.k == T_FLOAT || r.k == T_FLOAT ? OF(T_FLOAT) : int_nature;
	if (plus && l.k == T_STR && r.k == T_STR) {
		fold(c, n);
		return str_nature;
	}
	return maybe(l, r, NUMBERS | (plus ? STRINGS : 0)) ? unknown : mismatch(c, n, n->at, l, r);
}

static struct nature integers(struct checker *c, struct node *n, struct nature l, struct nature r)
{
	const struct fl_expr_value *by = &n->kid[1]->value;
	if (!(l.k == T_INT && r.k == T_INT) && !maybe(l, r, INTS))
		return mismatch(c, n, n->at, l, r);
	if (n->op == OP_RANGE)
		return fl_expr_nature_list(c, int_nature);
	if (n->kid[0]->constant && n->kid[1]->constant && by->type == FL_EXPR_INT && !by->i)
		fl_expr_complain(&c->late, n->at, "integer divide by zero");
	return int_nature;
}

static struct nature binary(struct checker *c, struct node *n)
{
	struct nature l = fl_expr_check(c, n->kid[0]), r = fl_expr_check(c, n->kid[1]);
	switch (n->op) {
	case OP_EQ: case OP_NE:
		return comparable(l, r) ? OF(T_BOOL) : mismatch(c, n, n->at, l, r);
	case OP_LT: case OP_GT: case OP_GE: case OP_LE:
		if ((is_number(l) && is_number(r)) || (l.k == T_STR && r.k == T_STR) || maybe(l, r, NUMBERS | STRINGS))
			return OF(T_BOOL);
		return mismatch(c, n, n->at, l, r);
	case OP_IN:
		return in(c, n, l, r);
	case OP_MATCHES:
		return matches(c, n, l, r);
	case OP_CONTAINS: case OP_STARTS: case OP_ENDS:
		return (l.k == T_STR && r.k == T_STR) || maybe(l, r, STRINGS) ? OF(T_BOOL) : mismatch(c, n, n->at, l, r);
	case OP_RANGE: case OP_MOD:
		return integers(c, n, l, r);
	case OP_COALESCE:
		return coalesce(l, r);
	default:
		return arithmetic(c, n, l, r);
	}
}

static struct nature conditional(struct checker *c, struct node *n)
{
	char text[100];
	struct nature t = fl_expr_check(c, n->kid[0]);
	if (t.k != T_BOOL && !fl_expr_nature_unknown(t))
		return fl_expr_check_error(c, n->kid[0]->at, "non-bool expression (type %s) used as condition",
					   fl_expr_nature_text(text, t));
	struct nature yes = fl_expr_check(c, n->kid[1]), no = fl_expr_check(c, n->kid[2]);
	if (yes.k == T_NIL)
		return no;
	if (no.k == T_NIL)
		return yes;
	if (!fl_expr_nature_assignable(yes, no))
		return unknown;
	if (is_list(yes) && is_list(no)) {
		struct nature a = fl_expr_nature_elem(&yes), b = fl_expr_nature_elem(&no);
		if (!fl_expr_nature_assignable(a, b) || !fl_expr_nature_assignable(b, a))
			return OF(T_LIST);
	}
	return yes;
}

/* ---- lists, maps and their parts ---- */

/* Go's reflect.Kind: what has no type yet has none. */
static enum type_kind go_kind(struct nature t)
{
	return t.k == T_NIL ? T_UNKNOWN : t.k == T_STRS || t.k == T_BYTES ? T_LIST : t.k;
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
	case X_UNARY: return unary(c, n);
	case X_BINARY: return binary(c, n);
	case X_LOGIC: return logic(c, n);
	case X_COND: return conditional(c, n);
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

/* ---- the whole ---- */

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

/* Which types an operator takes, and what comes of them; what stands between literals is made at once. */
#include "lang/expr_check_int.h"
#include <stdlib.h>

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

struct nature fl_expr_check_unary(struct checker *c, struct node *n)
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

struct nature fl_expr_check_logic(struct checker *c, struct node *n)
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

/* Texts in a list of literals are sorted: `in` then looks a few up, however many there are. */
static int by_text(const void *a, const void *b)
{
	struct fl_str x = ((const struct fl_expr_value *)a)->s, y = ((const struct fl_expr_value *)b)->s;
	int d = memcmp(x.n ? x.p : "", y.n ? y.p : "", x.n < y.n ? x.n : y.n);
	return d ? d : (x.n > y.n) - (x.n < y.n);
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
		if (!fl_expr_nature_comparable(l, elem))
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

struct nature fl_expr_check_binary(struct checker *c, struct node *n)
{
	struct nature l = fl_expr_check(c, n->kid[0]), r = fl_expr_check(c, n->kid[1]);
	switch (n->op) {
	case OP_EQ: case OP_NE:
		return fl_expr_nature_comparable(l, r) ? OF(T_BOOL) : mismatch(c, n, n->at, l, r);
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

struct nature fl_expr_check_cond(struct checker *c, struct node *n)
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

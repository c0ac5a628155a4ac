/* The tree at work. Whatever the checker could not know is looked at here; what expr panics on is -EINVAL. */
#include "lang/expr_int.h"
#include <errno.h>
#include <math.h>

enum { LEFT = 1 };      /* a?.b on nil: out of the chain around it */

int fl_expr_steps(struct run *r, uint64_t n)
{
	if (n > r->steps)
		return -E2BIG;
	r->steps -= (unsigned)n;
	return 0;
}

/* ---- values ---- */

bool fl_expr_value_is_list(const struct fl_expr_value *v) { return v->type == FL_EXPR_LIST || v->type == FL_EXPR_RANGE_OF; }

int64_t fl_expr_value_len(const struct fl_expr_value *v)
{
	if (v->type != FL_EXPR_RANGE_OF)
		return v->n;
	return v->range.hi < v->range.lo ? 0 : v->range.hi - v->range.lo + 1;
}

struct fl_expr_value fl_expr_value_elem(const struct fl_expr_value *v, int64_t i)
{
	return v->type == FL_EXPR_RANGE_OF ? (struct fl_expr_value){ FL_EXPR_INT, .i = v->range.lo + i } : v->at[i];
}

static bool is_number(const struct fl_expr_value *v) { return v->type == FL_EXPR_INT || v->type == FL_EXPR_FLOAT; }
static double number(const struct fl_expr_value *v) { return v->type == FL_EXPR_INT ? (double)v->i : v->f; }

int fl_expr_value_int(const struct fl_expr_value *v, int64_t *out)
{
	if (v->type == FL_EXPR_INT)
		*out = v->i;
	else if (v->type == FL_EXPR_FLOAT)      /* what does not fit becomes what x86 makes of it, as in Go */
		*out = v->f > -0x1p63 && v->f < 0x1p63 ? (int64_t)v->f : INT64_MIN;
	return is_number(v) ? 0 : -EINVAL;
}

static int text_order(struct fl_str a, struct fl_str b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int d = n ? memcmp(a.p, b.p, n) : 0;
	return d ? d : (a.n > b.n) - (a.n < b.n);
}

int fl_expr_value_less(const struct fl_expr_value *a, const struct fl_expr_value *b)
{
	if (a->type == FL_EXPR_STR && b->type == FL_EXPR_STR)
		return text_order(a->s, b->s) < 0;
	if (!is_number(a) || !is_number(b))
		return -EINVAL;
	return a->type == FL_EXPR_INT && b->type == FL_EXPR_INT ? a->i < b->i : number(a) < number(b);
}

static const struct fl_expr_value *map_get(const struct fl_expr_value *m, struct fl_str key)
{
	for (unsigned i = 0; i < m->n; i++)     /* the first of equal keys stays */
		if (fl_str_eq(m->at[2 * i].s, key))
			return &m->at[2 * i + 1];
	return NULL;
}

static int equal(struct run *r, const struct fl_expr_value *a, const struct fl_expr_value *b);

static int equal_lists(struct run *r, const struct fl_expr_value *a, const struct fl_expr_value *b)
{
	int64_t n = fl_expr_value_len(a);
	if (n != fl_expr_value_len(b))
		return 0;
	for (int64_t i = 0; i < n; i++) {
		struct fl_expr_value x = fl_expr_value_elem(a, i), y = fl_expr_value_elem(b, i);
		int ret = equal(r, &x, &y);
		if (ret != 1)
			return ret;
	}
	return 1;
}

static int equal_maps(struct run *r, const struct fl_expr_value *a, const struct fl_expr_value *b)
{
	for (unsigned side = 0; side < 2; side++)
		for (unsigned i = 0; i < a->n; i++) {
			const struct fl_expr_value *x = side ? b : a, *y = side ? a : b;
			if (i >= x->n)
				continue;
			const struct fl_expr_value *mine = map_get(x, x->at[2 * i].s), *other = map_get(y, x->at[2 * i].s);
			int ret = other ? equal(r, mine, other) : 0;
			if (ret != 1)
				return ret;
		}
	return 1;
}

/* 1, 0, -E2BIG. Depth: that of the literals, which is bounded. */
static int equal(struct run *r, const struct fl_expr_value *a, const struct fl_expr_value *b)
{
	if (fl_expr_steps(r, 1))
		return -E2BIG;
	if (is_number(a) && is_number(b))
		return a->type == FL_EXPR_INT && b->type == FL_EXPR_INT ? a->i == b->i : number(a) == number(b);
	if (fl_expr_value_is_list(a) && fl_expr_value_is_list(b))
		return equal_lists(r, a, b);
	if (a->type != b->type)
		return 0;
	switch (a->type) {
	case FL_EXPR_BOOL: return a->b == b->b;
	case FL_EXPR_STR: return fl_str_eq(a->s, b->s);
	case FL_EXPR_MAP: return equal_maps(r, a, b);
	default: return 1;
	}
}

/* ---- operators ---- */

static int truth(struct fl_expr_value *out, int yes)
{
	*out = (struct fl_expr_value){ FL_EXPR_BOOL, .b = yes == 1 };
	return yes < 0 ? yes : 0;
}

static int integer(struct fl_expr_value *out, uint64_t v)
{
	*out = (struct fl_expr_value){ FL_EXPR_INT, .i = (int64_t)v };
	return 0;
}

static int real(struct fl_expr_value *out, double v)
{
	*out = (struct fl_expr_value){ FL_EXPR_FLOAT, .f = v };
	return 0;
}

/* A list of texts that was sorted when it was compiled. */
static bool among(const struct fl_expr_value *sorted, struct fl_str s)
{
	unsigned lo = 0, hi = sorted->n;
	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;
		int d = text_order(sorted->at[mid].s, s);
		if (!d)
			return true;
		lo = d < 0 ? mid + 1 : lo;
		hi = d < 0 ? hi : mid;
	}
	return false;
}

static int in(struct run *r, const struct node *n, const struct fl_expr_value *a, const struct fl_expr_value *b)
{
	if (b->type == FL_EXPR_NIL)
		return 0;
	if (b->type == FL_EXPR_MAP)
		return a->type == FL_EXPR_STR	? map_get(b, a->s) != NULL
		       : a->type == FL_EXPR_NIL ? map_get(b, FL_STR("")) != NULL
						: -EINVAL;
	if (!fl_expr_value_is_list(b))
		return -EINVAL;
	if (n->kid[1]->sorted)
		return a->type == FL_EXPR_STR && among(b, a->s);
	if (b->type == FL_EXPR_RANGE_OF) {
		double f = is_number(a) ? number(a) : NAN;
		if (a->type == FL_EXPR_INT)
			return a->i >= b->range.lo && a->i <= b->range.hi;
		return f >= (double)b->range.lo && f <= (double)b->range.hi && trunc(f) == f;
	}
	for (unsigned i = 0; i < b->n; i++) {
		int ret = equal(r, &b->at[i], a);
		if (ret)
			return ret;
	}
	return 0;
}

static int texts(struct run *r, const struct node *n, const struct fl_expr_value *a, const struct fl_expr_value *b)
{
	if (a->type == FL_EXPR_NIL || b->type == FL_EXPR_NIL)
		return 0;
	if (a->type != FL_EXPR_STR || b->type != FL_EXPR_STR)
		return -EINVAL;
	switch (n->op) {
	case OP_CONTAINS: return !b->s.n || memmem(a->s.p, a->s.n, b->s.p, b->s.n);
	case OP_STARTS: return fl_str_starts(a->s, b->s);
	case OP_ENDS: return fl_str_ends(a->s, b->s);
	default: return fl_regex_match(n->regex, r->scratch, a->s, NULL);
	}
}

static int join(struct run *r, struct fl_str a, struct fl_str b, struct fl_expr_value *out)
{
	char *to = fl_alloc(r->arena, a.n + b.n + 1);
	if (!to)
		return -ENOMEM;
	fl_put_bytes(fl_put_bytes(to, a.p, a.n), b.p, b.n);
	*out = (struct fl_expr_value){ FL_EXPR_STR, .s = { to, a.n + b.n } };
	return 0;
}

static int arithmetic(struct run *r, enum op op, const struct fl_expr_value *a, const struct fl_expr_value *b,
		      struct fl_expr_value *out)
{
	if (op == OP_PLUS && a->type == FL_EXPR_STR && b->type == FL_EXPR_STR)
		return join(r, a->s, b->s, out);
	if (!is_number(a) || !is_number(b))
		return -EINVAL;
	if (op == OP_DIV || op == OP_POW)
		return real(out, op == OP_DIV ? number(a) / number(b) : pow(number(a), number(b)));
	bool ints = a->type == FL_EXPR_INT && b->type == FL_EXPR_INT;
	if (op == OP_MOD)
		return !ints || !b->i ? -EINVAL : integer(out, b->i == -1 ? 0 : (uint64_t)(a->i % b->i));
	if (ints)
		return integer(out, op == OP_PLUS    ? (uint64_t)a->i + (uint64_t)b->i
				    : op == OP_MINUS ? (uint64_t)a->i - (uint64_t)b->i
						     : (uint64_t)a->i * (uint64_t)b->i);
	return real(out, op == OP_PLUS ? number(a) + number(b) : op == OP_MINUS ? number(a) - number(b) : number(a) * number(b));
}

static int range(const struct fl_expr_value *a, const struct fl_expr_value *b, struct fl_expr_value *out)
{
	int64_t lo, hi;
	if (fl_expr_value_int(a, &lo) || fl_expr_value_int(b, &hi))
		return -EINVAL;
	if (hi >= lo && (uint64_t)hi - (uint64_t)lo >= FL_EXPR_RANGE)
		return -E2BIG;
	*out = (struct fl_expr_value){ FL_EXPR_RANGE_OF, .range = { lo, hi } };
	return 0;
}

static int binary(struct run *r, const struct node *n, struct fl_expr_value *out)
{
	struct fl_expr_value a, b;
	int ret = fl_expr_eval(r, n->kid[0], &a);
	if (ret)
		return ret;
	if (n->op == OP_COALESCE && a.type != FL_EXPR_NIL) {
		*out = a;
		return 0;
	}
	ret = fl_expr_eval(r, n->kid[1], &b);
	if (ret)
		return ret;
	switch (n->op) {
	case OP_EQ: return truth(out, equal(r, &a, &b));
	case OP_NE: ret = equal(r, &a, &b); return truth(out, ret < 0 ? ret : !ret);
	case OP_LT: return truth(out, fl_expr_value_less(&a, &b));
	case OP_GT: return truth(out, fl_expr_value_less(&b, &a));
	case OP_LE: case OP_GE:                 /* not the contrary of > and <: a NaN is neither */
		if (is_number(&a) && is_number(&b) && (isnan(number(&a)) || isnan(number(&b))))
			return truth(out, 0);
		ret = n->op == OP_LE ? fl_expr_value_less(&b, &a) : fl_expr_value_less(&a, &b);
		return truth(out, ret < 0 ? ret : !ret);
	case OP_IN: return truth(out, in(r, n, &a, &b));
	case OP_MATCHES: case OP_CONTAINS: case OP_STARTS: case OP_ENDS: return truth(out, texts(r, n, &a, &b));
	case OP_RANGE: return range(&a, &b, out);
	case OP_COALESCE: *out = b; return 0;
	default: return arithmetic(r, n->op, &a, &b, out);
	}
}

static int unary(struct run *r, const struct node *n, struct fl_expr_value *out)
{
	int ret = fl_expr_eval(r, n->kid[0], out);
	if (ret)
		return ret;
	if (n->op == OP_NOT)
		return out->type == FL_EXPR_BOOL ? truth(out, !out->b) : -EINVAL;
	if (n->op == OP_PLUS)
		return 0;
	if (out->type == FL_EXPR_INT)
		return integer(out, -(uint64_t)out->i);
	return out->type == FL_EXPR_FLOAT ? real(out, -out->f) : -EINVAL;
}

static int logic(struct run *r, const struct node *n, struct fl_expr_value *out)
{
	for (unsigned i = 0; i < n->n; i++) {
		int ret = fl_expr_eval(r, n->kid[i], out);
		if (ret || i == n->n - 1)
			return ret;
		if (out->type != FL_EXPR_BOOL)
			return -EINVAL;
		if (out->b == (n->op == OP_OR))
			return 0;
	}
	return 0;
}

static int conditional(struct run *r, const struct node *n, struct fl_expr_value *out)
{
	struct fl_expr_value c;
	int ret = fl_expr_eval(r, n->kid[0], &c);
	if (ret)
		return ret;
	return c.type == FL_EXPR_BOOL ? fl_expr_eval(r, n->kid[c.b ? 1 : 2], out) : -EINVAL;
}

/* ---- lists, maps and their parts ---- */

static int elements(struct run *r, const struct node *n, struct fl_expr_value *out)
{
	struct fl_expr_value *at = fl_alloc(r->arena, (n->n + 1) * sizeof *at);
	bool map = n->kind == X_MAP;
	if (!at)
		return -ENOMEM;
	for (unsigned i = 0; i < n->n; i++) {
		int ret = fl_expr_eval(r, n->kid[i], &at[i]);
		if (ret)
			return ret;
	}
	*out = (struct fl_expr_value){ map ? FL_EXPR_MAP : FL_EXPR_LIST, .n = map ? n->n / 2 : n->n, .at = at };
	return 0;
}

static int member(struct run *r, const struct node *n, struct fl_expr_value *out)
{
	struct fl_expr_value of, what;
	int64_t i;
	int ret = fl_expr_eval(r, n->kid[0], &of);
	if (ret)
		return ret;
	if (of.type == FL_EXPR_NIL)
		return n->optional ? LEFT : -EINVAL;
	ret = fl_expr_eval(r, n->kid[1], &what);
	if (ret)
		return ret;
	if (of.type == FL_EXPR_MAP) {
		if (what.type != FL_EXPR_STR && what.type != FL_EXPR_NIL)
			return -EINVAL;
		const struct fl_expr_value *v = map_get(&of, what.type == FL_EXPR_STR ? what.s : FL_STR(""));
		*out = v ? *v : (struct fl_expr_value){ FL_EXPR_NIL };
		return 0;
	}
	if (!fl_expr_value_is_list(&of) || fl_expr_value_int(&what, &i))
		return -EINVAL;
	i += i < 0 ? fl_expr_value_len(&of) : 0;
	if (i < 0 || i >= fl_expr_value_len(&of))
		return -EINVAL;
	*out = fl_expr_value_elem(&of, i);
	return 0;
}

static int64_t clipped(int64_t i, int64_t len)
{
	i += i < 0 ? len : 0;
	return i < 0 ? 0 : i > len ? len : i;
}

static int slice(struct run *r, const struct node *n, struct fl_expr_value *out)
{
	struct fl_expr_value v[3];
	int64_t from = 0, to;
	for (unsigned i = 0; i < 3; i++) {
		int ret = fl_expr_eval(r, n->kid[i], &v[i]);
		if (ret)
			return ret;
	}
	bool text = v[0].type == FL_EXPR_STR;
	if (!text && !fl_expr_value_is_list(&v[0]))
		return -EINVAL;
	int64_t len = text ? (int64_t)v[0].s.n : fl_expr_value_len(&v[0]);
	to = len;
	if ((n->kid[1]->at >= 0 && fl_expr_value_int(&v[1], &from)) || (n->kid[2]->at >= 0 && fl_expr_value_int(&v[2], &to)))
		return -EINVAL;
	from = clipped(from, len);
	to = clipped(to, len);
	from = from > to ? to : from;
	*out = v[0];
	if (text)
		out->s = (struct fl_str){ v[0].s.n ? v[0].s.p + from : v[0].s.p, (size_t)(to - from) };
	else if (out->type == FL_EXPR_LIST)
		out->at += from, out->n = (unsigned)(to - from);
	else
		out->range.hi = out->range.lo + to - 1, out->range.lo += from;
	return 0;
}

/* ---- all ---- */

static int call(struct run *r, const struct node *n, struct fl_expr_value *out)
{
	struct fl_expr_value in[FL_EXPR_ARGS];
	for (unsigned i = 0; i < n->n; i++) {
		int ret = fl_expr_eval(r, n->kid[i], &in[i]);
		if (ret)
			return ret;
		char want = n->fn->types[i + 1];
		if (want != 'a' && in[i].type != (want == 's' ? FL_EXPR_STR : want == 'i' ? FL_EXPR_INT : FL_EXPR_BOOL))
			return -EINVAL;
	}
	return n->fn->call(r->arg, r->arena, in, out);
}

static int let(struct run *r, const struct node *n, struct fl_expr_value *out)
{
	int ret = fl_expr_eval(r, n->kid[0], &r->var[n->var]);
	return ret ? ret : fl_expr_eval(r, n->kid[1], out);
}

static int sequence(struct run *r, const struct node *n, struct fl_expr_value *out)
{
	int ret = 0;
	for (unsigned i = 0; i < n->n && !ret; i++)
		ret = fl_expr_eval(r, n->kid[i], out);
	return ret;
}

static int chain(struct run *r, const struct node *n, struct fl_expr_value *out)
{
	int ret = fl_expr_eval(r, n->kid[0], out);
	if (ret == LEFT)
		*out = (struct fl_expr_value){ FL_EXPR_NIL };
	return ret == LEFT ? 0 : ret;
}

static int pointer(struct run *r, const struct node *n, struct fl_expr_value *out)
{
	int64_t i = r->in[r->nin - 1].i;
	*out = n->by_index ? (struct fl_expr_value){ FL_EXPR_INT, .i = i } : fl_expr_value_elem(r->in[r->nin - 1].list, i);
	return 0;
}

int fl_expr_eval(struct run *r, const struct node *n, struct fl_expr_value *out)
{
	if (fl_expr_steps(r, 1))
		return -E2BIG;
	if (n->constant) {
		*out = n->value;
		return 0;
	}
	switch (n->kind) {
	case X_NAME: *out = n->var < 0 ? r->named[-1 - n->var] : r->var[n->var]; return 0;
	case X_UNARY: return unary(r, n, out);
	case X_BINARY: return binary(r, n, out);
	case X_LOGIC: return logic(r, n, out);
	case X_COND: return conditional(r, n, out);
	case X_ARRAY: case X_MAP: return elements(r, n, out);
	case X_MEMBER: return member(r, n, out);
	case X_SLICE: return slice(r, n, out);
	case X_CHAIN: return chain(r, n, out);
	case X_CALL: return call(r, n, out);
	case X_BUILTIN: return fl_expr_eval_builtin(r, n, out);
	case X_PREDICATE: return fl_expr_eval(r, n->kid[0], out);
	case X_POINTER: return pointer(r, n, out);
	case X_LET: return let(r, n, out);
	case X_SEQ: return sequence(r, n, out);
	default: return -EINVAL;                /* X_CONST is constant, X_BYTES is not let in */
	}
}

int fl_expr_run(const struct fl_expr *x, struct fl_arena *a, struct fl_regex_scratch *scratch, void *arg, struct fl_expr_value *out)
{
	return fl_expr_run_named(x, a, scratch, arg, NULL, out);
}

int fl_expr_run_named(const struct fl_expr *x, struct fl_arena *a, struct fl_regex_scratch *scratch, void *arg,
		      const struct fl_expr_value *named, struct fl_expr_value *out)
{
	struct run r = { .arena = a, .scratch = scratch, .arg = arg, .steps = FL_EXPR_STEPS, .named = named };
	return fl_expr_eval(&r, x->root, out);
}

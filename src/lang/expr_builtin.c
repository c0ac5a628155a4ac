/* The functions of expr that are there without being offered by the caller: what they take, and those with a predicate. */
#include "lang/expr_int.h"
#include <errno.h>
#include <stdio.h>

static const struct builtin builtins[] = {
	{ "all", B_ALL, 1 },
	{ "none", B_NONE, 1 },
	{ "any", B_ANY, 1 },
	{ "one", B_ONE, 1 },
	{ "filter", B_FILTER, 1 },
	{ "map", B_MAP, 1 },
	{ "count", B_COUNT, 2 },
	{ "find", B_FIND, 1 },
	{ "findIndex", B_FIND_INDEX, 1 },
	{ "findLast", B_FIND_LAST, 1 },
	{ "findLastIndex", B_FIND_LAST_INDEX, 1 },
	{ "sum", B_LATER, 2 },
	{ "groupBy", B_LATER, 1 },
	{ "sortBy", B_LATER, 3 },
	{ "reduce", B_LATER, 3 },
	{ "len", B_LEN },
	{ "abs", B_ABS },
	{ "ceil", B_CEIL },
	{ "floor", B_FLOOR },
	{ "round", B_ROUND },
	{ "int", B_INT },
	{ "float", B_FLOAT },
	{ "string", B_STRING, .types = { "sa" } },
	{ "trim", B_TRIM, .types = { "ss", "sss" } },
	{ "trimPrefix", B_TRIM_PREFIX, .types = { "sss", "ss" } },
	{ "trimSuffix", B_TRIM_SUFFIX, .types = { "sss", "ss" } },
	{ "upper", B_UPPER, .types = { "ss" } },
	{ "lower", B_LOWER, .types = { "ss" } },
	{ "split", B_SPLIT, .types = { "Sss", "Sssi" } },
	{ "splitAfter", B_SPLIT_AFTER, .types = { "Sss", "Sssi" } },
	{ "replace", B_REPLACE, .types = { "ssssi", "ssss" } },
	{ "repeat", B_REPEAT, .types = { "ssi" } },
	{ "join", B_JOIN, .types = { "sSs", "sAs", "sA", "sSs", "sS" } },
	{ "indexOf", B_INDEX_OF, .types = { "iss" } },
	{ "lastIndexOf", B_LAST_INDEX_OF, .types = { "iss" } },
	{ "hasPrefix", B_HAS_PREFIX, .types = { "bss" } },
	{ "hasSuffix", B_HAS_SUFFIX, .types = { "bss" } },
	{ "max", B_MAX },
	{ "min", B_MIN },
	{ "mean", B_LATER },
	{ "median", B_LATER },
	{ "toJSON", B_LATER },
	{ "fromJSON", B_LATER },
	{ "toBase64", B_LATER },
	{ "fromBase64", B_LATER },
	{ "now", B_LATER },
	{ "duration", B_LATER },
	{ "date", B_LATER },
	{ "timezone", B_LATER },
	{ "first", B_FIRST },
	{ "last", B_LAST },
	{ "get", B_LATER },
	{ "take", B_TAKE },
	{ "keys", B_LATER },
	{ "values", B_LATER },
	{ "toPairs", B_LATER },
	{ "fromPairs", B_LATER },
	{ "reverse", B_LATER },
	{ "uniq", B_LATER },
	{ "concat", B_LATER },
	{ "flatten", B_LATER },
	{ "sort", B_LATER },
	{ "bitand", B_BITAND, .types = { "iii" } },
	{ "bitor", B_BITOR, .types = { "iii" } },
	{ "bitxor", B_BITXOR, .types = { "iii" } },
	{ "bitnand", B_BITNAND, .types = { "iii" } },
	{ "bitshl", B_BITSHL, .types = { "iii" } },
	{ "bitshr", B_BITSHR, .types = { "iii" } },
	{ "bitushr", B_BITUSHR, .types = { "iii" } },
	{ "bitnot", B_BITNOT, .types = { "ii" } },
};

const struct builtin *fl_expr_builtin(struct fl_str name)
{
	for (unsigned i = 0; i < FL_COUNT(builtins); i++)
		if (fl_str_is(name, builtins[i].name))
			return &builtins[i];
	return NULL;
}

/* ---- checks ---- */

static struct nature predicate(struct checker *c, struct node *n)
{
	enum builtin_id id = n->builtin->id;
	struct nature list = fl_expr_check(c, n->kid[0]), out, same;
	char text[100];
	bool known = !fl_expr_nature_unknown(list);
	if (known && list.k != T_LIST && list.k != T_STRS)
		return fl_expr_check_error(c, n->kid[0]->at, "builtin %s takes only array (got %s)", n->builtin->name,
					   fl_expr_nature_text(text, list));
	if (n->n < 2)
		return (struct nature){ T_INT };
	if (c->nin == NEST_PREDICATES)
		return fl_expr_check_later(c, n->at, "more predicates within predicates");
	c->in[c->nin].list = list;
	c->in[c->nin++].index = id == B_MAP;
	out = fl_expr_check(c, n->kid[1]);
	c->nin--;
	if (out.k == T_NIL)
		return fl_expr_check_error(c, n->kid[1]->at, "predicate should has one input and one output param");
	if (id == B_MAP)
		return fl_expr_nature_list(c, out);
	if (out.k != T_BOOL && !fl_expr_nature_unknown(out))
		return fl_expr_check_error(c, n->kid[1]->at, "predicate should return boolean (got %s)",
					   fl_expr_nature_text(text, out));
	same = known ? fl_expr_nature_elem(&list) : (struct nature){ T_UNKNOWN };
	switch (id) {
	case B_FILTER: return known ? fl_expr_nature_list(c, same) : (struct nature){ T_LIST };
	case B_FIND: case B_FIND_LAST: return same;
	case B_COUNT: case B_FIND_INDEX: case B_FIND_LAST_INDEX: return (struct nature){ T_INT };
	default: return (struct nature){ T_BOOL };
	}
}

/* How a type shows in the errors of functions that look for themselves. */
static const char *shown(char to[100], struct nature t)
{
	return t.k == T_NIL ? "%!s(<nil>)" : t.k == T_UNKNOWN ? "interface {}" : fl_expr_nature_text(to, t);
}

static bool is_list(struct nature t) { return t.k == T_LIST || t.k == T_STRS; }
static bool is_number(struct nature t) { return t.k == T_INT || t.k == T_FLOAT; }

static struct nature one(struct checker *c, const struct node *n, struct nature t)
{
	const char *name = n->builtin->name;
	bool u = fl_expr_nature_unknown(t);
	char text[100];
	switch (n->builtin->id) {
	case B_LEN:
		if (u || is_list(t) || t.k == T_MAP || t.k == T_STR)
			return (struct nature){ T_INT };
		break;
	case B_ABS:
		if (u || is_number(t))
			return u ? (struct nature){ T_ANY } : t;
		break;
	case B_INT:
		if (u || is_number(t) || t.k == T_STR)
			return (struct nature){ T_INT };
		break;
	case B_FLOAT:
		if (u || is_number(t) || t.k == T_STR)
			return (struct nature){ T_FLOAT };
		break;
	case B_FIRST: case B_LAST:
		if (u || is_list(t))                    /* expr forgets what is in a list of its own making */
			return t.k == T_STRS ? (struct nature){ T_STR } : (struct nature){ T_ANY };
		return fl_expr_check_error(c, n->at, "cannot get %s element from %s", name, shown(text, t));
	default:
		if (u || is_number(t))
			return (struct nature){ T_FLOAT };
	}
	return fl_expr_check_error(c, n->at, "invalid argument for %s (type %s)", name, shown(text, t));
}

static struct nature extreme(struct checker *c, const struct node *n, const struct nature *t)
{
	char text[100];
	if (!n->n)
		return fl_expr_check_error(c, n->at, "not enough arguments to call %s", n->builtin->name);
	for (unsigned i = 0; i < n->n; i++) {
		if (fl_expr_nature_unknown(t[i]) || is_list(t[i]))
			return (struct nature){ T_ANY };
		if (!is_number(t[i]))
			return fl_expr_check_error(c, n->at, "invalid argument for %s (type %s)", n->builtin->name,
						   shown(text, t[i]));
	}
	return t[0];
}

static struct nature take(struct checker *c, const struct node *n, const struct nature *t)
{
	char text[100];
	if (!fl_expr_nature_unknown(t[0]) && !is_list(t[0]))
		return fl_expr_check_error(c, n->at, "cannot take from %s", shown(text, t[0]));
	if (!fl_expr_nature_unknown(t[1]) && t[1].k != T_INT)
		return fl_expr_check_error(c, n->at, "cannot take %s elements", shown(text, t[1]));
	return t[0].k == T_LIST ? (struct nature){ T_LIST } : t[0];
}

static struct nature by_hand(struct checker *c, struct node *n)
{
	struct nature t[FL_EXPR_ARGS];
	enum builtin_id id = n->builtin->id;
	if (n->n > FL_EXPR_ARGS && (id == B_MAX || id == B_MIN))
		return fl_expr_check_later(c, n->at, "more than four arguments");
	for (unsigned i = 0; i < n->n; i++) {
		struct nature arg = fl_expr_check(c, n->kid[i]);
		if (i < FL_EXPR_ARGS)
			t[i] = arg;
	}
	if (id == B_MAX || id == B_MIN)
		return extreme(c, n, t);
	unsigned want = id == B_TAKE ? 2 : 1;
	if (n->n != want)
		return fl_expr_check_error(c, n->at, "invalid number of arguments (expected %u, got %u)", want, n->n);
	return id == B_TAKE ? take(c, n, t) : one(c, n, t[0]);
}

/* As expr: the first overload that fits; the error is the last one's. */
static struct nature overloads(struct checker *c, struct node *n)
{
	const struct builtin *b = n->builtin;
	struct complaint why = { 0 };
	for (unsigned i = 0; i < FL_COUNT(b->types) && b->types[i]; i++) {
		why = (struct complaint){ 0 };
		struct nature t = fl_expr_check_call(c, b->types[i], n, &why);
		if (!why.set)
			return t;
	}
	return fl_expr_check_error(c, why.at, "%s", why.msg);
}

struct nature fl_expr_check_builtin(struct checker *c, struct node *n)
{
	const struct builtin *b = n->builtin;
	char what[64];
	if (b->id == B_LATER) {
		snprintf(what, sizeof what, "function %s", b->name);
		return fl_expr_check_later(c, n->at, what);
	}
	if (b->predicate)
		return predicate(c, n);
	struct nature t = b->types[0] ? overloads(c, n) : by_hand(c, n);
	if (b->id == B_STRING && !c->err.set) {
		struct nature of = fl_expr_check(c, n->kid[0]);
		if (of.k != T_INT && of.k != T_STR && of.k != T_BOOL && of.k != T_NIL)
			return fl_expr_check_later(c, n->at, "string() of this type");
	}
	return t;
}

/* ---- predicates at work ---- */

static int holds(struct run *r, const struct node *p, bool *yes)
{
	struct fl_expr_value v;
	int ret = fl_expr_eval(r, p, &v);
	*yes = !ret && v.type == FL_EXPR_BOOL && v.b;
	return ret ? ret : v.type == FL_EXPR_BOOL ? 0 : -EINVAL;
}

/* Those for which it holds (filter), or what it makes of each (map). */
static int collect(struct run *r, const struct node *n, const struct fl_expr_value *list, struct fl_expr_value *out)
{
	int64_t len = fl_expr_value_len(list);
	int ret = fl_expr_steps(r, (uint64_t)len);
	struct fl_expr_value *at = ret ? NULL : fl_alloc(r->arena, ((size_t)len + 1) * sizeof *at);
	unsigned k = 0;
	if (!at)
		return ret ? ret : -ENOMEM;
	int64_t *i = &r->in[r->nin - 1].i;
	for (*i = 0; *i < len; ++*i) {
		bool yes = true;
		if (n->builtin->id == B_MAP)
			ret = fl_expr_eval(r, n->kid[1], &at[k]);
		else if (!(ret = holds(r, n->kid[1], &yes)))
			at[k] = fl_expr_value_elem(list, *i);
		if (ret)
			return ret;
		k += yes;
	}
	*out = (struct fl_expr_value){ FL_EXPR_LIST, .n = k, .at = at };
	return 0;
}

/* How often it holds, and where first (from the end: last). Stops when `stop` many hold, or one does not hold and all must. */
struct tally { int64_t hits, at; };

static int count(struct run *r, const struct node *n, int64_t len, bool back, int64_t stop, bool all, struct tally *t)
{
	int64_t *i = &r->in[r->nin - 1].i;
	*t = (struct tally){ 0, -1 };
	for (int64_t k = 0; k < len; k++) {
		bool yes;
		*i = back ? len - 1 - k : k;
		int ret = holds(r, n->kid[1], &yes);
		if (ret)
			return ret;
		t->at = yes && t->at < 0 ? *i : t->at;
		t->hits += yes;
		if (t->hits == stop || (all && !yes))
			return 0;
	}
	return 0;
}

static int tallied(struct run *r, const struct node *n, const struct fl_expr_value *list, struct fl_expr_value *out)
{
	enum builtin_id id = n->builtin->id;
	int64_t len = fl_expr_value_len(list);
	bool back = id == B_FIND_LAST || id == B_FIND_LAST_INDEX;
	int64_t stop = id == B_ALL || id == B_COUNT ? -1 : id == B_ONE ? 2 : 1;
	struct tally t;
	int ret = count(r, n, len, back, stop, id == B_ALL, &t);
	if (ret)
		return ret;
	switch (id) {
	case B_ALL: *out = (struct fl_expr_value){ FL_EXPR_BOOL, .b = t.hits == len }; break;
	case B_NONE: *out = (struct fl_expr_value){ FL_EXPR_BOOL, .b = !t.hits }; break;
	case B_ANY: *out = (struct fl_expr_value){ FL_EXPR_BOOL, .b = t.hits > 0 }; break;
	case B_ONE: *out = (struct fl_expr_value){ FL_EXPR_BOOL, .b = t.hits == 1 }; break;
	case B_COUNT: *out = (struct fl_expr_value){ FL_EXPR_INT, .i = t.hits }; break;
	case B_FIND: case B_FIND_LAST:
		*out = t.at < 0 ? (struct fl_expr_value){ FL_EXPR_NIL } : fl_expr_value_elem(list, t.at);
		break;
	default:
		*out = t.at < 0 ? (struct fl_expr_value){ FL_EXPR_NIL } : (struct fl_expr_value){ FL_EXPR_INT, .i = t.at };
	}
	return 0;
}

static int run_predicate(struct run *r, const struct node *n, struct fl_expr_value *out)
{
	struct fl_expr_value list;
	int ret = fl_expr_eval(r, n->kid[0], &list);
	if (ret || !fl_expr_value_is_list(&list))
		return ret ? ret : -EINVAL;
	r->in[r->nin].list = &list;
	r->in[r->nin++].i = 0;
	bool each = n->n > 1;
	if (n->builtin->id == B_FILTER || n->builtin->id == B_MAP) {
		ret = collect(r, n, &list, out);
	} else if (each) {
		ret = tallied(r, n, &list, out);
	} else {                                /* count(list): those that are true */
		int64_t hits = 0, len = fl_expr_value_len(&list);
		ret = fl_expr_steps(r, (uint64_t)len);
		for (int64_t i = 0; i < len && !ret; i++) {
			struct fl_expr_value v = fl_expr_value_elem(&list, i);
			ret = v.type == FL_EXPR_BOOL ? 0 : -EINVAL;
			hits += v.type == FL_EXPR_BOOL && v.b;
		}
		*out = (struct fl_expr_value){ FL_EXPR_INT, .i = hits };
	}
	r->nin--;
	return ret;
}

int fl_expr_eval_builtin(struct run *r, const struct node *n, struct fl_expr_value *out)
{
	struct fl_expr_value in[FL_EXPR_ARGS];
	if (n->builtin->predicate)
		return run_predicate(r, n, out);
	for (unsigned i = 0; i < n->n; i++) {
		int ret = fl_expr_eval(r, n->kid[i], &in[i]);
		if (ret)
			return ret;
	}
	return fl_expr_call_builtin(r, n->builtin->id, in, n->n, out);
}

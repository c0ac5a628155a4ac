/* The functions of expr that take values and give one. Case and white space are ASCII's: what is asked of DNS holds nothing else
 * (octets above 126 are escaped). */
#include "lang/expr_int.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static int text(struct fl_expr_value *out, struct fl_str s)
{
	*out = (struct fl_expr_value){ FL_EXPR_STR, .s = s };
	return 0;
}

static int integer(struct fl_expr_value *out, int64_t i)
{
	*out = (struct fl_expr_value){ FL_EXPR_INT, .i = i };
	return 0;
}

static int real(struct fl_expr_value *out, double f)
{
	*out = (struct fl_expr_value){ FL_EXPR_FLOAT, .f = f };
	return 0;
}

static int truth(struct fl_expr_value *out, bool b)
{
	*out = (struct fl_expr_value){ FL_EXPR_BOOL, .b = b };
	return 0;
}

/* ---- numbers ---- */

static int64_t runes(struct fl_str s)
{
	int64_t k = 0;
	for (size_t i = 0; i < s.n; k++)
		i += fl_expr_rune_len((struct fl_str){ s.p + i, s.n - i });
	return k;
}

static int len(const struct fl_expr_value *v, struct fl_expr_value *out)
{
	if (v->type == FL_EXPR_STR)
		return integer(out, runes(v->s));
	return fl_expr_value_is_list(v) || v->type == FL_EXPR_MAP ? integer(out, fl_expr_value_len(v)) : -EINVAL;
}

static int absolute(const struct fl_expr_value *v, struct fl_expr_value *out)
{
	if (v->type == FL_EXPR_INT)
		return integer(out, v->i < 0 ? (int64_t)-(uint64_t)v->i : v->i);
	return v->type == FL_EXPR_FLOAT ? real(out, v->f < 0 ? -v->f : v->f) : -EINVAL;
}

static int rounded(enum builtin_id id, const struct fl_expr_value *v, struct fl_expr_value *out)
{
	if (v->type == FL_EXPR_INT)
		return real(out, (double)v->i);
	if (v->type != FL_EXPR_FLOAT)
		return -EINVAL;
	return real(out, id == B_CEIL ? ceil(v->f) : id == B_FLOOR ? floor(v->f) : round(v->f));
}

static int to_int(const struct fl_expr_value *v, struct fl_expr_value *out)
{
	int64_t i;
	if (v->type == FL_EXPR_STR)
		return fl_parse_int(v->s, INT64_MIN, INT64_MAX, &i) ? -EINVAL : integer(out, i);
	return fl_expr_value_int(v, &i) ? -EINVAL : integer(out, i);
}

static int to_float(const struct fl_expr_value *v, struct fl_expr_value *out)
{
	char copy[64], *end;
	if (v->type == FL_EXPR_INT)
		return real(out, (double)v->i);
	if (v->type == FL_EXPR_FLOAT)
		return real(out, v->f);
	if (v->type != FL_EXPR_STR || !v->s.n || v->s.n >= sizeof copy)
		return -EINVAL;
	*fl_put_bytes(copy, v->s.p, v->s.n) = 0;
	if (strspn(copy, "0123456789.eE+-") != v->s.n)
		return -EINVAL;
	errno = 0;
	double f = strtod(copy, &end);
	return end != copy + v->s.n || (errno == ERANGE && isinf(f)) ? -EINVAL : real(out, f);
}

static int to_string(struct run *r, const struct fl_expr_value *v, struct fl_expr_value *out)
{
	struct fl_str s = v->type == FL_EXPR_STR ? v->s : v->type == FL_EXPR_NIL ? FL_STR("<nil>") :
			  v->type == FL_EXPR_BOOL ? (v->b ? FL_STR("true") : FL_STR("false")) : FL_STR("");
	if (v->type == FL_EXPR_INT) {
		s = fl_arena_printf(r->arena, "%lld", (long long)v->i);
		if (!s.p)
			return -ENOMEM;
	}
	return v->type == FL_EXPR_FLOAT || v->type > FL_EXPR_STR ? -EINVAL : text(out, s);
}

/* The greatest (least) of numbers and of lists of them; depth: that of the literals. */
static int extreme(struct run *r, bool max, const struct fl_expr_value *in, int64_t n, struct fl_expr_value *best)
{
	for (int64_t i = 0; i < n; i++) {
		int ret = fl_expr_steps(r, 1);
		if (!ret && fl_expr_value_is_list(&in[i]))
			for (int64_t k = 0; k < fl_expr_value_len(&in[i]) && !ret; k++) {
				struct fl_expr_value v = fl_expr_value_elem(&in[i], k);
				ret = extreme(r, max, &v, 1, best);
			}
		else if (!ret && in[i].type != FL_EXPR_INT && in[i].type != FL_EXPR_FLOAT)
			ret = -EINVAL;
		else if (!ret && (best->type == FL_EXPR_NIL ||
				  (max ? fl_expr_value_less(best, &in[i]) : fl_expr_value_less(&in[i], best)) == 1))
			*best = in[i];
		if (ret)
			return ret;
	}
	return 0;
}

static int bits(enum builtin_id id, const struct fl_expr_value *in, struct fl_expr_value *out)
{
	int64_t a = in[0].i, b = id == B_BITNOT ? 0 : in[1].i;
	if (in[0].type != FL_EXPR_INT || (id != B_BITNOT && in[1].type != FL_EXPR_INT))
		return -EINVAL;
	bool far = b > 63;
	switch (id) {
	case B_BITAND: return integer(out, a & b);
	case B_BITOR: return integer(out, a | b);
	case B_BITXOR: return integer(out, a ^ b);
	case B_BITNAND: return integer(out, a & ~b);
	case B_BITNOT: return integer(out, ~a);
	case B_BITSHL: return b < 0 ? -EINVAL : integer(out, far ? 0 : (int64_t)((uint64_t)a << b));
	case B_BITSHR: return b < 0 ? -EINVAL : integer(out, a >> (far ? 63 : b));
	default: return b < 0 ? -EINVAL : integer(out, far ? 0 : (int64_t)((uint64_t)a >> b));
	}
}

/* ---- texts ---- */

static struct fl_str trim(struct fl_str s, struct fl_str set)
{
	while (s.n && memchr(set.p, s.p[0], set.n))
		s.p++, s.n--;
	while (s.n && memchr(set.p, s.p[s.n - 1], set.n))
		s.n--;
	return s;
}

static int folded(struct run *r, struct fl_str s, bool up, struct fl_expr_value *out)
{
	char *to = fl_alloc(r->arena, s.n + 1);
	if (!to)
		return -ENOMEM;
	for (size_t i = 0; i < s.n; i++)
		to[i] = up ? (s.p[i] >= 'a' && s.p[i] <= 'z' ? s.p[i] & ~0x20 : s.p[i]) : (char)fl_lower((uint8_t)s.p[i]);
	return text(out, (struct fl_str){ to, s.n });
}

/* Where sep first is in s, or s.n; an empty one is behind the first rune. */
static size_t find(struct fl_str s, struct fl_str sep)
{
	const char *at = sep.n ? s.n ? memmem(s.p, s.n, sep.p, sep.n) : NULL : NULL;
	return at ? (size_t)(at - s.p) : sep.n ? s.n : fl_expr_rune_len(s);
}

/* Go's strings.SplitN and SplitAfterN: at most n parts, n < 0: all. */
static int split(struct run *r, struct fl_str s, struct fl_str sep, int64_t n, bool after, struct fl_expr_value *out)
{
	unsigned k = 0, cap = 0;
	struct fl_expr_value *at = NULL;
	if (!n || (!sep.n && !s.n)) {
		*out = (struct fl_expr_value){ FL_EXPR_LIST };
		return 0;
	}
	for (;;) {
		if (k == cap) {
			cap = cap ? 2 * cap : 8;
			struct fl_expr_value *more = fl_alloc(r->arena, cap * sizeof *more);
			if (!more || fl_expr_steps(r, k + 1))
				return more ? -E2BIG : -ENOMEM;
			fl_put_bytes(more, at, k * sizeof *more);
			at = more;
		}
		size_t cut = find(s, sep);
		if (k == n - 1 || cut + sep.n > s.n || (!sep.n && cut == s.n)) {
			text(&at[k++], s);
			break;
		}
		text(&at[k++], (struct fl_str){ s.p, cut + (after ? sep.n : 0) });
		s.p += cut + sep.n;
		s.n -= cut + sep.n;
	}
	*out = (struct fl_expr_value){ FL_EXPR_LIST, .n = k, .at = at };
	return 0;
}

/* Go's strings.Replace: an empty `old` is before each rune and at the end. Counts first, then writes. */
static int replace(struct run *r, struct fl_str s, struct fl_str old, struct fl_str new, int64_t n, struct fl_expr_value *out)
{
	char *to = NULL;
	size_t size = 0;
	for (unsigned pass = 0; pass < 2; pass++) {
		struct fl_str rest = s;
		size_t k = 0;
		for (int64_t i = 0; n < 0 || i < n; i++) {
			size_t cut = old.n || i ? find(rest, old) : 0;
			if (cut + old.n > rest.n || (!old.n && i && !rest.n))
				break;
			if (pass)
				fl_put_bytes(fl_put_bytes(to + k, rest.p, cut), new.p, new.n);
			else if (fl_expr_steps(r, 1))
				return -E2BIG;
			k += cut + new.n;
			rest.p += cut + old.n;
			rest.n -= cut + old.n;
		}
		if (pass)
			fl_put_bytes(to + k, rest.p, rest.n);
		size = k + rest.n;
		if (!pass && !(to = fl_alloc(r->arena, size + 1)))
			return -ENOMEM;
	}
	return text(out, (struct fl_str){ to, size });
}

static int repeat(struct run *r, struct fl_str s, int64_t n, struct fl_expr_value *out)
{
	if (n < 0 || n > FL_EXPR_RANGE || fl_expr_steps(r, (uint64_t)n))
		return n < 0 ? -EINVAL : -E2BIG;
	char *to = fl_alloc(r->arena, s.n * (size_t)n + 1), *end = to;
	if (!to)
		return -ENOMEM;
	for (int64_t i = 0; i < n; i++)
		end = fl_put_bytes(end, s.p, s.n);
	return text(out, (struct fl_str){ to, s.n * (size_t)n });
}

static int join(struct run *r, const struct fl_expr_value *list, struct fl_str glue, struct fl_expr_value *out)
{
	size_t size = 0;
	int64_t n = fl_expr_value_len(list);
	if (list->type != FL_EXPR_LIST)
		return n ? -EINVAL : text(out, FL_STR(""));
	if (fl_expr_steps(r, (uint64_t)n))
		return -E2BIG;
	for (int64_t i = 0; i < n; i++) {
		if (list->at[i].type != FL_EXPR_STR)
			return -EINVAL;
		size += list->at[i].s.n + glue.n;
	}
	char *to = fl_alloc(r->arena, size + 1), *end = to;
	if (!to)
		return -ENOMEM;
	for (int64_t i = 0; i < n; i++)
		end = fl_put_bytes(fl_put_bytes(end, glue.p, i ? glue.n : 0), list->at[i].s.p, list->at[i].s.n);
	return text(out, (struct fl_str){ to, (size_t)(end - to) });
}

static int64_t index_of(struct fl_str s, struct fl_str part, bool last)
{
	if (part.n > s.n)
		return -1;
	for (size_t i = 0; i <= s.n - part.n; i++) {
		size_t at = last ? s.n - part.n - i : i;
		if (!part.n || !memcmp(s.p + at, part.p, part.n))
			return (int64_t)at;
	}
	return -1;
}

static int texts(struct run *r, enum builtin_id id, const struct fl_expr_value *in, unsigned n, struct fl_expr_value *out)
{
	struct fl_str s = in[0].s, t = n > 1 ? in[1].s : FL_STR(" ");
	int64_t limit = -1;
	unsigned counted = id == B_REPLACE ? 3 : id == B_REPEAT ? 1 : 2;
	for (unsigned i = 0; i < n; i++)
		if (i == counted ? fl_expr_value_int(&in[i], &limit) : in[i].type != FL_EXPR_STR)
			return -EINVAL;
	switch (id) {
	case B_TRIM: return text(out, trim(s, n > 1 ? t : FL_STR(" \t\n\v\f\r")));
	case B_TRIM_PREFIX: return text(out, fl_str_starts(s, t) ? (struct fl_str){ s.p + t.n, s.n - t.n } : s);
	case B_TRIM_SUFFIX: return text(out, fl_str_ends(s, t) ? (struct fl_str){ s.p, s.n - t.n } : s);
	case B_UPPER: case B_LOWER: return folded(r, s, id == B_UPPER, out);
	case B_SPLIT: case B_SPLIT_AFTER: return split(r, s, t, limit, id == B_SPLIT_AFTER, out);
	case B_REPLACE: return replace(r, s, t, in[2].s, limit, out);
	case B_REPEAT: return repeat(r, s, limit, out);
	case B_INDEX_OF: case B_LAST_INDEX_OF: return integer(out, index_of(s, t, id == B_LAST_INDEX_OF));
	default: return truth(out, id == B_HAS_PREFIX ? fl_str_starts(s, t) : fl_str_ends(s, t));
	}
}

/* ---- lists ---- */

/* What is not there is nil, and so is the end of what has no end. */
static int end_of(const struct fl_expr_value *v, bool last, struct fl_expr_value *out)
{
	int64_t n = fl_expr_value_is_list(v) ? fl_expr_value_len(v) : 0;
	*out = n ? fl_expr_value_elem(v, last ? n - 1 : 0) : (struct fl_expr_value){ FL_EXPR_NIL };
	return 0;
}

static int take(const struct fl_expr_value *v, const struct fl_expr_value *n, struct fl_expr_value *out)
{
	if (!fl_expr_value_is_list(v) || n->type != FL_EXPR_INT || n->i < 0)
		return -EINVAL;
	*out = *v;
	if (n->i < fl_expr_value_len(v) && v->type == FL_EXPR_LIST)
		out->n = (unsigned)n->i;
	else if (n->i < fl_expr_value_len(v))
		out->range.hi = v->range.lo + n->i - 1;
	return 0;
}

int fl_expr_call_builtin(struct run *r, enum builtin_id id, const struct fl_expr_value *in, unsigned n, struct fl_expr_value *out)
{
	switch (id) {
	case B_LEN: return len(in, out);
	case B_ABS: return absolute(in, out);
	case B_CEIL: case B_FLOOR: case B_ROUND: return rounded(id, in, out);
	case B_INT: return to_int(in, out);
	case B_FLOAT: return to_float(in, out);
	case B_STRING: return to_string(r, in, out);
	case B_MAX: case B_MIN:
		*out = (struct fl_expr_value){ FL_EXPR_NIL };
		return extreme(r, id == B_MAX, in, n, out);
	case B_FIRST: case B_LAST: return end_of(in, id == B_LAST, out);
	case B_TAKE: return take(&in[0], &in[1], out);
	case B_JOIN:
		if (!fl_expr_value_is_list(&in[0]) || (n > 1 && in[1].type != FL_EXPR_STR))
			return -EINVAL;
		return join(r, &in[0], n > 1 ? in[1].s : FL_STR(""), out);
	case B_BITAND: case B_BITOR: case B_BITXOR: case B_BITNAND: case B_BITSHL: case B_BITSHR: case B_BITUSHR: case B_BITNOT:
		return bits(id, in, out);
	default: return texts(r, id, in, n, out);
	}
}

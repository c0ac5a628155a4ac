/* The functions of templates (text/template/funcs.go), and parseInt, which is CoreDNS's. */
#include "lang/gotmpl_int.h"
#include <errno.h>
#include <inttypes.h>

static const struct func funcs[] = {
	{ "and", F_AND, "v", 'v' }, { "or", F_OR, "v", 'v' }, { "not", F_NOT, "v", 0 }, { "eq", F_EQ, "v", 'v' }, { "ne", F_NE, "vv", 0 },
	{ "lt", F_LT, "vv", 0 }, { "le", F_LE, "vv", 0 }, { "gt", F_GT, "vv", 0 }, { "ge", F_GE, "vv", 0 }, { "len", F_LEN, "v", 0 },
	{ "index", F_INDEX, "v", 'v' }, { "slice", F_SLICE, "v", 'v' }, { "print", F_PRINT, "", 'a' }, { "printf", F_PRINTF, "s", 'a' },
	{ "println", F_PRINTLN, "", 'a' }, { "parseInt", F_PARSE_INT, "sii", 0 }, { "call", F_LATER, "", 0 }, { "html", F_LATER, "", 0 },
	{ "js", F_LATER, "", 0 }, { "urlquery", F_LATER, "", 0 },
};

const struct func *fl_tmpl_func(struct fl_str name)
{
	for (unsigned i = 0; i < FL_COUNT(funcs); i++)
		if (fl_str_is(name, funcs[i].name))
			return &funcs[i];
	return NULL;
}

const char *fl_tmpl_type(const struct fl_tmpl_value *v)
{
	static const char *const usual[] = { "<nil>", "bool", "int", "uint64", "float64", "string", "[]interface {}", "map[string]interface {}",
					     "struct" };
	return v->type ? v->type : usual[v->kind];
}

/* Behind a pointer. */
static const char *pointed(const struct fl_tmpl_value *v)
{
	const char *type = fl_tmpl_type(v);
	return type + (type[0] == '*');
}

bool fl_tmpl_true(const struct fl_tmpl_value *v)
{
	switch (v->kind) {
	case FL_TMPL_NONE: return false;
	case FL_TMPL_BOOL: return v->b;
	case FL_TMPL_INT: case FL_TMPL_UINT: return v->u != 0;
	case FL_TMPL_FLOAT: return v->f != 0;
	case FL_TMPL_STR: return v->s.n > 0;
	case FL_TMPL_OBJECT: return true;
	default: return v->n > 0;
	}
}

/* ---- comparing ---- */

static bool basic(const struct fl_tmpl_value *v) { return v->kind >= FL_TMPL_BOOL && v->kind <= FL_TMPL_STR; }
static bool whole(const struct fl_tmpl_value *v) { return v->kind == FL_TMPL_INT || v->kind == FL_TMPL_UINT; }

static int order(const struct fl_tmpl_value *a, const struct fl_tmpl_value *b)
{
	if (a->kind == FL_TMPL_FLOAT)
		return (a->f > b->f) - (a->f < b->f);
	if (a->kind == FL_TMPL_STR) {
		size_t n = a->s.n < b->s.n ? a->s.n : b->s.n;
		int d = n ? memcmp(a->s.p, b->s.p, n) : 0;
		return d ? d : (a->s.n > b->s.n) - (a->s.n < b->s.n);
	}
	if (a->kind == FL_TMPL_INT && (a->i < 0 || b->kind == FL_TMPL_INT))
		return b->kind != FL_TMPL_INT ? -1 : (a->i > b->i) - (a->i < b->i);
	if (b->kind == FL_TMPL_INT && b->i < 0)
		return 1;
	return (a->u > b->u) - (a->u < b->u);
}

/* 1, 0, or -EINVAL. */
static int equal(const struct fl_tmpl_value *a, const struct fl_tmpl_value *b, struct fl_err *e)
{
	if (a->kind == b->kind || (whole(a) && whole(b))) {
		if (a->kind == FL_TMPL_BOOL)
			return a->b == b->b;
		if (basic(a))
			return a->kind == FL_TMPL_FLOAT ? a->f == b->f : !order(a, b);
		return a->kind == FL_TMPL_NONE ? 1 : fl_err_set(e, "non-comparable types %s, %s", fl_tmpl_type(a), fl_tmpl_type(b));
	}
	if (a->kind == FL_TMPL_NONE || b->kind == FL_TMPL_NONE)
		return 0;
	return fl_err_set(e, "incompatible types for comparison: %s and %s", fl_tmpl_type(a), fl_tmpl_type(b));
}

static int eq(const struct fl_tmpl_value *in, unsigned n, struct fl_err *e)
{
	if (n < 2)
		return fl_err_set(e, "missing argument for comparison");
	for (unsigned i = 1; i < n; i++) {
		int ret = equal(&in[0], &in[i], e);
		if (ret)
			return ret;
	}
	return 0;
}

static int less(const struct fl_tmpl_value *a, const struct fl_tmpl_value *b, struct fl_err *e)
{
	if (!basic(a) || !basic(b))
		return fl_err_set(e, "invalid type for comparison");
	if (a->kind != b->kind && !(whole(a) && whole(b)))
		return fl_err_set(e, "incompatible types for comparison: %s and %s", fl_tmpl_type(a), fl_tmpl_type(b));
	return a->kind == FL_TMPL_BOOL ? fl_err_set(e, "invalid type for comparison") : a->kind == FL_TMPL_FLOAT ? a->f < b->f : order(a, b) < 0;
}

static int compare(enum func_id id, const struct fl_tmpl_value *in, unsigned n, struct fl_err *e)
{
	int ret;
	switch (id) {
	case F_EQ: return eq(in, n, e);
	case F_NE: ret = eq(in, n, e); return ret < 0 ? ret : !ret;
	case F_LT: return less(&in[0], &in[1], e);
	default: break;
	}
	ret = less(&in[0], &in[1], e);                  /* le and gt; ge is not lt */
	if (ret < 0 || id == F_GE)
		return ret < 0 ? ret : !ret;
	if (!ret)
		ret = equal(&in[0], &in[1], e);
	return ret < 0 ? ret : ret == (id == F_LE);
}

/* ---- containers ---- */

static int offset(const struct fl_tmpl_value *i, size_t cap, size_t *out, struct fl_err *e)
{
	if (i->kind == FL_TMPL_NONE)
		return fl_err_set(e, "cannot index slice/array with nil");
	if (!whole(i))
		return fl_err_set(e, "cannot index slice/array with type %s", fl_tmpl_type(i));
	if (i->i < 0 || i->u > cap)
		return fl_err_set(e, "index out of range: %" PRId64, i->i);
	*out = (size_t)i->u;
	return 0;
}

/* A key that a map has not: the zero of what is in it. */
static struct fl_tmpl_value zero_of(const struct fl_tmpl_value *map)
{
	if (!strcmp(fl_tmpl_type(map), "map[string]string"))
		return (struct fl_tmpl_value){ .kind = FL_TMPL_STR, .s = FL_STR("") };
	return (struct fl_tmpl_value){ FL_TMPL_NONE };
}

static int in_map(struct fl_tmpl_value *v, const struct fl_tmpl_value *key, struct fl_err *e)
{
	if (key->kind == FL_TMPL_NONE)
		return fl_err_set(e, "value is nil; should be of type string");
	if (key->kind != FL_TMPL_STR)
		return fl_err_set(e, "value has type %s; should be string", fl_tmpl_type(key));
	struct fl_tmpl_value got = zero_of(v);
	for (unsigned i = 0; i < v->n; i++)
		if (fl_str_eq(v->at[2 * i].s, key->s))
			got = v->at[2 * i + 1];
	*v = got;
	return 0;
}

static int indexed(const struct fl_tmpl_value *in, unsigned n, struct fl_tmpl_value *out, struct fl_err *e)
{
	size_t at = 0;
	*out = in[0];
	if (out->kind == FL_TMPL_NONE)
		return fl_err_set(e, "index of untyped nil");
	for (unsigned i = 1; i < n; i++) {
		int ret = 0;
		size_t len = out->kind == FL_TMPL_STR ? out->s.n : out->n;
		if (out->kind == FL_TMPL_MAP)
			ret = in_map(out, &in[i], e);
		else if (out->kind == FL_TMPL_NONE)
			ret = fl_err_set(e, "index of nil pointer");
		else if (out->kind != FL_TMPL_LIST && out->kind != FL_TMPL_STR)
			ret = fl_err_set(e, "can't index item of type %s", pointed(out));
		else if (!(ret = offset(&in[i], len, &at, e)))
			ret = at == len ? fl_err_set(e, "reflect: %s index out of range", out->kind == FL_TMPL_STR ? "string" : "slice") : 0;
		if (ret)
			return ret;
		if (out->kind == FL_TMPL_STR && in[i].kind != FL_TMPL_STR)
			*out = (struct fl_tmpl_value){ .kind = FL_TMPL_UINT, .u = (uint8_t)out->s.p[at], .type = "uint8" };
		else if (out->kind == FL_TMPL_LIST)
			*out = out->at[at];
	}
	return 0;
}

static int sliced(const struct fl_tmpl_value *in, unsigned n, struct fl_tmpl_value *out, struct fl_err *e)
{
	bool text = in[0].kind == FL_TMPL_STR;
	size_t len = text ? in[0].s.n : in[0].n, at[3] = { 0, len, len };
	*out = in[0];
	if (in[0].kind == FL_TMPL_NONE)
		return fl_err_set(e, "slice of untyped nil");
	if (n > 4)
		return fl_err_set(e, "too many slice indexes: %u", n - 1);
	if (!text && in[0].kind != FL_TMPL_LIST)
		return fl_err_set(e, "can't slice item of type %s", pointed(&in[0]));
	if (text && n == 4)
		return fl_err_set(e, "cannot 3-index slice a string");
	for (unsigned i = 1; i < n; i++) {
		int ret = offset(&in[i], len, &at[i - 1], e);
		if (ret)
			return ret;
	}
	for (unsigned i = 0; i < 2; i++)
		if (at[i] > at[i + 1])
			return fl_err_set(e, "invalid slice index: %zu > %zu", at[i], at[i + 1]);
	if (text) {
		out->s = (struct fl_str){ in[0].s.p + at[0], at[1] - at[0] };
	} else {
		out->at = in[0].at + at[0];
		out->n = (unsigned)(at[1] - at[0]);
	}
	return 0;
}

static int length(const struct fl_tmpl_value *v, struct fl_tmpl_value *out, struct fl_err *e)
{
	if (v->kind != FL_TMPL_STR && v->kind != FL_TMPL_LIST && v->kind != FL_TMPL_MAP)
		return v->kind == FL_TMPL_NONE ? fl_err_set(e, "reflect: call of reflect.Value.Type on zero Value") :
		       fl_err_set(e, "len of type %s", pointed(v));
	*out = (struct fl_tmpl_value){ .kind = FL_TMPL_INT, .i = v->kind == FL_TMPL_STR ? (int64_t)v->s.n : v->n };
	return 0;
}

/* ---- parseInt: strconv.ParseUint ---- */

static int parse_uint(struct fl_str s, int64_t base, int64_t bits, uint64_t *v, struct fl_err *e)
{
	struct fl_str all = s;
	const char *bad = "invalid syntax";
	*v = 0;
	if (!s.n)
		goto out;
	if (base != 0 && (base < 2 || base > 36))
		return fl_err_set(e, "strconv.ParseUint: parsing \"%.*s\": invalid base %" PRId64, FL_FMT(all), base);
	bool free_base = !base;
	if (free_base) {
		char c = s.n >= 3 && s.p[0] == '0' ? (char)(s.p[1] | 0x20) : 0;
		base = c == 'x' ? 16 : c == 'b' ? 2 : c == 'o' || s.p[0] == '0' ? 8 : 10;
		size_t skip = c == 'x' || c == 'b' || c == 'o' ? 2 : s.p[0] == '0';
		s = (struct fl_str){ s.p + skip, s.n - skip };
	}
	if (bits < 0 || bits > 64)
		return fl_err_set(e, "strconv.ParseUint: parsing \"%.*s\": invalid bit size %" PRId64, FL_FMT(all), bits);
	uint64_t max = bits && bits < 64 ? (1ull << bits) - 1 : UINT64_MAX;
	bool over = false;
	for (size_t i = 0; i < s.n; i++) {
		char c = (char)fl_lower((uint8_t)s.p[i]);
		int d = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'z' ? c - 'a' + 10 : 99;
		if (c == '_' && free_base)
			continue;
		if (d >= base)
			goto out;
		over |= *v > (max - (uint64_t)d) / (uint64_t)base || (uint64_t)d > max;
		*v = *v * (uint64_t)base + (uint64_t)d;
	}
	if (!over)
		return 0;
	bad = "value out of range";
out:
	return fl_err_set(e, "strconv.ParseUint: parsing \"%.*s\": %s", FL_FMT(all), bad);
}

/* ---- */

int fl_tmpl_call(struct trun *r, const struct func *f, const struct fl_tmpl_value *in, unsigned n, struct fl_tmpl_value *out, struct fl_err *why)
{
	struct fl_tmpl_value v = { .kind = FL_TMPL_STR };
	int ret;
	switch (f->id) {
	case F_NOT: ret = !fl_tmpl_true(&in[0]); break;
	case F_LEN: return length(&in[0], out, why);
	case F_INDEX: return indexed(in, n, out, why);
	case F_SLICE: return sliced(in, n, out, why);
	case F_PARSE_INT:
		v.kind = FL_TMPL_UINT;
		ret = parse_uint(in[0].s, in[1].i, in[2].i, &v.u, why);
		*out = v;
		return ret;
	case F_PRINT: case F_PRINTLN: case F_PRINTF:
		ret = f->id == F_PRINTF ? fl_tmpl_printf(r, in[0].s, in + 1, n - 1, &v.s) :
					  fl_tmpl_print(r, in, n, f->id == F_PRINTLN, &v.s);
		*out = v;
		return ret == -ENOTSUP ? fl_err_set(why, "printing this is not supported yet") :
		       ret == -EFBIG ? fl_err_set(why, "more than %d bytes", FL_TMPL_OUT) : ret;
	default: ret = compare(f->id, in, n, why);
	}
	*out = (struct fl_tmpl_value){ .kind = FL_TMPL_BOOL, .b = ret == 1 };
	return ret < 0 ? ret : 0;
}

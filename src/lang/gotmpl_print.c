/* How Go's fmt prints what templates hold: %v, and Printf's verbs. */
#include "lang/gotmpl_int.h"
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* A text that grows in the arena, at most FL_TMPL_OUT. */
struct buf { struct fl_arena *a; char *p; size_t n, cap; int ret; };

static void put(struct buf *b, const char *p, size_t n)
{
	if (!b->ret && n > FL_TMPL_OUT - b->n)
		b->ret = -EFBIG;
	if (!b->ret && b->n + n + 1 > b->cap) {
		size_t cap = 2 * (b->n + n) + 64;
		char *to = fl_alloc(b->a, cap);
		if (to) {
			fl_put_bytes(to, b->p, b->n);
			b->p = to;
			b->cap = cap;
		} else {
			b->ret = -ENOMEM;
		}
	}
	if (!b->ret)
		b->n = (size_t)(fl_put_bytes(b->p + b->n, p, n) - b->p);
}

static void put_str(struct buf *b, const char *z) { put(b, z, strlen(z)); }

static int done(struct buf *b, struct fl_str *out)
{
	put(b, "", 0);
	*out = (struct fl_str){ b->p, b->n };
	return b->ret;
}

/* The shortest that reads back as the same (strconv 'g', precision -1). */
static void shortest(char to[40], double f)
{
	int64_t exp = 0;
	int prec = 0;
	if (isnan(f) || isinf(f)) {
		stpcpy(to, isnan(f) ? "NaN" : f > 0 ? "+Inf" : "-Inf");
		return;
	}
	for (; prec < 17; prec++) {
		snprintf(to, 40, "%.*e", prec, f);
		if (strtod(to, NULL) == f)
			break;
	}
	const char *e = strchr(to, 'e');
	if (e)
		fl_parse_int(fl_str(e + 1), INT16_MIN, INT16_MAX, &exp);
	if (exp >= -4 && exp < 6)
		snprintf(to, 40, "%.*f", prec > exp ? prec - (int)exp : 0, f);
}

static void value(struct buf *b, const struct fl_tmpl_value *v, unsigned nest);

static void elements(struct buf *b, const struct fl_tmpl_value *v, unsigned nest)
{
	bool map = v->kind == FL_TMPL_MAP;
	put_str(b, map ? "map[" : "[");
	for (unsigned i = 0; i < v->n; i++) {
		put(b, " ", i > 0);
		value(b, &v->at[map ? 2 * i : i], nest + 1);
		if (map) {
			put(b, ":", 1);
			value(b, &v->at[2 * i + 1], nest + 1);
		}
	}
	put(b, "]", 1);
}

static void value(struct buf *b, const struct fl_tmpl_value *v, unsigned nest)
{
	char text[40];
	if (nest > FL_TMPL_NEST || b->ret)
		return;
	switch (v->kind) {
	case FL_TMPL_NONE: put_str(b, "<nil>"); return;
	case FL_TMPL_BOOL: put_str(b, v->b ? "true" : "false"); return;
	case FL_TMPL_STR: put(b, v->s.p, v->s.n); return;
	case FL_TMPL_LIST: case FL_TMPL_MAP: elements(b, v, nest); return;
	case FL_TMPL_OBJECT: b->ret = -ENOTSUP; return;
	case FL_TMPL_INT: snprintf(text, sizeof text, "%" PRId64, v->i); break;
	case FL_TMPL_UINT: snprintf(text, sizeof text, "%" PRIu64, v->u); break;
	case FL_TMPL_FLOAT: shortest(text, v->f); break;
	}
	put_str(b, text);
}

int fl_tmpl_text(struct trun *r, const struct fl_tmpl_value *v, struct fl_str *out)
{
	struct buf b = { .a = r->arena };
	if (v->kind == FL_TMPL_STR) {
		*out = v->s;
		return 0;
	}
	value(&b, v, 0);
	return done(&b, out);
}

/* A space between two of which neither is a text; Println: always, and a line's end. */
int fl_tmpl_print(struct trun *r, const struct fl_tmpl_value *in, unsigned n, bool line, struct fl_str *out)
{
	struct buf b = { .a = r->arena };
	for (unsigned i = 0; i < n; i++) {
		if (i && (line || (in[i].kind != FL_TMPL_STR && in[i - 1].kind != FL_TMPL_STR)))
			put(&b, " ", 1);
		value(&b, &in[i], 0);
	}
	put(&b, "\n", line);
	return done(&b, out);
}

/* ---- Printf ---- */

struct spec { bool minus, plus, sharp, space, zero, has_width, has_prec; int width, prec; char verb; };

static size_t runes(const char *p, size_t n)
{
	size_t k = 0;
	for (size_t i = 0; i < n; i++)
		k += ((uint8_t)p[i] & 0xc0) != 0x80;
	return k;
}

static void pad(struct buf *b, const struct spec *s, const char *p, size_t n)
{
	size_t len = runes(p, n), fill = s->has_width && (size_t)s->width > len ? (size_t)s->width - len : 0;
	for (size_t i = 0; i < fill && !s->minus; i++)
		put(b, s->zero ? "0" : " ", 1);
	put(b, p, n);
	for (size_t i = 0; i < fill && s->minus; i++)
		put(b, " ", 1);
}

/* strconv.Quote, for what is UTF-8. */
static void quote(struct buf *b, struct fl_str s)
{
	static const char from[] = "\a\b\f\n\r\t\v\\\"", as[] = "abfnrtv\\\"";
	char hex[8];
	put(b, "\"", 1);
	for (size_t i = 0; i < s.n; i++) {
		const char *at = s.p[i] ? strchr(from, s.p[i]) : NULL;
		uint8_t c = (uint8_t)s.p[i];
		if (at) {
			put(b, (char[]){ '\\', as[at - from] }, 2);
		} else if (c < 0x20 || c == 0x7f) {
			snprintf(hex, sizeof hex, "\\x%02x", c);
			put_str(b, hex);
		} else {
			put(b, s.p + i, 1);
		}
	}
	put(b, "\"", 1);
}

static void integer(struct buf *b, const struct spec *s, const struct fl_tmpl_value *v)
{
	char digits[200], all[210];
	bool minus = v->kind == FL_TMPL_INT && v->i < 0;
	uint64_t u = minus ? -v->u : v->u;
	unsigned base = s->verb == 'b' ? 2 : s->verb == 'o' || s->verb == 'O' ? 8 : s->verb == 'x' || s->verb == 'X' ? 16 : 10, n = 0;
	int prec = s->has_prec ? s->prec : s->zero && s->has_width && !s->minus ? s->width - (minus || s->plus || s->space) : 1;
	prec = prec > 150 ? 150 : prec;
	do
		digits[n++] = (s->verb == 'X' ? "0123456789ABCDEF" : "0123456789abcdef")[u % base];
	while (u /= base);
	while ((int)n < prec)
		digits[n++] = '0';
	if (s->has_prec && !s->prec && !v->u)
		n = 0;
	unsigned k = 0;
	if (minus || s->plus || s->space)
		all[k++] = minus ? '-' : s->plus ? '+' : ' ';
	if (s->verb == 'O' || (s->sharp && base != 10)) {
		all[k++] = '0';
		if (s->verb != 'o')
			all[k++] = s->verb == 'O' ? 'o' : s->verb;
	}
	while (n)
		all[k++] = digits[--n];
	struct spec out = *s;
	out.zero = false;
	pad(b, &out, all, k);
}

static void floating(struct buf *b, const struct spec *s, double f)
{
	char text[400], fmt[16], conv = s->verb == 'v' ? 'g' : s->verb;
	if (!s->has_prec && (conv == 'g' || conv == 'G')) {
		shortest(text, f);
	} else {
		snprintf(fmt, sizeof fmt, "%%.*%c", conv == 'F' ? 'f' : conv);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(text, sizeof text, fmt, s->has_prec ? s->prec > 50 ? 50 : s->prec : 6, f);
#pragma GCC diagnostic pop
	}
	struct buf t = { .a = b->a };
	if (s->plus && text[0] != '-' && text[0] != '+')
		put(&t, "+", 1);
	put_str(&t, text);
	pad(b, s, t.p, t.n);
	b->ret = b->ret ? b->ret : t.ret;
}

static void string(struct buf *b, const struct spec *s, struct fl_str v)
{
	static const char lower[] = "0123456789abcdef", upper[] = "0123456789ABCDEF";
	struct buf t = { .a = b->a };
	if (s->has_prec && s->verb != 'x' && s->verb != 'X') {
		size_t n = 0;
		for (int k = 0; n < v.n; n++)
			if (((uint8_t)v.p[n] & 0xc0) != 0x80 && k++ == s->prec)
				break;
		v.n = n;
	}
	if (s->verb == 'x' || s->verb == 'X')
		for (size_t i = 0; i < v.n; i++) {
			const char *d = s->verb == 'x' ? lower : upper;
			put(&t, (char[]){ d[(uint8_t)v.p[i] >> 4], d[v.p[i] & 15] }, 2);
		}
	else if (s->verb == 'q')
		quote(&t, v);
	else
		put(&t, v.p, v.n);
	pad(b, s, t.p, t.n);
	b->ret = b->ret ? b->ret : t.ret;
}

static void bad_verb(struct buf *b, char verb, const struct fl_tmpl_value *v)
{
	put(b, (char[]){ '%', '!', verb, '(' }, 4);
	if (v->kind != FL_TMPL_NONE) {
		put_str(b, fl_tmpl_type(v));
		put(b, "=", 1);
	}
	value(b, v, 0);
	put(b, ")", 1);
}

static void verb(struct buf *b, const struct spec *s, const struct fl_tmpl_value *v)
{
	struct buf t = { .a = b->a };
	char c = s->verb;
	bool any = c == 'v';
	if (c == 'T') {
		put_str(&t, fl_tmpl_type(v));
	} else if ((v->kind == FL_TMPL_LIST) && !any) {         /* each by itself */
		put(b, "[", 1);
		for (unsigned i = 0; i < v->n && !b->ret; i++) {
			put(b, " ", i > 0);
			if (v->at[i].kind == FL_TMPL_NONE)
				put_str(b, "<nil>");
			else if (v->at[i].kind < FL_TMPL_LIST)
				verb(b, s, &v->at[i]);
			else
				b->ret = -ENOTSUP;
		}
		put(b, "]", 1);
		return;
	} else if (v->kind == FL_TMPL_BOOL && (any || c == 't')) {
		put_str(&t, v->b ? "true" : "false");
	} else if ((v->kind == FL_TMPL_INT || v->kind == FL_TMPL_UINT) && (any || (c && strchr("dbxXoO", c)))) {
		integer(b, s, v);
		return;
	} else if ((v->kind == FL_TMPL_INT || v->kind == FL_TMPL_UINT) && c == 'c') {
		char rune[4];
		put(&t, rune, fl_tmpl_rune_put(rune, v->u > 0x10ffff ? 0xfffd : (uint32_t)v->u));
	} else if (v->kind == FL_TMPL_FLOAT && (any || (c && strchr("eEfFgG", c)))) {
		floating(b, s, v->f);
		return;
	} else if (v->kind == FL_TMPL_STR && (any || (c && strchr("sqxX", c)))) {
		string(b, s, v->s);
		return;
	} else if (any || v->kind == FL_TMPL_OBJECT || v->kind == FL_TMPL_MAP) {
		if (!any)
			t.ret = -ENOTSUP;
		value(&t, v, 0);
	} else {
		bad_verb(b, c, v);
		return;
	}
	pad(b, s, t.p, t.n);
	b->ret = b->ret ? b->ret : t.ret;
}

static int digits(const char **p, const char *end)
{
	int v = 0;
	while (*p < end && **p >= '0' && **p <= '9' && v < 100000)
		v = v * 10 + (*(*p)++ - '0');
	return v > 10000 ? 10000 : v;
}

static const char *flags(const char *p, const char *end, struct spec *s)
{
	for (; p < end; p++) {
		if (*p == '-')
			s->minus = true;
		else if (*p == '+')
			s->plus = true;
		else if (*p == '#')
			s->sharp = true;
		else if (*p == ' ')
			s->space = true;
		else if (*p == '0')
			s->zero = true;
		else
			break;
	}
	s->zero &= !s->minus;
	return p;
}

int fl_tmpl_printf(struct trun *r, struct fl_str format, const struct fl_tmpl_value *in, unsigned n, struct fl_str *out)
{
	struct buf b = { .a = r->arena };
	const char *p = format.p, *end = format.p + format.n;
	unsigned i = 0;
	while (p < end && !b.ret) {
		struct spec s = { 0 };
		const char *percent = memchr(p, '%', (size_t)(end - p));
		put(&b, p, (size_t)((percent ? percent : end) - p));
		if (!percent)
			break;
		p = flags(percent + 1, end, &s);
		s.has_width = p < end && *p >= '0' && *p <= '9';
		s.width = digits(&p, end);
		if (p < end && *p == '.') {
			p++;
			s.has_prec = true;
			s.prec = digits(&p, end);
		}
		if (p < end && (*p == '*' || *p == '['))
			return -ENOTSUP;
		s.verb = p < end ? *p++ : 0;
		if (!s.verb)
			put_str(&b, "%!(NOVERB)");
		else if (s.verb == '%')
			put(&b, "%", 1);
		else if (i == n) {
			put(&b, (char[]){ '%', '!', s.verb }, 3);
			put_str(&b, "(MISSING)");
		} else if ((s.sharp && s.verb == 'v') || (s.plus && (s.verb == 'v' || s.verb == 'q')))
			return -ENOTSUP;
		else
			verb(&b, &s, &in[i++]);
	}
	for (unsigned k = i; k < n && !b.ret; k++) {
		put_str(&b, k == i ? "%!(EXTRA " : ", ");
		put_str(&b, fl_tmpl_type(&in[k]));
		if (in[k].kind != FL_TMPL_NONE) {
			put(&b, "=", 1);
			value(&b, &in[k], 0);
		}
		put(&b, ")", k + 1 == n);
	}
	return done(&b, out);
}

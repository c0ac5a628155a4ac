/* The gate of regex.h: Go's syntax in, PCRE2's out. What it lets through has one meaning in both; errors that PCRE2 finds by itself
 * (unbalanced classes and the like) are left to it. */
#include "lang/regex.h"
#include "base/mem.h"
#include <stdio.h>
#include <stdlib.h>

enum { DEPTH = 250 };

struct gate {
	struct fl_str in;
	size_t at;
	char *out;
	size_t n, cap;
	struct fl_err *e;
	bool repeatable, repeated;      /* something stands before; it has a repeat already */
	unsigned depth, factor[DEPTH];  /* repeats of repeats, by open group: the largest product inside */
	unsigned last;                  /* product of what stands directly before */
};

static void put(struct gate *g, const char *p, size_t n)
{
	if (g->n + n > g->cap) {
		g->cap = 2 * (g->n + n) + 64;
		g->out = fl_xrealloc(g->out, g->cap);
	}
	fl_put_bytes(g->out + g->n, p, n);
	g->n += n;
}

static void puts_(struct gate *g, const char *z) { put(g, z, strlen(z)); }

static bool fail(struct gate *g, const char *what, size_t from)
{
	fl_err_set(g->e, "error parsing regexp: %s: `%.*s`", what, (int)(g->at - from), g->in.p + from);
	return false;
}

static int peek(const struct gate *g, size_t ahead) { return g->at + ahead < g->in.n ? (unsigned char)g->in.p[g->at + ahead] : -1; }
static bool digit(int c) { return c >= '0' && c <= '9'; }
static bool letter(int c) { return (c | 0x20) >= 'a' && (c | 0x20) <= 'z'; }

static void atom(struct gate *g, unsigned factor)
{
	g->repeatable = true;
	g->repeated = false;
	g->last = factor;
}

/* ---- escapes ---- */

static bool octal(struct gate *g)
{
	size_t from = g->at;
	unsigned v = 0;
	g->at++;
	if (peek(g, 0) != '0' && (peek(g, 1) < '0' || peek(g, 1) > '7')) {
		g->at++;                        /* a back-reference */
		return fail(g, "invalid escape sequence", from);
	}
	for (int i = 0; i < 3 && peek(g, 0) >= '0' && peek(g, 0) <= '7'; i++)
		v = v * 8 + (unsigned)(peek(g, 0) - '0'), g->at++;
	char text[16];
	put(g, text, (size_t)snprintf(text, sizeof text, "\\x{%x}", v));
	return true;
}

/* \pN \p{Greek} \p{^Greek}: the same in both. */
static bool property(struct gate *g)
{
	size_t from = g->at;
	g->at += 2;
	if (peek(g, 0) == '{')
		while (peek(g, 0) >= 0 && peek(g, 0) != '}')
			g->at++;
	if (peek(g, 0) < 0)
		return fail(g, "invalid character class range", from);
	g->at++;
	put(g, g->in.p + from, g->at - from);
	return true;
}

static bool hex(struct gate *g)
{
	size_t from = g->at;
	unsigned long v = 0;
	unsigned digits = 0;
	g->at += 2;
	bool braces = peek(g, 0) == '{';
	g->at += braces;
	for (; digits < (braces ? 8 : 2) && peek(g, 0) >= 0 && strchr("0123456789abcdefABCDEF", peek(g, 0)); digits++, g->at++) {
		int c = peek(g, 0) | 0x20;
		v = v * 16 + (unsigned)(digit(c) ? c - '0' : c - 'a' + 10);
	}
	if (!digits || (!braces && digits != 2) || (braces && peek(g, 0) != '}') || v > 0x10ffff) {
		g->at += peek(g, 0) >= 0;
		return fail(g, "invalid escape sequence", from);
	}
	g->at += braces;
	char text[16];
	put(g, text, (size_t)snprintf(text, sizeof text, "\\x{%lx}", v));
	return true;
}

/* At a backslash, outside \Q…\E. */
static bool escape(struct gate *g, bool in_class)
{
	size_t from = g->at;
	int c = peek(g, 1);
	if (c < 0) {
		g->at++;
		fl_err_set(g->e, "error parsing regexp: trailing backslash at end of expression: ``");
		return false;
	}
	if (c >= '0' && c <= '7')
		return octal(g);
	if (c == 'p' || c == 'P')
		return property(g);
	if (c == 'x')
		return hex(g);
	g->at += 2;
	if (c == 'v')
		puts_(g, "\\x0b");
	else if (c == 's')
		puts_(g, in_class ? "\\t\\n\\f\\r " : "[\\t\\n\\f\\r ]");
	else if (c == 'S' && !in_class)
		puts_(g, "[^\\t\\n\\f\\r ]");
	else if ((!letter(c) && !digit(c)) || strchr(in_class ? "dDwWSaftnr" : "AbBzdDwWaftnr", c))
		put(g, g->in.p + from, 2);
	else
		return fail(g, "invalid escape sequence", from);
	return true;
}

/* ---- classes ---- */

static bool class_(struct gate *g)
{
	size_t from = g->at++;
	puts_(g, "[");
	if (peek(g, 0) == '^')
		puts_(g, "^"), g->at++;
	for (bool first = true; first || peek(g, 0) != ']'; first = false) {
		int c = peek(g, 0);
		if (c < 0) {
			g->at = g->in.n;
			return fail(g, "missing closing ]", from);
		}
		if (c == '\\') {
			if (!escape(g, true))
				return false;
		} else if (c == '[' && peek(g, 1) == ':' && strstr(g->in.p + g->at + 2, ":]")) {
			size_t len = (size_t)(strstr(g->in.p + g->at + 2, ":]") - g->in.p) + 2 - g->at;
			put(g, g->in.p + g->at, len);
			g->at += len;
		} else {
			if (c == '[' || (c == ']' && first))
				puts_(g, "\\");
			put(g, g->in.p + g->at++, 1);
		}
	}
	puts_(g, "]");
	g->at++;
	atom(g, 1);
	return true;
}

/* ---- repeats ---- */

/* {n} {n,} {n,m} at the brace: 1 and the largest count, 0: it is no repeat, -1: too many. */
static int counts(struct gate *g, size_t *len, unsigned *most)
{
	unsigned v[2] = { 0 }, n = 0;
	size_t i = 1;
	for (; n < 2; n++) {
		size_t start = i;
		for (; digit(peek(g, i)); i++)
			v[n] = v[n] > FL_REGEX_REPEAT ? v[n] : v[n] * 10 + (unsigned)(peek(g, i) - '0');
		if (start == i && n == 0)
			return 0;
		if (start == i)
			v[1] = v[0];
		if (n == 0 && peek(g, i) != ',')
			break;
		i += n == 0;
	}
	if (peek(g, i) != '}')
		return 0;
	*len = i + 1;
	*most = n && v[1] > v[0] ? v[1] : v[0];
	return v[0] > FL_REGEX_REPEAT || (n && (v[1] > FL_REGEX_REPEAT || v[1] < v[0])) ? -1 : 1;
}

static bool repeat(struct gate *g)
{
	size_t from = g->at, len = 1;
	unsigned most = 1;
	if (peek(g, 0) == '{') {
		int kind = counts(g, &len, &most);
		if (!kind) {                            /* a brace like any other letter */
			puts_(g, "\\{");
			g->at++;
			atom(g, 1);
			return true;
		}
		if (kind < 0) {
			g->at += len;
			return fail(g, "invalid repeat count", from);
		}
	}
	g->at += len;
	if (!g->repeatable)
		return fail(g, "missing argument to repetition operator", from);
	if (g->repeated)
		return fail(g, "invalid nested repetition operator", from - 1);
	if (most > 1 && g->last * most > FL_REGEX_REPEAT)
		return fail(g, "invalid repeat count", from);
	put(g, g->in.p + from, len);
	if (peek(g, 0) == '?')
		puts_(g, "?"), g->at++;
	g->repeated = true;
	if (most > 1)
		g->last *= most;
	return true;
}

/* ---- groups ---- */

static bool named(struct gate *g, size_t from)
{
	size_t start = g->at, n = 0;
	while (letter(peek(g, n)) || digit(peek(g, n)) || peek(g, n) == '_')
		n++;
	if (!n || n > 32 || peek(g, n) != '>') {
		g->at += n + (peek(g, n) >= 0);
		return fail(g, "invalid named capture", from);
	}
	puts_(g, "(?P<");
	if (digit(peek(g, 0)))
		puts_(g, "_");                  /* Go lets a name begin with a digit; fl_regex_group() knows */
	put(g, g->in.p + start, n);
	puts_(g, ">");
	g->at += n + 1;
	return true;
}

/* (?i) (?i:  (?s-m:  : only i, m, s and U. */
static bool flags(struct gate *g, size_t from, bool *opens)
{
	size_t start = g->at;
	bool any = false, minus = false;
	for (;; g->at++) {
		int c = peek(g, 0);
		if (c == ':' || c == ')')
			break;
		if (c == '-' && !minus)
			minus = true, any = false;
		else if (c > 0 && strchr("imsU", c))
			any = true;
		else {
			g->at += c >= 0;
			return fail(g, c < 0 ? "missing argument to repetition operator" : "invalid or unsupported Perl syntax", from);
		}
	}
	*opens = peek(g, 0) == ':';
	g->at++;
	if (minus && !any)
		return fail(g, "invalid or unsupported Perl syntax", from);
	puts_(g, "(?");
	put(g, g->in.p + start, g->at - start);
	return true;
}

static bool open_(struct gate *g)
{
	size_t from = g->at;
	bool opens = true;
	if (peek(g, 1) == '*') {
		g->at += 2;
		return fail(g, "missing argument to repetition operator", from + 1);
	}
	if (peek(g, 1) != '?') {
		g->at++;
		puts_(g, "(");
	} else if ((peek(g, 2) == 'P' && peek(g, 3) == '<') || (peek(g, 2) == '<' && peek(g, 3) != '=' && peek(g, 3) != '!')) {
		g->at += peek(g, 2) == 'P' ? 4 : 3;
		if (!named(g, from))
			return false;
	} else {
		g->at += 2;
		if (!flags(g, from, &opens))
			return false;
	}
	g->repeatable = g->repeated = false;
	if (!opens)
		return true;
	if (g->depth + 1 == DEPTH)
		return fail(g, "expression nests too deeply", from);
	g->factor[++g->depth] = 1;
	return true;
}

static bool close_(struct gate *g)
{
	g->at++;
	if (!g->depth) {
		fl_err_set(g->e, "error parsing regexp: unexpected ): `%.*s`", FL_FMT(g->in));
		return false;
	}
	puts_(g, ")");
	if (g->last > g->factor[g->depth])
		g->factor[g->depth] = g->last;
	unsigned inside = g->factor[g->depth--];
	atom(g, inside);
	return true;
}

/* \Q … \E: letters. */
static void quoted(struct gate *g)
{
	for (g->at += 2; peek(g, 0) >= 0; g->at++) {
		int c = peek(g, 0);
		if (c == '\\' && peek(g, 1) == 'E') {
			g->at += 2;
			return;
		}
		if (c < 0x80 && !letter(c) && !digit(c))
			puts_(g, "\\");
		put(g, g->in.p + g->at, 1);
		atom(g, 1);
	}
}

static bool step(struct gate *g)
{
	int c = peek(g, 0);
	if (g->last > g->factor[g->depth] && c != '{' && c != '*' && c != '+' && c != '?')
		g->factor[g->depth] = g->last;
	switch (c) {
	case '\\':
		if (peek(g, 1) == 'Q') {
			quoted(g);
			return true;
		}
		atom(g, 1);
		return escape(g, false);
	case '[':
		return class_(g);
	case '(':
		g->last = 1;
		return open_(g);
	case ')':
		return close_(g);
	case '*':
	case '+':
	case '?':
	case '{':
		return repeat(g);
	case '|':
		g->repeatable = g->repeated = false;
		g->last = 1;
		break;
	default:
		atom(g, 1);
	}
	put(g, g->in.p + g->at++, 1);
	return true;
}

char *fl_regex_translate(struct fl_str pattern, size_t *n, struct fl_err *e)
{
	char *copy = fl_xstrndup(pattern.p, pattern.n);        /* NUL behind it, for strstr */
	struct gate g = { .in = { copy, pattern.n }, .e = e, .last = 1, .factor = { 1 } };
	bool ok = true;
	if (pattern.n > FL_REGEX_MAX) {
		fl_err_set(e, "error parsing regexp: expression is longer than %d bytes", FL_REGEX_MAX);
		ok = false;
	}
	while (ok && g.at < g.in.n)
		ok = step(&g);
	if (ok && g.depth) {
		fl_err_set(e, "error parsing regexp: missing closing ): `%.*s`", FL_FMT(g.in));
		ok = false;
	}
	put(&g, "", 1);
	free(copy);
	if (!ok) {
		free(g.out);
		return NULL;
	}
	*n = g.n - 1;
	return g.out;
}

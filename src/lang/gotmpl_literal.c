/* Literals, with Go's rules and bounds. */
#include "lang/gotmpl_parse_int.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>

/* ---- numbers ---- */

static struct tnode *bad_number(struct parser *p, const char *why, struct fl_str text) { return fl_tmpl_fail(p, "%s: \"%.*s\"", why, FL_FMT(text)); }

/* Without the underscores, which may stand between digits and behind a prefix. */
static bool plain(char to[64], struct fl_str text)
{
	size_t n = 0;
	for (size_t i = 0; i < text.n; i++) {
		bool alnum = i && i + 1 < text.n && strchr("0123456789abcdefABCDEFxXoO", text.p[i - 1]) && strchr("0123456789abcdefABCDEF", text.p[i + 1]);
		if (text.p[i] == '_' && !alnum)
			return false;
		if (text.p[i] != '_')
			to[n++] = text.p[i];
	}
	to[n] = 0;
	return true;
}

/* 0x1f, 0b11, 0o7, 017, 15; the sign apart. */
static bool integer(const char *s, uint64_t *v)
{
	unsigned base = 10;
	if (s[0] == '0' && s[1]) {
		char c = (char)(s[1] | 0x20);
		base = c == 'x' ? 16 : c == 'b' ? 2 : 8;
		s += c == 'x' || c == 'b' || c == 'o' ? 2 : 1;
	}
	*v = 0;
	if (!*s)
		return false;
	for (; *s; s++) {
		unsigned d = *s >= '0' && *s <= '9' ? (unsigned)(*s - '0') : (unsigned)((*s | 0x20) - 'a') + 10;
		if (d >= base || *v > (UINT64_MAX - d) / base)
			return false;
		*v = *v * base + d;
	}
	return true;
}

static void set_integer(struct tnode *n, uint64_t v, bool minus)
{
	n->whole = v <= (uint64_t)INT64_MAX + minus;
	n->natural = !minus || !v;
	n->value = (struct fl_tmpl_value){ .kind = FL_TMPL_INT, .i = minus ? (int64_t)-v : (int64_t)v };
}

struct tnode *fl_tmpl_number(struct parser *p, struct token t)
{
	struct tnode *n = fl_tmpl_node(p, N_NUMBER, t.pos);
	char text[64], *end;
	uint64_t v;
	if (!n)
		return NULL;
	n->src = t.text;
	if (t.text.n > 60 || !plain(text, t.text) || (t.text.n == 1 && !(text[0] >= '0' && text[0] <= '9')))
		return bad_number(p, "illegal number syntax", t.text);
	if (text[strlen(text) - 1] == 'i')
		return fl_tmpl_later(p, FL_STR("a complex number"));
	bool minus = text[0] == '-';
	const char *digits = text + (minus || text[0] == '+');
	if (integer(digits, &v)) {
		set_integer(n, v, minus);
		return n;
	}
	bool hex = digits[0] == '0' && (digits[1] | 0x20) == 'x';
	double f = strtod(text, &end);
	if (*end || !strpbrk(text, hex ? "pP" : ".eE") || !isfinite(f))
		return bad_number(p, digits[strspn(digits, "0123456789")] ? "bad number syntax" : "integer overflow", t.text);
	if (f == trunc(f) && f >= -0x1p63 && f < 0x1p63)
		set_integer(n, (uint64_t)(int64_t)fabs(f), f < 0);
	n->real = true;
	n->value = (struct fl_tmpl_value){ .kind = FL_TMPL_FLOAT, .f = f };
	return n;
}

struct tnode *fl_tmpl_rune(struct parser *p, struct token t)
{
	struct tnode *n = fl_tmpl_node(p, N_NUMBER, t.pos);
	struct fl_str s;
	if (!n)
		return NULL;
	n->src = t.text;
	if (t.text.n == 2)
		return fl_tmpl_fail(p, "invalid syntax");
	if (fl_tmpl_unquote(p->a, t.text, &s) || !s.n)
		return fl_tmpl_fail(p, "malformed character constant: %.*s", FL_FMT(t.text));
	uint8_t c = (uint8_t)s.p[0];
	unsigned len = c < 0x80 || t.text.p[1] == '\\' ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	uint32_t v = c;
	if (c >= 0xc0 && s.n > 1) {
		len = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
		v = c & (0xffu >> (len + 1));
		for (unsigned i = 1; i < len && i < s.n; i++)
			v = v << 6 | ((uint8_t)s.p[i] & 63);
	}
	if (s.n != len)
		return fl_tmpl_fail(p, "malformed character constant: %.*s", FL_FMT(t.text));
	set_integer(n, v, false);
	return n;
}

struct tnode *fl_tmpl_quoted(struct parser *p, struct token t)
{
	struct tnode *n = fl_tmpl_node(p, N_STRING, t.pos);
	if (!n)
		return NULL;
	n->src = t.text;
	n->value.kind = FL_TMPL_STR;
	int ret = fl_tmpl_unquote(p->a, t.text, &n->value.s);
	return ret == -ENOMEM ? fl_tmpl_no_memory(p) : ret ? fl_tmpl_fail(p, "invalid syntax") : n;
}

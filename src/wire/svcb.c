/* svcb: service parameters of SVCB and HTTPS records (RFC 9460), text and wire. */
#include "wire/lex.h"
#include "wire/name.h"
#include <errno.h>

enum { MANDATORY, ALPN, NO_DEFAULT_ALPN, PORT, IPV4HINT, ECH, IPV6HINT, DOHPATH, OHTTP, NAMED };
static const char *const keys[NAMED] = { "mandatory", "alpn", "no-default-alpn", "port", "ipv4hint", "ech", "ipv6hint", "dohpath",
					 "ohttp" };
enum { PARAMS_MAX = 64 };

/* -1: no such key. */
static int key_of(struct fl_str s)
{
	int64_t v;
	for (int i = 0; i < NAMED; i++)
		if (fl_str_is(s, keys[i]))
			return i;
	if (!fl_str_starts(s, FL_STR("key")) || s.n == 3 || s.p[3] < '1' || s.p[3] > '9')
		return -1;
	return fl_parse_int((struct fl_str){ s.p + 3, s.n - 3 }, NAMED, 65534, &v) ? -1 : (int)v;
}

static void key_text(struct fl_text_out *o, unsigned key)
{
	if (key < NAMED)
		fl_text_put(o, keys[key], strlen(keys[key]));
	else
		fl_text_printf(o, "key%u", key);
}

int fl_base64_parse(uint8_t *to, size_t cap, struct fl_str s)
{
	static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t n = 0;
	if (s.n % 4)
		return -EINVAL;
	for (size_t i = 0; i < s.n; i += 4) {
		uint32_t v = 0;
		size_t pad = i + 4 < s.n || s.p[i + 3] != '=' ? 0 : s.p[i + 2] != '=' ? 1 : 2;
		for (size_t j = 0; j < 4; j++) {
			const char *at = j < 4 - pad ? memchr(set, s.p[i + j], 64) : set;
			if (!at)
				return -EINVAL;
			v = v << 6 | (uint32_t)(at - set);
		}
		if (n + 3 - pad > cap)
			return -EINVAL;
		for (size_t j = 0; j < 3 - pad; j++)
			to[n++] = (uint8_t)(v >> (16 - 8 * j));
	}
	return (int)n;
}

/* ---- values from text; to holds cap; the octets, or -EINVAL ---- */

static int parse_mandatory(uint8_t *to, size_t cap, struct fl_str s)
{
	size_t n = 0;
	while (s.n) {
		struct fl_str one;
		s = fl_str_cut(s, ',', &one);
		int key = key_of(one);
		if (key < 0 || n + 2 > cap)
			return -EINVAL;
		size_t at = n;          /* rising order */
		for (; at && fl_get16(to + at - 2) > key; at -= 2)
			memcpy(to + at, to + at - 2, 2);
		fl_put16(to + at, (uint16_t)key);
		n += 2;
	}
	return (int)n;
}

/* A list inside a string: a comma or a backslash of a value has another backslash in front. */
static int parse_alpn(uint8_t *to, size_t cap, struct fl_str s)
{
	uint8_t raw[1024];
	if (s.n > sizeof raw)
		return -EINVAL;
	size_t len = fl_text_unescape(raw, s), n = 1, start = 0;
	if (!len || len + 1 > cap)
		return len ? -EINVAL : 0;
	for (size_t i = 0; i <= len; i++) {
		bool end = i == len || raw[i] == ',';
		if (end) {
			if (n - start - 1 == 0 || n - start - 1 > 255 || n >= cap)
				return -EINVAL;
			to[start] = (uint8_t)(n - start - 1);
			start = n++;
			continue;
		}
		if (raw[i] == '\\' && ++i == len)
			return -EINVAL;
		if (n >= cap)
			return -EINVAL;
		to[n++] = raw[i];
	}
	return (int)start;
}

static int parse_hints(uint8_t *to, size_t cap, struct fl_str s, uint8_t len)
{
	size_t n = 0;
	while (s.n) {
		struct fl_str one;
		struct fl_addr a;
		s = fl_str_cut(s, ',', &one);
		if (!fl_addr_parse(one, &a) || a.len != len || n + len > cap)
			return -EINVAL;
		memcpy(to + n, a.b, len);
		n += len;
	}
	return n ? (int)n : -EINVAL;
}

static int parse_value(uint8_t *to, size_t cap, int key, struct fl_str s)
{
	int64_t port;
	switch (key) {
	case MANDATORY: return parse_mandatory(to, cap, s);
	case ALPN: return parse_alpn(to, cap, s);
	case NO_DEFAULT_ALPN: case OHTTP: return s.n ? -EINVAL : 0;
	case IPV4HINT: return memchr(s.p, ':', s.n) ? -EINVAL : parse_hints(to, cap, s, 4);
	case IPV6HINT: return parse_hints(to, cap, s, 16);
	case ECH: return fl_base64_parse(to, cap, s);
	case PORT:
		if (cap < 2 || !s.n || s.p[0] == '+' || fl_parse_int(s, 0, UINT16_MAX, &port))
			return -EINVAL;
		fl_put16(to, (uint16_t)port);
		return 2;
	default: return s.n > cap ? -EINVAL : (int)fl_text_unescape(to, s);
	}
}

/* ---- the pairs of a line, put in order of their keys ---- */

struct param { uint16_t key, len, at; };

static int in_order(uint8_t *to, size_t cap, const uint8_t *values, struct param *p, unsigned count)
{
	size_t n = 0;
	int last = -1;
	for (unsigned done = 0; done < count; done++) {
		struct param *least = NULL;
		for (unsigned i = 0; i < count; i++)
			if (p[i].key > last && (!least || p[i].key < least->key))
				least = &p[i];
		if (!least || n + 4 + least->len > cap)
			return -EINVAL;         /* a key came twice */
		fl_put16(to + n, least->key);
		fl_put16(to + n + 2, least->len);
		if (least->len)
			memcpy(to + n + 4, values + least->at, least->len);
		n += 4u + least->len;
		last = least->key;
	}
	return (int)n;
}

/* What stands behind the = of a pair, perhaps in quotes: *value. Moves t on to its last token. */
static int quoted_value(struct fl_lex *l, struct fl_lex_token *t, struct fl_str *value, struct fl_err *e)
{
	*t = fl_lex_next(l);
	if (t->kind != FL_LEX_QUOTE)
		return 0;
	*t = fl_lex_next(l);
	if (t->kind == FL_LEX_STRING) {
		*value = t->text;
		*t = fl_lex_next(l);
	}
	return t->kind == FL_LEX_QUOTE ? 1 : fl_lex_error(e, t, "SVCB unterminated value");
}

int fl_svcb_parse(uint8_t *to, size_t cap, struct fl_lex *l, struct fl_err *e)
{
	uint8_t values[2048];
	struct param param[PARAMS_MAX];
	unsigned count = 0;
	size_t n = 0;
	bool may_begin = false;         /* pairs stand apart */
	struct fl_lex_token t = fl_lex_next(l);
	while (t.kind != FL_LEX_NEWLINE && t.kind != FL_LEX_END) {
		if (t.kind == FL_LEX_BLANK) {
			may_begin = true;
			t = fl_lex_next(l);
			continue;
		}
		if (t.kind != FL_LEX_STRING || !may_begin)
			return fl_lex_error(e, &t, t.kind == FL_LEX_QUOTE ? "SVCB key can't contain double quotes" :
									    "bad SVCB values");
		struct fl_lex_token first = t;
		struct fl_str name, value = fl_str_cut(t.text, '=', &name);
		int key = key_of(name), quotes = 0;
		if (key < 0 || count == PARAMS_MAX)
			return fl_lex_error(e, &first, "bad SVCB key");
		bool open = name.n < t.text.n && !value.n;
		if (open && (quotes = quoted_value(l, &t, &value, e)) < 0)
			return quotes;
		int len = parse_value(values + n, sizeof values - n, key, value);
		if (len < 0)
			return fl_lex_error(e, &first, "bad SVCB value of %s", key < NAMED ? keys[key] : "key");
		param[count++] = (struct param){ (uint16_t)key, (uint16_t)len, (uint16_t)n };
		n += (size_t)len;
		may_begin = false;
		if (!open || quotes)
			t = fl_lex_next(l);
	}
	int len = in_order(to, cap, values, param, count);
	return len < 0 ? fl_lex_error(e, &t, "repeated SVCB keys are not allowed") : len;
}

/* ---- text ---- */

static void alpn_text(struct fl_text_out *o, const uint8_t *p, size_t n)
{
	for (size_t at = 0; at < n; at += p[at] + 1u) {
		if (at)
			fl_text_put(o, ",", 1);
		for (size_t i = 1; i <= p[at] && at + i < n; i++) {
			if (p[at + i] == ',' || p[at + i] == '\\')
				fl_text_put(o, "\\\\", 2);
			fl_text_escaped(o, p + at + i, 1);
		}
	}
}

static void value_text(struct fl_text_out *o, unsigned key, const uint8_t *p, size_t n)
{
	char to[46];
	uint8_t len = key == IPV4HINT ? 4 : 16;
	if (key == MANDATORY) {
		for (size_t i = 0; i + 2 <= n; i += 2) {
			if (i)
				fl_text_put(o, ",", 1);
			key_text(o, fl_get16(p + i));
		}
	} else if (key == ALPN) {
		alpn_text(o, p, n);
	} else if (key == PORT && n == 2) {
		fl_text_printf(o, "%u", fl_get16(p));
	} else if (key == IPV4HINT || key == IPV6HINT) {
		for (size_t i = 0; i + len <= n; i += len) {
			struct fl_addr a = { .len = len };
			memcpy(a.b, p + i, len);
			if (i)
				fl_text_put(o, ",", 1);
			fl_text_put(o, to, fl_addr_text(to, &a));
		}
	} else if (key == ECH) {
		fl_text_base64(o, p, n);
	} else {
		fl_text_escaped(o, p, n);
	}
}

void fl_svcb_text(struct fl_text_out *o, const uint8_t *p, size_t n)
{
	for (size_t at = 0; at < n; at += 4u + fl_get16(p + at + 2)) {
		if (at)
			fl_text_put(o, " ", 1);
		key_text(o, fl_get16(p + at));
		fl_text_put(o, "=\"", 2);
		value_text(o, fl_get16(p + at), p + at + 4, fl_get16(p + at + 2));
		fl_text_put(o, "\"", 1);
	}
}

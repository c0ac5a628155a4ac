#include "conf/conf_int.h"

/* ---- runes ---- */

unsigned fl_conf_rune(const char *p, const char *end, uint32_t *rune)
{
	uint8_t c = (uint8_t)*p;
	*rune = c;
	if (c < 0x80)
		return 1;
	*rune = 0xFFFD;
	unsigned n = c >= 0xC2 && c < 0xE0 ? 2 : c >= 0xE0 && c < 0xF0 ? 3 : c >= 0xF0 && c < 0xF5 ? 4 : 0;
	if (!n || (size_t)(end - p) < n)
		return 1;
	uint32_t r = c & (0xFFu >> (n + 1));
	for (unsigned i = 1; i < n; i++) {
		if (((uint8_t)p[i] & 0xC0) != 0x80)
			return 1;
		r = r << 6 | ((uint8_t)p[i] & 0x3F);
	}
	bool overlong = (n == 3 && r < 0x800) || (n == 4 && r < 0x10000);
	if (overlong || (r >= 0xD800 && r < 0xE000) || r > 0x10FFFF)
		return 1;
	*rune = r;
	return n;
}

/* Unicode's White_Space, as Go's unicode.IsSpace. */
bool fl_conf_rune_is_space(uint32_t r)
{
	return (r >= '\t' && r <= '\r') || r == ' ' || r == 0x85 || r == 0xA0 || r == 0x1680 || (r >= 0x2000 && r <= 0x200A) ||
	       r == 0x2028 || r == 0x2029 || r == 0x202F || r == 0x205F || r == 0x3000;
}

/* ---- tokens ---- */

void fl_lexer_init(struct fl_lexer *l, struct fl_str text)
{
	*l = (struct fl_lexer){ .p = text.p, .end = text.p + text.n, .line = 1 };
	uint32_t r;
	if (text.n && fl_conf_rune(l->p, l->end, &r) == 3 && r == 0xFEFF)
		l->p += 3;
}

void fl_lexer_finish(struct fl_lexer *l) { fl_conf_buf_finish(&l->buf); }

static unsigned take(struct fl_lexer *l, uint32_t *r)
{
	unsigned n = fl_conf_rune(l->p, l->end, r);
	l->p += n;
	return n;
}

/* The rune of n bytes that was just taken; one that was no UTF-8 becomes U+FFFD. */
static void keep(struct fl_lexer *l, uint32_t r, unsigned n)
{
	if (n == 1 && r == 0xFFFD)
		fl_conf_buf_add(&l->buf, "\xEF\xBF\xBD", 3);
	else
		fl_conf_buf_add(&l->buf, l->p - n, n);
}

/* Behind the opening quote. The file may end inside: then what there is counts, if it is anything. */
static bool quoted(struct fl_lexer *l)
{
	bool escaped = false;
	while (l->p < l->end) {
		uint32_t r;
		unsigned n = take(l, &r);
		if (!escaped && r == '\\') {
			escaped = true;
			continue;
		}
		if (!escaped && r == '"')
			return true;
		if (r == '\n')
			l->line++;
		if (escaped && r != '"')        /* only quotes can be escaped */
			fl_conf_buf_add(&l->buf, "\\", 1);
		keep(l, r, n);
		escaped = false;
	}
	return l->buf.n > 0;
}

/* CoreDNS ends a token at the first white space even inside a comment that began in the middle of it, and forgets the comment then:
 * `a#b c` is `a` and `c` (caddyfile/lexer.go). A comment that begins a token is a comment to the end of the line. */
bool fl_lexer_next(struct fl_lexer *l, int *line)
{
	bool comment = false;
	l->buf.n = 0;
	while (l->p < l->end) {
		uint32_t r;
		unsigned n = take(l, &r);
		if (r == '\r')
			continue;
		if (fl_conf_rune_is_space(r)) {
			if (r == '\n') {
				l->line++;
				comment = false;
			}
			if (l->buf.n)
				return true;
			continue;
		}
		comment = comment || r == '#';
		if (comment)
			continue;
		if (!l->buf.n) {
			*line = l->line;
			if (r == '"')
				return quoted(l);
		}
		keep(l, r, n);
	}
	return l->buf.n > 0;
}

/* ---- quoting, as Go's strconv.Quote ---- */

static bool printable(uint32_t r)
{
	if (r < 0x7F)
		return r >= ' ';
	return r > 0xA0 && r != 0xAD && r != 0xFEFF && !fl_conf_rune_is_space(r) && !(r >= 0x200B && r <= 0x200F) &&
	       !(r >= 0xE000 && r <= 0xF8FF);
}

static size_t quote_rune(char to[12], const char *p, unsigned n, uint32_t r)
{
	static const char hex[] = "0123456789abcdef", letter[] = "abtnvfr";       /* 7 .. 13 */
	bool byte = r < ' ' || r == 0x7F || (n == 1 && r == 0xFFFD);
	size_t k = 0;
	if (r == '"' || r == '\\') {
		to[k++] = '\\';
		to[k++] = (char)r;
	} else if (!byte && printable(r)) {
		memcpy(to, p, n);
		k = n;
	} else if (r >= 7 && r <= 13) {
		to[k++] = '\\';
		to[k++] = letter[r - 7];
	} else {
		int digits = byte ? 2 : r < 0x10000 ? 4 : 8;
		uint32_t v = byte ? (uint8_t)*p : r;
		to[k++] = '\\';
		to[k++] = byte ? 'x' : digits == 4 ? 'u' : 'U';
		for (int d = digits - 1; d >= 0; d--)
			to[k++] = hex[v >> (4 * d) & 15];
	}
	return k;
}

const char *fl_conf_quote(char *to, size_t cap, struct fl_str s)
{
	size_t k = 0;
	to[k++] = '"';
	for (const char *p = s.p, *end = s.p + s.n; p < end;) {
		uint32_t r;
		char one[12];
		unsigned n = fl_conf_rune(p, end, &r);
		size_t m = quote_rune(one, p, n, r);
		if (k + m + 2 > cap)
			break;
		memcpy(to + k, one, m);
		k += m;
		p += n;
	}
	to[k++] = '"';
	to[k] = 0;
	return to;
}

#include "lang/expr_int.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

void fl_expr_complain(struct complaint *c, int at, const char *fmt, ...)
{
	va_list ap;
	if (c->set)
		return;
	c->set = true;
	c->at = at;
	va_start(ap, fmt);
	vsnprintf(c->msg, sizeof c->msg, fmt, ap);
	va_end(ap);
}

/* ---- runes ---- */

enum { END = -1 };

/* The first rune of s and its length; what is no UTF-8 is U+FFFD and one byte long, as in Go. */
static int32_t rune_of(struct fl_str s, size_t *len)
{
	const uint8_t *p = (const uint8_t *)s.p;
	unsigned more = p[0] < 0x80 ? 0 : p[0] >= 0xf0 && p[0] < 0xf5 ? 3 : p[0] >= 0xe0 ? 2 : p[0] >= 0xc2 ? 1 : 9;
	int32_t r = more == 3 ? p[0] & 7 : more == 2 ? p[0] & 15 : more == 1 ? p[0] & 31 : p[0];
	static const int32_t least[] = { 0, 0x80, 0x800, 0x10000 };
	*len = 1;
	if (!more)
		return r;
	if (p[0] >= 0xf5 || more > 3 || s.n <= more)
		return 0xfffd;
	for (unsigned i = 1; i <= more; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0xfffd;
		r = r << 6 | (p[i] & 0x3f);
	}
	if (r < least[more] || r > 0x10ffff || (r >= 0xd800 && r < 0xe000))
		return 0xfffd;
	*len = more + 1;
	return r;
}

size_t fl_expr_rune_len(struct fl_str s)
{
	size_t n = 0;
	if (s.n)
		rune_of(s, &n);
	return n;
}

int fl_expr_rune_put(char *to, uint32_t r)
{
	if (r > 0x10ffff || (r >= 0xd800 && r < 0xe000))
		r = 0xfffd;
	if (r < 0x80) {
		to[0] = (char)r;
		return 1;
	}
	int more = r < 0x800 ? 1 : r < 0x10000 ? 2 : 3;
	static const uint8_t head[] = { 0, 0xc0, 0xe0, 0xf0 };
	to[0] = (char)(head[more] | r >> (6 * more));
	for (int i = 1; i <= more; i++)
		to[i] = (char)(0x80 | (r >> (6 * (more - i)) & 0x3f));
	return more + 1;
}

const char *fl_expr_lex_quote(char to[200], struct fl_str s)
{
	static const char from[] = "\a\b\f\n\r\t\v\\\"", as[] = "abfnrtv\\\"";
	size_t k = 0;
	to[k++] = '"';
	for (size_t i = 0; i < s.n && k < 190; i++) {
		const char *e = s.p[i] ? strchr(from, s.p[i]) : NULL;
		if (e) {
			to[k++] = '\\';
			to[k++] = as[e - from];
		} else if ((uint8_t)s.p[i] < ' ' || s.p[i] == 0x7f) {
			k += (size_t)snprintf(to + k, 5, "\\x%02x", (uint8_t)s.p[i]);
		} else {
			to[k++] = s.p[i];
		}
	}
	to[k++] = '"';
	to[k] = 0;
	return to;
}

static bool digit(int32_t r) { return r >= '0' && r <= '9'; }
static bool alphabetic(int32_t r) { return r == '_' || r == '$' || (r >= 'a' && r <= 'z') || (r >= 'A' && r <= 'Z'); }
static bool alphanumeric(int32_t r) { return alphabetic(r) || digit(r); }

bool fl_expr_lex_is_name(struct fl_str s)
{
	bool ok = s.n && alphabetic((uint8_t)s.p[0]);
	for (size_t i = 1; i < s.n; i++)
		ok = ok && alphanumeric((uint8_t)s.p[i]);
	return ok;
}

/* ---- the cursor ---- */

static struct fl_str rest(const struct lexer *l) { return (struct fl_str){ l->src.p + l->end.byte, l->src.n - l->end.byte }; }

static int32_t peek(const struct lexer *l)
{
	size_t n;
	return l->end.byte < l->src.n ? rune_of(rest(l), &n) : END;
}

static int32_t next(struct lexer *l)
{
	size_t n;
	if (l->end.byte >= l->src.n) {
		l->eof = true;
		return END;
	}
	int32_t r = rune_of(rest(l), &n);
	l->end.byte += n;
	l->end.rune++;
	return r;
}

static bool accept(struct lexer *l, const char *valid)
{
	int32_t r = peek(l);
	if (r <= 0 || r >= 0x80 || !strchr(valid, r))
		return false;
	next(l);
	return true;
}

static void accept_run(struct lexer *l, const char *valid)
{
	while (accept(l, valid))
		;
}

static struct fl_str word(const struct lexer *l) { return (struct fl_str){l->src.p + l->start.byte, l->end.byte - l->start.byte}; }

static void emit_text(struct lexer *l, enum token_kind kind, struct fl_str text)
{
	l->queue[l->queued++] = (struct token){ kind, text, l->start.rune };
	l->start = l->end;
}

static void emit(struct lexer *l, enum token_kind kind) { emit_text(l, kind, word(l)); }

/* At the last rune that was read, or one behind the end. */
#define FAIL(l, ...) fl_expr_complain(&(l)->err, (l)->end.rune - !(l)->eof, __VA_ARGS__)

/* ---- strings ---- */

static unsigned hex_value(int32_t r)
{
	if (digit(r))
		return (unsigned)(r - '0');
	r |= 0x20;
	return r >= 'a' && r <= 'f' ? (unsigned)(r - 'a' + 10) : 16;
}

static bool digits(struct lexer *l, int32_t first, unsigned base, unsigned n, uint32_t *v)
{
	int32_t r = first;
	*v = 0;
	while (hex_value(r) < base) {
		*v = *v * base + hex_value(r);
		if (!--n)
			return true;
		r = next(l);
	}
	FAIL(l, "invalid char escape");
	return false;
}

/* \u{1F600} */
static bool braced(struct lexer *l, uint32_t *v)
{
	unsigned n = 0;
	next(l);
	for (*v = 0; peek(l) != '}'; n++) {
		if (hex_value(peek(l)) >= 16 || n == 6)
			return FAIL(l, "invalid char escape"), false;
		*v = *v * 16 + hex_value(next(l));
	}
	if (!n)
		return FAIL(l, "invalid char escape"), false;
	next(l);
	return true;
}

/* Behind a backslash; false with an error. A value above U+10FFFF is told at the end of the string, as expr does. */
static bool escape(struct lexer *l, int32_t quote, uint32_t *v, bool *bad)
{
	static const char from[] = "abfnrtv\\", as[] = "\a\b\f\n\r\t\v\\";
	int32_t r = next(l);
	const char *e = r > 0 && r < 0x80 ? strchr(from, r) : NULL;
	bool ok = true;
	if (r == quote)
		*v = (uint32_t)r;
	else if (e)
		*v = (uint32_t)as[e - from];
	else if (r >= '0' && r <= '7')
		ok = digits(l, r, 8, 3, v), *bad = *bad || r > '3';
	else if (r == 'u' && peek(l) == '{')
		ok = braced(l, v);
	else if (r == 'x' || r == 'u' || r == 'U')
		ok = digits(l, next(l), 16, r == 'x' ? 2 : r == 'u' ? 4 : 8, v);
	else
		ok = false, FAIL(l, "invalid char escape");
	*bad = *bad || *v > 0x10ffff;
	return ok;
}

static void string(struct lexer *l, int32_t quote, enum token_kind kind)
{
	char *to = fl_alloc(l->arena, 3 * (l->src.n - l->start.byte) + 8);      /* a stray octet becomes U+FFFD, as in Go */
	size_t k = 0;
	bool bad = false;
	if (!to) {
		FAIL(l, "out of memory");
		return;
	}
	for (;;) {
		uint32_t v = 0;
		int32_t r = next(l);
		if (r == quote)
			break;
		if (r == '\n' || r == END) {
			FAIL(l, "literal not terminated");
			return;
		}
		if (r == '\\') {
			if (!escape(l, quote, &v, &bad))
				return;
			k += (size_t)fl_expr_rune_put(to + k, v);
		} else {
			k += (size_t)fl_expr_rune_put(to + k, r == '\r' ? '\n' : (uint32_t)r);
		}
	}
	if (bad)
		FAIL(l, "unable to unescape string");
	emit_text(l, kind, (struct fl_str){ to, k });
}

/* `…`, where `` is a back quote. */
static void raw_string(struct lexer *l)
{
	char *to = fl_alloc(l->arena, l->src.n - l->start.byte + 8);
	size_t k = 0;
	if (!to) {
		FAIL(l, "out of memory");
		return;
	}
	for (;;) {
		size_t from = l->end.byte;
		int32_t r = next(l);
		if (r == '`' && !accept(l, "`"))
			break;
		if (r == END) {
			FAIL(l, "literal not terminated");
			return;
		}
		if (r == '`')
			to[k++] = '`';
		else
			k = (size_t)(fl_put_bytes(to + k, l->src.p + from, l->end.byte - from) - to);
	}
	emit_text(l, TOK_STRING, (struct fl_str){ to, k });
}

/* ---- numbers, names, operators ---- */

static void number(struct lexer *l)
{
	const char *set = "0123456789_";
	char q[200];
	if (accept(l, "0"))
		set = accept(l, "xX") ? "0123456789abcdefABCDEF_" : accept(l, "oO") ? "01234567_" : accept(l, "bB") ? "01_" : set;
	accept_run(l, set);
	__typeof__(l->end) before = l->end;
	if (accept(l, ".")) {
		if (peek(l) == '.') {           /* 1..2 */
			l->end = before;
			emit(l, TOK_NUMBER);
			return;
		}
		accept_run(l, set);
	}
	if (accept(l, "eE")) {
		accept(l, "+-");
		accept_run(l, set);
	}
	if (alphanumeric(peek(l))) {
		next(l);
		FAIL(l, "bad number syntax: %s", fl_expr_lex_quote(q, word(l)));
		return;
	}
	emit(l, TOK_NUMBER);
}

static void run_of_name(struct lexer *l)
{
	while (alphanumeric(peek(l)))
		next(l);
}

static bool one_of(struct fl_str s, const char *const *all)
{
	for (; *all; all++)
		if (fl_str_is(s, *all))
			return true;
	return false;
}

static const char *const infix[] = { "in", "matches", "contains", "startsWith", "endsWith", NULL };
static const char *const words[] = {"in",	"or",  "and", "matches", "contains", "startsWith",
				    "endsWith", "let", "if",  "else",	 "not",	     NULL};

static void name(struct lexer *l)
{
	run_of_name(l);
	bool not = fl_str_is(word(l), "not");
	emit(l, one_of(word(l), words) ? TOK_OP : TOK_NAME);
	if (!not)
		return;
	accept_run(l, " ");
	l->start = l->end;
	run_of_name(l);
	if (one_of(word(l), infix))
		emit(l, TOK_OP);
	else
		l->end = l->start;
}

static void slash(struct lexer *l)
{
	int32_t r;
	if (accept(l, "/")) {
		do
			r = next(l);
		while (r != END && r != '\n');
	} else if (accept(l, "*")) {
		do {
			r = next(l);
			if (r == END) {
				FAIL(l, "unclosed comment");
				return;
			}
		} while (r != '*' || !accept(l, "/"));
	} else {
		emit(l, TOK_OP);
		return;
	}
	l->start = l->end;
	l->eof = false;
}

static void dot(struct lexer *l)
{
	if (digit(peek(l))) {                   /* .5, and as in expr .0x1f and .5.5, which are no numbers */
		number(l);
		return;
	}
	accept(l, ".");
	emit(l, TOK_OP);
}

/* #, ##, #name */
static void pointer(struct lexer *l)
{
	accept(l, "#");
	emit(l, TOK_OP);
	run_of_name(l);
	if (word(l).n)
		emit(l, TOK_NAME);
}

static bool space(int32_t r) { return r == ' ' || (r >= '\t' && r <= '\r') || r == 0x85 || r == 0xa0; }

static void operator(struct lexer *l, int32_t r)
{
	if (strchr("([{)]}", r)) {
		emit(l, TOK_BRACKET);
		return;
	}
	if (r == '?')
		accept(l, ".?");
	else if (r == '|' || r == ':')
		accept(l, (char[]){ (char)r, 0 });
	else if (strchr("&!=*<>", r))
		accept(l, "&=*");
	emit(l, TOK_OP);
}

static void lex_one(struct lexer *l)
{
	int32_t r = next(l);
	if (r == END) {
		l->over = true;
		l->start = l->end;
		l->start.rune -= l->end.rune > 0;
		emit_text(l, TOK_EOF, FL_STR(""));
	} else if (space(r)) {
		l->start = l->end;
	} else if (r == '\'' || r == '"') {
		string(l, r, TOK_STRING);
	} else if (r == '`') {
		raw_string(l);
	} else if ((r == 'b' || r == 'B') && (peek(l) == '\'' || peek(l) == '"')) {
		string(l, next(l), TOK_BYTES);
	} else if (digit(r)) {
		l->end = l->start;
		number(l);
	} else if (r == '/') {
		slash(l);
	} else if (r == '#') {
		pointer(l);
	} else if (r == '.') {
		dot(l);
	} else if (alphabetic(r)) {
		name(l);
	} else if (r > 0 && r < 0x80 && strchr("([{)]},;%+-^?|:&!=*<>", r)) {
		operator(l, r);
	} else {
		char text[5] = { 0 };
		fl_expr_rune_put(text, (uint32_t)r);
		if (r < ' ' || r == 0x7f)
			FAIL(l, "unrecognized character: U+%04X", (unsigned)r);
		else
			FAIL(l, "unrecognized character: U+%04X '%s'", (unsigned)r, text);
	}
}

int fl_expr_lex_next(struct lexer *l, struct token *t)
{
	while (!l->queued && !l->err.set && !l->over)
		lex_one(l);
	if (l->err.set)
		return -1;
	if (!l->queued)
		return 0;
	*t = l->queue[0];
	l->queued--;
	for (unsigned i = 0; i < l->queued; i++)
		l->queue[i] = l->queue[i + 1];
	return 1;
}

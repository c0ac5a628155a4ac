/* After text/template/parse/lex.go. */
#include "lang/gotmpl_int.h"
#include <errno.h>

static bool space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }
static bool digit(char c) { return c >= '0' && c <= '9'; }
/* Letters beyond ASCII are taken for letters, each byte of them. */
static bool word_char(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || digit(c) || c == '_' || (c & 0x80); }

static char peek(const struct lexer *l, size_t ahead) { return l->pos + ahead < l->src.n ? l->src.p[l->pos + ahead] : 0; }
static bool starts(const struct lexer *l, const char *z) { return fl_str_starts((struct fl_str){ l->src.p + l->pos, l->src.n - l->pos }, fl_str(z)); }

static int fault(struct lexer *l, const char *words, size_t from)
{
	l->err = words;
	l->bad = (struct fl_str){ l->src.p + from, l->pos - from };
	return -EINVAL;
}

static int emit(struct lexer *l, struct token *t, enum token_kind kind, size_t from)
{
	*t = (struct token){ kind, { l->src.p + from, l->pos - from }, from };
	return 0;
}

/* ---- outside ---- */

/* Past a comment, or nothing: 1, 0, -EINVAL. */
static int comment(struct lexer *l)
{
	size_t from = l->pos, at = from + 2;
	bool minus = peek(l, 2) == '-' && space(peek(l, 3));
	at += minus ? 2 : 0;
	if (at + 1 >= l->src.n || l->src.p[at] != '/' || l->src.p[at + 1] != '*')
		return 0;
	const char *end = memmem(l->src.p + at, l->src.n - at, "*/", 2);
	if (!end)
		return fault(l, "unclosed comment", from);
	l->pos = (size_t)(end - l->src.p) + 2;
	l->trim = space(peek(l, 0)) && peek(l, 1) == '-' && peek(l, 2) == '}' && peek(l, 3) == '}';
	l->pos += l->trim ? 2 : 0;
	if (!starts(l, "}}"))
		return fault(l, "comment ends before closing delimiter", from);
	l->pos += 2;
	return 1;
}

/* Text up to the next {{; nothing of it may be left, then what follows. */
static int outside(struct lexer *l, struct token *t)
{
	for (;;) {
		while (l->trim && l->pos < l->src.n && space(peek(l, 0)))
			l->pos++;
		l->trim = false;
		size_t from = l->pos;
		const char *open = memmem(l->src.p + from, l->src.n - from, "{{", 2);
		size_t to = open ? (size_t)(open - l->src.p) : l->src.n, end = to;
		if (open && to + 3 < l->src.n && open[2] == '-' && space(open[3]))
			while (end > from && space(l->src.p[end - 1]))
				end--;
		if (end > from) {
			l->pos = end;
			emit(l, t, T_TEXT, from);
			l->pos = to;
			return 0;
		}
		l->pos = to;
		if (!open)
			return emit(l, t, T_EOF, to);
		int ret = comment(l);
		if (ret < 0)
			return ret;
		if (ret)
			continue;
		from = l->pos;
		l->pos += 2;
		emit(l, t, T_LEFT, from);
		l->pos += peek(l, 0) == '-' && space(peek(l, 1)) ? 2 : 0;
		l->inside = true;
		l->depth = 0;
		return 0;
	}
}

/* ---- inside ---- */

static int quoted(struct lexer *l, struct token *t, char end)
{
	size_t from = l->pos++;
	for (;; l->pos++) {
		char c = peek(l, 0);
		bool over = l->pos >= l->src.n || (c == '\n' && end != '`');
		if (!over && c == '\\' && end != '`') {
			l->pos++;
			over = l->pos >= l->src.n || peek(l, 0) == '\n';
		} else if (!over && c == end) {
			break;
		}
		if (over)
			return fault(l, end == '`' ? "unterminated raw quoted string" : end == '"' ? "unterminated quoted string"
										       : "unterminated character constant", from);
	}
	l->pos++;
	return emit(l, t, end == '`' ? T_RAW : end == '"' ? T_STRING : T_CHAR, from);
}

static bool ends_word(const struct lexer *l)
{
	char c = peek(l, 0);
	return l->pos >= l->src.n || space(c) || strchr(".,|:()=", c) || starts(l, "}}");
}

static int bad_char(struct lexer *l)
{
	size_t from = l->pos++;
	return fault(l, "bad character %.*s", from);
}

static int named(struct lexer *l, struct token *t, enum token_kind kind)
{
	static const char *const keywords[] = { "if", "else", "end", "range", "with", "break", "continue", "define", "template", "block" };
	size_t from = l->pos++;
	while (l->pos < l->src.n && word_char(peek(l, 0)))
		l->pos++;
	if (!ends_word(l))
		return bad_char(l);
	emit(l, t, kind, from);
	if (kind != T_IDENT)
		return 0;
	for (unsigned i = 0; i < FL_COUNT(keywords); i++)
		if (fl_str_is(t->text, keywords[i]))
			t->kind = T_KEYWORD;
	if (fl_str_is(t->text, "true") || fl_str_is(t->text, "false"))
		t->kind = T_BOOL;
	else if (fl_str_is(t->text, "nil"))
		t->kind = T_NIL;
	return 0;
}

static int number(struct lexer *l, struct token *t)
{
	size_t from = l->pos;
	if (peek(l, 0) == '+' || peek(l, 0) == '-')
		l->pos++;
	bool hex = peek(l, 0) == '0' && (peek(l, 1) | 0x20) == 'x';
	for (;; l->pos++) {
		char c = peek(l, 0), before = l->src.p[l->pos ? l->pos - 1 : 0] | 0x20;
		bool sign = (c == '+' || c == '-') && l->pos > from && (before == 'p' || (!hex && before == 'e'));
		if (!(l->pos < l->src.n && (word_char(c) || c == '.' || sign)))
			break;
	}
	return emit(l, t, T_NUMBER, from);
}

static int right(struct lexer *l, struct token *t, bool trim)
{
	size_t from = l->pos;
	if (l->depth)
		return fault(l, "unclosed left paren", from);
	l->trim = trim;
	l->pos += trim ? 4 : 2;
	l->inside = false;
	return emit(l, t, T_RIGHT, from);
}

static int inside(struct lexer *l, struct token *t)
{
	static const char single[] = "|(),=";
	static const enum token_kind kinds[] = { T_PIPE, T_OPEN, T_CLOSE, T_COMMA, T_ASSIGN };
	size_t from = l->pos;
	char c = peek(l, 0);
	if (from >= l->src.n)
		return fault(l, "unclosed action", from);
	if (starts(l, "}}"))
		return right(l, t, false);
	if (space(c)) {
		while (l->pos < l->src.n && space(peek(l, 0)) && !(peek(l, 1) == '-' && peek(l, 2) == '}' && peek(l, 3) == '}'))
			l->pos++;
		return l->pos > from ? emit(l, t, T_SPACE, from) : right(l, t, true);
	}
	if (c == '"' || c == '`' || c == '\'')
		return quoted(l, t, c);
	if (c == ':') {
		bool declare = peek(l, 1) == '=';
		l->pos += declare ? 2 : 1;
		return declare ? emit(l, t, T_DECLARE, from) : fault(l, "expected :=", from);
	}
	if (c == '$')
		return named(l, t, T_VARIABLE);
	if (digit(c) || (c == '.' && digit(peek(l, 1))) || c == '+' || c == '-')
		return number(l, t);
	if (c == '.' && !word_char(peek(l, 1))) {
		l->pos++;
		return ends_word(l) ? emit(l, t, T_DOT, from) : bad_char(l);
	}
	if (c == '.')
		return named(l, t, T_FIELD);
	if (word_char(c))
		return named(l, t, T_IDENT);
	const char *at = c ? strchr(single, c) : NULL;
	l->pos++;
	if (!at && (c < ' ' || c > '~'))
		return fault(l, "unrecognized character in action: %.*s", from);
	if (!at)
		return emit(l, t, T_OTHER, from);
	if (c == ')' && !l->depth)
		return fault(l, "unexpected right paren", from);
	l->depth += c == '(';
	l->depth -= c == ')';
	return emit(l, t, kinds[at - single], from);
}

int fl_tmpl_lex(struct lexer *l, struct token *t) { return l->inside ? inside(l, t) : outside(l, t); }

/* ---- literals (strconv.Unquote) ---- */

size_t fl_tmpl_rune_put(char *to, uint32_t r)
{
	if (r >= 0xd800 && (r < 0xe000 || r > 0x10ffff))
		r = 0xfffd;
	if (r < 0x80)
		return to[0] = (char)r, 1;
	if (r < 0x800)
		return to[0] = (char)(0xc0 | r >> 6), to[1] = (char)(0x80 | (r & 63)), 2;
	if (r < 0x10000)
		return to[0] = (char)(0xe0 | r >> 12), to[1] = (char)(0x80 | (r >> 6 & 63)), to[2] = (char)(0x80 | (r & 63)), 3;
	return to[0] = (char)(0xf0 | r >> 18), to[1] = (char)(0x80 | (r >> 12 & 63)), to[2] = (char)(0x80 | (r >> 6 & 63)),
	       to[3] = (char)(0x80 | (r & 63)), 4;
}

static int digits(const char **p, const char *end, unsigned n, unsigned base, uint32_t *v)
{
	for (*v = 0; n--; ++*p) {
		unsigned d = *p >= end ? 99 : digit(**p) ? (unsigned)(**p - '0') : (unsigned)(fl_lower((uint8_t)**p) - 'a') + 10;
		if (d >= base)
			return -EINVAL;
		*v = *v * base + d;
	}
	return 0;
}

/* One escape behind the backslash; bytes written, or -EINVAL. */
static int escape(const char **p, const char *end, char quote, char *to)
{
	static const char from[] = "abfnrtv\\", as[] = "\a\b\f\n\r\t\v\\";
	uint32_t v;
	char c = *p < end ? *(*p)++ : 0;
	const char *at = c ? strchr(from, c) : NULL;
	if (at || c == quote) {
		*to = at ? as[at - from] : quote;
		return 1;
	}
	if (c >= '0' && c <= '7') {
		--*p;
		if (digits(p, end, 3, 8, &v) || v > 255)
			return -EINVAL;
		return *to = (char)v, 1;
	}
	unsigned n = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
	if (!n || digits(p, end, n, 16, &v))
		return -EINVAL;
	if (n == 2)
		return *to = (char)v, 1;
	return v > 0x10ffff || (v >= 0xd800 && v < 0xe000) ? -EINVAL : (int)fl_tmpl_rune_put(to, v);
}

int fl_tmpl_unquote(struct fl_arena *a, struct fl_str q, struct fl_str *out)
{
	const char *p = q.p + 1, *end = q.p + q.n - 1;
	char *to = fl_alloc(a, q.n + 4), *at = to;
	if (!to)
		return -ENOMEM;
	while (p < end) {
		char c = *p++;
		if (c == '\r' && q.p[0] == '`')
			continue;
		if (c != '\\' || q.p[0] == '`') {
			*at++ = c;
			continue;
		}
		int n = escape(&p, end, q.p[0], at);
		if (n < 0)
			return n;
		at += n;
	}
	*out = (struct fl_str){ to, (size_t)(at - to) };
	return 0;
}

#include "wire/lex.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

bool fl_lex_init(struct fl_lex *l, struct fl_arena *a, struct fl_str text)
{
	*l = (struct fl_lex){ .p = text.p, .end = text.p + text.n, .out = fl_alloc(a, text.n + 1), .line = 1, .owner = true };
	l->closed = text.n && text.p[text.n - 1] == '\n';
	return l->out;
}

/* The next byte, or -1; text that does not end in a newline gets one. The line moves on with the byte after a newline. */
static int get(struct fl_lex *l)
{
	if (l->p == l->end && l->closed)
		return -1;
	l->closed = l->closed || l->p == l->end;
	int c = l->p == l->end ? '\n' : (uint8_t)*l->p++;
	if (l->eol) {
		l->line++;
		l->column = 0;
	}
	l->eol = c == '\n';
	l->column += c != '\n';
	return c;
}

static struct fl_lex_token token(const struct fl_lex *l, enum fl_lex_kind kind, const char *p, size_t n)
{
	return (struct fl_lex_token){ .kind = kind, .text = { p, n }, .line = l->line, .column = l->column };
}

static struct fl_str upper(char *to, size_t cap, struct fl_str s)
{
	size_t n = s.n < cap ? s.n : 0;
	for (size_t i = 0; i < n; i++)
		to[i] = s.p[i] >= 'a' && s.p[i] <= 'z' ? (char)(s.p[i] - 32) : s.p[i];
	return (struct fl_str){ to, n };
}

/* Before the type is known a word may be one, or a class; ANY is a class then. */
static void classify(struct fl_lex *l, struct fl_lex_token *t, bool last)
{
	char buf[32];
	struct fl_str up = upper(buf, sizeof buf, t->text);
	bool generic = fl_str_starts(up, FL_STR("TYPE")) || fl_str_starts(up, FL_STR("CLASS"));
	if (l->typed || !up.n || (last && generic))
		return;
	uint16_t code;
	if (fl_type_parse(up, &code) && !fl_str_is(up, "NONE")) {
		t->kind = FL_LEX_TYPE;
		t->code = code;
		l->typed = true;
	}
	if (!last && fl_class_parse(up, &code)) {
		t->kind = FL_LEX_CLASS;
		t->code = code;
	}
	if (generic && t->kind == FL_LEX_STRING) {
		t->kind = FL_LEX_BAD;
		t->text = up.p[0] == 'T' ? FL_STR("unknown RR type") : FL_STR("unknown class");
	}
}

static struct fl_lex_token hold(struct fl_lex *l, struct fl_lex_token now, struct fl_lex_token later)
{
	if (!now.text.n)
		return later;
	l->hold = later;
	l->held = true;
	return now;
}

/* A word ended at a blank. kind BLANK comes after it, unless one stands there already. */
static bool at_blank(struct fl_lex *l, struct fl_str word, struct fl_lex_token *t)
{
	struct fl_lex_token w = token(l, l->owner ? FL_LEX_OWNER : FL_LEX_STRING, word.p, word.n);
	if (word.n && !l->owner)
		classify(l, &w, false);
	l->owner = false;
	bool first = !l->space;
	l->space = true;
	if (!first) {
		*t = w;
		return word.n;
	}
	*t = hold(l, w, token(l, FL_LEX_BLANK, " ", 1));
	return true;
}

static struct fl_lex_token at_newline(struct fl_lex *l, struct fl_str word)
{
	struct fl_lex_token w = token(l, FL_LEX_STRING, word.p, word.n);
	if (word.n)
		classify(l, &w, true);
	l->typed = false;
	l->owner = true;
	return hold(l, w, token(l, FL_LEX_NEWLINE, "\n", 1));
}

struct fl_lex_token fl_lex_next(struct fl_lex *l)
{
	if (l->held) {
		l->held = false;
		return l->hold;
	}
	char *start = l->out;
	bool escape = false;
	for (int c; (c = get(l)) >= 0;) {
		struct fl_str word = { start, (size_t)(l->out - start) };
		bool literal = escape || l->quote;
		struct fl_lex_token t;
		if (l->comment) {
			if (c != '\n')
				continue;
			l->comment = false;
			if (!l->brace)
				return at_newline(l, word);
			continue;
		}
		if (c == '\n' && !l->quote) {
			escape = false;
			if (!l->brace)
				return at_newline(l, word);
			continue;
		}
		if (c == '"' && !escape) {
			l->space = false;
			l->quote = !l->quote;
			return hold(l, token(l, FL_LEX_STRING, word.p, word.n), token(l, FL_LEX_QUOTE, "\"", 1));
		}
		if (c == '\r' && !l->quote) {
			escape = false;
			continue;
		}
		if (!literal && (c == ' ' || c == '\t')) {
			if (at_blank(l, word, &t))
				return t;
			continue;
		}
		if (!literal && c == ';') {
			l->comment = true;
			if (word.n)
				return token(l, FL_LEX_STRING, word.p, word.n);
			continue;
		}
		if (!literal && (c == '(' || c == ')')) {
			l->brace += c == '(' ? 1 : -1;
			if (l->brace < 0)
				return token(l, FL_LEX_BAD, "extra closing brace", 19);
			continue;
		}
		escape = c == '\\' && !escape;
		if (c != '\\' && c != '"' && c != ' ' && c != '\t' && c != ';' && c != '(' && c != ')')
			l->space = false;
		*l->out++ = (char)c;
	}
	if (l->out > start)
		return token(l, FL_LEX_STRING, start, (size_t)(l->out - start));
	if (l->brace) {
		l->brace = 0;
		return token(l, FL_LEX_BAD, "unbalanced brace", 16);
	}
	return token(l, FL_LEX_END, "", 0);
}

int fl_lex_error(struct fl_err *e, const struct fl_lex_token *t, const char *fmt, ...)
{
	char words[160], quoted[240];
	size_t n = 0;
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(words, sizeof words, fmt, ap);
	va_end(ap);
	for (size_t i = 0; i < t->text.n && n + 5 < sizeof quoted; i++) {
		uint8_t c = (uint8_t)t->text.p[i];
		if (c == '\n' || c == '\t' || c == '\r')
			n += (size_t)snprintf(quoted + n, 3, "\\%c", c == '\n' ? 'n' : c == '\t' ? 't' : 'r');
		else if (c < ' ' || c > '~')
			n += (size_t)snprintf(quoted + n, 5, "\\x%02x", c);
		else
			n += (size_t)snprintf(quoted + n, 3, c == '"' || c == '\\' ? "\\%c" : "%c", c);
	}
	quoted[n] = 0;
	return fl_err_set(e, "dns: %s: \"%s\" at line: %u:%u", words, quoted, t->line, t->column);
}

static bool ddd(const char *p, size_t n)
{
	return n >= 3 && p[0] >= '0' && p[0] <= '9' && p[1] >= '0' && p[1] <= '9' && p[2] >= '0' && p[2] <= '9';
}

size_t fl_text_unescape(uint8_t *to, struct fl_str text)
{
	size_t n = 0;
	for (size_t i = 0; i < text.n; i++) {
		const char *p = text.p + i;
		if (*p == '\\' && ddd(p + 1, text.n - i - 1)) {
			to[n++] = (uint8_t)((p[1] - '0') * 100 + (p[2] - '0') * 10 + (p[3] - '0'));
			i += 3;
		} else if (*p != '\\') {
			to[n++] = (uint8_t)*p;
		} else if (++i < text.n) {
			to[n++] = (uint8_t)p[1];
		}
	}
	return n;
}

/* Kubernetes label selectors, with the words of k8s.io/apimachinery where they are wrong: a=b, a==b, a!=b, a, !a, a in (b,c), a
 * notin (b,c), with commas between them. (CoreDNS itself takes no a!=b; here it is welcome.) */
#include "kube/source.h"
#include <stdlib.h>

enum op { OP_IN, OP_NOT_IN, OP_EXISTS, OP_ABSENT };
enum { NAME_MAX_LEN = 63, PREFIX_MAX_LEN = 253 };
struct term { enum op op; struct fl_str key, *value; unsigned n; };
struct fl_selector { char *text; struct term *term; unsigned n; };

/* ---- words ---- */

enum token { END, WORD, IN, NOT_IN, EQUALS, NOT_EQUALS, NOT, COMMA, OPEN, CLOSE, OTHER };
struct scan { struct fl_str rest, all; enum token tok; struct fl_str lit; struct fl_err *e; };

static bool blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }
static bool special(char c) { return c && strchr("=!(),><", c); }

static enum token symbol(struct fl_str rest, size_t *n)
{
	*n = rest.n > 1 && rest.p[1] == '=' && (rest.p[0] == '=' || rest.p[0] == '!') ? 2 : 1;
	switch (rest.p[0]) {
	case '=': return EQUALS;
	case '!': return *n == 2 ? NOT_EQUALS : NOT;
	case ',': return COMMA;
	case '(': return OPEN;
	case ')': return CLOSE;
	default: return OTHER;
	}
}

static void next(struct scan *s)
{
	size_t n = 0;
	while (s->rest.n && blank(*s->rest.p))
		s->rest.p++, s->rest.n--;
	if (!s->rest.n) {
		s->tok = END;
	} else if (special(*s->rest.p)) {
		s->tok = symbol(s->rest, &n);
	} else {
		while (n < s->rest.n && s->rest.p[n] && !blank(s->rest.p[n]) && !special(s->rest.p[n]))
			n++;
		s->tok = n ? WORD : OTHER;      /* a NUL is no word */
		n = n ? n : 1;
	}
	s->lit = (struct fl_str){ s->rest.p, n };
	s->rest.p += n;
	s->rest.n -= n;
	if (s->tok == WORD && (fl_str_is(s->lit, "in") || fl_str_is(s->lit, "notin")))
		s->tok = s->lit.n == 2 ? IN : NOT_IN;
}

/* Where no operator can stand, in and notin are words like others. */
static bool is_word(const struct scan *s) { return s->tok == WORD || s->tok == IN || s->tok == NOT_IN; }

static int fail(struct scan *s, const char *before, const char *expected)
{
	return fl_err_set(s->e, "couldn't parse the selector string \"%.*s\": %sfound '%.*s'%s", FL_FMT(s->all), before,
			  FL_FMT(s->lit), expected);
}

#define REQUIREMENT "unable to parse requirement: "

/* ---- what a label may be ---- */

static bool alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

static bool label_name(struct fl_str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!alnum(s.p[i]) && (i == 0 || i == s.n - 1 || !strchr("-_.", s.p[i])))
			return false;
	return s.n <= NAME_MAX_LEN;
}

static bool subdomain(struct fl_str s)
{
	char before = '.';
	for (size_t i = 0; i <= s.n; i++) {
		char c = i < s.n ? s.p[i] : '.';
		bool edge = before == '.' || c == '.';
		if ((!alnum(c) && c != '-' && c != '.') || (c >= 'A' && c <= 'Z') ||
		    (edge && (c == '-' || before == '-' || before == c)))
			return false;
		before = c;
	}
	return s.n && s.n <= PREFIX_MAX_LEN;
}

static int check_key(struct scan *s, struct fl_str key)
{
	struct fl_str prefix, name = fl_str_cut(key, '/', &prefix);
	bool two = prefix.n < key.n;
	const char *why = NULL;
	if (two && !subdomain(prefix))
		why = "prefix part a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
		      "and must start and end with an alphanumeric character";
	else if (!label_name(two ? name : key) || !(two ? name : key).n)
		why = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
		      "alphanumeric character";
	if (!why)
		return 0;
	return fl_err_set(s->e, "couldn't parse the selector string \"%.*s\": " REQUIREMENT "<nil>: Invalid value: \"%.*s\": %s",
			  FL_FMT(s->all), FL_FMT(key), why);
}

static int check_values(struct scan *s, const struct term *t)
{
	for (unsigned i = 0; i < t->n; i++)
		if (!label_name(t->value[i]))
			return fl_err_set(s->e,
					  "couldn't parse the selector string \"%.*s\": " REQUIREMENT
					  "values[%u][%.*s]: Invalid value: \"%.*s\": %s",
					  FL_FMT(s->all), i, FL_FMT(t->key), FL_FMT(t->value[i]),
					  t->value[i].n > NAME_MAX_LEN
					      ? "must be no more than 63 bytes"
					      : "a valid label must be an empty string or consist of alphanumeric characters, "
						"'-', '_' or '.', and must start and end with an alphanumeric character");
	return 0;
}

/* ---- grammar ---- */

static void add_value(struct term *t, struct fl_str v)
{
	t->value = fl_xrealloc(t->value, (t->n + 1) * sizeof *t->value);
	t->value[t->n++] = v;
}

/* (a,b): empty values between commas count, and so does that of (). */
static int values(struct scan *s, struct term *t)
{
	if (s->tok != OPEN)
		return fail(s, REQUIREMENT, " expected: '('");
	next(s);
	for (;;) {
		bool word = is_word(s);
		add_value(t, word ? s->lit : FL_STR(""));
		if (word)
			next(s);
		if (s->tok == CLOSE)
			break;
		if (s->tok != COMMA)
			return fail(s, REQUIREMENT, word ? ", expected: ',' or ')'" : ", expected: ',', ')' or identifier");
		next(s);
	}
	next(s);
	return 0;
}

static int requirement(struct scan *s, struct term *t)
{
	bool absent = s->tok == NOT;
	if (absent)
		next(s);
	if (!is_word(s))
		return fail(s, REQUIREMENT, ", expected: identifier");
	t->key = s->lit;
	int ret = check_key(s, t->key);
	next(s);
	t->op = absent ? OP_ABSENT : OP_EXISTS;
	if (ret || absent || s->tok == END || s->tok == COMMA)
		return ret;
	t->op = s->tok == NOT_IN || s->tok == NOT_EQUALS ? OP_NOT_IN : OP_IN;
	if (s->tok == IN || s->tok == NOT_IN) {
		next(s);
		ret = values(s, t);
		return ret ? ret : check_values(s, t);
	}
	if (s->tok == OTHER && (*s->lit.p == '>' || *s->lit.p == '<'))
		return fl_err_set(s->e, "\"%s\" isn't supported in label selectors", *s->lit.p == '>' ? "gt" : "lt");
	if (s->tok != EQUALS && s->tok != NOT_EQUALS)
		return fail(s, REQUIREMENT, ", expected: in, notin, =, ==, !=, gt, lt");
	next(s);
	bool empty = s->tok == END || s->tok == COMMA;
	if (!empty && !is_word(s))
		return fail(s, REQUIREMENT, ", expected: identifier");
	add_value(t, empty ? FL_STR("") : s->lit);
	if (!empty)
		next(s);
	return check_values(s, t);
}

static int parse(struct fl_selector *sel, struct scan *s)
{
	next(s);
	while (s->tok != END) {
		if (!is_word(s) && s->tok != NOT)
			return fail(s, "",
				    sel->n ? ", expected: identifier after ','" : ", expected: !, identifier, or 'end of string'");
		sel->term = fl_xrealloc(sel->term, (sel->n + 1) * sizeof *sel->term);
		sel->term[sel->n] = (struct term){ 0 };
		int ret = requirement(s, &sel->term[sel->n++]);
		if (ret)
			return ret;
		if (s->tok == END)
			return 0;
		if (s->tok != COMMA)
			return fail(s, "", ", expected: ',' or 'end of string'");
		next(s);
		if (s->tok == END)
			return fail(s, "", ", expected: identifier after ','");
	}
	return 0;
}

struct fl_selector *fl_selector_parse(struct fl_str text, struct fl_err *e)
{
	struct fl_selector *sel = fl_xalloc(sizeof *sel);
	sel->text = fl_xstrndup(text.p, text.n);
	struct fl_str all = { sel->text, text.n };
	if (parse(sel, &(struct scan){ .rest = all, .all = all, .e = e })) {
		fl_selector_free(sel);
		return NULL;
	}
	return sel;
}

/* ---- use ---- */

static bool term_match(const struct term *t, const struct fl_label_in *label, unsigned n)
{
	const struct fl_label_in *l = NULL;
	for (unsigned i = 0; i < n && !l; i++)
		if (fl_str_eq(label[i].key, t->key))
			l = &label[i];
	if (t->op == OP_EXISTS || t->op == OP_ABSENT)
		return (l != NULL) == (t->op == OP_EXISTS);
	bool in = false;
	for (unsigned i = 0; l && i < t->n; i++)
		in |= fl_str_eq(l->value, t->value[i]);
	return t->op == OP_IN ? in : !in;
}

bool fl_selector_match(const struct fl_selector *s, const struct fl_label_in *label, unsigned n)
{
	for (unsigned i = 0; s && i < s->n; i++)
		if (!term_match(&s->term[i], label, n))
			return false;
	return true;
}

void fl_selector_free(struct fl_selector *s)
{
	if (!s)
		return;
	for (unsigned i = 0; i < s->n; i++)
		free(s->term[i].value);
	free(s->term);
	free(s->text);
	free(s);
}

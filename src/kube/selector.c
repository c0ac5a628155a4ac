/* Kubernetes label selectors: k=v, k==v, k!=v, k, !k, k in (a,b), k notin (a,b), separated by commas. */
#include "kube/source.h"
#include <stdlib.h>

enum op { OP_IN, OP_NOT_IN, OP_EXISTS, OP_ABSENT };
enum { TERMS = 32, VALUES = 32 };
struct term { enum op op; struct fl_str key, value[VALUES]; unsigned n; };
struct fl_selector { char *text; struct term term[TERMS]; unsigned n; };

struct scan { struct fl_str rest, all; struct fl_err *e; };

static bool word_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.' || c == '/';
}

static struct fl_str word(struct scan *s)
{
	s->rest = fl_str_trim(s->rest);
	size_t n = 0;
	while (n < s->rest.n && word_char(s->rest.p[n]))
		n++;
	struct fl_str w = { s->rest.p, n };
	s->rest = fl_str_trim((struct fl_str){ s->rest.p + n, s->rest.n - n });
	return w;
}

static bool take(struct scan *s, const char *token)
{
	struct fl_str t = fl_str(token);
	s->rest = fl_str_trim(s->rest);
	if (!fl_str_starts(s->rest, t))
		return false;
	s->rest = fl_str_trim((struct fl_str){ s->rest.p + t.n, s->rest.n - t.n });
	return true;
}

static int fail(struct scan *s, const char *expected)
{
	struct fl_str found = { s->rest.p, s->rest.n > 20 ? 20 : s->rest.n };
	return fl_err_set(s->e, "unable to parse requirement: found '%.*s', expected: %s", FL_FMT(found), expected);
}

static int values(struct scan *s, struct term *t)
{
	if (!take(s, "("))
		return fail(s, "'('");
	do {
		if (t->n == VALUES)
			return fail(s, "at most 32 values");
		t->value[t->n++] = word(s);
	} while (take(s, ","));
	return take(s, ")") ? 0 : fail(s, "',' or ')'");
}

static int term(struct scan *s, struct term *t)
{
	bool absent = take(s, "!");
	t->key = word(s);
	if (!t->key.n)
		return fail(s, "identifier");
	if (absent) {
		t->op = OP_ABSENT;
		return 0;
	}
	t->op = OP_IN;
	t->n = 1;
	if (take(s, "!=")) {
		t->op = OP_NOT_IN;
		t->value[0] = word(s);
		return 0;
	}
	if (take(s, "==") || take(s, "=")) {
		t->value[0] = word(s);
		return 0;
	}
	t->n = 0;
	struct scan before = *s;
	struct fl_str op = word(s);
	if (fl_str_is(op, "in") || fl_str_is(op, "notin")) {
		t->op = fl_str_is(op, "in") ? OP_IN : OP_NOT_IN;
		return values(s, t);
	}
	*s = before;
	t->op = OP_EXISTS;
	return 0;
}

struct fl_selector *fl_selector_parse(struct fl_str text, struct fl_err *e)
{
	struct fl_selector *sel = fl_xalloc(sizeof *sel);
	sel->text = fl_xstrndup(text.p, text.n);
	struct scan s = { { sel->text, text.n }, { sel->text, text.n }, e };
	s.rest = fl_str_trim(s.rest);
	while (s.rest.n) {
		int ret = sel->n == TERMS ? fail(&s, "at most 32 requirements") : term(&s, &sel->term[sel->n]);
		sel->n++;
		if (!ret && s.rest.n && !take(&s, ","))
			ret = fail(&s, "in, notin, =, ==, !=, or ','");
		if (ret) {
			fl_selector_free(sel);
			return NULL;
		}
	}
	return sel;
}

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
	free(s->text);
	free(s);
}

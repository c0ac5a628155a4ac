#include "lang/gotmpl.h"
#include <errno.h>

enum { PARTS_MAX = 64 };

static bool name_char(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'; }

static struct fl_str word(struct fl_str *s)
{
	*s = fl_str_trim(*s);
	size_t n = 0;
	if (s->n && s->p[0] == '"') {
		const char *end = memchr(s->p + 1, '"', s->n - 1);
		n = end ? (size_t)(end - s->p) + 1 : s->n;
	} else {
		while (n < s->n && s->p[n] != ' ' && s->p[n] != '\t' && s->p[n] != '\n')
			n++;
	}
	struct fl_str w = { s->p, n };
	*s = (struct fl_str){ s->p + n, s->n - n };
	return w;
}

/* .Field or .Field.key */
static int field(struct fl_tmpl_part *p, struct fl_str w, const char *const *fields, struct fl_err *e)
{
	if (w.n < 2 || w.p[0] != '.')
		return fl_err_set(e, "'%.*s' is not supported in templates yet", FL_FMT(w));
	struct fl_str key = fl_str_cut((struct fl_str){ w.p + 1, w.n - 1 }, '.', &p->field);
	for (size_t i = 1; i < w.n; i++)
		if (!name_char(w.p[i]) && w.p[i] != '.')
			return fl_err_set(e, "'%.*s' is not supported in templates yet", FL_FMT(w));
	p->key = key;
	for (; *fields; fields++)
		if (fl_str_is(p->field, *fields))
			return 0;
	return fl_err_set(e, "field .%.*s is not supported in templates yet", FL_FMT(p->field));
}

static int action(struct fl_tmpl_part *p, struct fl_str text, const char *const *fields, struct fl_err *e)
{
	struct fl_str first = word(&text), second = word(&text), third = word(&text);
	int64_t n;
	p->index = -1;
	if (!fl_str_is(first, "index")) {
		int ret = field(p, first, fields, e);
		return ret ? ret : second.n ? fl_err_set(e, "'%.*s' is not supported in templates yet", FL_FMT(second)) : 0;
	}
	int ret = field(p, second, fields, e);
	if (ret)
		return ret;
	if (third.n > 2 && third.p[0] == '"' && !p->key.n)
		p->key = (struct fl_str){ third.p + 1, third.n - 2 };
	else if (!fl_parse_int(third, 0, 1000, &n) && !p->key.n)
		p->index = (int)n;
	else
		return fl_err_set(e, "'index' takes a field and a number or a quoted key here");
	return fl_str_trim(text).n ? fl_err_set(e, "'index' with more than one key is not supported in templates yet") : 0;
}

static int add_text(struct fl_tmpl *t, struct fl_str text, bool trim_left, bool trim_right)
{
	struct fl_str trimmed = fl_str_trim(text);
	if (trim_left) {
		text.n -= (size_t)(trimmed.p - text.p);
		text.p = trimmed.p;
	}
	if (trim_right)
		text.n = (size_t)(trimmed.p + trimmed.n - text.p);
	if (!text.n)
		return 0;
	if (t->n == PARTS_MAX)
		return -E2BIG;
	t->part[t->n++] = (struct fl_tmpl_part){ .text = text, .index = -1 };
	return 0;
}

int fl_tmpl_compile(struct fl_tmpl *t, struct fl_arena *a, struct fl_str text, const char *const *fields, struct fl_err *e)
{
	bool trim = false;
	*t = (struct fl_tmpl){ .part = fl_alloc(a, PARTS_MAX * sizeof *t->part), .literal = true };
	text = fl_arena_str(a, text);
	if (!t->part || !text.p)
		return -ENOMEM;
	for (;;) {
		const char *open = memmem(text.p, text.n, "{{", 2);
		struct fl_str before = { text.p, open ? (size_t)(open - text.p) : text.n };
		bool minus = open && (size_t)(open - text.p) + 3 < text.n && open[2] == '-' && (open[3] == ' ' || open[3] == '\t');
		if (add_text(t, before, trim, minus))
			return fl_err_set(e, "more than %d parts", PARTS_MAX);
		if (!open)
			return 0;
		text = (struct fl_str){ open + 2 + minus, (size_t)(text.p + text.n - open) - 2 - minus };
		const char *close = memmem(text.p, text.n, "}}", 2);
		if (!close)
			return fl_err_set(e, "unclosed action");
		struct fl_str inside = { text.p, (size_t)(close - text.p) };
		text = (struct fl_str){ close + 2, text.n - inside.n - 2 };
		trim = inside.n > 1 && inside.p[inside.n - 1] == '-' && inside.p[inside.n - 2] == ' ';
		inside.n -= trim;
		inside = fl_str_trim(inside);
		if (fl_str_starts(inside, FL_STR("/*")) && fl_str_ends(inside, FL_STR("*/")))
			continue;
		if (!inside.n)
			return fl_err_set(e, "missing value for command");
		if (t->n == PARTS_MAX)
			return fl_err_set(e, "more than %d parts", PARTS_MAX);
		t->literal = false;
		t->part[t->n] = (struct fl_tmpl_part){ 0 };
		int ret = action(&t->part[t->n++], inside, fields, e);
		if (ret)
			return ret;
	}
}

struct fl_str fl_tmpl_run(const struct fl_tmpl *t, struct fl_arena *a, struct fl_str (*value)(void *arg, const struct fl_tmpl_part *p), void *arg)
{
	struct fl_str v[PARTS_MAX], none = { NULL, 0 };
	size_t n = 0;
	for (unsigned i = 0; i < t->n; i++) {
		v[i] = t->part[i].field.n ? value(arg, &t->part[i]) : t->part[i].text;
		if (!v[i].p)
			v[i] = FL_STR("<no value>");
		n += v[i].n;
	}
	char *out = fl_alloc(a, n + 1), *p = out;
	if (!out)
		return none;
	for (unsigned i = 0; i < t->n; i++) {
		fl_put_bytes(p, v[i].p, v[i].n);
		p += v[i].n;
	}
	*p = 0;
	return (struct fl_str){ out, n };
}

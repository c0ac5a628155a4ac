#include "conf/tree.h"
#include "conf/conf_int.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

struct scan {
	struct fl_arena *a;
	const char *text, *p, *end;
	int line;
	struct fl_str word;             /* the one just read */
	int first, last;                /* lines that it begins and ends on */
	struct fl_str above;            /* comments in lines of their own since the last statement */
	struct fl_str beside;           /* one in the line of the last word */
	struct fl_err *e;
	int *at;
};

/* What is being built: the statements that are open, and the one that still takes words. */
struct build {
	struct fl_stmt *open[FL_TREE_DEPTH + 1], **tail[FL_TREE_DEPTH + 1];
	unsigned depth, cap;
	struct fl_stmt *stmt;
	struct fl_stmt *told;           /* whose line it is: a comment beside is its own */
	int last;                       /* line of its last word */
};

static int __attribute__((format(printf, 3, 4))) wrong(struct scan *s, int line, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	char text[256];
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	*s->at = line;
	return fl_err_set(s->e, "%s", text);
}

/* ---- words and comments ---- */

static struct fl_str join(struct fl_arena *a, struct fl_str x, struct fl_str y)
{
	if (!x.n || !y.n)
		return x.n ? x : y;
	struct fl_conf_buf b = { 0 };
	fl_conf_buf_add(&b, x.p, x.n);
	fl_conf_buf_add(&b, "\n", 1);
	fl_conf_buf_add(&b, y.p, y.n);
	struct fl_str out = fl_arena_str(a, (struct fl_str){ b.p, b.n });
	fl_conf_buf_finish(&b);
	return out.p ? out : x;
}

/* Whether the comments so far are a span of the text with nothing but blanks from there to here: then that span grows, without a copy
 * for each line. */
static bool follows(const struct scan *s, const char *from)
{
	const char *end = s->above.p + s->above.n;
	if (!s->above.n || s->above.p < s->text || end > from)
		return false;
	return !fl_str_trim((struct fl_str){ end, (size_t)(from - end) }).n;
}

static void comment(struct scan *s, bool own_line)
{
	const char *from = s->p, *nl = memchr(from, '\n', (size_t)(s->end - from));
	s->p = nl ? nl : s->end;
	struct fl_str text = fl_str_trim((struct fl_str){ from, (size_t)(s->p - from) });
	if (!own_line)
		s->beside = text;
	else if (follows(s, from))
		s->above.n = (size_t)(text.p + text.n - s->above.p);
	else
		s->above = join(s->a, s->above, text);
}

/* To the first rune of the next word; false at the end. */
static bool gap(struct scan *s)
{
	bool own_line = s->last == 0;
	s->beside = FL_STR("");
	while (s->p < s->end) {
		uint32_t r;
		unsigned n = fl_conf_rune(s->p, s->end, &r);
		if (r == '#') {
			comment(s, own_line);
			continue;
		}
		if (!fl_conf_rune_is_space(r))
			return true;
		own_line = own_line || r == '\n';
		s->line += r == '\n';
		s->p += n;
	}
	return false;
}

static int quoted(struct scan *s)
{
	for (s->p++; s->p < s->end; s->p++) {
		s->line += *s->p == '\n';
		if (*s->p == '\\' && s->p + 1 < s->end && s->p[1] != '\n')
			s->p++;
		else if (*s->p == '"') {
			s->p++;
			return 0;
		}
	}
	return wrong(s, s->first, "a quote is not closed");
}

/* 1: a word; 0: the end; or -EINVAL. */
static int next(struct scan *s)
{
	if (!gap(s))
		return 0;
	const char *from = s->p;
	s->first = s->line;
	if (*from == '"') {
		if (quoted(s))
			return -EINVAL;
	} else {
		uint32_t r;
		for (unsigned n; s->p < s->end; s->p += n) {
			n = fl_conf_rune(s->p, s->end, &r);
			if (fl_conf_rune_is_space(r) && (r != '\r' || s->p + 1 == s->end || s->p[1] == '\n'))
				break;
		}
	}
	s->word = (struct fl_str){ from, (size_t)(s->p - from) };
	while (s->word.p[s->word.n - 1] == '\r')        /* the lexer passes these over */
		s->word.n--;
	s->last = s->line;
	return 1;
}

/* ---- statements ---- */

static int add_word(struct scan *s, struct build *b)
{
	struct fl_stmt *st = b->stmt;
	struct fl_str *word = fl_conf_grow(s->a, st->word, st->nword, &b->cap, sizeof *word);
	if (!word)
		return -ENOMEM;
	st->word = word;
	st->word[st->nword++] = s->word;
	b->last = s->last;
	return 0;
}

static int begin(struct scan *s, struct build *b)
{
	struct fl_stmt *st = fl_zalloc(s->a, sizeof *st);
	b->cap = 0;
	if (!st)
		return -ENOMEM;
	*st = (struct fl_stmt){ .line = s->first, .above = s->above };
	s->above = FL_STR("");
	*b->tail[b->depth] = st;
	b->tail[b->depth] = &st->next;
	b->stmt = b->told = st;
	return add_word(s, b);
}

static int brace(struct scan *s, struct build *b)
{
	if (*s->word.p == '}') {
		if (!b->depth)
			return wrong(s, s->first, "'}' closes nothing");
		b->open[b->depth]->end = s->above;
		s->above = FL_STR("");
		b->depth--;
		b->stmt = b->told = NULL;
		return 0;
	}
	if (!b->stmt)
		return wrong(s, s->first, "'{' without a name before it");
	if (b->depth == FL_TREE_DEPTH)
		return wrong(s, s->first, "more than %d levels of braces", FL_TREE_DEPTH);
	b->stmt->braces = true;
	b->open[++b->depth] = b->stmt;
	b->tail[b->depth] = &b->stmt->child;
	b->told = b->stmt;
	b->stmt = NULL;
	return 0;
}

static void beside(struct scan *s, struct build *b)
{
	if (s->beside.n && b->told && !b->told->beside.n)
		b->told->beside = s->beside;
	else
		s->above = join(s->a, s->beside, s->above);
}

static int one(struct scan *s, struct build *b)
{
	beside(s, b);
	if (fl_str_is(s->word, "{") || fl_str_is(s->word, "}"))
		return brace(s, b);
	bool more = b->stmt && (s->first == b->last ||
				(!b->depth && b->stmt->word[b->stmt->nword - 1].p[b->stmt->word[b->stmt->nword - 1].n - 1] == ','));
	return more ? add_word(s, b) : begin(s, b);
}

/* One server block may go without braces: then all that follows its keys is its own. */
static int give_braces(struct scan *s, struct fl_stmt *root)
{
	unsigned blocks = 0;
	for (struct fl_stmt *st = root->child; st; st = st->next) {
		if (fl_stmt_is(st, "import"))
			continue;
		if (st->braces) {
			blocks += !fl_stmt_is_snippet(st);
			continue;
		}
		if (blocks)
			return wrong(s, st->line, "\"%.*s\" stands outside of a server block", (int)(st->word->n < 100 ? st->word->n : 100), st->word->p);
		st->braces = true;
		st->child = st->next;
		st->next = NULL;
	}
	return 0;
}

int fl_tree_parse(struct fl_arena *a, struct fl_str text, struct fl_stmt *root, int *line, struct fl_err *e)
{
	struct scan s = { .a = a, .text = text.p, .p = text.p, .end = text.p + text.n, .line = 1, .e = e, .at = line, .above = FL_STR(""), .beside = FL_STR("") };
	struct build b = { .open = { root }, .tail = { &root->child } };
	uint32_t r;
	int got, ret = 0;
	*root = (struct fl_stmt){ .braces = true };
	*line = 1;
	if (text.n && fl_conf_rune(s.p, s.end, &r) == 3 && r == 0xFEFF)
		s.p += 3;
	while (!ret && (got = next(&s)))
		ret = got < 0 ? got : one(&s, &b);
	if (!ret && b.depth)
		ret = wrong(&s, b.open[b.depth]->line, "the brace of \"%.*s\" is not closed", (int)(b.open[b.depth]->word->n < 100 ? b.open[b.depth]->word->n : 100),
			    b.open[b.depth]->word->p);
	beside(&s, &b);
	root->end = s.above;
	if (ret == -ENOMEM)
		ret = fl_err_set(e, "too large");
	return ret ? ret : give_braces(&s, root);
}

/* ---- text ---- */

static void put(struct fl_conf_buf *b, const char *z) { fl_conf_buf_add(b, z, strlen(z)); }

static void indent(struct fl_conf_buf *b, unsigned depth)
{
	for (unsigned i = 0; i < depth; i++)
		put(b, "    ");
}

static void comments(struct fl_conf_buf *b, struct fl_str lines, unsigned depth)
{
	for (struct fl_str rest = lines, line; rest.n;) {
		rest = fl_str_cut(rest, '\n', &line);
		line = fl_str_trim(line);
		if (!line.n)
			continue;
		indent(b, depth);
		fl_conf_buf_add(b, line.p, line.n);
		put(b, "\n");
	}
}

static void head(struct fl_conf_buf *b, const struct fl_stmt *s, unsigned depth, bool open)
{
	comments(b, s->above, depth);
	indent(b, depth);
	for (unsigned i = 0; i < s->nword; i++) {
		put(b, i ? " " : "");
		fl_conf_buf_add(b, s->word[i].p, s->word[i].n);
	}
	put(b, open ? " {" : "");
	if (s->beside.n) {
		put(b, " ");
		fl_conf_buf_add(b, s->beside.p, s->beside.n);
	}
	put(b, "\n");
}

struct fl_str fl_tree_text(struct fl_arena *a, const struct fl_stmt *root)
{
	struct fl_conf_buf b = { 0 };
	const struct fl_stmt *up[FL_TREE_DEPTH + 2], *s = root->child;
	unsigned depth = 0;
	while (s || depth) {
		if (!s) {
			s = up[--depth];
			comments(&b, s->end, depth + 1);
			indent(&b, depth);
			put(&b, "}\n");
			s = s->next;
			continue;
		}
		if (!depth && s != root->child)
			put(&b, "\n");
		bool open = s->braces && (s->child || s->end.n || !depth);
		head(&b, s, depth, open);
		if (open) {
			up[depth++] = s;
			s = s->child;
		} else {
			s = s->next;
		}
	}
	comments(&b, root->end, 0);
	struct fl_str out = fl_arena_str(a, (struct fl_str){ b.p ? b.p : "", b.n });
	fl_conf_buf_finish(&b);
	return out;
}

/* ---- changes ---- */

struct fl_str fl_stmt_word(const struct fl_stmt *s, unsigned i)
{
	struct fl_str w = i < s->nword ? s->word[i] : FL_STR("");
	if (w.n > 1 && w.p[0] == '"' && w.p[w.n - 1] == '"')
		return (struct fl_str){ w.p + 1, w.n - 2 };
	return w;
}

bool fl_stmt_is(const struct fl_stmt *s, const char *name) { return fl_str_is(fl_stmt_word(s, 0), name); }

struct fl_stmt *fl_stmt_find(const struct fl_stmt *parent, const char *name)
{
	struct fl_stmt *s = parent->child;
	while (s && !fl_stmt_is(s, name))
		s = s->next;
	return s;
}

bool fl_stmt_is_snippet(const struct fl_stmt *s)
{
	struct fl_str w = fl_stmt_word(s, 0);
	return w.n > 1 && w.p[0] == '(' && w.p[w.n - 1] == ')';
}

struct fl_stmt *fl_stmt_add(struct fl_arena *a, struct fl_stmt *parent, const char *text)
{
	struct fl_stmt *s = fl_zalloc(a, sizeof *s);
	struct fl_str rest = fl_arena_str(a, fl_str(text)), word;
	unsigned cap = 0;
	if (!s || !rest.p)
		return NULL;
	while (rest.n) {
		rest = fl_str_cut(rest, ' ', &word);
		struct fl_str *to = word.n ? fl_conf_grow(a, s->word, s->nword, &cap, sizeof word) : s->word;
		if (!to && word.n)
			return NULL;
		s->word = to;
		if (word.n)
			s->word[s->nword++] = word;
	}
	struct fl_stmt **last = parent ? &parent->child : NULL;
	while (last && *last)
		last = &(*last)->next;
	if (last) {
		*last = s;
		parent->braces = true;
	}
	return s;
}

void fl_stmt_drop(struct fl_arena *a, struct fl_stmt *parent, struct fl_stmt *s)
{
	struct fl_stmt **at = &parent->child;
	while (*at && *at != s)
		at = &(*at)->next;
	if (!*at)
		return;
	*at = s->next;
	struct fl_str *above = s->next ? &s->next->above : &parent->end;
	*above = join(a, s->above, *above);
	s->next = NULL;
	s->above = FL_STR("");
}

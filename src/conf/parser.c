#include "conf/conf_int.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- errors ---- */

static int located(struct fl_parser *p, const char *kind, const char *words)
{
	const struct fl_token *t = p->at == &p->head || p->at == &p->tail ? NULL : &p->at->t;
	struct fl_str file = t && t->file.n ? t->file : fl_str(p->c->file);
	return fl_err_set(p->e, "%.*s:%d - %s: %s", FL_FMT(file), t ? t->line : 0, kind, words);
}

int fl_parser_err(struct fl_parser *p, const char *fmt, ...)
{
	struct fl_err words;
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(words.msg, sizeof words.msg, fmt, ap);
	va_end(ap);
	return located(p, "Error during parsing", words.msg);
}

int fl_parser_too_large(struct fl_parser *p) { return fl_parser_err(p, "the configuration is too large"); }

static struct fl_str val(const struct fl_parser *p)
{
	return p->at == &p->head || p->at == &p->tail ? FL_STR("") : p->at->t.text;
}

static bool is(const struct fl_parser *p, const char *what) { return fl_str_is(val(p), what); }

static int syntax_err(struct fl_parser *p, const char *expected)
{
	struct fl_err words;
	struct fl_str v = val(p);
	snprintf(words.msg, sizeof words.msg, "Unexpected token '%.*s', expecting '%s'", FL_FMT(v), expected);
	return located(p, "Syntax error", words.msg);
}

/* ---- the list of tokens ---- */

static bool next(struct fl_parser *p)
{
	if (p->at == &p->tail || p->at->next == &p->tail)
		return false;
	p->at = p->at->next;
	return true;
}

static int last_line(const struct fl_token *t)
{
	int n = t->line;
	for (size_t i = 0; i < t->text.n; i++)
		n += t->text.p[i] == '\n';
	return n;
}

bool fl_parser_next_arg(struct fl_parser *p)
{
	if (p->at == &p->head || p->at == &p->tail || p->at->next == &p->tail)
		return false;
	const struct fl_token *t = &p->at->t, *n = &p->at->next->t;
	if (!fl_str_eq(t->file, n->file) || last_line(t) != n->line)
		return false;
	p->at = p->at->next;
	return true;
}

static bool on_new_line(const struct fl_parser *p)
{
	if (p->at == &p->head || p->at->prev == &p->head)
		return true;
	if (p->at == &p->tail)
		return false;
	const struct fl_token *before = &p->at->prev->t, *t = &p->at->t;
	return !fl_str_eq(before->file, t->file) || last_line(before) < t->line;
}

static void back(struct fl_parser *p)
{
	if (p->at->prev)
		p->at = p->at->prev;
}

int fl_parser_insert(struct fl_parser *p, struct fl_node *before, const struct fl_token *t)
{
	struct fl_node *n = p->ntokens < FL_CONF_TOKENS_MAX ? fl_alloc(&p->c->arena, sizeof *n) : NULL;
	if (!n)
		return fl_parser_too_large(p);
	p->ntokens++;
	*n = (struct fl_node){ .prev = before->prev, .next = before, .t = *t };
	n->prev->next = n;
	before->prev = n;
	return 0;
}

void *fl_conf_grow(struct fl_arena *a, void *array, unsigned n, unsigned *cap, size_t size)
{
	if (n < *cap)
		return array;
	unsigned more = *cap ? *cap * 2 : 4;
	void *to = fl_alloc(a, more * size);
	if (!to)
		return NULL;
	if (n)
		memcpy(to, array, n * size);
	*cap = more;
	return to;
}

int fl_parser_lex(struct fl_parser *p, struct fl_str text, struct fl_str file, struct fl_snippet *out)
{
	struct fl_arena *a = &p->c->arena;
	struct fl_lexer l;
	unsigned cap = 0;
	int ret = 0, line;
	*out = (struct fl_snippet){ 0 };
	fl_lexer_init(&l, text);
	while (!ret && fl_lexer_next(&l, &line)) {
		struct fl_token *t = fl_conf_grow(a, out->tok, out->ntok, &cap, sizeof *t);
		struct fl_str s = fl_arena_str(a, (struct fl_str){ l.buf.n ? l.buf.p : "", l.buf.n });
		if (!t || !s.p || out->ntok == FL_CONF_TOKENS_MAX) {
			ret = fl_parser_too_large(p);
		} else {
			out->tok = t;
			t[out->ntok++] = (struct fl_token){ .text = s, .raw = s, .file = file, .line = line };
		}
	}
	fl_lexer_finish(&l);
	return ret;
}

/* ---- keys ---- */

static int add_key(struct fl_parser *p, struct fl_str key)
{
	struct fl_token *k = fl_conf_grow(&p->c->arena, p->key, p->nkey, &p->cap_key, sizeof *k);
	char *z = fl_alloc(&p->c->arena, key.n + 1);
	if (!k || !z)
		return fl_parser_too_large(p);
	memcpy(z, key.p, key.n);
	z[key.n] = 0;
	p->key = k;
	k[p->nkey] = p->at->t;
	k[p->nkey++].text = (struct fl_str){ z, key.n };
	return 0;
}

/* Up to the opening brace or the first directive; *eof: nothing comes behind the keys. */
static int keys(struct fl_parser *p, bool *eof)
{
	bool another = false;
	*eof = false;
	for (;;) {
		struct fl_str key;
		int ret = fl_parser_env(p, val(p), &key);
		if (ret)
			return ret;
		if (fl_str_is(key, "import") && on_new_line(p)) {
			if ((ret = fl_parser_import(p)))
				return ret;
			continue;
		}
		if (fl_str_is(key, "{"))
			return another ? fl_parser_err(p, "Expected another address but had '{' - check for extra comma") : 0;
		if (key.n) {
			another = key.p[key.n - 1] == ',';
			key.n -= another;
			if ((ret = add_key(p, key)))
				return ret;
		}
		if (!next(p)) {
			*eof = true;
			return another ? fl_parser_err(p, "Unexpected EOF") : 0;
		}
		if (!another && on_new_line(p))
			return 0;
	}
}

/* ---- directives ---- */

static bool is_known(const struct fl_parser *p, struct fl_str name)
{
	for (const char *const *k = p->known; k && *k; k++)
		if (fl_str_is(name, *k))
			return true;
	return !p->known;
}

/* The block's directive of that name, found or made; its index, or a negative errno. */
static int directive_at(struct fl_parser *p, struct fl_str name)
{
	void **value = fl_conf_map_at(&p->names, name);
	if (*value)
		return (int)(uintptr_t)*value - 1;
	if (p->ndir == p->cap_dir) {
		p->cap_dir = p->cap_dir ? p->cap_dir * 2 : 16;
		p->dir = fl_xrealloc(p->dir, p->cap_dir * sizeof *p->dir);
		p->cap_tok = fl_xrealloc(p->cap_tok, p->cap_dir * sizeof *p->cap_tok);
	}
	p->dir[p->ndir] = (struct fl_directive){ .name = name };
	p->cap_tok[p->ndir++] = 0;
	*value = (void *)(uintptr_t)p->ndir;
	return (int)p->ndir - 1;
}

static int add_token(struct fl_parser *p, int dir, const struct fl_token *t)
{
	struct fl_directive *d = &p->dir[dir];
	struct fl_token *to = fl_conf_grow(&p->c->arena, d->tok, d->ntok, &p->cap_tok[dir], sizeof *to);
	if (!to)
		return fl_parser_too_large(p);
	d->tok = to;
	to[d->ntok++] = *t;
	return 0;
}

/* One directive, to the end of its line or of its braces. */
static int directive(struct fl_parser *p)
{
	struct fl_token name = p->at->t;
	int nesting = 0, ret = fl_parser_env(p, name.text, &name.text);
	if (ret)
		return ret;
	if (!is_known(p, name.text))
		return fl_parser_err(p, "Unknown directive '%.*s'", FL_FMT(name.text));
	name.is_name = true;
	int dir = directive_at(p, name.text);
	ret = add_token(p, dir, &name);
	while (!ret && next(p)) {
		if (is(p, "{")) {
			nesting++;
		} else if (on_new_line(p) && !nesting) {
			back(p);
			break;
		} else if (is(p, "}") && nesting) {
			nesting--;
		} else if (is(p, "}")) {
			return fl_parser_err(p, "Unexpected '}' because no matching opening brace");
		} else if (is(p, "import") && on_new_line(p)) {
			if ((ret = fl_parser_import(p)))
				return ret;
			back(p);
			continue;
		}
		struct fl_token *t = &p->at->t;
		ret = fl_parser_env(p, t->text, &t->text);
		if (!ret)
			ret = add_token(p, dir, t);
	}
	return !ret && nesting ? fl_parser_err(p, "Unexpected EOF") : ret;
}

static int directives(struct fl_parser *p)
{
	int ret = 0;
	while (!ret && next(p)) {
		if (is(p, "}"))
			break;
		if (is(p, "import")) {
			ret = fl_parser_import(p);
			if (!ret)
				back(p);
		} else {
			ret = directive(p);
		}
	}
	return ret;
}

static int contents(struct fl_parser *p)
{
	bool braces = is(p, "{");
	if (!braces)
		back(p);
	int ret = directives(p);
	return !ret && braces && !is(p, "}") ? syntax_err(p, "}") : ret;
}

/* ---- snippets ---- */

static bool snippet_name(const struct fl_parser *p, struct fl_str *name)
{
	struct fl_str k = p->nkey == 1 ? p->key[0].text : FL_STR("");
	if (k.n < 2 || k.p[0] != '(' || k.p[k.n - 1] != ')')
		return false;
	*name = (struct fl_str){ k.p + 1, k.n - 2 };
	return true;
}

/* CoreDNS refuses a body that imports its own name where it is declared, used or not. */
static int refuse_self(struct fl_parser *p, const struct fl_snippet *s, struct fl_str name)
{
	for (unsigned i = 0; i + 1 < s->ntok; i++) {
		const struct fl_token *t = &s->tok[i];
		struct fl_str arg;
		if (!fl_str_is(t->text, "import") || (i && fl_str_eq(t[-1].file, t->file) && t[-1].line == t->line))
			continue;
		int ret = fl_parser_env(p, t[1].text, &arg);
		if (ret)
			return ret;
		if (fl_str_eq(arg, name))
			return fl_parser_err(p, "maximum snippet import depth (%d) exceeded", FL_CONF_SNIPPETS_MAX);
	}
	return 0;
}

static int snippet(struct fl_parser *p, struct fl_str name)
{
	struct fl_arena *a = &p->c->arena;
	if (fl_conf_map_get(&p->snippets, name))
		return fl_parser_err(p, "redeclaration of previously declared snippet %.*s", FL_FMT(name));
	if (!is(p, "{"))
		return syntax_err(p, "{");
	struct fl_snippet *s = fl_zalloc(a, sizeof *s);
	if (!s)
		return fl_parser_too_large(p);
	unsigned cap = 0, open = 1;
	while (next(p)) {
		if (is(p, "}") && !--open)
			break;
		open += is(p, "{");
		struct fl_token *t = fl_conf_grow(a, s->tok, s->ntok, &cap, sizeof *t);
		if (!t)
			return fl_parser_too_large(p);
		s->tok = t;
		t[s->ntok++] = p->at->t;
	}
	if (open)
		return syntax_err(p, "}");
	int ret = refuse_self(p, s, name);
	if (!ret)
		*fl_conf_map_at(&p->snippets, name) = s;
	return ret;
}

/* ---- blocks ---- */

static int add_block(struct fl_parser *p)
{
	struct fl_conf *c = p->c;
	struct fl_conf_block *b = fl_conf_grow(&c->arena, c->block, c->nblock, &p->cap_block, sizeof *b);
	struct fl_directive *d = fl_copy(&c->arena, p->dir, p->ndir * sizeof *d);
	if (!b || (p->ndir && !d))
		return fl_parser_too_large(p);
	c->block = b;
	b[c->nblock++] = (struct fl_conf_block){ .key = p->key, .nkey = p->nkey, .dir = d, .ndir = p->ndir };
	return 0;
}

static int block(struct fl_parser *p)
{
	bool eof;
	struct fl_str name;
	p->key = NULL;
	p->nkey = p->cap_key = p->ndir = 0;
	fl_conf_map_clear(&p->names);
	int ret = keys(p, &eof);
	if (ret)
		return ret;
	if (!eof && snippet_name(p, &name))
		return snippet(p, name);
	if (!eof && (ret = contents(p)))
		return ret;
	return p->nkey ? add_block(p) : 0;
}

static int parse(struct fl_parser *p, struct fl_str text)
{
	struct fl_snippet main_file;
	int ret = fl_parser_lex(p, text, FL_STR(""), &main_file);
	for (unsigned i = 0; i < main_file.ntok && !ret; i++)
		ret = fl_parser_insert(p, &p->tail, &main_file.tok[i]);
	while (!ret && next(p))
		ret = block(p);
	return ret;
}

/* Absolute and clean. */
static const char *folder(struct fl_arena *a, const char *base)
{
	char *here = getcwd(NULL, 0);
	struct fl_str r = fl_path_join(a, fl_str(here ? here : "/"), fl_str(base));
	free(here);
	return r.p ? r.p : "/";
}

int fl_conf_parse(struct fl_conf *c, const char *file, struct fl_str text, const char *base, const char *const *known,
		  struct fl_err *e)
{
	*c = (struct fl_conf){ 0 };
	fl_arena_init(&c->arena, NULL, 0, NULL, FL_CONF_ARENA_MAX);
	c->file = fl_arena_str(&c->arena, fl_str(file)).p;
	fl_assert(c->file);
	struct fl_parser p = { .c = c, .e = e, .base = folder(&c->arena, base), .known = known };
	p.head.next = &p.tail;
	p.tail.prev = &p.head;
	p.at = &p.head;
	int ret = parse(&p, text);
	if (!ret)
		ret = fl_conf_hash(c, e);
	fl_conf_map_finish(&p.snippets);
	fl_conf_map_finish(&p.files);
	fl_conf_map_finish(&p.sources);
	fl_conf_map_finish(&p.names);
	fl_conf_buf_finish(&p.env);
	free(p.dir);
	free(p.cap_tok);
	c->arena.limit = SIZE_MAX / 2;  /* plugins' arguments come to lie here: not the text's to bound */
	return ret;
}

void fl_conf_finish(struct fl_conf *c)
{
	fl_arena_finish(&c->arena);
	*c = (struct fl_conf){ 0 };
}

/* After text/template/parse/parse.go; errors have its words ("template: NAME:LINE: …"). */
#include "lang/gotmpl_int.h"
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct parser {
	struct fl_arena *a;
	struct fl_tmpl *t;
	struct lexer lex;
	struct token back[3]; unsigned nback;
	struct fl_str var[FL_TMPL_VARS]; unsigned nvar;
	unsigned ranges, nest;
	size_t at;                      /* of the token read last */
	int ret;                        /* of the first error */
	struct fl_err *e;
};

/* ---- errors ---- */

static void *fail(struct parser *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void *fail(struct parser *p, const char *fmt, ...)
{
	char words[320];
	unsigned line = 1;
	va_list ap;
	if (p->ret)
		return NULL;
	for (size_t i = 0; i < p->at && i < p->t->text.n; i++)
		line += p->t->text.p[i] == '\n';
	va_start(ap, fmt);
	vsnprintf(words, sizeof words, fmt, ap);
	va_end(ap);
	p->ret = fl_err_set(p->e, "template: %s:%u: %s", p->t->name, line, words);
	return NULL;
}

static void *later(struct parser *p, struct fl_str what)
{
	return fail(p, "%.*s is known, but this version of fairlead does not support it yet", FL_FMT(what));
}

static void *no_memory(struct parser *p)
{
	p->ret = p->ret ? p->ret : -ENOMEM;
	return NULL;
}

/* ---- tokens ---- */

static struct token next(struct parser *p)
{
	struct token t = { T_EOF, { "", 0 }, p->lex.pos };
	if (p->nback)
		t = p->back[--p->nback];
	else if (!p->ret && fl_tmpl_lex(&p->lex, &t)) {
		p->at = p->lex.pos;
		if (strstr(p->lex.err, "%.*s"))
			fail(p, "%.*sU+%04X '%.*s'", (int)(strlen(p->lex.err) - 4), p->lex.err, (uint8_t)p->lex.bad.p[0], FL_FMT(p->lex.bad));
		else
			fail(p, "%s", p->lex.err);
		t.kind = T_EOF;
	}
	p->at = t.pos;
	return t;
}

static void back(struct parser *p, struct token t) { p->back[p->nback++] = t; }

static struct token next_word(struct parser *p)
{
	struct token t = next(p);
	while (t.kind == T_SPACE)
		t = next(p);
	return t;
}

static struct token peek_word(struct parser *p)
{
	struct token t = next_word(p);
	back(p, t);
	return t;
}

static void *unexpected(struct parser *p, struct token t, const char *context)
{
	if (t.kind == T_EOF)
		return fail(p, "unexpected EOF");
	return fail(p, t.kind == T_KEYWORD || t.kind == T_DOT || t.kind == T_NIL ? "unexpected <%.*s> in %s" : "unexpected \"%.*s\" in %s", FL_FMT(t.text), context);
}

static bool keyword(struct token t, const char *word) { return t.kind == T_KEYWORD && fl_str_is(t.text, word); }

/* ---- nodes ---- */

static struct tnode *node(struct parser *p, enum tnode_kind kind, size_t pos)
{
	struct tnode *n = fl_zalloc(p->a, sizeof *n);
	if (!n)
		return no_memory(p);
	n->kind = kind;
	n->pos = pos;
	return n;
}

static void append(struct tnode *list, struct tnode *n)
{
	if (list->last)
		list->last->next = n;
	else
		list->first = n;
	list->last = n;
	list->n++;
}

static void add_ident(struct parser *p, struct tnode *n, struct fl_str field)
{
	struct fl_str *all = fl_alloc(p->a, (n->nident + 1) * sizeof *all);
	if (!all) {
		no_memory(p);
		return;
	}
	fl_put_bytes(all, n->ident, n->nident * sizeof *all);
	all[n->nident++] = (struct fl_str){ field.p + 1, field.n - 1 };
	n->ident = all;
}

/* ---- numbers ---- */

static struct tnode *bad_number(struct parser *p, const char *why, struct fl_str text) { return fail(p, "%s: \"%.*s\"", why, FL_FMT(text)); }

/* Without the underscores, which may stand between digits and behind a prefix. */
static bool plain(char to[64], struct fl_str text)
{
	size_t n = 0;
	for (size_t i = 0; i < text.n; i++) {
		bool alnum = i && i + 1 < text.n && strchr("0123456789abcdefABCDEFxXoO", text.p[i - 1]) && strchr("0123456789abcdefABCDEF", text.p[i + 1]);
		if (text.p[i] == '_' && !alnum)
			return false;
		if (text.p[i] != '_')
			to[n++] = text.p[i];
	}
	to[n] = 0;
	return true;
}

/* 0x1f, 0b11, 0o7, 017, 15; the sign apart. */
static bool integer(const char *s, uint64_t *v)
{
	unsigned base = 10;
	if (s[0] == '0' && s[1]) {
		char c = (char)(s[1] | 0x20);
		base = c == 'x' ? 16 : c == 'b' ? 2 : 8;
		s += c == 'x' || c == 'b' || c == 'o' ? 2 : 1;
	}
	*v = 0;
	if (!*s)
		return false;
	for (; *s; s++) {
		unsigned d = *s >= '0' && *s <= '9' ? (unsigned)(*s - '0') : (unsigned)((*s | 0x20) - 'a') + 10;
		if (d >= base || *v > (UINT64_MAX - d) / base)
			return false;
		*v = *v * base + d;
	}
	return true;
}

static void set_integer(struct tnode *n, uint64_t v, bool minus)
{
	n->whole = v <= (uint64_t)INT64_MAX + minus;
	n->natural = !minus || !v;
	n->value = (struct fl_tmpl_value){ .kind = FL_TMPL_INT, .i = minus ? (int64_t)-v : (int64_t)v };
}

static struct tnode *number(struct parser *p, struct token t)
{
	struct tnode *n = node(p, N_NUMBER, t.pos);
	char text[64], *end;
	uint64_t v;
	if (!n)
		return NULL;
	n->src = t.text;
	if (t.text.n > 60 || !plain(text, t.text) || (t.text.n == 1 && !(text[0] >= '0' && text[0] <= '9')))
		return bad_number(p, "illegal number syntax", t.text);
	if (text[strlen(text) - 1] == 'i')
		return later(p, FL_STR("a complex number"));
	bool minus = text[0] == '-';
	const char *digits = text + (minus || text[0] == '+');
	if (integer(digits, &v)) {
		set_integer(n, v, minus);
		return n;
	}
	bool hex = digits[0] == '0' && (digits[1] | 0x20) == 'x';
	double f = strtod(text, &end);
	if (*end || !strpbrk(text, hex ? "pP" : ".eE") || !isfinite(f))
		return bad_number(p, digits[strspn(digits, "0123456789")] ? "bad number syntax" : "integer overflow", t.text);
	if (f == trunc(f) && f >= -0x1p63 && f < 0x1p63)
		set_integer(n, (uint64_t)(int64_t)fabs(f), f < 0);
	n->real = true;
	n->value = (struct fl_tmpl_value){ .kind = FL_TMPL_FLOAT, .f = f };
	return n;
}

static struct tnode *rune(struct parser *p, struct token t)
{
	struct tnode *n = node(p, N_NUMBER, t.pos);
	struct fl_str s;
	if (!n)
		return NULL;
	n->src = t.text;
	if (t.text.n == 2)
		return fail(p, "invalid syntax");
	if (fl_tmpl_unquote(p->a, t.text, &s) || !s.n)
		return fail(p, "malformed character constant: %.*s", FL_FMT(t.text));
	uint8_t c = (uint8_t)s.p[0];
	unsigned len = c < 0x80 || t.text.p[1] == '\\' ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	uint32_t v = c;
	if (c >= 0xc0 && s.n > 1) {
		len = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
		v = c & (0xffu >> (len + 1));
		for (unsigned i = 1; i < len && i < s.n; i++)
			v = v << 6 | ((uint8_t)s.p[i] & 63);
	}
	if (s.n != len)
		return fail(p, "malformed character constant: %.*s", FL_FMT(t.text));
	set_integer(n, v, false);
	return n;
}

static struct tnode *text(struct parser *p, struct token t)
{
	struct tnode *n = node(p, N_STRING, t.pos);
	if (!n)
		return NULL;
	n->src = t.text;
	n->value.kind = FL_TMPL_STR;
	int ret = fl_tmpl_unquote(p->a, t.text, &n->value.s);
	return ret == -ENOMEM ? no_memory(p) : ret ? fail(p, "invalid syntax") : n;
}

/* ---- operands ---- */

static struct tnode *pipeline(struct parser *p, const char *context, enum token_kind end);

/* The newest of that name: its place, or -1. */
static int find_var(const struct parser *p, struct fl_str name)
{
	int i = (int)p->nvar;
	while (i-- && !fl_str_eq(p->var[i], name))
		;
	return i;
}

static struct tnode *variable(struct parser *p, struct token t)
{
	struct tnode *n = node(p, N_VARIABLE, t.pos);
	int i = find_var(p, t.text);
	if (!n || i < 0)
		return n ? fail(p, "undefined variable \"%.*s\"", FL_FMT(t.text)) : NULL;
	n->decl[0] = (unsigned)i;
	n->src = t.text;
	return n;
}

static struct tnode *simple(struct parser *p, enum tnode_kind kind, struct token t)
{
	struct tnode *n = node(p, kind, t.pos);
	if (!n)
		return NULL;
	n->src = t.text;
	if (kind == N_FIELD)
		add_ident(p, n, t.text);
	if (kind == N_BOOL)
		n->value = (struct fl_tmpl_value){ .kind = FL_TMPL_BOOL, .b = t.text.n == 4 };
	return n;
}

static struct tnode *function(struct parser *p, struct token t)
{
	struct tnode *n = simple(p, N_IDENT, t);
	if (!n)
		return NULL;
	n->func = fl_tmpl_func(t.text);
	if (!n->func)
		return fail(p, "function \"%.*s\" not defined", FL_FMT(t.text));
	return n->func->id == F_LATER ? later(p, t.text) : n;
}

static struct tnode *parenthesis(struct parser *p)
{
	if (++p->nest > FL_TMPL_NEST)
		return fail(p, "max expression depth exceeded");
	struct tnode *n = pipeline(p, "parenthesized pipeline", T_CLOSE);
	p->nest--;
	return n;
}

/* NULL and no error: something else comes. */
static struct tnode *term(struct parser *p)
{
	struct token t = next_word(p);
	switch (t.kind) {
	case T_IDENT: return function(p, t);
	case T_DOT: return simple(p, N_DOT, t);
	case T_NIL: return simple(p, N_NIL, t);
	case T_VARIABLE: return variable(p, t);
	case T_FIELD: return simple(p, N_FIELD, t);
	case T_BOOL: return simple(p, N_BOOL, t);
	case T_NUMBER: return number(p, t);
	case T_CHAR: return rune(p, t);
	case T_OPEN: return parenthesis(p);
	case T_STRING: case T_RAW: return text(p, t);
	default:
		back(p, t);
		return NULL;
	}
}

static struct tnode *operand(struct parser *p)
{
	struct tnode *n = term(p), *inner = n;
	if (!n)
		return NULL;
	struct token t = next(p);
	back(p, t);
	if (t.kind != T_FIELD)
		return n;
	if (n->kind == N_BOOL || n->kind == N_STRING || n->kind == N_NUMBER || n->kind == N_NIL || n->kind == N_DOT)
		return n->kind == N_STRING ? fail(p, "unexpected . after term of text %.*s", FL_FMT(n->src)) :
					     fail(p, "unexpected . after term \"%.*s\"", FL_FMT(n->src));
	if (n->kind != N_FIELD && n->kind != N_VARIABLE) {
		if (!(n = node(p, N_CHAIN, t.pos)))
			return NULL;
		append(n, inner);
	}
	n->pos = t.pos;
	while ((t = next(p)).kind == T_FIELD)
		add_ident(p, n, t.text);
	back(p, t);
	return n;
}

/* ---- pipelines ---- */

static struct tnode *command(struct parser *p)
{
	struct tnode *c = node(p, N_COMMAND, peek_word(p).pos);
	while (c && !p->ret) {
		peek_word(p);
		struct tnode *n = operand(p);
		if (n)
			append(c, n);
		if (c->n > FL_TMPL_ARGS)
			return fail(p, "more than %d arguments", FL_TMPL_ARGS - 1);
		struct token t = next(p);
		if (t.kind == T_SPACE && !p->ret)
			continue;
		if (t.kind == T_RIGHT || t.kind == T_CLOSE)
			back(p, t);
		else if (t.kind != T_PIPE)
			return unexpected(p, t, "operand");
		break;
	}
	if (c && !p->ret && !c->n)
		return fail(p, "empty command");
	return p->ret ? NULL : c;
}

/* $x := and $x, $y := and $x = : -1 after an error. */
static int declare(struct parser *p, struct tnode *pipe, struct fl_str name)
{
	int i = pipe->assign ? find_var(p, name) : (int)p->nvar;
	if (i < 0)
		return fail(p, "undefined variable \"%.*s\"", FL_FMT(name)), -1;
	if (i == FL_TMPL_VARS)
		return fail(p, "more than %d variables", FL_TMPL_VARS), -1;
	if (!pipe->assign)
		p->var[p->nvar++] = name;
	pipe->decl[pipe->ndecl++] = (unsigned)i;
	return 0;
}

static void declarations(struct parser *p, struct tnode *pipe, const char *context)
{
	while (peek_word(p).kind == T_VARIABLE) {
		struct token v = next_word(p), after = next(p), t = after;
		while (t.kind == T_SPACE)
			t = next(p);
		bool comma = t.kind == T_COMMA, more = comma && !strcmp(context, "range") && !pipe->ndecl;
		if (t.kind != T_ASSIGN && t.kind != T_DECLARE && !comma) {
			back(p, t);
			if (after.kind == T_SPACE)
				back(p, after);
			back(p, v);
			return;
		}
		if (comma && !more) {
			fail(p, "too many declarations in %s", context);
			return;
		}
		pipe->dname[pipe->ndecl] = v.text;
		pipe->ndecl++;
		pipe->assign = t.kind == T_ASSIGN;
		if (!comma)
			return;
		if (peek_word(p).kind != T_VARIABLE) {
			fail(p, "range can only initialize variables");
			return;
		}
	}
}

static void check_stages(struct parser *p, const struct tnode *pipe, const char *context)
{
	unsigned stage = 1;
	if (!pipe->n)
		fail(p, "missing value for %s", context);
	for (const struct tnode *c = pipe->first; c; c = c->next, stage++) {
		enum tnode_kind k = c->first->kind;
		if (stage > 1 && (k == N_BOOL || k == N_DOT || k == N_NIL || k == N_NUMBER || k == N_STRING))
			fail(p, "non executable command in pipeline stage %u", stage);
	}
}

static struct tnode *pipeline(struct parser *p, const char *context, enum token_kind end)
{
	struct tnode *pipe = node(p, N_PIPE, peek_word(p).pos);
	if (!pipe)
		return NULL;
	declarations(p, pipe, context);
	unsigned named = pipe->ndecl;
	pipe->ndecl = 0;
	for (unsigned i = 0; i < named && !p->ret; i++)         /* $x := $x is the outer one in Go too, once it runs */
		declare(p, pipe, pipe->dname[i]);
	while (!p->ret) {
		struct token t = next_word(p);
		if (t.kind == end)
			break;
		if (t.kind < T_FIELD && t.kind != T_OPEN) {
			unexpected(p, t, context);
			break;
		}
		if (t.kind == T_KEYWORD) {
			unexpected(p, t, context);
			break;
		}
		back(p, t);
		struct tnode *c = command(p);
		if (c)
			append(pipe, c);
	}
	if (!p->ret)
		check_stages(p, pipe, context);
	return p->ret ? NULL : pipe;
}

/* ---- what stands between {{ and }} ---- */

enum stop { STOP_EOF, STOP_END, STOP_ELSE };
static struct tnode *items(struct parser *p, enum stop *stop);
static struct tnode *control(struct parser *p, enum tnode_kind kind);

static void branches(struct parser *p, struct tnode *n, enum tnode_kind kind, const char *context)
{
	enum stop stop;
	n->body = items(p, &stop);
	p->ranges -= kind == N_RANGE;
	if (stop == STOP_EOF)
		fail(p, "unexpected EOF");
	if (p->ret || stop != STOP_ELSE)
		return;
	struct token t = next_word(p);
	if (kind != N_RANGE && keyword(t, context)) {           /* {{else if}}: its {{end}} is ours too */
		if ((n->other = node(p, N_LIST, t.pos))) {
			struct tnode *inner = control(p, kind);
			if (inner)
				append(n->other, inner);
		}
		return;
	}
	if (t.kind != T_RIGHT) {
		unexpected(p, t, "else");
		return;
	}
	n->other = items(p, &stop);
	if (stop == STOP_EOF)
		fail(p, "unexpected EOF");
	if (stop == STOP_ELSE)
		fail(p, "expected end; found {{else}}");
}

static struct tnode *control(struct parser *p, enum tnode_kind kind)
{
	const char *context = kind == N_IF ? "if" : kind == N_WITH ? "with" : "range";
	unsigned vars = p->nvar;
	struct tnode *n = node(p, kind, peek_word(p).pos);
	if (!n || ++p->nest > FL_TMPL_NEST)
		return n ? fail(p, "max expression depth exceeded") : NULL;
	n->pipe = pipeline(p, context, T_RIGHT);
	p->ranges += kind == N_RANGE;
	if (!p->ret)
		branches(p, n, kind, context);
	p->nvar = vars;
	p->nest--;
	return p->ret ? NULL : n;
}

/* A chain of the root's fields that this version has not. Within range and with the dot may be something else. */
static void check_chains(struct parser *p, const struct tnode *n, bool alone)
{
	bool field = n->kind == N_FIELD || (n->kind == N_VARIABLE && !n->decl[0] && n->nident);
	const char *what = field && p->t->world->later ? p->t->world->later(n->ident, n->nident, alone) : NULL;
	if (what)
		later(p, fl_str(what));
	for (const struct tnode *k = n->first; k; k = k->next)
		check_chains(p, k, alone && n->n == 1);
}

static struct tnode *action(struct parser *p, enum stop *stop)
{
	struct token t = next_word(p);
	*stop = STOP_EOF;
	if (t.kind == T_KEYWORD) {
		if (fl_str_is(t.text, "if"))
			return control(p, N_IF);
		if (fl_str_is(t.text, "with"))
			return control(p, N_WITH);
		if (fl_str_is(t.text, "range"))
			return control(p, N_RANGE);
		if (fl_str_is(t.text, "define") || fl_str_is(t.text, "template") || fl_str_is(t.text, "block"))
			return later(p, t.text);
		if (fl_str_is(t.text, "else")) {
			*stop = STOP_ELSE;              /* what follows is looked at by who knows what was begun */
			return NULL;
		}
		bool end = fl_str_is(t.text, "end");
		struct token close = next_word(p);
		if (close.kind != T_RIGHT)
			return unexpected(p, close, end ? "end" : fl_str_is(t.text, "break") ? "{{break}}" : "{{continue}}");
		if (end) {
			*stop = STOP_END;
			return NULL;
		}
		if (!p->ranges)
			return fail(p, "{{%.*s}} outside {{range}}", FL_FMT(t.text));
		return node(p, fl_str_is(t.text, "break") ? N_BREAK : N_CONTINUE, t.pos);
	}
	back(p, t);
	struct tnode *n = node(p, N_ACTION, t.pos);
	if (n && (n->pipe = pipeline(p, "command", T_RIGHT)))
		check_chains(p, n->pipe, true);
	return n;
}

static struct tnode *items(struct parser *p, enum stop *stop)
{
	struct tnode *list = node(p, N_LIST, p->lex.pos);
	*stop = STOP_EOF;
	while (list && !p->ret) {
		struct token t = next_word(p);
		struct tnode *n;
		if (t.kind == T_EOF)
			break;
		if (t.kind == T_TEXT) {
			if ((n = node(p, N_TEXT, t.pos)))
				n->src = t.text;
		} else {
			n = action(p, stop);
			if (*stop != STOP_EOF)
				break;
			if (n && n->pipe && n->kind != N_ACTION)
				check_chains(p, n->pipe, false);
		}
		if (n)
			append(list, n);
	}
	return list;
}

/* ---- flat ones ---- */

/* .A, .A.b, index .A N, index .A "b" */
static bool flat_part(struct fl_tmpl_part *to, const struct tnode *n)
{
	const struct tnode *c = n->pipe->first, *f = c->first;
	if (n->pipe->n != 1 || n->pipe->ndecl)
		return false;
	to->index = -1;
	if (f->kind == N_FIELD && c->n == 1 && f->nident <= 2) {
		to->field = f->ident[0];
		to->key = f->nident == 2 ? f->ident[1] : (struct fl_str){ NULL, 0 };
		return true;
	}
	if (c->n != 3 || f->kind != N_IDENT || f->func->id != F_INDEX || f->next->kind != N_FIELD || f->next->nident != 1)
		return false;
	const struct tnode *key = f->next->next;
	to->field = f->next->ident[0];
	to->by_index = true;
	if (key->kind == N_STRING && key->value.s.n)
		return to->key = key->value.s, true;
	if (key->kind != N_NUMBER || key->real || !key->whole || key->value.i < 0 || key->value.i > 1000)
		return false;
	to->index = (int)key->value.i;
	return true;
}

static int flatten(struct fl_tmpl *t, struct fl_arena *a)
{
	t->literal = !t->root->n || (t->root->n == 1 && t->root->first->kind == N_TEXT);
	if (t->root->n > FL_TMPL_PARTS)
		return 0;
	struct fl_tmpl_part *part = fl_zalloc(a, (t->root->n + 1) * sizeof *part);
	unsigned n = 0;
	if (!part)
		return -ENOMEM;
	for (const struct tnode *i = t->root->first; i; i = i->next, n++) {
		if (i->kind == N_TEXT)
			part[n].text = i->src;
		else if (i->kind != N_ACTION || !flat_part(&part[n], i))
			return 0;
	}
	t->part = part;
	t->nparts = n;
	return 0;
}

int fl_tmpl_compile(struct fl_tmpl *t, struct fl_arena *a, const char *name, struct fl_str src, const struct fl_tmpl_world *world,
		    struct fl_err *e)
{
	struct fl_str own = fl_arena_str(a, src);
	*t = (struct fl_tmpl){ .world = world, .name = name, .text = own };
	if (!own.p)
		return -ENOMEM;
	struct parser p = { .a = a, .t = t, .lex = { .src = own }, .var = { FL_STR("$") }, .nvar = 1, .e = e };
	enum stop stop;
	t->root = items(&p, &stop);
	if (stop != STOP_EOF && !p.ret)
		fail(&p, "unexpected {{%s}}", stop == STOP_END ? "end" : "else");
	return p.ret ? p.ret : flatten(t, a);
}

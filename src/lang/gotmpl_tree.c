/* Errors, in the words of Go ("template: NAME:LINE: …"); tokens, which may be put back; nodes. */
#include "lang/gotmpl_parse_int.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

/* ---- errors ---- */

void *fl_tmpl_fail(struct parser *p, const char *fmt, ...)
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

void *fl_tmpl_later(struct parser *p, struct fl_str what)
{
	return fl_tmpl_fail(p, "%.*s is known, but this version of fairlead does not support it yet", FL_FMT(what));
}

void *fl_tmpl_no_memory(struct parser *p)
{
	p->ret = p->ret ? p->ret : -ENOMEM;
	return NULL;
}

/* ---- tokens ---- */

struct token fl_tmpl_next(struct parser *p)
{
	struct token t = { T_EOF, { "", 0 }, p->lex.pos };
	if (p->nback)
		t = p->back[--p->nback];
	else if (!p->ret && fl_tmpl_lex(&p->lex, &t)) {
		p->at = p->lex.pos;
		if (strstr(p->lex.err, "%.*s"))
			fl_tmpl_fail(p, "%.*sU+%04X '%.*s'", (int)(strlen(p->lex.err) - 4), p->lex.err, (uint8_t)p->lex.bad.p[0], FL_FMT(p->lex.bad));
		else
			fl_tmpl_fail(p, "%s", p->lex.err);
		t.kind = T_EOF;
	}
	p->at = t.pos;
	return t;
}

void fl_tmpl_back(struct parser *p, struct token t) { p->back[p->nback++] = t; }

struct token fl_tmpl_next_word(struct parser *p)
{
	struct token t = fl_tmpl_next(p);
	while (t.kind == T_SPACE)
		t = fl_tmpl_next(p);
	return t;
}

struct token fl_tmpl_peek_word(struct parser *p)
{
	struct token t = fl_tmpl_next_word(p);
	fl_tmpl_back(p, t);
	return t;
}

void *fl_tmpl_unexpected(struct parser *p, struct token t, const char *context)
{
	if (t.kind == T_EOF)
		return fl_tmpl_fail(p, "unexpected EOF");
	return fl_tmpl_fail(p, t.kind == T_KEYWORD || t.kind == T_DOT || t.kind == T_NIL ? "unexpected <%.*s> in %s" : "unexpected \"%.*s\" in %s", FL_FMT(t.text), context);
}

/* ---- nodes ---- */

struct tnode *fl_tmpl_node(struct parser *p, enum tnode_kind kind, size_t pos)
{
	struct tnode *n = fl_zalloc(p->a, sizeof *n);
	if (!n)
		return fl_tmpl_no_memory(p);
	n->kind = kind;
	n->pos = pos;
	return n;
}

void fl_tmpl_append(struct tnode *list, struct tnode *n)
{
	if (list->last)
		list->last->next = n;
	else
		list->first = n;
	list->last = n;
	list->n++;
}

void fl_tmpl_add_ident(struct parser *p, struct tnode *n, struct fl_str field)
{
	struct fl_str *all = fl_alloc(p->a, (n->nident + 1) * sizeof *all);
	if (!all) {
		fl_tmpl_no_memory(p);
		return;
	}
	fl_put_bytes(all, n->ident, n->nident * sizeof *all);
	all[n->nident++] = (struct fl_str){ field.p + 1, field.n - 1 };
	n->ident = all;
}

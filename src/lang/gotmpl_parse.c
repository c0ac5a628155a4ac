/* A template: its text, its actions, and what they enclose; after text/template/parse/parse.go. */
#include "lang/gotmpl_parse_int.h"
#include <errno.h>

/* ---- what stands between {{ and }} ---- */

static bool keyword(struct token t, const char *word) { return t.kind == T_KEYWORD && fl_str_is(t.text, word); }

enum stop { STOP_EOF, STOP_END, STOP_ELSE };
static struct tnode *items(struct parser *p, enum stop *stop);
static struct tnode *control(struct parser *p, enum tnode_kind kind);

static void branches(struct parser *p, struct tnode *n, enum tnode_kind kind, const char *context)
{
	enum stop stop;
	n->body = items(p, &stop);
	p->ranges -= kind == N_RANGE;
	if (stop == STOP_EOF)
		fl_tmpl_fail(p, "unexpected EOF");
	if (p->ret || stop != STOP_ELSE)
		return;
	struct token t = fl_tmpl_next_word(p);
	if (kind != N_RANGE && keyword(t, context)) {           /* {{else if}}: its {{end}} is ours too */
		if ((n->other = fl_tmpl_node(p, N_LIST, t.pos))) {
			struct tnode *inner = control(p, kind);
			if (inner)
				fl_tmpl_append(n->other, inner);
		}
		return;
	}
	if (t.kind != T_RIGHT) {
		fl_tmpl_unexpected(p, t, "else");
		return;
	}
	n->other = items(p, &stop);
	if (stop == STOP_EOF)
		fl_tmpl_fail(p, "unexpected EOF");
	if (stop == STOP_ELSE)
		fl_tmpl_fail(p, "expected end; found {{else}}");
}

static struct tnode *control(struct parser *p, enum tnode_kind kind)
{
	const char *context = kind == N_IF ? "if" : kind == N_WITH ? "with" : "range";
	unsigned vars = p->nvar;
	struct tnode *n = fl_tmpl_node(p, kind, fl_tmpl_peek_word(p).pos);
	if (!n || ++p->nest > FL_TMPL_NEST)
		return n ? fl_tmpl_fail(p, "max expression depth exceeded") : NULL;
	n->pipe = fl_tmpl_pipeline(p, context, T_RIGHT);
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
		fl_tmpl_later(p, fl_str(what));
	for (const struct tnode *k = n->first; k; k = k->next)
		check_chains(p, k, alone && n->n == 1);
}

static struct tnode *action(struct parser *p, enum stop *stop)
{
	struct token t = fl_tmpl_next_word(p);
	*stop = STOP_EOF;
	if (t.kind == T_KEYWORD) {
		if (fl_str_is(t.text, "if"))
			return control(p, N_IF);
		if (fl_str_is(t.text, "with"))
			return control(p, N_WITH);
		if (fl_str_is(t.text, "range"))
			return control(p, N_RANGE);
		if (fl_str_is(t.text, "define") || fl_str_is(t.text, "template") || fl_str_is(t.text, "block"))
			return fl_tmpl_later(p, t.text);
		if (fl_str_is(t.text, "else")) {
			*stop = STOP_ELSE;              /* what follows is looked at by who knows what was begun */
			return NULL;
		}
		bool end = fl_str_is(t.text, "end");
		struct token close = fl_tmpl_next_word(p);
		if (close.kind != T_RIGHT)
			return fl_tmpl_unexpected(p, close, end ? "end" : fl_str_is(t.text, "break") ? "{{break}}" : "{{continue}}");
		if (end) {
			*stop = STOP_END;
			return NULL;
		}
		if (!p->ranges)
			return fl_tmpl_fail(p, "{{%.*s}} outside {{range}}", FL_FMT(t.text));
		return fl_tmpl_node(p, fl_str_is(t.text, "break") ? N_BREAK : N_CONTINUE, t.pos);
	}
	fl_tmpl_back(p, t);
	struct tnode *n = fl_tmpl_node(p, N_ACTION, t.pos);
	if (n && (n->pipe = fl_tmpl_pipeline(p, "command", T_RIGHT)))
		check_chains(p, n->pipe, true);
	return n;
}

static struct tnode *items(struct parser *p, enum stop *stop)
{
	struct tnode *list = fl_tmpl_node(p, N_LIST, p->lex.pos);
	*stop = STOP_EOF;
	while (list && !p->ret) {
		struct token t = fl_tmpl_next_word(p);
		struct tnode *n;
		if (t.kind == T_EOF)
			break;
		if (t.kind == T_TEXT) {
			if ((n = fl_tmpl_node(p, N_TEXT, t.pos)))
				n->src = t.text;
		} else {
			n = action(p, stop);
			if (*stop != STOP_EOF)
				break;
			if (n && n->pipe && n->kind != N_ACTION)
				check_chains(p, n->pipe, false);
		}
		if (n)
			fl_tmpl_append(list, n);
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
		fl_tmpl_fail(&p, "unexpected {{%s}}", stop == STOP_END ? "end" : "else");
	return p.ret ? p.ret : flatten(t, a);
}

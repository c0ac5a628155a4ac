/* What stands in an action: operands, commands of them, and pipelines of those. */
#include "lang/gotmpl_parse_int.h"

/* ---- operands ---- */

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
	struct tnode *n = fl_tmpl_node(p, N_VARIABLE, t.pos);
	int i = find_var(p, t.text);
	if (!n || i < 0)
		return n ? fl_tmpl_fail(p, "undefined variable \"%.*s\"", FL_FMT(t.text)) : NULL;
	n->decl[0] = (unsigned)i;
	n->src = t.text;
	return n;
}

static struct tnode *simple(struct parser *p, enum tnode_kind kind, struct token t)
{
	struct tnode *n = fl_tmpl_node(p, kind, t.pos);
	if (!n)
		return NULL;
	n->src = t.text;
	if (kind == N_FIELD)
		fl_tmpl_add_ident(p, n, t.text);
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
		return fl_tmpl_fail(p, "function \"%.*s\" not defined", FL_FMT(t.text));
	return n->func->id == F_LATER ? fl_tmpl_later(p, t.text) : n;
}

static struct tnode *parenthesis(struct parser *p)
{
	if (++p->nest > FL_TMPL_NEST)
		return fl_tmpl_fail(p, "max expression depth exceeded");
	struct tnode *n = fl_tmpl_pipeline(p, "parenthesized pipeline", T_CLOSE);
	p->nest--;
	return n;
}

/* NULL and no error: something else comes. */
static struct tnode *term(struct parser *p)
{
	struct token t = fl_tmpl_next_word(p);
	switch (t.kind) {
	case T_IDENT: return function(p, t);
	case T_DOT: return simple(p, N_DOT, t);
	case T_NIL: return simple(p, N_NIL, t);
	case T_VARIABLE: return variable(p, t);
	case T_FIELD: return simple(p, N_FIELD, t);
	case T_BOOL: return simple(p, N_BOOL, t);
	case T_NUMBER: return fl_tmpl_number(p, t);
	case T_CHAR: return fl_tmpl_rune(p, t);
	case T_OPEN: return parenthesis(p);
	case T_STRING: case T_RAW: return fl_tmpl_quoted(p, t);
	default:
		fl_tmpl_back(p, t);
		return NULL;
	}
}

static struct tnode *operand(struct parser *p)
{
	struct tnode *n = term(p), *inner = n;
	if (!n)
		return NULL;
	struct token t = fl_tmpl_next(p);
	fl_tmpl_back(p, t);
	if (t.kind != T_FIELD)
		return n;
	if (n->kind == N_BOOL || n->kind == N_STRING || n->kind == N_NUMBER || n->kind == N_NIL || n->kind == N_DOT)
		return n->kind == N_STRING ? fl_tmpl_fail(p, "unexpected . after term of text %.*s", FL_FMT(n->src)) :
					     fl_tmpl_fail(p, "unexpected . after term \"%.*s\"", FL_FMT(n->src));
	if (n->kind != N_FIELD && n->kind != N_VARIABLE) {
		if (!(n = fl_tmpl_node(p, N_CHAIN, t.pos)))
			return NULL;
		fl_tmpl_append(n, inner);
	}
	n->pos = t.pos;
	while ((t = fl_tmpl_next(p)).kind == T_FIELD)
		fl_tmpl_add_ident(p, n, t.text);
	fl_tmpl_back(p, t);
	return n;
}

/* ---- pipelines ---- */

static struct tnode *command(struct parser *p)
{
	struct tnode *c = fl_tmpl_node(p, N_COMMAND, fl_tmpl_peek_word(p).pos);
	while (c && !p->ret) {
		fl_tmpl_peek_word(p);
		struct tnode *n = operand(p);
		if (n)
			fl_tmpl_append(c, n);
		if (c->n > FL_TMPL_ARGS)
			return fl_tmpl_fail(p, "more than %d arguments", FL_TMPL_ARGS - 1);
		struct token t = fl_tmpl_next(p);
		if (t.kind == T_SPACE && !p->ret)
			continue;
		if (t.kind == T_RIGHT || t.kind == T_CLOSE)
			fl_tmpl_back(p, t);
		else if (t.kind != T_PIPE)
			return fl_tmpl_unexpected(p, t, "operand");
		break;
	}
	if (c && !p->ret && !c->n)
		return fl_tmpl_fail(p, "empty command");
	return p->ret ? NULL : c;
}

/* $x := and $x, $y := and $x = : -1 after an error. */
static int declare(struct parser *p, struct tnode *pipe, struct fl_str name)
{
	int i = pipe->assign ? find_var(p, name) : (int)p->nvar;
	if (i < 0)
		return fl_tmpl_fail(p, "undefined variable \"%.*s\"", FL_FMT(name)), -1;
	if (i == FL_TMPL_VARS)
		return fl_tmpl_fail(p, "more than %d variables", FL_TMPL_VARS), -1;
	if (!pipe->assign)
		p->var[p->nvar++] = name;
	pipe->decl[pipe->ndecl++] = (unsigned)i;
	return 0;
}

static void declarations(struct parser *p, struct tnode *pipe, const char *context)
{
	while (fl_tmpl_peek_word(p).kind == T_VARIABLE) {
		struct token v = fl_tmpl_next_word(p), after = fl_tmpl_next(p), t = after;
		while (t.kind == T_SPACE)
			t = fl_tmpl_next(p);
		bool comma = t.kind == T_COMMA, more = comma && !strcmp(context, "range") && !pipe->ndecl;
		if (t.kind != T_ASSIGN && t.kind != T_DECLARE && !comma) {
			fl_tmpl_back(p, t);
			if (after.kind == T_SPACE)
				fl_tmpl_back(p, after);
			fl_tmpl_back(p, v);
			return;
		}
		if (comma && !more) {
			fl_tmpl_fail(p, "too many declarations in %s", context);
			return;
		}
		pipe->dname[pipe->ndecl] = v.text;
		pipe->ndecl++;
		pipe->assign = t.kind == T_ASSIGN;
		if (!comma)
			return;
		if (fl_tmpl_peek_word(p).kind != T_VARIABLE) {
			fl_tmpl_fail(p, "range can only initialize variables");
			return;
		}
	}
}

static void check_stages(struct parser *p, const struct tnode *pipe, const char *context)
{
	unsigned stage = 1;
	if (!pipe->n)
		fl_tmpl_fail(p, "missing value for %s", context);
	for (const struct tnode *c = pipe->first; c; c = c->next, stage++) {
		enum tnode_kind k = c->first->kind;
		if (stage > 1 && (k == N_BOOL || k == N_DOT || k == N_NIL || k == N_NUMBER || k == N_STRING))
			fl_tmpl_fail(p, "non executable command in pipeline stage %u", stage);
	}
}

struct tnode *fl_tmpl_pipeline(struct parser *p, const char *context, enum token_kind end)
{
	struct tnode *pipe = fl_tmpl_node(p, N_PIPE, fl_tmpl_peek_word(p).pos);
	if (!pipe)
		return NULL;
	declarations(p, pipe, context);
	unsigned named = pipe->ndecl;
	pipe->ndecl = 0;
	for (unsigned i = 0; i < named && !p->ret; i++)         /* $x := $x is the outer one in Go too, once it runs */
		declare(p, pipe, pipe->dname[i]);
	while (!p->ret) {
		struct token t = fl_tmpl_next_word(p);
		if (t.kind == end)
			break;
		if (t.kind < T_FIELD && t.kind != T_OPEN) {
			fl_tmpl_unexpected(p, t, context);
			break;
		}
		if (t.kind == T_KEYWORD) {
			fl_tmpl_unexpected(p, t, context);
			break;
		}
		fl_tmpl_back(p, t);
		struct tnode *c = command(p);
		if (c)
			fl_tmpl_append(pipe, c);
	}
	if (!p->ret)
		check_stages(p, pipe, context);
	return p->ret ? NULL : pipe;
}

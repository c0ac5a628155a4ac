/* What comes into the parser, token by token, and what it makes: nodes. */
#include "lang/expr_parse_int.h"

/* ---- tokens ---- */

const char *fl_expr_shown(char to[240], const struct token *t)
{
	static const char *const kinds[] = {
	    [TOK_NAME] = "Identifier", [TOK_NUMBER] = "Number",	  [TOK_STRING] = "String", [TOK_BYTES] = "Bytes",
	    [TOK_OP] = "Operator",     [TOK_BRACKET] = "Bracket", [TOK_EOF] = "EOF"};
	char q[200];
	char *e = fl_put_bytes(to, kinds[t->kind], strlen(kinds[t->kind]));
	*e = 0;
	if (!t->text.n)
		return to;
	*e++ = '(';
	fl_expr_lex_quote(q, t->text);
	e = fl_put_bytes(e, q, strlen(q));
	memcpy(e, ")", 2);
	return to;
}

void fl_expr_unexpected(struct parser *p, const struct token *t)
{
	char text[240];
	FAIL(p, "unexpected token %s", fl_expr_shown(text, t));
}

void fl_expr_next(struct parser *p)
{
	struct token t;
	if (p->stashed) {
		p->cur = p->stash;
		p->stashed = false;
		return;
	}
	int ret = fl_expr_lex_next(&p->lex, &t);
	if (ret > 0)
		p->cur = t;
	else if (ret < 0)
		p->err = p->lex.err;
	else
		FAIL(p, "unexpected end of expression");
}

void fl_expr_expect(struct parser *p, enum token_kind kind, const char *text)
{
	if (p->cur.kind == kind && (!text || fl_str_is(p->cur.text, text)))
		fl_expr_next(p);
	else
		fl_expr_unexpected(p, &p->cur);
}

/* ---- nodes ---- */

struct node *fl_expr_node(struct parser *p, enum node_kind kind, int at)
{
	struct node *n = NULL;
	if (++p->nodes > FL_EXPR_NODES)
		FAIL(p, "compilation failed: expression exceeds maximum allowed nodes");
	else if (!p->err.set && !(n = fl_zalloc(p->arena, sizeof *n)))
		FAIL(p, "out of memory");
	if (n) {
		n->kind = kind;
		n->at = at;
		n->height = 1;
	}
	return n;
}

void fl_expr_add(struct parser *p, struct node *n, struct node *kid)
{
	if (!n || !kid)
		return;
	if (n->n == n->cap) {
		unsigned cap = n->cap ? 2 * n->cap : 2;
		struct node **more = fl_alloc(p->arena, cap * sizeof *more);
		if (!more) {
			FAIL(p, "out of memory");
			return;
		}
		fl_put_bytes(more, n->kid, n->n * sizeof *more);
		n->kid = more;
		n->cap = cap;
	}
	n->kid[n->n++] = kid;
	n->height = kid->height + 1 > n->height ? kid->height + 1 : n->height;
	if (n->height > FL_EXPR_NEST)
		FAIL(p, "expression is nested more than %d deep, which this version of fairlead does not support", FL_EXPR_NEST);
}

struct node *fl_expr_constant(struct parser *p, struct fl_expr_value v, int at)
{
	struct node *n = fl_expr_node(p, X_CONST, at);
	if (n) {
		n->value = v;
		n->constant = true;
	}
	return n;
}

struct node *fl_expr_unary(struct parser *p, enum op op, struct fl_str text, struct node *kid, int at)
{
	struct node *n = fl_expr_node(p, X_UNARY, at);
	fl_expr_add(p, n, kid);
	if (n) {
		n->op = op;
		n->text = text;
	}
	return n;
}

/* expr_parse_int: what the parser's files share. An error is remembered, the way out is the ordinary one: the first complaint of the
 * parser stays, one of the lexer takes its place. So every function bears NULL for a node.
 * Nodes live in the parser's arena. */
#pragma once
#include "lang/expr_int.h"

#define FAIL(p, ...) fl_expr_complain(&(p)->err, (p)->cur.at, __VA_ARGS__)

/* ---- tokens (expr_tree.c) ---- */

static inline bool fl_expr_is(const struct token *t, enum token_kind kind, const char *text)
{
	return t->kind == kind && fl_str_is(t->text, text);
}
static inline bool at_op(const struct parser *p, const char *text) { return fl_expr_is(&p->cur, TOK_OP, text); }
static inline bool at_bracket(const struct parser *p, const char *text) { return fl_expr_is(&p->cur, TOK_BRACKET, text); }
void fl_expr_next(struct parser *p);
void fl_expr_expect(struct parser *p, enum token_kind kind, const char *text);       /* and goes on; text NULL: any of that kind */
void fl_expr_unexpected(struct parser *p, const struct token *t);
const char *fl_expr_shown(char to[240], const struct token *t);                      /* as expr names it in errors */

/* ---- nodes (expr_tree.c) ---- */

struct node *fl_expr_node(struct parser *p, enum node_kind kind, int at);
void fl_expr_add(struct parser *p, struct node *n, struct node *kid);                /* either may be NULL: nothing then */
struct node *fl_expr_constant(struct parser *p, struct fl_expr_value v, int at);
struct node *fl_expr_unary(struct parser *p, enum op op, struct fl_str text, struct node *kid, int at);

/* ---- the grammar ---- */

struct node *fl_expr_primary(struct parser *p);                      /* expr_primary.c: with the signs before it, the members behind */
/* At the parenthesis; t: the name. piped: the first argument, or NULL. own: what the caller offers hides what is built in. */
struct node *fl_expr_call(struct parser *p, const struct token *t, struct node *piped, bool own);
struct node *fl_expr_level(struct parser *p, unsigned precedence);   /* expr_parse.c: an expression of operators that bind so or closer */
struct node *fl_expr_sequence(struct parser *p);                     /* expr_parse.c: a; b; c */

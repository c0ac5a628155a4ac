/* gotmpl_parse_int: what the parser's files share. The first error stays in p->ret and *p->e; from then on every token is the end, and
 * what would be a node is NULL. Nodes live in the parser's arena. */
#pragma once
#include "lang/gotmpl_int.h"

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

/* ---- errors (gotmpl_tree.c): NULL, for who returns a node ---- */

void *fl_tmpl_fail(struct parser *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void *fl_tmpl_later(struct parser *p, struct fl_str what);           /* known, and not supported yet */
void *fl_tmpl_no_memory(struct parser *p);
void *fl_tmpl_unexpected(struct parser *p, struct token t, const char *context);

/* ---- tokens (gotmpl_tree.c) ---- */

struct token fl_tmpl_next(struct parser *p);
void fl_tmpl_back(struct parser *p, struct token t);                 /* comes next again; three at the most */
struct token fl_tmpl_next_word(struct parser *p);                    /* the next one that is no space */
struct token fl_tmpl_peek_word(struct parser *p);

/* ---- nodes (gotmpl_tree.c) ---- */

struct tnode *fl_tmpl_node(struct parser *p, enum tnode_kind kind, size_t pos);
void fl_tmpl_append(struct tnode *list, struct tnode *n);
void fl_tmpl_add_ident(struct parser *p, struct tnode *n, struct fl_str field);      /* field: with its dot */

/* ---- the grammar ---- */

struct tnode *fl_tmpl_number(struct parser *p, struct token t);      /* gotmpl_literal.c */
struct tnode *fl_tmpl_rune(struct parser *p, struct token t);
struct tnode *fl_tmpl_quoted(struct parser *p, struct token t);
/* gotmpl_pipe.c: up to the token `end`, which is taken; context: what errors call it. */
struct tnode *fl_tmpl_pipeline(struct parser *p, const char *context, enum token_kind end);

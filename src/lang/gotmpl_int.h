/* gotmpl_int: what the stages of gotmpl share. Places are offsets in bytes, as in Go. */
#pragma once
#include "lang/gotmpl.h"

/* ---- tokens ---- */

enum token_kind {
	T_EOF, T_TEXT, T_LEFT, T_RIGHT, T_SPACE, T_PIPE, T_OPEN, T_CLOSE, T_DECLARE, T_ASSIGN, T_COMMA, T_OTHER, T_FIELD, T_DOT, T_VARIABLE,
	T_IDENT, T_KEYWORD, T_BOOL, T_NIL, T_NUMBER, T_CHAR, T_STRING, T_RAW,
};
struct token { enum token_kind kind; struct fl_str text; size_t pos; };

struct lexer {
	struct fl_str src;
	size_t pos;
	bool inside, trim;              /* within {{ }}; the text that follows loses its leading space */
	unsigned depth;                 /* of parentheses */
	struct fl_str bad;              /* what an error quotes */
	const char *err;                /* %.*s in it: what is bad, as a character */
};

/* 0, or -EINVAL with l->err. */
int fl_tmpl_lex(struct lexer *l, struct token *t);
/* The text of a literal in quotes; 0, -EINVAL, -ENOMEM. */
int fl_tmpl_unquote(struct fl_arena *a, struct fl_str quoted, struct fl_str *out);
size_t fl_tmpl_rune_put(char *to, uint32_t rune);

/* ---- the tree ---- */

enum tnode_kind {
	N_TEXT, N_ACTION, N_IF, N_WITH, N_RANGE, N_BREAK, N_CONTINUE, N_LIST, N_PIPE, N_COMMAND, N_FIELD, N_CHAIN, N_VARIABLE, N_IDENT, N_DOT,
	N_NIL, N_BOOL, N_NUMBER, N_STRING,
};

struct func;
struct tnode {
	enum tnode_kind kind;
	size_t pos;
	struct fl_str src;              /* as written: what errors show */
	struct fl_str *ident; unsigned nident;  /* FIELD, CHAIN, VARIABLE: .a.b behind it */
	struct tnode *first, *last, *next;      /* LIST, PIPE, COMMAND, CHAIN: what is in it; next: its place there */
	struct tnode *pipe, *body, *other;      /* ACTION IF WITH RANGE */
	unsigned n;                     /* how many are in it */
	unsigned decl[2], ndecl;        /* PIPE: variables; VARIABLE: decl[0] */
	struct fl_str dname[2];
	bool assign;
	bool whole, real, natural;      /* NUMBER: fits an int; is written as a float; fits a uint */
	struct fl_tmpl_value value;
	const struct func *func;
};

/* ---- functions ---- */

enum func_id { F_AND, F_OR, F_NOT, F_EQ, F_NE, F_LT, F_LE, F_GT, F_GE, F_LEN, F_INDEX, F_SLICE, F_PRINT, F_PRINTF, F_PRINTLN, F_PARSE_INT, F_LATER };
/* args: what each takes: v anything, a anything (nil too), s a text, i a number; rest: and any number of these. */
struct func { const char *name; enum func_id id; const char *args; char rest; };
const struct func *fl_tmpl_func(struct fl_str name);

/* ---- running ---- */

enum flow { FLOW_ON, FLOW_BREAK, FLOW_CONTINUE };

struct trun {
	const struct fl_tmpl *t;
	struct fl_arena *arena;
	void *arg;
	char *out; size_t n, cap;
	unsigned steps;                 /* left */
	const struct tnode *at;         /* what was looked at last: where Go says that an error is */
	struct fl_tmpl_value var[FL_TMPL_VARS];
	enum flow flow;
	struct fl_err *e;
};

int fl_tmpl_call(struct trun *r, const struct func *f, const struct fl_tmpl_value *in, unsigned n, struct fl_tmpl_value *out, struct fl_err *why);
bool fl_tmpl_true(const struct fl_tmpl_value *v);
const char *fl_tmpl_type(const struct fl_tmpl_value *v);
int fl_tmpl_put(struct trun *r, const char *p, size_t n);              /* 0, -ENOMEM, -EFBIG */
/* How fmt prints it with %v, into buf; a text itself is borrowed. 0; -ENOTSUP: an object; -ENOMEM. */
int fl_tmpl_text(struct trun *r, const struct fl_tmpl_value *v, struct fl_str *out);
int fl_tmpl_printf(struct trun *r, struct fl_str format, const struct fl_tmpl_value *in, unsigned n, struct fl_str *out);
int fl_tmpl_print(struct trun *r, const struct fl_tmpl_value *in, unsigned n, bool line, struct fl_str *out);

/* expr_int: what the stages of expr share. Places are offsets in runes, as expr counts them. */
#pragma once
#include "lang/expr.h"
#include "lang/regex.h"

struct complaint { bool set; int at; char msg[360]; };
void fl_expr_complain(struct complaint *c, int at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4))); /* the first one stays */

/* ---- tokens ---- */

enum token_kind { TOK_NAME, TOK_NUMBER, TOK_STRING, TOK_BYTES, TOK_OP, TOK_BRACKET, TOK_EOF };
struct token { enum token_kind kind; struct fl_str text; int at; };

struct lexer {
	struct fl_arena *arena;
	struct fl_str src;
	struct { size_t byte; int rune; } start, end;
	bool eof, over;
	struct token queue[3];
	unsigned queued;
	struct complaint err;
};

/* 1 and *t; 0: nothing comes behind the end; -1: lexer.err. */
int fl_expr_lex_next(struct lexer *l, struct token *t);
bool fl_expr_lex_is_name(struct fl_str s);
const char *fl_expr_lex_quote(char to[200], struct fl_str s);        /* as Go's %q, cut when long */
size_t fl_expr_rune_len(struct fl_str s);                            /* bytes of the first rune of s, at least 1 when s has any */
int fl_expr_rune_put(char *to, uint32_t rune);                       /* UTF-8; the bytes written */

/* ---- the tree ---- */

enum node_kind {
	X_CONST,
	X_NAME,
	X_UNARY,
	X_BINARY,
	X_LOGIC,
	X_COND,
	X_ARRAY,
	X_MAP,
	X_MEMBER,
	X_SLICE,
	X_CHAIN,
	X_CALL,
	X_BUILTIN,
	X_PREDICATE,
	X_POINTER,
	X_LET,
	X_SEQ,
	X_BYTES,
};

enum op {
	OP_NONE,
	OP_NOT,
	OP_MINUS,
	OP_PLUS,
	OP_OR,
	OP_AND,
	OP_EQ,
	OP_NE,
	OP_LT,
	OP_GT,
	OP_GE,
	OP_LE,
	OP_IN,
	OP_MATCHES,
	OP_CONTAINS,
	OP_STARTS,
	OP_ENDS,
	OP_RANGE,
	OP_MUL,
	OP_DIV,
	OP_MOD,
	OP_POW,
	OP_COALESCE,
};

/* Go's types, as far as they can come up. */
enum type_kind { T_UNKNOWN, T_ANY, T_NIL, T_BOOL, T_INT, T_FLOAT, T_STR, T_LIST, T_STRS, T_MAP, T_FUNC, T_BYTES };
struct nature { enum type_kind k; const struct nature *elem; const struct fl_expr_fn *fn; };   /* elem NULL: any */

struct node {
	enum node_kind kind;
	enum op op;
	struct fl_str text;             /* of the operator or name, as written */
	int at;
	int op_at;                      /* of the && or || before it in a run */
	unsigned height;
	bool optional, method, by_index;        /* a?.b; a.b(); #index */
	struct node **kid; unsigned n, cap;
	struct fl_expr_value value;     /* X_CONST, and X_ARRAY of constants once checked */
	bool constant, sorted;          /* value is set; it is a sorted list of texts */
	const struct fl_expr_fn *fn;    /* X_CALL */
	const struct builtin *builtin;  /* X_BUILTIN */
	struct fl_regex *regex;         /* OP_MATCHES */
	int var;                        /* X_LET, X_NAME: which; below 0: of the caller's names, -1 the first */
	struct nature type;             /* once checked */
	bool checked;
};

struct parser {
	struct lexer lex;
	struct fl_arena *arena;
	const struct fl_expr_fn *fns;
	struct token cur, stash;
	bool stashed;
	struct complaint err;
	unsigned inside;                /* predicates around */
	unsigned nest, nodes;
};

struct node *fl_expr_parse(struct parser *p);                /* NULL with p->err */
const struct fl_expr_fn *fl_expr_fn(const struct fl_expr_fn *all, struct fl_str name);

/* ---- checking ---- */

struct fl_expr {
	struct node *root;
	struct fl_regex *regex[64]; unsigned nregex;
};

enum { NEST_VARS = FL_EXPR_VARS, NEST_PREDICATES = 8 };

struct checker {
	struct fl_arena *arena;
	const struct fl_expr_fn *fns;
	struct fl_expr *expr;
	const struct fl_expr_name *names; unsigned nnames;
	struct complaint err, late;     /* late: what expr finds only after the types */
	struct { struct fl_str name; struct nature type; } var[NEST_VARS]; unsigned nvar;
	struct { struct nature list; bool index; } in[NEST_PREDICATES]; unsigned nin;
};

struct nature fl_expr_check(struct checker *c, struct node *n);
struct nature fl_expr_check_builtin(struct checker *c, struct node *n);
struct nature fl_expr_check_call(struct checker *c, const char *types, struct node *n,
				 struct complaint *why); /* types as in fl_expr_fn */
struct nature fl_expr_nature_letter(char c);
struct nature fl_expr_nature_list(struct checker *c, struct nature elem);
struct nature fl_expr_nature_elem(const struct nature *t);
const char *fl_expr_nature_text(char to[100], struct nature t);
bool fl_expr_nature_unknown(struct nature t);
bool fl_expr_nature_assignable(struct nature from, struct nature to);
struct nature fl_expr_check_error(struct checker *c, int at, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
struct nature fl_expr_check_later(struct checker *c, int at, const char *what);

/* ---- built-in functions ---- */

enum builtin_id {
	B_LATER,
	B_ALL,
	B_NONE,
	B_ANY,
	B_ONE,
	B_FILTER,
	B_MAP,
	B_COUNT,
	B_FIND,
	B_FIND_INDEX,
	B_FIND_LAST,
	B_FIND_LAST_INDEX,
	B_LEN,
	B_ABS,
	B_CEIL,
	B_FLOOR,
	B_ROUND,
	B_INT,
	B_FLOAT,
	B_STRING,
	B_TRIM,
	B_TRIM_PREFIX,
	B_TRIM_SUFFIX,
	B_UPPER,
	B_LOWER,
	B_SPLIT,
	B_SPLIT_AFTER,
	B_REPLACE,
	B_REPEAT,
	B_JOIN,
	B_INDEX_OF,
	B_LAST_INDEX_OF,
	B_HAS_PREFIX,
	B_HAS_SUFFIX,
	B_MAX,
	B_MIN,
	B_FIRST,
	B_LAST,
	B_TAKE,
	B_BITAND,
	B_BITOR,
	B_BITXOR,
	B_BITNAND,
	B_BITSHL,
	B_BITSHR,
	B_BITUSHR,
	B_BITNOT,
};

/* predicate: takes a list and a predicate; 2: which may be missing; 3: and may be followed by one more. types: of each overload, as
 * in fl_expr_fn, NULL: its own check. */
struct builtin { const char *name; enum builtin_id id; uint8_t predicate; const char *types[5]; };
const struct builtin *fl_expr_builtin(struct fl_str name);

/* ---- running ---- */

struct run {
	struct fl_arena *arena;
	struct fl_regex_scratch *scratch;
	void *arg;
	unsigned steps;                 /* left */
	const struct fl_expr_value *named;
	struct fl_expr_value var[NEST_VARS];
	struct { const struct fl_expr_value *list; int64_t i; } in[NEST_PREDICATES]; unsigned nin;
};

int fl_expr_eval(struct run *r, const struct node *n, struct fl_expr_value *out);
int fl_expr_eval_builtin(struct run *r, const struct node *n, struct fl_expr_value *out);
int fl_expr_call_builtin(struct run *r, enum builtin_id id, const struct fl_expr_value *in, unsigned n, struct fl_expr_value *out);
int64_t fl_expr_value_len(const struct fl_expr_value *v);    /* LIST, RANGE_OF, MAP */
struct fl_expr_value fl_expr_value_elem(const struct fl_expr_value *v, int64_t i);
bool fl_expr_value_is_list(const struct fl_expr_value *v);
int fl_expr_value_int(const struct fl_expr_value *v, int64_t *out);  /* numbers; -EINVAL */
int fl_expr_value_less(const struct fl_expr_value *a, const struct fl_expr_value *b);       /* 1, 0, -EINVAL */
int fl_expr_steps(struct run *r, uint64_t n);                /* spends; 0, -E2BIG */

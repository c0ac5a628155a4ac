/* expr: the part of github.com/expr-lang/expr (1.17.8) that Corefiles use in `view`: a small typed language without assignment.
 *
 * A text is lexed, parsed, checked and kept as a tree in the caller's arena; errors have expr's own words and its picture of the
 * place. What expr has and this has not (functions of time and JSON, sortBy, methods, b"…", patterns that are no literals) is
 * refused by name when it is compiled: never evaluated wrongly.
 *
 * Running is bounded: FL_EXPR_STEPS nodes and elements, the memory of the arena that the caller gives, FL_EXPR_NEST levels. It
 * calls no malloc and changes nothing in the tree, so that every shard may run it at once.
 *
 *   text → lex (expr_lex.c) → parse (expr_parse.c) → check (expr_check.c, expr_builtin.c) → run (_run.c, _call.c) */
#pragma once
#include "base/err.h"
#include "base/mem.h"

enum {
	FL_EXPR_NODES = 10000,          /* as expr */
	FL_EXPR_NEST = 100,             /* levels of the tree, not counting runs of && and || */
	FL_EXPR_STEPS = 20000,
	FL_EXPR_VARS = 16,              /* let within let */
	FL_EXPR_ARGS = 4,
	FL_EXPR_RANGE = 1000000,        /* expr's memory budget */
};

struct fl_regex_scratch;

enum fl_expr_type {
	FL_EXPR_NIL,
	FL_EXPR_BOOL,
	FL_EXPR_INT,
	FL_EXPR_FLOAT,
	FL_EXPR_STR,
	FL_EXPR_LIST,
	FL_EXPR_RANGE_OF,
	FL_EXPR_MAP
};

struct fl_expr_value {
	enum fl_expr_type type;
	unsigned n;                                     /* LIST: elements; MAP: pairs */
	union {
		bool b;
		int64_t i;
		double f;
		struct fl_str s;
		struct fl_expr_value *at;               /* MAP: key, value, key, value … */
		struct { int64_t lo, hi; } range;       /* hi < lo: empty */
	};
};

/* What the caller's world offers: functions by name. types: the result's letter, then one for each argument: b bool, i int, s
 * string, a anything (arguments only). */
struct fl_expr_fn {
	const char *name, *types;
	bool fails;                     /* may end the run with an error; says so in its type, as Go prints it */
	/* 0 and *out (texts in a, or what lives longer), -EINVAL, -ENOMEM. in: as many and of those types. */
	int (*call)(void *arg, struct fl_arena *a, const struct fl_expr_value *in, struct fl_expr_value *out);
};

struct fl_expr;

/* fns: borrowed as long as the result lives; ends with a NULL name. Into the arena, but for patterns: fl_expr_free() it. NULL with
 * the words in e ("MESSAGE (LINE:COLUMN)\n | TEXT\n | ...^"). Main thread. */
struct fl_expr *fl_expr_compile(struct fl_arena *a, struct fl_str text, const struct fl_expr_fn *fns, struct fl_err *e);
void fl_expr_free(struct fl_expr *x);                   /* NULL is fine */

/* The same with names for results of earlier expressions, whose types they have. names: only looked at now. */
struct fl_expr_name { struct fl_str name; const struct fl_expr *expr; };
struct fl_expr *fl_expr_compile_named(struct fl_arena *a, struct fl_str text, const struct fl_expr_fn *fns, const struct fl_expr_name *names,
				      unsigned n, struct fl_err *e);
/* May a name be given to a result: is it an identifier, and none of the language's own functions? Uses the arena. */
bool fl_expr_may_name(struct fl_arena *a, struct fl_str name);

/* 0 and *out; -EINVAL: an operand of the wrong type, an index out of range …, where expr ends with an error; -E2BIG: too many
 * steps; -ENOMEM. arg is handed to the functions; scratch: this thread's, for patterns of up to FL_REGEX_GROUPS groups. */
int fl_expr_run(const struct fl_expr *x, struct fl_arena *a, struct fl_regex_scratch *scratch, void *arg,
		struct fl_expr_value *out);
/* named: the values, in the order in which they were named. */
int fl_expr_run_named(const struct fl_expr *x, struct fl_arena *a, struct fl_regex_scratch *scratch, void *arg,
		      const struct fl_expr_value *named, struct fl_expr_value *out);

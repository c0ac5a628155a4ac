/* gotmpl: Go's text/template, as Corefiles use it in `template`: text, pipelines, fields and methods, variables, if / else / with /
 * range / break / continue, comments, trim markers, the built-in functions and parseInt. What Go has and this has not (define,
 * template, block, call, html, js, urlquery, complex numbers, and what the caller says) is refused by name when it is compiled; what
 * Go finds only when it runs (a field that is none, an index out of range) ends the run with Go's words and place.
 *
 * Running is bounded: FL_TMPL_STEPS nodes and turns, FL_TMPL_OUT bytes, FL_TMPL_NEST levels, the caller's arena. It calls no malloc
 * and changes nothing in the tree, so that every shard may run it at once.
 *
 *   text → lex (gotmpl_lex.c) → parse (gotmpl_parse.c) → run (gotmpl_run.c, gotmpl_fn.c, gotmpl_print.c) */
#pragma once
#include "base/err.h"
#include "base/mem.h"

enum { FL_TMPL_STEPS = 20000, FL_TMPL_OUT = 64 * 1024, FL_TMPL_NEST = 40, FL_TMPL_VARS = 32, FL_TMPL_ARGS = 16, FL_TMPL_PARTS = 64 };

enum fl_tmpl_kind {
	FL_TMPL_NONE,           /* what is not there: prints as <no value> */
	FL_TMPL_BOOL,
	FL_TMPL_INT,
	FL_TMPL_UINT,
	FL_TMPL_FLOAT,
	FL_TMPL_STR,
	FL_TMPL_LIST,
	FL_TMPL_MAP,            /* keys are texts, sorted */
	FL_TMPL_OBJECT,         /* the caller's: has fields, cannot be printed */
};

struct fl_tmpl_value {
	enum fl_tmpl_kind kind;
	unsigned n;                                     /* LIST: elements; MAP: pairs */
	const char *type;                               /* Go's name; NULL: the usual one of its kind */
	bool boxed;                                     /* came out of a map of anything, and was not looked at since */
	union {
		bool b;
		int64_t i;
		uint64_t u;
		double f;
		struct fl_str s;
		const struct fl_tmpl_value *at;         /* MAP: key, value, key, value … */
		int object;                             /* which; 0 is what templates begin with */
	};
};

/* What the caller's templates see. */
struct fl_tmpl_world {
	const char *root_type;          /* Go's name of what templates begin with */
	/* A field of an object: 0 and *out, -ENOENT: it has none of that name, -ENOTSUP: Go has one, this has not; -ENOMEM. */
	int (*field)(void *arg, struct fl_arena *a, int object, struct fl_str name, struct fl_tmpl_value *out);
	/* The one method of the root: takes a text, gives a text; p NULL: no memory. */
	const char *method;
	struct fl_str (*call)(void *arg, struct fl_arena *a, struct fl_str text);
	/* Looks at a chain of fields of the root when it is compiled: what is not supported of it, or NULL. alone: it is printed as it is. */
	const char *(*later)(const struct fl_str *ident, unsigned n, bool alone);
};

/* A flat template is one of texts, .A, .A.b, index .A N and index .A "b": the caller may fill these in itself. */
struct fl_tmpl_part {
	struct fl_str text;             /* literal text, when field.n is 0 */
	struct fl_str field, key;       /* .A.b */
	int index;                      /* N; -1: none */
	bool by_index;                  /* written with index: a key that is missing is "" then, not <no value> */
	int tag;                        /* the caller's, 0 */
};

struct tnode;
struct fl_tmpl {
	const struct fl_tmpl_world *world;
	struct tnode *root;
	struct fl_str text;
	const char *name;               /* stands in errors */
	bool literal;                   /* only text: part[0], or nothing */
	struct fl_tmpl_part *part; unsigned nparts;     /* flat ones */
};

/* Compiles into the arena; name, world: borrowed as long as t lives. 0, -ENOMEM, or -EINVAL with the words in e. Main thread. */
int fl_tmpl_compile(struct fl_tmpl *t, struct fl_arena *a, const char *name, struct fl_str text, const struct fl_tmpl_world *world,
		    struct fl_err *e);
/* 0 and *out, in the arena and NUL-terminated; -EINVAL with Go's words in e; -ENOMEM. arg is handed to the world's functions. */
int fl_tmpl_run(const struct fl_tmpl *t, struct fl_arena *a, void *arg, struct fl_str *out, struct fl_err *e);

/* gotmpl: the part of Go's text/template that Corefiles use: text, {{ .Field }}, {{ .Field.key }}, {{ index .Field N }},
 * {{ index .Field "key" }}, comments, and the trim markers {{- -}}. All else of the language is refused when it is compiled, by name:
 * never printed wrongly. What the fields mean is the caller's. */
#pragma once
#include "base/err.h"
#include "base/mem.h"

struct fl_tmpl_part {
	struct fl_str text;             /* literal text, when field.n is 0 */
	struct fl_str field;            /* "Name" of .Name */
	struct fl_str key;              /* "x" of .Group.x or index .Group "x"; n 0: none */
	int index;                      /* N of index .Match N; -1: none */
};
struct fl_tmpl { struct fl_tmpl_part *part; unsigned n; bool literal; };        /* literal: no fields at all */

/* Compiles into the arena. fields: names that exist, NULL-terminated. 0, -ENOMEM, or -EINVAL with the words in e. */
int fl_tmpl_compile(struct fl_tmpl *t, struct fl_arena *a, struct fl_str text, const char *const *fields, struct fl_err *e);
/* The text with values filled in, in the arena; p NULL: no memory. value() gives a part's value; what has p NULL prints as Go prints what
 * is not there. */
struct fl_str fl_tmpl_run(const struct fl_tmpl *t, struct fl_arena *a, struct fl_str (*value)(void *arg, const struct fl_tmpl_part *p), void *arg);

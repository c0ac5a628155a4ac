/* expression: what the expressions of view and template can ask of a question: name(), type(), client_ip(), metadata(…) and so on
 * (CoreDNS plugin/pkg/expression). The language is lang/expr. On a shard; texts live in the arena that the run was given. */
#pragma once
#include "lang/expr.h"

struct fl_query;

/* The arg of fl_expr_run(): begins whatever a plugin with functions of its own hands over. */
struct fl_expression { struct fl_query *q; };

/* Ends with a NULL name. */
extern const struct fl_expr_fn fl_expression_fns[];

/* expr_check_int: what the checker's files share: the types themselves are in expr_int.h. */
#pragma once
#include "lang/expr_int.h"

static const struct nature unknown = { .k = T_UNKNOWN }, any = { .k = T_ANY };
static const struct nature str_nature = { .k = T_STR }, int_nature = { .k = T_INT };
#define OF(kind) ((struct nature){ kind })

static inline bool is_number(struct nature t) { return t.k == T_INT || t.k == T_FLOAT; }
static inline bool is_list(struct nature t) { return t.k == T_LIST || t.k == T_STRS || t.k == T_BYTES; }
bool fl_expr_nature_comparable(struct nature a, struct nature b);

/* Each looks at its operands first (expr_operator.c). */
struct nature fl_expr_check_unary(struct checker *c, struct node *n);
struct nature fl_expr_check_logic(struct checker *c, struct node *n);       /* a run of && or of || */
struct nature fl_expr_check_binary(struct checker *c, struct node *n);
struct nature fl_expr_check_cond(struct checker *c, struct node *n);        /* a ? b : c */

/* Operator precedence, after parser/parser.go of expr. */
#include "lang/expr_parse_int.h"

/* ---- operators ---- */

struct binary { const char *text; enum op op; uint16_t precedence; bool right, negated; };
static const struct binary binaries[] = {
	{ "|", OP_NONE, 0 },
	{ "or", OP_OR, 10 },
	{ "||", OP_OR, 10 },
	{ "and", OP_AND, 15 },
	{ "&&", OP_AND, 15 },
	{ "==", OP_EQ, 20 },
	{ "!=", OP_NE, 20 },
	{ "<", OP_LT, 20 },
	{ ">", OP_GT, 20 },
	{ ">=", OP_GE, 20 },
	{ "<=", OP_LE, 20 },
	{ "in", OP_IN, 20, .negated = true },
	{ "matches", OP_MATCHES, 20, .negated = true },
	{ "contains", OP_CONTAINS, 20, .negated = true },
	{ "startsWith", OP_STARTS, 20, .negated = true },
	{ "endsWith", OP_ENDS, 20, .negated = true },
	{ "..", OP_RANGE, 25 },
	{ "+", OP_PLUS, 30 },
	{ "-", OP_MINUS, 30 },
	{ "*", OP_MUL, 60 },
	{ "/", OP_DIV, 60 },
	{ "%", OP_MOD, 60 },
	{ "**", OP_POW, 100, .right = true },
	{ "^", OP_POW, 100, .right = true },
	{ "??", OP_COALESCE, 500 },
};

static const struct binary *binary(const struct token *t)
{
	for (unsigned i = 0; i < FL_COUNT(binaries); i++)
		if (fl_str_is(t->text, binaries[i].text))
			return &binaries[i];
	return NULL;
}

static bool compares(enum op op) { return op == OP_LT || op == OP_GT || op == OP_GE || op == OP_LE; }

/* && and || become one node for a whole run of them: a long list of alternatives is not a deep tree. */
static struct node *two(struct parser *p, const struct binary *b, const struct token *t, struct node *left, struct node *right)
{
	bool logic = b->op == OP_OR || b->op == OP_AND;
	if (p->err.set)
		return NULL;
	if (logic && right)
		right->op_at = t->at;
	if (logic && left && left->kind == X_LOGIC && left->op == b->op && ++p->nodes <= FL_EXPR_NODES) {
		fl_expr_add(p, left, right);
		return p->err.set ? NULL : left;
	}
	struct node *n = fl_expr_node(p, logic ? X_LOGIC : X_BINARY, t->at);
	if (n) {
		n->op = b->op;
		n->text = t->text;
	}
	fl_expr_add(p, n, left);
	fl_expr_add(p, n, right);
	return n;
}

/* ---- expressions ---- */

/* let x = 1; rest */
static struct node *let(struct parser *p)
{
	fl_expr_next(p);
	struct token name = p->cur;
	fl_expr_expect(p, TOK_NAME, NULL);
	fl_expr_expect(p, TOK_OP, "=");
	struct node *value = fl_expr_level(p, 0);
	fl_expr_expect(p, TOK_OP, ";");
	struct node *body = fl_expr_sequence(p), *n = fl_expr_node(p, X_LET, name.at);
	fl_expr_add(p, n, value);
	fl_expr_add(p, n, body);
	if (n)
		n->text = name.text;
	return n;
}

static struct node *three(struct parser *p, struct node *cond, struct node *yes, struct node *no, int at)
{
	struct node *n = fl_expr_node(p, X_COND, at);
	fl_expr_add(p, n, cond);
	fl_expr_add(p, n, yes);
	fl_expr_add(p, n, no);
	return n;
}

/* if a { b } else { c } */
static struct node *if_else(struct parser *p)
{
	struct node *yes, *no;
	fl_expr_next(p);
	if (p->err.set || ++p->nest > FL_EXPR_NEST)
		return FAIL(p, "expression is nested more than %d deep, which this version of fairlead does not support",
			    FL_EXPR_NEST),
		       NULL;
	struct node *cond = fl_expr_level(p, 0);
	fl_expr_expect(p, TOK_BRACKET, "{");
	yes = fl_expr_sequence(p);
	fl_expr_expect(p, TOK_BRACKET, "}");
	fl_expr_expect(p, TOK_OP, "else");
	if (at_op(p, "if")) {
		no = if_else(p);
	} else {
		fl_expr_expect(p, TOK_BRACKET, "{");
		no = fl_expr_sequence(p);
		fl_expr_expect(p, TOK_BRACKET, "}");
	}
	p->nest--;
	return three(p, cond, yes, no, 0);
}

/* a ? b : c, a ?: c */
static struct node *conditional(struct parser *p, struct node *n)
{
	while (at_op(p, "?") && !p->err.set) {
		struct node *yes = n, *no;
		fl_expr_next(p);
		if (!at_op(p, ":")) {
			yes = fl_expr_level(p, 0);
			fl_expr_expect(p, TOK_OP, ":");
		} else {
			fl_expr_next(p);
		}
		no = fl_expr_level(p, 0);
		n = three(p, n, yes, no, p->cur.at);
	}
	return n;
}

/* a < b < c is a < b && b < c. */
static struct node *comparison(struct parser *p, struct node *left, struct token t, const struct binary *b)
{
	static const struct binary and = { "&&", OP_AND, 15 };
	struct node *root = NULL;
	for (;;) {
		struct node *right = fl_expr_level(p, b->precedence + 1u);
		struct node *cmp = two(p, b, &t, left, right);
		root = root ? two(p, &and, &t, root, cmp) : cmp;
		if (!root)
			return NULL;
		left = right;
		t = p->cur;
		b = t.kind == TOK_OP ? binary(&t) : NULL;
		if (!b || !compares(b->op) || p->err.set)
			return root;
		fl_expr_next(p);
	}
}

/* One operator and what stands right of it; false: it is not for this level. *t: the operator. */
static bool infix(struct parser *p, struct node **left, struct token *t, unsigned precedence, enum op before)
{
	bool negate = at_op(p, "not");
	*t = p->cur;
	if (negate) {
		struct token not = p->cur;
		fl_expr_next(p);
		const struct binary *b = binary(&p->cur);
		if (!b || !b->negated) {
			fl_expr_unexpected(p, &p->cur);
			return false;
		}
		if (b->precedence < precedence) {
			p->stash = p->cur;
			p->stashed = true;
			p->cur = not;
			return false;
		}
		*t = p->cur;
	}
	const struct binary *b = binary(t);
	if (!b || b->precedence < precedence)
		return false;
	fl_expr_next(p);
	if (fl_str_is(t->text, "|")) {
		struct token name = p->cur;
		fl_expr_expect(p, TOK_NAME, NULL);
		*left = fl_expr_call(p, &name, *left, true);
		return true;
	}
	if (before == OP_COALESCE && b->op != OP_COALESCE) {
		fl_expr_complain(&p->err, t->at,
				 "Operator (%.*s) and coalesce expressions (?"
				 "?) cannot be mixed. Wrap either by parentheses.",
				 FL_FMT(t->text));
		return false;
	}
	if (compares(b->op)) {
		*left = comparison(p, *left, *t, b);
		return true;
	}
	*left = two(p, b, t, *left, fl_expr_level(p, b->precedence + !b->right));
	if (negate && *left)
		*left = fl_expr_unary(p, OP_NOT, FL_STR("not"), *left, t->at);
	return *left != NULL;
}

static struct node *levelled(struct parser *p, unsigned precedence)
{
	if (!precedence && at_op(p, "let"))
		return let(p);
	if (!precedence && at_op(p, "if"))
		return if_else(p);
	struct node *left = fl_expr_primary(p);
	enum op before = OP_NONE;
	struct token t;
	while (p->cur.kind == TOK_OP && !p->err.set && infix(p, &left, &t, precedence, before))
		before = binary(&t)->op;
	return precedence ? left : conditional(p, left);
}

struct node *fl_expr_level(struct parser *p, unsigned precedence)
{
	struct node *n = NULL;
	if (p->err.set)
		return NULL;
	if (++p->nest > 3 * FL_EXPR_NEST)
		FAIL(p, "expression is nested more than %d deep, which this version of fairlead does not support", FL_EXPR_NEST);
	else
		n = levelled(p, precedence);
	p->nest--;
	return n;
}

/* a; b; c */
struct node *fl_expr_sequence(struct parser *p)
{
	struct node *first = fl_expr_level(p, 0), *n = NULL;
	while (at_op(p, ";") && !p->err.set) {
		fl_expr_next(p);
		if (p->cur.kind == TOK_EOF)
			break;
		if (!n && (n = fl_expr_node(p, X_SEQ, first ? first->at : 0)))
			fl_expr_add(p, n, first);
		fl_expr_add(p, n, fl_expr_level(p, 0));
	}
	return n ? n : first;
}

struct node *fl_expr_parse(struct parser *p)
{
	fl_expr_next(p);
	struct node *n = fl_expr_sequence(p);
	if (p->cur.kind != TOK_EOF)
		fl_expr_unexpected(p, &p->cur);
	if (!n)
		FAIL(p, "out of memory");
	return p->err.set ? NULL : n;
}

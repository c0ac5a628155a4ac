/* Operator precedence, after parser/parser.go of expr. An error is remembered, the way out is the ordinary one: the first complaint
 * of the parser stays, one of the lexer takes its place. So every function bears NULL for a node. */
#include "lang/expr_int.h"
#include <errno.h>
#include <stdlib.h>

#define FAIL(p, ...) fl_expr_complain(&(p)->err, (p)->cur.at, __VA_ARGS__)

static struct node *expression(struct parser *p, unsigned precedence);
static struct node *sequence(struct parser *p);

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

enum { UNARY_NOT = 50, UNARY_SIGN = 90 };

static const struct binary *binary(const struct token *t)
{
	for (unsigned i = 0; i < FL_COUNT(binaries); i++)
		if (fl_str_is(t->text, binaries[i].text))
			return &binaries[i];
	return NULL;
}

static bool is(const struct token *t, enum token_kind kind, const char *text)
{
	return t->kind == kind && fl_str_is(t->text, text);
}
static bool at_op(const struct parser *p, const char *text) { return is(&p->cur, TOK_OP, text); }
static bool at_bracket(const struct parser *p, const char *text) { return is(&p->cur, TOK_BRACKET, text); }
static bool compares(enum op op) { return op == OP_LT || op == OP_GT || op == OP_GE || op == OP_LE; }

/* ---- tokens ---- */

static const char *shown(char to[240], const struct token *t)
{
	static const char *const kinds[] = {
	    [TOK_NAME] = "Identifier", [TOK_NUMBER] = "Number",	  [TOK_STRING] = "String", [TOK_BYTES] = "Bytes",
	    [TOK_OP] = "Operator",     [TOK_BRACKET] = "Bracket", [TOK_EOF] = "EOF"};
	char q[200];
	char *e = fl_put_bytes(to, kinds[t->kind], strlen(kinds[t->kind]));
	*e = 0;
	if (!t->text.n)
		return to;
	*e++ = '(';
	fl_expr_lex_quote(q, t->text);
	e = fl_put_bytes(e, q, strlen(q));
	memcpy(e, ")", 2);
	return to;
}

static void unexpected(struct parser *p, const struct token *t)
{
	char text[240];
	FAIL(p, "unexpected token %s", shown(text, t));
}

static void next(struct parser *p)
{
	struct token t;
	if (p->stashed) {
		p->cur = p->stash;
		p->stashed = false;
		return;
	}
	int ret = fl_expr_lex_next(&p->lex, &t);
	if (ret > 0)
		p->cur = t;
	else if (ret < 0)
		p->err = p->lex.err;
	else
		FAIL(p, "unexpected end of expression");
}

static void expect(struct parser *p, enum token_kind kind, const char *text)
{
	if (p->cur.kind == kind && (!text || fl_str_is(p->cur.text, text)))
		next(p);
	else
		unexpected(p, &p->cur);
}

/* ---- nodes ---- */

static struct node *node(struct parser *p, enum node_kind kind, int at)
{
	struct node *n = NULL;
	if (++p->nodes > FL_EXPR_NODES)
		FAIL(p, "compilation failed: expression exceeds maximum allowed nodes");
	else if (!p->err.set && !(n = fl_zalloc(p->arena, sizeof *n)))
		FAIL(p, "out of memory");
	if (n) {
		n->kind = kind;
		n->at = at;
		n->height = 1;
	}
	return n;
}

static void add(struct parser *p, struct node *n, struct node *kid)
{
	if (!n || !kid)
		return;
	if (n->n == n->cap) {
		unsigned cap = n->cap ? 2 * n->cap : 2;
		struct node **more = fl_alloc(p->arena, cap * sizeof *more);
		if (!more) {
			FAIL(p, "out of memory");
			return;
		}
		fl_put_bytes(more, n->kid, n->n * sizeof *more);
		n->kid = more;
		n->cap = cap;
	}
	n->kid[n->n++] = kid;
	n->height = kid->height + 1 > n->height ? kid->height + 1 : n->height;
	if (n->height > FL_EXPR_NEST)
		FAIL(p, "expression is nested more than %d deep, which this version of fairlead does not support", FL_EXPR_NEST);
}

static struct node *constant(struct parser *p, struct fl_expr_value v, int at)
{
	struct node *n = node(p, X_CONST, at);
	if (n) {
		n->value = v;
		n->constant = true;
	}
	return n;
}

static struct node *text_node(struct parser *p, struct fl_str s, int at)
{
	return constant(p, (struct fl_expr_value){ FL_EXPR_STR, .s = s }, at);
}

static struct node *unary(struct parser *p, enum op op, struct fl_str text, struct node *kid, int at)
{
	struct node *n = node(p, X_UNARY, at);
	add(p, n, kid);
	if (n) {
		n->op = op;
		n->text = text;
	}
	return n;
}

/* && and || become one node for a whole run of them: a long list of alternatives is not a deep tree. */
static struct node *two(struct parser *p, const struct binary *b, const struct token *t, struct node *left, struct node *right)
{
	bool logic = b->op == OP_OR || b->op == OP_AND;
	if (p->err.set)
		return NULL;
	if (logic && right)
		right->op_at = t->at;
	if (logic && left && left->kind == X_LOGIC && left->op == b->op && ++p->nodes <= FL_EXPR_NODES) {
		add(p, left, right);
		return p->err.set ? NULL : left;
	}
	struct node *n = node(p, logic ? X_LOGIC : X_BINARY, t->at);
	if (n) {
		n->op = b->op;
		n->text = t->text;
	}
	add(p, n, left);
	add(p, n, right);
	return n;
}

/* ---- literals ---- */

static struct node *number(struct parser *p, const struct token *t)
{
	char *text = fl_alloc(p->arena, t->text.n + 1), *end, q[200];
	size_t n = 0;
	bool hex = false, real = false;
	struct fl_expr_value v = { FL_EXPR_INT };
	if (!text)
		return FAIL(p, "out of memory"), NULL;
	for (size_t i = 0; i < t->text.n; i++)
		if (t->text.p[i] != '_')
			text[n++] = t->text.p[i];
	text[n] = 0;
	char second = n > 1 && text[0] == '0' ? text[1] | 0x20 : 0;
	hex = second == 'x';
	real = !hex && strpbrk(text, ".eE");
	const char *what = hex ? "hex" : real ? "float" : second == 'b' ? "binary" : second == 'o' ? "octal" : "integer";
	int base = hex ? 16 : second == 'b' ? 2 : second == 'o' ? 8 : 10;
	const char *from = base == 10 ? text : text + 2;
	errno = 0;
	if (real) {
		v = (struct fl_expr_value){ FL_EXPR_FLOAT, .f = strtod(text, &end) };
		if (errno == ERANGE && v.f < 1 && v.f > -1)
			errno = 0;
	} else {
		v.i = strtoll(from, &end, base);
	}
	bool bad = end != text + n || !*from;
	if (bad || errno)
		FAIL(p, "invalid %s literal: strconv.Parse%s: parsing %s: %s", what, real ? "Float" : "Int",
		     fl_expr_lex_quote(q, (struct fl_str){ text, n }), bad ? "invalid syntax" : "value out of range");
	return constant(p, v, t->at);
}

static struct node *array(struct parser *p, const struct token *t)
{
	struct node *n = node(p, X_ARRAY, t->at);
	bool first = true;
	expect(p, TOK_BRACKET, "[");
	while (!at_bracket(p, "]") && !p->err.set) {
		if (!first) {
			expect(p, TOK_OP, ",");
			if (at_bracket(p, "]"))
				break;
		}
		add(p, n, expression(p, 0));
		first = false;
	}
	expect(p, TOK_BRACKET, "]");
	return n;
}

static struct node *map_key(struct parser *p)
{
	struct node *key = NULL;
	char text[240];
	if (p->cur.kind == TOK_NUMBER || p->cur.kind == TOK_STRING || p->cur.kind == TOK_NAME) {
		key = text_node(p, p->cur.text, p->cur.at);
		if (key)
			next(p);
	} else if (at_bracket(p, "(")) {
		key = expression(p, 0);
	} else {
		FAIL(p,
		     "a map key must be a quoted string, a number, a identifier, or an expression enclosed in parentheses "
		     "(unexpected token %s)",
		     shown(text, &p->cur));
	}
	return key;
}

/* Kids: key, value, key, value … */
static struct node *map(struct parser *p, const struct token *t)
{
	struct node *n = node(p, X_MAP, t->at);
	bool first = true;
	expect(p, TOK_BRACKET, "{");
	while (!at_bracket(p, "}") && !p->err.set) {
		if (!first) {
			expect(p, TOK_OP, ",");
			if (at_bracket(p, "}"))
				break;
			if (at_op(p, ","))
				unexpected(p, &p->cur);
		}
		add(p, n, map_key(p));
		expect(p, TOK_OP, ":");
		add(p, n, expression(p, 0));
		first = false;
		p->nodes++;
	}
	expect(p, TOK_BRACKET, "}");
	return n;
}

/* ---- calls ---- */

static struct node *predicate(struct parser *p)
{
	int at = p->cur.at;
	bool brackets = at_bracket(p, "{");
	struct node *kid;
	if (brackets)
		next(p);
	p->inside++;
	if (brackets) {
		kid = sequence(p);
	} else {
		kid = expression(p, 0);
		if (at_op(p, ";"))
			FAIL(p, "wrap predicate with brackets { and }");
	}
	p->inside--;
	if (brackets)
		expect(p, TOK_BRACKET, "}");
	struct node *n = node(p, X_PREDICATE, at);
	add(p, n, kid);
	return n;
}

/* The arguments of a function that takes a list and a predicate (kind: struct builtin); a list that came through a pipe is there.
 */
static void predicate_arguments(struct parser *p, struct node *n, bool piped, uint8_t kind)
{
	expect(p, TOK_BRACKET, "(");
	for (unsigned i = piped, first = i; i < 2; i++) {
		if (at_bracket(p, ")")) {
			if (i == 1 && kind == 2)
				break;
			FAIL(p, "expected at least %d arguments", 2 - piped);
		}
		if (i > first)
			expect(p, TOK_OP, ",");
		add(p, n, i ? predicate(p) : expression(p, 0));
	}
	if (at_op(p, ","))
		next(p);
	if (kind == 3 && !at_bracket(p, ")"))
		add(p, n, expression(p, 0));
	expect(p, TOK_BRACKET, ")");
}

static void arguments(struct parser *p, struct node *n)
{
	bool first = true;
	expect(p, TOK_BRACKET, "(");
	while (!at_bracket(p, ")") && !p->err.set) {
		if (!first)
			expect(p, TOK_OP, ",");
		if (at_bracket(p, ")"))
			break;
		add(p, n, expression(p, 0));
		first = false;
	}
	expect(p, TOK_BRACKET, ")");
}

const struct fl_expr_fn *fl_expr_fn(const struct fl_expr_fn *all, struct fl_str name)
{
	for (; all->name; all++)
		if (fl_str_is(name, all->name))
			return all;
	return NULL;
}

/* At the parenthesis; t: the name. piped: the first argument, or NULL. own: what the caller offers hides what is built in. */
static struct node *call(struct parser *p, const struct token *t, struct node *piped, bool own)
{
	const struct builtin *b = fl_expr_builtin(t->text);
	if (fl_expr_fn(p->fns, t->text) && (own || !b))
		b = NULL;
	struct node *n = node(p, b ? X_BUILTIN : X_CALL, t->at);
	if (n) {
		n->text = t->text;
		n->builtin = b;
	}
	add(p, n, piped);
	if (b && b->predicate)
		predicate_arguments(p, n, piped != NULL, b->predicate);
	else
		arguments(p, n);
	return n;
}

/* ---- a.b, a?.b, a[i], a[i:j] ---- */

static struct node *member(struct parser *p, struct node *of, struct node *what, bool optional, int at)
{
	struct node *n = node(p, X_MEMBER, at);
	add(p, n, of);
	add(p, n, what);
	if (n)
		n->optional = optional;
	return n;
}

static struct node *chain(struct parser *p, struct node *of, int at)
{
	struct node *n = node(p, X_CHAIN, at);
	add(p, n, of);
	return n;
}

static struct node *dotted(struct parser *p, struct node *n, bool optional)
{
	struct token name = p->cur;
	next(p);
	if (name.kind != TOK_NAME && !(name.kind == TOK_OP && fl_expr_lex_is_name(name.text)))
		FAIL(p, "expected name");
	struct node *what = text_node(p, name.text, name.at);
	bool chained = n && n->kind == X_CHAIN;
	n = member(p, chained ? n->kid[0] : n, what, optional, name.at);
	if (n && at_bracket(p, "(")) {
		n->method = true;
		struct node *called = node(p, X_CALL, name.at);
		if (called)
			called->text = name.text;
		add(p, called, n);
		arguments(p, called);
		if ((n = called))
			n->method = true;
	}
	return n && (chained || optional) ? chain(p, n, name.at) : n;
}

static struct node *slice(struct parser *p, struct node *of, struct node *from, int at)
{
	struct node *to = NULL, *n;
	next(p);
	if (!at_bracket(p, "]"))
		to = expression(p, 0);
	n = node(p, X_SLICE, at);
	struct node *none = constant(p, (struct fl_expr_value){ FL_EXPR_NIL }, -1);
	add(p, n, of);
	add(p, n, from ? from : none);
	add(p, n, to ? to : none);
	expect(p, TOK_BRACKET, "]");
	return n;
}

static struct node *indexed(struct parser *p, struct node *n, bool optional, int at)
{
	next(p);
	if (at_op(p, ":"))
		return slice(p, n, NULL, at);
	struct node *from = expression(p, 0);
	if (at_op(p, ":"))
		return slice(p, n, from, at);
	n = member(p, n, from, optional, at);
	if (n)
		n->by_index = true;
	if (optional)
		n = chain(p, n, at);
	expect(p, TOK_BRACKET, "]");
	return n;
}

static struct node *postfix(struct parser *p, struct node *n)
{
	while (!p->err.set && n) {
		int at = p->cur.at;
		bool optional = at_op(p, "?.");
		if (optional || at_op(p, ".")) {
			next(p);
			if (optional && at_bracket(p, "["))
				n = indexed(p, n, true, p->cur.at);
			else
				n = dotted(p, n, optional);
		} else if (at_bracket(p, "[")) {
			n = indexed(p, n, false, at);
		} else {
			break;
		}
	}
	return n;
}

/* ---- primaries ---- */

static struct node *named(struct parser *p, const struct token *t)
{
	if (fl_str_is(t->text, "true") || fl_str_is(t->text, "false"))
		return constant(p, (struct fl_expr_value){ FL_EXPR_BOOL, .b = t->text.p[0] == 't' }, t->at);
	if (fl_str_is(t->text, "nil"))
		return constant(p, (struct fl_expr_value){ FL_EXPR_NIL }, t->at);
	if (at_bracket(p, "("))
		return postfix(p, call(p, t, NULL, true));
	struct node *n = node(p, X_NAME, t->at);
	if (n)
		n->text = t->text;
	return postfix(p, n);
}

static struct node *secondary(struct parser *p)
{
	struct token t = p->cur;
	struct node *n = NULL;
	switch (t.kind) {
	case TOK_NAME:
		next(p);
		return named(p, &t);
	case TOK_NUMBER:
		next(p);
		return number(p, &t);
	case TOK_STRING:
		next(p);
		n = text_node(p, t.text, t.at);
		break;
	case TOK_BYTES:
		next(p);
		n = node(p, X_BYTES, t.at);
		break;
	default:
		if (is(&t, TOK_BRACKET, "["))
			n = array(p, &t);
		else if (is(&t, TOK_BRACKET, "{"))
			n = map(p, &t);
		else
			unexpected(p, &t);
	}
	return postfix(p, n);
}

/* # #index . */
static struct node *pointer(struct parser *p)
{
	struct token t = p->cur;
	struct fl_str name = FL_STR("");
	if (at_op(p, "#")) {
		next(p);
		if (p->cur.kind == TOK_NAME) {
			name = p->cur.text;
			next(p);
		}
	}
	struct node *n = node(p, X_POINTER, t.at);
	if (n)
		n->text = name;
	return postfix(p, n);
}

static struct node *primary(struct parser *p)
{
	struct token t = p->cur;
	enum op op = t.kind != TOK_OP ? OP_NONE : fl_str_is(t.text, "not") || fl_str_is(t.text, "!") ? OP_NOT :
		     fl_str_is(t.text, "-") ? OP_MINUS : fl_str_is(t.text, "+") ? OP_PLUS : OP_NONE;
	if (op) {
		next(p);
		struct node *kid = expression(p, op == OP_NOT ? UNARY_NOT : UNARY_SIGN);
		return postfix(p, unary(p, op, t.text, kid, t.at));
	}
	if (is(&t, TOK_BRACKET, "(")) {
		next(p);
		struct node *n = sequence(p);
		expect(p, TOK_BRACKET, ")");
		return postfix(p, n);
	}
	if (p->inside && (at_op(p, "#") || at_op(p, ".")))
		return pointer(p);
	if (is(&t, TOK_OP, "::")) {
		next(p);
		t = p->cur;
		expect(p, TOK_NAME, NULL);
		return postfix(p, call(p, &t, NULL, false));
	}
	return secondary(p);
}

/* ---- expressions ---- */

/* let x = 1; rest */
static struct node *let(struct parser *p)
{
	next(p);
	struct token name = p->cur;
	expect(p, TOK_NAME, NULL);
	expect(p, TOK_OP, "=");
	struct node *value = expression(p, 0);
	expect(p, TOK_OP, ";");
	struct node *body = sequence(p), *n = node(p, X_LET, name.at);
	add(p, n, value);
	add(p, n, body);
	if (n)
		n->text = name.text;
	return n;
}

static struct node *three(struct parser *p, struct node *cond, struct node *yes, struct node *no, int at)
{
	struct node *n = node(p, X_COND, at);
	add(p, n, cond);
	add(p, n, yes);
	add(p, n, no);
	return n;
}

/* if a { b } else { c } */
static struct node *if_else(struct parser *p)
{
	struct node *yes, *no;
	next(p);
	if (p->err.set || ++p->nest > FL_EXPR_NEST)
		return FAIL(p, "expression is nested more than %d deep, which this version of fairlead does not support",
			    FL_EXPR_NEST),
		       NULL;
	struct node *cond = expression(p, 0);
	expect(p, TOK_BRACKET, "{");
	yes = sequence(p);
	expect(p, TOK_BRACKET, "}");
	expect(p, TOK_OP, "else");
	if (at_op(p, "if")) {
		no = if_else(p);
	} else {
		expect(p, TOK_BRACKET, "{");
		no = sequence(p);
		expect(p, TOK_BRACKET, "}");
	}
	p->nest--;
	return three(p, cond, yes, no, 0);
}

/* a ? b : c, a ?: c */
static struct node *conditional(struct parser *p, struct node *n)
{
	while (at_op(p, "?") && !p->err.set) {
		struct node *yes = n, *no;
		next(p);
		if (!at_op(p, ":")) {
			yes = expression(p, 0);
			expect(p, TOK_OP, ":");
		} else {
			next(p);
		}
		no = expression(p, 0);
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
		struct node *right = expression(p, b->precedence + 1u);
		struct node *cmp = two(p, b, &t, left, right);
		root = root ? two(p, &and, &t, root, cmp) : cmp;
		if (!root)
			return NULL;
		left = right;
		t = p->cur;
		b = t.kind == TOK_OP ? binary(&t) : NULL;
		if (!b || !compares(b->op) || p->err.set)
			return root;
		next(p);
	}
}

/* One operator and what stands right of it; false: it is not for this level. *t: the operator. */
static bool infix(struct parser *p, struct node **left, struct token *t, unsigned precedence, enum op before)
{
	bool negate = at_op(p, "not");
	*t = p->cur;
	if (negate) {
		struct token not = p->cur;
		next(p);
		const struct binary *b = binary(&p->cur);
		if (!b || !b->negated) {
			unexpected(p, &p->cur);
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
	next(p);
	if (fl_str_is(t->text, "|")) {
		struct token name = p->cur;
		expect(p, TOK_NAME, NULL);
		*left = call(p, &name, *left, true);
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
	*left = two(p, b, t, *left, expression(p, b->precedence + !b->right));
	if (negate && *left)
		*left = unary(p, OP_NOT, FL_STR("not"), *left, t->at);
	return *left != NULL;
}

static struct node *levelled(struct parser *p, unsigned precedence)
{
	if (!precedence && at_op(p, "let"))
		return let(p);
	if (!precedence && at_op(p, "if"))
		return if_else(p);
	struct node *left = primary(p);
	enum op before = OP_NONE;
	struct token t;
	while (p->cur.kind == TOK_OP && !p->err.set && infix(p, &left, &t, precedence, before))
		before = binary(&t)->op;
	return precedence ? left : conditional(p, left);
}

static struct node *expression(struct parser *p, unsigned precedence)
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
static struct node *sequence(struct parser *p)
{
	struct node *first = expression(p, 0), *n = NULL;
	while (at_op(p, ";") && !p->err.set) {
		next(p);
		if (p->cur.kind == TOK_EOF)
			break;
		if (!n && (n = node(p, X_SEQ, first ? first->at : 0)))
			add(p, n, first);
		add(p, n, expression(p, 0));
	}
	return n ? n : first;
}

struct node *fl_expr_parse(struct parser *p)
{
	next(p);
	struct node *n = sequence(p);
	if (p->cur.kind != TOK_EOF)
		unexpected(p, &p->cur);
	if (!n)
		FAIL(p, "out of memory");
	return p->err.set ? NULL : n;
}

/* What an operator stands between: literals, names, calls, and the members of each. */
#include "lang/expr_parse_int.h"
#include <errno.h>
#include <stdlib.h>

enum { UNARY_NOT = 50, UNARY_SIGN = 90 };

static struct node *text_node(struct parser *p, struct fl_str s, int at)
{
	return fl_expr_constant(p, (struct fl_expr_value){ FL_EXPR_STR, .s = s }, at);
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
	return fl_expr_constant(p, v, t->at);
}

static struct node *array(struct parser *p, const struct token *t)
{
	struct node *n = fl_expr_node(p, X_ARRAY, t->at);
	bool first = true;
	fl_expr_expect(p, TOK_BRACKET, "[");
	while (!at_bracket(p, "]") && !p->err.set) {
		if (!first) {
			fl_expr_expect(p, TOK_OP, ",");
			if (at_bracket(p, "]"))
				break;
		}
		fl_expr_add(p, n, fl_expr_level(p, 0));
		first = false;
	}
	fl_expr_expect(p, TOK_BRACKET, "]");
	return n;
}

static struct node *map_key(struct parser *p)
{
	struct node *key = NULL;
	char text[240];
	if (p->cur.kind == TOK_NUMBER || p->cur.kind == TOK_STRING || p->cur.kind == TOK_NAME) {
		key = text_node(p, p->cur.text, p->cur.at);
		if (key)
			fl_expr_next(p);
	} else if (at_bracket(p, "(")) {
		key = fl_expr_level(p, 0);
	} else {
		FAIL(p,
		     "a map key must be a quoted string, a number, a identifier, or an expression enclosed in parentheses "
		     "(unexpected token %s)",
		     fl_expr_shown(text, &p->cur));
	}
	return key;
}

/* Kids: key, value, key, value … */
static struct node *map(struct parser *p, const struct token *t)
{
	struct node *n = fl_expr_node(p, X_MAP, t->at);
	bool first = true;
	fl_expr_expect(p, TOK_BRACKET, "{");
	while (!at_bracket(p, "}") && !p->err.set) {
		if (!first) {
			fl_expr_expect(p, TOK_OP, ",");
			if (at_bracket(p, "}"))
				break;
			if (at_op(p, ","))
				fl_expr_unexpected(p, &p->cur);
		}
		fl_expr_add(p, n, map_key(p));
		fl_expr_expect(p, TOK_OP, ":");
		fl_expr_add(p, n, fl_expr_level(p, 0));
		first = false;
		p->nodes++;
	}
	fl_expr_expect(p, TOK_BRACKET, "}");
	return n;
}

/* ---- calls ---- */

static struct node *predicate(struct parser *p)
{
	int at = p->cur.at;
	bool brackets = at_bracket(p, "{");
	struct node *kid;
	if (brackets)
		fl_expr_next(p);
	p->inside++;
	if (brackets) {
		kid = fl_expr_sequence(p);
	} else {
		kid = fl_expr_level(p, 0);
		if (at_op(p, ";"))
			FAIL(p, "wrap predicate with brackets { and }");
	}
	p->inside--;
	if (brackets)
		fl_expr_expect(p, TOK_BRACKET, "}");
	struct node *n = fl_expr_node(p, X_PREDICATE, at);
	fl_expr_add(p, n, kid);
	return n;
}

/* The arguments of a function that takes a list and a predicate (kind: struct builtin); a list that came through a pipe is there.
 */
static void predicate_arguments(struct parser *p, struct node *n, bool piped, uint8_t kind)
{
	fl_expr_expect(p, TOK_BRACKET, "(");
	for (unsigned i = piped, first = i; i < 2; i++) {
		if (at_bracket(p, ")")) {
			if (i == 1 && kind == 2)
				break;
			FAIL(p, "expected at least %d arguments", 2 - piped);
		}
		if (i > first)
			fl_expr_expect(p, TOK_OP, ",");
		fl_expr_add(p, n, i ? predicate(p) : fl_expr_level(p, 0));
	}
	if (at_op(p, ","))
		fl_expr_next(p);
	if (kind == 3 && !at_bracket(p, ")"))
		fl_expr_add(p, n, fl_expr_level(p, 0));
	fl_expr_expect(p, TOK_BRACKET, ")");
}

static void arguments(struct parser *p, struct node *n)
{
	bool first = true;
	fl_expr_expect(p, TOK_BRACKET, "(");
	while (!at_bracket(p, ")") && !p->err.set) {
		if (!first)
			fl_expr_expect(p, TOK_OP, ",");
		if (at_bracket(p, ")"))
			break;
		fl_expr_add(p, n, fl_expr_level(p, 0));
		first = false;
	}
	fl_expr_expect(p, TOK_BRACKET, ")");
}

const struct fl_expr_fn *fl_expr_fn(const struct fl_expr_fn *all, struct fl_str name)
{
	for (; all->name; all++)
		if (fl_str_is(name, all->name))
			return all;
	return NULL;
}

struct node *fl_expr_call(struct parser *p, const struct token *t, struct node *piped, bool own)
{
	const struct builtin *b = fl_expr_builtin(t->text);
	if (fl_expr_fn(p->fns, t->text) && (own || !b))
		b = NULL;
	struct node *n = fl_expr_node(p, b ? X_BUILTIN : X_CALL, t->at);
	if (n) {
		n->text = t->text;
		n->builtin = b;
	}
	fl_expr_add(p, n, piped);
	if (b && b->predicate)
		predicate_arguments(p, n, piped != NULL, b->predicate);
	else
		arguments(p, n);
	return n;
}

/* ---- a.b, a?.b, a[i], a[i:j] ---- */

static struct node *member(struct parser *p, struct node *of, struct node *what, bool optional, int at)
{
	struct node *n = fl_expr_node(p, X_MEMBER, at);
	fl_expr_add(p, n, of);
	fl_expr_add(p, n, what);
	if (n)
		n->optional = optional;
	return n;
}

static struct node *chain(struct parser *p, struct node *of, int at)
{
	struct node *n = fl_expr_node(p, X_CHAIN, at);
	fl_expr_add(p, n, of);
	return n;
}

static struct node *dotted(struct parser *p, struct node *n, bool optional)
{
	struct token name = p->cur;
	fl_expr_next(p);
	if (name.kind != TOK_NAME && !(name.kind == TOK_OP && fl_expr_lex_is_name(name.text)))
		FAIL(p, "expected name");
	struct node *what = text_node(p, name.text, name.at);
	bool chained = n && n->kind == X_CHAIN;
	n = member(p, chained ? n->kid[0] : n, what, optional, name.at);
	if (n && at_bracket(p, "(")) {
		n->method = true;
		struct node *called = fl_expr_node(p, X_CALL, name.at);
		if (called)
			called->text = name.text;
		fl_expr_add(p, called, n);
		arguments(p, called);
		if ((n = called))
			n->method = true;
	}
	return n && (chained || optional) ? chain(p, n, name.at) : n;
}

static struct node *slice(struct parser *p, struct node *of, struct node *from, int at)
{
	struct node *to = NULL, *n;
	fl_expr_next(p);
	if (!at_bracket(p, "]"))
		to = fl_expr_level(p, 0);
	n = fl_expr_node(p, X_SLICE, at);
	struct node *none = fl_expr_constant(p, (struct fl_expr_value){ FL_EXPR_NIL }, -1);
	fl_expr_add(p, n, of);
	fl_expr_add(p, n, from ? from : none);
	fl_expr_add(p, n, to ? to : none);
	fl_expr_expect(p, TOK_BRACKET, "]");
	return n;
}

static struct node *indexed(struct parser *p, struct node *n, bool optional, int at)
{
	fl_expr_next(p);
	if (at_op(p, ":"))
		return slice(p, n, NULL, at);
	struct node *from = fl_expr_level(p, 0);
	if (at_op(p, ":"))
		return slice(p, n, from, at);
	n = member(p, n, from, optional, at);
	if (n)
		n->by_index = true;
	if (optional)
		n = chain(p, n, at);
	fl_expr_expect(p, TOK_BRACKET, "]");
	return n;
}

static struct node *postfix(struct parser *p, struct node *n)
{
	while (!p->err.set && n) {
		int at = p->cur.at;
		bool optional = at_op(p, "?.");
		if (optional || at_op(p, ".")) {
			fl_expr_next(p);
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
		return fl_expr_constant(p, (struct fl_expr_value){ FL_EXPR_BOOL, .b = t->text.p[0] == 't' }, t->at);
	if (fl_str_is(t->text, "nil"))
		return fl_expr_constant(p, (struct fl_expr_value){ FL_EXPR_NIL }, t->at);
	if (at_bracket(p, "("))
		return postfix(p, fl_expr_call(p, t, NULL, true));
	struct node *n = fl_expr_node(p, X_NAME, t->at);
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
		fl_expr_next(p);
		return named(p, &t);
	case TOK_NUMBER:
		fl_expr_next(p);
		return number(p, &t);
	case TOK_STRING:
		fl_expr_next(p);
		n = text_node(p, t.text, t.at);
		break;
	case TOK_BYTES:
		fl_expr_next(p);
		n = fl_expr_node(p, X_BYTES, t.at);
		break;
	default:
		if (fl_expr_is(&t, TOK_BRACKET, "["))
			n = array(p, &t);
		else if (fl_expr_is(&t, TOK_BRACKET, "{"))
			n = map(p, &t);
		else
			fl_expr_unexpected(p, &t);
	}
	return postfix(p, n);
}

/* # #index . */
static struct node *pointer(struct parser *p)
{
	struct token t = p->cur;
	struct fl_str name = FL_STR("");
	if (at_op(p, "#")) {
		fl_expr_next(p);
		if (p->cur.kind == TOK_NAME) {
			name = p->cur.text;
			fl_expr_next(p);
		}
	}
	struct node *n = fl_expr_node(p, X_POINTER, t.at);
	if (n)
		n->text = name;
	return postfix(p, n);
}

struct node *fl_expr_primary(struct parser *p)
{
	struct token t = p->cur;
	enum op op = t.kind != TOK_OP ? OP_NONE : fl_str_is(t.text, "not") || fl_str_is(t.text, "!") ? OP_NOT :
		     fl_str_is(t.text, "-") ? OP_MINUS : fl_str_is(t.text, "+") ? OP_PLUS : OP_NONE;
	if (op) {
		fl_expr_next(p);
		struct node *kid = fl_expr_level(p, op == OP_NOT ? UNARY_NOT : UNARY_SIGN);
		return postfix(p, fl_expr_unary(p, op, t.text, kid, t.at));
	}
	if (fl_expr_is(&t, TOK_BRACKET, "(")) {
		fl_expr_next(p);
		struct node *n = fl_expr_sequence(p);
		fl_expr_expect(p, TOK_BRACKET, ")");
		return postfix(p, n);
	}
	if (p->inside && (at_op(p, "#") || at_op(p, ".")))
		return pointer(p);
	if (fl_expr_is(&t, TOK_OP, "::")) {
		fl_expr_next(p);
		t = p->cur;
		fl_expr_expect(p, TOK_NAME, NULL);
		return postfix(p, fl_expr_call(p, &t, NULL, false));
	}
	return secondary(p);
}

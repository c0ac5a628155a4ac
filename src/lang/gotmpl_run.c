/* After text/template/exec.go: the tree at work, and what its errors say. */
#include "lang/gotmpl_int.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

/* ---- errors ---- */

struct words { char *p; size_t n, cap; };

static void add(struct words *w, const char *p, size_t n)
{
	n = n < w->cap - w->n ? n : w->cap - w->n;
	w->n = (size_t)(fl_put_bytes(w->p + w->n, p, n) - w->p);
}

static void show_ident(struct words *w, const struct tnode *n)
{
	for (unsigned i = 0; i < n->nident; i++) {
		add(w, ".", 1);
		add(w, n->ident[i].p, n->ident[i].n);
	}
}

/* As Go prints a node. Depth: that of the tree. */
static void show(struct words *w, const struct tnode *n)
{
	bool paren = n->kind == N_CHAIN && n->first->kind == N_PIPE;
	for (unsigned i = 0; n->kind == N_PIPE && i < n->ndecl; i++) {
		add(w, ", ", i ? 2 : 0);
		add(w, n->dname[i].p, n->dname[i].n);
	}
	if (n->kind == N_PIPE && n->ndecl)
		add(w, n->assign ? " = " : " := ", n->assign ? 3 : 4);
	if (n->kind != N_FIELD)
		add(w, n->src.p, n->src.n);
	for (const struct tnode *k = n->first; k; k = k->next) {
		bool wrap = paren || (n->kind == N_COMMAND && k->kind == N_PIPE);
		if (k != n->first)
			add(w, n->kind == N_PIPE ? " | " : " ", n->kind == N_PIPE ? 3 : 1);
		add(w, "(", wrap);
		show(w, k);
		add(w, ")", wrap);
	}
	show_ident(w, n);
}

static int fail(struct trun *r, const struct tnode *at, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static int fail(struct trun *r, const struct tnode *at, const char *fmt, ...)
{
	if (!at)
		at = r->at;
	char text[160], why[240];
	struct words w = { text, 0, sizeof text };
	unsigned line = 1;
	size_t from = 0;
	for (size_t i = 0; i < at->pos; i++)
		if (r->t->text.p[i] == '\n') {
			line++;
			from = i + 1;
		}
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(why, sizeof why, fmt, ap);
	va_end(ap);
	show(&w, at);
	return fl_err_set(r->e, "template: %s:%u:%zu: executing \"%s\" at <%.*s>: %s", r->t->name, line, at->pos - from, r->t->name, (int)w.n, text, why);
}

static int steps(struct trun *r, const struct tnode *at)
{
	if (!r->steps)
		return fail(r, at, "more than %d steps", FL_TMPL_STEPS);
	r->steps--;
	return 0;
}

/* ---- operands ---- */

static int pipeline(struct trun *r, const struct fl_tmpl_value *dot, const struct tnode *pipe, struct fl_tmpl_value *out);
static int function(struct trun *r, const struct fl_tmpl_value *dot, const struct tnode *at, const struct tnode *ident,
		    const struct fl_tmpl_value *final, struct fl_tmpl_value *out);

static const struct fl_tmpl_value *map_get(const struct fl_tmpl_value *m, struct fl_str key)
{
	for (unsigned i = 0; i < m->n; i++)
		if (fl_str_eq(m->at[2 * i].s, key))
			return &m->at[2 * i + 1];
	return NULL;
}

/* args: what stands behind it in its command; NULL: it is an operand itself. */
static int method(struct trun *r, const struct fl_tmpl_value *dot, const struct tnode *at, const struct tnode *args,
		  const struct fl_tmpl_value *final, struct fl_tmpl_value *out);

static int field(struct trun *r, const struct fl_tmpl_value *dot, const struct tnode *at, struct fl_str name, const struct tnode *args,
		 const struct fl_tmpl_value *final, struct fl_tmpl_value *v)
{
	const struct fl_tmpl_world *w = r->t->world;
	const struct fl_tmpl_value *got;
	bool has_args = args || final, boxed = v->boxed;
	if (v->kind == FL_TMPL_NONE)
		return boxed ? fail(r, NULL, "nil pointer evaluating interface {}.%.*s", FL_FMT(name)) : 0;
	if (v->kind == FL_TMPL_OBJECT && !v->object && w->method && fl_str_is(name, w->method))
		return method(r, dot, at, args, final, v);
	if (v->kind == FL_TMPL_OBJECT) {
		int ret = w->field(r->arg, r->arena, v->object, name, v);
		if (ret == -ENOTSUP)
			return fail(r, at, "field %.*s is known, but this version of fairlead does not support it yet", FL_FMT(name));
		if (ret != -ENOENT)
			return ret || !has_args ? ret : fail(r, at, "%.*s has arguments but cannot be invoked as function", FL_FMT(name));
	} else if (v->kind == FL_TMPL_MAP) {
		if (has_args)
			return fail(r, at, "%.*s is not a method but has arguments", FL_FMT(name));
		got = map_get(v, name);
		boxed = !v->type;
		*v = got ? *got : (struct fl_tmpl_value){ FL_TMPL_NONE };
		v->boxed = got && boxed;
		return 0;
	}
	return fail(r, NULL, "can't evaluate field %.*s in type %s", FL_FMT(name), boxed ? "interface {}" : fl_tmpl_type(v));
}

static int chain(struct trun *r, const struct fl_tmpl_value *dot, const struct tnode *at, const struct tnode *args,
		 const struct fl_tmpl_value *final, struct fl_tmpl_value *v)
{
	int ret = 0;
	for (unsigned i = 0; i < at->nident && !ret; i++) {
		bool end = i + 1 == at->nident;
		ret = field(r, dot, at, at->ident[i], end ? args : NULL, end ? final : NULL, v);
	}
	return ret;
}

static int not_a_function(struct trun *r, const struct tnode *first, const struct tnode *args, const struct fl_tmpl_value *final)
{
	char text[100];
	struct words w = { text, 0, sizeof text };
	show(&w, first);
	return args || final ? fail(r, first, "can't give argument to non-function %.*s", (int)w.n, text) : 0;
}

/* The first word of a command, or an operand (args and final NULL then). */
static int word(struct trun *r, const struct fl_tmpl_value *dot, const struct tnode *n, const struct tnode *cmd, const struct tnode *args,
		const struct fl_tmpl_value *final, struct fl_tmpl_value *out)
{
	int ret = steps(r, n);
	if (ret)
		return ret;
	r->at = n;
	switch (n->kind) {
	case N_FIELD:
		*out = *dot;
		return chain(r, dot, n, args, final, out);
	case N_CHAIN:
		if (n->first->kind == N_NIL)
			return fail(r, n, "indirection through explicit nil in nil");
		ret = word(r, dot, n->first, n->first, NULL, NULL, out);
		return ret ? ret : chain(r, dot, n, args, final, out);
	case N_VARIABLE:
		*out = r->var[n->decl[0]];
		ret = n->nident ? 0 : not_a_function(r, n, args, final);
		return ret ? ret : chain(r, dot, n, args, final, out);
	case N_IDENT:
		return function(r, dot, cmd, n, final, out);
	case N_PIPE:
		ret = not_a_function(r, n, args, final);
		return ret ? ret : pipeline(r, dot, n, out);
	default:
		break;
	}
	if ((ret = not_a_function(r, n, args, final)))
		return ret;
	if (n->kind == N_NIL)
		return fail(r, n, "nil is not a command");
	if (n->kind == N_NUMBER && !n->real && !n->whole)
		return fail(r, n, "%.*s overflows int", FL_FMT(n->src));
	*out = n->kind == N_DOT ? *dot : n->value;
	return 0;
}

/* ---- calls ---- */

/* Go's word for a type that a function wants. */
static const char *wanted(char c) { return c == 's' ? "string" : c == 'i' ? "int" : "interface {}"; }

static int fits(struct trun *r, const struct tnode *at, char want, const struct fl_tmpl_value *v)
{
	const char *type = fl_tmpl_type(v);
	if (want != 's' && want != 'i')
		return 0;
	if (v->kind == FL_TMPL_NONE)
		return fail(r, at, "invalid value; expected %s", wanted(want));
	return strcmp(type, wanted(want)) ? fail(r, at, "wrong type for value; expected %s; got %s", wanted(want), type) : 0;
}

static int argument(struct trun *r, const struct fl_tmpl_value *dot, const struct tnode *n, char want, struct fl_tmpl_value *out)
{
	bool constant = n->kind == N_BOOL || n->kind == N_NUMBER || n->kind == N_STRING;
	char text[100];
	struct words w = { text, 0, sizeof text };
	if (n->kind == N_NIL) {
		*out = (struct fl_tmpl_value){ FL_TMPL_NONE };
		return want == 's' || want == 'i' ? fail(r, n, "cannot assign nil to %s", wanted(want)) : 0;
	}
	r->at = n;
	show(&w, n);
	if (constant && want == 's' && n->kind != N_STRING)
		return fail(r, n, "expected string; found %.*s", (int)w.n, text);
	if (constant && want == 'i' && (n->kind != N_NUMBER || !n->whole))
		return fail(r, n, "expected integer; found %.*s", (int)w.n, text);
	int ret = word(r, dot, n, n, NULL, NULL, out);
	if (ret || !constant)
		return ret ? ret : fits(r, n, want, out);
	if (want == 'i' && n->real)
		*out = (struct fl_tmpl_value){ .kind = FL_TMPL_INT, .i = (int64_t)n->value.f };
	return 0;
}

static int method(struct trun *r, const struct fl_tmpl_value *dot, const struct tnode *at, const struct tnode *args,
		  const struct fl_tmpl_value *final, struct fl_tmpl_value *out)
{
	const struct fl_tmpl_world *w = r->t->world;
	struct fl_tmpl_value text = final ? *final : (struct fl_tmpl_value){ FL_TMPL_NONE };
	unsigned n = final != NULL;
	for (const struct tnode *k = args; k; k = k->next)
		n++;
	if (n != 1)
		return fail(r, at, "wrong number of args for %s: want 1 got %u", w->method, n);
	int ret = args ? argument(r, dot, args, 's', &text) : fits(r, at, 's', &text);
	if (ret)
		return ret;
	*out = (struct fl_tmpl_value){ .kind = FL_TMPL_STR, .s = w->call(r->arg, r->arena, text.s) };
	return out->s.p ? 0 : -ENOMEM;
}

static int and_or(struct trun *r, const struct fl_tmpl_value *dot, const struct tnode *ident, const struct fl_tmpl_value *final,
		  struct fl_tmpl_value *out)
{
	for (const struct tnode *k = ident->next; k; k = k->next) {
		int ret = argument(r, dot, k, 'v', out);
		if (ret || fl_tmpl_true(out) == (ident->func->id == F_OR))
			return ret;
	}
	if (final)
		*out = *final;
	return 0;
}

/* ident: the function, its arguments behind it when it is the first word of a command (at); alone when it is an operand. */
static int function(struct trun *r, const struct fl_tmpl_value *dot, const struct tnode *at, const struct tnode *ident,
		    const struct fl_tmpl_value *final, struct fl_tmpl_value *out)
{
	const struct func *f = ident->func;
	struct fl_tmpl_value in[FL_TMPL_ARGS + 1];
	unsigned given = 0, fixed = (unsigned)strlen(f->args), i = 0;
	const struct tnode *args = at == ident ? NULL : ident->next;
	for (const struct tnode *k = args; k; k = k->next)
		given++;
	unsigned n = given + (final != NULL);
	if (f->rest ? n < fixed : n != fixed)
		return fail(r, ident, f->rest ? "wrong number of args for %s: want at least %u got %u" : "wrong number of args for %s: want %u got %u",
			    f->name, fixed, f->rest ? given : n);
	if (f->id == F_AND || f->id == F_OR)
		return and_or(r, dot, ident, final, out);
	for (const struct tnode *k = args; k; k = k->next, i++) {
		int ret = argument(r, dot, k, i < fixed ? f->args[i] : f->rest, &in[i]);
		if (ret)
			return ret;
	}
	if (final) {
		int ret = fits(r, ident, i < fixed ? f->args[i] : f->rest, final);
		if (ret)
			return ret;
		in[i] = *final;
	}
	struct fl_err why = { "" };
	int ret = fl_tmpl_call(r, f, in, n, out, &why);
	return ret == -EINVAL ? fail(r, at, "error calling %s: %s", f->name, why.msg) : ret;
}

/* ---- pipelines ---- */

static int pipeline(struct trun *r, const struct fl_tmpl_value *dot, const struct tnode *pipe, struct fl_tmpl_value *out)
{
	struct fl_tmpl_value v, final;
	for (const struct tnode *c = pipe->first; c; c = c->next) {
		int ret = word(r, dot, c->first, c, c->first->next, c == pipe->first ? NULL : &final, &v);
		if (ret)
			return ret;
		v.boxed = false;
		final = v;
	}
	for (unsigned i = 0; i < pipe->ndecl; i++)
		r->var[pipe->decl[i]] = v;
	*out = v;
	return 0;
}

/* ---- statements ---- */

int fl_tmpl_put(struct trun *r, const char *p, size_t n)
{
	if (n > FL_TMPL_OUT - r->n)
		return -EFBIG;
	if (r->n + n + 1 > r->cap) {
		size_t cap = 2 * (r->n + n) + 200;
		char *out = fl_alloc(r->arena, cap);
		if (!out)
			return -ENOMEM;
		fl_put_bytes(out, r->out, r->n);
		r->out = out;
		r->cap = cap;
	}
	r->n = (size_t)(fl_put_bytes(r->out + r->n, p, n) - r->out);
	return 0;
}

static int print(struct trun *r, const struct tnode *at, const struct fl_tmpl_value *v)
{
	struct fl_str s = FL_STR("<no value>");
	int ret = v->kind == FL_TMPL_NONE ? 0 : fl_tmpl_text(r, v, &s);
	ret = ret ? ret : fl_tmpl_put(r, s.p, s.n);
	return ret == -ENOTSUP ? fail(r, at, "printing %s is not supported yet", fl_tmpl_type(v)) :
	       ret == -EFBIG ? fail(r, at, "more than %d bytes", FL_TMPL_OUT) : ret;
}

static int walk(struct trun *r, const struct fl_tmpl_value *dot, const struct tnode *list);

static int turn(struct trun *r, const struct tnode *n, const struct fl_tmpl_value *index, const struct fl_tmpl_value *elem)
{
	const struct tnode *p = n->pipe;
	int ret = steps(r, n);
	if (p->ndecl)
		r->var[p->decl[p->ndecl - 1]] = *elem;
	if (p->ndecl > 1)
		r->var[p->decl[0]] = *index;
	ret = ret ? ret : walk(r, elem, n->body);
	if (r->flow == FLOW_CONTINUE)
		r->flow = FLOW_ON;
	return ret;
}

static int range(struct trun *r, const struct fl_tmpl_value *dot, const struct tnode *n)
{
	struct fl_tmpl_value over, index = { .kind = FL_TMPL_INT }, elem;
	int ret = pipeline(r, dot, n->pipe, &over);
	struct fl_str text = FL_STR("?");
	bool number = over.kind == FL_TMPL_INT || over.kind == FL_TMPL_UINT;
	if (ret)
		return ret;
	if (!number && over.kind != FL_TMPL_LIST && over.kind != FL_TMPL_MAP && over.kind != FL_TMPL_NONE) {
		fl_tmpl_text(r, &over, &text);
		return fail(r, NULL, "range can't iterate over %.*s", FL_FMT(text));
	}
	if (number && n->pipe->ndecl > 1) {
		fl_tmpl_text(r, &over, &text);
		return fail(r, NULL, "can't use %.*s to iterate over more than one variable", FL_FMT(text));
	}
	uint64_t len = over.kind == FL_TMPL_INT && over.i < 0 ? 0 : number ? over.u : over.kind == FL_TMPL_NONE ? 0 : over.n;
	for (uint64_t i = 0; i < len && !ret && r->flow == FLOW_ON; i++) {
		index.i = (int64_t)i;
		if (number) {
			elem = over;
			elem.u = i;
		} else {
			elem = over.kind == FL_TMPL_MAP ? over.at[2 * i + 1] : over.at[i];
		}
		ret = turn(r, n, over.kind == FL_TMPL_MAP ? &over.at[2 * i] : &index, &elem);
	}
	if (r->flow == FLOW_BREAK)
		r->flow = FLOW_ON;
	return ret || len || !n->other ? ret : walk(r, dot, n->other);
}

static int statement(struct trun *r, const struct fl_tmpl_value *dot, const struct tnode *n)
{
	struct fl_tmpl_value v;
	int ret;
	switch (n->kind) {
	case N_TEXT:
		ret = fl_tmpl_put(r, n->src.p, n->src.n);
		return ret == -EFBIG ? fail(r, n, "more than %d bytes", FL_TMPL_OUT) : ret;
	case N_BREAK: case N_CONTINUE:
		r->flow = n->kind == N_BREAK ? FLOW_BREAK : FLOW_CONTINUE;
		return 0;
	case N_RANGE:
		return range(r, dot, n);
	default:
		break;
	}
	if ((ret = pipeline(r, dot, n->pipe, &v)))
		return ret;
	if (n->kind == N_ACTION)
		return n->pipe->ndecl ? 0 : print(r, n->pipe, &v);
	const struct tnode *way = fl_tmpl_true(&v) ? n->body : n->other;
	return way ? walk(r, n->kind == N_WITH && way == n->body ? &v : dot, way) : 0;
}

static int walk(struct trun *r, const struct fl_tmpl_value *dot, const struct tnode *list)
{
	int ret = 0;
	for (const struct tnode *n = list->first; n && !ret && r->flow == FLOW_ON; n = n->next) {
		ret = steps(r, n);
		ret = ret ? ret : statement(r, dot, n);
	}
	return ret;
}

int fl_tmpl_run(const struct fl_tmpl *t, struct fl_arena *a, void *arg, struct fl_str *out, struct fl_err *e)
{
	struct fl_tmpl_value root = { .kind = FL_TMPL_OBJECT, .type = t->world->root_type };
	struct trun *r = fl_alloc(a, sizeof *r);
	if (!r)
		return -ENOMEM;
	*r = (struct trun){ .t = t, .arena = a, .arg = arg, .steps = FL_TMPL_STEPS, .e = e };
	r->var[0] = root;
	int ret = walk(r, &root, t->root);
	if (!ret)
		ret = fl_tmpl_put(r, "", 0);
	if (ret)
		return ret;
	r->out[r->n] = 0;
	*out = (struct fl_str){ r->out, r->n };
	return 0;
}

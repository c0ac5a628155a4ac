#include "plugin/template/template.h"
#include "wire/text.h"
#include <errno.h>

static int matches(struct fl_setup *s, struct template *t, const struct fl_str *arg, unsigned n)
{
	struct fl_err e;
	for (unsigned i = 0; i < n; i++) {
		if (arg[i].n > FL_REGEX_MAX)
			return fl_setup_parse_error(s, "regex pattern too long: %zu > %d", arg[i].n, FL_REGEX_MAX);
		if (t->nregex == TEMPLATE_REGEXES)
			return fl_setup_parse_error(s, "more than %d patterns", TEMPLATE_REGEXES);
		if (!(t->regex[t->nregex] = fl_regex_compile(arg[i], &e)))
			return fl_setup_parse_error(s, "could not parse regex: %.*s, %s", FL_FMT(arg[i]), e.msg);
		t->nregex++;
	}
	return 0;
}

/* A record without fields is parsed now. One that is none fails each query, as CoreDNS does; the reason is logged then. */
static int records(struct fl_setup *s, struct template *t, const char *name, uint8_t section, const struct fl_str *arg, unsigned n)
{
	struct fl_arena *a = fl_setup_arena(s);
	struct template_rr **last = &t->rr;
	struct fl_err e;
	while (*last)
		last = &(*last)->next;
	for (unsigned i = 0; i < n; i++) {
		struct template_rr *r = fl_zalloc(a, sizeof *r);
		if (!r)
			return -ENOMEM;
		r->section = section;
		int ret = fl_tmpl_compile(&r->text, a, name, arg[i], &fl_template_world, &e);
		if (ret)
			return ret == -ENOMEM ? ret : fl_setup_parse_error(s, "could not compile template: %.*s, %s", FL_FMT(arg[n - 1]), e.msg);
		if (r->text.literal && r->text.nparts && fl_rr_parse(a, r->text.part[0].text, &r->owner, &r->set, &e))
			r->set = NULL;
		fl_template_plan(r);
		*last = r;
		last = &r->next;
	}
	return 0;
}

/* ---- var and expr ---- */

/* What every expression may call: a generation's own table, since group() is this plugin's. */
static const struct fl_expr_fn *functions(struct fl_setup *s)
{
	unsigned n = 0;
	while (fl_expression_fns[n].name)
		n++;
	struct fl_expr_fn *all = fl_zalloc(fl_setup_arena(s), (n + 2) * sizeof *all);
	if (all) {
		fl_put_bytes(all, fl_expression_fns, n * sizeof *all);
		all[n] = fl_template_group;
	}
	return all;
}

/* The words as they stand, one space between them. */
static struct fl_str joined(struct fl_arena *a, const struct fl_str *arg, unsigned n)
{
	struct fl_str all = FL_STR("");
	for (unsigned i = 0; i < n && all.p; i++)
		all = fl_arena_printf(a, "%.*s%s%.*s", FL_FMT(all), i ? " " : "", FL_FMT(arg[i]));
	return all;
}

static bool is_name(struct fl_str s)
{
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = fl_lower((uint8_t)s.p[i]);
		if (!((c >= 'a' && c <= 'z') || c == '_' || (i && c >= '0' && c <= '9')))
			return false;
	}
	return s.n > 0;
}

static bool reserved(struct fl_setup *s, const struct template *t, struct fl_str name)
{
	for (const struct fl_expr_fn *f = fl_expression_fns; f->name; f++)
		if (fl_str_is(name, f->name))
			return true;
	for (unsigned i = 0; i < t->nvar; i++)
		if (fl_str_eq(name, t->var[i].name))
			return true;
	return fl_str_is(name, fl_template_group.name) || !fl_expr_may_name(fl_setup_arena(s), name);
}

static struct fl_expr *expression(struct fl_setup *s, struct template *t, const struct fl_str *arg, unsigned n, struct fl_err *e)
{
	const struct fl_expr_fn *fns = functions(s);
	struct fl_str all = joined(fl_setup_arena(s), arg, n);
	if (fns && all.p)
		return fl_expr_compile_named(fl_setup_arena(s), all, fns, t->var, t->nvar, e);
	fl_err_set(e, "out of memory");
	return NULL;
}

static int variable(struct fl_setup *s, struct template *t, const struct fl_str *arg, unsigned n)
{
	struct fl_err e;
	if (n < 2)
		return fl_setup_arg_error(s);
	if (!is_name(arg[0]))
		return fl_setup_parse_error(s, "invalid variable name \"%.*s\"", FL_FMT(arg[0]));
	if (reserved(s, t, arg[0]))
		return fl_setup_parse_error(s, "variable name \"%.*s\" is reserved", FL_FMT(arg[0]));
	if (t->nvar == TEMPLATE_VARS)
		return fl_setup_parse_error(s, "more than %d variables", TEMPLATE_VARS);
	struct fl_expr *x = expression(s, t, arg + 1, n - 1, &e);
	if (!x)
		return fl_setup_parse_error(s, "could not compile expression: %.*s, %s", FL_FMT(arg[0]), e.msg);
	t->varexpr[t->nvar] = x;
	t->var[t->nvar++] = (struct fl_expr_name){ arg[0], x };
	return 0;
}

static int condition(struct fl_setup *s, struct template *t, const struct fl_str *arg, unsigned n)
{
	struct fl_err e;
	if (!n)
		return fl_setup_arg_error(s);
	if (t->nexpr == TEMPLATE_EXPRS)
		return fl_setup_parse_error(s, "more than %d expressions", TEMPLATE_EXPRS);
	struct fl_expr *x = expression(s, t, arg, n, &e);
	if (!x)
		return fl_setup_parse_error(s, "could not compile expression: %s", e.msg);
	t->expr[t->nexpr++] = x;
	return 0;
}

/* ---- the directive ---- */

static int extended_error(struct fl_setup *s, struct template *t, const struct fl_str *arg, unsigned n)
{
	int64_t code;
	if (n != 1 && n != 2)
		return fl_setup_arg_error(s);
	if (fl_parse_int(arg[0], 0, 65535, &code))
		return fl_setup_parse_error(s, "error parsing extended DNS error code %.*s, strconv.ParseUint: parsing \"%.*s\": invalid syntax",
					    FL_FMT(arg[n - 1]), FL_FMT(arg[0]));
	t->has_ede = true;
	t->ede = (uint16_t)code;
	t->ede_text = n == 2 ? arg[1] : FL_STR("");
	return 0;
}

static int property(struct fl_setup *s, struct template *t)
{
	static const char *const sections[] = { "answer", "authority", "additional" };
	struct fl_disp *d = fl_setup_disp(s);
	struct fl_str name = fl_disp_val(d), *arg;
	if (fl_str_is(name, "rcode")) {
		if (!fl_disp_next_arg(d))
			return fl_setup_arg_error(s);
		struct fl_str v = fl_disp_val(d);
		return fl_rcode_parse(v, &t->rcode) ? 0 : fl_setup_parse_error(s, "unknown rcode %.*s", FL_FMT(v));
	}
	unsigned n = fl_disp_args(d, &arg);
	for (uint8_t i = 0; i < FL_COUNT(sections); i++)
		if (fl_str_is(name, sections[i]))
			return n ? records(s, t, sections[i], i, arg, n) : fl_setup_arg_error(s);
	if (fl_str_is(name, "match"))
		return n ? matches(s, t, arg, n) : fl_setup_arg_error(s);
	if (fl_str_is(name, "ederror"))
		return extended_error(s, t, arg, n);
	if (fl_str_is(name, "fallthrough"))
		return fl_setup_fall(s, arg, n, &t->fall);
	if (fl_str_is(name, "upstream"))
		return 0;               /* accepted and without effect, as in CoreDNS */
	if (fl_str_is(name, "var"))
		return variable(s, t, arg, n);
	if (fl_str_is(name, "expr"))
		return condition(s, t, arg, n);
	return fl_setup_arg_error(s);
}

/* With one pattern, a group has one number: it is looked up here. */
static void number_groups(struct template *t)
{
	for (struct template_rr *r = t->nregex == 1 ? t->rr : NULL; r; r = r->next)
		for (unsigned i = 0; i < r->text.nparts; i++) {
			struct fl_tmpl_part *p = &r->text.part[i];
			int group = p->tag == TAG_GROUP ? fl_regex_group(t->regex[0], p->key) : -1;
			if (group > 0) {
				p->tag = TAG_MATCH;
				p->index = group;
			}
		}
}

static int one(struct fl_setup *s, struct template *t)
{
	struct fl_disp *d = fl_setup_disp(s);
	struct fl_str *arg;
	if (!fl_disp_next_arg(d))
		return fl_setup_arg_error(s);
	if (!fl_class_parse(fl_disp_val(d), &t->class))
		return fl_setup_parse_error(s, "invalid query class %.*s", FL_FMT(fl_disp_val(d)));
	if (!fl_disp_next_arg(d))
		return fl_setup_arg_error(s);
	if (!fl_type_parse(fl_disp_val(d), &t->type))
		return fl_setup_parse_error(s, "invalid RR class %.*s", FL_FMT(fl_disp_val(d)));
	unsigned n = fl_disp_args(d, &arg);
	int ret = fl_setup_zones(s, arg, n, &t->zones);
	while (!ret && fl_disp_next_block(d))
		ret = property(s, t);
	number_groups(t);
	return ret;
}

int fl_template_setup(struct fl_setup *s, void **inst)
{
	struct templates *all = fl_zalloc(fl_setup_arena(s), sizeof *all);
	struct template **last = &all->first;
	int ret = 0;
	while (!ret && fl_disp_next(fl_setup_disp(s))) {
		struct template *t = *last = fl_zalloc(fl_setup_arena(s), sizeof *t);
		last = &t->next;
		ret = one(s, t);
		t->first_grid = all->ngrid;
		all->ngrid += t->zones.n;
	}
	if (ret)
		fl_template_destroy(all);
	*inst = all;
	return ret;
}

void fl_template_destroy(void *inst)
{
	struct templates *all = inst;
	for (struct template *t = all->first; t; t = t->next) {
		for (unsigned i = 0; i < t->nregex; i++)
			fl_regex_free(t->regex[i]);
		for (unsigned i = 0; i < t->nvar; i++)
			fl_expr_free(t->varexpr[i]);
		for (unsigned i = 0; i < t->nexpr; i++)
			fl_expr_free(t->expr[i]);
	}
}

static const struct fl_opt opts[] = {
	{ "", "CLASS TYPE [ZONE...]", "questions of this class and type (ANY: all) in these zones, by default those of the block" },
	{ "match", "REGEX...", "only names that one of these Go regular expressions matches; the default is all" },
	{ "answer", "RR...", "records of the answer section" },
	{ "additional", "RR...", "records of the additional section" },
	{ "authority", "RR...", "records of the authority section" },
	{ "rcode", "CODE", "the response code; the default is NOERROR" },
	{ "var", "NAME EXPRESSION...", "a value for .Var and for later expressions" },
	{ "expr", "EXPRESSION...", "must be true for the template to answer; several: all of them" },
	{ "ederror", "CODE [TEXT]", "an Extended DNS Error (RFC 8914) for clients that sent EDNS" },
	{ "fallthrough", "[ZONE...]", "go on when nothing matches" },
	{ "upstream", "", "accepted, without effect" },
	{ 0 },
};

FL_PLUGIN(template, .opts = opts, .setup = fl_template_setup, .destroy = fl_template_destroy, .chain = fl_template_chain,
	  .shard_start = fl_template_shard_start, .shard_stop = fl_template_shard_stop, .query = fl_template_query);

/* view: a server block that takes only the questions for which its expressions are true; others try the next block of the same
 * zone, then shorter zones (CoreDNS plugin/view, plugin/pkg/expression, core/dnsserver/server.go). The language is lang/expr. */
#include "dns/expression.h"
#include "dns/plugin.h"
#include "lang/regex.h"
#include <errno.h>

enum { SCRATCH = 1024, SCRATCH_MAX = 64 * 1024 };       /* octets for what an expression makes: on the stack, then from the pool */

struct program { struct fl_expr *expr; struct program *next; };
struct view { struct fl_str name; struct program *first, **last; };

/* ---- set-up ---- */

static void destroy(void *inst)
{
	struct view *v = inst;
	for (struct program *p = v->first; p; p = p->next)
		fl_expr_free(p->expr);
}

/* expr WORD... : the words as they stand, one space between them. */
static int program(struct fl_setup *s, struct view *v)
{
	struct fl_arena *a = fl_setup_arena(s);
	struct fl_str *arg, all = FL_STR("");
	struct fl_err e;
	unsigned n = fl_disp_args(fl_setup_disp(s), &arg);
	struct program *p = fl_zalloc(a, sizeof *p);
	for (unsigned i = 0; i < n && all.p; i++)
		all = fl_arena_printf(a, "%.*s%s%.*s", FL_FMT(all), i ? " " : "", FL_FMT(arg[i]));
	if (!p || !all.p)
		return fl_setup_error(s, "out of memory");
	if (!(p->expr = fl_expr_compile(a, all, fl_expression_fns, &e)))
		return fl_setup_error(s, "%s", e.msg);
	*v->last = p;
	v->last = &p->next;
	return 0;
}

static int block(struct fl_setup *s, struct view *v)
{
	struct fl_disp *d = fl_setup_disp(s);
	struct fl_str *arg;
	int ret = 0;
	if (fl_disp_args(d, &arg) != 1)
		return fl_setup_arg_error(s);
	v->name = arg[0];
	while (!ret && fl_disp_next_block(d))
		ret = fl_str_is(fl_disp_val(d), "expr") ? program(s, v) :
		      fl_setup_parse_error(s, "unknown property '%.*s'", FL_FMT(fl_disp_val(d)));
	return ret;
}

static int setup(struct fl_setup *s, void **inst)
{
	struct view *v = fl_zalloc(fl_setup_arena(s), sizeof *v);
	if (!v)
		return fl_setup_error(s, "out of memory");
	v->last = &v->first;
	fl_disp_next(fl_setup_disp(s));
	int ret = block(s, v);
	ret = ret ? ret : fl_setup_once(s);
	if (ret)
		destroy(v);
	fl_setup_block(s)->view = v->name;
	*inst = v;
	return ret;
}

static int shard_start(void *inst, struct fl_shard *sh, void **local)
{
	(void)inst;
	(void)sh;
	*local = fl_regex_scratch_create(FL_REGEX_GROUPS);
	return *local ? 0 : -ENOMEM;
}

static void shard_stop(void *inst, struct fl_shard *sh, void *local)
{
	(void)inst;
	(void)sh;
	fl_regex_scratch_free(local);
}

/* ---- questions ---- */

/* Anything but true is no: an error, a number (CoreDNS plugin/view/view.go). */
static bool agrees(const struct fl_expr *x, struct fl_query *q)
{
	char mem[SCRATCH] __attribute__((aligned(16)));
	struct fl_expr_value v;
	struct fl_arena a;
	fl_arena_init(&a, mem, sizeof mem, q->shard->pool, SCRATCH_MAX);
	struct fl_expression arg = { q };
	int ret = fl_expr_run(x, &a, fl_local(q), &arg, &v);
	fl_arena_finish(&a);
	return !ret && v.type == FL_EXPR_BOOL && v.b;
}

static bool admit(void *inst, struct fl_query *q)
{
	const struct view *v = inst;
	for (const struct program *p = v->first; p; p = p->next)
		if (!agrees(p->expr, q))
			return false;
	return true;
}

static int meta(void *inst, struct fl_query *q, struct fl_str label, struct fl_str *value)
{
	const struct view *v = inst;
	(void)q;
	if (!fl_str_is(label, "view/name"))
		return -ENOENT;
	*value = v->name;
	return 0;
}

static const struct fl_opt opts[] = {
	{ "", "NAME", "the view's name, in metrics and as metadata view/name" },
	{ "expr", "EXPRESSION", "must be true; several: all of them" },
	{ 0 }
};

FL_PLUGIN(view, .opts = opts, .setup = setup, .destroy = destroy, .shard_start = shard_start, .shard_stop = shard_stop,
	  .admit = admit, .meta = meta);

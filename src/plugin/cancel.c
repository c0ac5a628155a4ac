/* cancel: gives up on queries that take too long. */
#include "dns/plugin.h"

static int setup(struct fl_setup *s, void **inst)
{
	struct fl_disp *d = fl_setup_disp(s);
	int64_t *ns = fl_alloc(fl_setup_arena(s), sizeof *ns);
	struct fl_str *arg;
	struct fl_err e;
	if (!ns)
		return fl_setup_error(s, "out of memory");
	while (fl_disp_next(d)) {
		unsigned n = fl_disp_args(d, &arg);
		*ns = 5001 * (int64_t)FL_SEC / 1000;
		if (n > 1)
			return fl_setup_arg_error(s);
		if (n && fl_duration_parse(arg[0], ns, &e))
			return fl_setup_error(s, "invalid duration: \"%.*s\"", FL_FMT(arg[0]));
		if (*ns <= 0)
			return fl_setup_error(s, "invalid negative duration: \"%.*s\"", FL_FMT(arg[0]));
	}
	*inst = ns;
	return 0;
}

/* Lookups made on the way share the deadline of the question that they serve. */
static enum fl_verdict query(void *inst, struct fl_query *q)
{
	const int64_t *ns = inst;
	uint64_t at = q->born_ns + (uint64_t)*ns;
	if (q == q->root && (!q->deadline_ns || at < q->deadline_ns))
		q->deadline_ns = at;
	return FL_NEXT;
}

static const struct fl_opt opts[] = {
	{ "", "[TIMEOUT]", "a duration; default 5.001s" },
	{ 0 }
};

FL_PLUGIN(cancel, .opts = opts, .setup = setup, .query = query);

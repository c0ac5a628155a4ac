/* minimal: leaves authority and additional out of answers that can do without: those with records in the answer. Denials, errors and
 * delegations live by these sections and stay whole. */
#include "base/clock.h"
#include "dns/plugin.h"
#include "dns/typify.h"

static int setup(struct fl_setup *s, void **inst)
{
	struct fl_disp *d = fl_setup_disp(s);
	(void)inst;
	fl_disp_next(d);
	return fl_disp_next_arg(d) ? fl_setup_arg_error(s) : 0;
}

static enum fl_verdict query(void *inst, struct fl_query *q)
{
	(void)inst;
	(void)q;
	return FL_WRAP;
}

static enum fl_verdict reply(void *inst, struct fl_query *q)
{
	struct fl_reply *r = &q->res;
	(void)inst;
	if (r->bare || r->stream || fl_typify(q, q->ask.dnssec_ok ? fl_clock_wall_s() : 0) != FL_KIND_NOERROR)
		return FL_DONE;
	uint16_t n = 0;
	for (uint16_t i = 0; i < r->n; i++)
		if (r->item[i].section == FL_ANSWER)
			r->item[n++] = r->item[i];
	r->n = n;
	r->opt = NULL;          /* they stand in the additional section, too */
	r->has_ede = false;
	return FL_DONE;
}

static const struct fl_opt opts[] = { { 0 } };

FL_PLUGIN(minimal, .opts = opts, .setup = setup, .query = query, .reply = reply);

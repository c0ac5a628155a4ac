/* any: answers questions of type ANY with one small record (RFC 8482 §4.2), so that they are of no use for amplification. */
#include "dns/plugin.h"
#include <errno.h>

enum { TTL = 8482 };    /* CoreDNS plugin/any/any.go */

static int setup(struct fl_setup *s, void **inst)
{
	struct fl_disp *d = fl_setup_disp(s);
	(void)inst;
	fl_disp_next(d);
	if (fl_disp_next_arg(d))
		return fl_setup_arg_error(s);
	if (fl_disp_next_block(d))
		return fl_setup_parse_error(s, "unknown property '%.*s'", FL_FMT(fl_disp_val(d)));
	return 0;
}

static enum fl_verdict query(void *inst, struct fl_query *q)
{
	static const char hinfo[] = "\15ANY obsoleted\14See RFC 8482";
	(void)inst;
	if (q->qtype != FL_T_ANY)
		return FL_NEXT;
	const struct fl_rrset *set = fl_rrset_one(q->arena, FL_T_HINFO, TTL, hinfo, sizeof hinfo - 1);
	if (!set || !fl_reply_add(q, FL_ANSWER, q->qname, set, false))
		return fl_yield(q, -ENOMEM);
	return FL_DONE;
}

static const struct fl_opt opts[] = { { 0 } };

FL_PLUGIN(any, .opts = opts, .setup = setup, .query = query);

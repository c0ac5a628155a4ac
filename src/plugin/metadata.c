/* metadata: lets plugins tell each other what they know of a question, as labels ({/kubernetes/namespace} in a log format). The labels
 * are worked out when somebody asks for one; this plugin only says for which questions that may be (CoreDNS plugin/metadata). */
#include "dns/plugin.h"

static int setup(struct fl_setup *s, void **inst)
{
	struct fl_disp *d = fl_setup_disp(s);
	struct fl_zones *z = fl_zalloc(fl_setup_arena(s), sizeof *z);
	struct fl_str *arg;
	if (!z)
		return fl_setup_error(s, "out of memory");
	fl_disp_next(d);
	unsigned n = fl_disp_args(d, &arg);
	if (fl_setup_zones(s, arg, n, z))
		return fl_setup_error(s, "out of memory");
	if (fl_disp_next_block(d) || fl_disp_next(d))
		return fl_setup_arg_error(s);
	*inst = z;
	return 0;
}

static bool collects(void *inst, struct fl_query *q) { return fl_zones_match(inst, q->client->qname) >= 0; }

static const struct fl_opt opts[] = {
	{ "", "[ZONE...]", "only questions below these; default: the zones of the block" },
	{ 0 }
};

FL_PLUGIN(metadata, .opts = opts, .setup = setup, .collects = collects);

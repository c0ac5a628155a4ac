/* bufsize: lowers the UDP payload size that clients offer, so that answers, and what upstreams send, are not fragmented on their way. */
#include "dns/plugin.h"

enum { DEFAULT = 1232 };        /* DNS flag day 2020 */

/* CoreDNS names the plugin twice here. */
static int wrong(struct fl_setup *s)
{
	struct fl_disp *d = fl_setup_disp(s);
	return fl_setup_error(s, "plugin/bufsize: %s:%d - Error during parsing: Wrong argument count or unexpected line ending after '%.*s'",
			      fl_disp_file(d), fl_disp_line(d), FL_FMT(fl_disp_val(d)));
}

static int setup(struct fl_setup *s, void **inst)
{
	struct fl_disp *d = fl_setup_disp(s);
	uint16_t *size = fl_alloc(fl_setup_arena(s), sizeof *size);
	struct fl_str *arg;
	int64_t v = DEFAULT;
	if (!size)
		return fl_setup_error(s, "out of memory");
	fl_disp_next(d);
	unsigned n = fl_disp_args(d, &arg);
	if (n > 1 || (n && fl_parse_int(arg[0], 512, 4096, &v)))        /* RFC 6891 §6.2.5 */
		return wrong(s);
	*size = (uint16_t)v;
	*inst = size;
	return 0;
}

static enum fl_verdict query(void *inst, struct fl_query *q)
{
	const uint16_t *size = inst;
	if (q->ask.edns && q->ask.udp_size > *size)
		q->ask.udp_size = *size;
	return FL_NEXT;
}

static const struct fl_opt opts[] = {
	{ "", "[SIZE]", "the most octets, 512 to 4096; default 1232" },
	{ 0 }
};

FL_PLUGIN(bufsize, .opts = opts, .setup = setup, .query = query);

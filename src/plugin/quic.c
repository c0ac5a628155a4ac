/* quic: limits of the block's listeners of DNS over QUIC. */
#include "dns/plugin.h"

static int setup(struct fl_setup *s, void **inst)
{
	struct fl_disp *d = fl_setup_disp(s);
	struct fl_block_conf *b = fl_setup_block(s);
	struct fl_str *arg;
	int ret = 0;
	(void)inst;
	fl_disp_next(d);
	if (fl_disp_args(d, &arg))
		return fl_setup_arg_error(s);
	while (!ret && fl_disp_next_block(d)) {
		struct fl_str name = fl_disp_val(d);
		if (fl_str_is(name, "max_streams"))
			ret = fl_setup_limit(s, &b->quic_streams, 1, 0);
		else if (fl_str_is(name, "max_connections"))
			ret = fl_setup_limit(s, &b->quic_conns, 0, 0);
		else if (fl_str_is(name, "worker_pool_size"))
			ret = fl_setup_limit(s, &b->quic_workers, 1, 0);
		else
			ret = fl_setup_parse_error(s, "unknown property '%.*s'", FL_FMT(name));
	}
	return ret;
}

static const struct fl_opt opts[] = {
	{ "max_streams", "N", "queries at a time on one connection; default 256" },
	{ "max_connections", "N", "connections at a time; default 200, 0: no limit" },
	{ "worker_pool_size", "N", "queries at a time of all connections, more wait; default 1024" },
	{ 0 }
};

FL_PLUGIN(quic, .opts = opts, .setup = setup);

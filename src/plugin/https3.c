/* https3: how many connections an https3:// listener takes, and how many requests at once each of them brings. */
#include "dns/plugin.h"

static int setup(struct fl_setup *s, void **inst)
{
	struct fl_block_conf *b = fl_setup_block(s);
	const struct fl_limit limits[] = {
		{ "max_streams", &b->https3_streams, 0, 0 },
		{ "max_connections", &b->https3_conns, 0, 0 },
	};
	(void)inst;
	return fl_setup_limits(s, limits, FL_COUNT(limits));
}

static const struct fl_opt opts[] = {
	{ "max_streams", "N", "requests at once on one connection; 0: 100; default 256" },
	{ "max_connections", "N", "at once, on all shards together; 0: no limit; default 200" },
	{ 0 },
};

FL_PLUGIN(https3, .opts = opts, .setup = setup);

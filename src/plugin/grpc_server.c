/* grpc_server: how many connections a grpc:// listener takes, and how many requests at once each of them brings. */
#include "dns/plugin.h"

static int setup(struct fl_setup *s, void **inst)
{
	struct fl_block_conf *b = fl_setup_block(s);
	const struct fl_limit limits[] = {
		{ "max_connections", &b->grpc_conns, 0, 0 },
		{ "max_streams", &b->grpc_streams, 0, 0 },
	};
	(void)inst;
	return fl_setup_limits(s, limits, FL_COUNT(limits));
}

static const struct fl_opt opts[] = {
	{ "max_connections", "N", "at once, on all shards together; 0: no limit; default 200" },
	{ "max_streams", "N", "requests at once on one connection; 0: no limit but 10000; default 256" },
	{ 0 },
};

FL_PLUGIN(grpc_server, .opts = opts, .setup = setup);

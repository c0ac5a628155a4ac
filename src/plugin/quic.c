/* quic: limits of the block's listeners of DNS over QUIC. */
#include "dns/plugin.h"

static int setup(struct fl_setup *s, void **inst)
{
	struct fl_block_conf *b = fl_setup_block(s);
	const struct fl_limit limits[] = {
		{ "max_streams", &b->quic_streams, 1, 0 },
		{ "max_connections", &b->quic_conns, 0, 0 },
		{ "worker_pool_size", &b->quic_workers, 1, 0 },
	};
	(void)inst;
	return fl_setup_limits(s, limits, FL_COUNT(limits));
}

static const struct fl_opt opts[] = {
	{ "max_streams", "N", "queries at a time on one connection; default 256" },
	{ "max_connections", "N", "connections at a time; default 200, 0: no limit" },
	{ "worker_pool_size", "N", "queries at a time of all connections, more wait; default 1024" },
	{ 0 }
};

FL_PLUGIN(quic, .opts = opts, .setup = setup);

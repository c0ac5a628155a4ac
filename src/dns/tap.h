/* tap: what plugins that ask other servers (forward) tell dnstap, which offers a struct fl_tap_ops through iface("tap"). */
#pragma once
#include "dns/query.h"

/* One question to a server and what came of it. Octets are for the call only. */
struct fl_tap_exchange {
	struct fl_addr from, to; uint16_t from_port, to_port;   /* from: our own; len 0: not known */
	bool tcp;
	uint64_t ago_ns;                /* when it was asked, before now */
	const uint8_t *query, *reply;   /* reply NULL: none came */
	size_t nquery, nreply;
};

struct fl_tap_ops { void (*forwarded)(void *inst, struct fl_query *q, const struct fl_tap_exchange *x); };     /* on a shard */

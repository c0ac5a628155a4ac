/* query: one question on its way through a chain, and the answer that grows with it. The story is told in dns/plugin.h, which plugins
 * include; this header is its first half. */
#pragma once
#include "net/loop.h"
#include "wire/rrset.h"

struct fl_plugin;
struct fl_query;
struct fl_shard;
struct fl_chain;

enum {
	FL_LINKS_MAX = 128,     /* plugins in one chain; a longer one is a start-up error */
	FL_DEPTH_MAX = 8,       /* lookups within lookups; beyond: SERVFAIL */
	FL_AGAIN_MAX = 32,      /* FL_AGAIN in one query, all plugins together; beyond: SERVFAIL */
};

enum fl_verdict {
	FL_NEXT,        /* query(): not mine; run the plugin below (fallthrough is exactly this) */
	FL_WRAP,        /* query(): as FL_NEXT, and call my reply() on the way up */
	FL_DONE,        /* q->res is final as far as I am concerned: go up */
	FL_AGAIN,       /* reply(): run the plugins below me once more, then my reply() again; q->res starts empty */
	FL_WAIT,        /* something I started is out; run me again when it is in */
	FL_DROP,        /* say nothing to the client; replies above and sent() still run; only AGAIN takes it back */
};

/* ---- the answer (items, sets and sections: wire/rrset.h) ---- */

struct fl_reply {
	struct fl_item *item;   /* in the arena, this query's own: edit freely; pointers die with the next fl_reply_add() */
	uint16_t n, cap;
	uint16_t rcode;
	uint16_t set, clear;    /* header bits (FL_AA FL_TC FL_RA FL_AD FL_CD FL_RD) over those that the request brings */
	uint16_t ede;           /* RFC 8914 code, sent when has_ede and the client sent EDNS */
	bool has_ede;
	bool bare;              /* only an rcode: nothing was written (CoreDNS tells the two apart in cache, errors, log) */
	bool live;              /* of this moment: from an index that is always fresh (kubernetes), or for want of time (forward): no cache keeps it */
	const char *ede_text;
	const char *why;        /* the error, for `errors` and the log */
	struct fl_edns *opt;    /* options to add (nsid, padding, cookie) */
	const struct fl_plugin *by;     /* who answered: label of metrics, placeholder of log; the driver fills it */
	struct fl_stream *stream;       /* more messages follow (AXFR); NULL: one message */
};

/* Messages two and on. The server sends q->res, then calls fill() whenever the connection takes more, and rewinds the arena
 * after each. What the stream holds (a version of a zone) is let go through fl_defer(), which runs however it ends. */
struct fl_stream {
	int (*fill)(struct fl_stream *s, struct fl_query *q);   /* 1: q->res is the next message; 0: the end; -errno: reset */
};

/* ---- the query ---- */

/* Who asked, and what the packet said. Const while the query lives. */
struct fl_client {
	struct fl_name qname;           /* in the block; letter case kept */
	uint16_t qtype, qclass;
	uint16_t id, flags;             /* flags: octets 3 and 4 as received */
	uint8_t opcode;
	bool tcp;                       /* as metrics and logs call it; QUIC is "udp" there */
	bool whole;                     /* an answer of any length reaches it: TCP and all encrypted ways */
	bool edns, dnssec_ok;
	uint16_t udp_size, edns_flags;  /* of its OPT; flags with DO and Z as sent */
	struct fl_addr peer, local;     /* local: the address asked (wildcard sockets: from packet info) */
	uint16_t peer_port, local_port;
	uint32_t scope;                 /* interface of a link-local peer, 0 */
	const uint8_t *packet;          /* the request as it came; len 0 in lookups made by ourselves */
	size_t packet_len;
};

/* The request as the plugins below see it: bufsize, rewrite edns0, header query change it here; lookups inherit it. */
struct fl_ask {
	uint16_t flags, udp_size;
	bool edns, dnssec_ok;
	struct fl_edns *opt;
};

struct fl_query {
	struct fl_name qname;   /* what is asked now; rewrite may replace it, and restores it in reply() */
	uint16_t qtype, qclass;
	bool detached;          /* in the tree of fl_detach(): no client waits */
	bool dropped;
	struct fl_ask ask;
	const struct fl_client *client;         /* what the client sent; const while the query lives */
	struct fl_reply res;
	struct fl_arena *arena;
	struct fl_shard *shard;
	const struct fl_chain *chain;   /* names its server, zone and view too (log, metrics) */
	void **slot;            /* one a plugin of the chain: its own state, NULL at first; use fl_slot() */
	int why;                /* on a re-run: what fl_wake() said; 0 on the first run and after lookups. Look at your own state
				 * first: an answer and a timer may come in one batch */
	uint64_t born_ns, deadline_ns;  /* root: the server arms deadline_ns when it parks; a plugin may lower it (cancel) */
	/* below: the driver's own */
	uint32_t turn;          /* moves with every step: wakes meant for an earlier one fall dead */
	uint32_t round;         /* the turn in which it was queued */
	uint32_t serial;        /* root: moves when the block goes back to its pool, which never unmaps it */
	uint8_t pos, self, depth, again;
	uint16_t subs;
	bool up, parked, queued, done, counted;
	bool late;              /* root: the deadline passed; only the way up is left */
	uint64_t owed[FL_LINKS_MAX / 64];
	uint64_t wake_at;       /* ns on the shard's clock; 0: no timer */
	struct fl_timer timer;
	struct fl_query *parent, *root, *qnext, *qprev;
	struct fl_memo *memo;
	struct fl_defer *defer;
	unsigned holds;         /* root: jobs out, or an answer still streaming; the block stays until 0 */
};

static inline void **fl_slot(struct fl_query *q) { return &q->slot[q->self]; }

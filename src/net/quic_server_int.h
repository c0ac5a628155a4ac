/* quic_server_int: what the files of the serving end share. Private to net/.
 * quic_accept.c: datagrams, connection IDs, what needs no connection. quic_server.c: connections, queries, answers. */
#pragma once
#include "net/quic_int.h"

enum { FL_QUIC_PEER_CIDS = 12, FL_QUIC_BUCKETS = 4096, FL_QUIC_CLIENTS = 4096 };

struct fl_quic_id { struct fl_quic_id *next; struct fl_quic_peer *peer; ngtcp2_cid cid; };

struct fl_quic_peer {
	struct fl_quic_conn c;                  /* first */
	struct fl_quic *quic;
	struct fl_quic_listener *li;
	struct fl_quic_peer *prev, *next;       /* of li */
	struct fl_quic_peer *dnext;             /* has something to say */
	bool dirty, half, counted, refused;     /* half: in its handshake; counted in *li->total; refused: over max_conns */
	uint16_t client;                        /* its place in clients[] */
	uint32_t credit;                        /* cancelled queries that it may still have beyond its answered ones */
	uint32_t max_streams, dangling;         /* what it was allowed; those that were answered long ago, and do not end */
	struct fl_udp_way way;                  /* how its first datagram came */
	struct fl_timer patience;
	void *held;                             /* li->tls's */
	struct fl_quic_id ids[FL_QUIC_PEER_CIDS];       /* peer NULL: free */
};

struct fl_quic {
	struct fl_loop *loop;
	struct fl_udp *udp;
	struct fl_quic_ops ops;
	struct fl_quic_stats stats;
	struct fl_quic_budget budget;
	struct fl_quic_listener *listeners;
	struct fl_quic_peer *dirty, *dirty_last;
	bool idle_workers;                      /* one came free since the last flush */
	unsigned conns, half, resets_left;
	uint64_t resets_ns;                     /* when resets_left was filled */
	struct fl_quic_id *bucket[FL_QUIC_BUCKETS];
	struct { unsigned conns; struct fl_quic_budget mem; } clients[FL_QUIC_CLIENTS];         /* by a hash of who they come from */
};

static inline void fl_quic_count(uint64_t *c, uint64_t by) { __atomic_store_n(c, *c + by, __ATOMIC_RELAXED); }

_Static_assert(sizeof((struct fl_quic_stream *)0)->room == FL_QUIC_ROOM, "the owner's room");

/* quic_accept.c */
int fl_quic_cid_add(struct fl_quic *q, struct fl_quic_peer *p, const ngtcp2_cid *cid); /* 0, -ENOSPC */
void fl_quic_cid_del(struct fl_quic *q, struct fl_quic_peer *p, const ngtcp2_cid *cid);
void fl_quic_cids_drop(struct fl_quic *q, struct fl_quic_peer *p);
int fl_quic_reset_token(uint8_t *token, const ngtcp2_cid *cid);
uint16_t fl_quic_client_of(const struct fl_udp_way *way);
void fl_quic_way_back(struct fl_udp_way *way, const ngtcp2_path *path, uint32_t ifindex);

/* quic_server.c */
/* A connection for an acceptable Initial; odcid: a Retry came before it, and its token was good. NULL: no memory. */
struct fl_quic_peer *fl_quic_accept(struct fl_quic_listener *li, const struct fl_udp_way *way, const ngtcp2_pkt_hd *hd,
				    const ngtcp2_cid *odcid, const ngtcp2_path *path);
void fl_quic_feed(struct fl_quic_peer *p, const ngtcp2_path *path, const uint8_t *bytes, size_t n);    /* p may be gone after it */
void fl_quic_patience(struct fl_quic_peer *p, uint64_t at);
/* For HTTP/3: a request is whole; its answer is under way; it will have none, both ends of the stream are told so. */
void fl_quic_asked(struct fl_quic_stream *s);
void fl_quic_answered(struct fl_quic_stream *s);
void fl_quic_drop(struct fl_quic_stream *s, uint64_t code);

/* web_v3.c */
extern const struct fl_quic_proto fl_web_v3;
void fl_web_v3_gone(struct fl_quic_stream *s);          /* it was asked, and nobody waits for the answer any more */
void fl_web_v3_late(struct fl_quic_stream *s);          /* the request did not come, or the answer was not taken, in time */
void fl_web_v3_leave(struct fl_quic_conn *c);           /* no new requests (GOAWAY) */
void fl_web_v3_calm(struct fl_quic_conn *c);            /* it costs more than it asks: to be closed */

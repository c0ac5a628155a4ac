/* quic: DNS over dedicated QUIC connections (RFC 9250), the serving end, on ngtcp2. A query a stream: it comes whole out of query(), its answer
 * goes in by fl_quic_answer(). Or HTTP/3, for listeners with an fl_web (net/web.h), which gets the requests. Datagrams come from the owner's socket and leave through its shard's batch.
 *
 *   fl_quic_datagram ─ known connection ID → that connection
 *                    ├ an Initial → handshakes under way few? a new connection : a Retry, which proves the client's address first
 *                    ├ another version → Version Negotiation
 *                    └ anything else → a stateless reset (at most RESETS a second), or nothing
 *
 * A connection belongs to the shard whose socket the kernel gave it (SO_REUSEPORT, by addresses). Active migration is refused
 * (disable_active_migration); a client whose address moves to another shard's socket is told by a stateless reset and connects anew
 * (doc/design/0023). Limits: struct fl_quic_conf and the enum below; memory of each connection and of all (quic_int.h).
 *
 * One thread's, but fl_quic_stats() and what says so. */
#pragma once
#include "net/loop.h"
#include "net/udp.h"

enum { FL_QUIC_CONNS = 4096,            /* of a shard, whatever the configuration says */
       FL_QUIC_CLIENT = 1024,           /* of one client (IPv4 address, IPv6 /64) on a shard; its memory ends at some 250 */
       FL_QUIC_RETRY_AT = 32,           /* handshakes under way on a shard before addresses must be proved */
       FL_QUIC_HALF = 512,              /* handshakes under way before new ones are dropped */
       FL_QUIC_ROOM = 64, FL_QUIC_DRAIN_S = 5 };

struct fl_quic;
struct fl_quic_stream;
struct fl_quic_listener;
struct fl_web;
struct gnutls_session_int;

struct fl_quic_streams { struct fl_quic_stream *first, *last; };

struct fl_quic_ops {
	/* A query, whole, with ID 0; bytes for the call only. Answered by fl_quic_answer(), now or later. */
	void (*query)(struct fl_quic_stream *s, const uint8_t *bytes, size_t n);
	/* Once, after query() and before an answer: the client cancelled, or its connection ended. */
	void (*gone)(struct fl_quic_stream *s);
	/* A stream or connection ended with a DoQ error of ours that is none of an answer (1, 2 or 4). */
	void (*error)(struct fl_quic_listener *li, unsigned code);
};

/* Counted by the owner, read from any thread. */
struct fl_quic_stats {
	uint64_t open;                          /* now */
	uint64_t accepted;                      /* handshakes that were completed */
	uint64_t refused;                       /* max_conns, FL_QUIC_CONNS, or no memory for one more */
	uint64_t crowded;                       /* FL_QUIC_CLIENT, or its part of the memory */
	uint64_t flooded;                       /* Initials dropped at FL_QUIC_HALF */
	uint64_t retries, negotiated, resets;   /* Retry, Version Negotiation, stateless resets sent */
	uint64_t bad_token, garbage;            /* Initials with one; datagrams that are no QUIC for us */
	uint64_t failed;                        /* handshakes that were not completed */
	uint64_t timed_out;                     /* idle connections */
	uint64_t stalled;                       /* streams whose query did not come in time */
	uint64_t protocol, excessive;           /* connections closed by DOQ_PROTOCOL_ERROR, DOQ_EXCESSIVE_LOAD */
};

struct fl_quic *fl_quic_create(struct fl_loop *l, struct fl_udp *u, const struct fl_quic_ops *ops);     /* NULL: no memory */
void fl_quic_destroy(struct fl_quic *q);        /* closes all; NULL is fine */
struct fl_quic_stats fl_quic_stats(const struct fl_quic *q);

struct fl_quic_conf {
	uint64_t read_ns, idle_ns;      /* a query, from its stream's first byte; a connection without packets */
	uint32_t max_streams;           /* of a connection at a time, > 0 */
	uint32_t max_conns;             /* of all listeners that share `total`; 0: no such limit */
	uint32_t workers;               /* queries in work on this shard at a time; more wait; 0: no such limit. Not for HTTP/3 */
	uint64_t write_ns;              /* HTTP/3: for a client to take its answer */
};

/* One listening address on one shard. Embedded in the owner's, which outlives its connections (see on_gone). */
struct fl_quic_listener {
	int fd;
	bool wildcard;
	struct fl_quic_conf conf;       /* may change at any time: new connections and streams go by it */
	uint32_t *total;                /* completed connections of all that share it; any thread's */
	struct fl_web *web;             /* HTTP/3 for it; NULL: DoQ. Borrowed, set before fl_quic_listen() */
	/* Puts credentials into a new server's session (0 or GnuTLS's error); *held goes to forget() when the connection is over. */
	int (*tls)(struct fl_quic_listener *li, struct gnutls_session_int *s, void **held);
	void (*forget)(void *held);
	void (*on_gone)(struct fl_quic_listener *li);   /* the last connection of a closed listener went; may be NULL */
	/* quic's own */
	struct fl_quic *quic;
	struct fl_quic_listener *next;
	struct fl_quic_peer *first;     /* its connections */
	struct fl_quic_streams waiting; /* for a worker */
	unsigned conns, working;
	bool closed;
	struct fl_timer drain;          /* closed: when those that are left end, answered or not */
};
void fl_quic_listen(struct fl_quic *q, struct fl_quic_listener *li);
/* No new connections and queries; those that idle close at once, the others with their last answer, or after FL_QUIC_DRAIN_S. Datagrams are
 * still to be given: while its socket is open, the kernel goes on sending it newcomers; a listener with the same `total` takes them. */
void fl_quic_unlisten(struct fl_quic_listener *li);

void fl_quic_datagram(struct fl_quic_listener *li, const struct fl_udp_in *in);
/* Writes what connections have to say into the batch, to be sent by fl_udp_flush(). true: there is more for the next turn. */
bool fl_quic_flush(struct fl_quic *q);

/* The answer; the stream ends with it, and s is not the owner's any more. */
void fl_quic_answer(struct fl_quic_stream *s, const uint8_t *bytes, size_t n);
void fl_quic_refuse(struct fl_quic_stream *s);          /* there will be none: DOQ_INTERNAL_ERROR on the stream */
void fl_quic_protocol_error(struct fl_quic_stream *s);  /* what was asked may not be: DOQ_PROTOCOL_ERROR on the connection (§4.3.3) */
struct fl_quic_listener *fl_quic_stream_listener(const struct fl_quic_stream *s);
const struct fl_udp_way *fl_quic_stream_way(const struct fl_quic_stream *s);    /* of its connection */
void *fl_quic_stream_room(struct fl_quic_stream *s);     /* FL_QUIC_ROOM bytes for the owner, aligned to 16, zeroed at first */

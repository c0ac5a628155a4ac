/* tcp: connections that carry messages behind a two-byte length (RFC 1035 §4.2.2, RFC 7766). Many messages may be in work on one
 * connection, answers go out as they come. A connection lives in a piece of the shard's pool; nothing here allocates otherwise, as
 * long as it is plain.
 *
 *   accept → (TLS handshake) → [reading] frame() … fl_conn_send() → [idle] → timer → closed()
 *                                  └ max_inflight in work, or the peer does not read: reading rests until there is room again
 *
 * A listener with `tls` seals its connections (RFC 7858). One whose ops have bytes() carries what its owner speaks (HTTP): the owner is
 * given bytes as they come, writes with fl_conn_write(), and sets the timer itself. What either kind writes within an event of its
 * connection leaves with one call where the event ends. A peer that only ends its own side still gets its answers.
 *
 * One thread's. A connection that closed stays in memory until the last holder put it. */
#pragma once
#include "net/loop.h"
#include "net/udp.h"

struct fl_conn;
struct fl_tcp;

struct fl_tcp_limits {
	unsigned max_conns;             /* a new one beyond closes the one that idled longest, or itself */
	unsigned max_client;            /* a new one of the same client (IPv4 address, IPv6 /64) beyond is closed; 0: no such limit */
	unsigned max_inflight;          /* messages in work on one connection */
	size_t max_unsent;              /* bytes that a peer may leave unread before it is cut off */
};
struct fl_tcp_ops {
	void (*frame)(struct fl_conn *c, const uint8_t *bytes, size_t n);       /* bytes for the call only */
	void (*closed)(struct fl_conn *c);      /* once; whatever is in work has nobody to go to */
	void (*room)(struct fl_conn *c);        /* the peer read all that was queued; NULL: nobody waits for that */
	/* Raw connections: bytes() instead of frame(). */
	void (*bytes)(struct fl_conn *c, const uint8_t *p, size_t n);   /* for the call only; all of them are taken */
	int (*ready)(struct fl_conn *c);        /* accepted and, if it is sealed, shaken: not 0 closes it; may be NULL */
	bool (*due)(struct fl_conn *c);         /* the timer rang: false closes it, unless something is in work */
	void (*bye)(struct fl_conn *c);         /* its listener goes: a last word; it ends with what is in work. May be NULL */
	const char *unsealed;           /* told to a client that speaks plain HTTP where TLS is awaited; NULL: an alert is */
};
/* Counted by the owner, read from any thread. */
struct fl_tcp_stats {
	uint64_t open;                  /* now */
	uint64_t accepted;
	uint64_t refused;               /* max_conns: the one that came, or one that idled */
	uint64_t crowded;               /* max_client */
	uint64_t timed_out, reset;
	uint64_t unread;                /* cut off with max_unsent waiting */
	uint64_t stalled;               /* of timed_out: a write did not move */
	uint64_t shaken, resumed, unshaken;     /* TLS handshakes: whole ones, shortened ones, failed ones */
};

struct fl_tcp *fl_tcp_create(struct fl_loop *l, struct fl_pool *pool, const struct fl_tcp_limits *lim, const struct fl_tcp_ops *ops);
void fl_tcp_destroy(struct fl_tcp *t);          /* closes all */
struct fl_tcp_stats fl_tcp_stats(const struct fl_tcp *t);

struct fl_tls_host;
/* Counts the connections of one address on all shards. Atomic. */
struct fl_tcp_share { unsigned n; };

/* What connections of one listener share; times in ns. Embedded in the listener, which outlives its connections (see on_gone). */
struct fl_tcp_listener {
	struct fl_io io;
	struct fl_tcp *tcp;
	uint64_t read_ns, write_ns, idle_ns;    /* first message; a write that does not move; between messages */
	uint32_t max_messages;                  /* of one connection, which closes when the last of them is answered; 0: any number */
	/* For new connections: */
	struct fl_tls_host *tls;                /* borrowed; NULL: plain */
	const char *const *alpn;                /* as fl_tls_session_create() has it */
	bool alpn_must;
	const struct fl_tcp_ops *ops;           /* NULL: those of the fl_tcp */
	void *speaker;                          /* of raw connections: their owner's */
	struct fl_tcp_share *share;             /* borrowed; NULL: not counted */
	unsigned max_share;                     /* most that share->n may be; 0: any number */
	void (*coming)(struct fl_tcp_listener *li);     /* clients wait to be accepted: may change what they get. May be NULL */
	struct fl_timer again;                          /* out of descriptors: accepting rests until then */
	unsigned conns;
	bool draining;                          /* no message is taken any more; each connection closes when its last answer is out */
	void (*on_gone)(struct fl_tcp_listener *li);    /* the last connection of a closed listener went; may be NULL */
};
int fl_tcp_listen(struct fl_tcp *t, struct fl_tcp_listener *li, int fd);        /* fd is taken; 0 or -errno */
/* No new ones. Those that idle are closed, the others when what is in work has been answered. */
void fl_tcp_unlisten(struct fl_tcp_listener *li);

/* Sends one message: it is queued, and leaves where the event ends, or outside of one the turn of the loop. Harmless on a closed connection. */
void fl_conn_send(struct fl_conn *c, const uint8_t *bytes, size_t n);
/* Writes bytes as they are: of a raw connection. They leave as messages do. */
void fl_conn_write(struct fl_conn *c, const void *bytes, size_t n);
void fl_conn_end(struct fl_conn *c);            /* nothing is read any more, it closes when nothing is in work or unsent */
/* The same; but what its peer may still be sending is thrown away for a second, else the kernel's reset would overtake the answer. */
void fl_conn_linger(struct fl_conn *c);
void fl_conn_pause(struct fl_conn *c, bool on); /* nothing is read as long as that is on */
void fl_conn_until(struct fl_conn *c, uint64_t at_ns);  /* sets the timer, unless it waits for the peer to read */
struct fl_str fl_conn_alpn(const struct fl_conn *c);    /* what was agreed; "": nothing */
bool fl_conn_sealed(const struct fl_conn *c);
void **fl_conn_speaker(struct fl_conn *c);      /* what speaks on a raw connection; NULL at first */
size_t fl_conn_unsent(const struct fl_conn *c);  /* bytes queued */
void fl_conn_reset(struct fl_conn *c);          /* closes it; closed() is called */
void fl_conn_close(struct fl_conn *c);          /* the same, but nobody did wrong */
void fl_conn_hold(struct fl_conn *c);           /* a message is in work: keep the memory */
void fl_conn_put(struct fl_conn *c);            /* it is done */
struct fl_tcp_listener *fl_conn_listener(struct fl_conn *c);
const struct fl_udp_way *fl_conn_way(struct fl_conn *c);        /* peer; local with info 4 or 6 */
uint16_t fl_conn_local_port(struct fl_conn *c);
void **fl_conn_user(struct fl_conn *c);         /* the owner's list of what is in work; NULL at first */

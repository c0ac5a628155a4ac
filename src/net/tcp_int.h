/* tcp_int: what the files of the TCP server share. Private to net/.
 *
 *   tcp.c       accepts, counts, closes; frames
 *   tcp_out.c   bytes out
 *   tcp_tls.c   what changes when a connection is sealed: its bytes go through a fl_tls_session on both ways */
#pragma once
#include "base/mem.h"
#include "net/tcp.h"
#include "net/tls_server.h"

enum { FL_TCP_CLIENTS = 4096, FL_TCP_CIPHER = 17 * 1024, FL_TCP_PLAIN = 65537,
       FL_TCP_GATHER = 16 * 1024 };     /* what fits into a record (RFC 8446 §5.1) */

/* Bytes that wait for the socket. */
struct fl_tcp_out { struct fl_tcp_out *next; uint32_t n, at, cap; uint8_t bytes[]; };

struct fl_conn {
	struct fl_io io;
	struct fl_timer timer;
	struct fl_tcp *tcp;
	struct fl_tcp_listener *li;
	const struct fl_tcp_ops *ops;
	struct fl_conn *prev, *next;    /* all, least recently used first */
	struct fl_udp_way way;
	uint16_t local_port, client;    /* client: its place in clients[] */
	bool open, resting, busy;       /* busy: inside an event of its own */
	bool blocked;                   /* the socket takes no more for now */
	bool broken;                    /* what was written could not be kept: to be closed */
	bool ended;                     /* nothing is read any more; it closes with the last answer */
	bool lingers, lingering;        /* when it closes it waits for its peer to stop; it does, and its own side is shut */
	bool paused;                    /* the owner of a raw connection reads no more for now */
	bool shaking;                   /* the TLS handshake is not over */
	bool greeted;                   /* what came first is no plain HTTP */
	bool put_off;                   /* its handshake goes on in a later turn of the loop than `turn` */
	uint32_t turn;
	unsigned holds;
	uint32_t events;                /* that the loop looks for */
	uint32_t taken;                 /* messages */
	void *user, *speaker;
	struct fl_tcp_out *out_first, *out_last;
	size_t unsent;
	struct fl_later later;          /* sends what was written outside of its events */
	uint64_t moved_ns;              /* when the peer last took something */
	struct fl_tls_session *tls;     /* NULL: plain */
	uint8_t *left;                  /* ciphertext that was fetched, but not needed yet; malloc'd */
	size_t left_at, left_n;
	uint8_t *big;                   /* a piece for a frame that does not fit below */
	size_t big_n, have;             /* of the piece; bytes in the buffer in use */
	uint8_t in[];
};

struct fl_tcp {
	struct fl_loop *loop;
	struct fl_pool *pool;
	struct fl_tcp_limits lim;
	struct fl_tcp_ops ops;
	struct fl_tcp_stats stats;
	struct fl_conn *first, *last;
	unsigned n;
	uint16_t clients[FL_TCP_CLIENTS];       /* connections by a hash of who they come from: those that share a place share its limit */
	/* Made when the first connection wants them: sealed ones fetch much at once, and all that is not frames is read here. */
	uint8_t *cipher, *plain;
	uint8_t *gather;                /* FL_TCP_GATHER: messages that wait to be sealed, */
	struct fl_conn *gatherer;       /* all of one connection; NULL: none */
	size_t gathered;
	struct fl_conn *reader;         /* whose bytes are in cipher */
	size_t cipher_at, cipher_n;
	unsigned fetches;               /* that the reader may still make */
	uint64_t turn_ns; uint32_t turn;        /* the loop's, as far as handshakes have to know */
	unsigned shakes;                /* in it */
};

static inline void fl_tcp_count(uint64_t *c, uint64_t by) { __atomic_store_n(c, *c + by, __ATOMIC_RELAXED); }

/* tcp.c */
void fl_tcp_close(struct fl_conn *c);
void fl_tcp_let_go(struct fl_conn *c);          /* frees one that is closed and that nobody holds */
void fl_tcp_ready(struct fl_conn *c);           /* bytes may be read: tells the owner; closes it when that does not like it */
bool fl_tcp_take(struct fl_conn *c, const uint8_t *bytes, size_t n);    /* of a raw connection; false: closed */
bool fl_tcp_frames(struct fl_conn *c);          /* hands out what is whole; false: closed */
bool fl_tcp_rests(const struct fl_conn *c);     /* nothing more is to be read now */
uint8_t *fl_tcp_in(struct fl_conn *c, size_t *cap);     /* the buffer in use */
void fl_tcp_leave(struct fl_conn *c);            /* the end of an event: sends what was written; c may be gone */
void fl_tcp_interest(struct fl_conn *c);        /* tells the loop what c waits for */

/* tcp_out.c */
int fl_tcp_push(struct fl_conn *c, const void *bytes, size_t n);        /* queues; 0, or -ENOBUFS: c is broken now */
int fl_tcp_pour(struct fl_conn *c);             /* seals what gathered; 0, or -ENOBUFS: c is broken now */
bool fl_tcp_drain(struct fl_conn *c);           /* sends what is queued; false: closed */
void fl_tcp_flush(struct fl_conn *c);           /* the same, and the peer has so long to take it */
void fl_tcp_cut_off(struct fl_conn *c);         /* it leaves its answers unread, or there is no memory for them: closes */

/* tcp_tls.c */
int fl_tcp_seal(struct fl_conn *c);             /* 0 or -ENOMEM */
void fl_tcp_unseal(struct fl_conn *c, bool bye);
void fl_tcp_sealed_read(struct fl_conn *c);     /* reads and hands out, until there is no more or no room */

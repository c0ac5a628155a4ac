/* quic_int: a connection of QUIC as both ends see it (quic_conn.c): ngtcp2's state, its TLS session, streams, its timer. What differs between
 * server and client stands behind fl_quic_side. Private to net/.
 *
 * ngtcp2 calls back in the middle of its work, and must not be called again then for reading, writing or deleting. So callbacks only note
 * what is to happen (`close`, `ready`); fl_quic_conn_write() and the side's own code do it when ngtcp2 has returned.
 *
 * Memory: everything of a connection but GnuTLS's session is counted in its fl_quic_mem, and refused beyond its limit or those above it:
 * ngtcp2 then fails with NOMEM, and the connection ends. One thread's. */
#pragma once
#include "base/err.h"
#include "net/doq.h"
#include "net/quic.h"
#include "net/quic_compat.h"
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <netinet/in.h>

enum { FL_QUIC_DATAGRAM = 1452, FL_QUIC_CID = 16, FL_QUIC_BURST = 32, FL_QUIC_WINDOW = 128 * 1024, FL_QUIC_WHY = 200,
       FL_QUIC_MEMORY = 2 * 1024 * 1024, FL_QUIC_PIECES = 8 };

/* ---- memory (quic_mem.c) ---- */

/* Of several connections: all of one client, then all of one owner (up NULL). */
struct fl_quic_budget { size_t used, limit; struct fl_quic_budget *up; };
static inline bool fl_quic_room(const struct fl_quic_budget *b, size_t n) { return b->used + n <= b->limit; }
struct fl_quic_mem { ngtcp2_mem ng; size_t used, limit; struct fl_quic_budget *of; };
void fl_quic_mem_init(struct fl_quic_mem *m, size_t limit, struct fl_quic_budget *of);
void *fl_quic_resize(void *mem, void *p, size_t n);     /* as realloc(); mem: a fl_quic_mem */

/* ---- connections ---- */

struct fl_quic_conn;
struct fl_quic_stream {
	struct fl_quic_conn *conn;
	struct fl_quic_stream *prev, *next;             /* all of the connection */
	struct fl_quic_stream *rprev, *rnext;           /* with something to send; server: waiting for a worker */
	int64_t id;
	struct fl_doq in;
	uint8_t *out; size_t out_n, out_at;             /* kept until the stream closes: ngtcp2 sends it again from here */
	bool ready, blocked;                            /* on c->ready, c->blocked */
	bool deaf;                                      /* what still comes is thrown away */
	bool asked, answered, waits;                    /* server: the query was handed on; its answer came; it waits for a worker */
	bool dangling;                                  /* server: answered, and not ended by the client in due time */
	bool late;                                      /* server: it was given up */
	uint64_t due_ns;                                /* server: when waiting for the peer ends; UINT64_MAX: never */
	void *user;                                     /* client: who asked; HTTP/3: the request */
	_Alignas(16) uint8_t room[64];                  /* server: its owner's */
};

/* What streams carry: DoQ's messages (quic_doq.c, both ends) or HTTP/3 (web_v3.c, the serving end). Called inside ngtcp2, all but again(),
 * next() and finish(): may open, shut down and extend streams, and note that the connection is to be closed. NULL: nothing to be done. */
struct fl_quic_piece { struct fl_quic_stream *stream; bool fin; unsigned n; ngtcp2_vec v[FL_QUIC_PIECES]; };
struct fl_quic_proto {
	const char *alpn;
	const uint16_t *code;           /* by FL_DOQ_… what it is here; NULL: the same. Codes beyond those stand for themselves */
	uint32_t uni;                   /* streams in one direction that the peer may have at a time (ngtcp2 0.12: ever) */
	uint32_t stream_window;         /* what the peer may send on a stream before more is allowed */
	void (*open)(struct fl_quic_conn *c);                                           /* its handshake is done */
	void (*data)(struct fl_quic_stream *s, const uint8_t *p, size_t n, bool fin);
	bool (*next)(struct fl_quic_conn *c, struct fl_quic_piece *p);                  /* to be sent; false: nothing */
	void (*took)(struct fl_quic_conn *c, const struct fl_quic_piece *p, size_t n);  /* so much of it is on its way, and fin behind all */
	void (*stuck)(struct fl_quic_stream *s);        /* flow control holds it, until again() */
	void (*again)(struct fl_quic_stream *s);        /* may be tried once more */
	void (*shut)(struct fl_quic_stream *s);         /* takes nothing any more */
	void (*acked)(struct fl_quic_stream *s, uint64_t n);
	void (*closed)(struct fl_quic_stream *s, uint64_t code);        /* maybe twice for one in one direction */
	void (*release)(struct fl_quic_stream *s);      /* its memory goes, closed or not: gives back what hangs on it */
	void (*finish)(struct fl_quic_conn *c);         /* before ngtcp2's state and the streams go */
};
extern const struct fl_quic_proto fl_quic_doq;

/* What an end does about it. Those that ngtcp2's callbacks call (message, gone, handshaked, more_streams, *_cid) do not call back into
 * ngtcp2 but to open, shut down and extend. */
struct fl_quic_side {
	void (*message)(struct fl_quic_stream *s, struct fl_str msg);
	void (*reset)(struct fl_quic_stream *s, uint64_t code); /* by the peer */
	void (*gone)(struct fl_quic_stream *s);         /* its memory goes after this */
	bool (*opened)(struct fl_quic_stream *s);       /* by the peer */
	void (*handshaked)(struct fl_quic_conn *c);
	void (*more_streams)(struct fl_quic_conn *c);   /* of ours may be opened; NULL: we open none */
	int (*new_cid)(struct fl_quic_conn *c, ngtcp2_cid *cid, uint8_t *reset_token);
	void (*old_cid)(struct fl_quic_conn *c, const ngtcp2_cid *cid);
	uint8_t *(*room)(struct fl_quic_conn *c);       /* for a datagram of FL_QUIC_DATAGRAM */
	void (*send)(struct fl_quic_conn *c, const ngtcp2_path *path, size_t n);        /* what was written there */
	void (*expired)(struct fl_quic_conn *c);        /* its timer fired and ngtcp2 was told: write, or it is over */
};

enum fl_quic_state { FL_QUIC_HANDSHAKE, FL_QUIC_OPEN, FL_QUIC_OVER };

struct fl_quic_conn {
	ngtcp2_crypto_conn_ref ref;                     /* GnuTLS's way back to ng */
	ngtcp2_conn *ng;
	gnutls_session_t tls;
	const char *name;                               /* client: what the certificate must be for; borrowed */
	struct fl_quic_mem mem;
	const struct fl_quic_side *side;
	const struct fl_quic_proto *proto;
	void *speaker;                                  /* proto's own */
	struct fl_loop *loop;
	struct fl_timer timer;
	enum fl_quic_state state;
	bool busy;                                      /* inside ngtcp2 */
	struct fl_quic_streams all, ready, blocked;
	unsigned nstreams;
	uint64_t heard_ns;                              /* when the peer last said something about a stream */
	/* the end */
	bool close, app;                                /* to be closed, with an application's error */
	uint64_t code;                                  /* the error; of the peer's, when over */
	char why[FL_QUIC_WHY];                          /* in words, quic-go's where it has some */
};

/* c is zeroed; ng and tls are the side's to make. */
void fl_quic_conn_init(struct fl_quic_conn *c, struct fl_loop *l, const struct fl_quic_proto *proto, const struct fl_quic_side *side,
		       struct fl_quic_budget *of);
/* Settings and transport parameters with our defaults; the sides add theirs. */
void fl_quic_defaults(const struct fl_quic_conn *c, ngtcp2_settings *s, ngtcp2_transport_params *p);
extern const ngtcp2_callbacks fl_quic_callbacks;

int fl_quic_conn_read(struct fl_quic_conn *c, const ngtcp2_path *path, const uint8_t *bytes, size_t n);       /* 0, or ngtcp2's error */
/* Says what there is to say, at most a burst; sets the timer. true: there is more. May end with state OVER. */
bool fl_quic_conn_write(struct fl_quic_conn *c);
uint64_t fl_quic_code(const struct fl_quic_conn *c, uint64_t code);     /* FL_DOQ_… or a code of its protocol → on the wire */
/* Notes how it is to end; the next write does it. code of an application: see fl_quic_code(). reason: a literal. The first one counts. */
void fl_quic_conn_close(struct fl_quic_conn *c, bool app, uint64_t code, const char *reason);
void fl_quic_conn_failed(struct fl_quic_conn *c, int liberr);   /* the same for an error that ngtcp2 returned */
void fl_quic_conn_free(struct fl_quic_conn *c); /* streams (gone() is called), ngtcp2's and GnuTLS's state; not the structure */

void fl_quic_stream_rest(struct fl_quic_stream *s);     /* off the lists of those that have something to send */
/* DoQ: takes the message to send, n >= 2 bytes of the connection's memory, and ends our side of the stream behind it. */
void fl_quic_stream_put(struct fl_quic_stream *s, uint8_t *frame, size_t n);
struct fl_quic_stream *fl_quic_stream_new(struct fl_quic_conn *c, int64_t id);  /* NULL: no memory */
void fl_quic_stream_free(struct fl_quic_stream *s);             /* one that ngtcp2 does not know (any more) */

void fl_quic_list_add(struct fl_quic_streams *l, struct fl_quic_stream *s);     /* lists by rprev, rnext */
void fl_quic_list_del(struct fl_quic_streams *l, struct fl_quic_stream *s);

/* ---- TLS (quic_tls.c) ---- */

/* A session for c, whose side it is: 0 or GnuTLS's error. prepare puts credentials into it, and what else TLS needs to know. */
int fl_quic_tls_open(struct fl_quic_conn *c, bool server, int (*prepare)(void *arg, gnutls_session_t s), void *arg);
void fl_quic_tls_refusal(struct fl_quic_conn *c, struct fl_err *e);     /* how the handshake failed here, in Go's words */
const char *fl_quic_alert_text(unsigned alert);

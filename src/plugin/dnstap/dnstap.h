/* dnstap, inside: what clients ask and get, and what forward asks, as a stream of protobuf records (https://dnstap.info).
 *
 *   dnstap.c  directive, the chain's hooks        payload.c  a record's octets; control frames of Frame Streams, both pure
 *   pipe.c    a ring for each shard → the main loop              sink.c  one connection to somebody who listens to it
 *
 *   shard ── encodes into its ring ──╮ full: counted, dropped
 *   shard ── …                       ├─ main loop: every 10 ms while there is something ── sink(s)
 *
 * A pipe outlives reloads and is shared by all lines with the same endpoint and sizes; identity, version, extra are those of the line. */
#pragma once
#include "base/metric.h"
#include "dns/format.h"
#include "net/loop.h"
#include "net/tls.h"
#include "net/tls_server.h"

/* ---- payload.c ---- */

enum { DNSTAP_CLIENT_QUERY = 5, DNSTAP_CLIENT_RESPONSE, DNSTAP_FORWARDER_QUERY, DNSTAP_FORWARDER_RESPONSE };

struct dnstap_who { struct fl_str identity, version; };
struct dnstap_event {
	uint8_t type;                   /* odd: of a query, even: of a response */
	bool tcp;
	struct fl_addr from, to;        /* query and response address; len 0: not told */
	uint16_t from_port, to_port;
	uint64_t query_ns, response_ns; /* wall clock; 0: none */
	const uint8_t *msg; size_t nmsg;        /* NULL: without */
	struct fl_str extra;            /* p NULL: none */
};
/* A data frame: its length in four octets, then the record. to NULL: only how long it will be. */
size_t fl_dnstap_frame(uint8_t *to, const struct dnstap_who *who, const struct dnstap_event *ev);

enum { FSTRM_ACCEPT = 1, FSTRM_START, FSTRM_STOP, FSTRM_READY, FSTRM_FINISH, FSTRM_CONTROL_MAX = 512 };
size_t fl_dnstap_control(uint8_t to[64], uint32_t type);        /* a control frame, with the content type where there may be one */
/* The control frame at p: its length, its type; 0: more octets are needed; -EPROTO: it is none, or one for another content. */
int fl_dnstap_control_read(const uint8_t *p, size_t n, uint32_t *type);

/* ---- pipe.c ---- */

enum dnstap_proto { DNSTAP_UNIX, DNSTAP_TCP, DNSTAP_TLS };

struct dnstap_where {
	enum dnstap_proto proto;
	bool listen, skipverify;
	struct fl_str endpoint;         /* a path, or host:port */
	unsigned buffer_mib, queue;
	struct fl_str cert, key, ca;    /* listen tls://: files; n 0: none */
};

struct dnstap_pipe;
/* Made, or found from the last generation. NULL with the words in e. */
struct dnstap_pipe *fl_dnstap_pipe(struct fl_setup *s, const struct dnstap_where *w, struct fl_err *e);
/* On a shard: room for a frame of n octets, to be filled and then sent off; NULL: full, which is counted. */
uint8_t *fl_dnstap_room(struct dnstap_pipe *p, unsigned shard, size_t n);
void fl_dnstap_send(struct dnstap_pipe *p, unsigned shard, size_t n);
void fl_dnstap_pipe_start(struct dnstap_pipe *p);       /* dials or listens, once */

/* ---- sink.c: main thread ---- */

enum { SINK_ROOM = 256 * 1024 };

struct dnstap_sink {
	struct fl_loop *loop;
	const struct dnstap_where *where;
	/* It is over: an incoming one is the owner's to destroy, but not at once; one that dials tries again by itself. */
	void (*lost)(struct dnstap_sink *s, unsigned frames);
	void (*ready)(struct dnstap_sink *s);   /* takes frames (again) */
	void *owner;
	struct dnstap_sink *next;
	/* sink.c's own */
	struct fl_io io;
	struct fl_timer timer;
	struct fl_tls_creds *creds;
	struct fl_tls *tls;
	struct fl_tls_session *session;         /* incoming; what it writes waits here: */
	size_t cat, cn;
	uint8_t *cipher;
	struct fl_resolve *resolve;
	char host[256];
	enum { SINK_OFF, SINK_RESOLVE, SINK_CONNECT, SINK_HELLO, SINK_ACCEPT, SINK_ON } state;
	bool incoming, silent, waits;           /* silent: its failure was told */
	unsigned pause_s;
	size_t nin, at, n;
	unsigned frames;                        /* in out, not all of them sent */
	uint8_t in[FSTRM_CONTROL_MAX + 8], out[SINK_ROOM];
};

/* fd -1: it dials. tls: of one that came; taken. Begin with _start. */
struct dnstap_sink *fl_dnstap_sink(struct fl_loop *l, const struct dnstap_where *w, int fd, struct fl_tls_server *tls);
void fl_dnstap_sink_start(struct dnstap_sink *s);
bool fl_dnstap_sink_takes(const struct dnstap_sink *s, size_t n);
void fl_dnstap_sink_put(struct dnstap_sink *s, const uint8_t *frame, size_t n);
void fl_dnstap_sink_flush(struct dnstap_sink *s);
void fl_dnstap_sink_drop(struct dnstap_sink *s);        /* at once, without goodbye: lost() */
bool fl_dnstap_split(struct fl_str at, char host[256], uint16_t *port); /* "host:port", "[::1]:port", ":port" */
void fl_dnstap_sink_destroy(struct dnstap_sink *s);     /* says goodbye, and waits a little for what is to go out; NULL is fine */

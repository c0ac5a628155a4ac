/* web: HTTP for services that take a small request and give a small answer (DoH, gRPC): HTTP/2 by nghttp2 and HTTP/1.1 on the raw
 * connections of fl_tcp, HTTP/3 by nghttp3 on those of fl_quic (whose listener names the fl_web). No files, no routes, no policy: the owner gets whole requests.
 *
 *   accept → (TLS) → which version? ALPN, else the listener's → [request] → request() … fl_web_answer() → …
 *                                                                 └ gone(): reset, closed, timed out
 *
 * What a stranger may cost is bounded: FL_WEB_HEAD of a header, FL_WEB_BODY of a body, FL_WEB_WINDOW of bodies that a connection has under
 * way, FL_WEB_MEMORY of long headers and of answers that it does not take (one alone may be larger), max_streams requests at once; read_ns for a whole request,
 * write_ns for a peer to take an answer, idle_ns between requests (of the listener, see net/tcp.h); a peer that resets what it asked, or
 * sends frames that lead nowhere, is sent away (ENHANCE_YOUR_CALM). All of that is counted. Allocates for each connection and request. One
 * thread's. */
#pragma once
#include "net/tcp.h"

enum { FL_WEB_HEAD = 16 * 1024, FL_WEB_BODY = 65535 + 4 + 5, FL_WEB_WINDOW = 128 * 1024, FL_WEB_MEMORY = 1024 * 1024 };

struct fl_quic_stream;
struct fl_web_req {
	struct fl_conn *conn;                   /* NULL: HTTP/3 */
	struct fl_quic_stream *quic;            /* HTTP/3 */
	struct fl_str method, target, type;     /* as sent; target: path and query; type: content-type. "" when there was none */
	struct fl_str te, encoding;             /* te, grpc-encoding */
	struct fl_str fields;                   /* with conf.fields, HTTP/2 and 1.1: all of the header, "name: value" lines, `host` too; see fl_web_find() */
	const uint8_t *body; size_t n;
	bool too_large;                         /* the body, which is not all there */
	bool v2;
	_Alignas(16) char mine[64];             /* the owner's, zeroed at first */
};
struct fl_web_ops {
	void (*request)(struct fl_web_req *r);  /* is whole: fl_web_answer() once, now or later, unless gone() came */
	void (*gone)(struct fl_web_req *r);     /* nobody waits for it any more; r goes after the call */
};
struct fl_web_field { struct fl_str name, value; };     /* names in lower case; HTTP/1.1 prints them as Go does: Content-Type */
/* The value of a field among lines (name in any case); {NULL, 0}: it is not there. */
struct fl_str fl_web_find(struct fl_str fields, const char *name);

/* Of all connections of a shard, read from any thread. */
struct fl_web_stats {
	uint64_t requests;
	uint64_t slow;                  /* not whole in read_ns, or its answer not taken in write_ns */
	uint64_t large;                 /* header beyond FL_WEB_HEAD, paths beyond FL_WEB_MEMORY, or no HTTP at all */
	uint64_t bad;                   /* of large: no HTTP at all */
	uint64_t resets;                /* of what was in work: by the peer, or for a wrong frame of its */
	uint64_t calmed;                /* connections sent away */
};
struct fl_web;                          /* a listener's, on one shard */
struct fl_web *fl_web_create(struct fl_loop *l, const struct fl_web_ops *ops, struct fl_web_stats *stats);      /* stats: borrowed */
void fl_web_destroy(struct fl_web *w);  /* its connections are closed; NULL is fine */
/* What new connections get. max_streams: at once on one connection, HTTP/2; prior: what is not sealed speaks HTTP/2 from the first
 * byte (h2c), else HTTP/1.1; v2_only: HTTP/1.1 is not spoken. fields: requests have theirs. */
struct fl_web_conf { uint32_t max_streams; bool prior, v2_only, fields; };
void fl_web_configure(struct fl_web *w, const struct fl_web_conf *c);
struct fl_web_stats fl_web_stats_read(const struct fl_web_stats *s);
/* For struct fl_tcp_listener, together with the fl_web as its speaker. */
extern const struct fl_tcp_ops fl_web_tcp_ops;

/* Head and body, copied; with trailers (HTTP/2 only) they end it, else a body has its content-length. r is gone after the call. */
void fl_web_answer(struct fl_web_req *r, int status, const struct fl_web_field *f, unsigned nf, const void *body, size_t n,
		   const struct fl_web_field *trailer, unsigned nt);

/* upstream_h2: what a stream carries, apart from HTTP/2 itself: the request of a question and the answer in a response, for DNS over HTTPS
 * (RFC 8484 §4) and CoreDNS's gRPC service (pb/dns.proto). Pure but for the pool; nothing here knows a connection.
 *
 * DnsPacket has one field, so protobuf is done by hand: key 0x0a, a length, the message. A library would cost more than the 20 lines. */
#pragma once
#include "net/upstream_int.h"

enum { UP_H2_FIELDS = 9, UP_BODY_MAX = 65535 + 16 };   /* the longest message in its frame */

struct fl_up_stream {
	struct fl_up_ask *ask;          /* NULL: nobody waits any more */
	struct fl_up_stream *next;
	struct fl_pool *pool;
	enum fl_up_kind kind;
	int32_t id;
	bool ended, typed, encoded;     /* typed: the right content-type; encoded: a content-encoding that was not asked for */
	int status, grpc;               /* of HTTP; of gRPC, -1: not told */
	char text[64];                  /* grpc-message, or the wrong content-type */
	size_t total, sent;             /* of the request's body */
	uint8_t *body; size_t n, size;  /* of the response */
	uint8_t *msg; size_t msg_n;     /* the DNS message in it, after a good verdict */
};

size_t fl_up_stream_total(const struct fl_up_stream *st);
size_t fl_up_stream_request(struct fl_up_stream *st, uint8_t *to, size_t cap);  /* the next bytes of the body */
void fl_up_stream_field(struct fl_up_stream *st, struct fl_str name, struct fl_str value);      /* of the response, trailers too */
bool fl_up_stream_body(struct fl_up_stream *st, const uint8_t *p, size_t n);    /* false: too long, or no memory */
/* The response is there: 0 with msg; -ENOENT: gRPC NotFound; else -EPROTO with the words in `why`. */
int fl_up_stream_verdict(struct fl_up_stream *st, char *why, size_t cap);
void fl_up_stream_finish(struct fl_up_stream *st);

/* Header fields of a request. Values are borrowed, but for the path of a GET. */
struct fl_up_head { struct fl_str name[UP_H2_FIELDS], value[UP_H2_FIELDS]; unsigned n; char *path; char length[12]; };
bool fl_up_stream_head(struct fl_up_head *h, const struct fl_up_ask *a);
void fl_up_stream_head_finish(struct fl_up_head *h);

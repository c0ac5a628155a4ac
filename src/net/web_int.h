/* web_int: what the files of the HTTP server share. Private to net/. */
#pragma once
#include "net/web.h"

enum { FL_WEB_FIELDS = 100, FL_WEB_TEXT = 256, FL_WEB_ANSWER = 24 };

/* The header of a request of HTTP/2 or 3 as it comes. */
struct fl_web_head {
	unsigned size, nfields;
	bool refused;                   /* it is too large */
	char type[64], te[32], encoding[32], method[16];
	char text[FL_WEB_TEXT];         /* the target, when it fits */
};

/* The reading half of HTTP/1.1 (RFC 9112) as a pure machine: bytes in any portions → one request. */
enum fl_web_h1_state { FL_H1_HEAD, FL_H1_SIZED, FL_H1_CHUNK_SIZE, FL_H1_CHUNK, FL_H1_CHUNK_END, FL_H1_TRAILER, FL_H1_DONE, FL_H1_BAD };
struct fl_web_h1 {
	enum fl_web_h1_state state;
	char *head;                     /* malloc'd; fields point into it */
	size_t head_n, head_cap;
	uint8_t *body; size_t body_n, body_cap;
	uint64_t left;                  /* of the body or the chunk */
	unsigned line_n;                /* of a chunk's size or a trailer */
	char line[32];
	bool keep, http10, chunked, too_large;
	bool expects;                   /* 100-continue */
	int status; const char *why;    /* BAD: 400, 431, 501, 505; words may be NULL */
	struct fl_str method, target, type, te, encoding, fields;
};
void fl_web_h1_init(struct fl_web_h1 *h);
void fl_web_h1_finish(struct fl_web_h1 *h);
size_t fl_web_h1_feed(struct fl_web_h1 *h, const uint8_t *p, size_t n);         /* bytes taken: all, unless it is DONE or BAD */

struct fl_web_stream;
struct fl_web_conn {
	struct fl_web *web;
	struct fl_conn *conn;
	unsigned inside;                /* calls that are on the stack: it is freed when the last returns */
	bool dead, going;               /* going: the peer was told to leave */
	uint64_t quiet_ns;              /* since then no request is in work */
	struct fl_web_stream *first;    /* in work or under way */
	unsigned nstreams;
	size_t memory;                  /* of long targets, of fields, and of answers that were not taken yet */
	/* HTTP/2 */
	void *h2;                       /* nghttp2_session; NULL: HTTP/1.1 */
	unsigned noise;                 /* frames that led nowhere since the last request */
	uint64_t reset_ns; double resets;       /* a bucket: when, how full */
	/* HTTP/1.1 */
	struct fl_web_h1 h1;
	uint64_t begun_ns;              /* of the request that is under way; 0: none */
	uint8_t *rest; size_t rest_n;   /* what came behind the request that is in work */
	bool continued;                 /* 100 was said */
	bool reading;                   /* what came is being looked through */
};

enum fl_web_at { FL_WEB_COMING, FL_WEB_WORKING, FL_WEB_GOING };        /* the request, nobody (us), the answer */

struct fl_web_stream {
	struct fl_web_req r;
	struct fl_web_conn *wc;
	struct fl_web_stream *prev, *next;
	enum fl_web_at at;
	uint64_t since_ns;              /* of `at` */
	int32_t id;
	char *target;                   /* malloc'd when it is longer than head.text[] */
	size_t target_n;
	uint8_t *in; size_t in_cap;     /* the body of the request */
	size_t held;                    /* of it, not given back to the windows */
	char *fields; size_t fields_cap;
	uint8_t *out; size_t out_n, out_at;     /* the body of the answer */
	struct fl_web_head head;
	struct { char name[16], value[FL_WEB_TEXT]; } trailer[2];
	unsigned ntrailer;
};

struct fl_web {
	struct fl_loop *loop;
	const struct fl_web_ops *ops;
	struct fl_web_conf conf;
	struct fl_web_stats *stats;
};

static inline void fl_web_count(uint64_t *c) { __atomic_store_n(c, *c + 1, __ATOMIC_RELAXED); }

/* web_head.c */
bool fl_web_head_count(struct fl_web_head *h, size_t name, size_t value);      /* a field comes; false: too many, or too large */
/* One field. true: it is the target, and longer than text[]: the caller keeps it, and sets r->target. */
bool fl_web_head_put(struct fl_web_head *h, struct fl_web_req *r, struct fl_str name, struct fl_str value);
/* The fields of an answer, the status first: how many. length: of the body, as content-length; SIZE_MAX: not said. Numbers are in text. */
struct fl_web_text { char code[8], date[32], length[24]; };
unsigned fl_web_answer_head(struct fl_web_field to[FL_WEB_ANSWER], struct fl_web_text *text, struct fl_loop *l, int status,
			    const struct fl_web_field *f, unsigned nf, size_t length);
size_t fl_web_date(struct fl_loop *l, char to[32]);             /* "Sat, 28 Nov 2026 21:50:00 GMT" */

/* web.c */
void fl_web_enter(struct fl_web_conn *wc);
void fl_web_leave(struct fl_web_conn *wc);      /* the outermost writes what is to be written, and frees what is dead */
struct fl_web_stream *fl_web_stream_add(struct fl_web_conn *wc);
void fl_web_stream_drop(struct fl_web_stream *s);               /* gone() when it is in work; freed */
void fl_web_stream_whole(struct fl_web_stream *s);              /* hands it to the owner */
const char *fl_web_reason(int status);

/* web_v3.c; what else it offers stands in quic_server_int.h */
void fl_web_v3_answer(struct fl_web_req *r, int status, const struct fl_web_field *f, unsigned nf, const void *body, size_t n);

/* web_v1.c */
void fl_web_v1_bytes(struct fl_web_conn *wc, const uint8_t *p, size_t n);
void fl_web_v1_answer(struct fl_web_stream *s, int status, const struct fl_web_field *f, unsigned nf, const void *body, size_t n);
void fl_web_v1_due(struct fl_web_conn *wc, uint64_t now);

/* web_v2.c */
int fl_web_v2_open(struct fl_web_conn *wc);     /* 0, -ENOMEM */
void fl_web_v2_close(struct fl_web_conn *wc);
void fl_web_v2_bytes(struct fl_web_conn *wc, const uint8_t *p, size_t n);
void fl_web_v2_answer(struct fl_web_stream *s, int status, const struct fl_web_field *f, unsigned nf, const void *body, size_t n,
		      const struct fl_web_field *trailer, unsigned nt);
void fl_web_v2_write(struct fl_web_conn *wc);   /* frames that wait, as far as the connection takes them */
void fl_web_v2_due(struct fl_web_conn *wc, uint64_t now);
void fl_web_v2_last(struct fl_web_conn *wc);    /* GOAWAY: no new requests; what is in work is answered */
void fl_web_v2_bye(struct fl_web_conn *wc, uint32_t code);      /* GOAWAY; it closes when all is answered */

/* http1: the answering half of HTTP/1.1 (RFC 9112) as a pure machine: bytes in any portions → head, pieces of the body, end.
 * It owns no socket and no memory but itself; pieces of the body point into what the caller gave.
 *
 *   fl_http1_init() → fl_http1_next() … FL_HTTP1_HEAD … FL_HTTP1_BODY* … FL_HTTP1_DONE → init again when `keep` is set
 *
 * A head may have 64 KiB in all; of a line that is longer than `line` only the front is looked at. */
#pragma once
#include "base/str.h"

/* What a client wants to know of a head, by either version of HTTP. */
struct fl_http_head {
	int status;                     /* 0: nothing came yet */
	int retry_after_s;              /* -1: none, or a date */
	bool encoded;                   /* Content-Encoding other than identity: nothing here can read that */
	char content_type[96];
};

enum fl_http1_event { FL_HTTP1_MORE, FL_HTTP1_HEAD, FL_HTTP1_BODY, FL_HTTP1_DONE, FL_HTTP1_BAD };

struct fl_http1 {
	struct fl_http_head head;
	/* Told of each field that is not cut off, of interim heads too; set after fl_http1_init(). NULL: nobody. */
	void (*field)(void *arg, struct fl_str name, struct fl_str value);
	void *arg;
	bool keep;                      /* after FL_HTTP1_DONE: the connection may be asked again */
	/* its own */
	uint8_t state;
	bool chunked, sized;
	uint64_t left;                  /* bytes of the body or of the chunk */
	unsigned head_bytes, line_n;
	char line[512];
};

void fl_http1_init(struct fl_http1 *h);
/* Takes bytes from *p up to end. MORE: all were taken. BODY: *piece is some of the body. BAD and DONE are final. */
enum fl_http1_event fl_http1_next(struct fl_http1 *h, const uint8_t **p, const uint8_t *end, struct fl_str *piece);
/* The peer closed: was that the end of a body without length? */
bool fl_http1_closed(const struct fl_http1 *h);

/* One header field into head, for either version; name in any case. */
void fl_http_field(struct fl_http_head *head, struct fl_str name, struct fl_str value);

/* Does the head with which a proxy answered CONNECT open the tunnel (RFC 9110 §9.3.6)? Else why. */
bool fl_http_tunnel(struct fl_str head, char *why, size_t cap);
/* What readers of requests share (web_h1, ctl): is s a token, and is word among the comma-separated ones of list? */
bool fl_http_token(struct fl_str s);
bool fl_http_listed(struct fl_str list, const char *word);
/* What a Content-Length says; false: no number. */
bool fl_http_length(struct fl_str value, uint64_t *n);
/* The size before a chunk, of its line without the line end; whole: nothing of that was cut off. False: it is none. */
bool fl_http_chunk(struct fl_str line, bool whole, uint64_t *size);

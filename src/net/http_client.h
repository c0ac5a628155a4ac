/* http_client: requests to one server over a few kept connections: HTTP/2 (all requests on one connection) where TLS agreed on
 * it by ALPN, HTTP/1.1 else (a connection for each request that runs, idle ones are used again). Bodies are handed out piece by
 * piece as they arrive, straight from the buffer that the socket or TLS was read into; nothing is gathered.
 *
 *   fl_http_get() → [queue] → head() → body()* → end(0)
 *                      └────────────┴──────────── end(-errno, why): not reached, cut off, broken
 *
 * A dead peer is noticed in about 15 s: by the kernel (keep-alive, TCP_USER_TIMEOUT), and on HTTP/2 by a PING after 10 s of
 * silence. How long an answer may take is the asker's business (fl_http_cancel). One loop's, one thread's. */
#pragma once
#include "net/http1.h"
#include "net/loop.h"
#include "net/tls.h"

struct fl_http_req;
struct fl_http_client;
struct fl_http_conn;

struct fl_http_ops {
	void (*head)(struct fl_http_req *r);                    /* r->head is filled; may be NULL */
	void (*body)(struct fl_http_req *r, const uint8_t *p, size_t n);
	/* Once, unless cancelled. err 0: the whole answer came. why: Go's words, for the call. */
	void (*end)(struct fl_http_req *r, int err, const char *why);
	/* Each header field, before head(); may be NULL. Those of interim answers (103) too: the last counts. */
	void (*field)(struct fl_http_req *r, struct fl_str name, struct fl_str value);
};

/* Embedded in the asker; zeroed is idle. It must stay where it is until end() or fl_http_cancel(). */
struct fl_http_req {
	const struct fl_http_ops *ops;
	struct fl_http_head head;
	/* the client's */
	struct fl_http_client *client;          /* NULL: idle */
	struct fl_http_conn *conn;              /* NULL: queued */
	struct fl_http_req *next;
	char *text;                             /* path, then name and value of each header field, each NUL-terminated; NULL ends */
	unsigned nheader;
	struct fl_str body;                     /* of a POST, behind the texts; p NULL: a GET */
	size_t sent;                            /* HTTP/2: octets of it */
	int32_t stream;                         /* HTTP/2 */
	bool again;                             /* was sent once more already, because its kept connection had gone */
	bool headed;                            /* HTTP/2: head() was called */
};

struct fl_http_header { const char *name; struct fl_str value; };      /* name in lower case */

struct fl_http_config {
	const char *host;               /* name or address, no brackets */
	uint16_t port;
	bool tls, http2;                /* http2: offered by ALPN */
	const char *tls_name;           /* the certificate's name and SNI; NULL or "": host */
	const char *authority;          /* Host header */
	/* An HTTP proxy: CONNECT for tls, the whole URL in the request else. Borrowed; host NULL: none. auth: Proxy-Authorization, or NULL */
	const char *proxy_host, *proxy_auth;
	uint16_t proxy_port;
	/* Credentials for a new connection (counted for the client); NULL with the words in e. Only with tls. */
	struct fl_tls_creds *(*creds)(void *arg, struct fl_err *e);
	void (*batch)(void *arg);       /* all body pieces of one read were handed out; may be NULL */
	void *arg;
};

struct fl_http_client *fl_http_client_create(struct fl_loop *l, const struct fl_http_config *cfg);     /* cfg is copied */
/* Not from a callback of its own. No end() is called; requests become idle. NULL is fine. */
void fl_http_client_destroy(struct fl_http_client *c);

/* Queues; nothing is called back before it returns. r->ops is set. */
void fl_http_get(struct fl_http_client *c, struct fl_http_req *r, const char *path, const struct fl_http_header *h, unsigned n);
/* The same with a body, which is copied; "content-length" is put in. Sent once more, as a GET is, when a kept connection turns out to
 * have been closed before anything of an answer came: the asker must be able to bear that. */
void fl_http_post(struct fl_http_client *c, struct fl_http_req *r, const char *path, const struct fl_http_header *h, unsigned n,
		  struct fl_str body);
/* Nothing more is called for r. From anywhere, also its own callbacks; harmless when idle. */
void fl_http_cancel(struct fl_http_req *r);
/* Connections serve what runs on them and then close: new requests get new ones (credentials changed). */
void fl_http_client_renew(struct fl_http_client *c);

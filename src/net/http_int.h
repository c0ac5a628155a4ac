/* http_int: what the files of the HTTP client share. Callbacks never free a connection under somebody's feet: it is marked dead,
 * and swept where the outermost event ends (fl_http_leave). */
#pragma once
#include "net/http_client.h"
#include "net/resolve.h"

enum fl_http_state { FL_HTTP_DIAL, FL_HTTP_CONNECT, FL_HTTP_PROXY, FL_HTTP_TLS, FL_HTTP_V1, FL_HTTP_V2, FL_HTTP_DEAD };

enum { FL_HTTP_READ = 16 * 1024, FL_HTTP_TURN = 256 * 1024 };

struct fl_http_conn {
	struct fl_http_client *client;
	struct fl_http_conn *next;
	enum fl_http_state state;
	bool draining, kept, got, out_wait;     /* kept: served a request before; got: bytes of the present answer came */
	struct fl_io io;
	struct fl_timer timer;
	struct fl_resolve *resolve;
	struct fl_addresses to;
	unsigned tried;
	char *proxied; size_t nproxied;        /* a proxy's answer as it comes */
	struct fl_tls *tls;
	uint64_t heard_ns;                      /* something came */
	bool pinged;
	/* HTTP/1.1 */
	struct fl_http1 h1;
	struct fl_http_req *req;
	/* HTTP/2 */
	void *h2;                               /* nghttp2_session */
	struct fl_http_req *streams;
	/* to be written */
	char *out;
	size_t out_at, out_n, out_cap;
};

struct fl_http_client {
	struct fl_loop *loop;
	struct fl_http_config cfg;
	char *text;                             /* the strings of cfg */
	int version;                            /* 1 or 2; 0: not known yet */
	unsigned busy;                          /* events that are on the stack */
	bool handed;                            /* body pieces since the last batch() */
	struct fl_http_conn *conns;
	struct fl_http_req *queue, **queue_end;
	struct fl_timer kick;                   /* runs the queue and what cancel() left, outside of callbacks */
	uint8_t buf[FL_HTTP_READ];
};

/* http_client.c */
void fl_http_kick(struct fl_http_client *c);
void fl_http_enter(struct fl_http_client *c);
void fl_http_leave(struct fl_http_client *c);                           /* the outermost one frees what is dead */
void fl_http_end(struct fl_http_req *r, int err, const char *why);      /* calls end(); r is idle before */
void fl_http_requeue(struct fl_http_req *r);                            /* once more, on another connection */
void fl_http_conn_lost(struct fl_http_conn *c, int err, const char *why);       /* before it could take a request */

/* http_conn.c */
void fl_http_dial(struct fl_http_client *c);
void fl_http_conn_fail(struct fl_http_conn *c, int err, const char *why);       /* ends what runs on it; dead from now on */
void fl_http_conn_send(struct fl_http_conn *c, const void *p, size_t n);        /* queues */
void fl_http_conn_flush(struct fl_http_conn *c);
void fl_http_conn_v1(struct fl_http_conn *c, struct fl_http_req *r);            /* starts r on an idle connection */
void fl_http_conn_close(struct fl_http_conn *c);                                /* nobody is told; dead from now on */

/* http2.c */
int fl_http2_open(struct fl_http_conn *c);      /* 0 or -ENOMEM */
void fl_http2_close(struct fl_http_conn *c);
void fl_http2_start(struct fl_http_conn *c, struct fl_http_req *r);
void fl_http2_cancel(struct fl_http_conn *c, struct fl_http_req *r);
void fl_http2_read(struct fl_http_conn *c, const uint8_t *p, size_t n);
bool fl_http2_fill(struct fl_http_conn *c);     /* frames that wait go to the output; false: failed, the connection is dead */
void fl_http2_ping(struct fl_http_conn *c);

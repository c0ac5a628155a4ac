/* http: the admin faces of the server: /health, /ready, /metrics and later ones, each a path at an address. Main thread only; for
 * answers that a handler has at once. HTTP itself is net/web's, TLS net/tcp's. How to use it: doc/api/http.md.
 *
 *   start():  fl_http_listen(loop, ":8080", "/health", handler, self, &face, &err)
 *   handler:  fl_http_reply(rs, 200, "OK")
 *   stop():   fl_http_close(face)
 *
 * All faces with an equal address text share one listener: its socket is bound when the first of them comes and closed when the
 * last goes. A reload whose new generation listens before the old one closes therefore keeps the socket, and its clients. Of two
 * faces with an equal path the newer answers; when it closes first (a reload that failed) the older does again.
 *
 * A listener is guarded by the web configuration file (ctl/guard.h) of its newest face that brought one: then all its faces are.
 *
 * A listener serves at most FL_HTTP_CONNS clients: one more closes the one that has been silent longest. A client has 5 s for a
 * request, 5 s to take its answer, and may idle 5 s. What is closed for that, or is no HTTP, is counted in
 * fairlead_admin_http_dropped_total. */
#pragma once
#include "base/err.h"
#include "net/loop.h"

enum { FL_HTTP_CONNS = 64 };

/* Lent for the handler's call. */
struct fl_http_request {
	struct fl_str method;           /* any token, as sent; HEAD is answered as GET, without the body */
	struct fl_str path;             /* %-decoded */
	struct fl_str query;            /* what follows '?', as sent */
	struct fl_str head;             /* the lines of the header, see fl_web_find() */
};
/* Comes as 200 and empty. The body is the response's until it is sent. */
struct fl_http_response {
	int status;
	const char *type;               /* static; at first "text/plain; charset=utf-8" */
	bool nosniff;                   /* X-Content-Type-Options, as Go says on errors */
	const char *headers;            /* more header lines, each with its CRLF; static, at most 600 bytes; NULL: none */
	const char *authenticate;       /* WWW-Authenticate; static; NULL: none */
	char location[256];             /* of a redirect; %-encoded */
	char *body;
	size_t n, cap;
};
struct fl_http_face;
typedef void fl_http_handler(void *arg, const struct fl_http_request *rq, struct fl_http_response *rs);

/* addr: ":8080" (all addresses, both families), "127.0.0.1:9153", "[::1]:80", "localhost:9153". path: exact, or all below it when it
 * ends in '/'. 0 and *face, or -errno and Go's words ("listen tcp 192.0.2.1:8080: bind: cannot assign requested address"). */
int fl_http_listen(struct fl_loop *l, struct fl_str addr, const char *path, fl_http_handler *fn, void *arg,
		   struct fl_http_face **face, struct fl_err *e);
/* The same, and the listener is guarded. */
struct fl_guard;
int fl_http_listen_guarded(struct fl_loop *l, struct fl_str addr, const char *path, fl_http_handler *fn, void *arg, struct fl_guard *guard,
			   struct fl_http_face **face, struct fl_err *e);
/* The handler is not called any more. With a listener's last face its socket closes, and each client when its answer is out.
 * NULL: nothing. */
void fl_http_close(struct fl_http_face *face);
/* The port that was bound (for ":0"). */
uint16_t fl_http_port(const struct fl_http_face *face);
/* Cuts every connection that is still open; when all faces are closed, before the loop is destroyed. Else (a configuration was still being
 * loaded) nothing. */
void fl_http_finish(struct fl_loop *l);

/* "HOST:PORT" into its parts, in Go's words when that fails: "address 8080: missing port in address". 0 or -EINVAL. */
int fl_http_split(struct fl_str addr, struct fl_str *host, struct fl_str *port, struct fl_err *e);

/* The value of a header field (name in any case), {NULL, 0} when it is not there. */
struct fl_str fl_http_header(const struct fl_http_request *rq, const char *name);
/* The next parameter of a query, decoded; *rest starts as rq->query. False at the end. What cannot be decoded is passed over. */
struct fl_http_param { struct fl_str name, value; char bytes[512]; };
bool fl_http_param(struct fl_str *rest, struct fl_http_param *p);

void fl_http_reply(struct fl_http_response *rs, int status, const char *text);
void fl_http_not_found(struct fl_http_response *rs);    /* as Go: "404 page not found\n" */
/* Appends to the body; rs is void so that this fits fl_metric_expose(). */
void fl_http_write(void *rs, const char *p, size_t n);
void fl_http_printf(struct fl_http_response *rs, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* A ready handler: the text exposition of every metric, or of those named by ?name[]=. arg is not used. */
fl_http_handler fl_http_metrics;

/* httpd: a small HTTP/1.1 server for tests' endpoints: a thread a connection (at most 512), blocking, bounded in bytes and in time.
 * Answers have the head that Go's net/http gives. TLS when a certificate is given.
 *
 *   accept → thread: [TLS] → head (64 KiB) → body (64 MiB) → handler(r) → reply → next request on it, or close */
#pragma once
#include "base/err.h"
#include "cmd/fairctl/gonet.h"

enum { HTTP_FIELDS = 100 };

struct http_request {
	struct fl_str method, target, path, query;      /* path unescaped */
	struct { struct fl_str name, value; } field[HTTP_FIELDS];
	unsigned nfield;
	struct fl_str body;
	struct go_addr peer;
	/* the answer */
	FILE *out;                      /* its body */
	int status;                     /* 200 */
	const char *type;               /* NULL: text/plain */
	char extra[2048];               /* further header lines, each with \r\n */
	bool close, abort;              /* close behind it; close without it */
};

struct http_server {
	void (*handle)(struct http_request *r);
	int fd;                         /* listening */
	const char *cert, *key;         /* files; NULL: no TLS */
};

/* Starts the accepting thread; go_fatal() when the certificate cannot be used. */
void http_serve(struct http_server *s);
/* No further connections; waits until no request is being answered, or so long. */
void http_drain(struct http_server *s, uint64_t timeout_ns);

struct fl_str http_field(const struct http_request *r, const char *name);       /* "" when it is not there */
/* The first value of a form field: of the body (POST), else of the query; free() the result. Never NULL. */
char *http_form(const struct http_request *r, const char *key);
char *http_query(const struct http_request *r, const char *key);                /* of the query only */
void http_error(struct http_request *r, int status, const char *text);          /* as Go's http.Error */
const char *http_status(int status);    /* "Not Found"; "" */
char *http_unescape(struct fl_str s, bool plus);        /* NULL: wrong escape; free() */

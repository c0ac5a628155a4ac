/* netexec's /dial: asks host:port over HTTP, UDP or SCTP, so many times, and tells what came back. */
#include "cmd/fairctl/netexec.h"
#include "base/clock.h"
#include "base/mem.h"
#include "net/http1.h"
#include <ctype.h>
#include <stdarg.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { TRIES_MAX = 10000, BODY_MAX = 1 << 20 };
#define EACH (5 * FL_SEC)

struct dial {
	char *host, *port, *request, *protocol;
	struct go_addr to;
	FILE *responses, *errors;
	unsigned nresponse, nerror;
	bool spoke;                     /* the last try brought text */
};

static void good(struct dial *d, struct fl_str text)
{
	fputs(d->nresponse++ ? "," : "", d->responses);
	go_json(d->responses, text);
	d->spoke = text.n > 0;
}

static void bad(struct dial *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void bad(struct dial *d, const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;
	va_start(ap, fmt);
	int n = vasprintf(&text, fmt, ap);
	va_end(ap);
	fputs(d->nerror++ ? "," : "", d->errors);
	go_json(d->errors, (struct fl_str){ text, n < 0 ? 0 : (size_t)n });
	free(text);
	d->spoke = false;
}

/* "127.0.0.1:4711->127.0.0.1:80" */
static void ends(char to[2 * GO_ADDR_TEXT + 4], int fd, const struct go_addr *peer)
{
	struct go_addr local = { .len = sizeof local.sa };
	char from[GO_ADDR_TEXT], dest[GO_ADDR_TEXT];
	getsockname(fd, (struct sockaddr *)&local.sa, &local.len);
	go_addr_text(from, &local);
	go_addr_text(dest, peer);
	snprintf(to, 2 * GO_ADDR_TEXT + 4, "%s->%s", from, dest);
}

/* ---- HTTP ---- */

/* The body of the answer; NULL with *why. */
static char *fetch_body(int fd, size_t *n, const char **why)
{
	struct fl_http1 h;
	struct fl_str piece;
	uint8_t buf[8192];
	char *body = fl_xalloc(1);
	enum fl_http1_event ev = FL_HTTP1_MORE;
	fl_http1_init(&h);
	*n = 0;
	while (ev != FL_HTTP1_DONE) {
		ssize_t got = recv(fd, buf, sizeof buf, 0);
		if (got <= 0) {
			if (!got && fl_http1_closed(&h))
				return body;
			*why = got ? go_errno(errno) : "EOF";
			break;
		}
		const uint8_t *p = buf;
		while ((ev = fl_http1_next(&h, &p, buf + got, &piece)) == FL_HTTP1_HEAD || ev == FL_HTTP1_BODY)
			if (ev == FL_HTTP1_BODY && *n + piece.n <= BODY_MAX) {
				body = fl_xrealloc(body, *n + piece.n + 1);
				memcpy(body + *n, piece.p, piece.n);
				*n += piece.n;
			}
		*why = "malformed HTTP response";
		if (ev == FL_HTTP1_BAD)
			break;
	}
	if (ev == FL_HTTP1_DONE)
		return body;
	free(body);
	return NULL;
}

static void http(struct dial *d, const char *where)
{
	char *text = NULL, path[4096];
	size_t n = 0;
	for (const char *p = d->request; *p && n < sizeof path - 4; p++)        /* what may not stand in a request line */
		n += (size_t)snprintf(path + n, 4, (unsigned char)*p <= ' ' || *p == 127 ? "%%%02X" : "%c", (unsigned char)*p);
	path[n] = 0;
	uint64_t deadline = fl_clock_ns() + EACH;
	int fd = go_dial(&d->to, SOCK_STREAM, 0, deadline);
	const char *late = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)";
	if (fd == -ETIMEDOUT)
		return bad(d, "Get \"http://%s/%s\": %s", where, path, late);
	if (fd < 0)
		return bad(d, "Get \"http://%s/%s\": dial tcp %s: connect: %s", where, path, where, go_errno(-fd));
	int len = asprintf(&text, "GET /%s HTTP/1.1\r\nHost: %s\r\nUser-Agent: Go-http-client/1.1\r\nConnection: close\r\n\r\n", path, where);
	const char *why = "EOF";
	bool sent = len > 0 && send(fd, text, (size_t)len, MSG_NOSIGNAL) == len;
	char *body = sent ? fetch_body(fd, &n, &why) : NULL, both[2 * GO_ADDR_TEXT + 4];
	free(text);
	ends(both, fd, &d->to);
	if (body)
		good(d, (struct fl_str){ body, n });
	else if (fl_clock_ns() >= deadline)
		bad(d, "Get \"http://%s/%s\": %s", where, path, late);
	else if (!strcmp(why, "connection reset by peer"))
		bad(d, "Get \"http://%s/%s\": read tcp %s: read: %s", where, path, both, why);
	else
		bad(d, "Get \"http://%s/%s\": %s", where, path, why);
	free(body);
	close(fd);
}

/* ---- UDP and SCTP ---- */

static void message(struct dial *d, bool udp)
{
	const char *name = udp ? "udp" : "sctp";
	char buf[2048], both[2 * GO_ADDR_TEXT + 4];
	int fd = go_dial(&d->to, udp ? SOCK_DGRAM : SOCK_STREAM, udp ? 0 : IPPROTO_SCTP, fl_clock_ns() + EACH);
	if (fd < 0)
		return bad(d, "%s dial failed. err:%s", name, go_errno(-fd));
	ends(both, fd, &d->to);
	ssize_t got = send(fd, d->request, strlen(d->request), MSG_NOSIGNAL);
	if (got < 0)
		bad(d, "%s connection write failed. err:write %s %s: write: %s", name, name, both, go_errno(errno));
	else if ((got = recv(fd, buf, sizeof buf, 0)) > 0)
		good(d, (struct fl_str){ buf, (size_t)got });
	else
		bad(d, "reading from %s connection failed. err:'read %s %s: %s%s'", name, name, both, got && errno != EAGAIN ? "read: " : "",
		    !got ? "EOF" : errno == EAGAIN ? "i/o timeout" : go_errno(errno));
	close(fd);
}

/* ---- the endpoint ---- */

static void dial_all(struct http_request *r, struct dial *d, int64_t tries)
{
	char *responses = NULL, *errors = NULL, where[GO_ADDR_TEXT];
	size_t n;
	d->responses = open_memstream(&responses, &n);
	size_t m;
	d->errors = open_memstream(&errors, &m);
	if (!*d->host)
		snprintf(where, sizeof where, ":%s", *d->port ? d->port : "0");
	else
		go_addr_text(where, &d->to);
	for (int64_t i = 0; i < tries && d->responses && d->errors; i++)
		if (!*d->protocol || !strcmp(d->protocol, "http"))
			http(d, where);
		else
			message(d, !strcmp(d->protocol, "udp"));
	if (d->responses)
		fclose(d->responses);
	if (d->errors)
		fclose(d->errors);
	fputs("{", r->out);
	if (d->nerror)
		fprintf(r->out, "\"errors\":[%s]", errors);
	if (d->spoke)
		fprintf(r->out, "%s\"responses\":[%s]", d->nerror ? "," : "", responses);
	fputs("}", r->out);
	free(responses);
	free(errors);
}

static void ask(struct http_request *r, struct dial *d, const char *tries)
{
	struct go_addr to[GO_ADDRS];
	struct fl_err e;
	char text[1024];
	int64_t n = 1;
	if (*tries && go_atoi(fl_str(tries), &n, &e)) {
		snprintf(text, sizeof text, "tries parameter is invalid. %s", e.msg);
		return http_error(r, 400, text);
	}
	if (!*d->request)
		return http_error(r, 400, "request parameter not specified. <nil>");
	char given[64];
	snprintf(given, sizeof given, "%s", d->protocol);
	for (char *p = d->protocol; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	const char *network = !*d->protocol || !strcmp(d->protocol, "http") ? "tcp" : d->protocol;
	if (strcmp(network, "tcp") && strcmp(network, "udp") && strcmp(network, "sctp")) {
		snprintf(text, sizeof text, "unsupported protocol. %s", given);
		return http_error(r, 400, text);
	}
	int found = go_resolve(network, fl_str(d->host), fl_str(d->port), to, &e);
	if (found < 0) {
		snprintf(text, sizeof text, "host and/or port param are invalid. %s", e.msg);
		return http_error(r, 400, text);
	}
	d->to = to[0];
	dial_all(r, d, n < TRIES_MAX ? n : TRIES_MAX);
}

void netexec_dial(struct http_request *r)
{
	struct dial d = { http_query(r, "host"), http_query(r, "port"), http_query(r, "request"), http_query(r, "protocol") };
	char *tries = http_query(r, "tries");
	go_log("GET /dial?host=%s&protocol=%s&port=%s&request=%s&tries=%s", d.host, d.protocol, d.port, d.request, tries);
	ask(r, &d, tries);
	free(tries);
	free(d.host);
	free(d.port);
	free(d.request);
	free(d.protocol);
}

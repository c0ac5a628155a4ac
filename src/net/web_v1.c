/* HTTP/1.1: one request after the other. While one is in work nothing more is read; what came behind it waits. */
#include "net/web_int.h"
#include "base/mem.h"
#include <stdio.h>
#include <stdlib.h>

enum { HEAD_ROOM = 8192 };

/* As net/http refuses what is no request. */
static void refuse(struct fl_web_conn *wc)
{
	char text[512];
	struct fl_web_h1 *h = &wc->h1;
	const char *reason = fl_web_reason(h->status), *colon = h->why ? ": " : "", *why = h->why ? h->why : "";
	int n = snprintf(text, sizeof text, "HTTP/1.1 %d %s%s%s\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"
			 "%d %s%s%s", h->status, reason, colon, why, h->status, reason, colon, why);
	fl_web_count(&wc->web->stats->large);
	if (h->status != 431)
		fl_web_count(&wc->web->stats->bad);
	wc->begun_ns = 0;
	fl_conn_write(wc->conn, text, (size_t)n);
	fl_conn_linger(wc->conn);
}

/* The request's words move into the stream: the machine reads on. */
static struct fl_str keep(char **at, struct fl_str s)
{
	char *p = *at;
	*at = fl_put_bytes(p, s.p, s.n);
	return (struct fl_str){ p, s.n };
}

static void whole(struct fl_web_conn *wc)
{
	struct fl_web_h1 *h = &wc->h1;
	struct fl_web_stream *s = fl_web_stream_add(wc);
	struct fl_str fields = wc->web->conf.fields ? h->fields : FL_STR("");
	size_t need = h->method.n + h->target.n + h->type.n + fields.n;
	char *at = s && need > sizeof s->head.text ? (s->target = malloc(need)) : s ? s->head.text : NULL;
	if (!at) {
		if (s)
			fl_web_stream_drop(s);
		fl_conn_reset(wc->conn);
		return;
	}
	s->r.method = keep(&at, h->method);
	s->r.target = keep(&at, h->target);
	s->r.type = keep(&at, h->type);
	s->r.fields = keep(&at, fields);
	s->in = h->body;
	s->r.body = h->body;
	s->r.n = h->body_n;
	s->r.too_large = h->too_large;
	h->body = NULL;
	wc->begun_ns = 0;
	fl_web_stream_whole(s);
}

/* What comes behind the request in work; of a size that one read has. */
static void put_aside(struct fl_web_conn *wc, const uint8_t *p, size_t n)
{
	if (!n)
		return;
	uint8_t *rest = malloc(n);
	if (!rest) {
		fl_conn_reset(wc->conn);
		return;
	}
	memcpy(rest, p, n);
	free(wc->rest);
	wc->rest = rest;
	wc->rest_n = n;
}

static void read_on(struct fl_web_conn *wc, const uint8_t *p, size_t n)
{
	struct fl_web_h1 *h = &wc->h1;
	size_t at = 0;
	while (at < n && !wc->dead && h->state != FL_H1_BAD) {
		if (h->state == FL_H1_DONE) {           /* in work */
			put_aside(wc, p + at, n - at);
			return;
		}
		if (!wc->begun_ns)
			wc->begun_ns = fl_loop_now(wc->web->loop);
		at += fl_web_h1_feed(h, p + at, n - at);
		if (h->expects && !wc->continued && h->state != FL_H1_HEAD && h->state != FL_H1_BAD) {
			wc->continued = true;
			fl_conn_write(wc->conn, "HTTP/1.1 100 Continue\r\n\r\n", 25);
		}
		if (wc->dead)
			return;
		if (h->state == FL_H1_BAD)
			refuse(wc);
		else if (h->state == FL_H1_DONE)
			whole(wc);              /* answered at once, maybe: then the machine is at a head again */
	}
}

void fl_web_v1_bytes(struct fl_web_conn *wc, const uint8_t *p, size_t n)
{
	wc->reading = true;
	read_on(wc, p, n);
	wc->reading = false;
	if (!wc->dead)
		fl_conn_pause(wc->conn, wc->h1.state == FL_H1_DONE);
}

/* "content-type" as Go's textproto prints it. */
static struct fl_str canonical(char to[64], struct fl_str name)
{
	bool up = true;
	size_t n = name.n < 64 ? name.n : 64;
	for (size_t i = 0; i < n; i++) {
		char c = name.p[i];
		to[i] = up && c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
		up = c == '-';
	}
	return (struct fl_str){ to, n };
}

static size_t head(char *to, size_t cap, struct fl_web_conn *wc, int status, const struct fl_web_field *f, unsigned nf, size_t n)
{
	char date[32], name[64];
	bool http10 = wc->h1.http10, keeps = wc->h1.keep && !fl_conn_listener(wc->conn)->draining;
	size_t at = (size_t)snprintf(to, cap, "HTTP/1.%d %d %s\r\n", !http10, status, fl_web_reason(status));
	for (unsigned i = 0; i < nf && at < cap; i++)
		at += (size_t)snprintf(to + at, cap - at, "%.*s: %.*s\r\n", FL_FMT(canonical(name, f[i].name)), FL_FMT(f[i].value));
	fl_web_date(wc->web->loop, date);
	/* The connection's fate is said only where it is not what the version does anyway. */
	if (at < cap)
		at += (size_t)snprintf(to + at, cap - at, "Date: %s\r\nContent-Length: %zu\r\n%s\r\n", date, n,
				       keeps == !http10 ? "" : keeps ? "Connection: keep-alive\r\n" : "Connection: close\r\n");
	return at < cap ? at : 0;
}

/* The next request: what waits of it, then more from the socket. */
static void next(struct fl_web_conn *wc)
{
	uint8_t *p = wc->rest;
	size_t n = wc->rest_n;
	fl_web_h1_finish(&wc->h1);
	fl_web_h1_init(&wc->h1);
	wc->continued = false;
	if (wc->reading)                        /* who reads goes on by itself, and nothing was put aside */
		return;
	wc->rest = NULL;
	wc->rest_n = 0;
	fl_web_v1_bytes(wc, p, n);
	free(p);
}

void fl_web_v1_answer(struct fl_web_stream *s, int status, const struct fl_web_field *f, unsigned nf, const void *body, size_t n)
{
	struct fl_web_conn *wc = s->wc;
	char text[HEAD_ROOM];
	bool no_body = fl_str_is(s->r.method, "HEAD");
	size_t len = head(text, sizeof text, wc, status, f, nf, n);
	bool keep_it = wc->h1.keep && len, more = wc->rest_n;
	if (!len) {
		fl_conn_reset(wc->conn);
	} else if (!no_body && len + n <= sizeof text) {        /* one piece, one record */
		fl_put_bytes(text + len, body, n);
		fl_conn_write(wc->conn, text, len + n);
	} else {
		fl_conn_write(wc->conn, text, len);
		if (!no_body)
			fl_conn_write(wc->conn, body, n);
	}
	if (wc->dead)                           /* and s with it */
		return;
	fl_web_stream_drop(s);
	if (keep_it)
		next(wc);
	else if (more)
		fl_conn_linger(wc->conn);
	else
		fl_conn_end(wc->conn);
}

void fl_web_v1_due(struct fl_web_conn *wc, uint64_t now)
{
	if (!wc->begun_ns || now < wc->begun_ns + fl_conn_listener(wc->conn)->read_ns)
		return;
	if (wc->h1.head_n)                      /* silence is no fault */
		fl_web_count(&wc->web->stats->slow);
	fl_conn_reset(wc->conn);
}

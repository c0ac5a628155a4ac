#include "net/web_int.h"
#include "base/err.h"
#include "base/mem.h"
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- words ---- */

const char *fl_web_reason(int status)
{
	static const struct { int status; const char *words; } rows[] = {
		{ 200, "OK" }, { 204, "No Content" }, { 301, "Moved Permanently" }, { 304, "Not Modified" }, { 307, "Temporary Redirect" },
		{ 400, "Bad Request" }, { 401, "Unauthorized" }, { 403, "Forbidden" }, { 404, "Not Found" }, { 405, "Method Not Allowed" },
		{ 415, "Unsupported Media Type" }, { 429, "Too Many Requests" }, { 431, "Request Header Fields Too Large" },
		{ 500, "Internal Server Error" }, { 501, "Not Implemented" }, { 503, "Service Unavailable" },
		{ 505, "HTTP Version Not Supported" },
	};
	for (size_t i = 0; i < FL_COUNT(rows); i++)
		if (rows[i].status == status)
			return rows[i].words;
	return "Unknown";
}

struct fl_str fl_web_find(struct fl_str fields, const char *name)
{
	while (fields.n) {
		struct fl_str line, own, value;
		fields = fl_str_cut(fields, '\n', &line);
		value = fl_str_cut(line, ':', &own);
		if (own.n < line.n && fl_str_ieq(own, fl_str(name)))
			return fl_str_trim(value);
	}
	return (struct fl_str){ NULL, 0 };
}

/* ---- streams ---- */

struct fl_web_stream *fl_web_stream_add(struct fl_web_conn *wc)
{
	struct fl_web_stream *s = malloc(sizeof *s);
	if (!s)
		return NULL;
	memset(s, 0, offsetof(struct fl_web_stream, head));
	s->head.size = s->head.nfields = 0;
	s->head.refused = false;
	s->r.conn = wc->conn;
	s->r.v2 = wc->h2;
	s->r.method = s->r.target = s->r.type = s->r.te = s->r.encoding = s->r.fields = FL_STR("");
	s->wc = wc;
	s->since_ns = fl_loop_now(wc->web->loop);
	s->next = wc->first;
	if (wc->first)
		wc->first->prev = s;
	wc->first = s;
	wc->nstreams++;
	s->ntrailer = 0;
	return s;
}

void fl_web_stream_drop(struct fl_web_stream *s)
{
	struct fl_web_conn *wc = s->wc;
	*(s->prev ? &s->prev->next : &wc->first) = s->next;
	if (s->next)
		s->next->prev = s->prev;
	wc->nstreams--;
	wc->quiet_ns = fl_loop_now(wc->web->loop);
	wc->memory -= s->target_n + s->fields_cap + (s->out_n - s->out_at);
	if (s->at == FL_WEB_WORKING)
		wc->web->ops->gone(&s->r);
	if (s->at != FL_WEB_COMING)
		fl_conn_put(wc->conn);
	free(s->target);
	free(s->fields);
	free(s->in);
	free(s->out);
	free(s);
}

void fl_web_stream_whole(struct fl_web_stream *s)
{
	struct fl_web *w = s->wc->web;
	s->at = FL_WEB_WORKING;
	s->since_ns = fl_loop_now(w->loop);
	s->wc->noise = 0;
	fl_conn_hold(s->wc->conn);
	fl_web_count(&w->stats->requests);
	w->ops->request(&s->r);
}

void fl_web_answer(struct fl_web_req *r, int status, const struct fl_web_field *f, unsigned nf, const void *body, size_t n,
		   const struct fl_web_field *trailer, unsigned nt)
{
	struct fl_web_stream *s = (struct fl_web_stream *)r;
	if (!r->conn) {
		fl_web_v3_answer(r, status, f, nf, body, n);
		return;
	}
	struct fl_web_conn *wc = s->wc;
	fl_assert(s->at == FL_WEB_WORKING);
	fl_web_enter(wc);
	s->at = FL_WEB_GOING;
	s->since_ns = fl_loop_now(wc->web->loop);
	if (wc->dead)
		fl_web_stream_drop(s);
	else if (wc->h2)
		fl_web_v2_answer(s, status, f, nf, body, n, trailer, nt);
	else
		fl_web_v1_answer(s, status, f, nf, body, n);
	fl_web_leave(wc);
}

/* ---- connections ---- */

static struct fl_web_conn *of(struct fl_conn *c) { return *fl_conn_speaker(c); }

void fl_web_enter(struct fl_web_conn *wc)
{
	wc->inside++;
	fl_conn_hold(wc->conn);
}

static void conn_free(struct fl_web_conn *wc)
{
	fl_web_v2_close(wc);
	fl_web_h1_finish(&wc->h1);
	free(wc->rest);
	free(wc);
}

void fl_web_leave(struct fl_web_conn *wc)
{
	struct fl_conn *c = wc->conn;
	if (wc->inside == 1 && !wc->dead && wc->h2)
		fl_web_v2_write(wc);
	if (!--wc->inside && wc->dead)
		conn_free(wc);
	fl_conn_put(c);                         /* may close it, and with that free wc */
}

/* Often enough to see each limit pass. */
static void tick(struct fl_web_conn *wc)
{
	const struct fl_tcp_listener *li = fl_conn_listener(wc->conn);
	uint64_t least = li->read_ns < li->write_ns ? li->read_ns : li->write_ns;
	least = least < li->idle_ns ? least : li->idle_ns;
	fl_conn_until(wc->conn, fl_loop_now(wc->web->loop) + least / 4);
}

static int ready(struct fl_conn *c)
{
	struct fl_web *w = fl_conn_listener(c)->speaker;
	struct fl_web_conn *wc = calloc(1, sizeof *wc);
	if (!wc)
		return -1;
	struct fl_str alpn = fl_conn_alpn(c);
	bool v2 = alpn.n ? fl_str_is(alpn, "h2") : w->conf.v2_only || (w->conf.prior && !fl_conn_sealed(c));
	*wc = (struct fl_web_conn){ .web = w, .conn = c };
	fl_web_h1_init(&wc->h1);
	wc->begun_ns = wc->quiet_ns = fl_loop_now(w->loop);     /* the first request must come as one that has begun */
	*fl_conn_speaker(c) = wc;
	if (v2 && fl_web_v2_open(wc))
		return -1;                      /* closed() frees it */
	if (v2) {
		fl_web_enter(wc);
		fl_web_leave(wc);               /* our settings go out */
	}
	if (of(c) == wc)
		tick(wc);
	return 0;
}

static void bytes(struct fl_conn *c, const uint8_t *p, size_t n)
{
	struct fl_web_conn *wc = of(c);
	fl_web_enter(wc);
	if (wc->h2)
		fl_web_v2_bytes(wc, p, n);
	else
		fl_web_v1_bytes(wc, p, n);
	fl_web_leave(wc);
}

static void room(struct fl_conn *c)
{
	struct fl_web_conn *wc = of(c);
	if (!wc || wc->dead)
		return;
	fl_web_enter(wc);
	fl_web_leave(wc);
}

static void closed(struct fl_conn *c)
{
	struct fl_web_conn *wc = of(c);
	if (!wc)
		return;
	*fl_conn_speaker(c) = NULL;
	wc->dead = true;
	wc->inside++;
	while (wc->first)
		fl_web_stream_drop(wc->first);
	if (!--wc->inside)
		conn_free(wc);
}

static bool due(struct fl_conn *c)
{
	struct fl_web_conn *wc = of(c);
	uint64_t now = fl_loop_now(wc->web->loop), idle_ns = fl_conn_listener(c)->idle_ns;
	fl_web_enter(wc);
	if (wc->h2)
		fl_web_v2_due(wc, now);
	else
		fl_web_v1_due(wc, now);
	bool stay = wc->dead || wc->nstreams || wc->begun_ns || now < wc->quiet_ns + idle_ns;
	if (!stay && wc->h2 && !wc->going) {
		fl_web_v2_bye(wc, NGHTTP2_NO_ERROR);
		stay = true;
	}
	if (stay && !wc->dead)
		tick(wc);
	fl_web_leave(wc);
	return stay;
}

/* Its own hold let go, what idles closes. */
static void bye(struct fl_conn *c)
{
	struct fl_web_conn *wc = of(c);
	fl_web_enter(wc);
	if (wc->h2)
		fl_web_v2_last(wc);
	fl_web_leave(wc);
}

/* The last: as net/http, to who forgot the s of https. */
const struct fl_tcp_ops fl_web_tcp_ops = { .closed = closed, .room = room, .bytes = bytes, .ready = ready, .due = due,
	.bye = bye, .unsealed = "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n" };

struct fl_web *fl_web_create(struct fl_loop *l, const struct fl_web_ops *ops, struct fl_web_stats *stats)
{
	struct fl_web *w = fl_xalloc(sizeof *w);
	*w = (struct fl_web){ .loop = l, .ops = ops, .conf = { .max_streams = 250 }, .stats = stats };
	return w;
}

void fl_web_destroy(struct fl_web *w) { free(w); }
void fl_web_configure(struct fl_web *w, const struct fl_web_conf *c) { w->conf = *c; }

struct fl_web_stats fl_web_stats_read(const struct fl_web_stats *s)
{
#define NOW(field) __atomic_load_n(&s->field, __ATOMIC_RELAXED)
	return (struct fl_web_stats){ NOW(requests), NOW(slow), NOW(large), NOW(bad), NOW(resets), NOW(calmed) };
}

/* HTTP/2 to a server: DNS over HTTPS (RFC 8484) and CoreDNS's gRPC service, a stream for each question.
 *
 *   ask → stream → HEADERS, DATA (POST, gRPC) ──→ HEADERS (status, type) → DATA: the message → end of stream → done()
 *
 * A connection is a fl_up_sock with a session of nghttp2; a question's stream outlives the question when that is cancelled (reset, then
 * closed). Streams beyond what the server allows at once wait in the session. The session, with its streams, may hold SESSION_MAX bytes;
 * a body more than the longest DNS message. Nothing is decompressed, because nothing is asked to be compressed.
 *
 * The session is never freed under its own callbacks: `busy` keeps fl_up_idle() from closing, and fl_up_stream_lost() is only called
 * after them. */
#include "net/upstream_h2.h"
#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>

enum { READS = 8, READ_MAX = 32 * 1024, OUT_MAX = 64 * 1024, CONNS = 4, WINDOW = 1 << 20, SESSION_MAX = 8 << 20, HEADERS_LIST = 16 * 1024 };

struct conn {
	nghttp2_session *ng;
	struct fl_up_sock *sock;
	size_t held;                    /* bytes of the session's */
	bool draining;                  /* GOAWAY, or out of stream numbers */
	struct fl_up_stream *streams;
	const uint8_t *out; size_t out_n;       /* nghttp2's, until the next mem_send: did not go out yet */
};

/* ---- memory of a session: counted, limited ---- */

union head { size_t n; max_align_t align; };

static void *more(void *old, size_t n, void *arg)
{
	struct conn *c = arg;
	union head *h = old ? (union head *)old - 1 : NULL;
	size_t had = h ? h->n : 0;
	if (n > SESSION_MAX || c->held - had + n > SESSION_MAX)
		return NULL;
	h = realloc(h, sizeof *h + n);
	if (!h)
		return NULL;
	c->held += n - had;
	h->n = n;
	return h + 1;
}

static void less(void *p, void *arg)
{
	struct conn *c = arg;
	if (!p)
		return;
	union head *h = (union head *)p - 1;
	c->held -= h->n;
	free(h);
}

static void *fresh(size_t n, void *arg) { return more(NULL, n, arg); }

static void *zeroed(size_t n, size_t size, void *arg)
{
	void *p = size && n > SESSION_MAX / size ? NULL : more(NULL, n * size, arg);
	return p ? memset(p, 0, n * size) : NULL;
}

/* ---- streams ---- */

static void stream_free(struct conn *c, struct fl_up_stream *st)
{
	struct fl_up_stream **p = &c->streams;
	while (*p && *p != st)
		p = &(*p)->next;
	if (*p)
		*p = st->next;
	fl_up_stream_finish(st);
	less(st, c);
}

/* The question goes, the stream is reset. */
static void leave(struct fl_up_ask *a)
{
	struct fl_up_stream *st = a->stream;
	a->stream = NULL;
	if (!st)
		return;
	st->ask = NULL;
	struct conn *c = a->sock ? a->sock->h2 : NULL;
	if (!c || st->ended)
		return;
	st->ended = true;
	nghttp2_submit_rst_stream(c->ng, NGHTTP2_FLAG_NONE, st->id, NGHTTP2_CANCEL);
	fl_loop_change(a->up->net->loop, &c->sock->io, EPOLLIN | EPOLLOUT);     /* sent with the next turn */
}

static void drop(struct conn *c, struct fl_up_stream *st, const char *why)
{
	struct fl_up_ask *a = st->ask;
	if (!a)
		return;
	fl_up_tell(c->sock, UP_READ);
	fl_up_words(a->up, "%s", why);
	fl_up_finish(a, -EPROTO, NULL, 0);
}

/* ---- nghttp2's calls ---- */

static int on_header(nghttp2_session *ng, const nghttp2_frame *f, const uint8_t *name, size_t namelen, const uint8_t *value,
	size_t valuelen, uint8_t flags, void *arg)
{
	struct fl_up_stream *st = nghttp2_session_get_stream_user_data(ng, f->hd.stream_id);
	(void)flags, (void)arg;
	if (st)
		fl_up_stream_field(st, (struct fl_str){ (const char *)name, namelen }, (struct fl_str){ (const char *)value, valuelen });
	return 0;
}

static int on_data(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *arg)
{
	struct conn *c = arg;
	struct fl_up_stream *st = nghttp2_session_get_stream_user_data(ng, id);
	(void)flags;
	if (st && st->ask && !fl_up_stream_body(st, p, n))
		drop(c, st, "http: response body too large");
	return 0;
}

static int on_frame(nghttp2_session *ng, const nghttp2_frame *f, void *arg)
{
	struct conn *c = arg;
	(void)ng;
	if (f->hd.type == NGHTTP2_GOAWAY)
		c->draining = c->sock->retiring = true;
	return 0;
}

/* A server that refuses a stream, or left before it looked at it, did nothing: once more elsewhere, as HTTP clients do (RFC 9113 §8.7). */
static bool again(struct conn *c, struct fl_up_ask *a)
{
	struct fl_upstream *u = a->up;
	if (a->again)
		return false;
	a->again = true;
	((struct fl_up_stream *)a->stream)->ask = NULL;
	a->stream = NULL;
	fl_up_unlink(a);
	struct up_told told = u->net->told;
	if (!c->sock->way->ask(u, a))
		return true;
	u->net->told = told;
	return false;
}

static int on_close(nghttp2_session *ng, int32_t id, uint32_t code, void *arg)
{
	struct conn *c = arg;
	struct fl_up_stream *st = nghttp2_session_get_stream_user_data(ng, id);
	if (!st)
		return 0;
	nghttp2_session_set_stream_user_data(ng, id, NULL);
	st->ended = true;
	struct fl_up_ask *a = st->ask;
	char why[160];
	int ret = 0;
	if (!a || (code == NGHTTP2_REFUSED_STREAM && again(c, a))) {
		stream_free(c, st);
		return 0;
	}
	fl_up_tell(c->sock, UP_READ);
	if (code == NGHTTP2_NO_ERROR) {
		ret = fl_up_stream_verdict(st, why, sizeof why);
	} else {
		snprintf(why, sizeof why, "stream error: stream ID %d; %s", id, nghttp2_http2_strerror(code));
		ret = -EPROTO;
	}
	if (ret) {
		fl_up_words(a->up, "%s", why);
		fl_up_finish(a, ret, NULL, 0);
	} else {
		fl_up_answer(a, st->msg, st->msg_n);
	}
	stream_free(c, st);
	return 0;
}

static ssize_t on_body(nghttp2_session *ng, int32_t id, uint8_t *to, size_t cap, uint32_t *flags, nghttp2_data_source *src, void *arg)
{
	struct fl_up_stream *st = src->ptr;
	(void)ng, (void)id, (void)arg;
	if (!st->ask)                   /* cancelled: its reset stands in the queue */
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	size_t n = fl_up_stream_request(st, to, cap);
	if (!n || st->sent == st->total)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)n;
}

static int session(struct conn *c)
{
	nghttp2_session_callbacks *cb = NULL;
	nghttp2_mem mem = { c, fresh, less, zeroed, more };
	static const nghttp2_settings_entry settings[] = {
		{ NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HEADERS_LIST },
	};
	int ret = -ENOMEM;
	if (nghttp2_session_callbacks_new(&cb))
		return -ENOMEM;
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
	if (!nghttp2_session_client_new3(&c->ng, cb, c, NULL, &mem) &&
	    !nghttp2_submit_settings(c->ng, NGHTTP2_FLAG_NONE, settings, FL_COUNT(settings)) &&
	    !nghttp2_session_set_local_window_size(c->ng, NGHTTP2_FLAG_NONE, 0, WINDOW))
		ret = 0;
	nghttp2_session_callbacks_del(cb);
	return ret;
}

/* ---- the connection ---- */

static void reset(struct fl_up_sock *s)
{
	struct conn *c = s->h2;
	if (!c)
		return;
	while (c->streams)
		stream_free(c, c->streams);
	nghttp2_session_del(c->ng);
	free(c);
	s->h2 = NULL;
}

/* Frames that wait go out. 0: all; -EAGAIN: the socket is full; else it is broken. */
static int flush(struct conn *c)
{
	for (size_t all = 0; all < OUT_MAX;) {
		if (!c->out_n) {
			ssize_t n = nghttp2_session_mem_send(c->ng, &c->out);
			if (n < 0) {
				fl_up_words(c->sock->up, "http2: %s", nghttp2_strerror((int)n));
				return -EPROTO;
			}
			if (!n)
				return 0;
			c->out_n = (size_t)n;
		}
		ssize_t n = fl_up_stream_send(c->sock, c->out, c->out_n);
		if (n < 0)
			return (int)n;
		c->out += n;
		c->out_n -= (size_t)n;
		all += (size_t)n;
	}
	return -EAGAIN;
}

/* 1: go on; 0: nothing more now; -errno: broken. */
static int read_some(struct conn *c)
{
	uint8_t *buf = c->sock->up->net->buffer;
	ssize_t n = fl_up_stream_recv(c->sock, buf, READ_MAX);
	if (n < 0)
		return n == -EAGAIN ? 0 : n == -EINTR ? 1 : (int)n;
	if (!n)
		return -ENODATA;
	n = nghttp2_session_mem_recv(c->ng, buf, (size_t)n);
	if (n >= 0)
		return 1;
	fl_up_words(c->sock->up, "http2: %s", nghttp2_strerror((int)n));
	return -EPROTO;
}

static int read_all(struct fl_up_sock *s)
{
	int ret = 1;
	for (int i = 0; ret == 1 && (i < READS || s->tls); i++) {
		if (i == READS)
			fl_up_stream_last(s);
		ret = read_some(s->h2);
	}
	return ret < 0 ? ret : 0;
}

static int opened(struct fl_up_sock *s)
{
	if (s->tls && !fl_str_is(fl_tls_alpn(s->tls), "h2")) {
		fl_up_words(s->up, "server does not speak HTTP/2");
		return -EPROTO;
	}
	return 0;
}

/* After a turn of the session: what waits goes out, and the connection ends when it has nothing left to do. */
static void settle(struct fl_up_sock *s, int ret)
{
	struct conn *c = s->h2;
	struct fl_loop *l = s->up->net->loop;
	if (!ret)
		ret = flush(c);
	s->busy = false;
	if (!ret && !nghttp2_session_want_read(c->ng) && !nghttp2_session_want_write(c->ng))
		ret = -ENODATA;
	if (ret == -EAGAIN)
		ret = fl_loop_change(l, &s->io, EPOLLIN | EPOLLOUT);
	else if (!ret)
		ret = fl_loop_change(l, &s->io, EPOLLIN);
	if (ret)
		fl_up_stream_lost(s, ret);
	else
		fl_up_idle(s);
}

static void ready(struct fl_io *io, uint32_t events)
{
	static const char *const alpn[] = { "h2", NULL };
	struct fl_up_sock *s = (struct fl_up_sock *)io;
	bool opening = s->connecting;
	int ret = opening ? fl_up_stream_step(s, alpn) : 0;
	if (opening && ret == -EAGAIN)
		return;
	if (!ret && opening)
		ret = opened(s);
	if (ret) {
		fl_up_stream_lost(s, ret);
		return;
	}
	s->busy = true;
	if (s->tls || events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		ret = read_all(s);
	settle(s, ret);
}

static int open_one(struct fl_up_sock *s)
{
	struct conn *c = fl_xalloc(sizeof *c);
	c->sock = s;
	s->h2 = c;
	s->io.fn = ready;
	s->busy = false;
	int ret = session(c);
	if (ret) {
		reset(s);
		return ret;
	}
	ret = fl_up_stream_open(s);     /* closes, which resets, when it fails after the socket was made */
	if (ret)
		reset(s);
	return ret;
}

/* ---- asking ---- */

/* The first connection on which a stream may start at once, else a new one, else the least busy. anew: a kept one had gone, others may have
 * too; but those that are speaking just now. */
static int pick(struct fl_upstream *u, bool anew, struct fl_up_sock **to)
{
	struct fl_up_sock *none = NULL, *least = NULL;
	for (unsigned i = 0; i < CONNS; i++) {
		struct fl_up_sock *s = &u->conn[i];
		if (s->io.fd < 0 || (fl_up_worn(s) && s->io.fd < 0)) {
			none = none ? none : s;
			continue;
		}
		struct conn *c = s->h2;
		if (s->retiring || c->draining || s->inflight >= UP_HARD || (anew && !s->busy && !s->connecting))
			continue;
		if (s->connecting || s->inflight < nghttp2_session_get_remote_settings(c->ng, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS)) {
			*to = s;
			return 0;
		}
		least = !least || s->inflight < least->inflight ? s : least;
	}
	int ret = none ? open_one(none) : -EAGAIN;
	*to = ret ? least : none;
	return *to ? 0 : ret;
}

static int submit(struct conn *c, struct fl_up_ask *a, struct fl_up_stream *st)
{
	struct fl_up_head h;
	nghttp2_nv nv[UP_H2_FIELDS];
	nghttp2_data_provider body = { .source.ptr = st, .read_callback = on_body };
	if (!fl_up_stream_head(&h, a))
		return -ENOMEM;
	for (unsigned i = 0; i < h.n; i++)
		nv[i] = (nghttp2_nv){ (uint8_t *)(uintptr_t)h.name[i].p, (uint8_t *)(uintptr_t)h.value[i].p, h.name[i].n, h.value[i].n, 0 };
	st->id = nghttp2_submit_request(c->ng, NULL, nv, h.n, st->total ? &body : NULL, st);
	fl_up_stream_head_finish(&h);
	return st->id == NGHTTP2_ERR_STREAM_ID_NOT_AVAILABLE ? -EAGAIN : st->id < 0 ? -ENOMEM : 0;
}

static int start(struct fl_upstream *u, struct fl_up_ask *a, struct fl_up_sock *s)
{
	struct conn *c = s->h2;
	struct fl_up_stream *st = zeroed(1, sizeof *st, c);
	if (!st)
		return -ENOMEM;
	st->ask = a;
	st->pool = u->net->pool;
	st->kind = u->conf.kind;
	fl_up_link_stream(s, a, 0);
	st->total = fl_up_stream_total(st);
	int ret = submit(c, a, st);
	if (ret) {
		fl_up_unlink(a);
		less(st, c);
		return ret;
	}
	a->stream = st;
	st->next = c->streams;
	c->streams = st;
	return 0;
}

static int ask(struct fl_upstream *u, struct fl_up_ask *a)
{
	struct fl_up_sock *s;
	int ret = pick(u, a->again, &s);
	if (ret)
		return ret;
	if (!s->connecting)
		fl_timer_clear(u->net->loop, &s->timer);
	ret = start(u, a, s);
	if (ret == -EAGAIN) {           /* out of stream numbers */
		s->retiring = true;
		fl_up_idle(s);
		ret = pick(u, true, &s);
		ret = ret ? ret : start(u, a, s);
	}
	if (ret || s->busy || s->connecting)
		return ret;
	ret = flush(s->h2);
	if (ret)                        /* full, or broken: its own event tells */
		ret = fl_loop_change(u->net->loop, &s->io, EPOLLIN | EPOLLOUT);
	return 0;
}

const struct fl_up_way fl_up_h2 = { .ask = ask, .leave = leave, .reset = reset };

/* TCP and TLS to a server: kept connections, several questions in flight on each when they are few. */
#include "net/upstream_int.h"
#include <errno.h>
#include <sys/epoll.h>

enum { READS = 8, TLS_CONNS = 32, TLS_DEEP = 4, HANDSHAKES = 4 };

static void reset(struct fl_up_sock *s)
{
	struct fl_pool *pool = s->up->net->pool;
	if (s->out)
		fl_pool_put(pool, s->out, s->out_size);
	if (s->in)
		fl_pool_put(pool, s->in, s->in_size);
	s->out = s->in = NULL;
	s->out_n = s->in_n = 0;
}

static void leave(struct fl_up_ask *a)
{
	if (a->unsent)
		fl_up_unqueue(a->sock, a);
}

/* ---- out ---- */

static bool keep_rest(struct fl_up_sock *s, const uint8_t *rest, size_t n)
{
	s->out = fl_pool_get(s->up->net->pool, n);
	if (!s->out)
		return false;
	s->out_size = s->out_n = n;
	s->out_at = 0;
	memcpy(s->out, rest, n);
	return true;
}

static int send_rest(struct fl_up_sock *s)
{
	ssize_t n = fl_up_stream_send(s, s->out + s->out_at, s->out_n - s->out_at);
	if (n < 0)
		return (int)n;
	s->out_at += (size_t)n;
	if (s->out_at < s->out_n)
		return s->tls ? 0 : -EAGAIN;
	fl_pool_put(s->up->net->pool, s->out, s->out_size);
	s->out = NULL;
	return 0;
}

static int send_one(struct fl_up_sock *s, struct fl_up_ask *a)
{
	uint8_t *frame = a->msg - FL_UP_ROOM;
	size_t len = a->len + 2u;
	frame[0] = (uint8_t)(a->len >> 8);
	frame[1] = (uint8_t)a->len;
	ssize_t n = fl_up_stream_send(s, frame, len);
	if (n == -EAGAIN && s->tls)     /* the bytes are TLS's by now, whatever becomes of the question: they stay, to be repeated */
		n = 0;
	if (n < 0)
		return (int)n;
	fl_up_unqueue(s, a);
	if ((size_t)n == len || keep_rest(s, frame + n, len - (size_t)n))
		return 0;
	s->retiring = true;             /* half a frame is out: nothing can follow it */
	shutdown(s->io.fd, SHUT_RDWR);
	return -ENOMEM;
}

/* 0: all is out; -EAGAIN: the socket is full; else the connection is broken. */
static int flush(struct fl_up_sock *s)
{
	int ret = 0;
	while (!ret && (s->out || s->unsent))
		ret = s->out ? send_rest(s) : send_one(s, s->unsent);
	return ret;
}

/* ---- in ---- */

static bool keep_part(struct fl_up_sock *s, const uint8_t *part, size_t n)
{
	struct fl_pool *pool = s->up->net->pool;
	if (s->in)
		fl_pool_put(pool, s->in, s->in_size);
	s->in_n = s->in_size = n;
	s->in = n ? fl_pool_get(pool, n) : NULL;
	if (s->in)
		memcpy(s->in, part, n);
	return s->in || !n;
}

/* One read and the frames that it completes. 1: go on; 0: nothing more now; -errno: broken. */
static int read_some(struct fl_up_sock *s)
{
	uint8_t *buf = s->up->net->buffer;
	uint64_t serial = s->serial;
	size_t have = s->in_n, at = 0;
	if (have)
		memcpy(buf, s->in, have);
	ssize_t n = fl_up_stream_recv(s, buf + have, UP_BUFFER - have);
	if (n < 0)
		return n == -EAGAIN ? 0 : n == -EINTR ? 1 : (int)n;
	if (!n)
		return -ENODATA;
	have += (size_t)n;
	while (have - at >= 2) {
		size_t len = (size_t)buf[at] << 8 | buf[at + 1];
		if (have - at - 2 < len)
			break;
		fl_up_deliver(s, buf + at + 2, len);
		if (s->serial != serial || s->io.fd < 0)
			return 0;
		at += 2 + len;
	}
	if (!keep_part(s, buf + at, have - at))
		return -ENOMEM;
	return s->inflight || s->tls ? 1 : 0;
}

/* What TLS has fetched is read to its end: poll() does not know of it. */
static int read_all(struct fl_up_sock *s)
{
	uint64_t serial = s->serial;
	int ret = 1;
	for (int i = 0; ret == 1 && s->serial == serial && s->io.fd >= 0 && (i < READS || s->tls); i++) {
		if (i == READS)
			fl_up_stream_last(s);
		ret = read_some(s);
	}
	return ret;
}

static void ready(struct fl_io *io, uint32_t events)
{
	struct fl_up_sock *s = (struct fl_up_sock *)io;
	uint64_t serial = s->serial;
	bool opening = s->connecting;
	int ret = opening ? fl_up_stream_step(s, NULL) : 0;
	if (opening && ret == -EAGAIN)
		return;
	if (!ret && (opening || s->unsent || s->out || events & EPOLLOUT)) {
		ret = flush(s);
		if (!ret)
			ret = fl_loop_change(s->up->net->loop, io, EPOLLIN);
		else if (ret == -EAGAIN)
			ret = fl_loop_change(s->up->net->loop, io, EPOLLIN | EPOLLOUT);
		if (!ret && opening)
			fl_up_idle(s);
	}
	if (!ret && s->serial == serial && s->io.fd >= 0 && (s->tls || events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		ret = read_all(s);
	if (s->serial == serial && s->io.fd >= 0 && ret < 0)
		fl_up_stream_lost(s, ret);
}

/* ---- asking ---- */

static int open_one(struct fl_up_sock *s)
{
	reset(s);
	s->io.fn = ready;
	return fl_up_stream_open(s);
}

/* Servers often answer the questions of one connection one after the other: an idle connection is best, a new one next; of TLS, where
 * a new one costs a handshake, one that has little to do. When there are as many as may be, open or in their handshakes, the least busy,
 * however busy. fresh: a kept one had gone, others may have too: only one that is in its handshake, or new. */
static int pick(struct fl_upstream *u, bool fresh, struct fl_up_sock **to)
{
	struct fl_up_sock *none = NULL, *least = NULL;
	unsigned conns = u->way ? TLS_CONNS : FL_UP_CONNS, little = u->way ? TLS_DEEP : 1, handshakes = 0;
	for (unsigned i = 0; i < conns; i++) {
		struct fl_up_sock *s = &u->conn[i];
		if (s->io.fd < 0 || (fl_up_worn(s) && s->io.fd < 0))
			none = none ? none : s;
		handshakes += s->io.fd >= 0 && s->connecting && u->way;
		if (s->io.fd >= 0 && !s->retiring && s->inflight < UP_HARD && (!fresh || s->connecting) &&
		    (!least || s->inflight < least->inflight))
			least = s;
	}
	if (least && (least->inflight < little || handshakes >= HANDSHAKES)) {
		*to = least;
		return 0;
	}
	int ret = none ? open_one(none) : -EAGAIN;
	*to = ret ? least : none;
	return *to ? 0 : ret;
}

static int ask(struct fl_upstream *u, struct fl_up_ask *a)
{
	struct fl_up_sock *s;
	int ret = pick(u, a->again, &s);
	if (ret)
		return ret;
	bool waits = s->connecting || s->out || s->unsent;
	if (!s->connecting)
		fl_timer_clear(u->net->loop, &s->timer);
	fl_up_link(s, a);
	fl_up_queue(s, a);
	if (waits)
		return 0;
	ret = flush(s);
	if (ret == -EAGAIN || (ret && a->reused))       /* a broken one: its own event tells all who wait on it */
		ret = fl_loop_change(u->net->loop, &s->io, EPOLLIN | EPOLLOUT);
	if (ret) {
		fl_up_tell(s, UP_WRITE);
		fl_up_unlink(a);
		fl_up_idle(s);
	}
	return ret;
}

const struct fl_up_way fl_up_tcp = { .ask = ask, .leave = leave, .reset = reset };

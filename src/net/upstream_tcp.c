/* TCP to a server: kept connections, several questions in flight on each when they are few. */
#include "net/upstream_int.h"
#include <errno.h>
#include <sys/epoll.h>

enum { READS = 8 };

void fl_up_tcp_reset(struct fl_up_sock *s)
{
	struct fl_pool *pool = s->up->net->pool;
	if (s->out)
		fl_pool_put(pool, s->out, s->out_size);
	if (s->in)
		fl_pool_put(pool, s->in, s->in_size);
	s->out = s->in = NULL;
	s->out_n = s->in_n = 0;
	s->unsent = NULL;
	s->unsent_last = &s->unsent;
}

void fl_up_tcp_forget(struct fl_up_sock *s, struct fl_up_ask *a)
{
	struct fl_up_ask **p = &s->unsent;
	while (*p && *p != a)
		p = &(*p)->qnext;
	if (*p)
		*p = a->qnext;
	if (s->unsent_last == &a->qnext)
		s->unsent_last = p;
	a->unsent = false;
}

/* The connection ended. What was asked on one that had been kept open may just have come too late: once more, on a new one. */
static void lost(struct fl_up_sock *s, int ret)
{
	struct fl_upstream *u = s->up;
	struct fl_up_ask *list, *a;
	fl_up_tell(s, UP_READ);
	enum up_phase phase = u->net->phase;
	struct sockaddr_in6 local = u->net->local;
	fl_up_take_all(s, &list);
	fl_up_close(s);
	while ((a = list)) {
		if (a->reused && !a->again && phase != UP_DIAL) {
			fl_up_unlink(a);
			a->again = true;
			if (!fl_up_tcp_ask(u, a, true))
				continue;
		}
		u->net->phase = phase;
		u->net->local = local;
		fl_up_finish(a, ret, NULL, 0);
	}
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
	ssize_t n = send(s->io.fd, s->out + s->out_at, s->out_n - s->out_at, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0)
		return errno == EAGAIN ? -EAGAIN : -errno;
	s->out_at += (size_t)n;
	if (s->out_at < s->out_n)
		return -EAGAIN;
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
	ssize_t n = send(s->io.fd, frame, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0)
		return -errno;
	fl_up_tcp_forget(s, a);
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
	ssize_t n = recv(s->io.fd, buf + have, UP_BUFFER - have, MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN ? 0 : errno == EINTR ? 1 : -errno;
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
	return s->inflight ? 1 : 0;
}

static int connected(struct fl_up_sock *s)
{
	int error = 0;
	socklen_t len = sizeof error;
	if (getsockopt(s->io.fd, SOL_SOCKET, SO_ERROR, &error, &len))
		error = errno;
	if (!error)
		s->connecting = false;
	return -error;
}

static void ready(struct fl_io *io, uint32_t events)
{
	struct fl_up_sock *s = (struct fl_up_sock *)io;
	uint64_t serial = s->serial;
	int ret = s->connecting ? connected(s) : 0;
	if (!ret && (s->unsent || s->out || events & EPOLLOUT)) {
		ret = flush(s);
		if (!ret)
			ret = fl_loop_change(s->up->net->loop, io, EPOLLIN);
		ret = ret == -EAGAIN ? 0 : ret;
	}
	if (!ret && events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
		ret = 1;
		for (int i = 0; i < READS && ret == 1; i++)
			ret = read_some(s);
		if (s->serial != serial || s->io.fd < 0)
			return;
	}
	if (ret < 0)
		lost(s, ret);
}

/* ---- asking ---- */

static int open_one(struct fl_up_sock *s)
{
	fl_up_tcp_reset(s);
	int ret = fl_up_open(s, SOCK_STREAM);
	if (ret)
		return ret;
	s->io.fn = ready;
	ret = fl_loop_add(s->up->net->loop, &s->io, s->connecting ? EPOLLIN | EPOLLOUT : EPOLLIN);
	if (ret)
		fl_up_close(s);
	else
		s->up->stats.conns++;
	return ret;
}

/* Servers often answer the questions of one connection one after the other: an idle connection is best, a new one next. */
static int pick(struct fl_upstream *u, bool fresh, struct fl_up_sock **to)
{
	struct fl_up_sock *none = NULL, *least = NULL;
	for (unsigned i = 0; i < FL_UP_CONNS; i++) {
		struct fl_up_sock *s = &u->conn[i];
		if (s->io.fd < 0)
			none = none ? none : s;
		else if (!s->retiring && s->inflight < UP_PIPELINE && (!least || s->inflight < least->inflight))
			least = s;
	}
	if (least && !least->inflight && !fresh) {
		*to = least;
		return 0;
	}
	int ret = none ? open_one(none) : -EAGAIN;
	*to = ret ? least : none;
	return *to && !fresh ? 0 : ret;
}

int fl_up_tcp_ask(struct fl_upstream *u, struct fl_up_ask *a, bool fresh)
{
	struct fl_up_sock *s;
	int ret = pick(u, fresh, &s);
	if (ret)
		return ret;
	bool waits = s->connecting || s->out || s->unsent;
	fl_timer_clear(u->net->loop, &s->timer);
	fl_up_link(s, a);
	a->unsent = true;
	a->qnext = NULL;
	*s->unsent_last = a;
	s->unsent_last = &a->qnext;
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

/* What a connection says: bytes that wait for the socket, in pieces of the pool, and how they leave. */
#include "net/tcp_int.h"
#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum { FLUSH_AT = 64 * 1024 };

bool fl_tcp_drain(struct fl_conn *c)
{
	struct fl_tcp_out *o;
	while ((o = c->out_first)) {
		ssize_t n = send(c->io.fd, o->bytes + o->at, o->n - o->at, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			c->blocked = true;
			return true;
		}
		if (n < 0) {
			fl_tcp_count(&c->tcp->stats.reset, 1);
			fl_tcp_close(c);
			return false;
		}
		c->moved_ns = fl_loop_now(c->tcp->loop);
		o->at += (uint32_t)n;
		c->unsent -= (size_t)n;
		if (o->at < o->n)
			continue;
		if (!(c->out_first = o->next))
			c->out_last = NULL;
		fl_pool_put(c->tcp->pool, o, o->cap);
	}
	c->blocked = false;
	return true;
}

/* A piece behind the others. */
static struct fl_tcp_out *out_add(struct fl_conn *c, size_t n)
{
	size_t cap = fl_pool_size(sizeof(struct fl_tcp_out) + n);
	struct fl_tcp_out *o = cap ? fl_pool_get(c->tcp->pool, cap) : NULL;
	if (!o)
		return NULL;
	*o = (struct fl_tcp_out){ .cap = (uint32_t)cap };
	*(c->out_last ? &c->out_last->next : &c->out_first) = o;
	c->out_last = o;
	return o;
}

int fl_tcp_push(struct fl_conn *c, const void *bytes, size_t n)
{
	const uint8_t *from = bytes;
	c->broken = c->broken || c->unsent + n > c->tcp->lim.max_unsent;
	if (!c->unsent)
		c->moved_ns = fl_loop_now(c->tcp->loop);
	while (n && !c->broken) {
		struct fl_tcp_out *o = c->out_last;
		if (!o || sizeof *o + o->n == o->cap)
			o = out_add(c, n < FL_PIECE_MAX / 2 ? n : FL_PIECE_MAX / 2);
		if (!o) {
			c->broken = true;
			break;
		}
		size_t room = o->cap - sizeof *o - o->n, take = n < room ? n : room;
		memcpy(o->bytes + o->n, from, take);
		o->n += (uint32_t)take;
		c->unsent += take;
		from += take;
		n -= take;
	}
	return c->broken ? -ENOBUFS : 0;
}

void fl_tcp_cut_off(struct fl_conn *c)
{
	fl_tcp_count(&c->tcp->stats.unread, 1);
	fl_tcp_close(c);
}

/* The socket is full: the peer has so long to read. */
static void wait_for_room(struct fl_conn *c)
{
	fl_timer_set(c->tcp->loop, &c->timer, c->moved_ns + c->li->write_ns);
	fl_tcp_interest(c);
}

void fl_tcp_flush(struct fl_conn *c)
{
	if (!c->open || c->blocked || !c->out_first)
		return;
	if (fl_tcp_drain(c) && c->blocked)
		wait_for_room(c);
}

void fl_conn_write(struct fl_conn *c, const void *bytes, size_t n)
{
	if (!c->open)
		return;
	if (c->tls ? fl_tls_session_write(c->tls, bytes, n) : fl_tcp_push(c, bytes, n)) {
		fl_tcp_cut_off(c);
		return;
	}
	if (!c->busy || c->unsent >= FLUSH_AT)
		fl_tcp_flush(c);
}

/* Head and message in one piece, so that they become one record. */
static void send_sealed(struct fl_conn *c, const uint8_t head[2], const uint8_t *bytes, size_t n)
{
	memcpy(c->tcp->plain, head, 2);
	fl_put_bytes(c->tcp->plain + 2, bytes, n);
	fl_conn_write(c, c->tcp->plain, n + 2);
}

static void queue(struct fl_conn *c, const uint8_t head[2], const uint8_t *bytes, size_t n, size_t skip)
{
	size_t from_head = skip < 2 ? 2 - skip : 0, from = skip > 2 ? skip - 2 : 0;
	if (fl_tcp_push(c, head + 2 - from_head, from_head) || fl_tcp_push(c, bytes + from, n - from)) {
		fl_tcp_cut_off(c);
		return;
	}
	c->blocked = true;
	wait_for_room(c);
}

void fl_conn_send(struct fl_conn *c, const uint8_t *bytes, size_t n)
{
	uint8_t head[2] = { (uint8_t)(n >> 8), (uint8_t)n };
	if (!c->open)
		return;
	if (c->cork) {
		send_sealed(c, head, bytes, n);
		return;
	}
	ssize_t done = 0;
	if (!c->out_first) {
		struct iovec iov[2] = { { head, 2 }, { (void *)(uintptr_t)bytes, n } };
		struct msghdr h = { .msg_iov = iov, .msg_iovlen = 2 };
		do
			done = sendmsg(c->io.fd, &h, MSG_NOSIGNAL | MSG_DONTWAIT);
		while (done < 0 && errno == EINTR);
		if (done < 0 && errno != EAGAIN && errno != EWOULDBLOCK) {
			fl_tcp_count(&c->tcp->stats.reset, 1);
			fl_tcp_close(c);
			return;
		}
		done = done < 0 ? 0 : done;
	}
	if ((size_t)done < n + 2)
		queue(c, head, bytes, n, (size_t)done);
}

/* What a connection says: bytes that wait for the socket, in pieces of the pool, and how they leave. */
#include "net/tcp_int.h"
#include <errno.h>
#include <sys/socket.h>

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

/* What was written leaves where the event ends; outside of one, with all that the turn of the loop brings; much of it at once. ret: whether
 * it could be kept. c may be gone. */
static void written(struct fl_conn *c, int ret)
{
	bool busy = c->busy;
	c->busy = true;
	if (ret)
		fl_tcp_cut_off(c);
	else if (c->unsent >= FLUSH_AT)
		fl_tcp_flush(c);
	c->busy = busy;
	if (!c->open)
		fl_tcp_let_go(c);
	else if (!busy)
		fl_loop_later(c->tcp->loop, &c->later);
}

static int put(struct fl_conn *c, const void *bytes, size_t n)
{
	return c->tls ? fl_tls_session_write(c->tls, bytes, n) : fl_tcp_push(c, bytes, n);
}

void fl_conn_write(struct fl_conn *c, const void *bytes, size_t n)
{
	if (!c->open)
		return;
	written(c, put(c, bytes, n));
}

/* ---- messages ---- */

int fl_tcp_pour(struct fl_conn *c)
{
	struct fl_tcp *t = c->tcp;
	if (t->gatherer != c)
		return 0;
	size_t n = t->gathered;
	t->gatherer = NULL;
	t->gathered = 0;
	if (put(c, t->gather, n))
		c->broken = true;
	return c->broken ? -ENOBUFS : 0;
}

/* Messages of a sealed connection become one record, as far as they fit: it is the record that costs. false: not this one. */
static bool gather(struct fl_conn *c, const uint8_t head[2], const uint8_t *bytes, size_t n)
{
	struct fl_tcp *t = c->tcp;
	if (n + 2 > FL_TCP_GATHER || (t->gatherer && t->gatherer != c && t->gatherer->busy))
		return false;
	if (t->gatherer && (t->gatherer != c || t->gathered + n + 2 > FL_TCP_GATHER))
		fl_tcp_pour(t->gatherer);       /* what breaks there, its own end of event or turn sees */
	t->gatherer = c;
	memcpy(t->gather + t->gathered, head, 2);
	fl_put_bytes(t->gather + t->gathered + 2, bytes, n);
	t->gathered += n + 2;
	return true;
}

/* Head and as much as fits beside it in one piece, so that a message is not two records where one would do. */
static int seal(struct fl_conn *c, const uint8_t head[2], const uint8_t *bytes, size_t n)
{
	uint8_t piece[FL_TCP_GATHER];
	size_t first = n < sizeof piece - 2 ? n : sizeof piece - 2;
	memcpy(piece, head, 2);
	fl_put_bytes(piece + 2, bytes, first);
	return put(c, piece, first + 2) || (first < n && put(c, bytes + first, n - first)) ? -ENOBUFS : 0;
}

void fl_conn_send(struct fl_conn *c, const uint8_t *bytes, size_t n)
{
	uint8_t head[2] = { (uint8_t)(n >> 8), (uint8_t)n };
	if (!c->open)
		return;
	if (!c->tls)
		written(c, fl_tcp_push(c, head, 2) || fl_tcp_push(c, bytes, n));
	else
		written(c, !gather(c, head, bytes, n) && (fl_tcp_pour(c) || seal(c, head, bytes, n)));
}

size_t fl_conn_unsent(const struct fl_conn *c) { return c->unsent + (c->tcp->gatherer == c ? c->tcp->gathered : 0); }

#include "net/tcp.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <unistd.h>

enum { CONN = FL_BLOCK, ACCEPT_BATCH = 64, CLIENTS = 4096 };

/* Bytes that wait for the socket. */
struct out { struct out *next; uint32_t n, at; uint8_t bytes[]; };

struct fl_conn {
	struct fl_io io;
	struct fl_timer timer;
	struct fl_tcp *tcp;
	struct fl_tcp_listener *li;
	struct fl_conn *prev, *next;    /* all, least recently used first */
	struct fl_udp_way way;
	uint16_t local_port, client;    /* client: its place in clients[] */
	bool open, resting, busy;       /* busy: inside read_some() */
	unsigned holds;
	uint32_t taken;                 /* messages */
	void *user;
	struct out *out_first, *out_last;
	size_t unsent;
	uint64_t moved_ns;              /* when the peer last took something */
	uint8_t *big;                   /* a piece for a frame that does not fit below */
	size_t big_n, have;             /* of the piece; bytes in the buffer in use */
	uint8_t in[];
};

struct fl_tcp {
	struct fl_loop *loop;
	struct fl_pool *pool;
	struct fl_tcp_limits lim;
	struct fl_tcp_ops ops;
	struct fl_tcp_stats stats;
	struct fl_conn *first, *last;
	unsigned n;
	uint16_t clients[CLIENTS];      /* connections by a hash of who they come from: those that share a place share its limit */
};

static void count(uint64_t *c, uint64_t by) { __atomic_store_n(c, *c + by, __ATOMIC_RELAXED); }

static struct fl_conn *of_io(struct fl_io *io) { return (struct fl_conn *)((char *)io - offsetof(struct fl_conn, io)); }
static struct fl_conn *of_timer(struct fl_timer *t) { return (struct fl_conn *)((char *)t - offsetof(struct fl_conn, timer)); }
static size_t room_in(void) { return CONN - sizeof(struct fl_conn); }

/* ---- the list, in order of use ---- */

static void unlink_conn(struct fl_conn *c)
{
	*(c->prev ? &c->prev->next : &c->tcp->first) = c->next;
	*(c->next ? &c->next->prev : &c->tcp->last) = c->prev;
}

static void link_last(struct fl_conn *c)
{
	c->next = NULL;
	c->prev = c->tcp->last;
	*(c->prev ? &c->prev->next : &c->tcp->first) = c;
	c->tcp->last = c;
}

/* ---- ends ---- */

static void let_go(struct fl_conn *c)
{
	if (!c->open && !c->holds && !c->busy)
		fl_pool_put(c->tcp->pool, c, CONN);
}

static void close_conn(struct fl_conn *c)
{
	if (!c->open)
		return;
	struct fl_tcp *t = c->tcp;
	struct fl_tcp_listener *li = c->li;
	c->open = false;
	fl_timer_clear(t->loop, &c->timer);
	fl_loop_del(t->loop, &c->io);
	close(c->io.fd);
	unlink_conn(c);
	t->n--;
	t->clients[c->client]--;
	count(&t->stats.open, -1ull);
	for (struct out *o = c->out_first, *next; o; o = next) {
		next = o->next;
		fl_pool_put(t->pool, o, sizeof *o + o->n);
	}
	c->out_first = c->out_last = NULL;
	fl_pool_put(t->pool, c->big, c->big_n);
	c->big = NULL;
	c->holds++;
	t->ops.closed(c);
	c->holds--;
	let_go(c);
	if (!--li->conns && !li->io.on && li->on_gone)
		li->on_gone(li);
}

/* No more messages are taken; it closes with the last answer. */
static bool ending(const struct fl_conn *c)
{
	return c->li->draining || (c->li->max_messages && c->taken >= c->li->max_messages);
}

static void settle(struct fl_conn *c)
{
	if (c->open && ending(c) && !c->holds && !c->unsent && !c->busy)
		close_conn(c);          /* lets it go, too */
	else
		let_go(c);
}

void fl_conn_hold(struct fl_conn *c) { c->holds++; }
size_t fl_conn_unsent(const struct fl_conn *c) { return c->unsent; }

void fl_conn_reset(struct fl_conn *c)
{
	if (!c->open)
		return;
	count(&c->tcp->stats.reset, 1);
	close_conn(c);
}

/* ---- writing ---- */

static void interest(struct fl_conn *c)
{
	bool rest = c->holds >= c->tcp->lim.max_inflight || c->unsent || ending(c);
	c->resting = rest;
	fl_loop_change(c->tcp->loop, &c->io, (rest ? 0 : EPOLLIN) | (c->out_first ? EPOLLOUT : 0));
}

static void arm(struct fl_conn *c, uint64_t after_ns)
{
	fl_timer_set(c->tcp->loop, &c->timer, fl_loop_now(c->tcp->loop) + after_ns);
}

/* Sends what is queued; false: the connection is closed. */
static bool drain(struct fl_conn *c)
{
	struct out *o;
	while ((o = c->out_first)) {
		ssize_t n = send(c->io.fd, o->bytes + o->at, o->n - o->at, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return true;
		if (n < 0) {
			count(&c->tcp->stats.reset, 1);
			close_conn(c);
			return false;
		}
		c->moved_ns = fl_loop_now(c->tcp->loop);
		o->at += (uint32_t)n;
		c->unsent -= (size_t)n;
		if (o->at < o->n)
			continue;
		if (!(c->out_first = o->next))
			c->out_last = NULL;
		fl_pool_put(c->tcp->pool, o, sizeof *o + o->n);
	}
	return true;
}

static void queue(struct fl_conn *c, const uint8_t head[2], const uint8_t *bytes, size_t n, size_t skip)
{
	size_t total = n + 2 - skip;
	struct out *o = c->unsent + total > c->tcp->lim.max_unsent ? NULL : fl_pool_get(c->tcp->pool, sizeof *o + total);
	if (!o) {
		count(&c->tcp->stats.unread, 1);
		close_conn(c);
		return;
	}
	*o = (struct out){ .n = (uint32_t)total };
	size_t from_head = skip < 2 ? 2 - skip : 0;
	memcpy(o->bytes, head + 2 - from_head, from_head);
	memcpy(o->bytes + from_head, bytes + (skip > 2 ? skip - 2 : 0), total - from_head);
	*(c->out_last ? &c->out_last->next : &c->out_first) = o;
	c->out_last = o;
	if (!c->unsent)
		c->moved_ns = fl_loop_now(c->tcp->loop);
	c->unsent += total;
	fl_timer_set(c->tcp->loop, &c->timer, c->moved_ns + c->li->write_ns);
	interest(c);
}

void fl_conn_send(struct fl_conn *c, const uint8_t *bytes, size_t n)
{
	uint8_t head[2] = { (uint8_t)(n >> 8), (uint8_t)n };
	if (!c->open)
		return;
	ssize_t done = 0;
	if (!c->out_first) {
		struct iovec iov[2] = { { head, 2 }, { (void *)(uintptr_t)bytes, n } };
		struct msghdr h = { .msg_iov = iov, .msg_iovlen = 2 };
		do
			done = sendmsg(c->io.fd, &h, MSG_NOSIGNAL | MSG_DONTWAIT);
		while (done < 0 && errno == EINTR);
		if (done < 0 && errno != EAGAIN && errno != EWOULDBLOCK) {
			count(&c->tcp->stats.reset, 1);
			close_conn(c);
			return;
		}
		done = done < 0 ? 0 : done;
	}
	if ((size_t)done < n + 2)
		queue(c, head, bytes, n, (size_t)done);
}

/* ---- reading ---- */

/* Hands out whole frames; what is left moves to the front, into a piece of the pool when it needs one. false: closed. */
static bool frames(struct fl_conn *c)
{
	uint8_t *buf = c->big ? c->big : c->in;
	size_t at = 0;
	while (c->open && !ending(c) && c->have - at >= 2 && c->holds < c->tcp->lim.max_inflight && !c->unsent) {
		size_t n = (size_t)buf[at] << 8 | buf[at + 1];
		if (c->have - at - 2 < n)
			break;
		c->taken++;
		c->tcp->ops.frame(c, buf + at + 2, n);
		at += n + 2;
		if (c->open && !c->unsent)
			arm(c, c->li->idle_ns);
	}
	if (!c->open)
		return false;
	size_t rest = c->have - at;
	size_t need = rest >= 2 ? (size_t)(buf[at] << 8 | buf[at + 1]) + 2 : 2;
	if (need > room_in() && (!c->big || c->big_n < need)) {
		uint8_t *piece = fl_pool_get(c->tcp->pool, 65537);
		if (!piece)
			return close_conn(c), false;
		memcpy(piece, buf + at, rest);
		c->big = piece;
		c->big_n = 65537;
	} else if (c->big && rest <= room_in() && need <= room_in()) {
		memcpy(c->in, buf + at, rest);
		fl_pool_put(c->tcp->pool, c->big, c->big_n);
		c->big = NULL;
	} else if (at) {
		memmove(buf, buf + at, rest);
	}
	c->have = rest;
	return true;
}

static void read_some(struct fl_conn *c)
{
	uint8_t *buf = c->big ? c->big : c->in;
	size_t cap = c->big ? c->big_n : room_in();
	unlink_conn(c);
	link_last(c);
	ssize_t n = c->have < cap ? recv(c->io.fd, buf + c->have, cap - c->have, MSG_DONTWAIT) : 0;
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
		return;
	if (n <= 0 && c->have < cap) {
		if (n < 0)
			count(&c->tcp->stats.reset, 1);
		close_conn(c);
		return;
	}
	c->have += (size_t)n;
	if (frames(c))
		interest(c);
}

static void conn_event(struct fl_io *io, uint32_t events)
{
	struct fl_conn *c = of_io(io);
	c->busy = true;
	if ((events & EPOLLOUT) && drain(c)) {
		if (c->tcp->ops.room)
			c->tcp->ops.room(c);
		if (c->open && !c->unsent && frames(c))
			arm(c, c->li->idle_ns);
		if (c->open)
			interest(c);
	}
	if (c->open && (events & (EPOLLHUP | EPOLLERR)) && !(events & EPOLLIN))
		close_conn(c);
	else if (c->open && (events & EPOLLIN))
		read_some(c);
	c->busy = false;
	settle(c);
}

void fl_conn_put(struct fl_conn *c)
{
	c->holds--;
	if (c->open && !ending(c) && c->resting && !c->busy && !c->unsent) {    /* room again */
		c->busy = true;
		if (frames(c))
			interest(c);
		c->busy = false;
	}
	settle(c);
}

static void timed_out(struct fl_timer *t)
{
	struct fl_conn *c = of_timer(t);
	uint64_t now = fl_loop_now(c->tcp->loop);
	if (c->unsent && now < c->moved_ns + c->li->write_ns) {
		fl_timer_set(c->tcp->loop, t, c->moved_ns + c->li->write_ns);
		return;
	}
	if (!c->unsent && c->holds) {           /* it waits for us */
		arm(c, c->li->idle_ns);
		return;
	}
	count(&c->tcp->stats.timed_out, 1);
	close_conn(c);
}

/* ---- accepting ---- */

static void address(struct fl_conn *c, const struct sockaddr_in6 *peer)
{
	struct sockaddr_in6 local;
	socklen_t n = sizeof local;
	memcpy(&c->way.peer, peer, sizeof c->way.peer.v6);
	if (getsockname(c->io.fd, (struct sockaddr *)&local, &n))
		return;
	if (local.sin6_family == AF_INET) {
		struct sockaddr_in *v4 = (struct sockaddr_in *)&local;
		c->way.info = 4;
		c->way.local.v4 = v4->sin_addr;
		c->local_port = ntohs(v4->sin_port);
	} else {
		c->way.info = 6;
		c->way.local.v6 = local.sin6_addr;
		c->local_port = ntohs(local.sin6_port);
	}
}

/* Room for one more: the one that idled longest goes. */
static bool make_room(struct fl_tcp *t)
{
	if (t->n < t->lim.max_conns)
		return true;
	for (struct fl_conn *c = t->first; c; c = c->next)
		if (!c->holds && !c->busy) {
			count(&t->stats.refused, 1);
			close_conn(c);
			return true;
		}
	return false;
}

static uint16_t client_of(const struct sockaddr_in6 *peer)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)peer;
	const uint8_t *b = peer->sin6_addr.s6_addr;
	uint64_t h;
	if (peer->sin6_family == AF_INET)
		h = fl_hash(&v4->sin_addr, 4);
	else if (IN6_IS_ADDR_V4MAPPED(&peer->sin6_addr))
		h = fl_hash(b + 12, 4);
	else
		h = fl_hash(b, 8);
	return (uint16_t)(h % CLIENTS);
}

static void take(struct fl_tcp *t, struct fl_tcp_listener *li, int fd, const struct sockaddr_in6 *peer)
{
	uint16_t client = client_of(peer);
	bool crowded = t->lim.max_client && t->clients[client] >= t->lim.max_client;
	struct fl_conn *c = !crowded && make_room(t) ? fl_pool_get(t->pool, CONN) : NULL;
	if (!c) {
		count(crowded ? &t->stats.crowded : &t->stats.refused, 1);
		close(fd);
		return;
	}
	memset(c, 0, sizeof *c);
	c->io = (struct fl_io){ .fd = fd, .fn = conn_event };
	c->timer.fn = timed_out;
	c->tcp = t;
	c->li = li;
	address(c, peer);
	if (fl_loop_add(t->loop, &c->io, EPOLLIN)) {
		close(fd);
		fl_pool_put(t->pool, c, CONN);
		return;
	}
	c->open = true;
	c->client = client;
	link_last(c);
	t->n++;
	t->clients[client]++;
	count(&t->stats.open, 1);
	li->conns++;
	count(&t->stats.accepted, 1);
	arm(c, li->read_ns);
}

static void accept_some(struct fl_io *io, uint32_t events)
{
	struct fl_tcp_listener *li = (struct fl_tcp_listener *)((char *)io - offsetof(struct fl_tcp_listener, io));
	(void)events;
	for (int i = 0; i < ACCEPT_BATCH; i++) {
		struct sockaddr_in6 peer;
		socklen_t n = sizeof peer;
		int fd = accept4(io->fd, (struct sockaddr *)&peer, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0)
			return;
		take(li->tcp, li, fd, &peer);
	}
}

int fl_tcp_listen(struct fl_tcp *t, struct fl_tcp_listener *li, int fd)
{
	li->io = (struct fl_io){ .fd = fd, .fn = accept_some };
	li->tcp = t;
	return fl_loop_add(t->loop, &li->io, EPOLLIN);
}

void fl_tcp_unlisten(struct fl_tcp_listener *li)
{
	if (!li->io.on)
		return;
	fl_loop_del(li->tcp->loop, &li->io);
	close(li->io.fd);
	li->draining = true;
	li->conns++;                    /* on_gone comes once, at the end of this function or later */
	for (struct fl_conn *c = li->tcp->first, *next; c; c = next) {
		next = c->next;
		if (c->li == li && !c->holds && !c->unsent && !c->busy)
			close_conn(c);
	}
	if (!--li->conns && li->on_gone)
		li->on_gone(li);
}

/* ---- the whole ---- */

struct fl_tcp *fl_tcp_create(struct fl_loop *l, struct fl_pool *pool, const struct fl_tcp_limits *lim, const struct fl_tcp_ops *ops)
{
	struct fl_tcp *t = fl_xalloc(sizeof *t);
	*t = (struct fl_tcp){ .loop = l, .pool = pool, .lim = *lim, .ops = *ops };
	return t;
}

void fl_tcp_destroy(struct fl_tcp *t)
{
	if (!t)
		return;
	while (t->first)
		close_conn(t->first);
	free(t);
}

struct fl_tcp_stats fl_tcp_stats(const struct fl_tcp *t)
{
	const struct fl_tcp_stats *s = &t->stats;
#define NOW(field) __atomic_load_n(&s->field, __ATOMIC_RELAXED)
	return (struct fl_tcp_stats){ NOW(open), NOW(accepted), NOW(refused), NOW(crowded), NOW(timed_out), NOW(reset), NOW(unread) };
}
struct fl_tcp_listener *fl_conn_listener(struct fl_conn *c) { return c->li; }
const struct fl_udp_way *fl_conn_way(struct fl_conn *c) { return &c->way; }
uint16_t fl_conn_local_port(struct fl_conn *c) { return c->local_port; }
void **fl_conn_user(struct fl_conn *c) { return &c->user; }

#include "net/tcp_int.h"
#include "base/err.h"
#include "base/log.h"
#include "base/rng.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { ACCEPT_BATCH = 64 };

#define CONN FL_BLOCK

#define count fl_tcp_count

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

void fl_tcp_let_go(struct fl_conn *c)
{
	if (!c->open && !c->holds && !c->busy)
		fl_pool_put(c->tcp->pool, c, CONN);
}

/* What already waits for the socket and fits into it still goes out: an alert, a goodbye. */
static void last_words(struct fl_conn *c)
{
	for (struct fl_tcp_out *o = c->out_first; o && !c->blocked; o = o->next)
		if (send(c->io.fd, o->bytes + o->at, o->n - o->at, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)(o->n - o->at))
			return;
}

void fl_tcp_close(struct fl_conn *c)
{
	if (!c->open)
		return;
	struct fl_tcp *t = c->tcp;
	struct fl_tcp_listener *li = c->li;
	c->open = false;
	fl_timer_clear(t->loop, &c->timer);
	fl_tcp_pour(c);
	if (c->tls)
		fl_tcp_unseal(c, !c->blocked);
	last_words(c);
	fl_later_clear(t->loop, &c->later);
	fl_loop_del(t->loop, &c->io);
	close(c->io.fd);
	unlink_conn(c);
	t->n--;
	t->clients[c->client]--;
	count(&t->stats.open, -1ull);
	for (struct fl_tcp_out *o = c->out_first, *next; o; o = next) {
		next = o->next;
		fl_pool_put(t->pool, o, o->cap);
	}
	c->out_first = c->out_last = NULL;
	fl_pool_put(t->pool, c->big, c->big_n);
	c->big = NULL;
	c->holds++;
	c->ops->closed(c);
	c->holds--;
	fl_tcp_let_go(c);
	if (li->share)
		__atomic_sub_fetch(&li->share->n, 1, __ATOMIC_RELAXED);
	if (!--li->conns && !li->io.on && li->on_gone)
		li->on_gone(li);
}

/* No more messages are taken; it closes with the last answer. */
static bool ending(const struct fl_conn *c)
{
	return c->ended || c->li->draining || (c->li->max_messages && c->taken >= c->li->max_messages);
}

/* Shuts our side, then waits for the peer's. */
static void linger(struct fl_conn *c)
{
	c->lingers = false;
	c->lingering = true;
	fl_later_clear(c->tcp->loop, &c->later);
	if (c->tls)
		fl_tcp_unseal(c, true);
	if (!fl_tcp_drain(c))
		return;
	if (c->blocked || shutdown(c->io.fd, SHUT_WR)) {
		fl_tcp_close(c);
		return;
	}
	fl_timer_set(c->tcp->loop, &c->timer, fl_loop_now(c->tcp->loop) + FL_SEC);
	fl_loop_change(c->tcp->loop, &c->io, EPOLLIN);
}

/* False: it goes on lingering. */
static bool lingered(struct fl_conn *c)
{
	char trash[4096];
	ssize_t n = recv(c->io.fd, trash, sizeof trash, MSG_DONTWAIT);
	return !n || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

static void settle(struct fl_conn *c)
{
	bool over = c->open && !c->lingering && ending(c) && !c->holds && !fl_conn_unsent(c) && !c->busy;
	if (over && c->lingers)
		linger(c);
	else if (over)
		fl_tcp_close(c);          /* lets it go, too */
	else
		fl_tcp_let_go(c);
}

void fl_conn_hold(struct fl_conn *c) { c->holds++; }

void fl_conn_reset(struct fl_conn *c)
{
	if (!c->open)
		return;
	count(&c->tcp->stats.reset, 1);
	fl_tcp_close(c);
}

void fl_conn_close(struct fl_conn *c) { fl_tcp_close(c); }

/* ---- what the loop looks for ---- */

bool fl_tcp_rests(const struct fl_conn *c)
{
	bool full = c->ops->bytes ? c->paused : c->holds >= c->tcp->lim.max_inflight;
	return !c->open || full || c->blocked || c->broken || ending(c);
}

void fl_tcp_interest(struct fl_conn *c)
{
	uint32_t events = (fl_tcp_rests(c) ? 0 : EPOLLIN) | (c->blocked ? EPOLLOUT : 0);
	c->resting = !(events & EPOLLIN);
	if (events != c->events)
		fl_loop_change(c->tcp->loop, &c->io, events);
	c->events = events;
}

static void arm(struct fl_conn *c, uint64_t after_ns)
{
	fl_timer_set(c->tcp->loop, &c->timer, fl_loop_now(c->tcp->loop) + after_ns);
}

/* ---- reading ---- */

uint8_t *fl_tcp_in(struct fl_conn *c, size_t *cap)
{
	*cap = c->big ? c->big_n : room_in();
	return c->big ? c->big : c->in;
}

/* What is left moves to the front, into a piece of the pool when it needs one. */
bool fl_tcp_frames(struct fl_conn *c)
{
	uint8_t *buf = c->big ? c->big : c->in;
	size_t at = 0;
	while (c->have - at >= 2 && !fl_tcp_rests(c)) {
		size_t n = (size_t)buf[at] << 8 | buf[at + 1];
		if (c->have - at - 2 < n)
			break;
		c->taken++;
		c->ops->frame(c, buf + at + 2, n);
		at += n + 2;
		if (c->open && !c->blocked)
			arm(c, c->li->idle_ns);
	}
	if (!c->open)
		return false;
	size_t rest = c->have - at;
	size_t need = rest >= 2 ? (size_t)(buf[at] << 8 | buf[at + 1]) + 2 : 2;
	if (need > room_in() && (!c->big || c->big_n < need)) {
		uint8_t *piece = fl_pool_get(c->tcp->pool, 65537);
		if (!piece)
			return fl_tcp_close(c), false;
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

bool fl_tcp_take(struct fl_conn *c, const uint8_t *bytes, size_t n)
{
	c->ops->bytes(c, bytes, n);
	return c->open;
}

void fl_tcp_ready(struct fl_conn *c)
{
	if (c->ops->ready && c->ops->ready(c))
		fl_tcp_close(c);
}

static void read_plain(struct fl_conn *c)
{
	bool raw = c->ops->bytes;
	size_t cap = FL_TCP_PLAIN;
	uint8_t *buf = raw ? c->tcp->plain : fl_tcp_in(c, &cap);
	size_t have = raw ? 0 : c->have;
	ssize_t n = have < cap ? recv(c->io.fd, buf + have, cap - have, MSG_DONTWAIT) : 0;
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
		return;
	if (n < 0) {
		count(&c->tcp->stats.reset, 1);
		fl_tcp_close(c);
	} else if (!n && have < cap) {          /* whoever says no more may still listen */
		c->ended = true;
	} else if (raw) {
		fl_tcp_take(c, buf, (size_t)n);
	} else {
		c->have += (size_t)n;
		fl_tcp_frames(c);
	}
}

static void read_some(struct fl_conn *c)
{
	unlink_conn(c);
	link_last(c);
	if (c->tls)
		fl_tcp_sealed_read(c);
	else
		read_plain(c);
}

/* There is room again: what came before is handed out first. */
static void go_on(struct fl_conn *c)
{
	if (!c->ops->bytes && !fl_tcp_frames(c))
		return;
	if (c->tls && !c->shaking && !fl_tcp_rests(c) && (c->left || fl_tls_session_pending(c->tls)))
		fl_tcp_sealed_read(c);
}

void fl_tcp_leave(struct fl_conn *c)
{
	fl_later_clear(c->tcp->loop, &c->later);
	if (c->open && (fl_tcp_pour(c) || c->broken))
		fl_tcp_cut_off(c);
	fl_tcp_flush(c);
	if (c->open)
		fl_tcp_interest(c);
	c->busy = false;
	settle(c);
}

/* The turn of the loop ends in which something was written outside of its events. */
static bool turned(struct fl_later *d)
{
	struct fl_conn *c = (struct fl_conn *)((char *)d - offsetof(struct fl_conn, later));
	c->busy = true;
	fl_tcp_leave(c);
	return false;
}

static void conn_event(struct fl_io *io, uint32_t events)
{
	struct fl_conn *c = of_io(io);
	if (c->lingering) {
		if (lingered(c))
			fl_tcp_close(c);
		return;
	}
	c->busy = true;
	if ((events & EPOLLOUT) && fl_tcp_drain(c)) {
		if (c->ops->room)
			c->ops->room(c);
		if (c->open && !c->blocked) {
			if (!c->ops->bytes)
				arm(c, c->li->idle_ns);
			go_on(c);
		}
	}
	if (c->open && (events & (EPOLLHUP | EPOLLERR)) && !(events & EPOLLIN))
		fl_tcp_close(c);
	else if (c->open && (events & EPOLLIN))
		read_some(c);
	fl_tcp_leave(c);
}

void fl_conn_put(struct fl_conn *c)
{
	c->holds--;
	if (c->open && c->resting && !c->busy && !fl_tcp_rests(c)) {    /* room again */
		c->busy = true;
		go_on(c);
		fl_tcp_leave(c);
		return;
	}
	settle(c);
}

/* ---- raw connections ---- */

void fl_conn_end(struct fl_conn *c)
{
	c->ended = true;
	if (c->open && !c->busy)
		fl_tcp_interest(c);
}

void fl_conn_linger(struct fl_conn *c)
{
	c->lingers = true;
	fl_conn_end(c);
}

void fl_conn_pause(struct fl_conn *c, bool on)
{
	c->paused = on;
	if (!c->open || c->busy)
		return;
	c->busy = true;
	if (!on)
		go_on(c);
	fl_tcp_leave(c);
}

void fl_conn_until(struct fl_conn *c, uint64_t at_ns)
{
	if (c->open && !c->blocked)
		fl_timer_set(c->tcp->loop, &c->timer, at_ns);
}

struct fl_str fl_conn_alpn(const struct fl_conn *c) { return c->tls ? fl_tls_session_alpn(c->tls) : FL_STR(""); }
bool fl_conn_sealed(const struct fl_conn *c) { return c->tls != NULL; }
void **fl_conn_speaker(struct fl_conn *c) { return &c->speaker; }

/* ---- time ---- */

static void timed_out(struct fl_timer *t)
{
	struct fl_conn *c = of_timer(t);
	uint64_t now = fl_loop_now(c->tcp->loop);
	if (c->lingering) {
		fl_tcp_close(c);
		return;
	}
	if (c->blocked && now < c->moved_ns + c->li->write_ns) {
		fl_timer_set(c->tcp->loop, t, c->moved_ns + c->li->write_ns);
		return;
	}
	if (!c->blocked && !c->shaking && c->ops->due) {
		c->busy = true;
		if (c->ops->due(c) || !c->open) {
			fl_tcp_leave(c);
			return;
		}
		c->busy = false;
	}
	if (!c->blocked && c->holds) {          /* it waits for us */
		arm(c, c->li->idle_ns);
		return;
	}
	count(&c->tcp->stats.timed_out, 1);
	if (c->blocked)
		count(&c->tcp->stats.stalled, 1);
	fl_tcp_close(c);
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

/* The one that idled longest goes; li: of that listener only. */
static bool close_idle(struct fl_tcp *t, const struct fl_tcp_listener *li)
{
	for (struct fl_conn *c = t->first; c; c = c->next)
		if (!c->holds && !c->busy && (!li || c->li == li)) {
			count(&t->stats.refused, 1);
			fl_tcp_close(c);
			return true;
		}
	return false;
}

/* Room for one more. */
static bool make_room(struct fl_tcp *t)
{
	if (t->n < t->lim.max_conns)
		return true;
	return close_idle(t, NULL);
}

/* One more for a listener that has a limit of its own, on all shards together. */
static bool share_room(struct fl_tcp_listener *li)
{
	struct fl_tcp_share *s = li->share;
	if (!s || !li->max_share)
		return true;
	return __atomic_load_n(&s->n, __ATOMIC_RELAXED) < li->max_share || close_idle(li->tcp, li);
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
	return (uint16_t)(h % FL_TCP_CLIENTS);
}

/* Buffers that only some connections need. */
static void buffers(struct fl_tcp *t, bool sealed)
{
	if (!t->plain)
		t->plain = fl_xalloc(FL_TCP_PLAIN);
	if (sealed && !t->cipher) {
		t->cipher = fl_xalloc(FL_TCP_CIPHER);
		t->gather = fl_xalloc(FL_TCP_GATHER);
	}
}

static bool begin(struct fl_conn *c)
{
	struct fl_tcp_listener *li = c->li;
	buffers(c->tcp, li->tls);
	if (li->tls)
		return !fl_tcp_seal(c);
	return !c->ops->ready || !c->ops->ready(c);
}

static void take(struct fl_tcp *t, struct fl_tcp_listener *li, int fd, const struct sockaddr_in6 *peer)
{
	uint16_t client = client_of(peer);
	bool crowded = t->lim.max_client && t->clients[client] >= t->lim.max_client;
	struct fl_conn *c = !crowded && share_room(li) && make_room(t) ? fl_pool_get(t->pool, CONN) : NULL;
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
	c->ops = li->ops ? li->ops : &t->ops;
	c->later.fn = turned;
	c->events = EPOLLIN;
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
	if (li->share)
		__atomic_add_fetch(&li->share->n, 1, __ATOMIC_RELAXED);
	count(&t->stats.accepted, 1);
	arm(c, li->read_ns);
	if (!li->tls && !c->ops->bytes)
		return;
	c->busy = true;
	if (!begin(c))
		fl_tcp_close(c);
	fl_tcp_leave(c);
}

static void accept_again(struct fl_timer *t)
{
	struct fl_tcp_listener *li = (struct fl_tcp_listener *)((char *)t - offsetof(struct fl_tcp_listener, again));
	fl_loop_change(li->tcp->loop, &li->io, EPOLLIN);
}

/* No descriptors or memory: who waits in the backlog would wake us again at once. */
static void accept_later(struct fl_tcp_listener *li, int error)
{
	static _Thread_local uint64_t logged;
	if (error != EMFILE && error != ENFILE && error != ENOMEM && error != ENOBUFS)
		return;
	if (fl_log_every(10 * FL_SEC, &logged))
		fl_log(FL_ERROR, NULL, "Connections wait that cannot be accepted: %s", strerror(error));
	close_idle(li->tcp, NULL);
	fl_loop_change(li->tcp->loop, &li->io, 0);
	fl_timer_set(li->tcp->loop, &li->again, fl_loop_now(li->tcp->loop) + 100 * FL_MS);
}

static void accept_some(struct fl_io *io, uint32_t events)
{
	struct fl_tcp_listener *li = (struct fl_tcp_listener *)((char *)io - offsetof(struct fl_tcp_listener, io));
	(void)events;
	if (li->coming)
		li->coming(li);
	for (int i = 0; i < ACCEPT_BATCH; i++) {
		struct sockaddr_in6 peer;
		socklen_t n = sizeof peer;
		int fd = accept4(io->fd, (struct sockaddr *)&peer, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0) {
			accept_later(li, errno);
			return;
		}
		take(li->tcp, li, fd, &peer);
	}
}

int fl_tcp_listen(struct fl_tcp *t, struct fl_tcp_listener *li, int fd)
{
	li->io = (struct fl_io){ .fd = fd, .fn = accept_some };
	li->again.fn = accept_again;
	li->tcp = t;
	return fl_loop_add(t->loop, &li->io, EPOLLIN);
}

void fl_tcp_unlisten(struct fl_tcp_listener *li)
{
	if (!li->io.on)
		return;
	fl_timer_clear(li->tcp->loop, &li->again);
	fl_loop_del(li->tcp->loop, &li->io);
	close(li->io.fd);
	li->draining = true;
	li->conns++;                    /* on_gone comes once, at the end of this function or later */
	for (struct fl_conn *c = li->tcp->first, *next; c; c = next) {
		next = c->next;
		if (c->li == li && c->ops->bye && !c->shaking && !c->busy)
			c->ops->bye(c);         /* and it may be gone */
		else if (c->li == li && !c->holds && !fl_conn_unsent(c) && !c->busy)
			fl_tcp_close(c);
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
		fl_tcp_close(t->first);
	free(t->cipher);
	free(t->gather);
	free(t->plain);
	free(t);
}

struct fl_tcp_stats fl_tcp_stats(const struct fl_tcp *t)
{
	const struct fl_tcp_stats *s = &t->stats;
#define NOW(field) __atomic_load_n(&s->field, __ATOMIC_RELAXED)
	return (struct fl_tcp_stats){ NOW(open), NOW(accepted), NOW(refused), NOW(crowded), NOW(timed_out), NOW(reset), NOW(unread),
				       NOW(stalled), NOW(shaken), NOW(resumed), NOW(unshaken) };
}
struct fl_tcp_listener *fl_conn_listener(struct fl_conn *c) { return c->li; }
const struct fl_udp_way *fl_conn_way(struct fl_conn *c) { return &c->way; }
uint16_t fl_conn_local_port(struct fl_conn *c) { return c->local_port; }
void **fl_conn_user(struct fl_conn *c) { return &c->user; }

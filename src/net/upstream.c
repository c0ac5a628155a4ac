#include "net/upstream_int.h"
#include "base/rng.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { HEADER = 12, QR = 0x80, NXDOMAIN = 3 };

/* ---- create, destroy ---- */

struct fl_up_net *fl_up_net_create(struct fl_loop *l, struct fl_pool *pool)
{
	struct fl_up_net *n = fl_xalloc(sizeof *n);
	*n = (struct fl_up_net){ .loop = l, .pool = pool, .buffer = fl_xalloc(UP_BUFFER), .random_at = UP_RANDOM };
	return n;
}

void fl_up_net_destroy(struct fl_up_net *n)
{
	if (!n)
		return;
	free(n->buffer);
	free(n);
}

struct fl_upstream *fl_upstream_create(struct fl_up_net *n, const struct fl_up_conf *c)
{
	struct fl_upstream *u = fl_xalloc(sizeof *u);
	u->net = n;
	u->conf = *c;
	for (unsigned i = 0; i < FL_UP_SOCKETS; i++)
		u->sock[i] = (struct fl_up_sock){ .io.fd = -1, .up = u };
	for (unsigned i = 0; i < FL_UP_CONNS; i++)
		u->conn[i] = (struct fl_up_sock){ .io.fd = -1, .up = u, .tcp = true };
	return u;
}

static void end_all(struct fl_up_sock *s)
{
	struct fl_up_ask *list;
	if (s->io.fd < 0)
		return;
	fl_up_tell(s, UP_READ);
	fl_up_take_all(s, &list);
	fl_up_close(s);
	while (list)
		fl_up_finish(list, -ECANCELED, NULL, 0);
}

void fl_upstream_destroy(struct fl_upstream *u)
{
	if (!u)
		return;
	for (unsigned i = 0; i < FL_UP_SOCKETS; i++)
		end_all(&u->sock[i]);
	for (unsigned i = 0; i < FL_UP_CONNS; i++)
		end_all(&u->conn[i]);
	free(u);
}

const struct fl_up_stats *fl_upstream_stats(const struct fl_upstream *u) { return &u->stats; }

/* ---- sockets ---- */

static void life_over(struct fl_timer *t)
{
	struct fl_up_sock *s = (struct fl_up_sock *)((char *)t - offsetof(struct fl_up_sock, timer));
	s->retiring = true;
	if (!s->inflight)
		fl_up_close(s);
}

int fl_up_open(struct fl_up_sock *s, int type)
{
	struct fl_upstream *u = s->up;
	int family = u->conf.addr.sin6_family, one = 1;
	int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (type == SOCK_STREAM)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	else if (family == AF_INET)     /* also net and host unreachable end the waiting, not only a closed port (udp(7)) */
		setsockopt(fd, IPPROTO_IP, IP_RECVERR, &one, sizeof one);
	else
		setsockopt(fd, IPPROTO_IPV6, IPV6_RECVERR, &one, sizeof one);
	s->serial++;
	s->uses = s->inflight = 0;
	s->retiring = false;
	s->connecting = false;
	s->timer.fn = life_over;
	s->io.fd = fd;
	if (connect(fd, (const struct sockaddr *)&u->conf.addr, u->conf.addr_len)) {
		int ret = -errno;
		if (ret == -EINPROGRESS) {
			s->connecting = true;
			return 0;
		}
		fl_up_tell(s, UP_DIAL);
		fl_up_close(s);
		return ret;
	}
	return 0;
}

void fl_up_close(struct fl_up_sock *s)
{
	struct fl_up_net *n = s->up->net;
	fl_loop_del(n->loop, &s->io);
	fl_timer_clear(n->loop, &s->timer);
	if (s->tcp)
		fl_up_tcp_reset(s);
	close(s->io.fd);
	s->io.fd = -1;
	if (s->up->udp == s)
		s->up->udp = NULL;
}

void fl_up_idle(struct fl_up_sock *s)
{
	if (s->inflight || s->io.fd < 0)
		return;
	if (s->retiring || s->connecting)
		fl_up_close(s);
	else if (s->tcp)
		fl_timer_set(s->up->net->loop, &s->timer, fl_loop_now(s->up->net->loop) + s->up->conf.expire_ns);
}

/* ---- who waits ---- */

static uint16_t random_id(struct fl_up_net *n)
{
	uint16_t id;
	if (n->random_at == UP_RANDOM) {
		fl_random_bytes(n->random, UP_RANDOM);
		n->random_at = 0;
	}
	memcpy(&id, n->random + n->random_at, 2);
	memset(n->random + n->random_at, 0, 2);
	n->random_at += 2;
	return id;
}

struct fl_up_ask *fl_up_find(struct fl_up_sock *s, uint16_t id)
{
	struct fl_up_ask *a = s->bucket[id % UP_BUCKETS];
	while (a && a->id != id)
		a = a->next;
	return a;
}

static void push(struct fl_up_ask **head, struct fl_up_ask *a)
{
	a->next = *head;
	a->at = head;
	if (a->next)
		a->next->at = &a->next;
	*head = a;
}

void fl_up_link(struct fl_up_sock *s, struct fl_up_ask *a)
{
	do
		a->id = random_id(s->up->net);
	while (fl_up_find(s, a->id));
	a->msg[0] = (uint8_t)(a->id >> 8);
	a->msg[1] = (uint8_t)a->id;
	a->sock = s;
	a->reused = s->uses++ > 0;
	s->inflight++;
	push(&s->bucket[a->id % UP_BUCKETS], a);
}

/* Off its socket, which does not react to that. */
void fl_up_unlink(struct fl_up_ask *a)
{
	if (!a->at)
		return;
	*a->at = a->next;
	if (a->next)
		a->next->at = a->at;
	a->at = NULL;
	a->next = NULL;
	if (!a->sock)
		return;
	if (a->unsent)
		fl_up_tcp_forget(a->sock, a);
	a->sock->inflight--;
	a->sock = NULL;
}

struct fl_up_ask *fl_up_take_all(struct fl_up_sock *s, struct fl_up_ask **list)
{
	*list = NULL;
	for (unsigned i = 0; i < UP_BUCKETS; i++)
		while (s->bucket[i]) {
			struct fl_up_ask *a = s->bucket[i];
			fl_up_unlink(a);
			push(list, a);
		}
	return *list;
}

void fl_up_finish(struct fl_up_ask *a, int ret, const uint8_t *msg, size_t n)
{
	struct fl_up_sock *s = a->sock;
	uint64_t serial = s ? s->serial : 0;
	fl_up_unlink(a);
	fl_timer_clear(a->up->net->loop, &a->timer);
	a->done(a, ret, msg, n);        /* a may be gone */
	if (s && s->serial == serial)
		fl_up_idle(s);
}

void fl_up_tell(struct fl_up_sock *s, enum up_phase phase)
{
	struct fl_up_net *n = s->up->net;
	socklen_t len = sizeof n->local;
	n->phase = s->connecting ? UP_DIAL : phase;
	if (getsockname(s->io.fd, (struct sockaddr *)&n->local, &len))
		n->local = (struct sockaddr_in6){ 0 };
}

static void too_late(struct fl_timer *t)
{
	struct fl_up_ask *a = (struct fl_up_ask *)((char *)t - offsetof(struct fl_up_ask, timer));
	struct fl_up_sock *s = a->sock;
	fl_up_tell(s, UP_READ);
	s->retiring |= s->tcp;          /* the connection may be dead without knowing it */
	fl_up_finish(a, -ETIMEDOUT, NULL, 0);
}

int fl_upstream_ask(struct fl_upstream *u, struct fl_up_ask *a, bool tcp, uint64_t timeout_ns)
{
	struct fl_up_net *n = u->net;
	a->up = u;
	a->tcp = tcp;
	a->again = a->unsent = a->reused = false;
	a->sock = NULL;
	a->at = NULL;
	a->timer.fn = too_late;
	n->phase = UP_DIAL;
	n->local = (struct sockaddr_in6){ 0 };
	int ret = tcp ? fl_up_tcp_ask(u, a, false) : fl_up_udp_ask(u, a);
	if (!ret)
		fl_timer_set(n->loop, &a->timer, fl_loop_now(n->loop) + timeout_ns);
	return ret;
}

void fl_upstream_cancel(struct fl_up_ask *a)
{
	struct fl_up_sock *s = a->sock;
	if (!a->at)
		return;
	fl_up_unlink(a);
	fl_timer_clear(a->up->net->loop, &a->timer);
	if (s)
		fl_up_idle(s);
}

/* ---- replies ---- */

/* The reply repeats the question: its name is never compressed, and compares with ASCII letters folded. */
static bool same_question(const struct fl_up_ask *a, const uint8_t *msg, size_t n)
{
	const uint8_t *q = a->msg + HEADER, *r = msg + HEADER;
	size_t name = a->question - 4u;
	if (n < HEADER + (size_t)a->question || memcmp(q + name, r + name, 4))
		return false;
	for (size_t i = 0; i < name; i++)
		if (q[i] != r[i] && fl_lower(q[i]) != fl_lower(r[i]))
			return false;
	return true;
}

static bool answers(const struct fl_up_ask *a, const uint8_t *msg, size_t n)
{
	unsigned questions = (unsigned)msg[4] << 8 | msg[5], rcode = msg[3] & 15;
	if (!(msg[2] & QR))
		return false;
	if (a->loose)
		return true;
	if (!questions)                 /* a server that did not understand the question need not repeat it */
		return rcode && rcode != NXDOMAIN;
	return questions == 1 && same_question(a, msg, n);
}

void fl_up_deliver(struct fl_up_sock *s, const uint8_t *msg, size_t n)
{
	if (n < HEADER) {
		s->up->stats.wrong++;
		return;
	}
	struct fl_up_ask *a = fl_up_find(s, (uint16_t)(msg[0] << 8 | msg[1]));
	if (!a || a->unsent)
		s->up->stats.stray++;
	else if (!answers(a, msg, n))
		s->up->stats.wrong++;
	else
		fl_up_finish(a, 0, msg, n);
}

/* ---- words ---- */

static const char *go_error(int e)
{
	static const struct { int e; const char *text; } known[] = {
		{ ECONNREFUSED, "connection refused" }, { EHOSTUNREACH, "no route to host" },
		{ ENETUNREACH, "network is unreachable" }, { ECONNRESET, "connection reset by peer" },
		{ EPIPE, "broken pipe" }, { EPERM, "operation not permitted" },
		{ EACCES, "permission denied" }, { EMSGSIZE, "message too long" }, { EINVAL, "invalid argument" },
		{ EMFILE, "too many open files" }, { ENFILE, "too many open files in system" }, { EHOSTDOWN, "host is down" },
		{ EADDRNOTAVAIL, "cannot assign requested address" }, { ENOBUFS, "no buffer space available" },
		{ EAGAIN, "resource temporarily unavailable" }, { ECANCELED, "operation canceled" },
		{ ENOMEM, "cannot allocate memory" },
		{ ENETDOWN, "network is down" }, { EPROTO, "protocol error" }, { ENODEV, "no such device" },
	};
	for (unsigned i = 0; i < FL_COUNT(known); i++)
		if (known[i].e == e)
			return known[i].text;
	return "unknown error";
}

static void address_text(char *to, size_t cap, const struct sockaddr_in6 *sa)
{
	char ip[INET6_ADDRSTRLEN] = "";
	if (sa->sin6_family == AF_INET)
		snprintf(to, cap, "%s:%u", inet_ntop(AF_INET, &((const struct sockaddr_in *)sa)->sin_addr, ip, sizeof ip),
			 ntohs(sa->sin6_port));
	else
		snprintf(to, cap, "[%s]:%u", inet_ntop(AF_INET6, &sa->sin6_addr, ip, sizeof ip), ntohs(sa->sin6_port));
}

void fl_upstream_why(const struct fl_up_ask *a, int ret, char *to, size_t cap)
{
	static const char *const verbs[] = { "dial", "write", "read" }, *const calls[] = { "connect", "write", "read" };
	const struct fl_up_net *n = a->up->net;
	const char *proto = a->tcp ? "tcp" : "udp", *verb = verbs[n->phase];
	char way[128], local[64];
	if (ret == -ENODATA) {
		snprintf(to, cap, "EOF");
		return;
	}
	address_text(local, sizeof local, &n->local);
	bool dial = n->phase == UP_DIAL;
	snprintf(way, sizeof way, "%s%s%s", dial ? "" : local, dial ? "" : "->", a->up->conf.name);
	if (ret == -ETIMEDOUT)
		snprintf(to, cap, "%s %s %s: i/o timeout", verb, proto, way);
	else
		snprintf(to, cap, "%s %s %s: %s: %s", verb, proto, way, calls[n->phase], go_error(-ret));
}

#include "net/upstream_int.h"
#include "base/rng.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/un.h>
#include <unistd.h>

enum { HEADER = 12, QR = 0x80, NXDOMAIN = 3 };

/* ---- create, destroy ---- */

struct fl_up_net *fl_up_net_create(struct fl_loop *l, struct fl_pool *pool)
{
	struct fl_up_net *n = fl_xalloc(sizeof *n);
	*n = (struct fl_up_net){ .loop = l, .pool = pool, .buffer = fl_xalloc(UP_BUFFER), .random_at = UP_RANDOM,
				 .slots = fl_xalloc(UP_READS * UP_SLOT) };
	for (unsigned i = 0; i < UP_READS; i++) {
		n->in_iov[i] = (struct iovec){ n->slots + i * UP_SLOT, UP_SLOT };
		n->in[i].msg_hdr = (struct msghdr){ .msg_iov = &n->in_iov[i], .msg_iovlen = 1 };
	}
	return n;
}

void fl_up_net_destroy(struct fl_up_net *n)
{
	if (!n)
		return;
	free(n->buffer);
	free(n->slots);
	free(n);
}

static const struct fl_up_way *const ways[] = { [FL_UP_DNS] = NULL, [FL_UP_TLS] = &fl_up_tcp, [FL_UP_HTTPS] = &fl_up_h2,
	[FL_UP_QUIC] = &fl_up_quic, [FL_UP_GRPC] = &fl_up_h2 };

struct fl_upstream *fl_upstream_create(struct fl_up_net *n, const struct fl_up_conf *c)
{
	struct fl_upstream *u = fl_xalloc(sizeof *u);
	u->net = n;
	u->conf = *c;
	fl_assert(c->kind < FL_COUNT(ways));
	u->way = ways[c->kind];
	if (c->creds)
		fl_tls_creds_get(c->creds);
	for (unsigned i = 0; i < FL_UP_SOCKETS; i++)
		u->sock[i] = (struct fl_up_sock){ .io.fd = -1, .up = u, .way = &fl_up_udp };
	for (unsigned i = 0; i < FL_UP_CONNS; i++)
		u->conn[i] = (struct fl_up_sock){ .io.fd = -1, .up = u, .way = u->way ? u->way : &fl_up_tcp, .tcp = true };
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
	if (u->way && u->way->end)
		u->way->end(u);
	fl_tls_past_finish(&u->past);
	fl_tls_creds_put(u->conf.creds);
	free(u);
}

const struct fl_up_stats *fl_upstream_stats(const struct fl_upstream *u) { return &u->stats; }

/* ---- sockets ---- */

static void life_over(struct fl_timer *t)
{
	struct fl_up_sock *s = (struct fl_up_sock *)((char *)t - offsetof(struct fl_up_sock, timer));
	s->retiring = true;
	if (s->connecting)
		fl_up_stream_lost(s, -ETIMEDOUT);
	else if (!s->inflight)
		fl_up_close(s);
}

static void socket_options(const struct fl_upstream *u, int fd, int type)
{
	int family = u->conf.addr.sin6_family, one = 1;
	if (u->conf.path)
		return;
	if (type == SOCK_STREAM)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	else if (family == AF_INET)     /* also net and host unreachable end the waiting, not only a closed port (udp(7)) */
		setsockopt(fd, IPPROTO_IP, IP_RECVERR, &one, sizeof one);
	else
		setsockopt(fd, IPPROTO_IPV6, IPV6_RECVERR, &one, sizeof one);
	if (u->conf.source_len)         /* the port is chosen when it is known where to */
		setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
}

static int dial(struct fl_up_sock *s, int fd)
{
	const struct fl_up_conf *c = &s->up->conf;
	if (c->source_len && bind(fd, (const struct sockaddr *)&c->source, c->source_len))
		return -errno;
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	if (c->path && strlen(c->path) >= sizeof un.sun_path)
		return -ENAMETOOLONG;
	if (c->path)
		memcpy(un.sun_path, c->path, strlen(c->path) + 1);
	if (!(c->path ? connect(fd, (const struct sockaddr *)&un, sizeof un) : connect(fd, (const struct sockaddr *)&c->addr, c->addr_len)))
		return 0;
	if (errno != EINPROGRESS)
		return -errno;
	s->connecting = true;
	return 0;
}

int fl_up_open(struct fl_up_sock *s, int type)
{
	struct fl_upstream *u = s->up;
	struct fl_up_net *n = u->net;
	int fd = socket(u->conf.path ? AF_UNIX : u->conf.addr.sin6_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	s->bucket = fl_pool_get(n->pool, FL_BLOCK);
	if (!s->bucket) {
		close(fd);
		return -ENOMEM;
	}
	memset(s->bucket, 0, FL_BLOCK);
	socket_options(u, fd, type);
	s->serial++;
	s->uses = s->inflight = 0;
	s->unsent = NULL;
	s->unsent_last = &s->unsent;
	s->retiring = s->connecting = false;
	s->born_ns = s->heard_ns = fl_loop_now(n->loop);
	s->mute_ns = 0;
	s->timer.fn = life_over;
	s->io.fd = fd;
	int ret = dial(s, fd);
	if (ret) {
		fl_up_tell(s, UP_DIAL);
		fl_up_close(s);
	}
	return ret;
}

void fl_up_close(struct fl_up_sock *s)
{
	struct fl_up_net *n = s->up->net;
	fl_loop_del(n->loop, &s->io);
	fl_timer_clear(n->loop, &s->timer);
	if (s->way->reset)
		s->way->reset(s);
	fl_tls_destroy(s->tls);
	s->tls = NULL;
	fl_pool_put(n->pool, s->bucket, FL_BLOCK);
	s->bucket = NULL;
	close(s->io.fd);
	s->io.fd = -1;
	if (s->up->udp == s)
		s->up->udp = NULL;
}

/* Connections that idle, s among them. */
static unsigned idlers(const struct fl_upstream *u)
{
	unsigned n = 0;
	for (unsigned i = 0; i < FL_UP_CONNS; i++)
		n += u->conn[i].io.fd >= 0 && !u->conn[i].inflight && !u->conn[i].connecting;
	return n;
}

void fl_up_idle(struct fl_up_sock *s)
{
	struct fl_upstream *u = s->up;
	const struct fl_up_conf *c = &u->conf;
	if (s->inflight || s->busy || s->io.fd < 0)
		return;
	if (s->connecting && s->tcp && u->way)  /* a handshake that takes long helps the questions to come; it has a limit of its own */
		return;
	if (s->retiring || s->connecting || (s->tcp && c->max_idle && idlers(u) > c->max_idle)) {
		fl_up_close(s);
	} else if (s->tcp) {
		uint64_t at = fl_loop_now(u->net->loop) + c->expire_ns, end = s->born_ns + c->max_age_ns;
		fl_timer_set(u->net->loop, &s->timer, c->max_age_ns && end < at ? end : at);
	}
}

bool fl_up_worn(struct fl_up_sock *s)
{
	const struct fl_up_conf *c = &s->up->conf;
	if (!s->retiring && c->max_age_ns && !s->connecting && fl_loop_now(s->up->net->loop) - s->born_ns >= c->max_age_ns) {
		s->retiring = true;
		fl_up_idle(s);
	}
	return s->retiring;
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

void fl_up_link_stream(struct fl_up_sock *s, struct fl_up_ask *a, uint16_t id)
{
	a->id = id;
	a->msg[0] = (uint8_t)(a->id >> 8);
	a->msg[1] = (uint8_t)a->id;
	a->sock = s;
	a->reused = s->uses++ > 0;
	if (s->heard_ns >= s->mute_ns)
		s->mute_ns = fl_loop_now(s->up->net->loop);
	s->inflight++;
	push(&s->bucket[a->id % UP_BUCKETS], a);
}

void fl_up_link(struct fl_up_sock *s, struct fl_up_ask *a)
{
	uint16_t id;
	do
		id = random_id(s->up->net);
	while (fl_up_find(s, id));
	fl_up_link_stream(s, a, id);
}

/* Off its socket, which does not react to that. */
void fl_up_unlink(struct fl_up_ask *a)
{
	const struct fl_up_way *way = a->sock ? a->sock->way : a->up->way;
	if (!a->at)
		return;
	*a->at = a->next;
	if (a->next)
		a->next->at = a->at;
	a->at = NULL;
	a->next = NULL;
	if (way && way->leave)
		way->leave(a);
	if (!a->sock)
		return;
	a->sock->inflight--;
	a->sock = NULL;
}

void fl_up_queue(struct fl_up_sock *s, struct fl_up_ask *a)
{
	a->unsent = true;
	a->qnext = NULL;
	a->qat = s->unsent_last;
	*a->qat = a;
	s->unsent_last = &a->qnext;
}

void fl_up_unqueue(struct fl_up_sock *s, struct fl_up_ask *a)
{
	*a->qat = a->qnext;
	*(a->qnext ? &a->qnext->qat : &s->unsent_last) = a->qat;
	a->unsent = false;
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
	a->fd = s ? s->io.fd : -1;
	fl_up_unlink(a);
	fl_timer_clear(a->up->net->loop, &a->timer);
	a->done(a, ret, msg, n);        /* a may be gone */
	if (s && s->serial == serial)
		fl_up_idle(s);
}

void fl_up_tell(struct fl_up_sock *s, enum up_phase phase)
{
	struct up_told *t = &s->up->net->told;
	socklen_t len = sizeof t->local;
	t->phase = s->connecting ? UP_DIAL : phase;
	t->shaking = s->connecting && s->tls;
	if (getsockname(s->io.fd, (struct sockaddr *)&t->local, &len))
		t->local = (struct sockaddr_in6){ 0 };
}

void fl_up_words(struct fl_upstream *u, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(u->net->told.words, UP_WORDS, fmt, ap);
	va_end(ap);
}

/* The connection may be dead without knowing it: unless it gave signs of life, it takes no more questions. */
static void too_late(struct fl_timer *t)
{
	struct fl_up_ask *a = (struct fl_up_ask *)((char *)t - offsetof(struct fl_up_ask, timer));
	struct fl_up_sock *s = a->sock;
	if (s) {
		fl_up_tell(s, UP_READ);
		if (s->tcp && !s->connecting)
			s->retiring |= !s->h2 || fl_loop_now(s->up->net->loop) - s->heard_ns >= UP_SILENCE;
	} else {
		a->up->net->told = (struct up_told){ .phase = UP_READ, .words = "context deadline exceeded" };  /* QUIC, as CoreDNS */
	}
	fl_up_finish(a, -ETIMEDOUT, NULL, 0);
}

/* Letters of random case, anew each time: what an attacker must guess besides ID and port (draft-vixie-dnsext-dns0x20). */
static void mix_case(struct fl_up_net *n, struct fl_up_ask *a)
{
	unsigned bits = 0, left = 0;
	uint8_t *to = a->msg + HEADER;
	for (unsigned i = 0; i + 4 < a->question; i++) {
		uint8_t low = fl_lower(a->name[i]);
		if (low < 'a' || low > 'z') {
			to[i] = a->name[i];
			continue;
		}
		if (!left) {
			bits = random_id(n);
			left = 16;
		}
		to[i] = bits & 1 ? low : (uint8_t)(low - 0x20);
		bits >>= 1;
		left--;
	}
}

int fl_upstream_ask(struct fl_upstream *u, struct fl_up_ask *a, bool tcp, uint64_t timeout_ns)
{
	struct fl_up_net *n = u->net;
	a->up = u;
	a->again = a->unsent = a->reused = false;
	a->sock = NULL;
	a->at = NULL;
	a->stream = NULL;
	a->timer.fn = too_late;
	n->told = (struct up_told){ .phase = UP_DIAL };
	if (a->name)
		mix_case(n, a);
	const struct fl_up_way *way = u->way ? u->way : tcp ? &fl_up_tcp : &fl_up_udp;
	a->tcp = tcp || way != &fl_up_udp;
	fl_timer_set(n->loop, &a->timer, fl_loop_now(n->loop) + timeout_ns);   /* before: no way may leave it set behind its end */
	int ret = way->ask(u, a);
	if (ret)
		fl_timer_clear(n->loop, &a->timer);
	return ret;
}

/* One question after the other was given up (another server was quicker), and nothing came: as in too_late(). */
static bool mute(const struct fl_up_sock *s)
{
	return s->tcp && !s->connecting && s->heard_ns < s->mute_ns && fl_loop_now(s->up->net->loop) - s->mute_ns >= UP_SILENCE;
}

void fl_upstream_cancel(struct fl_up_ask *a)
{
	struct fl_up_sock *s = a->sock;
	if (!a->at)
		return;
	if (s)
		s->retiring |= mute(s);
	fl_up_unlink(a);
	fl_timer_clear(a->up->net->loop, &a->timer);
	if (s)
		fl_up_idle(s);
}

/* ---- replies ---- */

/* The reply repeats the question: its name is never compressed, and compares with ASCII letters folded, unless their case was mixed. */
static bool same_question(const struct fl_up_ask *a, const uint8_t *msg, size_t n)
{
	const uint8_t *q = a->msg + HEADER, *r = msg + HEADER;
	size_t name = a->question - 4u;
	if (n < HEADER + (size_t)a->question || memcmp(q + name, r + name, 4))
		return false;
	for (size_t i = 0; i < name; i++)
		if (q[i] != r[i] && (a->name || fl_lower(q[i]) != fl_lower(r[i])))
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

static void give(struct fl_up_ask *a, uint8_t *msg, size_t n)
{
	if (a->name && n >= HEADER + (size_t)a->question)
		memcpy(msg + HEADER, a->name, a->question - 4u);        /* names that point to it follow */
	fl_up_finish(a, 0, msg, n);
}

void fl_up_deliver(struct fl_up_sock *s, uint8_t *msg, size_t n)
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
		give(a, msg, n);
}

void fl_up_answer(struct fl_up_ask *a, uint8_t *msg, size_t n)
{
	if (n >= HEADER && answers(a, msg, n)) {
		give(a, msg, n);
		return;
	}
	a->up->stats.wrong++;
	fl_up_words(a->up, "reply is no answer to the question");
	fl_up_finish(a, -EPROTO, NULL, 0);
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
		{ EAFNOSUPPORT, "address family not supported by protocol" },
		{ ENETDOWN, "network is down" }, { ENOENT, "no such file or directory" }, { ENAMETOOLONG, "invalid argument" }, { EPROTO, "protocol error" }, { ENODEV, "no such device" },
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
		snprintf(to, cap, sa->sin6_family == AF_UNIX ? "@" : "[%s]:%u", inet_ntop(AF_INET6, &sa->sin6_addr, ip, sizeof ip), ntohs(sa->sin6_port));
}

/* What grpc-go writes around the words of the connection, or instead of them; a status that the server sent has its code in them. */
static void wrap_grpc(const struct up_told *t, int ret, const char *inner, char *to, size_t cap)
{
	const char *before = "Unavailable desc = ", *after = "";
	if (ret == -ETIMEDOUT) {
		before = "DeadlineExceeded desc = ";
		inner = t->phase == UP_DIAL ? "context deadline exceeded while waiting for connections to become ready" : "context deadline exceeded";
	} else if (t->phase == UP_DIAL) {
		before = t->shaking ? "Unavailable desc = connection error: desc = \"transport: authentication handshake failed: "
			 : "Unavailable desc = connection error: desc = \"transport: Error while dialing: ";
		after = "\"";
	} else if (!strncmp(inner, "code = ", 7)) {
		before = "";
		inner += 7;
	} else if (ret != -EPROTO) {
		before = "Unavailable desc = error reading from server: ";
	}
	snprintf(to, cap, "rpc error: code = %s%s%s", before, inner, after);
}

/* What net/http and grpc-go make of it. */
static void wrap(const struct fl_upstream *u, int ret, char *to, size_t cap)
{
	char inner[UP_WORDS + 128];
	snprintf(inner, sizeof inner, "%s", to);
	if (u->conf.kind == FL_UP_HTTPS)
		snprintf(to, cap, "%s \"https://%s/dns-query\": %s", u->conf.get ? "Get" : "Post", u->conf.name,
			 ret == -ETIMEDOUT ? "context deadline exceeded (Client.Timeout exceeded while awaiting headers)" : inner);
	else if (u->conf.kind == FL_UP_GRPC)
		wrap_grpc(&u->net->told, ret, inner, to, cap);
}

void fl_upstream_why(const struct fl_up_ask *a, int ret, char *to, size_t cap)
{
	static const char *const verbs[] = { "dial", "write", "read" }, *const calls[] = { "connect", "write", "read" };
	const struct up_told *t = &a->up->net->told;
	const struct fl_up_conf *c = &a->up->conf;
	const char *proto = c->path ? "unix" : a->tcp && c->kind != FL_UP_QUIC ? "tcp" : "udp", *verb = verbs[t->phase];
	char way[128], local[64];
	address_text(local, sizeof local, &t->local);
	bool dial = t->phase == UP_DIAL;
	snprintf(way, sizeof way, "%s%s%s", dial ? "" : local, dial ? "" : "->", c->path ? c->path : c->name);
	if (ret == -ENODATA)
		snprintf(to, cap, "EOF");
	else if ((ret == -EPROTO || a->up->conf.kind == FL_UP_QUIC) && t->words[0])
		snprintf(to, cap, "%s", t->words);
	else if (ret == -ETIMEDOUT && t->shaking)
		snprintf(to, cap, "context deadline exceeded");
	else if (ret == -ETIMEDOUT)
		snprintf(to, cap, "%s %s %s: i/o timeout", verb, proto, way);
	else
		snprintf(to, cap, "%s %s %s: %s: %s", verb, proto, way, calls[t->phase], go_error(-ret));
	wrap(a->up, ret, to, cap);
}

/* One connection of the HTTP client: dial, TLS, bytes in and out, and HTTP/1.1 on it. */
#include "net/http_int.h"
#include "base/mem.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECT_NS (5 * FL_SEC)         /* an address */
#define TLS_NS (10 * FL_SEC)
#define IDLE_NS (30 * FL_SEC)           /* an HTTP/1.1 connection that nobody uses */
#define PING_NS (10 * FL_SEC)           /* HTTP/2: silence before a PING, and the time that its answer has */
enum { PROXY_HEAD_MAX = 8192, DEAD_PEER_MS = 10000, KEEPALIVE_S = 5 };

static void try_next(struct fl_http_conn *c);

/* "192.0.2.1:443", "[2001:db8::1]:443" */
static void peer_text(char to[72], const struct sockaddr_in6 *sa)
{
	char ip[INET6_ADDRSTRLEN] = "?";
	bool v6 = sa->sin6_family == AF_INET6;
	inet_ntop(sa->sin6_family, v6 ? (const void *)&sa->sin6_addr : &((const struct sockaddr_in *)sa)->sin_addr, ip, sizeof ip);
	snprintf(to, 72, v6 ? "[%s]:%u" : "%s:%u", ip, ntohs(sa->sin6_port));
}

/* Go prints errno's words in lower case. */
static const char *words(int err)
{
	switch (err) {
	case ECONNREFUSED: return "connection refused";
	case ECONNRESET: return "connection reset by peer";
	case EPIPE: return "broken pipe";
	case ETIMEDOUT: return "connection timed out";
	case EHOSTUNREACH: return "no route to host";
	case ENETUNREACH: return "network is unreachable";
	case EADDRNOTAVAIL: return "cannot assign requested address";
	case EMFILE: return "too many open files";
	default: return strerror(err);
	}
}

/* ---- the end of a connection ---- */

void fl_http_conn_close(struct fl_http_conn *c)
{
	if (c->state == FL_HTTP_DEAD)
		return;
	c->state = FL_HTTP_DEAD;
	fl_http2_close(c);
	fl_resolve_cancel(c->resolve);
	c->resolve = NULL;
	fl_tls_destroy(c->tls);
	c->tls = NULL;
	fl_loop_del(c->client->loop, &c->io);
	if (c->io.fd >= 0)
		close(c->io.fd);
	c->io.fd = -1;
	fl_timer_clear(c->client->loop, &c->timer);
}

void fl_http_conn_fail(struct fl_http_conn *c, int err, const char *why)
{
	struct fl_http_client *client = c->client;
	bool early = c->state < FL_HTTP_V1;
	char kept[256];
	snprintf(kept, sizeof kept, "%s", why);         /* it may lie in what is closed now */
	fl_http_conn_close(c);
	if (early)
		fl_http_conn_lost(c, err, kept);
	struct fl_http_req *r = c->req;
	c->req = NULL;
	if (r && c->kept && !c->got && !r->again)       /* an idle connection that the server closed just now */
		fl_http_requeue(r);
	else if (r)
		fl_http_end(r, err, kept);
	while ((r = c->streams)) {
		c->streams = r->next;
		fl_http_end(r, err, kept);
	}
	fl_http_kick(client);
}

static void fail_io(struct fl_http_conn *c, const char *verb, int err)
{
	struct sockaddr_in6 me = { 0 };
	socklen_t n = sizeof me;
	char from[72], to[72], why[256];
	getsockname(c->io.fd, (struct sockaddr *)&me, &n);
	peer_text(from, &me);
	peer_text(to, &c->to.sa[c->tried - 1]);
	snprintf(why, sizeof why, "%s tcp %s->%s: %s: %s", verb, from, to, verb, words(err));
	fl_http_conn_fail(c, -err, why);
}

static void fail_tls(struct fl_http_conn *c)
{
	char why[256];
	snprintf(why, sizeof why, "%s", fl_tls_reason(c->tls));
	fl_http_conn_fail(c, -EPROTO, why);
}

/* ---- out ---- */

void fl_http_conn_send(struct fl_http_conn *c, const void *p, size_t n)
{
	if (c->out_at && c->out_at == c->out_n)
		c->out_at = c->out_n = 0;
	if (c->out_n + n > c->out_cap) {
		c->out_cap = c->out_n + n < 1024 ? 1024 : (c->out_n + n) * 2;
		c->out = fl_xrealloc(c->out, c->out_cap);
	}
	fl_put_bytes(c->out + c->out_n, p, n);
	c->out_n += n;
}

/* One write; 1: all is out, 0: the socket is full, -1: failed. */
static int write_some(struct fl_http_conn *c)
{
	while (c->out_at < c->out_n) {
		const char *p = c->out + c->out_at;
		size_t left = c->out_n - c->out_at;
		ssize_t n = c->tls ? fl_tls_write(c->tls, p, left) : send(c->io.fd, p, left, MSG_NOSIGNAL);
		if (!c->tls && n < 0)
			n = errno == EINTR ? -EAGAIN : -errno;
		if (n == -EAGAIN)
			return 0;
		if (n == -EPROTO && c->tls)
			fail_tls(c);
		else if (n < 0)
			fail_io(c, "write", (int)-n);
		if (n < 0)
			return -1;
		c->out_at += (size_t)n;
	}
	c->out_at = c->out_n = 0;
	return 1;
}

void fl_http_conn_flush(struct fl_http_conn *c)
{
	int all = 1;
	while (c->state >= FL_HTTP_V1 && c->state != FL_HTTP_DEAD && (all = write_some(c)) > 0) {
		if (c->state == FL_HTTP_V2 && !fl_http2_fill(c))
			return;
		if (!c->out_n)
			break;
	}
	if (all < 0 || c->state == FL_HTTP_DEAD || c->out_wait == !all)
		return;
	c->out_wait = !all;
	fl_loop_change(c->client->loop, &c->io, EPOLLIN | (all ? 0 : EPOLLOUT));
}

/* ---- HTTP/1.1 ---- */

static void put_text(struct fl_http_conn *c, const char *text) { fl_http_conn_send(c, text, strlen(text)); }

static void v1_field(void *arg, struct fl_str name, struct fl_str value)
{
	struct fl_http_req *r = ((struct fl_http_conn *)arg)->req;
	if (r && r->ops->field)
		r->ops->field(r, name, value);
}

void fl_http_conn_v1(struct fl_http_conn *c, struct fl_http_req *r)
{
	fl_timer_clear(c->client->loop, &c->timer);
	fl_http1_init(&c->h1);
	c->h1.field = v1_field;
	c->h1.arg = c;
	c->req = r;
	c->got = false;
	const char *at = r->text;
	const struct fl_http_config *cfg = &c->client->cfg;
	bool whole = cfg->proxy_host && !cfg->tls;
	put_text(c, r->body.p ? "POST " : "GET ");
	put_text(c, whole ? "http://" : "");
	put_text(c, whole ? cfg->authority : "");
	put_text(c, at);
	put_text(c, " HTTP/1.1\r\nhost: ");
	put_text(c, cfg->authority);
	if (whole && cfg->proxy_auth) {
		put_text(c, "\r\nproxy-authorization: ");
		put_text(c, cfg->proxy_auth);
	}
	for (unsigned i = 0; i < r->nheader; i++) {
		put_text(c, "\r\n");
		put_text(c, at += strlen(at) + 1);
		put_text(c, ": ");
		put_text(c, at += strlen(at) + 1);
	}
	if (r->body.p) {
		char length[48];
		snprintf(length, sizeof length, "\r\ncontent-length: %zu", r->body.n);
		put_text(c, length);
	}
	put_text(c, "\r\n\r\n");
	fl_http_conn_send(c, r->body.p, r->body.n);
}

static void v1_done(struct fl_http_conn *c)
{
	struct fl_http_req *r = c->req;
	c->req = NULL;
	c->kept = true;
	if (!c->h1.keep || c->draining)
		fl_http_conn_close(c);
	else
		fl_timer_set(c->client->loop, &c->timer, fl_loop_now(c->client->loop) + IDLE_NS);
	fl_http_end(r, 0, NULL);
	fl_http_kick(c->client);
}

static void v1_read(struct fl_http_conn *c, const uint8_t *p, size_t n)
{
	const uint8_t *end = p + n;
	struct fl_str piece;
	if (!c->req) {
		fl_http_conn_fail(c, -EPROTO, "Unsolicited response received on idle HTTP channel");
		return;
	}
	c->got = true;
	while (c->req) {                        /* a callback may cancel it, which closes the connection */
		switch (fl_http1_next(&c->h1, &p, end, &piece)) {
		case FL_HTTP1_HEAD:
			c->req->head = c->h1.head;
			if (c->req->ops->head)
				c->req->ops->head(c->req);
			break;
		case FL_HTTP1_BODY:
			c->client->handed = true;
			c->req->ops->body(c->req, (const uint8_t *)piece.p, piece.n);
			break;
		case FL_HTTP1_DONE:
			if (p < end)
				c->h1.keep = false;
			v1_done(c);
			return;
		case FL_HTTP1_BAD:
			fl_http_conn_fail(c, -EBADMSG, c->h1.head.status ? "malformed HTTP response: bad header or chunk" :
				"malformed HTTP response");
			return;
		case FL_HTTP1_MORE:
			return;
		}
	}
}

/* ---- in ---- */

static void closed(struct fl_http_conn *c)
{
	if (c->state == FL_HTTP_V1 && c->req && fl_http1_closed(&c->h1)) {
		c->h1.keep = false;
		v1_done(c);
	} else if (c->state == FL_HTTP_V2) {
		fl_http_conn_fail(c, -ECONNRESET, "http2: server closed the connection");
	} else {
		fl_http_conn_fail(c, -ECONNRESET, c->got ? "unexpected EOF" : "EOF");
	}
}

static void read_some(struct fl_http_conn *c)
{
	struct fl_http_client *client = c->client;
	size_t total = 0;
	while (c->state == FL_HTTP_V1 || c->state == FL_HTTP_V2) {
		if (total >= FL_HTTP_TURN && !c->tls)
			return;                 /* others have their turn: the loop comes back */
		if (total >= FL_HTTP_TURN)
			fl_tls_last(c->tls);
		ssize_t n = c->tls ? fl_tls_read(c->tls, client->buf, sizeof client->buf) :
			recv(c->io.fd, client->buf, sizeof client->buf, 0);
		if (!c->tls && n < 0)
			n = errno == EINTR ? -EAGAIN : -errno;
		if (n == -EAGAIN)
			return;
		if (!n)
			closed(c);
		else if (n == -EPROTO && c->tls)
			fail_tls(c);
		else if (n < 0)
			fail_io(c, "read", (int)-n);
		if (n <= 0)
			return;
		c->heard_ns = fl_loop_now(client->loop);
		c->pinged = false;
		total += (size_t)n;
		if (c->state == FL_HTTP_V1)
			v1_read(c, client->buf, (size_t)n);
		else
			fl_http2_read(c, client->buf, (size_t)n);
		if (!c->tls && (size_t)n < sizeof client->buf)
			return;                 /* the socket is empty: spare a call that says so */
	}
}

/* ---- dial ---- */

static void ready(struct fl_http_conn *c)
{
	struct fl_http_client *client = c->client;
	fl_timer_clear(client->loop, &c->timer);
	bool v2 = c->tls && fl_str_is(fl_tls_alpn(c->tls), "h2");
	client->version = v2 ? 2 : 1;
	c->state = v2 ? FL_HTTP_V2 : FL_HTTP_V1;
	c->heard_ns = fl_loop_now(client->loop);
	c->out_wait = false;
	fl_loop_change(client->loop, &c->io, EPOLLIN);
	if (v2 && fl_http2_open(c))
		fl_http_conn_fail(c, -ENOMEM, "out of memory");
	if (c->state != FL_HTTP_DEAD)
		fl_timer_set(client->loop, &c->timer, c->heard_ns + (v2 ? PING_NS : IDLE_NS));
	fl_http_kick(client);
}

static void shake(struct fl_http_conn *c)
{
	struct fl_err e = { "tls: handshake failed" };
	int ret = fl_tls_handshake(c->tls, &e);
	if (!ret)
		ready(c);
	else if (ret < 0)
		fl_http_conn_fail(c, ret, e.msg);
	else
		fl_loop_change(c->client->loop, &c->io, ret == 2 ? EPOLLOUT : EPOLLIN);
}

static void start_tls(struct fl_http_conn *c)
{
	struct fl_http_client *client = c->client;
	static const char *const both[] = { "h2", "http/1.1", NULL };
	struct fl_err e = { "out of memory" };
	struct fl_tls_creds *creds = client->cfg.creds(client->cfg.arg, &e);
	c->tls = creds ? fl_tls_client(creds, c->io.fd, client->cfg.tls_name, client->cfg.http2 ? both : both + 1) : NULL;
	fl_tls_creds_put(creds);
	if (!c->tls) {
		fl_http_conn_fail(c, -EPROTO, e.msg);
		return;
	}
	c->state = FL_HTTP_TLS;
	fl_timer_set(client->loop, &c->timer, fl_loop_now(client->loop) + TLS_NS);
	shake(c);
}

/* ---- a proxy before TLS: CONNECT (RFC 9110 §9.3.6) ---- */

static void ask_proxy(struct fl_http_conn *c)
{
	const struct fl_http_config *cfg = &c->client->cfg;
	char to[300];
	snprintf(to, sizeof to, strchr(cfg->host, ':') ? "[%s]:%u" : "%s:%u", cfg->host, cfg->port);
	put_text(c, "CONNECT ");
	put_text(c, to);
	put_text(c, " HTTP/1.1\r\nhost: ");
	put_text(c, to);
	if (cfg->proxy_auth) {
		put_text(c, "\r\nproxy-authorization: ");
		put_text(c, cfg->proxy_auth);
	}
	put_text(c, "\r\n\r\n");
	c->state = FL_HTTP_PROXY;
	fl_timer_set(c->client->loop, &c->timer, fl_loop_now(c->client->loop) + TLS_NS);
	if (write_some(c) < 0)
		return;
	fl_loop_change(c->client->loop, &c->io, EPOLLIN | (c->out_n ? EPOLLOUT : 0));
}

/* The head of its answer, byte by byte as far as that goes: what follows it is the server's. */
static void hear_proxy(struct fl_http_conn *c)
{
	if (c->out_n && write_some(c) < 0)
		return;
	fl_loop_change(c->client->loop, &c->io, EPOLLIN | (c->out_n ? EPOLLOUT : 0));
	if (!c->proxied)
		c->proxied = fl_xalloc(PROXY_HEAD_MAX + 1);
	for (;;) {
		ssize_t n = recv(c->io.fd, c->proxied + c->nproxied, 1, 0);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			fl_http_conn_fail(c, n ? -errno : -ECONNRESET, n ? words(errno) : "proxy closed the connection");
			return;
		}
		c->nproxied++;
		if (c->nproxied >= 4 && !memcmp(c->proxied + c->nproxied - 4, "\r\n\r\n", 4))
			break;
		if (c->nproxied == PROXY_HEAD_MAX) {
			fl_http_conn_fail(c, -EBADMSG, "malformed HTTP response from the proxy");
			return;
		}
	}
	char why[160];
	if (!fl_http_tunnel((struct fl_str){ c->proxied, c->nproxied }, why, sizeof why)) {
		fl_http_conn_fail(c, -EPROTO, why);
		return;
	}
	free(c->proxied);
	c->proxied = NULL;
	start_tls(c);
}

static void connected(struct fl_http_conn *c)
{
	struct fl_http_client *client = c->client;
	int one = 1, idle = KEEPALIVE_S, dead = DEAD_PEER_MS;
	setsockopt(c->io.fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
	setsockopt(c->io.fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
	setsockopt(c->io.fd, IPPROTO_TCP, TCP_KEEPINTVL, &idle, sizeof idle);
	setsockopt(c->io.fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &dead, sizeof dead);
	setsockopt(c->io.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (!client->cfg.tls) {
		ready(c);
	} else if (client->cfg.proxy_host) {
		ask_proxy(c);
	} else {
		start_tls(c);
	}
}

static void dial_failed(struct fl_http_conn *c, int err)
{
	char to[72], why[160];
	if (c->io.fd >= 0) {
		fl_loop_del(c->client->loop, &c->io);
		close(c->io.fd);
		c->io.fd = -1;
	}
	if (c->tried < c->to.n) {
		try_next(c);
		return;
	}
	peer_text(to, &c->to.sa[c->tried - 1]);
	snprintf(why, sizeof why, err == ETIMEDOUT ? "dial tcp %s: i/o timeout" : "dial tcp %s: connect: %s", to, words(err));
	fl_http_conn_fail(c, -err, why);
}

static void try_next(struct fl_http_conn *c)
{
	const struct sockaddr_in6 *sa = &c->to.sa[c->tried];
	socklen_t len = c->to.len[c->tried++];
	struct fl_loop *l = c->client->loop;
	c->state = FL_HTTP_CONNECT;
	c->io.fd = socket(sa->sin6_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->io.fd < 0 || (connect(c->io.fd, (const struct sockaddr *)sa, len) && errno != EINPROGRESS)) {
		dial_failed(c, errno);
		return;
	}
	int ret = fl_loop_add(l, &c->io, EPOLLOUT);
	if (ret)
		dial_failed(c, -ret);
	else
		fl_timer_set(l, &c->timer, fl_loop_now(l) + CONNECT_NS);
}

static void resolved(void *arg, const struct fl_addresses *a, const char *why)
{
	struct fl_http_conn *c = arg;
	char text[320];
	c->resolve = NULL;
	fl_http_enter(c->client);
	if (a->n) {
		c->to = *a;
		try_next(c);
	} else {
		snprintf(text, sizeof text, "dial tcp: lookup %s: %s", c->client->cfg.proxy_host ? c->client->cfg.proxy_host : c->client->cfg.host, why);
		fl_http_conn_fail(c, -ENOENT, text);
	}
	fl_http_leave(c->client);
}

/* ---- events ---- */

static void on_io(struct fl_io *io, uint32_t events)
{
	struct fl_http_conn *c = (struct fl_http_conn *)((char *)io - offsetof(struct fl_http_conn, io));
	struct fl_http_client *client = c->client;
	int err = 0;
	socklen_t n = sizeof err;
	bool shaking = c->state == FL_HTTP_TLS;
	fl_http_enter(client);
	if (c->state == FL_HTTP_CONNECT) {
		getsockopt(io->fd, SOL_SOCKET, SO_ERROR, &err, &n);
		if (err)
			dial_failed(c, err);
		else
			connected(c);
	} else if (c->state == FL_HTTP_PROXY) {
		hear_proxy(c);
	} else if (c->state == FL_HTTP_TLS) {
		shake(c);
	} else {
		if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
			read_some(c);
		fl_http_conn_flush(c);
	}
	if (shaking && c->state == FL_HTTP_V2) {        /* its first frames may have come along with the handshake's last */
		read_some(c);
		fl_http_conn_flush(c);
	}
	if (client->handed && client->cfg.batch)
		client->cfg.batch(client->cfg.arg);
	client->handed = false;
	fl_http_leave(client);
}

/* HTTP/2: has the peer been silent? The timer is not moved with each byte that comes, only looked at when it fires. */
static void watch_peer(struct fl_http_conn *c)
{
	struct fl_loop *l = c->client->loop;
	uint64_t quiet = fl_loop_now(l) - c->heard_ns;
	if (c->pinged && quiet >= 2 * PING_NS) {
		fl_http_conn_fail(c, -ETIMEDOUT, "http2: client connection lost");
		return;
	}
	if (quiet >= PING_NS && !c->pinged) {
		c->pinged = true;
		fl_http2_ping(c);
		fl_http_conn_flush(c);
	}
	if (c->state == FL_HTTP_V2)
		fl_timer_set(l, &c->timer, c->pinged ? c->heard_ns + 2 * PING_NS : c->heard_ns + PING_NS);
}

static void on_timer(struct fl_timer *t)
{
	struct fl_http_conn *c = (struct fl_http_conn *)((char *)t - offsetof(struct fl_http_conn, timer));
	struct fl_http_client *client = c->client;
	fl_http_enter(client);
	if (c->state == FL_HTTP_DIAL)           /* a dial that could not even begin */
		fl_http_conn_fail(c, -EAGAIN, "dial tcp: no thread for the look-up");
	else if (c->state == FL_HTTP_CONNECT)
		dial_failed(c, ETIMEDOUT);
	else if (c->state == FL_HTTP_PROXY)
		fl_http_conn_fail(c, -ETIMEDOUT, "proxyconnect: i/o timeout");
	else if (c->state == FL_HTTP_TLS)
		fl_http_conn_fail(c, -ETIMEDOUT, "net/http: TLS handshake timeout");
	else if (c->state == FL_HTTP_V1)
		fl_http_conn_close(c);
	else if (c->state == FL_HTTP_V2)
		watch_peer(c);
	fl_http_leave(client);
}

void fl_http_dial(struct fl_http_client *client)
{
	struct fl_http_conn *c = fl_xalloc(sizeof *c);
	struct fl_loop *l = client->loop;
	c->client = client;
	c->io = (struct fl_io){ .fd = -1, .fn = on_io };
	c->timer.fn = on_timer;
	c->next = client->conns;
	client->conns = c;
	const struct fl_http_config *cfg = &client->cfg;
	const char *host = cfg->proxy_host ? cfg->proxy_host : cfg->host;
	uint16_t port = cfg->proxy_host ? cfg->proxy_port : cfg->port;
	if (fl_resolve_literal(&c->to, host, port)) {
		try_next(c);
		return;
	}
	c->resolve = fl_resolve(l, host, port, resolved, c);
	if (!c->resolve)
		fl_timer_set(l, &c->timer, fl_loop_now(l));
}

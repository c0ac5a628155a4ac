#include "cmd/fairctl/ask.h"
#include "base/clock.h"
#include "base/rng.h"
#include "net/http_client.h"
#include "wire/pack.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/time.h>
#include <unistd.h>

enum { MESSAGE_MAX = 65535 };

const char *ask_how_text(enum ask_how how)
{
	static const char *const text[] = { "udp", "tcp", "tls", "https", "http" };
	return text[how];
}

/* ---- servers ---- */

static int host_port(struct ask_server *s, struct fl_str text, unsigned port, struct fl_err *e)
{
	struct fl_str host = text, number = { 0 };
	struct fl_addr literal;
	struct go_addr to[GO_ADDRS];
	char digits[8];
	bool bare = fl_addr_parse(text, &literal) || memchr(text.p, '%', text.n);        /* ::1 has colons, but no port */
	bool bracket = text.n > 2 && *text.p == '[' && text.p[text.n - 1] == ']';
	if (bracket)
		host = (struct fl_str){ text.p + 1, text.n - 2 };
	else if (!bare && memchr(text.p, ':', text.n)) {
		int ret = go_split(text, &host, &number, e);
		if (ret)
			return ret;
	}
	snprintf(digits, sizeof digits, "%u", port & 65535);
	number = number.n ? number : fl_str(digits);
	if (!host.n || host.n >= sizeof s->host)
		return fl_err_set(e, "\"%.*s\" names no server", FL_FMT(text));
	int n = go_resolve(s->how == ASK_UDP ? "udp" : "tcp", host, number, to, e);
	if (n < 0)
		return n;
	s->addr = to[0];
	s->port = ntohs(s->addr.sa.ss_family == AF_INET ? ((struct sockaddr_in *)&s->addr.sa)->sin_port : ((struct sockaddr_in6 *)&s->addr.sa)->sin6_port);
	snprintf(s->host, sizeof s->host, "%.*s", FL_FMT(host));
	return 0;
}

int ask_server_parse(struct ask_server *s, const char *text, enum ask_how how, unsigned port, struct fl_err *e)
{
	static const struct { const char *scheme; enum ask_how how; unsigned port; } known[] = {
		{ "udp://", ASK_UDP, 53 }, { "dns://", ASK_UDP, 53 }, { "tcp://", ASK_TCP, 53 }, { "tls://", ASK_TLS, 853 },
		{ "https://", ASK_HTTPS, 443 }, { "http://", ASK_HTTP, 80 },
	};
	struct fl_str rest = fl_str(text), host;
	*s = (struct ask_server){ .how = how };
	if (!port)
		port = how == ASK_TLS ? 853 : how == ASK_HTTPS ? 443 : 53;
	for (unsigned i = 0; i < FL_COUNT(known); i++)
		if (fl_str_starts(rest, fl_str(known[i].scheme))) {
			s->how = known[i].how;
			port = known[i].port;
			rest = (struct fl_str){ rest.p + strlen(known[i].scheme), rest.n - strlen(known[i].scheme) };
			break;
		}
	bool web = s->how >= ASK_HTTPS;
	struct fl_str path = web ? fl_str_cut(rest, '/', &host) : FL_STR("");
	int ret = host_port(s, web ? host : rest, port, e);
	path = path.n ? path : FL_STR("dns-query");
	snprintf(s->path, sizeof s->path, "/%.*s", FL_FMT(path));
	if (!ret && web)
		snprintf(s->text, sizeof s->text, "%s://%.*s%.100s", ask_how_text(s->how), (int)(host.n < 150 ? host.n : 150), host.p, s->path);
	else if (!ret)
		go_addr_text(s->text, &s->addr);
	return ret;
}

/* ---- bytes ---- */

static int to_ms(uint64_t deadline)
{
	uint64_t now = fl_clock_ns();
	return deadline <= now ? 0 : (int)((deadline - now + FL_MS - 1) / FL_MS);
}

static int wait_for(int fd, short events, uint64_t deadline)
{
	struct pollfd p = { .fd = fd, .events = events };
	int n;
	do
		n = poll(&p, 1, to_ms(deadline));
	while (n < 0 && errno == EINTR);
	return n > 0 ? 0 : n ? -errno : -ETIMEDOUT;
}

/* Is this the answer to what was asked? */
static bool answers(const uint8_t *query, const uint8_t *msg, size_t n, const struct ask_question *q, struct fl_message *m, struct fl_arena *a)
{
	if (n < FL_HEADER || memcmp(query, msg, 2) || !(msg[2] & 0x80))
		return false;
	if (fl_message_parse(m, a, msg, n))
		return false;
	return !m->qname.len || (fl_name_eq(m->qname, q->name) && m->qtype == q->type);
}

static int udp(const struct ask_server *s, const uint8_t *query, size_t n, uint8_t *msg, size_t *got, const struct ask_question *q,
	       struct fl_message *m, struct fl_arena *a, uint64_t deadline, unsigned attempts)
{
	int fd = go_dial(&s->addr, SOCK_DGRAM, 0, 0), ret = -ETIMEDOUT;
	if (fd < 0)
		return fd;
	uint64_t start = fl_clock_ns(), each = (deadline - start) / (attempts ? attempts : 1);
	for (unsigned i = 0; i < attempts && ret == -ETIMEDOUT; i++) {
		uint64_t until = i + 1 == attempts ? deadline : start + (i + 1) * each;
		ret = send(fd, query, n, MSG_NOSIGNAL) < 0 ? -errno : 0;
		while (!ret && !(ret = wait_for(fd, POLLIN, until))) {
			ssize_t k = recv(fd, msg, MESSAGE_MAX, MSG_DONTWAIT);
			if (k < 0 && errno == EAGAIN)
				continue;
			ret = k < 0 ? -errno : 0;
			*got = k < 0 ? 0 : (size_t)k;
			if (ret || answers(query, msg, *got, q, m, a))
				break;          /* whatever else came is not ours */
		}
	}
	close(fd);
	return ret;
}

/* One direction of a stream, TLS or not. */
struct stream { int fd; struct fl_tls *tls; uint64_t deadline; };

static int move(struct stream *st, uint8_t *p, size_t n, bool out)
{
	for (size_t done = 0; done < n;) {
		ssize_t k = st->tls ? (out ? fl_tls_write(st->tls, p + done, n - done) : fl_tls_read(st->tls, p + done, n - done))
				    : (out ? send(st->fd, p + done, n - done, MSG_NOSIGNAL | MSG_DONTWAIT) : recv(st->fd, p + done, n - done, MSG_DONTWAIT));
		if (!st->tls && k < 0)
			k = -errno;
		if (!k)
			return -ECONNRESET;
		int ret = k != -EAGAIN ? k < 0 ? (int)k : 0 : wait_for(st->fd, out ? POLLOUT : POLLIN, st->deadline);
		if (ret)
			return ret;
		done += k > 0 ? (size_t)k : 0;
	}
	return 0;
}

static int stream(const struct ask_server *s, uint8_t *query, size_t n, uint8_t *msg, size_t *got, uint64_t deadline, struct fl_err *e)
{
	static const char *const dot[] = { "dot", NULL };
	struct stream st = { .fd = go_dial(&s->addr, SOCK_STREAM, 0, deadline), .deadline = deadline };
	uint8_t head[2];
	int ret = st.fd < 0 ? st.fd : 0;
	if (!ret && s->how == ASK_TLS) {
		fcntl(st.fd, F_SETFL, O_NONBLOCK);
		st.tls = fl_tls_client(s->creds, st.fd, s->host, dot);
		ret = st.tls ? 0 : -ENOMEM;
		while (!ret && (ret = fl_tls_handshake(st.tls, e)) > 0)
			ret = wait_for(st.fd, ret == 1 ? POLLIN : POLLOUT, deadline);
	}
	uint8_t *framed = fl_xalloc(n + 2);
	fl_put16(framed, (uint16_t)n);
	memcpy(framed + 2, query, n);
	if (!ret)
		ret = move(&st, framed, n + 2, true);
	if (!ret)
		ret = move(&st, head, 2, false);
	if (!ret)
		ret = move(&st, msg, *got = fl_get16(head), false);
	free(framed);
	fl_tls_destroy(st.tls);
	if (st.fd >= 0)
		close(st.fd);
	return ret;
}

/* ---- HTTPS ---- */

struct web { struct fl_http_req req; struct fl_loop *loop; struct fl_timer timer; struct fl_tls_creds *creds; uint8_t *msg; size_t got; int ret; struct fl_err *e; };

static void on_body(struct fl_http_req *r, const uint8_t *p, size_t n)
{
	struct web *w = (struct web *)((char *)r - offsetof(struct web, req));
	n = w->got + n <= MESSAGE_MAX ? n : MESSAGE_MAX - w->got;
	memcpy(w->msg + w->got, p, n);
	w->got += n;
}

static void on_end(struct fl_http_req *r, int err, const char *why)
{
	struct web *w = (struct web *)((char *)r - offsetof(struct web, req));
	w->ret = err;
	if (err)
		fl_err_set(w->e, "%s", why);
	else if (r->head.status != 200)
		w->ret = fl_err_set(w->e, "HTTP status %d", r->head.status);
	fl_loop_stop(w->loop);
}

static void on_late(struct fl_timer *t)
{
	struct web *w = (struct web *)((char *)t - offsetof(struct web, timer));
	fl_http_cancel(&w->req);
	w->ret = -ETIMEDOUT;
	fl_loop_stop(w->loop);
}

static struct fl_tls_creds *lend(void *arg, struct fl_err *e)
{
	(void)e;
	return fl_tls_creds_get(((struct web *)arg)->creds);
}

/* The query as base64url (RFC 8484 §4.1), behind the path. */
static char *target(const char *path, const uint8_t *p, size_t n)
{
	size_t at = strlen(path) + 5;
	char *to = fl_xalloc(at + n * 4 / 3 + 8);
	snprintf(to, at + 1, "%s%cdns=", path, strchr(path, '?') ? '&' : '?');
	fl_base64url(to + at, p, n);
	return to;
}

static int web(const struct ask_server *s, uint8_t *query, size_t n, uint8_t *msg, size_t *got, uint64_t deadline, struct fl_err *e)
{
	static const struct fl_http_ops ops = { .body = on_body, .end = on_end };
	static const struct fl_http_header accept = { "accept", { "application/dns-message", 23 } };
	char authority[300], address[64], bare[64];
	struct web w = { .req.ops = &ops, .loop = fl_loop_create(), .timer.fn = on_late, .creds = s->creds, .msg = msg, .ret = -ENOMEM, .e = e };
	if (!w.loop)
		return -errno;
	go_addr_text(address, &s->addr);
	char *colon = strrchr(address, ':');
	snprintf(bare, sizeof bare, "%.*s", *address == '[' ? (int)(colon - address) - 2 : (int)(colon - address), *address == '[' ? address + 1 : address);
	snprintf(authority, sizeof authority, strchr(s->host, ':') ? "[%s]:%u" : "%s:%u", s->host, s->port);
	struct fl_http_config cfg = { .host = bare, .port = s->port, .tls = s->how == ASK_HTTPS, .http2 = s->how == ASK_HTTPS, .tls_name = s->host,
				      .authority = authority, .creds = lend, .arg = &w };
	struct fl_http_client *client = fl_http_client_create(w.loop, &cfg);
	query[0] = query[1] = 0;        /* so that caches may keep it (§4.1) */
	char *path = target(s->path, query, n);
	if (client) {
		fl_http_get(client, &w.req, path, &accept, 1);
		fl_timer_set(w.loop, &w.timer, deadline);
		fl_loop_run(w.loop);
	}
	free(path);
	fl_timer_clear(w.loop, &w.timer);
	fl_http_client_destroy(client);
	fl_loop_destroy(w.loop);
	*got = w.got;
	return w.ret;
}

/* ---- a query ---- */

static int words(struct fl_err *e, int ret, const struct ask_server *s, uint64_t timeout)
{
	if (ret == -ETIMEDOUT || ret == -EAGAIN) {
		fl_err_set(e, "%s: no answer within %.3g s", s->text, (double)timeout / FL_SEC);
		return -ETIMEDOUT;
	}
	char why[512];
	snprintf(why, sizeof why, "%s", e->msg[0] ? e->msg : ret == -EBADMSG ? "not an answer to what was asked" : go_errno(-ret));
	fl_err_set(e, "%s: %s", s->text, why);
	return ret;
}

int ask(struct ask_reply *r, struct fl_arena *a, const struct ask_server *s, const struct ask_question *q, uint64_t timeout_ns, unsigned attempts,
	struct fl_err *e)
{
	uint8_t query[512];
	uint16_t id;
	fl_random_bytes(&id, sizeof id);
	uint64_t start = fl_clock_ns(), deadline = start + timeout_ns;
	uint8_t *msg = fl_alloc(a, MESSAGE_MAX);
	size_t n = fl_pack_query(query, sizeof query, id, q->flags, q->name, q->type, q->class, q->edns, q->udp_size, q->edns_flags, NULL);
	int ret = -ENOMEM;
	*r = (struct ask_reply){ 0 };
	e->msg[0] = 0;
	if (!msg)
		return words(e, -ENOMEM, s, timeout_ns);
	if (s->how == ASK_UDP)
		ret = udp(s, query, n, msg, &r->n, q, &r->m, a, deadline, attempts);
	else
		ret = (s->how >= ASK_HTTPS ? web : stream)(s, query, n, msg, &r->n, deadline, e);
	if (!ret && s->how == ASK_UDP && r->m.flags & FL_TC) {
		r->by_tcp = true;
		ret = stream(s, query, n, msg, &r->n, deadline, e);
	}
	if (!ret && (s->how != ASK_UDP || r->by_tcp) && !answers(query, msg, r->n, q, &r->m, a))
		ret = -EBADMSG;
	r->took_ns = fl_clock_ns() - start;
	return ret ? words(e, ret, s, timeout_ns) : 0;
}

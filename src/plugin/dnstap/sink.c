/* sink.c: a connection over which dnstap flows, dialled or accepted. We are the writer in both cases:
 *
 *   OFF ── RESOLVE ── CONNECT ── HELLO (TLS) ── ACCEPT: READY sent, the reader's ACCEPT awaited ── ON: START, then data
 *    ╰──────────── after a pause of 1, 2, 4, 8 s ────────────────── any failure ──────────────────────╯
 *
 * Each step has 4 s, as in CoreDNS (plugin/dnstap/io.go), which tries again every 10 s. */
#include "plugin/dnstap/dnstap.h"
#include "base/log.h"
#include "net/resolve.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/un.h>
#include <unistd.h>

#define WHO "plugin/dnstap"
#define STEP_NS (4 * FL_SEC)
enum { PAUSE_MAX_S = 8, GOODBYE_MS = 250, RECORD = 16 * 1024, CIPHER_ROOM = 64 * 1024 };

static const char *const protos[] = { "unix", "tcp", "tls" };

/* ---- the end ---- */

static void close_all(struct dnstap_sink *s)
{
	fl_resolve_cancel(s->resolve);
	s->resolve = NULL;
	fl_tls_destroy(s->tls);
	s->tls = NULL;
	fl_tls_session_destroy(s->session, false);
	s->session = NULL;
	fl_timer_clear(s->loop, &s->timer);
	if (s->io.fd >= 0) {
		fl_loop_del(s->loop, &s->io);
		close(s->io.fd);
	}
	s->io.fd = -1;
	s->state = SINK_OFF;
	s->nin = s->at = s->n = 0;
	s->waits = false;
}

/* Frames that were only partly sent are lost with the connection: where one begins the next reader would not know. The words are Go's: what
 * NULL: there was no address to connect to, and why says all. */
static void fail(struct dnstap_sink *s, const char *what, const char *why)
{
	bool was_on = s->state == SINK_ON;
	unsigned frames = s->frames;
	struct fl_str at = s->where->endpoint;
	const char *proto = protos[s->where->proto == DNSTAP_TLS ? DNSTAP_TCP : s->where->proto];
	if (!s->incoming && was_on)
		fl_log(FL_WARN, WHO, "Connection to dnstap endpoint %.*s lost: %s: %s", FL_FMT(at), what, why);
	else if (!s->incoming && !s->silent && !what)
		fl_log(FL_ERROR, WHO, "No connection to dnstap endpoint: dial %s: %s", proto, why);
	else if (!s->incoming && !s->silent)
		fl_log(FL_ERROR, WHO, "No connection to dnstap endpoint: dial %s %.*s: %s: %s", proto, FL_FMT(at), what, why);
	s->silent = true;
	close_all(s);
	s->frames = 0;
	if (!s->incoming) {
		s->pause_s = was_on || !s->pause_s ? 1 : s->pause_s < PAUSE_MAX_S ? s->pause_s * 2 : PAUSE_MAX_S;
		fl_timer_set(s->loop, &s->timer, fl_loop_tick(s->loop) + s->pause_s * FL_SEC);
	}
	s->lost(s, frames);
}

/* Go prints errno's words in lower case. */
static void fail_errno(struct dnstap_sink *s, const char *what, int err)
{
	char words[64];
	snprintf(words, sizeof words, "%s", strerrordesc_np(err) ? strerrordesc_np(err) : "unknown error");
	words[0] = (char)fl_lower((uint8_t)words[0]);
	fail(s, what, words);
}

/* ---- TLS of one that came ---- */

static ssize_t plain_write(struct dnstap_sink *s, const uint8_t *p, size_t n)
{
	ssize_t ret = send(s->io.fd, p, n, MSG_NOSIGNAL);
	return ret >= 0 ? ret : errno == EINTR ? -EAGAIN : -errno;
}

static ssize_t plain_read(struct dnstap_sink *s, void *to, size_t n)
{
	ssize_t ret = recv(s->io.fd, to, n, 0);
	return ret >= 0 ? ret : errno == EINTR ? -EAGAIN : -errno;
}

static ssize_t pull(void *arg, void *to, size_t n) { return plain_read(arg, to, n); }

static ssize_t push(void *arg, const void *from, size_t n)
{
	struct dnstap_sink *s = arg;
	if (n > CIPHER_ROOM - s->cn)
		return -ENOBUFS;
	memcpy(s->cipher + s->cn, from, n);
	s->cn += n;
	return (ssize_t)n;
}

static const struct fl_tls_wire wire = { pull, push };

/* 0: nothing waits; -EAGAIN, -errno. */
static ssize_t cipher_out(struct dnstap_sink *s)
{
	while (s->cat < s->cn) {
		ssize_t n = plain_write(s, s->cipher + s->cat, s->cn - s->cat);
		if (n < 0)
			return n;
		s->cat += (size_t)n;
	}
	s->cat = s->cn = 0;
	return 0;
}

static ssize_t session_write(struct dnstap_sink *s, const uint8_t *p, size_t n)
{
	ssize_t ret = cipher_out(s);
	if (ret)
		return ret;
	n = n < RECORD ? n : RECORD;
	if (fl_tls_session_write(s->session, p, n))
		return -EPROTO;
	ret = cipher_out(s);
	return ret && ret != -EAGAIN ? ret : (ssize_t)n;
}

static const char *tls_reason(const struct dnstap_sink *s)
{
	return s->session ? fl_tls_session_reason(s->session) : fl_tls_reason(s->tls);
}

/* ---- out ---- */

static ssize_t write_some(struct dnstap_sink *s, const uint8_t *p, size_t n)
{
	return s->session ? session_write(s, p, n) : s->tls ? fl_tls_write(s->tls, p, n) : plain_write(s, p, n);
}

/* 1: all is out; 0: the socket is full; -1: failed. */
static int flush(struct dnstap_sink *s)
{
	while (s->at < s->n) {
		ssize_t n = write_some(s, s->out + s->at, s->n - s->at);
		if (n == -EAGAIN)
			return 0;
		if (n == -EPROTO && (s->tls || s->session))
			fail(s, "tls", tls_reason(s));
		else if (n < 0)
			fail_errno(s, "write", (int)-n);
		if (n < 0)
			return -1;
		s->at += (size_t)n;
	}
	s->at = s->n = 0;
	s->frames = 0;
	return !s->session || !cipher_out(s);
}

static void watch(struct dnstap_sink *s, bool out)
{
	if (s->waits != out)
		fl_loop_change(s->loop, &s->io, EPOLLIN | (out ? EPOLLOUT : 0));
	s->waits = out;
}

void fl_dnstap_sink_flush(struct dnstap_sink *s)
{
	if (s->state < SINK_ACCEPT)
		return;
	int ret = flush(s);
	if (ret >= 0)
		watch(s, !ret);
}

bool fl_dnstap_sink_takes(const struct dnstap_sink *s, size_t n) { return s->state == SINK_ON && n <= SINK_ROOM - s->n; }

void fl_dnstap_sink_put(struct dnstap_sink *s, const uint8_t *frame, size_t n)
{
	memcpy(s->out + s->n, frame, n);
	s->n += n;
	s->frames++;
}

static void control(struct dnstap_sink *s, uint32_t type)
{
	s->n += fl_dnstap_control(s->out + s->n, type);
}

/* ---- the way there ---- */

static void step(struct dnstap_sink *s, int state)
{
	s->state = state;
	fl_timer_set(s->loop, &s->timer, fl_loop_tick(s->loop) + STEP_NS);
}

static void connected(struct dnstap_sink *s)
{
	step(s, SINK_ACCEPT);
	control(s, FSTRM_READY);
	fl_dnstap_sink_flush(s);
}

/* Of one that came. */
static void greet(struct dnstap_sink *s)
{
	int ret = fl_tls_session_handshake(s->session);
	ssize_t out = cipher_out(s);
	if (ret == -EPROTO || (out && out != -EAGAIN))
		fail(s, "tls", tls_reason(s));
	else if (ret)
		watch(s, out);
	else
		connected(s);
}

static void hello(struct dnstap_sink *s)
{
	struct fl_err e = { "" };
	int ret = fl_tls_handshake(s->tls, &e);
	if (ret < 0)
		fail(s, "tls", e.msg);
	else if (ret)
		watch(s, ret == 2);
	else
		connected(s);
}

static void dialled(struct dnstap_sink *s)
{
	struct fl_err e = { "" };
	int err = 0;
	socklen_t n = sizeof err;
	getsockopt(s->io.fd, SOL_SOCKET, SO_ERROR, &err, &n);
	if (err) {
		fail_errno(s, "connect", err);
		return;
	}
	if (s->where->proto != DNSTAP_TLS) {
		connected(s);
		return;
	}
	if (!s->creds)
		s->creds = fl_tls_creds_create(&(struct fl_tls_trust){ .insecure = s->where->skipverify }, &e);
	s->tls = s->creds ? fl_tls_client(s->creds, s->io.fd, s->host, NULL) : NULL;
	if (!s->tls) {
		fail(s, "tls", *e.msg ? e.msg : "out of memory");
		return;
	}
	step(s, SINK_HELLO);
	hello(s);
}

static void accepted(struct dnstap_sink *s)
{
	fl_timer_clear(s->loop, &s->timer);
	s->state = SINK_ON;
	if (s->silent && !s->incoming)
		fl_log(FL_INFO, WHO, "Connected to dnstap endpoint %.*s", FL_FMT(s->where->endpoint));
	s->silent = false;
	s->pause_s = 0;
	control(s, FSTRM_START);
	s->ready(s);                    /* flushes */
}

/* ---- in: the reader says ACCEPT, and nothing else until we stop ---- */

static void heard(struct dnstap_sink *s)
{
	uint8_t *to = s->in + s->nin;
	size_t room = sizeof s->in - s->nin;
	ssize_t n = s->session ? fl_tls_session_read(s->session, to, room) : s->tls ? fl_tls_read(s->tls, to, room) : plain_read(s, to, room);
	uint32_t type;
	if (n == -EAGAIN)
		return;
	if (n == -EPROTO && (s->tls || s->session)) {
		fail(s, "tls", tls_reason(s));
		return;
	}
	if (n <= 0 || s->state == SINK_ON) {
		if (n < 0)
			fail_errno(s, "read", (int)-n);
		else
			fail(s, "read", n ? "unexpected frame from the reader" : "EOF");
		return;
	}
	s->nin += (size_t)n;
	int ret = fl_dnstap_control_read(s->in, s->nin, &type);
	if (!ret && s->nin < sizeof s->in)
		return;
	if (ret != (int)s->nin || type != FSTRM_ACCEPT)
		fail(s, "frame streams", "the reader does not accept protobuf:dnstap.Dnstap");
	else
		accepted(s);
}

static void event(struct fl_io *io, uint32_t events)
{
	struct dnstap_sink *s = (struct dnstap_sink *)((char *)io - offsetof(struct dnstap_sink, io));
	if (s->state == SINK_CONNECT) {
		dialled(s);
		return;
	}
	if (s->state == SINK_HELLO) {
		if (s->session)
			greet(s);
		else
			hello(s);
		return;
	}
	if (events & EPOLLOUT) {
		int ret = flush(s);
		if (ret < 0)
			return;
		watch(s, !ret);
		if (ret && s->state == SINK_ON)
			s->ready(s);
		if (s->io.fd < 0)
			return;
	}
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		heard(s);
}

/* ---- dialling ---- */

static void dial(struct dnstap_sink *s, const struct sockaddr *sa, socklen_t n)
{
	int size = (int)(s->where->buffer_mib << 20);
	s->io.fd = socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->io.fd < 0 || fl_loop_add(s->loop, &s->io, EPOLLIN | EPOLLOUT)) {
		fail_errno(s, "socket", errno);
		return;
	}
	if (sa->sa_family != AF_UNIX)
		setsockopt(s->io.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	s->waits = true;
	step(s, SINK_CONNECT);
	if (connect(s->io.fd, sa, n) && errno != EINPROGRESS)
		fail_errno(s, "connect", errno);
}

static void fail_lookup(struct dnstap_sink *s, const char *why)
{
	char text[512];
	snprintf(text, sizeof text, "lookup %s: %s", s->host, why);
	fail(s, NULL, text);
}

static void resolved(void *arg, const struct fl_addresses *a, const char *why)
{
	struct dnstap_sink *s = arg;
	s->resolve = NULL;
	if (a->n)
		dial(s, (const struct sockaddr *)&a->sa[0], a->len[0]);
	else
		fail_lookup(s, why);
}

bool fl_dnstap_split(struct fl_str at, char host[256], uint16_t *port)
{
	size_t colon = at.n;
	int64_t number;
	while (colon && at.p[colon - 1] != ':' && at.p[colon - 1] != ']')
		colon--;
	if (!colon || at.p[colon - 1] != ':' || fl_parse_int((struct fl_str){ at.p + colon, at.n - colon }, 1, UINT16_MAX, &number))
		return false;
	struct fl_str h = { at.p, colon - 1 };
	if (h.n >= 2 && h.p[0] == '[' && h.p[h.n - 1] == ']')
		h = (struct fl_str){ h.p + 1, h.n - 2 };
	*port = (uint16_t)number;
	return snprintf(host, 256, "%.*s", FL_FMT(h)) < 256;
}

static void dial_host(struct dnstap_sink *s)
{
	struct fl_addresses a;
	uint16_t port;
	if (!fl_dnstap_split(s->where->endpoint, s->host, &port)) {
		char why[320] = "missing address";
		if (s->where->endpoint.n)
			snprintf(why, sizeof why, "address %.*s: missing port in address", FL_FMT(s->where->endpoint));
		fail(s, NULL, why);
		return;
	}
	if (!*s->host)
		snprintf(s->host, sizeof s->host, "127.0.0.1");
	if (fl_resolve_literal(&a, s->host, port)) {
		dial(s, (const struct sockaddr *)&a.sa[0], a.len[0]);
		return;
	}
	step(s, SINK_RESOLVE);
	s->resolve = fl_resolve(s->loop, s->host, port, resolved, s);
	if (!s->resolve)
		fail_lookup(s, "no thread to resolve the name");
}

static void begin(struct dnstap_sink *s)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	if (s->where->proto != DNSTAP_UNIX) {
		dial_host(s);
		return;
	}
	if (!s->where->endpoint.n) {
		fail(s, NULL, "missing address");
		return;
	}
	if (s->where->endpoint.n >= sizeof sun.sun_path) {
		fail(s, "connect", "invalid argument");
		return;
	}
	fl_put_bytes(sun.sun_path, s->where->endpoint.p, s->where->endpoint.n);
	dial(s, (const struct sockaddr *)&sun, sizeof sun);
}

static void due(struct fl_timer *t)
{
	struct dnstap_sink *s = (struct dnstap_sink *)((char *)t - offsetof(struct dnstap_sink, timer));
	if (s->state == SINK_OFF)
		begin(s);
	else
		fail(s, s->state == SINK_ACCEPT ? "frame streams" : "connect", "i/o timeout");
}

void fl_dnstap_sink_drop(struct dnstap_sink *s) { fail(s, "write", "the reader is too slow"); }

/* ---- create, destroy ---- */

struct dnstap_sink *fl_dnstap_sink(struct fl_loop *l, const struct dnstap_where *w, int fd, struct fl_tls_server *tls)
{
	struct dnstap_sink *s = fl_xalloc(sizeof *s);
	s->loop = l;
	s->where = w;
	s->incoming = fd >= 0;
	s->io = (struct fl_io){ .fd = fd, .fn = event };
	s->timer.fn = due;
	s->session = tls ? fl_tls_session_create(tls, NULL, false, &wire, s) : NULL;
	s->cipher = tls ? fl_xalloc(CIPHER_ROOM) : NULL;
	return s;
}

void fl_dnstap_sink_start(struct dnstap_sink *s)
{
	if (!s->incoming)
		begin(s);
	else if (fl_loop_add(s->loop, &s->io, EPOLLIN))
		fail_errno(s, "accept", ENOMEM);
	else if (s->session)
		step(s, SINK_HELLO);
	else if (s->where->proto == DNSTAP_TLS)
		fail(s, "tls", "no certificate");
	else
		connected(s);
}

/* What is in the buffer, STOP, and the reader's FINISH: without blocking for longer than a reload may. */
static void goodbye(struct dnstap_sink *s)
{
	struct pollfd p = { .fd = s->io.fd, .events = POLLOUT };
	uint64_t end = fl_loop_tick(s->loop) + GOODBYE_MS * FL_MS;
	if (s->n > SINK_ROOM - 64)
		return;
	control(s, FSTRM_STOP);
	while (s->at < s->n && fl_loop_tick(s->loop) < end) {
		ssize_t n = write_some(s, s->out + s->at, s->n - s->at);
		if (n < 0 && n != -EAGAIN)
			return;
		if (n < 0 && poll(&p, 1, GOODBYE_MS) <= 0)
			return;
		s->at += n > 0 ? (size_t)n : 0;
	}
	if (s->session && cipher_out(s))
		return;
	p.events = POLLIN;
	if (s->at == s->n)
		poll(&p, 1, GOODBYE_MS);
}

void fl_dnstap_sink_destroy(struct dnstap_sink *s)
{
	if (!s)
		return;
	if (s->state == SINK_ON)
		goodbye(s);
	close_all(s);
	fl_tls_creds_put(s->creds);
	free(s->cipher);
	free(s);
}

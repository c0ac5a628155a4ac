#include "net/quic_client.h"
#include "net/quic_int.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { DIAL_S = 5, SILENCE_S = 1, IDLE_S = 30, READS = 32, BUFFER = 4096, CID = 8, BUDGET = 16 * 1024 * 1024 };

struct fl_quic_ask {
	struct line *line;
	struct fl_quic_stream *stream;          /* NULL: it waits for one */
	struct fl_quic_ask *prev, *next;        /* in line->waiting */
	void *user;
	bool reused, again;
	size_t n;
	uint8_t msg[];
};

/* A connection and its socket. */
struct line {
	struct fl_quic_conn c;                  /* first */
	struct fl_quic_client *client;
	struct line *prev, *next;
	struct fl_io io;
	struct fl_timer idle;
	struct sockaddr_in6 local;
	bool retiring;                          /* takes no new questions, closes with its last one */
	int error;                              /* of its socket */
	uint64_t born_ns;
	uint64_t mute_ns;                       /* the first question since something was heard; not behind c.heard_ns: none is waiting */
	unsigned asks;
	struct fl_quic_ask *first, *last;       /* that wait for a stream */
	uint8_t out[FL_QUIC_DATAGRAM];
};

struct fl_quic_client {
	struct fl_loop *loop;
	struct fl_quic_client_conf conf;
	struct fl_quic_client_stats stats;
	struct fl_quic_budget budget;
	struct line *now, *lines;               /* the one that takes questions; all */
	gnutls_datum_t session;                 /* to resume */
	char why[FL_QUIC_WHY];
	struct sockaddr_in6 local;
};

static struct line *line_of(struct fl_quic_conn *c) { return (struct line *)c; }

/* ---- questions ---- */

static void wait_for_stream(struct line *l, struct fl_quic_ask *a)
{
	a->line = l;
	a->stream = NULL;
	a->next = NULL;
	a->prev = l->last;
	*(l->last ? &l->last->next : &l->first) = a;
	l->last = a;
	l->asks++;
	if (l->c.heard_ns >= l->mute_ns)
		l->mute_ns = fl_loop_now(l->client->loop);
	fl_timer_clear(l->client->loop, &l->idle);
}

static void stop_waiting(struct fl_quic_ask *a)
{
	struct line *l = a->line;
	*(a->prev ? &a->prev->next : &l->first) = a->next;
	*(a->next ? &a->next->prev : &l->last) = a->prev;
}

/* The last question left: the connection idles, or ends. */
static void leave(struct line *l)
{
	struct fl_quic_client *c = l->client;
	if (--l->asks)
		return;
	uint64_t now = fl_loop_now(c->loop);
	fl_timer_set(c->loop, &l->idle, l->retiring ? now : now + c->conf.expire_ns);
}

static void finish(struct fl_quic_ask *a, int ret, const uint8_t *msg, size_t n)
{
	struct line *l = a->line;
	struct fl_quic_client *c = l->client;
	void *user = a->user;
	c->local = l->local;
	if (a->stream)
		a->stream->user = NULL;
	leave(l);
	free(a);
	c->conf.done(user, ret, msg, n);
}

/* Streams for those that wait, as many as the server allows. */
static void open_streams(struct fl_quic_conn *conn)
{
	struct line *l = line_of(conn);
	while (l->first && !conn->close) {
		struct fl_quic_ask *a = l->first;
		int64_t id;
		if (ngtcp2_conn_open_bidi_stream(conn->ng, &id, NULL))
			return;
		struct fl_quic_stream *s = fl_quic_stream_new(conn, id);
		uint8_t *frame = s ? fl_quic_resize(&conn->mem, NULL, a->n + 2) : NULL;
		if (!frame) {
			fl_quic_conn_close(conn, true, FL_DOQ_INTERNAL_ERROR, "cannot allocate memory");
			return;
		}
		ngtcp2_conn_set_stream_user_data(conn->ng, id, s);
		frame[0] = (uint8_t)(a->n >> 8);
		frame[1] = (uint8_t)a->n;
		memcpy(frame + 2, a->msg, a->n);
		stop_waiting(a);
		a->stream = s;
		s->user = a;
		fl_quic_stream_put(s, frame, a->n + 2);
	}
}

/* ---- the connection's side ---- */

static void message(struct fl_quic_stream *s, struct fl_str msg)
{
	struct fl_quic_ask *a = s->user;
	if (msg.n < 2 || msg.p[0] || msg.p[1])  /* RFC 9250 §4.2.1 */
		fl_quic_conn_close(s->conn, true, FL_DOQ_PROTOCOL_ERROR, "DNS-over-QUIC protocol error");
	else if (a)
		finish(a, 0, (const uint8_t *)msg.p, msg.n);
}

static void reset(struct fl_quic_stream *s, uint64_t code)
{
	struct line *l = line_of(s->conn);
	fl_quic_shutdown_write(s->conn->ng, s->id, FL_DOQ_REQUEST_CANCELLED);
	if (!s->user)
		return;
	snprintf(l->client->why, sizeof l->client->why, "stream %lld canceled by remote with error code %llu", (long long)s->id,
		 (unsigned long long)code);
	finish(s->user, -EPROTO, NULL, 0);
}

static void gone(struct fl_quic_stream *s)
{
	struct line *l = line_of(s->conn);
	if (!s->user)
		return;
	snprintf(l->client->why, sizeof l->client->why, "stream %lld ended without an answer", (long long)s->id);
	finish(s->user, -EPROTO, NULL, 0);
}

static bool opened(struct fl_quic_stream *s)    /* we allow none */
{
	s->deaf = true;
	return true;
}

static void handshaked(struct fl_quic_conn *c)
{
	line_of(c)->client->stats.resumed += gnutls_session_is_resumed(c->tls) != 0;
	open_streams(c);
}

static int new_cid(struct fl_quic_conn *c, ngtcp2_cid *cid, uint8_t *token)
{
	(void)c;
	(void)cid;
	return gnutls_rnd(GNUTLS_RND_NONCE, token, NGTCP2_STATELESS_RESET_TOKENLEN);
}

static void old_cid(struct fl_quic_conn *c, const ngtcp2_cid *cid)
{
	(void)c;
	(void)cid;
}

static uint8_t *room(struct fl_quic_conn *c) { return line_of(c)->out; }

static void send_it(struct fl_quic_conn *c, const ngtcp2_path *path, size_t n)
{
	struct line *l = line_of(c);
	(void)path;
	if (send(l->io.fd, l->out, n, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno != EAGAIN && errno != ENOBUFS)
		l->error = errno;
}

static void settle(struct line *l);
static void expired(struct fl_quic_conn *c) { settle(line_of(c)); }

static void more_streams(struct fl_quic_conn *c)
{
	if (c->state == FL_QUIC_OPEN)
		open_streams(c);
}

static const struct fl_quic_side client_side = {
	.message = message, .reset = reset, .gone = gone, .opened = opened, .handshaked = handshaked, .more_streams = more_streams,
	.new_cid = new_cid, .old_cid = old_cid, .room = room, .send = send_it, .expired = expired,
};

/* ---- the end of a connection ---- */

static void destroy(struct line *l)
{
	struct fl_quic_client *c = l->client;
	if (c->now == l)
		c->now = NULL;
	*(l->prev ? &l->prev->next : &c->lines) = l->next;
	if (l->next)
		l->next->prev = l->prev;
	fl_timer_clear(c->loop, &l->idle);
	fl_quic_conn_free(&l->c);
	if (l->io.fd >= 0) {
		fl_loop_del(c->loop, &l->io);
		close(l->io.fd);
	}
	free(l);
}

static int dial(struct fl_quic_client *c, struct line **to);

/* Where it had been kept open for a while, the server may just have let it go: those go over a new one, once. */
static bool once_more(struct fl_quic_ask *a)
{
	struct fl_quic_client *c = a->line->client;
	struct line *l = c->now;
	if (!a->reused || a->again || (!l && dial(c, &l)))
		return false;
	a->again = true;
	wait_for_stream(l, a);
	fl_timer_set(c->loop, &l->c.timer, fl_loop_now(c->loop));
	return true;
}

static void lost(struct line *l)
{
	struct fl_quic_client *c = l->client;
	int ret = l->error ? -l->error : !strncmp(l->c.why, "timeout", 7) ? -ETIMEDOUT : -EPROTO;
	struct fl_quic_ask *a;
	if (c->now == l)
		c->now = NULL;
	c->stats.protocol += l->c.close && l->c.app && l->c.code == FL_DOQ_PROTOCOL_ERROR;
	for (struct fl_quic_stream *s = l->c.all.first; s; s = s->next)
		if ((a = s->user)) {            /* back among those that wait: done() of one may cancel another */
			s->user = NULL;
			wait_for_stream(l, a);
			l->asks--;
		}
	while ((a = l->first)) {
		stop_waiting(a);
		l->asks--;
		if (once_more(a))
			continue;
		memcpy(c->why, l->c.why, sizeof c->why);
		c->local = l->local;
		void *user = a->user;
		free(a);
		c->conf.done(user, ret, NULL, 0);
	}
	destroy(l);
}

/* After ngtcp2 was told something: what it has to say, or the end. */
static void settle(struct line *l)
{
	if (l->c.state == FL_QUIC_OPEN)
		open_streams(&l->c);
	while (l->c.state != FL_QUIC_OVER && !l->error && fl_quic_conn_write(&l->c))
		;
	if (l->c.state == FL_QUIC_OVER || l->error)
		lost(l);
}

static void goodbye(struct line *l)
{
	fl_quic_conn_close(&l->c, true, FL_DOQ_NO_ERROR, "");
	fl_quic_conn_write(&l->c);
	destroy(l);
}

static void idled(struct fl_timer *t) { goodbye((struct line *)((char *)t - offsetof(struct line, idle))); }

/* ---- the socket ---- */

static void path_of(ngtcp2_path_storage *ps, struct line *l)
{
	const struct fl_quic_client_conf *f = &l->client->conf;
	ngtcp2_path_storage_init(ps, (struct sockaddr *)&l->local, f->addr_len, (const struct sockaddr *)&f->addr, f->addr_len, NULL);
}

static void readable(struct fl_io *io, uint32_t events)
{
	struct line *l = (struct line *)((char *)io - offsetof(struct line, io));
	ngtcp2_path_storage ps;
	uint8_t in[BUFFER];
	(void)events;
	path_of(&ps, l);
	for (int i = 0; i < READS && l->c.state != FL_QUIC_OVER && !l->c.close; i++) {
		ssize_t n = recv(io->fd, in, sizeof in, MSG_DONTWAIT);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			l->error = errno;
		if (n < 0)
			break;
		int ret = n ? fl_quic_conn_read(&l->c, &ps.path, in, (size_t)n) : 0;
		if (ret)
			fl_quic_conn_failed(&l->c, ret);
	}
	settle(l);
}

static int open_socket(struct line *l)
{
	const struct fl_quic_client_conf *f = &l->client->conf;
	socklen_t len = sizeof l->local;
	int one = 1, family = f->addr.sin6_family;
	l->io.fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (l->io.fd < 0)
		return -errno;
	if (family == AF_INET)
		setsockopt(l->io.fd, IPPROTO_IP, IP_RECVERR, &one, sizeof one);
	else
		setsockopt(l->io.fd, IPPROTO_IPV6, IPV6_RECVERR, &one, sizeof one);
	if ((f->source_len && bind(l->io.fd, (const struct sockaddr *)&f->source, f->source_len)) ||
	    connect(l->io.fd, (const struct sockaddr *)&f->addr, f->addr_len) || getsockname(l->io.fd, (struct sockaddr *)&l->local, &len))
		return -errno;
	l->io.fn = readable;
	return fl_loop_add(l->client->loop, &l->io, EPOLLIN);
}

/* ---- dialling ---- */

/* A ticket came: the next connection resumes this session. */
static int ticket(gnutls_session_t s, unsigned type, unsigned post, unsigned incoming, const gnutls_datum_t *msg)
{
	ngtcp2_crypto_conn_ref *ref = gnutls_session_get_ptr(s);
	struct fl_quic_client *c = line_of((struct fl_quic_conn *)((char *)ref - offsetof(struct fl_quic_conn, ref)))->client;
	gnutls_datum_t d;
	(void)type;
	(void)post;
	(void)msg;
	if (incoming && gnutls_session_get_data2(s, &d) >= 0) {
		gnutls_free(c->session.data);
		c->session = d;
	}
	return 0;
}

static int prepare(void *arg, gnutls_session_t s)
{
	struct line *l = arg;
	struct fl_quic_client *c = l->client;
	int ret = c->conf.tls(c->conf.arg, s);
	if (ret >= 0 && c->session.size)
		ret = gnutls_session_set_data(s, c->session.data, c->session.size);
	gnutls_handshake_set_hook_function(s, GNUTLS_HANDSHAKE_NEW_SESSION_TICKET, GNUTLS_HOOK_POST, ticket);
	return ret;
}

static int open_conn(struct line *l)
{
	struct fl_quic_client *c = l->client;
	ngtcp2_settings settings;
	ngtcp2_transport_params params;
	ngtcp2_path_storage ps;
	ngtcp2_cid dcid = { .datalen = FL_QUIC_CID }, scid = { .datalen = CID };
	fl_quic_conn_init(&l->c, c->loop, &fl_quic_doq, &client_side, &c->budget);
	l->c.name = c->conf.name;
	fl_quic_defaults(&l->c, &settings, &params);
	settings.handshake_timeout = DIAL_S * FL_SEC;
	params.max_idle_timeout = c->conf.expire_ns > IDLE_S * FL_SEC ? c->conf.expire_ns : IDLE_S * FL_SEC;
	gnutls_rnd(GNUTLS_RND_NONCE, dcid.data, dcid.datalen);
	gnutls_rnd(GNUTLS_RND_NONCE, scid.data, scid.datalen);
	path_of(&ps, l);
	if (ngtcp2_conn_client_new(&l->c.ng, &dcid, &scid, &ps.path, NGTCP2_PROTO_VER_V1, &fl_quic_callbacks, &settings, &params, &l->c.mem.ng,
				   &l->c))
		return -ENOMEM;
	return fl_quic_tls_open(&l->c, false, prepare, l) < 0 ? -ENOMEM : 0;
}

static int dial(struct fl_quic_client *c, struct line **to)
{
	struct line *l = calloc(1, sizeof *l);
	if (!l)
		return -ENOMEM;
	l->client = c;
	l->c.loop = c->loop;
	l->io.fd = -1;
	l->idle.fn = idled;
	l->born_ns = fl_loop_now(c->loop);
	l->next = c->lines;
	if (l->next)
		l->next->prev = l;
	c->lines = l;
	int ret = open_socket(l);
	ret = ret ? ret : open_conn(l);
	if (ret) {
		destroy(l);
		return ret;
	}
	c->stats.conns++;
	*to = c->now = l;
	return 0;
}

/* ---- the client ---- */

struct fl_quic_client *fl_quic_client_create(struct fl_loop *l, const struct fl_quic_client_conf *conf)
{
	struct fl_quic_client *c = calloc(1, sizeof *c);
	if (!c)
		return NULL;
	c->loop = l;
	c->conf = *conf;
	c->budget.limit = BUDGET;
	return c;
}

static void forget_asks(struct line *l)
{
	for (struct fl_quic_stream *s = l->c.all.first; s; s = s->next) {
		free(s->user);
		s->user = NULL;
	}
	while (l->first) {
		struct fl_quic_ask *a = l->first;
		stop_waiting(a);
		free(a);
	}
}

void fl_quic_client_destroy(struct fl_quic_client *c)
{
	if (!c)
		return;
	while (c->lines) {
		forget_asks(c->lines);
		goodbye(c->lines);
	}
	gnutls_free(c->session.data);
	free(c);
}

int fl_quic_client_ask(struct fl_quic_client *c, const uint8_t *msg, size_t n, void *user, struct fl_quic_ask **to, bool *reused)
{
	struct line *l = c->now;
	if (n < 2 || n > UINT16_MAX)
		return -EMSGSIZE;
	if (l && c->conf.max_age_ns && fl_loop_now(c->loop) - l->born_ns >= c->conf.max_age_ns) {
		l->retiring = true;
		c->now = NULL;
		if (!l->asks)
			fl_timer_set(c->loop, &l->idle, fl_loop_now(c->loop));
		l = NULL;
	}
	if (l && (l->c.close || l->c.state == FL_QUIC_OVER))
		c->now = l = NULL;
	bool open = l && l->c.state == FL_QUIC_OPEN, fresh = !l;
	struct fl_quic_ask *a = calloc(1, sizeof *a + n);
	int ret = a ? 0 : -ENOMEM;
	if (!ret && !l)
		ret = dial(c, &l);
	if (ret) {
		free(a);
		return ret;
	}
	a->user = user;
	a->reused = open;
	*reused = !fresh;
	a->n = n;
	memcpy(a->msg, msg, n);
	a->msg[0] = a->msg[1] = 0;
	wait_for_stream(l, a);
	*to = a;
	if (!l->c.busy)                         /* on the next turn, with others: done() must not come from here */
		fl_timer_set(c->loop, &l->c.timer, fl_loop_now(c->loop));
	return 0;
}

/* Nothing was heard since a question was asked long enough ago, be it given up or not: the other end may have gone without a word. */
static bool silent(const struct line *l)
{
	return l->c.state == FL_QUIC_OPEN && l->c.heard_ns < l->mute_ns && fl_loop_now(l->client->loop) - l->mute_ns >= SILENCE_S * FL_SEC;
}

void fl_quic_client_cancel(struct fl_quic_ask *a)
{
	struct line *l = a->line;
	struct fl_quic_stream *s = a->stream;
	if (silent(l)) {
		l->retiring = true;
		if (l->client->now == l)
			l->client->now = NULL;
	}
	if (s) {
		s->user = NULL;
		s->deaf = true;
		fl_quic_shutdown(l->c.ng, s->id, FL_DOQ_REQUEST_CANCELLED);
		if (!l->c.busy)
			fl_timer_set(l->client->loop, &l->c.timer, fl_loop_now(l->client->loop));
	} else {
		stop_waiting(a);
	}
	leave(l);
	free(a);
}

const char *fl_quic_client_why(const struct fl_quic_client *c) { return c->why; }
const struct sockaddr_in6 *fl_quic_client_local(const struct fl_quic_client *c) { return &c->local; }
const struct fl_quic_client_stats *fl_quic_client_stats(const struct fl_quic_client *c) { return &c->stats; }

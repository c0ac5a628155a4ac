/* Questions over TLS, HTTPS and gRPC, to servers on threads of this program that do it right, and wrong in every way. */
#include "../loopback.h"
#include "asked.h"
#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>
#include "pki.h"

enum { ASKS = 300, CONNS = 40, STREAMS = 512 };

static struct pki pki, other, old;

/* ---- a server: one thread, all its connections ---- */

enum how { WELL, LATE, WRONG_NAME, GARBAGE, CLOSES, SILENT, PLAIN, STATUS, TYPE, HUGE, EMPTY, ZIPPED, REFUSES, RESETS, GOAWAY, HEADERS, NOT_FOUND,
	   UNAVAILABLE, NO_TRAILERS, BAD_FRAME };

struct conn {
	int fd;
	struct server *server;
	gnutls_session_t tls;
	bool open;
	nghttp2_session *h2;
	uint8_t in[65540]; size_t n;
	struct stream { int32_t id; uint8_t body[MSG]; size_t n, at, total; uint8_t out[80000]; bool trailers; } *stream[STREAMS];
	unsigned nstreams;
};

struct server {
	int fd;
	uint16_t port;
	const struct pki *pki;                  /* NULL: no TLS */
	const char *alpn;
	bool grpc, get;
	enum how how;                           /* atomic */
	bool quit;                              /* atomic */
	unsigned conns, resumed, questions, padded;    /* atomic */
	char path[200], authority[64];
	pthread_t thread;
	gnutls_certificate_credentials_t cred;
	gnutls_datum_t ticket_key;
	struct conn *conn[CONNS];
	unsigned n;
};

static enum how how(struct server *s) { return __atomic_load_n(&s->how, __ATOMIC_ACQUIRE); }
static void behave(struct server *s, enum how h) { __atomic_store_n(&s->how, h, __ATOMIC_RELEASE); }

static void put(struct conn *c, const void *p, size_t n)
{
	while (n) {
		ssize_t done = c->tls ? gnutls_record_send(c->tls, p, n) : send(c->fd, p, n, MSG_NOSIGNAL);
		if (done == GNUTLS_E_AGAIN || (!c->tls && done < 0 && errno == EAGAIN)) {
			usleep(200);
			continue;
		}
		if (done <= 0)
			return;
		p = (const char *)p + done;
		n -= (size_t)done;
	}
}

/* The question as an answer without records; lies as it is told to. */
static void make_reply(struct server *s, uint8_t *m)
{
	__atomic_fetch_add(&s->questions, 1, __ATOMIC_RELAXED);
	m[2] |= 0x80;
	if (how(s) == WRONG_NAME)
		m[HEAD + 1] ^= 1;
}

static bool serve_dot(struct conn *c)
{
	struct server *s = c->server;
	while (c->n >= 2) {
		size_t len = (size_t)c->in[0] << 8 | c->in[1];
		if (c->n < 2 + len)
			return true;
		make_reply(s, c->in + 2);
		if (how(s) == CLOSES)
			return false;
		if (how(s) == WELL || how(s) == WRONG_NAME)
			put(c, c->in, 2 + len);
		c->n -= 2 + len;
		memmove(c->in, c->in + 2 + len, c->n);
	}
	return true;
}

/* ---- HTTP/2 ---- */

static int on_begin(nghttp2_session *ng, const nghttp2_frame *f, void *arg)
{
	struct conn *c = arg;
	struct stream *st = calloc(1, sizeof *st);
	st->id = f->hd.stream_id;
	assert_true(c->nstreams < STREAMS);
	c->stream[c->nstreams++] = st;
	nghttp2_session_set_stream_user_data(ng, st->id, st);
	return 0;
}

static uint8_t from64(char c)
{
	static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	return (uint8_t)(strchr(set, c) - set);
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *f, const uint8_t *name, size_t nn, const uint8_t *v, size_t vn, uint8_t flags,
	void *arg)
{
	struct conn *c = arg;
	struct stream *st = nghttp2_session_get_stream_user_data(ng, f->hd.stream_id);
	(void)flags;
	if (nn == 10 && !memcmp(name, ":authority", 10))
		snprintf(c->server->authority, sizeof c->server->authority, "%.*s", (int)vn, v);
	if (nn != 5 || memcmp(name, ":path", 5))
		return 0;
	snprintf(c->server->path, sizeof c->server->path, "%.*s", (int)vn, v);
	static const char get[] = "/dns-query?dns=";
	if (!st || vn < sizeof get || memcmp(v, get, sizeof get - 1))
		return 0;
	uint32_t bits = 0, have = 0;
	for (size_t i = sizeof get - 1; i < vn; i++) {
		bits = bits << 6 | from64((char)v[i]);
		have += 6;
		if (have >= 8) {
			have -= 8;
			st->body[st->n++] = (uint8_t)(bits >> have);
		}
	}
	return 0;
}

static int on_data(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *arg)
{
	struct stream *st = nghttp2_session_get_stream_user_data(ng, id);
	(void)flags, (void)arg;
	if (st) {
		n = n < MSG - st->n ? n : MSG - st->n;  /* the front of what is longer */
		memcpy(st->body + st->n, p, n);
		st->n += n;
	}
	return 0;
}

#define NV(n, v) { (uint8_t *)(uintptr_t)(n), (uint8_t *)(uintptr_t)(v), strlen(n), strlen(v), 0 }

static ssize_t on_body(nghttp2_session *ng, int32_t id, uint8_t *to, size_t cap, uint32_t *flags, nghttp2_data_source *src, void *arg)
{
	struct stream *st = src->ptr;
	size_t n = st->total - st->at < cap ? st->total - st->at : cap;
	(void)arg;
	memcpy(to, st->out + st->at, n);
	st->at += n;
	if (st->at < st->total)
		return (ssize_t)n;
	*flags |= NGHTTP2_DATA_FLAG_EOF;
	if (st->trailers) {
		nghttp2_nv nv[] = { NV("grpc-status", "0") };
		*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
		nghttp2_submit_trailer(ng, id, nv, 1);
	}
	return (ssize_t)n;
}

/* The body of the answer: the message as it is, or in DnsPacket behind gRPC's frame; a field that nobody knows before it. */
static void fill(struct server *s, struct stream *st)
{
	size_t skip = 0;
	if (s->grpc) {
		static const uint8_t unknown[] = { 0x10, 0x96, 0x01, 0x1a, 2, 'h', 'i' };       /* varint, bytes */
		skip = 5 + 1 + (st->body[6] & 0x80 ? 2 : 1);
		size_t n = st->n - skip, all = sizeof unknown + st->n - 5;
		make_reply(s, st->body + skip);
		st->out[4] = (uint8_t)all, st->out[3] = (uint8_t)(all >> 8);
		if (how(s) == BAD_FRAME)
			st->out[4]++;
		memcpy(st->out + 5, unknown, sizeof unknown);
		memcpy(st->out + 5 + sizeof unknown, st->body + 5, st->n - 5);
		st->total = 5 + all;
		(void)n;
	} else {
		make_reply(s, st->body);
		memcpy(st->out, st->body, st->n);
		st->total = how(s) == HUGE ? sizeof st->out : how(s) == EMPTY ? 0 : st->n;
	}
}

static void respond(struct conn *c, struct stream *st)
{
	struct server *s = c->server;
	enum how h = how(s);
	static char big[60000];
	memset(big, 'x', sizeof big - 1);
	nghttp2_nv nv[4] = { NV(":status", h == STATUS ? "404" : "200"),
		NV("content-type", s->grpc ? "application/grpc+proto" : h == TYPE ? "text/html" : "application/dns-message"),
		NV("content-encoding", "gzip"), NV("x", big) };
	nghttp2_nv failed[4] = { nv[0], nv[1], NV("grpc-status", h == NOT_FOUND ? "5" : "14"), NV("grpc-message", "no backend") };
	unsigned n = h == HEADERS ? 4 : h == ZIPPED ? 3 : 2;
	nghttp2_data_provider body = { .source.ptr = st, .read_callback = on_body };
	if (h == LATE || h == SILENT)
		return;
	if (h == REFUSES || h == RESETS) {
		nghttp2_submit_rst_stream(c->h2, 0, st->id, h == REFUSES ? NGHTTP2_REFUSED_STREAM : NGHTTP2_INTERNAL_ERROR);
		behave(s, h == REFUSES ? WELL : RESETS);
		return;
	}
	if (h == GOAWAY) {                      /* this stream was not looked at */
		nghttp2_submit_goaway(c->h2, 0, st->id - 2 > 0 ? st->id - 2 : 0, NGHTTP2_NO_ERROR, NULL, 0);
		behave(s, WELL);
		return;
	}
	if (h == NOT_FOUND || h == UNAVAILABLE) {
		nghttp2_submit_response(c->h2, st->id, failed, 4, NULL);
		return;
	}
	fill(s, st);
	st->trailers = s->grpc && h != NO_TRAILERS;
	nghttp2_submit_response(c->h2, st->id, nv, n, &body);
}

static int on_frame(nghttp2_session *ng, const nghttp2_frame *f, void *arg)
{
	struct stream *st = nghttp2_session_get_stream_user_data(ng, f->hd.stream_id);
	if (st && (f->hd.type == NGHTTP2_DATA || f->hd.type == NGHTTP2_HEADERS) && f->hd.flags & NGHTTP2_FLAG_END_STREAM)
		respond(arg, st);
	return 0;
}

static void h2_open(struct conn *c)
{
	nghttp2_session_callbacks *cb;
	nghttp2_settings_entry limit = { NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 100 };
	nghttp2_session_callbacks_new(&cb);
	nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin);
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
	nghttp2_session_server_new(&c->h2, cb, c);
	nghttp2_session_callbacks_del(cb);
	nghttp2_submit_settings(c->h2, 0, &limit, 1);
}

static bool serve_h2(struct conn *c)
{
	const uint8_t *p;
	ssize_t n = nghttp2_session_mem_recv(c->h2, c->in, c->n);
	c->n = 0;
	if (n < 0)
		return false;
	while ((n = nghttp2_session_mem_send(c->h2, &p)) > 0)
		put(c, p, (size_t)n);
	return how(c->server) != CLOSES && nghttp2_session_want_read(c->h2);
}

/* ---- its connections ---- */

static struct conn *meet(struct server *s)
{
	struct conn *c = calloc(1, sizeof *c);
	c->server = s;
	c->fd = accept4(s->fd, NULL, NULL, SOCK_NONBLOCK);
	__atomic_fetch_add(&s->conns, 1, __ATOMIC_RELAXED);
	if (!s->pki)
		return c;
	gnutls_init(&c->tls, GNUTLS_SERVER | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL);
	gnutls_set_default_priority(c->tls);
	gnutls_credentials_set(c->tls, GNUTLS_CRD_CERTIFICATE, s->cred);
	gnutls_session_ticket_enable_server(c->tls, &s->ticket_key);
	if (s->alpn) {
		gnutls_datum_t proto = { (unsigned char *)(uintptr_t)s->alpn, (unsigned)strlen(s->alpn) };
		gnutls_alpn_set_protocols(c->tls, &proto, 1, 0);
	}
	gnutls_transport_set_int(c->tls, c->fd);
	return c;
}

static void part(struct conn *c)
{
	if (c->tls)
		gnutls_deinit(c->tls);
	nghttp2_session_del(c->h2);
	for (unsigned i = 0; i < c->nstreams; i++)
		free(c->stream[i]);
	close(c->fd);
	free(c);
}

/* false: the connection ends. */
static bool turn(struct conn *c)
{
	struct server *s = c->server;
	if (how(s) == PLAIN) {
		uint8_t hello[4096];
		while (recv(c->fd, hello, sizeof hello, 0) > 0)
			;
		send(c->fd, "HTTP/1.1 400 Bad Request\r\n\r\n", 28, MSG_NOSIGNAL);
		return false;
	}
	if (!c->open) {
		if (how(s) == SILENT)
			return true;
		int ret = c->tls ? gnutls_handshake(c->tls) : 0;
		if (ret < 0)
			return !gnutls_error_is_fatal(ret);
		c->open = true;
		if (c->tls && gnutls_session_is_resumed(c->tls))
			__atomic_fetch_add(&s->resumed, 1, __ATOMIC_RELAXED);
		if (s->grpc || s->alpn)
			h2_open(c);
	}
	for (;;) {
		ssize_t n = c->tls ? gnutls_record_recv(c->tls, c->in + c->n, sizeof c->in - c->n)
				   : recv(c->fd, c->in + c->n, sizeof c->in - c->n, 0);
		if (n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED || (!c->tls && n < 0 && errno == EAGAIN))
			return true;
		if (n <= 0)
			return false;
		c->n += (size_t)n;
		if (!(c->h2 ? serve_h2(c) : serve_dot(c)))
			return false;
	}
}

static void *run(void *arg)
{
	struct server *s = arg;
	while (!__atomic_load_n(&s->quit, __ATOMIC_ACQUIRE)) {
		struct pollfd p[CONNS + 1] = { { s->fd, POLLIN, 0 } };
		for (unsigned i = 0; i < s->n; i++)
			p[i + 1] = (struct pollfd){ s->conn[i]->fd, POLLIN, 0 };
		unsigned n = s->n;
		if (poll(p, n + 1, 10) <= 0)
			continue;
		for (unsigned i = n; i-- > 0;)
			if (p[i + 1].revents && !turn(s->conn[i])) {
				part(s->conn[i]);
				s->conn[i] = s->conn[--s->n];
			}
		if (p[0].revents && s->n < CONNS)
			s->conn[s->n++] = meet(s);
	}
	return NULL;
}

static void start_server(struct server *s)
{
	s->fd = listening(&s->port);
	if (s->pki) {
		gnutls_certificate_allocate_credentials(&s->cred);
		gnutls_certificate_set_x509_key_mem(s->cred, &s->pki->cert, &s->pki->key, GNUTLS_X509_FMT_PEM);
		gnutls_session_ticket_key_generate(&s->ticket_key);
	}
	assert_int_equal(pthread_create(&s->thread, NULL, run, s), 0);
}

static void stop_server(struct server *s)
{
	__atomic_store_n(&s->quit, true, __ATOMIC_RELEASE);
	pthread_join(s->thread, NULL);
	while (s->n)
		part(s->conn[--s->n]);
	if (s->cred)
		gnutls_certificate_free_credentials(s->cred);
	gnutls_free(s->ticket_key.data);
	close(s->fd);
}

/* ---- who asks ---- */

static struct world {
	struct fl_loop *loop;
	struct asked ask[ASKS];
	struct fl_timer limit;
	int left;
} w;

static void on_reply(struct fl_up_ask *a, int ret, const uint8_t *msg, size_t n)
{
	on_done(a, ret, msg, n);
	if (!--w.left)
		fl_loop_stop(w.loop);
}

static void hung(struct fl_timer *t) { (void)t; fail_msg("no answer"); }

static void open_world(const struct server *s, struct fl_up_conf c, const struct pki *trust)
{
	struct fl_err e;
	const struct sockaddr_in at = loopback(s->port);
	memset(&w, 0, sizeof w);
	w.loop = fl_loop_create();
	c.authority = c.authority ? c.authority : up_name;
	c.tls_name = c.tls_name ? c.tls_name : "127.0.0.1";
	if (trust) {
		struct fl_tls_trust t = { .ca = { (const char *)trust->ca.data, trust->ca.size } };
		c.creds = fl_tls_creds_create(&t, &e);
		assert_non_null(c.creds);
	}
	open_upstream(w.loop, &at, c);
	fl_tls_creds_put(c.creds);
}

static void close_world(void)
{
	fl_timer_clear(w.loop, &w.limit);
	close_upstream();
	fl_loop_destroy(w.loop);
}

static void ask(unsigned i, uint64_t ns)
{
	struct asked *x = &w.ask[i];
	*x = (struct asked){ 0 };
	put_question(x);
	x->a.done = on_reply;
	w.left++;
	assert_int_equal(fl_upstream_ask(up, &x->a, false, ns), 0);
}

static void settle(void)
{
	w.limit.fn = hung;
	fl_timer_set(w.loop, &w.limit, fl_loop_tick(w.loop) + 60 * FL_SEC);
	if (w.left)
		fl_loop_run(w.loop);
	fl_timer_clear(w.loop, &w.limit);
}

static struct asked *one(void)
{
	ask(0, 30 * FL_SEC);
	settle();
	assert_int_equal(w.ask[0].done, 1);
	return &w.ask[0];
}

static void assert_good(const struct asked *x)
{
	if (x->ret)
		fail_msg("%s", x->why);
	assert_int_equal(x->n, HEAD + sizeof question);
	assert_memory_equal(x->reply + HEAD, question, sizeof question);
}

/* ---- TLS ---- */

static void test_tls(void **state)
{
	struct server s = { .pki = &pki };
	(void)state;
	start_server(&s);
	open_world(&s, (struct fl_up_conf){ .kind = FL_UP_TLS }, &pki);
	for (unsigned i = 0; i < ASKS; i++)
		ask(i, 30 * FL_SEC);
	settle();
	for (unsigned i = 0; i < ASKS; i++)
		assert_good(&w.ask[i]);
	assert_true(s.conns <= 32);
	unsigned conns = s.conns;
	assert_good(one());
	assert_int_equal(s.conns, conns);       /* on a kept connection */
	assert_true(w.ask[0].a.reused);
	close_world();
	stop_server(&s);
}

/* max_age 1 ns: each question gets a connection of its own; the second resumes the session of the first. */
static void test_resumed(void **state)
{
	struct server s = { .pki = &pki };
	(void)state;
	start_server(&s);
	open_world(&s, (struct fl_up_conf){ .kind = FL_UP_TLS, .max_age_ns = 1, .expire_ns = FL_SEC }, &pki);
	for (int i = 0; i < 3; i++)             /* the ticket comes with the handshake, before the answer */
		assert_good(one());
	assert_int_equal(s.conns, 3);
	assert_int_equal(fl_upstream_stats(up)->conns, 3);
	assert_int_equal(s.resumed, 2);
	assert_int_equal(fl_upstream_stats(up)->resumed, 2);
	close_world();
	stop_server(&s);
}

static void expect_tls(const struct pki *has, const struct pki *trust, const char *name, enum how h, int ret, const char *words)
{
	struct server s = { .pki = has, .how = h };
	start_server(&s);
	open_world(&s, (struct fl_up_conf){ .kind = FL_UP_TLS, .tls_name = name }, trust);
	struct asked *x = one();
	assert_int_equal(x->ret, ret);
	if (!strstr(x->why, words))
		fail_msg("%s, not %s", x->why, words);
	close_world();
	stop_server(&s);
}

static void test_tls_broken(void **state)
{
	(void)state;
	expect_tls(&pki, &pki, "api.test", WELL, 0, "");
	expect_tls(&pki, &pki, "other.test", WELL, -EPROTO, "certificate is valid for api.test, not other.test");
	expect_tls(&pki, &other, NULL, WELL, -EPROTO, "certificate signed by unknown authority");
	expect_tls(&old, &old, NULL, WELL, -EPROTO, "certificate has expired");
	expect_tls(&pki, &pki, NULL, PLAIN, -EPROTO, "first record does not look like a TLS handshake");
	expect_tls(&pki, &pki, NULL, CLOSES, -ENODATA, "EOF");         /* after the question */
}

/* A server that accepts and says nothing, one that says nothing after the handshake, an answer to another question. */
static void test_tls_silent(void **state)
{
	struct server s = { .pki = &pki, .how = SILENT };
	(void)state;
	start_server(&s);
	open_world(&s, (struct fl_up_conf){ .kind = FL_UP_TLS }, &pki);
	ask(0, 50 * FL_MS);
	settle();
	assert_int_equal(w.ask[0].ret, -ETIMEDOUT);
	assert_string_equal(w.ask[0].why, "context deadline exceeded");        /* as crypto/tls says it of a handshake */
	behave(&s, WELL);
	close_world();
	stop_server(&s);

	s = (struct server){ .pki = &pki, .how = WRONG_NAME };
	start_server(&s);
	open_world(&s, (struct fl_up_conf){ .kind = FL_UP_TLS }, &pki);
	ask(0, 2 * FL_SEC);
	settle();
	assert_int_equal(w.ask[0].ret, -ETIMEDOUT);
	assert_int_equal(fl_upstream_stats(up)->wrong, 1);
	behave(&s, WELL);
	assert_good(one());
	close_world();
	stop_server(&s);
}

static void test_idle_limit(void **state)
{
	struct server s = { .pki = &pki };
	(void)state;
	start_server(&s);
	open_world(&s, (struct fl_up_conf){ .kind = FL_UP_TLS, .max_idle = 1 }, &pki);
	for (unsigned i = 0; i < 40; i++)
		ask(i, 30 * FL_SEC);
	settle();
	assert_true(s.conns > 1);
	unsigned conns = s.conns;
	assert_good(one());
	assert_int_equal(s.conns, conns);
	for (unsigned i = 0; i < 8; i++)
		ask(i, 30 * FL_SEC);
	settle();
	assert_true(s.conns > conns);           /* the others had been closed */
	close_world();
	stop_server(&s);
}

/* ---- HTTPS ---- */

static void many(struct server *s, unsigned conns)
{
	for (unsigned i = 0; i < ASKS; i++)
		ask(i, 30 * FL_SEC);
	fl_upstream_cancel(&w.ask[7].a);
	w.left--;
	settle();
	for (unsigned i = 0; i < ASKS; i++)
		if (i != 7)
			assert_good(&w.ask[i]);
	assert_int_equal(w.ask[7].done, 0);
	assert_true(s->conns <= conns);
}

static void test_https(void **state)
{
	(void)state;
	for (int get = 0; get < 2; get++) {
		struct server s = { .pki = &pki, .alpn = "h2" };
		start_server(&s);
		open_world(&s, (struct fl_up_conf){ .kind = FL_UP_HTTPS, .get = get, .tls_name = "api.test", .authority = "doh.test" }, &pki);
		assert_good(one());
		assert_int_equal(w.ask[0].reply[0], 0);         /* RFC 8484 §4.1 */
		assert_int_equal(w.ask[0].reply[1], 0);
		assert_string_equal(s.authority, "doh.test");
		assert_string_equal(s.path, get ? "/dns-query?dns=AAAAAAABAAAAAAAAA1d3VwF4AAABAAE" : "/dns-query");
		many(&s, 4);
		close_world();
		stop_server(&s);
	}
}

/* A question that no header holds goes by POST. */
static void test_https_get_large(void **state)
{
	static uint8_t room[FL_UP_ROOM + 65535];
	struct server s = { .pki = &pki, .alpn = "h2" };
	(void)state;
	start_server(&s);
	open_world(&s, (struct fl_up_conf){ .kind = FL_UP_HTTPS, .get = true }, &pki);
	for (unsigned kept = 0; kept < 2; kept++) {
		struct asked *x = &w.ask[0];
		*x = (struct asked){ .a = { .msg = room + FL_UP_ROOM, .len = 65535, .question = sizeof question, .done = on_reply } };
		x->a.msg[5] = 1;
		memcpy(x->a.msg + HEAD, question, sizeof question);
		w.left++;
		assert_int_equal(fl_upstream_ask(up, &x->a, false, 30 * FL_SEC), 0);
		assert_int_equal(x->done, 0);
		settle();
		assert_string_equal(x->why, "");
		assert_int_equal(x->done, 1);
		assert_string_equal(s.path, "/dns-query");
		assert_good(one());
		assert_true(strlen(s.path) > 20);
	}
	close_world();
	stop_server(&s);
}

/* ret 1: some error. */
static void expect_h2(bool grpc, enum how h, int ret, const char *words)
{
	struct server s = { .pki = &pki, .alpn = "h2", .grpc = grpc };
	start_server(&s);
	open_world(&s, (struct fl_up_conf){ .kind = grpc ? FL_UP_GRPC : FL_UP_HTTPS }, &pki);
	assert_good(one());
	behave(&s, h);
	struct asked *x = one();
	if ((ret > 0 ? !x->ret : x->ret != ret) || !strstr(x->why, words))
		fail_msg("%d %s, not %d %s", x->ret, x->why, ret, words);
	behave(&s, WELL);
	assert_good(one());
	close_world();
	stop_server(&s);
}

static void test_https_broken(void **state)
{
	(void)state;
	expect_h2(false, STATUS, -EPROTO, "dns-query\": unexpected HTTP status 404");
	expect_h2(false, TYPE, -EPROTO, "unexpected content-type \"text/html\"");
	expect_h2(false, HUGE, -EPROTO, "response body too large");
	expect_h2(false, EMPTY, -EPROTO, "empty response body");
	expect_h2(false, ZIPPED, -EPROTO, "unexpected content-encoding");
	expect_h2(false, WRONG_NAME, -EPROTO, "reply is no answer");
	expect_h2(false, RESETS, -EPROTO, "INTERNAL_ERROR");
	expect_h2(false, HEADERS, -EPROTO, "");
	expect_h2(false, REFUSES, 0, "");       /* asked again, on the asker's behalf */
	expect_h2(false, GOAWAY, 0, "");
	expect_h2(false, CLOSES, 1, "");        /* on the kept one, and on the one that took its place */
}

static void test_https_other(void **state)
{
	struct server s = { .pki = &pki, .alpn = "http/1.1" };
	(void)state;
	start_server(&s);
	open_world(&s, (struct fl_up_conf){ .kind = FL_UP_HTTPS }, &pki);
	struct asked *x = one();
	assert_int_equal(x->ret, -EPROTO);
	close_world();
	stop_server(&s);
	s = (struct server){ .pki = &pki, .alpn = "h2", .how = LATE };
	start_server(&s);
	open_world(&s, (struct fl_up_conf){ .kind = FL_UP_HTTPS }, &pki);
	ask(0, 50 * FL_MS);
	settle();
	assert_int_equal(w.ask[0].ret, -ETIMEDOUT);
	assert_non_null(strstr(w.ask[0].why, "dns-query\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)"));
	behave(&s, WELL);
	assert_good(one());
	close_world();
	stop_server(&s);
}

/* ---- gRPC ---- */

static void expect_grpc(struct server *s, const struct pki *trust, uint64_t timeout_ns, int ret, const char *words)
{
	start_server(s);
	open_world(s, (struct fl_up_conf){ .kind = FL_UP_GRPC }, trust);
	ask(0, timeout_ns);
	settle();
	assert_int_equal(w.ask[0].ret, ret);
	assert_string_equal(w.ask[0].why, words);
	close_world();
	stop_server(s);
}

/* As grpc-go says it: people grep by these. */
static void test_grpc_words(void **state)
{
	(void)state;
	struct server untrusted = { .pki = &pki, .alpn = "h2", .grpc = true };
	expect_grpc(&untrusted, &other, FL_SEC, -EPROTO,
		    "rpc error: code = Unavailable desc = connection error: desc = \"transport: authentication handshake failed: tls: failed to "
		    "verify certificate: x509: certificate signed by unknown authority\"");
	struct server late = { .pki = &pki, .alpn = "h2", .grpc = true, .how = LATE };
	expect_grpc(&late, &pki, 50 * FL_MS, -ETIMEDOUT, "rpc error: code = DeadlineExceeded desc = context deadline exceeded");
	struct server silent = { .pki = &pki, .alpn = "h2", .grpc = true, .how = SILENT };
	expect_grpc(&silent, &pki, 50 * FL_MS, -ETIMEDOUT,
		    "rpc error: code = DeadlineExceeded desc = context deadline exceeded while waiting for connections to become ready");
}

static void test_grpc(void **state)
{
	(void)state;
	for (int tls = 0; tls < 2; tls++) {
		struct server s = { .pki = tls ? &pki : NULL, .alpn = tls ? "h2" : NULL, .grpc = true };
		start_server(&s);
		open_world(&s, (struct fl_up_conf){ .kind = FL_UP_GRPC }, tls ? &pki : NULL);
		assert_good(one());
		assert_string_equal(s.path, "/coredns.dns.DnsService/Query");
		many(&s, 4);
		close_world();
		stop_server(&s);
	}
	expect_h2(true, NOT_FOUND, -ENOENT, "");
	expect_h2(true, UNAVAILABLE, -EPROTO, "rpc error: code = Unavailable desc = no backend");
	expect_h2(true, NO_TRAILERS, -EPROTO, "without sending trailers");
	expect_h2(true, BAD_FRAME, -EPROTO, "malformed message");
	expect_h2(true, STATUS, -EPROTO, "unexpected HTTP status 404");
}

static int group_up(void **state)
{
	(void)state;
	make_pki(&pki);
	make_pki(&other);
	make_pki_until(&old, time(NULL) - 3600);
	return 0;
}

static int group_down(void **state)
{
	(void)state;
	free_pki(&pki);
	free_pki(&other);
	free_pki(&old);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tls), cmocka_unit_test(test_resumed), cmocka_unit_test(test_tls_broken), cmocka_unit_test(test_tls_silent),
		cmocka_unit_test(test_idle_limit), cmocka_unit_test(test_https), cmocka_unit_test(test_https_get_large), cmocka_unit_test(test_https_broken),
		cmocka_unit_test(test_https_other), cmocka_unit_test(test_grpc), cmocka_unit_test(test_grpc_words),
	};
	return cmocka_run_group_tests(tests, group_up, group_down);
}

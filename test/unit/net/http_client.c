/* The HTTP client against servers that run on threads of this program: plain, TLS, HTTP/2 by nghttp2, and what they do wrong. */
#include "../loopback.h"
#include <arpa/inet.h>
#include <errno.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <nghttp2/nghttp2.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/mem.h"
#include "net/http_client.h"
#include "net/http_int.h"
#include "pki.h"

static struct pki pki, other;

struct h2_reply;

/* ---- a server: one thread, connections one after the other ---- */

struct server {
	int fd;
	uint16_t port;
	const char *alpn;                       /* NULL: no TLS */
	bool want_cert;
	void (*serve)(struct server *s, int turn);      /* a connection */
	int until;                              /* connections */
	pthread_t thread;
	/* the connection's */
	int conn;
	gnutls_session_t tls;
	bool had_cert;
	nghttp2_session *h2;
	int requests;
	char last[4096];
	struct h2_stream { const struct h2_reply *reply; size_t left; } streams[8];
	unsigned nstreams;
	size_t h2_got;                          /* octets of bodies */
};

static ssize_t get(struct server *s, void *p, size_t n)
{
	ssize_t got;
	do
		got = s->tls ? gnutls_record_recv(s->tls, p, n) : recv(s->conn, p, n, 0);
	while (got == GNUTLS_E_AGAIN || got == GNUTLS_E_INTERRUPTED);
	return got;
}

static void put(struct server *s, const void *p, size_t n)
{
	while (n) {
		ssize_t done = s->tls ? gnutls_record_send(s->tls, p, n) : send(s->conn, p, n, MSG_NOSIGNAL);
		if (done <= 0)
			return;
		p = (const char *)p + done;
		n -= (size_t)done;
	}
}

static void say(struct server *s, const char *t) { put(s, t, strlen(t)); }

/* Waits for a request's head; false: the client closed. */
static bool hear(struct server *s)
{
	size_t n = 0;
	memset(s->last, 0, sizeof s->last);
	while (n < sizeof s->last - 1 && !strstr(s->last, "\r\n\r\n")) {
		ssize_t got = get(s, s->last + n, sizeof s->last - 1 - n);
		if (got <= 0)
			return false;
		n += (size_t)got;
	}
	s->requests++;
	return true;
}

static bool shake(struct server *s, gnutls_certificate_credentials_t cred)
{
	gnutls_datum_t proto = { (unsigned char *)(uintptr_t)s->alpn, (unsigned)strlen(s->alpn) };
	gnutls_init(&s->tls, GNUTLS_SERVER | GNUTLS_NO_SIGNAL);
	gnutls_set_default_priority(s->tls);
	gnutls_credentials_set(s->tls, GNUTLS_CRD_CERTIFICATE, cred);
	gnutls_alpn_set_protocols(s->tls, &proto, 1, 0);
	if (s->want_cert)
		gnutls_certificate_server_set_request(s->tls, GNUTLS_CERT_REQUEST);
	gnutls_transport_set_int(s->tls, s->conn);
	int ret;
	do
		ret = gnutls_handshake(s->tls);
	while (ret < 0 && !gnutls_error_is_fatal(ret));
	unsigned n = 0;
	s->had_cert = !ret && gnutls_certificate_get_peers(s->tls, &n) && n;
	return !ret;
}

static void *run_server(void *arg)
{
	struct server *s = arg;
	gnutls_certificate_credentials_t cred = NULL;
	if (s->alpn) {
		gnutls_certificate_allocate_credentials(&cred);
		gnutls_certificate_set_x509_key_mem(cred, &pki.cert, &pki.key, GNUTLS_X509_FMT_PEM);
		gnutls_certificate_set_x509_trust_mem(cred, &pki.ca, GNUTLS_X509_FMT_PEM);
	}
	for (int turn = 0; turn < s->until; turn++) {
		s->conn = accept(s->fd, NULL, NULL);
		if (s->conn < 0)
			break;
		if (!s->alpn || shake(s, cred))
			s->serve(s, turn);
		if (s->tls)
			gnutls_deinit(s->tls);
		s->tls = NULL;
		close(s->conn);
	}
	if (cred)
		gnutls_certificate_free_credentials(cred);
	return NULL;
}

static void start(struct server *s)
{
	s->fd = listening(&s->port);
	assert_int_equal(pthread_create(&s->thread, NULL, run_server, s), 0);
}

static void stop(struct server *s)
{
	shutdown(s->fd, SHUT_RDWR);
	pthread_join(s->thread, NULL);
	close(s->fd);
}

/* ---- a client ---- */

struct ask {
	struct fl_http_req req;
	struct world *w;
	size_t n, cancel_at, pieces;
	int heads, ends, err;
	char body[128], why[256];
	bool renew;
};

struct world { struct fl_loop *loop; struct fl_http_client *client; struct fl_tls_trust trust; struct ask ask[6]; int left,
	batches; };

static struct ask *of(struct fl_http_req *r) { return (struct ask *)r; }

static void done(struct ask *a)
{
	if (!--a->w->left)
		fl_loop_stop(a->w->loop);
}

static void on_head(struct fl_http_req *r) { of(r)->heads++; }

static void on_body(struct fl_http_req *r, const uint8_t *p, size_t n)
{
	struct ask *a = of(r);
	assert_int_equal(a->heads, 1);
	for (size_t i = 0; i < n; i++)
		if (a->n + i < sizeof a->body - 1)
			a->body[a->n + i] = (char)p[i];
	a->n += n;
	a->pieces++;
	if (a->cancel_at && a->n >= a->cancel_at) {
		fl_http_cancel(r);
		done(a);
	}
}

static void on_end(struct fl_http_req *r, int err, const char *why)
{
	struct ask *a = of(r);
	a->ends++;
	a->err = err;
	snprintf(a->why, sizeof a->why, "%s", why ? why : "");
	done(a);
}

static const struct fl_http_ops ops = { on_head, on_body, on_end };

static struct fl_tls_creds *creds(void *arg, struct fl_err *e) { return fl_tls_creds_create(&((struct world *)arg)->trust, e); }
static void batch(void *arg) { ((struct world *)arg)->batches++; }

static void open_world(struct world *w, const struct server *s, const char *host, const char *tls_name)
{
	struct fl_http_config cfg = { .host = host, .port = s->port, .tls = s->alpn, .http2 = true, .tls_name = tls_name,
		.authority = "api.test:1", .creds = creds, .batch = batch, .arg = w };
	w->loop = fl_loop_create();
	w->client = fl_http_client_create(w->loop, &cfg);
	if (!w->trust.ca.n)
		w->trust.ca = text(pki.ca);
}

static struct ask *get_path(struct world *w, int i, const char *path)
{
	struct ask *a = &w->ask[i];
	struct fl_http_header h[] = { { "accept", FL_STR("x/y") }, { "authorization", FL_STR("Bearer 123") } };
	memset(a, 0, sizeof *a);
	a->w = w;
	a->req.ops = &ops;
	w->left++;
	fl_http_get(w->client, &a->req, path, h, 2);
	return a;
}

static void close_world(struct world *w)
{
	fl_http_client_destroy(w->client);
	fl_loop_destroy(w->loop);
}

/* ---- HTTP/1.1 ---- */

static void serve_two(struct server *s, int turn)
{
	for (int i = 0; i < 2 - turn && hear(s); i++)
		say(s, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
}

/* A kept connection serves again; when the server closed it meanwhile, the request goes out once more on a new one. */
static void test_keep(void **state)
{
	(void)state;
	struct server s = { .serve = serve_two, .until = 2 };
	struct world w = { 0 };
	start(&s);
	open_world(&w, &s, "127.0.0.1", NULL);
	for (int i = 0; i < 3; i++) {
		struct ask *a = get_path(&w, 0, "/a?b=c");
		fl_loop_run(w.loop);
		assert_int_equal(a->err, 0);
		assert_int_equal(a->req.head.status, 200);
		assert_string_equal(a->body, "abcde");
		assert_int_equal(a->ends, 1);
	}
	assert_true(w.batches > 0);
	stop(&s);
	assert_int_equal(s.requests, 3);
	assert_non_null(strstr(s.last, "GET /a?b=c HTTP/1.1\r\n"));
	assert_non_null(strstr(s.last, "\r\nhost: api.test:1\r\n"));
	assert_non_null(strstr(s.last, "\r\nauthorization: Bearer 123\r\n"));
	close_world(&w);
}

/* Reads a request's body too: of so many octets as it says. */
static void serve_post(struct server *s, int turn)
{
	(void)turn;
	for (int i = 0; i < 2 && hear(s); i++) {
		char *length = strstr(s->last, "\r\ncontent-length: "), *end = strstr(s->last, "\r\n\r\n") + 4;
		size_t want = length ? strtoul(length + 18, NULL, 10) : 0, have = strlen(end);
		char buf[4096], head[200];
		uint32_t sum = 0;
		for (size_t k = 0; k < have; k++)
			sum += (uint8_t)end[k];
		for (ssize_t n; have < want && (n = get(s, buf, sizeof buf)) > 0; have += (size_t)n)
			for (ssize_t k = 0; k < n; k++)
				sum += (uint8_t)buf[k];
		snprintf(head, sizeof head, "HTTP/1.1 103 Early Hints\r\nLocation: /wrong\r\n\r\nHTTP/1.1 201 Created\r\nLOCATION: /%zu/%u\r\n"
			 "X-Long: %0*d\r\nContent-Length: 0\r\n\r\n", want, sum, 50, 0);
		say(s, head);
	}
}

static char location[64];

static void on_field(struct fl_http_req *r, struct fl_str name, struct fl_str value)
{
	(void)r;
	if (fl_str_ieq(name, FL_STR("location")))
		snprintf(location, sizeof location, "%.*s", FL_FMT(value));
}

static const struct fl_http_ops field_ops = { on_head, on_body, on_end, on_field };

static struct ask *post_path(struct world *w, int i, const char *path, struct fl_str body)
{
	struct ask *a = &w->ask[i];
	struct fl_http_header h[] = { { "content-type", FL_STR("x/y") } };
	memset(a, 0, sizeof *a);
	a->w = w;
	a->req.ops = &field_ops;
	w->left++;
	fl_http_post(w->client, &a->req, path, h, 1, body);
	return a;
}

/* A body goes out whole, whatever its length, and header fields of the answer are told. */
static void test_post(void **state)
{
	(void)state;
	struct server s = { .serve = serve_post, .until = 1 };
	struct world w = { 0 };
	char *big = malloc(300000);
	memset(big, 'a', 300000);
	start(&s);
	open_world(&w, &s, "127.0.0.1", NULL);
	struct ask *a = post_path(&w, 0, "/new", FL_STR(""));
	fl_loop_run(w.loop);
	assert_int_equal(a->err, 0);
	assert_int_equal(a->req.head.status, 201);
	assert_string_equal(location, "/0/0");
	post_path(&w, 0, "/big", (struct fl_str){ big, 300000 });
	memset(big, 'b', 300000);               /* it was copied */
	fl_loop_run(w.loop);
	char want[64];
	snprintf(want, sizeof want, "/300000/%u", 300000u * 'a');
	assert_string_equal(location, want);
	close_world(&w);
	stop(&s);
	assert_non_null(strstr(s.last, "POST /big HTTP/1.1\r\n"));
	assert_non_null(strstr(s.last, "\r\ncontent-type: x/y\r\ncontent-length: 300000\r\n\r\n"));
	free(big);
}

static void serve_wrong(struct server *s, int turn)
{
	static const char *const words[] = {
		"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", "HTTP/1.1 200 OK\r\n\r\nwhole", "noise\r\n\r\n", "",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n",
	};
	if (hear(s))
		say(s, words[turn]);
}

static void test_wrong(void **state)
{
	(void)state;
	static const struct { int err; const char *why, *body; } want[] = {
		{ -ECONNRESET, "unexpected EOF", "abc" }, { 0, "", "whole" }, { -EBADMSG, "malformed HTTP response", "" },
		{ -ECONNRESET, "EOF", "" }, { -EBADMSG, "malformed HTTP response: bad header or chunk", "abc" },
	};
	struct server s = { .serve = serve_wrong, .until = FL_COUNT(want) };
	struct world w = { 0 };
	start(&s);
	open_world(&w, &s, "localhost", NULL);  /* a name: by the resolver's thread */
	for (size_t i = 0; i < FL_COUNT(want); i++) {
		struct ask *a = get_path(&w, 0, "/");
		fl_loop_run(w.loop);
		assert_int_equal(a->err, want[i].err);
		assert_string_equal(a->why, want[i].why);
		assert_string_equal(a->body, want[i].body);
	}
	stop(&s);
	struct ask *a = get_path(&w, 0, "/");
	fl_loop_run(w.loop);
	assert_int_equal(a->err, -ECONNREFUSED);
	assert_true(!strncmp(a->why, "dial tcp ", 9) && strstr(a->why, ": connect: connection refused"));
	close_world(&w);
}

static void test_no_host(void **state)
{
	(void)state;
	struct server s = { .port = 1 };
	struct world w = { 0 };
	open_world(&w, &s, "no-such-host.invalid", NULL);
	struct ask *a = get_path(&w, 0, "/");
	fl_loop_run(w.loop);
	assert_int_equal(a->err, -ENOENT);
	assert_true(!strncmp(a->why, "dial tcp: lookup no-such-host.invalid: ", 39));
	get_path(&w, 0, "/");                   /* going away while the resolver's thread works */
	fl_loop_run_until_idle(w.loop);
	close_world(&w);
}

static void serve_lots(struct server *s, int turn)
{
	(void)turn;
	if (!hear(s))
		return;
	say(s, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
	static char x[1000000];
	put(s, x, sizeof x);
}

static void test_cancel(void **state)
{
	(void)state;
	struct server s = { .serve = serve_lots, .until = 2 };
	struct world w = { 0 };
	start(&s);
	open_world(&w, &s, "127.0.0.1", NULL);
	struct ask *a = get_path(&w, 0, "/");
	a->cancel_at = 100000;
	fl_loop_run(w.loop);
	assert_int_equal(a->ends, 0);
	assert_true(a->n < 1000000);
	a = get_path(&w, 0, "/");               /* queued: not even sent */
	fl_http_cancel(&a->req);
	fl_http_cancel(&a->req);
	w.left--;
	a = get_path(&w, 1, "/");
	fl_loop_run(w.loop);
	assert_int_equal(a->n, 1000000);
	assert_true(a->pieces > 10);
	stop(&s);
	assert_int_equal(s.requests, 2);
	close_world(&w);
}

/* ---- TLS ---- */

static void serve_one(struct server *s, int turn)
{
	(void)turn;
	while (hear(s))
		say(s, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
}

static void one_tls(const struct fl_tls_trust *trust, const char *name, bool want_cert, const char *why, bool cert)
{
	struct server s = { .serve = serve_one, .until = 1, .alpn = "http/1.1", .want_cert = want_cert };
	struct world w = { .trust = *trust };
	start(&s);
	open_world(&w, &s, "127.0.0.1", name);
	struct ask *a = get_path(&w, 0, "/");
	fl_loop_run(w.loop);
	assert_string_equal(a->why, why);
	assert_int_equal(a->err, *why ? -EPROTO : 0);
	close_world(&w);
	stop(&s);
	assert_int_equal(s.had_cert, cert);
}

static void test_tls(void **state)
{
	(void)state;
	struct fl_tls_trust good = { .ca = text(pki.ca) }, bad = { .ca = text(other.ca) }, any = { .ca = text(other.ca),
		.insecure = true };
	struct fl_tls_trust mine = { .ca = text(pki.ca), .cert = text(pki.cert), .key = text(pki.key) };
	one_tls(&good, "", false, "", false);
	one_tls(&good, "api.test", false, "", false);
	one_tls(&good, "api.example", false, "tls: failed to verify certificate: x509: certificate is valid for api.test, not api.example",
		false);
	one_tls(&bad, "", false, "tls: failed to verify certificate: x509: certificate signed by unknown authority", false);
	one_tls(&any, "api.example", false, "", false);
	one_tls(&mine, "", true, "", true);
}

static void test_creds(void **state)
{
	(void)state;
	struct fl_err e;
	struct fl_tls_trust t = { .ca = FL_STR("nonsense") };
	assert_null(fl_tls_creds_create(&t, &e));
	assert_string_equal(e.msg, "unable to load root certificates: unable to parse bytes as PEM block");
	t = (struct fl_tls_trust){ .ca = text(pki.ca), .cert = FL_STR("x"), .key = FL_STR("y") };
	assert_null(fl_tls_creds_create(&t, &e));
	t = (struct fl_tls_trust){ .ca = text(pki.ca), .cert = text(pki.cert), .key = text(other.key) };
	assert_null(fl_tls_creds_create(&t, &e));
	assert_string_equal(e.msg, "tls: private key does not match public key");
}

/* A server that speaks no TLS. */
static void serve_noise(struct server *s, int turn)
{
	(void)turn;
	char b[10];
	if (get(s, b, sizeof b) > 0)
		say(s, "HTTP/1.1 400 Bad Request\r\n\r\n");
}

static void test_not_tls(void **state)
{
	(void)state;
	struct server s = { .serve = serve_noise, .until = 1 };
	struct world w = { 0 };
	start(&s);
	struct server as_tls = { .port = s.port, .alpn = "h2" };
	open_world(&w, &as_tls, "127.0.0.1", NULL);
	struct ask *a = get_path(&w, 0, "/"), *b = get_path(&w, 1, "/");
	fl_loop_run(w.loop);
	assert_string_equal(a->why, "tls: first record does not look like a TLS handshake");
	assert_int_equal(b->err, -EPROTO);      /* whoever waited for the one connection */
	close_world(&w);
	stop(&s);
}

/* ---- HTTP/2 ---- */

struct h2_reply { const char *path; size_t size; uint32_t error; bool goaway, hold; };
static const struct h2_reply replies[] = {
	{ "/small", 10, 0, false, false }, { "/big", 3000000, 0, false, false }, { "/error", 10, NGHTTP2_INTERNAL_ERROR, false,
		false },
	{ "/refuse", 0, NGHTTP2_REFUSED_STREAM, false, false }, { "/goaway", 100000, 0, true, false }, { "/hold", 10, 0, false,
		true },
	{ "/late", 1, 0, false, false },
};

static ssize_t h2_read(nghttp2_session *h, int32_t id, uint8_t *buf, size_t n, uint32_t *flags, nghttp2_data_source *src, void *arg)
{
	(void)h, (void)id, (void)arg;
	struct h2_stream *st = src->ptr;
	n = n < st->left ? n : st->left;
	memset(buf, 'x', n);
	st->left -= n;
	if (!st->left && st->reply->hold)
		return n ? (ssize_t)n : NGHTTP2_ERR_DEFERRED;
	if (!st->left)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)n;
}

static int h2_header(nghttp2_session *h, const nghttp2_frame *f, const uint8_t *name, size_t nn, const uint8_t *v, size_t vn,
	uint8_t fl, void *arg)
{
	(void)fl;
	struct server *s = arg;
	char path[64];
	if (nn == 13 && !memcmp(name, "authorization", 13))
		snprintf(s->last, sizeof s->last, "%.*s", (int)vn, (const char *)v);
	if (nn != 5 || memcmp(name, ":path", 5))
		return 0;
	snprintf(path, sizeof path, "%.*s", (int)vn, (const char *)v);
	for (size_t i = 0; i < FL_COUNT(replies); i++)
		if (!strcmp(path, replies[i].path)) {
			struct h2_stream *st = &s->streams[s->nstreams++ % FL_COUNT(s->streams)];
			*st = (struct h2_stream){ &replies[i], replies[i].size };
			nghttp2_session_set_stream_user_data(h, f->hd.stream_id, st);
		}
	return 0;
}

static int h2_frame(nghttp2_session *h, const nghttp2_frame *f, void *arg)
{
	struct server *s = arg;
	struct h2_stream *st = nghttp2_session_get_stream_user_data(h, f->hd.stream_id);
	bool late = st && !strcmp(st->reply->path, "/late");     /* answered when its body has ended */
	if (!st || (late ? !(f->hd.flags & NGHTTP2_FLAG_END_STREAM) : f->hd.type != NGHTTP2_HEADERS))
		return 0;
	s->requests++;
	if (st->reply->error == NGHTTP2_REFUSED_STREAM && s->requests == 1)
		return nghttp2_submit_rst_stream(h, 0, f->hd.stream_id, NGHTTP2_REFUSED_STREAM);
	nghttp2_nv nv[] = { { (uint8_t *)":status", (uint8_t *)"200", 7, 3, 0 },
		{ (uint8_t *)"content-type", (uint8_t *)"x/y", 12, 3, 0 } };
	nghttp2_data_provider body = { .source.ptr = st, .read_callback = h2_read };
	nghttp2_submit_response(h, f->hd.stream_id, nv, 2, &body);
	if (st->reply->error && st->reply->error != NGHTTP2_REFUSED_STREAM)
		nghttp2_submit_rst_stream(h, 0, f->hd.stream_id, st->reply->error);
	if (st->reply->goaway)
		nghttp2_submit_goaway(h, 0, f->hd.stream_id, NGHTTP2_NO_ERROR, NULL, 0);
	return 0;
}

static int h2_data(nghttp2_session *h, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *arg)
{
	(void)h, (void)flags, (void)id, (void)p;
	((struct server *)arg)->h2_got += n;
	return 0;
}

static ssize_t h2_send(nghttp2_session *h, const uint8_t *p, size_t n, int flags, void *arg)
{
	(void)h, (void)flags;
	put(arg, p, n);
	return (ssize_t)n;
}

static void serve_h2(struct server *s, int turn)
{
	(void)turn;
	nghttp2_session_callbacks *cb;
	nghttp2_session_callbacks_new(&cb);
	nghttp2_session_callbacks_set_on_header_callback(cb, h2_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, h2_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, h2_data);
	nghttp2_session_callbacks_set_send_callback(cb, h2_send);
	nghttp2_session_server_new(&s->h2, cb, s);
	nghttp2_submit_settings(s->h2, 0, NULL, 0);
	uint8_t buf[4096];
	ssize_t n;
	while (!nghttp2_session_send(s->h2) && (n = get(s, buf, sizeof buf)) > 0)
		if (nghttp2_session_mem_recv(s->h2, buf, (size_t)n) < 0)
			break;
	nghttp2_session_del(s->h2);
	nghttp2_session_callbacks_del(cb);
}

static void test_h2(void **state)
{
	(void)state;
	struct server s = { .serve = serve_h2, .until = 1, .alpn = "h2" };
	struct world w = { 0 };
	start(&s);
	open_world(&w, &s, "127.0.0.1", NULL);
	struct ask *small = get_path(&w, 0, "/small"), *big = get_path(&w, 1, "/big"), *error = get_path(&w, 2, "/error"),
		*part = get_path(&w, 3, "/big");
	part->cancel_at = 200000;
	fl_loop_run(w.loop);
	assert_int_equal(small->err, 0);
	assert_string_equal(small->body, "xxxxxxxxxx");
	assert_string_equal(small->req.head.content_type, "x/y");
	assert_int_equal(big->err, 0);
	assert_int_equal(big->n, 3000000);      /* more than the windows: they were opened again */
	assert_int_equal(error->err, -ECONNRESET);
	assert_non_null(strstr(error->why, "INTERNAL_ERROR"));
	assert_int_equal(part->ends, 0);
	small = get_path(&w, 0, "/small");
	fl_loop_run(w.loop);
	assert_int_equal(small->err, 0);
	close_world(&w);
	stop(&s);
	assert_int_equal(s.requests, 5);
	assert_string_equal(s.last, "Bearer 123");
}

/* More than the peer's window: it goes out as that opens. */
static void test_h2_post(void **state)
{
	(void)state;
	struct server s = { .serve = serve_h2, .until = 1, .alpn = "h2" };
	struct world w = { 0 };
	char *big = calloc(1, 200000);
	start(&s);
	open_world(&w, &s, "127.0.0.1", NULL);
	struct ask *a = post_path(&w, 0, "/late", (struct fl_str){ big, 200000 });
	fl_loop_run(w.loop);
	assert_int_equal(a->err, 0);
	assert_string_equal(a->req.head.content_type, "x/y");
	a = post_path(&w, 0, "/late", FL_STR(""));
	fl_loop_run(w.loop);
	assert_int_equal(a->err, 0);
	close_world(&w);
	stop(&s);
	assert_int_equal(s.h2_got, 200000);
	free(big);
}

static void test_h2_refused(void **state)
{
	(void)state;
	struct server s = { .serve = serve_h2, .until = 1, .alpn = "h2" };
	struct world w = { 0 };
	start(&s);
	open_world(&w, &s, "127.0.0.1", NULL);
	struct ask *a = get_path(&w, 0, "/refuse");
	fl_loop_run(w.loop);
	assert_int_equal(a->err, 0);            /* nothing was done for it: asked once more by itself */
	close_world(&w);
	stop(&s);
	assert_int_equal(s.requests, 2);
}

/* After GOAWAY the stream that runs goes on, and the next request takes a new connection. */
static void test_h2_goaway(void **state)
{
	(void)state;
	struct server s = { .serve = serve_h2, .until = 2, .alpn = "h2" };
	struct world w = { 0 };
	start(&s);
	open_world(&w, &s, "127.0.0.1", NULL);
	struct ask *a = get_path(&w, 0, "/goaway");
	fl_loop_run(w.loop);
	assert_int_equal(a->err, 0);
	assert_int_equal(a->n, 100000);
	a = get_path(&w, 0, "/small");
	fl_loop_run(w.loop);
	assert_int_equal(a->err, 0);
	fl_http_client_renew(w.client);
	fl_loop_run_until_idle(w.loop);
	close_world(&w);
	stop(&s);
}

/* A peer that is there but says nothing: PING after 10 s of silence, given up 10 s later. One that answers is kept. */
static void serve_mute(struct server *s, int turn)
{
	(void)turn;
	uint8_t buf[4096];
	say(s, "\0\0\0\4\0\0\0\0");             /* not even whole settings */
	while (get(s, buf, sizeof buf) > 0)
		s->requests++;
}

static void test_h2_silence(void **state)
{
	(void)state;
	struct server s = { .serve = serve_h2, .until = 1, .alpn = "h2" };
	struct world w = { 0 };
	start(&s);
	open_world(&w, &s, "127.0.0.1", NULL);
	struct ask *a = get_path(&w, 0, "/hold");
	while (a->n < 10) {
		usleep(1000);
		fl_loop_run_until_idle(w.loop);
	}
	fl_clock_virtual(fl_clock_ns());
	for (int i = 0; i < 12; i++) {          /* two minutes, which stand still until the answer to a PING came */
		fl_loop_advance(w.loop, 10 * FL_SEC);
		assert_int_equal(a->ends, 0);
		for (int k = 0; k < 20000 && a->req.conn->pinged; k++) {
			usleep(1000);
			fl_loop_run_until_idle(w.loop);
		}
	}
	assert_int_equal(a->ends, 0);
	close_world(&w);
	fl_clock_virtual(0);
	stop(&s);

	s = (struct server){ .serve = serve_mute, .until = 1, .alpn = "h2" };
	w = (struct world){ 0 };
	start(&s);
	open_world(&w, &s, "127.0.0.1", NULL);
	a = get_path(&w, 0, "/hold");
	while (!a->req.conn) {
		usleep(1000);
		fl_loop_run_until_idle(w.loop);
	}
	fl_clock_virtual(fl_clock_ns());
	for (int i = 0; i < 5 && !a->ends; i++)         /* once more when its settings come only now */
		fl_loop_advance(w.loop, 25 * FL_SEC);
	assert_int_equal(a->ends, 1);
	assert_string_equal(a->why, "http2: client connection lost");
	close_world(&w);
	fl_clock_virtual(0);
	stop(&s);
}

static int begin(void **state)
{
	(void)state;
	make_pki(&pki);
	make_pki(&other);
	return 0;
}

static int end(void **state)
{
	(void)state;
	free_pki(&pki);
	free_pki(&other);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keep), cmocka_unit_test(test_wrong), cmocka_unit_test(test_no_host),
			cmocka_unit_test(test_cancel), cmocka_unit_test(test_post),
		cmocka_unit_test(test_creds), cmocka_unit_test(test_tls), cmocka_unit_test(test_not_tls), cmocka_unit_test(test_h2),
		cmocka_unit_test(test_h2_post),
		cmocka_unit_test(test_h2_refused), cmocka_unit_test(test_h2_goaway), cmocka_unit_test(test_h2_silence),
	};
	return cmocka_run_group_tests(tests, begin, end);
}

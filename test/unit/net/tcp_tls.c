/* Sealed connections of fl_tcp from loopback, with GnuTLS as the client: what rests, what is large, what breaks off. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include "base/mem.h"
#include "net/tcp.h"
#include "net/tls_server.h"
#include "pki_files.h"

static struct pki pki;
static struct fl_loop *loop;
static struct fl_pool pool;
static struct fl_tcp *tcp;
static struct fl_tcp_listener li;
static struct sockaddr_in at;
static bool hold;               /* frames are answered later, by the test */
static struct { struct fl_conn *c; uint8_t b[64]; size_t n; } held[16];
static unsigned nheld, frames, closed;

static void answer(struct fl_conn *c, const uint8_t *b, size_t n) { fl_conn_send(c, b, n); }

static void on_frame(struct fl_conn *c, const uint8_t *bytes, size_t n)
{
	frames++;
	if (!hold) {
		answer(c, bytes, n);
		return;
	}
	assert_true(nheld < FL_COUNT(held) && n <= sizeof held[0].b);
	held[nheld].c = c;
	held[nheld].n = n;
	memcpy(held[nheld++].b, bytes, n);
	fl_conn_hold(c);
}

static void let_go(void)
{
	fl_assert(nheld);
	struct fl_conn *c = held[0].c;
	uint8_t b[64];
	size_t n = held[0].n;
	memcpy(b, held[0].b, n);
	memmove(held, held + 1, --nheld * sizeof held[0]);
	answer(c, b, n);
	fl_conn_put(c);
}

static void on_closed(struct fl_conn *c) { (void)c; closed++; }

static int set_up(void **state)
{
	static const struct fl_tcp_limits lim = { .max_conns = 20, .max_client = 20, .max_inflight = 8, .max_unsent = 1 << 20 };
	static const struct fl_tcp_ops ops = { .frame = on_frame, .closed = on_closed };
	struct fl_err e;
	char cert[128], key[128];
	int one = 1;
	(void)state;
	pki_init(&pki);
	pki_issue(&pki, "srv", GNUTLS_KP_TLS_WWW_SERVER);
	snprintf(cert, sizeof cert, "%s/srv.pem", pki.dir);
	snprintf(key, sizeof key, "%s/srv.key", pki.dir);
	const struct fl_tls_paths p = { .cert = cert, .key = key, .keylog = -1 };
	fl_clock_virtual(1000 * FL_SEC);
	loop = fl_loop_create();
	fl_pool_init(&pool, 16 << 20);
	tcp = fl_tcp_create(loop, &pool, &lim, &ops);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	at = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof at;
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at) | listen(fd, 64), 0);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	getsockname(fd, (struct sockaddr *)&at, &len);
	li = (struct fl_tcp_listener){ .read_ns = 3 * FL_SEC, .write_ns = 5 * FL_SEC, .idle_ns = 10 * FL_SEC,
				       .tls = fl_tls_host_create(&p, &e) };
	assert_non_null(li.tls);
	nheld = frames = closed = 0;
	hold = false;
	return fl_tcp_listen(tcp, &li, fd);
}

static int tear_down(void **state)
{
	(void)state;
	fl_tcp_destroy(tcp);
	while (nheld)
		let_go();
	assert_int_equal(pool.used, 0);
	fl_tls_host_destroy(li.tls);
	fl_loop_del(loop, &li.io);
	close(li.io.fd);
	fl_loop_destroy(loop);
	fl_pool_finish(&pool);
	pki_finish(&pki);
	return 0;
}

/* ---- the client ---- */

static bool quiet;              /* the server does not run while a client speaks */

struct peer { int fd; gnutls_session_t s; gnutls_certificate_credentials_t cred; };

static int dial(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
	fl_loop_run_until_idle(loop);
	return fd;
}

static ssize_t p_pull(gnutls_transport_ptr_t arg, void *to, size_t n)
{
	struct peer *p = arg;
	ssize_t got = recv(p->fd, to, n, MSG_DONTWAIT);
	if (got < 0 && errno == EAGAIN && !quiet) {
		fl_loop_run_until_idle(loop);
		got = recv(p->fd, to, n, MSG_DONTWAIT);
	}
	if (got < 0)
		gnutls_transport_set_errno(p->s, errno);
	return got;
}

static ssize_t p_push(gnutls_transport_ptr_t arg, const void *from, size_t n)
{
	struct peer *p = arg;
	ssize_t put = send(p->fd, from, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (!quiet)
		fl_loop_run_until_idle(loop);
	if (put < 0)
		gnutls_transport_set_errno(p->s, errno);
	return put;
}

static void begin_peer(struct peer *p)
{
	p->fd = dial();
	gnutls_certificate_allocate_credentials(&p->cred);
	gnutls_certificate_set_x509_trust_file(p->cred, pki_path(&pki, "ca.pem"), GNUTLS_X509_FMT_PEM);
	gnutls_init(&p->s, GNUTLS_CLIENT | GNUTLS_NONBLOCK);
	gnutls_set_default_priority(p->s);
	gnutls_credentials_set(p->s, GNUTLS_CRD_CERTIFICATE, p->cred);
	gnutls_session_set_verify_cert(p->s, "localhost", 0);
	gnutls_transport_set_ptr(p->s, p);
	gnutls_transport_set_pull_function(p->s, p_pull);
	gnutls_transport_set_push_function(p->s, p_push);
}

static void open_peer(struct peer *p)
{
	int ret;
	begin_peer(p);
	while ((ret = gnutls_handshake(p->s)) == GNUTLS_E_AGAIN)
		;
	assert_int_equal(ret, 0);
}

static void close_peer(struct peer *p)
{
	gnutls_deinit(p->s);
	gnutls_certificate_free_credentials(p->cred);
	close(p->fd);
	fl_loop_run_until_idle(loop);
}

static void tell(struct peer *p, const void *bytes, size_t n)
{
	for (const char *at_ = bytes; n;) {
		ssize_t put = gnutls_record_send(p->s, at_, n);
		if (put == GNUTLS_E_AGAIN)
			continue;
		assert_true(put > 0);
		at_ += put;
		n -= (size_t)put;
	}
	fl_loop_run_until_idle(loop);
}

/* What is there, at most n bytes. */
static size_t hear(struct peer *p, uint8_t *to, size_t n)
{
	size_t have = 0;
	for (int tries = 0; have < n && tries < 3;) {
		ssize_t got = gnutls_record_recv(p->s, to + have, n - have);
		if (got > 0)
			have += (size_t)got, tries = 0;
		else if (got == GNUTLS_E_AGAIN)
			tries++;
		else
			break;
		fl_loop_run_until_idle(loop);
	}
	return have;
}

static void raw(int fd, const void *bytes, size_t n)
{
	assert_int_equal(send(fd, bytes, n, MSG_NOSIGNAL), n);
	fl_loop_run_until_idle(loop);
}

/* ---- */

static uint8_t out[1 << 17], in[1 << 17];

/* How many octets one record brings: the first of several messages tells. */
static ssize_t record(struct peer *p)
{
	ssize_t n;
	int tries = 0;
	while ((n = gnutls_record_recv(p->s, in, sizeof in)) == GNUTLS_E_AGAIN && tries++ < 8)     /* a ticket comes first */
		;
	return n;
}

/* What is said in one event, or in one turn outside of them, is one record; in the order in which it was said. */
static void test_one_record(void **state)
{
	struct peer p, other;
	(void)state;
	open_peer(&p);
	open_peer(&other);
	tell(&p, "\0\1a\0\1b\0\1c", 9);
	assert_int_equal(record(&p), 9);
	assert_memory_equal(in, "\0\1a\0\1b\0\1c", 9);
	hold = true;
	tell(&p, "\0\1d\0\1e", 6);
	tell(&other, "\0\1f", 3);
	tell(&p, "\0\1g", 3);
	let_go();
	let_go();
	assert_int_equal(fl_conn_unsent(held[1].c), 6);
	let_go();                               /* the other's, between */
	let_go();
	fl_loop_run_until_idle(loop);
	assert_int_equal(record(&p), 6);
	assert_memory_equal(in, "\0\1d\0\1e", 6);
	assert_int_equal(record(&p), 3);
	assert_memory_equal(in, "\0\1g", 3);
	assert_int_equal(record(&other), 3);
	assert_memory_equal(in, "\0\1f", 3);
	close_peer(&p);
	close_peer(&other);
}

/* What gathered is not overtaken by what is too large to gather, and is said by one that closes. */
static void test_gathered_first(void **state)
{
	struct peer p;
	(void)state;
	open_peer(&p);
	hold = true;
	tell(&p, "\0\1x", 3);
	struct fl_conn *c = held[0].c;
	fl_conn_send(c, (const uint8_t *)"a", 1);
	fl_conn_send(c, out, 20000);
	fl_conn_send(c, (const uint8_t *)"b", 1);
	fl_conn_close(c);
	assert_int_equal(closed, 1);
	let_go();
	assert_int_equal(hear(&p, in, sizeof in), 3 + 20002 + 3);
	assert_memory_equal(in, "\0\1a\x4e\x20", 5);
	assert_memory_equal(in + 20005, "\0\1b", 3);
	close_peer(&p);
}

static struct fl_conn *other_conn;
static char raw_bytes[8];

static void raw_heard(struct fl_conn *c, const uint8_t *p, size_t n)
{
	(void)c;
	fl_conn_send(other_conn, (const uint8_t *)"answer", 6);
	memcpy(raw_bytes, p, n < sizeof raw_bytes ? n : sizeof raw_bytes);
}

/* A raw connection is read while another one is written to: what was read stays what it was. */
static void test_beside_raw(void **state)
{
	static const struct fl_tcp_ops ops = { .closed = on_closed, .bytes = raw_heard };
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct fl_tcp_listener plain = { .read_ns = 3 * FL_SEC, .write_ns = 5 * FL_SEC, .idle_ns = 10 * FL_SEC, .ops = &ops };
	socklen_t len = sizeof to;
	struct peer p;
	(void)state;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), client = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&to, sizeof to) | listen(fd, 8), 0);
	getsockname(fd, (struct sockaddr *)&to, &len);
	assert_int_equal(fl_tcp_listen(tcp, &plain, fd), 0);
	open_peer(&p);
	hold = true;
	tell(&p, "\0\1x", 3);
	other_conn = held[0].c;
	assert_int_equal(connect(client, (struct sockaddr *)&to, sizeof to), 0);
	raw(client, "GET /abc", 8);
	assert_memory_equal(raw_bytes, "GET /abc", 8);
	assert_int_equal(hear(&p, in, sizeof in), 8);
	assert_memory_equal(in, "\0\6answer", 8);
	let_go();
	close(client);
	close_peer(&p);
	fl_tcp_unlisten(&plain);
}

/* More in one record than may be in work: what rests within GnuTLS, and beyond it, comes when there is room. */
static void test_rests(void **state)
{
	(void)state;
	struct peer p;
	size_t n = 0;
	open_peer(&p);
	hold = true;
	for (unsigned i = 0; i < 4000; i++, n += 6) {
		sprintf((char *)out + n + 2, "%04u", i);
		memcpy(out + n, "\0\4", 2);
	}
	tell(&p, out, n);
	assert_int_equal(frames, 8);
	for (unsigned i = 0; i < 4000; i++) {
		if (!nheld)
			fl_loop_run_until_idle(loop);   /* what is still in the socket */
		let_go();
	}
	fl_loop_run_until_idle(loop);
	assert_int_equal(frames, 4000);
	assert_int_equal(hear(&p, in, sizeof in), n);
	assert_memory_equal(in, out, n);
	close_peer(&p);
	assert_int_equal(closed, 1);
	assert_int_equal(fl_tcp_stats(tcp).shaken, 1);
}

static void test_large(void **state)
{
	(void)state;
	struct peer p;
	open_peer(&p);
	for (size_t i = 0; i < sizeof out; i++)
		out[i] = (uint8_t)(i * 7 + i / 251);
	static const size_t sizes[] = { 1, 1500, 2048, 16384, 40000, 65535, 3 };
	for (size_t i = 0; i < FL_COUNT(sizes); i++) {
		out[0] = (uint8_t)(sizes[i] >> 8);
		out[1] = (uint8_t)sizes[i];
		tell(&p, out, sizes[i] + 2);
		assert_int_equal(hear(&p, in, sizes[i] + 2), sizes[i] + 2);
		assert_memory_equal(in, out, sizes[i] + 2);
	}
	assert_int_equal(frames, FL_COUNT(sizes));
	close_peer(&p);
}

/* A loop that is told of the end again and again would never be idle. */
static void test_breaks_off(void **state)
{
	(void)state;
	struct peer p;
	int fd = dial();
	raw(fd, "\x16\x03\x01\x02\0\x01", 6);
	shutdown(fd, SHUT_WR);
	fl_loop_run_until_idle(loop);
	assert_int_equal(closed, 1);
	assert_int_equal(fl_tcp_stats(tcp).unshaken, 1);
	close(fd);
	fd = dial();
	raw(fd, "GET / HTTP/1.1\r\n\r\n", 18);
	assert_int_equal(closed, 2);
	assert_int_equal(fl_tcp_stats(tcp).unshaken, 2);
	assert_int_equal(recv(fd, in, sizeof in, MSG_DONTWAIT), 7);     /* an alert */
	assert_int_equal(in[0], 21);
	close(fd);
	open_peer(&p);
	raw(p.fd, "\x17\x03\x03\0\x40" "abc", 8);
	shutdown(p.fd, SHUT_WR);
	fl_loop_run_until_idle(loop);
	assert_int_equal(closed, 3);
	close_peer(&p);
	open_peer(&p);
	raw(p.fd, "\x17\x03\x03\0\x15" "not what was agreed on", 27);
	assert_int_equal(closed, 4);
	assert_int_equal(fl_tcp_stats(tcp).reset, 1);
	close_peer(&p);
}

/* It said goodbye, or just ended its side: what it asked before is answered. */
static void test_half_closed(void **state)
{
	(void)state;
	for (int polite = 0; polite < 2; polite++) {
		struct peer p;
		open_peer(&p);
		hold = true;
		tell(&p, "\0\3one\0\3two", 10);
		if (polite)
			gnutls_bye(p.s, GNUTLS_SHUT_WR);
		shutdown(p.fd, SHUT_WR);
		fl_loop_run_until_idle(loop);
		assert_int_equal(nheld, 2);
		let_go();
		let_go();
		assert_int_equal(hear(&p, in, sizeof in), 10);
		assert_memory_equal(in, "\0\3one\0\3two", 10);
		assert_int_equal(closed, polite + 1);
		close_peer(&p);
	}
}

static void test_time(void **state)
{
	(void)state;
	struct peer p;
	int mute = dial();
	open_peer(&p);
	fl_loop_advance(loop, 4 * FL_SEC);      /* a handshake is no message */
	assert_int_equal(closed, 2);
	assert_int_equal(fl_tcp_stats(tcp).timed_out, 2);
	close_peer(&p);
	close(mute);
	open_peer(&p);
	tell(&p, "\0\1x", 3);
	fl_loop_advance(loop, 9 * FL_SEC);
	assert_int_equal(closed, 2);
	fl_loop_advance(loop, 2 * FL_SEC);
	assert_int_equal(closed, 3);
	assert_int_equal(hear(&p, in, sizeof in), 3);
	close_peer(&p);
}

/* Nobody reads: at some point it is cut off, and memory is back. */
static void test_unread(void **state)
{
	(void)state;
	struct peer p;
	open_peer(&p);
	hold = true;
	tell(&p, "\0\1x", 3);
	struct fl_conn *c = held[0].c;
	for (int i = 0; i < 4000 && !closed; i++)
		fl_conn_send(c, out, 60000);
	assert_int_equal(closed, 1);
	assert_int_equal(fl_tcp_stats(tcp).unread, 1);
	fl_conn_send(c, out, 10);               /* harmless */
	let_go();
	close_peer(&p);
	open_peer(&p);                          /* who reads too late */
	tell(&p, "\0\1x", 3);
	c = held[0].c;
	while (!fl_conn_unsent(c)) {
		fl_conn_send(c, out, 60000);
		fl_loop_run_until_idle(loop);
	}
	fl_loop_advance(loop, 6 * FL_SEC);
	assert_int_equal(closed, 2);
	assert_int_equal(fl_tcp_stats(tcp).timed_out, 1);
	let_go();
	close_peer(&p);
}

/* Many handshakes at once take turns, and all come through. */
static void test_many_handshakes(void **state)
{
	(void)state;
	enum { N = 18 };
	static struct peer p[N];
	int ret[N], open = N;
	for (int i = 0; i < N; i++) {
		begin_peer(&p[i]);
		ret[i] = GNUTLS_E_AGAIN;
	}
	quiet = true;                   /* all of them speak before the server looks */
	for (int i = 0; i < N; i++)
		assert_int_equal(gnutls_handshake(p[i].s), GNUTLS_E_AGAIN);
	quiet = false;
	for (int round = 0; open && round < 100; round++)
		for (int i = 0; i < N; i++)
			if (ret[i] == GNUTLS_E_AGAIN && (ret[i] = gnutls_handshake(p[i].s)) != GNUTLS_E_AGAIN) {
				assert_int_equal(ret[i], 0);
				open--;
			}
	assert_int_equal(open, 0);
	for (int i = 0; i < N; i++) {
		tell(&p[i], "\0\1a", 3);
		assert_int_equal(hear(&p[i], in, 3), 3);
		close_peer(&p[i]);
	}
	assert_int_equal(fl_tcp_stats(tcp).shaken, N);
}

/* New files while connections are open. */
static void test_new_certificate(void **state)
{
	(void)state;
	struct peer a, b;
	struct fl_err e;
	open_peer(&a);
	pki_issue(&pki, "srv", GNUTLS_KP_TLS_WWW_SERVER);
	assert_int_equal(fl_tls_host_reload(li.tls, &e), 1);
	open_peer(&b);
	unsigned n;
	const gnutls_datum_t *ca = gnutls_certificate_get_peers(a.s, &n), *cb = gnutls_certificate_get_peers(b.s, &n);
	assert_true(ca->size != cb->size || memcmp(ca->data, cb->data, ca->size));
	tell(&a, "\0\1a", 3);
	tell(&b, "\0\1b", 3);
	assert_int_equal(hear(&a, in, 3), 3);
	assert_int_equal(hear(&b, in, 3), 3);
	close_peer(&a);
	close_peer(&b);
}

/* Plain words where TLS is awaited: the owner never hears of that client, whether it goes, stays too long, or its listener goes. */
static void no_owner(struct fl_conn *c) { (void)c; fail(); }
static void no_bytes(struct fl_conn *c, const uint8_t *p, size_t n) { (void)c, (void)p, (void)n; fail(); }
static bool no_due(struct fl_conn *c) { (void)c; fail(); return false; }

static void test_unsealed(void **state)
{
	(void)state;
	static const struct fl_tcp_ops ops = { .bytes = no_bytes, .closed = on_closed, .bye = no_owner, .due = no_due, .room = no_owner,
					       .unsealed = "no\n" };
	li.ops = &ops;
	int fd[3];
	for (int i = 0; i < 3; i++) {
		char got[8];
		fd[i] = socket(AF_INET, SOCK_STREAM, 0);
		assert_int_equal(connect(fd[i], (struct sockaddr *)&at, sizeof at), 0);
		assert_int_equal(send(fd[i], "GET / HTTP/1.1\r\n\r\n", 18, 0), 18);
		fl_loop_run_until_idle(loop);
		assert_int_equal(recv(fd[i], got, sizeof got, MSG_DONTWAIT), 3);
		assert_int_equal(recv(fd[i], got, sizeof got, MSG_DONTWAIT), 0);
	}
	close(fd[0]);
	fl_loop_run_until_idle(loop);
	assert_int_equal(closed, 1);
	fl_loop_advance(loop, FL_SEC - 1);
	assert_int_equal(closed, 1);
	fl_loop_advance(loop, 1);
	assert_int_equal(closed, 3);
	fd[0] = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(fd[0], (struct sockaddr *)&at, sizeof at), 0);
	assert_int_equal(send(fd[0], "HEAD / HTTP/1.0\r\n\r\n", 19, 0), 19);
	fl_loop_run_until_idle(loop);
	assert_int_equal(fl_tcp_stats(tcp).open, 1);
	fl_tcp_unlisten(&li);
	assert_int_equal(closed, 4);
	assert_int_equal(fl_tcp_stats(tcp).unshaken, 4);
	for (int i = 0; i < 3; i++)
		close(fd[i]);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = { T(test_one_record), T(test_gathered_first), T(test_beside_raw), T(test_rests), T(test_large),
					    T(test_breaks_off), T(test_half_closed), T(test_time), T(test_unread), T(test_many_handshakes),
					    T(test_new_certificate), T(test_unsealed) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

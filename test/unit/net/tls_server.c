/* The serving half of TLS against GnuTLS clients, through pipes in memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include "base/mem.h"
#include "net/tls_server.h"
#include "pki_files.h"

static struct pki pki;

static int set_up(void **state)
{
	(void)state;
	pki_init(&pki);
	pki_issue(&pki, "srv", GNUTLS_KP_TLS_WWW_SERVER);
	pki_issue(&pki, "client", GNUTLS_KP_TLS_WWW_CLIENT);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	pki_finish(&pki);
	return 0;
}

static struct fl_tls_host *host(enum fl_tls_client_auth auth, const char *ca, int keylog)
{
	struct fl_err e = { "" };
	char cert[128], key[128];
	snprintf(cert, sizeof cert, "%s/srv.pem", pki.dir);
	snprintf(key, sizeof key, "%s/srv.key", pki.dir);
	const struct fl_tls_paths p = { cert, key, ca, auth, keylog };
	struct fl_tls_host *h = fl_tls_host_create(&p, &e);
	if (!h)
		fail_msg("%s", e.msg);
	return h;
}

/* ---- two ends ---- */

struct pipe { uint8_t b[1 << 18]; size_t at, n; bool end; };
static struct pipe up, down;            /* to the server, to the client */
static bool trickle;                    /* the server gets one byte a time */

static void put(struct pipe *p, const void *from, size_t n)
{
	assert_true(p->n + n <= sizeof p->b);
	memcpy(p->b + p->n, from, n);
	p->n += n;
}

static ssize_t get(struct pipe *p, void *to, size_t n)
{
	if (p->at == p->n)
		return p->end ? 0 : -EAGAIN;
	n = n < p->n - p->at ? n : p->n - p->at;
	memcpy(to, p->b + p->at, n);
	p->at += n;
	return (ssize_t)n;
}

static ssize_t s_pull(void *arg, void *to, size_t n)
{
	(void)arg;
	static bool turn;
	if (trickle && (turn = !turn))
		return -EAGAIN;
	return get(&up, to, trickle ? 1 : n);
}
static ssize_t s_push(void *arg, const void *from, size_t n)
{
	(void)arg;
	put(&down, from, n);
	return (ssize_t)n;
}
static const struct fl_tls_wire wire = { s_pull, s_push };

static gnutls_session_t peer;
static gnutls_certificate_credentials_t creds;

static ssize_t c_pull(gnutls_transport_ptr_t arg, void *to, size_t n)
{
	(void)arg;
	ssize_t got = get(&down, to, n);
	if (got < 0)
		gnutls_transport_set_errno(peer, EAGAIN);
	return got < 0 ? -1 : got;
}
static ssize_t c_push(gnutls_transport_ptr_t arg, const void *from, size_t n)
{
	(void)arg;
	put(&up, from, n);
	return (ssize_t)n;
}

static void client(const char *version, const char *cert, const char *alpn)
{
	char priority[64], file[128], key[128];
	up = down = (struct pipe){ .n = 0 };
	snprintf(priority, sizeof priority, "NORMAL:-VERS-ALL:+VERS-%s", version);
	gnutls_certificate_allocate_credentials(&creds);
	gnutls_certificate_set_x509_trust_file(creds, pki_path(&pki, "ca.pem"), GNUTLS_X509_FMT_PEM);
	if (cert) {
		snprintf(file, sizeof file, "%s/%s.pem", pki.dir, cert);
		snprintf(key, sizeof key, "%s/%s.key", pki.dir, cert);
		assert_int_equal(gnutls_certificate_set_x509_key_file(creds, file, key, GNUTLS_X509_FMT_PEM), 0);
	}
	gnutls_init(&peer, GNUTLS_CLIENT | GNUTLS_NONBLOCK);
	assert_int_equal(gnutls_priority_set_direct(peer, priority, NULL), 0);
	gnutls_credentials_set(peer, GNUTLS_CRD_CERTIFICATE, creds);
	gnutls_session_set_verify_cert(peer, "localhost", 0);
	gnutls_transport_set_pull_function(peer, c_pull);
	gnutls_transport_set_push_function(peer, c_push);
	if (alpn) {
		gnutls_datum_t d = { (unsigned char *)(uintptr_t)alpn, (unsigned)strlen(alpn) };
		gnutls_alpn_set_protocols(peer, &d, 1, 0);
	}
}

static void client_finish(void)
{
	gnutls_deinit(peer);
	gnutls_certificate_free_credentials(creds);
}

/* 0: both are done; else what the server said. */
static int shake(struct fl_tls_session *t)
{
	int s = -EAGAIN, c = GNUTLS_E_AGAIN;
	for (int i = 0; i < 40000 && s == -EAGAIN; i++) {
		if (c == GNUTLS_E_AGAIN)
			c = gnutls_handshake(peer);
		if (c < 0 && gnutls_error_is_fatal(c))
			up.end = true;
		s = fl_tls_session_handshake(t);
	}
	while (!s && c == GNUTLS_E_AGAIN)
		c = gnutls_handshake(peer);
	return s;
}

static void talk(struct fl_tls_session *t)
{
	char got[64];
	assert_int_equal(gnutls_record_send(peer, "question", 8), 8);
	ssize_t n;
	int tries = 0;
	while ((n = fl_tls_session_read(t, got, 4)) == -EAGAIN && tries++ < 1000)
		;
	assert_int_equal(n, 4);
	assert_true(fl_tls_session_pending(t));
	assert_int_equal(fl_tls_session_read(t, got + 4, 60), 4);
	assert_memory_equal(got, "question", 8);
	assert_false(fl_tls_session_pending(t));
	assert_int_equal(fl_tls_session_read(t, got, 1), -EAGAIN);
	assert_int_equal(fl_tls_session_write(t, "answer", 6), 0);
	while ((n = gnutls_record_recv(peer, got, sizeof got)) == GNUTLS_E_AGAIN && tries++ < 1000)
		;
	assert_int_equal(n, 6);
	assert_memory_equal(got, "answer", 6);
}

static void test_both_versions(void **state)
{
	(void)state;
	static const char *const alpn[] = { "h2", "http/1.1", NULL };
	struct fl_tls_host *h = host(FL_TLS_NOCERT, NULL, -1);
	for (int i = 0; i < 4; i++) {
		trickle = i >= 2;
		client(i % 2 ? "TLS1.3" : "TLS1.2", NULL, "http/1.1");
		struct fl_tls_session *t = fl_tls_session_create(fl_tls_host_now(h), alpn, true, &wire, NULL);
		assert_int_equal(shake(t), 0);
		assert_true(fl_str_is(fl_tls_session_alpn(t), "http/1.1"));
		assert_false(fl_tls_session_resumed(t));
		talk(t);
		fl_tls_session_destroy(t, true);
		char c;
		ssize_t n;
		while ((n = gnutls_record_recv(peer, &c, 1)) == GNUTLS_E_AGAIN)
			;
		assert_int_equal(n, 0);         /* it said goodbye */
		client_finish();
	}
	trickle = false;
	fl_tls_host_destroy(h);
}

static void test_alpn(void **state)
{
	(void)state;
	static const char *const alpn[] = { "dot", NULL };
	struct fl_tls_host *h = host(FL_TLS_NOCERT, NULL, -1);
	for (int must = 0; must < 2; must++) {
		client("TLS1.3", NULL, "xmpp");
		struct fl_tls_session *t = fl_tls_session_create(fl_tls_host_now(h), alpn, must, &wire, NULL);
		assert_int_equal(shake(t), must ? -EPROTO : 0);
		if (must)
			assert_string_not_equal(fl_tls_session_reason(t), "Success.");
		fl_tls_session_destroy(t, false);
		client_finish();
	}
	fl_tls_host_destroy(h);
}

static void test_garbage(void **state)
{
	(void)state;
	struct fl_tls_host *h = host(FL_TLS_NOCERT, NULL, -1);
	static const char *const bad[] = { "GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\xff\xff........", "\x17\x03\x03\x10hello, hello" };
	for (size_t i = 0; i < FL_COUNT(bad); i++) {
		up = down = (struct pipe){ .n = 0 };
		put(&up, bad[i], strlen(bad[i]));
		up.end = true;
		struct fl_tls_session *t = fl_tls_session_create(fl_tls_host_now(h), NULL, false, &wire, NULL);
		int ret = fl_tls_session_handshake(t);
		if (ret != -EPROTO)
			fail_msg("%s: %d", bad[i], ret);
		fl_tls_session_destroy(t, true);
	}
	client("TLS1.3", NULL, NULL);           /* and in the middle of a good one */
	struct fl_tls_session *t = fl_tls_session_create(fl_tls_host_now(h), NULL, false, &wire, NULL);
	assert_int_equal(shake(t), 0);
	char got[16];
	put(&up, "\x17\x03\x03\0\x20................................", 37);
	assert_int_equal(fl_tls_session_read(t, got, sizeof got), -EPROTO);
	fl_tls_session_destroy(t, true);
	client_finish();
	fl_tls_host_destroy(h);
}

static void test_clients(void **state)
{
	(void)state;
	static const bool want[5][3] = {        /* without a certificate, with a client's, with a server's */
		{ true, true, true }, { true, true, true }, { false, true, true }, { true, true, false }, { false, true, false } };
	static const char *const cert[] = { NULL, "client", "srv" };
	char ca[128];
	snprintf(ca, sizeof ca, "%s/ca.pem", pki.dir);
	for (unsigned auth = FL_TLS_NOCERT; auth <= FL_TLS_REQUIRE_AND_VERIFY; auth++) {
		struct fl_tls_host *h = host(auth, ca, -1);
		for (int i = 0; i < 6; i++) {
			client(i % 2 ? "TLS1.3" : "TLS1.2", cert[i / 2], NULL);
			struct fl_tls_session *t = fl_tls_session_create(fl_tls_host_now(h), NULL, false, &wire, NULL);
			assert_int_equal(shake(t), want[auth][i / 2] ? 0 : -EPROTO);
			if (want[auth][i / 2])
				talk(t);
			fl_tls_session_destroy(t, false);
			client_finish();
		}
		fl_tls_host_destroy(h);
	}
}

/* One handshake that offers what the one before got; whether it was taken. */
static bool again(struct fl_tls_host *h, const char *version, gnutls_datum_t *session)
{
	client(version, NULL, NULL);
	if (session->data)
		gnutls_session_set_data(peer, session->data, session->size);
	struct fl_tls_session *t = fl_tls_session_create(fl_tls_host_now(h), NULL, false, &wire, NULL);
	assert_int_equal(shake(t), 0);
	talk(t);
	bool resumed = fl_tls_session_resumed(t);
	gnutls_free(session->data);
	assert_int_equal(gnutls_session_get_data2(peer, session), 0);
	fl_tls_session_destroy(t, false);
	client_finish();
	return resumed;
}

/* Resumption lives as long as the certificate. */
static void test_resumption(void **state)
{
	(void)state;
	static const char *const version[] = { "TLS1.2", "TLS1.3" };
	struct fl_err e;
	for (int i = 0; i < 2; i++) {
		gnutls_datum_t session = { NULL, 0 };
		struct fl_tls_host *h = host(FL_TLS_NOCERT, NULL, -1);
		assert_false(again(h, version[i], &session));
		assert_true(again(h, version[i], &session));
		assert_int_equal(fl_tls_host_reload(h, &e), 0);
		assert_true(again(h, version[i], &session));
		pki_issue(&pki, "srv", GNUTLS_KP_TLS_WWW_SERVER);
		assert_int_equal(fl_tls_host_reload(h, &e), 1);
		assert_false(again(h, version[i], &session));
		assert_true(again(h, version[i], &session));
		gnutls_free(session.data);
		fl_tls_host_destroy(h);
	}
}

static void test_reload(void **state)
{
	(void)state;
	struct fl_err e;
	struct fl_tls_host *h = host(FL_TLS_NOCERT, NULL, -1);
	struct fl_tls_server *first = fl_tls_host_now(h);
	client("TLS1.3", NULL, NULL);
	struct fl_tls_session *t = fl_tls_session_create(fl_tls_host_now(h), NULL, false, &wire, NULL);
	assert_int_equal(shake(t), 0);
	assert_int_equal(fl_tls_host_reload(h, &e), 0);
	pki_write(&pki, "srv.key", "no\n", 3);
	assert_int_equal(fl_tls_host_reload(h, &e), -EINVAL);
	assert_string_equal(e.msg, "could not load TLS cert: tls: failed to find any PEM data in key input");
	unlink(pki_path(&pki, "srv.pem"));
	assert_int_equal(fl_tls_host_reload(h, &e), -EINVAL);
	assert_non_null(strstr(e.msg, "no such file or directory"));
	struct fl_tls_server *still = fl_tls_host_now(h);
	assert_ptr_equal(still, first);
	pki_issue(&pki, "srv", GNUTLS_KP_TLS_WWW_SERVER);
	assert_int_equal(fl_tls_host_reload(h, &e), 1);
	struct fl_tls_server *second = fl_tls_host_now(h);
	assert_ptr_not_equal(second, first);
	fl_tls_server_put(first);
	fl_tls_server_put(still);
	fl_tls_server_put(second);
	fl_tls_host_destroy(h);
	talk(t);                                /* a session keeps what it needs */
	fl_tls_session_destroy(t, false);
	client_finish();
}

/* What `stem`.pem and .key hold. */
static struct fl_tls_pair pair_of(const char *stem)
{
	static gnutls_datum_t kept[8];
	static unsigned n;
	gnutls_datum_t *d = &kept[n++ % 4 * 2];
	char name[64];
	gnutls_free(d[0].data);
	gnutls_free(d[1].data);
	snprintf(name, sizeof name, "%s.pem", stem);
	assert_int_equal(gnutls_load_file(pki_path(&pki, name), &d[0]), 0);
	snprintf(name, sizeof name, "%s.key", stem);
	assert_int_equal(gnutls_load_file(pki_path(&pki, name), &d[1]), 0);
	return (struct fl_tls_pair){ { (char *)d[0].data, d[0].size }, { (char *)d[1].data, d[1].size } };
}

/* A client that asks for `name`: the common name that it is shown, or the alert that it gets. */
static const char *asks(struct fl_tls_host *h, const char *version, const char *name)
{
	static char cn[64];
	size_t n = sizeof cn;
	unsigned many;
	client(version, NULL, NULL);
	gnutls_session_set_verify_cert(peer, NULL, GNUTLS_VERIFY_DISABLE_CA_SIGN);
	if (name)
		gnutls_server_name_set(peer, GNUTLS_NAME_DNS, name, strlen(name));
	struct fl_tls_session *t = fl_tls_session_create(fl_tls_host_now(h), NULL, false, &wire, NULL);
	int ret = shake(t);
	if (ret) {
		gnutls_handshake(peer);
		snprintf(cn, sizeof cn, "%s", gnutls_alert_get_name(gnutls_alert_get(peer)));
	} else {
		gnutls_x509_crt_t c;
		gnutls_x509_crt_init(&c);
		gnutls_x509_crt_import(c, &gnutls_certificate_get_peers(peer, &many)[0], GNUTLS_X509_FMT_DER);
		gnutls_x509_crt_get_dn_by_oid(c, GNUTLS_OID_X520_COMMON_NAME, 0, 0, cn, &n);
		gnutls_x509_crt_deinit(c);
		talk(t);
	}
	fl_tls_session_destroy(t, false);
	client_finish();
	return cn;
}

static char *repeated(struct fl_str s, size_t n)
{
	char *all = fl_xalloc(n * s.n + 1);
	for (size_t i = 0; i < n; i++)
		memcpy(all + i * s.n, s.p, s.n);
	return all;
}

/* A host without files: each name its certificate, wildcards after the names themselves; what is not there is refused. */
static void test_given(void **state)
{
	(void)state;
	static const char *const names[] = { "a.test", "*.sub.test", "x.sub.test" };
	static const char *const versions[] = { "TLS1.2", "TLS1.3" };
	struct fl_tls_pair pairs[3];
	struct fl_err e;
	pki_issue(&pki, "third", GNUTLS_KP_TLS_WWW_SERVER);
	for (int i = 0; i < 2; i++) {
		memset(pairs, 0, sizeof pairs);
		struct fl_tls_host *h = fl_tls_host_create_given(names, 3, pairs, &e);
		assert_non_null(h);
		assert_string_equal(asks(h, versions[i], "a.test"), "Internal error");
		assert_string_equal(asks(h, versions[i], NULL), "Internal error");
		assert_string_equal(asks(h, versions[i], "other.test"), "The server name sent was not recognized");
		pairs[1] = pair_of("client");
		assert_int_equal(fl_tls_host_give(h, pairs, &e), 0);
		assert_string_equal(asks(h, versions[i], "Y.Sub.Test"), "client");
		assert_string_equal(asks(h, versions[i], "sub.test"), "The server name sent was not recognized");
		assert_string_equal(asks(h, versions[i], "z.y.sub.test"), "The server name sent was not recognized");
		assert_string_equal(asks(h, versions[i], "x.sub.test"), "Internal error");
		assert_string_equal(asks(h, versions[i], NULL), "Internal error");
		pairs[0] = pair_of("srv");
		pairs[2] = pair_of("third");
		assert_int_equal(fl_tls_host_give(h, pairs, &e), 0);
		assert_string_equal(asks(h, versions[i], "A.TEST"), "srv");
		assert_string_equal(asks(h, versions[i], NULL), "srv");
		assert_string_equal(asks(h, versions[i], "x.sub.test"), "third");
		assert_string_equal(asks(h, versions[i], "y.sub.test"), "client");
		struct fl_tls_pair of_many = pairs[0];          /* longer than GnuTLS's clients take, not others */
		pairs[0].cert = (struct fl_str){ repeated(of_many.cert, 20), 20 * of_many.cert.n };
		assert_int_equal(fl_tls_host_give(h, pairs, &e), 0);
		free((char *)(uintptr_t)pairs[0].cert.p);
		pairs[0] = of_many;
		assert_int_equal(fl_tls_host_give(h, pairs, &e), 0);
		pairs[0].cert = FL_STR("rubbish");
		assert_int_equal(fl_tls_host_give(h, pairs, &e), -EINVAL);
		assert_int_equal(strncmp(e.msg, "a.test: ", 8), 0);
		assert_string_equal(asks(h, versions[i], "a.test"), "srv");
		struct fl_tls_host *files = host(FL_TLS_NOCERT, NULL, -1);
		assert_string_equal(fl_tls_host_differs(h, files), "dynamic TLS callbacks differ");
		assert_null(fl_tls_host_differs(h, h));
		fl_tls_host_destroy(files);
		fl_tls_host_destroy(h);
	}
}

static void test_differs(void **state)
{
	(void)state;
	char ca[128], other[128];
	snprintf(ca, sizeof ca, "%s/ca.pem", pki.dir);
	snprintf(other, sizeof other, "%s/client.pem", pki.dir);
	struct fl_tls_host *a = host(FL_TLS_NOCERT, NULL, -1), *b = host(FL_TLS_NOCERT, NULL, -1), *c = host(FL_TLS_REQUIRE, NULL, -1),
			   *d = host(FL_TLS_NOCERT, ca, -1), *e = host(FL_TLS_NOCERT, other, -1);
	assert_null(fl_tls_host_differs(a, b));
	assert_null(fl_tls_host_differs(NULL, NULL));
	assert_string_equal(fl_tls_host_differs(a, NULL), "TLS is configured for only one server block");
	assert_string_equal(fl_tls_host_differs(a, c), "client authentication policies differ");
	assert_string_equal(fl_tls_host_differs(a, d), "client CA pools differ");
	assert_string_equal(fl_tls_host_differs(e, d), "client CA pools differ");
	pki_issue(&pki, "srv", GNUTLS_KP_TLS_WWW_SERVER);
	struct fl_tls_host *f = host(FL_TLS_NOCERT, NULL, -1);
	assert_string_equal(fl_tls_host_differs(a, f), "server certificates differ");
	fl_tls_host_destroy(a);
	fl_tls_host_destroy(b);
	fl_tls_host_destroy(c);
	fl_tls_host_destroy(d);
	fl_tls_host_destroy(e);
	fl_tls_host_destroy(f);
	fl_tls_host_destroy(NULL);
}

static void test_keylog(void **state)
{
	(void)state;
	char text[4096] = "";
	int fd = open(pki_path(&pki, "secrets"), O_RDWR | O_CREAT | O_APPEND, 0600);
	struct fl_tls_host *h = host(FL_TLS_NOCERT, NULL, dup(fd));
	client("TLS1.3", NULL, NULL);
	struct fl_tls_session *t = fl_tls_session_create(fl_tls_host_now(h), NULL, false, &wire, NULL);
	assert_int_equal(shake(t), 0);
	fl_tls_session_destroy(t, false);
	client_finish();
	fl_tls_host_destroy(h);
	assert_true(pread(fd, text, sizeof text - 1, 0) > 200);
	assert_non_null(strstr(text, "CLIENT_TRAFFIC_SECRET_0 "));
	assert_non_null(strstr(text, "SERVER_TRAFFIC_SECRET_0 "));
	close(fd);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = { T(test_both_versions), T(test_alpn), T(test_garbage), T(test_clients), T(test_resumption),
					    T(test_reload), T(test_given), T(test_differs), T(test_keylog) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

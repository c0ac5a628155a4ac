/* A server of DNS over QUIC on loopback under a virtual clock, and a relay before it that loses, reorders, repeats and damages what a test says.
 * Included by the tests of its two kinds of clients. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>
#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "net/quic.h"
#include "net/web.h"

enum { HELD = 600, LEGS = 256 };

static struct fl_loop *loop;
static struct fl_udp *udp;
static struct fl_quic *quic;
static struct fl_quic_listener li;
static uint32_t total;
static struct fl_io server_io, front;            /* the server's socket; the relay's to clients */
static struct sockaddr_in server_at, front_at, client_at;
static gnutls_certificate_credentials_t server_cred, client_cred;
static gnutls_datum_t ticket_key, ca;
static bool tickets;
static const struct fl_web_ops *http;            /* set before it opens: HTTP/3 for these, not DoQ */
static struct fl_web_stats http_stats;

/* what the server does with queries */
static struct fl_quic_stream *held[HELD];
static unsigned nheld, ngone, errors[8];
static bool hold;
static size_t answer_size;
/* what the relay does */
static bool (*to_server)(uint8_t *p, size_t *n), (*to_client)(uint8_t *p, size_t *n);

/* ---- a certificate of our own ---- */

static void make_certs(void)
{
	gnutls_x509_privkey_t key;
	gnutls_x509_crt_t crt;
	static const char serial[] = { 1 };
	time_t now = time(NULL);
	gnutls_x509_privkey_init(&key);
	assert_int_equal(gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0), 0);
	gnutls_x509_crt_init(&crt);
	gnutls_x509_crt_set_version(crt, 3);
	gnutls_x509_crt_set_serial(crt, serial, sizeof serial);
	gnutls_x509_crt_set_activation_time(crt, now - 3600);
	gnutls_x509_crt_set_expiration_time(crt, now + 24 * 3600);
	gnutls_x509_crt_set_dn(crt, "CN=dns.test", NULL);
	gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_DNSNAME, "dns.test", 8, GNUTLS_FSAN_SET);
	gnutls_x509_crt_set_basic_constraints(crt, 1, -1);
	gnutls_x509_crt_set_key(crt, key);
	assert_int_equal(gnutls_x509_crt_sign2(crt, crt, key, GNUTLS_DIG_SHA256, 0), 0);
	gnutls_certificate_allocate_credentials(&server_cred);
	assert_true(gnutls_certificate_set_x509_key(server_cred, &crt, 1, key) >= 0);
	gnutls_certificate_allocate_credentials(&client_cred);
	gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &ca);
	gnutls_certificate_set_x509_trust_mem(client_cred, &ca, GNUTLS_X509_FMT_PEM);
	gnutls_session_ticket_key_generate(&ticket_key);
	gnutls_x509_crt_deinit(crt);
	gnutls_x509_privkey_deinit(key);
}

static unsigned sessions;

static int server_tls(struct fl_quic_listener *l, gnutls_session_t s, void **held_by)
{
	(void)l;
	*held_by = &sessions;
	sessions++;
	if (tickets)
		gnutls_session_ticket_enable_server(s, &ticket_key);
	return gnutls_credentials_set(s, GNUTLS_CRD_CERTIFICATE, server_cred);
}

static void server_forget(void *p) { --*(unsigned *)p; }

/* ---- the server ---- */

static void give(struct fl_quic_stream *s, const uint8_t *p, size_t n)
{
	static uint8_t big[65535];
	memcpy(big, p, n);
	big[2] |= 0x80;
	fl_quic_answer(s, big, answer_size ? answer_size : n);
}

static void on_query(struct fl_quic_stream *s, const uint8_t *p, size_t n)
{
	if (!hold) {
		give(s, p, n);
		return;
	}
	held[nheld] = s;
	*(struct fl_quic_stream ***)fl_quic_stream_room(s) = &held[nheld++];
}

static void on_gone(struct fl_quic_stream *s)
{
	**(struct fl_quic_stream ***)fl_quic_stream_room(s) = NULL;
	ngone++;
}

static void on_error(struct fl_quic_listener *l, unsigned code)
{
	assert_ptr_equal(l, &li);
	errors[code]++;
}

static void server_ready(struct fl_io *io, uint32_t events)
{
	struct fl_udp_in *in;
	(void)events;
	int n = fl_udp_recv(udp, io->fd, false, &in);
	for (int i = 0; i < n; i++)
		fl_quic_datagram(&li, &in[i]);
}

static bool turn(void *arg)
{
	(void)arg;
	bool more = quic && fl_quic_flush(quic);
	fl_udp_flush(udp);
	return more;
}

/* ---- the relay ---- */

static int bound(struct sockaddr_in *at)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	socklen_t len = sizeof *at;
	*at = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	assert_int_equal(bind(fd, (struct sockaddr *)at, sizeof *at), 0);
	getsockname(fd, (struct sockaddr *)at, &len);
	return fd;
}

/* Each client has a socket of its own to the server. */
static struct leg { struct fl_io io; struct sockaddr_in client; } legs[LEGS];
static unsigned nlegs;

static void back_ready(struct fl_io *io, uint32_t events)
{
	uint8_t b[4096];
	(void)events;
	ssize_t got = recv(io->fd, b, sizeof b, MSG_DONTWAIT);
	size_t n = got > 0 ? (size_t)got : 0;
	if (n && (!to_client || to_client(b, &n)))
		sendto(front.fd, b, n, 0, (struct sockaddr *)&((struct leg *)io)->client, sizeof(struct sockaddr_in));
}

static int leg_of(const struct sockaddr_in *client)
{
	unsigned i = 0;
	while (i < nlegs && (legs[i].client.sin_port != client->sin_port))
		i++;
	if (i < nlegs)
		return legs[i].io.fd;
	fl_assert(nlegs < LEGS);
	legs[nlegs] = (struct leg){ .io = { .fd = bound(&(struct sockaddr_in){ 0 }), .fn = back_ready }, .client = *client };
	fl_loop_add(loop, &legs[nlegs].io, EPOLLIN);
	return legs[nlegs++].io.fd;
}

static void to_the_server(const uint8_t *p, size_t n)
{
	sendto(leg_of(&client_at), p, n, 0, (struct sockaddr *)&server_at, sizeof server_at);
}

static void front_ready(struct fl_io *io, uint32_t events)
{
	uint8_t b[4096];
	socklen_t len = sizeof client_at;
	(void)events;
	ssize_t got = recvfrom(io->fd, b, sizeof b, MSG_DONTWAIT, (struct sockaddr *)&client_at, &len);
	size_t n = got > 0 ? (size_t)got : 0;
	if (n && (!to_server || to_server(b, &n)))
		to_the_server(b, n);
}

static void run(uint64_t ns) { fl_loop_advance(loop, ns); }

static const struct fl_quic_ops world_ops = { on_query, on_gone, on_error };

static void world_open(void)
{
	fl_clock_virtual(1000 * FL_SEC);
	loop = fl_loop_create();
	udp = fl_udp_create();
	quic = fl_quic_create(loop, udp, &world_ops);
	if (!server_cred)
		make_certs();
	li = (struct fl_quic_listener){ .conf = { 3 * FL_SEC, 10 * FL_SEC, 256, 200, http ? 0 : 1024, 5 * FL_SEC }, .total = &total, .tls = server_tls,
					.forget = server_forget };
	http_stats = (struct fl_web_stats){ 0 };
	li.web = http ? fl_web_create(loop, http, &http_stats) : NULL;
	li.fd = bound(&server_at);
	server_io = (struct fl_io){ .fd = li.fd, .fn = server_ready };
	front = (struct fl_io){ .fd = bound(&front_at), .fn = front_ready };
	fl_loop_add(loop, &server_io, EPOLLIN);
	fl_loop_add(loop, &front, EPOLLIN);
	fl_loop_hooks(loop, NULL, NULL, turn, NULL);
	fl_quic_listen(quic, &li);
	total = nheld = ngone = nlegs = 0;
	hold = tickets = false;
	answer_size = 0;
	to_server = to_client = NULL;
	memset(errors, 0, sizeof errors);
}

static void world_close(void)
{
	fl_quic_destroy(quic);
	quic = NULL;
	fl_web_destroy(li.web);
	assert_int_equal(total, 0);
	assert_int_equal(sessions, 0);
	fl_loop_hooks(loop, NULL, NULL, NULL, NULL);
	fl_loop_del(loop, &server_io);
	fl_loop_del(loop, &front);
	close(server_io.fd);
	close(front.fd);
	while (nlegs) {
		fl_loop_del(loop, &legs[--nlegs].io);
		close(legs[nlegs].io.fd);
	}
	fl_udp_destroy(udp);
	fl_loop_destroy(loop);
	fl_clock_virtual(0);
}

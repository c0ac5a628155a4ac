/* Datagrams into a server of DNS over QUIC, from strangers: Initials, other versions, tokens, resets. What it answers goes nowhere. Whatever
 * comes, the connections that it holds stay within the limit of handshakes, and end when their time is over. */
#include <arpa/inet.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdlib.h>
#include <time.h>
#include "net/quic.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct fl_loop *loop;
static struct fl_udp *udp;
static gnutls_certificate_credentials_t cred;
static uint32_t total;

static int tls(struct fl_quic_listener *li, gnutls_session_t s, void **held)
{
	(void)li;
	*held = NULL;
	return gnutls_credentials_set(s, GNUTLS_CRD_CERTIFICATE, cred);
}

static void forget(void *held) { (void)held; }
static void query(struct fl_quic_stream *s, const uint8_t *p, size_t n) { fl_quic_answer(s, p, n); }
static void gone(struct fl_quic_stream *s) { (void)s; }

static void error(struct fl_quic_listener *li, unsigned code)
{
	(void)li;
	(void)code;
}

static bool turn(void *q)
{
	bool more = fl_quic_flush(*(struct fl_quic **)q);
	fl_udp_flush(udp);
	return more;
}

static void init(void)
{
	gnutls_x509_privkey_t key;
	gnutls_x509_crt_t crt;
	fl_clock_virtual(1000 * FL_SEC);
	loop = fl_loop_create();
	udp = fl_udp_create();
	gnutls_x509_privkey_init(&key);
	gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0);
	gnutls_x509_crt_init(&crt);
	gnutls_x509_crt_set_version(crt, 3);
	gnutls_x509_crt_set_serial(crt, "\1", 1);
	gnutls_x509_crt_set_activation_time(crt, time(NULL));
	gnutls_x509_crt_set_expiration_time(crt, time(NULL) + 3600);
	gnutls_x509_crt_set_key(crt, key);
	gnutls_x509_crt_sign2(crt, crt, key, GNUTLS_DIG_SHA256, 0);
	gnutls_certificate_allocate_credentials(&cred);
	gnutls_certificate_set_x509_key(cred, &crt, 1, key);
	gnutls_x509_crt_deinit(crt);
	gnutls_x509_privkey_deinit(key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct fl_quic_ops ops = { query, gone, error };
	static struct fl_quic_listener li;
	uint8_t datagram[FL_UDP_IN];
	if (!loop)
		init();
	struct fl_quic *q = fl_quic_create(loop, udp, &ops);
	fl_loop_hooks(loop, NULL, NULL, turn, &q);
	li = (struct fl_quic_listener){ .fd = -1, .conf = { 3 * FL_SEC, 10 * FL_SEC, 16, 8, 4 }, .total = &total, .tls = tls, .forget = forget };
	fl_quic_listen(q, &li);
	for (unsigned i = 0; size >= 3; i++) {  /* two octets of length, one of whence and how large it is made, the datagram */
		size_t n = (size_t)data[0] << 8 | data[1];
		n = n > size - 3 ? size - 3 : n > sizeof datagram ? sizeof datagram : n;
		memset(datagram, 0, sizeof datagram);
		memcpy(datagram, data + 3, n);
		struct fl_udp_in in = { .bytes = datagram, .n = data[2] & 1 && n < 1200 ? 1200 : n, .cut = (data[2] & 0xfe) == 0xfe };
		in.way.peer.v4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001 + data[2] % 7u),
						       .sin_port = htons(4000) };
		fl_quic_datagram(&li, &in);
		if (i % 4 == 3)
			fl_quic_flush(q);
		data += n + 3;
		size -= n + 3;
	}
	struct fl_quic_stats st = fl_quic_stats(q);
	if (st.open > FL_QUIC_RETRY_AT)
		abort();
	fl_loop_advance(loop, 30 * FL_SEC);
	st = fl_quic_stats(q);
	if (st.open || total)
		abort();
	fl_loop_hooks(loop, NULL, NULL, NULL, NULL);
	fl_quic_destroy(q);
	return 0;
}

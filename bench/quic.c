/* Queries by DNS over QUIC: so many connections, so many questions in flight on each, for so long. Certificates are not verified.
 * usage: bench_quic ADDR PORT NAME [CONNECTIONS [IN-FLIGHT [SECONDS]]]   Prints: answers a second, and what failed. */
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/mem.h"
#include "net/quic_client.h"
#include "net/udp.h"

struct slot { struct fl_quic_client *client; struct fl_quic_ask *ask; };

static struct fl_loop *loop;
static gnutls_certificate_credentials_t cred;
static uint8_t query[512];
static size_t nquery;
static uint64_t answers, failures, end_ns;

static int tls(void *arg, gnutls_session_t s)
{
	(void)arg;
	return gnutls_credentials_set(s, GNUTLS_CRD_CERTIFICATE, cred);
}

static void ask(struct slot *s)
{
	bool reused;
	if (fl_quic_client_ask(s->client, query, nquery, s, &s->ask, &reused))
		failures++;
}

static void done(void *user, int ret, const uint8_t *msg, size_t n)
{
	struct slot *s = user;
	bool good = !ret && n > 12 && !(msg[3] & 15);
	if (!good && !failures++)
		fprintf(stderr, "%s\n", ret ? fl_quic_client_why(s->client) : "an answer is not NOERROR");
	answers += good;
	if (fl_loop_now(loop) < end_ns && failures < 1000)
		ask(s);
	else
		fl_loop_stop(loop);
}

static void put_name(const char *name)
{
	static const uint8_t head[12] = { [2] = 1, [5] = 1 };
	memcpy(query, head, nquery = 12);
	for (struct fl_str rest = fl_str(name), label; rest.n && nquery < 300;) {
		rest = fl_str_cut(rest, '.', &label);
		if (!label.n || label.n > 63)
			break;
		query[nquery++] = (uint8_t)label.n;
		memcpy(query + nquery, label.p, label.n);
		nquery += label.n;
	}
	memcpy(query + nquery, "\0\0\1\0\1", 5);
	nquery += 5;
}

int main(int argc, char **argv)
{
	int64_t port, conns = 1, flight = 64, seconds = 5;
	if (argc < 4 || fl_parse_int(fl_str(argv[2]), 1, 65535, &port) || (argc > 4 && fl_parse_int(fl_str(argv[4]), 1, 1000, &conns)) ||
	    (argc > 5 && fl_parse_int(fl_str(argv[5]), 1, 1000, &flight)) || (argc > 6 && fl_parse_int(fl_str(argv[6]), 1, 3600, &seconds)))
		return fprintf(stderr, "usage: %s ADDR PORT NAME [CONNECTIONS [IN-FLIGHT [SECONDS]]]\n", argv[0]), 2;
	struct fl_quic_client_conf conf = { .expire_ns = 10 * FL_SEC, .tls = tls, .done = done };
	conf.addr_len = fl_sockaddr(&conf.addr, fl_str(argv[1]), (uint16_t)port);
	put_name(argv[3]);
	gnutls_certificate_allocate_credentials(&cred);
	loop = fl_loop_create();
	end_ns = fl_loop_now(loop) + (uint64_t)seconds * FL_SEC;
	struct slot *slot = fl_xalloc((size_t)(conns * flight) * sizeof *slot);
	for (int64_t i = 0; i < conns * flight; i++) {
		slot[i].client = i % flight ? slot[i - 1].client : fl_quic_client_create(loop, &conf);
		ask(&slot[i]);
	}
	fl_loop_run(loop);
	printf("%.0f answers/s, %llu failures\n", (double)answers / (double)seconds, (unsigned long long)failures);
	for (int64_t i = 0; i < conns * flight; i += flight)
		fl_quic_client_destroy(slot[i].client);
	free(slot);
	return failures != 0;
}

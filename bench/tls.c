/* Queries by DNS over TLS (RFC 7858) on long connections. What a connection is to ask next goes out as soon as answers came, all that is due
 * in one write: PER-RECORD questions to a record (0: as many as are due). It never sleeps, so that no server is spared the waking of it.
 * Certificates are not verified. usage: bench_tls ADDR PORT FILE [CONNECTIONS [IN-FLIGHT [SECONDS [PER-RECORD]]]]; FILE: see questions.h;
 * IN-FLIGHT: on each connection. Prints: answers with NOERROR a second, and what failed. */
#include "questions.h"
#include "base/clock.h"
#include "net/tls.h"
#include "net/udp.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>
#include <sys/socket.h>

enum { RECORD = 16 * 1024, MESSAGE = 2 + 512 };

struct conn { int fd; struct fl_tls *tls; uint8_t in[2 + 65535]; size_t have; uint8_t out[RECORD]; size_t out_n; unsigned due; };

static struct conn *conn;
static unsigned at_question;
static uint64_t answers, failures;

static void fail(const char *what, const char *why) { exit(fprintf(stderr, "%s: %s\n", what, why)); }

static void open_conn(struct conn *c, struct fl_tls_creds *creds, const struct sockaddr *to, socklen_t n)
{
	struct fl_err e;
	int ret;
	c->fd = socket(to->sa_family, SOCK_STREAM, 0);
	if (c->fd < 0 || connect(c->fd, to, n) || fcntl(c->fd, F_SETFL, O_NONBLOCK))
		fail("connect", strerror(errno));
	if (!(c->tls = fl_tls_client(creds, c->fd, "", NULL)))
		fail("tls", "out of memory");
	while ((ret = fl_tls_handshake(c->tls, &e)) > 0)
		poll(&(struct pollfd){ .fd = c->fd, .events = ret == 1 ? POLLIN : POLLOUT }, 1, 5000);
	if (ret)
		fail("handshake", e.msg);
}

/* Asks what is due, as far as the socket takes it. */
static void ask(struct conn *c, unsigned most)
{
	while (c->due || c->out_n) {
		for (unsigned k = 0; !c->out_n || (k && k < most && c->due && c->out_n + MESSAGE <= sizeof c->out); k++) {
			const struct question *q = &question[at_question];
			at_question = (at_question + 1) % nquestion;
			fl_put16(c->out + c->out_n, q->n);
			memcpy(c->out + c->out_n + 2, q->bytes, q->n);
			c->out_n += 2u + q->n;
			c->due--;
		}
		ssize_t n = fl_tls_write(c->tls, c->out, c->out_n);
		if (n == -EAGAIN)
			return;
		if (n != (ssize_t)c->out_n)
			fail("write", "the connection ended");
		c->out_n = 0;
	}
}

static void hear(struct conn *c)
{
	ssize_t n;
	while ((n = fl_tls_read(c->tls, c->in + c->have, sizeof c->in - c->have)) > 0) {
		size_t at = 0, len;
		c->have += (size_t)n;
		for (; c->have - at >= 2 && c->have - at - 2 >= (len = fl_get16(c->in + at)); at += 2 + len) {
			bool good = len > FL_HEADER && !(c->in[at + 2 + 3] & 15);
			answers += good;
			failures += !good;
			c->due++;
		}
		memmove(c->in, c->in + at, c->have -= at);
	}
	if (n != -EAGAIN)
		fail("read", "the connection ended");
}

int main(int argc, char **argv)
{
	int64_t port, conns = 1, flight = 64, seconds = 5, most = 0;
	struct sockaddr_in6 to;
	struct fl_err e;
	if (argc < 4 || fl_parse_int(fl_str(argv[2]), 1, 65535, &port) || (argc > 4 && fl_parse_int(fl_str(argv[4]), 1, 1000, &conns)) ||
	    (argc > 5 && fl_parse_int(fl_str(argv[5]), 1, 60000, &flight)) || (argc > 6 && fl_parse_int(fl_str(argv[6]), 1, 3600, &seconds)) ||
	    (argc > 7 && fl_parse_int(fl_str(argv[7]), 0, 1000, &most)))
		return fprintf(stderr, "usage: %s ADDR PORT FILE [CONNECTIONS [IN-FLIGHT [SECONDS [PER-RECORD]]]]\n", argv[0]), 2;
	socklen_t len = fl_sockaddr(&to, fl_str(argv[1]), (uint16_t)port);
	struct fl_tls_creds *creds = fl_tls_creds_create(&(struct fl_tls_trust){ .insecure = true }, &e);
	read_questions(argv[3], -1);
	conn = fl_xalloc((size_t)conns * sizeof *conn);
	for (int64_t i = 0; i < conns; i++) {
		open_conn(&conn[i], creds, (struct sockaddr *)&to, len);
		conn[i].due = (unsigned)flight;
	}
	uint64_t end_ns = fl_clock_ns() + (uint64_t)seconds * FL_SEC;
	while (fl_clock_ns() < end_ns)
		for (int64_t i = 0; i < conns; i++) {
			ask(&conn[i], most ? (unsigned)most : UINT32_MAX);
			hear(&conn[i]);
		}
	printf("%.0f answers/s, %llu failures\n", (double)answers / (double)seconds, (unsigned long long)failures);
	for (int64_t i = 0; i < conns; i++) {
		fl_tls_destroy(conn[i].tls);
		close(conn[i].fd);
	}
	fl_tls_creds_put(creds);
	free(conn);
	return failures != 0;
}

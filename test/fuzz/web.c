/* The framing of DoH and gRPC: any bytes, in portions that the input chooses, through real connections (a socket of this process) to the
 * HTTP server, in both versions; and the pure parts behind it. The first byte says which way. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "base/mem.h"
#include "web_owner.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct fl_loop *loop;
static struct fl_pool pool;
static struct fl_tcp *tcp;
static struct fl_tcp_listener li[2];
static struct fl_web_stats stats;
static struct sockaddr_un at[2];

static void init(void)
{
	static const struct fl_tcp_limits lim = { .max_conns = 8, .max_inflight = 8, .max_unsent = 1 << 20 };
	static const struct fl_tcp_ops none = { 0 };
	static const struct fl_web_ops ops = { request, gone };
	fl_clock_virtual(1000 * FL_SEC);
	loop = fl_loop_create();
	fl_pool_init(&pool, 16 << 20);
	tcp = fl_tcp_create(loop, &pool, &lim, &none);
	for (int i = 0; i < 2; i++) {
		struct fl_web *w = fl_web_create(loop, &ops, &stats);
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
		at[i] = (struct sockaddr_un){ .sun_family = AF_UNIX };
		socklen_t n = offsetof(struct sockaddr_un, sun_path) + 1 +
			      (socklen_t)snprintf(at[i].sun_path + 1, sizeof at[i].sun_path - 1, "fl-fuzz-%d-%d", getpid(), i);
		fl_assert(!bind(fd, (struct sockaddr *)&at[i], n) && !listen(fd, 8));
		fl_web_configure(w, &(struct fl_web_conf){ .max_streams = 5, .prior = i, .fields = true });
		li[i] = (struct fl_tcp_listener){ .read_ns = FL_SEC, .write_ns = FL_SEC, .idle_ns = FL_SEC, .ops = &fl_web_tcp_ops, .speaker = w };
		fl_assert(!fl_tcp_listen(tcp, &li[i], fd));
	}
}

static void pure(const uint8_t *p, size_t n)
{
	uint8_t *exact = malloc(n + 1), to[64];
	struct fl_str msg;
	const char *why;
	memcpy(exact, p, n);
	fl_doh_age(exact, n);
	if (!fl_grpc_unwrap(exact, n, &msg, &why))
		fl_assert(!msg.n || ((const uint8_t *)msg.p >= exact && (const uint8_t *)msg.p + msg.n <= exact + n));
	int got = fl_doh_get((struct fl_str){ (const char *)exact, n }, to, sizeof to);
	fl_assert(got <= (int)sizeof to && fl_doh_path((struct fl_str){ (const char *)exact, n }) == (got != -ENOENT));
	free(exact);
	/* whole or in bytes: the same request */
	struct fl_web_h1 a, b;
	fl_web_h1_init(&a);
	fl_web_h1_init(&b);
	size_t whole = fl_web_h1_feed(&a, p, n), bytes = 0;
	while (bytes < n && b.state != FL_H1_DONE && b.state != FL_H1_BAD)
		bytes += fl_web_h1_feed(&b, p + bytes, 1);
	fl_assert(a.state == b.state && a.body_n == b.body_n && a.target.n == b.target.n && (a.state == FL_H1_BAD || whole == bytes));
	fl_assert(a.state != FL_H1_BAD || (a.status == b.status && fl_web_reason(a.status)[0] != 'U'));
	fl_web_h1_finish(&a);
	fl_web_h1_finish(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
	static char in[65536];
	if (!size)
		return 0;
	if (!loop)
		init();
	unsigned v2 = data[0] & 1, step = data[0] & 2 ? 1 + data[0] / 4 % 60u : 65536;
	data++;
	size--;
	pure(data, size);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	socklen_t len = offsetof(struct sockaddr_un, sun_path) + 1 + (socklen_t)strlen(at[v2].sun_path + 1);
	fl_assert(!connect(fd, (struct sockaddr *)&at[v2], len));
	if (v2)
		send(fd, preface, sizeof preface - 1, MSG_NOSIGNAL);
	for (size_t n; size; data += n, size -= n) {
		n = size < step ? size : step;
		ssize_t put = send(fd, data, n, MSG_NOSIGNAL | MSG_DONTWAIT);
		fl_loop_run_until_idle(loop);
		while (recv(fd, in, sizeof in, MSG_DONTWAIT) > 0)
			fl_loop_run_until_idle(loop);
		if (put <= 0)
			break;
	}
	if (late)
		fl_loop_advance(loop, FL_SEC / 2);
	shutdown(fd, SHUT_WR);
	fl_loop_advance(loop, 3 * FL_SEC);
	close(fd);
	fl_loop_advance(loop, 3 * FL_SEC);
	if (late)
		answer(late);
	fl_loop_run_until_idle(loop);
	fl_assert(!live && !fl_tcp_stats(tcp).open && !pool.used);
	return 0;
}

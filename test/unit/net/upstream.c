/* Questions to a server on loopback, under a virtual clock; the server answers as each test says. */
#include "../loopback.h"
#include "asked.h"
#include <errno.h>
#include <linux/udp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { ASKS = 8192, FRAME = 64 };

static struct fl_loop *loop;
static int udp = -1, tcp = -1;
static uint16_t port;
static struct asked *ask;

static unsigned calls, most, failing;   /* of sendmmsg(); so many messages it takes at a time; the call that says EAGAIN */
static unsigned messages, bursts;       /* that it was given and took; of several questions */
static int no_bursts;                   /* what it says to those; 0: takes them */
static bool old_kernel;                 /* before 4.18 */

static int set_up(void **state)
{
	(void)state;
	calls = most = failing = messages = bursts = 0;
	no_bursts = 0;
	old_kernel = false;
	fl_clock_virtual(1000 * FL_SEC);
	loop = fl_loop_create();
	port = bound_pair(&udp, &tcp, SOCK_NONBLOCK);
	const struct sockaddr_in at = loopback(port);
	open_upstream(loop, &at, (struct fl_up_conf){ 0 });
	ask = calloc(ASKS, sizeof *ask);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	close_upstream();
	fl_loop_destroy(loop);
	close(udp);
	close(tcp);
	free(ask);
	fl_clock_virtual(0);
	return 0;
}

static int start(unsigned i, bool over_tcp)
{
	put_question(&ask[i]);
	return fl_upstream_ask(up, &ask[i].a, over_tcp, 2 * FL_SEC);
}

/* One datagram that the server got, made a reply; from: where it came from. */
static size_t take(uint8_t *msg, struct sockaddr_in *from)
{
	socklen_t len = sizeof *from;
	fl_loop_run_until_idle(loop);   /* questions go out at the end of a turn */
	ssize_t n = recvfrom(udp, msg, FRAME, 0, (struct sockaddr *)from, &len);
	if (n < 0)
		return 0;
	msg[2] |= 0x80;
	return (size_t)n;
}

static void give(const uint8_t *msg, size_t n, const struct sockaddr_in *to)
{
	assert_int_equal(sendto(udp, msg, n, 0, (const struct sockaddr *)to, sizeof *to), n);
	fl_loop_run_until_idle(loop);
}

static void test_udp(void **state)
{
	(void)state;
	uint8_t m[FRAME];
	struct sockaddr_in from;
	assert_int_equal(start(0, false), 0);
	assert_false(ask[0].a.reused);
	size_t n = take(m, &from);
	assert_int_equal(n, 12 + sizeof question);
	give(m, n, &from);
	assert_int_equal(ask[0].done, 1);
	assert_int_equal(ask[0].ret, 0);
	assert_memory_equal(ask[0].reply, m, n);
	assert_int_equal(start(1, false), 0);
	assert_true(ask[1].a.reused);
	n = take(m, &from);
	fl_upstream_cancel(&ask[1].a);
	give(m, n, &from);
	assert_int_equal(ask[1].done, 0);
	assert_int_equal(fl_upstream_stats(up)->stray, 1);
	fl_upstream_cancel(&ask[1].a);
	fl_upstream_cancel(&ask[0].a);
}

/* Whatever is no answer to the question is counted and waited past. */
static void test_wrong(void **state)
{
	(void)state;
	uint8_t m[FRAME], bad[FRAME];
	struct sockaddr_in from;
	assert_int_equal(start(0, false), 0);
	size_t n = take(m, &from);
	static const struct { unsigned at; uint8_t flip; } faults[] = {
		{ 2, 0x80 },                    /* no response */
		{ 13, 1 }, { 12, 1 }, { 18, 1 },        /* other names */
		{ 20, 1 }, { 22, 2 },           /* type, class */
		{ 5, 2 }, { 4, 1 },             /* questions */
	};
	for (unsigned i = 0; i < FL_COUNT(faults); i++) {
		memcpy(bad, m, n);
		bad[faults[i].at] ^= faults[i].flip;
		give(bad, n, &from);
		assert_int_equal(ask[0].done, 0);
		assert_int_equal(fl_upstream_stats(up)->wrong, i + 1);
	}
	give(m, 11, &from);
	give(m, n - 1, &from);
	assert_int_equal(fl_upstream_stats(up)->wrong, FL_COUNT(faults) + 2);
	memcpy(bad, m, n);
	bad[1] ^= 1;
	give(bad, n, &from);
	assert_int_equal(fl_upstream_stats(up)->stray, 1);
	struct sockaddr_in elsewhere = { .sin_family = AF_INET };       /* the right answer, from another port and another address */
	for (unsigned i = 0; i < 2; i++) {
		int fd = socket(AF_INET, SOCK_DGRAM, 0);
		elsewhere.sin_addr.s_addr = htonl(INADDR_LOOPBACK + i);
		assert_int_equal(bind(fd, (struct sockaddr *)&elsewhere, sizeof elsewhere), 0);
		assert_int_equal(sendto(fd, m, n, 0, (struct sockaddr *)&from, sizeof from), n);
		fl_loop_run_until_idle(loop);
		close(fd);
	}
	assert_int_equal(ask[0].done, 0);
	bad[1] = m[1];
	bad[5] = 0;                             /* no question, NOERROR and NXDOMAIN: nobody answers so */
	give(bad, 12, &from);
	bad[3] = 3;
	give(bad, 12, &from);
	assert_int_equal(ask[0].done, 0);
	m[13] ^= 0x20;                          /* another letter case is the same name */
	give(m, n, &from);
	assert_int_equal(ask[0].done, 1);
	assert_int_equal(ask[0].ret, 0);
	assert_int_equal(start(1, false), 0);
	take(m, &from);
	m[3] = 1;
	m[5] = 0;
	give(m, 12, &from);                     /* FORMERR without the question is an answer */
	assert_int_equal(ask[1].done, 1);
}

static void test_timeout(void **state)
{
	(void)state;
	char want[160];
	start(0, false);
	fl_loop_advance(loop, FL_SEC);
	start(1, true);
	fl_loop_advance(loop, FL_SEC - 1);
	assert_int_equal(ask[0].done, 0);
	fl_loop_advance(loop, 1);
	assert_int_equal(ask[0].ret, -ETIMEDOUT);
	snprintf(want, sizeof want, "->127.0.0.1:%u: i/o timeout", port);
	assert_non_null(strstr(ask[0].why, want));
	assert_ptr_equal(strstr(ask[0].why, "read udp 127.0.0.1:"), ask[0].why);
	assert_int_equal(ask[1].done, 0);
	fl_loop_advance(loop, FL_SEC);
	assert_ptr_equal(strstr(ask[1].why, "read tcp 127.0.0.1:"), ask[1].why);
	assert_int_equal(ask[0].done + ask[1].done, 2);
}

static void test_refused(void **state)
{
	(void)state;
	char want[160];
	close(udp);
	close(tcp);
	udp = tcp = -1;
	for (unsigned i = 0; i < 3; i++) {      /* the first one's error must not cost the second */
		assert_int_equal(start(i, false), 0);
		fl_loop_run_until_idle(loop);
		assert_int_equal(ask[i].ret, -ECONNREFUSED);
		assert_int_equal(ask[i].done, 1);
		assert_non_null(strstr(ask[i].why, ": read: connection refused"));
	}
	start(3, false);
	start(4, false);
	fl_loop_run_until_idle(loop);
	assert_int_equal(ask[3].done + ask[4].done, 2);
	assert_int_equal(start(5, true), 0);
	fl_loop_run_until_idle(loop);
	assert_int_equal(ask[5].ret, -ECONNREFUSED);
	snprintf(want, sizeof want, "dial tcp 127.0.0.1:%u: connect: connection refused", port);
	assert_string_equal(ask[5].why, want);
}

/* Source ports move: with use, and with time. IDs differ. */
static void test_renewal(void **state)
{
	(void)state;
	uint8_t m[FRAME];
	struct sockaddr_in from;
	unsigned ports = 0, last = 0;
	for (unsigned i = 0; i < 4 * FL_UP_USES; i++) {
		assert_int_equal(start(i % 7, false), 0);
		size_t n = take(m, &from);
		ports += from.sin_port != last;
		last = from.sin_port;
		give(m, n, &from);
		assert_int_equal(ask[i % 7].done, 1);
	}
	assert_int_equal(fl_upstream_stats(up)->sockets, 4);
	assert_true(ports <= 4);
	fl_loop_advance(loop, 10 * FL_SEC);
	start(0, false);
	assert_false(ask[0].a.reused);
	assert_int_equal(fl_upstream_stats(up)->sockets, 5);
	fl_loop_advance(loop, FL_SEC);
	assert_int_equal(ask[0].done, 0);
	size_t n = take(m, &from);
	give(m, n, &from);
	assert_int_equal(ask[0].done, 1);
}

/* Far more in flight than one socket takes; answers come in any order. */
static void test_many(void **state)
{
	(void)state;
	enum { N = 6000 };
	static uint8_t m[N][FRAME];
	static struct sockaddr_in from[N];
	size_t n[N];
	int size = 1 << 23;
	setsockopt(udp, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
	unsigned got = 0, done = 0;
	for (unsigned i = 0; i < N; i++) {
		assert_int_equal(start(i, false), 0);
		while (got < N && (n[got] = take(m[got], &from[got])))
			got++;
	}
	assert_int_equal(got, N);
	for (unsigned i = N; i-- > 0;)
		give(m[i], n[i], &from[i]);
	for (unsigned i = 0; i < N; i++)
		done += ask[i].done == 1 && !ask[i].ret && !memcmp(ask[i].reply, ask[i].a.msg, 2);
	assert_int_equal(done, N);
	assert_true(fl_upstream_stats(up)->sockets <= FL_UP_SOCKETS);
	assert_int_equal(fl_upstream_stats(up)->stray + fl_upstream_stats(up)->wrong, 0);
}

/* ---- what is asked in one turn ---- */

int sendmmsg(int fd, struct mmsghdr *m, unsigned n, int flags)
{
	if (++calls == failing || (no_bursts && m->msg_hdr.msg_iovlen > 1)) {
		errno = calls == failing ? EAGAIN : no_bursts;
		return -1;
	}
	for (unsigned i = 1; no_bursts && i < n; i++)
		n = m[i].msg_hdr.msg_iovlen > 1 ? i : n;
	for (unsigned i = 0; old_kernel && i < n; i++)          /* it passes over what it does not know */
		m[i].msg_hdr.msg_controllen = 0;
	int sent = (int)syscall(SYS_sendmmsg, fd, m, most && most < n ? most : n, flags);
	for (int i = 0; i < sent; i++) {
		messages++;
		bursts += m[i].msg_hdr.msg_iovlen > 1;
	}
	return sent;
}

int getsockopt(int fd, int level, int name, void *to, socklen_t *n)
{
	if (old_kernel && level == IPPROTO_UDP && name == UDP_SEGMENT) {
		errno = ENOPROTOOPT;
		return -1;
	}
	return (int)syscall(SYS_getsockopt, fd, level, name, to, n);
}

static void cancels_next(struct fl_up_ask *a, int ret, const uint8_t *msg, size_t n)
{
	on_done(a, ret, msg, n);
	fl_upstream_cancel(&((struct asked *)a + 1)->a);
}

/* A kernel that sends none: two questions find out, and go out all the same. */
static void without_bursts(void)
{
	uint8_t m[FRAME];
	struct sockaddr_in from;
	no_bursts = EINVAL;
	start(0, false);
	start(1, false);
	for (unsigned i = 0; i < 2; i++) {
		assert_true(take(m, &from));
		assert_memory_equal(m, ask[i].a.msg, 2);
		fl_upstream_cancel(&ask[i].a);
	}
	assert_int_equal(messages, 2);
	assert_int_equal(bursts, 0);
}

/* A kernel that does not know of them would send them as one datagram, and say nothing. */
static void test_old_kernel(void **state)
{
	(void)state;
	uint8_t m[FRAME];
	struct sockaddr_in from;
	old_kernel = true;
	start(0, false);
	start(1, false);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(take(m, &from), ask[i].a.len);
		fl_upstream_cancel(&ask[i].a);
	}
}

static bool kernel_bursts(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0), size = 100;
	bool yes = !setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof size);
	close(fd);
	return yes;
}

/* Those of one length leave as one message, with one that is shorter behind them, and come as they were asked. */
static void test_burst(void **state)
{
	(void)state;
	static const uint16_t longer[] = { 0, 9, 5, 0, 5, 600, 1, 5, 600 };
	enum { N = 40, MIXED = FL_COUNT(longer) };
	static uint8_t m[1024];
	struct sockaddr_in from;
	if (!kernel_bursts())
		skip();
	for (unsigned i = 0; i < N; i++)
		start(i, false);
	for (unsigned i = 0; i < N; i++) {
		size_t n = take(m, &from);
		assert_int_equal(n, ask[i].a.len);
		give(m, n, &from);
		assert_int_equal(ask[i].done, 1);
		assert_int_equal(ask[i].ret, 0);
	}
	assert_int_equal(messages, (N + 15) / 16);
	assert_int_equal(bursts, messages);
	messages = bursts = 0;
	static struct asked_long { struct asked x; uint8_t more[600]; } some[MIXED];
	for (unsigned i = 0; i < MIXED; i++) {
		put_question(&some[i].x);
		some[i].x.a.len = (uint16_t)(some[i].x.a.len + longer[i]);
		assert_int_equal(fl_upstream_ask(up, &some[i].x.a, false, 2 * FL_SEC), 0);
	}
	fl_loop_run_until_idle(loop);
	for (unsigned i = 0; i < MIXED; i++) {
		ssize_t n = recv(udp, m, sizeof m, 0);
		unsigned k = 0;
		while (k < MIXED && memcmp(m, some[k].x.a.msg, 2))
			k++;
		assert_true(k < MIXED);
		assert_int_equal(n, some[k].x.a.len);
		assert_memory_equal(m, some[k].x.a.msg, (size_t)n);
		fl_upstream_cancel(&some[k].x.a);
	}
	assert_int_equal(messages, 2 + 3);      /* the long ones; 9 with a 5, two 5 with the 1, two 0 */
	assert_int_equal(bursts, 3);
}

/* An ICMP error quotes the first of a message: nobody else waits for his time limit. Whoever hears of it may cancel another. */
static void test_burst_refused(void **state)
{
	(void)state;
	enum { N = 20 };
	close(udp);
	udp = -1;
	for (unsigned i = 0; i < N; i++)
		start(i, false);
	ask[0].a.done = cancels_next;
	fl_loop_run_until_idle(loop);
	for (unsigned i = 0; i < N; i++) {
		assert_int_equal(ask[i].done, i == 1 ? 0 : 1);
		if (i != 1)
			assert_int_equal(ask[i].ret, -ECONNREFUSED);
	}
}

/* Together, in order, with more than a call takes; and a lone one in its own turn. */
static void test_batch(void **state)
{
	(void)state;
	enum { N = 200 };
	uint8_t m[FRAME];
	struct sockaddr_in from;
	without_bursts();
	for (most = 0; most < 4; most += 3) {
		calls = 0;
		for (unsigned i = 0; i < N; i++)
			assert_int_equal(start(i, false), 0);
		assert_int_equal(recv(udp, m, FRAME, 0), -1);
		assert_int_equal(calls, 0);
		for (unsigned i = 0; i < N; i++) {
			assert_true(take(m, &from));
			assert_memory_equal(m, ask[i].a.msg, 2);
			fl_upstream_cancel(&ask[i].a);
		}
		assert_int_equal(take(m, &from), 0);
		assert_int_equal(calls, most ? (N + most - 1) / most : 4);
	}
	most = calls = 0;
	assert_int_equal(start(0, false), 0);
	fl_loop_run_until_idle(loop);
	assert_int_equal(calls, 1);
	assert_true(recv(udp, m, FRAME, 0) > 0);
}

/* Whoever is cancelled before the end of the turn is not sent: first, last, in the middle, all. */
static void test_batch_cancel(void **state)
{
	(void)state;
	uint8_t m[FRAME];
	struct sockaddr_in from;
	for (unsigned which = 0; which < 8; which++) {
		for (unsigned i = 0; i < 3; i++)
			assert_int_equal(start(i, false), 0);
		for (unsigned i = 0; i < 3; i++)
			if (which >> i & 1)
				fl_upstream_cancel(&ask[i].a);
		assert_int_equal(start(3, false), 0);
		for (unsigned i = 0; i < 4; i++) {
			if (which >> i & 1)
				continue;
			size_t n = take(m, &from);
			assert_memory_equal(m, ask[i].a.msg, 2);
			give(m, n, &from);
			assert_int_equal(ask[i].done, 1);
		}
		assert_int_equal(take(m, &from), 0);
	}
	calls = 0;
	start(0, false);
	fl_upstream_cancel(&ask[0].a);
	assert_int_equal(take(m, &from), 0);
	assert_int_equal(calls, 0);
	start(0, false);
	fl_upstream_destroy(up);
	up = NULL;
	assert_int_equal(ask[0].ret, -ECANCELED);
	fl_loop_run_until_idle(loop);
	assert_int_equal(recv(udp, m, FRAME, 0), -1);
}

static uint8_t huge[FL_UP_ROOM + 65535];
static unsigned again;

/* More than a datagram holds: no kernel takes it. */
static int start_huge(unsigned i, void (*done)(struct fl_up_ask *a, int ret, const uint8_t *msg, size_t n))
{
	struct asked *x = &ask[i];
	memcpy(huge + FL_UP_ROOM + 12, question, sizeof question);
	x->a = (struct fl_up_ask){ .msg = huge + FL_UP_ROOM, .len = 65535, .question = sizeof question, .done = done };
	x->done = 0;
	return fl_upstream_ask(up, &x->a, false, 2 * FL_SEC);
}

static void ask_again(struct fl_up_ask *a, int ret, const uint8_t *msg, size_t n)
{
	unsigned was = calls;
	on_done(a, ret, msg, n);
	if (again && again--)
		assert_int_equal(start_huge((unsigned)((struct asked *)a - ask), ask_again), 0);
	assert_int_equal(calls, was);
}

/* An error in the middle is that one's alone; he may ask again when he hears of it, which is another turn's. */
static void test_batch_error(void **state)
{
	(void)state;
	uint8_t m[FRAME];
	struct sockaddr_in from;
	char want[160];
	for (unsigned at = 0; at < 3; at++) {
		for (unsigned i = 0; i < 3; i++)
			assert_int_equal(i == at ? start_huge(i, on_done) : start(i, false), 0);
		assert_int_equal(ask[at].done, 0);
		fl_loop_run_until_idle(loop);
		assert_int_equal(ask[at].done, 1);
		assert_int_equal(ask[at].ret, -EMSGSIZE);
		snprintf(want, sizeof want, "->127.0.0.1:%u: write: message too long", port);
		assert_non_null(strstr(ask[at].why, want));
		assert_ptr_equal(strstr(ask[at].why, "write udp 127.0.0.1:"), ask[at].why);
		for (unsigned i = 0; i < 3; i++) {
			if (i == at)
				continue;
			size_t n = take(m, &from);
			give(m, n, &from);
			assert_int_equal(ask[i].done, 1);
			assert_int_equal(ask[i].ret, 0);
		}
		ask[at].a = (struct fl_up_ask){ 0 };
	}
	again = 2;
	assert_int_equal(start_huge(0, ask_again), 0);
	assert_int_equal(start(1, false), 0);
	fl_loop_run_until_idle(loop);
	assert_int_equal(ask[0].ret, -EMSGSIZE);
	assert_int_equal(again, 0);
	assert_true(take(m, &from));
	assert_int_equal(take(m, &from), 0);
}

/* A socket that is full loses one, and its time limit finds out. */
static void test_batch_full(void **state)
{
	(void)state;
	uint8_t m[FRAME];
	struct sockaddr_in from;
	without_bursts();
	most = 1;
	calls = 0;
	failing = 2;
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(start(i, false), 0);
	for (unsigned i = 0; i < 3; i += 2) {
		size_t n = take(m, &from);
		assert_memory_equal(m, ask[i].a.msg, 2);
		give(m, n, &from);
		assert_int_equal(ask[i].done, 1);
	}
	most = failing = 0;
	assert_int_equal(take(m, &from), 0);
	fl_loop_advance(loop, 2 * FL_SEC);
	assert_int_equal(ask[1].ret, -ETIMEDOUT);
}

/* Replies that are read together, long ones among them; who hears of his may cancel the next. */
static void test_replies(void **state)
{
	(void)state;
	enum { N = 20, LONG = 60000 };
	static uint8_t m[N][LONG];
	struct sockaddr_in from;
	size_t n[N];
	for (unsigned i = 0; i < N; i++)
		assert_int_equal(start(i, false), 0);
	for (unsigned i = 0; i < N; i++)
		assert_true(n[i] = take(m[i], &from));
	ask[4].a.done = cancels_next;
	for (unsigned i = 0; i < N; i++) {
		size_t len = i == 2 || i == 3 ? LONG - i : n[i];
		m[i][40] = (uint8_t)i;          /* behind the question */
		assert_int_equal(sendto(udp, m[i], len > 41 ? len : 41, 0, (struct sockaddr *)&from, sizeof from), len > 41 ? len : 41);
	}
	fl_loop_run_until_idle(loop);
	for (unsigned i = 0; i < N; i++) {
		assert_int_equal(ask[i].done, i == 5 ? 0 : 1);
		if (i == 5)
			continue;
		assert_int_equal(ask[i].ret, 0);
		assert_int_equal(ask[i].n, i == 2 || i == 3 ? LONG - i : 41);
		assert_int_equal(ask[i].reply[40], i);
	}
	assert_int_equal(fl_upstream_stats(up)->stray, 1);
	assert_int_equal(fl_upstream_stats(up)->wrong, 0);
}

/* ---- TCP ---- */

static int peer[64];
static unsigned npeers;

static void meet(void)
{
	fl_loop_run_until_idle(loop);
	for (int fd; (fd = accept4(tcp, NULL, NULL, SOCK_NONBLOCK)) >= 0;)
		peer[npeers++] = fd;
	fl_loop_run_until_idle(loop);
}

/* The next frame on that connection, made a reply with its length before it. */
static size_t frame(unsigned i, uint8_t *f)
{
	if (recv(peer[i], f, 2, MSG_PEEK) < 2)
		return 0;
	size_t n = 2u + f[1];
	if (recv(peer[i], f, n, 0) < (ssize_t)n)
		return 0;
	f[4] |= 0x80;
	return n;
}

static void hang_up(void)
{
	while (npeers)
		close(peer[--npeers]);
}

static void test_tcp(void **state)
{
	(void)state;
	uint8_t f[FRAME];
	assert_int_equal(start(0, true), 0);
	meet();
	assert_int_equal(npeers, 1);
	size_t n = frame(0, f);
	assert_int_equal(n, 14 + sizeof question);
	for (size_t i = 0; i < n; i++) {        /* byte by byte */
		assert_int_equal(ask[0].done, 0);
		assert_int_equal(send(peer[0], f + i, 1, 0), 1);
		fl_loop_run_until_idle(loop);
	}
	assert_int_equal(ask[0].done, 1);
	assert_int_equal(ask[0].ret, 0);
	start(1, true);                         /* kept */
	meet();
	assert_int_equal(npeers, 1);
	assert_true(ask[1].a.reused);
	start(2, true);                         /* busy: another one */
	meet();
	assert_int_equal(npeers, 2);
	n = frame(1, f);
	assert_int_equal(send(peer[1], f, n, 0), n);
	fl_loop_run_until_idle(loop);
	assert_int_equal(ask[2].done, 1);
	assert_int_equal(ask[1].done, 0);
	n = frame(0, f);
	send(peer[0], f, n, 0);
	fl_loop_advance(loop, 10 * FL_SEC);     /* idle: closed by us */
	assert_int_equal(ask[1].done, 1);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(recv(peer[i], f, 1, 0), 0);
	hang_up();
}

/* More questions than connections: they share, and replies come in any order. */
static void test_pipeline(void **state)
{
	(void)state;
	enum { N = 200 };
	static uint8_t f[N][FRAME];
	size_t n[N];
	unsigned at[N], got = 0;
	for (unsigned i = 0; i < N; i++)
		assert_int_equal(start(i, true), 0);
	meet();
	assert_int_equal(npeers, FL_UP_CONNS);
	for (unsigned p = 0; p < npeers; p++)
		while (got < N && (n[got] = frame(p, f[got])))
			at[got++] = p;
	assert_int_equal(got, N);
	for (unsigned i = N; i-- > 0;)
		assert_int_equal(send(peer[at[i]], f[i], n[i], 0), n[i]);
	fl_loop_run_until_idle(loop);
	for (unsigned i = 0; i < N; i++)
		assert_int_equal(ask[i].done, 1);
	for (unsigned i = 0; i < ASKS; i++)     /* they wait in the sockets and in line */
		assert_int_equal(start(i, true), 0);
	for (unsigned i = 0; i < ASKS; i++)
		fl_upstream_cancel(&ask[i].a);
	hang_up();
}

/* A kept connection that the peer closed meanwhile costs nothing; a new one that it closes is an error. */
static void test_closed(void **state)
{
	(void)state;
	uint8_t f[FRAME];
	start(0, true);
	meet();
	size_t n = frame(0, f);
	send(peer[0], f, n, 0);
	fl_loop_run_until_idle(loop);
	assert_int_equal(ask[0].done, 1);
	assert_int_equal(start(1, true), 0);    /* on the kept one */
	fl_loop_run_until_idle(loop);
	close(peer[0]);
	npeers = 0;
	meet();
	assert_int_equal(npeers, 1);
	assert_int_equal(ask[1].done, 0);
	n = frame(0, f);
	assert_int_equal(n, 14 + sizeof question);
	frame(0, f);
	close(peer[0]);
	npeers = 0;
	fl_loop_run_until_idle(loop);
	assert_int_equal(ask[1].done, 1);
	assert_int_equal(ask[1].ret, -ENODATA);
	assert_string_equal(ask[1].why, "EOF");
}

/* Nobody waits long enough to find out that a connection is dead, but one after the other does; one that still brings something stays. */
static void test_given_up(void **state)
{
	(void)state;
	uint8_t f[FRAME];
	for (unsigned i = 0; i < 5; i++) {      /* late, every one of them */
		assert_int_equal(start(i, true), 0);
		meet();
		size_t n = frame(0, f);
		fl_loop_advance(loop, 400 * FL_MS);
		fl_upstream_cancel(&ask[i].a);
		assert_int_equal(send(peer[0], f, n, 0), n);
		fl_loop_run_until_idle(loop);
	}
	assert_int_equal(npeers, 1);
	for (unsigned i = 5; i < 9; i++) {      /* nothing any more */
		assert_int_equal(start(i, true), 0);
		meet();
		assert_int_equal(npeers, 1);
		fl_loop_advance(loop, 400 * FL_MS);
		fl_upstream_cancel(&ask[i].a);
	}
	assert_int_equal(start(9, true), 0);
	meet();
	assert_int_equal(npeers, 2);
	fl_upstream_cancel(&ask[9].a);
	hang_up();
}

/* Big frames in both directions, and what is left when the asker leaves in the middle. */
static void test_big(void **state)
{
	(void)state;
	enum { BIG = 65535 };
	static uint8_t big[FL_UP_ROOM + BIG], in[2 + BIG];
	start(0, true);
	meet();
	frame(0, in);
	uint8_t head[2] = { 0xff, 0xff };
	big[0] = ask[0].a.msg[0];
	big[1] = ask[0].a.msg[1];
	big[2] = 0x80;
	big[5] = 1;
	memcpy(big + 12, question, sizeof question);
	int size = 1 << 20;
	setsockopt(peer[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	send(peer[0], head, 2, 0);
	for (size_t at = 0; at < BIG;) {
		ssize_t n = send(peer[0], big + at, BIG - at, 0);
		at += n > 0 ? (size_t)n : 0;
		fl_loop_run_until_idle(loop);
	}
	assert_int_equal(ask[0].done, 1);
	assert_int_equal(ask[0].n, BIG);
	int small = 4096;
	hang_up();
	setsockopt(tcp, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
	fl_loop_run_until_idle(loop);
	struct asked *x = &ask[1];
	x->a = (struct fl_up_ask){ .msg = big + FL_UP_ROOM, .len = BIG, .question = sizeof question, .done = on_done };
	for (unsigned i = 0; i < 100; i++) {    /* until a frame goes out only in part */
		assert_int_equal(fl_upstream_ask(up, &x->a, true, FL_SEC), 0);
		meet();
		fl_upstream_cancel(&x->a);
	}
	assert_int_equal(x->done, 0);
	for (unsigned p = 0; p < npeers; p++)
		for (ssize_t n = 1; n > 0;) {
			n = recv(peer[p], in, sizeof in, 0);
			fl_loop_run_until_idle(loop);
		}
	hang_up();
	fl_loop_run_until_idle(loop);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(test_udp), T(test_wrong), T(test_timeout), T(test_refused), T(test_renewal), T(test_many), T(test_batch),
		T(test_batch_cancel), T(test_batch_error), T(test_batch_full), T(test_burst), T(test_burst_refused), T(test_old_kernel), T(test_replies), T(test_tcp),
		T(test_pipeline), T(test_closed), T(test_given_up), T(test_big),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

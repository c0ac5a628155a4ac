/* Connections from loopback: limits, and what is counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <linux/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/log.h"
#include "base/mem.h"
#include "net/tcp.h"

static struct fl_loop *loop;
static struct fl_pool pool;
static struct fl_tcp *tcp;
static struct fl_tcp_listener li;
static struct sockaddr_in at;
static unsigned frames, closed, rooms;
static struct fl_conn *last;
static bool answering;         /* each frame, with itself */

static void on_frame(struct fl_conn *c, const uint8_t *bytes, size_t n)
{
	if (answering)
		fl_conn_send(c, bytes, n);
	frames++;
	last = c;
}
static void on_closed(struct fl_conn *c) { closed++; last = c == last ? NULL : last; }
static void on_room(struct fl_conn *c) { (void)c; rooms++; }

static int set_up(void **state)
{
	static const struct fl_tcp_limits lim = { .max_conns = 6, .max_client = 3, .max_inflight = 8, .max_unsent = 1 << 20 };
	static const struct fl_tcp_ops ops = { on_frame, on_closed, on_room };
	(void)state;
	fl_clock_virtual(1000 * FL_SEC);
	loop = fl_loop_create();
	fl_pool_init(&pool, 8 << 20);
	tcp = fl_tcp_create(loop, &pool, &lim, &ops);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	at = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof at;
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at) | listen(fd, 64), 0);
	getsockname(fd, (struct sockaddr *)&at, &len);
	li = (struct fl_tcp_listener){ .read_ns = 3 * FL_SEC, .write_ns = 5 * FL_SEC, .idle_ns = 10 * FL_SEC };
	frames = closed = rooms = 0;
	answering = false;
	return fl_tcp_listen(tcp, &li, fd);
}

static int tear_down(void **state)
{
	(void)state;
	fl_tcp_destroy(tcp);
	fl_loop_del(loop, &li.io);
	close(li.io.fd);
	fl_loop_destroy(loop);
	fl_pool_finish(&pool);
	return 0;
}

/* A client at 127.0.0.n. */
static int client(uint8_t n)
{
	struct sockaddr_in from = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000000u + n) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof from) | connect(fd, (struct sockaddr *)&at, sizeof at), 0);
	fl_loop_run_until_idle(loop);
	return fd;
}

static bool is_closed(int fd)
{
	char c;
	return recv(fd, &c, 1, MSG_DONTWAIT) == 0;
}

static void test_one_client(void **state)
{
	(void)state;
	int fd[5];
	for (int i = 0; i < 5; i++)
		fd[i] = client(1);
	struct fl_tcp_stats s = fl_tcp_stats(tcp);
	assert_int_equal(s.open, 3);
	assert_int_equal(s.accepted, 3);
	assert_int_equal(s.crowded, 2);
	assert_int_equal(s.refused, 0);
	assert_true(!is_closed(fd[0]) && !is_closed(fd[2]) && is_closed(fd[3]) && is_closed(fd[4]));
	int other = client(2);
	assert_false(is_closed(other));
	close(fd[0]);
	fl_loop_run_until_idle(loop);
	int again = client(1);          /* its place is free again */
	assert_false(is_closed(again));
	assert_int_equal(fl_tcp_stats(tcp).open, 4);
	for (int i = 1; i < 5; i++)
		close(fd[i]);
	close(other);
	close(again);
	fl_loop_run_until_idle(loop);
	assert_int_equal(fl_tcp_stats(tcp).open, 0);
	assert_int_equal(closed, 5);
}

static void test_all_clients(void **state)
{
	(void)state;
	int fd[8];
	for (int i = 0; i < 8; i++)
		fd[i] = client((uint8_t)(1 + i));
	struct fl_tcp_stats s = fl_tcp_stats(tcp);
	assert_int_equal(s.open, 6);
	assert_int_equal(s.refused, 2);
	assert_true(is_closed(fd[0]) && is_closed(fd[1]) && !is_closed(fd[2]) && !is_closed(fd[7]));     /* those that idled longest */
	fl_loop_advance(loop, 4 * FL_SEC);
	assert_int_equal(fl_tcp_stats(tcp).timed_out, 6);
	for (int i = 0; i < 8; i++)
		close(fd[i]);
}

static void test_room(void **state)
{
	(void)state;
	static uint8_t big[60000], in[65536];
	int fd = client(1);
	assert_int_equal(write(fd, "\0\1x", 3), 3);
	fl_loop_run_until_idle(loop);
	assert_int_equal(frames, 1);
	fl_conn_hold(last);
	size_t sent = 0;
	while (!fl_conn_unsent(last) && sent < 64u << 20) {
		fl_conn_send(last, big, sizeof big);
		sent += sizeof big + 2;
		fl_loop_run_until_idle(loop);
	}
	assert_true(fl_conn_unsent(last) > 0);
	while (!rooms) {
		ssize_t n = recv(fd, in, sizeof in, MSG_DONTWAIT);
		assert_true(n > 0);
		sent -= (size_t)n;
		fl_loop_run_until_idle(loop);
	}
	while (sent) {
		ssize_t n = recv(fd, in, sizeof in, MSG_DONTWAIT);
		sent -= n > 0 ? (size_t)n : 0;
		fl_loop_run_until_idle(loop);
	}
	assert_int_equal(fl_conn_unsent(last), 0);
	struct fl_conn *c = last;
	fl_conn_reset(c);
	assert_int_equal(closed, 1);
	assert_int_equal(fl_tcp_stats(tcp).reset, 1);
	fl_conn_reset(c);               /* once is enough */
	assert_int_equal(closed, 1);
	fl_conn_put(c);
	close(fd);
}

static void test_max_messages(void **state)
{
	(void)state;
	li.max_messages = 2;
	int fd = client(1);
	assert_int_equal(write(fd, "\0\1a\0\1b\0\1c", 9), 9);
	fl_loop_run_until_idle(loop);
	assert_int_equal(frames, 2);            /* nobody held them: it closes at once */
	assert_int_equal(closed, 1);
	close(fd);
	int two = client(1);
	assert_int_equal(write(two, "\0\1a", 3), 3);
	fl_loop_run_until_idle(loop);
	struct fl_conn *c = last;
	fl_conn_hold(c);
	assert_int_equal(write(two, "\0\1b\0\1c", 6), 6);
	fl_loop_run_until_idle(loop);
	assert_int_equal(frames, 4);
	assert_int_equal(closed, 1);            /* one is still in work */
	fl_conn_send(c, (const uint8_t *)"x", 1);
	fl_conn_put(c);
	fl_loop_run_until_idle(loop);
	assert_int_equal(closed, 2);
	close(two);
}

/* Answers leave with one segment: those of an event, and those of a turn. */
static void test_one_segment(void **state)
{
	(void)state;
	struct tcp_info info;
	socklen_t len = sizeof info;
	char in[16];
	int fd = client(1);
	answering = true;
	assert_int_equal(write(fd, "\0\1a\0\1b\0\1c", 9), 9);
	fl_loop_run_until_idle(loop);
	assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len), 0);
	assert_int_equal(info.tcpi_data_segs_in, 1);
	assert_int_equal(recv(fd, in, sizeof in, MSG_DONTWAIT), 9);
	assert_memory_equal(in, "\0\1a\0\1b\0\1c", 9);
	fl_conn_send(last, (const uint8_t *)"d", 1);
	fl_conn_send(last, (const uint8_t *)"e", 1);
	fl_loop_run_until_idle(loop);
	getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len);
	assert_int_equal(info.tcpi_data_segs_in, 2);
	assert_int_equal(recv(fd, in, sizeof in, MSG_DONTWAIT), 6);
	close(fd);
}

/* Who ended its own side still hears what it asked before. */
static void test_half_closed(void **state)
{
	(void)state;
	char in[8];
	int fd = client(1);
	assert_int_equal(write(fd, "\0\1a", 3), 3);
	fl_loop_run_until_idle(loop);
	struct fl_conn *c = last;
	fl_conn_hold(c);
	shutdown(fd, SHUT_WR);
	fl_loop_run_until_idle(loop);
	assert_int_equal(closed, 0);
	fl_conn_send(c, (const uint8_t *)"x", 1);
	fl_conn_put(c);
	fl_loop_run_until_idle(loop);
	assert_int_equal(closed, 1);
	assert_int_equal(recv(fd, in, sizeof in, MSG_DONTWAIT), 3);
	assert_true(is_closed(fd));
	close(fd);
}

static void no_log(void *arg, const char *line, size_t n) { (void)arg, (void)line, (void)n; }

/* Out of descriptors: who idled longest makes room, and the loop does not turn for nothing until then. */
static void test_no_descriptors(void **state)
{
	(void)state;
	struct rlimit was, low;
	fl_log_capture(no_log, NULL);
	int idle = client(1), next = socket(AF_INET, SOCK_STREAM, 0), top = dup(next);
	close(top);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	low = was;
	low.rlim_cur = (rlim_t)top;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	assert_int_equal(connect(next, (struct sockaddr *)&at, sizeof at), 0);
	fl_loop_run_until_idle(loop);           /* returns */
	assert_true(is_closed(idle));
	assert_int_equal(fl_tcp_stats(tcp).accepted, 1);
	fl_loop_advance(loop, 100 * FL_MS);
	assert_int_equal(fl_tcp_stats(tcp).accepted, 2);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	close(idle);
	close(next);
	fl_loop_run_until_idle(loop);
}

/* What is long leaves before its turn of the loop ends; the end of the turn leaves it at that, and its peer may go on for a while. */
static void test_linger(void **state)
{
	(void)state;
	static uint8_t big[60000];
	int fd = client(1);
	assert_int_equal(write(fd, "\0\1x", 3), 3);
	fl_loop_run_until_idle(loop);
	struct fl_conn *c = last;
	fl_conn_hold(c);
	fl_conn_send(c, big, sizeof big);
	fl_conn_send(c, big, sizeof big);
	assert_int_equal(fl_conn_unsent(c), 0);
	fl_conn_linger(c);
	fl_conn_put(c);
	fl_loop_run_until_idle(loop);
	assert_int_equal(closed, 0);
	assert_int_equal(write(fd, "\0\1x", 3), 3);
	fl_loop_run_until_idle(loop);
	assert_int_equal(closed, 0);
	close(fd);                              /* what it did not read resets it */
	fl_loop_run_until_idle(loop);
	assert_int_equal(closed, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_one_client, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_all_clients, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_room, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_max_messages, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_one_segment, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_half_closed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_descriptors, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_linger, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

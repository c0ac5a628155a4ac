/* HTTP/1.1, by hand. */
#include "web_world.h"

static int set_up(void **state)
{
	static const struct fl_web_conf v1 = { .max_streams = 10 };
	(void)state;
	listen_with(&v1);
	return 0;
}

static void say(int fd, const char *text, size_t n)
{
	while (n) {
		ssize_t put = send(fd, text, n, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (put > 0) {
			text += put;
			n -= (size_t)put;
		}
		fl_loop_run_until_idle(loop);
		if (put < 0 && fl_tcp_stats(tcp).open == 0)
			return;
	}
}

static unsigned count(const char *what)
{
	unsigned n = 0;
	for (const char *p = in; (p = strstr(p, what)); p += strlen(what))
		n++;
	return n;
}

#define POST(body) "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: " body

static void test_v1(void **state)
{
	(void)state;
	static const char one[] = POST("5\r\n\r\nhello");
	int fd = dial();
	say(fd, one, sizeof one - 1);
	hear(fd);
	assert_memory_equal(in, "HTTP/1.1 200 OK\r\nContent-Type: x/y\r\nDate: ", 42);
	assert_non_null(strstr(in, "Content-Length: 5\r\n\r\nhello"));
	for (size_t i = 0; i < sizeof one - 1; i++)
		say(fd, one + i, 1);
	hear(fd);
	assert_int_equal(count("hello"), 1);
	static const char chunked[] = "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0003;x=y\r\ndef\r\n0\r\nT: v\r\n\r\n";
	for (size_t cut = 1; cut < sizeof chunked - 1; cut++) {
		say(fd, chunked, cut);
		say(fd, chunked + cut, sizeof chunked - 1 - cut);
		hear(fd);
		assert_int_equal(count("abcdef"), 1);
	}
	close(fd);
	fl_loop_run_until_idle(loop);
	assert_int_equal(share.n, 0);
}

/* Hundreds in one piece: answered in order, in bounded depth; while one waits the rest wait, too. */
static void test_v1_pipeline(void **state)
{
	(void)state;
	static char many[64 * 1024];
	size_t n = 0;
	for (int i = 0; i < 900; i++)
		n += (size_t)sprintf(many + n, POST("4\r\n\r\n%04d"), i);
	int fd = dial();
	say(fd, many, n);
	size_t got = hear(fd);
	assert_int_equal(count("HTTP/1.1 200 OK"), 900);
	assert_memory_equal(in + got - 4, "0899", 4);
	static const char wait[] = "GET /wait HTTP/1.1\r\nHost: h\r\n\r\n";
	memcpy(many, wait, sizeof wait - 1);
	for (n = sizeof wait - 1; n < 20000;)
		n += (size_t)sprintf(many + n, POST("4\r\n\r\nnext"));
	memcpy(many + n, wait, sizeof wait - 1);
	say(fd, many, n + sizeof wait - 1);
	hear(fd);
	assert_int_equal(count("HTTP"), 0);
	assert_int_equal(nwaiting, 1);
	say(fd, many, n);               /* more behind it */
	answer_one();
	hear(fd);
	assert_int_equal(count("late"), 1);
	assert_true(count("next") > 200);
	assert_int_equal(nwaiting, 1);
	answer_one();
	hear(fd);
	assert_int_equal(nwaiting, 1);  /* the one behind */
	assert_int_equal(count("next"), 0);
	hang_up(fd);
	assert_int_equal(goners, 1);
}

static void test_v1_refusals(void **state)
{
	(void)state;
	static const struct { const char *text; int status; } rows[] = {
		{ "GET / HTTP/1.1\r\n\r\n", 400 }, { "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400 }, { "GET  HTTP/1.1\r\n\r\n", 400 },
		{ "G\x01T / HTTP/1.1\r\n\r\n", 400 }, { "GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400 }, { "GET / HTTP/1.1\r\nHost: a\x01\r\n\r\n", 400 },
		{ "GET / HTTP/3.0\r\n\r\n", 505 }, { "GET / HTTX/1.1\r\n\r\n", 400 }, { "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400 },
		{ "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400 },
		{ "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400 },
		{ "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501 },
		{ "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", 400 },
		{ "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", 400 }, { "\x16\x03\x01\n\n", 400 },
		/* where two readers could see two lengths */
		{ "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -0\r\n\r\n", 400 },
		{ "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0000000000000000000000000000000000005\r\n", 400 },
		{ "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\rx\r\n", 400 },
		{ "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5 x\r\n", 400 },
		{ "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400 },
	};
	for (size_t i = 0; i < FL_COUNT(rows); i++) {
		int fd = dial();
		char want[32];
		say(fd, rows[i].text, strlen(rows[i].text));
		hear(fd);
		sprintf(want, "HTTP/1.1 %d ", rows[i].status);
		if (memcmp(in, want, strlen(want)))
			fail_msg("%s\n → %s", rows[i].text, in);
		assert_true(is_closed(fd));
		hang_up(fd);
	}
	assert_int_equal(requests, 0);
	assert_int_equal(stats.large, FL_COUNT(rows));
	assert_int_equal(fl_tcp_stats(tcp).open, 0);
}

static void test_v1_bounds(void **state)
{
	(void)state;
	static char many[300000];
	int fd = dial();
	size_t n = (size_t)sprintf(many, "GET / HTTP/1.1\r\nHost: a\r\nX: ");
	memset(many + n, 'x', 20000);
	say(fd, many, n + 20000);
	hear(fd);
	assert_memory_equal(in, "HTTP/1.1 431 ", 13);
	close(fd);
	fd = dial();
	n = (size_t)sprintf(many, POST("200000\r\n\r\n"));
	memset(many + n, 'x', 200000);
	say(fd, many, n + 200000);
	hear(fd);
	assert_memory_equal(in, "HTTP/1.1 400 ", 13);
	assert_non_null(strstr(in, "large"));
	static const char one[] = POST("5\r\n\r\nhello");
	say(fd, one, sizeof one - 1);
	hear(fd);
	assert_int_equal(count("hello"), 1);
	close(fd);
}

static void test_v1_time(void **state)
{
	(void)state;
	int slow = dial(), idle = dial(), wait = dial();
	say(slow, POST("5\r\n\r\nhel"), strlen(POST("5\r\n\r\nhel")));
	say(idle, POST("5\r\n\r\nhello"), strlen(POST("5\r\n\r\nhello")));
	say(wait, "GET /wait HTTP/1.1\r\nHost: h\r\n\r\n", 31);
	hear(idle);
	fl_loop_advance(loop, 4 * FL_SEC);
	assert_true(is_closed(slow));
	assert_false(is_closed(idle));
	assert_int_equal(stats.slow, 1);
	fl_loop_advance(loop, 9 * FL_SEC);
	assert_true(is_closed(idle));
	assert_false(is_closed(wait));          /* it waits for us */
	answer_one();
	hear(wait);
	assert_int_equal(count("late"), 1);
	fl_loop_advance(loop, 14 * FL_SEC);
	assert_true(is_closed(wait));
	int mute = dial();
	fl_loop_advance(loop, 5 * FL_SEC);
	assert_true(is_closed(mute));
	close(slow);
	close(idle);
	close(wait);
	close(mute);
}

/* The limit of the address: the one that idled longest goes; who works stays, then the new one goes. */
static void test_share(void **state)
{
	(void)state;
	int fd[5];
	for (int i = 0; i < 3; i++) {
		fd[i] = dial();
		say(fd[i], "GET /wait HTTP/1.1\r\nHost: h\r\n\r\n", i == 1 ? 0 : 31);
	}
	assert_int_equal(share.n, 3);
	fd[3] = dial();
	assert_true(is_closed(fd[1]));
	assert_false(is_closed(fd[0]) || is_closed(fd[2]) || is_closed(fd[3]));
	say(fd[3], "GET /wait HTTP/1.1\r\nHost: h\r\n\r\n", 31);
	fd[4] = dial();
	assert_true(is_closed(fd[4]));
	assert_int_equal(share.n, 3);
	assert_int_equal(fl_tcp_stats(tcp).refused, 2);
	for (int i = 0; i < 5; i++)
		close(fd[i]);
}

/* Whoever ended its side hears what it asked, then it ends. */
static void test_half_closed(void **state)
{
	(void)state;
	int fd = dial();
	say(fd, "GET /wait HTTP/1.1\r\nHost: h\r\n\r\n", 31);
	shutdown(fd, SHUT_WR);
	fl_loop_run_until_idle(loop);
	assert_int_equal(nwaiting, 1);
	answer_one();
	hear(fd);
	assert_int_equal(count("late"), 1);
	assert_true(is_closed(fd));
	close(fd);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(test_v1), T(test_v1_pipeline), T(test_v1_refusals), T(test_v1_bounds), T(test_v1_time), T(test_share), T(test_half_closed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* HTTP over real connections from loopback, plain and under the virtual clock: HTTP/1.1 by hand, HTTP/2 by nghttp2's client. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/mem.h"
#include "net/web_int.h"

static struct fl_loop *loop;
static struct fl_pool pool;
static struct fl_tcp *tcp;
static struct fl_tcp_listener li;
static struct fl_web *web;
static struct fl_web_stats stats;
static struct fl_tcp_share share;
static struct sockaddr_in at;

/* ---- the service: echoes the body; "/wait" is answered when the test says so ---- */

static struct fl_web_req *waiting[64];
static unsigned nwaiting, requests, goners;

static void on_request(struct fl_web_req *r)
{
	const struct fl_web_field f[] = { { FL_STR("content-type"), FL_STR("x/y") } }, t[] = { { FL_STR("end"), FL_STR("0") } };
	requests++;
	if (fl_str_is(r->target, "/wait") && nwaiting < FL_COUNT(waiting))
		waiting[nwaiting++] = r;
	else if (fl_str_is(r->target, "/trailer"))
		fl_web_answer(r, 200, f, 1, r->body, r->n, t, 1);
	else if (r->too_large)
		fl_web_answer(r, 400, f, 1, "large", 5, NULL, 0);
	else
		fl_web_answer(r, 200, f, 1, r->n ? (const void *)r->body : "", r->n, NULL, 0);
}

static void on_gone(struct fl_web_req *r)
{
	goners++;
	for (unsigned i = 0; i < nwaiting; i++)
		if (waiting[i] == r)
			waiting[i] = waiting[--nwaiting];
}

static void answer_one(void) { fl_web_answer(waiting[--nwaiting], 200, NULL, 0, "late", 4, NULL, 0); }

static void listen_with(const struct fl_web_conf *conf)
{
	static const struct fl_tcp_limits lim = { .max_conns = 64, .max_client = 64, .max_inflight = 8, .max_unsent = 1 << 20 };
	static const struct fl_tcp_ops none = { 0 };
	static const struct fl_web_ops ops = { on_request, on_gone };
	fl_clock_virtual(1000 * FL_SEC);
	loop = fl_loop_create();
	fl_pool_init(&pool, 16 << 20);
	tcp = fl_tcp_create(loop, &pool, &lim, &none);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
	at = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof at;
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at) | listen(fd, 64), 0);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	getsockname(fd, (struct sockaddr *)&at, &len);
	stats = (struct fl_web_stats){ 0 };
	share.n = 0;
	web = fl_web_create(loop, &ops, &stats);
	fl_web_configure(web, conf);
	li = (struct fl_tcp_listener){ .read_ns = 3 * FL_SEC, .write_ns = 5 * FL_SEC, .idle_ns = 10 * FL_SEC, .ops = &fl_web_tcp_ops,
				       .speaker = web, .share = &share, .max_share = 3 };
	nwaiting = requests = goners = 0;
	assert_int_equal(fl_tcp_listen(tcp, &li, fd), 0);
}

static int set_up(void **state)
{
	static const struct fl_web_conf v1 = { .max_streams = 10 };
	(void)state;
	listen_with(&v1);
	return 0;
}

static int set_up_v2(void **state)
{
	static const struct fl_web_conf v2 = { .max_streams = 10, .prior = true };
	(void)state;
	listen_with(&v2);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fl_tcp_destroy(tcp);
	assert_int_equal(share.n, 0);
	assert_int_equal(pool.used, 0);
	fl_web_destroy(web);
	fl_loop_del(loop, &li.io);
	close(li.io.fd);
	fl_loop_destroy(loop);
	fl_pool_finish(&pool);
	return 0;
}

static int dial(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);     /* nothing waits for the clock of the world */
	assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
	fl_loop_run_until_idle(loop);
	return fd;
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

static char in[1 << 20];
static size_t hear(int fd)
{
	size_t n = 0;
	fl_loop_run_until_idle(loop);
	for (ssize_t got; (got = recv(fd, in + n, sizeof in - 1 - n, MSG_DONTWAIT)) > 0; n += (size_t)got)
		fl_loop_run_until_idle(loop);
	in[n] = 0;
	return n;
}

static bool is_closed(int fd)
{
	char c;
	fl_loop_run_until_idle(loop);
	return recv(fd, &c, 1, MSG_DONTWAIT | MSG_PEEK) == 0;
}

/* With a reset: what only ends its own side may still listen. */
static void hang_up(int fd)
{
	struct linger hard = { 1, 0 };
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
	close(fd);
	fl_loop_run_until_idle(loop);
}

static unsigned count(const char *what)
{
	unsigned n = 0;
	for (const char *p = in; (p = strstr(p, what)); p += strlen(what))
		n++;
	return n;
}

#define POST(body) "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: " body

/* ---- HTTP/1.1 ---- */

static void test_v1(void **state)
{
	(void)state;
	static const char one[] = POST("5\r\n\r\nhello");
	int fd = dial();
	say(fd, one, sizeof one - 1);
	hear(fd);
	assert_memory_equal(in, "HTTP/1.1 200 OK\r\ncontent-type: x/y\r\ndate: ", 42);
	assert_non_null(strstr(in, "content-length: 5\r\n\r\nhello"));
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
		close(fd);
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

/* ---- HTTP/2 ---- */

static struct { int32_t id; int status; char body[64]; size_t n, trailers; bool end; uint32_t reset; } got[256];
static unsigned ngot;
static bool goaway;
static uint32_t goaway_code;

static unsigned slot(int32_t id)
{
	for (unsigned i = 0; i < ngot; i++)
		if (got[i].id == id)
			return i;
	assert_true(ngot < FL_COUNT(got));
	memset(&got[ngot], 0, sizeof got[0]);
	got[ngot].id = id;
	return ngot++;
}

static int c_header(nghttp2_session *s, const nghttp2_frame *f, const uint8_t *n, size_t nn, const uint8_t *v, size_t nv, uint8_t fl, void *arg)
{
	(void)s, (void)fl, (void)arg, (void)nv;
	if (nn == 7 && !memcmp(n, ":status", 7))
		got[slot(f->hd.stream_id)].status = atoi((const char *)v);
	if (nn == 3 && !memcmp(n, "end", 3))
		got[slot(f->hd.stream_id)].trailers++;
	return 0;
}

static int c_data(nghttp2_session *s, uint8_t fl, int32_t id, const uint8_t *p, size_t n, void *arg)
{
	(void)s, (void)fl, (void)arg;
	unsigned i = slot(id);
	if (got[i].n + n <= sizeof got[i].body)
		memcpy(got[i].body + got[i].n, p, n);
	got[i].n += n;
	return 0;
}

static int c_close(nghttp2_session *s, int32_t id, uint32_t code, void *arg)
{
	(void)s, (void)arg;
	got[slot(id)].end = true;
	got[slot(id)].reset = code;
	return 0;
}

static int c_frame(nghttp2_session *s, const nghttp2_frame *f, void *arg)
{
	(void)s, (void)arg;
	if (f->hd.type == NGHTTP2_GOAWAY) {
		goaway = true;
		goaway_code = f->goaway.error_code;
	}
	return 0;
}

static nghttp2_session *h2(uint32_t window)
{
	nghttp2_session_callbacks *cb;
	nghttp2_session *s;
	nghttp2_option *opt;
	nghttp2_settings_entry e = { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window };
	nghttp2_session_callbacks_new(&cb);
	nghttp2_session_callbacks_set_on_header_callback(cb, c_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, c_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, c_close);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, c_frame);
	nghttp2_option_new(&opt);
	nghttp2_option_set_no_auto_window_update(opt, window < 65535);
	nghttp2_session_client_new2(&s, cb, NULL, opt);
	nghttp2_option_del(opt);
	nghttp2_session_callbacks_del(cb);
	nghttp2_submit_settings(s, 0, &e, 1);
	ngot = 0;
	goaway = false;
	return s;
}

/* Both ways, until nothing moves. */
static void pump(nghttp2_session *s, int fd)
{
	for (int i = 0; i < 200; i++) {
		const uint8_t *p;
		ssize_t n;
		while ((n = nghttp2_session_mem_send(s, &p)) > 0)
			if (send(fd, p, (size_t)n, MSG_NOSIGNAL) < 0)
				return;
		size_t in_n = hear(fd);
		if (!in_n && !nghttp2_session_want_write(s))
			return;
		if (nghttp2_session_mem_recv(s, (uint8_t *)in, in_n) < 0)
			return;
	}
}

struct body { const char *p; size_t n; bool open; };
static ssize_t read_body(nghttp2_session *s, int32_t id, uint8_t *to, size_t n, uint32_t *flags, nghttp2_data_source *src, void *arg)
{
	(void)s, (void)id, (void)arg;
	struct body *b = src->ptr;
	n = n < b->n ? n : b->n;
	if (!b->n && b->open)
		return NGHTTP2_ERR_DEFERRED;
	memset(to, 'b', n);
	if (b->p)
		memcpy(to, b->p, n);
	b->p = b->p ? b->p + n : NULL;
	b->n -= n;
	if (!b->n && !b->open)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)n;
}

static int32_t request(nghttp2_session *s, const char *path, struct body *b)
{
#define NV(n, v) { (uint8_t *)(uintptr_t)n, (uint8_t *)(uintptr_t)v, sizeof n - 1, strlen(v), 0 }
	nghttp2_nv nv[] = { NV(":method", "POST"), NV(":scheme", "http"), NV(":authority", "x"), NV(":path", path) };
	nghttp2_data_provider d = { { .ptr = b }, read_body };
	return nghttp2_submit_request(s, NULL, nv, FL_COUNT(nv), b ? &d : NULL, NULL);
}

static void test_v2(void **state)
{
	(void)state;
	int fd = dial();
	nghttp2_session *s = h2(65535);
	struct body b[3] = { { "hello", 5, false }, { "hello", 5, false }, { NULL, 60000, false } };
	int32_t one = request(s, "/x", &b[0]), two = request(s, "/trailer", &b[1]), big = request(s, "/x", &b[2]), none = request(s, "/", NULL);
	pump(s, fd);
	unsigned i = slot(one);
	assert_true(got[i].status == 200 && got[i].n == 5 && got[i].end && !memcmp(got[i].body, "hello", 5));
	i = slot(two);
	assert_true(got[i].status == 200 && got[i].n == 5 && got[i].end && got[i].trailers == 1);
	i = slot(big);
	assert_true(got[i].status == 200 && got[i].n == 60000 && got[i].end);
	i = slot(none);
	assert_true(got[i].status == 200 && got[i].n == 0 && got[i].end);
	assert_int_equal(requests, 4);
	nghttp2_session_del(s);
	close(fd);
}

/* Bodies by the megabyte over one connection: windows open again, whatever became of the requests. */
static void test_v2_windows(void **state)
{
	(void)state;
	int fd = dial();
	nghttp2_session *s = h2(65535);
	for (int k = 0; k < 30; k++) {
		struct body large = { NULL, 100000, false }, cut = { NULL, 5000, true }, held = { NULL, 3000, false };
		int32_t a = request(s, "/x", &large), c = request(s, "/x", &cut), w = request(s, "/wait", &held);
		pump(s, fd);
		assert_int_equal(got[slot(a)].status, 400);
		nghttp2_submit_rst_stream(s, 0, c, NGHTTP2_CANCEL);
		assert_int_equal(nwaiting, 1);
		if (k % 2)
			answer_one();
		else
			nghttp2_submit_rst_stream(s, 0, w, NGHTTP2_CANCEL);
		pump(s, fd);
		assert_int_equal(nwaiting, 0);
		ngot = 0;
	}
	assert_int_equal(goners, 15);
	assert_int_equal(stats.resets, 15);
	assert_false(goaway);
	nghttp2_session_del(s);
	close(fd);
}

static void test_v2_streams(void **state)
{
	(void)state;
	int fd = dial();
	nghttp2_session *s = h2(65535);
	pump(s, fd);
	assert_int_equal(nghttp2_session_get_remote_settings(s, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS), 10);
	for (int i = 0; i < 30; i++)
		request(s, "/wait", NULL);
	pump(s, fd);
	assert_int_equal(nwaiting, 10);
	for (int i = 0; i < 30; i++) {
		answer_one();
		pump(s, fd);
	}
	assert_int_equal(requests, 30);
	close(fd);
	fl_loop_run_until_idle(loop);
	nghttp2_session_del(s);
}

static void test_v2_rapid_reset(void **state)
{
	(void)state;
	int fd = dial();
	nghttp2_session *s = h2(65535);
	pump(s, fd);
	for (int i = 0; i < 1000 && !goaway; i++) {
		int32_t id = request(s, "/wait", NULL);
		if (id < 0)
			break;
		const uint8_t *p;
		ssize_t n;
		while ((n = nghttp2_session_mem_send(s, &p)) > 0)
			send(fd, p, (size_t)n, MSG_NOSIGNAL);
		nghttp2_submit_rst_stream(s, 0, id, NGHTTP2_CANCEL);
		if (i % 50 == 49)
			pump(s, fd);
		ngot = 0;
	}
	pump(s, fd);
	assert_true(goaway);
	assert_int_equal(goaway_code, NGHTTP2_ENHANCE_YOUR_CALM);
	assert_int_equal(stats.calmed, 1);
	assert_int_equal(nwaiting, 0);
	assert_true(requests <= 300);
	assert_true(is_closed(fd));
	nghttp2_session_del(s);
	close(fd);
	fd = dial();                            /* a few now and then are fine */
	s = h2(65535);
	pump(s, fd);
	for (int i = 0; i < 600; i++) {
		int32_t id = request(s, "/wait", NULL);
		pump(s, fd);
		nghttp2_submit_rst_stream(s, 0, id, NGHTTP2_CANCEL);
		pump(s, fd);
		fl_loop_advance(loop, FL_SEC / 50);
		ngot = 0;
	}
	assert_false(goaway);
	nghttp2_session_del(s);
	close(fd);
}

/* The same at the server's expense: frames that make it reset the stream ("MadeYouReset"). */
static void test_v2_made_to_reset(void **state)
{
	(void)state;
	int fd = dial();
	nghttp2_session *s = h2(65535);
	pump(s, fd);
	for (int i = 0; i < 1000 && !goaway; i++) {
		int32_t id = request(s, "/wait", NULL);
		if (id < 0)
			break;
		pump(s, fd);
		const uint8_t wide[] = { 0, 0, 4, 8, 0, 0, 0, (uint8_t)(id >> 8), (uint8_t)id, 0x7f, 0xff, 0xff, 0xff };    /* its window: too far */
		send(fd, wide, sizeof wide, MSG_NOSIGNAL);
		pump(s, fd);
		ngot = 0;
	}
	assert_true(goaway);
	assert_int_equal(goaway_code, NGHTTP2_ENHANCE_YOUR_CALM);
	assert_int_equal(nwaiting, 0);
	assert_true(requests <= 300);
	nghttp2_session_del(s);
	close(fd);
}

static void test_v2_noise(void **state)
{
	(void)state;
	int fd = dial();
	nghttp2_session *s = h2(65535);
	pump(s, fd);
	for (int i = 0; i < 30000 && !goaway; i++) {
		nghttp2_submit_window_update(s, 0, 0, 1);
		if (i % 100 == 99)
			pump(s, fd);
	}
	assert_true(goaway);
	assert_int_equal(stats.calmed, 1);
	nghttp2_session_del(s);
	close(fd);
}

static void test_v2_time(void **state)
{
	(void)state;
	int fd = dial(), mute = dial();
	nghttp2_session *s = h2(10);
	struct body open = { NULL, 100, true }, big = { NULL, 5000, false };
	int32_t slow = request(s, "/x", &open), unread = request(s, "/x", &big);
	pump(s, fd);
	assert_int_equal(got[slot(unread)].n, 10);
	nghttp2_session_del(s);
	(void)slow;
	fl_loop_advance(loop, 5 * FL_SEC);
	hear(mute);
	assert_true(is_closed(mute));
	assert_int_equal(stats.slow, 2);
	fl_loop_advance(loop, 3 * FL_SEC);
	assert_int_equal(stats.slow, 3);
	fl_loop_advance(loop, 14 * FL_SEC);
	hear(fd);
	assert_true(is_closed(fd));
	close(fd);
	close(mute);
}

/* Large answers that nobody takes, and long targets of requests that do not end: a connection holds so much, and no more. */
static void test_v2_memory(void **state)
{
	(void)state;
	static char path[12000];
	static struct body big[9];
	unsigned calm = 0, served = 0;
	int fd = dial();
	nghttp2_session *s = h2(10);
	pump(s, fd);
	for (int i = 0; i < 9; i++) {
		big[i] = (struct body){ NULL, 50000, false };
		request(s, "/x", &big[i]);
		pump(s, fd);                    /* it stays open: the client's window is shut */
	}
	for (int i = 0; i < 9; i++) {
		request(s, "/wait", NULL);
		pump(s, fd);
		while (nwaiting)
			fl_web_answer(waiting[--nwaiting], 200, NULL, 0, in, 600000, NULL, 0);
		pump(s, fd);
	}
	for (unsigned i = 0; i < ngot; i++)
		calm += got[i].end && got[i].reset == NGHTTP2_ENHANCE_YOUR_CALM;
	assert_int_equal(calm, 9);
	assert_int_equal(stats.slow, 9);
	nghttp2_session_del(s);
	hang_up(fd);
	fd = dial();
	s = h2(65535);
	memset(path, 'p', sizeof path - 1);
	path[0] = '/';
	for (int k = 0; k < 200; k++)
		assert_true(request(s, path, NULL) > 0);
	pump(s, fd);
	for (unsigned i = 0; i < ngot; i++)
		served += got[i].status == 200;
	assert_int_equal(served, ngot);         /* what ends is given back */
	nghttp2_session_del(s);
	close(fd);
}

static void test_v2_large_header(void **state)
{
	(void)state;
	static char value[1000];
	memset(value, 'v', sizeof value - 1);
	nghttp2_nv nv[24] = { NV(":method", "GET"), NV(":scheme", "http"), NV(":authority", "x"), NV(":path", "/") };
	for (unsigned i = 4; i < 24; i++)
		nv[i] = (nghttp2_nv)NV("x-header", value);
	int fd = dial();
	nghttp2_session *s = h2(65535);
	int32_t id = nghttp2_submit_request(s, NULL, nv, 24, NULL, NULL);
	pump(s, fd);
	assert_int_equal(got[slot(id)].status, 431);
	assert_int_equal(requests, 0);
	id = request(s, "/", NULL);
	pump(s, fd);
	assert_int_equal(got[slot(id)].status, 200);
	nghttp2_session_del(s);
	close(fd);
}

/* Each header may be large, but not those of all streams: the peer would keep so much of our memory. */
static void test_v2_many_large_headers(void **state)
{
	(void)state;
	static char path[12 * 1024];
	memset(path, 'p', sizeof path - 1);
	path[0] = '/';
	const struct fl_web_conf conf = { .max_streams = 100, .prior = true };
	fl_web_configure(web, &conf);
	struct body open = { NULL, 100, true };
	int fd = dial();
	nghttp2_session *s = h2(65535);
	pump(s, fd);
	for (int i = 0; i < 85; i++) {          /* within what a connection may have */
		request(s, path, &open);
		pump(s, fd);
	}
	assert_int_equal(stats.large, 0);
	int32_t id = request(s, path, NULL);
	pump(s, fd);
	assert_int_equal(got[slot(id)].status, 431);
	assert_int_equal(stats.large, 1);
	id = request(s, "/", NULL);
	pump(s, fd);
	assert_int_equal(got[slot(id)].status, 200);
	nghttp2_session_del(s);
	close(fd);
}

/* A connection that ends under its requests, and a listener that goes under its connections. */
static void test_v2_ends(void **state)
{
	(void)state;
	int fd = dial();
	nghttp2_session *s = h2(65535);
	request(s, "/wait", NULL);
	request(s, "/wait", NULL);
	pump(s, fd);
	assert_int_equal(nwaiting, 2);
	hang_up(fd);
	assert_int_equal(goners, 2);
	nghttp2_session_del(s);
	fd = dial();
	s = h2(65535);
	int32_t id = request(s, "/wait", NULL);
	pump(s, fd);
	int idle = dial();
	hear(idle);
	fl_tcp_unlisten(&li);
	assert_int_equal(hear(idle), 17);       /* GOAWAY */
	assert_int_equal(in[3], NGHTTP2_GOAWAY);
	assert_true(is_closed(idle));
	answer_one();
	pump(s, fd);
	assert_int_equal(got[slot(id)].status, 200);
	assert_true(goaway);
	assert_int_equal(goaway_code, NGHTTP2_NO_ERROR);
	assert_true(is_closed(fd));
	nghttp2_session_del(s);
	close(fd);
	close(idle);
	li.io.fd = -1;
}

#define T1(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define T2(name) cmocka_unit_test_setup_teardown(name, set_up_v2, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T1(test_v1), T1(test_v1_pipeline), T1(test_v1_refusals), T1(test_v1_bounds), T1(test_v1_time), T1(test_share), T1(test_half_closed),
		T2(test_v2), T2(test_v2_windows), T2(test_v2_streams), T2(test_v2_rapid_reset), T2(test_v2_made_to_reset), T2(test_v2_noise), T2(test_v2_time), T2(test_v2_memory),
		T2(test_v2_large_header), T2(test_v2_many_large_headers), T2(test_v2_ends),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

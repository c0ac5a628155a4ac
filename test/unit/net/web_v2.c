/* HTTP/2, by nghttp2's client. */
#include "web_world.h"
#include <nghttp2/nghttp2.h>

static int set_up(void **state)
{
	static const struct fl_web_conf v2 = { .max_streams = 10, .prior = true };
	(void)state;
	listen_with(&v2);
	return 0;
}

/* ---- nghttp2's client ---- */

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

static int fd;
static nghttp2_session *h2;

/* A new connection, whose client takes `window` octets of a body; with a small one it takes no more. hush() ends it. */
static void talk(uint32_t window)
{
	nghttp2_session_callbacks *cb;
	nghttp2_option *opt;
	nghttp2_settings_entry e = { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window };
	nghttp2_session_callbacks_new(&cb);
	nghttp2_session_callbacks_set_on_header_callback(cb, c_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, c_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, c_close);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, c_frame);
	nghttp2_option_new(&opt);
	nghttp2_option_set_no_auto_window_update(opt, window < 65535);
	nghttp2_session_client_new2(&h2, cb, NULL, opt);
	nghttp2_option_del(opt);
	nghttp2_session_callbacks_del(cb);
	nghttp2_submit_settings(h2, 0, &e, 1);
	ngot = 0;
	goaway = false;
	fd = dial();
}

static void hush(void)
{
	nghttp2_session_del(h2);
	close(fd);
}

/* Both ways, until nothing moves. */
static void pump(void)
{
	for (int i = 0; i < 200; i++) {
		const uint8_t *p;
		ssize_t n;
		while ((n = nghttp2_session_mem_send(h2, &p)) > 0)
			if (send(fd, p, (size_t)n, MSG_NOSIGNAL) < 0)
				return;
		size_t in_n = hear(fd);
		if (!in_n && !nghttp2_session_want_write(h2))
			return;
		if (nghttp2_session_mem_recv(h2, (uint8_t *)in, in_n) < 0)
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

static int32_t request(const char *path, struct body *b)
{
#define NV(n, v) { (uint8_t *)(uintptr_t)n, (uint8_t *)(uintptr_t)v, sizeof n - 1, strlen(v), 0 }
	nghttp2_nv nv[] = { NV(":method", "POST"), NV(":scheme", "http"), NV(":authority", "x"), NV(":path", path) };
	nghttp2_data_provider d = { { .ptr = b }, read_body };
	return nghttp2_submit_request(h2, NULL, nv, FL_COUNT(nv), b ? &d : NULL, NULL);
}

/* ---- tests ---- */

static void test_v2(void **state)
{
	(void)state;
	talk(65535);
	struct body b[3] = { { "hello", 5, false }, { "hello", 5, false }, { NULL, 60000, false } };
	int32_t one = request("/x", &b[0]), two = request("/trailer", &b[1]), big = request("/x", &b[2]), none = request("/", NULL);
	pump();
	unsigned i = slot(one);
	assert_true(got[i].status == 200 && got[i].n == 5 && got[i].end && !memcmp(got[i].body, "hello", 5));
	i = slot(two);
	assert_true(got[i].status == 200 && got[i].n == 5 && got[i].end && got[i].trailers == 1);
	i = slot(big);
	assert_true(got[i].status == 200 && got[i].n == 60000 && got[i].end);
	i = slot(none);
	assert_true(got[i].status == 200 && got[i].n == 0 && got[i].end);
	assert_int_equal(requests, 4);
	hush();
}

/* Bodies by the megabyte over one connection: windows open again, whatever became of the requests. */
static void test_v2_windows(void **state)
{
	(void)state;
	talk(65535);
	for (int k = 0; k < 30; k++) {
		struct body large = { NULL, 100000, false }, cut = { NULL, 5000, true }, held = { NULL, 3000, false };
		int32_t a = request("/x", &large), c = request("/x", &cut), w = request("/wait", &held);
		pump();
		assert_int_equal(got[slot(a)].status, 400);
		nghttp2_submit_rst_stream(h2, 0, c, NGHTTP2_CANCEL);
		assert_int_equal(nwaiting, 1);
		if (k % 2)
			answer_one();
		else
			nghttp2_submit_rst_stream(h2, 0, w, NGHTTP2_CANCEL);
		pump();
		assert_int_equal(nwaiting, 0);
		ngot = 0;
	}
	assert_int_equal(goners, 15);
	assert_int_equal(stats.resets, 15);
	assert_false(goaway);
	hush();
}

static void test_v2_streams(void **state)
{
	(void)state;
	talk(65535);
	pump();
	assert_int_equal(nghttp2_session_get_remote_settings(h2, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS), 10);
	for (int i = 0; i < 30; i++)
		request("/wait", NULL);
	pump();
	assert_int_equal(nwaiting, 10);
	for (int i = 0; i < 30; i++) {
		answer_one();
		pump();
	}
	assert_int_equal(requests, 30);
	close(fd);
	fl_loop_run_until_idle(loop);
	nghttp2_session_del(h2);
}

static void test_v2_rapid_reset(void **state)
{
	(void)state;
	talk(65535);
	pump();
	for (int i = 0; i < 1000 && !goaway; i++) {
		int32_t id = request("/wait", NULL);
		if (id < 0)
			break;
		const uint8_t *p;
		ssize_t n;
		while ((n = nghttp2_session_mem_send(h2, &p)) > 0)
			send(fd, p, (size_t)n, MSG_NOSIGNAL);
		nghttp2_submit_rst_stream(h2, 0, id, NGHTTP2_CANCEL);
		if (i % 50 == 49)
			pump();
		ngot = 0;
	}
	pump();
	assert_true(goaway);
	assert_int_equal(goaway_code, NGHTTP2_ENHANCE_YOUR_CALM);
	assert_int_equal(stats.calmed, 1);
	assert_int_equal(nwaiting, 0);
	assert_true(requests <= 300);
	assert_true(is_closed(fd));
	hush();
	talk(65535);                            /* a few now and then are fine */
	pump();
	for (int i = 0; i < 600; i++) {
		int32_t id = request("/wait", NULL);
		pump();
		nghttp2_submit_rst_stream(h2, 0, id, NGHTTP2_CANCEL);
		pump();
		fl_loop_advance(loop, FL_SEC / 50);
		ngot = 0;
	}
	assert_false(goaway);
	hush();
}

/* The same at the server's expense: frames that make it reset the stream ("MadeYouReset"). */
static void test_v2_made_to_reset(void **state)
{
	(void)state;
	talk(65535);
	pump();
	for (int i = 0; i < 1000 && !goaway; i++) {
		int32_t id = request("/wait", NULL);
		if (id < 0)
			break;
		pump();
		const uint8_t wide[] = { 0, 0, 4, 8, 0, 0, 0, (uint8_t)(id >> 8), (uint8_t)id, 0x7f, 0xff, 0xff, 0xff };    /* its window: too far */
		send(fd, wide, sizeof wide, MSG_NOSIGNAL);
		pump();
		ngot = 0;
	}
	assert_true(goaway);
	assert_int_equal(goaway_code, NGHTTP2_ENHANCE_YOUR_CALM);
	assert_int_equal(nwaiting, 0);
	assert_true(requests <= 300);
	hush();
}

static void test_v2_noise(void **state)
{
	(void)state;
	talk(65535);
	pump();
	for (int i = 0; i < 30000 && !goaway; i++) {
		nghttp2_submit_window_update(h2, 0, 0, 1);
		if (i % 100 == 99)
			pump();
	}
	assert_true(goaway);
	assert_int_equal(stats.calmed, 1);
	hush();
}

static void test_v2_time(void **state)
{
	(void)state;
	talk(10);
	int mute = dial();
	struct body open = { NULL, 100, true }, big = { NULL, 5000, false };
	int32_t slow = request("/x", &open), unread = request("/x", &big);
	pump();
	assert_int_equal(got[slot(unread)].n, 10);
	nghttp2_session_del(h2);
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
	talk(10);
	pump();
	for (int i = 0; i < 9; i++) {
		big[i] = (struct body){ NULL, 50000, false };
		request("/x", &big[i]);
		pump();                         /* it stays open: the client's window is shut */
	}
	for (int i = 0; i < 9; i++) {
		request("/wait", NULL);
		pump();
		while (nwaiting)
			fl_web_answer(waiting[--nwaiting], 200, NULL, 0, in, 600000, NULL, 0);
		pump();
	}
	for (unsigned i = 0; i < ngot; i++)
		calm += got[i].end && got[i].reset == NGHTTP2_ENHANCE_YOUR_CALM;
	assert_int_equal(calm, 9);
	assert_int_equal(stats.slow, 9);
	nghttp2_session_del(h2);
	hang_up(fd);
	talk(65535);
	memset(path, 'p', sizeof path - 1);
	path[0] = '/';
	for (int k = 0; k < 200; k++)
		assert_true(request(path, NULL) > 0);
	pump();
	for (unsigned i = 0; i < ngot; i++)
		served += got[i].status == 200;
	assert_int_equal(served, ngot);         /* what ends is given back */
	hush();
}

static void test_v2_large_header(void **state)
{
	(void)state;
	static char value[1000];
	memset(value, 'v', sizeof value - 1);
	nghttp2_nv nv[24] = { NV(":method", "GET"), NV(":scheme", "http"), NV(":authority", "x"), NV(":path", "/") };
	for (unsigned i = 4; i < 24; i++)
		nv[i] = (nghttp2_nv)NV("x-header", value);
	talk(65535);
	int32_t id = nghttp2_submit_request(h2, NULL, nv, 24, NULL, NULL);
	pump();
	assert_int_equal(got[slot(id)].status, 431);
	assert_int_equal(requests, 0);
	id = request("/", NULL);
	pump();
	assert_int_equal(got[slot(id)].status, 200);
	hush();
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
	talk(65535);
	pump();
	for (int i = 0; i < 85; i++) {          /* within what a connection may have */
		request(path, &open);
		pump();
	}
	assert_int_equal(stats.large, 0);
	int32_t id = request(path, NULL);
	pump();
	assert_int_equal(got[slot(id)].status, 431);
	assert_int_equal(stats.large, 1);
	id = request("/", NULL);
	pump();
	assert_int_equal(got[slot(id)].status, 200);
	hush();
}

/* A connection that ends under its requests, and a listener that goes under its connections. */
static void test_v2_ends(void **state)
{
	(void)state;
	talk(65535);
	request("/wait", NULL);
	request("/wait", NULL);
	pump();
	assert_int_equal(nwaiting, 2);
	hang_up(fd);
	assert_int_equal(goners, 2);
	nghttp2_session_del(h2);
	talk(65535);
	int32_t id = request("/wait", NULL);
	pump();
	int idle = dial();
	hear(idle);
	fl_tcp_unlisten(&li);
	assert_int_equal(hear(idle), 17);       /* GOAWAY */
	assert_int_equal(in[3], NGHTTP2_GOAWAY);
	assert_true(is_closed(idle));
	answer_one();
	pump();
	assert_int_equal(got[slot(id)].status, 200);
	assert_true(goaway);
	assert_int_equal(goaway_code, NGHTTP2_NO_ERROR);
	assert_true(is_closed(fd));
	hush();
	close(idle);
	li.io.fd = -1;
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(test_v2), T(test_v2_windows), T(test_v2_streams), T(test_v2_rapid_reset), T(test_v2_made_to_reset), T(test_v2_noise), T(test_v2_time),
		T(test_v2_memory), T(test_v2_large_header), T(test_v2_many_large_headers), T(test_v2_ends),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

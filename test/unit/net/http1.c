#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include "net/http1.h"

struct outcome { enum fl_http1_event last; int heads; char body[256]; size_t n; struct fl_http1 h; size_t left; };

/* Feeds text in portions of `step` bytes. */
static struct outcome run(struct fl_str text, size_t step)
{
	struct outcome o = { .last = FL_HTTP1_MORE };
	fl_http1_init(&o.h);
	const uint8_t *p = (const uint8_t *)text.p, *all = p + text.n;
	while (p < all && o.last != FL_HTTP1_DONE && o.last != FL_HTTP1_BAD) {
		const uint8_t *end = (size_t)(all - p) < step ? all : p + step;
		struct fl_str piece;
		while ((o.last = fl_http1_next(&o.h, &p, end, &piece)) == FL_HTTP1_HEAD || o.last == FL_HTTP1_BODY) {
			o.heads += o.last == FL_HTTP1_HEAD;
			if (o.last == FL_HTTP1_BODY) {
				assert_true(piece.n > 0 && o.n + piece.n < sizeof o.body);
				memcpy(o.body + o.n, piece.p, piece.n);
				o.n += piece.n;
			}
		}
		if (o.last == FL_HTTP1_MORE)
			assert_ptr_equal(p, end);
	}
	o.left = (size_t)(all - p);
	return o;
}

#define OK "HTTP/1.1 200 OK\r\n"

static const struct { const char *text, *body; int status; bool keep; size_t left; } good[] = {
	{ OK "Content-Length: 5\r\n\r\nhello", "hello", 200, true, 0 },
	{ OK "Content-Length: 5\r\n\r\nhelloNEXT", "hello", 200, true, 4 },
	{ OK "content-length:0\r\n\r\n", "", 200, true, 0 },
	{ OK "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", "abc", 200, true, 0 },
	{ OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", "hello!", 200, true, 0 },
	{ OK "Transfer-Encoding: Chunked\r\n\r\n0a;x=y\r\n0123456789\r\n0\r\nTrailer: 1\r\n\r\n", "0123456789", 200, true, 0 },
	{ OK "Transfer-Encoding: chunked\r\nContent-Length: 7\r\n\r\n1\r\na\r\n0\r\n\r\n", "a", 200, true, 0 },
	{ OK "Connection: close\r\nContent-Length: 1\r\n\r\nx", "x", 200, false, 0 },
	{ "HTTP/1.0 404 Not Found\nContent-Length: 2\n\nno", "no", 404, false, 0 },
	{ "HTTP/1.1 204\r\n\r\n", "", 204, true, 0 },
	{ "HTTP/1.1 304 \r\nContent-Length: 77\r\n\r\n", "", 304, true, 0 },
	{ "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n" OK "Content-Length: 1\r\n\r\ny", "y", 200, true, 0 },
};

static void test_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < FL_COUNT(good); i++)
		for (size_t step = 1; step < 80; step += step < 9 ? 1 : 23) {
			struct outcome o = run(fl_str(good[i].text), step);
			assert_int_equal(o.last, FL_HTTP1_DONE);
			assert_int_equal(o.heads, 1);
			assert_int_equal(o.h.head.status, good[i].status);
			assert_int_equal(o.h.keep, good[i].keep);
			assert_true(fl_str_is((struct fl_str){ o.body, o.n }, good[i].body));
			assert_true(fl_http1_closed(&o.h));
			if (step >= 79)
				assert_int_equal(o.left, good[i].left);
		}
}

static void test_bad(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"HTTP/2.0 200 OK\r\n\r\n", "HTTP/1.1 20\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n", "SSH-2.0-x\r\n\r\n",
			"HTTP/1.1 099 x\r\n\r\n",
		"HTTP/1.1 101 Switching\r\n\r\n", OK "no colon\r\n\r\n", OK ": empty\r\n\r\n", OK "Space : x\r\n\r\n",
		OK "Content-Length: -1\r\n\r\n", OK "Content-Length: +1\r\n\r\n", OK "Content-Length: 1x\r\n\r\n",
			OK "Content-Length:\r\n\r\n",
		OK "Content-Length: 99999999999999999999\r\n\r\n", OK "Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
		OK "Transfer-Encoding: gzip\r\n\r\n", OK "Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
		OK "Transfer-Encoding: chunked\r\n\r\n\r\n", OK "Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n",
		OK "Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n",
	};
	for (size_t i = 0; i < FL_COUNT(bad); i++)
		for (size_t step = 1; step < 200; step += 13) {
			assert_int_equal(run(fl_str(bad[i]), step).last, FL_HTTP1_BAD);
		}
}

/* A head without end, in short lines or in one long one. */
static void test_endless(void **state)
{
	(void)state;
	for (int lines = 0; lines < 2; lines++) {
		struct fl_http1 h;
		struct fl_str piece;
		fl_http1_init(&h);
		const char *start = OK;
		const uint8_t *p = (const uint8_t *)start;
		assert_int_equal(fl_http1_next(&h, &p, p + strlen(start), &piece), FL_HTTP1_MORE);
		size_t fed = 0;
		enum fl_http1_event ev = FL_HTTP1_MORE;
		for (; ev == FL_HTTP1_MORE && fed < 1 << 20; fed += 8) {
			p = (const uint8_t *)(lines ? "abcd:e\r\n" : "abcdefgh");
			ev = fl_http1_next(&h, &p, p + 8, &piece);
		}
		assert_int_equal(ev, FL_HTTP1_BAD);
		assert_in_range(fed, 60000, 70000);
	}
}

static void test_fields(void **state)
{
	(void)state;
	struct outcome o = run(FL_STR(OK "CONTENT-TYPE:  application/json; x \r\nRetry-After: 7\r\nContent-Encoding: "
		"gzip\r\n\r\nabc"), 4);
	assert_int_equal(o.last, FL_HTTP1_MORE);
	assert_string_equal(o.h.head.content_type, "application/json; x");
	assert_int_equal(o.h.head.retry_after_s, 7);
	assert_true(o.h.head.encoded);
	assert_int_equal(o.n, 3);
	assert_true(fl_http1_closed(&o.h));             /* no length: the end is where the peer closes */
	assert_false(o.h.keep);
	o = run(FL_STR(OK "Retry-After: Fri, 02 Jan 2026 03:04:05 GMT\r\nContent-Encoding: identity\r\nContent-Length: "
		"9\r\n\r\nabc"), 99);
	assert_int_equal(o.h.head.retry_after_s, -1);
	assert_false(o.h.head.encoded);
	assert_false(fl_http1_closed(&o.h));
	char longer[700] = OK "X-Long: ";
	memset(longer + strlen(longer), 'x', 600);
	strcpy(longer + 625, "\r\nContent-Length: 1\r\n\r\nz");
	o = run(fl_str(longer), 50);
	assert_int_equal(o.last, FL_HTTP1_DONE);
	assert_int_equal(o.n, 1);
}

/* What a length may look like; two readers must not see two. */
static void test_lengths(void **state)
{
	static const struct { const char *text; bool good; uint64_t n; } length[] = {
		{ "0", true, 0 }, { "007", true, 7 }, { "9223372036854775807", true, INT64_MAX }, { "9223372036854775808", false, 0 }, { "", false, 0 },
		{ "-0", false, 0 }, { "+1", false, 0 }, { "1 2", false, 0 }, { "0x1", false, 0 },
	}, chunk[] = {
		{ "0", true, 0 }, { "1aF", true, 0x1af }, { "0000000000000005", true, 5 }, { "00000000000000005", false, 0 }, { "5 \t", true, 5 },
		{ "5 ;x=y", true, 5 }, { "5;", true, 5 }, { "5 x", false, 0 }, { "5\rx", false, 0 }, { "", false, 0 }, { ";x", false, 0 },
		{ "-5", false, 0 }, { "0x5", false, 0 }, { "7fffffffffffffff", true, INT64_MAX }, { "8000000000000000", false, 0 },
	};
	uint64_t n;
	(void)state;
	for (size_t i = 0; i < FL_COUNT(length); i++)
		if (fl_http_length(fl_str(length[i].text), &n) != length[i].good || (length[i].good && n != length[i].n))
			fail_msg("%s", length[i].text);
	for (size_t i = 0; i < FL_COUNT(chunk); i++)
		if (fl_http_chunk(fl_str(chunk[i].text), true, &n) != chunk[i].good || (chunk[i].good && n != chunk[i].n))
			fail_msg("%s", chunk[i].text);
	assert_false(fl_http_chunk(FL_STR("5"), false, &n));
	assert_true(fl_http_chunk(FL_STR("5;x"), false, &n));
	assert_false(fl_http_chunk((struct fl_str){ "5\0", 2 }, true, &n));
}

static void test_tunnel(void **state)
{
	char why[160];
	(void)state;
	assert_true(fl_http_tunnel(FL_STR("HTTP/1.0 200 OK\r\n\r\n"), why, sizeof why));
	assert_true(fl_http_tunnel(FL_STR("HTTP/1.1 204\r\n\r\n"), why, sizeof why));
	assert_false(fl_http_tunnel(FL_STR("HTTP/1.1 407 Who\n\x1b[1m are you?\r\nA: b\r\n\r\n"), why, sizeof why));
	assert_string_equal(why, "proxyconnect: 407 Who??[1m are you?");
	assert_false(fl_http_tunnel(FL_STR("HTTP/1.1 2000 no\r\n\r\n"), why, sizeof why));
	assert_false(fl_http_tunnel(FL_STR("\r\n\r\n"), why, sizeof why));
	assert_string_equal(why, "malformed HTTP response from the proxy");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good), cmocka_unit_test(test_bad), cmocka_unit_test(test_endless),
			cmocka_unit_test(test_fields), cmocka_unit_test(test_lengths), cmocka_unit_test(test_tunnel),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

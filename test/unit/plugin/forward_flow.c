/* What goes to an upstream and what becomes of what it says, octet by octet; limits, and clients that leave. */
#include "../exposed.h"
#include "../loopback.h"
#include "../served.h"
#include <stdlib.h>
#include <unistd.h>
#include "dns/stats.h"
#include "wire/message.h"
#include "wire/pack.h"

extern const struct fl_plugin fl_plugin_cache, fl_plugin_forward;
static const struct fl_directive_entry table[] = { { "cache", &fl_plugin_cache }, { "forward", &fl_plugin_forward }, { 0 } };
static const char *const known[] = { "cache", "forward", NULL };

static uint16_t up_port[2];
static int up[2], client[8];

static void upstreams(void)
{
	for (unsigned i = 0; i < 2; i++) {
		up_port[i] = 0;
		up[i] = bound(SOCK_DGRAM | SOCK_NONBLOCK, &up_port[i]);
	}
}

static void clients(void)
{
	for (unsigned i = 0; i < FL_COUNT(client); i++)
		client[i] = dial(SOCK_DGRAM);
}

static int start(void **state)
{
	char text[300];
	(void)state;
	upstreams();
	snprintf(text, sizeof text, ".:%u {\n forward rr.test 127.0.0.1:%u 127.0.0.1:%u {\n policy round_robin\n }\n"
				    " forward . 127.0.0.1:%u {\n max_concurrent 2\n prefer_udp\n }\n}\n",
		 server_port(), up_port[0], up_port[1], up_port[0]);
	serve(table, known, NULL, text);
	clients();
	return 0;
}

static int start_cache(void **state)
{
	char text[300];
	(void)state;
	upstreams();
	snprintf(text, sizeof text, ".:%u {\n cache {\n servfail 0\n }\n forward . 127.0.0.1:%u\n}\n", server_port(), up_port[0]);
	serve(table, known, NULL, text);
	clients();
	return 0;
}

static int stop(void **state)
{
	(void)state;
	close_server();
	for (unsigned i = 0; i < FL_COUNT(client); i++)
		close(client[i]);
	for (unsigned i = 0; i < 2; i++)
		close(up[i]);
	return 0;
}

/* ---- clients and upstream ---- */

static size_t query(uint8_t *msg, const char *name, const struct fl_edns *opt)
{
	uint8_t wire[FL_NAME_MAX];
	int n = fl_name_parse(wire, fl_str(name));
	assert_true(n > 0);
	return fl_pack_query(msg, 600, 0x1234, FL_RD | FL_CD, (struct fl_name){ wire, (uint8_t)n }, FL_T_A, FL_C_IN, opt != NULL,
			     1300, 0x8000, opt);
}

static void ask(unsigned i, const char *name, const struct fl_edns *opt)
{
	uint8_t msg[600];
	size_t n = query(msg, name, opt);
	assert_int_equal(send(client[i], msg, n, 0), n);
	fl_loop_run_until_idle(loop);
}

static uint8_t asked[4096];
static size_t asked_n;
static struct sockaddr_in from;

/* The next datagram that the upstream got. */
static bool take(unsigned i)
{
	socklen_t len = sizeof from;
	ssize_t n = recvfrom(up[i], asked, sizeof asked, 0, (struct sockaddr *)&from, &len);
	asked_n = n > 0 ? (size_t)n : 0;
	return n > 0;
}

static void tell(unsigned i, const uint8_t *msg, size_t n)
{
	assert_int_equal(sendto(up[i], msg, n, 0, (struct sockaddr *)&from, sizeof from), n);
	fl_loop_run_until_idle(loop);
}

/* The question back, with flags in the header. */
static void tell_flags(unsigned i, uint16_t flags)
{
	uint8_t msg[600];
	memcpy(msg, asked, asked_n);
	fl_put16(msg + 2, (uint16_t)(FL_QR | flags));
	tell(i, msg, asked_n);
}

static uint8_t reply[65536];
static size_t reply_n;

static bool answered(unsigned i)
{
	ssize_t n = recv(client[i], reply, sizeof reply, MSG_DONTWAIT);
	reply_n = n > 0 ? (size_t)n : 0;
	return n > 0;
}

static unsigned rcode(void) { return reply[3] & 15; }

/* ---- tests ---- */

/* The question goes out letter by letter, with its flags and options; the ID is another. */
static void test_request(void **state)
{
	(void)state;
	static const uint8_t ecs[] = { 0, 1, 24, 0, 10, 1, 2 };
	struct fl_edns cookie = { 10, 7, ecs, NULL }, opt = { 8, 7, ecs, &cookie };
	uint8_t msg[600];
	size_t n = query(msg, "WwW.Example.Org", &opt);
	unsigned same_id = 0;
	for (int i = 0; i < 8; i++) {
		ask(0, "WwW.Example.Org", &opt);
		assert_true(take(0));
		assert_int_equal(asked_n, n);
		same_id += !memcmp(asked, msg, 2);
		assert_memory_equal(asked + 2, msg + 2, n - 2);
		tell_flags(0, FL_RD | FL_RA | FL_AA | FL_AD);
		assert_true(answered(0));
		assert_memory_equal(reply, msg, 2);
		assert_int_equal(fl_get16(reply + 2), FL_QR | FL_RD | FL_RA | FL_AA | FL_AD);
	}
	assert_true(same_id < 3);
}

static void test_strange_replies(void **state)
{
	(void)state;
	uint8_t msg[600];
	ask(0, "a.test", NULL);
	assert_true(take(0));
	memcpy(msg, asked, asked_n);            /* FORMERR by one who did not understand the question */
	fl_put16(msg + 2, FL_QR | FL_FORMERR);
	memset(msg + 4, 0, 8);
	tell(0, msg, 12);
	assert_true(answered(0));
	assert_int_equal(rcode(), FL_FORMERR);

	ask(1, "b.test", NULL);                 /* cut in the middle of a record: the client shall come by TCP */
	assert_true(take(0));
	memcpy(msg, asked, asked_n);
	fl_put16(msg + 2, FL_QR | FL_TC | FL_RD);
	msg[7] = 2;
	memcpy(msg + asked_n, "\xc0\x0c\0\1\0\1\0\0\0\5\0\4\1\2", 14);
	tell(0, msg, asked_n + 14);
	fl_loop_advance(loop, 10 * FL_SEC);     /* prefer_udp: asked again by TCP, where nobody listens */
	assert_true(answered(1));
	assert_int_equal(rcode(), FL_SERVFAIL);
	while (take(0))
		tell_flags(0, 0);

	ask(2, "x.rr.test", NULL);
	assert_true(take(1));
	memcpy(msg, asked, asked_n);
	fl_put16(msg + 2, FL_QR | FL_RD);
	msg[7] = 2;
	memcpy(msg + asked_n, "\xc0\x0c\0\1\0\1\0\0\0\5\0\4\1\2", 14);
	tell(1, msg, asked_n + 14);
	assert_true(answered(2));
	assert_int_equal(fl_get16(reply + 2) & (FL_TC | 15), FL_TC);
	assert_int_equal(fl_get16(reply + 6), 0);

	ask(3, "c.test", NULL);                 /* a lie, then the truth */
	assert_true(take(0));
	asked[14] ^= 1;
	tell_flags(0, 0);
	assert_false(answered(3));
	asked[14] ^= 1;
	tell_flags(0, FL_NXDOMAIN);
	assert_true(answered(3));
	assert_int_equal(rcode(), FL_NXDOMAIN);
}

/* Replies of any size; the client gets what its buffer takes. */
static void test_large(void **state)
{
	(void)state;
	enum { N = 250 };
	static uint8_t msg[8192];
	struct fl_edns opt = { 65001, 0, (const uint8_t *)"", NULL };
	for (int edns = 0; edns < 2; edns++) {
		ask(0, "big.rr.test", edns ? &opt : NULL);
		unsigned who = take(1);
		assert_true(who || take(0));
		size_t q = 12 + 17, n = q;
		memcpy(msg, asked, q);
		fl_put16(msg + 2, FL_QR | FL_RD | FL_RA);
		fl_put16(msg + 6, N);
		memset(msg + 8, 0, 4);
		for (unsigned i = 0; i < N; i++, n += 16)
			memcpy(msg + n, (uint8_t[]){ 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, 0, (uint8_t)i }, 16);
		tell(who, msg, n);
		assert_true(answered(0));
		assert_int_equal(fl_get16(reply + 2) & (FL_TC | FL_RA), FL_TC | FL_RA);
		assert_true(reply_n <= (edns ? 1300 : 512) && reply_n > (edns ? 1200 : 450));
	}
}

/* "coredns_proxy_conn_cache_" and what is given stands in what is exposed; %u is the port. */
static bool shows(const char *fmt, uint16_t p)
{
	char line[200] = "coredns_proxy_conn_cache_";
	size_t n = strlen(line);
	snprintf(line + n, sizeof line - n, fmt, p);
	return strstr(exposed(NULL), line);
}

/* Turns are taken exactly, the second server first. */
static void test_round_robin(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		ask(0, "x.rr.test", NULL);
		assert_false(take(i % 2));
		assert_true(take(1 - i % 2));
		tell_flags(1 - i % 2, 0);
		assert_true(answered(0));
	}
	assert_false(shows("misses_total{proto=\"tcp\",proxy_name=\"forward\",to=\"127.0.0.1:%u\"}", up_port[0]));
	assert_true(shows("misses_total{proto=\"udp\",proxy_name=\"forward\",to=\"127.0.0.1:%u\"} 1\n", up_port[0]));
	assert_true(shows("hits_total{proto=\"udp\",proxy_name=\"forward\",to=\"127.0.0.1:%u\"} 9\n", up_port[0]));
}

/* No more than so many at once; whoever leaves makes room: answered, timed out, cut off. */
static void test_max_concurrent(void **state)
{
	(void)state;
	uint8_t frame[602], msg[600];
	ask(0, "a.test", NULL);
	ask(1, "b.test", NULL);
	ask(2, "c.test", NULL);
	assert_true(answered(2));
	assert_int_equal(rcode(), FL_REFUSED);
	assert_true(take(0));
	tell_flags(0, 0);
	assert_true(answered(0));
	ask(2, "c.test", NULL);
	assert_false(answered(2));
	ask(3, "d.test", NULL);
	assert_true(answered(3));
	assert_int_equal(rcode(), FL_REFUSED);
	fl_loop_advance(loop, 10 * FL_SEC);
	for (unsigned i = 1; i < 3; i++) {
		assert_true(answered(i));
		assert_int_equal(rcode(), FL_SERVFAIL);
	}
	int conn = dial(SOCK_STREAM);             /* clients that hang up */
	size_t n = query(msg, "e.test", NULL);
	fl_put16(frame, (uint16_t)n);
	memcpy(frame + 2, msg, n);
	for (int i = 0; i < 2; i++)
		assert_int_equal(send(conn, frame, n + 2, 0), n + 2);
	fl_loop_run_until_idle(loop);
	ask(3, "d.test", NULL);
	assert_true(answered(3));
	assert_int_equal(rcode(), FL_REFUSED);
	close(conn);
	fl_loop_run_until_idle(loop);
	while (take(0))                         /* late answers hurt nobody */
		tell_flags(0, 0);
	ask(4, "f.test", NULL);
	ask(5, "g.test", NULL);
	assert_false(answered(4));
	assert_false(answered(5));
	assert_true(take(0));
	assert_true(take(0));
}

/* Who waited for another's answer, which was none that could be kept, has been a client no shorter for that. */
static void test_followers_in_time(void **state)
{
	(void)state;
	ask(0, "a.test", NULL);
	fl_loop_advance(loop, FL_SEC);
	ask(1, "a.test", NULL);
	fl_loop_advance(loop, 3500 * FL_MS);
	assert_true(answered(0));
	assert_int_equal(rcode(), FL_SERVFAIL);
	assert_false(answered(1));
	fl_loop_advance(loop, FL_SEC + FL_MS);  /* 4.5 s */
	assert_true(answered(1));
	assert_int_equal(rcode(), FL_SERVFAIL);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, start, stop)
	const struct CMUnitTest tests[] = { T(test_request), T(test_strange_replies), T(test_large), T(test_round_robin),
					    T(test_max_concurrent),
					    cmocka_unit_test_setup_teardown(test_followers_in_time, start_cache, stop) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* forward and cache on two shards, with an upstream that answers in another order, tells lies first, and forgets some; while the
 * configuration is loaded anew again and again. Every answer must be that of its question. Runs under ASan and TSan too. */
#include "../loopback.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/log.h"
#include "base/rng.h"
#include "dns/gen.h"
#include "dns/server.h"
#include "dns/stats.h"
#include "net/udp.h"
#include "wire/message.h"
#include "wire/pack.h"

extern const struct fl_plugin fl_plugin_cache, fl_plugin_forward;
static const struct fl_directive_entry table[] = { { "cache", &fl_plugin_cache }, { "forward", &fl_plugin_forward }, { 0 } };
static const char *const known[] = { "cache", "forward", NULL };

static struct fl_loop *loop;
static struct fl_server *server;
static uint16_t port, upstream_port;
static int up_udp, up_tcp;
static bool quit;                       /* atomic */

/* ---- the upstream: A of n123.test is 10.0.0.0 + 123 ---- */

static uint32_t number_of(const uint8_t *msg)
{
	uint32_t n = 0;
	for (unsigned i = 1; i < msg[12]; i++)
		n = n * 10 + (msg[13 + i] - '0');
	return n;
}

static size_t reply_to(uint8_t *msg, size_t n)
{
	uint8_t rr[] = { 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, 0, 0 };
	uint32_t v = number_of(msg);
	rr[13] = (uint8_t)(v >> 16), rr[14] = (uint8_t)(v >> 8), rr[15] = (uint8_t)v;
	msg[2] |= 0x80, msg[3] = 0x80;
	msg[7] = 1;
	memcpy(msg + n, rr, sizeof rr);
	return n + sizeof rr;
}

enum { HELD = 16 };

static void udp_turn(struct fl_rng *r)
{
	static uint8_t m[HELD][1500];
	static struct sockaddr_in from[HELD];
	size_t n[HELD];
	unsigned k = 0;
	for (; k < HELD; k++) {
		socklen_t len = sizeof from[k];
		ssize_t got = recvfrom(up_udp, m[k], 1000, MSG_DONTWAIT, (struct sockaddr *)&from[k], &len);
		if (got < 0)
			break;
		n[k] = reply_to(m[k], (size_t)got);
	}
	while (k--) {
		unsigned dice = fl_rng_below(r, 64);
		if (dice == 0)                  /* forgotten: the second attempt will do */
			continue;
		if (dice < 16) {                /* a lie: another address under another ID, or for another name, or no response */
			uint8_t lie[1500];
			memcpy(lie, m[k], n[k]);
			lie[n[k] - 1] ^= 0xff;
			lie[dice & 1 ? 0 : dice & 2 ? 14 : 2] ^= dice & 3 ? 1 : 0x80;
			sendto(up_udp, lie, n[k], 0, (struct sockaddr *)&from[k], sizeof from[k]);
		}
		sendto(up_udp, m[k], n[k], 0, (struct sockaddr *)&from[k], sizeof from[k]);
	}
}

/* Frames of one connection, answered backwards; now and then it is closed instead. */
static bool conn_turn(int fd, struct fl_rng *r)
{
	uint8_t in[8192], out[8192];
	size_t at = 0, end = sizeof out;
	ssize_t n = recv(fd, in, 4000, MSG_DONTWAIT);
	if (n == 0 || fl_rng_below(r, 200) == 0)
		return false;
	while (n > 0 && at + 2 <= (size_t)n) {
		size_t len = (size_t)in[at] << 8 | in[at + 1];
		uint8_t m[600];
		if (at + 2 + len > (size_t)n || len > 500)
			return false;
		memcpy(m, in + at + 2, len);
		at += 2 + len;
		len = reply_to(m, len);
		end -= len + 2;
		out[end] = (uint8_t)(len >> 8), out[end + 1] = (uint8_t)len;
		memcpy(out + end + 2, m, len);
	}
	if (end < sizeof out)
		send(fd, out + end, sizeof out - end, MSG_NOSIGNAL);
	return true;
}

static void *upstream(void *arg)
{
	struct pollfd p[128] = { { up_udp, POLLIN, 0 }, { up_tcp, POLLIN, 0 } };
	unsigned n = 2;
	struct fl_rng r;
	(void)arg;
	fl_rng_init(&r, 0);
	while (!__atomic_load_n(&quit, __ATOMIC_RELAXED)) {
		if (poll(p, n, 20) <= 0)
			continue;
		if (p[0].revents)
			udp_turn(&r);
		for (unsigned i = n; i-- > 2;)
			if (p[i].revents && !conn_turn(p[i].fd, &r)) {
				close(p[i].fd);
				p[i] = p[--n];
			}
		if (p[1].revents && n < 128)
			p[n++] = (struct pollfd){ accept(up_tcp, NULL, NULL), POLLIN, 0 };
	}
	while (n-- > 2)
		close(p[n].fd);
	return NULL;
}

/* ---- clients ---- */

enum { WINDOW = 50, NAMES = 4000 };
struct client { pthread_t thread; const char *zone; unsigned asked, answered, wrong, failed; uint64_t seed; };

static void judge(struct client *c, const uint8_t *m, size_t n, const uint32_t *want)
{
	unsigned slot = (unsigned)m[0] << 8 | m[1];
	if (n < 12 || slot >= WINDOW)
		c->wrong++;
	else if ((m[3] & 15) == FL_SERVFAIL)
		c->failed++;
	else if ((m[3] & 15) || m[7] != 1 || fl_get32(m + n - 4) != (10u << 24 | want[slot]))
		c->wrong++;
	c->answered++;
}

/* Windows of questions, each waited for. */
static void *client(void *arg)
{
	struct client *c = arg;
	struct sockaddr_in sa = loopback(port);
	struct fl_rng r;
	fl_rng_init(&r, c->seed);
	for (int round = 0; round < 60; round++) {
		int fd = socket(AF_INET, SOCK_DGRAM, 0);
		struct timeval patience = { 8, 0 };
		uint32_t want[WINDOW];
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
		assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
		for (uint16_t i = 0; i < WINDOW; i++) {
			char text[32];
			uint8_t wire[FL_NAME_MAX], msg[300];
			want[i] = fl_rng_below(&r, NAMES);
			snprintf(text, sizeof text, "n%u.%s", want[i], c->zone);
			int n = fl_name_parse(wire, fl_str(text));
			size_t len = fl_pack_query(msg, sizeof msg, i, FL_RD, (struct fl_name){ wire, (uint8_t)n }, FL_T_A, FL_C_IN,
						   false, 0, 0, NULL);
			c->asked += send(fd, msg, len, 0) == (ssize_t)len;
		}
		for (int i = 0; i < WINDOW; i++) {
			uint8_t m[1500];
			ssize_t n = recv(fd, m, sizeof m, 0);
			if (n < 0)
				break;
			judge(c, m, (size_t)n, want);
		}
		close(fd);
	}
	return NULL;
}

/* ---- the server ---- */

static void quiet(void *arg, const char *line, size_t n) { (void)arg, (void)line, (void)n; }

static void loaded(void *arg, const struct fl_err *e)
{
	(void)arg;
	if (e)
		fail_msg("%s", e->msg);
	fl_loop_stop(loop);
}

static void load(unsigned version)
{
	char text[600];
	struct fl_err e;
	struct fl_conf *c = fl_xalloc(sizeof *c);
	snprintf(text, sizeof text, "udp.test:%u {\n cache %u\n forward . 127.0.0.1:%u {\n max_concurrent 10000\n"
				    " read_timeout 50ms\n }\n}\n"
				    "tcp.test:%u {\n cache\n forward . 127.0.0.1:%u {\n force_tcp\n }\n}\n",
		 port, 20 + version, upstream_port, port, upstream_port);
	assert_int_equal(fl_conf_parse(c, "Corefile", fl_str(text), ".", known, &e), 0);
	assert_int_equal(fl_server_load(server, c, loaded, NULL), 0);
	fl_loop_run(loop);
}

static void reload_due(struct fl_timer *t);
static struct fl_timer again = { .fn = reload_due };
static void reload_due(struct fl_timer *t)
{
	(void)t;
	fl_loop_stop(loop);
}

static void stopped(void *arg)
{
	(void)arg;
	fl_loop_stop(loop);
}

static void test_load(void **state)
{
	struct client c[2] = { { .zone = "udp.test", .seed = 1 }, { .zone = "tcp.test", .seed = 2 } };
	pthread_t up;
	(void)state;
	int size = 1 << 20;
	upstream_port = bound_pair(&up_udp, &up_tcp, 0);
	setsockopt(up_udp, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
	port = fl_free_port();
	fl_log_capture(quiet, NULL);
	loop = fl_loop_create();
	struct fl_process p = { .port = "53", .shards = 2 };
	server = fl_server_create(&p, loop, table, false);
	load(0);
	assert_int_equal(pthread_create(&up, NULL, upstream, NULL), 0);
	for (unsigned i = 0; i < 2; i++)
		pthread_create(&c[i].thread, NULL, client, &c[i]);
	for (unsigned v = 1; v < 20; v++) {
		fl_timer_set(loop, &again, fl_loop_tick(loop) + 30 * FL_MS);
		fl_loop_run(loop);
		load(v);
	}
	for (unsigned i = 0; i < 2; i++)
		pthread_join(c[i].thread, NULL);
	fl_server_stop(server, stopped, NULL);
	fl_loop_run(loop);
	__atomic_store_n(&quit, true, __ATOMIC_RELAXED);
	pthread_join(up, NULL);
	fl_server_destroy(server);
	fl_loop_destroy(loop);
	fl_log_capture(NULL, NULL);
	close(up_udp);
	close(up_tcp);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(c[i].asked, 60 * WINDOW);
		assert_int_equal(c[i].wrong, 0);
		assert_int_equal(c[i].answered, c[i].asked);
		assert_true(c[i].failed < c[i].asked / 10);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_load) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

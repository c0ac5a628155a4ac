/* HTTP over real connections from loopback, plain and under the virtual clock: a service that echoes, and peers of it. Included by the
 * tests of both versions. */
#pragma once
#include "../loopback.h"
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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
	uint16_t port = 0;
	int fd = bound(SOCK_STREAM | SOCK_NONBLOCK, &port), one = 1;
	assert_int_equal(listen(fd, 64), 0);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	at = loopback(port);
	stats = (struct fl_web_stats){ 0 };
	share.n = 0;
	web = fl_web_create(loop, &ops, &stats);
	fl_web_configure(web, conf);
	li = (struct fl_tcp_listener){ .read_ns = 3 * FL_SEC, .write_ns = 5 * FL_SEC, .idle_ns = 10 * FL_SEC, .ops = &fl_web_tcp_ops,
				       .speaker = web, .share = &share, .max_share = 3 };
	nwaiting = requests = goners = 0;
	assert_int_equal(fl_tcp_listen(tcp, &li, fd), 0);
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

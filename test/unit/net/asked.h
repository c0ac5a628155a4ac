/* asked: a question to an upstream, and what became of it; for the tests of every kind of upstream. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <stdio.h>
#include "net/upstream.h"

enum { HEAD = 12, MSG = 512 };

struct asked { struct fl_up_ask a; uint8_t room[FL_UP_ROOM + MSG]; int ret, done; size_t n; char why[300]; uint8_t reply[MSG]; };

static struct fl_pool up_pool;
static struct fl_up_net *up_net;
static struct fl_upstream *up;
static char up_name[32];

/* The upstream at that address; what `c` does not say is as usual. */
static void open_upstream(struct fl_loop *l, const struct sockaddr_in *at, struct fl_up_conf c)
{
	fl_pool_init(&up_pool, 1 << 24);
	up_net = fl_up_net_create(l, &up_pool);
	snprintf(up_name, sizeof up_name, "127.0.0.1:%u", ntohs(at->sin_port));
	memcpy(&c.addr, at, sizeof *at);
	c.addr_len = sizeof *at;
	c.name = up_name;
	c.expire_ns = c.expire_ns ? c.expire_ns : 10 * FL_SEC;
	up = fl_upstream_create(up_net, &c);
}

static void close_upstream(void)
{
	fl_upstream_destroy(up);
	fl_up_net_destroy(up_net);
	assert_int_equal(up_pool.used, 0);
	fl_pool_finish(&up_pool);
}

static void on_done(struct fl_up_ask *a, int ret, const uint8_t *msg, size_t n)
{
	struct asked *x = (struct asked *)a;
	x->done++;
	x->ret = ret;
	x->n = n;
	if (n)
		memcpy(x->reply, msg, n < MSG ? n : MSG);
	if (ret)
		fl_upstream_why(a, ret, x->why, sizeof x->why);
}

/* "WwW.x A IN" */
static const uint8_t question[] = { 3, 'W', 'w', 'W', 1, 'x', 0, 0, 1, 0, 1 };

/* Writes that question where `x` has room for it; what else `x` holds stays, as it does for who asks again. */
static void put_question(struct asked *x)
{
	x->a.msg = x->room + FL_UP_ROOM;
	memset(x->a.msg, 0, HEAD);
	x->a.msg[5] = 1;
	memcpy(x->a.msg + HEAD, question, sizeof question);
	x->a.len = HEAD + sizeof question;
	x->a.question = sizeof question;
	x->a.done = on_done;
	x->done = 0;
}

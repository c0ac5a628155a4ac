#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/rng.h"
#include "net/loop.h"

/* The loop's own waits, counted: what a packet costs is part of its contract. */
static int waits, last_timeout;
int epoll_wait(int ep, struct epoll_event *ev, int n, int timeout)
{
	waits++;
	last_timeout = timeout;
	return (int)syscall(SYS_epoll_pwait, ep, ev, n, timeout, NULL, 8);
}

/* ---- descriptors ---- */

struct peer { struct fl_io io; struct fl_loop *loop; struct peer *victim; int got, stop_at; bool closes; };

static void on_readable(struct fl_io *io, uint32_t events)
{
	struct peer *p = (struct peer *)io;
	assert_true(events & EPOLLIN);
	char buf[16];
	p->got += (int)read(io->fd, buf, sizeof buf) > 0;
	if (p->victim) {
		fl_loop_del(p->loop, &p->victim->io);
		close(p->victim->io.fd);
		free(p->victim);
		p->victim = NULL;
	}
	if (p->got == p->stop_at)
		fl_loop_stop(p->loop);
}

static void pair(int fd[2]) { assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, fd), 0); }

static void test_io(void **state)
{
	(void)state;
	struct fl_loop *l = fl_loop_create();
	assert_non_null(l);
	int fd[2];
	pair(fd);
	struct peer p = { .io = { .fd = fd[0], .fn = on_readable }, .loop = l };
	fl_loop_del(l, &p.io);
	assert_int_equal(fl_loop_add(l, &p.io, EPOLLIN), 0);
	assert_int_equal(fl_loop_add(l, &p.io, EPOLLIN), -EEXIST);
	assert_int_equal(write(fd[1], "a", 1), 1);
	assert_int_equal(write(fd[1], "b", 1), 1);
	fl_loop_run_until_idle(l);
	assert_int_equal(p.got, 2);
	assert_int_equal(fl_loop_change(l, &p.io, 0), 0);
	assert_int_equal(write(fd[1], "c", 1), 1);
	fl_loop_run_until_idle(l);
	assert_int_equal(p.got, 2);
	assert_int_equal(fl_loop_change(l, &p.io, EPOLLIN), 0);
	fl_loop_run_until_idle(l);
	assert_int_equal(p.got, 3);
	fl_loop_del(l, &p.io);
	assert_false(p.io.on);
	assert_int_equal(fl_loop_change(l, &p.io, EPOLLIN), -ENOENT);
	struct fl_io bad = { .fd = -1, .fn = on_readable };
	assert_int_equal(fl_loop_add(l, &bad, EPOLLIN), -EBADF);
	assert_false(bad.on);
	close(fd[0]);
	close(fd[1]);
	fl_loop_destroy(l);
	fl_loop_destroy(NULL);
}

/* Two are ready in one batch; whichever runs first frees the other, whose event must then be lost. */
static void test_delete_in_batch(void **state)
{
	(void)state;
	struct fl_loop *l = fl_loop_create();
	int fd[2][2];
	struct peer *p[2];
	for (int i = 0; i < 2; i++) {
		pair(fd[i]);
		p[i] = calloc(1, sizeof *p[i]);
		*p[i] = (struct peer){ .io = { .fd = fd[i][0], .fn = on_readable }, .loop = l };
		assert_int_equal(fl_loop_add(l, &p[i]->io, EPOLLIN), 0);
		assert_int_equal(write(fd[i][1], "x", 1), 1);
	}
	p[0]->victim = p[1];
	p[1]->victim = p[0];
	fl_loop_run_until_idle(l);
	/* One of the two is left; closing its peer's descriptor told which: a freed one has a closed descriptor. */
	int alive = write(fd[0][1], "y", 1) == 1 ? 0 : 1;
	assert_int_equal(p[alive]->got, 1);
	fl_loop_del(l, &p[alive]->io);
	close(fd[alive][0]);
	close(fd[0][1]);
	close(fd[1][1]);
	free(p[alive]);
	fl_loop_destroy(l);
}

/* ---- sockets watched by poll() ---- */

enum { MANY = 20 };

/* More than poll() takes: the last are in the epoll set, and nobody can tell. Everyone is read, from either; then none is. */
static void test_polled(void **state)
{
	(void)state;
	struct fl_loop *l = fl_loop_create();
	struct peer p[MANY];
	int fd[MANY][2];
	for (int i = 0; i < MANY; i++) {
		pair(fd[i]);
		p[i] = (struct peer){ .io = { .fd = fd[i][0], .fn = on_readable }, .loop = l };
		assert_int_equal(fl_loop_add_polled(l, &p[i].io, FL_LOOP_POLLED), 0);
		assert_int_equal(fl_loop_add_polled(l, &p[i].io, FL_LOOP_POLLED), -EEXIST);
	}
	for (int round = 1; round <= 3; round++) {
		for (int i = 0; i < MANY; i++)
			assert_int_equal(write(fd[i][1], "x", 1), 1);
		fl_loop_run_until_idle(l);
		for (int i = 0; i < MANY; i++)
			assert_int_equal(p[i].got, round == 3 && i % 3 == 0 ? 2 : round);
		/* From here on these are silent, and the others keep their places. */
		for (int i = 0; round == 2 && i < MANY; i += 3)
			fl_loop_del(l, &p[i].io);
	}
	for (int i = 0; i < MANY; i++) {
		fl_loop_del(l, &p[i].io);
		assert_int_equal(write(fd[i][1], "x", 1), 1);
	}
	waits = 0;
	fl_loop_run_until_idle(l);
	assert_int_equal(waits, 1);     /* with nothing to poll the loop is as it was */
	for (int i = 0; i < MANY; i++) {
		assert_int_equal(p[i].got, i % 3 ? 3 : 2);
		close(fd[i][0]);
		close(fd[i][1]);
	}
	fl_loop_destroy(l);
}

/* A polled one that is ready with others frees first a polled one, then one of the epoll set: their events are lost. */
static void test_polled_deletes(void **state)
{
	(void)state;
	for (int set = 0; set < 2; set++) {
		struct fl_loop *l = fl_loop_create();
		int fd[2][2];
		pair(fd[0]);
		pair(fd[1]);
		struct peer *victim = calloc(1, sizeof *victim);
		*victim = (struct peer){ .io = { .fd = fd[1][0], .fn = on_readable }, .loop = l };
		struct peer p = { .io = { .fd = fd[0][0], .fn = on_readable }, .loop = l, .victim = victim };
		assert_int_equal(fl_loop_add_polled(l, &p.io, FL_LOOP_POLLED), 0);
		assert_int_equal(set ? fl_loop_add(l, &victim->io, EPOLLIN) : fl_loop_add_polled(l, &victim->io, FL_LOOP_POLLED), 0);
		assert_int_equal(write(fd[0][1], "x", 1), 1);
		assert_int_equal(write(fd[1][1], "x", 1), 1);
		fl_loop_run_until_idle(l);
		assert_int_equal(p.got, 1);
		assert_null(p.victim);
		fl_loop_del(l, &p.io);
		close(fd[0][0]);
		close(fd[0][1]);
		close(fd[1][1]);
		fl_loop_destroy(l);
	}
}

/* Who wants a place only while there are few gets one of the epoll set, and cannot tell. */
static void test_polled_most(void **state)
{
	(void)state;
	struct fl_loop *l = fl_loop_create();
	struct peer p[3];
	int fd[3][2];
	for (int i = 0; i < 3; i++) {
		pair(fd[i]);
		p[i] = (struct peer){ .io = { .fd = fd[i][0], .fn = on_readable }, .loop = l };
		assert_int_equal(fl_loop_add_polled(l, &p[i].io, 2), 0);
	}
	/* A second registration with the same set fails: only the third is in it. */
	for (int i = 0; i < 3; i++)
		assert_int_equal(fl_loop_add(l, &p[i].io, EPOLLIN), i < 2 ? 0 : -EEXIST);
	for (int i = 0; i < 3; i++) {
		fl_loop_del(l, &p[i].io);
		close(fd[i][0]);
		close(fd[i][1]);
	}
	fl_loop_destroy(l);
}

/* ---- what a lone packet costs ---- */

static int befores, afters, turns, more;
static struct peer *echo_to;
static void before(void *arg) { (void)arg; befores++; assert_int_equal(befores, afters + 1); }
static void after(void *arg) { (void)arg; afters++; }
static bool turn(void *arg)
{
	(void)arg;
	turns++;
	return more-- > 0;
}

/* Sends the next packet when the last has been read: each finds the loop waiting or about to. */
static void ping(struct fl_io *io, uint32_t events)
{
	struct peer *p = (struct peer *)io;
	on_readable(io, events);
	if (p->got < p->stop_at)
		assert_int_equal(write(echo_to->io.fd, "x", 1), 1);
}

static void test_one_wait_a_packet(void **state)
{
	(void)state;
	struct fl_loop *l = fl_loop_create();
	int fd[2];
	pair(fd);
	struct peer p = { .io = { .fd = fd[0], .fn = ping }, .loop = l, .stop_at = 100 }, far = { .io = { .fd = fd[1] } };
	echo_to = &far;
	befores = afters = turns = more = waits = 0;
	fl_loop_hooks(l, before, after, turn, NULL);
	assert_int_equal(fl_loop_add(l, &p.io, EPOLLIN), 0);
	assert_int_equal(write(fd[1], "x", 1), 1);
	fl_loop_run(l);
	assert_int_equal(p.got, 100);
	assert_int_equal(waits, 100);
	assert_int_equal(last_timeout, -1);
	assert_int_equal(befores, 100);
	assert_int_equal(afters, 100);
	assert_int_equal(turns, 100);
	/* A turn that has more to do is followed by polls, which are no waits. */
	waits = befores = afters = 0;
	more = 3;
	p.stop_at = 101;
	assert_int_equal(write(fd[1], "x", 1), 1);
	assert_int_equal(p.got, 100);
	fl_loop_run_until_idle(l);
	assert_int_equal(p.got, 101);
	assert_int_equal(waits, 4);
	assert_int_equal(befores, 1);
	close(fd[0]);
	close(fd[1]);
	fl_loop_destroy(l);
}

/* ---- at the end of a turn ---- */

struct late { struct fl_later d; struct fl_loop *loop; int ran; struct late *clears, *again; bool called; };

static int turns_at_late;
static bool on_late(struct fl_later *d)
{
	struct late *k = (struct late *)d;
	k->ran++;
	turns_at_late = turns;
	if (k->clears)
		fl_later_clear(k->loop, &k->clears->d);
	if (k->again)
		fl_loop_later(k->loop, &k->again->d);
	k->again = NULL;
	return k->called;
}

struct late_tick { struct fl_timer t; struct late *k; };
static void to_late(struct fl_timer *t)
{
	struct late *k = ((struct late_tick *)t)->k;
	fl_loop_later(k->loop, &k->d);
	fl_loop_later(k->loop, &k->d);
	assert_int_equal(k->ran, 0);
}

/* Once each, behind the hook; what one clears does not run; what one asks for runs too, without a wait. */
static void test_later(void **state)
{
	(void)state;
	struct fl_loop *l = fl_loop_create();
	struct late a = { .d.fn = on_late, .loop = l }, b = a, c = a, e = a;
	befores = afters = turns = more = waits = 0;
	fl_loop_hooks(l, before, after, turn, NULL);
	struct late_tick t = { { .fn = to_late }, &a };
	fl_timer_set(l, &t.t, fl_loop_now(l));
	fl_loop_run_until_idle(l);
	assert_int_equal(a.ran, 1);
	assert_int_equal(turns_at_late, 1);
	assert_int_equal(turns, 2);             /* it may have made something ready: another look */
	a.clears = &b;
	a.again = &e;
	fl_loop_later(l, &a.d);
	fl_loop_later(l, &b.d);
	fl_loop_later(l, &c.d);
	fl_loop_later(l, &c.d);
	fl_later_clear(l, &c.d);
	fl_later_clear(l, &c.d);
	fl_loop_later(l, &c.d);
	fl_loop_run_until_idle(l);
	assert_int_equal(a.ran, 2);
	assert_int_equal(b.ran, 0);
	assert_int_equal(c.ran, 1);
	assert_int_equal(e.ran, 1);
	fl_loop_destroy(l);
}

static bool turn_twice(void *arg)
{
	if (++turns == 2)
		fl_loop_stop(arg);
	return false;
}

/* What was asked for before the loop began does not wait for an event, which never comes; nor does the hook, for what it called back. */
static void test_later_waits(void **state)
{
	(void)state;
	struct fl_loop *l = fl_loop_create();
	struct late a = { .d.fn = on_late, .loop = l, .called = true };
	befores = afters = turns = 0;
	fl_loop_hooks(l, before, after, turn_twice, l);
	fl_loop_later(l, &a.d);
	fl_loop_run(l);
	assert_int_equal(a.ran, 1);
	assert_int_equal(turns_at_late, 1);
	assert_int_equal(befores, 0);
	fl_loop_destroy(l);
}

/* ---- timers ---- */

enum { TIMERS = 300 };
struct tick { struct fl_timer t; struct fl_loop *loop; uint64_t want; int fired; struct tick *clears; };
static struct tick ticks[TIMERS];
static uint64_t last_fired;
static int fired;

static void on_tick(struct fl_timer *t)
{
	struct tick *k = (struct tick *)t;
	assert_false(t->on);
	assert_int_equal(t->at_ns, k->want);
	assert_int_equal(fl_loop_now(k->loop), fl_clock_ns());
	assert_true(fl_clock_ns() >= t->at_ns);
	assert_true(t->at_ns >= last_fired);
	last_fired = t->at_ns;
	k->fired++;
	fired++;
	if (k->clears)
		fl_timer_clear(k->loop, &k->clears->t);
}

/* Random settings, moves and clears against the plain list of what is set. */
static void test_heap(void **state)
{
	(void)state;
	struct fl_rng r;
	fl_rng_init(&r, 0);
	uint64_t seed = r.s[0];
	fl_clock_virtual(FL_SEC);
	struct fl_loop *l = fl_loop_create();
	for (int i = 0; i < TIMERS; i++)
		ticks[i] = (struct tick){ .t.fn = on_tick, .loop = l };
	for (int round = 0; round < 200; round++) {
		for (int i = 0; i < 40; i++) {
			struct tick *k = &ticks[fl_rng_below(&r, TIMERS)];
			if (fl_rng_below(&r, 3)) {
				k->want = fl_clock_ns() + 1 + fl_rng_below(&r, 1000);
				fl_timer_set(l, &k->t, k->want);
			} else {
				k->want = 0;
				fl_timer_clear(l, &k->t);
			}
		}
		uint64_t end = fl_clock_ns() + fl_rng_below(&r, 200);
		int expect = 0;
		for (int i = 0; i < TIMERS; i++) {
			ticks[i].fired = 0;
			expect += ticks[i].want && ticks[i].want <= end;
		}
		fired = 0;
		last_fired = 0;
		fl_loop_advance(l, end - fl_clock_ns());
		for (int i = 0; i < TIMERS; i++) {
			bool should = ticks[i].want && ticks[i].want <= end;
			if (ticks[i].fired != should || ticks[i].t.on != (ticks[i].want > end))
				fail_msg("round %d timer %d, rng state %llx", round, i, (unsigned long long)seed);
			if (should)
				ticks[i].want = 0;
		}
		assert_int_equal(fired, expect);
		assert_int_equal(fl_clock_ns(), end);
	}
	fl_loop_destroy(l);
	fl_clock_virtual(0);
}

static void again(struct fl_timer *t)
{
	struct tick *k = (struct tick *)t;
	k->fired++;
	if (k->fired < 5)
		fl_timer_set(k->loop, t, fl_loop_now(k->loop));
}

/* One due timer takes another that is due at the same moment away; one sets itself again in its own callback. */
static void test_timer_callbacks(void **state)
{
	(void)state;
	fl_clock_virtual(FL_SEC);
	struct fl_loop *l = fl_loop_create();
	struct tick a = { .t.fn = on_tick, .loop = l, .want = FL_SEC + 5 }, b = a;
	a.clears = &b;
	b.clears = &a;
	last_fired = 0;
	fl_timer_set(l, &a.t, a.want);
	fl_timer_set(l, &b.t, b.want);
	fl_loop_advance(l, 10);
	assert_int_equal(a.fired + b.fired, 1);
	assert_false(a.t.on);
	assert_false(b.t.on);
	struct tick c = { .t.fn = again, .loop = l };
	fl_timer_set(l, &c.t, 1);
	fl_loop_run_until_idle(l);
	assert_int_equal(c.fired, 5);
	fl_timer_clear(l, &c.t);
	fl_loop_destroy(l);
	fl_clock_virtual(0);
}

static void stop(struct fl_timer *t)
{
	struct tick *k = (struct tick *)t;
	k->fired++;
	fl_loop_stop(k->loop);
}

/* The real clock: one wait to the earliest timer, never woken before its time. Once more when the machine was too busy for us to come
 * to the wait in time: a timer that is due needs none. */
static void test_real_time(void **state)
{
	(void)state;
	struct fl_loop *l = fl_loop_create();
	struct tick k = { .t.fn = stop, .loop = l }, later = { .t.fn = stop, .loop = l };
	last_timeout = 0;
	for (int i = 1; i <= 100 && last_timeout == 0; i++) {
		uint64_t start = fl_clock_ns();
		fl_timer_set(l, &later.t, start + 60 * FL_SEC);
		fl_timer_set(l, &k.t, start + 15 * FL_MS + 1);
		waits = 0;
		fl_loop_run(l);
		assert_int_equal(k.fired, i);
		assert_true(fl_clock_ns() >= start + 15 * FL_MS);
		assert_true(later.t.on);
		fl_timer_clear(l, &later.t);
	}
	assert_int_equal(waits, 1);
	assert_in_range(last_timeout, 1, 16);
	assert_false(later.t.on);
	fl_loop_destroy(l);
}

/* ---- posts ---- */

enum { POSTERS = 4, POSTS = 2000 };
struct poster { pthread_t thread; struct fl_loop *loop; int seen; };
struct note { struct poster *from; int i; };
static int notes;

static void on_note(void *arg)
{
	struct note *n = arg;
	assert_int_equal(n->i, n->from->seen);          /* in each poster's order */
	n->from->seen++;
	if (++notes == POSTERS * POSTS)
		fl_loop_stop(n->from->loop);
	free(n);
}

static void *post_many(void *arg)
{
	struct poster *p = arg;
	for (int i = 0; i < POSTS; i++) {
		struct note *n = malloc(sizeof *n);
		*n = (struct note){ p, i };
		fl_loop_post(p->loop, on_note, n);
	}
	return NULL;
}

static void test_posts(void **state)
{
	(void)state;
	struct fl_loop *l = fl_loop_create();
	struct poster p[POSTERS] = { 0 };
	notes = 0;
	for (int i = 0; i < POSTERS; i++) {
		p[i].loop = l;
		assert_int_equal(pthread_create(&p[i].thread, NULL, post_many, &p[i]), 0);
	}
	fl_loop_run(l);
	for (int i = 0; i < POSTERS; i++)
		assert_int_equal(pthread_join(p[i].thread, NULL), 0);
	assert_int_equal(notes, POSTERS * POSTS);
	/* What is posted to a loop that never runs again goes with it. */
	fl_loop_post(l, on_note, NULL);
	fl_loop_destroy(l);
}

static int chained;
static void post_again(void *arg)
{
	if (++chained < 3)
		fl_loop_post(arg, post_again, arg);
}

static void test_post_in_post(void **state)
{
	(void)state;
	fl_clock_virtual(1);
	struct fl_loop *l = fl_loop_create();
	fl_loop_post(l, post_again, l);
	assert_int_equal(chained, 0);
	fl_loop_run_until_idle(l);
	assert_int_equal(chained, 3);
	fl_loop_destroy(l);
	fl_clock_virtual(0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_io), cmocka_unit_test(test_delete_in_batch), cmocka_unit_test(test_one_wait_a_packet),
		cmocka_unit_test(test_heap), cmocka_unit_test(test_timer_callbacks), cmocka_unit_test(test_real_time),
		cmocka_unit_test(test_polled), cmocka_unit_test(test_polled_most), cmocka_unit_test(test_polled_deletes),
		cmocka_unit_test(test_later), cmocka_unit_test(test_later_waits),
		cmocka_unit_test(test_posts), cmocka_unit_test(test_post_in_post),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "net/loop.h"
#include "base/err.h"
#include "base/mem.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { BATCH = 64, POLLED = FL_LOOP_POLLED + 1 };

struct post { struct post *next; void (*fn)(void *arg); void *arg; };

struct fl_loop {
	int ep, wake;
	bool stop, more;                        /* more: turn() asked not to wait */
	uint64_t now;
	struct fl_timer *timers;                /* the heap's root: the earliest */
	struct fl_timer due;                    /* head of those being fired, linked by next/prev */
	struct fl_later *later, **later_last;
	void (*before)(void *), (*after)(void *);
	bool (*turn)(void *);
	void *arg;
	struct epoll_event *batch;              /* events not yet handed out, so that fl_loop_del can withdraw one */
	int batched;
	struct pollfd poll[POLLED];             /* [0] is ep, the others those of polled[]; -1 and NULL: it was deleted */
	struct fl_io *polled[POLLED];
	unsigned npoll;
	_Alignas(64) struct post *posts;        /* newest first; pushed by any thread */
};

/* ---- timers: a pairing heap (Fredman et al. 1986). prev is the left sibling, or the parent of a first child. ---- */

static struct fl_timer *meld(struct fl_timer *a, struct fl_timer *b)
{
	if (!a || !b)
		return a ? a : b;
	if (b->at_ns < a->at_ns) {
		struct fl_timer *t = a;
		a = b;
		b = t;
	}
	b->next = a->child;
	if (b->next)
		b->next->prev = b;
	b->prev = a;
	a->child = b;
	return a;
}

/* Melds siblings in pairs, left to right, then the pairs, right to left. */
static struct fl_timer *meld_all(struct fl_timer *t)
{
	struct fl_timer *pairs = NULL, *root = NULL;
	while (t) {
		struct fl_timer *a = t, *b = a->next;
		t = b ? b->next : NULL;
		a->next = a->prev = NULL;
		if (b)
			b->next = b->prev = NULL;
		a = meld(a, b);
		a->next = pairs;
		pairs = a;
	}
	while (pairs) {
		struct fl_timer *a = pairs;
		pairs = a->next;
		a->next = NULL;
		root = meld(root, a);
	}
	return root;
}

/* Also takes one out of the list of due ones, which looks like siblings without children. */
static void unlink_timer(struct fl_loop *l, struct fl_timer *t)
{
	struct fl_timer *rest = meld_all(t->child);
	if (t == l->timers) {
		l->timers = rest;
	} else {
		if (t->prev->child == t)
			t->prev->child = t->next;
		else
			t->prev->next = t->next;
		if (t->next)
			t->next->prev = t->prev;
		l->timers = meld(l->timers, rest);
	}
	t->child = t->next = t->prev = NULL;
	t->on = false;
}

void fl_timer_set(struct fl_loop *l, struct fl_timer *t, uint64_t at_ns)
{
	fl_assert(t->fn);
	if (t->on) {
		if (t->at_ns == at_ns)
			return;
		unlink_timer(l, t);
	}
	t->at_ns = at_ns;
	t->child = t->next = t->prev = NULL;
	t->on = true;
	l->timers = meld(l->timers, t);
}

void fl_timer_clear(struct fl_loop *l, struct fl_timer *t)
{
	if (t->on)
		unlink_timer(l, t);
}

/* Those due at this moment. What their callbacks set to a time that has passed comes next turn, after the sockets. */
static bool fire(struct fl_loop *l)
{
	struct fl_timer *last = &l->due;
	while (l->timers && l->timers->at_ns <= l->now) {
		struct fl_timer *t = l->timers;
		unlink_timer(l, t);
		t->on = true;
		t->prev = last;
		last->next = t;
		last = t;
	}
	bool any = last != &l->due;
	while (l->due.next) {
		struct fl_timer *t = l->due.next;
		unlink_timer(l, t);
		t->fn(t);
	}
	return any;
}

/* ---- at the end of a turn ---- */

void fl_loop_later(struct fl_loop *l, struct fl_later *d)
{
	if (d->at)
		return;
	d->next = NULL;
	d->at = l->later_last;
	*d->at = d;
	l->later_last = &d->next;
}

void fl_later_clear(struct fl_loop *l, struct fl_later *d)
{
	if (!d->at)
		return;
	*d->at = d->next;
	*(d->next ? &d->next->at : &l->later_last) = d->at;
	d->at = NULL;
}

/* Those that were there at the beginning: what they ask for comes with the next turn, for which the loop does not wait. */
static bool run_later(struct fl_loop *l)
{
	struct fl_later last = { 0 };
	if (!l->later)
		return false;
	fl_loop_later(l, &last);
	for (struct fl_later *d; (d = l->later) != &last;) {
		fl_later_clear(l, d);
		l->more |= d->fn(d);
	}
	fl_later_clear(l, &last);
	return true;
}

/* ---- posts ---- */

void fl_loop_post(struct fl_loop *l, void (*fn)(void *arg), void *arg)
{
	struct post *p = fl_xalloc(sizeof *p);
	p->fn = fn;
	p->arg = arg;
	struct post *first = __atomic_load_n(&l->posts, __ATOMIC_RELAXED);
	do
		p->next = first;        /* once it stands in the list, p is the loop's */
	while (!__atomic_compare_exchange_n(&l->posts, &first, p, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
	/* Who found the list empty wakes the loop; the others' nodes are taken along. The eventfd is edge-triggered: every write
	 * wakes, and nobody needs to read it. */
	uint64_t one = 1;
	if (!first)
		fl_assert(write(l->wake, &one, sizeof one) == sizeof one);
}

static struct post *take_posts(struct fl_loop *l)
{
	struct post *p = __atomic_exchange_n(&l->posts, NULL, __ATOMIC_ACQUIRE), *oldest = NULL;
	while (p) {
		struct post *next = p->next;
		p->next = oldest;
		oldest = p;
		p = next;
	}
	return oldest;
}

static void run_posts(struct fl_loop *l)
{
	for (struct post *p = take_posts(l), *next; p; p = next) {
		next = p->next;
		p->fn(p->arg);
		free(p);
	}
}

/* ---- descriptors ---- */

static int control(struct fl_loop *l, int op, struct fl_io *io, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = io };
	return epoll_ctl(l->ep, op, io->fd, &ev) ? -errno : 0;
}

int fl_loop_add(struct fl_loop *l, struct fl_io *io, uint32_t events)
{
	int ret = control(l, EPOLL_CTL_ADD, io, events);
	io->on = io->on || !ret;
	return ret;
}

int fl_loop_add_polled(struct fl_loop *l, struct fl_io *io, unsigned most)
{
	if (io->on)
		return -EEXIST;
	if (l->npoll == POLLED || l->npoll > most)
		return fl_loop_add(l, io, EPOLLIN);
	l->poll[l->npoll] = (struct pollfd){ .fd = io->fd, .events = POLLIN };
	l->polled[l->npoll++] = io;
	io->on = true;
	return 0;
}

/* Deleted ones keep their place until the next wait, so that nobody's moves while they are handed out. */
static bool unpoll(struct fl_loop *l, struct fl_io *io)
{
	for (unsigned i = 1; i < l->npoll; i++)
		if (l->polled[i] == io) {
			l->poll[i] = (struct pollfd){ .fd = -1 };
			l->polled[i] = NULL;
			return true;
		}
	return false;
}

int fl_loop_change(struct fl_loop *l, struct fl_io *io, uint32_t events) { return control(l, EPOLL_CTL_MOD, io, events); }

void fl_loop_del(struct fl_loop *l, struct fl_io *io)
{
	if (!io->on)
		return;
	io->on = false;
	if (unpoll(l, io))
		return;
	control(l, EPOLL_CTL_DEL, io, 0);
	for (int i = 0; i < l->batched; i++)
		if (l->batch[i].data.ptr == io)
			l->batch[i].data.ptr = NULL;
}

/* ---- the loop ---- */

struct fl_loop *fl_loop_create(void)
{
	struct fl_loop *l = aligned_alloc(64, sizeof *l);
	if (!l)
		return NULL;
	*l = (struct fl_loop){ .ep = epoll_create1(EPOLL_CLOEXEC), .wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) };
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET, .data.ptr = l };
	if (l->ep < 0 || l->wake < 0 || epoll_ctl(l->ep, EPOLL_CTL_ADD, l->wake, &ev)) {
		int e = errno;
		fl_loop_destroy(l);
		errno = e;
		return NULL;
	}
	l->poll[0] = (struct pollfd){ .fd = l->ep, .events = POLLIN };
	l->npoll = 1;
	l->later_last = &l->later;
	fl_loop_tick(l);
	return l;
}

void fl_loop_destroy(struct fl_loop *l)
{
	if (!l)
		return;
	for (struct post *p = take_posts(l), *next; p; p = next) {
		next = p->next;
		free(p);
	}
	if (l->ep >= 0)
		close(l->ep);
	if (l->wake >= 0)
		close(l->wake);
	free(l);
}

uint64_t fl_loop_now(const struct fl_loop *l) { return l->now; }
uint64_t fl_loop_tick(struct fl_loop *l) { return l->now = fl_clock_ns(); }
void fl_loop_stop(struct fl_loop *l) { l->stop = true; }

void fl_loop_hooks(struct fl_loop *l, void (*before)(void *), void (*after)(void *), bool (*turn)(void *), void *arg)
{
	l->before = before;
	l->after = after;
	l->turn = turn;
	l->arg = arg;
}

/* Milliseconds until the first timer, rounded up: a wake-up before its time would be one for nothing. */
static int wait_ms(struct fl_loop *l)
{
	if (l->more || l->later || l->stop || fl_clock_is_virtual())
		return 0;
	if (!l->timers)
		return -1;
	uint64_t now = fl_loop_tick(l), at = l->timers->at_ns;
	if (at <= now)
		return 0;
	uint64_t ms = (at - now + FL_MS - 1) / FL_MS;
	return ms > 3600000 ? 3600000 : (int)ms;
}

/* Waits; the number of events in batch. *polled: how many of the polled ones are ready. */
static int await(struct fl_loop *l, struct epoll_event *batch, int timeout, int *polled)
{
	unsigned n = 1;
	for (unsigned i = 1; i < l->npoll; i++)
		if (l->polled[i]) {
			l->polled[n] = l->polled[i];
			l->poll[n++] = l->poll[i];
		}
	l->npoll = n;
	*polled = 0;
	if (n == 1)
		return epoll_wait(l->ep, batch, BATCH, timeout);
	int ready = poll(l->poll, n, timeout);
	if (ready <= 0)
		return 0;
	*polled = ready - (l->poll[0].revents != 0);
	return l->poll[0].revents ? epoll_wait(l->ep, batch, BATCH, 0) : 0;
}

static void run_polled(struct fl_loop *l)
{
	unsigned n = l->npoll;
	for (unsigned i = 1; i < n; i++)
		if (l->polled[i] && l->poll[i].revents)
			l->polled[i]->fn(l->polled[i], (uint32_t)l->poll[i].revents);
}

/* One wait and what comes of it; true when anything ran or wants to. */
static bool turn(struct fl_loop *l, int timeout)
{
	struct epoll_event batch[BATCH];
	if (timeout && l->before)
		l->before(l->arg);
	int polled, n = await(l, batch, timeout, &polled);
	fl_loop_tick(l);
	if (timeout && l->after)
		l->after(l->arg);
	l->batch = batch;
	l->batched = n > 0 ? n : 0;
	if (polled)
		run_polled(l);
	bool posted = false;
	for (int i = 0; i < n; i++) {
		struct fl_io *io = batch[i].data.ptr;
		if ((void *)io == l)
			posted = true;
		else if (io)
			io->fn(io, batch[i].events);
	}
	l->batched = 0;
	if (posted)
		run_posts(l);
	bool fired = fire(l);
	l->more = l->turn && l->turn(l->arg);
	bool late = run_later(l);
	return n > 0 || polled || fired || late || l->more;
}

void fl_loop_run(struct fl_loop *l)
{
	while (!l->stop)
		turn(l, wait_ms(l));
	l->stop = false;
}

void fl_loop_run_until_idle(struct fl_loop *l)
{
	while (turn(l, 0))
		;
	if (l->before)
		l->before(l->arg);
	if (l->after)
		l->after(l->arg);
}

void fl_loop_advance(struct fl_loop *l, uint64_t ns)
{
	fl_assert(fl_clock_is_virtual());
	uint64_t end = fl_clock_ns() + ns;
	fl_loop_run_until_idle(l);
	while (l->timers && l->timers->at_ns <= end) {
		if (l->timers->at_ns > fl_clock_ns())
			fl_clock_virtual(l->timers->at_ns);
		fl_loop_run_until_idle(l);
	}
	fl_clock_virtual(end);
	fl_loop_run_until_idle(l);
}

/* loop: one thread's world: descriptors, timers, and calls posted from other threads. Each shard has one, the main thread has one.
 * Nothing here blocks but the wait itself; nothing allocates after fl_loop_create() but fl_loop_post().
 *
 * Under the virtual clock (fl-sim) the loop never waits: fl_loop_run_until_idle() polls until nothing is ready, and
 * fl_loop_advance() moves the clock from timer to timer. */
#pragma once
#include "base/clock.h"
#include "base/str.h"

struct fl_loop;

/* Embedded in what it serves; fn runs with EPOLL* bits. It may delete any io and free its memory, its own too. */
struct fl_io { int fd; void (*fn)(struct fl_io *io, uint32_t events); bool on; };

/* Embedded; a node of the loop's pairing heap. Zeroed is a timer that is off. fn runs once per setting. */
struct fl_timer {
	uint64_t at_ns;
	void (*fn)(struct fl_timer *t);
	struct fl_timer *child, *next, *prev;   /* the heap's */
	bool on;
};

/* Embedded; what is better done once for a whole batch of callbacks. Zeroed is off. fn runs once per fl_loop_later(); true: it called
 * somebody back, so that the loop's own hook shall have its turn before it waits. */
struct fl_later {
	bool (*fn)(struct fl_later *d);
	struct fl_later *next, **at;            /* the loop's; at NULL: off */
};

struct fl_loop *fl_loop_create(void);           /* NULL with errno */
void fl_loop_destroy(struct fl_loop *l);

int fl_loop_add(struct fl_loop *l, struct fl_io *io, uint32_t events);  /* 0 or -errno; level-triggered unless EPOLLET */
/* For sockets that send much: level-triggered, for reading. A socket in an epoll set costs its sender: as each datagram leaves, the
 * kernel tells the set that there is room again, asked or not (200 ns of 1600). These are watched by poll(), which looks only while
 * it waits. Meant for a few: when `most` or FL_LOOP_POLLED are, this one is added as any other. */
enum { FL_LOOP_POLLED = 15 };
int fl_loop_add_polled(struct fl_loop *l, struct fl_io *io, unsigned most);
int fl_loop_change(struct fl_loop *l, struct fl_io *io, uint32_t events);
void fl_loop_del(struct fl_loop *l, struct fl_io *io);                  /* before close(); harmless when it was not added */

void fl_timer_set(struct fl_loop *l, struct fl_timer *t, uint64_t at_ns);       /* set or moved; needs t->fn */
void fl_timer_clear(struct fl_loop *l, struct fl_timer *t);

/* Runs d->fn when the callbacks that are due and the hook `turn` have run, and before the loop waits. Nothing new when it is on. */
void fl_loop_later(struct fl_loop *l, struct fl_later *d);
void fl_later_clear(struct fl_loop *l, struct fl_later *d);     /* harmless when it is off */

/* Time as of the last wake-up (or fl_loop_tick): cheap, the same for a whole batch. */
uint64_t fl_loop_now(const struct fl_loop *l);
uint64_t fl_loop_tick(struct fl_loop *l);       /* reads the clock */

/* Runs fn(arg) on the loop's thread, soon, in order. Any thread; allocates a small node. */
void fl_loop_post(struct fl_loop *l, void (*fn)(void *arg), void *arg);

/* before: about to wait (never under a callback); after: woke up; turn: after each batch of callbacks, returns true when
 * it has more to do and the loop must not wait. Any may be NULL. A poll that cannot wait calls neither before nor after;
 * fl_loop_run_until_idle() calls both once at its end, where a real loop would wait. */
void fl_loop_hooks(struct fl_loop *l, void (*before)(void *), void (*after)(void *), bool (*turn)(void *), void *arg);

void fl_loop_run(struct fl_loop *l);            /* until fl_loop_stop() */
void fl_loop_stop(struct fl_loop *l);           /* own thread; from another: post it */
/* Handles everything that is ready now, without waiting; returns when a poll finds nothing. Tests and fl-sim. */
void fl_loop_run_until_idle(struct fl_loop *l);
/* Virtual clock: moves it by ns, firing timers in order, idle in between. */
void fl_loop_advance(struct fl_loop *l, uint64_t ns);

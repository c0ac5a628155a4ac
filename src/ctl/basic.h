/* basic: users and passwords (RFC 7617) against bcrypt hashes. One hash takes tens of milliseconds and more, by its cost: they run on a thread
 * of their own, one after the other, and what was found out is remembered (as digests, 100 right ones and 100 wrong ones). Main thread; one loop. */
#pragma once
#include "ctl/webconf.h"
#include "net/loop.h"

enum { FL_BASIC_WAITING = 64, FL_BASIC_KNOWN = 100 };

struct fl_basic_job;
/* authorization: the field's value, {NULL, 0} when there is none. 1: they are known; 0: they are not; -EINPROGRESS: done() will say, later and
 * on this thread, unless fl_basic_forget() comes; -EBUSY: FL_BASIC_WAITING wait already. */
int fl_basic_ask(struct fl_loop *l, const struct fl_webconf_map *users, struct fl_str authorization, void (*done)(void *arg, bool ok),
		 void *arg, struct fl_basic_job **job);
void fl_basic_forget(struct fl_basic_job *job);
void fl_basic_finish(void);             /* before its loop is destroyed: no done() comes any more. Waits for a hash that is being made */

/* rcu: what shards read without a lock (liburcu, QSBR flavour). Only this pair of files includes urcu.
 *
 * A shard registers, says quiescent once a batch, and is offline while it waits in its loop. Writers publish a pointer, and free
 * the old object only after fl_rcu_synchronize(), or leave that to fl_rcu_free_later() + fl_rcu_reclaim(): one grace period for
 * all that gathered. Publishing is __atomic release/acquire, so that TSan sees it. */
#pragma once
#include <stddef.h>

void fl_rcu_register(void);             /* this thread reads from now on; it starts online */
void fl_rcu_unregister(void);
void fl_rcu_offline(void);              /* holds nothing lent until online */
void fl_rcu_online(void);
void fl_rcu_quiescent(void);            /* holds nothing lent at this moment */
void fl_rcu_synchronize(void);          /* waits until every online reader was quiescent once; caller is offline or no reader */

#define fl_rcu_get(pp) __atomic_load_n((pp), __ATOMIC_ACQUIRE)
#define fl_rcu_set(pp, v) __atomic_store_n((pp), (v), __ATOMIC_RELEASE)

/* A writer's list of objects to free after the next grace period. One thread's. */
struct fl_rcu_bin { void **ptr; size_t n, cap, bytes; };
void fl_rcu_free_later(struct fl_rcu_bin *b, void *malloced, size_t bytes);     /* bytes: an estimate, for the caller's policy */
void fl_rcu_reclaim(struct fl_rcu_bin *b);              /* synchronize, then free() them; nothing to do when empty */
void fl_rcu_bin_finish(struct fl_rcu_bin *b);           /* reclaim, and the list itself */

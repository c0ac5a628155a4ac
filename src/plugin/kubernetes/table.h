/* table: pointers by a 32-bit hash, open addressing, one writer, readers without locks on other threads.
 *
 * A slot's hash is written once, behind its pointer, and never changes while the block lives: a reader that sees the hash sees
 * the pointer. What is removed leaves a grave (hash without pointer). A pointer may be replaced in its slot by one that belongs
 * under the same hash, and a grave is filled by the next of its hash: a search that met an object, and was held up while that went
 * and came back, does not meet it again further on. When graves and pointers fill 7/8 of a block, the writer makes a new one, publishes it, and the old one is
 * freed through the bin. Hashes are kept, so that a rehash looks at no object. */
#pragma once
#include "base/rcu.h"
#include "base/str.h"

struct fl_k8s_slots { uint32_t mask, *hash; void *ptr[]; };
struct fl_k8s_table { struct fl_k8s_slots *now; uint32_t used, live; struct fl_rcu_bin *bin; };

/* Where a search stands. `at` is the slot that fl_k8s_next() spoke of last. */
struct fl_k8s_probe { const struct fl_k8s_slots *t; uint32_t hash, next, at; };

static inline uint32_t fl_k8s_hash32(uint64_t h) { return (uint32_t)(h ^ h >> 32) | 1u << 31; }   /* 0 is an empty slot */

static inline struct fl_k8s_probe fl_k8s_probe(const struct fl_k8s_table *t, uint32_t hash)
{
	return (struct fl_k8s_probe){ fl_rcu_get(&t->now), hash, hash, 0 };
}

/* The next pointer under the hash; NULL: no more. */
static inline void *fl_k8s_next(struct fl_k8s_probe *p)
{
	for (uint32_t h; p->t && (h = fl_rcu_get(&p->t->hash[p->next & p->t->mask])) != 0;) {
		p->at = p->next++ & p->t->mask;
		void *v = h == p->hash ? fl_rcu_get(&p->t->ptr[p->at]) : NULL;
		if (v)
			return v;
	}
	return NULL;
}

/* What is under the hash will be looked for soon. */
static inline void fl_k8s_table_warm(const struct fl_k8s_table *t, uint32_t hash)
{
	const struct fl_k8s_slots *s = t->now;
	if (!s)
		return;
	__builtin_prefetch(&s->hash[hash & s->mask]);
	__builtin_prefetch(&s->ptr[hash & s->mask]);
}

/* ---- the writer's ---- */

void fl_k8s_table_add(struct fl_k8s_table *t, uint32_t hash, void *v);
/* Where a probe by the writer stands: the pointer there becomes v; NULL: a grave. */
void fl_k8s_table_set(struct fl_k8s_table *t, const struct fl_k8s_probe *p, void *v);
bool fl_k8s_table_find(const struct fl_k8s_table *t, uint32_t hash, const void *v, struct fl_k8s_probe *p);     /* v itself */
void fl_k8s_table_finish(struct fl_k8s_table *t);       /* no reader is left; the pointers are the caller's */
size_t fl_k8s_table_bytes(const struct fl_k8s_table *t);

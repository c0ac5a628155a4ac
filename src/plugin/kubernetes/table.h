/* table: open addressing with one writer and lock-free readers. Slots hold pointers; a removed one leaves a grave. When the table fills
 * up, the writer makes another and publishes it; the old one is freed a grace period later. */
#pragma once
#include "base/rcu.h"
#include "base/str.h"

struct k8s_slots { uint32_t mask; void *slot[]; };
struct k8s_table {
	struct k8s_slots *now;                  /* read through fl_rcu_get */
	uint32_t live, used;                    /* used: graves too */
	uint64_t (*hash)(const void *item);
};

extern char fl_k8s_grave;

/* Walks the slots where an item of this hash may be: for (struct k8s_probe p = fl_k8s_probe(t, h); (item = fl_k8s_probe_next(&p));) */
struct k8s_probe { const struct k8s_slots *s; uint32_t at; };
static inline struct k8s_probe fl_k8s_probe(const struct k8s_table *t, uint64_t hash)
{
	struct k8s_probe p = { fl_rcu_get(&t->now), 0 };
	p.at = p.s ? (uint32_t)hash & p.s->mask : 0;
	return p;
}
static inline void *fl_k8s_probe_next(struct k8s_probe *p)
{
	while (p->s) {
		void *item = fl_rcu_get(&p->s->slot[p->at]);
		if (!item)
			return NULL;
		p->at = (p->at + 1) & p->s->mask;
		if (item != &fl_k8s_grave)
			return item;
	}
	return NULL;
}

/* Writer. The item is new. */
void fl_k8s_table_add(struct k8s_table *t, void *item, struct fl_rcu_bin *bin);
/* old (which is in the table) becomes now, of the same key; now NULL: removed. */
void fl_k8s_table_swap(struct k8s_table *t, void *old, void *now);
size_t fl_k8s_table_bytes(const struct k8s_table *t);
void fl_k8s_table_finish(struct k8s_table *t);

#include "plugin/kubernetes/table.h"
#include "base/err.h"
#include "base/mem.h"
#include <stdlib.h>

char fl_k8s_grave;

static void put(struct k8s_slots *s, void *item, uint64_t hash)
{
	uint32_t i = (uint32_t)hash & s->mask;
	while (s->slot[i])
		i = (i + 1) & s->mask;
	fl_rcu_set(&s->slot[i], item);
}

static size_t bytes_of(const struct k8s_slots *s) { return s ? sizeof *s + (s->mask + 1) * sizeof *s->slot : 0; }

static void grow(struct k8s_table *t, struct fl_rcu_bin *bin)
{
	struct k8s_slots *old = t->now;
	uint32_t size = 16;
	while (3 * size < 5 * (t->live + 1))
		size *= 2;
	struct k8s_slots *s = fl_xalloc(sizeof *s + size * sizeof *s->slot);
	s->mask = size - 1;
	for (uint32_t i = 0; old && i <= old->mask; i++)
		if (old->slot[i] && old->slot[i] != &fl_k8s_grave)
			put(s, old->slot[i], t->hash(old->slot[i]));
	t->used = t->live;
	fl_rcu_set(&t->now, s);
	fl_rcu_free_later(bin, old, bytes_of(old));
}

void fl_k8s_table_add(struct k8s_table *t, void *item, struct fl_rcu_bin *bin)
{
	if (!t->now || 4 * (t->used + 1) > 3 * (t->now->mask + 1))
		grow(t, bin);
	put(t->now, item, t->hash(item));
	t->live++;
	t->used++;
}

void fl_k8s_table_swap(struct k8s_table *t, void *old, void *now)
{
	uint32_t i = (uint32_t)t->hash(old) & t->now->mask;
	while (t->now->slot[i] != old) {
		fl_assert(t->now->slot[i]);
		i = (i + 1) & t->now->mask;
	}
	fl_rcu_set(&t->now->slot[i], now ? now : &fl_k8s_grave);
	t->live -= !now;
}

size_t fl_k8s_table_bytes(const struct k8s_table *t) { return bytes_of(t->now); }

void fl_k8s_table_finish(struct k8s_table *t)
{
	free(t->now);
	t->now = NULL;
}

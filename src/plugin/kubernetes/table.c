#include "plugin/kubernetes/table.h"
#include "base/mem.h"
#include <stdlib.h>

enum { SMALLEST = 16, AHEAD = 12 };

static size_t bytes_of(uint32_t cap) { return sizeof(struct fl_k8s_slots) + cap * (sizeof(void *) + sizeof(uint32_t)); }

static struct fl_k8s_slots *slots_new(uint32_t cap)
{
	struct fl_k8s_slots *s = fl_xalloc(bytes_of(cap));
	s->mask = cap - 1;
	s->hash = (uint32_t *)(void *)&s->ptr[cap];
	return s;
}

static void put(struct fl_k8s_slots *s, uint32_t hash, void *v)
{
	uint32_t i = hash & s->mask;
	while (s->hash[i])
		i = (i + 1) & s->mask;
	fl_rcu_set(&s->ptr[i], v);
	fl_rcu_set(&s->hash[i], hash);
}

/* v into a grave of its hash, if there is one: what comes back to where it was cannot be met twice by a search under way. */
static bool put_back(struct fl_k8s_slots *s, uint32_t hash, void *v)
{
	for (uint32_t i = hash & s->mask; s->hash[i]; i = (i + 1) & s->mask)
		if (s->hash[i] == hash && !s->ptr[i]) {
			fl_rcu_set(&s->ptr[i], v);
			return true;
		}
	return false;
}

/* A block for one more, which `live` counts already: a bigger one unless it is graves that fill this one. */
static void renew(struct fl_k8s_table *t)
{
	struct fl_k8s_slots *old = t->now;
	uint32_t cap = SMALLEST;
	while (13ull * cap < 16ull * t->live)
		cap *= 2;
	struct fl_k8s_slots *s = slots_new(cap);
	for (uint32_t i = 0; old && i <= old->mask; i++) {
		if (i + AHEAD <= old->mask) {   /* where that one goes no cache knows yet */
			__builtin_prefetch(&s->hash[old->hash[i + AHEAD] & s->mask], 1);
			__builtin_prefetch(&s->ptr[old->hash[i + AHEAD] & s->mask], 1);
		}
		if (old->ptr[i])
			put(s, old->hash[i], old->ptr[i]);
	}
	t->used = t->live - 1;
	fl_rcu_set(&t->now, s);
	if (old)
		fl_rcu_free_later(t->bin, old, bytes_of(old->mask + 1));
}

void fl_k8s_table_add(struct fl_k8s_table *t, uint32_t hash, void *v)
{
	bool back = t->live < t->used && put_back(t->now, hash, v);
	t->live++;
	if (back)
		return;
	if (!t->now || 8ull * (t->used + 1) > 7ull * (t->now->mask + 1ull))
		renew(t);
	put(t->now, hash, v);
	t->used++;
}

void fl_k8s_table_set(struct fl_k8s_table *t, const struct fl_k8s_probe *p, void *v)
{
	fl_rcu_set(&t->now->ptr[p->at], v);
	t->live -= !v;
}

bool fl_k8s_table_find(const struct fl_k8s_table *t, uint32_t hash, const void *v, struct fl_k8s_probe *p)
{
	*p = fl_k8s_probe(t, hash);
	for (const void *have; (have = fl_k8s_next(p));)
		if (have == v)
			return true;
	return false;
}

void fl_k8s_table_finish(struct fl_k8s_table *t)
{
	free(t->now);
	t->now = NULL;
	t->used = t->live = 0;
}

size_t fl_k8s_table_bytes(const struct fl_k8s_table *t) { return t->now ? bytes_of(t->now->mask + 1) : 0; }

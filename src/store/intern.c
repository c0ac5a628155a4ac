#include "store/store_int.h"
#include "base/rng.h"
#include <stdlib.h>

static void grow(struct fl_interns *t)
{
	uint32_t cap = t->cap ? 2 * t->cap : 64;
	struct fl_intern **bucket = fl_xalloc(cap * sizeof *bucket);
	for (uint32_t b = 0; b < t->cap; b++)
		for (struct fl_intern *i = t->bucket[b], *next; i; i = next) {
			next = i->next;
			i->next = bucket[i->hash & (cap - 1)];
			bucket[i->hash & (cap - 1)] = i;
		}
	free(t->bucket);
	t->bucket = bucket;
	t->bytes += (cap - t->cap) * sizeof *bucket;
	t->cap = cap;
}

struct fl_intern *fl_intern_get(struct fl_interns *t, struct fl_str s)
{
	uint64_t hash = fl_hash(s.p, s.n);
	for (struct fl_intern *i = t->cap ? t->bucket[hash & (t->cap - 1)] : NULL; i; i = i->next)
		if (i->hash == hash && fl_str_eq(s, (struct fl_str){ i->text, i->n })) {
			i->refs++;
			return i;
		}
	if (t->n == t->cap)
		grow(t);
	struct fl_intern *i = fl_xalloc(sizeof *i + s.n + 1);
	i->refs = 1;
	i->n = (uint32_t)s.n;
	i->hash = hash;
	if (s.n)
		memcpy(i->text, s.p, s.n);
	i->next = t->bucket[hash & (t->cap - 1)];
	t->bucket[hash & (t->cap - 1)] = i;
	t->n++;
	t->bytes += sizeof *i + s.n + 1;
	return i;
}

void fl_intern_put(struct fl_interns *t, struct fl_intern *i, struct fl_rcu_bin *bin)
{
	if (!i || --i->refs)
		return;
	struct fl_intern **p = &t->bucket[i->hash & (t->cap - 1)];
	while (*p != i)
		p = &(*p)->next;
	*p = i->next;
	t->n--;
	t->bytes -= sizeof *i + i->n + 1;
	fl_rcu_free_later(bin, i, sizeof *i + i->n + 1);
}

void fl_interns_finish(struct fl_interns *t)
{
	for (uint32_t b = 0; b < t->cap; b++)
		for (struct fl_intern *i = t->bucket[b], *next; i; i = next) {
			next = i->next;
			free(i);
		}
	free(t->bucket);
	*t = (struct fl_interns){ 0 };
}

#include "conf/conf_int.h"
#include <stdlib.h>
#include "base/rng.h"

/* ---- buf ---- */

void fl_conf_buf_add(struct fl_conf_buf *b, const char *p, size_t n)
{
	if (b->cap - b->n < n) {
		b->cap = b->cap * 2 > b->n + n ? b->cap * 2 : b->n + n + 64;
		b->p = fl_xrealloc(b->p, b->cap);
	}
	if (n)
		memcpy(b->p + b->n, p, n);
	b->n += n;
}

void fl_conf_buf_finish(struct fl_conf_buf *b)
{
	free(b->p);
	*b = (struct fl_conf_buf){ 0 };
}

/* ---- map ---- */

/* A slot of an earlier round counts as free. Rounds start at 1, so zeroed memory is free too. */
static struct fl_conf_slot *slot_of(const struct fl_conf_map *m, struct fl_str key)
{
	size_t i = fl_hash(key.p, key.n) & (m->cap - 1);
	while (m->slot[i].round == m->round && !fl_str_eq(m->slot[i].key, key))
		i = (i + 1) & (m->cap - 1);
	return &m->slot[i];
}

static void map_grow(struct fl_conf_map *m)
{
	struct fl_conf_map old = *m;
	m->cap = old.cap ? old.cap * 2 : 16;
	m->slot = fl_xalloc(m->cap * sizeof *m->slot);
	m->round = old.round ? old.round : 1;
	for (size_t i = 0; i < old.cap; i++)
		if (old.slot[i].round == old.round)
			*slot_of(m, old.slot[i].key) = old.slot[i];
	free(old.slot);
}

void **fl_conf_map_at(struct fl_conf_map *m, struct fl_str key)
{
	if (m->n * 2 >= m->cap)
		map_grow(m);
	struct fl_conf_slot *s = slot_of(m, key);
	if (s->round != m->round) {
		*s = (struct fl_conf_slot){ .key = key, .round = m->round };
		m->n++;
	}
	return &s->value;
}

void *fl_conf_map_get(const struct fl_conf_map *m, struct fl_str key)
{
	if (!m->n)
		return NULL;
	const struct fl_conf_slot *s = slot_of(m, key);
	return s->round == m->round ? s->value : NULL;
}

void fl_conf_map_clear(struct fl_conf_map *m)
{
	m->n = 0;
	m->round++;
}

void fl_conf_map_finish(struct fl_conf_map *m)
{
	free(m->slot);
	*m = (struct fl_conf_map){ 0 };
}

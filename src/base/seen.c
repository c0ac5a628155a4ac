#include "base/seen.h"

uint32_t fl_seen_cap(uint64_t n)
{
	uint32_t cap = 16;
	while (cap < 2 * n && cap < 2 * FL_SEEN_MAX)
		cap *= 2;
	return cap;
}

bool fl_seen_new(struct fl_seen *s, uint64_t hash)
{
	hash |= !hash;
	uint32_t i = (uint32_t)hash & (s->cap - 1);
	for (; s->slot[i]; i = (i + 1) & (s->cap - 1))
		if (s->slot[i] == hash)
			return false;
	if (4 * (s->n + 1) > 3 * s->cap)
		return false;
	s->n++;
	s->slot[i] = hash;
	return true;
}

/* pack_int: what the fast and the tight way of packing share. Private to wire/. */
#pragma once
#include "wire/pack.h"

enum { RR_HEAD = 10, OPT_HEAD = 11, EDE_TEXT_MAX = 1024, ORDER_MAX = 6560 };   /* ORDER_MAX: the shortest
 * records, without rdata and of the root, that one message holds */

/* The records of an item in the order in which they are packed. */
struct pack_walk {
	const uint8_t *p, *end, *data;
	unsigned stride, i, n;  /* n > 0: in the order of at[] */
	uint16_t at[ORDER_MAX]; /* record numbers (stride), else offsets */
};

/* Shuffled or with another record in front? Then at[] is filled. */
void fl_pack_walk(struct pack_walk *w, const struct fl_item *it);

static inline const uint8_t *pack_next(struct pack_walk *w)
{
	if (w->n) {
		if (w->i == w->n)
			return NULL;
		unsigned at = w->at[w->i++];
		return w->data + (w->stride ? at * w->stride : at);
	}
	const uint8_t *r = w->p;
	if (r >= w->end)
		return NULL;
	w->p += RR_HEAD + fl_get16(r + 8);
	return r;
}

/* rr: the copy of record `from`, behind its owner. The maximum wins. (To read the TTL from the copy would wait until it is written.) */
static inline void pack_ttl(uint8_t *rr, const uint8_t *from, const struct fl_item *it)
{
	if (!it->ttl_min && it->ttl_max == UINT32_MAX)
		return;
	uint32_t ttl = fl_get32(from + 4);
	ttl = ttl < it->ttl_min ? it->ttl_min : ttl;
	fl_put32(rr + 4, ttl > it->ttl_max ? it->ttl_max : ttl);
}

/* What of an OPT goes in: whole options from the front, then the EDE with as much of its text as there is room for. */
struct pack_opt { size_t len, options; uint16_t text; bool ede; };
struct pack_opt fl_pack_opt_plan(const struct fl_pack *p, size_t space);
uint8_t *fl_pack_opt_put(uint8_t *o, const struct fl_pack *p, const struct pack_opt *plan);

/* Header and question; returns where to go on. */
uint8_t *fl_pack_begin(uint8_t *to, const struct fl_pack *p);
/* Fills in counts and flags. */
void fl_pack_end(uint8_t *to, struct fl_pack *p, const unsigned count[3], bool cut);
static inline size_t pack_question_len(const struct fl_pack *p) { return p->qname.len ? p->qname.len + 4u : 0; }

size_t fl_pack_tight(struct fl_pack *p, uint8_t *to, size_t limit);

/* Equal misses of one shard: the first one leads, the others wait until its answer is in the cache. What a flight needs lies in the slots
 * of its queries; the table is of a fixed size. */
#include "plugin/cache/cache_int.h"
#include <stdlib.h>

enum { FLIGHTS = 4096, ALONE = 1024, ECS = 8 };

/* alone: questions whose last answer could not be shared, by place; to wait for the next one would be for nothing. */
struct flights { struct cache_slot *at[FLIGHTS]; uint64_t alone[ALONE]; };

void *fl_cache_flights_create(void) { return fl_xalloc(sizeof(struct flights)); }

static void put(struct cache_slot **list, struct cache_slot *st)
{
	st->next = *list;
	st->from = list;
	if (st->next)
		st->next->from = &st->next;
	*list = st;
}

static void take(struct cache_slot *st)
{
	*st->from = st->next;
	if (st->next)
		st->next->from = st->from;
	st->from = NULL;
}

/* Only what a client asks itself, and not for a subnet (RFC 7871). Lookups do not wait for each other: two could do so crosswise. Nor
 * HINFO: `loop` asks for it to see whether a question comes back here, and that one would wait for itself. */
static bool joins(const struct fl_query *q)
{
	if (q->root != q || q->detached || q->qtype == FL_T_HINFO)
		return false;
	for (const struct fl_edns *o = q->ask.opt; o; o = o->next)
		if (o->code == ECS)
			return false;
	return true;
}

bool fl_cache_join(struct fl_query *q, struct cache_slot *st)
{
	struct flights *f = fl_local(q);
	if (!joins(q))
		return false;
	st->key = st->hash ^ (q->ask.flags & FL_RD ? 0x5851f42d4c957f2dull : 0);
	if (f->alone[st->key % ALONE] == st->key)
		return false;
	struct cache_slot *lead = f->at[st->key % FLIGHTS];
	while (lead && lead->key != st->key)
		lead = lead->next;
	if (lead) {
		st->ticket = fl_ticket(q);
		put(&lead->followers, st);
		return true;
	}
	st->leads = true;
	put(&f->at[st->key % FLIGHTS], st);
	return false;
}

static void wake(struct cache_slot *st, enum cache_news news)
{
	st->news = news;
	fl_wake(st->ticket, 0);
}

void fl_cache_landed(struct fl_query *q, struct cache_slot *st, bool shared)
{
	struct flights *f = fl_local(q);
	if (!joins(q) || !st->key)
		return;
	uint64_t *alone = &f->alone[st->key % ALONE];
	if (!shared)
		*alone = st->key;
	else if (*alone == st->key)
		*alone = 0;
	if (!st->leads)
		return;
	st->leads = false;
	take(st);
	while (st->followers) {
		struct cache_slot *w = st->followers;
		take(w);
		wake(w, shared ? CACHE_LOOK_AGAIN : CACHE_ALONE);
	}
}

void fl_cache_left_flight(struct cache_slot *st)
{
	if (!st->from)
		return;
	struct cache_slot **table = st->from, *next = st->leads ? st->followers : NULL;
	take(st);
	if (!next) {
		st->leads = false;
		return;
	}
	st->leads = false;
	st->followers = NULL;
	struct cache_slot *rest = next->next;
	next->leads = true;
	next->followers = rest;
	if (rest)
		rest->from = &next->followers;
	put(table, next);
	wake(next, CACHE_LEAD);
}

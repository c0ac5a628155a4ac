#include "plugin/kubernetes/endpoints.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include <stdlib.h>

/* An entry: 32 bits number + 1, 16 bits slot, 16 bits tag. 0: empty; GRAVE: was. */
#define GRAVE 1ull
enum { SLOT_MAX = 0xffff };
static uint64_t entry_of(uint32_t number, uint32_t slot, uint64_t hash) { return (uint64_t)(number + 1) << 32 | (uint64_t)slot << 16 | hash >> 48; }

/* Where the writer finds the number of a slice: by its address, open addressing. */
struct k8s_ep_number { const struct fl_slice *slice; uint32_t number; };

static uint32_t number_hash(const struct fl_slice *s) { return (uint32_t)(((uintptr_t)s >> 4) * 0x9e3779b97f4a7c15ull >> 32); }

static struct k8s_ep_number *number_at(struct k8s_endpoints *t, const struct fl_slice *s)
{
	uint32_t i = number_hash(s) & (t->cap_number - 1);
	while (t->number[i].slice && t->number[i].slice != s)
		i = (i + 1) & (t->cap_number - 1);
	return &t->number[i];
}

static void number_grow(struct k8s_endpoints *t)
{
	struct k8s_ep_number *old = t->number;
	uint32_t n = t->cap_number;
	t->cap_number = n ? 2 * n : 64;
	t->number = fl_xalloc(t->cap_number * sizeof *t->number);
	for (uint32_t i = 0; i < n; i++)
		if (old[i].slice)
			*number_at(t, old[i].slice) = old[i];
	free(old);
}

/* Backward-shift deletion: no graves in a table that only the writer sees. */
static void number_remove(struct k8s_endpoints *t, struct k8s_ep_number *at)
{
	uint32_t mask = t->cap_number - 1, i = (uint32_t)(at - t->number), j = i;
	for (;;) {
		j = (j + 1) & mask;
		if (!t->number[j].slice)
			break;
		uint32_t home = number_hash(t->number[j].slice) & mask;
		if (((j - home) & mask) >= ((j - i) & mask)) {
			t->number[i] = t->number[j];
			i = j;
		}
	}
	t->number[i].slice = NULL;
	t->nnumber--;
}

static void publish(struct k8s_endpoints *t, uint32_t number, const struct fl_slice *s, struct fl_rcu_bin *bin)
{
	struct k8s_ep_slices *old = t->slices;
	if (!old || number >= old->n) {
		uint32_t n = old ? 2 * old->n : 64;
		struct k8s_ep_slices *now = fl_xalloc(sizeof *now + n * sizeof *now->slice);
		now->n = n;
		if (old)
			memcpy(now->slice, old->slice, old->n * sizeof *old->slice);
		fl_rcu_set(&t->slices, now);
		fl_rcu_free_later(bin, old, old ? sizeof *old + old->n * sizeof *old->slice : 0);
	}
	fl_rcu_set(&t->slices->slice[number], s);
}

static uint32_t number_new(struct k8s_endpoints *t) { return t->nspare ? t->spare[--t->nspare] : t->nnumber; }

static void number_spare(struct k8s_endpoints *t, uint32_t number)
{
	if (t->nspare == t->cap_spare) {
		t->cap_spare = t->cap_spare ? 2 * t->cap_spare : 64;
		t->spare = fl_xrealloc(t->spare, t->cap_spare * sizeof *t->spare);
	}
	t->spare[t->nspare++] = number;
}

/* ---- entries ---- */

static uint64_t hash_at(const struct fl_slice *s, uint32_t slot) { return fl_hash(s->addr + (size_t)slot * s->alen, s->alen); }

static void put(struct k8s_ep_slots *x, uint64_t entry, uint64_t hash)
{
	uint32_t i = (uint32_t)hash & x->mask;
	while (x->slot[i] > GRAVE)
		i = (i + 1) & x->mask;
	__atomic_store_n(&x->slot[i], entry, __ATOMIC_RELEASE);
}

static void grow(struct k8s_endpoints *t, struct fl_rcu_bin *bin)
{
	struct k8s_ep_slots *old = t->slots;
	uint32_t size = 256;
	while (3 * (uint64_t)size < 4 * ((uint64_t)t->live + t->live / 4 + 1))
		size *= 2;
	struct k8s_ep_slots *x = fl_xalloc(sizeof *x + size * sizeof *x->slot);
	x->mask = size - 1;
	for (uint32_t i = 0; old && i <= old->mask; i++) {
		uint64_t e = old->slot[i];
		const struct fl_slice *s = e > GRAVE ? t->slices->slice[(e >> 32) - 1] : NULL;
		uint32_t slot = (e >> 16) & SLOT_MAX;
		if (s && slot < s->nep)
			put(x, e, hash_at(s, slot));
	}
	t->used = t->live;
	fl_rcu_set(&t->slots, x);
	fl_rcu_free_later(bin, old, old ? sizeof *old + (old->mask + 1) * sizeof *old->slot : 0);
}

static bool listed(const struct fl_slice *s, uint32_t slot) { return slot <= SLOT_MAX && (s->ep[slot].flags & FL_EP_READY); }

/* Is this endpoint at the same slot of the other slice, with the same address? Then its entry may stay. */
static bool stays(const struct fl_slice *s, uint32_t slot, const struct fl_slice *other)
{
	return other && slot < other->nep && other->alen == s->alen && listed(other, slot) &&
	       !memcmp(other->addr + (size_t)slot * s->alen, s->addr + (size_t)slot * s->alen, s->alen);
}

static void remove_entries(struct k8s_endpoints *t, const struct fl_slice *s, uint32_t number, const struct fl_slice *unless)
{
	for (uint32_t slot = 0; slot < s->nep; slot++) {
		if (!listed(s, slot) || stays(s, slot, unless))
			continue;
		uint64_t h = hash_at(s, slot), e = entry_of(number, slot, h);
		uint32_t i = (uint32_t)h & t->slots->mask;
		while (t->slots->slot[i] && t->slots->slot[i] != e)
			i = (i + 1) & t->slots->mask;
		if (!t->slots->slot[i])
			continue;
		__atomic_store_n(&t->slots->slot[i], GRAVE, __ATOMIC_RELEASE);
		t->live--;
	}
}

static void add_entries(struct k8s_endpoints *t, const struct fl_slice *s, uint32_t number, const struct fl_slice *unless,
			struct fl_rcu_bin *bin)
{
	for (uint32_t slot = 0; slot < s->nep; slot++) {
		if (!listed(s, slot) || stays(s, slot, unless))
			continue;
		if (!t->slots || 4 * ((uint64_t)t->used + 1) > 3 * ((uint64_t)t->slots->mask + 1))
			grow(t, bin);
		uint64_t h = hash_at(s, slot);
		put(t->slots, entry_of(number, slot, h), h);
		t->live++;
		t->used++;
	}
}

void fl_k8s_endpoints_change(struct k8s_endpoints *t, const struct fl_slice *old, const struct fl_slice *now, struct fl_rcu_bin *bin)
{
	uint32_t number = 0;
	if (old) {
		struct k8s_ep_number *at = number_at(t, old);
		fl_assert(at->slice == old);
		number = at->number;
		number_remove(t, at);
		if (t->slots)
			remove_entries(t, old, number, now);
	}
	if (!now) {
		publish(t, number, NULL, bin);
		number_spare(t, number);
		return;
	}
	if (!old)
		number = number_new(t);
	if (4 * (t->nnumber + 1) > 3 * t->cap_number)
		number_grow(t);
	*number_at(t, now) = (struct k8s_ep_number){ now, number };
	t->nnumber++;
	publish(t, number, now, bin);
	add_entries(t, now, number, old, bin);
}

void fl_k8s_endpoints_find(const struct k8s_endpoints *t, const uint8_t *b, uint8_t len,
			   bool (*fn)(void *arg, const struct fl_slice *s, uint32_t slot), void *arg)
{
	const struct k8s_ep_slots *x = fl_rcu_get(&t->slots);
	const struct k8s_ep_slices *slices = fl_rcu_get(&t->slices);
	uint64_t h = fl_hash(b, len), e;
	if (!x || !slices)
		return;
	for (uint32_t i = (uint32_t)h & x->mask; (e = fl_rcu_get(&x->slot[i])); i = (i + 1) & x->mask) {
		if (e == GRAVE || (e & 0xffff) != h >> 48)
			continue;
		uint32_t number = (uint32_t)(e >> 32) - 1, slot = (e >> 16) & SLOT_MAX;
		const struct fl_slice *s = number < slices->n ? fl_rcu_get(&slices->slice[number]) : NULL;
		if (s && s->alen == len && slot < s->nep && !memcmp(s->addr + (size_t)slot * len, b, len) && !fn(arg, s, slot))
			return;
	}
}

size_t fl_k8s_endpoints_bytes(const struct k8s_endpoints *t)
{
	return (t->slots ? (t->slots->mask + 1) * sizeof *t->slots->slot : 0) + (t->slices ? t->slices->n * sizeof *t->slices->slice : 0) +
	       t->cap_number * sizeof *t->number + t->cap_spare * sizeof *t->spare;
}

void fl_k8s_endpoints_finish(struct k8s_endpoints *t)
{
	free(t->slots);
	free(t->slices);
	free(t->spare);
	free(t->number);
	*t = (struct k8s_endpoints){ 0 };
}

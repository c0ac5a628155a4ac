#include "plugin/dashboard/books.h"
#include "base/clock.h"
#include "base/mem.h"
#include <sched.h>
#include <stdlib.h>

#define MINUTE (60 * FL_SEC)

static bool enter(struct book *b) { return !__atomic_exchange_n(&b->open, 1, __ATOMIC_ACQUIRE); }
static void leave(struct book *b) { __atomic_store_n(&b->open, 0, __ATOMIC_RELEASE); }

uint32_t fl_dash_book_draw(struct book *b, uint64_t now_ns)
{
	if (b->skip) {
		b->skip--;
		return 0;
	}
	uint64_t tick = now_ns >> 26;           /* 67 ms */
	if (tick != b->tick || !b->every) {
		b->tick = tick;
		b->every = b->adds > BOOK_BUSY ? BOOK_EVERY : 1;
		b->adds = 0;
	}
	b->adds += b->every;
	if (b->every > 1) {                     /* xorshift: the mean of what is passed is BOOK_EVERY - 1 */
		b->seed = b->seed ? b->seed : now_ns | 1;
		b->seed ^= b->seed << 13;
		b->seed ^= b->seed >> 7;
		b->seed ^= b->seed << 17;
		b->skip = (uint32_t)((b->seed >> 32) * (2 * BOOK_EVERY - 1) >> 32);
	}
	return b->every;
}

static void halve(struct book *b, uint64_t now_ns)
{
	uint64_t times = b->halved_ns && now_ns > b->halved_ns ? (now_ns - b->halved_ns) / MINUTE : 0;
	if (!b->halved_ns)
		b->halved_ns = now_ns;
	if (!times)
		return;
	b->halved_ns += times * MINUTE;
	unsigned by = times > 63 ? 63 : (unsigned)times;
	b->total >>= by;
	for (unsigned i = 0; i < BOOK_SETS * BOOK_WAYS; i++) {
		struct book_entry *e = &b->at[i / BOOK_WAYS][i % BOOK_WAYS];
		e->count = by < 32 ? e->count >> by : 0;
		e->over = by < 32 ? e->over >> by : 0;
	}
}

static bool same(const struct book_entry *e, const uint8_t *key, size_t n, bool fold)
{
	if (e->n != n)
		return false;
	if (!fold)
		return !memcmp(e->key, key, n);
	for (size_t i = 0; i < n; i++)
		if (e->key[i] != fl_lower(key[i]))
			return false;
	return true;
}

static void take(struct book_entry *e, const uint8_t *key, size_t n, uint64_t hash, bool fold)
{
	e->over = e->count;
	e->hash = hash;
	e->n = (uint8_t)n;
	for (size_t i = 0; i < n; i++)
		e->key[i] = fold ? fl_lower(key[i]) : key[i];
}

void fl_dash_book_add(struct book *b, const uint8_t *key, size_t n, uint64_t hash, uint32_t weight, bool fold, uint64_t now_ns)
{
	if (n > BOOK_KEY || !enter(b))
		return;
	struct book_entry *set = b->at[hash % BOOK_SETS], *least = set;
	halve(b, now_ns);
	b->total += weight;
	for (struct book_entry *e = set; e < set + BOOK_WAYS; e++) {
		if (e->count && e->hash == hash && same(e, key, n, fold)) {
			least = e;
			goto out;
		}
		least = e->count < least->count ? e : least;
	}
	take(least, key, n, hash, fold);
out:
	least->count = least->count > UINT32_MAX - weight ? UINT32_MAX : least->count + weight;
	leave(b);
}

/* ---- looking ---- */

static bool copy(struct book *b, uint64_t now_ns, struct book *to)
{
	for (int i = 0; i < 1000; i++) {
		if (!enter(b)) {
			sched_yield();
			continue;
		}
		halve(b, now_ns);
		to->total = b->total;
		memcpy(to->at, b->at, sizeof to->at);
		leave(b);
		return true;
	}
	return false;
}

static int by_hash(const void *pa, const void *pb)
{
	const struct book_entry *a = pa, *b = pb;
	int c = (a->hash > b->hash) - (a->hash < b->hash);
	return c ? c : a->n != b->n ? (int)a->n - (int)b->n : memcmp(a->key, b->key, a->n);
}

/* By what is certain: among many that are asked alike, the counts of those that came in and out are mostly what others left. */
static int by_count(const void *pa, const void *pb)
{
	const struct book_entry *a = pa, *b = pb;
	uint32_t x = a->count - a->over, y = b->count - b->over;
	return x != y ? (x < y ? 1 : -1) : by_hash(pa, pb);
}

void fl_dash_book_top(struct book *const *book, unsigned n, uint64_t now_ns, struct book_top *top)
{
	struct book *one = fl_xalloc(sizeof *one);
	struct book_entry *all = fl_xalloc(((size_t)n * BOOK_SETS * BOOK_WAYS + 1) * sizeof *all);
	size_t got = 0, kept = 0;
	memset(top, 0, sizeof *top);
	for (unsigned i = 0; i < n; i++) {
		if (!book[i] || !copy(book[i], now_ns, one))
			continue;
		top->total += one->total;
		for (unsigned k = 0; k < BOOK_SETS * BOOK_WAYS; k++)
			if (one->at[k / BOOK_WAYS][k % BOOK_WAYS].count)
				all[got++] = one->at[k / BOOK_WAYS][k % BOOK_WAYS];
	}
	qsort(all, got, sizeof *all, by_hash);
	for (size_t i = 0; i < got; i++) {
		if (kept && all[kept - 1].hash == all[i].hash && all[kept - 1].n == all[i].n && !memcmp(all[kept - 1].key, all[i].key, all[i].n)) {
			all[kept - 1].count += all[i].count;
			all[kept - 1].over += all[i].over;
		} else {
			all[kept++] = all[i];
		}
	}
	qsort(all, kept, sizeof *all, by_count);
	for (; top->n < kept && top->n < BOOK_TOP; top->n++)
		top->at[top->n] = all[top->n];
	free(one);
	free(all);
}

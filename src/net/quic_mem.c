/* Counted memory: each piece knows its size, so that what a connection holds is known and bounded. */
#include "net/quic_int.h"
#include <stdlib.h>

struct head { _Alignas(16) size_t n; };

static bool room(const struct fl_quic_mem *m, size_t n)
{
	bool fits = m->used + n <= m->limit;
	for (const struct fl_quic_budget *b = m->of; b; b = b->up)
		fits = fits && fl_quic_room(b, n);
	return fits;
}

void *fl_quic_resize(void *mem, void *p, size_t n)
{
	struct fl_quic_mem *m = mem;
	struct head *h = p ? (struct head *)p - 1 : NULL;
	size_t had = h ? h->n : 0, want = n ? n + sizeof *h : 0;
	if (want > had && !room(m, want - had))
		return NULL;
	if (!n) {
		free(h);
		h = NULL;
	} else if (!(h = realloc(h, want))) {
		return NULL;
	} else {
		h->n = want;
	}
	m->used += want - had;
	for (struct fl_quic_budget *b = m->of; b; b = b->up)
		b->used += want - had;
	return h ? h + 1 : NULL;
}

static void *get(size_t n, void *mem) { return fl_quic_resize(mem, NULL, n ? n : 1); }

static void put(void *p, void *mem)
{
	if (p)
		fl_quic_resize(mem, p, 0);
}

static void *get_zeroed(size_t n, size_t size, void *mem)
{
	size_t bytes;
	void *p = __builtin_mul_overflow(n, size, &bytes) ? NULL : get(bytes, mem);
	return p ? memset(p, 0, bytes) : NULL;
}

static void *resize(void *p, size_t n, void *mem) { return fl_quic_resize(mem, p, n ? n : 1); }

void fl_quic_mem_init(struct fl_quic_mem *m, size_t limit, struct fl_quic_budget *of)
{
	*m = (struct fl_quic_mem){ .ng = { m, get, put, get_zeroed, resize }, .limit = limit, .of = of };
}

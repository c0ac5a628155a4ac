#include "wire/rdata.h"
#include "base/err.h"

enum { RR_HEAD = 10 };  /* type, class, ttl, rdlen */

/* ---- making: buf is the newest piece of its arena, and so grows where it stands while the chunk lasts ---- */

static size_t round16(size_t n) { return (n + 15) & ~(size_t)15; }

void fl_rrset_begin(struct fl_rrset_maker *m, struct fl_arena *a, uint16_t type, uint16_t class, size_t hint)
{
	*m = (struct fl_rrset_maker){ .a = a, .type = type, .class = class };
	m->cap = round16(sizeof(struct fl_rrset) + (hint ? hint : 64));
	m->buf = fl_alloc(a, m->cap);
	m->n = sizeof(struct fl_rrset);
	m->failed = !m->buf;
}

static bool newest(const struct fl_rrset_maker *m) { return (char *)m->buf + m->cap == m->a->p; }

static bool grow(struct fl_rrset_maker *m, size_t need)
{
	size_t cap = round16(need > 2 * m->cap ? need : 2 * m->cap);
	size_t here = m->cap + (newest(m) ? (size_t)(m->a->end - m->a->p) : 0);
	if (here >= need) {
		cap = cap < here ? cap : round16(need) <= here ? round16(need) : here;
		m->a->p += cap - m->cap;
		m->cap = cap;
		return true;
	}
	uint8_t *more = fl_alloc(m->a, cap);
	if (!more)
		more = fl_alloc(m->a, cap = round16(need));
	if (!more)
		return false;
	m->buf = memcpy(more, m->buf, m->n);
	m->cap = cap;
	return true;
}

uint8_t *fl_rrset_room(struct fl_rrset_maker *m, size_t n)
{
	if (m->failed || m->count == UINT16_MAX || (m->n + RR_HEAD + n > m->cap && !grow(m, m->n + RR_HEAD + n))) {
		m->failed = true;
		return NULL;
	}
	return m->buf + m->n + RR_HEAD;
}

void fl_rrset_done(struct fl_rrset_maker *m, uint32_t ttl, size_t n)
{
	fl_assert(n <= UINT16_MAX);
	uint8_t *p = m->buf + m->n;
	size_t size = RR_HEAD + n;
	fl_put16(p, m->type);
	fl_put16(p + 2, m->class);
	fl_put32(p + 4, ttl);
	fl_put16(p + 8, (uint16_t)n);
	if (!m->count)
		m->stride = size <= UINT16_MAX ? (uint16_t)size : 0;
	else if (m->stride != size)
		m->stride = 0;
	m->count++;
	m->n += size;
}

void fl_rrset_put2(struct fl_rrset_maker *m, uint32_t ttl, const void *head, size_t nhead, const void *tail, size_t ntail)
{
	uint8_t *p = fl_rrset_room(m, nhead + ntail);
	if (!p)
		return;
	if (nhead)
		memcpy(p, head, nhead);
	if (ntail)
		memcpy(p + nhead, tail, ntail);
	fl_rrset_done(m, ttl, nhead + ntail);
}

void fl_rrset_put(struct fl_rrset_maker *m, uint32_t ttl, const void *rdata, size_t n)
{
	fl_rrset_put2(m, ttl, rdata, n, NULL, 0);
}

const struct fl_rrset *fl_rrset_end(struct fl_rrset_maker *m)
{
	if (m->failed)
		return NULL;
	if (newest(m))
		m->a->p = (char *)m->buf + round16(m->n);
	struct fl_rrset *s = (struct fl_rrset *)(void *)m->buf;
	*s = (struct fl_rrset){ .type = m->type, .count = m->count, .stride = m->stride, .len = (uint32_t)(m->n - sizeof *s),
				.data = m->buf + sizeof *s };
	return s;
}

const struct fl_rrset *fl_rrset_one(struct fl_arena *a, uint16_t type, uint32_t ttl, const void *rdata, size_t n)
{
	struct fl_rrset_maker m;
	fl_rrset_begin(&m, a, type, FL_C_IN, RR_HEAD + n);
	fl_rrset_put(&m, ttl, rdata, n);
	return fl_rrset_end(&m);
}

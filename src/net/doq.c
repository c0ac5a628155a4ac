#include "net/doq.h"

enum { FIRST = 512 };

static bool keep(struct fl_doq *d, const uint8_t *p, size_t n, const struct fl_doq_mem *m)
{
	if (d->have + n > d->cap) {
		size_t cap = d->cap ? 2 * d->cap : FIRST;
		cap = cap < d->have + n ? d->have + n : cap;
		cap = cap > d->need ? d->need : cap;
		uint8_t *more = m->resize(m->arg, d->buf, cap);
		if (!more)
			return false;
		d->buf = more;
		d->cap = cap;
	}
	memcpy(d->buf + d->have, p, n);
	d->have += n;
	return true;
}

enum fl_doq_verdict fl_doq_feed(struct fl_doq *d, const uint8_t *p, size_t n, bool fin, const struct fl_doq_mem *m, struct fl_str *msg)
{
	if (d->whole)
		return n ? FL_DOQ_BAD : FL_DOQ_MORE;
	for (; n && d->nhead < 2; n--)
		d->head[d->nhead++] = *p++;
	if (d->nhead < 2)
		return fin ? FL_DOQ_BAD : FL_DOQ_MORE;
	d->need = (size_t)d->head[0] << 8 | d->head[1];
	if (!d->need || n > d->need - d->have || (fin && n < d->need - d->have))
		return FL_DOQ_BAD;
	if (!d->have && n == d->need) {
		d->whole = true;
		*msg = (struct fl_str){ (const char *)p, n };
		return FL_DOQ_WHOLE;
	}
	if (n && !keep(d, p, n, m))
		return FL_DOQ_FULL;
	if (d->have < d->need)
		return FL_DOQ_MORE;
	d->whole = true;
	*msg = (struct fl_str){ (const char *)d->buf, d->have };
	return FL_DOQ_WHOLE;
}

void fl_doq_finish(struct fl_doq *d, const struct fl_doq_mem *m)
{
	if (d->buf)
		m->resize(m->arg, d->buf, 0);
	*d = (struct fl_doq){ .whole = d->whole };
}

#include "dns/transfer.h"
#include <stdlib.h>

enum { RR_HEAD = 10, FIRST_CAP = 64 * 1024 };

static bool grow(struct fl_records *r, size_t more)
{
	size_t cap = r->cap ? r->cap : FIRST_CAP;
	if (r->failed || more > FL_RECORDS_MAX - r->n)
		return false;
	while (cap < r->n + more)
		cap *= 2;
	if (cap != r->cap) {
		uint8_t *p = realloc(r->p, cap);
		if (!p)
			return false;
		r->p = p;
		r->cap = cap;
	}
	return true;
}

void fl_records_put(struct fl_records *r, struct fl_name owner, uint16_t type, uint32_t ttl, const void *head, size_t nhead,
		    const void *tail, size_t ntail)
{
	size_t rdlen = nhead + ntail;
	if (rdlen > UINT16_MAX || !owner.len || !grow(r, 1 + (size_t)owner.len + RR_HEAD + rdlen)) {
		r->failed = true;
		return;
	}
	uint8_t *to = r->p + r->n;
	*to++ = owner.len;
	to = (uint8_t *)fl_put_bytes(to, owner.wire, owner.len);
	fl_put16(to, type);
	fl_put16(to + 2, FL_C_IN);
	fl_put32(to + 4, ttl);
	fl_put16(to + 8, (uint16_t)rdlen);
	to = (uint8_t *)fl_put_bytes(to + RR_HEAD, head, nhead);
	to = (uint8_t *)fl_put_bytes(to, tail, ntail);
	r->n = (size_t)(to - r->p);
	r->count++;
}

bool fl_records_next(const struct fl_records *r, size_t *at, struct fl_name *owner, struct fl_rrset *set)
{
	if (*at >= r->n)
		return false;
	const uint8_t *p = r->p + *at;
	*owner = (struct fl_name){ p + 1, *p };
	p += 1 + owner->len;
	uint32_t len = RR_HEAD + fl_get16(p + 8);
	*set = (struct fl_rrset){ .type = fl_get16(p), .count = 1, .len = len, .data = p };
	*at = (size_t)(p + len - r->p);
	return true;
}

void fl_records_finish(struct fl_records *r)
{
	free(r->p);
	*r = (struct fl_records){ 0 };
}

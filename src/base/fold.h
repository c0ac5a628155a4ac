/* fold: ASCII letters to lower case (RFC 4343), eight octets at a time. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t fl_load8(const uint8_t *p)
{
	uint64_t v;
	memcpy(&v, p, 8);
	return v;
}

/* Fewer than eight octets; all of them are in it, some twice. */
static inline uint64_t fl_load_few(const uint8_t *p, size_t n)
{
	uint32_t a, b;
	if (n < 4)
		return n ? (uint64_t)p[0] | (uint64_t)p[n / 2] << 8 | (uint64_t)p[n - 1] << 16 : 0;
	memcpy(&a, p, 4);
	memcpy(&b, p + n - 4, 4);
	return a | (uint64_t)b << 32;
}

/* Bit 5 is set in each octet between A and Z: the sums carry into bit 7 from 'A' on, and from '[' on. */
static inline uint64_t fl_fold8(uint64_t v)
{
	uint64_t low = v & 0x7f7f7f7f7f7f7f7full;
	uint64_t upper = (low + 0x3f3f3f3f3f3f3f3full) & ~(low + 0x2525252525252525ull) & ~v & 0x8080808080808080ull;
	return v | upper >> 2;
}

static inline int fl_same_folded8(uint64_t a, uint64_t b) { return a == b || fl_fold8(a) == fl_fold8(b); }

/* n octets of each, letters folded. */
static inline int fl_same_folded(const uint8_t *a, const uint8_t *b, size_t n)
{
	if (n < 8)
		return fl_same_folded8(fl_load_few(a, n), fl_load_few(b, n));
	for (size_t i = 0; i + 8 < n; i += 8)
		if (!fl_same_folded8(fl_load8(a + i), fl_load8(b + i)))
			return 0;
	return fl_same_folded8(fl_load8(a + n - 8), fl_load8(b + n - 8));
}

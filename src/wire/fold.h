/* fold: ASCII letters to lower case, eight octets at a time. Private to wire/. */
#pragma once
#include "base/str.h"

static inline uint64_t fold_load(const uint8_t *p)
{
	uint64_t v;
	memcpy(&v, p, 8);
	return v;
}

/* Bit 5 is set in each octet between A and Z: the sums carry into bit 7 from 'A' on, and from '[' on. */
static inline uint64_t fold_word(uint64_t v)
{
	uint64_t low = v & 0x7f7f7f7f7f7f7f7full;
	uint64_t upper = (low + 0x3f3f3f3f3f3f3f3full) & ~(low + 0x2525252525252525ull) & ~v & 0x8080808080808080ull;
	return v | upper >> 2;
}

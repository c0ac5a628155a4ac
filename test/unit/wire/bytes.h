/* bytes: octets from hex, blanks allowed, for the tests of wire. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include "wire/pack.h"
#include "wire/text.h"

/* In memory of its own, of exactly that size, so that a sanitizer sees a read past the end. Ends the test when it is no hex. */
static inline uint8_t *bytes(const char *hex, size_t *n)
{
	uint8_t *p = malloc(strlen(hex) / 2 + 1);
	assert_non_null(p);
	*n = 0;
	for (const char *c = hex; *c; c++) {
		char two[3] = { c[0], c[1], 0 }, *end;
		if (*c == ' ')
			continue;
		p[(*n)++] = (uint8_t)strtoul(two, &end, 16);
		assert_int_equal(*end, 0);
		assert_true(c[1]);
		c++;
	}
	return realloc(p, *n ? *n : 1);
}

/* A record in text, as an item. */
static inline struct fl_item item(struct fl_arena *a, const char *text, uint8_t section)
{
	struct fl_item it = { .ttl_max = UINT32_MAX, .section = section };
	struct fl_err e = { "" };
	if (fl_rr_parse(a, fl_str(text), &it.owner, &it.set, &e))
		fail_msg("%s: %s", text, e.msg);
	return it;
}

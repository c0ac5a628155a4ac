/* seed: where the draws of a property begin: FL_SEED, else anywhere. It is told, so that FL_SEED=n runs the same again. */
#pragma once
#include "base/rng.h"
#include "base/str.h"
#include <stdio.h>
#include <stdlib.h>

static uint64_t seed_of(struct fl_rng *r)
{
	const char *env = getenv("FL_SEED");
	int64_t v = 0;
	if (!env || fl_parse_int(fl_str(env), 1, INT64_MAX, &v))
		fl_random_bytes(&v, sizeof v);
	v &= INT64_MAX;
	v += !v;
	printf("# FL_SEED=%lld\n", (long long)v);
	fl_rng_init(r, (uint64_t)v);
	return (uint64_t)v;
}

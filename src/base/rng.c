#include "base/rng.h"
#include "base/fold.h"
#include "base/str.h"
#include <stdlib.h>
#include <sys/random.h>

void fl_random_bytes(void *to, size_t n)
{
	char *p = to;
	while (n) {
		ssize_t got = getrandom(p, n, 0);
		if (got <= 0)
			continue;
		p += got;
		n -= (size_t)got;
	}
}

static uint64_t splitmix(uint64_t *x)
{
	uint64_t z = (*x += 0x9e3779b97f4a7c15ull);
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

void fl_rng_init(struct fl_rng *r, uint64_t seed)
{
	const char *env = getenv("FL_SEED");
	int64_t v;
	if (!seed && env && !fl_parse_int(fl_str(env), 1, INT64_MAX, &v))
		seed = (uint64_t)v;
	if (!seed)
		fl_random_bytes(&seed, sizeof seed);
	r->s[0] = splitmix(&seed);
	r->s[1] = splitmix(&seed);
}

uint64_t fl_rng_next(struct fl_rng *r)
{
	uint64_t a = r->s[0], b = r->s[1];
	r->s[0] = b;
	a ^= a << 23;
	r->s[1] = a ^ b ^ (a >> 17) ^ (b >> 26);
	return r->s[1] + b;
}

uint32_t fl_rng_below(struct fl_rng *r, uint32_t n)
{
	return (uint32_t)(((fl_rng_next(r) >> 32) * n) >> 32);
}

/* ---- keyed hash ---- */

static uint64_t key[2];

__attribute__((constructor)) static void draw_key(void)
{
	fl_random_bytes(key, sizeof key);
	key[0] |= 1;
}

static uint64_t mix(uint64_t a, uint64_t b)
{
	unsigned __int128 m = (unsigned __int128)a * b;
	return (uint64_t)m ^ (uint64_t)(m >> 64);
}

/* The last eight bytes overlap those before them: cheaper than to gather what is left. */
#define HASH(name, FOLD)                                                                        \
	uint64_t name(const void *data, size_t n)                                               \
	{                                                                                       \
		const uint8_t *p = data;                                                        \
		uint64_t h = key[0] ^ n;                                                        \
		for (size_t i = 0; i + 8 < n; i += 8)                                           \
			h = mix(h ^ FOLD(fl_load8(p + i)), key[0] | 0x9e3779b97f4a7c15ull);     \
		uint64_t last = n < 8 ? fl_load_few(p, n) : fl_load8(p + n - 8);                \
		return mix(h ^ FOLD(last), key[1] ^ 0xbf58476d1ce4e5b9ull);                     \
	}
#define AS_IS(v) (v)
HASH(fl_hash, AS_IS)
HASH(fl_hash_fold, fl_fold8)

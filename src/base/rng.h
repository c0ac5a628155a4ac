/* rng: random numbers. Shuffles and jitter use fl_rng (fast, seeded from the kernel, FL_SEED= replays); query IDs, source ports
 * and hash seeds use fl_random_bytes (the kernel's). */
#pragma once
#include <stddef.h>
#include <stdint.h>

struct fl_rng { uint64_t s[2]; };

void fl_rng_init(struct fl_rng *r, uint64_t seed);      /* 0: from the kernel, or from FL_SEED when that is set */
uint64_t fl_rng_next(struct fl_rng *r);                 /* xorshift128+ */
uint32_t fl_rng_below(struct fl_rng *r, uint32_t n);    /* 0..n-1; n > 0 */
void fl_random_bytes(void *to, size_t n);               /* getrandom(2) */

/* Keyed 64-bit hash of bytes, for tables that strangers fill (wyhash's construction). The key is drawn once a process. */
uint64_t fl_hash(const void *p, size_t n);
uint64_t fl_hash_fold(const void *p, size_t n);         /* the same with ASCII letters folded */

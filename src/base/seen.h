/* seen: which hashes came before. An open table in memory of the caller's, `cap` (a power of two) zeroed words. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum { FL_SEEN_MAX = 4096 };            /* so many a table is meant for at most */

struct fl_seen { uint64_t *slot; uint32_t cap, n; };

uint32_t fl_seen_cap(uint64_t n);       /* for n of them */
/* true: it is new, and is seen from now on. Full (3/4): always false. */
bool fl_seen_new(struct fl_seen *s, uint64_t hash);

/* books: what is asked most, in a table of fixed size. One a shard; the shard adds, the main thread looks.
 *
 * Space-saving (Metwally, Agrawal, El Abbadi 2005) within sets of a few ways: a key's hash names its set; one that is not there takes the place
 * of the set's smallest and inherits its count as a possible error. So for each key in the table: what it had <= count <= what it had + over,
 * and a key that had more than 1/BOOK_WAYS of what its set had is in it. Counts halve once a minute: what counts is the last minutes.
 *
 * Neither side waits for the other: who finds the book open passes (the shard does not count this one, the main thread tries again later). */
#pragma once
#include "base/str.h"

enum { BOOK_SETS = 64, BOOK_WAYS = 4, BOOK_KEY = 255, BOOK_TOP = 20, BOOK_BUSY = 256, BOOK_EVERY = 8 };

struct book_entry { uint64_t hash; uint32_t count, over; uint8_t n, key[BOOK_KEY]; };      /* count 0: free */
struct book {
	int open;
	uint32_t skip, every, adds;     /* the shard's: how many more to pass by, of how many one is counted, how many came in this tick */
	uint64_t tick, halved_ns, total, seed;
	struct book_entry at[BOOK_SETS][BOOK_WAYS];
};
struct book_top { uint64_t total; unsigned n; struct book_entry at[BOOK_TOP]; };        /* by count - over, the most first */

/* Is this one to be counted, and as how many? 0: no. Few are all counted, else one of BOOK_EVERY at random. The shard's. */
uint32_t fl_dash_book_draw(struct book *b, uint64_t now_ns);
/* Adds; fold: letters of the key are folded, as the hash was. */
void fl_dash_book_add(struct book *b, const uint8_t *key, size_t n, uint64_t hash, uint32_t weight, bool fold, uint64_t now_ns);
/* Adds up books (NULL ones are passed) into the most asked. Main thread. */
void fl_dash_book_top(struct book *const *book, unsigned n, uint64_t now_ns, struct book_top *top);

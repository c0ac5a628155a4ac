/* When a second server is asked: after the time within which this one answered 95 of its last 64 to 80 questions out of 100, so that one
 * question in twenty goes out twice, and one to a dead server waits no longer than that. */
#include "plugin/forward/forward_int.h"

enum { LOOK_EVERY = 16, FIRST_MS = 200, LEAST_MS = 5, MOST_MS = 1000 };

static void p95(struct fwd_times *t, unsigned n)
{
	uint32_t top[FWD_TIMES / 16 + 1], k = 0, want = n - n * 95 / 100;       /* so many of the longest */
	want = want ? want : 1;
	for (unsigned i = 0; i < n; i++) {
		uint32_t v = t->us[i], at = k;
		if (k == want && v <= top[k - 1])
			continue;
		k += k < want;
		for (at = k - 1; at && top[at - 1] < v; at--)
			top[at] = top[at - 1];
		top[at] = v;
	}
	t->p95_us = top[k - 1];
}

void fl_forward_took(struct fwd_times *t, uint64_t ns)
{
	uint64_t us = ns / 1000;
	t->us[t->n++ % FWD_TIMES] = us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
	if (t->n % LOOK_EVERY)
		return;
	p95(t, t->n < FWD_TIMES ? t->n : FWD_TIMES);
	if (t->n >= 1u << 30)
		t->n = FWD_TIMES;
}

uint64_t fl_forward_patience(const struct fwd_stanza *st, const struct fwd_times *t)
{
	if (!st->hedge_auto)
		return (uint64_t)st->hedge_ns;
	uint64_t ns = t->n < LOOK_EVERY ? FIRST_MS * FL_MS : (uint64_t)t->p95_us * 1000;
	return ns < LEAST_MS * FL_MS ? LEAST_MS * FL_MS : ns > MOST_MS * FL_MS ? MOST_MS * FL_MS : ns;
}

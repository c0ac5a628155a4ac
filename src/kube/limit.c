#include "kube/limit.h"
#include "base/err.h"
#include "base/clock.h"

enum { RATE = 5, BURST = 10 };          /* client-go rest/config.go */

void fl_limit_init(struct fl_limit *l, double rate, unsigned burst, unsigned slots, uint64_t now_ns)
{
	*l = (struct fl_limit){ .slots = slots, .at_ns = now_ns };
	if (rate <= 0 && !burst)
		return;
	l->rate = rate > 0 ? rate : RATE;
	l->burst = burst ? burst : BURST;
	l->tokens = l->burst;
}

uint64_t fl_limit_take(struct fl_limit *l, bool watch, uint64_t now_ns)
{
	if (l->slots && l->out >= l->slots)
		return UINT64_MAX;
	if (l->rate > 0 && !watch) {
		l->tokens += (double)(now_ns - l->at_ns) / (double)FL_SEC * l->rate;
		l->tokens = l->tokens < l->burst ? l->tokens : l->burst;
		l->at_ns = now_ns;
		if (l->tokens < 1) {
			double wait = (1 - l->tokens) / l->rate * (double)FL_SEC;
			return wait < (double)(UINT64_MAX / 4) ? (uint64_t)wait + 1 : UINT64_MAX / 4;
		}
		l->tokens--;
	}
	l->out++;
	return 0;
}

void fl_limit_give(struct fl_limit *l)
{
	fl_assert(l->out);
	l->out--;
}

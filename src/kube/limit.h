/* limit: how fast, and how many at once, the API server may be asked (apiserver_qps, apiserver_burst, apiserver_max_inflight). A bucket of tokens,
 * as client-go's: a list takes one, a watch none. Slots: a request of any kind holds one until the head of its answer is there. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct fl_limit {
	double rate, tokens;            /* tokens a second; rate 0: no bucket */
	unsigned burst, slots, out;     /* slots 0: any number */
	uint64_t at_ns;                 /* when the tokens were counted */
};

/* What is 0 is not limited; of rate and burst one alone brings client-go's value of the other (5 a second, 10). */
void fl_limit_init(struct fl_limit *l, double rate, unsigned burst, unsigned slots, uint64_t now_ns);
/* 0: go, a slot is taken (and a token); else ns until there is a token; UINT64_MAX: when somebody gives a slot back. */
uint64_t fl_limit_take(struct fl_limit *l, bool watch, uint64_t now_ns);
void fl_limit_give(struct fl_limit *l);

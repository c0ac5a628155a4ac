/* metric, inside: what counting (metric.c) and printing (expose.c) share.
 *
 * A slot's cells lie together, on cache lines of their own. What a cell is made of (`words`): a counter is one number; a gauge two,
 * what was added and what was taken away, so that 0 after use differs from never used; a histogram one for each bucket and for
 * +Inf, then the sum as the bits of a double. Only the slot's thread writes; relaxed atomics keep readers from torn values. */
#pragma once
#include "base/metric.h"

enum { FL_METRIC_DIMS = 3 };

struct fl_grid {
	/* what counting needs, on one cache line */
	uint64_t *cells;
	size_t stride;                          /* words from one slot to the next */
	const double *buckets;
	unsigned nbuckets, ncells, words;
	uint8_t kind;                           /* enum fl_metric_kind */
	const struct fl_grid *of;               /* a mirror whose numbers are sums of another's */
	/* the rest */
	struct fl_grid *next;
	struct fl_metric *m;
	struct fl_dim dims[FL_METRIC_DIMS];
	unsigned ndims;
	bool set, hidden;
	uint64_t hidden_at;                     /* what all cells had counted when it was hidden */
	uint64_t value;                         /* fl_grid_set: the bits of a double */
	char *labels[FL_METRIC_LABELS];         /* fixed values */
};

struct fl_metric {
	struct fl_metric *next;                 /* by name */
	const struct fl_metric_def *def;
	unsigned nlabels, order[FL_METRIC_LABELS];      /* labels by name */
	struct fl_grid *grids;                  /* in the order they were made */
};

extern struct fl_metric *fl_metric_all;

static inline double fl_bits_double(uint64_t bits)
{
	double v;
	memcpy(&v, &bits, sizeof v);
	return v;
}

static inline uint64_t fl_double_bits(double v)
{
	uint64_t bits;
	memcpy(&bits, &v, sizeof bits);
	return bits;
}

/* The word'th number of a cell, over all slots. */
uint64_t fl_grid_sum(const struct fl_grid *g, unsigned index, unsigned word);
double fl_grid_sum_double(const struct fl_grid *g, unsigned index, unsigned word);
/* Everything that the grid's cells ever counted, to see that they did again. */
uint64_t fl_grid_activity(const struct fl_grid *g);
/* The value of the label'th label in the index'th cell. */
const char *fl_grid_label(const struct fl_grid *g, unsigned index, unsigned label);

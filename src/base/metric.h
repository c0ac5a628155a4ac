/* metric: Prometheus families, counted by each shard in cells of its own and summed when somebody looks.
 *
 * A family (fl_metric) lives as long as the process, found again by name after a reload. A grid is a part of it: fixed label
 * values, and up to three enumerated labels whose values are all known at set-up, so that counting is one addition at an index and
 * never allocates. Cells that never counted are not printed, unless the family says `always`. Labels print sorted by name.
 * Making families and grids is the main thread's; adding is any registered shard's own (`slot` 0: the main thread; 1..: shards).
 * Index of a cell with dims of n0, n1, n2 values: (i0 * n1 + i1) * n2 + i2. Grids are never freed. */
#pragma once
#include "base/str.h"

enum { FL_METRIC_SLOTS = 20, FL_METRIC_LABELS = 8 };
/* How many slots there are (shards and the main thread); once, before the first grid. Default: FL_METRIC_SLOTS, the most. */
void fl_metric_slots(unsigned n);

enum fl_metric_kind { FL_COUNTER, FL_GAUGE, FL_HISTOGRAM };

struct fl_metric_def {
	const char *name, *help;
	enum fl_metric_kind kind;
	const double *buckets;          /* upper bounds, rising, without +Inf; histograms only */
	unsigned nbuckets;
	bool always;                    /* print also what is 0 */
	const char *labels[FL_METRIC_LABELS];   /* the fixed ones first, then those of the dims; NULL ends */
};

struct fl_dim { unsigned n; const char *const *values; };       /* static arrays */

struct fl_metric;
struct fl_grid;

struct fl_metric *fl_metric(const struct fl_metric_def *def);   /* found or made; def stays borrowed for ever (static) */
/* Found (equal fixed values and dims) or made. values: as many as labels minus dims; copied. At most 3 dims. */
struct fl_grid *fl_metric_grid(struct fl_metric *m, const struct fl_str *values, const struct fl_dim *dims, unsigned ndims);
/* For a family without dims. values: `nvalues` of NUL-terminated strings. */
struct fl_grid *fl_metric_plain(const struct fl_metric_def *def, ...);  /* const char * values, as many as def has labels */
/* What `of` counts under a second name, never added to. The def's labels are fixed ones and then the dims of `of`, or fixed ones alone: then
 * its cells are summed. Of `of`'s kind, or a counter that tells how often a histogram observed. values: the fixed ones. Main thread. */
struct fl_grid *fl_metric_mirror(const struct fl_metric_def *def, const struct fl_str *values, const struct fl_grid *of);

void fl_grid_add(struct fl_grid *g, unsigned slot, unsigned index, uint64_t n);
void fl_grid_observe(struct fl_grid *g, unsigned slot, unsigned index, double v);       /* histograms */
void fl_grid_set(struct fl_grid *g, double v);          /* without dims, no histogram: main thread; prints even when 0 */
void fl_grid_sub(struct fl_grid *g, unsigned slot, unsigned index, uint64_t n);         /* gauges that shards move up and down */
/* Not printed any more until next set or added to (an upstream that is gone). Main thread. */
void fl_grid_hide(struct fl_grid *g);
double fl_grid_value(const struct fl_grid *g, unsigned index);  /* the sum of all slots; a histogram's count. Any thread */

/* Writes the text exposition (version 0.0.4), families sorted by name. write is called many times. Main thread. */
void fl_metric_expose(void (*write)(void *arg, const char *p, size_t n), void *arg);
/* Only the families of these names; n 0: none. */
void fl_metric_expose_named(const struct fl_str *names, size_t n, void (*write)(void *arg, const char *p, size_t n), void *arg);
/* Called before each exposition, to refresh gauges (process_*). An equal pair is called once. Main thread. */
void fl_metric_before(void (*fn)(void *arg), void *arg);
void fl_metric_before_drop(void (*fn)(void *arg), void *arg);
/* v as Go prints it (strconv 'g', shortest), NUL-terminated; returns the length. */
size_t fl_metric_float(char to[32], double v);

/* exposed: what a program counted, as it tells it. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include "base/metric.h"

struct gathered { char text[1 << 16]; size_t n; };

/* A writer; arg: where to, a NUL behind what is there. */
static inline void gather(void *arg, const char *p, size_t n)
{
	struct gathered *g = arg;
	assert_true(g->n + n < sizeof g->text);
	memcpy(g->text + g->n, p, n);
	g->n += n;
	g->text[g->n] = 0;
}

/* The family of that name, NULL: all; until the next call. */
static inline const char *exposed(const char *name)
{
	static struct gathered g;
	struct fl_str one = fl_str(name ? name : "");
	g.n = 0;
	g.text[0] = 0;
	if (name)
		fl_metric_expose_named(&one, 1, gather, &g);
	else
		fl_metric_expose(gather, &g);
	return g.text;
}

/* All its series, summed. */
static inline unsigned metric(const char *name)
{
	unsigned sum = 0;
	struct fl_str rest = fl_str(exposed(name)), line;
	while (rest.n) {
		rest = fl_str_cut(rest, '\n', &line);
		const char *value = line.n && *line.p != '#' ? memrchr(line.p, ' ', line.n) : NULL;
		sum += value ? (unsigned)strtoul(value + 1, NULL, 10) : 0;
	}
	return sum;
}

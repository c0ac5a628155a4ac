#include "base/err.h"
#include "base/mem.h"
#include "base/metric_int.h"
#include "base/sink.h"
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* One printed line, or one histogram. */
struct series { const struct fl_grid *g; unsigned index; };

static struct { void (*fn)(void *arg); void *arg; } *hooks;
static size_t nhooks;

/* ---- numbers ---- */

/* Digits and exponent of the shortest decimal that reads back as v. 15 digits hold every decimal that short (a subnormal has less
 * precision: from the start); else 16, else 17. */
static void shortest(char to[32], double v)
{
	for (int digits = fabs(v) < DBL_MIN ? 0 : 14; digits <= 16; digits++) {
		snprintf(to, 32, "%.*e", digits, v);
		if (strtod(to, NULL) == v)      /* NOLINT: the text is ours */
			break;
	}
}

/* Go's strconv 'g' with precision -1: shortest digits; exponent form below 1e-04 and from 1e+06 on. */
size_t fl_metric_float(char to[32], double v)
{
	if (isnan(v))
		return (size_t)snprintf(to, 32, "NaN");
	if (isinf(v))
		return (size_t)snprintf(to, 32, v > 0 ? "+Inf" : "-Inf");
	if (v == 0)
		return (size_t)snprintf(to, 32, "0");
	if (v == rint(v) && fabs(v) < 1e6)
		return (size_t)snprintf(to, 32, "%d", (int)v);
	char text[32], digits[24];
	shortest(text, v);
	const char *p = text, *e = strchr(text, 'e');
	size_t n = 0, at = 0;
	bool minus = *p == '-';
	for (; p < e; p++)
		if (*p >= '0' && *p <= '9')
			digits[n++] = *p;
	while (n > 1 && digits[n - 1] == '0')
		n--;
	int exp = (int)strtol(e + 1, NULL, 10);
	if (minus)
		to[at++] = '-';
	if (exp < -4 || exp >= 6) {
		to[at++] = digits[0];
		if (n > 1)
			to[at++] = '.';
		memcpy(to + at, digits + 1, n - 1);
		at += n - 1;
		return at + (size_t)snprintf(to + at, 32 - at, "e%c%02d", exp < 0 ? '-' : '+', abs(exp));
	}
	if (exp < 0) {
		at += (size_t)snprintf(to + at, 32 - at, "0.%.*s", -exp - 1, "0000");
		memcpy(to + at, digits, n);
		at += n;
	} else {                                /* a fraction: whole numbers went above */
		memcpy(to + at, digits, (size_t)exp + 1);
		at += (size_t)exp + 1;
		to[at++] = '.';
		memcpy(to + at, digits + exp + 1, n - (size_t)exp - 1);
		at += n - (size_t)exp - 1;
	}
	to[at] = 0;
	return at;
}

/* ---- text ---- */

static void put_escaped(struct fl_sink *o, const char *z, bool quotes)
{
	for (; *z; z++) {
		if (*z == '\\')
			fl_sink_put(o, "\\\\", 2);
		else if (*z == '\n')
			fl_sink_put(o, "\\n", 2);
		else if (*z == '"' && quotes)
			fl_sink_put(o, "\\\"", 2);
		else
			fl_sink_put(o, z, 1);
	}
}

static void put_float(struct fl_sink *o, double v)
{
	char text[32];
	fl_sink_put(o, text, fl_metric_float(text, v));
}

/* le: a bucket's bound, NULL for other lines. */
static void line(struct fl_sink *o, const struct series *s, const char *suffix, const double *le, double v)
{
	const struct fl_metric *m = s->g->m;
	fl_sink_text(o, m->def->name);
	fl_sink_text(o, suffix);
	const char *sep = "{";
	for (unsigned k = 0; k < m->nlabels; k++) {
		fl_sink_text(o, sep);
		fl_sink_text(o, m->def->labels[m->order[k]]);
		fl_sink_text(o, "=\"");
		put_escaped(o, fl_grid_label(s->g, s->index, m->order[k]), true);
		fl_sink_text(o, "\"");
		sep = ",";
	}
	if (le) {
		fl_sink_text(o, sep);
		fl_sink_text(o, "le=\"");
		put_float(o, *le);
		fl_sink_text(o, "\"");
	}
	fl_sink_text(o, m->nlabels || le ? "} " : " ");
	put_float(o, v);
	fl_sink_text(o, "\n");
}

static void histogram(struct fl_sink *o, const struct series *s)
{
	const struct fl_metric_def *d = s->g->m->def;
	uint64_t n = 0;
	for (unsigned b = 0; b <= d->nbuckets; b++) {
		double bound = b < d->nbuckets ? d->buckets[b] : INFINITY;
		n += fl_grid_sum(s->g, s->index, b);
		line(o, s, "_bucket", &bound, (double)n);
	}
	line(o, s, "_sum", NULL, fl_grid_sum_double(s->g, s->index, d->nbuckets + 1));
	line(o, s, "_count", NULL, (double)n);
}

/* ---- families ---- */

static bool used(const struct fl_grid *g, unsigned index)
{
	const struct fl_metric_def *d = g->m->def;
	if (d->always || g->set)
		return true;
	if (g->of)
		return fl_grid_value(g, index) != 0;
	unsigned counts = d->kind == FL_HISTOGRAM ? g->words - 1 : g->words;
	for (unsigned w = 0; w < counts; w++)
		if (fl_grid_sum(g, index, w))
			return true;
	return false;
}

/* In the Go client's order: by the values of the labels, the labels by name. */
static int by_labels(const void *pa, const void *pb)
{
	const struct series *a = pa, *b = pb;
	const struct fl_metric *m = a->g->m;
	for (unsigned k = 0; k < m->nlabels; k++) {
		int c = strcmp(fl_grid_label(a->g, a->index, m->order[k]), fl_grid_label(b->g, b->index, m->order[k]));
		if (c)
			return c;
	}
	return 0;
}

static void family(struct fl_sink *o, struct fl_metric *m)
{
	static const char *const kinds[] = { "counter", "gauge", "histogram" };
	struct series *all = NULL;
	size_t n = 0, cap = 0;
	for (struct fl_grid *g = m->grids; g; g = g->next) {
		if (g->hidden && g->hidden_at == fl_grid_activity(g))
			continue;
		g->hidden = false;
		for (unsigned i = 0; i < g->ncells; i++) {
			if (!used(g, i))
				continue;
			if (n == cap) {
				cap = cap ? 2 * cap : 16;
				all = fl_xrealloc(all, cap * sizeof *all);
			}
			all[n++] = (struct series){ g, i };
		}
	}
	if (n) {
		qsort(all, n, sizeof *all, by_labels);
		fl_sink_text(o, "# HELP ");
		fl_sink_text(o, m->def->name);
		fl_sink_text(o, " ");
		put_escaped(o, m->def->help, false);
		fl_sink_text(o, "\n# TYPE ");
		fl_sink_text(o, m->def->name);
		fl_sink_text(o, " ");
		fl_sink_text(o, kinds[m->def->kind]);
		fl_sink_text(o, "\n");
	}
	for (size_t i = 0; i < n; i++) {
		if (m->def->kind == FL_HISTOGRAM)
			histogram(o, &all[i]);
		else
			line(o, &all[i], "", NULL, fl_grid_value(all[i].g, all[i].index));
	}
	free(all);
}

static bool wanted(const struct fl_metric *m, const struct fl_str *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (fl_str_is(names[i], m->def->name))
			return true;
	return false;
}

static void expose(const struct fl_str *names, size_t n, bool all, void (*write)(void *arg, const char *p, size_t n), void *arg)
{
	struct fl_sink o;
	o.write = write;
	o.arg = arg;
	o.n = 0;
	for (size_t i = 0; i < nhooks; i++)
		hooks[i].fn(hooks[i].arg);
	for (struct fl_metric *m = fl_metric_all; m; m = m->next)
		if (all || wanted(m, names, n))
			family(&o, m);
	fl_sink_flush(&o);
}

void fl_metric_expose(void (*write)(void *arg, const char *p, size_t n), void *arg) { expose(NULL, 0, true, write, arg); }

void fl_metric_expose_named(const struct fl_str *names, size_t n, void (*write)(void *arg, const char *p, size_t n), void *arg)
{
	expose(names, n, false, write, arg);
}

/* ---- hooks ---- */

void fl_metric_before(void (*fn)(void *arg), void *arg)
{
	fl_metric_before_drop(fn, arg);
	hooks = fl_xrealloc(hooks, (nhooks + 1) * sizeof *hooks);
	hooks[nhooks].fn = fn;
	hooks[nhooks++].arg = arg;
}

void fl_metric_before_drop(void (*fn)(void *arg), void *arg)
{
	size_t kept = 0;
	for (size_t i = 0; i < nhooks; i++)
		if (hooks[i].fn != fn || hooks[i].arg != arg)
			hooks[kept++] = hooks[i];
	nhooks = kept;
}

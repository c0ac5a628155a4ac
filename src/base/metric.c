#include "base/metric_int.h"
#include "base/err.h"
#include "base/mem.h"
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { LINE = 64, REGION = 256 * 1024 };

struct fl_metric *fl_metric_all;
static unsigned slots = FL_METRIC_SLOTS;
static bool any_grid;

void fl_metric_slots(unsigned n)
{
	fl_assert(!any_grid && n > 0 && n <= FL_METRIC_SLOTS);
	slots = n;
}

/* ---- families ---- */

static unsigned count_labels(const struct fl_metric_def *d)
{
	unsigned n = 0;
	while (n < FL_METRIC_LABELS && d->labels[n])
		n++;
	return n;
}

static bool same_def(const struct fl_metric_def *a, const struct fl_metric_def *b)
{
	if (a == b)
		return true;
	if (a->kind != b->kind || a->nbuckets != b->nbuckets || count_labels(a) != count_labels(b))
		return false;
	for (unsigned i = 0; i < count_labels(a); i++)
		if (strcmp(a->labels[i], b->labels[i]))
			return false;
	return true;
}

struct fl_metric *fl_metric(const struct fl_metric_def *def)
{
	struct fl_metric **at = &fl_metric_all;
	int c = 1;
	while (*at && (c = strcmp((*at)->def->name, def->name)) < 0)
		at = &(*at)->next;
	if (*at && !c) {
		fl_assert(same_def((*at)->def, def));
		return *at;
	}
	struct fl_metric *m = fl_xalloc(sizeof *m);
	m->def = def;
	m->nlabels = count_labels(def);
	for (unsigned i = 0; i < m->nlabels; i++) {
		unsigned k = i;
		for (; k && strcmp(def->labels[m->order[k - 1]], def->labels[i]) > 0; k--)
			m->order[k] = m->order[k - 1];
		m->order[k] = i;
	}
	m->next = *at;
	*at = m;
	return m;
}

/* ---- grids ---- */

/* Cells live for ever. Untouched pages of the mapping cost no memory, so that a large grid of which little is used stays small. */
static uint64_t *cells_alloc(size_t bytes)
{
	static char *region, *end;
	if ((size_t)(end - region) < bytes) {
		size_t size = bytes > REGION ? bytes : REGION;
		char *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		fl_assert(map != MAP_FAILED);
		region = map;
		end = map + size;
	}
	char *p = region;
	region += bytes;
	return (uint64_t *)(void *)p;
}

/* The length of the UTF-8 sequence at s (RFC 3629), 0 when there is none. */
static size_t utf8_len(const uint8_t *s, size_t n)
{
	static const struct { uint8_t lo, hi, lo2, hi2, len; } rows[] = {
		{ 0x00, 0x7f, 0x00, 0xff, 1 }, { 0xc2, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 },
		{ 0xe1, 0xec, 0x80, 0xbf, 3 }, { 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 },
		{ 0xf0, 0xf0, 0x90, 0xbf, 4 }, { 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 },
	};
	for (size_t r = 0; r < FL_COUNT(rows); r++) {
		if (s[0] < rows[r].lo || s[0] > rows[r].hi)
			continue;
		if (rows[r].len > n || (rows[r].len > 1 && (s[1] < rows[r].lo2 || s[1] > rows[r].hi2)))
			return 0;
		for (size_t i = 2; i < rows[r].len; i++)
			if ((s[i] & 0xc0) != 0x80)
				return 0;
		return rows[r].len;
	}
	return 0;
}

/* A copy, in which what is not UTF-8 has become '?': Prometheus would refuse the whole exposition for it. */
static char *copy_value(struct fl_str s)
{
	char *to = fl_xstrndup(s.p, s.n);
	for (size_t i = 0, len; i < s.n; i += len) {
		len = utf8_len((const uint8_t *)s.p + i, s.n - i);
		if (!len) {
			to[i] = '?';
			len = 1;
		}
	}
	return to;
}

static bool same_dims(const struct fl_grid *g, const struct fl_dim *dims, unsigned ndims)
{
	if (g->ndims != ndims)
		return false;
	for (unsigned d = 0; d < ndims; d++) {
		if (g->dims[d].n != dims[d].n)
			return false;
		for (unsigned i = 0; g->dims[d].values != dims[d].values && i < dims[d].n; i++)
			if (strcmp(g->dims[d].values[i], dims[d].values[i]))
				return false;
	}
	return true;
}

static unsigned words_of(const struct fl_metric_def *d)
{
	return d->kind == FL_COUNTER ? 1 : d->kind == FL_GAUGE ? 2 : d->nbuckets + 2;
}

/* Found, or made: then *made, and cells are wanted. */
static struct fl_grid *grid(struct fl_metric *m, const struct fl_str *values, const struct fl_dim *dims, unsigned ndims, bool *made)
{
	*made = false;
	fl_assert(ndims <= FL_METRIC_DIMS && ndims <= m->nlabels);
	unsigned fixed = m->nlabels - ndims;
	char *labels[FL_METRIC_LABELS] = { 0 };
	for (unsigned i = 0; i < fixed; i++)
		labels[i] = copy_value(values[i]);
	struct fl_grid **at = &m->grids, *g;
	for (; (g = *at); at = &g->next) {
		bool same = same_dims(g, dims, ndims);
		for (unsigned i = 0; same && i < fixed; i++)
			same = !strcmp(g->labels[i], labels[i]);
		if (!same)
			continue;
		for (unsigned i = 0; i < fixed; i++)
			free(labels[i]);
		return g;
	}
	g = fl_xalloc(sizeof *g);
	g->m = m;
	g->kind = (uint8_t)m->def->kind;
	g->buckets = m->def->buckets;
	g->nbuckets = m->def->nbuckets;
	g->ndims = ndims;
	g->ncells = 1;
	for (unsigned d = 0; d < ndims; d++) {
		g->dims[d] = dims[d];
		g->ncells *= dims[d].n;
	}
	memcpy(g->labels, labels, sizeof labels);
	*made = true;
	return *at = g;
}

struct fl_grid *fl_metric_grid(struct fl_metric *m, const struct fl_str *values, const struct fl_dim *dims, unsigned ndims)
{
	bool made;
	struct fl_grid *g = grid(m, values, dims, ndims, &made);
	if (!made)
		return g;
	g->words = words_of(m->def);
	size_t slot = (g->ncells * g->words * sizeof(uint64_t) + LINE - 1) / LINE * LINE;
	g->stride = slot / sizeof(uint64_t);
	g->cells = cells_alloc(slot * slots);
	any_grid = true;
	return g;
}

struct fl_grid *fl_metric_mirror(const struct fl_metric_def *def, const struct fl_str *values, const struct fl_grid *of)
{
	bool made, whole = count_labels(def) == 0 || !of->ndims ||
			   strcmp(def->labels[count_labels(def) - 1], of->m->def->labels[of->m->nlabels - 1]);
	struct fl_grid *g = grid(fl_metric(def), values, of->dims, whole ? 0 : of->ndims, &made);
	if (!made)
		return g;
	fl_assert(def->kind == of->m->def->kind || (def->kind == FL_COUNTER && of->m->def->kind == FL_HISTOGRAM));
	fl_assert(def->kind == FL_COUNTER || g->ncells == of->ncells);
	g->words = of->words;
	g->stride = of->stride;
	g->cells = of->cells;
	if (def->kind != of->m->def->kind || g->ncells != of->ncells)
		g->of = of;
	return g;
}

struct fl_grid *fl_metric_plain(const struct fl_metric_def *def, ...)
{
	struct fl_str values[FL_METRIC_LABELS] = { 0 };
	va_list ap;
	va_start(ap, def);
	for (unsigned i = 0; i < count_labels(def); i++)
		values[i] = fl_str(va_arg(ap, const char *));
	va_end(ap);
	return fl_metric_grid(fl_metric(def), values, NULL, 0);
}

const char *fl_grid_label(const struct fl_grid *g, unsigned index, unsigned label)
{
	unsigned fixed = g->m->nlabels - g->ndims;
	if (label < fixed)
		return g->labels[label];
	for (unsigned d = g->ndims; d-- > label - fixed + 1;)
		index /= g->dims[d].n;
	return g->dims[label - fixed].values[index % g->dims[label - fixed].n];
}

/* ---- counting ---- */

/* The cell belongs to this thread: no read-modify-write that others could see half of. */
static void bump(uint64_t *cell, uint64_t n)
{
	__atomic_store_n(cell, __atomic_load_n(cell, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}

static uint64_t *cell_at(struct fl_grid *g, unsigned slot, unsigned index)
{
	fl_assert(slot < slots && index < g->ncells && !g->of);
	return g->cells + slot * g->stride + (size_t)index * g->words;
}

void fl_grid_add(struct fl_grid *g, unsigned slot, unsigned index, uint64_t n)
{
	fl_assert(g->kind != FL_HISTOGRAM);
	bump(cell_at(g, slot, index), n);
}

void fl_grid_sub(struct fl_grid *g, unsigned slot, unsigned index, uint64_t n)
{
	fl_assert(g->m->def->kind == FL_GAUGE);
	bump(cell_at(g, slot, index) + 1, n);
}

void fl_grid_observe(struct fl_grid *g, unsigned slot, unsigned index, double v)
{
	fl_assert(g->kind == FL_HISTOGRAM);
	uint64_t *cell = cell_at(g, slot, index);
	unsigned b = 0;
	while (b < g->nbuckets && !(v <= g->buckets[b]))        /* what is no number falls into +Inf */
		b++;
	uint64_t *sum = cell + g->nbuckets + 1;
	__atomic_store_n(sum, fl_double_bits(fl_bits_double(__atomic_load_n(sum, __ATOMIC_RELAXED)) + v), __ATOMIC_RELAXED);
	bump(cell + b, 1);
}

void fl_grid_set(struct fl_grid *g, double v)
{
	fl_assert(!g->ndims && g->m->def->kind != FL_HISTOGRAM);
	__atomic_store_n(&g->value, fl_double_bits(v), __ATOMIC_RELAXED);
	g->set = true;
	g->hidden = false;
}

void fl_grid_hide(struct fl_grid *g)
{
	g->hidden = true;
	g->set = false;
	__atomic_store_n(&g->value, 0, __ATOMIC_RELAXED);
	g->hidden_at = fl_grid_activity(g);
}

/* ---- reading ---- */

uint64_t fl_grid_sum(const struct fl_grid *g, unsigned index, unsigned word)
{
	const uint64_t *cell = g->cells + (size_t)index * g->words + word;
	uint64_t sum = 0;
	for (unsigned s = 0; s < slots; s++, cell += g->stride)
		sum += __atomic_load_n(cell, __ATOMIC_RELAXED);
	return sum;
}

double fl_grid_sum_double(const struct fl_grid *g, unsigned index, unsigned word)
{
	const uint64_t *cell = g->cells + (size_t)index * g->words + word;
	double sum = 0;
	for (unsigned s = 0; s < slots; s++, cell += g->stride)
		sum += fl_bits_double(__atomic_load_n(cell, __ATOMIC_RELAXED));
	return sum;
}

uint64_t fl_grid_activity(const struct fl_grid *g)
{
	unsigned counts = g->m->def->kind == FL_HISTOGRAM ? g->words - 1 : g->words;
	uint64_t sum = 0;
	for (unsigned i = 0; i < g->ncells; i++)
		for (unsigned w = 0; w < counts; w++)
			sum += fl_grid_sum(g, i, w);
	return sum;
}

double fl_grid_value(const struct fl_grid *g, unsigned index)
{
	fl_assert(index < g->ncells);
	const struct fl_metric_def *d = g->m->def;
	if (g->of) {
		double all = 0;
		for (unsigned i = g->ndims ? index : 0; i < (g->ndims ? index + 1 : g->of->ncells); i++)
			all += fl_grid_value(g->of, i);
		return all;
	}
	uint64_t n = fl_grid_sum(g, index, 0);
	if (d->kind == FL_HISTOGRAM) {
		for (unsigned b = 1; b <= d->nbuckets; b++)
			n += fl_grid_sum(g, index, b);
		return (double)n;
	}
	double set = fl_bits_double(__atomic_load_n(&g->value, __ATOMIC_RELAXED));
	if (d->kind == FL_GAUGE)
		return set + (double)(int64_t)(n - fl_grid_sum(g, index, 1));
	return set + (double)n;
}

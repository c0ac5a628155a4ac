#include "plugin/loadbalance/weights.h"
#include "base/rng.h"
#include <stdlib.h>

struct entry { uint64_t hash; struct fl_addr addr; uint8_t weight, name_len; uint8_t name[FL_NAME_MAX]; };
struct fl_weights {
	uint32_t mask, n;
	size_t bytes;
	uint32_t *slot;                 /* index + 1; behind the entries */
	struct entry at[];
};

static uint64_t hash_of(struct fl_name n, const uint8_t *addr, size_t len) { return fl_name_hash(n) ^ fl_hash(addr, len); }

static void index_all(struct fl_weights *w)
{
	for (uint32_t i = 0; i < w->n; i++) {
		uint32_t s = (uint32_t)w->at[i].hash & w->mask;
		while (w->slot[s])
			s = (s + 1) & w->mask;
		w->slot[s] = i + 1;
	}
}

unsigned fl_weights_get(const struct fl_weights *w, struct fl_name owner, const uint8_t *addr, size_t n)
{
	uint64_t h = hash_of(owner, addr, n);
	for (uint32_t s = (uint32_t)h & w->mask; w->slot[s]; s = (s + 1) & w->mask) {
		const struct entry *e = &w->at[w->slot[s] - 1];
		if (e->hash == h && e->addr.len == n && !memcmp(e->addr.b, addr, n) &&
		    fl_name_eq((struct fl_name){ e->name, e->name_len }, owner))
			return e->weight;
	}
	return 1;
}

size_t fl_weights_bytes(const struct fl_weights *w) { return w->bytes; }

/* The next field of a line. */
static struct fl_str field(struct fl_str *line)
{
	*line = fl_str_trim(*line);
	size_t n = 0;
	while (n < line->n && line->p[n] != ' ' && line->p[n] != '\t')
		n++;
	struct fl_str f = { line->p, n };
	*line = fl_str_trim((struct fl_str){ line->p + n, line->n - n });
	return f;
}

struct reading { struct fl_weights *w; size_t cap; uint8_t name[FL_NAME_MAX]; int name_len; const char *file; struct fl_err *e; };

static int weight(struct reading *r, struct fl_str addr, struct fl_str value)
{
	struct entry e = { 0 };
	int64_t v;
	if (!fl_addr_parse(addr, &e.addr))
		return fl_err_set(r->e, "wrong IP address:\"%.*s\" in weight file %s", FL_FMT(addr), r->file);
	if (value.p[0] == '+' || fl_parse_int(value, 1, 255, &v))
		return fl_err_set(r->e, "wrong weight value:\"%.*s\" in weight file %s", FL_FMT(value), r->file);
	if (r->name_len <= 0)
		return fl_err_set(r->e, "missing domain name in weight file %s", r->file);
	e.weight = (uint8_t)v;
	e.name_len = (uint8_t)r->name_len;
	memcpy(e.name, r->name, e.name_len);
	e.hash = hash_of((struct fl_name){ e.name, e.name_len }, e.addr.b, e.addr.len);
	if (r->w->n == r->cap) {
		r->cap = r->cap ? 2 * r->cap : 16;
		r->w = fl_xrealloc(r->w, sizeof *r->w + r->cap * sizeof e);
	}
	r->w->at[r->w->n++] = e;
	return 0;
}

static int line(struct reading *r, struct fl_str text)
{
	struct fl_addr a;
	struct fl_str rest = fl_str_trim(text);
	if (!rest.n || rest.p[0] == '#')
		return 0;
	struct fl_str first = field(&rest), second = field(&rest);
	if (rest.n)
		return fl_err_set(r->e, "could not parse weight line:\"%.*s\" in weight file %s", FL_FMT(fl_str_trim(text)), r->file);
	if (second.n)
		return weight(r, first, second);
	if (fl_addr_parse(first, &a))
		return fl_err_set(r->e, "wrong domain name:\"%.*s\" in weight file %s. (Maybe a missing weight value?)", FL_FMT(first), r->file);
	r->name_len = fl_name_parse(r->name, first);
	return r->name_len > 0 ? 0 : fl_err_set(r->e, "wrong domain name:\"%.*s\" in weight file %s", FL_FMT(first), r->file);
}

struct fl_weights *fl_weights_parse(struct fl_str text, const char *file, struct fl_err *e)
{
	struct reading r = { .w = fl_xalloc(sizeof *r.w), .file = file, .e = e };
	while (text.n) {
		struct fl_str one;
		text = fl_str_cut(text, '\n', &one);
		if (line(&r, one)) {
			free(r.w);
			return NULL;
		}
	}
	uint32_t slots = 8;
	while (slots < 2 * r.w->n)
		slots *= 2;
	size_t entries = sizeof *r.w + r.w->n * sizeof(struct entry);
	r.w = fl_xrealloc(r.w, entries + slots * sizeof(uint32_t));
	r.w->slot = (uint32_t *)((char *)r.w + entries);
	r.w->bytes = entries + slots * sizeof(uint32_t);
	r.w->mask = slots - 1;
	memset(r.w->slot, 0, slots * sizeof(uint32_t));
	index_all(r.w);
	return r.w;
}

#include "plugin/hosts/table.h"
#include "base/log.h"
#include "base/rng.h"
#include <stdlib.h>

enum { FIELD = 1024, HEAD = 10 };       /* longest field; type, class, ttl, rdlen of a record */

/* ---- what stands in the text ---- */

struct line { uint64_t name_hash, addr_hash; struct fl_addr addr; bool wild; uint8_t len; uint32_t name; uint32_t seq; };
struct reading {
	struct line *line; size_t n, cap;
	uint8_t *names; size_t nnames, cap_names;
	const struct fl_hosts_how *how;
	struct fl_hosts_lines lines;
};

static bool space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

static void add(struct reading *r, const struct fl_addr *addr, struct fl_str field)
{
	uint8_t wire[FL_NAME_MAX], lower[FL_NAME_MAX];
	int len = fl_name_parse(wire, field);
	if (len <= 0)
		return;
	struct fl_name n = fl_name_lower(lower, (struct fl_name){ wire, (uint8_t)len });
	bool wild = n.len > 1 && n.wire[0] == 1 && n.wire[1] == '*';
	if ((r->how->zones && fl_zones_match(r->how->zones, n) < 0) || (wild && fl_name_labels(n) == 1))
		return;
	if (r->n == r->cap) {
		r->cap = r->cap ? 2 * r->cap : 64;
		r->line = fl_xrealloc(r->line, r->cap * sizeof *r->line);
	}
	if (r->nnames + n.len > r->cap_names) {
		r->cap_names = 2 * r->cap_names + 1024;
		r->names = fl_xrealloc(r->names, r->cap_names);
	}
	memcpy(r->names + r->nnames, n.wire, n.len);
	r->line[r->n] = (struct line){ fl_name_hash(n), fl_hash(addr->b, addr->len), *addr, wild, n.len, (uint32_t)r->nnames, (uint32_t)r->n };
	r->nnames += n.len;
	r->n++;
}

static bool address(struct fl_str field, struct fl_addr *a)
{
	struct fl_str head;
	fl_str_cut(field, '%', &head);          /* an interface behind an IPv6 address says nothing here */
	return fl_addr_parse(head, a);
}

static void read_line(struct reading *r, struct fl_str text, unsigned number)
{
	struct fl_addr a = { 0 };
	struct fl_str line;
	bool first = true;
	fl_str_cut(text, '#', &line);
	for (size_t i = 0, from; i < line.n; first = false) {
		while (i < line.n && space(line.p[i]))
			i++;
		for (from = i; i < line.n && !space(line.p[i]); i++)
			;
		struct fl_str field = { line.p + from, i - from };
		if (!field.n)
			return;
		if (field.n > FIELD) {
			fl_log(FL_ERROR, "plugin/hosts", "%s, line %u: %s longer than %d bytes, dropping the %s", r->how->source, number,
			       first ? "address" : "name", FIELD, first ? "line" : "name");
			if (first)
				r->lines.first = r->lines.odd++ ? r->lines.first : number;
			if (first)
				return;
		} else if (!first) {
			add(r, &a, field);
		} else if (address(field, &a)) {
			r->lines.good++;
		} else {
			r->lines.first = r->lines.odd++ ? r->lines.first : number;
			return;
		}
	}
}

/* ---- the table ---- */

struct by_name { uint64_t hash; const uint8_t *name; uint8_t len; struct fl_rrset a, aaaa; };
struct by_addr { uint64_t hash; struct fl_addr addr; struct fl_rrset ptr; };
struct fl_hosts {
	size_t bytes, entries;
	struct fl_hosts_lines lines;
	uint32_t mask, nname, naddr;
	struct by_name *name;
	struct by_addr *addr;
	uint32_t *name_slot, *addr_slot;        /* hash → index + 1 */
};

static const uint8_t *sort_names;       /* qsort() has no argument; main thread */

static int by_name_order(const void *x, const void *y)
{
	const struct line *a = x, *b = y;
	if (a->name_hash != b->name_hash)
		return a->name_hash < b->name_hash ? -1 : 1;
	int c = a->len != b->len ? (int)a->len - b->len : memcmp(sort_names + a->name, sort_names + b->name, a->len);
	if (c)
		return c;
	return a->addr.len != b->addr.len ? (int)a->addr.len - b->addr.len : a->seq < b->seq ? -1 : 1;
}

static int by_addr_order(const void *x, const void *y)
{
	const struct line *a = x, *b = y;
	if (a->addr_hash != b->addr_hash)
		return a->addr_hash < b->addr_hash ? -1 : 1;
	int c = a->addr.len != b->addr.len ? (int)a->addr.len - b->addr.len : memcmp(a->addr.b, b->addr.b, a->addr.len);
	return c ? c : a->seq < b->seq ? -1 : 1;
}

static uint8_t *record(uint8_t *to, uint16_t type, uint32_t ttl, const uint8_t *rdata, uint16_t n)
{
	fl_put16(to, type);
	fl_put16(to + 2, FL_C_IN);
	fl_put32(to + 4, ttl);
	fl_put16(to + 8, n);
	memcpy(to + HEAD, rdata, n);
	return to + HEAD + n;
}

/* One more record of a set that is being written at the end of the data. */
static void append(struct fl_rrset *s, uint8_t **end, uint16_t type, uint32_t ttl, const uint8_t *rdata, uint16_t n)
{
	if (s->count == UINT16_MAX)
		return;
	if (!s->count)
		*s = (struct fl_rrset){ .type = type, .stride = type == FL_T_PTR ? 0 : (uint16_t)(HEAD + n), .data = *end };
	*end = record(*end, type, ttl, rdata, n);
	s->count++;
	s->len = (uint32_t)(*end - s->data);
}

static uint8_t *fill_names(struct fl_hosts *h, struct reading *r, const uint8_t *names, uint8_t *end)
{
	sort_names = r->names;
	if (r->n)
		qsort(r->line, r->n, sizeof *r->line, by_name_order);
	struct by_name *e = NULL;
	for (size_t i = 0; i < r->n; i++) {
		const struct line *l = &r->line[i];
		if (!e || e->hash != l->name_hash || e->len != l->len || memcmp(e->name, names + l->name, l->len)) {
			e = &h->name[h->nname++];
			*e = (struct by_name){ .hash = l->name_hash, .name = names + l->name, .len = l->len };
		}
		bool four = l->addr.len == 4;
		append(four ? &e->a : &e->aaaa, &end, four ? FL_T_A : FL_T_AAAA, r->how->ttl, l->addr.b, l->addr.len);
	}
	return end;
}

static void fill_addrs(struct fl_hosts *h, struct reading *r, const uint8_t *names, uint8_t *end)
{
	if (r->n)
		qsort(r->line, r->n, sizeof *r->line, by_addr_order);
	struct by_addr *e = NULL;
	for (size_t i = 0; i < r->n; i++) {
		const struct line *l = &r->line[i];
		if (l->wild || r->how->no_reverse)
			continue;
		if (!e || !fl_addr_eq(&e->addr, &l->addr)) {
			e = &h->addr[h->naddr++];
			*e = (struct by_addr){ .hash = l->addr_hash, .addr = l->addr };
		}
		append(&e->ptr, &end, FL_T_PTR, r->how->ttl, names + l->name, l->len);
		h->entries++;
	}
}

static void slot_in(uint32_t *slot, uint32_t mask, uint64_t hash, uint32_t i)
{
	uint32_t at = (uint32_t)hash & mask;
	while (slot[at])
		at = (at + 1) & mask;
	slot[at] = i + 1;
}

static struct fl_hosts *build(struct reading *r)
{
	size_t slots = 8, data = 0;
	while (slots < 2 * r->n)
		slots *= 2;
	for (size_t i = 0; i < r->n; i++)
		data += 2 * HEAD + r->line[i].addr.len + r->line[i].len;
	size_t bytes = sizeof(struct fl_hosts) + r->n * (sizeof(struct by_name) + sizeof(struct by_addr)) + 2 * slots * sizeof(uint32_t) +
		       r->nnames + data;
	struct fl_hosts *h = fl_xalloc(bytes);
	*h = (struct fl_hosts){ .bytes = bytes, .entries = r->n, .mask = (uint32_t)slots - 1 };
	h->name = (struct by_name *)(h + 1);
	h->addr = (struct by_addr *)(h->name + r->n);
	h->name_slot = (uint32_t *)(h->addr + r->n);
	h->addr_slot = h->name_slot + slots;
	uint8_t *names = (uint8_t *)(h->addr_slot + slots);
	if (r->nnames)
		memcpy(names, r->names, r->nnames);
	fill_addrs(h, r, names, fill_names(h, r, names, names + r->nnames));
	for (uint32_t i = 0; i < h->nname; i++)
		slot_in(h->name_slot, h->mask, h->name[i].hash, i);
	for (uint32_t i = 0; i < h->naddr; i++)
		slot_in(h->addr_slot, h->mask, h->addr[i].hash, i);
	return h;
}

struct fl_hosts *fl_hosts_parse(struct fl_str text, const struct fl_hosts_how *how)
{
	struct reading r = { .how = how };
	for (unsigned number = 1; text.n; number++) {
		struct fl_str line;
		text = fl_str_cut(text, '\n', &line);
		read_line(&r, line, number);
	}
	struct fl_hosts *h = build(&r);
	h->lines = r.lines;
	free(r.line);
	free(r.names);
	return h;
}

size_t fl_hosts_bytes(const struct fl_hosts *h) { return h->bytes; }
size_t fl_hosts_entries(const struct fl_hosts *h) { return h->entries; }
struct fl_hosts_lines fl_hosts_lines(const struct fl_hosts *h) { return h->lines; }

/* ---- looking up ---- */

static const struct by_name *find(const struct fl_hosts *h, struct fl_name n)
{
	uint64_t hash = fl_name_hash(n);
	for (uint32_t at = (uint32_t)hash & h->mask; h->name_slot[at]; at = (at + 1) & h->mask) {
		const struct by_name *e = &h->name[h->name_slot[at] - 1];
		if (e->hash == hash && fl_name_eq((struct fl_name){ e->name, e->len }, n))
			return e;
	}
	return NULL;
}

void fl_hosts_name(const struct fl_hosts *h, struct fl_name n, const struct fl_rrset **a, const struct fl_rrset **aaaa)
{
	const struct by_name *e = find(h, n), *w = NULL;
	if (!(e && e->a.count && e->aaaa.count) && fl_name_labels(n) > 1) {
		uint8_t to[FL_NAME_MAX];
		struct fl_name wild = fl_name_join(to, (struct fl_name){ (const uint8_t *)"\1*", 3 }, fl_name_parent(n));
		w = wild.len ? find(h, wild) : NULL;
	}
	*a = e && e->a.count ? &e->a : w && w->a.count ? &w->a : NULL;
	*aaaa = e && e->aaaa.count ? &e->aaaa : w && w->aaaa.count ? &w->aaaa : NULL;
}

const struct fl_rrset *fl_hosts_addr(const struct fl_hosts *h, const struct fl_addr *addr)
{
	uint64_t hash = fl_hash(addr->b, addr->len);
	for (uint32_t at = (uint32_t)hash & h->mask; h->addr_slot[at]; at = (at + 1) & h->mask) {
		const struct by_addr *e = &h->addr[h->addr_slot[at] - 1];
		if (e->hash == hash && fl_addr_eq(&e->addr, addr))
			return &e->ptr;
	}
	return NULL;
}

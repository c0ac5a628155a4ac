#include "pod/words.h"
#include "pod/resolv.h"

/* Octets of the white space that begins at p; 0: it is none. (Go's unicode.IsSpace) */
static size_t space(const uint8_t *p, size_t n)
{
	if (n && (*p == ' ' || (*p >= '\t' && *p <= '\r')))
		return 1;
	if (n >= 2 && p[0] == 0xc2 && (p[1] == 0x85 || p[1] == 0xa0))
		return 2;
	if (n < 3)
		return 0;
	unsigned c = (p[0] & 0xf0u) == 0xe0 && (p[1] & 0xc0u) == 0x80 && (p[2] & 0xc0u) == 0x80
			 ? (p[0] & 15u) << 12 | (p[1] & 63u) << 6 | (p[2] & 63u) : 0;
	return c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000 ? 3 : 0;
}

struct fl_str fl_word(struct fl_str *rest)
{
	const uint8_t *p = (const uint8_t *)rest->p, *end = p + rest->n;
	size_t k;
	while ((k = space(p, (size_t)(end - p))))
		p += k;
	const uint8_t *from = p;
	while (p < end && !space(p, (size_t)(end - p)))
		p++;
	*rest = (struct fl_str){ (const char *)p, (size_t)(end - p) };
	return (struct fl_str){ (const char *)from, (size_t)(p - from) };
}

void fl_words_add(struct fl_arena *a, struct fl_words *w, struct fl_str s)
{
	if (w->n == w->cap) {
		struct fl_str *more = fl_alloc(a, (2 * w->cap + 8) * sizeof *more);
		fl_put_bytes(more, w->at, w->n * sizeof *more);
		w->at = more;
		w->cap = 2 * w->cap + 8;
	}
	w->at[w->n++] = s;
}

struct fl_str fl_words_join(struct fl_arena *a, const struct fl_words *w, const char *between)
{
	size_t n = 0, gap = strlen(between);
	for (unsigned i = 0; i < w->n; i++)
		n += w->at[i].n + gap;
	char *to = fl_alloc(a, n + 1), *end = to;
	for (unsigned i = 0; i < w->n; i++) {
		end = i ? fl_put_bytes(end, between, gap) : end;
		end = fl_put_bytes(end, w->at[i].p, w->at[i].n);
	}
	*end = 0;
	return (struct fl_str){ to, (size_t)(end - to) };
}

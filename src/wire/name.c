#include "wire/name.h"
#include "base/fold.h"
#include "base/rng.h"
#include <errno.h>

bool fl_name_same(const uint8_t *a, const uint8_t *b, size_t n) { return fl_same_folded(a, b, n); }

bool fl_name_under(struct fl_name n, struct fl_name zone)
{
	if (!zone.len || n.len < zone.len)
		return false;
	unsigned at = n.len - (unsigned)zone.len, o = 0;
	if (!fl_same_folded(n.wire + at, zone.wire, zone.len))
		return false;
	if (zone.len == 1)
		return true;
	while (o < at)                  /* a label may hold what looks like the zone's first one */
		o += n.wire[o] + 1u;
	return o == at;
}

unsigned fl_name_labels(struct fl_name n)
{
	unsigned labels = 0;
	for (unsigned o = 0; o + 1 < n.len; o += n.wire[o] + 1u)
		labels++;
	return labels;
}

struct fl_name fl_name_skip(struct fl_name n, unsigned labels)
{
	unsigned o = 0;
	while (labels-- && o + 1 < n.len)
		o += n.wire[o] + 1u;
	return (struct fl_name){ n.wire + o, (uint8_t)(n.len - o) };
}

struct fl_str fl_name_label(struct fl_name n, unsigned i)
{
	n = fl_name_skip(n, i);
	return n.len > 1 ? (struct fl_str){ (const char *)n.wire + 1, n.wire[0] } : (struct fl_str){ NULL, 0 };
}

/* Offsets of the labels; returns how many there are. */
static unsigned label_offsets(uint8_t at[128], struct fl_name n)
{
	unsigned labels = 0;
	for (unsigned o = 0; o + 1 < n.len; o += n.wire[o] + 1u)
		at[labels++] = (uint8_t)o;
	return labels;
}

static int label_cmp(const uint8_t *a, const uint8_t *b)
{
	unsigned n = *a < *b ? *a : *b;
	for (unsigned i = 1; i <= n; i++) {
		int d = fl_lower(a[i]) - fl_lower(b[i]);
		if (d)
			return d;
	}
	return *a - *b;
}

int fl_name_cmp(struct fl_name a, struct fl_name b)
{
	uint8_t at_a[128], at_b[128];
	unsigned na = label_offsets(at_a, a), nb = label_offsets(at_b, b);
	while (na && nb) {
		int d = label_cmp(a.wire + at_a[--na], b.wire + at_b[--nb]);
		if (d)
			return d;
	}
	return (int)na - (int)nb;
}

uint64_t fl_name_hash(struct fl_name n)
{
	return fl_hash_fold(n.wire, n.len);
}

struct fl_name fl_name_lower(uint8_t *to, struct fl_name n)
{
	size_t i = 0;
	for (; i + 8 <= n.len; i += 8) {
		uint64_t v = fl_fold8(fl_load8(n.wire + i));
		memcpy(to + i, &v, 8);
	}
	for (; i < n.len; i++)
		to[i] = fl_lower(n.wire[i]);
	return (struct fl_name){ to, n.len };
}

struct fl_name fl_name_join(uint8_t *to, struct fl_name front, struct fl_name zone)
{
	size_t head = front.len ? front.len - 1u : 0;
	if (head + zone.len > FL_NAME_MAX || !zone.len)
		return (struct fl_name){ to, 0 };
	memmove(to + head, zone.wire, zone.len);        /* first: zone may lie in to */
	if (head)
		memmove(to, front.wire, head);
	return (struct fl_name){ to, (uint8_t)(head + zone.len) };
}

/* ---- presentation form ---- */

static bool digit(char c) { return c >= '0' && c <= '9'; }

/* The octet at s, escaped or not; *i moves behind it. Negative: a bad escape. */
static int unescape(struct fl_str s, size_t *i)
{
	uint8_t c = (uint8_t)s.p[(*i)++];
	if (c != '\\')
		return c;
	if (*i == s.n)
		return -EINVAL;
	const char *d = s.p + *i;
	if (s.n - *i < 3 || !digit(d[0]) || !digit(d[1]) || !digit(d[2]))
		return (uint8_t)s.p[(*i)++];
	*i += 3;
	int v = (d[0] - '0') * 100 + (d[1] - '0') * 10 + (d[2] - '0');
	return v > 255 ? -EINVAL : v;
}

int fl_name_parse(uint8_t *to, struct fl_str text)
{
	if (!text.n)
		return -EINVAL;
	if (text.n == 1 && text.p[0] == '.') {
		to[0] = 0;
		return 1;
	}
	size_t label = 0, n = 1;        /* where the length of the current label stands; octets so far */
	for (size_t i = 0; i < text.n;) {
		if (text.p[i] == '.') {
			if (n == label + 1)
				return -EINVAL;
			i++;
			to[label] = (uint8_t)(n - label - 1);
			label = n++;
			continue;
		}
		int c = unescape(text, &i);
		if (c < 0 || n - label > FL_LABEL_MAX)
			return -EINVAL;
		if (n + 1 >= FL_NAME_MAX)       /* the root must still fit */
			return -ENAMETOOLONG;
		to[n++] = (uint8_t)c;
	}
	if (n > label + 1) {
		to[label] = (uint8_t)(n - label - 1);
		label = n;
	}
	to[label] = 0;
	return (int)label + 1;
}

struct fl_name fl_name_parse_in(struct fl_arena *a, struct fl_str text)
{
	uint8_t wire[FL_NAME_MAX];
	int n = fl_name_parse(wire, text);
	const uint8_t *p = n > 0 ? fl_copy(a, wire, (size_t)n) : NULL;
	return (struct fl_name){ p, p ? (uint8_t)n : 0 };
}

/* As miekg/dns escapes: what a zone file would take for something else gets a backslash, what does not print its number. */
static char *label_text(char *to, const uint8_t *p, unsigned n)
{
	for (const uint8_t *end = p + n; p < end; p++) {
		uint8_t c = *p;
		if (c < ' ' || c > '~') {
			*to++ = '\\';
			*to++ = (char)('0' + c / 100);
			*to++ = (char)('0' + c / 10 % 10);
			*to++ = (char)('0' + c % 10);
			continue;
		}
		if (memchr(". '@;()\"\\", c, 9))
			*to++ = '\\';
		*to++ = (char)c;
	}
	return to;
}

size_t fl_name_text(char *to, struct fl_name n)
{
	char *p = to;
	if (n.len == 1)
		*p++ = '.';
	for (; n.len > 1; n = fl_name_parent(n)) {
		p = label_text(p, n.wire + 1, n.wire[0]);
		*p++ = '.';
	}
	*p = 0;
	return (size_t)(p - to);
}

struct fl_str fl_name_text_in(struct fl_arena *a, struct fl_name n)
{
	char text[FL_NAME_TEXT_MAX];
	return fl_arena_str(a, (struct fl_str){ text, fl_name_text(text, n) });
}

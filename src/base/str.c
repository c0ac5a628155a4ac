#include "base/str.h"
#include "base/fold.h"
#include <errno.h>

bool fl_str_ieq(struct fl_str a, struct fl_str b)
{
	return a.n == b.n && fl_same_folded((const uint8_t *)a.p, (const uint8_t *)b.p, a.n);
}

bool fl_str_starts(struct fl_str s, struct fl_str prefix)
{
	return !prefix.n || (s.n >= prefix.n && !memcmp(s.p, prefix.p, prefix.n));
}

bool fl_str_ends(struct fl_str s, struct fl_str suffix)
{
	return !suffix.n || (s.n >= suffix.n && !memcmp(s.p + (s.n - suffix.n), suffix.p, suffix.n));
}

static bool space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

struct fl_str fl_str_trim(struct fl_str s)
{
	while (s.n && space(s.p[0]))
		s.p++, s.n--;
	while (s.n && space(s.p[s.n - 1]))
		s.n--;
	return s;
}

struct fl_str fl_str_cut(struct fl_str s, char c, struct fl_str *head)
{
	const char *at = s.n ? memchr(s.p, c, s.n) : NULL;
	*head = at ? (struct fl_str){ s.p, (size_t)(at - s.p) } : s;
	return at ? (struct fl_str){ at + 1, s.n - head->n - 1 } : (struct fl_str){ s.n ? s.p + s.n : s.p, 0 };
}

size_t fl_base64url(char *to, const void *from, size_t n)
{
	static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	const uint8_t *p = from;
	size_t at = 0;
	for (size_t bit = 0; bit < 8 * n; bit += 6) {
		unsigned two = (unsigned)p[bit / 8] << 8 | (bit / 8 + 1 < n ? p[bit / 8 + 1] : 0);
		to[at++] = digit[two >> (10 - bit % 8) & 63];
	}
	to[at] = 0;
	return at;
}

int fl_parse_int(struct fl_str s, int64_t min, int64_t max, int64_t *out)
{
	bool minus = s.n && s.p[0] == '-';
	uint64_t v = 0, top = minus ? (uint64_t)INT64_MAX + 1 : (uint64_t)INT64_MAX;
	size_t i = s.n && (s.p[0] == '-' || s.p[0] == '+');
	if (i == s.n)
		return -EINVAL;
	bool over = false;
	for (; i < s.n; i++) {
		unsigned d = (unsigned)(s.p[i] - '0');
		if (d > 9)
			return -EINVAL;
		over = over || v > (top - d) / 10;
		v = over ? v : v * 10 + d;
	}
	int64_t r = minus ? (int64_t)(0 - v) : (int64_t)v;
	if (over || r < min || r > max)
		return -ERANGE;
	*out = r;
	return 0;
}

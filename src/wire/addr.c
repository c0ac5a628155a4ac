/* addr: addresses and networks as text and as reverse names. What is an address, is what Go's net package calls one. */
#include "wire/name.h"
#include <stdio.h>

static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };
static const uint8_t in_addr[] = "\7in-addr\4arpa";
static const uint8_t ip6[] = "\3ip6\4arpa";

/* An IPv4 address in IPv6 clothes is an IPv4 address. */
static void unmap(struct fl_addr *a)
{
	if (a->len != 16 || memcmp(a->b, mapped, 12))
		return;
	memmove(a->b, a->b + 12, 4);
	memset(a->b + 4, 0, 12);
	a->len = 4;
}

static int hex_value(uint8_t c)
{
	c = fl_lower(c);
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* ---- reverse names ---- */

struct fl_name fl_name_reverse(uint8_t *to, const struct fl_addr *a)
{
	static const char hex[] = "0123456789abcdef";
	uint8_t *p = to;
	if (a->len == 4) {
		for (int i = 3; i >= 0; i--) {
			char d[4];
			int n = snprintf(d, sizeof d, "%u", a->b[i]);
			*p++ = (uint8_t)n;
			memcpy(p, d, (size_t)n);
			p += n;
		}
		memcpy(p, in_addr, sizeof in_addr);
		p += sizeof in_addr;
	} else if (a->len == 16) {
		for (int i = 15; i >= 0; i--) {
			*p++ = 1;
			*p++ = (uint8_t)hex[a->b[i] & 15];
			*p++ = 1;
			*p++ = (uint8_t)hex[a->b[i] >> 4];
		}
		memcpy(p, ip6, sizeof ip6);
		p += sizeof ip6;
	}
	return (struct fl_name){ to, (uint8_t)(p - to) };
}

/* Decimal 0-255 without leading zeros; -1. */
static int octet(const char *p, size_t n)
{
	if (!n || n > 3 || (n > 1 && p[0] == '0'))
		return -1;
	int v = 0;
	for (size_t i = 0; i < n; i++) {
		if (p[i] < '0' || p[i] > '9')
			return -1;
		v = v * 10 + (p[i] - '0');
	}
	return v > 255 ? -1 : v;
}

bool fl_name_unreverse(struct fl_name n, struct fl_addr *a)
{
	*a = (struct fl_addr){ .len = 0 };
	if (n.len == 64 + sizeof ip6 && fl_name_eq(fl_name_skip(n, 32), (struct fl_name){ ip6, sizeof ip6 })) {
		for (int i = 15; i >= 0; i--, n.wire += 4) {
			int low = hex_value(n.wire[1]), high = hex_value(n.wire[3]);
			if (n.wire[0] != 1 || n.wire[2] != 1 || low < 0 || high < 0)
				return false;
			a->b[i] = (uint8_t)(high << 4 | low);
		}
		a->len = 16;
		unmap(a);
		return true;
	}
	if (!fl_name_eq(fl_name_skip(n, 4), (struct fl_name){ in_addr, sizeof in_addr }))
		return false;
	for (int i = 3; i >= 0; i--, n = fl_name_parent(n)) {
		int v = octet((const char *)n.wire + 1, n.wire[0]);
		if (v < 0)
			return false;
		a->b[i] = (uint8_t)v;
	}
	a->len = 4;
	return true;
}

/* ---- text ---- */

static bool parse4(struct fl_str s, uint8_t *to)
{
	for (int i = 0; i < 4; i++) {
		struct fl_str head;
		bool more = s.n && memchr(s.p, '.', s.n);
		s = fl_str_cut(s, '.', &head);
		int v = octet(head.p, head.n);
		if (v < 0 || more != (i < 3))
			return false;
		to[i] = (uint8_t)v;
	}
	return true;
}

/* One group of hex digits at s.p[*i]; -1 when there is none or it is longer than four. */
static int group(struct fl_str s, size_t *i)
{
	int v = 0, digits = 0, d;
	for (; *i < s.n && (d = hex_value((uint8_t)s.p[*i])) >= 0; ++*i, digits++) {
		if (digits == 4)
			return -1;
		v = v << 4 | d;
	}
	return digits ? v : -1;
}

static bool parse6(struct fl_str s, uint8_t *to)
{
	size_t i = 0;
	int n = 0, gap = -1;
	if (s.n >= 2 && s.p[0] == ':' && s.p[1] == ':') {
		gap = 0;
		i = 2;
	}
	while (i < s.n && n < 16) {
		size_t start = i;
		int v = group(s, &i);
		if (v < 0)
			return false;
		if (i < s.n && s.p[i] == '.') {         /* the last four octets as IPv4 */
			if (n > 12 || (gap < 0 && n != 12) || !parse4((struct fl_str){ s.p + start, s.n - start }, to + n))
				return false;
			n += 4;
			i = s.n;
			break;
		}
		to[n++] = (uint8_t)(v >> 8);
		to[n++] = (uint8_t)v;
		if (i == s.n)
			break;
		if (s.p[i++] != ':' || i == s.n)
			return false;
		if (s.p[i] == ':') {
			if (gap >= 0)
				return false;
			gap = n;
			i++;
		}
	}
	if (i != s.n || (gap < 0) != (n == 16))
		return false;
	if (gap >= 0) {
		memmove(to + gap + 16 - n, to + gap, (size_t)(n - gap));
		memset(to + gap, 0, (size_t)(16 - n));
	}
	return true;
}

/* As written: IPv4 in IPv6 stays 16 octets. */
static bool parse(struct fl_str text, struct fl_addr *a)
{
	*a = (struct fl_addr){ .len = 0 };
	bool six = text.n && memchr(text.p, ':', text.n);
	if (!(six ? parse6(text, a->b) : parse4(text, a->b)))
		return false;
	a->len = six ? 16 : 4;
	return true;
}

bool fl_addr_parse(struct fl_str text, struct fl_addr *a)
{
	bool ok = parse(text, a);
	unmap(a);
	return ok;
}

static size_t text4(char *to, const uint8_t *b)
{
	return (size_t)snprintf(to, 16, "%u.%u.%u.%u", b[0], b[1], b[2], b[3]);
}

size_t fl_addr_text(char *to, const struct fl_addr *a)
{
	*to = 0;
	if (a->len == 4)
		return text4(to, a->b);
	if (a->len != 16)
		return 0;
	if (!memcmp(a->b, mapped, 12)) {
		memcpy(to, "::ffff:", 7);
		return 7 + text4(to + 7, a->b + 12);
	}
	unsigned g[8], run = 0, best = 8, best_n = 1;   /* a single zero is not worth a :: */
	for (unsigned i = 0; i < 8; i++) {
		g[i] = (unsigned)a->b[2 * i] << 8 | a->b[2 * i + 1];
		run = g[i] ? 0 : run + 1;
		if (run > best_n) {
			best_n = run;
			best = i + 1 - run;
		}
	}
	char *p = to;
	for (unsigned i = 0; i < 8; i++) {
		if (i == best) {
			*p++ = ':';
			*p++ = ':';
			i += best_n - 1;
			continue;
		}
		p += snprintf(p, 6, i && p[-1] != ':' ? ":%x" : "%x", g[i]);
	}
	*p = 0;
	return (size_t)(p - to);
}

bool fl_addr_eq(const struct fl_addr *a, const struct fl_addr *b)
{
	return a->len == b->len && !memcmp(a->b, b->b, a->len);
}

/* ---- networks ---- */

bool fl_net_parse(struct fl_str text, struct fl_net *n)
{
	struct fl_str head;
	struct fl_str tail = fl_str_cut(text, '/', &head);
	int64_t bits;
	*n = (struct fl_net){ .bits = 0 };
	if (head.n == text.n || !tail.n || tail.p[0] == '+' || tail.p[0] == '-')
		return false;
	if (!parse(head, &n->addr) || fl_parse_int(tail, 0, n->addr.len * 8, &bits))
		return false;
	if (n->addr.len == 16 && bits >= 96) {
		unmap(&n->addr);
		bits -= n->addr.len == 4 ? 96 : 0;
	}
	n->bits = (uint8_t)bits;
	for (unsigned i = 0; i < n->addr.len; i++) {
		int keep = (int)bits - (int)i * 8;
		if (keep < 8)
			n->addr.b[i] &= keep <= 0 ? 0 : (uint8_t)(0xff00 >> keep);
	}
	return true;
}

bool fl_net_has(const struct fl_net *n, const struct fl_addr *a)
{
	if (!a->len || n->addr.len != a->len || memcmp(n->addr.b, a->b, n->bits / 8))
		return false;
	unsigned rest = n->bits % 8;
	return !rest || !((n->addr.b[n->bits / 8] ^ a->b[n->bits / 8]) >> (8 - rest));
}

#include "base/duration.h"
#include <stdio.h>

#define TOP ((uint64_t)1 << 63)

static const struct unit { const char *name; uint64_t ns; } units[] = {
	{ "ns", 1 }, { "us", 1000 }, { "\xC2\xB5s", 1000 }, { "\xCE\xBCs", 1000 }, { "ms", 1000000 }, { "s", 1000000000 },
	{ "m", 60000000000 }, { "h", 3600000000000 },
};

/* Go quotes durations in its own way: whatever is no plain ASCII as bytes. */
static const char *quote(char to[300], struct fl_str s)
{
	static const char hex[] = "0123456789abcdef";
	size_t k = 0;
	to[k++] = '"';
	for (size_t i = 0; i < s.n && k < 290; i++) {
		uint8_t c = (uint8_t)s.p[i];
		if (c >= 0x80 || c < ' ') {
			memcpy(to + k, (char[]){ '\\', 'x', hex[c >> 4], hex[c & 15] }, 4);
			k += 4;
			continue;
		}
		if (c == '"' || c == '\\')
			to[k++] = '\\';
		to[k++] = (char)c;
	}
	to[k++] = '"';
	to[k] = 0;
	return to;
}

static bool digit(struct fl_str s) { return s.n && s.p[0] >= '0' && s.p[0] <= '9'; }

/* Digits from the start of *s; false when they exceed 2^63. */
static bool whole(struct fl_str *s, uint64_t *v)
{
	for (*v = 0; digit(*s); s->p++, s->n--) {
		if (*v > TOP / 10)
			return false;
		*v = *v * 10 + (uint64_t)(s->p[0] - '0');
		if (*v > TOP)
			return false;
	}
	return true;
}

/* Digits behind the point: *v / *scale; those that no longer fit are dropped. */
static void fraction(struct fl_str *s, uint64_t *v, double *scale)
{
	bool full = false;
	*v = 0;
	*scale = 1;
	for (; digit(*s); s->p++, s->n--) {
		full = full || *v > (TOP - 1) / 10;
		uint64_t next = *v * 10 + (uint64_t)(s->p[0] - '0');
		full = full || next > TOP;
		if (full)
			continue;
		*v = next;
		*scale *= 10;
	}
}

static int invalid(struct fl_err *e, const char *what, struct fl_str s)
{
	char q[300];
	return fl_err_set(e, "time: %s %s", what, quote(q, s));
}

/* One number with its unit, taken from the start of *s and added to *sum. */
static int part(struct fl_str *s, uint64_t *sum, struct fl_str all, struct fl_err *e)
{
	uint64_t v, f = 0;
	double scale = 1;
	size_t before = s->n, digits;
	if (!whole(s, &v))
		return invalid(e, "invalid duration", all);
	digits = before - s->n;
	if (s->n && s->p[0] == '.') {
		s->p++, s->n--;
		before = s->n;
		fraction(s, &f, &scale);
		digits += before - s->n;
	}
	if (!digits)
		return invalid(e, "invalid duration", all);
	struct fl_str unit = { s->p, 0 };
	for (; s->n && !digit(*s) && s->p[0] != '.'; s->p++, s->n--)
		unit.n++;
	if (!unit.n)
		return invalid(e, "missing unit in duration", all);
	const struct unit *u = units;
	while (u < units + FL_COUNT(units) && !fl_str_is(unit, u->name))
		u++;
	if (u == units + FL_COUNT(units)) {
		char q[300], what[400];
		snprintf(what, sizeof what, "unknown unit %s in duration", quote(q, unit));
		return invalid(e, what, all);
	}
	if (v > TOP / u->ns)
		return invalid(e, "invalid duration", all);
	v = v * u->ns + (uint64_t)((double)f * ((double)u->ns / scale));
	if (v > TOP || (*sum += v) > TOP)
		return invalid(e, "invalid duration", all);
	return 0;
}

int fl_duration_parse(struct fl_str s, int64_t *ns, struct fl_err *e)
{
	struct fl_str all = s;
	uint64_t sum = 0;
	bool minus = s.n && s.p[0] == '-';
	if (s.n && (s.p[0] == '-' || s.p[0] == '+'))
		s.p++, s.n--;
	if (!s.n)
		return invalid(e, "invalid duration", all);
	if (fl_str_is(s, "0"))
		s.n = 0;                /* only a lone zero goes without a unit */
	while (s.n) {
		int ret = part(&s, &sum, all, e);
		if (ret)
			return ret;
	}
	if (!minus && sum == TOP)
		return invalid(e, "invalid duration", all);
	*ns = (int64_t)(minus ? 0 - sum : sum);
	return 0;
}

/* u / 10^digits without zeros at the end. */
static int decimal(char to[32], uint64_t u, int digits)
{
	uint64_t one = 1;
	for (int i = 0; i < digits; i++)
		one *= 10;
	int n = snprintf(to, 32, "%llu", (unsigned long long)(u / one));
	if (!(u % one))
		return n;
	n += snprintf(to + n, 32 - (size_t)n, ".%0*llu", digits, (unsigned long long)(u % one));
	while (to[n - 1] == '0')
		n--;
	to[n] = 0;
	return n;
}

size_t fl_duration_text(char *to, int64_t ns)
{
	uint64_t u = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
	const char *minus = ns < 0 ? "-" : "";
	char d[32];
	int n;
	if (u < 1000000000) {
		int digits = u < 1000 ? 0 : u < 1000000 ? 3 : 6;
		const char *unit = !u ? "s" : u < 1000 ? "ns" : u < 1000000 ? "\xC2\xB5s" : "ms";
		decimal(d, u, digits);
		n = snprintf(to, 32, "%s%s%s", minus, d, unit);
	} else {
		uint64_t minutes = u / 60000000000, hours = minutes / 60;
		decimal(d, u % 60000000000, 9);
		if (hours)
			n = snprintf(to, 32, "%s%lluh%um%ss", minus, (unsigned long long)hours, (unsigned)(minutes % 60), d);
		else if (minutes)
			n = snprintf(to, 32, "%s%um%ss", minus, (unsigned)minutes, d);
		else
			n = snprintf(to, 32, "%s%ss", minus, d);
	}
	return (size_t)n;
}

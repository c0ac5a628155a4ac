#include "base/scalar.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static bool one_of(const char *s, const char *const *words)
{
	for (; *words; words++)
		if (!strcmp(s, *words))
			return true;
	return false;
}

static bool all_in(const char *s, const char *set) { return *s && !s[strspn(s, set)]; }

/* As Go's ParseInt(s, 0, 64): decimal, 0x, 0o or 0, 0b. */
static bool integer(const char *s, double *v)
{
	const char *digits = s + (*s == '-' || *s == '+');
	int base = 10;
	if (digits[0] == '0' && digits[1]) {
		char c = digits[1] | 0x20;
		base = c == 'x' ? 16 : c == 'b' ? 2 : 8;
		digits += c == 'x' || c == 'b' || c == 'o' ? 2 : 1;
	}
	static const char set[] = "0123456789abcdefABCDEF";
	char some[24];
	snprintf(some, sizeof some, "%.*s", base == 16 ? 22 : base, set);
	if (!all_in(digits, some))
		return false;
	errno = 0;
	unsigned long long u = strtoull(digits, NULL, base);
	if (errno)
		return false;
	*v = *s == '-' ? -(double)u : (double)u;
	return true;
}

/* [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)? */
static bool real(const char *s, double *v)
{
	const char *p = s + (*s == '-' || *s == '+');
	size_t whole = strspn(p, "0123456789"), part = 0;
	p += whole;
	if (*p == '.')
		p += 1 + (part = strspn(p + 1, "0123456789"));
	if (!whole && !part)
		return false;
	if (*p == 'e' || *p == 'E') {
		p += 1 + (p[1] == '-' || p[1] == '+');
		size_t n = strspn(p, "0123456789");
		if (!n)
			return false;
		p += n;
	}
	*v = strtod(s, NULL);
	return !*p && isfinite(*v);
}

static enum fl_scalar number(const char *s, double *v)
{
	char plain[64];
	size_t k = 0;
	if (!strchr("0123456789+-.", *s) || strlen(s) >= sizeof plain)
		return FL_SCALAR_TEXT;
	for (; *s; s++)
		if (*s != '_')                  /* 1_000 */
			plain[k++] = *s;
	plain[k] = 0;
	return integer(plain, v) ? FL_SCALAR_INT : real(plain, v) ? FL_SCALAR_FLOAT : FL_SCALAR_TEXT;
}

enum fl_scalar fl_scalar_of(const char *s, double *v)
{
	static const char *const yes[] = { "true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON", "y", "Y", NULL };
	static const char *const no[] = { "false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF", "n", "N", NULL };
	static const char *const null[] = { "", "~", "null", "Null", "NULL", NULL };
	static const char *const endless[] = { ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF", "-.inf", "-.Inf", "-.INF",
					       ".nan", ".NaN", ".NAN", NULL };
	*v = 0;
	if (!*s)
		return FL_SCALAR_NULL;
	if (strchr("~nNtTfFyYoO.+-", *s) && strnlen(s, 6) <= 5) {
		if (one_of(s, null))
			return FL_SCALAR_NULL;
		if (one_of(s, yes))
			return *v = 1, FL_SCALAR_TRUE;
		if (one_of(s, no))
			return FL_SCALAR_FALSE;
		if (one_of(s, endless))
			return FL_SCALAR_ENDLESS;
	}
	return number(s, v);
}

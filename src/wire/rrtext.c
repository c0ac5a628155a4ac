/* rrtext: rdata as text, in miekg/dns's words. */
#include "wire/lex.h"
#include "wire/rdata.h"
#include "wire/text.h"
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

void fl_text_put(struct fl_text_out *o, const char *s, size_t n)
{
	size_t room = o->cap - o->n;
	n = n < room ? n : room;
	if (n)
		memcpy(o->p + o->n, s, n);
	o->n += n;
}

void fl_text_printf(struct fl_text_out *o, const char *fmt, ...)
{
	char buf[FL_NAME_TEXT_MAX + 1];
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(buf, sizeof buf, fmt, ap);
	va_end(ap);
	fl_text_put(o, buf, (size_t)n < sizeof buf ? (size_t)n : sizeof buf - 1);
}

void fl_text_escaped(struct fl_text_out *o, const uint8_t *p, size_t n)
{
	for (; n; p++, n--)
		fl_text_printf(o, *p < ' ' || *p > '~' ? "\\%03u" : *p == '"' || *p == '\\' ? "\\%c" : "%c", *p);
}

static void quoted(struct fl_text_out *o, const uint8_t *p, size_t n)
{
	fl_text_put(o, "\"", 1);
	fl_text_escaped(o, p, n);
	fl_text_put(o, "\"", 1);
}

/* As one token without quotes: what would end it is escaped, so that it reads back (miekg/dns writes it as it is). */
static void bare(struct fl_text_out *o, const uint8_t *p, size_t n)
{
	for (; n; p++, n--)
		if (memchr(" ;()", *p, 4))
			fl_text_printf(o, "\\%03u", *p);
		else
			fl_text_escaped(o, p, 1);
}

static void hex(struct fl_text_out *o, const uint8_t *p, size_t n, bool upper)
{
	for (; n; p++, n--)
		fl_text_printf(o, upper ? "%02X" : "%02x", *p);
}

void fl_text_base64(struct fl_text_out *o, const uint8_t *p, size_t n)
{
	static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	for (size_t i = 0; i < n; i += 3) {
		uint32_t v = (uint32_t)p[i] << 16 | (i + 1 < n ? p[i + 1] << 8 : 0) | (i + 2 < n ? p[i + 2] : 0);
		char four[4] = { set[v >> 18], set[v >> 12 & 63], set[v >> 6 & 63], set[v & 63] };
		memset(four + 4 - (n - i == 1 ? 2 : n - i == 2), '=', n - i == 1 ? 2 : n - i == 2);
		fl_text_put(o, four, 4);
	}
}

static void base32(struct fl_text_out *o, const uint8_t *p, size_t n)
{
	static const char set[] = "0123456789ABCDEFGHIJKLMNOPQRSTUV";
	uint32_t v = 0;
	unsigned bits = 0;
	for (size_t i = 0; i < n; i++) {
		v = v << 8 | p[i];
		for (bits += 8; bits >= 5; bits -= 5)
			fl_text_put(o, &set[v >> (bits - 5) & 31], 1);
	}
	if (bits)
		fl_text_put(o, &set[v << (5 - bits) & 31], 1);
}

static void type_text(struct fl_text_out *o, uint16_t type)
{
	char to[16];
	fl_text_put(o, to, fl_type_text(to, type));
}

static void bitmap(struct fl_text_out *o, const uint8_t *p, size_t n)
{
	bool first = true;
	for (size_t at = 0; at < n; at += 2u + p[at + 1])
		for (unsigned i = 0; i < 8u * p[at + 1]; i++) {
			if (!(p[at + 2 + i / 8] & 0x80 >> i % 8))
				continue;
			if (!first)
				fl_text_put(o, " ", 1);
			first = false;
			type_text(o, (uint16_t)(p[at] << 8 | i));
		}
}

static void address(struct fl_text_out *o, const uint8_t *p, uint8_t len)
{
	char to[46];
	struct fl_addr a = { .len = len };
	memcpy(a.b, p, len);
	fl_text_put(o, to, fl_addr_text(to, &a));
}

static void date(struct fl_text_out *o, uint32_t t)
{
	time_t s = t;
	struct tm tm;
	gmtime_r(&s, &tm);
	fl_text_printf(o, "%04d%02d%02d%02d%02d%02d", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
		tm.tm_sec);
}

static void strings(struct fl_text_out *o, const uint8_t *p, size_t n)
{
	for (size_t at = 0; at < n; at += p[at] + 1u) {
		if (at)
			fl_text_put(o, " ", 1);
		quoted(o, p + at + 1, p[at]);
	}
}

static void field(struct fl_text_out *o, uint16_t type, char kind, const uint8_t *p, size_t n)
{
	bool lower = type == 52 || type == 53 || type == 63;    /* TLSA SMIMEA ZONEMD; the others are in capitals */
	switch (kind) {
	case '1': fl_text_printf(o, "%u", *p); break;
	case '2': fl_text_printf(o, "%u", fl_get16(p)); break;
	case '4': case 'U': fl_text_printf(o, "%u", fl_get32(p)); break;
	case 'A': address(o, p, 4); break;
	case 'Q': address(o, p, 16); break;
	case 'T': type_text(o, fl_get16(p)); break;
	case 'D': date(o, fl_get32(p)); break;
	case 's': quoted(o, p + 1, *p); break;
	case 'g': bare(o, p + 1, *p); break;
	case 't': strings(o, p, n); break;
	case 'o': quoted(o, p, n); break;
	case 'b': fl_text_base64(o, p, n); break;
	case 'h': hex(o, p, n, !lower); break;
	case 'C': base32(o, p + 1, *p); break;
	case 'B': bitmap(o, p, n); break;
	case 'S': fl_svcb_text(o, p, n); break;
	case 'H':
		if (*p)
			hex(o, p + 1, *p, true);
		else
			fl_text_put(o, "-", 1);
		break;
	default: fl_assert(!"a field without text");
	}
}

static bool fields(struct fl_text_out *o, uint16_t type, const uint8_t *rdata, size_t n)
{
	char name[FL_NAME_TEXT_MAX];
	size_t at = 0;
	for (const char *f = fl_rdata_fields(type); *f; f++) {
		bool is_name = rdata_is_name(*f);
		int len = is_name ? (int)fl_name_check(rdata + at, n - at) : fl_rdata_field(*f, rdata + at, n - at);
		if (len < is_name)
			return false;
		if (at && len)
			fl_text_put(o, " ", 1);
		if (is_name)
			fl_text_put(o, name, fl_name_text(name, (struct fl_name){ rdata + at, (uint8_t)len }));
		else
			field(o, type, *f, rdata + at, (size_t)len);
		at += (size_t)len;
	}
	return at == n;
}

size_t fl_rdata_text(char *to, size_t cap, uint16_t type, const uint8_t *rdata, size_t n)
{
	if (!cap)
		return 0;
	struct fl_text_out o = { .p = to, .cap = cap - 1 };
	if (!fl_rdata_has_text(type) || !fields(&o, type, rdata, n)) {
		o.n = 0;
		fl_text_printf(&o, n ? "\\# %zu " : "\\# %zu", n);
		hex(&o, rdata, n, false);
	}
	to[o.n] = 0;
	return o.n;
}

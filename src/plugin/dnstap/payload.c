/* payload.c: dnstap.proto in octets, written by hand: three messages deep, a dozen fields, in the order of their numbers as Go's encoder has
 * them. And the control frames of Frame Streams (farsightsec/fstrm, fstrm/control.h). */
#include "plugin/dnstap/dnstap.h"
#include <errno.h>

static const char content[] = "protobuf:dnstap.Dnstap";

/* ---- protobuf ---- */

struct put { uint8_t *p; size_t n; };   /* p NULL: only counts */

static void octets(struct put *o, const void *from, size_t n)
{
	if (o->p)
		fl_put_bytes(o->p + o->n, from, n);
	o->n += n;
}

static void varint(struct put *o, uint64_t v)
{
	uint8_t b[10];
	size_t n = 0;
	for (; v > 0x7f; v >>= 7)
		b[n++] = (uint8_t)(v | 0x80);
	b[n++] = (uint8_t)v;
	octets(o, b, n);
}

enum { VARINT, BYTES = 2, FIXED32 = 5 };
static void tag(struct put *o, unsigned field, unsigned kind) { varint(o, field << 3 | kind); }

static void number(struct put *o, unsigned field, uint64_t v)
{
	tag(o, field, VARINT);
	varint(o, v);
}

static void bytes(struct put *o, unsigned field, const void *p, size_t n)
{
	tag(o, field, BYTES);
	varint(o, n);
	octets(o, p, n);
}

static void stamp(struct put *o, unsigned field, uint64_t ns)
{
	uint32_t part = (uint32_t)(ns % FL_SEC);
	uint8_t b[4] = { (uint8_t)part, (uint8_t)(part >> 8), (uint8_t)(part >> 16), (uint8_t)(part >> 24) };
	number(o, field, ns / FL_SEC);
	tag(o, field + 1, FIXED32);
	octets(o, b, sizeof b);
}

static void message(struct put *o, const struct dnstap_event *ev)
{
	const struct fl_addr *any = ev->from.len ? &ev->from : &ev->to;
	number(o, 1, ev->type);
	if (any->len) {
		number(o, 2, any->len == 4 ? 1 : 2);
		number(o, 3, ev->tcp ? 2 : 1);
	}
	if (ev->from.len)
		bytes(o, 4, ev->from.b, ev->from.len);
	if (ev->to.len)
		bytes(o, 5, ev->to.b, ev->to.len);
	if (ev->from.len)
		number(o, 6, ev->from_port);
	if (ev->to.len)
		number(o, 7, ev->to_port);
	if (ev->query_ns)
		stamp(o, 8, ev->query_ns);
	if (ev->msg && ev->type & 1)
		bytes(o, 10, ev->msg, ev->nmsg);
	if (ev->response_ns)
		stamp(o, 12, ev->response_ns);
	if (ev->msg && !(ev->type & 1))
		bytes(o, 14, ev->msg, ev->nmsg);
}

size_t fl_dnstap_frame(uint8_t *to, const struct dnstap_who *who, const struct dnstap_event *ev)
{
	struct put o = { to, 4 }, inner = { NULL, 0 };
	message(&inner, ev);
	if (who->identity.n)
		bytes(&o, 1, who->identity.p, who->identity.n);
	if (who->version.n)
		bytes(&o, 2, who->version.p, who->version.n);
	if (ev->extra.p)
		bytes(&o, 3, ev->extra.p, ev->extra.n);
	tag(&o, 14, BYTES);
	varint(&o, inner.n);
	message(&o, ev);
	number(&o, 15, 1);
	if (to)
		fl_put32(to, (uint32_t)(o.n - 4));
	return o.n;
}

/* ---- Frame Streams ---- */

enum { CONTENT_TYPE = 1, HEAD = 8 };

size_t fl_dnstap_control(uint8_t to[64], uint32_t type)
{
	bool typed = type == FSTRM_READY || type == FSTRM_START;
	size_t n = 4 + (typed ? 8 + sizeof content - 1 : 0);
	fl_put32(to, 0);
	fl_put32(to + 4, (uint32_t)n);
	fl_put32(to + 8, type);
	if (typed) {
		fl_put32(to + 12, CONTENT_TYPE);
		fl_put32(to + 16, sizeof content - 1);
		memcpy(to + 20, content, sizeof content - 1);
	}
	return HEAD + n;
}

/* Of several content types ours must be one; where none is named any will do. */
static bool fits(const uint8_t *p, size_t n)
{
	bool any = false;
	while (n >= 8) {
		uint32_t len = fl_get32(p + 4);
		if (fl_get32(p) != CONTENT_TYPE || len > n - 8)
			return false;
		any = true;
		if (len == sizeof content - 1 && !memcmp(p + 8, content, len))
			return true;
		p += 8 + len;
		n -= 8 + len;
	}
	return !any && !n;
}

int fl_dnstap_control_read(const uint8_t *p, size_t n, uint32_t *type)
{
	if ((n >= 4 && fl_get32(p)) || (n >= HEAD && (fl_get32(p + 4) < 4 || fl_get32(p + 4) > FSTRM_CONTROL_MAX)))
		return -EPROTO;
	if (n < HEAD || n - HEAD < fl_get32(p + 4))
		return 0;
	uint32_t len = fl_get32(p + 4);
	*type = fl_get32(p + HEAD);
	return fits(p + HEAD + 4, len - 4) ? (int)(HEAD + len) : -EPROTO;
}

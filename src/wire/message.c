#include "wire/message.h"
#include "wire/rdata.h"
#include <errno.h>

enum { RR_HEAD = 10 };

int fl_name_expand(uint8_t *to, const uint8_t *msg, size_t n, size_t *at)
{
	size_t o = *at, len = 0, start = o;     /* start: of the labels being read; pointers lead only before it */
	bool jumped = false;
	for (unsigned hops = 0; o < n;) {
		unsigned c = msg[o];
		if (c <= FL_LABEL_MAX) {
			if (n - o < c + 1u || len + c + 1 > FL_NAME_MAX)
				return -EBADMSG;
			memcpy(to + len, msg + o, c + 1u);
			len += c + 1;
			o += c + 1;
			if (c)
				continue;
			if (!jumped)
				*at = o;
			return (int)len;
		}
		if (c < 0xc0 || n - o < 2 || ++hops > 128)
			return -EBADMSG;
		if (!jumped)
			*at = o + 2;
		jumped = true;
		o = fl_get16(msg + o) & 0x3fff;
		if (o >= start || o < FL_HEADER)
			return -EBADMSG;
		start = o;
	}
	return -EBADMSG;
}

struct fl_edns *fl_edns_parse(struct fl_arena *a, const uint8_t *data, size_t n)
{
	if (!n || fl_rdata_field('O', data, n) < 0)
		return NULL;
	struct fl_edns *first = NULL, **last = &first;
	const uint8_t *copy = fl_copy(a, data, n);
	for (size_t at = 0; copy && at < n;) {
		struct fl_edns *o = fl_alloc(a, sizeof *o);
		if (!o)
			return NULL;
		*o = (struct fl_edns){ .code = fl_get16(copy + at), .len = fl_get16(copy + at + 2), .data = copy + at + 4 };
		at += 4u + o->len;
		*last = o;
		last = &o->next;
	}
	return first;
}

/* ---- a whole message ---- */

struct reader {
	struct fl_message *m;
	struct fl_arena *a;
	const uint8_t *msg;
	size_t n, at;
	struct fl_rrset_maker set;      /* of the newest item, while `open` */
	bool open;
	unsigned cap;
};

/* A record's fixed part; owner stands in the reader's caller. */
struct head { uint16_t type, class; uint32_t ttl; size_t rdata, end; uint8_t section; };

static int set_close(struct reader *r)
{
	if (!r->open)
		return 0;
	r->open = false;
	r->m->item[r->m->n - 1].set = fl_rrset_end(&r->set);
	return r->m->item[r->m->n - 1].set ? 0 : -ENOMEM;
}

static int set_open(struct reader *r, struct fl_name owner, const struct head *h)
{
	struct fl_message *m = r->m;
	if (set_close(r))
		return -ENOMEM;
	if (m->n == r->cap) {
		r->cap = r->cap ? 2 * r->cap : 8;
		struct fl_item *more = fl_alloc(r->a, r->cap * sizeof *more);
		if (!more)
			return -ENOMEM;
		if (m->n)
			memcpy(more, m->item, m->n * sizeof *more);
		m->item = more;
	}
	/* An owner that is the question, letter by letter, is the question. */
	bool same = owner.len == m->qname.len && !memcmp(owner.wire, m->qname.wire, owner.len);
	const uint8_t *wire = same ? m->qname.wire : fl_copy(r->a, owner.wire, owner.len);
	if (!wire)
		return -ENOMEM;
	m->item[m->n++] = (struct fl_item){ .owner = { wire, owner.len }, .ttl_max = UINT32_MAX, .section = h->section };
	fl_rrset_begin(&r->set, r->a, h->type, h->class, RR_HEAD + h->end - h->rdata);
	r->open = true;
	return 0;
}

static bool joins(const struct reader *r, struct fl_name owner, const struct head *h)
{
	if (!r->open || r->set.type != h->type || r->set.class != h->class)
		return false;
	const struct fl_item *it = &r->m->item[r->m->n - 1];
	return it->section == h->section && fl_name_eq(it->owner, owner);
}

/* Names written out, fields checked. An update may leave rdata away (RFC 2136 §2.4). */
static int rdata_add(struct reader *r, const struct head *h)
{
	const char *f = fl_rdata_fields(h->type);
	size_t at = h->rdata, n = 0, names = 0;
	for (const char *p = f; *p; p++)
		names += rdata_is_name(*p);
	uint8_t *to = fl_rrset_room(&r->set, h->end - h->rdata + names * FL_NAME_MAX);
	if (!to)
		return -ENOMEM;
	if (at == h->end && r->m->opcode == FL_OP_UPDATE)
		f = "";
	for (; *f; f++) {
		int len;
		if (rdata_is_name(*f)) {
			len = fl_name_expand(to + n, r->msg, h->end, &at);
		} else {
			len = fl_rdata_field(*f, r->msg + at, h->end - at);
			if (len > 0)
				memcpy(to + n, r->msg + at, (size_t)len);
			at += len > 0 ? (size_t)len : 0;
		}
		if (len < 0)
			return -EBADMSG;
		n += (size_t)len;
	}
	if (at != h->end || n > UINT16_MAX)
		return -EBADMSG;
	fl_rrset_done(&r->set, h->ttl, n);
	return 0;
}

static int opt(struct reader *r, const struct head *h)
{
	struct fl_message *m = r->m;
	size_t n = h->end - h->rdata;
	if (set_close(r))
		return -ENOMEM;
	if (fl_rdata_field('O', r->msg + h->rdata, n) < 0)
		return -EBADMSG;
	m->edns = true;
	m->udp_size = h->class;
	m->rcode = (uint16_t)((m->rcode & 15) | h->ttl >> 24 << 4);
	m->edns_version = (uint8_t)(h->ttl >> 16);
	m->dnssec_ok = h->ttl >> 15 & 1;
	m->opt = fl_edns_parse(r->a, r->msg + h->rdata, n);
	return n && !m->opt ? -ENOMEM : 0;
}

static int record(struct reader *r, uint8_t section)
{
	uint8_t wire[FL_NAME_MAX];
	int len = fl_name_expand(wire, r->msg, r->n, &r->at);
	if (len < 0 || r->n - r->at < RR_HEAD)
		return -EBADMSG;
	const uint8_t *p = r->msg + r->at;
	struct fl_name owner = { wire, (uint8_t)len };
	struct head h = { fl_get16(p), fl_get16(p + 2), fl_get32(p + 4), r->at + RR_HEAD, r->at + RR_HEAD + fl_get16(p + 8),
		section };
	if (h.end > r->n)
		return -EBADMSG;
	r->at = h.end;
	if (h.type == FL_T_OPT)         /* it has no meaning in the other sections */
		return section == FL_ADDITIONAL ? opt(r, &h) : 0;
	int ret = joins(r, owner, &h) ? 0 : set_open(r, owner, &h);
	return ret ? ret : rdata_add(r, &h);
}

static int question(struct reader *r)
{
	struct fl_message *m = r->m;
	uint8_t wire[FL_NAME_MAX];
	for (unsigned i = 0; i < m->qdcount && r->at < r->n; i++) {
		int len = fl_name_expand(wire, r->msg, r->n, &r->at);
		if (len < 0 || r->n - r->at < 4)
			return -EBADMSG;
		if (!i) {
			m->qname = (struct fl_name){ fl_copy(r->a, wire, (size_t)len), (uint8_t)len };
			m->qtype = fl_get16(r->msg + r->at);
			m->qclass = fl_get16(r->msg + r->at + 2);
			if (!m->qname.wire)
				return -ENOMEM;
		}
		r->at += 4;
	}
	return 0;
}

int fl_message_parse(struct fl_message *m, struct fl_arena *a, const uint8_t *msg, size_t n)
{
	*m = (struct fl_message){ 0 };
	if (n < FL_HEADER || n > UINT16_MAX)
		return -EBADMSG;
	m->id = fl_get16(msg);
	m->flags = fl_get16(msg + 2);
	m->opcode = m->flags >> 11 & 15;
	m->rcode = m->flags & 15;
	m->qdcount = fl_get16(msg + 4);
	struct reader r = { .m = m, .a = a, .msg = msg, .n = n, .at = FL_HEADER };
	int ret = question(&r);
	for (uint8_t s = FL_ANSWER; !ret && s <= FL_ADDITIONAL; s++)
		for (unsigned count = fl_get16(msg + 6 + 2 * s); !ret && count && r.at < n; count--)
			ret = record(&r, s);
	m->end = r.at;
	return ret ? ret : set_close(&r);
}

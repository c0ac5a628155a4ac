#include "dns/relay.h"
#include "wire/pack.h"

enum { PADDING = 12, BLOCK = 128 };

bool fl_relay_may_pad(const struct fl_query *q)
{
	for (const struct fl_edns *o = q->ask.opt; o; o = o->next)
		if (o->code == PADDING)
			return false;
	return q->ask.edns;
}

uint8_t *fl_relay_query(struct fl_query *q, bool pad, uint16_t *len)
{
	static const uint8_t zeros[BLOCK];
	size_t opts = 0;
	for (const struct fl_edns *o = q->ask.opt; o; o = o->next)
		opts += 4u + o->len;
	size_t bare = FL_HEADER + q->qname.len + 4u + (q->ask.edns ? 11u : 0) + opts;
	struct fl_edns padding = { .code = PADDING, .data = zeros, .next = q->ask.opt };
	padding.len = (uint16_t)((BLOCK - (bare + 4) % BLOCK) % BLOCK);
	size_t cap = bare + 11u + (pad ? 4u + padding.len : 0);
	uint8_t *buf = cap > UINT16_MAX ? NULL : fl_alloc(q->arena, FL_RELAY_ROOM + cap);
	if (!buf)
		return NULL;
	uint16_t flags = (uint16_t)((q->ask.flags & (FL_RD | FL_AD | FL_CD)) | q->client->opcode << 11);
	uint16_t edns = (uint16_t)((q->client->edns_flags & 0x7fff) | (q->ask.dnssec_ok ? 0x8000 : 0));
	*len = (uint16_t)fl_pack_query(buf + FL_RELAY_ROOM, cap, 0, flags, q->qname, q->qtype, q->qclass, q->ask.edns, q->ask.udp_size, edns,
				       pad ? &padding : q->ask.opt);
	return buf + FL_RELAY_ROOM;
}

static void strip_padding(struct fl_message *m)
{
	for (struct fl_edns **o = &m->opt; *o;)
		if ((*o)->code == PADDING)
			*o = (*o)->next;
		else
			o = &(*o)->next;
}

void fl_relay_reply(struct fl_query *q, struct fl_message *m, bool mixed, bool padded)
{
	enum { PASSED = FL_AA | FL_TC | FL_RD | FL_RA | FL_AD | FL_CD };
	for (unsigned i = 0; i < m->n; i++) {
		struct fl_name o = m->item[i].owner;
		if (o.len == q->qname.len && (mixed ? fl_name_eq(o, q->qname)
						    : o.wire == m->qname.wire && !memcmp(o.wire, q->qname.wire, o.len)))
			m->item[i].owner = q->qname;
	}
	if (padded)
		strip_padding(m);
	q->res = (struct fl_reply){ .item = m->item, .n = m->n, .cap = m->n, .rcode = m->rcode, .opt = m->opt };
	q->res.set = m->flags & PASSED;
	q->res.clear = (uint16_t)~m->flags & PASSED;
}

#include "wire/pack_int.h"
#include "base/err.h"

/* ---- order ---- */

static uint32_t rng_below(uint64_t *x, uint32_t n)
{
	*x ^= *x >> 12;
	*x ^= *x << 25;
	*x ^= *x >> 27;
	return (uint32_t)(((*x * 0x2545f4914f6cdd1dull >> 32) * n) >> 32);
}

/* A set that no message holds is shuffled within a window that begins anywhere. */
static void shuffle(uint16_t *at, unsigned n, uint64_t *x)
{
	for (unsigned i = 0; i + 1 < n; i++) {
		unsigned j = i + rng_below(x, n - i);
		uint16_t t = at[i];
		at[i] = at[j];
		at[j] = t;
	}
}

void fl_pack_walk(struct pack_walk *w, const struct fl_item *it)
{
	const struct fl_rrset *s = it->set;
	w->p = w->data = s->data;
	w->end = s->data + s->len;
	w->stride = s->stride;
	w->i = w->n = 0;
	if ((!it->shuffle && !it->first) || s->count < 2 || (!s->stride && s->len > UINT16_MAX))
		return;
	unsigned n = s->count < ORDER_MAX ? s->count : ORDER_MAX;
	uint64_t x = it->shuffle * 0x9e3779b97f4a7c15ull;
	if (s->stride) {
		unsigned from = it->shuffle && s->count > n ? rng_below(&x, s->count) : 0;
		for (unsigned i = 0; i < n; i++)
			w->at[i] = (uint16_t)(from + i < s->count ? from + i : from + i - s->count);
	} else {
		for (unsigned i = 0, at = 0; i < n; i++, at += RR_HEAD + fl_get16(s->data + at + 8))
			w->at[i] = (uint16_t)at;
	}
	if (it->shuffle)
		shuffle(w->at, n, &x);
	if (it->first < n) {
		uint16_t t = w->at[0];
		w->at[0] = w->at[it->first];
		w->at[it->first] = t;
	}
	w->n = n;
}

/* ---- header and OPT ---- */

uint8_t *fl_pack_begin(uint8_t *to, const struct fl_pack *p)
{
	fl_put16(to, p->id);
	fl_put16(to + 4, p->qname.len ? 1 : 0);
	uint8_t *o = to + FL_HEADER;
	if (p->qname.len) {
		memcpy(o, p->qname.wire, p->qname.len);
		o += p->qname.len;
		fl_put16(o, p->qtype);
		fl_put16(o + 2, p->qclass);
		o += 4;
	}
	return o;
}

void fl_pack_end(uint8_t *to, struct fl_pack *p, const unsigned count[3], bool cut)
{
	/* An extended code without an OPT to carry it would read as another one. */
	unsigned rcode = p->edns || p->rcode < 16 ? p->rcode & 15u : FL_SERVFAIL;
	p->cut = cut;
	p->flags_out = (uint16_t)((p->flags & 0x87f0) | p->opcode << 11 | rcode | (cut ? FL_TC : 0));
	fl_put16(to + 2, p->flags_out);
	fl_put16(to + 6, (uint16_t)count[FL_ANSWER]);
	fl_put16(to + 8, (uint16_t)count[FL_AUTHORITY]);
	fl_put16(to + 10, (uint16_t)(count[FL_ADDITIONAL] + p->edns));
}

/* At most n octets of s without breaking a UTF-8 character. */
static size_t text_cut(const char *s, size_t n)
{
	size_t len = strnlen(s, n + 1);
	if (len <= n)
		return len;
	while (n && (s[n] & 0xc0) == 0x80)
		n--;
	return n;
}

struct pack_opt fl_pack_opt_plan(const struct fl_pack *p, size_t space)
{
	struct pack_opt plan = { 0 };
	if (!p->edns)
		return plan;
	plan.len = OPT_HEAD;
	for (const struct fl_edns *e = p->opt; e && plan.len + 4 + e->len <= space; e = e->next) {
		plan.len += 4u + e->len;
		plan.options++;
	}
	if (p->ede >= 0 && plan.len + 6 <= space) {
		plan.ede = true;
		plan.len += 6;
		if (p->ede_text) {
			size_t left = space - plan.len;
			plan.text = (uint16_t)text_cut(p->ede_text, left < EDE_TEXT_MAX ? left : EDE_TEXT_MAX);
			plan.len += plan.text;
		}
	}
	return plan;
}

uint8_t *fl_pack_opt_put(uint8_t *o, const struct fl_pack *p, const struct pack_opt *plan)
{
	if (!plan->len)
		return o;
	o[0] = 0;
	fl_put16(o + 1, FL_T_OPT);
	fl_put16(o + 3, p->udp_size);
	fl_put32(o + 5, (uint32_t)p->rcode >> 4 << 24 | p->edns_flags);
	fl_put16(o + 9, (uint16_t)(plan->len - OPT_HEAD));
	o += OPT_HEAD;
	const struct fl_edns *e = p->opt;
	for (size_t i = 0; i < plan->options; i++, e = e->next) {
		fl_put16(o, e->code);
		fl_put16(o + 2, e->len);
		if (e->len)
			memcpy(o + 4, e->data, e->len);
		o += 4 + e->len;
	}
	if (plan->ede) {
		fl_put16(o, 15);
		fl_put16(o + 2, (uint16_t)(plan->text + 2));
		fl_put16(o + 4, (uint16_t)p->ede);
		if (plan->text)
			memcpy(o + 6, p->ede_text, plan->text);
		o += 6 + plan->text;
	}
	return o;
}

/* ---- the fast way ---- */

static inline uint8_t *put_record(uint8_t *o, const struct fl_item *it, const uint8_t *owner, size_t nowner, const uint8_t *rr,
	size_t n)
{
	memcpy(o, owner, nowner);
	o += nowner;
	memcpy(o, rr, n);
	pack_ttl(o, rr, it);
	return o + n;
}

enum { RR_A = RR_HEAD + 4 };

/* In another order than they are stored. Apart, because of its big frame. */
static __attribute__((noinline)) uint8_t *put_ordered(uint8_t *o, const struct fl_item *it, const uint8_t *owner, size_t nowner)
{
	struct pack_walk w;
	fl_pack_walk(&w, it);
	/* Many addresses of the name that was asked: a size known here is copied in registers. */
	if (w.n && w.stride == RR_A && nowner == 2) {
		for (unsigned i = 0; i < w.n; i++)
			o = put_record(o, it, owner, 2, w.data + w.at[i] * RR_A, RR_A);
		return o;
	}
	for (const uint8_t *rr; (rr = pack_next(&w));)
		o = put_record(o, it, owner, nowner, rr, RR_HEAD + fl_get16(rr + 8));
	return o;
}

static uint8_t *put_item(uint8_t *o, const struct fl_item *it, const uint8_t *owner, size_t nowner)
{
	const struct fl_rrset *s = it->set;
	const uint8_t *rr = s->data, *end = rr + s->len;
	if (s->count > 1 && (it->shuffle || it->first))
		return put_ordered(o, it, owner, nowner);
	while (rr < end) {
		size_t n = RR_HEAD + fl_get16(rr + 8);
		o = put_record(o, it, owner, nowner, rr, n);
		rr += n;
	}
	return o;
}

static const uint8_t to_question[2] = { 0xc0, FL_HEADER };

/* 0: it does not fit. */
static size_t pack_fast(struct fl_pack *p, uint8_t *to, size_t limit)
{
	size_t head = FL_HEADER + pack_question_len(p), need = head, full = head;
	for (unsigned i = 0; i < p->n; i++) {
		const struct fl_item *it = &p->item[i];
		size_t nowner = it->owner.wire == p->qname.wire && it->owner.len > 2 ? 2 : it->owner.len;
		full += (size_t)it->set->count * it->owner.len + it->set->len;
		need += it->set->count * nowner + it->set->len;
	}
	p->full_len = full;
	struct pack_opt plan = fl_pack_opt_plan(p, SIZE_MAX);
	if (need + plan.len > limit)
		return 0;
	uint8_t *o = fl_pack_begin(to, p);
	unsigned count[3] = { 0 };
	for (unsigned s = FL_ANSWER; s <= FL_ADDITIONAL; s++)
		for (unsigned i = 0; i < p->n; i++) {
			const struct fl_item *it = &p->item[i];
			if (it->section != s)
				continue;
			count[s] += it->set->count;
			if (it->owner.wire == p->qname.wire && it->owner.len > 2)
				o = put_item(o, it, to_question, 2);
			else
				o = put_item(o, it, it->owner.wire, it->owner.len);
		}
	fl_pack_end(to, p, count, false);
	p->opt_len = (uint16_t)plan.len;
	return (size_t)(fl_pack_opt_put(o, p, &plan) - to);
}

/* Header, question and a bare OPT stay, whatever room is asked for. */
static size_t usable(const struct fl_pack *p, size_t limit)
{
	enum { LEAST = FL_HEADER + FL_NAME_MAX + 4 + OPT_HEAD };
	fl_assert(limit >= 512);
	limit = limit > UINT16_MAX ? UINT16_MAX : limit;
	return limit > p->room + LEAST ? limit - p->room : LEAST;
}

/* Addresses of the name that was asked: the fast way leaves nothing that could be compressed. */
static bool is_tight(const struct fl_pack *p)
{
	for (unsigned i = 0; i < p->n; i++) {
		const struct fl_item *it = &p->item[i];
		if ((it->set->type != FL_T_A && it->set->type != FL_T_AAAA) || it->owner.wire != p->qname.wire || it->owner.len <= 2)
			return false;
	}
	return true;
}

/* The OPT, which is last, gets one option more that fills the message up. */
static size_t fill_up(const struct fl_pack *p, uint8_t *to, size_t n, size_t limit)
{
	enum { PADDING = 12 };
	if (!p->pad_to || !p->opt_len || n + 4 > limit)
		return n;
	uint8_t *rdlen = to + n - p->opt_len + OPT_HEAD - 2;
	size_t whole = (n + 4 + p->pad_to - 1) / p->pad_to * p->pad_to;
	whole = whole < limit ? whole : limit;
	fl_put16(to + n, PADDING);
	fl_put16(to + n + 2, (uint16_t)(whole - n - 4));
	memset(to + n + 4, 0, whole - n - 4);
	fl_put16(rdlen, (uint16_t)(fl_get16(rdlen) + (whole - n)));
	return whole;
}

size_t fl_pack(struct fl_pack *p, uint8_t *to, size_t limit)
{
	limit = usable(p, limit);
	size_t n = pack_fast(p, to, p->tight_above && p->tight_above < limit && !is_tight(p) ? p->tight_above : limit);
	n = n ? n : fl_pack_tight(p, to, limit);
	return p->pad_to ? fill_up(p, to, n, limit) : n;
}

size_t fl_pack_slow(struct fl_pack *p, uint8_t *to, size_t limit)
{
	limit = usable(p, limit);
	return fill_up(p, to, fl_pack_tight(p, to, limit), limit);
}

size_t fl_pack_query(uint8_t *to, size_t cap, uint16_t id, uint16_t flags, struct fl_name qname, uint16_t qtype, uint16_t qclass,
		     bool edns, uint16_t udp_size, uint16_t edns_flags, const struct fl_edns *opt)
{
	struct fl_pack p = { .id = id, .flags = flags, .opcode = flags >> 11 & 15, .qname = qname, .qtype = qtype, .qclass = qclass,
			     .edns = edns, .udp_size = udp_size, .edns_flags = edns_flags, .opt = opt, .ede = -1 };
	return pack_fast(&p, to, cap);
}

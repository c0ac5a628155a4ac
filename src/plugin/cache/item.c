#include "plugin/cache/cache_int.h"
#include <errno.h>

/* In an entry: this, then owner_len octets of owner (0: the question, letter by letter), then len octets of records. */
struct packed { uint8_t section, owner_len; uint16_t type, count, stride; uint32_t len; };

enum { WANT_DO = 1, WANT_CD = 2, KEPT = FL_AA | FL_RA | FL_AD };

static uint8_t want(const struct fl_query *q)
{
	return (uint8_t)((q->ask.dnssec_ok ? WANT_DO : 0) | (q->ask.flags & FL_CD ? WANT_CD : 0));
}

uint64_t fl_cache_hash(const struct fl_query *q)
{
	uint64_t rest = (uint64_t)q->qtype << 32 | (uint64_t)q->qclass << 16 | want(q);
	return fl_name_hash(q->qname) ^ rest * 0x9e3779b97f4a7c15ull;
}

static struct fl_name name_of(const struct cache_entry *e) { return (struct fl_name){ (const uint8_t *)(e + 1), e->name_len }; }

bool fl_cache_fits(const struct fl_query *q, const struct cache_entry *e)
{
	return e->type == q->qtype && e->class == q->qclass && e->want == want(q) && fl_name_eq(name_of(e), q->qname);
}

static bool same(struct fl_name a, struct fl_name b) { return a.len == b.len && !memcmp(a.wire, b.wire, a.len); }

struct cache_entry *fl_cache_encode(struct fl_query *q, uint32_t ttl_s)
{
	const struct fl_reply *r = &q->res;
	size_t len = sizeof(struct cache_entry) + q->qname.len;
	for (unsigned i = 0; i < r->n && len <= CACHE_ENTRY_MAX; i++)
		len += sizeof(struct packed) + r->item[i].owner.len + r->item[i].set->len;
	struct cache_entry *e = len > CACHE_ENTRY_MAX ? NULL : fl_alloc(q->arena, (len + 7) & ~(size_t)7);
	if (!e)
		return NULL;
	*e = (struct cache_entry){ .hash = fl_cache_hash(q), .stored_ns = fl_now(q->shard), .ttl_s = ttl_s, .type = q->qtype,
				   .class = q->qclass, .rcode = r->rcode, .flags = r->set & KEPT, .want = want(q),
				   .name_len = q->qname.len, .nitems = r->n };
	uint8_t *p = (uint8_t *)(e + 1);
	memcpy(p, q->qname.wire, q->qname.len);
	p += q->qname.len;
	for (unsigned i = 0; i < r->n; i++) {
		const struct fl_item *it = &r->item[i];
		bool own = !same(it->owner, q->qname);
		const struct fl_rrset *set = it->set;
		struct packed k = { it->section, own ? it->owner.len : 0, set->type, set->count, set->stride, set->len };
		memcpy(p, &k, sizeof k);
		memcpy(p + sizeof k, it->owner.wire, k.owner_len);
		memcpy(p + sizeof k + k.owner_len, set->data, k.len);
		p += sizeof k + k.owner_len + k.len;
	}
	e->len = (uint32_t)(p - (uint8_t *)e);
	return e;
}

int fl_cache_decode(struct fl_query *q, const struct cache_entry *e, uint32_t ttl_s)
{
	struct fl_item *item = NULL;
	struct fl_rrset *set = NULL;
	if (e->nitems) {
		item = fl_alloc(q->arena, e->nitems * (sizeof *item + sizeof *set));
		if (!item)
			return -ENOMEM;
		set = (struct fl_rrset *)(item + e->nitems);
	}
	/* Owners keep the letters that they came with (as CoreDNS); mostly these are the question's and pack as a pointer. */
	struct fl_name asked = same(name_of(e), q->qname) ? q->qname : name_of(e);
	const uint8_t *p = (const uint8_t *)(e + 1) + e->name_len;
	for (unsigned i = 0; i < e->nitems; i++) {
		struct packed k;
		memcpy(&k, p, sizeof k);
		p += sizeof k;
		set[i] = (struct fl_rrset){ k.type, k.count, k.stride, k.len, p + k.owner_len };
		item[i] = (struct fl_item){ .owner = k.owner_len ? (struct fl_name){ p, k.owner_len } : asked, .set = &set[i],
					    .ttl_min = ttl_s, .ttl_max = ttl_s, .section = k.section };
		p += k.owner_len + k.len;
	}
	q->res = (struct fl_reply){ .item = item, .n = e->nitems, .cap = e->nitems, .rcode = e->rcode, .set = e->flags & ~FL_AD };
	return 0;
}

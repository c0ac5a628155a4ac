#include "plugin/cache/cache_int.h"
#include <errno.h>

/* In an entry: this, then owner_len octets of owner (0: the question, letter by letter), then len octets of records. */
struct packed { uint8_t section, owner_len; uint16_t type, count, stride, len; };

enum { WANT = CACHE_DO | CACHE_CD, RR_HEAD = 10 };

static uint8_t want(const struct fl_query *q)
{
	return (uint8_t)((q->ask.dnssec_ok ? CACHE_DO : 0) | (q->ask.flags & FL_CD ? CACHE_CD : 0));
}

static uint64_t hash(struct fl_name n, uint16_t type, uint16_t class, uint8_t bits)
{
	uint64_t rest = (uint64_t)type << 32 | (uint64_t)class << 16 | bits;
	return fl_name_hash(n) ^ rest * 0x9e3779b97f4a7c15ull;
}

static struct fl_name name_of(const struct cache_entry *e) { return (struct fl_name){ (const uint8_t *)(e + 1), e->name_len }; }

uint64_t fl_cache_hash(const struct fl_query *q) { return hash(q->qname, q->qtype, q->qclass, want(q)); }
uint64_t fl_cache_hash_of(const struct cache_entry *e) { return hash(name_of(e), e->type, e->class, e->bits & WANT); }

bool fl_cache_fits(const struct fl_query *q, const struct cache_entry *e)
{
	return e->type == q->qtype && e->class == q->qclass && (e->bits & WANT) == want(q) && fl_name_eq(name_of(e), q->qname);
}

static bool same(struct fl_name a, struct fl_name b) { return a.len == b.len && !memcmp(a.wire, b.wire, a.len); }

struct cache_entry *fl_cache_encode(const struct fl_query *q, struct fl_arena *a, unsigned kind, uint32_t ttl_s)
{
	const struct fl_reply *r = &q->res;
	size_t len = sizeof(struct cache_entry) + q->qname.len;
	for (unsigned i = 0; i < r->n && len <= CACHE_ENTRY_MAX; i++) {
		bool own = !same(r->item[i].owner, q->qname);
		len += sizeof(struct packed) + (own ? r->item[i].owner.len : 0) + r->item[i].set->len;
	}
	struct cache_entry *e = len > CACHE_ENTRY_MAX ? NULL : fl_alloc(a, (len + 7) & ~(size_t)7);
	if (!e)
		return NULL;
	*e = (struct cache_entry){ .hash = fl_cache_hash(q), .stored_ns = fl_now(q->shard), .ttl_s = ttl_s, .len = (uint16_t)len,
				   .type = q->qtype, .class = q->qclass, .rcode = r->rcode, .name_len = q->qname.len, .nitems = r->n };
	e->bits = (uint8_t)(want(q) | (r->set & FL_AA ? CACHE_AA : 0) | (r->set & FL_RA ? CACHE_RA : 0) | (r->set & FL_AD ? CACHE_AD : 0) |
			    kind << CACHE_KIND);
	uint8_t *p = (uint8_t *)(e + 1);
	memcpy(p, q->qname.wire, q->qname.len);
	p += q->qname.len;
	for (unsigned i = 0; i < r->n; i++) {
		const struct fl_item *it = &r->item[i];
		const struct fl_rrset *set = it->set;
		struct packed k = { it->section, same(it->owner, q->qname) ? 0 : it->owner.len, set->type, set->count, set->stride,
				    (uint16_t)set->len };
		memcpy(p, &k, sizeof k);
		memcpy(p + sizeof k, it->owner.wire, k.owner_len);
		memcpy(p + sizeof k + k.owner_len, set->data, k.len);
		p += sizeof k + k.owner_len + k.len;
	}
	memset(p, 0, -len & 7);
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
	q->res = (struct fl_reply){ .item = item, .n = e->nitems, .cap = e->nitems, .rcode = e->rcode };
	q->res.set = (uint16_t)((e->bits & CACHE_AA ? FL_AA : 0) | (e->bits & CACHE_RA ? FL_RA : 0));
	return 0;
}

/* ---- what comes from a file ---- */

static bool name_sound(const uint8_t *p, size_t n)
{
	size_t at = 0;
	while (at < n && p[at] && p[at] <= FL_LABEL_MAX)
		at += 1u + p[at];
	return at + 1 == n && n <= FL_NAME_MAX && !p[at];
}

static void no_name(void *arg, size_t offset, bool compressible) { (void)arg, (void)offset, (void)compressible; }

static bool set_sound(const struct packed *k, const uint8_t *p)
{
	unsigned n = 0;
	for (size_t at = 0; at < k->len; n++) {
		size_t left = k->len - at, len = left >= RR_HEAD ? RR_HEAD + (size_t)fl_get16(p + at + 8) : 0;
		if (!len || len > left || fl_get16(p + at) != k->type || (k->stride && len != k->stride) ||
		    fl_rdata_names(k->type, p + at + RR_HEAD, len - RR_HEAD, no_name, NULL))
			return false;
		at += len;
	}
	return n && n == k->count;
}

bool fl_cache_sound(const struct cache_entry *e, size_t n)
{
	if (n < sizeof *e || e->len > n || e->len > CACHE_ENTRY_MAX || sizeof *e + e->name_len > e->len || fl_cache_kind_of(e) >= CACHE_KINDS ||
	    e->rcode > 0xfff)
		return false;
	const uint8_t *p = (const uint8_t *)(e + 1), *end = (const uint8_t *)e + e->len;
	if (!name_sound(p, e->name_len))
		return false;
	p += e->name_len;
	for (unsigned i = 0; i < e->nitems; i++) {
		struct packed k;
		if ((size_t)(end - p) < sizeof k)
			return false;
		memcpy(&k, p, sizeof k);
		p += sizeof k;
		if ((size_t)(end - p) < (size_t)k.owner_len + k.len || k.section > FL_ADDITIONAL ||
		    (k.owner_len && !name_sound(p, k.owner_len)) || !set_sound(&k, p + k.owner_len))
			return false;
		p += k.owner_len + k.len;
	}
	return p == end;
}

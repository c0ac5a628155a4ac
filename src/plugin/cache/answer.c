/* Does an answer answer? After CoreDNS plugin/cache/cache.go: RFC 2308 NODATA may come with a CNAME chain before it. */
#include "plugin/cache/cache_int.h"

enum { CHAIN_MAX = 128, FAIL_SAFE_S = 5 };

static bool class_fits(const struct fl_item *it, uint16_t qclass)
{
	return qclass == FL_C_ANY || (it->set->count && fl_get16(it->set->data + 2) == qclass);
}

static bool soa_there(const struct fl_reply *r)
{
	for (unsigned i = 0; i < r->n; i++)
		if (r->item[i].section == FL_AUTHORITY && r->item[i].set->type == FL_T_SOA)
			return true;
	return false;
}

static bool has_type(const struct fl_query *q, struct fl_name owner, uint16_t type)
{
	for (unsigned i = 0; i < q->res.n; i++) {
		const struct fl_item *it = &q->res.item[i];
		if (it->section == FL_ANSWER && (type == FL_T_ANY || it->set->type == type) && class_fits(it, q->qclass) &&
		    fl_name_eq(it->owner, owner))
			return true;
	}
	return false;
}

/* What owner is an alias of: len 0 when of nothing. False: of two things, which is nonsense (RFC 2181 §10.1). */
static bool alias(const struct fl_query *q, struct fl_name owner, struct fl_name *target)
{
	*target = (struct fl_name){ NULL, 0 };
	for (unsigned i = 0; i < q->res.n; i++) {
		const struct fl_item *it = &q->res.item[i];
		if (it->section != FL_ANSWER || it->set->type != FL_T_CNAME || !class_fits(it, q->qclass) ||
		    !fl_name_eq(it->owner, owner))
			continue;
		for (struct fl_rr rr = { 0 }; fl_rr_next(it->set, &rr);) {
			struct fl_name n = { rr.rdata, (uint8_t)rr.rdlen };
			if (target->len && !fl_name_eq(*target, n))
				return false;
			*target = n;
		}
	}
	return true;
}

bool fl_cache_answers(const struct fl_query *q)
{
	struct fl_name at = q->qname, next;
	if (q->qtype == FL_T_ANY)
		return has_type(q, at, FL_T_ANY);
	if (q->qtype == FL_T_CNAME)
		return alias(q, at, &next) && next.len;
	for (int i = 0; i < CHAIN_MAX; i++) {   /* a longer chain is a loop, or as good as one */
		if (!alias(q, at, &next))
			return false;
		if (!next.len)
			return has_type(q, at, q->qtype);
		at = next;
	}
	return false;
}

static bool answer_there(const struct fl_reply *r)
{
	for (unsigned i = 0; i < r->n; i++)
		if (r->item[i].section == FL_ANSWER && r->item[i].set->count)
			return true;
	return false;
}

static bool no_answer(const struct fl_query *q) { return answer_there(&q->res) && !fl_cache_answers(q); }

enum fl_kind fl_cache_kind(const struct fl_query *q)
{
	enum fl_kind k = fl_typify(q, q->ask.dnssec_ok ? fl_clock_wall_s() : 0);
	return k == FL_KIND_NOERROR && soa_there(&q->res) && no_answer(q) ? FL_KIND_NODATA : k;
}

bool fl_cache_may_store(const struct fl_query *q, enum fl_kind k)
{
	if (q->res.set & FL_TC || k == FL_KIND_OTHERERROR || k == FL_KIND_META || k == FL_KIND_UPDATE)
		return false;
	if (k == FL_KIND_NXDOMAIN)
		return soa_there(&q->res);      /* the SOA bounds it (RFC 2308 §5) */
	return k != FL_KIND_NOERROR || soa_there(&q->res) || !no_answer(q);
}

uint32_t fl_cache_lowest_ttl(const struct fl_reply *r, enum fl_kind k, uint32_t max)
{
	uint32_t lowest = max;
	bool any = false;
	if (k != FL_KIND_NOERROR && k != FL_KIND_NXDOMAIN && k != FL_KIND_NODATA)
		return FAIL_SAFE_S;
	for (unsigned i = 0; i < r->n; i++) {
		const struct fl_item *it = &r->item[i];
		for (struct fl_rr rr = { 0 }; fl_rr_next(it->set, &rr);) {
			uint32_t ttl = rr.ttl < it->ttl_min ? it->ttl_min : rr.ttl;
			ttl = ttl > it->ttl_max ? it->ttl_max : ttl;
			lowest = ttl < lowest ? ttl : lowest;
			any = true;
			if (r->live)            /* records of one set have one TTL there, and there may be thousands */
				break;
		}
	}
	return any ? lowest : FAIL_SAFE_S;
}

#include "dns/typify.h"

static const char *const kinds[] = { "NOERROR", "NXDOMAIN", "SERVERERROR", "NODATA", "DELEGATION", "META", "UPDATE", "OTHERERROR" };
static const char *const classes[] = { "all", "success", "denial", "error" };

const char *fl_kind_name(enum fl_kind k) { return kinds[k]; }
const char *fl_kind_class_name(enum fl_kind_class c) { return classes[c]; }

bool fl_kind_class_parse(struct fl_str text, enum fl_kind_class *c)
{
	for (unsigned i = 0; i < FL_COUNT(classes); i++)
		if (fl_str_is(text, classes[i])) {
			*c = (enum fl_kind_class)i;
			return true;
		}
	return false;
}

/* RFC 4034 §3.1.5: serial arithmetic over 32 bits. */
static bool expired(const struct fl_rrset *set, uint32_t now)
{
	for (struct fl_rr r = { 0 }; fl_rr_next(set, &r);) {
		if (r.rdlen < 18)
			continue;
		uint32_t until = fl_get32(r.rdata + 8), from = fl_get32(r.rdata + 12);
		if ((int32_t)(until - now) < 0 || (int32_t)(now - from) < 0)
			return true;
	}
	return false;
}

static bool signatures_expired(const struct fl_reply *r, uint64_t wall_s)
{
	for (unsigned i = 0; i < r->n; i++)
		if (r->item[i].set->type == FL_T_RRSIG && expired(r->item[i].set, (uint32_t)wall_s))
			return true;
	return false;
}

enum fl_kind fl_typify(const struct fl_query *q, uint64_t wall_s)
{
	const struct fl_reply *r = &q->res;
	bool answer = false, soa = false, ns = false;
	if (q->dropped)
		return FL_KIND_OTHERERROR;
	if (q->client->opcode == FL_OP_UPDATE)
		return FL_KIND_UPDATE;
	if (q->client->opcode == FL_OP_NOTIFY || q->qtype == FL_T_AXFR || q->qtype == FL_T_IXFR)
		return FL_KIND_META;
	if (wall_s && q->ask.dnssec_ok && signatures_expired(r, wall_s))
		return FL_KIND_OTHERERROR;
	for (unsigned i = 0; i < r->n; i++) {
		const struct fl_item *it = &r->item[i];
		answer |= it->section == FL_ANSWER && it->set->count;
		soa |= it->section == FL_AUTHORITY && it->set->type == FL_T_SOA;
		ns |= it->section == FL_AUTHORITY && it->set->type == FL_T_NS;
	}
	if (answer && (r->rcode == FL_NOERROR || r->rcode == FL_NXDOMAIN))
		return r->rcode == FL_NOERROR ? FL_KIND_NOERROR : FL_KIND_OTHERERROR;
	if (r->rcode == FL_NOERROR)
		return soa ? FL_KIND_NODATA : ns ? FL_KIND_DELEGATION : FL_KIND_NOERROR;
	if (r->rcode == FL_NXDOMAIN)
		return FL_KIND_NXDOMAIN;
	return r->rcode == FL_SERVFAIL || r->rcode == FL_NOTIMP ? FL_KIND_SERVERERROR : FL_KIND_OTHERERROR;
}

enum fl_kind_class fl_classify(enum fl_kind k)
{
	if (k == FL_KIND_NOERROR || k == FL_KIND_DELEGATION)
		return FL_CLASS_SUCCESS;
	return k == FL_KIND_NXDOMAIN || k == FL_KIND_NODATA ? FL_CLASS_DENIAL : FL_CLASS_ERROR;
}

size_t fl_reply_full_len(const struct fl_query *q)
{
	size_t n = 12u + q->qname.len + 4u;
	for (unsigned i = 0; i < q->res.n; i++)
		n += q->res.item[i].set->len + (size_t)q->res.item[i].set->count * q->res.item[i].owner.len;
	return n;
}

size_t fl_request_len(const struct fl_query *q)
{
	return q->parent ? q->client->packet_len - q->client->qname.len + q->qname.len : q->client->packet_len;
}

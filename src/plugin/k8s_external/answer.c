#include "plugin/k8s_external/k8s_external.h"
#include "base/rng.h"
#include "base/seen.h"
#include <errno.h>

enum { EDE_NOT_READY = 14, PTRS_MAX = 64, MESSAGE_MAX = 65535, RR_LEAST = 12 };

struct ask {
	const struct ext *e;
	struct fl_query *q;
	struct fl_name zone;            /* the question's letters */
	struct ext_req r;
	struct fl_cluster_service s;
	unsigned items;
	size_t used;                    /* octets that the answer takes at least */
};

/* ---- ends ---- */

static enum fl_verdict done(struct fl_query *q)
{
	q->res.set |= FL_AA;
	q->res.live = true;
	if (q->res.rcode == FL_SERVFAIL) {
		q->res.has_ede = true;
		q->res.ede = EDE_NOT_READY;
	}
	return FL_DONE;
}

static int put_soa(struct ask *a, enum fl_section sec)
{
	uint8_t rdata[2 * FL_NAME_MAX + 20];
	size_t n = fl_ext_soa(rdata, a->e, a->zone, a->e->cluster->serial(a->e->inst));
	const struct fl_rrset *set = n ? fl_rrset_one(a->q->arena, FL_T_SOA, a->e->ttl, rdata, n) : NULL;
	return !n || (set && fl_reply_add(a->q, sec, a->zone, set, false)) ? 0 : -ENOMEM;
}

static enum fl_verdict negative(struct ask *a, uint16_t rcode)
{
	a->q->res.rcode = rcode;
	return put_soa(a, FL_AUTHORITY) ? fl_yield(a->q, -ENOMEM) : done(a->q);
}

/* Before the cluster is known nobody knows what is not there. */
static enum fl_verdict no_name(struct ask *a)
{
	bool synced = a->e->cluster->synced(a->e->inst);
	if (synced && fl_fall_through(&a->e->fall, a->q->qname))
		return FL_NEXT;
	return negative(a, synced ? FL_NXDOMAIN : FL_SERVFAIL);
}

static int put(struct ask *a, enum fl_section sec, struct fl_name owner, uint16_t type, uint32_t ttl, const void *rdata, size_t n)
{
	const struct fl_rrset *set = fl_rrset_one(a->q->arena, type, ttl, rdata, n);
	a->used += RR_LEAST + n;
	return set && fl_reply_add(a->q, sec, owner, set, false) ? 0 : -ENOMEM;
}

static bool full(const struct ask *a) { return a->used > MESSAGE_MAX; }

/* ---- the apex and this server ---- */

static int put_selves(struct ask *a, enum fl_section sec, struct fl_name owner, uint16_t type)
{
	struct fl_ip ip[EXT_SELVES_MAX];
	unsigned n = a->e->cluster->selves(a->e->inst, a->e->headless, ip, EXT_SELVES_MAX);
	for (unsigned i = 0; i < n; i++) {
		uint16_t is = ip[i].len == 4 ? FL_T_A : FL_T_AAAA;
		if ((!type || type == is) && put(a, sec, owner, is, a->e->ttl, ip[i].b, ip[i].len))
			return -ENOMEM;
	}
	return 0;
}

static enum fl_verdict apex(struct ask *a)
{
	uint8_t ns[FL_NAME_MAX];
	if (a->q->qtype == FL_T_SOA)
		return put_soa(a, FL_ANSWER) ? fl_yield(a->q, -ENOMEM) : done(a->q);
	struct fl_name name = fl_ext_below_apex(ns, a->e, "ns1", a->zone);
	if (a->q->qtype != FL_T_NS || !name.len)
		return negative(a, FL_NOERROR);
	name.wire = fl_copy(a->q->arena, name.wire, name.len);
	if (!name.wire || put(a, FL_ANSWER, a->zone, FL_T_NS, a->e->ttl, name.wire, name.len) || put_selves(a, FL_ADDITIONAL, name, 0))
		return fl_yield(a->q, -ENOMEM);
	return done(a->q);
}

static enum fl_verdict below_apex(struct ask *a)
{
	uint8_t to[FL_NAME_MAX];
	uint16_t type = a->q->qtype;
	if (!fl_name_eq(a->q->qname, fl_ext_below_apex(to, a->e, "ns1", a->zone)))
		return negative(a, fl_name_eq(a->q->qname, fl_ext_below_apex(to, a->e, "", a->zone)) ? FL_NOERROR : FL_NXDOMAIN);
	if ((type == FL_T_A || type == FL_T_AAAA) && put_selves(a, FL_ANSWER, a->q->qname, type))
		return fl_yield(a->q, -ENOMEM);
	return a->q->res.n ? done(a->q) : negative(a, FL_NOERROR);
}

/* ---- addresses ---- */

static bool seen_begin(struct ask *a, struct fl_seen *seen, uint64_t n)
{
	*seen = (struct fl_seen){ .cap = fl_seen_cap(n) };
	seen->slot = fl_zalloc(a->q->arena, seen->cap * sizeof *seen->slot);
	return seen->slot;
}

/* A load balancer's host name, and what it leads to. Beside addresses it is left out: a CNAME stands alone (RFC 1034 §3.6.2). */
static int alias(struct ask *a, struct fl_str host)
{
	struct fl_name target = fl_name_parse_in(a->q->arena, host);
	const struct fl_reply *r;
	if (target.len < 2)
		return 0;
	int ret = fl_lookup(a->q, target, a->q->qtype, &r);
	if (ret)
		return ret;
	if (put(a, FL_ANSWER, a->q->qname, FL_T_CNAME, a->e->cluster->ttl(a->e->inst), target.wire, target.len))
		return -ENOMEM;
	for (unsigned i = 0; i < r->n; i++) {
		struct fl_item from = r->item[i], *to = NULL;
		if (from.section == FL_ANSWER && !(to = fl_reply_add(a->q, FL_ANSWER, from.owner, from.set, from.shared)))
			return -ENOMEM;
		if (to)
			*to = from;
	}
	a->q->res.set |= r->set & FL_TC;
	return 0;
}

static enum fl_verdict addresses(struct ask *a)
{
	struct fl_query *q = a->q;
	struct fl_rrset_maker m;
	struct ext_walk w;
	struct ext_item it;
	struct fl_seen seen;
	struct fl_str host = { 0 };
	uint8_t len = q->qtype == FL_T_A ? 4 : 16;
	bool any = false;
	if (!seen_begin(a, &seen, a->items))
		return fl_yield(q, -ENOMEM);
	fl_rrset_begin(&m, q->arena, q->qtype, FL_C_IN, 0);
	for (fl_ext_walk(&w, a->e, &a->r, &a->s); !full(a) && fl_ext_next(&w, &it);) {
		any |= it.ip.len > 0;
		if (!it.ip.len && !host.n)
			host = it.host;
		if (it.ip.len != len || !fl_seen_new(&seen, fl_hash(it.ip.b, len)))
			continue;
		fl_rrset_put(&m, a->e->ttl, it.ip.b, len);
		a->used += RR_LEAST + len;
	}
	const struct fl_rrset *set = fl_rrset_end(&m);
	if (!set || (set->count && !fl_reply_add(q, FL_ANSWER, q->qname, set, false)))
		return fl_yield(q, -ENOMEM);
	int ret = !any && host.n ? alias(a, host) : 0;
	if (ret)
		return fl_yield(q, ret);
	q->res.set |= full(a) ? FL_TC : 0;
	return q->res.n ? done(q) : negative(a, FL_NOERROR);
}

/* ---- SRV ---- */

struct srv { struct ask *a; struct fl_seen seen; uint16_t weight; };

static int put_srv(struct srv *s, struct fl_name target, const struct ext_item *it)
{
	uint8_t rdata[6 + FL_NAME_MAX];
	if (!fl_seen_new(&s->seen, (fl_name_hash(target) + (uint16_t)it->port->port + 1) * 0x9e3779b97f4a7c15ull))
		return 0;
	fl_put16(rdata, 0);
	fl_put16(rdata + 2, s->weight);
	fl_put16(rdata + 4, (uint16_t)it->port->port);
	memcpy(rdata + 6, target.wire, target.len);
	return put(s->a, FL_ANSWER, s->a->q->qname, FL_T_SRV, s->a->e->cluster->ttl(s->a->e->inst), rdata, 6u + target.len);
}

static int extra(struct srv *s, struct fl_name target, uint16_t type)
{
	const struct fl_reply *r;
	int ret = fl_lookup(s->a->q, target, type, &r);
	for (unsigned i = 0; !ret && i < r->n; i++) {
		struct fl_item from = r->item[i], *to = NULL;
		if (from.section == FL_ANSWER && !(to = fl_reply_add(s->a->q, FL_ADDITIONAL, from.owner, from.set, from.shared)))
			return -ENOMEM;
		if (to) {
			*to = from;
			to->section = FL_ADDITIONAL;
		}
	}
	return ret;
}

static int srv_host(struct srv *s, const struct ext_item *it)
{
	struct fl_name target = fl_name_parse_in(s->a->q->arena, it->host);
	if (target.len < 2)
		return 0;
	bool first = fl_seen_new(&s->seen, fl_name_hash(target));
	int ret = put_srv(s, target, it), a = 0, b = 0;
	if (ret || !first)
		return ret;
	a = extra(s, target, FL_T_A);           /* both are asked at once */
	b = extra(s, target, FL_T_AAAA);
	return a ? a : b;
}

static int srv_address(struct srv *s, const struct ext_item *it)
{
	uint8_t wire[FL_NAME_MAX];
	struct fl_name target = fl_ext_name(wire, s->a->e, s->a->s.svc, it, s->a->zone);
	if (!target.len)
		return 0;
	if (put_srv(s, target, it))
		return -ENOMEM;
	if (!fl_seen_new(&s->seen, fl_name_hash(target) ^ fl_hash(it->ip.b, it->ip.len)))
		return 0;
	target.wire = fl_copy(s->a->q->arena, target.wire, target.len);
	return target.wire ? put(s->a, FL_ADDITIONAL, target, it->ip.len == 4 ? FL_T_A : FL_T_AAAA, s->a->e->ttl, it->ip.b, it->ip.len) : -ENOMEM;
}

static enum fl_verdict services(struct ask *a)
{
	struct srv s = { .a = a, .weight = fl_ext_weight(a->items) };
	struct ext_walk w;
	struct ext_item it;
	int ret = seen_begin(a, &s.seen, 2ull * a->items) ? 0 : -ENOMEM;
	bool waits = false;
	for (fl_ext_walk(&w, a->e, &a->r, &a->s); !ret && !full(a) && fl_ext_next(&w, &it);) {
		if (!fl_ext_has_port(&it))
			continue;
		ret = it.ip.len ? srv_address(&s, &it) : srv_host(&s, &it);
		waits |= ret == -EAGAIN;
		ret = ret == -EAGAIN ? 0 : ret; /* start them all, then wait */
	}
	if (ret || waits) {
		a->q->res.n = 0;
		return fl_yield(a->q, ret ? ret : -EAGAIN);
	}
	a->q->res.set |= full(a) ? FL_TC : 0;
	return a->q->res.n ? done(a->q) : negative(a, FL_NOERROR);
}

/* ---- PTR ---- */

/* true: it was answered, *v says how. */
static bool reverse(struct ask *a, enum fl_verdict *v)
{
	const struct fl_service *s[PTRS_MAX];
	const struct ext_item whole = { 0 };
	struct fl_addr addr;
	uint8_t wire[FL_NAME_MAX];
	if (!fl_name_unreverse(a->q->qname, &addr))
		return false;
	struct fl_ip ip = { .len = addr.len };
	memcpy(ip.b, addr.b, addr.len);
	unsigned n = a->e->cluster->by_external(a->e->inst, &ip, s, PTRS_MAX);
	a->q->res.set |= n > PTRS_MAX ? FL_TC : 0;
	for (unsigned i = 0; i < n && i < PTRS_MAX; i++) {
		struct fl_name target = fl_ext_name(wire, a->e, s[i], &whole, a->e->zones.name[0]);
		if (target.len && put(a, FL_ANSWER, a->q->qname, FL_T_PTR, a->e->ttl, target.wire, target.len)) {
			*v = fl_yield(a->q, -ENOMEM);
			return true;
		}
	}
	*v = a->q->res.n ? done(a->q) : no_name(a);
	return true;
}

/* ---- the way of one question ---- */

static unsigned count(struct ask *a)
{
	struct ext_walk w;
	struct ext_item it;
	unsigned n = 0;
	for (fl_ext_walk(&w, a->e, &a->r, &a->s); fl_ext_next(&w, &it);)
		n++;
	return n;
}

enum fl_verdict fl_ext_query(void *inst, struct fl_query *q)
{
	struct ask a = { .e = inst, .q = q };
	uint8_t to[FL_NAME_MAX];
	enum fl_verdict v;
	int z = fl_zones_match(&a.e->zones, q->qname);
	if (z < 0)
		return FL_NEXT;
	a.used = 12 + q->qname.len + 4u;
	uint8_t len = a.e->zones.name[z].len;
	a.zone = (struct fl_name){ q->qname.wire + q->qname.len - len, len };
	if (q->qtype == FL_T_AXFR || q->qtype == FL_T_IXFR)
		return fl_fail(q, FL_REFUSED, NULL);
	if (q->qname.len == len)
		return apex(&a);
	struct fl_name mine = fl_ext_below_apex(to, a.e, "", a.zone);
	if (mine.len && fl_name_under(q->qname, mine))
		return below_apex(&a);
	if (q->qtype == FL_T_PTR && reverse(&a, &v))
		return v;
	fl_ext_parse(&a.r, q->qname, fl_name_labels(a.zone));
	if (!a.e->cluster->exposed(a.e->inst, a.r.ns))
		return no_name(&a);
	if (!a.r.service.n)
		return negative(&a, FL_NOERROR);
	if (a.r.too_long || !a.e->cluster->service(a.e->inst, a.r.ns, a.r.service, &a.s) || !(a.items = count(&a)))
		return no_name(&a);
	if (q->qtype == FL_T_A || q->qtype == FL_T_AAAA)
		return addresses(&a);
	return q->qtype == FL_T_SRV ? services(&a) : negative(&a, FL_NOERROR);
}

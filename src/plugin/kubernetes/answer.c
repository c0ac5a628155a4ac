#include "plugin/kubernetes/kubernetes.h"
#include <errno.h>

enum { CHAIN_MAX = 10 };        /* aliases in a row, as CoreDNS */

static int add(struct fl_query *q, enum fl_section sec, struct fl_name owner, const struct fl_rrset *set, bool shared)
{
	return set && fl_reply_add(q, sec, owner, set, shared) ? 0 : -ENOMEM;
}

/* ---- SOA and negative answers ---- */

static const struct fl_rrset *soa_set(const struct kubernetes *k, struct fl_query *q, struct fl_name zone)
{
	static const uint8_t ns[] = "\2ns\3dns", host[] = "\012hostmaster";
	uint8_t rdata[2 * FL_NAME_MAX + 20], *p = rdata;
	const uint32_t number[] = { fl_k8s_serial(k->state->index), 7200, 1800, 86400, k->ttl_s };
	if (zone.len > FL_NAME_MAX - 12)
		return NULL;
	memcpy(p, ns, sizeof ns - 1);
	memcpy(p += sizeof ns - 1, zone.wire, zone.len);
	memcpy(p += zone.len, host, sizeof host - 1);
	memcpy(p += sizeof host - 1, zone.wire, zone.len);
	p += zone.len;
	for (unsigned i = 0; i < FL_COUNT(number); i++, p += 4)
		fl_put32(p, number[i]);
	return fl_rrset_one(q->arena, FL_T_SOA, k->ttl_s < 300 ? k->ttl_s : 300, rdata, (size_t)(p - rdata));
}

/* Nothing of that type, or no such name: with the zone's SOA in authority. */
static enum fl_verdict negative(const struct kubernetes *k, struct fl_query *q, uint16_t rcode, struct fl_name zone)
{
	struct fl_name owner = zone.len == q->qname.len ? q->qname : zone;
	q->res = (struct fl_reply){ .rcode = rcode, .set = FL_AA, .live = true };
	return add(q, FL_AUTHORITY, owner, soa_set(k, q, zone), false) ? fl_yield(q, -ENOMEM) : FL_DONE;
}

static enum fl_verdict no_such_name(const struct kubernetes *k, struct fl_query *q, struct fl_name zone)
{
	if (!fl_k8s_synced(k->state->index)) {
		/* Not known yet is not the same as not there: neither NXDOMAIN nor another server's word. */
		enum fl_verdict v = negative(k, q, FL_SERVFAIL, zone);
		q->res.why = "the cluster is not known yet";
		q->res.has_ede = true;
		q->res.ede = 14;        /* Not Ready */
		return v;
	}
	if (!fl_fall_through(&k->fall, q->qname))
		return negative(k, q, FL_NXDOMAIN, zone);
	q->res = (struct fl_reply){ 0 };
	return FL_NEXT;
}

/* ---- addresses ---- */

struct gather { struct fl_query *q; struct fl_rrset_maker m; uint8_t len; uint32_t ttl_s; const struct fl_slice *last; uint32_t slot; };

static bool gather_one(void *arg, const struct fl_slice *s, uint32_t slot, const struct fl_port *port)
{
	struct gather *g = arg;
	const uint8_t *addr = s->addr + (size_t)slot * s->alen;
	(void)port;
	if (s->alen != g->len || (g->last == s && g->slot == slot))     /* another port of the same */
		return true;
	g->last = s;
	g->slot = slot;
	for (unsigned i = 0; i < g->m.count; i++)
		if (!memcmp(g->m.buf + i * (10u + g->len) + 10, addr, g->len))
			return true;
	fl_rrset_put(&g->m, g->ttl_s, addr, g->len);
	return true;
}

/* Adds what of the asked family stands behind a hit; how many records, -ENOMEM. */
static int add_addresses(const struct kubernetes *k, struct fl_query *q, struct fl_name owner, enum k8s_found f, const struct k8s_hit *h)
{
	uint8_t len = q->qtype == FL_T_A ? 4 : 16;
	const struct k8s_name *n = &h->name;
	if (f == FOUND_CLUSTER_IP || (f == FOUND_ENDPOINTS && h->node->service->headless && !n->endpoint.n && !n->port.n && !n->proto.n)) {
		const struct fl_rrset *set = len == 4 ? &h->node->a : &h->node->aaaa;
		if (!set->count)
			return 0;
		return add(q, FL_ANSWER, owner, set, true) ? -ENOMEM : set->count;
	}
	if (f == FOUND_POD) {
		if (h->pod.len != len)
			return 0;
		return add(q, FL_ANSWER, owner, fl_rrset_one(q->arena, q->qtype, k->ttl_s, h->pod.b, len), false) ? -ENOMEM : 1;
	}
	if (f != FOUND_ENDPOINTS)
		return 0;
	struct gather g = { .q = q, .len = len, .ttl_s = k->ttl_s };
	fl_rrset_begin(&g.m, q->arena, q->qtype, FL_C_IN, 4 * (10u + len));
	fl_k8s_endpoints(k, h, gather_one, &g);
	const struct fl_rrset *set = fl_rrset_end(&g.m);
	if (!set)
		return -ENOMEM;
	return !set->count ? 0 : add(q, FL_ANSWER, owner, set, false) ? -ENOMEM : set->count;
}

/* ---- ExternalName ---- */

static struct fl_name target_of(struct fl_query *q, const struct k8s_hit *h)
{
	return fl_name_parse_in(q->arena, h->node->service->external_name);
}

static int add_cname(const struct kubernetes *k, struct fl_query *q, struct fl_name owner, struct fl_name target)
{
	return add(q, FL_ANSWER, owner, fl_rrset_one(q->arena, FL_T_CNAME, k->ttl_s, target.wire, target.len), false);
}

/* The answer that a server gave to a target outside. */
static int add_looked_up(struct fl_query *q, const struct fl_reply *a)
{
	q->res.set |= a->set & FL_TC;
	for (unsigned i = 0; i < a->n; i++) {
		if (a->item[i].section != FL_ANSWER)
			continue;
		struct fl_item *it = fl_reply_add(q, FL_ANSWER, a->item[i].owner, a->item[i].set, a->item[i].shared);
		if (!it)
			return -ENOMEM;
		it->ttl_min = a->item[i].ttl_min;
		it->ttl_max = a->item[i].ttl_max;
	}
	return 0;
}

/* Follows aliases. Within the zone they count only when they lead to records; outside the whole server is asked, and the alias stands
 * whatever it says. */
static enum fl_verdict follow(const struct kubernetes *k, struct fl_query *q, const struct k8s_name *first, struct k8s_hit *h)
{
	struct fl_name seen[CHAIN_MAX + 1], owner = q->qname;
	unsigned n = 0;
	enum k8s_found f = FOUND_EXTERNAL;
	q->res = (struct fl_reply){ .set = FL_AA, .live = true };
	while (f == FOUND_EXTERNAL) {
		struct fl_name target = target_of(q, h);
		bool again = n == CHAIN_MAX || fl_name_eq(target, owner);
		for (unsigned i = 0; i < n; i++)
			again |= fl_name_eq(seen[i], target);
		if (!target.len || again)
			return negative(k, q, FL_NOERROR, first->zone);
		seen[n++] = target;
		if (!fl_name_under(target, first->zone)) {
			const struct fl_reply *a;
			int ret = fl_lookup(q, target, q->qtype, &a);
			if (ret)
				return fl_yield(q, ret);
			if (add_cname(k, q, owner, target) || add_looked_up(q, a))
				return fl_yield(q, -ENOMEM);
			return FL_DONE;
		}
		struct k8s_name name;
		if (add_cname(k, q, owner, target))
			return fl_yield(q, -ENOMEM);
		owner = target;
		fl_k8s_name(&name, target, first->zone);
		f = fl_k8s_look(k, &name, h);
	}
	int ret = add_addresses(k, q, owner, f, h);
	return ret < 0 ? fl_yield(q, ret) : ret ? FL_DONE : negative(k, q, FL_NOERROR, first->zone);
}

static enum fl_verdict alias(const struct kubernetes *k, struct fl_query *q, const struct k8s_name *n, struct k8s_hit *h)
{
	struct fl_name target = target_of(q, h);
	if (q->qtype == FL_T_A || q->qtype == FL_T_AAAA)
		return follow(k, q, n, h);
	/* CNAME; HTTPS and SVCB follow it too (RFC 9460 §2.4): the alias, not "nothing here". */
	bool says = q->qtype == FL_T_CNAME || q->qtype == FL_T_HTTPS || q->qtype == FL_T_SVCB;
	if (!says || !target.len)
		return negative(k, q, FL_NOERROR, n->zone);
	q->res = (struct fl_reply){ .set = FL_AA, .live = true };
	return add_cname(k, q, q->qname, target) ? fl_yield(q, -ENOMEM) : FL_DONE;
}

/* ---- names of the zone itself ---- */

static enum fl_verdict records_or_nothing(const struct kubernetes *k, struct fl_query *q, int ret, struct fl_name zone)
{
	return ret < 0 ? fl_yield(q, ret) : ret ? FL_DONE : negative(k, q, FL_NOERROR, zone);
}

static enum fl_verdict dns_version(const struct kubernetes *k, struct fl_query *q, struct fl_name zone)
{
	static const uint8_t version[] = "\0051.1.0";
	if (q->qtype != FL_T_TXT)
		return no_such_name(k, q, zone);
	q->res = (struct fl_reply){ .set = FL_AA, .live = true };
	return add(q, FL_ANSWER, q->qname, fl_rrset_one(q->arena, FL_T_TXT, 28800, version, sizeof version - 1), false)
		? fl_yield(q, -ENOMEM) : FL_DONE;
}

static enum fl_verdict apex(const struct kubernetes *k, struct fl_query *q, struct fl_name zone)
{
	q->res = (struct fl_reply){ .set = FL_AA, .live = true };
	if (q->qtype == FL_T_SOA)
		return add(q, FL_ANSWER, q->qname, soa_set(k, q, zone), false) ? fl_yield(q, -ENOMEM) : FL_DONE;
	if (q->qtype == FL_T_NS)
		return records_or_nothing(k, q, fl_k8s_ns(k, q, zone, false), zone);
	return q->qtype == FL_T_TXT ? no_such_name(k, q, zone) : negative(k, q, FL_NOERROR, zone);
}

static enum fl_verdict forward_name(const struct kubernetes *k, struct fl_query *q, struct k8s_name *n)
{
	struct k8s_hit h;
	bool addresses = q->qtype == FL_T_A || q->qtype == FL_T_AAAA;
	if (n->shape == SHAPE_APEX)
		return apex(k, q, n->zone);
	if (q->qtype == FL_T_SOA)       /* CoreDNS: there or not, nothing here */
		return negative(k, q, FL_NOERROR, n->zone);
	if (n->dns_version)
		return dns_version(k, q, n->zone);
	q->res = (struct fl_reply){ .set = FL_AA, .live = true };
	if (n->ns_dns && q->qtype != FL_T_TXT && q->qtype != FL_T_PTR)
		return records_or_nothing(k, q, addresses ? fl_k8s_ns(k, q, n->zone, true) : 0, n->zone);
	enum k8s_found f = fl_k8s_look(k, n, &h);
	if (f == FOUND_NOTHING || (f == FOUND_EMPTY && q->qtype == FL_T_TXT))
		return no_such_name(k, q, n->zone);
	if (f == FOUND_EXTERNAL)
		return alias(k, q, n, &h);
	int ret = addresses ? add_addresses(k, q, q->qname, f, &h) : q->qtype == FL_T_SRV ? fl_k8s_srv(k, q, f, &h) : 0;
	return records_or_nothing(k, q, ret, n->zone);
}

static enum fl_verdict reverse_name(const struct kubernetes *k, struct fl_query *q, struct fl_name zone)
{
	if (zone.len == q->qname.len)
		return apex(k, q, zone);
	if (q->qtype == FL_T_SOA)
		return negative(k, q, FL_NOERROR, zone);
	q->res = (struct fl_reply){ .set = FL_AA, .live = true };
	int ret = q->qtype == FL_T_PTR ? fl_k8s_ptr(k, q) : 0;
	return ret < 0 ? fl_yield(q, ret) : ret ? FL_DONE : no_such_name(k, q, zone);
}

enum fl_verdict fl_k8s_query(void *inst, struct fl_query *q)
{
	const struct kubernetes *k = inst;
	struct k8s_name n;
	int z = fl_zones_match(&k->zones, q->qname);
	if (z < 0)
		return FL_NEXT;
	if (q->qtype == FL_T_AXFR || q->qtype == FL_T_IXFR)
		return fl_fail(q, FL_REFUSED, NULL);
	if (k->reverse[z]) {
		struct fl_name zone = k->zones.name[z];
		zone.wire = q->qname.wire + q->qname.len - zone.len;
		return reverse_name(k, q, zone);
	}
	fl_k8s_name(&n, q->qname, k->zones.name[z]);
	return forward_name(k, q, &n);
}

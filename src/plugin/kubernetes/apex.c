/* What stands at and near the apex: SOA, NS, ns.dns, dns-version.
 * Names in SOA and NS keep the question's letter case of the zone. */
#include "plugin/kubernetes/kubernetes.h"
#include <errno.h>

enum { SOA_TTL_MAX = 300, VERSION_TTL = 28800 };

static const uint8_t ns_dns[] = "\2ns\3dns", hostmaster[] = "\12hostmaster", version[] = "\13dns-version";

static size_t put_name(uint8_t *to, const uint8_t *front, size_t n, struct fl_name zone)
{
	memcpy(to, front, n);
	memcpy(to + n, zone.wire, zone.len);
	return n + zone.len;
}

int fl_k8s_soa(struct fl_k8s_ask *a, enum fl_section sec)
{
	uint8_t rdata[2 * FL_NAME_MAX + 64];
	const struct fl_k8s *k = a->k;
	if (a->tail.len + sizeof hostmaster - 1 > FL_NAME_MAX)
		return 0;
	size_t n = put_name(rdata, ns_dns, sizeof ns_dns - 1, a->tail);
	n += put_name(rdata + n, hostmaster, sizeof hostmaster - 1, a->tail);
	fl_put32(rdata + n, fl_k8s_serial(k->index, a->zone->multicluster));
	fl_put32(rdata + n + 4, 7200);
	fl_put32(rdata + n + 8, 1800);
	fl_put32(rdata + n + 12, 86400);
	fl_put32(rdata + n + 16, k->ttl);
	const struct fl_rrset *set =
	    fl_rrset_one(a->q->arena, FL_T_SOA, k->ttl < SOA_TTL_MAX ? k->ttl : SOA_TTL_MAX, rdata, n + 20);
	return set && fl_reply_add(a->q, sec, a->tail, set, a->lent) ? 0 : -ENOMEM;
}

/* The labels before the zone are these, whatever their letter case. */
static bool front_is(const struct fl_k8s_ask *a, const uint8_t *front, size_t n)
{
	struct fl_name have = { a->name.wire, (uint8_t)(a->name.len - a->tail.len) }, want = { front, (uint8_t)n };
	return fl_name_eq(have, want);
}

bool fl_k8s_is_ns_name(const struct fl_k8s_ask *a) { return front_is(a, ns_dns, sizeof ns_dns - 1); }
bool fl_k8s_is_version(const struct fl_k8s_ask *a) { return front_is(a, version, sizeof version - 1); }

int fl_k8s_version(struct fl_k8s_ask *a)
{
	/* Kubernetes DNS specification 1.1.0; multi-cluster DNS (KEP-1645) 1.0.0. */
	const struct fl_rrset *set =
	    fl_rrset_one(a->q->arena, FL_T_TXT, VERSION_TTL, a->zone->multicluster ? "\0051.0.0" : "\0051.1.0", 6);
	return set && fl_reply_add(a->q, FL_ANSWER, a->q->qname, set, false) ? 0 : -ENOMEM;
}

static bool earlier_ip(const struct fl_k8s_selves *s, unsigned i)
{
	for (unsigned k = 0; k < i; k++)
		if (s->at[k].ip.len == s->at[i].ip.len && !memcmp(s->at[k].ip.b, s->at[i].ip.b, s->at[i].ip.len))
			return true;
	return false;
}

int fl_k8s_self_addresses(struct fl_k8s_ask *a, uint16_t type)
{
	const struct fl_k8s_selves *s = fl_k8s_selves(a->k->index, FL_K8S_INSIDE);
	struct fl_rrset_maker m;
	fl_rrset_begin(&m, a->q->arena, type, FL_C_IN, 0);
	for (unsigned i = 0; i < s->n; i++)
		if (s->at[i].ip.len == (type == FL_T_A ? 4 : 16) && !earlier_ip(s, i))
			fl_rrset_put(&m, a->k->ttl, s->at[i].ip.b, s->at[i].ip.len);
	const struct fl_rrset *set = fl_rrset_end(&m);
	if (!set)
		return -ENOMEM;
	return !set->count || fl_reply_add(a->q, FL_ANSWER, a->name, set, a->lent) ? 0 : -ENOMEM;
}

static bool earlier_front(const struct fl_k8s_selves *s, unsigned i)
{
	for (unsigned k = 0; k < i; k++)
		if (s->at[k].nfront == s->at[i].nfront && !memcmp(s->at[k].front, s->at[i].front, s->at[i].nfront))
			return true;
	return false;
}

static int glue(struct fl_k8s_ask *a, const struct fl_k8s_self *s)
{
	uint8_t *owner = fl_alloc(a->q->arena, s->nfront + (size_t)a->tail.len);
	if (!owner)
		return -ENOMEM;
	struct fl_name name = { owner, (uint8_t)put_name(owner, s->front, s->nfront, a->tail) };
	const struct fl_rrset *set = fl_rrset_one(a->q->arena, s->ip.len == 4 ? FL_T_A : FL_T_AAAA, a->k->ttl, s->ip.b, s->ip.len);
	return set && fl_reply_add(a->q, FL_ADDITIONAL, name, set, false) ? 0 : -ENOMEM;
}

enum fl_verdict fl_k8s_ns(struct fl_k8s_ask *a)
{
	const struct fl_k8s_selves *s = fl_k8s_selves(a->k->index, FL_K8S_INSIDE);
	struct fl_rrset_maker m;
	uint8_t name[2 * FL_NAME_MAX];
	fl_rrset_begin(&m, a->q->arena, FL_T_NS, FL_C_IN, 0);
	for (unsigned i = 0; i < s->n; i++)
		if (s->at[i].nfront + a->tail.len <= FL_NAME_MAX && !earlier_front(s, i))
			fl_rrset_put(&m, a->k->ttl, name, put_name(name, s->at[i].front, s->at[i].nfront, a->tail));
	const struct fl_rrset *set = fl_rrset_end(&m);
	if (set && !set->count)
		return fl_k8s_no_data(a);
	if (!set || !fl_reply_add(a->q, FL_ANSWER, a->q->qname, set, false))
		return fl_k8s_no_memory(a->q);
	for (unsigned i = 0; i < s->n; i++)
		if (s->at[i].nfront + a->tail.len <= FL_NAME_MAX && glue(a, &s->at[i]))
			return fl_k8s_no_memory(a->q);
	return fl_k8s_done(a->q);
}

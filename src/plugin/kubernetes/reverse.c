/* From addresses to names: PTR, and the name servers of the zone, which are ourselves. */
#include "plugin/kubernetes/kubernetes.h"
#include <errno.h>

enum { PTRS_MAX = 256, NS_MAX = 64 };

struct ptrs {
	const struct kubernetes *k;
	struct fl_query *q;
	struct fl_name zone, name[PTRS_MAX];
	struct fl_addr addr[PTRS_MAX];  /* of name servers */
	unsigned n;
	bool ns;                        /* every endpoint of the slices, or what their services are */
	bool found;
	int ret;
};

/* Adds a name once; for name servers once with each address. */
static void add_name(struct ptrs *p, struct fl_name name, const uint8_t *addr, uint8_t len)
{
	struct fl_addr a = { .len = len };
	if (!name.len || p->n == (p->ns ? NS_MAX : PTRS_MAX))
		return;
	if (len)
		memcpy(a.b, addr, len);
	for (unsigned i = 0; i < p->n; i++)
		if (fl_name_eq(p->name[i], name) && (!p->ns || fl_addr_eq(&p->addr[i], &a)))
			return;
	p->name[p->n] = name;
	p->addr[p->n++] = a;
}

static struct fl_name endpoint_of(struct ptrs *p, const struct fl_slice *s, uint32_t slot)
{
	char text[256];
	size_t n = fl_k8s_endpoint_name(p->k, s, slot, text, sizeof text);
	struct fl_str label[] = { { text, n }, s->service, s->o.ns, FL_STR("svc") };
	return fl_k8s_join(p->q->arena, label, 4, p->zone);
}

static struct fl_name service_of(struct ptrs *p, const struct fl_service *v)
{
	struct fl_str label[] = { v->o.name, v->o.ns, FL_STR("svc") };
	return fl_k8s_join(p->q->arena, label, 3, p->zone);
}

/* A slice that no service claims (another cluster's) names nobody; and only what may be seen is named. */
static bool ptr_one(void *arg, const struct fl_slice *s, uint32_t slot)
{
	struct ptrs *p = arg;
	if (s->service.n && fl_k8s_exposed(p->k, s->o.ns))
		add_name(p, endpoint_of(p, s, slot), NULL, 0);
	return p->n < PTRS_MAX;
}

static int put_names(struct ptrs *p, uint16_t type)
{
	struct fl_rrset_maker m;
	fl_rrset_begin(&m, p->q->arena, type, FL_C_IN, p->n * 64);
	for (unsigned i = 0; i < p->n; i++) {
		bool again = false;
		for (unsigned j = 0; j < i; j++)
			again |= fl_name_eq(p->name[i], p->name[j]);
		if (!again)
			fl_rrset_put(&m, p->k->ttl_s, p->name[i].wire, p->name[i].len);
	}
	const struct fl_rrset *set = fl_rrset_end(&m);
	return set && fl_reply_add(p->q, FL_ANSWER, p->q->qname, set, false) ? (int)set->count : -ENOMEM;
}

int fl_k8s_ptr(const struct kubernetes *k, struct fl_query *q)
{
	struct fl_addr a;
	if (!fl_name_unreverse(q->qname, &a))
		return 0;
	struct ptrs *p = fl_zalloc(q->arena, sizeof *p);
	if (!p)
		return -ENOMEM;
	p->k = k;
	p->q = q;
	p->zone = k->zones.name[k->primary];
	const struct fl_service *v = fl_k8s_by_ip(k->state->index, a.b, a.len);
	if (v && fl_k8s_exposed(k, v->o.ns))
		add_name(p, service_of(p, v), NULL, 0);
	else if (!v)
		fl_k8s_by_endpoint(k->state->index, a.b, a.len, ptr_one, p);
	return p->n ? put_names(p, FL_T_PTR) : 0;
}

/* ---- name servers ---- */

static bool ns_one(void *arg, const struct fl_slice *s, uint32_t slot)
{
	struct ptrs *p = arg;
	const struct k8s_node *node = fl_k8s_find(p->k->state->index, s->o.ns, s->service);
	const struct fl_service *v = node ? node->service : NULL;
	(void)slot;
	p->found = true;
	for (uint32_t e = 0; v && v->headless && e < s->nep && p->n < NS_MAX; e++)
		if (s->ep[e].flags & FL_EP_READY)
			add_name(p, endpoint_of(p, s, e), s->addr + (size_t)e * s->alen, s->alen);
	for (unsigned i = 0; v && !v->headless && i < v->nip; i++)
		add_name(p, service_of(p, v), v->ip[i].b, v->ip[i].len);
	return true;
}

static int put_address(struct ptrs *p, unsigned i, enum fl_section sec, struct fl_name owner)
{
	const struct fl_addr *a = &p->addr[i];
	const struct fl_rrset *set = fl_rrset_one(p->q->arena, a->len == 4 ? FL_T_A : FL_T_AAAA, p->k->ttl_s, a->b, a->len);
	return set && fl_reply_add(p->q, sec, owner, set, false) ? 0 : -ENOMEM;
}

/* The services that select us, else ns.dns.zone with our own addresses (CoreDNS plugin/kubernetes/ns.go). addresses_only: the answer to A
 * or AAAA of ns.dns.zone. */
int fl_k8s_ns(const struct kubernetes *k, struct fl_query *q, struct fl_name zone, bool addresses_only)
{
	struct fl_str label[] = { FL_STR("ns"), FL_STR("dns") };
	struct ptrs *p = fl_zalloc(q->arena, sizeof *p);
	int count = 0;
	if (!p)
		return -ENOMEM;
	p->k = k;
	p->q = q;
	p->zone = zone;
	p->ns = true;
	for (unsigned i = 0; i < k->nlocal; i++)
		fl_k8s_by_endpoint(k->state->index, k->local[i].b, k->local[i].len, ns_one, p);
	for (unsigned i = 0; !p->found && i < k->nlocal; i++)
		add_name(p, fl_k8s_join(q->arena, label, 2, zone), k->local[i].b, k->local[i].len);
	if (!p->n)
		return 0;
	if (!addresses_only && (count = put_names(p, FL_T_NS)) < 0)
		return count;
	for (unsigned i = 0; i < p->n; i++) {
		uint8_t want = q->qtype == FL_T_A ? 4 : 16;
		if (addresses_only && p->addr[i].len != want)
			continue;
		if (p->addr[i].len && put_address(p, i, addresses_only ? FL_ANSWER : FL_ADDITIONAL, addresses_only ? q->qname : p->name[i]))
			return -ENOMEM;
		count += addresses_only;
	}
	return count;
}

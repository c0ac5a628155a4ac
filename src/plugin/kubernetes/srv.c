#include "base/rng.h"
#include "plugin/kubernetes/kubernetes.h"
#include <errno.h>

/* No message holds more than 64 KiB: beyond this many bytes of records nothing is made, the packer cuts and says TC. */
enum { ENOUGH = 66000, SEEN = 4096 };

/* Pairs that were made already: (target, port) and (target, address). */
struct seen { uint64_t *slot; unsigned n; };

static bool first_time(struct seen *s, uint64_t id, uint64_t with)
{
	uint64_t hash = (id ^ (with + 1) * 0x9e3779b97f4a7c15ull) * 0xbf58476d1ce4e5b9ull;
	hash = (hash ^ hash >> 32) | 1;
	if (2 * s->n >= SEEN)
		return true;
	for (unsigned i = hash >> 40 & (SEEN - 1);; i = (i + 1) & (SEEN - 1)) {
		if (s->slot[i] == hash)
			return false;
		if (!s->slot[i]) {
			s->slot[i] = hash;
			s->n++;
			return true;
		}
	}
}

struct maker {
	const struct kubernetes *k;
	struct fl_query *q;
	const struct k8s_hit *h;
	unsigned items;                 /* addresses x ports, doubles too: what the weight is made of */
	uint16_t weight;
	uint8_t *buf; size_t n, cap;    /* SRV records, packed */
	uint16_t count;
	struct seen seen;
	size_t extra;                   /* bytes of additional records */
	int ret;
};

static int grow(struct maker *m, size_t more)
{
	if (m->n + more <= m->cap)
		return 0;
	size_t cap = m->cap ? 2 * m->cap : 512;
	while (cap < m->n + more)
		cap *= 2;
	uint8_t *b = fl_alloc(m->q->arena, cap);
	if (!b)
		return -ENOMEM;
	if (m->n)
		memcpy(b, m->buf, m->n);
	m->buf = b;
	m->cap = cap;
	return 0;
}

static void put_srv(struct maker *m, struct fl_name target, int32_t port)
{
	if (m->n > ENOUGH || (m->ret = grow(m, 16u + target.len)))
		return;
	uint8_t *p = m->buf + m->n;
	fl_put16(p, FL_T_SRV);
	fl_put16(p + 2, FL_C_IN);
	fl_put32(p + 4, m->k->ttl_s);
	fl_put16(p + 8, (uint16_t)(6 + target.len));
	fl_put16(p + 10, 0);
	fl_put16(p + 12, m->weight);
	fl_put16(p + 14, (uint16_t)port);
	memcpy(p + 16, target.wire, target.len);
	m->n += 16u + target.len;
	m->count++;
}

static void put_extra(struct maker *m, struct fl_name target, const uint8_t *addr, uint8_t len)
{
	if (m->extra > ENOUGH)
		return;
	const struct fl_rrset *set = fl_rrset_one(m->q->arena, len == 4 ? FL_T_A : FL_T_AAAA, m->k->ttl_s, addr, len);
	if (!set || !fl_reply_add(m->q, FL_ADDITIONAL, target, set, false))
		m->ret = -ENOMEM;
	m->extra += target.len + set->len;
}

static struct fl_name service_name(struct maker *m, const char *endpoint, size_t n)
{
	const struct fl_service *v = m->h->node->service;
	struct fl_str label[] = { { endpoint, n }, v->o.name, v->o.ns, FL_STR("svc") };
	return fl_k8s_join(m->q->arena, n ? label : label + 1, n ? 4 : 3, m->h->name.zone);
}

static bool count_one(void *arg, const struct fl_slice *s, uint32_t slot, const struct fl_port *port)
{
	(void)s, (void)slot, (void)port;
	((struct maker *)arg)->items++;
	return true;
}

static bool make_one(void *arg, const struct fl_slice *s, uint32_t slot, const struct fl_port *port)
{
	struct maker *m = arg;
	char name[256];
	size_t n = fl_k8s_endpoint_name(m->k, s, slot, name, sizeof name);
	if (!port || port->port < 0)
		return true;
	uint64_t id = fl_hash(name, n);
	const uint8_t *addr = s->addr + (size_t)slot * s->alen;
	bool srv = first_time(&m->seen, id, (uint64_t)port->port);
	bool extra = first_time(&m->seen, id, fl_hash(addr, s->alen) | 1ull << 32);
	if (!srv && !extra)
		return true;
	struct fl_name target = service_name(m, name, n);
	if (!target.len)
		return true;            /* no domain name can be made of it */
	if (srv)
		put_srv(m, target, port->port);
	if (extra && !m->ret)
		put_extra(m, target, addr, s->alen);
	return !m->ret && m->n <= ENOUGH;
}

static uint16_t weight_of(unsigned items)
{
	unsigned w = items ? 100 / items : 100;
	return (uint16_t)(w ? w : 1);
}

static void of_endpoints(struct maker *m)
{
	fl_k8s_endpoints(m->k, m->h, count_one, m);
	m->weight = weight_of(m->items);
	if (!(m->seen.slot = fl_zalloc(m->q->arena, SEEN * sizeof *m->seen.slot)))
		m->ret = -ENOMEM;
	else
		fl_k8s_endpoints(m->k, m->h, make_one, m);
}

static void of_cluster_ip(struct maker *m)
{
	const struct fl_service *v = m->h->node->service;
	unsigned ports = 0;
	for (unsigned i = 0; i < v->nport; i++)
		ports += fl_k8s_port_fits(&m->h->name, &v->port[i]);
	m->weight = weight_of(ports * v->nip);
	struct fl_name target = service_name(m, NULL, 0);
	if (!target.len || !ports)
		return;
	for (unsigned i = 0; i < v->nport && !m->ret; i++) {
		bool double_ = false;
		for (unsigned j = 0; j < i; j++)
			double_ |= v->port[j].port == v->port[i].port && fl_k8s_port_fits(&m->h->name, &v->port[j]);
		if (fl_k8s_port_fits(&m->h->name, &v->port[i]) && !double_)
			put_srv(m, target, v->port[i].port);
	}
	const struct fl_rrset *set[] = { &m->h->node->a, &m->h->node->aaaa };
	for (int i = 0; i < 2 && !m->ret; i++)
		if (set[i]->count && !fl_reply_add(m->q, FL_ADDITIONAL, target, set[i], true))
			m->ret = -ENOMEM;
}

/* A pod's name stands for itself. */
static void of_pod(struct maker *m)
{
	const struct k8s_name *n = &m->h->name;
	struct fl_str label[] = { n->service, n->ns, FL_STR("pod") };
	struct fl_name target = fl_k8s_join(m->q->arena, label, 3, n->zone);
	for (int i = 0; target.len && i < target.len - n->zone.len; i++)  /* what is ours in lower case, the zone as asked */
		((uint8_t *)(uintptr_t)target.wire)[i] = fl_lower(target.wire[i]);
	m->weight = 100;
	if (!target.len)
		return;
	put_srv(m, target, 0);
	if (!m->ret)
		put_extra(m, target, m->h->pod.b, m->h->pod.len);
}

int fl_k8s_srv(const struct kubernetes *k, struct fl_query *q, enum k8s_found f, const struct k8s_hit *h)
{
	struct maker m = { .k = k, .q = q, .h = h };
	if (f == FOUND_ENDPOINTS)
		of_endpoints(&m);
	else if (f == FOUND_CLUSTER_IP)
		of_cluster_ip(&m);
	else if (f == FOUND_POD)
		of_pod(&m);
	if (m.ret || !m.count)
		return m.ret;
	struct fl_rrset *set = fl_alloc(q->arena, sizeof *set);
	if (!set)
		return -ENOMEM;
	*set = (struct fl_rrset){ .type = FL_T_SRV, .count = m.count, .len = (uint32_t)m.n, .data = m.buf };
	return fl_reply_add(q, FL_ANSWER, q->qname, set, false) ? m.count : -ENOMEM;
}

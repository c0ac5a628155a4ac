/* Whole zones for the transfer plugin (CoreDNS plugin/kubernetes/xfr.go). On the helper thread. */
#include "plugin/kubernetes/kubernetes.h"
#include "dns/transfer.h"
#include <errno.h>

enum { SOA_TTL_MAX = 300, VIP_WEIGHT = 100 };

struct out {
	const struct fl_k8s *k;
	struct fl_name zone;
	bool multicluster;
	struct fl_records *to;
};

static int mine(void *inst, struct fl_name zone)
{
	const struct fl_k8s *k = inst;
	for (unsigned i = 0; i < k->nzone; i++)
		if (!k->zone[i].reverse && fl_name_eq(k->zone[i].name, zone))
			return fl_k8s_synced(k->index) ? 0 : -EAGAIN;
	return -ENOENT;
}

static struct fl_name name(const struct fl_k8s_namer *w) { return (struct fl_name){ w->wire, (uint8_t)w->n }; }

static void address(const struct out *o, const struct fl_k8s_namer *owner, const uint8_t *b, uint8_t len, uint32_t ttl)
{
	fl_records_put(o->to, name(owner), len == 4 ? FL_T_A : FL_T_AAAA, ttl, b, len, NULL, 0);
}

static void srv(const struct out *o, struct fl_name owner, uint16_t weight, uint16_t port, const struct fl_k8s_namer *target)
{
	uint8_t head[6] = { 0 };
	fl_put16(head + 2, weight);
	fl_put16(head + 4, port);
	fl_records_put(o->to, owner, FL_T_SRV, o->k->ttl, head, sizeof head, target->wire, target->n);
}

static bool scored(struct fl_k8s_namer *w, struct fl_str label)
{
	uint8_t text[1 + FL_LABEL_MAX] = "_";
	if (!label.n || label.n >= FL_LABEL_MAX)
		return false;
	for (size_t i = 0; i < label.n; i++)
		text[1 + i] = fl_lower((uint8_t)label.p[i]);
	return fl_k8s_name_put(w, (const char *)text, label.n + 1);
}

/* _port._protocol.svc.ns.svc.ZONE; an unnamed port has none. */
static void named_srv(const struct out *o, const struct fl_port *p, uint16_t weight, const struct fl_k8s_namer *svc,
		      const struct fl_k8s_namer *target)
{
	struct fl_k8s_namer w = { .n = 0 };
	if (scored(&w, p->name) && scored(&w, p->protocol) && fl_k8s_name_end(&w, name(svc)))
		srv(o, name(&w), weight, (uint16_t)p->port, target);
}

static void vip(const struct out *o, const struct fl_service *s, const struct fl_k8s_namer *svc)
{
	unsigned there = 0;
	for (unsigned i = 0; i < s->nip; i++) {
		if (s->ip[i].len)
			address(o, svc, s->ip[i].b, s->ip[i].len, o->k->ttl);
		there += s->ip[i].len != 0;
	}
	for (unsigned i = 0; there && i < s->nport; i++) {
		if (s->port[i].port < 0)
			continue;
		srv(o, name(svc), VIP_WEIGHT, (uint16_t)s->port[i].port, svc);
		named_srv(o, &s->port[i], VIP_WEIGHT, svc, svc);
	}
}

/* In a multicluster zone CoreDNS leaves the cluster out of these names, though questions need it: here it is in. */
static void endpoints(const struct out *o, const struct fl_k8s_node *n, const struct fl_slice *s, const struct fl_k8s_namer *svc)
{
	uint32_t ready = 0;
	for (uint32_t i = 0; i < s->nep; i++)
		ready += fl_k8s_ready(s, i);
	uint16_t weight = ready && ready < 100 ? (uint16_t)(100 / ready) : 1;
	for (uint32_t i = 0; i < s->nep; i++) {
		struct fl_k8s_namer ep;
		if (!fl_k8s_ready(s, i))
			continue;
		address(o, svc, fl_k8s_addr(s, i), s->alen, o->k->ttl);
		if (!fl_k8s_name_of(&ep, &n->svc->o, s, i, o->k->pod_names, o->zone))
			continue;
		address(o, &ep, fl_k8s_addr(s, i), s->alen, o->k->ttl);
		for (unsigned p = 0; p < s->nport; p++)
			if (s->port[p].port >= 0)
				named_srv(o, &s->port[p], weight, svc, &ep);
	}
}

static void node(void *arg, const struct fl_k8s_node *n)
{
	const struct out *o = arg;
	struct fl_k8s_namer svc;
	if (!n->svc || n->kind == FL_K8S_HIDDEN || !__atomic_load_n(&n->ns->exposed, __ATOMIC_ACQUIRE) ||
	    !fl_k8s_name_of(&svc, &n->svc->o, NULL, 0, false, o->zone))
		return;
	struct fl_rr alias = { 0 };
	if (n->kind == FL_K8S_VIP)
		vip(o, n->svc, &svc);
	else if (n->kind == FL_K8S_ALIAS && fl_rr_next(&n->a, &alias))
		fl_records_put(o->to, name(&svc), FL_T_CNAME, alias.ttl, alias.rdata, alias.rdlen, NULL, 0);
	for (uint32_t i = 0; n->kind == FL_K8S_HEADLESS && i < n->nslice; i++)
		endpoints(o, n, n->slice[i], &svc);
}

static void soa(const struct out *o, uint32_t serial)
{
	static const uint8_t ns[] = "\2ns\3dns", hostmaster[] = "\12hostmaster";
	uint8_t rdata[2 * FL_NAME_MAX + 64], *p = rdata;
	p = (uint8_t *)fl_put_bytes(p, ns, sizeof ns - 1);
	p = (uint8_t *)fl_put_bytes(p, o->zone.wire, o->zone.len);
	p = (uint8_t *)fl_put_bytes(p, hostmaster, sizeof hostmaster - 1);
	p = (uint8_t *)fl_put_bytes(p, o->zone.wire, o->zone.len);
	const uint32_t number[] = { serial, 7200, 1800, 86400, o->k->ttl };
	for (unsigned i = 0; i < FL_COUNT(number); i++, p += 4)
		fl_put32(p, number[i]);
	fl_records_put(o->to, o->zone, FL_T_SOA, o->k->ttl < SOA_TTL_MAX ? o->k->ttl : SOA_TTL_MAX, rdata, (size_t)(p - rdata), NULL, 0);
}

/* The names of this server, and where they are. CoreDNS sends these addresses with TTL 0; a secondary could not keep them. */
static void selves(const struct out *o)
{
	const struct fl_k8s_selves *s = fl_k8s_selves(o->k->index, FL_K8S_INSIDE);
	for (int pass = 0; pass < 2; pass++)
		for (unsigned i = 0; i < s->n; i++) {
			const struct fl_k8s_self *e = &s->at[i];
			struct fl_k8s_namer w = { .n = 0 };
			bool met = false;
			for (unsigned k = 0; k < i; k++)
				met |= s->at[k].nfront == e->nfront && !memcmp(s->at[k].front, e->front, e->nfront);
			if (e->nfront + o->zone.len > FL_NAME_MAX)
				continue;
			memcpy(w.wire, e->front, e->nfront);
			memcpy(w.wire + e->nfront, o->zone.wire, o->zone.len);
			w.n = e->nfront + (unsigned)o->zone.len;
			if (pass)
				address(o, &w, e->ip.b, e->ip.len, o->k->ttl);
			else if (!met)
				fl_records_put(o->to, o->zone, FL_T_NS, o->k->ttl, w.wire, w.n, NULL, 0);
		}
}

static void records(void *inst, struct fl_name zone, const uint32_t *have, struct fl_records *to)
{
	const struct fl_k8s *k = inst;
	struct out o = { .k = k, .zone = zone, .to = to };
	for (unsigned i = 0; i < k->nzone; i++)
		if (fl_name_eq(k->zone[i].name, zone))
			o.multicluster = k->zone[i].multicluster;
	uint32_t serial = fl_k8s_serial(k->index, o.multicluster);
	soa(&o, serial);
	if (have && *have == serial)
		return;
	selves(&o);
	fl_k8s_each_node(k->index, o.multicluster, node, &o);
	soa(&o, serial);
}

const struct fl_transfer_ops fl_k8s_transfer = { mine, records };

/* The whole zone: what questions are answered with, each record once. On the helper thread. */
#include "plugin/k8s_external/k8s_external.h"
#include <errno.h>

struct out { const struct ext *e; struct fl_name zone; struct fl_records *to; };

static int mine(void *inst, struct fl_name zone)
{
	const struct ext *e = inst;
	for (unsigned i = 0; i < e->zones.n; i++)
		if (fl_name_eq(e->zones.name[i], zone))
			return e->cluster->synced(e->inst) ? 0 : -EAGAIN;
	return -ENOENT;
}

static void address(const struct out *o, struct fl_name owner, const struct fl_ip *ip)
{
	fl_records_put(o->to, owner, ip->len == 4 ? FL_T_A : FL_T_AAAA, o->e->ttl, ip->b, ip->len, NULL, 0);
}

static bool same_place(const struct ext_item *a, const struct ext_item *b)
{
	return a->slice == b->slice && a->at == b->at && a->ip.len == b->ip.len && !memcmp(a->ip.b, b->ip.b, a->ip.len) &&
	       fl_str_eq(a->host, b->host);
}

static bool put_label(uint8_t *to, size_t *n, struct fl_str s)
{
	if (!s.n || s.n >= FL_LABEL_MAX)
		return false;
	to[(*n)++] = (uint8_t)(s.n + 1);
	to[(*n)++] = '_';
	for (size_t i = 0; i < s.n; i++)
		to[(*n)++] = fl_lower((uint8_t)s.p[i]);
	return true;
}

static void srv(const struct out *o, struct fl_name owner, unsigned records, const struct fl_port *p, struct fl_name target)
{
	uint8_t head[6] = { 0 };
	fl_put16(head + 2, fl_ext_weight(records));
	fl_put16(head + 4, (uint16_t)p->port);
	fl_records_put(o->to, owner, FL_T_SRV, o->e->cluster->ttl(o->e->inst), head, sizeof head, target.wire, target.len);
}

/* So many records share the weight of a name: all of the service, of one port, of one endpoint. */
static unsigned records_of(const struct out *o, const struct fl_cluster_service *s, const struct ext_req *r)
{
	struct ext_walk w;
	struct ext_item it;
	unsigned n = 0;
	for (fl_ext_walk(&w, o->e, r, s); fl_ext_next(&w, &it);)
		n++;
	return n;
}

static void srv_records(const struct out *o, const struct fl_cluster_service *s, struct fl_name svc, const struct ext_item *it,
			struct fl_name target, bool first)
{
	const struct ext_req all = { 0 }, one = { .port = it->port->name, .protocol = it->port->protocol };
	uint8_t front[2 * FL_LABEL_MAX + 2], wire[FL_NAME_MAX];
	size_t n = 0;
	struct ext_walk w;
	struct ext_item other;
	unsigned here = 0;
	if (it->slice || first)         /* several addresses of a service share their target: its records once */
		srv(o, svc, records_of(o, s, &all), it->port, target);
	for (fl_ext_walk(&w, o->e, &all, s); it->slice && fl_ext_next(&w, &other);)
		here += other.slice == it->slice && other.at == it->at;
	if (it->slice)
		srv(o, target, here, it->port, target);
	if ((it->slice || first) && put_label(front, &n, it->port->name) && put_label(front, &n, it->port->protocol) && n + svc.len <= FL_NAME_MAX) {
		memcpy(wire, front, n);
		memcpy(wire + n, svc.wire, svc.len);
		srv(o, (struct fl_name){ wire, (uint8_t)(n + svc.len) }, records_of(o, s, &one), it->port, target);
	}
}

static bool any_address(const struct out *o, const struct fl_cluster_service *s)
{
	const struct ext_req all = { 0 };
	struct ext_walk w;
	struct ext_item it;
	bool any = false;
	for (fl_ext_walk(&w, o->e, &all, s); !any && fl_ext_next(&w, &it);)
		any = it.ip.len > 0;
	return any;
}

static void service(void *arg, const struct fl_cluster_service *s)
{
	const struct out *o = arg;
	const struct ext_req all = { 0 };
	const struct ext_item whole = { 0 };
	struct ext_item it, last = { .at = UINT32_MAX };
	struct ext_walk w;
	uint8_t wire[FL_NAME_MAX], ep[FL_NAME_MAX], host[FL_NAME_MAX];
	struct fl_name svc = fl_ext_name(wire, o->e, s->svc, &whole, o->zone);
	bool addressed = any_address(o, s), told = false;
	uint32_t place = 0;
	for (fl_ext_walk(&w, o->e, &all, s); svc.len && fl_ext_next(&w, &it); last = it) {
		struct fl_name target = it.ip.len ? fl_ext_name(ep, o->e, s->svc, &it, o->zone) : (struct fl_name){ host, 0 };
		int n = it.ip.len ? 0 : fl_name_parse(host, it.host);
		if (n > 1)
			target.len = (uint8_t)n;
		if (!target.len)
			continue;
		bool fresh = !same_place(&it, &last);
		place += fresh;
		if (fresh && it.ip.len)
			address(o, svc, &it.ip);
		if (fresh && it.slice)
			address(o, target, &it.ip);
		if (!it.ip.len && !addressed && !told)
			fl_records_put(o->to, svc, FL_T_CNAME, o->e->cluster->ttl(o->e->inst), target.wire, target.len, NULL, 0);
		told |= !it.ip.len;
		if (fl_ext_has_port(&it))
			srv_records(o, s, svc, &it, target, place == 1 || !it.ip.len);
	}
}

static void records(void *inst, struct fl_name zone, const uint32_t *have, struct fl_records *to)
{
	const struct ext *e = inst;
	struct out o = { e, zone, to };
	uint8_t soa[2 * FL_NAME_MAX + 20], ns[FL_NAME_MAX];
	struct fl_ip self[EXT_SELVES_MAX];
	uint32_t serial = e->cluster->serial(e->inst);
	size_t n = fl_ext_soa(soa, e, zone, serial);
	if (!n)
		return;
	fl_records_put(to, zone, FL_T_SOA, e->ttl, soa, n, NULL, 0);
	if (have && *have == serial)
		return;
	struct fl_name name = fl_ext_below_apex(ns, e, "ns1", zone);
	fl_records_put(to, zone, FL_T_NS, e->ttl, name.wire, name.len, NULL, 0);
	unsigned selves = e->cluster->selves(e->inst, e->headless, self, EXT_SELVES_MAX);
	for (unsigned i = 0; i < selves; i++)
		address(&o, name, &self[i]);
	e->cluster->services(e->inst, service, &o);
	fl_records_put(to, zone, FL_T_SOA, e->ttl, soa, n, NULL, 0);
}

const struct fl_transfer_ops fl_ext_transfer = { mine, records };

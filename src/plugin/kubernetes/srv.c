/* SRV records and the addresses of their targets. */
#include "plugin/kubernetes/kubernetes.h"
#include "base/rng.h"
#include <errno.h>

/* What a message can hold; a record that does not fit any more ends the work. An owner is a pointer at best: 2 + 10 bytes. */
enum { MESSAGE_MAX = 65535, RR_LEAST = 12 };

struct srv {
	struct fl_k8s_ask *a;
	const struct fl_k8s_node *n;
	struct fl_k8s_walk w;
	struct fl_rrset_maker m;
	struct fl_seen seen;
	struct fl_k8s_namer name;
	uint16_t weight;
	size_t used;
	/* additional: the run of addresses under way, all of one owner and type */
	struct fl_name owner;
	uint16_t type;
};

static bool full(const struct srv *s) { return s->used > MESSAGE_MAX; }

static uint64_t target_hash(const struct srv *s) { return fl_hash_fold(s->name.wire, s->name.n) * 0x9e3779b97f4a7c15ull; }

static void put_srv(struct srv *s, uint16_t port)
{
	uint8_t head[6];
	if (full(s) || !fl_seen_new(&s->seen, target_hash(s) + port + 1))
		return;
	fl_put16(head, 0);
	fl_put16(head + 2, s->weight);
	fl_put16(head + 4, port);
	fl_rrset_put2(&s->m, s->a->k->ttl, head, sizeof head, s->name.wire, s->name.n);
	s->used += RR_LEAST + sizeof head + s->name.n;
}

/* ---- additional ---- */

static int run_end(struct srv *s)
{
	if (!s->owner.len)
		return 0;
	const struct fl_rrset *set = fl_rrset_end(&s->m);
	bool ok = set && fl_reply_add(s->a->q, FL_ADDITIONAL, s->owner, set, false);
	s->owner.len = 0;
	return ok ? 0 : -ENOMEM;
}

static int put_address(struct srv *s, const uint8_t *b, uint8_t len)
{
	uint16_t type = len == 4 ? FL_T_A : FL_T_AAAA;
	if (full(s) || !fl_seen_new(&s->seen, target_hash(s) ^ fl_hash(b, len)))
		return 0;
	if (s->owner.len != s->name.n || s->type != type || memcmp(s->owner.wire, s->name.wire, s->name.n)) {
		if (run_end(s))
			return -ENOMEM;
		s->owner = (struct fl_name){ fl_copy(s->a->q->arena, s->name.wire, s->name.n), (uint8_t)s->name.n };
		if (!s->owner.wire)
			return -ENOMEM;
		s->type = type;
		fl_rrset_begin(&s->m, s->a->q->arena, type, FL_C_IN, RR_LEAST + len);
	}
	fl_rrset_put(&s->m, s->a->k->ttl, b, len);
	s->used += RR_LEAST + len;
	return 0;
}

/* ---- the three kinds of targets ---- */

static uint16_t weight_of(uint64_t n) { return n < 100 ? (uint16_t)(100 / n) : 1; }

static void walk(struct srv *s, bool every_zone)
{
	fl_k8s_walk(&s->w, s->a, s->n);
	s->w.every_zone = every_zone;
}

static bool target(struct srv *s)
{
	return fl_k8s_name_of(&s->name, &s->n->svc->o, s->w.slice, s->w.at, s->a->k->pod_names, s->a->tail);
}

static void endpoint_records(struct srv *s)
{
	while (!full(s) && fl_k8s_walk_next(&s->w)) {
		if (!target(s))
			continue;
		for (unsigned p = 0; p < s->w.slice->nport; p++)
			if (s->w.slice->port[p].port >= 0 && fl_k8s_port_matches(&s->a->req, &s->w.slice->port[p]))
				put_srv(s, (uint16_t)s->w.slice->port[p].port);
	}
}

static bool real_port(const struct srv *s)
{
	for (unsigned p = 0; p < s->w.slice->nport; p++)
		if (s->w.slice->port[p].port >= 0 && fl_k8s_port_matches(&s->a->req, &s->w.slice->port[p]))
			return true;
	return false;
}

static int endpoint_addresses(struct srv *s)
{
	while (!full(s) && fl_k8s_walk_next(&s->w))
		if (real_port(s) && target(s) && put_address(s, fl_k8s_addr(s->w.slice, s->w.at), s->w.slice->alen))
			return -ENOMEM;
	return 0;
}

/* All records, before duplicates go: they share 100. */
static uint64_t count(struct srv *s, uint64_t *endpoints)
{
	uint64_t n = 0;
	*endpoints = 0;
	while (fl_k8s_walk_next(&s->w)) {
		n += s->w.ports;
		++*endpoints;
	}
	return n;
}

static int begin(struct srv *s, uint64_t records, uint64_t addresses)
{
	s->weight = weight_of(records ? records : 1);
	s->used = 12 + s->a->q->qname.len + 4u;
	s->seen = (struct fl_seen){ .cap = fl_seen_cap(records + addresses) };
	s->seen.slot = fl_zalloc(s->a->q->arena, s->seen.cap * sizeof *s->seen.slot);
	size_t hint = records * (RR_LEAST + 6 + 48);
	fl_rrset_begin(&s->m, s->a->q->arena, FL_T_SRV, FL_C_IN, hint < MESSAGE_MAX ? hint : MESSAGE_MAX);
	return s->seen.slot ? 0 : -ENOMEM;
}

/* The SRV set goes into the answer; false: there is no record, or no memory. */
static int records_end(struct srv *s)
{
	const struct fl_rrset *set = fl_rrset_end(&s->m);
	if (!set || (set->count && !fl_reply_add(s->a->q, FL_ANSWER, s->a->q->qname, set, false)))
		return -ENOMEM;
	return 0;
}

static int srv_endpoints(struct srv *s)
{
	uint64_t endpoints;
	bool every = false;
	walk(s, false);
	uint64_t n = count(s, &endpoints);
	if (!n && s->a->req.prefer) {
		walk(s, every = true);
		n = count(s, &endpoints);
	}
	if (begin(s, n, endpoints))
		return -ENOMEM;
	walk(s, every);
	endpoint_records(s);
	if (records_end(s))
		return -ENOMEM;
	walk(s, every);
	return endpoint_addresses(s) || run_end(s) ? -ENOMEM : 0;
}

static int srv_vip(struct srv *s)
{
	const struct fl_service *svc = s->n->svc;
	const struct fl_k8s_req *r = &s->a->req;
	uint64_t ports = 0, ips = 0;
	bool real = false;
	for (unsigned p = 0; p < svc->nport; p++)
		ports += fl_k8s_port_matches(r, &svc->port[p]);
	for (unsigned i = 0; i < svc->nip; i++)
		ips += svc->ip[i].len != 0;
	if (begin(s, ports * ips, ips))
		return -ENOMEM;
	if (!fl_k8s_name_of(&s->name, &svc->o, NULL, 0, false, s->a->tail))
		return 0;
	for (unsigned p = 0; ips && p < svc->nport; p++)
		if (fl_k8s_port_matches(r, &svc->port[p]) && svc->port[p].port >= 0) {
			real = true;
			put_srv(s, (uint16_t)svc->port[p].port);
		}
	if (records_end(s))
		return -ENOMEM;
	for (unsigned i = 0; real && i < svc->nip; i++)
		if (svc->ip[i].len && put_address(s, svc->ip[i].b, svc->ip[i].len))
			return -ENOMEM;
	return run_end(s);
}

static bool put_folded(struct fl_k8s_namer *w, struct fl_str label)
{
	char low[FL_LABEL_MAX];
	for (size_t i = 0; i < label.n; i++)
		low[i] = (char)fl_lower((uint8_t)label.p[i]);
	return fl_k8s_name_put(w, low, label.n);
}

static int srv_pod(struct srv *s)
{
	const struct fl_k8s_req *r = &s->a->req;
	struct fl_ip ip;
	int n = fl_k8s_find_pods(s->a, &ip);
	if (n < 1 || begin(s, (uint64_t)n, 1))
		return n < 1 ? 0 : -ENOMEM;
	s->name.n = 0;
	if (!put_folded(&s->name, r->service) || !put_folded(&s->name, r->ns) || !fl_k8s_name_put(&s->name, "pod", 3) ||
	    !fl_k8s_name_end(&s->name, s->a->tail))
		return 0;
	put_srv(s, 0);
	if (records_end(s) || put_address(s, ip.b, ip.len))
		return -ENOMEM;
	return run_end(s);
}

enum fl_verdict fl_k8s_srv(struct fl_k8s_ask *a, const struct fl_k8s_node *n)
{
	struct srv s;
	s.a = a;
	s.n = n;
	s.owner.len = 0;
	int ret = !n ? srv_pod(&s) : n->kind == FL_K8S_VIP && !a->req.endpoint.n ? srv_vip(&s) : srv_endpoints(&s);
	if (ret) {
		a->q->res.n = 0;
		return fl_k8s_no_memory(a->q);
	}
	if (!a->q->res.n)
		return fl_k8s_no_data(a);
	if (full(&s))
		a->q->res.set |= FL_TC;
	return fl_k8s_done(a->q);
}

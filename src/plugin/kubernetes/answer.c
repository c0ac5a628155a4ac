/* The way of one question (CoreDNS plugin/kubernetes/handler.go, kubernetes.go, plugin/backend_lookup.go). */
#include "plugin/kubernetes/kubernetes.h"
#include <errno.h>

enum { EDE_NOT_READY = 14 };    /* RFC 8914 */

/* ---- ends ---- */

enum fl_verdict fl_k8s_done(struct fl_query *q)
{
	q->res.set |= FL_AA;
	q->res.live = true;
	return FL_DONE;
}

enum fl_verdict fl_k8s_no_memory(struct fl_query *q) { return fl_yield(q, -ENOMEM); }

static enum fl_verdict negative(struct fl_k8s_ask *a, uint16_t rcode)
{
	a->q->res.rcode = rcode;
	return fl_k8s_soa(a, FL_AUTHORITY) ? fl_k8s_no_memory(a->q) : fl_k8s_done(a->q);
}

enum fl_verdict fl_k8s_no_data(struct fl_k8s_ask *a) { return negative(a, FL_NOERROR); }

/* Before the first sync nobody knows: SERVFAIL. Reverse questions wait even with fallthrough, or they would leak upstream at every
 * start. */
enum fl_verdict fl_k8s_no_name(struct fl_k8s_ask *a)
{
	bool synced = fl_k8s_synced(a->k->index);
	if (fl_fall_through(&a->k->fall, a->q->qname) && (synced || !fl_k8s_is_reverse(a->q->qname)))
		return FL_NEXT;
	if (synced)
		return negative(a, FL_NXDOMAIN);
	a->q->res.has_ede = true;
	a->q->res.ede = EDE_NOT_READY;
	return negative(a, FL_SERVFAIL);
}

enum fl_verdict fl_k8s_nothing(struct fl_k8s_ask *a, enum fl_k8s_what what)
{
	return what == FL_K8S_NO_NAME ? fl_k8s_no_name(a) : fl_k8s_no_data(a);
}

/* ---- finding ---- */

bool fl_k8s_ask(struct fl_k8s_ask *a, const struct fl_k8s *k, struct fl_query *q)
{
	fl_k8s_labels(&a->labels, q->qname);
	a->k = k;
	a->q = q;
	a->zone = fl_k8s_zone(k, q->qname, &a->labels);
	if (!a->zone)
		return false;
	a->name = q->qname;
	a->lent = false;
	a->tail = fl_k8s_tail(a->name, a->zone);
	fl_k8s_parse(&a->req, a->name, &a->labels, a->zone->labels, a->zone->multicluster, k->zonal);
	return true;
}

void fl_k8s_ask_target(struct fl_k8s_ask *a, const struct fl_k8s_ask *from, struct fl_name target)
{
	fl_k8s_labels(&a->labels, target);
	a->k = from->k;
	a->q = from->q;
	a->zone = from->zone;
	a->name = target;
	a->lent = true;
	a->tail = fl_k8s_tail(target, a->zone);
	fl_k8s_parse(&a->req, target, &a->labels, a->zone->labels, a->zone->multicluster, a->k->zonal);
}

bool fl_k8s_port_matches(const struct fl_k8s_req *r, const struct fl_port *p)
{
	if (!p)
		return !r->port.n && !r->protocol.n;
	return (!r->port.n || fl_str_ieq(r->port, p->name)) && (!r->protocol.n || fl_str_ieq(r->protocol, p->protocol));
}

const struct fl_k8s_node *fl_k8s_find(const struct fl_k8s_ask *a, enum fl_k8s_what *what)
{
	const struct fl_k8s_req *r = &a->req;
	*what = r->shape == FL_K8S_EMPTY ? FL_K8S_NO_DATA : FL_K8S_NO_NAME;
	if (r->shape != FL_K8S_SVC || a->zone->reverse)
		return NULL;
	if (!r->nkey) {
		*what = fl_k8s_exposed(a->k->index, r->ns) ? FL_K8S_NO_DATA : FL_K8S_NO_NAME;
		return NULL;
	}
	const struct fl_k8s_node *n = fl_k8s_node(a->k->index, a->zone->multicluster, r->key, r->nkey);
	if (!n || n->kind == FL_K8S_HIDDEN || (r->ntopo && n->kind != FL_K8S_HEADLESS))
		return NULL;
	if (!__atomic_load_n(&n->ns->exposed, __ATOMIC_ACQUIRE))
		return NULL;
	*what = FL_K8S_ANSWERS;
	return n;
}

static bool any_port(const struct fl_k8s_req *r, const struct fl_port *port, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (fl_k8s_port_matches(r, &port[i]))
			return true;
	return !n && fl_k8s_port_matches(r, NULL);
}

int fl_k8s_find_pods(const struct fl_k8s_ask *a, struct fl_ip *ip)
{
	const struct fl_k8s_req *r = &a->req;
	if (a->k->pods == FL_K8S_PODS_OFF || a->zone->reverse || !fl_k8s_exposed(a->k->index, r->ns))
		return -1;
	if (!r->nkey)
		return 0;
	if (!fl_k8s_pod_ip(r->service, ip))
		return -1;
	if (a->k->pods == FL_K8S_PODS_INSECURE)
		return 1;
	int n = 0;
	struct fl_k8s_probe p = fl_k8s_pods(a->k->index, ip);
	for (const struct fl_pod *pod; (pod = fl_k8s_pod_next(&p, ip));)
		n += fl_str_ieq(pod->o.ns, r->ns);
	return n ? n : -1;
}

/* What the name is, whatever the type. */
enum fl_k8s_what fl_k8s_exists(const struct fl_k8s_ask *a, const struct fl_k8s_node **node)
{
	const struct fl_k8s_req *r = &a->req;
	enum fl_k8s_what what;
	struct fl_ip ip;
	*node = NULL;
	if (r->shape == FL_K8S_POD) {
		int pods = fl_k8s_find_pods(a, &ip);
		return pods < 0 ? FL_K8S_NO_NAME : pods ? FL_K8S_ANSWERS : FL_K8S_NO_DATA;
	}
	const struct fl_k8s_node *n = *node = fl_k8s_find(a, &what);
	if (!n)
		return what;
	if (n->kind == FL_K8S_ALIAS)
		return r->endpoint.n || r->port.n || r->protocol.n ? FL_K8S_NO_NAME : what;
	if (n->kind == FL_K8S_VIP && !r->endpoint.n) {
		if (!any_port(r, n->svc->port, n->svc->nport))
			return FL_K8S_NO_NAME;
		return n->svc->nip ? what : FL_K8S_NO_DATA;
	}
	if (fl_k8s_any_endpoint(a, n))
		return what;
	return r->ntopo ? FL_K8S_NO_DATA : FL_K8S_NO_NAME;
}

/* ---- addresses ---- */

static int add_set(struct fl_k8s_ask *a, const struct fl_rrset *set, bool lent)
{
	if (set && !set->count)
		return 0;
	return set && fl_reply_add(a->q, FL_ANSWER, a->name, set, lent || a->lent) ? 0 : -ENOMEM;
}

static int pod_address(struct fl_k8s_ask *a, uint16_t type, enum fl_k8s_what *what)
{
	struct fl_ip ip;
	int pods = fl_k8s_find_pods(a, &ip);
	*what = pods < 0 ? FL_K8S_NO_NAME : FL_K8S_NO_DATA;
	if (pods < 1 || ip.len != (type == FL_T_A ? 4 : 16))
		return 0;
	return add_set(a, fl_rrset_one(a->q->arena, type, a->k->ttl, ip.b, ip.len), false);
}

int fl_k8s_addresses(struct fl_k8s_ask *a, uint16_t type, enum fl_k8s_what *what, const struct fl_k8s_node **alias)
{
	const struct fl_k8s_req *r = &a->req;
	*alias = NULL;
	if (r->shape == FL_K8S_POD)
		return pod_address(a, type, what);
	const struct fl_k8s_node *n = fl_k8s_find(a, what);
	if (!n && fl_k8s_is_ns_name(a)) {
		*what = FL_K8S_NO_DATA;
		return fl_k8s_self_addresses(a, type);
	}
	if (!n)
		return 0;
	if (n->kind == FL_K8S_ALIAS) {
		*what = fl_k8s_exists(a, alias);
		return 0;
	}
	if (r->endpoint.n || r->ntopo || (r->ported && n->kind == FL_K8S_HEADLESS))
		return fl_k8s_endpoint_addresses(a, n, type, what);
	if (n->kind == FL_K8S_VIP ? r->ported && !any_port(r, n->svc->port, n->svc->nport) : !n->ready) {
		*what = FL_K8S_NO_NAME;
		return 0;
	}
	return add_set(a, type == FL_T_A ? &n->a : &n->aaaa, true);
}

static enum fl_verdict addresses(struct fl_k8s_ask *a)
{
	enum fl_k8s_what what;
	const struct fl_k8s_node *alias;
	if (fl_k8s_addresses(a, a->q->qtype, &what, &alias))
		return fl_k8s_no_memory(a->q);
	if (a->q->res.n)
		return fl_k8s_done(a->q);
	return alias && what == FL_K8S_ANSWERS ? fl_k8s_alias(a, alias) : fl_k8s_nothing(a, what);
}

/* ---- other types ---- */

static enum fl_verdict text(struct fl_k8s_ask *a)
{
	const struct fl_k8s_node *n;
	if (fl_k8s_is_version(a))
		return fl_k8s_version(a) ? fl_k8s_no_memory(a->q) : fl_k8s_done(a->q);
	/* CoreDNS denies TXT of names that are there without a record, but for zonal ones (plugin/kubernetes/kubernetes.go
	 * Services). */
	enum fl_k8s_what what = fl_k8s_exists(a, &n);
	return what == FL_K8S_ANSWERS || (what == FL_K8S_NO_DATA && a->req.ntopo) ? fl_k8s_no_data(a) : fl_k8s_no_name(a);
}

static enum fl_verdict cname(struct fl_k8s_ask *a)
{
	const struct fl_k8s_node *n;
	enum fl_k8s_what what = fl_k8s_is_ns_name(a) ? FL_K8S_NO_DATA : fl_k8s_exists(a, &n);
	if (what == FL_K8S_ANSWERS && n && n->kind == FL_K8S_ALIAS)
		return add_set(a, &n->a, true) ? fl_k8s_no_memory(a->q) : fl_k8s_done(a->q);
	return fl_k8s_nothing(a, what);
}

static enum fl_verdict soa(struct fl_k8s_ask *a)
{
	if (a->name.len != a->tail.len) /* CoreDNS asks nobody whether the name is there */
		return fl_k8s_no_data(a);
	return fl_k8s_soa(a, FL_ANSWER) ? fl_k8s_no_memory(a->q) : fl_k8s_done(a->q);
}

/* HTTPS and SVCB follow an alias (RFC 9460 §2.4.2); CoreDNS says NODATA. */
static enum fl_verdict other(struct fl_k8s_ask *a)
{
	const struct fl_k8s_node *n;
	enum fl_k8s_what what = fl_k8s_is_ns_name(a) ? FL_K8S_NO_DATA : fl_k8s_exists(a, &n);
	if (what == FL_K8S_ANSWERS && n && n->kind == FL_K8S_ALIAS && (a->q->qtype == FL_T_HTTPS || a->q->qtype == FL_T_SVCB))
		return fl_k8s_alias(a, n);
	return fl_k8s_nothing(a, what);
}

static enum fl_verdict service(struct fl_k8s_ask *a)
{
	const struct fl_k8s_node *n;
	enum fl_k8s_what what = fl_k8s_is_ns_name(a) ? FL_K8S_NO_DATA : fl_k8s_exists(a, &n);
	if (what != FL_K8S_ANSWERS || (n && n->kind == FL_K8S_ALIAS))
		return fl_k8s_nothing(a, what);
	return fl_k8s_srv(a, n);
}

enum fl_verdict fl_k8s_query(void *inst, struct fl_query *q)
{
	struct fl_k8s_ask a;
	if (!fl_k8s_ask(&a, inst, q))
		return FL_NEXT;
	switch (q->qtype) {
	case FL_T_A: case FL_T_AAAA:
		return addresses(&a);
	case FL_T_SRV:
		return service(&a);
	case FL_T_PTR:
		return fl_k8s_ptr(&a);
	case FL_T_TXT:
		return text(&a);
	case FL_T_CNAME:
		return cname(&a);
	case FL_T_SOA:
		return soa(&a);
	case FL_T_NS:
		return a.name.len == a.tail.len ? fl_k8s_ns(&a) : other(&a);
	case FL_T_AXFR: case FL_T_IXFR:
		return fl_fail(q, FL_REFUSED, NULL);
	default:
		return other(&a);
	}
}

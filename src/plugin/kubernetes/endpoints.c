#include "plugin/kubernetes/kubernetes.h"
#include "base/rng.h"
#include <errno.h>

/* ---- which endpoints ---- */

static bool is_label(struct fl_str label, struct fl_str text) { return label.n == text.n && fl_str_ieq(label, text); }

static bool spelled(const struct fl_k8s_walk *w, const struct fl_slice *s, uint32_t i)
{
	char text[256];
	size_t n = fl_k8s_endpoint_name(text, s, i, w->pod_names);
	return is_label(w->req->endpoint, (struct fl_str){ text, n });
}

/* Only an address that is the one asked for is written out and compared as text. */
static bool is_named(const struct fl_k8s_walk *w, const struct fl_slice *s, uint32_t i)
{
	const struct fl_endpoint *e = &s->ep[i];
	if (e->hostname)
		return is_label(w->req->endpoint, fl_str(s->text + e->hostname));
	if ((w->pod_names && e->pod) || e->spelling)
		return spelled(w, s, i);
	return w->by_ip && w->ip.len == s->alen && !memcmp(w->ip.b, fl_k8s_addr(s, i), s->alen) &&
	       (s->alen == 4 || spelled(w, s, i));
}

/* The endpoint's zone is the labels of the question, joined by dots. */
static bool in_topo(const struct fl_k8s_req *r, struct fl_str zone)
{
	for (unsigned at = 0; at < r->ntopo; at += r->topo[at] + 1u) {
		struct fl_str head;
		struct fl_str label = { (const char *)r->topo + at + 1, r->topo[at] };
		bool last = at + label.n + 1 == r->ntopo;
		if (!last && !memchr(zone.p, '.', zone.n))
			return false;
		zone = last ? (head = zone, FL_STR("")) : fl_str_cut(zone, '.', &head);
		if (!is_label(label, head))
			return false;
	}
	return true;
}

static unsigned count_ports(const struct fl_k8s_req *r, const struct fl_slice *s)
{
	unsigned n = 0;
	for (unsigned i = 0; i < s->nport; i++)
		n += fl_k8s_port_matches(r, &s->port[i]);
	return s->nport ? n : fl_k8s_port_matches(r, NULL);
}

void fl_k8s_walk(struct fl_k8s_walk *w, const struct fl_k8s_ask *a, const struct fl_k8s_node *n)
{
	*w = (struct fl_k8s_walk){ .node = n, .req = &a->req, .pod_names = a->k->pod_names };
	w->by_ip = a->req.endpoint.n && fl_k8s_pod_ip(a->req.endpoint, &w->ip);
}

/* In a multicluster zone an endpoint stands below its cluster. */
static bool in_cluster(const struct fl_k8s_walk *w, const struct fl_slice *s)
{
	return s->o.kind != FL_KIND_MCSLICE || !w->req->endpoint.n || is_label(w->req->cluster, s->cluster);
}

bool fl_k8s_walk_next(struct fl_k8s_walk *w)
{
	for (; w->k < w->node->nslice; w->k++, w->i = 0) {
		const struct fl_slice *s = w->node->slice[w->k];
		if (!w->i)
			w->ports = in_cluster(w, s) ? count_ports(w->req, s) : 0;
		while (w->ports && w->i < s->nep) {
			uint32_t i = w->i++;
			if (!fl_k8s_ready(s, i) || (w->req->endpoint.n && !is_named(w, s, i)))
				continue;
			if (w->req->ntopo && !w->every_zone && !in_topo(w->req, fl_slice_text(s, s->ep[i].zone)))
				continue;
			w->slice = s;
			w->at = i;
			return true;
		}
	}
	return false;
}

bool fl_k8s_any_endpoint(const struct fl_k8s_ask *a, const struct fl_k8s_node *n)
{
	struct fl_k8s_walk w;
	fl_k8s_walk(&w, a, n);
	if (fl_k8s_walk_next(&w))
		return true;
	fl_k8s_walk(&w, a, n);
	w.every_zone = true;
	return a->req.prefer && fl_k8s_walk_next(&w);
}

/* ---- their addresses ---- */

static int collect(struct fl_k8s_ask *a, struct fl_k8s_walk *w, uint16_t type, bool *any)
{
	struct fl_rrset_maker m;
	struct fl_seen seen;
	uint8_t alen = type == FL_T_A ? 4 : 16;
	uint64_t most = 0;
	for (uint32_t k = 0; k < w->node->nslice; k++)
		most += w->node->slice[k]->nep;
	seen = (struct fl_seen){ .cap = fl_seen_cap(most) };
	seen.slot = fl_zalloc(a->q->arena, seen.cap * sizeof *seen.slot);
	if (!seen.slot)
		return -ENOMEM;
	fl_rrset_begin(&m, a->q->arena, type, FL_C_IN, 256);
	while (fl_k8s_walk_next(w)) {
		*any = true;
		const uint8_t *addr = fl_k8s_addr(w->slice, w->at);
		if (w->slice->alen == alen && fl_seen_new(&seen, fl_hash(addr, alen)))
			fl_rrset_put(&m, a->k->ttl, addr, alen);
	}
	const struct fl_rrset *set = fl_rrset_end(&m);
	if (!set || (set->count && !fl_reply_add(a->q, FL_ANSWER, a->name, set, a->lent)))
		return -ENOMEM;
	return 0;
}

int fl_k8s_endpoint_addresses(struct fl_k8s_ask *a, const struct fl_k8s_node *n, uint16_t type, enum fl_k8s_what *what)
{
	struct fl_k8s_walk w;
	bool any = false;
	fl_k8s_walk(&w, a, n);
	int ret = collect(a, &w, type, &any);
	if (!ret && !any && a->req.prefer) {
		fl_k8s_walk(&w, a, n);
		w.every_zone = true;
		ret = collect(a, &w, type, &any);
	}
	*what = any || a->req.ntopo ? FL_K8S_NO_DATA : FL_K8S_NO_NAME;
	return ret;
}

/* ---- names ---- */

bool fl_k8s_name_put(struct fl_k8s_namer *w, const char *p, size_t n)
{
	struct fl_str rest = { p, n };
	do {
		struct fl_str label;
		bool more = memchr(rest.p, '.', rest.n) != NULL;
		rest = fl_str_cut(rest, '.', &label);
		if (!label.n || label.n > FL_LABEL_MAX || w->n + label.n + 2 > FL_NAME_MAX)
			return false;
		w->wire[w->n++] = (uint8_t)label.n;
		memcpy(w->wire + w->n, label.p, label.n);
		w->n += (unsigned)label.n;
		if (!more)
			return true;
	} while (true);
}

bool fl_k8s_name_end(struct fl_k8s_namer *w, struct fl_name zone)
{
	if (w->n + zone.len > FL_NAME_MAX)
		return false;
	memcpy(w->wire + w->n, zone.wire, zone.len);
	w->n += zone.len;
	return true;
}

bool fl_k8s_name_of(struct fl_k8s_namer *w, const struct fl_object *svc, const struct fl_slice *slice, uint32_t i, bool pod_names,
		    struct fl_name zone)
{
	char name[256];
	w->n = 0;
	if (slice && !fl_k8s_name_put(w, name, fl_k8s_endpoint_name(name, slice, i, pod_names)))
		return false;
	if (slice && slice->o.kind == FL_KIND_MCSLICE && !fl_k8s_name_put(w, slice->cluster.p, slice->cluster.n))
		return false;
	return fl_k8s_name_put(w, svc->name.p, svc->name.n) && fl_k8s_name_put(w, svc->ns.p, svc->ns.n) &&
	       fl_k8s_name_put(w, "svc", 3) && fl_k8s_name_end(w, zone);
}

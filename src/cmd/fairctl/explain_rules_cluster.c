/* Rules that look at the cluster's objects: is there such a service, and has it what the name asks for? */
#include "cmd/fairctl/explain.h"
#include <stdio.h>

enum { OTHERS = 5, CHAIN = 8 };

#define SAY(...) fl_arena_printf(f->a, __VA_ARGS__)

static struct fl_str bare(struct fl_str s) { return (struct fl_str){ s.p, s.n - (s.n && s.p[s.n - 1] == '.') }; }

static struct fl_str full(const struct facts *f, const struct ex_meant *m, struct fl_str name, struct fl_str ns)
{
	struct fl_str zone = bare(m->zone);
	return SAY("%.*s%s%.*s.%.*s.svc.%.*s", FL_FMT(m->host), m->host.n ? "." : "", FL_FMT(name), FL_FMT(ns), FL_FMT(zone));
}

static unsigned found(const struct facts *f, struct fl_str name)
{
	unsigned n = 0;
	for (unsigned i = 0; i < f->nstep; i++)
		if (fl_str_eq(f->step[i].name, name))
			n += f->step[i].reply.found;
	return n;
}

/* ---- wrong cluster domain ---- */

static struct fl_str domain_of(const struct facts *f)
{
	for (unsigned i = 0; i < f->conf.nkube; i++)
		for (unsigned k = 0; k < f->conf.kube[i].zones.n; k++)
			if (!fl_str_ends(f->conf.kube[i].zones.at[k], FL_STR(".arpa.")))
				return f->conf.kube[i].zones.at[k];
	return FL_STR("");
}

static bool served(const struct facts *f, struct fl_str name)
{
	for (unsigned i = 0; i < f->conf.nkube; i++)
		for (unsigned k = 0; k < f->conf.kube[i].zones.n; k++)
			if (ex_under(name, f->conf.kube[i].zones.at[k]))
				return true;
	return false;
}

/* What stands behind ".svc." in a name, with its final dot; n 0: nothing. */
static struct fl_str behind_svc(const struct facts *f, struct fl_str name, struct fl_str *before)
{
	struct fl_str dotted = SAY("%.*s.", FL_FMT(bare(name)));
	const char *at = memmem(dotted.p, dotted.n, ".svc.", 5);
	*before = (struct fl_str){ dotted.p, at ? (size_t)(at - dotted.p) : 0 };
	return at ? (struct fl_str){ at + 5, (size_t)(dotted.p + dotted.n - at - 5) } : FL_STR("");
}

static void wrong_domain(const struct facts *f, struct ex_findings *to)
{
	struct fl_str before, domain = bare(domain_of(f)), given = behind_svc(f, f->name, &before);
	if (!domain.n || !ex_failed(f))
		return;
	if (given.n && !served(f, given))
		ex_add(to, EX_ERROR, "wrong-cluster-domain",
		       SAY("%.*s is not the cluster's domain: kubernetes serves %.*s (%s:%d)", FL_FMT(bare(given)), FL_FMT(domain), f->conf.path,
			   f->conf.kube[0].line),
		       SAY("ask for %.*s.svc.%.*s", FL_FMT(before), FL_FMT(domain)));
	for (unsigned i = 0; i < f->client.searches.n; i++) {
		struct fl_str s = SAY("x.%.*s.", FL_FMT(bare(f->client.searches.at[i]))), rest = behind_svc(f, s, &before);
		if (!rest.n || served(f, rest))
			continue;
		ex_add(to, EX_ERROR, "wrong-cluster-domain",
		       SAY("the pod's search list has %.*s, but kubernetes serves %.*s (%s:%d)", FL_FMT(f->client.searches.at[i]), FL_FMT(domain),
			   f->conf.path, f->conf.kube[0].line),
		       SAY("make kubelet's clusterDomain and the zone of kubernetes the same"));
		break;
	}
}

/* ---- no such service ---- */

struct nearest { struct fl_str name, ns, want, in; unsigned best; struct fl_str same[OTHERS]; unsigned nsame, more; struct fl_str near_ns; unsigned near_ns_d; };

static void compare(void *arg, const struct fl_object *o)
{
	struct nearest *n = arg;
	unsigned d;
	if (fl_str_eq(o->ns, n->in)) {
		if (ex_near(n->want, o->name, &d) && d < n->best) {
			n->best = d;
			n->name = o->name;
		}
		return;
	}
	if (!fl_str_eq(o->name, n->want))
		return;
	if (n->nsame < OTHERS)
		n->same[n->nsame++] = o->ns;
	else
		n->more++;
	if (ex_near(n->in, o->ns, &d) && d < n->near_ns_d) {
		n->near_ns_d = d;
		n->near_ns = o->ns;
	}
}

static void other_namespaces(const struct facts *f, const struct ex_meant *m, const struct nearest *n, struct ex_findings *to)
{
	struct fl_words w = { 0 };
	for (unsigned i = 0; i < n->nsame; i++)
		fl_words_add(f->a, &w, n->same[i]);
	struct fl_str list = fl_words_join(f->a, &w, ", ");
	ex_add(to, EX_ERROR, "other-namespace",
	       SAY("there is no Service %.*s in namespace %.*s, but there is one in %.*s%s", FL_FMT(m->service), FL_FMT(m->ns), FL_FMT(list),
		   n->more ? " and more" : ""),
	       SAY("ask for %.*s.%.*s (or %.*s)", FL_FMT(m->service), FL_FMT(n->same[0]), FL_FMT(full(f, m, m->service, n->same[0]))));
}

static void no_service(const struct facts *f, const struct ex_meant *m, struct ex_findings *to)
{
	struct nearest n = { .want = m->service, .in = m->ns, .best = 255, .near_ns_d = 255 };
	fl_store_each(f->store, FL_KIND_SERVICE, compare, &n);
	if (n.name.n)
		ex_add(to, EX_ERROR, "service-misspelt",
		       SAY("there is no Service %.*s in namespace %.*s; the nearest name there is %.*s", FL_FMT(m->service), FL_FMT(m->ns), FL_FMT(n.name)),
		       SAY("ask for %.*s", FL_FMT(full(f, m, n.name, m->ns))));
	if (n.near_ns.n && !ex_has_ns(f, m->ns))
		ex_add(to, EX_ERROR, "namespace-misspelt",
		       SAY("there is no namespace %.*s; Service %.*s is in %.*s", FL_FMT(m->ns), FL_FMT(m->service), FL_FMT(n.near_ns)),
		       SAY("ask for %.*s", FL_FMT(full(f, m, m->service, n.near_ns))));
	else if (n.nsame)
		other_namespaces(f, m, &n, to);
	if (n.name.n || n.nsame || !ex_certain(f, m))
		return;
	ex_add(to, EX_ERROR, "no-such-service",
	       ex_has_ns(f, m->ns) ? SAY("there is no Service %.*s in namespace %.*s, nor one with a similar name", FL_FMT(m->service), FL_FMT(m->ns))
				   : SAY("there is no namespace %.*s, and no Service %.*s in any", FL_FMT(m->ns), FL_FMT(m->service)),
	       SAY("create the Service, or ask for one that is there: kubectl get services -A"));
}

/* ---- filtered away ---- */

static bool filtered(const struct facts *f, const struct ex_meant *m, struct ex_findings *to)
{
	const struct ex_kube *k = m->kube;
	bool named = !k->namespaces.n;
	for (unsigned i = 0; i < k->namespaces.n; i++)
		named |= fl_str_eq(k->namespaces.at[i], m->ns);
	if (!named) {
		ex_add(to, EX_ERROR, "filtered-by-namespaces",
		       SAY("Service %.*s/%.*s is there, but kubernetes serves only the namespaces %.*s", FL_FMT(m->ns), FL_FMT(m->service),
			   FL_FMT(fl_words_join(f->a, &k->namespaces, ", "))),
		       SAY("add %.*s to `namespaces` (%s:%d)", FL_FMT(m->ns), f->conf.path, k->namespaces_line));
		return true;
	}
	if (!k->filtered || !fl_store_synced(k->filtered))
		return false;
	bool ns = !k->namespace_labels.n || fl_store_find(k->filtered, FL_KIND_NAMESPACE, FL_STR(""), m->ns);
	bool service = fl_store_find(k->filtered, FL_KIND_SERVICE, m->ns, m->service);
	if (!ns)
		ex_add(to, EX_ERROR, "filtered-by-namespace-labels",
		       SAY("Service %.*s/%.*s is there, but its namespace has not the labels `namespace_labels %.*s`", FL_FMT(m->ns), FL_FMT(m->service),
			   FL_FMT(k->namespace_labels)),
		       SAY("label namespace %.*s, or change the selector (%s:%d)", FL_FMT(m->ns), f->conf.path, k->labels_line));
	else if (!service)
		ex_add(to, EX_ERROR, "filtered-by-labels",
		       SAY("Service %.*s/%.*s is there, but has not the labels `labels %.*s`", FL_FMT(m->ns), FL_FMT(m->service), FL_FMT(k->labels)),
		       SAY("label the Service, or change the selector (%s:%d)", f->conf.path, k->labels_line));
	return !ns || !service;
}

/* ---- endpoints ---- */

static void no_endpoints(const struct facts *f, const struct ex_meant *m, const struct fl_service *s, struct ex_findings *to)
{
	unsigned all, ready = ex_ready(f, s, &all);
	bool gone = s->headless || m->kube->ignore_empty;
	if (ready || s->type == FL_EXTERNAL_NAME || (s->headless && s->publish_not_ready && all))
		return;
	struct fl_str why = all ? SAY("none of its %u endpoint%s is ready", all, all == 1 ? "" : "s") : SAY("it has no endpoints: its selector finds no pod");
	ex_add(to, gone ? EX_ERROR : EX_WARNING, "no-ready-endpoints",
	       SAY("Service %.*s/%.*s%s: %.*s%s", FL_FMT(m->ns), FL_FMT(m->service), s->headless ? " is headless" : "", FL_FMT(why),
		   gone ? ", so the name has no address" : "; the name resolves, but nobody will answer"),
	       all ? SAY("see why its pods are not ready: kubectl -n %.*s describe endpointslices -l kubernetes.io/service-name=%.*s", FL_FMT(m->ns),
			 FL_FMT(m->service))
		   : SAY("compare the Service's selector with the labels of the pods: kubectl -n %.*s get pods --show-labels", FL_FMT(m->ns)));
}

struct host { struct fl_str ns, service, host; bool pod, named, ready; struct fl_str hostname; };

static void look_for_host(void *arg, const struct fl_object *o)
{
	struct host *h = arg;
	const struct fl_slice *sl = (const void *)o;
	if (!fl_str_eq(o->ns, h->ns) || !fl_str_eq(sl->service, h->service))
		return;
	for (uint32_t i = 0; i < sl->nep; i++) {
		struct fl_str hostname = fl_slice_text(sl, sl->ep[i].hostname);
		bool ready = (sl->ep[i].flags & FL_EP_READY) != 0;
		if (fl_str_eq(hostname, h->host)) {
			h->named = true;
			h->ready |= ready;
		} else if (fl_str_eq(fl_slice_text(sl, sl->ep[i].pod), h->host)) {
			h->pod = true;
		}
		if (hostname.n)
			h->hostname = hostname;
	}
}

static void endpoint_name(const struct facts *f, const struct ex_meant *m, const struct fl_service *s, struct ex_findings *to)
{
	struct host h = { .ns = m->ns, .service = m->service, .host = m->host };
	if (!m->host.n || *m->host.p == '_' || found(f, m->step->name))
		return;
	fl_store_each(f->store, FL_KIND_SLICE, look_for_host, &h);
	if (h.named && !h.ready && !s->publish_not_ready)
		ex_add(to, EX_ERROR, "no-ready-endpoints", SAY("pod %.*s of Service %.*s/%.*s is not ready", FL_FMT(m->host), FL_FMT(m->ns), FL_FMT(m->service)),
		       SAY("see why the pod is not ready, or set publishNotReadyAddresses on the Service"));
	else if (!h.named)
		ex_add(to, EX_ERROR, "headless-pod-name",
		       SAY("no endpoint of Service %.*s/%.*s has the hostname %.*s%s", FL_FMT(m->ns), FL_FMT(m->service), FL_FMT(m->host),
			   h.pod ? ": the pod of that name has no spec.hostname, or its spec.subdomain is not the Service's name" : ""),
		       SAY("give the pod spec.hostname %.*s and spec.subdomain %.*s (a StatefulSet does so with serviceName %.*s)", FL_FMT(m->host),
			   FL_FMT(m->service), FL_FMT(m->service)));
}

static void port_name(const struct facts *f, const struct ex_meant *m, const struct fl_service *s, struct ex_findings *to)
{
	if (!m->host.n || *m->host.p != '_' || found(f, m->step->name))
		return;
	struct fl_words w = { 0 };
	for (unsigned i = 0; i < s->nport; i++) {
		char proto[8] = "tcp";
		for (size_t k = 0; k < s->port[i].protocol.n && k < 7; k++)
			proto[k] = (char)fl_lower((uint8_t)s->port[i].protocol.p[k]);
		fl_words_add(f->a, &w, SAY("_%.*s._%s", FL_FMT(s->port[i].name), proto));
	}
	ex_add(to, EX_ERROR, "no-such-port",
	       SAY("Service %.*s/%.*s has no port %.*s, or SRV was not asked for; it has %.*s", FL_FMT(m->ns), FL_FMT(m->service), FL_FMT(m->host),
		   FL_FMT(fl_words_join(f->a, &w, ", "))), SAY("ask for one of these, type SRV"));
}

/* ---- aliases ---- */

static const struct fl_service *service_of_name(const struct facts *f, struct fl_str name, bool *ours)
{
	struct fl_str zone = domain_of(f);
	struct fl_str dotted = SAY("%.*s.", FL_FMT(bare(name))), s, ns, before;
	*ours = zone.n && ex_under(dotted, zone);
	behind_svc(f, dotted, &before);
	ns = fl_str_cut(before, '.', &s);
	return *ours && before.n ? ex_service(f, ns, s) : NULL;
}

static void alias(const struct facts *f, const struct ex_meant *m, const struct fl_service *s, struct ex_findings *to)
{
	const struct fl_service *seen[CHAIN], *at = s;
	unsigned n = 0;
	bool ours = false;
	struct fl_str way = SAY("%.*s/%.*s", FL_FMT(m->ns), FL_FMT(m->service));
	while (at && at->type == FL_EXTERNAL_NAME && n < CHAIN) {
		for (unsigned i = 0; i < n; i++)
			if (seen[i] == at) {
				ex_add(to, EX_ERROR, "external-name-loop", SAY("ExternalName goes in a circle: %.*s", FL_FMT(way)),
				       SAY("let one of them name what really serves"));
				return;
			}
		seen[n++] = at;
		way = SAY("%.*s → %.*s", FL_FMT(way), FL_FMT(at->external_name));
		at = service_of_name(f, at->external_name, &ours);
	}
	bool unknown = !n || found(f, m->step->name) || at || (f->offline && !ours);
	if (unknown)
		return;
	ex_add(to, EX_ERROR, "external-name-nowhere",
	       SAY("ExternalName leads to a name that has no address: %.*s%s", FL_FMT(way), ours ? " (no such Service)" : ""),
	       SAY("correct spec.externalName of Service %.*s/%.*s", FL_FMT(seen[n - 1]->o.ns), FL_FMT(seen[n - 1]->o.name)));
}

/* ---- the service is there ---- */

static void no_type(const struct facts *f, const struct ex_meant *m, const struct fl_service *s, struct ex_findings *to)
{
	bool none = m->step->reply.got && m->step->reply.rcode == 0 && !found(f, m->step->name);
	uint8_t len = m->step->type == 28 ? 16 : 4;
	unsigned have = 0;
	for (unsigned i = 0; i < s->nip; i++)
		have += s->ip[i].len == len;
	if (none && f->ntype == 1 && !m->host.n && s->type != FL_EXTERNAL_NAME && !s->headless && !have)
		ex_add(to, EX_ERROR, "no-such-type",
		       SAY("Service %.*s/%.*s exists, but has no record of this type", FL_FMT(m->ns), FL_FMT(m->service)),
		       SAY("ask for its other type, or make the Service dual-stack (spec.ipFamilyPolicy)"));
}

void ex_rules_cluster(const struct facts *f, struct ex_findings *to)
{
	wrong_domain(f, to);
	struct ex_meant m = ex_meant(f);
	if (!f->store || !m.kube || !m.step)
		return;
	if (m.pod) {
		if (m.kube->pods_disabled && !found(f, m.step->name))
			ex_add(to, EX_ERROR, "pod-names-off", SAY("names of pods are not served: kubernetes has no `pods insecure` (%s:%d)", f->conf.path, m.kube->line),
			       SAY("add `pods insecure`, or ask for a Service"));
		return;
	}
	const struct fl_service *s = ex_service(f, m.ns, m.service);
	if (!s) {
		if (ex_failed(f) && !found(f, m.step->name) && !fl_store_find(f->store, FL_KIND_SERVICE, m.ns, m.service))
			no_service(f, &m, to);
		return;
	}
	if (filtered(f, &m, to))
		return;
	no_endpoints(f, &m, s, to);
	endpoint_name(f, &m, s, to);
	port_name(f, &m, s, to);
	alias(f, &m, s, to);
	no_type(f, &m, s, to);
}

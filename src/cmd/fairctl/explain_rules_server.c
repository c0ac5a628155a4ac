/* Rules that look at what servers said: the chain's own words, the live server, the upstreams, and whether the server can do its work. */
#include "cmd/fairctl/explain.h"
#include "wire/rrset.h"
#include <errno.h>

#define SAY(...) fl_arena_printf(f->a, __VA_ARGS__)

static bool silent(int ret) { return ret == -ETIMEDOUT || ret == -EAGAIN; }
static bool refused(int ret) { return ret == -ECONNREFUSED || ret == -EHOSTUNREACH || ret == -ENETUNREACH; }

/* ---- the server's own ground ---- */

struct dns_service { const struct facts *f; const struct fl_service *found; };

static void look(void *arg, const struct fl_object *o)
{
	struct dns_service *d = arg;
	const struct fl_service *s = (const void *)o;
	char text[46];
	for (unsigned i = 0; i < s->nip; i++)
		for (unsigned k = 0; k < d->f->cluster_dns.n; k++) {
			fl_ip_text(text, s->ip[i].b, s->ip[i].len);
			if (s->ip[i].len && fl_str_is(d->f->cluster_dns.at[k], text))
				d->found = s;
		}
}

static void dns_service(const struct facts *f, struct ex_findings *to)
{
	struct dns_service d = { .f = f };
	unsigned all;
	if (!f->store)
		return;
	fl_store_each(f->store, FL_KIND_SERVICE, look, &d);
	const struct fl_service *s = d.found ? d.found : ex_service(f, FL_STR("kube-system"), FL_STR("kube-dns"));
	bool known = f->forbidden.n == 0;
	if (!s || !known || ex_ready(f, s, &all))
		return;
	ex_add(to, EX_ERROR, "dns-service-no-endpoints",
	       all ? SAY("the cluster's DNS Service %.*s/%.*s has no ready endpoint (%u not ready): no pod gets an answer", FL_FMT(s->o.ns), FL_FMT(s->o.name), all)
		   : SAY("the cluster's DNS Service %.*s/%.*s has no endpoints: no pod gets an answer", FL_FMT(s->o.ns), FL_FMT(s->o.name)),
	       SAY("look at the server's pods and at the Service's selector: kubectl -n %.*s get pods,endpointslices -l k8s-app=kube-dns", FL_FMT(s->o.ns)));
}

static void rbac(const struct facts *f, struct ex_findings *to)
{
	if (f->role.n)
		ex_add(to, EX_ERROR, "rbac-endpointslices",
		       SAY("ClusterRole %.*s does not allow the server to list and watch endpointslices: it never becomes ready", FL_FMT(f->role)),
		       SAY("add a rule: apiGroups [discovery.k8s.io], resources [endpointslices], verbs [list, watch]"));
	for (unsigned i = 0; i < f->forbidden.n; i++) {
		bool slices = fl_str_is(f->forbidden.at[i], "EndpointSlice");
		ex_add(to, EX_ERROR, slices ? "rbac-endpointslices" : "rbac",
		       SAY("with this kubeconfig %.*ss may not be listed (403): a server with these rights never becomes ready, and answers SERVFAIL",
			   FL_FMT(f->forbidden.at[i])),
		       slices ? SAY("give ClusterRole system:coredns the verbs list and watch on endpointslices of the API group discovery.k8s.io")
			      : SAY("give the ClusterRole of the server the verbs list and watch on them"));
	}
}

/* ---- shadows ---- */

static bool address_of(const struct fl_service *s, const struct ex_reply *r)
{
	char text[46];
	for (unsigned i = 0; i < s->nip; i++)
		for (unsigned k = 0; s->ip[i].len && k < r->records.n; k++) {
			size_t n = fl_ip_text(text, s->ip[i].b, s->ip[i].len);
			if (fl_str_ends(r->records.at[k], (struct fl_str){ text, n }))
				return true;
		}
	return false;
}

static const struct ex_block *block_of(const struct facts *f, struct fl_str zone)
{
	for (unsigned i = 0; i < f->conf.nblock; i++)
		for (unsigned k = 0; k < f->conf.block[i].zones.n; k++)
			if (fl_str_eq(f->conf.block[i].zones.at[k], zone))
				return &f->conf.block[i];
	return NULL;
}

static const struct ex_hop *rewritten(const struct ex_step *s)
{
	for (unsigned i = 0; i < s->nhop; i++)
		if (!s->hop[i].depth && !s->hop[i].up && !fl_str_eq(s->hop[i].before, s->hop[i].after))
			return &s->hop[i];
	return NULL;
}

/* Of a name that has records of another type one word is enough. */
static bool told_elsewhere(const struct facts *f, const struct ex_step *s)
{
	bool found = false;
	for (unsigned i = 0; i < f->nstep; i++)
		found |= fl_str_eq(f->step[i].name, s->name) && f->step[i].reply.found;
	return found && !s->reply.found;
}

/* The answer came from elsewhere than from kubernetes, though it has the name. */
static void shadow(const struct facts *f, const struct ex_meant *m, const struct ex_step *s, struct ex_findings *to)
{
	static const char *const makers[] = { "template", "hosts", "file", "auto", "erratic", "whoami", "any", "secondary", "etcd", NULL };
	const struct fl_service *svc = m->kube && m->step && fl_str_eq(m->step->name, s->name) ? ex_service(f, m->ns, m->service) : NULL;
	const struct ex_block *b = s->zone.n ? block_of(f, s->zone) : NULL;
	const struct ex_hop *h = rewritten(s);
	if (!s->reply.got || told_elsewhere(f, s) || (svc && s->reply.found && (address_of(svc, &s->reply) || svc->headless || svc->type == FL_EXTERNAL_NAME)))
		return;
	if (h && (svc || !s->reply.found))
		ex_add(to, EX_ERROR, SAY("shadowed-by-%s", h->plugin).p,
		       SAY("%s makes %.*s of %.*s before anybody answers it (block %.*s, %s:%d)", h->plugin, FL_FMT(h->after), FL_FMT(h->before),
			   FL_FMT(s->zone), f->conf.path, b ? b->line : 0),
		       SAY("change the rule, or ask for another name"));
	if (!strcmp(s->by, "acl"))
		ex_add(to, EX_ERROR, "shadowed-by-acl", SAY("acl refuses the pod's address (block %.*s, %s:%d)", FL_FMT(s->zone), f->conf.path, b ? b->line : 0),
		       SAY("allow the pod's network in acl"));
	for (const char *const *p = makers; *p && svc; p++)
		if (!strcmp(s->by, *p))
			ex_add(to, EX_ERROR, SAY("shadowed-by-%s", *p).p,
			       SAY("%s answers %.*s (%s) before kubernetes is asked, which has Service %.*s/%.*s (block %.*s, %s:%d)", *p, FL_FMT(s->name),
				   s->reply.found ? fl_words_join(f->a, &s->reply.records, ", ").p : "without a record", FL_FMT(m->ns), FL_FMT(m->service),
				   FL_FMT(s->zone), f->conf.path, b ? b->line : 0),
			       SAY("narrow what %s answers, or rename one of the two", *p));
	if (svc && b && !b->kube)
		ex_add(to, EX_ERROR, "shadowed-by-block",
		       SAY("the server block %.*s (%s:%d) takes %.*s, and has no kubernetes; Service %.*s/%.*s would be answered by the block at %s:%d",
			   FL_FMT(s->zone), f->conf.path, b->line, FL_FMT(s->name), FL_FMT(m->ns), FL_FMT(m->service), f->conf.path,
			   f->conf.block[m->kube->block].line),
		       SAY("make the zone of that block narrower, or take it out"));
}

/* ---- servers ---- */

static void upstream(const struct facts *f, const struct ex_step *s, const struct ex_probe *p, struct ex_findings *to)
{
	struct fl_str where = SAY("%.*s, asked by forward in block %.*s for %.*s", FL_FMT(p->server), FL_FMT(s->zone), FL_FMT(s->name));
	if (!p->udp && p->other.n)
		ex_add(to, EX_ERROR, "upstream-other-name", SAY("upstream %.*s, answers another name: %.*s", FL_FMT(where), FL_FMT(p->other)),
		       SAY("something between here and there rewrites answers (a captive portal, a broken proxy): ask another upstream"));
	else if (!p->udp && p->by_udp.rcode == FL_REFUSED)
		ex_add(to, EX_ERROR, "upstream-refused", SAY("upstream %.*s, says REFUSED: it does not serve that zone to us", FL_FMT(where)),
		       SAY("name a server that serves the zone, or let that one accept the cluster's addresses"));
	else if (refused(p->udp) && refused(p->tcp))
		ex_add(to, EX_ERROR, "upstream-refused", SAY("upstream %.*s: connection refused, nobody listens there", FL_FMT(where)),
		       SAY("correct the address and port in `forward`"));
	else if (p->udp && !p->tcp)
		ex_add(to, EX_ERROR, "udp-blocked", SAY("upstream %.*s, answers over TCP but not over UDP", FL_FMT(where)),
		       SAY("open UDP port 53 on the way, look for a smaller MTU; meanwhile `force_tcp` in forward"));
	else if (silent(p->udp) && p->tcp)
		ex_add(to, EX_ERROR, "upstream-silent", SAY("upstream %.*s, is silent over UDP and TCP", FL_FMT(where)),
		       SAY("see whether the server is reachable from the server's pods (routes, firewalls, network policies)"));
}

static const char *rcode(const struct facts *f, const struct ex_reply *r)
{
	const char *name = fl_rcode_name(r->rcode);
	return name ? name : SAY("rcode %u", r->rcode).p;
}

static bool same(const struct ex_reply *a, const struct ex_reply *b)
{
	if (a->rcode != b->rcode || a->records.n != b->records.n)
		return false;
	for (unsigned i = 0; i < a->records.n; i++) {
		bool there = false;
		for (unsigned k = 0; k < b->records.n; k++)
			there |= fl_str_eq(a->records.at[i], b->records.at[k]);
		if (!there)
			return false;
	}
	return true;
}

static void live(const struct facts *f, const struct ex_step *s, struct ex_findings *to)
{
	const struct ex_probe *p = s->live;
	if (silent(p->udp) && !p->tcp)
		ex_add(to, EX_ERROR, "udp-blocked", SAY("the server %.*s answers over TCP but not over UDP", FL_FMT(p->server)),
		       SAY("a NetworkPolicy or firewall that allows only TCP 53, or large answers lost to a smaller MTU: allow UDP 53, compare MTUs"));
	else if (refused(p->udp) || (p->udp && refused(p->tcp)))
		ex_add(to, EX_ERROR, "server-unreachable", SAY("the server %.*s cannot be reached: connection refused. The query never reaches it", FL_FMT(p->server)),
		       SAY("see whether the server runs and listens there, and whether its Service leads to it"));
	else if (p->udp && p->tcp)
		ex_add(to, EX_ERROR, "server-silent", SAY("the server %.*s is silent over UDP and TCP: the query never reaches it, or its answer gets lost",
			FL_FMT(p->server)),
		       SAY("look for a NetworkPolicy, kube-proxy and routes; compare the server's coredns_dns_requests_total before and after"));
	else if (!p->udp && refused(p->tcp))
		ex_add(to, EX_WARNING, "tcp-blocked", SAY("the server %.*s answers over UDP but refuses TCP", FL_FMT(p->server)),
		       SAY("open TCP port 53: long answers need it"));
	if (!p->udp && s->reply.got && p->by_udp.got && !same(&s->reply, &p->by_udp))
		ex_add(to, EX_WARNING, "server-differs",
		       SAY("the live server answers %.*s otherwise: %s %.*s; this Corefile and these objects give %s %.*s", FL_FMT(s->name),
			   rcode(f, &p->by_udp), FL_FMT(fl_words_join(f->a, &p->by_udp.records, ", ")), rcode(f, &s->reply),
			   FL_FMT(fl_words_join(f->a, &s->reply.records, ", "))),
		       SAY("compare its Corefile and what it watches with what was given here"));
}

void ex_rules_server(const struct facts *f, struct ex_findings *to)
{
	struct ex_meant m = ex_meant(f);
	for (unsigned i = 0; i < f->nstep; i++) {
		const struct ex_step *s = &f->step[i];
		if (s->live)
			live(f, s, to);
		if (f->elsewhere)
			continue;
		shadow(f, &m, s, to);
		for (unsigned k = 0; k < s->nupstream; k++)
			upstream(f, s, &s->upstream[k], to);
		if (s->reply.got && !s->zone.n && s->reply.rcode == FL_REFUSED && ex_failed(f))
			ex_add(to, EX_ERROR, "no-server-block", SAY("no server block of %s serves %.*s: it is refused", f->conf.path, FL_FMT(s->name)),
			       SAY("add a block for the zone, or for everything (`.`)"));
	}
	rbac(f, to);
	dns_service(f, to);
}

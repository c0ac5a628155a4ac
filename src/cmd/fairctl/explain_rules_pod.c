/* Rules that look at the pod: whom it asks, and what its resolv.conf makes of a name. */
#include "cmd/fairctl/explain.h"

#define SAY(...) fl_arena_printf(f->a, __VA_ARGS__)

static struct fl_str bare(struct fl_str s) { return (struct fl_str){ s.p, s.n - (s.n && s.p[s.n - 1] == '.') }; }

/* Does the name look for something of the cluster: below its zone, or SERVICE, SERVICE.NS, SERVICE.NS.svc of one that is there? */
static bool of_cluster(const struct facts *f)
{
	struct fl_str name = bare(f->name), s, rest = fl_str_cut(name, '.', &s), ns;
	struct fl_str svc = fl_str_cut(rest, '.', &ns);
	struct fl_str dotted = SAY("%.*s.", FL_FMT(name));
	for (unsigned i = 0; i < f->conf.nkube; i++)
		for (unsigned k = 0; k < f->conf.kube[i].zones.n; k++)
			if (ex_under(dotted, f->conf.kube[i].zones.at[k]))
				return true;
	return ex_service(f, ns.n ? ns : f->ns, s) && (!svc.n || fl_str_is(svc, "svc"));
}

static void policy(const struct facts *f, struct ex_findings *to)
{
	if (!f->has_pod || !f->elsewhere)
		return;
	const struct fl_pod_dns *d = &f->pod.dns;
	enum ex_severity grave = of_cluster(f) ? EX_ERROR : EX_WARNING;
	struct fl_str servers = fl_words_join(f->a, &f->client.servers, ", ");
	if (d->host_network && fl_str_is(d->policy, "ClusterFirst"))
		ex_add(to, grave, "host-network",
		       SAY("the pod has hostNetwork with dnsPolicy ClusterFirst: kubelet gives it the node's resolv.conf, so it asks %.*s and not the "
			   "cluster's DNS", FL_FMT(servers)), SAY("set dnsPolicy: ClusterFirstWithHostNet"));
	else if (fl_str_is(d->policy, "Default"))
		ex_add(to, grave, "dns-policy-default",
		       SAY("the pod has dnsPolicy Default: it has the node's resolv.conf, so it asks %.*s and not the cluster's DNS", FL_FMT(servers)),
		       SAY("set dnsPolicy: ClusterFirst (the default when nothing is said)"));
	else if (fl_str_is(d->policy, "None"))
		ex_add(to, grave, "dns-policy-none",
		       SAY("the pod has dnsPolicy None, and its dnsConfig names %.*s: not the cluster's DNS", FL_FMT(servers)),
		       SAY("name the cluster's DNS (%.*s) in dnsConfig.nameservers, or set dnsPolicy: ClusterFirst",
			   FL_FMT(fl_words_join(f->a, &f->cluster_dns, ", "))));
	else
		ex_add(to, grave, "no-cluster-dns", SAY("the pod asks %.*s and not the cluster's DNS", FL_FMT(servers)), SAY("set kubelet's clusterDNS"));
}

static void limits(const struct facts *f, struct ex_findings *to)
{
	for (unsigned i = 0; i < f->nevent; i++) {
		struct fl_str t = f->event[i].text;
		bool servers = memmem(t.p, t.n, "ameserver", 9) != NULL, search = memmem(t.p, t.n, "earch", 5) != NULL;
		bool cut = memmem(t.p, t.n, "omitted", 7) || memmem(t.p, t.n, "exceed", 6) || memmem(t.p, t.n, "truncated", 9);
		if (cut && servers)
			ex_add(to, EX_WARNING, "nameservers-cut", SAY("kubelet cuts the list of nameservers: %.*s", FL_FMT(t)),
			       SAY("name at most %d nameservers", FL_POD_SERVERS));
		else if (cut && search)
			ex_add(to, ex_failed(f) ? EX_ERROR : EX_WARNING, "search-cut", SAY("kubelet cuts the search list: %.*s", FL_FMT(t)),
			       SAY("name at most %d domains of %d characters in all, the needed ones first", FL_POD_SEARCHES, FL_POD_SEARCH_CHARS));
	}
	if (f->lines.servers.n > f->client.servers.n && !f->has_pod)
		ex_add(to, EX_WARNING, "nameservers-cut",
		       SAY("resolv.conf names %u nameservers; resolvers read the first %u", f->lines.servers.n, f->client.servers.n),
		       SAY("name at most %d nameservers", FL_POD_SERVERS));
	if (f->lines.searches.n > FL_POD_SEARCHES && !f->has_pod)
		ex_add(to, EX_WARNING, "search-cut",
		       SAY("resolv.conf has a search list of %u domains; kubelet writes at most %d", f->lines.searches.n, FL_POD_SEARCHES),
		       SAY("name fewer, the needed ones first"));
}

/* The names before the one that was found were asked for nothing. */
static void multiply(const struct facts *f, struct ex_findings *to)
{
	struct fl_str name = bare(f->name);
	unsigned n = f->glibc_names.n;
	struct ex_meant m = ex_meant(f);
	bool inside = of_cluster(f) || (m.kube && ex_certain(f, &m)), found = f->end == FL_ANSWER_FOUND;
	if (n < 2 || f->elsewhere || !memchr(name.p, '.', name.n) || (inside && !found))
		return;
	if (!fl_str_eq(bare(f->glibc_names.at[n - 1]), name))
		return;
	unsigned dots = 0;
	for (size_t i = 0; i < name.n; i++)
		dots += name.p[i] == '.';
	ex_add(to, found && !inside ? EX_WARNING : EX_NOTE, "ndots",
	       SAY("with ndots:%u and %u search domains this name costs %u queries (%u names, A and AAAA each) instead of 2", f->client.ndots,
		   f->client.searches.n, 2 * n, n),
	       SAY("ask for %.*s. with a final dot, or set ndots to %u in the pod's dnsConfig.options", FL_FMT(name), dots));
}

static bool local_stub(struct fl_str s)
{
	return fl_str_starts(s, FL_STR("127.")) || fl_str_is(s, "::1") || fl_str_is(s, "0.0.0.0") || fl_str_is(s, "::");
}

static void loops(const struct facts *f, struct ex_findings *to)
{
	for (unsigned i = 0; i < f->conf.nforward; i++) {
		const struct ex_forward *w = &f->conf.forward[i];
		for (unsigned k = 0; k < w->to.n && w->file; k++) {
			if (!local_stub(w->to.at[k]))
				continue;
			ex_add(to, EX_ERROR, "node-local-stub",
			       SAY("%s names %.*s, a stub on the node itself: in the server's pod that is the server, so `forward` (%s:%d) asks itself in a loop",
				   w->file, FL_FMT(w->to.at[k]), f->conf.path, w->line),
			       SAY("point kubelet's resolvConf at the real file (with systemd-resolved /run/systemd/resolve/resolv.conf), or name the "
				   "upstreams in `forward`"));
			return;
		}
	}
}

void ex_rules_pod(const struct facts *f, struct ex_findings *to)
{
	if (!f->nstep)
		ex_add(to, EX_ERROR, "bad-name", SAY("this is no domain name: no resolver asks for it"), SAY("labels have 1 to 63 octets, names 253"));
	policy(f, to);
	limits(f, to);
	loops(f, to);
	multiply(f, to);
}

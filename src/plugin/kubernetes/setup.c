/* The directive (CoreDNS plugin/kubernetes/setup.go), and the plugin's life. */
#include "plugin/kubernetes/kubernetes.h"
#include "base/clock.h"
#include "base/log.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#define WHO "plugin/kubernetes"
enum { TTL_DEFAULT = 5, TTL_MAX = 3600, STARTUP_S = 5, WAIT_LOG_MS = 500, QPS_MOST = 1000000 };

/* ---- options ---- */

struct option { struct fl_setup *s; struct fl_k8s *k; struct fl_str *arg; unsigned n; struct fl_str name; };

static struct fl_str joined(struct fl_setup *s, const struct fl_str *arg, unsigned n)
{
	struct fl_str all = FL_STR("");
	for (unsigned i = 0; i < n; i++)
		all = fl_arena_printf(fl_setup_arena(s), "%.*s%s%.*s", FL_FMT(all), i ? " " : "", FL_FMT(arg[i]));
	return all;
}

static int selector(struct option *o, const char *what, struct fl_str *to)
{
	struct fl_err e = { "" };
	if (!o->n)
		return fl_setup_arg_error(o->s);
	*to = joined(o->s, o->arg, o->n);
	struct fl_selector *sel = fl_selector_parse(*to, &e);
	if (!sel)
		return fl_setup_error(o->s, "unable to parse %s selector value: '%.*s': %s", what, FL_FMT(*to), e.msg);
	fl_selector_free(sel);
	return 0;
}

static int flag(struct option *o, bool *to)
{
	*to = true;
	return o->n ? fl_setup_arg_error(o->s) : 0;
}

static int opt_endpoint(struct option *o)
{
	if (!o->n)
		return fl_setup_arg_error(o->s);
	if (o->n > 1)
		fl_log(FL_WARN, WHO, "Multiple endpoints have been deprecated, only the first specified endpoint '%.*s' is used",
		       FL_FMT(o->arg[0]));
	o->k->source.endpoint = o->arg[0];
	return 0;
}

static int opt_tls(struct option *o)
{
	if (o->n != 3)
		return fl_setup_arg_error(o->s);
	o->k->source.tls_cert = o->arg[0];
	o->k->source.tls_key = o->arg[1];
	o->k->source.tls_ca = o->arg[2];
	return 0;
}

static int opt_kubeconfig(struct option *o)
{
	if (o->n != 1 && o->n != 2)
		return fl_setup_arg_error(o->s);
	o->k->source.kubeconfig = o->arg[0];
	o->k->source.context = o->n == 2 ? o->arg[1] : FL_STR("");
	return 0;
}

static int opt_manifests(struct option *o)
{
	if (o->n != 1)
		return fl_setup_arg_error(o->s);
	struct stat st;
	o->k->source.manifests = fl_str(fl_setup_path(o->s, o->arg[0]));
	if (stat(o->k->source.manifests.p, &st))
		return fl_setup_error(o->s, "stat %s: no such file or directory", o->k->source.manifests.p);
	return 0;
}

/* Several lines add up. */
static int opt_namespaces(struct option *o)
{
	struct fl_k8s *k = o->k;
	if (!o->n)
		return fl_setup_arg_error(o->s);
	struct fl_str *all = fl_zalloc(fl_setup_arena(o->s), (k->nnamespace + o->n) * sizeof *all);
	if (!all)
		return -ENOMEM;
	if (k->nnamespace)
		memcpy(all, k->namespaces, k->nnamespace * sizeof *all);
	memcpy(all + k->nnamespace, o->arg, o->n * sizeof *all);
	k->namespaces = all;
	k->nnamespace += o->n;
	return 0;
}

static int opt_labels(struct option *o) { return selector(o, "label", &o->k->source.labels); }
static int opt_namespace_labels(struct option *o) { return selector(o, "namespace_label", &o->k->source.namespace_labels); }

static int opt_pods(struct option *o)
{
	static const char *const modes[] = { "disabled", "insecure", "verified" };
	if (o->n != 1)
		return fl_setup_arg_error(o->s);
	for (unsigned i = 0; i < FL_COUNT(modes); i++)
		if (fl_str_is(o->arg[0], modes[i])) {
			o->k->pods = (enum fl_k8s_pods)i;
			return 0;
		}
	return fl_setup_error(o->s, "wrong value for pods: %.*s,  must be one of: disabled, verified, insecure", FL_FMT(o->arg[0]));
}

static int opt_endpoint_pod_names(struct option *o) { return flag(o, &o->k->pod_names); }
static int opt_noendpoints(struct option *o) { return flag(o, &o->k->noendpoints); }
static int opt_zonal(struct option *o) { return flag(o, &o->k->zonal); }

static int opt_ttl(struct option *o)
{
	struct fl_err e;
	int64_t v;
	if (!o->n)
		return fl_setup_arg_error(o->s);
	if (fl_atoi(o->arg[0], &v, &e))
		return fl_setup_error(o->s, "%s", e.msg);
	if (v < 0 || v > TTL_MAX)
		return fl_setup_parse_error(o->s, "ttl must be in range [0, %d]: %lld", TTL_MAX, (long long)v);
	o->k->ttl = (uint32_t)v;
	return 0;
}

static int opt_ignore(struct option *o)
{
	if (!o->n)
		return 0;               /* as CoreDNS */
	if (!fl_str_is(o->arg[0], "empty_service"))
		return fl_setup_error(o->s, "unable to parse ignore value: '%.*s'", FL_FMT(o->arg[0]));
	o->k->ignore_empty = true;
	return 0;
}

static int opt_multicluster(struct option *o)
{
	o->k->multicluster = (struct fl_zones){ 0 };
	return o->n ? fl_setup_zones(o->s, o->arg, o->n, &o->k->multicluster) : 0;
}

static int opt_fallthrough(struct option *o) { return fl_setup_fall(o->s, o->arg, o->n, &o->k->fall); }

static int opt_startup_timeout(struct option *o)
{
	struct fl_err e;
	int64_t ns;
	if (!o->n)
		return fl_setup_arg_error(o->s);
	if (fl_duration_parse(o->arg[0], &ns, &e))
		return fl_setup_error(o->s, "failed to parse startup_timeout: %.*s, %s", FL_FMT(o->arg[0]), e.msg);
	o->k->startup_ns = ns > 0 ? (uint64_t)ns : 0;
	return 0;
}

static struct fl_str undotted(struct fl_str s) { return (struct fl_str){ s.p, s.n - (s.n && s.p[s.n - 1] == '.') }; }

/* The cluster is another one, whose network is joined to ours (ours). */
static int opt_peer(struct option *o)
{
	struct fl_outward *w = &o->k->outward;
	*w = (struct fl_outward){ .on = true, .domain = FL_STR("cluster.local") };
	for (unsigned i = 0; i < o->n; i++) {
		if (fl_str_is(o->arg[i], "clusterip"))
			w->clusterip = true;
		else if (fl_str_is(o->arg[i], "domain") && i + 1 < o->n)
			w->domain = undotted(o->arg[++i]);
		else
			return fl_setup_parse_error(o->s, "peer takes [clusterip] [domain NAME], not '%.*s'", FL_FMT(o->arg[i]));
	}
	return 0;
}

/* Limits of the API client; 0 is none. */
static int opt_limit(struct option *o)
{
	struct fl_err e;
	int64_t v = 0;
	char *end = NULL;
	if (o->n != 1)
		return fl_setup_arg_error(o->s);
	bool qps = fl_str_is(o->name, "apiserver_qps");
	double d = qps ? strtod(o->arg[0].p, &end) : 0;
	if (qps && (*end || !o->arg[0].n))
		return fl_setup_parse_error(o->s,
					    "invalid apiserver_qps \"%.*s\": strconv.ParseFloat: parsing \"%.*s\": invalid syntax",
					    FL_FMT(o->arg[0]), FL_FMT(o->arg[0]));
	if (!qps && fl_atoi(o->arg[0], &v, &e))
		return fl_setup_parse_error(o->s, "invalid %.*s \"%.*s\": %s", FL_FMT(o->name), FL_FMT(o->arg[0]), e.msg);
	if (v < 0 || d < 0)
		return fl_setup_parse_error(o->s, "%.*s must be >= 0", FL_FMT(o->name));
	struct fl_source_config *c = &o->k->source;
	unsigned n = v > INT32_MAX ? INT32_MAX : (unsigned)v;
	if (qps)
		c->qps = d <= QPS_MOST ? d : 0; /* inf */
	else if (fl_str_is(o->name, "apiserver_burst"))
		c->burst = n;
	else
		c->max_inflight = n;
	return 0;
}

static const struct fl_opt opts[] = {
	{ "", "[ZONE...]", "the zones; default: those of the server block" },
	{ "endpoint", "URL", "the API server; default: the cluster that this runs in" },
	{ "tls", "CERT KEY CACERT", "files for endpoint" },
	{ "kubeconfig", "FILE [CONTEXT]", "how to reach the API server" },
	{ "manifests", "DIR", "a folder of manifests instead of an API server" },
	{ "namespaces", "NAMESPACE...", "only these" },
	{ "labels", "EXPRESSION", "only objects with these labels" },
	{ "namespace_labels", "EXPRESSION", "only namespaces with these labels" },
	{ "pods", "disabled|insecure|verified", "names of pods" },
	{ "endpoint_pod_names", "", "endpoints without a hostname take their pod's name" },
	{ "ttl", "SECONDS", "of all records" },
	{ "noendpoints", "", "no endpoints are watched" },
	{ "zonal", "", "names of endpoints in one topology zone" },
	{ "ignore", "empty_service", "services without a ready endpoint are not there" },
	{ "multicluster", "[ZONE...]", "zones of ServiceImports" },
	{ "fallthrough", "[ZONE...]", "what is not there goes to the next plugin" },
	{ "peer", "[clusterip] [domain NAME]", "another cluster, as it can be reached from this one" },
	{ "startup_timeout", "DURATION", "how long a start waits for the API server" },
	{ "apiserver_qps", "RATE", "lists a second, at most (with apiserver_burst alone: 5)" },
	{ "apiserver_burst", "N", "lists at once (with apiserver_qps alone: 10)" },
	{ "apiserver_max_inflight", "N", "requests that wait for the head of their answer" },
	{ NULL, NULL, NULL },
};
static int (*const opt_fn[FL_COUNT(opts)])(struct option *o) = {
	[1] = opt_endpoint, opt_tls, opt_kubeconfig, opt_manifests, opt_namespaces, opt_labels, opt_namespace_labels, opt_pods,
	opt_endpoint_pod_names, opt_ttl, opt_noendpoints, opt_zonal, opt_ignore, opt_multicluster, opt_fallthrough,
	opt_peer, opt_startup_timeout, opt_limit, opt_limit, opt_limit,
};

static int property(struct fl_setup *s, struct fl_k8s *k)
{
	struct fl_disp *d = fl_setup_disp(s);
	struct option o = { .s = s, .k = k, .name = fl_disp_val(d) };
	for (unsigned i = 1; opts[i].name; i++)
		if (fl_str_is(o.name, opts[i].name)) {
			o.n = fl_disp_args(d, &o.arg);
			return opt_fn[i](&o);
		}
	return fl_setup_parse_error(s, "unknown property '%.*s'", FL_FMT(o.name));
}

/* ---- zones ---- */

/* CoreDNS counts only names below in-addr.arpa. and ip6.arpa. as reverse, and so takes these two themselves for forward zones: it
 * starts with them alone, and we do too. */
static bool has_forward(const struct fl_zones *z)
{
	for (unsigned i = 0; i < z->n; i++)
		if (!fl_str_ends(z->text[i], FL_STR(".in-addr.arpa.")) && !fl_str_ends(z->text[i], FL_STR(".ip6.arpa.")))
			return true;
	return false;
}

static int read_zones(struct fl_setup *s, struct fl_k8s *k)
{
	struct fl_str *arg;
	unsigned n = fl_disp_args(fl_setup_disp(s), &arg);
	int ret = fl_setup_zones(s, arg, n, &k->zones);
	if (ret)
		return ret;
	if (!has_forward(&k->zones))
		return fl_setup_error(s, "non-reverse zone name must be used");
	k->nzone = k->zones.n;
	k->zone = fl_zalloc(fl_setup_arena(s), k->nzone * sizeof *k->zone);
	if (!k->zone)
		return -ENOMEM;
	for (unsigned i = k->nzone; i--;) {
		struct fl_name name = k->zones.name[i];
		k->zone[i] = (struct fl_k8s_zone){ name, (uint8_t)fl_name_labels(name), fl_k8s_is_reverse(name), false };
		if (!k->zone[i].reverse || !k->primary.len)
			k->primary = name;
	}
	return 0;
}

static int check_multicluster(struct fl_setup *s, struct fl_k8s *k)
{
	for (unsigned m = 0; m < k->multicluster.n; m++) {
		bool ours = false;
		for (unsigned i = 0; i < k->nzone; i++)
			if (fl_name_eq(k->zone[i].name, k->multicluster.name[m]))
				ours = k->zone[i].multicluster = true;
		if (!ours)
			return fl_setup_parse_error(
			    s, "is not authoritative for the multicluster zone %.*s (authoritative zones: [%.*s])",
			    FL_FMT(k->multicluster.text[m]), FL_FMT(joined(s, k->zones.text, k->zones.n)));
	}
	return 0;
}

/* A peer's cluster IPs are not told, so there is nothing to name backwards; its own name for itself gives way to ours. */
static int check_peer(struct fl_setup *s, struct fl_k8s *k)
{
	if (!k->outward.on)
		return 0;
	for (unsigned i = 0; i < k->nzone; i++)
		if (k->zone[i].reverse)
			return fl_setup_parse_error(s, "peer serves no reverse zones: %.*s", FL_FMT(k->zones.text[i]));
	for (unsigned i = 0; i < k->nzone && !k->outward.zone.n; i++)
		if (fl_name_eq(k->zone[i].name, k->primary))
			k->outward.zone = undotted(k->zones.text[i]);
	return 0;
}

static int parse(struct fl_setup *s, struct fl_k8s *k)
{
	int ret = fl_setup_once(s);
	if (ret)
		return ret;
	fl_disp_next(fl_setup_disp(s));
	ret = read_zones(s, k);
	while (!ret && fl_disp_next_block(fl_setup_disp(s)))
		ret = property(s, k);
	if (ret)
		return ret;
	if (k->nnamespace && k->source.namespace_labels.n)
		return fl_setup_parse_error(s, "namespaces and namespace_labels cannot both be set");
	ret = check_multicluster(s, k);
	ret = ret ? ret : check_peer(s, k);
	if (!ret && k->zonal && k->noendpoints)
		return fl_setup_parse_error(s, "zonal requires the endpoint cache; remove noendpoints");
	return ret;
}

/* ---- the plugin's life ---- */

static bool synced(void *inst)
{
	const struct fl_k8s *k = inst;
	return fl_k8s_synced(k->index);
}

/* This cluster's names do not depend on whether another cluster can be reached: a peer delays no start and no readiness. */
static bool ready(void *inst)
{
	const struct fl_k8s *k = inst;
	return k->outward.on || synced(inst);
}

static void given_up(void *inst)
{
	struct fl_k8s *k = inst;
	fl_timer_clear(k->loop, &k->waiting);
	fl_log(FL_WARN, WHO, "starting server with unsynced Kubernetes API");
}

static void still_waiting(struct fl_timer *t)
{
	struct fl_k8s *k = (struct fl_k8s *)(void *)((char *)t - offsetof(struct fl_k8s, waiting));
	if (synced(k))
		return;
	fl_log(FL_INFO, WHO, "waiting for Kubernetes API before starting server");
	fl_timer_set(k->loop, t, fl_loop_now(k->loop) + WAIT_LOG_MS * FL_MS);
}

static int setup(struct fl_setup *s, void **inst)
{
	struct fl_k8s *k = *inst = fl_zalloc(fl_setup_arena(s), sizeof *k);
	if (!k)
		return -ENOMEM;
	k->ttl = TTL_DEFAULT;
	k->startup_ns = STARTUP_S * FL_SEC;
	k->loop = fl_setup_loop(s);
	k->waiting.fn = still_waiting;
	k->source.user_agent = "fairlead/" FL_VERSION " (CoreDNS/1.15.0)";
	if (fl_search_read(fl_setup_arena(s), "/etc/resolv.conf", FL_SEARCH_MAX - 3, &k->search) == -E2BIG)
		fl_log(FL_WARN, WHO, "/etc/resolv.conf: only the first %u search domains count", k->search.n);
	return parse(s, k);
}

struct neighbours { bool metadata, external; };

static void note_neighbour(void *arg, const struct fl_plugin *p, void *inst)
{
	struct neighbours *n = arg;
	(void)inst;
	n->metadata |= !strcmp(p->name, "metadata");
	n->external |= !strcmp(p->name, "k8s_external");
}

/* Pods keep their labels, and services are found by external address, only for those who can ask for that. */
static int join(struct fl_setup *s, void *inst)
{
	struct fl_k8s *k = inst;
	struct fl_err e = { "" };
	struct neighbours n = { 0 };
	if (fl_setup_process(s)->dry)
		return 0;
	fl_setup_each(s, note_neighbour, &n);
	k->labels_wanted = n.metadata && k->pods == FL_K8S_PODS_VERIFIED;
	k->externals_wanted = n.external;
	if (fl_k8s_feed(s, k, &e))
		return fl_setup_error(s, "%s", e.msg);
	return k->outward.on ? 0 : fl_setup_wait(s, k->startup_ns, synced, given_up);
}

static int start(void *inst, struct fl_err *e)
{
	struct fl_k8s *k = inst;
	(void)e;
	if (!synced(k) && !k->outward.on)
		fl_timer_set(k->loop, &k->waiting, fl_loop_tick(k->loop) + WAIT_LOG_MS * FL_MS);
	return 0;
}

static void stop(void *inst)
{
	struct fl_k8s *k = inst;
	fl_timer_clear(k->loop, &k->waiting);
}

FL_PLUGIN(kubernetes, .opts = opts, .setup = setup, .link = join, .start = start, .stop = stop, .query = fl_k8s_query,
	  .meta = fl_k8s_meta, .ready = ready, .iface = fl_k8s_iface);

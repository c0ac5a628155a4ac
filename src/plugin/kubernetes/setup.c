#include "base/log.h"
#include "plugin/kubernetes/kubernetes.h"
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { STARTUP_S = 5, TTL_S = 5, TTL_MAX = 3600, LOCAL_MAX = 64, SAY_MS = 500 };
#define WHO "plugin/kubernetes"

/* What a directive says while it is read. */
struct reading {
	struct kubernetes *k;
	struct fl_str labels, namespace_labels;
	bool pods_verified, zonal;
	struct fl_str *multicluster; unsigned nmulticluster; bool has_multicluster;
};

/* ---- options ---- */

static struct fl_str joined(struct fl_setup *s, const struct fl_str *arg, unsigned n)
{
	struct fl_str all = FL_STR("");
	for (unsigned i = 0; i < n; i++)
		all = fl_arena_printf(fl_setup_arena(s), "%.*s%s%.*s", FL_FMT(all), i ? " " : "", FL_FMT(arg[i]));
	return all;
}

static int selector(struct fl_setup *s, const struct fl_str *arg, unsigned n, const char *what, struct fl_str *to)
{
	struct fl_err e;
	if (!n)
		return fl_setup_arg_error(s);
	*to = joined(s, arg, n);
	struct fl_selector *sel = fl_selector_parse(*to, &e);
	fl_selector_free(sel);
	return sel ? 0 : fl_setup_error(s, "unable to parse %s selector value: '%.*s': %s", what, FL_FMT(*to), e.msg);
}

static int ttl(struct fl_setup *s, struct kubernetes *k, const struct fl_str *arg, unsigned n)
{
	struct fl_err e;
	int64_t v;
	if (!n)
		return fl_setup_arg_error(s);
	if (fl_atoi(arg[0], &v, &e))
		return fl_setup_error(s, "%s", e.msg);
	if (v < 0 || v > TTL_MAX)
		return fl_setup_parse_error(s, "ttl must be in range [0, %d]: %ld", TTL_MAX, (long)v);
	k->ttl_s = (uint32_t)v;
	return 0;
}

static int pods(struct fl_setup *s, struct reading *r, const struct fl_str *arg, unsigned n)
{
	if (n != 1)
		return fl_setup_arg_error(s);
	r->pods_verified = fl_str_is(arg[0], "verified");
	r->k->pods = fl_str_is(arg[0], "insecure") ? PODS_INSECURE : PODS_DISABLED;
	if (r->pods_verified || fl_str_is(arg[0], "insecure") || fl_str_is(arg[0], "disabled"))
		return 0;
	return fl_setup_error(s, "wrong value for pods: %.*s,  must be one of: disabled, verified, insecure", FL_FMT(arg[0]));
}

static int startup(struct fl_setup *s, struct kubernetes *k, const struct fl_str *arg, unsigned n)
{
	struct fl_err e;
	int64_t ns;
	if (!n)
		return fl_setup_arg_error(s);
	if (fl_duration_parse(arg[0], &ns, &e))
		return fl_setup_error(s, "failed to parse startup_timeout: %.*s, %s", FL_FMT(arg[0]), e.msg);
	k->startup_ns = ns > 0 ? (uint64_t)ns : 0;
	return 0;
}

/* apiserver_qps and the like: CoreDNS reads them and they do nothing there; here they are not built yet, and say so. */
static int apiserver_limit(struct fl_setup *s, struct fl_str name, const struct fl_str *arg, unsigned n)
{
	struct fl_err e;
	int64_t v;
	char *end;
	if (n != 1)
		return fl_setup_arg_error(s);
	bool qps = fl_str_is(name, "apiserver_qps");
	double d = qps ? strtod(arg[0].p, &end) : 0;
	if (qps && (*end || !arg[0].n))
		return fl_setup_parse_error(s, "invalid %.*s \"%.*s\": strconv.ParseFloat: parsing \"%.*s\": invalid syntax", FL_FMT(name),
					    FL_FMT(arg[0]), FL_FMT(arg[0]));
	if (!qps && fl_atoi(arg[0], &v, &e))
		return fl_setup_parse_error(s, "invalid %.*s \"%.*s\": %s", FL_FMT(name), FL_FMT(arg[0]), e.msg);
	if (qps ? d < 0 : v < 0)
		return fl_setup_parse_error(s, "%.*s must be >= 0", FL_FMT(name));
	return fl_setup_later(s, name.p);
}

static int flag(struct fl_setup *s, unsigned n, bool *on)
{
	*on = true;
	return n ? fl_setup_arg_error(s) : 0;
}

static int where(struct fl_setup *s, struct reading *r, struct fl_str name, const struct fl_str *arg, unsigned n)
{
	struct fl_source_config *c = &r->k->source;
	if (fl_str_is(name, "endpoint")) {
		if (!n)
			return fl_setup_arg_error(s);
		if (n > 1)
			fl_log(FL_WARN, WHO, "Multiple endpoints have been deprecated, only the first specified endpoint '%.*s' is used",
			       FL_FMT(arg[0]));
		c->endpoint = arg[0];
	} else if (fl_str_is(name, "tls")) {
		if (n != 3)
			return fl_setup_arg_error(s);
		c->tls_cert = arg[0];
		c->tls_key = arg[1];
		c->tls_ca = arg[2];
	} else if (fl_str_is(name, "kubeconfig")) {
		if (n != 1 && n != 2)
			return fl_setup_arg_error(s);
		c->kubeconfig = arg[0];
		c->context = n == 2 ? arg[1] : FL_STR("");
	} else {
		struct stat st;
		if (n != 1)
			return fl_setup_arg_error(s);
		c->manifests = fl_str(fl_setup_path(s, arg[0]));
		if (stat(c->manifests.p, &st))
			return fl_setup_error(s, "stat %s: no such file or directory", c->manifests.p);
	}
	return 0;
}

static int property(struct fl_setup *s, struct reading *r)
{
	struct fl_disp *d = fl_setup_disp(s);
	struct kubernetes *k = r->k;
	struct fl_str name = fl_disp_val(d), *arg;
	unsigned n = fl_disp_args(d, &arg);
	static const char *const wheres[] = { "endpoint", "tls", "kubeconfig", "manifests" };
	for (unsigned i = 0; i < FL_COUNT(wheres); i++)
		if (fl_str_is(name, wheres[i]))
			return where(s, r, name, arg, n);
	if (fl_str_is(name, "endpoint_pod_names"))
		return flag(s, n, &k->endpoint_pod_names);
	if (fl_str_is(name, "noendpoints"))
		return flag(s, n, &k->noendpoints);
	if (fl_str_is(name, "zonal"))
		return flag(s, n, &r->zonal);
	if (fl_str_is(name, "pods"))
		return pods(s, r, arg, n);
	if (fl_str_is(name, "ttl"))
		return ttl(s, k, arg, n);
	if (fl_str_is(name, "labels"))
		return selector(s, arg, n, "label", &r->labels);
	if (fl_str_is(name, "namespace_labels"))
		return selector(s, arg, n, "namespace_label", &r->namespace_labels);
	if (fl_str_is(name, "fallthrough"))
		return fl_setup_fall(s, arg, n, &k->fall);
	if (fl_str_is(name, "startup_timeout"))
		return startup(s, k, arg, n);
	if (fl_str_starts(name, FL_STR("apiserver_")) && (fl_str_is(name, "apiserver_qps") || fl_str_is(name, "apiserver_burst") ||
							 fl_str_is(name, "apiserver_max_inflight")))
		return apiserver_limit(s, name, arg, n);
	if (fl_str_is(name, "namespaces")) {
		k->namespaces = arg;
		k->nnamespaces = n;
		return n ? 0 : fl_setup_arg_error(s);
	}
	if (fl_str_is(name, "multicluster")) {
		r->has_multicluster = true;
		r->multicluster = arg;
		r->nmulticluster = n;
		return 0;
	}
	if (fl_str_is(name, "ignore")) {
		k->ignore_empty |= n && fl_str_is(arg[0], "empty_service");
		return !n || k->ignore_empty ? 0 : fl_setup_error(s, "unable to parse ignore value: '%.*s'", FL_FMT(arg[0]));
	}
	return fl_setup_parse_error(s, "unknown property '%.*s'", FL_FMT(name));
}

/* ---- the whole directive ---- */

/* CoreDNS's IsReverse: below in-addr.arpa or ip6.arpa; we take these two themselves too (they are reverse zones, whatever stands first). */
static bool is_reverse(struct fl_str z)
{
	return fl_str_ends(z, FL_STR(".in-addr.arpa.")) || fl_str_ends(z, FL_STR(".ip6.arpa.")) || fl_str_is(z, "in-addr.arpa.") ||
	       fl_str_is(z, "ip6.arpa.");
}

static int zones(struct fl_setup *s, struct kubernetes *k, const struct fl_str *arg, unsigned n)
{
	int ret = fl_setup_zones(s, arg, n, &k->zones);
	k->reverse = fl_zalloc(fl_setup_arena(s), k->zones.n + 1);
	k->primary = k->zones.n;
	for (unsigned i = k->zones.n; i-- > 0;) {
		k->reverse[i] = is_reverse(k->zones.text[i]);
		if (!k->reverse[i])
			k->primary = i;
	}
	return ret ? ret : k->primary < k->zones.n ? 0 : fl_setup_error(s, "non-reverse zone name must be used");
}

static int later(struct fl_setup *s, const struct reading *r)
{
	for (unsigned i = 0; i < r->nmulticluster; i++) {
		struct fl_str *z;
		unsigned n = fl_zone_parse(fl_setup_arena(s), r->multicluster[i], &z);
		bool ours = !n;
		for (unsigned j = 0; n && j < r->k->zones.n; j++)
			ours |= fl_str_eq(z[0], r->k->zones.text[j]);
		if (!ours) {
			struct fl_str all = joined(s, r->k->zones.text, r->k->zones.n);
			return fl_setup_parse_error(s, "is not authoritative for the multicluster zone %.*s (authoritative zones: [%.*s])",
						    FL_FMT(z[0]), FL_FMT(all));
		}
	}
	if (r->zonal && r->k->noendpoints)
		return fl_setup_parse_error(s, "zonal requires the endpoint cache; remove noendpoints");
	return r->zonal ? fl_setup_later(s, "zonal") : r->has_multicluster ? fl_setup_later(s, "multicluster")
		: r->pods_verified ? fl_setup_later(s, "pods verified") : 0;
}

static int parse(struct fl_setup *s, struct kubernetes *k)
{
	struct fl_disp *d = fl_setup_disp(s);
	struct fl_str *arg;
	struct reading r = { .k = k };
	int ret = fl_setup_once(s);
	if (ret)
		return ret;
	fl_disp_next(d);
	unsigned n = fl_disp_args(d, &arg);
	ret = zones(s, k, arg, n);
	while (!ret && fl_disp_next_block(d))
		ret = property(s, &r);
	if (!ret && k->nnamespaces && r.namespace_labels.n)
		ret = fl_setup_parse_error(s, "namespaces and namespace_labels cannot both be set");
	k->source.labels = r.labels;
	k->source.namespace_labels = r.namespace_labels;
	k->source.user_agent = "fairlead/" FL_VERSION " (CoreDNS/1.15.0)";
	return ret ? ret : later(s, &r);
}

/* Addresses of this machine for NS answers: those that the block binds, else all of all interfaces. */
static int local_addresses(struct fl_setup *s, struct kubernetes *k)
{
	const struct fl_block_conf *b = fl_setup_block(s);
	struct ifaddrs *all = NULL;
	k->local = fl_zalloc(fl_setup_arena(s), LOCAL_MAX * sizeof *k->local);
	for (unsigned i = 0; i < b->nbind && k->nlocal < LOCAL_MAX; i++) {
		struct fl_addr a;
		if (fl_addr_parse(b->bind[i], &a) && !(a.len == 4 && a.b[0] == 127))
			k->local[k->nlocal++] = a;
	}
	if (b->nbind || getifaddrs(&all))
		return 0;
	for (struct ifaddrs *i = all; i && k->nlocal < LOCAL_MAX; i = i->ifa_next) {
		struct fl_addr a = { .len = 0 };
		if (i->ifa_addr && i->ifa_addr->sa_family == AF_INET) {
			a.len = 4;
			memcpy(a.b, &((struct sockaddr_in *)i->ifa_addr)->sin_addr, 4);
		} else if (i->ifa_addr && i->ifa_addr->sa_family == AF_INET6) {
			a.len = 16;
			memcpy(a.b, &((struct sockaddr_in6 *)i->ifa_addr)->sin6_addr, 16);
		}
		bool loopback = (a.len == 4 && a.b[0] == 127) || (a.len == 16 && IN6_IS_ADDR_LOOPBACK((struct in6_addr *)a.b));
		if (a.len && !loopback)
			k->local[k->nlocal++] = a;
	}
	freeifaddrs(all);
	return 0;
}

/* ---- what outlives reloads ---- */

struct making { struct kubernetes *k; struct fl_setup *s; struct fl_err e; };

static void state_destroy(void *obj)
{
	struct k8s_state *st = obj;
	fl_source_destroy(st->source);
	fl_k8s_index_destroy(st->index);
	fl_store_destroy(st->store);
	free(st);
}

static void *state_create(void *arg)
{
	struct making *m = arg;
	struct fl_store_wants w = { .kind = { [FL_KIND_NAMESPACE] = true, [FL_KIND_SERVICE] = true, [FL_KIND_SLICE] = !m->k->noendpoints },
				    .pod_names = m->k->endpoint_pod_names };
	struct k8s_state *st = fl_xalloc(sizeof *st);
	st->store = fl_store_create(&w);
	st->index = fl_k8s_index_create(st->store, m->k->ttl_s);
	st->source = fl_source_create(st->store, fl_setup_loop(m->s), &m->k->source, &m->e);
	if (st->source)
		return st;
	state_destroy(st);
	return NULL;
}

static int keep_state(struct fl_setup *s, struct kubernetes *k)
{
	const struct fl_source_config *c = &k->source;
	struct making m = { k, s, { "" } };
	struct fl_str key = fl_arena_printf(fl_setup_arena(s), "kubernetes|%.*s|%.*s|%.*s|%.*s|%.*s|%.*s|%.*s|%.*s|%.*s|%d|%d|%u",
		FL_FMT(c->endpoint), FL_FMT(c->tls_cert), FL_FMT(c->tls_key), FL_FMT(c->tls_ca), FL_FMT(c->kubeconfig), FL_FMT(c->context),
		FL_FMT(c->manifests), FL_FMT(c->labels), FL_FMT(c->namespace_labels), k->noendpoints, k->endpoint_pod_names, k->ttl_s);
	k->state = fl_setup_keep(s, key, state_create, state_destroy, &m);
	return k->state ? 0 : fl_setup_error(s, "%s", m.e.msg);
}

static bool synced(void *inst)
{
	const struct kubernetes *k = inst;
	return fl_k8s_synced(k->state->index);
}

/* The start waits: said every half second, as CoreDNS does. */
static bool synced_yet(void *inst)
{
	struct kubernetes *k = inst;
	uint64_t now = fl_clock_ns();
	if (synced(inst))
		return true;
	if (!k->said_ns)
		k->said_ns = now;
	if (now - k->said_ns >= SAY_MS * FL_MS) {
		k->said_ns = now;
		fl_log(FL_INFO, WHO, "waiting for Kubernetes API before starting server");
	}
	return false;
}

static void given_up(void *inst)
{
	(void)inst;
	fl_log(FL_WARN, WHO, "starting server with unsynced Kubernetes API");
}

static int setup(struct fl_setup *s, void **inst)
{
	struct kubernetes *k = fl_zalloc(fl_setup_arena(s), sizeof *k);
	*inst = k;
	k->ttl_s = TTL_S;
	k->startup_ns = STARTUP_S * FL_SEC;
	int ret = parse(s, k);
	ret = ret ? ret : local_addresses(s, k);
	if (ret || fl_setup_process(s)->dry)
		return ret;
	ret = keep_state(s, k);
	return ret ? ret : fl_setup_wait(s, k->startup_ns, synced_yet, given_up);
}

static const struct fl_opt opts[] = {
	{ "", "[ZONE...]", "zones that are answered; by default those of the block" },
	{ "endpoint", "URL", "the API server; by default the one of the pod's cluster" },
	{ "tls", "CERT KEY CACERT", "files for endpoint" },
	{ "kubeconfig", "FILE [CONTEXT]", "a kubeconfig file" },
	{ "manifests", "DIR", "a folder of manifests in place of an API server" },
	{ "namespaces", "NAMESPACE...", "only these namespaces" },
	{ "labels", "EXPRESSION", "only objects with these labels" },
	{ "namespace_labels", "EXPRESSION", "only namespaces with these labels" },
	{ "pods", "disabled|insecure", "whether names of pods by address are answered" },
	{ "endpoint_pod_names", "", "endpoints without a hostname are named after their pod" },
	{ "ttl", "SECONDS", "of every record (5; 0 to 3600)" },
	{ "noendpoints", "", "no endpoints at all" },
	{ "ignore", "empty_service", "no such name where nobody is ready behind a service" },
	{ "fallthrough", "[ZONE...]", "names that are not there go on to the next plugin" },
	{ "startup_timeout", "DURATION", "how long the start waits for the API (5s)" },
	{ 0 },
};

FL_PLUGIN(kubernetes, .opts = opts, .setup = setup, .query = fl_k8s_query, .ready = synced);

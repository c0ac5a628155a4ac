/* Store and source of one cluster, and the index on them: kept over reloads while their settings stay. */
#include "plugin/kubernetes/kubernetes.h"
#include "plugin/kubernetes/metrics.h"
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdlib.h>

struct feed { struct fl_store *store; struct fl_source *source; char *label; unsigned refs; };
struct kept_index { struct fl_k8s_index *ix; struct feed *feed; };

/* ---- the store and what fills it ---- */

struct make { struct fl_setup *s; const struct fl_k8s *k; struct feed *feed; struct fl_err *e; };

static void feed_put(void *obj)
{
	struct feed *f = obj;
	if (--f->refs)
		return;
	fl_source_destroy(f->source);
	fl_store_destroy(f->store);
	free(f->label);
	free(f);
}

static void *feed_create(void *arg)
{
	struct make *m = arg;
	const struct fl_k8s *k = m->k;
	struct fl_store_wants w = { .pod_names = k->pod_names, .zones = k->zonal, .pod_labels = k->labels_wanted, .outward = k->outward };
	bool mc = k->multicluster.n > 0;
	w.kind[FL_KIND_NAMESPACE] = w.kind[FL_KIND_SERVICE] = true;
	w.kind[FL_KIND_SLICE] = !k->noendpoints;
	w.kind[FL_KIND_POD] = k->pods == FL_K8S_PODS_VERIFIED;
	w.kind[FL_KIND_IMPORT] = w.kind[FL_KIND_MCSLICE] = mc;
	struct fl_str from = k->source.manifests.n ? k->source.manifests : k->source.kubeconfig.n ? k->source.kubeconfig
		: k->source.endpoint.n ? k->source.endpoint : FL_STR("in-cluster");
	struct feed *f = fl_xalloc(sizeof *f);
	*f = (struct feed){ .store = fl_store_create(&w), .refs = 1, .label = fl_xstrndup(from.p, from.n) };
	f->source = fl_source_create(f->store, fl_setup_loop(m->s), &k->source, m->e);
	if (f->source)
		return f;
	feed_put(f);
	return NULL;
}

static struct fl_str feed_key(struct fl_setup *s, const struct fl_k8s *k)
{
	const struct fl_source_config *c = &k->source;
	const struct fl_str part[] = { c->endpoint, c->tls_cert, c->tls_key, c->tls_ca, c->kubeconfig, c->context, c->manifests,
				       c->labels, c->namespace_labels, k->outward.domain, k->outward.zone };
	struct fl_str key =
	    fl_arena_printf(fl_setup_arena(s), "kubernetes store %d%d%d%d%d%d%d%d %g %u %u", k->pod_names, k->zonal, k->labels_wanted,
			    k->noendpoints, k->pods == FL_K8S_PODS_VERIFIED, k->multicluster.n > 0, k->outward.on,
			    k->outward.clusterip, c->qps, c->burst, c->max_inflight);
	for (unsigned i = 0; i < FL_COUNT(part); i++)
		key = fl_arena_printf(fl_setup_arena(s), "%.*s %zu:%.*s", FL_FMT(key), part[i].n, FL_FMT(part[i]));
	return key;
}

/* ---- the index ---- */

static bool any_reverse(const struct fl_k8s *k)
{
	static const uint8_t v4[] = "\7in-addr\4arpa", v6[] = "\3ip6\4arpa";
	for (unsigned i = 0; i < k->nzone; i++)
		if (k->zone[i].reverse || fl_name_under((struct fl_name){ v4, sizeof v4 }, k->zone[i].name) ||
		    fl_name_under((struct fl_name){ v6, sizeof v6 }, k->zone[i].name))
			return true;
	return false;
}

/* Addresses of this machine besides loopback. CoreDNS takes bound addresses for networks and so has none with `bind`
 * (plugin/kubernetes/local.go). */
static struct fl_ip *local_ips(struct fl_setup *s, unsigned *n)
{
	struct ifaddrs *all = NULL;
	struct fl_ip *out = NULL;
	*n = 0;
	const struct fl_block_conf *b = fl_setup_block(s);
	if ((b->nbind && b->bind[0].n) || getifaddrs(&all))
		return NULL;
	for (struct ifaddrs *i = all; i; i = i->ifa_next) {
		char text[INET6_ADDRSTRLEN];
		struct fl_ip ip;
		if (!i->ifa_addr || (i->ifa_addr->sa_family != AF_INET && i->ifa_addr->sa_family != AF_INET6) ||
		    (i->ifa_flags & IFF_LOOPBACK))
			continue;
		const void *addr = i->ifa_addr->sa_family == AF_INET
				       ? (void *)&((struct sockaddr_in *)(void *)i->ifa_addr)->sin_addr
				       : (void *)&((struct sockaddr_in6 *)(void *)i->ifa_addr)->sin6_addr;
		if (!inet_ntop(i->ifa_addr->sa_family, addr, text, sizeof text) || !fl_ip_parse(fl_str(text), &ip))
			continue;
		out = fl_xrealloc(out, (*n + 1) * sizeof *out);
		out[(*n)++] = ip;
	}
	freeifaddrs(all);
	return out;
}

static void index_drop(void *obj)
{
	struct kept_index *i = obj;
	fl_k8s_metrics_drop(i->ix);
	fl_k8s_index_destroy(i->ix);
	feed_put(i->feed);
	free(i);
}

struct index_make { const struct fl_k8s_how *how; struct feed *feed; };

static void *index_create(void *arg)
{
	struct index_make *m = arg;
	struct kept_index *i = fl_xalloc(sizeof *i);
	*i = (struct kept_index){ fl_k8s_index_create(m->feed->store, m->how), m->feed };
	m->feed->refs++;
	fl_k8s_metrics_add(m->feed->store, i->ix, fl_str(m->feed->label));
	return i;
}

static struct fl_str index_key(struct fl_setup *s, const struct fl_k8s_how *how, struct fl_str feed)
{
	struct fl_arena *a = fl_setup_arena(s);
	struct fl_str key = fl_arena_printf(a, "kubernetes index of %zu:%.*s ttl %u %d%d%d%d%d", feed.n, FL_FMT(feed), how->ttl,
					    how->reverse, how->pods, how->pod_names, how->ignore_empty, how->externals);
	for (unsigned i = 0; i < how->nnamespace; i++)
		key = fl_arena_printf(a, "%.*s %zu:%.*s", FL_FMT(key), how->namespaces[i].n, FL_FMT(how->namespaces[i]));
	for (unsigned i = 0; i < how->nlocal; i++) {
		char text[46];
		fl_ip_text(text, how->local[i].b, how->local[i].len);
		key = fl_arena_printf(a, "%.*s %s", FL_FMT(key), text);
	}
	return key;
}

int fl_k8s_feed(struct fl_setup *s, struct fl_k8s *k, struct fl_err *e)
{
	struct make m = { .s = s, .k = k, .e = e };
	struct fl_str key = feed_key(s, k);
	struct feed *f = fl_setup_keep(s, key, feed_create, feed_put, &m);
	if (!f)
		return -EINVAL;
	struct fl_k8s_how how = { .ttl = k->ttl, .reverse = any_reverse(k), .pods = k->pods == FL_K8S_PODS_VERIFIED,
				  .pod_names = k->pod_names, .ignore_empty = k->ignore_empty, .externals = k->externals_wanted, .namespaces = k->namespaces,
				  .nnamespace = k->nnamespace };
	struct fl_ip *local = local_ips(s, &how.nlocal);
	how.local = local;
	struct index_make im = { &how, f };
	struct kept_index *i = fl_setup_keep(s, index_key(s, &how, key), index_create, index_drop, &im);
	k->index = i->ix;
	free(local);
	return 0;
}

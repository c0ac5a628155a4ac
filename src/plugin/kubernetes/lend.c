/* What others of the block may ask for (store/cluster.h). */
#include "plugin/kubernetes/kubernetes.h"
#include "store/cluster.h"

static bool synced(void *inst) { return fl_k8s_synced(((const struct fl_k8s *)inst)->index); }
static bool exposed(void *inst, struct fl_str ns) { return fl_k8s_exposed(((const struct fl_k8s *)inst)->index, ns); }

static bool lend(const struct fl_k8s_node *n, struct fl_cluster_service *to)
{
	if (!n->svc || !__atomic_load_n(&n->ns->exposed, __ATOMIC_ACQUIRE))
		return false;
	*to = (struct fl_cluster_service){ n->svc, n->slice, n->nslice };
	return true;
}

static bool service(void *inst, struct fl_str ns, struct fl_str name, struct fl_cluster_service *to)
{
	const struct fl_k8s *k = inst;
	uint8_t key[FL_K8S_KEY_MAX];
	if (!ns.n || !name.n || ns.n > FL_LABEL_MAX || name.n > FL_LABEL_MAX)
		return false;
	key[0] = (uint8_t)name.n;
	memcpy(key + 1, name.p, name.n);
	key[1 + name.n] = (uint8_t)ns.n;
	memcpy(key + 2 + name.n, ns.p, ns.n);
	const struct fl_k8s_node *n = fl_k8s_node(k->index, false, key, (unsigned)(name.n + ns.n + 2));
	return n && lend(n, to);
}

struct each { void (*fn)(void *arg, const struct fl_cluster_service *s); void *arg; };

static void each_node(void *arg, const struct fl_k8s_node *n)
{
	const struct each *e = arg;
	struct fl_cluster_service s;
	if (lend(n, &s))
		e->fn(e->arg, &s);
}

static void services(void *inst, void (*fn)(void *arg, const struct fl_cluster_service *s), void *arg)
{
	fl_k8s_each_node(((const struct fl_k8s *)inst)->index, false, each_node, &(struct each){ fn, arg });
}

static int scan(void *inst, struct fl_cluster_scan *at, uint32_t slots, void (*fn)(void *arg, const struct fl_cluster_service *s), void *arg)
{
	return fl_k8s_scan_nodes(((const struct fl_k8s *)inst)->index, at, slots, each_node, &(struct each){ fn, arg });
}

static unsigned by_external(void *inst, const struct fl_ip *ip, const struct fl_service **to, unsigned cap)
{
	return fl_k8s_by_external(((const struct fl_k8s *)inst)->index, ip, to, cap);
}

static unsigned selves(void *inst, bool headless, struct fl_ip *to, unsigned cap)
{
	const struct fl_k8s_selves *s = fl_k8s_selves(((const struct fl_k8s *)inst)->index, headless ? FL_K8S_OUTSIDE_HEADLESS : FL_K8S_OUTSIDE);
	unsigned n = 0;
	for (unsigned i = 0; i < s->n && n < cap; i++) {
		unsigned met = 0;
		while (met < n && (to[met].len != s->at[i].ip.len || memcmp(to[met].b, s->at[i].ip.b, to[met].len)))
			met++;
		if (met == n)
			to[n++] = s->at[i].ip;
	}
	return n;
}

static size_t endpoint_name(void *inst, char to[256], const struct fl_slice *s, uint32_t i)
{
	return fl_k8s_endpoint_name(to, s, i, ((const struct fl_k8s *)inst)->pod_names);
}

static uint32_t serial(void *inst) { return fl_k8s_serial(((const struct fl_k8s *)inst)->index, false); }
static uint32_t ttl(void *inst) { return ((const struct fl_k8s *)inst)->ttl; }

const void *fl_k8s_iface(void *inst, const char *what)
{
	static const struct fl_cluster_ops cluster = { synced, exposed, service, services, scan, by_external, selves, endpoint_name, serial, ttl };
	(void)inst;
	if (!strcmp(what, "autopath"))
		return &fl_k8s_autopath;
	return !strcmp(what, "cluster") ? &cluster : !strcmp(what, "transfer") ? (const void *)&fl_k8s_transfer : NULL;
}

/* Labels kubernetes/… of a question (CoreDNS plugin/kubernetes/metadata.go). */
#include "plugin/kubernetes/kubernetes.h"
#include <errno.h>

#define LABEL(l) fl_str_is(label, "kubernetes/" l)

static int give(struct fl_query *q, struct fl_str s, struct fl_str *value)
{
	*value = fl_arena_str(q->arena, s);
	return value->p ? 0 : -ENOENT;
}

static int give_folded(struct fl_query *q, struct fl_str s, struct fl_str *value)
{
	char low[FL_LABEL_MAX];
	for (size_t i = 0; i < s.n; i++)
		low[i] = (char)fl_lower((uint8_t)s.p[i]);
	return give(q, (struct fl_str){ low, s.n }, value);
}

/* The pod that asks: of several with the address the first by namespace and name. */
static const struct fl_pod *asking_pod(const struct fl_k8s *k, const struct fl_query *q)
{
	struct fl_ip ip = { .len = q->client->peer.len };
	const struct fl_pod *best = NULL;
	if (k->pods != FL_K8S_PODS_VERIFIED || !ip.len)
		return NULL;
	memcpy(ip.b, q->client->peer.b, ip.len);
	struct fl_k8s_probe p = fl_k8s_pods(k->index, &ip);
	for (const struct fl_pod *pod; (pod = fl_k8s_pod_next(&p, &ip));) {
		int d = best ? strcmp(pod->o.ns.p, best->o.ns.p) : -1;
		if (d < 0 || (!d && strcmp(pod->o.name.p, best->o.name.p) < 0))
			best = pod;
	}
	return best;
}

static int client_label(const struct fl_k8s *k, struct fl_query *q, struct fl_str label, struct fl_str *value)
{
	static const struct fl_str prefix = { "kubernetes/client-label/", 24 };
	const struct fl_pod *p = asking_pod(k, q);
	if (!p)
		return -ENOENT;
	if (LABEL("client-namespace"))
		return give(q, p->o.ns, value);
	if (LABEL("client-pod-name"))
		return give(q, p->o.name, value);
	for (unsigned i = 0; fl_str_starts(label, prefix) && i < p->nlabel; i++)
		if (fl_str_eq(p->label[i].key, (struct fl_str){ label.p + prefix.n, label.n - prefix.n }))
			return give(q, p->label[i].value, value);
	return -ENOENT;
}

static int topo(struct fl_query *q, const struct fl_k8s_req *r, struct fl_str *value)
{
	char text[FL_NAME_MAX];
	size_t n = 0;
	for (unsigned at = 0; at < r->ntopo; at += r->topo[at] + 1u) {
		if (n)
			text[n++] = '.';
		for (unsigned i = 1; i <= r->topo[at]; i++)
			text[n++] = (char)fl_lower(r->topo[at + i]);
	}
	return give(q, (struct fl_str){ text, n }, value);
}

int fl_k8s_meta(void *inst, struct fl_query *q, struct fl_str label, struct fl_str *value)
{
	const struct fl_k8s *k = inst;
	struct fl_k8s_labels l;
	struct fl_k8s_req r;
	if (!fl_str_starts(label, FL_STR("kubernetes/")))
		return -ENOENT;
	if (fl_str_starts(label, FL_STR("kubernetes/client-")))
		return client_label(k, q, label, value);
	fl_k8s_labels(&l, q->client->qname);
	const struct fl_k8s_zone *z = fl_k8s_zone(k, q->client->qname, &l);
	if (!z)
		return -ENOENT;
	fl_k8s_parse(&r, q->client->qname, &l, z->labels, z->multicluster, k->zonal);
	if (r.shape == FL_K8S_BAD)
		return LABEL("parse-error") ? give(q, FL_STR("invalid query name"), value) : -ENOENT;
	const struct { const char *name; struct fl_str v; } part[] = {
		{ "kubernetes/port-name", r.port }, { "kubernetes/protocol", r.protocol }, { "kubernetes/endpoint", r.endpoint },
		{ "kubernetes/service", r.service }, { "kubernetes/namespace", r.ns },
		{ "kubernetes/kind", r.kind },
	};
	for (unsigned i = 0; i < FL_COUNT(part); i++)
		if (fl_str_is(label, part[i].name))
			return give_folded(q, part[i].v, value);
	if (LABEL("cluster") && z->multicluster)
		return give_folded(q, r.cluster, value);
	return LABEL("zone") && k->zonal ? topo(q, &r, value) : -ENOENT;
}

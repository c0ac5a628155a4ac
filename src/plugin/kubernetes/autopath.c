/* What clients in pods complete names with: NS.svc.ZONE, svc.ZONE, ZONE and this machine's own list (CoreDNS plugin/kubernetes/autopath.go).
 * The question holds the first three as they are; what is to be found out is whether NS is the client's namespace. */
#include "plugin/kubernetes/kubernetes.h"
#include <errno.h>

/* A pod of namespace ns has the client's address. CoreDNS takes the first pod with it; pods in the host's network share one. */
static bool asks_from(const struct fl_k8s *k, const struct fl_query *q, struct fl_str ns)
{
	struct fl_ip ip = { .len = q->client->peer.len };
	if (k->pods != FL_K8S_PODS_VERIFIED || !ip.len)
		return false;
	memcpy(ip.b, q->client->peer.b, ip.len);
	struct fl_k8s_probe p = fl_k8s_pods(k->index, &ip);
	for (const struct fl_pod *pod; (pod = fl_k8s_pod_next(&p, &ip));)
		if (fl_str_ieq(pod->o.ns, ns))
			return true;
	return false;
}

/* Labels 0 .. last stand left of the namespace. A name that a client may well have asked for whole is left alone: one label (a service), or
 * more that end in a service of the namespace (its endpoints and ports). */
static bool guessed(const struct fl_k8s *k, const struct fl_query *q, const struct fl_k8s_labels *l, int last, bool multicluster)
{
	if (last < 1 || !fl_k8s_exposed(k->index, fl_name_label(q->qname, (unsigned)last + 1)))
		return false;
	const struct fl_k8s_node *n = fl_k8s_node(k->index, multicluster, q->qname.wire + l->at[last], (unsigned)(l->at[last + 2] - l->at[last]));
	return !n || n->kind == FL_K8S_HIDDEN;
}

static int search(void *inst, struct fl_query *q, bool guess, struct fl_search *to)
{
	const struct fl_k8s *k = inst;
	struct fl_k8s_labels l;
	to->n = 0;
	fl_k8s_labels(&l, q->qname);
	const struct fl_k8s_zone *z = fl_k8s_zone(k, q->qname, &l);
	int svc = z ? l.n - z->labels - 1 : 0;
	if (svc < 2 || !fl_str_ieq(fl_name_label(q->qname, (unsigned)svc), FL_STR("svc")))
		return 0;
	if (!asks_from(k, q, fl_name_label(q->qname, (unsigned)svc - 1)) && !(guess && guessed(k, q, &l, svc - 2, z->multicluster)))
		return 0;
	to->name = fl_alloc(q->arena, (3 + k->search.n) * sizeof *to->name);
	if (!to->name)
		return -ENOMEM;
	for (; to->n < 3; to->n++)
		to->name[to->n] = fl_name_skip(q->qname, (unsigned)svc - 1 + to->n);
	for (unsigned i = 0; i < k->search.n; i++)
		to->name[to->n++] = k->search.name[i];
	return 0;
}

const struct fl_autopath_ops fl_k8s_autopath = { search, true };

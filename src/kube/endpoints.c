#include "kube/endpoints.h"
#include <stdlib.h>

enum { GROUPS_MAX = 64, PORTS_MAX = 64 };

static const cJSON *at(const cJSON *o, const char *key) { return cJSON_GetObjectItemCaseSensitive(o, key); }
static const char *str(const cJSON *o, const char *key)
{
	const cJSON *v = at(o, key);
	return cJSON_IsString(v) ? v->valuestring : "";
}

static const char *name_of(const cJSON *o) { return str(at(o, "metadata"), "name"); }
static const char *ns_of(const cJSON *o) { return str(at(o, "metadata"), "namespace"); }

static bool selected(const cJSON *selector, const cJSON *pod)
{
	const cJSON *labels = at(at(pod, "metadata"), "labels"), *want;
	cJSON_ArrayForEach(want, selector) {
		const cJSON *has = at(labels, want->string);
		if (!cJSON_IsString(has) || strcmp(has->valuestring, str(selector, want->string)))
			return false;
	}
	return true;
}

static bool condition_ready(const cJSON *pod)
{
	const cJSON *c;
	cJSON_ArrayForEach(c, at(at(pod, "status"), "conditions"))
		if (!strcmp(str(c, "type"), "Ready"))
			return !strcmp(str(c, "status"), "True");
	return false;
}

/* ---- the world ---- */

static int by_namespace(const void *a, const void *b) { return strcmp(ns_of(*(cJSON *const *)a), ns_of(*(cJSON *const *)b)); }
static int by_name(const void *a, const void *b) { return strcmp(name_of(*(cJSON *const *)a), name_of(*(cJSON *const *)b)); }

void fl_endpoints_sort(struct fl_endpoints_world *w)
{
	if (w->npod)
		qsort(w->pod, w->npod, sizeof *w->pod, by_namespace);
	if (w->nnode)
		qsort(w->node, w->nnode, sizeof *w->node, by_name);
}

/* The first pod of a namespace. */
static unsigned pods_of(const struct fl_endpoints_world *w, const char *ns)
{
	unsigned from = 0, to = w->npod;
	while (from < to) {
		unsigned mid = from + (to - from) / 2;
		if (strcmp(ns_of(w->pod[mid]), ns) < 0)
			from = mid + 1;
		else
			to = mid;
	}
	return from;
}

static const cJSON *node_of(const struct fl_endpoints_world *w, const cJSON *pod)
{
	const char *name = str(at(pod, "spec"), "nodeName");
	unsigned from = 0, to = w->nnode;
	while (from < to) {
		unsigned mid = from + (to - from) / 2;
		int cmp = strcmp(name_of(w->node[mid]), name);
		if (!cmp)
			return w->node[mid];
		if (cmp < 0)
			from = mid + 1;
		else
			to = mid;
	}
	return NULL;
}

/* ---- ports ---- */

/* A named container port of the same protocol; 0: none. */
static int named_port(const cJSON *pod, const char *name, const char *protocol)
{
	const cJSON *spec = at(pod, "spec"), *c, *p;
	for (int init = 0; init < 2; init++)
		cJSON_ArrayForEach(c, at(spec, init ? "initContainers" : "containers")) {
			if (init && strcmp(str(c, "restartPolicy"), "Always"))
				continue;
			cJSON_ArrayForEach(p, at(c, "ports")) {
				const char *proto = *str(p, "protocol") ? str(p, "protocol") : "TCP";
				const cJSON *number = at(p, "containerPort");
				if (!strcmp(str(p, "name"), name) && !strcmp(proto, protocol) && cJSON_IsNumber(number))
					return number->valueint;
			}
		}
	return 0;
}

/* The ports of a service as this pod has them. */
static unsigned ports_of(const cJSON *service, const cJSON *pod, struct fl_port_in *to, unsigned most)
{
	const cJSON *sp;
	unsigned n = 0;
	cJSON_ArrayForEach(sp, at(at(service, "spec"), "ports")) {
		const char *protocol = *str(sp, "protocol") ? str(sp, "protocol") : "TCP";
		const cJSON *target = at(sp, "targetPort"), *port = at(sp, "port");
		int number = cJSON_IsNumber(port) ? port->valueint : 0;
		if (cJSON_IsNumber(target) && target->valueint)
			number = target->valueint;
		if (cJSON_IsString(target) && *target->valuestring)
			number = named_port(pod, target->valuestring, protocol);
		if (number > 0 && n < most)
			to[n++] = (struct fl_port_in){ fl_str(str(sp, "name")), fl_str(protocol), fl_str(str(sp, "appProtocol")),
						       number };
	}
	return n;
}

static bool same_ports(const struct fl_slice_in *s, const struct fl_port_in *p, unsigned n)
{
	if (s->nport != n)
		return false;
	for (unsigned i = 0; i < n; i++)
		if (s->port[i].port != p[i].port || !fl_str_eq(s->port[i].name, p[i].name) ||
		    !fl_str_eq(s->port[i].protocol, p[i].protocol))
			return false;
	return true;
}

/* ---- endpoints ---- */

/* The pod's address of a family; p NULL: none. */
static struct fl_str address(const cJSON *pod, bool v6)
{
	const cJSON *status = at(pod, "status"), *ip;
	struct fl_str one = fl_str(str(status, "podIP"));
	cJSON_ArrayForEach(ip, at(status, "podIPs"))
		if ((strchr(str(ip, "ip"), ':') != NULL) == v6 && *str(ip, "ip"))
			return fl_str(str(ip, "ip"));
	if (one.n && (memchr(one.p, ':', one.n) != NULL) == v6)
		return one;
	return (struct fl_str){ NULL, 0 };
}

static uint8_t flags_of(const cJSON *service, const cJSON *pod)
{
	bool all = cJSON_IsTrue(at(at(service, "spec"), "publishNotReadyAddresses"));
	bool serving = condition_ready(pod), leaving = cJSON_IsString(at(at(pod, "metadata"), "deletionTimestamp"));
	return (uint8_t)((all || (serving && !leaving) ? FL_EP_READY : 0) | (serving ? FL_EP_SERVING : 0) |
			 (leaving ? FL_EP_TERMINATING : 0));
}

/* Slices of one family, one for each set of ports that its pods have: a port's name may mean another number in each of them. */
struct work {
	struct fl_arena *a;
	const cJSON *service;
	const struct fl_endpoints_world *world;
	bool v6, full;
	struct fl_slice_in slice[GROUPS_MAX];
	unsigned n, cap[GROUPS_MAX];
};

static struct fl_slice_in *slice_of(struct work *w, const struct fl_port_in *port, unsigned n)
{
	unsigned i = 0;
	while (i < w->n && !same_ports(&w->slice[i], port, n))
		i++;
	if (i == GROUPS_MAX)
		return NULL;
	struct fl_slice_in *s = &w->slice[i];
	if (i == w->n) {
		*s = (struct fl_slice_in){ .service = fl_str(name_of(w->service)),
					  .address_type = w->v6 ? FL_STR("IPv6") : FL_STR("IPv4"),
					  .port = fl_copy(w->a, port, n * sizeof *port),
					  .nport = n };
		s->meta.ns = fl_str(ns_of(w->service));
		s->meta.name = fl_arena_printf(w->a, "%s-pods-v%c-%u", name_of(w->service), w->v6 ? '6' : '4', i);
		w->cap[w->n++] = 0;
	}
	if (s->nep == w->cap[i]) {
		unsigned cap = w->cap[i] ? 2 * w->cap[i] : 8;
		struct fl_endpoint_in *ep = fl_alloc(w->a, cap * sizeof *ep);
		if (!ep || !s->port || !s->meta.name.p) {
			w->full = true;
			return NULL;
		}
		if (s->nep)
			memcpy(ep, s->ep, s->nep * sizeof *ep);
		s->ep = ep;
		w->cap[i] = cap;
	}
	return s;
}

static void add_pod(struct work *w, const cJSON *pod)
{
	const cJSON *spec = at(pod, "spec"), *node = node_of(w->world, pod);
	const char *phase = str(at(pod, "status"), "phase");
	bool unready_too = cJSON_IsTrue(at(at(w->service, "spec"), "publishNotReadyAddresses"));
	struct fl_str ip = address(pod, w->v6);
	if (!ip.n || !strcmp(phase, "Succeeded") || !strcmp(phase, "Failed") || (w->world->nnode && !node && !unready_too))
		return;
	struct fl_port_in port[PORTS_MAX];
	unsigned n = ports_of(w->service, pod, port, PORTS_MAX);
	struct fl_slice_in *s = slice_of(w, port, n);
	struct fl_str *addr = s ? fl_copy(w->a, &ip, sizeof ip) : NULL;
	if (!addr)
		return;
	bool named = *str(spec, "hostname") && !strcmp(str(spec, "subdomain"), name_of(w->service));
	const cJSON *labels = at(at(node, "metadata"), "labels");
	s->ep[s->nep++] = (struct fl_endpoint_in){ .address = addr,
						  .naddress = 1,
						  .hostname = named ? fl_str(str(spec, "hostname")) : FL_STR(""),
						  .pod = fl_str(name_of(pod)),
						  .node = fl_str(str(spec, "nodeName")),
						  .zone = fl_str(str(labels, "topology.kubernetes.io/zone")),
						  .flags = flags_of(w->service, pod) };
}

/* Families: those that the service names, else that of its address; headless: both. */
static bool has_family(const cJSON *spec, bool v6)
{
	const cJSON *list = at(spec, "ipFamilies"), *ips = at(spec, "clusterIPs"), *v;
	const char *one = str(spec, "clusterIP");
	cJSON_ArrayForEach(v, list)
		if (cJSON_IsString(v) && !strcmp(v->valuestring, v6 ? "IPv6" : "IPv4"))
			return true;
	if (cJSON_GetArraySize(list))
		return false;
	cJSON_ArrayForEach(v, ips)
		if (cJSON_IsString(v) && strcmp(v->valuestring, "None") && (strchr(v->valuestring, ':') != NULL) == v6)
			return true;
	if (*one && strcmp(one, "None"))
		return (strchr(one, ':') != NULL) == v6;
	return !cJSON_GetArraySize(ips) || (cJSON_IsString(ips->child) && !strcmp(ips->child->valuestring, "None"));
}

/* The service's own labels, and those that the controller adds. */
static struct fl_label_in *labels_of(struct fl_arena *a, const cJSON *service, unsigned *n)
{
	const cJSON *own = at(at(service, "metadata"), "labels"), *v;
	const char *ip = str(at(service, "spec"), "clusterIP");
	struct fl_label_in *to = fl_alloc(a, ((size_t)cJSON_GetArraySize(own) + 3) * sizeof *to);
	*n = 0;
	if (!to)
		return NULL;
	to[(*n)++] = (struct fl_label_in){ FL_STR("kubernetes.io/service-name"), fl_str(name_of(service)) };
	to[(*n)++] = (struct fl_label_in){ FL_STR("endpointslice.kubernetes.io/managed-by"),
					   FL_STR("endpointslice-controller.k8s.io") };
	if (!*ip || !strcmp(ip, "None"))
		to[(*n)++] = (struct fl_label_in){ FL_STR("service.kubernetes.io/headless"), FL_STR("") };
	cJSON_ArrayForEach(v, own)      /* of equal keys the first counts */
		if (cJSON_IsString(v))
			to[(*n)++] = (struct fl_label_in){ fl_str(v->string), fl_str(v->valuestring) };
	return to;
}

void fl_endpoints_make(struct fl_arena *a, const cJSON *service, const struct fl_endpoints_world *world, fl_endpoints_fn *fn,
		       void *arg)
{
	const cJSON *spec = at(service, "spec"), *selector = at(spec, "selector");
	if (!strcmp(str(spec, "type"), "ExternalName") || !cJSON_IsObject(selector) || !selector->child)
		return;
	for (int v6 = 0; v6 < 2; v6++) {
		struct work *w = has_family(spec, v6) ? fl_zalloc(a, sizeof *w) : NULL;
		unsigned nlabel;
		if (!w)
			continue;
		w->a = a;
		w->service = service;
		w->world = world;
		w->v6 = v6;
		const char *ns = ns_of(service);
		for (unsigned i = pods_of(world, ns); i < world->npod && !strcmp(ns_of(world->pod[i]), ns); i++)
			if (selected(selector, world->pod[i]))
				add_pod(w, world->pod[i]);
		struct fl_label_in *label = labels_of(a, service, &nlabel);
		for (unsigned i = 0; i < w->n && label && !w->full; i++)
			fn(arg, &w->slice[i], label, nlabel);
	}
}

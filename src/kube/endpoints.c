#include "kube/endpoints.h"
#include <stdio.h>

enum { SLICES_MAX = 64 };

static const cJSON *at(const cJSON *o, const char *key) { return cJSON_GetObjectItemCaseSensitive(o, key); }
static const char *str(const cJSON *o, const char *key)
{
	const cJSON *v = at(o, key);
	return cJSON_IsString(v) ? v->valuestring : "";
}

static bool selected(const cJSON *selector, const cJSON *pod)
{
	const cJSON *labels = at(at(pod, "metadata"), "labels"), *want;
	cJSON_ArrayForEach(want, selector)
		if (!cJSON_IsString(want) || strcmp(str(labels, want->string), want->valuestring))
			return false;
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

static bool node_there(const cJSON *pod, const cJSON *const *node, unsigned n)
{
	const char *name = str(at(pod, "spec"), "nodeName");
	for (unsigned i = 0; i < n; i++)
		if (!strcmp(str(at(node[i], "metadata"), "name"), name))
			return true;
	return n == 0;
}

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
		int number = cJSON_IsNumber(target) && target->valueint ? target->valueint : cJSON_IsNumber(port) ? port->valueint : 0;
		if (cJSON_IsString(target) && *target->valuestring)
			number = named_port(pod, target->valuestring, protocol);
		if (number > 0 && n < most)
			to[n++] = (struct fl_port_in){ fl_str(str(sp, "name")), fl_str(protocol), fl_str(str(sp, "appProtocol")), number };
	}
	return n;
}

static bool same_ports(const struct fl_slice_in *s, const struct fl_port_in *p, unsigned n)
{
	if (s->nport != n)
		return false;
	for (unsigned i = 0; i < n; i++)
		if (s->port[i].port != p[i].port || !fl_str_eq(s->port[i].name, p[i].name) || !fl_str_eq(s->port[i].protocol, p[i].protocol))
			return false;
	return true;
}

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
	return (uint8_t)((all || (serving && !leaving) ? FL_EP_READY : 0) | (serving ? FL_EP_SERVING : 0) | (leaving ? FL_EP_TERMINATING : 0));
}

struct work {
	struct fl_arena *a;
	const cJSON *service;
	bool v6;
	struct fl_slice_in slice[SLICES_MAX];
	unsigned n, most;
};

static void add_pod(struct work *w, const cJSON *pod, struct fl_str ip)
{
	struct fl_port_in port[64];
	unsigned n = ports_of(w->service, pod, port, FL_COUNT(port)), i = 0;
	const cJSON *spec = at(pod, "spec"), *meta = at(w->service, "metadata");
	while (i < w->n && !same_ports(&w->slice[i], port, n))
		i++;
	if (i == SLICES_MAX)
		return;
	struct fl_slice_in *s = &w->slice[i];
	if (i == w->n) {
		w->n++;
		*s = (struct fl_slice_in){ .service = fl_str(str(meta, "name")), .address_type = w->v6 ? FL_STR("IPv6") : FL_STR("IPv4"),
					   .port = fl_copy(w->a, port, n * sizeof *port), .nport = n,
					   .ep = fl_zalloc(w->a, w->most * sizeof *s->ep) };
		s->meta.ns = fl_str(str(meta, "namespace"));
		s->meta.name = fl_arena_printf(w->a, "%s.from-pods.%s.%u", str(meta, "name"), w->v6 ? "v6" : "v4", i);
	}
	struct fl_str *addr = fl_copy(w->a, &ip, sizeof ip);
	bool named = *str(spec, "hostname") && !strcmp(str(spec, "subdomain"), str(meta, "name"));
	s->ep[s->nep++] = (struct fl_endpoint_in){ .address = addr, .naddress = 1, .hostname = named ? fl_str(str(spec, "hostname")) : FL_STR(""),
						   .pod = fl_str(str(at(pod, "metadata"), "name")), .node = fl_str(str(spec, "nodeName")),
						   .flags = flags_of(w->service, pod) };
}

void fl_endpoints_put(struct fl_store *store, struct fl_arena *a, const cJSON *service, const cJSON *const *pod, unsigned npod,
		      const cJSON *const *node, unsigned nnode)
{
	const cJSON *spec = at(service, "spec"), *selector = at(spec, "selector");
	if (!strcmp(str(spec, "type"), "ExternalName") || !cJSON_IsObject(selector) || !selector->child)
		return;
	for (int v6 = 0; v6 < 2; v6++) {
		struct work *w = fl_zalloc(a, sizeof *w);
		if (!w)
			return;
		w->a = a;
		w->service = service;
		w->v6 = v6;
		w->most = npod;
		for (unsigned i = 0; i < npod; i++) {
			const char *phase = str(at(pod[i], "status"), "phase");
			bool all = cJSON_IsTrue(at(spec, "publishNotReadyAddresses"));
			struct fl_str ip = address(pod[i], v6);
			if (strcmp(str(at(pod[i], "metadata"), "namespace"), str(at(service, "metadata"), "namespace")) || !ip.p ||
			    !strcmp(phase, "Succeeded") || !strcmp(phase, "Failed") || !selected(selector, pod[i]) ||
			    (!all && !node_there(pod[i], node, nnode)))
				continue;
			add_pod(w, pod[i], ip);
		}
		for (unsigned i = 0; i < w->n; i++)
			fl_store_put_slice(store, FL_KIND_SLICE, &w->slice[i], NULL);
	}
}

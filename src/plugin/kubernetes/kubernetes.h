/* kubernetes: answers the cluster's names from the index. setup.c reads the directive, name.c takes a question apart, find.c says what stands
 * behind a name, answer.c and srv.c make records of it, reverse.c goes from addresses to names. Private to the plugin. */
#pragma once
#include "dns/plugin.h"
#include "kube/source.h"
#include "plugin/kubernetes/index.h"

enum k8s_pods { PODS_DISABLED, PODS_INSECURE };

struct kubernetes {
	struct fl_zones zones;
	bool *reverse;                  /* of each zone */
	unsigned primary;               /* the first that is not reverse: what PTR answers name */
	enum k8s_pods pods;
	uint32_t ttl_s;
	bool endpoint_pod_names, noendpoints, ignore_empty;
	struct fl_str *namespaces; unsigned nnamespaces;        /* none: all */
	struct fl_fall fall;
	uint64_t startup_ns, said_ns;   /* how long a start waits; when that was said last */
	struct fl_addr *local; unsigned nlocal; /* own addresses, for NS */
	struct fl_source_config source;
	struct k8s_state *state;
};

/* What outlives a reload with the same settings: the store with its source, and the index over it. */
struct k8s_state { struct fl_store *store; struct fl_source *source; struct k8s_index *index; };

/* A question taken apart: PORT.PROTO.service.ns.svc.zone, ENDPOINT.service.ns.svc.zone, POD.ns.pod.zone … */
enum k8s_shape { SHAPE_APEX, SHAPE_KIND, SHAPE_NAMESPACE, SHAPE_SERVICE, SHAPE_BAD };
struct k8s_name {
	enum k8s_shape shape;
	bool pod;
	struct fl_str ns, service, endpoint, port, proto;       /* letters as asked */
	struct fl_name zone;            /* the tail of the question, its letter case */
	bool dns_version, ns_dns;       /* dns-version.zone, ns.dns.zone */
};
void fl_k8s_name(struct k8s_name *n, struct fl_name qname, struct fl_name zone);

/* What stands behind a name. */
enum k8s_found { FOUND_NOTHING, FOUND_EMPTY, FOUND_CLUSTER_IP, FOUND_ENDPOINTS, FOUND_EXTERNAL, FOUND_POD };
struct k8s_hit { const struct k8s_node *node; struct k8s_name name; struct fl_ip pod; };
enum k8s_found fl_k8s_look(const struct kubernetes *k, const struct k8s_name *n, struct k8s_hit *hit);
bool fl_k8s_exposed(const struct kubernetes *k, struct fl_str ns);

/* Endpoints of a hit: each ready one whose name fits, with each port of its slice that fits (NULL: it has none). fn false: enough. */
typedef bool k8s_each(void *arg, const struct fl_slice *s, uint32_t slot, const struct fl_port *port);
void fl_k8s_endpoints(const struct kubernetes *k, const struct k8s_hit *h, k8s_each *fn, void *arg);
bool fl_k8s_port_fits(const struct k8s_name *n, const struct fl_port *p);       /* p NULL: no port at all */
/* The name of an endpoint (hostname, pod, or address with dashes) into to (64 at least); its length, 0: none. */
size_t fl_k8s_endpoint_name(const struct kubernetes *k, const struct fl_slice *s, uint32_t slot, char *to, size_t cap);

/* Labels (texts; dots inside split them) and zone as one name in the arena; len 0: too long, or no memory. */
struct fl_name fl_k8s_join(struct fl_arena *a, const struct fl_str *label, unsigned n, struct fl_name zone);

enum fl_verdict fl_k8s_query(void *inst, struct fl_query *q);
int fl_k8s_srv(const struct kubernetes *k, struct fl_query *q, enum k8s_found f, const struct k8s_hit *h);      /* records, or -ENOMEM */
int fl_k8s_ptr(const struct kubernetes *k, struct fl_query *q);         /* records, 0 none, -ENOMEM */
int fl_k8s_ns(const struct kubernetes *k, struct fl_query *q, struct fl_name zone, bool addresses_only);

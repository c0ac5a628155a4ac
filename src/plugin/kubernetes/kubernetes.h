/* kubernetes: answers from the cluster's Services, EndpointSlices, Namespaces and Pods.
 *
 *   setup.c  the directive → struct fl_k8s       feed.c   store and source, kept over reloads       index.h  what shards read
 *   name.c   question → fl_k8s_req               answer.c the way of one question
 *   endpoints.c  walks over endpoints, filtered address sets      srv.c  alias.c  reverse.c  apex.c  one kind of answer each
 *   meta.c   labels                              metrics.c                  transfer.c  whole zones    lend.c  autopath.c  for neighbours
 *
 * Everything a question needs is looked up again when it runs again: nothing found here lives over a lookup. */
#pragma once
#include "dns/autopath.h"
#include "dns/plugin.h"
#include "kube/source.h"
#include "plugin/kubernetes/index.h"

enum fl_k8s_pods { FL_K8S_PODS_OFF, FL_K8S_PODS_INSECURE, FL_K8S_PODS_VERIFIED };

struct fl_k8s_zone { struct fl_name name; uint8_t labels; bool reverse, multicluster; };

struct fl_k8s {
	/* read by shards */
	struct fl_k8s_zone *zone; unsigned nzone;
	struct fl_name primary;         /* the zone that PTR records name */
	uint32_t ttl;
	enum fl_k8s_pods pods;
	bool pod_names, zonal;
	struct fl_fall fall;
	struct fl_k8s_index *index;
	struct fl_search search;        /* this machine's (autopath) */
	/* the main thread's */
	struct fl_zones zones, multicluster;
	struct fl_str *namespaces; unsigned nnamespace;
	bool noendpoints, ignore_empty, labels_wanted, externals_wanted;
	struct fl_source_config source;
	struct fl_outward outward;      /* on: the cluster is a peer, not ours */
	uint64_t startup_ns;
	struct fl_loop *loop;
	struct fl_timer waiting;
};

/* ---- feed.c ---- */

/* Store, source and index for these settings, those of the last generation when they are the same. -EINVAL with the words in e. */
int fl_k8s_feed(struct fl_setup *s, struct fl_k8s *k, struct fl_err *e);

/* ---- name.c: the grammar ---- */

enum fl_k8s_shape { FL_K8S_EMPTY, FL_K8S_BAD, FL_K8S_SVC, FL_K8S_POD };        /* empty: "", svc, pod: there, without records */

/* The parts of a question before the zone; spans of it, in its letter case. n 0: not there. */
struct fl_k8s_req {
	enum fl_k8s_shape shape;
	struct fl_str kind, ns, service, endpoint, port, protocol, cluster;
	const uint8_t *key; uint8_t nkey;       /* service and namespace as labels; nkey 0: no service */
	const uint8_t *topo; uint8_t ntopo;     /* zonal: the labels of the topology zone */
	bool ported;                            /* _port._protocol, both perhaps "any" */
	bool prefer;
};

/* The labels of a name: their offsets. */
struct fl_k8s_labels { uint8_t at[128]; uint8_t n; };
void fl_k8s_labels(struct fl_k8s_labels *l, struct fl_name name);
/* Longest of the plugin's zones that the name is in, or NULL. */
const struct fl_k8s_zone *fl_k8s_zone(const struct fl_k8s *k, struct fl_name name, const struct fl_k8s_labels *l);
/* The zone's part of a name in it, in the name's letter case. */
struct fl_name fl_k8s_tail(struct fl_name name, const struct fl_k8s_zone *z);
void fl_k8s_parse(struct fl_k8s_req *r, struct fl_name name, const struct fl_k8s_labels *l, unsigned zone_labels, bool multicluster,
		  bool zonal);
/* "1-2-3-4", "2001-db8--1": the address that a pod's name spells (CoreDNS plugin/kubernetes/kubernetes.go findPods). */
bool fl_k8s_pod_ip(struct fl_str label, struct fl_ip *ip);

/* ---- answer.c ---- */

/* A question on its way. */
struct fl_k8s_ask {
	const struct fl_k8s *k;
	struct fl_query *q;
	const struct fl_k8s_zone *zone;
	struct fl_name name;            /* what is looked up: q->qname, or a target on the way along aliases */
	struct fl_name tail;            /* its zone part, letter case kept */
	bool lent;                      /* name lies in a node */
	struct fl_k8s_labels labels;
	struct fl_k8s_req req;
};

enum fl_k8s_what { FL_K8S_NO_NAME, FL_K8S_NO_DATA, FL_K8S_ANSWERS };   /* answers: there are records, perhaps of other types */

enum fl_verdict fl_k8s_query(void *inst, struct fl_query *q);
bool fl_k8s_ask(struct fl_k8s_ask *a, const struct fl_k8s *k, struct fl_query *q);        /* false: q is in none of the zones */
/* An alias' target in the same zone. */
void fl_k8s_ask_target(struct fl_k8s_ask *a, const struct fl_k8s_ask *from, struct fl_name target);
/* The service node of a request; NULL: none that may be seen. *what says NXDOMAIN or NODATA then. */
const struct fl_k8s_node *fl_k8s_find(const struct fl_k8s_ask *a, enum fl_k8s_what *what);
bool fl_k8s_port_matches(const struct fl_k8s_req *r, const struct fl_port *p);  /* p NULL: none declared */
enum fl_k8s_what fl_k8s_exists(const struct fl_k8s_ask *a, const struct fl_k8s_node **node);     /* whatever the type */
/* Adds the address records of a's name to q->res; *alias: it is one, and nothing was added. 0, -ENOMEM. */
int fl_k8s_addresses(struct fl_k8s_ask *a, uint16_t type, enum fl_k8s_what *what, const struct fl_k8s_node **alias);
enum fl_verdict fl_k8s_done(struct fl_query *q);                                /* q->res is my answer */
enum fl_verdict fl_k8s_no_name(struct fl_k8s_ask *a);                           /* fallthrough, SERVFAIL or NXDOMAIN */
enum fl_verdict fl_k8s_no_data(struct fl_k8s_ask *a);
enum fl_verdict fl_k8s_nothing(struct fl_k8s_ask *a, enum fl_k8s_what what);   /* one of the two */
enum fl_verdict fl_k8s_no_memory(struct fl_query *q);

/* ---- endpoints.c ---- */

/* Ready endpoints of a node that a request names. */
struct fl_k8s_walk {
	const struct fl_k8s_node *node;
	const struct fl_k8s_req *req;
	bool pod_names, every_zone, by_ip;
	struct fl_ip ip;                /* what the endpoint label spells */
	uint32_t k, i;                  /* the next one */
	const struct fl_slice *slice;   /* the one that next() spoke of: slice and index */
	uint32_t at;
	unsigned ports;                 /* ports of slice that match, at least 1 */
};
void fl_k8s_walk(struct fl_k8s_walk *w, const struct fl_k8s_ask *a, const struct fl_k8s_node *n);
bool fl_k8s_walk_next(struct fl_k8s_walk *w);
/* Adds the addresses of the family to q->res; *what says whether there is any endpoint at all. 0, -ENOMEM. */
int fl_k8s_endpoint_addresses(struct fl_k8s_ask *a, const struct fl_k8s_node *n, uint16_t type, enum fl_k8s_what *what);
bool fl_k8s_any_endpoint(const struct fl_k8s_ask *a, const struct fl_k8s_node *n);

/* ---- the others ---- */

/* Appends a label (or several, split at dots) to a name under way; false: too long, or none. */
struct fl_k8s_namer { uint8_t wire[FL_NAME_MAX]; unsigned n; };
bool fl_k8s_name_put(struct fl_k8s_namer *w, const char *p, size_t n);
bool fl_k8s_name_end(struct fl_k8s_namer *w, struct fl_name zone);
/* svc.ns.svc.ZONE, with the endpoint and its cluster before it when slice is given. */
bool fl_k8s_name_of(struct fl_k8s_namer *w, const struct fl_object *svc, const struct fl_slice *slice, uint32_t i, bool pod_names,
		    struct fl_name zone);

enum fl_verdict fl_k8s_srv(struct fl_k8s_ask *a, const struct fl_k8s_node *n);   /* n NULL: a pod */
enum fl_verdict fl_k8s_alias(struct fl_k8s_ask *a, const struct fl_k8s_node *n);
enum fl_verdict fl_k8s_ptr(struct fl_k8s_ask *a);
bool fl_k8s_is_reverse(struct fl_name n);

int fl_k8s_soa(struct fl_k8s_ask *a, enum fl_section sec);      /* 0, -ENOMEM */
enum fl_verdict fl_k8s_ns(struct fl_k8s_ask *a);
bool fl_k8s_is_ns_name(const struct fl_k8s_ask *a);             /* ns.dns.ZONE */
int fl_k8s_self_addresses(struct fl_k8s_ask *a, uint16_t type);
bool fl_k8s_is_version(const struct fl_k8s_ask *a);             /* dns-version.ZONE */
int fl_k8s_version(struct fl_k8s_ask *a);

/* Pods that the request names: fills at most cap, returns how many; -1: NXDOMAIN, 0: NODATA. */
int fl_k8s_find_pods(const struct fl_k8s_ask *a, struct fl_ip *ip);

/* What others of the block may ask for, in tables of functions: "cluster" (store/cluster.h), "transfer" (dns/transfer.h),
 * "autopath" (dns/autopath.h). */
extern const struct fl_transfer_ops fl_k8s_transfer;
extern const struct fl_autopath_ops fl_k8s_autopath;
const void *fl_k8s_iface(void *inst, const char *what);
int fl_k8s_meta(void *inst, struct fl_query *q, struct fl_str label, struct fl_str *value);

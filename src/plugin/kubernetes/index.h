/* index: the cluster as DNS answers it. A subscriber of the store on the main thread (the writer), read by every
 * shard without locks.
 *
 *   changed()  a draft per service that an event touched    flush()  draft → node, published in its table; the old one to the bin
 *
 *   services  name and namespace, as they stand in a question → node      (two tables: cluster zones, multicluster zones)
 *   namespaces  name → cell, whose `exposed` shards read
 *   cluster IPs → service; endpoint IPs → slice                           (only for those who answer reverse zones)
 *   external IPs → service                                                (only beside k8s_external)
 *   pod IPs → pod                                                         (only for `pods verified`)
 *
 * A node is immutable: its address sets are packed with their TTL, its slices are the store's own objects, which live through the
 * grace period that follows a flush. What a shard found here it may use until it goes back to its loop. */
#pragma once
#include "base/seen.h"
#include "plugin/kubernetes/table.h"
#include "store/store.h"
#include "wire/rrset.h"

enum { FL_K8S_KEY_MAX = 128, FL_K8S_RECORDS_MAX = FL_SEEN_MAX };        /* no message has room for more records */

struct fl_k8s_ns { uint32_t refs; bool exists, exposed; uint8_t n; char name[]; };      /* name: a label, folded */

/* hidden: no service, or one that is ignored */
enum fl_k8s_node_kind { FL_K8S_HIDDEN, FL_K8S_VIP, FL_K8S_HEADLESS, FL_K8S_ALIAS };

struct fl_k8s_node {
	uint8_t kind, nkey;
	bool local;                     /* an endpoint of it is this machine */
	bool ready;                     /* headless: there are endpoints */
	uint32_t hash, nslice;
	struct fl_k8s_ns *ns;
	const struct fl_service *svc;   /* NULL: slices only */
	const struct fl_slice *const *slice;    /* by name */
	const uint8_t *key;             /* "\3web\4shop", folded */
	struct fl_rrset a, aaaa;        /* an alias: a is the CNAME */
};

/* What NS and ns.dns.ZONE name: services that have this machine as an endpoint, else its addresses. front: the labels before the
 * zone, without a final 0. Outside: external addresses of these services, and endpoints of those that have none and are headless. */
enum fl_k8s_view { FL_K8S_INSIDE, FL_K8S_OUTSIDE, FL_K8S_OUTSIDE_HEADLESS, FL_K8S_VIEWS };
struct fl_k8s_self { const uint8_t *front; uint8_t nfront; struct fl_ip ip; };
struct fl_k8s_selves { unsigned n; struct fl_k8s_self at[]; };

/* Settings that an index is made for. Copied. */
struct fl_k8s_how {
	uint32_t ttl;
	bool reverse, pods, pod_names, ignore_empty, externals;
	const struct fl_str *namespaces; unsigned nnamespace;           /* none: all */
	const struct fl_ip *local; unsigned nlocal;
};

struct fl_k8s_index;
struct fl_k8s_index *fl_k8s_index_create(struct fl_store *s, const struct fl_k8s_how *how);      /* subscribes */
void fl_k8s_index_destroy(struct fl_k8s_index *ix);     /* no reader is left */
size_t fl_k8s_index_bytes(const struct fl_k8s_index *ix);

/* ---- on shards ---- */

/* key: two labels of a question, service and namespace. */
const struct fl_k8s_node *fl_k8s_node(const struct fl_k8s_index *ix, bool multicluster, const uint8_t *key, unsigned n);
/* Every node, in no order; fn may keep nothing of it. Any thread that reads. */
void fl_k8s_each_node(const struct fl_k8s_index *ix, bool multicluster, void (*fn)(void *arg, const struct fl_k8s_node *n), void *arg);
/* Some of them, from *at on: store/cluster.h scan(). Not the multicluster ones. */
struct fl_cluster_scan;
int fl_k8s_scan_nodes(const struct fl_k8s_index *ix, struct fl_cluster_scan *at, uint32_t slots,
		      void (*fn)(void *arg, const struct fl_k8s_node *n), void *arg);
bool fl_k8s_exposed(const struct fl_k8s_index *ix, struct fl_str ns);
/* The service whose cluster IP it is, the first by namespace and name of those that are exposed; NULL. */
const struct fl_service *fl_k8s_vip(const struct fl_k8s_index *ix, const struct fl_ip *ip);
/* Slices with a ready endpoint of that address: for (p = …_begin(); (s = …_next(&p, &ip));) */
struct fl_k8s_probe fl_k8s_slices(const struct fl_k8s_index *ix, const struct fl_ip *ip);
const struct fl_slice *fl_k8s_slice_next(struct fl_k8s_probe *p, const struct fl_ip *ip);
struct fl_k8s_probe fl_k8s_pods(const struct fl_k8s_index *ix, const struct fl_ip *ip);
const struct fl_pod *fl_k8s_pod_next(struct fl_k8s_probe *p, const struct fl_ip *ip);
const struct fl_k8s_selves *fl_k8s_selves(const struct fl_k8s_index *ix, enum fl_k8s_view v);
/* Exposed services with this external address (externals), the first cap by namespace and name; how many there are. */
unsigned fl_k8s_by_external(const struct fl_k8s_index *ix, const struct fl_ip *ip, const struct fl_service **to, unsigned cap);
uint32_t fl_k8s_serial(const struct fl_k8s_index *ix, bool multicluster);
bool fl_k8s_synced(const struct fl_k8s_index *ix);

/* ---- endpoints ---- */

static inline const uint8_t *fl_k8s_addr(const struct fl_slice *s, uint32_t i) { return s->addr + (size_t)i * s->alen; }
static inline bool fl_k8s_ready(const struct fl_slice *s, uint32_t i) { return s->ep[i].flags & FL_EP_READY; }
/* The endpoint's name: hostname, pod (when wanted), else its address with dashes. Not checked to be a label. */
size_t fl_k8s_endpoint_name(char to[256], const struct fl_slice *s, uint32_t i, bool pod_names);

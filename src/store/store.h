/* store: cluster objects in compact form, and their deltas. One writer (the thread that owns the source), any number of subscribers
 * on that thread, and readers on other threads that borrow objects through RCU. Knows no DNS, no JSON, no API server.
 *
 *   source (API server | manifests) → struct fl_*_in (spans into its own buffer) → fl_store_put_*() → one packed block
 *       → every subscriber: changed(old, now) … flush() at the end of the batch → old blocks freed after a grace period
 *
 * A relist marks and sweeps in place: fl_store_list_begin() moves the mark, every object that is put (or only touched) carries it,
 * fl_store_list_end() removes the rest. An object that comes again unchanged produces no delta, and nothing is ever held twice.
 * Objects are immutable once put; an update is a new block. Names are as the API spells them (lower case by its rules; letters are
 * not folded here). A store keeps only what its `wants` name: it belongs to one kind of consumer. */
#pragma once
#include "base/mem.h"
#include "base/rcu.h"

enum fl_kind { FL_KIND_NAMESPACE, FL_KIND_SERVICE, FL_KIND_SLICE, FL_KIND_POD, FL_KIND_IMPORT, FL_KIND_MCSLICE, FL_KINDS };

/* Services of a peered cluster, kept as they can be reached from outside of it (store/outward.h). */
struct fl_outward {
	bool on;
	bool clusterip;                 /* the cluster IP, for a Service that has nothing else */
	struct fl_str domain, zone;     /* what that cluster calls itself, and how it is known here; without a final dot. Copied. */
};

struct fl_store_wants {
	bool kind[FL_KINDS];            /* of which kinds a source must keep the store filled */
	bool pod_names, zones, nodes;   /* strings of endpoints beyond the hostname */
	bool pod_labels;
	struct fl_outward outward;
};

struct fl_ip { uint8_t b[16]; uint8_t len; };   /* 4 or 16; 0: none */

/* ---- what sources give: spans borrowed for the call ---- */

struct fl_port_in { struct fl_str name, protocol, app_protocol; int32_t port; /* -1: absent */ };
struct fl_meta_in { struct fl_str ns, name, uid, rv; };

struct fl_service_in {
	struct fl_meta_in meta;
	struct fl_str type;                     /* "ClusterIP" … */
	struct fl_str external_name;
	struct fl_str *cluster_ip; unsigned ncluster_ip;        /* text; "None" first: headless; "" is kept as an empty address */
	struct fl_str *external; unsigned nexternal;            /* spec.externalIPs, then load-balancer ingress ip or hostname */
	struct fl_port_in *port; unsigned nport;
	bool publish_not_ready;
};

enum { FL_EP_READY = 1, FL_EP_SERVING = 2, FL_EP_TERMINATING = 4 };
struct fl_endpoint_in {
	struct fl_str *address; unsigned naddress;
	struct fl_str hostname, pod, zone, node;
	uint8_t flags;
};
struct fl_slice_in {
	struct fl_meta_in meta;
	struct fl_str service;                  /* label kubernetes.io/service-name, or that of multicluster; may be "" */
	struct fl_str cluster;                  /* label multicluster.kubernetes.io/source-cluster */
	struct fl_str address_type;
	struct fl_endpoint_in *ep; unsigned nep;
	struct fl_port_in *port; unsigned nport;
	uint64_t trigger_ns;                    /* annotation endpoints.kubernetes.io/last-change-trigger-time, Unix ns; 0: none */
};
struct fl_label_in { struct fl_str key, value; };
struct fl_pod_in {
	struct fl_meta_in meta;
	struct fl_str *ip; unsigned nip;
	struct fl_label_in *label; unsigned nlabel;
};

/* ---- what the store holds: one malloc'd block an object; pointers go into it ---- */

struct fl_object {
	uint8_t kind;
	uint32_t mark;                  /* the writer's */
	uint64_t rv;                    /* resourceVersion as a number, or a hash of it; the writer's */
	struct fl_str ns, name;         /* ns interned in the store; "" for cluster-wide objects; NUL-terminated */
};

struct fl_port { struct fl_str name, protocol, app_protocol; int32_t port; };   /* protocol upper case as the API has it */

enum fl_service_type { FL_CLUSTER_IP, FL_NODE_PORT, FL_LOAD_BALANCER, FL_EXTERNAL_NAME };
struct fl_service {
	struct fl_object o;
	uint8_t type;
	bool headless, publish_not_ready;
	uint8_t nip;                    /* cluster IPs; one with len 0: not allocated yet */
	uint16_t nport, nexternal;
	const struct fl_ip *ip;
	const struct fl_port *port;
	const struct fl_str *external;  /* text: IP or hostname */
	struct fl_str external_name;
};

/* One entry an address. Offsets into `text`, 0: none. Slices whose endpoints say nothing of themselves share their entries. */
struct fl_endpoint { uint32_t hostname, pod, zone, node, spelling; uint8_t flags; };
struct fl_slice {
	struct fl_object o;
	struct fl_str service, cluster; /* service interned */
	uint8_t alen;                   /* bytes of each address: 4 or 16; 0: FQDN (kept without endpoints) */
	uint16_t nport;
	uint32_t nep;
	const uint8_t *addr;            /* nep x alen, in the API's order */
	const struct fl_endpoint *ep;   /* nep; spelling: the address as the API wrote it, where that is not the canonical text */
	const struct fl_port *port;     /* port -1: absent */
	const char *text;               /* NUL-terminated strings */
	uint64_t trigger_ns;
};
struct fl_pod { struct fl_object o; uint8_t nip; const struct fl_ip *ip; uint16_t nlabel; const struct fl_label_in *label; };
struct fl_namespace { struct fl_object o; };

static inline struct fl_str fl_slice_text(const struct fl_slice *s, uint32_t at) { return at ? fl_str(s->text + at) : FL_STR(""); }

/* ---- writer ---- */

struct fl_store;
struct fl_store *fl_store_create(const struct fl_store_wants *w);
void fl_store_destroy(struct fl_store *s);              /* after its source is gone and no reader is left */
const struct fl_store_wants *fl_store_wants(const struct fl_store *s);

/* Packs and stores; tells the subscribers when anything but the resourceVersion changed. 0; -EINVAL: no name, or an address that is
 * none (the bad part is left out, the rest kept: returns 1 then, with the words in *what when what is not NULL). */
int fl_store_put_namespace(struct fl_store *s, const struct fl_meta_in *in);
int fl_store_put_service(struct fl_store *s, const struct fl_service_in *in, const char **what);
int fl_store_put_import(struct fl_store *s, const struct fl_service_in *in, const char **what); /* a ServiceImport, as a service */
int fl_store_put_slice(struct fl_store *s, enum fl_kind kind, const struct fl_slice_in *in, const char **what);
int fl_store_put_pod(struct fl_store *s, const struct fl_pod_in *in, const char **what);
int fl_store_remove(struct fl_store *s, enum fl_kind kind, struct fl_str ns, struct fl_str name);        /* 0, -ENOENT */

/* What a list names without saying more: it is still there, as it was. 0, -ENOENT. */
int fl_store_touch(struct fl_store *s, enum fl_kind kind, struct fl_str ns, struct fl_str name);

void fl_store_list_begin(struct fl_store *s, enum fl_kind kind);
void fl_store_list_end(struct fl_store *s, enum fl_kind kind);  /* sweeps; the kind is synced from now on */
void fl_store_list_abort(struct fl_store *s, enum fl_kind kind);        /* the list broke off: nothing is removed */
bool fl_store_synced(const struct fl_store *s);         /* every wanted kind had its first whole list; sticky; any thread */
bool fl_store_kind_synced(const struct fl_store *s, enum fl_kind kind);

/* End of a batch of events: subscribers publish, then what was replaced is freed after a grace period (batched: at once when more
 * than 1 MiB waits, else with the next flush that finds it older than 1 s, or FL_STORE_NOW). */
void fl_store_flush(struct fl_store *s);
void fl_store_reclaim(struct fl_store *s);              /* frees all that waits, now */

/* ---- subscribers: on the writer's thread ---- */

struct fl_subscriber {
	/* old NULL: new; now NULL: removed. Both stay valid until the next grace period after flush(). */
	void (*changed)(struct fl_subscriber *sub, enum fl_kind kind, const struct fl_object *old, const struct fl_object *now);
	void (*synced)(struct fl_subscriber *sub);      /* the store is synced for the first time; may be NULL */
	void (*flush)(struct fl_subscriber *sub);       /* may be NULL */
	struct fl_subscriber *next;
};
/* Also replays everything that is there as changed(NULL, now), then flush(). */
void fl_store_subscribe(struct fl_store *s, struct fl_subscriber *sub);
void fl_store_unsubscribe(struct fl_store *s, struct fl_subscriber *sub);

/* ---- looking (writer's thread) ---- */
const struct fl_object *fl_store_find(const struct fl_store *s, enum fl_kind kind, struct fl_str ns, struct fl_str name);
void fl_store_each(const struct fl_store *s, enum fl_kind kind, void (*fn)(void *arg, const struct fl_object *o), void *arg);
size_t fl_store_count(const struct fl_store *s, enum fl_kind kind);
size_t fl_store_bytes(const struct fl_store *s);        /* heap held, for the metrics and the bench */

/* ---- health of the source: written by it, read by metrics, ready and the dashboard (any thread) ---- */
struct fl_source_state {
	uint64_t last_event_ns;         /* monotonic; 0: none yet */
	uint64_t rv[FL_KINDS];          /* last resourceVersion served */
	uint64_t events, relists, errors;
	bool connected;
};
struct fl_source_state *fl_store_source(struct fl_store *s);

/* ---- addresses ---- */
bool fl_ip_parse(struct fl_str text, struct fl_ip *ip); /* as Go's net.ParseIP; ::ffff:1.2.3.4 becomes 4 bytes */
size_t fl_ip_text(char to[46], const uint8_t *b, uint8_t len);  /* canonical */

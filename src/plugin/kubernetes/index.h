/* index: the store's objects, arranged for questions. Written on the main thread as the store's subscriber, read by shards through RCU: a
 * reader takes the table that stands, follows one pointer, and holds what it got until its next turn of the loop.
 *
 *   service "ns/name" → node: the Service, its slices, A and AAAA sets packed
 *   cluster IP → services        endpoint address → (slice, slot)        namespace → is it there
 *
 * A node is immutable; a change of its Service or of one of its slices makes a new one. The store frees objects a grace period after its
 * flush, and so does the index with nodes and tables. */
#pragma once
#include "base/rcu.h"
#include "store/store.h"
#include "wire/rrset.h"

/* A service as answers need it. */
struct k8s_node {
	struct fl_str ns, name;                 /* of the Service, or of the label of its slices */
	const struct fl_service *service;       /* NULL: slices whose service is not there (yet) */
	struct fl_rrset a, aaaa;                /* cluster IPs; headless: ready endpoints, each address once. count 0: none */
	uint32_t bytes;                         /* of this node */
	uint32_t nready;                        /* ready endpoints, all families */
	uint32_t nslice;
	const struct fl_slice *slice[];
};

struct k8s_index;

/* Main thread. ttl: of the packed sets. */
struct k8s_index *fl_k8s_index_create(struct fl_store *store, uint32_t ttl_s);
void fl_k8s_index_destroy(struct k8s_index *x);

/* Shards (and the main thread); letters are folded. */
const struct k8s_node *fl_k8s_find(const struct k8s_index *x, struct fl_str ns, struct fl_str name);
bool fl_k8s_namespace(const struct k8s_index *x, struct fl_str name);
/* The service that has this cluster IP: of several the first by namespace and name. NULL. */
const struct fl_service *fl_k8s_by_ip(const struct k8s_index *x, const uint8_t *b, uint8_t len);
/* Ready endpoints with this address: calls fn for each until it returns false. */
void fl_k8s_by_endpoint(const struct k8s_index *x, const uint8_t *b, uint8_t len,
			bool (*fn)(void *arg, const struct fl_slice *s, uint32_t slot), void *arg);
uint32_t fl_k8s_serial(const struct k8s_index *x);      /* Unix seconds of the last relevant change; 0 before the first */
bool fl_k8s_synced(const struct k8s_index *x);
size_t fl_k8s_index_bytes(const struct k8s_index *x);

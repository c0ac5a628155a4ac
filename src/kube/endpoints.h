/* endpoints: what the EndpointSlice controller would write for a Service, from Pods (Kubernetes 1.37, controller/endpointslice). For folders
 * of manifests that hold Pods and no slices. */
#pragma once
#include "store/store.h"
#include <cjson/cJSON.h>

/* Puts the slices of a service into the store, by kind FL_KIND_SLICE. pods: trees of all Pods; nodes: how many Node objects there are with
 * name(s) (none at all: every pod's node counts as there). Arena: for the call. */
void fl_endpoints_put(struct fl_store *store, struct fl_arena *a, const cJSON *service, const cJSON *const *pod, unsigned npod,
		      const cJSON *const *node, unsigned nnode);

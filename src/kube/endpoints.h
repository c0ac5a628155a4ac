/* endpoints: what the EndpointSlice controller would write for a Service, from Pods (Kubernetes 1.37,
 * pkg/controller/endpointslice). For folders of manifests that hold Pods and no slices. Pure: trees in, inputs of the store out. */
#pragma once
#include "store/store.h"
#include <cjson/cJSON.h>

/* The cluster around the services. Pods sorted by namespace, nodes by name (fl_endpoints_sort). No node at all: every pod's node
 * counts as there, since a folder seldom has any. */
struct fl_endpoints_world { const cJSON **pod, **node; unsigned npod, nnode; };
void fl_endpoints_sort(struct fl_endpoints_world *w);

/* Calls fn for each slice, with the labels that the controller would give it. Arena: for the call. */
typedef void fl_endpoints_fn(void *arg, const struct fl_slice_in *slice, const struct fl_label_in *label, unsigned nlabel);
void fl_endpoints_make(struct fl_arena *a, const cJSON *service, const struct fl_endpoints_world *w, fl_endpoints_fn *fn,
		       void *arg);

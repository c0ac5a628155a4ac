/* Metrics of the kubernetes plugin; main thread. */
#pragma once
#include "plugin/kubernetes/index.h"

/* A slice became part of the answers: how long ago the cluster changed, by its trigger annotation. */
void fl_k8s_observe_programming(const struct fl_service *svc, const struct fl_slice *slice);

/* Gauges of a store and an index on it, under the name of their source, until dropped. source is copied. */
void fl_k8s_metrics_add(struct fl_store *s, const struct fl_k8s_index *ix, struct fl_str source);
void fl_k8s_metrics_drop(const struct fl_k8s_index *ix);

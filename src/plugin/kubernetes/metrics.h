/* metrics: what the plugin tells Prometheus. CoreDNS's programming duration, and what CoreDNS cannot show: how old the last event is, what
 * was held, and whether the server is connected. */
#pragma once
#include "plugin/kubernetes/index.h"

/* An endpoint change that was triggered at trigger_ns (Unix) is served from now on. headless: of its service. */
void fl_k8s_programmed(uint64_t trigger_ns, bool headless);
/* The stores whose state is shown; main thread. */
void fl_k8s_metrics_add(struct fl_store *store, struct k8s_index *index);
void fl_k8s_metrics_drop(struct fl_store *store);

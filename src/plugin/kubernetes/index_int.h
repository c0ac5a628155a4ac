/* Private to index.c, node.c and tables.c. */
#pragma once
#include "plugin/kubernetes/index.h"

/* A service that events touched since the last flush. */
struct fl_k8s_draft {
	struct fl_k8s_draft *next;
	const struct fl_k8s_node *was;
	const struct fl_service *svc;
	const struct fl_slice **slice; uint32_t nslice, cap;
	uint32_t hash;
	bool multicluster;
	uint8_t nkey;
	uint8_t key[];
};

struct fl_k8s_index {
	struct fl_subscriber sub;
	struct fl_store *store;
	struct fl_k8s_how how;
	/* read by shards */
	struct fl_k8s_table node[2], ns, vip, slice, pod, external;     /* node[1]: multicluster */
	struct fl_k8s_selves *selves[FL_K8S_VIEWS];
	uint32_t serial[2];
	/* the writer's */
	struct fl_k8s_draft *draft, **draft_end;
	struct fl_k8s_table drafts;
	const struct fl_k8s_node **local; unsigned nlocal;      /* nodes with this machine among their endpoints */
	bool selves_stale;
	size_t node_bytes;
	struct fl_rcu_bin bin;
	uint64_t binned_ns;
};

/* node.c */
/* NULL: nothing is left of it. */
struct fl_k8s_node *fl_k8s_node_build(struct fl_k8s_index *ix, const struct fl_k8s_draft *d, struct fl_k8s_ns *ns, size_t *bytes);
size_t fl_k8s_node_bytes(const struct fl_k8s_node *n);
struct fl_k8s_selves *fl_k8s_selves_build(const struct fl_k8s_index *ix, enum fl_k8s_view v, size_t *bytes);

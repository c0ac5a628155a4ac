/* source_int: the two sources behind source.h. */
#pragma once
#include "kube/source.h"

struct fl_source_ops {
	void (*destroy)(struct fl_source *s);
	void (*relist)(struct fl_source *s);
};

/* Each source begins with this. */
struct fl_source { const struct fl_source_ops *ops; };

struct fl_source *fl_source_api_create(struct fl_store *store, struct fl_loop *loop, const struct fl_source_config *cfg,
	struct fl_err *e);
struct fl_source *fl_source_manifests_create(struct fl_store *store, struct fl_loop *loop, const struct fl_source_config *cfg,
	struct fl_err *e);

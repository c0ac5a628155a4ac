#include "kube/source_int.h"

struct fl_source *fl_source_create(struct fl_store *store, struct fl_loop *loop, const struct fl_source_config *cfg,
				   struct fl_err *e)
{
	return cfg->manifests.n ? fl_source_manifests_create(store, loop, cfg, e) : fl_source_api_create(store, loop, cfg, e);
}

void fl_source_destroy(struct fl_source *s)
{
	if (s)
		s->ops->destroy(s);
}

void fl_source_relist(struct fl_source *s) { s->ops->relist(s); }

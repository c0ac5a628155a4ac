#include "kube/api_int.h"
#include "base/log.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* Bodies of one read went into the store: publish. */
static void on_batch(void *arg) { fl_store_flush(((struct fl_source_api *)arg)->store); }

static struct fl_tls_creds *creds(void *arg, struct fl_err *e)
{
	struct fl_source_api *a = arg;
	return fl_kube_auth_creds(&a->auth, e);
}

static void signed_in(void *arg, bool renew)
{
	struct fl_source_api *a = arg;
	if (renew)
		fl_http_client_renew(a->client);
	for (int k = 0; k < FL_KINDS; k++)
		if (a->reflector[k].res)
			fl_reflector_signed(&a->reflector[k]);
}

void fl_source_api_alive(struct fl_source_api *a)
{
	for (int k = 0; k < FL_KINDS; k++)
		if (a->reflector[k].res)
			fl_reflector_hurry(&a->reflector[k]);
}

void fl_source_api_room(struct fl_source_api *a)
{
	for (int k = 0; k < FL_KINDS; k++)
		if (a->reflector[k].res && fl_reflector_room(&a->reflector[k]))
			return;
}

void fl_source_api_state(struct fl_source_api *a)
{
	bool all = true;
	for (int k = 0; k < FL_KINDS; k++)
		all = all && (!a->reflector[k].res || a->reflector[k].healthy);
	fl_store_source(a->store)->connected = all;
}

static void destroy(struct fl_source *s)
{
	struct fl_source_api *a = (struct fl_source_api *)s;
	for (int k = 0; k < FL_KINDS; k++)
		fl_reflector_finish(&a->reflector[k]);
	fl_http_client_destroy(a->client);
	fl_kube_auth_finish(&a->auth);
	fl_kube_config_finish(&a->config);
	free(a->user_agent);
	free(a->labels);
	free(a->namespace_labels);
	free(a);
}

static void relist(struct fl_source *s)
{
	struct fl_source_api *a = (struct fl_source_api *)s;
	for (int k = 0; k < FL_KINDS; k++)
		if (a->reflector[k].res)
			fl_reflector_relist(&a->reflector[k]);
}

static const struct fl_source_ops api_ops = { destroy, relist };

static char *copy(struct fl_str s) { return fl_xstrndup(s.p, s.n); }

struct fl_source *fl_source_api_create(struct fl_store *store, struct fl_loop *loop, const struct fl_source_config *cfg,
	struct fl_err *e)
{
	struct fl_source_api *a = fl_xalloc(sizeof *a);
	a->base.ops = &api_ops;
	a->store = store;
	a->loop = loop;
	if (fl_kube_config_load(&a->config, cfg, e) || fl_kube_auth_init(&a->auth, &a->config, e)) {
		destroy(&a->base);
		return NULL;
	}
	fl_kube_auth_loop(&a->auth, loop, signed_in, a);
	fl_rng_init(&a->rng, 0);
	fl_limit_init(&a->limit, cfg->qps, cfg->burst, cfg->max_inflight, fl_loop_now(loop));
	const char *watchlist = getenv("KUBE_FEATURE_WatchListClient");
	a->no_watchlist = watchlist && !strcmp(watchlist, "false");
	a->user_agent = copy(fl_str(cfg->user_agent ? cfg->user_agent : "fairlead/" FL_VERSION));
	a->labels = copy(cfg->labels);
	a->namespace_labels = copy(cfg->namespace_labels);
	const char *no_http2 = getenv("DISABLE_HTTP2");         /* as client-go */
	struct fl_http_config http = {
		.host = a->config.host, .port = a->config.port, .tls = a->config.tls, .http2 = !no_http2 || !*no_http2,
		.proxy_host = a->config.proxy_host, .proxy_port = a->config.proxy_port, .proxy_auth = a->config.proxy_auth,
		.tls_name = a->config.tls_name, .authority = a->config.authority, .creds = creds, .batch = on_batch, .arg = a,
	};
	a->client = fl_http_client_create(loop, &http);
	const struct fl_store_wants *wants = fl_store_wants(store);
	for (int k = 0; k < FL_KINDS; k++)
		if (wants->kind[k]) {
			fl_reflector_init(&a->reflector[k], a, k);
			fl_reflector_start(&a->reflector[k]);
		}
	return &a->base;
}

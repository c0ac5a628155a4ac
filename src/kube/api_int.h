/* api_int: the source that talks to an API server, as its files share it. */
#pragma once
#include "kube/limit.h"
#include "kube/reflector.h"
#include "kube/source_int.h"

struct fl_source_api {
	struct fl_source base;
	struct fl_store *store;
	struct fl_loop *loop;
	struct fl_kube_config config;
	struct fl_kube_auth auth;
	struct fl_http_client *client;
	struct fl_rng rng;
	struct fl_limit limit;
	bool no_watchlist;              /* as client-go: KUBE_FEATURE_WatchListClient=false */
	char *user_agent, *labels, *namespace_labels;
	struct fl_reflector reflector[FL_KINDS];
};

/* A reflector was answered (200): those that wait because the server could not be reached need not any longer. */
void fl_source_api_alive(struct fl_source_api *a);
/* A reflector became healthy, or stopped being so. */
void fl_source_api_state(struct fl_source_api *a);

/* A request gave its slot back: one that waits for it may go. */
void fl_source_api_room(struct fl_source_api *a);

/* metrics.c: coredns_kubernetes_rest_client_*. code 0: no answer. */
void fl_kube_count_request(const char *host, int code);
void fl_kube_observe_list(const char *host, uint64_t ns);
void fl_kube_observe_limit(const char *host, uint64_t ns);       /* a list waited so long for its token */

/* source: what fills a store. Two of them, one contract: the API server by list and watch, or a folder of manifests. Both run on one
 * loop (the main thread's), never block it, and keep the last known state when what they read from is lost or broken.
 *
 * Decoders (decode.h) turn protobuf, JSON and YAML into the store's input structs; they run item by item as bytes arrive. */
#pragma once
#include "base/err.h"
#include "net/loop.h"
#include "store/store.h"

struct fl_source;

struct fl_source_config {
	/* API server */
	struct fl_str endpoint;                 /* "http://…" or "https://…"; "": kubeconfig, or in-cluster */
	struct fl_str tls_cert, tls_key, tls_ca;        /* files, with endpoint */
	struct fl_str kubeconfig, context;
	double qps; unsigned burst, max_inflight;       /* limit.h; 0: none */
	/* manifests */
	struct fl_str manifests;                /* a folder; "": the API server */
	/* both */
	struct fl_str labels;                   /* label selector for services, slices and pods; "" all */
	struct fl_str namespace_labels;         /* for namespaces */
	const char *user_agent;
};

/* Checks the configuration (files readable, selectors parse, kubeconfig valid) and starts. Connecting happens later, on the loop; an
 * unreachable server is no error here. NULL with the words in e, e.g. client-go's. cfg is copied. */
struct fl_source *fl_source_create(struct fl_store *store, struct fl_loop *loop, const struct fl_source_config *cfg, struct fl_err *e);
void fl_source_destroy(struct fl_source *s);
/* For tests and `fairctl`: forget resource versions and list everything again. */
void fl_source_relist(struct fl_source *s);

/* ---- label selectors (Kubernetes grammar: a=b, a==b, a!=b, a in (x,y), a notin (x), a, !a) ---- */
struct fl_selector;
struct fl_selector *fl_selector_parse(struct fl_str text, struct fl_err *e);    /* free with fl_selector_free */
bool fl_selector_match(const struct fl_selector *s, const struct fl_label_in *label, unsigned n);
void fl_selector_free(struct fl_selector *s);

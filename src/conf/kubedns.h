/* kubedns: kube-dns's ConfigMap → the text of a Corefile that does the same (facts: kubernetes/dns pkg/dns/config). For `fairctl translate`,
 * and for a server whose -conf is the folder that kube-dns mounts: doc/design/0044-kube-dns-configuration.md.
 *
 *   stubDomains          {"acme.local": ["10.0.0.1", "10.0.0.2:5353"]}   a server block for each, with forward
 *   upstreamNameservers  ["8.8.8.8"]                                     in place of /etc/resolv.conf; at most 3
 *   federations          "name=domain,…"                                 the feature is gone: said, left out
 *
 * Other keys are not kube-dns's: said, left out. Foreign bytes, checked as kube-dns does and in its words: what passes here is a word of a
 * Corefile, never more. All results lie in the caller's arena. One thread. */
#pragma once
#include "base/err.h"
#include "base/mem.h"

enum { FL_KUBEDNS_UPSTREAMS = 3 };

struct fl_kubedns_key { struct fl_str name, text; };

struct fl_kubedns {
	struct fl_str domain;           /* the cluster's, of kube-dns's --domain; with or without the final dot */
	struct fl_str port;             /* of the server blocks: "53"; "": the server's default port */
	struct fl_str kubeconfig;       /* "": in the cluster */
	const struct fl_kubedns_key *key; unsigned nkey;
	/* One line about what has no place in a Corefile; NULL: not wanted. */
	void (*note)(void *arg, struct fl_str key, const char *text);
	void *arg;
};

/* 0; or -EINVAL with "KEY: words" in e, "KEY:LINE: words" where the JSON itself is broken; -ENOMEM. */
int fl_kubedns_corefile(struct fl_arena *a, const struct fl_kubedns *k, struct fl_str *out, struct fl_err *e);
bool fl_kubedns_is_key(struct fl_str name);

/* Whether path is a folder that a ConfigMap of kube-dns is mounted at: it holds one of the keys, or is a mounted ConfigMap without any
 * (..data), as kube-dns takes an empty one; and no Corefile. */
bool fl_kubedns_is_folder(const char *path);
/* Reads it, all keys of one state of the mount. k's keys are set. The cluster domain comes from CLUSTER_DOMAIN in the environment
 * (cluster.local), the kubeconfig from KUBECONFIG. e: "PATH/KEY: words". */
int fl_kubedns_folder(struct fl_arena *a, const char *path, struct fl_kubedns *k, struct fl_str *out, struct fl_err *e);

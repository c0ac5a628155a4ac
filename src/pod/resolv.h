/* resolv: the resolver of a pod: what kubelet gives the container runtime for each dnsPolicy and dnsConfig, with kubelet's limits and its
 * words. Pure: text and lists in, lists out, all in the caller's arena; memory is not checked for (an arena over malloc, without limit).
 *
 *   node's resolv.conf → fl_resolv_parse() ─┐
 *   kubelet's settings ─────────────────────┼→ fl_pod_resolv() → lists (+ events) → fl_resolv_text() → /etc/resolv.conf
 *   the pod's dnsPolicy, dnsConfig ─────────┘
 *
 * Source: kubernetes 1.37 pkg/kubelet/network/dns/dns.go. kubelet's options come in the random order of a Go map; here they keep
 * that of their first appearance. */
#pragma once
#include "base/err.h"
#include "base/mem.h"

enum { FL_POD_SERVERS = 3, FL_POD_SEARCHES = 32, FL_POD_SEARCH_CHARS = 2048, FL_POD_NAME_MAX = 253 };

struct fl_words { struct fl_str *at; unsigned n, cap; };        /* zeroed is empty */
void fl_words_add(struct fl_arena *a, struct fl_words *w, struct fl_str s);
struct fl_str fl_words_join(struct fl_arena *a, const struct fl_words *w, const char *between);

struct fl_resolv { struct fl_words servers, searches, options; };

/* A resolv.conf as kubelet reads it: spans into text. 0, or -EINVAL with kubelet's words and the line. */
int fl_resolv_parse(struct fl_arena *a, struct fl_str text, struct fl_resolv *r, int *line, struct fl_err *e);

/* One of the pod's dnsConfig.options. */
struct fl_pod_option { struct fl_str name, value; };

struct fl_pod_dns {
	struct fl_str ns, name, uid;
	struct fl_str policy;
	bool host_network;
	bool config;                    /* dnsConfig is there, even if empty */
	struct fl_words servers, searches;
	struct fl_pod_option *option;
	unsigned noption;
};

struct fl_node_dns {
	const struct fl_resolv *host;   /* NULL: kubelet's resolvConf is empty */
	struct fl_words cluster_dns;    /* canonical addresses */
	struct fl_str cluster_domain;
	struct fl_words node_ips;
};

/* What kubelet records as an event of the node or of the pod. */
typedef void fl_pod_event(void *arg, const char *reason, bool of_pod, struct fl_str text);

void fl_pod_resolv(struct fl_arena *a, const struct fl_node_dns *node, const struct fl_pod_dns *pod, struct fl_resolv *out,
		   fl_pod_event *event, void *arg);
/* What kubelet says of the node's file itself, once when it starts; path as it stands in kubelet's configuration. */
void fl_resolv_limits(struct fl_arena *a, const struct fl_node_dns *node, struct fl_str path, fl_pod_event *event, void *arg);
/* As containerd and CRI-O write it: search, nameserver, options; what is empty is left out. */
struct fl_str fl_resolv_text(struct fl_arena *a, const struct fl_resolv *r);

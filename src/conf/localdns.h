/* localdns: the JSON that AKS's LocalDNS is configured with → the Corefile of its CoreDNS on the node, for `fairctl translate`
 * (facts: kubernetes-node.md §7.2). For people who move off it: the addresses and the health name are AKS's.
 *
 *   {"mode": "Required", "vnetDNSOverrides": {ZONE: {…}}, "kubeDNSOverrides": {ZONE: {…}}}
 *
 * vnet: what kubelet and pods with dnsPolicy Default ask, on 169.254.10.10; kube: pods with ClusterFirst, on .11. One thread. */
#pragma once
#include "base/err.h"
#include "base/mem.h"
#include <cjson/cJSON.h>

struct fl_localdns {
	struct fl_str cluster_dns;      /* the address of the cluster's DNS; "": not given */
	struct fl_str vnet_dns;         /* the network's: 168.63.129.16 */
	void (*note)(void *arg, const char *text);
	void *arg;
};

bool fl_localdns_is(const cJSON *tree);
/* 0, or -EINVAL with words in e: which zone, which field. */
int fl_localdns_corefile(struct fl_arena *a, const cJSON *tree, const struct fl_localdns *l, struct fl_str *out, struct fl_err *e);

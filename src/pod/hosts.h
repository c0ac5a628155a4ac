/* hosts: the /etc/hosts of a pod as kubelet writes it at each start of a container, and the host name in it. Pure; results lie in the
 * caller's arena or point into what was given. Source: kubernetes 1.37 pkg/kubelet/kubelet_pods.go, pkg/kubelet/util/util.go. */
#pragma once
#include "pod/resolv.h"

struct fl_host_alias { struct fl_str ip; struct fl_words names; };

struct fl_pod_hosts {
	struct fl_str ns, name;
	struct fl_str hostname, subdomain, override;    /* spec.hostname, spec.subdomain, spec.hostnameOverride */
	bool overridden;                /* hostnameOverride is there */
	bool fqdn;                      /* setHostnameAsFQDN */
	bool host_network;
	struct fl_words ips;            /* of the pod, in the order of its status */
	struct fl_host_alias *alias;
	unsigned nalias;
};

struct fl_pod_name {
	struct fl_str host, domain;     /* as they stand in the file; domain "" when the pod has no subdomain */
	struct fl_str kernel;           /* what hostname(1) prints */
};

/* 0; -EINVAL with kubelet's words: the pod does not start. */
int fl_pod_name(struct fl_arena *a, const struct fl_pod_hosts *pod, struct fl_str cluster_domain, struct fl_pod_name *to, struct fl_err *e);
/* node: the node's own file, which a pod on the host's network gets. */
struct fl_str fl_pod_hosts_text(struct fl_arena *a, const struct fl_pod_hosts *pod, const struct fl_pod_name *name, struct fl_str node);

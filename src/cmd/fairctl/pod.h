/* pod: a Pod of a manifest as resolvconf and hosts want it, with what the API server fills in (namespace default, dnsPolicy ClusterFirst).
 * Workloads (Deployment, StatefulSet, CronJob, …) give the pod of their template. */
#pragma once
#include "cmd/fairctl/ctl.h"
#include "pod/hosts.h"

struct ctl_pod {
	struct fl_pod_dns dns;
	struct fl_pod_hosts hosts;
	bool templated;                 /* a workload's: its name is made up in the cluster */
	const char *mounts;             /* the first container that brings its own /etc/hosts; NULL: none */
};

#define CTL_POD_FLAGS \
	{ "pod", "FILE", "manifest of the pod, YAML or JSON (- is standard input)", "@file", NULL }, \
	{ "name", "[NS/]NAME", "which one, if the file has several", NULL, NULL }

/* From --pod and --name, into the arena. 0, or the status to end with, which was said. */
int ctl_pod_read(const struct ctl *c, struct fl_arena *a, struct ctl_pod *to);
/* The one of this name in a file, in a tree (from: for messages); the file's other objects may be anything. -1: found; 0: not there; else the
 * status to end with, which was said. */
int ctl_pod_find(const struct ctl *c, struct fl_arena *a, const char *path, struct fl_str ns, struct fl_str name, struct ctl_pod *to);
int ctl_pod_tree(const struct ctl *c, struct fl_arena *a, const char *from, const cJSON *tree, struct fl_str ns, struct fl_str name, struct ctl_pod *to);
/* "a,b" → words, without empty ones. */
struct fl_words ctl_list(struct fl_arena *a, const char *text);
/* One of list that is no address, or NULL; those that are come canonical into to (may be NULL). */
const char *ctl_addresses(struct fl_arena *a, const struct fl_words *list, struct fl_words *to);

/* hosts: the /etc/hosts that kubelet would write into a pod. */
#include "cmd/fairctl/commands.h"
#include "cmd/fairctl/pod.h"
#include <stdio.h>
#include <stdlib.h>

static const struct ctl_flag flags[] = {
	CTL_POD_FLAGS,
	{ "pod-ip", "IP[,IP]", "the pod's addresses, instead of those in its status", NULL, NULL },
	{ "cluster-domain", "DOMAIN", "kubelet's clusterDomain", NULL, "cluster.local" },
	{ "node-hosts", "FILE", "the node's file, for a pod on its network", "@file", "/etc/hosts" },
	{ NULL },
};

static int print(struct ctl *c, const struct fl_pod_name *name, struct fl_str text)
{
	if (!c->json) {
		fwrite(text.p, 1, text.n, stdout);
		return 0;
	}
	cJSON *json = cJSON_CreateObject();
	cJSON_AddItemToObject(json, "hostname", ctl_json_str(name->kernel));
	cJSON_AddItemToObject(json, "text", ctl_json_str(text));
	return ctl_print(c, json);
}

static int run(struct ctl *c)
{
	struct fl_arena a = { .limit = 256 << 20 };
	struct ctl_pod pod;
	struct fl_pod_name name;
	struct fl_str node = { 0 };
	struct fl_err e;
	struct fl_words given = ctl_list(&a, ctl_text(c, "pod-ip")), ips = { 0 };
	const char *bad = ctl_addresses(&a, &given, &ips), *path = ctl_text(c, "node-hosts");
	if (bad) {
		int ret = ctl_misuse(c, "--pod-ip: \"%s\" is no IP address", bad);
		fl_arena_finish(&a);
		return ret;
	}
	int ret = ctl_pod_read(c, &a, &pod);
	if (!ret && ips.n)
		pod.hosts.ips = ips;
	if (!ret && fl_pod_name(&a, &pod.hosts, fl_str(ctl_text(c, "cluster-domain")), &name, &e))
		ret = ctl_fail(c, "%s: %s", ctl_text(c, "pod"), e.msg);
	if (!ret && !pod.hosts.host_network && !pod.hosts.ips.n)
		ret = ctl_fail(c, "%s: the pod has no IP address (yet), so kubelet writes no hosts file; give it with --pod-ip", ctl_text(c, "pod"));
	if (!ret && pod.hosts.host_network)
		ret = ctl_read(c, path, &node);
	if (!ret) {
		if (pod.templated)
			ctl_warn(c, "the name of a workload's pod is made in the cluster; \"%.*s\" stands for it", FL_FMT(pod.hosts.name));
		if (pod.mounts)
			ctl_warn(c, "container %s mounts its own /etc/hosts, and does not get this one", pod.mounts);
		ret = print(c, &name, fl_pod_hosts_text(&a, &pod.hosts, &name, node));
	}
	free((char *)(uintptr_t)node.p);
	fl_arena_finish(&a);
	return ret;
}

const struct ctl_command ctl_hosts = {
	.name = "hosts", .about = "The /etc/hosts that kubelet would write into a pod", .flag = flags, .json = true, .main = run,
};

/* resolvconf: the resolv.conf that kubelet would give a pod. */
#include "cmd/fairctl/commands.h"
#include "cmd/fairctl/pod.h"
#include <stdio.h>
#include <stdlib.h>

static const struct ctl_flag flags[] = {
	CTL_POD_FLAGS,
	{ "node-resolv-conf", "FILE", "kubelet's resolvConf; empty: kubelet's empty setting", "@file", "/etc/resolv.conf" },
	{ "cluster-dns", "IP[,IP]", "kubelet's clusterDNS; empty: none", NULL, NULL },
	{ "cluster-domain", "DOMAIN", "kubelet's clusterDomain; empty: kubelet's empty setting", NULL, "cluster.local" },
	{ "node-ip", "IP[,IP]", "the node's addresses, for a pod without any file to inherit", NULL, NULL },
	{ NULL },
};

struct events { const struct ctl *c; cJSON *list; };

static void event(void *arg, const char *reason, bool of_pod, struct fl_str text)
{
	struct events *ev = arg;
	ctl_warn(ev->c, "%s: %.*s", reason, FL_FMT(text));
	cJSON *e = cJSON_CreateObject();
	cJSON_AddStringToObject(e, "reason", reason);
	cJSON_AddStringToObject(e, "object", of_pod ? "pod" : "node");
	cJSON_AddItemToObject(e, "message", ctl_json_str(text));
	cJSON_AddItemToArray(ev->list, e);
}

/* What the API server would not take, though kubelet goes on with it. */
static void refused(const struct ctl *c, const struct fl_pod_dns *d, struct fl_arena *a)
{
	static const char *const policies[] = { "None", "Default", "ClusterFirst", "ClusterFirstWithHostNet" };
	unsigned known = 0;
	for (unsigned i = 0; i < FL_COUNT(policies); i++)
		known += fl_str_is(d->policy, policies[i]);
#define REFUSED "the API server refuses this pod: spec.dns"
	if (!known)
		ctl_warn(c, REFUSED "Policy: \"%.*s\" is no policy; kubelet takes it as ClusterFirst", FL_FMT(d->policy));
	if (fl_str_is(d->policy, "None") && !d->config)
		ctl_warn(c, REFUSED "Config: must provide `dnsConfig` when `dnsPolicy` is None");
	else if (fl_str_is(d->policy, "None") && !d->servers.n)
		ctl_warn(c, REFUSED "Config.nameservers: must provide at least one DNS nameserver when `dnsPolicy` is None");
	if (d->servers.n > FL_POD_SERVERS)
		ctl_warn(c, REFUSED "Config.nameservers: must not have more than %d nameservers", FL_POD_SERVERS);
	if (ctl_addresses(a, &d->servers, NULL))
		ctl_warn(c, REFUSED "Config.nameservers: \"%s\" is no IP address", ctl_addresses(a, &d->servers, NULL));
	if (d->searches.n > FL_POD_SEARCHES)
		ctl_warn(c, REFUSED "Config.searches: must not have more than %d search paths", FL_POD_SEARCHES);
	if (fl_words_join(a, &d->searches, " ").n > FL_POD_SEARCH_CHARS)
		ctl_warn(c, REFUSED "Config.searches: must not have more than %d characters (including spaces) in the search list", FL_POD_SEARCH_CHARS);
	for (unsigned i = 0; i < d->noption; i++)
		if (!d->option[i].name.n)
			ctl_warn(c, REFUSED "Config.options[%u]: must not be empty", i);
}

static cJSON *array(const struct fl_words *w)
{
	cJSON *list = cJSON_CreateArray();
	for (unsigned i = 0; i < w->n; i++)
		cJSON_AddItemToArray(list, ctl_json_str(w->at[i]));
	return list;
}

static int print(struct ctl *c, struct fl_arena *a, const struct fl_resolv *r, cJSON *events)
{
	struct fl_str text = fl_resolv_text(a, r);
	if (!text.n)
		ctl_warn(c, "all of it is empty: containerd 2 writes an empty file, CRI-O and containerd 1 copy the node's /etc/resolv.conf");
	if (!c->json) {
		cJSON_Delete(events);
		fwrite(text.p, 1, text.n, stdout);
		return 0;
	}
	cJSON *json = cJSON_CreateObject();
	cJSON_AddItemToObject(json, "nameservers", array(&r->servers));
	cJSON_AddItemToObject(json, "searches", array(&r->searches));
	cJSON_AddItemToObject(json, "options", array(&r->options));
	cJSON_AddItemToObject(json, "events", events);
	cJSON_AddItemToObject(json, "text", ctl_json_str(text));
	return ctl_print(c, json);
}

static int run(struct ctl *c)
{
	struct fl_arena a = { .limit = 256 << 20 };
	struct ctl_pod pod;
	struct fl_resolv host, out;
	struct fl_str text = { 0 };
	struct fl_err e;
	const char *path = ctl_text(c, "node-resolv-conf");
	struct fl_words dns = ctl_list(&a, ctl_text(c, "cluster-dns")), ips = ctl_list(&a, ctl_text(c, "node-ip"));
	struct fl_node_dns node = { .host = *path ? &host : NULL, .cluster_domain = fl_str(ctl_text(c, "cluster-domain")) };
	const char *bad = ctl_addresses(&a, &ips, &node.node_ips);
	if (bad) {
		int ret = ctl_misuse(c, "--node-ip: \"%s\" is no IP address", bad);
		fl_arena_finish(&a);
		return ret;
	}
	bad = ctl_addresses(&a, &dns, &node.cluster_dns);
	int ret = ctl_pod_read(c, &a, &pod), line;
	if (!ret && *path)
		ret = ctl_read(c, path, &text);
	if (!ret && *path && fl_resolv_parse(&a, text, &host, &line, &e))
		ret = ctl_fail(c, "%s:%d: %s", path, line, e.msg);
	if (!ret) {
		struct events ev = { c, cJSON_CreateArray() };
		if (bad)
			ctl_warn(c, "Invalid clusterDNS IP: \"%s\" is left out", bad);
		refused(c, &pod.dns, &a);
		if (*path)
			fl_resolv_limits(&a, &node, fl_str(path), event, &ev);
		fl_pod_resolv(&a, &node, &pod.dns, &out, event, &ev);
		ret = print(c, &a, &out, ev.list);
	}
	free((char *)(uintptr_t)text.p);
	fl_arena_finish(&a);
	return ret;
}

const struct ctl_command ctl_resolvconf = {
	.name = "resolvconf", .about = "The resolv.conf that kubelet would give a pod", .flag = flags, .json = true, .main = run,
};

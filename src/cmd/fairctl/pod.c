#include "cmd/fairctl/pod.h"
#include "wire/name.h"
#include <stdio.h>
#include <stdlib.h>

struct search {
	const struct ctl *c;
	struct fl_arena *a;
	struct ctl_pod *to;
	const char *path;
	struct fl_str ns, name;         /* wanted; name "": any */
	unsigned found;
	int line;
	bool failed;
	bool strangers;                 /* what is no object is passed over */
};

static cJSON *at(const cJSON *o, const char *key) { return cJSON_GetObjectItemCaseSensitive(o, key); }

static struct fl_str copy(struct search *s, const char *text) { return fl_arena_str(s->a, fl_str(text)); }

static int wrong(struct search *s, const char *field, const char *what)
{
	if (!s->failed)
		ctl_fail(s->c, "%s:%d: %s is no %s", s->path, s->line, field, what);
	s->failed = true;
	return 1;
}

/* A member that is a text; absent and null are "". */
static struct fl_str text(struct search *s, const cJSON *o, const char *key, const char *field)
{
	const cJSON *v = at(o, key);
	if (v && !cJSON_IsNull(v) && !cJSON_IsString(v))
		wrong(s, field, "text (put it in quotes)");
	return cJSON_IsString(v) ? copy(s, v->valuestring) : FL_STR("");
}

static bool truth(struct search *s, const cJSON *o, const char *key, const char *field)
{
	const cJSON *v = at(o, key);
	if (v && !cJSON_IsNull(v) && !cJSON_IsBool(v))
		wrong(s, field, "true or false");
	return cJSON_IsTrue(v);
}

static const cJSON *list(struct search *s, const cJSON *o, const char *key, const char *field)
{
	const cJSON *v = at(o, key);
	if (v && !cJSON_IsNull(v) && !cJSON_IsArray(v))
		wrong(s, field, "list");
	return cJSON_IsArray(v) ? v : NULL;
}

static const cJSON *object(struct search *s, const cJSON *o, const char *key, const char *field)
{
	const cJSON *v = at(o, key);
	if (v && !cJSON_IsNull(v) && !cJSON_IsObject(v))
		wrong(s, field, "map");
	return cJSON_IsObject(v) ? v : NULL;
}

static void texts(struct search *s, struct fl_words *to, const cJSON *o, const char *key, const char *field)
{
	const cJSON *v, *all = list(s, o, key, field);
	cJSON_ArrayForEach(v, all) {
		if (!cJSON_IsString(v))
			wrong(s, field, "list of texts (put them in quotes)");
		else
			fl_words_add(s->a, to, copy(s, v->valuestring));
	}
}

static void dns(struct search *s, const cJSON *spec)
{
	struct fl_pod_dns *d = &s->to->dns;
	const cJSON *config = object(s, spec, "dnsConfig", "spec.dnsConfig"), *v;
	d->policy = text(s, spec, "dnsPolicy", "spec.dnsPolicy");
	if (!d->policy.n)
		d->policy = FL_STR("ClusterFirst");     /* the API server's default */
	d->config = config != NULL;
	texts(s, &d->servers, config, "nameservers", "spec.dnsConfig.nameservers");
	texts(s, &d->searches, config, "searches", "spec.dnsConfig.searches");
	const cJSON *options = list(s, config, "options", "spec.dnsConfig.options");
	d->option = fl_zalloc(s->a, (size_t)(cJSON_GetArraySize(options) + 1) * sizeof *d->option);
	cJSON_ArrayForEach(v, options) {
		if (!cJSON_IsObject(v))
			wrong(s, "spec.dnsConfig.options", "list of maps");
		d->option[d->noption].name = text(s, v, "name", "spec.dnsConfig.options.name");
		d->option[d->noption++].value = text(s, v, "value", "spec.dnsConfig.options.value");
	}
}

static void mounts(struct search *s, const cJSON *spec)
{
	const cJSON *c, *m, *all = list(s, spec, "containers", "spec.containers");
	cJSON_ArrayForEach(c, all)
		cJSON_ArrayForEach(m, at(c, "volumeMounts"))
			if (!s->to->mounts && fl_str_is(text(s, m, "mountPath", "volumeMounts.mountPath"), "/etc/hosts"))
				s->to->mounts = text(s, c, "name", "spec.containers.name").p;
}

static void hosts(struct search *s, const cJSON *spec, const cJSON *status)
{
	struct fl_pod_hosts *h = &s->to->hosts;
	const cJSON *v, *aliases = list(s, spec, "hostAliases", "spec.hostAliases"), *ips = list(s, status, "podIPs", "status.podIPs");
	h->hostname = text(s, spec, "hostname", "spec.hostname");
	h->subdomain = text(s, spec, "subdomain", "spec.subdomain");
	h->override = text(s, spec, "hostnameOverride", "spec.hostnameOverride");
	h->overridden = cJSON_IsString(at(spec, "hostnameOverride"));
	h->fqdn = truth(s, spec, "setHostnameAsFQDN", "spec.setHostnameAsFQDN");
	h->alias = fl_zalloc(s->a, (size_t)(cJSON_GetArraySize(aliases) + 1) * sizeof *h->alias);
	cJSON_ArrayForEach(v, aliases) {
		if (!cJSON_IsObject(v))
			wrong(s, "spec.hostAliases", "list of maps");
		h->alias[h->nalias].ip = text(s, v, "ip", "spec.hostAliases.ip");
		texts(s, &h->alias[h->nalias++].names, v, "hostnames", "spec.hostAliases.hostnames");
	}
	cJSON_ArrayForEach(v, ips) {
		struct fl_str ip = text(s, v, "ip", "status.podIPs.ip");
		if (ip.n)
			fl_words_add(s->a, &h->ips, ip);
	}
	struct fl_str ip = text(s, status, "podIP", "status.podIP");
	if (!h->ips.n && ip.n)
		fl_words_add(s->a, &h->ips, ip);
	mounts(s, spec);
}

/* The pod's spec: a workload has it in its template. */
static const cJSON *spec_of(const cJSON *tree, bool *templated)
{
	const cJSON *spec = at(tree, "spec"), *job = at(at(spec, "jobTemplate"), "spec"), *template = at(job ? job : spec, "template");
	const cJSON *kind = at(tree, "kind");
	if (cJSON_IsString(kind) && !strcmp(kind->valuestring, "Pod"))
		return cJSON_IsObject(spec) ? spec : NULL;
	*templated = true;
	return cJSON_IsObject(at(template, "spec")) ? at(template, "spec") : NULL;
}

static int on_tree(void *arg, const cJSON *tree, int line)
{
	struct search *s = arg;
	bool templated = false;
	s->line = line;
	const cJSON *kind = at(tree, "kind"), *meta = object(s, tree, "metadata", "metadata");
	if (s->strangers && (!cJSON_IsObject(tree) || !cJSON_IsString(kind)))
		return 0;
	if (!cJSON_IsObject(tree) || !cJSON_IsString(kind))
		return ctl_fail(s->c, "%s:%d: no Kubernetes object: it has no kind", s->path, line);
	const cJSON *spec = spec_of(tree, &templated);
	bool pod = !strcmp(kind->valuestring, "Pod");
	if (pod && !spec)
		return ctl_fail(s->c, "%s:%d: a Pod without spec", s->path, line);
	struct fl_str name = text(s, meta, "name", "metadata.name"), ns = text(s, meta, "namespace", "metadata.namespace");
	ns = ns.n ? ns : FL_STR("default");
	if (s->failed)
		return 1;
	if (!spec || (s->name.n && (!fl_str_eq(name, s->name) || (s->ns.n && !fl_str_eq(ns, s->ns)))))
		return 0;
	if (s->found++)
		return ctl_fail(s->c, "%s:%d: a second pod: choose one with --name", s->path, line);
	if (!name.n)
		return ctl_fail(s->c, "%s:%d: a %s without metadata.name", s->path, line, kind->valuestring);
	*s->to = (struct ctl_pod){ .templated = templated };
	struct fl_str uid = text(s, meta, "uid", "metadata.uid");
	if (!strcmp(kind->valuestring, "StatefulSet"))
		name = fl_arena_printf(s->a, "%.*s-0", FL_FMT(name));
	bool host_network = truth(s, spec, "hostNetwork", "spec.hostNetwork");
	dns(s, spec);
	hosts(s, spec, object(s, tree, "status", "status"));
	s->to->dns.ns = s->to->hosts.ns = ns;
	s->to->dns.name = s->to->hosts.name = name;
	s->to->dns.uid = uid;
	s->to->dns.host_network = s->to->hosts.host_network = host_network;
	return s->failed;
}

int ctl_pod_read(const struct ctl *c, struct fl_arena *a, struct ctl_pod *to)
{
	struct search s = { .c = c, .a = a, .to = to, .path = ctl_text(c, "pod") };
	const char *name = ctl_text(c, "name");
	if (!s.path)
		return ctl_misuse(c, "--pod is missing");
	if (name && !strchr(name, '/'))
		s.name = fl_str(name);
	else if (name)
		s.name = fl_str_cut(fl_str(name), '/', &s.ns);
	int ret = ctl_documents(c, s.path, on_tree, &s);
	if (!ret && !s.found)
		return s.name.n ? ctl_fail(c, "%s:1: no pod %s in it", s.path, name) : ctl_fail(c, "%s:1: no pod in it", s.path);
	return ret;
}

int ctl_pod_find(const struct ctl *c, struct fl_arena *a, const char *path, struct fl_str ns, struct fl_str name, struct ctl_pod *to)
{
	struct search s = { .c = c, .a = a, .to = to, .path = path, .ns = ns, .name = name, .strangers = true };
	int ret = ctl_documents(c, path, on_tree, &s);
	return ret ? ret : s.found ? -1 : 0;
}

int ctl_pod_tree(const struct ctl *c, struct fl_arena *a, const char *from, const cJSON *tree, struct fl_str ns, struct fl_str name, struct ctl_pod *to)
{
	struct search s = { .c = c, .a = a, .to = to, .path = from, .ns = ns, .name = name, .strangers = true };
	int ret = on_tree(&s, tree, 1);
	return ret ? ret : s.found ? -1 : 0;
}

struct fl_words ctl_list(struct fl_arena *a, const char *text)
{
	struct fl_words w = { 0 };
	for (struct fl_str rest = fl_str(text ? text : ""), one; rest.n;) {
		rest = fl_str_cut(rest, ',', &one);
		one = fl_str_trim(one);
		if (one.n)
			fl_words_add(a, &w, one);
	}
	return w;
}

/* 010.0.0.1 is 10.0.0.1 to kubelet (ParseIPSloppy). */
static bool sloppy(struct fl_str s, struct fl_addr *to)
{
	char text[64];
	size_t n = 0;
	bool six = memchr(s.p, ':', s.n) != NULL;
	for (size_t i = 0; i < s.n && n < sizeof text; i++) {
		bool first = !n || text[n - 1] == '.';
		bool more = i + 1 < s.n && s.p[i + 1] >= '0' && s.p[i + 1] <= '9';
		if (!six && first && s.p[i] == '0' && more)
			continue;
		text[n++] = s.p[i];
	}
	return n < sizeof text && fl_addr_parse((struct fl_str){ text, n }, to);
}

const char *ctl_addresses(struct fl_arena *a, const struct fl_words *list, struct fl_words *to)
{
	const char *bad = NULL;
	for (unsigned i = 0; i < list->n; i++) {
		struct fl_addr addr;
		char canonical[46];
		if (!sloppy(list->at[i], &addr)) {
			bad = bad ? bad : fl_arena_str(a, list->at[i]).p;
			continue;
		}
		if (to)
			fl_words_add(a, to, fl_arena_str(a, (struct fl_str){ canonical, fl_addr_text(canonical, &addr) }));
	}
	return bad;
}

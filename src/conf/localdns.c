#include "conf/localdns.h"
#include "conf/conf_int.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

struct zone {
	const char *group, *name;       /* group: the JSON's name of its table */
	bool kube;
	unsigned logging, protocol, to, policy, stale;
	int64_t limit, cache_s, stale_s;
};

struct work { const struct fl_localdns *l; struct fl_conf_buf text; struct fl_err *e; };

/* A field with words: their places are the values. */
struct choice { const char *field; const char *const word[4]; };
static const struct choice logging = { "queryLogging", { "Error", "Log" } }, protocol = { "protocol", { "PreferUDP", "ForceTCP" } },
	to = { "forwardDestination", { "VnetDNS", "ClusterCoreDNS" } }, policy = { "forwardPolicy", { "Sequential", "RoundRobin", "Random" } },
	stale = { "serveStale", { "Immediate", "Verify", "Disabled" } };
enum { LOG = 1, FORCE_TCP = 1, CLUSTER = 1, VERIFY = 1, NO_STALE = 2 };

static void __attribute__((format(printf, 2, 3))) put(struct work *w, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	fl_conf_buf_add(&w->text, text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
}

static int wrong(struct work *w, const struct zone *z, const char *field, const char *what)
{
	return fl_err_set(w->e, "%s: \"%.253s\": %s%s%s", z->group, z->name, field, *field ? ": " : "", what);
}

/* ---- fields ---- */

static int choose(struct work *w, const struct zone *z, const cJSON *of, const struct choice *c, unsigned initial, unsigned *value)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(of, c->field);
	*value = initial;
	if (!v || cJSON_IsNull(v))
		return 0;
	for (*value = 0; *value < FL_COUNT(c->word) && c->word[*value]; ++*value)
		if (cJSON_IsString(v) && !strcmp(v->valuestring, c->word[*value]))
			return 0;
	char text[128] = "is none of";
	for (unsigned i = 0; i < *value; i++)
		snprintf(text + strlen(text), sizeof text - strlen(text), " %s", c->word[i]);
	return wrong(w, z, c->field, text);
}

static int number(struct work *w, const struct zone *z, const cJSON *of, const char *field, int64_t initial, int64_t *value)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(of, field);
	*value = initial;
	if (!v || cJSON_IsNull(v))
		return 0;
	if (!cJSON_IsNumber(v) || !(v->valuedouble >= 1 && v->valuedouble <= 2147483647) || v->valuedouble != (double)(int64_t)v->valuedouble)
		return wrong(w, z, field, "is no whole number from 1 on");
	*value = (int64_t)v->valuedouble;
	return 0;
}

/* Its name is going to be a word of a Corefile. */
static bool is_zone(const char *name)
{
	size_t n = strlen(name);
	return n && n < 254 && strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == n && (n == 1 || *name != '.');
}

static int read_zone(struct work *w, struct zone *z, const cJSON *of)
{
	if (!cJSON_IsObject(of))
		return wrong(w, z, "", "is no object");
	if (!is_zone(z->name))
		return wrong(w, z, "", "is no zone");
	if (choose(w, z, of, &logging, 0, &z->logging) || choose(w, z, of, &protocol, 0, &z->protocol) ||
	    choose(w, z, of, &to, z->kube ? CLUSTER : 0, &z->to) || choose(w, z, of, &policy, 0, &z->policy) ||
	    choose(w, z, of, &stale, 0, &z->stale) || number(w, z, of, "maxConcurrent", 1000, &z->limit) ||
	    number(w, z, of, "cacheDurationInSeconds", 3600, &z->cache_s) || number(w, z, of, "serveStaleDurationInSeconds", 3600, &z->stale_s))
		return -1;
	struct fl_str name = fl_str(z->name);
	if (name.n > 1 && name.p[name.n - 1] == '.')
		name.n--;
	if (!z->kube && fl_str_is(name, ".") && z->to == CLUSTER)
		return wrong(w, z, to.field, "AKS refuses ClusterCoreDNS for the root of the network's names");
	if (fl_str_ieq(name, FL_STR("cluster.local")) && z->to != CLUSTER)
		return wrong(w, z, to.field, "AKS refuses VnetDNS for cluster.local");
	if (z->protocol == FORCE_TCP && z->stale == VERIFY)
		return wrong(w, z, stale.field, "AKS refuses Verify together with ForceTCP");
	if (z->to == CLUSTER && !w->l->cluster_dns.n)
		return wrong(w, z, to.field, "ClusterCoreDNS: give --cluster-dns");
	return 0;
}

/* ---- the Corefile ---- */

static void block(struct work *w, const struct zone *z)
{
	static const char *const policies[] = { "sequential", "round_robin", "random" }, *const modes[] = { "immediate", "verify" };
	const char *ip = z->kube ? "169.254.10.11" : "169.254.10.10";
	struct fl_str upstream = z->to == CLUSTER ? w->l->cluster_dns : w->l->vnet_dns;
	put(w, "%.253s:53 {\n    %s\n    bind %s\n", z->name, z->logging == LOG ? "log" : "errors", ip);
	if (!strcmp(z->name, "."))
		put(w, "    template ANY ANY internal.cloudapp.net {\n        match \"^(?:[^.]+\\.){4,}internal\\.cloudapp\\.net\\.$\"\n"
		       "        rcode NXDOMAIN\n        fallthrough\n    }\n    template ANY ANY reddog.microsoft.com {\n        rcode NXDOMAIN\n    }\n");
	put(w, "    forward . %.*s {\n        %s\n        policy %s\n        max_concurrent %lld\n    }\n", (int)(upstream.n < 200 ? upstream.n : 200),
	    upstream.p, z->protocol == FORCE_TCP ? "force_tcp" : "prefer_udp", policies[z->policy], (long long)z->limit);
	put(w, "    ready %s:8181\n    cache %lld {\n        success 9984\n        denial 9984\n", ip, (long long)z->cache_s);
	if (z->stale != NO_STALE)
		put(w, "        serve_stale %llds %s\n", (long long)z->stale_s, modes[z->stale]);
	put(w, "        servfail 0\n    }\n    loop\n    nsid %s\n    prometheus :9253\n}\n\n", z->kube ? "localdns-pod" : "localdns");
}

static int table(struct work *w, const cJSON *tree, const char *group, bool kube)
{
	const cJSON *zones = cJSON_GetObjectItemCaseSensitive(tree, group), *of;
	if (zones && !cJSON_IsNull(zones) && !cJSON_IsObject(zones))
		return fl_err_set(w->e, "%s: is no object", group);
	cJSON_ArrayForEach(of, zones) {
		struct zone z = { .group = group, .name = of->string, .kube = kube };
		if (read_zone(w, &z, of))
			return -1;
		block(w, &z);
	}
	return 0;
}

bool fl_localdns_is(const cJSON *tree)
{
	return cJSON_GetObjectItemCaseSensitive(tree, "vnetDNSOverrides") || cJSON_GetObjectItemCaseSensitive(tree, "kubeDNSOverrides");
}

int fl_localdns_corefile(struct fl_arena *a, const cJSON *tree, const struct fl_localdns *l, struct fl_str *out, struct fl_err *e)
{
	struct work w = { .l = l, .e = e };
	const cJSON *mode = cJSON_GetObjectItemCaseSensitive(tree, "mode");
	if (cJSON_IsString(mode) && strcmp(mode->valuestring, "Required") && l->note)
		l->note(l->arg, "mode is not Required: AKS does not run LocalDNS then, or only checks");
	put(&w, "health-check.localdns.local:53 {\n    bind 169.254.10.10 169.254.10.11\n    whoami\n}\n\n");
	int ret = table(&w, tree, "vnetDNSOverrides", false) || table(&w, tree, "kubeDNSOverrides", true) ? -1 : 0;
	if (!ret)
		*out = fl_arena_str(a, (struct fl_str){ w.text.p, w.text.n - 1 });
	if (!ret && !out->p)
		ret = fl_err_set(e, "too large");
	fl_conf_buf_finish(&w.text);
	return ret ? -EINVAL : 0;
}

/* The cluster as it is, without any filter; and the pod, from the same place. */
#include "cmd/fairctl/explain.h"
#include "base/log.h"
#include "kube/auth.h"
#include "kube/source.h"
#include "net/http_client.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { SYNC_S = 8, BODY_MAX = 4 << 20 };

static struct { struct fl_words lines; struct fl_arena *a; } logged;

/* What the server's parts would have logged: the API's refusals are among it. */
static void keep(void *arg, const char *line, size_t n)
{
	(void)arg;
	while (n && line[n - 1] == '\n')
		n--;
	if (logged.lines.n < 200)
		fl_words_add(logged.a, &logged.lines, fl_arena_str(logged.a, (struct fl_str){ line, n }));
}

static bool says(struct fl_str line, const char *what) { return memmem(line.p, line.n, what, strlen(what)) != NULL; }

static void forbidden(struct facts *f)
{
	static const char *const kinds[] = { "EndpointSlice", "Service", "Namespace" };
	for (unsigned k = 0; k < FL_COUNT(kinds); k++) {
		bool said = false;
		char type[32];
		snprintf(type, sizeof type, "%s:", kinds[k]);
		for (unsigned i = 0; i < logged.lines.n && !said; i++)
			said = says(logged.lines.at[i], type) && (says(logged.lines.at[i], "orbidden") || says(logged.lines.at[i], "403"));
		if (said)
			fl_words_add(f->a, &f->forbidden, fl_str(kinds[k]));
	}
}

struct sync { struct facts *f; struct fl_store *store; };

static bool settled(void *arg)
{
	struct sync *s = arg;
	if (fl_store_synced(s->store))
		return true;
	s->f->forbidden.n = 0;
	forbidden(s->f);
	return s->f->forbidden.n && fl_store_kind_synced(s->store, FL_KIND_SERVICE);
}

static struct fl_store *store(struct facts *f, const struct ex_from *from, struct fl_str labels, struct fl_str namespace_labels, struct fl_loop *loop,
			      struct fl_err *e)
{
	struct fl_store_wants w = { .pod_names = true };
	w.kind[FL_KIND_NAMESPACE] = w.kind[FL_KIND_SERVICE] = w.kind[FL_KIND_SLICE] = true;
	struct fl_source_config cfg = { .manifests = from->manifests, .kubeconfig = from->kubeconfig, .context = from->context, .labels = labels,
					.namespace_labels = namespace_labels, .user_agent = "fairctl/" FL_VERSION };
	struct sync s = { f, fl_store_create(&w) };
	struct fl_source *source = f->nsource < FL_COUNT(f->source) ? fl_source_create(s.store, loop, &cfg, e) : NULL;
	if (!source) {
		fl_store_destroy(s.store);
		return NULL;
	}
	f->source[f->nsource++] = source;
	ex_run(loop, settled, &s, SYNC_S * FL_SEC);
	return s.store;
}

/* ---- the folder ---- */

static int by_name(const struct dirent **x, const struct dirent **y) { return strcmp((*x)->d_name, (*y)->d_name); }

static int manifest(const struct dirent *d)
{
	const char *dot = strrchr(d->d_name, '.');
	return *d->d_name != '.' && dot && (!strcmp(dot, ".yaml") || !strcmp(dot, ".yml") || !strcmp(dot, ".json"));
}

/* Each file of it, until one says something else than 0. */
static int each_file(const struct ctl *c, struct facts *f, const char *dir, int (*fn)(const struct ctl *c, struct facts *f, const char *path, void *arg),
		     void *arg)
{
	struct dirent **entry;
	int n = scandir(dir, &entry, manifest, by_name), ret = 0;
	if (n < 0)
		return ctl_fail(c, "open %s: %s", dir, strerror(errno));
	for (int i = 0; i < n; i++) {
		if (!ret)
			ret = fn(c, f, fl_arena_printf(f->a, "%s/%s", dir, entry[i]->d_name).p, arg);
		free(entry[i]);
	}
	free(entry);
	return ret;
}

/* ---- the server's role, where the manifests have it ---- */

struct role { struct facts *f; const char *path; };

static const cJSON *at(const cJSON *o, const char *key) { return cJSON_GetObjectItemCaseSensitive(o, key); }

static bool lists(const cJSON *rule, const char *key, const char *word)
{
	const cJSON *v;
	cJSON_ArrayForEach(v, at(rule, key))
		if (cJSON_IsString(v) && (!strcmp(v->valuestring, word) || !strcmp(v->valuestring, "*")))
			return true;
	return false;
}

static int look_for_role(void *arg, const cJSON *tree, int line)
{
	struct role *r = arg;
	const cJSON *kind = at(tree, "kind"), *name = at(at(tree, "metadata"), "name"), *rule;
	bool allowed = false, aggregated = at(tree, "aggregationRule") != NULL;
	if (!cJSON_IsString(kind) || !cJSON_IsString(name) || strcmp(kind->valuestring, "ClusterRole") || strcmp(name->valuestring, "system:coredns"))
		return 0;
	cJSON_ArrayForEach(rule, at(tree, "rules"))
		allowed |= lists(rule, "apiGroups", "discovery.k8s.io") && lists(rule, "resources", "endpointslices") && lists(rule, "verbs", "list") &&
			   lists(rule, "verbs", "watch");
	if (!allowed && !aggregated)
		r->f->role = fl_arena_printf(r->f->a, "%s (%s:%d)", name->valuestring, r->path, line);
	return 0;
}

/* So a file that is broken is named, too. */
static int read_roles(const struct ctl *c, struct facts *f, const char *path, void *arg)
{
	struct role r = { f, path };
	(void)arg;
	return ctl_documents(c, path, look_for_role, &r);
}

int ex_cluster(const struct ctl *c, struct facts *f, const struct ex_from *from, struct fl_loop *loop)
{
	struct fl_err e = { "" };
	logged.a = f->a;
	fl_log_capture(keep, NULL);
	if (!from->manifests.n && !from->kubeconfig.n)
		return 0;
	if (from->manifests.n && each_file(c, f, from->manifests.p, read_roles, NULL))
		return 1;
	f->store = store(f, from, FL_STR(""), FL_STR(""), loop, &e);
	if (!f->store)
		return ctl_fail(c, "%s", e.msg);
	if (!fl_store_synced(f->store) && !f->forbidden.n)
		return ctl_fail(c, "the cluster's objects could not be read within %d s%s%s", SYNC_S, logged.lines.n ? ": " : "",
				logged.lines.n ? logged.lines.at[logged.lines.n - 1].p : "");
	for (unsigned i = 0; i < f->conf.nkube; i++) {
		struct ex_kube *k = &f->conf.kube[i];
		if ((k->labels.n || k->namespace_labels.n) && !f->forbidden.n)
			k->filtered = store(f, from, k->labels, k->namespace_labels, loop, &e);
	}
	return 0;
}

/* ---- the pod ---- */

struct wanted { struct fl_str ns, name; };

static int find_pod(const struct ctl *c, struct facts *f, const char *path, void *arg)
{
	const struct wanted *w = arg;
	int ret = ctl_pod_find(c, f->a, path, w->ns, w->name, &f->pod);
	f->has_pod |= ret < 0;
	return ret > 0 ? ret : 0;
}

struct fetch { struct fl_http_req req; struct fl_kube_auth auth; struct fl_kube_config config; char *body; size_t n; bool over; int status; struct fl_err e; };

static void on_body(struct fl_http_req *r, const uint8_t *p, size_t n)
{
	struct fetch *t = (struct fetch *)(void *)r;
	n = t->n + n < BODY_MAX ? n : BODY_MAX - t->n;
	t->body = fl_xrealloc(t->body, t->n + n + 1);
	memcpy(t->body + t->n, p, n);
	t->n += n;
	t->body[t->n] = 0;
}

static void on_end(struct fl_http_req *r, int err, const char *why)
{
	struct fetch *t = (struct fetch *)(void *)r;
	t->status = err ? 0 : r->head.status;
	if (err)
		fl_err_set(&t->e, "%s", why);
	t->over = true;
}

static struct fl_tls_creds *creds(void *arg, struct fl_err *e) { return fl_kube_auth_creds(&((struct fetch *)arg)->auth, e); }
static bool is_over(void *arg) { return ((struct fetch *)arg)->over; }
static bool signed_in(void *arg) { return fl_kube_auth_ready(&((struct fetch *)arg)->auth, fl_clock_ns()) != -EAGAIN; }
static void on_signed_in(void *arg, bool renew) { (void)arg, (void)renew; }

static int get(struct fetch *t, struct fl_loop *loop, const char *path)
{
	static const struct fl_http_ops ops = { .body = on_body, .end = on_end };
	struct fl_http_header h[2 + FL_KUBE_HEADERS] = { { "accept", FL_STR("application/json") } };
	unsigned n = 1;
	struct fl_http_config cfg = { .host = t->config.host, .port = t->config.port, .tls = t->config.tls, .http2 = true, .tls_name = t->config.tls_name,
				      .authority = t->config.authority, .proxy_host = t->config.proxy_host, .proxy_port = t->config.proxy_port,
				      .proxy_auth = t->config.proxy_auth, .creds = creds, .arg = t };
	fl_kube_auth_loop(&t->auth, loop, on_signed_in, t);
	ex_run(loop, signed_in, t, SYNC_S * FL_SEC);
	const char *auth = fl_kube_auth_header(&t->auth, fl_clock_ns());
	if (auth)
		h[n++] = (struct fl_http_header){ "authorization", fl_str(auth) };
	for (unsigned i = 0; i < t->config.nheader; i++)
		h[n++] = (struct fl_http_header){ t->config.header[i].name, fl_str(t->config.header[i].value) };
	struct fl_http_client *client = fl_http_client_create(loop, &cfg);
	t->req.ops = &ops;
	fl_http_get(client, &t->req, path, h, n);
	ex_run(loop, is_over, t, SYNC_S * FL_SEC);
	fl_http_cancel(&t->req);
	fl_http_client_destroy(client);
	return t->status;
}

static int from_api(const struct ctl *c, struct facts *f, const struct ex_from *from, struct fl_loop *loop, struct fl_str ns, struct fl_str name)
{
	struct fetch *t = fl_xalloc(sizeof *t);
	struct fl_source_config cfg = { .kubeconfig = from->kubeconfig, .context = from->context };
	int ret = 0;
	if (fl_kube_config_load(&t->config, &cfg, &t->e) || fl_kube_auth_init(&t->auth, &t->config, &t->e)) {
		ret = ctl_fail(c, "%s", t->e.msg);
		goto out;
	}
	int status = get(t, loop, fl_arena_printf(f->a, "%s/api/v1/namespaces/%.*s/pods/%.*s", t->config.prefix, FL_FMT(ns), FL_FMT(name)).p);
	if (status == 404)
		goto out;
	if (status != 200) {
		ret = ctl_fail(c, "pod %.*s/%.*s: %s", FL_FMT(ns), FL_FMT(name),
			       status ? fl_arena_printf(f->a, "the API server says HTTP %d", status).p : t->e.msg[0] ? t->e.msg : "no answer in time");
		goto out;
	}
	cJSON *tree = cJSON_ParseWithLength(t->body, t->n);
	ret = ctl_pod_tree(c, f->a, t->config.base, tree, ns, name, &f->pod);
	f->has_pod = ret < 0;
	ret = ret < 0 ? 0 : ret;
	cJSON_Delete(tree);
out:
	free(t->body);
	fl_kube_auth_finish(&t->auth);
	fl_kube_config_finish(&t->config);
	free(t);
	return ret;
}

int ex_pod(const struct ctl *c, struct facts *f, const struct ex_from *from, struct fl_loop *loop, const char *which)
{
	struct fl_str ns, name = fl_str_cut(fl_str(which), '/', &ns);
	if (!name.n || !ns.n || memchr(name.p, '/', name.n))
		return ctl_misuse(c, "--pod: \"%s\" is no NAMESPACE/NAME", which);
	if (!from->manifests.n && !from->kubeconfig.n)
		return ctl_misuse(c, "--pod wants to be looked up: --manifests or --kubeconfig is missing");
	int ret = from->manifests.n ? each_file(c, f, from->manifests.p, find_pod, &(struct wanted){ ns, name }) : from_api(c, f, from, loop, ns, name);
	if (!ret && !f->has_pod)
		return ctl_fail(c, "no pod %s in %s", which, from->manifests.n ? from->manifests.p : from->kubeconfig.p);
	f->ns = ns;
	return ret;
}

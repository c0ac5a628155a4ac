/* Manifests: the objects of a text that names can be made of, each cut down to what is read of it. */
#include "kube/decode.h"
#include "kube/yaml.h"
#include <errno.h>
#include <stdlib.h>

/* What is read of each kind: fields that stay, space between them; NULL: none. */
struct sort {
	const char *kind, *api;                 /* api: the whole version, or its group with a slash */
	enum fl_kind store_kind;
	const char *top, *spec, *status;
};
static const struct sort sorts[] = {
	{ "Namespace", "v1", FL_KIND_NAMESPACE, "metadata", NULL, NULL },
	{ "Service", "v1", FL_KIND_SERVICE, "metadata spec status",
	  "type externalName clusterIP clusterIPs externalIPs ports publishNotReadyAddresses selector ipFamilies", "loadBalancer" },
	{ "EndpointSlice", "discovery.k8s.io/", FL_KIND_SLICE, "metadata addressType ports endpoints", NULL, NULL },
	{ "Pod", "v1", FL_KIND_POD, "metadata spec status", "nodeName hostname subdomain containers initContainers",
	  "phase podIP podIPs conditions" },
	{ "ServiceImport", "multicluster.x-k8s.io/", FL_KIND_IMPORT, "metadata spec", "type ips ports", NULL },
	{ "Node", "v1", FL_KINDS, "metadata", NULL, NULL },
};

struct pending { cJSON *tree; int line; struct pending *next; };
struct reading {
	int (*fn)(void *arg, const struct fl_manifest_object *o);
	void *arg;
	unsigned *skipped;
	struct fl_err *e;
	struct pending *first, **last;          /* elements without a kind: their list's says */
};

static cJSON *at(const cJSON *o, const char *key) { return cJSON_GetObjectItemCaseSensitive(o, key); }

static const char *str(const cJSON *o, const char *key)
{
	const cJSON *v = at(o, key);
	return cJSON_IsString(v) ? v->valuestring : "";
}

static bool one_of(const char *s, const char *words)
{
	struct fl_str rest = fl_str(words), w;
	while (rest.n) {
		rest = fl_str_cut(rest, ' ', &w);
		if (fl_str_is(w, s))
			return true;
	}
	return false;
}

/* Drops what is not among words. */
static void keep(cJSON *o, const char *words)
{
	for (cJSON *v = cJSON_IsObject(o) ? o->child : NULL, *next; v; v = next) {
		next = v->next;
		if (!v->string || !one_of(v->string, words))
			cJSON_Delete(cJSON_DetachItemViaPointer(o, v));
	}
}

static void keep_each(cJSON *list, const char *words)
{
	cJSON *v;
	cJSON_ArrayForEach(v, list)
		keep(v, words);
}

static void prune(cJSON *tree, const struct sort *s)
{
	keep(tree, s->top);
	cJSON *meta = at(tree, "metadata"), *spec = at(tree, "spec");
	keep(meta, "name namespace uid resourceVersion labels annotations deletionTimestamp");
	keep(at(meta, "annotations"), "endpoints.kubernetes.io/last-change-trigger-time");
	keep(spec, s->spec ? s->spec : "");
	keep(at(tree, "status"), s->status ? s->status : "");
	keep_each(at(spec, "containers"), "ports");
	keep_each(at(spec, "initContainers"), "ports restartPolicy");
	keep_each(at(tree, "endpoints"), "addresses conditions hostname targetRef nodeName zone");
}

static const struct sort *sort_of(const char *kind, const char *api)
{
	for (unsigned i = 0; i < FL_COUNT(sorts); i++) {
		size_t n = strlen(sorts[i].api);
		bool group = sorts[i].api[n - 1] == '/';
		if (!strcmp(kind, sorts[i].kind))
			return !*api || (group ? !strncmp(api, sorts[i].api, n) : !strcmp(api, sorts[i].api)) ? &sorts[i] : NULL;
	}
	return NULL;
}

/* Labels are strings: a plain 1.0 or yes is none, and the API server would refuse it. */
static int check_strings(struct reading *r, const cJSON *map, int line, const char *kind, const char *name, const char *what)
{
	const cJSON *v;
	cJSON_ArrayForEach(v, map)
		if (!cJSON_IsString(v) && !cJSON_IsNull(v))
			return fl_err_set(r->e, "line %d: %s %s: the %s \"%s\" is no string (put it in quotes)", line, kind, name,
					  what, v->string ? v->string : "");
	return 0;
}

static int known(struct reading *r, cJSON *tree, int line, const struct sort *s)
{
	cJSON *meta = at(tree, "metadata");
	const char *name = str(meta, "name");
	bool namespaced = s->store_kind != FL_KIND_NAMESPACE && s->store_kind != FL_KINDS;
	for (unsigned i = 0; i < 2; i++) {
		static const char *const key[] = { "name", "namespace" };
		const cJSON *v = at(meta, key[i]);
		if (v && !cJSON_IsString(v) && !cJSON_IsNull(v))
			return fl_err_set(r->e, "line %d: a %s whose metadata.%s is no string (put it in quotes)", line, s->kind,
					  key[i]);
	}
	if (!*name)
		return fl_err_set(r->e, "line %d: a %s without metadata.name", line, s->kind);
	int ret = check_strings(r, at(meta, "labels"), line, s->kind, name, "label");
	if (!ret)
		ret = check_strings(r, at(at(tree, "spec"), "selector"), line, s->kind, name, "selector");
	if (ret)
		return ret;
	if (namespaced && !*str(meta, "namespace")) {
		cJSON_DeleteItemFromObjectCaseSensitive(meta, "namespace");
		cJSON_AddStringToObject(meta, "namespace", "default");
	}
	prune(tree, s);
	const cJSON *selector = at(at(tree, "spec"), "selector");
	char *json = cJSON_PrintUnformatted(tree);
	struct fl_manifest_object o = { .kind = fl_str(s->kind), .store_kind = s->store_kind, .name = fl_str(name), .line = line,
					.ns = fl_str(namespaced ? str(meta, "namespace") : ""), .json = json,
					.n = json ? strlen(json) : 0, .selects = cJSON_IsObject(selector) && selector->child };
	if (s->store_kind == FL_KIND_SLICE)
		o.service = fl_str(str(at(meta, "labels"), "kubernetes.io/service-name"));
	ret = json ? r->fn(r->arg, &o) : fl_err_set(r->e, "line %d: out of memory", line);
	cJSON_free(json);
	return ret;
}

static int take(struct reading *r, cJSON *tree, int line, const char *kind, const char *api);

/* The elements that stand in the tree itself: of a list in a list. */
static int nested(struct reading *r, cJSON *list, int line, const char *kind, const char *api)
{
	cJSON *v;
	cJSON_ArrayForEach(v, list) {
		int ret =
		    take(r, v, line, *str(v, "kind") ? str(v, "kind") : kind, *str(v, "apiVersion") ? str(v, "apiVersion") : api);
		if (ret)
			return ret;
	}
	return 0;
}

/* The kind of a list's elements, when they do not say: that of a ServiceList is Service. */
static bool list_kind(const char *kind, char of[64])
{
	size_t n = strlen(kind);
	if (n < 4 || n >= 64 || strcmp(kind + n - 4, "List"))
		return false;
	memcpy(of, kind, n - 4);
	of[n - 4] = 0;
	return true;
}

static int take(struct reading *r, cJSON *tree, int line, const char *kind, const char *api)
{
	char of[64];
	if (!cJSON_IsObject(tree) || !*kind)
		return fl_err_set(r->e, "line %d: no Kubernetes object: it has no kind", line);
	if (list_kind(kind, of) && cJSON_IsArray(at(tree, "items")))
		return nested(r, at(tree, "items"), line, of, api);
	const struct sort *s = sort_of(kind, api);
	if (s)
		return known(r, tree, line, s);
	++*r->skipped;
	return 0;
}

static void put_off(struct reading *r, const cJSON *tree, int line)
{
	struct pending *p = fl_xalloc(sizeof *p);
	*p = (struct pending){ cJSON_Duplicate(tree, true), line, NULL };
	*r->last = p;
	r->last = &p->next;
}

/* What was put off, now that its list came: kind "" forgets it. */
static int catch_up(struct reading *r, const char *kind, const char *api)
{
	int ret = 0;
	while (r->first) {
		struct pending *p = r->first;
		r->first = p->next;
		if (!ret && *kind)
			ret = take(r, p->tree, p->line, kind, api);
		cJSON_Delete(p->tree);
		free(p);
	}
	r->last = &r->first;
	return ret;
}

static int on_tree(void *arg, cJSON *tree, int line, bool item)
{
	struct reading *r = arg;
	char of[64];
	const char *kind = str(tree, "kind"), *api = str(tree, "apiVersion");
	if (item && cJSON_IsObject(tree) && !*kind) {
		put_off(r, tree, line);
		return 0;
	}
	if (item)
		return take(r, tree, line, kind, api);
	int ret = catch_up(r, list_kind(kind, of) ? of : "", api);
	return ret ? ret : take(r, tree, line, kind, api);
}

/* YAML may begin with a brace too. */
static bool looks_like_json(struct fl_str text)
{
	struct fl_str s = fl_str_trim(text);
	if (!s.n || *s.p != '{')
		return false;
	s = fl_str_trim((struct fl_str){ s.p + 1, s.n - 1 });
	return s.n && (*s.p == '"' || *s.p == '}');
}

int fl_manifest_read(struct fl_str text, int (*fn)(void *arg, const struct fl_manifest_object *o), void *arg, unsigned *skipped,
		     struct fl_err *e)
{
	struct reading r = { .fn = fn, .arg = arg, .skipped = skipped, .e = e };
	r.last = &r.first;
	*skipped = 0;
	int ret = (looks_like_json(text) ? fl_json_read : fl_yaml_read)(text, on_tree, &r, e);
	catch_up(&r, "", "");
	return ret;
}

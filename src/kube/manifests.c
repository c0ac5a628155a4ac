/* A folder of manifests as a cluster. Each file is read on its own: one that is broken is named in the log, and what it said last stays. After
 * every change all objects are put again as one list: the store tells its subscribers only what really changed. */
#include "base/log.h"
#include "kube/decode.h"
#include "kube/endpoints.h"
#include "kube/source_int.h"
#include "kube/yaml.h"
#include "net/watch.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { FILE_MAX = 64 << 20, OBJECTS_MAX = 1000000 };
#define WHO "plugin/kubernetes"

struct object { cJSON *tree; enum fl_kind kind; bool node, warned; int line; };
struct file { char *name; struct object *object; unsigned n, cap; struct timespec mtime; off_t size; ino_t ino; bool seen; struct file *next; };

struct manifests {
	struct fl_source s;
	struct fl_store *store;
	struct fl_loop *loop;
	char *dir;
	struct fl_selector *labels, *namespace_labels;
	struct fl_watch *watch;
	struct fl_timer first;
	struct file *file;
	char complaint[512];            /* about the folder: said once */
};

/* ---- reading a file ---- */

static const struct { const char *kind; enum fl_kind k; } kinds[] = {
	{ "Namespace", FL_KIND_NAMESPACE }, { "Service", FL_KIND_SERVICE }, { "EndpointSlice", FL_KIND_SLICE }, { "Pod", FL_KIND_POD },
	{ "ServiceImport", FL_KIND_IMPORT } };

static const char *str(const cJSON *o, const char *key)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);
	return cJSON_IsString(v) ? v->valuestring : "";
}

static cJSON *at(const cJSON *o, const char *key) { return cJSON_GetObjectItemCaseSensitive(o, key); }

/* What an API server would fill in. */
static void defaults(cJSON *tree, bool namespaced)
{
	cJSON *meta = at(tree, "metadata");
	if (namespaced && meta && !*str(meta, "namespace")) {
		cJSON_DeleteItemFromObjectCaseSensitive(meta, "namespace");
		cJSON_AddStringToObject(meta, "namespace", "default");
	}
}

static void keep(struct file *f, cJSON *tree, enum fl_kind kind, bool node, int line)
{
	if (f->n == f->cap) {
		f->cap = f->cap ? 2 * f->cap : 16;
		f->object = fl_xrealloc(f->object, f->cap * sizeof *f->object);
	}
	defaults(tree, kind != FL_KIND_NAMESPACE && !node);
	f->object[f->n++] = (struct object){ tree, kind, node, false, line };
}

struct reading { struct file *into; struct fl_err *e; };

static int take(struct reading *r, cJSON *tree, int line)
{
	const char *kind = str(tree, "kind");
	size_t n = strlen(kind);
	cJSON *items = at(tree, "items"), *item;
	if (!cJSON_IsObject(tree) || !*kind)
		return fl_err_set(r->e, "line %d: no Kubernetes object: it has no kind", line);
	if (n >= 4 && !strcmp(kind + n - 4, "List") && cJSON_IsArray(items)) {
		while ((item = cJSON_DetachItemFromArray(items, 0))) {
			int ret = 0;
			if (!*str(item, "kind") && n > 4) {     /* typed lists leave the kind of their items out */
				char of[64];
				snprintf(of, sizeof of, "%.*s", (int)(n - 4 < 60 ? n - 4 : 60), kind);
				cJSON_AddStringToObject(item, "kind", of);
			}
			ret = take(r, item, line);
			cJSON_Delete(item);
			if (ret)
				return ret;
		}
		return 0;
	}
	bool node = !strcmp(kind, "Node");
	for (unsigned i = 0; i < FL_COUNT(kinds) + node; i++) {
		if (!node && strcmp(kind, kinds[i].kind))
			continue;
		if (!*str(at(tree, "metadata"), "name"))
			return fl_err_set(r->e, "line %d: a %s without metadata.name", line, kind);
		if (r->into->n >= OBJECTS_MAX)
			return fl_err_set(r->e, "line %d: too many objects", line);
		keep(r->into, cJSON_Duplicate(tree, true), node ? FL_KIND_NAMESPACE : kinds[i].k, node, line);
		return 0;
	}
	return 0;                       /* Deployments and the like: none of ours */
}

static int on_tree(void *arg, cJSON *tree, int line) { return take(arg, tree, line); }

static void drop_objects(struct file *f)
{
	for (unsigned i = 0; i < f->n; i++)
		cJSON_Delete(f->object[i].tree);
	free(f->object);
	f->object = NULL;
	f->n = f->cap = 0;
}

static int slurp(const char *path, char **text, size_t *n)
{
	struct stat st;
	FILE *f = fopen(path, "re");
	if (!f || fstat(fileno(f), &st) || !S_ISREG(st.st_mode) || st.st_size > FILE_MAX) {
		int err = f ? EFBIG : errno;
		if (f)
			fclose(f);
		return -err;
	}
	*text = fl_xalloc((size_t)st.st_size + 1);
	*n = fread(*text, 1, (size_t)st.st_size, f);
	fclose(f);
	return 0;
}

/* Reads a file again; on an error it keeps what it had. */
static void file_read(struct file *f, const char *path)
{
	struct fl_err e = { "" };
	struct file fresh = { 0 };
	char *text = NULL;
	size_t n = 0;
	int ret = slurp(path, &text, &n);
	if (ret)
		fl_err_set(&e, "%s", strerror(-ret));
	else
		ret = fl_yaml_read((struct fl_str){ text, n }, on_tree, &(struct reading){ &fresh, &e }, &e);
	free(text);
	if (ret) {
		fl_log(FL_ERROR, WHO, "manifest %s: %s; its last good state is kept", path, e.msg);
		drop_objects(&fresh);
		return;
	}
	drop_objects(f);
	f->object = fresh.object;
	f->n = fresh.n;
	f->cap = fresh.cap;
}

/* ---- the folder ---- */

static bool manifest_name(const char *name)
{
	struct fl_str s = fl_str(name);
	return name[0] != '.' && (fl_str_ends(s, FL_STR(".yaml")) || fl_str_ends(s, FL_STR(".yml")) || fl_str_ends(s, FL_STR(".json")));
}

static struct file *file_get(struct manifests *m, const char *name)
{
	struct file **p = &m->file;
	while (*p && strcmp((*p)->name, name) < 0)
		p = &(*p)->next;
	if (*p && !strcmp((*p)->name, name))
		return *p;
	struct file *f = fl_xalloc(sizeof *f);
	*f = (struct file){ .name = fl_xstrndup(name, strlen(name)), .next = *p };
	return *p = f;
}

static void file_free(struct file *f)
{
	drop_objects(f);
	free(f->name);
	free(f);
}

static void file_look(struct manifests *m, const char *name)
{
	char path[4096];
	struct stat st;
	snprintf(path, sizeof path, "%s/%s", m->dir, name);
	if (stat(path, &st) || S_ISDIR(st.st_mode))
		return;
	struct file *f = file_get(m, name);
	f->seen = true;
	if (f->ino == st.st_ino && f->size == st.st_size && f->mtime.tv_sec == st.st_mtim.tv_sec && f->mtime.tv_nsec == st.st_mtim.tv_nsec)
		return;
	f->ino = st.st_ino;
	f->size = st.st_size;
	f->mtime = st.st_mtim;
	file_read(f, path);
}

/* false: the folder itself cannot be read; what is known stays. */
static bool folder_look(struct manifests *m)
{
	DIR *d = opendir(m->dir);
	if (!d) {
		if (strcmp(m->complaint, strerror(errno)))
			fl_log(FL_ERROR, WHO, "manifests %s: %s", m->dir, strerror(errno));
		snprintf(m->complaint, sizeof m->complaint, "%s", strerror(errno));
		return false;
	}
	m->complaint[0] = 0;
	for (struct file *f = m->file; f; f = f->next)
		f->seen = false;
	for (struct dirent *e; (e = readdir(d));)
		if (manifest_name(e->d_name))
			file_look(m, e->d_name);
	closedir(d);
	for (struct file **p = &m->file, *f; (f = *p);) {
		if (f->seen) {
			p = &f->next;
			continue;
		}
		*p = f->next;
		file_free(f);
	}
	return true;
}

/* ---- into the store ---- */

/* All objects of one sort, over all files. */
struct all { const cJSON **tree; unsigned n; };

static struct all gather(struct manifests *m, struct fl_arena *a, enum fl_kind kind, bool node)
{
	struct all r = { 0 };
	for (int pass = 0; pass < 2; pass++) {
		r.n = 0;
		for (struct file *f = m->file; f; f = f->next)
			for (unsigned i = 0; i < f->n; i++)
				if (f->object[i].kind == kind && f->object[i].node == node) {
					if (pass)
						r.tree[r.n] = f->object[i].tree;
					r.n++;
				}
		if (!pass)
			r.tree = fl_alloc(a, (r.n + 1) * sizeof *r.tree);
	}
	return r;
}

static bool has_slices(const struct all *slices, const cJSON *service)
{
	for (unsigned i = 0; i < slices->n; i++) {
		const cJSON *meta = at(slices->tree[i], "metadata"), *sm = at(service, "metadata");
		if (!strcmp(str(meta, "namespace"), str(sm, "namespace")) &&
		    !strcmp(str(at(meta, "labels"), "kubernetes.io/service-name"), str(sm, "name")))
			return true;
	}
	return false;
}

static void unallocated(struct file *f, struct object *o)
{
	const cJSON *spec = at(o->tree, "spec"), *ips = at(spec, "clusterIPs");
	if (o->warned || !strcmp(str(spec, "type"), "ExternalName") || *str(spec, "clusterIP") || (ips && cJSON_GetArraySize(ips)))
		return;
	o->warned = true;
	fl_log(FL_WARN, WHO, "manifest %s:%d: Service %s has no clusterIP, so its name has no address", f->name, o->line,
	       str(at(o->tree, "metadata"), "name"));
}

static void put_object(struct manifests *m, struct fl_arena *a, struct file *f, struct object *o)
{
	struct fl_decoded d;
	char *json = cJSON_PrintUnformatted(o->tree);
	const char *odd = NULL;
	struct fl_arena_mark mark = fl_arena_mark(a);
	const struct fl_selector *sel = o->kind == FL_KIND_NAMESPACE ? m->namespace_labels : m->labels;
	int ret = json ? fl_decode_json(&d, a, o->kind, json, strlen(json)) : -ENOMEM;
	if (!ret && fl_selector_match(sel, d.label, d.nlabel)) {
		switch (o->kind) {
		case FL_KIND_NAMESPACE:
			fl_store_put_namespace(m->store, &d.meta);
			break;
		case FL_KIND_SERVICE:
			unallocated(f, o);
			fl_store_put_service(m->store, &d.service, &odd);
			break;
		case FL_KIND_SLICE:
			fl_store_put_slice(m->store, o->kind, &d.slice, &odd);
			break;
		case FL_KIND_POD: {
			const char *phase = str(at(o->tree, "status"), "phase");
			if (strcmp(phase, "Succeeded") && strcmp(phase, "Failed") && strcmp(phase, "Unknown"))
				fl_store_put_pod(m->store, &d.pod, &odd);
			break;
		}
		default:
			break;
		}
	}
	if (odd && !o->warned) {
		o->warned = true;
		fl_log(FL_WARN, WHO, "manifest %s:%d: %s %s has %s", f->name, o->line, str(o->tree, "kind"), str(at(o->tree, "metadata"), "name"), odd);
	}
	fl_arena_rewind(a, mark);
	cJSON_free(json);
}

static void put_kind(struct manifests *m, struct fl_arena *a, enum fl_kind kind)
{
	for (struct file *f = m->file; f; f = f->next)
		for (unsigned i = 0; i < f->n; i++)
			if (f->object[i].kind == kind && !f->object[i].node)
				put_object(m, a, f, &f->object[i]);
}

/* A namespace that an object names is there, also without a Namespace object, unless labels are asked of it. */
static void put_implied_namespaces(struct manifests *m)
{
	for (struct file *f = m->file; f && !m->namespace_labels; f = f->next)
		for (unsigned i = 0; i < f->n; i++) {
			struct fl_meta_in meta = { .name = fl_str(str(at(f->object[i].tree, "metadata"), "namespace")) };
			if (meta.name.n && f->object[i].kind != FL_KIND_NAMESPACE)
				fl_store_put_namespace(m->store, &meta);
		}
}

static void put_from_pods(struct manifests *m, struct fl_arena *a)
{
	struct all services = gather(m, a, FL_KIND_SERVICE, false), slices = gather(m, a, FL_KIND_SLICE, false),
		   pods = gather(m, a, FL_KIND_POD, false), nodes = gather(m, a, FL_KIND_NAMESPACE, true);
	for (unsigned i = 0; i < services.n; i++)
		if (!has_slices(&slices, services.tree[i]))
			fl_endpoints_put(m->store, a, services.tree[i], pods.tree, pods.n, nodes.tree, nodes.n);
}

static void apply(struct manifests *m)
{
	struct fl_arena a;
	const struct fl_store_wants *w = fl_store_wants(m->store);
	fl_arena_init(&a, NULL, 0, NULL, SIZE_MAX / 2);
	for (int k = 0; k < FL_KINDS; k++) {
		if (!w->kind[k])
			continue;
		fl_store_list_begin(m->store, (enum fl_kind)k);
		put_kind(m, &a, (enum fl_kind)k);
		if (k == FL_KIND_NAMESPACE)
			put_implied_namespaces(m);
		if (k == FL_KIND_SLICE)
			put_from_pods(m, &a);
		fl_store_list_end(m->store, (enum fl_kind)k);
	}
	fl_store_flush(m->store);
	struct fl_source_state *st = fl_store_source(m->store);
	st->last_event_ns = fl_clock_ns();
	st->events++;
	st->connected = true;
	fl_arena_finish(&a);
}

static void changed(void *arg)
{
	struct manifests *m = arg;
	if (folder_look(m))
		apply(m);
}

static void first(struct fl_timer *t) { changed((char *)t - offsetof(struct manifests, first)); }

/* ---- the source ---- */

static void destroy(struct fl_source *s)
{
	struct manifests *m = (struct manifests *)s;
	fl_watch_del(m->watch);
	fl_timer_clear(m->loop, &m->first);
	while (m->file) {
		struct file *f = m->file;
		m->file = f->next;
		file_free(f);
	}
	fl_selector_free(m->labels);
	fl_selector_free(m->namespace_labels);
	free(m->dir);
	free(m);
}

static void relist(struct fl_source *s)
{
	struct manifests *m = (struct manifests *)s;
	for (struct file *f = m->file; f; f = f->next)
		f->ino = 0;
	changed(m);
}

struct fl_source *fl_source_manifests_create(struct fl_store *store, struct fl_loop *loop, const struct fl_source_config *cfg, struct fl_err *e)
{
	static const struct fl_source_ops ops = { destroy, relist };
	struct stat st;
	struct manifests *m = fl_xalloc(sizeof *m);
	*m = (struct manifests){ .s = { &ops }, .store = store, .loop = loop, .dir = fl_xstrndup(cfg->manifests.p, cfg->manifests.n),
				 .first = { .fn = first } };
	int ret = 0;
	if (stat(m->dir, &st))
		ret = fl_err_set(e, "manifests %s: %s", m->dir, strerror(errno));
	else if (!S_ISDIR(st.st_mode))
		ret = fl_err_set(e, "manifests %s: not a folder", m->dir);
	if (!ret && cfg->labels.n && !(m->labels = fl_selector_parse(cfg->labels, e)))
		ret = -EINVAL;
	if (!ret && cfg->namespace_labels.n && !(m->namespace_labels = fl_selector_parse(cfg->namespace_labels, e)))
		ret = -EINVAL;
	if (ret) {
		destroy(&m->s);
		return NULL;
	}
	m->watch = fl_watch_add(loop, m->dir, 50 * FL_MS, changed, m);
	fl_timer_set(loop, &m->first, fl_loop_tick(loop));      /* on the loop, as every other change */
	return &m->s;
}

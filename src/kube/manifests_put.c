/* What a folder says → the store, as one list. Of objects with the same name the last counts, in the order of files and lines. */
#include "kube/manifests_int.h"
#include "base/log.h"
#include "base/rng.h"
#include "kube/decode.h"
#include "kube/endpoints.h"
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>

#define WHO "plugin/kubernetes"
enum { WARNINGS = 5, ROUNDS = 3 };
enum about { ABOUT_TWICE, ABOUT_IP, ABOUT_PART };

/* object: all objects, by kind and name. sliced: slices, by the service that they belong to. */
struct entry { struct fl_manifest *o; struct fl_manifest_file *f; };
struct table { struct entry *slot; uint32_t cap; };
struct index { struct table object, sliced; };

static uint64_t hash_of(const char *ns, const char *name, unsigned what)
{
	return fl_hash(ns, strlen(ns)) * 31 + fl_hash(name, strlen(name)) + what * 0x9e3779b97f4a7c15ull;
}

static bool alike(const struct fl_manifest *a, const struct fl_manifest *b)
{
	return a->kind == b->kind && !strcmp(a->name, b->name) && !strcmp(a->ns, b->ns);
}

/* The slot of o, or an empty one. */
static struct entry *slot_of(struct table *t, const struct fl_manifest *o)
{
	uint32_t i = (uint32_t)hash_of(o->ns, o->name, o->kind) & (t->cap - 1);
	while (t->slot[i].o && !alike(t->slot[i].o, o))
		i = (i + 1) & (t->cap - 1);
	return &t->slot[i];
}

/* The same by the service of a slice. */
static struct entry *service_slot(struct table *t, const char *ns, const char *service)
{
	uint32_t i = (uint32_t)hash_of(ns, service, 0) & (t->cap - 1);
	while (t->slot[i].o && (strcmp(t->slot[i].o->service, service) || strcmp(t->slot[i].o->ns, ns)))
		i = (i + 1) & (t->cap - 1);
	return &t->slot[i];
}

/* ---- warnings, each once ---- */

static bool first_time(struct fl_manifests *m, uint64_t h)
{
	unsigned from = 0, to = m->nwarned;
	while (from < to) {
		unsigned mid = from + (to - from) / 2;
		if (m->warned[mid] == h)
			return false;
		if (m->warned[mid] < h)
			from = mid + 1;
		else
			to = mid;
	}
	if (m->nwarned == m->warned_cap) {
		m->warned_cap = m->warned_cap ? 2 * m->warned_cap : 16;
		m->warned = fl_xrealloc(m->warned, m->warned_cap * sizeof *m->warned);
	}
	memmove(m->warned + from + 1, m->warned + from, (m->nwarned++ - from) * sizeof *m->warned);
	m->warned[from] = h;
	return true;
}

static const char *kind_name(enum fl_kind k)
{
	static const char *const names[] = { "Namespace", "Service", "EndpointSlice", "Pod", "ServiceImport", "EndpointSlice",
					     "Node" };
	return names[k];
}

static void warn(struct fl_manifests *m, const struct entry *at, enum about about, const char *words)
{
	const struct fl_manifest *o = at->o;
	if (first_time(m, hash_of(o->ns, o->name, o->kind + 16 * about)) && m->warnings++ < WARNINGS)
		fl_log(FL_WARN, WHO, "manifest %s/%s:%d: %s %s%s%s %s", m->dir, at->f->name, o->line, kind_name(o->kind), o->ns,
		       *o->ns ? "/" : "", o->name, words);
}

/* ---- who counts ---- */

static void build(struct fl_manifests *m, struct index *x)
{
	unsigned n = 0;
	for (struct fl_manifest_file *f = m->file; f; f = f->next)
		n += f->n;
	x->object.cap = 64;
	while (x->object.cap < 2 * n)
		x->object.cap *= 2;
	x->sliced.cap = x->object.cap;
	x->object.slot = fl_xalloc(x->object.cap * sizeof *x->object.slot);
	x->sliced.slot = fl_xalloc(x->sliced.cap * sizeof *x->sliced.slot);
	for (struct fl_manifest_file *f = m->file; f; f = f->next)
		for (unsigned i = 0; i < f->n; i++) {
			struct fl_manifest *o = &f->object[i];
			struct entry *e = slot_of(&x->object, o), was = *e;
			o->shadowed = false;
			*e = (struct entry){ o, f };
			if (was.o) {
				char words[320];
				was.o->shadowed = true;
				was.o->stored = false;
				snprintf(words, sizeof words, "is in %s:%d too; this one counts", was.f->name, was.o->line);
				warn(m, e, ABOUT_TWICE, words);
			}
			if (o->kind == FL_KIND_SLICE && *o->service)
				*service_slot(&x->sliced, o->ns, o->service) = (struct entry){ o, f };
		}
}

static void finish(struct index *x)
{
	free(x->object.slot);
	free(x->sliced.slot);
}

/* Endpoints have to be made for it from pods. */
static bool from_pods(struct index *x, const struct fl_manifest *o)
{
	return o->kind == FL_KIND_SERVICE && o->selects && !service_slot(&x->sliced, o->ns, o->name)->o;
}

/* What it says is needed again: to make endpoints, or when what shadows it goes. */
static bool stays(const struct fl_manifest *o)
{
	return o->shadowed || o->kind == FL_KIND_POD || o->kind == FL_KINDS || (o->kind == FL_KIND_SERVICE && o->selects);
}

/* Files of which more is needed than was kept are read again. False: there were none. (One that is broken now cannot help.) */
static bool missing(struct fl_manifests *m)
{
	bool any = false;
	for (struct fl_manifest_file *f = m->file; f; f = f->next) {
		for (unsigned i = 0; i < f->n; i++) {
			const struct fl_manifest *o = &f->object[i];
			f->again |= !f->broken && !o->json && (!o->stored || stays(o));
		}
		any |= f->again;
	}
	for (struct fl_manifest_file *f = m->file; f; f = f->next)
		if (f->again)
			fl_manifests_read_file(m, f);
	return any;
}

/* ---- putting ---- */

struct round { struct fl_manifests *m; struct index x; struct fl_arena arena; const struct fl_store_wants *wants; };

static void put_service(struct round *r, const struct entry *e, const struct fl_decoded *d, const char **odd)
{
	const struct fl_service_in *s = &d->service;
	fl_store_put_service(r->m->store, s, odd);
	if (!fl_str_is(s->type, "ExternalName") && s->ncluster_ip == 1 && !s->cluster_ip[0].n)
		warn(r->m, e, ABOUT_IP, "has no clusterIP, which an API server would have given it; its name has no address");
}

static void put_slice(struct round *r, struct fl_decoded *d, const char **odd)
{
	if (r->wants->kind[FL_KIND_SLICE])
		fl_store_put_slice(r->m->store, FL_KIND_SLICE, &d->slice, odd);
	for (unsigned i = 0; r->wants->kind[FL_KIND_MCSLICE] && i < d->nlabel; i++)
		if (fl_str_is(d->label[i].key, "multicluster.kubernetes.io/service-name")) {
			d->slice.service = d->label[i].value;
			fl_store_put_slice(r->m->store, FL_KIND_MCSLICE, &d->slice, odd);
			return;
		}
}

/* The phases that CoreDNS asks the API server to leave out. */
static bool over(const char *json)
{
	cJSON *tree = cJSON_Parse(json);
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(tree, "status"), "phase");
	const char *phase = cJSON_IsString(v) ? v->valuestring : "";
	bool yes = !strcmp(phase, "Succeeded") || !strcmp(phase, "Failed") || !strcmp(phase, "Unknown");
	cJSON_Delete(tree);
	return yes;
}

static void put(struct round *r, const struct entry *e)
{
	struct fl_decoded d;
	const struct fl_manifest *o = e->o;
	const char *odd = NULL;
	char words[128];
	const struct fl_selector *sel = o->kind == FL_KIND_NAMESPACE ? r->m->namespace_labels : r->m->labels;
	struct fl_arena_mark mark = fl_arena_mark(&r->arena);
	if (!fl_decode_json(&d, &r->arena, o->kind, o->json, strlen(o->json)) && fl_selector_match(sel, d.label, d.nlabel)) {
		if (o->kind == FL_KIND_NAMESPACE)
			fl_store_put_namespace(r->m->store, &d.meta);
		else if (o->kind == FL_KIND_SERVICE)
			put_service(r, e, &d, &odd);
		else if (o->kind == FL_KIND_SLICE)
			put_slice(r, &d, &odd);
		else if (o->kind == FL_KIND_IMPORT)
			fl_store_put_import(r->m->store, &d.service, &odd);
		else if (o->kind == FL_KIND_POD && !over(o->json))
			fl_store_put_pod(r->m->store, &d.pod, &odd);
	}
	if (odd) {
		snprintf(words, sizeof words, "has %s", odd);
		warn(r->m, e, ABOUT_PART, words);
	}
	fl_arena_rewind(&r->arena, mark);
}

static bool wanted(const struct round *r, enum fl_kind k)
{
	return k < FL_KINDS && (r->wants->kind[k] || (k == FL_KIND_SLICE && r->wants->kind[FL_KIND_MCSLICE]));
}

static void touch(struct round *r, const struct fl_manifest *o)
{
	struct fl_str ns = fl_str(o->ns), name = fl_str(o->name);
	fl_store_touch(r->m->store, o->kind, ns, name);         /* not there: a selector or its phase keeps it out */
	if (o->kind == FL_KIND_SLICE && r->wants->kind[FL_KIND_MCSLICE])
		fl_store_touch(r->m->store, FL_KIND_MCSLICE, ns, name);
}

static void put_objects(struct round *r)
{
	for (struct fl_manifest_file *f = r->m->file; f; f = f->next)
		for (unsigned i = 0; i < f->n; i++) {
			struct fl_manifest *o = &f->object[i];
			if (o->shadowed)
				continue;
			if (wanted(r, o->kind) && (o->stored || !o->json))
				touch(r, o);
			else if (wanted(r, o->kind))
				put(r, &(struct entry){ o, f });
			o->stored |= o->json != NULL;
		}
}

/* Of what a file says, only what is needed again stays. */
static void forget(struct round *r)
{
	for (struct fl_manifest_file *f = r->m->file; f; f = f->next) {
		struct fl_manifest_words all = f->texts;
		if (!f->fresh)
			continue;
		f->fresh = false;
		f->texts = (struct fl_manifest_words){ 0 };
		for (unsigned i = 0; i < f->n; i++)
			if (stays(&f->object[i]))
				fl_manifest_word(&f->texts, fl_str(f->object[i].json));
		const char *p = f->texts.p = f->texts.n ? fl_xrealloc(f->texts.p, f->texts.n) : NULL;
		for (unsigned i = 0; i < f->n; i++) {
			struct fl_manifest *o = &f->object[i];
			bool keeps = o->json && stays(o);
			o->json = keeps ? p : NULL;
			if (keeps)                      /* NULL + 0 is undefined */
				p += strlen(p) + 1;
		}
		f->texts.cap = f->texts.n;
		free(all.p);
	}
}

/* A namespace that an object names is there, also without a Namespace object, unless labels are asked of it. */
static void put_implied_namespaces(struct round *r)
{
	for (struct fl_manifest_file *f = r->m->file; f && !r->m->namespace_labels; f = f->next)
		for (unsigned i = 0; i < f->n; i++)
			if (*f->object[i].ns && !f->object[i].shadowed)
				fl_store_put_namespace(r->m->store, &(struct fl_meta_in){ .name = fl_str(f->object[i].ns) });
}

/* ---- endpoints from pods ---- */

static void put_made(void *arg, const struct fl_slice_in *slice, const struct fl_label_in *label, unsigned nlabel)
{
	struct round *r = arg;
	if (fl_selector_match(r->m->labels, label, nlabel))
		fl_store_put_slice(r->m->store, FL_KIND_SLICE, slice, NULL);
}

/* The trees of a kind, as many as *n. */
static const cJSON **trees(struct fl_manifests *m, enum fl_kind kind, unsigned *n)
{
	unsigned cap = 0;
	const cJSON **to = NULL;
	*n = 0;
	for (struct fl_manifest_file *f = m->file; f; f = f->next)
		for (unsigned i = 0; i < f->n; i++) {
			const struct fl_manifest *o = &f->object[i];
			cJSON *tree = o->kind == kind && !o->shadowed && o->json ? cJSON_Parse(o->json) : NULL;
			if (!tree)
				continue;
			if (*n == cap) {
				cap = cap ? 2 * cap : 16;
				to = fl_xrealloc(to, cap * sizeof *to);
			}
			to[(*n)++] = tree;
		}
	return to;
}

static void drop_trees(const cJSON **tree, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		cJSON_Delete((cJSON *)(uintptr_t)tree[i]);
	free(tree);
}

static void put_from_pods(struct round *r)
{
	struct fl_endpoints_world w = { 0 };
	bool gathered = false;
	for (struct fl_manifest_file *f = r->m->file; f; f = f->next)
		for (unsigned i = 0; i < f->n; i++) {
			struct fl_manifest *o = &f->object[i];
			cJSON *service = !o->shadowed && o->json && from_pods(&r->x, o) ? cJSON_Parse(o->json) : NULL;
			if (!service)
				continue;
			if (!gathered) {
				w.pod = trees(r->m, FL_KIND_POD, &w.npod);
				w.node = trees(r->m, FL_KINDS, &w.nnode);
				fl_endpoints_sort(&w);
				gathered = true;
			}
			struct fl_arena_mark mark = fl_arena_mark(&r->arena);
			fl_endpoints_make(&r->arena, service, &w, put_made, r);
			fl_arena_rewind(&r->arena, mark);
			cJSON_Delete(service);
		}
	drop_trees(w.pod, w.npod);
	drop_trees(w.node, w.nnode);
}

/* ---- the whole ---- */

void fl_manifests_put(struct fl_manifests *m)
{
	struct round r = { .m = m, .wants = fl_store_wants(m->store) };
	fl_arena_init(&r.arena, NULL, 0, NULL, SIZE_MAX / 2);
	m->warnings = 0;
	build(m, &r.x);
	for (int i = 0; i < ROUNDS && missing(m); i++) {
		finish(&r.x);
		build(m, &r.x);
	}
	for (int k = 0; k < FL_KINDS; k++)
		if (r.wants->kind[k])
			fl_store_list_begin(m->store, (enum fl_kind)k);
	put_objects(&r);
	if (r.wants->kind[FL_KIND_NAMESPACE])
		put_implied_namespaces(&r);
	if (r.wants->kind[FL_KIND_SLICE])
		put_from_pods(&r);
	for (int k = 0; k < FL_KINDS; k++)
		if (r.wants->kind[k])
			fl_store_list_end(m->store, (enum fl_kind)k);
	forget(&r);
	fl_store_flush(m->store);
	if (m->warnings > WARNINGS)
		fl_log(FL_WARN, WHO, "manifests %s: %u more warnings like these", m->dir, m->warnings - WARNINGS);
	finish(&r.x);
	fl_arena_finish(&r.arena);
}

/* YAML → trees, from libyaml's events. Plain scalars are typed as by go-yaml v2 (YAML 1.1: yes is true, 010 is 8), keys become
 * strings, << merges, aliases are copied. A text of n bytes may grow to trees of about 4n; past that it is a bomb. */
#include "kube/yaml.h"
#include "base/scalar.h"
#include <errno.h>
#include <stdlib.h>
#include <yaml.h>

enum { DEPTH_MAX = 100, ANCHORS_MAX = 1000, ROOM = 1 << 20 };

struct size { size_t cost; int height; };
struct anchor { char *name; cJSON *tree; struct size size; };
struct reading {
	yaml_parser_t parser;
	size_t budget;
	struct anchor anchor[ANCHORS_MAX];      /* of this document */
	unsigned nanchor;
	fl_tree_fn *fn;
	void *arg;
	int stop;                               /* what fn returned */
	struct fl_err *e;
};

static bool fail(struct reading *r, const yaml_mark_t *at, const char *why)
{
	if (!r->e->msg[0] && !r->stop)
		fl_err_set(r->e, "yaml: line %zu: %s", at->line + 1, why);
	return false;
}

static bool next(struct reading *r, yaml_event_t *ev)
{
	if (yaml_parser_parse(&r->parser, ev))
		return true;
	const yaml_mark_t *at = r->parser.problem_mark.line ? &r->parser.problem_mark : &r->parser.context_mark;
	return fail(r, r->parser.error == YAML_READER_ERROR ? &r->parser.mark : at,
		    r->parser.problem ? r->parser.problem : "cannot be read");
}

/* ---- scalars ---- */

static cJSON *scalar(struct reading *r, const yaml_event_t *ev)
{
	const char *s = (const char *)ev->data.scalar.value;
	double v;
	if (memchr(s, 0, ev->data.scalar.length)) {
		fail(r, &ev->start_mark, "a text with a NUL in it");
		return NULL;
	}
	if (ev->data.scalar.style != YAML_PLAIN_SCALAR_STYLE ||
	    ev->data.scalar.tag) /* of the tags only !!str is any use in a manifest */
		return cJSON_CreateString(s);
	switch (fl_scalar_of(s, &v)) {
	case FL_SCALAR_NULL:
		return cJSON_CreateNull();
	case FL_SCALAR_TRUE:
	case FL_SCALAR_FALSE:
		return cJSON_CreateBool(v != 0);
	case FL_SCALAR_INT:
	case FL_SCALAR_FLOAT:
		return cJSON_CreateNumber(v);
	case FL_SCALAR_ENDLESS:
		fail(r, &ev->start_mark, "a number that JSON cannot hold");
		return NULL;
	default:
		return cJSON_CreateString(s);
	}
}

/* ---- anchors ---- */

static bool spend(struct reading *r, const yaml_mark_t *at, size_t cost)
{
	if (cost > r->budget)
		return fail(r, at, "repeated too much");
	r->budget -= cost;
	return true;
}

static bool remember(struct reading *r, const yaml_mark_t *at, const yaml_char_t *name, const cJSON *tree, struct size size)
{
	if (!name)
		return true;
	if (r->nanchor == ANCHORS_MAX)
		return fail(r, at, "too many anchors");
	if (!spend(r, at, size.cost))
		return false;
	r->anchor[r->nanchor].name = strdup((const char *)name);
	r->anchor[r->nanchor].tree = cJSON_Duplicate(tree, true);
	r->anchor[r->nanchor++].size = size;
	return true;
}

static void forget(struct reading *r)
{
	for (; r->nanchor; r->nanchor--) {
		free(r->anchor[r->nanchor - 1].name);
		cJSON_Delete(r->anchor[r->nanchor - 1].tree);
	}
}

static cJSON *alias(struct reading *r, const yaml_event_t *ev, int depth, struct size *size)
{
	for (unsigned i = r->nanchor; i-- > 0;) {
		const struct anchor *a = &r->anchor[i];
		if (!a->name || strcmp(a->name, (const char *)ev->data.alias.anchor))
			continue;
		*size = a->size;
		if (depth + a->size.height > DEPTH_MAX) {
			fail(r, &ev->start_mark, "nested too deeply");
			return NULL;
		}
		return spend(r, &ev->start_mark, a->size.cost) ? cJSON_Duplicate(a->tree, true) : NULL;
	}
	fail(r, &ev->start_mark, "unknown anchor");
	return NULL;
}

/* ---- nodes ---- */

static cJSON *node(struct reading *r, const yaml_event_t *ev, int depth, struct size *size);

static void include(struct size *all, const struct size *one)
{
	all->cost += one->cost;
	if (all->height < one->height + 1)
		all->height = one->height + 1;
}

static bool sequence(struct reading *r, cJSON *o, int depth, struct size *size)
{
	for (yaml_event_t ev; next(r, &ev);) {
		struct size of = { 0 };
		bool end = ev.type == YAML_SEQUENCE_END_EVENT;
		cJSON *v = end ? NULL : node(r, &ev, depth + 1, &of);
		yaml_event_delete(&ev);
		if (!v)
			return end;
		include(size, &of);
		cJSON_AddItemToArray(o, v);
	}
	return false;
}

/* The elements of a list, one by one. */
static bool items(struct reading *r)
{
	for (yaml_event_t ev; next(r, &ev);) {
		struct size of = { 0 };
		bool end = ev.type == YAML_SEQUENCE_END_EVENT;
		int line = (int)ev.start_mark.line + 1;
		cJSON *v = end ? NULL : node(r, &ev, 2, &of);
		yaml_event_delete(&ev);
		if (!v)
			return end;
		r->stop = r->fn(r->arg, v, line, true);
		cJSON_Delete(v);
		if (r->stop)
			return false;
	}
	return false;
}

/* What << names: a map, or a list of maps of which the first wins. Keys that are there stay. */
static void merge(cJSON *into, const cJSON *from)
{
	const cJSON *v;
	cJSON_ArrayForEach(v, from)
		if (cJSON_IsArray(from))
			merge(into, v);
		else if (!cJSON_GetObjectItemCaseSensitive(into, v->string))
			cJSON_AddItemToObject(into, v->string, cJSON_Duplicate(v, true));
}

/* Of equal keys the last counts: it is put before the others, where look-ups find it first. */
static void put(cJSON *o, const char *key, cJSON *v)
{
	cJSON_AddItemToObject(o, key, v);
	if (o->child == v)
		return;
	cJSON_DetachItemViaPointer(o, v);
	cJSON_InsertItemInArray(o, 0, v);
}

/* A key's text: 8080 and yes are keys too. */
static bool key_of(struct reading *r, const yaml_event_t *ev, char **key, bool *merges)
{
	if (ev->type != YAML_SCALAR_EVENT)
		return fail(r, &ev->start_mark, "a key that is no scalar");
	cJSON *k = scalar(r, ev);
	if (!k)
		return false;
	*merges = ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && !strcmp((const char *)ev->data.scalar.value, "<<");
	*key = cJSON_IsString(k) ? strdup(k->valuestring) : cJSON_IsNull(k) ? strdup("null") : cJSON_PrintUnformatted(k);
	struct size one = { 1 + ev->data.scalar.length, 0 };
	bool ok = *key && remember(r, &ev->start_mark, ev->data.scalar.anchor, k, one);
	cJSON_Delete(k);
	return ok;
}

static bool value_of(struct reading *r, cJSON *o, cJSON *merges_from, const char *key, bool merges, int depth, struct size *size)
{
	yaml_event_t ev;
	struct size of = { 0 };
	bool ok = false;
	if (!next(r, &ev))
		return false;
	if (depth == 0 && !strcmp(key, "items") && ev.type == YAML_SEQUENCE_START_EVENT) {
		ok = items(r);
		if (ok)
			put(o, key, cJSON_CreateArray());
	} else {
		cJSON *v = node(r, &ev, depth + 1, &of);
		ok = v != NULL;
		if (v && merges)
			cJSON_AddItemToArray(merges_from, v);
		else if (v)
			put(o, key, v);
	}
	yaml_event_delete(&ev);
	include(size, &of);
	size->cost += strlen(key);
	return ok;
}

static bool mapping(struct reading *r, cJSON *o, int depth, struct size *size)
{
	cJSON *merges_from = cJSON_CreateArray();
	bool ok = false;
	for (yaml_event_t ev; next(r, &ev);) {
		char *key = NULL;
		bool merges = false, more = ev.type != YAML_MAPPING_END_EVENT;
		ok = !more || (key_of(r, &ev, &key, &merges) && value_of(r, o, merges_from, key, merges, depth, size));
		yaml_event_delete(&ev);
		free(key);
		if (!more)
			merge(o, merges_from);
		if (!ok || !more)
			break;
		ok = false;
	}
	cJSON_Delete(merges_from);
	return ok;
}

/* The tree of the node that begins with ev; NULL: there are words, or fn said stop. */
static cJSON *node(struct reading *r, const yaml_event_t *ev, int depth, struct size *size)
{
	const yaml_char_t *anchor = NULL;
	cJSON *o = NULL;
	bool ok = true;
	*size = (struct size){ 1, 1 };
	if (depth > DEPTH_MAX) {
		fail(r, &ev->start_mark, "nested too deeply");
		return NULL;
	}
	switch (ev->type) {
	case YAML_ALIAS_EVENT:
		return alias(r, ev, depth, size);
	case YAML_SCALAR_EVENT:
		anchor = ev->data.scalar.anchor;
		size->cost += ev->data.scalar.length;
		o = scalar(r, ev);
		break;
	case YAML_SEQUENCE_START_EVENT:
		anchor = ev->data.sequence_start.anchor;
		o = cJSON_CreateArray();
		ok = sequence(r, o, depth, size);
		break;
	case YAML_MAPPING_START_EVENT:
		anchor = ev->data.mapping_start.anchor;
		o = cJSON_CreateObject();
		ok = mapping(r, o, depth, size);
		break;
	default:
		fail(r, &ev->start_mark, "cannot be read");
	}
	if (!o || !ok || !remember(r, &ev->start_mark, anchor, o, *size)) {
		cJSON_Delete(o);
		return NULL;
	}
	return o;
}

/* ---- documents ---- */

/* false: at the end, or something is wrong. */
static bool document(struct reading *r)
{
	yaml_event_t ev;
	struct size size;
	if (!next(r, &ev))
		return false;
	if (ev.type == YAML_STREAM_END_EVENT) {
		yaml_event_delete(&ev);
		return false;
	}
	bool root =
	    ev.type != YAML_STREAM_START_EVENT && ev.type != YAML_DOCUMENT_START_EVENT && ev.type != YAML_DOCUMENT_END_EVENT;
	int line = (int)ev.start_mark.line + 1;
	cJSON *tree = root ? node(r, &ev, 0, &size) : NULL;
	yaml_event_delete(&ev);
	if (tree && !cJSON_IsNull(tree))
		r->stop = r->fn(r->arg, tree, line, false);
	cJSON_Delete(tree);
	if (root)
		forget(r);
	return !r->stop && (!root || tree);
}

int fl_yaml_read(struct fl_str text, fl_tree_fn *fn, void *arg, struct fl_err *e)
{
	struct reading *r = calloc(1, sizeof *r);
	if (!r || !yaml_parser_initialize(&r->parser)) {
		free(r);
		return fl_err_set(e, "yaml: out of memory");
	}
	e->msg[0] = 0;
	r->budget = 4 * text.n + ROOM;
	r->fn = fn;
	r->arg = arg;
	r->e = e;
	yaml_parser_set_input_string(&r->parser, (const unsigned char *)text.p, text.n);
	while (document(r))
		;
	int ret = r->stop ? r->stop : e->msg[0] ? -EINVAL : 0;
	forget(r);
	yaml_parser_delete(&r->parser);
	free(r);
	return ret;
}

/* YAML (JSON among it) → trees, as sigs.k8s.io/yaml turns manifests into JSON: YAML 1.1 plain scalars, no tags, aliases followed within a
 * budget, so that a bomb is an error. */
#include "kube/yaml.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <yaml.h>

enum { DEPTH_MAX = 64, NODES_MAX = 1000000 };

struct conversion { yaml_document_t *doc; unsigned nodes; struct fl_err *e; };

static bool one_of(struct fl_str s, const char *const *words)
{
	for (; *words; words++)
		if (fl_str_is(s, *words))
			return true;
	return false;
}

static bool number(struct fl_str s, double *v)
{
	char text[64], *end;
	size_t i = s.n && (s.p[0] == '-' || s.p[0] == '+');
	if (i == s.n || s.n >= sizeof text || ((s.p[i] < '0' || s.p[i] > '9') && s.p[i] != '.'))
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = 0;
	for (const char *p = text; *p; p++)
		if (!strchr("0123456789+-.eE", *p))
			return false;
	*v = strtod(text, &end);
	return !*end && isfinite(*v) && strpbrk(text, "0123456789");
}

static cJSON *scalar(const yaml_node_t *n)
{
	static const char *const yes[] = { "true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON", "y", "Y", NULL };
	static const char *const no[] = { "false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF", "n", "N", NULL };
	static const char *const null[] = { "", "~", "null", "Null", "NULL", NULL };
	struct fl_str s = { (const char *)n->data.scalar.value, n->data.scalar.length };
	double v;
	if (n->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
		return cJSON_CreateString(s.p);
	if (one_of(s, null))
		return cJSON_CreateNull();
	if (one_of(s, yes) || one_of(s, no))
		return cJSON_CreateBool(one_of(s, yes));
	return number(s, &v) ? cJSON_CreateNumber(v) : cJSON_CreateString(s.p);
}

static cJSON *convert(struct conversion *c, int index, int depth)
{
	const yaml_node_t *n = yaml_document_get_node(c->doc, index);
	if (!n || depth > DEPTH_MAX || ++c->nodes > NODES_MAX) {
		if (!c->e->msg[0])
			fl_err_set(c->e, "yaml: line %zu: nested or repeated too much", n ? n->start_mark.line + 1 : 0);
		return NULL;
	}
	if (n->type == YAML_SCALAR_NODE)
		return scalar(n);
	bool map = n->type == YAML_MAPPING_NODE;
	cJSON *o = map ? cJSON_CreateObject() : cJSON_CreateArray();
	if (map)
		for (yaml_node_pair_t *p = n->data.mapping.pairs.start; o && p < n->data.mapping.pairs.top; p++) {
			const yaml_node_t *k = yaml_document_get_node(c->doc, p->key);
			cJSON *v = k && k->type == YAML_SCALAR_NODE ? convert(c, p->value, depth + 1) : NULL;
			if (!v) {
				if (!c->e->msg[0])
					fl_err_set(c->e, "yaml: line %zu: a key that is no scalar", n->start_mark.line + 1);
				cJSON_Delete(o);
				return NULL;
			}
			cJSON_DeleteItemFromObjectCaseSensitive(o, (const char *)k->data.scalar.value);
			cJSON_AddItemToObject(o, (const char *)k->data.scalar.value, v);
		}
	else
		for (yaml_node_item_t *i = n->data.sequence.items.start; o && i < n->data.sequence.items.top; i++) {
			cJSON *v = convert(c, *i, depth + 1);
			if (!v) {
				cJSON_Delete(o);
				return NULL;
			}
			cJSON_AddItemToArray(o, v);
		}
	return o;
}

static int one_document(yaml_document_t *doc, int (*fn)(void *arg, cJSON *tree, int line), void *arg, struct fl_err *e)
{
	struct conversion c = { doc, 0, e };
	const yaml_node_t *root = yaml_document_get_root_node(doc);
	if (!root || (root->type == YAML_SCALAR_NODE && !root->data.scalar.length))
		return 0;
	cJSON *tree = convert(&c, 1, 0);
	if (!tree)
		return -EINVAL;
	int ret = fn(arg, tree, (int)root->start_mark.line + 1);
	cJSON_Delete(tree);
	return ret;
}

int fl_yaml_read(struct fl_str text, int (*fn)(void *arg, cJSON *tree, int line), void *arg, struct fl_err *e)
{
	yaml_parser_t p;
	yaml_document_t doc;
	int ret = 0;
	e->msg[0] = 0;
	if (!yaml_parser_initialize(&p))
		return -ENOMEM;
	yaml_parser_set_input_string(&p, (const unsigned char *)text.p, text.n);
	for (bool more = true; more && !ret;) {
		if (!yaml_parser_load(&p, &doc)) {
			ret = fl_err_set(e, "yaml: line %zu: %s", (p.problem_mark.line ? p.problem_mark.line : p.context_mark.line) + 1,
					 p.problem ? p.problem : "cannot be read");
			break;
		}
		more = yaml_document_get_root_node(&doc) != NULL;
		if (more)
			ret = one_document(&doc, fn, arg, e);
		yaml_document_delete(&doc);
	}
	yaml_parser_delete(&p);
	return ret;
}

/* Reading manifests: YAML as kubectl types it (the table was checked against sigs.k8s.io/yaml 1.6), JSON, lists, and texts that are
 * wrong. */
#include "base/mem.h"
#include "kube/decode.h"
#include "kube/yaml.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

/* ---- YAML ---- */

struct out { char text[4096]; size_t n; };

static int on_tree(void *arg, cJSON *tree, int line, bool item)
{
	struct out *o = arg;
	char *s = cJSON_PrintUnformatted(tree);
	o->n += (size_t)snprintf(o->text + o->n, sizeof o->text - o->n, "%s%s%s", o->n ? " " : "", item ? "item " : "", s);
	assert_true(line > 0);
	cJSON_free(s);
	return 0;
}

static const char *yaml(const char *text)
{
	static struct out o;
	static struct fl_err e;
	o = (struct out){ "", 0 };
	e.msg[0] = 0;
	int ret = fl_yaml_read(fl_str(text), on_tree, &o, &e);
	assert_int_equal(ret != 0, e.msg[0] != 0);
	return ret ? e.msg : o.text;
}

static void test_yaml(void **state)
{
	(void)state;
	static const struct { const char *text, *json;
	} good[] = {
	    {"a: yes", "{\"a\":true}"},
	    {"[y, n, Y, N, on, off, On, OFF, True, FALSE, tRue]",
	     "[true,false,true,false,true,false,true,false,true,false,\"tRue\"]"},
	    {"[~, null, Null, NULL, '', \"\", nUll]", "[null,null,null,null,\"\",\"\",\"nUll\"]"},
	    {"[1, 01, 08, 010, 0x1F, 0b11, 0o17, -5, +5, -0x10, 1_000, _1, 0b2]", "[1,1,8,8,31,3,15,-5,5,-16,1000,\"_1\",\"0b2\"]"},
	    {"[1.0, 1., .5, -.5, 1e3, 1e, 1.5e+3, ., -, +, 1.2.3, 00, -0]",
	     "[1,1,0.5,-0.5,1000,\"1e\",1500,\".\",\"-\",\"+\",\"1.2.3\",0,-0]"},
	    {"[10.0.0.1, \"10\", '1.0', 1:30, 10.244.0.0/16, 2001-01-01]",
	     "[\"10.0.0.1\",\"10\",\"1.0\",\"1:30\",\"10.244.0.0/16\",\"2001-01-01\"]"},
	    {"8080: x\nyes: z\n1.5: w\n", "{\"1.5\":\"w\",\"true\":\"z\",\"8080\":\"x\"}"},
	    {"a: !!str 5\nb: ! yes\n", "{\"b\":\"yes\",\"a\":\"5\"}"},
	    {"a: &x {b: 1}\nc: *x\n", "{\"c\":{\"b\":1},\"a\":{\"b\":1}}"},
	    {"a: &x {b: 1, d: 2}\nc: {<<: *x, b: 3}\n", "{\"c\":{\"b\":3,\"d\":2},\"a\":{\"d\":2,\"b\":1}}"},
	    {"x: &x {b: 1}\nz: &z {b: 5, e: 6}\nc: {<<: [*x, *z]}\n",
	     "{\"c\":{\"b\":1,\"e\":6},\"z\":{\"e\":6,\"b\":5},\"x\":{\"b\":1}}"},
	    {"{\"<<\": {b: 1}}", "{\"<<\":{\"b\":1}}"},
	    {"a: |\n  two\n  lines\nb: >-\n  one\n  line\n", "{\"b\":\"one line\",\"a\":\"two\\nlines\\n\"}"},
	    {"--- 1\n---\n---\n# nothing\n---\n2\n...\n", "1 2"},
	    {"kind: List\nitems:\n- a\n- {b: 1}\nmore: x\n",
	     "item \"a\" item {\"b\":1} {\"more\":\"x\",\"items\":[],\"kind\":\"List\"}"},
	    {"a: {items: [1]}\n", "{\"a\":{\"items\":[1]}}"},
	    {"", ""},
	    {"# only a comment\n", ""},
	};
	static const struct { const char *text, *words; } bad[] = {
		{ "a: b: c\n", "yaml: line 1: mapping values are not allowed in this context" },
		{ "a: 1\nb: [1,\n  2\nc: 3\n", "yaml: line 4: " },
		{ "a: 1\n---\n\tb: 2\n", "yaml: line 3: found character that cannot start any token" },
		{ "a: *nobody\n", "yaml: line 1: unknown anchor" },
		{ "a: &x [*x]\n", "yaml: line 1: unknown anchor" },
		{ "a: .inf\n", "yaml: line 1: a number that JSON cannot hold" },
		{ "? [a]\n: b\n", "yaml: line 1: a key that is no scalar" },
		{ "x: 1\na: \"\\0\"\n", "yaml: line 2: a text with a NUL in it" },
		{ "a: \xff\n", "yaml: line 1: " },
		{ "a: @x\n", "yaml: line 1: found character that cannot start any token" },
	};
	for (unsigned i = 0; i < FL_COUNT(good); i++)
		assert_string_equal(yaml(good[i].text), good[i].json);
	for (unsigned i = 0; i < FL_COUNT(bad); i++)
		if (strncmp(yaml(bad[i].text), bad[i].words, strlen(bad[i].words)))
			fail_msg("%s: %s instead of %s", bad[i].text, yaml(bad[i].text), bad[i].words);
}

/* What grows without end is refused in good time, and so is what nests without end. */
static void test_bombs(void **state)
{
	(void)state;
	char *text = fl_xalloc(1 << 20);
	size_t n = (size_t)sprintf(text, "a0: &a0 [x,x,x,x,x,x,x,x,x]\n");
	for (int i = 1; i < 12; i++)
		n += (size_t)sprintf(text + n, "a%d: &a%d [*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d]\n", i, i, i - 1, i - 1,
				     i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
	assert_non_null(strstr(yaml(text), "repeated too much"));
	n = (size_t)sprintf(text, "a: &a ");
	memset(text + n, 'x', 100000);
	n += 100000;
	n += (size_t)sprintf(text + n, "\nb: [");
	for (int i = 0; i < 1000; i++)
		n += (size_t)sprintf(text + n, "*a,");
	sprintf(text + n, "]\n");
	assert_non_null(strstr(yaml(text), "line 2: repeated too much"));
	memset(text, '[', 5000);
	text[5000] = 0;
	assert_non_null(strstr(yaml(text), "nested too deeply"));
	n = (size_t)sprintf(text, "x0: &x0 [1]\n");
	for (int i = 1; i < 500; i++)           /* each one deeper than the last, none deep in the text */
		n += (size_t)sprintf(text + n, "x%d: &x%d [*x%d]\n", i, i, i - 1);
	assert_non_null(strstr(yaml(text), "nested too deeply"));
	free(text);
}

/* ---- objects ---- */

static int on_object(void *arg, const struct fl_manifest_object *m)
{
	struct out *o = arg;
	o->n += (size_t)snprintf(o->text + o->n, sizeof o->text - o->n, "%s%d %.*s %.*s/%.*s%s%.*s", o->n ? "\n" : "", m->line,
				 FL_FMT(m->kind), FL_FMT(m->ns), FL_FMT(m->name),
				 m->service.n ? " of "
				 : m->selects ? " selects"
					      : "",
				 FL_FMT(m->service));
	struct fl_arena a = { .limit = 1 << 20 };
	struct fl_decoded d;
	if (m->store_kind != FL_KINDS)
		assert_int_equal(fl_decode_json(&d, &a, m->store_kind, m->json, m->n), 0);
	fl_arena_finish(&a);
	return 0;
}

static const char *objects(const char *text, unsigned *skipped)
{
	static struct out o;
	static struct fl_err e;
	unsigned none;
	o = (struct out){ "", 0 };
	return fl_manifest_read(fl_str(text), on_object, &o, skipped ? skipped : &none, &e) ? e.msg : o.text;
}

#define SVC "{\"kind\":\"Service\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"web\"}}"

static void test_objects(void **state)
{
	(void)state;
	unsigned skipped;
	assert_string_equal(
	    objects("kind: Service\napiVersion: v1\nmetadata: {name: a, namespace: ns}\nspec: {selector: {app: x}}\n---\n\n"
		    "kind: Namespace\nmetadata: {name: ns, namespace: odd}\nspec: {finalizers: [kubernetes]}\n---\nkind: "
		    "Node\nmetadata: {name: m}\n",
		    &skipped),
	    "1 Service ns/a selects\n7 Namespace /ns\n11 Node /m");
	assert_int_equal(skipped, 0);
	/* What is called alike and is another thing. */
	assert_string_equal(objects("kind: Service\napiVersion: serving.knative.dev/v1\nmetadata: {name: a}\n---\nkind: "
				    "Deployment\napiVersion: apps/v1\n---\n"
				    "kind: Pod\napiVersion: v1\nmetadata: {name: p}\n",
				    &skipped),
			    "8 Pod default/p");
	assert_int_equal(skipped, 2);
	/* Lists: of all kinds, of one kind (whose elements do not name it, before or after it is known), in a list, empty. */
	assert_string_equal(
	    objects("kind: List\napiVersion: v1\nitems:\n- kind: Service\n  metadata: {name: a}\n- kind: EndpointSlice\n"
		    "  apiVersion: discovery.k8s.io/v1\n  metadata: {name: b, labels: {kubernetes.io/service-name: a}}\n",
		    NULL),
	    "4 Service default/a\n6 EndpointSlice default/b of a");
	assert_string_equal(
	    objects("apiVersion: v1\nitems:\n- metadata: {name: a}\n- metadata: {name: b}\nkind: ServiceList\n", NULL),
	    "3 Service default/a\n4 Service default/b");
	assert_string_equal(objects("kind: PodList\nitems:\n- metadata: {name: a}\n", NULL), "3 Pod default/a");
	assert_string_equal(objects("kind: List\nitems:\n- kind: List\n  items: [{kind: Pod, metadata: {name: p}}]\n", NULL),
			    "3 Pod default/p");
	assert_string_equal(objects("kind: List\nitems: []\n", NULL), "");
	/* Elements of a thing that is no list are none of ours. */
	assert_string_equal(objects("kind: Menu\nitems: [{metadata: {name: soup}}]\n", &skipped), "");
	assert_int_equal(skipped, 1);
}

static void test_json(void **state)
{
	(void)state;
	assert_string_equal(objects(" " SVC "\n" SVC "\n\n" SVC, NULL),
			    "1 Service default/web\n2 Service default/web\n4 Service default/web");
	assert_string_equal(objects("{\"kind\":\"List\",\n\"items\":[\n" SVC ",\n" SVC "]}", NULL),
			    "3 Service default/web\n4 Service default/web");
	assert_string_equal(objects("{\"items\":[{\"metadata\":{\"name\":\"a]}\\\"\"}}],\"kind\":\"ServiceList\"}", NULL),
			    "1 Service default/a]}\"");
	assert_string_equal(objects("{\"kind\":\"Service\",\"metadata\":{\"name\":\"\\ud83d\\ude00\"}}", NULL),
			    "1 Service default/\xf0\x9f\x98\x80");
	assert_string_equal(objects("{kind: Service, metadata: {name: flow}}", NULL),
			    "1 Service default/flow"); /* YAML, though it begins so */
	static const char *const bad[] = { "{\"kind\":\"List\",\n\"items\":[\n" SVC "\n" SVC "]}",
					  "json: line 4: no comma between two elements",
					  "{\"kind\":\"List\",\"items\":[" SVC ",]}",
					  "json: line 1: a comma after the last element",
					  "{\"kind\":\"List\",\"items\":[7]}",
					  "json: line 1: an element of items that is no object",
					  "{\"kind\":\"List\"\n,\n\"items\":[]\n,,}",
					  "json: line 1: cannot be read",
					  "{\"kind\":\n\"Service\",\n}",
					  "json: line 3: cannot be read",
					  "{\"kind\":\"Service\"",
					  "json: line 1: no object, or one that does not end",
					  SVC "\nx",
					  "json: line 2: no object, or one that does not end" };
	for (unsigned i = 0; i < FL_COUNT(bad); i += 2) {
		const char *got = objects(bad[i], NULL);
		assert_string_equal(got, bad[i + 1]);
	}
}

static void test_refused(void **state)
{
	(void)state;
	static const char *const bad[] = { "a: 1\n",
					  "line 1: no Kubernetes object: it has no kind",
					  "- 1\n",
					  "line 1: no Kubernetes object: it has no kind",
					  "kind: List\nitems:\n- 5\n",
					  "line 3: no Kubernetes object: it has no kind",
					  "kind: Service\n",
					  "line 1: a Service without metadata.name",
					  "kind: Service\nmetadata: {name: y}\n",
					  "line 1: a Service whose metadata.name is no string (put it in quotes)",
					  "kind: Service\nmetadata: {name: web, namespace: on}\n",
					  "line 1: a Service whose metadata.namespace is no string (put it in quotes)",
					  "---\n# x\nkind: Pod\nmetadata: {name: p, labels: {v: 1.0}}\n",
					  "line 3: Pod p: the label \"v\" is no string (put it in quotes)",
					  "kind: Service\nmetadata: {name: s}\nspec: {selector: {on: x, a: yes}}\n",
					  "line 1: Service s: the selector \"a\" is no string (put it in quotes)" };
	for (unsigned i = 0; i < FL_COUNT(bad); i += 2)
		assert_string_equal(objects(bad[i], NULL), bad[i + 1]);
}

static int keep_json(void *arg, const struct fl_manifest_object *o)
{
	snprintf(arg, 1024, "%.*s", (int)o->n, o->json);
	return 0;
}

/* Only what is read of an object is kept of it. */
static void test_pruned(void **state)
{
	(void)state;
	char json[1024];
	unsigned skipped;
	struct fl_err e;
	assert_int_equal(fl_manifest_read(fl_str("kind: Pod\napiVersion: v1\nmetadata: {name: p, generateName: x, annotations: "
						 "{big: text}, managedFields: [1]}\n"
						 "spec: {containers: [{image: x, ports: [{containerPort: 1}]}], volumes: "
						 "[]}\nstatus: {phase: Running, qosClass: x, podIP: 10.0.0.1}\n"),
					  keep_json, json, &skipped, &e),
			 0);
	static const char *const gone[] = { "generateName", "big", "managedFields", "image", "volumes", "qosClass", "apiVersion" };
	static const char *const kept[] = { "\"name\":\"p\"", "\"namespace\":\"default\"", "containerPort", "Running", "10.0.0.1" };
	for (unsigned i = 0; i < FL_COUNT(gone); i++)
		assert_null(strstr(json, gone[i]));
	for (unsigned i = 0; i < FL_COUNT(kept); i++)
		assert_non_null(strstr(json, kept[i]));
}

static int stop(void *arg, const struct fl_manifest_object *o)
{
	(void)o;
	return ++*(int *)arg == 2 ? 42 : 0;
}

static void test_stop(void **state)
{
	(void)state;
	unsigned skipped;
	struct fl_err e;
	int n = 0;
	assert_int_equal(fl_manifest_read(fl_str(SVC SVC SVC), stop, &n, &skipped, &e), 42);
	n = 0;
	assert_int_equal(
	    fl_manifest_read(
		fl_str("kind: PodList\nitems: [{metadata: {name: a}}, {metadata: {name: b}}, {metadata: {name: c}}]\n"), stop, &n,
		&skipped, &e),
	    42);
	assert_int_equal(n, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_yaml),	   cmocka_unit_test(test_bombs),
					   cmocka_unit_test(test_objects), cmocka_unit_test(test_json),
					   cmocka_unit_test(test_refused), cmocka_unit_test(test_pruned),
					   cmocka_unit_test(test_stop) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

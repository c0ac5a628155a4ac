/* What `fairctl translate` reads besides kube-dns's keys: the first byte says whether the rest is an older Corefile, a key of coredns-custom,
 * a template, or LocalDNS's JSON. What is printed reads back, and prints the same again. */
#include "conf/cloud.h"
#include "conf/localdns.h"
#include "conf/migrate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void again(struct fl_arena *a, struct fl_str text)
{
	struct fl_stmt root;
	struct fl_err e;
	int line;
	if (fl_tree_parse(a, text, &root, &line, &e))
		__builtin_trap();
	struct fl_str twice = fl_tree_text(a, &root);
	if (twice.p && !fl_str_eq(text, twice))
		__builtin_trap();
}

static void corefile(struct fl_arena *a, struct fl_str text, bool deprecated)
{
	struct fl_stmt root;
	struct fl_err e;
	struct fl_migrate m = { .from = "1.1.3", .deprecated = deprecated };
	int line;
	if (fl_tree_parse(a, text, &root, &line, &e))
		return;
	struct fl_str out = fl_tree_text(a, &root);
	if (out.p)
		again(a, out);
	if (!fl_migrate(a, &m, &root, &line, &e) && (out = fl_tree_text(a, &root)).p)
		again(a, out);
}

static void custom(struct fl_arena *a, struct fl_str text, struct fl_str name)
{
	struct fl_cloud_key key = { name, text };
	struct fl_cloud c = { .domain = FL_STR("cluster.local"), .key = &key, .nkey = 1 };
	struct fl_str out;
	struct fl_err e;
	if (!fl_cloud_aks(a, &c, &out, &e))
		again(a, out);
}

static void localdns(struct fl_arena *a, struct fl_str text)
{
	struct fl_localdns l = { FL_STR("10.0.0.10"), FL_STR("168.63.129.16"), NULL, NULL };
	struct fl_str out;
	struct fl_err e;
	cJSON *tree = cJSON_ParseWithLength(text.p, text.n);
	if (tree && !fl_localdns_corefile(a, tree, &l, &out, &e))
		again(a, out);
	cJSON_Delete(tree);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fl_arena a = { .limit = 64 << 20 };
	struct fl_pillars p = { .local_dns = "169.254.20.10", .domain = "cluster.local", .cluster_dns = "10.0.0.10", .upstream = "/etc/resolv.conf" };
	struct fl_str out;
	struct fl_err e;
	int line;
	if (!size)
		return 0;
	struct fl_str text = { (const char *)data + 1, size - 1 };
	switch (*data % 6) {
	case 0: case 1: corefile(&a, text, *data & 1); break;
	case 2: custom(&a, text, FL_STR("a.override")); break;
	case 3: custom(&a, text, FL_STR("a.server")); break;
	case 4: fl_pillar_corefile(&a, text, &p, &out, &line, &e); break;
	case 5: localdns(&a, text); break;
	}
	fl_arena_finish(&a);
	return 0;
}

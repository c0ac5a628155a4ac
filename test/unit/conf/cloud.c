/* coredns-custom, node-local-dns and LocalDNS: what comes out, what is refused and where. Whole files: test/live/test_fairctl_translate.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include "conf/cloud.h"
#include "conf/localdns.h"

static struct fl_arena arena;

/* The text, or "KEY:LINE: message". */
static const char *aks(const char *name, const char *text, const char *name2, const char *text2)
{
	struct fl_cloud_key key[] = { { fl_str(name), fl_str(text) }, { fl_str(name2), fl_str(text2) } };
	struct fl_cloud c = { .domain = FL_STR("k8s.test"), .key = key, .nkey = name2 ? 2 : 1 };
	struct fl_str out;
	struct fl_err e;
	if (fl_cloud_aks(&arena, &c, &out, &e))
		return fl_arena_printf(&arena, "%.*s:%d: %s", FL_FMT(c.bad), c.line, e.msg).p;
	return out.p;
}

static void has(const char *text, const char *what)
{
	if (!strstr(text, what))
		fail_msg("no %s in:\n%s", what, text);
}

static void test_aks(void **state)
{
	(void)state;
	/* In the order of names, the default block first, comments kept. */
	const char *out = aks("b.server", "# b\nb.test:53 {\n log\n}\n# end\n", "a.override", "# a\nlog");
	has(out, ".:53 {\n    errors\n    ready\n");
	has(out, "    kubernetes k8s.test in-addr.arpa ip6.arpa {\n");
	has(out, "    # a\n    log\n}\n\n# b\nb.test:53 {\n    log\n}\n# end\n");
	out = aks("b.server", "b.test {\n log\n}\n", "a.server", "a.test {\n log\n}\n");
	assert_true(strstr(out, "\na.test {") < strstr(out, "\nb.test {"));
	has(aks("a.server", "import x\n(s) {\n log\n}\na.test {\n import s\n}\n", NULL, NULL), "\nimport x\n\n(s) {\n    log\n}\n");
	has(aks("a.override", "log\n\nforward . 8.8.8.8\nforward . 9.9.9.9\n", NULL, NULL), "a.override:4: plugin/forward: this plugin can only be used once");
	has(aks("a.override", "forward\n", NULL, NULL), "a.override:1: forward needs a zone and a server");
	has(aks("a.override", "forward \"a {\" 1.1.1.1\n", NULL, NULL), "a.override:1: forward: 'a {' is no zone");
	has(aks("a.override", "forward b.test 1.1.1.1\nforward B.test. 1.1.1.1\n", NULL, NULL), "a.override:2: cannot serve dns://B.test.:53 - it is already defined");
	has(aks("a.override", "log\n}\nx {\n", NULL, NULL), "a.override:3: '}' closes nothing");
	has(aks("a.override", "log {\n", NULL, NULL), "a.override:0: a brace is not closed");
	has(aks("a.server", "\ndns://.:53 {\n log\n}\n", NULL, NULL), "a.server:2: cannot serve dns://.:53 - it is already defined: the root is");
	has(aks("a.server", "a.test:5353 {\n log\n}\n", "b.server", "a.test {\n log\n}\n"), "a.test:5353 {");
	has(aks("a.server", "a.test { log }", NULL, NULL), "a.server:0: all in one line: a '|' is missing");
}

static const char *pillar(const char *text)
{
	struct fl_pillars p = { .local_dns = "1.1.1.1", .domain = "k8s.test", .upstream = "/etc/resolv.conf" };
	struct fl_str out;
	struct fl_err e;
	int line;
	if (fl_pillar_corefile(&arena, fl_str(text), &p, &out, &line, &e))
		return fl_arena_printf(&arena, "%d: %s", line, e.msg).p;
	return out.p;
}

static void test_pillars(void **state)
{
	(void)state;
	assert_string_equal(pillar("__PILLAR__DNS__DOMAIN__:53 {\n bind __PILLAR__LOCAL__DNS__ __PILLAR__DNS__SERVER__\n}"), "k8s.test:53 {\n bind 1.1.1.1 \n}");
	assert_string_equal(pillar("a\n__PILLAR__CLUSTER__DNS__"), "2: __PILLAR__CLUSTER__DNS__: give --cluster-dns");
	assert_string_equal(pillar("a\n\nb __PILLAR__X__ c"), "3: __PILLAR__X__: no such variable");
	assert_string_equal(pillar("__PILLAR__"), "1: __PILLAR__: no such variable");
	assert_string_equal(pillar(""), "");
	assert_true(fl_pillar_is_template(FL_STR("x __PILLAR__")));
	assert_false(fl_pillar_is_template(FL_STR("__PILLAR_")));
}

static void test_localdns(void **state)
{
	(void)state;
	struct fl_localdns l = { FL_STR("10.0.0.10"), FL_STR("168.63.129.16"), NULL, NULL };
	struct fl_str out;
	struct fl_err e;
	cJSON *tree = cJSON_Parse("{\"vnetDNSOverrides\":{\".\":{}},\"kubeDNSOverrides\":{\"a.b\":{\"serveStale\":\"Disabled\",\"maxConcurrent\":7}}}");
	assert_true(fl_localdns_is(tree));
	assert_int_equal(fl_localdns_corefile(&arena, tree, &l, &out, &e), 0);
	has(out.p, "health-check.localdns.local:53 {\n    bind 169.254.10.10 169.254.10.11\n    whoami\n}\n\n.:53 {\n    errors\n    bind 169.254.10.10\n");
	has(out.p, "    forward . 168.63.129.16 {\n        prefer_udp\n        policy sequential\n        max_concurrent 1000\n    }\n");
	has(out.p, "        denial 9984\n        serve_stale 3600s immediate\n        servfail 0\n");
	has(out.p, "a.b:53 {\n    errors\n    bind 169.254.10.11\n    forward . 10.0.0.10 {\n        prefer_udp\n        policy sequential\n        max_concurrent 7\n");
	has(out.p, "        denial 9984\n        servfail 0\n    }\n    loop\n    nsid localdns-pod\n    prometheus :9253\n}\n");
	cJSON_Delete(tree);
	tree = cJSON_Parse("{\"vnetDNSOverrides\":[]}");
	assert_int_not_equal(fl_localdns_corefile(&arena, tree, &l, &out, &e), 0);
	assert_string_equal(e.msg, "vnetDNSOverrides: is no object");
	cJSON_Delete(tree);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_aks), cmocka_unit_test(test_pillars), cmocka_unit_test(test_localdns) };
	fl_arena_init(&arena, NULL, 0, NULL, SIZE_MAX / 2);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	fl_arena_finish(&arena);
	return failed;
}

/* What the index knows for clients outside: services by external address, and where this server is found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include "base/rcu.h"
#include "plugin/kubernetes/index.h"

static struct fl_store *store;
static struct fl_k8s_index *idx;

static void put_service(const char *ns, const char *name, const char *cluster_ip, const char *external)
{
	struct fl_str ip = fl_str(cluster_ip), ext = fl_str(external);
	struct fl_port_in port = { .name = FL_STR("http"), .protocol = FL_STR("TCP"), .port = 80 };
	struct fl_service_in in = { .meta = { .ns = fl_str(ns), .name = fl_str(name) }, .type = FL_STR("ClusterIP"), .cluster_ip = &ip, .ncluster_ip = 1,
				    .external = &ext, .nexternal = ext.n > 0, .port = &port, .nport = 1 };
	assert_int_equal(fl_store_put_service(store, &in, NULL), 0);
}

static void put_slice(const char *ns, const char *service, const char *address)
{
	struct fl_str addr = fl_str(address);
	struct fl_endpoint_in ep = { .address = &addr, .naddress = 1, .hostname = FL_STR("me"), .flags = FL_EP_READY };
	struct fl_port_in port = { .name = FL_STR("http"), .protocol = FL_STR("TCP"), .port = 80 };
	struct fl_slice_in in = { .meta = { .ns = fl_str(ns), .name = fl_str(service) }, .service = fl_str(service), .address_type = FL_STR("IPv4"),
				  .ep = &ep, .nep = 1, .port = &port, .nport = 1 };
	assert_int_equal(fl_store_put_slice(store, FL_KIND_SLICE, &in, NULL), 0);
}

static int set_up(void **state)
{
	static const struct fl_ip local = { { 10, 0, 0, 1 }, 4 };
	static const struct fl_store_wants wants = { .kind = { [FL_KIND_NAMESPACE] = true, [FL_KIND_SERVICE] = true, [FL_KIND_SLICE] = true } };
	const struct fl_k8s_how how = { .ttl = 5, .externals = true, .local = &local, .nlocal = 1 };
	(void)state;
	fl_rcu_register();
	store = fl_store_create(&wants);
	idx = fl_k8s_index_create(store, &how);
	fl_store_put_namespace(store, &(struct fl_meta_in){ .name = FL_STR("a") });
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fl_k8s_index_destroy(idx);
	fl_store_destroy(store);
	fl_rcu_unregister();
	return 0;
}

static const struct fl_ip outside = { { 203, 0, 113, 1 }, 4 };

static void test_order(void **state)
{
	(void)state;
	const struct fl_service *s[4];
	char name[16];
	for (int i = 99; i >= 0; i--) {
		snprintf(name, sizeof name, "s%02d", i);
		put_service(i % 2 ? "a" : "hidden", name, "10.9.0.1", "203.0.113.1");
	}
	fl_store_flush(store);
	assert_int_equal(fl_k8s_by_external(idx, &outside, s, 4), 50);
	for (unsigned i = 0; i < 4; i++) {
		snprintf(name, sizeof name, "s%02u", 2 * i + 1);
		assert_true(fl_str_is(s[i]->o.name, name) && fl_str_is(s[i]->o.ns, "a"));
	}
	assert_int_equal(fl_k8s_by_external(idx, &outside, NULL, 0), 50);
}

static void test_changes(void **state)
{
	(void)state;
	const struct fl_service *s[4];
	put_service("a", "one", "10.9.0.1", "203.0.113.1");
	put_service("a", "two", "10.9.0.2", "lb.example.org");
	fl_store_flush(store);
	assert_int_equal(fl_k8s_by_external(idx, &outside, s, 4), 1);
	put_service("a", "one", "10.9.0.1", "203.0.113.2");
	put_service("a", "two", "10.9.0.2", "203.0.113.1");
	fl_store_flush(store);
	assert_int_equal(fl_k8s_by_external(idx, &outside, s, 4), 1);
	assert_true(fl_str_is(s[0]->o.name, "two"));
	fl_store_remove(store, FL_KIND_SERVICE, FL_STR("a"), FL_STR("two"));
	fl_store_flush(store);
	assert_int_equal(fl_k8s_by_external(idx, &outside, s, 4), 0);
}

static void expect_self(enum fl_k8s_view v, const char *want)
{
	const struct fl_k8s_selves *s = fl_k8s_selves(idx, v);
	char text[46] = "";
	if (s->n)
		text[fl_ip_text(text, s->at[0].ip.b, s->at[0].ip.len)] = 0;
	assert_true(s->n <= 1);
	assert_string_equal(text, want);
}

static void test_selves(void **state)
{
	(void)state;
	expect_self(FL_K8S_OUTSIDE, "10.0.0.1");        /* of no service: the machine's address */
	put_service("a", "dns", "10.9.0.1", "203.0.113.1");
	put_slice("a", "dns", "10.0.0.1");
	fl_store_flush(store);
	expect_self(FL_K8S_INSIDE, "10.9.0.1");
	expect_self(FL_K8S_OUTSIDE, "203.0.113.1");
	expect_self(FL_K8S_OUTSIDE_HEADLESS, "203.0.113.1");
	put_service("a", "dns", "None", "");
	fl_store_flush(store);
	expect_self(FL_K8S_INSIDE, "10.0.0.1");
	expect_self(FL_K8S_OUTSIDE, "");
	expect_self(FL_K8S_OUTSIDE_HEADLESS, "10.0.0.1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_changes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_selves, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What of a peered cluster's Service can be reached. */
#include "store/outward.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define S(x) FL_STR(x)

struct row {
	const char *what, *type, *cluster, *external[3], *external_name;
	bool clusterip;
	/* expected */
	const char *type_out, *ip[3], *name_out;
};

static const struct row rows[] = {
	{ "a cluster IP", "ClusterIP", "10.0.0.1", { 0 }, "", false, "ClusterIP", { 0 }, "" },
	{ "a cluster IP, wanted", "ClusterIP", "10.0.0.1", { 0 }, "", true, "ClusterIP", { "10.0.0.1" }, "" },
	{ "external addresses", "ClusterIP", "10.0.0.1", { "192.0.2.1", "2001:db8::1" }, "", true, "ClusterIP",
	  { "192.0.2.1", "2001:db8::1" }, "" },
	{ "a host name beside an address", "LoadBalancer", "10.0.0.1", { "lb.example", "192.0.2.1" }, "", false, "LoadBalancer",
	  { "192.0.2.1" }, "" },
	{ "a host name alone", "LoadBalancer", "10.0.0.1", { "lb.example", "lb2.example" }, "", true, "ExternalName", { 0 },
	  "lb.example" },
	{ "headless", "ClusterIP", "None", { "192.0.2.1" }, "", false, "ClusterIP", { "None" }, "" },
	{ "an alias to outside", "ExternalName", NULL, { 0 }, "www.example.org", false, "ExternalName", { 0 }, "www.example.org" },
	{ "an alias within", "ExternalName", NULL, { 0 }, "Db.shop.svc.cluster.LOCAL.", false, "ExternalName", { 0 },
	  "Db.shop.svc.west.example" },
	{ "a domain that only ends so", "ExternalName", NULL, { 0 }, "db.shop.svc.mycluster.local", false, "ExternalName", { 0 },
	  "db.shop.svc.mycluster.local" },
	{ "not a service", "ExternalName", NULL, { 0 }, "x.pod.cluster.local", false, "ExternalName", { 0 }, "x.pod.cluster.local" },
	{ "the domain itself", "ExternalName", NULL, { 0 }, "cluster.local", false, "ExternalName", { 0 }, "cluster.local" },
	{ "svc alone", "ExternalName", NULL, { 0 }, ".svc.cluster.local", false, "ExternalName", { 0 }, ".svc.cluster.local" },
};

static void test_rows(void **state)
{
	(void)state;
	for (unsigned i = 0; i < FL_COUNT(rows); i++) {
		const struct row *r = &rows[i];
		struct fl_outward how = { true, r->clusterip, S("cluster.local"), S("west.example") };
		struct fl_str cluster = r->cluster ? fl_str(r->cluster) : S(""), external[3];
		struct fl_service_in in = { .type = fl_str(r->type), .cluster_ip = &cluster, .ncluster_ip = r->cluster != NULL,
					    .external = external, .external_name = fl_str(r->external_name) };
		while (in.nexternal < 3 && r->external[in.nexternal]) {
			external[in.nexternal] = fl_str(r->external[in.nexternal]);
			in.nexternal++;
		}
		struct fl_outward_room room;
		fl_outward(&how, &in, &room);
		unsigned want = 0;
		while (want < 3 && r->ip[want])
			want++;
		print_message("# %s\n", r->what);
		assert_true(fl_str_is(in.type, r->type_out));
		assert_int_equal(in.ncluster_ip, want);
		for (unsigned k = 0; k < want; k++)
			assert_true(fl_str_is(in.cluster_ip[k], r->ip[k]));
		assert_true(fl_str_is(in.external_name, r->name_out));
	}
}

/* A target that would not fit stays as it is: it is no name in either form. */
static void test_long(void **state)
{
	(void)state;
	char name[400];
	memset(name, 'a', sizeof name);
	memcpy(name + sizeof name - 18, ".svc.cluster.local", 18);
	struct fl_outward how = { true, false, S("cluster.local"), S("west.example") };
	struct fl_service_in in = { .type = S("ExternalName"), .external_name = { name, sizeof name } };
	struct fl_outward_room room;
	fl_outward(&how, &in, &room);
	assert_ptr_equal(in.external_name.p, name);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_rows), cmocka_unit_test(test_long) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Endpoints from Pods, rule by rule, as the EndpointSlice controller of Kubernetes 1.37 makes them. */
#include "kube/endpoints.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

struct out {
	char text[4096];
	size_t n;
};

static void on_slice(void *arg, const struct fl_slice_in *s, const struct fl_label_in *label, unsigned nlabel)
{
	struct out *o = arg;
	assert_string_equal(label[0].key.p, "kubernetes.io/service-name");
	assert_string_equal(label[0].value.p, s->service.p);
	assert_true(nlabel >= 2);
	o->n += (size_t)snprintf(o->text + o->n, sizeof o->text - o->n, "%s%s[", o->n ? " " : "", s->address_type.p);
	for (unsigned i = 0; i < s->nport; i++)
		o->n += (size_t)snprintf(o->text + o->n, sizeof o->text - o->n, "%s%s/%s:%d", i ? "," : "", s->port[i].name.p,
					 s->port[i].protocol.p, s->port[i].port);
	o->n += (size_t)snprintf(o->text + o->n, sizeof o->text - o->n, "]");
	for (unsigned i = 0; i < s->nep; i++) {
		const struct fl_endpoint_in *e = &s->ep[i];
		o->n +=
		    (size_t)snprintf(o->text + o->n, sizeof o->text - o->n, " %s=%s%s%s%s%s%s%s", e->pod.p, e->address[0].p,
				     e->flags & FL_EP_READY ? "+r" : "", e->flags & FL_EP_SERVING ? "+s" : "",
				     e->flags & FL_EP_TERMINATING ? "+t" : "", e->hostname.n ? "," : "", e->hostname.p, e->zone.p);
	}
}

/* service, then pods and nodes, as JSON; NULL ends. */
static const char *make(const char *service, ...)
{
	static struct out o;
	const cJSON *pod[16], *node[16];
	struct fl_endpoints_world w = {.pod = pod, .node = node};
	struct fl_arena a = {.limit = 1 << 20};
	cJSON *s = cJSON_Parse(service);
	va_list ap;
	o = (struct out){.n = 0};
	assert_non_null(s);
	va_start(ap, service);
	for (const char *text; (text = va_arg(ap, const char *));) {
		cJSON *t = cJSON_Parse(text);
		if (!t)
			fail_msg("%s", text);
		if (cJSON_GetObjectItem(t, "status"))
			pod[w.npod++] = t;
		else
			node[w.nnode++] = t;
	}
	va_end(ap);
	fl_endpoints_sort(&w);
	fl_endpoints_make(&a, s, &w, on_slice, &o);
	for (unsigned i = 0; i < w.npod; i++)
		cJSON_Delete((cJSON *)(uintptr_t)pod[i]);
	for (unsigned i = 0; i < w.nnode; i++)
		cJSON_Delete((cJSON *)(uintptr_t)node[i]);
	cJSON_Delete(s);
	fl_arena_finish(&a);
	return o.text;
}

#define META(name) "\"metadata\":{\"name\":\"" name "\",\"namespace\":\"ns\",\"labels\":{\"app\":\"web\",\"x\":\"y\"}}"
#define READY "\"conditions\":[{\"type\":\"Initialized\",\"status\":\"False\"},{\"type\":\"Ready\",\"status\":\"True\"}]"
#define POD(name, spec, status) "{" META(name) ",\"spec\":{" spec "},\"status\":{" status "}}"
#define SERVICE(spec) "{\"metadata\":{\"name\":\"web\",\"namespace\":\"ns\"},\"spec\":{" spec "}}"
#define SELECTOR "\"selector\":{\"app\":\"web\"}"
#define NONE "\"clusterIP\":\"None\"," SELECTOR
#define IP(n) "\"podIP\":\"10.0.0." n "\",\"podIPs\":[{\"ip\":\"10.0.0." n "\"}]"
#define BOTH(n) "\"podIP\":\"10.0.0." n "\",\"podIPs\":[{\"ip\":\"10.0.0." n "\"},{\"ip\":\"fd00::" n "\"}]"

static void test_selection(void **state)
{
	(void)state;
	const char *pod = POD("a", "", IP("1") "," READY);
	assert_string_equal(make(SERVICE(NONE), pod, NULL), "IPv4[] a=10.0.0.1+r+s");
	assert_string_equal(make(SERVICE("\"clusterIP\":\"None\",\"selector\":{\"app\":\"web\",\"x\":\"z\"}"), pod, NULL), "");
	assert_string_equal(make(SERVICE("\"clusterIP\":\"None\",\"selector\":{\"no\":\"\"}"), pod, NULL),
			    ""); /* absent is not empty */
	assert_string_equal(make(SERVICE("\"clusterIP\":\"None\",\"selector\":{}"), pod, NULL), "");
	assert_string_equal(make(SERVICE("\"clusterIP\":\"None\""), pod, NULL), "");
	assert_string_equal(make(SERVICE("\"type\":\"ExternalName\"," SELECTOR), pod, NULL), "");
	assert_string_equal(
	    make(SERVICE(NONE),
		 "{\"metadata\":{\"name\":\"a\",\"namespace\":\"other\",\"labels\":{\"app\":\"web\"}},\"status\":{" IP("1") "}}",
		 NULL),
	    "");
	assert_string_equal(make(SERVICE(NONE), NULL), "");
	assert_string_equal(make(SERVICE(NONE), POD("a", "", READY), NULL), ""); /* no address yet */
}

static void test_conditions(void **state)
{
	(void)state;
	static const char leaving[] = "{\"metadata\":{\"name\":\"d\",\"namespace\":\"ns\",\"labels\":{\"app\":\"web\"},"
				      "\"deletionTimestamp\":\"2026-01-01T00:00:00Z\"},\"status\":{" IP("4") "," READY "}}";
	const char *ready = POD("a", "", IP("1") "," READY), *starting = POD("b", "", IP("2")),
		   *failed = POD("c", "", IP("3") "," READY ",\"phase\":\"Failed\""),
		   *done = POD("e", "", IP("5") "," READY ",\"phase\":\"Succeeded\"");
	assert_string_equal(make(SERVICE(NONE), ready, starting, failed, leaving, done, NULL),
			    "IPv4[] a=10.0.0.1+r+s b=10.0.0.2 d=10.0.0.4+s+t");
	assert_string_equal(make(SERVICE(NONE ",\"publishNotReadyAddresses\":true"), ready, starting, failed, leaving, done, NULL),
			    "IPv4[] a=10.0.0.1+r+s b=10.0.0.2+r d=10.0.0.4+r+s+t");
}

static void test_nodes(void **state)
{
	(void)state;
	const char *here = POD("a", "\"nodeName\":\"n1\"", IP("1") "," READY), *nowhere = POD("b", "", IP("2") "," READY),
		   *lost = POD("c", "\"nodeName\":\"n9\"", IP("3") "," READY);
	static const char node[] = "{\"metadata\":{\"name\":\"n1\",\"labels\":{\"topology.kubernetes.io/zone\":\"@east\"}}}";
	assert_string_equal(make(SERVICE(NONE), here, nowhere, lost, NULL), "IPv4[] a=10.0.0.1+r+s b=10.0.0.2+r+s c=10.0.0.3+r+s");
	assert_string_equal(make(SERVICE(NONE), here, nowhere, lost, node, NULL), "IPv4[] a=10.0.0.1+r+s@east");
	assert_string_equal(make(SERVICE(NONE ",\"publishNotReadyAddresses\":true"), here, nowhere, lost, node, NULL),
			    "IPv4[] a=10.0.0.1+r+s@east b=10.0.0.2+r+s c=10.0.0.3+r+s");
}

static void test_hostname(void **state)
{
	(void)state;
	assert_string_equal(make(SERVICE(NONE), POD("a", "\"hostname\":\"h\",\"subdomain\":\"web\"", IP("1")),
				 POD("b", "\"hostname\":\"h\"", IP("2")), POD("c", "\"subdomain\":\"web\"", IP("3")),
				 POD("d", "\"hostname\":\"h\",\"subdomain\":\"db\"", IP("4")), NULL),
			    "IPv4[] a=10.0.0.1,h b=10.0.0.2 c=10.0.0.3 d=10.0.0.4");
}

static void test_ports(void **state)
{
	(void)state;
#define PORTS(list) SERVICE(NONE ",\"ports\":[" list "]")
#define CONTAINER(ports) "\"containers\":[{\"ports\":[" ports "]}]"
	const char *plain = POD("a", "", IP("1"));
	assert_string_equal(make(PORTS("{\"name\":\"h\",\"port\":80}"), plain, NULL), "IPv4[h/TCP:80] a=10.0.0.1");
	assert_string_equal(make(PORTS("{\"port\":80,\"targetPort\":8080,\"protocol\":\"UDP\"}"), plain, NULL),
			    "IPv4[/UDP:8080] a=10.0.0.1");
	assert_string_equal(
	    make(PORTS("{\"port\":80,\"targetPort\":0},{\"name\":\"x\",\"port\":81,\"targetPort\":\"\"}"), plain, NULL),
	    "IPv4[/TCP:80,x/TCP:81] a=10.0.0.1");
	/* A name is looked up in each pod, with its protocol; sidecars after containers; where it is not, the port is left out. */
	const char *eight = POD(
	    "b",
	    CONTAINER("{\"name\":\"http\",\"containerPort\":8080},{\"name\":\"http\",\"containerPort\":1,\"protocol\":\"UDP\"}"),
	    IP("2"));
	const char *nine = POD("c", CONTAINER("{\"name\":\"http\",\"containerPort\":9090}"), IP("3"));
	const char *side =
	    POD("d",
		CONTAINER("") ",\"initContainers\":[{\"ports\":[{\"name\":\"http\",\"containerPort\":1}]},"
			      "{\"restartPolicy\":\"Always\",\"ports\":[{\"name\":\"http\",\"containerPort\":7070}]}]",
		IP("4"));
	const char *other = POD("e", CONTAINER("{\"name\":\"http\",\"containerPort\":8080}"), IP("5"));
	assert_string_equal(
	    make(PORTS("{\"name\":\"h\",\"port\":80,\"targetPort\":\"http\"},{\"name\":\"fix\",\"port\":5}"), plain, eight, nine,
		 side, other, NULL),
	    "IPv4[fix/TCP:5] a=10.0.0.1 IPv4[h/TCP:8080,fix/TCP:5] b=10.0.0.2 e=10.0.0.5 IPv4[h/TCP:9090,fix/TCP:5] c=10.0.0.3 "
	    "IPv4[h/TCP:7070,fix/TCP:5] d=10.0.0.4");
	assert_string_equal(make(PORTS("{\"port\":80,\"targetPort\":\"http\",\"protocol\":\"UDP\"}"), eight, NULL),
			    "IPv4[/UDP:1] b=10.0.0.2");
}

static void test_families(void **state)
{
	(void)state;
	const char *both = POD("a", "", BOTH("1")), *old = POD("b", "", "\"podIP\":\"10.0.0.2\"");
	assert_string_equal(make(SERVICE(NONE), both, old, NULL), "IPv4[] a=10.0.0.1 b=10.0.0.2 IPv6[] a=fd00::1");
	assert_string_equal(make(SERVICE(NONE ",\"ipFamilies\":[\"IPv6\"]"), both, old, NULL), "IPv6[] a=fd00::1");
	assert_string_equal(make(SERVICE("\"clusterIP\":\"10.96.0.1\"," SELECTOR), both, old, NULL),
			    "IPv4[] a=10.0.0.1 b=10.0.0.2");
	assert_string_equal(make(SERVICE("\"clusterIPs\":[\"fd00::96\"]," SELECTOR), both, old, NULL), "IPv6[] a=fd00::1");
	assert_string_equal(
	    make(SERVICE("\"clusterIP\":\"10.96.0.1\",\"clusterIPs\":[\"10.96.0.1\",\"fd00::96\"]," SELECTOR), both, NULL),
	    "IPv4[] a=10.0.0.1 IPv6[] a=fd00::1");
	assert_string_equal(make(SERVICE("\"clusterIPs\":[\"None\"]," SELECTOR), both, NULL), "IPv4[] a=10.0.0.1 IPv6[] a=fd00::1");
}

static void count(void *arg, const struct fl_slice_in *s, const struct fl_label_in *label, unsigned nlabel)
{
	(void)label;
	(void)nlabel;
	*(unsigned *)arg += s->nep;
}

/* Many pods of several namespaces, in one slice, and no more memory than they need. */
static void test_many(void **state)
{
	(void)state;
	enum { PODS = 3000 };
	static const cJSON *pod[PODS];
	struct fl_endpoints_world w = {.pod = pod, .npod = PODS};
	struct fl_arena a = {.limit = 1 << 20};
	unsigned n = 0;
	cJSON *s = cJSON_Parse(SERVICE(NONE));
	for (unsigned i = 0; i < PODS; i++) {
		char text[256];
		snprintf(text, sizeof text,
			 "{\"metadata\":{\"name\":\"p\",\"namespace\":\"%s\",\"labels\":{\"app\":\"web\"}},\"status\":{\"podIP\":"
			 "\"10.0.%u.%u\"}}",
			 i % 3 == 0   ? "ns"
			 : i % 3 == 1 ? "zz"
				      : "aa",
			 i / 256, i % 256);
		pod[i] = cJSON_Parse(text);
	}
	fl_endpoints_sort(&w);
	fl_endpoints_make(&a, s, &w, count, &n);
	assert_int_equal(n, PODS / 3);
	fl_arena_finish(&a);
	for (unsigned i = 0; i < PODS; i++)
		cJSON_Delete((cJSON *)(uintptr_t)pod[i]);
	cJSON_Delete(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_selection), cmocka_unit_test(test_conditions),
					   cmocka_unit_test(test_nodes),     cmocka_unit_test(test_hostname),
					   cmocka_unit_test(test_ports),     cmocka_unit_test(test_families),
					   cmocka_unit_test(test_many)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

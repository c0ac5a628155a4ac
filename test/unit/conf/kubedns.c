#include "../files.h"
#include <stdlib.h>
#include <sys/stat.h>
#include "conf/conf.h"
#include "conf/kubedns.h"

static struct fl_arena arena;
static char notes[1024];

static void note(void *arg, struct fl_str key, const char *text)
{
	(void)arg;
	size_t n = strlen(notes);
	snprintf(notes + n, sizeof notes - n, "%.*s: %s\n", FL_FMT(key), text);
}

/* The text, or the message. */
static const char *made(const char *name, const char *text)
{
	static struct fl_err e;
	struct fl_kubedns_key key = { fl_str(name), fl_str(text) };
	struct fl_kubedns k = { .domain = FL_STR("cluster.local."), .port = FL_STR("53"), .key = &key, .nkey = 1, .note = note };
	struct fl_str out;
	notes[0] = 0;
	return fl_kubedns_corefile(&arena, &k, &out, &e) ? e.msg : out.p;
}

/* ---- tests ---- */

/* Message, or what stands in the text. */
static const struct { const char *key, *text, *want; } cases[] = {
	{ "stubDomains", "{\"acme.local\": [\"10.0.0.1\"]}", "\nacme.local:53 {\n    errors\n    cache 30\n    forward . 10.0.0.1\n}\n" },
	{ "stubDomains", " {\"a.b\":[\"10.0.0.1:5353\",\"[fd00::1]:53\",\"fd00::2\"]}\n", "forward . 10.0.0.1:5353 [fd00::1]:53 fd00::2\n" },
	{ "stubDomains", "{\"a.b\":[\"10.0.0.1\"],\"a.b\":[\"10.0.0.2\"]}", "a.b:53 {\n    errors\n    cache 30\n    forward . 10.0.0.2\n" },
	{ "stubDomains", "{\"1.168.192.in-addr.arpa\":[\"10.0.0.1\"]}", "\n1.168.192.in-addr.arpa:53 {" },
	{ "stubDomains", "{}", "forward . /etc/resolv.conf {" },
	{ "stubDomains", "null", "forward . /etc/resolv.conf {" },
	{ "stubDomains", "{\"Acme.local\":[\"10.0.0.1\"]}", "=stubDomains: invalid domain name: \"Acme.local\"" },
	{ "stubDomains", "{\"_x.local\":[\"10.0.0.1\"]}", "=stubDomains: invalid domain name: \"_x.local\"" },
	{ "stubDomains", "{\"acme.local.\":[\"10.0.0.1\"]}", "=stubDomains: invalid domain name: \"acme.local.\"" },
	{ "stubDomains", "{\"\":[\"10.0.0.1\"]}", "=stubDomains: invalid domain name: \"\"" },
	{ "stubDomains", "{\"a {\":[\"10.0.0.1\"]}", "=stubDomains: invalid domain name: \"a {\"" },
	{ "stubDomains", "{\"a\":[\"ns.example.com:53\"]}", "=stubDomains: invalid nameserver: \"ns.example.com:53\"" },
	{ "stubDomains", "{\"a\":[\"bad_host\"]}", "=stubDomains: invalid nameserver: \"bad_host\"" },
	{ "stubDomains", "{\"a\":[\"1.2.3.4:99999\"]}", "=stubDomains: invalid nameserver: \"1.2.3.4:99999\"" },
	{ "stubDomains", "{\"a\":[\"1.2.3.4:+53\"]}", "=stubDomains: invalid nameserver: \"1.2.3.4:+53\"" },
	{ "stubDomains", "{\"a\":[\"1.2.3.4 {\"]}", "=stubDomains: invalid nameserver: \"1.2.3.4 {\"" },
	{ "stubDomains", "{\"a\":[\"1.2.3.4\\n}\"]}", "=stubDomains: invalid nameserver: \"1.2.3.4\\n}\"" },
	{ "stubDomains", "{\"a\":[\"ns.acme.local\"]}", "=stubDomains: \"a\": the name server \"ns.acme.local\" is a host name: forward takes "
		"addresses only, write its address" },
	{ "stubDomains", "{\"a\":\"1.2.3.4\"}", "=stubDomains: json: cannot unmarshal string into Go value of type []string" },
	{ "stubDomains", "{\"a\":[1]}", "=stubDomains: json: cannot unmarshal number into Go value of type string" },
	{ "stubDomains", "[]", "=stubDomains: json: cannot unmarshal array into Go value of type map[string][]string" },
	{ "stubDomains", "", "=stubDomains: unexpected end of JSON input" },
	{ "stubDomains", "{\"a\":[\"1.2.3.4\"]", "=stubDomains: unexpected end of JSON input" },
	{ "stubDomains", "{\"a\":\n[\"1.2.3.4\"],\n}", "=stubDomains:3: invalid character '}' in JSON" },
	{ "stubDomains", "{} x", "=stubDomains:1: invalid character 'x' in JSON" },
	{ "upstreamNameservers", "[\"8.8.8.8\", \"8.8.4.4:53\"]", "    forward . 8.8.8.8 8.8.4.4:53 {\n" },
	{ "upstreamNameservers", "[]", "forward . /etc/resolv.conf {" },
	{ "upstreamNameservers", "[\"1.1.1.1\",\"1.1.1.2\",\"1.1.1.3\",\"1.1.1.4\"]",
	  "=upstreamNameservers: upstreamNameserver cannot have more than three entries" },
	{ "upstreamNameservers", "[\"dns.google\"]", "=upstreamNameservers: address dns.google: missing port in address" },
	{ "upstreamNameservers", "[\"8.8.8.8:0\"]", "=upstreamNameservers: bad port number: \"0\"" },
	{ "upstreamNameservers", "[\"dns.google:53\"]", "=upstreamNameservers: bad IP address: \"dns.google:53\"" },
	{ "upstreamNameservers", "{}", "=upstreamNameservers: json: cannot unmarshal object into Go value of type []string" },
	{ "federations", "", "loadbalance" },
	{ "federations", "a", "=federations: invalid format, must be key=value: \"a\"" },
	{ "federations", "a=B.c", "=federations: invalid federation: \"a=B.c\"" },
};

static void test_keys(void **state)
{
	(void)state;
	for (unsigned i = 0; i < FL_COUNT(cases); i++) {
		const char *is = made(cases[i].key, cases[i].text), *want = cases[i].want;
		if (*want == '=' ? strcmp(is, want + 1) : !strstr(is, want))
			fail_msg("%s: %s:\nwant %s\nis   %s", cases[i].key, cases[i].text, want, is);
	}
}

static void test_notes(void **state)
{
	(void)state;
	assert_non_null(strstr(made("federations", "prod=example.com, dev = d.example.com"), "kubernetes cluster.local in-addr.arpa"));
	assert_string_equal(notes, "federations: federation \"prod\" of example.com is left out: CoreDNS removed the plugin in 1.7.0, and Kubernetes "
		"the feature\nfederations: federation \"dev\" of d.example.com is left out: CoreDNS removed the plugin in 1.7.0, and Kubernetes the feature\n");
	made("stubDomains", "{\"a.b\":[]}");
	assert_string_equal(notes, "stubDomains: \"a.b\" is left out: it has no name servers\n");
	made("foo", "x");
	assert_string_equal(notes, "foo: this key is not kube-dns's: left out\n");
}

/* What comes out is a Corefile of so many blocks, whatever went in. */
static void test_parses(void **state)
{
	(void)state;
	static const char *const known[] = { "errors", "health", "ready", "kubernetes", "prometheus", "forward", "cache", "loop", "reload",
					     "loadbalance", NULL };
	struct fl_conf c;
	struct fl_err e;
	const char *text = made("stubDomains", "{\"a.b\":[\"10.0.0.1\"],\"c.d\":[\"10.0.0.2\"]}");
	assert_int_equal(fl_conf_parse(&c, "x", fl_str(text), "/", known, &e), 0);
	assert_int_equal(c.nblock, 3);
	assert_int_equal(c.block[0].ndir, 10);
	fl_conf_finish(&c);
}

static void drop(const char *dir, const char *name)
{
	char path[256];
	snprintf(path, sizeof path, "%s/%s", dir, name);
	remove(path);
}

static void test_folder(void **state)
{
	(void)state;
	char dir[] = "/tmp/fl-kubedns-XXXXXX", data[64], want[256];
	struct fl_kubedns k = { .port = FL_STR("") };
	struct fl_str out;
	struct fl_err e;
	assert_non_null(mkdtemp(dir));
	setenv("CLUSTER_DOMAIN", "k8s.test.", 1);
	setenv("KUBECONFIG", "/kc", 1);
	assert_false(fl_kubedns_is_folder(dir));
	write_in(dir, "upstreamNameservers", "[\"9.9.9.9\"]");
	assert_true(fl_kubedns_is_folder(dir));
	assert_int_equal(fl_kubedns_folder(&arena, dir, &k, &out, &e), 0);
	assert_true(fl_str_starts(out, FL_STR(". {\n")));
	assert_non_null(strstr(out.p, "kubernetes k8s.test in-addr.arpa ip6.arpa {\n        kubeconfig \"/kc\"\n"));
	assert_non_null(strstr(out.p, "forward . 9.9.9.9 {"));
	write_in(dir, "stubDomains", "{");
	assert_int_not_equal(fl_kubedns_folder(&arena, dir, &k, &out, &e), 0);
	snprintf(want, sizeof want, "%s/stubDomains: unexpected end of JSON input", dir);
	assert_string_equal(e.msg, want);
	/* A mount counts by what ..data points at. */
	snprintf(data, sizeof data, "%s/..data", dir);
	assert_int_equal(mkdir(data, 0700), 0);
	assert_int_equal(fl_kubedns_folder(&arena, dir, &k, &out, &e), 0);
	assert_non_null(strstr(out.p, "forward . /etc/resolv.conf {"));
	write_in(dir, "Corefile", ".");
	assert_false(fl_kubedns_is_folder(dir));
	for (const char *const *name = (const char *const[]){ "Corefile", "stubDomains", "upstreamNameservers", "..data", NULL }; *name; name++)
		drop(dir, *name);
	rmdir(dir);
	unsetenv("CLUSTER_DOMAIN");
	unsetenv("KUBECONFIG");
}

/* A manifest may name a key twice: the last counts, as with what stands in it. */
static void test_key_twice(void **state)
{
	static char many[4000] = "{";
	struct fl_kubedns_key key[] = { { FL_STR("stubDomains"), FL_STR("") }, { FL_STR("upstreamNameservers"), FL_STR("[\"10.0.0.1\"]") },
					{ FL_STR("stubDomains"), FL_STR("{\"b\":[\"10.0.0.2\"]}") },
					{ FL_STR("upstreamNameservers"), FL_STR("[\"10.0.0.3:53\"]") } };
	struct fl_kubedns k = { .domain = FL_STR("cluster.local"), .port = FL_STR("53"), .key = key, .nkey = FL_COUNT(key) };
	struct fl_str out;
	struct fl_err e;
	(void)state;
	for (int i = 0; i < 100; i++)
		sprintf(many + strlen(many), "%s\"x%d\":[\"10.0.0.9\"]", i ? "," : "", i);
	strcat(many, "}");
	key[0].text = fl_str(many);
	assert_int_equal(fl_kubedns_corefile(&arena, &k, &out, &e), 0);
	assert_non_null(strstr(out.p, "\nb:53 {"));
	assert_non_null(strstr(out.p, "forward . 10.0.0.3:53 {"));
	assert_null(strstr(out.p, "10.0.0.9"));
	assert_null(strstr(out.p, "10.0.0.1"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys), cmocka_unit_test(test_notes), cmocka_unit_test(test_parses), cmocka_unit_test(test_folder),
		cmocka_unit_test(test_key_twice),
	};
	fl_arena_init(&arena, NULL, 0, NULL, SIZE_MAX / 2);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	fl_arena_finish(&arena);
	return failed;
}

/* kubelet's hosts file of a pod, and its host name: pkg/kubelet/kubelet_pods.go. */
#include "pod/hosts.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#define HEAD "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\n" \
	     "fe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n"
#define TEN "aaaaaaaaaa"
#define SIXTY TEN TEN TEN TEN TEN TEN
#define LABEL_WORDS "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an " \
	"alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"

static struct fl_arena arena = { .limit = 64 << 20 };

static const struct {
	const char *name, *hostname, *subdomain, *override;
	bool fqdn;
	const char *host, *domain, *kernel, *error;
} names[] = {
	{ "web-0", NULL, NULL, NULL, false, "web-0", "", "web-0", NULL },
	{ "web-0", "h", NULL, NULL, true, "h", "", "h", NULL },
	{ "web-0", NULL, "sub", NULL, false, "web-0", "sub.ns1.svc.cluster.local", "web-0", NULL },
	{ "web-0", "h", "sub", NULL, true, "h", "sub.ns1.svc.cluster.local", "h.sub.ns1.svc.cluster.local", NULL },
	{ "web-0", "h", "sub", "my.own.name", true, "my.own.name", "", "my.own.name", NULL },
	{ SIXTY "abc", NULL, NULL, NULL, false, SIXTY "abc", "", SIXTY "abc", NULL },
	{ SIXTY "abcd", NULL, NULL, NULL, false, SIXTY "abc", "", SIXTY "abc", NULL },
	{ SIXTY "a-.d", NULL, NULL, NULL, false, SIXTY "a", "", SIXTY "a", NULL },
	{ "x", NULL, NULL, SIXTY ".abcdef", false, SIXTY ".ab", "", SIXTY ".ab", NULL },
	{ "x", "Upper", NULL, NULL, false, NULL, NULL, NULL, "pod Hostname \"Upper\" is not a valid DNS label: " LABEL_WORDS },
	{ "x", "a.b", NULL, NULL, false, NULL, NULL, NULL, "pod Hostname \"a.b\" is not a valid DNS label: " LABEL_WORDS },
	{ "x", NULL, "-a", NULL, false, NULL, NULL, NULL, "pod Subdomain \"-a\" is not a valid DNS label: " LABEL_WORDS },
	{ "x", SIXTY "abcd", NULL, NULL, false, NULL, NULL, NULL,
	  "pod Hostname \"" SIXTY "abcd\" is not a valid DNS label: must be no more than 63 bytes" },
	{ "x", SIXTY "abc-", NULL, NULL, false, NULL, NULL, NULL,
	  "pod Hostname \"" SIXTY "abc-\" is not a valid DNS label: must be no more than 63 bytes;" LABEL_WORDS },
	{ "x", NULL, NULL, "a..b", false, NULL, NULL, NULL,
	  "pod HostnameOverride \"a..b\" is not a valid DNS subdomain: a lowercase RFC 1123 subdomain must consist of lower case alphanumeric "
	  "characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
	  "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')" },
	{ SIXTY, NULL, "s", NULL, true, NULL, NULL, NULL,
	  "failed to construct FQDN from pod hostname and cluster domain, FQDN " SIXTY ".s.ns1.svc.cluster.local is too long (64 characters is "
	  "the max, 84 characters requested)" },
};

static void every_name(void **state)
{
	(void)state;
	for (unsigned i = 0; i < FL_COUNT(names); i++) {
		struct fl_pod_hosts pod = { .ns = FL_STR("ns1"), .name = fl_str(names[i].name), .hostname = fl_str(names[i].hostname),
					    .subdomain = fl_str(names[i].subdomain), .override = fl_str(names[i].override),
					    .overridden = names[i].override != NULL, .fqdn = names[i].fqdn };
		struct fl_pod_name to;
		struct fl_err e = { "" };
		int ret = fl_pod_name(&arena, &pod, FL_STR("cluster.local"), &to, &e);
		if (names[i].error) {
			assert_int_not_equal(ret, 0);
			assert_string_equal(e.msg, names[i].error);
			continue;
		}
		if (ret || !fl_str_is(to.host, names[i].host) || !fl_str_is(to.domain, names[i].domain) || !fl_str_is(to.kernel, names[i].kernel))
			fail_msg("row %u: \"%.*s\" \"%.*s\" \"%.*s\" %s", i, FL_FMT(to.host), FL_FMT(to.domain), FL_FMT(to.kernel), e.msg);
	}
}

static const char *file(struct fl_pod_hosts *pod, const char *ips, const char *node)
{
	struct fl_pod_name name;
	struct fl_err e;
	pod->ips = (struct fl_words){ 0 };
	for (struct fl_str rest = fl_str(ips), one; rest.n;) {
		rest = fl_str_cut(rest, ' ', &one);
		fl_words_add(&arena, &pod->ips, one);
	}
	assert_int_equal(fl_pod_name(&arena, pod, FL_STR("cluster.local"), &name, &e), 0);
	return fl_pod_hosts_text(&arena, pod, &name, fl_str(node)).p;
}

static void files(void **state)
{
	(void)state;
	struct fl_host_alias alias[2] = { { .ip = FL_STR("10.1.2.3") }, { .ip = FL_STR("fd00::1") } };
	fl_words_add(&arena, &alias[0].names, FL_STR("a.example"));
	fl_words_add(&arena, &alias[0].names, FL_STR("b"));
	fl_words_add(&arena, &alias[1].names, FL_STR("a.example"));
	struct fl_pod_hosts pod = { .ns = FL_STR("ns1"), .name = FL_STR("web-0") };
	assert_string_equal(file(&pod, "", ""), HEAD);
	assert_string_equal(file(&pod, "10.244.0.5", "unused\n"), HEAD "10.244.0.5\tweb-0\n");
	pod.subdomain = FL_STR("sub");
	assert_string_equal(file(&pod, "10.244.0.5 fd00::5", ""), HEAD "10.244.0.5\tweb-0.sub.ns1.svc.cluster.local\tweb-0\n"
							       "fd00::5\tweb-0.sub.ns1.svc.cluster.local\tweb-0\n");
	pod.alias = alias;
	pod.nalias = 2;
	pod.subdomain = FL_STR("");
#define ALIASES "\n# Entries added by HostAliases.\n10.1.2.3\ta.example\tb\nfd00::1\ta.example\n"
	assert_string_equal(file(&pod, "10.244.0.5", ""), HEAD "10.244.0.5\tweb-0\n" ALIASES);
	pod.host_network = true;
#define NODE "# Kubernetes-managed hosts file (host network).\n"
	assert_string_equal(file(&pod, "10.244.0.5", "127.0.0.1 node\n"), NODE "127.0.0.1 node\n" ALIASES);
	assert_string_equal(file(&pod, "", "127.0.0.1 node"), NODE "127.0.0.1 node" ALIASES);      /* the empty line is swallowed */
	pod.nalias = 0;
	assert_string_equal(file(&pod, "", "x"), NODE "x");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(every_name), cmocka_unit_test(files) };
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	fl_arena_finish(&arena);
	return failed;
}

#include "../files.h"
#include <stdlib.h>
#include <errno.h>
#include "base/log.h"
#include "kube/config.h"

static char dir[64];

static const char *file(const char *name, const char *text)
{
	static char path[4][128];
	static int turn;
	char *p = path[turn++ % 4];
	snprintf(p, 128, "%s/%s", dir, name);
	write_file(p, text);
	return p;
}

/* ---- URLs ---- */

static void test_url(void **state)
{
	(void)state;
	static const struct { const char *text; bool tls_settings, tls; const char *host; int port; const char *authority, *base,
		*prefix; } rows[] = {
		{ "http://127.0.0.1:18080", false, false, "127.0.0.1", 18080, "127.0.0.1:18080", "http://127.0.0.1:18080", "" },
		{ "https://api.example.com", false, true, "api.example.com", 443, "api.example.com", "https://api.example.com",
			"" },
		{ "https://[fd00::1]:6443/k8s/clusters/c-1/?x=y#z", true, true, "fd00::1", 6443, "[fd00::1]:6443",
			"https://[fd00::1]:6443/k8s/clusters/c-1", "/k8s/clusters/c-1" },
		{ "http://[::1]/", true, false, "::1", 80, "[::1]", "http://[::1]", "" },
		{ "10.0.0.1:8080", false, false, "10.0.0.1", 8080, "10.0.0.1:8080", "http://10.0.0.1:8080", "" },
		{ "10.0.0.1", true, true, "10.0.0.1", 443, "10.0.0.1", "https://10.0.0.1", "" },
	};
	for (size_t i = 0; i < FL_COUNT(rows); i++) {
		struct fl_kube_config k = { .mem.limit = 65536 };
		struct fl_err e;
		assert_int_equal(fl_kube_config_url(&k, fl_str(rows[i].text), rows[i].tls_settings, &e), 0);
		assert_int_equal(k.tls, rows[i].tls);
		assert_string_equal(k.host, rows[i].host);
		assert_int_equal(k.port, rows[i].port);
		assert_string_equal(k.authority, rows[i].authority);
		assert_string_equal(k.base, rows[i].base);
		assert_string_equal(k.prefix, rows[i].prefix);
		fl_kube_config_finish(&k);
	}
	static const char *const bad[] = { "", "https://", "https://127.0.0.1:1:2/", "http:///x", "http://[::1", "http://[::1]x",
		"http://h:0",
		"http://h:70000", "http://u:p@h/", "ftp://127.0.0.1", "http://a b/", "http://h:80x" };
	for (size_t i = 0; i < FL_COUNT(bad); i++) {
		struct fl_kube_config k = { .mem.limit = 65536 };
		struct fl_err e = { "" };
		assert_int_equal(fl_kube_config_url(&k, fl_str(bad[i]), false, &e), -EINVAL);
		assert_true(e.msg[0]);
		fl_kube_config_finish(&k);
	}
}

/* ---- kubeconfig ---- */

static int load(struct fl_kube_config *k, const char *text, const char *context, struct fl_err *e)
{
	*k = (struct fl_kube_config){ .mem.limit = 1 << 20, .tls_name = "" };
	return fl_kube_config_file(k, file("kc", text), fl_str(context), e);
}

#define CONTEXT "contexts: [{name: c, context: {cluster: k, user: u, namespace: x}}]\ncurrent-context: c\n"
#define CLUSTER(more) "clusters: [{name: k, cluster: {server: \"https://127.0.0.1:1/p\"" more "}}]\n"
#define USER(text) "users: [{name: u, user: {" text "}}]\n"

static void test_good(void **state)
{
	(void)state;
	struct fl_kube_config k;
	struct fl_err e = { "" };
	file("ca.crt", "PEM");
	file("tok", "t");
	assert_int_equal(load(&k, "apiVersion: v1\nkind: Config\npreferences: {}\nextra: 1\n" CONTEXT
		CLUSTER(", certificate-authority: ca.crt, tls-server-name: api") USER("token: \"5\", tokenFile: tok"), "", &e), 0);
	assert_string_equal(k.base, "https://127.0.0.1:1/p");
	assert_string_equal(k.token, "5");
	assert_string_equal(k.tls_name, "api");
	assert_true(strstr(k.ca.file, "/ca.crt") && k.ca.file[0] == '/');
	assert_true(strstr(k.token_file, "/tok") && k.token_file[0] == '/');
	fl_kube_config_finish(&k);
	/* JSON; data; no user; the context that the program names */
	assert_int_equal(load(&k,
		"{\"clusters\":[{\"name\":\"k\",\"cluster\":{\"server\":\"https://h\",\"certificate-authority-data\":\"aGFsbG8=\"}}],"
		"\"contexts\":[{\"name\":\"one\",\"context\":{\"cluster\":\"k\",\"user\":\"gone\"}}],\"current-context\":\"two\"}",
			"one", &e), 0);
	assert_true(fl_str_is(k.ca.data, "hallo"));
	assert_null(k.token);
	fl_kube_config_finish(&k);
	/* basic; insecure; anchors */
	assert_int_equal(load(&k,
		"x: &srv https://h:8443\nclusters: [{name: k, cluster: {server: *srv, insecure-skip-tls-verify: yes}}]\n" CONTEXT
		USER("username: me, password: secret"), "", &e), 0);
	assert_true(k.insecure);
	assert_string_equal(k.authority, "h:8443");
	assert_string_equal(k.username, "me");
	assert_string_equal(k.password, "secret");
	fl_kube_config_finish(&k);
	/* somebody else */
	assert_int_equal(load(&k, CONTEXT CLUSTER("") USER("as: jane, as-uid: '7', as-groups: [dev, ops], "
		"as-user-extra: {Scopes: [a, b], acme.com/project x: [p]}"), "", &e), 0);
	static const char *const headers[][2] = { { "impersonate-user", "jane" }, { "impersonate-uid", "7" }, { "impersonate-group", "dev" },
		{ "impersonate-group", "ops" }, { "impersonate-extra-scopes", "a" }, { "impersonate-extra-scopes", "b" },
		{ "impersonate-extra-acme.com%2fproject%20x", "p" } };
	assert_int_equal(k.nheader, FL_COUNT(headers));
	for (unsigned i = 0; i < k.nheader; i++) {
		assert_string_equal(k.header[i].name, headers[i][0]);
		assert_string_equal(k.header[i].value, headers[i][1]);
	}
	fl_kube_config_finish(&k);
	/* a server without scheme is http */
	assert_int_equal(load(&k, "clusters: [{name: k, cluster: {server: 'h:1'}}]\n" CONTEXT, "", &e), 0);
	assert_false(k.tls);
	fl_kube_config_finish(&k);
}

static void test_refused(void **state)
{
	(void)state;
#define NOTHING "invalid configuration: no configuration has been provided, try setting KUBERNETES_MASTER environment variable"
	static const struct { const char *text, *context, *error; } rows[] = {
		{ "", "", NOTHING }, { "current-context: ''\n" CLUSTER(""), "", NOTHING },
		{ "contexts: [{name: c, context: {cluster: other}}]\ncurrent-context: c\n" CLUSTER(""), "", NOTHING },
		{ CONTEXT CLUSTER(""), "nope", "context \"nope\" does not exist" },
		{ "current-context: z\n" CLUSTER(""), "", "invalid configuration: [context was not found for specified context: z, "
			"cluster has no server defined]" },
		{ CONTEXT "clusters: [{name: k, cluster: {Server: x}}]\n", "",
			"invalid configuration: no server found for cluster \"k\"" },
		{ "a: [", "", "error loading config file \"F\": yaml: line 1: did not find expected node content" },
		{ "apiVersion: v2\n", "", "error loading config file \"F\": no kind \"Config\" is registered for version \"v2\"" },
		{ CONTEXT CLUSTER("") USER("token: 5"), "",
			"error loading config file \"F\": json: cannot unmarshal number into Go struct field "
			"AuthInfo.users.user.token of type string" },
		{ CONTEXT CLUSTER("") USER("token: [a]"), "",
			"error loading config file \"F\": json: cannot unmarshal array into Go struct field "
			"AuthInfo.users.user.token of type string" },
		{ CONTEXT CLUSTER(", insecure-skip-tls-verify: 'true'"), "",
			"error loading config file \"F\": json: cannot unmarshal string into "
			"Go struct field Cluster.clusters.cluster.insecure-skip-tls-verify of type bool" },
		{ CONTEXT CLUSTER(", certificate-authority-data: '@@@'"), "",
			"error loading config file \"F\": illegal base64 data at input byte 0" },
		{ CONTEXT CLUSTER(", certificate-authority: /none/ca"), "",
			"invalid configuration: unable to read certificate-authority /none/ca "
			"for k due to open /none/ca: no such file or directory" },
		{ CONTEXT CLUSTER("") USER("client-certificate: /none/c"), "",
			"invalid configuration: [client-key-data or client-key must be "
			"specified for u to use the clientCert authentication method., unable to read client-cert /none/c for u "
				"due to open /none/c: "
			"no such file or directory]" },
		{ CONTEXT CLUSTER("") USER("token: x, username: y"), "",
			"invalid configuration: more than one authentication method found for u; "
			"found [token basicAuth], only one is allowed" },
		{ CONTEXT CLUSTER("") USER("tokenFile: /none/t"), "", "open /none/t: no such file or directory" },
		{ CONTEXT CLUSTER(", insecure-skip-tls-verify: true, certificate-authority-data: aGFsbG8="), "",
			"failed to create kubernetes "
			"notification controller: \"specifying a root certificates file with the insecure flag is not allowed\"" },
		{ CONTEXT CLUSTER(", proxy-url: 'ftp://x'"), "",
			"invalid configuration: invalid 'proxy-url' \"ftp://x\" for cluster \"k\": unsupported scheme \"ftp\", must be http, https, or socks5" },
		{ CONTEXT CLUSTER("") USER("exec: {command: x}"), "",
			"invalid configuration: apiVersion must be specified for u to use exec authentication plugin" },
		{ CONTEXT CLUSTER("") USER("exec: {apiVersion: client.authentication.k8s.io/v1}"), "",
			"invalid configuration: command must be specified for u to use exec authentication plugin" },
		{ CONTEXT CLUSTER("") USER("exec: {command: x, apiVersion: client.authentication.k8s.io/v1}"), "",
			"invalid configuration: interactiveMode must be specified for u to use exec authentication plugin" },
		{ CONTEXT CLUSTER("") USER("exec: {command: x, apiVersion: client.authentication.k8s.io/v1, interactiveMode: Sometimes}"), "",
			"invalid configuration: invalid interactiveMode for u: \"Sometimes\"" },
		{ CONTEXT CLUSTER("") USER("exec: {command: x, apiVersion: client.authentication.k8s.io/v1, interactiveMode: Always}"), "",
			"exec plugin cannot support interactive mode: standard input is unavailable" },
		{ CONTEXT CLUSTER("") USER("exec: {command: x, apiVersion: client.authentication.k8s.io/v1alpha1}"), "",
			"exec plugin: invalid apiVersion \"client.authentication.k8s.io/v1alpha1\"" },
		{ CONTEXT CLUSTER("") USER("exec: {command: x, apiVersion: client.authentication.k8s.io/v1beta1, args: [5]}"), "",
			"error loading config file \"F\": json: cannot unmarshal number into Go struct field ExecConfig.users.user.exec.args of type string" },
		{ CONTEXT CLUSTER("") USER("exec: {command: x, apiVersion: client.authentication.k8s.io/v1beta1, env: [{value: x}]}"), "",
			"invalid configuration: env variable name must be specified for u to use exec authentication plugin" },
		{ CONTEXT CLUSTER("") USER("as-groups: [x]"), "",
			"invalid configuration: requesting uid, groups or user-extra for u without impersonating a user" },
		{ CONTEXT CLUSTER("") USER("as: \"x\\ny: z\""), "",
			"error loading config file \"F\": invalid header field value for \"impersonate-user\"" },
		{ CONTEXT CLUSTER("") USER("as: x, as-groups: y"), "",
			"error loading config file \"F\": json: cannot unmarshal string into Go struct field "
			"AuthInfo.users.user.as-groups of type []string" },
		{ CONTEXT CLUSTER("") USER("as: x, as-groups: [5]"), "",
			"error loading config file \"F\": json: cannot unmarshal number into Go struct field "
			"AuthInfo.users.user.as-groups of type string" },
		{ CONTEXT CLUSTER("") USER("auth-provider: {name: gcp}"), "",
			"failed to create kubernetes notification controller: \"no Auth Provider found for name \\\"gcp\\\"\"" },
		{ CONTEXT CLUSTER("") "users: [{name: u, user: {}}, {name: u, user: {}}]\n", "",
			"error loading config file \"F\": duplicate name \"u\" in list: users" },
		{ "- a\n", "", "error loading config file \"F\": json: cannot unmarshal array into Go value of type struct" },
	};
	for (size_t i = 0; i < FL_COUNT(rows); i++) {
		struct fl_kube_config k;
		struct fl_err e = { "" };
		char got[600], path[100];
		assert_int_equal(load(&k, rows[i].text, rows[i].context, &e), -EINVAL);
		fl_kube_config_finish(&k);
		snprintf(got, sizeof got, "%s", e.msg);
		snprintf(path, sizeof path, "%s/kc", dir);
		char *at = strstr(got, path);           /* the file's name is a temporary one */
		if (at) {
			*at = 'F';
			memmove(at + 1, at + strlen(path), strlen(at + strlen(path)) + 1);
		}
		assert_string_equal(got, rows[i].error);
	}
	struct fl_kube_config k = { .mem.limit = 65536 };
	struct fl_err e;
	assert_int_equal(fl_kube_config_file(&k, "/none/kc", FL_STR(""), &e), -EINVAL);
	assert_string_equal(e.msg, "stat /none/kc: no such file or directory");
	fl_kube_config_finish(&k);
}

/* ---- endpoint, in cluster ---- */

static void test_endpoint(void **state)
{
	(void)state;
	struct fl_kube_config k = { 0 };
	struct fl_err e = { "" };
	struct fl_source_config cfg = { .endpoint = FL_STR("10.1.2.3:6443"), .tls_ca = FL_STR("/x/ca"), .tls_cert = FL_STR("/x/c"),
		.tls_key = FL_STR("/x/k") };
	assert_int_equal(fl_kube_config_load(&k, &cfg, &e), -EINVAL);
	assert_string_equal(e.msg,
		"invalid configuration: [unable to read client-cert /x/c for  due to open /x/c: no such file or directory, "
		"unable to read client-key /x/k for  due to open /x/k: no such file or directory, unable to read "
			"certificate-authority /x/ca for  "
		"due to open /x/ca: no such file or directory]");
	fl_kube_config_finish(&k);
	k = (struct fl_kube_config){ 0 };
	cfg = (struct fl_source_config){ .endpoint = FL_STR("http://127.0.0.1:8080") };
	assert_int_equal(fl_kube_config_load(&k, &cfg, &e), 0);
	assert_string_equal(k.tls_name, "");
	assert_false(k.tls);
	fl_kube_config_finish(&k);
}

static void test_in_cluster(void **state)
{
	(void)state;
	struct fl_kube_config k = { .mem.limit = 65536, .tls_name = "" };
	struct fl_err e = { "" };
	assert_int_equal(fl_kube_config_in_cluster(&k, dir, "10.96.0.1", "", &e), -EINVAL);
	assert_string_equal(e.msg,
		"unable to load in-cluster configuration, KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must be defined");
	assert_int_equal(fl_kube_config_in_cluster(&k, dir, "10.96.0.1", "443", &e), -EINVAL);
	assert_non_null(strstr(e.msg, "/token: no such file or directory"));
	file("token", "abc\n");
	unlink(file("ca.crt", ""));
	assert_int_equal(fl_kube_config_in_cluster(&k, dir, "fd00::1", "443", &e), 0);
	assert_string_equal(k.base, "https://[fd00::1]:443");
	assert_null(k.ca.file);
	file("ca.crt", "x");
	assert_int_equal(fl_kube_config_in_cluster(&k, dir, "10.96.0.1", "443", &e), 0);
	assert_non_null(k.ca.file);
	fl_kube_config_finish(&k);
}

static void test_read_file(void **state)
{
	(void)state;
	struct fl_err e = { "" };
	size_t n;
	assert_null(fl_kube_read_file(dir, &n, &e));
	assert_non_null(strstr(e.msg, "is a directory"));
	char big[40001];
	memset(big, 'a', 40000);
	big[40000] = 0;
	char *text = fl_kube_read_file(file("big", big), &n, &e);
	assert_int_equal(n, 40000);
	assert_string_equal(text, big);
	free(text);
}

static void no_log(void *arg, const char *line, size_t n) { (void)arg, (void)line, (void)n; }

static int make_dir(void **state)
{
	(void)state;
	fl_log_capture(no_log, NULL);
	strcpy(dir, "/tmp/fl-config-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	(void)state;
	static const char *const names[] = { "kc", "ca.crt", "tok", "token", "big" };
	char path[128];
	for (size_t i = 0; i < FL_COUNT(names); i++) {
		snprintf(path, sizeof path, "%s/%s", dir, names[i]);
		unlink(path);
	}
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_url), cmocka_unit_test(test_good), cmocka_unit_test(test_refused),
			cmocka_unit_test(test_endpoint),
		cmocka_unit_test(test_in_cluster), cmocka_unit_test(test_read_file),
	};
	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}

/* Credential plugins: what they print, how they are run and ended; and which proxy stands before an API server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "kube/proxy.h"
#include "net/proxy.h"

#define V1 "client.authentication.k8s.io/v1"

/* ---- what it prints ---- */

static void parsing(void **state)
{
	(void)state;
#define CRED(version, status) "{\"kind\":\"ExecCredential\",\"apiVersion\":\"" version "\",\"status\":" status "}"
	static const struct { const char *text, *error; } rows[] = {
		{ CRED(V1, "{\"token\":\"t\"}"), "" },
		{ CRED(V1, "{\"token\":\"t\",\"expirationTimestamp\":\"2026-01-02T03:04:05Z\"}"), "" },
		{ CRED(V1, "{\"clientCertificateData\":\"c\",\"clientKeyData\":\"k\"}"), "" },
		{ CRED(V1, "{\"token\":\"t\",\"expirationTimestamp\":null}"), "" },
		{ "", "decoding stdout: couldn't get version/kind; json parse error" },
		{ "hello", "decoding stdout: couldn't get version/kind; json parse error" },
		{ "[1]", "decoding stdout: couldn't get version/kind; json parse error" },
		{ "{}", "decoding stdout: it is no ExecCredential" },
		{ CRED(V1 "beta1", "{\"token\":\"t\"}"), "exec plugin is configured to use API version " V1 ", plugin returned version " V1 "beta1" },
		{ "{\"kind\":\"ExecCredential\",\"apiVersion\":\"" V1 "\"}", "exec plugin didn't return a status field" },
		{ CRED(V1, "{}"), "exec plugin didn't return a token or cert/key pair" },
		{ CRED(V1, "{\"token\":\"\"}"), "exec plugin didn't return a token or cert/key pair" },
		{ CRED(V1, "{\"clientKeyData\":\"k\"}"), "exec plugin returned only certificate or key, not both" },
		{ CRED(V1, "{\"token\":\"t\",\"clientCertificateData\":\"c\"}"), "exec plugin returned only certificate or key, not both" },
		{ CRED(V1, "{\"token\":5}"), "decoding stdout: a field of its status is no text" },
		{ CRED(V1, "{\"token\":\"t\",\"expirationTimestamp\":\"soon\"}"), "decoding stdout: expirationTimestamp is no RFC 3339 time" },
	};
	for (size_t i = 0; i < FL_COUNT(rows); i++) {
		struct fl_exec_cred c;
		struct fl_err e = { "" };
		assert_int_equal(fl_exec_cred_parse(&c, rows[i].text, strlen(rows[i].text), V1, &e) != 0, rows[i].error[0] != 0);
		assert_string_equal(e.msg, rows[i].error);
		fl_exec_cred_finish(&c);
	}
	static const struct { const char *text; uint64_t unix_s; } times[] = { { "2026-01-02T03:04:05Z", 1767323045 },
		{ "2026-01-02T03:04:05.123456Z", 1767323045 }, { "2026-01-02T05:04:05+02:00", 1767323045 }, { "2026-01-01T22:34:05-04:30", 1767323045 } };
	for (size_t i = 0; i < FL_COUNT(times); i++) {
		struct fl_exec_cred c;
		struct fl_err e;
		char text[256];
		snprintf(text, sizeof text, CRED(V1, "{\"token\":\"t\",\"expirationTimestamp\":\"%s\"}"), times[i].text);
		assert_int_equal(fl_exec_cred_parse(&c, text, strlen(text), V1, &e), 0);
		assert_true(c.expires && c.expiry_s == times[i].unix_s);
		fl_exec_cred_finish(&c);
	}
}

/* ---- runs ---- */

static struct fl_loop *loop;
static char said[600];

static void done(struct fl_exec_run *r, int ret, struct fl_exec_cred *c, const struct fl_err *e)
{
	(void)r;
	snprintf(said, sizeof said, "%s", ret ? e->msg : c->token ? c->token : "certificate");
	if (!ret)
		fl_exec_cred_finish(c);
	fl_loop_stop(loop);
}

static const char *run(const char *script, uint64_t limit_ns)
{
	char *argv[] = { "sh", "-c", (char *)(uintptr_t)script, NULL }, *env[] = { "SECRET=s3", "HOME=/nowhere" };
	struct fl_kube_exec x = { .argv = argv, .env = env, .nenv = 2, .name = "sh", .api_version = V1, .cluster_info = true, .config = "{\"a\":[1]}" };
	struct fl_kube_config k = { .exec = &x, .base = "https://h:1", .tls_name = "api", .ca.data = FL_STR("PEM"), .proxy_url = "http://p" };
	struct fl_exec_run r = { .cfg = &k, .loop = loop, .limit_ns = limit_ns, .done = done };
	struct fl_err e = { "" };
	assert_int_equal(fl_exec_start(&r, &e), 0);
	fl_loop_run(loop);
	assert_int_equal(r.pid, 0);
	return said;
}

#define PRINT(token) "printf '{\"kind\":\"ExecCredential\",\"apiVersion\":\"" V1 "\",\"status\":{\"token\":\"%s\"}}' " token

static void running(void **state)
{
	(void)state;
	loop = fl_loop_create();
	assert_string_equal(run(PRINT("abc"), 0), "abc");
	assert_string_equal(run(PRINT("$SECRET$HOME"), 0), "s3/nowhere");
	assert_string_equal(run("read x; " PRINT("\"in:$x\""), 0), "in:");              /* nobody answers it */
	assert_string_equal(run(PRINT("\"$(printf %s \"$KUBERNETES_EXEC_INFO\" | tr -d '\\\"')\""), 0),
		"{kind:ExecCredential,apiVersion:" V1 ",spec:{cluster:{server:https://h:1,tls-server-name:api,"
		"certificate-authority-data:UEVN,proxy-url:http://p,config:{a:[1]}},interactive:false}}");
	assert_string_equal(run(PRINT("slow") "; exec >&-; sleep 0.1", 0), "slow");
	assert_string_equal(run(PRINT("abc") "; exit 3", 0), "exec: executable sh failed with exit code 3");
	assert_string_equal(run("kill -9 $$", 0), "exec: executable sh was ended by signal 9");
	assert_string_equal(run("echo rubbish", 0), "decoding stdout: couldn't get version/kind; json parse error");
	assert_string_equal(run("yes", 0), "exec: executable sh printed more than 1 MiB, and was killed");
	assert_string_equal(run("sleep 100 & sleep 100", FL_SEC / 5), "exec: executable sh did not finish in time, and was killed");
	assert_string_equal(run("exec >&-; sleep 100", FL_SEC / 5), "exec: executable sh did not finish in time, and was killed");
	assert_string_equal(run("trap '' TERM INT HUP; " PRINT("x") "; sleep 100", FL_SEC / 5), "exec: executable sh did not finish in time, and was killed");
	fl_loop_destroy(loop);
}

static void not_there(void **state)
{
	(void)state;
	char *argv[] = { "/none/plugin", NULL };
	struct fl_kube_exec x = { .argv = argv, .name = "plugin", .api_version = V1, .hint = "apt install it" };
	struct fl_kube_config k = { .exec = &x, .base = "https://h:1" };
	loop = fl_loop_create();
	struct fl_exec_run r = { .cfg = &k, .loop = loop, .done = done };
	struct fl_err e = { "" };
	assert_int_equal(fl_exec_start(&r, &e), -EINVAL);
	assert_string_equal(e.msg, "exec: executable plugin not found; apt install it");
	argv[0] = "/etc/passwd";
	assert_int_equal(fl_exec_start(&r, &e), -EINVAL);
	assert_string_equal(e.msg, "exec: executable plugin: Permission denied");
	fl_exec_stop(&r);
	argv[0] = "yes";
	assert_int_equal(fl_exec_start(&r, &e), 0);
	pid_t pid = r.pid;
	fl_exec_stop(&r);                       /* half-way: nothing is left */
	assert_true(!r.pid && kill(pid, 0));
	fl_loop_destroy(loop);
}

/* ---- proxies ---- */

static void which_hosts(void **state)
{
	(void)state;
	static const struct { const char *host; uint16_t port; const char *no_proxy; bool wanted; } rows[] = {
		{ "api.example.org", 443, NULL, true }, { "localhost", 443, NULL, false }, { "127.0.0.1", 6443, NULL, false }, { "127.9.9.9", 1, "", false },
		{ "::1", 1, "", false }, { "10.96.0.1", 443, "", true }, { "10.96.0.1", 443, "*", false }, { "10.96.0.1", 443, "10.96.0.1", false },
		{ "10.96.0.1", 443, "10.96.0.2, 10.0.0.0/8", false }, { "10.96.0.1", 443, "10.97.0.0/16", true }, { "10.96.0.1", 443, "0.0.0.0/0", false },
		{ "fd00::1", 443, "fd00::/8", false }, { "fd00::1", 443, "10.0.0.0/8", true }, { "fd00::1", 443, "[fd00::1]:443", false },
		{ "api.example.org", 443, "example.org", false }, { "example.org", 443, "example.org", false }, { "badexample.org", 443, "example.org", true },
		{ "api.example.org", 443, ".example.org", false }, { "example.org", 443, ".example.org", true }, { "api.example.org", 443, "*.example.org", false },
		{ "api.example.org", 443, "Example.ORG:443", false }, { "api.example.org", 443, "example.org:80", true }, { "api.example.org", 443, ",, ,x", true },
		{ "10.96.0.1", 443, "10.96.0.1:443", false }, { "10.96.0.1", 443, "10.96.0.1:80", true }, { "a", 1, ".", true }, { "a", 1, "*.", true },
	};
	for (size_t i = 0; i < FL_COUNT(rows); i++)
		if (fl_proxy_wanted(rows[i].host, rows[i].port, rows[i].no_proxy) != rows[i].wanted)
			fail_msg("%s with %s", rows[i].host, rows[i].no_proxy);
}

static void proxy_urls(void **state)
{
	(void)state;
	static const struct { const char *url, *host; unsigned port; const char *auth, *error; } rows[] = {
		{ "http://proxy", "proxy", 80, NULL, "" }, { "http://proxy:3128/", "proxy", 3128, NULL, "" }, { "proxy:3128", "proxy", 3128, NULL, "" },
		{ "http://[fd00::1]:8080", "fd00::1", 8080, NULL, "" }, { "http://[fd00::1]", "fd00::1", 80, NULL, "" },
		{ "http://me:secret@p:1", "p", 1, "Basic bWU6c2VjcmV0", "" },
		{ "https://p", NULL, 0, NULL, "a proxy of scheme \"https\" is known, but this version of fairlead does not support it yet: http only" },
		{ "socks5://p", NULL, 0, NULL, "a proxy of scheme \"socks5\" is known, but this version of fairlead does not support it yet: http only" },
		{ "http://", NULL, 0, NULL, "invalid proxy address: it names no host" }, { "http://p:x", NULL, 0, NULL, "invalid proxy address: it names no host" },
		{ "http://a b", NULL, 0, NULL, "invalid proxy address: it names no host" },
	};
	for (size_t i = 0; i < FL_COUNT(rows); i++) {
		struct fl_kube_config k = { .mem.limit = 65536, .tls = true, .host = "h", .port = 443, .proxy_url = rows[i].url };
		struct fl_err e = { "" };
		assert_int_equal(fl_kube_proxy(&k, &e) != 0, rows[i].error[0] != 0);
		assert_string_equal(e.msg, rows[i].error);
		if (rows[i].host)
			assert_string_equal(k.proxy_host, rows[i].host);
		assert_int_equal(k.proxy_port, rows[i].port);
		assert_true(!rows[i].auth == !k.proxy_auth && (!k.proxy_auth || !strcmp(k.proxy_auth, rows[i].auth)));
		fl_kube_config_finish(&k);
	}
	setenv("HTTPS_PROXY", "http://env:1", 1);
	setenv("NO_PROXY", "10.0.0.0/8", 1);
	static const char *const hosts[][2] = { { "h", "env" }, { "10.1.1.1", NULL } };
	for (unsigned i = 0; i < 2; i++) {
		struct fl_kube_config k = { .mem.limit = 65536, .tls = true, .host = hosts[i][0], .port = 443 };
		struct fl_err e;
		assert_int_equal(fl_kube_proxy(&k, &e), 0);
		assert_true(hosts[i][1] ? k.proxy_host && !strcmp(k.proxy_host, hosts[i][1]) : !k.proxy_host);
		fl_kube_config_finish(&k);
	}
	unsetenv("HTTPS_PROXY");
	unsetenv("NO_PROXY");
}

int main(void)
{
	alarm(100);
	const struct CMUnitTest tests[] = { cmocka_unit_test(parsing), cmocka_unit_test(running), cmocka_unit_test(not_there),
		cmocka_unit_test(which_hosts), cmocka_unit_test(proxy_urls) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Web configuration files: what exporter-toolkit 0.20.0 says of each (web.Validate, run on these texts), and what they come to. */
#include "../files.h"
#include <errno.h>
#include <stdlib.h>
#include "base/log.h"
#include "ctl/guard.h"

#define PAIR "tls_server_config:\n  cert_file: nope.crt\n  key_file: nope.key\n"
#define ERRORS "yaml: unmarshal errors:\n  "
#define REST "$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi"

static char path[64];

/* As the plugin asks it: all that is looked at before it serves. "" when it is good. */
static const char *verdict(const char *text)
{
	static struct fl_err e;
	struct fl_webconf c;
	e.msg[0] = 0;
	struct fl_tls_server *s = NULL;
	if (!fl_webconf_parse(&c, fl_str(text), "web.yml", &e) && !fl_webconf_check_users(&c, &e) && fl_webconf_sealed(&c))
		s = fl_webconf_tls(&c, &e);
	else
		assert_true(e.msg[0] || !fl_webconf_sealed(&c));
	fl_tls_server_put(s);
	fl_webconf_finish(&c);
	return e.msg;
}

static void test_words(void **state)
{
	(void)state;
	static const struct { const char *text, *words; } rows[] = {
		{ "", "" }, { "~", "" }, { "# nothing\n", "" }, { "tls_server_config:\nhttp_server_config:\n", "" },
		{ "tls_server_config:\n  min_version: TLS12\n", "" },
		{ "rate_limit:\n  interval: 1s\n  burst: 1.5\n", "" },
		{ "basic_auth_users:\n  a: '$2y" REST "'\n", "" },
		{ "a: 1\n---\nb: [\n", ERRORS "line 1: field a not found in type web.Config" },
		{ "junk", ERRORS "line 1: cannot unmarshal !!str `junk` into web.Config" },
		{ "[a]\n", ERRORS "line 1: cannot unmarshal !!seq into web.Config" },
		{ "foo: 1\n", ERRORS "line 1: field foo not found in type web.Config" },
		{ "<<: {foo: 1}\n", ERRORS "line 1: field foo not found in type web.Config" },
		{ "? [a]\n: b\n", ERRORS "line 1: cannot unmarshal !!seq into string" },
		{ "tls_server_config:\n  cert_filse: x\n  foo: 1\n",
		  ERRORS "line 2: field cert_filse not found in type web.TLSConfig\n  line 3: field foo not found in type web.TLSConfig" },
		{ PAIR "  cert_file: x\n", ERRORS "line 4: field cert_file already set in type web.TLSConfig" },
		{ PAIR "  min_version: [TLS12]\n", ERRORS "line 4: cannot unmarshal !!seq into string" },
		{ PAIR "  key: {a: b}\n", ERRORS "line 4: cannot unmarshal !!map into config.plain" },
		{ PAIR "  cipher_suites: FOO\n", ERRORS "line 4: cannot unmarshal !!str `FOO` into []web.Cipher" },
		{ PAIR "  client_allowed_sans: a\n", ERRORS "line 4: cannot unmarshal !!str `a` into []string" },
		{ PAIR "  prefer_server_cipher_suites: maybe\n", ERRORS "line 4: cannot unmarshal !!str `maybe` into bool" },
		{ "http_server_config:\n  http2: 5\n", ERRORS "line 2: cannot unmarshal !!int `5` into bool" },
		{ "http_server_config:\n  http2: averyveryverylongword\n", ERRORS "line 2: cannot unmarshal !!str `averyve...` into bool" },
		{ "http_server_config:\n  http2: true\n  http2: false\n", ERRORS "line 3: field http2 already set in type web.HTTPConfig" },
		{ "http_server_config:\n  headers: {X-Frame-Options: deny, Strict-Transport-Security: [a]}\n",
		  ERRORS "line 2: cannot unmarshal !!seq into string" },
		{ "basic_auth_users: [a]\n", ERRORS "line 1: cannot unmarshal !!seq into map[string]config.Secret" },
		{ "basic_auth_users:\n  a: [b]\n", ERRORS "line 2: cannot unmarshal !!seq into config.plain" },
		{ "basic_auth_users:\n  a: b\n  a: c\n", ERRORS "line 3: key \"a\" already set in map" },
		{ "rate_limit: 5\n", ERRORS "line 1: cannot unmarshal !!int `5` into web.RateLimiterConfig" },
		{ "rate_limit:\n  burst: x\n  interval: 1x\n",
		  ERRORS "line 2: cannot unmarshal !!str `x` into int\n  line 3: cannot unmarshal !!str `1x` into time.Duration" },
		{ "a: [\n", "yaml: line 1: did not find expected node content" },
		{ "\tx: y\n", "yaml: found character that cannot start any token" },
		{ "tls_server_config:\n  cert_file: a\n   key_file: x\n", "yaml: line 3: mapping values are not allowed in this context" },
		{ "x: 'abc\n", "yaml: line 2: found unexpected end of stream" },
		{ "a: b: c\n", "yaml: mapping values are not allowed in this context" },
		{ "%YAML 3.0\n---\na: b\n", "yaml: found incompatible YAML document" },
		{ PAIR "  min_version: TLS14\n", "unknown TLS version: TLS14" },
		{ PAIR "  max_version: 12\n", "unknown TLS version: 12" },
		{ PAIR "  cipher_suites: [FOO]\n", "unknown cipher: FOO" },
		{ PAIR "  cipher_suites: [TLS_RSA_WITH_AES_128_CBC_SHA]\n", "unknown cipher: TLS_RSA_WITH_AES_128_CBC_SHA" },
		{ PAIR "  curve_preferences: [P256]\n", "unknown curve: P256" },
		{ "http_server_config:\n  headers:\n    X-Foo: a\n", "HTTP header \"X-Foo\" can not be configured" },
		{ "http_server_config:\n  headers:\n    X-Frame-Options: a\n",
		  "invalid value for X-Frame-Options. Expected one of: [\"deny\" \"sameorigin\"], but got: \"a\"" },
		{ "http_server_config:\n  headers:\n    X-Content-Type-Options: no\n",
		  "invalid value for X-Content-Type-Options. Expected one of: [\"nosniff\"], but got: \"no\"" },
		{ "basic_auth_users:\n  a: short\n", "crypto/bcrypt: hashedSecret too short to be a bcrypted password" },
		{ "basic_auth_users:\n  b:\n", "crypto/bcrypt: hashedSecret too short to be a bcrypted password" },
		{ "basic_auth_users:\n  a: '$3y" REST "'\n",
		  "crypto/bcrypt: bcrypt algorithm version '3' requested is newer than current version '2'" },
		{ "basic_auth_users:\n  a: 'x2y" REST "'\n",
		  "crypto/bcrypt: bcrypt hashes must start with '$', but hashedSecret started with 'x'" },
		{ "basic_auth_users:\n  a: '$2y$03$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi'\n",
		  "crypto/bcrypt: cost 3 is outside allowed inclusive range 4..31" },
		{ "basic_auth_users:\n  a: '$2y$xx$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi'\n",
		  "strconv.Atoi: parsing \"xx\": invalid syntax" },
		{ "tls_server_config:\n  cert_file: a\n", "missing one of key or key_file" },
		{ "tls_server_config:\n  key_file: a\n", "missing one of cert or cert_file" },
		{ "tls_server_config:\n  client_auth_type: NoClientCert\n", "missing one of cert or cert_file" },
		{ PAIR, "failed to read cert_file (nope.crt): open nope.crt: no such file or directory" },
		{ "tls_server_config:\n  cert: abc\n  key_file: nope.key\n",
		  "failed to read key_file (nope.key): open nope.key: no such file or directory" },
		{ "tls_server_config:\n  cert: abc\n  key: abc\n",
		  "failed to load X509KeyPair: tls: failed to find any PEM data in certificate input" },
		{ "tls_server_config:\n  cert: abc\n  key: abc\n  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384]\n",
		  "http2: TLSConfig.CipherSuites is missing an HTTP/2-required AES_128_GCM_SHA256 cipher (need at least one of "
		  "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 or TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256)" },
		{ "tls_server_config:\n  cert: abc\n  key: abc\n  client_auth_type: Foo\n", "invalid ClientAuth: Foo" },
		{ "tls_server_config:\n  cert: abc\n  key: abc\n  client_ca: x\n",
		  "client CA's have been configured without a Client Auth Policy" },
		{ "tls_server_config:\n  cert: abc\n  key: abc\n  client_ca_file: nope.pem\n", "open nope.pem: no such file or directory" },
	};
	for (size_t i = 0; i < FL_COUNT(rows); i++)
		if (strcmp(verdict(rows[i].text), rows[i].words))
			fail_msg("%s\nsays: %s\nshould: %s", rows[i].text, verdict(rows[i].text), rows[i].words);
}

/* The file is there but for its end: nothing of it is taken. */
static void test_large(void **state)
{
	(void)state;
	struct fl_err e;
	size_t n;
	strcpy(path, "/tmp/fl-webconf-XXXXXX");
	int fd = mkstemp(path);
	assert_int_equal(ftruncate(fd, FL_WEBCONF_FILE - 1), 0);
	char *text = fl_webconf_read(path, &n, &e);
	assert_int_equal(n, FL_WEBCONF_FILE - 1);
	free(text);
	assert_int_equal(ftruncate(fd, 1 << 30), 0);
	assert_null(fl_webconf_read(path, &n, &e));
	assert_non_null(strstr(e.msg, ": file too large"));
	close(fd);
	unlink(path);
}

static void test_values(void **state)
{
	(void)state;
	static const char text[] = "tls_server_config: &t\n  cert_file: a.pem\n  key_file: /k/a.key\n  client_ca: |\n    one\n    two\n"
				   "  client_allowed_sans: [a.test, 10]\n  min_version: TLS10\n  max_version: TLS12\n"
				   "  curve_preferences: [X25519, CurveP256, X25519]\n"
				   "  cipher_suites: [TLS_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384]\n  prefer_server_cipher_suites: no\n"
				   "http_server_config: {http2: off, headers: {X-XSS-Protection: 1}}\nrate_limit: {burst: 0x10, interval: 1m}\n"
				   "basic_auth_users: {\"a: b\": c}\n";
	struct fl_webconf c;
	struct fl_err e;
	assert_int_equal(fl_webconf_parse(&c, fl_str(text), "/etc/x/web.yml", &e), 0);
	assert_string_equal(c.cert_file, "/etc/x/a.pem");
	assert_string_equal(c.key_file, "/k/a.key");
	assert_string_equal(c.ca, "one\ntwo\n");
	assert_null(c.ca_file);
	assert_int_equal(c.policy.nsans, 2);
	assert_string_equal(c.policy.sans[1], "10");
	assert_int_equal(c.policy.min, 10);
	assert_int_equal(c.policy.max, 12);
	assert_int_equal(c.policy.ncurves, 2);
	assert_int_equal(c.policy.curve[1], fl_tls_curve(FL_STR("CurveP256")));
	assert_int_equal(c.policy.suites, 1u << fl_tls_suite(FL_STR("TLS_AES_128_GCM_SHA256")) |
						  1u << fl_tls_suite(FL_STR("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384")));
	assert_false(c.prefer_server);
	assert_false(c.http2);
	assert_int_equal(c.headers.n, 1);
	assert_string_equal(c.headers.at[0].value, "1");
	assert_int_equal(c.burst, 16);
	assert_true(c.interval_ns == 60 * (int64_t)FL_SEC);
	assert_string_equal(c.users.at[0].key, "a: b");
	fl_webconf_finish(&c);
	/* What is not given; what is given as nothing is Go's zero. */
	assert_int_equal(fl_webconf_parse(&c, FL_STR("{}"), "web.yml", &e), 0);
	assert_true(c.http2 && c.prefer_server && !c.policy.sans && !c.policy.suites && !fl_webconf_sealed(&c));
	fl_webconf_finish(&c);
	assert_int_equal(fl_webconf_parse(&c, FL_STR("http_server_config:\ntls_server_config: {client_allowed_sans: []}"), "web.yml", &e), 0);
	assert_true(!c.http2 && c.policy.sans && !c.policy.nsans);
	fl_webconf_finish(&c);
}

static void test_priorities(void **state)
{
	(void)state;
	static const struct { struct fl_tls_policy p; bool rsa; enum fl_tls_when when; const char *text; } rows[] = {
#define FRONT "NORMAL:-VERS-ALL:-KX-ALL:+ECDHE-RSA:-CIPHER-ALL:%SERVER_PRECEDENCE"
		{ { 0 }, true, FL_TLS_ANY, FRONT ":+AES-128-GCM:+AES-256-GCM:+CHACHA20-POLY1305:+AES-128-CBC:+AES-256-CBC:+VERS-TLS1.3:+VERS-TLS1.2" },
		{ { .max = 12, .suites = 1u << 6 }, true, FL_TLS_ANY, FRONT ":+AES-256-GCM:+VERS-TLS1.2" },
		{ { .min = 13 }, true, FL_TLS_ANY, FRONT ":+AES-128-GCM:+AES-256-GCM:+CHACHA20-POLY1305:+VERS-TLS1.3" },
		{ { .suites = 1u << 6 }, true, FL_TLS_BEFORE_13, FRONT ":+AES-256-GCM:+VERS-TLS1.2" },
		{ { .suites = 1u << 6 }, true, FL_TLS_FROM_13, FRONT ":+AES-128-GCM:+AES-256-GCM:+CHACHA20-POLY1305:+VERS-TLS1.3" },
		{ { .suites = 1u << 6 }, false, FL_TLS_BEFORE_13, NULL },       /* a suite of RSA, and a key that is not */
		{ { .min = 13, .max = 12 }, true, FL_TLS_ANY, NULL },
		{ { .max = 12, .suites = 1u << 0 }, true, FL_TLS_ANY, NULL },
		{ { .min = 10, .max = 11, .suites = 1u << 10, .curve = { 3, 0 }, .ncurves = 2 }, true, FL_TLS_ANY,
		  FRONT ":-GROUP-ALL:+AES-128-CBC:+VERS-TLS1.1:+VERS-TLS1.0:+GROUP-X25519:+GROUP-SECP256R1" },
	};
	for (size_t i = 0; i < FL_COUNT(rows); i++) {
		char text[FL_TLS_PRIORITY];
		bool ok = fl_tls_priority(text, &rows[i].p, rows[i].rsa, rows[i].when);
		assert_int_equal(ok, rows[i].text != NULL);
		if (ok)
			assert_string_equal(text, rows[i].text);
	}
}

/* ---- the guard ---- */

static void no_log(void *arg, const char *line, size_t n) { (void)arg, (void)line, (void)n; }

static void test_rate_and_change(void **state)
{
	(void)state;
	struct fl_err e;
	fl_log_capture(no_log, NULL);
	fl_clock_virtual(FL_SEC);
	struct fl_loop *l = fl_loop_create();
	strcpy(path, "/tmp/fl-webconf-XXXXXX");
	close(mkstemp(path));
	write_file(path, "rate_limit: {burst: 2, interval: 10s}\n");
	struct fl_guard *g = fl_guard_create(l, path, &e);
	assert_non_null(g);
	assert_true(fl_guard_allows(g) && fl_guard_allows(g) && !fl_guard_allows(g));
	fl_loop_advance(l, 9 * FL_SEC);
	assert_false(fl_guard_allows(g));
	fl_loop_advance(l, FL_SEC);
	assert_true(fl_guard_allows(g) && !fl_guard_allows(g));
	/* Bad: what was there stays. Then good: it counts. TLS comes with a new generation only. */
	write_file(path, "rate_limit: [\n");
	fl_guard_look(g, true);
	fl_guard_look(g, true);
	assert_int_equal(fl_guard_conf(g)->burst, 2);
	assert_int_equal(fl_guard_renew(g, &e), -EINVAL);
	assert_string_equal(e.msg, "yaml: line 1: did not find expected node content");
	write_file(path, "http_server_config: {http2: false}\ntls_server_config: {cert: a, key: b}\n");
	fl_guard_look(g, true);
	assert_true(fl_guard_allows(g) && fl_guard_allows(g) && fl_guard_allows(g));
	assert_true(!fl_guard_http2(g) && !fl_guard_tls(g));
	assert_int_equal(fl_guard_renew(g, &e), -EINVAL);
	assert_false(fl_guard_http2(g));
	unlink(path);
	fl_guard_look(g, true);
	assert_int_equal(fl_guard_renew(g, &e), -EINVAL);
	fl_guard_destroy(g);
	assert_null(fl_guard_create(l, path, &e));
	assert_non_null(strstr(e.msg, ": no such file or directory"));
	fl_loop_destroy(l);
}

/* ---- passwords ---- */

static int said;
static void on_said(void *arg, bool ok)
{
	assert_ptr_equal(arg, &said);
	said = ok;
}

static int ask(struct fl_loop *l, const struct fl_webconf *c, const char *field, bool at_once)
{
	struct fl_basic_job *job = NULL;
	said = -1;
	int ret = fl_basic_ask(l, &c->users, fl_str(field), on_said, &said, &job);
	assert_int_equal(ret != -EINPROGRESS, at_once);
	for (int i = 0; ret == -EINPROGRESS && said < 0 && i < 10000; i++) {
		usleep(1000);
		fl_loop_run_until_idle(l);
	}
	return ret == -EINPROGRESS ? said : ret;
}

static void test_passwords(void **state)
{
	(void)state;
	/* "fakepassword" and "hunter2" */
	static const char text[] = "basic_auth_users:\n  al: $2y" REST "\n  bo: $2a$04$P8lYY/SyD2Eb2crsAnGHuuChJ67jYeFSW7.NY./sWEd5932drLHKm\n";
	struct fl_webconf c;
	struct fl_err e;
	struct fl_basic_job *job;
	fl_clock_virtual(FL_SEC);
	struct fl_loop *l = fl_loop_create();
	assert_int_equal(fl_webconf_parse(&c, fl_str(text), "x", &e), 0);
	static const struct { const char *field; bool at_once; int known; } rows[] = {
		{ NULL, true, 0 }, { "", true, 0 }, { "Bearer x", true, 0 }, { "Basic", true, 0 }, { "Basic !", true, 0 },
		{ "Basic YWw=", true, 0 },                              /* no colon */
		{ "Basic YWw6ZmFrZXBhc3N3b3Jk", false, 1 },             /* al:fakepassword */
		{ "bAsIc YWw6ZmFrZXBhc3N3b3Jk", true, 1 },              /* known by now */
		{ "Basic YWw6ZmFrZXBhc3N3b3JL", false, 0 },
		{ "Basic YWw6ZmFrZXBhc3N3b3JL", true, 0 },
		{ "Basic Ym86aHVudGVyMg==", false, 1 },                 /* bo:hunter2 */
		{ "Basic eHg6ZmFrZXBhc3N3b3Jk", false, 0 },             /* xx:fakepassword: the stand-in's password opens nothing */
		{ "Basic ZHU6ZmFrZXBhc3N3b3Jk", false, 0 },
		{ "Basic YWw6AGZha2VwYXNzd29yZA==", true, 0 },
	};
	for (size_t i = 0; i < FL_COUNT(rows); i++)
		if (ask(l, &c, rows[i].field, rows[i].at_once) != rows[i].known)
			fail_msg("%s", rows[i].field);
	/* The stand-in's password is remembered as wrong. Who guesses does not push out who knows. */
	assert_int_equal(ask(l, &c, "Basic enh4OmZha2VwYXNzd29yZA==", false), 0);
	assert_int_equal(ask(l, &c, "Basic enh4OmZha2VwYXNzd29yZA==", true), 0);
	for (int i = 0; i < FL_BASIC_KNOWN + 1; i++) {
		char field[40];
		snprintf(field, sizeof field, "Basic Ym86%03dY", 100 + i);
		assert_int_equal(ask(l, &c, field, false), 0);
	}
	assert_int_equal(ask(l, &c, "Basic YWw6ZmFrZXBhc3N3b3Jk", true), 1);
	/* Off the list: not even with what was found out before. */
	c.users.n = 0;
	assert_int_equal(ask(l, &c, "Basic YWw6ZmFrZXBhc3N3b3Jk", false), 0);
	c.users.n = 2;
	assert_int_equal(ask(l, &c, "Basic YWw6ZmFrZXBhc3N3b3Jk", true), 1);
	/* Who hung up is not told; too many are turned away. */
	said = -1;
	for (int i = 0; i < FL_BASIC_WAITING; i++) {
		char field[40];
		snprintf(field, sizeof field, "Basic Ym86%03dX", 100 + i);
		assert_int_equal(fl_basic_ask(l, &c.users, fl_str(field), on_said, &said, &job), -EINPROGRESS);
		fl_basic_forget(job);
	}
	assert_int_equal(fl_basic_ask(l, &c.users, FL_STR("Basic Ym86OTk5OTk="), on_said, &said, &job), -EBUSY);
	fl_basic_finish();
	assert_int_equal(said, -1);
	fl_loop_destroy(l);
	fl_webconf_finish(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words), cmocka_unit_test(test_large), cmocka_unit_test(test_values), cmocka_unit_test(test_priorities),
		cmocka_unit_test(test_rate_and_change), cmocka_unit_test(test_passwords),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

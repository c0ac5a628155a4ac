#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include "conf/conf.h"

#define X10 "xxxxxxxxxx"
#define X63 X10 X10 X10 X10 X10 X10 "xxx"

static struct fl_arena arena;

static const char *zones(struct fl_key *k, unsigned n)
{
	struct fl_str s = FL_STR("");
	for (unsigned i = 0; i < n; i++)
		s = fl_arena_printf(&arena, "%s%s%s://%s:%s", s.p, i ? " " : "", k[i].scheme, k[i].zone.p, k[i].port);
	return s.p;
}

/* A want that starts with neither a scheme nor "address" stands behind "error inspecting server blocks: ". */
static const struct { const char *key, *want; } keys[] = {
	{ ".:53", "dns://.:53" },
	{ ".", "dns://.:1053" },
	{ "Example.ORG", "dns://example.org.:1053" },
	{ "example.org.:053", "dns://example.org.:53" },
	{ "dns://a", "dns://a.:1053" },
	{ "tls://a", "tls://a.:853" },
	{ "quic://a", "quic://a.:853" },
	{ "grpc://a", "grpc://a.:443" },
	{ "https://a", "https://a.:443" },
	{ "https3://a:8443", "https3://a.:8443" },
	{ "unix://a", "unix://a.:" },
	{ "TLS://a", "dns://tls://a.:1053" },
	{ "foo://a.org", "dns://foo://a.org.:1053" },
	{ "a.org:abc", "dns://a.org:abc.:1053" },
	{ "a:1:2", "dns://a:1.:2" },
	{ "a.org:+80", "dns://a.org.:80" },
	{ "}", "dns://}.:1053" },
	{ "a b", "dns://a b.:1053" },
	{ "a\\.b\\\\.\\065", "dns://a\\.b\\\\.\\065.:1053" },
	{ "a\\.", "dns://a\\..:1053" },
	{ X63, "dns://" X63 ".:1053" },
	/* reverse zones */
	{ "10.0.0.0/8", "dns://10.in-addr.arpa.:1053" },
	{ "10.1.2.3/24:54", "dns://2.1.10.in-addr.arpa.:54" },
	{ "10.0.0.0/15", "dns://0.10.in-addr.arpa.:1053 dns://1.10.in-addr.arpa.:1053" },
	{ "192.168.1.1/23", "dns://0.168.192.in-addr.arpa.:1053 dns://1.168.192.in-addr.arpa.:1053" },
	{ "10.0.0.4/30", "dns://4.0.0.10.in-addr.arpa.:1053 dns://5.0.0.10.in-addr.arpa.:1053 dns://6.0.0.10.in-addr.arpa.:1053 "
			 "dns://7.0.0.10.in-addr.arpa.:1053" },
	{ "10.1.2.3/32", "dns://3.2.1.10.in-addr.arpa.:1053" },
	{ "1.2.3.4/0", "dns://in-addr.arpa.:1053" },
	{ "2001:db8::/32", "dns://8.b.d.0.1.0.0.2.ip6.arpa.:1053" },
	{ "tls://2001:db8::/31:54", "tls://8.b.d.0.1.0.0.2.ip6.arpa.:54 tls://9.b.d.0.1.0.0.2.ip6.arpa.:54" },
	{ "fd00::/6", "dns://c.f.ip6.arpa.:1053 dns://d.f.ip6.arpa.:1053 dns://e.f.ip6.arpa.:1053 dns://f.f.ip6.arpa.:1053" },
	{ "fd00::/0", "dns://ip6.arpa.:1053" },
	{ "10.0.0.0/33", "dns://10.0.0.0/33.:1053" },
	{ "10.0.0/24", "dns://10.0.0/24.:1053" },
	{ "010.0.0.0/8", "dns://010.0.0.0/8.:1053" },
	{ "10.0.0.0/+8", "dns://10.0.0.0/+8.:1053" },
	{ "10.0.0.0/", "dns://10.0.0.0/.:1053" },
	/* errors */
	{ "::/8", "invalid CIDR ::/8" },
	{ "0100::/8", "invalid CIDR 0100::/8" },
	{ "a.org:", "expecting data after last colon: \"a.org:\"" },
	{ "tls://", "expecting data after last colon: \"\"" },
	{ "\x01\"\\\n\xff\xc3\xa9\xc2\x85:", "expecting data after last colon: \"\\x01\\\"\\\\\\n\\xff\xc3\xa9\\u0085:\"" },
	{ ":1053", "zone is not a valid domain name: " },
	{ "a..org", "zone is not a valid domain name: a..org" },
	{ ".a", "zone is not a valid domain name: .a" },
	{ X63 "x", "zone is not a valid domain name: " X63 "x" },
	{ X63 "x\\.\\", "zone is not a valid domain name: " X63 "x\\.\\." },
	{ X63 "." X63 "." X63 "." X63 "." X63, "specified zone is too long: 319 > 255" },
	{ X63 "." X63 "." X63 "." X63, "specified zone is too long: 256 > 255" },
	{ ".:99999", "address 99999: invalid port" },
	{ ".:-1", "address -1: invalid port" },
	{ ".:9223372036854775807", "address 9223372036854775807: invalid port" },
	{ "a:9223372036854775808", "dns://a:9223372036854775808.:1053" },
};

static void test_keys(void **state)
{
	(void)state;
	static const char prefix[] = "error inspecting server blocks: ";
	for (size_t i = 0; i < FL_COUNT(keys); i++) {
		struct fl_err e = { "" };
		struct fl_key *k;
		unsigned n = 77;
		int ret = fl_key_parse(&arena, fl_str(keys[i].key), "1053", &k, &n, &e);
		bool bare = ret && fl_str_starts(fl_str(keys[i].want), FL_STR("address "));
		if (ret && !bare)
			assert_memory_equal(e.msg, prefix, strlen(prefix));
		assert_string_equal(ret ? e.msg + (bare ? 0 : strlen(prefix)) : zones(k, n), keys[i].want);
		assert_true(ret ? ret == -EINVAL && !n : n > 0);
	}
}

static void test_default_port(void **state)
{
	(void)state;
	struct fl_err e;
	struct fl_key *k;
	unsigned n;
	assert_int_equal(fl_key_parse(&arena, FL_STR("."), "12345678", &k, &n, &e), -EINVAL);
	assert_string_equal(e.msg, "address 12345678: invalid port");
	assert_int_equal(fl_key_parse(&arena, FL_STR("128.0.0.0/1"), "53", &k, &n, &e), 0);
	assert_int_equal(n, 128);
	assert_string_equal(k[127].zone.p, "255.in-addr.arpa.");
}

static void test_zones(void **state)
{
	(void)state;
	static const struct { const char *arg, *want; } rows[] = {
		{ "Example.org", "example.org." }, { "tls://a:99", "a." }, { "a:99999", "a." }, { ".", "." },
		{ "10.0.0.0/15", "0.10.in-addr.arpa. 1.10.in-addr.arpa." }, { "a..b", "" }, { "", "" }, { "a:", "" },
		{ "::1/128", "" },
	};
	for (size_t i = 0; i < FL_COUNT(rows); i++) {
		struct fl_str *z, s = FL_STR("");
		unsigned n = fl_zone_parse(&arena, fl_str(rows[i].arg), &z);
		for (unsigned k = 0; k < n; k++)
			s = fl_arena_printf(&arena, "%s%s%s", s.p, k ? " " : "", z[k].p);
		assert_string_equal(s.p, rows[i].want);
	}
}

static void test_preferred(void **state)
{
	(void)state;
	static const char *const yes[] = { ".", "a.", "a-b.c1.", "in-addr.arpa.", "1.in-addr.arpa.", "x.ip6.arpa." };
	static const char *const no[] = { "", "a", "a_b.", "1.", "-a.", "a-.", "a..", "a b.", "}.", "0in-addr.arpa." };
	for (size_t i = 0; i < FL_COUNT(yes); i++)
		assert_true(fl_zone_is_preferred(fl_str(yes[i])));
	for (size_t i = 0; i < FL_COUNT(no); i++)
		assert_false(fl_zone_is_preferred(fl_str(no[i])));
}

static void test_accidents(void **state)
{
	(void)state;
	struct fl_conf c;
	static const char text[] = "a.org tls://b:53 2001:db8::/32 c: {\n}\n}, foo://a.org,\na:abc,\n\"a b,\"\nunix://x,\n"
				   "{a, dns://a:b:c,\n10.0.0.0/8:x {\n}";
	static const char *const want[] = {
		NULL, NULL, NULL, NULL,
		"Corefile:3: '}' is served as a zone: a brace too many?",
		"Corefile:3: 'foo://a.org' has the unknown scheme 'foo' and is served as a zone over plain DNS",
		"Corefile:4: 'a:abc' has ':abc', which is no port, and is served as a zone",
		"Corefile:5: 'a b' holds a space and is served as one zone: several names in one variable?",
		"Corefile:6: 'unix://x' makes no server: unix:// is for upstreams",
		"Corefile:7: '{a' holds a brace and is served as a zone: a space or a variable's name missing?",
		"Corefile:7: 'dns://a:b:c' has ':c', which is no port, and is served as a zone",
		"Corefile:8: '10.0.0.0/8:x' has ':x', which is no port, and is served as a zone",
	};
	assert_int_equal(fl_conf_parse(&c, "Corefile", fl_str(text), "/", NULL, NULL), 0);
	size_t n = 0;
	for (unsigned b = 0; b < c.nblock; b++)
		for (unsigned i = 0; i < c.block[b].nkey; i++, n++) {
			const char *is = fl_key_accident(&arena, &c, &c.block[b].key[i]);
			assert_true(n < FL_COUNT(want));
			assert_string_equal(is ? is : "", want[n] ? want[n] : "");
		}
	assert_int_equal(n, FL_COUNT(want));
	fl_conf_finish(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys), cmocka_unit_test(test_default_port), cmocka_unit_test(test_zones),
		cmocka_unit_test(test_preferred), cmocka_unit_test(test_accidents),
	};
	fl_arena_init(&arena, NULL, 0, NULL, SIZE_MAX / 2);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	fl_arena_finish(&arena);
	return failed;
}

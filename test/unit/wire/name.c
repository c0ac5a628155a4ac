#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include "wire/name.h"

static uint8_t wire_a[FL_NAME_MAX], wire_b[FL_NAME_MAX];

static struct fl_name parse(uint8_t *to, const char *text)
{
	int n = fl_name_parse(to, fl_str(text));
	assert_true(n > 0);
	return (struct fl_name){ to, (uint8_t)n };
}

static struct fl_name a(const char *text) { return parse(wire_a, text); }
static struct fl_name b(const char *text) { return parse(wire_b, text); }

static void expect_text(struct fl_name n, const char *text)
{
	char to[FL_NAME_TEXT_MAX];
	assert_int_equal(fl_name_text(to, n), strlen(text));
	assert_string_equal(to, text);
}

static void test_text(void **state)
{
	(void)state;
	static const struct { const char *in, *out; } rows[] = {
		{ ".", "." }, { "a", "a." }, { "a.", "a." }, { "WwW.Example.", "WwW.Example." }, { "a\\.b.c", "a\\.b.c." },
		{ "\\065", "A." }, { "\\000\\255.x", "\\000\\255.x." }, { "a\\ b", "a\\ b." },
		{ "it's@;()\"x", "it\\'s\\@\\;\\(\\)\\\"x." },
		{ "a\\\\b", "a\\\\b." }, { "\\12x", "12x." }, { "_dns._tcp.x", "_dns._tcp.x." }, { "*.x", "*.x." },
	};
	for (size_t i = 0; i < FL_COUNT(rows); i++)
		expect_text(a(rows[i].in), rows[i].out);
	assert_memory_equal(a("ab.c").wire, "\2ab\1c", 6);
}

static void test_text_refused(void **state)
{
	(void)state;
	static const char *const rows[] = { "", "..", ".a", "a..b", "a..", "a\\", "\\256.x", "a.\\" };
	char label[140], name[600] = "";
	for (size_t i = 0; i < FL_COUNT(rows); i++)
		assert_int_equal(fl_name_parse(wire_a, fl_str(rows[i])), -EINVAL);
	memset(label, 'x', 64);
	label[64] = 0;
	assert_int_equal(fl_name_parse(wire_a, fl_str(label)), -EINVAL);
	label[63] = 0;
	assert_int_equal(fl_name_parse(wire_a, fl_str(label)), 65);
	/* 3 labels of 63 and one of 61 are 255 octets with the root. */
	for (int i = 0; i < 4; i++)
		strcat(strcat(name, i ? "." : ""), i < 3 ? label : label + 2);
	assert_int_equal(fl_name_parse(wire_a, fl_str(name)), 255);
	assert_int_equal(fl_name_parse(wire_a, fl_str(strcat(name, "x"))), -ENAMETOOLONG);
}

static void test_longest_text(void **state)
{
	(void)state;
	char to[FL_NAME_TEXT_MAX];
	uint8_t wire[FL_NAME_MAX] = { 0 };
	for (int i = 0, at = 0; i < 4; i++, at += 64)
		wire[at] = i < 3 ? 63 : 61;
	assert_int_equal(fl_name_text(to, (struct fl_name){ wire, 255 }), 4 * 250 + 4);
}

static void test_relations(void **state)
{
	(void)state;
	assert_true(fl_name_eq(a("Kubernetes.DEFAULT.svc.cluster.local"), b("kubernetes.default.SVC.cluster.LOCAL")));
	assert_false(fl_name_eq(a("kubernetes.default.svc.cluster.local"), b("kubernetes.default.svc.clustes.local")));
	assert_false(fl_name_eq(a("a[b"), b("a{b")));
	assert_false(fl_name_eq(a("a@bcdefg"), b("a`bcdefg")));
	assert_true(fl_name_under(a("x.Example.org"), b("example.ORG")));
	assert_true(fl_name_under(a("example.org"), b("example.org")));
	assert_true(fl_name_under(a("example.org"), FL_ROOT));
	assert_false(fl_name_under(a("xexample.org"), b("example.org")));
	assert_false(fl_name_under(a("org"), b("example.org")));
	assert_false(fl_name_under(a("org"), (struct fl_name){ NULL, 0 }));
	assert_int_equal(fl_name_labels(FL_ROOT), 0);
	assert_int_equal(fl_name_labels(a("a.b.c")), 3);
	expect_text(fl_name_parent(a("a.b.c")), "b.c.");
	expect_text(fl_name_parent(FL_ROOT), ".");
	expect_text(fl_name_skip(a("a.b.c"), 2), "c.");
	expect_text(fl_name_skip(a("a.b.c"), 9), ".");
	assert_true(fl_str_is(fl_name_label(a("a.bc.d"), 1), "bc"));
	assert_null(fl_name_label(a("a.bc.d"), 3).p);
	assert_int_equal(fl_name_hash(a("A.Bcdefghijkl")), fl_name_hash(b("a.bCDefghijkL")));
	assert_int_not_equal(fl_name_hash(a("a.b")), fl_name_hash(b("a.c")));
	expect_text(fl_name_lower(wire_b, a("A.Bcdefghijkl.[Z]")), "a.bcdefghijkl.[z].");
}

/* RFC 4034 §6.1's own list. */
static void test_canonical_order(void **state)
{
	(void)state;
	static const char *const rows[] = { ".", "example", "a.example", "yljkjljk.a.example", "Z.a.example", "zABC.a.EXAMPLE",
		"z.example",
					    "\\001.z.example", "*.z.example", "\\200.z.example" };
	for (size_t i = 0; i < FL_COUNT(rows); i++)
		for (size_t j = 0; j < FL_COUNT(rows); j++) {
			int d = fl_name_cmp(a(rows[i]), b(rows[j]));
			assert_int_equal((d > 0) - (d < 0), (i > j) - (i < j));
		}
}

static void test_join(void **state)
{
	(void)state;
	uint8_t to[FL_NAME_MAX];
	expect_text(fl_name_join(to, a("www"), b("example.org")), "www.example.org.");
	expect_text(fl_name_join(to, FL_ROOT, b("example.org")), "example.org.");
	expect_text(fl_name_join(to, a("www"), FL_ROOT), "www.");
	/* The zone may lie in the target. */
	struct fl_name zone = parse(to, "example.org");
	expect_text(fl_name_join(to, a("www"), zone), "www.example.org.");
	char text[300] = "";
	for (int i = 0; i < 64; i++)
		strcat(text, "a.");
	assert_int_equal(fl_name_join(to, a(text), b(text)).len, 0);
	text[126] = 0;
	assert_int_equal(fl_name_join(to, a(text), b(text)).len, 253);
}

static void test_arena(void **state)
{
	(void)state;
	struct fl_arena arena;
	fl_arena_init(&arena, NULL, 0, NULL, 1 << 16);
	struct fl_name n = fl_name_parse_in(&arena, FL_STR("a.b"));
	assert_true(fl_str_is(fl_name_text_in(&arena, n), "a.b."));
	assert_int_equal(fl_name_parse_in(&arena, FL_STR("a..b")).len, 0);
	fl_arena_finish(&arena);
	assert_int_equal(fl_name_parse_in(&(struct fl_arena){ 0 }, FL_STR("a.b")).len, 0);
}

static void test_addresses(void **state)
{
	(void)state;
	static const struct { const char *in, *out; } rows[] = {
		{ "1.2.3.4", "1.2.3.4" }, { "255.255.255.255", "255.255.255.255" }, { "::", "::" }, { "::1", "::1" },
		{ "1::", "1::" },
		{ "2001:DB8::1", "2001:db8::1" }, { "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8" }, { "1:0:0:2:0:0:0:3", "1:0:0:2::3" },
		{ "1:0:2:3:4:5:6:7", "1:0:2:3:4:5:6:7" }, { "0:0:1::", "0:0:1::" }, { "::ffff:1.2.3.4", "1.2.3.4" },
		{ "64:ff9b::1.2.3.4", "64:ff9b::102:304" }, { "1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304" },
		{ "1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0" }, { "::ffff:0:0", "0.0.0.0" }, { "1:0:0:2::", "1:0:0:2::" },
	};
	static const char *const bad[] = { "", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "1.2.3.4 ", "1..3.4", "a.b.c.d", ":",
		":::", "1:",
					   ":1", "1::2::3", "12345::", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8::",
						"fe80::1%eth0",
					   "::1.2.3", "1.2.3.4::", "1:2:3:4:5:6:7:1.2.3.4", "::g", "1:2:3:4:5:1.2.3.4" };
	struct fl_addr addr, again;
	char to[46];
	for (size_t i = 0; i < FL_COUNT(rows); i++) {
		assert_true(fl_addr_parse(fl_str(rows[i].in), &addr));
		assert_int_equal(fl_addr_text(to, &addr), strlen(rows[i].out));
		assert_string_equal(to, rows[i].out);
		assert_true(fl_addr_parse(fl_str(to), &again) && fl_addr_eq(&addr, &again));
	}
	for (size_t i = 0; i < FL_COUNT(bad); i++)
		assert_false(fl_addr_parse(fl_str(bad[i]), &addr));
	struct fl_addr mapped = { { [10] = 0xff, [11] = 0xff, [15] = 9 }, 16 };
	fl_addr_text(to, &mapped);
	assert_string_equal(to, "::ffff:0.0.0.9");
	assert_int_equal(fl_addr_text(to, &(struct fl_addr){ .len = 0 }), 0);
}

static void test_reverse(void **state)
{
	(void)state;
	static const struct { const char *addr, *name; } rows[] = {
		{ "10.0.96.1", "1.96.0.10.in-addr.arpa." }, { "255.1.0.100", "100.0.1.255.in-addr.arpa." },
		{ "2001:db8::567:89ab", "b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa." },
	};
	static const char *const none[] = { ".", "in-addr.arpa", "1.2.3.in-addr.arpa", "1.2.3.4.5.in-addr.arpa",
		"1.2.3.256.in-addr.arpa",
					    "01.2.3.4.in-addr.arpa", "1.2.3.4.in-addr.arpb", "x.2.3.4.in-addr.arpa",
						"1.0.0.2.ip6.arpa",
					    "g.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa" };
	struct fl_addr addr, back;
	uint8_t to[FL_NAME_MAX];
	for (size_t i = 0; i < FL_COUNT(rows); i++) {
		assert_true(fl_addr_parse(fl_str(rows[i].addr), &addr));
		struct fl_name n = fl_name_reverse(to, &addr);
		expect_text(n, rows[i].name);
		assert_true(fl_name_unreverse(n, &back) && fl_addr_eq(&addr, &back));
	}
	assert_true(fl_name_unreverse(a("1.2.3.4.IN-ADDR.ARPA"), &back));
	for (size_t i = 0; i < FL_COUNT(none); i++)
		assert_false(fl_name_unreverse(a(none[i]), &back));
}

static void test_networks(void **state)
{
	(void)state;
	static const struct { const char *net, *addr; bool has; } rows[] = {
		{ "10.0.0.0/8", "10.255.0.1", true }, { "10.0.0.0/8", "11.0.0.1", false }, { "10.1.2.3/20", "10.1.15.255", true },
		{ "10.1.2.3/20", "10.1.16.0", false }, { "0.0.0.0/0", "1.2.3.4", true }, { "0.0.0.0/0", "::1", false },
		{ "::/0", "::1", true }, { "2001:db8::/33", "2001:db8:7fff::", true },
		{ "2001:db8::/33", "2001:db8:8000::", false },
		{ "1.2.3.4/32", "1.2.3.4", true }, { "1.2.3.4/32", "1.2.3.5", false }, { "::ffff:1.2.3.4/120", "1.2.3.200", true },
	};
	static const char *const bad[] = { "1.2.3.4", "1.2.3.4/33", "1.2.3.4/", "/8", "::/129", "1.2.3/8", "1.2.3.4/+8",
		"1.2.3.4/-1", "1.2.3.4/8/8" };
	struct fl_net net;
	struct fl_addr addr;
	for (size_t i = 0; i < FL_COUNT(rows); i++) {
		assert_true(fl_net_parse(fl_str(rows[i].net), &net) && fl_addr_parse(fl_str(rows[i].addr), &addr));
		assert_int_equal(fl_net_has(&net, &addr), rows[i].has);
	}
	for (size_t i = 0; i < FL_COUNT(bad); i++)
		assert_false(fl_net_parse(fl_str(bad[i]), &net));
	assert_true(fl_net_parse(FL_STR("10.1.2.3/20"), &net));
	assert_memory_equal(net.addr.b, ((uint8_t[]){ 10, 1, 0, 0 }), 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text), cmocka_unit_test(test_text_refused), cmocka_unit_test(test_longest_text),
		cmocka_unit_test(test_relations), cmocka_unit_test(test_canonical_order), cmocka_unit_test(test_join),
		cmocka_unit_test(test_arena), cmocka_unit_test(test_addresses), cmocka_unit_test(test_reverse),
		cmocka_unit_test(test_networks),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

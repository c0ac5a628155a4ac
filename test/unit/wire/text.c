/* What miekg/dns's NewRR takes and refuses, and in which words. */
#include "arena.h"
#include "bytes.h"
#include <errno.h>
#include <stdio.h>

/* "owner ttl class type rdata" of what was read. */
static const char *print(struct fl_name owner, const struct fl_rrset *s)
{
	static char line[8192];
	struct fl_rr r = { 0 };
	char type[16], class[16];
	assert_true(fl_rr_next(s, &r));
	assert_int_equal(s->count, 1);
	fl_type_text(type, r.type);
	fl_class_text(class, r.class);
	size_t n = fl_name_text(line, owner);
	n += (size_t)snprintf(line + n, sizeof line - n, " %u %s %s ", r.ttl, class, type);
	fl_rdata_text(line + n, sizeof line - n, r.type, r.rdata, r.rdlen);
	return line;
}

static const struct { const char *in, *out; } good[] = {
	{ "a.example. 60 IN A 1.2.3.4", "a.example. 60 IN A 1.2.3.4" },
	{ "a A 1.2.3.4", "a. 3600 IN A 1.2.3.4" },
	{ "a\tIN\t1h30m\tA\t1.2.3.4\n", "a. 5400 IN A 1.2.3.4" },
	{ "a 1w CH TXT x", "a. 604800 CH TXT \"x\"" },
	{ "a in a 1.2.3.4", "a. 3600 IN A 1.2.3.4" },
	{ "@ A 1.2.3.4", ". 3600 IN A 1.2.3.4" },
	{ "A A 1.2.3.4", "A. 3600 IN A 1.2.3.4" },
	{ "\n\na A 1.2.3.4\nb A 1.2.3.5\n", "a. 3600 IN A 1.2.3.4" },
	{ "a A ( 1.2.3.4\n ) ; why", "a. 3600 IN A 1.2.3.4" },
	{ "a AAAA 2001:DB8::1", "a. 3600 IN AAAA 2001:db8::1" },
	{ "a AAAA ::ffff:1.2.3.4", "a. 3600 IN AAAA ::ffff:1.2.3.4" },
	{ "a MX 10 mail", "a. 3600 IN MX 10 mail." },
	{ "a SRV 1 2 3 t.x.", "a. 3600 IN SRV 1 2 3 t.x." },
	{ "a CNAME @", "a. 3600 IN CNAME ." },
	{ "a CNAME b\\.c\\032d", "a. 3600 IN CNAME b\\.c\\ d." },
	{ "a NS n", "a. 3600 IN NS n." }, { "a PTR n", "a. 3600 IN PTR n." }, { "a DNAME n", "a. 3600 IN DNAME n." },
	{ "a TXT \"a b\" c \"d\\\"e\" \"\\007\\\\\"", "a. 3600 IN TXT \"a b\" \"c\" \"d\\\"e\" \"\\007\\\\\"" },
	{ "a TXT \"\"", "a. 3600 IN TXT \"\"" },
	{ "a TXT \"x;y(z)\"", "a. 3600 IN TXT \"x;y(z)\"" },
	{ "a SPF v=spf1", "a. 3600 IN SPF \"v=spf1\"" },
	{ "a SOA ns mb 1 2h 3 4 5", "a. 3600 IN SOA ns. mb. 1 7200 3 4 5" },
	{ "a HINFO \"ANY obsoleted\" \"See RFC 8482\"", "a. 3600 IN HINFO \"ANY obsoleted\" \"See RFC 8482\"" },
	{ "a HINFO x86", "a. 3600 IN HINFO \"x86\" \"\"" }, { "a HINFO \"a b c\"", "a. 3600 IN HINFO \"a\" \"b c\"" },
	{ "a HINFO a b c", "a. 3600 IN HINFO \"a\" \"b c\"" },
	{ "a CAA 0 issue \"letsencrypt.org\"", "a. 3600 IN CAA 0 issue \"letsencrypt.org\"" },
	{ "a CAA 0 is\\032s\\;\\( \"x;\"", "a. 3600 IN CAA 0 is\\032s\\059\\040 \"x;\"" },      /* a tag that would not read back bare */
	{ "a NAPTR 100 50 \"s\" \"z3950+I2L\" \"\" _z._tcp.x.", "a. 3600 IN NAPTR 100 50 \"s\" \"z3950+I2L\" \"\" _z._tcp.x." },
	{ "a DS 60485 5 1 2BB183AF 5f22", "a. 3600 IN DS 60485 5 1 2BB183AF5F22" },
	{ "a DNSKEY 256 3 5 AQPSKm ynfw==", "a. 3600 IN DNSKEY 256 3 5 AQPSKmynfw==" },
	{ "a TLSA 3 1 1 aabb CCDD", "a. 3600 IN TLSA 3 1 1 aabbccdd" },
	{ "a SSHFP 1 2 aabbcc", "a. 3600 IN SSHFP 1 2 AABBCC" },
	{ "a SVCB 1 . alpn=h2,h3 port=443 ipv4hint=1.2.3.4,5.6.7.8",
	  "a. 3600 IN SVCB 1 . alpn=\"h2,h3\" port=\"443\" ipv4hint=\"1.2.3.4,5.6.7.8\"" },
	{ "a HTTPS 1 f key667=\"he\\\"llo\" ipv6hint=2001:db8::1 ech=\"AAAA\" no-default-alpn alpn=\"h2\" mandatory=port,alpn",
	  "a. 3600 IN HTTPS 1 f. mandatory=\"alpn,port\" alpn=\"h2\" no-default-alpn=\"\" ech=\"AAAA\" ipv6hint=\"2001:db8::1\" key667=\"he\\\"llo\"" },
	{ "a HTTPS 0 f", "a. 3600 IN HTTPS 0 f." },
	{ "a TYPE65280 \\# 4 0102 0304", "a. 3600 IN TYPE65280 \\# 4 01020304" },
	{ "a CLASS4 TYPE1 \\# 4 01020304", "a. 3600 HS A 1.2.3.4" },
	{ "a TYPE65280 \\# 0", "a. 3600 IN TYPE65280 \\# 0" },
	{ "a ANY A 1.2.3.4", NULL },
	{ "a A", NULL }, { "", NULL }, { "; nothing", NULL },
};

static const struct { const char *in, *words; } bad[] = {
	{ "a.example. junk IN A 1.2.3.4", "dns: not a TTL: \"junk\" at line: 1:16" },
	{ "7.tmpl.test. 30 IN MX junk", "dns: bad MX Pref: \"junk\" at line: 1:26" },
	{ "a AAAA 1.2.3.4", "dns: bad AAAA AAAA: \"1.2.3.4\" at line: 1:14" },
	{ "a A ::1", "dns: bad A A: \"::1\" at line: 1:7" },
	{ "a MX 10 mail x", "dns: garbage after rdata: \"x\" at line: 1:14" },
	{ "a MX 70000 mail", "dns: bad MX Pref: \"70000\" at line: 1:11" },
	{ "a SOA ns mb 1h 2h 3 4 5", "dns: bad SOA zone parameter: \"1h\" at line: 1:15" },
	{ "a NAPTR 100 50 s \"z\" \"\" .", "dns: bad NAPTR Flags: \"s\" at line: 1:17" },
	{ "a TYPEx 1.2.3.4", "dns: unknown RR type: \"unknown RR type\" at line: 1:8" },
	{ "a FOO 1.2.3.4", "dns: not a TTL: \"FOO\" at line: 1:6" },
	{ "a 30 FOO 1.2.3.4", "dns: expecting RR type or class, not this...: \"FOO\" at line: 1:9" },
	{ "a 30 IN FOO 1.2.3.4", "dns: unknown RR type: \"FOO\" at line: 1:12" },
	{ "a..b A 1.2.3.4", "dns: bad owner name: \"a..b\" at line: 1:5" },
	{ "a A ( 1.2.3.4", "dns: garbage after rdata: \"unbalanced brace\" at line: 1:13" },
	{ "a A 1.2.3.4 )", "dns: garbage after rdata: \"extra closing brace\" at line: 1:13" },
	{ "\na CNAME b..c", "dns: bad CNAME Target: \"b..c\" at line: 2:12" },
	{ "a PTR \"x\"", "dns: bad PTR Ptr: \"\\\"\" at line: 1:7" },
	{ "a HTTPS 1 foo port=1 port=2", "dns: repeated SVCB keys are not allowed: \"\\n\" at line: 1:27" },
	{ "a HTTPS 1 foo bogus=1", "dns: bad SVCB key: \"bogus=1\" at line: 1:21" },
	{ "a HTTPS 1 foo port=99999", "dns: bad SVCB value of port: \"port=99999\" at line: 1:24" },
	{ "a TYPE65280 abc", "dns: bad RFC3597 Rdata: \"abc\" at line: 1:15" },
	{ "a TYPE65280 \\# 3 01", "dns: bad RFC3597 Rdata: \"\\\\#\" at line: 1:15" },
	{ "a A \\# 3 010203", "dns: bad RFC3597 Rdata: \"\\\\#\" at line: 1:7" },
	{ "a LOC 52 N", "dns: bad RFC3597 Rdata: \"52\" at line: 1:9" },
	{ "a A", "dns: unexpected newline: \"\\n\" at line: 1:3" },
	{ "$TTL 30", "dns: directives are not allowed here: \"$TTL\" at line: 1:5" },
	{ "  A 1.2.3.4", "dns: bad owner name: \" \" at line: 1:1" },
	{ "", "dns: no record" }, { "; nothing", "dns: no record" },
};

static void test_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < FL_COUNT(good); i++) {
		struct fl_name owner;
		const struct fl_rrset *s;
		struct fl_err e = { "" };
		int ret = fl_rr_parse(&arena, fl_str(good[i].in), &owner, &s, &e);
		if (ret != (good[i].out ? 0 : -EINVAL))
			fail_msg("%s: %s", good[i].in, e.msg);
		if (good[i].out)
			assert_string_equal(print(owner, s), good[i].out);
	}
}

static void test_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < FL_COUNT(bad); i++) {
		struct fl_name owner;
		const struct fl_rrset *s;
		struct fl_err e = { "" };
		assert_int_equal(fl_rr_parse(&arena, fl_str(bad[i].in), &owner, &s, &e), -EINVAL);
		assert_string_equal(e.msg, bad[i].words);
		assert_int_equal(fl_rr_parse(&arena, fl_str(bad[i].in), &owner, &s, NULL), -EINVAL);
	}
}

/* What was printed reads back as the same octets. */
static void test_round_trip(void **state)
{
	(void)state;
	for (size_t i = 0; i < FL_COUNT(good); i++) {
		if (!good[i].out)
			continue;
		struct fl_item a = item(&arena, good[i].in, 0), b = item(&arena, print(a.owner, a.set), 0);
		assert_true(fl_name_eq(a.owner, b.owner));
		assert_int_equal(a.set->len, b.set->len);
		assert_memory_equal(a.set->data, b.set->data, a.set->len);
	}
}

static void test_long_txt(void **state)
{
	(void)state;
	char text[700] = "a TXT \"";
	memset(text + 7, 'x', 600);
	strcpy(text + 607, "\"");
	struct fl_rr r = { 0 };
	assert_true(fl_rr_next(item(&arena, text, 0).set, &r));
	assert_int_equal(r.rdlen, 603);
	assert_int_equal(r.rdata[0], 255);
	assert_int_equal(r.rdata[256], 255);
	assert_int_equal(r.rdata[512], 90);
}

/* Types that are only printed. */
static void test_printed(void **state)
{
	(void)state;
	static const struct { uint16_t type; const char *hex, *text; } rows[] = {
		{ FL_T_RRSIG, "0001 0d 02 00000e10 6a2d43ff 6a08599b 2063 01 61 00 010203",
		"A 13 2 3600 20260613115023 20260516114843 8291 a. AQID" },
		{ FL_T_NSEC, "01 61 00 0006 400000000013 0101 40", "a. A DS RRSIG NSEC CAA" },
		{ FL_T_NSEC3, "01 00 000a 00 04 01020304 0001 40", "1 0 10 - 0410610 A" },
		{ FL_T_A, "010203", "\\# 3 010203" }, { FL_T_CNAME, "c00c", "\\# 2 c00c" }, { 65280, "", "\\# 0" },
		{ 29, "00 12 16 13 0a0b0c0d 0a0b0c0d 0a0b0c0d", "\\# 16 001216130a0b0c0d0a0b0c0d0a0b0c0d" },
	};
	char to[256];
	for (size_t i = 0; i < FL_COUNT(rows); i++) {
		size_t n;
		uint8_t *b = bytes(rows[i].hex, &n);
		size_t len = fl_rdata_text(to, sizeof to, rows[i].type, b, n);
		assert_string_equal(to, rows[i].text);
		assert_int_equal(len, strlen(to));
		/* Cut where the room ends. */
		for (size_t cap = 1; cap <= len; cap++) {
			char small[256];
			assert_int_equal(fl_rdata_text(small, cap, rows[i].type, b, n), cap - 1);
			assert_memory_equal(small, to, cap - 1);
			assert_int_equal(small[cap - 1], 0);
		}
		free(b);
	}
}

/* Memory runs out anywhere: said, not suffered. */
static void test_out_of_memory(void **state)
{
	(void)state;
	static const char *const text = "a.b.c TXT \"a b\" c \"d\\\"e\" \"\\007\\\\\"";
	char mem[2048];
	for (size_t n = 0; n < sizeof mem; n += 16) {
		struct fl_arena small;
		struct fl_name owner;
		const struct fl_rrset *s;
		fl_arena_init(&small, mem, n, NULL, 0);
		int ret = fl_rr_parse(&small, fl_str(text), &owner, &s, NULL);
		assert_true(ret == 0 || (ret == -ENOMEM && n < 1024));
		assert_true(ret || n > 64);
	}
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_good), T(test_bad), T(test_round_trip), T(test_long_txt), T(test_printed), T(test_out_of_memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "arena.h"
#include "bytes.h"
#include <errno.h>

#define HEAD(qd, an, ns, ar) "0007 8180 " qd " " an " " ns " " ar " "
#define QUESTION "0178 0456696577 0474657374 00 0001 0001 "     /* x at 12, View at 14, test at 19 */
#define ADDRESS(owner, last) owner " 0001 0001 0000001e 0004 010203" last " "

static struct fl_message m;

static int parse(const char *hex)
{
	size_t n;
	uint8_t *p = bytes(hex, &n);
	int ret = fl_message_parse(&m, &arena, p, n);
	memset(p, 0xa5, n);     /* nothing may lean on the packet */
	free(p);
	return ret;
}

static void expect_name(struct fl_name n, const char *text)
{
	char to[FL_NAME_TEXT_MAX];
	fl_name_text(to, n);
	assert_string_equal(to, text);
}

static void expect_item(unsigned i, const char *owner, uint8_t section, uint16_t type, unsigned count, const char *first_rdata)
{
	char text[2048];
	struct fl_rr r = { 0 };
	assert_true(i < m.n);
	const struct fl_item *it = &m.item[i];
	expect_name(it->owner, owner);
	assert_int_equal(it->section, section);
	assert_int_equal(it->ttl_min, 0);
	assert_int_equal(it->ttl_max, UINT32_MAX);
	assert_int_equal(it->set->type, type);
	assert_int_equal(it->set->count, count);
	assert_true(fl_rr_next(it->set, &r));
	fl_rdata_text(text, sizeof text, r.type, r.rdata, r.rdlen);
	assert_string_equal(text, first_rdata);
}

static void test_groups(void **state)
{
	(void)state;
	assert_int_equal(parse(HEAD("0001", "0006", "0001", "0002") QUESTION
		"c00c 0005 0001 0000001e 0004 0161 c00e "
		ADDRESS("0161 c00e", "01") ADDRESS("0141 0476494557 c013", "02") ADDRESS("0162 c00e", "03")
		"0162 c00e 001c 0001 0000001e 0010 20010db8000000000000000000000001"
		ADDRESS("0162 c00e", "04")
		"c013 0006 0001 0000000a 0018 c00e c00c 00000001 00000002 00000003 00000004 00000005"
		ADDRESS("0162 c00e", "05")
		"00 0029 04d0 01 00 8000 0006 fde9 0002 6869"), 0);
	assert_int_equal(m.id, 7);
	assert_int_equal(m.flags, 0x8180);
	assert_int_equal(m.rcode, 16);
	expect_name(m.qname, "x.View.test.");
	assert_int_equal(m.qtype + m.qclass + m.qdcount, 3);
	assert_int_equal(m.n, 7);
	expect_item(0, "x.View.test.", FL_ANSWER, FL_T_CNAME, 1, "a.View.test.");
	expect_item(1, "a.View.test.", FL_ANSWER, FL_T_A, 2, "1.2.3.1");
	expect_item(2, "b.View.test.", FL_ANSWER, FL_T_A, 1, "1.2.3.3");
	expect_item(3, "b.View.test.", FL_ANSWER, FL_T_AAAA, 1, "2001:db8::1");
	expect_item(4, "b.View.test.", FL_ANSWER, FL_T_A, 1, "1.2.3.4");
	expect_item(5, "test.", FL_AUTHORITY, FL_T_SOA, 1, "View.test. x.View.test. 1 2 3 4 5");
	expect_item(6, "b.View.test.", FL_ADDITIONAL, FL_T_A, 1, "1.2.3.5");
	assert_ptr_equal(m.item[0].owner.wire, m.qname.wire);
	assert_int_equal(m.item[1].set->stride, 14);
	assert_true(m.edns && m.dnssec_ok);
	assert_int_equal(m.udp_size, 1232);
	assert_int_equal(m.edns_version, 0);
	assert_non_null(m.opt);
	assert_int_equal(m.opt->code, 65001);
	assert_memory_equal(m.opt->data, "hi", 2);
}

static void test_accepted(void **state)
{
	(void)state;
	assert_int_equal(parse(HEAD("0000", "0000", "0000", "0000")), 0);
	assert_int_equal(m.n + m.qname.len, 0);
	assert_int_equal(parse(HEAD("0001", "0009", "0009", "0009") QUESTION ADDRESS("c00c", "01")), 0);
	assert_int_equal(m.n, 1);
	assert_int_equal(m.end, 45);
	assert_int_equal(parse(HEAD("0001", "0001", "0000", "0000") QUESTION ADDRESS("c00c", "01") "beef"), 0);
	assert_int_equal(m.end, 45);
	/* Names of types younger than RFC 1035 are expanded as well. */
	assert_int_equal(parse(HEAD("0001", "0001", "0000", "0000") QUESTION "c00c 0021 0001 0000001e 0008 0001 0002 0003 c00e"),
		0);
	expect_item(0, "x.View.test.", FL_ANSWER, FL_T_SRV, 1, "1 2 3 View.test.");
	/* An OPT that is not in the additional section says nothing. */
	assert_int_equal(parse(HEAD("0001", "0001", "0000", "0000") QUESTION "00 0029 04d0 01 00 8000 0000"), 0);
	assert_int_equal(m.n + m.edns, 0);
	/* An update may go without rdata, a response may not. */
	assert_int_equal(parse("0007 2800 0001 0000 0001 0000" QUESTION "c00c 0005 00ff 00000000 0000"), 0);
	assert_int_equal(m.n, 1);
	assert_int_equal(parse(HEAD("0001", "0001", "0000", "0000") QUESTION "c00c 0005 00ff 00000000 0000"), -EBADMSG);
}

static void test_refused(void **state)
{
	(void)state;
	static const char *const rows[] = {
		"", "0007 8180 0001 0000 0000 00",
		HEAD("0001", "0000", "0000", "0000") "0178",
		HEAD("0001", "0000", "0000", "0000") "0178 00 0001",
		HEAD("0001", "0000", "0000", "0000") "c00c 0001 0001",                                  /* itself */
		HEAD("0001", "0000", "0000", "0000") "0178 c00c 0001 0001",                             /* its own start */
		HEAD("0001", "0001", "0000", "0000") QUESTION ADDRESS("c01f", "01"),                    /* forward */
		HEAD("0001", "0001", "0000", "0000") QUESTION ADDRESS("c01d", "01"),                    /* itself */
		HEAD("0001", "0001", "0000", "0000") QUESTION ADDRESS("c002", "01"),                    /* the header */
		HEAD("0001", "0001", "0000", "0000") QUESTION ADDRESS("8061", "01"),
		HEAD("0001", "0001", "0000", "0000") QUESTION "c00c 0001 0001 0000001e 0005 01020304",  /* past the end */
		HEAD("0001", "0001", "0000", "0000") QUESTION "c00c 0001 0001 0000001e 0003 010203",
		HEAD("0001", "0001", "0000", "0000") QUESTION "c00c 0001 0001 0000001e 00",
		HEAD("0001", "0001", "0000", "0000") QUESTION "c00c 0005 0001 0000001e 0003 c00c 00",   /* more than the name */
		HEAD("0001", "0001", "0000", "0000") QUESTION "c00c 0005 0001 0000001e 0001 c00c",      /* less */
		HEAD("0001", "0001", "0000", "0000") QUESTION "c00c 000f 0001 0000001e 0002 0001",
		HEAD("0001", "0000", "0000", "0001") QUESTION "00 0029 04d0 00 00 8000 0003 000a00",
	};
	for (size_t i = 0; i < FL_COUNT(rows); i++)
		if (parse(rows[i]) != -EBADMSG)
			fail_msg("accepted: %s", rows[i]);
}

/* 5000 records of 12 octets whose owners and targets are 255 long: bounded by the arena, not by luck. */
static void test_bomb(void **state)
{
	(void)state;
	uint8_t *p = calloc(1, 65535);
	size_t at = 12;
	p[5] = 1;
	p[2] = 0x80;
	for (int i = 0; i < 4; at += 64, i++) {
		p[at] = i < 3 ? 63 : 61;
		memset(p + at + 1, 'x', p[at]);
	}
	at = 12 + 255 + 4;
	unsigned count = 0;
	for (; at + 14 <= 65535; at += 14, count++)
		memcpy(p + at, "\xc0\x0c\0\5\0\1\0\0\0\1\0\2\xc0\x0c", 14);
	fl_put16(p + 6, (uint16_t)count);
	struct fl_arena small;
	fl_arena_init(&small, NULL, 0, NULL, 64 * 1024);
	assert_int_equal(fl_message_parse(&m, &small, p, at), -ENOMEM);
	assert_true(small.used <= 64 * 1024);
	fl_arena_finish(&small);
	fl_arena_init(&small, NULL, 0, NULL, 8 << 20);
	assert_int_equal(fl_message_parse(&m, &small, p, at), 0);
	assert_int_equal(m.n, 1);
	assert_int_equal(m.item[0].set->count, count);
	assert_int_equal(m.item[0].set->len, count * 265);
	fl_arena_finish(&small);
	free(p);
}

/* 200 pointers, each to the one before. */
static void test_hops(void **state)
{
	(void)state;
	uint8_t p[12 + 3 + 4 + 400] = { 0 }, to[FL_NAME_MAX];
	memcpy(p + 12, "\1x\0", 3);
	for (unsigned i = 0; i < 200; i++)
		fl_put16(p + 19 + 2 * i, (uint16_t)(0xc000 | (i ? 19 + 2 * (i - 1) : 12)));
	size_t at = 19 + 2 * 127;
	assert_int_equal(fl_name_expand(to, p, sizeof p, &at), 3);
	assert_int_equal(at, 19 + 2 * 128);
	assert_memory_equal(to, "\1x\0", 3);
	assert_int_equal(fl_name_expand(to, p, sizeof p, &at), -EBADMSG);
}

static void test_every_length(void **state)
{
	(void)state;
	size_t n;
	uint8_t *all = bytes(HEAD("0001", "0003", "0001", "0001") QUESTION ADDRESS("c00c", "01")
			     "c00c 0010 0001 0000001e 0004 0161 0162"
			     "c00c 000f 0001 0000001e 0004 0001 c00e c013 0006 0001 0000000a 0018 c00e c00c"
			     "0000000100000002000000030000000400000005 00 0029 04d0 00 00 8000 0006 fde9 0002 6869", &n);
	for (size_t k = 0; k <= n; k++) {
		uint8_t *p = malloc(k ? k : 1);
		memcpy(p, all, k);
		int ret = fl_message_parse(&m, &arena, p, k);
		assert_true(ret == 0 || ret == -EBADMSG);
		assert_true(ret || m.end <= k);
		if (k == n)
			assert_int_equal(ret, 0);
		free(p);
	}
	free(all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_groups, setup, teardown),
		cmocka_unit_test_setup_teardown(test_accepted, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown), cmocka_unit_test(test_bomb),
		cmocka_unit_test(test_hops),
		cmocka_unit_test_setup_teardown(test_every_length, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

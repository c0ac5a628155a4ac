#include "bytes.h"
#include <stdio.h>

static struct fl_arena arena;
static uint8_t out[65536], again[65536], qname_wire[FL_NAME_MAX];
static struct fl_pack p;

static int setup(void **state)
{
	(void)state;
	fl_arena_init(&arena, NULL, 0, NULL, 8 << 20);
	struct fl_name qname = { qname_wire, (uint8_t)fl_name_parse(qname_wire, FL_STR("Www.example.org")) };
	p = (struct fl_pack){ .id = 0x1234, .flags = FL_QR | FL_AA | FL_RD, .qname = qname, .qtype = FL_T_A, .qclass = FL_C_IN,
		.ede = -1 };
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fl_arena_finish(&arena);
	return 0;
}

static void expect(size_t n, const char *hex)
{
	size_t want;
	uint8_t *b = bytes(hex, &want);
	assert_int_equal(n, want);
	assert_memory_equal(out, b, n);
	free(b);
}

#define QUESTION "0357 7777 07 6578616d706c65 03 6f7267 00 0001 0001 "

static void test_fast(void **state)
{
	(void)state;
	struct fl_item it[3] = { item(&arena, "x TXT a", FL_ADDITIONAL), item(&arena, "x 30 A 192.0.2.1", FL_ANSWER),
				 item(&arena, "example.org 9 NS ns.example.org.", FL_AUTHORITY) };
	it[1].owner = p.qname;
	p.item = it;
	p.n = 3;
	expect(fl_pack(&p, out, 512), "1234 8500 0001 0001 0001 0001" QUESTION "c00c 0001 0001 0000001e 0004 c0000201"
	       "07 6578616d706c65 03 6f7267 00 0002 0001 00000009 0010 026e73 07 6578616d706c65 03 6f7267 00"
	       "0178 00 0010 0001 00000e10 0002 0161");
	assert_int_equal(p.flags_out, 0x8500);
	assert_false(p.cut);
	assert_int_equal(p.full_len, 12 + 21 + (17 + 14) + (13 + 26) + (3 + 12));
	expect(fl_pack_slow(&p, out, 512), "1234 8500 0001 0001 0001 0001" QUESTION "c00c 0001 0001 0000001e 0004 c0000201"
	       "c010 0002 0001 00000009 0005 026e73 c010 0178 00 0010 0001 00000e10 0002 0161");
	assert_int_equal(p.full_len, 12 + 21 + (17 + 14) + (13 + 26) + (3 + 12));
}

static void test_header(void **state)
{
	(void)state;
	expect(fl_pack(&p, out, 512), "1234 8500 0001 0000 0000 0000" QUESTION);
	p.rcode = FL_NXDOMAIN;
	p.opcode = FL_OP_NOTIFY;
	p.flags |= FL_TC;       /* an upstream's */
	expect(fl_pack(&p, out, 512), "1234 a703 0001 0000 0000 0000" QUESTION);
	assert_false(p.cut);
	p.qname.len = 0;
	expect(fl_pack(&p, out, 512), "1234 a703 0000 0000 0000 0000");
	/* An extended code needs an OPT. */
	p.rcode = 23;
	expect(fl_pack(&p, out, 512), "1234 a702 0000 0000 0000 0000");
}

static void test_opt(void **state)
{
	(void)state;
	struct fl_edns second = { .code = 3, .len = 0 }, first = { .code = 65001, .len = 2, .data = (const uint8_t *)"hi",
		.next = &second };
	p.edns = true;
	p.udp_size = 1232;
	p.edns_flags = 0x8000;
	p.rcode = FL_BADVERS;
	expect(fl_pack(&p, out, 512), "1234 8500 0001 0000 0000 0001" QUESTION "00 0029 04d0 01 00 8000 0000");
	p.opt = &first;
	p.ede = 15;
	expect(fl_pack(&p, out, 512), "1234 8500 0001 0000 0000 0001" QUESTION "00 0029 04d0 01 00 8000 0010 fde9 0002 6869 0003 0000 000f 0002 000f");
	p.ede_text = "no";
	expect(fl_pack_slow(&p, out, 512), "1234 8500 0001 0000 0000 0001" QUESTION
	       "00 0029 04d0 01 00 8000 0012 fde9 0002 6869 0003 0000 000f 0004 000f 6e6f");
}

static void test_ttl_bounds(void **state)
{
	(void)state;
	static const struct { uint32_t min, max, ttl; } rows[] = {
		{ 0, UINT32_MAX, 30 }, { 60, UINT32_MAX, 60 }, { 0, 5, 5 }, { 10, 40, 30 }, { 60, 5, 5 }, { 0, 0, 0 },
		{ 30, 30, 30 },
	};
	struct fl_item it = item(&arena, "x 30 A 192.0.2.1", FL_ANSWER);
	it.owner = p.qname;
	p.item = &it;
	p.n = 1;
	for (size_t i = 0; i < FL_COUNT(rows); i++) {
		it.ttl_min = rows[i].min;
		it.ttl_max = rows[i].max;
		assert_int_equal(fl_pack(&p, out, 512), 49);
		assert_int_equal(fl_get32(out + 39), rows[i].ttl);
		assert_int_equal(fl_pack_slow(&p, out, 512), 49);
		assert_int_equal(fl_get32(out + 39), rows[i].ttl);
	}
	assert_int_equal(fl_get32(it.set->data + 4), 30);
}

/* n addresses 0.0.0.0 and on. */
static struct fl_item addresses(unsigned n)
{
	struct fl_rrset_maker m;
	fl_rrset_begin(&m, &arena, FL_T_A, FL_C_IN, 0);
	for (unsigned i = 0; i < n; i++) {
		uint8_t ip[4];
		fl_put32(ip, i);
		fl_rrset_put(&m, 5, ip, 4);
	}
	return (struct fl_item){ .owner = p.qname, .set = fl_rrset_end(&m), .ttl_max = UINT32_MAX };
}

/* The last octets of the packed addresses; false unless they are the numbers below n, each once. */
static bool order(uint8_t *to, unsigned n, bool slow)
{
	bool seen[256] = { false };
	size_t len = slow ? fl_pack_slow(&p, out, 65535) : fl_pack(&p, out, 65535);
	assert_int_equal(len, 33 + 16 * n);
	for (unsigned i = 0; i < n; i++) {
		to[i] = out[33 + 16 * i + 15];
		if (to[i] >= n || seen[to[i]])
			return false;
		seen[to[i]] = true;
	}
	return true;
}

static void test_shuffle(void **state)
{
	(void)state;
	enum { N = 5, ROUNDS = 12000 };
	unsigned at[N][N] = { { 0 } };
	uint8_t fast[N], slow[N];
	struct fl_item it = addresses(N);
	p.item = &it;
	p.n = 1;
	assert_true(order(fast, N, false));
	assert_memory_equal(fast, "\0\1\2\3\4", N);
	for (uint32_t seed = 1; seed <= ROUNDS; seed++) {
		it.shuffle = seed;
		assert_true(order(fast, N, false));
		for (unsigned i = 0; i < N; i++)
			at[i][fast[i]]++;
		if (seed % 100 == 0) {
			assert_true(order(slow, N, true));
			assert_memory_equal(fast, slow, N);
		}
	}
	/* Each record stands at each place a fifth of the time, within 6 standard deviations. */
	for (unsigned i = 0; i < N; i++)
		for (unsigned k = 0; k < N; k++)
			assert_in_range(at[i][k], ROUNDS / N - 263, ROUNDS / N + 263);
}

static void test_first(void **state)
{
	(void)state;
	uint8_t got[5];
	struct fl_item it = addresses(5);
	p.item = &it;
	p.n = 1;
	it.first = 3;
	assert_true(order(got, 5, false));
	assert_memory_equal(got, "\3\1\2\0\4", 5);
	it.first = 9;
	assert_true(order(got, 5, false));
	assert_memory_equal(got, "\0\1\2\3\4", 5);
	it.first = 4;
	it.shuffle = 77;
	uint8_t after[5];
	assert_true(order(after, 5, true));
	it.first = 0;
	assert_true(order(got, 5, false));
	assert_int_equal(after[0], got[4]);
	assert_int_equal(after[4], got[0]);
}

/* Records of many lengths move as well. */
static void test_shuffle_of_unlike_records(void **state)
{
	(void)state;
	struct fl_rrset_maker m;
	unsigned first[3] = { 0 };
	fl_rrset_begin(&m, &arena, FL_T_MX, FL_C_IN, 0);
	fl_rrset_put(&m, 5, "\0\0\0", 3);
	fl_rrset_put(&m, 5, "\0\1\1a\0", 5);
	fl_rrset_put(&m, 5, "\0\2\2bc\0", 6);
	struct fl_item it = { .owner = p.qname, .set = fl_rrset_end(&m), .ttl_max = UINT32_MAX };
	p.item = &it;
	p.n = 1;
	for (it.shuffle = 1; it.shuffle <= 300; it.shuffle++) {
		size_t n = fl_pack(&p, out, 512);
		assert_int_equal(n, 33 + 3 * 12 + 14);
		first[out[33 + 13]]++;
	}
	for (int i = 0; i < 3; i++)
		assert_in_range(first[i], 50, 150);
}

static void test_cut(void **state)
{
	(void)state;
	struct fl_item it[2] = { addresses(100), item(&arena, "g A 1.1.1.1", FL_ADDITIONAL) };
	p.item = it;
	p.n = 2;
	p.edns = true;
	size_t n = fl_pack(&p, out, 512);
	/* 512 - 33 - 11 leave 29 of 16 octets. */
	assert_int_equal(n, 33 + 29 * 16 + 11);
	assert_int_equal(fl_get16(out + 6), 29);
	assert_int_equal(fl_get16(out + 10), 1);
	assert_true(p.cut && p.flags_out & FL_TC && out[2] & 2);
	assert_int_equal(p.full_len, 33 + 100 * (17 + 14) + 17);
	/* A record of the additional section alone is left out: TC too. */
	n = fl_pack(&p, out, 33 + 100 * 16 + 11 + 16);
	assert_int_equal(fl_get16(out + 6), 100);
	assert_true(p.cut);
	n = fl_pack(&p, out, 33 + 100 * 16 + 11 + 17);
	assert_false(p.cut);
	assert_int_equal(n, 33 + 100 * 16 + 11 + 17);
	/* Room that the caller keeps back. */
	p.room = 17;
	n = fl_pack(&p, out, 33 + 100 * 16 + 11 + 17);
	assert_true(p.cut);
	assert_int_equal(n, 33 + 100 * 16 + 11);
}

/* No record gives way to an EDE: its text goes first, then all of it. */
static void test_ede_gives_way(void **state)
{
	(void)state;
	struct fl_item it = addresses(29);
	p.item = &it;
	p.n = 1;
	p.edns = true;
	p.ede = 3;
	p.ede_text = "stal\xc3\xa9 answer";
	assert_int_equal(fl_pack(&p, out, 33 + 29 * 16 + 11 + 6 + 13), 33 + 29 * 16 + 11 + 6 + 13);
	assert_int_equal(fl_pack(&p, out, 33 + 29 * 16 + 11 + 6 + 6), 33 + 29 * 16 + 11 + 6 + 6);
	assert_int_equal(fl_pack(&p, out, 33 + 29 * 16 + 11 + 6 + 5), 33 + 29 * 16 + 11 + 6 + 4);
	assert_int_equal(fl_pack(&p, out, 33 + 29 * 16 + 11 + 5), 33 + 29 * 16 + 11);
	assert_false(p.cut);
	assert_int_equal(fl_get16(out + 6), 29);
}

static void test_large(void **state)
{
	(void)state;
	struct fl_item it = addresses(20000);
	p.item = &it;
	p.n = 1;
	assert_int_equal(fl_pack(&p, out, 65535), 33 + 4093 * 16);
	assert_true(p.cut);
	assert_int_equal(fl_get16(out + 33 + 14), 0);
	/* Shuffled, it is not always the same ones that are left out. */
	unsigned late = 0;
	for (it.shuffle = 1; it.shuffle <= 50; it.shuffle++) {
		assert_int_equal(fl_pack(&p, out, 65535), 33 + 4093 * 16);
		for (unsigned i = 0; i < 4093; i++)
			late += fl_get32(out + 33 + 16 * i + 12) >= 10000;
	}
	assert_in_range(late, 50 * 4093 / 4, 50 * 4093 * 3 / 4);
}

static void test_compression(void **state)
{
	(void)state;
	struct fl_item it[4] = {
		item(&arena, "Www.example.org. 1 SRV 1 2 3 a.b.example.org.", FL_ANSWER),      /* pointed to, not compressed */
		item(&arena, "www.EXAMPLE.org. 1 MX 1 a.b.example.org.", FL_ANSWER),           /* letter case is kept */
		item(&arena, ". 1 SOA . x.EXAMPLE.org. 1 2 3 4 5", FL_AUTHORITY),
		item(&arena, "b.example.org. 1 DNAME x.EXAMPLE.org.", FL_ADDITIONAL),
	};
	p.item = it;
	p.n = 4;
	expect(fl_pack_slow(&p, out, 512), "1234 8500 0001 0002 0001 0001" QUESTION
	       "c00c 0021 0001 00000001 0017 0001 0002 0003 0161 0162 07 6578616d706c65 03 6f7267 00"      /* 33: names at 51, 53 */
	       "03777777 07 4558414d504c45 c018 000f 0001 00000001 0004 0001 c033"                         /* 68: EXAMPLE at 72 */
	       "00 0006 0001 00000001 0019 00 0178 c048 00000001 00000002 00000003 00000004 00000005"      /* 96: x.EXAMPLE at 108 */
	       "c035 0027 0001 00000001 000f 0178 07 4558414d504c45 03 6f7267 00");
	struct fl_message m;
	assert_int_equal(fl_message_parse(&m, &arena, out, fl_pack_slow(&p, out, 512)), 0);
	assert_int_equal(m.n, 4);
}

/* Names that begin past the 14 bits of a pointer are written out each time. */
static void test_pointers_are_14_bits(void **state)
{
	(void)state;
	struct fl_item it[4] = { addresses(1100), item(&arena, "early. 1 NS late.example.", FL_AUTHORITY),
				 item(&arena, "late.example. 1 NS early.", FL_AUTHORITY),
					item(&arena, "early. 1 NS late.example.", FL_ADDITIONAL) };
	struct fl_message m;
	p.item = it;
	p.n = 4;
	size_t n = fl_pack_slow(&p, out, 65535);
	assert_int_equal(n, 33 + 1100 * 16 + (7 + 10 + 14) + (14 + 10 + 7) + (7 + 10 + 14));
	assert_int_equal(fl_message_parse(&m, &arena, out, n), 0);
	assert_int_equal(m.n, 4);
	for (int i = 1; i < 4; i++) {
		assert_true(fl_name_eq(m.item[i].owner, it[i].owner));
		assert_memory_equal(m.item[i].set->data, it[i].set->data, it[i].set->len);
	}
}

static void test_query(void **state)
{
	(void)state;
	struct fl_edns opt = { .code = 10, .len = 2, .data = (const uint8_t *)"hi" };
	expect(fl_pack_query(out, sizeof out, 0x4321, FL_RD | FL_CD, p.qname, FL_T_A, FL_C_IN, false, 0, 0, NULL),
	       "4321 0110 0001 0000 0000 0000" QUESTION);
	expect(fl_pack_query(out, 50, 0x4321, FL_RD, p.qname, FL_T_A, FL_C_IN, true, 1232, 0x8000, &opt),
	       "4321 0100 0001 0000 0000 0001" QUESTION "00 0029 04d0 0000 8000 0006 000a 0002 6869");
	assert_int_equal(fl_pack_query(out, 49, 0x4321, FL_RD, p.qname, FL_T_A, FL_C_IN, true, 1232, 0x8000, &opt), 0);
}

static void test_tight_above(void **state)
{
	(void)state;
	struct fl_item it = item(&arena, "Www.example.org. 1 NS ns.Www.example.org.", FL_ANSWER);
	p.item = &it;
	p.n = 1;
	size_t n = fl_pack(&p, out, 512);
	p.tight_above = n;
	assert_int_equal(fl_pack(&p, out, 512), n);
	p.tight_above = n - 1;
	assert_int_equal(fl_pack(&p, out, 512), 33 + 2 + 10 + 5);
	assert_false(p.cut);
}

/* The owner of the root is one octet, which no pointer beats. */
static void test_root(void **state)
{
	(void)state;
	struct fl_item it = item(&arena, ". 1 NS .", FL_ANSWER);
	p.qname = FL_ROOT;
	it.owner = p.qname;
	p.item = &it;
	p.n = 1;
	expect(fl_pack(&p, out, 512), "1234 8500 0001 0001 0000 0000 00 0001 0001 00 0002 0001 00000001 0001 00");
	size_t n = fl_pack(&p, out, 512);
	assert_int_equal(fl_pack_slow(&p, again, 512), n);
	assert_memory_equal(out, again, n);
}

/* The last option of the OPT fills the message up, also behind others, and never beyond the limit. */
static void test_padding(void **state)
{
	(void)state;
	struct fl_edns nsid = { 3, 2, (const uint8_t *)"ab", NULL };
	p.pad_to = 468;
	assert_int_equal(fl_pack(&p, out, 65535), 33);          /* without an OPT there is no padding */
	p.edns = true;
	p.udp_size = 1232;
	p.opt = &nsid;
	assert_int_equal(fl_pack(&p, out, 65535), 468);
	assert_int_equal(fl_get16(out + 33 + 9), 468 - 33 - 11);
	assert_memory_equal(out + 33 + 11, "\0\3\0\2ab\0\14", 8);
	assert_int_equal(fl_get16(out + 33 + 11 + 8), 468 - 33 - 11 - 10);
	assert_int_equal(out[467], 0);
	assert_int_equal(fl_pack_slow(&p, again, 65535), 468);
	assert_memory_equal(out, again, 468);
	p.room = 100;
	assert_int_equal(fl_pack(&p, out, 512), 412);           /* room for a signature, then as far as it goes */
	p.room = 65535 - 53;
	assert_true(fl_pack(&p, out, 65535) >= 50);
	p.room = 0;
	char text[600];
	snprintf(text, sizeof text, "x TXT %0250d %0160d", 0, 0);
	struct fl_item it = item(&arena, text, FL_ADDITIONAL);
	p.item = &it;
	p.n = 1;
	size_t n = fl_pack(&p, out, 65535);
	assert_int_equal(n, 936);
	p.pad_to = 1;
	size_t least = fl_pack(&p, out, 65535);
	p.pad_to = 0;
	assert_int_equal(fl_pack(&p, again, 65535), least - 4); /* an empty option */
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_fast), T(test_header), T(test_opt), T(test_ttl_bounds), T(test_shuffle), T(test_first),
		T(test_shuffle_of_unlike_records), T(test_cut), T(test_ede_gives_way), T(test_large), T(test_compression),
			T(test_query),
		T(test_root), T(test_pointers_are_14_bits), T(test_tight_above), T(test_padding),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

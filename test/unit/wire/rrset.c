#include "arena.h"
#include "bytes.h"
#include <errno.h>

static void test_maker(void **state)
{
	(void)state;
	struct fl_rrset_maker m;
	fl_rrset_begin(&m, &arena, FL_T_A, FL_C_IN, 0);
	for (uint32_t i = 0; i < 5000; i++) {
		uint8_t ip[4];
		fl_put32(ip, i);
		fl_rrset_put(&m, i * 3, ip, 4);
	}
	const struct fl_rrset *s = fl_rrset_end(&m);
	assert_non_null(s);
	assert_int_equal(s->count, 5000);
	assert_int_equal(s->stride, 14);
	assert_int_equal(s->len, 5000 * 14);
	uint32_t i = 0;
	for (struct fl_rr r = { 0 }; fl_rr_next(s, &r); i++) {
		assert_int_equal(r.type, FL_T_A);
		assert_int_equal(r.class, FL_C_IN);
		assert_int_equal(r.ttl, i * 3);
		assert_int_equal(r.rdlen, 4);
		assert_int_equal(fl_get32(r.rdata), i);
	}
	assert_int_equal(i, 5000);
}

static void test_maker_of_unlike_records(void **state)
{
	(void)state;
	struct fl_rrset_maker m;
	fl_rrset_begin(&m, &arena, FL_T_TXT, FL_C_CH, 100);
	fl_rrset_put(&m, 1, "\1a", 2);
	fl_rrset_put2(&m, 2, "\2", 1, "bc", 2);
	const struct fl_rrset *s = fl_rrset_end(&m);
	assert_int_equal(s->stride, 0);
	assert_int_equal(s->len, 25);
	assert_memory_equal(s->data, "\0\20\0\3\0\0\0\1\0\2\1a\0\20\0\3\0\0\0\2\0\3\2bc", 25);
	/* What was reserved and not used went back. */
	char *at = arena.p;
	assert_true(at - (char *)s <= 64 && at > (char *)s);
	fl_rrset_begin(&m, &arena, FL_T_TXT, FL_C_IN, 0);
	s = fl_rrset_end(&m);
	assert_int_equal(s->count + s->len, 0);
	assert_false(fl_rr_next(s, &(struct fl_rr){ 0 }));
}

static void test_maker_out_of_memory(void **state)
{
	(void)state;
	char mem[256];
	struct fl_arena small;
	struct fl_rrset_maker m;
	fl_arena_init(&small, mem, sizeof mem, NULL, 0);
	fl_rrset_begin(&m, &small, FL_T_TXT, FL_C_IN, 0);
	for (int i = 0; i < 30; i++)
		fl_rrset_put(&m, 0, "\5abcde", 6);
	assert_null(fl_rrset_end(&m));
	fl_arena_init(&small, mem, sizeof mem, NULL, 0);
	fl_rrset_begin(&m, &small, FL_T_TXT, FL_C_IN, 0);
	for (int i = 0; i < 14; i++)    /* 24 and 14 x 16 octets: to the last one */
		fl_rrset_put(&m, 0, "\5abcde", 6);
	assert_non_null(fl_rrset_end(&m));
	assert_null(fl_rrset_one(&small, FL_T_A, 1, "abcd", 4));
	assert_non_null(fl_rrset_one(&arena, FL_T_A, 1, "abcd", 4));
}

struct found { size_t at[4]; bool compressible[4]; unsigned n; };
static void found(void *arg, size_t offset, bool compressible)
{
	struct found *f = arg;
	f->at[f->n] = offset;
	f->compressible[f->n++] = compressible;
}

static void test_names_in_rdata(void **state)
{
	(void)state;
	static const struct { const char *rr; unsigned n; size_t at[2]; bool compressible; } rows[] = {
		{ "x A 1.2.3.4", 0, { 0 }, false }, { "x CNAME b.c", 1, { 0 }, true }, { "x NS b.c", 1, { 0 }, true },
		{ "x PTR b.c", 1, { 0 }, true }, { "x MX 1 b.c", 1, { 2 }, true }, { "x SOA b.c d 1 2 3 4 5", 2, { 0, 5 }, true },
		{ "x SRV 1 2 3 b.c", 1, { 6 }, false }, { "x DNAME b", 1, { 0 }, false }, { "x RP b c", 2, { 0, 3 }, false },
		{ "x NAPTR 1 2 \"s\" \"\" \"re\" b", 1, { 10 }, false }, { "x HTTPS 1 b.c port=443", 1, { 2 }, false },
		{ "x TXT b.c", 0, { 0 }, false }, { "x TYPE65280 \\# 3 016200", 0, { 0 }, false },
	};
	for (size_t i = 0; i < FL_COUNT(rows); i++) {
		struct fl_rr r = { 0 };
		struct found f = { .n = 0 };
		assert_true(fl_rr_next(item(&arena, rows[i].rr, 0).set, &r));
		assert_int_equal(fl_rdata_names(r.type, r.rdata, r.rdlen, found, &f), 0);
		assert_int_equal(f.n, rows[i].n);
		for (unsigned k = 0; k < f.n; k++) {
			assert_int_equal(f.at[k], rows[i].at[k]);
			assert_int_equal(f.compressible[k], rows[i].compressible);
		}
	}
}

static void test_rdata_refused(void **state)
{
	(void)state;
	static const struct { uint16_t type; const char *hex; } rows[] = {
		{ FL_T_A, "010203" }, { FL_T_A, "0102030405" }, { FL_T_AAAA, "01020304" }, { FL_T_CNAME, "" },
		{ FL_T_CNAME, "0161" },
		{ FL_T_CNAME, "016100 00" }, { FL_T_CNAME, "c00c" }, { FL_T_CNAME, "40 00" }, { FL_T_MX, "0001" },
		{ FL_T_MX, "00" },
		{ FL_T_SOA, "00 00 00000001 00000001 00000001 00000001 000000" }, { FL_T_SRV, "0001 0002 0003" },
		{ FL_T_TXT, "02 61" },
		{ FL_T_NSEC, "00 00 21 00" }, { FL_T_NSEC, "00 01 01 40 00 01 40" }, { FL_T_NSEC, "00 00 00" },
		{ FL_T_OPT, "0001 0001" },
		{ FL_T_SVCB, "0001 00 0003 0000 0001 0000" }, { FL_T_CAA, "00 05 69" },
	};
	for (size_t i = 0; i < FL_COUNT(rows); i++) {
		size_t n;
		uint8_t *p = bytes(rows[i].hex, &n);
		struct found f = { .n = 0 };
		assert_int_equal(fl_rdata_names(rows[i].type, p, n, found, &f), -EBADMSG);
		free(p);
	}
}

static void test_long_name_in_rdata(void **state)
{
	(void)state;
	for (int last = 61; last <= 62; last++) {
		uint8_t name[257] = { 0 };
		for (int i = 0; i < 4; i++)
			name[64 * i] = (uint8_t)(i < 3 ? 63 : last);
		struct found f = { .n = 0 };
		assert_int_equal(fl_rdata_names(FL_T_CNAME, name, 194 + (size_t)last, found, &f), last == 61 ? 0 : -EBADMSG);
	}
}

static void test_codes(void **state)
{
	(void)state;
	char to[16];
	uint16_t v;
	assert_string_equal(fl_type_name(FL_T_AAAA), "AAAA");
	assert_null(fl_type_name(65280));
	assert_int_equal(fl_type_text(to, 65280), 9);
	assert_string_equal(to, "TYPE65280");
	for (unsigned t = 0; t <= UINT16_MAX; t++) {
		size_t n = fl_type_text(to, (uint16_t)t);
		assert_true(fl_type_parse((struct fl_str){ to, n }, &v) && v == t);
		n = fl_class_text(to, (uint16_t)t);
		assert_true(fl_class_parse((struct fl_str){ to, n }, &v) && v == t);
		const char *name = fl_rcode_name((uint16_t)t);
		assert_true(!name || (fl_rcode_parse(fl_str(name), &v) && v == t));
	}
	static const char *const bad[] = { "a", "", "TYPE", "TYPE65536", "TYPE-1", "TYPE+1", "TYPE1x", "CLASS1" };
	for (size_t i = 0; i < FL_COUNT(bad); i++)
		assert_false(fl_type_parse(fl_str(bad[i]), &v));
	assert_string_equal(fl_class_name(FL_C_CH), "CH");
	assert_string_equal(fl_rcode_name(FL_NXDOMAIN), "NXDOMAIN");
	assert_string_equal(fl_rcode_name(16), "BADSIG");
	assert_null(fl_rcode_name(12));
	assert_true(fl_rcode_parse(FL_STR("NOTIMPL"), &v) && v == FL_NOTIMP);
	assert_false(fl_rcode_parse(FL_STR("5"), &v));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_maker, setup, teardown),
		cmocka_unit_test_setup_teardown(test_maker_of_unlike_records, setup, teardown),
		cmocka_unit_test_setup_teardown(test_maker_out_of_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(test_names_in_rdata, setup, teardown),
		cmocka_unit_test(test_rdata_refused), cmocka_unit_test(test_long_name_in_rdata),
		cmocka_unit_test(test_codes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

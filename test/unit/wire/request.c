/* Verdicts on requests, as CoreDNS 1.15.0 gave them. */
#include "bytes.h"

#define HEAD(flags, qd, an, ns, ar) "0007 " flags " " qd " " an " " ns " " ar " "
#define QUERY HEAD("0100", "0001", "0000", "0000", "0000")
#define QUESTION "0178 0456696577 0474657374 00 0001 0001 "
#define ONE HEAD("0100", "0001", "0000", "0000", "0001") QUESTION      /* a question, and one record behind it */
#define OPT "00 0029 04d0 00 00 8000 0000 "
#define A "0178 00 0001 0001 00000000 0004 01020304 "

static const struct { const char *what, *hex; enum fl_parsed verdict; int question; } rows[] = {
	{ "plain", QUERY QUESTION, FL_PARSED_OK, 1 },
	{ "nothing", "", FL_PARSED_DROP, 0 },
	{ "11 octets", "0007010000010000000000", FL_PARSED_DROP, 0 },
	{ "a response", HEAD("8100", "0001", "0000", "0000", "0000") QUESTION, FL_PARSED_DROP, 0 },
	{ "a response of another opcode", HEAD("a900", "0001", "0000", "0000", "0000") QUESTION, FL_PARSED_DROP, 0 },
	{ "opcode 1", HEAD("0900", "0001", "0000", "0000", "0000") QUESTION, FL_PARSED_NOTIMP, 0 },
	{ "opcode 15, no question", HEAD("7900", "0000", "0000", "0000", "0000"), FL_PARSED_NOTIMP, 0 },
	{ "notify", HEAD("2000", "0001", "0000", "0000", "0000") QUESTION, FL_PARSED_OK, 1 },
	{ "update, not taken", HEAD("2800", "0001", "0000", "0000", "0000") QUESTION, FL_PARSED_NOTIMP, 0 },
	{ "no question", HEAD("0100", "0000", "0000", "0000", "0000"), FL_PARSED_FORMERR_BARE, 0 },
	{ "two questions", HEAD("0100", "0002", "0000", "0000", "0000") QUESTION QUESTION, FL_PARSED_FORMERR_BARE, 0 },
	{ "two answers", HEAD("0100", "0001", "0002", "0000", "0000") QUESTION A A, FL_PARSED_FORMERR_BARE, 0 },
	{ "two authorities", HEAD("0100", "0001", "0000", "0002", "0000") QUESTION A A, FL_PARSED_FORMERR_BARE, 0 },
	{ "three additional", HEAD("0100", "0001", "0000", "0000", "0003") QUESTION A A A, FL_PARSED_FORMERR_BARE, 0 },
	{ "an answer counted, none there", HEAD("0100", "0001", "0001", "0000", "0000") QUESTION, FL_PARSED_OK, 1 },
	{ "an answer", HEAD("0100", "0001", "0001", "0000", "0001") QUESTION A OPT, FL_PARSED_OK, 1 },
	{ "header only", QUERY, FL_PARSED_SERVFAIL, 0 },
	{ "trailing garbage", QUERY QUESTION "dead", FL_PARSED_OK, 1 },
	{ "name only", QUERY "0178 00", FL_PARSED_OK, 1 },
	{ "name and type", QUERY "0178 00 0001", FL_PARSED_OK, 1 },
	{ "name and half a type", QUERY "0178 00 00", FL_PARSED_FORMERR, 0 },
	{ "name, type and half a class", QUERY "0178 00 0001 00", FL_PARSED_FORMERR, 0 },
	{ "half a name", QUERY "0178 04", FL_PARSED_FORMERR, 0 },
	{ "pointer loop", QUERY "c00c 0001 0001", FL_PARSED_FORMERR, 0 },
	{ "reserved label", QUERY "4178 00 0001 0001", FL_PARSED_FORMERR, 0 },
	{ "opt", ONE OPT, FL_PARSED_OK, 1 },
	{ "opt cut off", ONE "00 0029 04d0 00 00 8000 00", FL_PARSED_FORMERR, 1 },
	{ "opt longer than it is", ONE "00 0029 04d0 00 00 8000 0001", FL_PARSED_FORMERR, 1 },
	{ "opt with options that are not there", ONE "00 0029 04d0 00 00 8000 0008", FL_PARSED_FORMERR, 1 },
	{ "opt of another owner", ONE "0178" OPT, FL_PARSED_OK, 1 },
	{ "version 1", ONE "00 0029 04d0 00 01 8000 0000", FL_PARSED_BADVERS, 1 },
	{ "two opts", HEAD("0100", "0001", "0000", "0000", "0002") QUESTION "00 0029 1000 00 01 0000 0000" OPT, FL_PARSED_OK, 1 },
	{ "bad options", ONE "00 0029 04d0 00 00 8000 0003 000a00", FL_PARSED_FORMERR, 1 },
	{ "client subnet", ONE "00 0029 04d0 00 00 8000 000b 0008 0007 0001 18 00 0a0000", FL_PARSED_OK, 1 },
	{ "subnet of 33 bits", ONE "00 0029 04d0 00 00 8000 0008 0008 0004 0001 21 00", FL_PARSED_FORMERR, 1 },
	{ "a short A", ONE "00 0001 0001 00000000 0003 010203", FL_PARSED_FORMERR, 1 },
	{ "an A without rdata", ONE "00 0001 0001 00000000 0000", FL_PARSED_OK, 1 },
	{ "forward pointer behind the question", ONE "c0ff 0001 0001 00000000 0000", FL_PARSED_FORMERR, 1 },
};

static void test_verdicts(void **state)
{
	(void)state;
	for (size_t i = 0; i < FL_COUNT(rows); i++) {
		struct fl_request r;
		size_t n;
		uint8_t *p = bytes(rows[i].hex, &n);
		enum fl_parsed v = fl_request_parse(&r, p, n, 0);
		if (v != rows[i].verdict || (r.question_end > 0) != rows[i].question)
			fail_msg("%s: verdict %d, question ends at %zu", rows[i].what, v, r.question_end);
		free(p);
	}
}

static void test_fields(void **state)
{
	(void)state;
	struct fl_request r;
	size_t n;
	uint8_t *p = bytes(HEAD("1730", "0001", "0000", "0000", "0001") QUESTION "00 0029 1000 05 00 8007 0006 fde9 0002 6869", &n);
	p[2] = 0x07;    /* opcode 0 with AA TC RD, and all of the low flags */
	assert_int_equal(fl_request_parse(&r, p, n, 0), FL_PARSED_OK);
	assert_int_equal(r.id, 7);
	assert_int_equal(r.flags, 0x0730);
	assert_int_equal(r.opcode, 0);
	assert_ptr_equal(r.qname.wire, p + 12);
	assert_int_equal(r.qname.len, 13);
	assert_int_equal(r.qtype, 1);
	assert_int_equal(r.qclass, 1);
	assert_int_equal(r.question_end, 29);
	assert_true(r.edns && r.dnssec_ok);
	assert_int_equal(r.udp_size, 4096);
	assert_int_equal(r.edns_flags, 0x8007);
	assert_int_equal(r.opt_len, 6);
	struct fl_arena a;
	fl_arena_init(&a, NULL, 0, NULL, 1 << 16);
	struct fl_edns *o = fl_edns_parse(&a, r.opt_data, r.opt_len);
	assert_non_null(o);
	assert_int_equal(o->code, 65001);
	assert_int_equal(o->len, 2);
	assert_memory_equal(o->data, "hi", 2);
	assert_null(o->next);
	assert_null(fl_edns_parse(&a, r.opt_data, 5));
	fl_arena_finish(&a);
	free(p);
}

static void test_tsig_and_update(void **state)
{
	(void)state;
	struct fl_request r;
	size_t n;
#define TSIG "016b 00 00fa 00ff 00000000 0015 01 61 00 000000000000 0000 0002 6162 0007 0000 0000 "
	uint8_t *p = bytes(HEAD("2800", "0001", "0003", "0002", "0002") QUESTION A "0178 00 0001 00ff 00000000 0000" A A A OPT TSIG,
		&n);
	assert_int_equal(fl_request_parse(&r, p, n, 1 << FL_OP_UPDATE), FL_PARSED_OK);
	assert_int_equal(r.opcode, FL_OP_UPDATE);
	assert_int_equal(r.tsig_at, n - 34);
	assert_int_equal(fl_request_parse(&r, p, n, 0), FL_PARSED_NOTIMP);
	free(p);
	/* Not the last record: not a signature. */
	p = bytes(HEAD("0100", "0001", "0000", "0000", "0002") QUESTION TSIG OPT, &n);
	assert_int_equal(fl_request_parse(&r, p, n, 0), FL_PARSED_OK);
	assert_int_equal(r.tsig_at, 0);
	free(p);
}

/* The longest name that is one, and one octet more. */
static void test_long_names(void **state)
{
	(void)state;
	struct fl_request r;
	for (int last = 61; last <= 62; last++) {
		uint8_t p[12 + 256 + 4] = { [5] = 1 };
		size_t at = 12;
		for (int i = 0; i < 4; i++) {
			int len = i < 3 ? 63 : last;
			p[at] = (uint8_t)len;
			memset(p + at + 1, 'x', (size_t)len);
			at += (size_t)len + 1;
		}
		assert_int_equal(fl_request_parse(&r, p, at + 5, 0), last == 61 ? FL_PARSED_OK : FL_PARSED_FORMERR);
		if (last == 61)
			assert_int_equal(r.qname.len, 255);
	}
}

/* Every beginning of a request is judged without reading past it. */
static void test_every_length(void **state)
{
	(void)state;
	size_t n;
	struct fl_request r;
	uint8_t *all = bytes(HEAD("0100", "0001", "0001", "0001", "0002") QUESTION A A OPT "c00c 0006 0001 00000000 0018 c00c c00e"
			     "0000000100000001000000010000000100000001", &n);
	assert_int_equal(fl_request_parse(&r, all, n, 0), FL_PARSED_OK);
	for (size_t k = 0; k < n; k++) {
		uint8_t *p = malloc(k ? k : 1);
		memcpy(p, all, k);
		enum fl_parsed v = fl_request_parse(&r, p, k, 0);
		assert_int_equal(v == FL_PARSED_DROP, k < 12);
		assert_true(r.question_end <= k);
		free(p);
	}
	free(all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verdicts), cmocka_unit_test(test_fields), cmocka_unit_test(test_tsig_and_update),
		cmocka_unit_test(test_long_names), cmocka_unit_test(test_every_length),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

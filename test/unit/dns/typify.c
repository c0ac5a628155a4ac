/* What kind a reply is: the table of CoreDNS's plugin/pkg/response, and lengths as they would be spelled out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include "dns/typify.h"

static struct fl_client client;
static struct fl_query q;
static struct fl_item item[4];
static struct fl_rrset set[4];
static const struct fl_name owner = { (const uint8_t *)"\1a\4test", 8 };

/* "A:an SOA:ns" */
static void reply(uint16_t rcode, unsigned n, ...)
{
	va_list ap;
	client = (struct fl_client){ .qname = owner };
	q = (struct fl_query){ .qname = owner, .qtype = FL_T_A, .qclass = FL_C_IN, .client = &client };
	q.res = (struct fl_reply){ .item = item, .n = (uint16_t)n, .rcode = rcode };
	va_start(ap, n);
	for (unsigned i = 0; i < n; i++) {
		set[i] = (struct fl_rrset){ .type = (uint16_t)va_arg(ap, int), .count = 1 };
		item[i] = (struct fl_item){ .owner = owner, .set = &set[i], .section = (uint8_t)va_arg(ap, int) };
	}
	va_end(ap);
}

#define EXPECT(kind, class)                                                                                     \
	do {                                                                                                    \
		assert_string_equal(fl_kind_name(fl_typify(&q, 0)), kind);                                      \
		assert_string_equal(fl_kind_class_name(fl_classify(fl_typify(&q, 0))), class);                  \
	} while (0)

static void kinds(void **state)
{
	(void)state;
	reply(FL_NOERROR, 1, FL_T_A, FL_ANSWER);
	EXPECT("NOERROR", "success");
	reply(FL_NOERROR, 2, FL_T_CNAME, FL_ANSWER, FL_T_SOA, FL_AUTHORITY);
	EXPECT("NOERROR", "success");
	reply(FL_NXDOMAIN, 1, FL_T_A, FL_ANSWER);
	EXPECT("OTHERERROR", "error");
	reply(FL_NOERROR, 1, FL_T_SOA, FL_AUTHORITY);
	EXPECT("NODATA", "denial");
	reply(FL_NXDOMAIN, 1, FL_T_SOA, FL_AUTHORITY);
	EXPECT("NXDOMAIN", "denial");
	reply(FL_NXDOMAIN, 0);
	EXPECT("NXDOMAIN", "denial");
	reply(FL_NOERROR, 2, FL_T_NS, FL_AUTHORITY, FL_T_A, FL_ADDITIONAL);
	EXPECT("DELEGATION", "success");
	reply(FL_NOERROR, 2, FL_T_NS, FL_AUTHORITY, FL_T_SOA, FL_AUTHORITY);
	EXPECT("NODATA", "denial");
	reply(FL_NOERROR, 1, FL_T_A, FL_ADDITIONAL);
	EXPECT("NOERROR", "success");
	reply(FL_SERVFAIL, 0);
	EXPECT("SERVERERROR", "error");
	reply(FL_NOTIMP, 0);
	EXPECT("SERVERERROR", "error");
	reply(FL_REFUSED, 0);
	EXPECT("OTHERERROR", "error");
	q.dropped = true;
	EXPECT("OTHERERROR", "error");
	reply(FL_NOERROR, 1, FL_T_SOA, FL_ANSWER);
	q.qtype = FL_T_AXFR;
	EXPECT("META", "error");
	reply(FL_NOERROR, 0);
	client.opcode = FL_OP_UPDATE;
	EXPECT("UPDATE", "error");
	client.opcode = FL_OP_NOTIFY;
	EXPECT("META", "error");
}

static void class_names(void **state)
{
	(void)state;
	enum fl_kind_class c;
	assert_true(fl_kind_class_parse(FL_STR("denial"), &c) && c == FL_CLASS_DENIAL);
	assert_true(fl_kind_class_parse(FL_STR("all"), &c) && c == FL_CLASS_ALL);
	assert_false(fl_kind_class_parse(FL_STR("Denial"), &c));
}

/* A signature that is over, or not begun, makes an error of an answer, for who asked for it. */
static void signatures(void **state)
{
	(void)state;
	uint8_t rr[10 + 19] = { 0, FL_T_RRSIG, 0, 1, 0, 0, 0, 9, 0, 19 };
	const uint64_t now = 1800000000;
	for (int i = 0; i < 4; i++) {
		static const int from[] = { -10, 10, -10, -10 }, until[] = { 10, 20, -5, 10 };
		fl_put32(rr + 10 + 8, (uint32_t)(now + (uint64_t)until[i]));
		fl_put32(rr + 10 + 12, (uint32_t)(now + (uint64_t)from[i]));
		reply(FL_NOERROR, 2, FL_T_A, FL_ANSWER, FL_T_RRSIG, FL_ANSWER);
		set[1].data = rr;
		set[1].len = sizeof rr;
		q.ask.dnssec_ok = i != 3;
		bool over = i == 1 || i == 2;
		assert_int_equal(fl_typify(&q, now), over ? FL_KIND_OTHERERROR : FL_KIND_NOERROR);
		assert_int_equal(fl_typify(&q, 0), FL_KIND_NOERROR);
		q.ask.dnssec_ok = false;
		assert_int_equal(fl_typify(&q, now), FL_KIND_NOERROR);
	}
}

static void lengths(void **state)
{
	(void)state;
	struct fl_query parent = { 0 };
	reply(FL_NOERROR, 1, FL_T_A, FL_ANSWER);
	set[0].count = 3;
	set[0].len = 3 * 14;
	assert_int_equal(fl_reply_full_len(&q), 12 + 8 + 4 + 3 * (8 + 14));
	client.packet_len = 12 + 8 + 4 + 11;
	assert_int_equal(fl_request_len(&q), client.packet_len);
	q.parent = &parent;
	q.qname = (struct fl_name){ (const uint8_t *)"\4test", 6 };
	assert_int_equal(fl_request_len(&q), client.packet_len - 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(kinds), cmocka_unit_test(class_names), cmocka_unit_test(signatures),
					    cmocka_unit_test(lengths) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* dnstap's octets: records, frames and control frames. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include "plugin/dnstap/dnstap.h"

static void record(void **state)
{
	/* As golang-dnstap and google.golang.org/protobuf encode it, behind four octets of length. */
	static const uint8_t want[] = {
		0, 0, 0, 66,
		0x0a, 2, 'm', 'e', 0x12, 3, '1', '.', '2', 0x1a, 0,
		0x72, 51,
		0x08, 6, 0x10, 1, 0x18, 2,              /* CLIENT_RESPONSE, INET, TCP */
		0x22, 4, 192, 0, 2, 1, 0x30, 0xb5, 0x9a, 3,     /* 192.0.2.1, 52533 */
		0x40, 0x80, 0xe2, 0xcf, 0xaa, 6, 0x4d, 5, 0, 0, 0,      /* 1700000000.000000005 */
		0x60, 0x81, 0xe2, 0xcf, 0xaa, 6, 0x6d, 0xff, 0xc9, 0x9a, 0x3b,  /* 1700000001.999999999 */
		0x72, 11, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11,
		0x78, 1,
	};
	static const uint8_t msg[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 };
	struct dnstap_who who = { FL_STR("me"), FL_STR("1.2") };
	struct dnstap_event ev = { .type = DNSTAP_CLIENT_RESPONSE, .tcp = true, .from = { { 192, 0, 2, 1 }, 4 }, .from_port = 52533,
				   .query_ns = 1700000000 * FL_SEC + 5, .response_ns = 1700000001 * FL_SEC + 999999999, .msg = msg,
				   .nmsg = sizeof msg, .extra = FL_STR("") };
	uint8_t got[128];
	(void)state;
	assert_int_equal(fl_dnstap_frame(NULL, &who, &ev), sizeof want);
	assert_int_equal(fl_dnstap_frame(got, &who, &ev), sizeof want);
	assert_memory_equal(got, want, sizeof want);
}

static void little(void **state)
{
	static const uint8_t want[] = { 0, 0, 0, 32, 0x72, 28, 0x08, 7, 0x10, 2, 0x18, 1, 0x2a, 16, 0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
					0x38, 53, 0x52, 0, 0x78, 1 };
	struct dnstap_event ev = { .type = DNSTAP_FORWARDER_QUERY, .to = { { 0x20, 1, 0x0d, 0xb8, [15] = 1 }, 16 }, .to_port = 53,
				   .msg = (const uint8_t *)"" };
	uint8_t got[64];
	(void)state;
	assert_int_equal(fl_dnstap_frame(got, &(struct dnstap_who){ 0 }, &ev), sizeof want);
	assert_memory_equal(got, want, sizeof want);
}

static void control(void **state)
{
	uint8_t b[600];
	uint32_t type = 0;
	(void)state;
	size_t n = fl_dnstap_control(b, FSTRM_READY);
	assert_int_equal(n, 42);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(fl_dnstap_control_read(b, i, &type), 0);
	assert_int_equal(fl_dnstap_control_read(b, sizeof b, &type), 42);
	assert_int_equal(type, FSTRM_READY);
	assert_int_equal(fl_dnstap_control(b, FSTRM_STOP), 12);
	assert_int_equal(fl_dnstap_control_read(b, 12, &type), 12);
	assert_int_equal(type, FSTRM_STOP);
	b[0] = 1;                               /* a data frame */
	assert_int_equal(fl_dnstap_control_read(b, 4, &type), -EPROTO);
	static const struct { const char *p; size_t n; int ret; } some[] = {
		{ "\0\0\0\0\0\0\0\3abc", 11, -EPROTO },                                 /* no room for a type */
		{ "\0\0\0\0\0\0\2\1", 8, -EPROTO },                                     /* longer than control frames may be */
		{ "\0\0\0\0\0\0\0\17\0\0\0\1\0\0\0\1\0\0\0", 19, 0 },
		{ "\0\0\0\0\0\0\0\14\0\0\0\1\0\0\0\1\0\0\0\0", 20, -EPROTO },           /* another content */
		{ "\0\0\0\0\0\0\0\14\0\0\0\1\0\0\0\1\377\377\377\377", 20, -EPROTO },
		{ "\0\0\0\0\0\0\0\14\0\0\0\1\0\0\0\2\0\0\0\0", 20, -EPROTO },           /* another field */
		{ "\0\0\0\0\0\0\0\10\0\0\0\1\0\0\0\1", 16, -EPROTO },                   /* half a field */
		{ "\0\0\0\0\0\0\0\52\0\0\0\1\0\0\0\1\0\0\0\0\0\0\0\1\0\0\0\26protobuf:dnstap.Dnstap", 50, 50 },
	};
	for (unsigned i = 0; i < FL_COUNT(some); i++) {
		memcpy(b, some[i].p, some[i].n);
		assert_int_equal(fl_dnstap_control_read(b, some[i].n, &type), some[i].ret);
	}
}

static void endpoints(void **state)
{
	char host[256];
	uint16_t port;
	(void)state;
	assert_true(fl_dnstap_split(FL_STR("127.0.0.1:6000"), host, &port));
	assert_string_equal(host, "127.0.0.1");
	assert_int_equal(port, 6000);
	assert_true(fl_dnstap_split(FL_STR("[::1]:1"), host, &port));
	assert_string_equal(host, "::1");
	assert_true(fl_dnstap_split(FL_STR(":65535"), host, &port));
	assert_string_equal(host, "");
	static const char *const bad[] = { "", "host", "host:", "host:0", "host:65536", "[::1]", "host:1x" };
	for (unsigned i = 0; i < FL_COUNT(bad); i++)
		assert_false(fl_dnstap_split(fl_str(bad[i]), host, &port));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(record), cmocka_unit_test(little), cmocka_unit_test(control),
					    cmocka_unit_test(endpoints) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

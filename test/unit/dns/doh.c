/* What of DoH and gRPC is pure: the question in a URL, the age of an answer, messages in protobuf. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "dns/doh.h"

static void test_get(void **state)
{
	(void)state;
	static const struct { const char *target; int n; const char *bytes; } rows[] = {
		{ "/dns-query?dns=", 0, "" }, { "/dns-query?dns=AA", 1, "\0" }, { "/dns-query?dns=AAA", 2, "\0\0" },
		{ "/dns-query?dns=-_-_", 3, "\xfb\xff\xbf" }, { "/dns-query?dns=AQID", 3, "\1\2\3" },
		{ "/dns-query?x&dns=AQID&y=z", 3, "\1\2\3" }, { "/%64ns-query?d%6es=%41QID", 3, "\1\2\3" },
		{ "/dns-query?dns=AQ%0d%0AID", 3, "\1\2\3" }, { "/dns-query?dns=%zz&dns=AQID", 3, "\1\2\3" },
		{ "/dns-query?dns=a;b&dns=AQID", 3, "\1\2\3" }, { "/dns-query?%&dns=AQID&&", 3, "\1\2\3" },
		{ "/dns-query", -EINVAL, "" }, { "/dns-query?", -EINVAL, "" }, { "/dns-query?dns", 0, "" },
		{ "/dns-query?dns=A", -EINVAL, "" }, { "/dns-query?dns=AQID=", -EINVAL, "" }, { "/dns-query?dns=AQ+D", -EINVAL, "" },
		{ "/dns-query?dns=AQ/D", -EINVAL, "" }, { "/dns-query?dns=AQID&dns=AQID", -EINVAL, "" }, { "/dns-query?DNS=AQID", -EINVAL, "" },
		{ "/dns-query?dns=AQID\xff", -EINVAL, "" }, { "/", -ENOENT, "" }, { "", -ENOENT, "" }, { "/dns-query/?dns=AQID", -ENOENT, "" },
		{ "/dns-quer?dns=AQID", -ENOENT, "" }, { "/dns-query%?dns=AQID", -ENOENT, "" }, { "/dns-query%2?dns=AQID", -ENOENT, "" },
		{ "*", -ENOENT, "" },
	};
	uint8_t got[16];
	for (size_t i = 0; i < FL_COUNT(rows); i++) {
		int n = fl_doh_get(fl_str(rows[i].target), got, sizeof got);
		if (n != rows[i].n || (n > 0 && memcmp(got, rows[i].bytes, (size_t)n)))
			fail_msg("%s: %d", rows[i].target, n);
		assert_int_equal(fl_doh_path(fl_str(rows[i].target)), n != -ENOENT);
	}
	assert_int_equal(fl_doh_get(FL_STR("/dns-query?dns=AQIDBA"), got, 3), -EINVAL);
	assert_int_equal(fl_doh_get(FL_STR("/dns-query?dns=AQID"), got, 3), 3);
}

#define HEAD(an, ns, ar) "\0\0\x80\0\0\1\0" an "\0" ns "\0" ar "\1a\0\0\1\0\1"
#define RR(type, ttl) "\xc0\x0c\0" type "\0\1" ttl "\0\1x"

static void test_age(void **state)
{
	(void)state;
	static const struct { const char *msg; size_t n; uint32_t age; } rows[] = {
#define M(text) text, sizeof text - 1
		{ M(HEAD("\0", "\0", "\0")), 5 }, { M(HEAD("\1", "\0", "\0") RR("\1", "\0\0\0\x1e")), 30 },
		{ M(HEAD("\1", "\1", "\1") RR("\1", "\0\0\1\0") RR("\6", "\0\0\0\x28") RR("\1", "\0\0\0\x29")), 40 },
		{ M(HEAD("\1", "\0", "\1") RR("\1", "\0\0\1\0") RR("\x29", "\0\0\0\1")), 256 },
		{ M(HEAD("\0", "\0", "\1") RR("\x29", "\0\0\0\1")), 5 }, { M(HEAD("\1", "\0", "\0") RR("\1", "\0\1\0\0")), 3600 },
		{ M(HEAD("\1", "\0", "\0") RR("\1", "\xff\xff\xff\xff")), 3600 }, { M(HEAD("\1", "\0", "\0") RR("\1", "\0\0\0\0")), 0 },
		{ M(HEAD("\2", "\0", "\0") RR("\1", "\0\0\0\x1e") "\3abc"), 30 }, { M("\0\0"), 5 },
		{ M("\0\0\x80\0\xff\xff\xff\xff\xff\xff\xff\xff"), 5 },
	};
	for (size_t i = 0; i < FL_COUNT(rows); i++) {
		uint8_t *exact = malloc(rows[i].n);
		memcpy(exact, rows[i].msg, rows[i].n);
		if (fl_doh_age(exact, rows[i].n) != rows[i].age)
			fail_msg("row %zu: %u", i, fl_doh_age(exact, rows[i].n));
		free(exact);
	}
}

static void test_wrap(void **state)
{
	(void)state;
	static uint8_t body[70000];
	static const size_t sizes[] = { 0, 1, 12, 127, 128, 16383, 16384, 65535 };
	struct fl_str msg;
	const char *why;
	for (size_t i = 0; i < FL_COUNT(sizes); i++) {
		size_t n = fl_grpc_wrap(body, sizes[i]);
		assert_true(n <= 10);
		assert_int_equal(fl_grpc_unwrap(body, n + sizes[i], &msg, &why), 0);
		assert_int_equal(msg.n, sizes[i]);
		assert_ptr_equal(msg.p, body + n);
		for (size_t cut = 0; cut < n; cut++)
			assert_int_equal(fl_grpc_unwrap(body, cut, &msg, &why), 13);
	}
}

static void test_unwrap(void **state)
{
	(void)state;
	static const struct { const char *body; size_t n; int status; const char *msg; } rows[] = {
		{ M("\0\0\0\0\0"), 0, "" }, { M("\0\0\0\0\4\x0a\2hi"), 0, "hi" }, { M("\0\0\0\0\6\x0a\2hi\x0a\0"), 0, "" },
		{ M("\0\0\0\0\4\x12\2hi"), 0, "" }, { M("\0\0\0\0\x11\x10\x80\1\x19" "12345678\x25" "1234"), 0, "" },
		{ M("\0\0\0\0\3\x0a\2h"), 13, "" }, { M("\0\0\0\0\1\x0a"), 13, "" }, { M("\0\0\0\0\2\2\0"), 13, "" }, { M("\0\0\0\0\1\x0b"), 13, "" },
		{ M("\0\0\0\0\5\x80\x80\x80\x80\x80"), 13, "" }, { M("\0\0\0\0\5\x0a\2hi"), 13, "" }, { M("\1\0\0\0\0"), 12, "" },
		{ M("\2\0\0\0\0"), 13, "" }, { M("\0\0\1\0\4"), 8, "" },
		{ M("\0\0\0\0\x0c\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\1x"), 13, "" },
	};
	for (size_t i = 0; i < FL_COUNT(rows); i++) {
		struct fl_str msg = FL_STR("");
		const char *why = NULL;
		int status = fl_grpc_unwrap((const uint8_t *)rows[i].body, rows[i].n, &msg, &why);
		if (status != rows[i].status || (!status && !fl_str_is(msg, rows[i].msg)))
			fail_msg("row %zu: %d", i, status);
		assert_non_null(why);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_get), cmocka_unit_test(test_age), cmocka_unit_test(test_wrap),
					    cmocka_unit_test(test_unwrap) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

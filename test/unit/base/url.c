#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/url.h"

static void test_authority(void **state)
{
	(void)state;
	static const struct { const char *text, *host; uint16_t port; } rows[] = {
		{ "a", "a", 7 }, { "a:", "a", 7 }, { "a.example:1", "a.example", 1 }, { "192.0.2.1:65535", "192.0.2.1", 65535 },
		{ "[2001:db8::1]", "2001:db8::1", 7 }, { "[::1]:53", "::1", 53 }, { "[fe80::1%25eth0]:", "fe80::1%25eth0", 7 },
	};
	for (size_t i = 0; i < FL_COUNT(rows); i++) {
		struct fl_url u = { .port = 7 };
		assert_true(fl_url_authority(&u, fl_str(rows[i].text)));
		assert_true(fl_str_is(u.host, rows[i].host));
		assert_true(fl_str_is(u.authority, rows[i].text));
		assert_int_equal(u.port, rows[i].port);
	}
	static const char *const bad[] = { "", ":1", "a:0", "a:65536", "a:x", "a:1:2", "::1", "[::1", "[]", "[]:1", "[::1]53", "[::1]x", "a b", "a\n", "u@a", "[u@a]",
					   "u:p@a", "a]", "a[b", "a:+", "a:1 " };
	for (size_t i = 0; i < FL_COUNT(bad); i++) {
		struct fl_url u = { .port = 7 };
		if (fl_url_authority(&u, fl_str(bad[i])))
			fail_msg("\"%s\" was taken", bad[i]);
	}
}

static void test_http(void **state)
{
	(void)state;
	static const struct { const char *text, *host, *rest; uint16_t port; bool tls; } rows[] = {
		{ "https://a", "a", "", 443, true }, { "http://a", "a", "", 80, false }, { "https://a:8443/x/y?z#w", "a", "/x/y?z#w", 8443, true },
		{ "http://[::1]:8080?q", "::1", "?q", 8080, false }, { "https://a#f/g", "a", "#f/g", 443, true }, { "http://a/@b", "a", "/@b", 80, false },
	};
	for (size_t i = 0; i < FL_COUNT(rows); i++) {
		struct fl_url u;
		assert_true(fl_url_http(&u, fl_str(rows[i].text)));
		assert_true(fl_str_is(u.host, rows[i].host));
		assert_true(fl_str_is(u.rest, rows[i].rest));
		assert_int_equal(u.port, rows[i].port);
		assert_int_equal(u.tls, rows[i].tls);
	}
	static const char *const bad[] = { "", "a", "a:1", "ftp://a", "https:/a", "https://", "http:///x", "https://:1/", "https://u@a/", "https://a b/", "https://a/ b", "https://a/\r\nb", "HTTPS://" };
	for (size_t i = 0; i < FL_COUNT(bad); i++) {
		struct fl_url u;
		if (fl_url_http(&u, fl_str(bad[i])))
			fail_msg("\"%s\" was taken", bad[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_authority), cmocka_unit_test(test_http) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The weight file of loadbalance. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include "plugin/loadbalance/weights.h"

static unsigned weight(const struct fl_weights *w, const char *name, const char *addr)
{
	uint8_t wire[FL_NAME_MAX];
	struct fl_addr a;
	int n = fl_name_parse(wire, fl_str(name));
	assert_true(n > 0 && fl_addr_parse(fl_str(addr), &a));
	return fl_weights_get(w, (struct fl_name){ wire, (uint8_t)n }, a.b, a.len);
}

static void reading(void **state)
{
	(void)state;
	struct fl_err e;
	struct fl_weights *w = fl_weights_parse(FL_STR("# c\n\nWWW.a.test\n 192.0.2.1\t3 \n2001:db8::1 255\nb.test.\r\n192.0.2.1 9\n"
						      "www.A.test\n192.0.2.2 4"), "f", &e);
	assert_non_null(w);
	assert_int_equal(weight(w, "www.a.test", "192.0.2.1"), 3);
	assert_int_equal(weight(w, "www.A.TEST.", "2001:db8::1"), 255);
	assert_int_equal(weight(w, "www.a.test", "192.0.2.2"), 4);
	assert_int_equal(weight(w, "b.test", "192.0.2.1"), 9);
	assert_int_equal(weight(w, "b.test", "192.0.2.2"), 1);
	assert_int_equal(weight(w, "a.test", "192.0.2.1"), 1);
	free(w);
	w = fl_weights_parse(FL_STR(""), "f", &e);
	assert_int_equal(weight(w, "a.test", "192.0.2.1"), 1);
	free(w);
}

static void refusing(void **state)
{
	static const struct { const char *text, *says; } bad[] = {
		{ "192.0.2.1 3", "missing domain name in weight file f" },
		{ "192.0.2.1", "wrong domain name:\"192.0.2.1\" in weight file f. (Maybe a missing weight value?)" },
		{ "a.test\nx 3", "wrong IP address:\"x\" in weight file f" },
		{ "a.test\n192.0.2.1 0", "wrong weight value:\"0\" in weight file f" },
		{ "a.test\n192.0.2.1 256", "wrong weight value:\"256\" in weight file f" },
		{ "a.test\n192.0.2.1 -1", "wrong weight value:\"-1\" in weight file f" },
		{ "a.test\n192.0.2.1 1 2", "could not parse weight line:\"192.0.2.1 1 2\" in weight file f" },
		{ "a..test", "wrong domain name:\"a..test\" in weight file f" },
	};
	(void)state;
	for (unsigned i = 0; i < FL_COUNT(bad); i++) {
		struct fl_err e = { 0 };
		assert_null(fl_weights_parse(fl_str(bad[i].text), "f", &e));
		assert_string_equal(e.msg, bad[i].says);
	}
}

static void many(void **state)
{
	(void)state;
	enum { N = 3000 };
	char *text = malloc(N * 40), *p = text, name[32], addr[32];
	struct fl_err e;
	for (int i = 0; i < N; i++)
		p += sprintf(p, "h%d.test\n10.0.%d.%d %d\n", i / 3, i >> 8, i & 255, i % 255 + 1);
	struct fl_weights *w = fl_weights_parse((struct fl_str){ text, (size_t)(p - text) }, "f", &e);
	for (int i = 0; i < N; i++) {
		snprintf(name, sizeof name, "h%d.test", i / 3);
		snprintf(addr, sizeof addr, "10.0.%d.%d", i >> 8, i & 255);
		assert_int_equal(weight(w, name, addr), i % 255 + 1);
		assert_int_equal(weight(w, "h.test", addr), 1);
	}
	free(w);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(reading), cmocka_unit_test(refusing), cmocka_unit_test(many) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

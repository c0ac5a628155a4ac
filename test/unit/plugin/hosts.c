/* The packed hosts table against what its text says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/log.h"
#include "plugin/hosts/table.h"

static const struct fl_hosts_how all = { .ttl = 9, .source = "test" };
static unsigned logged;

static void count_log(void *arg, const char *line, size_t n)
{
	(void)arg;
	assert_non_null(memmem(line, n, "longer than 1024 bytes", 22));
	logged++;
}

static struct fl_name name(const char *text)
{
	static uint8_t wire[FL_NAME_MAX];
	int n = fl_name_parse(wire, fl_str(text));
	assert_true(n > 0);
	return (struct fl_name){ wire, (uint8_t)n };
}

/* "10.0.0.1 10.0.0.2", in order. */
static void expect(const struct fl_hosts *h, const char *n, uint16_t type, const char *want)
{
	const struct fl_rrset *a, *six;
	char got[512] = "";
	fl_hosts_name(h, name(n), &a, &six);
	const struct fl_rrset *set = type == FL_T_A ? a : six;
	for (struct fl_rr r = { 0 }; set && fl_rr_next(set, &r);) {
		struct fl_addr addr = { .len = (uint8_t)r.rdlen };
		memcpy(addr.b, r.rdata, r.rdlen);
		assert_int_equal(r.type, type);
		assert_int_equal(r.ttl, 9);
		size_t len = strlen(got);
		char text[46];
		fl_addr_text(text, &addr);
		snprintf(got + len, sizeof got - len, "%s%s", len ? " " : "", text);
	}
	if (strcmp(got, want))
		fail_msg("%s: %s, not %s", n, got, want);
}

static void expect_ptr(const struct fl_hosts *h, const char *addr, const char *want)
{
	struct fl_addr a;
	char got[512] = "";
	assert_true(fl_addr_parse(fl_str(addr), &a));
	const struct fl_rrset *set = fl_hosts_addr(h, &a);
	for (struct fl_rr r = { 0 }; set && fl_rr_next(set, &r);) {
		size_t n = strlen(got);
		char text[FL_NAME_TEXT_MAX];
		fl_name_text(text, (struct fl_name){ r.rdata, (uint8_t)r.rdlen });
		snprintf(got + n, sizeof got - n, "%.200s ", text);
	}
	if (strcmp(got, want))
		fail_msg("%s: %s, not %s", addr, got, want);
}

static void lines(void **state)
{
	(void)state;
	struct fl_hosts *h = fl_hosts_parse(FL_STR("10.0.0.1 a.b A.c#10.0.0.2 d\n\t10.0.0.3\ta.b\v*.w.b\r\n10.0.0.1 a.b\n::1%lo a.b\nnonsense a.x\n"
						   "10.0.0.4\n\n  # no\n10.0.0.5 a..b " "x.b"), &all);
	expect(h, "a.b", FL_T_A, "10.0.0.1 10.0.0.3 10.0.0.1");
	expect(h, "A.B.", FL_T_AAAA, "::1");
	expect(h, "a.c", FL_T_A, "10.0.0.1");
	expect(h, "d", FL_T_A, "");
	expect(h, "a.x", FL_T_A, "");
	expect(h, "x.b", FL_T_A, "10.0.0.5");
	expect(h, "q.w.b", FL_T_A, "10.0.0.3");
	expect(h, "*.w.b", FL_T_A, "10.0.0.3");
	expect(h, "p.q.w.b", FL_T_A, "");
	expect(h, "w.b", FL_T_A, "");
	expect_ptr(h, "10.0.0.1", "a.b. a.c. a.b. ");
	expect_ptr(h, "10.0.0.3", "a.b. ");
	expect_ptr(h, "::1", "a.b. ");
	expect_ptr(h, "10.0.0.9", "");
	assert_int_equal(fl_hosts_entries(h), 7 + 6);
	free(h);
}

static void limits(void **state)
{
	(void)state;
	struct fl_name z = name("b");
	struct fl_zones zones = { .name = &z, .n = 1 };
	struct fl_hosts_how how = { .zones = &zones, .ttl = 9, .no_reverse = true, .source = "test" };
	char *text = malloc(3000);
	int n = sprintf(text, "10.0.0.1 ");
	memset(text + n, 'x', 1025);
	n += 1025;
	n += sprintf(text + n, " a.b a.c\n");
	memset(text + n, '1', 1025);
	n += 1025;
	n += sprintf(text + n, " c.b\n10.0.0.2 *. d.b");
	uint8_t keep[FL_NAME_MAX];
	memcpy(keep, z.wire, z.len);
	z.wire = keep;
	fl_log_capture(count_log, NULL);
	struct fl_hosts *h = fl_hosts_parse((struct fl_str){ text, (size_t)n }, &how);
	fl_log_capture(NULL, NULL);
	assert_int_equal(logged, 2);
	expect(h, "a.b", FL_T_A, "10.0.0.1");
	expect(h, "a.c", FL_T_A, "");
	expect(h, "c.b", FL_T_A, "");
	expect(h, "d.b", FL_T_A, "10.0.0.2");
	expect_ptr(h, "10.0.0.1", "");
	free(h);
	h = fl_hosts_parse(FL_STR(""), &all);
	expect(h, "a.b", FL_T_A, "");
	expect_ptr(h, "10.0.0.1", "");
	free(h);
	free(text);
}

/* 20000 names and addresses: all found, and nothing else. */
static void many(void **state)
{
	(void)state;
	enum { N = 20000 };
	char *text = malloc(N * 40), *p = text, n[40], a[40];
	for (int i = 0; i < N; i++)
		p += sprintf(p, "10.%d.%d.%d h%d.test\n", i >> 16, i >> 8 & 255, i & 255, i);
	struct fl_hosts *h = fl_hosts_parse((struct fl_str){ text, (size_t)(p - text) }, &all);
	for (int i = 0; i < N; i += 7) {
		snprintf(n, sizeof n, "H%d.test", i);
		snprintf(a, sizeof a, "10.%d.%d.%d", i >> 16, i >> 8 & 255, i & 255);
		expect(h, n, FL_T_A, a);
		snprintf(n, sizeof n, "h%d.test. ", i);
		expect_ptr(h, a, n);
		snprintf(n, sizeof n, "g%d.test", i);
		expect(h, n, FL_T_A, "");
	}
	assert_true(fl_hosts_bytes(h) < N * 260u);
	free(h);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(lines), cmocka_unit_test(limits), cmocka_unit_test(many) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include "conf/conf.h"

/* What CoreDNS 1.15.0 computes for these texts (plugin/reload: "Running configuration SHA512"). */
static const struct { const char *text, *want; } rows[] = {
	{ "",
	  "04f8ff2682604862e405bf88de102ed7710ac45c1205957625e4ee3e5f5a2241e453614acc451345b91bafc88f38804019c7492444595674e94e8cf4be53817f" },
	{ "(s) {\n whoami\n}\n",
	  "04f8ff2682604862e405bf88de102ed7710ac45c1205957625e4ee3e5f5a2241e453614acc451345b91bafc88f38804019c7492444595674e94e8cf4be53817f" },
	{ "a {\n}\n",
	  "f00b5928022b688f65566c0e9cdd63e9010521af336115ada3adc84fb0ca317d99789ac069e6cf96e9cb59bbff6d3a3bb2e2448dd510989f3153abd0329d1456" },
	{ ".:15053 {\n bind 127.0.0.1\n reload 2s\n whoami\n}\n",
	  "5f0f5afe6d90d6333f7725883c1e266033dbfce631114e2dd39e6f97c5b65d22ea7896b0108c48eeaed555b5d1e4f6ea2b1208c25b38febf2a3e8a4a7866ac60" },
	{ ".:15053\nbind 127.0.0.1\nreload\nwhoami\nlog . \"a#b {%FL_ZONE%}\"\n",
	  "81c52e1a258851e72f49555627eb5434c93dd0904d688d742e2c21935d8186dd8eddab4eac96bc1b9ccad1aed9ec0811561c202fb11af7ccb83c9618eef8bc19" },
	/* every kind of escape, directives out of order, a name with a reference, and one twice */
	{ ".:53 B.org, {$FL_ZONE} {\n {$FL_NONE}whoami {$FL_ZONE}\n log . \"<x>&\xe2\x80\xa8\xe2\x80\xa9 \\\" \\\\ \x01\x08\x0c\x1f\x7f\t\r\n\xc3\xa9\xff\"\n"
	  " a z\n log {\n class all\n }\n}\nc\nlog \"\"",
	  "c963f1b54793664a8dabaf73a5cc6fcb47903e116f33d45aefff457c011f0d2da74fd30a5200b86900bb0df2b83a9a5a5b60e3e19b5b28ed15402e73906e509b" },
	/* bytes that are no UTF-8 reach it only through the environment */
	{ "a {\n log {$FL_BAD}\n}\n",
	  "3c30de117b0436ffa0eebf868ac86e29ee8063d6a807e946faad35caf56a569b94fd351044bb08074462f8b63d7d03dc8ab12e1c9f10b2ce8d9972022d6f8506" },
};

static void hash_of(const char *text, char to[129])
{
	struct fl_conf c;
	assert_int_equal(fl_conf_parse(&c, "Corefile", fl_str(text), "/", NULL, NULL), 0);
	memcpy(to, c.sha512, sizeof c.sha512);
	fl_conf_finish(&c);
}

static void test_recorded(void **state)
{
	(void)state;
	char is[129];
	for (size_t i = 0; i < FL_COUNT(rows); i++) {
		hash_of(rows[i].text, is);
		assert_string_equal(is, rows[i].want);
	}
}

/* A comment does not count, a line does; values of the environment do. */
static void test_what_counts(void **state)
{
	(void)state;
	char a[129], b[129];
	hash_of(". {\n log\n}", a);
	hash_of(".  { # words\n log # more\n}\n\n", b);
	assert_string_equal(a, b);
	hash_of(". {\n\n log\n}", b);
	assert_string_not_equal(a, b);
	hash_of(". {\n log {$FL_ZONE}\n}", a);
	setenv("FL_ZONE", "other.org", 1);
	hash_of(". {\n log {$FL_ZONE}\n}", b);
	assert_string_not_equal(a, b);
	setenv("FL_ZONE", "EnV.org", 1);
}

int main(void)
{
	setenv("FL_ZONE", "EnV.org", 1);
	setenv("FL_BAD", "x\xff\xe2\x82y", 1);
	unsetenv("FL_NONE");
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_recorded), cmocka_unit_test(test_what_counts) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "../exposed.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/mem.h"
#include "ctl/summary.h"

static struct fl_summary a, b;
static struct gathered json;

static void as_json(const struct fl_summary *was, const struct fl_summary *now, double seconds)
{
	json.n = 0;
	fl_summary_json(gather, &json, was, now, seconds);
}

static void read_text(struct fl_summary *s, const char *text) { fl_summary_read(s, text, strlen(text)); }

static const char early[] =
	"# HELP coredns_dns_requests_total x\n# TYPE coredns_dns_requests_total counter\n"
	"coredns_dns_requests_total{family=\"1\",proto=\"udp\",server=\"dns://:53\",type=\"A\",view=\"\",zone=\".\"} 10\n"
	"coredns_dns_requests_total{family=\"2\",proto=\"udp\",server=\"dns://:53\",type=\"A\",view=\"\",zone=\"a.\"} 5\n"
	"coredns_dns_responses_total{plugin=\"whoami\",rcode=\"NOERROR\",server=\"s\",view=\"\",zone=\".\"} 12\n"
	"coredns_dns_responses_total{plugin=\"\",rcode=\"SERVFAIL\",server=\"s\",view=\"\",zone=\".\"} 3\n"
	"coredns_dns_request_duration_seconds_bucket{server=\"s\",zone=\".\",le=\"0.001\"} 10\n"
	"coredns_dns_request_duration_seconds_bucket{server=\"s\",zone=\".\",le=\"0.002\"} 14\n"
	"coredns_dns_request_duration_seconds_bucket{server=\"s\",zone=\".\",le=\"+Inf\"} 15\n"
	"coredns_dns_request_duration_seconds_sum{server=\"s\",zone=\".\"} 0.03\n"
	"coredns_dns_request_duration_seconds_count{server=\"s\",zone=\".\"} 15\n"
	"coredns_cache_entries{server=\"s\",type=\"success\"} 4\ncoredns_cache_entries{server=\"s\",type=\"denial\"} 3\n"
	"coredns_cache_hits_total{server=\"s\",type=\"success\"} 8\ncoredns_cache_misses_total{server=\"s\"} 2\n"
	"coredns_proxy_request_duration_seconds_count{proxy_name=\"forward\",rcode=\"NOERROR\",to=\"9.9.9.9:53\"} 3\n"
	"coredns_proxy_request_duration_seconds_sum{proxy_name=\"forward\",rcode=\"NOERROR\",to=\"9.9.9.9:53\"} 0.3\n"
	"process_start_time_seconds 1.7e+09\ncoredns_build_info{goversion=\"\",revision=\"\",version=\"1.15.0\"} 1\n";

static void test_sums(void **state)
{
	(void)state;
	read_text(&a, early);
	assert_true(a.queries == 15 && a.nrcode == 2 && a.nplugin == 1 && a.entries == 7 && a.hits == 8 && a.misses == 2);
	assert_string_equal(a.rcode[0].name, "NOERROR");
	assert_true(a.took.n == 3 && a.took.b[0].count == 10 && isinf(a.took.b[2].le) && a.nupstream == 1 && a.upstream[0].count == 3);
	assert_string_equal(a.version, "1.15.0");
	assert_true(a.saturation == -1 && a.reload_ok == -1);
}

/* Two servers' buckets are added at equal bounds, in any order. */
static void test_buckets(void **state)
{
	(void)state;
	read_text(&a, "coredns_dns_request_duration_seconds_bucket{le=\"+Inf\"} 4\ncoredns_dns_request_duration_seconds_bucket{le=\"0.5\"} 2\n"
		      "coredns_dns_request_duration_seconds_bucket{le=\"0.5\"} 1\ncoredns_dns_request_duration_seconds_bucket{le=\"0.1\"} 1\n"
		      "coredns_dns_request_duration_seconds_bucket{le=\"nan\"} 1\ncoredns_dns_request_duration_seconds_bucket 1\n");
	assert_true(a.took.n == 3 && a.took.b[0].le == 0.1 && a.took.b[1].count == 3);
	assert_true(fabs(fl_sum_quantile(NULL, &a.took, .25) - 0.1) < 1e-9);
	assert_true(fabs(fl_sum_quantile(NULL, &a.took, .5) - 0.3) < 1e-9);
	assert_true(fl_sum_quantile(NULL, &a.took, .99) == 0.5);        /* beyond the last bound: that bound */
	assert_true(fl_sum_quantile(&a.took, &a.took, .5) == -1);
}

static void test_rates(void **state)
{
	(void)state;
	static char later[sizeof early + 256];
	read_text(&a, early);
	snprintf(later, sizeof later, "%sfairlead_saturation 0.25\ncoredns_dns_requests_total{server=\"t\"} 20\n"
		 "coredns_proxy_healthcheck_failures_total{proxy_name=\"forward\",to=\"9.9.9.9:53\"} 1\n", early);
	read_text(&b, later);
	as_json(&a, &b, 2);
	assert_non_null(strstr(json.text, "\"queries\":{\"total\":35,\"rate\":10}"));
	assert_non_null(strstr(json.text, "{\"name\":\"SERVFAIL\",\"total\":3,\"rate\":0}"));
	assert_non_null(strstr(json.text, "\"latency\":{\"p50\":null"));
	assert_non_null(strstr(json.text, "\"hit_ratio\":null"));
	assert_non_null(strstr(json.text, "\"failures\":1,\"failing\":true"));
	assert_non_null(strstr(json.text, "\"saturation\":0.25"));
	as_json(NULL, &b, 0);
	assert_non_null(strstr(json.text, "\"since_start\":true,\"version\":\"1.15.0\""));
	assert_non_null(strstr(json.text, "\"hit_ratio\":0.8"));
	as_json(&b, &a, 2);                     /* it was started anew: no negative rates */
	assert_non_null(strstr(json.text, "\"queries\":{\"total\":15,\"rate\":0}"));
}

/* What is no exposition leaves nothing behind, and what is cut off is not read over. */
static void test_foreign(void **state)
{
	(void)state;
	static const char *const texts[] = {
		"", "\n\n#", "coredns_dns_requests_total", "coredns_dns_requests_total{", "coredns_dns_requests_total{a", "coredns_dns_requests_total{a=",
		"coredns_dns_requests_total{a=\"", "coredns_dns_requests_total{a=\"\\", "coredns_dns_requests_total{a=\"b\"", "coredns_dns_requests_total{} ",
		"coredns_dns_requests_total 1x", "coredns_dns_requests_total NaN", "<html>", "coredns_dns_requests_total{a=\"b\",,} ", "{} 1",
	};
	for (unsigned i = 0; i < FL_COUNT(texts); i++) {
		size_t n = strlen(texts[i]);
		char *exact = malloc(n + 1);
		memcpy(exact, texts[i], n);
		fl_summary_read(&a, exact, n);
		assert_true(a.queries == 0);
		free(exact);
	}
	read_text(&a, "coredns_dns_responses_total{rcode=\"<b>\\\"\\n\\\\\"} 2\r\n");
	as_json(NULL, &a, 0);
	assert_non_null(strstr(json.text, "\"name\":\"\\u003cb\\u003e\\u0022\\u000a\\u005c\""));
}

/* More names than there is room for: the rest is left out. */
static void test_full(void **state)
{
	(void)state;
	static char text[256 * 1024];
	size_t n = 0;
	for (unsigned i = 0; i < 1000; i++)
		n += (size_t)snprintf(text + n, sizeof text - n,
				      "coredns_dns_responses_total{rcode=\"R%u\",plugin=\"p%u\"} 1\ncoredns_proxy_healthcheck_failures_total{to=\"%u\"} 1\n"
				      "fairlead_kubernetes_objects{source=\"s%u\",kind=\"k%u\"} 1\ncoredns_dns_request_duration_seconds_bucket{le=\"%u\"} 1\n",
				      i, i, i, i / 10, i, i);
	fl_summary_read(&a, text, n);
	assert_true(a.nrcode == FL_SUM_RCODES && a.nplugin == FL_SUM_PLUGINS && a.nupstream == FL_SUM_UPSTREAMS && a.nsource == FL_SUM_SOURCES);
	assert_true(a.took.n == FL_SUM_BUCKETS && a.source[0].nkind == FL_SUM_KINDS);
}

static void test_text(void **state)
{
	(void)state;
	static const struct { const char *in, *out; } t[] = {
		{ "", "\"\"" }, { "a\x01</script>", "\"a\\u0001\\u003c/script\\u003e\"" }, { "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"" },
		{ "\xff\xc3", "\"\\ufffd\\ufffd\"" }, { "\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\"" }, { "\x7f\"\\&", "\"\\u007f\\u0022\\u005c\\u0026\"" },
	};
	for (unsigned i = 0; i < FL_COUNT(t); i++) {
		json.n = 0;
		fl_json_text(gather, &json, fl_str(t[i].in));
		assert_string_equal(json.text, t[i].out);
	}
	char longer[2000];
	memset(longer, 'x', sizeof longer);
	json.n = 0;
	fl_json_text(gather, &json, (struct fl_str){ longer, sizeof longer });
	assert_int_equal(json.n, sizeof longer + 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_sums), cmocka_unit_test(test_buckets), cmocka_unit_test(test_rates),
					    cmocka_unit_test(test_foreign), cmocka_unit_test(test_full), cmocka_unit_test(test_text) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

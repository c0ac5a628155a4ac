/* The coredns_dns_* families, by what they print. */
#include "../exposed.h"
#include <stdio.h>
#include "dns/stats.h"

static const char *const names[] = { "cache", "forward", NULL };
static const struct fl_plugin forward = { .name = "forward" }, other = { .name = "other" };
static void has(const char *line)
{
	char whole[256];
	const char *text = exposed(NULL);
	snprintf(whole, sizeof whole, "\n%s\n", line);
	if (!strstr(text, whole))
		fail_msg("no %s in\n%s", line, text);
}

static void lacks(const char *part)
{
	const char *text = exposed(NULL);
	if (strstr(text, part))
		fail_msg("%s in\n%s", part, text);
}

static void counting(void **state)
{
	(void)state;
	fl_plugin_names = names;
	fl_plugin_count = 2;
	assert_int_equal(fl_plugin_index(&forward), 1);
	assert_int_equal(fl_plugin_index(&other), -1);
	assert_int_equal(fl_plugin_index(NULL), -1);
	struct fl_stats *st = fl_stats_get(FL_STR("dns://:53"), FL_STR("a.test."), FL_STR("v"));
	assert_ptr_equal(st, fl_stats_get(FL_STR("dns://:53"), FL_STR("a.test."), FL_STR("v")));
	assert_ptr_not_equal(st, fl_stats_get(FL_STR("dns://:53"), FL_STR("."), FL_STR("v")));
	lacks("coredns_dns_requests_total{");

	struct fl_shard shard = { .id = 1 };
	struct fl_client c = { .qname = { (const uint8_t *)"\1a\4test", 8 }, .peer.len = 4, .packet_len = 24 };
	struct fl_query q = { .qname = c.qname, .qtype = FL_T_AAAA, .client = &c, .shard = &shard };
	struct fl_sent s = { .full_len = 512, .took_ns = 300000 };
	fl_stats_count(st, &q, &s, 1);
	has("coredns_dns_requests_total{family=\"1\",proto=\"udp\",server=\"dns://:53\",type=\"AAAA\",view=\"v\",zone=\"a.test.\"} 1");
	has("coredns_dns_responses_total{plugin=\"forward\",rcode=\"NOERROR\",server=\"dns://:53\",view=\"v\",zone=\"a.test.\"} 1");
	has("coredns_dns_response_size_bytes_bucket{proto=\"udp\",server=\"dns://:53\",view=\"v\",zone=\"a.test.\",le=\"511\"} 0");
	has("coredns_dns_response_size_bytes_bucket{proto=\"udp\",server=\"dns://:53\",view=\"v\",zone=\"a.test.\",le=\"1023\"} 1");
	has("coredns_dns_request_size_bytes_sum{proto=\"udp\",server=\"dns://:53\",view=\"v\",zone=\"a.test.\"} 24");
	has("coredns_dns_request_duration_seconds_bucket{server=\"dns://:53\",view=\"v\",zone=\"a.test.\",le=\"0.00025\"} 0");
	has("coredns_dns_request_duration_seconds_bucket{server=\"dns://:53\",view=\"v\",zone=\"a.test.\",le=\"0.0005\"} 1");
	lacks("coredns_dns_do_requests_total{");

	c.tcp = c.dnssec_ok = true;
	c.peer.len = 16;
	q.qtype = 65280;
	q.res.rcode = 23;
	fl_stats_count(st, &q, &s, -1);
	has("coredns_dns_requests_total{family=\"2\",proto=\"tcp\",server=\"dns://:53\",type=\"other\",view=\"v\",zone=\"a.test.\"} 1");
	has("coredns_dns_do_requests_total{server=\"dns://:53\",view=\"v\",zone=\"a.test.\"} 1");
	q.res.rcode = 4000;
	fl_stats_count(st, &q, &s, 0);
	has("coredns_dns_responses_total{plugin=\"cache\",rcode=\"other\",server=\"dns://:53\",view=\"v\",zone=\"a.test.\"} 1");
	q.dropped = true;                       /* nothing was said: NOERROR and nobody, as CoreDNS counts it */
	fl_stats_count(st, &q, &s, 0);
	has("coredns_dns_responses_total{plugin=\"\",rcode=\"NOERROR\",server=\"dns://:53\",view=\"v\",zone=\"a.test.\"} 1");
	has("coredns_dns_response_size_bytes_bucket{proto=\"tcp\",server=\"dns://:53\",view=\"v\",zone=\"a.test.\",le=\"0\"} 1");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(counting) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

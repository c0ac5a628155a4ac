#include "../exposed.h"
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/metric.h"
#include "base/rng.h"

/* What Go's strconv.FormatFloat(v, 'g', -1, 64) prints. */
static void test_float(void **state)
{
	(void)state;
	static const struct { double v; const char *go; } rows[] = {
		{ 0, "0" }, { -0.0, "0" }, { 1, "1" }, { -1, "-1" }, { 16, "16" }, { 999999, "999999" }, { 1000000, "1e+06" },
		{ 1234567, "1.234567e+06" }, { -2500000, "-2.5e+06" }, { 519960721, "5.19960721e+08" },
		{ 1.8446744073709552e19, "1.8446744073709552e+19" }, { 0.00025, "0.00025" }, { 0.0001, "0.0001" },
		{ 0.00001, "1e-05" }, { 6.437000000000001e-05, "6.437000000000001e-05" }, { 0.007664499, "0.007664499" },
		{ 0.1 + 0.2, "0.30000000000000004" }, { 1.024, "1.024" }, { 8.192, "8.192" }, { 524.288, "524.288" },
		{ 1.79542340357e+09, "1.79542340357e+09" }, { 123456.789, "123456.789" }, { 999999.5, "999999.5" },
		{ 1e100, "1e+100" }, { 5e-324, "5e-324" }, { 1.7976931348623157e308, "1.7976931348623157e+308" },
		{ INFINITY, "+Inf" }, { -INFINITY, "-Inf" }, { NAN, "NaN" }, { 1.0 / 3, "0.3333333333333333" }, { -0.5, "-0.5" },
	};
	char to[32];
	for (size_t i = 0; i < FL_COUNT(rows); i++) {
		size_t n = fl_metric_float(to, rows[i].v);
		assert_string_equal(to, rows[i].go);
		assert_int_equal(n, strlen(to));
	}
	struct fl_rng r;
	fl_rng_init(&r, 0);
	for (int i = 0; i < 20000; i++) {
		uint64_t bits = fl_rng_next(&r);
		double v;
		memcpy(&v, &bits, sizeof v);
		if (isnan(v))
			continue;
		fl_metric_float(to, v);
		if (strtod(to, NULL) != v)
			fail_msg("%a printed as %s", v, to);
	}
}

static const double bounds[] = { 0.00025, 0.5, 1.024 };
static const char *const protos[] = { "udp", "tcp" }, *const families[] = { "1", "2" }, *const types[] = { "A", "AAAA", "other" };
static const struct fl_dim dims[] = { { 2, protos }, { 2, families }, { 3, types } };

static const struct fl_metric_def requests = { .name = "t_requests_total", .help = "Requests \\ by\nzone.", .kind = FL_COUNTER,
	.labels = { "zone", "server", "proto", "family", "type" } };
static const struct fl_metric_def duration = { .name = "t_duration_seconds", .help = "Time.", .kind = FL_HISTOGRAM,
	.buckets = bounds, .nbuckets = 3, .labels = { "server" } };
static const struct fl_metric_def entries = { .name = "t_entries", .help = "Entries.", .kind = FL_GAUGE, .labels = { "type" } };
static const struct fl_metric_def panics = { .name = "t_panics_total", .help = "Panics.", .kind = FL_COUNTER, .always = true };
static const struct fl_metric_def empty = { .name = "t_a_hist", .help = "Never used.", .kind = FL_HISTOGRAM, .buckets = bounds,
	.nbuckets = 1, .always = true };
static const struct fl_metric_def level = { .name = "t_level", .help = "Set.", .kind = FL_GAUGE };
static const struct fl_metric_def silent = { .name = "t_silent_total", .help = "Nothing.", .kind = FL_COUNTER };

static unsigned index_of(unsigned a, unsigned b, unsigned c) { return (a * 2 + b) * 3 + c; }

static void refresh(void *arg) { fl_grid_set(arg, 42); }

static void test_golden(void **state)
{
	(void)state;
	struct fl_str v1[] = { FL_STR("b.test."), FL_STR("dns://:53") }, v2[] = { FL_STR("a \"q\" \\ \n\xff\xc3\xa4."), FL_STR("dns://:53") };
	struct fl_metric *m = fl_metric(&requests);
	struct fl_grid *g1 = fl_metric_grid(m, v1, dims, 3), *g2 = fl_metric_grid(m, v2, dims, 3);
	assert_ptr_equal(fl_metric(&requests), m);
	assert_ptr_equal(fl_metric_grid(m, v1, dims, 3), g1);
	assert_ptr_not_equal(g1, g2);
	fl_grid_add(g1, 1, index_of(0, 0, 0), 3);
	fl_grid_add(g1, 2, index_of(0, 0, 0), 4);
	fl_grid_add(g1, 2, index_of(1, 0, 2), 1000000);
	fl_grid_add(g1, 0, index_of(0, 1, 1), 2);
	fl_grid_add(g2, 1, index_of(0, 0, 0), 1);
	struct fl_grid *h = fl_metric_plain(&duration, "dns://:53");
	fl_grid_observe(h, 1, 0, 0.00025);      /* a bound belongs to its bucket */
	fl_grid_observe(h, 2, 0, 0.25);
	fl_grid_observe(h, 2, 0, 7);
	struct fl_grid *up = fl_metric_plain(&entries, "success"), *back = fl_metric_plain(&entries, "denial");
	fl_grid_add(up, 1, 0, 10);
	fl_grid_sub(up, 2, 0, 3);
	fl_grid_add(back, 1, 0, 5);
	fl_grid_sub(back, 2, 0, 5);
	fl_metric_plain(&panics);
	fl_metric_plain(&empty);
	fl_metric_plain(&silent);
	struct fl_grid *set = fl_metric_plain(&level);
	fl_metric_before(refresh, set);
	fl_metric_before(refresh, set);
	assert_string_equal(exposed(NULL),
		"# HELP t_a_hist Never used.\n# TYPE t_a_hist histogram\n"
		"t_a_hist_bucket{le=\"0.00025\"} 0\nt_a_hist_bucket{le=\"+Inf\"} 0\nt_a_hist_sum 0\nt_a_hist_count 0\n"
		"# HELP t_duration_seconds Time.\n# TYPE t_duration_seconds histogram\n"
		"t_duration_seconds_bucket{server=\"dns://:53\",le=\"0.00025\"} 1\n"
		"t_duration_seconds_bucket{server=\"dns://:53\",le=\"0.5\"} 2\n"
		"t_duration_seconds_bucket{server=\"dns://:53\",le=\"1.024\"} 2\n"
		"t_duration_seconds_bucket{server=\"dns://:53\",le=\"+Inf\"} 3\n"
		"t_duration_seconds_sum{server=\"dns://:53\"} 7.25025\n"
		"t_duration_seconds_count{server=\"dns://:53\"} 3\n"
		"# HELP t_entries Entries.\n# TYPE t_entries gauge\n"
		"t_entries{type=\"denial\"} 0\nt_entries{type=\"success\"} 7\n"
		"# HELP t_level Set.\n# TYPE t_level gauge\nt_level 42\n"
		"# HELP t_panics_total Panics.\n# TYPE t_panics_total counter\nt_panics_total 0\n"
		"# HELP t_requests_total Requests \\\\ by\\nzone.\n# TYPE t_requests_total counter\n"
		"t_requests_total{family=\"1\",proto=\"tcp\",server=\"dns://:53\",type=\"other\",zone=\"b.test.\"} 1e+06\n"
		"t_requests_total{family=\"1\",proto=\"udp\",server=\"dns://:53\",type=\"A\",zone=\"a \\\"q\\\" \\\\ \\n?\xc3\xa4.\"} 1\n"
		"t_requests_total{family=\"1\",proto=\"udp\",server=\"dns://:53\",type=\"A\",zone=\"b.test.\"} 7\n"
		"t_requests_total{family=\"2\",proto=\"udp\",server=\"dns://:53\",type=\"AAAA\",zone=\"b.test.\"} 2\n");
	assert_true(fl_grid_value(g1, index_of(0, 0, 0)) == 7);
	assert_true(fl_grid_value(h, 0) == 3);
	assert_true(fl_grid_value(up, 0) == 7);
	assert_true(fl_grid_value(set, 0) == 42);
	fl_metric_before_drop(refresh, set);
	fl_grid_set(set, 0);
	assert_string_equal(exposed("t_level"), "# HELP t_level Set.\n# TYPE t_level gauge\nt_level 0\n");
	assert_string_equal(exposed("t_leve"), "");
}

static void test_hide(void **state)
{
	(void)state;
	static const struct fl_metric_def def = { .name = "h_total", .help = "H.", .kind = FL_COUNTER, .labels = { "to" } };
	static const struct fl_metric_def gauge = { .name = "h_gauge", .help = "G.", .kind = FL_GAUGE };
	struct fl_grid *g = fl_metric_plain(&def, "1.2.3.4:53"), *s = fl_metric_plain(&gauge);
	fl_grid_add(g, 1, 0, 2);
	fl_grid_hide(g);
	assert_string_equal(exposed("h_total"), "");
	fl_grid_add(g, 1, 0, 1);
	assert_string_equal(exposed("h_total"), "# HELP h_total H.\n# TYPE h_total counter\nh_total{to=\"1.2.3.4:53\"} 3\n");
	fl_grid_set(s, 2.5);
	assert_string_equal(exposed("h_gauge"), "# HELP h_gauge G.\n# TYPE h_gauge gauge\nh_gauge 2.5\n");
	fl_grid_hide(s);
	assert_string_equal(exposed("h_gauge"), "");
	fl_grid_set(s, 1);
	assert_string_equal(exposed("h_gauge"), "# HELP h_gauge G.\n# TYPE h_gauge gauge\nh_gauge 1\n");
}

/* Every slot counts at once while the main thread reads: nothing is lost, and what is read never falls. */
enum { THREADS = 4, ROUNDS = 100000 };
static struct fl_grid *shared;
static void *count(void *arg)
{
	for (int i = 0; i < ROUNDS; i++)
		fl_grid_add(shared, (unsigned)(uintptr_t)arg, (unsigned)i % 2, 1);
	return NULL;
}

static void test_threads(void **state)
{
	(void)state;
	static const struct fl_metric_def def = { .name = "threads_total", .help = "T.", .kind = FL_COUNTER, .labels = { "proto" } };
	shared = fl_metric_grid(fl_metric(&def), NULL, dims, 1);
	pthread_t t[THREADS];
	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, count, (void *)(i + 1)), 0);
	double last = 0;
	while (last < THREADS * ROUNDS / 2) {
		double now = fl_grid_value(shared, 1);
		assert_true(now >= last);
		last = now;
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	assert_true(fl_grid_value(shared, 0) == THREADS * ROUNDS / 2);
	assert_true(fl_grid_value(shared, 1) == THREADS * ROUNDS / 2);
}

/* Long texts pass through the writer's buffer whole. */
static void test_long(void **state)
{
	(void)state;
	static const struct fl_metric_def def = { .name = "long_total", .help = "L.", .kind = FL_COUNTER, .labels = { "path" } };
	static char path[9001];
	memset(path, 'x', sizeof path - 1);
	path[4095] = '"';
	fl_grid_add(fl_metric_plain(&def, path), 0, 0, 1);
	const char *got = exposed("long_total");
	assert_int_equal(strlen(got), strlen("# HELP long_total L.\n# TYPE long_total counter\nlong_total{path=\"\"} 1\n") + 9001);
	assert_string_equal(got + strlen(got) - 8, "xxx\"} 1\n");
	assert_non_null(strstr(got, "x\\\"x"));
}

/* A second name: the same numbers, other labels, whole or summed, a histogram's count as a counter. */
static void test_mirror(void **state)
{
	(void)state;
	static const struct fl_metric_def took = { .name = "m_took", .help = "T.", .kind = FL_HISTOGRAM, .buckets = bounds, .nbuckets = 3,
		.labels = { "who", "to", "proto" } };
	static const struct fl_metric_def old = { .name = "n_took", .help = "T.", .kind = FL_HISTOGRAM, .buckets = bounds, .nbuckets = 3,
		.labels = { "to", "proto" } };
	static const struct fl_metric_def each = { .name = "n_each_total", .help = "E.", .kind = FL_COUNTER, .labels = { "to", "proto" } };
	static const struct fl_metric_def sum = { .name = "n_sum_total", .help = "S.", .kind = FL_COUNTER, .labels = { "to" } };
	const struct fl_str fixed[] = { FL_STR("me"), FL_STR("a") };
	struct fl_grid *g = fl_metric_grid(fl_metric(&took), fixed, dims, 1);
	struct fl_grid *m = fl_metric_mirror(&sum, &fixed[1], g);
	assert_ptr_equal(m, fl_metric_mirror(&sum, &fixed[1], g));
	fl_metric_mirror(&old, &fixed[1], g);
	fl_metric_mirror(&each, &fixed[1], g);
	assert_string_equal(exposed("n_sum_total"), "");
	fl_grid_observe(g, 1, 0, 0.25);
	fl_grid_observe(g, 2, 1, 0.25);
	fl_grid_observe(g, 1, 1, 0.5);
	assert_string_equal(exposed("n_sum_total"), "# HELP n_sum_total S.\n# TYPE n_sum_total counter\nn_sum_total{to=\"a\"} 3\n");
	assert_string_equal(exposed("n_each_total"), "# HELP n_each_total E.\n# TYPE n_each_total counter\n"
			    "n_each_total{proto=\"tcp\",to=\"a\"} 2\nn_each_total{proto=\"udp\",to=\"a\"} 1\n");
	const char *got = exposed("n_took");
	assert_non_null(strstr(got, "n_took_bucket{proto=\"tcp\",to=\"a\",le=\"0.5\"} 2\n"));
	assert_non_null(strstr(got, "n_took_sum{proto=\"tcp\",to=\"a\"} 0.75\n"));
	assert_non_null(strstr(got, "n_took_count{proto=\"udp\",to=\"a\"} 1\n"));
	static const struct fl_metric_def hits = { .name = "m_hits", .help = "H.", .kind = FL_COUNTER, .labels = { "who", "to" } };
	static const struct fl_metric_def old_hits = { .name = "n_hits", .help = "H.", .kind = FL_COUNTER, .labels = { "to" } };
	g = fl_metric_plain(&hits, "me", "a");
	fl_metric_mirror(&old_hits, &fixed[1], g);
	fl_grid_add(g, 0, 0, 7);
	assert_string_equal(exposed("n_hits"), "# HELP n_hits H.\n# TYPE n_hits counter\nn_hits{to=\"a\"} 7\n");
}

int main(void)
{
	fl_metric_slots(THREADS + 1);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_float), cmocka_unit_test(test_golden), cmocka_unit_test(test_hide), cmocka_unit_test(test_threads),
		cmocka_unit_test(test_long), cmocka_unit_test(test_mirror),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

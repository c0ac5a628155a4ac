#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include "base/clock.h"
#include "kube/policy.h"

static const struct { enum fl_kind kind; struct fl_question q; const char *path; } paths[] = {
	{ FL_KIND_SERVICE, { FL_WATCHLIST, "", { "", 0 }, "", "", 0, 491 },
		"/api/v1/services?allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan&sendInitialEvents=true&timeoutSeconds=491&watch=true" },
	{ FL_KIND_SLICE, { FL_WATCHLIST, "/pre", { "a=b,c in (d)", 12 }, "77", "", 0, 300 },
		"/pre/apis/discovery.k8s.io/v1/endpointslices?allowWatchBookmarks=true&labelSelector=a%3Db%2Cc%20in%20%28d%29&resourceVersion=77"
		"&resourceVersionMatch=NotOlderThan&sendInitialEvents=true&timeoutSeconds=300&watch=true" },
	{ FL_KIND_NAMESPACE, { FL_LIST, "", { "", 0 }, "0", "", 500, 300 }, "/api/v1/namespaces?limit=500&resourceVersion=0" },
	{ FL_KIND_NAMESPACE, { FL_LIST, "", { "", 0 }, "5", "tok=", 500, 300 }, "/api/v1/namespaces?continue=tok%3D&limit=500" },
	{ FL_KIND_IMPORT, { FL_LIST, "", { "", 0 }, "", "", 0, 300 }, "/apis/multicluster.x-k8s.io/v1alpha1/serviceimports" },
	{ FL_KIND_MCSLICE, { FL_WATCH, "", { "x", 1 }, "9", "", 500, 300 },
		"/apis/discovery.k8s.io/v1/endpointslices?allowWatchBookmarks=true&labelSelector=multicluster.kubernetes.io%2Fservice-name%2Cx"
		"&resourceVersion=9&timeoutSeconds=300&watch=true" },
	{ FL_KIND_POD, { FL_WATCH, "", { "", 0 }, "9", "", 0, 300 },
		"/api/v1/pods?allowWatchBookmarks=true&fieldSelector=status.phase%21%3DSucceeded%2Cstatus.phase%21%3DFailed%2C"
		"status.phase%21%3DUnknown&resourceVersion=9&timeoutSeconds=300&watch=true" },
};

static void test_paths(void **state)
{
	(void)state;
	for (size_t i = 0; i < FL_COUNT(paths); i++) {
		char to[512];
		size_t n = fl_question_path(to, sizeof to, fl_resource(paths[i].kind), &paths[i].q);
		assert_true(n > 0);
		to[n] = 0;
		assert_string_equal(to, paths[i].path);
		assert_int_equal(fl_question_path(to, n - 1, fl_resource(paths[i].kind), &paths[i].q), 0);
		assert_int_equal(fl_question_path(to, n, fl_resource(paths[i].kind), &paths[i].q), n);
	}
}

static void test_long_selector(void **state)
{
	(void)state;
	char labels[3000], to[9000];
	memset(labels, 'x', sizeof labels);
	struct fl_question q = { FL_WATCH, "", { labels, sizeof labels }, "1", "", 0, 300 };
	assert_true(fl_question_path(to, sizeof to, fl_resource(FL_KIND_SERVICE), &q) > 3000);
	assert_int_equal(fl_question_path(to, sizeof to, fl_resource(FL_KIND_MCSLICE), &q), 0);
}

static void test_remedies(void **state)
{
	(void)state;
	static const struct { enum fl_phase phase; bool paging; struct fl_status st; enum fl_remedy want; } rows[] = {
		{ FL_WATCHLIST, false, { .code = 422, .reason = "Invalid" }, FL_FALL_BACK },
		{ FL_WATCHLIST, false, { .code = 400 }, FL_FALL_BACK }, { FL_WATCHLIST, false, { .code = 403 }, FL_FALL_BACK },
		{ FL_WATCHLIST, false, { .code = 404 }, FL_FALL_BACK }, { FL_WATCHLIST, false, { .code = 500 }, FL_FALL_BACK },
		{ FL_WATCHLIST, false, { .code = 429 }, FL_BACK_OFF }, { FL_WATCHLIST, false, { .code = 401 }, FL_SIGN_IN },
		{ FL_WATCHLIST, false, { .code = 410, .reason = "Expired" }, FL_FORGET },
		{ FL_WATCHLIST, false, { .code = 504, .reason = "Timeout", .too_large_rv = true }, FL_FORGET },
		{ FL_WATCHLIST, false, { .code = 504, .reason = "Timeout" }, FL_FALL_BACK },
		{ FL_WATCHLIST, false, { .code = 503, .retry_after_s = 5 }, FL_BACK_OFF },
		{ FL_WATCHLIST, false, { .code = 504, .retry_after_s = 1, .too_large_rv = true }, FL_FORGET },
		{ FL_LIST, false, { .code = 504, .too_large_rv = true }, FL_FORGET }, { FL_LIST, false, { .code = 410 },
			FL_FORGET },
		{ FL_LIST, true, { .code = 410 }, FL_UNPAGED }, { FL_LIST, false, { .code = 403 }, FL_BACK_OFF },
		{ FL_LIST, false, { .code = 404 }, FL_BACK_OFF }, { FL_LIST, true, { .code = 500 }, FL_BACK_OFF },
		{ FL_LIST, false, { .code = 401 }, FL_SIGN_IN },
		{ FL_WATCH, false, { .code = 410 }, FL_RESYNC }, { FL_WATCH, false, { .reason = "Gone" }, FL_RESYNC },
		{ FL_WATCH, false, { .code = 500 }, FL_BACK_OFF }, { FL_WATCH, false, { .code = 429 }, FL_BACK_OFF },
		{ FL_WATCH, false, { .code = 401 }, FL_SIGN_IN },
	};
	for (size_t i = 0; i < FL_COUNT(rows); i++)
		assert_int_equal(fl_remedy(rows[i].phase, rows[i].paging, &rows[i].st), rows[i].want);
}

static void test_backoff(void **state)
{
	(void)state;
	struct fl_rng rng;
	fl_rng_init(&rng, 7);
	uint64_t least[12], most[12];
	memset(least, 0xff, sizeof least);
	memset(most, 0, sizeof most);
	for (int turn = 0; turn < 2000; turn++) {
		struct fl_backoff b = { 0 };
		for (int i = 0; i < 12; i++) {
			uint64_t wait = fl_backoff_next(&b, &rng);
			least[i] = wait < least[i] ? wait : least[i];
			most[i] = wait > most[i] ? wait : most[i];
		}
	}
	assert_in_range(least[0], 50 * FL_MS, 60 * FL_MS);
	assert_in_range(most[0], 190 * FL_MS, 200 * FL_MS);
	assert_in_range(least[1], 200 * FL_MS, 210 * FL_MS);
	for (int i = 1; i < 12; i++) {
		assert_true(least[i] >= least[i - 1] - least[i - 1] / 50 && most[i] >= most[i - 1] - most[i - 1] / 50);
		assert_in_range(most[i], 380 * FL_MS, 5 * FL_SEC);
	}
	assert_in_range(least[11], 2400 * FL_MS, 2600 * FL_MS);
	assert_in_range(most[11], 4900 * FL_MS, 5 * FL_SEC);
	struct fl_backoff b = { .n = 4000000000u };     /* far on: no overflow, no endless loop */
	assert_in_range(fl_backoff_next(&b, &rng), 2 * FL_SEC, 5 * FL_SEC);
}

static void test_retry_after(void **state)
{
	(void)state;
	struct fl_rng rng;
	fl_rng_init(&rng, 7);
	for (int i = 0; i < 1000; i++) {
		struct fl_backoff b = { 0 };
		assert_in_range(fl_backoff_after(&b, &rng, 0), 50 * FL_MS, 200 * FL_MS);
		assert_in_range(fl_backoff_after(&b, &rng, 1), FL_SEC, 1200 * FL_MS);
		assert_in_range(fl_backoff_after(&b, &rng, 59), 59 * FL_SEC, 60 * FL_SEC);
		assert_in_range(fl_backoff_after(&b, &rng, 100000), 60 * FL_SEC, 61 * FL_SEC);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paths), cmocka_unit_test(test_long_selector), cmocka_unit_test(test_remedies),
		cmocka_unit_test(test_backoff), cmocka_unit_test(test_retry_after),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

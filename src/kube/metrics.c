#include "base/metric.h"
#include "kube/api_int.h"
#include <stdio.h>

/* As CoreDNS registers them (plugin/kubernetes/metrics.go). The last one only where a rate is asked for: there is no limit else. */
static const double def_buckets[] = { .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10 };

static const struct fl_metric_def requests = {
	.name = "coredns_kubernetes_rest_client_requests_total",
	.help = "Number of HTTP requests, partitioned by status code, method, and host.",
	.kind = FL_COUNTER, .labels = { "code", "method", "host" },
};
static const struct fl_metric_def latency = {
	.name = "coredns_kubernetes_rest_client_request_duration_seconds",
	.help = "Request latency in seconds. Broken down by verb and host.",
	.kind = FL_HISTOGRAM, .buckets = def_buckets, .nbuckets = FL_COUNT(def_buckets), .labels = { "verb", "host" },
};

static const struct fl_metric_def limiter = {
	.name = "coredns_kubernetes_rest_client_rate_limiter_duration_seconds",
	.help = "Client side rate limiter latency in seconds. Broken down by verb and host.",
	.kind = FL_HISTOGRAM, .buckets = def_buckets, .nbuckets = FL_COUNT(def_buckets), .labels = { "verb", "host" },
};

void fl_kube_observe_limit(const char *host, uint64_t ns)
{
	fl_grid_observe(fl_metric_plain(&limiter, "GET", host), 0, 0, (double)ns / 1e9);
}

void fl_kube_count_request(const char *host, int code)
{
	char text[16] = "<error>";
	if (code)
		snprintf(text, sizeof text, "%d", code);
	fl_grid_add(fl_metric_plain(&requests, text, "GET", host), 0, 0, 1);
}

/* client-go counts lists (and gets), not watches. */
void fl_kube_observe_list(const char *host, uint64_t ns)
{
	fl_grid_observe(fl_metric_plain(&latency, "GET", host), 0, 0, (double)ns / 1e9);
}

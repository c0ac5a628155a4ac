#include "plugin/kubernetes/metrics.h"
#include "base/clock.h"
#include "base/metric.h"

enum { STATES = 8 };

static const double buckets[] = { 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096, 8.192, 16.384,
				  32.768, 65.536, 131.072, 262.144, 524.288 };
static const struct fl_metric_def programming = { .name = "coredns_kubernetes_dns_programming_duration_seconds", .kind = FL_HISTOGRAM,
	.help = "Histogram of the time (in seconds) it took to program a dns instance.", .buckets = buckets, .nbuckets = FL_COUNT(buckets),
	.labels = { "service_kind" } };
static const struct fl_metric_def age = { .name = "fairlead_kubernetes_last_event_age_seconds", .kind = FL_GAUGE,
	.help = "Seconds since the source of the cluster's state last said something.", .labels = { "state" } };
static const struct fl_metric_def objects = { .name = "fairlead_kubernetes_objects", .kind = FL_GAUGE,
	.help = "Objects held, by kind.", .labels = { "state", "kind" } };
static const struct fl_metric_def connected = { .name = "fairlead_kubernetes_connected", .kind = FL_GAUGE,
	.help = "1 while every wanted kind is being watched.", .labels = { "state" } };
static const struct fl_metric_def relists = { .name = "fairlead_kubernetes_relists", .kind = FL_GAUGE,
	.help = "Whole lists taken so far.", .labels = { "state" } };
static const struct fl_metric_def memory = { .name = "fairlead_kubernetes_memory_bytes", .kind = FL_GAUGE,
	.help = "Bytes of the store and of the index over it.", .labels = { "state", "part" } };

static struct { struct fl_store *store; struct k8s_index *index; } states[STATES];

void fl_k8s_programmed(uint64_t trigger_ns, bool headless)
{
	uint64_t now = fl_clock_wall_ns();
	struct fl_grid *g = fl_metric_plain(&programming, headless ? "headless_with_selector" : "cluster_ip");
	if (trigger_ns && now > trigger_ns)
		fl_grid_observe(g, 0, 0, (double)(now - trigger_ns) / 1e9);
}

/* Just before somebody looks. */
static void refresh(void *arg)
{
	static const char *const names[] = { "0", "1", "2", "3", "4", "5", "6", "7" };
	(void)arg;
	for (unsigned i = 0; i < STATES; i++) {
		if (!states[i].store)
			continue;
		const struct fl_source_state *s = fl_store_source(states[i].store);
		double since = s->last_event_ns ? (double)(fl_clock_ns() - s->last_event_ns) / 1e9 : 0;
		fl_grid_set(fl_metric_plain(&age, names[i]), since);
		fl_grid_set(fl_metric_plain(&connected, names[i]), s->connected);
		fl_grid_set(fl_metric_plain(&relists, names[i]), (double)s->relists);
		fl_grid_set(fl_metric_plain(&objects, names[i], "service"), (double)fl_store_count(states[i].store, FL_KIND_SERVICE));
		fl_grid_set(fl_metric_plain(&objects, names[i], "endpointslice"), (double)fl_store_count(states[i].store, FL_KIND_SLICE));
		fl_grid_set(fl_metric_plain(&objects, names[i], "namespace"), (double)fl_store_count(states[i].store, FL_KIND_NAMESPACE));
		fl_grid_set(fl_metric_plain(&memory, names[i], "store"), (double)fl_store_bytes(states[i].store));
		fl_grid_set(fl_metric_plain(&memory, names[i], "index"), (double)fl_k8s_index_bytes(states[i].index));
	}
}

void fl_k8s_metrics_add(struct fl_store *store, struct k8s_index *index)
{
	static bool there;
	if (!there)
		fl_metric_before(refresh, NULL);
	there = true;
	for (unsigned i = 0; i < STATES; i++)
		if (!states[i].store) {
			states[i].store = store;
			states[i].index = index;
			return;
		}
}

void fl_k8s_metrics_drop(struct fl_store *store)
{
	for (unsigned i = 0; i < STATES; i++)
		if (states[i].store == store)
			states[i].store = NULL;
}

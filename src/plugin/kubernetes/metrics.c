#include "plugin/kubernetes/metrics.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/metric.h"
#include <stdlib.h>

static const double programming_buckets[] = {
	.001, .002, .004, .008, .016, .032, .064, .128, .256, .512, 1.024, 2.048, 4.096, 8.192, 16.384, 32.768, 65.536, 131.072,
	262.144, 524.288,
};
static const struct fl_metric_def programming = {
	.name = "coredns_kubernetes_dns_programming_duration_seconds",
	.help = "Histogram of the time (in seconds) it took to program a dns instance.",
	.kind = FL_HISTOGRAM, .buckets = programming_buckets, .nbuckets = FL_COUNT(programming_buckets),
	.labels = { "service_kind" },
};

void fl_k8s_observe_programming(const struct fl_service *svc, const struct fl_slice *slice)
{
	if (!slice->trigger_ns)
		return;
	double s = ((double)fl_clock_wall_ns() - (double)slice->trigger_ns) / 1e9;
	fl_grid_observe(fl_metric_plain(&programming, svc->headless ? "headless_with_selector" : "cluster_ip"), 0, 0, s);
}

/* ---- ours: read when somebody scrapes ---- */

#define GAUGE(id, n, h) static const struct fl_metric_def id = { .name = "fairlead_kubernetes_" n, .help = h, .kind = FL_GAUGE, \
	.labels = { "source" } }
#define COUNT(id, n, h) static const struct fl_metric_def id = { .name = "fairlead_kubernetes_" n, .help = h, .kind = FL_COUNTER, \
	.always = true, .labels = { "source" } }
GAUGE(synced, "synced", "1 when every kind of object was listed once.");
GAUGE(connected, "connected", "1 while the source of objects is there.");
GAUGE(age, "last_event_age_seconds", "Seconds since something came from the source of objects; -1 before the first.");
GAUGE(store_bytes, "store_bytes", "Bytes held by the object store.");
GAUGE(index_bytes, "index_bytes", "Bytes held by the indexes that answer from it.");
COUNT(events, "events_total", "Objects that were added, changed or deleted at the source.");
COUNT(relists, "relists_total", "Lists that came in whole.");
COUNT(errors, "errors_total", "Errors of the source of objects.");
static const struct fl_metric_def objects = {
	.name = "fairlead_kubernetes_objects", .help = "Objects in the store.", .kind = FL_GAUGE, .labels = { "source", "kind" },
};
static const struct fl_metric_def version = {
	.name = "fairlead_kubernetes_resource_version", .help = "The resourceVersion that is served, by kind of object.", .kind = FL_GAUGE,
	.labels = { "source", "kind" },
};
static const char *const kinds[FL_KINDS] = { "namespace", "service", "endpointslice", "pod", "serviceimport", "mc_endpointslice" };

enum { INDEXES_MAX = 16 };             /* on one store; more are not counted */
struct seen {
	struct seen *next;
	struct fl_store *store;
	const struct fl_k8s_index *ix[INDEXES_MAX]; unsigned nix;
	char *source;
	uint64_t events, relists, errors;
};
static struct seen *all;

static void count_to(const struct fl_metric_def *def, const char *source, uint64_t *told, uint64_t now)
{
	fl_grid_add(fl_metric_plain(def, source), 0, 0, now - *told);
	*told = now;
}

static void refresh_store(struct seen *s)
{
	const struct fl_source_state *st = fl_store_source(s->store);
	const char *src = s->source;
	uint64_t last = st->last_event_ns, now = fl_clock_ns();
	fl_grid_set(fl_metric_plain(&synced, src), fl_store_synced(s->store));
	fl_grid_set(fl_metric_plain(&connected, src), st->connected);
	fl_grid_set(fl_metric_plain(&age, src), last ? (double)(now > last ? now - last : 0) / 1e9 : -1);
	fl_grid_set(fl_metric_plain(&store_bytes, src), (double)fl_store_bytes(s->store));
	for (int k = 0; k < FL_KINDS; k++)
		if (fl_store_wants(s->store)->kind[k])
			fl_grid_set(fl_metric_plain(&objects, src, kinds[k]), (double)fl_store_count(s->store, (enum fl_kind)k));
	for (int k = 0; k < FL_KINDS; k++)
		if (st->rv[k])
			fl_grid_set(fl_metric_plain(&version, src, kinds[k]), (double)st->rv[k]);
	count_to(&events, src, &s->events, st->events);
	count_to(&relists, src, &s->relists, st->relists);
	count_to(&errors, src, &s->errors, st->errors);
}

static void refresh(void *arg)
{
	(void)arg;
	for (struct seen *s = all; s; s = s->next) {
		size_t bytes = 0;
		for (unsigned i = 0; i < s->nix; i++)
			bytes += fl_k8s_index_bytes(s->ix[i]);
		refresh_store(s);
		fl_grid_set(fl_metric_plain(&index_bytes, s->source), (double)bytes);
	}
}

void fl_k8s_metrics_add(struct fl_store *store, const struct fl_k8s_index *ix, struct fl_str source)
{
	struct seen *s = all;
	while (s && s->store != store)
		s = s->next;
	if (!s) {
		s = fl_xalloc(sizeof *s);
		*s = (struct seen){ .next = all, .store = store, .source = fl_xstrndup(source.p, source.n) };
		all = s;
	}
	if (s->nix < INDEXES_MAX)
		s->ix[s->nix++] = ix;
	fl_metric_before(refresh, NULL);
}

static void hide(const char *src)
{
	const struct fl_metric_def *gauges[] = { &synced, &connected, &age, &store_bytes, &index_bytes };
	for (unsigned i = 0; i < FL_COUNT(gauges); i++)
		fl_grid_hide(fl_metric_plain(gauges[i], src));
	for (int k = 0; k < FL_KINDS; k++) {
		fl_grid_hide(fl_metric_plain(&objects, src, kinds[k]));
		fl_grid_hide(fl_metric_plain(&version, src, kinds[k]));
	}
}

static void forget(struct seen **p)
{
	struct seen *s = *p;
	*p = s->next;
	hide(s->source);
	free(s->source);
	free(s);
	if (!all)
		fl_metric_before_drop(refresh, NULL);
}

void fl_k8s_metrics_drop(const struct fl_k8s_index *ix)
{
	for (struct seen **p = &all; *p; p = &(*p)->next)
		for (unsigned i = 0; i < (*p)->nix; i++) {
			if ((*p)->ix[i] != ix)
				continue;
			(*p)->ix[i] = (*p)->ix[--(*p)->nix];
			if (!(*p)->nix)
				forget(p);
			return;
		}
}

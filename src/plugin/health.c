/* health: 200 at /health as long as the process serves; lameduck; and how long the main thread makes a client wait, once a second.
 *
 * CoreDNS asks itself over HTTP. A loop cannot: it would measure nothing but itself. What delays an answer here is that the main
 * thread is busy, and that shows as a timer that fires late: the same families count that. */
#include "base/log.h"
#include "base/metric.h"
#include "ctl/http.h"
#include "dns/plugin.h"
#include <errno.h>

struct health {
	struct fl_timer timer;
	uint64_t due_ns;
	struct fl_str addr, kubedns;    /* kubedns.p NULL: not wanted */
	int64_t lameduck_ns;
	struct fl_loop *loop;
	struct fl_http_face *face, *kubedns_face;
	struct fl_grid *took, *failed;
};

static const double buckets[] = { 0.00025, 0.0025, 0.025, 0.25, 2.5 };
static const struct fl_metric_def took_def = { "coredns_health_request_duration_seconds", "Histogram of the time (in seconds) each request took.",
					       FL_HISTOGRAM, buckets, FL_COUNT(buckets), .always = true };
static const struct fl_metric_def failed_def = { "coredns_health_request_failures_total", "The number of times the health check failed.",
						 FL_COUNTER, .always = true };

/* kube-dns's sidecar answers its probes at an address of its own (kubernetes/dns cmd/sidecar). */
static int kubedns(struct fl_setup *s, struct health *h)
{
	struct fl_str *arg, host, port;
	struct fl_err e;
	unsigned n = fl_disp_args(fl_setup_disp(s), &arg);
	if (n > 1)
		return fl_setup_arg_error(s);
	h->kubedns = n ? arg[0] : FL_STR(":10054");
	return fl_http_split(h->kubedns, &host, &port, &e) ? fl_setup_error(s, "%s", e.msg) : 0;
}

static int property(struct fl_setup *s, struct health *h)
{
	struct fl_disp *d = fl_setup_disp(s);
	struct fl_str *arg;
	struct fl_err e;
	if (fl_str_is(fl_disp_val(d), "kubedns"))
		return kubedns(s, h);
	if (!fl_str_is(fl_disp_val(d), "lameduck"))
		return fl_setup_parse_error(s, "unknown property '%.*s'", FL_FMT(fl_disp_val(d)));
	if (fl_disp_args(d, &arg) != 1)
		return fl_setup_arg_error(s);
	if (fl_duration_parse(arg[0], &h->lameduck_ns, &e))
		return fl_setup_error(s, "unable to parse lameduck duration value: '%.*s' : %s", FL_FMT(arg[0]), e.msg);
	return 0;
}

static int setup(struct fl_setup *s, void **inst)
{
	struct fl_disp *d = fl_setup_disp(s);
	struct health *h = fl_zalloc(fl_setup_arena(s), sizeof *h);
	struct fl_str *arg, host, port;
	struct fl_err e;
	int ret = 0;
	if (!h)
		return fl_setup_error(s, "out of memory");
	h->loop = fl_setup_loop(s);
	h->addr = FL_STR(":8080");
	*inst = h;
	while (!ret && fl_disp_next(d)) {
		unsigned n = fl_disp_args(d, &arg);
		if (n > 1)
			return fl_setup_arg_error(s);
		if (n)
			h->addr = arg[0];
		if (fl_http_split(h->addr, &host, &port, &e))
			return fl_setup_error(s, "%s", e.msg);
		while (!ret && fl_disp_next_block(d))
			ret = property(s, h);
	}
	return ret;
}

static void healthy(void *arg, const struct fl_http_request *rq, struct fl_http_response *rs)
{
	(void)arg;
	(void)rq;
	fl_http_reply(rs, 200, "OK");
}

/* Its two names for what is one program here; any other is 404, as there. */
static void probe(void *arg, const struct fl_http_request *rq, struct fl_http_response *rs)
{
	(void)arg;
	if (fl_str_is(rq->path, "/healthcheck/kubedns") || fl_str_is(rq->path, "/healthcheck/dnsmasq"))
		fl_http_reply(rs, 200, "ok");
	else
		fl_http_not_found(rs);
}

static void due(struct fl_timer *t)
{
	struct health *h = (struct health *)((char *)t - offsetof(struct health, timer));
	uint64_t now = fl_clock_ns(), late = now > h->due_ns ? now - h->due_ns : 0;
	char text[32];
	fl_grid_observe(h->took, 0, 0, (double)late / 1e9);
	fl_duration_text(text, (int64_t)late);
	if (late > 3 * FL_SEC) {                /* CoreDNS's client would have given up */
		fl_grid_add(h->failed, 0, 0, 1);
		fl_log(FL_WARN, "plugin/health", "Local health request to \"http://%.*s/health\" failed: main thread was busy for %s",
		       FL_FMT(h->addr), text);
	} else if (late > FL_SEC) {
		fl_log(FL_WARN, "plugin/health", "Local health request to \"http://%.*s/health\" took more than 1s: %s", FL_FMT(h->addr), text);
	}
	h->due_ns = now + FL_SEC;
	fl_timer_set(h->loop, t, h->due_ns);
}

static int start(void *inst, struct fl_err *e)
{
	struct health *h = inst;
	h->took = fl_metric_plain(&took_def);
	h->failed = fl_metric_plain(&failed_def);
	if (fl_http_listen(h->loop, h->addr, "/health", healthy, h, &h->face, e))
		return -EINVAL;
	if (h->kubedns.p && fl_http_listen(h->loop, h->kubedns, "/healthcheck/", probe, h, &h->kubedns_face, e)) {
		fl_http_close(h->face);
		h->face = NULL;
		return -EINVAL;
	}
	h->timer.fn = due;
	h->due_ns = fl_clock_ns() + FL_SEC;
	fl_timer_set(h->loop, &h->timer, h->due_ns);
	return 0;
}

static void stop(void *inst)
{
	struct health *h = inst;
	fl_timer_clear(h->loop, &h->timer);
	fl_http_close(h->face);
	fl_http_close(h->kubedns_face);
	h->face = h->kubedns_face = NULL;
}

static uint64_t leave(void *inst)
{
	const struct health *h = inst;
	char text[32];
	if (h->lameduck_ns <= 0)
		return 0;
	fl_duration_text(text, h->lameduck_ns);
	fl_log(FL_INFO, "plugin/health", "Going into lameduck mode for %s", text);
	return (uint64_t)h->lameduck_ns;
}

static const struct fl_opt opts[] = {
	{ "", "[ADDRESS]", "where /health is served (:8080)" },
	{ "lameduck", "DURATION", "go on serving for so long when the process is told to end" },
	{ "kubedns", "[ADDRESS]", "serve kube-dns's probes /healthcheck/kubedns and /healthcheck/dnsmasq there (:10054)" },
	{ 0 },
};

FL_PLUGIN(health, .opts = opts, .setup = setup, .start = start, .stop = stop, .leave = leave);

/* prometheus: counts what this block answers, and shows all families of the process at an address. Counting is dns/stats; here the zone
 * and the plugin that answered are found, both by tables that chain() makes. */
#include "base/log.h"
#include "ctl/guard.h"
#include "ctl/http.h"
#include "ctl/process.h"
#include "dns/plugin.h"
#include "dns/stats.h"
#include <errno.h>
#include <stdlib.h>

struct named { const char *name; struct named *next; };
struct shown { struct fl_grid *grid; struct shown *next; };     /* a series of coredns_plugin_enabled */

struct prom {
	struct fl_str addr;
	struct fl_loop *loop;
	struct fl_http_face *face;
	struct fl_str web_config;       /* {NULL, 0}: none */
	struct fl_guard *guard;         /* of that, shared with the next generation; NULL: it is no good, or there is none */
	const struct fl_zones *zones;
	struct named *named, **last;    /* the block's plugins that a query passes */
	struct shown *shown;
	struct fl_arena *arena;         /* the generation's: who is of the same */
	struct prom *next;
};

static struct prom *all;                /* with a file for TLS, newest first; main thread */

struct mine {
	struct fl_stats **zone;         /* of each of the block's zones, and then of "." */
	struct { const struct fl_plugin *p; int index; } *by; unsigned nby;
};

static const struct fl_metric_def build_def = {
	"coredns_build_info", "A metric with a constant '1' value labeled by version, revision, and goversion from which CoreDNS was built.",
	FL_GAUGE, .labels = { "version", "revision", "goversion" } };
static const struct fl_metric_def enabled_def = {
	"coredns_plugin_enabled", "A metric that indicates whether a plugin is enabled on per server and zone basis.", FL_GAUGE,
	.labels = { "server", "zone", "view", "name" } };

/* How many generations show a series: a reload starts the new one before the old one stops. Main thread. */
struct users { struct fl_grid *grid; unsigned n; struct users *next; };
static struct users *all_users;

static void show(struct fl_grid *g, bool on)
{
	struct users *u = all_users;
	while (u && u->grid != g)
		u = u->next;
	if (!u) {
		u = fl_xalloc(sizeof *u);
		*u = (struct users){ g, 0, all_users };
		all_users = u;
	}
	u->n += on ? 1u : -1u;
	if (u->n)
		fl_grid_set(g, 1);
	else
		fl_grid_hide(g);
}

/* ---- set-up ---- */

/* Families that CoreDNS shows whatever its Corefile says: counters without labels of plugins that may not be in it. */
static const double health_buckets[] = { 0.00025, 0.0025, 0.025, 0.25, 2.5 };
static const struct fl_metric_def idle[] = {
	{ "coredns_panics_total", "A metrics that counts the number of panics.", FL_COUNTER, .always = true },
	{ "coredns_forward_healthcheck_broken_total", "Counter of the number of complete failures of the healthchecks.", FL_COUNTER,
	  .always = true },
	{ "coredns_forward_max_concurrent_rejects_total",
	  "Counter of the number of queries rejected because the concurrent queries were at maximum.", FL_COUNTER, .always = true },
	{ "coredns_health_request_duration_seconds", "Histogram of the time (in seconds) each request took.", FL_HISTOGRAM, health_buckets,
	  FL_COUNT(health_buckets), .always = true },
	{ "coredns_health_request_failures_total", "The number of times the health check failed.", FL_COUNTER, .always = true },
	{ "coredns_hosts_reload_timestamp_seconds", "The timestamp of the last reload of hosts file.", FL_GAUGE, .always = true },
	{ "coredns_local_localhost_requests_total", "Counter of special localhost subdomain requests.", FL_COUNTER, .always = true },
	{ "coredns_reload_failed_total", "Counter of the number of failed reload attempts.", FL_COUNTER, .always = true },
};

static int option(struct fl_setup *s, struct prom *p)
{
	struct fl_disp *d = fl_setup_disp(s);
	struct fl_str *arg, name = fl_disp_val(d);
	unsigned n = 0;
	if (fl_str_is(name, "runtime_metrics")) {       /* of Go's runtime: there is none */
		n = fl_disp_args(d, &arg);
		return n ? fl_setup_arg_error(s) : 0;
	}
	if (fl_str_is(name, "tls")) {
		if (p->web_config.p)
			return fl_setup_parse_error(s, "tls block already specified");
		if (fl_disp_args(d, &arg) != 1)
			return fl_setup_arg_error(s);
		p->web_config = arg[0];
		return 0;
	}
	return fl_setup_parse_error(s, "unknown option: %.*s", FL_FMT(name));
}

struct wanted { struct fl_loop *loop; const char *path; struct fl_err err; bool made; };

static void *guard_create(void *arg)
{
	struct wanted *w = arg;
	w->made = true;
	return fl_guard_create(w->loop, w->path, &w->err);
}

static void guard_destroy(void *guard) { fl_guard_destroy(guard); }

/* As CoreDNS: a file that is no good is complained of, and nothing is shown; on a reload what the file said before stays. */
static void guard_get(struct fl_setup *s, struct prom *p)
{
	struct fl_str key = fl_arena_printf(p->arena, "prometheus\n%.*s\n%.*s", FL_FMT(p->addr), FL_FMT(p->web_config));
	struct fl_str path = fl_arena_printf(p->arena, "%.*s", FL_FMT(p->web_config));
	struct wanted w = { .loop = p->loop, .path = path.p };
	if (key.p && path.p)
		p->guard = fl_setup_keep(s, key, guard_create, guard_destroy, &w);
	else
		fl_err_set(&w.err, "out of memory");
	if (!p->guard)
		fl_log(FL_ERROR, NULL, "Invalid TLS config: %.*s: %s", FL_FMT(path), w.err.msg);
	else if (!w.made && fl_guard_renew(p->guard, &w.err))
		fl_log(FL_ERROR, NULL, "Invalid TLS config: %.*s: %s; what it said before stays", FL_FMT(path), w.err.msg);
}

/* Of several files for an address the first is the one (plugin/metrics/setup.go: uniq). */
static void guard_share(struct fl_setup *s, struct prom *p)
{
	const struct prom *o = all;
	while (o && (o->arena != p->arena || !fl_str_eq(o->addr, p->addr)))
		o = o->next;
	if (!o) {
		guard_get(s, p);
		p->next = all;
		all = p;
		return;
	}
	if (!fl_str_eq(o->web_config, p->web_config))
		fl_log(FL_WARN, "plugin/prometheus", "tls %.*s: %.*s goes by %.*s of a block before", FL_FMT(p->web_config), FL_FMT(p->addr),
		       FL_FMT(o->web_config));
	p->web_config = o->web_config;
	p->guard = o->guard;
}

static void destroy(void *inst)
{
	struct prom **at = &all;
	while (*at && *at != inst)
		at = &(*at)->next;
	if (*at)
		*at = (*at)->next;
}

static int setup(struct fl_setup *s, void **inst)
{
	struct fl_disp *d = fl_setup_disp(s);
	struct prom *p = fl_zalloc(fl_setup_arena(s), sizeof *p);
	struct fl_str *arg, host, port;
	struct fl_err e;
	int ret = fl_setup_once(s);
	if (ret || !p)
		return ret ? ret : fl_setup_error(s, "out of memory");
	*p = (struct prom){ .addr = FL_STR("localhost:9153"), .loop = fl_setup_loop(s), .zones = fl_setup_block_zones(s), .last = &p->named,
			    .arena = fl_setup_arena(s) };
	*inst = p;
	fl_disp_next(d);
	unsigned n = fl_disp_args(d, &arg);
	if (n > 1)
		return fl_setup_arg_error(s);
	if (n)
		p->addr = arg[0];
	if (fl_http_split(p->addr, &host, &port, &e))
		return fl_setup_error(s, "%s", e.msg);
	while (!ret && fl_disp_next_block(d))
		ret = option(s, p);
	if (!ret && p->web_config.p)
		guard_share(s, p);
	return ret;
}

/* CoreDNS lists what is a handler in the chain: not the directives that only set something up. */
static void note(void *arg, const struct fl_plugin *plugin, void *inst)
{
	static const char *const no_handlers[] = { "root", "quic", "grpc_server", "https", "https3", "timeouts", "multisocket", "reload", "bind",
						   "debug", "ready", "health", "dashboard", "pprof", "tls", "on", "sign", "proxyproto", "shed" };
	struct prom *p = arg;
	(void)inst;
	for (unsigned i = 0; i < FL_COUNT(no_handlers); i++)
		if (!strcmp(plugin->name, no_handlers[i]))
			return;
	struct named *n = fl_zalloc(p->arena, sizeof *n);
	if (!n)
		return;
	n->name = plugin->name;
	*p->last = n;
	p->last = &n->next;
}

static int link(struct fl_setup *s, void *inst)
{
	fl_setup_each(s, note, inst);
	return 0;
}

static int chain(void *inst, struct fl_chain *c, struct fl_arena *a, void **mine)
{
	struct prom *p = inst;
	struct mine *m = fl_zalloc(a, sizeof *m);
	if (!m || !(m->zone = fl_zalloc(a, (p->zones->n + 1) * sizeof *m->zone)) || !(m->by = fl_zalloc(a, (c->n + 1) * sizeof *m->by)))
		return -ENOMEM;
	for (unsigned i = 0; i < p->zones->n; i++)
		m->zone[i] = fl_stats_get(c->server, p->zones->text[i], c->view);
	m->zone[p->zones->n] = fl_stats_get(c->server, FL_STR("."), c->view);
	for (unsigned i = c->n; i--; m->nby++) {        /* who answers stands at the end, mostly */
		m->by[m->nby].p = c->at[i].p;
		m->by[m->nby].index = fl_plugin_index(c->at[i].p);
	}
	for (struct named *n = p->named; n && c->first_key; n = n->next) {
		const struct fl_str values[] = { c->server, c->zone, c->view, fl_str(n->name) };
		struct shown *sh = fl_zalloc(a, sizeof *sh);
		if (!sh)
			return -ENOMEM;
		*sh = (struct shown){ fl_metric_grid(fl_metric(&enabled_def), values, NULL, 0), p->shown };
		p->shown = sh;
	}
	*mine = m;
	return 0;
}

static int start(void *inst, struct fl_err *e)
{
	struct prom *p = inst;
	struct fl_err why;
	(void)e;
	fl_grid_set(fl_metric_plain(&build_def, FL_VERSION, "", ""), 1);
	for (unsigned i = 0; i < FL_COUNT(idle); i++)
		fl_metric_plain(&idle[i]);
	fl_process_metrics();
	for (struct shown *s = p->shown; s; s = s->next)
		show(s->grid, true);
	if (p->web_config.p && !p->guard)       /* said at set-up */
		return 0;
	if (fl_http_listen_guarded(p->loop, p->addr, "/metrics", fl_http_metrics, NULL, p->guard, &p->face, &why))
		fl_log(FL_ERROR, NULL, "Failed to start metrics handler: %s", why.msg);      /* as CoreDNS: said, not fatal */
	return 0;
}

static void stop(void *inst)
{
	struct prom *p = inst;
	fl_http_close(p->face);
	p->face = NULL;
	for (struct shown *s = p->shown; s; s = s->next)
		show(s->grid, false);
}

/* ---- counting ---- */

static int who(const struct mine *m, const struct fl_plugin *by)
{
	for (unsigned i = 0; i < m->nby; i++)
		if (m->by[i].p == by)
			return m->by[i].index;
	return fl_plugin_index(by);             /* a lookup's answer, from another block */
}

static void sent(void *inst, struct fl_query *q, const struct fl_sent *s)
{
	const struct prom *p = inst;
	const struct mine *m = fl_mine(q);
	int zone = 0;
	if (p->zones->n != 1)
		zone = fl_zones_match(p->zones, q->parent ? q->qname : q->client->qname);
	fl_stats_count(m->zone[zone < 0 ? (int)p->zones->n : zone], q, s, who(m, q->res.by));
}

static const struct fl_opt opts[] = {
	{ "", "[ADDRESS]", "where /metrics is served (localhost:9153)" },
	{ "runtime_metrics", "", "accepted" },
	{ "tls", "FILE", "TLS, users and more for ADDRESS: a web configuration file of Prometheus' exporters" },
	{ 0 },
};

FL_PLUGIN(prometheus, .opts = opts, .setup = setup, .link = link, .chain = chain, .start = start, .stop = stop, .destroy = destroy, .sent = sent);

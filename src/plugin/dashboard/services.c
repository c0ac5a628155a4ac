/* The cluster's services, by namespace and name, a page at a time. The index is no order, so a page is the smallest names behind the last one
 * of the page before: the whole index is looked at for each, a piece a turn of the main loop (which also writes it: nothing is lent over a
 * turn), so that a million services hold nobody up. */
#include "plugin/dashboard/dashboard.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { PAGE_MAX = 200, PIECE = 2048, PIECES = 32, RESTARTS = 5, COUNTED_MAX = 500000 };
static const uint64_t turn_ns = 4 * FL_MS;      /* of work in one turn of the loop, and then as long for others */

struct row { struct dash *d; const char *zone; char ns[64], name[256]; };

struct dash_scan {
	struct fl_timer timer;
	struct dash_job *job;
	struct dash *d;                 /* whose cluster is looked at now */
	struct fl_cluster_scan at;
	struct fl_arena *arena;         /* its generation */
	unsigned restarts;
	char want[513], after_zone[256];
	struct row after;               /* the last one of the page before */
	unsigned limit, n;
	uint64_t matched, all, before_matched, before_all;      /* before: what earlier clusters had, should this one begin again */
	unsigned before_n;
	struct row row[PAGE_MAX + 1];   /* a heap, the greatest first */
};

static struct dash_scan *running[DASH_JOBS];

/* ---- the page as a heap ---- */

static int cmp(const char *ns, const char *name, const char *zone, const struct row *b)
{
	int c = strcmp(ns, b->ns);
	c = c ? c : strcmp(name, b->name);
	return c ? c : strcmp(zone, b->zone);
}

static int cmp_rows(const struct row *a, const struct row *b) { return cmp(a->ns, a->name, a->zone, b); }

static void swap(struct row *a, struct row *b)
{
	struct row t = *a;
	*a = *b;
	*b = t;
}

static void sift(struct row *r, unsigned n)
{
	for (unsigned i = 0, k; (k = 2 * i + 1) < n; i = k) {
		if (k + 1 < n && cmp_rows(&r[k + 1], &r[k]) > 0)
			k++;
		if (cmp_rows(&r[i], &r[k]) >= 0)
			return;
		swap(&r[i], &r[k]);
	}
}

static void lift(struct row *r, unsigned i)
{
	for (unsigned up; i && cmp_rows(&r[i], &r[up = (i - 1) / 2]) > 0; i = up)
		swap(&r[i], &r[up]);
}

static void keep(struct dash_scan *sc, struct fl_str ns, struct fl_str name)
{
	if (ns.n >= sizeof sc->row->ns || name.n >= sizeof sc->row->name)
		return;
	if (sc->n == sc->limit && cmp(ns.p, name.p, sc->d->cluster_zone.p, &sc->row[0]) >= 0)
		return;
	struct row *to = sc->n < sc->limit ? &sc->row[sc->n++] : &sc->row[0];
	to->d = sc->d;
	to->zone = sc->d->cluster_zone.p;
	memcpy(to->ns, ns.p, ns.n + 1);
	memcpy(to->name, name.p, name.n + 1);
	if (to == sc->row && sc->n == sc->limit)
		sift(sc->row, sc->n);
	else
		lift(sc->row, sc->n - 1);
}

/* ---- looking ---- */

/* "name.ns", in which the text is looked for. */
static bool matches(const struct dash_scan *sc, struct fl_str ns, struct fl_str name)
{
	char both[320];
	if (!*sc->want)
		return true;
	if (ns.n + name.n + 2 > sizeof both)
		return false;
	memcpy(both, name.p, name.n);
	both[name.n] = '.';
	memcpy(both + name.n + 1, ns.p, ns.n);
	return memmem(both, name.n + 1 + ns.n, sc->want, strlen(sc->want)) != NULL;
}

static void found(void *arg, const struct fl_cluster_service *s)
{
	struct dash_scan *sc = arg;
	struct fl_str ns = s->svc->o.ns, name = s->svc->o.name;
	sc->all++;
	if (!matches(sc, ns, name))
		return;
	sc->matched++;
	if (cmp(ns.p, name.p, sc->d->cluster_zone.p, &sc->after) <= 0)
		return;
	keep(sc, ns, name);
}

static void next_cluster(struct dash_scan *sc)
{
	do
		sc->d = sc->d ? sc->d->next : fl_dash_all;
	while (sc->d && (!sc->d->cluster || sc->d->arena != sc->arena));
	memset(&sc->at, 0, sizeof sc->at);
	sc->before_matched = sc->matched;
	sc->before_all = sc->all;
}

/* ---- telling ---- */

/* left: of how many endpoints it may still be counted whether they are ready. */
static void tell_row(struct fl_http_response *rs, const struct row *r, bool first, uint64_t *left)
{
	static const char *const types[] = { "ClusterIP", "NodePort", "LoadBalancer", "ExternalName" };
	struct fl_cluster_service s;
	uint64_t all = 0, ready = 0;
	char ip[46];
	fl_dash_text(rs, first ? "{\"namespace\":" : ",\n{\"namespace\":", fl_str(r->ns));
	fl_dash_text(rs, ",\"name\":", fl_str(r->name));
	fl_dash_text(rs, ",\"zone\":", r->d->cluster_zone);
	if (!r->d->cluster->service(r->d->cluster_inst, fl_str(r->ns), fl_str(r->name), &s)) {      /* gone meanwhile */
		fl_http_printf(rs, ",\"type\":null}");
		return;
	}
	for (unsigned i = 0; i < s.nslice; i++)
		all += s.slice[i]->nep;
	bool counted = all <= *left;
	*left -= counted ? all : 0;
	for (unsigned i = 0; counted && i < s.nslice; i++)
		for (unsigned k = 0; k < s.slice[i]->nep; k++)
			ready += (s.slice[i]->ep[k].flags & FL_EP_READY) != 0;
	fl_dash_text(rs, ",\"type\":", fl_str(s.svc->headless ? "Headless" : types[s.svc->type & 3]));
	fl_dash_number(rs, ",\"endpoints\":", (double)all);
	fl_dash_number(rs, ",\"ready\":", counted ? (double)ready : NAN);
	fl_http_printf(rs, ",\"addresses\":[");
	for (unsigned i = 0, n = 0; i < s.svc->nip; i++)
		if (s.svc->ip[i].len) {
			fl_ip_text(ip, s.svc->ip[i].b, s.svc->ip[i].len);
			fl_http_printf(rs, n++ ? ",\"%s\"" : "\"%s\"", ip);
		}
	fl_http_printf(rs, "],\"ports\":[");
	for (unsigned i = 0; i < s.svc->nport && i < 32; i++) {
		fl_http_printf(rs, i ? ",{\"port\":%d" : "{\"port\":%d", s.svc->port[i].port);
		fl_dash_text(rs, ",\"name\":", s.svc->port[i].name);
		fl_dash_text(rs, ",\"protocol\":", s.svc->port[i].protocol);
		fl_http_printf(rs, "}");
	}
	fl_http_printf(rs, "]");
	if (s.svc->type == FL_EXTERNAL_NAME)
		fl_dash_text(rs, ",\"external_name\":", s.svc->external_name);
	fl_http_printf(rs, "}");
}

static int by_name(const void *a, const void *b) { return cmp_rows(a, b); }

static void over(struct dash_scan *sc, const char *wrong)
{
	struct fl_http_response *rs = &sc->job->out;
	if (wrong) {
		fl_dash_text(rs, ",\"error\":", fl_str(wrong));
	} else {
		qsort(sc->row, sc->n, sizeof *sc->row, by_name);
		uint64_t left = COUNTED_MAX;
		bool more = sc->n == sc->limit;         /* one more than a page holds */
		sc->n -= more;
		fl_http_printf(rs, ",\"total\":%llu,\"matched\":%llu,\"more\":%s,\"services\":[", (unsigned long long)sc->all,
			       (unsigned long long)sc->matched, more ? "true" : "false");
		for (unsigned i = 0; i < sc->n; i++)
			tell_row(rs, &sc->row[i], !i, &left);
		fl_http_printf(rs, "]");
	}
	sc->job->done = true;
	for (unsigned i = 0; i < DASH_JOBS; i++)
		running[i] = running[i] == sc ? NULL : running[i];
	free(sc);
}

/* ---- turns ---- */

static int piece(struct dash_scan *sc)
{
	int ret = sc->d->cluster->scan(sc->d->cluster_inst, &sc->at, PIECE, found, sc);
	if (ret == -ESTALE && sc->restarts++ < RESTARTS) {
		/* Rows of this cluster that are kept are found again: they must not stand twice. */
		unsigned n = 0;
		for (unsigned i = 0; i < sc->n; i++)
			if (sc->row[i].d != sc->d)
				sc->row[n++] = sc->row[i];
		sc->n = n;
		for (unsigned i = 1; i < n; i++)
			lift(sc->row, i);
		sc->matched = sc->before_matched;
		sc->all = sc->before_all;
		memset(&sc->at, 0, sizeof sc->at);
		return 1;
	}
	return ret;
}

static void turn(struct fl_timer *t)
{
	struct dash_scan *sc = (struct dash_scan *)t;
	struct fl_loop *loop = sc->d->loop;
	uint64_t end = fl_clock_ns() + turn_ns;
	for (unsigned i = 0; i < PIECES && fl_clock_ns() < end; i++) {
		int ret = piece(sc);
		if (ret < 0) {
			over(sc, "the cluster changes too fast to be listed");
			return;
		}
		if (ret)
			continue;
		next_cluster(sc);
		if (!sc->d) {
			over(sc, NULL);
			return;
		}
	}
	fl_timer_set(loop, &sc->timer, fl_clock_ns() + turn_ns);
}

void fl_dash_services_stop(const struct dash *d)
{
	for (unsigned i = 0; i < DASH_JOBS; i++) {
		struct dash_scan *sc = running[i];
		if (!sc || sc->arena != d->arena)
			continue;
		fl_timer_clear(d->loop, &sc->timer);
		over(sc, "the configuration changed meanwhile: ask again");
	}
}

void fl_dash_services(struct dash *d, const struct fl_http_request *rq, struct fl_http_response *rs)
{
	char number[16];
	int64_t limit = 50;
	if (fl_dash_job_asked(rq, rs))
		return;
	if (fl_dash_param(rq, "limit", number, sizeof number) && fl_parse_int(fl_str(number), 1, PAGE_MAX, &limit)) {
		fl_dash_error(rs, 400, "limit is 1 to 200");
		return;
	}
	struct dash_scan *sc = fl_xalloc(sizeof *sc);
	fl_dash_param(rq, "q", sc->want, sizeof sc->want);
	fl_dash_param(rq, "after_namespace", sc->after.ns, sizeof sc->after.ns);
	fl_dash_param(rq, "after_name", sc->after.name, sizeof sc->after.name);
	fl_dash_param(rq, "after_zone", sc->after_zone, sizeof sc->after_zone);
	sc->after.zone = sc->after_zone;
	for (char *p = sc->want; *p; p++)
		*p = (char)fl_lower((uint8_t)*p);
	sc->limit = (unsigned)limit + 1;
	sc->arena = d->arena;
	sc->timer.fn = turn;
	next_cluster(sc);
	struct dash_job *j = sc->d ? fl_dash_job(d) : NULL;
	if (!j) {
		fl_dash_error(rs, sc->d ? 503 : 404, sc->d ? "too many are at work: ask again soon" : "no block with the dashboard has kubernetes");
		free(sc);
		return;
	}
	sc->job = j;
	unsigned at = 0;
	while (running[at])                     /* as many places as jobs */
		at++;
	running[at] = sc;
	fl_timer_set(d->loop, &sc->timer, fl_loop_now(d->loop));
	fl_dash_job_told(j, rs);
}

#include "plugin/dashboard/dashboard.h"
#include "ctl/summary.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { HISTORY = 300 };                 /* ten minutes */

/* One point of the plots; -1: not known. */
struct point { double at, rate, errors, p50, p99, hit, busy; };

/* Two summaries, the newer at `now`; they outlive reloads, as the metrics do. */
static struct { struct fl_summary *sum[2]; uint64_t at_ns[2]; unsigned now; bool filled[2]; } seen;
static struct point history[HISTORY];
static unsigned nhistory, first;

/* ---- the tick ---- */

static double failures(const struct fl_summary *s)
{
	double n = 0;
	for (unsigned i = 0; i < s->nrcode; i++)
		if (strcmp(s->rcode[i].name, "NOERROR") && strcmp(s->rcode[i].name, "NXDOMAIN"))
			n += s->rcode[i].n;
	return n;
}

static double per_second(double was, double now, double seconds) { return now > was ? (now - was) / seconds : 0; }

static void remember(const struct fl_summary *was, const struct fl_summary *now, double seconds)
{
	struct point *p = &history[(first + nhistory) % HISTORY];
	double hits = now->hits - was->hits, looked = hits + now->misses - was->misses;
	*p = (struct point){ (double)fl_clock_wall_s(), per_second(was->queries, now->queries, seconds),
			     per_second(failures(was), failures(now), seconds), fl_sum_quantile(&was->took, &now->took, .5),
			     fl_sum_quantile(&was->took, &now->took, .99), looked > 0 ? hits / looked : -1, now->saturation };
	if (nhistory < HISTORY)
		nhistory++;
	else
		first = (first + 1) % HISTORY;
}

static void look(void)
{
	static struct fl_http_response text;    /* only as a buffer that grows */
	uint64_t now = fl_clock_ns();
	unsigned to = !seen.now;
	if (seen.filled[seen.now] && now - seen.at_ns[seen.now] < DASH_TICK / 2)
		return;
	if (!seen.sum[to])
		seen.sum[to] = fl_xalloc(sizeof *seen.sum[to]);
	text.n = 0;
	fl_metric_expose_named(fl_summary_families, fl_summary_nfamilies, fl_http_write, &text);
	fl_summary_read(seen.sum[to], text.body, text.n);
	seen.at_ns[to] = now;
	seen.filled[to] = true;
	if (seen.filled[seen.now])
		remember(seen.sum[seen.now], seen.sum[to], (double)(now - seen.at_ns[seen.now]) / 1e9);
	seen.now = to;
}

void fl_dash_tick(void *inst)
{
	if (inst == fl_dash_all)
		look();
}

/* ---- answers ---- */

static void top(const struct dash *d, struct fl_http_response *rs, const struct dash_books *bs, bool names)
{
	struct book_top t;
	char text[FL_NAME_TEXT_MAX];
	fl_dash_book_top(bs->book + 1, bs->n - 1, fl_loop_now(d->loop), &t);
	fl_http_printf(rs, "[");
	for (unsigned i = 0; i < t.n; i++) {
		struct fl_addr a = { .len = t.at[i].n };
		size_t n;
		if (names) {
			n = fl_name_text(text, (struct fl_name){ t.at[i].key, t.at[i].n });
		} else {
			memcpy(a.b, t.at[i].key, a.len);
			n = fl_addr_text(text, &a);
		}
		fl_dash_text(rs, i ? ",{\"name\":" : "{\"name\":", (struct fl_str){ text, n });
		fl_http_printf(rs, ",\"count\":%u,\"at_least\":%u", t.at[i].count, t.at[i].count - t.at[i].over);
		fl_dash_number(rs, ",\"share\":", t.total ? (double)(t.at[i].count - t.at[i].over) / (double)t.total : NAN);
		fl_http_printf(rs, "}");
	}
	fl_http_printf(rs, "]");
}

void fl_dash_status(struct dash *d, struct fl_http_response *rs)
{
	if (!seen.filled[seen.now] || fl_clock_ns() - seen.at_ns[seen.now] > 2 * DASH_TICK)     /* reloads begin the ticks anew */
		look();
	unsigned was = !seen.now;
	bool both = seen.filled[was];
	fl_http_printf(rs, "{\"now\":%llu,\"interval\":%llu", (unsigned long long)fl_clock_wall_s(), DASH_TICK / FL_SEC);
	fl_http_printf(rs, ",\"prometheus\":%s,\"cluster\":%s", d->has_prometheus ? "true" : "false", d->cluster ? "true" : "false");
	fl_dash_text(rs, ",\"server_version\":", FL_STR(FL_VERSION));
	fl_http_printf(rs, ",\"view\":");
	fl_summary_json(fl_http_write, rs, both ? seen.sum[was] : NULL, seen.sum[seen.now],
			both ? (double)(seen.at_ns[seen.now] - seen.at_ns[was]) / 1e9 : 0);
	fl_http_printf(rs, ",\"top\":{\"names\":");
	top(d, rs, d->names, true);
	fl_http_printf(rs, ",\"clients\":");
	if (d->clients)
		top(d, rs, d->clients, false);
	else
		fl_http_printf(rs, "null");
	fl_http_printf(rs, "}}\n");
}

static double known(double v) { return v < 0 ? NAN : v; }

void fl_dash_history(const struct fl_http_request *rq, struct fl_http_response *rs)
{
	char number[24];
	int64_t after = -1;
	unsigned n = 0;
	if (fl_dash_param(rq, "after", number, sizeof number) && fl_parse_int(fl_str(number), 0, INT64_MAX, &after)) {
		fl_dash_error(rs, 400, "after is a time in seconds");
		return;
	}
	fl_http_printf(rs, "{\"interval\":%llu,\"points\":[", DASH_TICK / FL_SEC);
	for (unsigned i = 0; i < nhistory; i++) {
		const struct point *p = &history[(first + i) % HISTORY];
		if (p->at <= (double)after)
			continue;
		fl_dash_number(rs, n++ ? ",\n[" : "[", p->at);
		fl_dash_number(rs, ",", p->rate);
		fl_dash_number(rs, ",", p->errors);
		fl_dash_number(rs, ",", known(p->p50));
		fl_dash_number(rs, ",", known(p->p99));
		fl_dash_number(rs, ",", known(p->hit));
		fl_dash_number(rs, ",", known(p->busy));
		fl_http_printf(rs, "]");
	}
	fl_http_printf(rs, "]}\n");
}

/* Of all blocks of this generation that have the directive. */
void fl_dash_zones(struct dash *d, struct fl_http_response *rs)
{
	enum { MOST = 1000 };
	unsigned n = 0;
	fl_http_printf(rs, "{\"zones\":[");
	for (const struct dash *o = fl_dash_all; o; o = o->next)
		for (const struct dash_zone *z = o->arena == d->arena ? o->zone : NULL; z; z = z->next) {
			if (n++ >= MOST)
				continue;
			fl_dash_text(rs, n > 1 ? ",\n{\"server\":" : "{\"server\":", z->server);
			fl_dash_text(rs, ",\"zone\":", z->zone);
			fl_dash_text(rs, ",\"view\":", z->view);
			fl_dash_text(rs, ",\"plugins\":", fl_str(z->plugins));
			fl_http_printf(rs, "}");
		}
	fl_http_printf(rs, "],\"total\":%u}\n", n);
}

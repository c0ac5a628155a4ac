#include "dns/stats.h"
#include "base/metric.h"
#include "dns/typify.h"
#include <stdio.h>
#include <stdlib.h>

const char *const *fl_plugin_names;
unsigned fl_plugin_count;

enum { RCODES = 25 };           /* 0..23 by name or number, and one cell for all others */

struct fl_stats {
	struct fl_stats *next;
	struct fl_str server, zone, view;
	struct fl_grid *requests, *took, *request_size, *dnssec, *response_size, *responses;
};

static struct fl_stats *all;

static const double time_buckets[] = { 0.00025, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048,
				       4.096, 8.192 };
static const double size_buckets[] = { 0, 100, 200, 300, 400, 511, 1023, 2047, 4095, 8291, 16e3, 32e3, 48e3, 64e3 };

static const char *const protos[] = { "udp", "tcp" };
static const char *const families[] = { "1", "2" };
static const char *const types[] = { "other", "A", "AAAA", "CNAME", "DNSKEY", "DS", "MX", "NSEC3", "NSEC", "NS", "PTR", "RRSIG", "SOA", "SRV",
				     "TXT", "HTTPS", "SVCB", "IXFR", "AXFR", "ANY" };
static uint8_t type_index[256];         /* of types below 256; no monitored one is above */
static char rcode_text[RCODES][16];
static const char *rcodes[RCODES];
static const char **plugins;            /* "" and then fl_plugin_names */

static const struct fl_metric_def requests_def = {
	"coredns_dns_requests_total", "Counter of DNS requests made per zone, protocol and family.", FL_COUNTER,
	.labels = { "server", "zone", "view", "proto", "family", "type" } };
static const struct fl_metric_def took_def = {
	"coredns_dns_request_duration_seconds", "Histogram of the time (in seconds) each request took per zone.", FL_HISTOGRAM,
	time_buckets, FL_COUNT(time_buckets), .labels = { "server", "zone", "view" } };
static const struct fl_metric_def request_size_def = {
	"coredns_dns_request_size_bytes", "Size of the EDNS0 UDP buffer in bytes (64K for TCP) per zone and protocol.", FL_HISTOGRAM,
	size_buckets, FL_COUNT(size_buckets), .labels = { "server", "zone", "view", "proto" } };
static const struct fl_metric_def dnssec_def = {
	"coredns_dns_do_requests_total", "Counter of DNS requests with DO bit set per zone.", FL_COUNTER,
	.labels = { "server", "zone", "view" } };
static const struct fl_metric_def response_size_def = {
	"coredns_dns_response_size_bytes", "Size of the returned response in bytes.", FL_HISTOGRAM,
	size_buckets, FL_COUNT(size_buckets), .labels = { "server", "zone", "view", "proto" } };
static const struct fl_metric_def responses_def = {
	"coredns_dns_responses_total", "Counter of response status codes.", FL_COUNTER,
	.labels = { "server", "zone", "view", "rcode", "plugin" } };

static void tables(void)
{
	if (plugins)
		return;
	plugins = fl_xalloc((fl_plugin_count + 1) * sizeof *plugins);
	plugins[0] = "";
	for (unsigned i = 0; i < fl_plugin_count; i++)
		plugins[i + 1] = fl_plugin_names[i];
	for (uint8_t i = 1; i < FL_COUNT(types); i++) {
		uint16_t type = 0;
		if (fl_type_parse(fl_str(types[i]), &type) && type < FL_COUNT(type_index))
			type_index[type] = i;
	}
	for (uint16_t i = 0; i < RCODES; i++) {
		const char *name = i < RCODES - 1 ? fl_rcode_name(i) : "other";
		if (name)
			snprintf(rcode_text[i], sizeof rcode_text[i], "%s", name);
		else
			snprintf(rcode_text[i], sizeof rcode_text[i], "RCODE%u", i);
		rcodes[i] = rcode_text[i];
	}
}

static struct fl_str keep(struct fl_str s) { return (struct fl_str){ fl_xstrndup(s.p, s.n), s.n }; }

struct fl_stats *fl_stats_get(struct fl_str server, struct fl_str zone, struct fl_str view)
{
	for (struct fl_stats *st = all; st; st = st->next)
		if (fl_str_eq(st->server, server) && fl_str_eq(st->zone, zone) && fl_str_eq(st->view, view))
			return st;
	tables();
	struct fl_stats *st = fl_xalloc(sizeof *st);
	*st = (struct fl_stats){ all, keep(server), keep(zone), keep(view) };
	const struct fl_str values[] = { st->server, st->zone, st->view };
	const struct fl_dim proto = { 2, protos };
	const struct fl_dim asked[] = { proto, { 2, families }, { FL_COUNT(types), types } };
	const struct fl_dim answered[] = { { RCODES, rcodes }, { fl_plugin_count + 1, plugins } };
	st->requests = fl_metric_grid(fl_metric(&requests_def), values, asked, 3);
	st->took = fl_metric_grid(fl_metric(&took_def), values, NULL, 0);
	st->request_size = fl_metric_grid(fl_metric(&request_size_def), values, &proto, 1);
	st->dnssec = fl_metric_grid(fl_metric(&dnssec_def), values, NULL, 0);
	st->response_size = fl_metric_grid(fl_metric(&response_size_def), values, &proto, 1);
	st->responses = fl_metric_grid(fl_metric(&responses_def), values, answered, 2);
	return all = st;
}

void fl_stats_count(struct fl_stats *st, const struct fl_query *q, const struct fl_sent *s, int plugin)
{
	const struct fl_client *c = q->client;
	unsigned slot = q->shard->id, tcp = c->tcp;
	unsigned type = q->qtype < FL_COUNT(type_index) ? type_index[q->qtype] : 0;
	unsigned rcode = q->dropped ? 0 : q->res.rcode < RCODES - 1 ? q->res.rcode : RCODES - 1;
	size_t full = q->dropped ? 0 : q->parent ? fl_reply_full_len(q) : s->full_len;
	if (c->dnssec_ok)
		fl_grid_add(st->dnssec, slot, 0, 1);
	fl_grid_add(st->requests, slot, (tcp * 2 + (c->peer.len == 16)) * (unsigned)FL_COUNT(types) + type, 1);
	fl_grid_observe(st->took, slot, 0, (double)s->took_ns / 1e9);
	fl_grid_observe(st->request_size, slot, tcp, (double)fl_request_len(q));
	fl_grid_observe(st->response_size, slot, tcp, (double)full);
	fl_grid_add(st->responses, slot, rcode * (fl_plugin_count + 1) + (q->dropped ? 0 : (unsigned)(plugin + 1)), 1);
}

int fl_plugin_index(const struct fl_plugin *p)
{
	for (unsigned i = 0; p && i < fl_plugin_count; i++)
		if (!strcmp(fl_plugin_names[i], p->name))
			return (int)i;
	return -1;
}

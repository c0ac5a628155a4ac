/* TCP connections of all shards, as /metrics shows them. */
#include "dns/server_int.h"

static const struct fl_metric_def open_def = { .name = "fairlead_tcp_connections", .kind = FL_GAUGE, .help = "TCP connections that are open." };
static const struct fl_metric_def accepted_def = { .name = "fairlead_tcp_connections_accepted_total", .kind = FL_COUNTER,
	.help = "TCP connections that were taken." };
static const struct fl_metric_def closed_def = { .name = "fairlead_tcp_connections_closed_total", .kind = FL_COUNTER,
	.help = "TCP connections that the server closed, or would not take: limit (all of them), client_limit (of one client), timeout, reset, "
		"unread (the client left its answers unread).", .labels = { "reason" } };

static const struct fl_metric_def handshakes_def = { .name = "fairlead_tls_handshakes_total", .kind = FL_COUNTER,
	.help = "TLS handshakes of clients: full, resumed from a session before, failed.", .labels = { "result" } };

static const struct fl_metric_def web_def = { .name = "fairlead_http_requests_total", .kind = FL_COUNTER,
	.help = "HTTP requests of DoH and gRPC clients." };
static const struct fl_metric_def ended_def = { .name = "fairlead_http_aborted_total", .kind = FL_COUNTER,
	.help = "What HTTP clients were refused or gave up: slow (a request or answer that did not move), large (a header beyond the limit, or no "
		"HTTP), reset (a request in work that the client reset), calmed (a connection closed for that).", .labels = { "reason" } };

static void tell(const struct fl_metric_def *def, const char *reason, uint64_t *told, uint64_t now)
{
	fl_grid_add(reason ? fl_metric_plain(def, reason) : fl_metric_plain(def), 0, 0, now - *told);
	*told = now;
}

static void web_look(struct fl_server *s)
{
	struct fl_web_stats all = { 0 };
	for (unsigned i = 1; i <= s->process.shards; i++) {
		struct fl_web_stats one = fl_web_stats_read(&s->shard[i]->web);
		all.requests += one.requests;
		all.slow += one.slow;
		all.large += one.large;
		all.resets += one.resets;
		all.calmed += one.calmed;
	}
	tell(&web_def, NULL, &s->web_told.requests, all.requests);
	tell(&ended_def, "slow", &s->web_told.slow, all.slow);
	tell(&ended_def, "large", &s->web_told.large, all.large);
	tell(&ended_def, "reset", &s->web_told.resets, all.resets);
	tell(&ended_def, "calmed", &s->web_told.calmed, all.calmed);
}

static void look(void *arg)
{
	struct fl_server *s = arg;
	struct fl_tcp_stats all = { 0 };
	for (unsigned i = 1; i <= s->process.shards; i++) {
		struct fl_tcp_stats one = fl_tcp_stats(s->shard[i]->tcp);
		all.open += one.open;
		all.accepted += one.accepted;
		all.refused += one.refused;
		all.crowded += one.crowded;
		all.timed_out += one.timed_out;
		all.reset += one.reset;
		all.unread += one.unread;
		all.shaken += one.shaken;
		all.resumed += one.resumed;
		all.unshaken += one.unshaken;
	}
	fl_grid_set(fl_metric_plain(&open_def), (double)all.open);
	tell(&accepted_def, NULL, &s->told.accepted, all.accepted);
	tell(&closed_def, "limit", &s->told.refused, all.refused);
	tell(&closed_def, "client_limit", &s->told.crowded, all.crowded);
	tell(&closed_def, "timeout", &s->told.timed_out, all.timed_out);
	tell(&closed_def, "reset", &s->told.reset, all.reset);
	tell(&closed_def, "unread", &s->told.unread, all.unread);
	tell(&handshakes_def, "full", &s->told.shaken, all.shaken);
	tell(&handshakes_def, "resumed", &s->told.resumed, all.resumed);
	tell(&handshakes_def, "failed", &s->told.unshaken, all.unshaken);
	web_look(s);
}

void fl_conns_watch(struct fl_server *s) { fl_metric_before(look, s); }
void fl_conns_forget(struct fl_server *s) { fl_metric_before_drop(look, s); }

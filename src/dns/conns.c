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

static void tell(const struct fl_metric_def *def, const char *reason, uint64_t *told, uint64_t now)
{
	fl_grid_add(reason ? fl_metric_plain(def, reason) : fl_metric_plain(def), 0, 0, now - *told);
	*told = now;
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
}

void fl_conns_watch(struct fl_server *s) { fl_metric_before(look, s); }
void fl_conns_forget(struct fl_server *s) { fl_metric_before_drop(look, s); }

/* grpc FROM TO... { ... }: asks other servers by CoreDNS's gRPC service (pb/dns.proto), over HTTP/2: streams of one connection to each server
 * (net/upstream.h). Each server is asked once, in the order of the policy; NotFound is NXDOMAIN (CoreDNS plugin/grpc). */
#include "dns/relay.h"
#include "dns/upstreams.h"
#include "net/udp.h"
#include "net/upstream.h"
#include <errno.h>
#include <stdlib.h>

/* CoreDNS gives the first server all of 5 s; a client's resolver waits as long, so the second one has a chance here. */
#define BUDGET_NS (4500 * FL_MS)
#define ONE_NS (2 * FL_SEC)
#define EXPIRE_NS (60 * FL_SEC)
enum { MAX = 15, WHY_MAX = 300, RCODES = 24, EDE_NO_REACHABLE_AUTHORITY = 22, EDE_NETWORK_ERROR = 23 };

struct server { struct fl_up_conf conf; struct fl_grid *asked, *answered, *took; };

struct grpc {
	struct fl_name from;
	struct fl_zones except;
	struct fl_fall fall;
	struct server server[MAX]; unsigned n, ntargets;
	enum fl_policy policy;
	uint32_t robin;                 /* atomic */
	struct fl_tls_creds *creds;
	uint64_t creds_id;
	const char *tls_name;
};

/* Of a shard. */
struct local { struct fl_up_net *net; struct fl_upstream *up[]; };

/* Of a query. */
struct trip {
	struct fl_query *q;
	struct fl_ticket ticket;
	struct grpc *in;
	uint8_t order[MAX], at;
	bool back, padded;
	int ret;
	const char *why;
	uint64_t began_ns, deadline_ns, asked_ns;
	struct fl_message m;
	struct fl_up_ask ask;
};

/* ---- set-up ---- */

static void grids(struct server *v, const char *to)
{
	static const char *const rcode[RCODES] = { "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN",
		"YXRRSET", "NXRRSET", "NOTAUTH", "NOTZONE", "DSOTYPENI", "12", "13", "14", "15", "BADSIG", "BADKEY", "BADTIME",
		"BADMODE", "BADNAME", "BADALG", "BADTRUNC", "BADCOOKIE" };
	static const double buckets[] = { 0.00025, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024,
		2.048, 4.096, 8.192 };
	static const struct fl_metric_def asked = { .name = "coredns_grpc_requests_total", .kind = FL_COUNTER,
		.help = "Counter of requests made per upstream.", .labels = { "to" } };
	static const struct fl_metric_def answered = { .name = "coredns_grpc_responses_total", .kind = FL_COUNTER,
		.help = "Counter of requests made per upstream.", .labels = { "to", "rcode" } };
	static const struct fl_metric_def took = { .name = "coredns_grpc_request_duration_seconds", .kind = FL_HISTOGRAM,
		.help = "Histogram of the time each request took.", .buckets = buckets, .nbuckets = FL_COUNT(buckets), .labels = { "to" } };
	static const struct fl_dim rcodes = { RCODES, rcode };
	struct fl_str label = fl_str(to);
	v->asked = fl_metric_plain(&asked, to);
	v->took = fl_metric_plain(&took, to);
	v->answered = fl_metric_grid(fl_metric(&answered), &label, &rcodes, 1);
}

static int add(struct fl_setup *s, struct grpc *g, const struct fl_target *t)
{
	struct fl_arena *a = fl_setup_arena(s);
	int64_t port;
	if (g->ntargets++ >= MAX)
		return 0;               /* told when all are counted */
	struct server *v = &g->server[g->n++];
	v->conf = (struct fl_up_conf){ .kind = FL_UP_GRPC, .expire_ns = EXPIRE_NS };
	if (!strcmp(t->scheme, "unix")) {
		v->conf.path = fl_arena_str(a, t->host).p;
		v->conf.name = fl_arena_printf(a, "unix://%s", v->conf.path).p;
		v->conf.authority = "localhost";
		v->conf.tls_name = "localhost";
	} else {
		v->conf.name = v->conf.authority = fl_target_text(a, t);
		v->conf.tls_name = fl_arena_str(a, t->host).p;
		struct fl_str host = t->zone.n ? fl_arena_printf(a, "%.*s%%%.*s", FL_FMT(t->host), FL_FMT(t->zone)) : t->host;
		if (fl_parse_int(t->port, 1, 65535, &port))
			return fl_setup_error(s, "invalid port in upstream address \"%s\"", v->conf.name);
		v->conf.addr_len = fl_sockaddr(&v->conf.addr, host, (uint16_t)port);
	}
	grids(v, v->conf.name);
	return 0;
}

static int file(struct fl_setup *s, struct grpc *g, const struct fl_target *t)
{
	struct fl_arena *a = fl_setup_arena(s);
	const char *path = fl_arena_str(a, t->rest).p;
	struct fl_str *server;
	unsigned n;
	if (fl_resolvconf_read(a, path, &server, &n))
		return fl_setup_error(s, "not an IP address or file \"%s\": failed to open file \"%s\": \"open %s: no such file or directory\"",
				      path, path, path);
	for (unsigned i = 0; i < n; i++) {
		struct fl_target x;
		if (fl_target_parse(server[i], &x) && x.ip && !x.port_given) {
			int ret = add(s, g, &x);
			if (ret)
				return ret;
		}
	}
	return 0;
}

static int targets(struct fl_setup *s, struct grpc *g, const struct fl_str *to, unsigned n)
{
	int ret = 0;
	for (unsigned i = 0; !ret && i < n; i++) {
		struct fl_target t;
		if (!fl_target_parse(to[i], &t))
			return fl_setup_error(s, "invalid address: \"%.*s\"", FL_FMT(to[i]));
		ret = t.ip || !strcmp(t.scheme, "unix") ? add(s, g, &t) : file(s, g, &t);
	}
	return !ret && !g->ntargets ? fl_setup_error(s, "no nameservers found") : ret;
}

static int option(struct fl_setup *s, struct grpc *g)
{
	struct fl_disp *d = fl_setup_disp(s);
	struct fl_str name = fl_disp_val(d), *arg;
	if (fl_str_is(name, "policy"))
		return fl_setup_policy(s, &g->policy);
	if (fl_str_is(name, "tls_servername")) {
		if (!fl_disp_next_arg(d))
			return fl_setup_arg_error(s);
		g->tls_name = fl_arena_str(fl_setup_arena(s), fl_disp_val(d)).p;
		return 0;
	}
	unsigned n = fl_disp_args(d, &arg);
	if (fl_str_is(name, "fallthrough"))
		return fl_setup_fall(s, arg, n, &g->fall);
	if (fl_str_is(name, "tls"))
		return n > 3 ? fl_setup_arg_error(s) : fl_setup_tls(s, arg, n, &g->creds, &g->creds_id);
	if (!fl_str_is(name, "except"))
		return fl_setup_parse_error(s, "unknown property '%.*s'", FL_FMT(name));
	struct fl_zones more, *to = &g->except;
	int ret = n ? fl_setup_zones(s, arg, n, &more) : fl_setup_arg_error(s);
	if (ret || !to->n) {
		*to = ret ? *to : more;
		return ret;
	}
	struct fl_name *names = fl_zalloc(fl_setup_arena(s), (to->n + more.n) * sizeof *names);
	memcpy(names, to->name, to->n * sizeof *names);
	memcpy(names + to->n, more.name, more.n * sizeof *names);
	to->name = names;
	to->n += more.n;
	return 0;
}

static int from(struct fl_setup *s, struct grpc *g)
{
	struct fl_disp *d = fl_setup_disp(s);
	struct fl_str *zone;
	if (!fl_disp_next_arg(d))
		return fl_setup_arg_error(s);
	struct fl_str text = fl_disp_val(d);
	if (fl_zone_parse(fl_setup_arena(s), text, &zone))
		g->from = fl_name_parse_in(fl_setup_arena(s), zone[0]);
	return g->from.len ? 0 : fl_setup_error(s, "unable to normalize '%.*s'", FL_FMT(text));
}

/* `tls_servername` alone means TLS too. */
static int ways(struct fl_setup *s, struct grpc *g)
{
	int ret = g->tls_name && !g->creds ? fl_setup_tls(s, NULL, 0, &g->creds, &g->creds_id) : 0;
	for (unsigned i = 0; !ret && i < g->n; i++) {
		struct fl_up_conf *c = &g->server[i].conf;
		c->creds = g->creds;
		if (g->tls_name)
			c->tls_name = c->authority = g->tls_name;
	}
	return ret;
}

static int setup(struct fl_setup *s, void **inst)
{
	struct fl_disp *d = fl_setup_disp(s);
	struct grpc *g = fl_zalloc(fl_setup_arena(s), sizeof *g);
	struct fl_str *to;
	int ret = fl_setup_once(s);
	while (!ret && fl_disp_next(d)) {
		ret = from(s, g);
		unsigned n = ret ? 0 : fl_disp_args(d, &to);
		if (!ret)
			ret = n ? targets(s, g, to, n) : fl_setup_arg_error(s);
		while (!ret && fl_disp_next_block(d))
			ret = option(s, g);
	}
	if (!ret)
		ret = ways(s, g);
	if (!ret && g->ntargets > MAX)
		ret = fl_setup_error(s, "more than %d TOs configured: %u", MAX, g->ntargets);
	*inst = g;
	return ret;
}

/* ---- a query ---- */

static void back(struct fl_up_ask *a, int ret, const uint8_t *msg, size_t n)
{
	struct trip *t = (struct trip *)((char *)a - offsetof(struct trip, ask));
	struct fl_query *q = t->q;
	struct server *v = &t->in->server[t->order[t->at - 1]];
	char why[WHY_MAX];
	t->back = true;
	t->ret = ret;
	t->why = NULL;
	if (ret && ret != -ENOENT) {
		fl_upstream_why(a, ret, why, sizeof why);
		t->why = fl_arena_str(q->arena, fl_str(why)).p;
	} else if (!ret) {
		t->ret = fl_message_parse(&t->m, q->arena, msg, n);
		t->why = t->ret ? "dns: reply does not unpack" : NULL;
	}
	if (!t->ret) {
		fl_grid_add(v->asked, q->shard->id, 0, 1);
		if (t->m.rcode < RCODES)
			fl_grid_add(v->answered, q->shard->id, t->m.rcode, 1);
		fl_grid_observe(v->took, q->shard->id, 0, (double)(fl_loop_now(q->shard->loop) - t->asked_ns) / 1e9);
	}
	fl_wake(t->ticket, 0);
}

/* Asks the next server to which a question goes out. False: there is none, or no time. */
static bool attempt(struct trip *t)
{
	struct fl_query *q = t->q;
	struct local *l = fl_local(q);
	char why[WHY_MAX];
	while (t->at < t->in->n && fl_now(q->shard) < t->deadline_ns) {
		uint64_t left = t->deadline_ns - fl_now(q->shard);
		struct fl_upstream *up = l->up[t->order[t->at++]];
		t->back = false;
		t->asked_ns = fl_now(q->shard);
		t->ret = fl_upstream_ask(up, &t->ask, true, left < ONE_NS ? left : ONE_NS);
		if (!t->ret)
			return true;
		fl_upstream_why(&t->ask, t->ret, why, sizeof why);
		t->why = fl_arena_str(q->arena, fl_str(why)).p;
	}
	return false;
}

static enum fl_verdict give_up(struct trip *t)
{
	struct fl_query *q = t->q;
	if (fl_fall_through(&t->in->fall, q->qname))
		return FL_NEXT;
	enum fl_verdict v = fl_fail(q, FL_SERVFAIL, t->why ? t->why : "no healthy gRPC proxies");
	q->res.has_ede = true;
	q->res.ede = t->ret && t->ret != -ETIMEDOUT ? EDE_NETWORK_ERROR : EDE_NO_REACHABLE_AUTHORITY;
	q->res.ede_text = q->res.why;
	q->res.live = t->began_ns + ONE_NS > t->deadline_ns;    /* others took the time: no cache shall say that of the name */
	return v;
}

static enum fl_verdict begin(struct grpc *g, struct fl_query *q)
{
	struct trip *t = fl_zalloc(q->arena, sizeof *t);
	if (!t)
		return fl_yield(q, -ENOMEM);
	t->q = q;
	t->in = g;
	t->ticket = fl_ticket(q);
	t->padded = g->creds && fl_relay_may_pad(q);
	t->ask.msg = fl_relay_query(q, t->padded, &t->ask.len);
	if (!t->ask.msg)
		return fl_yield(q, -ENOMEM);
	t->ask.question = (uint16_t)(q->qname.len + 4u);
	t->ask.done = back;
	t->began_ns = fl_now(q->shard);
	t->deadline_ns = q->root->born_ns + BUDGET_NS;  /* also of one that waited for another's answer before (cache) */
	fl_policy_order(g->policy, t->order, g->n, q->shard->rng, &g->robin);
	*fl_slot(q) = t;
	return attempt(t) ? FL_WAIT : give_up(t);
}

static enum fl_verdict query(void *inst, struct fl_query *q)
{
	struct grpc *g = inst;
	struct trip *t = *fl_slot(q);
	if (!t) {
		bool mine = fl_name_under(q->qname, g->from) &&
			    (!g->except.n || fl_name_eq(q->qname, g->from) || fl_zones_match(&g->except, q->qname) < 0);
		return mine ? begin(g, q) : FL_NEXT;
	}
	if (!t->back)
		return FL_WAIT;
	t->back = false;
	if (t->ret == -ENOMEM)
		return fl_yield(q, -ENOMEM);
	bool missing = t->ret == -ENOENT;
	if (t->ret && !missing)
		return attempt(t) ? FL_WAIT : give_up(t);
	if ((missing || t->m.rcode == FL_NXDOMAIN) && fl_fall_through(&g->fall, q->qname))
		return FL_NEXT;
	if (missing)
		q->res.rcode = FL_NXDOMAIN;
	else
		fl_relay_reply(q, &t->m, false, t->padded);
	return FL_DONE;
}

static void cancel(void *inst, struct fl_query *q)
{
	struct trip *t = *fl_slot(q);
	(void)inst;
	if (t)
		fl_upstream_cancel(&t->ask);
}

static int shard_start(void *inst, struct fl_shard *sh, void **local)
{
	struct grpc *g = inst;
	struct local *l = fl_xalloc(sizeof *l + g->n * sizeof l->up[0]);
	l->net = fl_up_net_create(sh->loop, sh->pool);
	for (unsigned i = 0; i < g->n; i++)
		l->up[i] = fl_upstream_create(l->net, &g->server[i].conf);
	*local = l;
	return 0;
}

static void shard_stop(void *inst, struct fl_shard *sh, void *local)
{
	struct grpc *g = inst;
	struct local *l = local;
	(void)sh;
	for (unsigned i = 0; i < g->n; i++)
		fl_upstream_destroy(l->up[i]);
	fl_up_net_destroy(l->net);
	free(l);
}

static const struct fl_opt opts[] = {
	{ "", "FROM TO...", "names below FROM are asked of TO: IP[:PORT], unix://PATH, resolv.conf files; at most 15" },
	{ "except", "ZONE...", "not those below these" },
	{ "tls", "[CERT KEY] [CA]", "TLS, with these credentials" },
	{ "tls_servername", "NAME", "TLS; what the certificates must be for" },
	{ "policy", "random|round_robin|sequential", "in which order servers are tried (random)" },
	{ "fallthrough", "[ZONE...]", "NXDOMAIN and failure are for the next plugin" },
	{ NULL },
};

FL_PLUGIN(grpc, .opts = opts, .setup = setup, .shard_start = shard_start, .shard_stop = shard_stop, .query = query, .cancel = cancel);

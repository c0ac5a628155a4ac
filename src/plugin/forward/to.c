/* What stands behind FROM: addresses, resolv.conf files, host names (CoreDNS plugin/forward/resolve.go, pkg/parse/host.go), and the set of
 * servers that they mean now. */
#include "plugin/forward/forward_int.h"
#include "base/log.h"
#include "net/udp.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- counters of a server ---- */

static const double buckets[] = { 0.00025, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096,
				  8.192 };

/* The names that these had until CoreDNS 1.11, which dashboards and alerts still ask for: the same numbers, under both names. */
static void old_names(const struct fwd_server *v)
{
	static const struct fl_metric_def requests = { .name = "coredns_forward_requests_total", .kind = FL_COUNTER,
		.help = "Counter of requests made per upstream.", .labels = { "to" } };
	static const struct fl_metric_def responses = { .name = "coredns_forward_responses_total", .kind = FL_COUNTER,
		.help = "Counter of responses received per upstream.", .labels = { "to", "rcode" } };
	static const struct fl_metric_def took = { .name = "coredns_forward_request_duration_seconds", .kind = FL_HISTOGRAM,
		.help = "Histogram of the time each request took.", .buckets = buckets, .nbuckets = FL_COUNT(buckets),
		.labels = { "to", "rcode" } };
	static const struct fl_metric_def hits = { .name = "coredns_forward_conn_cache_hits_total", .kind = FL_COUNTER, .always = true,
		.help = "Counter of connection cache hits per upstream and protocol.", .labels = { "to", "proto" } };
	static const struct fl_metric_def misses = { .name = "coredns_forward_conn_cache_misses_total", .kind = FL_COUNTER,
		.help = "Counter of connection cache misses per upstream and protocol.", .labels = { "to", "proto" } };
	struct fl_str to = fl_str(v->to);
	fl_metric_mirror(&requests, &to, v->took);
	fl_metric_mirror(&responses, &to, v->took);
	fl_metric_mirror(&took, &to, v->took);
	fl_metric_mirror(&hits, &to, v->kept);
	fl_metric_mirror(&misses, &to, v->opened);
}

static void our_own(struct fwd_server *v)
{
	static const char *const reason[] = { "question", "id" };
	static const struct fl_dim reasons = { FL_COUNT(reason), reason };
	static const struct fl_metric_def odd = { .name = "fairlead_forward_odd_replies_total", .kind = FL_COUNTER,
		.help = "Replies that were not relayed: to another question than was asked, or with an ID that nobody waits for.",
		.labels = { "to", "reason" } };
	static const struct fl_metric_def hedged = { .name = "fairlead_forward_hedges_total", .kind = FL_COUNTER,
		.help = "Questions that were asked of this server too, because another was slow.", .labels = { "to" } };
	static const struct fl_metric_def won = { .name = "fairlead_forward_hedges_won_total", .kind = FL_COUNTER,
		.help = "Those of them that this server answered first.", .labels = { "to" } };
	struct fl_str to = fl_str(v->to);
	v->odd = fl_metric_grid(fl_metric(&odd), &to, &reasons, 1);
	v->hedged = fl_metric_plain(&hedged, v->to);
	v->won = fl_metric_plain(&won, v->to);
}

static void grids(struct fwd_server *v)
{
	static const char *const rcode[] = { "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN",
		"YXRRSET", "NXRRSET", "NOTAUTH", "NOTZONE", "DSOTYPENI", "12", "13", "14", "15", "BADSIG", "BADKEY", "BADTIME",
		"BADMODE", "BADNAME", "BADALG", "BADTRUNC", "BADCOOKIE" };
	static const char *const proto[FWD_PROTOS] = { [FWD_UDP] = "udp", [FWD_TCP] = "tcp", [FWD_TCP_TLS] = "tcp-tls", [FWD_QUIC] = "quic" };
	static const struct fl_metric_def took = { .name = "coredns_proxy_request_duration_seconds", .kind = FL_HISTOGRAM,
		.help = "Histogram of the time each request took.", .buckets = buckets, .nbuckets = FL_COUNT(buckets),
		.labels = { "proxy_name", "to", "rcode" } };
	static const struct fl_metric_def hits = { .name = "coredns_proxy_conn_cache_hits_total", .kind = FL_COUNTER, .always = true,
		.help = "Counter of connection cache hits per upstream and protocol.", .labels = { "proxy_name", "to", "proto" } };
	static const struct fl_metric_def misses = { .name = "coredns_proxy_conn_cache_misses_total", .kind = FL_COUNTER,
		.help = "Counter of connection cache misses per upstream and protocol.",
		.labels = { "proxy_name", "to", "proto" } };
	static const struct fl_dim rcodes = { FL_COUNT(rcode), rcode }, protos = { FL_COUNT(proto), proto };
	struct fl_str fixed[] = { FL_STR("forward"), fl_str(v->to) };
	v->took = fl_metric_grid(fl_metric(&took), fixed, &rcodes, 1);
	v->kept = fl_metric_grid(fl_metric(&hits), fixed, &protos, 1);
	v->opened = fl_metric_grid(fl_metric(&misses), fixed, &protos, 1);
	old_names(v);
	our_own(v);
}

/* ---- building a set ---- */

/* s NULL: while it serves. e: the words. */
struct maker { struct fl_setup *s; struct fwd_stanza *st; struct fwd_set *set; char e[480]; };

#define SAY(m, ...) (snprintf((m)->e, sizeof (m)->e, __VA_ARGS__), -EINVAL)

static bool kind_of(const char *scheme, enum fl_up_kind *kind)
{
	static const struct { const char *scheme; enum fl_up_kind kind; } known[] = {
		{ "dns", FL_UP_DNS }, { "tls", FL_UP_TLS }, { "https", FL_UP_HTTPS }, { "quic", FL_UP_QUIC },
	};
	for (unsigned i = 0; i < FL_COUNT(known); i++)
		if (!strcmp(scheme, known[i].scheme)) {
			*kind = known[i].kind;
			return true;
		}
	return false;
}

/* The name that the certificate must have: of TO, of tls_servername, or the address. */
static int tls_conf(struct maker *m, const struct fl_target *t, struct fwd_server *v)
{
	struct fwd_stanza *st = m->st;
	struct fl_arena *a = &m->set->arena;
	v->name = "";
	if (v->conf.kind == FL_UP_DNS)
		return 0;
	if (v->conf.kind != FL_UP_HTTPS && t->zone.n) {
		if (*st->tls_name)
			return SAY(m, "both forward ('%s') and proxy level ('%.*s') TLS servernames are set for upstream proxy '%s://%s'",
				   st->tls_name, FL_FMT(t->zone), t->scheme, v->to);
		v->name = fl_arena_str(a, t->zone).p;
	}
	v->conf.tls_name = *v->name ? v->name : *st->tls_name ? st->tls_name : fl_arena_str(a, t->host).p;
	v->conf.authority = *st->tls_name ? st->tls_name : v->to;
	v->conf.get = st->doh_get;
	v->conf.creds = st->creds;
	return 0;
}

static bool there_already(const struct fwd_set *set, const struct fwd_server *v)
{
	for (unsigned i = 0; i < set->n; i++) {
		const struct fwd_server *x = &set->server[i];
		if (!strcmp(x->to, v->to) && x->conf.kind == v->conf.kind && x->conf.addr.sin6_scope_id == v->conf.addr.sin6_scope_id &&
		    fl_str_ieq(fl_str(x->name), fl_str(v->name)))
			return true;
	}
	return false;
}

static struct fwd_server *room(struct fwd_set *set)
{
	if (!(set->n & (set->n + 1))) {         /* 0, 1, 3, 7 …: room for as many again and one */
		struct fwd_server *more = fl_zalloc(&set->arena, (2 * set->n + 1) * sizeof *more);
		if (set->n)
			memcpy(more, set->server, set->n * sizeof *more);
		set->server = more;
	}
	return &set->server[set->n++];
}

/* Appends a server that is not there yet. */
static int add(struct maker *m, const struct fl_target *t)
{
	struct fwd_stanza *st = m->st;
	struct fl_arena *a = &m->set->arena;
	struct fwd_server v = { .stanza = st, .to = fl_target_text(a, t), .name = "" };
	int64_t port;
	if (!kind_of(t->scheme, &v.conf.kind))
		return SAY(m, "'%s' is not supported as a destination protocol in forward: %s://%s", t->scheme, t->scheme,
			   strcmp(t->scheme, "unix") ? v.to : fl_arena_str(a, t->host).p);
	v.conf.name = v.to;
	v.conf.expire_ns = (uint64_t)st->expire_ns;
	v.conf.max_age_ns = (uint64_t)st->max_age_ns;
	v.conf.max_idle = (unsigned)((st->max_idle + st->in->shards - 1) / st->in->shards);
	v.conf.source = st->source;
	v.conf.source_len = st->source_len;
	int ret = tls_conf(m, t, &v);
	if (ret)
		return ret;
	if (fl_parse_int(t->port, 1, 65535, &port))
		return SAY(m, "invalid port in upstream address \"%s\"", v.to);
	struct fl_str scope = v.conf.kind == FL_UP_DNS ? t->zone : FL_STR("");
	struct fl_str host = scope.n ? fl_arena_printf(a, "%.*s%%%.*s", FL_FMT(t->host), FL_FMT(scope)) : t->host;
	v.conf.addr_len = fl_sockaddr(&v.conf.addr, host, (uint16_t)port);
	if (!v.conf.addr_len)
		return SAY(m, "invalid upstream address \"%s\"", v.to);
	if (there_already(m->set, &v))
		return 0;
	if (m->set->n == UINT8_MAX)
		return SAY(m, "more than %d upstreams", UINT8_MAX);
	grids(&v);
	if (st->max_fails && !(v.health = fl_forward_health(m->s, &v)))
		return SAY(m, "no descriptor left for health checks");
	*room(m->set) = v;
	return 0;
}

/* A resolv.conf's servers; *n: how many it names. */
static int add_file(struct maker *m, const char *path, unsigned *n)
{
	struct fl_str *server;
	unsigned lines;
	int ret = fl_resolvconf_read(&m->set->arena, path, &server, &lines);
	*n = 0;
	for (unsigned i = 0; !ret && i < lines; i++) {
		struct fl_target t;
		if (!fl_target_parse(server[i], &t) || t.port_given || !t.ip || strcmp(t.scheme, "dns")) {
			fl_log(FL_WARN, "plugin/forward", "%s: nameserver %.*s is no IP address, ignored", path, FL_FMT(server[i]));
			continue;
		}
		(*n)++;
		ret = add(m, &t);
	}
	return ret;
}

static int add_name(struct maker *m, const struct fwd_to *to)
{
	int ret = 0;
	for (unsigned i = 0; !ret && i < to->naddr; i++) {
		struct fl_target t = to->target;
		t.host = to->addr[i];
		if (!strcmp(t.scheme, "dns"))
			t.zone = FL_STR("");
		ret = add(m, &t);
	}
	return ret;
}

static struct fwd_set *set_new(void)
{
	struct fwd_set *set = fl_xalloc(sizeof *set);
	fl_arena_init(&set->arena, NULL, 0, NULL, SIZE_MAX);
	return set;
}

static void set_free(struct fwd_set *set)
{
	fl_arena_finish(&set->arena);
	free(set);
}

/* ---- set-up ---- */

/* Neither address nor file: a host name, which CoreDNS resolves when it starts. */
static int host_name(struct maker *m, struct fwd_to *to, struct fl_str arg)
{
	uint8_t wire[FL_NAME_MAX];
	enum fl_up_kind kind;
	char why[256];
	struct fl_str name = to->target.host;
	if (!kind_of(to->target.scheme, &kind) || !name.n || fl_name_parse(wire, name) < 0)
		return SAY(m, "not an IP address, file, or valid domain: \"%.*s\"", FL_FMT(arg));
	if (m->st->dry && !memchr(name.p, '/', name.n))         /* -check asks nobody */
		return 0;
	if (memchr(name.p, '/', name.n))        /* meant as a file, and not there */
		return SAY(m, "failed to resolve \"%.*s\": lookup %.*s.: no such host", FL_FMT(name), FL_FMT(name));
	if (fl_forward_resolve(fl_setup_arena(m->s), name, m->st->resolver, m->st->nresolver, &to->addr, &to->naddr, why, sizeof why))
		return SAY(m, "failed to resolve \"%.*s\": %s", FL_FMT(name), why);
	return add_name(m, to);
}

static int classify(struct maker *m, struct fl_str arg)
{
	struct fwd_stanza *st = m->st;
	struct fwd_to *to = &st->arg[st->narg];
	unsigned n;
	if (!fl_target_parse(arg, &to->target))
		return SAY(m, "invalid address: \"%.*s\"", FL_FMT(arg));
	if (to->target.ip || !strcmp(to->target.scheme, "unix")) {
		st->narg++;
		return add(m, &to->target);
	}
	to->path = fl_arena_str(fl_setup_arena(m->s), to->target.rest).p;
	int ret = strcmp(to->path, "-") && strcmp(to->path, "stdin") ? add_file(m, to->path, &n) : -ENOENT;
	if (ret == -ENOENT) {
		to->path = NULL;
		st->narg++;
		return host_name(m, to, arg);
	}
	if (ret)
		return ret;
	if (n)                          /* an empty one counts for nothing, as long as it is empty */
		st->narg++;
	else
		to->path = NULL;
	return n ? fl_setup_watch(m->s, to->path, fl_forward_changed) : 0;
}

int fl_forward_servers(struct fl_setup *s, struct fwd_stanza *st, const struct fl_str *arg, unsigned n)
{
	struct maker m = { .s = s, .st = st, .set = set_new() };
	int ret = 0;
	bool default_tls = false;
	st->arg = fl_zalloc(fl_setup_arena(s), n * sizeof *st->arg);
	for (unsigned i = 0; !ret && i < n; i++) {
		struct fl_target t;
		bool good = fl_target_parse(arg[i], &t);
		if (good && !strcmp(t.scheme, "https") && memchr(t.rest.p, '/', t.rest.n))
			ret = SAY(&m, "paths are not allowed in HTTPS upstream addresses (the /dns-query path is used by default): %.*s",
				  FL_FMT(arg[i]));
		default_tls |= good && (!strcmp(t.scheme, "tls") || !strcmp(t.scheme, "https") || !strcmp(t.scheme, "quic"));
	}
	if (!ret && default_tls && !st->creds) {
		ret = fl_setup_tls(s, NULL, 0, &st->creds, &st->creds_id);
		if (ret) {
			set_free(m.set);
			return ret;
		}
	}
	for (unsigned i = 0; !ret && i < n; i++)
		ret = classify(&m, arg[i]);
	if (!ret && !m.set->n && !(st->dry && st->narg))
		ret = SAY(&m, "no valid upstream addresses found");
	if (ret) {
		set_free(m.set);
		return fl_setup_error(s, "%s", m.e);
	}
	st->set = m.set;
	return 0;
}

/* ---- views (shards) ---- */

struct fwd_view *fl_forward_view(struct fwd_local *l, struct fwd_set *set)
{
	struct fwd_view *v = fl_xalloc(sizeof *v + set->n * sizeof v->peer[0]);
	v->set = set;
	for (unsigned i = 0; i < set->n; i++)
		v->peer[i].up = fl_upstream_create(l->net, &set->server[i].conf);
	return v;
}

void fl_forward_view_free(struct fwd_view *v)
{
	if (!v)
		return;
	for (unsigned i = 0; i < v->set->n; i++)
		fl_upstream_destroy(v->peer[i].up);
	__atomic_fetch_sub(&v->set->refs, 1, __ATOMIC_RELEASE);
	free(v);
}

/* ---- a resolv.conf changed (main thread) ---- */

struct news { struct fwd_local *local; unsigned stanza; struct fwd_set *set; };

static void adopt(void *arg)
{
	struct news *n = arg;
	struct fwd_view **at = &n->local->view[n->stanza], *old = *at;
	*at = fl_forward_view(n->local, n->set);
	old->old = true;
	if (!old->trips)
		fl_forward_view_free(old);
	free(n);
}

static bool alike(const struct fwd_set *a, const struct fwd_set *b)
{
	if (a->n != b->n)
		return false;
	for (unsigned i = 0; i < a->n; i++)
		if (strcmp(a->server[i].to, b->server[i].to) || a->server[i].conf.kind != b->server[i].conf.kind ||
		    a->server[i].conf.addr.sin6_scope_id != b->server[i].conf.addr.sin6_scope_id)
			return false;
	return true;
}

static void sweep(struct fwd_set *set)
{
	for (struct fwd_set **p = &set->older; *p;) {
		struct fwd_set *x = *p;
		if (__atomic_load_n(&x->refs, __ATOMIC_ACQUIRE)) {
			p = &x->older;
			continue;
		}
		*p = x->older;
		set_free(x);
	}
}

/* Each shard will have a view, counted for it before it knows. */
static void publish(struct fwd_stanza *st, struct fwd_set *set)
{
	struct fwd *f = st->in;
	set->older = st->set;
	set->refs = f->shards;
	st->set = set;
	for (unsigned i = 1; i <= f->shards; i++) {
		struct news *n = fl_xalloc(sizeof *n);
		*n = (struct news){ f->local[i], st->index, set };
		fl_loop_post(f->local[i]->shard->loop, adopt, n);
	}
	sweep(set);
	fl_grid_add(f->renewed, 0, 0, 1);
}

static int rebuild(struct maker *m)
{
	struct fwd_stanza *st = m->st;
	int ret = 0;
	for (unsigned i = 0, n; !ret && i < st->narg; i++)
		ret = st->arg[i].path ? add_file(m, st->arg[i].path, &n) : st->arg[i].target.ip ? add(m, &st->arg[i].target)
											      : add_name(m, &st->arg[i]);
	if (ret == -ENOENT)
		return SAY(m, "a file cannot be read");
	return !ret && !m->set->n ? SAY(m, "no valid upstream addresses found") : ret;
}

void fl_forward_changed(void *inst)
{
	struct fwd *f = inst;
	for (unsigned i = 1; i <= f->shards; i++)       /* not all have begun, or some have ended */
		if (!__atomic_load_n(&f->local[i], __ATOMIC_ACQUIRE))
			return;
	for (unsigned i = 0; i < f->n; i++) {
		struct fwd_stanza *st = &f->stanza[i];
		bool files = false;
		for (unsigned k = 0; k < st->narg; k++)
			files |= st->arg[k].path != NULL;
		if (!files)
			continue;
		struct maker m = { .st = st, .set = set_new() };
		int ret = rebuild(&m);
		if (ret)
			fl_log(FL_WARN, "plugin/forward", "servers stay as they are: %s", m.e);
		if (ret || alike(st->set, m.set)) {
			set_free(m.set);
			continue;
		}
		fl_log(FL_INFO, "plugin/forward", "other servers in resolv.conf: %u", m.set->n);
		publish(st, m.set);
	}
}

void fl_forward_sets_free(struct fwd *f)
{
	for (unsigned i = 0; i < f->n; i++)
		for (struct fwd_set *set = f->stanza[i].set, *older; set; set = older) {
			older = set->older;
			set_free(set);
		}
}

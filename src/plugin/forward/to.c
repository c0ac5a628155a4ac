/* What stands behind FROM: addresses, resolv.conf files, host names (CoreDNS plugin/forward/resolve.go, pkg/parse/host.go). */
#include "plugin/forward/forward_int.h"
#include "base/log.h"
#include "net/udp.h"
#include <errno.h>
#include <stdio.h>

enum { PROTO_UDP, PROTO_TCP };

struct target { const char *scheme; struct fl_str host, port, zone; };  /* zone: behind the last % */

static const struct { const char *name, *port; } schemes[] = {
	{ "tls", "853" }, { "dns", "53" }, { "quic", "853" }, { "grpc", "443" }, { "https3", "443" }, { "https", "443" },
	{ "unix", "" },
};

static struct fl_str scheme_cut(struct fl_str s, const char **scheme, const char **port)
{
	*scheme = "dns";
	*port = "53";
	for (unsigned i = 0; i < FL_COUNT(schemes); i++) {
		size_t n = strlen(schemes[i].name);
		if (s.n < n + 3 || memcmp(s.p, schemes[i].name, n) || memcmp(s.p + n, "://", 3))
			continue;
		*scheme = schemes[i].name;
		*port = schemes[i].port;
		return (struct fl_str){ s.p + n + 3, s.n - n - 3 };
	}
	return s;
}

/* Go's net.SplitHostPort. */
static bool host_port(struct fl_str s, struct fl_str *host, struct fl_str *port)
{
	const char *colon = s.n ? memrchr(s.p, ':', s.n) : NULL, *end = s.p + s.n;
	if (!colon)
		return false;
	*port = (struct fl_str){ colon + 1, (size_t)(end - colon) - 1 };
	if (s.p[0] == '[') {
		if (colon == s.p || colon[-1] != ']')
			return false;
		*host = (struct fl_str){ s.p + 1, (size_t)(colon - s.p) - 2 };
	} else {
		*host = (struct fl_str){ s.p, (size_t)(colon - s.p) };
		if (memchr(host->p, ':', host->n))
			return false;
	}
	return !memchr(host->p, '[', host->n) && !memchr(host->p, ']', host->n);
}

static struct fl_str trim_brackets(struct fl_str s)
{
	while (s.n && (s.p[0] == '[' || s.p[0] == ']'))
		s.p++, s.n--;
	while (s.n && (s.p[s.n - 1] == '[' || s.p[s.n - 1] == ']'))
		s.n--;
	return s;
}

static struct fl_str zone_cut(struct fl_str s, struct fl_str *zone)
{
	const char *p = s.n ? memrchr(s.p, '%', s.n) : NULL;
	*zone = p ? (struct fl_str){ p + 1, (size_t)(s.p + s.n - p) - 1 } : (struct fl_str){ "", 0 };
	return p ? (struct fl_str){ s.p, (size_t)(p - s.p) } : s;
}

static bool is_ip(struct fl_str s)
{
	struct fl_addr a;
	return fl_addr_parse(s, &a);
}

/* ---- servers ---- */

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
	static const struct fl_metric_def hits = { .name = "coredns_forward_conn_cache_hits_total", .kind = FL_COUNTER,
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

static void grids(struct fwd_server *v)
{
	static const char *const rcode[] = { "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN",
		"YXRRSET", "NXRRSET", "NOTAUTH", "NOTZONE", "DSOTYPENI", "12", "13", "14", "15", "BADSIG", "BADKEY", "BADTIME",
		"BADMODE", "BADNAME", "BADALG", "BADTRUNC", "BADCOOKIE" };
	static const char *const proto[] = { [PROTO_UDP] = "udp", [PROTO_TCP] = "tcp" };
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
}

static bool allowed(const char *scheme)
{
	return !strcmp(scheme, "dns") || !strcmp(scheme, "tls") || !strcmp(scheme, "quic") || !strcmp(scheme, "https");
}

/* Appends a server that is not there yet. */
static int add(struct fl_setup *s, struct fwd_stanza *st, const struct target *t)
{
	struct fl_arena *a = fl_setup_arena(s);
	bool v6 = memchr(t->host.p, ':', t->host.n);
	const char *to = fl_arena_printf(a, v6 ? "[%.*s]:%.*s" : "%.*s:%.*s", FL_FMT(t->host), FL_FMT(t->port)).p;
	if (!allowed(t->scheme))
		return fl_setup_error(s, "'%s' is not supported as a destination protocol in forward: %s://%s", t->scheme,
				      t->scheme, strcmp(t->scheme, "unix") ? to : fl_arena_str(a, t->host).p);
	if (strcmp(t->scheme, "dns")) {
		fl_forward_later(s, st, fl_arena_printf(a, "%s://%s", t->scheme, to));
		return 0;
	}
	struct fl_up_conf conf = { .name = to, .expire_ns = (uint64_t)st->expire_ns };
	int64_t port;
	if (fl_parse_int(t->port, 1, 65535, &port))
		return fl_setup_error(s, "invalid port in upstream address \"%s\"", to);
	struct fl_str host = t->zone.n ? fl_arena_printf(a, "%.*s%%%.*s", FL_FMT(t->host), FL_FMT(t->zone)) : t->host;
	conf.addr_len = fl_sockaddr(&conf.addr, host, (uint16_t)port);
	if (!conf.addr_len)
		return fl_setup_error(s, "invalid upstream address \"%s\"", to);
	for (unsigned i = 0; i < st->n; i++)
		if (!strcmp(st->server[i].to, to) && conf.addr.sin6_scope_id == st->server[i].conf.addr.sin6_scope_id)
			return 0;
	if (st->n == UINT8_MAX)
		return fl_setup_error(s, "more than %d upstreams", UINT8_MAX);
	if (!(st->n & (st->n + 1))) {   /* 0, 1, 3, 7 …: room for as many again and one */
		struct fwd_server *more = fl_zalloc(a, (2 * st->n + 1) * sizeof *more);
		if (st->n)
			memcpy(more, st->server, st->n * sizeof *more);
		st->server = more;
	}
	struct fwd_server *v = &st->server[st->n++];
	*v = (struct fwd_server){ .to = to, .conf = conf, .stanza = st };
	grids(v);
	if (!st->max_fails || (v->health = fl_forward_health(s, v)))
		return 0;
	return fl_setup_error(s, "no descriptor left for health checks");
}

/* A resolv.conf(5): its nameserver lines. -ENOENT: cannot be read. */
static int file(struct fl_setup *s, struct fwd_stanza *st, struct fl_str path)
{
	struct fl_arena *a = fl_setup_arena(s);
	struct fl_str text, line, word;
	if (fl_str_is(path, "-") || fl_str_is(path, "stdin") || fl_conf_read(a, fl_arena_str(a, path).p, &text))
		return -ENOENT;
	unsigned servers = 0;
	while (text.n) {
		text = fl_str_cut(text, '\n', &line);
		line = fl_str_trim(line);
		for (size_t i = 0; i < line.n; i++)
			if (line.p[i] == '\t')
				((char *)line.p)[i] = ' ';
		line = fl_str_trim(fl_str_cut(line, ' ', &word));
		if (!fl_str_is(word, "nameserver") || !line.n)
			continue;
		fl_str_cut(line, ' ', &word);
		struct target t = { .scheme = "dns", .port = FL_STR("53") };
		t.host = zone_cut(word, &t.zone);
		if (!is_ip(t.host)) {
			fl_log(FL_WARN, "plugin/forward", "%.*s: nameserver %.*s is no IP address, ignored", FL_FMT(path),
			       FL_FMT(word));
			continue;
		}
		servers++;
		int ret = add(s, st, &t);
		if (ret)
			return ret;
	}
	st->nargs += servers > 0;
	return 0;
}

/* Neither address nor file: a host name, which CoreDNS resolves when it starts. */
static int host_name(struct fl_setup *s, struct fwd_stanza *st, struct fl_str arg, const struct target *t)
{
	uint8_t wire[FL_NAME_MAX];
	struct fl_str zone, name = trim_brackets(zone_cut(t->host, &zone));
	if (!allowed(t->scheme) || fl_name_parse(wire, name) < 0)
		return fl_setup_error(s, "not an IP address, file, or valid domain: \"%.*s\"", FL_FMT(arg));
	if (memchr(name.p, '/', name.n))        /* meant as a file, and not there */
		return fl_setup_error(s, "failed to resolve \"%.*s\": lookup %.*s.: no such host", FL_FMT(name), FL_FMT(name));
	st->nargs++;
	fl_forward_later(s, st, fl_arena_printf(fl_setup_arena(s), "host name %.*s", FL_FMT(name)));
	return 0;
}

static int target(struct fl_setup *s, struct fwd_stanza *st, struct fl_str arg)
{
	const char *port;
	struct target t;
	struct fl_str rest = scheme_cut(arg, &t.scheme, &port), host;
	if (!rest.n)
		return fl_setup_error(s, "invalid address: \"%.*s\"", FL_FMT(arg));
	bool unix_path = !strcmp(t.scheme, "unix");
	if (unix_path || !host_port(rest, &host, &t.port)) {
		host = unix_path ? rest : trim_brackets(rest);
		t.port = fl_str(port);
	} else {
		port = NULL;
	}
	t.host = unix_path ? host : zone_cut(host, &t.zone);
	if (unix_path || is_ip(t.host)) {
		st->nargs++;
		return add(s, st, &t);
	}
	int ret = file(s, st, port ? host : rest);
	t.host = host;
	return ret == -ENOENT ? host_name(s, st, arg, &t) : ret;
}

int fl_forward_servers(struct fl_setup *s, struct fwd_stanza *st, const struct fl_str *arg, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		const char *scheme, *port;
		struct fl_str rest = scheme_cut(arg[i], &scheme, &port);
		if (!strcmp(scheme, "https") && memchr(rest.p, '/', rest.n))
			return fl_setup_error(s, "paths are not allowed in HTTPS upstream addresses (the /dns-query path is used "
					      "by default): %.*s", FL_FMT(arg[i]));
	}
	for (unsigned i = 0; i < n; i++) {
		int ret = target(s, st, arg[i]);
		if (ret)
			return ret;
	}
	return st->n || st->later ? 0 : fl_setup_error(s, "no valid upstream addresses found");
}

#include "plugin/forward/forward_int.h"
#include "base/log.h"
#include "net/udp.h"
#include <errno.h>
#include <stdio.h>

/* ---- values ---- */

static int uint32_arg(struct fl_setup *s, uint32_t *to)
{
	struct fl_disp *d = fl_setup_disp(s);
	int64_t v;
	if (!fl_disp_next_arg(d))
		return fl_setup_arg_error(s);
	struct fl_str t = fl_disp_val(d);
	bool sign = t.n && (t.p[0] == '-' || t.p[0] == '+');
	int ret = sign ? -EINVAL : fl_parse_int(t, 0, UINT32_MAX, &v);
	if (ret)
		return fl_setup_error(s, "strconv.ParseUint: parsing \"%.*s\": %s", FL_FMT(t),
				      ret == -ERANGE ? "value out of range" : "invalid syntax");
	*to = (uint32_t)v;
	return 0;
}

static int int_arg(struct fl_setup *s, const char *option, int64_t *to)
{
	struct fl_disp *d = fl_setup_disp(s);
	struct fl_err e;
	if (!fl_disp_next_arg(d))
		return fl_setup_arg_error(s);
	if (fl_atoi(fl_disp_val(d), to, &e))
		return fl_setup_error(s, "%s", e.msg);
	return *to < 0 ? fl_setup_error(s, "%s can't be negative: %lld", option, (long long)*to) : 0;
}

static int duration_arg(struct fl_setup *s, int64_t *to)
{
	struct fl_disp *d = fl_setup_disp(s);
	struct fl_err e;
	if (!fl_disp_next_arg(d))
		return fl_setup_arg_error(s);
	return fl_duration_parse(fl_disp_val(d), to, &e) ? fl_setup_error(s, "%s", e.msg) : 0;
}

static int no_arg(struct fl_setup *s, bool *flag)
{
	if (fl_disp_next_arg(fl_setup_disp(s)))
		return fl_setup_arg_error(s);
	*flag = true;
	return 0;
}

/* ---- options ---- */

static int o_except(struct fl_setup *s, struct fwd_stanza *st)
{
	struct fl_str *arg, *all;
	unsigned n = fl_disp_args(fl_setup_disp(s), &arg);
	if (!n)
		return fl_setup_arg_error(s);
	all = fl_zalloc(fl_setup_arena(s), (st->nexcept + n) * sizeof *all);
	if (st->nexcept)
		memcpy(all, st->except_arg, st->nexcept * sizeof *all);
	memcpy(all + st->nexcept, arg, n * sizeof *all);
	st->except_arg = all;
	st->nexcept += n;
	return 0;
}

static int o_max_fails(struct fl_setup *s, struct fwd_stanza *st) { return uint32_arg(s, &st->max_fails); }

static int o_max_connect_attempts(struct fl_setup *s, struct fwd_stanza *st)
{
	st->attempts_set = true;
	return uint32_arg(s, &st->max_attempts);
}

static int check_domain(struct fl_setup *s, struct fwd_stanza *st)
{
	struct fl_disp *d = fl_setup_disp(s);
	uint8_t wire[FL_NAME_MAX], low[FL_NAME_MAX];
	if (!fl_disp_next_arg(d))
		return fl_setup_arg_error(s);
	struct fl_str text = fl_disp_val(d);
	int n = fl_name_parse(wire, text);
	if (n < 0)
		return fl_setup_error(s, "health_check: invalid domain name %.*s", FL_FMT(text));
	struct fl_name lower = fl_name_lower(low, (struct fl_name){ wire, (uint8_t)n });
	st->check_name = (struct fl_name){ fl_copy(fl_setup_arena(s), lower.wire, lower.len), lower.len };
	return 0;
}

static int o_health_check(struct fl_setup *s, struct fwd_stanza *st)
{
	struct fl_disp *d = fl_setup_disp(s);
	int ret = duration_arg(s, &st->check_ns);
	if (ret)
		return ret;
	if (st->check_ns < 0)
		return fl_setup_error(s, "health_check can't be negative: %lld", (long long)st->check_ns);
	st->check_name = FL_ROOT;
	while (!ret && fl_disp_next_arg(d)) {
		struct fl_str o = fl_disp_val(d);
		if (fl_str_is(o, "no_rec"))
			st->check_rd = false;
		else if (fl_str_is(o, "domain"))
			ret = check_domain(s, st);
		else
			ret = fl_setup_error(s, "health_check: unknown option %.*s", FL_FMT(o));
	}
	return ret;
}

static int o_force_tcp(struct fl_setup *s, struct fwd_stanza *st) { return no_arg(s, &st->force_tcp); }
static int o_prefer_udp(struct fl_setup *s, struct fwd_stanza *st) { return no_arg(s, &st->prefer_udp); }
static int o_failfast(struct fl_setup *s, struct fwd_stanza *st) { return no_arg(s, &st->failfast); }
static int o_next_on_nodata(struct fl_setup *s, struct fwd_stanza *st) { return no_arg(s, &st->next_on_nodata); }

static int not_negative(struct fl_setup *s, const char *option, int64_t *ns)
{
	char text[32];
	int ret = duration_arg(s, ns);
	if (ret || *ns >= 0)
		return ret;
	fl_duration_text(text, *ns);
	return fl_setup_error(s, "%s can't be negative: %s", option, text);
}

static int o_expire(struct fl_setup *s, struct fwd_stanza *st) { return not_negative(s, "expire", &st->expire_ns); }

static int o_max_age(struct fl_setup *s, struct fwd_stanza *st)
{
	return not_negative(s, "max_age", &st->max_age_ns);
}

static int o_max_idle_conns(struct fl_setup *s, struct fwd_stanza *st)
{
	return int_arg(s, "max_idle_conns", &st->max_idle);
}

static int o_read_timeout(struct fl_setup *s, struct fwd_stanza *st)
{
	char text[32];
	int ret = duration_arg(s, &st->read_ns);
	if (ret || st->read_ns > 0)
		return ret;
	fl_duration_text(text, st->read_ns);
	return fl_setup_error(s, "read_timeout must be positive: %s", text);
}

static int o_policy(struct fl_setup *s, struct fwd_stanza *st) { return fl_setup_policy(s, &st->policy); }

static int o_max_concurrent(struct fl_setup *s, struct fwd_stanza *st)
{
	int ret = int_arg(s, "max_concurrent", &st->max_concurrent);
	struct fl_str n = fl_disp_val(fl_setup_disp(s));
	st->too_many = fl_arena_printf(fl_setup_arena(s), "concurrent queries exceeded maximum %.*s", FL_FMT(n)).p;
	return ret;
}

static int rcodes(struct fl_setup *s, uint32_t *mask, bool failover)
{
	struct fl_str *arg;
	unsigned n = fl_disp_args(fl_setup_disp(s), &arg);
	if (!n)
		return fl_setup_arg_error(s);
	for (unsigned i = 0; i < n; i++) {
		char up[16];
		uint16_t rcode = 32;
		for (size_t k = 0; k < arg[i].n && arg[i].n < sizeof up; k++)
			up[k] = (char)(arg[i].p[k] >= 'a' && arg[i].p[k] <= 'z' ? arg[i].p[k] & ~0x20 : arg[i].p[k]);
		if (arg[i].n >= sizeof up || !fl_rcode_parse((struct fl_str){ up, arg[i].n }, &rcode) || rcode > 31)
			return fl_setup_error(s, "%.*s is not a valid rcode", FL_FMT(arg[i]));
		if (failover && !rcode)
			return fl_setup_error(s, "NoError cannot be used in failover");
		*mask |= 1u << rcode;
	}
	return 0;
}

static int o_next(struct fl_setup *s, struct fwd_stanza *st) { return rcodes(s, &st->next, false); }
static int o_failover(struct fl_setup *s, struct fwd_stanza *st) { return rcodes(s, &st->failover, true); }

/* ---- ways ---- */

static int o_tls(struct fl_setup *s, struct fwd_stanza *st)
{
	struct fl_str *arg;
	unsigned n = fl_disp_args(fl_setup_disp(s), &arg);
	return n > 3 ? fl_setup_arg_error(s) : fl_setup_tls(s, arg, n, &st->creds, &st->creds_id);
}

static int o_tls_servername(struct fl_setup *s, struct fwd_stanza *st)
{
	if (!fl_disp_next_arg(fl_setup_disp(s)))
		return fl_setup_arg_error(s);
	st->tls_name = fl_arena_str(fl_setup_arena(s), fl_disp_val(fl_setup_disp(s))).p;
	return 0;
}

static int o_doh_method(struct fl_setup *s, struct fwd_stanza *st)
{
	struct fl_disp *d = fl_setup_disp(s);
	if (!fl_disp_next_arg(d))
		return fl_setup_arg_error(s);
	st->doh_get = fl_str_is(fl_disp_val(d), "GET");
	return st->doh_get || fl_str_is(fl_disp_val(d), "POST") ? 0 : fl_setup_error(s, "doh_method must be either POST or GET");
}

static int o_resolver(struct fl_setup *s, struct fwd_stanza *st)
{
	unsigned n = fl_disp_args(fl_setup_disp(s), &st->resolver);
	if (!n)
		return fl_setup_arg_error(s);
	for (unsigned i = 0; i < n; i++) {
		struct fl_target t;
		struct fl_str arg = st->resolver[i];
		if (!fl_target_parse(arg, &t) || !t.ip || t.zone.n || strcmp(t.scheme, "dns") || (*arg.p == '[' && !t.port_given))
			return fl_setup_error(s, "resolver must be an IP address or IP:port: \"%.*s\"", FL_FMT(st->resolver[i]));
	}
	st->nresolver = n;
	return 0;
}

static int o_source_address(struct fl_setup *s, struct fwd_stanza *st)
{
	struct fl_disp *d = fl_setup_disp(s);
	struct fl_addr a;
	if (!fl_disp_next_arg(d))
		return fl_setup_arg_error(s);
	if (!fl_addr_parse(fl_disp_val(d), &a))
		return fl_setup_parse_error(s, "invalid IP address: %.*s", FL_FMT(fl_disp_val(d)));
	char text[46];
	size_t n = fl_addr_text(text, &a);
	st->source_len = fl_sockaddr(&st->source, (struct fl_str){ text, n }, 0);
	return 0;
}

/* ---- ours ---- */

static int o_mix_case(struct fl_setup *s, struct fwd_stanza *st) { return no_arg(s, &st->mix_case); }

static int o_hedge(struct fl_setup *s, struct fwd_stanza *st)
{
	struct fl_disp *d = fl_setup_disp(s);
	struct fl_str *arg;
	struct fl_err e;
	unsigned n = fl_disp_args(d, &arg);
	if (n > 1)
		return fl_setup_arg_error(s);
	st->hedge = true;
	st->hedge_auto = !n || fl_str_is(arg[0], "auto");
	if (st->hedge_auto)
		return 0;
	if (fl_duration_parse(arg[0], &st->hedge_ns, &e))
		return fl_setup_error(s, "%s", e.msg);
	return st->hedge_ns > 0 ? 0 : fl_setup_error(s, "hedge must be positive: %.*s", FL_FMT(arg[0]));
}

/* ---- a stanza ---- */

static const struct option { const char *name; int (*fn)(struct fl_setup *s, struct fwd_stanza *st); } options[] = {
	{ "except", o_except }, { "max_fails", o_max_fails }, { "max_connect_attempts", o_max_connect_attempts },
	{ "health_check", o_health_check }, { "force_tcp", o_force_tcp }, { "prefer_udp", o_prefer_udp }, { "tls", o_tls },
	{ "tls_servername", o_tls_servername }, { "expire", o_expire }, { "max_age", o_max_age },
	{ "max_idle_conns", o_max_idle_conns }, { "read_timeout", o_read_timeout }, { "doh_method", o_doh_method },
	{ "policy", o_policy }, { "max_concurrent", o_max_concurrent },
	{ "next", o_next }, { "next_on_nodata", o_next_on_nodata }, { "failfast_all_unhealthy_upstreams", o_failfast },
	{ "failover", o_failover }, { "resolver", o_resolver }, { "source_address", o_source_address },
	{ "mix_case", o_mix_case }, { "hedge", o_hedge },
};

static int option(struct fl_setup *s, struct fwd_stanza *st)
{
	struct fl_str name = fl_disp_val(fl_setup_disp(s));
	for (unsigned i = 0; i < FL_COUNT(options); i++)
		if (fl_str_is(name, options[i].name))
			return options[i].fn(s, st);
	return fl_setup_parse_error(s, "unknown property '%.*s'", FL_FMT(name));
}

static int from(struct fl_setup *s, struct fwd_stanza *st)
{
	struct fl_disp *d = fl_setup_disp(s);
	struct fl_str *zone;
	if (!fl_disp_next_arg(d))
		return fl_setup_arg_error(s);
	struct fl_str text = fl_disp_val(d);
	unsigned n = fl_zone_parse(fl_setup_arena(s), text, &zone);
	if (n)
		st->from = fl_name_parse_in(fl_setup_arena(s), zone[0]);
	if (!st->from.len)
		return fl_setup_error(s, "unable to normalize '%.*s'", FL_FMT(text));
	if (n > 1)
		fl_log(FL_WARN, "plugin/forward", "Unsupported CIDR notation: '%.*s' expands to multiple zones. Using only '%.*s'.",
		       FL_FMT(text), FL_FMT(zone[0]));
	return 0;
}

/* TO is read before the block and looked at after it. */
static int stanza(struct fl_setup *s, struct fwd_stanza *st)
{
	struct fl_disp *d = fl_setup_disp(s);
	struct fl_str *to;
	int ret = from(s, st);
	if (ret)
		return ret;
	unsigned n = fl_disp_args(d, &to);
	if (!n)
		return fl_setup_arg_error(s);
	while (!ret && fl_disp_next_block(d))
		ret = option(s, st);
	if (ret)
		return ret;
	if (st->max_age_ns > 0 && st->max_age_ns < st->expire_ns) {
		char age[32], expire[32];
		fl_duration_text(age, st->max_age_ns);
		fl_duration_text(expire, st->expire_ns);
		return fl_setup_error(s, "max_age (%s) must not be less than expire (%s)", age, expire);
	}
	ret = fl_forward_servers(s, st, to, n);
	if (ret)
		return ret;
	return st->nexcept ? fl_setup_zones(s, st->except_arg, st->nexcept, &st->except) : 0;
}

static void defaults(struct fwd_stanza *st, struct fwd *f)
{
	*st = (struct fwd_stanza){ .in = f, .expire_ns = 10 * (int64_t)FL_SEC, .read_ns = 2 * (int64_t)FL_SEC,
				   .check_ns = 500 * (int64_t)FL_MS, .check_rd = true, .check_name = FL_ROOT, .max_fails = 2,
				   .tls_name = "" };
}

/* How many stanzas there can be at most: a token of that name each. */
static unsigned count(const struct fl_disp *d)
{
	unsigned n = 0;
	for (int i = 0; i < d->n; i++)
		n += fl_str_is(d->tok[i].text, "forward");
	return n;
}

static int stanzas(struct fl_setup *s, struct fwd *f)
{
	struct fl_disp *d = fl_setup_disp(s);
	while (fl_disp_next(d)) {
		struct fwd_stanza *st = &f->stanza[f->n];
		defaults(st, f);
		st->index = f->n++;
		st->dry = fl_setup_process(s)->dry;
		int ret = stanza(s, st);
		if (ret)
			return ret;
	}
	for (unsigned i = 0; i < f->n; i++)
		if (f->stanza[i].narg > FWD_MAX)
			return fl_setup_error(s, "more than %d TOs configured: %u", FWD_MAX, f->stanza[i].narg);
	return 0;
}

int fl_forward_setup(struct fl_setup *s, void **inst)
{
	struct fl_arena *a = fl_setup_arena(s);
	struct fwd *f = fl_zalloc(a, sizeof *f);
	f->stanza = fl_zalloc(a, (count(fl_setup_disp(s)) + 1) * sizeof *f->stanza);
	f->shards = fl_setup_process(s)->shards ? fl_setup_process(s)->shards : 1;
	f->local = fl_zalloc(a, (f->shards + 1) * sizeof *f->local);
	f->loop = fl_setup_loop(s);
	static const struct fl_metric_def broken = { .name = "coredns_forward_healthcheck_broken_total", .kind = FL_COUNTER,
		.always = true, .help = "Counter of the number of complete failures of the healthchecks." };
	static const struct fl_metric_def rejected = { .name = "coredns_forward_max_concurrent_rejects_total", .kind = FL_COUNTER,
		.always = true,
		.help = "Counter of the number of queries rejected because the concurrent queries were at maximum." };
	static const struct fl_metric_def renewed = { .name = "fairlead_forward_servers_changed_total", .kind = FL_COUNTER,
		.help = "How often the servers of a forward became others because a resolv.conf changed." };
	f->broken = fl_metric_plain(&broken);
	f->rejected = fl_metric_plain(&rejected);
	f->renewed = fl_metric_plain(&renewed);
	int ret = stanzas(s, f);
	if (ret) {
		fl_forward_sets_free(f);
		return ret;
	}
	fl_setup_block(s)->other_classes = true;
	*inst = f;
	return 0;
}

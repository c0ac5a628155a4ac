#include "plugin/k8s_external/k8s_external.h"

enum { TTL_DEFAULT = 5, TTL_MAX = 3600 };

static int set_apex(struct fl_setup *s, struct ext *e, struct fl_str text)
{
	struct fl_name n = fl_name_parse_in(fl_setup_arena(s), text);
	if (n.len < 2)
		return fl_setup_parse_error(s, "invalid apex '%.*s'", FL_FMT(text));
	e->apex = n.wire;
	e->napex = (uint8_t)(n.len - 1);
	return 0;
}

static int option(struct fl_setup *s, struct fl_disp *d, struct ext *e)
{
	struct fl_str name = fl_disp_val(d), *arg;
	unsigned n = fl_disp_args(d, &arg);
	struct fl_err why;
	int64_t ttl;
	if (fl_str_is(name, "headless")) {
		e->headless = true;
		return 0;
	}
	if (fl_str_is(name, "fallthrough"))
		return fl_setup_fall(s, arg, n, &e->fall) ? fl_setup_error(s, "out of memory") : 0;
	bool is_ttl = fl_str_is(name, "ttl");
	if (!is_ttl && !fl_str_is(name, "apex"))
		return fl_setup_parse_error(s, "unknown property '%.*s'", FL_FMT(name));
	if (!n)
		return fl_setup_arg_error(s);
	if (!is_ttl)
		return set_apex(s, e, arg[0]);
	if (fl_atoi(arg[0], &ttl, &why))
		return fl_setup_error(s, "%s", why.msg);
	if (ttl < 0 || ttl > TTL_MAX)
		return fl_setup_parse_error(s, "ttl must be in range [0, %d]: %lld", TTL_MAX, (long long)ttl);
	e->ttl = (uint32_t)ttl;
	return 0;
}

static int setup(struct fl_setup *s, void **inst)
{
	struct fl_disp *d = fl_setup_disp(s);
	struct ext *e = fl_zalloc(fl_setup_arena(s), sizeof *e);
	struct fl_str *arg;
	int ret = 0;
	if (!e)
		return fl_setup_error(s, "out of memory");
	*e = (struct ext){ .ttl = TTL_DEFAULT, .apex = (const uint8_t *)"\3dns", .napex = 4 };
	while (!ret && fl_disp_next(d)) {
		unsigned n = fl_disp_args(d, &arg);
		if (fl_setup_zones(s, arg, n, &e->zones))
			return fl_setup_error(s, "out of memory");
		while (!ret && fl_disp_next_block(d))
			ret = option(s, d, e);
	}
	*inst = e;
	return ret;
}

static int join(struct fl_setup *s, void *inst)
{
	struct ext *e = inst;
	e->cluster = fl_setup_find(s, "kubernetes", "cluster", &e->inst);
	return e->cluster ? 0 : fl_setup_error(s, "kubernetes plugin not loaded");
}

static const void *iface(void *inst, const char *what)
{
	(void)inst;
	return !strcmp(what, "transfer") ? &fl_ext_transfer : NULL;
}

static const struct fl_opt opts[] = {
	{ "", "[ZONE...]", "the zones to answer for; default: those of the block" },
	{ "apex", "LABEL", "below it stand the names of this server (dns)" },
	{ "ttl", "SECONDS", "0 to 3600 (5)" },
	{ "headless", "", "endpoints of headless services, too" },
	{ "fallthrough", "[ZONE...]", "what is not there is handed on" },
	{ 0 }
};

FL_PLUGIN(k8s_external, .opts = opts, .setup = setup, .link = join, .query = fl_ext_query, .iface = iface);

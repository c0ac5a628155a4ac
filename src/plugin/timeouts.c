/* timeouts: how long a connection may take for its first query, for a write, and between queries, and how many queries it may bring. */
#include "dns/plugin.h"

static int max_queries(struct fl_setup *s, struct fl_str text)
{
	struct fl_err e;
	int64_t n;
	if (fl_atoi(text, &n, &e))
		return fl_setup_parse_error(s, "invalid value for maxtcpqueries '%.*s': %s", FL_FMT(text), e.msg);
	if (!n || n < -1)
		return fl_setup_parse_error(s, "maxtcpqueries provided '%lld' needs to be -1 (unlimited) or a positive integer", (long long)n);
	fl_setup_block(s)->max_queries = n > INT32_MAX ? -1 : (int32_t)n;
	return 0;
}

static int option(struct fl_setup *s, struct fl_disp *d)
{
	struct fl_block_conf *b = fl_setup_block(s);
	struct fl_str name = fl_disp_val(d), *arg, text;
	struct fl_err e;
	char bad[32];
	int64_t v;
	if (fl_disp_args(d, &arg) != 1)
		return fl_setup_arg_error(s);
	if (fl_str_is(name, "maxtcpqueries"))
		return max_queries(s, arg[0]);
	text = arg[0];
	if (!fl_atoi(arg[0], &v, &e))   /* without a unit: seconds (plugin/pkg/durations) */
		text = fl_arena_printf(fl_setup_arena(s), "%.*ss", FL_FMT(arg[0]));
	if (fl_duration_parse(text, &v, &e))
		return fl_setup_parse_error(s, "failed to parse duration '%.*s'", FL_FMT(text));
	fl_duration_text(bad, v);
	if (v < (int64_t)FL_SEC || v > 24 * 3600 * (int64_t)FL_SEC)
		return fl_setup_parse_error(s, "timeout provided '%s' needs to be between 1 second and 24 hours", bad);
	if (fl_str_is(name, "read"))
		b->read_ns = (uint64_t)v;
	else if (fl_str_is(name, "write"))
		b->write_ns = (uint64_t)v;
	else if (fl_str_is(name, "idle"))
		b->idle_ns = (uint64_t)v;
	else
		return fl_setup_parse_error(s, "unknown option: '%.*s'", FL_FMT(name));
	return 0;
}

/* Two of CoreDNS's errors name the plugin twice. */
static int twice(struct fl_setup *s, const char *what)
{
	struct fl_disp *d = fl_setup_disp(s);
	return fl_setup_error(s, "plugin/timeouts: %s:%d - Error during parsing: %s", fl_disp_file(d), fl_disp_line(d), what);
}

static int setup(struct fl_setup *s, void **inst)
{
	struct fl_disp *d = fl_setup_disp(s);
	struct fl_str *arg;
	(void)inst;
	while (fl_disp_next(d)) {
		unsigned n = 0;
		if (fl_disp_args(d, &arg))
			return twice(s, fl_arena_printf(fl_setup_arena(s), "Wrong argument count or unexpected line ending after '%.*s'",
							FL_FMT(fl_disp_val(d))).p);
		for (; fl_disp_next_block(d); n++) {
			int ret = option(s, d);
			if (ret)
				return ret;
		}
		if (!n)
			return twice(s, "timeouts block with no timeouts specified");
	}
	return 0;
}

static const struct fl_opt opts[] = {
	{ "read", "DURATION", "until the first query is whole; default 3s" },
	{ "write", "DURATION", "for a write that does not move; default 5s" },
	{ "idle", "DURATION", "between queries; default 10s" },
	{ "maxtcpqueries", "N", "queries on one connection, then it is closed; -1, the default: no limit" },
	{ 0 }
};

FL_PLUGIN(timeouts, .opts = opts, .setup = setup);

/* https: how many connections an https:// listener takes, and how many requests at once each of them brings. */
#include "dns/plugin.h"

static int setup(struct fl_setup *s, void **inst)
{
	struct fl_disp *d = fl_setup_disp(s);
	struct fl_block_conf *b = fl_setup_block(s);
	struct fl_str *arg;
	(void)inst;
	fl_disp_next(d);
	if (fl_disp_args(d, &arg))
		return fl_setup_arg_error(s);
	while (fl_disp_next_block(d)) {
		struct fl_str name = fl_disp_val(d);
		int ret;
		if (fl_str_is(name, "max_connections"))
			ret = fl_setup_limit(s, &b->https_conns, 0, 0);
		else if (fl_str_is(name, "max_streams"))
			ret = fl_setup_limit(s, &b->https_streams, 0, UINT32_MAX);
		else
			ret = fl_setup_parse_error(s, "unknown property '%.*s'", FL_FMT(name));
		if (ret)
			return ret;
	}
	return 0;
}

static const struct fl_opt opts[] = {
	{ "max_connections", "N", "at once, on all shards together; 0: no limit; default 200" },
	{ "max_streams", "N", "requests at once on one HTTP/2 connection; 0: 250; default 250" },
	{ 0 },
};

FL_PLUGIN(https, .opts = opts, .setup = setup);

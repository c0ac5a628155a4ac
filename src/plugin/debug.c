/* debug: DEBUG lines are printed, by the whole process, while any block that serves says so. */
#include "base/log.h"
#include "dns/plugin.h"

static unsigned users;                  /* main thread */

static int setup(struct fl_setup *s, void **inst)
{
	struct fl_disp *d = fl_setup_disp(s);
	(void)inst;
	while (fl_disp_next(d))
		if (fl_disp_next_arg(d))
			return fl_setup_arg_error(s);
	fl_setup_block(s)->debug = true;
	return 0;
}

static int start(void *inst, struct fl_err *e)
{
	(void)inst;
	(void)e;
	users++;
	fl_log_debug(true);
	return 0;
}

static void stop(void *inst)
{
	(void)inst;
	fl_log_debug(--users > 0);
}

static const struct fl_opt opts[] = { { 0 } };

FL_PLUGIN(debug, .opts = opts, .setup = setup, .start = start, .stop = stop);

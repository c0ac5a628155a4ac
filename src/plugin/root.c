/* root: the folder that relative paths of the block begin at. First in the order, so that all others find it set. */
#include "base/log.h"
#include "dns/plugin.h"
#include <errno.h>
#include <sys/stat.h>

static int setup(struct fl_setup *s, void **inst)
{
	struct fl_disp *d = fl_setup_disp(s);
	struct stat st;
	const char *root = "";
	(void)inst;
	while (fl_disp_next(d)) {
		if (!fl_disp_next_arg(d))
			return fl_setup_arg_error(s);
		root = fl_arena_str(fl_setup_arena(s), fl_disp_val(d)).p;
	}
	fl_setup_block(s)->root = root;
	if (!stat(root, &st))
		return 0;
	if (errno != ENOENT)
		return fl_setup_parse_error(s, "unable to access root path '%s': %s", root, strerror(errno));
	fl_log(FL_WARN, "plugin/root", "Root path does not exist: %s", root);
	return 0;
}

static const struct fl_opt opts[] = {
	{ "", "FOLDER", "where relative paths begin" },
	{ 0 },
};

FL_PLUGIN(root, .opts = opts, .setup = setup);

/* multisocket: how many sockets listen behind one address. Here each shard has its own, always: the number is checked, and what
 * it comes to is said when it is another. */
#include "base/log.h"
#include "dns/plugin.h"

enum { SOCKETS_MAX = 1024 };    /* CoreDNS plugin/multisocket/multisocket.go */

struct multisocket { unsigned asked, shards; };

static int setup(struct fl_setup *s, void **inst)
{
	struct fl_disp *d = fl_setup_disp(s);
	struct multisocket *m = fl_zalloc(fl_setup_arena(s), sizeof *m);
	struct fl_str *arg;
	struct fl_err e;
	int64_t n;
	if (!m)
		return fl_setup_error(s, "out of memory");
	*inst = m;
	m->asked = m->shards = fl_setup_process(s)->shards;
	fl_disp_next(d);
	unsigned args = fl_disp_args(d, &arg);
	if (args > 1 || fl_disp_next(d))
		return fl_setup_arg_error(s);
	if (!args)
		return 0;
	if (fl_atoi(arg[0], &n, &e))
		return fl_setup_error(s, "invalid num sockets: %s", e.msg);
	if (n < 1)
		return fl_setup_error(s, "num sockets can not be zero or negative: %lld", (long long)n);
	if (n > SOCKETS_MAX)
		return fl_setup_error(s, "num sockets exceeds maximum (%d): %lld", SOCKETS_MAX, (long long)n);
	m->asked = (unsigned)n;
	return 0;
}

static int start(void *inst, struct fl_err *e)
{
	const struct multisocket *m = inst;
	(void)e;
	if (m->asked != m->shards)
		fl_log(FL_INFO, "multisocket", "%u sockets asked for: each address has %u, one for each shard (GOMAXPROCS)", m->asked, m->shards);
	return 0;
}

static const struct fl_opt opts[] = {
	{ "", "[N]", "checked (1 to 1024); each shard has a socket of its own, so GOMAXPROCS decides" },
	{ 0 }
};

FL_PLUGIN(multisocket, .opts = opts, .setup = setup, .start = start);

/* reload [INTERVAL] [JITTER]: loads the Corefile again when it changed. CoreDNS looks every INTERVAL; we are told by inotify too, about
 * the Corefile, what it imports, and the links on the way there (a ConfigMap's ..data), and keep the interval as the upper bound. */
#include "dns/plugin.h"
#include "dns/reload.h"

enum { INTERVAL_S = 30, JITTER_S = 15 };

struct reload { struct fl_reload *process; };

static int duration(struct fl_setup *s, struct fl_str arg, int64_t *ns)
{
	struct fl_err e;
	return fl_duration_parse(arg, ns, &e) ? fl_setup_error(s, "%s", e.msg) : 0;
}

static void look(void *inst)
{
	struct reload *r = inst;
	if (r->process)
		fl_reload_poll(r->process);
}

static int follow(struct fl_setup *s)
{
	const struct fl_conf *c = fl_setup_disp(s)->conf;
	const struct fl_process *p = fl_setup_process(s);
	int ret = p->conf && strcmp(p->conf, "stdin") ? fl_setup_watch(s, p->conf, look) : 0;
	for (unsigned i = 0; i < c->nsource && !ret; i++) {
		struct fl_str path = c->source[i].path;
		char folder[512];
		size_t n = path.n;
		while (c->source[i].glob && n && path.p[n - 1] != '/')
			n--;
		n -= c->source[i].glob && n > 1;        /* without the slash: a folder that is not there yet is watched from above */
		if (n >= sizeof folder)
			continue;
		memcpy(folder, path.p, n);
		folder[n] = 0;
		ret = fl_setup_watch(s, n ? folder : ".", look);
	}
	return ret;
}

static int setup(struct fl_setup *s, void **inst)
{
	struct fl_disp *d = fl_setup_disp(s);
	struct fl_str *arg;
	int64_t every = INTERVAL_S * (int64_t)FL_SEC, jitter = JITTER_S * (int64_t)FL_SEC;
	fl_disp_next(d);
	unsigned n = fl_disp_args(d, &arg);
	int ret = n > 2 ? fl_setup_arg_error(s) : 0;
	if (!ret && n > 0)
		ret = duration(s, arg[0], &every);
	if (!ret && every < 2 * (int64_t)FL_SEC)
		ret = fl_setup_error(s, "interval value must be greater or equal to 2s");
	if (!ret && n > 1)
		ret = duration(s, arg[1], &jitter);
	if (!ret && jitter != 0 && jitter < (int64_t)FL_SEC)
		ret = fl_setup_error(s, "jitter value must be 0 or greater or equal to 1s");
	if (ret)
		return ret;
	if (jitter > every / 2)
		jitter = every / 2;
	if (jitter) {
		uint64_t random;
		fl_random_bytes(&random, sizeof random);
		every += (int64_t)(random % (uint64_t)jitter) - jitter / 2;
	}
	struct reload *r = fl_zalloc(fl_setup_arena(s), sizeof *r);
	r->process = fl_setup_process(s)->reload;
	*inst = r;
	if (r->process)
		fl_reload_used(r->process);
	ret = fl_setup_every(s, (uint64_t)every, look);
	return ret ? ret : follow(s);
}

static const struct fl_opt opts[] = {
	{ "", "[INTERVAL] [JITTER]", "how often the Corefile is looked at (30s, at least 2s), and by how much that varies (15s, 0 or at least 1s)" },
	{ 0 },
};

FL_PLUGIN(reload, .opts = opts, .setup = setup);

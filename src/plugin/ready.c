/* ready: 200 at /ready when every plugin that can say so is ready, in all blocks that hold `ready`; else 503 and their names.
 *
 * All addresses show the same: the union. While a reload is on its way two generations stand here; the one that serves, the older,
 * is asked until it goes. Main thread. */
#include "base/log.h"
#include "ctl/http.h"
#include "dns/plugin.h"
#include <stdlib.h>

struct asked { const struct fl_plugin *p; void *inst; bool was_ready; struct asked *next; };

struct ready {
	struct fl_str addr;
	struct fl_loop *loop;
	struct fl_arena *arena;         /* its generation's: tells generations apart */
	struct fl_http_face *face;
	struct asked *asked;
	bool continuously;
	const bool *serving;
	struct ready *next;             /* of all, the oldest first */
};

static struct ready *all;
static bool leaving;

/* ---- set-up ---- */

static int monitor(struct fl_setup *s, struct ready *r)
{
	struct fl_disp *d = fl_setup_disp(s);
	struct fl_str *arg;
	if (!fl_str_is(fl_disp_val(d), "monitor"))
		return fl_setup_parse_error(s, "unknown property '%.*s'", FL_FMT(fl_disp_val(d)));
	if (fl_disp_args(d, &arg) != 1)
		return fl_setup_arg_error(s);
	r->continuously = fl_str_is(arg[0], "continuously");
	if (!r->continuously && !fl_str_is(arg[0], "until-ready"))
		return fl_setup_parse_error(s, "monitor type '%.*s' not supported", FL_FMT(arg[0]));
	return 0;
}

static int setup(struct fl_setup *s, void **inst)
{
	struct fl_disp *d = fl_setup_disp(s);
	struct ready *r = fl_zalloc(fl_setup_arena(s), sizeof *r);
	struct fl_str *arg, host, port;
	struct fl_err e;
	int ret = fl_setup_once(s);
	if (ret || !r)
		return ret ? ret : fl_setup_error(s, "out of memory");
	*r = (struct ready){ .addr = FL_STR(":8181"), .loop = fl_setup_loop(s), .arena = fl_setup_arena(s),
			     .serving = fl_setup_serving(s) };
	*inst = r;
	fl_disp_next(d);
	unsigned n = fl_disp_args(d, &arg);
	if (n > 1)
		return fl_setup_arg_error(s);
	if (n)
		r->addr = arg[0];
	if (fl_http_split(r->addr, &host, &port, &e))
		return fl_setup_error(s, "%s", e.msg);
	while (!ret && fl_disp_next_block(d))
		ret = monitor(s, r);
	return ret;
}

static void note(void *arg, const struct fl_plugin *p, void *inst)
{
	struct ready *r = arg;
	struct asked *a = p->ready ? fl_zalloc(r->arena, sizeof *a) : NULL;
	if (!a)
		return;
	*a = (struct asked){ p, inst, false, r->asked };
	r->asked = a;
}

static int link(struct fl_setup *s, void *inst)
{
	fl_setup_each(s, note, inst);
	return 0;
}

/* ---- answers ---- */

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static bool is_ready(const struct ready *r, struct asked *a)
{
	if (r->continuously)
		return a->p->ready(a->inst);
	return a->was_ready = a->was_ready || a->p->ready(a->inst);
}

/* The names of those that are not, sorted, each once: "erratic,kubernetes". "" when all are. */
static void not_ready(char *to, size_t cap)
{
	const char *name[64];
	unsigned n = 0;
	size_t at = 0;
	to[0] = 0;
	for (struct ready *r = all; r && r->arena == all->arena; r = r->next)
		for (struct asked *a = r->asked; a; a = a->next)
			if (!is_ready(r, a) && n < FL_COUNT(name))
				name[n++] = a->p->name;
	qsort(name, n, sizeof *name, by_name);
	for (unsigned i = 0; i < n; i++) {
		size_t len = strlen(name[i]);
		if ((i && !strcmp(name[i], name[i - 1])) || at + len + 2 > cap)
			continue;
		if (at)
			to[at++] = ',';
		memcpy(to + at, name[i], len + 1);
		at += len;
	}
}

static void answer(void *arg, const struct fl_http_request *rq, struct fl_http_response *rs)
{
	char names[512];
	(void)arg;
	(void)rq;
	if (leaving) {
		fl_http_reply(rs, 503, "Shutting down");
		return;
	}
	not_ready(names, sizeof names);
	if (!names[0] && !*all->serving) {      /* the first configuration waits for its plugins before it listens */
		fl_http_reply(rs, 503, "Not serving yet");
		return;
	}
	if (names[0])
		fl_log(FL_INFO, "plugin/ready", "Plugins not ready: \"%s\"", names);
	fl_http_reply(rs, names[0] ? 503 : 200, names[0] ? names : "OK");
}

static int start(void *inst, struct fl_err *e)
{
	struct ready *r = inst, **last = &all;
	struct fl_err why;
	(void)e;
	while (*last)
		last = &(*last)->next;
	*last = r;
	r->next = NULL;
	leaving = false;
	if (fl_http_listen(r->loop, r->addr, "/ready", answer, r, &r->face, &why))
		fl_log(FL_ERROR, "plugin/ready", "Failed to start ready handler: %s", why.msg);      /* as CoreDNS, not fatal; but said */
	return 0;
}

static void stop(void *inst)
{
	struct ready *r = inst, **at = &all;
	while (*at && *at != r)
		at = &(*at)->next;
	if (*at)
		*at = r->next;
	fl_http_close(r->face);
	r->face = NULL;
}

static uint64_t leave(void *inst)
{
	(void)inst;
	leaving = true;
	return 0;
}

static const struct fl_opt opts[] = {
	{ "", "[ADDRESS]", "where /ready is served (:8181)" },
	{ "monitor", "until-ready|continuously", "whether a plugin that was ready once is asked again (until-ready: no)" },
	{ 0 },
};

FL_PLUGIN(ready, .opts = opts, .setup = setup, .link = link, .start = start, .stop = stop, .leave = leave);

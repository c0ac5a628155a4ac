/* nsid: tells clients that ask for it which server they speak to (RFC 5001). */
#include "dns/plugin.h"
#include <errno.h>
#include <unistd.h>

enum { NSID = 3, DATA_MAX = 255 };

static int setup(struct fl_setup *s, void **inst)
{
	struct fl_disp *d = fl_setup_disp(s);
	struct fl_edns *o = fl_zalloc(fl_setup_arena(s), sizeof *o);
	char *text = fl_zalloc(fl_setup_arena(s), DATA_MAX + 1);
	struct fl_str *arg;
	int ret = fl_setup_once(s);
	if (ret)
		return ret;
	if (!o || !text)
		return fl_setup_error(s, "out of memory");
	if (gethostname(text, DATA_MAX))
		memcpy(text, "localhost", sizeof "localhost");
	size_t n = strlen(text);
	fl_disp_next(d);
	unsigned args = fl_disp_args(d, &arg);
	for (unsigned i = 0; i < args; i++) {
		size_t at = i ? n + 1 : 0;
		if (at + arg[i].n > DATA_MAX)
			return fl_setup_parse_error(s, "the name is longer than %d bytes", DATA_MAX);
		if (i)
			text[n] = ' ';
		n = (size_t)(fl_put_bytes(text + at, arg[i].p, arg[i].n) - text);
	}
	*o = (struct fl_edns){ .code = NSID, .len = (uint16_t)n, .data = (const uint8_t *)text };
	*inst = o;
	return 0;
}

static bool asked(const struct fl_query *q)
{
	const struct fl_edns *o = q->ask.opt;
	while (o && o->code != NSID)
		o = o->next;
	return o;
}

static enum fl_verdict query(void *inst, struct fl_query *q)
{
	(void)inst;
	return asked(q) ? FL_WRAP : FL_NEXT;
}

/* In front of what others add; one from below (an upstream's) gives way. */
static enum fl_verdict reply(void *inst, struct fl_query *q)
{
	if (q->res.bare)        /* the server's own words: CoreDNS's writer sees only whole messages */
		return FL_DONE;
	struct fl_edns *mine = fl_copy(q->arena, inst, sizeof *mine);
	if (!mine)
		return fl_yield(q, -ENOMEM);
	struct fl_edns **last = &mine->next;
	for (const struct fl_edns *o = q->res.opt; o; o = o->next) {
		if (o->code == NSID)
			continue;
		if (!(*last = fl_copy(q->arena, o, sizeof *o)))
			return fl_yield(q, -ENOMEM);
		last = &(*last)->next;
	}
	*last = NULL;
	q->res.opt = mine;
	return FL_DONE;
}

static const struct fl_opt opts[] = {
	{ "", "[DATA...]", "the name to give, its words joined by spaces; default: the machine's host name" },
	{ 0 }
};

FL_PLUGIN(nsid, .opts = opts, .setup = setup, .query = query, .reply = reply);

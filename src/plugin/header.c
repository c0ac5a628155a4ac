/* header: sets and clears bits of the header: in the question, for the plugins below and upstreams; in the answer, for the client. */
#include "dns/plugin.h"
#include <errno.h>

struct bits { uint16_t set, clear; };
struct header { struct bits query, response; };

/* The later rule wins. */
static void rule(struct bits *b, uint16_t bit, bool set)
{
	b->set = (uint16_t)(set ? b->set | bit : b->set & ~bit);
	b->clear = (uint16_t)(set ? b->clear & ~bit : b->clear | bit);
}

static int lower(struct fl_setup *s, struct fl_str *text)
{
	char *p = fl_alloc(fl_setup_arena(s), text->n + 1);
	if (!p)
		return fl_setup_error(s, "out of memory");
	for (size_t i = 0; i < text->n; i++)
		p[i] = (char)fl_lower((uint8_t)text->p[i]);
	*text = (struct fl_str){ p, text->n };
	return 0;
}

static int flags(struct fl_setup *s, struct bits *b, bool set, struct fl_str *arg, unsigned n)
{
	static const struct { const char *name; uint16_t bit; } known[] = { { "aa", FL_AA }, { "ra", FL_RA }, { "rd", FL_RD } };
	for (unsigned i = 0; i < n; i++) {
		unsigned k = 0;
		if (lower(s, &arg[i]))
			return -EINVAL;
		while (k < FL_COUNT(known) && !fl_str_is(arg[i], known[k].name))
			k++;
		if (k == FL_COUNT(known))
			return fl_setup_error(s, "setting up rule: unknown/unsupported flag=%.*s", FL_FMT(arg[i]));
		rule(b, known[k].bit, set);
	}
	return 0;
}

static int line(struct fl_setup *s, struct fl_disp *d, struct header *h)
{
	struct fl_str selector = fl_disp_val(d), *arg;
	if (lower(s, &selector))
		return -EINVAL;
	bool response = fl_str_is(selector, "response");
	if (!response && !fl_str_is(selector, "query"))
		return fl_setup_error(s, "setting up rule: invalid selector=%.*s should be query or response", FL_FMT(selector));
	unsigned n = fl_disp_args(d, &arg);
	if (!n || !arg[0].n)
		return fl_setup_error(s, "setting up rule: no flag action provided");
	if (n == 1)
		return fl_setup_error(s, "setting up rule: invalid length for flags, at least one should be provided");
	if (lower(s, &arg[0]))
		return -EINVAL;
	bool set = fl_str_is(arg[0], "set");
	if (!set && !fl_str_is(arg[0], "clear"))
		return fl_setup_error(s, "setting up rule: unknown flag action=%.*s, should be set or clear", FL_FMT(arg[0]));
	return flags(s, response ? &h->response : &h->query, set, arg + 1, n - 1);
}

static int setup(struct fl_setup *s, void **inst)
{
	struct fl_disp *d = fl_setup_disp(s);
	struct header *h = fl_zalloc(fl_setup_arena(s), sizeof *h);
	if (!h)
		return fl_setup_error(s, "out of memory");
	*inst = h;
	while (fl_disp_next(d)) {
		bool any = false;
		while (fl_disp_next_block(d)) {
			any = true;
			if (line(s, d, h))
				return -EINVAL;
		}
		if (any)                /* CoreDNS looks no further than the first block with rules */
			return 0;
	}
	return fl_setup_arg_error(s);
}

static uint16_t apply(uint16_t flags, struct bits b) { return (uint16_t)((flags & ~b.clear) | b.set); }

static enum fl_verdict query(void *inst, struct fl_query *q)
{
	const struct header *h = inst;
	q->ask.flags = apply(q->ask.flags, h->query);
	return FL_WRAP;
}

/* An answer repeats the question's RD as it then stood (miekg/dns SetReply), the server's own refusals too; an answer's rules are for
 * whole messages. */
static enum fl_verdict reply(void *inst, struct fl_query *q)
{
	const struct header *h = inst;
	struct fl_reply *r = &q->res;
	struct bits now = { r->set, r->clear };
	for (uint16_t bit = 0x8000; bit; bit >>= 1) {
		const struct bits *by = !r->bare && (h->response.set | h->response.clear) & bit ? &h->response :
					(bit == FL_RD && (h->query.set | h->query.clear) & FL_RD) ? &h->query : NULL;
		if (by)
			rule(&now, bit, by->set & bit);
	}
	r->set = now.set;
	r->clear = now.clear;
	return FL_DONE;
}

static const struct fl_opt opts[] = {
	{ "query", "set|clear FLAG...", "aa, ra or rd of the question" },
	{ "response", "set|clear FLAG...", "aa, ra or rd of the answer" },
	{ 0 }
};

FL_PLUGIN(header, .opts = opts, .setup = setup, .query = query, .reply = reply);

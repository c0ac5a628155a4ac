#include "cmd/fairctl/resolve.h"
#include "base/clock.h"
#include <errno.h>

int resolve_conf(struct resolve *r, struct fl_str text, enum ask_how how, unsigned port, struct fl_err *e)
{
	fl_client_parse(r->a, text, r->libc, &r->client);
	if (r->client.use_tcp && how == ASK_UDP)
		how = ASK_TCP;
	for (unsigned i = 0; i < r->client.servers.n && r->nserver < RESOLVE_SERVERS; i++) {
		struct fl_str s = fl_arena_str(r->a, r->client.servers.at[i]);
		int ret = ask_server_parse(&r->server[r->nserver], s.p, how, port, e);
		if (ret)
			return ret;
		r->nserver++;
	}
	return 0;
}

struct fl_str resolve_reverse(struct fl_arena *a, struct fl_str text)
{
	struct fl_addr addr;
	uint8_t wire[FL_NAME_MAX];
	return fl_addr_parse(text, &addr) ? fl_name_text_in(a, fl_name_reverse(wire, &addr)) : (struct fl_str){ 0 };
}

static unsigned count_answers(const struct fl_message *m)
{
	unsigned n = 0;
	for (unsigned i = 0; i < m->n; i++)
		n += m->item[i].section == FL_ANSWER ? m->item[i].set->count : 0;
	return n;
}

static enum fl_answer answer_of(const struct ask_reply *r)
{
	switch (r->m.rcode) {
	case FL_NOERROR: return count_answers(&r->m) ? FL_ANSWER_FOUND : FL_ANSWER_NODATA;
	case FL_NXDOMAIN: return FL_ANSWER_NXDOMAIN;
	case FL_SERVFAIL: return FL_ANSWER_SERVFAIL;
	}
	return FL_ANSWER_OTHER;
}

/* Server i of n gets so long: glibc doubles it with each server, and shares it. */
static uint64_t patience(const struct resolve *r, unsigned i)
{
	uint64_t t = r->client.timeout_s * FL_SEC;
	if (r->libc == FL_MUSL)
		return t / r->nserver;  /* musl asks all at once, and waits so long in all */
	return i ? (t << i) / r->nserver : t;
}

/* One question to one server. */
static enum fl_answer once(struct resolve *r, const struct ask_question *q, unsigned i)
{
	struct ask_reply reply;
	struct fl_err e;
	uint64_t now = fl_clock_ns(), time = patience(r, i);
	if (r->until_ns)
		time = r->until_ns <= now ? 0 : r->until_ns - now < time ? r->until_ns - now : time;
	if (!time)
		return FL_ANSWER_SILENT;
	bool all_at_once = r->libc == FL_MUSL;
	int ret = ask(&reply, r->a, &r->server[i], q, time, all_at_once ? r->client.attempts : 1, &e);
	struct resolve_step s = { q->name, q->type, &r->server[i], ret ? NULL : &reply, e.msg, fl_clock_ns() - now, ++r->queries };
	if (!ret)
		r->rcode = reply.m.rcode;
	r->step(r->arg, &s);
	return !ret ? answer_of(&reply) : ret == -ECONNREFUSED ? FL_ANSWER_UNREACHABLE : FL_ANSWER_SILENT;
}

/* One question, until a server knows: failures go to the next one, silence is asked again. */
static enum fl_answer question(struct resolve *r, const struct ask_question *q)
{
	enum fl_answer best = FL_ANSWER_UNREACHABLE;
	unsigned rounds = r->libc == FL_MUSL ? 1 : r->client.attempts;
	for (unsigned k = 0; k < rounds; k++)
		for (unsigned i = 0; i < r->nserver; i++) {
			enum fl_answer got = once(r, q, i);
			if (got <= FL_ANSWER_NXDOMAIN)
				return got;
			if (got < best)
				best = got;
			if (r->until_ns && fl_clock_ns() >= r->until_ns)
				return best;
			if (got <= FL_ANSWER_OTHER && i + 1 == r->nserver)
				return best;    /* all were asked, and one failed: no second round */
		}
	return best;
}

enum fl_answer resolve(struct resolve *r, struct fl_str text)
{
	struct fl_search s;
	struct fl_str name;
	fl_search_begin(&s, r->a, r->libc, &r->client, text);
	while (fl_search_next(&s, &name)) {
		enum fl_answer best = FL_ANSWER_BAD_NAME;
		struct fl_name n = fl_name_parse_in(r->a, name.n ? name : FL_STR("."));
		struct fl_arena_mark mark = fl_arena_mark(r->a);
		r->last = n.len ? n : r->last;
		for (unsigned i = 0; i < r->ntype && n.len; i++) {
			struct ask_question q = { .name = n, .type = r->type[i], .class = FL_C_IN, .flags = r->flags };
			enum fl_answer got = question(r, &q);
			best = i && got > best ? best : got;
			if (got >= FL_ANSWER_SILENT && r->until_ns && fl_clock_ns() >= r->until_ns)
				break;
		}
		if (best != FL_ANSWER_FOUND)
			fl_arena_rewind(r->a, mark);
		fl_search_told(&s, best == FL_ANSWER_BAD_NAME ? FL_ANSWER_NXDOMAIN : best);
		if (r->until_ns && fl_clock_ns() >= r->until_ns && best != FL_ANSWER_FOUND)
			return best;
	}
	return r->queries ? s.result : FL_ANSWER_BAD_NAME;
}

/* One question to one server, over UDP and over TCP. UDP by hand: what answers another question than ours is news here. */
#include "cmd/fairctl/explain.h"
#include "base/clock.h"
#include "base/rng.h"
#include "cmd/fairctl/ask.h"
#include "wire/pack.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

enum { UPSTREAMS = 4 };

static int wait_for(int fd, uint64_t deadline)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint64_t now = fl_clock_ns();
	int n = poll(&p, 1, now < deadline ? (int)((deadline - now) / FL_MS) + 1 : 0);
	return n > 0 ? 0 : n && errno != EINTR ? -errno : now < deadline && n ? 1 : -ETIMEDOUT;
}

static int by_udp(struct facts *f, struct ex_probe *p, const struct ask_server *to, const struct ask_question *q, uint64_t deadline)
{
	uint8_t query[512], *msg = fl_alloc(f->a, 65535);
	uint16_t id;
	int fd = go_dial(&to->addr, SOCK_DGRAM, 0, 0), ret = fd < 0 ? fd : 0;
	fl_random_bytes(&id, sizeof id);
	size_t n = fl_pack_query(query, sizeof query, id, FL_RD, q->name, q->type, FL_C_IN, false, 0, 0, NULL);
	if (!ret && send(fd, query, n, MSG_NOSIGNAL) < 0)
		ret = -errno;
	while (!ret && (ret = wait_for(fd, deadline)) >= 0) {
		ssize_t got = ret ? 0 : recv(fd, msg, 65535, MSG_DONTWAIT);
		struct fl_message m;
		ret = got < 0 && errno != EAGAIN ? -errno : 0;
		if (ret || got < FL_HEADER || fl_get16(msg) != id || fl_message_parse(&m, f->a, msg, (size_t)got))
			continue;
		ex_reply(f->a, &p->by_udp, msg, (size_t)got, q->type);
		if (m.qname.len && !fl_name_eq(m.qname, q->name))
			p->other = fl_name_text_in(f->a, m.qname);
		else
			p->other = p->by_udp.other;
		break;
	}
	if (fd >= 0)
		close(fd);
	return ret;
}

/* The reply is there already as a message: its records as text. */
static void by_tcp(struct facts *f, struct ex_probe *p, const struct ask_server *to, const struct ask_question *q, uint64_t timeout_ns)
{
	struct ask_server tcp = *to;
	struct ask_reply r;
	struct fl_err e;
	tcp.how = ASK_TCP;
	p->tcp = ask(&r, f->a, &tcp, q, timeout_ns, 1, &e);
	if (p->tcp)
		return;
	p->by_tcp = (struct ex_reply){ .got = true, .rcode = r.m.rcode };
	for (unsigned i = 0; i < r.m.n; i++)
		if (r.m.item[i].section == FL_ANSWER && r.m.item[i].set->type == q->type)
			p->by_tcp.found += r.m.item[i].set->count;
}

void ex_probe(struct facts *f, struct ex_probe *p, const char *server, const struct ex_step *s, uint64_t timeout_ns)
{
	struct ask_server to;
	struct fl_err e;
	struct ask_question q = { .name = fl_name_parse_in(f->a, s->name), .type = s->type, .class = FL_C_IN, .flags = FL_RD };
	*p = (struct ex_probe){ .server = fl_arena_str(f->a, fl_str(server)), .udp = 1, .tcp = 1 };
	if (!q.name.len || ask_server_parse(&to, server, ASK_UDP, 0, &e))
		return;
	p->udp = by_udp(f, p, &to, &q, fl_clock_ns() + timeout_ns);
	by_tcp(f, p, &to, &q, timeout_ns);
}

static const struct ex_forward *forward_of(const struct facts *f, const struct ex_step *s)
{
	const struct ex_forward *best = NULL;
	for (unsigned i = 0; i < f->conf.nforward; i++) {
		const struct ex_forward *w = &f->conf.forward[i];
		bool ours = false, out = false;
		for (unsigned k = 0; k < f->conf.block[w->block].zones.n; k++)
			ours |= fl_str_eq(f->conf.block[w->block].zones.at[k], s->zone);
		for (unsigned k = 0; k < w->except.n; k++)
			out |= ex_under(s->name, w->except.at[k]);
		if (ours && !out && ex_under(s->name, w->from) && (!best || w->from.n > best->from.n))
			best = w;
	}
	return best;
}

void ex_upstreams(struct facts *f, struct ex_step *s, uint64_t timeout_ns)
{
	const struct ex_forward *w = s->zone.n ? forward_of(f, s) : NULL;
	if (!w || f->offline)
		return;
	s->upstream = fl_zalloc(f->a, UPSTREAMS * sizeof *s->upstream);
	for (unsigned i = 0; i < w->to.n && s->nupstream < UPSTREAMS; i++) {
		struct fl_str t = w->to.at[i];
		bool plain = !memmem(t.p, t.n, "://", 3) || fl_str_starts(t, FL_STR("dns://"));
		if (plain)
			ex_probe(f, &s->upstream[s->nupstream++], t.p, s, timeout_ns);
	}
}

/* Scripted upstreams on loopback, in the case's own loop. */
#include "cmd/fl-sim/sim.h"
#include "wire/pack.h"
#include "wire/text.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static const struct sim_rule *rule_for(const struct sim_upstream *u, const struct fl_request *r)
{
	char name[FL_NAME_TEXT_MAX], type[16];
	size_t n = fl_name_text(name, r->qname);
	fl_type_text(type, r->qtype);
	for (const struct sim_rule *rule = u->rule; rule; rule = rule->next) {
		struct fl_str want = rule->name, is = { name, n };
		if (want.n && want.p[want.n - 1] != '.' && !fl_str_is(want, "*"))
			is.n--;
		if ((fl_str_is(want, "*") || fl_str_ieq(want, is)) && (fl_str_is(rule->type, "*") || fl_str_is(rule->type, type)))
			return rule;
	}
	return NULL;
}

static void add_records(struct sim *s, struct fl_query *q, const struct sim_rule *rule, const struct fl_request *r)
{
	char name[FL_NAME_TEXT_MAX];
	struct fl_err e;
	fl_name_text(name, r->qname);
	for (unsigned i = 0; i < rule->nrr; i++) {
		struct fl_str rr = rule->rr[i];
		bool own = rr.n && rr.p[0] == '@';
		struct fl_str text = own ? fl_arena_printf(q->arena, "%s%.*s", name, (int)rr.n - 1, rr.p + 1) : rr;
		struct fl_name owner;
		const struct fl_rrset *set;
		if (fl_rr_parse(q->arena, text, &owner, &set, &e))
			sim_fail(s, "upstream record \"%.*s\": %s", FL_FMT(text), e.msg);
		else
			fl_reply_add(q, FL_ANSWER, own ? r->qname : owner, set, false);
	}
	if (!rule->soa)
		return;
	struct fl_name owner;
	const struct fl_rrset *set;
	struct fl_str soa = FL_STR("example.org. 120 IN SOA ns.example.org. admin.example.org. 1 7200 1800 86400 60");
	if (!fl_rr_parse(q->arena, soa, &owner, &set, &e))
		fl_reply_add(q, FL_AUTHORITY, owner, set, false);
}

/* The reply to a query; 0: none. */
static size_t reply_to(struct sim_upstream *u, const uint8_t *query, size_t n, uint8_t *to, size_t cap, bool tcp)
{
	struct fl_request r;
	struct fl_arena a;
	struct fl_query q = { .arena = &a };
	if (fl_request_parse(&r, query, n, 0xffff) != FL_PARSED_OK)
		return 0;
	u->seen++;
	const struct sim_rule *rule = rule_for(u, &r);
	struct fl_str effect = rule ? rule->effect : FL_STR("nxdomain");
	if (fl_str_is(effect, "drop"))
		return 0;
	fl_arena_init(&a, NULL, 0, NULL, 1 << 20);
	struct fl_pack p = { .id = r.id, .flags = (uint16_t)(FL_QR | FL_RA | (r.flags & (FL_RD | FL_CD))), .qname = r.qname, .qtype = r.qtype,
			     .qclass = r.qclass, .edns = r.edns, .udp_size = 4096, .ede = -1 };
	static const char *const words[] = { "noerror", "formerr", "servfail", "nxdomain", "notimp", "refused" };
	for (uint16_t i = 0; i < FL_COUNT(words); i++)
		if (fl_str_is(effect, words[i]))
			p.rcode = i;
	bool cut = fl_str_is(effect, "tc") && !tcp;
	if (cut)
		p.flags |= FL_TC;
	else if (rule)
		add_records(u->sim, &q, rule, &r);
	p.item = q.res.item;
	p.n = q.res.n;
	size_t len = fl_pack(&p, to, tcp ? cap : r.edns && r.udp_size > 512 ? r.udp_size : 512);
	fl_arena_finish(&a);
	return len;
}

static void udp_ready(struct fl_io *io, uint32_t events)
{
	struct sim_upstream *u = (struct sim_upstream *)((char *)io - offsetof(struct sim_upstream, udp));
	uint8_t in[4096], out[65535];
	struct sockaddr_in from;
	socklen_t len = sizeof from;
	(void)events;
	for (ssize_t n; (n = recvfrom(io->fd, in, sizeof in, 0, (struct sockaddr *)&from, &len)) >= 0; len = sizeof from) {
		size_t m = reply_to(u, in, (size_t)n, out, sizeof out, false);
		if (m)
			sendto(io->fd, out, m, 0, (struct sockaddr *)&from, len);
	}
}

struct sim_conn { struct fl_io io; struct sim_upstream *u; size_t have; uint8_t in[8192]; };

static void conn_ready(struct fl_io *io, uint32_t events)
{
	struct sim_conn *c = (struct sim_conn *)io;
	uint8_t out[65537];
	(void)events;
	ssize_t n = recv(io->fd, c->in + c->have, sizeof c->in - c->have, 0);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		fl_loop_del(c->u->sim->loop, io);
		close(io->fd);
		free(c);
		return;
	}
	c->have += (size_t)n;
	size_t at = 0;
	while (c->have - at >= 2 && c->have - at - 2 >= fl_get16(c->in + at)) {
		size_t m = reply_to(c->u, c->in + at + 2, fl_get16(c->in + at), out + 2, 65535, true);
		fl_put16(out, (uint16_t)m);
		if (m && send(io->fd, out, m + 2, MSG_NOSIGNAL) < 0)
			break;
		at += 2u + fl_get16(c->in + at);
	}
	memmove(c->in, c->in + at, c->have - at);
	c->have -= at;
}

static void tcp_ready(struct fl_io *io, uint32_t events)
{
	struct sim_upstream *u = (struct sim_upstream *)((char *)io - offsetof(struct sim_upstream, tcp));
	(void)events;
	for (int fd; (fd = accept4(io->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
		struct sim_conn *c = fl_xalloc(sizeof *c);
		c->io = (struct fl_io){ .fd = fd, .fn = conn_ready };
		c->u = u;
		fl_loop_add(u->sim->loop, &c->io, EPOLLIN);
	}
}

/* Sockets now; into the loop when there is one (the Corefile names the address before the server starts). */
struct sim_upstream *sim_upstream_get(struct sim *s, struct fl_str name)
{
	struct sim_upstream *u;
	for (u = s->upstream; u; u = u->next)
		if (fl_str_eq(u->name, name))
			return u;
	u = fl_zalloc(&s->arena, sizeof *u);
	*u = (struct sim_upstream){ .name = name, .sim = s, .next = s->upstream, .last = &u->rule };
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof sa;
	for (int i = 0; i < 20; i++) {          /* the same port for both transports */
		u->tcp = (struct fl_io){ .fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), .fn = tcp_ready };
		u->udp = (struct fl_io){ .fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), .fn = udp_ready };
		sa.sin_port = 0;
		if (!bind(u->tcp.fd, (struct sockaddr *)&sa, sizeof sa) && !getsockname(u->tcp.fd, (struct sockaddr *)&sa, &n) &&
		    !listen(u->tcp.fd, 64) && !bind(u->udp.fd, (struct sockaddr *)&sa, sizeof sa))
			break;
		close(u->tcp.fd);
		close(u->udp.fd);
	}
	snprintf(u->addr, sizeof u->addr, "127.0.0.1:%u", ntohs(sa.sin_port));
	fl_loop_add(s->loop, &u->udp, EPOLLIN);
	fl_loop_add(s->loop, &u->tcp, EPOLLIN);
	return s->upstream = u;
}

/* The rule for this name and type: a new one, or the old one emptied. */
static struct sim_rule *rule_named(struct sim *s, struct sim_upstream *u, struct fl_str name, struct fl_str type)
{
	struct sim_rule *r = u->rule;
	while (r && !(fl_str_eq(r->name, name) && fl_str_eq(r->type, type)))
		r = r->next;
	struct sim_rule *next = r ? r->next : NULL;
	if (!r) {
		r = fl_zalloc(&s->arena, sizeof *r);
		*u->last = r;
		u->last = &r->next;
	}
	*r = (struct sim_rule){ .name = name, .type = type, .next = next };
	return r;
}

/* NAME QNAME TYPE -> EFFECT | RR, RR … [soa]; a record is "TYPE RDATA [ttl N]" of the question, or a whole one in parentheses. */
int sim_upstream_rule(struct sim *s, struct fl_str line)
{
	struct sim_upstream *u = sim_upstream_get(s, sim_word(&line));
	struct fl_str name = sim_word(&line);
	struct sim_rule *r = rule_named(s, u, name, sim_word(&line));
	if (!fl_str_is(sim_word(&line), "->"))
		return sim_fail(s, "upstream NAME QNAME TYPE -> EFFECT or records");
	r->rr = fl_zalloc(&s->arena, 64 * sizeof *r->rr);
	r->effect = FL_STR("noerror");
	while ((line = fl_str_trim(line)).n && r->nrr < 64) {
		struct fl_str item;
		line = fl_str_cut(line, ',', &item);
		item = fl_str_trim(item);
		struct fl_str rest = item, first = sim_word(&rest);
		uint16_t type;
		if (first.n && first.p[0] == '(') {
			r->rr[r->nrr++] = (struct fl_str){ item.p + 1, item.n - 2 };
		} else if (fl_type_parse(first, &type)) {
			struct fl_str ttl = FL_STR("60");
			const char *at = memmem(rest.p, rest.n, " ttl ", 5);
			if (at) {
				ttl = fl_str_trim((struct fl_str){ at + 5, (size_t)(rest.p + rest.n - at) - 5 });
				rest.n = (size_t)(at - rest.p);
			}
			r->rr[r->nrr++] = fl_arena_printf(&s->arena, "@ %.*s IN %.*s %.*s", FL_FMT(ttl), FL_FMT(first), FL_FMT(rest));
		} else if (fl_str_is(first, "soa")) {
			r->soa = true;
		} else {
			r->effect = first;
			r->soa |= fl_str_is(first, "nxdomain") || fl_str_is(first, "nodata");
		}
	}
	return 0;
}

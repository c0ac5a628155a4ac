#include "dns/explain.h"
#include "dns/server_int.h"
#include <errno.h>
#include <stdlib.h>

/* ---- links with a shim ---- */

struct traced { struct fl_plugin p; const struct fl_plugin *of; const struct fl_trace *trace; };

static const struct traced *shim(const struct fl_query *q) { return (const struct traced *)q->chain->at[q->pos].p; }

static enum fl_verdict tell(const struct traced *t, struct fl_step *s, enum fl_verdict v)
{
	s->plugin = t->of;
	s->verdict = v;
	s->depth = s->q->depth;
	t->trace->step(t->trace->arg, s);
	return v;
}

static enum fl_verdict query(void *inst, struct fl_query *q)
{
	const struct traced *t = shim(q);
	struct fl_step s = { .q = q, .qname = q->qname, .qtype = q->qtype };
	return tell(t, &s, t->of->query(inst, q));
}

static enum fl_verdict reply(void *inst, struct fl_query *q)
{
	const struct traced *t = shim(q);
	struct fl_step s = { .q = q, .qname = q->qname, .qtype = q->qtype, .up = true };
	return tell(t, &s, t->of->reply(inst, q));
}

int fl_trace_chain(struct fl_chain *c, struct fl_arena *a, const struct fl_trace *trace)
{
	for (unsigned i = 0; i < c->n; i++) {
		struct traced *t = fl_zalloc(a, sizeof *t);
		if (!t)
			return -ENOMEM;
		*t = (struct traced){ *c->at[i].p, c->at[i].p, trace };
		t->p.query = query;
		t->p.reply = t->of->reply ? reply : NULL;
		c->at[i].p = &t->p;
	}
	return 0;
}

/* ---- questions without a socket ---- */

struct fl_put {
	struct fl_asker asker;
	struct fl_listener l;
	struct fl_udp_way way;
	void (*answer)(void *arg, const uint8_t *msg, size_t n, const struct fl_query *q);
	void *arg;
};

static void answered(struct fl_asker *a, const uint8_t *msg, size_t n, const struct fl_query *q)
{
	struct fl_put *p = (struct fl_put *)((char *)a - offsetof(struct fl_put, asker));
	p->answer(p->arg, msg, n, q);
}

/* The listener that a packet to this address and port would reach: one bound to the address before one for all. */
static struct fl_group *group_at(const struct fl_gen *g, const struct fl_udp_way *way, const char *port)
{
	struct fl_group *any = NULL;
	for (unsigned i = 0; i < g->ngroup; i++) {
		struct fl_group *gr = g->group[i];
		struct fl_addr at;
		if (strcmp(gr->scheme, "dns") || strcmp(gr->port, port))
			continue;
		bool named = fl_addr_parse(gr->host, &at);
		if (!named || !way->info)
			any = any ? any : gr;
		else if (at.len == (way->info == 4 ? 4 : 16) && !memcmp(at.b, &way->local, at.len))
			return gr;
	}
	return any;
}

struct fl_put *fl_put(struct fl_server *s, const struct fl_udp_way *way, const char *port, const uint8_t *msg, size_t n,
		      void (*answer)(void *arg, const uint8_t *msg, size_t n, const struct fl_query *q), void *arg)
{
	return s->inline_shard ? fl_put_on(&s->shard[1]->sh, way, port, msg, n, answer, arg) : NULL;
}

struct fl_put *fl_put_on(struct fl_shard *sh, const struct fl_udp_way *way, const char *port, const uint8_t *msg, size_t n,
			 void (*answer)(void *arg, const uint8_t *msg, size_t n, const struct fl_query *q), void *arg)
{
	struct fl_shard_x *x = (struct fl_shard_x *)sh;
	struct fl_group *g = x->gen ? group_at(x->gen, way, port) : NULL;
	int64_t number = 0;
	if (!g)
		return NULL;
	struct fl_put *p = fl_xalloc(sizeof *p);
	fl_parse_int(fl_str(port), 0, 65535, &number);
	*p = (struct fl_put){ .asker = { .udp = true, .answer = answered }, .way = *way, .answer = answer, .arg = arg };
	p->asker.way = &p->way;
	p->l = (struct fl_listener){ .udp = { .fd = -1 }, .shard = x, .users = 1, .group = g, .port = (uint16_t)number };
	if (fl_query_stream(&p->l, &p->asker, msg, n))
		return p;
	free(p);
	return NULL;
}

bool fl_put_busy(const struct fl_put *p) { return p->l.users > 1; }

void fl_put_end(struct fl_put *p)
{
	if (!p)
		return;
	fl_query_gone(&p->asker);
	fl_assert(p->l.users == 1);
	free(p);
}

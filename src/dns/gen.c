#include "dns/gen.h"
#include "dns/doh.h"
#include "dns/server_int.h"
#include "net/tls_server.h"
#include "net/watch.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* Generation memory is the main thread's: it does not run out quietly. */
static void *must(void *p)
{
	fl_assert(p);
	return p;
}
#define NEW(g, type, n) ((type *)must(fl_zalloc(&(g)->arena, (n) * sizeof(type) + 1)))

/* ---- blocks and their keys ---- */

static int block_keys(struct fl_gen *g, struct fl_block *b, struct fl_err *e)
{
	struct fl_arena *a = &g->arena;
	unsigned cap = 0;
	for (int pass = 0; pass < 2; pass++) {
		unsigned n = 0;
		for (unsigned i = 0; i < b->conf->nkey; i++) {
			struct fl_key *k;
			unsigned nk;
			int ret = fl_key_parse(a, b->conf->key[i].text, g->server->process.port, &k, &nk, e);
			if (ret)
				return ret;
			if (pass && nk)         /* an expanded key's first zone keeps its place, the rest go behind all keys: order is free */
				memcpy(b->key + n, k, nk * sizeof *k);
			n += nk;
		}
		cap = n;
		if (!pass)
			b->key = NEW(g, struct fl_key, n);
	}
	b->nkey = cap;
	b->zones.name = NEW(g, struct fl_name, cap);
	b->zones.text = NEW(g, struct fl_str, cap);
	for (unsigned i = 0; i < cap; i++) {
		struct fl_name n = fl_name_parse_in(a, b->key[i].zone);
		if (!n.len)
			return fl_err_set(e, "error inspecting server blocks: zone is not a valid domain name: %.*s",
					  FL_FMT(b->key[i].zone));
		b->zones.name[b->zones.n] = n;
		b->zones.text[b->zones.n++] = b->key[i].zone;
	}
	return 0;
}

static const struct fl_directive *directive_of(const struct fl_conf_block *c, const char *name)
{
	for (unsigned i = 0; i < c->ndir; i++)
		if (fl_str_is(c->dir[i].name, name))
			return &c->dir[i];
	return NULL;
}

/* The instances that a block will have, in chain order; a known directive that is not built yet ends it. */
static int block_insts(struct fl_gen *g, struct fl_block *b, struct fl_err *e)
{
	b->inst = NEW(g, struct fl_inst, b->conf->ndir + 1);
	for (const struct fl_directive_entry *d = g->server->directives; d->name; d++) {
		const struct fl_directive *dir = directive_of(b->conf, d->name);
		if (!dir)
			continue;
		if (!d->plugin) {
			struct fl_disp at;
			struct fl_err why;
			fl_disp_init(&at, g->conf, dir, &why);
			fl_disp_next(&at);
			fl_disp_err(&at, "directive '%s' is known, but this version of fairlead does not support it yet", d->name);
			return fl_err_set(e, "plugin/%s: %s", d->name, why.msg);
		}
		b->inst[b->ninst] = (struct fl_inst){ .p = d->plugin, .block = b, .slot = b->ninst };
		b->ninst++;
	}
	return 0;
}

/* ---- set-up ---- */

static void setup_for(struct fl_setup *s, struct fl_gen *g, struct fl_inst *in, struct fl_err *e)
{
	*s = (struct fl_setup){ .gen = g, .block = in->block, .inst = in, .out = e };
	fl_disp_init(&s->disp, g->conf, directive_of(in->block->conf, in->p->name), &s->err);
}

/* A hook that failed without words still says who it was. */
static int failed(const struct fl_inst *in, int ret, struct fl_err *e)
{
	if (!e->msg[0])
		fl_err_set(e, "plugin/%s: %s", in->p->name, strerror(-ret));
	return ret;
}

static int setup_all(struct fl_gen *g, struct fl_err *e)
{
	struct fl_setup s;
	for (const struct fl_directive_entry *d = g->server->directives; d->name; d++)
		for (unsigned b = 0; b < g->nblock; b++)
			for (unsigned i = 0; i < g->block[b].ninst; i++) {
				struct fl_inst *in = &g->block[b].inst[i];
				if (in->p != d->plugin)
					continue;
				setup_for(&s, g, in, e);
				int ret = in->p->setup ? in->p->setup(&s, &in->inst) : 0;
				if (ret)
					return failed(in, ret, e);
				in->set_up = true;
			}
	return 0;
}

#define EACH_INST(g, in)                                                                        \
	for (unsigned b_ = 0; b_ < (g)->nblock; b_++)                                           \
		for (struct fl_inst *in = (g)->block[b_].inst, *end_ = in ? in + (g)->block[b_].ninst : in; in != end_; in++)

static int link_all(struct fl_gen *g, struct fl_err *e)
{
	struct fl_setup s;
	EACH_INST(g, in) {
		if (!in->p->link)
			continue;
		setup_for(&s, g, in, e);
		int ret = in->p->link(&s, in->inst);
		if (ret)
			return failed(in, ret, e);
	}
	return 0;
}

/* ---- groups and chains ---- */

static struct fl_group *group_get(struct fl_gen *g, const struct fl_key *k, struct fl_str host)
{
	for (unsigned i = 0; i < g->ngroup; i++) {
		struct fl_group *gr = g->group[i];
		if (gr->scheme == k->scheme && !strcmp(gr->port, k->port) && fl_str_eq(gr->host, host))
			return gr;
	}
	struct fl_group *gr = NEW(g, struct fl_group, 1);
	bool v6 = host.n && memchr(host.p, ':', host.n);
	gr->scheme = k->scheme;
	gr->by_quic = !strcmp(k->scheme, "quic") || !strcmp(k->scheme, "https3");
	gr->host = host;
	memcpy(gr->port, k->port, sizeof gr->port);
	gr->addr = fl_arena_printf(&g->arena, "%s://%s%.*s%s:%s", k->scheme, v6 ? "[" : "", FL_FMT(host), v6 ? "]" : "", k->port);
	gr->gen = g;
	gr->none = (struct fl_chain){ .server = gr->addr, .zone = FL_STR("dropped"), .view = FL_STR(""), .parked = g->parked, .group = gr };
	g->group[g->ngroup++] = gr;
	return gr;
}

static int group_zone_add(struct fl_gen *g, struct fl_group *gr, struct fl_name zone, struct fl_chain *c)
{
	struct fl_zone_entry *z = NULL;
	for (unsigned i = 0; i < gr->nzone && !z; i++)
		if (fl_name_eq(gr->zone[i].zone, zone))
			z = &gr->zone[i];
	if (!z) {
		struct fl_zone_entry *grown = NEW(g, struct fl_zone_entry, gr->nzone + 1);
		if (gr->nzone)
			memcpy(grown, gr->zone, gr->nzone * sizeof *grown);
		gr->zone = grown;
		z = &gr->zone[gr->nzone++];
		z->zone = zone;
	}
	struct fl_chain **more = NEW(g, struct fl_chain *, z->n + 1);
	if (z->n)
		memcpy(more, z->chain, z->n * sizeof *more);
	more[z->n++] = c;
	z->chain = more;
	return 0;
}

static uint32_t limit(struct fl_said said, uint32_t otherwise) { return said.said ? said.n : otherwise; }

/* Limits of QUIC and HTTP listeners: the first block's (core/dnsserver/server_quic.go …); whoever says max_streams for https must agree with the others that do. */
static int group_limits(struct fl_group *gr, const struct fl_block *b, bool first, struct fl_err *e)
{
	enum { CONNS = 200, HTTPS_STREAMS = 250, GRPC_STREAMS = 256, QUIC_STREAMS = 256, QUIC_WORKERS = 1024, STREAMS_OF_GO = 100 };
	const struct fl_block_conf *say = &b->say;
	if (first && !strcmp(gr->scheme, "quic")) {
		gr->max_conns = limit(say->quic_conns, CONNS);
		gr->max_streams = limit(say->quic_streams, QUIC_STREAMS);
		gr->workers = limit(say->quic_workers, QUIC_WORKERS);
	}
	if (first && !strcmp(gr->scheme, "https3")) {
		gr->max_conns = limit(say->https3_conns, CONNS);
		gr->max_streams = limit(say->https3_streams, QUIC_STREAMS);
		gr->max_streams = gr->max_streams ? gr->max_streams : STREAMS_OF_GO;
	}
	bool https = !strcmp(gr->scheme, "https");
	if (!https && strcmp(gr->scheme, "grpc"))
		return 0;
	if (first) {
		gr->max_conns = limit(https ? say->https_conns : say->grpc_conns, CONNS);
		gr->max_streams = https ? HTTPS_STREAMS : limit(say->grpc_streams, GRPC_STREAMS);
	}
	if (!https || !say->https_streams.said)
		return 0;
	if (gr->streams_said && gr->max_streams != say->https_streams.n)
		return fl_err_set(e, "conflicting max_streams values for shared HTTPS listener %.*s: %u and %u", FL_FMT(gr->addr),
				  gr->max_streams, say->https_streams.n);
	gr->streams_said = true;
	gr->max_streams = say->https_streams.n;
	return 0;
}

/* TLS is agreed on before anybody asks for a zone: all blocks of a listener must mean the same (core/dnsserver/tlsconfig.go). */
static int group_tls(struct fl_group *gr, const struct fl_block *b, const struct fl_key *k, struct fl_err *e)
{
	if (!strcmp(gr->scheme, "dns"))
		return 0;
	const char *why = gr->settled ? fl_tls_host_differs(gr->tls, b->say.tls) : NULL;
	if (why)
		return fl_err_set(e, "conflicting TLS configuration for shared listener %.*s between zones \"%.*s\" and \"%.*s\": %s",
				  FL_FMT(gr->addr), FL_FMT(gr->first_zone), FL_FMT(k->zone), why);
	bool first = !gr->settled;
	if (first) {
		gr->settled = true;
		gr->tls = b->say.tls;
		gr->first_zone = k->zone;
	}
	return group_limits(gr, b, first, e);
}

static void group_settings(struct fl_group *gr, const struct fl_block_conf *say)
{
	gr->other_classes |= say->other_classes;
	gr->opcodes |= (uint16_t)say->opcodes;
	gr->read_ns = say->read_ns ? say->read_ns : gr->read_ns;        /* the last block that says so wins */
	gr->write_ns = say->write_ns ? say->write_ns : gr->write_ns;
	gr->idle_ns = say->idle_ns ? say->idle_ns : gr->idle_ns;
	gr->max_queries = say->max_queries ? say->max_queries : gr->max_queries;
}

/* The place of a directive in the order of the chain. */
static unsigned rank(const struct fl_gen *g, const char *name)
{
	unsigned i = 0;
	while (g->server->directives[i].name && strcmp(g->server->directives[i].name, name))
		i++;
	return i;
}

/* Those without a directive in this block go between those that have one; their slots lie behind. */
static int chain_everywhere(const struct fl_gen *g, struct fl_chain *c)
{
	for (const struct fl_everywhere *w = g->everywhere; w; w = w->next) {
		unsigned n = c->n, at = 0;
		if (fl_chain_add(c, w->p, w->inst))
			return -E2BIG;
		while (at < n && rank(g, c->at[at].p->name) < rank(g, w->before))
			at++;
		struct fl_link link = c->at[n];
		memmove(&c->at[at + 1], &c->at[at], (n - at) * sizeof link);
		c->at[at] = link;
	}
	return 0;
}

static int chain_make(struct fl_gen *g, struct fl_block *b, unsigned key, struct fl_group *gr, struct fl_err *e)
{
	struct fl_chain *c = NEW(g, struct fl_chain, 1);
	unsigned links = b->ninst + g->neverywhere + 1;
	c->at = NEW(g, struct fl_link, links);
	c->beside = NEW(g, struct fl_link, links);
	c->mine = NEW(g, void *, links);
	c->server = gr->addr;
	c->zone = b->zones.text[key];
	c->view = b->say.view.n ? b->say.view : FL_STR("");
	c->zones = &b->zones;
	c->local = b->local;
	c->parked = g->parked;
	c->group = gr;
	c->first_key = key == 0;
	for (unsigned i = 0; i < b->ninst; i++)
		if (fl_chain_add(c, b->inst[i].p, b->inst[i].inst))
			return fl_err_set(e, "more than %d plugins in one server block", FL_LINKS_MAX);
	if (chain_everywhere(g, c))
		return fl_err_set(e, "more than %d plugins in one server block", FL_LINKS_MAX);
	for (unsigned i = 0; i < b->ninst; i++) {
		int ret = b->inst[i].p->chain ? b->inst[i].p->chain(b->inst[i].inst, c, &g->arena, &c->mine[i]) : 0;
		if (ret)
			return failed(&b->inst[i], ret, e);
	}
	const struct fl_trace *trace = g->server->process.trace;
	if (trace && fl_trace_chain(c, &g->arena, trace))
		return fl_err_set(e, "out of memory");
	g->chain[g->nchain++] = c;
	group_settings(gr, &b->say);
	return group_zone_add(g, gr, b->zones.name[key], c);
}

/* CoreDNS: an unbound address overlaps all bound ones of the same zone and port (core/dnsserver/address.go). Blocks with a filter
 * (view) may share a zone and its address with others, before and behind them, but not overlap what stands before them. */
struct served { const struct fl_key *key; struct fl_str host; struct served *next; };

static bool same_key(const struct fl_key *a, const struct fl_key *b)
{
	return a->scheme == b->scheme && !strcmp(a->port, b->port) && fl_str_eq(a->zone, b->zone);
}

static int overlap(const struct served *all, const struct fl_key *k, struct fl_str host, bool filtered, struct fl_err *e)
{
	for (const struct served *s = all; s; s = s->next) {
		if (!same_key(s->key, k))
			continue;
		const char *on = host.n ? " on " : "", *on2 = s->host.n ? " on " : "";
		if (fl_str_eq(s->host, host))
			return filtered ? 0 : fl_err_set(e, "cannot serve %s://%.*s:%s%s%.*s - it is already defined", k->scheme, FL_FMT(k->zone),
					  k->port, on, FL_FMT(host));
		if (!s->host.n || !host.n)
			return fl_err_set(e, "cannot serve %s://%.*s:%s%s%.*s - zone overlap listener capacity with %s://%.*s:%s%s%.*s",
					  k->scheme, FL_FMT(k->zone), k->port, on, FL_FMT(host), k->scheme, FL_FMT(k->zone),
					  k->port, on2, FL_FMT(s->host));
	}
	return 0;
}

static bool filtered(const struct fl_block *b)
{
	for (unsigned i = 0; i < b->ninst; i++)
		if (b->inst[i].p->admit)
			return true;
	return false;
}

static int scheme_served(const struct fl_key *k, struct fl_err *e)
{
	static const char *const served[] = { "dns", "tls", "https", "https3", "grpc", "quic" };
	for (size_t i = 0; i < FL_COUNT(served); i++)
		if (!strcmp(k->scheme, served[i]))
			return 0;
	return fl_err_set(e, "listener %s://%.*s:%s: this version of fairlead does not serve the scheme %s:// yet", k->scheme,
			  FL_FMT(k->zone), k->port, k->scheme);
}

static int chains_all(struct fl_gen *g, struct fl_err *e)
{
	struct served *all = NULL;
	unsigned n = 0;
	struct fl_str everywhere = FL_STR("");
	for (unsigned b = 0; b < g->nblock; b++)
		n += g->block[b].nkey * (g->block[b].say.nbind + 1);
	g->group = NEW(g, struct fl_group *, n);
	g->chain = NEW(g, struct fl_chain *, n);
	for (unsigned i = 0; i < g->nblock; i++) {
		struct fl_block *b = &g->block[i];
		struct fl_str *host = b->say.nbind ? b->say.bind : &everywhere;
		for (unsigned k = 0; k < b->nkey; k++)
			for (unsigned h = 0; h < (b->say.nbind ? b->say.nbind : 1); h++) {
				int ret = scheme_served(&b->key[k], e);
				struct fl_group *gr = ret ? NULL : group_get(g, &b->key[k], host[h]);
				ret = ret ? ret : group_tls(gr, b, &b->key[k], e);
				ret = ret ? ret : overlap(all, &b->key[k], host[h], filtered(b), e);
				ret = ret ? ret : chain_make(g, b, k, gr, e);
				if (ret)
					return ret;
				if (filtered(b))
					continue;
				struct served *s = NEW(g, struct served, 1);
				*s = (struct served){ &b->key[k], host[h], all };
				all = s;
			}
	}
	return 0;
}

/* The schemes that cannot do without. CoreDNS finds out as it makes its servers, for quic as it listens. */
static int quic_tls(const struct fl_gen *g, struct fl_err *e)
{
	const struct fl_group *bare = NULL;
	for (unsigned i = 0; i < g->ngroup; i++) {
		if (g->group[i]->tls || !g->group[i]->by_quic)
			continue;
		if (!strcmp(g->group[i]->scheme, "https3"))
			return fl_err_set(e, "DoH3 requires TLS, no TLS config found");
		bare = g->group[i];
	}
	return bare ? fl_err_set(e, "ListenPacket: quic: tls.Config not set") : 0;
}

/* Zone → entry, by open addressing: a question looks up its suffixes, longest first, but none longer than the longest zone. */
static void group_index(struct fl_gen *g, struct fl_group *gr)
{
	uint32_t size = 4;
	while (size < 3 * gr->nzone)
		size *= 2;
	gr->slot = NEW(g, uint32_t, size);
	gr->mask = size - 1;
	for (uint32_t i = 0; i < gr->nzone; i++) {
		struct fl_name z = gr->zone[i].zone;
		uint32_t at = (uint32_t)fl_name_hash(z) & gr->mask;
		while (gr->slot[at])
			at = (at + 1) & gr->mask;
		gr->slot[at] = i + 1;
		unsigned labels = fl_name_labels(z);
		gr->max_labels = labels > gr->max_labels ? labels : gr->max_labels;
	}
	if (!strncmp(gr->scheme, "https", 5))
		gr->https = fl_doh_responses(gr->addr, gr->by_quic);
	if (!strcmp(gr->scheme, "quic"))
		gr->doq = fl_doq_grid(gr->addr);
	gr->dropped = fl_stats_get(gr->addr, FL_STR("dropped"), FL_STR(""));
}

/* ---- the whole ---- */

struct fl_gen *fl_gen_build(struct fl_server *srv, struct fl_conf *conf, struct fl_err *e)
{
	struct fl_gen *g = fl_xalloc(sizeof *g);
	fl_arena_init(&g->arena, NULL, 0, NULL, SIZE_MAX / 2);
	g->server = srv;
	g->conf = conf;
	g->nblock = conf->nblock;
	e->msg[0] = 0;
	g->block = NEW(g, struct fl_block, g->nblock);
	g->parked = NEW(g, unsigned, srv->process.shards + 1);
	int ret = 0;
	for (unsigned i = 0; i < g->nblock && !ret; i++) {
		struct fl_block *b = &g->block[i];
		b->conf = &conf->block[i];
		b->local = NEW(g, void **, srv->process.shards + 1);
		ret = block_keys(g, b, e);
	}
	for (unsigned i = 0; i < g->nblock && !ret; i++)
		ret = block_insts(g, &g->block[i], e);
	ret = ret ? ret : setup_all(g, e);
	ret = ret ? ret : link_all(g, e);
	ret = ret ? ret : chains_all(g, e);
	ret = ret ? ret : quic_tls(g, e);
	if (ret) {
		fl_gen_destroy(g);
		return NULL;
	}
	for (unsigned i = 0; i < g->nblock; i++)
		for (unsigned s = 0; s <= srv->process.shards; s++)
			g->block[i].local[s] = NEW(g, void *, g->block[i].ninst + g->neverywhere + 1);
	for (unsigned i = 0; i < g->ngroup; i++)
		group_index(g, g->group[i]);
	return g;
}

static void every_due(struct fl_timer *t)
{
	struct fl_every *e = (struct fl_every *)t;
	fl_timer_set(e->gen->server->loop, t, fl_loop_now(e->gen->server->loop) + e->ns);
	e->fn(*e->inst);
}

static void watch_saw(void *arg)
{
	struct fl_watching *w = arg;
	w->fn(*w->inst);
}

int fl_gen_start(struct fl_gen *g, struct fl_err *e)
{
	struct fl_loop *l = g->server->loop;
	e->msg[0] = 0;
	g->running = true;
	EACH_INST(g, in) {
		int ret = in->p->start ? in->p->start(in->inst, e) : 0;
		if (ret)
			return failed(in, ret, e);
		in->started = true;
	}
	for (struct fl_every *v = g->every; v; v = v->next) {
		v->t.fn = every_due;
		fl_timer_set(l, &v->t, fl_loop_tick(l) + v->ns);
	}
	for (struct fl_watching *w = g->watching; w; w = w->next)
		w->watch = fl_watch_add(l, w->path.p, 50 * FL_MS, watch_saw, w);
	return 0;
}

void fl_gen_serve(struct fl_gen *g)
{
	g->serving = true;
	for (struct fl_serves *v = g->serves; v; v = v->next)
		v->fn(*v->inst);
}

void fl_gen_stop(struct fl_gen *g)
{
	if (!g->running)
		return;
	g->running = false;
	for (struct fl_every *v = g->every; v; v = v->next)
		fl_timer_clear(g->server->loop, &v->t);
	for (struct fl_watching *w = g->watching; w; w = w->next) {
		fl_watch_del(w->watch);
		w->watch = NULL;
	}
	EACH_INST(g, in)
		if (in->started && in->p->stop)
			in->p->stop(in->inst);
}

void fl_gen_destroy(struct fl_gen *g)
{
	if (!g)
		return;
	fl_gen_stop(g);
	EACH_INST(g, in)
		if (in->set_up && in->p->destroy)
			in->p->destroy(in->inst);
	fl_kept_release(g);
	fl_conf_finish(g->conf);
	free(g->conf);
	fl_arena_finish(&g->arena);
	free(g);
}

/* ---- on a shard ---- */

/* Up to `end` (NULL: all). */
static void shard_stop(struct fl_gen *g, struct fl_shard *sh, const struct fl_inst *end)
{
	EACH_INST(g, in) {
		if (in == end)
			return;
		if (in->p->shard_stop)
			in->p->shard_stop(in->inst, sh, in->block->local[sh->id][in->slot]);
	}
}

int fl_gen_shard_start(struct fl_gen *g, struct fl_shard *sh)
{
	EACH_INST(g, in) {
		int ret = in->p->shard_start ? in->p->shard_start(in->inst, sh, &in->block->local[sh->id][in->slot]) : 0;
		if (ret) {
			shard_stop(g, sh, in);
			return ret;
		}
	}
	return 0;
}

void fl_gen_shard_stop(struct fl_gen *g, struct fl_shard *sh) { shard_stop(g, sh, NULL); }

/* As on the way up: what stands below in the chain was done first, and is said first. */
void fl_gen_flush(struct fl_gen *g, struct fl_shard *sh)
{
	for (unsigned b = 0; b < g->nblock; b++)
		for (unsigned i = g->block[b].ninst; i-- > 0;) {
			const struct fl_inst *in = &g->block[b].inst[i];
			if (in->p->flush)
				in->p->flush(in->inst, sh, in->block->local[sh->id][in->slot]);
		}
}

/* ---- routing ---- */

int fl_query_slots(struct fl_query *q, const struct fl_chain *c)
{
	q->chain = c;
	q->slot = fl_zalloc(q->arena, (c->nslots + 1) * sizeof *q->slot);
	return q->slot ? 0 : -ENOMEM;
}

static const struct fl_zone_entry *zone_find(const struct fl_group *gr, struct fl_name n)
{
	for (uint32_t at = (uint32_t)fl_name_hash(n) & gr->mask; gr->slot[at]; at = (at + 1) & gr->mask)
		if (fl_name_eq(gr->zone[gr->slot[at] - 1].zone, n))
			return &gr->zone[gr->slot[at] - 1];
	return NULL;
}

static bool admitted(const struct fl_chain *c, struct fl_query *q)
{
	for (unsigned i = 0; c->filtered && i < c->nbeside; i++) {
		const struct fl_link *l = &c->beside[i];
		if (!l->p->admit)
			continue;
		q->self = l->self;
		if (!l->p->admit(l->inst, q))
			return false;
	}
	return true;
}

/* The first chain of an entry whose filters all agree, with q's slots laid out for it. */
static struct fl_chain *entry_pick(const struct fl_zone_entry *z, struct fl_query *q)
{
	for (unsigned i = 0; i < z->n; i++) {
		struct fl_arena_mark before = fl_arena_mark(q->arena);
		if (fl_query_slots(q, z->chain[i]))
			return NULL;
		if (admitted(z->chain[i], q))
			return z->chain[i];
		fl_arena_rewind(q->arena, before);      /* hundreds of views cost one query no memory */
	}
	return NULL;
}

const struct fl_chain *fl_group_route(struct fl_group *g, struct fl_query *q)
{
	struct fl_chain *ds = NULL;
	if (!g->max_labels && g->nzone) {       /* the root alone: nothing to look for */
		ds = entry_pick(&g->zone[0], q);
		if (ds)
			return ds;
		fl_query_slots(q, &g->none);
		return &g->none;
	}
	unsigned labels = fl_name_labels(q->qname);
	struct fl_name n = labels > g->max_labels ? fl_name_skip(q->qname, labels - g->max_labels) : q->qname;
	for (;; n = fl_name_parent(n)) {
		const struct fl_zone_entry *z = zone_find(g, n);
		struct fl_chain *c = z ? entry_pick(z, q) : NULL;
		if (c && q->qtype != FL_T_DS)
			return c;
		if (c && (n.len > 1 || !ds))    /* a DS lives in the parent zone, when that is ours too */
			ds = c;
		if (n.len <= 1)
			break;
	}
	if (!ds)
		ds = &g->none;
	fl_query_slots(q, ds);
	return ds;
}

/* forward FROM TO... { ... }: asks other servers. What CoreDNS does, bounded below the 5 s after which a stub resolver gives up. */
#include "plugin/forward/forward_int.h"
#include <errno.h>
#include <stdlib.h>

/* A client's resolver waits 5 s; CoreDNS would try until 6 s with two upstreams (plugin/forward/forward.go). */
#define BUDGET_NS (4500 * FL_MS)
enum { EDE_NO_REACHABLE_AUTHORITY = 22, EDE_NETWORK_ERROR = 23, WHY_MAX = 192, ATTEMPTS_MAX = 100, RCODES = 24 };

/* What a shard has for an instance. */
struct local { struct fl_up_net *net; struct fl_upstream *up[]; };

/* A query's way through stanzas and servers; in its arena. */
struct trip {
	struct fl_query *q;
	struct fl_ticket ticket;
	struct fwd_stanza *st;
	struct fwd_server *server;      /* asked now, or last */
	uint8_t order[FWD_MAX + 1], at; /* servers of the stanza, and which is next */
	uint8_t *many;                  /* order, when the stanza names more servers than that (files) */
	unsigned fails, attempts, failovers;
	uint64_t deadline_ns, asked_ns;
	bool out, back, counted;        /* asked; answered; in st->concurrent */
	int ret;                        /* of the last exchange */
	const char *why;
	struct fl_message m;
	struct fl_up_ask ask;
};

/* ---- stanzas ---- */

static bool takes(const struct fwd_stanza *st, struct fl_name n)
{
	if (!fl_name_under(n, st->from))
		return false;
	return !st->except.n || fl_name_eq(n, st->from) || fl_zones_match(&st->except, n) < 0;
}

static struct fwd_stanza *stanza_for(struct fwd *f, unsigned i, struct fl_name n)
{
	for (; i < f->n; i++)
		if (takes(&f->stanza[i], n))
			return &f->stanza[i];
	return NULL;
}

static uint8_t *order_of(struct trip *t) { return t->many ? t->many : t->order; }

static void order(struct trip *t)
{
	struct fwd_stanza *st = t->st;
	uint8_t *o = order_of(t);
	unsigned n = st->n, first;
	for (unsigned i = 0; i < n; i++)
		o[i] = (uint8_t)i;
	if (n == 1 || st->policy == FWD_SEQUENTIAL)
		return;
	if (st->policy == FWD_ROUND_ROBIN) {
		first = __atomic_add_fetch(&st->robin, 1, __ATOMIC_RELAXED) % n;
		memmove(o + 1, o, first);
		o[0] = (uint8_t)first;
		return;
	}
	for (unsigned i = n - 1; i; i--) {
		unsigned k = fl_rng_below(t->q->shard->rng, i + 1);
		uint8_t x = o[i];
		o[i] = o[k];
		o[k] = x;
	}
}

/* Enters a stanza: false when it has no room. */
static bool enter(struct trip *t, struct fwd_stanza *st)
{
	t->st = st;
	t->at = 0;
	t->fails = t->attempts = t->failovers = 0;
	t->ret = 0;
	t->why = NULL;
	t->many = NULL;
	uint64_t budget = (uint64_t)st->read_ns > BUDGET_NS ? (uint64_t)st->read_ns : BUDGET_NS;
	t->deadline_ns = fl_now(t->q->shard) + budget;
	if (!st->max_concurrent)
		return true;
	t->counted = true;
	return __atomic_add_fetch(&st->concurrent, 1, __ATOMIC_RELAXED) <= st->max_concurrent;
}

static void leave(struct trip *t)
{
	if (t->counted)
		__atomic_fetch_sub(&t->st->concurrent, 1, __ATOMIC_RELAXED);
	t->counted = false;
}

/* ---- one exchange ---- */

static void back(struct fl_up_ask *a, int ret, const uint8_t *msg, size_t n)
{
	struct trip *t = (struct trip *)((char *)a - offsetof(struct trip, ask));
	struct fl_query *q = t->q;
	char why[WHY_MAX];
	t->out = false;
	t->back = true;
	t->ret = ret;
	fl_forward_tap(t->server, q, a, fl_loop_now(q->shard->loop) - t->asked_ns, ret ? NULL : msg, n);
	if (ret) {
		fl_upstream_why(a, ret, why, sizeof why);
		t->why = fl_arena_str(q->arena, fl_str(why)).p;
	} else {
		t->ret = fl_message_parse(&t->m, q->arena, msg, n);
	}
	if (t->ret == -EBADMSG && !a->tcp) {    /* cut in the middle of a record, most likely: the client shall ask over TCP */
		t->m.n = 0;
		t->m.opt = NULL;
		t->m.flags |= FL_TC;
		t->ret = 0;
	} else if (t->ret == -EBADMSG) {
		t->why = "dns: reply does not unpack";
	}
	if (!t->ret && t->m.rcode < RCODES) {
		double took = (double)(fl_loop_now(q->shard->loop) - t->asked_ns) / 1e9;
		fl_grid_observe(t->server->took, q->shard->id, t->m.rcode, took);
	}
	fl_wake(t->ticket, 0);
}

/* The query as the plugins above left it; what it holds besides question and EDNS is not passed on. */
static struct trip *trip_new(struct fl_query *q)
{
	size_t opts = 0;
	for (const struct fl_edns *o = q->ask.opt; o; o = o->next)
		opts += 4u + o->len;
	size_t cap = FL_HEADER + q->qname.len + 4u + 11u + opts;
	struct trip *t = cap > UINT16_MAX ? NULL : fl_alloc(q->arena, sizeof *t + FL_UP_ROOM + cap);
	if (!t)
		return NULL;
	memset(t, 0, sizeof *t);
	uint16_t flags = (uint16_t)((q->ask.flags & (FL_RD | FL_AD | FL_CD)) | q->client->opcode << 11);
	uint16_t edns = (uint16_t)((q->client->edns_flags & 0x7fff) | (q->ask.dnssec_ok ? 0x8000 : 0));
	t->q = q;
	t->ticket = fl_ticket(q);
	t->ask.msg = (uint8_t *)(t + 1) + FL_UP_ROOM;
	t->ask.len = (uint16_t)fl_pack_query(t->ask.msg, cap, 0, flags, q->qname, q->qtype, q->qclass, q->ask.edns,
					     q->ask.udp_size, edns, q->ask.opt);
	t->ask.question = (uint16_t)(q->qname.len + 4u);
	t->ask.done = back;
	return t;
}

static void ask(struct trip *t, bool tcp)
{
	struct fl_query *q = t->q;
	struct local *l = fl_local(q);
	struct fwd_server *v = t->server;
	uint64_t now = fl_now(q->shard), wait = (uint64_t)v->stanza->read_ns;
	uint64_t left = t->deadline_ns > now ? t->deadline_ns - now : 0;
	char why[WHY_MAX];
	t->asked_ns = now;
	t->ret = fl_upstream_ask(l->up[v->index], &t->ask, tcp, left < wait ? left : wait);
	t->out = !t->ret;
	t->back = t->ret;
	if (t->ret) {
		fl_upstream_why(&t->ask, t->ret, why, sizeof why);
		t->why = fl_arena_str(q->arena, fl_str(why)).p;
	}
	fl_grid_add(t->ask.reused ? v->kept : v->opened, q->shard->id, tcp, 1);
}

/* The server to ask now; NULL: all are down, and that is the end. */
static struct fwd_server *choose(struct trip *t)
{
	struct fwd_stanza *st = t->st;
	for (;;) {
		if (t->at >= st->n) {
			t->at = 0;
			t->fails = 0;
		}
		struct fwd_server *v = &st->server[order_of(t)[t->at++]];
		if (!fl_forward_down(v))
			return v;
		if (++t->fails < st->n)
			continue;
		fl_grid_add(st->in->broken, t->q->shard->id, 0, 1);
		if (st->failfast)
			return NULL;
		/* Perhaps the probes fail, not the servers. */
		return &st->server[fl_rng_below(t->q->shard->rng, st->n)];
	}
}

static bool may_try(const struct trip *t)
{
	unsigned max = t->st->attempts_set ? t->st->max_attempts : 2 * t->st->n;
	if (!max || max > ATTEMPTS_MAX) /* errors that come at once would keep the shard busy until the deadline */
		max = ATTEMPTS_MAX;
	return fl_now(t->q->shard) < t->deadline_ns && t->attempts < max;
}

/* Asks the next server, and those after it while nothing goes out. True: one was asked. */
static bool attempt(struct trip *t)
{
	while (may_try(t)) {
		t->server = choose(t);
		if (!t->server)
			return false;
		ask(t, t->st->force_tcp || (!t->st->prefer_udp && t->q->client->tcp));
		if (t->out)
			return true;
		t->attempts++;
		fl_forward_ill(t->server);
		if (t->fails >= t->st->n)
			return false;
	}
	return false;
}

/* ---- what came back ---- */

static enum fl_verdict relay(struct trip *t)
{
	enum { PASSED = FL_AA | FL_TC | FL_RD | FL_RA | FL_AD | FL_CD };
	struct fl_query *q = t->q;
	for (unsigned i = 0; i < t->m.n; i++)
		if (t->m.item[i].owner.wire == t->m.qname.wire && t->m.qname.len == q->qname.len &&
		    !memcmp(t->m.qname.wire, q->qname.wire, q->qname.len))
			t->m.item[i].owner = q->qname;
	q->res = (struct fl_reply){ .item = t->m.item, .n = t->m.n, .cap = t->m.n, .rcode = t->m.rcode, .opt = t->m.opt };
	q->res.set = t->m.flags & PASSED;
	q->res.clear = (uint16_t)~t->m.flags & PASSED;
	leave(t);
	return FL_DONE;
}

static enum fl_verdict give_up(struct trip *t)
{
	struct fl_query *q = t->q;
	leave(t);
	if (t->ret == -ENOMEM)
		return fl_yield(q, -ENOMEM);
	enum fl_verdict v = fl_fail(q, FL_SERVFAIL, t->why ? t->why : "no healthy proxies");
	q->res.has_ede = true;
	q->res.ede = t->ret && t->ret != -ETIMEDOUT ? EDE_NETWORK_ERROR : EDE_NO_REACHABLE_AUTHORITY;
	return v;
}

static bool rcode_in(uint32_t mask, uint16_t rcode) { return rcode < 32 && mask >> rcode & 1; }

static bool empty_answer(const struct fl_message *m)
{
	for (unsigned i = 0; i < m->n; i++)
		if (m->item[i].section == FL_ANSWER)
			return false;
	return true;
}

/* `next`: this answer is not good enough, the stanza below shall try. */
static bool passes_on(const struct trip *t)
{
	const struct fwd_stanza *st = t->st;
	if (st + 1 == st->in->stanza + st->in->n)
		return false;
	return rcode_in(st->next, t->m.rcode) || (st->next_on_nodata && !t->m.rcode && empty_answer(&t->m));
}

/* Judges the exchange that is over: 0 when another server is to be asked. */
enum judged { TRY_ON, OUT, RELAY, PASS, FAIL };
static enum judged judge(struct trip *t)
{
	struct fwd_stanza *st = t->st;
	t->back = false;
	if (t->ret == -ENOMEM)
		return FAIL;
	if (t->ret) {
		t->attempts++;
		fl_forward_ill(t->server);
		return t->fails < st->n ? TRY_ON : FAIL;
	}
	if (t->m.flags & FL_TC && st->prefer_udp && !t->ask.tcp) {
		ask(t, true);
		return t->out ? OUT : judge(t);
	}
	if (rcode_in(st->failover, t->m.rcode) && ++t->failovers < st->n)
		return TRY_ON;
	return passes_on(t) ? PASS : RELAY;
}

/* ---- the plugin ---- */

static enum fl_verdict reject(struct trip *t)
{
	fl_grid_add(t->st->in->rejected, t->q->shard->id, 0, 1);
	leave(t);
	return fl_fail(t->q, FL_REFUSED, t->st->too_many);
}

/* Begins with a stanza; NULL: none takes the name. */
static enum fl_verdict go(struct trip *t, struct fwd_stanza *st)
{
	struct fl_query *q = t->q;
	if (!st) {
		*fl_slot(q) = NULL;
		return FL_NEXT;
	}
	if (!enter(t, st))
		return reject(t);
	if (st->n > FL_COUNT(t->order) && !(t->many = fl_alloc(q->arena, st->n)))
		t->ret = -ENOMEM;
	else
		order(t);
	return !t->ret && attempt(t) ? FL_WAIT : give_up(t);
}

static enum fl_verdict query(void *inst, struct fl_query *q)
{
	struct fwd *f = inst;
	struct trip *t = *fl_slot(q);
	if (!t) {
		struct fwd_stanza *st = stanza_for(f, 0, q->qname);
		if (!st)
			return FL_NEXT;
		t = trip_new(q);
		if (!t)
			return fl_yield(q, -ENOMEM);
		*fl_slot(q) = t;
		return go(t, st);
	}
	if (!t->back)
		return FL_WAIT;
	switch (judge(t)) {
	case OUT:
		return FL_WAIT;
	case RELAY:
		return relay(t);
	case PASS:
		leave(t);
		return go(t, stanza_for(f, (unsigned)(t->st - f->stanza) + 1, q->qname));
	case TRY_ON:
		if (attempt(t))
			return FL_WAIT;
		/* fall through */
	case FAIL:
		break;
	}
	return give_up(t);
}

static void cancel(void *inst, struct fl_query *q)
{
	struct trip *t = *fl_slot(q);
	(void)inst;
	if (!t)
		return;
	fl_upstream_cancel(&t->ask);
	t->out = false;
	leave(t);
}

static int shard_start(void *inst, struct fl_shard *sh, void **local)
{
	struct fwd *f = inst;
	struct local *l = fl_xalloc(sizeof *l + f->nservers * sizeof l->up[0]);
	l->net = fl_up_net_create(sh->loop, sh->pool);
	for (unsigned i = 0; i < f->n; i++)
		for (unsigned k = 0; k < f->stanza[i].n; k++) {
			struct fwd_server *v = &f->stanza[i].server[k];
			l->up[v->index] = fl_upstream_create(l->net, &v->conf);
		}
	*local = l;
	return 0;
}

static void shard_stop(void *inst, struct fl_shard *sh, void *local)
{
	struct fwd *f = inst;
	struct local *l = local;
	(void)sh;
	for (unsigned i = 0; i < f->nservers; i++)
		fl_upstream_destroy(l->up[i]);
	fl_up_net_destroy(l->net);
	free(l);
}

static int meta(void *inst, struct fl_query *q, struct fl_str label, struct fl_str *value)
{
	struct trip *t = *fl_slot(q);
	(void)inst;
	if (!t || !t->server || !fl_str_is(label, "forward/upstream"))
		return -ENOENT;
	*value = fl_str(t->server->to);
	return FL_LEARNT;
}

static const struct fl_opt opts[] = {
	{ "", "FROM TO...", "names below FROM are asked of TO: IP[:PORT], dns://IP[:PORT], resolv.conf files; at most 15" },
	{ "except", "ZONE...", "not those below these" },
	{ "force_tcp", "", "TCP, whatever the client used" },
	{ "prefer_udp", "", "UDP first, whatever the client used; TCP when the answer is truncated" },
	{ "expire", "DURATION", "sockets are kept so long (10s)" },
	{ "max_age", "DURATION", "later" },
	{ "max_idle_conns", "N", "later" },
	{ "read_timeout", "DURATION", "how long one server is waited for (2s)" },
	{ "max_fails", "N", "failed probes in a row that make a server down (2); 0: no probes, never down" },
	{ "max_connect_attempts", "N", "errors after which a query fails (2 for each server); 0: no limit" },
	{ "health_check", "DURATION [no_rec] [domain NAME]", "pause between probes of one that failed (0.5s), what is asked" },
	{ "policy", "random|round_robin|sequential", "in which order servers are tried (random)" },
	{ "max_concurrent", "N", "beyond N queries in flight: REFUSED" },
	{ "next", "RCODE...", "the next forward of the block takes what was answered so" },
	{ "next_on_nodata", "", "the next forward takes what was answered without records" },
	{ "failover", "RCODE...", "the next server is tried when one answers so" },
	{ "failfast_all_unhealthy_upstreams", "", "SERVFAIL at once while all are down" },
	{ "tls", "[CERT KEY] [CA]", "later" },
	{ "tls_servername", "NAME", "later" },
	{ "doh_method", "GET|POST", "later" },
	{ "resolver", "IP[:PORT]...", "later" },
	{ "source_address", "IP", "later" },
	{ NULL },
};

FL_PLUGIN(forward, .opts = opts, .setup = fl_forward_setup, .link = fl_forward_link, .shard_start = shard_start, .shard_stop = shard_stop, .query = query,
	  .cancel = cancel, .meta = meta);

/* A query's way: which server, what came back, and whether that is the answer. What CoreDNS does, bounded below the 5 s after which a stub
 * resolver gives up. */
#include "plugin/forward/forward_int.h"
#include "dns/relay.h"
#include <errno.h>
#include <stdio.h>

/* A client's resolver waits 5 s; CoreDNS would try until 6 s with two upstreams (plugin/forward/forward.go). */
#define BUDGET_NS (4500 * FL_MS)
enum { EDE_OTHER = 0, EDE_NO_REACHABLE_AUTHORITY = 22, EDE_NETWORK_ERROR = 23, WHY_MAX = 300, ATTEMPTS_MAX = 100, RCODES = 24, KEEPALIVE = 11 };

/* A question that is out, or came back. */
struct leg {
	struct trip *trip;
	struct fwd_server *server;
	struct fwd_peer *peer;
	uint64_t asked_ns;
	bool out, back, padded, quic;   /* quic: its message is for that */
	int ret;
	const char *why;
	struct fl_message m;
	struct fl_up_ask ask;
};

/* In the query's arena. */
struct trip {
	struct fl_query *q;
	struct fl_ticket ticket;
	struct fwd_stanza *st;
	struct fwd_view *view;          /* NULL: in no stanza now */
	uint8_t order[FWD_MAX + 1], at; /* servers of the set, and which is next */
	uint8_t *many;                  /* order, when the set has more servers than that (files) */
	unsigned fails, attempts, failovers;
	uint64_t began_ns, deadline_ns, hedge_ns;       /* hedge_ns: when another server is asked too; 0: not any more */
	bool counted;                   /* in st->concurrent */
	uint16_t *equal;                /* where it is counted, while it is in a stanza */
	int ret;                        /* of the last exchange that failed */
	const char *why, *asked;
	struct leg *best, *hedge;
	struct leg leg;
};

/* ---- stanzas ---- */

static uint8_t *order_of(struct trip *t) { return t->many ? t->many : t->order; }

static struct fwd_server *server_at(struct trip *t, unsigned i) { return &t->view->set->server[order_of(t)[i]]; }

static uint16_t *equals_of(struct fwd_local *l, const struct fl_query *q)
{
	const struct fl_addr *peer = &q->client->peer;
	uint64_t h = fl_name_hash(q->qname) ^ fl_hash(peer->b, peer->len) ^ q->qtype * 0x9e3779b97f4a7c15ull;
	return &l->equal[(h ^ h >> 32) % FWD_EQUALS];
}

/* Enters a stanza: false when it has no room. */
static bool enter(struct trip *t, struct fwd_stanza *st)
{
	struct fwd_local *l = fl_local(t->q);
	t->st = st;
	t->view = l->view[st->index];
	t->view->trips++;
	t->equal = equals_of(l, t->q);
	++*t->equal;
	t->at = 0;
	t->fails = t->attempts = t->failovers = 0;
	t->hedge_ns = 0;
	t->ret = 0;
	t->why = NULL;
	t->many = NULL;
	uint64_t budget = (uint64_t)st->read_ns > BUDGET_NS ? (uint64_t)st->read_ns : BUDGET_NS;
	t->deadline_ns = t->q->root->born_ns + budget;  /* one for all that a client asked for: stanzas, joined misses, searched names */
	if (!st->max_concurrent)
		return true;
	t->counted = true;
	return __atomic_add_fetch(&st->concurrent, 1, __ATOMIC_RELAXED) <= st->max_concurrent;
}

static void drop(struct leg *leg)
{
	if (!leg)
		return;
	if (leg->out) {                 /* it was asked, though nobody waits any longer; whose socket that is may be gone */
		struct fl_query *q = leg->trip->q;
		leg->ask.fd = -1;
		fl_forward_tap(leg->server, q, &leg->ask, fl_loop_now(q->shard->loop) - leg->asked_ns, NULL, 0);
	}
	fl_upstream_cancel(&leg->ask);
	leg->out = leg->back = false;
}

static void leave(struct trip *t)
{
	struct fwd_view *v = t->view;
	if (t->counted)
		__atomic_fetch_sub(&t->st->concurrent, 1, __ATOMIC_RELAXED);
	t->counted = false;
	if (t->equal)
		--*t->equal;
	t->equal = NULL;
	drop(&t->leg);
	drop(t->hedge);
	if (t->hedge_ns)
		fl_wake_at(t->q, 0);
	t->hedge_ns = 0;
	if (!v)
		return;
	if (t->asked)                   /* the set may go before the query */
		t->asked = fl_arena_str(t->q->arena, fl_str(t->asked)).p;
	t->view = NULL;
	if (!--v->trips && v->old)
		fl_forward_view_free(v);
}

/* ---- one exchange ---- */

static enum fwd_proto proto_of(const struct fl_up_ask *a, const struct fwd_server *v)
{
	switch (v->conf.kind) {
	case FL_UP_DNS:
		return a->tcp ? FWD_TCP : FWD_UDP;
	case FL_UP_TLS:
		return FWD_TCP_TLS;
	case FL_UP_QUIC:
		return FWD_QUIC;
	default:                        /* CoreDNS does not count those of HTTPS */
		return FWD_NONE;
	}
}

static void count_odd(struct leg *leg)
{
	const struct fl_up_stats *s = fl_upstream_stats(leg->peer->up);
	unsigned slot = leg->trip->q->shard->id;
	if (s->wrong != leg->peer->wrong)
		fl_grid_add(leg->server->odd, slot, 0, s->wrong - leg->peer->wrong);
	if (s->stray != leg->peer->stray)
		fl_grid_add(leg->server->odd, slot, 1, s->stray - leg->peer->stray);
	leg->peer->wrong = s->wrong;
	leg->peer->stray = s->stray;
}

static void keep_why(struct leg *leg, int ret)
{
	char why[WHY_MAX];
	fl_upstream_why(&leg->ask, ret, why, sizeof why);
	leg->why = fl_arena_str(leg->trip->q->arena, fl_str(why)).p;
}

static void back(struct fl_up_ask *a, int ret, const uint8_t *msg, size_t n)
{
	struct leg *leg = (struct leg *)((char *)a - offsetof(struct leg, ask));
	struct fl_query *q = leg->trip->q;
	leg->out = false;
	leg->back = true;
	leg->ret = ret;
	count_odd(leg);
	if (ret)
		keep_why(leg, ret);
	else
		leg->ret = fl_message_parse(&leg->m, q->arena, msg, n);
	if (leg->ret == -EBADMSG && !a->tcp) {  /* cut in the middle of a record, most likely: the client shall ask over TCP */
		leg->m.n = 0;
		leg->m.opt = NULL;
		leg->m.flags |= FL_TC;
		leg->ret = 0;
	} else if (leg->ret == -EBADMSG) {
		leg->why = "dns: reply does not unpack";
	}
	uint64_t took = fl_loop_now(q->shard->loop) - leg->asked_ns;
	fl_forward_tap(leg->server, q, a, took, ret ? NULL : msg, n);
	if (!leg->ret) {
		fl_forward_took(&leg->peer->times, took);
		fl_forward_heard(leg->server);
	}
	if (!leg->ret && leg->m.rcode < RCODES)
		fl_grid_observe(leg->server->took, q->shard->id, leg->m.rcode, (double)took / 1e9);
	fl_wake(leg->trip->ticket, 0);
}

/* edns-tcp-keepalive is a breach of protocol over QUIC (RFC 9250 §5.5.2). The options without it; false: no memory. */
static bool drop_keepalive(struct fl_arena *a, const struct fl_edns *from, struct fl_edns **to)
{
	for (*to = NULL; from; from = from->next) {
		if (from->code == KEEPALIVE)
			continue;
		if (!(*to = fl_copy(a, from, sizeof *from)))
			return false;
		to = &(*to)->next;
		*to = NULL;
	}
	return true;
}

static bool message(struct leg *leg, bool pad, bool quic)
{
	struct fl_query *q = leg->trip->q;
	struct fl_edns *all = q->ask.opt;
	if (leg->ask.msg && leg->padded == pad && leg->quic == quic)
		return true;
	bool ok = !quic || drop_keepalive(q->arena, all, &q->ask.opt);
	leg->ask.msg = ok ? fl_relay_query(q, pad, &leg->ask.len) : NULL;
	q->ask.opt = all;
	if (!leg->ask.msg)
		return false;
	leg->quic = quic;
	leg->ask.question = (uint16_t)(q->qname.len + 4u);
	leg->ask.name = leg->trip->st->mix_case ? q->qname.wire : NULL;
	leg->ask.done = back;
	leg->padded = pad;
	return true;
}

static bool transfer(const struct fl_query *q) { return q->qtype == FL_T_AXFR || q->qtype == FL_T_IXFR; }

static void ask(struct leg *leg, struct fwd_server *v, bool tcp)
{
	struct trip *t = leg->trip;
	struct fl_query *q = t->q;
	uint64_t now = fl_now(q->shard), wait = (uint64_t)t->st->read_ns;
	uint64_t left = t->deadline_ns > now ? t->deadline_ns - now : 0;
	leg->server = v;
	leg->peer = &t->view->peer[v - t->view->set->server];
	leg->asked_ns = now;
	leg->out = false;
	leg->back = true;
	t->asked = v->to;
	bool quic = v->conf.kind == FL_UP_QUIC;
	if (quic && transfer(q)) {
		leg->why = "proxy: unsupported request: zone transfers over DoQ require multi-message response support";
		leg->ret = -EOPNOTSUPP;
		return;
	}
	if (!message(leg, v->conf.kind != FL_UP_DNS && fl_relay_may_pad(q), quic)) {
		leg->ret = -ENOMEM;
		return;
	}
	leg->ret = fl_upstream_ask(leg->peer->up, &leg->ask, tcp, left < wait ? left : wait);
	leg->out = !leg->ret;
	leg->back = leg->ret;
	if (leg->ret)
		keep_why(leg, leg->ret);
	enum fwd_proto proto = proto_of(&leg->ask, v);
	if (proto < FWD_PROTOS)
		fl_grid_add(leg->ask.reused ? v->kept : v->opened, q->shard->id, proto, 1);
}

/* The exchange failed. */
static void failed(struct leg *leg)
{
	struct trip *t = leg->trip;
	leg->back = false;
	t->ret = leg->ret;
	t->why = leg->why;
	t->attempts++;
	fl_forward_ill(leg->server);
}

/* The server to ask now; NULL: all are down, and that is the end. */
static struct fwd_server *choose(struct trip *t)
{
	struct fwd_stanza *st = t->st;
	unsigned n = t->view->set->n;
	for (;;) {
		if (t->at >= n) {
			t->at = 0;
			t->fails = 0;
		}
		struct fwd_server *v = server_at(t, t->at++);
		if (!fl_forward_down(v))
			return v;
		if (++t->fails < n)
			continue;
		fl_grid_add(st->in->broken, t->q->shard->id, 0, 1);
		if (st->failfast)
			return NULL;
		/* Perhaps the probes fail, not the servers. */
		return &t->view->set->server[fl_rng_below(t->q->shard->rng, n)];
	}
}

static bool may_try(const struct trip *t)
{
	unsigned max = t->st->attempts_set ? t->st->max_attempts : 2 * t->view->set->n;
	if (!max || max > ATTEMPTS_MAX) /* errors that come at once would keep the shard busy until the deadline */
		max = ATTEMPTS_MAX;
	return fl_now(t->q->shard) < t->deadline_ns && t->attempts < max;
}

static bool over_tcp(const struct trip *t) { return t->st->force_tcp || (!t->st->prefer_udp && t->q->client->tcp); }

/* Asks the next server, and those after it while nothing goes out. True: one was asked. */
static bool attempt(struct trip *t)
{
	while (may_try(t)) {
		struct fwd_server *v = choose(t);
		if (!v)
			return false;
		ask(&t->leg, v, over_tcp(t));
		if (t->leg.out) {
			if (t->st->hedge && t->view->set->n > 1 && !transfer(t->q)) {
				t->hedge_ns = fl_now(t->q->shard) + fl_forward_patience(t->st, &t->leg.peer->times);
				fl_wake_at(t->q, t->hedge_ns);
			}
			return true;
		}
		if (t->leg.ret == -EOPNOTSUPP) {        /* not the server's fault, and no other is asked (plugin/forward/forward.go) */
			t->ret = t->leg.ret;
			t->why = t->leg.why;
			return false;
		}
		failed(&t->leg);
		if (t->ret == -ENOMEM || t->fails >= t->view->set->n)
			return false;
	}
	return false;
}

/* ---- the hedge ---- */

/* The next one in order that is up and not out already; NULL: there is none. */
static struct fwd_server *another(struct trip *t)
{
	unsigned n = t->view->set->n;
	for (unsigned i = 0; i < n; i++) {
		unsigned at = (t->at + i) % n;
		struct fwd_server *v = server_at(t, at);
		if (v == t->leg.server || fl_forward_down(v))
			continue;
		t->at = (uint8_t)(at + 1);
		return v;
	}
	return NULL;
}

/* The first is slow: a second one is asked too. */
static void hedge(struct trip *t)
{
	struct fwd_server *v = another(t);
	t->hedge_ns = 0;
	fl_wake_at(t->q, 0);
	if (!v || (t->hedge && t->hedge->out))
		return;
	if (!t->hedge) {
		t->hedge = fl_zalloc(t->q->arena, sizeof *t->hedge);
		if (!t->hedge)
			return;
		t->hedge->trip = t;
	}
	ask(t->hedge, v, over_tcp(t));
	fl_grid_add(v->hedged, t->q->shard->id, 0, 1);
}

/* ---- what came back ---- */

static enum fl_verdict relay(struct trip *t)
{
	fl_relay_reply(t->q, &t->best->m, t->st->mix_case, t->best->padded);
	leave(t);
	return FL_DONE;
}

/* Nobody was asked. */
static const char *nobody(const struct trip *t)
{
	return fl_now(t->q->shard) < t->deadline_ns ? "no healthy proxies" : "no time was left to ask";
}

/* "192.0.2.1:53: i/o timeout": who, and the last of the words. */
static const char *in_short(struct trip *t)
{
	const char *last = t->why;
	for (const char *p; last && (p = strstr(last, ": "));)
		last = p + 2;
	return last && t->asked ? fl_arena_printf(t->q->arena, "%s: %s", t->asked, last).p : nobody(t);
}

static enum fl_verdict give_up(struct trip *t)
{
	struct fl_query *q = t->q;
	bool hurried = t->began_ns + (uint64_t)t->st->read_ns > t->deadline_ns;
	if (t->ret == -EOPNOTSUPP) {
		leave(t);
		return fl_fail(q, FL_NOTIMP, t->why);
	}
	bool full = t->ret == -ENOMEM, loop = t->ret == -ELOOP; /* full: by a reply, most likely, that unpacks to more than a query may hold */
	const char *text = full ? "no memory for the reply" : loop ? "the same question is out too often: a loop?" : in_short(t);
	leave(t);
	enum fl_verdict v = fl_fail(q, FL_SERVFAIL, full || !t->why ? text : t->why);
	q->res.has_ede = true;
	q->res.ede = full || loop ? EDE_OTHER : t->ret && t->ret != -ETIMEDOUT ? EDE_NETWORK_ERROR : EDE_NO_REACHABLE_AUTHORITY;
	q->res.ede_text = text;
	q->res.live = hurried && (!t->ret || t->ret == -ETIMEDOUT);     /* others took the time: no cache shall say that of the name */
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
	const struct fl_message *m = &t->best->m;
	if (st + 1 == st->in->stanza + st->in->n)
		return false;
	return rcode_in(st->next, m->rcode) || (st->next_on_nodata && !m->rcode && empty_answer(m));
}

/* While another server may still do better, these are not taken. */
static bool good(const struct trip *t, const struct leg *leg)
{
	uint16_t r = leg->m.rcode;
	return r != FL_SERVFAIL && r != FL_REFUSED && r != FL_NOTIMP && r != FL_FORMERR && !rcode_in(t->st->failover, r);
}

enum judged { TRY_ON, OUT, RELAY, PASS, FAIL };

static enum judged take(struct trip *t, struct leg *leg)
{
	t->best = leg;
	t->asked = leg->server->to;
	if (leg == t->hedge)
		fl_grid_add(leg->server->won, t->q->shard->id, 0, 1);
	if (leg == t->hedge && t->leg.out)
		fl_forward_late(t->leg.server);
	return passes_on(t) ? PASS : RELAY;
}

/* Truncated on UDP, and TCP is what the user wants then, or the client came by QUIC and has no TCP to go to: true when it is asked so. */
static bool ask_again(struct leg *leg)
{
	const struct trip *t = leg->trip;
	if (!(leg->m.flags & FL_TC) || (!t->st->prefer_udp && !t->q->client->whole) || leg->ask.tcp)
		return false;
	ask(leg, leg->server, true);
	if (leg->ret)
		failed(leg);
	return true;
}

/* What the legs brought: TRY_ON when another server is to be asked, OUT when there is something to wait for. */
static enum judged judge(struct trip *t)
{
	struct leg *leg[2] = { &t->leg, t->hedge }, *poor = NULL;
	for (unsigned i = 0; i < 2; i++) {
		if (!leg[i] || !leg[i]->back)
			continue;
		if (leg[i]->ret == -ENOMEM) {
			t->ret = -ENOMEM;
			return FAIL;
		}
		if (leg[i]->ret)
			failed(leg[i]);
		else if (ask_again(leg[i]))
			continue;
		else if (good(t, leg[i]))
			return take(t, leg[i]);
		else
			poor = leg[i];
	}
	if (t->leg.out || (t->hedge && t->hedge->out))
		return OUT;
	if (poor && rcode_in(t->st->failover, poor->m.rcode) && ++t->failovers < t->view->set->n)
		return TRY_ON;
	if (poor)
		return take(t, poor);
	return t->fails < t->view->set->n ? TRY_ON : FAIL;
}

/* ---- the plugin's ---- */

static enum fl_verdict reject(struct trip *t)
{
	fl_grid_add(t->st->in->rejected, t->q->shard->id, 0, 1);
	leave(t);
	return fl_fail(t->q, FL_REFUSED, t->st->too_many);
}

/* Servers that failed and have not answered a probe since come last: who knows whether they will be down. */
static void suspects_last(struct trip *t)
{
	uint8_t *o = order_of(t), good = 0;
	unsigned n = t->view->set->n;
	for (unsigned i = 0; i < n; i++) {
		uint8_t x = o[i];
		if (fl_forward_suspect(&t->view->set->server[x]))
			continue;
		memmove(o + good + 1, o + good, i - good);
		o[good++] = x;
	}
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
	unsigned n = t->view->set->n;
	if (*t->equal > FWD_EQUAL_MAX)
		t->ret = -ELOOP;
	else if (n > FL_COUNT(t->order) && !(t->many = fl_alloc(q->arena, n)))
		t->ret = -ENOMEM;
	else
		fl_policy_order(st->policy, order_of(t), n, q->shard->rng, &st->robin);
	if (!t->ret && n > 1)
		suspects_last(t);
	return !t->ret && attempt(t) ? FL_WAIT : give_up(t);
}

static enum fl_verdict go_on(struct fwd *f, struct trip *t)
{
	switch (judge(t)) {
	case OUT:
		if (t->hedge_ns && fl_now(t->q->shard) >= t->hedge_ns)
			hedge(t);
		return FL_WAIT;
	case RELAY:
		return relay(t);
	case PASS:
		leave(t);
		t->leg.ask.msg = NULL;  /* the next one may mix letters, or not */
		t->hedge = NULL;
		return go(t, fl_forward_stanza(f, t->st->index + 1, t->q->qname));
	case TRY_ON:
		if (attempt(t))
			return FL_WAIT;
		/* fall through */
	case FAIL:
		break;
	}
	return give_up(t);
}

enum fl_verdict fl_forward_query(void *inst, struct fl_query *q)
{
	struct fwd *f = inst;
	struct trip *t = *fl_slot(q);
	if (t)
		return go_on(f, t);
	struct fwd_stanza *st = fl_forward_stanza(f, 0, q->qname);
	if (!st)
		return FL_NEXT;
	t = fl_zalloc(q->arena, sizeof *t);
	if (!t)
		return fl_yield(q, -ENOMEM);
	t->q = q;
	t->began_ns = fl_now(q->shard);
	t->ticket = fl_ticket(q);
	t->leg.trip = t;
	*fl_slot(q) = t;
	return go(t, st);
}

void fl_forward_cancel(void *inst, struct fl_query *q)
{
	struct trip *t = *fl_slot(q);
	(void)inst;
	if (t)
		leave(t);
}

const char *fl_forward_asked(struct fl_query *q)
{
	struct trip *t = *fl_slot(q);
	return t ? t->asked : NULL;
}

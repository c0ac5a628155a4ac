/* chain.c: drives a query through its plugins. No recursion but lookups (FL_DEPTH_MAX deep), no allocation but the arena. */
#include "dns/chain.h"
#include "base/err.h"
#include <errno.h>
#include <limits.h>

enum { SERVFAIL = FL_SERVFAIL, REFUSED = FL_REFUSED };

struct fl_memo { struct fl_memo *next; struct fl_query q; };    /* a lookup, out or answered */
struct fl_defer { struct fl_defer *next; void (*fn)(void *arg); void *arg; };

static const char no_memory[] = "out of memory for this query", too_late[] = "deadline passed";

/* ---- verdicts and replies ---- */

enum fl_verdict fl_fail(struct fl_query *q, uint16_t rcode, const char *why)
{
	q->res = (struct fl_reply){ .rcode = rcode, .bare = true, .why = why };
	return FL_DONE;
}

enum fl_verdict fl_yield(struct fl_query *q, int ret)
{
	if (ret == -EAGAIN)
		return FL_WAIT;
	return fl_fail(q, SERVFAIL, ret == -ELOOP ? "lookups nested too deep" : ret == -ETIMEDOUT ? too_late : no_memory);
}

struct fl_item *fl_reply_add(struct fl_query *q, enum fl_section sec, struct fl_name owner,
			     const struct fl_rrset *set, bool shared)
{
	struct fl_reply *r = &q->res;
	if (r->n == r->cap) {
		unsigned cap = r->cap ? 2u * r->cap : 4;
		struct fl_item *item = fl_alloc(q->arena, cap * sizeof *item);
		if (!item)
			return NULL;
		if (r->n)
			memcpy(item, r->item, r->n * sizeof *item);
		r->item = item;
		r->cap = (uint16_t)cap;
	}
	struct fl_item *it = &r->item[r->n++];
	*it = (struct fl_item){ .owner = owner, .set = set, .ttl_max = UINT32_MAX, .section = (uint8_t)sec, .shared = shared };
	return it;
}

int fl_reply_copy(struct fl_query *q, const struct fl_reply *from)
{
	struct fl_item *item = NULL;
	if (from->n && !(item = fl_copy(q->arena, from->item, from->n * sizeof *item)))
		return -ENOMEM;
	q->res = *from;
	q->res.item = item;
	q->res.cap = from->n;
	return 0;
}

static int item_own(struct fl_query *q, struct fl_item *it)
{
	struct fl_rrset *set = fl_copy(q->arena, it->set, sizeof *set);
	if (!set || !(set->data = fl_copy(q->arena, it->set->data, set->len)))
		return -ENOMEM;
	if (it->owner.wire != q->client->qname.wire &&  /* that one is ours, and the packer knows it by its address */
	    !(it->owner.wire = fl_copy(q->arena, it->owner.wire, it->owner.len)))
		return -ENOMEM;
	it->set = set;
	it->shared = false;
	return 0;
}

int fl_reply_own(struct fl_query *q, struct fl_reply *r)
{
	int ret = 0;
	for (unsigned i = 0; i < r->n && !ret; i++)
		if (r->item[i].shared)
			ret = item_own(q, &r->item[i]);
	return ret;
}

/* ---- the run queue ---- */

static void enqueue(struct fl_query *q)
{
	if (q->queued)
		return;
	q->queued = true;
	q->round = q->shard->round;
	q->qnext = NULL;
	q->qprev = q->shard->run_last;
	*(q->qprev ? &q->qprev->qnext : &q->shard->run_first) = q;
	q->shard->run_last = q;
}

static void dequeue(struct fl_query *q)
{
	if (!q->queued)
		return;
	q->queued = false;
	*(q->qprev ? &q->qprev->qnext : &q->shard->run_first) = q->qnext;
	*(q->qnext ? &q->qnext->qprev : &q->shard->run_last) = q->qprev;
}

struct fl_ticket fl_ticket(struct fl_query *q)
{
	return (struct fl_ticket){ q, q->root, q->turn, q->root->serial };
}

void fl_wake(struct fl_ticket t, int why)
{
	if (t.root->serial != t.serial || t.q->turn != t.turn)
		return;
	t.q->why = why;
	enqueue(t.q);
}

void fl_wake_at(struct fl_query *q, uint64_t when_ns)
{
	q->wake_at = when_ns;
	q->shard->timer(q);
}

void fl_chain_timeout(struct fl_query *q)
{
	q->wake_at = 0;
	fl_wake(fl_ticket(q), -ETIMEDOUT);
}

/* ---- ends ---- */

/* Nothing that was meant for the function that just ran may reach the next one. */
static void leave(struct fl_query *q)
{
	q->turn++;
	q->why = 0;
	dequeue(q);
	if (q->wake_at)
		fl_wake_at(q, 0);
}

static void run_deferred(struct fl_query *q)
{
	struct fl_defer *d = q->defer;
	for (q->defer = NULL; d; d = d->next)
		d->fn(d->arg);
}

int fl_defer(struct fl_query *q, void (*fn)(void *arg), void *arg)
{
	struct fl_defer *d = fl_alloc(q->arena, sizeof *d);
	if (!d)
		return -ENOMEM;
	*d = (struct fl_defer){ q->defer, fn, arg };
	q->defer = d;
	return 0;
}

static const struct fl_link *here(struct fl_query *q)
{
	const struct fl_link *l = &q->chain->at[q->pos];
	q->self = l->self;
	return l;
}

/* Moves to the last plugin that is owed a reply(); false: none is. */
static bool rise(struct fl_query *q)
{
	for (int w = FL_LINKS_MAX / 64 - 1; w >= 0; w--) {
		if (!q->owed[w])
			continue;
		int bit = 63 - __builtin_clzll(q->owed[w]);
		q->owed[w] &= ~(1ull << bit);
		q->pos = (uint8_t)(w * 64 + bit);
		return q->up = true;
	}
	return false;
}

static void cancel_here(struct fl_query *q)
{
	const struct fl_link *l = here(q);
	if (l->p->cancel)
		l->p->cancel(l->inst, q);
}

static void cancel(struct fl_query *q);

/* Lookups still out are of no use any more. */
static void abandon(struct fl_query *q)
{
	for (struct fl_memo **m = &q->memo; *m;) {
		if ((*m)->q.done) {
			m = &(*m)->next;
			continue;
		}
		cancel(&(*m)->q);
		*m = (*m)->next;
	}
	q->subs = 0;
}

/* Gives up what the parked function started. */
static void unpark(struct fl_query *q)
{
	abandon(q);
	cancel_here(q);
	q->parked = false;
}

/* Ends a query that nobody will hear: everyone who wrapped it learns. */
static void cancel(struct fl_query *q)
{
	if (q->parked)
		unpark(q);
	while (rise(q))
		cancel_here(q);
	q->done = true;
	leave(q);
	run_deferred(q);
}

/* Written by its shard alone; the main thread looks when it stops. */
static void count_parked(const struct fl_query *root, unsigned by)
{
	unsigned *n = &root->chain->parked[root->shard->id];
	__atomic_store_n(n, *n + by, __ATOMIC_RELAXED);
}

static void put(struct fl_query *root)
{
	run_deferred(root);
	if (root->counted)
		count_parked(root, UINT_MAX);
	root->serial++;
	root->shard->block_put(root);
}

static void keep_generation(struct fl_query *root)
{
	if (root->counted)
		return;
	root->counted = true;
	count_parked(root, 1);
}

void fl_chain_hold(struct fl_query *root)
{
	keep_generation(root);
	root->holds++;
}

void fl_chain_release(struct fl_query *root)
{
	if (!--root->holds && root->done)
		put(root);
}

static void finish(struct fl_query *q)
{
	struct fl_query *up = q->parent;
	if (!up) {
		q->done = true;
		q->holds++;
		if (!q->detached)
			q->shard->answer(q);
		fl_chain_release(q);
		return;
	}
	if (q->dropped)
		q->res = (struct fl_reply){ .rcode = SERVFAIL, .bare = true, .why = "dropped", .by = q->res.by };
	fl_chain_sent(q, &(struct fl_sent){ .took_ns = fl_now(q->shard) - q->born_ns });
	if (up->parked && fl_reply_own(q, &q->res))
		fl_fail(q, SERVFAIL, no_memory);
	q->done = true;
	run_deferred(q);
	if (--up->subs == 0 && up->parked)
		enqueue(up);
}

/* ---- the way down and up ---- */

static void owe(struct fl_query *q)
{
	q->owed[q->pos / 64] |= 1ull << q->pos % 64;
}

static enum fl_verdict call(struct fl_query *q)
{
	const struct fl_link *l = here(q);
	q->parked = false;
	return q->up ? l->p->reply(l->inst, q) : l->p->query(l->inst, q);
}

static enum fl_verdict down(struct fl_query *q, unsigned to)
{
	q->up = false;
	if (to >= q->chain->n)
		return to || q->chain->nbeside ? fl_fail(q, SERVFAIL, "no next plugin found") : fl_fail(q, REFUSED, NULL);
	q->pos = (uint8_t)to;
	return call(q);
}

static enum fl_verdict again(struct fl_query *q)
{
	if (q->again == FL_AGAIN_MAX)
		return fl_fail(q, SERVFAIL, "plugins below asked again too often");
	q->again++;
	owe(q);
	q->res = (struct fl_reply){ 0 };
	q->dropped = false;
	for (unsigned i = q->pos + 1u; i < q->chain->n; i++)
		q->slot[q->chain->at[i].self] = NULL;
	return down(q, q->pos + 1u);
}

/* Before the shard goes back to its loop: keep what is only lent, and the generation. */
static int park(struct fl_query *q)
{
	int ret = fl_reply_own(q, &q->res);
	for (struct fl_memo *m = q->memo; m && !ret; m = m->next)
		if (m->q.done)
			ret = fl_reply_own(q, &m->q.res);
	keep_generation(q->root);
	q->parked = true;
	return ret;
}

/* Goes on from verdict v until the query ends or parks; true: parked. */
static bool drive(struct fl_query *q, enum fl_verdict v)
{
	for (;;) {
		if (v == FL_WAIT) {
			if (!q->root->late && !park(q)) {
				if (!q->queued)
					q->why = 0;
				return true;
			}
			unpark(q);
			v = fl_fail(q, SERVFAIL, q->root->late ? too_late : no_memory);
		}
		if (v == FL_AGAIN && q->root->late)
			v = FL_DONE;
		if ((v == FL_DONE || v == FL_DROP) && !q->res.by && q->chain->n)
			q->res.by = q->chain->at[q->pos].p;
		leave(q);
		if (q->subs)
			abandon(q);
		switch (v) {
		case FL_WRAP:
			fl_assert(q->chain->at[q->pos].p->reply);
			owe(q);
			/* fall through */
		case FL_NEXT:
			fl_assert(!q->up);
			v = down(q, q->pos + 1u);
			break;
		case FL_AGAIN:
			fl_assert(q->up);
			v = again(q);
			break;
		case FL_DROP:
			q->dropped = true;
			/* fall through */
		case FL_DONE:
		case FL_WAIT:
			if (!rise(q)) {
				finish(q);
				return false;
			}
			v = call(q);
			break;
		}
	}
}

static bool run(struct fl_query *q)
{
	if (q->parked)
		return drive(q, call(q));
	return drive(q, down(q, q->detached && !q->parent ? q->pos + 1u : 0));
}

bool fl_chain_run(struct fl_query *q)
{
	return run(q);
}

void fl_chain_turn(struct fl_shard *sh)
{
	sh->round++;
	for (struct fl_query *q; (q = sh->run_first) && q->round != sh->round;) {
		dequeue(q);
		run(q);
	}
}

void fl_chain_expire(struct fl_query *q)
{
	if (q->done)
		return;
	if (!q->parked) {               /* detached, and not yet begun */
		cancel(q);
		put(q);
		return;
	}
	q->late = true;
	unpark(q);
	drive(q, fl_fail(q, SERVFAIL, too_late));
}

/* ---- lookups, detached queries, jobs ---- */

static int new_query(struct fl_query *n, const struct fl_query *q, struct fl_arena *a, struct fl_name name)
{
	n->qname = (struct fl_name){ fl_copy(a, name.wire, name.len), name.len };
	n->slot = fl_alloc(a, (q->chain->nslots + 1) * sizeof *n->slot);
	if (!n->qname.wire || !n->slot)
		return -ENOMEM;
	memset(n->slot, 0, (q->chain->nslots + 1) * sizeof *n->slot);
	return 0;
}

int fl_lookup(struct fl_query *q, struct fl_name n, uint16_t qtype, const struct fl_reply **answer)
{
	struct fl_memo *m;
	for (m = q->memo; m; m = m->next)
		if (m->q.qtype == qtype && m->q.qclass == q->qclass && fl_name_eq(m->q.qname, n))
			goto known;
	if (q->root->late)
		return -ETIMEDOUT;
	if (q->depth == FL_DEPTH_MAX)
		return -ELOOP;
	if (!(m = fl_alloc(q->arena, sizeof *m)))
		return -ENOMEM;
	m->q = (struct fl_query){ .qtype = qtype, .qclass = q->qclass, .ask = q->ask, .client = q->client, .arena = q->arena,
				  .shard = q->shard, .parent = q, .root = q->root, .depth = (uint8_t)(q->depth + 1),
				  .detached = q->detached, .born_ns = fl_now(q->shard) };
	m->q.qname = n;
	m->q.chain = q->shard->route(&m->q);
	if (new_query(&m->q, &m->q, q->arena, n))
		return -ENOMEM;
	m->next = q->memo;
	q->memo = m;
	q->subs++;
	if (q->shard->park_always)
		enqueue(&m->q);
	else
		run(&m->q);
known:
	*answer = &m->q.res;
	return m->q.done ? 0 : -EAGAIN;
}

/* The options of the request, in another arena. */
static int copy_options(struct fl_arena *a, const struct fl_edns *from, struct fl_edns **to)
{
	for (*to = NULL; from; from = from->next, to = &(*to)->next) {
		struct fl_edns *o = fl_alloc(a, sizeof *o);
		const uint8_t *data = fl_copy(a, from->data, from->len);
		if (!o || !data)
			return -ENOMEM;
		*o = (struct fl_edns){ from->code, from->len, data, NULL };
		*to = o;
	}
	return 0;
}

struct fl_query *fl_detach(struct fl_query *q)
{
	struct fl_query *d = q->detached ? NULL : q->shard->block_get(q->shard);
	if (!d)
		return NULL;
	struct fl_client *client = fl_copy(d->arena, q->client, sizeof *client);
	d->ask = q->ask;
	if (!client || new_query(d, q, d->arena, q->qname) || copy_options(d->arena, q->ask.opt, &d->ask.opt) ||
	    !(client->qname.wire = fl_copy(d->arena, client->qname.wire, client->qname.len))) {
		q->shard->block_put(d);
		return NULL;
	}
	client->packet = NULL; /* dies with q */
	client->packet_len = 0;
	d->client = client;
	d->qtype = q->qtype;
	d->qclass = q->qclass;
	d->chain = q->chain;
	d->root = d;
	d->pos = q->pos;
	d->detached = true;
	d->born_ns = fl_now(q->shard);
	keep_generation(d);
	owe(d);
	enqueue(d);
	return d;
}

void **fl_slot_of(struct fl_query *detached, const struct fl_query *q) { return &detached->slot[q->self]; }

int fl_offload(struct fl_query *q, int (*work)(void *arg), void *arg)
{
	int ret = q->shard->job(fl_ticket(q), work, arg);
	if (!ret)
		fl_chain_hold(q->root);
	return ret;
}

void fl_chain_job_done(struct fl_ticket t, int ret)
{
	fl_wake(t, ret);
	fl_chain_release(t.root);
}

/* ---- beside the way ---- */

int fl_chain_add(struct fl_chain *c, const struct fl_plugin *p, void *inst)
{
	if (c->n == FL_LINKS_MAX || c->nbeside == FL_LINKS_MAX || c->nslots == 2 * FL_LINKS_MAX)
		return -E2BIG;
	struct fl_link l = { p, inst, (uint8_t)c->nslots++ };
	if (p->query)
		c->at[c->n++] = l;
	if (p->sent || p->meta || p->collects || p->seal || p->flush || p->admit)
		c->beside[c->nbeside++] = l;
	c->filtered |= p->admit != NULL;
	c->seal_room += p->seal_room;
	return 0;
}

uint64_t fl_now(const struct fl_shard *sh) { return sh->now_ns; }
void *fl_local(struct fl_query *q) { return q->chain->local[q->shard->id][q->self]; }
void *fl_mine(struct fl_query *q) { return q->chain->mine[q->self]; }

/* Runs the hook of every plugin that has it, with the plugin's own slot in reach. */
#define BESIDE(q, hook, call)                                                                                   \
	do {                                                                                                    \
		uint8_t self = (q)->self;                                                                       \
		for (unsigned i = 0; i < (q)->chain->nbeside; i++) {                                            \
			const struct fl_link *l = &(q)->chain->beside[i];                                       \
			if (!l->p->hook)                                                                        \
				continue;                                                                       \
			(q)->self = l->self;                                                                    \
			call;                                                                                   \
		}                                                                                               \
		(q)->self = self;                                                                               \
	} while (0)

void fl_chain_sent(struct fl_query *q, const struct fl_sent *s)
{
	BESIDE(q, sent, l->p->sent(l->inst, q, s));
}

int fl_chain_seal(struct fl_query *q, uint8_t *msg, size_t *len, size_t cap)
{
	int ret = 0;
	BESIDE(q, seal, ret = ret ? ret : l->p->seal(l->inst, q, msg, len, cap));
	return ret;
}

int fl_meta(struct fl_query *q, struct fl_str label, struct fl_str *value)
{
	int ret = -ENOENT;
	bool any = false, all = false;
	BESIDE(q, collects, any = true; all |= l->p->collects(l->inst, q));
	if (any)
		BESIDE(q, meta, ret = ret < 0 ? l->p->meta(l->inst, q, label, value) : ret);
	return ret == FL_LEARNT || (ret == 0 && all) ? 0 : -ENOENT;
}

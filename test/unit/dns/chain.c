/* The shapes of the chain contract: every kind of plugin once, on its good and its bad day, every allocation failing in turn, the same
 * answers with every lookup parked. tools/faults puts deliberate faults into chain.c; all must be caught here (under ASan).
 * `unit_dns_chain time` prints what a pass costs. */
#include "dns/chain.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* A failed shape ends the program: what follows would only be noise. */
#define assert(c) ((c) ? (void)0 : (fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #c), abort()))

/* ---- a shard for tests: pool, answers as text, upstream packets and jobs in hand ---- */

struct block { struct fl_query q; struct fl_arena a; struct fl_client client; struct block *next; _Alignas(16) char mem[1280]; };
static struct block *pool;
static unsigned in_use, generation, n_answers, n_dropped, n_cancel, n_msgs, n_sealed, n_pointers;
static int n_deferred;
static char answer[4096];

static struct { struct fl_ticket t; unsigned used; } out[512];   /* what forward has out */
static unsigned n_out;
static struct { struct fl_ticket t; int (*work)(void *); void *arg; } job[8];
static unsigned n_job;

static struct fl_query *block_get(struct fl_shard *sh)
{
	struct block *b = pool;
	if (b)
		pool = b->next;
	else
		b = calloc(1, sizeof *b);
	uint32_t serial = b->q.serial;
	memset(&b->q, 0, sizeof b->q);
	fl_arena_init(&b->a, b->mem, sizeof b->mem, NULL, 0);
	b->q.serial = serial;
	b->q.arena = &b->a;
	b->q.shard = sh;
	in_use++;
	return &b->q;
}

static void block_put(struct fl_query *q)
{
	struct block *b = (struct block *)q;
	fl_arena_finish(&b->a);
	memset(b->mem, 0xdd, sizeof b->mem);
	b->next = pool;
	pool = b;
	in_use--;
}

static size_t pack(struct fl_query *q, char *to)
{
	n_pointers = 0;
	char *p = to + sprintf(to, "%d%s", q->res.rcode, q->res.bare ? " bare" : "");
	for (unsigned i = 0; i < q->res.n; i++) {
		const struct fl_item *it = &q->res.item[i];
		n_pointers += it->owner.wire == q->client->qname.wire;
		p += sprintf(p, " %.*s=%.*s", it->owner.len, it->owner.wire, (int)it->set->len, it->set->data);
	}
	return (size_t)(p - to);
}

static void send_one(struct fl_query *q)
{
	size_t len = pack(q, answer);
	assert(!fl_chain_seal(q, (uint8_t *)answer, &len, sizeof answer));
	answer[len] = 0;
	n_msgs++;
}

static void do_answer(struct fl_query *q)
{
	n_answers++;
	fl_chain_expire(q);     /* the client's connection breaks just now: nothing happens twice */
	if (q->dropped) {
		n_dropped++;
		fl_chain_sent(q, &(struct fl_sent){ 0 });
		return;
	}
	send_one(q);
	struct fl_stream *s = q->res.stream;
	while (s && s->fill(s, q) == 1)
		send_one(q);
	fl_chain_sent(q, &(struct fl_sent){ .bytes = (uint8_t *)answer, .len = strlen(answer) });
}

static int do_job(struct fl_ticket t, int (*work)(void *), void *arg)
{
	if (n_job == 8)
		return -EBUSY;
	job[n_job].t = t;
	job[n_job].work = work;
	job[n_job++].arg = arg;
	return 0;
}

static void do_timer(struct fl_query *q) { (void)q; }
static struct fl_link links[2][FL_LINKS_MAX];
static struct fl_chain chain = { .at = links[0], .beside = links[1], .parked = &generation };
static const struct fl_chain *route(struct fl_query *q) { (void)q; return &chain; }
static struct fl_shard shard = { .route = route, .block_get = block_get, .block_put = block_put,
				 .answer = do_answer, .job = do_job, .timer = do_timer };

/* Asks; `eaten` bytes of the block are gone before, and the arena may grow by `more`. */
static struct fl_query *ask_short(const char *name, size_t eaten, size_t more)
{
	struct fl_query *q = block_get(&shard);
	struct block *b = (struct block *)q;
	size_t n = strlen(name);
	b->a.limit = more;
	b->client = (struct fl_client){ .qname = { fl_copy(&b->a, name, n), (uint8_t)n }, .qtype = 1, .qclass = 1, .packet = (const uint8_t *)name,
					.packet_len = n };
	q->client = &b->client;
	q->qname = b->client.qname;
	q->qtype = q->qclass = 1;
	q->chain = &chain;
	q->root = q;
	q->slot = fl_alloc(&b->a, chain.nslots * sizeof *q->slot);
	memset(q->slot, 0, chain.nslots * sizeof *q->slot);
	b->a.p += eaten < (size_t)(b->a.end - b->a.p) ? eaten : (size_t)(b->a.end - b->a.p);
	fl_chain_run(q);
	return q;
}

static struct fl_query *ask(const char *name) { return ask_short(name, 0, 512 * 1024); }
static char first(struct fl_query *q) { return (char)q->qname.wire[0]; }
static struct fl_name name(const char *s) { return (struct fl_name){ (const uint8_t *)s, (uint8_t)strlen(s) }; }

/* ---- one plugin of each shape; the first letter of a name picks it ---- */

static unsigned n_sent, n_sent_inner;
static void book_sent(void *i, struct fl_query *q, const struct fl_sent *s)
{
	(void)i;
	q->parent ? n_sent_inner++ : n_sent++;
	assert(q->parent || q->dropped == !s->bytes);
	assert(q->res.by && !*fl_slot(q));
}
FL_PLUGIN(book, .sent = book_sent);

static int seal_msg(void *i, struct fl_query *q, uint8_t *m, size_t *len, size_t cap)
{
	(void)i;
	if (first(q) != 'S')
		return 0;
	assert(!*fl_slot(q) || *fl_slot(q) == &n_sealed);       /* its own slot, whoever ran last */
	*fl_slot(q) = &n_sealed;
	assert(*len + 2 < cap);
	m[(*len)++] = '!';
	n_sealed++;
	return 0;
}
FL_PLUGIN(seal, .seal = seal_msg);

static int label(void *i, struct fl_query *q, struct fl_str l, struct fl_str *v)
{
	(void)i;
	if (l.n != 4 || memcmp(l.p, "t/qn", 4))
		return -ENOENT;
	*v = (struct fl_str){ (const char *)q->client->qname.wire, q->client->qname.len };
	return 0;
}
FL_PLUGIN(labels, .meta = label);

/* way: a label that it learnt; collect: the gate of them all, shut for U... */
static int way_label(void *i, struct fl_query *q, struct fl_str l, struct fl_str *v)
{
	(void)i;
	(void)q;
	if (l.n != 5 || memcmp(l.p, "t/way", 5))
		return -ENOENT;
	*v = (struct fl_str){ "went", 4 };
	return FL_LEARNT;
}
FL_PLUGIN(way, .meta = way_label);
static bool collect_on = true;
static bool collects(void *i, struct fl_query *q) { (void)i; return collect_on && q->client->qname.wire[0] == 'W'; }
FL_PLUGIN(collect, .collects = collects);

/* Labels: all of them, what was learnt only, and none without a plugin that collects. */
static void labels_of(struct fl_query *q)
{
	static struct fl_link no_gate[] = { { .p = &fl_plugin_labels }, { .p = &fl_plugin_way } };
	static const struct fl_chain bare = { .beside = no_gate, .nbeside = 2 };
	static const struct fl_str asked = { "t/qn", 4 }, way = { "t/way", 5 }, other = { "t/xx", 4 };
	const struct fl_chain *whole = q->chain;
	struct fl_str v;
	assert(!fl_meta(q, asked, &v) && v.p[0] == 'W');
	assert(!fl_meta(q, way, &v) && v.n == 4);
	assert(fl_meta(q, other, &v) == -ENOENT);
	collect_on = false;
	assert(fl_meta(q, asked, &v) == -ENOENT);
	assert(!fl_meta(q, way, &v) && v.n == 4);
	collect_on = true;
	q->chain = &bare;
	assert(fl_meta(q, asked, &v) == -ENOENT && fl_meta(q, way, &v) == -ENOENT);
	q->chain = whole;
}

static unsigned n_wrap;
static enum fl_verdict wrap_q(void *i, struct fl_query *q)
{
	(void)i;
	assert(!*fl_slot(q));
	*fl_slot(q) = q;
	return FL_WRAP;
}
static enum fl_verdict wrap_r(void *i, struct fl_query *q)
{
	(void)i;
	assert(*fl_slot(q) == q);
	n_wrap++;
	return FL_DONE;
}
FL_PLUGIN(wrap, .query = wrap_q, .reply = wrap_r);

/* rewrite: Wxyz is asked as xyz below, and restored */
static enum fl_verdict rewrite_q(void *i, struct fl_query *q)
{
	(void)i;
	if (first(q) != 'W')
		return FL_NEXT;
	q->qname.wire++;
	q->qname.len--;
	return FL_WRAP;
}
static enum fl_verdict rewrite_r(void *i, struct fl_query *q)
{
	(void)i;
	struct fl_name asked = q->qname;
	q->qname.wire--;
	q->qname.len++;
	if (q->dropped)
		return fl_fail(q, 2, "too late: a dropped query stays dropped");
	assert(first(q) == 'W');
	labels_of(q);
	for (unsigned k = 0; k < q->res.n; k++)
		if (fl_name_eq(q->res.item[k].owner, asked))
			q->res.item[k].owner = q->qname;
	return FL_DONE;
}
FL_PLUGIN(rewrite, .query = rewrite_q, .reply = rewrite_r);

/* gate: drops D... */
static enum fl_verdict gate_q(void *i, struct fl_query *q) { (void)i; return first(q) == 'D' ? FL_DROP : FL_NEXT; }
FL_PLUGIN(gate, .query = gate_q);

/* peek: R..., P... in reply(), looks another name up and appends it; V... waits there for nothing */
static enum fl_verdict peek_q(void *i, struct fl_query *q) { (void)i; return strchr("RPV", first(q)) ? FL_WRAP : FL_NEXT; }
static unsigned n_peek_cancel;
static void peek_cancel(void *i, struct fl_query *q) { (void)i; (void)q; n_peek_cancel++; }
static enum fl_verdict peek_r(void *i, struct fl_query *q)
{
	(void)i;
	const struct fl_reply *a;
	if (first(q) == 'V')
		return FL_WAIT;
	int ret = fl_lookup(q, name("fwd"), 1, &a);
	if (ret)
		return fl_yield(q, ret);
	if (a->n && !fl_reply_add(q, FL_ADDITIONAL, a->item[0].owner, a->item[0].set, a->item[0].shared))
		return fl_yield(q, -ENOMEM);
	return FL_DONE;
}
FL_PLUGIN(peek, .query = peek_q, .reply = peek_r, .cancel = peek_cancel);

/* retry: A... asks below again until the fifth time; B..., G... for ever */
struct retry { unsigned n; };
static unsigned n_again;
static enum fl_verdict retry_q(void *i, struct fl_query *q)
{
	(void)i;
	if (first(q) != 'A' && first(q) != 'B' && first(q) != 'G')
		return FL_NEXT;
	struct retry *r = *fl_slot(q) = fl_alloc(q->arena, sizeof *r);
	if (!r)
		return fl_yield(q, -ENOMEM);
	r->n = 0;
	return FL_WRAP;
}
static enum fl_verdict retry_r(void *i, struct fl_query *q)
{
	(void)i;
	struct retry *r = *fl_slot(q);
	n_again++;
	return ++r->n < 5 || first(q) != 'A' ? FL_AGAIN : FL_DONE;
}
FL_PLUGIN(retry, .query = retry_q, .reply = retry_r);

/* cache: X... detaches a copy of itself once, whose reply() stores */
static unsigned n_stored;
static enum fl_verdict cache_q(void *i, struct fl_query *q)
{
	(void)i;
	if (first(q) != 'X')
		return FL_NEXT;
	struct fl_edns last = { 10, 2, (const uint8_t *)"no", NULL }, first_ = { 8, 0, NULL, &last };
	q->ask.opt = &first_;
	struct fl_query *d = fl_detach(q);
	q->ask.opt = NULL;
	if (!d)
		return fl_yield(q, -ENOMEM);
	/* Its options are its own, and so is its client, who sent no packet that still lies anywhere. */
	assert(d->ask.opt && d->ask.opt != &first_ && d->ask.opt->code == 8 && d->ask.opt->next && d->ask.opt->next != &last);
	assert(d->ask.opt->next->len == 2 && d->ask.opt->next->data != last.data && !memcmp(d->ask.opt->next->data, "no", 2));
	assert(!d->ask.opt->next->next && d->client != q->client && !d->client->packet && !d->client->packet_len);
	*fl_slot_of(d, q) = &n_stored;
	return fl_fail(q, 0, "stale");
}
static enum fl_verdict cache_r(void *i, struct fl_query *q) { (void)i; assert(q->detached && *fl_slot(q) == &n_stored && !fl_detach(q)); n_stored++; return FL_DONE; }
FL_PLUGIN(cache, .query = cache_q, .reply = cache_r);

/* alias: C... is kube's name and an outside one; E... the same, both started at once */
static unsigned n_alias;
static enum fl_verdict alias_q(void *i, struct fl_query *q)
{
	(void)i;
	const struct fl_reply *a, *b;
	int ret;
	if (first(q) != 'C' && first(q) != 'E')
		return FL_NEXT;
	n_alias++;
	if (first(q) == 'C') {
		if ((ret = fl_lookup(q, name("kube"), 1, &a)) || (ret = fl_lookup(q, name("fwd"), 1, &b)))
			return fl_yield(q, ret);
	} else {
		ret = fl_lookup(q, name("kube"), 1, &a);
		int also = fl_lookup(q, name("fwd"), 1, &b);
		if (ret || also)
			return fl_yield(q, ret ? ret : also);
	}
	if (!a->n || !b->n)
		return fl_fail(q, 2, "an alias to nowhere");
	if (fl_reply_copy(q, a) || !fl_reply_add(q, FL_ANSWER, b->item[0].owner, b->item[0].set, b->item[0].shared))
		return fl_yield(q, -ENOMEM);
	return FL_DONE;
}
FL_PLUGIN(alias, .query = alias_q);

/* nest: N0 is there; Nk asks N(k-1); L asks itself */
static enum fl_verdict nest_q(void *i, struct fl_query *q)
{
	(void)i;
	const struct fl_reply *a;
	static const struct fl_rrset set = { 1, 1, 4, 4, (const uint8_t *)"nest" };
	char below[2] = "N";
	if (first(q) != 'N' && first(q) != 'L')
		return FL_NEXT;
	if (first(q) == 'N' && q->qname.wire[1] == '0')
		return fl_reply_add(q, FL_ANSWER, q->qname, &set, false) ? FL_DONE : fl_yield(q, -ENOMEM);
	below[1] = (char)(q->qname.wire[1] - 1);
	int ret = fl_lookup(q, first(q) == 'L' ? q->qname : (struct fl_name){ (uint8_t *)below, 2 }, 1, &a);
	if (ret)
		return fl_yield(q, ret);
	return fl_reply_copy(q, a) ? fl_yield(q, -ENOMEM) : FL_DONE;
}
FL_PLUGIN(nest, .query = nest_q);

/* impatient: I... starts a lookup, and answers without it; J... looks a dropped name up */
static enum fl_verdict impatient_q(void *i, struct fl_query *q)
{
	(void)i;
	const struct fl_reply *a;
	if (first(q) == 'J') {
		int ret = fl_lookup(q, name("Drop"), 1, &a);
		return ret ? fl_yield(q, ret) : fl_fail(q, a->bare && a->rcode == 2 ? 3 : 4, NULL);
	}
	if (first(q) != 'I')
		return FL_NEXT;
	fl_lookup(q, name("Pfwd"), 1, &a);
	return fl_fail(q, 3, "did not wait");
}
FL_PLUGIN(impatient, .query = impatient_q);

/* many: U... starts 300 lookups, and answers without them */
static enum fl_verdict many_q(void *i, struct fl_query *q)
{
	(void)i;
	const struct fl_reply *a;
	char n[16];
	if (first(q) != 'U')
		return FL_NEXT;
	for (int k = 0; k < 300; k++) {
		sprintf(n, "f%03d", k);
		assert(fl_lookup(q, name(n), 1, &a) == -EAGAIN);
	}
	return fl_fail(q, 3, "did not wait");
}
FL_PLUGIN(many, .query = many_q);

/* busy: Y... wakes itself three times */
static enum fl_verdict busy_q(void *i, struct fl_query *q)
{
	(void)i;
	int *state = *fl_slot(q);
	if (first(q) != 'Y')
		return FL_NEXT;
	if (!state && !(state = *fl_slot(q) = fl_alloc(q->arena, sizeof *state)))
		return fl_yield(q, -ENOMEM);
	*state = q->why ? *state + 1 : 0;
	if (*state == 3)
		return fl_fail(q, 0, NULL);
	fl_wake(fl_ticket(q), -EINTR);
	return FL_WAIT;
}
FL_PLUGIN(busy, .query = busy_q);

/* later: T... waits for its timer, M... too, then leaves the name to the plugins below; O... offloads */
static int square(void *arg) { return -(*(int *)arg * *(int *)arg); }
static enum fl_verdict later_q(void *i, struct fl_query *q)
{
	(void)i;
	static const struct fl_rrset set = { 1, 1, 4, 4, (const uint8_t *)"late" };
	int *state = *fl_slot(q);
	if (first(q) != 'T' && first(q) != 'M' && first(q) != 'O')
		return FL_NEXT;
	if (!state) {
		state = *fl_slot(q) = fl_alloc(q->arena, sizeof *state);
		if (!state)
			return fl_yield(q, -ENOMEM);
		*state = 7;
		if (first(q) == 'O') {
			if (fl_offload(q, square, state))
				return fl_fail(q, 2, "busy");
		} else {
			fl_wake_at(q, 1000);
		}
		return FL_WAIT;
	}
	if (!q->why)
		return FL_WAIT;         /* woken for nothing */
	assert(q->why == (first(q) == 'O' ? -49 : -ETIMEDOUT));
	if (first(q) == 'M')
		return FL_NEXT;
	return fl_reply_add(q, FL_ANSWER, q->qname, &set, false) ? FL_DONE : fl_yield(q, -ENOMEM);
}
static void later_cancel(void *i, struct fl_query *q) { (void)i; (void)q; n_cancel++; }
FL_PLUGIN(later, .query = later_q, .cancel = later_cancel);

/* transfer: S... answers with three messages */
struct three { struct fl_stream s; int left; };
static void let_go(void *arg) { --*(int *)arg; }
static int three_fill(struct fl_stream *s, struct fl_query *q) { (void)q; return ((struct three *)s)->left-- > 0; }
static enum fl_verdict transfer_q(void *i, struct fl_query *q)
{
	(void)i;
	if (first(q) != 'S')
		return FL_NEXT;
	struct three *t = fl_alloc(q->arena, sizeof *t);
	if (!t)
		return fl_yield(q, -ENOMEM);
	*t = (struct three){ { three_fill }, 2 };
	n_deferred++;
	if (fl_defer(q, let_go, &n_deferred))
		return n_deferred--, fl_yield(q, -ENOMEM);
	q->res.stream = &t->s;
	return FL_DONE;
}
FL_PLUGIN(transfer, .query = transfer_q);

/* kubernetes: k... from a snapshot that a writer replaces; K... too, bigger than a block */
static struct snap { struct fl_rrset set; char text[4000]; } *snap;
static void snap_renew(void)
{
	free(snap);             /* the grace period is over */
	snap = malloc(sizeof *snap);
	memset(snap->text, 'k', sizeof snap->text);
	snap->set = (struct fl_rrset){ 1, 1, 4, 4, (const uint8_t *)snap->text };
}
static enum fl_verdict kube_q(void *i, struct fl_query *q)
{
	(void)i;
	if (first(q) != 'k' && first(q) != 'K' && first(q) != 'R' && first(q) != 'A')
		return FL_NEXT;
	snap->set.len = first(q) == 'K' ? 2000 : 4;
	return fl_reply_add(q, FL_ANSWER, q->qname, &snap->set, true) ? FL_DONE : fl_yield(q, -ENOMEM);
}
FL_PLUGIN(kubernetes, .query = kube_q);

/* forward: f..., M..., X...; its packets wait in out[] */
static enum fl_verdict fwd_q(void *i, struct fl_query *q)
{
	(void)i;
	static const struct fl_rrset set = { 1, 1, 4, 4, (const uint8_t *)"fwd." };
	unsigned *mine = *fl_slot(q);
	if (!strchr("fMXPGV", first(q)))
		return FL_NEXT;
	if (!mine) {
		if (!(mine = *fl_slot(q) = fl_alloc(q->arena, sizeof *mine)))
			return fl_yield(q, -ENOMEM);
		assert(!q->why);
		if (fl_defer(q, let_go, &n_deferred))
			return *fl_slot(q) = NULL, fl_yield(q, -ENOMEM);
		n_deferred++;
		*mine = n_out;
		out[n_out].used = 1;
		out[n_out++].t = fl_ticket(q);
		return FL_WAIT;
	}
	if (!out[*mine].used)
		return fl_reply_add(q, FL_ANSWER, q->qname, &set, false) ? FL_DONE : fl_yield(q, -ENOMEM);
	if (q->why)
		return out[*mine].used = 0, fl_fail(q, 2, "timeout");
	return FL_WAIT;
}
static void fwd_cancel(void *i, struct fl_query *q) { (void)i; out[*(unsigned *)*fl_slot(q)].used = 0; n_cancel++; }
FL_PLUGIN(forward, .query = fwd_q, .cancel = fwd_cancel);

/* ---- the world turns ---- */

/* One turn of the loop: run what was woken; then the shard is quiescent, and the writer frees the old snapshot. */
static void turn(void)
{
	for (int i = 0; i < 200 && shard.run_first; i++) {
		fl_chain_turn(&shard);
		snap_renew();
	}
}

static void upstream_answers(void)
{
	unsigned n = n_out;
	n_out = 0;
	for (unsigned i = 0; i < n; i++)
		if (out[i].used) {
			out[i].used = 0;
			fl_wake(out[i].t, 0);
			fl_wake(out[i].t, 0);   /* twice does no harm */
		}
	turn();
}

static void settle(void)
{
	turn();
	for (int i = 0; i < 20 && (n_out || shard.run_first); i++)
		upstream_answers();
	assert(!shard.run_first);
}

#define SAYS(text) (strcmp(answer, text) ? (fprintf(stderr, "line %d: got \"%.60s\"\n", __LINE__, answer), abort()) : (void)0)

static void shapes(void)
{
	unsigned a = n_answers;
	ask("kube"), SAYS("0 kube=kkkk");
	ask("Wkube"), SAYS("0 Wkube=kkkk");
	ask("zzz"), SAYS("2 bare");
	n_wrap = n_sent = 0;
	ask("Drop"), assert(n_dropped == 1 && n_wrap == 1 && n_sent == 1), n_dropped = 0;
	ask("WDrop"), assert(n_dropped == 1), n_dropped = 0;
	assert(n_answers == a + 5 && !in_use);

	struct fl_query *q = ask("fwd");                /* parked: the generation is kept, a wake comes, late ones do not */
	assert(in_use == 1 && generation == 1);
	struct fl_ticket late = fl_ticket(q);
	settle(), SAYS("0 fwd=fwd."), assert(!in_use && !generation);
	fl_wake(late, 0), assert(!shard.run_first);
	ask("fwd"), fl_wake(late, 0), assert(!shard.run_first);         /* the same block, the same turn */
	settle(), SAYS("0 fwd=fwd.");

	n_alias = 0, ask("Chase"), settle(), SAYS("0 kube=kkkk fwd=fwd."), assert(n_alias >= 2);
	ask("Echase"), settle(), SAYS("0 kube=kkkk fwd=fwd.");
	ask("Reply"), settle(), SAYS("0 Reply=kkkk fwd=fwd."), assert(n_pointers == 1);       /* still known as the question */
	ask("WReply"), settle(), SAYS("0 WReply=kkkk fwd=fwd.");
	ask("N8"), settle(), SAYS("0 N0=nest");
	ask("N9"), settle(), SAYS("2 bare");            /* nine lookups deep */
	ask("Loop"), settle(), SAYS("2 bare");
	n_cancel = n_peek_cancel = 0, ask("Impatient"), settle(), SAYS("3 bare"), assert(!in_use);
	assert(shard.park_always || (n_cancel == 1 && n_peek_cancel == 1));     /* the one that waits, and the one that is owed */
	n_cancel = 0, ask("Unbound"), SAYS("3 bare"), assert(!in_use && (shard.park_always || n_cancel == 300)), settle();
	ask("J"), settle(), SAYS("3 bare");
	n_again = 0, ask("A"), settle(), SAYS("0 A=kkkk"), assert(n_again == 30);     /* twice in the chain */
	ask("B"), settle(), SAYS("2 bare");
	n_msgs = n_sealed = 0, ask("Stream"), settle(), assert(n_msgs == 3 && n_sealed == 3);

	q = ask("Timer");
	fl_wake(fl_ticket(q), 0), turn(), assert(in_use == 1);
	fl_chain_timeout(q), settle(), SAYS("0 Timer=late");
	q = ask("M"), fl_chain_timeout(q), turn(), settle(), SAYS("0 M=fwd.");

	n_cancel = 0, q = ask("fwd"), turn();           /* deadlines: own I/O, and a child's */
	fl_chain_expire(q), SAYS("2 bare"), assert(n_cancel == 1 && !in_use && !out[0].used), n_out = 0;
	n_cancel = 0, q = ask("Chase"), turn();
	fl_chain_expire(q), SAYS("2 bare"), assert(n_cancel == 1 && !in_use && !generation), settle();

	ask("P"), settle(), SAYS("0 P=fwd. fwd=fwd.");
	n_cancel = 0, q = ask("P"), turn();             /* a deadline ends it: no lookup, no second try on the way up */
	fl_chain_expire(q), SAYS("2 bare"), assert(n_cancel == 1 && !in_use && !shard.run_first), n_out = 0;
	n_again = 0, q = ask("G"), turn(), fl_chain_expire(q), SAYS("2 bare"), assert(!in_use && n_again == 2), n_out = 0;
	q = ask("V"), turn(), fl_chain_expire(q), SAYS("2 bare"), assert(!in_use), n_out = 0;

	ask("Yes"), fl_chain_turn(&shard), assert(in_use == 1);        /* what wakes itself does not hold the turn up */
	turn(), SAYS("0 bare"), assert(!in_use);

	ask("Off"), assert(n_job == 1 && in_use == 1);
	fl_chain_job_done(job[0].t, job[0].work(job[0].arg)), n_job = 0, settle(), SAYS("0 Off=late"), assert(!in_use);
	q = ask("Off"), fl_chain_expire(q), SAYS("2 bare"), assert(in_use == 1);        /* answered; the block waits for the job */
	fl_chain_job_done(job[0].t, job[0].work(job[0].arg)), n_job = 0, settle(), assert(!in_use && !generation);

	a = n_answers, n_stored = 0, ask("Xtra"), SAYS("0 bare"), assert(in_use == 1 && generation == 1);
	settle(), assert(n_stored == 1 && n_answers == a + 1 && !in_use && !generation);

	ask("Xtra"), fl_chain_expire(shard.run_first), assert(!in_use && !generation);  /* shutdown, not yet begun */

	ask("Kbig"), assert(strlen(answer) > 2000);
	assert(!in_use && !generation && !n_deferred);
}

/* Whatever runs out of memory, the client hears SERVFAIL or the right answer, and nothing stays behind. */
static void memory_runs_out(void)
{
	static const char *const names[] = { "kube", "Wkube", "Chase", "Echase", "Reply", "N8", "A", "fwd", "Kbig", "P", "Stream" };
	unsigned failed = 0;
	for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
		for (size_t eat = 0; eat < 1280; eat += 16) {
			unsigned a = n_answers;
			ask_short(names[i], eat, 0);
			settle();
			assert(n_answers == a + 1 && !in_use && !generation && !n_deferred);
			failed += answer[0] == '2';
		}
	assert(failed > 50);
}

static void long_chain(void)
{
	static struct fl_link at[FL_LINKS_MAX], beside[FL_LINKS_MAX];
	static unsigned parked;
	struct fl_chain c = { .at = at, .beside = beside, .parked = &parked };
	int ret = 0;
	for (int i = 0; i < 127; i++)
		ret |= fl_chain_add(&c, &fl_plugin_wrap, NULL);
	assert(!ret && !fl_chain_add(&c, &fl_plugin_kubernetes, NULL) && fl_chain_add(&c, &fl_plugin_wrap, NULL) == -E2BIG);
	struct fl_chain keep = chain;
	chain = c, n_wrap = 0;
	ask("kube"), SAYS("0 kube=kkkk"), assert(n_wrap == 127);
	chain = keep;
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void timing(void)
{
	static struct fl_link at[FL_LINKS_MAX], beside[FL_LINKS_MAX];
	static unsigned parked;
	struct fl_chain c = { .at = at, .beside = beside, .parked = &parked };
	const struct fl_plugin *p[] = { &fl_plugin_wrap, &fl_plugin_wrap, &fl_plugin_rewrite, &fl_plugin_wrap,
					&fl_plugin_gate, &fl_plugin_alias, &fl_plugin_kubernetes, &fl_plugin_forward };
	for (unsigned i = 0; i < 8; i++)
		fl_chain_add(&c, p[i], NULL);
	struct fl_query *q = block_get(&shard);
	struct block *b = (struct block *)q;
	static void *slot[8];
	static struct fl_client client = { .qname = { (const uint8_t *)"kube", 4 } };
	struct fl_query fresh = { .qname = client.qname, .qtype = 1, .qclass = 1, .client = &client, .arena = &b->a,
				  .shard = &shard, .root = q, .chain = &c, .slot = slot };
	shard.answer = do_timer, shard.block_put = do_timer;    /* nothing but the chain */
	enum { N = 5000000 };
	double t = now();
	for (int i = 0; i < N; i++) {
		b->a.p = b->mem;
		memset(slot, 0, sizeof slot);
		*q = fresh;
		fl_chain_run(q);
	}
	printf("kubernetes answer, 7 plugins, 3 owed replies: %.0f ns\n", (now() - t) / N);
	fresh.qname = (struct fl_name){ (const uint8_t *)"fwd", 3 };
	t = now();
	for (int i = 0; i < N; i++) {
		b->a.p = b->mem;
		memset(slot, 0, sizeof slot);
		*q = fresh;
		fl_chain_run(q);
		out[0].used = n_out = 0;
		fl_wake(out[0].t, 0);
		fl_chain_turn(&shard);
	}
	printf("parked and woken, 8 plugins: %.0f ns\n", (now() - t) / N);
	printf("sizeof fl_query %zu, fl_reply %zu, fl_item %zu\n", sizeof *q, sizeof q->res, sizeof(struct fl_item));
	free(q);
}

int main(int argc, char **argv)
{
	const struct fl_plugin *all[] = { &fl_plugin_book, &fl_plugin_seal, &fl_plugin_labels, &fl_plugin_way, &fl_plugin_collect, &fl_plugin_wrap,
		&fl_plugin_rewrite, &fl_plugin_gate, &fl_plugin_peek, &fl_plugin_retry, &fl_plugin_retry, &fl_plugin_wrap, &fl_plugin_cache, &fl_plugin_alias, &fl_plugin_nest,
		&fl_plugin_impatient, &fl_plugin_many, &fl_plugin_busy, &fl_plugin_later, &fl_plugin_transfer, &fl_plugin_kubernetes, &fl_plugin_forward };
	for (unsigned i = 0; i < sizeof all / sizeof *all; i++)
		assert(!fl_chain_add(&chain, all[i], NULL));
	snap_renew();
	shapes();
	memory_runs_out();
	long_chain();
	shard.park_always = true;       /* the same answers when every lookup parks */
	shapes();
	memory_runs_out();
	puts("TAP version 13\n1..1\nok 1 - shapes, also with every lookup parked and every allocation failing in turn");
	shard.park_always = false;
	if (argc > 1 && !strcmp(argv[1], "time"))
		timing();
	for (struct block *b = pool, *next; b; b = next) {
		next = b->next;
		free(b);
	}
	free(snap);
}

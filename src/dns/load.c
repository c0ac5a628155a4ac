/* How a configuration comes to serve, and how the one before it goes. Main thread, step by step on its loop; see server.h. */
#include "dns/server_int.h"
#include "base/log.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { POLL_MS = 5, GRACE_S = 5 };

struct fl_load {
	struct fl_server *server;
	struct fl_gen *gen;
	struct fl_err err;
	void (*done)(void *arg, const struct fl_err *e);
	void *arg;
	struct fl_timer poll;
	uint64_t since_ns;
	struct fl_new_socket *sock;     /* [shard][nsock] */
	unsigned nsock, out, failed;    /* sockets a shard; shards still to answer; shards that could not */
	bool *prepared;                 /* [shard id] */
};

/* A generation that serves no more, until every shard has seen its last query leave. */
struct fl_leaving { struct fl_gen *gen; unsigned out; struct fl_leaving *next; };

struct errand { struct fl_load *load; struct fl_shard_x *shard; int ret; };

/* ---- server ---- */

struct fl_server *fl_server_create(const struct fl_process *p, struct fl_loop *loop, const struct fl_directive_entry *directives,
				   bool inline_shard)
{
	static const char *const verdicts[] = { "ok", "drop", "notimp", "counts", "format", "empty", "badvers" };
	static const struct fl_dim why = { FL_COUNT(verdicts), verdicts };
	static const struct fl_metric_def malformed = { .name = "fairlead_packets_rejected_total", .kind = FL_COUNTER,
		.help = "Counter of packets that no plugin saw, by why.", .labels = { "reason" } };
	static const struct fl_metric_def saturated = { .name = "fairlead_queries_without_memory_total", .kind = FL_COUNTER,
		.help = "Counter of queries answered with SERVFAIL because a shard's query memory was full.", .always = true };
	struct fl_server *s = fl_xalloc(sizeof *s);
	s->process = *p;
	if (inline_shard)
		s->process.shards = 1;
	s->loop = loop;
	s->directives = directives;
	s->inline_shard = inline_shard;
	s->malformed = fl_metric_grid(fl_metric(&malformed), NULL, &why, 1);
	s->saturated = fl_metric_plain(&saturated);
	s->shard = fl_xalloc((s->process.shards + 1) * sizeof *s->shard);
	for (unsigned i = 1; i <= s->process.shards && !p->dry; i++)
		if (!(s->shard[i] = fl_shard_create(s, i))) {
			fl_server_destroy(s);
			return NULL;
		}
	if (!inline_shard && !p->dry)
		fl_busy_watch(s);
	if (!p->dry)
		fl_conns_watch(s);
	if (!p->dry)
		fl_doq_watch(s);
	return s;
}

void fl_server_destroy(struct fl_server *s)
{
	if (!s)
		return;
	fl_busy_forget(s);
	fl_conns_forget(s);
	fl_doq_forget(s);
	fl_jobs_close();
	for (unsigned i = 1; i <= s->process.shards; i++)
		fl_shard_destroy(s->shard[i]);
	fl_jobs_open();
	fl_gen_destroy(s->gen);
	while (s->leaving) {
		struct fl_leaving *v = s->leaving;
		s->leaving = v->next;
		fl_gen_destroy(v->gen);
		free(v);
	}
	while (s->share) {
		struct fl_share *sh = s->share;
		s->share = sh->next;
		free(sh);
	}
	free(s->key);
	free(s->shard);
	free(s);
}

bool fl_server_busy(const struct fl_server *s) { return s->load || s->stopping; }
const struct fl_conf *fl_server_conf(const struct fl_server *s) { return s->gen ? s->gen->conf : NULL; }
void fl_server_park_always(struct fl_server *s, bool on) { s->shard[1]->sh.park_always = on; }

static struct errand *errand(struct fl_load *l, unsigned id)
{
	struct errand *e = fl_xalloc(sizeof *e);
	*e = (struct errand){ l, l->server->shard[id], 0 };
	return e;
}

/* ---- the end of a load ---- */

static void finish(struct fl_load *l, bool ok)
{
	l->server->load = NULL;
	fl_timer_clear(l->server->loop, &l->poll);
	l->done(l->arg, ok ? NULL : &l->err);
	free(l->sock);
	free(l->prepared);
	free(l);
}

static void give_up(struct fl_load *l)
{
	for (unsigned i = 0; l->sock && i < l->nsock * l->server->process.shards; i++) {
		if (l->sock[i].udp >= 0)
			close(l->sock[i].udp);
		if (l->sock[i].tcp >= 0)
			close(l->sock[i].tcp);
	}
	fl_gen_destroy(l->gen);
	finish(l, false);
}

/* ---- retirement ---- */

void fl_load_retired(struct fl_server *s, struct fl_gen *g)
{
	for (struct fl_leaving **p = &s->leaving, *v; (v = *p); p = &v->next)
		if (v->gen == g && !--v->out) {
			*p = v->next;
			fl_gen_destroy(g);
			free(v);
			return;
		}
}

static void retire_on(void *arg)
{
	struct errand *e = arg;
	fl_shard_retire(e->shard, (struct fl_gen *)e->load);    /* here `load` carries the generation */
	free(e);
}

static void retire(struct fl_server *s, struct fl_gen *g)
{
	if (!g)
		return;
	fl_gen_stop(g);
	struct fl_leaving *v = fl_xalloc(sizeof *v);
	*v = (struct fl_leaving){ g, s->process.shards, s->leaving };
	s->leaving = v;
	for (unsigned i = 1; i <= s->process.shards; i++) {
		struct errand *e = fl_xalloc(sizeof *e);
		*e = (struct errand){ (struct fl_load *)g, s->shard[i], 0 };
		fl_shard_post(s->shard[i], retire_on, e);
	}
}

/* ---- swap ---- */

static void remember_keys(struct fl_server *s, const struct fl_gen *g)
{
	s->key = fl_xrealloc(s->key, (g->ngroup + 1) * sizeof *s->key);
	s->nkey = g->ngroup;
	for (unsigned i = 0; i < g->ngroup; i++)
		snprintf(s->key[i], sizeof s->key[i], "%.*s", FL_FMT(g->group[i]->addr));
}

static void swapped(void *arg)
{
	struct errand *e = arg;
	struct fl_load *l = e->load;
	struct fl_server *s = l->server;
	free(e);
	if (--l->out)
		return;
	struct fl_gen *old = s->gen, *g = l->gen;
	s->gen = g;
	remember_keys(s, g);
	finish(l, true);
	fl_gen_serve(g);
	retire(s, old);
}

static void swap_on(void *arg)
{
	struct errand *e = arg;
	struct fl_load *l = e->load;
	fl_shard_swap(e->shard, l->gen, l->sock + (e->shard->sh.id - 1) * l->nsock, l->nsock);
	fl_loop_post(l->server->loop, swapped, e);
}

/* ---- every shard prepares ---- */

static void undone(void *arg)
{
	struct errand *e = arg;
	struct fl_load *l = e->load;
	free(e);
	if (!--l->out)
		give_up(l);
}

static void undo_on(void *arg)
{
	struct errand *e = arg;
	fl_gen_shard_stop(e->load->gen, &e->shard->sh);
	fl_loop_post(e->load->server->loop, undone, e);
}

static void all_prepared(struct fl_load *l)
{
	struct fl_server *s = l->server;
	l->out = s->process.shards - l->failed;
	if (l->failed && !l->out) {
		give_up(l);
		return;
	}
	for (unsigned i = 1; i <= s->process.shards; i++)
		if (l->prepared[i])
			fl_shard_post(s->shard[i], l->failed ? undo_on : swap_on, errand(l, i));
}

static void prepared(void *arg)
{
	struct errand *e = arg;
	struct fl_load *l = e->load;
	l->prepared[e->shard->sh.id] = !e->ret;
	if (e->ret && !l->failed++)
		fl_err_set(&l->err, "shard %u: %s", e->shard->sh.id, strerror(-e->ret));
	else if (e->ret)
		l->failed++;
	free(e);
	if (!--l->out)
		all_prepared(l);
}

static void prepare_on(void *arg)
{
	struct errand *e = arg;
	e->ret = fl_gen_shard_start(e->load->gen, &e->shard->sh);
	fl_loop_post(e->load->server->loop, prepared, e);
}

/* ---- sockets ---- */

static bool bound(const struct fl_server *s, struct fl_str key)
{
	for (unsigned i = 0; i < s->nkey; i++)
		if (fl_str_is(key, s->key[i]))
			return true;
	return false;
}

/* An address keeps its count as long as the server runs: its connections may outlive a configuration that left it out. */
static struct fl_tcp_share *share_of(struct fl_server *s, const char *key)
{
	struct fl_share *sh = s->share;
	while (sh && strcmp(sh->key, key))
		sh = sh->next;
	if (!sh) {
		sh = fl_xalloc(sizeof *sh);
		sh->next = s->share;
		snprintf(sh->key, sizeof sh->key, "%s", key);
		s->share = sh;
	}
	return &sh->tcp;
}

/* CoreDNS does the same without a word. */
static void warn_plain(const struct fl_group *g)
{
	if (strcmp(g->scheme, "dns") && !g->tls)
		fl_log(FL_WARN, NULL, "%.*s: no tls in the server block: this listener is not encrypted", FL_FMT(g->addr));
}

static int bind_one(struct fl_load *l, const struct fl_group *g, struct fl_new_socket *n)
{
	char what[256];
	bool plain = !strcmp(g->scheme, "dns"), quic = g->by_quic;
	snprintf(n->key, sizeof n->key, "%.*s", FL_FMT(g->addr));
	n->tcp = quic ? -1 : fl_listen_tcp(g->host, g->port, what, sizeof what);        /* TCP first, as CoreDNS */
	if (n->tcp < 0 && !quic)
		return fl_err_set(&l->err, "Listen: %s", what);
	n->share = plain ? NULL : share_of(l->server, n->key);
	if (!plain && !quic)
		return 0;
	n->udp = fl_listen_udp(g->host, g->port, &n->wildcard, what, sizeof what);
	if (n->udp < 0)
		return fl_err_set(&l->err, "ListenPacket: %s", what);
	return 0;
}

static int bind_new(struct fl_load *l)
{
	struct fl_server *s = l->server;
	struct fl_gen *g = l->gen;
	unsigned shards = s->process.shards, k = 0;
	for (unsigned i = 0; i < g->ngroup && !s->process.trace; i++)
		l->nsock += !bound(s, g->group[i]->addr);
	l->sock = fl_xalloc((l->nsock * shards + 1) * sizeof *l->sock);
	for (unsigned i = 0; i < l->nsock * shards; i++)
		l->sock[i].udp = l->sock[i].tcp = -1;
	for (unsigned i = 0; i < g->ngroup; i++) {
		if (s->process.trace || bound(s, g->group[i]->addr))
			continue;
		for (unsigned sh = 0; sh < shards; sh++)
			if (bind_one(l, g->group[i], &l->sock[sh * l->nsock + k]))
				return -EINVAL;
		warn_plain(g->group[i]);
		k++;
	}
	return 0;
}

static void go(struct fl_load *l)
{
	struct fl_server *s = l->server;
	if (bind_new(l)) {
		give_up(l);
		return;
	}
	l->prepared = fl_xalloc(s->process.shards + 1);
	l->out = s->process.shards;
	for (unsigned i = 1; i <= s->process.shards; i++)
		fl_shard_post(s->shard[i], prepare_on, errand(l, i));
}

/* ---- waiting until all are ready ---- */

static bool wait_over(struct fl_load *l)
{
	bool over = true;
	uint64_t now = fl_loop_tick(l->server->loop);
	for (struct fl_wait *w = l->gen->wait; w; w = w->next) {
		if (w->over)
			continue;
		w->over = w->done(*w->inst);
		if (!w->over && now - l->since_ns >= w->ns) {
			w->over = true;
			if (w->given_up)
				w->given_up(*w->inst);
		}
		over = over && w->over;
	}
	return over;
}

static void poll_wait(struct fl_timer *t)
{
	struct fl_load *l = (struct fl_load *)((char *)t - offsetof(struct fl_load, poll));
	if (wait_over(l))
		go(l);
	else
		fl_timer_set(l->server->loop, t, fl_loop_now(l->server->loop) + POLL_MS * FL_MS);
}

int fl_server_load(struct fl_server *s, struct fl_conf *conf, void (*done)(void *arg, const struct fl_err *e), void *arg)
{
	if (fl_server_busy(s))
		return -EBUSY;
	struct fl_load *l = fl_xalloc(sizeof *l);
	*l = (struct fl_load){ .server = s, .done = done, .arg = arg, .poll = { .fn = poll_wait }, .since_ns = fl_loop_tick(s->loop) };
	s->load = l;
	l->gen = fl_gen_build(s, conf, &l->err);
	if (!l->gen || fl_gen_start(l->gen, &l->err))
		give_up(l);
	else
		poll_wait(&l->poll);
	return 0;
}

int fl_server_check(struct fl_server *s, struct fl_conf *conf, struct fl_err *e)
{
	struct fl_gen *g = fl_gen_build(s, conf, e);
	fl_gen_destroy(g);
	return g ? 0 : -EINVAL;
}

/* ---- the end ---- */

struct fl_stopping { struct fl_server *server; struct fl_timer timer; uint64_t until_ns; void (*done)(void *arg); void *arg; };

uint64_t fl_server_leave(struct fl_server *s)
{
	uint64_t longest = 0;
	for (unsigned b = 0; s->gen && b < s->gen->nblock; b++)
		for (unsigned i = 0; i < s->gen->block[b].ninst; i++) {
			struct fl_inst *in = &s->gen->block[b].inst[i];
			uint64_t ns = in->p->leave ? in->p->leave(in->inst) : 0;
			longest = ns > longest ? ns : longest;
		}
	return longest;
}

static void expire_on(void *arg) { fl_shard_expire_all(arg); }

static void unlisten_on(void *arg) { fl_shard_unlisten(arg); }

static unsigned still_parked(const struct fl_server *s)
{
	unsigned n = 0;
	for (unsigned i = 1; s->gen && i <= s->process.shards; i++)
		n += __atomic_load_n(&s->gen->parked[i], __ATOMIC_RELAXED);
	return n;
}

static void drained(struct fl_timer *t)
{
	struct fl_stopping *st = (struct fl_stopping *)((char *)t - offsetof(struct fl_stopping, timer));
	struct fl_server *s = st->server;
	if (fl_loop_now(s->loop) < st->until_ns && still_parked(s)) {
		fl_timer_set(s->loop, t, fl_loop_now(s->loop) + 10 * FL_MS);
		return;
	}
	for (unsigned i = 1; i <= s->process.shards; i++)
		fl_shard_post(s->shard[i], expire_on, s->shard[i]);
	retire(s, s->gen);
	s->gen = NULL;
	s->stopping = NULL;
	st->done(st->arg);
	free(st);
}

static void lameduck_over(struct fl_timer *t)
{
	struct fl_stopping *st = (struct fl_stopping *)((char *)t - offsetof(struct fl_stopping, timer));
	struct fl_server *s = st->server;
	for (unsigned i = 1; i <= s->process.shards; i++)
		fl_shard_post(s->shard[i], unlisten_on, s->shard[i]);
	st->timer.fn = drained;
	st->until_ns = fl_loop_tick(s->loop) + GRACE_S * FL_SEC;
	fl_timer_set(s->loop, t, fl_loop_now(s->loop) + 10 * FL_MS);
}

void fl_server_stop(struct fl_server *s, void (*done)(void *arg), void *arg)
{
	struct fl_stopping *st = fl_xalloc(sizeof *st);
	*st = (struct fl_stopping){ .server = s, .timer = { .fn = lameduck_over }, .done = done, .arg = arg };
	s->stopping = st;
	uint64_t wait = fl_server_leave(s);
	fl_timer_set(s->loop, &st->timer, fl_loop_tick(s->loop) + wait);
}

/* ---- the banner ---- */

static int by_text(const void *a, const void *b)
{
	const struct fl_str *x = a, *y = b;
	size_t n = x->n < y->n ? x->n : y->n;
	int c = memcmp(x->p, y->p, n);
	return c ? c : (x->n > y->n) - (x->n < y->n);
}

static void group_zones(const struct fl_group *g, void (*line)(void *arg, const char *text), void *arg)
{
	struct fl_str *zone = fl_xalloc((g->nzone + 1) * sizeof *zone);
	char text[FL_NAME_TEXT_MAX + 128];
	for (unsigned i = 0; i < g->nzone; i++)
		zone[i] = g->zone[i].chain[0]->zone;
	qsort(zone, g->nzone, sizeof *zone, by_text);
	for (unsigned i = 0; i < g->nzone; i++) {
		if (!fl_zone_is_preferred(zone[i])) {
			snprintf(text, sizeof text, "Warning: Domain \"%.*s\" does not follow RFC1035 preferred syntax", FL_FMT(zone[i]));
			line(arg, text);
		}
		bool plain = !strcmp(g->scheme, "dns");
		snprintf(text, sizeof text, "%s%s%.*s:%s%s%.*s", plain ? "" : g->scheme, plain ? "" : "://", FL_FMT(zone[i]), g->port,
			 g->host.n ? " on " : "", FL_FMT(g->host));
		line(arg, text);
	}
	free(zone);
}

void fl_server_zones(struct fl_server *s, void (*line)(void *arg, const char *text), void *arg)
{
	for (unsigned i = 0; s->gen && i < s->gen->ngroup; i++)
		group_zones(s->gen->group[i], line, arg);
}

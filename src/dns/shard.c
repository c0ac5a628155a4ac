/* One thread's world: its sockets, its loop, the queries that wait. */
#include "dns/server_int.h"
#include "dns/doh.h"
#include "base/clock.h"
#include "base/confine.h"
#include "base/log.h"
#include "base/rcu.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

enum { POOL_MIB = 128, POOL_LEAST_MIB = 32, READ_S = 3, WRITE_S = 5, IDLE_S = 10, MAX_CONNS = 4096, MAX_CLIENT = 1024, MAX_INFLIGHT = 128,
       MAX_UNSENT = 1024 * 1024, ROUNDS = 4, GRPC_IDLE_S = 600, STREAMS_OF_GO = 250, STREAMS_MOST = 10000 };

/* ---- listeners ---- */

void fl_listener_put(struct fl_listener *l)
{
	if (--l->users || !l->removed)
		return;
	struct fl_listener **p = &l->shard->listener;
	while (*p != l)
		p = &(*p)->next;
	*p = l->next;
	if (l->udp.fd >= 0) {
		fl_udp_flush(l->shard->udp);    /* the last answers may still be queued for it */
		close(l->udp.fd);
	}
	fl_web_destroy(l->web);
	free(l);
}

static void tcp_gone(struct fl_tcp_listener *t)
{
	fl_listener_put((struct fl_listener *)((char *)t - offsetof(struct fl_listener, tcp)));
}

static void udp_ready(struct fl_io *io, uint32_t events)
{
	struct fl_listener *l = (struct fl_listener *)io;
	struct fl_shard_x *x = l->shard;
	struct fl_udp_in *in;
	(void)events;
	for (int round = 0; round < ROUNDS; round++) {
		int n = fl_udp_recv(x->udp, io->fd, l->wildcard, &in);
		x->sh.now_ns = fl_loop_now(x->sh.loop);
		for (int i = 0; i < n; i++)
			fl_query_udp(l, &in[i]);
		if (n < FL_UDP_BATCH)
			return;
		fl_udp_flush(x->udp);
		x->sh.now_ns = fl_loop_tick(x->sh.loop);
	}
}

/* How new connections are spoken to; those that are open go on as they began. */
static void transport_put(struct fl_listener *l, const struct fl_group *g)
{
	static const char *const dot[] = { "dot", NULL };       /* offered to who asks for it (RFC 7858 has no need of it) */
	static const char *const web[] = { "h2", "http/1.1", NULL }, *const grpc[] = { "h2", NULL };
	bool https = !strcmp(g->scheme, "https");
	l->secret = g->tls != NULL;
	l->tcp.tls = g->tls;
	l->tcp.alpn = dot;
	l->https = g->https;
	if (g->by_quic && g->https && !l->web)
		l->web = fl_web_create(l->shard->sh.loop, &fl_doh_ops, &l->shard->web);
	if (l->by_quic)
		fl_doq_settings(l, g);
	if (!https && strcmp(g->scheme, "grpc"))
		return;
	uint32_t streams = g->max_streams ? g->max_streams : https ? STREAMS_OF_GO : STREAMS_MOST;
	const struct fl_web_conf c = { .max_streams = streams < STREAMS_MOST ? streams : STREAMS_MOST, .prior = !https, .v2_only = !https };
	if (!l->web)
		l->web = fl_web_create(l->shard->sh.loop, https ? &fl_doh_ops : &fl_grpc_ops, &l->shard->web);
	fl_web_configure(l->web, &c);
	l->tcp.alpn = https ? web : grpc;
	l->tcp.alpn_must = true;
	l->tcp.ops = &fl_web_tcp_ops;
	l->tcp.speaker = l->web;
	l->tcp.max_share = g->max_conns;
	l->tcp.max_messages = 0;
	if (!https)                             /* clients keep their channels open; CoreDNS never closes them */
		l->tcp.idle_ns = GRPC_IDLE_S * FL_SEC;
}

static void group_put(struct fl_listener *l, struct fl_group *g)
{
	int64_t port = 0;
	l->group = g;
	l->local = (struct fl_addr){ 0 };
	fl_addr_parse(g->host, &l->local);
	fl_parse_int(fl_str(g->port), 0, 65535, &port);
	l->port = (uint16_t)port;
	l->tcp.read_ns = g->read_ns ? g->read_ns : READ_S * FL_SEC;
	l->tcp.write_ns = g->write_ns ? g->write_ns : WRITE_S * FL_SEC;
	l->tcp.idle_ns = g->idle_ns ? g->idle_ns : IDLE_S * FL_SEC;
	l->tcp.max_messages = g->max_queries > 0 ? (uint32_t)g->max_queries : 0;
	transport_put(l, g);
}

static void listener_add(struct fl_shard_x *x, const struct fl_new_socket *s, struct fl_group *g)
{
	struct fl_listener *l = fl_xalloc(sizeof *l);
	*l = (struct fl_listener){ .udp = { .fd = s->udp, .fn = udp_ready }, .wildcard = s->wildcard, .shard = x, .users = 1,
				   .next = x->listener };
	memcpy(l->key, s->key, sizeof l->key);
	l->tcp.on_gone = tcp_gone;
	l->tcp.share = s->share;
	l->by_quic = g->by_quic;
	if (l->by_quic)
		l->udp.fn = fl_doq_ready;
	x->listener = l;
	group_put(l, g);
	int ret = l->by_quic ? fl_doq_listen(l, s->share) : s->udp < 0 ? 0 : fl_loop_add_polled(x->sh.loop, &l->udp, FL_LOOP_POLLED);
	ret = ret || s->tcp < 0 ? ret : fl_tcp_listen(x->tcp, &l->tcp, s->tcp);
	if (ret)
		fl_log(FL_ERROR, NULL, "listener %s: %s", s->key, strerror(-ret));
}

/* What already came is still answered, by the configuration that it was sent to; then the sockets close. */
static void listener_remove(struct fl_listener *l)
{
	if (l->removed)
		return;
	if (l->by_quic) {
		fl_doq_unlisten(l);
	} else if (l->udp.fd >= 0) {
		udp_ready(&l->udp, 0);
		fl_udp_flush(l->shard->udp);
		fl_loop_del(l->shard->sh.loop, &l->udp);
	}
	l->removed = true;
	if (l->tcp.io.on) {
		l->users++;
		fl_tcp_unlisten(&l->tcp);
	}
	fl_listener_put(l);
}

static struct fl_group *group_of(struct fl_gen *g, const char *key)
{
	for (unsigned i = 0; i < g->ngroup; i++)
		if (fl_str_is(g->group[i]->addr, key))
			return g->group[i];
	return NULL;
}

/* ---- generations ---- */

static void retired_post(void *arg)
{
	struct fl_gen *g = arg;
	fl_load_retired(g->server, g);
}

/* Lets generations go whose last query has left this shard. */
static void retire_turn(struct fl_shard_x *x)
{
	for (struct fl_retired **p = &x->retired, *r; (r = *p);) {
		if (r->gen->parked[x->sh.id]) {
			p = &r->next;
			continue;
		}
		*p = r->next;
		fl_gen_shard_stop(r->gen, &x->sh);
		fl_loop_post(x->server->loop, retired_post, r->gen);
		free(r);
	}
}

void fl_shard_retire(struct fl_shard_x *x, struct fl_gen *g)
{
	struct fl_retired *r = fl_xalloc(sizeof *r);
	*r = (struct fl_retired){ g, x->retired };
	x->retired = r;
	if (x->gen == g)
		x->gen = NULL;
	retire_turn(x);
}

void fl_shard_swap(struct fl_shard_x *x, struct fl_gen *g, const struct fl_new_socket *sock, unsigned n)
{
	for (struct fl_listener *l = x->listener, *next; l; l = next) {
		next = l->next;
		struct fl_group *group = group_of(g, l->key);
		if (l->removed)
			continue;
		if (group)
			group_put(l, group);
		else
			listener_remove(l);
	}
	for (unsigned i = 0; i < n; i++)
		listener_add(x, &sock[i], group_of(g, sock[i].key));
	x->gen = g;
}

void fl_shard_unlisten(struct fl_shard_x *x)
{
	for (struct fl_listener *l = x->listener, *next; l; l = next) {
		next = l->next;
		listener_remove(l);
	}
}

void fl_shard_expire_all(struct fl_shard_x *x)
{
	for (struct fl_block_q *b = x->parked, *next; b; b = next) {
		next = b->next;
		if (b->q.parked)
			fl_chain_expire(&b->q);
	}
	while (x->sh.run_first)
		fl_chain_turn(&x->sh);
	fl_udp_flush(x->udp);
}

unsigned fl_shard_parked(const struct fl_shard_x *x)
{
	unsigned n = 0;
	for (const struct fl_block_q *b = x->parked; b; b = b->next)
		n++;
	return n;
}

/* ---- the loop's hooks ---- */

static void before_wait(void *arg)
{
	struct fl_shard_x *x = arg;
	__atomic_store_n(&x->waits_since_ns, fl_clock_ns(), __ATOMIC_RELAXED);
	fl_rcu_offline();
}

static void after_wait(void *arg)
{
	struct fl_shard_x *x = arg;
	fl_rcu_online();
	x->sh.now_ns = fl_loop_now(x->sh.loop);
	__atomic_store_n(&x->waited_ns, x->waited_ns + x->sh.now_ns - x->waits_since_ns, __ATOMIC_RELAXED);
	__atomic_store_n(&x->waits_since_ns, 0, __ATOMIC_RELAXED);
}

static bool turn(void *arg)
{
	struct fl_shard_x *x = arg;
	x->sh.now_ns = fl_loop_now(x->sh.loop);
	if (x->sh.run_first)
		fl_chain_turn(&x->sh);
	bool more = x->quic && fl_quic_flush(x->quic);
	if (x->sent_something || x->quic)
		fl_udp_flush(x->udp);
	x->sent_something = false;
	if (x->gen)
		fl_gen_flush(x->gen, &x->sh);
	for (struct fl_retired *r = x->retired; r; r = r->next)
		fl_gen_flush(r->gen, &x->sh);
	if (x->retired)
		retire_turn(x);
	fl_rcu_quiescent();
	return more || x->sh.run_first;
}

/* ---- the thread ---- */

static void *thread_main(void *arg)
{
	struct fl_shard_x *x = arg;
	fl_confine_thread();
	fl_rcu_register();
	fl_loop_run(x->sh.loop);
	fl_rcu_unregister();
	return NULL;
}

static void frame(struct fl_conn *c, const uint8_t *bytes, size_t n) { fl_query_tcp(c, bytes, n); }
static void closed(struct fl_conn *c) { fl_query_conn_closed(c); }
static void room(struct fl_conn *c) { fl_query_conn_room(c); }

/* A new thread takes no signals: they are the main thread's. */
static int thread_start(struct fl_shard_x *x)
{
	sigset_t all, was;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &was);
	int ret = pthread_create(&x->thread, NULL, thread_main, x);
	pthread_sigmask(SIG_SETMASK, &was, NULL);
	if (ret)
		return -ret;
	char name[16];
	snprintf(name, sizeof name, "shard %u", x->sh.id);
	pthread_setname_np(x->thread, name);
	x->threaded = true;
	return 0;
}

/* Half of the descriptors that the process may have are for connections of clients: without any left no upstream can be asked. */
static struct fl_tcp_limits limits_of(unsigned shards)
{
	struct fl_tcp_limits l = { MAX_CONNS, MAX_CLIENT, MAX_INFLIGHT, MAX_UNSENT };
	struct rlimit r;
	if (getrlimit(RLIMIT_NOFILE, &r) || r.rlim_cur / 2 / shards >= MAX_CONNS)
		return l;
	l.max_conns = (unsigned)(r.rlim_cur / 2 / shards) + 1;
	l.max_client = l.max_conns / 2 < MAX_CLIENT ? l.max_conns / 2 + 1 : MAX_CLIENT;
	return l;
}

struct fl_shard_x *fl_shard_create(struct fl_server *s, unsigned id)
{
	const struct fl_tcp_limits limits = limits_of(s->process.shards);
	static const struct fl_tcp_ops ops = { frame, closed, room };
	struct fl_shard_x *x = fl_xalloc(sizeof *x);
	x->server = s;
	unsigned mib = POOL_MIB / s->process.shards;    /* 50,000 queries of 2 KiB that wait, over all shards */
	fl_pool_init(&x->pool, (size_t)(mib < POOL_LEAST_MIB ? POOL_LEAST_MIB : mib) << 20);
	fl_rng_init(&x->rng, 0);
	x->udp = fl_udp_create();
	x->sh = (struct fl_shard){ .id = id, .loop = s->inline_shard ? s->loop : fl_loop_create(), .pool = &x->pool, .rng = &x->rng };
	if (!x->udp || !x->sh.loop) {
		fl_shard_destroy(x);
		return NULL;
	}
	x->tcp = fl_tcp_create(x->sh.loop, &x->pool, &limits, &ops);
	fl_query_hooks(x);
	if (s->inline_shard)
		fl_rcu_register();
	fl_loop_hooks(x->sh.loop, before_wait, after_wait, turn, x);
	if (!s->inline_shard && thread_start(x)) {
		fl_shard_destroy(x);
		return NULL;
	}
	return x;
}

void fl_shard_post(struct fl_shard_x *x, void (*fn)(void *arg), void *arg)
{
	if (x->server->inline_shard)
		fn(arg);
	else
		fl_loop_post(x->sh.loop, fn, arg);
}

static void stop_loop(void *arg) { fl_loop_stop(arg); }

void fl_shard_destroy(struct fl_shard_x *x)
{
	if (!x)
		return;
	if (x->threaded) {
		fl_loop_post(x->sh.loop, stop_loop, x->sh.loop);
		pthread_join(x->thread, NULL);
	}
	fl_tcp_destroy(x->tcp);
	fl_quic_destroy(x->quic);
	while (x->listener) {
		struct fl_listener *l = x->listener;
		x->listener = l->next;
		fl_web_destroy(l->web);
		free(l);
	}
	if (x->server->inline_shard) {
		fl_loop_hooks(x->sh.loop, NULL, NULL, NULL, NULL);
		fl_rcu_unregister();
	} else if (x->sh.loop) {
		fl_loop_destroy(x->sh.loop);
	}
	for (struct fl_retired *r = x->retired, *next; r; r = next) {   /* a reader that stopped kept a query in it up to the end */
		next = r->next;
		free(r);
	}
	fl_udp_destroy(x->udp);
	fl_pool_finish(&x->pool);
	free(x);
}

/* loop: finds out whether queries that go out come back to us. At start it asks this server for HINFO of a name that nobody can
 * guess; when that question passes here more than twice, the process ends, because a forwarding loop eats the machine.
 *
 * Seen only once, or answered by somebody above: all is well, and 2 s later the plugin looks at nothing any more. */
#include "base/log.h"
#include "dns/plugin.h"
#include "dns/upstreams.h"
#include "net/udp.h"
#include <stdio.h>
#include <unistd.h>

enum { SIGHTINGS = 2, LABEL_TEXT = 20, FIRST_MS = 100, PAUSE_S = 1, WAIT_S = 2, LAST_S = 30, QUIET_S = 2, UNSEEN_MAX = 10,
       POOL = 1 << 16 };

struct loop {
	struct fl_str zone;
	struct fl_name under, name;
	char label[2 * LABEL_TEXT + 3];         /* "123.456." */
	char addr[80];                          /* where it listens: "127.0.0.1:53", ":53" */
	struct fl_up_conf to;
	unsigned seen;                          /* atomic */
	bool off;                               /* atomic */
	/* the main thread's */
	struct fl_loop *loop;
	struct fl_pool pool;
	struct fl_up_net *net;
	struct fl_upstream *up;
	struct fl_up_ask ask;
	struct fl_timer timer;
	unsigned unseen;
	uint64_t until_ns;
	uint8_t query[FL_OWN_QUERY];
};

static uint64_t random_62(void)
{
	uint64_t v;
	fl_random_bytes(&v, sizeof v);
	return v >> 2;
}

static int setup(struct fl_setup *s, void **inst)
{
	struct fl_arena *a = fl_setup_arena(s);
	struct fl_disp *d = fl_setup_disp(s);
	const struct fl_zones *z = fl_setup_block_zones(s);
	struct loop *l = fl_zalloc(a, sizeof *l);
	int ret = fl_setup_once(s);
	while (!ret && fl_disp_next(d))
		if (fl_disp_next_arg(d))
			ret = fl_setup_arg_error(s);
	if (ret)
		return ret;
	l->zone = z->n ? z->text[0] : FL_STR(".");
	l->under = z->n ? z->name[0] : FL_ROOT;
	l->loop = fl_setup_loop(s);
	snprintf(l->label, sizeof l->label, "%llu.%llu.", (unsigned long long)random_62(), (unsigned long long)random_62());
	struct fl_name front = fl_name_parse_in(a, fl_str(l->label));
	uint8_t wire[FL_NAME_MAX];
	l->name = fl_name_join(wire, front, l->under);
	l->name.wire = fl_copy(a, wire, l->name.len);
	*inst = l;
	return 0;
}

/* The first key on its first address. */
static int chain(void *inst, struct fl_chain *c, struct fl_arena *a, void **mine)
{
	struct loop *l = inst;
	struct fl_str dns = FL_STR("dns://"), addr = c->server;
	int64_t port;
	(void)a;
	(void)mine;
	if (l->addr[0] || !fl_str_starts(addr, dns))
		return 0;
	addr.p += dns.n, addr.n -= dns.n;
	snprintf(l->addr, sizeof l->addr, "%.*s", FL_FMT(addr));
	const char *colon = addr.n ? memrchr(addr.p, ':', addr.n) : NULL;
	if (!colon || fl_parse_int((struct fl_str){ colon + 1, (size_t)(addr.p + addr.n - colon) - 1 }, 1, 65535, &port))
		return 0;
	struct fl_str host = { addr.p, (size_t)(colon - addr.p) };
	if (host.n > 1 && host.p[0] == '[')
		host.p++, host.n -= 2;
	l->to = (struct fl_up_conf){ .name = l->addr };
	l->to.addr_len = fl_sockaddr(&l->to.addr, host.n ? host : FL_STR("127.0.0.1"), (uint16_t)port);
	return 0;
}

/* ---- the question to ourselves (main thread) ---- */

static void later(struct loop *l, uint64_t ns) { fl_timer_set(l->loop, &l->timer, fl_loop_now(l->loop) + ns); }

static void quiet(struct fl_timer *t)
{
	__atomic_store_n(&((struct loop *)((char *)t - offsetof(struct loop, timer)))->off, true, __ATOMIC_RELAXED);
}

static void probe(struct fl_timer *t);

static void failed(struct loop *l)
{
	__atomic_store_n(&l->seen, 0, __ATOMIC_RELAXED);
	if (fl_loop_now(l->loop) + PAUSE_S * FL_SEC < l->until_ns)
		later(l, PAUSE_S * FL_SEC);
	else
		quiet(&l->timer);
}

static void answered(struct fl_up_ask *ask, int ret, const uint8_t *msg, size_t n)
{
	struct loop *l = (struct loop *)((char *)ask - offsetof(struct loop, ask));
	(void)msg;
	(void)n;
	/* Answered, but not by this chain: the configuration before still serves, or somebody above knows the name. */
	if (ret || (!__atomic_load_n(&l->seen, __ATOMIC_RELAXED) && ++l->unseen < UNSEEN_MAX)) {
		failed(l);
		return;
	}
	l->timer.fn = quiet;
	later(l, QUIET_S * FL_SEC);
}

static void probe(struct fl_timer *t)
{
	struct loop *l = (struct loop *)((char *)t - offsetof(struct loop, timer));
	l->ask = fl_own_query(l->query, FL_RD, l->name, FL_T_HINFO);
	l->ask.loose = true;
	l->ask.done = answered;
	if (fl_upstream_ask(l->up, &l->ask, false, WAIT_S * FL_SEC))
		failed(l);
}

static int start(void *inst, struct fl_err *e)
{
	struct loop *l = inst;
	(void)e;
	if (!l->to.addr_len || !l->name.len) {
		l->off = true;
		return 0;
	}
	fl_pool_init(&l->pool, POOL);
	l->net = fl_up_net_create(l->loop, &l->pool);
	l->up = fl_upstream_create(l->net, &l->to);
	l->until_ns = fl_loop_now(l->loop) + LAST_S * FL_SEC;
	l->timer.fn = probe;
	later(l, FIRST_MS * FL_MS);
	return 0;
}

static void stop(void *inst)
{
	struct loop *l = inst;
	fl_timer_clear(l->loop, &l->timer);
	fl_upstream_cancel(&l->ask);
	fl_upstream_destroy(l->up);
	fl_up_net_destroy(l->net);
	fl_pool_finish(&l->pool);
	l->up = NULL;
	l->net = NULL;
	__atomic_store_n(&l->off, true, __ATOMIC_RELAXED);
}

/* ---- the way of a query ---- */

static _Noreturn void fatal(const struct loop *l, const struct fl_client *c)
{
	char peer[64], zone[FL_NAME_TEXT_MAX], name[FL_NAME_TEXT_MAX];
	fl_addr_text(peer, &c->peer);
	fl_name_text(zone, l->under);
	fl_name_text(name, l->name);
	fl_log(FL_FATAL, "plugin/loop",
	       "Loop (%s%s%s:%u -> %s) detected for zone \"%s\", see https://coredns.io/plugins/loop#troubleshooting. "
	       "Query: \"HINFO %s\"",
	       c->peer.len == 16 ? "[" : "", peer, c->peer.len == 16 ? "]" : "", c->peer_port, l->addr, zone, name);
	_exit(1);
}

static enum fl_verdict query(void *inst, struct fl_query *q)
{
	struct loop *l = inst;
	if (q->qtype != FL_T_HINFO || __atomic_load_n(&l->off, __ATOMIC_RELAXED) || !fl_name_eq(q->qname, l->name))
		return FL_NEXT;
	if (__atomic_add_fetch(&l->seen, 1, __ATOMIC_RELAXED) > SIGHTINGS)
		fatal(l, q->client);
	return FL_NEXT;
}

static const struct fl_opt opts[] = { { "", "", "finds forwarding loops when the server starts" }, { NULL } };

FL_PLUGIN(loop, .opts = opts, .setup = setup, .chain = chain, .start = start, .stop = stop, .query = query);

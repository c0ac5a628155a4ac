#include "plugin/tls/lookup.h"
#include "net/resolve.h"
#include "dns/upstreams.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { POOL = 1 << 18, ADDRS = 8, TRIES = 2 };
#define WAIT_NS (3 * FL_SEC)

struct fl_acme_lookup {
	struct fl_loop *loop;
	struct fl_pool pool;
	struct fl_resolve *resolve;
	struct fl_up_net *net;
	struct fl_upstream *up;
	struct fl_up_ask ask;
	struct fl_timer later;
	struct fl_name name;
	bool tcp;
	uint16_t type;
	unsigned tries, n;
	struct fl_addr addr[ADDRS];
	void (*fn)(void *arg, const struct fl_addr *a, unsigned n, const char *why);
	void *arg;
	char host[256], server[280], why[400];
	uint8_t wire[FL_NAME_MAX], query[FL_OWN_QUERY];
};

static void told(struct fl_timer *t)
{
	struct fl_acme_lookup *k = (struct fl_acme_lookup *)((char *)t - offsetof(struct fl_acme_lookup, later));
	k->fn(k->arg, k->addr, k->n, k->why);
}

/* Never from within a callback of what will be destroyed with it. */
static void over(struct fl_acme_lookup *k, const char *why)
{
	if (!k->n)
		snprintf(k->why, sizeof k->why, "lookup %.*s on %s: %s", 60, k->host, k->server, why);
	fl_timer_set(k->loop, &k->later, fl_loop_now(k->loop));
}

static void ask(struct fl_acme_lookup *k);

static void answered(struct fl_up_ask *a, int ret, const uint8_t *msg, size_t n)
{
	struct fl_acme_lookup *k = (struct fl_acme_lookup *)((char *)a - offsetof(struct fl_acme_lookup, ask));
	struct fl_arena mem;
	struct fl_message m;
	char why[200];
	if (ret && k->tries < TRIES) {
		ask(k);
		return;
	}
	if (ret) {
		fl_upstream_why(a, ret, why, sizeof why);
		over(k, why);
		return;
	}
	fl_arena_init(&mem, NULL, 0, NULL, 1 << 20);
	bool bad = fl_message_parse(&m, &mem, msg, n), cut = !bad && m.flags & FL_TC && !k->tcp;
	k->n = bad || cut ? 0 : fl_own_addresses(&m, k->type, k->addr, ADDRS);
	bool end = k->n || (!bad && !cut && m.rcode == FL_NXDOMAIN);
	uint16_t rcode = bad ? (uint16_t)FL_SERVFAIL : m.rcode;
	fl_arena_finish(&mem);
	if (cut || (!end && !rcode && k->type == FL_T_A)) {
		k->tcp = cut;
		k->type = cut ? k->type : FL_T_AAAA;
		k->tries = 0;
		ask(k);
	} else {
		over(k, rcode == FL_NOERROR || rcode == FL_NXDOMAIN ? "no such host" : "server misbehaving");
	}
}

static void ask(struct fl_acme_lookup *k)
{
	char why[200];
	k->tries++;
	k->ask = fl_own_query(k->query, FL_RD, k->name, k->type);
	k->ask.done = answered;
	int ret = fl_upstream_ask(k->up, &k->ask, k->tcp, WAIT_NS);
	if (!ret)
		return;
	fl_upstream_why(&k->ask, ret, why, sizeof why);
	over(k, why);
}

static void resolved(void *arg, const struct fl_addresses *a, const char *why)
{
	struct fl_acme_lookup *k = arg;
	k->resolve = NULL;
	if (!a->n) {
		over(k, why);
		return;
	}
	struct fl_up_conf c = { .addr = a->sa[0], .addr_len = a->len[0], .name = k->server, .expire_ns = FL_SEC };
	k->net = fl_up_net_create(k->loop, &k->pool);
	k->up = fl_upstream_create(k->net, &c);
	ask(k);
}

struct fl_acme_lookup *fl_acme_lookup(struct fl_loop *l, const char *resolver, uint16_t port, const char *host,
				      void (*fn)(void *arg, const struct fl_addr *a, unsigned n, const char *why), void *arg)
{
	struct fl_acme_lookup *k = fl_xalloc(sizeof *k);
	struct fl_addresses direct;
	*k = (struct fl_acme_lookup){ .loop = l, .type = FL_T_A, .fn = fn, .arg = arg, .later.fn = told };
	fl_pool_init(&k->pool, POOL);
	snprintf(k->host, sizeof k->host, "%s", host);
	snprintf(k->server, sizeof k->server, strchr(resolver, ':') ? "[%.255s]:%u" : "%.255s:%u", resolver, port);
	int len = fl_name_parse(k->wire, fl_str(host));
	k->name = (struct fl_name){ k->wire, len > 0 ? (uint8_t)len : 0 };
	if (len < 0)
		over(k, "no such host");
	else if (fl_resolve_literal(&direct, resolver, port))
		resolved(k, &direct, NULL);
	else if (!(k->resolve = fl_resolve(l, resolver, port, resolved, k)))
		over(k, "no thread for the look-up");
	return k;
}

void fl_acme_lookup_destroy(struct fl_acme_lookup *k)
{
	if (!k)
		return;
	fl_timer_clear(k->loop, &k->later);
	fl_resolve_cancel(k->resolve);
	fl_upstream_cancel(&k->ask);
	fl_upstream_destroy(k->up);
	fl_up_net_destroy(k->net);
	fl_pool_finish(&k->pool);
	free(k);
}

#include "plugin/tls/lookup.h"
#include "net/resolve.h"
#include "net/upstream.h"
#include "wire/pack.h"
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
	uint8_t wire[FL_NAME_MAX], query[FL_UP_ROOM + FL_HEADER + FL_NAME_MAX + 4];
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

/* True: there are addresses, or the answer says for good that there are none. */
static bool take(struct fl_acme_lookup *k, const struct fl_message *m)
{
	for (unsigned i = 0; i < m->n; i++)
		for (struct fl_rr r = { 0 }; m->item[i].section == FL_ANSWER && m->item[i].set->type == k->type && fl_rr_next(m->item[i].set, &r);)
			if (k->n < ADDRS && (r.rdlen == 4 || r.rdlen == 16)) {
				k->addr[k->n].len = (uint8_t)r.rdlen;
				memcpy(k->addr[k->n++].b, r.rdata, r.rdlen);
			}
	return k->n || m->rcode == FL_NXDOMAIN;
}

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
	bool end = !bad && !cut && take(k, &m);
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
	uint8_t *msg = k->query + FL_UP_ROOM;
	char why[200];
	k->tries++;
	k->ask = (struct fl_up_ask){ .msg = msg, .question = (uint16_t)(k->name.len + 4u), .done = answered };
	k->ask.len = (uint16_t)fl_pack_query(msg, sizeof k->query - FL_UP_ROOM, 0, FL_RD, k->name, k->type, FL_C_IN, false, 0, 0, NULL);
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

/* Is anybody there? Asked only of servers that failed, on the main thread, until they answer. */
#include "plugin/forward/forward_int.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { POOL = 1 << 20, SHORTEST_MS = 50, TEXT = 80, LATE_MAX = 3 };

struct fwd_health {
	uint32_t fails;                 /* probes that failed in a row; atomic */
	uint32_t late;                  /* answers in a row that another server gave instead; atomic */
	bool ill;                       /* a probe is wanted or running; atomic */
	struct fl_io bell;              /* an eventfd: any thread rings it */
	/* the main thread's */
	struct fl_loop *loop;
	bool probing, tcp;
	uint64_t pause_ns;
	char to[TEXT], *tls_name, *authority, *key;
	struct fwd_health *next;        /* in fwd.health */
	struct fl_up_conf conf;
	struct fl_grid *failed;
	struct fl_pool pool;
	struct fl_up_net *net;          /* made with the first probe */
	struct fl_upstream *up;
	struct fl_timer again;
	struct fl_up_ask ask;
	uint8_t query[FL_OWN_QUERY];
};

/* ---- any thread ---- */

void fl_forward_ill(struct fwd_server *v)
{
	struct fwd_health *h = v->health;
	uint64_t one = 1;
	if (!h || __atomic_load_n(&h->ill, __ATOMIC_RELAXED) || __atomic_exchange_n(&h->ill, true, __ATOMIC_ACQ_REL))
		return;
	if (write(h->bell.fd, &one, sizeof one) < 0)    /* full: rung already */
		return;
}

void fl_forward_late(struct fwd_server *v)
{
	if (v->health && __atomic_add_fetch(&v->health->late, 1, __ATOMIC_RELAXED) >= LATE_MAX)
		fl_forward_ill(v);
}

void fl_forward_heard(struct fwd_server *v)
{
	if (v->health && __atomic_load_n(&v->health->late, __ATOMIC_RELAXED))
		__atomic_store_n(&v->health->late, 0, __ATOMIC_RELAXED);
}

bool fl_forward_down(const struct fwd_server *v)
{
	return v->health && __atomic_load_n(&v->health->fails, __ATOMIC_RELAXED) > v->stanza->max_fails;
}

bool fl_forward_suspect(const struct fwd_server *v)
{
	return v->health && __atomic_load_n(&v->health->ill, __ATOMIC_RELAXED);
}

/* ---- the main thread ---- */

static void failed(struct fwd_health *h)
{
	fl_grid_add(h->failed, 0, 0, 1);
	if (h->fails != UINT32_MAX)
		__atomic_fetch_add(&h->fails, 1, __ATOMIC_RELAXED);
	fl_timer_set(h->loop, &h->again, fl_loop_now(h->loop) + h->pause_ns);
}

static void probed(struct fl_up_ask *a, int ret, const uint8_t *msg, size_t n)
{
	struct fwd_health *h = (struct fwd_health *)((char *)a - offsetof(struct fwd_health, ask));
	(void)msg;
	(void)n;
	if (ret) {
		failed(h);
		return;
	}
	h->probing = false;
	__atomic_store_n(&h->fails, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&h->ill, false, __ATOMIC_RELEASE);
}

static void probe(struct fwd_health *h)
{
	h->probing = true;
	if (!h->net) {
		fl_pool_init(&h->pool, POOL);
		h->net = fl_up_net_create(h->loop, &h->pool);
		h->up = fl_upstream_create(h->net, &h->conf);
	}
	if (fl_upstream_ask(h->up, &h->ask, h->tcp, h->tcp ? 2 * FL_SEC : FL_SEC))
		failed(h);
}

static void again(struct fl_timer *t)
{
	probe((struct fwd_health *)((char *)t - offsetof(struct fwd_health, again)));
}

static void rung(struct fl_io *io, uint32_t events)
{
	struct fwd_health *h = (struct fwd_health *)((char *)io - offsetof(struct fwd_health, bell));
	uint64_t n;
	(void)events;
	if (read(io->fd, &n, sizeof n) == sizeof n && !h->probing)
		probe(h);
}

/* ---- create, destroy ---- */

static void destroy(void *obj)
{
	struct fwd_health *h = obj;
	fl_loop_del(h->loop, &h->bell);
	if (h->bell.fd >= 0)
		close(h->bell.fd);
	fl_timer_clear(h->loop, &h->again);
	fl_upstream_cancel(&h->ask);
	fl_upstream_destroy(h->up);
	fl_up_net_destroy(h->net);
	fl_pool_finish(&h->pool);
	fl_tls_creds_put(h->conf.creds);
	free(h->tls_name);
	free(h->authority);
	free(h->key);
	free(h);
}

struct how { struct fl_loop *loop; const struct fwd_server *v; };

static char *copy(const char *text) { return text ? fl_xstrndup(text, strlen(text)) : NULL; }

/* The probe asks for NS of the root or of the configured name; any response says that the server is there. */
static void *create(void *arg)
{
	const struct how *how = arg;
	const struct fwd_server *v = how->v;
	const struct fwd_stanza *st = v->stanza;
	static const struct fl_metric_def def = { .name = "coredns_proxy_healthcheck_failures_total", .kind = FL_COUNTER,
		.help = "Counter of the number of failed healthchecks.", .labels = { "proxy_name", "to" } };
	static const struct fl_metric_def old = { .name = "coredns_forward_healthcheck_failures_total", .kind = FL_COUNTER,
		.help = "Counter of the number of failed healthchecks.", .labels = { "to" } };
	struct fwd_health *h = fl_xalloc(sizeof *h);
	h->loop = how->loop;
	h->tcp = st->force_tcp || v->conf.kind != FL_UP_DNS;
	h->pause_ns = (uint64_t)st->check_ns < SHORTEST_MS * FL_MS ? SHORTEST_MS * FL_MS : (uint64_t)st->check_ns;
	snprintf(h->to, sizeof h->to, "%s", v->to);
	h->conf = v->conf;
	h->conf.name = h->to;
	h->conf.expire_ns = 0;          /* a fresh socket each time */
	h->conf.tls_name = h->tls_name = copy(v->conf.tls_name);
	h->conf.authority = h->authority = copy(v->conf.authority);
	if (h->conf.creds)
		fl_tls_creds_get(h->conf.creds);
	h->failed = fl_metric_plain(&def, "forward", v->to);
	struct fl_str to = fl_str(v->to);
	fl_metric_mirror(&old, &to, h->failed);
	h->again.fn = again;
	h->ask = fl_own_query(h->query, st->check_rd ? FL_RD : 0, st->check_name, FL_T_NS);
	h->ask.loose = true;
	h->ask.done = probed;
	h->bell = (struct fl_io){ .fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), .fn = rung };
	if (h->bell.fd < 0 || fl_loop_add(h->loop, &h->bell, EPOLLIN)) {
		destroy(h);
		return NULL;
	}
	return h;
}

/* Without s: one that this instance made before for an equal server, else a new one, which lives as long as the instance. */
static struct fwd_health *own(struct fwd *f, const struct fwd_server *v, const char *key)
{
	struct how how = { f->loop, v };
	for (struct fwd_health *h = f->health; h; h = h->next)
		if (!strcmp(h->key, key))
			return h;
	struct fwd_health *h = create(&how);
	if (!h)
		return NULL;
	h->key = copy(key);
	h->next = f->health;
	f->health = h;
	return h;
}

void fl_forward_health_free(struct fwd *f)
{
	for (struct fwd_health *h = f->health, *next; h; h = next) {
		next = h->next;
		destroy(h);
	}
	f->health = NULL;
}

struct fwd_health *fl_forward_health(struct fl_setup *s, const struct fwd_server *v)
{
	char key[FL_NAME_TEXT_MAX + 600], name[FL_NAME_TEXT_MAX], source[INET6_ADDRSTRLEN] = "";
	const struct fwd_stanza *st = v->stanza;
	const struct fl_up_conf *c = &v->conf;
	fl_name_text(name, st->check_name);
	if (c->source_len)
		inet_ntop(c->source.sin6_family, c->source.sin6_family == AF_INET6 ? (const void *)&c->source.sin6_addr
			  : &((const struct sockaddr_in *)&c->source)->sin_addr, source, sizeof source);
	int n = snprintf(key, sizeof key, "forward health %s %u %d %d %lld %s %d %s %d %s %.255s %llx", v->to, c->addr.sin6_scope_id,
			 st->force_tcp, st->check_rd, (long long)st->check_ns, name, c->kind, source, c->get,
			 c->authority ? c->authority : "", c->tls_name ? c->tls_name : "", c->creds ? (unsigned long long)st->creds_id : 0);
	if (!s)
		return own(st->in, v, key);
	struct how how = { fl_setup_loop(s), v };
	return fl_setup_keep(s, (struct fl_str){ key, (size_t)n < sizeof key ? (size_t)n : sizeof key - 1 }, create, destroy, &how);
}

/* Is anybody there? Asked only of servers that failed, on the main thread, until they answer. */
#include "plugin/forward/forward_int.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { POOL = 1 << 20, SHORTEST_MS = 50 };

static void probe(struct fwd_server *v);

static void failed(struct fwd_server *v)
{
	struct fl_loop *l = v->stanza->in->loop;
	uint64_t pause = (uint64_t)v->stanza->check_ns;
	fl_grid_add(v->failed, 0, 0, 1);
	if (v->fails != UINT32_MAX)
		__atomic_fetch_add(&v->fails, 1, __ATOMIC_RELAXED);
	if (pause < SHORTEST_MS * FL_MS)
		pause = SHORTEST_MS * FL_MS;
	fl_timer_set(l, &v->again, fl_loop_now(l) + pause);
}

static void again(struct fl_timer *t)
{
	probe((struct fwd_server *)((char *)t - offsetof(struct fwd_server, again)));
}

static void probed(struct fl_up_ask *a, int ret, const uint8_t *msg, size_t n)
{
	struct fwd_server *v = (struct fwd_server *)((char *)a - offsetof(struct fwd_server, ask));
	(void)msg;
	(void)n;
	if (ret) {
		failed(v);
		return;
	}
	v->probing = false;
	__atomic_store_n(&v->fails, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&v->ill, false, __ATOMIC_RELEASE);
}

/* "NS ." or the configured name; any response says that the server is there. */
static void probe(struct fwd_server *v)
{
	const struct fwd_stanza *st = v->stanza;
	uint8_t *msg = v->query + FL_UP_ROOM;
	v->probing = true;
	v->ask = (struct fl_up_ask){ .msg = msg, .question = (uint16_t)(st->check_name.len + 4u), .loose = true, .done = probed };
	v->ask.len = (uint16_t)fl_pack_query(msg, sizeof v->query - FL_UP_ROOM, 0, st->check_rd ? FL_RD : 0, st->check_name, FL_T_NS,
					     FL_C_IN, false, 0, 0, NULL);
	if (fl_upstream_ask(v->up, &v->ask, st->force_tcp, st->force_tcp ? 2 * FL_SEC : FL_SEC))
		failed(v);
}

static void rung(struct fl_io *io, uint32_t events)
{
	struct fwd *f = (struct fwd *)((char *)io - offsetof(struct fwd, bell));
	uint64_t n;
	(void)events;
	if (read(io->fd, &n, sizeof n) < 0)
		return;
	for (unsigned i = 0; i < f->n; i++)
		for (unsigned k = 0; k < f->stanza[i].n; k++) {
			struct fwd_server *v = &f->stanza[i].server[k];
			if (__atomic_load_n(&v->ill, __ATOMIC_ACQUIRE) && !v->probing)
				probe(v);
		}
}

void fl_forward_ill(struct fwd *f, struct fwd_server *v)
{
	uint64_t one = 1;
	if (__atomic_load_n(&v->ill, __ATOMIC_RELAXED) || __atomic_exchange_n(&v->ill, true, __ATOMIC_ACQ_REL))
		return;
	if (write(f->bell.fd, &one, sizeof one) < 0)    /* full: rung already */
		return;
}

/* The bell itself stays: queries that are still out may ring. */
void fl_forward_stop(void *inst)
{
	struct fwd *f = inst;
	fl_loop_del(f->loop, &f->bell);
	for (unsigned i = 0; i < f->n; i++)
		for (unsigned k = 0; k < f->stanza[i].n; k++) {
			struct fwd_server *v = &f->stanza[i].server[k];
			fl_timer_clear(f->loop, &v->again);
			fl_upstream_cancel(&v->ask);
			fl_upstream_destroy(v->up);
			v->up = NULL;
		}
	fl_up_net_destroy(f->net);
	f->net = NULL;
	fl_pool_finish(&f->pool);
}

int fl_forward_start(void *inst, struct fl_err *e)
{
	struct fwd *f = inst;
	f->bell.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (f->bell.fd < 0)
		return fl_err_set(e, "plugin/forward: eventfd: %s", strerror(errno));
	fl_pool_init(&f->pool, POOL);
	f->net = fl_up_net_create(f->loop, &f->pool);
	for (unsigned i = 0; i < f->n; i++)
		for (unsigned k = 0; k < f->stanza[i].n; k++) {
			struct fwd_server *v = &f->stanza[i].server[k];
			struct fl_up_conf c = v->conf;
			c.expire_ns = 0;        /* a fresh socket each time */
			v->up = fl_upstream_create(f->net, &c);
			v->again.fn = again;
		}
	f->bell.fn = rung;
	int ret = fl_loop_add(f->loop, &f->bell, EPOLLIN);
	if (!ret)
		return 0;
	fl_forward_stop(f);
	return fl_err_set(e, "plugin/forward: epoll: %s", strerror(-ret));
}

void fl_forward_destroy(void *inst)
{
	struct fwd *f = inst;
	if (f->bell.fd >= 0)
		close(f->bell.fd);
}

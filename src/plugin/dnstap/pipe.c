/* pipe.c: from the shards to those who listen. A ring for each shard, one writer and one reader, holds whole frames one behind the other; a
 * frame that would cross the end begins anew at the start. A shard rings a bell when the reader sleeps; the reader looks again every 10 ms
 * until nothing comes any more, so a busy server pays no system call for it. */
#include "plugin/dnstap/dnstap.h"
#include "base/log.h"
#include "net/resolve.h"
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/un.h>
#include <unistd.h>

#define WHO "plugin/dnstap"
#define LOOK_NS (10 * FL_MS)
#define AGAIN_NS FL_SEC
#define TELL_NS (10 * FL_SEC)           /* as CoreDNS counts what was dropped */
enum { QUEUE_BYTES = 2560 * 1024, RING_MIN = 256 * 1024, TURN = 8192, SINKS_MAX = 64 };

struct ring {
	uint8_t *mem;
	size_t cap;
	_Alignas(64) uint64_t head;     /* the shard's; next: where the frame under way begins */
	uint64_t next;
	_Alignas(64) uint64_t tail;     /* the reader's */
};

struct dnstap_pipe {
	struct dnstap_where where;
	struct fl_loop *loop;
	struct fl_grid *dropped, *sent;
	unsigned nring, first;
	struct ring *ring;
	uint32_t rung;                  /* atomic: the reader is awake, or will be */
	bool started, failed;           /* failed: that it cannot listen was told */
	double told;                    /* of dropped */
	struct fl_io bell, door;
	struct fl_timer look, tell, again;
	struct fl_tls_host *tls;        /* listen tls:// */
	struct dnstap_sink *sink, *dead;
	unsigned nsink;
};

/* ---- shards ---- */

uint8_t *fl_dnstap_room(struct dnstap_pipe *p, unsigned shard, size_t n)
{
	struct ring *r = &p->ring[shard - 1];
	uint64_t tail = __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE);
	size_t at = r->head % r->cap, skip = r->cap - at < n ? r->cap - at : 0;
	if (n > SINK_ROOM / 2 || r->cap - (r->head - tail) < n + skip) {
		fl_grid_add(p->dropped, shard, 0, 1);
		return NULL;
	}
	if (skip >= 4)
		fl_put32(r->mem + at, UINT32_MAX);
	r->next = r->head + skip;
	return r->mem + r->next % r->cap;
}

void fl_dnstap_send(struct dnstap_pipe *p, unsigned shard, size_t n)
{
	struct ring *r = &p->ring[shard - 1];
	uint64_t one = 1;
	__atomic_store_n(&r->head, r->next + n, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&p->rung, __ATOMIC_SEQ_CST) || __atomic_exchange_n(&p->rung, 1, __ATOMIC_SEQ_CST))
		return;
	if (write(p->bell.fd, &one, sizeof one) < 0)    /* full: rung already */
		return;
}

/* ---- the reader ---- */

/* The oldest frame; NULL: none. */
static const uint8_t *peek(struct ring *r, size_t *n)
{
	uint64_t head = __atomic_load_n(&r->head, __ATOMIC_SEQ_CST);
	while (r->tail != head) {
		size_t at = r->tail % r->cap;
		if (r->cap - at >= 4 && fl_get32(r->mem + at) != UINT32_MAX) {
			*n = 4 + (size_t)fl_get32(r->mem + at);
			return r->mem + at;
		}
		__atomic_store_n(&r->tail, r->tail + (r->cap - at), __ATOMIC_RELEASE);
	}
	return NULL;
}

/* Sinks that dial make the ring wait; those that came to us must keep up or go, as in CoreDNS. False: not now. */
static bool give(struct dnstap_pipe *p, const uint8_t *frame, size_t n)
{
	for (struct dnstap_sink *s = p->sink, *next; s; s = next) {
		next = s->next;
		if (!fl_dnstap_sink_takes(s, n))
			fl_dnstap_sink_flush(s);
		if (fl_dnstap_sink_takes(s, n))
			fl_dnstap_sink_put(s, frame, n);
		else if (!p->where.listen)
			return false;
		else if (s->state == SINK_ON)
			fl_dnstap_sink_drop(s);
	}
	fl_grid_add(p->sent, 0, 0, p->sink != NULL);
	return true;
}

static void bury(struct dnstap_pipe *p)
{
	for (struct dnstap_sink *s; (s = p->dead);) {
		p->dead = s->next;
		fl_dnstap_sink_destroy(s);
	}
}

static bool anything(struct dnstap_pipe *p)
{
	size_t n;
	for (unsigned i = 0; i < p->nring; i++)
		if (peek(&p->ring[i], &n))
			return true;
	return false;
}

/* Frames of one ring, at most TURN; false: they cannot go out now. */
static bool move(struct dnstap_pipe *p, struct ring *r, unsigned *moved)
{
	const uint8_t *frame;
	size_t n;
	for (unsigned i = 0; i < TURN && (frame = peek(r, &n)); i++) {
		if (!give(p, frame, n))
			return false;
		__atomic_store_n(&r->tail, r->tail + n, __ATOMIC_RELEASE);
		++*moved;
	}
	return true;
}

static void drain(struct dnstap_pipe *p)
{
	unsigned moved = 0;
	bool stuck = false;
	bury(p);
	for (unsigned i = 0; i < p->nring && !stuck; i++)
		stuck = !move(p, &p->ring[(p->first + i) % p->nring], &moved);
	p->first++;
	for (struct dnstap_sink *s = p->sink, *next; s; s = next) {
		next = s->next;
		fl_dnstap_sink_flush(s);
	}
	if (stuck)
		return;                 /* until the sink is ready */
	if (!moved) {
		__atomic_store_n(&p->rung, 0, __ATOMIC_SEQ_CST);
		if (!anything(p) || __atomic_exchange_n(&p->rung, 1, __ATOMIC_SEQ_CST))
			return;
	}
	fl_timer_set(p->loop, &p->look, fl_loop_tick(p->loop) + (moved < TURN ? LOOK_NS : 0));
}

static void look(struct fl_timer *t) { drain((struct dnstap_pipe *)((char *)t - offsetof(struct dnstap_pipe, look))); }

static void rung(struct fl_io *io, uint32_t events)
{
	uint64_t n;
	(void)events;
	if (read(io->fd, &n, sizeof n) == sizeof n)
		drain((struct dnstap_pipe *)((char *)io - offsetof(struct dnstap_pipe, bell)));
}

static void tell(struct fl_timer *t)
{
	struct dnstap_pipe *p = (struct dnstap_pipe *)((char *)t - offsetof(struct dnstap_pipe, tell));
	double all = fl_grid_value(p->dropped, 0);
	if (all > p->told)
		fl_log(FL_WARN, WHO, "Dropped dnstap messages: %.0f", all - p->told);
	p->told = all;
	bury(p);
	fl_timer_set(p->loop, t, fl_loop_tick(p->loop) + TELL_NS);
}

/* ---- sinks ---- */

static void ready(struct dnstap_sink *s)
{
	struct dnstap_pipe *p = s->owner;
	fl_dnstap_sink_flush(s);
	fl_timer_set(p->loop, &p->look, fl_loop_tick(p->loop));
}

static void lost(struct dnstap_sink *s, unsigned frames)
{
	struct dnstap_pipe *p = s->owner;
	fl_grid_add(p->dropped, 0, 0, frames);
	if (!s->incoming)
		return;
	for (struct dnstap_sink **at = &p->sink; *at; at = &(*at)->next)
		if (*at == s) {
			*at = s->next;
			s->next = p->dead;
			p->dead = s;
			p->nsink--;
			return;
		}
}

static void add(struct dnstap_pipe *p, int fd)
{
	struct fl_err e;
	if (p->tls && fl_tls_host_reload(p->tls, &e) < 0)       /* a new certificate is for the next that comes */
		fl_log(FL_ERROR, WHO, "%s", e.msg);
	struct dnstap_sink *s = fl_dnstap_sink(p->loop, &p->where, fd, p->tls ? fl_tls_host_now(p->tls) : NULL);
	s->lost = lost;
	s->ready = ready;
	s->owner = p;
	s->next = p->sink;
	p->sink = s;
	p->nsink++;
	fl_dnstap_sink_start(s);
}

static void knock(struct fl_io *io, uint32_t events)
{
	struct dnstap_pipe *p = (struct dnstap_pipe *)((char *)io - offsetof(struct dnstap_pipe, door));
	int fd = accept4(io->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	(void)events;
	bury(p);
	if (fd >= 0 && p->nsink < SINKS_MAX)
		add(p, fd);
	else if (fd >= 0)
		close(fd);
}

/* ---- listening ---- */

static int bind_unix(int fd, const struct dnstap_where *w)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	if (w->endpoint.n >= sizeof sun.sun_path)
		return -EINVAL;
	fl_put_bytes(sun.sun_path, w->endpoint.p, w->endpoint.n);
	int ret = bind(fd, (struct sockaddr *)&sun, sizeof sun);
	if (!ret || errno != EADDRINUSE)
		return ret ? -errno : 0;
	/* Left by a process that is gone, or somebody's? */
	int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	bool gone = probe >= 0 && connect(probe, (struct sockaddr *)&sun, sizeof sun) && errno == ECONNREFUSED;
	if (probe >= 0)
		close(probe);
	if (!gone || unlink(sun.sun_path))
		return -EADDRINUSE;
	return bind(fd, (struct sockaddr *)&sun, sizeof sun) ? -errno : 0;
}

static int bind_tcp(int fd, const struct sockaddr_in6 *sa, socklen_t n)
{
	int on = 1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	return bind(fd, (const struct sockaddr *)sa, n) ? -errno : 0;
}

/* Files as CoreDNS takes them: with a CA clients must be signed by it, under skipverify only when they show something. */
static int certificate(struct dnstap_pipe *p, struct fl_err *e)
{
	const struct dnstap_where *w = &p->where;
	struct fl_tls_paths paths = { w->cert.p, w->key.p, w->ca.p, !w->ca.n ? FL_TLS_NOCERT : w->skipverify ? FL_TLS_VERIFY_IF_GIVEN :
				      FL_TLS_REQUIRE_AND_VERIFY, -1 };
	if (w->proto == DNSTAP_TLS && !p->tls)
		p->tls = fl_tls_host_create(&paths, e);
	return w->proto == DNSTAP_TLS && !p->tls ? -EINVAL : 0;
}

static int bind_any(int *fd, const struct dnstap_where *w)
{
	struct fl_addresses a = { .n = 0 };
	char host[256];
	uint16_t port;
	bool unix_path = w->proto == DNSTAP_UNIX;
	if (!unix_path && (!fl_dnstap_split(w->endpoint, host, &port) || !fl_resolve_literal(&a, *host ? host : "::", port)))
		return -EADDRNOTAVAIL;
	*fd = socket(unix_path ? AF_UNIX : a.sa[0].sin6_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (*fd < 0)
		return -errno;
	int ret = unix_path ? bind_unix(*fd, w) : bind_tcp(*fd, &a.sa[0], a.len[0]);
	return ret ? ret : listen(*fd, SINKS_MAX) ? -errno : 0;
}

static void listen_on(struct dnstap_pipe *p)
{
	bool unix_path = p->where.proto == DNSTAP_UNIX;
	struct fl_err e = { "" };
	int fd = -1, ret = certificate(p, &e);
	ret = ret ? ret : bind_any(&fd, &p->where);
	p->door.fd = fd;
	if (!ret)
		ret = fl_loop_add(p->loop, &p->door, EPOLLIN);
	if (!ret)
		return;
	if (fd >= 0)
		close(fd);
	p->door.fd = -1;
	/* Later, perhaps: with other sizes on the same endpoint the configuration before still has it. */
	fl_timer_set(p->loop, &p->again, fl_loop_tick(p->loop) + AGAIN_NS);
	const char *why = strerrordesc_np(-ret);
	if (p->failed)
		return;
	p->failed = true;
	if (*e.msg)
		fl_log(FL_ERROR, WHO, "Failed to start dnstap listener: %s", e.msg);
	else
		fl_log(FL_ERROR, WHO, "Failed to start dnstap listener: listen %s %.*s: bind: %c%s", unix_path ? "unix" : "tcp", FL_FMT(p->where.endpoint),
	       fl_lower((uint8_t)*why), why + 1);
}

static void again(struct fl_timer *t) { listen_on((struct dnstap_pipe *)((char *)t - offsetof(struct dnstap_pipe, again))); }

void fl_dnstap_pipe_start(struct dnstap_pipe *p)
{
	if (p->started)
		return;
	p->started = true;
	fl_timer_set(p->loop, &p->tell, fl_loop_tick(p->loop) + TELL_NS);
	if (p->where.listen && p->where.proto == DNSTAP_TLS && !p->where.cert.n)
		fl_log(FL_WARN, WHO, "TLS listener requires cert and key files");
	else if (p->where.listen)
		listen_on(p);
	else
		add(p, -1);
}

/* ---- create, destroy ---- */

static void unlisten(struct dnstap_pipe *p)
{
	if (p->door.fd < 0)
		return;
	fl_loop_del(p->loop, &p->door);
	close(p->door.fd);
	if (p->where.proto == DNSTAP_UNIX)
		unlink(p->where.endpoint.p);
}

static void destroy(void *obj)
{
	struct dnstap_pipe *p = obj;
	if (p->started)
		drain(p);
	bury(p);
	unlisten(p);
	while (p->sink) {
		struct dnstap_sink *s = p->sink;
		p->sink = s->next;
		fl_dnstap_sink_destroy(s);
	}
	fl_timer_clear(p->loop, &p->look);
	fl_timer_clear(p->loop, &p->tell);
	fl_timer_clear(p->loop, &p->again);
	fl_loop_del(p->loop, &p->bell);
	if (p->bell.fd >= 0)
		close(p->bell.fd);
	for (unsigned i = 0; i < p->nring; i++)
		if (p->ring[i].mem)
			munmap(p->ring[i].mem, p->ring[i].cap);
	free(p->ring);
	fl_tls_host_destroy(p->tls);
	const struct fl_str *text[] = { &p->where.endpoint, &p->where.cert, &p->where.key, &p->where.ca };
	for (unsigned i = 0; i < FL_COUNT(text); i++)
		free((char *)text[i]->p);
	free(p);
}

static bool rings(struct dnstap_pipe *p, unsigned shards)
{
	size_t cap = (size_t)p->where.queue * QUEUE_BYTES / shards;
	cap = ((cap > RING_MIN ? cap : RING_MIN) + 4095) & ~(size_t)4095;
	p->nring = shards;
	p->ring = aligned_alloc(64, shards * sizeof *p->ring);
	if (!p->ring)
		return false;
	memset(p->ring, 0, shards * sizeof *p->ring);
	for (unsigned i = 0; i < shards; i++) {
		void *mem = mmap(NULL, cap, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (mem == MAP_FAILED)
			return false;
		p->ring[i].mem = mem;
		p->ring[i].cap = cap;
	}
	return true;
}

struct how { const struct dnstap_where *where; struct fl_loop *loop; unsigned shards; };

static void *create(void *arg)
{
	static const struct fl_metric_def dropped = { .name = "fairlead_dnstap_dropped_total", .kind = FL_COUNTER, .always = true,
		.help = "Counter of dnstap frames that were dropped.", .labels = { "endpoint" } };
	static const struct fl_metric_def sent = { .name = "fairlead_dnstap_frames_total", .kind = FL_COUNTER, .always = true,
		.help = "Counter of dnstap frames that were handed on.", .labels = { "endpoint" } };
	const struct how *how = arg;
	struct dnstap_pipe *p = fl_xalloc(sizeof *p);
	p->where = *how->where;
	struct fl_str *text[] = { &p->where.endpoint, &p->where.cert, &p->where.key, &p->where.ca };
	for (unsigned i = 0; i < FL_COUNT(text); i++)
		text[i]->p = text[i]->p ? fl_xstrndup(text[i]->p, text[i]->n) : NULL;
	p->loop = how->loop;
	p->dropped = fl_metric_plain(&dropped, p->where.endpoint.p);
	p->sent = fl_metric_plain(&sent, p->where.endpoint.p);
	p->told = fl_grid_value(p->dropped, 0);
	p->look.fn = look;
	p->tell.fn = tell;
	p->again.fn = again;
	p->door = (struct fl_io){ .fd = -1, .fn = knock };
	p->bell = (struct fl_io){ .fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), .fn = rung };
	if (rings(p, how->shards) && p->bell.fd >= 0 && !fl_loop_add(p->loop, &p->bell, EPOLLIN))
		return p;
	destroy(p);
	return NULL;
}

struct dnstap_pipe *fl_dnstap_pipe(struct fl_setup *s, const struct dnstap_where *w, struct fl_err *e)
{
	struct how how = { w, fl_setup_loop(s), fl_setup_process(s)->shards };
	struct fl_str key = fl_arena_printf(fl_setup_arena(s), "dnstap %d %d %d %u %u %.*s\n%.*s\n%.*s\n%.*s", w->proto, w->listen, w->skipverify,
					    w->buffer_mib, w->queue, FL_FMT(w->endpoint), FL_FMT(w->cert), FL_FMT(w->key), FL_FMT(w->ca));
	struct dnstap_pipe *p = fl_setup_keep(s, key, create, destroy, &how);
	if (!p)
		fl_err_set(e, "no memory for a queue of %u x 10000 messages, or no descriptor left", w->queue);
	return p;
}

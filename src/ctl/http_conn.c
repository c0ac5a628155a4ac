/* One client of an admin face.
 *
 *   READ ──head──→ BUSY (handler) → WRITE ──all sent, keep──→ READ
 *     └ 5 s, closed → free             └ all sent, last one → free, or LINGER when the client may still be sending: what comes
 *                                         is thrown away for a second, else the kernel's reset could overtake the answer */
#include "base/mem.h"
#include "ctl/http_int.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { READ, BUSY, WRITE, LINGER };
static const uint64_t patience = 5 * FL_SEC;

struct fl_http_peer {
	struct fl_io io;
	struct fl_timer timer;          /* the deadline; or the next request of a pipeline */
	struct fl_http_peers *all;
	struct fl_http_peer *prev, *next;
	int state;
	bool keep, reading, refused;    /* reading: some of a head is here; refused: the answer is an error of ours */
	uint64_t skip;                  /* of a request's body, still to come; UINT64_MAX: no end */
	size_t in_n, out_n, out_at, body_n;
	char *body;
	char out[1536];
	char in[FL_HTTP_HEAD];
};

static void serve(struct fl_http_peer *p);

/* ---- the list ---- */

static void list_out(struct fl_http_peer *p)
{
	*(p->prev ? &p->prev->next : &p->all->first) = p->next;
	*(p->next ? &p->next->prev : &p->all->last) = p->prev;
}

static void list_in(struct fl_http_peer *p)
{
	p->next = NULL;
	p->prev = p->all->last;
	*(p->prev ? &p->prev->next : &p->all->first) = p;
	p->all->last = p;
}

/* May free the listener. */
static void drop(struct fl_http_peer *p)
{
	struct fl_http_peers *ps = p->all;
	fl_timer_clear(ps->loop, &p->timer);
	fl_loop_del(ps->loop, &p->io);
	close(p->io.fd);
	list_out(p);
	free(p->body);
	free(p);
	if (!--ps->n && ps->closing)
		ps->gone(ps);
}

void fl_http_peer_evict(struct fl_http_peers *ps)
{
	struct fl_http_peer *p = ps->first;
	while (p && p->state == WRITE)
		p = p->next;
	p = p ? p : ps->first;
	if (!p)
		return;
	fl_http_dropped(FL_HTTP_EVICTED);
	drop(p);
}

void fl_http_peers_close(struct fl_http_peers *ps, bool cut)
{
	ps->closing = true;
	if (!ps->n) {
		ps->gone(ps);
		return;
	}
	for (struct fl_http_peer *p = ps->first, *next; p; p = next) {
		next = p->next;         /* after the last drop ps may be gone */
		if (cut || (p->state == READ && !p->reading))
			drop(p);
	}
}

/* ---- answering ---- */

static void on_timer(struct fl_timer *t)
{
	struct fl_http_peer *p = (struct fl_http_peer *)((char *)t - offsetof(struct fl_http_peer, timer));
	if (p->state == WRITE || (p->state == READ && p->reading))
		fl_http_dropped(FL_HTTP_TIMEOUT);
	drop(p);
}

static void on_next(struct fl_timer *t)
{
	struct fl_http_peer *p = (struct fl_http_peer *)((char *)t - offsetof(struct fl_http_peer, timer));
	serve(p);
}

static void deadline(struct fl_http_peer *p, uint64_t ns)
{
	p->timer.fn = on_timer;
	fl_timer_set(p->all->loop, &p->timer, fl_loop_now(p->all->loop) + ns);
}

/* The answer is out. */
static void answered(struct fl_http_peer *p)
{
	free(p->body);
	p->body = NULL;
	p->body_n = 0;
	list_out(p);
	list_in(p);
	p->reading = false;
	size_t eat = p->skip < p->in_n ? (size_t)p->skip : p->in_n;
	p->in_n -= eat;
	memmove(p->in, p->in + eat, p->in_n);
	p->skip -= p->skip == UINT64_MAX ? 0 : eat;
	if (p->keep && !p->all->closing) {
		p->state = READ;
		fl_loop_change(p->all->loop, &p->io, EPOLLIN);
		deadline(p, patience);
		if (p->in_n) {          /* a pipeline: one request a turn of the loop */
			p->timer.fn = on_next;
			fl_timer_set(p->all->loop, &p->timer, fl_loop_now(p->all->loop));
		}
		return;
	}
	if (!p->skip && !p->in_n && !p->refused) {
		drop(p);
		return;
	}
	shutdown(p->io.fd, SHUT_WR);
	p->state = LINGER;
	fl_loop_change(p->all->loop, &p->io, EPOLLIN);
	deadline(p, FL_SEC);
}

static void flush(struct fl_http_peer *p)
{
	while (p->out_at < p->out_n + p->body_n) {
		struct iovec v[2] = { { p->out, p->out_n }, { p->body, p->body_n } };
		int first = p->out_at >= p->out_n;
		size_t done = first ? p->out_at - p->out_n : p->out_at;
		v[first].iov_base = (char *)v[first].iov_base + done;
		v[first].iov_len -= done;
		struct msghdr m = { .msg_iov = v + first, .msg_iovlen = first || !p->body_n ? 1 : 2 };
		ssize_t n = sendmsg(p->io.fd, &m, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			fl_loop_change(p->all->loop, &p->io, EPOLLOUT);
			return;
		}
		if (n < 0) {
			drop(p);
			return;
		}
		p->out_at += (size_t)n;
	}
	answered(p);
}

static void send_answer(struct fl_http_peer *p, const struct fl_http_head_in *h, struct fl_http_response *rs, const char *why)
{
	char date[40];
	time_t now = (time_t)fl_clock_wall_s();
	struct tm tm;
	gmtime_r(&now, &tm);
	strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
	/* Said only where it is not what the version does anyway. */
	const char *connection = p->keep == !h->http10 ? "" : p->keep ? "Connection: keep-alive\r\n" : "Connection: close\r\n";
	int n = snprintf(p->out, sizeof p->out,
			 "HTTP/1.%d %d %s%s%s\r\nContent-Type: %.128s\r\n%s%s%s%s%.600sDate: %s\r\nContent-Length: %zu\r\n%s\r\n",
			 !h->http10, rs->status, fl_http_reason(rs->status), why ? ": " : "", why ? why : "", rs->type,
			 rs->location[0] ? "Location: " : "", rs->location, rs->location[0] ? "\r\n" : "",
			 rs->nosniff ? "X-Content-Type-Options: nosniff\r\n" : "", rs->headers ? rs->headers : "", date, rs->n, connection);
	fl_assert(n > 0 && (size_t)n < sizeof p->out);
	p->out_n = (size_t)n;
	p->out_at = 0;
	p->body = rs->body;
	p->body_n = h->is_head ? 0 : rs->n;
	p->state = WRITE;
	deadline(p, patience);
	flush(p);
}

static void refuse(struct fl_http_peer *p, int status, const char *why)
{
	struct fl_http_head_in h = { 0 };
	struct fl_http_response rs = { .status = status, .type = "text/plain; charset=utf-8" };
	fl_http_dropped(status == 431 ? FL_HTTP_LARGE : FL_HTTP_BAD);
	fl_http_printf(&rs, "%d %s%s%s", status, fl_http_reason(status), why ? ": " : "", why ? why : "");
	p->keep = false;
	p->refused = true;
	send_answer(p, &h, &rs, why);
}

/* One request, when a whole head is here. p may be gone afterwards. */
static void serve(struct fl_http_peer *p)
{
	struct fl_http_head_in h;
	const char *why;
	int ret = fl_http_read(p->in, p->in_n, &h, &why);
	if (ret < 0) {
		refuse(p, -ret, why);
		return;
	}
	if (!ret) {
		if (p->in_n && !p->reading)
			deadline(p, patience);
		p->reading = p->in_n > 0;
		return;
	}
	/* Who waits to be told to go on with the body gets the answer instead, and no second chance. */
	p->keep = h.keep && h.body != UINT64_MAX && !fl_http_header(&h.rq, "expect").p;
	p->skip = h.body;
	struct fl_http_response rs = { .status = 200, .type = "text/plain; charset=utf-8" };
	p->state = BUSY;
	p->all->answer(p->all, &h.rq, &rs);
	p->keep = p->keep && !p->all->closing;
	p->in_n -= (size_t)ret;
	memmove(p->in, p->in + ret, p->in_n);
	send_answer(p, &h, &rs, NULL);
}

/* ---- events ---- */

static void on_event(struct fl_io *io, uint32_t events)
{
	struct fl_http_peer *p = (struct fl_http_peer *)io;
	if (p->state == WRITE) {
		flush(p);
		return;
	}
	if (p->timer.fn == on_next)             /* its turn comes first: there may be no room for more */
		return;
	bool discard = p->state == LINGER || p->skip;
	char trash[4096];
	ssize_t n = discard ? recv(io->fd, trash, p->skip < sizeof trash && p->state == READ ? (size_t)p->skip : sizeof trash, 0)
			    : recv(io->fd, p->in + p->in_n, sizeof p->in - p->in_n, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR) && !(events & (EPOLLERR | EPOLLHUP)))
		return;
	if (n <= 0) {
		drop(p);
		return;
	}
	if (p->state == LINGER)
		return;
	if (discard) {
		p->skip -= (uint64_t)n;
		return;
	}
	p->in_n += (size_t)n;
	serve(p);
}

void fl_http_peer_add(struct fl_http_peers *ps, int fd)
{
	struct fl_http_peer *p = fl_xalloc(sizeof *p);
	p->io = (struct fl_io){ .fd = fd, .fn = on_event };
	p->all = ps;
	p->state = READ;
	if (fl_loop_add(ps->loop, &p->io, EPOLLIN)) {
		close(fd);
		free(p);
		return;
	}
	ps->n++;
	list_in(p);
	deadline(p, patience);
}

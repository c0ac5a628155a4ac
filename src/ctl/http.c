/* Listeners, the faces on them, and answers. */
#include "base/log.h"
#include "base/mem.h"
#include "base/metric.h"
#include "ctl/guard.h"
#include "ctl/http_int.h"
#include "net/udp.h"
#include "net/web.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { STREAMS = 64, UNSENT = 64 << 20, PATIENCE_S = 5 };

struct fl_http_face {
	struct fl_http_face *next;              /* of one listener, newest first */
	struct listener *li;
	char *path;
	fl_http_handler *fn;
	void *arg;
	struct fl_guard *guard;                 /* borrowed; NULL: it brought none */
};

struct listener {
	struct fl_tcp_listener tcp;
	struct fl_tcp_share share;
	struct fl_web *web;
	struct fl_loop *loop;
	struct listener *next;
	struct fl_http_face *faces;             /* none: it closes */
	uint16_t port;
	char *addr;
};

/* What all listeners share; there as long as one of them is. */
static struct server {
	struct fl_loop *loop;                   /* NULL: nothing is there */
	struct fl_pool pool;
	struct fl_tcp *tcp;
	struct fl_web_stats web, web_told;
	struct fl_tcp_stats tcp_told;
	struct fl_later end;
	bool closing; unsigned inside;          /* a face closes; a handler is called */
} server;
static struct listener *listeners;

/* ---- what was refused ---- */

static void count_drops(void *arg)
{
	static const char *const reasons[] = { "bad_request", "large_header", "timeout", "evicted" };
	static const struct fl_dim dim = { 4, reasons };
	static const struct fl_metric_def def = { .name = "fairlead_admin_http_dropped_total", .kind = FL_COUNTER,
		.help = "Clients of the health, ready and metrics addresses that were refused or cut off.",
		.labels = { "reason" } };
	struct fl_grid *drops = fl_metric_grid(fl_metric(&def), NULL, &dim, 1);
	struct fl_web_stats *told = &server.web_told, web = fl_web_stats_read(&server.web);
	struct fl_tcp_stats tcp = server.tcp ? fl_tcp_stats(server.tcp) : server.tcp_told;
	(void)arg;
	fl_grid_add(drops, 0, 0, web.bad - told->bad);
	fl_grid_add(drops, 0, 1, web.large - web.bad - (told->large - told->bad));
	fl_grid_add(drops, 0, 2, web.slow - told->slow + (tcp.stalled - server.tcp_told.stalled));
	fl_grid_add(drops, 0, 3, tcp.refused - server.tcp_told.refused);
	server.web_told = web;
	server.tcp_told = tcp;
}

/* ---- the server ---- */

static void server_end(void)
{
	if (listeners || !server.loop)
		return;
	count_drops(NULL);
	server.tcp_told = (struct fl_tcp_stats){ 0 };
	fl_later_clear(server.loop, &server.end);
	fl_tcp_destroy(server.tcp);
	fl_pool_finish(&server.pool);
	server.tcp = NULL;
	server.loop = NULL;
}

static bool server_end_later(struct fl_later *d)
{
	(void)d;
	server_end();
	return false;
}

static void server_begin(struct fl_loop *l)
{
	static const struct fl_tcp_limits lim = { .max_conns = 1024, .max_inflight = 1, .max_unsent = UNSENT };
	static const struct fl_tcp_ops none = { 0 };
	fl_assert(!server.loop || server.loop == l);
	fl_metric_before(count_drops, NULL);
	count_drops(NULL);
	if (server.loop)
		return;
	server.loop = l;
	server.end.fn = server_end_later;
	fl_pool_init(&server.pool, 2 * UNSENT);
	server.tcp = fl_tcp_create(l, &server.pool, &lim, &none);
}

/* ---- addresses ---- */

static int address_error(struct fl_err *e, struct fl_str addr, const char *what)
{
	return fl_err_set(e, "address %.*s: %s", FL_FMT(addr), what);
}

int fl_http_split(struct fl_str addr, struct fl_str *host, struct fl_str *port, struct fl_err *e)
{
	const char *colon = addr.n ? memrchr(addr.p, ':', addr.n) : NULL, *end = addr.p + addr.n;
	if (!colon)
		return address_error(e, addr, "missing port in address");
	*host = (struct fl_str){ addr.p, (size_t)(colon - addr.p) };
	*port = (struct fl_str){ colon + 1, (size_t)(end - colon - 1) };
	struct fl_str open = *host;             /* where no bracket may be */
	if (addr.p[0] == '[') {
		const char *close = memchr(addr.p, ']', addr.n);
		if (!close)
			return address_error(e, addr, "missing ']' in address");
		if (close + 1 != colon)
			return address_error(e, addr, close + 1 < end && close[1] == ':' ? "too many colons in address" :
											   "missing port in address");
		*host = (struct fl_str){ addr.p + 1, (size_t)(close - addr.p - 1) };
		open = *host;
	} else if (host->n && memchr(host->p, ':', host->n)) {
		return address_error(e, addr, "too many colons in address");
	}
	for (int i = 0; i < 2; i++, open = *port)
		for (size_t k = 0; k < open.n; k++) {
			if (open.p[k] == '[')
				return address_error(e, addr, "unexpected '[' in address");
			if (open.p[k] == ']')
				return address_error(e, addr, "unexpected ']' in address");
		}
	return 0;
}

/* The first address of a host, IPv4 before IPv6 as Go prefers; numbers as they are. */
static int resolve(struct fl_str host, char out[NI_MAXHOST], struct fl_err *e)
{
	char name[256];
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *all = NULL, *pick;
	struct sockaddr_in6 sa;
	bool local = fl_str_ieq(host, FL_STR("localhost"));
	snprintf(out, NI_MAXHOST, "%.*s", FL_FMT(local ? FL_STR("127.0.0.1") : host));
	if (!host.n || local || fl_sockaddr(&sa, host, 0))
		return 0;
	snprintf(name, sizeof name, "%.*s", FL_FMT(host));
	if (host.n >= sizeof name || getaddrinfo(name, NULL, &hints, &all)) {
		fl_err_set(e, "listen tcp: lookup %.*s: no such host", FL_FMT(host));
		return -EADDRNOTAVAIL;
	}
	for (pick = all; pick && pick->ai_family != AF_INET; pick = pick->ai_next)
		;
	pick = pick ? pick : all;
	int ret = getnameinfo(pick->ai_addr, pick->ai_addrlen, out, NI_MAXHOST, NULL, 0, NI_NUMERICHOST);
	freeaddrinfo(all);
	return ret ? -EADDRNOTAVAIL : 0;
}

static int bind_to(struct fl_str addr, struct fl_err *e)
{
	struct fl_str host, port;
	struct fl_err why;
	char number[16], text[NI_MAXHOST];
	int64_t n;
	if (fl_http_split(addr, &host, &port, &why)) {
		fl_err_set(e, "listen tcp: %s", why.msg);
		return -EINVAL;
	}
	int ret = port.n ? fl_parse_int(port, 0, 65535, &n) : 0;
	if (ret == -ERANGE)
		return fl_err_set(e, "listen tcp: address %.*s: invalid port", FL_FMT(port));
	if (ret)
		return fl_err_set(e, "listen tcp: lookup tcp/%.*s: unknown port", FL_FMT(port));
	if ((ret = resolve(host, text, e)))
		return ret;
	snprintf(number, sizeof number, "%d", port.n ? (int)n : 0);
	char what[sizeof e->msg];
	ret = fl_listen_tcp(fl_str(text), number, what, sizeof what);
	if (ret < 0)
		fl_err_set(e, "%s", what);
	return ret;
}

/* ---- listeners ---- */

static struct listener *of(struct fl_tcp_listener *tcp) { return (struct listener *)((char *)tcp - offsetof(struct listener, tcp)); }

static struct fl_http_face *route(struct listener *li, struct fl_str path)
{
	struct fl_http_face *best = NULL;
	for (struct fl_http_face *f = li->faces; f; f = f->next) {
		struct fl_str own = fl_str(f->path);
		bool fits = own.p[own.n - 1] == '/' ? fl_str_starts(path, own) : fl_str_eq(path, own);
		if (fits && (!best || own.n > strlen(best->path)))
			best = f;
	}
	return best;
}

void fl_http_route(struct fl_conn *c, const struct fl_http_request *rq, struct fl_http_response *rs)
{
	struct listener *li = of(fl_conn_listener(c));
	if (!fl_http_redirect(rs->location, sizeof rs->location, rq)) {
		fl_http_not_found(rs);
		return;
	}
	if (rs->location[0]) {
		rs->status = 307;
		rs->type = "text/html; charset=utf-8";
		if (fl_str_is(rq->method, "GET") || fl_str_is(rq->method, "HEAD"))
			fl_http_printf(rs, "<a href=\"%s\">Temporary Redirect</a>.\n\n", rs->location);
		return;
	}
	struct fl_http_face *f = route(li, rq->path);
	server.inside++;
	if (f)
		f->fn(f->arg, rq, rs);
	else
		fl_http_not_found(rs);
	server.inside--;
}

/* ---- the guard ---- */

static struct fl_guard *guard_of(const struct listener *li)
{
	const struct fl_http_face *f = li->faces;
	while (f && !f->guard)
		f = f->next;
	return f ? f->guard : NULL;
}

static void guard_look(struct listener *li, bool tls)
{
	static const char *const both[] = { "h2", "http/1.1", NULL }, *const one[] = { "http/1.1", NULL };
	struct fl_guard *g = guard_of(li);
	if (g)
		fl_guard_look(g, tls);
	li->tcp.tls = g ? fl_guard_tls(g) : NULL;
	li->tcp.alpn = g && fl_guard_http2(g) ? both : one;
}

struct fl_guard *fl_http_guard(struct fl_conn *c, bool look)
{
	struct listener *li = of(fl_conn_listener(c));
	if (look)
		guard_look(li, false);
	return guard_of(li);
}

struct fl_loop *fl_http_loop(struct fl_conn *c) { return of(fl_conn_listener(c))->loop; }

static void on_coming(struct fl_tcp_listener *tcp) { guard_look(of(tcp), true); }

/* ---- listeners ---- */

static void on_gone(struct fl_tcp_listener *tcp)
{
	struct listener *li = of(tcp), **at = &listeners;
	while (*at != li)
		at = &(*at)->next;
	*at = li->next;
	fl_web_destroy(li->web);
	free(li->addr);
	free(li);
	if (listeners)
		return;
	if (server.closing && !server.inside)
		server_end();
	else                                    /* a connection is still on the stack */
		fl_loop_later(server.loop, &server.end);
}

static struct listener *find(const struct fl_loop *l, struct fl_str addr)
{
	for (struct listener *li = listeners; li; li = li->next)
		if (li->loop == l && li->faces && fl_str_is(addr, li->addr))
			return li;
	return NULL;
}

static int open_listener(struct fl_loop *l, struct fl_str addr, struct listener **out, struct fl_err *e)
{
	static const struct fl_web_conf conf = { .max_streams = STREAMS, .fields = true };
	int fd = bind_to(addr, e);
	if (fd < 0)
		return fd;
	server_begin(l);
	struct listener *li = fl_xalloc(sizeof *li);
	struct sockaddr_in6 sa = { 0 };
	socklen_t len = sizeof sa;
	*li = (struct listener){ .tcp = { .read_ns = PATIENCE_S * FL_SEC, .write_ns = PATIENCE_S * FL_SEC, .idle_ns = PATIENCE_S * FL_SEC,
			.ops = &fl_web_tcp_ops, .alpn_must = true, .share = &li->share, .max_share = FL_HTTP_CONNS, .coming = on_coming,
			.on_gone = on_gone },
		.web = fl_web_create(l, &fl_http_ops, &server.web), .loop = l, .next = listeners, .addr = fl_xstrndup(addr.p, addr.n) };
	fl_web_configure(li->web, &conf);
	li->tcp.speaker = li->web;
	listeners = li;
	int ret = fl_tcp_listen(server.tcp, &li->tcp, fd);
	if (ret || getsockname(fd, (struct sockaddr *)&sa, &len)) {
		ret = ret ? ret : -errno;
		fl_err_set(e, "listen tcp %s: %s", li->addr, strerror(-ret));
		server.closing = true;
		li->tcp.io.on ? fl_tcp_unlisten(&li->tcp) : (close(fd), on_gone(&li->tcp));
		server.closing = false;
		return ret;
	}
	li->port = ntohs(sa.sin6_port);         /* at the same place for both families */
	*out = li;
	return 0;
}

/* ---- faces ---- */

int fl_http_listen_guarded(struct fl_loop *l, struct fl_str addr, const char *path, fl_http_handler *fn, void *arg, struct fl_guard *guard,
			   struct fl_http_face **face, struct fl_err *e)
{
	fl_assert(path[0] == '/');
	struct listener *li = find(l, addr);
	int ret = li ? 0 : open_listener(l, addr, &li, e);
	if (ret)
		return ret;
	struct fl_http_face *f = fl_xalloc(sizeof *f);
	*f = (struct fl_http_face){ .next = li->faces, .li = li, .path = fl_xstrndup(path, strlen(path)), .fn = fn, .arg = arg, .guard = guard };
	li->faces = f;
	*face = f;
	return 0;
}

int fl_http_listen(struct fl_loop *l, struct fl_str addr, const char *path, fl_http_handler *fn, void *arg, struct fl_http_face **face,
		   struct fl_err *e)
{
	return fl_http_listen_guarded(l, addr, path, fn, arg, NULL, face, e);
}

void fl_http_close(struct fl_http_face *f)
{
	if (!f)
		return;
	struct listener *li = f->li;
	struct fl_http_face **at = &li->faces;
	while (*at != f)
		at = &(*at)->next;
	*at = f->next;
	li->tcp.tls = NULL;                     /* it may have been of this face; looked at again before it is used */
	free(f->path);
	free(f);
	if (li->faces)
		return;
	server.closing = true;
	fl_tcp_unlisten(&li->tcp);
	server.closing = false;
}

uint16_t fl_http_port(const struct fl_http_face *face) { return face->li->port; }

void fl_http_finish(struct fl_loop *l)
{
	for (struct listener *li = listeners; li; li = li->next)
		if (li->faces)
			return;
	if (server.loop == l) {
		fl_tcp_destroy(server.tcp);     /* with the last connection of each they go */
		server.tcp = NULL;
		server_end();
	}
	fl_basic_finish();                      /* whoever asked it is gone */
}

/* ---- answers ---- */

void fl_http_write(void *arg, const char *p, size_t n)
{
	struct fl_http_response *rs = arg;
	if (rs->cap - rs->n < n) {
		while (rs->cap - rs->n < n)
			rs->cap = rs->cap ? 2 * rs->cap : 256;
		rs->body = fl_xrealloc(rs->body, rs->cap);
	}
	if (n)
		memcpy(rs->body + rs->n, p, n);
	rs->n += n;
}

void fl_http_printf(struct fl_http_response *rs, const char *fmt, ...)
{
	va_list ap, again;
	va_start(ap, fmt);
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	fl_assert(n >= 0);
	char *text = fl_xalloc((size_t)n + 1);
	vsnprintf(text, (size_t)n + 1, fmt, again);
	va_end(again);
	fl_http_write(rs, text, (size_t)n);
	free(text);
}

void fl_http_reply(struct fl_http_response *rs, int status, const char *text)
{
	rs->status = status;
	rs->n = 0;
	fl_http_write(rs, text, strlen(text));
}

void fl_http_not_found(struct fl_http_response *rs)
{
	fl_http_reply(rs, 404, "404 page not found\n");
	rs->type = "text/plain; charset=utf-8";
	rs->nosniff = true;
}

/* ---- /metrics ---- */

void fl_http_metrics(void *arg, const struct fl_http_request *rq, struct fl_http_response *rs)
{
	struct fl_str rest = rq->query, *names = NULL;
	struct fl_http_param p;
	size_t n = 0;
	(void)arg;
	rs->type = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";
	while (fl_http_param(&rest, &p)) {
		if (!fl_str_is(p.name, "name[]"))
			continue;
		names = fl_xrealloc(names, (n + 1) * sizeof *names);
		names[n++] = (struct fl_str){ fl_xstrndup(p.value.p, p.value.n), p.value.n };
	}
	if (n)
		fl_metric_expose_named(names, n, fl_http_write, rs);
	else
		fl_metric_expose(fl_http_write, rs);
	for (size_t i = 0; i < n; i++)
		free((void *)(uintptr_t)names[i].p);
	free(names);
}

#include "plugin/dashboard/dashboard.h"
#include "base/log.h"
#include "ctl/summary.h"
#include "page.gen.h"
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define HEADERS "Content-Security-Policy: " DASH_POLICY "\r\nCross-Origin-Resource-Policy: same-origin\r\nReferrer-Policy: no-referrer\r\n" \
	"Cache-Control: no-store\r\n"
_Static_assert(sizeof HEADERS <= 600, "ctl/http.h allows no more");

struct dash *fl_dash_all;

/* ---- set-up ---- */

static void *books_create(void *arg)
{
	unsigned n = *(unsigned *)arg;
	struct dash_books *bs = fl_xalloc(sizeof *bs + n * sizeof *bs->book);
	bs->n = n;
	for (unsigned i = 1; i < n; i++)
		bs->book[i] = fl_xalloc(sizeof **bs->book);
	return bs;
}

static void books_destroy(void *obj)
{
	struct dash_books *bs = obj;
	for (unsigned i = 0; i < bs->n; i++)
		free(bs->book[i]);
	free(bs);
}

/* ":8153" is this machine alone: whoever wants the page on the network says so. */
static bool no_host(struct fl_str addr) { return addr.p[0] == ':'; }

static int setup(struct fl_setup *s, void **inst)
{
	struct fl_disp *d = fl_setup_disp(s);
	struct dash *da = fl_zalloc(fl_setup_arena(s), sizeof *da);
	struct fl_str *arg, host, port;
	struct fl_err e;
	bool clients = false;
	unsigned slots = fl_setup_process(s)->shards + 1;
	int ret = fl_setup_once(s);
	if (ret || !da || !(da->shard = fl_zalloc(fl_setup_arena(s), slots * sizeof(struct fl_shard *))))
		return ret ? ret : fl_setup_error(s, "out of memory");
	*da = (struct dash){ .addr = FL_STR(":8153"), .loop = fl_setup_loop(s), .arena = fl_setup_arena(s), .nshards = slots, .shard = da->shard };
	da->last = &da->zone;
	*inst = da;
	fl_disp_next(d);
	unsigned n = fl_disp_args(d, &arg);
	if (n > 1)
		return fl_setup_arg_error(s);
	if (n)
		da->addr = arg[0];
	if (fl_http_split(da->addr, &host, &port, &e))
		return fl_setup_error(s, "%s", e.msg);
	while (fl_disp_next_block(d)) {
		struct fl_str name = fl_disp_val(d);
		if (!fl_str_is(name, "clients"))
			return fl_setup_parse_error(s, "unknown property '%.*s'", FL_FMT(name));
		if (fl_disp_args(d, &arg))
			return fl_setup_arg_error(s);
		clients = true;
	}
	da->names = fl_setup_keep(s, FL_STR("dashboard/names"), books_create, books_destroy, &slots);
	if (clients)
		da->clients = fl_setup_keep(s, FL_STR("dashboard/clients"), books_create, books_destroy, &slots);
	if (!da->names || (clients && !da->clients))
		return fl_setup_error(s, "out of memory");
	const struct fl_zones *z = fl_setup_block_zones(s);
	da->cluster_zone = z->n ? z->text[0] : FL_STR(".");
	return fl_setup_every(s, DASH_TICK, fl_dash_tick);
}

static void note(void *arg, const struct fl_plugin *p, void *inst)
{
	(void)inst;
	if (!strcmp(p->name, "prometheus"))
		((struct dash *)arg)->has_prometheus = true;
}

static int join(struct fl_setup *s, void *inst)
{
	struct dash *d = inst;
	d->cluster = fl_setup_find(s, "kubernetes", "cluster", &d->cluster_inst);
	fl_setup_each(s, note, d);
	return 0;
}

static int chain(void *inst, struct fl_chain *c, struct fl_arena *a, void **mine)
{
	struct dash *d = inst;
	struct dash_zone *z = fl_zalloc(a, sizeof *z);
	size_t len = 1, at = 0;
	*mine = NULL;
	for (unsigned i = 0; i < c->n; i++)
		len += strlen(c->at[i].p->name) + 1;
	char *names = z ? fl_zalloc(a, len) : NULL;
	if (!names)
		return -ENOMEM;
	for (unsigned i = 0; i < c->n; i++)
		at += (size_t)snprintf(names + at, len - at, i ? " %s" : "%s", c->at[i].p->name);
	*z = (struct dash_zone){ c->server, c->zone, c->view, names, NULL };
	*d->last = z;
	d->last = &z->next;
	return 0;
}

static int shard_start(void *inst, struct fl_shard *sh, void **local)
{
	*local = NULL;
	((struct dash *)inst)->shard[sh->id] = sh;
	return 0;
}

/* ---- who may ask ---- */

/* A page of another site whose name was made to point at us (DNS rebinding) says that site's name here: only an address, or a name that
 * this machine gives itself, is ours. */
static bool host_is_ours(struct fl_str host)
{
	struct fl_addr a;
	char own[256] = "";
	const char *colon = host.n ? memrchr(host.p, ':', host.n) : NULL;
	if (host.n && host.p[0] == '[') {
		const char *close = memchr(host.p, ']', host.n);
		return close && fl_addr_parse((struct fl_str){ host.p + 1, (size_t)(close - host.p - 1) }, &a);
	}
	if (colon)
		host.n = (size_t)(colon - host.p);
	if (host.n && host.p[host.n - 1] == '.')
		host.n--;
	if (!host.n)
		return false;
	if (fl_addr_parse(host, &a) || fl_str_ieq(host, FL_STR("localhost")))
		return true;
	return !gethostname(own, sizeof own - 1) && *own && fl_str_ieq(host, fl_str(own));
}

/* What a browser says of a request that another site's page made. */
static bool from_elsewhere(const struct fl_http_request *rq)
{
	struct fl_str site = fl_http_header(rq, "sec-fetch-site");
	return site.n && !fl_str_is(site, "same-origin") && !fl_str_is(site, "none");
}

/* ---- answers ---- */

void fl_dash_text(struct fl_http_response *rs, const char *key, struct fl_str s)
{
	fl_http_write(rs, key, strlen(key));
	if (!s.p)
		fl_http_write(rs, "null", 4);
	else
		fl_json_text(fl_http_write, rs, s);
}

void fl_dash_number(struct fl_http_response *rs, const char *key, double v)
{
	fl_http_printf(rs, isfinite(v) ? "%s%.15g" : "%snull", key, v);
}

void fl_dash_error(struct fl_http_response *rs, int status, const char *why)
{
	rs->status = status;
	rs->n = 0;
	fl_dash_text(rs, "{\"error\":", fl_str(why));
	fl_http_write(rs, "}\n", 2);
}

bool fl_dash_param(const struct fl_http_request *rq, const char *name, char *to, size_t cap)
{
	struct fl_str rest = rq->query;
	struct fl_http_param p;
	while (fl_http_param(&rest, &p)) {
		if (!fl_str_is(p.name, name) || p.value.n >= cap)
			continue;
		fl_put_bytes(to, p.value.p, p.value.n);
		to[p.value.n] = 0;
		return true;
	}
	return false;
}

static void api(struct dash *d, const struct fl_http_request *rq, struct fl_http_response *rs)
{
	struct fl_str path = rq->path;
	rs->type = "application/json";
	if (from_elsewhere(rq))
		fl_dash_error(rs, 403, "asked by the page of another site");
	else if (fl_str_is(path, "/api/status"))
		fl_dash_status(d, rs);
	else if (fl_str_is(path, "/api/history"))
		fl_dash_history(rq, rs);
	else if (fl_str_is(path, "/api/zones"))
		fl_dash_zones(d, rs);
	else if (fl_str_is(path, "/api/services"))
		fl_dash_services(d, rq, rs);
	else if (fl_str_is(path, "/api/explain"))
		fl_dash_ask(d, rq, rs);
	else
		fl_dash_error(rs, 404, "there is nothing at this path");
}

static void answer(void *arg, const struct fl_http_request *rq, struct fl_http_response *rs)
{
	rs->headers = HEADERS;
	rs->nosniff = true;
	if (!host_is_ours(fl_http_header(rq, "host"))) {
		fl_http_reply(rs, 403, "The Host of the request is neither an address nor the name of this machine.\n");
	} else if (!fl_str_is(rq->method, "GET") && !fl_str_is(rq->method, "HEAD")) {
		rs->headers = HEADERS "Allow: GET, HEAD\r\n";
		fl_http_reply(rs, 405, "This page can only be read.\n");
	} else if (fl_str_starts(rq->path, FL_STR("/api/"))) {
		api(arg, rq, rs);
	} else if (fl_str_is(rq->path, "/")) {
		rs->type = "text/html; charset=utf-8";
		fl_http_write(rs, dash_page, sizeof dash_page - 1);
	} else {
		fl_http_not_found(rs);
	}
}

static void listen_at(struct dash *d, const char *host, struct fl_http_face **face)
{
	char addr[320];
	struct fl_err why;
	snprintf(addr, sizeof addr, "%s%.*s", host, FL_FMT(d->addr));
	if (fl_http_listen(d->loop, fl_str(addr), "/", answer, d, face, &why))
		fl_log(FL_ERROR, "plugin/dashboard", "Failed to start the status page: %s", why.msg);        /* as health and ready: said, not fatal */
}

/* The kernel lists its addresses; none are there when IPv6 is off. */
static bool has_ipv6(void)
{
	char c;
	int fd = open("/proc/net/if_inet6", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, &c, 1);
	if (fd >= 0)
		close(fd);
	return n == 1;
}

static int start(void *inst, struct fl_err *e)
{
	struct dash *d = inst, **last = &fl_dash_all;
	(void)e;
	while (*last)
		last = &(*last)->next;
	*last = d;
	d->next = NULL;
	if (no_host(d->addr)) {
		listen_at(d, "127.0.0.1", &d->face[0]);
		if (has_ipv6())
			listen_at(d, "[::1]", &d->face[1]);
	} else {
		listen_at(d, "", &d->face[0]);
	}
	return 0;
}

static void stop(void *inst)
{
	struct dash *d = inst, **at = &fl_dash_all;
	while (*at && *at != d)
		at = &(*at)->next;
	if (*at)
		*at = d->next;
	fl_dash_services_stop(d);
	for (unsigned i = 0; i < FL_COUNT(d->face); i++) {
		fl_http_close(d->face[i]);
		d->face[i] = NULL;
	}
}

/* ---- books ---- */

static void sent(void *inst, struct fl_query *q, const struct fl_sent *s)
{
	const struct dash *d = inst;
	const struct fl_client *c = q->client;
	struct book *b = d->names->book[q->shard->id];
	if (!s->bytes)                          /* a lookup of our own */
		return;
	uint32_t weight = fl_dash_book_draw(b, q->shard->now_ns);
	if (!weight)
		return;
	fl_dash_book_add(b, c->qname.wire, c->qname.len, fl_name_hash(c->qname), weight, true, q->shard->now_ns);
	if (d->clients)
		fl_dash_book_add(d->clients->book[q->shard->id], c->peer.b, c->peer.len, fl_hash(c->peer.b, c->peer.len), weight, false,
				 q->shard->now_ns);
}

static const struct fl_opt opts[] = {
	{ "", "[ADDRESS]", "where the page is served (:8153, on this machine's loopback)" },
	{ "clients", "", "the page shows who asks most" },
	{ 0 },
};

FL_PLUGIN(dashboard, .opts = opts, .setup = setup, .link = join, .chain = chain, .start = start, .stop = stop, .shard_start = shard_start,
	  .sent = sent);

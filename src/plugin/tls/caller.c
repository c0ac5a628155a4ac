#include "plugin/tls/caller.h"
#include "base/mem.h"
#include "base/url.h"
#include "net/resolve.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define LATE_NS (30 * FL_SEC)

struct parts { bool tls; char host[256], authority[300]; uint16_t port; const char *path; };

static char *copy(const char *s) { return s ? fl_xstrndup(s, strlen(s)) : NULL; }

static void forget(char **s)
{
	free(*s);
	*s = NULL;
}

/* false: none that can be asked. Without a path it is "/". */
static bool parse(struct parts *p, const char *url)
{
	struct fl_url u;
	if (!fl_url_http(&u, fl_str(url)) || u.host.n >= sizeof p->host || u.authority.n >= sizeof p->authority)
		return false;
	*fl_put_bytes(p->host, u.host.p, u.host.n) = 0;
	*fl_put_bytes(p->authority, u.authority.p, u.authority.n) = 0;
	p->tls = u.tls;
	p->port = u.port;
	p->path = fl_str_starts(u.rest, FL_STR("/")) ? u.rest.p : "/";
	return true;
}

bool fl_acme_url(const char *url)
{
	struct parts p;
	return parse(&p, url);
}

/* ---- the end of a request ---- */

static void idle(struct fl_acme_caller *c)
{
	fl_timer_clear(c->loop, &c->late);
	forget(&c->post);
}

static void lost(struct fl_acme_caller *c, const char *why)
{
	char text[480];
	snprintf(text, sizeof text, "%s \"%.200s\": %.240s", c->post ? "Post" : "Get", c->url, why);
	c->turn++;
	idle(c);
	c->done(c->arg, NULL, text);
}

static void on_late(struct fl_timer *t)
{
	struct fl_acme_caller *c = (struct fl_acme_caller *)((char *)t - offsetof(struct fl_acme_caller, late));
	if (c->req.client)
		fl_http_cancel(&c->req);
	fl_acme_lookup_destroy(c->lookup);
	c->lookup = NULL;
	lost(c, c->late_why);
}

/* It is lost; but nobody is to be told from within this. */
static void soon(struct fl_acme_caller *c, const char *why)
{
	c->late_why = why;
	fl_timer_set(c->loop, &c->late, fl_loop_now(c->loop));
}

static struct fl_acme_caller *of(struct fl_http_req *r) { return (struct fl_acme_caller *)((char *)r - offsetof(struct fl_acme_caller, req)); }

static void on_field(struct fl_http_req *r, struct fl_str name, struct fl_str value)
{
	struct fl_acme_caller *c = of(r);
	bool nonce = fl_str_ieq(name, FL_STR("replay-nonce"));
	if (!nonce && !fl_str_ieq(name, FL_STR("location")))
		return;
	char *to = nonce ? c->nonce : c->location;
	if (value.n < (nonce ? sizeof c->nonce : sizeof c->location))
		*fl_put_bytes(to, value.p, value.n) = 0;
}

static void on_body(struct fl_http_req *r, const uint8_t *p, size_t n)
{
	struct fl_acme_caller *c = of(r);
	if (c->nbody + n > FL_ACME_BODY_MAX) {
		fl_http_cancel(r);
		soon(c, "the answer is too long");
		return;
	}
	c->body = fl_xrealloc(c->body, c->nbody + n);
	memcpy(c->body + c->nbody, p, n);
	c->nbody += n;
}

static void on_end(struct fl_http_req *r, int err, const char *why)
{
	struct fl_acme_caller *c = of(r);
	if (err || r->head.encoded) {
		lost(c, err ? why : "the answer is compressed");
		return;
	}
	struct fl_acme_answer a = { r->head.status, r->head.retry_after_s, fl_str(c->nonce), fl_str(c->location), { c->body, c->nbody } };
	idle(c);
	c->done(c->arg, &a, NULL);
}

/* ---- the CA's own TLS ---- */

static struct fl_tls_creds *creds(void *arg, struct fl_err *e)
{
	struct fl_acme_caller *c = arg;
	struct fl_tls_trust t = { .system = true };
	struct fl_arena mem;
	struct fl_tls_creds *made = NULL;
	fl_arena_init(&mem, NULL, 0, NULL, 1 << 24);
	int ret = c->ca_root ? fl_conf_read(&mem, c->ca_root, &t.ca) : 0;
	if (ret)
		fl_err_set(e, "reading ACME CA root \"%s\": %s", c->ca_root, strerror(-ret));
	else
		made = fl_tls_creds_create(&t, e);
	fl_arena_finish(&mem);
	return made;
}

/* ---- the beginning ---- */

static void request(struct fl_acme_caller *c)
{
	static const struct fl_http_ops ops = { .body = on_body, .end = on_end, .field = on_field };
	static const struct fl_http_header h[] = {
		{ "user-agent", { "fairlead/" FL_VERSION, sizeof "fairlead/" FL_VERSION - 1 } }, { "content-type", { "application/jose+json", 21 } },
	};
	struct parts p;
	parse(&p, c->url);
	c->req.ops = &ops;
	c->nbody = 0;
	*c->nonce = *c->location = 0;
	if (c->post)
		fl_http_post(c->client, &c->req, p.path, h, 2, fl_str(c->post));
	else
		fl_http_get(c->client, &c->req, p.path, h, 1);
}

static void open_client(struct fl_acme_caller *c, const struct parts *p, const char *host)
{
	struct fl_http_config cfg = {
		.host = host, .port = p->port, .tls = p->tls, .http2 = true, .tls_name = p->host, .authority = p->authority, .creds = creds, .arg = c,
		.proxy_host = c->proxy.host, .proxy_port = c->proxy.port, .proxy_auth = c->proxy.auth,
	};
	c->client = fl_http_client_create(c->loop, &cfg);
	request(c);
}

static void close_client(struct fl_acme_caller *c)
{
	fl_http_client_destroy(c->client);
	c->client = NULL;
	c->proxy = (struct fl_proxy){ 0 };
	fl_arena_finish(&c->mem);
	forget(&c->origin);
}

static void found(void *arg, const struct fl_addr *a, unsigned n, const char *why)
{
	struct fl_acme_caller *c = arg;
	struct parts p;
	char host[46];
	if (!n) {
		lost(c, why);
		return;
	}
	parse(&p, c->url);
	host[fl_addr_text(host, &a[c->turn % n])] = 0;
	open_client(c, &p, host);
}

void fl_acme_call(struct fl_acme_caller *c, const char *url, const char *post)
{
	struct parts p;
	struct fl_addresses direct;
	char origin[320];
	forget(&c->url);
	forget(&c->post);
	c->url = copy(url);
	c->post = copy(post);
	c->late.fn = on_late;
	c->late_why = "context deadline exceeded";
	fl_timer_set(c->loop, &c->late, fl_loop_now(c->loop) + LATE_NS);
	fl_acme_lookup_destroy(c->lookup);
	c->lookup = NULL;
	if (!parse(&p, url)) {
		soon(c, "unsupported protocol scheme, or no host");
		return;
	}
	snprintf(origin, sizeof origin, "%d %s", p.tls, p.authority);
	if (c->client && !strcmp(c->origin, origin)) {
		request(c);
		return;
	}
	close_client(c);
	c->origin = copy(origin);
	fl_arena_init(&c->mem, NULL, 0, NULL, 1 << 16);
	if (fl_proxy_environment(&c->proxy, &c->mem, p.tls, p.host, p.port, &c->err)) {
		soon(c, c->err.msg);
		return;
	}
	/* A proxy looks for the host itself. */
	if (c->resolver && !c->proxy.host && !fl_resolve_literal(&direct, p.host, p.port))
		c->lookup = fl_acme_lookup(c->loop, c->resolver, c->resolver_port, p.host, found, c);
	else
		open_client(c, &p, p.host);
}

void fl_acme_caller_finish(struct fl_acme_caller *c)
{
	if (!c->loop)
		return;
	fl_acme_lookup_destroy(c->lookup);
	c->lookup = NULL;
	close_client(c);
	idle(c);
	forget(&c->url);
	forget(&c->body);
}

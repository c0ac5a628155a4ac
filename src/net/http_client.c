#include "net/http_int.h"
#include "base/mem.h"
#include <errno.h>
#include <stdlib.h>

void fl_http_kick(struct fl_http_client *c) { fl_timer_set(c->loop, &c->kick, fl_loop_now(c->loop)); }

void fl_http_enter(struct fl_http_client *c) { c->busy++; }

void fl_http_leave(struct fl_http_client *c)
{
	if (--c->busy)
		return;
	for (struct fl_http_conn **p = &c->conns, *k; (k = *p);) {
		if (k->state != FL_HTTP_DEAD) {
			p = &k->next;
			continue;
		}
		*p = k->next;
		free(k->out);
		free(k->proxied);
		free(k);
	}
}

static void queue(struct fl_http_client *c, struct fl_http_req *r)
{
	r->conn = NULL;
	r->next = NULL;
	*c->queue_end = r;
	c->queue_end = &r->next;
	fl_http_kick(c);
}

static void unqueue(struct fl_http_client *c, struct fl_http_req *r)
{
	struct fl_http_req **p = &c->queue;
	while (*p && *p != r)
		p = &(*p)->next;
	if (!*p)
		return;
	*p = r->next;
	if (!r->next)
		c->queue_end = p;
	r->next = NULL;
}

static void idle(struct fl_http_req *r)
{
	free(r->text);
	r->text = NULL;
	r->body = (struct fl_str){ 0 };
	r->client = NULL;
	r->conn = NULL;
	r->next = NULL;
}

void fl_http_end(struct fl_http_req *r, int err, const char *why)
{
	idle(r);
	r->ops->end(r, err, why);
}

void fl_http_requeue(struct fl_http_req *r)
{
	r->again = true;
	queue(r->client, r);
}

/* ---- who goes where ---- */

static struct fl_http_conn *free_conn(struct fl_http_client *c)
{
	for (struct fl_http_conn *k = c->conns; k; k = k->next)
		if (!k->draining && (k->state == FL_HTTP_V2 || (k->state == FL_HTTP_V1 && !k->req)))
			return k;
	return NULL;
}

static unsigned dialing(const struct fl_http_client *c)
{
	unsigned n = 0;
	for (const struct fl_http_conn *k = c->conns; k; k = k->next)
		n += k->state < FL_HTTP_V1;
	return n;
}

static void run_queue(struct fl_http_client *c)
{
	struct fl_http_conn *k;
	while (c->queue && (k = free_conn(c))) {
		struct fl_http_req *r = c->queue;
		unqueue(c, r);
		r->conn = k;
		if (k->state == FL_HTTP_V2)
			fl_http2_start(k, r);
		else
			fl_http_conn_v1(k, r);
		fl_http_conn_flush(k);
	}
	unsigned want = 0, have = dialing(c);
	for (struct fl_http_req *r = c->queue; r; r = r->next)
		want++;
	if (c->version != 1 && want > 1)
		want = 1;                       /* HTTP/2, or not known yet: one will do */
	for (; have < want; have++)
		fl_http_dial(c);
}

static void kicked(struct fl_timer *t)
{
	struct fl_http_client *c = (struct fl_http_client *)((char *)t - offsetof(struct fl_http_client, kick));
	fl_http_enter(c);
	for (struct fl_http_conn *k = c->conns; k; k = k->next) {
		if (k->state == FL_HTTP_V2)
			fl_http_conn_flush(k);
		if (k->draining && ((k->state == FL_HTTP_V1 && !k->req) || (k->state == FL_HTTP_V2 && !k->streams)))
			fl_http_conn_close(k);
	}
	run_queue(c);
	fl_http_leave(c);
}

/* A dial failed: whose? Where a connection serves one request, that of the oldest in the queue; else everybody's. */
void fl_http_conn_lost(struct fl_http_conn *k, int err, const char *why)
{
	struct fl_http_client *c = k->client;
	struct fl_http_req *mine = c->queue, *next;
	if (!mine)
		return;
	if (c->version == 1) {
		unqueue(c, mine);
		fl_http_end(mine, err, why);
		return;
	}
	c->queue = NULL;
	c->queue_end = &c->queue;
	/* What end() asks anew goes behind this list, into an empty queue; what it cancels may be on it: hence the conn mark. */
	for (struct fl_http_req *r = mine; r; r = r->next)
		r->conn = k;
	k->streams = mine;
	while ((mine = k->streams)) {
		next = mine->next;
		k->streams = next;
		fl_http_end(mine, err, why);
	}
}

/* ---- for the asker ---- */

static void ask(struct fl_http_client *c, struct fl_http_req *r, const char *path, const struct fl_http_header *h, unsigned n,
		struct fl_str body)
{
	fl_assert(!r->client && r->ops);
	size_t size = strlen(path) + 1 + body.n;
	for (unsigned i = 0; i < n; i++)
		size += strlen(h[i].name) + h[i].value.n + 2;
	char *at = r->text = fl_xalloc(size);
	at = stpcpy(at, path) + 1;
	for (unsigned i = 0; i < n; i++) {
		at = stpcpy(at, h[i].name) + 1;
		fl_put_bytes(at, h[i].value.p, h[i].value.n);
		at += h[i].value.n + 1;
	}
	r->nheader = n;
	r->body = body;
	if (body.p) {
		fl_put_bytes(at, body.p, body.n);
		r->body.p = at;
	}
	r->head = (struct fl_http_head){ .retry_after_s = -1 };
	r->client = c;
	r->again = false;
	r->headed = false;
	queue(c, r);
}

void fl_http_get(struct fl_http_client *c, struct fl_http_req *r, const char *path, const struct fl_http_header *h, unsigned n)
{
	ask(c, r, path, h, n, (struct fl_str){ 0 });
}

void fl_http_post(struct fl_http_client *c, struct fl_http_req *r, const char *path, const struct fl_http_header *h, unsigned n,
		  struct fl_str body)
{
	ask(c, r, path, h, n, body.p ? body : FL_STR(""));
}

void fl_http_cancel(struct fl_http_req *r)
{
	struct fl_http_client *c = r->client;
	struct fl_http_conn *k = r->conn;
	if (!c)
		return;
	if (!k) {
		unqueue(c, r);
	} else if (k->req == r) {               /* the rest of its answer would be in the way of the next */
		k->req = NULL;
		fl_http_enter(c);
		fl_http_conn_close(k);
		fl_http_leave(c);
	} else if (k->state == FL_HTTP_V2) {
		fl_http2_cancel(k, r);
		fl_http_kick(c);
	} else {                                /* on the list of fl_http_conn_lost() or of a dead connection */
		struct fl_http_req **p = &k->streams;
		while (*p && *p != r)
			p = &(*p)->next;
		if (*p)
			*p = r->next;
	}
	idle(r);
}

void fl_http_client_renew(struct fl_http_client *c)
{
	for (struct fl_http_conn *k = c->conns; k; k = k->next)
		k->draining = true;
	fl_http_kick(c);
}

/* ---- life ---- */

struct fl_http_client *fl_http_client_create(struct fl_loop *l, const struct fl_http_config *cfg)
{
	struct fl_http_client *c = fl_xalloc(sizeof *c);
	const char *name = cfg->tls_name && *cfg->tls_name ? cfg->tls_name : cfg->host;
	c->loop = l;
	c->cfg = *cfg;
	c->text = fl_xalloc(strlen(cfg->host) + strlen(name) + strlen(cfg->authority) + 3);
	c->cfg.host = c->text;
	char *at = stpcpy(c->text, cfg->host) + 1;
	c->cfg.tls_name = at;
	at = stpcpy(at, name) + 1;
	c->cfg.authority = at;
	stpcpy(at, cfg->authority);
	c->version = cfg->tls && cfg->http2 ? 0 : 1;
	c->queue_end = &c->queue;
	c->kick.fn = kicked;
	return c;
}

void fl_http_client_destroy(struct fl_http_client *c)
{
	if (!c)
		return;
	while (c->queue)
		fl_http_cancel(c->queue);
	fl_assert(!c->busy);
	fl_http_enter(c);
	for (struct fl_http_conn *k = c->conns; k; k = k->next) {
		if (k->req)
			idle(k->req);
		k->req = NULL;
		for (struct fl_http_req *r = k->streams, *next; r; r = next) {
			next = r->next;
			idle(r);
		}
		k->streams = NULL;
		fl_http_conn_close(k);
	}
	fl_http_leave(c);
	fl_timer_clear(c->loop, &c->kick);
	free(c->text);
	free(c);
}

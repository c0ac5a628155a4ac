/* QUIC to a server: a stream for each question, by net/quic_client. Questions have no socket here; what waits is a list of the upstream's. */
#include "net/quic_client.h"
#include "net/upstream_int.h"
#include <errno.h>
#include <stdlib.h>

struct quic { struct fl_upstream *up; struct fl_quic_client *client; struct fl_up_ask *asks; };

static int tls(void *arg, struct gnutls_session_int *s)
{
	const struct fl_up_conf *c = &((struct quic *)arg)->up->conf;
	return fl_tls_creds_prepare(c->creds, s, c->tls_name);
}

static void note(struct quic *k)
{
	const struct fl_quic_client_stats *st = fl_quic_client_stats(k->client);
	k->up->stats.conns = st->conns;
	k->up->stats.resumed = st->resumed;
}

static void done(void *user, int ret, const uint8_t *msg, size_t n)
{
	struct fl_up_ask *a = user;
	struct fl_upstream *u = a->up;
	struct quic *k = u->own;
	a->stream = NULL;
	note(k);
	u->net->told = (struct up_told){ .phase = UP_READ, .local = *fl_quic_client_local(k->client) };
	if (ret) {
		if (ret == -EPROTO || ret == -ETIMEDOUT)
			fl_up_words(u, "%s", fl_quic_client_why(k->client));
		fl_up_finish(a, ret, NULL, 0);
	} else {
		fl_up_answer(a, memcpy(u->net->buffer, msg, n), n);
	}
}

static struct quic *open_client(struct fl_upstream *u)
{
	const struct fl_up_conf *c = &u->conf;
	struct quic *k = fl_xalloc(sizeof *k);
	struct fl_quic_client_conf conf = { .addr = c->addr, .addr_len = c->addr_len, .source = c->source, .source_len = c->source_len,
					    .expire_ns = c->expire_ns, .max_age_ns = c->max_age_ns, .name = c->tls_name, .tls = tls, .done = done,
					    .arg = k };
	k->up = u;
	k->client = fl_quic_client_create(u->net->loop, &conf);
	if (!k->client) {
		free(k);
		return NULL;
	}
	return u->own = k;
}

static int ask(struct fl_upstream *u, struct fl_up_ask *a)
{
	struct quic *k = u->own ? u->own : open_client(u);
	struct fl_quic_ask *q;
	if (!k)
		return -ENOMEM;
	a->msg[0] = a->msg[1] = 0;
	a->id = 0;
	int ret = fl_quic_client_ask(k->client, a->msg, a->len, a, &q, &a->reused);
	note(k);
	if (ret)
		return ret;
	a->stream = q;
	a->next = k->asks;
	a->at = &k->asks;
	if (a->next)
		a->next->at = &a->next;
	k->asks = a;
	return 0;
}

static void leave(struct fl_up_ask *a)
{
	if (a->stream)
		fl_quic_client_cancel(a->stream);
	a->stream = NULL;
}

static void end(struct fl_upstream *u)
{
	struct quic *k = u->own;
	if (!k)
		return;
	while (k->asks)
		fl_up_finish(k->asks, -ECANCELED, NULL, 0);
	fl_quic_client_destroy(k->client);
	free(k);
	u->own = NULL;
}

const struct fl_up_way fl_up_quic = { .ask = ask, .leave = leave, .end = end };

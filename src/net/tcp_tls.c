/* Connections that are sealed. Ciphertext is fetched in large pieces into a buffer that all connections of the thread share: what GnuTLS
 * does not take of it (only when the connection must rest) is put aside for that connection. What is written gathers as
 * ciphertext, and leaves with one call where the event ends. */
#include "net/tcp_int.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { FETCHES = 8 };           /* in one event: then others have their turn */
enum { SHAKES = 4 };            /* steps of handshakes in one turn of the loop: each may cost a signature */

static ssize_t fetch(struct fl_conn *c, void *to, size_t n)
{
	ssize_t got;
	do
		got = recv(c->io.fd, to, n, MSG_DONTWAIT);
	while (got < 0 && errno == EINTR);
	return got < 0 ? -errno : got;
}

static size_t serve(void *to, size_t n, const uint8_t *from, size_t *at, size_t end)
{
	n = n < end - *at ? n : end - *at;
	memcpy(to, from + *at, n);
	*at += n;
	return n;
}

static ssize_t pull(void *arg, void *to, size_t n)
{
	struct fl_conn *c = arg;
	struct fl_tcp *t = c->tcp;
	if (c->left) {
		n = serve(to, n, c->left, &c->left_at, c->left_n);
		if (c->left_at == c->left_n) {
			free(c->left);
			c->left = NULL;
		}
		return (ssize_t)n;
	}
	if (t->reader != c)
		return fetch(c, to, n);
	if (t->cipher_at == t->cipher_n) {
		if (!t->fetches)
			return -EAGAIN;
		ssize_t got = fetch(c, t->cipher, FL_TCP_CIPHER);
		if (got <= 0)
			return got;
		t->fetches = got < FL_TCP_CIPHER ? 0 : t->fetches - 1;  /* a short one: the next would only say so */
		t->cipher_at = 0;
		t->cipher_n = (size_t)got;
	}
	return (ssize_t)serve(to, n, t->cipher, &t->cipher_at, t->cipher_n);
}

static ssize_t push(void *arg, const void *from, size_t n)
{
	int ret = fl_tcp_push(arg, from, n);
	return ret ? ret : (ssize_t)n;
}

int fl_tcp_seal(struct fl_conn *c)
{
	static const struct fl_tls_wire wire = { pull, push };
	struct fl_tcp_listener *li = c->li;
	c->tls = fl_tls_session_create(fl_tls_host_now(li->tls), li->alpn, li->alpn_must, &wire, c);
	c->shaking = c->tls != NULL;
	return c->tls ? 0 : -ENOMEM;
}

void fl_tcp_unseal(struct fl_conn *c, bool bye)
{
	fl_tls_session_destroy(c->tls, bye);
	c->tls = NULL;
	free(c->left);
	c->left = NULL;
	if (c->tcp->reader == c)
		c->tcp->reader = NULL;
}

/* A flood of handshakes must not hold up the other sockets of the thread. What has to wait is told of its bytes again, which is how a new
 * turn is seen when the clock stands. */
static bool may_shake(struct fl_conn *c)
{
	struct fl_tcp *t = c->tcp;
	uint64_t now = fl_loop_now(t->loop);
	if (now != t->turn_ns || (c->put_off && c->turn == t->turn)) {
		t->turn_ns = now;
		t->turn++;
		t->shakes = 0;
	}
	c->put_off = t->shakes >= SHAKES;
	c->turn = t->turn;
	t->shakes += !c->put_off;
	return !c->put_off;
}

/* false: it is not over, or the connection is closed. */
static bool shaken(struct fl_conn *c)
{
	struct fl_tcp_stats *st = &c->tcp->stats;
	int ret = fl_tls_session_handshake(c->tls);
	if (ret == -EAGAIN)
		return false;
	if (ret) {
		fl_tcp_count(&st->unshaken, 1);
		fl_tcp_close(c);
		return false;
	}
	fl_tcp_count(fl_tls_session_resumed(c->tls) ? &st->resumed : &st->shaken, 1);
	c->shaking = false;
	fl_tcp_ready(c);
	return c->open;
}

/* One piece of plaintext. false: there is no more, or no more connection. */
static bool read_piece(struct fl_conn *c)
{
	bool raw = c->ops->bytes;
	size_t cap = FL_TCP_PLAIN;
	uint8_t *buf = raw ? c->tcp->plain : fl_tcp_in(c, &cap);
	size_t have = raw ? 0 : c->have;
	if (have == cap)
		return false;
	ssize_t n = fl_tls_session_read(c->tls, buf + have, cap - have);
	if (n == -EAGAIN)
		return false;
	if (n < 0) {
		fl_tcp_count(&c->tcp->stats.reset, 1);
		fl_tcp_close(c);
		return false;
	}
	if (!n) {                               /* whoever said goodbye may still listen */
		c->ended = true;
		return false;
	}
	if (raw)
		return fl_tcp_take(c, buf, (size_t)n);
	c->have += (size_t)n;
	return fl_tcp_frames(c);
}

/* As net/http of Go: who asks in the clear is told so, if the first bytes came together. True: that is to be done. */
static bool told_off(struct fl_conn *c)
{
	static const char *const words[] = { "GET /", "HEAD ", "POST ", "PUT /", "OPTIO" };
	char first[5];
	ssize_t n = c->greeted || !c->ops->unsealed ? 0 : recv(c->io.fd, first, sizeof first, MSG_PEEK | MSG_DONTWAIT);
	c->greeted = c->greeted || n > 0;
	for (unsigned i = 0; n == sizeof first && i < FL_COUNT(words); i++)
		if (!memcmp(first, words[i], sizeof first))
			return true;
	return false;
}

void fl_tcp_sealed_read(struct fl_conn *c)
{
	struct fl_tcp *t = c->tcp;
	bool mine = !t->reader;
	if (c->shaking && told_off(c)) {
		fl_tcp_count(&t->stats.unshaken, 1);
		fl_tcp_unseal(c, false);        /* for its owner it never was there: shaking stays */
		fl_tcp_push(c, c->ops->unsealed, strlen(c->ops->unsealed));
		fl_conn_linger(c);
		return;
	}
	if (c->shaking && !may_shake(c))
		return;
	if (mine) {
		t->reader = c;
		t->cipher_at = t->cipher_n = 0;
		t->fetches = FETCHES;
	}
	if (!c->shaking || shaken(c))
		while (!fl_tcp_rests(c) && read_piece(c))
			;
	if (!mine)
		return;
	size_t rest = t->reader == c ? t->cipher_n - t->cipher_at : 0;  /* of one that closed, nothing is kept */
	if (rest && (c->left = malloc(rest))) {
		memcpy(c->left, t->cipher + t->cipher_at, rest);
		c->left_at = 0;
		c->left_n = rest;
	} else if (rest) {
		c->broken = true;
	}
	t->reader = NULL;
}

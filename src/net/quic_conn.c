#include "net/quic_int.h"
#include "base/err.h"
#include "base/rng.h"
#include <stdio.h>

static struct fl_quic_conn *of_ref(ngtcp2_crypto_conn_ref *ref) { return (struct fl_quic_conn *)((char *)ref - offsetof(struct fl_quic_conn, ref)); }

/* ---- streams ---- */

void fl_quic_list_add(struct fl_quic_streams *l, struct fl_quic_stream *s)
{
	s->rnext = NULL;
	s->rprev = l->last;
	*(l->last ? &l->last->rnext : &l->first) = s;
	l->last = s;
}

void fl_quic_list_del(struct fl_quic_streams *l, struct fl_quic_stream *s)
{
	*(s->rprev ? &s->rprev->rnext : &l->first) = s->rnext;
	*(s->rnext ? &s->rnext->rprev : &l->last) = s->rprev;
	s->rprev = s->rnext = NULL;
}

void fl_quic_stream_rest(struct fl_quic_stream *s)
{
	if (s->ready)
		fl_quic_list_del(&s->conn->ready, s);
	if (s->blocked)
		fl_quic_list_del(&s->conn->blocked, s);
	s->ready = s->blocked = false;
}

struct fl_quic_stream *fl_quic_stream_new(struct fl_quic_conn *c, int64_t id)
{
	struct fl_quic_stream *s = fl_quic_resize(&c->mem, NULL, sizeof *s);
	if (!s)
		return NULL;
	*s = (struct fl_quic_stream){ .conn = c, .id = id, .due_ns = UINT64_MAX, .prev = c->all.last };
	*(c->all.last ? &c->all.last->next : &c->all.first) = s;
	c->all.last = s;
	c->nstreams++;
	return s;
}

void fl_quic_stream_free(struct fl_quic_stream *s)
{
	struct fl_quic_conn *c = s->conn;
	c->side->gone(s);
	fl_quic_stream_rest(s);
	*(s->prev ? &s->prev->next : &c->all.first) = s->next;
	*(s->next ? &s->next->prev : &c->all.last) = s->prev;
	c->nstreams--;
	c->proto->release(s);
	if (s->out)
		fl_quic_resize(&c->mem, s->out, 0);
	fl_quic_resize(&c->mem, s, 0);
}

/* ---- ngtcp2 calls back ---- */

static int stream_open(ngtcp2_conn *ng, int64_t id, void *user)
{
	struct fl_quic_conn *c = user;
	struct fl_quic_stream *s = fl_quic_stream_new(c, id);
	if (!s)
		return NGTCP2_ERR_CALLBACK_FAILURE;
	ngtcp2_conn_set_stream_user_data(ng, id, s);
	return c->side->opened(s) ? 0 : NGTCP2_ERR_CALLBACK_FAILURE;
}

static int stream_close(ngtcp2_conn *ng, uint32_t flags, int64_t id, uint64_t code, void *user, void *stream)
{
	struct fl_quic_conn *c = user;
	(void)flags;
	if (stream && c->proto->closed)
		c->proto->closed(stream, code);
	if (stream)
		fl_quic_stream_free(stream);
	if (ngtcp2_conn_is_local_stream(ng, id))
		return 0;
	if (ngtcp2_is_bidi_stream(id))
		ngtcp2_conn_extend_max_streams_bidi(ng, 1);
	else
		ngtcp2_conn_extend_max_streams_uni(ng, 1);
	return 0;
}

static int stream_reset(ngtcp2_conn *ng, int64_t id, uint64_t size, uint64_t code, void *user, void *stream)
{
	struct fl_quic_stream *s = stream;
	(void)ng;
	(void)size;
	(void)user;
	if (!s)
		return 0;
	s->deaf = true;
	s->conn->side->reset(s, code);
	if (!ngtcp2_is_bidi_stream(id) && s->conn->proto->closed)       /* ngtcp2 0.12 does not say so of those */
		s->conn->proto->closed(s, code);
	return 0;
}

static int stream_data(ngtcp2_conn *ng, uint32_t flags, int64_t id, uint64_t offset, const uint8_t *p, size_t n, void *user, void *stream)
{
	struct fl_quic_conn *c = user;
	struct fl_quic_stream *s = stream;
	(void)offset;
	(void)id;
	c->heard_ns = fl_loop_now(c->loop);
	ngtcp2_conn_extend_max_offset(ng, n);   /* what is kept is bounded by each stream's own window and the connection's memory */
	if (s && !s->deaf && !c->close)
		c->proto->data(s, p, n, flags & NGTCP2_STREAM_DATA_FLAG_FIN);
	return 0;
}

static int acked(ngtcp2_conn *ng, int64_t id, uint64_t offset, uint64_t n, void *user, void *stream)
{
	struct fl_quic_conn *c = user;
	(void)ng;
	(void)id;
	(void)offset;
	c->heard_ns = fl_loop_now(c->loop);
	if (stream && c->proto->acked)
		c->proto->acked(stream, n);
	return 0;
}

static int handshaked(ngtcp2_conn *ng, void *user)
{
	struct fl_quic_conn *c = user;
	gnutls_datum_t d;
	(void)ng;
	if (gnutls_alpn_get_selected_protocol(c->tls, &d) < 0) {        /* RFC 9001 §8.1: no protocol, no connection */
		fl_quic_conn_close(c, false, 0x100 + GNUTLS_A_NO_APPLICATION_PROTOCOL, "tls: no application protocol");
		return 0;
	}
	c->state = FL_QUIC_OPEN;
	c->heard_ns = fl_loop_now(c->loop);
	if (c->proto->open)
		c->proto->open(c);
	c->side->handshaked(c);
	return 0;
}

static int more_streams(ngtcp2_conn *ng, uint64_t max, void *user)
{
	struct fl_quic_conn *c = user;
	(void)ng;
	(void)max;
	if (c->side->more_streams)
		c->side->more_streams(c);
	return 0;
}

static void random_bytes(uint8_t *to, size_t n, const ngtcp2_rand_ctx *ctx)
{
	(void)ctx;
	gnutls_rnd(GNUTLS_RND_NONCE, to, n);
}

static int new_cid(ngtcp2_conn *ng, ngtcp2_cid *cid, uint8_t *token, size_t n, void *user)
{
	struct fl_quic_conn *c = user;
	(void)ng;
	cid->datalen = n;
	gnutls_rnd(GNUTLS_RND_NONCE, cid->data, n);
	return c->side->new_cid(c, cid, token) ? NGTCP2_ERR_CALLBACK_FAILURE : 0;
}

static int old_cid(ngtcp2_conn *ng, const ngtcp2_cid *cid, void *user)
{
	struct fl_quic_conn *c = user;
	(void)ng;
	c->side->old_cid(c, cid);
	return 0;
}

static int stateless_reset(ngtcp2_conn *ng, const ngtcp2_pkt_stateless_reset *sr, void *user)
{
	struct fl_quic_conn *c = user;
	(void)ng;
	(void)sr;
	snprintf(c->why, sizeof c->why, "received a stateless reset");
	return 0;
}

const ngtcp2_callbacks fl_quic_callbacks = {
	.client_initial = ngtcp2_crypto_client_initial_cb,
	.recv_client_initial = ngtcp2_crypto_recv_client_initial_cb,
	.recv_crypto_data = ngtcp2_crypto_recv_crypto_data_cb,
	.handshake_completed = handshaked,
	.encrypt = ngtcp2_crypto_encrypt_cb,
	.decrypt = ngtcp2_crypto_decrypt_cb,
	.hp_mask = ngtcp2_crypto_hp_mask_cb,
	.recv_stream_data = stream_data,
	.acked_stream_data_offset = acked,
	.stream_open = stream_open,
	.stream_close = stream_close,
	.stream_reset = stream_reset,
	.recv_stateless_reset = stateless_reset,
	.recv_retry = ngtcp2_crypto_recv_retry_cb,
	.extend_max_local_streams_bidi = more_streams,
	.rand = random_bytes,
	.get_new_connection_id = new_cid,
	.remove_connection_id = old_cid,
	.update_key = ngtcp2_crypto_update_key_cb,
	.delete_crypto_aead_ctx = ngtcp2_crypto_delete_crypto_aead_ctx_cb,
	.delete_crypto_cipher_ctx = ngtcp2_crypto_delete_crypto_cipher_ctx_cb,
	.get_path_challenge_data = ngtcp2_crypto_get_path_challenge_data_cb,
	.version_negotiation = ngtcp2_crypto_version_negotiation_cb,
};

static ngtcp2_conn *native(ngtcp2_crypto_conn_ref *ref) { return of_ref(ref)->ng; }

static void timer_due(struct fl_timer *t)
{
	struct fl_quic_conn *c = (struct fl_quic_conn *)((char *)t - offsetof(struct fl_quic_conn, timer));
	c->busy = true;
	int ret = ngtcp2_conn_handle_expiry(c->ng, fl_loop_now(c->loop));
	c->busy = false;
	if (ret)
		fl_quic_conn_failed(c, ret);
	c->side->expired(c);
}

void fl_quic_conn_init(struct fl_quic_conn *c, struct fl_loop *l, const struct fl_quic_proto *proto, const struct fl_quic_side *side,
		       struct fl_quic_budget *of)
{
	c->loop = l;
	c->proto = proto;
	c->side = side;
	c->timer.fn = timer_due;
	c->ref.get_conn = native;
	fl_quic_mem_init(&c->mem, FL_QUIC_MEMORY, of);
}

void fl_quic_defaults(const struct fl_quic_conn *c, ngtcp2_settings *s, ngtcp2_transport_params *p)
{
	ngtcp2_settings_default(s);
	s->initial_ts = fl_loop_now(c->loop);
	s->no_pmtud = 1;                        /* answers are small: what discovery sends costs more than it gains */
	fl_quic_no_window_growth(s);
	ngtcp2_transport_params_default(p);
	p->initial_max_data = FL_QUIC_WINDOW;
	p->initial_max_stream_data_bidi_local = p->initial_max_stream_data_bidi_remote = p->initial_max_stream_data_uni = c->proto->stream_window;
	p->initial_max_streams_uni = c->proto->uni;
	p->max_udp_payload_size = 4096;
	p->active_connection_id_limit = 2;
}

/* ---- the end ---- */

uint64_t fl_quic_code(const struct fl_quic_conn *c, uint64_t code)
{
	return c->proto->code && code <= FL_DOQ_UNSPECIFIED_ERROR ? c->proto->code[code] : code;
}

void fl_quic_conn_close(struct fl_quic_conn *c, bool app, uint64_t code, const char *reason)
{
	if (c->close || c->state == FL_QUIC_OVER)
		return;
	c->close = true;
	c->app = app;
	c->code = code;
	snprintf(c->why, sizeof c->why, "%s", reason);
}

/* What the peer said as it closed, as quic-go prints it. */
static void peer_words(struct fl_quic_conn *c)
{
	fl_quic_ccerr e;
	fl_quic_peer_error(c->ng, &e);
	c->app = FL_QUIC_IS_APP(&e);
	c->code = e.error_code;
	int n = (int)(e.reasonlen < 100 ? e.reasonlen : 100);
	const char *reason = n ? (const char *)e.reason : "";
	if (c->app)
		snprintf(c->why, sizeof c->why, "Application error 0x%llx (remote)%s%.*s", (unsigned long long)c->code, n ? ": " : "", n, reason);
	else if (c->code >= 0x100 && c->code < 0x200)
		snprintf(c->why, sizeof c->why, "CRYPTO_ERROR 0x%llx (remote): tls: %s", (unsigned long long)c->code,
			 fl_quic_alert_text((unsigned)c->code - 0x100));
	else
		snprintf(c->why, sizeof c->why, "transport error 0x%llx (remote)%s%.*s", (unsigned long long)c->code, n ? ": " : "", n, reason);
}

void fl_quic_conn_failed(struct fl_quic_conn *c, int liberr)
{
	uint8_t alert = ngtcp2_conn_get_tls_alert(c->ng);
	struct fl_err e = { 0 };
	switch (liberr) {
	case NGTCP2_ERR_DRAINING:
		if (!c->why[0])                 /* else: a stateless reset */
			peer_words(c);
		c->state = FL_QUIC_OVER;
		break;
	case NGTCP2_ERR_IDLE_CLOSE:
		snprintf(c->why, sizeof c->why, "timeout: no recent network activity");
		c->state = FL_QUIC_OVER;
		break;
	case NGTCP2_ERR_HANDSHAKE_TIMEOUT:
		snprintf(c->why, sizeof c->why, "timeout: handshake did not complete in time");
		c->state = FL_QUIC_OVER;
		break;
	case NGTCP2_ERR_DROP_CONN:
	case NGTCP2_ERR_CLOSING:
	case NGTCP2_ERR_RETRY:
	case NGTCP2_ERR_RECV_VERSION_NEGOTIATION:
		snprintf(c->why, sizeof c->why, "no compatible QUIC version found");
		c->state = FL_QUIC_OVER;
		break;
	case NGTCP2_ERR_NOMEM:
	case NGTCP2_ERR_CALLBACK_FAILURE:
		fl_quic_conn_close(c, true, FL_DOQ_EXCESSIVE_LOAD, "");
		break;
	case NGTCP2_ERR_CRYPTO:
		fl_quic_conn_close(c, false, 0x100 + (uint64_t)alert, "");
		fl_quic_tls_refusal(c, &e);
		snprintf(c->why, sizeof c->why, "CRYPTO_ERROR 0x%x (local): %.160s", 0x100 + alert, e.msg);
		break;
	default:
		fl_quic_conn_close(c, false, ngtcp2_err_infer_quic_transport_error_code(liberr), ngtcp2_strerror(liberr));
	}
}

/* The reason stands in the packet too when it is one for the peer. */
static void say_goodbye(struct fl_quic_conn *c)
{
	ngtcp2_path_storage ps;
	fl_quic_ccerr e;
	const uint8_t *reason = (const uint8_t *)c->why;
	size_t n = c->app ? strlen(c->why) : 0;
	memset(&e, 0, sizeof e);
	if (c->app)
		fl_quic_ccerr_app(&e, fl_quic_code(c, c->code), reason, n);
	else
		fl_quic_ccerr_transport(&e, c->code, NULL, 0);
	ngtcp2_path_storage_zero(&ps);
	uint8_t *to = c->side->room(c);
	c->busy = true;
	ngtcp2_ssize len = to ? ngtcp2_conn_write_connection_close(c->ng, &ps.path, NULL, to, FL_QUIC_DATAGRAM, &e, fl_loop_now(c->loop)) : 0;
	c->busy = false;
	if (len > 0)
		c->side->send(c, &ps.path, (size_t)len);
	c->state = FL_QUIC_OVER;
}

void fl_quic_conn_free(struct fl_quic_conn *c)
{
	c->state = FL_QUIC_OVER;
	fl_timer_clear(c->loop, &c->timer);
	if (c->proto->finish)
		c->proto->finish(c);
	while (c->all.first)
		fl_quic_stream_free(c->all.first);
	if (c->ng)
		ngtcp2_conn_del(c->ng);
	if (c->tls)
		gnutls_deinit(c->tls);
	c->ng = NULL;
	c->tls = NULL;
}

/* ---- in and out ---- */

int fl_quic_conn_read(struct fl_quic_conn *c, const ngtcp2_path *path, const uint8_t *bytes, size_t n)
{
	ngtcp2_pkt_info pi = { 0 };
	c->busy = true;
	int ret = ngtcp2_conn_read_pkt(c->ng, path, &pi, bytes, n, fl_loop_now(c->loop));
	c->busy = false;
	return ret;
}

static void block(struct fl_quic_stream *s)
{
	if (s->conn->proto->stuck)
		s->conn->proto->stuck(s);
	fl_quic_stream_rest(s);
	s->blocked = true;
	fl_quic_list_add(&s->conn->blocked, s);
}

/* One datagram: its length; 0: nothing can go now; else ngtcp2's error. */
static ngtcp2_ssize write_one(struct fl_quic_conn *c, ngtcp2_path *path, uint8_t *to)
{
	ngtcp2_pkt_info pi;
	for (;;) {
		struct fl_quic_piece p = { 0 };
		bool any = c->proto->next(c, &p);
		uint32_t flags = !any ? NGTCP2_WRITE_STREAM_FLAG_NONE : NGTCP2_WRITE_STREAM_FLAG_MORE | (p.fin ? NGTCP2_WRITE_STREAM_FLAG_FIN : 0);
		ngtcp2_ssize took = -1, n = ngtcp2_conn_writev_stream(c->ng, path, &pi, to, FL_QUIC_DATAGRAM, &took, flags,
								      any ? p.stream->id : -1, p.v, p.n, fl_loop_now(c->loop));
		if (any && took >= 0)
			c->proto->took(c, &p, (size_t)took);
		if (n == NGTCP2_ERR_STREAM_DATA_BLOCKED)
			block(p.stream);
		else if (n == NGTCP2_ERR_STREAM_SHUT_WR || n == NGTCP2_ERR_STREAM_NOT_FOUND)
			c->proto->shut(p.stream);
		else if (n != NGTCP2_ERR_WRITE_MORE)
			return n;
	}
}

/* Whatever was blocked may go on: the peer's packets may have made room, and asking is cheap. */
static void unblock(struct fl_quic_conn *c)
{
	while (c->blocked.first) {
		struct fl_quic_stream *s = c->blocked.first;
		fl_quic_stream_rest(s);
		c->proto->again(s);
	}
}

static void arm(struct fl_quic_conn *c)
{
	uint64_t at = ngtcp2_conn_get_expiry(c->ng), now = fl_loop_now(c->loop);
	if (at == UINT64_MAX)
		fl_timer_clear(c->loop, &c->timer);
	else
		fl_timer_set(c->loop, &c->timer, at < now ? now : at);
}

bool fl_quic_conn_write(struct fl_quic_conn *c)
{
	ngtcp2_path_storage ps;
	unsigned i;
	if (c->state == FL_QUIC_OVER)
		return false;
	ngtcp2_path_storage_zero(&ps);
	unblock(c);
	for (i = 0; i < FL_QUIC_BURST && !c->close; i++) {
		uint8_t *to = c->side->room(c);
		if (!to)
			break;
		c->busy = true;
		ngtcp2_ssize n = write_one(c, &ps.path, to);
		c->busy = false;
		if (n < 0)
			fl_quic_conn_failed(c, (int)n);
		if (n <= 0)
			break;
		c->side->send(c, &ps.path, (size_t)n);
	}
	if (c->close && c->state != FL_QUIC_OVER)
		say_goodbye(c);
	if (c->state == FL_QUIC_OVER)
		return false;
	ngtcp2_conn_update_pkt_tx_time(c->ng, fl_loop_now(c->loop));
	arm(c);
	return i == FL_QUIC_BURST;
}

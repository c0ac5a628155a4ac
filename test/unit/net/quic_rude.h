/* A client of QUIC that keeps to no rules of what its streams carry: a connection with streams written by hand. Included by the tests of DoQ
 * and HTTP/3, with the server of quic_world.h. */
#pragma once
#include "quic_world.h"
#include "net/quic_server_int.h"

static struct fl_quic_conn c;
static struct fl_quic_budget budget;
static struct fl_io io;
static struct sockaddr_in me;
static uint8_t out[FL_QUIC_DATAGRAM];
static unsigned messages, resets, closed_streams, new_ids;
static uint64_t reset_code;
static const struct fl_quic_proto *proto = &fl_quic_doq;
static bool may_fail;                    /* the handshake, or what comes at once behind it */
static void (*adjust)(ngtcp2_transport_params *p);      /* what it allows the server; may be NULL */

static void on_message(struct fl_quic_stream *s, struct fl_str msg)
{
	(void)s;
	(void)msg;
	messages++;
}

static void on_reset(struct fl_quic_stream *s, uint64_t code)
{
	(void)s;
	resets++;
	reset_code = code;
}

static void on_stream_gone(struct fl_quic_stream *s)
{
	(void)s;
	closed_streams++;
}

static bool on_opened(struct fl_quic_stream *s) { return s != NULL; }
static void on_handshaked(struct fl_quic_conn *x) { (void)x; }

static int on_new_cid(struct fl_quic_conn *x, ngtcp2_cid *cid, uint8_t *token)
{
	(void)x;
	(void)cid;
	new_ids++;
	return gnutls_rnd(GNUTLS_RND_NONCE, token, NGTCP2_STATELESS_RESET_TOKENLEN);
}

static void on_old_cid(struct fl_quic_conn *x, const ngtcp2_cid *cid)
{
	(void)x;
	(void)cid;
}

static uint8_t *on_room(struct fl_quic_conn *x)
{
	(void)x;
	return out;
}

static void on_send(struct fl_quic_conn *x, const ngtcp2_path *path, size_t n)
{
	(void)x;
	(void)path;
	sendto(io.fd, out, n, 0, (struct sockaddr *)&server_at, sizeof server_at);
}

static void on_expired(struct fl_quic_conn *x) { fl_quic_conn_write(x); }

static const struct fl_quic_side side = { on_message, on_reset, on_stream_gone, on_opened, on_handshaked, NULL, on_new_cid, on_old_cid,
					  on_room, on_send, on_expired };

static int tls(void *arg, gnutls_session_t s)
{
	(void)arg;
	return gnutls_credentials_set(s, GNUTLS_CRD_CERTIFICATE, client_cred);
}

static void path_of(ngtcp2_path_storage *ps)
{
	ngtcp2_path_storage_init(ps, (struct sockaddr *)&me, sizeof me, (struct sockaddr *)&server_at, sizeof server_at, NULL);
}

static void readable(struct fl_io *x, uint32_t events)
{
	uint8_t in[4096];
	ngtcp2_path_storage ps;
	ssize_t n;
	(void)events;
	path_of(&ps);
	while ((n = recv(x->fd, in, sizeof in, MSG_DONTWAIT)) > 0 && c.state != FL_QUIC_OVER) {
		int ret = fl_quic_conn_read(&c, &ps.path, in, (size_t)n);
		if (ret)
			fl_quic_conn_failed(&c, ret);
	}
	fl_quic_conn_write(&c);
}

static int set_up(void **state)
{
	ngtcp2_settings settings;
	ngtcp2_transport_params params;
	ngtcp2_path_storage ps;
	ngtcp2_cid dcid = { .datalen = 8 }, scid = { .datalen = 8 };
	(void)state;
	world_open();
	messages = resets = closed_streams = new_ids = 0;
	c = (struct fl_quic_conn){ 0 };
	budget = (struct fl_quic_budget){ .limit = 1 << 26 };
	io = (struct fl_io){ .fd = bound(&me), .fn = readable };
	fl_loop_add(loop, &io, EPOLLIN);
	fl_quic_conn_init(&c, loop, proto, &side, &budget);
	fl_quic_defaults(&c, &settings, &params);
	params.active_connection_id_limit = 8;
	params.max_idle_timeout = 300 * FL_SEC;
	if (adjust)
		adjust(&params);
	gnutls_rnd(GNUTLS_RND_NONCE, dcid.data, 8);
	gnutls_rnd(GNUTLS_RND_NONCE, scid.data, 8);
	path_of(&ps);
	assert_int_equal(ngtcp2_conn_client_new(&c.ng, &dcid, &scid, &ps.path, NGTCP2_PROTO_VER_V1, &fl_quic_callbacks, &settings, &params,
						&c.mem.ng, &c), 0);
	assert_int_equal(fl_quic_tls_open(&c, false, tls, NULL), 0);
	fl_quic_conn_write(&c);
	run(FL_SEC);
	assert_true(may_fail || c.state == FL_QUIC_OPEN);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fl_quic_conn_free(&c);
	assert_int_equal(budget.used, 0);
	fl_loop_del(loop, &io);
	close(io.fd);
	world_close();
	return 0;
}

static int64_t open_one(void)
{
	int64_t id = -1;
	assert_int_equal(ngtcp2_conn_open_bidi_stream(c.ng, &id, NULL), 0);
	ngtcp2_conn_set_stream_user_data(c.ng, id, fl_quic_stream_new(&c, id));
	return id;
}

/* Bytes on a stream; they stay in memory until the end of the test, for ngtcp2 sends them again from there. */
static uint8_t store[1 << 20];
static size_t stored;
static void put(int64_t id, const void *p, size_t n, bool fin)
{
	ngtcp2_path_storage ps;
	ngtcp2_pkt_info pi;
	fl_assert(stored + n <= sizeof store);
	uint8_t *at = memcpy(store + stored, p, n);
	stored += n;
	ngtcp2_path_storage_zero(&ps);
	do {
		ngtcp2_vec v = { at, n };
		ngtcp2_ssize took, len = ngtcp2_conn_writev_stream(c.ng, &ps.path, &pi, out, sizeof out, &took,
								   fin ? NGTCP2_WRITE_STREAM_FLAG_FIN : 0, id, &v, 1, fl_loop_now(loop));
		if (len <= 0)
			return;
		on_send(&c, NULL, (size_t)len);
		if (took > 0) {
			at += took;
			n -= (size_t)took;
		}
	} while (n);
	ngtcp2_conn_update_pkt_tx_time(c.ng, fl_loop_now(loop));
}

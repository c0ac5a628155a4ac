/* A client of HTTP/3 by nghttp3, or one that writes its streams by hand (bare). Included by tests. */
#pragma once
#include "quic_rude.h"
#include <nghttp3/nghttp3.h>

enum { REPLIES = 2000, BODY = 70000, CANCELLED = NGHTTP3_H3_REQUEST_CANCELLED };

/* ---- the client's HTTP/3 ---- */

static nghttp3_conn *h3;
static bool bare;                       /* no HTTP/3 of its own: streams are written by hand */
static struct reply { struct fl_quic_stream *s; int status; unsigned fields; bool end; size_t n; const uint8_t *body; size_t nbody, step; bool more;
		      char type[32], length[16], date[40]; uint8_t got[64]; } replies[REPLIES];
static unsigned nreplies;
static int64_t goaway;
static bool chatty;                     /* the test writes on the control stream, too */
static struct fl_quic_stream *ours[3];

static int c_field(nghttp3_conn *h, int64_t id, int32_t token, nghttp3_rcbuf *name, nghttp3_rcbuf *value, uint8_t flags, void *u, void *user)
{
	struct reply *r = user;
	nghttp3_vec n = nghttp3_rcbuf_get_buf(name), v = nghttp3_rcbuf_get_buf(value);
	struct fl_str key = { (char *)n.base, n.len }, val = { (char *)v.base, v.len };
	(void)h, (void)id, (void)token, (void)flags, (void)u;
	r->fields++;
	if (fl_str_is(key, ":status"))
		r->status = atoi((char *)v.base);
	else if (fl_str_is(key, "content-type"))
		snprintf(r->type, sizeof r->type, "%.*s", FL_FMT(val));
	else if (fl_str_is(key, "content-length"))
		snprintf(r->length, sizeof r->length, "%.*s", FL_FMT(val));
	else if (fl_str_is(key, "date"))
		snprintf(r->date, sizeof r->date, "%.*s", FL_FMT(val));
	return 0;
}

static int c_data(nghttp3_conn *h, int64_t id, const uint8_t *p, size_t n, void *u, void *user)
{
	struct reply *r = user;
	(void)h, (void)u;
	for (size_t i = 0; i < n; i++, r->n++)
		if (r->n < sizeof r->got)
			r->got[r->n] = p[i];
	ngtcp2_conn_extend_max_stream_offset(c.ng, id, n);
	return 0;
}

static int c_end(nghttp3_conn *h, int64_t id, void *u, void *user)
{
	(void)h, (void)id, (void)u;
	((struct reply *)user)->end = true;
	messages++;
	return 0;
}

static int c_goaway(nghttp3_conn *h, int64_t id, void *u)
{
	(void)h, (void)u;
	goaway = id;
	return 0;
}

static void c_open(struct fl_quic_conn *x)
{
	static const nghttp3_callbacks cb = { .recv_header = c_field, .recv_data = c_data, .end_stream = c_end, .shutdown = c_goaway };
	nghttp3_settings s;
	int64_t id[3];
	if (bare)
		return;
	nghttp3_settings_default(&s);
	assert_int_equal(nghttp3_conn_client_new(&h3, &cb, &s, NULL, x), 0);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(ngtcp2_conn_open_uni_stream(x->ng, &id[i], NULL), 0);
		ours[i] = fl_quic_stream_new(x, id[i]);
		ngtcp2_conn_set_stream_user_data(x->ng, id[i], ours[i]);
	}
	nghttp3_conn_bind_control_stream(h3, id[0]);
	nghttp3_conn_bind_qpack_streams(h3, id[1], id[2]);
}

static void c_read(struct fl_quic_stream *s, const uint8_t *p, size_t n, bool fin)
{
	bool uni = !ngtcp2_is_bidi_stream(s->id);
	nghttp3_ssize used = h3 && (uni || s->user) ? nghttp3_conn_read_stream(h3, s->id, p, n, fin) : (nghttp3_ssize)n;
	assert_true(used >= 0);
	ngtcp2_conn_extend_max_stream_offset(c.ng, s->id, (uint64_t)used);
}

static bool c_next(struct fl_quic_conn *x, struct fl_quic_piece *p)
{
	int64_t id = -1;
	int fin = 0;
	nghttp3_ssize n = h3 && ngtcp2_conn_get_max_data_left(x->ng) ? nghttp3_conn_writev_stream(h3, &id, &fin, (nghttp3_vec *)p->v,
												   FL_QUIC_PIECES) : 0;
	assert_true(n >= 0);
	for (p->stream = x->all.first; p->stream && p->stream->id != id;)
		p->stream = p->stream->next;
	p->n = (unsigned)n;
	p->fin = fin;
	return p->stream;
}

static void c_took(struct fl_quic_conn *x, const struct fl_quic_piece *p, size_t n)
{
	(void)x;
	nghttp3_conn_add_write_offset(h3, p->stream->id, n);
}

static void c_stuck(struct fl_quic_stream *s) { nghttp3_conn_block_stream(h3, s->id); }
static void c_again(struct fl_quic_stream *s) { nghttp3_conn_unblock_stream(h3, s->id); }
static void c_shut(struct fl_quic_stream *s) { nghttp3_conn_shutdown_stream_write(h3, s->id); }

static void c_acked(struct fl_quic_stream *s, uint64_t n)
{
	if (h3 && !(chatty && s == ours[0]))
		nghttp3_conn_add_ack_offset(h3, s->id, n);
}

static void c_closed(struct fl_quic_stream *s, uint64_t code)
{
	if (h3)
		nghttp3_conn_close_stream(h3, s->id, code);
}

static void c_release(struct fl_quic_stream *s) { s->user = NULL; }

static void c_finish(struct fl_quic_conn *x)
{
	(void)x;
	nghttp3_conn_del(h3);
	h3 = NULL;
}

static const struct fl_quic_proto client_h3 = {
	.alpn = "h3", .uni = 8, .stream_window = 128 * 1024, .open = c_open, .data = c_read, .next = c_next, .took = c_took, .stuck = c_stuck,
	.again = c_again, .shut = c_shut, .acked = c_acked, .closed = c_closed, .release = c_release, .finish = c_finish,
};

static nghttp3_ssize give_body(nghttp3_conn *h, int64_t id, nghttp3_vec *v, size_t nv, uint32_t *flags, void *u, void *user)
{
	struct reply *r = user;
	(void)h, (void)id, (void)nv, (void)u;
	size_t n = r->step && r->step < r->nbody ? r->step : r->nbody;
	v[0] = (nghttp3_vec){ (uint8_t *)(uintptr_t)r->body, n };
	if (!r->nbody && r->more)
		return NGHTTP3_ERR_WOULDBLOCK;
	r->body += n;
	r->nbody -= n;
	if (!r->more && !r->nbody)
		*flags |= NGHTTP3_DATA_FLAG_EOF;
	return 1;
}

static nghttp3_nv nv(const char *name, const char *value)
{
	return (nghttp3_nv){ (uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name), strlen(value), 0 };
}

/* more: the request does not end with the body. NULL: no stream may be opened. */
static struct reply *request_with(const nghttp3_nv *v, size_t n, const void *body, size_t nbody, bool more)
{
	static const nghttp3_data_reader reader = { give_body };
	int64_t id;
	if (ngtcp2_conn_open_bidi_stream(c.ng, &id, NULL))
		return NULL;
	struct reply *r = &replies[nreplies++ % REPLIES];
	*r = (struct reply){ .s = fl_quic_stream_new(&c, id), .body = body, .nbody = nbody, .more = more };
	r->s->user = r;
	ngtcp2_conn_set_stream_user_data(c.ng, id, r->s);
	assert_int_equal(nghttp3_conn_submit_request(h3, id, v, n, body || more ? &reader : NULL, r), 0);
	fl_quic_conn_write(&c);
	return r;
}

static struct reply *request(const char *method, const char *path, const void *body, size_t n)
{
	const nghttp3_nv v[] = { nv(":method", method), nv(":scheme", "https"), nv(":authority", "a.test"), nv(":path", path),
				 nv("content-type", "text/x") };
	return request_with(v, FL_COUNT(v), body, n, false);
}

static struct reply *get(void) { return request("GET", "/a?b", NULL, 0); }

static struct reply *part(void)
{
	const nghttp3_nv v[] = { nv(":method", "POST"), nv(":scheme", "https"), nv(":authority", "a.test"), nv(":path", "/part") };
	return request_with(v, FL_COUNT(v), "ab", 2, true);
}

/* HTTP/3 (RFC 9114), the serving end: nghttp3 on streams of QUIC. Bytes come from quic_conn, whole requests go to the owner of the fl_web, what
 * nghttp3 has to say goes out as pieces of streams when the connection writes.
 *
 *   c->speaker: a talk, one a connection        s->user: an ask, one a stream with a request; its answer's body is s->out
 *
 * No dynamic tables of QPACK and no blocked streams: a request's header depends on nothing but its own stream. All memory, nghttp3's too, is
 * the connection's. Callbacks of nghttp3 come from inside read_stream() or writev_stream(), and never for another stream than the one read. */
#include "net/quic_server_int.h"
#include "net/web_int.h"
#include "net/web_v3_control.h"
#include "base/err.h"
#include "base/mem.h"
#include <errno.h>
#include <nghttp3/nghttp3.h>

_Static_assert(sizeof(struct fl_web_control) <= FL_QUIC_ROOM, "fits in its stream");

enum { NOISE_MAX = 64 * 1024, NOISE_CALL = 32, UNI_STREAMS = 16, STREAM_WINDOW = 128 * 1024, OURS = 3,
       /* Of a request's stream what is no body: its header, and the heads of frames of one octet each. ngtcp2 tells of half a window at a time. */
       FRAMES_MAX = FL_WEB_HEAD + 2 * FL_WEB_BODY + STREAM_WINDOW / 2 };

struct talk {
	nghttp3_conn *h3;
	nghttp3_mem mem;
	struct fl_quic_stream *now;             /* that is being read */
	struct fl_quic_stream *ours[OURS];      /* control, QPACK encoder and decoder */
	size_t noise;                           /* octets of the client's own such streams since its last request */
};

struct ask {
	struct fl_web_req r;                    /* first */
	struct fl_quic_stream *stream;
	char *target;                           /* longer than head.text[] */
	uint8_t *in; size_t in_cap;
	size_t frames;                          /* octets that were no body, and are read */
	struct fl_web_head head;
};

static struct fl_quic_peer *peer_of(const struct fl_quic_conn *c) { return (struct fl_quic_peer *)(uintptr_t)c; }
static struct fl_web *web_of(const struct fl_quic_conn *c) { return peer_of(c)->li->web; }

static void give_back(struct fl_quic_conn *c, void *p)
{
	if (p)
		fl_quic_resize(&c->mem, p, 0);
}

/* It costs more than it asks. */
void fl_web_v3_calm(struct fl_quic_conn *c)
{
	if (c->close)
		return;
	fl_web_count(&web_of(c)->stats->calmed);
	fl_quic_conn_close(c, true, FL_DOQ_EXCESSIVE_LOAD, "");
}

static void failed(struct fl_quic_conn *c, nghttp3_ssize liberr)
{
	if (c->close)
		return;
	if (liberr == NGHTTP3_ERR_NOMEM || liberr == NGHTTP3_ERR_CALLBACK_FAILURE) {
		fl_quic_conn_close(c, true, FL_DOQ_EXCESSIVE_LOAD, "");
		return;
	}
	fl_web_count(&web_of(c)->stats->large);
	fl_web_count(&web_of(c)->stats->bad);
	fl_quic_conn_close(c, true, nghttp3_err_infer_quic_app_error_code((int)liberr), nghttp3_strerror((int)liberr));
}

/* ---- requests come: nghttp3 calls back ---- */

static int on_begin(nghttp3_conn *h3, int64_t id, void *conn, void *user)
{
	struct fl_quic_conn *c = conn;
	struct talk *t = c->speaker;
	struct ask *a = fl_quic_resize(&c->mem, NULL, sizeof *a);
	(void)user;
	if (!a)
		return NGHTTP3_ERR_CALLBACK_FAILURE;
	memset(a, 0, offsetof(struct ask, head));
	a->head.size = a->head.nfields = 0;
	a->head.refused = false;
	a->r.method = a->r.target = a->r.type = a->r.te = a->r.encoding = a->r.fields = FL_STR("");
	a->r.quic = a->stream = t->now;
	t->now->user = a;
	return nghttp3_conn_set_stream_user_data(h3, id, a);
}

static struct fl_str text_of(nghttp3_rcbuf *b)
{
	nghttp3_vec v = nghttp3_rcbuf_get_buf(b);
	return (struct fl_str){ (const char *)v.base, v.len };
}

static int on_field(nghttp3_conn *h3, int64_t id, int32_t token, nghttp3_rcbuf *name, nghttp3_rcbuf *value, uint8_t flags, void *conn,
		    void *user)
{
	struct fl_quic_conn *c = conn;
	struct ask *a = user;
	struct fl_str v = text_of(value);
	(void)h3, (void)id, (void)token, (void)flags;
	if (!a || !fl_web_head_put(&a->head, &a->r, text_of(name), v))
		return 0;
	a->target = fl_quic_resize(&c->mem, NULL, v.n);
	if (!a->target)
		return NGHTTP3_ERR_CALLBACK_FAILURE;
	a->r.target = (struct fl_str){ memcpy(a->target, v.p, v.n), v.n };
	return 0;
}

static int on_trailer(nghttp3_conn *h3, int64_t id, int32_t token, nghttp3_rcbuf *name, nghttp3_rcbuf *value, uint8_t flags, void *conn,
		      void *user)
{
	struct ask *a = user;
	(void)h3, (void)id, (void)token, (void)flags, (void)conn;
	fl_web_head_count(&a->head, text_of(name).n, text_of(value).n);
	return 0;
}

static int on_data(nghttp3_conn *h3, int64_t id, const uint8_t *p, size_t n, void *conn, void *user)
{
	struct fl_quic_conn *c = conn;
	struct ask *a = user;
	(void)h3;
	if (!a->head.refused && !a->r.too_large && a->r.n + n > FL_WEB_BODY) {
		ngtcp2_conn_extend_max_stream_offset(c->ng, id, a->r.n);
		a->r.n = 0;
		a->r.too_large = true;
	}
	if (a->head.refused || a->r.too_large) {        /* thrown away: the client may go on to the end */
		ngtcp2_conn_extend_max_stream_offset(c->ng, id, n);
		return 0;
	}
	if (a->r.n + n > a->in_cap) {
		size_t cap = a->in_cap ? 2 * a->in_cap : n < 512 ? 512 : n;
		cap = cap < a->r.n + n ? a->r.n + n : cap;
		uint8_t *in = fl_quic_resize(&c->mem, a->in, cap);
		if (!in)
			return NGHTTP3_ERR_CALLBACK_FAILURE;
		a->r.body = a->in = in;
		a->in_cap = cap;
	}
	memcpy(a->in + a->r.n, p, n);
	a->r.n += n;
	return 0;
}

static int stop(nghttp3_conn *h3, int64_t id, uint64_t code, void *conn, void *user)
{
	struct fl_quic_conn *c = conn;
	struct talk *t = c->speaker;
	(void)h3, (void)user;
	fl_quic_shutdown_read(c->ng, id, code);
	t->now->deaf = true;
	return 0;
}

static int reset(nghttp3_conn *h3, int64_t id, uint64_t code, void *conn, void *user)
{
	struct fl_quic_conn *c = conn;
	struct talk *t = c->speaker;
	(void)h3, (void)id, (void)user;
	fl_quic_drop(t->now, code);
	return 0;
}

static int on_end(nghttp3_conn *h3, int64_t id, void *conn, void *user)
{
	static const struct fl_web_field none[1];
	struct fl_quic_conn *c = conn;
	struct ask *a = user;
	struct fl_web *w = web_of(c);
	(void)h3, (void)id;
	if (!a)
		return 0;
	if (peer_of(c)->li->closed) {
		fl_quic_drop(a->stream, NGHTTP3_H3_REQUEST_REJECTED);
		return 0;
	}
	((struct talk *)c->speaker)->noise = 0;
	fl_quic_asked(a->stream);
	if (a->head.refused) {
		fl_web_count(&w->stats->large);
		fl_web_v3_answer(&a->r, 431, none, 0, NULL, 0);
		return 0;
	}
	fl_web_count(&w->stats->requests);
	w->ops->request(&a->r);
	return 0;
}

/* ---- connections ---- */

static int open_ours(struct fl_quic_conn *c, struct talk *t)
{
	int64_t id[OURS];
	for (unsigned i = 0; i < OURS; i++) {
		int ret = ngtcp2_conn_open_uni_stream(c->ng, &id[i], NULL);
		t->ours[i] = ret ? NULL : fl_quic_stream_new(c, id[i]);
		if (!t->ours[i])
			return ret == NGTCP2_ERR_STREAM_ID_BLOCKED ? -EPROTO : -ENOMEM; /* EPROTO: the client allows less than three */
		if (ngtcp2_conn_set_stream_user_data(c->ng, id[i], t->ours[i]))
			return -ENOMEM;
	}
	return nghttp3_conn_bind_control_stream(t->h3, id[0]) || nghttp3_conn_bind_qpack_streams(t->h3, id[1], id[2]) ? -ENOMEM : 0;
}

static void open_talk(struct fl_quic_conn *c)
{
	static const nghttp3_callbacks cb = { .begin_headers = on_begin, .recv_header = on_field, .recv_trailer = on_trailer, .recv_data = on_data,
					      .end_stream = on_end, .stop_sending = stop, .reset_stream = reset };
	struct talk *t = fl_quic_resize(&c->mem, NULL, sizeof *t);
	nghttp3_settings settings;
	int ret = -ENOMEM;
	if (t) {
		const ngtcp2_mem *m = &c->mem.ng;
		*t = (struct talk){ .mem = { m->user_data, m->malloc, m->free, m->calloc, m->realloc } };
		c->speaker = t;
		nghttp3_settings_default(&settings);
		settings.max_field_section_size = FL_WEB_HEAD;
		settings.qpack_max_dtable_capacity = settings.qpack_encoder_max_dtable_capacity = settings.qpack_blocked_streams = 0;
		if (nghttp3_conn_server_new(&t->h3, &cb, &settings, &t->mem, c)) {
			c->speaker = NULL;      /* streams that come along with the handshake look for it */
			give_back(c, t);
		} else {
			ret = open_ours(c, t);
		}
	}
	if (ret)
		fl_quic_conn_close(c, true, ret == -EPROTO ? FL_DOQ_PROTOCOL_ERROR : FL_DOQ_EXCESSIVE_LOAD, "");
}

static void finish(struct fl_quic_conn *c)
{
	struct talk *t = c->speaker;
	if (!t)
		return;
	nghttp3_conn_del(t->h3);
	c->speaker = NULL;
	fl_quic_resize(&c->mem, t, 0);
}

void fl_web_v3_leave(struct fl_quic_conn *c)
{
	struct talk *t = c->speaker;
	if (c->state != FL_QUIC_OPEN || c->close || !t)
		return;
	int ret = nghttp3_conn_shutdown(t->h3);
	if (ret)
		failed(c, ret);
}

/* ---- streams ---- */

/* What was read and is not kept may come anew, up to a limit: then the stream's window ends, and the request is late. */
static void make_room(struct fl_quic_stream *s, size_t n)
{
	struct ask *a = s->user;
	if (!a || !ngtcp2_is_bidi_stream(s->id) || (a->frames += n) > FRAMES_MAX)
		return;
	ngtcp2_conn_extend_max_stream_offset(s->conn->ng, s->id, n);
}

static void pass_on(struct fl_quic_stream *s, const uint8_t *p, size_t n, bool fin)
{
	struct talk *t = s->conn->speaker;
	if (s->deaf || s->conn->close)
		return;
	t->now = s;
	nghttp3_ssize used = nghttp3_conn_read_stream(t->h3, s->id, p, n, fin);
	t->now = NULL;
	if (used < 0)
		failed(s->conn, used);
	else
		make_room(s, (size_t)used);
}

static void data_one_way(struct fl_quic_stream *s, const uint8_t *p, size_t n, bool fin)
{
	struct fl_quic_conn *c = s->conn;
	struct talk *t = c->speaker;
	struct fl_web_control *f = (struct fl_web_control *)s->room;
	struct fl_str pass;
	if ((t->noise += n + NOISE_CALL) > NOISE_MAX) {
		fl_web_v3_calm(c);
		return;
	}
	if (n)
		ngtcp2_conn_extend_max_stream_offset(c->ng, s->id, n);
	for (size_t k; n; p += k, n -= k) {
		k = fl_web_control_feed(f, p, n, &pass);
		if (pass.n)
			pass_on(s, (const uint8_t *)pass.p, pass.n, false);
	}
	if (fin)
		pass_on(s, f->head, f->nhead, true);
}

static void data(struct fl_quic_stream *s, const uint8_t *p, size_t n, bool fin)
{
	if (ngtcp2_is_bidi_stream(s->id))
		pass_on(s, p, n, fin);
	else
		data_one_way(s, p, n, fin);
}

static struct fl_quic_stream *stream_of(struct fl_quic_conn *c, int64_t id)
{
	const struct talk *t = c->speaker;
	for (unsigned i = 0; i < OURS; i++)
		if (t->ours[i]->id == id)
			return t->ours[i];
	struct fl_quic_stream *s = c->all.first;        /* the oldest are mostly the first to be answered */
	while (s && s->id != id)
		s = s->next;
	return s;
}

static bool next(struct fl_quic_conn *c, struct fl_quic_piece *p)
{
	struct talk *t = c->speaker;
	nghttp3_vec v[FL_QUIC_PIECES];
	int64_t id = -1;
	int fin = 0;
	if (!t || c->close || !ngtcp2_conn_get_max_data_left(c->ng))
		return false;
	nghttp3_ssize n = nghttp3_conn_writev_stream(t->h3, &id, &fin, v, FL_QUIC_PIECES);
	if (n < 0)
		failed(c, n);
	if (n < 0 || id < 0 || !(p->stream = stream_of(c, id)))
		return false;
	p->fin = fin;
	p->n = (unsigned)n;
	for (unsigned i = 0; i < p->n; i++)
		p->v[i] = (ngtcp2_vec){ v[i].base, v[i].len };
	return true;
}

static void took(struct fl_quic_conn *c, const struct fl_quic_piece *p, size_t n)
{
	int ret = nghttp3_conn_add_write_offset(((struct talk *)c->speaker)->h3, p->stream->id, n);
	if (ret)
		failed(c, ret);
}

static nghttp3_conn *h3_of(const struct fl_quic_stream *s) { return ((struct talk *)s->conn->speaker)->h3; }

static void stuck(struct fl_quic_stream *s) { nghttp3_conn_block_stream(h3_of(s), s->id); }
static void shut(struct fl_quic_stream *s) { nghttp3_conn_shutdown_stream_write(h3_of(s), s->id); }

static void again(struct fl_quic_stream *s)
{
	int ret = nghttp3_conn_unblock_stream(h3_of(s), s->id);
	if (ret)
		failed(s->conn, ret);
}

static void acked(struct fl_quic_stream *s, uint64_t n)
{
	int ret = s->conn->speaker ? nghttp3_conn_add_ack_offset(h3_of(s), s->id, n) : 0;
	if (ret)
		failed(s->conn, ret);
}

static void closed(struct fl_quic_stream *s, uint64_t code)
{
	struct talk *t = s->conn->speaker;
	if (!t)
		return;
	int ret = nghttp3_conn_close_stream(t->h3, s->id, code);
	if (ret && ret != NGHTTP3_ERR_STREAM_NOT_FOUND)
		failed(s->conn, ret);                   /* one that must stay open */
}

static void release(struct fl_quic_stream *s)
{
	struct ask *a = s->user;
	s->user = NULL;
	if (!a)
		return;
	give_back(s->conn, a->target);
	give_back(s->conn, a->in);
	give_back(s->conn, a);
}

const struct fl_quic_proto fl_web_v3 = {
	.alpn = "h3", .uni = UNI_STREAMS, .stream_window = STREAM_WINDOW,
	.code = (const uint16_t[]){ [FL_DOQ_NO_ERROR] = NGHTTP3_H3_NO_ERROR, [FL_DOQ_INTERNAL_ERROR] = NGHTTP3_H3_INTERNAL_ERROR,
				    [FL_DOQ_PROTOCOL_ERROR] = NGHTTP3_H3_GENERAL_PROTOCOL_ERROR,
				    [FL_DOQ_REQUEST_CANCELLED] = NGHTTP3_H3_REQUEST_CANCELLED,
				    [FL_DOQ_EXCESSIVE_LOAD] = NGHTTP3_H3_EXCESSIVE_LOAD,
				    [FL_DOQ_UNSPECIFIED_ERROR] = NGHTTP3_H3_INTERNAL_ERROR },
	.open = open_talk, .data = data, .next = next, .took = took, .stuck = stuck, .again = again, .shut = shut, .acked = acked,
	.closed = closed, .release = release, .finish = finish,
};

/* ---- answers go ---- */

static nghttp3_ssize read_body(nghttp3_conn *h3, int64_t id, nghttp3_vec *v, size_t nv, uint32_t *flags, void *conn, void *user)
{
	const struct ask *a = user;
	(void)h3, (void)id, (void)nv, (void)conn;
	*flags |= NGHTTP3_DATA_FLAG_EOF;
	v[0] = (nghttp3_vec){ a->stream->out, a->stream->out_n };       /* stays until the stream closes */
	return 1;
}

void fl_web_v3_answer(struct fl_web_req *r, int status, const struct fl_web_field *f, unsigned nf, const void *body, size_t n)
{
	static const nghttp3_data_reader reader = { read_body };
	struct ask *a = (struct ask *)r;
	struct fl_quic_stream *s = a->stream;
	struct fl_quic_conn *c = s->conn;
	struct fl_web_field field[FL_WEB_ANSWER];
	struct fl_web_text text;
	nghttp3_nv nv[FL_WEB_ANSWER];
	bool no_body = !n || fl_str_is(r->method, "HEAD");
	unsigned k = fl_web_answer_head(field, &text, c->loop, status, f, nf, body ? n : SIZE_MAX);
	for (unsigned i = 0; i < k; i++)
		nv[i] = (nghttp3_nv){ (uint8_t *)(uintptr_t)field[i].name.p, (uint8_t *)(uintptr_t)field[i].value.p, field[i].name.n,
				      field[i].value.n, NGHTTP3_NV_FLAG_NONE };
	if (!no_body && (s->out = fl_quic_resize(&c->mem, NULL, n)))
		memcpy(s->out, body, s->out_n = n);
	if (!no_body && !s->out && !c->close) { /* it does not take what it asked for */
		fl_web_count(&web_of(c)->stats->slow);
		fl_web_v3_calm(c);
	} else if (!c->close) {
		int ret = nghttp3_conn_submit_response(((struct talk *)c->speaker)->h3, s->id, nv, k, no_body ? NULL : &reader);
		if (ret)
			failed(c, ret);
	}
	give_back(c, a->in);                    /* body may have been in it */
	a->in = NULL;
	fl_quic_answered(s);
}

/* ---- what the server of QUIC says of streams ---- */

void fl_web_v3_gone(struct fl_quic_stream *s)
{
	struct ask *a = s->user;
	struct fl_web *w = web_of(s->conn);
	if (!s->conn->close && s->conn->state != FL_QUIC_OVER)
		fl_web_count(&w->stats->resets);
	w->ops->gone(&a->r);
}

void fl_web_v3_late(struct fl_quic_stream *s)
{
	fl_web_count(&web_of(s->conn)->stats->slow);
	fl_quic_shutdown(s->conn->ng, s->id, NGHTTP3_H3_REQUEST_CANCELLED);
}

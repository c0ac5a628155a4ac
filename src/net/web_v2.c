/* HTTP/2, by nghttp2. Bytes go in through fl_web_v2_bytes(), frames that wait come out where the outermost call ends, many in one piece. The
 * windows of what clients send open only when a request is answered: a connection never has more than FL_WEB_WINDOW under way. (Many
 * large bodies at once that fill it before one of them is whole stand still, until read_ns ends them.) */
#include "net/web_int.h"
#include "base/mem.h"
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>

enum { NOISE_MAX = 10000, RESETS_MAX = 256, RESETS_S = 64, AHEAD = 256 * 1024, GATHER = 16 * 1024 };

static struct fl_web_stream *stream_of(nghttp2_session *h2, int32_t id) { return nghttp2_session_get_stream_user_data(h2, id); }

void fl_web_v2_bye(struct fl_web_conn *wc, uint32_t code)
{
	if (wc->going)
		return;
	wc->going = true;
	nghttp2_session_terminate_session(wc->h2, code);
}

void fl_web_v2_last(struct fl_web_conn *wc)
{
	if (!wc->going)
		nghttp2_submit_goaway(wc->h2, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(wc->h2), NGHTTP2_NO_ERROR, NULL, 0);
}

/* It costs more than it asks. */
static void calm(struct fl_web_conn *wc)
{
	if (wc->going)
		return;
	fl_web_count(&wc->web->stats->calmed);
	fl_web_v2_bye(wc, NGHTTP2_ENHANCE_YOUR_CALM);
}

/* ---- requests come ---- */

static int on_begin(nghttp2_session *h2, const nghttp2_frame *f, void *arg)
{
	struct fl_web_conn *wc = arg;
	if (f->hd.type != NGHTTP2_HEADERS || f->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	struct fl_web_stream *s = fl_web_stream_add(wc);
	if (!s)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	s->id = f->hd.stream_id;
	nghttp2_session_set_stream_user_data(h2, s->id, s);
	return 0;
}

static void keep_target(struct fl_web_stream *s, struct fl_str v)
{
	s->head.refused = s->head.refused || s->wc->memory + v.n > FL_WEB_MEMORY;
	if (s->head.refused || !(s->target = malloc(v.n)))
		return;
	s->wc->memory += s->target_n = v.n;
	s->r.target = (struct fl_str){ memcpy(s->target, v.p, v.n), v.n };
}

static void keep_field(struct fl_web_stream *s, struct fl_str name, struct fl_str value)
{
	size_t had = s->r.fields.n, need = name.n + value.n + 3;
	if (had + need > s->fields_cap) {
		size_t more = s->fields_cap + need + 512;
		s->head.refused = s->head.refused || s->wc->memory + more > FL_WEB_MEMORY;
		char *fields = s->head.refused ? NULL : realloc(s->fields, s->fields_cap + more);
		if (!fields)
			return;
		s->fields = fields;
		s->fields_cap += more;
		s->wc->memory += more;
	}
	char *at = fl_put_bytes(s->fields + had, name.p, name.n);
	at = fl_put_bytes(fl_put_bytes(at, ": ", 2), value.p, value.n);
	*at = '\n';
	s->r.fields = (struct fl_str){ s->fields, had + need };
}

static int on_header(nghttp2_session *h2, const nghttp2_frame *f, const uint8_t *name, size_t nn, const uint8_t *value, size_t nv,
		     uint8_t flags, void *arg)
{
	struct fl_web_stream *s = stream_of(h2, f->hd.stream_id);
	struct fl_web_conn *wc = arg;
	struct fl_str n = { (const char *)name, nn }, v = { (const char *)value, nv };
	(void)flags;
	if (!s || s->at != FL_WEB_COMING)
		return 0;
	if (f->headers.cat != NGHTTP2_HCAT_REQUEST) {   /* trailers: they count */
		fl_web_head_count(&s->head, nn, nv);
		return 0;
	}
	if (fl_web_head_put(&s->head, &s->r, n, v))
		keep_target(s, v);
	if (!s->head.refused && nn && wc->web->conf.fields && (n.p[0] != ':' || fl_str_is(n, ":authority")))
		keep_field(s, n.p[0] == ':' ? FL_STR("host") : n, v);
	return 0;
}

static int on_data(nghttp2_session *h2, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *arg)
{
	struct fl_web_stream *s = stream_of(h2, id);
	(void)flags, (void)arg;
	if (!s || s->at != FL_WEB_COMING || s->head.refused || s->r.too_large) {     /* nobody keeps it: it does not count */
		nghttp2_session_consume(h2, id, n);
		return 0;
	}
	if (s->r.n + n > FL_WEB_BODY) {
		nghttp2_session_consume(h2, id, s->held + n);
		s->r.n = s->held = 0;
		s->r.too_large = true;
		return 0;
	}
	if (s->r.n + n > s->in_cap) {
		size_t cap = s->in_cap ? FL_WEB_BODY : n < 512 ? 512 : n;
		cap = cap < s->r.n + n ? s->r.n + n : cap;
		uint8_t *in = realloc(s->in, cap);
		if (!in)
			return nghttp2_submit_rst_stream(h2, NGHTTP2_FLAG_NONE, id, NGHTTP2_INTERNAL_ERROR);
		s->r.body = s->in = in;
		s->in_cap = cap;
	}
	memcpy(s->in + s->r.n, p, n);
	s->r.n += n;
	s->held += n;
	return 0;
}

static void refuse_head(struct fl_web_conn *wc, struct fl_web_stream *s)
{
	nghttp2_nv nv = { (uint8_t *)(uintptr_t)":status", (uint8_t *)(uintptr_t)"431", 7, 3, NGHTTP2_NV_FLAG_NONE };
	fl_web_count(&wc->web->stats->large);
	s->at = FL_WEB_GOING;
	s->since_ns = fl_loop_now(wc->web->loop);
	fl_conn_hold(wc->conn);
	nghttp2_submit_response(wc->h2, s->id, &nv, 1, NULL);
}

/* Resets cost us work: they come out of a bucket. */
static void count_reset(struct fl_web_conn *wc)
{
	uint64_t now = fl_loop_now(wc->web->loop);
	wc->resets -= (double)(now - wc->reset_ns) / (double)FL_SEC * RESETS_S;
	wc->resets = (wc->resets < 0 ? 0 : wc->resets) + 1;
	wc->reset_ns = now;
	if (wc->resets > RESETS_MAX)
		calm(wc);
}

static int on_frame(nghttp2_session *h2, const nghttp2_frame *f, void *arg)
{
	struct fl_web_conn *wc = arg;
	struct fl_web_stream *s = f->hd.stream_id ? stream_of(h2, f->hd.stream_id) : NULL;
	bool request = f->hd.type == NGHTTP2_HEADERS || f->hd.type == NGHTTP2_DATA;
	if (f->hd.type == NGHTTP2_RST_STREAM && (!s || s->at != FL_WEB_WORKING))        /* else on_close() counts it */
		count_reset(wc);
	if (f->hd.type == NGHTTP2_SETTINGS)     /* it speaks HTTP/2: from now on it may be idle */
		wc->begun_ns = 0;
	if (!request || (f->hd.type == NGHTTP2_DATA && !f->hd.length && !(f->hd.flags & NGHTTP2_FLAG_END_STREAM)))
		if (++wc->noise > NOISE_MAX)
			calm(wc);
	if (!request || !(f->hd.flags & NGHTTP2_FLAG_END_STREAM) || !s || s->at != FL_WEB_COMING)
		return 0;
	if (s->head.refused)
		refuse_head(wc, s);
	else
		fl_web_stream_whole(s);
	return 0;
}

static int on_close(nghttp2_session *h2, int32_t id, uint32_t code, void *arg)
{
	struct fl_web_stream *s = stream_of(h2, id);
	(void)code;
	if (!s)
		return 0;
	if (s->at == FL_WEB_WORKING) {          /* by the peer, or by us because of a frame that it sent: the work is for nothing either way */
		fl_web_count(&s->wc->web->stats->resets);
		count_reset(arg);
	}
	nghttp2_session_set_stream_user_data(h2, id, NULL);
	if (s->held)
		nghttp2_session_consume_connection(h2, s->held);
	fl_web_stream_drop(s);
	return 0;
}

int fl_web_v2_open(struct fl_web_conn *wc)
{
	nghttp2_session_callbacks *cb = NULL;
	nghttp2_option *opt = NULL;
	nghttp2_session *h2 = NULL;
	const nghttp2_settings_entry settings[] = {
		{ NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, wc->web->conf.max_streams },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, FL_WEB_WINDOW },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, FL_WEB_HEAD },
	};
	int ret = -1;
	if (nghttp2_session_callbacks_new(&cb) || nghttp2_option_new(&opt))
		goto out;
	nghttp2_option_set_no_auto_window_update(opt, 1);
	nghttp2_option_set_no_closed_streams(opt, 1);
	nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin);
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
	if (nghttp2_session_server_new2(&h2, cb, wc, opt) ||
	    nghttp2_submit_settings(h2, NGHTTP2_FLAG_NONE, settings, FL_COUNT(settings)) ||
	    nghttp2_session_set_local_window_size(h2, NGHTTP2_FLAG_NONE, 0, FL_WEB_WINDOW))
		goto out;
	wc->h2 = h2;
	h2 = NULL;
	ret = 0;
out:
	nghttp2_session_del(h2);
	nghttp2_option_del(opt);
	nghttp2_session_callbacks_del(cb);
	return ret;
}

void fl_web_v2_close(struct fl_web_conn *wc)
{
	nghttp2_session_del(wc->h2);
	wc->h2 = NULL;
}

void fl_web_v2_bytes(struct fl_web_conn *wc, const uint8_t *p, size_t n)
{
	ssize_t ret = nghttp2_session_mem_recv(wc->h2, p, n);
	if (wc->dead || ret >= 0)
		return;
	fl_web_count(&wc->web->stats->large);    /* no HTTP/2, or a flood that nghttp2 saw */
	fl_web_count(&wc->web->stats->bad);
	fl_web_v2_write(wc);
	if (!wc->dead)
		fl_conn_reset(wc->conn);
}

/* ---- answers go ---- */

static ssize_t read_body(nghttp2_session *h2, int32_t id, uint8_t *to, size_t n, uint32_t *flags, nghttp2_data_source *src, void *arg)
{
	struct fl_web_stream *s = src->ptr;
	(void)arg;
	n = n < s->out_n - s->out_at ? n : s->out_n - s->out_at;
	fl_put_bytes(to, s->out + s->out_at, n);
	s->out_at += n;
	s->wc->memory -= n;
	s->since_ns = fl_loop_now(s->wc->web->loop);
	if (s->out_at < s->out_n)
		return (ssize_t)n;
	*flags |= NGHTTP2_DATA_FLAG_EOF;
	if (s->ntrailer) {
		nghttp2_nv nv[FL_COUNT(s->trailer)];
		for (unsigned i = 0; i < s->ntrailer; i++)
			nv[i] = (nghttp2_nv){ (uint8_t *)s->trailer[i].name, (uint8_t *)s->trailer[i].value,
					      strlen(s->trailer[i].name), strlen(s->trailer[i].value), NGHTTP2_NV_FLAG_NONE };
		*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
		nghttp2_submit_trailer(h2, id, nv, s->ntrailer);
	}
	return (ssize_t)n;
}

static nghttp2_nv pair(struct fl_str name, struct fl_str value)
{
	return (nghttp2_nv){ (uint8_t *)(uintptr_t)name.p, (uint8_t *)(uintptr_t)value.p, name.n, value.n, NGHTTP2_NV_FLAG_NONE };
}

static void keep_trailers(struct fl_web_stream *s, const struct fl_web_field *t, unsigned nt)
{
	for (; s->ntrailer < nt && s->ntrailer < FL_COUNT(s->trailer); s->ntrailer++) {
		snprintf(s->trailer[s->ntrailer].name, sizeof s->trailer[0].name, "%.*s", FL_FMT(t[s->ntrailer].name));
		snprintf(s->trailer[s->ntrailer].value, sizeof s->trailer[0].value, "%.*s", FL_FMT(t[s->ntrailer].value));
	}
}

void fl_web_v2_answer(struct fl_web_stream *s, int status, const struct fl_web_field *f, unsigned nf, const void *body, size_t n,
		      const struct fl_web_field *trailer, unsigned nt)
{
	struct fl_web_conn *wc = s->wc;
	struct fl_web_field field[FL_WEB_ANSWER];
	struct fl_web_text text;
	nghttp2_nv nv[FL_WEB_ANSWER];
	unsigned k = fl_web_answer_head(field, &text, wc->web->loop, status, f, nf, !nt && body ? n : SIZE_MAX);
	for (unsigned i = 0; i < k; i++)
		nv[i] = pair(field[i].name, field[i].value);
	nghttp2_session_consume(wc->h2, s->id, s->held);        /* the request's body makes room for others */
	s->held = 0;
	bool no_body = !n || fl_str_is(s->r.method, "HEAD"), full = !no_body && wc->nstreams > 1 && wc->memory + n > FL_WEB_MEMORY;
	if (full)                               /* it asks, and takes nothing */
		fl_web_count(&wc->web->stats->slow);
	if (full || (!no_body && !(s->out = malloc(n)))) {
		nghttp2_submit_rst_stream(wc->h2, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_ENHANCE_YOUR_CALM);
		return;
	}
	if (!no_body) {
		memcpy(s->out, body, s->out_n = n);
		wc->memory += n;
	}
	keep_trailers(s, trailer, nt);
	free(s->in);
	s->in = NULL;
	nghttp2_data_provider data = { { .ptr = s }, read_body };
	nghttp2_submit_response(wc->h2, s->id, nv, k, no_body && !nt ? NULL : &data);
}

void fl_web_v2_write(struct fl_web_conn *wc)
{
	uint8_t piece[GATHER];
	const uint8_t *p;
	ssize_t n = 0;
	size_t have = 0;
	wc->inside++;
	while (!wc->dead && fl_conn_unsent(wc->conn) + have < AHEAD && (n = nghttp2_session_mem_send(wc->h2, &p)) > 0) {
		if (have + (size_t)n > sizeof piece) {
			fl_conn_write(wc->conn, piece, have);
			have = 0;
		}
		if (wc->dead)
			break;
		if ((size_t)n > sizeof piece)
			fl_conn_write(wc->conn, p, (size_t)n);
		else
			memcpy(piece + have, p, (size_t)n), have += (size_t)n;
	}
	if (have && !wc->dead)
		fl_conn_write(wc->conn, piece, have);
	wc->inside--;
	if (wc->dead)
		return;
	if (n < 0)
		fl_conn_reset(wc->conn);
	else if (!nghttp2_session_want_read(wc->h2) && !nghttp2_session_want_write(wc->h2))
		fl_conn_close(wc->conn);        /* one of the two said GOAWAY */
}

void fl_web_v2_due(struct fl_web_conn *wc, uint64_t now)
{
	const struct fl_tcp_listener *li = fl_conn_listener(wc->conn);
	for (struct fl_web_stream *s = wc->first, *next; s; s = next) {
		next = s->next;
		bool slow = (s->at == FL_WEB_COMING && now >= s->since_ns + li->read_ns) ||
			    (s->at == FL_WEB_GOING && now >= s->since_ns + li->write_ns);
		if (!slow)
			continue;
		fl_web_count(&wc->web->stats->slow);
		s->since_ns = now;
		nghttp2_submit_rst_stream(wc->h2, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_CANCEL);
	}
	if (wc->begun_ns && now >= wc->begun_ns + li->read_ns) {
		fl_web_count(&wc->web->stats->slow);
		fl_conn_reset(wc->conn);
	}
}

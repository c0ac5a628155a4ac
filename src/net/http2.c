/* HTTP/2 of the HTTP client, by nghttp2. Bytes go in through fl_http2_read(), frames that wait come out through fl_http2_fill();
 * the session is never freed under one of its own callbacks, because those only call the asker, who can but cancel or queue. */
#include "net/http_int.h"
#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>

enum { STREAM_WINDOW = 1 << 20, CONN_WINDOW = 4 << 20, HEADERS_MAX = 40, FILL = 32 * 1024 };

static struct fl_http_req *request(nghttp2_session *s, int32_t stream) { return nghttp2_session_get_stream_user_data(s, stream); }

static int on_header(nghttp2_session *s, const nghttp2_frame *f, const uint8_t *name, size_t namelen, const uint8_t *value,
	size_t valuelen, uint8_t flags, void *arg)
{
	(void)flags, (void)arg;
	struct fl_http_req *r = request(s, f->hd.stream_id);
	struct fl_str n = { (const char *)name, namelen }, v = { (const char *)value, valuelen };
	int64_t status;
	if (!r || r->headed)
		return 0;
	if (!fl_str_is(n, ":status")) {
		fl_http_field(&r->head, n, v);
		if (r->ops->field)
			r->ops->field(r, n, v);
	} else if (!fl_parse_int(v, 100, 999, &status)) {
		r->head = (struct fl_http_head){ .status = (int)status, .retry_after_s = -1 };
	}
	return 0;
}

static int on_frame(nghttp2_session *s, const nghttp2_frame *f, void *arg)
{
	struct fl_http_conn *c = arg;
	if (f->hd.type == NGHTTP2_GOAWAY) {     /* what runs goes on here, the next ones get a connection of their own */
		c->draining = true;
		fl_http_kick(c->client);
	}
	if (f->hd.type != NGHTTP2_HEADERS)
		return 0;
	struct fl_http_req *r = request(s, f->hd.stream_id);
	if (r && !r->headed && r->head.status >= 200) {
		r->headed = true;
		if (r->ops->head)
			r->ops->head(r);
	}
	return 0;
}

static int on_data(nghttp2_session *s, uint8_t flags, int32_t stream, const uint8_t *p, size_t n, void *arg)
{
	(void)flags;
	struct fl_http_conn *c = arg;
	struct fl_http_req *r = request(s, stream);
	if (r && r->headed && n) {
		c->client->handed = true;
		r->ops->body(r, p, n);
	}
	return 0;
}

static void forget(struct fl_http_conn *c, struct fl_http_req *r)
{
	struct fl_http_req **p = &c->streams;
	while (*p && *p != r)
		p = &(*p)->next;
	if (*p)
		*p = r->next;
	r->next = NULL;
}

static int on_stream_close(nghttp2_session *s, int32_t stream, uint32_t code, void *arg)
{
	struct fl_http_conn *c = arg;
	struct fl_http_req *r = request(s, stream);
	char why[128];
	fl_http_kick(c->client);
	if (!r)
		return 0;
	forget(c, r);
	if (code == NGHTTP2_NO_ERROR && r->headed) {
		fl_http_end(r, 0, NULL);
	} else if (code == NGHTTP2_REFUSED_STREAM && !r->headed && !r->again) {
		fl_http_requeue(r);
	} else {
		snprintf(why, sizeof why, "stream error: stream ID %d; %s", stream, nghttp2_http2_strerror(code));
		fl_http_end(r, -ECONNRESET, why);
	}
	return 0;
}

int fl_http2_open(struct fl_http_conn *c)
{
	nghttp2_session_callbacks *cb = NULL;
	nghttp2_option *opt = NULL;
	nghttp2_session *s = NULL;
	static const nghttp2_settings_entry settings[] = {
		{ NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, 64 * 1024 },
	};
	int ret = -ENOMEM;
	if (nghttp2_session_callbacks_new(&cb) || nghttp2_option_new(&opt))
		goto out;
	nghttp2_option_set_no_closed_streams(opt, 1);
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
	if (nghttp2_session_client_new2(&s, cb, c, opt) ||
	    nghttp2_submit_settings(s, NGHTTP2_FLAG_NONE, settings, FL_COUNT(settings)) ||
	    nghttp2_session_set_local_window_size(s, NGHTTP2_FLAG_NONE, 0, CONN_WINDOW))
		goto out;
	c->h2 = s;
	s = NULL;
	ret = 0;
out:
	nghttp2_session_del(s);
	nghttp2_option_del(opt);
	nghttp2_session_callbacks_del(cb);
	return ret;
}

void fl_http2_close(struct fl_http_conn *c)
{
	nghttp2_session_del(c->h2);
	c->h2 = NULL;
}

static nghttp2_nv pair(struct fl_str name, struct fl_str value)
{
	return (nghttp2_nv){ .name = (uint8_t *)(uintptr_t)name.p, .namelen = name.n, .value = (uint8_t *)(uintptr_t)value.p,
		.valuelen = value.n };
}

static ssize_t more_body(nghttp2_session *s, int32_t stream, uint8_t *to, size_t cap, uint32_t *flags, nghttp2_data_source *from, void *arg)
{
	(void)arg, (void)from;
	struct fl_http_req *r = request(s, stream);
	if (!r)                                 /* cancelled */
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	size_t left = r->body.n - r->sent, n = left < cap ? left : cap;
	fl_put_bytes(to, r->body.p + r->sent, n);
	r->sent += n;
	if (r->sent == r->body.n)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)n;
}

void fl_http2_start(struct fl_http_conn *c, struct fl_http_req *r)
{
	nghttp2_nv nv[HEADERS_MAX];
	nghttp2_data_provider body = { .read_callback = more_body };
	const char *at = r->text;
	char length[24];
	unsigned n = 0;
	nv[n++] = pair(FL_STR(":method"), r->body.p ? FL_STR("POST") : FL_STR("GET"));
	nv[n++] = pair(FL_STR(":scheme"), FL_STR("https"));
	nv[n++] = pair(FL_STR(":authority"), fl_str(c->client->cfg.authority));
	nv[n++] = pair(FL_STR(":path"), fl_str(at));
	snprintf(length, sizeof length, "%zu", r->body.n);
	if (r->body.p)
		nv[n++] = pair(FL_STR("content-length"), fl_str(length));
	fl_assert(r->nheader <= HEADERS_MAX - n);
	for (unsigned i = 0; i < r->nheader; i++, n++) {
		const char *name = at + strlen(at) + 1;
		at = name + strlen(name) + 1;
		nv[n] = pair(fl_str(name), fl_str(at));
		if (fl_str_is(fl_str(name), "authorization"))
			nv[n].flags = NGHTTP2_NV_FLAG_NO_INDEX;
	}
	r->sent = 0;
	r->stream = nghttp2_submit_request(c->h2, NULL, nv, n, r->body.p ? &body : NULL, r);
	if (r->stream < 0) {                    /* no memory, or the stream numbers are used up */
		c->draining = true;
		fl_http_requeue(r);
		return;
	}
	r->next = c->streams;
	c->streams = r;
}

void fl_http2_cancel(struct fl_http_conn *c, struct fl_http_req *r)
{
	forget(c, r);
	nghttp2_session_set_stream_user_data(c->h2, r->stream, NULL);
	nghttp2_submit_rst_stream(c->h2, NGHTTP2_FLAG_NONE, r->stream, NGHTTP2_CANCEL);
}

void fl_http2_read(struct fl_http_conn *c, const uint8_t *p, size_t n)
{
	ssize_t ret = nghttp2_session_mem_recv(c->h2, p, n);
	if (ret < 0)
		fl_http_conn_fail(c, -EPROTO, nghttp2_strerror((int)ret));
}

bool fl_http2_fill(struct fl_http_conn *c)
{
	const uint8_t *p;
	ssize_t n = 0;
	while (c->out_n < FILL && (n = nghttp2_session_mem_send(c->h2, &p)) > 0)
		fl_http_conn_send(c, p, (size_t)n);
	if (n < 0) {
		fl_http_conn_fail(c, -EPROTO, nghttp2_strerror((int)n));
		return false;
	}
	if (!c->out_n && !nghttp2_session_want_read(c->h2) && !nghttp2_session_want_write(c->h2)) {
		fl_http_conn_fail(c, -ECONNRESET, "http2: server sent GOAWAY and closed the connection");
		return false;
	}
	return true;
}

void fl_http2_ping(struct fl_http_conn *c) { nghttp2_submit_ping(c->h2, NGHTTP2_FLAG_NONE, NULL); }

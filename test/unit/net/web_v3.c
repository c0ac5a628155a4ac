/* HTTP/3 between a client of nghttp3 in this process and the server, under a virtual clock: requests and answers, and all that is wrong, late
 * or too much. */
#include "http3_client.h"

/* ---- the owner of the requests: says what was asked, or keeps it ---- */

static struct fl_web_req *kept[REPLIES];
static unsigned nkept, went, asked;
static struct { char method[32], target[20000], type[64]; size_t n; bool too_large; } last;

static void say(struct fl_web_req *r)
{
	const struct fl_web_field f[] = { { FL_STR("content-type"), FL_STR("x/y") } };
	static uint8_t large[65535];
	if (answer_size)
		fl_web_answer(r, 200, f, 1, large, answer_size, NULL, 0);
	else
		fl_web_answer(r, 200, f, 1, r->n ? (const void *)r->body : "hello", r->n ? r->n : 5, NULL, 0);
}

static void on_request(struct fl_web_req *r)
{
	asked++;
	snprintf(last.method, sizeof last.method, "%.*s", FL_FMT(r->method));
	snprintf(last.target, sizeof last.target, "%.*s", FL_FMT(r->target));
	snprintf(last.type, sizeof last.type, "%.*s", FL_FMT(r->type));
	last.n = r->n;
	last.too_large = r->too_large;
	assert_null(r->conn);
	assert_ptr_equal(fl_quic_stream_listener(r->quic), &li);
	if (!hold) {
		say(r);
		return;
	}
	*(struct fl_web_req ***)r->mine = &kept[nkept];
	kept[nkept++] = r;
}

static void on_gone_request(struct fl_web_req *r)
{
	**(struct fl_web_req ***)r->mine = NULL;
	went++;
}

static const struct fl_web_ops owner = { on_request, on_gone_request };

static int open_http(void **state)
{
	http = &owner;
	proto = &client_h3;
	nkept = went = asked = nreplies = 0;
	stored = 0;
	goaway = -1;
	memset(&last, 0, sizeof last);
	set_up(state);
	run(FL_SEC / 10);
	return 0;
}

static int open_bare(void **state)
{
	bare = true;
	return open_http(state);
}

static int close_http(void **state)
{
	bare = may_fail = false;
	adjust = NULL;
	return tear_down(state);
}

/* By the server, as a code of HTTP/3. */
static void closed_by_code(uint64_t code)
{
	run(FL_SEC);
	assert_int_equal(c.state, FL_QUIC_OVER);
	assert_true(c.app && !c.close);
	assert_int_equal(c.code, code);
	assert_int_equal(fl_quic_stats(quic).open, 0);
}

/* ---- what is right ---- */

static void test_get(void **state)
{
	(void)state;
	struct reply *r = get();
	run(FL_SEC);
	assert_true(r->end);
	assert_int_equal(r->status, 200);
	assert_int_equal(r->fields, 4);
	assert_string_equal(r->type, "x/y");
	assert_string_equal(r->length, "5");
	assert_int_equal(strlen(r->date), 29);
	assert_memory_equal(r->got, "hello", 5);
	assert_string_equal(last.method, "GET");
	assert_string_equal(last.target, "/a?b");
	assert_string_equal(last.type, "text/x");
	assert_int_equal(fl_web_stats_read(&http_stats).requests, 1);
	r = request("HEAD", "/", NULL, 0);
	run(FL_SEC);
	assert_true(r->end && r->status == 200 && !r->n);
	assert_string_equal(r->length, "5");
	assert_int_equal(closed_streams, 2);
	assert_int_equal(li.working, 0);
}

static void test_bodies(void **state)
{
	static uint8_t body[BODY];
	(void)state;
	for (size_t i = 0; i < sizeof body; i++)
		body[i] = (uint8_t)(i * 7);
	for (size_t n = 1; n <= FL_WEB_BODY; n = n < 60000 ? n * 5 : n < FL_WEB_BODY ? FL_WEB_BODY : n + 1) {
		struct reply *r = request("POST", "/", body, n);
		run(FL_SEC);
		assert_true(r->end && r->n == n);
		assert_memory_equal(r->got, body, n < 64 ? n : 64);
	}
	struct reply *r = request("POST", "/", body, FL_WEB_BODY + 1);
	run(FL_SEC);
	assert_true(r->end && last.too_large && !last.n);
	const nghttp3_nv v[] = { nv(":method", "POST"), nv(":scheme", "https"), nv(":authority", "a.test"), nv(":path", "/part") };
	r = request_with(v, 4, body, BODY, true);       /* in pieces, and far too large */
	for (unsigned i = 0; i < 8; i++) {
		run(FL_MS);
		r->body = body;
		r->nbody = BODY;
		r->more = i < 7;
		nghttp3_conn_resume_stream(h3, r->s->id);
		fl_quic_conn_write(&c);
	}
	run(FL_SEC);
	assert_true(r->end && last.too_large && !last.n);
	assert_int_equal(c.state, FL_QUIC_OPEN);
}

/* A body in frames of one octet each is as good as another. */
static void test_small_frames(void **state)
{
	static uint8_t body[60000];
	(void)state;
	struct reply *r = part();
	r->body = body;
	r->nbody = sizeof body - 2;
	r->step = 1;
	r->more = false;
	nghttp3_conn_resume_stream(h3, r->s->id);
	fl_quic_conn_write(&c);
	run(2 * FL_SEC);
	assert_true(r->end && r->status == 200);
	assert_int_equal(last.n, sizeof body);
	assert_int_equal(fl_web_stats_read(&http_stats).slow, 0);
}

static void test_long_target(void **state)
{
	static char path[15001] = "/";
	(void)state;
	memset(path + 1, 'a', sizeof path - 2);
	struct reply *r = request("GET", path, NULL, 0);
	run(FL_SEC);
	assert_true(r->end && r->status == 200);
	assert_string_equal(last.target, path);
}

/* As many at a time as it may, and their places are free again. */
static void test_many(void **state)
{
	(void)state;
	hold = true;
	while (get())
		;
	assert_int_equal(nreplies, 256);
	run(FL_SEC);
	assert_int_equal(nkept, 256);
	for (unsigned i = 0; i < nkept; i += 2)
		say(kept[i]);
	for (unsigned i = 1; i < nkept; i += 2)
		say(kept[i]);
	hold = false;
	run(FL_SEC);
	assert_int_equal(messages, 256);
	for (unsigned i = 0; i < 1000; i++) {
		assert_non_null(get());
		run(FL_MS);
	}
	run(FL_SEC);
	assert_int_equal(messages, 1256);
	assert_int_equal(fl_quic_stats(quic).accepted, 1);
}

static void test_trailers(void **state)
{
	const nghttp3_nv v[] = { nv(":method", "POST"), nv(":scheme", "https"), nv(":authority", "a.test"), nv(":path", "/part") };
	const nghttp3_nv t = nv("x-end", "1");
	(void)state;
	struct reply *r = request_with(v, 4, "ab", 2, true);
	assert_int_equal(nghttp3_conn_submit_trailers(h3, r->s->id, &t, 1), 0);
	r->more = false;
	nghttp3_conn_resume_stream(h3, r->s->id);
	fl_quic_conn_write(&c);
	run(FL_SEC);
	assert_true(r->end && r->status == 200 && last.n == 2);
}

/* ---- what is too much ---- */

static void test_large_headers(void **state)
{
	static char big[17000];
	(void)state;
	memset(big, 'b', sizeof big - 1);
	big[0] = '/';
	nghttp3_nv v[110] = { nv(":method", "GET"), nv(":scheme", "https"), nv(":authority", "a.test"), nv(":path", "/"), nv("x-a", big) };
	struct reply *r = request_with(v, 5, NULL, 0, false);
	run(FL_SEC);
	assert_true(r->end && r->status == 431 && !r->n);
	for (unsigned i = 4; i < 110; i++)
		v[i] = nv("x-b", "c");
	r = request_with(v, 110, NULL, 0, false);
	run(FL_SEC);
	assert_true(r->end && r->status == 431);
	assert_int_equal(request("GET", big, NULL, 0) != NULL, true);
	run(FL_SEC);
	assert_int_equal(asked, 0);
	assert_int_equal(fl_web_stats_read(&http_stats).large, 3);
	get();
	run(FL_SEC);
	assert_int_equal(asked, 1);
}

/* Requests that are taken back before they can be answered, for ever. */
static void test_rapid_reset(void **state)
{
	(void)state;
	hold = true;
	unsigned i;
	for (i = 0; i < 600 && c.state == FL_QUIC_OPEN; i++) {
		struct reply *r = get();
		run(FL_MS);
		fl_quic_shutdown(c.ng, r->s->id, CANCELLED);
		fl_quic_conn_write(&c);
		run(FL_MS);
	}
	assert_in_range(i, 200, 300);
	closed_by_code(NGHTTP3_H3_EXCESSIVE_LOAD);
	assert_int_equal(went, nkept);
	assert_in_range(fl_web_stats_read(&http_stats).resets, 200, 300);
	assert_int_equal(fl_web_stats_read(&http_stats).calmed, 1);
	assert_int_equal(fl_quic_stats(quic).excessive, 1);
}

/* The same with requests that never were whole. */
static void test_rapid_parts(void **state)
{
	(void)state;
	unsigned i;
	for (i = 0; i < 600 && c.state == FL_QUIC_OPEN; i++) {
		struct reply *r = part();
		run(FL_MS);
		fl_quic_shutdown(c.ng, r->s->id, CANCELLED);
		fl_quic_conn_write(&c);
		run(FL_MS);
	}
	assert_in_range(i, 200, 300);
	closed_by_code(NGHTTP3_H3_EXCESSIVE_LOAD);
	assert_int_equal(asked, 0);
}

/* Who cancels now and then is served on. */
static void test_some_resets(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 900; i++) {
		struct reply *r = i % 2 ? part() : get();
		run(FL_MS);
		if (i % 2)
			fl_quic_shutdown(c.ng, r->s->id, CANCELLED);
		fl_quic_conn_write(&c);
		run(FL_MS);
	}
	assert_int_equal(c.state, FL_QUIC_OPEN);
	assert_int_equal(messages, 450);
	assert_int_equal(fl_web_stats_read(&http_stats).calmed, 0);
}

/* Large answers that nobody fetches: what waits for it has a limit. */
static void test_unread(void **state)
{
	(void)state;
	hold = true;
	for (unsigned i = 0; i < 200; i++)
		get();
	run(FL_SEC);
	assert_int_equal(nkept, 200);
	fl_loop_del(loop, &io);                 /* it goes deaf */
	answer_size = 65535;
	for (unsigned i = 0; i < 200; i++)
		if (kept[i])
			say(kept[i]);
	run(FL_SEC);
	assert_int_equal(fl_quic_stats(quic).open, 0);
	assert_int_equal(quic->budget.used, 0);
	assert_int_equal(fl_web_stats_read(&http_stats).slow, 1);
}

static void small_window(ngtcp2_transport_params *p) { p->initial_max_stream_data_bidi_local = 1000; }

static int open_small(void **state)
{
	adjust = small_window;
	return open_http(state);
}

/* It acknowledges, and takes no more: the stream is given up, the connection is not. */
static void test_answer_not_taken(void **state)
{
	(void)state;
	answer_size = 60000;
	struct reply *r = get();                /* it makes room again and again */
	run(FL_SEC);
	assert_true(r->end && r->n == 60000);
	r = get();
	r->s->deaf = true;                      /* nothing extends its window */
	run(4 * FL_SEC);
	assert_int_equal(resets, 0);
	run(2 * FL_SEC);
	assert_int_equal(resets, 1);
	assert_int_equal(reset_code, CANCELLED);
	assert_int_equal(fl_web_stats_read(&http_stats).slow, 1);
	answer_size = 0;
	r = get();
	run(FL_SEC);
	assert_true(r->end && r->status == 200);
	assert_int_equal(fl_quic_stats(quic).stalled, 0);
}

static void test_slow_requests(void **state)
{
	(void)state;
	struct reply *r = part();
	put(open_one(), "\1\x40", 2, false);    /* a piece of a frame of a header, then nothing */
	run(2 * FL_SEC);
	struct reply *good = get();
	run(2 * FL_SEC);
	assert_true(good->end && !r->end);
	assert_int_equal(resets, 2);
	assert_int_equal(reset_code, CANCELLED);
	assert_int_equal(fl_web_stats_read(&http_stats).slow, 2);
	assert_int_equal(fl_quic_stats(quic).stalled, 2);
	assert_int_equal(c.state, FL_QUIC_OPEN);
	run(FL_SEC);
	assert_int_equal(closed_streams, 3);    /* it was asked to stop, and did */
	assert_int_equal(asked, 1);
}

/* All that one client holds is bounded. */
static void test_client_budget(void **state)
{
	static uint8_t body[BODY];
	struct fl_quic_budget *mine = NULL;
	(void)state;
	for (unsigned i = 0; i < FL_QUIC_CLIENTS; i++)
		mine = quic->clients[i].conns ? &quic->clients[i].mem : mine;
	assert_true(mine && mine->used && mine->used == quic->budget.used);
	mine->limit = mine->used + 20000;
	const nghttp3_nv v[] = { nv(":method", "POST"), nv(":scheme", "https"), nv(":authority", "a.test"), nv(":path", "/part") };
	request_with(v, 4, body, 60000, true);
	closed_by_code(NGHTTP3_H3_EXCESSIVE_LOAD);
	assert_int_equal(quic->budget.used, 0);
}

/* No memory is left for HTTP/3 when the handshake is done; what comes along with that has nobody to read it. */
static size_t spare;

static void poor_ready(struct fl_io *x, uint32_t events)
{
	for (unsigned i = 0; i < FL_QUIC_CLIENTS; i++)
		if (quic->clients[i].conns)
			quic->clients[i].mem.limit = quic->clients[i].mem.used + spare;
	server_ready(x, events);
}

static void poor(ngtcp2_transport_params *p)
{
	(void)p;
	server_io.fn = poor_ready;
}

static void hasty_open(struct fl_quic_conn *x)
{
	int64_t id = -1;
	if (ngtcp2_conn_open_uni_stream(x->ng, &id, NULL))
		return;
	ngtcp2_conn_set_stream_user_data(x->ng, id, fl_quic_stream_new(x, id));
	fl_quic_shutdown_write(x->ng, id, NGHTTP3_H3_NO_ERROR);
}

static void test_poor(void **state)
{
	static struct fl_quic_proto hasty;
	unsigned opened = 0, refused = 0;
	hasty = client_h3;
	hasty.open = hasty_open;
	adjust = poor;
	may_fail = true;
	for (spare = 4000; spare < 120000; spare += 500) {
		tear_down(state);
		proto = &hasty;
		set_up(state);
		opened += c.state == FL_QUIC_OPEN;
		refused += c.state == FL_QUIC_OVER && c.app;
		if (c.app)
			assert_int_equal(c.code, NGHTTP3_H3_EXCESSIVE_LOAD);
	}
	assert_true(opened && refused);
}

static void test_hoard(void **state)
{
	static uint8_t body[60000];
	const nghttp3_nv v[] = { nv(":method", "POST"), nv(":scheme", "https"), nv(":authority", "a.test"), nv(":path", "/part") };
	(void)state;
	for (unsigned i = 0; i < 60 && c.state == FL_QUIC_OPEN; i++) {
		request_with(v, 4, body, sizeof body, true);
		run(FL_MS);
	}
	closed_by_code(NGHTTP3_H3_EXCESSIVE_LOAD);
}

static void test_leaves(void **state)
{
	(void)state;
	assert_int_equal(total, 1);
	fl_quic_conn_close(&c, true, NGHTTP3_H3_NO_ERROR, "");
	fl_quic_conn_write(&c);
	run(FL_SEC);
	assert_int_equal(total, 0);
	assert_int_equal(fl_quic_stats(quic).protocol, 0);
}

/* ---- streams in one direction ---- */

static int64_t open_uni(void)
{
	int64_t id = -1;
	assert_int_equal(ngtcp2_conn_open_uni_stream(c.ng, &id, NULL), 0);
	ngtcp2_conn_set_stream_user_data(c.ng, id, fl_quic_stream_new(&c, id));
	return id;
}

/* Of kinds that nobody knows (§6.2.3): passed over, and their places are free again. */
static void test_unknown_streams(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 12; i++) {
		put(open_uni(), "\x21grease", 7, i % 2);
		run(FL_MS * 100);
	}
	put(open_uni(), "", 0, true);
	struct reply *r = get();
	run(FL_SEC);
	assert_true(r->end);
	assert_int_equal(c.state, FL_QUIC_OPEN);
}

/* Frames that mean nothing, for ever. */
static void test_chatter(void **state)
{
	(void)state;
	int64_t id = open_uni();
	put(id, "\0\4\0", 3, false);
	unsigned i;
	for (i = 0; i < 10000 && c.state == FL_QUIC_OPEN; i++) {
		put(id, "\x21\5hello", 7, false);
		run(FL_MS);
	}
	assert_in_range(i, 1000, 3000);
	closed_by_code(NGHTTP3_H3_EXCESSIVE_LOAD);
	assert_int_equal(fl_web_stats_read(&http_stats).calmed, 1);
}

/* With requests between: its windows grow with what was read. */
static void test_chatter_and_requests(void **state)
{
	static char frame[1003] = "\x21\x43\xe8";        /* 1000 octets of nothing */
	(void)state;
	chatty = true;
	for (unsigned i = 0; i < 400; i++) {
		stored = 0;
		put(ours[0]->id, frame, sizeof frame, false);
		run(FL_MS);
		if (i % 50 == 49)
			get();
		run(FL_MS);
	}
	run(FL_SEC);
	assert_int_equal(c.state, FL_QUIC_OPEN);
	assert_int_equal(messages, 8);
	put(ours[0]->id, "\4\0", 2, false);     /* all of it arrived */
	closed_by_code(NGHTTP3_H3_FRAME_UNEXPECTED);
	chatty = false;
}

static void few(ngtcp2_transport_params *p) { p->initial_max_streams_uni = 2; }

static int open_few(void **state)
{
	adjust = few;
	may_fail = true;
	return open_bare(state);
}

static void test_few_streams(void **state)
{
	(void)state;
	closed_by_code(NGHTTP3_H3_GENERAL_PROTOCOL_ERROR);
}

/* ---- what is wrong ---- */

#define BYTES(s) s, sizeof(s) - 1
static const struct wrong { const char *what; bool uni; const char *bytes; size_t n; bool fin; uint64_t code; } wrongs[] = {
	{ "DATA before HEADERS", false, BYTES("\0\1a"), false, NGHTTP3_H3_FRAME_UNEXPECTED },
	{ "SETTINGS in a request", false, BYTES("\4\0"), false, NGHTTP3_H3_FRAME_UNEXPECTED },
	{ "a frame of HTTP/2", false, BYTES("\2\0"), false, NGHTTP3_H3_FRAME_UNEXPECTED },
	{ "the end in a frame", false, BYTES("\1\5\0"), true, NGHTTP3_H3_FRAME_ERROR },
	{ "a table that is not there", false, BYTES("\1\3\2\0\x80"), false, NGHTTP3_QPACK_DECOMPRESSION_FAILED },
	{ "no SETTINGS first", true, BYTES("\0\7\1\0"), false, NGHTTP3_H3_MISSING_SETTINGS },
	{ "SETTINGS twice", true, BYTES("\0\4\0\4\0"), false, NGHTTP3_H3_FRAME_UNEXPECTED },
	{ "a setting of HTTP/2", true, BYTES("\0\4\2\4\1"), false, NGHTTP3_H3_SETTINGS_ERROR },
	{ "a request on the control stream", true, BYTES("\0\4\0\1\0"), false, NGHTTP3_H3_FRAME_UNEXPECTED },
	{ "the control stream ends", true, BYTES("\0\4\0"), true, NGHTTP3_H3_CLOSED_CRITICAL_STREAM },
	{ "a push stream", true, BYTES("\1\0"), false, NGHTTP3_H3_STREAM_CREATION_ERROR },
	{ "a larger table than allowed", true, BYTES("\2\x3f\xe1\x1f"), false, NGHTTP3_QPACK_ENCODER_STREAM_ERROR },
	{ "acknowledges nothing", true, BYTES("\3\1"), false, NGHTTP3_QPACK_DECODER_STREAM_ERROR },
};

static void test_wrong(void **state)
{
	for (size_t i = 0; i < FL_COUNT(wrongs); i++) {
		const struct wrong *w = &wrongs[i];
		if (i) {
			tear_down(state);
			open_bare(state);
		}
		put(w->uni ? open_uni() : open_one(), w->bytes, w->n, w->fin);
		run(FL_SEC);
		if (c.state != FL_QUIC_OVER || c.code != w->code)
			print_message("# %s: state %d, 0x%llx %s\n", w->what, c.state, (unsigned long long)c.code, c.why);
		closed_by_code(w->code);
		assert_int_equal(fl_quic_stats(quic).protocol, 1);
		assert_int_equal(fl_web_stats_read(&http_stats).large, 1);
		assert_int_equal(errors[1] + errors[2] + errors[4], 0);         /* DoQ's books are not touched */
	}
}

static void test_twice(void **state)
{
	(void)state;
	put(open_uni(), "\0\4\0", 3, false);    /* a second control stream */
	closed_by_code(NGHTTP3_H3_STREAM_CREATION_ERROR);
}

static void test_control_is_reset(void **state)
{
	(void)state;
	fl_quic_shutdown_write(c.ng, ours[0]->id, NGHTTP3_H3_NO_ERROR);
	fl_quic_conn_write(&c);
	closed_by_code(NGHTTP3_H3_CLOSED_CRITICAL_STREAM);
}

/* The server's own must be read. */
static void test_control_is_not_wanted(void **state)
{
	(void)state;
	fl_quic_shutdown_read(c.ng, 3, NGHTTP3_H3_NO_ERROR);
	fl_quic_conn_write(&c);
	closed_by_code(NGHTTP3_H3_CLOSED_CRITICAL_STREAM);
}

/* Only that request is lost. */
static void test_malformed(void **state)
{
	const nghttp3_nv none[] = { nv(":method", "GET"), nv(":scheme", "https"), nv(":authority", "a.test") },
			 hop[] = { nv(":method", "GET"), nv(":scheme", "https"), nv(":authority", "a.test"), nv(":path", "/"), nv("connection", "close") };
	(void)state;
	request_with(none, 3, NULL, 0, false);
	request_with(hop, 5, NULL, 0, false);
	run(FL_SEC);
	assert_int_equal(resets, 2);
	assert_int_equal(reset_code, NGHTTP3_H3_MESSAGE_ERROR);
	assert_int_equal(asked, 0);
	struct reply *r = get();
	run(FL_SEC);
	assert_true(r->end);
	assert_int_equal(closed_streams, 3);
}

static void test_malformed_for_ever(void **state)
{
	const nghttp3_nv none[] = { nv(":method", "GET"), nv(":scheme", "https"), nv(":authority", "a.test") };
	unsigned i;
	(void)state;
	for (i = 0; i < 600 && c.state == FL_QUIC_OPEN; i++) {
		request_with(none, 3, NULL, 0, false);
		run(FL_MS);
	}
	assert_in_range(i, 200, 300);
	closed_by_code(NGHTTP3_H3_EXCESSIVE_LOAD);
}

static void test_priorities(void **state)
{
	const nghttp3_pri p = { .urgency = 1, .inc = 1 };
	(void)state;
	hold = true;
	struct reply *a = get(), *b = get();
	run(FL_MS);
	assert_int_equal(nghttp3_conn_set_stream_priority(h3, b->s->id, &p), 0);
	fl_quic_conn_write(&c);
	run(FL_SEC);
	say(kept[0]);
	say(kept[1]);
	run(FL_SEC);
	assert_true(a->end && b->end);
}

/* Frames that nghttp3 0.8 cannot take in any portions: it would abort where one of priorities is cut behind its first field, also where it hides
 * behind the number of a MAX_PUSH_ID or GOAWAY. What stands behind them still counts. */
static void test_cut_priorities(void **state)
{
	static const uint8_t frames[] = "\0\4\0\x80\x0f\x07\x00\4\0u=1\x80\x0f\x07\0\1\4\x40\x0d\1\7"
				      "\x0d\6\1\x80\x0f\x07\0\1\7\6\0\x80\x0f\x07\0\1";
	for (unsigned cut = 1; cut < sizeof frames - 1; cut++) {
		if (cut > 1) {
			tear_down(state);
			open_bare(state);
		}
		int64_t id = open_uni();
		put(id, frames, cut, false);
		run(FL_SEC / 100);
		put(id, frames + cut, sizeof frames - 1 - cut, false);
		run(FL_SEC);
		assert_int_equal(c.state, FL_QUIC_OPEN);
		put(id, "\4\0", 2, false);
		closed_by_code(NGHTTP3_H3_FRAME_UNEXPECTED);
	}
}

static void test_wrong_protocol(void **state)
{
	static struct fl_quic_proto other;
	(void)state;
	other = client_h3;
	other.alpn = "doq";
	tear_down(state);
	proto = &other;
	may_fail = true;
	set_up(state);
	assert_int_equal(c.state, FL_QUIC_OVER);
	assert_int_equal(c.code, 0x100 + GNUTLS_A_NO_APPLICATION_PROTOCOL);
}

/* ---- the end ---- */

static void test_goaway(void **state)
{
	(void)state;
	hold = true;
	struct reply *r = get(), *half = part();
	run(FL_SEC);
	fl_quic_unlisten(&li);
	run(FL_MS * 10);
	assert_int_equal(goaway, half->s->id + 4);
	int64_t late = open_one();              /* nghttp3 would not send it */
	put(late, "\1\1\0", 3, false);
	half->more = false;                     /* a request that began before, and is whole now */
	nghttp3_conn_resume_stream(h3, half->s->id);
	fl_quic_conn_write(&c);
	run(FL_MS * 10);
	assert_int_equal(asked, 1);
	assert_int_equal(resets, 2);
	assert_int_equal(reset_code, NGHTTP3_H3_REQUEST_REJECTED);
	say(kept[0]);
	run(FL_SEC);
	assert_true(r->end && r->status == 200);
	closed_by_code(NGHTTP3_H3_NO_ERROR);
}

static void test_idle(void **state)
{
	(void)state;
	get();
	run(11 * FL_SEC);
	assert_int_equal(fl_quic_stats(quic).open, 0);
	assert_int_equal(fl_quic_stats(quic).timed_out, 1);
}

static void test_gone(void **state)
{
	(void)state;
	hold = true;
	get();
	run(FL_SEC);
	fl_quic_conn_close(&c, true, NGHTTP3_H3_NO_ERROR, "");
	fl_quic_conn_write(&c);
	run(FL_SEC);
	assert_int_equal(went, 1);
	assert_int_equal(fl_web_stats_read(&http_stats).resets, 0);
	assert_int_equal(fl_quic_stats(quic).open, 0);
}

/* ---- anything in any order ---- */

static void some_step(struct fl_rng *rng)
{
	unsigned i = nreplies ? fl_rng_below(rng, nreplies) : 0;
	struct fl_web_req *r = nkept ? kept[fl_rng_below(rng, nkept)] : NULL;
	struct fl_quic_stream *s = nreplies && replies[i].s ? c.all.first : NULL;
	uint8_t junk[40];
	switch (fl_rng_below(rng, 12)) {
	case 0: case 1: case 2:
		get();
		break;
	case 3:
		part();
		break;
	case 4:
		for (; s && (!ngtcp2_is_bidi_stream(s->id) || fl_rng_below(rng, 3)); s = s->next)
			;
		if (s)
			fl_quic_shutdown(c.ng, s->id, CANCELLED);
		fl_quic_conn_write(&c);
		break;
	case 5: case 6: case 7:
		if (r) {
			**(struct fl_web_req ***)r->mine = NULL;
			answer_size = fl_rng_below(rng, 20) ? 0 : 60000;
			say(r);
		}
		break;
	case 8:
		for (unsigned k = 0; k < sizeof junk; k++)
			junk[k] = (uint8_t)fl_rng_below(rng, fl_rng_below(rng, 2) ? 256 : 8);
		int64_t id;
		if (!fl_rng_below(rng, 20) && !ngtcp2_conn_open_bidi_stream(c.ng, &id, NULL)) {
			ngtcp2_conn_set_stream_user_data(c.ng, id, fl_quic_stream_new(&c, id));
			put(id, junk, fl_rng_below(rng, sizeof junk), fl_rng_below(rng, 2));
		}
		break;
	default:
		run(fl_rng_below(rng, 20) ? FL_MS * fl_rng_below(rng, 50) : 3 * FL_SEC);
	}
}

static void test_random(void **state)
{
	unsigned steps = 0, all = 0;
	for (unsigned seed = 1; seed <= 60; seed++) {
		struct fl_rng rng;
		if (seed > 1) {
			tear_down(state);
			open_http(state);
		}
		hold = true;
		fl_rng_init(&rng, seed);
		for (unsigned i = 0; i < 300 && c.state == FL_QUIC_OPEN && nkept < REPLIES - 1; i++, steps++)
			some_step(&rng);
		all += asked;
		run(FL_SEC);
		if (c.state == FL_QUIC_OPEN)
			fl_quic_conn_close(&c, true, NGHTTP3_H3_NO_ERROR, "");
		fl_quic_conn_write(&c);
		run(15 * FL_SEC);
		assert_int_equal(fl_quic_stats(quic).open, 0);
		assert_int_equal(li.working, 0);
		assert_int_equal(quic->budget.used, 0);
		for (unsigned i = 0; i < nkept; i++)
			assert_null(kept[i]);
	}
	assert_true(steps > 5000 && all > 500);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, open_http, close_http)
#define W(f, open) cmocka_unit_test_setup_teardown(f, open, close_http)
	const struct CMUnitTest tests[] = {
		T(test_get), T(test_bodies), T(test_small_frames), T(test_long_target), T(test_many), T(test_trailers), T(test_large_headers), T(test_rapid_reset),
		T(test_rapid_parts), T(test_some_resets), T(test_unread), W(test_answer_not_taken, open_small), T(test_slow_requests),
		T(test_client_budget), T(test_poor), T(test_hoard), T(test_leaves), T(test_unknown_streams), W(test_chatter, open_bare), T(test_chatter_and_requests),
		W(test_few_streams, open_few), W(test_wrong, open_bare), T(test_twice), T(test_control_is_reset), T(test_control_is_not_wanted), T(test_malformed), T(test_malformed_for_ever),
		T(test_priorities), W(test_cut_priorities, open_bare), T(test_wrong_protocol), T(test_goaway), T(test_idle), T(test_gone), T(test_random),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* DNS over QUIC: a client that keeps to none of RFC 9250's rules, and what the server makes of it. */
#include "quic_rude.h"

static const uint8_t query[] = "\0\24\0\0\1\0\0\1\0\0\0\0\0\0\1x\0\0\1\0\1\0";         /* 20 bytes behind their length */
enum { QUERY = 22 };

static void closed_with(uint64_t code)
{
	run(FL_SEC);
	assert_int_equal(c.state, FL_QUIC_OVER);
	assert_true(c.app);
	assert_int_equal(c.code, code);
	assert_int_equal(errors[code], 1);
	assert_int_equal(fl_quic_stats(quic).open, 0);
}

static void test_good(void **state)
{
	(void)state;
	put(open_one(), query, QUERY, true);
	run(FL_SEC);
	assert_int_equal(messages, 1);
	assert_int_equal(closed_streams, 1);
	int64_t id = open_one();                /* byte by byte */
	for (unsigned i = 0; i < QUERY; i++) {
		put(id, query + i, 1, i == QUERY - 1);
		run(FL_MS);
	}
	run(FL_SEC);
	assert_int_equal(messages, 2);
	assert_int_equal(closed_streams, 2);
}

static void test_no_fin(void **state)
{
	(void)state;
	put(open_one(), query, QUERY, false);
	run(FL_SEC);
	assert_int_equal(messages, 1);          /* answered without (RFC 9250 lets a server choose) */
	assert_int_equal(c.state, FL_QUIC_OPEN);
	put(open_one(), query, QUERY, true);
	run(FL_SEC);
	assert_int_equal(messages, 2);
}

static void test_two_queries(void **state)
{
	uint8_t two[2 * QUERY];
	(void)state;
	memcpy(two, query, QUERY);
	memcpy(two + QUERY, query, QUERY);
	put(open_one(), two, sizeof two, true);
	closed_with(FL_DOQ_PROTOCOL_ERROR);
	assert_int_equal(messages, 0);
}

static void test_second_query_later(void **state)
{
	(void)state;
	int64_t id = open_one();
	put(id, query, QUERY, false);
	run(FL_SEC);
	assert_int_equal(messages, 1);
	put(id, query, QUERY, true);
	closed_with(FL_DOQ_PROTOCOL_ERROR);
}

static void test_early_fin(void **state)
{
	(void)state;
	put(open_one(), query, QUERY - 1, true);
	closed_with(FL_DOQ_PROTOCOL_ERROR);
}

static void test_fin_alone(void **state)
{
	(void)state;
	put(open_one(), "", 0, true);
	closed_with(FL_DOQ_PROTOCOL_ERROR);
}

static void test_length_zero(void **state)
{
	(void)state;
	put(open_one(), "\0\0", 2, true);
	closed_with(FL_DOQ_PROTOCOL_ERROR);
}

static void test_message_id(void **state)
{
	uint8_t bad[QUERY];
	(void)state;
	memcpy(bad, query, QUERY);
	bad[3] = 1;
	put(open_one(), bad, QUERY, true);
	closed_with(FL_DOQ_PROTOCOL_ERROR);
}

static void test_stalled(void **state)
{
	(void)state;
	int64_t id = open_one();
	put(id, query, 5, false);
	run(2 * FL_SEC);
	put(open_one(), query, QUERY, true);    /* others go on */
	run(2 * FL_SEC);
	assert_int_equal(resets, 1);
	assert_int_equal(reset_code, FL_DOQ_INTERNAL_ERROR);
	assert_int_equal(errors[1], 1);
	assert_int_equal(messages, 1);
	assert_int_equal(fl_quic_stats(quic).stalled, 1);
	assert_int_equal(c.state, FL_QUIC_OPEN);
	put(id, query + 5, QUERY - 5, true);    /* too late, but no offence */
	run(FL_SEC);
	assert_int_equal(messages, 1);
	assert_int_equal(closed_streams, 2);
}

static void test_client_resets(void **state)
{
	(void)state;
	int64_t id = open_one();
	put(id, query, 5, false);
	run(FL_SEC / 10);
	fl_quic_shutdown_write(c.ng, id, FL_DOQ_REQUEST_CANCELLED);
	fl_quic_conn_write(&c);
	run(FL_SEC);
	assert_int_equal(resets, 1);            /* our half ends as well */
	assert_int_equal(closed_streams, 1);
	assert_int_equal(errors[1], 1);
	put(open_one(), query, QUERY, true);
	run(FL_SEC);
	assert_int_equal(messages, 1);
}

/* All streams that it may have, and no end on any: it could ask nothing more, and is let go after a while. */
static void test_dangling(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 256; i++) {
		put(open_one(), query, QUERY, false);
		run(FL_MS);
	}
	run(FL_SEC);
	assert_int_equal(messages, 256);
	int64_t id;
	assert_int_equal(ngtcp2_conn_open_bidi_stream(c.ng, &id, NULL), NGTCP2_ERR_STREAM_ID_BLOCKED);
	ngtcp2_conn_set_keep_alive_timeout(c.ng, FL_SEC);       /* not idle */
	fl_quic_conn_write(&c);
	for (unsigned i = 0; i < 30 && c.state == FL_QUIC_OPEN; i++)
		run(FL_SEC);
	closed_with(FL_DOQ_EXCESSIVE_LOAD);
}

/* Queries that are cancelled before they can be answered, for ever. */
static void test_rapid_cancel(void **state)
{
	(void)state;
	hold = true;
	unsigned i;
	for (i = 0; i < HELD && c.state == FL_QUIC_OPEN; i++) {
		int64_t id = open_one();
		put(id, query, QUERY, true);
		run(FL_MS);
		fl_quic_shutdown(c.ng, id, FL_DOQ_REQUEST_CANCELLED);
		fl_quic_conn_write(&c);
		run(FL_MS);
	}
	assert_in_range(i, 200, 300);
	closed_with(FL_DOQ_EXCESSIVE_LOAD);
	assert_int_equal(ngone, nheld);
}

/* Large answers that it does not let out: what waits for it has a limit. */
static void test_unread(void **state)
{
	(void)state;
	hold = true;
	unsigned n = 0;
	for (unsigned i = 0; i < 200; i++, n++)
		put(open_one(), query, QUERY, true);
	run(FL_SEC);
	assert_int_equal(nheld, n);
	fl_loop_del(loop, &io);                 /* it goes deaf */
	answer_size = 65535;
	for (unsigned i = 0; i < nheld; i++)
		if (held[i])
			give(held[i], query + 2, QUERY - 2);
	run(FL_SEC);
	assert_int_equal(fl_quic_stats(quic).open, 0);
	assert_int_equal(errors[FL_DOQ_EXCESSIVE_LOAD], 1);
}

static void test_unidirectional(void **state)
{
	int64_t id;
	(void)state;
	assert_int_equal(ngtcp2_conn_open_uni_stream(c.ng, &id, NULL), NGTCP2_ERR_STREAM_ID_BLOCKED);   /* none is allowed */
}

/* The longest message on each of many streams, none of them whole: bounded by the connection's memory. */
static void test_hoard(void **state)
{
	static uint8_t part[65000] = { 0xff, 0xff };
	(void)state;
	for (unsigned i = 0; i < 60 && c.state == FL_QUIC_OPEN; i++) {
		int64_t id = open_one();
		for (unsigned at = 0; at < 65000 && c.state == FL_QUIC_OPEN; at += 1000) {
			stored = 0;             /* nothing is lost here */
			put(id, part + at, 1000, false);
			run(FL_MS);
		}
	}
	closed_with(FL_DOQ_EXCESSIVE_LOAD);
}

/* What all connections of one client hold is bounded too: others shall get some of the shard's. */
static void test_client_budget(void **state)
{
	static uint8_t part[65000] = { 0xff, 0xff };
	struct fl_quic_budget *mine = NULL;
	(void)state;
	for (unsigned i = 0; i < FL_QUIC_CLIENTS; i++)
		mine = quic->clients[i].conns ? &quic->clients[i].mem : mine;
	assert_non_null(mine);
	assert_true(mine->used && mine->used == quic->budget.used && 4 * mine->limit == quic->budget.limit);
	mine->limit = mine->used + 20000;
	int64_t id = open_one();
	for (unsigned at = 0; at < 65000 && c.state == FL_QUIC_OPEN; at += 1000) {
		put(id, part + at, 1000, false);
		run(FL_MS);
	}
	closed_with(FL_DOQ_EXCESSIVE_LOAD);
	assert_int_equal(quic->budget.used, 0);
}

static void test_migrate(void **state)
{
	(void)state;
	struct sockaddr_in was = me;
	int old = io.fd;
	fl_loop_del(loop, &io);
	io.fd = bound(&me);                     /* as a NAT that forgot: the same shard still knows the connection */
	fl_loop_add(loop, &io, EPOLLIN);
	me = was;
	put(open_one(), query, QUERY, true);
	run(FL_SEC);
	assert_int_equal(messages, 1);
	close(old);
}

static void test_idle(void **state)
{
	(void)state;
	run(11 * FL_SEC);
	assert_int_equal(fl_quic_stats(quic).open, 0);
	assert_int_equal(fl_quic_stats(quic).timed_out, 1);
}

/* Anything in any order, for a while: whatever becomes of the connection, every query that came in was answered, refused or called off, and
 * no worker is left at work. */
static void some_answer(struct fl_rng *rng)
{
	unsigned i = nheld ? fl_rng_below(rng, nheld) : 0;
	struct fl_quic_stream *s = nheld ? held[i] : NULL;
	if (!s)
		return;
	held[i] = NULL;
	unsigned how = fl_rng_below(rng, 300);
	if (!how)
		fl_quic_protocol_error(s);
	else if (how < 60)
		fl_quic_refuse(s);
	else
		give(s, query + 2, QUERY - 2);
}

struct script { int64_t id[200]; uint8_t sent[200]; unsigned n; };

/* The next octets of a query, and mostly the end behind its last one. */
static void some_bytes(struct fl_rng *rng, struct script *x, unsigned i)
{
	unsigned left = QUERY - x->sent[i], k = fl_rng_below(rng, 2) ? left : fl_rng_below(rng, left + 1);
	bool fin = k == left ? fl_rng_below(rng, 8) : !fl_rng_below(rng, 300);
	put(x->id[i], query + x->sent[i], k, fin);
	x->sent[i] = (uint8_t)(x->sent[i] + k);
}

static void some_step(struct fl_rng *rng, struct script *x)
{
	unsigned i = x->n ? fl_rng_below(rng, x->n) : 0;
	switch (fl_rng_below(rng, 9)) {
	case 0:
	case 1:
		if (x->n < 200 && !ngtcp2_conn_open_bidi_stream(c.ng, &x->id[x->n], NULL)) {
			ngtcp2_conn_set_stream_user_data(c.ng, x->id[x->n], fl_quic_stream_new(&c, x->id[x->n]));
			x->sent[x->n] = 0;
			some_bytes(rng, x, x->n++);
		}
		return;
	case 2:
		if (x->n)
			some_bytes(rng, x, i);
		return;
	case 3:
		if (x->n)
			fl_quic_shutdown_write(c.ng, x->id[i], FL_DOQ_REQUEST_CANCELLED);
		break;
	case 4:
		if (x->n)
			fl_quic_shutdown(c.ng, x->id[i], FL_DOQ_REQUEST_CANCELLED);
		break;
	case 5:
	case 6:
		some_answer(rng);
		return;
	default:
		run(fl_rng_below(rng, 20) ? FL_MS * fl_rng_below(rng, 50) : 3 * FL_SEC);
		return;
	}
	fl_quic_conn_write(&c);
}

static void test_random(void **state)
{
	unsigned steps = 0, asked = 0;
	for (unsigned seed = 1; seed <= 40; seed++) {
		struct fl_rng rng;
		struct script x = { .n = 0 };
		if (seed > 1) {
			tear_down(state);
			set_up(state);
		}
		stored = 0;
		hold = true;
		li.conf.workers = seed % 3 ? 4 : 0;
		fl_rng_init(&rng, seed);
		for (unsigned i = 0; i < 400 && c.state == FL_QUIC_OPEN && nheld < HELD - 1; i++, steps++)
			some_step(&rng, &x);
		asked += nheld;
		run(FL_SEC);
		if (c.state == FL_QUIC_OPEN)
			fl_quic_conn_close(&c, true, FL_DOQ_NO_ERROR, "");
		fl_quic_conn_write(&c);
		run(15 * FL_SEC);
		assert_int_equal(fl_quic_stats(quic).open, 0);
		assert_int_equal(li.working, 0);
		assert_null(li.waiting.first);
		for (unsigned i = 0; i < nheld; i++)
			assert_null(held[i]);
	}
	assert_true(steps > 8000 && asked > 500);
}

static int fresh(void **state)
{
	stored = 0;
	return set_up(state);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, fresh, tear_down)
	const struct CMUnitTest tests[] = {
		T(test_good), T(test_no_fin), T(test_two_queries), T(test_second_query_later), T(test_early_fin), T(test_fin_alone),
		T(test_length_zero), T(test_message_id), T(test_stalled), T(test_client_resets), T(test_dangling), T(test_rapid_cancel),
		T(test_unread), T(test_unidirectional), T(test_hoard), T(test_client_budget), T(test_migrate), T(test_idle), T(test_random),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Questions of net/upstream over QUIC. */
#include "quic_world.h"
#include "asked.h"

static struct fl_tls_creds *creds;
static struct asked ask[8];

static int set_up(void **state)
{
	struct fl_err e;
	(void)state;
	world_open();
	creds = fl_tls_creds_create(&(struct fl_tls_trust){ .ca = { (const char *)ca.data, ca.size } }, &e);
	assert_non_null(creds);
	open_upstream(loop, &front_at, (struct fl_up_conf){ .kind = FL_UP_QUIC, .creds = creds, .tls_name = "dns.test" });
	memset(ask, 0, sizeof ask);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	close_upstream();
	fl_tls_creds_put(creds);
	world_close();
	return 0;
}

static int start(unsigned i)
{
	put_question(&ask[i]);
	return fl_upstream_ask(up, &ask[i].a, false, 2 * FL_SEC);
}

static void test_ask(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(start(i), 0);
		assert_int_equal(ask[i].a.reused, i > 0);
		run(FL_SEC);
		assert_int_equal(ask[i].done, 1);
		assert_int_equal(ask[i].ret, 0);
		assert_int_equal(ask[i].n, 23);
		assert_memory_equal(ask[i].reply + 12, ask[i].a.msg + 12, 11);
	}
	assert_int_equal(fl_upstream_stats(up)->conns, 1);
}

static void test_late(void **state)
{
	(void)state;
	hold = true;
	assert_int_equal(start(0), 0);
	assert_int_equal(start(1), 0);
	run(FL_SEC);
	fl_upstream_cancel(&ask[1].a);
	fl_upstream_cancel(&ask[1].a);          /* harmless */
	run(FL_SEC);
	assert_int_equal(ask[0].ret, -ETIMEDOUT);
	assert_string_equal(ask[0].why, "context deadline exceeded");
	assert_int_equal(ask[1].done, 0);
	run(FL_SEC);
	assert_int_equal(ngone, 2);             /* the server was told */
}

static void test_no_answer(void **state)
{
	(void)state;
	hold = true;
	assert_int_equal(start(0), 0);
	run(FL_SEC);
	fl_quic_answer(held[0], (const uint8_t[23]){ [2] = 0x80, [5] = 1 }, 23);
	run(FL_SEC);
	assert_int_equal(ask[0].ret, -EPROTO);
	assert_string_equal(ask[0].why, "reply is no answer to the question");
	assert_int_equal(fl_upstream_stats(up)->wrong, 1);
}

static void test_unreachable(void **state)
{
	(void)state;
	fl_loop_del(loop, &front);
	close(front.fd);
	assert_int_equal(start(0), 0);
	run(FL_SEC);
	assert_int_equal(ask[0].ret, -ECONNREFUSED);
	assert_non_null(strstr(ask[0].why, "->127.0.0.1:"));
	assert_non_null(strstr(ask[0].why, ": read: connection refused"));
	front = (struct fl_io){ .fd = bound(&front_at), .fn = front_ready };
	fl_loop_add(loop, &front, EPOLLIN);
}

static void test_destroy(void **state)
{
	(void)state;
	hold = true;
	assert_int_equal(start(0), 0);
	run(FL_SEC);
	assert_int_equal(start(1), 0);
	fl_upstream_destroy(up);
	up = NULL;
	assert_int_equal(ask[0].ret, -ECANCELED);
	assert_int_equal(ask[1].ret, -ECANCELED);
	run(FL_SEC);
	assert_int_equal(fl_quic_stats(quic).open, 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = { T(test_ask), T(test_late), T(test_no_answer), T(test_unreachable), T(test_destroy) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

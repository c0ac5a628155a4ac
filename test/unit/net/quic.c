/* DNS over QUIC: our client against our server, over a bad network. */
#include "quic_world.h"
#include "net/quic_client.h"
#include "net/quic_server_int.h"

enum { ASKS = 600, MSG = 40 };

struct asked { struct fl_quic_ask *a; int done, ret; bool reused; size_t n; uint8_t reply[64]; char why[200]; };

static struct fl_quic_client *client;
static struct fl_quic_client_conf conf;
static struct asked ask[ASKS];

static int client_tls(void *arg, gnutls_session_t s)
{
	gnutls_session_set_verify_cert(s, arg, 0);
	return gnutls_credentials_set(s, GNUTLS_CRD_CERTIFICATE, client_cred);
}

/* ---- the client ---- */

static void on_done(void *user, int ret, const uint8_t *msg, size_t n)
{
	struct asked *x = user;
	x->done++;
	x->ret = ret;
	x->n = n;
	x->a = NULL;
	if (n)
		memcpy(x->reply, msg, n < sizeof x->reply ? n : sizeof x->reply);
	snprintf(x->why, sizeof x->why, "%s", ret ? fl_quic_client_why(client) : "");
}

static int start(unsigned i)
{
	uint8_t m[MSG] = { 0xab, 0xcd };
	m[12] = (uint8_t)i;
	m[13] = (uint8_t)(i >> 8);
	ask[i] = (struct asked){ 0 };
	return fl_quic_client_ask(client, m, sizeof m, &ask[i], &ask[i].a, &ask[i].reused);
}

static void answered(unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++) {
		assert_int_equal(ask[i].done, 1);
		assert_string_equal(ask[i].why, "");
		assert_int_equal(ask[i].ret, 0);
		assert_int_equal(ask[i].reply[0] | ask[i].reply[1], 0);
		assert_int_equal(ask[i].reply[12] | ask[i].reply[13] << 8, i);
	}
}

static int set_up(void **state)
{
	(void)state;
	world_open();
	conf = (struct fl_quic_client_conf){ .addr_len = sizeof front_at, .expire_ns = 10 * FL_SEC, .tls = client_tls, .done = on_done,
					     .arg = (void *)(uintptr_t) "dns.test" };
	memcpy(&conf.addr, &front_at, sizeof front_at);
	client = fl_quic_client_create(loop, &conf);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fl_quic_client_destroy(client);
	world_close();
	return 0;
}

/* ---- tests ---- */

static void test_ask(void **state)
{
	(void)state;
	assert_int_equal(start(0), 0);
	assert_false(ask[0].reused);
	run(FL_SEC);
	answered(0, 1);
	assert_int_equal(start(1), 0);
	assert_true(ask[1].reused);
	run(FL_SEC);
	answered(1, 2);
	assert_int_equal(fl_quic_client_stats(client)->conns, 1);
	struct fl_quic_stats st = fl_quic_stats(quic);
	assert_int_equal(st.accepted, 1);
	assert_int_equal(st.open, 1);
	assert_int_equal(total, 1);
	run(11 * FL_SEC);               /* the client lets it go */
	st = fl_quic_stats(quic);
	assert_int_equal(st.open, 0);
	assert_int_equal(total, 0);
}

static void test_many(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ASKS; i++)     /* more than the server's streams: the rest waits */
		assert_int_equal(start(i), 0);
	run(2 * FL_SEC);
	answered(0, ASKS);
	assert_int_equal(fl_quic_client_stats(client)->conns, 1);
}

static void test_large(void **state)
{
	(void)state;
	answer_size = 65535;
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(start(i), 0);
	run(5 * FL_SEC);
	answered(0, 8);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(ask[i].n, 65535);
}

static unsigned lose_at, lose_every;
static bool lossy(uint8_t *p, size_t *n)
{
	(void)p;
	(void)n;
	return ++lose_at % lose_every != 0;
}

static void test_loss(void **state)
{
	(void)state;
	to_server = to_client = lossy;
	lose_every = 3;
	answer_size = 3000;
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(start(i), 0);
	run(9 * FL_SEC);
	answered(0, 100);
}

/* Every second datagram waits for the one behind it; every fifth comes twice. */
static uint8_t kept[4096];
static size_t nkept;
static bool shuffle(uint8_t *p, size_t *n)
{
	if (++lose_at % 5 == 0)
		to_the_server(p, *n);
	if (!nkept && lose_at % 2 == 0) {
		memcpy(kept, p, nkept = *n);
		return false;
	}
	if (nkept)
		to_the_server(p, *n);
	if (nkept) {
		memcpy(p, kept, nkept);
		*n = nkept;
		nkept = 0;
	}
	return true;
}

static void test_reorder(void **state)
{
	(void)state;
	nkept = 0;
	to_server = shuffle;
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(start(i), 0);
		run(10 * FL_MS);
	}
	run(5 * FL_SEC);
	answered(0, 100);
}

static struct fl_rng rng;
static bool damage(uint8_t *p, size_t *n)
{
	if (fl_rng_below(&rng, 4))
		return true;
	for (unsigned i = 0; i < 3; i++)
		p[fl_rng_below(&rng, (uint32_t)*n)] ^= (uint8_t)(1 + fl_rng_below(&rng, 255));
	return true;
}

static void test_damage(void **state)
{
	(void)state;
	fl_rng_init(&rng, 7);
	to_server = to_client = damage;
	for (unsigned i = 0; i < 50; i++)
		assert_int_equal(start(i), 0);
	run(9 * FL_SEC);
	unsigned ok = 0;
	for (unsigned i = 0; i < 50; i++)       /* each has ended, or may still be cancelled; none is wrong */
		if (ask[i].done && !ask[i].ret)
			ok += ask[i].reply[12] == i;
	assert_in_range(ok, 40, 50);
}

static void test_silence(void **state)
{
	(void)state;
	lose_every = 1;
	to_server = lossy;
	assert_int_equal(start(0), 0);
	run(4 * FL_SEC);
	assert_int_equal(ask[0].done, 0);
	run(2 * FL_SEC);
	assert_int_equal(ask[0].done, 1);
	assert_int_equal(ask[0].ret, -ETIMEDOUT);
	assert_string_equal(ask[0].why, "timeout: handshake did not complete in time");
}

static void test_refused(void **state)
{
	(void)state;
	fl_loop_del(loop, &front);
	close(front.fd);
	assert_int_equal(start(0), 0);
	run(FL_SEC);
	assert_int_equal(ask[0].done, 1);
	assert_int_equal(ask[0].ret, -ECONNREFUSED);
	front = (struct fl_io){ .fd = bound(&front_at), .fn = front_ready };
	fl_loop_add(loop, &front, EPOLLIN);
}

static void test_untrusted(void **state)
{
	(void)state;
	gnutls_certificate_credentials_t was = client_cred;
	gnutls_certificate_allocate_credentials(&client_cred);
	assert_int_equal(start(0), 0);
	run(FL_SEC);
	assert_int_equal(ask[0].ret, -EPROTO);
	assert_string_equal(ask[0].why,
			    "CRYPTO_ERROR 0x12a (local): tls: failed to verify certificate: x509: certificate signed by unknown authority");
	gnutls_certificate_free_credentials(client_cred);
	client_cred = was;
	assert_int_equal(fl_quic_stats(quic).open, 0);
}

static void test_wrong_name(void **state)
{
	(void)state;
	fl_quic_client_destroy(client);
	conf.arg = (void *)(uintptr_t) "other.test";
	conf.name = "other.test";
	client = fl_quic_client_create(loop, &conf);
	assert_int_equal(start(0), 0);
	run(FL_SEC);
	assert_int_equal(ask[0].ret, -EPROTO);
	assert_string_equal(ask[0].why,
			    "CRYPTO_ERROR 0x12a (local): tls: failed to verify certificate: x509: certificate is valid for dns.test, not other.test");
}

static void test_resume(void **state)
{
	(void)state;
	tickets = true;
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(start(i), 0);
		run(15 * FL_SEC);
	}
	answered(0, 3);
	assert_int_equal(fl_quic_client_stats(client)->conns, 3);
	assert_int_equal(fl_quic_client_stats(client)->resumed, 2);
}

static void test_cancel(void **state)
{
	(void)state;
	hold = true;
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(start(i), 0);
	fl_quic_client_cancel(ask[3].a);        /* before it has a stream */
	run(FL_SEC);
	assert_int_equal(nheld, 3);
	fl_quic_client_cancel(ask[1].a);
	run(FL_SEC);
	assert_int_equal(ngone, 1);             /* the server heard of it */
	assert_int_equal(ask[1].done, 0);
	hold = false;
	for (unsigned i = 0; i < nheld; i++)
		if (held[i])
			give(held[i], (uint8_t[MSG]){ 0 }, MSG);
	run(FL_SEC);
	assert_int_equal(ask[0].done + ask[2].done, 2);
	assert_int_equal(ask[1].done + ask[3].done, 0);
}

static void test_refuse(void **state)
{
	(void)state;
	hold = true;
	assert_int_equal(start(0), 0);
	assert_int_equal(start(1), 0);
	run(FL_SEC);
	fl_quic_refuse(held[0]);
	give(held[1], (uint8_t[MSG]){ [12] = 1 }, MSG);
	run(FL_SEC);
	assert_int_equal(ask[0].ret, -EPROTO);
	assert_string_equal(ask[0].why, "stream 0 canceled by remote with error code 1");
	answered(1, 2);
	assert_int_equal(errors[1], 1);
}

static void test_protocol_error(void **state)
{
	(void)state;
	hold = true;
	assert_int_equal(start(0), 0);
	run(FL_SEC);
	fl_quic_protocol_error(held[0]);
	run(FL_SEC);
	assert_int_equal(ask[0].ret, -EPROTO);
	assert_string_equal(ask[0].why, "Application error 0x2 (remote)");
	assert_int_equal(errors[2], 1);
	assert_int_equal(fl_quic_stats(quic).protocol, 1);
	assert_int_equal(fl_quic_stats(quic).open, 0);
}

static void test_server_restart(void **state)
{
	(void)state;
	assert_int_equal(start(0), 0);
	run(FL_SEC);
	answered(0, 1);
	lose_every = 1;                         /* the goodbye is lost */
	to_client = lossy;
	fl_quic_destroy(quic);
	quic = NULL;
	run(FL_SEC);
	to_client = NULL;
	quic = fl_quic_create(loop, udp, &world_ops);
	fl_quic_listen(quic, &li);
	assert_int_equal(start(1), 0);          /* a stateless reset, then a new connection */
	assert_true(ask[1].reused);
	run(FL_SEC);
	answered(1, 2);
	assert_true(fl_quic_stats(quic).resets >= 1);
	assert_int_equal(fl_quic_client_stats(client)->conns, 2);
}

/* It goes without a word: who waited in vain says so by cancelling, and the next question takes a new connection. */
static void test_vanished(void **state)
{
	(void)state;
	assert_int_equal(start(0), 0);
	run(FL_SEC);
	answered(0, 1);
	lose_every = 1;
	to_server = lossy;
	assert_int_equal(start(1), 0);
	run(2 * FL_SEC);
	fl_quic_client_cancel(ask[1].a);
	to_server = NULL;
	assert_int_equal(start(2), 0);
	assert_false(ask[2].reused);
	run(FL_SEC);
	answered(2, 3);
	assert_int_equal(fl_quic_client_stats(client)->conns, 2);
}

/* The same, when nobody waits for long. */
static void test_given_up(void **state)
{
	(void)state;
	assert_int_equal(start(0), 0);
	run(FL_SEC);
	answered(0, 1);
	lose_every = 1;
	to_server = lossy;
	for (unsigned i = 1; i < 4; i++) {
		assert_int_equal(start(i), 0);
		assert_true(ask[i].reused);
		run(400 * FL_MS);
		fl_quic_client_cancel(ask[i].a);
	}
	to_server = NULL;
	assert_int_equal(start(4), 0);
	assert_false(ask[4].reused);
	run(FL_SEC);
	answered(4, 5);
	assert_int_equal(fl_quic_client_stats(client)->conns, 2);
}

static void test_max_conns(void **state)
{
	struct fl_quic_client *more[3];
	(void)state;
	li.conf.max_conns = 2;
	for (unsigned i = 0; i < 3; i++) {
		struct fl_quic_client *was = client;
		client = more[i] = fl_quic_client_create(loop, &conf);
		assert_int_equal(start(i), 0);
		run(FL_SEC);
		client = was;
	}
	assert_int_equal(ask[0].ret | ask[1].ret, 0);
	assert_int_equal(ask[2].done, 1);
	assert_int_equal(ask[2].ret, -EPROTO);
	assert_int_equal(fl_quic_stats(quic).refused, 1);
	assert_int_equal(total, 2);
	for (unsigned i = 0; i < 3; i++)
		fl_quic_client_destroy(more[i]);
	run(FL_SEC);
	assert_int_equal(total, 0);
	assert_int_equal(start(5), 0);
	run(FL_SEC);
	assert_int_equal(ask[5].ret, 0);
}

/* A connection takes what it needs at once, so one for which memory would not last is turned away while it costs nothing, and those that
 * are there do not suffer. */
static void test_memory_for_one_more(void **state)
{
	struct fl_quic_client *first = client;
	struct fl_quic_budget *mine = NULL;
	(void)state;
	assert_int_equal(start(0), 0);
	run(FL_SEC);
	for (unsigned i = 0; i < FL_QUIC_CLIENTS; i++)
		mine = quic->clients[i].conns ? &quic->clients[i].mem : mine;
	assert_non_null(mine);
	struct fl_quic_budget *low[] = { mine, &quic->budget };
	for (unsigned i = 1; i < 3; i++) {
		size_t was = low[i - 1]->limit;
		low[i - 1]->limit = low[i - 1]->used + 100 * 1024;
		client = fl_quic_client_create(loop, &conf);
		assert_int_equal(start(i), 0);
		run(FL_SEC);
		assert_int_equal(ask[i].ret, -EPROTO);
		fl_quic_client_destroy(client);
		client = first;
		low[i - 1]->limit = was;
	}
	assert_int_equal(fl_quic_stats(quic).crowded, 1);
	assert_int_equal(fl_quic_stats(quic).refused, 1);
	assert_int_equal(fl_quic_stats(quic).open, 1);
	assert_int_equal(start(3), 0);
	run(FL_SEC);
	assert_int_equal(ask[3].ret, 0);
	assert_true(ask[3].reused);
}

static void test_workers(void **state)
{
	(void)state;
	hold = true;
	li.conf.workers = 2;
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(start(i), 0);
	run(FL_SEC);
	assert_int_equal(nheld, 2);
	fl_quic_client_cancel(ask[3].a);        /* one that waits */
	run(FL_SEC);
	for (unsigned i = 0; i < nheld; i++) {
		assert_true(nheld <= i + 2);
		give(held[i], (uint8_t[MSG]){ 0 }, MSG);
		run(FL_SEC / 100);
	}
	assert_int_equal(nheld, 5);
	run(FL_SEC);
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(ask[i].done, i != 3);
}

static void test_drain(void **state)
{
	(void)state;
	hold = true;
	assert_int_equal(start(0), 0);
	run(FL_SEC);
	fl_quic_unlisten(&li);
	run(FL_SEC);
	assert_int_equal(fl_quic_stats(quic).open, 1);
	give(held[0], (uint8_t[MSG]){ 0 }, MSG);
	run(FL_SEC);
	answered(0, 1);
	assert_int_equal(fl_quic_stats(quic).open, 0);
}

static unsigned listeners_gone;
static void on_listener_gone(struct fl_quic_listener *l)
{
	(void)l;
	listeners_gone++;
}

/* It waits for its last answers, but not for ever; whoever comes meanwhile to the old socket is served by the new listener of the address. */
static void test_closed_listener(void **state)
{
	static struct fl_quic_listener next;
	(void)state;
	next = li;
	next.quic = NULL;
	next.first = NULL;
	listeners_gone = 0;
	li.on_gone = on_listener_gone;
	hold = true;
	assert_int_equal(start(0), 0);
	run(FL_SEC);
	fl_quic_unlisten(&li);
	fl_quic_listen(quic, &next);
	struct fl_quic_client *was = client;
	client = fl_quic_client_create(loop, &conf);
	hold = false;
	assert_int_equal(start(1), 0);
	run(FL_SEC);
	answered(1, 2);
	assert_int_equal(next.conns, 1);
	assert_int_equal(listeners_gone, 0);
	fl_quic_client_destroy(client);
	client = was;
	run(5 * FL_SEC);
	assert_int_equal(listeners_gone, 1);
	assert_int_equal(ngone, 1);             /* the query that was held */
	assert_int_equal(ask[0].done, 1);
}

/* Spoofed Initials: beyond a few that are under way, addresses must be proved, and those that cannot stay out. */
static uint8_t initial[1200];
static size_t ninitial;
static bool record(uint8_t *p, size_t *n)
{
	if (!ninitial)
		memcpy(initial, p, ninitial = *n);
	return true;
}

static void test_flood(void **state)
{
	(void)state;
	static struct fl_quic_client *many[100];
	struct fl_quic_client *was = client;
	lose_every = 1;
	to_client = lossy;                      /* they never hear of us */
	for (unsigned i = 0; i < 100; i++) {
		client = many[i] = fl_quic_client_create(loop, &conf);
		assert_int_equal(start(i), 0);
		run(10 * FL_MS);
	}
	struct fl_quic_stats st = fl_quic_stats(quic);
	assert_int_equal(st.open, FL_QUIC_RETRY_AT);
	assert_true(st.retries >= 100 - FL_QUIC_RETRY_AT);
	to_server = lossy;
	for (unsigned i = 0; i < 100; i++)
		fl_quic_client_destroy(many[i]);
	run(FL_MS);
	to_server = to_client = NULL;
	client = was;
	assert_int_equal(start(200), 0);        /* an honest one comes through, by a Retry */
	run(FL_SEC);
	assert_int_equal(ask[200].ret, 0);
	assert_int_equal(ask[200].done, 1);
	run(10 * FL_SEC);
	st = fl_quic_stats(quic);
	assert_true(st.open <= 1);              /* the honest one */
	assert_int_equal(st.accepted, 1);
	assert_int_equal(st.failed, FL_QUIC_RETRY_AT);
}

/* The same Initial from changed addresses, changed connection IDs: no state beyond the limits. */
static void test_replayed_initial(void **state)
{
	(void)state;
	ninitial = 0;
	to_server = record;
	assert_int_equal(start(0), 0);
	run(FL_SEC);
	answered(0, 1);
	for (unsigned i = 0; i < 2000; i++) {
		initial[6] = (uint8_t)i;        /* its connection ID: the packet cannot be opened then */
		initial[7] = (uint8_t)(i >> 8);
		to_the_server(initial, ninitial);
		if (i % 16 == 0)
			fl_loop_run_until_idle(loop);
	}
	run(FL_MS);
	struct fl_quic_stats st = fl_quic_stats(quic);
	assert_true(st.open <= FL_QUIC_RETRY_AT + 1);
	run(8 * FL_SEC);
	st = fl_quic_stats(quic);
	assert_true(st.open <= 1);
}

static void test_garbage(void **state)
{
	uint8_t b[1500];
	(void)state;
	fl_rng_init(&rng, 11);
	for (unsigned i = 0; i < 5000; i++) {
		size_t n = fl_rng_below(&rng, 2) ? 1200 + fl_rng_below(&rng, 300) : 1 + fl_rng_below(&rng, 100);
		for (size_t k = 0; k < n; k++)
			b[k] = (uint8_t)fl_rng_next(&rng);
		to_the_server(b, n);
		if (i % 16 == 0)
			fl_loop_run_until_idle(loop);
	}
	run(6 * FL_SEC);
	struct fl_quic_stats st = fl_quic_stats(quic);
	assert_int_equal(st.open, 0);
	assert_true(st.garbage > 0 && st.negotiated > 0 && st.resets > 0);
	assert_true(st.resets <= 1000);
	assert_int_equal(start(0), 0);
	run(FL_SEC);
	answered(0, 1);
}

static void test_version(void **state)
{
	uint8_t b[1200] = { 0xc0, 0x0a, 0x1a, 0x2a, 0x3a, 8, 1, 2, 3, 4, 5, 6, 7, 8, 4, 9, 9, 9, 9 }, in[256];
	struct sockaddr_in me;
	int fd = bound(&me);
	(void)state;
	sendto(fd, b, sizeof b, 0, (struct sockaddr *)&server_at, sizeof server_at);
	run(FL_MS);
	ssize_t n = recv(fd, in, sizeof in, MSG_DONTWAIT);
	assert_true(n >= 23);
	assert_true(in[0] & 0x80);
	assert_memory_equal(in + 1, "\0\0\0\0", 4);
	assert_memory_equal(in + 5, "\4\11\11\11\11\10\1\2\3\4\5\6\7\10", 14);
	assert_memory_equal(in + n - 4, "\0\0\0\1", 4);
	sendto(fd, b, 1199, 0, (struct sockaddr *)&server_at, sizeof server_at);       /* too small to be answered */
	run(FL_MS);
	assert_int_equal(recv(fd, in, sizeof in, MSG_DONTWAIT), -1);
	close(fd);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(test_ask), T(test_many), T(test_large), T(test_loss), T(test_reorder), T(test_damage), T(test_silence), T(test_refused),
		T(test_untrusted), T(test_wrong_name), T(test_resume), T(test_cancel), T(test_given_up), T(test_refuse), T(test_protocol_error),
		T(test_server_restart), T(test_vanished), T(test_max_conns), T(test_memory_for_one_more), T(test_workers), T(test_drain), T(test_closed_listener), T(test_flood), T(test_replayed_initial),
		T(test_garbage), T(test_version),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

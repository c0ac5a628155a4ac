/* Equal misses in flight: who leads, who waits, and what becomes of them when the leader leaves. */
#include "../exposed.h"
#include "../served.h"
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include "dns/stats.h"
#include "plugin/cache/cache_int.h"
#include "plugin/cache/slab_int.h"
#include "wire/message.h"
#include "wire/pack.h"

/* ---- a source below the cache: parks every query until it is let go ---- */

enum { WAITING_MAX = 64, CLIENTS = 12 };

static struct {
	unsigned asked, cancelled, n;
	struct fl_ticket waits[WAITING_MAX];
	bool open;                      /* answers at once */
	uint16_t rcode, set;
	bool live;
} src;

static int source_setup(struct fl_setup *s, void **inst)
{
	fl_disp_next(fl_setup_disp(s));
	*inst = &src;
	return 0;
}

static enum fl_verdict source_query(void *inst, struct fl_query *q)
{
	(void)inst;
	if (!*fl_slot(q)) {
		src.asked++;
		*fl_slot(q) = &src;
		if (!src.open) {
			src.waits[src.n++] = fl_ticket(q);
			return FL_WAIT;
		}
	}
	q->res = (struct fl_reply){ .rcode = src.rcode, .set = src.set, .live = src.live };
	uint8_t ip[4] = { 192, 0, 2, (uint8_t)src.asked };
	if (!src.rcode)
		fl_reply_add(q, FL_ANSWER, q->qname, fl_rrset_one(q->arena, FL_T_A, 60, ip, 4), false);
	return FL_DONE;
}

static void source_cancel(void *inst, struct fl_query *q) { (void)inst, (void)q, src.cancelled++; }

FL_PLUGIN(source, .setup = source_setup, .query = source_query, .cancel = source_cancel);
extern const struct fl_plugin fl_plugin_cache;
static struct fl_plugin cache_plugin;   /* the cache, and where it keeps its entries */
static struct cache_slab *slab;
static const struct fl_directive_entry table[] = { { "cache", &cache_plugin }, { "source", &fl_plugin_source }, { 0 } };
static const char *const known[] = { "cache", "source", NULL };

/* ---- the server, on this thread ---- */

static int client[CLIENTS];

static int cache_setup(struct fl_setup *s, void **inst)
{
	int ret = fl_plugin_cache.setup(s, inst);
	slab = ret ? NULL : ((struct cache *)*inst)->store->slab;
	return ret;
}

/* As if another thread were stopped while it wrote, and went on. */
static void shelves_busy(void)
{
	for (unsigned i = 0; i < SHELVES; i++)
		slab->shelf[i].seq++;
}

static void shelves_free(void) { shelves_busy(); }

static void start_with(const char *options)
{
	char text[200];
	memset(&src, 0, sizeof src);
	cache_plugin = fl_plugin_cache;
	cache_plugin.setup = cache_setup;
	snprintf(text, sizeof text, ".:%u {\n cache {\n  %s\n }\n source\n}\n", server_port(), options);
	serve(table, known, NULL, text);
	for (unsigned i = 0; i < CLIENTS; i++)
		client[i] = dial(SOCK_DGRAM | SOCK_NONBLOCK);
}

static int start(void **state)
{
	(void)state;
	start_with("servfail 5s");
	return 0;
}

static int start_no_failures(void **state)
{
	(void)state;
	start_with("servfail 0");
	return 0;
}

static int start_verify(void **state)
{
	(void)state;
	start_with("serve_stale 1h verify");
	return 0;
}

/* Each request was a hit or a miss, whatever became of it. */
static bool books(void)
{
	return metric("coredns_cache_requests_total") == metric("coredns_cache_hits_total") + metric("coredns_cache_misses_total");
}

static int stop(void **state)
{
	(void)state;
	if (!server_over)
		stop_server();
	assert_true(books());
	close_server();
	for (unsigned i = 0; i < CLIENTS; i++)
		close(client[i]);
	return 0;
}

static size_t question(uint8_t *msg, size_t cap, uint16_t id, const char *name, uint16_t flags, bool edns, const struct fl_edns *opt)
{
	uint8_t wire[FL_NAME_MAX];
	int n = fl_name_parse(wire, fl_str(name));
	assert_true(n > 0);
	return fl_pack_query(msg, cap, id, flags, (struct fl_name){ wire, (uint8_t)n }, FL_T_A, FL_C_IN, edns, 1232, 0, opt);
}

static void send_full(unsigned i, const char *name, uint16_t flags, bool edns, const struct fl_edns *opt)
{
	uint8_t msg[600];
	size_t len = question(msg, sizeof msg, (uint16_t)(100 + i), name, flags, edns, opt);
	assert_int_equal(send(client[i], msg, len, 0), len);
	fl_loop_run_until_idle(loop);
}

static void ask(unsigned i, const char *name) { send_full(i, name, FL_RD, false, NULL); }

static struct fl_message got;

/* Client i's reply, in `got`; false: none yet. */
static bool heard(unsigned i)
{
	static struct fl_arena a;
	static char memory[1 << 14];
	uint8_t msg[1300];
	ssize_t n = recv(client[i], msg, sizeof msg, 0);
	if (n < 0)
		return false;
	fl_arena_init(&a, memory, sizeof memory, NULL, 0);
	assert_int_equal(fl_message_parse(&got, &a, msg, (size_t)n), 0);
	assert_int_equal(got.id, 100 + i);
	return true;
}

/* Last octet of the address in `got`. */
static uint8_t address(void)
{
	struct fl_rr r = { 0 };
	assert_true(got.n == 1 && fl_rr_next(got.item[0].set, &r));
	return r.rdata[3];
}

/* The source answers those that wait. */
static void let_go(void)
{
	unsigned n = src.n;
	src.n = 0;
	for (unsigned i = 0; i < n; i++)
		fl_wake(src.waits[i], 0);
	fl_loop_advance(loop, FL_MS);
	fl_loop_run_until_idle(loop);
}

/* ---- tests ---- */

static void test_joined(void **state)
{
	(void)state;
	unsigned before = metric("fairlead_cache_joined_total");
	ask(0, "a.test");
	ask(1, "A.test");
	send_full(2, "a.TEST", FL_RD, true, NULL);
	ask(3, "b.test");               /* another name, */
	send_full(4, "a.test", 0, false, NULL);         /* no recursion wanted, */
	send_full(5, "a.test", FL_RD | FL_CD, false, NULL);     /* checking disabled: not equal */
	assert_int_equal(src.asked, 4);
	assert_int_equal(metric("fairlead_cache_joined_total") - before, 2);
	for (unsigned i = 0; i < 6; i++)
		assert_false(heard(i));
	let_go();
	static const char *const names[] = { "a.test.", "A.test.", "a.TEST." };
	for (unsigned i = 0; i < 3; i++) {
		char text[FL_NAME_TEXT_MAX];
		assert_true(heard(i));
		fl_name_text(text, got.qname);
		assert_string_equal(text, names[i]);
		assert_int_equal(got.edns, i == 2);
		address();
	}
	assert_true(heard(3) && heard(4) && heard(5));
	assert_int_equal(src.asked, 4);
}

/* A client subnet asks alone. */
static void test_subnet(void **state)
{
	(void)state;
	static const uint8_t net[] = { 0, 1, 24, 0, 192, 0, 2 };
	struct fl_edns ecs = { 8, sizeof net, net, NULL };
	ask(0, "a.test");
	send_full(1, "a.test", FL_RD, true, &ecs);
	assert_int_equal(src.asked, 2);
	let_go();
	assert_true(heard(0) && heard(1));
}

/* What may not be kept is nobody else's: each asks itself, and later ones do not wait at all until something was kept. */
static void test_not_shared(void **state)
{
	(void)state;
	for (int turn = 0; turn < 3; turn++) {
		static const char *const names[] = { "refused.test", "cut.test", "live.test" };
		memset(&src, 0, sizeof src);
		src.rcode = turn == 0 ? FL_REFUSED : 0;
		src.set = turn == 1 ? FL_TC : 0;
		src.live = turn == 2;
		for (unsigned i = 0; i < 3; i++)
			ask(i, names[turn]);
		assert_int_equal(src.asked, 1);
		let_go();
		assert_true(heard(0));
		assert_false(heard(1));
		assert_int_equal(src.asked, 3);
		let_go();
		assert_true(heard(1) && heard(2));
		for (unsigned i = 0; i < 3; i++)
			ask(i, names[turn]);
		assert_int_equal(src.asked, 6);
		src.rcode = src.set = 0;
		src.live = false;
		let_go();
		assert_true(heard(0) && heard(1) && heard(2));
	}
	fl_loop_advance(loop, 100 * FL_SEC);
	src.asked = 0;
	ask(0, "refused.test");
	ask(1, "refused.test");
	assert_int_equal(src.asked, 1);
	let_go();
	assert_true(heard(0) && heard(1));
}

static void test_failure(void **state)
{
	(void)state;
	src.rcode = FL_SERVFAIL;
	for (unsigned i = 0; i < 4; i++)
		ask(i, "a.test");
	let_go();
	for (unsigned i = 0; i < 4; i++)
		assert_true(heard(i) && got.rcode == FL_SERVFAIL);
	assert_int_equal(src.asked, 1);
}

static void test_failure_not_kept(void **state)
{
	(void)state;
	src.rcode = FL_SERVFAIL;
	for (unsigned i = 0; i < 4; i++)
		ask(i, "a.test");
	let_go();
	assert_int_equal(src.asked, 4);
	let_go();
	for (unsigned i = 0; i < 4; i++)
		assert_true(heard(i) && got.rcode == FL_SERVFAIL);
}

/* A question over TCP whose client resets the connection when it closes: one that only ends what it sends may still read. */
static int ask_tcp(const char *name)
{
	uint8_t msg[600];
	int fd = dial(SOCK_STREAM);
	struct linger now = { 1, 0 };
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
	size_t len = question(msg + 2, sizeof msg - 2, 7, name, FL_RD, false, NULL);
	fl_put16(msg, (uint16_t)len);
	assert_int_equal(send(fd, msg, len + 2, 0), len + 2);
	fl_loop_run_until_idle(loop);
	return fd;
}

/* A client that is gone, not one that has only said all that it had to say. */
static void reset(int fd)
{
	struct linger now = { 1, 0 };
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
	close(fd);
}

/* The leader leaves: the next one asks anew, the others wait for it; when it leaves too, the one behind it. */
static void test_leader_leaves(void **state)
{
	(void)state;
	int first = ask_tcp("a.test"), third = ask_tcp("a.test");
	ask(0, "a.test");
	ask(1, "a.test");
	int second = ask_tcp("a.test"); /* who came last leads next: it has the most time left */
	assert_int_equal(src.asked, 1);
	reset(third);                   /* a follower leaves: nothing happens */
	fl_loop_run_until_idle(loop);
	assert_int_equal(src.asked, 1);
	reset(first);
	fl_loop_run_until_idle(loop);
	assert_int_equal(src.cancelled, 1);
	assert_int_equal(src.asked, 2);
	reset(second);
	fl_loop_run_until_idle(loop);
	assert_int_equal(src.cancelled, 2);
	assert_int_equal(src.asked, 3);
	let_go();
	assert_true(heard(0) && heard(1));
	assert_int_equal(src.asked, 3);
	ask(0, "a.test");
	assert_true(heard(0));
}

/* The deadline of the leader: it hears SERVFAIL, who came later goes on. */
static void test_deadline(void **state)
{
	(void)state;
	ask(0, "a.test");
	fl_loop_advance(loop, 10 * FL_SEC);
	ask(1, "a.test");
	ask(2, "a.test");
	fl_loop_advance(loop, 11 * FL_SEC);
	assert_true(heard(0) && got.rcode == FL_SERVFAIL);
	assert_int_equal(src.asked, 2);
	let_go();
	assert_true(heard(1) && got.rcode == FL_NOERROR && heard(2));
	assert_int_equal(src.asked, 2);
	ask(3, "b.test");               /* all of them too late */
	ask(4, "b.test");
	fl_loop_advance(loop, 21 * FL_SEC);
	assert_true(heard(3) && got.rcode == FL_SERVFAIL && heard(4) && got.rcode == FL_SERVFAIL);
}

/* serve_stale verify: one asks, all get what came, or what is over. */
static void test_verify(void **state)
{
	(void)state;
	src.open = true;
	ask(0, "a.test");
	assert_true(heard(0) && address() == 1);
	src.open = false;
	fl_loop_advance(loop, 100 * FL_SEC);
	unsigned hits = metric("coredns_cache_hits_total");
	for (unsigned i = 0; i < 4; i++)
		ask(i, "a.test");
	assert_int_equal(src.asked, 2);
	src.rcode = FL_SERVFAIL;
	let_go();
	assert_int_equal(metric("coredns_cache_hits_total") - hits, 4);
	for (unsigned i = 0; i < 4; i++)
		assert_true(heard(i) && address() == 1);
	assert_int_equal(src.asked, 2);
	int tcp = ask_tcp("a.test");
	ask(1, "a.test");
	assert_int_equal(src.asked, 3);
	reset(tcp);
	fl_loop_run_until_idle(loop);
	assert_int_equal(src.asked, 4);
	src.rcode = 0;
	let_go();
	assert_true(heard(1) && address() == 4);
	ask(0, "a.test");
	assert_true(heard(0) && address() == 4);
	fl_loop_advance(loop, 100 * FL_SEC);
	ask(0, "a.test");
	ask(1, "a.test");
	let_go();
	assert_true(heard(0) && address() == 5 && heard(1) && address() == 5);
}

/* The end, while some wait: everybody is answered. */
static void test_stop(void **state)
{
	(void)state;
	for (unsigned i = 0; i < CLIENTS; i++)
		ask(i, i % 3 ? "a.test" : "b.test");
	assert_int_equal(src.asked, 2);
	stop_server();
	for (unsigned i = 0; i < CLIENTS; i++)
		assert_true(heard(i) && got.rcode == FL_SERVFAIL);
}

/* What could not be stored this time, because somebody else wrote there, is no reason to ask for each of those that waited. */
static void test_store_busy(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 5; i++)
		ask(i, "a.test");
	shelves_busy();
	let_go();
	assert_true(heard(0));
	assert_int_equal(metric("coredns_cache_drops_total"), 1);
	ask(5, "a.test");
	assert_int_equal(src.asked, 2); /* one of those asks for all */
	for (unsigned i = 1; i < 6; i++)
		assert_false(heard(i));
	shelves_free();
	let_go();
	for (unsigned i = 1; i < 6; i++)
		assert_true(heard(i));
	ask(6, "a.test");
	assert_true(heard(6));
	assert_int_equal(src.asked, 2);
}

int main(void)
{
#define T(f, s) cmocka_unit_test_setup_teardown(f, s, stop)
	const struct CMUnitTest tests[] = { T(test_joined, start), T(test_store_busy, start), T(test_subnet, start), T(test_not_shared, start), T(test_failure, start),
					    T(test_failure_not_kept, start_no_failures), T(test_leader_leaves, start), T(test_deadline, start),
					    T(test_verify, start_verify), T(test_stop, start) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

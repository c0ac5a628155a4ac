/* The cache in a real server: what it asks for below, what it does to flags, options and live answers. */
#include "../exposed.h"
#include "../served.h"
#include <stdlib.h>
#include <unistd.h>
#include "dns/stats.h"
#include "wire/message.h"
#include "wire/pack.h"

/* ---- a source below the cache: answers as the test says ---- */

static struct {
	unsigned asked;                 /* how often */
	uint16_t saw_flags;
	bool saw_do;
	uint16_t rcode, set, ede;
	bool bare, live, has_ede, drop, late, big;
	unsigned n, chain;              /* addresses, and aliases before them */
	uint32_t ttl[4];
	uint32_t min, max;              /* bounds that the source itself sets */
} src;

static int source_setup(struct fl_setup *s, void **inst)
{
	fl_disp_next(fl_setup_disp(s));
	*inst = &src;
	return 0;
}

static enum fl_verdict source_query(void *inst, struct fl_query *q)
{
	static const uint8_t option[] = "x";
	(void)inst;
	src.asked++;
	src.saw_flags = q->ask.flags;
	src.saw_do = q->ask.dnssec_ok;
	if (src.drop)
		return FL_DROP;
	if (src.bare)
		return fl_fail(q, src.rcode, "the source is broken");
	q->res = (struct fl_reply){ .rcode = src.rcode, .set = src.set, .live = src.live, .has_ede = src.has_ede, .ede = src.ede };
	struct fl_name owner = q->qname;
	for (unsigned i = 0; i < src.chain; i++) {
		char text[32];
		snprintf(text, sizeof text, "c%u.test", i);
		struct fl_name to = fl_name_parse_in(q->arena, fl_str(text));
		fl_reply_add(q, FL_ANSWER, owner, fl_rrset_one(q->arena, FL_T_CNAME, 60, to.wire, to.len), false);
		owner = to;
	}
	for (unsigned i = 0; i < src.n; i++) {
		uint8_t ip[4] = { 192, 0, 2, (uint8_t)i };
		struct fl_item *it = fl_reply_add(q, FL_ANSWER, owner, fl_rrset_one(q->arena, FL_T_A, src.ttl[i], ip, 4), false);
		it->ttl_min = src.min;
		it->ttl_max = src.max ? src.max : UINT32_MAX;
	}
	if (src.big) {                          /* more than an entry holds */
		static uint8_t text[256] = { 255 };
		struct fl_rrset_maker m;
		fl_rrset_begin(&m, q->arena, FL_T_TXT, FL_C_IN, 20000);
		for (unsigned i = 0; i < 65; i++)
			fl_rrset_put(&m, 60, text, sizeof text);
		fl_reply_add(q, FL_ADDITIONAL, q->qname, fl_rrset_end(&m), false);
	}
	q->res.opt = fl_alloc(q->arena, sizeof *q->res.opt);
	*q->res.opt = (struct fl_edns){ .code = 65001, .len = 1, .data = option };
	return FL_DONE;
}

FL_PLUGIN(source, .setup = source_setup, .query = source_query);
extern const struct fl_plugin fl_plugin_cache;
static const struct fl_directive_entry table[] = { { "cache", &fl_plugin_cache }, { "source", &fl_plugin_source }, { 0 } };
static const char *const known[] = { "cache", "source", NULL };

/* ---- the server, on this thread ---- */

static int client = -1;

static int start(void **state)
{
	char text[200];
	(void)state;
	snprintf(text, sizeof text, ".:%u {\n cache {\n success 100 60 5\n }\n source\n}\n", server_port());
	serve(table, known, NULL, text);
	client = dial(SOCK_DGRAM | SOCK_NONBLOCK);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	close_server();
	close(client);
	return 0;
}

static struct fl_message got;
static char memory[1 << 16];

/* Asks; false: no reply. The reply in `got`. */
static bool ask(const char *name, uint16_t flags, bool edns, bool dnssec_ok)
{
	static struct fl_arena a;
	uint8_t wire[FL_NAME_MAX], msg[600];
	int n = fl_name_parse(wire, fl_str(name));
	assert_true(n > 0);
	size_t len = fl_pack_query(msg, sizeof msg, 7, flags, (struct fl_name){ wire, (uint8_t)n }, FL_T_A, FL_C_IN, edns, 1232,
				   dnssec_ok ? 0x8000 : 0, NULL);
	assert_int_equal(send(client, msg, len, 0), len);
	fl_loop_run_until_idle(loop);
	ssize_t r = recv(client, msg, sizeof msg, 0);
	if (r < 0)
		return false;
	fl_arena_init(&a, memory, sizeof memory, NULL, 0);
	assert_int_equal(fl_message_parse(&got, &a, msg, (size_t)r), 0);
	return true;
}

static uint32_t ttl(void)
{
	struct fl_rr r = { 0 };
	assert_true(got.n > 0 && fl_rr_next(got.item[0].set, &r));
	uint32_t first = r.ttl;
	while (fl_rr_next(got.item[0].set, &r))
		assert_int_equal(r.ttl, first);
	return first;
}

static void one_answer(uint32_t t)
{
	memset(&src, 0, sizeof src);
	src.n = 1;
	src.ttl[0] = t;
}

/* ---- tests ---- */

/* AD goes out with every miss, and comes back to those who asked for it. */
static void test_ad(void **state)
{
	(void)state;
	one_answer(30);
	src.set = FL_AD | FL_AA | FL_RA;
	assert_true(ask("a.test", FL_RD, false, false));
	assert_int_equal(src.saw_flags & (FL_AD | FL_RD), FL_AD | FL_RD);
	assert_int_equal(got.flags & (FL_AD | FL_AA | FL_RA), FL_AA | FL_RA);
	assert_true(ask("a.test", FL_AD, false, false));
	assert_int_equal(src.asked, 1);
	assert_int_equal(got.flags & (FL_AD | FL_AA | FL_RA | FL_RD), FL_AD | FL_AA | FL_RA);
	assert_true(ask("a.test", FL_RD, false, false));
	assert_int_equal(got.flags & FL_AD, 0);
	assert_true(ask("b.test", FL_AD, false, false));
	assert_int_equal(got.flags & FL_AD, FL_AD);
	assert_true(ask("c.test", 0, true, true));
	assert_true(src.saw_do);
	assert_int_equal(got.flags & FL_AD, FL_AD);
	assert_true(ask("c.test", 0, true, true));
	assert_int_equal(got.flags & FL_AD, FL_AD);
	assert_int_equal(src.asked, 3);
	src.set = FL_AA;                        /* not told, not claimed */
	assert_true(ask("d.test", FL_AD, false, false));
	assert_true(ask("d.test", FL_AD, false, false));
	assert_int_equal(got.flags & FL_AD, 0);
}

/* The options of a hop end there. */
static void test_options(void **state)
{
	(void)state;
	one_answer(30);
	src.has_ede = true;
	src.ede = 4;
	for (int i = 0; i < 2; i++) {
		assert_true(ask("a.test", 0, true, false));
		assert_true(got.edns);
		assert_null(got.opt);
	}
	assert_int_equal(src.asked, 1);
}

/* Bounds that another plugin set count as the TTL. */
static void test_bounds(void **state)
{
	(void)state;
	one_answer(100);
	src.max = 20;
	assert_true(ask("a.test", 0, false, false));
	assert_int_equal(ttl(), 20);
	src.max = 0;
	src.min = 50;
	src.ttl[0] = 1;
	assert_true(ask("b.test", 0, false, false));
	assert_int_equal(ttl(), 50);
	src.min = 3;
	assert_true(ask("c.test", 0, false, false));
	assert_int_equal(ttl(), 5);
	src.n = 3;
	src.min = 0;
	src.ttl[0] = 30, src.ttl[1] = 8, src.ttl[2] = 40;
	assert_true(ask("d.test", 0, false, false));
	assert_int_equal(ttl(), 8);
}

/* What lives in an index is never kept, but looks as if it had just been. */
static void test_live(void **state)
{
	(void)state;
	one_answer(1);
	src.live = true;
	for (unsigned i = 1; i < 4; i++) {
		assert_true(ask("a.test", 0, false, false));
		assert_int_equal(ttl(), 5);
		assert_int_equal(src.asked, i);
		fl_loop_advance(loop, FL_SEC);
	}
	src.ttl[0] = 100;
	assert_true(ask("a.test", 0, false, false));
	assert_int_equal(ttl(), 60);
	src.rcode = FL_SERVFAIL;
	src.n = 0;
	assert_true(ask("b.test", 0, false, false));
	assert_true(ask("b.test", 0, false, false));
	assert_int_equal(src.asked, 6);
}

/* A failure without a reply is kept as SERVFAIL; a refusal is not; nor is silence. */
static void test_bare(void **state)
{
	(void)state;
	one_answer(1);
	src.bare = true;
	src.rcode = FL_SERVFAIL;
	assert_true(ask("a.test", FL_RD, false, false));
	assert_true(ask("a.test", FL_RD, false, false));
	assert_int_equal(got.rcode, FL_SERVFAIL);
	assert_int_equal(src.asked, 1);
	src.rcode = FL_REFUSED;
	assert_true(ask("b.test", 0, false, false));
	assert_true(ask("b.test", 0, false, false));
	assert_int_equal(src.asked, 3);
	src.drop = true;
	assert_false(ask("c.test", 0, false, false));
	assert_false(ask("c.test", 0, false, false));
	assert_int_equal(src.asked, 5);
}

/* A failure does not hide the good answer that is still there, nor a good answer the denial that came later. */
static void test_shadow(void **state)
{
	(void)state;
	one_answer(60);
	assert_true(ask("a.test", 0, false, false));
	assert_int_equal(got.rcode, FL_NOERROR);
	fl_loop_advance(loop, 30 * FL_SEC);
	src.rcode = FL_SERVFAIL;
	src.n = 0;
	assert_true(ask("a.test", 0, false, false));
	assert_int_equal(got.rcode, FL_NOERROR);
	assert_int_equal(ttl(), 30);
	fl_loop_advance(loop, 30 * FL_SEC);
	assert_true(ask("a.test", 0, false, false));
	assert_int_equal(got.rcode, FL_SERVFAIL);
	assert_int_equal(src.asked, 2);
}

/* What is too large to be kept is passed, and counted. */
static void test_drop(void **state)
{
	(void)state;
	one_answer(30);
	src.big = true;
	for (unsigned i = 1; i < 4; i++) {
		assert_true(ask("a.test", 0, false, false));
		assert_int_equal(ttl(), 30);
		assert_int_equal(src.asked, i);
	}
	assert_non_null(strstr(exposed("coredns_cache_drops_total"), "\"} 3\n"));
}

/* A hundred aliases are an answer that is kept; those that lead nowhere, or without end, are none. */
static void test_chain(void **state)
{
	(void)state;
	one_answer(60);
	src.chain = 100;
	assert_true(ask("a.test", 0, false, false) && ask("a.test", 0, false, false));
	assert_int_equal(src.asked, 1);
	src.n = 0;
	assert_true(ask("b.test", 0, false, false) && ask("b.test", 0, false, false));
	assert_int_equal(src.asked, 3);
	assert_true(ask("c0.test", 0, false, false) && ask("c0.test", 0, false, false));        /* itself and c1.test */
	assert_int_equal(src.asked, 5);
}

/* More names than fit: what is asked again and again mostly stays, and every answer is that of its name. */
static void test_many(void **state)
{
	(void)state;
	one_answer(60);
	for (unsigned i = 0; i < 3000; i++) {
		char name[32];
		snprintf(name, sizeof name, "n%u.test", i);
		src.ttl[0] = 6 + i % 50;
		assert_true(ask(name, 0, false, false));
		assert_int_equal(ttl(), src.ttl[0]);
	}
	unsigned before = src.asked, hits = 0;
	src.ttl[0] = 1;
	for (unsigned i = 0; i < 3000; i++) {
		char name[32];
		unsigned was = src.asked;
		snprintf(name, sizeof name, "n%u.test", 2999 - i);
		assert_true(ask(name, 0, false, false));
		if (src.asked == was)
			assert_int_equal(ttl(), 6 + (2999 - i) % 50);
		hits += src.asked == was;
	}
	assert_int_equal(before, 3000);
	assert_true(hits > 300 && hits <= 1024);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, start, stop)
	const struct CMUnitTest tests[] = { T(test_ad), T(test_options), T(test_bounds), T(test_live), T(test_bare), T(test_shadow), T(test_drop),
					    T(test_chain), T(test_many) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

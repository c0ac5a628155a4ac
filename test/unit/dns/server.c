/* The server with its threads: queries over both transports, many at once on one connection, and reloads under load without a lost
 * query or a cut connection. Runs under ASan and TSan too. */
#include "dns/gen.h"
#include "dns/server.h"
#include "dns/stats.h"
#include "net/udp.h"
#include "wire/message.h"
#include "wire/pack.h"
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

/* ---- a plugin: answers A with 192.0.2.N; "slow..." waits 20 ms first, and while it is held; "nope" is not its own; "way" says how the client came ---- */

struct fixed { uint8_t last; const struct fl_rrset *set; };
static unsigned alive, served;
static bool held;                       /* atomic */
static void serves(void *inst) { served += ((struct fixed *)inst)->last; }

/* In chains of blocks that do not name it (fl_setup_everywhere): answers "every", and remembers its slot. */
static enum fl_verdict every_query(void *inst, struct fl_query *q)
{
	uint8_t ip[4] = { 192, 0, 2, *(const uint8_t *)inst };
	if (!fl_str_is(fl_name_label(q->qname, 0), "every"))
		return FL_NEXT;
	if (!*fl_slot(q)) {                     /* a slot of its own, also when it runs again */
		*fl_slot(q) = inst;
		fl_wake_at(q, fl_now(q->shard) + FL_MS);
		return FL_WAIT;
	}
	return fl_reply_add(q, FL_ANSWER, q->qname, fl_rrset_one(q->arena, FL_T_A, 30, ip, 4), false) ? FL_DONE : fl_yield(q, -ENOMEM);
}

static const struct fl_plugin everywhere = { .name = "every", .query = every_query };

static int fixed_setup(struct fl_setup *s, void **inst)
{
	struct fl_disp *d = fl_setup_disp(s);
	int64_t n;
	fl_disp_next(d);
	if (!fl_disp_next_arg(d) || fl_parse_int(fl_disp_val(d), 0, 255, &n))
		return fl_setup_arg_error(s);
	struct fixed *f = fl_zalloc(fl_setup_arena(s), sizeof *f);
	uint8_t ip[4] = { 192, 0, 2, (uint8_t)n };
	f->last = (uint8_t)n;
	f->set = fl_rrset_one(fl_setup_arena(s), FL_T_A, 30, ip, 4);
	static uint8_t mine = 250;
	if (fl_disp_next_arg(d) && fl_setup_everywhere(s, &everywhere, &mine, fl_disp_val(d).n == 5 ? "fixed" : "unbuilt"))
		return fl_setup_error(s, "out of memory");
	if (fl_setup_serves(s, serves))
		return fl_setup_error(s, "out of memory");
	*inst = f;
	alive++;
	return 0;
}

static void fixed_destroy(void *inst)
{
	(void)inst;
	alive--;
}

static enum fl_verdict fixed_query(void *inst, struct fl_query *q)
{
	struct fixed *f = inst;
	struct fl_str label = fl_name_label(q->qname, 0);
	if (fl_str_is(label, "nope"))
		return FL_NEXT;
	if (fl_str_is(label, "way")) {
		uint8_t ip[4] = { 192, 0, 2, (uint8_t)(q->client->tcp | q->client->whole << 1) };
		return fl_reply_add(q, FL_ANSWER, q->qname, fl_rrset_one(q->arena, FL_T_A, 30, ip, 4), false) ? FL_DONE : fl_yield(q, -ENOMEM);
	}
	if (label.n > 3 && !memcmp(label.p, "slow", 4) && (q->why != -ETIMEDOUT || __atomic_load_n(&held, __ATOMIC_ACQUIRE))) {
		fl_wake_at(q, fl_now(q->shard) + 20 * FL_MS);
		return FL_WAIT;
	}
	return fl_reply_add(q, FL_ANSWER, q->qname, f->set, false) ? FL_DONE : fl_yield(q, -ENOMEM);
}

static int local_start(void *inst, struct fl_shard *sh, void **local)
{
	(void)inst, (void)sh;
	*local = malloc(16);
	return 0;
}

static void local_stop(void *inst, struct fl_shard *sh, void *local)
{
	(void)inst, (void)sh;
	free(local);
}

FL_PLUGIN(fixed, .setup = fixed_setup, .destroy = fixed_destroy, .query = fixed_query, .shard_start = local_start, .shard_stop = local_stop);
static const struct fl_directive_entry table[] = { { "fixed", &fl_plugin_fixed }, { "unbuilt", NULL }, { 0 } };
static const char *const known[] = { "fixed", "unbuilt", NULL };

/* ---- a server of two shards ---- */

static struct fl_loop *loop;
static struct fl_server *server;
static struct fl_err last_error;
static bool last_ok, over;
static char port[8];

static struct fl_conf *conf_of(const char *text)
{
	struct fl_conf *c = fl_xalloc(sizeof *c);
	struct fl_err e;
	int ret = fl_conf_parse(c, "Corefile", fl_str(text), ".", known, &e);
	if (ret)
		fail_msg("%s", e.msg);
	return c;
}

static void loaded(void *arg, const struct fl_err *e)
{
	last_ok = !e;
	if (e)
		last_error = *e;
	if (arg)
		fl_loop_stop(loop);
}

static bool load(const char *fmt, ...)
{
	char text[512];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	assert_int_equal(fl_server_load(server, conf_of(text), loaded, &over), 0);
	if (fl_server_busy(server))
		fl_loop_run(loop);
	return last_ok;
}

static int start(void **state)
{
	(void)state;
	snprintf(port, sizeof port, "%u", fl_free_port());
	static const char *const names[] = { "fixed", NULL };
	fl_plugin_names = names;
	fl_plugin_count = 1;
	struct fl_process p = { .conf = "Corefile", .port = port, .shards = 2 };
	loop = fl_loop_create();
	server = fl_server_create(&p, loop, table, false);
	return !server;
}

static void stopped(void *arg)
{
	if (arg)
		*(bool *)arg = true;
	fl_loop_stop(loop);
}

static int stop(void **state)
{
	(void)state;
	bool gone = false;
	fl_server_stop(server, stopped, &gone);
	while (!gone)
		fl_loop_run(loop);
	fl_server_destroy(server);
	fl_loop_destroy(loop);
	return alive != 0;
}

/* ---- a client ---- */

static int open_client(int type)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct timeval t = { .tv_sec = 60 };
	int64_t p = 0;
	fl_parse_int(fl_str(port), 1, 65535, &p);
	sa.sin_port = htons((uint16_t)p);
	int fd = socket(AF_INET, type, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
	if (connect(fd, (struct sockaddr *)&sa, sizeof sa)) {
		close(fd);
		return -1;
	}
	return fd;
}

static size_t query_for(uint8_t *to, uint16_t id, const char *name)
{
	uint8_t wire[FL_NAME_MAX];
	int n = fl_name_parse(wire, fl_str(name));
	return fl_pack_query(to, 512, id, FL_RD, (struct fl_name){ wire, (uint8_t)n }, FL_T_A, FL_C_IN, false, 0, 0, NULL);
}

/* The last octet of the answer; -rcode - 1 without one; -100: no reply. */
static int ask_udp(int fd, uint16_t id, const char *name)
{
	uint8_t b[4096];
	size_t n = query_for(b, id, name);
	if (send(fd, b, n, 0) < 0)
		return -100;
	ssize_t got = recv(fd, b, sizeof b, 0);
	if (got < FL_HEADER || fl_get16(b) != id)
		return -100;
	return fl_get16(b + 6) ? b[got - 1] : -(b[3] & 15) - 1;
}

static bool read_all(int fd, uint8_t *to, size_t n)
{
	for (size_t at = 0; at < n;) {
		ssize_t got = recv(fd, to + at, n - at, 0);
		if (got <= 0)
			return false;
		at += (size_t)got;
	}
	return true;
}

static int frame_in(int fd, uint8_t *b)
{
	uint8_t head[2];
	if (!read_all(fd, head, 2) || !read_all(fd, b, fl_get16(head)))
		return -1;
	return fl_get16(b);
}

static bool frame_out(int fd, uint16_t id, const char *name)
{
	uint8_t b[514];
	size_t n = query_for(b + 2, id, name);
	fl_put16(b, (uint16_t)n);
	return send(fd, b, n + 2, MSG_NOSIGNAL) == (ssize_t)n + 2;
}

/* ---- tests: a client thread works while the main thread runs the loop ---- */

struct work { void (*fn)(struct work *w); unsigned bad, done; };

static void *work_main(void *arg)
{
	struct work *w = arg;
	w->fn(w);
	fl_loop_post(loop, stopped, NULL);
	return NULL;
}

static void with_client(struct work *w)
{
	pthread_t t;
	pthread_create(&t, NULL, work_main, w);
	fl_loop_run(loop);
	pthread_join(t, NULL);
}

static void basics(struct work *w)
{
	int fd = open_client(SOCK_DGRAM);
	w->bad += ask_udp(fd, 1, "a.test.") != 7;
	w->bad += ask_udp(fd, 2, "nope.test.") != -FL_SERVFAIL - 1;
	w->bad += ask_udp(fd, 3, "a.other.") != -FL_REFUSED - 1;
	w->bad += ask_udp(fd, 4, "slow.test.") != 7;
	w->bad += ask_udp(fd, 5, "way.test.") != 0;     /* neither tcp nor whole */
	close(fd);
	uint8_t b[65536];
	fd = open_client(SOCK_STREAM);
	w->bad += !frame_out(fd, 6, "way.test.") || frame_in(fd, b) != 6 || b[12 + 14 + 16 - 1] != 3;    /* both */
	w->done = 6;
	close(fd);
}

static void test_basics(void **state)
{
	(void)state;
	struct work w = { .fn = basics };
	assert_true(load("test:%s {\n fixed 7\n}\n", port));
	with_client(&w);
	assert_int_equal(w.done, 6);
	assert_int_equal(w.bad, 0);
}

/* Ten slow ones, held until a fast one that was sent after them is there. */
static void pipelining(struct work *w)
{
	uint8_t b[65536];
	int fd = open_client(SOCK_STREAM);
	__atomic_store_n(&held, true, __ATOMIC_RELEASE);
	for (uint16_t i = 0; i < 10; i++)
		w->bad += !frame_out(fd, i, "slow.test.");
	w->bad += !frame_out(fd, 99, "quick.test.");
	w->bad += frame_in(fd, b) != 99;
	__atomic_store_n(&held, false, __ATOMIC_RELEASE);
	bool seen[10] = { false };
	for (int i = 0; i < 10; i++) {
		int id = frame_in(fd, b);
		w->bad += id < 0 || id > 9 || seen[id];
		if (id >= 0 && id < 10)
			seen[id] = true;
	}
	/* one byte at a time, and two frames in one segment */
	uint8_t q[514];
	size_t n = query_for(q + 2, 5, "a.test.");
	fl_put16(q, (uint16_t)n);
	for (size_t i = 0; i < n + 2; i++)
		w->bad += send(fd, q + i, 1, 0) != 1;
	w->bad += frame_in(fd, b) != 5;
	w->done = 1;
	close(fd);
}

static void test_pipelining(void **state)
{
	(void)state;
	struct work w = { .fn = pipelining };
	assert_true(load("test:%s {\n fixed 7\n}\n", port));
	with_client(&w);
	assert_int_equal(w.done, 1);
	assert_int_equal(w.bad, 0);
}

/* ---- reloads under load ---- */

static struct fl_timer again;
static unsigned reloads;

static void reload_again(struct fl_timer *t)
{
	char text[128];
	if (!fl_server_busy(server)) {
		snprintf(text, sizeof text, "test:%s {\n fixed %u\n}\n", port, 1 + reloads % 200);
		fl_server_load(server, conf_of(text), loaded, NULL);
		reloads++;
	}
	fl_timer_set(loop, t, fl_loop_tick(loop) + 2 * FL_MS);
}

static void under_load(struct work *w)
{
	uint8_t b[65536];
	int udp = open_client(SOCK_DGRAM), tcp[8];
	for (int i = 0; i < 8; i++)
		tcp[i] = open_client(SOCK_STREAM);
	for (uint16_t i = 0; i < 3000; i++) {
		w->bad += ask_udp(udp, i, i % 50 ? "a.test." : "slow.test.") < 0;
		if (i % 10 == 0) {
			int fd = tcp[i / 10 % 8];
			w->bad += !frame_out(fd, i, "slow.test.") || !frame_out(fd, (uint16_t)(i + 1), "a.test.");
			w->bad += frame_in(fd, b) < 0;
			w->bad += frame_in(fd, b) < 0;
		}
		w->done++;
	}
	for (int i = 0; i < 8; i++)
		close(tcp[i]);
	close(udp);
}

static void test_reload_under_load(void **state)
{
	(void)state;
	struct work w = { .fn = under_load };
	assert_true(load("test:%s {\n fixed 7\n}\n", port));
	again.fn = reload_again;
	reloads = 0;
	fl_timer_set(loop, &again, fl_loop_tick(loop) + FL_MS);
	with_client(&w);
	fl_timer_clear(loop, &again);
	while (fl_server_busy(server)) {
		fl_loop_post(loop, stopped, NULL);
		fl_loop_run(loop);
	}
	assert_int_equal(w.done, 3000);
	assert_int_equal(w.bad, 0);
	assert_true(reloads > 20);
}

static void test_failed_load_keeps_the_old(void **state)
{
	(void)state;
	struct work w = { .fn = basics };
	served = 0;
	assert_true(load("test:%s {\n fixed 7\n}\n", port));
	assert_int_equal(served, 7);            /* told once, and not by what never served */
	assert_false(load("test:%s {\n fixed 1\n}\nother:%s {\n fixed\n}\n", port, port));
	assert_false(load("test:%s {\n fixed\n}\n", port));
	assert_non_null(strstr(last_error.msg, "plugin/fixed: Corefile:2"));
	assert_false(load("test:%s {\n unbuilt\n}\n", port));
	assert_non_null(strstr(last_error.msg, "Corefile:2"));
	assert_false(load("test:99999 {\n fixed 8\n}\n"));
	assert_false(load("test:%s {\n fixed 8\n}\ntest:%s {\n fixed 9\n}\n", port, port));
	assert_string_equal(strstr(last_error.msg, " - it is"), " - it is already defined");
	assert_int_equal(served, 7);
	with_client(&w);
	assert_int_equal(w.bad, 0);
}

static void every(struct work *w)
{
	int fd = open_client(SOCK_DGRAM);
	w->bad += ask_udp(fd, 1, "every.test.") != 250;
	w->bad += ask_udp(fd, 2, "every.other.") != 250;
	w->bad += ask_udp(fd, 3, "slow.other.") != 8;   /* whose own slot is still its own */
	w->bad += ask_udp(fd, 4, "a.test.") != 7;
	w->done = 4;
	close(fd);
}

static void below(struct work *w)
{
	int fd = open_client(SOCK_DGRAM);
	w->bad += ask_udp(fd, 1, "every.test.") != 7;
	w->bad += ask_udp(fd, 2, "every.other.") != 8;
	w->done = 2;
	close(fd);
}

static void none(struct work *w)
{
	int fd = open_client(SOCK_DGRAM);
	w->bad += ask_udp(fd, 1, "every.test.") != 7;
	w->done = 1;
	close(fd);
}

/* A link without a directive stands in every block, once, at its place; and goes with the configuration that wanted it. */
static void test_everywhere(void **state)
{
	(void)state;
	struct work w = { .fn = every };
	assert_true(load("test:%s {\n fixed 7 above\n}\nother:%s {\n fixed 8\n}\n", port, port));
	with_client(&w);
	assert_int_equal(w.done, 4);
	assert_int_equal(w.bad, 0);
	w = (struct work){ .fn = below };
	assert_true(load("test:%s {\n fixed 7 beneath\n}\nother:%s {\n fixed 8 beneath\n}\n", port, port));
	with_client(&w);
	assert_int_equal(w.done, 2);
	assert_int_equal(w.bad, 0);
	w = (struct work){ .fn = none };
	assert_true(load("test:%s {\n fixed 7\n}\n", port));
	with_client(&w);
	assert_int_equal(w.done, 1);
	assert_int_equal(w.bad, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_basics, start, stop),
		cmocka_unit_test_setup_teardown(test_pipelining, start, stop),
		cmocka_unit_test_setup_teardown(test_reload_under_load, start, stop),
		cmocka_unit_test_setup_teardown(test_failed_load_keeps_the_old, start, stop),
		cmocka_unit_test_setup_teardown(test_everywhere, start, stop),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

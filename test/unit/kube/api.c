/* The API source against test/live/fakeapi.py, which runs as a child: everything that a server can do to a reflector. The clock is
 * virtual and driven beside the sockets, so that half a minute of silence costs a few milliseconds. */
#include "../exposed.h"
#include "../files.h"
#include "fake_api.h"
#include "base/clock.h"
#include "base/log.h"
#include "kube/source.h"
#include "kube/source_int.h"

static char dir[64];

/* ---- the world: a fake, a store with a source ---- */

struct world { struct fake fake; struct fl_loop *loop; struct fl_store *store; struct fl_source *source; };

static char logged[65536];
static void on_log(void *arg, const char *line, size_t n)
{
	(void)arg;
	size_t at = strlen(logged);
	if (at + n < sizeof logged) {
		memcpy(logged + at, line, n);
		logged[at + n] = 0;
	}
}

static unsigned turns;
static bool on_turn(void *arg) { (void)arg, turns++; return false; }

/* Everything that is ready; false: nothing was. */
static bool did(struct world *w)
{
	turns = 0;
	fl_loop_run_until_idle(w->loop);
	return turns > 1;               /* the last one finds nothing */
}

/* A step of the world: what is ready, then the clock. That stands still while the child is at work, however slow the machine is, and
 * takes wider steps, of half a second at most, through times in which nothing happens: each costs a sleep, which is long where many
 * want the processor. Not past `end`. */
static void step(struct world *w, uint64_t ns, uint64_t end)
{
	static unsigned wide = 1;
	bool moved = did(w);
	for (int i = 0; i < 4000 && (!i || busy(&w->fake)); i++) {
		usleep(500);
		moved |= did(w) || i;
	}
	wide = moved ? 1 : wide < 16 ? 2 * wide : wide;
	uint64_t now = fl_clock_ns(), jump = wide * ns;
	if (jump > 500 * FL_MS)
		jump = ns > 500 * FL_MS ? ns : 500 * FL_MS;
	fl_loop_advance(w->loop, now + jump > end ? end - now : jump);
}

/* Until something is so: for a while of the world's time, and of real time too, because the child needs that to answer. */
static bool run_until(struct world *w, bool (*good)(struct world *w, const void *arg), const void *arg, uint64_t virtual_ns,
	uint64_t step_ns)
{
	uint64_t end = fl_clock_ns() + virtual_ns;
	for (unsigned i = 0; i < 10000; i += fl_clock_ns() >= end) {
		if (good(w, arg))
			return true;
		bool over = fl_clock_ns() >= end;
		step(w, over ? FL_MS : step_ns, over ? fl_clock_ns() + FL_MS : end);
	}
	return good(w, arg);
}

/* It is not so in all that time. */
static bool never(struct world *w, bool (*bad)(struct world *w, const void *arg), const void *arg, uint64_t virtual_ns,
	uint64_t step_ns)
{
	for (uint64_t end = fl_clock_ns() + virtual_ns; fl_clock_ns() < end && !bad(w, arg);)
		step(w, step_ns, end);
	return !bad(w, arg);
}

static bool is_synced(struct world *w, const void *arg) { (void)arg; return fl_store_synced(w->store); }

static bool is_connected(struct world *w, const void *arg) { (void)arg; return fl_store_source(w->store)->connected; }

static bool has_ip(struct world *w, const void *arg)
{
	const char *const *want = arg;          /* name, address; NULL address: gone */
	const struct fl_service *s = (const struct fl_service *)fl_store_find(w->store, FL_KIND_SERVICE, FL_STR("d"),
		fl_str(want[0]));
	char text[46];
	if (!s || !want[1])
		return !s && !want[1];
	fl_ip_text(text, s->ip[0].b, s->ip[0].len);
	return !strcmp(text, want[1]);
}

/* Runs until the service has the address; a few seconds of the world's time. */
static void expect(struct world *w, const char *name, const char *ip)
{
	const char *want[] = { name, ip };
	if (!run_until(w, has_ip, want, 10 * FL_SEC, 5 * FL_MS))
		fail_msg("%s is not %s; log:\n%s", name, ip ? ip : "gone", logged);
}

static void open_store(struct world *w, const struct fl_store_wants *wants, const struct fl_source_config *more)
{
	struct fl_source_config cfg = more ? *more : (struct fl_source_config){ 0 };
	struct fl_err e = { "" };
	if (!cfg.endpoint.n && !cfg.kubeconfig.n)
		cfg.endpoint = fl_str(w->fake.url);
	logged[0] = 0;
	fl_log_capture(on_log, NULL);
	fl_clock_virtual(3600 * FL_SEC);
	w->loop = fl_loop_create();
	fl_loop_hooks(w->loop, NULL, NULL, on_turn, NULL);
	w->store = fl_store_create(wants);
	w->source = fl_source_api_create(w->store, w->loop, &cfg, &e);
	if (!w->source)
		fail_msg("%s", e.msg);
}

static void open_source(struct world *w, const struct fl_source_config *more)
{
	struct fl_store_wants wants = { .kind = { [FL_KIND_NAMESPACE] = true, [FL_KIND_SERVICE] = true, [FL_KIND_SLICE] = true } };
	open_store(w, &wants, more);
}

static void open_world(struct world *w, const struct fl_source_config *more)
{
	spawn(&w->fake, "");
	call(&w->fake, "put", "[\"namespaces\", {\"metadata\": {\"name\": \"d\"}}]");
	put_service(&w->fake, "a", "10.0.0.1");
	put_service(&w->fake, "b", "10.0.0.2");
	open_source(w, more);
}

static void close_source(struct world *w)
{
	w->source->ops->destroy(w->source);
	fl_store_destroy(w->store);
	fl_loop_destroy(w->loop);
	fl_clock_virtual(0);
	fl_log_capture(NULL, NULL);
}

static void close_world(struct world *w)
{
	close_source(w);
	finish(&w->fake);
}

static void sync_world(struct world *w)
{
	if (!run_until(w, is_synced, NULL, 10 * FL_SEC, 5 * FL_MS))
		fail_msg("not synced; log:\n%s", logged);
}

/* ---- the good days ---- */

static void events(struct world *w)
{
	sync_world(w);
	expect(w, "a", "10.0.0.1");
	assert_int_equal(fl_store_count(w->store, FL_KIND_SERVICE), 2);
	assert_true(run_until(w, is_connected, NULL, FL_SEC, 5 * FL_MS));
	put_service(&w->fake, "a", "10.0.0.9");
	expect(w, "a", "10.0.0.9");
	put_service(&w->fake, "c", "10.0.0.3");
	expect(w, "c", "10.0.0.3");
	call(&w->fake, "delete", "[\"services\", \"b\", \"d\"]");
	expect(w, "b", NULL);
}

static void test_watchlist(void **state)
{
	(void)state;
	struct world w;
	open_world(&w, NULL);
	events(&w);
	assert_int_equal(asked(&w.fake, "watchlist"), 1);
	assert_int_equal(asked(&w.fake, "list"), 0);
	assert_string_equal(logged, "");
	close_world(&w);
}

static void test_json(void **state)
{
	(void)state;
	struct world w;
	spawn(&w.fake, "");
	call(&w.fake, "fault", "{\"do\": \"json\", \"times\": -1}");
	put_service(&w.fake, "a", "10.0.0.1");
	put_service(&w.fake, "b", "10.0.0.2");
	open_source(&w, NULL);
	events(&w);
	close_world(&w);
}

/* A server without WatchList: list, then watch; again after it went. */
static void test_list(void **state)
{
	(void)state;
	struct world w;
	spawn(&w.fake, "");
	call(&w.fake, "set", "{\"watchlist\": false}");
	put_service(&w.fake, "a", "10.0.0.1");
	put_service(&w.fake, "b", "10.0.0.2");
	open_source(&w, NULL);
	events(&w);
	assert_int_equal(asked(&w.fake, "list"), 1);
	assert_int_equal(asked(&w.fake, "watch"), 1);
	call(&w.fake, "drop", "[]");            /* the version is still known: the watch goes on, nothing is listed */
	put_service(&w.fake, "a", "10.0.1.1");
	expect(&w, "a", "10.0.1.1");
	assert_int_equal(asked(&w.fake, "list"), 1);
	call(&w.fake, "forget", "[]");          /* it is not: 410, then a list in place */
	call(&w.fake, "drop", "[]");
	call(&w.fake, "delete", "[\"services\", \"c\", \"d\"]");
	put_service(&w.fake, "a", "10.0.1.2");
	call(&w.fake, "forget", "[]");
	expect(&w, "a", "10.0.1.2");
	expect(&w, "c", NULL);
	assert_int_equal(asked(&w.fake, "list"), 2);
	close_world(&w);
}

/* Pages, when the version "0" is not what is asked for, and a token that expires between two of them. */
static void test_pages(void **state)
{
	(void)state;
	struct world w;
	spawn(&w.fake, "--big 1200,1200");
	call(&w.fake, "set", "{\"watchlist\": false}");
	call(&w.fake, "fault",
		"{\"do\": \"status\", \"code\": 410, \"reason\": \"Expired\", \"res\": \"services\", \"verb\": \"list\"}");
	open_source(&w, NULL);
	sync_world(&w);
	assert_int_equal(fl_store_count(w.store, FL_KIND_SERVICE), 1200);
	assert_int_equal(fl_store_count(w.store, FL_KIND_SLICE), 1200);
	assert_int_equal(asked(&w.fake, "list"), 1 + 3);
	close_world(&w);
}

static void test_no_watchlist(void **state)
{
	(void)state;
	struct world w;
	setenv("KUBE_FEATURE_WatchListClient", "false", 1);
	open_world(&w, NULL);
	unsetenv("KUBE_FEATURE_WatchListClient");
	events(&w);
	assert_int_equal(asked(&w.fake, "watchlist"), 0);
	assert_int_equal(asked(&w.fake, "list"), 1);
	close_world(&w);
}

static void test_selector(void **state)
{
	(void)state;
	struct world w;
	struct fl_source_config cfg = { .labels = FL_STR("n in (a,c)"), .namespace_labels = FL_STR("none") };
	open_world(&w, &cfg);
	sync_world(&w);
	assert_int_equal(fl_store_count(w.store, FL_KIND_SERVICE), 1);
	assert_int_equal(fl_store_count(w.store, FL_KIND_NAMESPACE), 0);
	put_service(&w.fake, "c", "10.0.0.3");
	expect(&w, "c", "10.0.0.3");
	close_world(&w);
}

/* The kinds that not everybody wants: pods without those that ended, imports as JSON (404 until the server knows them), their
 * slices. */
static void test_other_kinds(void **state)
{
	(void)state;
	struct world w;
	struct fl_store_wants wants = { .kind = { [FL_KIND_POD] = true, [FL_KIND_IMPORT] = true, [FL_KIND_MCSLICE] = true } };
	spawn(&w.fake, "");
	call(&w.fake, "set", "{\"crds\": []}");
	call(&w.fake, "put", "[\"pods\", {\"metadata\": {\"namespace\": \"d\", \"name\": \"up\"}, "
		"\"status\": {\"phase\": \"Running\", \"podIP\": \"10.2.0.1\", \"podIPs\": [{\"ip\": \"10.2.0.1\"}]}}]");
	call(&w.fake, "put", "[\"pods\", {\"metadata\": {\"namespace\": \"d\", \"name\": \"over\"}, "
		"\"status\": {\"phase\": \"Succeeded\", \"podIP\": \"10.2.0.2\", \"podIPs\": [{\"ip\": \"10.2.0.2\"}]}}]");
	call(&w.fake, "put", "[\"serviceimports\", {\"metadata\": {\"namespace\": \"d\", \"name\": \"imp\"}, "
		"\"spec\": {\"type\": \"ClusterSetIP\", \"ips\": [\"10.3.0.1\"], \"ports\": [{\"port\": 80, \"protocol\": "
			"\"TCP\"}]}}]");
	for (int i = 0; i < 2; i++) {
		char args[512];
		snprintf(args, sizeof args,
			"[\"endpointslices\", {\"metadata\": {\"namespace\": \"d\", \"name\": \"sl%d\", \"labels\": {\"%s\": "
			"\"imp\"}}, \"addressType\": \"IPv4\", \"endpoints\": [{\"addresses\": [\"10.4.0.1\"]}]}]", i,
			i ? "multicluster.kubernetes.io/service-name" : "kubernetes.io/service-name");
		call(&w.fake, "put", args);
	}
	open_store(&w, &wants, NULL);
	assert_true(never(&w, is_synced, NULL, 2 * FL_SEC, 10 * FL_MS));
	assert_non_null(strstr(logged, "failed to list *v1alpha1.ServiceImport: the server answered 404: 404 page not found"));
	call(&w.fake, "set", "{\"crds\": [\"serviceimports\"]}");
	sync_world(&w);
	assert_int_equal(fl_store_count(w.store, FL_KIND_POD), 1);
	assert_int_equal(fl_store_count(w.store, FL_KIND_MCSLICE), 1);
	assert_non_null(fl_store_find(w.store, FL_KIND_MCSLICE, FL_STR("d"), FL_STR("sl1")));
	assert_non_null(fl_store_find(w.store, FL_KIND_IMPORT, FL_STR("d"), FL_STR("imp")));
	close_world(&w);
}

/* Its time is over: a plain watch goes on from the last version, nothing is listed again. */
static void test_timeout(void **state)
{
	(void)state;
	struct world w;
	open_world(&w, NULL);
	call(&w.fake, "fault", "{\"do\": \"end\", \"res\": \"services\", \"times\": 2}");
	sync_world(&w);
	put_service(&w.fake, "c", "10.0.0.3");
	expect(&w, "c", "10.0.0.3");
	assert_int_equal(asked(&w.fake, "watchlist"), 1);
	assert_true(asked(&w.fake, "watch") >= 1);
	close_world(&w);
}

static void test_relist(void **state)
{
	(void)state;
	struct world w;
	open_world(&w, NULL);
	sync_world(&w);
	w.source->ops->relist(w.source);
	put_service(&w.fake, "c", "10.0.0.3");
	expect(&w, "c", "10.0.0.3");
	assert_int_equal(asked(&w.fake, "watchlist"), 2);
	assert_int_equal(fl_store_count(w.store, FL_KIND_SERVICE), 3);
	close_world(&w);
}

/* What a real server sent. */
static void test_recorded(void **state)
{
	(void)state;
	static const char *const forms[] = { "pb", "json" };
	for (int i = 0; i < 2; i++) {
		struct world w;
		char args[128];
		spawn(&w.fake, "");
		const char *const res[] = { "services", "endpointslices", "namespaces" };
		for (int k = 0; k < 3; k++) {
			snprintf(args, sizeof args,
				"{\"do\": \"replay\", \"res\": \"%s\", \"file\": \"%s.watchlist.%s\", \"form\": \"%s\"}", res[k],
					res[k],
				forms[i], i ? "json" : "proto");
			call(&w.fake, "fault", args);
		}
		open_source(&w, NULL);
		sync_world(&w);
		assert_non_null(fl_store_find(w.store, FL_KIND_SERVICE, FL_STR("rec-a"), FL_STR("web")));
		const struct fl_service *db = (void *)fl_store_find(w.store, FL_KIND_SERVICE, FL_STR("rec-a"), FL_STR("db"));
		assert_true(db && db->headless && db->publish_not_ready);
		const struct fl_slice *sl = (void *)fl_store_find(w.store, FL_KIND_SLICE, FL_STR("rec-a"), FL_STR("db-x1"));
		assert_true(sl && sl->nep == 3 && sl->alen == 4);
		assert_non_null(fl_store_find(w.store, FL_KIND_NAMESPACE, FL_STR(""), FL_STR("rec-b")));
		close_world(&w);
	}
}

/* ---- the bad days ---- */

/* While it is away nothing is lost; when it is back, what went meanwhile goes, within a second or so. */
static void test_outage(void **state)
{
	(void)state;
	struct world w;
	open_world(&w, NULL);
	sync_world(&w);
	call(&w.fake, "down", "[]");
	const char *not[] = { "a", NULL };
	assert_true(never(&w, has_ip, not, 120 * FL_SEC, 100 * FL_MS));
	assert_int_equal(fl_store_count(w.store, FL_KIND_SERVICE), 2);
	assert_true(fl_store_synced(w.store));
	assert_false(fl_store_source(w.store)->connected);
	assert_non_null(strstr(logged,
		"[ERROR] plugin/kubernetes: Failed to watch: failed to list *v1.Service: Get \"http://127.0.0.1:"));
	assert_non_null(strstr(logged, "/api/v1/services\": dial tcp 127.0.0.1:"));
	assert_non_null(strstr(logged, ": connect: connection refused type=\"*v1.Service\"\n"));
	call(&w.fake, "delete", "[\"services\", \"a\", \"d\"]");
	put_service(&w.fake, "c", "10.0.0.3");
	call(&w.fake, "up", "[]");
	uint64_t back = fl_clock_ns();
	expect(&w, "c", "10.0.0.3");
	expect(&w, "a", NULL);
	assert_in_range((fl_clock_ns() - back) / FL_MS, 0, 10000);
	const char *want[] = { "b", "10.0.0.2" };
	assert_true(has_ip(&w, want));
	assert_non_null(strstr(logged, "[INFO] plugin/kubernetes: Watching *v1.Service again after 12"));
	close_world(&w);
}

/* Each of these once, in the middle of everything: the next try succeeds, and soon. */
static void test_faults(void **state)
{
	(void)state;
	static const char *const faults[] = {
		"\"do\": \"drop\"", "\"do\": \"reset\"", "\"do\": \"cut\", \"bytes\": 0", "\"do\": \"cut\", \"bytes\": 30",
			"\"do\": \"cut\", \"bytes\": 300",
		"\"do\": \"junk\"", "\"do\": \"garbage\"", "\"do\": \"huge\"", "\"do\": \"type\", \"type\": \"text/html\"",
		"\"do\": \"status\", \"code\": 500", "\"do\": \"status\", \"code\": 503, \"text\": \"upstream is away\"",
		"\"do\": \"status\", \"code\": 403", "\"do\": \"status\", \"code\": 410",
			"\"do\": \"status\", \"code\": 302, \"text\": \"\"",
		"\"do\": \"error\", \"code\": 500", "\"do\": \"error\", \"code\": 410, \"reason\": \"Expired\"",
			"\"do\": \"error\", \"large\": true, \"code\": 504",
		"\"do\": \"replay\", \"file\": \"error.expired.pb\"", "\"do\": \"replay\", \"file\": \"error.toolargewatch.pb\"",
		"\"do\": \"slow\", \"bytes\": 40", "\"do\": \"hang\"", "\"do\": \"stall\", \"bytes\": 0",
			"\"do\": \"stall\", \"bytes\": 150", "\"do\": \"nomark\"",
	};
	struct world w;
	open_world(&w, NULL);
	sync_world(&w);
	for (unsigned i = 0; i < FL_COUNT(faults) * 2; i++) {
		char args[256], ip[32];
		bool watch = i % 2;             /* plain watches too: there after a clean end */
		snprintf(args, sizeof args, "{%s, \"res\": \"services\", \"verb\": \"%s\"}", faults[i / 2], watch ? "watch" :
			"watchlist");
		call(&w.fake, "set", "{\"watchlist\": true}");
		call(&w.fake, "fault", args);
		if (watch)                      /* a list, so that a watch follows it */
			call(&w.fake, "set", "{\"watchlist\": false}");
		w.source->ops->relist(w.source);
		snprintf(ip, sizeof ip, "10.1.0.%u", i + 1);
		put_service(&w.fake, "a", ip);
		const char *want[] = { "a", ip };
		if (!run_until(&w, has_ip, want, 150 * FL_SEC, 50 * FL_MS))
			fail_msg("%s: log:\n%s", args, logged);
		put_service(&w.fake, "b", ip);  /* a list alone would have had the first one */
		const char *next[] = { "b", ip };
		if (!run_until(&w, has_ip, next, 150 * FL_SEC, 50 * FL_MS))
			fail_msg("%s: log:\n%s", args, logged);
		call(&w.fake, "heal", "[]");
		assert_int_equal(fl_store_count(w.store, FL_KIND_SERVICE), 2);
		logged[0] = 0;
	}
	assert_true(fl_store_source(w.store)->errors > 20);
	close_world(&w);
}

/* Something on the way cuts every connection as soon as it works: asked less and less often, though each time all went well. */
static void test_flapping(void **state)
{
	(void)state;
	struct world w;
	open_world(&w, NULL);
	for (uint64_t end = fl_clock_ns() + 20 * FL_SEC; fl_clock_ns() < end;) {
		step(&w, 20 * FL_MS, end);
		if (is_connected(&w, NULL))
			call(&w.fake, "drop", "[]");
	}
	assert_in_range(asked(&w.fake, "watchlist"), 5, 14);
	close_world(&w);
}

/* 429: not before it says, and up to a minute only. */
static void test_retry_after(void **state)
{
	(void)state;
	static const struct { int told, min_s, max_s; } rows[] = { { 2, 2, 20 }, { 100000, 60, 75 } };
	for (unsigned i = 0; i < FL_COUNT(rows); i++) {
		struct world w;
		char args[128];
		spawn(&w.fake, "");
		snprintf(args, sizeof args,
			"{\"do\": \"status\", \"code\": 429, \"retry_after\": %d, \"times\": 3, \"text\": \"Too many requests\"}",
				rows[i].told);
		call(&w.fake, "fault", args);
		open_source(&w, NULL);
		uint64_t start = fl_clock_ns();
		assert_true(run_until(&w, is_synced, NULL, 70 * FL_SEC, 20 * FL_MS));
		assert_in_range((fl_clock_ns() - start) / FL_SEC, rows[i].min_s, rows[i].max_s);
		assert_int_equal(asked(&w.fake, "watchlist"), 2);
		assert_non_null(strstr(logged, "failed to list *v1.Service: the server answered 429: Too many requests type="));
		close_world(&w);
	}
}

/* Nobody can say what is newest: after three seconds whatever the server has will do. */
static void test_dead_etcd(void **state)
{
	(void)state;
	struct world w;
	spawn(&w.fake, "");
	call(&w.fake, "set", "{\"etcd\": false}");
	put_service(&w.fake, "a", "10.0.0.1");
	open_source(&w, NULL);
	uint64_t start = fl_clock_ns();
	sync_world(&w);
	assert_in_range((fl_clock_ns() - start) / FL_MS, 3000, 9000);
	expect(&w, "a", "10.0.0.1");
	close_world(&w);
}

/* etcd came back from a backup: its versions are older than ours. */
static void test_restored(void **state)
{
	(void)state;
	struct world w;
	open_world(&w, NULL);
	sync_world(&w);
	call(&w.fake, "restore", "[50]");
	call(&w.fake, "drop", "[]");
	call(&w.fake, "delete", "[\"services\", \"b\", \"d\"]");
	expect(&w, "b", NULL);
	put_service(&w.fake, "a", "10.0.0.7");
	expect(&w, "a", "10.0.0.7");
	close_world(&w);
}

static bool heard_nothing(struct world *w, const void *a)
{
	assert_true(has_ip(w, a));
	return strstr(logged, "[WARNING] plugin/kubernetes: Nothing heard of *v1.Service for ");
}

static bool asked_again(struct world *w, const void *arg) { (void)arg; return asked(&w->fake, "watchlist") > 1; }

/* A watch that says nothing at all, no bookmark either, is asked again. */
static void test_silence(void **state)
{
	(void)state;
	struct world w;
	open_world(&w, NULL);
	call(&w.fake, "set", "{\"bookmark_every\": 100000}");
	sync_world(&w);
	assert_true(run_until(&w, heard_nothing, (const char *[]){ "a", "10.0.0.1" }, 125 * FL_SEC, FL_SEC));
	assert_true(run_until(&w, asked_again, NULL, FL_SEC, FL_MS));
	assert_int_equal(asked(&w.fake, "watchlist"), 2);
	close_world(&w);
}

static void test_large(void **state)
{
	(void)state;
	struct world w;
	open_world(&w, NULL);
	sync_world(&w);
	static char args[12 << 20];
	for (int mb = 1; mb <= 9; mb += 8) {
		size_t n = (size_t)snprintf(args, sizeof args,
			"[\"services\", {\"metadata\": {\"namespace\": \"d\", \"name\": \"large\", \"annotations\": {\"x\": \"");
		memset(args + n, 'x', (size_t)mb << 20);
		n += (size_t)mb << 20;
		strcpy(args + n,
			"\"}}, \"spec\": {\"type\": \"ClusterIP\", \"clusterIP\": \"10.0.9.9\", \"clusterIPs\": [\"10.0.9.9\"]}}]");
		call(&w.fake, "put", args);
		put_service(&w.fake, "a", mb == 1 ? "10.0.3.1" : "10.0.3.2");
		if (mb == 1) {
			expect(&w, "large", "10.0.9.9");
			expect(&w, "a", "10.0.3.1");
			assert_string_equal(logged, "");
		}
	}
	put_service(&w.fake, "z", "10.0.3.2");  /* it stands in the way of this one */
	const char *not[] = { "z", "10.0.3.2" };
	assert_true(never(&w, has_ip, not, 2 * FL_SEC, 10 * FL_MS));
	assert_non_null(strstr(logged, "an object is larger than 8 MiB"));
	assert_int_equal(fl_store_count(w.store, FL_KIND_SERVICE), 3);
	call(&w.fake, "delete", "[\"services\", \"large\", \"d\"]");
	expect(&w, "z", "10.0.3.2");
	expect(&w, "large", NULL);
	close_world(&w);
}

/* ---- TLS and who we are ---- */

static void test_token(void **state)
{
	(void)state;
	struct world w;
	char more[128], text[1024], path[128];
	snprintf(more, sizeof more, "--tls %s/pki --token first", dir);
	spawn(&w.fake, more);
	put_service(&w.fake, "a", "10.0.0.1");
	write_in(dir, "token", "first\n");
	snprintf(text, sizeof text, "clusters: [{name: k, cluster: {server: '%s', certificate-authority: pki/ca.crt}}]\n"
		"users: [{name: u, user: {tokenFile: token}}]\ncontexts: [{name: c, context: {cluster: k, user: "
			"u}}]\ncurrent-context: c\n", w.fake.url);
	write_in(dir, "kubeconfig", text);
	snprintf(path, sizeof path, "%s/kubeconfig", dir);
	struct fl_source_config cfg = { .kubeconfig = fl_str(path) };
	open_source(&w, &cfg);
	sync_world(&w);
	/* The server takes only another one now; the file follows a little later. */
	call(&w.fake, "set", "{\"token\": \"second\"}");
	call(&w.fake, "drop", "[]");
	put_service(&w.fake, "a", "10.0.0.5");
	const char *not[] = { "a", "10.0.0.5" };
	assert_true(never(&w, has_ip, not, 3 * FL_SEC, 10 * FL_MS));
	assert_non_null(strstr(logged, "failed to list *v1.Service: Unauthorized type="));
	write_in(dir, "token", "second");
	expect(&w, "a", "10.0.0.5");
	close_world(&w);
}

static void test_client_certificate(void **state)
{
	(void)state;
	struct world w;
	char more[128], ca[128], other[128], cert[128], key[128];
	snprintf(more, sizeof more, "--tls %s/pki --token unknown", dir);
	snprintf(ca, sizeof ca, "%s/pki/ca.crt", dir);
	snprintf(other, sizeof other, "%s/pki/other.crt", dir);
	snprintf(cert, sizeof cert, "%s/pki/client.crt", dir);
	snprintf(key, sizeof key, "%s/pki/client.key", dir);
	spawn(&w.fake, more);
	put_service(&w.fake, "a", "10.0.0.1");
	struct fl_source_config cfg = { .endpoint = fl_str(w.fake.url), .tls_cert = fl_str(cert), .tls_key = fl_str(key),
		.tls_ca = fl_str(ca) };
	open_source(&w, &cfg);
	sync_world(&w);
	close_source(&w);
	cfg.tls_ca = fl_str(other);
	open_source(&w, &cfg);
	assert_true(never(&w, is_synced, NULL, FL_SEC, 10 * FL_MS));
	assert_non_null(strstr(logged, "tls: failed to verify certificate: x509: certificate signed by unknown authority"));
	close_world(&w);
}

/* ---- what it counts ---- */

static void test_metrics(void **state)
{
	(void)state;
	struct world w;
	char want[256];
	spawn(&w.fake, "");
	call(&w.fake, "set", "{\"watchlist\": false}");
	open_source(&w, NULL);
	sync_world(&w);
	const char *page = exposed(NULL);
	const char *host = w.fake.url + 7;
	snprintf(want, sizeof want, "coredns_kubernetes_rest_client_requests_total{code=\"422\",host=\"%s\",method=\"GET\"} 3\n",
		host);
	assert_non_null(strstr(page, want));
	snprintf(want, sizeof want, "coredns_kubernetes_rest_client_request_duration_seconds_count{host=\"%s\",verb=\"GET\"} 3\n",
		host);
	assert_non_null(strstr(page, want));
	close_world(&w);
}

static int begin(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/fl-api-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	char cmd[128];
	snprintf(cmd, sizeof cmd, "rm -r %s", dir);
	return system(cmd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_watchlist), cmocka_unit_test(test_json), cmocka_unit_test(test_list),
			cmocka_unit_test(test_pages),
		cmocka_unit_test(test_selector), cmocka_unit_test(test_no_watchlist), cmocka_unit_test(test_timeout),
			cmocka_unit_test(test_other_kinds), cmocka_unit_test(test_relist),
			cmocka_unit_test(test_recorded),
		cmocka_unit_test(test_outage), cmocka_unit_test(test_faults), cmocka_unit_test(test_flapping),
			cmocka_unit_test(test_retry_after), cmocka_unit_test(test_dead_etcd),
		cmocka_unit_test(test_restored), cmocka_unit_test(test_silence), cmocka_unit_test(test_large),
			cmocka_unit_test(test_token),
		cmocka_unit_test(test_client_certificate), cmocka_unit_test(test_metrics),
	};
	if (!have_python()) {
		puts("1..0 # SKIP the fake API server needs python3");
		return 0;
	}
	return cmocka_run_group_tests(tests, begin, end);
}

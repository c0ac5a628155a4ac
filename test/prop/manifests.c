/* Random changes in a folder of manifests: what the store holds is always what a source would read that has just been started on
 * the last good state of each file, and what a subscriber heard adds up to it. */
#include "../unit/files.h"
#include "base/clock.h"
#include "base/log.h"
#include "seed.h"
#include "kube/source.h"
#include <stdlib.h>
#include <sys/stat.h>

enum { FILES = 4, STEPS = 400, TEXT = 1 << 16 };

struct world {
	char dir[64];
	struct fl_loop *loop;
	struct fl_store *store;
	struct fl_source *source;
	struct fl_subscriber sub;
	uint64_t heard;                 /* sum of the digests of all objects that are there, as told */
};

static void quiet(void *arg, const char *line, size_t n) { (void)arg, (void)line, (void)n; }

/* ---- what an object says ---- */

static uint64_t mix(uint64_t h, const void *p, size_t n) { return fl_hash(p, n) ^ (h * 0x9e3779b97f4a7c15ull); }
static uint64_t mix_str(uint64_t h, struct fl_str s) { return mix(h, s.p, s.n); }

static uint64_t digest(const struct fl_object *o)
{
	uint64_t h = mix_str(mix_str(o->kind + 1, o->ns), o->name);
	if (o->kind == FL_KIND_SERVICE) {
		const struct fl_service *s = (const struct fl_service *)o;
		for (unsigned i = 0; i < s->nip; i++)
			h = mix(h, s->ip[i].b, s->ip[i].len);
		for (unsigned i = 0; i < s->nport; i++)
			h = mix_str(h, s->port[i].name) + (uint64_t)s->port[i].port;
		h += s->headless;
	} else if (o->kind == FL_KIND_SLICE) {
		const struct fl_slice *s = (const struct fl_slice *)o;
		h = mix(mix_str(h, s->service), s->addr, s->nep * s->alen);
		for (unsigned i = 0; i < s->nep; i++)
			h = mix_str(h, fl_slice_text(s, s->ep[i].hostname)) + s->ep[i].flags;
	} else if (o->kind == FL_KIND_POD) {
		h = mix(h, ((const struct fl_pod *)o)->ip, ((const struct fl_pod *)o)->nip * sizeof(struct fl_ip));
	}
	return h;
}

static void changed(struct fl_subscriber *sub, enum fl_kind kind, const struct fl_object *old, const struct fl_object *now)
{
	struct world *w = (struct world *)((char *)sub - offsetof(struct world, sub));
	(void)kind;
	w->heard += (now ? digest(now) : 0) - (old ? digest(old) : 0);
}

static void add(void *arg, const struct fl_object *o) { *(uint64_t *)arg += digest(o); }

static uint64_t sum(const struct fl_store *s)
{
	uint64_t all = 0;
	for (int k = 0; k < FL_KINDS; k++)
		fl_store_each(s, (enum fl_kind)k, add, &all);
	return all;
}

/* ---- what may stand in a file ---- */

/* file: part of the names, so that they differ between files; 0: they do not. */
static size_t object(struct fl_rng *r, unsigned file, char *to, size_t cap)
{
	unsigned name = 10 * file + fl_rng_below(r, 3), v = fl_rng_below(r, 3);
	switch (fl_rng_below(r, 6)) {
	case 0:
		return (size_t)snprintf(to, cap,
					"kind: Service\nmetadata: {name: s%u, namespace: ns%u}\nspec: {clusterIP: 10.96.0.%u}\n",
					name, name % 2, v);
	case 1:
	case 2:
		return (size_t)snprintf(to, cap,
					"kind: Service\nmetadata: {name: s%u, namespace: ns%u}\nspec: {clusterIP: None, "
					"selector: {app: a%u}, ports: [{name: p, port: %u, targetPort: web}]}\n",
					name, name % 2, v % 2, 80 + v);
	case 3:
		return (size_t)snprintf(
		    to, cap,
		    "kind: EndpointSlice\nmetadata: {name: e%u, namespace: ns%u, labels: {kubernetes.io/service-name: s%u}}\n"
		    "addressType: IPv4\nendpoints: [{addresses: [10.1.0.%u], hostname: h%u}]\n",
		    name, name % 2, name, v, v);
	case 4:
		return (size_t)snprintf(
		    to, cap,
		    "kind: Pod\nmetadata: {name: p%u, namespace: ns%u, labels: {app: a%u}}\nspec: {nodeName: n%u, containers: "
		    "[{ports: [{name: web, containerPort: %u}]}]}\nstatus: {podIP: 10.2.0.%u, conditions: [{type: Ready, status: "
		    "'%s'}]}\n",
		    name, fl_rng_below(r, 2), fl_rng_below(r, 2), v, 8000 + v, v, v ? "True" : "False");
	default:
		return fl_rng_below(r, 4) ? (size_t)snprintf(to, cap, "kind: Namespace\nmetadata: {name: ns%u}\n", v)
					  : (size_t)snprintf(to, cap, "kind: Node\nmetadata: {name: n%u}\n", v);
	}
}

static void text_of(struct fl_rng *r, unsigned file, char *to)
{
	size_t n = 0;
	to[0] = 0;
	for (uint32_t i = fl_rng_below(r, 7); i; i--) {
		n += (size_t)snprintf(to + n, TEXT - n, "---\n");
		n += object(r, file, to + n, TEXT - n);
	}
}

static void put_file(const char *dir, unsigned i, const char *text, bool by_rename)
{
	char path[128], tmp[136];
	snprintf(path, sizeof path, "%s/f%u.yaml", dir, i);
	snprintf(tmp, sizeof tmp, "%s.tmp", path);
	write_file(by_rename ? tmp : path, text);
	if (by_rename)
		assert_int_equal(rename(tmp, path), 0);
}

static void remove_file(const char *dir, unsigned i)
{
	char path[128];
	snprintf(path, sizeof path, "%s/f%u.yaml", dir, i);
	unlink(path);
}

/* ---- worlds ---- */

static void start(struct world *w)
{
	struct fl_store_wants wants = {
	    .kind = {[FL_KIND_NAMESPACE] = true, [FL_KIND_SERVICE] = true, [FL_KIND_SLICE] = true, [FL_KIND_POD] = true}};
	struct fl_source_config cfg = { .manifests = fl_str(w->dir) };
	struct fl_err e = { "" };
	w->loop = fl_loop_create();
	w->store = fl_store_create(&wants);
	w->sub = (struct fl_subscriber){ .changed = changed };
	w->heard = 0;
	fl_store_subscribe(w->store, &w->sub);
	w->source = fl_source_create(w->store, w->loop, &cfg, &e);
	assert_non_null(w->source);
	fl_loop_advance(w->loop, FL_MS);
	fl_loop_run_until_idle(w->loop);
}

static void stop(struct world *w)
{
	fl_source_destroy(w->source);
	fl_store_destroy(w->store);
	fl_loop_destroy(w->loop);
}

static void change(struct fl_rng *r, struct world *w, const char *good, bool twice)
{
	static char text[TEXT];
	unsigned i = fl_rng_below(r, FILES), what = fl_rng_below(r, 10);
	if (what < 2) {
		remove_file(w->dir, i);
		remove_file(good, i);
	} else if (what < 3 && !twice) {
		put_file(w->dir, i, "kind: Service\nmetadata: {name: broken}\n---\nkind: [\n", fl_rng_below(r, 2));
	} else {
		text_of(r, twice ? 0 : i + 1, text);
		put_file(w->dir, i, text, fl_rng_below(r, 2));
		put_file(good, i, text, false);
	}
}

/* twice: the same names in several files, none of which breaks (what a broken file said of a name that another took is lost). */
static void run(bool twice)
{
	struct fl_rng r;
	struct world w, fresh;
	char home[] = "/tmp/fl-prop.XXXXXX";    /* the folder above is watched too: nobody else writes in this one */
	seed_of(&r);
	assert_non_null(mkdtemp(home));
	snprintf(w.dir, sizeof w.dir, "%s/all", home);
	snprintf(fresh.dir, sizeof fresh.dir, "%s/good", home);
	assert_int_equal(mkdir(w.dir, 0700) | mkdir(fresh.dir, 0700), 0);
	fl_clock_virtual(1000 * FL_SEC);
	fl_log_capture(quiet, NULL);
	start(&w);
	for (int step = 0; step < STEPS; step++) {
		for (uint32_t n = 1 + fl_rng_below(&r, 3); n; n--) {
			change(&r, &w, fresh.dir, twice);
			fl_loop_run_until_idle(w.loop);
			/* Seen at once: a good state that nobody saw before the file broke could not be kept. */
			fl_loop_advance(w.loop, 60 * FL_MS);
			fl_loop_run_until_idle(w.loop);
		}
		start(&fresh);
		if (sum(w.store) != sum(fresh.store) || w.heard != sum(w.store))
			fail_msg("step %d: the store differs from a fresh one: %zu and %zu services, %zu and %zu slices, %zu and "
				 "%zu pods",
				 step, fl_store_count(w.store, FL_KIND_SERVICE), fl_store_count(fresh.store, FL_KIND_SERVICE),
				 fl_store_count(w.store, FL_KIND_SLICE), fl_store_count(fresh.store, FL_KIND_SLICE),
				 fl_store_count(w.store, FL_KIND_POD), fl_store_count(fresh.store, FL_KIND_POD));
		stop(&fresh);
	}
	stop(&w);
	for (unsigned i = 0; i < FILES; i++) {
		remove_file(w.dir, i);
		remove_file(fresh.dir, i);
	}
	rmdir(w.dir);
	rmdir(fresh.dir);
	rmdir(home);
	fl_log_capture(NULL, NULL);
	fl_clock_virtual(0);
}

static void test_twice(void **state)
{
	(void)state;
	need_inotify();
	run(true);
}

static void test_broken(void **state)
{
	(void)state;
	need_inotify();
	run(false);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_twice), cmocka_unit_test(test_broken) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

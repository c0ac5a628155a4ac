/* Random puts, removals and lists against a naive model; what the subscriber was told replays to the same state. Sizes at scale. */
#include "seed.h"
#include "store/store.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

enum { NAMES = 40, STEPS = 20000 };

/* What a service or slice is in the model: 0 absent, else a version that decides its content. */
struct model { int service[NAMES], slice[NAMES]; };
struct watcher { struct fl_subscriber sub; int service[NAMES], slice[NAMES]; unsigned deltas, synced; };

static unsigned index_of(struct fl_str name)
{
	int64_t n = -1;
	fl_parse_int((struct fl_str){ name.p + 1, name.n - 1 }, 0, NAMES - 1, &n);
	return (unsigned)n;
}

/* The version is readable from the object itself. */
static int version_of(enum fl_kind kind, const struct fl_object *o)
{
	if (!o)
		return 0;
	if (kind == FL_KIND_SERVICE) {
		const struct fl_service *s = (const struct fl_service *)o;
		assert_int_equal(s->nip, 1);
		assert_int_equal(s->nport, 1);
		return s->ip[0].b[3];
	}
	const struct fl_slice *s = (const struct fl_slice *)o;
	int v = (int)s->nep;
	for (unsigned i = 0; i < s->nep; i++) {
		char want[16];
		snprintf(want, sizeof want, "host-%u", i);
		assert_int_equal(s->addr[4 * i + 3], i);
		assert_string_equal(fl_slice_text(s, s->ep[i].hostname).p, i % 2 ? want : "");
	}
	return v;
}

static void changed(struct fl_subscriber *sub, enum fl_kind kind, const struct fl_object *old, const struct fl_object *now)
{
	struct watcher *w = (struct watcher *)sub;
	int *at = (kind == FL_KIND_SERVICE ? w->service : w->slice) + index_of((now ? now : old)->name);
	assert_int_equal(*at, version_of(kind, old));
	*at = version_of(kind, now);
	w->deltas++;
}

static void synced(struct fl_subscriber *sub) { ((struct watcher *)sub)->synced++; }

static void put_service(struct fl_store *s, unsigned i, int version)
{
	char name[16], ip[32];
	snprintf(name, sizeof name, "s%u", i);
	snprintf(ip, sizeof ip, "10.0.0.%d", version);
	struct fl_str ips[] = { fl_str(ip) };
	struct fl_port_in port = { .name = FL_STR("http"), .port = 80 };
	struct fl_service_in in = { .meta = { FL_STR("ns"), fl_str(name), FL_STR("u"), FL_STR("7") }, .type = FL_STR("ClusterIP"),
				    .cluster_ip = ips, .ncluster_ip = 1, .port = &port, .nport = 1 };
	assert_int_equal(fl_store_put_service(s, &in, NULL), 0);
}

static void put_slice(struct fl_store *s, unsigned i, int version)
{
	char name[16], text[16][32], host[16][16];
	struct fl_str addr[16];
	struct fl_endpoint_in ep[16];
	snprintf(name, sizeof name, "s%u", i);
	for (int k = 0; k < version; k++) {
		snprintf(text[k], sizeof text[k], "10.1.0.%d", k);
		snprintf(host[k], sizeof host[k], "host-%d", k);
		addr[k] = fl_str(text[k]);
		ep[k] = (struct fl_endpoint_in){ .address = &addr[k],
						.naddress = 1,
						.hostname = k % 2 ? fl_str(host[k]) : FL_STR(""),
						.pod = FL_STR("not-wanted"),
						.flags = FL_EP_READY };
	}
	struct fl_slice_in in = { .meta = { FL_STR("ns"), fl_str(name), FL_STR("u"), FL_STR("9") }, .service = fl_str(name),
				  .address_type = FL_STR("IPv4"), .ep = ep, .nep = (unsigned)version };
	assert_int_equal(fl_store_put_slice(s, FL_KIND_SLICE, &in, NULL), 0);
}

static void drop(struct fl_store *s, enum fl_kind kind, unsigned i)
{
	char name[16];
	snprintf(name, sizeof name, "s%u", i);
	fl_store_remove(s, kind, FL_STR("ns"), fl_str(name));
}

/* A list that names each object of the model, but drops some on the way, and may break off. */
static void list(struct fl_store *s, struct model *m, struct fl_rng *r)
{
	bool breaks = fl_rng_below(r, 4) == 0;
	fl_store_list_begin(s, FL_KIND_SERVICE);
	for (unsigned i = 0; i < NAMES; i++) {
		if (breaks && i == NAMES / 2) {
			fl_store_list_abort(s, FL_KIND_SERVICE);
			return;
		}
		if (m->service[i] && fl_rng_below(r, 10) == 0 && !breaks)
			m->service[i] = 0;
		if (m->service[i])
			put_service(s, i, m->service[i]);
	}
	fl_store_list_end(s, FL_KIND_SERVICE);
}

static void test_model(void **state)
{
	(void)state;
	struct fl_rng r;
	seed_of(&r);
	struct fl_store_wants wants = { .kind = { [FL_KIND_SERVICE] = true, [FL_KIND_SLICE] = true } };
	struct fl_store *s = fl_store_create(&wants);
	struct model m = { 0 };
	struct watcher w = { .sub = { .changed = changed, .synced = synced } };
	fl_store_subscribe(s, &w.sub);
	for (int step = 0; step < STEPS; step++) {
		unsigned i = fl_rng_below(&r, NAMES), what = fl_rng_below(&r, 100);
		if (what < 40) {
			m.service[i] = 1 + (int)fl_rng_below(&r, 3);
			put_service(s, i, m.service[i]);
		} else if (what < 70) {
			m.slice[i] = 1 + (int)fl_rng_below(&r, 15);
			put_slice(s, i, m.slice[i]);
		} else if (what < 85) {
			m.service[i] = 0;
			drop(s, FL_KIND_SERVICE, i);
		} else if (what < 98) {
			m.slice[i] = 0;
			drop(s, FL_KIND_SLICE, i);
		} else {
			list(s, &m, &r);
		}
		fl_store_flush(s);
	}
	fl_store_list_begin(s, FL_KIND_SERVICE);
	for (unsigned i = 0; i < NAMES; i++)
		if (m.service[i])
			put_service(s, i, m.service[i]);
	fl_store_list_end(s, FL_KIND_SERVICE);
	assert_false(fl_store_synced(s));
	fl_store_list_begin(s, FL_KIND_SLICE);
	for (unsigned i = 0; i < NAMES; i++)
		if (m.slice[i])
			put_slice(s, i, m.slice[i]);
	fl_store_list_end(s, FL_KIND_SLICE);
	assert_true(fl_store_synced(s));
	assert_int_equal(w.synced, 1);
	assert_memory_equal(w.service, m.service, sizeof m.service);
	assert_memory_equal(w.slice, m.slice, sizeof m.slice);
	struct watcher late = { .sub = { .changed = changed } };
	fl_store_subscribe(s, &late.sub);
	assert_memory_equal(late.service, m.service, sizeof m.service);
	assert_memory_equal(late.slice, m.slice, sizeof m.slice);
	fl_store_unsubscribe(s, &w.sub);
	fl_store_destroy(s);
}

/* A relist of what is there tells nobody anything. */
static void test_unchanged(void **state)
{
	(void)state;
	struct fl_store_wants wants = { .kind = { [FL_KIND_SERVICE] = true } };
	struct fl_store *s = fl_store_create(&wants);
	struct watcher w = { .sub = { .changed = changed } };
	fl_store_subscribe(s, &w.sub);
	for (int round = 0; round < 3; round++) {
		fl_store_list_begin(s, FL_KIND_SERVICE);
		for (unsigned i = 0; i < NAMES; i++)
			put_service(s, i, 5);
		fl_store_list_end(s, FL_KIND_SERVICE);
	}
	assert_int_equal(w.deltas, NAMES);
	fl_store_destroy(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_model), cmocka_unit_test(test_unchanged) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

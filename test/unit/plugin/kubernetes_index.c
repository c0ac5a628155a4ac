/* The index under fire: one thread changes services, slices and namespaces, two others ask without a lock. What they get is always
 * one of the states that were published: an address of the service that was asked for, a set whose length fits its count. At the
 * end the index says what a naive search of the store says. Runs under ASan and TSan too. */
#include "base/rng.h"
#include "plugin/kubernetes/index.h"
#include "store/cluster.h"
#include "store/store.h"
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

enum { SERVICES = 64, STEPS = 4000, READERS = 2, EPS = 40 };
enum { BAD_NODE = 1, BAD_SLICES = 2, BAD_VIP = 4 };    /* what a reader saw that cannot be */

static struct fl_store *store;
static struct fl_k8s_index *idx;
static bool over;
static struct { int version; unsigned neps, generation; } model[SERVICES];       /* version 0: no service; neps 0: no slice */

static struct fl_str name_of(char *to, unsigned i) { return (struct fl_str){ to, (size_t)snprintf(to, 16, "svc-%u", i) }; }

/* Even ones are headless. Cluster IP: 10.i.0.version; endpoints: 172.i.generation.slot. */
static void put_service(unsigned i, int version)
{
	char name[16], ip[32];
	snprintf(ip, sizeof ip, "10.%u.0.%d", i, version);
	struct fl_str ips[] = { i % 2 ? fl_str(ip) : FL_STR("None") };
	struct fl_port_in port = { .name = version % 2 ? FL_STR("http") : FL_STR("web"), .port = 80 };
	struct fl_service_in in = {
	    .meta = {.ns = FL_STR("ns"), .name = name_of(name, i)}, .cluster_ip = ips, .ncluster_ip = 1, .port = &port, .nport = 1};
	fl_store_put_service(store, &in, NULL);
}

static void put_slice(unsigned i, unsigned neps, unsigned generation)
{
	char name[16], text[EPS][32];
	struct fl_str addr[EPS];
	struct fl_endpoint_in ep[EPS];
	for (unsigned k = 0; k < neps; k++) {
		snprintf(text[k], sizeof text[k], "172.%u.%u.%u", i, generation, k);
		addr[k] = fl_str(text[k]);
		ep[k] = (struct fl_endpoint_in){ .address = &addr[k], .naddress = 1, .flags = k % 7 == 6 ? 0 : FL_EP_READY };
	}
	struct fl_slice_in in = { .meta = { .ns = FL_STR("ns"), .name = name_of(name, i) }, .service = name_of(name, i),
				  .address_type = FL_STR("IPv4"), .ep = ep, .nep = neps };
	fl_store_put_slice(store, FL_KIND_SLICE, &in, NULL);
}

static const struct fl_k8s_node *find(const char *ns, unsigned i)
{
	char key[32], name[16];
	struct fl_str s = name_of(name, i);
	int n = snprintf(key, sizeof key, "%c%s%c%s", (char)s.n, s.p, (char)strlen(ns), ns);
	return fl_k8s_node(idx, false, (const uint8_t *)key, (unsigned)n);
}

/* Slices that say they have this address and have it. */
static unsigned count_slices(const uint8_t ip[4])
{
	struct fl_ip want = { .len = 4 };
	unsigned n = 0;
	memcpy(want.b, ip, 4);
	struct fl_k8s_probe p = fl_k8s_slices(idx, &want);
	for (const struct fl_slice *s; (s = fl_k8s_slice_next(&p, &want)); n++)
		assert_true(s->nep <= EPS);
	return n;
}

static const struct fl_service *vip_of(unsigned i, unsigned version)
{
	struct fl_ip ip = { { 10, (uint8_t)i, 0, (uint8_t)version }, 4 };
	return fl_k8s_vip(idx, &ip);
}

/* One look at a service; false: what stands there cannot be. */
static bool look(unsigned i)
{
	char name[16];
	const struct fl_k8s_node *n = find("NS", i);
	if (!n)
		return true;
	bool good = n->a.len == n->a.count * 14u && n->key[0] == name_of(name, i).n && !memcmp(n->key + 1, name, n->key[0]);
	for (unsigned k = 0; k < n->a.count; k++)
		good &= n->a.data[k * 14 + 10] == (i % 2 ? 10 : 172) && n->a.data[k * 14 + 11] == i;
	for (unsigned k = 0; k < n->nslice; k++)
		good &= fl_str_ieq(n->slice[k]->service, name_of(name, i));
	return good && __atomic_load_n(&n->ns->exposed, __ATOMIC_ACQUIRE) && (!n->svc || n->svc->headless == (i % 2 == 0));
}

static void *reader(void *arg)
{
	struct fl_rng r;
	uintptr_t bad = 0;
	fl_rng_init(&r, (uint64_t)(uintptr_t)arg | 1);
	fl_rcu_register();
	while (!__atomic_load_n(&over, __ATOMIC_RELAXED)) {
		unsigned i = fl_rng_below(&r, SERVICES);
		uint8_t ip[4] = { 172, (uint8_t)i, (uint8_t)fl_rng_below(&r, 4), (uint8_t)fl_rng_below(&r, EPS) };
		const struct fl_service *v = vip_of(i, 1);
		if (!look(i))
			bad |= BAD_NODE;
		if (count_slices(ip) > 1)
			bad |= BAD_SLICES;
		if (v && (v->headless || v->nip != 1))
			bad |= BAD_VIP;
		fl_rcu_quiescent();
	}
	fl_rcu_unregister();
	return (void *)bad;
}

static void step(struct fl_rng *r)
{
	unsigned i = fl_rng_below(r, SERVICES), what = fl_rng_below(r, 10);
	char name[16];
	if (what < 4) {
		model[i].version = 1 + (int)fl_rng_below(r, 3);
		put_service(i, model[i].version);
	} else if (what < 8) {
		model[i].neps = 1 + fl_rng_below(r, EPS - 1);
		model[i].generation = fl_rng_below(r, 4);
		put_slice(i, model[i].neps, model[i].generation);
	} else if (what == 8) {
		model[i].version = 0;
		fl_store_remove(store, FL_KIND_SERVICE, FL_STR("ns"), name_of(name, i));
	} else {
		model[i].neps = 0;
		fl_store_remove(store, FL_KIND_SLICE, FL_STR("ns"), name_of(name, i));
	}
	fl_store_flush(store);
}

static void check_model(unsigned i)
{
	unsigned ready = model[i].neps - model[i].neps / 7;
	const struct fl_k8s_node *n = find("ns", i);
	assert_int_equal(n != NULL, model[i].version || model[i].neps);
	if (n) {
		assert_int_equal(n->svc != NULL, model[i].version != 0);
		assert_int_equal(n->ready, ready > 0);
		assert_int_equal(n->a.count, !n->svc ? 0 : i % 2 ? 1 : ready);
	}
	for (unsigned g = 0; g < 4; g++)
		for (unsigned k = 0; k < EPS; k++) {
			uint8_t ip[4] = { 172, (uint8_t)i, (uint8_t)g, (uint8_t)k };
			assert_int_equal(count_slices(ip), g == model[i].generation && k < model[i].neps && k % 7 != 6);
		}
	for (int v = 1; v <= 3; v++) {
		assert_int_equal(vip_of(i, (unsigned)v) != NULL, i % 2 && model[i].version == v);
	}
}

/* A search that was held up: the slice it met goes and comes back before it goes on. It is not met twice. */
static void test_back_again(void **state)
{
	(void)state;
	struct fl_store_wants wants = { .kind = { [FL_KIND_SERVICE] = true, [FL_KIND_SLICE] = true, [FL_KIND_NAMESPACE] = true } };
	struct fl_ip ip = { { 172, 1, 2, 0 }, 4 };
	store = fl_store_create(&wants);
	idx = fl_k8s_index_create(store, &(struct fl_k8s_how){ .ttl = 30, .reverse = true });
	for (unsigned round = 0; round < 50; round++) {
		put_slice(1, 1, 2);
		struct fl_k8s_probe p = fl_k8s_slices(idx, &ip);
		assert_non_null(fl_k8s_slice_next(&p, &ip));
		put_slice(1, 1, 3);
		assert_int_equal(count_slices(ip.b), 0);
		put_slice(1, 2, 2);
		assert_null(fl_k8s_slice_next(&p, &ip));
		assert_int_equal(count_slices(ip.b), 1);
		fl_store_flush(store);
	}
	fl_k8s_index_destroy(idx);
	fl_store_destroy(store);
}

static void count_node(void *arg, const struct fl_k8s_node *n) { *(unsigned *)arg += n->svc != NULL; }

/* A piece at a time meets each once, whatever the pieces' size; an index that grew in between is told. */
static void test_scan(void **state)
{
	(void)state;
	struct fl_store_wants wants = { .kind = { [FL_KIND_SERVICE] = true, [FL_KIND_SLICE] = true, [FL_KIND_NAMESPACE] = true } };
	struct fl_meta_in ns = { .name = FL_STR("ns") };
	struct fl_cluster_scan at = { 0 };
	unsigned n = 0;
	int ret;
	store = fl_store_create(&wants);
	idx = fl_k8s_index_create(store, &(struct fl_k8s_how){ .ttl = 30, .reverse = true });
	assert_int_equal(fl_k8s_scan_nodes(idx, &at, 100, count_node, &n), 0);
	fl_store_put_namespace(store, &ns);
	for (unsigned i = 0; i < 20; i++)
		put_service(i, 1);
	fl_store_flush(store);
	for (uint32_t piece = 1; piece < 200; piece = piece * 3 + 1) {
		memset(&at, 0, sizeof at);
		n = 0;
		while ((ret = fl_k8s_scan_nodes(idx, &at, piece, count_node, &n)) == 1)
			;
		assert_int_equal(ret, 0);
		assert_int_equal(n, 20);
	}
	memset(&at, 0, sizeof at);
	assert_int_equal(fl_k8s_scan_nodes(idx, &at, 1, count_node, &n), 1);
	for (unsigned i = 20; i < 250; i++)
		put_service(i, 1);
	fl_store_flush(store);
	assert_int_equal(fl_k8s_scan_nodes(idx, &at, 1, count_node, &n), -ESTALE);
	fl_k8s_index_destroy(idx);
	fl_store_destroy(store);
}

static void test_under_fire(void **state)
{
	(void)state;
	pthread_t t[READERS];
	struct fl_rng r;
	struct fl_store_wants wants = { .kind = { [FL_KIND_SERVICE] = true, [FL_KIND_SLICE] = true, [FL_KIND_NAMESPACE] = true } };
	fl_rng_init(&r, 0);
	print_message("# rng %016lx %016lx\n", r.s[0], r.s[1]);
	store = fl_store_create(&wants);
	idx = fl_k8s_index_create(store, &(struct fl_k8s_how){ .ttl = 30, .reverse = true });
	struct fl_meta_in ns = { .name = FL_STR("ns") };
	fl_store_put_namespace(store, &ns);
	for (uintptr_t i = 0; i < READERS; i++)
		pthread_create(&t[i], NULL, reader, (void *)(i + 7));
	for (int i = 0; i < STEPS; i++)
		step(&r);
	fl_store_reclaim(store);
	__atomic_store_n(&over, true, __ATOMIC_RELAXED);
	for (int i = 0; i < READERS; i++) {
		void *bad;
		pthread_join(t[i], &bad);
		assert_int_equal((uintptr_t)bad, 0);
	}
	for (unsigned i = 0; i < SERVICES; i++)
		check_model(i);
	assert_true(fl_k8s_exposed(idx, FL_STR("NS")));
	assert_false(fl_k8s_exposed(idx, FL_STR("other")));
	assert_true(fl_k8s_serial(idx, false) > 0);
	fl_k8s_index_destroy(idx);
	fl_store_destroy(store);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_back_again), cmocka_unit_test(test_scan), cmocka_unit_test(test_under_fire) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

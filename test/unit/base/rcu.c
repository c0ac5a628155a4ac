#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>
#include "base/mem.h"
#include "base/rcu.h"

/* A pair whose halves agree as long as nobody frees it under a reader; ASan sees the rest. */
struct pair { uint64_t a, b; };
static struct pair *shared;
static int stop, running, violations;
enum { READERS = 3 };

static struct pair *make(uint64_t v)
{
	struct pair *p = fl_xalloc(sizeof *p);
	*p = (struct pair){ v, ~v };
	return p;
}

static void *reader(void *arg)
{
	uint64_t last = 0;
	(void)arg;
	fl_rcu_register();
	__atomic_fetch_add(&running, 1, __ATOMIC_RELAXED);
	for (unsigned i = 0; !__atomic_load_n(&stop, __ATOMIC_RELAXED); i++) {
		struct pair *p = fl_rcu_get(&shared);
		if (p->b != ~p->a || p->a < last)
			__atomic_fetch_add(&violations, 1, __ATOMIC_RELAXED);
		last = p->a;
		if (i % 64 == 0) {
			fl_rcu_offline();
			fl_rcu_online();
		} else if (i % 4 == 0) {
			fl_rcu_quiescent();
		}
	}
	fl_rcu_unregister();
	return NULL;
}

static void test_readers(void **state)
{
	(void)state;
	pthread_t t[READERS];
	struct fl_rcu_bin bin = { 0 };
	shared = make(1);
	for (int i = 0; i < READERS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, reader, NULL), 0);
	while (__atomic_load_n(&running, __ATOMIC_RELAXED) < READERS)
		;
	for (uint64_t v = 2; v < 300; v++) {
		struct pair *old = shared;
		fl_rcu_set(&shared, make(v));
		if (v % 3) {
			fl_rcu_free_later(&bin, old, sizeof *old);
			continue;
		}
		fl_rcu_synchronize();
		free(old);
		assert_true(bin.n == 0 || bin.bytes == bin.n * sizeof *old);
		if (v % 30 == 0)
			fl_rcu_reclaim(&bin);
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	for (int i = 0; i < READERS; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(violations, 0);
	fl_rcu_bin_finish(&bin);
	assert_null(bin.ptr);
	free(shared);
}

/* A grace period waits for a reader that is online, and not for one that is offline. */
static int phase;
static void *holder(void *arg)
{
	(void)arg;
	fl_rcu_register();
	fl_rcu_offline();
	__atomic_store_n(&phase, 1, __ATOMIC_RELEASE);
	while (__atomic_load_n(&phase, __ATOMIC_ACQUIRE) != 2)
		;
	fl_rcu_online();
	__atomic_store_n(&phase, 3, __ATOMIC_RELEASE);
	/* The writer is in synchronize, or about to be: it may not come back before this. */
	for (volatile int i = 0; i < 1000000; i++)
		;
	__atomic_store_n(&phase, 4, __ATOMIC_RELEASE);
	fl_rcu_quiescent();
	fl_rcu_unregister();
	return NULL;
}

static void test_grace(void **state)
{
	(void)state;
	pthread_t t;
	assert_int_equal(pthread_create(&t, NULL, holder, NULL), 0);
	while (__atomic_load_n(&phase, __ATOMIC_ACQUIRE) != 1)
		;
	fl_rcu_synchronize();                   /* would hang if it waited */
	__atomic_store_n(&phase, 2, __ATOMIC_RELEASE);
	while (__atomic_load_n(&phase, __ATOMIC_ACQUIRE) == 2)
		;
	fl_rcu_synchronize();
	assert_int_equal(__atomic_load_n(&phase, __ATOMIC_ACQUIRE), 4);
	pthread_join(t, NULL);
}

static void test_bin(void **state)
{
	(void)state;
	struct fl_rcu_bin bin = { 0 };
	fl_rcu_reclaim(&bin);
	fl_rcu_free_later(&bin, NULL, 5);
	assert_int_equal(bin.n, 0);
	for (int i = 0; i < 200; i++)
		fl_rcu_free_later(&bin, malloc(10), 10);
	assert_int_equal(bin.n, 200);
	assert_int_equal(bin.bytes, 2000);
	fl_rcu_reclaim(&bin);
	assert_int_equal(bin.n, 0);
	assert_int_equal(bin.bytes, 0);
	fl_rcu_free_later(&bin, malloc(10), 10);
	fl_rcu_bin_finish(&bin);
	fl_rcu_bin_finish(&bin);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_readers), cmocka_unit_test(test_grace), cmocka_unit_test(test_bin) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

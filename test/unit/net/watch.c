#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "net/watch.h"

static unsigned told, wakes;

static void on_change(void *arg)
{
	told++;
	fl_loop_stop(arg);
}

static void on_wake(void *arg)
{
	(void)arg;
	wakes++;
}

struct end { struct fl_timer t; struct fl_loop *l; };
static void at_end(struct fl_timer *t) { fl_loop_stop(((struct end *)t)->l); }

static void run_ms(struct fl_loop *l, unsigned ms)
{
	struct end e = { .t.fn = at_end, .l = l };
	fl_timer_set(l, &e.t, fl_loop_tick(l) + ms * FL_MS);
	fl_loop_run(l);
	fl_timer_clear(l, &e.t);
}

static void put(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

/* A change is told once; then the loop sleeps: what the watch itself does is no reason to look again. */
static void test_told_once(void **state)
{
	(void)state;
	char dir[] = "/tmp/fl-watch-XXXXXX", file[64], other[64];
	assert_non_null(mkdtemp(dir));
	snprintf(file, sizeof file, "%s/file", dir);
	snprintf(other, sizeof other, "%s/other", dir);
	put(file, "one");
	struct fl_loop *l = fl_loop_create();
	struct fl_watch *w = fl_watch_add(l, file, 10 * FL_MS, on_change, l);
	assert_non_null(w);
	for (unsigned i = 0; i < 3; i++) {
		told = 0;
		put(other, i & 1 ? "three" : "two and a half");
		assert_int_equal(rename(other, file), 0);
		run_ms(l, 5000);
		assert_int_equal(told, 1);
		fl_loop_hooks(l, NULL, on_wake, NULL, NULL);
		wakes = 0;
		run_ms(l, 200);
		fl_loop_hooks(l, NULL, NULL, NULL, NULL);
		assert_int_equal(told, 1);
		assert_in_range(wakes, 1, 3);
	}
	put(other, "not the file");             /* looked at, and found to be the same */
	told = 0;
	run_ms(l, 100);
	assert_int_equal(told, 0);
	unlink(other);
	fl_watch_del(w);
	unlink(file);
	rmdir(dir);
	fl_loop_destroy(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_told_once) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

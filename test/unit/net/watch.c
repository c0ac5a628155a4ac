#include "../files.h"
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include "base/clock.h"
#include "base/log.h"
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

/* A change is told once; then the loop sleeps: what the watch itself does is no reason to look again. */
static void test_told_once(void **state)
{
	(void)state;
	char dir[] = "/tmp/fl-watch-XXXXXX", file[64], other[64];
	assert_non_null(mkdtemp(dir));
	snprintf(file, sizeof file, "%s/file", dir);
	snprintf(other, sizeof other, "%s/other", dir);
	write_file(file, "one");
	struct fl_loop *l = fl_loop_create();
	struct fl_watch *w = fl_watch_add(l, file, 10 * FL_MS, on_change, l);
	assert_non_null(w);
	for (unsigned i = 0; i < 3; i++) {
		told = 0;
		write_file(other, i & 1 ? "three" : "two and a half");
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
	write_file(other, "not the file");             /* looked at, and found to be the same */
	told = 0;
	run_ms(l, 100);
	assert_int_equal(told, 0);
	unlink(other);
	fl_watch_del(w);
	unlink(file);
	rmdir(dir);
	fl_loop_destroy(l);
}

static void quiet(void *arg, const char *line, size_t n) { snprintf(arg, 256, "%.*s", (int)n, line); }

static void on_change_virtual(void *arg)
{
	(void)arg;
	told++;
}

/* Looks at the file until it is told of, for a minute at most. */
static unsigned told_in_a_minute(struct fl_loop *l)
{
	told = 0;
	for (int i = 0; i < 60 && !told; i++)
		fl_loop_advance(l, FL_SEC);
	fl_loop_advance(l, 10 * FL_SEC);
	return told;
}

/* The kernel has no inotify instance for us: the file is looked at. */
static void test_no_inotify(void **state)
{
	(void)state;
	char dir[] = "/tmp/fl-watch-XXXXXX", file[64], log[256] = "";
	struct rlimit old, none;
	assert_non_null(mkdtemp(dir));
	snprintf(file, sizeof file, "%s/file", dir);
	write_file(file, "one");
	fl_clock_virtual(1000 * FL_SEC);
	fl_log_capture(quiet, log);
	struct fl_loop *l = fl_loop_create();
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = old;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	struct fl_watch *w = fl_watch_add(l, file, 10 * FL_MS, on_change_virtual, l);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_non_null(strstr(log, "file: cannot be watched (Too many open files), looking every 2s\n"));
	for (int i = 0; i < 3; i++) {
		write_file(file, i & 1 ? "one" : "number two");
		assert_int_equal(told_in_a_minute(l), 1);
	}
	unlink(file);
	assert_int_equal(told_in_a_minute(l), 1);
	fl_watch_del(w);
	rmdir(dir);
	fl_loop_destroy(l);
	fl_log_capture(NULL, NULL);
	fl_clock_virtual(0);
}

/* Not even the folder is there yet: neither it nor the file in it is missed. */
static void test_no_folder(void **state)
{
	(void)state;
	char dir[] = "/tmp/fl-watch-XXXXXX", folder[64], file[80];
	assert_non_null(mkdtemp(dir));
	snprintf(folder, sizeof folder, "%s/folder", dir);
	snprintf(file, sizeof file, "%s/file", folder);
	fl_clock_virtual(1000 * FL_SEC);
	struct fl_loop *l = fl_loop_create();
	struct fl_watch *w = fl_watch_add(l, file, 10 * FL_MS, on_change_virtual, l);
	assert_non_null(w);
	assert_int_equal(told_in_a_minute(l), 0);
	assert_int_equal(mkdir(folder, 0700), 0);
	write_file(file, "one");
	assert_int_equal(told_in_a_minute(l), 1);
	write_file(file, "number two");        /* watched from now on */
	fl_loop_advance(l, 20 * FL_MS);
	assert_int_equal(told, 2);
	fl_watch_del(w);
	unlink(file);
	rmdir(folder);
	rmdir(dir);
	fl_loop_destroy(l);
	fl_clock_virtual(0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_told_once), cmocka_unit_test(test_no_inotify),
					    cmocka_unit_test(test_no_folder) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

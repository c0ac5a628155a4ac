/* The cache's file: what goes out comes in, and nothing that is damaged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/log.h"
#include "plugin/cache/cache_int.h"
#include "plugin/cache/persist.h"

static void quiet(void *arg, const char *line, size_t n) { (void)arg, (void)line, (void)n; }

static struct cache_slab *slab(void)
{
	return fl_cache_slab_create(&(struct cache_slab_how){ .cap = { 1024, 1024 } });
}

/* One address of a name, or a denial without records. */
static void add(struct cache_slab *s, const char *text, unsigned kind, uint32_t ttl)
{
	static struct fl_shard sh;
	static char memory[4096];
	struct fl_arena a;
	struct fl_client client = { 0 };
	uint8_t wire[FL_NAME_MAX], ip[4] = { 192, 0, 2, (uint8_t)ttl };
	unsigned gone[2];
	fl_arena_init(&a, memory, sizeof memory, NULL, 0);
	sh.now_ns = fl_clock_ns();
	struct fl_query q = { .arena = &a, .shard = &sh, .client = &client, .qname = { wire, (uint8_t)fl_name_parse(wire, fl_str(text)) },
			      .qtype = FL_T_A, .qclass = FL_C_IN };
	if (kind == CACHE_SUCCESS)
		fl_reply_add(&q, FL_ANSWER, q.qname, fl_rrset_one(&a, FL_T_A, ttl, ip, 4), false);
	else
		q.res.rcode = FL_NXDOMAIN;
	assert_int_equal(fl_cache_slab_put(s, fl_cache_encode(&q, &a, kind, ttl), 0, gone), 0);
}

static size_t image_of(struct cache_slab *s, uint8_t *to, size_t cap)
{
	FILE *f = tmpfile();
	uint64_t n;
	assert_int_equal(fl_cache_file_write(fileno(f), s, 7, &n), 0);
	assert_int_equal(n, fl_cache_slab_count(s, CACHE_SUCCESS) + fl_cache_slab_count(s, CACHE_DENIAL));
	ssize_t len = pread(fileno(f), to, cap, 0);
	assert_true(len > 0 && (size_t)len < cap);
	fclose(f);
	return (size_t)len;
}

static unsigned came;
static void count(void *arg, const struct cache_entry *e, uint64_t wall_ms)
{
	(void)arg;
	came++;
	assert_int_equal(e->hash, 0);
	assert_int_equal(wall_ms, fl_clock_wall_ns() / FL_MS);
}

/* Every octet counts: whichever is changed, added or missing, the file is not believed, and not one entry of it is handed out. */
static void test_damage(void **state)
{
	(void)state;
	static _Alignas(8) uint8_t image[4096];
	const char *why;
	struct cache_slab *s = slab();
	fl_clock_virtual(1000 * FL_SEC);
	add(s, "www.example.org", CACHE_SUCCESS, 30);
	add(s, "nx.example.org", CACHE_DENIAL, 20);
	size_t n = image_of(s, image, sizeof image);
	came = 0;
	assert_int_equal(fl_cache_file_read(image, n, 7, count, NULL, &why), 0);
	assert_int_equal(came, 2);
	assert_int_equal(fl_cache_file_read(image, n, 8, count, NULL, &why), -ESTALE);
	for (size_t i = 0; i < n; i++)
		for (unsigned bit = 0; bit < 8; bit++) {
			image[i] ^= (uint8_t)(1u << bit);
			assert_int_equal(fl_cache_file_read(image, n, 7, count, NULL, &why), -EBADMSG);
			image[i] ^= (uint8_t)(1u << bit);
		}
	for (size_t i = 0; i < n; i++)
		assert_int_equal(fl_cache_file_read(image, i, 7, count, NULL, &why), -EBADMSG);
	assert_int_equal(fl_cache_file_read(image, n + 1, 7, count, NULL, &why), -EBADMSG);
	assert_int_equal(came, 2);
	fl_cache_slab_destroy(s);
	fl_clock_virtual(0);
}

/* More than one block of entries. */
static void test_many(void **state)
{
	(void)state;
	static _Alignas(8) uint8_t image[1 << 20];
	const char *why;
	struct cache_slab *s = fl_cache_slab_create(&(struct cache_slab_how){ .cap = { 20000, 1024 } });
	fl_clock_virtual(1000 * FL_SEC);
	for (unsigned i = 0; i < 8000; i++) {
		char name[64];
		snprintf(name, sizeof name, "number-%u.some.zone.example.org", i);
		add(s, name, CACHE_SUCCESS, 30 + i % 100);
	}
	size_t n = image_of(s, image, sizeof image);
	came = 0;
	assert_int_equal(fl_cache_file_read(image, n, 7, count, NULL, &why), 0);
	assert_int_equal(came, 8000);
	fl_cache_slab_destroy(s);
	fl_clock_virtual(0);
}

static int pick(const void *arg, const struct cache_found *f) { return f->there[*(const int *)arg] ? *(const int *)arg : -1; }

static uint32_t left(struct cache_slab *s, const char *text, int kind)
{
	static char memory[4096];
	struct fl_arena a;
	uint8_t wire[FL_NAME_MAX];
	uint32_t cell;
	fl_arena_init(&a, memory, sizeof memory, NULL, 0);
	struct fl_query q = { .qname = { wire, (uint8_t)fl_name_parse(wire, fl_str(text)) }, .qtype = FL_T_A, .qclass = FL_C_IN };
	const struct cache_entry *e = fl_cache_slab_get(s, fl_cache_hash(&q), pick, &kind, &a, &cell);
	return e && fl_cache_fits(&q, e) ? fl_cache_left(e, fl_clock_ns()) : 0;
}

/* Time goes on while nobody runs, on a machine that has just begun to count too. */
static void test_time(void **state)
{
	(void)state;
	char folder[] = "/tmp/fl-cache-XXXXXX", path[64], gone[64];
	struct fl_err e = { "" };
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof path, "%s/file", folder);
	fl_log_capture(quiet, NULL);
	fl_clock_virtual(10 * FL_SEC);
	struct cache_slab *s = slab();
	struct cache_persist *p = fl_cache_persist_create(path, FL_STR("a.test"), s, 0, &e);
	assert_non_null(p);
	add(s, "short.test", CACHE_SUCCESS, 20);
	add(s, "long.test", CACHE_SUCCESS, 250);
	add(s, "nx.test", CACHE_DENIAL, 100);
	fl_cache_persist_destroy(p);            /* it never served: nothing is written */
	assert_int_equal(access(path, F_OK), -1);
	p = fl_cache_persist_create(path, FL_STR("a.test"), s, 0, &e);
	fl_cache_persist_active(p);
	fl_cache_persist_active(p);
	fl_cache_persist_destroy(p);
	assert_int_equal(access(path, F_OK), 0);
	fl_cache_slab_destroy(s);

	fl_clock_virtual(60 * FL_SEC);          /* the wall clock goes with it */
	s = slab();
	p = fl_cache_persist_create(path, FL_STR("a.test"), s, 0, &e);
	assert_int_equal(fl_cache_slab_count(s, CACHE_SUCCESS), 1);
	assert_int_equal(left(s, "short.test", CACHE_SUCCESS), 0);
	assert_int_equal(left(s, "long.test", CACHE_SUCCESS), 200);
	assert_int_equal(left(s, "nx.test", CACHE_DENIAL), 50);
	fl_clock_virtual(110 * FL_SEC);
	assert_int_equal(left(s, "long.test", CACHE_SUCCESS), 150);
	assert_int_equal(left(s, "nx.test", CACHE_DENIAL), 0);
	fl_cache_persist_destroy(p);
	fl_cache_slab_destroy(s);

	s = slab();                             /* stale ones are still of use; another configuration's are not */
	p = fl_cache_persist_create(path, FL_STR("a.test"), s, 100 * FL_SEC, &e);
	assert_int_equal(fl_cache_slab_count(s, CACHE_SUCCESS), 2);
	fl_cache_persist_destroy(p);
	fl_cache_slab_destroy(s);
	s = slab();
	p = fl_cache_persist_create(path, FL_STR("b.test"), s, 0, &e);
	assert_int_equal(fl_cache_slab_count(s, CACHE_SUCCESS), 0);
	/* After a reload that changed the block: the new one has the file, the old one ends without a word. */
	fl_cache_persist_active(p);
	struct cache_slab *newer = slab();
	struct cache_persist *next = fl_cache_persist_create(path, FL_STR("c.test"), newer, 0, &e);
	fl_cache_persist_active(next);
	add(newer, "c.test", CACHE_SUCCESS, 200);
	fl_cache_persist_tick(next);
	add(s, "b.test", CACHE_SUCCESS, 200);
	fl_cache_persist_destroy(p);
	fl_cache_persist_destroy(next);
	fl_cache_slab_destroy(newer);
	newer = slab();
	p = fl_cache_persist_create(path, FL_STR("c.test"), newer, 0, &e);
	assert_int_equal(left(newer, "c.test", CACHE_SUCCESS), 200);
	fl_cache_persist_destroy(p);
	fl_cache_slab_destroy(newer);
	fl_cache_slab_destroy(s);
	snprintf(gone, sizeof gone, "%s/file.new", folder);
	assert_int_equal(access(gone, F_OK), -1);
	unlink(path);
	rmdir(folder);
	fl_log_capture(NULL, NULL);
	fl_clock_virtual(0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_damage), cmocka_unit_test(test_many), cmocka_unit_test(test_time) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

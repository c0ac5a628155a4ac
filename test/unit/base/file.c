#include "../files.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include "base/file.h"

static void test_read(void **state)
{
	(void)state;
	char dir[] = "/tmp/fl-file-XXXXXX", path[64], want[160], *text = NULL;
	struct fl_err e;
	size_t n = 0;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/f", dir);
	assert_int_equal(fl_file_read(path, 5, &text, &n, &e), -ENOENT);
	assert_null(text);
	snprintf(want, sizeof want, "open %s: no such file or directory", path);
	assert_string_equal(e.msg, want);
	write_file(path, "12345");
	assert_int_equal(fl_file_read(path, 5, &text, &n, &e), 0);      /* just so large */
	assert_int_equal(n, 5);
	assert_string_equal(text, "12345");
	free(text);
	assert_int_equal(fl_file_read(path, 4, &text, &n, &e), -EFBIG);
	assert_null(text);
	assert_int_equal(n, 0);
	snprintf(want, sizeof want, "read %s: file too large", path);
	assert_string_equal(e.msg, want);
	write_file(path, "");
	assert_int_equal(fl_file_read(path, 4, &text, &n, &e), 0);
	assert_int_equal(n, 0);
	assert_string_equal(text, "");
	free(text);
	assert_int_equal(fl_file_read(dir, 4, &text, &n, &e), -EISDIR);
	snprintf(want, sizeof want, "read %s: is a directory", dir);
	assert_string_equal(e.msg, want);
	unlink(path);
	rmdir(dir);
}

static void test_put(void **state)
{
	(void)state;
	int p[2];
	char in[8];
	assert_int_equal(pipe(p), 0);
	assert_int_equal(fl_file_put(p[1], "abcde", 5), 0);
	assert_int_equal(read(p[0], in, sizeof in), 5);
	assert_memory_equal(in, "abcde", 5);
	assert_int_equal(fl_file_put(p[1], NULL, 0), 0);
	close(p[0]);
	close(p[1]);
	assert_int_equal(fl_file_put(p[1], "x", 1), -EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_read), cmocka_unit_test(test_put) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

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

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_read) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

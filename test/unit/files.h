/* files: what a test writes for the program to read, and whether the kernel can tell of changes. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

static inline void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
	assert_int_equal(fclose(f), 0);
}

static inline void write_in(const char *dir, const char *name, const char *text)
{
	char path[512];
	snprintf(path, sizeof path, "%s/%s", dir, name);
	write_file(path, text);
}

/* Without inotify a source of manifests looks every two seconds, which is not what those tests are about. */
static inline void need_inotify(void)
{
	int fd = inotify_init1(IN_CLOEXEC);
	if (fd < 0) {
		print_message("# no inotify instance is left (fs.inotify.max_user_instances): skipped\n");
		skip();
	}
	close(fd);
}

#include "base/file.h"
#include "base/mem.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

const char *fl_file_why(int error)
{
	switch (error) {
	case ENOENT: return "no such file or directory";
	case EACCES: return "permission denied";
	case EISDIR: return "is a directory";
	case EFBIG: return "file too large";
	default: return strerror(error);
	}
}

int fl_file_read(const char *path, size_t most, char **text, size_t *n, struct fl_err *e)
{
	FILE *in = fopen(path, "re");
	int error = in ? 0 : errno;
	*text = NULL;
	*n = 0;
	if (in) {
		*text = fl_xalloc(most + 1);
		*n = fread(*text, 1, most + 1, in);
		error = ferror(in) ? errno : *n > most ? EFBIG : 0;
		fclose(in);
	}
	if (!error) {
		*text = fl_xrealloc(*text, *n + 1);
		(*text)[*n] = 0;
		return 0;
	}
	fl_err_set(e, "%s %s: %s", in ? "read" : "open", path, fl_file_why(error));
	free(*text);
	*text = NULL;
	*n = 0;
	return -error;
}

int fl_file_put(int fd, const void *p, size_t n)
{
	for (const char *at = p; n;) {
		ssize_t w = write(fd, at, n);
		if (w < 0 && errno != EINTR)
			return -errno;
		if (w > 0)
			at += w, n -= (size_t)w;
	}
	return 0;
}

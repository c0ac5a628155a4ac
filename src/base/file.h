/* file: whole files that are small, and Go's words for what goes wrong with them. It blocks: not for shards. */
#pragma once
#include "base/err.h"

/* "no such file or directory"; what has no words here is strerror's. */
const char *fl_file_why(int error);
/* At most `most` octets, with a NUL behind them; free() it. 0, or -errno with "open PATH: …" or "read PATH: …" in e (-EFBIG: file too large),
 * and *text is NULL, *n 0. */
int fl_file_read(const char *path, size_t most, char **text, size_t *n, struct fl_err *e);
int fl_file_put(int fd, const void *p, size_t n);      /* all of it; 0 or -errno. Any thread */

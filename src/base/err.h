/* err: a message for a person, with file and line where it has them. Inside, functions return 0 or -errno; the deepest frame
 * that knows the words fills an fl_err, those above pass it on untouched. */
#pragma once
#include "base/str.h"

struct fl_err { char msg[512]; };

/* Fills e (NULL: nothing) and returns -EINVAL. */
int fl_err_set(struct fl_err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* An invariant that costs a compare; stays on in release builds. Never for input from network, API server or user. */
#define fl_assert(c) ((c) ? (void)0 : fl_assert_failed(#c, __FILE__, __LINE__))
_Noreturn void fl_assert_failed(const char *what, const char *file, int line);

/* duration: spans of time as Go writes them. Pure; any thread. */
#pragma once
#include "base/err.h"

/* Go's time.ParseDuration: "1h30m", "1.5s", "-2m", "0". Nanoseconds. 0, or -EINVAL with Go's words in e, e.g.
 * `time: missing unit in duration "5"`. */
int fl_duration_parse(struct fl_str s, int64_t *ns, struct fl_err *e);
/* Go's time.Duration.String(): "1m30s", "2s", "500ms"; to holds 32. */
size_t fl_duration_text(char *to, int64_t ns);

/* log: CoreDNS's lines on standard output, because people grep them: `[INFO] plugin/reload: text`. One write() a line; as JSON
 * with -log-format json. Any thread. Not for the fast path: plugin `log` has its own buffer. */
#pragma once
#include "base/str.h"

enum fl_level { FL_DEBUG, FL_INFO, FL_WARN, FL_ERROR, FL_FATAL };

/* who: "plugin/NAME", or NULL for the server's own lines. */
void fl_log(enum fl_level level, const char *who, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void fl_log_debug(bool on);                     /* FL_DEBUG lines are printed (plugin debug) */
void fl_log_json(bool on);
bool fl_log_is_json(void);
/* Everything goes to fn instead (tests, fl-sim); NULL: back to standard output. */
void fl_log_capture(void (*fn)(void *arg, const char *line, size_t n), void *arg);
/* A finished line without level handling, for plugins that format their own. Not thread-safe against fl_log_capture. */
void fl_log_raw(const char *bytes, size_t n);
/* A JSON string body (no quotes) of s; returns bytes written, at most cap. */
size_t fl_json_escape(char *to, size_t cap, struct fl_str s);

/* True at most once every `ns`, for logs that an attacker or a broken peer could flood. *last starts 0. */
bool fl_log_every(uint64_t ns, uint64_t *last);

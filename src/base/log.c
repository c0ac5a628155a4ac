#include "base/log.h"
#include "base/clock.h"
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static bool debug_on, json_on;
static void (*capture)(void *arg, const char *line, size_t n);
static void *capture_arg;

static const char *const names[] = { "DEBUG", "INFO", "WARNING", "ERROR", "FATAL" };
static const char *const json_names[] = { "DEBUG", "INFO", "WARN", "ERROR", "FATAL" };

void fl_log_debug(bool on) { debug_on = on; }
void fl_log_json(bool on) { json_on = on; }
bool fl_log_is_json(void) { return json_on; }

void fl_log_capture(void (*fn)(void *arg, const char *line, size_t n), void *arg)
{
	capture = fn;
	capture_arg = arg;
}

void fl_log_raw(const char *bytes, size_t n)
{
	if (capture) {
		capture(capture_arg, bytes, n);
		return;
	}
	while (n) {
		ssize_t done = write(STDOUT_FILENO, bytes, n);
		if (done <= 0)
			return;
		bytes += done;
		n -= (size_t)done;
	}
}

size_t fl_json_escape(char *to, size_t cap, struct fl_str s)
{
	size_t n = 0;
	for (size_t i = 0; i < s.n && n + 6 < cap; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c == '"' || c == '\\')
			to[n++] = '\\', to[n++] = (char)c;
		else if (c == '\n')
			to[n++] = '\\', to[n++] = 'n';
		else if (c == '\t')
			to[n++] = '\\', to[n++] = 't';
		else if (c < 0x20)
			n += (size_t)snprintf(to + n, cap - n, "\\u%04x", c);
		else
			to[n++] = (char)c;
	}
	return n;
}

/* CoreDNS: {"time":RFC3339Nano,"level":L,"msg":M,"plugin":P} */
static size_t as_json(char *to, size_t cap, enum fl_level level, const char *who, struct fl_str text)
{
	struct timespec t;
	struct tm tm;
	clock_gettime(CLOCK_REALTIME, &t);
	localtime_r(&t.tv_sec, &tm);
	char date[32], zone[8];
	strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm);
	strftime(zone, sizeof zone, "%z", &tm);
	int n = snprintf(to, cap, "{\"time\":\"%s.%09ld%.3s:%.2s\",\"level\":\"%s\",\"msg\":\"", date, t.tv_nsec, zone,
			 zone + 3, json_names[level]);
	size_t at = (size_t)n;
	at += fl_json_escape(to + at, cap - at - 64, text);
	if (who && !strncmp(who, "plugin/", 7))
		at += (size_t)snprintf(to + at, cap - at, "\",\"plugin\":\"%.40s\"}\n", who + 7);
	else
		at += (size_t)snprintf(to + at, cap - at, "\"}\n");
	return at;
}

void fl_log(enum fl_level level, const char *who, const char *fmt, ...)
{
	char line[4096], json[5120];
	if (level == FL_DEBUG && !debug_on)
		return;
	int n = json_on ? 0 : snprintf(line, sizeof line, "[%s] %s%s", names[level], who ? who : "", who ? ": " : "");
	va_list ap;
	va_start(ap, fmt);
	int m = vsnprintf(line + n, sizeof line - (size_t)n - 1, fmt, ap);
	va_end(ap);
	size_t len = (size_t)n + (m < 0 ? 0 : (size_t)m);
	if (len > sizeof line - 2)
		len = sizeof line - 2;
	if (json_on) {
		len = as_json(json, sizeof json, level, who, (struct fl_str){ line, len });
		fl_log_raw(json, len);
		return;
	}
	line[len++] = '\n';
	fl_log_raw(line, len);
}

bool fl_log_every(uint64_t ns, uint64_t *last)
{
	uint64_t now = fl_clock_ns(), was = __atomic_load_n(last, __ATOMIC_RELAXED);
	if (was && now - was < ns)
		return false;
	return __atomic_compare_exchange_n(last, &was, now, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

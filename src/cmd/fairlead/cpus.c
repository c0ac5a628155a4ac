#include "cmd/fairlead/cpus.h"
#include "base/str.h"
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

enum { SHARDS_MAX = 16 };

static bool read_line(const char *path, char *line, size_t cap)
{
	FILE *f = fopen(path, "re");
	bool ok = f && fgets(line, (int)cap, f);
	if (f)
		fclose(f);
	return ok;
}

/* "200000 100000" → 2; "max 100000" → 0 */
static unsigned of_quota(struct fl_str text)
{
	struct fl_str first, rest = fl_str_trim(fl_str_cut(fl_str_trim(text), ' ', &first));
	int64_t quota, period;
	if (fl_parse_int(first, 1, INT64_MAX / 2, &quota) || fl_parse_int(rest, 1, INT64_MAX / 2, &period))
		return 0;
	return (unsigned)((quota + period - 1) / period);
}

/* The tightest cpu.max from our cgroup (v2) up to the root; cgroup v1 with its own two files. 0: no quota. */
static unsigned of_cgroup(void)
{
	char line[512], path[640];
	unsigned least = 0;
	if (read_line("/proc/self/cgroup", line, sizeof line) && !strncmp(line, "0::/", 4)) {
		line[strcspn(line, "\n")] = 0;
		for (char *at = line + 3;;) {
			char text[64];
			snprintf(path, sizeof path, "/sys/fs/cgroup%s/cpu.max", at);
			unsigned n = read_line(path, text, sizeof text) ? of_quota(fl_str(text)) : 0;
			if (n && (!least || n < least))
				least = n;
			char *slash = strrchr(at, '/');
			if (!slash)
				return least;
			*slash = 0;
		}
	}
	char quota[32], period[32];
	if (read_line("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", quota, sizeof quota) &&
	    read_line("/sys/fs/cgroup/cpu/cpu.cfs_period_us", period, sizeof period)) {
		quota[strcspn(quota, "\n")] = 0;
		snprintf(line, sizeof line, "%s %s", quota, period);
		return of_quota(fl_str(line));
	}
	return 0;
}

unsigned fl_cpus(void)
{
	const char *env = getenv("GOMAXPROCS");
	int64_t n = 0;
	cpu_set_t set;
	if (!env || fl_parse_int(fl_str(env), 1, 1 << 20, &n))
		n = of_cgroup();
	if (!n)
		n = sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set);
	return n > SHARDS_MAX ? SHARDS_MAX : n < 1 ? 1 : (unsigned)n;
}

#include "ctl/process.h"
#include "base/metric.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

enum { CPU, MAX_FDS, RECEIVED, SENT, OPEN_FDS, RSS, STARTED, VSIZE, MAX_VSIZE, FAMILIES };

static const struct fl_metric_def defs[FAMILIES] = {
	[CPU] = { "process_cpu_seconds_total", "Total user and system CPU time spent in seconds.", FL_COUNTER },
	[MAX_FDS] = { "process_max_fds", "Maximum number of open file descriptors.", FL_GAUGE },
	[RECEIVED] = { "process_network_receive_bytes_total", "Number of bytes received by the process over the network.",
		       FL_COUNTER },
	[SENT] = { "process_network_transmit_bytes_total", "Number of bytes sent by the process over the network.", FL_COUNTER },
	[OPEN_FDS] = { "process_open_fds", "Number of open file descriptors.", FL_GAUGE },
	[RSS] = { "process_resident_memory_bytes", "Resident memory size in bytes.", FL_GAUGE },
	[STARTED] = { "process_start_time_seconds", "Start time of the process since unix epoch in seconds.", FL_GAUGE },
	[VSIZE] = { "process_virtual_memory_bytes", "Virtual memory size in bytes.", FL_GAUGE },
	[MAX_VSIZE] = { "process_virtual_memory_max_bytes", "Maximum amount of virtual memory available in bytes.", FL_GAUGE },
};
static struct fl_grid *grids[FAMILIES];
static double boot_s;                   /* 0: not known */

static void set(int family, double v) { fl_grid_set(grids[family], v); }

/* Numbers of /proc/self/stat by their place in proc(5), from 4 on; the second is the name in brackets and may hold anything. */
static bool read_stat(int64_t field[25])
{
	char text[2048];
	FILE *f = fopen("/proc/self/stat", "re");
	size_t n = f ? fread(text, 1, sizeof text, f) : 0;
	if (f)
		fclose(f);
	const char *p = memrchr(text, ')', n);
	struct fl_str s = { p, p ? n - (size_t)(p - text) : 0 }, word;
	s = fl_str_cut(s, ' ', &word);
	s = fl_str_cut(s, ' ', &word);          /* the state */
	for (int i = 4; i < 25; i++) {
		s = fl_str_cut(s, ' ', &word);
		if (fl_parse_int(word, INT64_MIN, INT64_MAX, &field[i]))
			return false;
	}
	return true;
}

static void stat_families(void)
{
	int64_t field[25];
	double hz = (double)sysconf(_SC_CLK_TCK);
	if (!read_stat(field))
		return;
	set(CPU, (double)(field[14] + field[15]) / hz);
	set(VSIZE, (double)field[23]);
	set(RSS, (double)field[24] * (double)sysconf(_SC_PAGESIZE));
	if (boot_s > 0)
		set(STARTED, boot_s + (double)field[22] / hz);
}

static void fd_families(void)
{
	struct rlimit lim;
	if (!getrlimit(RLIMIT_NOFILE, &lim))
		set(MAX_FDS, (double)lim.rlim_cur);
	if (!getrlimit(RLIMIT_AS, &lim))
		set(MAX_VSIZE, (double)lim.rlim_cur);
	DIR *d = opendir("/proc/self/fd");
	if (!d)
		return;
	int n = -1;                             /* the folder's own */
	for (struct dirent *e; (e = readdir(d));)
		n += e->d_name[0] != '.';
	closedir(d);
	set(OPEN_FDS, n);
}

/* /proc/self/net/netstat: a line of names and one of numbers for each group. */
static void net_families(void)
{
	FILE *f = fopen("/proc/self/net/netstat", "re");
	char *names = NULL, *numbers = NULL;
	size_t names_cap = 0, numbers_cap = 0;
	while (f && getline(&names, &names_cap, f) > 0 && getline(&numbers, &numbers_cap, f) > 0) {
		struct fl_str left = fl_str_trim(fl_str(names)), right = fl_str_trim(fl_str(numbers)), name, number;
		if (!fl_str_starts(left, FL_STR("IpExt:")))
			continue;
		while (left.n && right.n) {
			int64_t v;
			left = fl_str_cut(left, ' ', &name);
			right = fl_str_cut(right, ' ', &number);
			int family = fl_str_is(name, "InOctets") ? RECEIVED : fl_str_is(name, "OutOctets") ? SENT : -1;
			if (family >= 0 && !fl_parse_int(number, 0, INT64_MAX, &v))
				set(family, (double)v);
		}
	}
	free(names);
	free(numbers);
	if (f)
		fclose(f);
}

static void refresh(void *arg)
{
	(void)arg;
	stat_families();
	fd_families();
	net_families();
}

static void read_boot_time(void)
{
	FILE *f = fopen("/proc/stat", "re");
	char *line = NULL;
	size_t cap = 0;
	int64_t v;
	while (f && getline(&line, &cap, f) > 0) {
		struct fl_str s = fl_str_trim(fl_str(line)), word;
		s = fl_str_cut(s, ' ', &word);
		if (fl_str_is(word, "btime") && !fl_parse_int(s, 0, INT64_MAX, &v))
			boot_s = (double)v;
	}
	free(line);
	if (f)
		fclose(f);
}

void fl_process_metrics(void)
{
	if (grids[0])
		return;
	for (int i = 0; i < FAMILIES; i++)
		grids[i] = fl_metric_plain(&defs[i]);
	read_boot_time();
	fl_metric_before(refresh, NULL);
}

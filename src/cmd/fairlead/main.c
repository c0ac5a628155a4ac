/* fairlead: the DNS server. Takes CoreDNS's flags, prints what it prints, answers its signals. */
#include "base/confine.h"
#include "base/log.h"
#include "base/metric.h"
#include "base/notify.h"
#include "cmd/fairlead/cpus.h"
#include "cmd/fairlead/flags.h"
#include "ctl/http.h"
#include "plugin/table.h"
#include "dns/reload.h"
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/utsname.h>
#include <unistd.h>

#define MATCHES "CoreDNS-1.15.0"        /* whose behaviour this is */

static struct fl_flags flags;
static struct fl_loop *loop;
static struct fl_server *server;
static struct fl_reload *reload;
static struct fl_timer leaving;
static bool interrupted, stopping;
static int status;

/* ---- words ---- */

static const char *machine(void)
{
	static struct utsname u;
	uname(&u);
	return !strcmp(u.machine, "x86_64") ? "amd64" : !strcmp(u.machine, "aarch64") ? "arm64" : u.machine;
}

static void show_version(void)
{
	printf("fairlead-" FL_VERSION "\nlinux/%s, " MATCHES "\n", machine());
	fflush(stdout);
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* As CoreDNS: sorted, `on` last (it is no dns.* plugin there), a blank line behind. */
static void show_plugins(void)
{
	const char *name[FL_LINKS_MAX];
	unsigned n = 0;
	bool on = false;
	for (const struct fl_directive_entry *d = fl_plugins; d->name; d++)
		if (d->plugin && strcmp(d->name, "on"))
			name[n++] = d->name;
		else
			on |= d->plugin != NULL;
	qsort(name, n, sizeof *name, by_name);
	for (unsigned i = 0; i < n; i++)
		puts(name[i]);
	puts(on ? "on\n" : "");
}

static int fatal(const struct fl_err *e)
{
	fprintf(stderr, "%s\n", e->msg);
	return 1;
}

static void print_line(void *arg, const char *text)
{
	(void)arg;
	if (fl_log_is_json())
		fl_log(FL_INFO, NULL, "%s", text);
	else
		printf("%s\n", text);
}

/* ---- the process ---- */

static void write_pidfile(void)
{
	FILE *f = flags.pidfile ? fopen(flags.pidfile, "we") : NULL;
	if (f) {
		fprintf(f, "%d\n", getpid());
		fclose(f);
	} else if (flags.pidfile) {
		fl_log(FL_ERROR, NULL, "Could not write pidfile: open %s: %s", flags.pidfile, strerror(errno));
	}
}

static void remove_pidfile(void)
{
	if (flags.pidfile)
		unlink(flags.pidfile);
}

/* From here on only what serving needs. Kernels and sandboxes that have no filters are no reason not to serve. */
static void confine(void)
{
	int ret = fl_confine_serve();
	if (ret && ret != -ENOTSUP && ret != -EPERM)
		fl_log(FL_WARN, NULL, "no system call filter: %s", strerror(-ret));
}

static void started(void *arg, const struct fl_err *e)
{
	(void)arg;
	if (e) {
		status = fatal(e);
		fl_loop_stop(loop);
		return;
	}
	malloc_trim(0);                 /* what parsing and the first sync used is not needed again */
	write_pidfile();
	confine();
	fl_notify("READY=1\nSTATUS=Serving");
	if (flags.quiet)
		return;
	fl_server_zones(server, print_line, NULL);
	if (fl_log_is_json())
		fl_log(FL_INFO, NULL, "fairlead-" FL_VERSION " linux/%s, " MATCHES, machine());
	else
		show_version();
	fflush(stdout);
}

static void stopped(void *arg)
{
	(void)arg;
	fl_loop_stop(loop);
}

static void lameduck_over(struct fl_timer *t)
{
	(void)t;
	remove_pidfile();
	_exit(0);
}

static void terminate(void)
{
	if (stopping)
		return;
	stopping = true;
	fl_notify("STOPPING=1");
	fl_log(FL_INFO, NULL, "SIGTERM: Shutting down servers then terminating");
	fl_server_stop(server, stopped, NULL);
}

/* CoreDNS: callbacks with their lameduck, then an exit without stopping the servers; a second one exits at once with 2. */
static void interrupt(void)
{
	if (interrupted) {
		fl_log(FL_INFO, NULL, "SIGINT: Force quit");
		remove_pidfile();
		_exit(2);
	}
	interrupted = true;
	fl_notify("STOPPING=1");
	fl_log(FL_INFO, NULL, "SIGINT: Shutting down");
	remove_pidfile();
	leaving.fn = lameduck_over;
	fl_timer_set(loop, &leaving, fl_loop_tick(loop) + fl_server_leave(server));
}

static void on_signal(struct fl_io *io, uint32_t events)
{
	struct signalfd_siginfo si;
	(void)events;
	while (read(io->fd, &si, sizeof si) == sizeof si)
		switch (si.ssi_signo) {
		case SIGTERM:
			terminate();
			break;
		case SIGINT:
			interrupt();
			break;
		case SIGQUIT:
			fl_log(FL_INFO, NULL, "SIGQUIT: Quitting process immediately");
			remove_pidfile();
			_exit(0);
		case SIGUSR1:
			fl_reload_force(reload);
			break;
		case SIGUSR2:
			fl_log(FL_INFO, NULL, "SIGUSR2: ignored; restart the process to upgrade it");
			break;
		}
}

static int take_signals(struct fl_io *io)
{
	sigset_t set;
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	sigemptyset(&set);
	for (const int *s = (const int[]){ SIGTERM, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, 0 }; *s; s++)
		sigaddset(&set, *s);
	sigprocmask(SIG_BLOCK, &set, NULL);
	*io = (struct fl_io){ .fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC), .fn = on_signal };
	return io->fd < 0 ? -errno : fl_loop_add(loop, io, EPOLLIN);
}

/* ---- -check ---- */

static int check(struct fl_conf *c)
{
	struct fl_err e;
	unsigned odd = 0;
	for (unsigned b = 0; b < c->nblock; b++)
		for (unsigned k = 0; k < c->block[b].nkey; k++) {
			const char *what = fl_key_accident(&c->arena, c, &c->block[b].key[k]);
			if (what)
				fprintf(stderr, "warning: %s\n", what);
			odd += what != NULL;
		}
	unsigned blocks = c->nblock;
	if (fl_server_check(server, c, &e))
		return fatal(&e);
	printf("%s: ok, %u server block%s, %u warning%s\n", flags.conf, blocks, blocks == 1 ? "" : "s", odd, odd == 1 ? "" : "s");
	return 0;
}

static int serve(const struct fl_process *p, const char *const *known)
{
	struct fl_err e;
	struct fl_io signals;
	int ret = take_signals(&signals);
	loop = ret ? NULL : loop;
	server = ret ? NULL : fl_server_create(p, loop, fl_plugins, false);
	if (!server)
		return fprintf(stderr, "cannot start: %s\n", strerror(ret ? -ret : errno)), 1;
	reload = fl_reload_create(server, loop, p, known);
	struct fl_conf *c = fl_reload_read(reload, &e);
	if (!c)
		return fatal(&e);
	if (p->dry)
		return check(c);
	fl_reload_first(reload, c, started, NULL);
	fl_loop_run(loop);
	remove_pidfile();
	fl_server_destroy(server);
	fl_reload_destroy(reload);
	fl_http_finish(loop);           /* who still holds a connection of an admin face */
	return status;
}

/* As many descriptors as we may have: what a shell or a container runtime gives at first may be no more than 1024, whose other half is
 * for programs that use select(). Go's programs do the same. */
static void more_files(void)
{
	struct rlimit r;
	if (getrlimit(RLIMIT_NOFILE, &r) || r.rlim_cur == r.rlim_max)
		return;
	r.rlim_cur = r.rlim_max;
	setrlimit(RLIMIT_NOFILE, &r);
}

int main(int argc, char **argv)
{
	int ret = fl_flags_parse(&flags, argc, argv);
	if (ret >= 0)
		return ret;
	const char *const *known = fl_plugins_known();
	if (flags.version)
		return show_version(), 0;
	if (flags.plugins)
		return show_plugins(), 0;
	fl_log_json(!strcmp(flags.log_format, "json"));
	setvbuf(stdout, NULL, _IOLBF, 0);
	more_files();
	fl_confine_start();
	/* The threads that answer allocate nothing: one arena is enough, and keeps the memory in one place. */
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_TRIM_THRESHOLD, 256 * 1024);
	loop = fl_loop_create();
	if (!loop)
		return fprintf(stderr, "cannot start: %s\n", strerror(errno)), 1;
	struct fl_process p = { .conf = flags.conf, .conf_given = flags.conf_given, .port = flags.port, .shards = fl_cpus(),
				.dry = flags.check };
	fl_metric_slots(p.shards + 1);
	return serve(&p, known);
}

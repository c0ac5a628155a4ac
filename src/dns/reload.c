#include "dns/reload.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/notify.h"
#include "conf/kubedns.h"
#include "dns/server_int.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct fl_reload {
	struct fl_server *server;
	struct fl_loop *loop;
	struct fl_process process;
	const char *const *known;
	char running[129], tried[129];  /* hashes */
	char complaint[512];            /* of the last parse that failed: said once */
	bool used, signalled, again, again_force;
	void (*first_done)(void *arg, const struct fl_err *e);
	void *first_arg;
	struct fl_grid *failed, *version;
	struct fl_arena arena;          /* of what came through a pipe: it comes only once */
	struct fl_str piped;
};

static const struct fl_metric_def failed_def = { .name = "coredns_reload_failed_total", .kind = FL_COUNTER, .always = true,
	.help = "Counter of the number of failed reload attempts." };
static const struct fl_metric_def version_def = { .name = "coredns_reload_version_info", .kind = FL_GAUGE,
	.help = "A metric with a constant '1' value labeled by hash, and value which type of hash generated.",
	.labels = { "hash", "value" } };

static const struct fl_metric_def last_def = { .name = "fairlead_reload_last_success", .kind = FL_GAUGE,
	.help = "1 when the Corefile that was tried last is the one that serves, 0 when it was refused." };
static const struct fl_metric_def when_def = { .name = "fairlead_reload_last_success_timestamp_seconds", .kind = FL_GAUGE,
	.help = "When the configuration that serves was loaded, in seconds since 1970." };

struct fl_reload *fl_reload_create(struct fl_server *s, struct fl_loop *l, const struct fl_process *p, const char *const *known)
{
	struct fl_reload *r = fl_xalloc(sizeof *r);
	*r = (struct fl_reload){ .server = s, .loop = l, .process = *p, .known = known };
	fl_arena_init(&r->arena, NULL, 0, NULL, SIZE_MAX / 2);
	s->process.reload = r;
	return r;
}

void fl_reload_destroy(struct fl_reload *r)
{
	if (!r)
		return;
	fl_arena_finish(&r->arena);
	free(r);
}

void fl_reload_used(struct fl_reload *r)
{
	r->used = true;
	if (!r->failed)
		r->failed = fl_metric_plain(&failed_def);
}

/* ---- reading ---- */

static struct fl_conf *parse(struct fl_reload *r, const char *name, struct fl_str text, struct fl_err *e)
{
	char base[PATH_MAX], builtin[64];
	struct fl_conf *c = fl_xalloc(sizeof *c);
	char *slash = strrchr(name, '/');
	if (slash)
		snprintf(base, sizeof base, "%.*s", (int)(slash > name ? slash - name : 1), name);
	else
		snprintf(base, sizeof base, ".");
	int ret = fl_conf_parse(c, name, text, base, r->known, e);
	if (!ret && !c->nblock) {       /* empty, or snippets only: CoreDNS serves whoami and log then */
		fl_conf_finish(c);
		snprintf(builtin, sizeof builtin, ".:%s {\nwhoami\nlog\n}\n", r->process.port);
		ret = fl_conf_parse(c, name, fl_str(builtin), base, r->known, e);
	}
	if (!ret)
		return c;
	fl_conf_finish(c);
	free(c);
	return NULL;
}

static void kubedns_note(void *arg, struct fl_str key, const char *text)
{
	struct fl_reload *r = arg;
	fl_log(FL_WARN, NULL, "%s/%.*s: %s", r->process.conf, FL_FMT(key), text);
}

/* A folder: kube-dns's ConfigMap. Notes only when something else than what is running comes out of it: it is read every few seconds. */
static struct fl_conf *read_kubedns(struct fl_reload *r, struct fl_err *e)
{
	struct fl_arena a;
	struct fl_str text;
	struct fl_kubedns k = { .port = FL_STR("") };
	fl_arena_init(&a, NULL, 0, NULL, SIZE_MAX / 2);
	struct fl_conf *c = NULL;
	if (!fl_kubedns_folder(&a, r->process.conf, &k, &text, e))
		c = parse(r, r->process.conf, text, e);
	k.note = kubedns_note;
	k.arg = r;
	if (c && strcmp(c->sha512, r->tried))
		fl_kubedns_corefile(&a, &k, &text, e);
	fl_arena_finish(&a);
	return c;
}

struct fl_conf *fl_reload_read(struct fl_reload *r, struct fl_err *e)
{
	if (fl_kubedns_is_folder(r->process.conf))
		return read_kubedns(r, e);
	struct fl_arena a;
	struct fl_str text = { 0 };
	const char *path = r->process.conf;
	fl_arena_init(&a, NULL, 0, NULL, SIZE_MAX / 2);
	bool pipe = !strcmp(path, "stdin");
	int ret = pipe && r->piped.p ? 0 : fl_conf_read(pipe ? &r->arena : &a, path, &text);
	if (pipe && !ret)
		text = r->piped = r->piped.p ? r->piped : text;
	if (ret == -ENOENT && !r->process.conf_given && !fl_server_conf(r->server)) {
		text = FL_STR("");
		ret = 0;
	}
	struct fl_conf *c = NULL;
	if (ret)
		fl_err_set(e, ret == -EISDIR ? "read %s: is a directory" : ret == -ENOENT ? "open %s: no such file or directory"
				     : ret == -EACCES ? "open %s: permission denied" : "open %s: input/output error", path);
	else
		c = parse(r, pipe ? "/dev/stdin" : path, text, e);
	fl_arena_finish(&a);
	for (unsigned i = 0; c && i < c->nwarning; i++)
		fl_log(FL_WARN, NULL, "%.*s", FL_FMT(c->warning[i]));
	return c;
}

/* ---- outcomes ---- */

static void show_version(struct fl_reload *r, const char *hash)
{
	struct fl_grid *g = fl_metric_plain(&version_def, "sha512", hash);
	if (r->version && r->version != g)
		fl_grid_hide(r->version);
	fl_grid_set(g, 1);
	r->version = g;
}

static void serves(struct fl_reload *r)
{
	memcpy(r->running, r->tried, sizeof r->running);
	r->complaint[0] = 0;
	fl_grid_set(fl_metric_plain(&last_def), 1);
	fl_grid_set(fl_metric_plain(&when_def), (double)fl_clock_wall_ns() / 1e9);
	if (!r->used)
		return;
	fl_log(FL_INFO, "plugin/reload", "Running configuration SHA512 = %s", r->running);
	show_version(r, r->running);
}

static void look_again(void *arg)
{
	struct fl_reload *r = arg;
	bool force = r->again_force;
	r->again = r->again_force = false;
	if (force)
		fl_reload_force(r);
	else
		fl_reload_poll(r);
}

static void first_done(void *arg, const struct fl_err *e)
{
	struct fl_reload *r = arg;
	if (!e)
		serves(r);
	r->first_done(r->first_arg, e);
	if (!e && r->again)
		fl_loop_post(r->loop, look_again, r);
}

static void count_failure(struct fl_reload *r, const struct fl_err *e)
{
	if (r->failed)
		fl_grid_add(r->failed, 0, 0, 1);
	fl_grid_set(fl_metric_plain(&last_def), 0);
	fl_notify("READY=1\nSTATUS=Serving the configuration before the last: %s", e->msg);
}

static void reload_done(void *arg, const struct fl_err *e)
{
	struct fl_reload *r = arg;
	if (!e) {
		fl_log(FL_INFO, NULL, "Reloading complete");
		serves(r);
		fl_notify("READY=1\nSTATUS=Serving");
	} else {
		fl_log(FL_ERROR, NULL, "Restart failed: %s", e->msg);
		if (r->signalled)
			fl_log(FL_ERROR, NULL, "SIGUSR1: starting with listener file descriptors: %s", e->msg);
		else
			fl_log(FL_ERROR, "plugin/reload", "Corefile changed but reload failed: starting with listener file descriptors: %s",
			       e->msg);
		count_failure(r, e);
	}
	if (r->again)
		fl_loop_post(r->loop, look_again, r);
}

/* ---- the ways in ---- */

int fl_reload_first(struct fl_reload *r, struct fl_conf *conf, void (*done)(void *arg, const struct fl_err *e), void *arg)
{
	memcpy(r->tried, conf->sha512, sizeof r->tried);
	r->first_done = done;
	r->first_arg = arg;
	r->used = false;
	return fl_server_load(r->server, conf, first_done, r);
}

/* A file that does not parse is said and counted once, not at every look. */
static void complain(struct fl_reload *r, const struct fl_err *e)
{
	if (!strcmp(r->complaint, e->msg))
		return;
	snprintf(r->complaint, sizeof r->complaint, "%s", e->msg);
	if (r->signalled)
		fl_log(FL_ERROR, NULL, "SIGUSR1: %s", e->msg);
	else
		fl_log(FL_WARN, "plugin/reload", "Corefile parse failed: %s", e->msg);
	count_failure(r, e);
}

static void try(struct fl_reload *r, bool force)
{
	struct fl_err e = { "" };
	if (fl_server_busy(r->server)) {
		r->again = true;
		r->again_force |= force;
		return;
	}
	r->signalled = force;
	if (force)
		r->complaint[0] = 0;
	struct fl_conf *c = fl_reload_read(r, &e);
	if (!c) {
		complain(r, &e);
		return;
	}
	r->complaint[0] = 0;
	if (!force && !strcmp(c->sha512, r->tried)) {
		if (!strcmp(c->sha512, r->running))     /* what was refused was taken back */
			fl_grid_set(fl_metric_plain(&last_def), 1);
		fl_conf_finish(c);
		free(c);
		return;
	}
	memcpy(r->tried, c->sha512, sizeof r->tried);
	r->used = false;
	fl_log(FL_INFO, NULL, "Reloading");
	fl_notify("RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)(fl_clock_ns() / 1000));
	fl_server_load(r->server, c, reload_done, r);
}

void fl_reload_force(struct fl_reload *r)
{
	fl_log(FL_INFO, NULL, "SIGUSR1: Reloading");
	try(r, true);
}

void fl_reload_poll(struct fl_reload *r) { try(r, false); }

#include "kube/exec.h"
#include "kube/config.h"
#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <gnutls/gnutls.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { OUTPUT_MAX = 1 << 20, ENV_MAX = 4096 };
#define LOOK_NS (20 * FL_MS)            /* between its last word and its exit */

/* ---- what it is told ---- */

/* The CA's PEM in base64, or NULL. */
static char *ca_data(const struct fl_kube_config *k)
{
	struct fl_str pem = k->ca.data;
	gnutls_datum_t out = { 0 };
	char *file = NULL, *text = NULL;
	if (!pem.n && k->ca.file) {
		file = fl_kube_read_file(k->ca.file, &pem.n, NULL);
		pem.p = file;
	}
	gnutls_datum_t in = { .data = (unsigned char *)(uintptr_t)pem.p, .size = (unsigned)pem.n };
	if (pem.p && pem.n && gnutls_base64_encode2(&in, &out) >= 0)
		text = fl_xstrndup((const char *)out.data, out.size);
	gnutls_free(out.data);
	free(file);
	return text;
}

char *fl_exec_info(const struct fl_kube_config *k)
{
	cJSON *root = cJSON_CreateObject(), *spec, *cluster;
	char *ca = ca_data(k);
	cJSON_AddStringToObject(root, "kind", "ExecCredential");
	cJSON_AddStringToObject(root, "apiVersion", k->exec->api_version);
	spec = cJSON_AddObjectToObject(root, "spec");
	if (k->exec->cluster_info) {
		cluster = cJSON_AddObjectToObject(spec, "cluster");
		cJSON_AddStringToObject(cluster, "server", k->base);
		if (k->tls_name && *k->tls_name)
			cJSON_AddStringToObject(cluster, "tls-server-name", k->tls_name);
		if (k->insecure)
			cJSON_AddTrueToObject(cluster, "insecure-skip-tls-verify");
		if (ca)
			cJSON_AddStringToObject(cluster, "certificate-authority-data", ca);
		if (k->proxy_url)
			cJSON_AddStringToObject(cluster, "proxy-url", k->proxy_url);
		if (k->exec->config)
			cJSON_AddItemToObject(cluster, "config", cJSON_CreateRaw(k->exec->config));
	}
	cJSON_AddFalseToObject(spec, "interactive");
	char *text = cJSON_PrintUnformatted(root), *own = text ? fl_xstrndup(text, strlen(text)) : NULL;
	cJSON_free(text);
	cJSON_Delete(root);
	free(ca);
	return own;
}

/* ---- what it says ---- */

void fl_exec_cred_finish(struct fl_exec_cred *c)
{
	char *const all[] = { c->token, c->cert, c->key };
	for (unsigned i = 0; i < FL_COUNT(all); i++) {
		if (all[i])
			explicit_bzero(all[i], strlen(all[i]));
		free(all[i]);
	}
	*c = (struct fl_exec_cred){ 0 };
}

/* RFC 3339, to the second. */
static bool parse_time(const char *s, uint64_t *unix_s)
{
	struct tm tm = { 0 };
	int oh = 0, om = 0;
	char sign = 0;
	const char *p = strptime(s, "%Y-%m-%dT%H:%M:%S", &tm);
	if (p && *p == '.')
		p += 1 + strspn(p + 1, "0123456789");
	if (!p)
		return false;
	bool zulu = (*p == 'Z' || *p == 'z') && !p[1];
	if (!zulu && (sscanf(p, "%c%2d:%2d", &sign, &oh, &om) != 3 || (sign != '+' && sign != '-') || strlen(p) != 6))
		return false;
	time_t t = timegm(&tm) - (sign == '-' ? -1 : 1) * (oh * 3600 + om * 60);
	*unix_s = t > 0 ? (uint64_t)t : 0;
	return true;
}

/* A text of an object, or NULL; *bad: it is there and none. */
static char *text_of(const cJSON *o, const char *key, bool *bad)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);
	*bad |= v && !cJSON_IsString(v) && !cJSON_IsNull(v);
	return cJSON_IsString(v) && *v->valuestring ? fl_xstrndup(v->valuestring, strlen(v->valuestring)) : NULL;
}

static int read_status(struct fl_exec_cred *c, const cJSON *status, struct fl_err *e)
{
	bool bad = false;
	char *expiry = text_of(status, "expirationTimestamp", &bad);
	c->token = text_of(status, "token", &bad);
	c->cert = text_of(status, "clientCertificateData", &bad);
	c->key = text_of(status, "clientKeyData", &bad);
	c->expires = expiry != NULL;
	bool when = !expiry || parse_time(expiry, &c->expiry_s);
	free(expiry);
	if (bad || !when)
		return fl_err_set(e, "decoding stdout: %s", when ? "a field of its status is no text" : "expirationTimestamp is no RFC 3339 time");
	if (!c->cert != !c->key)
		return fl_err_set(e, "exec plugin returned only certificate or key, not both");
	return c->token || c->cert ? 0 : fl_err_set(e, "exec plugin didn't return a token or cert/key pair");
}

int fl_exec_cred_parse(struct fl_exec_cred *c, const char *text, size_t n, const char *want, struct fl_err *e)
{
	cJSON *root = cJSON_ParseWithLength(text, n);
	const cJSON *version = cJSON_GetObjectItemCaseSensitive(root, "apiVersion"), *kind = cJSON_GetObjectItemCaseSensitive(root, "kind");
	const cJSON *status = cJSON_GetObjectItemCaseSensitive(root, "status");
	int ret;
	*c = (struct fl_exec_cred){ 0 };
	if (!cJSON_IsObject(root))
		ret = fl_err_set(e, "decoding stdout: couldn't get version/kind; json parse error");
	else if (!cJSON_IsString(kind) || strcmp(kind->valuestring, "ExecCredential"))
		ret = fl_err_set(e, "decoding stdout: it is no ExecCredential");
	else if (!cJSON_IsString(version) || strcmp(version->valuestring, want))
		ret = fl_err_set(e, "exec plugin is configured to use API version %s, plugin returned version %.100s", want,
				 cJSON_IsString(version) ? version->valuestring : "");
	else if (!cJSON_IsObject(status))
		ret = fl_err_set(e, "exec plugin didn't return a status field");
	else
		ret = read_status(c, status, e);
	cJSON_Delete(root);
	if (ret)
		fl_exec_cred_finish(c);
	return ret;
}

/* ---- a run ---- */

static void forget(struct fl_exec_run *r)
{
	fl_timer_clear(r->loop, &r->timer);
	if (r->out.on)
		fl_loop_del(r->loop, &r->out);
	if (r->out.fd > 0)
		close(r->out.fd);
	r->out = (struct fl_io){ 0 };
	if (r->text)
		explicit_bzero(r->text, r->cap);
	free(r->text);
	r->text = NULL;
	r->n = r->cap = 0;
	r->pid = 0;
}

static void kill_all(struct fl_exec_run *r)
{
	kill(-r->pid, SIGKILL);                 /* its group: also what it started */
	kill(r->pid, SIGKILL);
	while (waitpid(r->pid, NULL, 0) < 0 && errno == EINTR)
		;
}

void fl_exec_stop(struct fl_exec_run *r)
{
	if (!r->pid)
		return;
	kill_all(r);
	forget(r);
}

static void finish(struct fl_exec_run *r, int ret, struct fl_exec_cred *c, const struct fl_err *e)
{
	forget(r);
	r->done(r, ret, c, e);
}

static void give_up(struct fl_exec_run *r, const char *why)
{
	struct fl_err e;
	fl_err_set(&e, "exec: executable %s %s, and was killed", r->cfg->exec->name, why);
	kill_all(r);
	finish(r, -EINVAL, NULL, &e);
}

static void exited(struct fl_exec_run *r, int status)
{
	struct fl_exec_cred c = { 0 };
	struct fl_err e;
	int ret;
	kill(-r->pid, SIGKILL);                 /* what it left behind */
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		ret = fl_exec_cred_parse(&c, r->text ? r->text : "", r->n, r->cfg->exec->api_version, &e);
	else if (WIFEXITED(status))
		ret = fl_err_set(&e, "exec: executable %s failed with exit code %d", r->cfg->exec->name, WEXITSTATUS(status));
	else
		ret = fl_err_set(&e, "exec: executable %s was ended by signal %d", r->cfg->exec->name, WTERMSIG(status));
	finish(r, ret, &c, &e);
}

/* Looks after it: has it exited, is its time over? */
static void look(struct fl_exec_run *r)
{
	uint64_t now = fl_loop_tick(r->loop), end = r->started_ns + r->limit_ns;
	int status;
	pid_t got = r->ended ? waitpid(r->pid, &status, WNOHANG) : 0;
	if (got == r->pid) {
		exited(r, status);
		return;
	}
	if (now >= end) {
		give_up(r, "did not finish in time");
		return;
	}
	fl_timer_set(r->loop, &r->timer, r->ended && now + LOOK_NS < end ? now + LOOK_NS : end);
}

static void on_timer(struct fl_timer *t) { look((struct fl_exec_run *)((char *)t - offsetof(struct fl_exec_run, timer))); }

static void on_output(struct fl_io *io, uint32_t events)
{
	struct fl_exec_run *r = (struct fl_exec_run *)((char *)io - offsetof(struct fl_exec_run, out));
	(void)events;
	if (r->cap - r->n < 4096) {
		size_t cap = 2 * r->cap + 8192;
		char *more = fl_xalloc(cap);
		fl_put_bytes(more, r->text, r->n);
		if (r->text)
			explicit_bzero(r->text, r->cap);
		free(r->text);
		r->text = more;
		r->cap = cap;
	}
	ssize_t got = read(io->fd, r->text + r->n, r->cap - r->n);
	if (got < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (got > 0) {
		r->n += (size_t)got;
		if (r->n > OUTPUT_MAX)
			give_up(r, "printed more than 1 MiB");
		return;
	}
	r->ended = true;
	fl_loop_del(r->loop, io);
	look(r);
}

/* ---- starting it ---- */

/* Ours, without what it overrides, then its own. The strings are borrowed but for the last. */
static char **environment(const struct fl_kube_exec *x, char *info)
{
	char **all = fl_xalloc((ENV_MAX + x->nenv + 2) * sizeof *all);
	unsigned n = 0;
	for (char **e = environ; *e && n < ENV_MAX; e++) {
		size_t len = strcspn(*e, "=") + 1;
		bool over = !strncmp(*e, "KUBERNETES_EXEC_INFO=", len);
		for (unsigned i = 0; i < x->nenv; i++)
			over |= !strncmp(x->env[i], *e, len);
		if (!over)
			all[n++] = *e;
	}
	for (unsigned i = 0; i < x->nenv; i++)
		all[n++] = x->env[i];
	all[n] = info;
	return all;
}

static int spawn(const struct fl_kube_exec *x, char **env, int out, pid_t *pid)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, all;
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&files);
	posix_spawnattr_init(&attr);
	posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&files, out, 1);
	posix_spawnattr_setpgroup(&attr, 0);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	int ret = posix_spawnp(pid, x->argv[0], &files, &attr, x->argv, env);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attr);
	return ret;
}

static int not_started(const struct fl_kube_exec *x, int ret, struct fl_err *e)
{
	if (ret == ENOENT)
		return fl_err_set(e, "exec: executable %s not found%s%s", x->name, x->hint ? "; " : "", x->hint ? x->hint : "");
	return fl_err_set(e, "exec: executable %s: %s", x->name, strerror(ret));
}

int fl_exec_start(struct fl_exec_run *r, struct fl_err *e)
{
	const struct fl_kube_exec *x = r->cfg->exec;
	int fd[2];
	if (pipe2(fd, O_CLOEXEC | O_NONBLOCK))
		return fl_err_set(e, "exec: executable %s: pipe: %s", x->name, strerror(errno));
	char *json = fl_exec_info(r->cfg), *info = NULL;
	if (asprintf(&info, "KUBERNETES_EXEC_INFO=%s", json ? json : "{}") < 0)
		abort();
	char **env = environment(x, info);
	fcntl(fd[1], F_SETFL, 0);               /* the plugin's end waits as it is used to */
	int ret = spawn(x, env, fd[1], &r->pid);
	free(env);
	free(info);
	free(json);
	close(fd[1]);
	if (ret) {
		close(fd[0]);
		r->pid = 0;
		return not_started(x, ret, e);
	}
	r->ended = false;
	r->limit_ns = r->limit_ns ? r->limit_ns : FL_EXEC_LIMIT_NS;
	r->started_ns = fl_loop_tick(r->loop);
	r->out = (struct fl_io){ .fd = fd[0], .fn = on_output };
	r->timer.fn = on_timer;
	fl_loop_add(r->loop, &r->out, EPOLLIN);
	fl_timer_set(r->loop, &r->timer, r->started_ns + r->limit_ns);
	return 0;
}

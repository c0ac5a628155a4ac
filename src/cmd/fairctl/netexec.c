/* netexec: HTTP, UDP and SCTP servers with the endpoints that Kubernetes' network tests use (test/images/agnhost/netexec). /shell runs
 * what it is sent: as fairctl's command it must be asked for, as agnhost's it is there, because the tests need it. */
#include "cmd/fairctl/commands.h"
#include "cmd/fairctl/netexec.h"
#include "base/clock.h"
#include "base/mem.h"
#include "conf/conf.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const struct ctl_flag flags[] = {
	{ "http-port", "PORT", "HTTP Listen Port", NULL, "8080" },
	{ "udp-port", "PORT", "UDP Listen Port, -1: none", NULL, "8081" },
	{ "sctp-port", "PORT", "SCTP Listen Port, -1: none", NULL, "-1" },
	{ "udp-listen-addresses", "IP[,IP]", "A comma separated list of ip addresses the udp servers listen from", NULL, "" },
	{ "tls-cert-file", "FILE", "File containing an x509 certificate for HTTPS", "@file", "" },
	{ "tls-private-key-file", "FILE", "File containing an x509 private key matching --tls-cert-file", "@file", "" },
	{ "http-override", "PATH", "Always respond as if it were a GET with this path & params", NULL, "" },
	{ "delay-shutdown", "SECONDS", "Number of seconds to delay shutdown when receiving SIGTERM", NULL, "0" },
	{ "allow-shell", NULL, "/shell and /upload too, which agnhost always has", NULL, NULL },
	{ NULL },
};

static struct http_server server;
static int64_t http_port, udp_port, sctp_port, delay;
static const char *override;
static bool trusting;
static uint64_t begun;
static atomic_int serving;              /* UDP and SCTP servers */
static atomic_bool terminating;
extern char **environ;

/* ---- endpoints ---- */

static void root(struct http_request *r)
{
	struct timespec ts;
	struct tm tm;
	char date[64], zone[16], name[16], part[16];
	go_log("GET /");
	clock_gettime(CLOCK_REALTIME, &ts);
	localtime_r(&ts.tv_sec, &tm);
	strftime(date, sizeof date, "%Y-%m-%d %H:%M:%S", &tm);
	strftime(zone, sizeof zone, "%z", &tm);
	strftime(name, sizeof name, "%Z", &tm);
	size_t n = (size_t)snprintf(part, sizeof part, ".%09ld", ts.tv_nsec);
	while (n && (part[n - 1] == '0' || part[n - 1] == '.'))
		part[--n] = 0;
	fprintf(r->out, "NOW: %s%s %s %s m=+%.9f", date, part, zone, name, (double)(fl_clock_ns() - begun) / 1e9);
}

static void echo(struct http_request *r)
{
	char *msg = http_form(r, "msg"), *code = http_form(r, "code");
	int64_t status = 200;
	struct fl_err e;
	go_log("GET /echo?msg=%s&code=%s", msg, code);
	if (*code && go_atoi(fl_str(code), &status, &e)) {
		fputs("argument 'code' must be an integer or empty, got ", r->out);
		go_quote(r->out, fl_str(code));
		fputc('\n', r->out);
	} else {
		r->abort = status < 100 || status > 999;        /* Go panics, and the connection is gone */
		r->status = status < 200 ? 200 : (int)status;
		fputs(msg, r->out);
	}
	free(msg);
	free(code);
}

static void client_ip(struct http_request *r)
{
	char text[GO_ADDR_TEXT];
	go_log("GET /clientip");
	go_addr_text(text, &r->peer);
	fputs(text, r->out);
}

static void server_port(struct http_request *r)
{
	go_log("GET /serverport");
	fprintf(r->out, "%lld", (long long)http_port);
}

/* user-agent → User-Agent */
static void canonical(char *to, size_t cap, struct fl_str name)
{
	size_t n = name.n < cap - 1 ? name.n : cap - 1;
	for (size_t i = 0; i < n; i++)
		to[i] = (char)(i && to[i - 1] != '-' ? tolower((unsigned char)name.p[i]) : toupper((unsigned char)name.p[i]));
	to[n] = 0;
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void all_headers(struct http_request *r)
{
	char *name[HTTP_FIELDS];
	unsigned n = 0;
	for (unsigned i = 0; i < r->nfield; i++) {
		char text[256];
		canonical(text, sizeof text, r->field[i].name);
		bool seen = !strcmp(text, "Host");
		for (unsigned k = 0; k < n; k++)
			seen |= !strcmp(name[k], text);
		if (!seen)
			name[n++] = fl_xstrndup(text, strlen(text));
	}
	qsort(name, n, sizeof *name, by_name);
	fputc('{', r->out);
	for (unsigned k = 0; k < n; k++) {
		fputs(k ? "," : "", r->out);
		go_json(r->out, fl_str(name[k]));
		fputs(":[", r->out);
		const char *comma = "";
		for (unsigned i = 0; i < r->nfield; i++)
			if (fl_str_ieq(r->field[i].name, fl_str(name[k]))) {
				fputs(comma, r->out);
				go_json(r->out, r->field[i].value);
				comma = ",";
			}
		fputc(']', r->out);
		free(name[k]);
	}
	fputc('}', r->out);
}

static void header(struct http_request *r)
{
	char *key = http_form(r, "key");
	if (*key) {
		struct fl_str value = http_field(r, key);
		go_log("GET /header?key=%s", key);
		fwrite(value.p, 1, value.n, r->out);
	} else {
		go_log("GET /header");
		all_headers(r);
	}
	free(key);
}

static void healthz(struct http_request *r)
{
	go_log("GET /healthz");
	r->status = atomic_load(&serving) ? 200 : 412;
}

static void readyz(struct http_request *r)
{
	go_log("GET /readyz");
	bool leaving = atomic_load(&terminating), ok = atomic_load(&serving);
	r->status = leaving ? 503 : ok ? 200 : 412;
	fputs(leaving ? "shutting down" : ok ? "ok" : "", r->out);
}

static void hostname(struct http_request *r)
{
	go_log("GET %.*s", FL_FMT(r->path));
	fputs(go_hostname(), r->out);
}

static void envvar(struct http_request *r)
{
	char *name = http_form(r, "var"), text[600];
	const char *value = *name ? getenv(name) : NULL;
	if (*name)
		go_log("GET /envvar?var=%s", name);
	snprintf(text, sizeof text, "env var \"%.500s\" is not set", name);
	if (!*name)
		http_error(r, 400, "'var' query parameter is required");
	else if (!value)
		http_error(r, 500, text);
	else
		fputs(value, r->out);
	free(name);
}

/* As Go's path.Clean, for a path that begins with a slash; its last slash stays. */
static void clean(char *path)
{
	char *to = path, *p = path, *end = path + strlen(path);
	bool slash = end > path && end[-1] == '/';
	while (*p) {
		while (*p == '/')
			p++;
		size_t n = strcspn(p, "/");
		if (n == 2 && p[0] == '.' && p[1] == '.') {
			while (to > path && *--to != '/')
				;
		} else if (n && !(n == 1 && *p == '.')) {
			*to++ = '/';
			memmove(to, p, n);
			to += n;
		}
		p += n;
	}
	if (to == path || slash)
		*to++ = '/';
	*to = 0;
}

static void html(FILE *to, const char *s)
{
	for (; *s; s++)
		switch (*s) {
		case '&': fputs("&amp;", to); break;
		case '<': fputs("&lt;", to); break;
		case '>': fputs("&gt;", to); break;
		case '"': fputs("&#34;", to); break;
		case '\'': fputs("&#39;", to); break;
		default: fputc(*s, to);
		}
}

/* Go's http.Redirect. */
static void redirect_to(struct http_request *r, const char *location, int code)
{
	char where[1500], query[700] = "";
	size_t scheme = strspn(location, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.");
	bool absolute = scheme && location[scheme] == ':';
	snprintf(where, sizeof where, "%s%.700s", absolute || *location == '/' ? "" : "/", location);
	char *mark = strchr(where, '?');
	if (!absolute) {
		snprintf(query, sizeof query, "%s", mark ? mark : "");
		if (mark)
			*mark = 0;
		clean(where);
		snprintf(where + strlen(where), sizeof where - strlen(where), "%s", query);
	}
	r->status = code;
	size_t n = (size_t)snprintf(r->extra, sizeof r->extra, "Location: ");
	for (const char *p = where; *p && n < sizeof r->extra - 8; p++)
		n += (size_t)snprintf(r->extra + n, 4, (unsigned char)*p < ' ' || (unsigned char)*p > 126 ? "%%%02X" : "%c", (unsigned char)*p);
	snprintf(r->extra + n, sizeof r->extra - n, "\r\n");
	if (!fl_str_is(r->method, "GET") && !fl_str_is(r->method, "HEAD"))
		return;
	r->type = "text/html; charset=utf-8";
	fputs("<a href=\"", r->out);
	html(r->out, where);
	fprintf(r->out, "\">%s</a>.\n\n", http_status(code));
}

static void redirect(struct http_request *r)
{
	char *location = http_form(r, "location"), *code = http_form(r, "code");
	int64_t status = 302;
	struct fl_err e;
	go_log("%.*s /redirect?msg=%s&code=%s", FL_FMT(r->method), location, code);
	if (*code && go_atoi(fl_str(code), &status, &e)) {
		fputs("argument 'code' must be an integer or empty, got ", r->out);
		go_quote(r->out, fl_str(code));
		fputc('\n', r->out);
	} else if (status < 100 || status > 999) {
		r->abort = true;
	} else {
		redirect_to(r, location, (int)status);
	}
	free(location);
	free(code);
}

/* ---- the end ---- */

struct leaving { int code; int64_t timeout; };

static void *drain(void *arg)
{
	struct leaving *l = arg;
	usleep(1000);
	http_drain(&server, (uint64_t)l->timeout);
	go_log("Graceful shutdown completed with: <nil>");
	_exit(l->code);
}

static bool wrong(struct http_request *r, const char *name, const char *kind, const char *value, int ret)
{
	if (!*value || !ret)
		return false;
	fprintf(r->out, "argument '%s' must be %s or empty, got ", name, kind);
	go_quote(r->out, fl_str(value));
	fputc('\n', r->out);
	return true;
}

static void leave(struct http_request *r)
{
	static struct leaving l;
	char *wait = http_form(r, "wait"), *timeout = http_form(r, "timeout"), *code = http_form(r, "code");
	int64_t wait_ns = 0, timeout_ns = 0, status = 0;
	struct fl_err e;
	go_log("GET /exit?code=%s&timeout=%s&wait=%s", code, timeout, wait);
	bool bad = wrong(r, "timeout", "a valid golang duration", timeout, fl_duration_parse(fl_str(timeout), &timeout_ns, NULL)) ||
		   wrong(r, "wait", "a valid golang duration", wait, fl_duration_parse(fl_str(wait), &wait_ns, NULL)) ||
		   wrong(r, "code", "an integer [0-127]", code, *code ? go_atoi(fl_str(code), &status, &e) : 0);
	free(wait);
	free(timeout);
	free(code);
	if (bad)
		return;
	char a[32], b[32];
	fl_duration_text(a, wait_ns);
	fl_duration_text(b, timeout_ns);
	go_log("Will begin shutdown in %s, allowing %s for connections to close, then will exit with %lld", a, b, (long long)status);
	if (wait_ns > 0)
		nanosleep(&(struct timespec){ wait_ns / (int64_t)FL_SEC, wait_ns % (int64_t)FL_SEC }, NULL);
	if (timeout_ns <= 0)
		_exit((int)(status & 255));
	pthread_t t;
	l = (struct leaving){ (int)(status & 255), timeout_ns };
	if (!pthread_create(&t, NULL, drain, &l))
		pthread_detach(t);
}

static void shutdown_now(struct http_request *r)
{
	(void)r;
	go_log("GET /shutdown");
	_exit(0);
}

/* ---- a shell, and files ---- */

static void print_result(struct http_request *r, const char *error, struct fl_str output)
{
	fputc('{', r->out);
	if (*error) {
		fputs("\"error\":", r->out);
		go_json(r->out, fl_str(error));
	}
	if (output.n) {
		fputs(*error ? ",\"output\":" : "\"output\":", r->out);
		go_json(r->out, output);
	}
	fputc('}', r->out);
}

/* All that the command prints, and "" or why it failed. */
static char *command(char *cmd, size_t *n, char error[128])
{
	enum { OUTPUT_MAX = 64 << 20 };
	int p[2], status;
	pid_t pid;
	char *text = fl_xalloc(1);
	posix_spawn_file_actions_t io;
	*n = 0;
	if (pipe2(p, O_CLOEXEC)) {
		snprintf(error, 128, "pipe: %s", go_errno(errno));
		return text;
	}
	posix_spawn_file_actions_init(&io);
	posix_spawn_file_actions_addopen(&io, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&io, p[1], 1);
	posix_spawn_file_actions_adddup2(&io, p[1], 2);
	sigset_t none;
	posix_spawnattr_t attr;
	sigemptyset(&none);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	int ret = posix_spawn(&pid, "/bin/sh", &io, &attr, (char *[]){ "/bin/sh", "-c", cmd, NULL }, environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&io);
	close(p[1]);
	for (ssize_t got; !ret;) {
		text = fl_xrealloc(text, *n + 65537);
		got = read(p[0], text + *n, 65536);
		if (got <= 0 && !(got < 0 && errno == EINTR))
			break;
		*n += got > 0 && *n < OUTPUT_MAX ? (size_t)got : 0;
	}
	close(p[0]);
	*error = 0;
	if (ret)
		snprintf(error, 128, "fork/exec /bin/sh: %s", go_errno(ret));
	else if (waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status))
		snprintf(error, 128, "exit status %d", WEXITSTATUS(status));
	else if (!ret && WIFSIGNALED(status))
		snprintf(error, 128, "signal: %s", WTERMSIG(status) == SIGKILL ? "killed" : WTERMSIG(status) == SIGTERM ? "terminated" : strsignal(WTERMSIG(status)));
	return text;
}

static void shell(struct http_request *r)
{
	char *cmd = http_form(r, "shellCommand"), error[128];
	size_t n;
	if (!*cmd) {
		free(cmd);
		cmd = http_form(r, "cmd");
	}
	go_log("GET /shell?cmd=%s", cmd);
	char *text = command(cmd, &n, error);
	print_result(r, error, (struct fl_str){ text, n });
	free(text);
	free(cmd);
}

/* The content of the part named "file" of a multipart form; false: there is none. */
static bool form_file(const struct http_request *r, struct fl_str *file)
{
	struct fl_str type = http_field(r, "Content-Type"), rest = r->body;
	const char *mark = type.n ? memmem(type.p, type.n, "boundary=", 9) : NULL;
	if (!mark)
		return false;
	struct fl_str b = { mark + 9, type.n - (size_t)(mark + 9 - type.p) };
	fl_str_cut(b, ';', &b);
	if (b.n > 2 && b.p[0] == '"')
		b = (struct fl_str){ b.p + 1, b.n - 2 };
	char line[80];
	int n = snprintf(line, sizeof line, "--%.*s", (int)(b.n < 72 ? b.n : 72), b.p);
	for (;;) {
		char *at = rest.n ? memmem(rest.p, rest.n, line, (size_t)n) : NULL;
		if (!at)
			return false;
		rest = (struct fl_str){ at + n, rest.n - (size_t)(at + n - rest.p) };
		char *body = memmem(rest.p, rest.n, "\r\n\r\n", 4), *end = body ? memmem(body, rest.n - (size_t)(body - rest.p), line, (size_t)n) : NULL;
		if (!end)
			return false;
		struct fl_str head = { rest.p, (size_t)(body - rest.p) };
		if (memmem(head.p, head.n, "name=\"file\"", 11) && memmem(head.p, head.n, "filename=", 9)) {
			*file = (struct fl_str){ body + 4, (size_t)(end - body) - 6 };
			return end >= body + 6;
		}
	}
}

static void upload(struct http_request *r)
{
	struct fl_str file;
	char path[] = "/uploads/uploadXXXXXX";
	go_log("GET /upload");
	if (!form_file(r, &file))
		return print_result(r, "Unable to upload file.", FL_STR(""));
	int fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return print_result(r, "Unable to open file for write", FL_STR(""));
	bool ok = true;
	while (file.n && ok) {
		ssize_t n = write(fd, file.p, file.n);
		ok = n > 0;
		file = (struct fl_str){ file.p + (ok ? n : 0), file.n - (ok ? (size_t)n : 0) };
	}
	ok = ok && !fchmod(fd, 0700);
	close(fd);
	if (!ok)
		return print_result(r, "Unable to write file.", FL_STR(""));
	go_log("Wrote upload to %s", path);
	r->status = 201;
	print_result(r, "", fl_str(path));
}

static void handle(struct http_request *r)
{
	static const struct { const char *path; void (*fn)(struct http_request *); bool trust; } all[] = {
		{ "/clientip", client_ip }, { "/serverport", server_port }, { "/header", header }, { "/dial", netexec_dial }, { "/echo", echo },
		{ "/exit", leave }, { "/healthz", healthz }, { "/readyz", readyz }, { "/hostname", hostname }, { "/hostName", hostname },
		{ "/envvar", envvar }, { "/redirect", redirect }, { "/shutdown", shutdown_now }, { "/shell", shell, true }, { "/upload", upload, true },
	};
	if (*override) {
		struct fl_str path;
		r->method = FL_STR("GET");
		r->query = fl_str_cut(fl_str(override), '?', &path);
		free((char *)(uintptr_t)r->path.p);
		r->path = fl_str(fl_xstrndup(path.p, path.n));
		r->body.n = r->nfield = 0;
		r->peer.len = 0;
	}
	for (unsigned i = 0; i < FL_COUNT(all); i++)
		if (fl_str_is(r->path, all[i].path)) {
			if (all[i].trust && !trusting)
				return http_error(r, 403, "not without --allow-shell");
			return all[i].fn(r);
		}
	root(r);
}

/* ---- UDP and SCTP ---- */

/* The reply to a message; false: none. */
static bool verb(char *text, const char *peer, int64_t port, char *to, size_t cap, int *n)
{
	struct fl_str raw = fl_str_trim(fl_str(text));
	char low[2049];
	snprintf(low, sizeof low, "%.*s", FL_FMT(raw));
	for (char *p = low; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	if (!strcmp(low, "hostname")) {
		*n = snprintf(to, cap, "%s", go_hostname());
	} else if (!strncmp(low, "echo ", 5)) {
		*n = snprintf(to, cap, "%s", low + 5);          /* lower case: agnhost's way */
	} else if (!strncmp(low, "envvar ", 7)) {
		char name[2049];
		struct fl_str rest = fl_str_trim((struct fl_str){ raw.p + 7, raw.n - 7 });
		snprintf(name, sizeof name, "%.*s", FL_FMT(rest));
		const char *value = getenv(name);
		*n = snprintf(to, cap, "%s", value ? value : "");
	} else if (!strcmp(low, "clientip")) {
		*n = snprintf(to, cap, "%s", peer);
	} else if (!strcmp(low, "serverport")) {
		*n = snprintf(to, cap, "%lld", (long long)port);
	} else {
		if (*low)
			go_log("Unknown command received from %s: %s", peer, low);
		return false;
	}
	*n = *n < (int)cap ? *n : (int)cap - 1;
	return true;
}

static void *udp(void *arg)
{
	int fd = (int)(intptr_t)arg, n;
	char buf[2049], reply[4096], text[GO_ADDR_TEXT];
	for (;;) {
		struct go_addr peer = { .len = sizeof peer.sa };
		ssize_t got = recvfrom(fd, buf, sizeof buf - 1, 0, (struct sockaddr *)&peer.sa, &peer.len);
		if (got < 0)
			continue;
		buf[got] = 0;
		go_addr_text(text, &peer);
		if (verb(buf, text, udp_port, reply, sizeof reply, &n) && sendto(fd, reply, (size_t)n, 0, (struct sockaddr *)&peer.sa, peer.len) < 0)
			go_log("write udp %s: %s", text, go_errno(errno));
	}
	return NULL;
}

static void *sctp(void *arg)
{
	int fd = (int)(intptr_t)arg, n;
	char buf[1025], reply[4096], text[GO_ADDR_TEXT];
	for (;;) {
		struct go_addr peer = { .len = sizeof peer.sa };
		int c = accept4(fd, (struct sockaddr *)&peer.sa, &peer.len, SOCK_CLOEXEC);
		if (c < 0)
			continue;
		go_deadline(c, fl_clock_ns() + 5 * FL_SEC);
		ssize_t got = recv(c, buf, sizeof buf - 1, 0);
		buf[got > 0 ? got : 0] = 0;
		go_addr_text(text, &peer);
		if (got > 0 && verb(buf, text, sctp_port, reply, sizeof reply, &n) && send(c, reply, (size_t)n, MSG_NOSIGNAL) < 0)
			go_log("write sctp %s: %s", text, go_errno(errno));
		close(c);
	}
	return NULL;
}

static void start(const char *address, int64_t port, bool is_udp)
{
	pthread_t t;
	int fd = go_listen(address, (unsigned)port, is_udp ? SOCK_DGRAM : SOCK_STREAM, is_udp ? 0 : IPPROTO_SCTP);
	if (fd < 0)
		go_fatal("Error occurred: failed to create listener for %s address %s:%lld:listen %s %s:%lld: bind: %s", is_udp ? "UDP" : "SCTP", address,
			 (long long)port, is_udp ? "udp" : "sctp", address, (long long)port, go_errno(-fd));
	if (is_udp)
		go_log("Started UDP server on port %s %lld", address, (long long)port);
	else
		go_log("Started SCTP server");
	atomic_fetch_add(&serving, 1);
	if (pthread_create(&t, NULL, is_udp ? udp : sctp, (void *)(intptr_t)fd))
		go_fatal("no thread could be started");
	pthread_detach(t);
}

static void start_udp(const char *addresses)
{
	struct fl_str rest = fl_str(addresses), one;
	char seen[64][64];
	unsigned n = 0;
	if (!rest.n)
		return start("", udp_port, true);
	for (bool last = false; !last && n < FL_COUNT(seen); n++) {
		last = !memchr(rest.p, ',', rest.n);
		rest = fl_str_cut(rest, ',', &one);
		snprintf(seen[n], sizeof seen[n], "%.*s", FL_FMT(one));
		struct fl_str host = fl_str(seen[n]);
		bool again = false;
		for (unsigned i = 0; i < n; i++)
			again |= !strcmp(seen[i], seen[n]);
		if (!host.n || strspn(seen[n], "0123456789abcdefABCDEF.:") != host.n || !strpbrk(seen[n], ".:"))
			go_fatal("parseAddress: invalid address %s", seen[n]);
		if (!again)
			start(seen[n], udp_port, true);
	}
}

static void *signals(void *arg)
{
	int sig;
	sigwait(arg, &sig);
	atomic_store(&terminating, true);
	if (delay > 0) {
		go_log("Sleeping %lld seconds before terminating...", (long long)delay);
		sleep((unsigned)delay);
	}
	_exit(0);
}

static int run(struct ctl *c)
{
	static sigset_t set;
	pthread_t t;
	begun = fl_clock_ns();
	int ret = ctl_int(c, "http-port", 0, 65535, &http_port);
	if (!ret)
		ret = ctl_int(c, "udp-port", -1, 65535, &udp_port);
	if (!ret)
		ret = ctl_int(c, "sctp-port", -1, 65535, &sctp_port);
	if (!ret)
		ret = ctl_int(c, "delay-shutdown", 0, 86400, &delay);
	if (ret)
		return ret;
	override = ctl_text(c, "http-override");
	trusting = c->agnhost || ctl_on(c, "allow-shell");
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	if (udp_port != -1)
		start_udp(ctl_text(c, "udp-listen-addresses"));
	if (sctp_port != -1)
		start("", sctp_port, false);
	bool tls = *ctl_text(c, "tls-cert-file");
	server = (struct http_server){ .handle = handle, .cert = tls ? ctl_text(c, "tls-cert-file") : NULL, .key = ctl_text(c, "tls-private-key-file") };
	server.fd = go_listen("", (unsigned)http_port, SOCK_STREAM, 0);
	go_log("Started HTTP server on port %lld", (long long)http_port);
	if (server.fd < 0)
		go_fatal("listen tcp :%lld: bind: %s", (long long)http_port, go_errno(-server.fd));
	http_serve(&server);
	if (pthread_create(&t, NULL, signals, &set))
		go_fatal("no thread could be started");
	pthread_join(t, NULL);
	return 0;
}

const struct ctl_command ctl_netexec = {
	.name = "netexec", .about = "Creates HTTP(S), UDP, and (optionally) SCTP servers with various endpoints", .flag = flags, .serves = true,
	.agnhost = true, .main = run,
};

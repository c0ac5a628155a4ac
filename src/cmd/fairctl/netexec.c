/* netexec: HTTP, UDP and SCTP servers with the endpoints that Kubernetes' network tests use (test/images/agnhost/netexec). /shell runs
 * what it is sent: as fairctl's command it must be asked for, as agnhost's it is there, because the tests need it. */
#include "cmd/fairctl/commands.h"
#include "cmd/fairctl/netexec.h"
#include "base/clock.h"
#include "base/mem.h"
#include "conf/conf.h"
#include <ctype.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
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
static int64_t http_port, delay;
static const char *override;
static bool trusting;
static uint64_t begun;
static atomic_bool terminating;

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
	r->status = netexec_serving() ? 200 : 412;
}

static void readyz(struct http_request *r)
{
	go_log("GET /readyz");
	bool leaving = atomic_load(&terminating), ok = netexec_serving();
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

static void handle(struct http_request *r)
{
	static const struct { const char *path; void (*fn)(struct http_request *); bool trust; } all[] = {
		{ "/clientip", client_ip }, { "/serverport", server_port }, { "/header", header }, { "/dial", netexec_dial }, { "/echo", echo },
		{ "/exit", leave }, { "/healthz", healthz }, { "/readyz", readyz }, { "/hostname", hostname }, { "/hostName", hostname },
		{ "/envvar", envvar }, { "/redirect", redirect }, { "/shutdown", shutdown_now }, { "/shell", netexec_shell, true }, { "/upload", netexec_upload, true },
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

/* ---- the command ---- */

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
	int64_t udp_port, sctp_port;
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
		netexec_start_udp(ctl_text(c, "udp-listen-addresses"), udp_port);
	if (sctp_port != -1)
		netexec_start_sctp(sctp_port);
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

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/metric.h"
#include "ctl/guard.h"
#include "ctl/http.h"
#include "ctl/process.h"

/* The loop runs under the virtual clock: 5 s pass when the test says so. Clients are sockets of this same thread. */
static struct fl_loop *loop;
static bool clean;               /* the test came to its end: only then may fl_http_finish() look */

static void ok(void *arg, const struct fl_http_request *rq, struct fl_http_response *rs)
{
	(void)rq;
	fl_http_reply(rs, 200, arg);
}

static void echo(void *arg, const struct fl_http_request *rq, struct fl_http_response *rs)
{
	struct fl_str rest = rq->query, agent = fl_http_header(rq, "User-Agent");
	struct fl_http_param p;
	(void)arg;
	fl_http_printf(rs, "%.*s %.*s|%.*s|", FL_FMT(rq->method), FL_FMT(rq->path), FL_FMT(agent));
	while (fl_http_param(&rest, &p))
		fl_http_printf(rs, "%.*s=%.*s;", FL_FMT(p.name), FL_FMT(p.value));
}

static void big(void *arg, const struct fl_http_request *rq, struct fl_http_response *rs)
{
	(void)rq;
	for (size_t i = 0; i < *(size_t *)arg; i++)
		fl_http_write(rs, "0123456789abcdef", 16);
}

static int setup(void **state)
{
	(void)state;
	clean = false;
	fl_clock_virtual(FL_SEC);
	loop = fl_loop_create();
	return loop ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	if (!clean)
		return -1;
	fl_http_finish(loop);
	fl_loop_destroy(loop);
	return 0;
}

static struct fl_http_face *face(const char *addr, const char *path, fl_http_handler *fn, void *arg)
{
	struct fl_http_face *f = NULL;
	struct fl_err e = { "" };
	if (fl_http_listen(loop, fl_str(addr), path, fn, arg, &f, &e))
		fail_msg("%s", e.msg);
	return f;
}

static int dial(uint16_t port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
	return fd;
}

static void say(int fd, const char *text) { assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text)); }

/* What has come so far; *closed: and nothing more will. */
static char got[1 << 20];
static const char *hear(int fd, bool *closed)
{
	size_t n = 0;
	*closed = false;
	fl_loop_run_until_idle(loop);
	for (;;) {
		ssize_t r = recv(fd, got + n, sizeof got - 1 - n, MSG_DONTWAIT);
		*closed = r == 0 || (r < 0 && errno != EAGAIN);
		if (r <= 0)
			break;
		n += (size_t)r;
		fl_loop_run_until_idle(loop);
	}
	got[n] = 0;
	/* The date stands still with the clock. */
	char *date = strstr(got, "Date: ");
	while (date) {
		char *end = strchr(date, '\r');
		memmove(date, end + 2, strlen(end + 2) + 1);
		date = strstr(got, "Date: ");
	}
	return got;
}

static const char *ask(uint16_t port, const char *text, bool *closed)
{
	int fd = dial(port);
	say(fd, text);
	const char *answer = hear(fd, closed);
	close(fd);
	fl_loop_run_until_idle(loop);
	return answer;
}

static void nowhere(void *arg, const char *p, size_t n) { (void)arg, (void)p, (void)n; }

static double dropped(const char *reason)
{
	static const char *const reasons[] = { "bad_request", "large_header", "timeout", "evicted" };
	static const struct fl_dim dim = { 4, reasons };
	static const struct fl_metric_def def = { .name = "fairlead_admin_http_dropped_total", .kind = FL_COUNTER,
						  .labels = { "reason" } };
	struct fl_grid *g = fl_metric_grid(fl_metric(&def), NULL, &dim, 1);
	fl_metric_expose_named(NULL, 0, nowhere, NULL);         /* it is counted when somebody looks */
	for (unsigned i = 0; i < 4; i++)
		if (!strcmp(reasons[i], reason))
			return fl_grid_value(g, i);
	fail();
	return 0;
}

#define PLAIN "Content-Type: text/plain; charset=utf-8\r\n"
#define OK200 "HTTP/1.1 200 OK\r\n" PLAIN "Content-Length: 2\r\n\r\nOK"
#define NOT_FOUND "HTTP/1.1 404 Not Found\r\n" PLAIN \
	"X-Content-Type-Options: nosniff\r\nContent-Length: 19\r\n\r\n404 page not found\n"
#define REFUSED(words) "HTTP/1.1 " words "\r\n" PLAIN "Connection: close\r\n\r\n" words

#define X16 "xxxxxxxxxxxxxxxx"
#define X64 X16 X16 X16 X16
#define X256 X64 X64 X64 X64

/* Requests and what Go's server says to them. */
static void test_answers(void **state)
{
	(void)state;
	static const struct { const char *ask, *answer; bool closes; } rows[] = {
		{ "GET /health HTTP/1.1\r\nHost: a\r\n\r\n", OK200, false },
		{ "GET /health HTTP/1.1\nHost: a\n\n", OK200, false },
		{ "\r\nPOST /health?x=%zz HTTP/1.1\r\nhost:a\r\nContent-Length: 0\r\n\r\n", OK200, false },
		{ "GET http://x.test/%68ealth HTTP/1.1\r\nHost: a\r\n\r\n", OK200, false },
		{ "GET /health HTTP/1.0\r\n\r\n", "HTTP/1.0 200 OK\r\n" PLAIN "Content-Length: 2\r\n\r\nOK", true },
		{ "GET /health HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
		  "HTTP/1.0 200 OK\r\n" PLAIN "Content-Length: 2\r\nConnection: keep-alive\r\n\r\nOK", false },
		{ "GET /health HTTP/1.1\r\nHost: a\r\nConnection: x, close\r\n\r\n",
		  "HTTP/1.1 200 OK\r\n" PLAIN "Content-Length: 2\r\nConnection: close\r\n\r\nOK", true },
		{ "HEAD /health HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\n" PLAIN "Content-Length: 2\r\n\r\n", false },
		{ "GET / HTTP/1.1\r\nHost: a\r\n\r\n", NOT_FOUND, false },
		{ "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", NOT_FOUND, false },
		{ "GET http://x.test HTTP/1.1\r\nHost: a\r\n\r\n", NOT_FOUND, false },
		/* a pipeline, with a body in it */
		{ "POST /health HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /x HTTP/1.1\r\nHost: a\r\n\r\n",
		  OK200 NOT_FOUND, false },
		{ "POST /health HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		  OK200, false },
		{ "POST /health HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n",
		  "HTTP/1.1 100 Continue\r\n\r\n", false },
		{ "GET /echo?a=%20b+c&&d&%zz=1&name%5B%5D=x HTTP/1.1\r\nHost: a\r\nuser-agent:  me \r\n\r\n",
		  "HTTP/1.1 200 OK\r\n" PLAIN "Content-Length: 32\r\n\r\nGET /echo|me|a= b c;d=;name[]=x;", false },
		{ "PUT /tree/a%2fb HTTP/1.1\r\nHost: a\r\n\r\n",
		  "HTTP/1.1 200 OK\r\n" PLAIN "Content-Length: 15\r\n\r\nPUT /tree/a/b||", false },
		{ "GET /tree/leaf HTTP/1.1\r\nHost: a\r\n\r\n", OK200, false },
		/* sent to the clean path */
		{ "GET //x/../health HTTP/1.1\r\nHost: a\r\n\r\n",
		  "HTTP/1.1 307 Temporary Redirect\r\nContent-Type: text/html; charset=utf-8\r\nLocation: /health\r\n"
		  "Content-Length: 43\r\n\r\n<a href=\"/health\">Temporary Redirect</a>.\n\n", false },
		{ "POST /../a%0d%0a%22/./?b=c%20<\"> HTTP/1.1\r\nHost: a\r\n\r\n",
		  "HTTP/1.1 307 Temporary Redirect\r\nContent-Type: text/html; charset=utf-8\r\nLocation: /a%0D%0A%22/?b=c%20%3C%22%3E\r\n"
		  "Content-Length: 0\r\n\r\n", false },
		{ "GET //" X256 " HTTP/1.1\r\nHost: a\r\n\r\n", NOT_FOUND, false },
		/* refused */
		{ "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n",
		  "HTTP/1.1 400 Bad Request\r\n" PLAIN "Content-Length: 15\r\n\r\n400 Bad Request", false },
		{ "GET /health\r\n\r\n", REFUSED("400 Bad Request"), true },
		{ "GET health HTTP/1.1\r\nHost: a\r\n\r\n", REFUSED("400 Bad Request"), true },
		{ "G(T /health HTTP/1.1\r\nHost: a\r\n\r\n", REFUSED("400 Bad Request"), true },
		{ "GET  /health HTTP/1.1\r\nHost: a\r\n\r\n", REFUSED("400 Bad Request"), true },
		{ "GET /health HTTP/1.1\r\n\r\n", REFUSED("400 Bad Request: missing required Host header"), true },
		{ "GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
		  REFUSED("400 Bad Request: too many Host headers"), true },
		{ "GET /health HTTP/1.1\r\nHost: a\r\nb : c\r\n\r\n", REFUSED("400 Bad Request: invalid header name"), true },
		{ "GET /health HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", REFUSED("400 Bad Request: invalid header name"), true },
		{ "GET /health HTTP/1.1\r\nHost: a\r\nb: \x01\r\n\r\n",
		  REFUSED("400 Bad Request: invalid header value"), true },
		{ "GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: -0\r\n\r\n",
		  REFUSED("400 Bad Request: invalid Content-Length"), true },
		{ "GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n",
		  REFUSED("400 Bad Request: invalid Content-Length"), true },
		{ "GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
		  REFUSED("400 Bad Request"), true },
		{ "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		  REFUSED("505 HTTP Version Not Supported: unsupported protocol version"), true },
	};
	struct fl_http_face *f[] = { face("127.0.0.1:0", "/health", ok, "OK"), face("127.0.0.1:0", "/echo", echo, NULL),
		face("127.0.0.1:0", "/tree/", echo, NULL), face("127.0.0.1:0", "/tree/leaf", ok, "OK") };
	for (size_t i = 0; i < FL_COUNT(rows); i++) {
		bool closed;
		const char *answer = ask(fl_http_port(f[0]), rows[i].ask, &closed);
		if (strcmp(answer, rows[i].answer) || closed != rows[i].closes)
			fail_msg("%s\ngot (%s):\n%s\nexpected:\n%s", rows[i].ask, closed ? "closed" : "open", answer,
				 rows[i].answer);
	}
	assert_true(dropped("bad_request") == 13);
	for (size_t i = 0; i < FL_COUNT(f); i++)
		fl_http_close(f[i]);
	fl_http_close(NULL);
	clean = true;
}

static void test_bytewise(void **state)
{
	(void)state;
	static const char first[] = "GET /health HTTP/1.1\r\nHost: a\r\n\r\n", text[] = "GET /health HTTP/1.1\r\nHost: a\r\n\r\n"
											 "GET /health HTTP/1.0\r\n\r\n";
	struct fl_http_face *f = face("127.0.0.1:0", "/health", ok, "OK");
	int fd = dial(fl_http_port(f));
	bool closed = false;
	for (const char *p = text; *p; p++) {
		assert_int_equal(send(fd, p, 1, MSG_NOSIGNAL), 1);
		const char *answer = hear(fd, &closed);
		if (p - text == sizeof first - 2)
			assert_string_equal(answer, OK200);
		else if (p[1])
			assert_string_equal(answer, "");
		else
			assert_string_equal(answer, "HTTP/1.0 200 OK\r\n" PLAIN "Content-Length: 2\r\n\r\nOK");
	}
	assert_true(closed);
	close(fd);
	fl_http_close(f);
	clean = true;
}

/* Heads without an end and without a limit. */
static void test_large(void **state)
{
	(void)state;
	struct fl_http_face *f = face("127.0.0.1:0", "/health", ok, "OK");
	static char flood[40000], lines[4096] = "GET /health HTTP/1.1\r\nHost: a\r\n";
	bool closed;
	double before = dropped("large_header");
	int n = snprintf(flood, sizeof flood, "GET /health HTTP/1.1\r\nHost: a\r\nX: ");
	memset(flood + n, 'x', sizeof flood - 1 - (size_t)n);
	assert_string_equal(ask(fl_http_port(f), flood, &closed), REFUSED("431 Request Header Fields Too Large"));
	assert_true(closed);
	for (int i = 0; i < 100; i++)
		strcat(lines, "a: b\r\n");
	strcat(lines, "\r\n");
	assert_string_equal(ask(fl_http_port(f), lines, &closed), REFUSED("431 Request Header Fields Too Large"));
	assert_true(dropped("large_header") == before + 2);
	fl_http_close(f);
	clean = true;
}

/* Silence, a head in drips, an answer that nobody reads. */
static void test_timeouts(void **state)
{
	(void)state;
	size_t pieces = 1 << 20;                /* 16 MiB: more than socket buffers take */
	struct fl_http_face *f = face("127.0.0.1:0", "/health", ok, "OK"), *g = face("127.0.0.1:0", "/big", big, &pieces);
	int silent = dial(fl_http_port(f)), drips = dial(fl_http_port(f)), deaf = dial(fl_http_port(f));
	double before = dropped("timeout");
	bool closed;
	say(deaf, "GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
	say(drips, "GET /");
	fl_loop_run_until_idle(loop);
	fl_loop_advance(loop, 4 * FL_SEC);
	say(drips, "health");
	assert_string_equal(hear(drips, &closed), "");
	assert_false(closed);
	hear(silent, &closed);
	assert_false(closed);
	fl_loop_advance(loop, FL_SEC);
	hear(drips, &closed);
	assert_true(closed);
	hear(silent, &closed);
	assert_true(closed);
	assert_true(dropped("timeout") == before + 2);          /* silence is no fault */
	/* One that answered in time may idle as long again. */
	int kept = dial(fl_http_port(f));
	fl_loop_run_until_idle(loop);
	fl_loop_advance(loop, 4 * FL_SEC);
	say(kept, "GET /health HTTP/1.1\r\nHost: a\r\n\r\n");
	assert_string_equal(hear(kept, &closed), OK200);
	fl_loop_advance(loop, 4 * FL_SEC);
	say(kept, "GET /health HTTP/1.1\r\nHost: a\r\n\r\n");
	assert_string_equal(hear(kept, &closed), OK200);
	close(kept);
	close(silent);
	close(drips);
	close(deaf);
	fl_http_close(f);
	fl_http_close(g);
	clean = true;
}

static void test_big(void **state)
{
	(void)state;
	size_t pieces = 60000;
	struct fl_http_face *f = face("127.0.0.1:0", "/big", big, &pieces);
	int fd = dial(fl_http_port(f)), small = 4096;
	bool closed;
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
	say(fd, "GET /big HTTP/1.0\r\n\r\n");
	size_t n = 0, r;
	do {
		hear(fd, &closed);
		r = strlen(got);
		n += r;
		if (!r && !closed) {
			struct pollfd p = { .fd = fd, .events = POLLIN };
			assert_int_equal(poll(&p, 1, 5000), 1);
		}
	} while (!closed);
	assert_true(n > pieces * 16);
	assert_true(n < pieces * 16 + 200);
	close(fd);
	fl_http_close(f);
	clean = true;
}

/* One client too many: who has been silent longest goes. */
static void test_evict(void **state)
{
	(void)state;
	struct fl_http_face *f = face("127.0.0.1:0", "/health", ok, "OK");
	int fd[FL_HTTP_CONNS + 1];
	double before = dropped("evicted");
	bool closed;
	for (int i = 0; i < FL_HTTP_CONNS; i++) {
		fd[i] = dial(fl_http_port(f));
		fl_loop_run_until_idle(loop);
	}
	say(fd[0], "GET /health HTTP/1.1\r\nHost: a\r\n\r\n");
	assert_string_equal(hear(fd[0], &closed), OK200);
	fd[FL_HTTP_CONNS] = dial(fl_http_port(f));
	say(fd[FL_HTTP_CONNS], "GET /health HTTP/1.1\r\nHost: a\r\n\r\n");
	assert_string_equal(hear(fd[FL_HTTP_CONNS], &closed), OK200);
	for (int i = 0; i < FL_HTTP_CONNS + 1; i++) {
		hear(fd[i], &closed);
		assert_int_equal(closed, i == 1);
		close(fd[i]);
	}
	assert_true(dropped("evicted") == before + 1);
	fl_http_close(f);
	clean = true;
}

/* A reload: the new face comes before the old one goes; socket and clients stay, and a failed one leaves the old in place. */
static void test_reload(void **state)
{
	(void)state;
	struct fl_http_face *old = face("127.0.0.1:0", "/health", ok, "old"), *new, *other = face("127.0.0.1:0", "/x", ok, "x");
	uint16_t port = fl_http_port(old);
	assert_int_equal(fl_http_port(other), port);
	fl_http_close(other);
	bool closed;
	int fd = dial(port);
	new = face("127.0.0.1:0", "/health", ok, "new");
	say(fd, "GET /health HTTP/1.1\r\nHost: a\r\n\r\n");
	assert_non_null(strstr(hear(fd, &closed), "\r\n\r\nnew"));
	fl_http_close(new);
	say(fd, "GET /health HTTP/1.1\r\nHost: a\r\n\r\n");
	assert_non_null(strstr(hear(fd, &closed), "\r\n\r\nold"));
	new = face("127.0.0.1:0", "/health", ok, "newer");
	fl_http_close(old);
	say(fd, "GET /health HTTP/1.1\r\nHost: a\r\n\r\n");
	assert_non_null(strstr(hear(fd, &closed), "\r\n\r\nnewer"));
	assert_false(closed);
	close(fd);
	fl_http_close(new);
	clean = true;
}

static struct fl_http_face *own;
static void closes_itself(void *arg, const struct fl_http_request *rq, struct fl_http_response *rs)
{
	(void)rq;
	fl_http_close(own);
	fl_http_reply(rs, 503, arg);
}

/* With the last face go the socket and who idles; who is being answered gets the answer. */
static void test_close(void **state)
{
	(void)state;
	own = face("127.0.0.1:0", "/ready", closes_itself, "Shutting down");
	uint16_t port = fl_http_port(own);
	int idle = dial(port), fd = dial(port);
	bool closed;
	say(fd, "GET /ready HTTP/1.1\r\nHost: a\r\n\r\n");
	assert_string_equal(hear(fd, &closed), "HTTP/1.1 503 Service Unavailable\r\n" PLAIN
			    "Content-Length: 13\r\nConnection: close\r\n\r\nShutting down");
	assert_true(closed);
	hear(idle, &closed);
	assert_true(closed);
	close(idle);
	close(fd);
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof sa), -1);
	close(fd);
	clean = true;
}

static void test_addresses(void **state)
{
	(void)state;
	static const struct { const char *addr, *words; } bad[] = {
		{ "192.0.2.1:8080", "listen tcp 192.0.2.1:8080: bind: cannot assign requested address" },
		{ "8080", "listen tcp: address 8080: missing port in address" },
		{ "", "listen tcp: address : missing port in address" },
		{ ":99999", "listen tcp: address 99999: invalid port" },
		{ ":foo", "listen tcp: lookup tcp/foo: unknown port" },
		{ "a:b:1", "listen tcp: address a:b:1: too many colons in address" },
		{ "::1:80", "listen tcp: address ::1:80: too many colons in address" },
		{ "[::1:80", "listen tcp: address [::1:80: missing ']' in address" },
		{ "[::1]", "listen tcp: address [::1]: missing port in address" },
		{ "[::1]x:1", "listen tcp: address [::1]x:1: missing port in address" },
		{ "[::1]:1:2", "listen tcp: address [::1]:1:2: too many colons in address" },
		{ "a]:1", "listen tcp: address a]:1: unexpected ']' in address" },
	};
	struct fl_http_face *f = NULL;
	struct fl_err e;
	for (size_t i = 0; i < FL_COUNT(bad); i++) {
		e.msg[0] = 0;
		int ret = fl_http_listen(loop, fl_str(bad[i].addr), "/", ok, NULL, &f, &e);
		assert_true(ret < 0);
		assert_null(f);
		assert_string_equal(e.msg, bad[i].words);
	}
	assert_int_equal(fl_http_listen(loop, FL_STR("192.0.2.1:80"), "/", ok, NULL, &f, NULL), -EADDRNOTAVAIL);
	static const char *const good[] = { ":0", "localhost:0", "127.0.0.1:" };
	for (size_t i = 0; i < FL_COUNT(good); i++) {
		bool closed;
		f = face(good[i], "/health", ok, "OK");
		assert_string_equal(ask(fl_http_port(f), "GET /health HTTP/1.1\r\nHost: a\r\n\r\n", &closed), OK200);
		fl_http_close(f);
	}
	clean = true;
}

static void test_metrics(void **state)
{
	(void)state;
	struct fl_http_face *f = face("127.0.0.1:0", "/metrics", fl_http_metrics, NULL);
	static const struct fl_metric_def def = { .name = "a_test_total", .help = "A test.", .kind = FL_COUNTER, .always = true };
	bool closed;
	fl_process_metrics();
	fl_process_metrics();
	fl_metric_plain(&def);
	const char *one = ask(fl_http_port(f), "GET /metrics?name[]=a_test_total&name%5b%5D=process_ HTTP/1.1\r\nHost: a\r\n\r\n",
			      &closed);
	assert_string_equal(one,
			    "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8; escaping=underscores\r\n"
			    "Content-Length: 71\r\n\r\n# HELP a_test_total A test.\n# TYPE a_test_total counter\na_test_total 0\n");
	static const char *const names[] = { "cpu_seconds_total counter", "max_fds gauge", "open_fds gauge",
		"resident_memory_bytes gauge", "start_time_seconds gauge", "virtual_memory_bytes gauge",
		"virtual_memory_max_bytes gauge",
		"network_receive_bytes_total counter", "network_transmit_bytes_total counter" };
	const char *all = ask(fl_http_port(f), "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", &closed);
	for (size_t i = 0; i < FL_COUNT(names); i++) {
		char line[80];
		snprintf(line, sizeof line, "# TYPE process_%s\nprocess_", names[i]);
		if (!strstr(all, line))
			fail_msg("no %s in\n%s", names[i], all);
	}
	/* resident memory in bytes, open files that are ours, a start in this century */
	const char *rss = strstr(all, "\nprocess_resident_memory_bytes "), *fds = strstr(all, "\nprocess_open_fds ");
	assert_in_range(strtod(rss + 31, NULL), 100000, 1e9);
	assert_in_range(strtod(fds + 18, NULL), 5, 200);
	assert_in_range(strtod(strstr(all, "\nprocess_start_time_seconds ") + 28, NULL), 1.7e9, 4e9);
	fl_http_close(f);
	clean = true;
}

/* A password is looked at as the server ends, for a client that waits, and for one that left; the next server looks at passwords again. */
static void test_password_at_the_end(void **state)
{
	(void)state;
	static const char text[] = "basic_auth_users: {al: $2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi}\n";
	char path[] = "/tmp/fl-http-XXXXXX", asks[128];
	struct fl_err e = { "" };
	bool closed = false;
	int file = mkstemp(path);
	assert_int_equal(write(file, text, sizeof text - 1), sizeof text - 1);
	close(file);
	for (int round = 0; round < 3; round++) {
		struct fl_http_face *f = NULL;
		struct fl_guard *g = fl_guard_create(loop, path, &e);
		assert_non_null(g);
		assert_int_equal(fl_http_listen_guarded(loop, FL_STR("127.0.0.1:0"), "/", ok, "OK", g, &f, &e), 0);
		int fd = dial(fl_http_port(f));
		snprintf(asks, sizeof asks, "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Basic YWw6MDA%dMA==\r\n\r\n", round);
		say(fd, asks);
		hear(fd, &closed);
		for (int i = 0; round == 2 && i < 10000 && !*got; i++) {
			usleep(1000);
			hear(fd, &closed);
		}
		assert_true(round < 2 || strstr(got, "401 Unauthorized"));
		if (round == 1) {
			close(fd);
			fl_loop_run_until_idle(loop);
		}
		fl_http_close(f);
		fl_guard_destroy(g);
		fl_loop_run_until_idle(loop);
		fl_http_finish(loop);
		fl_loop_destroy(loop);
		loop = fl_loop_create();
		if (round != 1)
			close(fd);
	}
	unlink(path);
	clean = true;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_answers), TEST(test_bytewise), TEST(test_large), TEST(test_timeouts), TEST(test_big),
		TEST(test_evict), TEST(test_reload), TEST(test_close), TEST(test_addresses), TEST(test_metrics),
		TEST(test_password_at_the_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

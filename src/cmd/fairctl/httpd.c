#include "cmd/fairctl/httpd.h"
#include "base/clock.h"
#include "base/mem.h"
#include "net/http1.h"
#include <errno.h>
#include <gnutls/gnutls.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { HEAD_MAX = 64 << 10, BODY_MAX = 64 << 20, THREADS_MAX = 512 };
#define IDLE (300 * FL_SEC)     /* between requests, and for each of their pieces */

static gnutls_certificate_credentials_t creds;
static sem_t room;
static atomic_int answering;
static atomic_bool draining;

struct conn { struct http_server *s; int fd; struct go_addr peer; gnutls_session_t tls; char *buf; size_t n, cap; };

/* ---- words ---- */

const char *http_status(int status)
{
	static const struct { int status; const char *text; } known[] = {
		{ 200, "OK" }, { 201, "Created" }, { 202, "Accepted" }, { 204, "No Content" }, { 206, "Partial Content" }, { 300, "Multiple Choices" },
		{ 301, "Moved Permanently" }, { 302, "Found" }, { 303, "See Other" }, { 304, "Not Modified" }, { 307, "Temporary Redirect" },
		{ 308, "Permanent Redirect" }, { 400, "Bad Request" }, { 401, "Unauthorized" }, { 403, "Forbidden" }, { 404, "Not Found" },
		{ 405, "Method Not Allowed" }, { 406, "Not Acceptable" }, { 408, "Request Timeout" }, { 409, "Conflict" }, { 410, "Gone" },
		{ 412, "Precondition Failed" }, { 413, "Request Entity Too Large" }, { 417, "Expectation Failed" }, { 418, "I'm a teapot" },
		{ 422, "Unprocessable Entity" }, { 425, "Too Early" }, { 429, "Too Many Requests" }, { 431, "Request Header Fields Too Large" },
		{ 500, "Internal Server Error" }, { 501, "Not Implemented" }, { 502, "Bad Gateway" }, { 503, "Service Unavailable" },
		{ 504, "Gateway Timeout" }, { 505, "HTTP Version Not Supported" },
	};
	for (unsigned i = 0; i < FL_COUNT(known); i++)
		if (known[i].status == status)
			return known[i].text;
	return "";
}

void http_error(struct http_request *r, int status, const char *text)
{
	r->status = status;
	snprintf(r->extra, sizeof r->extra, "X-Content-Type-Options: nosniff\r\n");
	fprintf(r->out, "%s\n", text);
}

struct fl_str http_field(const struct http_request *r, const char *name)
{
	for (unsigned i = 0; i < r->nfield; i++)
		if (fl_str_ieq(r->field[i].name, fl_str(name)))
			return r->field[i].value;
	return FL_STR("");
}

static int hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : -1;
}

char *http_unescape(struct fl_str s, bool plus)
{
	char *to = fl_xalloc(s.n + 1), *end = to;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] != '%') {
			*end++ = plus && s.p[i] == '+' ? ' ' : s.p[i];
			continue;
		}
		int high = i + 2 < s.n ? hex(s.p[i + 1]) : -1, low = high >= 0 ? hex(s.p[i + 2]) : -1;
		if (low < 0) {
			free(to);
			return NULL;
		}
		char c = (char)(high << 4 | low);
		*end++ = c ? c : ' ';           /* what comes out is a C string */
		i += 2;
	}
	*end = 0;
	return to;
}

/* As Go's ParseQuery: a pair with ';' or a wrong escape is left out. NULL: no such key. */
static char *pick(struct fl_str pairs, const char *key)
{
	while (pairs.n) {
		struct fl_str pair, name;
		pairs = fl_str_cut(pairs, '&', &pair);
		struct fl_str value = fl_str_cut(pair, '=', &name);
		if (memchr(pair.p, ';', pair.n))
			continue;
		char *k = http_unescape(name, true), *v = http_unescape(value, true);
		bool is = k && v && !strcmp(k, key);
		free(k);
		if (is)
			return v;
		free(v);
	}
	return NULL;
}

char *http_query(const struct http_request *r, const char *key)
{
	char *v = pick(r->query, key);
	return v ? v : fl_xstrndup("", 0);
}

char *http_form(const struct http_request *r, const char *key)
{
	bool form = fl_str_starts(http_field(r, "Content-Type"), FL_STR("application/x-www-form-urlencoded"));
	char *v = form && !fl_str_is(r->method, "GET") ? pick(r->body, key) : NULL;
	return v ? v : http_query(r, key);
}

/* ---- bytes ---- */

static ssize_t get(struct conn *c, void *to, size_t n)
{
	go_deadline(c->fd, fl_clock_ns() + IDLE);
	if (!c->tls)
		return recv(c->fd, to, n, 0);
	ssize_t got;
	do
		got = gnutls_record_recv(c->tls, to, n);
	while (got == GNUTLS_E_INTERRUPTED);
	return got;
}

static bool put(struct conn *c, const char *p, size_t n)
{
	while (n) {
		ssize_t sent = c->tls ? gnutls_record_send(c->tls, p, n) : send(c->fd, p, n, MSG_NOSIGNAL);
		if (sent == GNUTLS_E_INTERRUPTED && c->tls)
			continue;
		if (sent <= 0)
			return false;
		p += sent;
		n -= (size_t)sent;
	}
	return true;
}

/* More octets behind those that are there; false: no more come. */
static bool more(struct conn *c, size_t most)
{
	if (c->n >= most)
		return false;
	if (c->n == c->cap) {
		c->cap = c->cap ? 2 * c->cap : 8192;
		c->buf = fl_xrealloc(c->buf, c->cap);
	}
	ssize_t got = get(c, c->buf + c->n, c->cap - c->n);
	c->n += got > 0 ? (size_t)got : 0;
	return got > 0;
}

/* ---- a request ---- */

static bool first_line(struct http_request *r, struct fl_str line)
{
	struct fl_str version = fl_str_cut(fl_str_cut(line, ' ', &r->method), ' ', &r->target);
	if (!r->method.n || !r->target.n || !fl_str_starts(version, FL_STR("HTTP/1.")))
		return false;
	r->close = fl_str_is(version, "HTTP/1.0");
	struct fl_str path, target = r->target;
	if (fl_str_starts(target, FL_STR("http://"))) {
		const char *slash = memchr(target.p + 7, '/', target.n - 7);
		target = slash ? (struct fl_str){ slash, target.n - (size_t)(slash - target.p) } : FL_STR("/");
	}
	r->query = fl_str_cut(target, '?', &path);
	char *text = http_unescape(path, false);
	r->path = fl_str(text);
	return text != NULL;
}

/* Head of n octets, "\r\n\r\n" at its end. Spans into it. */
static bool parse_head(struct http_request *r, const char *p, size_t n)
{
	struct fl_str rest = { p, n - 2 }, line;
	rest = fl_str_cut(rest, '\n', &line);
	if (!first_line(r, fl_str_trim(line)))
		return false;
	while (rest.n) {
		rest = fl_str_cut(rest, '\n', &line);
		if (!fl_str_trim(line).n)
			continue;
		struct fl_str name, value = fl_str_cut(line, ':', &name);
		if (r->nfield == HTTP_FIELDS || !name.n || memchr(name.p, ' ', name.n))
			return false;
		r->field[r->nfield].name = name;
		r->field[r->nfield++].value = fl_str_trim(value);
	}
	struct fl_str connection = http_field(r, "Connection");
	r->close = fl_str_ieq(connection, FL_STR("close")) || (r->close && !fl_str_ieq(connection, FL_STR("keep-alive")));
	return true;
}

/* The line at *in of the buffer, without its end; *in moves behind that. */
static bool next_line(struct conn *c, size_t *in, struct fl_str *line)
{
	char *eol;
	while (!(eol = c->n > *in ? memmem(c->buf + *in, c->n - *in, "\r\n", 2) : NULL))
		if (!more(c, *in + HEAD_MAX))
			return false;
	*line = (struct fl_str){ c->buf + *in, (size_t)(eol - c->buf) - *in };
	*in += line->n + 2;
	return true;
}

/* A chunked body from offset at, put together at offset at; *end is behind its trailer. */
static bool chunks(struct conn *c, size_t at, size_t *len, size_t *end)
{
	struct fl_str line;
	uint64_t size = 1;
	size_t in = at;
	for (*len = 0; size;) {
		if (!next_line(c, &in, &line) || !fl_http_chunk(line, true, &size) || size >= BODY_MAX - *len)
			return false;
		if (!size)
			break;
		while (c->n < in + size + 2)
			if (!more(c, BODY_MAX + HEAD_MAX))
				return false;
		if (memcmp(c->buf + in + size, "\r\n", 2))
			return false;
		memmove(c->buf + at + *len, c->buf + in, size);
		*len += size;
		in += size + 2;
	}
	size_t trailer = in;
	do
		if (!next_line(c, &in, &line) || in - trailer > HEAD_MAX)
			return false;
	while (line.n);
	*end = in;
	return true;
}

/* The body, from offset at; *end is the offset behind it. */
static bool read_body(struct conn *c, struct http_request *r, size_t at, size_t *end)
{
	uint64_t n = 0;
	size_t len;
	struct fl_str length = http_field(r, "Content-Length"), coding = http_field(r, "Transfer-Encoding");
	if (fl_str_ieq(http_field(r, "Expect"), FL_STR("100-continue")) && !put(c, "HTTP/1.1 100 Continue\r\n\r\n", 25))
		return false;
	if (fl_str_ieq(coding, FL_STR("chunked"))) {
		if (!chunks(c, at, &len, end))
			return false;
	} else {
		if (coding.n || (length.n && (!fl_http_length(length, &n) || n > BODY_MAX)))
			return false;
		len = (size_t)n;
		while (c->n < at + len)
			if (!more(c, at + len))
				return false;
		*end = at + len;
	}
	r->body.n = len;
	return true;
}

static bool answer(struct conn *c, struct http_request *r)
{
	char *body = NULL, date[40];
	size_t n = 0;
	r->out = open_memstream(&body, &n);
	if (!r->out)
		return false;
	r->status = 200;
	c->s->handle(r);
	fclose(r->out);
	time_t now = time(NULL);
	struct tm tm;
	strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &tm));
	bool bare = r->status == 204 || r->status == 304 || r->abort;
	n = bare ? 0 : n;
	char number[32] = "", type[128] = "";
	if (!bare)
		snprintf(number, sizeof number, "Content-Length: %zu\r\n", n);
	if (n)
		snprintf(type, sizeof type, "Content-Type: %s\r\n", r->type ? r->type : "text/plain; charset=utf-8");
	char unknown[24];
	snprintf(unknown, sizeof unknown, "status code %d", r->status);
	const char *words = http_status(r->status);
	r->close |= atomic_load(&draining);
	struct fl_str head = { NULL, 0 };
	char *text = NULL;
	int len = asprintf(&text, "HTTP/1.1 %d %s\r\n%sDate: %s\r\n%s%s%s\r\n", r->status, *words ? words : unknown, r->extra, date, number, type,
			   r->close ? "Connection: close\r\n" : "");
	head = (struct fl_str){ text, len < 0 ? 0 : (size_t)len };
	bool ok = head.n && !r->abort && put(c, head.p, head.n) && (fl_str_is(r->method, "HEAD") || put(c, body, n));
	free(text);
	free(body);
	return ok && !r->close;
}

/* One request; false: close. */
static bool one(struct conn *c)
{
	char *end;
	while (!(end = c->n ? memmem(c->buf, c->n, "\r\n\r\n", 4) : NULL))
		if (!more(c, HEAD_MAX)) {
			if (c->n >= HEAD_MAX)
				put(c, "HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", 86);
			return false;
		}
	struct http_request *r = fl_xalloc(sizeof *r);
	size_t nhead = (size_t)(end - c->buf) + 4, behind = 0;
	char *head = fl_xstrndup(c->buf, nhead);        /* the buffer moves while the body comes */
	atomic_fetch_add(&answering, 1);
	r->peer = c->peer;
	bool ok = parse_head(r, head, nhead) && read_body(c, r, nhead, &behind), keep = false;
	if (ok) {
		r->body.p = c->buf + nhead;
		keep = answer(c, r);
		c->n -= behind;
		memmove(c->buf, c->buf + behind, c->n);
	} else {
		put(c, "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n400 Bad Request", 103);
	}
	atomic_fetch_sub(&answering, 1);
	free((char *)(uintptr_t)r->path.p);
	free(head);
	free(r);
	return keep;
}

/* ---- connections ---- */

static bool handshake(struct conn *c)
{
	if (!creds)
		return true;
	if (gnutls_init(&c->tls, GNUTLS_SERVER | GNUTLS_NO_SIGNAL))
		return false;
	gnutls_set_default_priority(c->tls);
	gnutls_credentials_set(c->tls, GNUTLS_CRD_CERTIFICATE, creds);
	gnutls_transport_set_int(c->tls, c->fd);
	go_deadline(c->fd, fl_clock_ns() + 30 * FL_SEC);
	int ret;
	do
		ret = gnutls_handshake(c->tls);
	while (ret == GNUTLS_E_INTERRUPTED);
	return !ret;
}

static void *converse(void *arg)
{
	struct conn *c = arg;
	if (handshake(c))
		while (one(c))
			;
	if (c->tls) {
		gnutls_bye(c->tls, GNUTLS_SHUT_WR);
		gnutls_deinit(c->tls);
	}
	shutdown(c->fd, SHUT_RDWR);
	close(c->fd);
	free(c->buf);
	free(c);
	sem_post(&room);
	return NULL;
}

static void *accept_all(void *arg)
{
	struct http_server *s = arg;
	while (!atomic_load(&draining)) {
		struct pollfd p = { .fd = s->fd, .events = POLLIN };
		if (poll(&p, 1, 100) <= 0)
			continue;
		while (sem_wait(&room) && errno == EINTR)
			;
		struct conn *c = fl_xalloc(sizeof *c);
		*c = (struct conn){ .s = s, .peer = { .len = sizeof c->peer.sa } };
		c->fd = accept4(s->fd, (struct sockaddr *)&c->peer.sa, &c->peer.len, SOCK_CLOEXEC);
		pthread_t t;
		pthread_attr_t attr;
		pthread_attr_init(&attr);
		pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
		pthread_attr_setstacksize(&attr, 256 << 10);
		if (c->fd < 0 || pthread_create(&t, &attr, converse, c)) {
			if (c->fd >= 0)
				close(c->fd);
			free(c);
			sem_post(&room);
			usleep(10000);
		}
		pthread_attr_destroy(&attr);
	}
	close(s->fd);
	return NULL;
}

void http_serve(struct http_server *s)
{
	signal(SIGPIPE, SIG_IGN);
	sem_init(&room, 0, THREADS_MAX);
	if (s->cert) {
		int ret = gnutls_certificate_allocate_credentials(&creds);
		if (!ret)
			ret = gnutls_certificate_set_x509_key_file(creds, s->cert, s->key, GNUTLS_X509_FMT_PEM);
		if (ret < 0)
			go_fatal("%s, %s: %s", s->cert, s->key, gnutls_strerror(ret));
	}
	pthread_t t;
	if (pthread_create(&t, NULL, accept_all, s))
		go_fatal("no thread could be started");
	pthread_detach(t);
}

void http_drain(struct http_server *s, uint64_t timeout_ns)
{
	(void)s;
	uint64_t until = fl_clock_ns() + timeout_ns;
	atomic_store(&draining, true);
	while (atomic_load(&answering) && fl_clock_ns() < until)
		usleep(10000);
}

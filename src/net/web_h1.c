/* Requests as RFC 9112 has them, bare line feeds included, refused in the words of Go's net/http. */
#include "net/web_int.h"
#include "net/http1.h"
#include "base/mem.h"
#include <stdlib.h>

void fl_web_h1_init(struct fl_web_h1 *h) { *h = (struct fl_web_h1){ .state = FL_H1_HEAD }; }

void fl_web_h1_finish(struct fl_web_h1 *h)
{
	free(h->head);
	free(h->body);
	*h = (struct fl_web_h1){ .state = FL_H1_BAD };
}

static void bad(struct fl_web_h1 *h, int status, const char *why)
{
	h->state = FL_H1_BAD;
	h->status = status;
	h->why = why;
	h->keep = false;
}

/* ---- head ---- */

static struct fl_str line(struct fl_str *s)
{
	struct fl_str l;
	*s = fl_str_cut(*s, '\n', &l);
	if (l.n && l.p[l.n - 1] == '\r')
		l.n--;
	return l;
}

static bool request_line(struct fl_web_h1 *h, struct fl_str l)
{
	struct fl_str rest = fl_str_cut(l, ' ', &h->method), version = fl_str_cut(rest, ' ', &h->target);
	if (!fl_http_token(h->method) || version.n != 8 || memcmp(version.p, "HTTP/", 5) || version.p[6] != '.' ||
	    (unsigned)(version.p[5] - '0') > 9 || (unsigned)(version.p[7] - '0') > 9)
		return bad(h, 400, NULL), false;
	if (version.p[5] != '1')
		return bad(h, 505, "unsupported protocol version"), false;
	for (size_t i = 0; i < h->target.n; i++)
		if ((uint8_t)h->target.p[i] <= ' ' || h->target.p[i] == 0x7f)
			return bad(h, 400, NULL), false;
	const char *slash = NULL;
	if (h->target.n >= 7 && (fl_str_starts(h->target, FL_STR("http://")) || fl_str_starts(h->target, FL_STR("https://")))) {
		size_t skip = h->target.p[4] == 's' ? 8 : 7;
		if (h->target.n > skip)
			slash = memchr(h->target.p + skip, '/', h->target.n - skip);
		h->target = slash ? (struct fl_str){ slash, h->target.n - (size_t)(slash - h->target.p) } : FL_STR("/");
	}
	h->http10 = version.p[7] == '0';
	h->keep = !h->http10;
	if (!h->target.n || (h->target.p[0] != '/' && !fl_str_is(h->target, "*")))
		return bad(h, 400, NULL), false;
	return true;
}

struct seen { unsigned hosts, fields; bool length; };

/* The fields that say where the message ends, and how it goes on. */
static bool framing(struct fl_web_h1 *h, struct fl_str name, struct fl_str value, struct seen *seen)
{
	uint64_t n;
	if (fl_str_ieq(name, FL_STR("host"))) {
		seen->hosts++;
	} else if (fl_str_ieq(name, FL_STR("content-length"))) {
		if (!fl_http_length(value, &n) || (seen->length && h->left != n))
			return bad(h, 400, "invalid Content-Length"), false;
		seen->length = true;
		h->left = n;
	} else if (fl_str_ieq(name, FL_STR("transfer-encoding"))) {
		if (h->chunked || !fl_str_ieq(value, FL_STR("chunked")))
			return bad(h, 501, "Unsupported transfer encoding"), false;
		h->chunked = true;
	} else if (fl_str_ieq(name, FL_STR("connection"))) {
		if (fl_http_listed(value, "close"))
			h->keep = false;
		else if (h->http10 && fl_http_listed(value, "keep-alive"))
			h->keep = true;
	} else if (fl_str_ieq(name, FL_STR("expect"))) {
		h->expects = fl_str_ieq(value, FL_STR("100-continue"));
	}
	return true;
}

static bool field(struct fl_web_h1 *h, struct fl_str l, struct seen *seen)
{
	struct fl_str name, value = fl_str_trim(fl_str_cut(l, ':', &name));
	if (++seen->fields > FL_WEB_FIELDS)
		return bad(h, 431, NULL), false;
	if (!fl_http_token(name) || name.n == l.n)
		return bad(h, 400, "invalid header name"), false;
	for (size_t i = 0; i < value.n; i++)
		if (((uint8_t)value.p[i] < ' ' && value.p[i] != '\t') || value.p[i] == 0x7f)
			return bad(h, 400, "invalid header value"), false;
	if (fl_str_ieq(name, FL_STR("content-type")))
		h->type = value;
	return framing(h, name, value, seen);
}

/* The head is whole: its lines, then what comes now. */
static void head_end(struct fl_web_h1 *h, size_t n)
{
	struct fl_str s = { h->head, n };
	struct seen seen = { 0 };
	if (!request_line(h, line(&s)))
		return;
	h->fields = s;
	while (s.n) {
		struct fl_str l = line(&s);
		if (!l.n)
			break;
		if (!field(h, l, &seen))
			return;
	}
	if (seen.hosts != 1 && !h->http10)
		bad(h, 400, seen.hosts ? "too many Host headers" : "missing required Host header");
	else if (h->chunked && (seen.length || h->http10))      /* two lengths, or none (RFC 9112 §6.1): where does the next request begin? */
		bad(h, 400, NULL);
	else
		h->state = h->chunked ? FL_H1_CHUNK_SIZE : h->left ? FL_H1_SIZED : FL_H1_DONE;
}

/* Where the head ends that has n bytes; 0: not yet. Looks only at what may be new. */
static size_t head_length(const char *p, size_t n, size_t looked)
{
	for (size_t i = looked < 3 ? 0 : looked - 3; i + 1 < n; i++)
		if (p[i] == '\n' && (p[i + 1] == '\n' || (i + 2 < n && p[i + 1] == '\r' && p[i + 2] == '\n')))
			return i + (p[i + 1] == '\n' ? 2 : 3);
	return 0;
}

static size_t feed_head(struct fl_web_h1 *h, const uint8_t *p, size_t n)
{
	size_t skip = 0;
	while (!h->head_n && skip < n && (p[skip] == '\r' || p[skip] == '\n'))  /* what some clients send after a body */
		skip++;
	size_t had = h->head_n, take = n - skip < FL_WEB_HEAD - had ? n - skip : FL_WEB_HEAD - had;
	if (!take)
		return skip;
	if (had + take > h->head_cap)
		h->head = fl_xrealloc(h->head, h->head_cap = had + take < 1024 ? 1024 : FL_WEB_HEAD);
	fl_put_bytes(h->head + had, p + skip, take);
	h->head_n = had + take;
	size_t len = head_length(h->head, h->head_n, had);
	if (!len) {
		if (h->head_n == FL_WEB_HEAD)
			bad(h, 431, NULL);
		return skip + take;
	}
	h->head_n = len;
	head_end(h, len);
	return skip + (len - had);
}

/* ---- body ---- */

static void keep_body(struct fl_web_h1 *h, const uint8_t *p, size_t n)
{
	size_t room = FL_WEB_BODY - h->body_n, take = n < room ? n : room;
	h->too_large = h->too_large || take < n;
	if (!take)
		return;
	if (h->body_n + take > h->body_cap) {
		size_t cap = h->state == FL_H1_SIZED && h->left < FL_WEB_BODY ? h->body_n + (size_t)h->left : FL_WEB_BODY;
		h->body = fl_xrealloc(h->body, h->body_cap = cap < h->body_n + take ? h->body_n + take : cap);
	}
	fl_put_bytes(h->body + h->body_n, p, take);
	h->body_n += take;
}

static bool chunk_size(struct fl_web_h1 *h)
{
	bool whole = h->line_n <= sizeof h->line;
	if (!fl_http_chunk((struct fl_str){ h->line, whole ? h->line_n : sizeof h->line }, whole, &h->left))
		return false;
	h->state = h->left ? FL_H1_CHUNK : FL_H1_TRAILER;
	return true;
}

/* A line among the body; its front is enough. */
static size_t feed_line(struct fl_web_h1 *h, const uint8_t *p, size_t n)
{
	const uint8_t *nl = memchr(p, '\n', n);
	size_t len = nl ? (size_t)(nl - p) : n;
	for (size_t i = 0; i < len && h->line_n + i < sizeof h->line; i++)
		h->line[h->line_n + i] = (char)p[i];
	h->line_n += (unsigned)(len < FL_WEB_HEAD ? len : FL_WEB_HEAD);
	h->head_n += len + 1;
	if (h->head_n > 2 * FL_WEB_HEAD + FL_WEB_BODY) {        /* lines without end, each small */
		bad(h, 431, NULL);
		return n;
	}
	if (!nl)
		return n;
	if (h->line_n && h->line_n <= sizeof h->line && h->line[h->line_n - 1] == '\r')
		h->line_n--;
	if (h->state == FL_H1_CHUNK_SIZE ? !chunk_size(h) : h->state == FL_H1_CHUNK_END && h->line_n)
		bad(h, 400, NULL);
	else if (h->state == FL_H1_CHUNK_END)
		h->state = FL_H1_CHUNK_SIZE;
	else if (h->state == FL_H1_TRAILER && !h->line_n)
		h->state = FL_H1_DONE;
	h->line_n = 0;
	return len + 1;
}

size_t fl_web_h1_feed(struct fl_web_h1 *h, const uint8_t *p, size_t n)
{
	size_t at = 0;
	while (at < n && h->state != FL_H1_DONE && h->state != FL_H1_BAD) {
		size_t left = n - at, take;
		switch (h->state) {
		case FL_H1_HEAD:
			at += feed_head(h, p + at, left);
			break;
		case FL_H1_SIZED:
		case FL_H1_CHUNK:
			take = left < h->left ? left : (size_t)h->left;
			keep_body(h, p + at, take);
			at += take;
			if (!(h->left -= take))
				h->state = h->state == FL_H1_CHUNK ? FL_H1_CHUNK_END : FL_H1_DONE;
			break;
		default:
			at += feed_line(h, p + at, left);
		}
	}
	return at;
}

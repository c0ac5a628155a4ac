#include "net/http1.h"
#include <stdio.h>

enum { HEAD_MAX = 64 * 1024 };
enum { STATUS, FIELDS, SIZED, TO_CLOSE, CHUNK_SIZE, CHUNK, CHUNK_END, TRAILER, DONE, BAD };

void fl_http1_init(struct fl_http1 *h) { *h = (struct fl_http1){ .state = STATUS, .head.retry_after_s = -1 }; }

void fl_http_field(struct fl_http_head *head, struct fl_str name, struct fl_str value)
{
	int64_t s;
	if (fl_str_ieq(name, FL_STR("content-type"))) {
		size_t n = value.n < sizeof head->content_type ? value.n : sizeof head->content_type - 1;
		memcpy(head->content_type, value.p, n);
		head->content_type[n] = 0;
	} else if (fl_str_ieq(name, FL_STR("retry-after"))) {
		if (!fl_parse_int(value, 0, 1 << 30, &s))
			head->retry_after_s = (int)s;
	} else if (fl_str_ieq(name, FL_STR("content-encoding"))) {
		head->encoded = value.n && !fl_str_ieq(value, FL_STR("identity"));
	}
}

bool fl_http_tunnel(struct fl_str head, char *why, size_t cap)
{
	struct fl_str line, status;
	fl_str_cut(head, '\r', &line);
	status = fl_str_cut(line, ' ', &line);
	if (fl_str_starts(line, FL_STR("HTTP/1.")) && status.n >= 3 && status.p[0] == '2' && (status.n == 3 || status.p[3] == ' '))
		return true;
	if (status.n)
		snprintf(why, cap, "proxyconnect: %.*s", status.n < 100 ? (int)status.n : 100, status.p);
	else
		snprintf(why, cap, "malformed HTTP response from the proxy");
	for (char *p = why; *p; p++)            /* a stranger's words, in a log */
		*p = *p < ' ' || *p > '~' ? '?' : *p;
	return false;
}

bool fl_http_token(struct fl_str s)
{
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = fl_lower((uint8_t)s.p[i]);
		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c && strchr("!#$%&'*+-.^_`|~", c))))
			return false;
	}
	return s.n > 0;
}

bool fl_http_listed(struct fl_str list, const char *word)
{
	while (list.n) {
		struct fl_str one;
		list = fl_str_cut(list, ',', &one);
		if (fl_str_ieq(fl_str_trim(one), fl_str(word)))
			return true;
	}
	return false;
}

bool fl_http_length(struct fl_str value, uint64_t *n)
{
	int64_t v;
	if (!value.n || value.p[0] < '0' || fl_parse_int(value, 0, INT64_MAX, &v))      /* digits, and no sign */
		return false;
	*n = (uint64_t)v;
	return true;
}

bool fl_http_chunk(struct fl_str line, bool whole, uint64_t *size)
{
	size_t i = 0;
	for (*size = 0; i < line.n; i++) {
		uint8_t c = fl_lower((uint8_t)line.p[i]);
		int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
		if (digit < 0)
			break;
		*size = *size << 4 | (unsigned)digit;
	}
	if (!i || i > 16 || *size > INT64_MAX)
		return false;
	while (i < line.n && (line.p[i] == ' ' || line.p[i] == '\t'))
		i++;
	return i < line.n ? line.p[i] == ';' : whole;
}

/* "HTTP/1.1 200 OK" */
static bool status_line(struct fl_http1 *h, struct fl_str s)
{
	int64_t code;
	if (s.n < 12 || memcmp(s.p, "HTTP/1.", 7) || s.p[8] != ' ' || (s.n > 12 && s.p[12] != ' ') ||
	    fl_parse_int((struct fl_str){ s.p + 9, 3 }, 100, 999, &code))
		return false;
	h->keep = s.p[7] != '0';
	h->head.status = (int)code;
	return true;
}

static bool field(struct fl_http1 *h, struct fl_str s, bool whole)
{
	struct fl_str name, value = fl_str_trim(fl_str_cut(s, ':', &name));
	uint64_t n;
	if (!name.n || name.n == s.n || name.p[name.n - 1] == ' ')
		return false;
	if (fl_str_ieq(name, FL_STR("transfer-encoding"))) {
		h->chunked = fl_str_ieq(value, FL_STR("chunked"));
		return h->chunked;
	}
	if (fl_str_ieq(name, FL_STR("content-length"))) {
		if (!fl_http_length(value, &n) || (h->sized && h->left != n))
			return false;
		h->sized = true;
		h->left = n;
		return true;
	}
	if (fl_str_ieq(name, FL_STR("connection")) && fl_str_ieq(value, FL_STR("close")))
		h->keep = false;
	fl_http_field(&h->head, name, value);
	if (h->field && whole)
		h->field(h->arg, name, value);
	return true;
}

/* The empty line after the fields: what comes now? */
static enum fl_http1_event head_end(struct fl_http1 *h)
{
	int status = h->head.status;
	if (status < 200) {                     /* 100, 103: the real one follows; nobody asked for 101 */
		h->state = status == 101 ? BAD : STATUS;
		return status == 101 ? FL_HTTP1_BAD : FL_HTTP1_MORE;
	}
	if (status == 204 || status == 304 || (h->sized && !h->chunked && !h->left))
		h->state = DONE;
	else if (h->chunked)
		h->state = CHUNK_SIZE;
	else if (h->sized)
		h->state = SIZED;
	else
		h->state = TO_CLOSE;
	if (h->state == TO_CLOSE)
		h->keep = false;
	return FL_HTTP1_HEAD;
}

/* A whole line is there. */
static enum fl_http1_event line(struct fl_http1 *h)
{
	if (h->line_n && h->line_n <= sizeof h->line && h->line[h->line_n - 1] == '\r')
		h->line_n--;
	struct fl_str s = { h->line, h->line_n < sizeof h->line ? h->line_n : sizeof h->line };
	bool ok = true, whole = h->line_n <= sizeof h->line;
	h->line_n = 0;
	switch (h->state) {
	case STATUS:
		h->head = (struct fl_http_head){ .retry_after_s = -1 };
		h->chunked = h->sized = false;
		ok = status_line(h, s);
		h->state = FIELDS;
		break;
	case FIELDS:
		if (!s.n)
			return head_end(h);
		ok = field(h, s, whole);
		break;
	case CHUNK_SIZE:
		ok = fl_http_chunk(s, whole, &h->left);
		h->state = h->left ? CHUNK : TRAILER;
		h->head_bytes = 0;
		break;
	case CHUNK_END:
		ok = !s.n;
		h->state = CHUNK_SIZE;
		break;
	case TRAILER:
		if (!s.n)
			h->state = DONE;
		break;
	}
	return ok ? FL_HTTP1_MORE : FL_HTTP1_BAD;
}

static enum fl_http1_event body(struct fl_http1 *h, const uint8_t **p, const uint8_t *end, struct fl_str *piece)
{
	size_t n = (size_t)(end - *p);
	if (h->state != TO_CLOSE) {
		n = n < h->left ? n : (size_t)h->left;
		h->left -= n;
		if (!h->left)
			h->state = h->state == CHUNK ? CHUNK_END : DONE;
	}
	*piece = (struct fl_str){ (const char *)*p, n };
	*p += n;
	return FL_HTTP1_BODY;
}

enum fl_http1_event fl_http1_next(struct fl_http1 *h, const uint8_t **p, const uint8_t *end, struct fl_str *piece)
{
	while (h->state != DONE && h->state != BAD && *p < end) {
		if (h->state == SIZED || h->state == TO_CLOSE || h->state == CHUNK)
			return body(h, p, end, piece);
		const uint8_t *nl = memchr(*p, '\n', (size_t)(end - *p));
		size_t n = (size_t)((nl ? nl : end) - *p);
		if (h->line_n < sizeof h->line)
			memcpy(h->line + h->line_n, *p, n < sizeof h->line - h->line_n ? n : sizeof h->line - h->line_n);
		h->line_n += (unsigned)(n < HEAD_MAX ? n : HEAD_MAX);
		h->head_bytes += (unsigned)(n < HEAD_MAX ? n : HEAD_MAX) + !!nl;
		*p += n + !!nl;
		enum fl_http1_event ev = h->head_bytes > HEAD_MAX ? FL_HTTP1_BAD : nl ? line(h) : FL_HTTP1_MORE;
		if (ev == FL_HTTP1_BAD)
			h->state = BAD;
		else if (ev != FL_HTTP1_MORE)
			return ev;
	}
	return h->state == DONE ? FL_HTTP1_DONE : h->state == BAD ? FL_HTTP1_BAD : FL_HTTP1_MORE;
}

bool fl_http1_closed(const struct fl_http1 *h) { return h->state == TO_CLOSE || h->state == DONE; }

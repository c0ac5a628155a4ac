/* Requests as RFC 9112 has them, bare line feeds included, refused in the words of Go's net/http. */
#include "ctl/http_int.h"
#include "net/http1.h"
#include <errno.h>
#include <stdio.h>

enum { FIELDS_MAX = 64 };

static int hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int fl_http_unescape(char *to, struct fl_str from, bool plus)
{
	int n = 0;
	for (size_t i = 0; i < from.n; i++) {
		char c = from.p[i];
		if (c == '%') {
			int hi = i + 2 < from.n ? hex(from.p[i + 1]) : -1, lo = i + 2 < from.n ? hex(from.p[i + 2]) : -1;
			if (hi < 0 || lo < 0)
				return -1;
			c = (char)(hi << 4 | lo);
			i += 2;
		} else if (c == '+' && plus) {
			c = ' ';
		}
		to[n++] = c;
	}
	return n;
}

/* The next line without its end; *s goes on after it. */
static struct fl_str line(struct fl_str *s)
{
	struct fl_str l;
	*s = fl_str_cut(*s, '\n', &l);
	if (l.n && l.p[l.n - 1] == '\r')
		l.n--;
	return l;
}

/* "/path?query", "http://host/path?query", "*" */
static int target(struct fl_str t, struct fl_http_request *rq)
{
	if (t.n >= 7 && fl_str_ieq((struct fl_str){ t.p, 7 }, FL_STR("http://"))) {
		const char *slash = memchr(t.p + 7, '/', t.n - 7);
		t = slash ? (struct fl_str){ slash, t.n - (size_t)(slash - t.p) } : FL_STR("");
	} else if (!fl_str_is(t, "*") && (!t.n || t.p[0] != '/')) {
		return -400;
	}
	for (size_t i = 0; i < t.n; i++)
		if ((unsigned char)t.p[i] <= ' ' || t.p[i] == 0x7f)
			return -400;
	rq->query = fl_str_cut(t, '?', &rq->path);
	int n = rq->path.n ? fl_http_unescape((char *)rq->path.p, rq->path, false) : 0;
	if (n < 0)
		return -400;
	rq->path.n = (size_t)n;
	return 0;
}

static int request_line(struct fl_str l, struct fl_http_head_in *h, const char **why)
{
	struct fl_str rest = fl_str_cut(l, ' ', &h->rq.method), where, version;
	version = fl_str_cut(rest, ' ', &where);
	if (!fl_http_token(h->rq.method) || memchr(version.n ? version.p : "", ' ', version.n))
		return -400;
	if (version.n != 8 || memcmp(version.p, "HTTP/", 5) || version.p[6] != '.' || (unsigned)(version.p[5] - '0') > 9 ||
	    (unsigned)(version.p[7] - '0') > 9)
		return -400;
	if (version.p[5] != '1') {
		*why = "unsupported protocol version";
		return -505;
	}
	h->http10 = version.p[7] == '0';
	h->keep = !h->http10;
	h->is_head = fl_str_is(h->rq.method, "HEAD");
	return target(where, &h->rq);
}

struct seen { unsigned hosts, fields; bool length, encoding; };

static int field(struct fl_str l, struct fl_http_head_in *h, struct seen *s, const char **why)
{
	struct fl_str name, value = fl_str_trim(fl_str_cut(l, ':', &name));
	uint64_t n;
	if (++s->fields > FIELDS_MAX)
		return -431;
	*why = "invalid header name";
	if (!fl_http_token(name) || name.n == l.n)
		return -400;
	*why = "invalid header value";
	for (size_t i = 0; i < value.n; i++)
		if (((unsigned char)value.p[i] < ' ' && value.p[i] != '\t') || value.p[i] == 0x7f)
			return -400;
	*why = NULL;
	if (fl_str_ieq(name, FL_STR("host"))) {
		s->hosts++;
	} else if (fl_str_ieq(name, FL_STR("transfer-encoding"))) {
		s->encoding = true;
	} else if (fl_str_ieq(name, FL_STR("content-length"))) {
		*why = "invalid Content-Length";
		if (!fl_http_length(value, &n) || (s->length && h->body != n))
			return -400;
		s->length = true;
		h->body = n;
	} else if (fl_str_ieq(name, FL_STR("connection"))) {
		if (fl_http_listed(value, "close"))
			h->keep = false;
		else if (h->http10 && fl_http_listed(value, "keep-alive"))
			h->keep = true;
	}
	*why = NULL;
	return 0;
}

/* The length of the head at p with its empty line, 0 when that has not come. */
static size_t head_length(const char *p, size_t n)
{
	const char *at = p;
	while ((at = memchr(at, '\n', n - (size_t)(at - p)))) {
		size_t left = n - (size_t)(++at - p);
		if (left >= 1 && at[0] == '\n')
			return (size_t)(at + 1 - p);
		if (left >= 2 && at[0] == '\r' && at[1] == '\n')
			return (size_t)(at + 2 - p);
	}
	return 0;
}

int fl_http_read(char *p, size_t n, struct fl_http_head_in *h, const char **why)
{
	size_t skip = 0, len;
	*h = (struct fl_http_head_in){ 0 };
	*why = NULL;
	while (skip < n && skip < 4 && (p[skip] == '\r' || p[skip] == '\n'))     /* what some clients send after a body */
		skip++;
	len = head_length(p + skip, n - skip);
	if (!len)
		return n >= FL_HTTP_HEAD ? -431 : 0;
	if (skip + len > FL_HTTP_HEAD)
		return -431;
	struct fl_str s = { p + skip, len };
	struct seen seen = { 0 };
	int ret = request_line(line(&s), h, why);
	h->rq.head = s;
	while (!ret && s.n) {
		struct fl_str l = line(&s);
		if (!l.n)
			break;
		ret = field(l, h, &seen, why);
	}
	if (ret)
		return ret;
	if (seen.hosts != 1 && !h->http10) {
		*why = seen.hosts ? "too many Host headers" : "missing required Host header";
		return -400;
	}
	if (seen.encoding) {
		if (seen.length)
			return -400;            /* two lengths: nobody knows where the next request begins */
		h->body = UINT64_MAX;
	}
	return (int)(skip + len);
}

struct fl_str fl_http_header(const struct fl_http_request *rq, const char *name)
{
	for (struct fl_str s = rq->head; s.n;) {
		struct fl_str l = line(&s), field_name, value = fl_str_cut(l, ':', &field_name);
		if (field_name.n < l.n && fl_str_ieq(field_name, fl_str(name)))
			return fl_str_trim(value);
	}
	return (struct fl_str){ NULL, 0 };
}

bool fl_http_param(struct fl_str *rest, struct fl_http_param *p)
{
	while (rest->n) {
		struct fl_str one, name, value;
		*rest = fl_str_cut(*rest, '&', &one);
		value = fl_str_cut(one, '=', &name);
		if (!one.n || one.n > sizeof p->bytes)
			continue;
		int n = fl_http_unescape(p->bytes, name, true), v = n < 0 ? -1 : fl_http_unescape(p->bytes + n, value, true);
		if (v < 0)
			continue;
		p->name = (struct fl_str){ p->bytes, (size_t)n };
		p->value = (struct fl_str){ p->bytes + n, (size_t)v };
		return true;
	}
	return false;
}

/* Folds path into to (as long): no empty, "." or ".." parts; a slash at its end stays. Length. */
static size_t clean(char *to, struct fl_str path)
{
	bool slash = path.p[path.n - 1] == '/';
	size_t n = 0;
	while (path.n) {
		struct fl_str part;
		path = fl_str_cut(path, '/', &part);
		if (fl_str_is(part, ".."))
			while (n && to[--n] != '/')
				;
		if (!part.n || fl_str_is(part, ".") || fl_str_is(part, ".."))
			continue;
		to[n++] = '/';
		memcpy(to + n, part.p, part.n);
		n += part.n;
	}
	if (!n || slash)
		to[n++] = '/';
	return n;
}

/* s as it may stand in a header and between quotes in HTML; up to three times as long. */
static size_t escape(char *to, struct fl_str s, const char *besides)
{
	static const char digits[] = "0123456789ABCDEF";
	size_t n = 0;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c && strchr(besides, c))) {
			to[n++] = c;
			continue;
		}
		to[n++] = '%';
		to[n++] = digits[(unsigned char)c >> 4];
		to[n++] = digits[c & 15];
	}
	return n;
}

bool fl_http_redirect(char *location, size_t cap, const struct fl_http_request *rq)
{
	char path[FL_HTTP_HEAD];
	location[0] = 0;
	if (!rq->path.n || rq->path.p[0] != '/')
		return true;
	size_t n = clean(path, rq->path);
	if (fl_str_eq(rq->path, (struct fl_str){ path, n }))
		return true;
	if (3 * (n + rq->query.n) + 2 > cap)
		return false;
	n = escape(location, (struct fl_str){ path, n }, "-_.~/$&+,:;=@");
	if (rq->query.n) {
		location[n++] = '?';
		n += escape(location + n, rq->query, "-_.~/$&+,:;=@?%!*()[]");
	}
	location[n] = 0;
	return true;
}

const char *fl_http_reason(int status)
{
	static const struct { int status; const char *words; } rows[] = {
		{ 200, "OK" }, { 204, "No Content" }, { 301, "Moved Permanently" }, { 304, "Not Modified" }, { 307, "Temporary Redirect" },
		{ 400, "Bad Request" },
		{ 403, "Forbidden" }, { 404, "Not Found" }, { 405, "Method Not Allowed" },
		{ 431, "Request Header Fields Too Large" },
		{ 500, "Internal Server Error" }, { 501, "Not Implemented" }, { 503, "Service Unavailable" },
		{ 505, "HTTP Version Not Supported" },
	};
	for (size_t i = 0; i < FL_COUNT(rows); i++)
		if (rows[i].status == status)
			return rows[i].words;
	return "Unknown";
}

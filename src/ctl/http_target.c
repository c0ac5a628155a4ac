/* Targets of requests, as Go's net/url and ServeMux read them. */
#include "ctl/http_int.h"
#include "net/web.h"
#include <errno.h>

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

int fl_http_target(char *p, size_t n, struct fl_http_request *rq)
{
	struct fl_str t = { p, n };
	if (!n || n > FL_HTTP_TARGET || (p[0] != '/' && !fl_str_is(t, "*")))
		return -EINVAL;
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)p[i] <= ' ' || p[i] == 0x7f)
			return -EINVAL;
	rq->query = fl_str_cut(t, '?', &rq->path);
	int len = fl_http_unescape(p, rq->path, false);
	if (len < 0)
		return -EINVAL;
	rq->path.n = (size_t)len;
	return 0;
}

struct fl_str fl_http_header(const struct fl_http_request *rq, const char *name) { return fl_web_find(rq->head, name); }

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
	char path[FL_HTTP_TARGET + 1];
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

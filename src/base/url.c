#include "base/url.h"

static bool without(struct fl_str s, const char *signs)
{
	for (size_t i = 0; i < s.n; i++)
		if ((uint8_t)s.p[i] <= ' ' || s.p[i] == 0x7f || strchr(signs, s.p[i]))
			return false;
	return true;
}

bool fl_url_authority(struct fl_url *u, struct fl_str text)
{
	int64_t port = u->port;
	struct fl_str host, rest;
	if (fl_str_starts(text, FL_STR("["))) {
		rest = fl_str_cut((struct fl_str){ text.p + 1, text.n - 1 }, ']', &host);
		bool closed = text.n > host.n + 1;
		if (!closed || (rest.n && *rest.p != ':'))
			return false;
		rest = rest.n ? (struct fl_str){ rest.p + 1, rest.n - 1 } : rest;
	} else {
		rest = fl_str_cut(text, ':', &host);
	}
	if (!host.n || !without(host, "@[]") || (rest.n && fl_parse_int(rest, 1, UINT16_MAX, &port)))
		return false;
	u->host = host;
	u->authority = text;
	u->port = (uint16_t)port;
	return true;
}

bool fl_url_http(struct fl_url *u, struct fl_str text)
{
	u->tls = fl_str_starts(text, FL_STR("https://"));
	if (!u->tls && !fl_str_starts(text, FL_STR("http://")))
		return false;
	struct fl_str s = { text.p + 7 + u->tls, text.n - 7 - u->tls };
	size_t n = 0;
	while (n < s.n && s.p[n] != '/' && s.p[n] != '?' && s.p[n] != '#')
		n++;
	u->rest = (struct fl_str){ s.p + n, s.n - n };
	u->port = u->tls ? 443 : 80;
	return without(u->rest, "") && fl_url_authority(u, (struct fl_str){ s.p, n });
}

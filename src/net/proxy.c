#include "net/proxy.h"
#include "base/url.h"
#include <arpa/inet.h>
#include <errno.h>
#include <gnutls/gnutls.h>
#include <stdlib.h>

/* ---- NO_PROXY ---- */

struct ip { uint8_t b[16]; unsigned n; };

static bool parse_ip(struct ip *to, struct fl_str s)
{
	char text[64];
	if (s.n > 1 && s.p[0] == '[' && s.p[s.n - 1] == ']')
		s = (struct fl_str){ s.p + 1, s.n - 2 };
	if (s.n >= sizeof text)
		return false;
	*fl_put_bytes(text, s.p, s.n) = 0;
	to->n = inet_pton(AF_INET, text, to->b) == 1 ? 4 : inet_pton(AF_INET6, text, to->b) == 1 ? 16 : 0;
	return to->n;
}

static bool in_net(const struct ip *ip, struct fl_str net)
{
	struct fl_str head, bits = fl_str_cut(net, '/', &head);
	struct ip base;
	int64_t n;
	if (!parse_ip(&base, head) || base.n != ip->n || fl_parse_int(bits, 0, 8 * (int64_t)ip->n, &n))
		return false;
	for (unsigned i = 0; i < ip->n; i++) {
		int64_t left = n - 8 * (int64_t)i;
		uint8_t mask = left >= 8 ? 0xff : left <= 0 ? 0 : (uint8_t)(0xff << (8 - left));
		if ((ip->b[i] ^ base.b[i]) & mask)
			return false;
	}
	return true;
}

static bool loopback(const struct ip *ip)
{
	static const uint8_t one[16] = {[15] = 1};
	return ip->n == 4 ? ip->b[0] == 127 : !memcmp(ip->b, one, 16);
}

/* ".x" and "*.x": below x; "x": x and below. */
static bool named(struct fl_str host, struct fl_str rule)
{
	if (fl_str_starts(rule, FL_STR("*.")))
		rule = (struct fl_str){ rule.p + 1, rule.n - 1 };
	if (rule.p[0] != '.' && fl_str_ieq(host, rule))
		return true;
	struct fl_str suffix = rule.p[0] == '.' ? (struct fl_str){ rule.p + 1, rule.n - 1 } : rule;
	return suffix.n && host.n > suffix.n + 1 && host.p[host.n - suffix.n - 1] == '.' &&
	       fl_str_ieq((struct fl_str){ host.p + host.n - suffix.n, suffix.n }, suffix);
}

/* host:port of a rule: false when the port is another one; rule is the host then. */
static bool right_port(struct fl_str *rule, uint16_t port)
{
	const char *colon = memrchr(rule->p, ':', rule->n);
	struct ip ip;
	int64_t n;
	if (!colon || parse_ip(&ip, *rule))
		return true;
	struct fl_str digits = { colon + 1, (size_t)(rule->p + rule->n - colon) - 1 };
	if (fl_parse_int(digits, 0, 65535, &n))
		return true;
	rule->n = (size_t)(colon - rule->p);
	return n == port && rule->n;
}

bool fl_proxy_wanted(const char *name, uint16_t port, const char *no_proxy)
{
	struct fl_str host = fl_str(name), rest = fl_str(no_proxy ? no_proxy : ""), rule;
	struct ip ip;
	bool is_ip = parse_ip(&ip, host);
	if (fl_str_ieq(host, FL_STR("localhost")) || (is_ip && loopback(&ip)))
		return false;
	while (rest.n) {
		rest = fl_str_cut(rest, ',', &rule);
		rule = fl_str_trim(rule);
		if (fl_str_is(rule, "*"))
			return false;
		if (!rule.n || !right_port(&rule, port))
			continue;
		if (is_ip ? in_net(&ip, rule) : named(host, rule))
			return false;
		struct ip other;
		if (is_ip && parse_ip(&other, rule) && other.n == ip.n && !memcmp(other.b, ip.b, ip.n))
			return false;
	}
	return true;
}

/* ---- the URL ---- */

static struct fl_str scheme_of(struct fl_str url)
{
	const char *at = memmem(url.p, url.n, "://", 3);
	return at ? (struct fl_str){ url.p, (size_t)(at - url.p) } : FL_STR("");
}

int fl_proxy_check(struct fl_str url, struct fl_err *e)
{
	struct fl_str scheme = scheme_of(url);
	if (fl_str_is(scheme, "http") || fl_str_is(scheme, "https") || fl_str_is(scheme, "socks5"))
		return 0;
	return fl_err_set(e, "unsupported scheme \"%.*s\", must be http, https, or socks5", FL_FMT(scheme));
}

static int credentials(struct fl_proxy *p, struct fl_arena *a, struct fl_str user, struct fl_err *e)
{
	gnutls_datum_t in = { .data = (unsigned char *)(uintptr_t)user.p, .size = (unsigned)user.n }, out = { 0 };
	if (memchr(user.p, '%', user.n))
		return fl_err_set(e, "a proxy's user or password with %% is known, but this version of fairlead does not support it yet");
	if (gnutls_base64_encode2(&in, &out) < 0)
		return fl_err_set(e, "out of memory");
	p->auth = fl_arena_printf(a, "Basic %.*s", (int)out.size, out.data).p;
	gnutls_free(out.data);
	return p->auth ? 0 : fl_err_set(e, "out of memory");
}

int fl_proxy_parse(struct fl_proxy *p, struct fl_arena *a, struct fl_str url, struct fl_err *e)
{
	struct fl_str scheme = scheme_of(url), at = url, path;
	if (scheme.n && !fl_str_is(scheme, "http"))
		return fl_err_set(e, "a proxy of scheme \"%.*s\" is known, but this version of fairlead does not support it yet: http only",
				  FL_FMT(scheme));
	if (scheme.n)
		at = (struct fl_str){ url.p + scheme.n + 3, url.n - scheme.n - 3 };
	fl_str_cut(at, '/', &path);
	at = path;
	const char *sign = memrchr(at.p, '@', at.n);
	if (sign) {
		int ret = credentials(p, a, (struct fl_str){ at.p, (size_t)(sign - at.p) }, e);
		if (ret)
			return ret;
		at = (struct fl_str){ sign + 1, (size_t)(at.p + at.n - sign) - 1 };
	}
	struct fl_url u = { .port = 80 };
	if (!fl_url_authority(&u, at))
		return fl_err_set(e, "invalid proxy address: it names no host");
	p->host = fl_arena_str(a, u.host).p;
	p->port = u.port;
	return p->host ? 0 : fl_err_set(e, "out of memory");
}

static const char *environment(const char *upper, const char *lower)
{
	const char *v = getenv(upper);
	return v && *v ? v : getenv(lower);
}

int fl_proxy_environment(struct fl_proxy *p, struct fl_arena *a, bool tls, const char *host, uint16_t port, struct fl_err *e)
{
	const char *url = tls ? environment("HTTPS_PROXY", "https_proxy") : environment("HTTP_PROXY", "http_proxy");
	if (!url || !*url || !fl_proxy_wanted(host, port, environment("NO_PROXY", "no_proxy")))
		return 0;
	return fl_proxy_parse(p, a, fl_str(url), e);
}

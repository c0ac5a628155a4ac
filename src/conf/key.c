#include "conf/conf_int.h"
#include <arpa/inet.h>
#include <stdio.h>

/* ---- scheme ---- */

static const struct scheme { const char *prefix, *name, *port; } schemes[] = {          /* port NULL: -dns.port */
	{ "tls://", "tls", "853" }, { "dns://", "dns", NULL }, { "quic://", "quic", "853" }, { "grpc://", "grpc", "443" },
	{ "https3://", "https3", "443" }, { "https://", "https", "443" }, { "unix://", "unix", "" },
};
static const struct scheme plain = { "", "dns", NULL };

static const struct scheme *cut_scheme(struct fl_str *s)
{
	for (size_t i = 0; i < FL_COUNT(schemes); i++)
		if (fl_str_starts(*s, fl_str(schemes[i].prefix))) {
			s->p += strlen(schemes[i].prefix);
			s->n -= strlen(schemes[i].prefix);
			return &schemes[i];
		}
	return &plain;
}

/* ---- names, by the rules of miekg/dns (defaults.go): \DDD and \X are one byte ---- */

static bool is_fqdn(struct fl_str s)
{
	if (!s.n || s.p[s.n - 1] != '.')
		return false;
	size_t last = s.n - 1, i = last;
	while (i && s.p[i - 1] == '\\')
		i--;
	size_t escapes = last - i;
	if (escapes && i) {             /* counted from where the rune before them begins, not where it ends */
		uint32_t r;
		size_t back = i < 4 ? i : 4;
		while (back > 1 && fl_conf_rune(s.p + i - back, s.p + i, &r) != back)
			back--;
		escapes += back - 1;
	}
	return escapes % 2 == 0;
}

static bool is_ddd(const char *p, const char *end)
{
	for (int i = 0; i < 3; i++)
		if (end - p < 3 || p[i] < '0' || p[i] > '9')
			return false;
	return true;
}

/* s ends in a dot that counts. */
static bool is_name(struct fl_str s)
{
	size_t length = 0, begin = 0;
	bool dot = false, escape = false;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\\') {
			bool ddd = is_ddd(s.p + i + 1, s.p + s.n);
			escape = !escape;
			if (length + 1 > 256)
				return false;
			i += ddd ? 3 : 1;
			begin += ddd ? 3 : 1;
			dot = false;
		} else if (s.p[i] == '.') {
			escape = false;
			if ((i == 0 && s.n > 1) || dot || i - begin >= 64)
				return false;
			dot = true;
			length += 1 + i - begin;
			if (length > 256)
				return false;
			begin = i + 1;
		} else {
			escape = dot = false;
		}
	}
	return !escape;
}

static struct fl_str fqdn(struct fl_arena *a, struct fl_str s)
{
	return fl_arena_printf(a, "%.*s%s", FL_FMT(s), is_fqdn(s) ? "" : ".");
}

/* ---- CIDR → reverse zones ---- */

struct cidr { uint8_t ip[16]; unsigned bytes, ones; };

static bool cidr_parse(struct fl_str s, struct cidr *c)
{
	char text[64];
	struct fl_str ip, mask = fl_str_cut(s, '/', &ip);
	int64_t ones;
	if (ip.n == s.n || ip.n >= sizeof text || memchr(ip.p, 0, ip.n) || !mask.n || mask.p[0] == '+' || mask.p[0] == '-')
		return false;
	memcpy(text, ip.p, ip.n);
	text[ip.n] = 0;
	*c = (struct cidr){ .bytes = memchr(ip.p, ':', ip.n) ? 16 : 4 };
	if (inet_pton(c->bytes == 16 ? AF_INET6 : AF_INET, text, c->ip) != 1 || fl_parse_int(mask, 0, c->bytes * 8, &ones))
		return false;
	c->ones = (unsigned)ones;
	for (unsigned i = c->ones; i < c->bytes * 8; i++)
		c->ip[i / 8] &= (uint8_t)~(0x80 >> i % 8);
	return true;
}

/* The zone of the first `bits` bits, a multiple of one label's. */
static struct fl_str reverse_zone(struct fl_arena *a, const struct cidr *c, unsigned bits)
{
	char text[80], *p = text;
	const char *end = text + sizeof text;
	if (c->bytes == 4) {
		for (unsigned i = bits / 8; i-- > 0;)
			p += snprintf(p, (size_t)(end - p), "%u.", c->ip[i]);
		snprintf(p, (size_t)(end - p), "in-addr.arpa.");
	} else {
		for (unsigned i = bits / 4; i-- > 0;)
			p += snprintf(p, (size_t)(end - p), "%x.", c->ip[i / 2] >> (i % 2 ? 0 : 4) & 15);
		snprintf(p, (size_t)(end - p), "ip6.arpa.");
	}
	return fl_arena_str(a, fl_str(text));
}

/* Off a label's boundary: one zone for each value of the bits that are missing to the next. */
static unsigned cidr_zones(struct fl_arena *a, struct cidr *c, struct fl_str **out)
{
	unsigned label = c->bytes == 4 ? 8 : 4, bits = (c->ones + label - 1) / label * label, n = 1u << (bits - c->ones);
	*out = fl_alloc(a, n * sizeof **out);
	for (unsigned i = 0; *out && i < n; i++) {
		struct cidr one = *c;
		if (bits)
			one.ip[(bits - 1) / 8] |= (uint8_t)(i << (8 - label) * (bits / label % 2));
		(*out)[i] = reverse_zone(a, &one, bits);
	}
	return *out ? n : 0;
}

/* ---- host and port ---- */

static int too_large(struct fl_err *e) { return fl_err_set(e, "error inspecting server blocks: the configuration is too large"); }

/* What follows the last colon is a port when it is a number, of any size; else it belongs to the name. */
static int split_port(struct fl_str *s, bool *has_port, int64_t *port, struct fl_err *e)
{
	char quoted[300];
	const char *colon = s->n ? memrchr(s->p, ':', s->n) : NULL;
	if (!s->n || colon == s->p + s->n - 1)
		return fl_err_set(e, "error inspecting server blocks: expecting data after last colon: %s",
				  fl_conf_quote(quoted, sizeof quoted, *s));
	struct fl_str digits = colon ? (struct fl_str){ colon + 1, s->n - 1 - (size_t)(colon - s->p) } : FL_STR("");
	*has_port = colon && !fl_parse_int(digits, INT64_MIN, INT64_MAX, port);
	if (*has_port)
		s->n = (size_t)(colon - s->p);
	return 0;
}

struct hosts { struct fl_str *zone; unsigned n; bool has_port; int64_t port; };

/* SplitHostPort of plugin/normalize.go, and the zones in their final form. */
static int split(struct fl_arena *a, struct fl_str s, struct hosts *h, struct fl_err *e)
{
	struct cidr c;
	int ret = split_port(&s, &h->has_port, &h->port, e);
	if (ret)
		return ret;
	if (s.n > 255)
		return fl_err_set(e, "error inspecting server blocks: specified zone is too long: %zu > 255", s.n);
	struct fl_str full = fqdn(a, s);
	if (!s.n || !full.p || !is_name(full))
		return fl_err_set(e, "error inspecting server blocks: zone is not a valid domain name: %.*s", FL_FMT(s));
	if (cidr_parse(s, &c)) {
		if (s.p[0] == ':' || (s.p[0] == '0' && c.bytes == 16))
			return fl_err_set(e, "error inspecting server blocks: invalid CIDR %.*s", FL_FMT(s));
		h->n = cidr_zones(a, &c, &h->zone);
		return h->n ? 0 : too_large(e);
	}
	h->n = 1;
	h->zone = fl_alloc(a, sizeof *h->zone);
	if (!h->zone)
		return too_large(e);
	for (size_t i = 0; i < full.n; i++)
		((char *)full.p)[i] = (char)fl_lower((uint8_t)full.p[i]);
	h->zone[0] = full;
	return 0;
}

int fl_key_parse(struct fl_arena *a, struct fl_str key, const char *default_port, struct fl_key **out, unsigned *nout,
		 struct fl_err *e)
{
	struct hosts h;
	const struct scheme *sch = cut_scheme(&key);
	const char *port = sch->port ? sch->port : default_port;
	int ret = split(a, key, &h, e);
	*nout = 0;
	if (ret)
		return ret;
	/* CoreDNS looks again now that the zone ends in a dot; one behind a lone backslash made no label before. */
	struct fl_str full = fqdn(a, h.zone[0]);
	if (h.zone[0].n > 255)
		return fl_err_set(e, "error inspecting server blocks: specified zone is too long: %zu > 255", h.zone[0].n);
	if (!full.p || !is_name(full))
		return fl_err_set(e, "error inspecting server blocks: zone is not a valid domain name: %.*s", FL_FMT(h.zone[0]));
	if (h.has_port && (h.port < 0 || h.port > 65535))       /* CoreDNS says so later, when it comes to listen */
		return fl_err_set(e, "address %lld: invalid port", (long long)h.port);
	if (!h.has_port && strlen(port) >= sizeof (*out)->port)
		return fl_err_set(e, "address %s: invalid port", port);
	*out = fl_zalloc(a, h.n * sizeof **out);
	if (!*out)
		return too_large(e);
	for (unsigned i = 0; i < h.n; i++) {
		struct fl_key *k = &(*out)[i];
		k->zone = h.zone[i];
		k->scheme = sch->name;
		if (h.has_port)
			snprintf(k->port, sizeof k->port, "%d", (int)h.port);
		else
			memcpy(k->port, port, strlen(port));
	}
	*nout = h.n;
	return 0;
}

unsigned fl_zone_parse(struct fl_arena *a, struct fl_str arg, struct fl_str **out)
{
	struct fl_err e;
	struct hosts h;
	cut_scheme(&arg);
	if (split(a, arg, &h, &e))
		return 0;
	*out = h.zone;
	return h.n;
}

/* ---- what a zone looks like ---- */

static bool letter(char c) { return fl_lower((uint8_t)c) >= 'a' && fl_lower((uint8_t)c) <= 'z'; }
static bool letter_or_digit(char c) { return letter(c) || (c >= '0' && c <= '9'); }

static bool preferred_label(struct fl_str l)
{
	if (!l.n || !letter(l.p[0]) || !letter_or_digit(l.p[l.n - 1]))
		return false;
	for (size_t i = 0; i < l.n; i++)
		if (!letter_or_digit(l.p[i]) && l.p[i] != '-')
			return false;
	return true;
}

bool fl_zone_is_preferred(struct fl_str zone)
{
	if (fl_str_is(zone, ".") || fl_str_ends(zone, FL_STR(".in-addr.arpa.")) || fl_str_ends(zone, FL_STR(".ip6.arpa.")))
		return true;
	if (!zone.n || zone.p[zone.n - 1] != '.')
		return false;
	while (zone.n) {
		struct fl_str label;
		zone = fl_str_cut(zone, '.', &label);
		if (!preferred_label(label))
			return false;
	}
	return true;
}

static bool has_space(struct fl_str s)
{
	for (const char *p = s.p, *end = s.p + s.n; p < end;) {
		uint32_t r;
		p += fl_conf_rune(p, end, &r);
		if (fl_conf_rune_is_space(r))
			return true;
	}
	return false;
}

const char *fl_key_accident(struct fl_arena *a, const struct fl_conf *c, const struct fl_token *key)
{
	struct fl_str k = key->text, rest = k, scheme = k;
	const struct scheme *sch = cut_scheme(&rest);
	const char *mark = rest.n ? memmem(rest.p, rest.n, "://", 3) : NULL;
	const char *colon = rest.n ? memrchr(rest.p, ':', rest.n) : NULL;
	struct fl_str port = { colon, colon ? (size_t)(rest.p + rest.n - colon) : 0 };
	struct cidr net;
	char what[256];
	int64_t n;
	if (fl_str_is(k, "}") || fl_str_is(k, "{"))
		snprintf(what, sizeof what, "is served as a zone: a brace too many?");
	else if (k.n && (memchr(k.p, '{', k.n) || memchr(k.p, '}', k.n)))
		snprintf(what, sizeof what, "holds a brace and is served as a zone: a space or a variable's name missing?");
	else if (has_space(k))
		snprintf(what, sizeof what, "holds a space and is served as one zone: several names in one variable?");
	else if (!strcmp(sch->name, "unix"))
		snprintf(what, sizeof what, "makes no server: unix:// is for upstreams");
	else if (mark) {
		scheme.n = (size_t)(mark - k.p);
		snprintf(what, sizeof what, "has the unknown scheme '%.*s' and is served as a zone over plain DNS",
			 (int)(scheme.n < 64 ? scheme.n : 64), scheme.p);
	} else if (port.n > 1 && fl_parse_int((struct fl_str){ port.p + 1, port.n - 1 }, INT64_MIN, INT64_MAX, &n) &&
		   !cidr_parse(rest, &net))
		snprintf(what, sizeof what, "has '%.*s', which is no port, and is served as a zone",
			 (int)(port.n < 64 ? port.n : 64), port.p);
	else
		return NULL;
	struct fl_str file = key->file.n ? key->file : fl_str(c->file);
	return fl_arena_printf(a, "%.*s:%d: '%.*s' %s", FL_FMT(file), key->line, (int)(k.n < 256 ? k.n : 256), k.p, what).p;
}

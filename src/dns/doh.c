#include "dns/doh.h"
#include "dns/typify.h"
#include "wire/message.h"
#include <errno.h>
#include <stdio.h>

enum { AGE_NONE = 5, AGE_MAX = 3600, POST_MAX = 65536 };
static const char path[] = "/dns-query", type[] = "application/dns-message";

enum answered { S200, S400, S404, S500, NSTATUS };
static const int status_of[NSTATUS] = { 200, 400, 404, 500 };

struct fl_grid *fl_doh_responses(struct fl_str server, bool h3)
{
	static const struct fl_metric_def doh = { .name = "coredns_dns_https_responses_total", .kind = FL_COUNTER,
		.help = "Counter of DoH responses per server and http status code.", .labels = { "server", "status" } };
	static const struct fl_metric_def doh3 = { .name = "coredns_dns_https3_responses_total", .kind = FL_COUNTER,
		.help = "Counter of DoH3 responses per server and http status code.", .labels = { "server", "status" } };
	static const char *const status[NSTATUS] = { "200", "400", "404", "500" };
	static const struct fl_dim dim = { NSTATUS, status };
	return fl_metric_grid(fl_metric(h3 ? &doh3 : &doh), &server, &dim, 1);
}

/* ---- the question ---- */

static int hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The next character of s, %XX decoded; -1: a bad escape. *i moves. */
static int unescaped(struct fl_str s, size_t *i)
{
	uint8_t c = (uint8_t)s.p[(*i)++];
	if (c != '%')
		return c;
	int hi = *i + 1 < s.n ? hex(s.p[*i]) : -1, lo = *i + 1 < s.n ? hex(s.p[*i + 1]) : -1;
	*i += 2;
	return hi < 0 || lo < 0 ? -1 : hi << 4 | lo;
}

static bool means(struct fl_str s, const char *word)
{
	for (size_t i = 0; i < s.n; word++) {
		int c = unescaped(s, &i);
		if (!*word || c != (uint8_t)*word)
			return false;
	}
	return !*word;
}

bool fl_doh_path(struct fl_str target)
{
	struct fl_str p;
	fl_str_cut(target, '?', &p);
	return means(p, path);
}

static int sextet(int c)
{
	return c >= 'A' && c <= 'Z' ? c - 'A' : c >= 'a' && c <= 'z' ? c - 'a' + 26 : c >= '0' && c <= '9' ? c - '0' + 52 :
	       c == '-' ? 62 : c == '_' ? 63 : -1;
}

/* base64url without padding; line ends are passed over (encoding/base64). */
static int decode(struct fl_str s, uint8_t *to, size_t cap)
{
	uint32_t bits = 0;
	unsigned have = 0;
	size_t n = 0;
	for (size_t i = 0; i < s.n;) {
		int c = unescaped(s, &i), v = sextet(c);
		if (c == '\r' || c == '\n')
			continue;
		if (v < 0)
			return -EINVAL;
		bits = bits << 6 | (uint32_t)v;
		have += 6;
		if (have < 8)
			continue;
		if (n == cap)
			return -EINVAL;
		have -= 8;
		to[n++] = (uint8_t)(bits >> have);
	}
	return have == 6 ? -EINVAL : (int)n;    /* one character too many */
}

/* Pairs of which a half cannot be decoded do not count, as in net/url. */
static bool well_escaped(struct fl_str s)
{
	for (size_t i = 0; i < s.n;)
		if (unescaped(s, &i) < 0)
			return false;
	return !memchr(s.n ? s.p : "", ';', s.n);
}

int fl_doh_get(struct fl_str target, uint8_t *to, size_t cap)
{
	struct fl_str p, query = fl_str_cut(target, '?', &p), found = { 0 };
	unsigned n = 0;
	if (!means(p, path))
		return -ENOENT;
	while (query.n) {
		struct fl_str one, name, value;
		query = fl_str_cut(query, '&', &one);
		if (!one.n || !well_escaped(one))
			continue;
		value = fl_str_cut(one, '=', &name);
		if (!means(name, "dns"))
			continue;
		n++;
		found = value;
	}
	return n == 1 ? decode(found, to, cap) : -EINVAL;
}

/* ---- the answer ---- */

/* Behind the name at `at`; beyond n when it is none. */
static size_t skip_name(const uint8_t *msg, size_t n, size_t at)
{
	while (at < n && msg[at] && msg[at] < 0xc0)
		at += msg[at] + 1u;
	return at < n && msg[at] ? at + 2 : at + 1;
}

uint32_t fl_doh_age(const uint8_t *msg, size_t n)
{
	size_t at = FL_HEADER;
	uint32_t age = AGE_MAX;
	bool any = false;
	if (n < FL_HEADER)
		return AGE_NONE;
	for (unsigned i = fl_get16(msg + 4); i; i--)
		at = skip_name(msg, n, at) + 4;
	for (unsigned i = fl_get16(msg + 6) + fl_get16(msg + 8) + fl_get16(msg + 10); i; i--) {
		at = skip_name(msg, n, at);
		if (at + 10 > n)
			break;
		uint32_t ttl = fl_get32(msg + at + 4);
		bool opt = fl_get16(msg + at) == FL_T_OPT;
		any = any || !opt;
		age = opt || age < ttl ? age : ttl;
		at += 10u + fl_get16(msg + at + 8);
	}
	return any ? age : AGE_NONE;
}

static uint32_t age_of(const struct fl_query *q, const uint8_t *msg, size_t n)
{
	enum fl_kind k = q ? fl_typify(q, fl_clock_wall_s()) : FL_KIND_OTHERERROR;
	return k == FL_KIND_NOERROR || k == FL_KIND_NXDOMAIN || k == FL_KIND_NODATA ? fl_doh_age(msg, n) : AGE_NONE;
}

struct mine { struct fl_asker asker; struct fl_web_req *r; };
_Static_assert(sizeof(struct mine) <= sizeof((struct fl_web_req *)0)->mine, "what a request carries");

static struct fl_listener *listener_of(struct fl_web_req *r)
{
	return r->conn ? (struct fl_listener *)((char *)fl_conn_listener(r->conn) - offsetof(struct fl_listener, tcp))
		       : (struct fl_listener *)((char *)fl_quic_stream_listener(r->quic) - offsetof(struct fl_listener, quic));
}

static void count(struct fl_web_req *r, enum answered s)
{
	struct fl_listener *l = listener_of(r);
	if (l->https)
		fl_grid_add(l->https, l->shard->sh.id, s, 1);
}

/* As http.Error() of Go. */
static void fail(struct fl_web_req *r, enum answered s, const char *words)
{
	const struct fl_web_field f[] = {
		{ FL_STR("content-type"), FL_STR("text/plain; charset=utf-8") }, { FL_STR("x-content-type-options"), FL_STR("nosniff") } };
	count(r, s);
	fl_web_answer(r, status_of[s], f, FL_COUNT(f), words, strlen(words), NULL, 0);
}

static void answered(struct fl_asker *a, const uint8_t *msg, size_t n, const struct fl_query *q)
{
	struct fl_web_req *r = ((struct mine *)a)->r;
	char age[32];
	if (!msg) {
		fail(r, S500, "No response\n");
		return;
	}
	size_t len = (size_t)snprintf(age, sizeof age, "max-age=%u", age_of(q, msg, n));
	const struct fl_web_field f[] = {
		{ FL_STR("content-type"), { type, sizeof type - 1 } }, { FL_STR("cache-control"), { age, len } } };
	count(r, S200);
	fl_web_answer(r, 200, f, FL_COUNT(f), msg, n, NULL, 0);
}

static void request(struct fl_web_req *r)
{
	struct mine *m = (struct mine *)r->mine;
	uint8_t got[FL_WEB_HEAD];
	const uint8_t *msg = r->body;
	int n = -EINVAL;
	const struct fl_udp_way *way = r->conn ? fl_conn_way(r->conn) : fl_quic_stream_way(r->quic);
	*m = (struct mine){ { .way = way, .udp = !r->conn, .answer = answered }, r };
	if (!fl_doh_path(r->target)) {
		fail(r, S404, "\n");
		return;
	}
	if (fl_str_is(r->method, "GET")) {
		n = fl_doh_get(r->target, got, sizeof got);
		msg = got;
	} else if (fl_str_is(r->method, "POST") && !r->too_large && r->n <= POST_MAX) {
		n = (int)r->n;
	}
	if (n < 0 || !fl_query_stream(listener_of(r), &m->asker, msg, (size_t)n))
		fail(r, S400, "invalid request\n");
}

static void gone(struct fl_web_req *r) { fl_query_gone(&((struct mine *)r->mine)->asker); }

const struct fl_web_ops fl_doh_ops = { request, gone };

/* DNS over gRPC: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md, refusals in the words of grpc-go. */
#include "dns/doh.h"
#include <stdio.h>
#include <stdlib.h>

enum { OK = 0, UNKNOWN = 2, RESOURCE_EXHAUSTED = 8, UNIMPLEMENTED = 12, INTERNAL = 13, UNAVAILABLE = 14 };
enum { MESSAGE_MAX = 65535 + 4 };
static const char service[] = "coredns.dns.DnsService";

/* ---- protobuf: DnsPacket { bytes msg = 1; } ---- */

static bool varint(const uint8_t **p, const uint8_t *end, uint64_t *v)
{
	*v = 0;
	for (unsigned shift = 0; *p < end && shift < 64; shift += 7) {
		uint8_t b = *(*p)++;
		*v |= (uint64_t)(b & 0x7f) << shift;
		if (b < 0x80)
			return true;
	}
	return false;
}

static bool packet(const uint8_t *p, const uint8_t *end, struct fl_str *msg)
{
	*msg = FL_STR("");
	while (p < end) {
		uint64_t key, n;
		if (!varint(&p, end, &key) || !(key >> 3))
			return false;
		switch (key & 7) {
		case 0:
			if (!varint(&p, end, &n))
				return false;
			n = 0;
			break;
		case 1: n = 8; break;
		case 2:
			if (!varint(&p, end, &n))
				return false;
			break;
		case 5: n = 4; break;
		default: return false;
		}
		if (n > (uint64_t)(end - p))
			return false;
		if (key == (1 << 3 | 2))                /* of several the last counts */
			*msg = (struct fl_str){ (const char *)p, (size_t)n };
		p += n;
	}
	return true;
}

int fl_grpc_unwrap(const uint8_t *body, size_t n, struct fl_str *msg, const char **why)
{
	if (n < 5) {
		*why = n ? "unexpected EOF" : "EOF";
		return INTERNAL;
	}
	uint32_t len = (uint32_t)body[1] << 24 | (uint32_t)body[2] << 16 | (uint32_t)body[3] << 8 | body[4];
	*why = "grpc: Decompressor is not installed for the message's encoding";
	if (body[0] == 1)
		return UNIMPLEMENTED;
	*why = "grpc: received unexpected payload format";
	if (body[0])
		return INTERNAL;
	*why = "grpc: received message larger than max";
	if (len > MESSAGE_MAX)
		return RESOURCE_EXHAUSTED;
	*why = "unexpected EOF";
	if (len != n - 5)
		return INTERNAL;
	*why = "grpc: failed to unmarshal the received message";
	return packet(body + 5, body + n, msg) ? OK : INTERNAL;
}

size_t fl_grpc_wrap(uint8_t head[10], size_t n)
{
	uint8_t field[5], *p = field;
	size_t left = n;
	*p++ = 1 << 3 | 2;
	for (; left >= 0x80; left >>= 7)
		*p++ = (uint8_t)(left | 0x80);
	*p++ = (uint8_t)left;
	size_t k = (size_t)(p - field), len = k + n;
	head[0] = 0;
	head[1] = (uint8_t)(len >> 24);
	head[2] = (uint8_t)(len >> 16);
	head[3] = (uint8_t)(len >> 8);
	head[4] = (uint8_t)len;
	memcpy(head + 5, field, k);
	return 5 + k;
}

/* ---- calls ---- */

struct mine { struct fl_asker asker; struct fl_web_req *r; };
_Static_assert(sizeof(struct mine) <= sizeof((struct fl_web_req *)0)->mine, "what a request carries");

static const struct fl_web_field grpc_type = { { "content-type", 12 }, { "application/grpc", 16 } };

/* Only trailers, in the place of a header. */
static void fail(struct fl_web_req *r, int status, const char *why)
{
	char code[8];
	size_t n = (size_t)snprintf(code, sizeof code, "%d", status);
	const struct fl_web_field f[] = { grpc_type, { FL_STR("grpc-status"), { code, n } }, { FL_STR("grpc-message"), fl_str(why) } };
	fl_web_answer(r, 200, f, FL_COUNT(f), NULL, 0, NULL, 0);
}

static void answered(struct fl_asker *a, const uint8_t *msg, size_t n, const struct fl_query *q)
{
	static const struct fl_web_field done[] = { { { "grpc-status", 11 }, { "0", 1 } }, { { "grpc-message", 12 }, { "", 0 } } };
	struct fl_web_req *r = ((struct mine *)a)->r;
	uint8_t small[2048], *body = small;
	(void)q;
	if (!msg) {                             /* CoreDNS hands the question back */
		fail(r, UNAVAILABLE, "no response");
		return;
	}
	if (n + 10 > sizeof small && !(body = malloc(n + 10))) {
		fail(r, RESOURCE_EXHAUSTED, "out of memory");
		return;
	}
	size_t head = fl_grpc_wrap(body, n);
	memcpy(body + head, msg, n);
	fl_web_answer(r, 200, &grpc_type, 1, body, head + n, done, FL_COUNT(done));
	if (body != small)
		free(body);
}

/* The path names what is not there. */
static void unknown(struct fl_web_req *r)
{
	char why[256];
	struct fl_str head, rest = fl_str_cut(r->target, '/', &head), name, method = fl_str_cut(rest, '/', &name);
	if (!r->target.n || r->target.p[0] != '/' || name.n == rest.n)
		snprintf(why, sizeof why, "malformed method name: \"%.*s\"", (int)(r->target.n < 64 ? r->target.n : 64), r->target.p);
	else if (fl_str_is(name, service))
		snprintf(why, sizeof why, "unknown method %.*s for service %s", (int)(method.n < 64 ? method.n : 64), method.p, service);
	else
		snprintf(why, sizeof why, "unknown service %.*s", (int)(name.n < 64 ? name.n : 64), name.p);
	for (char *p = why; *p; p++)
		*p = *p >= ' ' && *p < 0x7f && *p != '%' ? *p : '?';
	fail(r, UNIMPLEMENTED, why);
}

static void plain(struct fl_web_req *r, int status, const char *words)
{
	const struct fl_web_field f[] = { { FL_STR("content-type"), FL_STR("text/plain; charset=utf-8") } };
	fl_web_answer(r, status, f, 1, words, strlen(words), NULL, 0);
}

static void request(struct fl_web_req *r)
{
	struct mine *m = (struct mine *)r->mine;
	struct fl_listener *l = (struct fl_listener *)((char *)fl_conn_listener(r->conn) - offsetof(struct fl_listener, tcp));
	struct fl_str msg;
	const char *why;
	*m = (struct mine){ { .way = fl_conn_way(r->conn), .answer = answered }, r };
	bool grpc = fl_str_starts(r->type, FL_STR("application/grpc")) &&
		    (r->type.n == 16 || r->type.p[16] == '+' || r->type.p[16] == ';');
	if (!fl_str_is(r->method, "POST")) {
		plain(r, 405, "gRPC calls are POST requests");
	} else if (!grpc) {
		plain(r, 415, "invalid gRPC request content-type");
	} else if (!fl_str_is(r->target, "/coredns.dns.DnsService/Query")) {
		unknown(r);
	} else if (r->too_large) {
		fail(r, RESOURCE_EXHAUSTED, "grpc: received message larger than max");
	} else {
		int status = fl_grpc_unwrap(r->body, r->n, &msg, &why);
		if (status)
			fail(r, status, why);
		else if (!fl_query_stream(l, &m->asker, (const uint8_t *)msg.p, msg.n))
			fail(r, UNKNOWN, "dns request rejected");
	}
}

static void gone(struct fl_web_req *r) { fl_query_gone(&((struct mine *)r->mine)->asker); }

const struct fl_web_ops fl_grpc_ops = { request, gone };

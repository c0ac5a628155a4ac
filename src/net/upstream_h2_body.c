#include "net/upstream_h2.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { GRPC_FRAME = 5, FIELD_MSG = 0x0a, GRPC_NOT_FOUND = 5, GRPC_CODES = 17, GET_MAX = 4096 };

/* ---- the request ---- */

static unsigned varint(uint8_t *to, size_t v)
{
	unsigned n = 0;
	for (; v >= 0x80; v >>= 7)
		to[n++] = (uint8_t)(v | 0x80);
	to[n++] = (uint8_t)v;
	return n;
}

/* What stands before the message in the body: gRPC's frame (a flag, the length) and DnsPacket's key and length. */
static unsigned front(const struct fl_up_ask *a, uint8_t to[GRPC_FRAME + 6])
{
	uint8_t *packet = to + GRPC_FRAME;
	packet[0] = FIELD_MSG;
	unsigned n = 1 + varint(packet + 1, a->len);
	size_t all = n + a->len;
	to[0] = 0;
	to[1] = (uint8_t)(all >> 24), to[2] = (uint8_t)(all >> 16), to[3] = (uint8_t)(all >> 8), to[4] = (uint8_t)all;
	return GRPC_FRAME + n;
}

/* What is longer goes by POST: servers bound their headers, and so does nghttp2. */
static bool by_get(const struct fl_up_ask *a) { return a->up->conf.get && a->len <= GET_MAX; }

size_t fl_up_stream_total(const struct fl_up_stream *st)
{
	const struct fl_up_ask *a = st->ask;
	uint8_t head[GRPC_FRAME + 6];
	if (st->kind == FL_UP_GRPC)
		return front(a, head) + (size_t)a->len;
	return by_get(a) ? 0 : a->len;
}

size_t fl_up_stream_request(struct fl_up_stream *st, uint8_t *to, size_t cap)
{
	const struct fl_up_ask *a = st->ask;
	uint8_t head[GRPC_FRAME + 6];
	size_t nhead = st->kind == FL_UP_GRPC ? front(a, head) : 0, n = 0;
	for (; n < cap && st->sent < nhead; n++)
		to[n] = head[st->sent++];
	size_t rest = st->total - st->sent;
	rest = rest < cap - n ? rest : cap - n;
	memcpy(to + n, a->msg + (st->sent - nhead), rest);
	st->sent += rest;
	return n + rest;
}

static char *get_path(const struct fl_up_ask *a)
{
	static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", start[] = "/dns-query?dns=";
	char *path = malloc(sizeof start + (a->len + 2u) / 3 * 4), *to = path;
	if (!path)
		return NULL;
	memcpy(to, start, sizeof start - 1);
	to += sizeof start - 1;
	for (size_t i = 0; i < a->len; i += 3) {
		size_t left = a->len - i;
		uint32_t v = (uint32_t)a->msg[i] << 16 | (left > 1 ? (uint32_t)a->msg[i + 1] << 8 : 0) | (left > 2 ? a->msg[i + 2] : 0u);
		for (unsigned k = 0; k < (left > 2 ? 4 : left + 1); k++)
			*to++ = set[v >> (18 - 6 * k) & 63];
	}
	*to = 0;
	return path;
}

static void add(struct fl_up_head *h, const char *name, struct fl_str value)
{
	h->name[h->n] = fl_str(name);
	h->value[h->n++] = value;
}

static void grpc_head(struct fl_up_head *h, const struct fl_upstream *u)
{
	add(h, ":method", FL_STR("POST"));
	add(h, ":scheme", u->conf.creds ? FL_STR("https") : FL_STR("http"));
	add(h, ":authority", fl_str(u->conf.authority));
	add(h, ":path", FL_STR("/coredns.dns.DnsService/Query"));
	add(h, "content-type", FL_STR("application/grpc"));
	add(h, "te", FL_STR("trailers"));
	add(h, "user-agent", FL_STR("fairlead"));
}

bool fl_up_stream_head(struct fl_up_head *h, const struct fl_up_ask *a)
{
	const struct fl_up_conf *c = &a->up->conf;
	h->n = 0;
	h->path = NULL;
	if (c->kind == FL_UP_GRPC) {
		grpc_head(h, a->up);
		return true;
	}
	bool get = by_get(a);
	if (get && !(h->path = get_path(a)))
		return false;
	add(h, ":method", get ? FL_STR("GET") : FL_STR("POST"));
	add(h, ":scheme", FL_STR("https"));
	add(h, ":authority", fl_str(c->authority));
	add(h, ":path", get ? fl_str(h->path) : FL_STR("/dns-query"));
	add(h, "accept", FL_STR("application/dns-message"));
	add(h, "content-type", FL_STR("application/dns-message"));
	if (!get) {
		snprintf(h->length, sizeof h->length, "%u", a->len);
		add(h, "content-length", fl_str(h->length));
	}
	return true;
}

void fl_up_stream_head_finish(struct fl_up_head *h)
{
	free(h->path);
	h->path = NULL;
}

/* ---- the response ---- */

static void keep_text(struct fl_up_stream *st, struct fl_str v)
{
	size_t n = v.n < sizeof st->text - 1 ? v.n : sizeof st->text - 1;
	for (size_t i = 0; i < n; i++)
		st->text[i] = v.p[i] >= ' ' && v.p[i] < 0x7f ? v.p[i] : '?';
	st->text[n] = 0;
}

static bool type_is(struct fl_str v, const char *want)
{
	size_t n = strlen(want);
	if (v.n < n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (fl_lower((uint8_t)v.p[i]) != (uint8_t)want[i])
			return false;
	return v.n == n || v.p[n] == ';' || v.p[n] == ' ' || v.p[n] == '+';
}

void fl_up_stream_field(struct fl_up_stream *st, struct fl_str name, struct fl_str value)
{
	int64_t v;
	if (fl_str_is(name, ":status") && !fl_parse_int(value, 100, 999, &v)) {
		st->status = (int)v;
		st->grpc = -1;
	} else if (fl_str_is(name, "content-type")) {
		st->typed = type_is(value, st->kind == FL_UP_GRPC ? "application/grpc" : "application/dns-message");
		if (!st->typed)
			keep_text(st, value);
	} else if (fl_str_is(name, "content-encoding")) {
		st->encoded = !fl_str_is(value, "identity");
	} else if (st->kind == FL_UP_GRPC && fl_str_is(name, "grpc-status")) {
		st->grpc = fl_parse_int(value, 0, GRPC_CODES - 1, &v) ? 2 : (int)v;
	} else if (st->kind == FL_UP_GRPC && fl_str_is(name, "grpc-message")) {
		keep_text(st, value);
	}
}

bool fl_up_stream_body(struct fl_up_stream *st, const uint8_t *p, size_t n)
{
	if (n > UP_BODY_MAX - st->n)
		return false;
	if (st->n + n > st->size) {
		size_t size = fl_pool_size(st->n + n > 2 * st->size ? st->n + n : 2 * st->size);
		uint8_t *more = fl_pool_get(st->pool, size);
		if (!more)
			return false;
		if (st->n)
			memcpy(more, st->body, st->n);
		if (st->body)
			fl_pool_put(st->pool, st->body, st->size);
		st->body = more;
		st->size = size;
	}
	memcpy(st->body + st->n, p, n);
	st->n += n;
	return true;
}

void fl_up_stream_finish(struct fl_up_stream *st)
{
	if (st->body)
		fl_pool_put(st->pool, st->body, st->size);
	st->body = NULL;
}

/* A varint of at most 5 octets that fits; false: it does not end here. */
static bool get_varint(const uint8_t **p, const uint8_t *end, uint64_t *v)
{
	*v = 0;
	for (unsigned shift = 0; *p < end && shift < 35; shift += 7) {
		uint8_t b = *(*p)++;
		*v |= (uint64_t)(b & 0x7f) << shift;
		if (!(b & 0x80))
			return true;
	}
	return false;
}

/* DnsPacket: the last msg counts; other fields are skipped, as protobuf has it. */
static bool packet(struct fl_up_stream *st, const uint8_t *p, const uint8_t *end)
{
	uint64_t key, len;
	while (p < end) {
		if (!get_varint(&p, end, &key))
			return false;
		unsigned wire = key & 7;
		if (wire == 0) {
			if (!get_varint(&p, end, &len))
				return false;
			continue;
		}
		len = wire == 1 ? 8 : wire == 5 ? 4 : 0;
		if ((wire == 2 && !get_varint(&p, end, &len)) || (wire != 1 && wire != 2 && wire != 5) || len > (uint64_t)(end - p))
			return false;
		if (key == FIELD_MSG) {
			st->msg = st->body + (p - st->body);
			st->msg_n = (size_t)len;
		}
		p += len;
	}
	return true;
}

static int grpc_verdict(struct fl_up_stream *st, char *why, size_t cap)
{
	static const char *const code[GRPC_CODES] = { "OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound",
		"AlreadyExists", "PermissionDenied", "ResourceExhausted", "FailedPrecondition", "Aborted", "OutOfRange", "Unimplemented",
		"Internal", "Unavailable", "DataLoss", "Unauthenticated" };
	if (st->grpc == GRPC_NOT_FOUND)
		return -ENOENT;
	if (st->grpc > 0) {
		snprintf(why, cap, "code = %s desc = %s", code[st->grpc], st->text);
		return -EPROTO;
	}
	size_t len = st->n >= GRPC_FRAME ? (size_t)st->body[1] << 24 | (size_t)st->body[2] << 16 | (size_t)st->body[3] << 8 | st->body[4] : 0;
	if (!st->grpc && st->n >= GRPC_FRAME && !st->body[0] && len == st->n - GRPC_FRAME &&
	    packet(st, st->body + GRPC_FRAME, st->body + st->n))
		return 0;
	snprintf(why, cap, st->grpc < 0 ? "server closed the stream without sending trailers" : "malformed message in the response");
	return -EPROTO;
}

int fl_up_stream_verdict(struct fl_up_stream *st, char *why, size_t cap)
{
	st->msg = st->body;
	st->msg_n = st->n;
	if (st->status != 200)
		snprintf(why, cap, "unexpected HTTP status %d", st->status);
	else if (st->encoded)
		snprintf(why, cap, "unexpected content-encoding");
	else if (!st->typed)
		snprintf(why, cap, "unexpected content-type \"%s\"", st->text);
	else if (st->kind == FL_UP_GRPC)
		return grpc_verdict(st, why, cap);
	else if (!st->n)
		snprintf(why, cap, "empty response body");
	else
		return 0;
	return -EPROTO;
}

/* rewrite edns0: options of the request as the plugins below see it (and forward sends it). The client's own answer is not touched. */
#include "plugin/rewrite/rewrite.h"
#include <errno.h>
#include <stdlib.h>

enum { NSID = 3, SUBNET = 8 };

static const char *const types[] = { "local", "nsid", "subnet" };
static const char *const actions[] = { "set", "append", "replace", "unset" };
static const char *const variables[] = { "{qname}", "{qtype}", "{client_ip}", "{client_port}", "{protocol}", "{server_ip}", "{server_port}" };
enum variable { V_NONE = -1, V_QNAME, V_QTYPE, V_CLIENT_IP, V_CLIENT_PORT, V_PROTOCOL, V_SERVER_IP, V_SERVER_PORT, V_META };

/* ---- set-up ---- */

static int find(struct fl_str word, const char *const *list, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (fl_str_ieq(word, fl_str(list[i])))
			return (int)i;
	return -1;
}

/* Go's ParseUint with base 0: decimal, 0x and octal. */
static int number(struct fl_setup *s, struct fl_str text, int64_t most, uint16_t *out)
{
	struct fl_str digits = text;
	int64_t v = 0, base = 10;
	if (text.n > 2 && text.p[0] == '0' && (text.p[1] | 0x20) == 'x')
		digits = (struct fl_str){ text.p + 2, text.n - 2 }, base = 16;
	else if (text.n > 1 && text.p[0] == '0')
		digits = (struct fl_str){ text.p + 1, text.n - 1 }, base = 8;
	for (size_t i = 0; i < digits.n; i++) {
		int c = (unsigned char)digits.p[i] | 0x20;
		int d = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : 99;
		if (d >= base)
			digits.n = 0;
		else
			v = v > UINT16_MAX ? v : v * base + d;
	}
	if (!digits.n)
		return fl_setup_error(s, "strconv.ParseUint: parsing \"%.*s\": invalid syntax", FL_FMT(text));
	if (v > UINT16_MAX)
		return fl_setup_error(s, "strconv.ParseUint: parsing \"%.*s\": value out of range", FL_FMT(text));
	if (v > most)
		return fl_setup_error(s, "invalid %s bit mask length %d", most == 32 ? "IPv4" : "IPv6", (int)v);
	*out = (uint16_t)v;
	return 0;
}

static int hex(int c) { return c >= '0' && c <= '9' ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : -1; }

static int data(struct fl_setup *s, struct edns0 *e, struct fl_str text)
{
	if (text.n > 1 && text.p[0] == '{' && text.p[text.n - 1] == '}') {
		struct fl_str label = { text.p + 1, text.n - 2 };
		e->variable = V_NONE;
		for (unsigned i = 0; i < FL_COUNT(variables); i++)
			if (fl_str_is(text, variables[i]))
				e->variable = (int)i;
		if (e->variable == V_NONE && memchr(label.p, '/', label.n))
			e->variable = V_META;
		e->data = label;
		return e->variable == V_NONE ? fl_setup_error(s, "unsupported variable name \"%.*s\"", FL_FMT(text)) : 0;
	}
	e->data = text;
	if (!fl_str_starts(text, FL_STR("0x")))
		return 0;
	uint8_t *to = fl_alloc(fl_setup_arena(s), text.n / 2 + 1);
	for (size_t i = 2; i < text.n; i++)
		if (hex(text.p[i]) < 0)
			return fl_setup_error(s, "encoding/hex: invalid byte: U+%04X '%c'", (uint8_t)text.p[i], text.p[i]);
	if (!to || text.n % 2)
		return fl_setup_error(s, "encoding/hex: odd length hex string");
	for (size_t i = 2; i < text.n; i += 2)
		to[i / 2 - 1] = (uint8_t)(hex(text.p[i]) << 4 | hex(text.p[i + 1]));
	e->data = (struct fl_str){ (const char *)to, text.n / 2 - 1 };
	return 0;
}

/* unset local CODE | unset nsid | unset subnet */
static int unset(struct fl_setup *s, struct edns0 *e, const struct fl_str *arg, unsigned n)
{
	if (e->type == EDNS0_LOCAL)
		return n == 3 ? number(s, arg[2], UINT16_MAX, &e->code)
			      : fl_setup_error(s, "local unset action requires exactly two arguments");
	return n == 2 ? 0 : fl_setup_error(s, "%s unset action requires exactly one argument", types[e->type]);
}

int fl_rewrite_edns0_setup(struct fl_setup *s, struct edns0 **out, const struct fl_str *arg, unsigned n)
{
	struct edns0 *e = *out = fl_zalloc(fl_setup_arena(s), sizeof *e);
	uint16_t bits;
	if (!e)
		return fl_setup_error(s, "out of memory");
	if (n < 2)
		return fl_setup_error(s, "too few arguments for an EDNS0 rule");
	int type = find(arg[0], types, FL_COUNT(types)), action = find(arg[1], actions, FL_COUNT(actions));
	if (action < 0)
		return fl_setup_error(s, "invalid action: \"%.*s\"", FL_FMT(arg[1]));
	if (type < 0)
		return fl_setup_error(s, "invalid rule type \"%.*s\"", FL_FMT(arg[0]));
	e->type = (enum edns0_type)type;
	e->action = (enum edns0_action)action;
	e->code = type == EDNS0_NSID ? NSID : SUBNET;
	e->variable = V_NONE;
	if (action == EDNS0_UNSET)
		return unset(s, e, arg, n);
	n -= fl_str_is(arg[n - 1], "revert");   /* what the client gets never holds what was set here */
	if (type == EDNS0_NSID)
		return n == 2 ? 0 : fl_setup_error(s, "EDNS0 NSID rules can accept no more than one arg");
	if (n != 4)
		return fl_setup_error(s, "EDNS0 %s rules require three or four args", types[type]);
	if (type == EDNS0_LOCAL) {
		int ret = number(s, arg[2], UINT16_MAX, &e->code);
		return ret ? ret : data(s, e, arg[3]);
	}
	int ret = number(s, arg[2], 32, &bits);
	e->v4 = (uint8_t)bits;
	ret = ret ? ret : number(s, arg[3], 128, &bits);
	e->v6 = (uint8_t)bits;
	return ret;
}

/* ---- questions ---- */

static struct fl_str two(struct fl_query *q, uint16_t v)
{
	uint8_t *p = fl_alloc(q->arena, 2);
	if (p)
		fl_put16(p, v);
	return (struct fl_str){ (const char *)p, 2 };
}

static struct fl_str addr(const struct fl_addr *a) { return (struct fl_str){ (const char *)a->b, a->len }; }

/* p NULL: no memory; n 0: there is nothing to say, the rule does not apply. */
static struct fl_str value(struct fl_query *q, const struct edns0 *e)
{
	const struct fl_client *c = q->client;
	struct fl_str v = { "", 0 };
	switch (e->variable) {
	case V_QNAME: return fl_name_text_in(q->arena, q->qname);
	case V_QTYPE: return two(q, q->qtype);
	case V_CLIENT_IP: return addr(&c->peer);
	case V_CLIENT_PORT: return two(q, c->peer_port);
	case V_PROTOCOL: return c->tcp ? FL_STR("tcp") : FL_STR("udp");
	case V_SERVER_IP: return addr(&c->local);
	case V_SERVER_PORT: return two(q, c->local_port);
	case V_META: return fl_meta(q, e->data, &v) ? FL_STR("") : v;
	default: return e->data;
	}
}

/* The client's network (RFC 7871 §6). */
static struct fl_str subnet(struct fl_query *q, const struct edns0 *e)
{
	const struct fl_addr *a = &q->client->peer;
	unsigned bits = a->len == 4 ? e->v4 : e->v6, n = (bits + 7) / 8;
	uint8_t *p = fl_alloc(q->arena, 4 + n);
	if (p) {
		fl_put16(p, a->len == 4 ? 1 : 2);
		p[2] = (uint8_t)bits;
		p[3] = 0;
		memcpy(p + 4, a->b, n);
		if (bits % 8)
			p[4 + n - 1] &= (uint8_t)(0xff00 >> bits % 8);
	}
	return (struct fl_str){ (const char *)p, 4 + n };
}

static bool holds(const struct fl_edns *o, uint16_t code)
{
	while (o && o->code != code)
		o = o->next;
	return o != NULL;
}

/* The options again, in a list of our own: lookups share the old one. The first of that code gets v (p NULL: all of it go). */
static int copy(struct fl_query *q, uint16_t code, struct fl_str v, bool add)
{
	struct fl_edns *first = NULL, **last = &first;
	bool done = false;
	for (const struct fl_edns *o = q->ask.opt; o; o = o->next) {
		if (o->code == code && !v.p)
			continue;
		if (!(*last = fl_copy(q->arena, o, sizeof *o)))
			return -ENOMEM;
		if (o->code == code && !done && !add) {
			(*last)->data = (const uint8_t *)v.p;
			(*last)->len = (uint16_t)v.n;
			done = true;
		}
		last = &(*last)->next;
		*last = NULL;
	}
	if (add) {
		if (!(*last = fl_alloc(q->arena, sizeof **last)))
			return -ENOMEM;
		**last = (struct fl_edns){ code, (uint16_t)v.n, (const uint8_t *)v.p, NULL };
	}
	if (!q->ask.edns) {
		q->ask.edns = true;
		q->ask.udp_size = 4096;
		q->ask.dnssec_ok = false;
	}
	q->ask.opt = first;
	return 1;
}

int fl_rewrite_edns0(struct fl_query *q, const struct edns0 *e)
{
	bool there = holds(q->ask.opt, e->code);
	if (e->action == EDNS0_UNSET)
		return copy(q, e->code, (struct fl_str){ NULL, 0 }, false);
	if (e->action == EDNS0_REPLACE && !there)
		return 0;
	if (e->action == EDNS0_APPEND && there && (e->type == EDNS0_SUBNET || e->variable != V_NONE))
		return 0;
	struct fl_str v = e->type == EDNS0_NSID ? FL_STR("") : e->type == EDNS0_SUBNET ? subnet(q, e) : value(q, e);
	if (!v.p)
		return -ENOMEM;
	if (!v.n && e->variable != V_NONE)
		return 0;
	return copy(q, e->code, v, e->action == EDNS0_APPEND || !there);
}

/* What CoreDNS's plugin/pkg/expression offers. */
#include "dns/expression.h"
#include "dns/plugin.h"
#include "dns/typify.h"
#include <errno.h>

static struct fl_query *query(void *arg) { return ((struct fl_expression *)arg)->q; }

#define FN(name) static int name(void *arg, struct fl_arena *a, const struct fl_expr_value *in, struct fl_expr_value *out)

static int text(struct fl_expr_value *out, struct fl_str s)
{
	*out = (struct fl_expr_value){ FL_EXPR_STR, .s = s };
	return s.p ? 0 : -ENOMEM;
}

static int number(struct fl_expr_value *out, int64_t i)
{
	*out = (struct fl_expr_value){ FL_EXPR_INT, .i = i };
	return 0;
}

static int truth(struct fl_expr_value *out, bool b)
{
	*out = (struct fl_expr_value){ FL_EXPR_BOOL, .b = b };
	return 0;
}

static int copied(struct fl_arena *a, struct fl_expr_value *out, const char *p, size_t n)
{
	return text(out, fl_arena_str(a, (struct fl_str){ p, n }));
}

static int address(struct fl_arena *a, struct fl_expr_value *out, const struct fl_addr *addr)
{
	char to[46];
	return copied(a, out, to, fl_addr_text(to, addr));
}

FN(name)
{
	struct fl_query *q = query(arg);
	uint8_t lower[FL_NAME_MAX];
	(void)in;
	return text(out, fl_name_text_in(a, fl_name_lower(lower, q->qname)));
}

FN(type)
{
	struct fl_query *q = query(arg);
	char to[16];
	(void)in;
	return copied(a, out, to, fl_type_text(to, q->qtype));
}

FN(class)
{
	struct fl_query *q = query(arg);
	char to[16];
	(void)in;
	return copied(a, out, to, fl_class_text(to, q->qclass));
}

FN(proto)
{
	struct fl_query *q = query(arg);
	(void)a, (void)in;
	return text(out, q->client->tcp ? FL_STR("tcp") : FL_STR("udp"));
}

FN(size)
{
	(void)a, (void)in;
	return number(out, (int64_t)fl_request_len(query(arg)));
}

FN(client_ip)
{
	struct fl_query *q = query(arg);
	(void)in;
	return address(a, out, &q->client->peer);
}

FN(server_ip)
{
	struct fl_query *q = query(arg);
	(void)in;
	return address(a, out, &q->client->local);
}

FN(port)
{
	struct fl_query *q = query(arg);
	(void)in;
	return text(out, fl_arena_printf(a, "%u", q->client->peer_port));
}

FN(server_port)
{
	struct fl_query *q = query(arg);
	(void)in;
	return text(out, fl_arena_printf(a, "%u", q->client->local_port));
}

FN(id)
{
	struct fl_query *q = query(arg);
	(void)a, (void)in;
	return number(out, q->client->id);
}

FN(opcode)
{
	struct fl_query *q = query(arg);
	(void)a, (void)in;
	return number(out, q->client->opcode);
}

FN(dnssec_ok)
{
	struct fl_query *q = query(arg);
	(void)a, (void)in;
	return truth(out, q->ask.dnssec_ok);
}

FN(bufsize)
{
	struct fl_query *q = query(arg);
	(void)a, (void)in;
	return number(out, q->client->tcp ? 65535 : q->ask.edns && q->ask.udp_size > 512 ? q->ask.udp_size : 512);
}

/* "" where there is none, as CoreDNS. */
FN(metadata)
{
	struct fl_str v;
	(void)a;
	return text(out, fl_meta(query(arg), in[0].s, &v) || !v.n ? FL_STR("") : v);
}

FN(incidr)
{
	struct fl_addr addr;
	struct fl_net net;
	(void)arg, (void)a;
	if (!fl_addr_parse(in[0].s, &addr) || !fl_net_parse(in[1].s, &net))
		return -EINVAL;
	return truth(out, fl_net_has(&net, &addr));
}

const struct fl_expr_fn fl_expression_fns[] = {
	{ "incidr", "bss", true, incidr },
	{ "metadata", "ss", false, metadata },
	{ "type", "s", false, type },
	{ "name", "s", false, name },
	{ "class", "s", false, class },
	{ "proto", "s", false, proto },
	{ "size", "i", false, size },
	{ "client_ip", "s", false, client_ip },
	{ "port", "s", false, port },
	{ "id", "i", false, id },
	{ "opcode", "i", false, opcode },
	{ "do", "b", false, dnssec_ok },
	{ "bufsize", "i", false, bufsize },
	{ "server_ip", "s", false, server_ip },
	{ "server_port", "s", false, server_port },
	{ 0 },
};

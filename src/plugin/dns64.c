/* dns64: makes IPv6 addresses of IPv4 ones for names that have no others (RFC 6147), by a prefix whose gateway translates (RFC 6052). */
#include "dns/plugin.h"
#include "dns/typify.h"
#include <errno.h>

enum { SOA_TTL = 600 };         /* RFC 6147 §5.1.7: when the empty answer has no SOA */

struct dns64 { struct fl_net prefix; bool all, ipv4; };
struct mine { struct fl_grid *translated; };

/* ---- set-up ---- */

static int prefix(struct fl_setup *s, struct dns64 *d, struct fl_str text)
{
	char addr[46];
	struct fl_net n;
	if (!fl_net_parse(text, &n))
		return fl_setup_error(s, "invalid CIDR address: %.*s", FL_FMT(text));
	fl_addr_text(addr, &n.addr);
	if (n.addr.len != 16)
		return fl_setup_parse_error(s, "invalid netmask 32 IPv6 address: \"%s/%u\"", addr, n.bits);
	if (n.bits % 8 || n.bits < 32 || (n.bits > 64 && n.bits != 96))         /* RFC 6052 §2.2 */
		return fl_setup_parse_error(s, "invalid prefix length \"%s/%u\"", addr, n.bits);
	d->prefix = n;
	return 0;
}

static int option(struct fl_setup *s, struct fl_disp *disp, struct dns64 *d)
{
	struct fl_str name = fl_disp_val(disp);
	if (fl_str_is(name, "prefix"))
		return fl_disp_next_arg(disp) ? prefix(s, d, fl_disp_val(disp)) : fl_setup_arg_error(s);
	if (fl_str_is(name, "translate_all"))
		d->all = true;
	else if (fl_str_is(name, "allow_ipv4"))
		d->ipv4 = true;
	else
		return fl_setup_parse_error(s, "unknown property '%.*s'", FL_FMT(name));
	return 0;
}

static int setup(struct fl_setup *s, void **inst)
{
	struct fl_disp *disp = fl_setup_disp(s);
	struct dns64 *d = fl_zalloc(fl_setup_arena(s), sizeof *d);
	struct fl_str *arg;
	if (!d)
		return fl_setup_error(s, "out of memory");
	int ret = prefix(s, d, FL_STR("64:ff9b::/96"));
	while (!ret && fl_disp_next(disp)) {
		unsigned n = fl_disp_args(disp, &arg);
		if (n > 1)
			return fl_setup_arg_error(s);
		if (n) {
			ret = prefix(s, d, arg[0]);
			continue;
		}
		while (!ret && fl_disp_next_block(disp))
			ret = option(s, disp, d);
	}
	*inst = d;
	return ret;
}

static int chain(void *inst, struct fl_chain *c, struct fl_arena *a, void **mine)
{
	static const struct fl_metric_def def = { .name = "coredns_dns64_requests_translated_total", .kind = FL_COUNTER,
		.help = "Counter of DNS requests translated by dns64.", .labels = { "server" } };
	struct mine *m = fl_zalloc(a, sizeof *m);
	(void)inst;
	if (!m)
		return -ENOMEM;
	m->translated = fl_metric_grid(fl_metric(&def), &c->server, NULL, 0);
	*mine = m;
	return 0;
}

/* ---- questions ---- */

static enum fl_verdict query(void *inst, struct fl_query *q)
{
	const struct dns64 *d = inst;
	bool mine = q->qtype == FL_T_AAAA && q->qclass == FL_C_IN && (d->ipv4 || q->client->peer.len == 16);
	return mine ? FL_WRAP : FL_NEXT;
}

/* ---- answers ---- */

static uint32_t bound(const struct fl_item *it, uint32_t ttl)
{
	ttl = ttl < it->ttl_min ? it->ttl_min : ttl;
	return ttl > it->ttl_max ? it->ttl_max : ttl;
}

static bool holds_aaaa(const struct fl_reply *r)
{
	for (unsigned i = 0; i < r->n; i++)
		if (r->item[i].section == FL_ANSWER && r->item[i].set->type == FL_T_AAAA && r->item[i].set->count)
			return true;
	return false;
}

static uint32_t soa_ttl(const struct fl_reply *r)
{
	uint32_t ttl = SOA_TTL;
	for (unsigned i = 0; i < r->n; i++) {
		struct fl_rr rr = { 0 };
		if (r->item[i].section == FL_AUTHORITY && r->item[i].set->type == FL_T_SOA && fl_rr_next(r->item[i].set, &rr))
			ttl = bound(&r->item[i], rr.ttl);
	}
	return ttl;
}

/* RFC 6052 §2.2: octet 8 stays zero. */
static void embed(const struct fl_net *prefix, const uint8_t v4[4], uint8_t v6[16])
{
	unsigned at = prefix->bits / 8u;
	memset(v6, 0, 16);
	memcpy(v6, prefix->addr.b, at);
	for (unsigned i = 0; i < 4; i++) {
		at += at == 8;
		v6[at++] = v4[i];
	}
}

static int translate(const struct dns64 *d, struct fl_query *q, struct fl_item *it, uint32_t most)
{
	struct fl_rrset_maker m;
	uint8_t v6[16];
	fl_rrset_begin(&m, q->arena, FL_T_AAAA, FL_C_IN, it->set->count * (size_t)(10 + sizeof v6));
	for (struct fl_rr rr = { 0 }; fl_rr_next(it->set, &rr);) {
		uint32_t ttl = bound(it, rr.ttl);
		if (rr.rdlen != 4)
			continue;
		embed(&d->prefix, rr.rdata, v6);
		fl_rrset_put(&m, ttl < most ? ttl : most, v6, sizeof v6);
	}
	it->ttl_min = 0;
	it->ttl_max = UINT32_MAX;
	it->set = fl_rrset_end(&m);
	return it->set ? 0 : -ENOMEM;
}

static enum fl_verdict reply(void *inst, struct fl_query *q)
{
	const struct dns64 *d = inst;
	const struct mine *m = fl_mine(q);
	struct fl_reply *r = &q->res;
	const struct fl_reply *a;
	if (q->dropped || r->bare || r->stream || fl_typify(q, 0) == FL_KIND_NXDOMAIN || (!d->all && holds_aaaa(r)))
		return FL_DONE;
	int ret = fl_lookup(q, q->qname, FL_T_A, &a);
	if (ret)
		return fl_yield(q, ret);
	uint32_t most = soa_ttl(r);
	ret = fl_reply_copy(q, a);
	for (unsigned i = 0; !ret && i < r->n; i++)
		if (r->item[i].section == FL_ANSWER && r->item[i].set->type == FL_T_A)
			ret = translate(d, q, &r->item[i], most);
	if (ret)
		return fl_yield(q, ret);
	r->set &= FL_TC;        /* of the A answer only this stays (plugin/dns64/dns64.go) */
	r->clear = 0;
	r->opt = NULL;
	fl_grid_add(m->translated, q->shard->id, 0, 1);
	return FL_DONE;
}

static const struct fl_opt opts[] = {
	{ "", "[PREFIX]", "the prefix; default 64:ff9b::/96" },
	{ "prefix", "PREFIX", "the same" },
	{ "translate_all", "", "also for names that have IPv6 addresses" },
	{ "allow_ipv4", "", "also for clients that ask over IPv4" },
	{ 0 }
};

FL_PLUGIN(dns64, .opts = opts, .setup = setup, .chain = chain, .query = query, .reply = reply);

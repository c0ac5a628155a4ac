/* local: localhost and its reverse names, and the zones that are nobody's (RFC 6761 §6.3, RFC 6303 §4), answered on the spot: no
 * upstream learns of them. */
#include "dns/plugin.h"
#include <errno.h>

enum { TTL = 604800 };  /* a week, as CoreDNS plugin/local/local.go */

#define LOCALHOST "\11localhost"
#define IN_ADDR_ARPA "\7in-addr\4arpa"

static const struct fl_name localhost = { (const uint8_t *)LOCALHOST, sizeof LOCALHOST };
static const struct fl_name one = { (const uint8_t *)"\1" "1\1" "0\1" "0\3" "127" IN_ADDR_ARPA, sizeof "x1x0x0x127" + sizeof IN_ADDR_ARPA - 1 };
static const struct fl_name reverse[] = {
	{ (const uint8_t *)"\1" "0" IN_ADDR_ARPA, 2 + sizeof IN_ADDR_ARPA },
	{ (const uint8_t *)"\3" "127" IN_ADDR_ARPA, 4 + sizeof IN_ADDR_ARPA },
	{ (const uint8_t *)"\3" "255" IN_ADDR_ARPA, 4 + sizeof IN_ADDR_ARPA },
};

struct local { bool prefix; struct fl_grid *count; };  /* prefix: localhost.WHATEVER is answered as well (a search list's leavings) */

/* ---- set-up ---- */

static int option(struct fl_setup *s, struct fl_disp *d, struct local *l)
{
	struct fl_str *arg;
	if (!fl_str_is(fl_disp_val(d), "localhost_prefix"))
		return fl_setup_parse_error(s, "unknown property '%.*s'", FL_FMT(fl_disp_val(d)));
	if (fl_disp_args(d, &arg) != 1)
		return fl_setup_arg_error(s);
	if (!fl_str_is(arg[0], "on") && !fl_str_is(arg[0], "off"))
		return fl_setup_parse_error(s, "localhost_prefix expects 'on' or 'off', got \"%.*s\"", FL_FMT(arg[0]));
	l->prefix = fl_str_is(arg[0], "on");
	return 0;
}

static int setup(struct fl_setup *s, void **inst)
{
	static const struct fl_metric_def def = {
		.name = "coredns_local_localhost_requests_total", .help = "Counter of special localhost subdomain requests.",
		.kind = FL_COUNTER, .always = true,
	};
	struct fl_disp *d = fl_setup_disp(s);
	struct local *l = fl_zalloc(fl_setup_arena(s), sizeof *l);
	struct fl_str *arg;
	int ret = 0;
	if (!l)
		return fl_setup_error(s, "out of memory");
	l->prefix = true;
	while (!ret && fl_disp_next(d)) {
		if (fl_disp_args(d, &arg))
			return fl_setup_arg_error(s);
		while (!ret && fl_disp_next_block(d))
			ret = option(s, d, l);
	}
	l->count = fl_metric_plain(&def);
	*inst = l;
	return ret;
}

/* ---- questions ---- */

static enum fl_verdict put(struct fl_query *q, enum fl_section where, struct fl_name owner, uint16_t type, const void *rdata, size_t n)
{
	const struct fl_rrset *set = fl_rrset_one(q->arena, type, TTL, rdata, n);
	if (!set || !fl_reply_add(q, where, owner, set, false))
		return fl_yield(q, -ENOMEM);
	return FL_DONE;
}

static enum fl_verdict soa(struct fl_query *q, enum fl_section where, struct fl_name owner)
{
	static const char names[] = LOCALHOST "\0\4root" LOCALHOST;    /* the last dot is the literal's own NUL */
	uint8_t rdata[sizeof names + 20] = { 0 };
	memcpy(rdata, names, sizeof names);
	fl_put32(rdata + sizeof names, 1);                              /* serial; refresh, retry and expire are 0 */
	fl_put32(rdata + sizeof names + 16, TTL);
	return put(q, where, owner, FL_T_SOA, rdata, sizeof rdata);
}

static enum fl_verdict loopback(struct fl_query *q)
{
	static const uint8_t v4[4] = { 127, 0, 0, 1 }, v6[16] = { [15] = 1 };
	if (q->qtype == FL_T_A)
		return put(q, FL_ANSWER, q->qname, FL_T_A, v4, sizeof v4);
	if (q->qtype == FL_T_AAAA)
		return put(q, FL_ANSWER, q->qname, FL_T_AAAA, v6, sizeof v6);
	return soa(q, FL_AUTHORITY, q->qname);
}

static enum fl_verdict apex(struct fl_query *q, bool addresses)
{
	if (q->qtype == FL_T_SOA)
		return soa(q, FL_ANSWER, q->qname);
	if (q->qtype == FL_T_NS)
		return put(q, FL_ANSWER, q->qname, FL_T_NS, localhost.wire, localhost.len);
	return addresses ? loopback(q) : soa(q, FL_AUTHORITY, q->qname);
}

static enum fl_verdict query(void *inst, struct fl_query *q)
{
	const struct local *l = inst;
	unsigned labels = fl_name_labels(q->qname);
	bool under = fl_name_under(q->qname, localhost);
	struct fl_str first = fl_name_label(q->qname, 0);
	if (labels > 1 && (under || (l->prefix && fl_str_ieq(first, FL_STR("localhost"))))) {
		fl_grid_add(l->count, q->shard->id, 0, 1);
		return loopback(q);
	}
	if (under)
		return apex(q, true);
	for (unsigned i = 0; i < FL_COUNT(reverse); i++) {
		if (!fl_name_under(q->qname, reverse[i]))
			continue;
		if (fl_name_eq(q->qname, reverse[i]))
			return apex(q, false);
		struct fl_name zone = fl_name_skip(q->qname, labels - fl_name_labels(reverse[i]));
		bool there = fl_name_eq(q->qname, one);
		if (there && q->qtype == FL_T_PTR)
			return put(q, FL_ANSWER, q->qname, FL_T_PTR, localhost.wire, localhost.len);
		if (!there)
			q->res.rcode = FL_NXDOMAIN;
		return soa(q, FL_AUTHORITY, zone);
	}
	return FL_NEXT;
}

static const struct fl_opt opts[] = {
	{ "localhost_prefix", "on|off", "whether names that begin with localhost. are answered; default on" },
	{ 0 }
};

FL_PLUGIN(local, .opts = opts, .setup = setup, .query = query);

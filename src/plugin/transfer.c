/* transfer: hands whole zones to those who may have them (AXFR, RFC 5936; IXFR is answered with the whole zone, RFC 1995 §4). The zones are
 * those of other plugins of the block (dns/transfer.h). */
#include "base/log.h"
#include "dns/plugin.h"
#include "dns/transfer.h"
#include "wire/message.h"
#include <errno.h>

enum { MESSAGE_MAX = 63000, RECORDS_MAX = 1000, RR_HEAD = 10 };        /* of one message, uncompressed (CoreDNS plugin/transfer/transfer.go) */

struct rule { struct fl_zones zones; bool any; struct fl_addr *to; unsigned nto, cap; struct rule *next; };
struct source { const struct fl_transfer_ops *ops; void *inst; struct source *next; };
struct transfer { struct rule *rule, **last_rule; struct source *source, **last_source; struct fl_setup *linking; };

/* One transfer under way, in the query's slot and arena; the records are the helper's until its job is back. */
struct out {
	struct fl_stream stream;
	const struct source *source;
	struct fl_name zone;            /* folded */
	bool ixfr;
	uint32_t have, serial;
	struct fl_records records;
	size_t at;
};

/* ---- set-up ---- */

/* Some of CoreDNS's errors name the plugin twice. */
static int twice(struct fl_setup *s, const char *what)
{
	struct fl_disp *d = fl_setup_disp(s);
	return fl_setup_error(s, "plugin/transfer: %s:%d - Error during parsing: %s", fl_disp_file(d), fl_disp_line(d), what);
}

/* An address, whatever port stands behind it: transfers are asked for from any. */
static bool host(struct fl_str text, struct fl_str *ip, struct fl_addr *addr)
{
	const char *colon = text.n ? memrchr(text.p, ':', text.n) : NULL;
	size_t n = colon ? (size_t)(colon - text.p) : text.n;
	bool bracketed = colon && text.p[0] == '[' && n > 1 && text.p[n - 1] == ']';
	*ip = text;
	if (bracketed)
		*ip = (struct fl_str){ text.p + 1, n - 2 };
	else if (colon && !memchr(text.p, ':', n))
		ip->n = n;
	const char *zone = ip->n ? memchr(ip->p, '%', ip->n) : NULL;
	return fl_addr_parse((struct fl_str){ ip->p, zone ? (size_t)(zone - ip->p) : ip->n }, addr);
}

static int add_to(struct fl_setup *s, struct rule *r, struct fl_str arg)
{
	struct fl_str ip;
	struct fl_addr a;
	if (fl_str_is(arg, "*")) {
		r->any = true;
		return 0;
	}
	if (!host(arg, &ip, &a))
		return fl_setup_error(s, "must specify an IP address: `%.*s'", FL_FMT(ip));
	if (r->nto == r->cap) {
		unsigned cap = r->cap ? 2 * r->cap : 4;
		struct fl_addr *more = fl_alloc(fl_setup_arena(s), cap * sizeof *more);
		if (!more)
			return fl_setup_error(s, "out of memory");
		if (r->nto)
			memcpy(more, r->to, r->nto * sizeof *more);
		r->to = more;
		r->cap = cap;
	}
	r->to[r->nto++] = a;
	return 0;
}

static int option(struct fl_setup *s, struct fl_disp *d, struct rule *r, bool *sourced)
{
	struct fl_str name = fl_disp_val(d), *arg;
	struct fl_arena *a = fl_setup_arena(s);
	struct fl_addr addr;
	if (fl_str_is(name, "to")) {
		unsigned n = fl_disp_args(d, &arg);
		int ret = n ? 0 : fl_setup_arg_error(s);
		for (unsigned i = 0; i < n && !ret; i++)
			ret = add_to(s, r, arg[i]);
		return ret;
	}
	if (!fl_str_is(name, "source"))
		return twice(s, fl_arena_printf(a, "unknown property \"%.*s\"", FL_FMT(name)).p);
	if (fl_disp_args(d, &arg) != 1)
		return fl_setup_arg_error(s);
	if (*sourced)
		return twice(s, "source already specified");
	if (!fl_addr_parse(arg[0], &addr))
		return twice(s, fl_arena_printf(a, "invalid source address \"%.*s\"", FL_FMT(arg[0])).p);
	*sourced = true;
	return 0;
}

static int rule(struct fl_setup *s, struct fl_disp *d, struct transfer *t)
{
	struct rule *r = fl_zalloc(fl_setup_arena(s), sizeof *r);
	struct fl_str *arg;
	unsigned n = fl_disp_args(d, &arg);
	bool sourced = false;
	if (!r || fl_setup_zones(s, arg, n, &r->zones))
		return fl_setup_error(s, "out of memory");
	while (fl_disp_next_block(d)) {
		int ret = option(s, d, r, &sourced);
		if (ret)
			return ret;
	}
	if (!r->any && !r->nto)
		return twice(s, "'to' is required");
	*t->last_rule = r;
	t->last_rule = &r->next;
	return 0;
}

static int setup(struct fl_setup *s, void **inst)
{
	struct fl_disp *d = fl_setup_disp(s);
	struct transfer *t = fl_zalloc(fl_setup_arena(s), sizeof *t);
	if (!t)
		return fl_setup_error(s, "out of memory");
	t->last_rule = &t->rule;
	t->last_source = &t->source;
	while (fl_disp_next(d)) {
		int ret = rule(s, d, t);
		if (ret)
			return ret;
	}
	*inst = t;
	return 0;
}

static void note_source(void *arg, const struct fl_plugin *p, void *inst)
{
	struct transfer *t = arg;
	const struct fl_transfer_ops *ops = p->iface ? p->iface(inst, "transfer") : NULL;
	struct source *s = ops ? fl_zalloc(fl_setup_arena(t->linking), sizeof *s) : NULL;
	if (!s)
		return;
	*s = (struct source){ ops, inst, NULL };
	*t->last_source = s;
	t->last_source = &s->next;
}

static int join(struct fl_setup *s, void *inst)
{
	struct transfer *t = inst;
	t->linking = s;
	fl_setup_each(s, note_source, t);
	t->linking = NULL;
	return 0;
}

/* ---- who may have what ---- */

static const struct rule *find_rule(const struct transfer *t, struct fl_name name)
{
	const struct rule *best = NULL;
	unsigned most = 0;
	for (const struct rule *r = t->rule; r; r = r->next) {
		int i = fl_zones_match(&r->zones, name);
		if (i >= 0 && (!best || r->zones.name[i].len > most)) {
			best = r;
			most = r->zones.name[i].len;
		}
	}
	return best;
}

static bool allowed(const struct rule *r, const struct fl_addr *peer)
{
	for (unsigned i = 0; i < r->nto; i++)
		if (fl_addr_eq(&r->to[i], peer))
			return true;
	return r->any;
}

/* The serial of an IXFR: the one SOA in the authority section (RFC 1995 §3). */
static bool serial_of(struct fl_query *q, uint32_t *serial)
{
	struct fl_message m;
	unsigned n = 0;
	if (fl_message_parse(&m, q->arena, q->client->packet, q->client->packet_len))
		return false;
	for (unsigned i = 0; i < m.n; i++) {
		const struct fl_rrset *set = m.item[i].set;
		if (m.item[i].section != FL_AUTHORITY)
			continue;
		struct fl_rr rr = { 0 };
		n += set->count;
		if (set->type != FL_T_SOA || !fl_rr_next(set, &rr) || rr.rdlen < 20)
			return false;
		*serial = fl_get32(rr.rdata + rr.rdlen - 20);
	}
	return n == 1;
}

/* ---- the records ---- */

/* On the helper thread. */
static int gather(void *arg)
{
	struct out *o = arg;
	o->source->ops->records(o->source->inst, o->zone, o->ixfr ? &o->have : NULL, &o->records);
	return o->records.failed || !o->records.count ? -ENOMEM : 0;
}

static void let_go(void *arg) { fl_records_finish(&((struct out *)arg)->records); }

/* The next message: 1, 0 when nothing is left, -ENOMEM. */
static int message(struct out *o, struct fl_query *q)
{
	size_t bytes = 0;
	unsigned n = 0;
	while (o->at < o->records.n && n < RECORDS_MAX) {
		struct fl_rrset *set = fl_alloc(q->arena, sizeof *set);
		struct fl_name owner;
		size_t next = o->at;
		if (!set)
			return -ENOMEM;
		fl_records_next(&o->records, &next, &owner, set);
		bytes += owner.len + set->len;
		if (n && bytes > MESSAGE_MAX)
			break;
		if (!fl_reply_add(q, FL_ANSWER, owner, set, false))
			return -ENOMEM;
		o->at = next;
		n++;
	}
	q->res.set |= FL_AA;
	return n > 0;
}

static void told(const struct out *o, const struct fl_query *q)
{
	char zone[FL_NAME_TEXT_MAX], peer[46];
	fl_name_text(zone, q->client->qname);
	fl_addr_text(peer, &q->client->peer);
	if (o->records.count == 1)
		fl_log(FL_INFO, "plugin/transfer", "Outgoing noop, incremental transfer for up to date zone \"%s\" to %s for %u SOA serial", zone,
		       peer, o->serial);
	else
		fl_log(FL_INFO, "plugin/transfer", "Outgoing transfer of %u records of zone \"%s\" to %s for %u SOA serial", o->records.count,
		       zone, peer, o->serial);
}

static int fill(struct fl_stream *s, struct fl_query *q)
{
	struct out *o = (struct out *)s;
	int ret = message(o, q);
	if (!ret)
		told(o, q);
	return ret;
}

static enum fl_verdict begin_answer(struct out *o, struct fl_query *q)
{
	struct fl_name owner;
	struct fl_rrset soa;
	size_t at = 0;
	if (q->why)
		return fl_fail(q, FL_SERVFAIL, "the zone could not be gathered");
	if (fl_records_next(&o->records, &at, &owner, &soa) && soa.type == FL_T_SOA && soa.len >= RR_HEAD + 20)
		o->serial = fl_get32(soa.data + soa.len - 20);
	if (message(o, q) < 0)
		return fl_yield(q, -ENOMEM);
	if (o->records.count > 1)
		q->res.stream = &o->stream;
	else
		told(o, q);
	return FL_DONE;
}

static enum fl_verdict start_job(const struct source *s, struct fl_query *q)
{
	struct out *o = fl_zalloc(q->arena, sizeof *o);
	uint8_t *zone = fl_alloc(q->arena, q->qname.len);
	if (!o || !zone)
		return fl_yield(q, -ENOMEM);
	*o = (struct out){ .stream.fill = fill, .source = s, .zone = fl_name_lower(zone, q->qname), .ixfr = q->qtype == FL_T_IXFR };
	if (o->ixfr && !serial_of(q, &o->have))
		return fl_fail(q, FL_SERVFAIL, NULL);
	int ret = fl_defer(q, let_go, o);
	ret = ret ? ret : fl_offload(q, gather, o);
	if (ret)
		return fl_yield(q, ret == -EBUSY ? -ENOMEM : ret);
	*fl_slot(q) = o;
	return FL_WAIT;
}

static enum fl_verdict query(void *inst, struct fl_query *q)
{
	const struct transfer *t = inst;
	struct out *o = *fl_slot(q);
	if (q->qtype != FL_T_AXFR && q->qtype != FL_T_IXFR)
		return FL_NEXT;
	if (o)
		return begin_answer(o, q);
	if (!q->client->tcp || q != q->root)
		return fl_fail(q, FL_REFUSED, NULL);
	const struct rule *r = find_rule(t, q->qname);
	if (!r)
		return FL_NEXT;
	if (!allowed(r, &q->client->peer)) {
		q->res.rcode = FL_REFUSED;
		return FL_DONE;
	}
	for (const struct source *s = t->source; s; s = s->next) {
		int ret = s->ops->mine(s->inst, q->qname);
		if (ret == -EAGAIN)
			return fl_fail(q, FL_SERVFAIL, "the zone is not complete yet");
		if (!ret)
			return start_job(s, q);
	}
	return FL_NEXT;
}

static const struct fl_opt opts[] = {
	{ "", "[ZONE...]", "the zones that may be asked for; default: those of the block" },
	{ "to", "ADDRESS...|*", "who may ask" },
	{ "source", "ADDRESS", "where notifications come from; checked, no zone sends any yet" },
	{ 0 }
};

FL_PLUGIN(transfer, .opts = opts, .setup = setup, .link = join, .query = query);

#include "plugin/rewrite/rewrite.h"
#include <errno.h>

/* One edit of a name: *name as text. 1: changed, 0, -errno. */
static int edit_text(struct fl_query *q, const struct edit *e, struct fl_str *name)
{
	struct fl_str head = { name->p, name->n > e->from.n ? name->n - e->from.n : 0 };
	bool remap = e->kind == EDIT_REMAP;
	if (e->kind == EDIT_REGEX_NAME || e->kind == EDIT_REGEX_VALUE)
		return fl_rewrite_groups(q, e->regex, *name, e->to, name);
	if (!fl_str_ends(*name, e->from) || (remap && head.n && head.p[head.n - 1] != '.'))
		return 0;
	char *p = fl_alloc(q->arena, head.n + e->to.n + 1);
	if (!p)
		return -ENOMEM;
	fl_put_bytes(p, head.p, head.n);
	fl_put_bytes(p + head.n, e->to.p, e->to.n);
	*name = (struct fl_str){ p, head.n + e->to.n };
	return 1;
}

static bool edits_owner(const struct edit *e) { return e->kind == EDIT_REGEX_NAME || e->names; }
static bool edits_value(const struct edit *e) { return e->kind == EDIT_REGEX_VALUE || e->values; }

/* All edits of owners, or of values, on one name. 1 and *n when it is another name now; a name that would be none stays. */
static int edit_name(struct fl_query *q, const struct edit *edits, bool owner, struct fl_name *n)
{
	struct fl_str text = { NULL, 0 };
	int changed = 0;
	for (const struct edit *e = edits; e; e = e->next) {
		if (!(owner ? edits_owner(e) : edits_value(e)))
			continue;
		if (!text.p && !(text = fl_name_text_in(q->arena, *n)).p)
			return -ENOMEM;
		int ret = edit_text(q, e, &text);
		if (ret < 0)
			return ret;
		changed |= ret;
	}
	if (!changed)
		return 0;
	struct fl_name now = fl_name_parse_in(q->arena, text);
	if (now.len)
		*n = now;
	return now.len > 0;
}

/* Where the name lies that `answer value` edits, as CoreDNS has it: -1, none. */
static int value_at(uint16_t type, const uint8_t *rdata, size_t n)
{
	size_t at = 4;
	switch (type) {
	case FL_T_CNAME: case FL_T_NS: case FL_T_PTR: case FL_T_DNAME: case FL_T_SOA:
		return 0;
	case FL_T_MX:
		return 2;
	case FL_T_SRV:
		return 6;
	case FL_T_NAPTR:                /* order, preference, then three strings */
		for (int i = 0; i < 3 && at < n; i++)
			at += 1u + rdata[at];
		return at < n ? (int)at : -1;
	default:
		return -1;
	}
}

static int edit_values(struct fl_query *q, const struct edit *edits, struct fl_item *it)
{
	struct fl_rrset_maker m;
	bool any = false;
	struct fl_rr rr = { 0 };
	if (!fl_rr_next(it->set, &rr) || value_at(rr.type, rr.rdata, rr.rdlen) < 0)
		return 0;
	/* Two walks: names first (they use the arena), then the set in one piece. */
	struct fl_name *now = fl_alloc(q->arena, it->set->count * sizeof *now);
	if (!now)
		return -ENOMEM;
	unsigned i = 0;
	for (rr = (struct fl_rr){ 0 }; fl_rr_next(it->set, &rr); i++) {
		int at = value_at(rr.type, rr.rdata, rr.rdlen);
		const uint8_t *wire = rr.rdata + (at < 0 ? 0 : at);
		size_t len = 0;
		while (at >= 0 && len < (size_t)(rr.rdlen - at) && wire[len])
			len += 1u + wire[len];
		now[i] = (struct fl_name){ wire, (uint8_t)(len + 1) };
		int ret = at < 0 ? 0 : edit_name(q, edits, false, &now[i]);
		if (ret < 0)
			return ret;
		any |= ret > 0;
	}
	if (!any)
		return 0;
	fl_rrset_begin(&m, q->arena, it->set->type, FL_C_IN, it->set->len + it->set->count * FL_NAME_MAX);
	i = 0;
	for (rr = (struct fl_rr){ 0 }; fl_rr_next(it->set, &rr); i++) {
		uint8_t rdata[2048];
		int at = value_at(rr.type, rr.rdata, rr.rdlen);
		size_t old = 0, n = (size_t)(at < 0 ? 0 : at);
		while (at >= 0 && rr.rdata[n + old])
			old += 1u + rr.rdata[n + old];
		old += at >= 0;
		if (rr.rdlen + (size_t)FL_NAME_MAX > sizeof rdata)
			return 0;
		m.class = rr.class;
		memcpy(rdata, rr.rdata, n);
		memcpy(rdata + n, now[i].wire, now[i].len);
		memcpy(rdata + n + now[i].len, rr.rdata + n + old, rr.rdlen - n - old);
		fl_rrset_put(&m, rr.ttl, rdata, rr.rdlen - old + now[i].len);
	}
	const struct fl_rrset *set = fl_rrset_end(&m);
	if (!set)
		return -ENOMEM;
	it->set = set;
	return 0;
}

static uint32_t clamp(uint32_t v, uint32_t min, uint32_t max) { return v < min ? min : v > max ? max : v; }

static int edit_item(struct fl_query *q, const struct edit *edits, struct fl_item *it)
{
	int ret = edit_name(q, edits, true, &it->owner);
	if (ret < 0)
		return ret;
	/* The client's own question packs as a pointer to it, in the client's letter case. */
	if (fl_name_eq(it->owner, q->client->qname))
		it->owner = q->client->qname;
	bool values = false;
	for (const struct edit *e = edits; e; e = e->next) {
		values |= edits_value(e);
		if (e->kind == EDIT_TTL) {
			it->ttl_min = clamp(it->ttl_min, e->ttl_min, e->ttl_max);
			it->ttl_max = clamp(it->ttl_max, e->ttl_min, e->ttl_max);
		}
	}
	return values ? edit_values(q, edits, it) : 0;
}

enum fl_verdict fl_rewrite_reply(void *inst, struct fl_query *q)
{
	const struct rewritten *w = *fl_slot(q);
	(void)inst;
	struct fl_name asked = q->qname;
	int turned = q->dropped ? 0 : fl_rewrite_cname(q, w->edits);
	if (turned == -E2BIG)
		return fl_fail(q, FL_SERVFAIL, "a rewrite pattern took too many steps");
	if (turned)
		return fl_yield(q, turned);
	q->ask = w->ask;
	q->qname = w->qname;
	q->qtype = w->qtype;
	q->qclass = w->qclass;
	if (q->dropped)
		return FL_DONE;
	for (unsigned i = 0; i < q->res.n; i++) {
		struct fl_item *it = &q->res.item[i];
		/* A plugin below that used q->qname itself as the owner: spelled out, it is an ordinary name. */
		if (it->owner.wire == asked.wire && fl_name_eq(asked, q->client->qname))
			it->owner = q->client->qname;
		int ret = w->edits ? edit_item(q, w->edits, it) : 0;
		if (ret < 0)
			return ret == -ENOMEM ? fl_yield(q, ret) : fl_fail(q, FL_SERVFAIL, "a rewrite pattern took too many steps");
	}
	for (const struct edit *e = w->edits; e; e = e->next)
		if (e->kind == EDIT_RCODE && q->res.rcode == e->rcode_from) {
			q->res.rcode = e->rcode_to;
			q->res.bare = false;
		}
	return FL_DONE;
}

/* rewrite cname: an alias of the answer that a rule fits points elsewhere; what the server knows about that place takes the place of what
 * followed. */
#include "plugin/rewrite/rewrite.h"
#include <errno.h>

int fl_rewrite_cname_setup(struct fl_setup *s, struct rule *r, const struct fl_str *arg, unsigned n)
{
	struct fl_err e;
	if (n != 2 && n != 3)
		return fl_setup_error(s, "too few (%u) arguments for a cname rule", n);
	int m = n == 3 ? fl_rewrite_match_of(arg[0]) : MATCH_EXACT;
	if (m < 0)
		return fl_setup_error(s, "unknown cname rewrite type: %.*s", FL_FMT(fl_rewrite_lower(s, arg[0])));
	r->match = (enum rewrite_match)m;
	r->from = fl_rewrite_lower(s, arg[n - 2]);
	r->to = fl_rewrite_lower(s, arg[n - 1]);
	if (m == MATCH_EXACT) {
		r->from = fl_rewrite_normalize(s, arg[n - 2]);
		r->to = fl_rewrite_normalize(s, arg[n - 1]);
	}
	if (m == MATCH_REGEX && r->from.n > FL_REGEX_MAX)
		return fl_setup_error(s, "regex pattern too long in a cname rule: %zu > %d", r->from.n, FL_REGEX_MAX);
	if (m == MATCH_REGEX && !(r->regex = fl_regex_compile(r->from, &e)))
		return fl_setup_error(s, "invalid cname rewrite regex pattern: %s", e.msg);
	fl_rewrite_edit_add(s, r, EDIT_CNAME)->rule = r;
	return 0;
}

/* The first alias that the rule fits: its item, and where it shall point. 1, 0, -errno. */
static int find(struct fl_query *q, const struct rule *r, unsigned *item, struct fl_name *to)
{
	uint8_t lower[FL_NAME_MAX];
	for (unsigned i = 0; i < q->res.n; i++) {
		const struct fl_item *it = &q->res.item[i];
		if (it->section != FL_ANSWER || it->set->type != FL_T_CNAME)
			continue;
		struct fl_rr rr = { 0 };
		if (!fl_rr_next(it->set, &rr))
			continue;
		struct fl_name target = fl_name_lower(lower, (struct fl_name){ rr.rdata, (uint8_t)rr.rdlen });
		struct fl_str text = fl_name_text_in(q->arena, target), now = { NULL, 0 };
		int ret = text.p ? fl_rewrite_fits(q, r, text, &now) : -ENOMEM;
		if (ret < 0)
			return ret;
		if (!ret)
			continue;
		*item = i;
		*to = fl_name_parse_in(q->arena, now);
		return to->len > 0;
	}
	return 0;
}

/* The aliases up to the one that was turned, that one, then the answer section of the lookup; other sections as they are. */
static int splice(struct fl_query *q, unsigned turned, struct fl_name to, const struct fl_reply *found)
{
	struct fl_reply *r = &q->res;
	struct fl_rr rr = { 0 };
	fl_rr_next(r->item[turned].set, &rr);
	const struct fl_rrset *alias = fl_rrset_one(q->arena, FL_T_CNAME, rr.ttl, to.wire, to.len);
	struct fl_item *all = fl_alloc(q->arena, (r->n + found->n + 1u) * sizeof *all);
	unsigned n = 0;
	if (!all || !alias || r->n + found->n > UINT16_MAX)
		return -ENOMEM;
	for (unsigned i = 0; i <= turned; i++)
		if (r->item[i].section == FL_ANSWER && r->item[i].set->type == FL_T_CNAME)
			all[n++] = r->item[i];
	all[n - 1].set = alias;
	for (unsigned i = 0; i < found->n; i++)
		if (found->item[i].section == FL_ANSWER)
			all[n++] = found->item[i];
	for (unsigned i = 0; i < r->n; i++)
		if (r->item[i].section != FL_ANSWER)
			all[n++] = r->item[i];
	r->item = all;
	r->n = r->cap = (uint16_t)n;
	return 0;
}

int fl_rewrite_cname(struct fl_query *q, const struct edit *edits)
{
	for (const struct edit *e = edits; e; e = e->next) {
		const struct fl_reply *found;
		struct fl_name to;
		unsigned item;
		int ret = e->kind == EDIT_CNAME ? find(q, e->rule, &item, &to) : 0;
		if (ret < 0)
			return ret;
		if (!ret)
			continue;
		ret = fl_lookup(q, to, q->qtype, &found);
		if (ret == -ELOOP || ret == -ETIMEDOUT)
			return 0;               /* as it was: better than nothing */
		return ret ? ret : splice(q, item, to, found);
	}
	return 0;
}

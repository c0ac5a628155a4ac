#include "plugin/template/template.h"
#include "wire/text.h"
#include <errno.h>
#include <stdlib.h>

/* ---- metrics ---- */

static const char *const class_names[] = { "IN", "CH", "HS", "NONE", "ANY", "" };
static const uint16_t classes[] = { FL_C_IN, FL_C_CH, FL_C_HS, FL_C_NONE, FL_C_ANY };
static const char *const type_names[] = { "A", "AAAA", "ANY", "CAA", "CNAME", "DNAME", "DNSKEY", "DS", "HINFO", "HTTPS", "MX", "NAPTR", "NS",
					  "NSEC", "NSEC3", "PTR", "RRSIG", "SOA", "SRV", "SVCB", "TXT", "other" };
static const uint16_t types[] = { FL_T_A, FL_T_AAAA, FL_T_ANY, FL_T_CAA, FL_T_CNAME, FL_T_DNAME, FL_T_DNSKEY, FL_T_DS, FL_T_HINFO, FL_T_HTTPS,
				  FL_T_MX, FL_T_NAPTR, FL_T_NS, FL_T_NSEC, FL_T_NSEC3, FL_T_PTR, FL_T_RRSIG, FL_T_SOA, FL_T_SRV, FL_T_SVCB,
				  FL_T_TXT };
static const struct fl_dim dims[] = { { FL_COUNT(class_names), class_names }, { FL_COUNT(type_names), type_names } };
static const char *const section_names[] = { "answer", "authority", "additional" };
static const struct fl_dim fail_dims[] = { { FL_COUNT(class_names), class_names }, { FL_COUNT(type_names), type_names },
					   { FL_COUNT(section_names), section_names } };

static const struct fl_metric_def matches_def = { .name = "coredns_template_matches_total", .kind = FL_COUNTER,
	.help = "Counter of template regex matches.", .labels = { "server", "zone", "view", "class", "type" } };
static const struct fl_metric_def failures_def = { .name = "fairlead_template_failures_total", .kind = FL_COUNTER,
	.help = "Counter of template records that could not be made.", .labels = { "server", "zone", "view", "class", "type", "section" } };

struct grids { struct fl_grid *matches, *failures; };

int fl_template_chain(void *inst, struct fl_chain *c, struct fl_arena *a, void **mine)
{
	struct templates *all = inst;
	struct grids *g = fl_zalloc(a, (all->ngrid + 1) * sizeof *g);
	if (!g)
		return -ENOMEM;
	for (const struct template *t = all->first; t; t = t->next)
		for (unsigned i = 0; i < t->zones.n; i++) {
			struct fl_str fixed[] = { c->server, t->zones.text[i], c->view };
			g[t->first_grid + i].matches = fl_metric_grid(fl_metric(&matches_def), fixed, dims, 2);
			g[t->first_grid + i].failures = fl_metric_grid(fl_metric(&failures_def), fixed, fail_dims, 3);
		}
	*mine = g;
	return 0;
}

static unsigned place(const uint16_t *all, unsigned n, uint16_t v)
{
	unsigned i = 0;
	while (i < n && all[i] != v)
		i++;
	return i;
}

/* ---- on a shard ---- */

int fl_template_shard_start(void *inst, struct fl_shard *sh, void **local)
{
	(void)inst, (void)sh;
	*local = fl_regex_scratch_create(FL_REGEX_GROUPS);
	return *local ? 0 : -ENOMEM;
}

void fl_template_shard_stop(void *inst, struct fl_shard *sh, void *local)
{
	(void)inst, (void)sh;
	fl_regex_scratch_free(local);
}

/* ---- one answer ---- */

static unsigned index_of(const struct view *v)
{
	return place(classes, FL_COUNT(classes), v->class) * (unsigned)FL_COUNT(type_names) + place(types, FL_COUNT(types), v->type);
}

static enum fl_verdict broken(struct view *v, const struct template_rr *r, const char *why)
{
	struct grids *g = fl_mine(v->q);
	fl_grid_add(g[v->t->first_grid + (unsigned)v->zone].failures, v->q->shard->id, index_of(v) * 3 + r->section, 1);
	return fl_fail(v->q, FL_SERVFAIL, why);
}

/* From its text: parts that are known at once, or the whole run. 0, -ENOMEM, -EINVAL with e. */
static int made_of_text(struct view *v, const struct template_rr *r, struct fl_name *owner, const struct fl_rrset **set, struct fl_err *e)
{
	struct fl_str part[FL_TMPL_PARTS], text = FL_STR("");
	struct fl_arena *a = v->q->arena;
	size_t n = 0;
	int ret = r->text.part ? 0 : 1;
	for (unsigned i = 0; i < r->text.nparts && !ret; i++)
		if (!(ret = fl_template_part(v, &r->text.part[i], &part[i])))
			n += part[i].n;
	if (ret < 0)
		return ret;
	if (ret || n > FL_TMPL_OUT) {
		ret = fl_tmpl_run(&r->text, a, v, &text, e);
	} else {
		char *to = fl_alloc(a, n + 1), *p = to;
		for (unsigned i = 0; i < r->text.nparts && to; i++)
			p = fl_put_bytes(p, part[i].p, part[i].n);
		text = (struct fl_str){ to, n };
		ret = to ? 0 : -ENOMEM;
	}
	return ret ? ret : fl_rr_parse(a, text, owner, set, e);
}

static enum fl_verdict add_record(struct view *v, const struct template_rr *r, struct fl_name *target)
{
	struct fl_query *q = v->q;
	struct fl_name owner = r->owner;
	const struct fl_rrset *set = r->set;
	struct fl_err e;
	if (!set) {
		int ret = r->planned ? fl_template_planned(v, r, &owner, &set) : 1;
		if (ret == 1)
			ret = made_of_text(v, r, &owner, &set, &e);
		if (ret == -ENOMEM)
			return fl_yield(q, ret);
		if (ret) {
			struct fl_str why = fl_arena_str(q->arena, fl_str(e.msg));
			return broken(v, r, why.p ? why.p : "a template's record does not parse");
		}
	}
	if (owner.len == q->client->qname.len && !memcmp(owner.wire, q->client->qname.wire, owner.len))
		owner = q->client->qname;       /* packs as a pointer to the question */
	struct fl_rr rr = { 0 };
	fl_rr_next(set, &rr);
	if (rr.type == FL_T_CNAME && r->section == FL_ANSWER)
		*target = (struct fl_name){ rr.rdata, (uint8_t)rr.rdlen };
	return fl_reply_add(q, (enum fl_section)r->section, owner, set, false) ? FL_DONE : fl_yield(q, -ENOMEM);
}

/* The rest of an alias, as a client would find it. */
static enum fl_verdict chase(struct fl_query *q, struct fl_name target)
{
	const struct fl_reply *a;
	int ret = fl_lookup(q, target, q->qtype, &a);
	if (ret)
		return fl_yield(q, ret);
	q->res.set |= a->set & FL_TC;
	for (unsigned i = 0; i < a->n; i++) {
		const struct fl_item *from = &a->item[i];
		if (from->section != FL_ANSWER)
			continue;
		struct fl_item *it = fl_reply_add(q, FL_ANSWER, from->owner, from->set, from->shared);
		if (!it)
			return fl_yield(q, -ENOMEM);
		it->ttl_min = from->ttl_min;
		it->ttl_max = from->ttl_max;
	}
	return FL_DONE;
}

static enum fl_verdict answer(struct view *v)
{
	struct fl_query *q = v->q;
	const struct template *t = v->t;
	q->res = (struct fl_reply){ .rcode = t->rcode, .set = FL_AA, .has_ede = t->has_ede, .ede = t->ede,
				    .ede_text = t->ede_text.n ? t->ede_text.p : NULL };
	for (const struct template_rr *r = t->rr; r; r = r->next) {
		struct fl_name target = { 0 };
		enum fl_verdict verdict = add_record(v, r, &target);
		if (verdict != FL_DONE || q->res.bare)
			return verdict;
		if (target.len && (q->qtype == FL_T_A || q->qtype == FL_T_AAAA)) {
			verdict = chase(q, target);
			if (verdict != FL_DONE || q->res.bare)
				return verdict;
		}
	}
	return FL_DONE;
}

/* 1: one of the patterns matches (or there are none), 0, -E2BIG. */
static int matched(struct view *v)
{
	const struct template *t = v->t;
	v->regex = NULL;
	v->match.n = 1;
	v->match.group[0] = v->name;
	if (!t->nregex)
		return 1;
	for (unsigned i = 0; i < t->nregex; i++) {
		int ret = fl_regex_match(t->regex[i], fl_local(v->q), v->name, &v->match);
		v->regex = t->regex[i];
		if (ret)
			return ret;
	}
	return 0;
}

/* Variables in their order, then the conditions. 1: all are true, 0: one is not, or is no truth; else the run's error. */
static int agreed(struct view *v)
{
	const struct template *t = v->t;
	struct fl_query *q = v->q;
	struct fl_expr_value got;
	v->var = t->nvar ? fl_alloc(q->arena, t->nvar * sizeof *v->var) : NULL;
	if (t->nvar && !v->var)
		return -ENOMEM;
	for (unsigned i = 0; i < t->nvar; i++) {
		int ret = fl_expr_run_named(t->varexpr[i], q->arena, fl_local(q), &v->ask, v->var, &v->var[i]);
		if (ret)
			return ret;
	}
	for (unsigned i = 0; i < t->nexpr; i++) {
		int ret = fl_expr_run_named(t->expr[i], q->arena, fl_local(q), &v->ask, v->var, &got);
		if (ret || got.type != FL_EXPR_BOOL || !got.b)
			return ret;
	}
	return 1;
}

static bool asks(struct view *v)
{
	const struct template *t = v->t;
	const struct fl_query *q = v->q;
	v->class = q->qclass == FL_C_ANY ? t->class : q->qclass;
	v->type = q->qtype == FL_T_ANY ? t->type : q->qtype;
	if ((t->class != FL_C_ANY && v->class != t->class) || (t->type != FL_T_ANY && v->type != t->type))
		return false;
	v->zone = fl_zones_match(&t->zones, q->qname);
	return v->zone >= 0;
}

/* The name, in the arena: once, for the first template that asks. */
static int name(struct view *v)
{
	uint8_t *lower = v->name.p ? NULL : fl_alloc(v->q->arena, v->q->qname.len);
	if (v->name.p)
		return 0;
	if (!lower)
		return -ENOMEM;
	v->wire = fl_name_lower(lower, v->q->qname);
	v->name = fl_name_text_in(v->q->arena, v->wire);
	return v->name.p ? 0 : -ENOMEM;
}

enum fl_verdict fl_template_query(void *inst, struct fl_query *q)
{
	const struct templates *all = inst;
	struct grids *g = fl_mine(q);
	struct view v;                          /* large, and only set where it is read */
	v.ask.q = v.q = q;
	v.name.p = NULL;
	for (v.t = all->first; v.t; v.t = v.t->next) {
		if (!asks(&v))
			continue;
		int ret = name(&v);
		ret = ret ? ret : matched(&v);
		if (ret == -E2BIG)
			return fl_fail(q, FL_SERVFAIL, "a template's pattern took too many steps");
		if (ret == 1 && v.t->nvar + v.t->nexpr) {
			ret = agreed(&v);
			if (ret == -EINVAL || ret == -E2BIG)
				return fl_fail(q, FL_SERVFAIL, ret == -EINVAL ? "a template's expression ended with an error" :
										 "a template's expression took too many steps");
		}
		if (ret < 0)
			return fl_yield(q, ret);
		if (!ret && !fl_fall_through(&v.t->fall, q->qname))
			return fl_fail(q, FL_SERVFAIL, NULL);
		if (!ret)
			continue;
		fl_grid_add(g[v.t->first_grid + (unsigned)v.zone].matches, q->shard->id, index_of(&v), 1);
		if (v.t->rcode == FL_SERVFAIL)
			return fl_fail(q, FL_SERVFAIL, NULL);
		return answer(&v);
	}
	return FL_NEXT;
}

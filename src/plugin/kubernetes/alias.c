/* ExternalName services: CNAMEs inside the zone are followed here, the first one outside through the whole server. As CoreDNS's
 * plugin.A (plugin/backend_lookup.go): a chain that ends nowhere in the zone is not told. */
#include "plugin/kubernetes/kubernetes.h"
#include <errno.h>

enum { ALIASES_MAX = 11, RR_HEAD = 10 };

struct chain { struct fl_name owner[ALIASES_MAX], target[ALIASES_MAX]; const struct fl_rrset *set[ALIASES_MAX]; unsigned n; };

/* false: too long, or it goes round. */
static bool chain_put(struct chain *c, struct fl_name owner, const struct fl_k8s_node *n, struct fl_name *target)
{
	*target = (struct fl_name){ n->a.data + RR_HEAD, (uint8_t)(n->a.len - RR_HEAD) };
	if (c->n == ALIASES_MAX || fl_name_under(*target, owner))
		return false;
	for (unsigned i = 0; i < c->n; i++)
		if (fl_name_eq(c->target[i], *target))
			return false;
	c->owner[c->n] = owner;
	c->target[c->n] = *target;
	c->set[c->n++] = &n->a;
	return true;
}

static int chain_tell(struct fl_query *q, const struct chain *c)
{
	for (unsigned i = 0; i < c->n; i++)
		if (!fl_reply_add(q, FL_ANSWER, c->owner[i], c->set[i], true))
			return -ENOMEM;
	return 0;
}

static enum fl_verdict outside(struct fl_k8s_ask *a, const struct chain *c, struct fl_name target)
{
	struct fl_query *q = a->q;
	const struct fl_reply *r;
	int ret = fl_lookup(q, target, q->qtype, &r);
	if (ret)
		return fl_yield(q, ret);
	if (chain_tell(q, c))
		return fl_k8s_no_memory(q);
	for (unsigned i = 0; i < r->n; i++) {
		struct fl_item from = r->item[i];
		struct fl_item *to =
		    from.section == FL_ANSWER ? fl_reply_add(q, FL_ANSWER, from.owner, from.set, from.shared) : &from;
		if (!to)
			return fl_k8s_no_memory(q);
		*to = from;
	}
	q->res.set |= r->set & FL_TC;
	return fl_k8s_done(q);
}

static enum fl_verdict inside(struct fl_k8s_ask *a, struct fl_k8s_ask *end, const struct chain *c, enum fl_k8s_what what)
{
	struct fl_query *q = a->q;
	const struct fl_k8s_node *alias;
	if (what == FL_K8S_NO_NAME)
		return fl_k8s_no_data(a);
	if (chain_tell(q, c))
		return fl_k8s_no_memory(q);
	if (q->qtype != FL_T_A && q->qtype != FL_T_AAAA)        /* HTTPS, SVCB: there are none of ours */
		return fl_k8s_no_data(a);
	if (fl_k8s_addresses(end, q->qtype, &what, &alias))
		return fl_k8s_no_memory(q);
	if (q->res.n > c->n)
		return fl_k8s_done(q);
	q->res.n = 0;
	return fl_k8s_no_data(a);
}

enum fl_verdict fl_k8s_alias(struct fl_k8s_ask *a, const struct fl_k8s_node *n)
{
	struct fl_k8s_ask at;
	struct chain c;
	struct fl_name target, owner = a->name;
	for (c.n = 0; chain_put(&c, owner, n, &target); owner = target) {
		if (!fl_name_under(target, a->tail))
			return outside(a, &c, target);
		fl_k8s_ask_target(&at, a, target);
		enum fl_k8s_what what = fl_k8s_is_ns_name(&at) ? (n = NULL, FL_K8S_NO_DATA) : fl_k8s_exists(&at, &n);
		if (what != FL_K8S_ANSWERS || !n || n->kind != FL_K8S_ALIAS)
			return inside(a, &at, &c, what);
	}
	return fl_k8s_no_data(a);
}

/* acl: who may ask what. Stanzas in file order, in each the first policy that fits type and address decides; allow ends the looking.
 * Networks of a policy are merged into ranges at set-up: a look is a binary search, however long the list. */
#include "base/metric.h"
#include "dns/plugin.h"
#include <errno.h>
#include <stdlib.h>

enum action { BLOCK, FILTER, DROP, ALLOW, NONE };
static const char *const actions[] = { [BLOCK] = "block", [FILTER] = "filter", [DROP] = "drop", [ALLOW] = "allow" };

struct range { uint8_t lo[16], hi[16]; };
struct ranges { struct range *at; unsigned n, cap; };

struct policy {
	enum action action;
	bool all_types, all_nets;
	uint16_t *type; unsigned ntype;
	struct ranges net[2];           /* IPv4, IPv6 */
	struct policy *next;
};

struct rule {
	struct fl_zones zones;
	struct policy *policy, **last;
	unsigned first;                 /* its zones' place among all */
	struct rule *next;
};

struct acl { struct rule *rule, **last; unsigned nzones; };
struct mine { struct fl_grid *allowed; struct fl_grid *(*by)[ALLOW]; };

static const struct fl_metric_def defs[] = {
	[BLOCK] = { "coredns_acl_blocked_requests_total", "Counter of DNS requests being blocked.", FL_COUNTER,
		    .labels = { "server", "zone", "view" } },
	[FILTER] = { "coredns_acl_filtered_requests_total", "Counter of DNS requests being filtered.", FL_COUNTER,
		     .labels = { "server", "zone", "view" } },
	[DROP] = { "coredns_acl_dropped_requests_total", "Counter of DNS requests being dropped.", FL_COUNTER,
		   .labels = { "server", "zone", "view" } },
	[ALLOW] = { "coredns_acl_allowed_requests_total", "Counter of DNS requests being allowed.", FL_COUNTER,
		    .labels = { "server", "view" } },
};

/* ---- ranges ---- */

static void range_add(struct ranges *r, const struct fl_net *n)
{
	if (r->n == r->cap) {
		r->cap = r->cap ? 2 * r->cap : 8;
		r->at = fl_xrealloc(r->at, r->cap * sizeof *r->at);
	}
	struct range *x = &r->at[r->n++];
	memset(x, 0, sizeof *x);
	for (unsigned i = 0; i < n->addr.len; i++) {
		unsigned bits = n->bits > i * 8 ? n->bits - i * 8 : 0;
		uint8_t mask = bits >= 8 ? 0xff : (uint8_t)(0xff00 >> bits);
		x->lo[i] = n->addr.b[i] & mask;
		x->hi[i] = (uint8_t)(x->lo[i] | ~mask);
	}
}

static int range_order(const void *a, const void *b) { return memcmp(((const struct range *)a)->lo, ((const struct range *)b)->lo, 16); }

/* Sorted, without overlap; into the arena. */
static int ranges_settle(struct ranges *r, struct fl_arena *a)
{
	struct range *was = r->at;
	unsigned n = 0;
	if (!r->n)
		return 0;
	qsort(was, r->n, sizeof *was, range_order);
	for (unsigned i = 0; i < r->n; i++)
		if (n && memcmp(was[i].lo, was[n - 1].hi, 16) <= 0)
			memcpy(was[n - 1].hi, memcmp(was[i].hi, was[n - 1].hi, 16) > 0 ? was[i].hi : was[n - 1].hi, 16);
		else
			was[n++] = was[i];
	r->n = n;
	r->at = fl_copy(a, was, n * sizeof *was);
	free(was);
	return r->at ? 0 : -ENOMEM;
}

static bool ranges_have(const struct ranges *r, const uint8_t *addr, size_t len)
{
	unsigned lo = 0, hi = r->n;
	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;
		if (memcmp(r->at[mid].hi, addr, len) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < r->n && memcmp(r->at[lo].lo, addr, len) <= 0;
}

/* ---- set-up ---- */

static bool keyword(struct fl_str t) { return fl_str_ieq(t, FL_STR("type")) || fl_str_ieq(t, FL_STR("net")); }

static int types(struct fl_setup *s, struct policy *p, const struct fl_str *t, unsigned n)
{
	p->all_types = false;
	uint16_t *more = fl_alloc(fl_setup_arena(s), (p->ntype + n) * sizeof *more);
	if (!more)
		return fl_setup_error(s, "out of memory");
	if (p->ntype)
		memcpy(more, p->type, p->ntype * sizeof *more);
	p->type = more;
	for (unsigned i = 0; i < n; i++) {
		if (fl_str_is(t[i], "*")) {
			p->all_types = true;
			return 0;
		}
		if (!fl_type_parse(t[i], &p->type[p->ntype]))
			return fl_setup_parse_error(s, "unexpected token \"%.*s\"; expect legal QTYPE", FL_FMT(t[i]));
		p->ntype++;
	}
	return 0;
}

static int nets(struct fl_setup *s, struct policy *p, const struct fl_str *t, unsigned n)
{
	p->all_nets = false;
	for (unsigned i = 0; i < n; i++) {
		struct fl_net net;
		struct fl_str text = t[i];
		if (fl_str_is(text, "*")) {
			p->all_nets = true;
			return 0;
		}
		if (!memchr(text.p, '/', text.n))
			text = fl_arena_printf(fl_setup_arena(s), "%.*s%s", FL_FMT(text), memchr(text.p, ':', text.n) ? "/128" : "/32");
		if (!text.p || !fl_net_parse(text, &net))
			return fl_setup_parse_error(s, "illegal CIDR notation \"%.*s\"", FL_FMT(text));
		range_add(&p->net[net.addr.len == 16], &net);
	}
	return 0;
}

/* allow|block|filter|drop [type T…] [net N…] …, at the action. */
static int policy(struct fl_setup *s, struct policy *p)
{
	struct fl_disp *d = fl_setup_disp(s);
	struct fl_str *arg, name = fl_disp_val(d);
	unsigned n = 0, i = 0;
	int ret = 0;
	while (p->action < NONE && !fl_str_ieq(name, fl_str(actions[p->action])))
		p->action++;
	if (p->action == NONE)
		return fl_setup_parse_error(s, "unexpected token \"%.*s\"; expect 'allow', 'block', 'filter' or 'drop'", FL_FMT(name));
	p->all_types = p->all_nets = true;
	n = fl_disp_args(d, &arg);
	while (i < n && !ret) {
		if (!keyword(arg[i]))
			return fl_setup_parse_error(s, "unexpected token \"%.*s\"; expect 'type | net'", FL_FMT(arg[i]));
		struct fl_str section = arg[i++];
		unsigned from = i;
		while (i < n && !keyword(arg[i]))
			i++;
		bool net = fl_str_ieq(section, FL_STR("net"));
		if (i == from)
			return fl_setup_parse_error(s, "no token specified in \"%s\" section", net ? "net" : "type");
		ret = net ? nets(s, p, arg + from, i - from) : types(s, p, arg + from, i - from);
	}
	return ret;
}

static int stanza(struct fl_setup *s, struct acl *acl)
{
	struct fl_disp *d = fl_setup_disp(s);
	struct fl_arena *a = fl_setup_arena(s);
	struct fl_str *arg;
	struct rule *r = fl_zalloc(a, sizeof *r);
	if (!r)
		return fl_setup_error(s, "out of memory");
	*acl->last = r;
	acl->last = &r->next;
	r->last = &r->policy;
	unsigned n = fl_disp_args(d, &arg);
	int ret = fl_setup_zones(s, arg, n, &r->zones);
	r->first = acl->nzones;
	acl->nzones += r->zones.n;
	while (!ret && fl_disp_next_block(d)) {
		struct policy *p = fl_zalloc(a, sizeof *p);
		if (!p)
			return fl_setup_error(s, "out of memory");
		*r->last = p;
		r->last = &p->next;
		ret = policy(s, p);
		if (ranges_settle(&p->net[0], a) || ranges_settle(&p->net[1], a))
			return fl_setup_error(s, "out of memory");
	}
	return ret;
}

static int setup(struct fl_setup *s, void **inst)
{
	struct acl *acl = fl_zalloc(fl_setup_arena(s), sizeof *acl);
	int ret = 0;
	if (!acl)
		return fl_setup_error(s, "out of memory");
	acl->last = &acl->rule;
	*inst = acl;
	while (!ret && fl_disp_next(fl_setup_disp(s)))
		ret = stanza(s, acl);
	return ret;
}

/* Grids of each zone that a stanza names, with this chain's labels. */
static int chain(void *inst, struct fl_chain *c, struct fl_arena *a, void **mine)
{
	struct acl *acl = inst;
	struct mine *m = fl_zalloc(a, sizeof *m);
	if (!m || !(m->by = fl_zalloc(a, (acl->nzones + 1) * sizeof *m->by)))
		return -ENOMEM;
	const struct fl_str who[] = { c->server, c->view };
	m->allowed = fl_metric_grid(fl_metric(&defs[ALLOW]), who, NULL, 0);
	for (struct rule *r = acl->rule; r; r = r->next)
		for (unsigned z = 0; z < r->zones.n; z++)
			for (unsigned i = 0; i < ALLOW; i++) {
				const struct fl_str values[] = { c->server, r->zones.text[z], c->view };
				m->by[r->first + z][i] = fl_metric_grid(fl_metric(&defs[i]), values, NULL, 0);
			}
	*mine = m;
	return 0;
}

/* ---- questions ---- */

static bool fits(const struct policy *p, const struct fl_query *q)
{
	const struct fl_addr *peer = &q->client->peer;
	bool type = p->all_types;
	for (unsigned i = 0; i < p->ntype && !type; i++)
		type = p->type[i] == q->qtype;
	return type && (p->all_nets || ranges_have(&p->net[peer->len == 16], peer->b, peer->len));
}

static enum fl_verdict refuse(struct fl_query *q, uint16_t rcode, uint16_t ede)
{
	q->res.rcode = rcode;
	q->res.ede = ede;
	q->res.has_ede = true;
	return FL_DONE;
}

static enum fl_verdict query(void *inst, struct fl_query *q)
{
	const struct acl *acl = inst;
	const struct mine *m = fl_mine(q);
	for (const struct rule *r = acl->rule; r; r = r->next) {
		int zone = fl_zones_match(&r->zones, q->qname);
		const struct policy *p = zone < 0 ? NULL : r->policy;
		while (p && !fits(p, q))
			p = p->next;
		if (!p)
			continue;
		if (p->action == ALLOW)
			break;
		fl_grid_add(m->by[r->first + (unsigned)zone][p->action], q->shard->id, 0, 1);
		if (p->action == DROP)
			return FL_DROP;
		return p->action == BLOCK ? refuse(q, FL_REFUSED, 15) : refuse(q, FL_NOERROR, 17);      /* RFC 8914: Blocked, Filtered */
	}
	fl_grid_add(m->allowed, q->shard->id, 0, 1);
	return FL_NEXT;
}

static const struct fl_opt opts[] = {
	{ "", "[ZONE...]", "names that the stanza is about (all of the block)" },
	{ "allow", "[type TYPE...] [net NET...]", "goes on to the next plugin, past all other stanzas" },
	{ "block", "[type TYPE...] [net NET...]", "REFUSED" },
	{ "filter", "[type TYPE...] [net NET...]", "NOERROR without records" },
	{ "drop", "[type TYPE...] [net NET...]", "no answer" },
	{ 0 },
};

FL_PLUGIN(acl, .opts = opts, .setup = setup, .chain = chain, .query = query);

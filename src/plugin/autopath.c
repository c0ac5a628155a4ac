/* autopath: walks the client's search list for it. A question below the first element is asked of the plugins below with each element in
 * turn and last as it is, until an answer is there; a CNAME tells the client why that has another name (CoreDNS plugin/autopath). */
#include "dns/autopath.h"
#include "dns/plugin.h"
#include <errno.h>
#include <string.h>

struct autopath {
	struct fl_zones zones;
	struct fl_search list;          /* of a file; n 0: none */
	struct fl_str other;            /* the plugin that knows; n 0: none was named */
	const struct fl_autopath_ops *ops;
	void *inst;                     /* its instance */
	bool guess;
};

struct mine { struct fl_grid *success; };

/* A question on its way, in its slot. */
struct walk {
	struct fl_name asked, base;     /* base: asked without the first element; its last octet is no 0 */
	struct fl_search list;
	unsigned at;                    /* which element is being tried; list.n: the empty one */
	struct fl_reply first;          /* what the first one gave */
	bool first_dropped;
};

/* ---- set-up ---- */

static int file(struct fl_setup *s, struct autopath *a, struct fl_str path)
{
	int ret = fl_search_read(fl_setup_arena(s), fl_arena_str(fl_setup_arena(s), path).p, FL_SEARCH_MAX, &a->list);
	if (!ret)
		return 0;
	if (ret == -E2BIG)
		return fl_setup_error(s, "\"%.*s\": more than %d search domains", FL_FMT(path), FL_SEARCH_MAX);
	const char *why = strerrordesc_np(-ret);
	return fl_setup_error(s, "failed to parse \"%.*s\": %s %.*s: %c%s", FL_FMT(path), ret == -EISDIR ? "read" : "open", FL_FMT(path),
			      fl_lower((uint8_t)why[0]), why + 1);
}

static int directive(struct fl_setup *s, struct autopath *a)
{
	struct fl_disp *d = fl_setup_disp(s);
	struct fl_str *arg;
	unsigned n = fl_disp_args(d, &arg);
	if (!n)
		return fl_setup_error(s, "no resolv-conf specified");
	struct fl_str from = arg[--n];
	if (from.n && *from.p == '@')
		a->other = (struct fl_str){ from.p + 1, from.n - 1 };
	int ret = from.n && *from.p == '@' ? 0 : file(s, a, from);
	if (!ret && fl_setup_zones(s, arg, n, &a->zones))
		ret = fl_setup_error(s, "out of memory");
	while (!ret && fl_disp_next_block(d)) {
		if (!fl_str_is(fl_disp_val(d), "from_query"))
			return fl_setup_parse_error(s, "unknown property '%.*s'", FL_FMT(fl_disp_val(d)));
		if (fl_disp_next_arg(d))
			return fl_setup_arg_error(s);
		a->guess = true;
	}
	return ret;
}

static int setup(struct fl_setup *s, void **inst)
{
	struct autopath *a = fl_zalloc(fl_setup_arena(s), sizeof *a);
	int ret = 0;
	if (!a)
		return fl_setup_error(s, "out of memory");
	while (!ret && fl_disp_next(fl_setup_disp(s)))
		ret = directive(s, a);
	*inst = a;
	return ret;
}

struct seek { struct fl_str name; bool there; };

/* Directives that only set something up are no plugins to CoreDNS's registry. */
static void seek(void *arg, const struct fl_plugin *p, void *inst)
{
	struct seek *k = arg;
	(void)inst;
	k->there |= fl_str_is(k->name, p->name) && (p->query || p->sent || p->meta || p->collects || p->seal || p->admit);
}

/* A plugin that is not in the block gives no lists, and that is no error. */
static int join(struct fl_setup *s, void *inst)
{
	struct autopath *a = inst;
	struct seek k = { a->other, false };
	if (a->other.n)
		a->ops = fl_setup_find(s, fl_arena_str(fl_setup_arena(s), a->other).p, "autopath", &a->inst);
	if (a->guess && !(a->ops && a->ops->guesses))
		return fl_setup_error(s, "from_query needs @kubernetes, and the kubernetes plugin in the same block");
	if (!a->other.n || a->ops)
		return 0;
	fl_setup_each(s, seek, &k);
	return k.there ? fl_setup_error(s, "%.*s does not implement the AutoPather interface", FL_FMT(a->other)) : 0;
}

static int chain(void *inst, struct fl_chain *c, struct fl_arena *arena, void **mine)
{
	static const struct fl_metric_def def = { .name = "coredns_autopath_success_total", .kind = FL_COUNTER,
		.help = "Counter of requests that did autopath.", .labels = { "server" } };
	struct mine *m = fl_zalloc(arena, sizeof *m);
	(void)inst;
	if (!m)
		return -ENOMEM;
	m->success = fl_metric_grid(fl_metric(&def), &c->server, NULL, 0);
	*mine = m;
	return 0;
}

/* ---- the walk ---- */

/* Moves to the next element that makes a name. 1; 0: none is left; -ENOMEM. */
static int next(struct fl_query *q, struct walk *w)
{
	uint8_t *to = fl_alloc(q->arena, FL_NAME_MAX);
	while (to && ++w->at <= w->list.n) {
		struct fl_name n = fl_name_join(to, w->base, w->at < w->list.n ? w->list.name[w->at] : FL_ROOT);
		if (!n.len)
			continue;
		q->qname = n;
		return 1;
	}
	return to ? 0 : -ENOMEM;
}

static enum fl_verdict query(void *inst, struct fl_query *q)
{
	const struct autopath *a = inst;
	struct fl_search list = a->list;
	if (q->qtype == FL_T_AXFR || q->qtype == FL_T_IXFR || fl_zones_match(&a->zones, q->qname) < 0)
		return FL_NEXT;
	int ret = a->ops ? a->ops->search(a->inst, q, a->guess, &list) : 0;
	if (ret)
		return fl_yield(q, ret);
	if (!list.n || q->qname.len <= list.name[0].len || !fl_name_under(q->qname, list.name[0]))
		return FL_NEXT;
	struct walk *w = fl_zalloc(q->arena, sizeof *w);
	if (!w)
		return fl_yield(q, -ENOMEM);
	w->asked = q->qname;
	w->base = (struct fl_name){ q->qname.wire, (uint8_t)(q->qname.len - list.name[0].len + 1) };
	w->list = list;
	*fl_slot(q) = w;
	return FL_WRAP;
}

/* Not an answer: NXDOMAIN, nothing at all, or a bare code that the server would make an answer of (plugin.ClientWrite). */
static bool no_answer(const struct fl_query *q)
{
	return q->dropped || q->res.rcode == FL_NXDOMAIN || (q->res.bare && !q->res.why);
}

static uint32_t ttl_of(const struct fl_item *it)
{
	struct fl_rr rr = { 0 };
	uint32_t ttl = fl_rr_next(it->set, &rr) ? rr.ttl : 0;
	ttl = ttl < it->ttl_min ? it->ttl_min : ttl;
	return ttl > it->ttl_max ? it->ttl_max : ttl;
}

/* A CNAME to the owner of the first record, when that is another name. CoreDNS looks at the records behind it too, and gives an alias
 * of the name itself twice (plugin/autopath/cname.go). */
static int lead(struct fl_query *q)
{
	const struct fl_reply *r = &q->res;
	unsigned i = 0;
	while (i < r->n && (r->item[i].section != FL_ANSWER || !r->item[i].set->count))
		i++;
	if (i == r->n || fl_name_eq(r->item[i].owner, q->qname))
		return 0;
	const struct fl_name to = r->item[i].owner;
	const struct fl_rrset *set = fl_rrset_one(q->arena, FL_T_CNAME, ttl_of(&r->item[i]), to.wire, to.len);
	if (!set || !fl_reply_add(q, FL_ANSWER, q->qname, set, false))
		return -ENOMEM;
	struct fl_item last = r->item[r->n - 1];
	memmove(r->item + 1, r->item, (r->n - 1u) * sizeof *r->item);
	r->item[0] = last;
	return 0;
}

/* All say that there is no such name, or nothing: what the first one gave; the client goes on by itself. */
static enum fl_verdict give_first(struct fl_query *q, const struct walk *w)
{
	q->qname = w->asked;
	q->res = w->first;
	q->dropped = w->first_dropped;
	return w->first_dropped ? FL_DROP : FL_DONE;
}

static enum fl_verdict reply(void *inst, struct fl_query *q)
{
	const struct mine *m = fl_mine(q);
	struct walk *w = *fl_slot(q);
	int ret = 0;
	(void)inst;
	if (!no_answer(q)) {
		q->qname = w->asked;
		if (q->res.bare)
			return FL_DONE;         /* an error with words: no more tries */
		ret = lead(q);
		fl_grid_add(m->success, q->shard->id, 0, !ret);
		return ret ? fl_yield(q, ret) : FL_DONE;
	}
	if (!w->at) {
		ret = fl_reply_own(q, &q->res);
		w->first = q->res;
		w->first_dropped = q->dropped;
	}
	if (!ret && (q->root->late || q->again == FL_AGAIN_MAX))
		return give_first(q, w);
	ret = ret ? ret : next(q, w);
	if (ret < 0) {
		q->qname = w->asked;
		return fl_yield(q, ret);
	}
	return ret ? FL_AGAIN : give_first(q, w);
}

static const struct fl_opt opts[] = {
	{ "", "[ZONES...] RESOLV-CONF|@PLUGIN", "names in ZONES are searched with the list of the file, or with what PLUGIN knows of the client" },
	{ "from_query", "", "where the client's pod is not known, its namespace is that in the question" },
	{ 0 }
};

FL_PLUGIN(autopath, .opts = opts, .setup = setup, .link = join, .chain = chain, .query = query, .reply = reply);

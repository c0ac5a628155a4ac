/* loadbalance: the order of addresses. round_robin only marks sets for a shuffle, which the packer does while it writes; weighted and
 * prefer need to know records one by one, and take the sets apart into items of one record (views, nothing is copied).
 * Order of a section: CNAME, the rest, addresses, MX; with `prefer`: CNAME, addresses, MX, the rest. */
#include "base/log.h"
#include "base/rcu.h"
#include "dns/plugin.h"
#include "plugin/loadbalance/weights.h"
#include <errno.h>
#include <stdlib.h>

struct prefer { struct fl_net net; struct prefer *next; };

struct balance {
	struct prefer *prefer, **last;
	const char *file;               /* weighted; NULL: round_robin */
	int64_t reload_ns;
	bool read;
	uint64_t sum;                   /* hash of the file that was read last */
	struct fl_weights *weights;     /* RCU */
	struct fl_rcu_bin old;
};

/* ---- set-up ---- */

static int reload(struct fl_setup *s, struct balance *b)
{
	struct fl_str *arg;
	struct fl_err e;
	unsigned n = fl_disp_args(fl_setup_disp(s), &arg);
	if (!n)
		return fl_setup_parse_error(s, "reload duration value is missing");
	if (n > 1)
		return fl_setup_parse_error(s, "unexpected argument");
	if (fl_duration_parse(arg[0], &b->reload_ns, &e))
		return fl_setup_parse_error(s, "invalid reload duration '%.*s'", FL_FMT(arg[0]));
	return 0;
}

static int prefer(struct fl_setup *s, struct balance *b)
{
	struct fl_str *arg;
	unsigned n = fl_disp_args(fl_setup_disp(s), &arg);
	for (unsigned i = 0; i < n; i++) {
		struct prefer *p = fl_zalloc(fl_setup_arena(s), sizeof *p);
		if (!fl_net_parse(arg[i], &p->net))
			return fl_setup_parse_error(s, "invalid CIDR \"%.*s\": invalid CIDR address: %.*s", FL_FMT(arg[i]), FL_FMT(arg[i]));
		*b->last = p;
		b->last = &p->next;
	}
	return 0;
}

static int policy(struct fl_setup *s, struct balance *b)
{
	struct fl_str *arg;
	unsigned n = fl_disp_args(fl_setup_disp(s), &arg);
	if (!n)
		return 0;
	if (fl_str_is(arg[0], "round_robin"))
		return n > 1 ? fl_setup_parse_error(s, "unknown property for %.*s", FL_FMT(arg[0])) : 0;
	if (!fl_str_is(arg[0], "weighted"))
		return fl_setup_error(s, "unknown policy: %.*s", FL_FMT(arg[0]));
	if (n < 2)
		return fl_setup_parse_error(s, "missing weight file argument");
	if (n > 2)
		return fl_setup_parse_error(s, "unexpected argument(s)");
	b->file = fl_setup_path(s, arg[1]);
	b->file = *b->file ? b->file : ".";     /* Go's filepath.Join, and so a folder */
	b->prefer = NULL;               /* of an earlier line, as in CoreDNS */
	b->last = &b->prefer;
	b->reload_ns = 30 * (int64_t)FL_SEC;
	return 0;
}

static int option(struct fl_setup *s, struct balance *b)
{
	struct fl_str name = fl_disp_val(fl_setup_disp(s));
	if (b->file && fl_str_is(name, "reload"))
		return reload(s, b);
	if (!b->file && fl_str_is(name, "prefer"))
		return prefer(s, b);
	return fl_setup_parse_error(s, "unknown property '%.*s'", FL_FMT(name));
}

/* ---- the file of weights ---- */

/* 0, -ENOENT (cannot be opened), -EINVAL with the words in e. */
static int weights_read(struct balance *b, struct fl_err *e)
{
	struct fl_arena a;
	struct fl_str text;
	fl_arena_init(&a, NULL, 0, NULL, 16 * 1024 * 1024);
	int ret = fl_conf_read(&a, b->file, &text);
	if (ret == -EISDIR)
		ret = fl_err_set(e, "read %s: is a directory", b->file);
	else if (ret)
		ret = -ENOENT;
	uint64_t sum = ret ? 0 : fl_hash(text.p, text.n);
	if (!ret && (!b->read || sum != b->sum)) {
		struct fl_weights *w = fl_weights_parse(text, b->file, e), *was = b->weights;
		ret = w ? 0 : -EINVAL;
		b->read = true;         /* bad ones too: told once, and the old weights stay */
		b->sum = sum;
		if (w) {
			fl_rcu_set(&b->weights, w);
			if (was) {
				fl_rcu_free_later(&b->old, was, fl_weights_bytes(was));
				fl_rcu_reclaim(&b->old);
			}
			fl_log(FL_INFO, "plugin/loadbalance", "Successfully reloaded weight file %s", b->file);
		}
	}
	fl_arena_finish(&a);
	return ret;
}

static void look(void *inst)
{
	struct fl_err e;
	int ret = weights_read(inst, &e);
	if (ret)
		fl_log(FL_ERROR, "plugin/loadbalance", "%s", ret == -ENOENT ? "weight file open error" : e.msg);
}

static int start(void *inst, struct fl_err *e)
{
	struct balance *b = inst;
	struct fl_err why;
	int ret = b->file ? weights_read(b, &why) : 0;
	if (ret == -ENOENT && b->reload_ns) {
		char every[32];
		fl_duration_text(every, b->reload_ns);
		fl_log(FL_WARN, "plugin/loadbalance", "Failed to open weight file:weight file open error. Will try again in %s", every);
		return 0;
	}
	return ret ? fl_err_set(e, "plugin/loadbalance: %s", ret == -ENOENT ? "weight file open error" : why.msg) : 0;
}

static void destroy(void *inst)
{
	struct balance *b = inst;
	free(b->weights);
	fl_rcu_bin_finish(&b->old);
}

static int setup(struct fl_setup *s, void **inst)
{
	struct fl_disp *d = fl_setup_disp(s);
	struct balance *b = fl_zalloc(fl_setup_arena(s), sizeof *b);
	int ret = 0;
	if (!b)
		return fl_setup_error(s, "out of memory");
	b->last = &b->prefer;
	*inst = b;
	while (!ret && fl_disp_next(d)) {
		b->file = NULL;                 /* of several, the last one's policy */
		ret = policy(s, b);
		while (!ret && fl_disp_next_block(d))
			ret = option(s, b);
	}
	return !ret && b->file && b->reload_ns > 0 ? fl_setup_every(s, (uint64_t)b->reload_ns, look) : ret;
}

/* ---- order ---- */

static bool is_address(uint16_t type) { return type == FL_T_A || type == FL_T_AAAA; }

static unsigned rank(uint16_t type, bool preferring)
{
	if (type == FL_T_CNAME)
		return 0;
	if (preferring)
		return is_address(type) ? 1 : type == FL_T_MX ? 2 : 3;
	return is_address(type) ? 2 : type == FL_T_MX ? 3 : 1;
}

/* Stable, and one look when all is in order: sections need not be told apart, the packer does that. */
static void arrange(struct fl_reply *r, bool preferring)
{
	for (unsigned i = 1; i < r->n; i++) {
		unsigned mine = rank(r->item[i].set->type, preferring), j = i;
		struct fl_item it = r->item[i];
		for (; j && rank(r->item[j - 1].set->type, preferring) > mine; j--)
			r->item[j] = r->item[j - 1];
		r->item[j] = it;
	}
}

static void shuffle_items(struct fl_item *it, unsigned n, struct fl_rng *rng)
{
	for (unsigned i = 0; i + 1 < n; i++) {
		unsigned j = i + fl_rng_below(rng, n - i);
		struct fl_item t = it[i];
		it[i] = it[j];
		it[j] = t;
	}
}

/* Items [*from, *to) are the addresses, after arrange(). */
static void addresses(const struct fl_reply *r, unsigned *from, unsigned *to)
{
	*from = 0;
	while (*from < r->n && !is_address(r->item[*from].set->type))
		++*from;
	*to = *from;
	while (*to < r->n && is_address(r->item[*to].set->type))
		++*to;
}

static void round_robin(struct fl_query *q)
{
	struct fl_reply *r = &q->res;
	struct fl_rng *rng = q->shard->rng;
	unsigned from, to;
	for (unsigned i = 0; i < r->n; i++) {
		struct fl_item *it = &r->item[i];
		if (it->set->count > 1 && (is_address(it->set->type) || it->set->type == FL_T_MX))
			it->shuffle = (uint32_t)fl_rng_next(rng) | 1;
	}
	if (r->n < 2)
		return;
	arrange(r, false);
	addresses(r, &from, &to);
	shuffle_items(r->item + from, to - from, rng);
	shuffle_items(r->item + to, r->n - to, rng);    /* MX */
}

/* Every address of the answer and the additional section in an item of its own. -ENOMEM: r is as it was. */
static int take_apart(struct fl_query *q)
{
	struct fl_reply *r = &q->res;
	size_t total = 0;
	for (unsigned i = 0; i < r->n; i++)
		total += is_address(r->item[i].set->type) ? r->item[i].set->count : 1;
	if (total == r->n)
		return 0;
	struct fl_item *to = total > UINT16_MAX ? NULL : fl_alloc(q->arena, total * sizeof *to), *at = to;
	if (!to)
		return -ENOMEM;
	for (unsigned i = 0; i < r->n; i++) {
		const struct fl_rrset *set = r->item[i].set;
		if (!is_address(set->type) || set->count == 1) {
			*at++ = r->item[i];
			continue;
		}
		struct fl_rrset *one = fl_alloc(q->arena, set->count * sizeof *one);
		if (!one)
			return -ENOMEM;
		for (struct fl_rr rr = { 0 }; fl_rr_next(set, &rr); one++, at++) {
			uint32_t len = 10u + rr.rdlen;
			*one = (struct fl_rrset){ set->type, 1, (uint16_t)len, len, rr.rdata - 10 };
			*at = r->item[i];
			at->set = one;
		}
	}
	r->item = to;
	r->n = r->cap = (uint16_t)total;
	return 0;
}

static struct fl_addr address_of(const struct fl_item *it)
{
	struct fl_addr a = { .len = it->set->type == FL_T_A ? 4 : 16 };
	memcpy(a.b, it->set->data + 10, a.len);
	return a;
}

static unsigned weight_of(const struct fl_weights *w, const struct fl_item *it)
{
	struct fl_addr a = address_of(it);
	return w ? fl_weights_get(w, it->owner, a.b, a.len) : 1;
}

/* Of a section's addresses one comes to the front, as often as its weight says. w NULL: nothing was read yet, all weigh the same. */
static void weigh(struct fl_query *q, const struct fl_weights *w, enum fl_section sec, unsigned from, unsigned to)
{
	struct fl_item *it = q->res.item;
	unsigned sum = 0, first = to;
	for (unsigned i = from; i < to; i++) {
		if (it[i].section != sec)
			continue;
		first = first == to ? i : first;
		sum += weight_of(w, &it[i]);
	}
	if (!sum)
		return;
	unsigned v = fl_rng_below(q->shard->rng, sum);
	for (unsigned i = first; i < to; i++) {
		if (it[i].section != sec)
			continue;
		unsigned mine = weight_of(w, &it[i]);
		if (v < mine) {
			struct fl_item t = it[first];
			it[first] = it[i];
			it[i] = t;
			return;
		}
		v -= mine;
	}
}

static unsigned preference(const struct balance *b, const struct fl_item *it)
{
	struct fl_addr a = address_of(it);
	unsigned n = 0;
	for (const struct prefer *p = b->prefer; p && !fl_net_has(&p->net, &a); p = p->next)
		n++;
	return it->section == FL_AUTHORITY ? 0 : n;
}

static void by_preference(const struct balance *b, struct fl_query *q)
{
	unsigned from, to;
	if (take_apart(q))
		return;
	arrange(&q->res, true);
	addresses(&q->res, &from, &to);
	struct fl_item *it = q->res.item;
	struct fl_item *sorted = fl_alloc(q->arena, (to - from + 1) * sizeof *sorted);
	unsigned done = 0, most = 0;
	for (const struct prefer *p = b->prefer; p; p = p->next)
		most++;
	for (unsigned rank_ = 0; sorted && rank_ <= most; rank_++)
		for (unsigned i = from; i < to; i++)
			if (preference(b, &it[i]) == rank_)
				sorted[done++] = it[i];
	if (sorted)
		memcpy(it + from, sorted, done * sizeof *sorted);
}

static bool any_address(const struct fl_reply *r)
{
	for (unsigned i = 0; i < r->n; i++)
		if (is_address(r->item[i].set->type))
			return true;
	return false;
}

static void weighted(const struct balance *b, struct fl_query *q)
{
	const struct fl_weights *w = fl_rcu_get(&b->weights);
	unsigned from, to;
	if ((q->qtype != FL_T_A && q->qtype != FL_T_AAAA && q->qtype != FL_T_SRV) || !any_address(&q->res) || take_apart(q))
		return;
	arrange(&q->res, false);
	addresses(&q->res, &from, &to);
	weigh(q, w, FL_ANSWER, from, to);
	weigh(q, w, FL_ADDITIONAL, from, to);
}

static enum fl_verdict query(void *inst, struct fl_query *q)
{
	(void)inst;
	return q->qtype == FL_T_AXFR || q->qtype == FL_T_IXFR ? FL_NEXT : FL_WRAP;
}

static enum fl_verdict reply(void *inst, struct fl_query *q)
{
	const struct balance *b = inst;
	if (q->res.rcode != FL_NOERROR || !q->res.n || q->dropped)
		return FL_DONE;
	if (b->file)
		weighted(b, q);
	else if (!b->prefer || !take_apart(q))
		round_robin(q);
	if (b->prefer)
		by_preference(b, q);
	return FL_DONE;
}

static const struct fl_opt opts[] = {
	{ "", "[round_robin | weighted FILE]", "how: every order alike, or one address first as its weight says" },
	{ "reload", "DURATION", "how often FILE is looked at (30s, 0: never); only with weighted" },
	{ "prefer", "CIDR...", "addresses in these networks come first, in this order" },
	{ 0 },
};

FL_PLUGIN(loadbalance, .opts = opts, .setup = setup, .start = start, .destroy = destroy, .query = query, .reply = reply);

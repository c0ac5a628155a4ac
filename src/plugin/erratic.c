/* erratic: answers that come late, cut, or not at all, to test clients with. */
#include "dns/autopath.h"
#include "dns/plugin.h"
#include <errno.h>
#include <stdlib.h>

struct erratic {
	uint64_t drop, delay, truncate; /* every so manieth query; 0: none */
	int64_t delay_ns;
	bool large;
	unsigned *asked;                /* atomic; outlives a reload that changes nothing here */
};

/* What a query was told when it came, in its slot. */
enum { COUNTED = 1, DROP = 2, DELAY = 4, TRUNCATE = 8 };

/* ---- set-up ---- */

/* The first argument; `v` stays when there is none. */
static int amount(struct fl_setup *s, const struct fl_str *arg, unsigned n, uint64_t *v)
{
	int64_t i = 0;
	int ret = n ? fl_parse_int(arg[0], INT32_MIN, INT32_MAX, &i) : 0;
	if (ret)
		return fl_setup_error(s, "strconv.ParseInt: parsing \"%.*s\": %s", FL_FMT(arg[0]),
				      ret == -ERANGE ? "value out of range" : "invalid syntax");
	if (i < 0)
		return fl_setup_error(s, "illegal amount value given \"%.*s\"", FL_FMT(arg[0]));
	if (n)
		*v = (uint64_t)i;
	return 0;
}

static int option(struct fl_setup *s, struct fl_disp *d, struct erratic *e, bool *drop)
{
	struct fl_str name = fl_disp_val(d), *arg;
	struct fl_err err;
	if (fl_str_is(name, "large")) {
		e->large = true;
		return 0;
	}
	bool delay = fl_str_is(name, "delay"), dropped = fl_str_is(name, "drop");
	if (!delay && !dropped && !fl_str_is(name, "truncate"))
		return fl_setup_parse_error(s, "unknown property '%.*s'", FL_FMT(name));
	unsigned n = fl_disp_args(d, &arg);
	if (n > 1u + delay)
		return fl_setup_arg_error(s);
	if (dropped) {
		*drop |= n;
		return amount(s, arg, n, &e->drop);
	}
	uint64_t *v = delay ? &e->delay : &e->truncate;
	*v = 2;
	if (delay)
		e->delay_ns = (int64_t)FL_SEC / 10;
	int ret = amount(s, arg, n, v);
	if (!ret && n > 1 && fl_duration_parse(arg[1], &e->delay_ns, &err))
		return fl_setup_error(s, "%s", err.msg);
	return ret;
}

static void *count_create(void *arg)
{
	unsigned *n = fl_xalloc(sizeof *n);
	(void)arg;
	*n = 0;
	return n;
}

static int count_find(struct fl_setup *s, struct erratic *e)
{
	const struct fl_zones *z = fl_setup_block_zones(s);
	struct fl_str key = fl_arena_printf(fl_setup_arena(s), "erratic %lu %lu %ld %lu %d", (unsigned long)e->drop,
					    (unsigned long)e->delay, (long)e->delay_ns, (unsigned long)e->truncate, e->large);
	for (unsigned i = 0; i < z->n; i++)
		key = fl_arena_printf(fl_setup_arena(s), "%.*s %.*s", FL_FMT(key), FL_FMT(z->text[i]));
	e->asked = fl_setup_keep(s, key, count_create, free, NULL);
	return e->asked ? 0 : fl_setup_error(s, "out of memory");
}

static int setup(struct fl_setup *s, void **inst)
{
	struct fl_disp *d = fl_setup_disp(s);
	struct erratic *e = fl_zalloc(fl_setup_arena(s), sizeof *e);
	bool drop = false;
	int ret = 0;
	if (!e)
		return fl_setup_error(s, "out of memory");
	e->drop = 2;
	while (!ret && fl_disp_next(d))
		while (!ret && fl_disp_next_block(d))
			ret = option(s, d, e, &drop);
	if ((e->delay || e->truncate) && !drop)
		e->drop = 0;
	*inst = e;
	return ret ? ret : count_find(s, e);
}

/* ---- answers ---- */

static int put(struct fl_query *q, struct fl_name owner, uint16_t type, const void *rdata, size_t n)
{
	const struct fl_rrset *set = fl_rrset_one(q->arena, type, 0, rdata, n);
	return set && fl_reply_add(q, FL_ANSWER, owner, set, false) ? 0 : -ENOMEM;
}

static int addresses(struct fl_query *q, unsigned n)
{
	static const uint8_t v4[4] = { 192, 0, 2, 53 }, v6[16] = { 0x20, 0x01, 0x0d, 0xb8, [15] = 0x53 };
	struct fl_rrset_maker m;
	if (q->qtype == FL_T_AAAA)
		return put(q, q->qname, FL_T_AAAA, v6, sizeof v6);
	fl_rrset_begin(&m, q->arena, FL_T_A, FL_C_IN, n * (size_t)14);
	while (n--)
		fl_rrset_put(&m, 0, v4, sizeof v4);
	const struct fl_rrset *set = fl_rrset_end(&m);
	return set && fl_reply_add(q, FL_ANSWER, q->qname, set, false) ? 0 : -ENOMEM;
}

static struct fl_name below(struct fl_query *q, const char *label)
{
	uint8_t *to = fl_alloc(q->arena, FL_NAME_MAX);
	return to ? fl_name_join(to, (struct fl_name){ (const uint8_t *)label, 3 }, q->qname) : (struct fl_name){ 0 };
}

/* A small zone; cut, it lacks its closing SOA. */
static int zone(struct fl_query *q, bool cut)
{
	static const uint8_t a6[16] = { 0x20, 0x01, 0x0b, 0xd8, [15] = 0x53 }, b6[16] = { 0x20, 0x01, 0x05, [15] = 0x54 };
	static const char names[] = "\3sns\3dns\5icann\3org\0\3noc\3dns\5icann\3org";
	static const uint32_t numbers[] = { 2018050825, 7200, 3600, 1209600, 3600 };
	uint8_t soa[sizeof names + sizeof numbers];
	struct fl_name a = below(q, "\1a"), b = below(q, "\1b");
	if (!a.len || !b.len)
		return -ENAMETOOLONG;
	memcpy(soa, names, sizeof names);
	for (unsigned i = 0; i < FL_COUNT(numbers); i++)
		fl_put32(soa + sizeof names + 4 * i, numbers[i]);
	int ret = put(q, q->qname, FL_T_SOA, soa, sizeof soa);
	ret = ret ? ret : put(q, q->qname, FL_T_NS, b.wire, b.len);
	ret = ret ? ret : put(q, q->qname, FL_T_NS, a.wire, a.len);
	ret = ret ? ret : put(q, a, FL_T_AAAA, a6, sizeof a6);
	ret = ret ? ret : put(q, b, FL_T_AAAA, b6, sizeof b6);
	return ret || cut ? ret : put(q, q->qname, FL_T_SOA, soa, sizeof soa);
}

static enum fl_verdict answer(const struct erratic *e, struct fl_query *q, bool cut)
{
	int ret;
	if (q->qtype == FL_T_A || q->qtype == FL_T_AAAA)
		ret = addresses(q, e->large ? 30 : 1);
	else if (q->qtype == FL_T_AXFR)
		ret = zone(q, cut);
	else
		return fl_fail(q, FL_SERVFAIL, NULL);
	if (ret)
		return ret == -ENOMEM ? fl_yield(q, ret) : fl_fail(q, FL_SERVFAIL, "the name leaves no room for a label");
	q->res.set |= FL_AA;
	if (cut && q->qtype != FL_T_AXFR)
		q->res.set |= FL_TC;
	return FL_DONE;
}

static uintptr_t fate(const struct erratic *e)
{
	uint64_t i = __atomic_fetch_add(e->asked, 1, __ATOMIC_RELAXED);
	uintptr_t f = COUNTED;
	f |= e->drop && i % e->drop == 0 ? DROP : 0;
	f |= e->delay && i % e->delay == 0 ? DELAY : 0;
	f |= e->truncate && (i & e->truncate) == 0 ? TRUNCATE : 0;      /* plugin/erratic/erratic.go: a mask, though it says amount */
	return f;
}

static enum fl_verdict query(void *inst, struct fl_query *q)
{
	const struct erratic *e = inst;
	uintptr_t f = (uintptr_t)*fl_slot(q);
	if (!f)
		f = fate(e);
	if (f & DELAY && !(f & DROP) && e->delay_ns > 0 && q->why != -ETIMEDOUT) {
		*fl_slot(q) = (void *)f;
		fl_wake_at(q, fl_now(q->shard) + (uint64_t)e->delay_ns);
		return FL_WAIT;
	}
	return f & DROP ? FL_DROP : answer(e, q, f & TRUNCATE);
}

/* Ready for two queries, so that probes see it come and go. */
static bool ready(void *inst)
{
	const struct erratic *e = inst;
	unsigned asked = __atomic_load_n(e->asked, __ATOMIC_RELAXED);
	return asked >= 3 && asked < 5;
}

/* For autopath: a list that leads nowhere else (plugin/erratic/autopath.go). */
static int search(void *inst, struct fl_query *q, bool guess, struct fl_search *to)
{
	static struct fl_name list[] = { { (const uint8_t *)"\1a\7example\3org", 15 }, { (const uint8_t *)"\1b\7example\3org", 15 } };
	(void)inst, (void)q, (void)guess;
	*to = (struct fl_search){ list, FL_COUNT(list) };
	return 0;
}

static const void *iface(void *inst, const char *what)
{
	static const struct fl_autopath_ops autopath = { search, false };
	(void)inst;
	return strcmp(what, "autopath") ? NULL : &autopath;
}

static const struct fl_opt opts[] = {
	{ "drop", "[AMOUNT]", "no answer to one in AMOUNT; default 2, and 0 beside delay or truncate" },
	{ "delay", "[AMOUNT [DURATION]]", "one in AMOUNT (2) after DURATION (100ms)" },
	{ "truncate", "[AMOUNT]", "some (2) with TC set, transfers without their end" },
	{ "large", "", "thirty records instead of one" },
	{ 0 }
};

FL_PLUGIN(erratic, .opts = opts, .setup = setup, .query = query, .ready = ready,
	  .iface = iface);

#include "plugin/cache/cache_int.h"
#include <errno.h>
#include <stdlib.h>

/* While the directive is read. */
struct reading {
	struct fl_setup *s;
	struct cache *c;
	struct fl_str *arg; unsigned n; /* of the option */
	bool stale, policy;
	const char *later; int later_at;
};

static void not_yet(struct reading *r, const char *option)
{
	if (r->later)
		return;
	r->later = option;
	r->later_at = fl_setup_disp(r->s)->at;
}

static int number(struct reading *r, struct fl_str text, int64_t *v)
{
	struct fl_err e;
	return fl_atoi(text, v, &e) ? fl_setup_error(r->s, "%s", e.msg) : 0;
}

static int duration(struct reading *r, struct fl_str text, const char *before, int64_t *ns)
{
	struct fl_err e;
	return fl_duration_parse(text, ns, &e) ? fl_setup_error(r->s, "%s%s", before, e.msg) : 0;
}

static uint32_t seconds(int64_t s) { return s > UINT32_MAX ? UINT32_MAX : (uint32_t)s; }

/* success and denial: CAPACITY [TTL] [MINTTL] */
static int class(struct reading *r, int which)
{
	int64_t ttl, min;
	if (!r->n)
		return fl_setup_arg_error(r->s);
	int ret = number(r, r->arg[0], &r->c->cap[which]);
	if (ret || r->n < 2)
		return ret;
	ret = number(r, r->arg[1], &ttl);
	if (ret)
		return ret;
	if (ttl <= 0)
		return fl_setup_error(r->s, "cache TTL can not be zero or negative: %lld", (long long)ttl);
	r->c->max_s[which] = seconds(ttl);
	if (r->n < 3)
		return 0;
	ret = number(r, r->arg[2], &min);
	if (ret)
		return ret;
	if (min < 0)
		return fl_setup_error(r->s, "cache min TTL can not be negative: %lld", (long long)min);
	r->c->min_s[which] = seconds(min);
	return 0;
}

static int o_success(struct reading *r) { return class(r, CACHE_SUCCESS); }
static int o_denial(struct reading *r) { return class(r, CACHE_DENIAL); }

static int o_prefetch(struct reading *r)
{
	int64_t v, ns;
	if (!r->n || r->n > 3)
		return fl_setup_arg_error(r->s);
	int ret = number(r, r->arg[0], &v);
	if (ret)
		return ret;
	if (v < 0)
		return fl_setup_error(r->s, "prefetch amount should be positive: %lld", (long long)v);
	if (v)
		not_yet(r, "prefetch");
	if (r->n > 1 && (ret = duration(r, r->arg[1], "", &ns)))
		return ret;
	if (r->n < 3)
		return 0;
	struct fl_str p = r->arg[2];
	char last = p.n ? p.p[p.n - 1] : 0;
	if (last != '%')
		return fl_setup_error(r->s, "last character of percentage should be `%%`, but is: '%c'", last);
	p.n--;
	ret = number(r, p, &v);
	if (!ret && (v < 10 || v > 90))
		ret = fl_setup_error(r->s, "percentage should fall in range [10, 90]: %lld", (long long)v);
	return ret;
}

/* ---- serve_stale: understood, not built yet ---- */

static int stale_ttl(struct reading *r, struct fl_str text)
{
	int64_t ns;
	int ret = duration(r, text, "invalid serve_stale response TTL: ", &ns);
	if (ret)
		return ret;
	if (ns < 0)
		return fl_setup_error(r->s, "invalid negative response TTL for serve_stale");
	if (ns % (int64_t)FL_SEC)
		return fl_setup_error(r->s, "serve_stale response TTL must be a whole number of seconds");
	if (ns / (int64_t)FL_SEC > UINT32_MAX)
		return fl_setup_error(r->s, "serve_stale response TTL exceeds the DNS TTL range");
	return 0;
}

static int stale_recheck(struct reading *r, struct fl_str text)
{
	int64_t ns;
	int ret = duration(r, text, "invalid serve_stale failure recheck: ", &ns);
	if (ret)
		return ret;
	if (ns < 0)
		return fl_setup_error(r->s, "invalid negative failure recheck for serve_stale");
	if (ns > 300 * (int64_t)FL_SEC)
		return fl_setup_error(r->s, "serve_stale failure recheck cannot exceed 5 minutes");
	return 0;
}

static int stale_mode(struct reading *r)
{
	char mode[64];
	struct fl_str m = r->arg[1];
	int64_t ns;
	size_t n = m.n < sizeof mode ? m.n : sizeof mode;
	for (size_t i = 0; i < n; i++)
		mode[i] = (char)fl_lower((uint8_t)m.p[i]);
	struct fl_str low = { mode, n };
	bool verify = fl_str_is(low, "verify");
	if (!verify && !fl_str_is(low, "immediate"))
		return fl_setup_error(r->s, "invalid value for serve_stale refresh mode: %.*s", FL_FMT(low));
	unsigned at = 2;
	int ret = 0;
	if (verify && r->n > at) {
		ret = duration(r, r->arg[at++], "invalid serve_stale verify timeout: ", &ns);
		if (!ret && ns < 0)
			ret = fl_setup_error(r->s, "invalid negative timeout for serve_stale verify");
	} else if (!verify && r->n > 4) {
		return fl_setup_arg_error(r->s);
	}
	if (!ret && r->n > at)
		ret = stale_ttl(r, r->arg[at++]);
	if (!ret && r->n > at)
		ret = stale_recheck(r, r->arg[at]);
	return ret;
}

static int o_serve_stale(struct reading *r)
{
	int64_t ns;
	r->stale = true;
	not_yet(r, "serve_stale");
	if (r->n > 5)
		return fl_setup_arg_error(r->s);
	int ret = r->n ? duration(r, r->arg[0], "", &ns) : 0;
	if (!ret && r->n && ns < 0)
		ret = fl_setup_error(r->s, "invalid negative duration for serve_stale");
	return !ret && r->n > 1 ? stale_mode(r) : ret;
}

static int o_serve_stale_policy(struct reading *r)
{
	if (r->policy)
		return fl_setup_error(r->s, "serve_stale_policy can only be specified once");
	r->policy = true;
	if (r->n != 1)
		return fl_setup_arg_error(r->s);
	if (!fl_str_ieq(r->arg[0], FL_STR("prefer_positive")))
		return fl_setup_error(r->s, "invalid serve_stale_policy: %.*s", FL_FMT(r->arg[0]));
	return 0;
}

/* ---- the rest ---- */

static int o_servfail(struct reading *r)
{
	if (r->n != 1)
		return fl_setup_arg_error(r->s);
	int ret = duration(r, r->arg[0], "", &r->c->fail_ns);
	if (ret)
		return ret;
	if (r->c->fail_ns < 0)
		return fl_setup_error(r->s, "invalid negative ttl for servfail");
	if (r->c->fail_ns > 300 * (int64_t)FL_SEC)
		return fl_setup_error(r->s, "caching SERVFAIL responses over 5 minutes is not permitted");
	return 0;
}

/* Names as they are: no ranges. What is no name is below no name. */
static struct fl_zones plain_zones(struct fl_arena *a, const struct fl_str *arg, unsigned n)
{
	struct fl_zones z = { fl_zalloc(a, (n + 1) * sizeof *z.name), fl_zalloc(a, (n + 1) * sizeof *z.text), 0 };
	for (unsigned i = 0; i < n; i++) {
		struct fl_name name = fl_name_parse_in(a, arg[i]);
		if (!name.len)
			continue;
		uint8_t low[FL_NAME_MAX];
		name.wire = fl_copy(a, fl_name_lower(low, name).wire, name.len);
		z.text[z.n] = arg[i];
		z.name[z.n++] = name;
	}
	return z;
}

static int o_disable(struct reading *r)
{
	static const struct fl_str root[] = { { ".", 1 } };
	if (!r->n)
		return fl_setup_arg_error(r->s);
	int which = fl_str_is(r->arg[0], "success") ? CACHE_SUCCESS : fl_str_is(r->arg[0], "denial") ? CACHE_DENIAL : -1;
	if (which < 0)
		return fl_setup_error(r->s, "cache type for disable must be \"success\" or \"denial\"");
	r->c->except[which] = plain_zones(fl_setup_arena(r->s), r->n > 1 ? r->arg + 1 : root, r->n > 1 ? r->n - 1 : 1);
	return 0;
}

static int o_keepttl(struct reading *r)
{
	if (r->n)
		return fl_setup_arg_error(r->s);
	r->c->keepttl = true;
	return 0;
}

static const struct { const char *name; int (*fn)(struct reading *r); } options[] = {
	{ "success", o_success }, { "denial", o_denial }, { "prefetch", o_prefetch }, { "serve_stale", o_serve_stale },
	{ "serve_stale_policy", o_serve_stale_policy }, { "servfail", o_servfail }, { "disable", o_disable },
	{ "keepttl", o_keepttl },
};

static int option(struct reading *r)
{
	struct fl_disp *d = fl_setup_disp(r->s);
	struct fl_str name = fl_disp_val(d);
	for (unsigned i = 0; i < FL_COUNT(options); i++)
		if (fl_str_is(name, options[i].name)) {
			r->n = fl_disp_args(d, &r->arg);
			return options[i].fn(r);
		}
	return fl_setup_arg_error(r->s);
}

/* cache [TTL] [ZONES...] */
static int line(struct reading *r)
{
	struct fl_arena *a = fl_setup_arena(r->s);
	struct cache *c = r->c;
	struct fl_str *arg;
	struct fl_err e;
	int64_t ttl;
	unsigned n = fl_disp_args(fl_setup_disp(r->s), &arg);
	if (n && !fl_atoi(arg[0], &ttl, &e)) {
		if (ttl <= 0)
			return fl_setup_error(r->s, "cache TTL can not be zero or negative: %lld", (long long)ttl);
		c->max_s[0] = c->max_s[1] = seconds(ttl);
		arg++, n--;
	}
	int ret = fl_setup_zones(r->s, arg, n, &c->zones);
	c->label = FL_STR("");
	for (unsigned i = 0; i < c->zones.n && !ret; i++) {
		c->label = fl_arena_printf(a, "%.*s%s%.*s", FL_FMT(c->label), i ? "," : "", FL_FMT(c->zones.text[i]));
		c->all |= c->zones.name[i].len == 1;
	}
	return ret;
}

/* ---- what is kept over a reload ---- */

static void store_destroy(void *obj)
{
	struct cache_store *st = obj;
	fl_cache_slab_destroy(st->slab[0]);
	fl_cache_slab_destroy(st->slab[1]);
	free(st);
}

static void *store_create(void *arg)
{
	const struct cache *c = arg;
	struct cache_store *st = fl_xalloc(sizeof *st);
	for (unsigned i = 0; i < 2; i++) {
		st->slab[i] = fl_cache_slab_create(c->cap[i]);
		if (!st->slab[i]) {
			store_destroy(st);
			return NULL;
		}
	}
	return st;
}

static void put(char *to, size_t *at, char before, struct fl_str s)
{
	if (to) {
		to[*at] = before;
		fl_put_bytes(to + *at + 1, s.p, s.n);
	}
	*at += s.n + 1;
}

/* Everything that the block says, for what is below decides what an entry means: written to `to` when that is there. Its length. */
static size_t block_text(const struct fl_disp *d, char *to)
{
	const struct fl_conf_block *b = NULL;
	size_t at = 0;
	for (unsigned i = 0; i < d->conf->nblock && !b; i++)
		for (unsigned k = 0; k < d->conf->block[i].ndir; k++)
			if (d->conf->block[i].dir[k].tok == d->tok)
				b = &d->conf->block[i];
	put(to, &at, ' ', FL_STR("cache"));
	for (unsigned i = 0; b && i < b->nkey; i++)
		put(to, &at, '\n', b->key[i].text);
	for (unsigned i = 0; b && i < b->ndir; i++)
		for (unsigned k = 0; k < b->dir[i].ntok; k++)
			put(to, &at, k ? '\t' : '\n', b->dir[i].tok[k].text);
	return at;
}

int fl_cache_setup(struct fl_setup *s, void **inst)
{
	struct fl_disp *d = fl_setup_disp(s);
	struct cache *c = fl_zalloc(fl_setup_arena(s), sizeof *c);
	struct reading r = { .s = s, .c = c };
	*c = (struct cache){ .cap = { 10000, 10000 }, .fail_ns = 5 * (int64_t)FL_SEC, .min_s = { 5, 5 }, .max_s = { 3600, 1800 } };
	int ret = fl_setup_once(s);
	fl_disp_next(d);
	if (!ret)
		ret = line(&r);
	while (!ret && fl_disp_next_block(d))
		ret = option(&r);
	if (ret)
		return ret;
	if (r.policy && !r.stale)
		return fl_setup_error(s, "serve_stale_policy requires serve_stale");
	if (r.later) {
		d->at = r.later_at;
		return fl_setup_later(s, r.later);
	}
	struct fl_str key = { NULL, block_text(d, NULL) };
	char *text = fl_xalloc(key.n);
	block_text(d, text);
	key.p = text;
	c->store = fl_setup_keep(s, key, store_create, store_destroy, c);
	free(text);
	if (!c->store)
		return fl_setup_error(s, "no memory for %lld and %lld entries", (long long)c->cap[0], (long long)c->cap[1]);
	*inst = c;
	return 0;
}

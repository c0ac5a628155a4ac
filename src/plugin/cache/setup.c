#include "plugin/cache/cache_int.h"
#include "plugin/cache/persist.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

int fl_cache_number(struct cache_reading *r, struct fl_str text, int64_t *v)
{
	struct fl_err e;
	return fl_atoi(text, v, &e) ? fl_setup_error(r->s, "%s", e.msg) : 0;
}

int fl_cache_duration(struct cache_reading *r, struct fl_str text, const char *before, int64_t *ns)
{
	struct fl_err e;
	return fl_duration_parse(text, ns, &e) ? fl_setup_error(r->s, "%s%s", before, e.msg) : 0;
}

static uint32_t seconds(int64_t s) { return s > UINT32_MAX ? UINT32_MAX : (uint32_t)s; }

/* success and denial: CAPACITY [TTL] [MINTTL] */
static int class(struct cache_reading *r, int which)
{
	int64_t ttl, min;
	if (!r->n)
		return fl_setup_arg_error(r->s);
	int ret = fl_cache_number(r, r->arg[0], &r->c->cap[which]);
	r->c->capped[which] = true;
	if (ret || r->n < 2)
		return ret;
	ret = fl_cache_number(r, r->arg[1], &ttl);
	if (ret)
		return ret;
	if (ttl <= 0)
		return fl_setup_error(r->s, "cache TTL can not be zero or negative: %lld", (long long)ttl);
	r->c->max_s[which] = seconds(ttl);
	if (r->n < 3)
		return 0;
	ret = fl_cache_number(r, r->arg[2], &min);
	if (ret)
		return ret;
	if (min < 0)
		return fl_setup_error(r->s, "cache min TTL can not be negative: %lld", (long long)min);
	r->c->min_s[which] = seconds(min);
	return 0;
}

static int o_success(struct cache_reading *r) { return class(r, CACHE_SUCCESS); }
static int o_denial(struct cache_reading *r) { return class(r, CACHE_DENIAL); }

static int o_servfail(struct cache_reading *r)
{
	if (r->n != 1)
		return fl_setup_arg_error(r->s);
	int ret = fl_cache_duration(r, r->arg[0], "", &r->c->fail_ns);
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

static int o_disable(struct cache_reading *r)
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

static int o_keepttl(struct cache_reading *r)
{
	if (r->n)
		return fl_setup_arg_error(r->s);
	r->c->keepttl = true;
	return 0;
}

static const struct { const char *name; int (*fn)(struct cache_reading *r); } options[] = {
	{ "success", o_success }, { "denial", o_denial }, { "prefetch", fl_cache_o_prefetch },
	{ "serve_stale", fl_cache_o_serve_stale }, { "serve_stale_policy", fl_cache_o_serve_stale_policy }, { "servfail", o_servfail }, { "disable", o_disable },
	{ "keepttl", o_keepttl }, { "max_bytes", fl_cache_o_max_bytes }, { "persist", fl_cache_o_persist },
};

static int option(struct cache_reading *r)
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
static int line(struct cache_reading *r)
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

struct making { const struct cache *c; struct fl_str text; bool dry; struct fl_err e; };

static void store_destroy(void *obj)
{
	struct cache_store *st = obj;
	fl_cache_persist_destroy(st->persist);
	fl_cache_slab_destroy(st->slab);
	free(st);
}

static void *store_create(void *arg)
{
	struct making *m = arg;
	const struct cache *c = m->c;
	struct cache_slab_how how = { .cap = { c->cap[0], c->cap[1] }, .bytes = c->max_bytes, .noted = c->prefetch || c->stale_ns,
				      .stale_ns = (uint64_t)c->stale_ns };
	for (unsigned i = 0; i < 2 && c->max_bytes; i++)
		if (!c->capped[i])
			how.cap[i] = (int64_t)(c->max_bytes / 64);
	struct cache_store *st = fl_xalloc(sizeof *st);
	st->slab = fl_cache_slab_create(&how);
	if (!st->slab)
		snprintf(m->e.msg, sizeof m->e.msg, "no memory for %lld and %lld entries", (long long)how.cap[0], (long long)how.cap[1]);
	else if (c->persist && !m->dry)
		st->persist = fl_cache_persist_create(c->persist, m->text, st->slab, (uint64_t)c->stale_ns, &m->e);
	if (!m->e.msg[0])
		return st;
	store_destroy(st);
	return NULL;
}

static void put(char *to, size_t *at, char before, struct fl_str s)
{
	if (to) {
		to[*at] = before;
		fl_put_bytes(to + *at + 1, s.p, s.n);
	}
	*at += s.n + 1;
}

static const struct fl_conf_block *block_of(const struct fl_disp *d)
{
	for (unsigned i = 0; i < d->conf->nblock; i++)
		for (unsigned k = 0; k < d->conf->block[i].ndir; k++)
			if (d->conf->block[i].dir[k].tok == d->tok)
				return &d->conf->block[i];
	return NULL;
}

/* Everything that the block says, for what is below decides what an entry means: written to `to` when that is there. Its length. */
static size_t block_text(const struct fl_disp *d, char *to)
{
	const struct fl_conf_block *b = block_of(d);
	size_t at = 0;
	put(to, &at, ' ', FL_STR("cache"));
	for (unsigned i = 0; b && i < b->nkey; i++)
		put(to, &at, '\n', b->key[i].text);
	for (unsigned i = 0; b && i < b->ndir; i++)
		for (unsigned k = 0; k < b->dir[i].ntok; k++)
			put(to, &at, k ? '\t' : '\n', b->dir[i].tok[k].text);
	return at;
}

static int keep_store(struct fl_setup *s, struct cache *c)
{
	const struct fl_disp *d = fl_setup_disp(s);
	struct making m = { .c = c, .text = { NULL, block_text(d, NULL) }, .dry = fl_setup_process(s)->dry };
	char *text = fl_xalloc(m.text.n);
	block_text(d, text);
	m.text.p = text;
	c->store = fl_setup_keep(s, m.text, store_create, store_destroy, &m);
	free(text);
	return c->store ? 0 : fl_setup_error(s, "%s", m.e.msg);
}

/* ---- on the main thread, now and then ---- */

/* A look at so many cells of each of 16 shelves: a hundred thousand of them in five minutes. */
enum { SWEEP_S = 10, SWEEP_CELLS = 4096 };

static void sweep(void *inst)
{
	const struct cache *c = inst;
	fl_cache_slab_sweep(c->store->slab, fl_clock_ns(), SWEEP_CELLS);
}

static void save(void *inst)
{
	const struct cache *c = inst;
	fl_cache_persist_tick(c->store->persist);
}

/* Two blocks that write the same file would each lose what the other wrote. */
static bool file_taken(const struct fl_disp *d, struct fl_str path)
{
	const struct fl_conf_block *own = block_of(d);
	for (unsigned i = 0; i < d->conf->nblock; i++)
		for (unsigned k = 0; k < d->conf->block[i].ndir; k++) {
			const struct fl_directive *dir = &d->conf->block[i].dir[k];
			if (&d->conf->block[i] == own || !fl_str_is(dir->name, "cache"))
				continue;
			for (unsigned t = 0; t + 1 < dir->ntok; t++)
				if (fl_str_is(dir->tok[t].text, "persist") && dir->tok[t + 1].line == dir->tok[t].line &&
				    fl_str_eq(dir->tok[t + 1].text, path))
					return true;
		}
	return false;
}

int fl_cache_setup(struct fl_setup *s, void **inst)
{
	struct fl_disp *d = fl_setup_disp(s);
	struct cache *c = fl_zalloc(fl_setup_arena(s), sizeof *c);
	struct cache_reading r = { .s = s, .c = c };
	*c = (struct cache){ .cap = { 10000, 10000 }, .fail_ns = 5 * (int64_t)FL_SEC, .min_s = { 5, 5 }, .max_s = { 3600, 1800 },
			     .apart_ns = 60 * (int64_t)FL_SEC, .percent = 10, .persist_ns = 300 * (int64_t)FL_SEC };
	int ret = fl_setup_once(s);
	fl_disp_next(d);
	if (!ret)
		ret = line(&r);
	while (!ret && fl_disp_next_block(d))
		ret = option(&r);
	if (!ret && r.policy && !r.stale)
		ret = fl_setup_error(s, "serve_stale_policy requires serve_stale");
	if (!ret && c->persist && file_taken(d, r.file))
		ret = fl_setup_error(s, "persist %s: another server block has the same file", c->persist);
	if (!ret)
		ret = keep_store(s, c);
	if (!ret)
		ret = fl_setup_every(s, SWEEP_S * FL_SEC, sweep);
	if (!ret && c->store->persist)
		ret = fl_setup_every(s, (uint64_t)c->persist_ns, save);
	*inst = c;
	return ret;
}

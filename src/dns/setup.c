#include "dns/gen.h"
#include "dns/server_int.h"
#include "net/watch.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- the directive ---- */

struct fl_disp *fl_setup_disp(struct fl_setup *s) { return &s->disp; }
struct fl_arena *fl_setup_arena(struct fl_setup *s) { return &s->gen->arena; }
const struct fl_zones *fl_setup_block_zones(struct fl_setup *s) { return &s->block->zones; }
struct fl_block_conf *fl_setup_block(struct fl_setup *s) { return &s->block->say; }
const struct fl_process *fl_setup_process(struct fl_setup *s) { return &s->gen->server->process; }
struct fl_loop *fl_setup_loop(struct fl_setup *s) { return s->gen->server->loop; }

static void zones_add(struct fl_arena *a, struct fl_zones *z, struct fl_str text)
{
	struct fl_name n = fl_name_parse_in(a, text);
	if (n.len) {
		z->name[z->n] = n;
		z->text[z->n++] = text;
	}
}

int fl_setup_zones(struct fl_setup *s, const struct fl_str *arg, unsigned n, struct fl_zones *out)
{
	struct fl_arena *a = &s->gen->arena;
	unsigned total = 0;
	*out = (struct fl_zones){ 0 };
	if (!n) {
		*out = s->block->zones;
		return 0;
	}
	for (unsigned i = 0; i < n; i++) {
		struct fl_str *list;
		total += fl_zone_parse(a, arg[i], &list);
	}
	out->name = fl_zalloc(a, (total + 1) * sizeof *out->name);
	out->text = fl_zalloc(a, (total + 1) * sizeof *out->text);
	if (!out->name || !out->text)
		return -ENOMEM;
	for (unsigned i = 0; i < n; i++) {
		struct fl_str *list;
		unsigned k = fl_zone_parse(a, arg[i], &list);
		for (unsigned j = 0; j < k; j++)
			zones_add(a, out, list[j]);
	}
	return 0;
}

int fl_setup_fall(struct fl_setup *s, const struct fl_str *arg, unsigned n, struct fl_fall *out)
{
	*out = (struct fl_fall){ .on = true, .all = n == 0 };
	return n ? fl_setup_zones(s, arg, n, &out->zones) : 0;
}

const char *fl_setup_path(struct fl_setup *s, struct fl_str path)
{
	const char *root = s->block->say.root;
	if (root && path.n && path.p[0] != '/')
		return fl_arena_printf(&s->gen->arena, "%s/%.*s", root, FL_FMT(path)).p;
	return fl_arena_str(&s->gen->arena, path).p;
}

/* ---- errors ---- */

int fl_setup_error(struct fl_setup *s, const char *fmt, ...)
{
	char text[480];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	return fl_err_set(s->out, "plugin/%s: %s", s->inst->p->name, text);
}

/* What the dispenser left in s->err, behind the plugin's name. */
static int prefixed(struct fl_setup *s) { return fl_setup_error(s, "%s", s->err.msg); }

int fl_setup_parse_error(struct fl_setup *s, const char *fmt, ...)
{
	char text[400];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	fl_disp_err(&s->disp, "%s", text);
	return prefixed(s);
}

int fl_setup_arg_error(struct fl_setup *s)
{
	fl_disp_arg_err(&s->disp);
	return prefixed(s);
}

int fl_setup_syntax_error(struct fl_setup *s, const char *expected)
{
	fl_disp_syntax_err(&s->disp, expected);
	return prefixed(s);
}

int fl_setup_later(struct fl_setup *s, const char *option)
{
	return fl_setup_parse_error(s, "'%s' is known, but this version of fairlead does not support it yet", option);
}

int fl_setup_once(struct fl_setup *s)
{
	struct fl_disp d = s->disp;
	unsigned n = 0;
	int depth = 0;
	for (int i = 0; i < d.n; i++) {
		struct fl_str t = d.tok[i].text;
		bool line_start = !i || d.tok[i].line != d.tok[i - 1].line || !fl_str_eq(d.tok[i].file, d.tok[i - 1].file);
		if (!depth && line_start && fl_str_is(t, s->inst->p->name))
			n++;
		depth += fl_str_is(t, "{") ? 1 : fl_str_is(t, "}") ? -1 : 0;
	}
	return n > 1 ? fl_setup_error(s, "this plugin can only be used once per Server Block") : 0;
}

static int limit(struct fl_setup *s, struct fl_said *to, uint32_t least, uint32_t most)
{
	struct fl_str *arg, name = fl_disp_val(&s->disp);
	struct fl_err e;
	int64_t n;
	if (fl_disp_args(&s->disp, &arg) != 1)
		return fl_setup_arg_error(s);
	if (fl_atoi(arg[0], &n, &e))
		return fl_setup_parse_error(s, "invalid %.*s value '%.*s': %s", FL_FMT(name), FL_FMT(arg[0]), e.msg);
	if (n < least)
		return fl_setup_parse_error(s, "%.*s must be a %s integer: %lld", FL_FMT(name), least ? "positive" : "non-negative", (long long)n);
	if (most && n > most)
		return fl_setup_parse_error(s, "%.*s must not exceed %u: %lld", FL_FMT(name), most, (long long)n);
	if (to->said)
		return fl_setup_parse_error(s, "%.*s already defined for this server block", FL_FMT(name));
	*to = (struct fl_said){ true, n > UINT32_MAX ? UINT32_MAX : (uint32_t)n };
	return 0;
}

int fl_setup_limits(struct fl_setup *s, const struct fl_limit *l, unsigned n)
{
	struct fl_disp *d = &s->disp;
	struct fl_str *arg;
	int ret = 0;
	fl_disp_next(d);
	if (fl_disp_args(d, &arg))
		return fl_setup_arg_error(s);
	while (!ret && fl_disp_next_block(d)) {
		unsigned i = 0;
		while (i < n && !fl_str_is(fl_disp_val(d), l[i].name))
			i++;
		ret = i < n ? limit(s, l[i].to, l[i].least, l[i].most)
			    : fl_setup_parse_error(s, "unknown property '%.*s'", FL_FMT(fl_disp_val(d)));
	}
	return ret;
}

/* ---- others ---- */

const void *fl_setup_find(struct fl_setup *s, const char *plugin, const char *iface, void **inst)
{
	for (unsigned i = 0; i < s->block->ninst; i++) {
		struct fl_inst *in = &s->block->inst[i];
		if (strcmp(in->p->name, plugin) || !in->p->iface)
			continue;
		const void *table = in->p->iface(in->inst, iface);
		if (table && inst)
			*inst = in->inst;
		return table;
	}
	return NULL;
}

void fl_setup_each(struct fl_setup *s, void (*fn)(void *arg, const struct fl_plugin *p, void *inst), void *arg)
{
	for (unsigned i = 0; i < s->block->ninst; i++)
		fn(arg, s->block->inst[i].p, s->block->inst[i].inst);
}

/* ---- what outlives a reload ---- */

struct fl_kept { struct fl_kept *next; struct fl_str key; void *obj; void (*destroy)(void *); unsigned refs; };
struct fl_kept_ref { struct fl_kept *kept; struct fl_kept_ref *next; };
static struct fl_kept *all_kept;

static struct fl_kept *kept_find(struct fl_str key)
{
	for (struct fl_kept *k = all_kept; k; k = k->next)
		if (fl_str_eq(k->key, key))
			return k;
	return NULL;
}

void *fl_setup_keep(struct fl_setup *s, struct fl_str key, void *(*create)(void *arg), void (*destroy)(void *obj), void *arg)
{
	struct fl_kept *k = kept_find(key);
	if (!k && create) {
		void *obj = create(arg);
		if (!obj)
			return NULL;
		k = fl_xalloc(sizeof *k);
		*k = (struct fl_kept){ all_kept, { fl_xstrndup(key.p, key.n), key.n }, obj, destroy, 0 };
		all_kept = k;
	}
	if (!k)
		return NULL;
	for (struct fl_kept_ref *r = s->gen->kept; r; r = r->next)
		if (r->kept == k)
			return k->obj;
	struct fl_kept_ref *r = fl_xalloc(sizeof *r);
	*r = (struct fl_kept_ref){ k, s->gen->kept };
	s->gen->kept = r;
	k->refs++;
	return k->obj;
}

static void kept_put(struct fl_kept *k)
{
	if (--k->refs)
		return;
	for (struct fl_kept **p = &all_kept; *p; p = &(*p)->next)
		if (*p == k) {
			*p = k->next;
			break;
		}
	if (k->destroy)
		k->destroy(k->obj);
	free((char *)k->key.p);
	free(k);
}

void fl_kept_release(struct fl_gen *g)
{
	while (g->kept) {               /* last made first: an index goes before the store that it reads */
		struct fl_kept_ref *r = g->kept;
		g->kept = r->next;
		kept_put(r->kept);
		free(r);
	}
}

const bool *fl_setup_serving(struct fl_setup *s) { return &s->gen->serving; }

int fl_setup_everywhere(struct fl_setup *s, const struct fl_plugin *p, void *inst, const char *before)
{
	for (struct fl_everywhere *w = s->gen->everywhere; w; w = w->next)
		if (w->p == p)
			return 0;
	struct fl_everywhere *w = fl_zalloc(&s->gen->arena, sizeof *w);
	if (!w)
		return -ENOMEM;
	*w = (struct fl_everywhere){ p, inst, before, s->gen->everywhere };
	s->gen->everywhere = w;
	s->gen->neverywhere++;
	return 0;
}

/* ---- timers, watches, waits ---- */

int fl_setup_every(struct fl_setup *s, uint64_t ns, void (*fn)(void *inst))
{
	struct fl_every *e = fl_zalloc(&s->gen->arena, sizeof *e);
	if (!e)
		return -ENOMEM;
	*e = (struct fl_every){ .gen = s->gen, .ns = ns, .fn = fn, .inst = &s->inst->inst, .next = s->gen->every };
	s->gen->every = e;
	return 0;
}

int fl_setup_watch(struct fl_setup *s, const char *path, void (*changed)(void *inst))
{
	struct fl_watching *w = fl_zalloc(&s->gen->arena, sizeof *w);
	if (!w)
		return -ENOMEM;
	*w = (struct fl_watching){ .fn = changed, .inst = &s->inst->inst, .next = s->gen->watching };
	w->path = fl_arena_str(&s->gen->arena, fl_str(path));
	if (!w->path.p)
		return -ENOMEM;
	s->gen->watching = w;
	return 0;
}

int fl_setup_serves(struct fl_setup *s, void (*fn)(void *inst))
{
	struct fl_serves *v = fl_zalloc(&s->gen->arena, sizeof *v);
	if (!v)
		return -ENOMEM;
	*v = (struct fl_serves){ fn, &s->inst->inst, s->gen->serves };
	s->gen->serves = v;
	return 0;
}

int fl_setup_wait(struct fl_setup *s, uint64_t ns, bool (*done)(void *inst), void (*given_up)(void *inst))
{
	struct fl_wait *w = fl_zalloc(&s->gen->arena, sizeof *w);
	if (!w)
		return -ENOMEM;
	*w = (struct fl_wait){ ns, done, given_up, &s->inst->inst, false, s->gen->wait };
	s->gen->wait = w;
	return 0;
}

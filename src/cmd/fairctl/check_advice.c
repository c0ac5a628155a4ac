/* Advice on a Corefile that is right but may not be what one wants: a table of rules, each looks at one block. */
#include "cmd/fairctl/checking.h"

#define SAY(...) fl_arena_printf(l->a, __VA_ARGS__)

struct looking { struct fl_arena *a; const struct ck_conf *c; const struct ck_block *b; struct ck_list *to; };

static void add(struct looking *l, int line, const char *rule, struct fl_str words, struct fl_str fix)
{
	if (l->to->n < CK_ADVICE)
		l->to->at[l->to->n++] = (struct ck_advice){ line, rule, words, fix };
}

static const struct ck_directive *find(const struct ck_block *b, const char *name, const struct ck_directive *after)
{
	for (unsigned i = after ? (unsigned)(after - b->dir) + 1 : 0; i < b->ndir; i++)
		if (fl_str_is(b->dir[i].name, name))
			return &b->dir[i];
	return NULL;
}

static bool anywhere(const struct looking *l, const char *name)
{
	for (unsigned i = 0; i < l->c->nblock; i++)
		if (find(&l->c->block[i], name, NULL))
			return true;
	return false;
}

static bool plain(const struct ck_block *b)
{
	for (unsigned i = 0; i < b->keys.n; i++)
		if (fl_str_starts(b->keys.at[i], FL_STR("dns://")))
			return true;
	return false;
}

static void no_errors(struct looking *l)
{
	if (plain(l->b) && !find(l->b, "errors", NULL))
		add(l, l->b->line, "errors", SAY("no `errors` in this block: failures leave no trace in the log"), SAY("add `errors`"));
}

/* Once in the file is enough for these. */
static void no_probes(struct looking *l)
{
	if (l->b != l->c->block)
		return;
	if (!anywhere(l, "health"))
		add(l, l->b->line, "health", SAY("no `health`: a liveness probe has nothing to ask"), SAY("add `health`, in one block"));
	if (!anywhere(l, "ready"))
		add(l, l->b->line, "ready", SAY("no `ready`: a readiness probe has nothing to ask, and pods get questions before the cluster is known"),
		    SAY("add `ready`, in the block that has kubernetes"));
}

static bool is_file(struct fl_str s) { return s.n && *s.p == '/'; }

static void no_loop(struct looking *l)
{
	for (const struct ck_directive *d = NULL; (d = find(l->b, "forward", d));)
		for (unsigned i = 1; i < d->args.n; i++)
			if (is_file(d->args.at[i]) && !find(l->b, "loop", NULL)) {
				add(l, d->line, "loop", SAY("forward reads %.*s, and no `loop` looks whether that leads back to this server", FL_FMT(d->args.at[i])),
				    SAY("add `loop`"));
				return;
			}
}

static void no_cache(struct looking *l)
{
	const struct ck_directive *d = find(l->b, "forward", NULL);
	if (d && !find(l->b, "cache", NULL))
		add(l, d->line, "cache", SAY("forward without `cache`: each question goes to the upstreams"), SAY("add `cache 30`"));
}

static bool reverse(struct fl_str zone) { return fl_str_ends(zone, FL_STR(".arpa.")); }

static void leaks(struct looking *l)
{
	const struct ck_directive *d = find(l->b, "kubernetes", NULL);
	if (!d)
		return;
	bool v4 = false, v6 = false, outward = false, through = false;
	for (unsigned i = 0; i < d->args.n + (d->args.n ? 0 : l->b->zones.n); i++) {
		struct fl_str *zone, *arg = d->args.n ? &d->args.at[i] : &l->b->zones.at[i];
		unsigned n = fl_zone_parse(l->a, *arg, &zone);
		for (unsigned k = 0; k < n; k++) {
			v4 |= reverse(zone[k]) && !fl_str_ends(zone[k], FL_STR("ip6.arpa."));
			v6 |= fl_str_ends(zone[k], FL_STR("ip6.arpa."));
		}
	}
	for (unsigned i = 0; i < d->lines.n; i++) {
		struct fl_str rest;
		through |= fl_str_is(ck_word(d->lines.at[i], &rest), "fallthrough");
		outward |= fl_str_is(ck_word(d->lines.at[i], &rest), "peer");
	}
	if (!v4 && !v6 && !outward && anywhere(l, "forward"))
		add(l, d->line, "reverse-leak", SAY("kubernetes serves no reverse zone: questions for addresses of the cluster go to the upstreams"),
		    SAY("add in-addr.arpa and ip6.arpa behind its zones, with `fallthrough in-addr.arpa ip6.arpa`"));
	if ((v4 || v6) && !through && find(l->b, "forward", NULL))
		add(l, d->line, "reverse-fallthrough", SAY("kubernetes serves reverse zones without `fallthrough`: addresses outside the cluster have no name any more"),
		    SAY("add `fallthrough in-addr.arpa ip6.arpa`"));
}

static struct fl_str zone_of(struct looking *l, const struct ck_directive *d)
{
	struct fl_str *zone;
	return d->args.n && fl_zone_parse(l->a, d->args.at[0], &zone) ? zone[0] : FL_STR("");
}

static bool under(struct fl_str name, struct fl_str zone)
{
	return fl_str_is(zone, ".") || (fl_str_ends(name, zone) && (name.n == zone.n || name.p[name.n - zone.n - 1] == '.'));
}

/* The first forward of a block that has the name takes it. */
static void two_forwards(struct looking *l)
{
	for (const struct ck_directive *d = NULL; (d = find(l->b, "forward", d));)
		for (const struct ck_directive *e = d; (e = find(l->b, "forward", e));) {
			struct fl_str first = zone_of(l, d), second = zone_of(l, e);
			if (second.n && first.n && under(second, first))
				add(l, e->line, "two-forwards",
				    SAY("this forward of %.*s is never asked: that of %.*s in line %d comes first and takes its names", FL_FMT(second), FL_FMT(first), d->line),
				    fl_str_eq(first, second) ? SAY("put all upstreams into one forward") : SAY("put it first, or into a server block %.*s", FL_FMT(second)));
		}
}

static void stubs(struct looking *l)
{
	for (const struct ck_directive *d = NULL; (d = find(l->b, "forward", d));) {
		struct fl_str zone = zone_of(l, d);
		bool whole = false;
		for (unsigned i = 0; i < l->b->zones.n; i++)
			whole |= fl_str_eq(zone, l->b->zones.at[i]) || fl_str_is(zone, ".");
		if (zone.n && !whole)
			add(l, d->line, "stub-zone", SAY("forward of %.*s shares cache, metrics and the other plugins of this block", FL_FMT(zone)),
			    SAY("give the stub zone a server block of its own: %.*s { errors cache 30 forward . … }", FL_FMT(zone)));
	}
}

/* A block below the cluster's zone takes names away from kubernetes. */
static void shadows(struct looking *l)
{
	const struct ck_directive *d = find(l->b, "kubernetes", NULL);
	for (unsigned i = 0; d && i < l->c->nblock; i++) {
		const struct ck_block *o = &l->c->block[i];
		for (unsigned k = 0; o != l->b && k < o->zones.n; k++)
			for (unsigned z = 0; z < d->args.n; z++) {
				struct fl_str *zone;
				if (fl_zone_parse(l->a, d->args.at[z], &zone) && !reverse(zone[0]) && under(o->zones.at[k], zone[0]) && !find(o, "kubernetes", NULL))
					add(l, o->line, "shadows-kubernetes",
					    SAY("the block %.*s takes names of kubernetes' zone %.*s, and has no kubernetes", FL_FMT(o->zones.at[k]), FL_FMT(zone[0])),
					    SAY("make its zone narrower, or take it out"));
			}
	}
}

static void (*const rules[])(struct looking *l) = { no_errors, no_probes, no_loop, no_cache, leaks, two_forwards, stubs, shadows };

void ck_advise(struct fl_arena *a, const struct ck_conf *c, struct ck_list *to)
{
	struct looking l = { a, c, NULL, to };
	to->n = 0;
	for (unsigned i = 0; i < c->nblock; i++)
		for (unsigned k = 0; k < FL_COUNT(rules); k++) {
			l.b = &c->block[i];
			rules[k](&l);
		}
}

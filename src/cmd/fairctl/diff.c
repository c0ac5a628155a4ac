/* diff: what changes between two Corefiles, for which names. */
#include "cmd/fairctl/checking.h"
#include "cmd/fairctl/commands.h"
#include <stdio.h>

struct change { const char *what; struct fl_str names, words; };
enum { CHANGES = 1024 };
static struct { struct change at[CHANGES]; unsigned n, more; struct fl_arena a; struct fl_conf *conf[2]; } all = { .a.limit = 512 << 20 };

#define SAY(...) fl_arena_printf(&all.a, __VA_ARGS__)

static void add(const char *what, struct fl_str names, struct fl_str words)
{
	if (all.n < CHANGES)
		all.at[all.n++] = (struct change){ what, names, words };
	else
		all.more++;
}

static bool has(const struct fl_words *w, struct fl_str s)
{
	for (unsigned i = 0; i < w->n; i++)
		if (fl_str_eq(w->at[i], s))
			return true;
	return false;
}

static const struct ck_block *block_with(const struct ck_conf *c, struct fl_str key)
{
	for (unsigned i = 0; i < c->nblock; i++)
		if (has(&c->block[i].keys, key))
			return &c->block[i];
	return NULL;
}

static bool under(struct fl_str name, struct fl_str zone)
{
	return fl_str_is(zone, ".") || (fl_str_ends(name, zone) && (name.n == zone.n || name.p[name.n - zone.n - 1] == '.'));
}

/* "dns://ZONE:PORT" → its zone, and what stands around it. */
static struct fl_str zone_of(struct fl_str key)
{
	const char *at = memmem(key.p, key.n, "://", 3);
	struct fl_str rest = at ? (struct fl_str){ at + 3, key.n - (size_t)(at + 3 - key.p) } : key;
	while (rest.n && rest.p[rest.n - 1] != ':')
		rest.n--;
	return (struct fl_str){ rest.p, rest.n - (rest.n > 0) };
}

/* Who takes the names of a key when its own block is not there. */
static struct fl_str heir(const struct ck_conf *c, struct fl_str key)
{
	struct fl_str zone = zone_of(key), best = { 0 };
	for (unsigned i = 0; i < c->nblock; i++)
		for (unsigned k = 0; k < c->block[i].keys.n; k++) {
			struct fl_str other = c->block[i].keys.at[k], z = zone_of(other);
			bool same_way = fl_str_eq((struct fl_str){ key.p, (size_t)(zone.p - key.p) }, (struct fl_str){ other.p, (size_t)(z.p - other.p) }) &&
					fl_str_is(fl_str(zone.p + zone.n), z.p + z.n);
			if (same_way && z.n != zone.n && under(zone, z) && (!best.p || z.n > best.n))
				best = z;
		}
	return best;
}

static void zones(const struct ck_conf *from, const struct ck_conf *to, bool gone)
{
	for (unsigned i = 0; i < from->nblock; i++)
		for (unsigned k = 0; k < from->block[i].keys.n; k++) {
			struct fl_str key = from->block[i].keys.at[k], next = heir(to, key);
			if (block_with(to, key))
				continue;
			struct fl_str fate = next.p ? SAY("the block %.*s", FL_FMT(next)) : SAY("nobody: they %s refused", gone ? "are" : "were");
			add(gone ? "zone removed" : "zone added", zone_of(key),
			    SAY("%.*s %s; its names %s answered by %.*s", FL_FMT(key), gone ? "is not served by a block of its own any more" : "has a block of its own now",
				gone ? "are now" : "were", FL_FMT(fate)));
		}
}

/* ---- within a block ---- */

static struct fl_str text_of(const struct ck_directive *d)
{
	struct fl_str args = fl_words_join(&all.a, &d->args, " ");
	return SAY("%.*s%s%.*s", FL_FMT(d->name), args.n ? " " : "", FL_FMT(args));
}

/* The same directive of another block: the one with the same arguments, else the next of the name that has no twin. */
static const struct ck_directive *twin(const struct ck_block *b, const struct ck_directive *d, const struct ck_block *of)
{
	unsigned nth = 0, seen = 0;
	for (unsigned i = 0; i < b->ndir; i++)
		if (fl_str_eq(text_of(&b->dir[i]), text_of(d)))
			return &b->dir[i];
	for (const struct ck_directive *x = of->dir; x < d; x++)
		nth += fl_str_eq(x->name, d->name);
	for (unsigned i = 0; i < b->ndir; i++)
		if (fl_str_eq(b->dir[i].name, d->name) && seen++ == nth)
			return &b->dir[i];
	return NULL;
}

static void options(struct fl_str names, const struct ck_directive *a, const struct ck_directive *b)
{
	if (!fl_str_eq(text_of(a), text_of(b)))
		add("plugin changed", names, SAY("%.*s → %.*s: %s", FL_FMT(text_of(a)), FL_FMT(text_of(b)), ck_effect(a->name)));
	for (unsigned i = 0; i < a->lines.n; i++) {
		struct fl_str rest, word = ck_word(a->lines.at[i], &rest), now = FL_STR("");
		if (has(&b->lines, a->lines.at[i]))
			continue;
		for (unsigned k = 0; k < b->lines.n; k++)
			if (fl_str_eq(ck_word(b->lines.at[k], &rest), word) && !has(&a->lines, b->lines.at[k]) && !now.n)
				now = b->lines.at[k];
		add(now.n ? "option changed" : "option removed", names,
		    SAY("%.*s: %.*s%s%.*s: %s", FL_FMT(a->name), FL_FMT(a->lines.at[i]), now.n ? " → " : "", FL_FMT(now), ck_effect(a->name)));
	}
	for (unsigned k = 0; k < b->lines.n; k++) {
		struct fl_str rest, word = ck_word(b->lines.at[k], &rest);
		bool told = has(&a->lines, b->lines.at[k]);
		for (unsigned i = 0; i < a->lines.n; i++)
			told |= fl_str_eq(ck_word(a->lines.at[i], &rest), word) && !has(&b->lines, a->lines.at[i]);
		if (!told)
			add("option added", names, SAY("%.*s: %.*s: %s", FL_FMT(b->name), FL_FMT(b->lines.at[k]), ck_effect(b->name)));
	}
}

static void blocks(const struct ck_block *a, const struct ck_block *b)
{
	struct fl_words common = { 0 };
	for (unsigned i = 0; i < a->keys.n; i++)
		if (has(&b->keys, a->keys.at[i]))
			fl_words_add(&all.a, &common, zone_of(a->keys.at[i]));
	struct fl_str names = fl_words_join(&all.a, &common, " ");
	for (unsigned i = 0; i < a->ndir; i++) {
		const struct ck_directive *t = twin(b, &a->dir[i], a);
		if (t)
			options(names, &a->dir[i], t);
		else
			add("plugin removed", names, SAY("%.*s: %s", FL_FMT(text_of(&a->dir[i])), ck_effect(a->dir[i].name)));
	}
	for (unsigned i = 0; i < b->ndir; i++)
		if (!twin(a, &b->dir[i], b))
			add("plugin added", names, SAY("%.*s: %s", FL_FMT(text_of(&b->dir[i])), ck_effect(b->dir[i].name)));
}

static void compare(const struct ck_conf *old, const struct ck_conf *now)
{
	zones(old, now, true);
	zones(now, old, false);
	for (unsigned i = 0; i < old->nblock; i++) {
		const struct ck_block *last = NULL;
		for (unsigned k = 0; k < old->block[i].keys.n; k++) {
			const struct ck_block *b = block_with(now, old->block[i].keys.at[k]);
			if (b && b != last)
				blocks(&old->block[i], b);
			last = b ? b : last;
		}
	}
}

static int run(struct ctl *c)
{
	struct ck_conf seen[2];
	struct fl_err e;
	for (unsigned i = 0; i < 2; i++) {
		struct fl_conf *conf = all.conf[i] = ck_read(&all.a, c->arg[i], &e);
		if (!conf)
			return ctl_fail(c, "%s", e.msg);
		ck_look(&all.a, conf, &seen[i]);
	}
	compare(&seen[0], &seen[1]);
	if (c->json) {
		cJSON *list = cJSON_CreateArray(), *o = cJSON_CreateObject();
		for (unsigned i = 0; i < all.n; i++) {
			cJSON *x = cJSON_CreateObject();
			cJSON_AddStringToObject(x, "change", all.at[i].what);
			cJSON_AddItemToObject(x, "names", ctl_json_str(all.at[i].names));
			cJSON_AddItemToObject(x, "words", ctl_json_str(all.at[i].words));
			cJSON_AddItemToArray(list, x);
		}
		cJSON_AddItemToObject(o, "changes", list);
		return ctl_print(c, o);
	}
	for (unsigned i = 0; i < all.n; i++)
		printf("%s, for names under %.*s\n    %.*s\n", all.at[i].what, FL_FMT(all.at[i].names), FL_FMT(all.at[i].words));
	if (all.more)
		printf("and %u changes more\n", all.more);
	if (!all.n)
		puts("no difference");
	return 0;
}

const struct ctl_command ctl_diff = {
	.name = "diff", .about = "What changes between two Corefiles, for which names", .args = "OLD NEW", .min = 2, .max = 2, .json = true, .main = run,
};

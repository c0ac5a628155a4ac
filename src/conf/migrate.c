#include "conf/migrate.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

enum act { DROP, FIRST_ARG, TRANSFER, RENAME };

/* Since when; NULL: never. What is listed is changed in Corefiles of every version: who has such a line never ran it newer. */
struct rule { const char *plugin, *option, *deprecated, *ignored, *removed; enum act act; const char *by; };

static const struct rule rules[] = {
	{ "kubernetes", "endpoint", "1.3.1", "1.4.0", NULL, FIRST_ARG, NULL },
	{ "kubernetes", "upstream", "1.4.0", "1.5.0", "1.7.0", DROP, NULL },
	{ "kubernetes", "resyncperiod", "1.5.0", "1.6.0", "1.7.0", DROP, NULL },
	{ "kubernetes", "transfer", NULL, NULL, "1.8.0", TRANSFER, "transfer" },
	{ "file", "transfer", NULL, NULL, "1.8.0", TRANSFER, "transfer" },
	{ "auto", "transfer", NULL, NULL, "1.8.0", TRANSFER, "transfer" },
	{ "file", "upstream", NULL, "1.5.0", NULL, DROP, NULL },
	{ "auto", "upstream", NULL, "1.5.0", NULL, DROP, NULL },
	{ "etcd", "upstream", NULL, "1.5.0", NULL, DROP, NULL },
	{ "template", "upstream", NULL, "1.5.0", NULL, DROP, NULL },
	{ "route53", "upstream", NULL, "1.5.0", NULL, DROP, NULL },
	{ "forward", "fail_fast", NULL, NULL, "1.12.0", RENAME, "failfast_all_unhealthy_upstreams" },
};

struct work {
	struct fl_arena *a;
	struct fl_migrate *m;
	int from, to;                   /* versions as numbers */
	int *line;
	struct fl_err *e;
};

/* 1.12.3 → 11203; -1: not so. */
static int number(const char *version)
{
	struct fl_str rest = fl_str(version), part;
	int n = 0;
	for (int i = 0; i < 3; i++) {
		int64_t v;
		bool last = i == 2;
		if (!last && !memchr(rest.p, '.', rest.n))
			return -1;
		rest = fl_str_cut(rest, '.', &part);
		if (!part.n || part.p[0] < '0' || part.p[0] > '9' || fl_parse_int(part, 0, 99, &v) || (last && rest.n))
			return -1;
		n = n * 100 + (int)v;
	}
	return n;
}

static bool since(const struct work *w, const char *version) { return version && w->to >= number(version); }
static bool added(const struct work *w, const char *version) { return w->from < number(version) && since(w, version); }

static int wrong(const struct work *w, int line, const char *text)
{
	*w->line = line;
	return fl_err_set(w->e, "%s", text);
}

/* ---- notes, in the words of corefile-migration ---- */

static void note(struct work *w, struct fl_migrate_note n)
{
	char text[512], by[128] = "";
	bool what = n.option.n > 0, isnt = !strcmp(n.severity, "unsupported");
	if (n.by)
		snprintf(by, sizeof by, " It is replaced by \"%s\".", n.by);
	snprintf(text, sizeof text, "%s%.*s%s\"%.*s\" is %s in %s.%s", what ? "Option \"" : "Plugin ", (int)n.option.n, n.option.p, what ? "\" in plugin " : "",
		 (int)(n.plugin.n < 200 ? n.plugin.n : 200), n.plugin.p, isnt ? "not known" : !strcmp(n.severity, "newdefault") ? "added as a default" : n.severity,
		 n.version, by);
	n.text = text;
	if (w->m->note)
		w->m->note(w->m->arg, &n);
}

/* The severity at `to`, and since when; NULL: nothing is wrong with it yet. */
static const char *severity(const struct work *w, const struct rule *r, const char **version)
{
	*version = since(w, r->removed) ? r->removed : since(w, r->ignored) ? r->ignored : since(w, r->deprecated) ? r->deprecated : NULL;
	return !*version ? NULL : *version == r->removed ? "removed" : *version == r->ignored ? "ignored" : "deprecated";
}

static bool told(struct work *w, const struct rule *r, const struct fl_stmt *at)
{
	const char *version, *is = severity(w, r, &version);
	if (!is)
		return false;
	note(w, (struct fl_migrate_note){ at->line, is, fl_str(r->plugin), r->option ? fl_str(r->option) : FL_STR(""), version, r->by, NULL });
	return strcmp(is, "deprecated") || w->m->deprecated;
}

static struct fl_stmt *add(struct work *w, struct fl_stmt *to, int line, struct fl_str plugin, const char *option, const char *text, const char *version)
{
	note(w, (struct fl_migrate_note){ line, "newdefault", plugin, fl_str(option), version, NULL, NULL });
	return fl_stmt_add(w->a, to, text);
}

/* ---- options ---- */

/* `transfer to A B` of an option → plugin `transfer ZONE { to A B }` at the end of the block. */
static int transfer(struct work *w, struct fl_stmt *block, const struct fl_stmt *plugin, const struct fl_stmt *option)
{
	unsigned at = fl_stmt_is(plugin, "file") ? 2 : 1;
	struct fl_str name = fl_stmt_word(plugin, at);          /* "": the block's, as transfer without a zone */
	if (!fl_str_is(fl_stmt_word(option, 1), "to") || option->nword < 3)
		return 0;
	struct fl_stmt *to = NULL, *t = fl_stmt_find(block, "transfer");
	while (t && !fl_str_eq(fl_stmt_word(t, 1), name))
		t = t->next && fl_stmt_is(t->next, "transfer") ? t->next : NULL;
	if (!t && (t = fl_stmt_add(w->a, block, name.n ? "transfer x" : "transfer")) && name.n)
		t->word[1] = plugin->word[at];          /* as it is written, with its quotes */
	if (!t || !(to = fl_stmt_add(w->a, t, "to")))
		return -ENOMEM;
	to->word = option->word + 1;    /* `to` and what follows */
	to->nword = option->nword - 1;
	return 0;
}

static int act(struct work *w, const struct rule *r, struct fl_stmt *block, struct fl_stmt *plugin, struct fl_stmt *option)
{
	switch (r->act) {
	case FIRST_ARG:
		option->nword = 2;
		return 0;
	case RENAME:
		option->word[0] = fl_str(r->by);
		return 0;
	case TRANSFER:
		if (transfer(w, block, plugin, option))
			return -ENOMEM;
		break;
	case DROP:
		break;
	}
	fl_stmt_drop(w->a, plugin, option);
	return 0;
}

static int options(struct work *w, struct fl_stmt *block, struct fl_stmt *plugin)
{
	struct fl_stmt *next;
	int ret = 0;
	for (struct fl_stmt *o = plugin->child; o && !ret; o = next) {
		next = o->next;
		for (unsigned i = 0; i < FL_COUNT(rules) && !ret; i++) {
			const struct rule *r = &rules[i];
			if (!fl_stmt_is(plugin, r->plugin) || !fl_stmt_is(o, r->option) || (r->act == FIRST_ARG && o->nword < 3))
				continue;
			if (told(w, r, o))
				ret = act(w, r, block, plugin, o);
			break;
		}
	}
	return ret;
}

/* ---- proxy → forward ---- */

static void lost(struct work *w, const struct fl_stmt *o)
{
	note(w, (struct fl_migrate_note){ o->line, "removed", FL_STR("proxy"), fl_stmt_word(o, 0), "1.5.0", NULL, NULL });
}

/* Whether it stays, perhaps as another. forward has no least_conn, and no plain JSON of https_google. */
static bool proxy_option(struct work *w, struct fl_stmt *o)
{
	struct fl_str v = fl_stmt_word(o, 1);
	if (fl_stmt_is(o, "except"))
		return true;
	if (fl_stmt_is(o, "policy") && (fl_str_is(v, "random") || fl_str_is(v, "round_robin") || fl_str_is(v, "sequential")))
		return true;
	if (fl_stmt_is(o, "policy") && fl_str_is(v, "first")) {
		o->word[1] = FL_STR("sequential");
		return true;
	}
	bool tcp = fl_str_is(v, "force_tcp") || (fl_str_is(v, "dns") && fl_str_is(fl_stmt_word(o, 2), "force_tcp"));
	if (fl_stmt_is(o, "protocol") && tcp) {
		o->word[0] = FL_STR("force_tcp");
		o->nword = 1;
		return true;
	}
	if (!fl_stmt_is(o, "protocol") || !fl_str_is(v, "dns") || o->nword != 2)
		lost(w, o);
	return false;
}

static void proxy(struct work *w, struct fl_stmt *plugin)
{
	static const struct rule r = { "proxy", NULL, "1.4.0", NULL, "1.5.0", RENAME, "forward" };
	struct fl_stmt *next;
	if (!told(w, &r, plugin))
		return;
	plugin->word[0] = FL_STR("forward");
	for (struct fl_stmt *o = plugin->child; o; o = next) {
		next = o->next;
		if (!proxy_option(w, o))
			fl_stmt_drop(w->a, plugin, o);
	}
}

/* Before it was deprecated: https_google alone was taken out (1.1.4). */
static void google(struct work *w, struct fl_stmt *plugin)
{
	static const struct rule r = { "proxy", "protocol", NULL, "1.1.4", "1.2.0", DROP, NULL };
	struct fl_stmt *next;
	for (struct fl_stmt *o = plugin->child; o; o = next) {
		next = o->next;
		if (fl_stmt_is(o, "protocol") && fl_str_is(fl_stmt_word(o, 1), "https_google") && told(w, &r, o))
			fl_stmt_drop(w->a, plugin, o);
	}
}

/* ---- stub domains: `forward ZONE …` in the block of the root ---- */

static bool is_root(const struct fl_stmt *block)
{
	struct fl_str key = fl_stmt_word(block, 0);
	return fl_str_is(key, ".") || fl_str_is(key, ".:53");
}

static int stub_block(struct work *w, struct fl_stmt *root, struct fl_stmt *block, struct fl_stmt *fwd)
{
	if (fwd->nword < 2)
		return wrong(w, fwd->line, "found invalid forward plugin declaration");
	if (fl_stmt_is_snippet(block) || block->nword != 1)
		return wrong(w, fwd->line, "unhandled migration of multi-domain/port server block");
	if (!is_root(block))
		return wrong(w, fwd->line, "unhandled migration of non-default domain/port server block");
	struct fl_stmt *made = fl_stmt_add(w->a, root, "x");
	if (!made)
		return -ENOMEM;
	made->word[0] = fwd->word[1];
	made->braces = true;
	fwd->word[1] = FL_STR(".");
	struct fl_stmt **at = &block->child;
	while (*at != fwd)
		at = &(*at)->next;
	*at = fwd->next;
	fwd->next = NULL;
	made->child = fwd;
	bool ok = fl_stmt_add(w->a, made, "loop") && fl_stmt_add(w->a, made, "errors") && fl_stmt_add(w->a, made, "cache 30");
	return ok ? 0 : -ENOMEM;
}

static int stubs(struct work *w, struct fl_stmt *root)
{
	struct fl_stmt *next;
	int ret = 0;
	for (struct fl_stmt *block = root->child; block && !ret; block = block->next)
		for (struct fl_stmt *p = block->child; p && !ret; p = next) {
			next = p->next;
			if (fl_stmt_is(p, "forward") && !fl_str_is(fl_stmt_word(p, 1), "."))
				ret = stub_block(w, root, block, p);
		}
	return ret;
}

/* ---- what became a default ---- */

static bool add_default(struct work *w, struct fl_stmt *block, const char *name, const char *version, const char *with, const char *or)
{
	if (!added(w, version) || fl_stmt_is_snippet(block) || fl_stmt_find(block, name))
		return true;
	if (!fl_stmt_find(block, with) && !(or && fl_stmt_find(block, or)))
		return true;
	return add(w, block, block->line, fl_str(name), "", name, version);
}

static bool add_options(struct work *w, struct fl_stmt *plugin)
{
	bool health = fl_stmt_is(plugin, "health") && added(w, "1.6.5") && !fl_stmt_find(plugin, "lameduck");
	bool limit = fl_stmt_is(plugin, "forward") && added(w, "1.7.0") && !fl_stmt_find(plugin, "max_concurrent");
	if (health)
		return add(w, plugin, plugin->line, FL_STR("health"), "lameduck", "lameduck 5s", "1.6.5");
	return !limit || add(w, plugin, plugin->line, FL_STR("forward"), "max_concurrent", "max_concurrent 1000", "1.7.0");
}

/* ---- all of it ---- */

static void unknown(struct work *w, const struct fl_stmt *plugin)
{
	struct fl_str name = fl_stmt_word(plugin, 0);
	if (!w->m->known || w->to != number(FL_MIGRATE_NOW) || fl_str_is(name, "import"))
		return;
	for (const char *const *k = w->m->known; *k; k++)
		if (fl_str_is(name, *k))
			return;
	note(w, (struct fl_migrate_note){ plugin->line, "unsupported", name, FL_STR(""), FL_MIGRATE_NOW, NULL, NULL });
}

static int block_of(struct work *w, struct fl_stmt *block)
{
	static const struct rule federation = { "federation", NULL, NULL, NULL, "1.7.0", DROP, NULL };
	struct fl_stmt *next;
	int ret = 0;
	if (!add_default(w, block, "loop", "1.2.1", "forward", "proxy") || !add_default(w, block, "ready", "1.5.0", "kubernetes", NULL))
		return -ENOMEM;
	for (struct fl_stmt *p = block->child; p && !ret; p = next) {
		next = p->next;
		if (fl_stmt_is(p, "proxy")) {
			google(w, p);
			proxy(w, p);
		}
		if (fl_stmt_is(p, "federation") && told(w, &federation, p))
			fl_stmt_drop(w->a, block, p);
		else if (p->line)
			unknown(w, p);
		ret = options(w, block, p);
	}
	return ret;
}

/* The newest version, 1.9.4 at most, that took all of it. */
static const char *guess(const struct fl_stmt *root)
{
	int oldest = number("1.9.4");
	static const struct { const char *plugin, *option, *version; } signs[] = {
		{ "proxy", NULL, "1.4.0" }, { "federation", NULL, "1.6.9" }, { "kubernetes", "upstream", "1.6.9" },
		{ "kubernetes", "resyncperiod", "1.6.9" }, { "kubernetes", "transfer", "1.7.1" }, { "file", "transfer", "1.7.1" },
		{ "auto", "transfer", "1.7.1" },
	};
	const char *version = "1.9.4";
	for (const struct fl_stmt *b = root->child; b; b = b->next)
		for (const struct fl_stmt *p = b->child; p; p = p->next)
			for (unsigned i = 0; i < FL_COUNT(signs); i++)
				if (fl_stmt_is(p, signs[i].plugin) && (!signs[i].option || fl_stmt_find(p, signs[i].option)) &&
				    number(signs[i].version) < oldest) {
					version = signs[i].version;
					oldest = number(version);
				}
	return version;
}

static int versions(struct work *w, const struct fl_stmt *root)
{
	struct fl_migrate *m = w->m;
	const char *to = m->to ? m->to : FL_MIGRATE_NOW;
	snprintf(m->guessed, sizeof m->guessed, "%s", m->from ? m->from : guess(root));
	w->from = number(m->from ? m->from : m->guessed);
	w->to = number(to);
	if (!m->from && w->to >= 0 && w->from > w->to) {
		snprintf(m->guessed, sizeof m->guessed, "%s", to);
		w->from = w->to;
	}
	*w->line = 0;
	if (w->from < 0)
		return fl_err_set(w->e, "start version '%.100s' not supported", m->from);
	if (w->to < 0 || w->to > number(FL_MIGRATE_NOW) || w->from > w->to)
		return fl_err_set(w->e, "cannot migrate up to '%.100s' from '%.100s'", to, m->from ? m->from : m->guessed);
	return 0;
}

int fl_migrate(struct fl_arena *a, struct fl_migrate *m, struct fl_stmt *root, int *line, struct fl_err *e)
{
	struct work w = { .a = a, .m = m, .line = line, .e = e };
	int ret = versions(&w, root);
	for (struct fl_stmt *b = root->child; b && !ret; b = b->next)
		ret = block_of(&w, b);
	if (!ret && (added(&w, "1.4.0") || added(&w, "1.5.0")))
		ret = stubs(&w, root);
	for (struct fl_stmt *b = root->child; b && !ret; b = b->next)
		for (struct fl_stmt *p = b->child; p && !ret; p = p->next)
			ret = add_options(&w, p) ? 0 : -ENOMEM;
	if (ret == -ENOMEM)
		ret = wrong(&w, 0, "too large");
	return ret;
}

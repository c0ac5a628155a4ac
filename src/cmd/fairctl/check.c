/* check: is this Corefile right, and is it wise? */
#include "cmd/fairctl/checking.h"
#include "cmd/fairctl/commands.h"
#include "cmd/fairctl/explain.h"
#include "base/log.h"
#include "plugin/table.h"
#include <stdio.h>
#include <stdlib.h>

static struct { struct fl_arena *a; struct fl_words lines; } logged;

static void keep(void *arg, const char *line, size_t n)
{
	(void)arg;
	while (n && line[n - 1] == '\n')
		n--;
	fl_words_add(logged.a, &logged.lines, fl_arena_str(logged.a, (struct fl_str){ line, n }));
}

/* The text between the first two quotes behind `what`. */
static struct fl_str quoted(const char *msg, const char *what)
{
	const char *at = strstr(msg, what), *p = at ? strchr(at, '\'') : NULL, *end = p ? strchr(p + 1, '\'') : NULL;
	return end ? (struct fl_str){ p + 1, (size_t)(end - p - 1) } : (struct fl_str){ 0 };
}

static const struct fl_plugin *plugin_of(const char *msg)
{
	for (const struct fl_directive_entry *d = fl_plugins; d->name; d++) {
		char prefix[64];
		snprintf(prefix, sizeof prefix, "plugin/%s: ", d->name);
		if (d->plugin && strstr(msg, prefix))
			return d->plugin;
	}
	return NULL;
}

/* The known word that a wrong one is near to; NULL: none. */
static const char *nearest(const char *msg)
{
	struct fl_str directive = quoted(msg, "nknown directive"), option = quoted(msg, "nknown property"), word = directive.p ? directive : option;
	const struct fl_plugin *p = plugin_of(msg);
	const char *best = NULL;
	unsigned least = 255, d;
	if (!word.p)
		return NULL;
	if (directive.p)
		for (const char *const *k = fl_plugins_known(); *k; k++)
			if (ex_near(word, fl_str(*k), &d) && d < least)
				best = *k, least = d;
	for (const struct fl_opt *o = !directive.p && p ? p->opts : NULL; o && o->name; o++)
		if (*o->name && ex_near(word, fl_str(o->name), &d) && d < least)
			best = o->name, least = d;
	return best;
}

static int wrong(struct ctl *c, const char *msg)
{
	const char *near = nearest(msg);
	if (c->json) {
		cJSON *o = cJSON_CreateObject();
		cJSON_AddBoolToObject(o, "ok", false);
		cJSON_AddItemToObject(o, "error", ctl_json_str(fl_str(msg)));
		if (near)
			cJSON_AddStringToObject(o, "nearest", near);
		ctl_print(c, o);
	}
	ctl_fail(c, "%s", msg);
	if (near)
		fprintf(stderr, "Did you mean %s?\n", near);
	return 1;
}

/* Set up as at a start, and let go again. */
static int build(struct fl_conf *conf, struct fl_err *e)
{
	struct fl_loop *loop = fl_loop_create();
	struct fl_process p = { .conf = conf->file, .conf_given = true, .port = "53", .shards = 1, .dry = true };
	struct fl_server *s = fl_server_create(&p, loop, fl_plugins, true);
	int ret = fl_server_check(s, conf, e);
	fl_server_destroy(s);
	fl_loop_destroy(loop);
	return ret;
}

static void accidents(struct fl_arena *a, struct fl_conf *conf, struct fl_words *to)
{
	for (unsigned b = 0; b < conf->nblock; b++)
		for (unsigned k = 0; k < conf->block[b].nkey; k++) {
			const char *what = fl_key_accident(&conf->arena, conf, &conf->block[b].key[k]);
			if (what)
				fl_words_add(a, to, fl_arena_str(a, fl_str(what)));
		}
	for (unsigned i = 0; i < conf->nwarning; i++)
		fl_words_add(a, to, fl_arena_str(a, conf->warning[i]));
}

static int print(struct ctl *c, unsigned blocks, const struct fl_words *odd, const struct ck_list *list)
{
	if (!c->json) {
		for (unsigned i = 0; i < odd->n; i++)
			printf("warning: %.*s\n", FL_FMT(odd->at[i]));
		for (unsigned i = 0; i < list->n; i++)
			printf("%s:%d: suggestion (%s): %.*s\n    %.*s\n", c->arg[0], list->at[i].line, list->at[i].rule, FL_FMT(list->at[i].words),
			       FL_FMT(list->at[i].fix));
		printf("%s: ok, %u server block%s, %u warning%s, %u suggestion%s\n", c->arg[0], blocks, blocks == 1 ? "" : "s", odd->n,
		       odd->n == 1 ? "" : "s", list->n, list->n == 1 ? "" : "s");
		return 0;
	}
	cJSON *o = cJSON_CreateObject(), *w = cJSON_CreateArray(), *s = cJSON_CreateArray();
	cJSON_AddBoolToObject(o, "ok", true);
	cJSON_AddNumberToObject(o, "blocks", blocks);
	for (unsigned i = 0; i < odd->n; i++)
		cJSON_AddItemToArray(w, ctl_json_str(odd->at[i]));
	for (unsigned i = 0; i < list->n; i++) {
		cJSON *x = cJSON_CreateObject();
		cJSON_AddNumberToObject(x, "line", list->at[i].line);
		cJSON_AddStringToObject(x, "rule", list->at[i].rule);
		cJSON_AddItemToObject(x, "words", ctl_json_str(list->at[i].words));
		cJSON_AddItemToObject(x, "fix", ctl_json_str(list->at[i].fix));
		cJSON_AddItemToArray(s, x);
	}
	cJSON_AddItemToObject(o, "warnings", w);
	cJSON_AddItemToObject(o, "suggestions", s);
	return ctl_print(c, o);
}

static int run(struct ctl *c)
{
	static struct fl_arena a = { .limit = 512 << 20 };
	static struct ck_list list;
	struct fl_words odd = { 0 };
	struct ck_conf seen;
	struct fl_err e = { "" };
	logged.a = &a;
	fl_log_capture(keep, NULL);
	struct fl_conf *conf = ck_read(&a, c->arg[0], &e);
	if (!conf)
		return wrong(c, e.msg);
	accidents(&a, conf, &odd);
	ck_look(&a, conf, &seen);
	ck_advise(&a, &seen, &list);
	for (unsigned i = 0; i < list.n; i++) {
		list.at[i].words = fl_arena_str(&a, list.at[i].words);
		list.at[i].fix = fl_arena_str(&a, list.at[i].fix);
	}
	unsigned blocks = conf->nblock;
	if (build(conf, &e))
		return wrong(c, e.msg);
	for (unsigned i = 0; i < logged.lines.n; i++)
		fl_words_add(&a, &odd, logged.lines.at[i]);
	return print(c, blocks, &odd, &list);
}

const struct ctl_command ctl_check = {
	.name = "check", .about = "Is this Corefile right, and is it wise?", .args = "COREFILE", .min = 1, .max = 1, .json = true, .main = run,
};

#include "cmd/fairctl/checking.h"
#include "plugin/table.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

struct fl_conf *ck_read(struct fl_arena *a, const char *path, struct fl_err *e)
{
	char base[PATH_MAX];
	struct fl_str text;
	const char *slash = strrchr(path, '/');
	int ret = fl_conf_read(a, path, &text);
	if (ret) {
		fl_err_set(e, "open %s: %s", path, ret == -ENOENT ? "no such file or directory" : ret == -EISDIR ? "is a directory" : strerror(-ret));
		return NULL;
	}
	snprintf(base, sizeof base, "%.*s", slash ? (int)(slash > path ? slash - path : 1) : 1, slash ? path : ".");
	struct fl_conf *c = fl_xalloc(sizeof *c);
	if (!fl_conf_parse(c, path, text, base, fl_plugins_known(), e))
		return c;
	fl_conf_finish(c);
	free(c);
	return NULL;
}

struct fl_str ck_word(struct fl_str line, struct fl_str *rest)
{
	struct fl_str word;
	*rest = fl_str_cut(line, ' ', &word);
	return word;
}

static bool same_line(const struct fl_token *a, const struct fl_token *b) { return a->line == b->line && fl_str_eq(a->file, b->file); }

/* Tokens of one name in a block → one entry for each time it stands there. */
static void directive(struct fl_arena *a, const struct fl_directive *d, struct ck_block *b)
{
	struct ck_directive *to = NULL;
	unsigned depth = 0;
	for (unsigned i = 0; i < d->ntok; i++) {
		const struct fl_token *t = &d->tok[i];
		bool open = fl_str_is(t->text, "{"), close = fl_str_is(t->text, "}");
		if (!depth && t->is_name && (!to || !same_line(t, t - 1))) {
			to = &b->dir[b->ndir++];
			*to = (struct ck_directive){ .name = d->name, .line = t->line };
			continue;
		}
		if (open && !depth++)
			continue;
		if (close && depth && !--depth)
			continue;
		struct fl_words *w = depth ? &to->lines : &to->args;
		if (depth && w->n && same_line(t, t - 1))
			w->at[w->n - 1] = fl_arena_printf(a, "%.*s %.*s", FL_FMT(w->at[w->n - 1]), FL_FMT(t->text));
		else
			fl_words_add(a, w, t->text);
	}
}

static void keys(struct fl_arena *a, const struct fl_conf_block *from, struct ck_block *to)
{
	struct fl_err e;
	to->line = from->nkey ? from->key[0].line : 0;
	for (unsigned i = 0; i < from->nkey; i++) {
		struct fl_key *key;
		unsigned n = 0;
		if (fl_key_parse(a, from->key[i].text, "53", &key, &n, &e))
			continue;
		for (unsigned k = 0; k < n; k++) {
			fl_words_add(a, &to->keys, fl_arena_printf(a, "%s://%.*s:%s", key[k].scheme, FL_FMT(key[k].zone), key[k].port));
			fl_words_add(a, &to->zones, key[k].zone);
		}
	}
}

void ck_look(struct fl_arena *a, const struct fl_conf *c, struct ck_conf *to)
{
	*to = (struct ck_conf){ .path = c->file, .nblock = c->nblock, .block = fl_zalloc(a, (c->nblock + 1) * sizeof *to->block) };
	for (unsigned i = 0; i < c->nblock; i++) {
		const struct fl_conf_block *from = &c->block[i];
		struct ck_block *b = &to->block[i];
		unsigned n = 0;
		keys(a, from, b);
		for (unsigned k = 0; k < from->ndir; k++)
			for (unsigned t = 0; t < from->dir[k].ntok; t++)
				n += from->dir[k].tok[t].is_name;
		b->dir = fl_zalloc(a, (n + 1) * sizeof *b->dir);
		for (unsigned k = 0; k < from->ndir; k++)
			directive(a, &from->dir[k], b);
	}
}

const char *ck_effect(struct fl_str directive)
{
	static const struct { const char *name, *effect; } known[] = {
		{ "kubernetes", "names of Services and pods: which are served, and how" },
		{ "forward", "where names go that nobody here knows" },
		{ "grpc", "where names go that nobody here knows" },
		{ "cache", "how long answers are kept, and which" },
		{ "rewrite", "which name is asked for instead of the one that came" },
		{ "template", "names that are answered by a pattern" },
		{ "hosts", "names that are answered from a hosts file" },
		{ "file", "names that are answered from a zone file" },
		{ "auto", "names that are answered from zone files" },
		{ "secondary", "names that are answered from another server's zone" },
		{ "k8s_external", "names of Services for clients outside" },
		{ "autopath", "the search list is walked by the server instead of the client" },
		{ "loadbalance", "the order of addresses in an answer" },
		{ "acl", "who may ask" },
		{ "view", "who is answered by this block" },
		{ "dns64", "AAAA records that are made from A records" },
		{ "header", "flags of answers" },
		{ "minimal", "what is left out of answers" },
		{ "bufsize", "how long an answer over UDP may be" },
		{ "any", "questions of type ANY" },
		{ "dnssec", "signatures" },
		{ "transfer", "who may have whole zones" },
		{ "bind", "on which addresses it listens" },
		{ "tls", "certificates of the listeners" },
		{ "errors", "the log: no answer changes" },
		{ "log", "the log: no answer changes" },
		{ "debug", "the log: no answer changes" },
		{ "dnstap", "what is told to collectors: no answer changes" },
		{ "prometheus", "metrics: no answer changes" },
		{ "health", "the probe /health: no answer changes" },
		{ "ready", "the probe /ready: no answer changes" },
		{ "reload", "whether a changed Corefile is noticed: no answer changes" },
		{ "loop", "whether a forwarding loop ends the process at start: no answer changes" },
		{ "whoami", "every name is answered with the asker's address" },
		{ "erratic", "answers are lost or late on purpose" },
	};
	for (unsigned i = 0; i < FL_COUNT(known); i++)
		if (fl_str_is(directive, known[i].name))
			return known[i].effect;
	return "how questions are answered or the server behaves";
}

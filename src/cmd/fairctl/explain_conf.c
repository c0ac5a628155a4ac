/* The Corefile as explain runs it: what only listens or talks is taken out, kubernetes gets its source, and what it says of zones,
 * namespaces and upstreams is noted. */
#include "cmd/fairctl/explain.h"
#include "plugin/table.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Have no say in answers, but open sockets and files, print, or act on the process. */
static const char *const silent[] = { "health", "ready", "prometheus", "reload", "loop", "log", "errors", "dnstap", "dashboard", "pprof", "trace",
				      "debug", "on", "tls", "cancel", "shed", "multisocket", "proxyproto", "timeouts", "https", "https3", "quic",
				      "grpc_server", NULL };

static bool in(const char *const *list, struct fl_str s)
{
	for (; *list; list++)
		if (fl_str_is(s, *list))
			return true;
	return false;
}

static void take_out(struct fl_conf_block *b)
{
	unsigned n = 0;
	for (unsigned i = 0; i < b->ndir; i++)
		if (!in(silent, b->dir[i].name))
			b->dir[n++] = b->dir[i];
	b->ndir = n;
}

/* Lines of a directive's block that begin with this word. */
static void cut_lines(struct fl_directive *d, const char *word)
{
	unsigned n = 0;
	for (unsigned i = 0; i < d->ntok;) {
		bool first = i && (d->tok[i].line != d->tok[i - 1].line || !fl_str_eq(d->tok[i].file, d->tok[i - 1].file));
		if (!first || !fl_str_is(d->tok[i].text, word)) {
			d->tok[n++] = d->tok[i++];
			continue;
		}
		int line = d->tok[i].line;
		while (i < d->ntok && d->tok[i].line == line && !fl_str_is(d->tok[i].text, "}"))
			i++;
	}
	d->ntok = n;
}

static struct fl_token made(struct fl_arena *a, struct fl_str text, int line)
{
	text = fl_arena_str(a, text);
	return (struct fl_token){ .text = text, .raw = text, .file = FL_STR("command line"), .line = line };
}

/* An option for a directive that has none of the kind: behind its opening brace, or in a block of its own. */
static void add_option(struct fl_arena *a, struct fl_directive *d, const struct fl_str *word, unsigned n)
{
	struct fl_token *t = fl_zalloc(a, (d->ntok + n + 2) * sizeof *t);
	unsigned at = 0, k = 0;
	while (at < d->ntok && !fl_str_is(d->tok[at].text, "{"))
		at++;
	bool open = at < d->ntok;
	at += open;
	memcpy(t, d->tok, at * sizeof *t);
	k = at;
	if (!open) {
		t[k] = t[k - 1];        /* on the same line */
		t[k].text = t[k].raw = FL_STR("{");
		t[k++].is_name = false;
	}
	for (unsigned i = 0; i < n; i++)
		t[k++] = made(a, word[i], 1);
	if (!open)
		t[k++] = made(a, FL_STR("}"), 2);
	memcpy(t + k, d->tok + at, (d->ntok - at) * sizeof *t);
	d->tok = t;
	d->ntok = k + d->ntok - at;
}

/* ---- notes ---- */

struct reading { struct facts *f; struct fl_conf *c; struct ex_conf *to; struct ex_from *from; unsigned block; const char *node_file; };

static void add_zones(struct fl_arena *a, struct fl_words *to, struct fl_str arg)
{
	struct fl_str *zone;
	unsigned n = fl_zone_parse(a, arg, &zone);
	for (unsigned i = 0; i < n; i++)
		fl_words_add(a, to, zone[i]);
}

static void add_words(struct fl_arena *a, struct fl_words *to, const struct fl_str *arg, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		fl_words_add(a, to, fl_arena_str(a, arg[i]));
}

static struct fl_str joined(struct fl_arena *a, const struct fl_str *arg, unsigned n)
{
	struct fl_words w = { 0 };
	add_words(a, &w, arg, n);
	return fl_words_join(a, &w, " ");
}

static void kube_option(struct reading *r, struct ex_kube *k, struct fl_disp *d, bool *sourced)
{
	struct fl_str name = fl_disp_val(d), *arg;
	int line = fl_disp_line(d);
	unsigned n = fl_disp_args(d, &arg);
	struct fl_arena *a = r->f->a;
	if (fl_str_is(name, "namespaces")) {
		add_words(a, &k->namespaces, arg, n);
		k->namespaces_line = line;
	} else if (fl_str_is(name, "labels")) {
		k->labels = joined(a, arg, n);
		k->labels_line = line;
	} else if (fl_str_is(name, "namespace_labels")) {
		k->namespace_labels = joined(a, arg, n);
		k->labels_line = line;
	} else if (fl_str_is(name, "pods")) {
		k->pods_disabled = n && fl_str_is(arg[0], "disabled");
	} else if (fl_str_is(name, "ignore")) {
		k->ignore_empty = n > 0;
	}
	bool manifests = fl_str_is(name, "manifests"), config = fl_str_is(name, "kubeconfig");
	*sourced |= manifests || config || fl_str_is(name, "endpoint");
	if (r->from->manifests.n || r->from->kubeconfig.n || !n)
		return;
	if (manifests)
		r->from->manifests = fl_arena_str(a, arg[0]);
	else if (config)
		r->from->kubeconfig = fl_arena_str(a, arg[0]), r->from->context = n > 1 ? fl_arena_str(a, arg[1]) : FL_STR("");
}

static void note_kube(struct reading *r, struct fl_directive *dir)
{
	struct ex_conf *to = r->to;
	struct ex_kube *k = &to->kube[to->nkube++];
	struct fl_disp d;
	struct fl_err e;
	struct fl_str *arg;
	bool sourced = false;
	struct ex_from had = *r->from;
	*k = (struct ex_kube){ .line = dir->tok->line, .block = r->block, .pods_disabled = true };
	fl_disp_init(&d, r->c, dir, &e);
	fl_disp_next(&d);
	unsigned n = fl_disp_args(&d, &arg);
	for (unsigned i = 0; i < n; i++)
		add_zones(r->f->a, &k->zones, arg[i]);
	for (unsigned i = 0; !n && i < to->block[r->block].zones.n; i++)
		fl_words_add(r->f->a, &k->zones, to->block[r->block].zones.at[i]);
	while (fl_disp_next_block(&d))
		kube_option(r, k, &d, &sourced);
	to->block[r->block].kube = true;
	if (sourced)
		return;
	struct fl_arena *a = &r->c->arena;
	if (had.manifests.n)
		add_option(a, dir, (const struct fl_str[]){ FL_STR("manifests"), had.manifests }, 2);
	else if (had.kubeconfig.n)
		add_option(a, dir, (const struct fl_str[]){ FL_STR("kubeconfig"), had.kubeconfig, had.context }, had.context.n ? 3 : 2);
}

/* A pod of the server has the node's file (dnsPolicy Default): where another is named, that one stands for it. */
static void note_forward(struct reading *r, struct fl_directive *dir)
{
	struct ex_forward *w = &r->to->forward[r->to->nforward++];
	struct fl_disp d;
	struct fl_err e;
	struct fl_str *arg, *zone, text;
	struct fl_arena *a = r->f->a;
	*w = (struct ex_forward){ .line = dir->tok->line, .block = r->block, .from = FL_STR(".") };
	for (unsigned i = 1; r->node_file && i < dir->ntok; i++)
		if (fl_str_is(dir->tok[i].text, "/etc/resolv.conf"))
			dir->tok[i].text = fl_arena_str(&r->c->arena, fl_str(r->node_file));
	fl_disp_init(&d, r->c, dir, &e);
	fl_disp_next(&d);
	unsigned n = fl_disp_args(&d, &arg);
	if (n && fl_zone_parse(a, arg[0], &zone))
		w->from = zone[0];
	for (unsigned i = 1; i < n; i++) {
		struct fl_resolv rc;
		int line;
		char *path = fl_arena_str(a, arg[i]).p ? (char *)(uintptr_t)fl_arena_str(a, arg[i]).p : NULL;
		if (*path != '/' || fl_conf_read(a, path, &text)) {
			fl_words_add(a, &w->to, fl_str(path));
			continue;
		}
		w->file = path;
		if (!fl_resolv_parse(a, text, &rc, &line, &e))
			add_words(a, &w->to, rc.servers.at, rc.servers.n);
	}
	while (fl_disp_next_block(&d)) {
		bool except = fl_str_is(fl_disp_val(&d), "except");
		n = fl_disp_args(&d, &arg);
		for (unsigned i = 0; except && i < n; i++)
			add_zones(a, &w->except, arg[i]);
	}
}

static void note_keys(struct reading *r, const struct fl_conf_block *b)
{
	struct ex_block *to = &r->to->block[r->block];
	struct fl_err e;
	to->line = b->nkey ? b->key[0].line : 0;
	for (unsigned i = 0; i < b->nkey; i++) {
		struct fl_key *key;
		unsigned n = 0;
		if (fl_key_parse(r->f->a, b->key[i].text, "53", &key, &n, &e))
			continue;
		for (unsigned k = 0; k < n; k++) {
			fl_words_add(r->f->a, &to->zones, key[k].zone);
			if (!strcmp(key[k].scheme, "dns"))
				fl_words_add(r->f->a, &to->ports, fl_str(key[k].port));
		}
	}
}

/* 53 where somebody listens there: a Service may lead it elsewhere. */
static const char *port_of(const struct ex_conf *to)
{
	const char *first = NULL;
	for (unsigned i = 0; i < to->nblock; i++)
		for (unsigned k = 0; k < to->block[i].ports.n; k++) {
			if (fl_str_is(to->block[i].ports.at[k], "53"))
				return "53";
			first = first ? first : to->block[i].ports.at[k].p;
		}
	return first ? first : "53";
}

static void note(struct reading *r)
{
	struct ex_conf *to = r->to;
	to->nblock = r->c->nblock;
	to->block = fl_zalloc(r->f->a, (to->nblock + 1) * sizeof *to->block);
	to->kube = fl_zalloc(r->f->a, (to->nblock + 1) * sizeof *to->kube);
	unsigned forwards = 0;
	for (unsigned i = 0; i < to->nblock; i++)
		for (unsigned k = 0; k < r->c->block[i].ndir; k++)
			forwards += fl_str_is(r->c->block[i].dir[k].name, "forward");
	to->forward = fl_zalloc(r->f->a, (forwards + 1) * sizeof *to->forward);
	for (r->block = 0; r->block < to->nblock; r->block++) {
		struct fl_conf_block *b = &r->c->block[r->block];
		note_keys(r, b);
		take_out(b);
		for (unsigned k = 0; k < b->ndir; k++) {
			if (fl_str_is(b->dir[k].name, "kubernetes"))
				note_kube(r, &b->dir[k]);
			else if (fl_str_is(b->dir[k].name, "forward"))
				note_forward(r, &b->dir[k]);
			else if (fl_str_is(b->dir[k].name, "cache"))
				cut_lines(&b->dir[k], "persist");
		}
	}
	to->port = port_of(to);
}

static struct fl_str kubeadm(const struct facts *f)
{
	return fl_arena_printf(f->a, ".:53 {\n    kubernetes %.*s in-addr.arpa ip6.arpa {\n        pods insecure\n"
		"        fallthrough in-addr.arpa ip6.arpa\n        ttl 30\n    }\n    forward . /etc/resolv.conf {\n        max_concurrent 1000\n    }\n"
		"    cache 30\n    loadbalance\n}\n", FL_FMT(f->cluster_domain));
}

struct fl_conf *ex_conf(const struct ctl *c, struct facts *f, const char *path, struct ex_from *from)
{
	char base[PATH_MAX];
	struct fl_err e = { "" };
	struct fl_str text = kubeadm(f);
	const char *slash = path ? strrchr(path, '/') : NULL;
	f->conf.path = path ? path : "kubeadm's Corefile";
	int ret = path ? fl_conf_read(f->a, path, &text) : 0;
	if (ret) {
		ctl_fail(c, "open %s: %s", path, ret == -ENOENT ? "no such file or directory" : ret == -EISDIR ? "is a directory" : strerror(-ret));
		return NULL;
	}
	snprintf(base, sizeof base, "%.*s", slash ? (int)(slash > path ? slash - path : 1) : 1, slash ? path : ".");
	struct fl_conf *conf = fl_xalloc(sizeof *conf);
	if (fl_conf_parse(conf, f->conf.path, text, base, fl_plugins_known(), &e) || !conf->nblock) {
		ctl_fail(c, "%s", e.msg[0] ? e.msg : fl_arena_printf(f->a, "%s:1: no server block in it", path).p);
		fl_conf_finish(conf);
		free(conf);
		return NULL;
	}
	struct reading r = { .f = f, .c = conf, .to = &f->conf, .from = from, .node_file = f->node_file };
	note(&r);
	return conf;
}

/* translate: the configuration of kube-dns, AKS, NodeLocal DNSCache or an older CoreDNS → a Corefile of today. */
#include "cmd/fairctl/commands.h"
#include "conf/cloud.h"
#include "conf/kubedns.h"
#include "conf/localdns.h"
#include "conf/migrate.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static const struct ctl_flag flags[] = {
	{ "kind", "KIND", "what the file is", "auto|corefile|kube-dns|coredns-custom|node-local-dns|localdns", "auto" },
	{ "from", "VERSION", "CoreDNS that a Corefile was written for; guessed without", NULL, NULL },
	{ "to", "VERSION", "CoreDNS that it shall suit", NULL, FL_MIGRATE_NOW },
	{ "deprecations", NULL, "change what is only deprecated in --to, too", NULL, NULL },
	{ "cluster-domain", "DOMAIN", "the cluster's domain, where the file does not say it", NULL, "cluster.local" },
	{ "cluster-dns", "IP", "node-local-dns, localdns: the cluster's DNS as the node reaches it", NULL, NULL },
	{ "local-dns", "IP", "node-local-dns: the address that it listens on", NULL, "169.254.20.10" },
	{ "listen-too", "IP", "node-local-dns: the Service's address, when it listens on that too (iptables mode)", NULL, NULL },
	{ "upstream", "SERVERS", "node-local-dns, localdns: for names outside of the cluster (/etc/resolv.conf; 168.63.129.16)", NULL, NULL },
	{ NULL },
};

enum kind { AUTO, COREFILE, KUBE_DNS, CUSTOM, NODE_LOCAL, LOCALDNS };
static const char *const kinds[] = { "auto", "corefile", "kube-dns", "coredns-custom", "node-local-dns", "localdns" };

/* The names alone: the plugins themselves are no part of this program. */
static const char *const known[] = {
#define FL_BUILT(name) #name,
#define FL_LATER(name) #name,
#include "plugins.gen.h"
#undef FL_BUILT
#undef FL_LATER
	NULL
};

struct work {
	struct ctl *c;
	struct fl_arena a;
	const char *path;
	struct fl_str text, out;        /* text: the whole file */
	enum kind want, is;             /* is AUTO: nothing found yet */
	int start;                      /* line of the file before the Corefile's first */
	const char *from;
	cJSON *notices;
	int ret;
};

/* ---- what is said ---- */

static cJSON *notice(struct work *w, int line, const char *severity, const char *text)
{
	if (line)
		ctl_warn(w->c, "%s:%d: %s", w->path, line, text);
	else
		ctl_warn(w->c, "%s: %s", w->path, text);
	cJSON *n = cJSON_CreateObject();
	cJSON_AddNumberToObject(n, "line", line);
	cJSON_AddStringToObject(n, "severity", severity);
	cJSON_AddItemToObject(n, "message", ctl_json_str(fl_str(text)));
	cJSON_AddItemToArray(w->notices, n);
	return n;
}

static int failed(struct work *w, int line, const char *what)
{
	w->ret = line ? ctl_fail(w->c, "%s:%d: %s", w->path, line, what) : ctl_fail(w->c, "%s: %s", w->path, what);
	return w->ret;
}

/* The line of the file that `KEY:` stands on; 0: not found, as in JSON in one line. */
static int key_line(const struct work *w, struct fl_str key)
{
	int line = 0;
	for (struct fl_str rest = w->text, at; rest.n;) {
		rest = fl_str_cut(rest, '\n', &at);
		line++;
		at = fl_str_trim(at);
		if (at.n && (*at.p == '"' || *at.p == '\''))
			at = (struct fl_str){ at.p + 1, at.n - 1 };
		if (fl_str_starts(at, key) && at.n > key.n && strchr(":\"'", at.p[key.n]) && at.p[key.n])
			return line;
	}
	return 0;
}

/* Line `line` of a key's text, which as a block begins below the key. */
static int file_line(const struct work *w, struct fl_str key, int line)
{
	int at = key.n ? key_line(w, key) : 0;
	return at ? at + line : 0;
}

/* ---- a Corefile ---- */

static void migrated(void *arg, const struct fl_migrate_note *n)
{
	struct work *w = arg;
	cJSON *json = notice(w, n->line ? w->start + n->line : 0, n->severity, n->text);
	cJSON_AddItemToObject(json, "plugin", ctl_json_str(n->plugin));
	if (n->option.n)
		cJSON_AddItemToObject(json, "option", ctl_json_str(n->option));
	cJSON_AddStringToObject(json, "version", n->version);
	if (n->by)
		cJSON_AddStringToObject(json, "replacedBy", n->by);
}

static int migrate(struct work *w, struct fl_str text)
{
	struct fl_stmt root;
	struct fl_err e;
	int line;
	struct fl_migrate m = { .from = ctl_text(w->c, "from"), .to = ctl_text(w->c, "to"), .deprecated = ctl_on(w->c, "deprecations"),
				.known = known, .note = migrated, .arg = w };
	w->is = COREFILE;
	if (fl_tree_parse(&w->a, text, &root, &line, &e) || fl_migrate(&w->a, &m, &root, &line, &e))
		return failed(w, line ? w->start + line : 0, e.msg);
	w->from = fl_arena_str(&w->a, fl_str(m.guessed)).p;
	w->out = fl_tree_text(&w->a, &root);
	return w->out.p ? 0 : failed(w, 0, "too large");
}

static int pillars(struct work *w, struct fl_str text)
{
	struct fl_err e;
	int line;
	struct fl_pillars p = { .local_dns = ctl_text(w->c, "local-dns"), .server = ctl_text(w->c, "listen-too"), .domain = ctl_text(w->c, "cluster-domain"),
				.cluster_dns = ctl_text(w->c, "cluster-dns"), .upstream = ctl_given(w->c, "upstream") ? ctl_text(w->c, "upstream") : "/etc/resolv.conf" };
	w->is = NODE_LOCAL;
	if (fl_pillar_corefile(&w->a, text, &p, &w->out, &line, &e))
		return failed(w, w->start + line, e.msg);
	return 0;
}

static int corefile(struct work *w, struct fl_str text)
{
	bool template = w->want == NODE_LOCAL || (w->want == AUTO && fl_pillar_is_template(text));
	return template ? pillars(w, text) : migrate(w, text);
}

/* ---- ConfigMaps ---- */

static void said(void *arg, struct fl_str key, int line, const char *text)
{
	struct work *w = arg;
	struct fl_str all = fl_arena_printf(&w->a, "%.*s: %s", FL_FMT(key), text);
	notice(w, file_line(w, key, line), "warning", all.p ? all.p : text);
}

static void kubedns_said(void *arg, struct fl_str key, const char *text) { said(arg, key, 0, text); }

static int kube_dns(struct work *w, struct fl_kubedns_key *key, unsigned n)
{
	struct fl_kubedns k = { .domain = fl_str(ctl_text(w->c, "cluster-domain")), .port = FL_STR("53"), .key = key, .nkey = n,
				.note = kubedns_said, .arg = w };
	struct fl_err e;
	w->is = KUBE_DNS;
	int ret = fl_kubedns_corefile(&w->a, &k, &w->out, &e), line = 0;
	if (ret == -ENOMEM)
		return failed(w, 0, "too large");
	for (unsigned i = 0; ret && i < n; i++)         /* "KEY: …" or "KEY:LINE: …" */
		if (fl_str_starts(fl_str(e.msg), key[i].name) && e.msg[key[i].name.n] == ':') {
			int inside = 0;
			sscanf(e.msg + key[i].name.n, ":%d:", &inside);
			line = file_line(w, key[i].name, inside && memchr(key[i].text.p, '\n', key[i].text.n) ? inside : 0);
		}
	return ret ? failed(w, line, e.msg) : 0;
}

static int custom(struct work *w, const struct fl_kubedns_key *key, unsigned n)
{
	struct fl_cloud_key *keys = fl_alloc(&w->a, (n + 1) * sizeof *keys);
	struct fl_cloud aks = { .domain = fl_str(ctl_text(w->c, "cluster-domain")), .key = keys, .nkey = n, .note = said, .arg = w };
	struct fl_err e;
	w->is = CUSTOM;
	for (unsigned i = 0; keys && i < n; i++)
		keys[i] = (struct fl_cloud_key){ key[i].name, key[i].text };
	if (keys && !fl_cloud_aks(&w->a, &aks, &w->out, &e))
		return 0;
	struct fl_str all = keys ? fl_arena_printf(&w->a, "%.*s: %s", FL_FMT(aks.bad), e.msg) : FL_STR("too large");
	return failed(w, keys ? file_line(w, aks.bad, aks.line) : 0, all.p ? all.p : "too large");
}

static enum kind kind_of(const cJSON *tree, const cJSON *data)
{
	const cJSON *meta = cJSON_GetObjectItemCaseSensitive(tree, "metadata"), *name = cJSON_GetObjectItemCaseSensitive(meta, "name"), *v;
	enum kind by_key = AUTO;
	cJSON_ArrayForEach(v, data) {
		struct fl_str key = fl_str(v->string);
		if (fl_str_is(key, "Corefile"))
			return COREFILE;
		if (fl_kubedns_is_key(key))
			by_key = KUBE_DNS;
		if (fl_str_ends(key, FL_STR(".override")) || fl_str_ends(key, FL_STR(".server")))
			by_key = CUSTOM;
	}
	const char *is = cJSON_IsString(name) ? name->valuestring : "";
	return by_key ? by_key : !strcmp(is, "kube-dns") ? KUBE_DNS : !strcmp(is, "coredns-custom") ? CUSTOM : AUTO;
}

static void localdns_said(void *arg, const char *text) { notice(arg, 0, "warning", text); }

static int localdns(struct work *w, const cJSON *tree, int line)
{
	const char *dns = ctl_text(w->c, "cluster-dns"), *up = ctl_text(w->c, "upstream");
	struct fl_localdns l = { fl_str(dns ? dns : ""), up ? fl_str(up) : FL_STR("168.63.129.16"), localdns_said, w };
	struct fl_err e;
	w->is = LOCALDNS;
	return fl_localdns_corefile(&w->a, tree, &l, &w->out, &e) ? failed(w, line, e.msg) : 0;
}

static bool wanted(const struct work *w, enum kind k)
{
	return k != AUTO && (w->want == AUTO || w->want == k || (w->want == NODE_LOCAL && k == COREFILE));
}

static int on_tree(void *arg, const cJSON *tree, int line)
{
	struct work *w = arg;
	const cJSON *kind = cJSON_GetObjectItemCaseSensitive(tree, "kind"), *data = cJSON_GetObjectItemCaseSensitive(tree, "data"), *v;
	if ((w->want == AUTO || w->want == LOCALDNS) && w->is == AUTO && fl_localdns_is(tree))
		return localdns(w, tree, line);
	bool map = cJSON_IsString(kind) && !strcmp(kind->valuestring, "ConfigMap");
	enum kind k = map ? kind_of(tree, data) : AUTO;
	if (!wanted(w, k))
		return 0;
	if (w->is != AUTO) {
		notice(w, line, "warning", "one more ConfigMap is left out: --kind says which");
		return 0;
	}
	unsigned n = 0;
	struct fl_kubedns_key *key = fl_alloc(&w->a, ((unsigned)cJSON_GetArraySize(data) + 1) * sizeof *key);
	cJSON_ArrayForEach(v, data) {
		struct fl_str name = fl_str(v->string);
		if (!cJSON_IsString(v) && !cJSON_IsNull(v)) {
			struct fl_str all = fl_arena_printf(&w->a, "%.*s: is no text: a '|' is missing behind the key", FL_FMT(name));
			return failed(w, key_line(w, name), all.p ? all.p : "no text");
		}
		if (key)        /* the tree goes after this call, what is told later does not */
			key[n++] = (struct fl_kubedns_key){ fl_arena_str(&w->a, name), fl_arena_str(&w->a, fl_str(v->valuestring ? v->valuestring : "")) };
		if (!key || !key[n - 1].name.p || !key[n - 1].text.p)
			return failed(w, 0, "too large");
	}
	if (k == KUBE_DNS)
		return kube_dns(w, key, n);
	if (k == CUSTOM)
		return custom(w, key, n);
	w->start = key_line(w, FL_STR("Corefile"));
	for (unsigned i = 0; i < n; i++)
		if (fl_str_is(key[i].name, "Corefile"))
			return corefile(w, key[i].text);
	return 0;
}

/* A Corefile has no line that begins with `kind:`, `apiVersion:` or `data:` (quoted or not), and does not begin as JSON does. */
static bool is_manifest(struct fl_str text)
{
	static const char *const fields[] = { "kind", "apiVersion", "data" };
	for (struct fl_str rest = text, line, name; rest.n;) {
		rest = fl_str_cut(rest, '\n', &line);
		if (!line.n || !memchr(line.p, ':', line.n))
			continue;
		fl_str_cut(line, ':', &name);
		if (name.n > 2 && (*name.p == '"' || *name.p == '\'') && name.p[name.n - 1] == *name.p)
			name = (struct fl_str){ name.p + 1, name.n - 2 };
		for (unsigned i = 0; i < FL_COUNT(fields); i++)
			if (fl_str_is(name, fields[i]))
				return true;
	}
	text = fl_str_trim(text);
	return text.n && *text.p == '{';
}

static int translate(struct work *w)
{
	if (!is_manifest(w->text))
		return w->want == KUBE_DNS || w->want == CUSTOM || w->want == LOCALDNS ? failed(w, 1, "is no ConfigMap") : corefile(w, w->text);
	int ret = ctl_documents_of(w->c, w->path, w->text, on_tree, w);
	if (!ret && w->is == AUTO)
		ret = failed(w, 1, "holds no ConfigMap of kube-dns, coredns-custom, node-local-dns or coredns, and is not LocalDNS's");
	return ret;
}

/* ---- the command ---- */

static int print(struct work *w)
{
	if (!w->c->json) {
		fwrite(w->out.p, 1, w->out.n, stdout);
		return 0;
	}
	cJSON *json = cJSON_CreateObject();
	cJSON_AddStringToObject(json, "kind", kinds[w->is]);
	if (w->from) {
		cJSON_AddStringToObject(json, "from", w->from);
		cJSON_AddStringToObject(json, "to", ctl_text(w->c, "to"));
	}
	cJSON_AddItemToObject(json, "corefile", ctl_json_str(w->out));
	cJSON_AddItemToObject(json, "notices", w->notices);
	w->notices = NULL;
	return ctl_print(w->c, json);
}

static int run(struct ctl *c)
{
	static const char *const words[] = { "cluster-domain", "cluster-dns", "local-dns", "listen-too", "upstream", NULL };
	struct work w = { .c = c, .a = { .limit = 512 << 20 }, .path = c->arg[0] };
	for (const char *const *f = words; *f; f++)
		if (ctl_text(c, *f) && strpbrk(ctl_text(c, *f), "{}\"#\n\\"))
			return ctl_misuse(c, "--%s: \"%s\" is no address or name", *f, ctl_text(c, *f));
	while (strcmp(kinds[w.want], ctl_text(c, "kind")))
		w.want++;
	if (ctl_read(c, w.path, &w.text))
		return 1;
	w.notices = cJSON_CreateArray();
	int ret = translate(&w);
	if (!ret)
		ret = print(&w);
	cJSON_Delete(w.notices);
	fl_arena_finish(&w.a);
	free((char *)(uintptr_t)w.text.p);
	return ret;
}

const struct ctl_command ctl_translate = {
	.name = "translate", .about = "A Corefile from what kube-dns, AKS, NodeLocal DNSCache or an older CoreDNS was given", .args = "FILE",
	.min = 1, .max = 1, .flag = flags, .json = true, .main = run,
};

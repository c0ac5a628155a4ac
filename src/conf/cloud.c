#include "conf/cloud.h"
#include "conf/conf_int.h"
#include "conf/tree.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* AKS writes this and reconciles it (2024-10-25 on). */
static const char aks[] =
	".:53 {\n errors\n ready\n health {\n  lameduck 5s\n }\n"
	" kubernetes DOMAIN in-addr.arpa ip6.arpa {\n  pods insecure\n  fallthrough in-addr.arpa ip6.arpa\n  ttl 30\n }\n"
	" prometheus :9153\n forward . /etc/resolv.conf\n cache 30\n loop\n reload\n loadbalance\n"
	" template ANY ANY internal.cloudapp.net {\n  match \"^(?:[^.]+\\.){4,}internal\\.cloudapp\\.net\\.$\"\n  rcode NXDOMAIN\n  fallthrough\n }\n"
	" template ANY ANY reddog.microsoft.com {\n  rcode NXDOMAIN\n }\n}\n";

struct work {
	struct fl_arena *a;
	struct fl_cloud *c;
	struct fl_str key;
	struct fl_stmt root;            /* the default block first */
	struct fl_stmt *block;
	bool own_forward;               /* the default block's is an override's */
	struct fl_err *e;
};

static int __attribute__((format(printf, 3, 4))) wrong(struct work *w, int line, const char *fmt, ...)
{
	char text[400];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	w->c->bad = w->key;
	w->c->line = line;
	return fl_err_set(w->e, "%s", text);
}

static void __attribute__((format(printf, 3, 4))) note(struct work *w, int line, const char *fmt, ...)
{
	char text[400];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (w->c->note)
		w->c->note(w->c->arg, w->key, line, text);
}

static void append(struct fl_stmt *parent, struct fl_stmt *s)
{
	struct fl_stmt **last = &parent->child;
	while (*last)
		last = &(*last)->next;
	*last = s;
	s->next = NULL;
}

/* ---- server blocks ---- */

/* "dns://A.org.:53," → "a.org:53": enough to see that two are the same. */
static struct fl_str plain_key(struct fl_arena *a, struct fl_str key)
{
	if (key.n && key.p[key.n - 1] == ',')
		key.n--;
	if (fl_str_starts(key, FL_STR("dns://")))
		key = (struct fl_str){ key.p + 6, key.n - 6 };
	size_t colon = key.n;
	while (colon && key.p[colon - 1] != ':')
		colon--;
	struct fl_str zone = { key.p, colon ? colon - 1 : key.n }, port = FL_STR("53");
	if (colon)
		port = (struct fl_str){ key.p + colon, key.n - colon };
	if (zone.n > 1 && zone.p[zone.n - 1] == '.')
		zone.n--;
	struct fl_str out = fl_arena_printf(a, "%.*s:%.*s", FL_FMT(zone), FL_FMT(port));
	for (size_t i = 0; out.p && i < out.n; i++)
		((char *)(uintptr_t)out.p)[i] = (char)fl_lower((uint8_t)out.p[i]);
	return out;
}

static bool defined(struct work *w, struct fl_str key)
{
	for (const struct fl_stmt *b = w->root.child; b; b = b->next)
		for (unsigned i = 0; i < b->nword && !fl_stmt_is_snippet(b); i++)
			if (fl_str_eq(plain_key(w->a, fl_stmt_word(b, i)), key))
				return true;
	return false;
}

static int server(struct work *w, struct fl_str text)
{
	struct fl_stmt all, *next;
	int line;
	struct fl_err why;
	if (fl_tree_parse(w->a, text, &all, &line, &why))
		return wrong(w, line, "%s", why.msg);
	for (struct fl_stmt *b = all.child; b; b = next) {
		next = b->next;
		bool import = fl_stmt_is(b, "import");
		if (!import && !b->child)
			return wrong(w, b->line, "\"%.*s\" is no server block: lines of the default block belong under a key that ends in .override",
				     (int)(b->word->n < 100 ? b->word->n : 100), b->word->p);
		for (unsigned i = 0; i < b->nword && !import && !fl_stmt_is_snippet(b); i++) {
			struct fl_str key = plain_key(w->a, fl_stmt_word(b, i)), zone;
			struct fl_str port = fl_str_cut(key, ':', &zone);
			if (key.p && defined(w, key))
				return wrong(w, b->line, "cannot serve dns://%.*s%s:%.*s - it is already defined%s", FL_FMT(zone), zone.n > 1 ? "." : "",
					     FL_FMT(port), fl_str_is(zone, ".") ? ": the root is the default block's; add to it by a key that ends in .override" : "");
		}
		append(&w->root, b);
	}
	if (all.end.n)
		w->root.end = all.end;
	return 0;
}

/* ---- lines of the default block ---- */

/* What can stand as a key: a name, an address range. */
static bool is_zone(struct fl_str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.*/", s.p[i]) || !s.p[i])
			return false;
	return s.n > 0;
}

/* forward may stand once in a block, and AKS's has one. */
static int forward(struct work *w, struct fl_stmt *s)
{
	struct fl_stmt *old = fl_stmt_find(w->block, "forward");
	if (s->nword < 3)
		return wrong(w, s->line, "forward needs a zone and a server");
	if (fl_str_is(fl_stmt_word(s, 1), ".")) {
		if (w->own_forward)
			return wrong(w, s->line, "plugin/forward: this plugin can only be used once per Server Block");
		note(w, s->line, "a second forward in the default block, which CoreDNS refuses (plugin/forward: this plugin can only be used once per Server Block): "
		     "it takes the place of `forward . /etc/resolv.conf`");
		w->own_forward = true;
		fl_stmt_drop(w->a, w->block, old);
		append(w->block, s);
		return 0;
	}
	struct fl_str zone = fl_stmt_word(s, 1), key = fl_arena_printf(w->a, "%.*s:53", FL_FMT(zone));
	if (!key.p)
		return wrong(w, s->line, "too large");
	if (!is_zone(zone))
		return wrong(w, s->line, "forward: '%.*s' is no zone", FL_FMT(zone));
	if (defined(w, plain_key(w->a, key)))
		return wrong(w, s->line, "cannot serve dns://%.*s:53 - it is already defined", FL_FMT(zone));
	note(w, s->line, "a second forward in the default block, which CoreDNS refuses (plugin/forward: this plugin can only be used once per Server Block): "
	     "%.*s gets a server block of its own", FL_FMT(zone));
	struct fl_stmt *b = fl_stmt_add(w->a, &w->root, "x");
	if (!b || !fl_stmt_add(w->a, b, "errors") || !fl_stmt_add(w->a, b, "cache 30"))
		return wrong(w, s->line, "too large");
	b->word[0] = key;
	s->word[1] = FL_STR(".");
	append(b, s);
	return 0;
}

static int override(struct work *w, struct fl_str text)
{
	struct fl_stmt all, *next;
	int line;
	struct fl_err why;
	struct fl_str wrapped = fl_arena_printf(w->a, "x {\n%.*s\n}", FL_FMT(text));    /* else a lone line would be a key */
	if (!wrapped.p)
		return wrong(w, 0, "too large");
	if (fl_tree_parse(w->a, wrapped, &all, &line, &why))
		return wrong(w, line - 1, "%s", line > 1 ? why.msg : "a brace is not closed");
	if (all.child->next)
		return wrong(w, all.child->next->line - 1, "'}' closes nothing");
	for (struct fl_stmt *s = all.child->child; s; s = next) {
		struct fl_str name = fl_stmt_word(s, 0);
		next = s->next;
		s->line--;
		if (s->braces && (memchr(name.p, '.', name.n) || memchr(name.p, ':', name.n)))
			return wrong(w, s->line, "\"%.*s\" is a server block: these belong under a key that ends in .server",
				     (int)(name.n < 100 ? name.n : 100), name.p);
		if (fl_stmt_is(s, "forward")) {
			if (forward(w, s))
				return -EINVAL;
			continue;
		}
		append(w->block, s);
	}
	return 0;
}

/* ---- keys ---- */

static int by_name(const void *x, const void *y)
{
	const struct fl_cloud_key *a = x, *b = y;
	size_t n = a->name.n < b->name.n ? a->name.n : b->name.n;
	int c = memcmp(a->name.p, b->name.p, n);
	return c ? c : (a->name.n > b->name.n) - (a->name.n < b->name.n);
}

static int one(struct work *w, const struct fl_cloud_key *k, bool servers)
{
	bool is_server = fl_str_ends(k->name, FL_STR(".server")), is_override = fl_str_ends(k->name, FL_STR(".override"));
	w->key = k->name;
	if (!is_server && !is_override && !servers)
		note(w, 0, "left out: only keys that end in .override or .server count");
	if (servers ? !is_server : !is_override)
		return 0;
	if (!fl_str_trim(k->text).n) {
		note(w, 0, "empty");
		return 0;
	}
	if (memchr(k->text.p, '{', k->text.n) && !memchr(k->text.p, '\n', k->text.n))
		return wrong(w, 0, "all in one line: a '|' is missing behind the key, and YAML made one line of it");
	return servers ? server(w, k->text) : override(w, k->text);
}

/* CoreDNS imports in the order of names; the default block comes first. */
int fl_cloud_aks(struct fl_arena *a, struct fl_cloud *c, struct fl_str *out, struct fl_err *e)
{
	struct work w = { .a = a, .c = c, .e = e };
	struct fl_cloud_key *key = fl_copy(a, c->key, c->nkey * sizeof *key);
	int line, ret = key ? fl_tree_parse(a, fl_str(aks), &w.root, &line, e) : wrong(&w, 0, "too large");
	if (ret)
		return ret;
	w.block = w.root.child;
	for (struct fl_stmt *s = w.block->child; s; s = s->next)
		if (fl_stmt_is(s, "kubernetes"))
			s->word[1] = c->domain;
	if (c->nkey)
		qsort(key, c->nkey, sizeof *key, by_name);
	for (unsigned pass = 0; pass < 2; pass++)
		for (unsigned i = 0; i < c->nkey && !ret; i++)
			ret = one(&w, &key[i], pass);
	if (ret)
		return ret;
	*out = fl_tree_text(a, &w.root);
	return out->p ? 0 : wrong(&w, 0, "too large");
}

/* ---- node-local-dns ---- */

#define PILLAR "__PILLAR__"

bool fl_pillar_is_template(struct fl_str text) { return text.n && memmem(text.p, text.n, PILLAR, sizeof PILLAR - 1); }

static int unset(struct fl_err *e, struct fl_str name, const char *flag)
{
	return fl_err_set(e, "%.*s: give %s", FL_FMT(name), flag);
}

/* The value of the variable at p and its length; NULL after words in e. */
static const char *value(const char *at, size_t n, const struct fl_pillars *p, size_t *len, struct fl_err *e)
{
	const struct { struct fl_str name; const char *value, *flag; } vars[] = {
		{ FL_STR(PILLAR "LOCAL__DNS__"), p->local_dns, "--local-dns" },
		{ FL_STR(PILLAR "DNS__SERVER__"), p->server ? p->server : "", "" },
		{ FL_STR(PILLAR "DNS__DOMAIN__"), p->domain, "--cluster-domain" },
		{ FL_STR(PILLAR "CLUSTER__DNS__"), p->cluster_dns, "--cluster-dns" },
		{ FL_STR(PILLAR "UPSTREAM__SERVERS__"), p->upstream, "--upstream" },
	};
	struct fl_str rest = { at, n };
	for (unsigned i = 0; i < FL_COUNT(vars); i++)
		if (fl_str_starts(rest, vars[i].name)) {
			*len = vars[i].name.n;
			if (!vars[i].value)
				unset(e, vars[i].name, vars[i].flag);
			return vars[i].value;
		}
	size_t end = 0;
	while (end < n && end < 80 && (at[end] == '_' || (at[end] >= 'A' && at[end] <= 'Z')))
		end++;
	fl_err_set(e, "%.*s: no such variable", (int)end, at);
	return NULL;
}

int fl_pillar_corefile(struct fl_arena *a, struct fl_str text, const struct fl_pillars *p, struct fl_str *out, int *line, struct fl_err *e)
{
	struct fl_conf_buf b = { 0 };
	const char *from = text.p, *end = text.p + text.n, *at;
	*line = 1;
	while (text.n && (at = memmem(from, (size_t)(end - from), PILLAR, sizeof PILLAR - 1))) {
		size_t len;
		for (const char *c = from; c < at; c++)
			*line += *c == '\n';
		const char *v = value(at, (size_t)(end - at), p, &len, e);
		if (!v) {
			fl_conf_buf_finish(&b);
			return -EINVAL;
		}
		fl_conf_buf_add(&b, from, (size_t)(at - from));
		fl_conf_buf_add(&b, v, strlen(v));
		from = at + len;
	}
	fl_conf_buf_add(&b, from, text.n ? (size_t)(end - from) : 0);
	*out = fl_arena_str(a, (struct fl_str){ b.p ? b.p : "", b.n });
	fl_conf_buf_finish(&b);
	return out->p ? 0 : fl_err_set(e, "too large");
}

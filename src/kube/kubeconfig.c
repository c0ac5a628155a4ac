/* kubeconfig files (YAML, so JSON too) by libyaml's document tree. Lenient where client-go is: unknown keys are ignored, a context
 * without a user is anonymous. What this program cannot do yet (exec, auth-provider, impersonation, proxies) is an error that says
 * so. */
#include "kube/config.h"
#include <errno.h>
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>

struct file {
	struct fl_kube_config *k;
	yaml_document_t doc;
	const char *path;
	struct fl_str folder;                   /* relative paths start here; with its slash */
	struct fl_err *e;
	bool bad;                               /* e has the words */
};

/* ---- the tree ---- */

static struct fl_str text_of(const yaml_node_t *n)
{
	return (struct fl_str){ (const char *)n->data.scalar.value, n->data.scalar.length };
}

static const yaml_node_t *get(struct file *f, const yaml_node_t *map, const char *key)
{
	if (!map || map->type != YAML_MAPPING_NODE)
		return NULL;
	for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top; p++) {
		yaml_node_t *k = yaml_document_get_node(&f->doc, p->key);
		if (k && k->type == YAML_SCALAR_NODE && fl_str_is(text_of(k), key))
			return yaml_document_get_node(&f->doc, p->value);
	}
	return NULL;
}

static bool one_of(struct fl_str s, const char *words)
{
	for (struct fl_str rest = fl_str(words), w; rest.n;) {
		rest = fl_str_cut(rest, ' ', &w);
		if (fl_str_ieq(s, w))
			return true;
	}
	return false;
}

/* What a plain scalar is in YAML 1.1, as far as it matters here. */
static const char *type_of(const yaml_node_t *n)
{
	if (n->type == YAML_SEQUENCE_NODE)
		return "array";
	if (n->type == YAML_MAPPING_NODE)
		return "object";
	struct fl_str s = text_of(n);
	if (n->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
		return "string";
	if (!s.n || one_of(s, "~ null"))
		return "null";
	if (one_of(s, "true false yes no on off"))
		return "bool";
	char *end;
	strtod(s.p, &end);                      /* libyaml's values are NUL-terminated */
	return end == s.p + s.n && strspn(s.p, "+-.0123456789") ? "number" : "string";
}

static void wrong_type(struct file *f, const yaml_node_t *n, const char *where, const char *want)
{
	if (!f->bad)
		fl_err_set(f->e, "error loading config file \"%s\": json: cannot unmarshal %s into Go struct field %s of type %s",
			f->path, type_of(n), where, want);
	f->bad = true;
}

/* where: "AuthInfo.users.user.token", whose last part is the key. NULL: absent or empty. */
static const char *string(struct file *f, const yaml_node_t *map, const char *where)
{
	const yaml_node_t *n = get(f, map, strrchr(where, '.') + 1);
	const char *type = n ? type_of(n) : "null";
	if (!strcmp(type, "null"))
		return NULL;
	if (strcmp(type, "string")) {
		wrong_type(f, n, where, "string");
		return NULL;
	}
	struct fl_str s = text_of(n);
	return s.n ? fl_arena_str(&f->k->mem, s).p : NULL;
}

static bool boolean(struct file *f, const yaml_node_t *map, const char *where)
{
	const yaml_node_t *n = get(f, map, strrchr(where, '.') + 1);
	const char *type = n ? type_of(n) : "null";
	if (!strcmp(type, "null"))
		return false;
	if (strcmp(type, "bool"))
		wrong_type(f, n, where, "bool");
	return !strcmp(type, "bool") && one_of(text_of(n), "true yes on");
}

static struct fl_str bytes(struct file *f, const yaml_node_t *map, const char *where)
{
	const char *s = string(f, map, where);
	if (!s)
		return FL_STR("");
	gnutls_datum_t in = { .data = (unsigned char *)(uintptr_t)s, .size = (unsigned)strlen(s) }, out = { 0 };
	size_t good = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=\r\n");
	if (s[good] || gnutls_base64_decode2(&in, &out) < 0) {
		if (!f->bad)
			fl_err_set(f->e, "error loading config file \"%s\": illegal base64 data at input byte %zu", f->path, good);
		f->bad = true;
		return FL_STR("");
	}
	struct fl_str got = fl_arena_str(&f->k->mem, (struct fl_str){ (const char *)out.data, out.size });
	gnutls_free(out.data);
	return got;
}

static const char *path(struct file *f, const yaml_node_t *map, const char *where)
{
	const char *s = string(f, map, where);
	return !s || *s == '/' ? s : fl_arena_printf(&f->k->mem, "%.*s%s", FL_FMT(f->folder), s).p;
}

static struct fl_kube_pem pem(struct file *f, const yaml_node_t *map, const char *file, const char *data)
{
	return (struct fl_kube_pem){ .file = path(f, map, file), .data = bytes(f, map, data) };
}

/* The entry called name of a list of {name, KIND: {…}}; *inner is what KIND holds. False: there is none. */
static bool entry(struct file *f, const char *list, const char *kind, const char *name, const yaml_node_t **inner)
{
	const yaml_node_t *seq = get(f, yaml_document_get_root_node(&f->doc), list);
	bool found = false;
	*inner = NULL;
	if (!seq || seq->type != YAML_SEQUENCE_NODE || !name)
		return false;
	for (yaml_node_item_t *i = seq->data.sequence.items.start; i < seq->data.sequence.items.top; i++) {
		const yaml_node_t *item = yaml_document_get_node(&f->doc, *i), *n = get(f, item, "name");
		if (!n || n->type != YAML_SCALAR_NODE || !fl_str_is(text_of(n), name))
			continue;
		if (found && !f->bad) {
			fl_err_set(f->e, "error loading config file \"%s\": duplicate name \"%s\" in list: %s", f->path, name,
				list);
			f->bad = true;
		}
		found = true;
		*inner = get(f, item, kind);
	}
	return found;
}

/* ---- clusters, users, contexts ---- */

static const char *first_key(struct file *f, const yaml_node_t *map, const char *const *keys)
{
	for (; *keys; keys++)
		if (get(f, map, *keys))
			return *keys;
	return NULL;
}

static void read_cluster(struct file *f, const yaml_node_t *c, const char *name)
{
	struct fl_kube_config *k = f->k;
	static const char *const later[] = { "proxy-url", NULL };
	const char *key = first_key(f, c, later);
	if (key && !f->bad) {
		fl_err_set(f->e, "error loading config file \"%s\": %s of cluster \"%s\" is not supported yet", f->path, key, name);
		f->bad = true;
	}
	k->ca = pem(f, c, "Cluster.clusters.cluster.certificate-authority", "Cluster.clusters.cluster.certificate-authority-data");
	k->insecure = boolean(f, c, "Cluster.clusters.cluster.insecure-skip-tls-verify");
	const char *tls_name = string(f, c, "Cluster.clusters.cluster.tls-server-name");
	k->tls_name = tls_name ? tls_name : "";
}

/* ---- impersonation (client-go transport/round_trippers.go) ---- */

static void put_header(struct file *f, const char *name, struct fl_str value)
{
	struct fl_kube_config *k = f->k;
	bool odd = false;
	for (size_t i = 0; i < value.n; i++)
		odd |= (uint8_t)value.p[i] < ' ' || value.p[i] == 0x7f;
	if (k->nheader == FL_KUBE_HEADERS || odd) {
		if (!f->bad)
			fl_err_set(f->e, odd ? "error loading config file \"%s\": invalid header field value for \"%s\"" :
				   "error loading config file \"%s\": more headers than can be sent: %s", f->path, name);
		f->bad = true;
		return;
	}
	k->header[k->nheader++] = (struct fl_kube_header){ name, fl_arena_str(&k->mem, value).p };
}

/* Each text of a list. */
static void put_headers(struct file *f, const char *name, const yaml_node_t *seq, const char *where)
{
	if (seq && seq->type != YAML_SEQUENCE_NODE)
		wrong_type(f, seq, where, "[]string");
	if (!seq || seq->type != YAML_SEQUENCE_NODE)
		return;
	for (yaml_node_item_t *i = seq->data.sequence.items.start; i < seq->data.sequence.items.top; i++) {
		const yaml_node_t *n = yaml_document_get_node(&f->doc, *i);
		if (strcmp(type_of(n), "string"))
			wrong_type(f, n, where, "string");
		else
			put_header(f, name, text_of(n));
	}
}

/* impersonate-extra-KEY: what may not stand in a header's name is percent-encoded. */
static const char *extra_name(struct file *f, struct fl_str key)
{
	static const char hex[] = "0123456789abcdef", good[] = "abcdefghijklmnopqrstuvwxyz0123456789!#$&'*+-.^_`|~";
	char *to = fl_alloc(&f->k->mem, sizeof "impersonate-extra-" + 3 * key.n), *p = to;
	if (!to)
		return NULL;
	p = stpcpy(p, "impersonate-extra-");
	for (size_t i = 0; i < key.n; i++) {
		uint8_t c = fl_lower((uint8_t)key.p[i]);
		if (c && strchr(good, c)) {
			*p++ = (char)c;
			continue;
		}
		*p++ = '%';
		*p++ = hex[c >> 4];
		*p++ = hex[c & 15];
	}
	*p = 0;
	return to;
}

static void read_impersonation(struct file *f, const yaml_node_t *u, const char *user)
{
	const char *as = string(f, u, "AuthInfo.users.user.as"), *uid = string(f, u, "AuthInfo.users.user.as-uid");
	const yaml_node_t *groups = get(f, u, "as-groups"), *extra = get(f, u, "as-user-extra");
	if (!as && (uid || groups || extra) && !f->bad) {
		fl_err_set(f->e, "invalid configuration: requesting uid, groups or user-extra for %s without impersonating a user", user);
		f->bad = true;
	}
	if (as)
		put_header(f, "impersonate-user", fl_str(as));
	if (uid)
		put_header(f, "impersonate-uid", fl_str(uid));
	put_headers(f, "impersonate-group", groups, "AuthInfo.users.user.as-groups");
	if (extra && extra->type != YAML_MAPPING_NODE)
		wrong_type(f, extra, "AuthInfo.users.user.as-user-extra", "map[string][]string");
	if (!extra || extra->type != YAML_MAPPING_NODE)
		return;
	for (yaml_node_pair_t *p = extra->data.mapping.pairs.start; p < extra->data.mapping.pairs.top; p++) {
		const yaml_node_t *key = yaml_document_get_node(&f->doc, p->key);
		const char *name = key->type == YAML_SCALAR_NODE ? extra_name(f, text_of(key)) : NULL;
		if (name)
			put_headers(f, name, yaml_document_get_node(&f->doc, p->value), "AuthInfo.users.user.as-user-extra");
	}
}

static void read_user(struct file *f, const yaml_node_t *u, const char *name)
{
	struct fl_kube_config *k = f->k;
	static const char *const later[] = { "exec", "auth-provider", NULL };
	const char *key = first_key(f, u, later);
	if (key && !f->bad) {
		fl_err_set(f->e, "error loading config file \"%s\": %s of user \"%s\" is not supported yet", f->path, key, name);
		f->bad = true;
	}
	k->cert = pem(f, u, "AuthInfo.users.user.client-certificate", "AuthInfo.users.user.client-certificate-data");
	k->key = pem(f, u, "AuthInfo.users.user.client-key", "AuthInfo.users.user.client-key-data");
	k->token = string(f, u, "AuthInfo.users.user.token");
	k->token_file = path(f, u, "AuthInfo.users.user.tokenFile");
	k->username = string(f, u, "AuthInfo.users.user.username");
	k->password = string(f, u, "AuthInfo.users.user.password");
	read_impersonation(f, u, name);
}

static int check_kind(struct file *f)
{
	const yaml_node_t *root = yaml_document_get_root_node(&f->doc);
	const char *version = string(f, root, "Config.apiVersion"), *kind = string(f, root, "Config.kind");
	if (f->bad)
		return -EINVAL;
	if (root && root->type != YAML_MAPPING_NODE)
		return fl_err_set(f->e, "error loading config file \"%s\": json: cannot unmarshal %s into Go value of type struct",
			f->path, type_of(root));
	if ((version && strcmp(version, "v1")) || (kind && strcmp(kind, "Config")))
		return fl_err_set(f->e, "error loading config file \"%s\": no kind \"%s\" is registered for version \"%s\"",
			f->path, kind ? kind : "Config", version ? version : "v1");
	return 0;
}

static int use(struct file *f, struct fl_str context)
{
	static const char *const nothing =
		"invalid configuration: no configuration has been provided, try setting KUBERNETES_MASTER environment variable";
	struct fl_kube_config *k = f->k;
	const yaml_node_t *root = yaml_document_get_root_node(&f->doc), *c, *u;
	const char *name = context.n ? fl_arena_str(&k->mem, context).p : string(f, root, "Config.current-context");
	bool known = entry(f, "contexts", "context", name, &c);
	if (!f->bad && context.n && !known)
		return fl_err_set(f->e, "context \"%s\" does not exist", name);
	if (!f->bad && name && !known)
		return fl_err_set(f->e,
			"invalid configuration: [context was not found for specified context: %s, cluster has no server defined]",
			name);
	const char *cluster = string(f, c, "Context.contexts.context.cluster");
	const char *user = string(f, c, "Context.contexts.context.user");
	if (entry(f, "users", "user", user, &u))
		read_user(f, u, user);
	known = entry(f, "clusters", "cluster", cluster, &c);
	if (known)
		read_cluster(f, c, cluster);
	const char *server = string(f, c, "Cluster.clusters.cluster.server");
	if (f->bad)
		return -EINVAL;
	if (!known)
		return fl_err_set(f->e, "%s", nothing);
	if (!server)
		return fl_err_set(f->e, "invalid configuration: no server found for cluster \"%s\"", cluster);
	bool tls = k->ca.file || k->ca.data.n || k->cert.file || k->cert.data.n || k->insecure;
	int ret = fl_kube_config_check(k, cluster, user ? user : "", f->e);
	return ret ? ret : fl_kube_config_url(k, fl_str(server), tls, f->e);
}

/* With the line that go-yaml would name. */
static int bad_yaml(const char *name, const yaml_parser_t *p, struct fl_err *e)
{
	const char *why = p->problem ? p->problem : "cannot be read";
	size_t line = p->context_mark.line ? p->context_mark.line : p->problem_mark.line;
	if (!line)
		return fl_err_set(e, "error loading config file \"%s\": yaml: %s", name, why);
	return fl_err_set(e, "error loading config file \"%s\": yaml: line %zu: %s", name, line + (p->error == YAML_SCANNER_ERROR),
		why);
}

int fl_kube_config_file(struct fl_kube_config *k, const char *name, struct fl_str context, struct fl_err *e)
{
	struct file f = { .k = k, .path = name, .e = e };
	const char *slash = strrchr(name, '/');
	yaml_parser_t parser;
	struct fl_err why;
	size_t n;
	char *text = fl_kube_read_file(name, &n, &why);
	if (!text)                              /* client-go looks with stat() first */
		return fl_err_set(e, "%s%s", !strncmp(why.msg, "open ", 5) && strstr(why.msg, ": no such") ? "stat " : "",
			!strncmp(why.msg, "open ", 5) && strstr(why.msg, ": no such") ? why.msg + 5 : why.msg);
	f.folder = slash ? (struct fl_str){ name, (size_t)(slash - name) + 1 } : FL_STR("");
	int ret = -ENOMEM;
	if (yaml_parser_initialize(&parser)) {
		yaml_parser_set_input_string(&parser, (const unsigned char *)text, n);
		if (!yaml_parser_load(&parser, &f.doc)) {
			ret = bad_yaml(name, &parser, e);
		} else {
			ret = check_kind(&f);
			if (!ret)
				ret = use(&f, context);
			yaml_document_delete(&f.doc);
		}
		yaml_parser_delete(&parser);
	}
	free(text);
	return ret;
}

/* kubeconfig files (YAML, so JSON too) by libyaml's document tree. Lenient where client-go is: unknown keys are ignored, a context
 * without a user is anonymous. */
#include "base/confine.h"
#include "kube/config.h"
#include "net/proxy.h"
#include <cjson/cJSON.h>
#include <errno.h>
#include <gnutls/gnutls.h>
#include <stdarg.h>
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

static void read_cluster(struct file *f, const yaml_node_t *c, const char *name)
{
	struct fl_kube_config *k = f->k;
	struct fl_err why;
	k->proxy_url = string(f, c, "Cluster.clusters.cluster.proxy-url");
	if (k->proxy_url && !f->bad && fl_proxy_check(fl_str(k->proxy_url), &why)) {
		fl_err_set(f->e, "invalid configuration: invalid 'proxy-url' \"%s\" for cluster \"%s\": %s", k->proxy_url, name, why.msg);
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

/* ---- credential plugins ---- */

static void exec_fault(struct file *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void exec_fault(struct file *f, const char *fmt, ...)
{
	char words[300];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(words, sizeof words, fmt, ap);
	va_end(ap);
	if (!f->bad)
		fl_err_set(f->e, "invalid configuration: %s", words);
	f->bad = true;
}

/* Any YAML as JSON: for a plugin's config. NULL: too deep, or no memory. */
static cJSON *json_of(struct file *f, const yaml_node_t *n, unsigned nest)
{
	const char *type = type_of(n);
	if (nest > 40)
		return NULL;
	if (n->type == YAML_SCALAR_NODE) {
		const char *s = (const char *)n->data.scalar.value;
		return !strcmp(type, "null") ? cJSON_CreateNull() : !strcmp(type, "bool") ? cJSON_CreateBool(one_of(text_of(n), "true yes on")) :
		       !strcmp(type, "number") ? cJSON_CreateNumber(strtod(s, NULL)) : cJSON_CreateString(s);
	}
	cJSON *all = n->type == YAML_SEQUENCE_NODE ? cJSON_CreateArray() : cJSON_CreateObject();
	if (n->type == YAML_SEQUENCE_NODE)
		for (yaml_node_item_t *i = n->data.sequence.items.start; i < n->data.sequence.items.top; i++)
			cJSON_AddItemToArray(all, json_of(f, yaml_document_get_node(&f->doc, *i), nest + 1));
	else
		for (yaml_node_pair_t *p = n->data.mapping.pairs.start; p < n->data.mapping.pairs.top; p++) {
			const yaml_node_t *key = yaml_document_get_node(&f->doc, p->key);
			if (key->type == YAML_SCALAR_NODE)
				cJSON_AddItemToObject(all, (const char *)key->data.scalar.value,
						      json_of(f, yaml_document_get_node(&f->doc, p->value), nest + 1));
		}
	return all;
}

/* The cluster's extension that is meant for plugins, as JSON; NULL: none. */
static const char *plugin_config(struct file *f, const yaml_node_t *cluster)
{
	const yaml_node_t *seq = get(f, cluster, "extensions"), *ext = NULL;
	if (!seq || seq->type != YAML_SEQUENCE_NODE)
		return NULL;
	for (yaml_node_item_t *i = seq->data.sequence.items.start; i < seq->data.sequence.items.top; i++) {
		const yaml_node_t *item = yaml_document_get_node(&f->doc, *i), *name = get(f, item, "name");
		if (name && name->type == YAML_SCALAR_NODE && fl_str_is(text_of(name), "client.authentication.k8s.io/exec"))
			ext = get(f, item, "extension");
	}
	cJSON *json = ext ? json_of(f, ext, 0) : NULL;
	char *text = json ? cJSON_PrintUnformatted(json) : NULL;
	const char *own = text ? fl_arena_str(&f->k->mem, fl_str(text)).p : NULL;
	cJSON_free(text);
	cJSON_Delete(json);
	return own;
}

static unsigned count(const yaml_node_t *seq)
{
	return seq && seq->type == YAML_SEQUENCE_NODE ? (unsigned)(seq->data.sequence.items.top - seq->data.sequence.items.start) : 0;
}

static const yaml_node_t *element(struct file *f, const yaml_node_t *seq, unsigned i)
{
	return yaml_document_get_node(&f->doc, seq->data.sequence.items.start[i]);
}

static char *own_text(struct file *f, const char *s)
{
	return (char *)(uintptr_t)fl_arena_str(&f->k->mem, fl_str(s)).p;
}

static void read_arguments(struct file *f, const yaml_node_t *node, struct fl_kube_exec *x, const char *user)
{
	const yaml_node_t *args = get(f, node, "args"), *env = get(f, node, "env");
	x->argv = fl_zalloc(&f->k->mem, (count(args) + 2) * sizeof *x->argv);
	x->env = fl_zalloc(&f->k->mem, (count(env) + 1) * sizeof *x->env);
	if (!x->argv || !x->env) {
		exec_fault(f, "too many arguments of %s", x->name);
		return;
	}
	bool path = strchr(x->name, '/') && x->name[0] != '/';
	x->argv[0] = path ? own_text(f, fl_arena_printf(&f->k->mem, "%.*s%s", FL_FMT(f->folder), x->name).p) : own_text(f, x->name);
	for (unsigned i = 0; i < count(args); i++) {
		const yaml_node_t *n = element(f, args, i);
		if (strcmp(type_of(n), "string"))
			wrong_type(f, n, "ExecConfig.users.user.exec.args", "string");
		else
			x->argv[i + 1] = own_text(f, (const char *)n->data.scalar.value);
	}
	for (unsigned i = 0; i < count(env); i++) {
		const yaml_node_t *n = element(f, env, i);
		const char *name = string(f, n, "ExecEnvVar.users.user.exec.env.name"), *value = string(f, n, "ExecEnvVar.users.user.exec.env.value");
		if (!name)
			exec_fault(f, "env variable name must be specified for %s to use exec authentication plugin", user);
		else
			x->env[x->nenv++] = own_text(f, fl_arena_printf(&f->k->mem, "%s=%s", name, value ? value : "").p);
	}
}

static void check_mode(struct file *f, const yaml_node_t *node, const struct fl_kube_exec *x, const char *user)
{
	const char *mode = string(f, node, "ExecConfig.users.user.exec.interactiveMode");
	if (!mode && !strcmp(x->api_version, "client.authentication.k8s.io/v1"))
		exec_fault(f, "interactiveMode must be specified for %s to use exec authentication plugin", user);
	else if (mode && strcmp(mode, "Never") && strcmp(mode, "IfAvailable") && strcmp(mode, "Always"))
		exec_fault(f, "invalid interactiveMode for %s: \"%s\"", user, mode);
	else if (mode && !strcmp(mode, "Always") && !f->bad) {
		fl_err_set(f->e, "exec plugin cannot support interactive mode: standard input is unavailable");
		f->bad = true;
	}
}

static void read_exec(struct file *f, const yaml_node_t *node, const yaml_node_t *cluster, const char *user)
{
	struct fl_kube_config *k = f->k;
	struct fl_kube_exec *x = node ? fl_zalloc(&k->mem, sizeof *x) : NULL;
	if (!x)
		return;
	x->name = string(f, node, "ExecConfig.users.user.exec.command");
	x->api_version = string(f, node, "ExecConfig.users.user.exec.apiVersion");
	x->hint = string(f, node, "ExecConfig.users.user.exec.installHint");
	x->cluster_info = boolean(f, node, "ExecConfig.users.user.exec.provideClusterInfo");
	x->config = x->cluster_info ? plugin_config(f, cluster) : NULL;
	if (!x->name)
		exec_fault(f, "command must be specified for %s to use exec authentication plugin", user);
	else if (!x->api_version)
		exec_fault(f, "apiVersion must be specified for %s to use exec authentication plugin", user);
	if (f->bad)
		return;
	if (strcmp(x->api_version, "client.authentication.k8s.io/v1") && strcmp(x->api_version, "client.authentication.k8s.io/v1beta1")) {
		fl_err_set(f->e, "exec plugin: invalid apiVersion \"%s\"", x->api_version);
		f->bad = true;
		return;
	}
	check_mode(f, node, x, user);
	read_arguments(f, node, x, user);
	bool other = k->token || k->token_file || k->username || k->cert.file || k->cert.data.n;
	if (f->bad || other)                    /* client-go asks no plugin then */
		return;
	if (fl_confine_programs()) {
		fl_err_set(f->e, "exec of user \"%s\" needs a restart: a running server that began without a credential plugin has given up "
			   "starting programs", user);
		f->bad = true;
	}
	k->exec = x;
}

static void read_user(struct file *f, const yaml_node_t *u, const yaml_node_t *cluster, const char *name)
{
	struct fl_kube_config *k = f->k;
	const yaml_node_t *provider = get(f, u, "auth-provider");
	if (provider && !f->bad) {
		const char *which = string(f, provider, "AuthProviderConfig.users.user.auth-provider.name");
		fl_err_set(f->e, "failed to create kubernetes notification controller: \"no Auth Provider found for name \\\"%s\\\"\"", which ? which : "");
		f->bad = true;
	}
	k->cert = pem(f, u, "AuthInfo.users.user.client-certificate", "AuthInfo.users.user.client-certificate-data");
	k->key = pem(f, u, "AuthInfo.users.user.client-key", "AuthInfo.users.user.client-key-data");
	k->token = string(f, u, "AuthInfo.users.user.token");
	k->token_file = path(f, u, "AuthInfo.users.user.tokenFile");
	k->username = string(f, u, "AuthInfo.users.user.username");
	k->password = string(f, u, "AuthInfo.users.user.password");
	read_impersonation(f, u, name);
	read_exec(f, get(f, u, "exec"), cluster, name);
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
	bool has_user = entry(f, "users", "user", user, &u);
	known = entry(f, "clusters", "cluster", cluster, &c);
	if (has_user)
		read_user(f, u, c, user);
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

#include "conf/kubedns.h"
#include "conf/conf_int.h"
#include <arpa/inet.h>
#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DOMAIN_MAX = 253, LABEL_MAX = 63 };

static const char *const keys[] = { "stubDomains", "upstreamNameservers", "federations" };

struct stub { struct fl_str domain, servers; };         /* servers: " IP IP" */

struct work {
	struct fl_arena *a;
	const struct fl_kubedns *k;
	struct fl_err *e;
	struct fl_str key;              /* the one at hand */
	struct stub *stub; unsigned nstub;
	struct fl_str upstreams;
};

bool fl_kubedns_is_key(struct fl_str name)
{
	for (unsigned i = 0; i < FL_COUNT(keys); i++)
		if (fl_str_is(name, keys[i]))
			return true;
	return false;
}

static void __attribute__((format(printf, 2, 3))) note(struct work *w, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (w->k->note)
		w->k->note(w->k->arg, w->key, text);
}

static int __attribute__((format(printf, 2, 3))) wrong(struct work *w, const char *fmt, ...)
{
	char text[400];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	return fl_err_set(w->e, "%.*s: %s", FL_FMT(w->key), text);
}

/* ---- words ---- */

static bool alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

/* A subdomain of DNS-1123, as Kubernetes means it: lower case. */
static bool subdomain(struct fl_str s)
{
	if (!s.n || s.n > DOMAIN_MAX || s.p[s.n - 1] == '.')
		return false;
	for (struct fl_str rest = s, label; rest.n;) {
		rest = fl_str_cut(rest, '.', &label);
		if (!label.n || label.n > LABEL_MAX || !alnum(label.p[0]) || !alnum(label.p[label.n - 1]))
			return false;
		for (size_t i = 0; i < label.n; i++)
			if (!alnum(label.p[i]) && label.p[i] != '-')
				return false;
	}
	return true;
}

static bool is_ip(struct fl_str s)
{
	uint8_t to[16];
	char z[INET6_ADDRSTRLEN];
	if (!s.n || s.n >= sizeof z)
		return false;
	memcpy(z, s.p, s.n);
	z[s.n] = 0;
	return inet_pton(AF_INET, z, to) == 1 || inet_pton(AF_INET6, z, to) == 1;
}

/* IP, IP:PORT, [IP]:PORT. *port: what stands behind the colon, p NULL when nothing does. */
static bool address(struct fl_str s, struct fl_str *port)
{
	*port = (struct fl_str){ 0 };
	if (is_ip(s))
		return true;
	const char *colon = s.n ? memrchr(s.p, ':', s.n) : NULL;
	if (!colon)
		return false;
	struct fl_str host = { s.p, (size_t)(colon - s.p) };
	*port = (struct fl_str){ colon + 1, s.n - host.n - 1 };
	if (host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
		host = (struct fl_str){ host.p + 1, host.n - 2 };
	else if (memchr(host.p, ':', host.n))
		return false;
	return is_ip(host);
}

static bool right_port(struct fl_str port)
{
	int64_t n;
	return !port.p || (port.n && alnum(port.p[0]) && !fl_parse_int(port, 1, 65535, &n));
}

static int stub_server(struct work *w, struct fl_str domain, struct fl_str server, struct fl_str *all)
{
	struct fl_str port;
	char quoted[300];
	if (!address(server, &port) && subdomain(server))
		return wrong(w, "\"%.*s\": the name server \"%.*s\" is a host name: forward takes addresses only, write its address",
			     FL_FMT(domain), FL_FMT(server));
	if (!address(server, &port) || !right_port(port))
		return wrong(w, "invalid nameserver: %s", fl_conf_quote(quoted, sizeof quoted, server));
	*all = fl_arena_printf(w->a, "%.*s %.*s", FL_FMT(*all), FL_FMT(server));
	return all->p ? 0 : -ENOMEM;
}

/* In the words of Go's net.SplitHostPort and kube-dns's check of the port. */
static int upstream(struct work *w, struct fl_str server)
{
	struct fl_str port;
	char quoted[300];
	if (!address(server, &port) && (!server.n || !memchr(server.p, ':', server.n)))
		return wrong(w, "address %.*s: missing port in address", (int)(server.n < 256 ? server.n : 256), server.p);
	if (!address(server, &port))
		return wrong(w, "bad IP address: %s", fl_conf_quote(quoted, sizeof quoted, server));
	if (!right_port(port))
		return wrong(w, "bad port number: %s", fl_conf_quote(quoted, sizeof quoted, port));
	w->upstreams = fl_arena_printf(w->a, "%.*s %.*s", FL_FMT(w->upstreams), FL_FMT(server));
	return w->upstreams.p ? 0 : -ENOMEM;
}

/* ---- JSON ---- */

static int line_of(struct fl_str text, const char *at)
{
	int line = 1;
	for (const char *p = text.p; p < at && p < text.p + text.n; p++)
		line += *p == '\n';
	return line;
}

/* Where a key's quote is missing, cJSON points one byte too far. */
static const char *offence(struct fl_str text, const char *end)
{
	const char *p = end && end - 1 > text.p ? end - 2 : text.p;
	while (p > text.p && strchr(" \t\r\n", *p))
		p--;
	bool key = end && end - 1 > p && (*p == ',' || *p == '{') && end[-1] && !strchr(" \t\r\n\"", end[-1]);
	return key ? end - 1 : end;
}

static cJSON *parse(struct work *w, struct fl_str text)
{
	const char *end = NULL;
	text = fl_arena_str(w->a, text);        /* cJSON tells the end from the last byte only when a NUL is read as part of the text */
	cJSON *tree = text.p ? cJSON_ParseWithLengthOpts(text.p, text.n + 1, &end, false) : NULL;
	while (tree && end < text.p + text.n && strchr(" \t\r\n", *end) && *end)
		end++;
	if (tree && end == text.p + text.n)
		return tree;
	end = tree ? end : offence(text, end);
	cJSON_Delete(tree);
	if (!end || end >= text.p + text.n)
		wrong(w, "unexpected end of JSON input");
	else
		fl_err_set(w->e, "%.*s:%d: invalid character %s%c%s in JSON", FL_FMT(w->key), line_of(text, end), *end == '\'' ? "" : "'",
			   *end > ' ' && *end < 127 ? *end : '?', *end == '\'' ? "" : "'");
	return NULL;
}

static int no_such(struct work *w, const cJSON *v, const char *type)
{
	const char *is = cJSON_IsString(v) ? "string" : cJSON_IsNumber(v) ? "number" : cJSON_IsBool(v) ? "bool" : cJSON_IsArray(v) ? "array" : "object";
	return wrong(w, "json: cannot unmarshal %s into Go value of type %s", is, type);
}

/* Go takes null for an empty list. */
static int strings(struct work *w, const cJSON *list)
{
	if (!cJSON_IsArray(list) && !cJSON_IsNull(list))
		return no_such(w, list, "[]string");
	const cJSON *v;
	cJSON_ArrayForEach(v, list)
		if (!cJSON_IsString(v))
			return no_such(w, v, "string");
	return 0;
}

static int stub(struct work *w, const cJSON *list)
{
	char quoted[300];
	const cJSON *v;
	struct fl_str domain = fl_str(list->string), all = FL_STR("");
	unsigned i = 0;
	int ret = strings(w, list);
	if (!ret && !subdomain(domain))
		ret = wrong(w, "invalid domain name: %s", fl_conf_quote(quoted, sizeof quoted, domain));
	cJSON_ArrayForEach(v, (ret ? NULL : list))
		if ((ret = stub_server(w, domain, fl_str(v->valuestring), &all)))
			break;
	if (ret)
		return ret;
	while (i < w->nstub && !fl_str_eq(w->stub[i].domain, domain))   /* the last of equal ones counts, as in Go */
		i++;
	w->stub[i] = (struct stub){ fl_arena_str(w->a, domain), all };
	w->nstub += i == w->nstub;
	return w->stub[i].domain.p ? 0 : -ENOMEM;
}

static int stub_domains(struct work *w, struct fl_str text)
{
	cJSON *tree = parse(w, text);
	const cJSON *v;
	int ret = !tree ? -EINVAL : cJSON_IsObject(tree) || cJSON_IsNull(tree) ? 0 : no_such(w, tree, "map[string][]string");
	unsigned n = ret ? 0 : (unsigned)cJSON_GetArraySize(tree);
	w->nstub = 0;                           /* a manifest may have the key twice: the last counts */
	w->stub = fl_alloc(w->a, (n + 1) * sizeof *w->stub);
	if (!w->stub)
		ret = ret ? ret : -ENOMEM;
	cJSON_ArrayForEach(v, (ret ? NULL : tree))
		if ((ret = stub(w, v)))
			break;
	cJSON_Delete(tree);
	return ret;
}

static int upstream_servers(struct work *w, struct fl_str text)
{
	cJSON *tree = parse(w, text);
	const cJSON *v;
	int ret = tree ? strings(w, tree) : -EINVAL;
	w->upstreams = FL_STR("");
	if (!ret && cJSON_GetArraySize(tree) > FL_KUBEDNS_UPSTREAMS)
		ret = wrong(w, "upstreamNameserver cannot have more than three entries");
	cJSON_ArrayForEach(v, (ret ? NULL : tree))
		if ((ret = upstream(w, fl_str(v->valuestring))))
			break;
	cJSON_Delete(tree);
	return ret;
}

static int federations(struct work *w, struct fl_str text)
{
	char quoted[300];
	for (struct fl_str rest = fl_str_trim(text), pair, name; rest.n;) {
		rest = fl_str_cut(rest, ',', &pair);
		struct fl_str domain = fl_str_cut(pair, '=', &name);
		name = fl_str_trim(name);
		domain = fl_str_trim(domain);
		if (!memchr(pair.p, '=', pair.n))
			return wrong(w, "invalid format, must be key=value: %s", fl_conf_quote(quoted, sizeof quoted, pair));
		if (!subdomain(name) || memchr(name.p, '.', name.n) || !subdomain(domain))
			return wrong(w, "invalid federation: %s", fl_conf_quote(quoted, sizeof quoted, pair));
		note(w, "federation \"%.*s\" of %.*s is left out: CoreDNS removed the plugin in 1.7.0, and Kubernetes the feature", FL_FMT(name),
		     FL_FMT(domain));
	}
	return 0;
}

/* ---- the Corefile ---- */

static int text_of(struct work *w, struct fl_str domain, struct fl_str *out)
{
	const char *colon = w->k->port.n ? ":" : "";
	bool out_of_cluster = w->k->kubeconfig.n;
	*out = fl_arena_printf(w->a,
		".%s%.*s {\n    errors\n    health {\n        lameduck 5s\n        kubedns\n    }\n    ready\n"
		"    kubernetes %.*s in-addr.arpa ip6.arpa {\n%s%.*s%s        pods insecure\n        fallthrough in-addr.arpa ip6.arpa\n        ttl 30\n    }\n"
		"    prometheus :9153\n    forward .%.*s {\n        max_concurrent 1000\n    }\n"
		"    cache 30\n    loop\n    reload 10s 2s\n    loadbalance\n}\n",
		colon, FL_FMT(w->k->port), FL_FMT(domain), out_of_cluster ? "        kubeconfig \"" : "", FL_FMT(w->k->kubeconfig),
		out_of_cluster ? "\"\n" : "", FL_FMT(w->upstreams));
	for (unsigned i = 0; out->p && i < w->nstub; i++) {
		if (!w->stub[i].servers.n) {
			w->key = FL_STR("stubDomains");
			note(w, "\"%.*s\" is left out: it has no name servers", FL_FMT(w->stub[i].domain));
			continue;
		}
		struct fl_str block = fl_arena_printf(w->a, "\n%.*s%s%.*s {\n    errors\n    cache 30\n    forward .%.*s\n}\n",
			FL_FMT(w->stub[i].domain), colon, FL_FMT(w->k->port), FL_FMT(w->stub[i].servers));
		struct fl_conf_buf all = { 0 };
		fl_conf_buf_add(&all, out->p, out->n);
		fl_conf_buf_add(&all, block.p, block.p ? block.n : 0);
		*out = block.p ? fl_arena_str(w->a, (struct fl_str){ all.p, all.n }) : block;
		fl_conf_buf_finish(&all);
	}
	return out->p ? 0 : -ENOMEM;
}

int fl_kubedns_corefile(struct fl_arena *a, const struct fl_kubedns *k, struct fl_str *out, struct fl_err *e)
{
	struct work w = { .a = a, .k = k, .e = e, .upstreams = FL_STR("") };
	struct fl_str domain = k->domain;
	int ret = 0;
	for (unsigned i = 0; !ret && i < k->nkey; i++) {
		w.key = k->key[i].name;
		if (fl_str_is(w.key, "stubDomains"))
			ret = stub_domains(&w, k->key[i].text);
		else if (fl_str_is(w.key, "upstreamNameservers"))
			ret = upstream_servers(&w, k->key[i].text);
		else if (fl_str_is(w.key, "federations"))
			ret = federations(&w, k->key[i].text);
		else
			note(&w, "this key is not kube-dns's: left out");
	}
	if (domain.n && domain.p[domain.n - 1] == '.')
		domain.n--;
	if (!ret && !subdomain(domain))
		ret = fl_err_set(e, "invalid cluster domain: \"%.*s\"", (int)(domain.n < 256 ? domain.n : 256), domain.p);
	if (!w.upstreams.n)
		w.upstreams = FL_STR(" /etc/resolv.conf");
	return ret ? ret : text_of(&w, domain, out);
}

/* ---- the folder ---- */

bool fl_kubedns_is_folder(const char *path)
{
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), found = 0;
	if (dir < 0)
		return false;
	for (unsigned i = 0; i < FL_COUNT(keys); i++)
		found += !faccessat(dir, keys[i], F_OK, 0);
	bool is = (found || !faccessat(dir, "..data", F_OK, 0)) && faccessat(dir, "Corefile", F_OK, 0);
	close(dir);
	return is;
}

static int read_key(struct fl_arena *a, int dir, const char *name, struct fl_str *text)
{
	struct fl_conf_buf buf = { 0 };
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	struct stat st;
	int ret = fstat(fd, &st) ? -errno : S_ISREG(st.st_mode) ? fl_path_slurp(fd, -1, &buf) : -EINVAL;
	*text = fl_arena_str(a, (struct fl_str){ buf.p ? buf.p : "", buf.n });
	fl_conf_buf_finish(&buf);
	close(fd);
	return ret ? ret : text->p ? 0 : -ENOMEM;
}

int fl_kubedns_folder(struct fl_arena *a, const char *path, struct fl_kubedns *k, struct fl_str *out, struct fl_err *e)
{
	struct fl_kubedns_key *key = fl_alloc(a, sizeof *key * FL_COUNT(keys));
	const char *domain = getenv("CLUSTER_DOMAIN"), *kubeconfig = getenv("KUBECONFIG");
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), ret = 0;
	/* A mount changes by one rename of ..data: through it all keys are of one state. */
	int data = dir < 0 ? -1 : openat(dir, "..data", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct fl_err why;
	if (dir < 0 || !key)
		ret = fl_err_set(e, "open %s: %s", path, strerror(errno));
	k->key = key;
	k->nkey = 0;
	for (unsigned i = 0; !ret && i < FL_COUNT(keys); i++) {
		int got = read_key(a, data < 0 ? dir : data, keys[i], &key[k->nkey].text);
		if (got && got != -ENOENT)
			ret = fl_err_set(e, "read %s/%s: %s", path, keys[i], strerror(-got));
		key[k->nkey].name = fl_str(keys[i]);
		k->nkey += !got;
	}
	k->domain = domain && *domain ? fl_str(domain) : FL_STR("cluster.local");
	k->kubeconfig = kubeconfig && !strpbrk(kubeconfig, "\"\n\\") ? fl_str(kubeconfig) : FL_STR("");
	if (!ret && (ret = fl_kubedns_corefile(a, k, out, &why)))
		fl_err_set(e, "%s/%s", path, ret == -ENOMEM ? "stubDomains: too much" : why.msg);
	if (data >= 0)
		close(data);
	if (dir >= 0)
		close(dir);
	return ret;
}

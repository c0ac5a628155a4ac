#include "kube/proxy.h"
#include "base/file.h"
#include "base/log.h"
#include "base/url.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ACCOUNT "/var/run/secrets/kubernetes.io/serviceaccount"
enum { FILE_MAX = 1 << 20, CONFIG_MAX = 4 << 20 };

static const char *keep(struct fl_kube_config *k, struct fl_str s) { return fl_arena_str(&k->mem, s).p; }

char *fl_kube_read_file(const char *path, size_t *n, struct fl_err *e)
{
	char *text;
	fl_file_read(path, FILE_MAX, &text, n, e);
	return text;
}

/* ---- several faults at once: "invalid configuration: a", or "invalid configuration: [a, b]" ---- */

struct faults { char text[400]; unsigned n; };

static __attribute__((format(printf, 2, 3))) void fault(struct faults *f, const char *fmt, ...)
{
	size_t at = strlen(f->text);
	if (f->n++ && at + 2 < sizeof f->text)
		at += (size_t)snprintf(f->text + at, sizeof f->text - at, ", ");
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(f->text + at, sizeof f->text - at, fmt, ap);
	va_end(ap);
}

static int faults_end(const struct faults *f, struct fl_err *e)
{
	if (!f->n)
		return 0;
	return fl_err_set(e, f->n == 1 ? "invalid configuration: %s" : "invalid configuration: [%s]", f->text);
}

/* ---- the URL ---- */

static int bad_url(struct fl_str text, struct fl_err *e)
{
	return fl_err_set(e,
		"failed to create kubernetes notification controller: \"host must be a URL or a host:port pair: \\\"%.*s\\\"\"",
		FL_FMT(text));
}

int fl_kube_config_url(struct fl_kube_config *k, struct fl_str text, bool tls, struct fl_err *e)
{
	struct fl_str at = fl_str_trim(text), path;
	struct fl_url u;
	if (!memmem(at.p, at.n, "://", 3))
		at = fl_arena_printf(&k->mem, "http%s://%.*s", tls ? "s" : "", FL_FMT(at));
	else if (!fl_str_starts(at, FL_STR("https://")) && !fl_str_starts(at, FL_STR("http://")))
		return fl_err_set(e, "unsupported protocol scheme in \"%.*s\": must be http or https", FL_FMT(text));
	if (!fl_url_http(&u, at))
		return bad_url(text, e);
	fl_str_cut(u.rest, '?', &path);
	fl_str_cut(path, '#', &path);
	while (path.n && path.p[path.n - 1] == '/')
		path.n--;
	k->tls = u.tls;
	k->host = keep(k, u.host);
	k->port = u.port;
	k->authority = keep(k, u.authority);
	k->prefix = keep(k, path);
	k->base = fl_arena_printf(&k->mem, "http%s://%s%s", k->tls ? "s" : "", k->authority, k->prefix).p;
	return 0;
}

/* ---- from where ---- */

int fl_kube_config_in_cluster(struct fl_kube_config *k, const char *folder, const char *host, const char *port, struct fl_err *e)
{
	if (!host || !*host || !port || !*port)
		return fl_err_set(e,
			"unable to load in-cluster configuration, KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must be defined");
	struct fl_str url = fl_arena_printf(&k->mem, strchr(host, ':') ? "https://[%s]:%s" : "https://%s:%s", host, port);
	const char *ca = fl_arena_printf(&k->mem, "%s/ca.crt", folder).p;
	size_t n;
	k->token_file = fl_arena_printf(&k->mem, "%s/token", folder).p;
	char *token = fl_kube_read_file(k->token_file, &n, e);
	if (!token)
		return -EINVAL;
	free(token);
	if (!access(ca, R_OK))
		k->ca.file = ca;
	else                                    /* as client-go: the system's roots then */
		fl_log(FL_ERROR, "plugin/kubernetes", "Expected to load root CA config from %s, but it cannot be read", ca);
	return fl_kube_config_url(k, url, true, e);
}

static bool readable(const char *path, struct fl_err *e)
{
	size_t n;
	char *text = fl_kube_read_file(path, &n, e);
	free(text);
	return text;
}

int fl_kube_config_check(struct fl_kube_config *k, const char *cluster, const char *user, struct fl_err *e)
{
	struct faults f = { 0 };
	struct fl_err why;
	bool cert = k->cert.file || k->cert.data.n, key = k->key.file || k->key.data.n;
	if (cert && k->cert.file && k->cert.data.n)
		fault(&f, "client-cert-data and client-cert are both specified for %s. client-cert-data will override.",
			user);
	if (key && k->key.file && k->key.data.n)
		fault(&f, "client-key-data and client-key are both specified for %s; client-key-data will override", user);
	if (cert && !key)
		fault(&f,
			"client-key-data or client-key must be specified for %s to use the clientCert authentication method.", user);
	if (k->cert.file && !readable(k->cert.file, &why))
		fault(&f, "unable to read client-cert %s for %s due to %s", k->cert.file, user, why.msg);
	if (cert && k->key.file && !readable(k->key.file, &why))
		fault(&f, "unable to read client-key %s for %s due to %s", k->key.file, user, why.msg);
	if ((k->token || k->token_file) && k->username)
		fault(&f, "more than one authentication method found for %s; found [token basicAuth], only one is allowed",
			user);
	if (k->ca.file && k->ca.data.n)
		fault(&f, "certificate-authority-data and certificate-authority are both specified for %s. "
			"certificate-authority-data will override.", cluster);
	if (k->ca.file && !readable(k->ca.file, &why))
		fault(&f, "unable to read certificate-authority %s for %s due to %s", k->ca.file, cluster, why.msg);
	int ret = faults_end(&f, e);
	if (ret)
		return ret;
	if (k->token_file && !k->token && !readable(k->token_file, e))
		return -EINVAL;
	if (k->insecure && (k->ca.file || k->ca.data.n))
		return fl_err_set(e, "failed to create kubernetes notification controller: "
			"\"specifying a root certificates file with the insecure flag is not allowed\"");
	return 0;
}

static int from_endpoint(struct fl_kube_config *k, const struct fl_source_config *cfg, struct fl_err *e)
{
	bool tls = cfg->tls_ca.n || cfg->tls_cert.n || cfg->tls_key.n;
	if (cfg->tls_ca.n)
		k->ca.file = keep(k, cfg->tls_ca);
	if (cfg->tls_cert.n)
		k->cert.file = keep(k, cfg->tls_cert);
	if (cfg->tls_key.n)
		k->key.file = keep(k, cfg->tls_key);
	int ret = fl_kube_config_url(k, cfg->endpoint, tls, e);
	return ret ? ret : fl_kube_config_check(k, "", "", e);
}

int fl_kube_config_load(struct fl_kube_config *k, const struct fl_source_config *cfg, struct fl_err *e)
{
	int ret;
	fl_arena_init(&k->mem, NULL, 0, NULL, CONFIG_MAX);
	k->tls_name = "";
	if (cfg->kubeconfig.n)
		ret = fl_kube_config_file(k, keep(k, cfg->kubeconfig), cfg->context, e);
	else if (cfg->endpoint.n)
		ret = from_endpoint(k, cfg, e);
	else
		ret = fl_kube_config_in_cluster(k, ACCOUNT, getenv("KUBERNETES_SERVICE_HOST"), getenv("KUBERNETES_SERVICE_PORT"), e);
	return ret ? ret : fl_kube_proxy(k, e);
}

void fl_kube_config_finish(struct fl_kube_config *k) { fl_arena_finish(&k->mem); }

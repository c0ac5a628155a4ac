#include "kube/auth.h"
#include "base/clock.h"
#include "base/log.h"
#include <errno.h>
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <stdlib.h>

#define WHO "plugin/kubernetes"
#define TOKEN_LIFE_NS (30 * FL_SEC)
#define WARN_NS (60 * FL_SEC)
#define AGAIN_NS FL_SEC                 /* after a plugin failed */

/* ---- the header ---- */

static void set_header(struct fl_kube_auth *a, const char *kind, struct fl_str value)
{
	free(a->header);
	a->header = NULL;
	if (!value.n || memchr(value.p, '\n', value.n) || memchr(value.p, '\r', value.n))
		return;
	a->header = fl_xalloc(strlen(kind) + value.n + 1);
	fl_put_bytes(stpcpy(a->header, kind), value.p, value.n);
}

static void set_basic(struct fl_kube_auth *a)
{
	const char *password = a->cfg->password ? a->cfg->password : "";
	char *both;
	if (asprintf(&both, "%s:%s", a->cfg->username, password) < 0)
		abort();
	gnutls_datum_t in = { .data = (unsigned char *)both, .size = (unsigned)strlen(both) }, out = { 0 };
	if (gnutls_base64_encode2(&in, &out) >= 0)
		set_header(a, "Basic ", (struct fl_str){ (const char *)out.data, out.size });
	gnutls_free(out.data);
	free(both);
}

/* True: a new token. */
static bool read_token(struct fl_kube_auth *a, uint64_t now_ns)
{
	struct fl_err e;
	size_t n;
	char *text = fl_kube_read_file(a->cfg->token_file, &n, &e), *old = a->header;
	struct fl_str token = fl_str_trim((struct fl_str){ text ? text : "", text ? n : 0 });
	a->read_ns = now_ns;
	if (!token.n && (!a->warned_ns || now_ns - a->warned_ns > WARN_NS)) {
		a->warned_ns = now_ns;
		if (text)
			fl_log(FL_ERROR, WHO, "Unable to rotate token: read empty token from file \"%s\"", a->cfg->token_file);
		else
			fl_log(FL_ERROR, WHO, "Unable to rotate token: failed to read token file \"%s\": %s", a->cfg->token_file,
				e.msg);
	}
	bool changed = token.n && !(old && fl_str_is(token, old + strlen("Bearer ")));
	if (changed)
		set_header(a, "Bearer ", token);
	free(text);
	return changed;
}

const char *fl_kube_auth_header(struct fl_kube_auth *a, uint64_t now_ns)
{
	if (!a->cfg->tls)
		return NULL;
	if (a->cfg->token_file && (!a->read_ns || now_ns - a->read_ns > TOKEN_LIFE_NS))
		read_token(a, now_ns);
	return a->header;
}

/* ---- a plugin ---- */

static void ran(struct fl_exec_run *r, int ret, struct fl_exec_cred *c, const struct fl_err *e)
{
	struct fl_kube_auth *a = (struct fl_kube_auth *)((char *)r - offsetof(struct fl_kube_auth, run));
	bool renew = false;
	if (ret) {
		a->failed_ns = fl_loop_now(r->loop);
		a->why = *e;
	} else {
		const char *old = a->cred.cert ? a->cred.cert : "", *new = c->cert ? c->cert : "";
		renew = a->creds && strcmp(old, new) != 0;
		fl_exec_cred_finish(&a->cred);
		a->cred = *c;
		a->have = true;
		a->got_ns = fl_loop_now(r->loop);
		a->failed_ns = 0;
		set_header(a, "Bearer ", a->cred.token ? fl_str(a->cred.token) : FL_STR(""));
		if (renew || (c->cert && !a->creds)) {
			fl_tls_creds_put(a->creds);
			a->creds = NULL;        /* made anew for the next connection */
		}
	}
	a->signed_in(a->arg, renew);
}

int fl_kube_auth_ready(struct fl_kube_auth *a, uint64_t now_ns)
{
	if (!a->cfg->exec || !a->cfg->tls)
		return 0;
	if (a->have && (!a->cred.expires || fl_clock_wall_s() < a->cred.expiry_s))
		return 0;
	if (a->run.pid)
		return -EAGAIN;
	if (a->failed_ns && now_ns - a->failed_ns < AGAIN_NS)
		return -EINVAL;
	a->failed_ns = 0;
	if (!fl_exec_start(&a->run, &a->why))
		return -EAGAIN;
	a->failed_ns = now_ns;
	return -EINVAL;
}

void fl_kube_auth_loop(struct fl_kube_auth *a, struct fl_loop *loop, void (*signed_in)(void *arg, bool renew), void *arg)
{
	a->run = (struct fl_exec_run){ .cfg = a->cfg, .loop = loop, .done = ran };
	a->signed_in = signed_in;
	a->arg = arg;
}

/* ---- certificates ---- */

static bool changed(struct stat *stamp, const struct fl_kube_pem *pem)
{
	struct stat st;
	if (!pem->file || pem->data.n || stat(pem->file, &st))
		return false;
	bool other = st.st_ino != stamp->st_ino || st.st_size != stamp->st_size || st.st_mtim.tv_sec != stamp->st_mtim.tv_sec ||
		st.st_mtim.tv_nsec != stamp->st_mtim.tv_nsec;
	*stamp = st;
	return other;
}

static bool files_changed(struct fl_kube_auth *a)
{
	const struct fl_kube_pem *pem[] = { &a->cfg->ca, &a->cfg->cert, &a->cfg->key };
	bool any = false;
	for (unsigned i = 0; i < FL_COUNT(pem); i++)    /* each, so that all stamps are new */
		any = changed(&a->stamp[i], pem[i]) || any;
	return any;
}

/* The value; *file is what to free, when it came from there. */
static int load(const struct fl_kube_pem *pem, struct fl_str *to, char **file, struct fl_err *e)
{
	*to = pem->data;
	if (pem->data.n || !pem->file)
		return 0;
	*file = fl_kube_read_file(pem->file, &to->n, e);
	to->p = *file;
	if (*file && !to->n)                    /* "" would mean: the system's */
		*to = FL_STR("\n");
	return *file ? 0 : -EINVAL;
}

static struct fl_tls_creds *make(struct fl_kube_auth *a, struct fl_err *e)
{
	struct fl_tls_trust t = { .insecure = a->cfg->insecure };
	char *ca = NULL, *cert = NULL, *key = NULL;
	struct fl_tls_creds *c = NULL;
	struct fl_kube_pem own_cert = { .data = fl_str(a->cred.cert) }, own_key = { .data = fl_str(a->cred.key) };
	const struct fl_kube_pem *cfg_cert = a->cred.cert ? &own_cert : &a->cfg->cert, *cfg_key = a->cred.cert ? &own_key : &a->cfg->key;
	if (!load(&a->cfg->ca, &t.ca, &ca, e) && !load(cfg_cert, &t.cert, &cert, e) && !load(cfg_key, &t.key, &key, e))
		c = fl_tls_creds_create(&t, e);
	free(ca);
	free(cert);
	free(key);
	return c;
}

struct fl_tls_creds *fl_kube_auth_creds(struct fl_kube_auth *a, struct fl_err *e)
{
	if (!a->creds || files_changed(a)) {
		struct fl_tls_creds *c = make(a, e);
		if (c) {
			fl_tls_creds_put(a->creds);
			a->creds = c;
		} else if (a->creds) {
			fl_log(FL_ERROR, WHO, "Certificates cannot be loaded again: %s", e->msg);
		}
	}
	return a->creds ? fl_tls_creds_get(a->creds) : NULL;
}

bool fl_kube_auth_refused(struct fl_kube_auth *a, uint64_t asked_ns, uint64_t now_ns)
{
	struct fl_err e;
	if (a->cfg->exec && a->cfg->tls) {
		a->have &= a->got_ns > asked_ns;        /* else it was an older one that was refused */
		return true;
	}
	bool token = a->cfg->token_file && read_token(a, now_ns);
	if (!a->cfg->tls || !files_changed(a))
		return token;
	struct fl_tls_creds *c = make(a, &e);
	if (c) {
		fl_tls_creds_put(a->creds);
		a->creds = c;
	}
	return token || c;
}

int fl_kube_auth_init(struct fl_kube_auth *a, const struct fl_kube_config *cfg, struct fl_err *e)
{
	*a = (struct fl_kube_auth){ .cfg = cfg };
	if (cfg->username)
		set_basic(a);
	else if (cfg->token)
		set_header(a, "Bearer ", fl_str(cfg->token));
	if (!cfg->tls)
		return 0;
	struct fl_err why = { "out of memory" };
	files_changed(a);
	a->creds = make(a, &why);
	return a->creds ? 0 : fl_err_set(e, "failed to create kubernetes notification controller: \"%s\"", why.msg);
}

void fl_kube_auth_finish(struct fl_kube_auth *a)
{
	fl_exec_stop(&a->run);
	fl_exec_cred_finish(&a->cred);
	fl_tls_creds_put(a->creds);
	free(a->header);
	*a = (struct fl_kube_auth){ 0 };
}

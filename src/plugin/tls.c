/* tls: the certificate that the encrypted listeners of a block show, and what they ask of clients. Its files are read when the
 * configuration is, and whenever they change. */
#include "net/tls_server.h"
#include "base/log.h"
#include "dns/plugin.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct tls { struct fl_tls_host *host; const char *file[3]; };

/* CoreDNS names the plugin twice in some errors. */
static int twice(struct fl_setup *s, struct fl_err *e)
{
	return fl_setup_error(s, "plugin/tls: %s", e->msg);
}

/* ---- ACME: CoreDNS's way to get a certificate by itself ---- */

static int acme(struct fl_setup *s, struct fl_disp *d)
{
	static const char *const known[] = { "acme", "email", "ca", "storage", "ca_root", "resolver" };
	while (fl_disp_next_block(d)) {
		struct fl_str name = fl_disp_val(d);
		for (size_t i = 0; i < FL_COUNT(known); i++)
			if (fl_str_is(name, known[i]))
				return fl_setup_later(s, known[i]);
		return fl_setup_parse_error(s, "unknown ACME option \"%.*s\"", FL_FMT(name));
	}
	return fl_setup_error(s, "ACME requires at least one domain");
}

/* ---- options ---- */

static int client_auth(struct fl_setup *s, struct fl_disp *d, struct fl_tls_paths *p)
{
	static const char *const name[] = { "nocert", "request", "require", "verify_if_given", "require_and_verify" };
	struct fl_str *arg;
	if (fl_disp_args(d, &arg) != 1)
		return fl_setup_arg_error(s);
	for (size_t i = 0; i < FL_COUNT(name); i++)
		if (fl_str_is(arg[0], name[i])) {
			p->auth = (enum fl_tls_client_auth)i;
			return 0;
		}
	return fl_setup_parse_error(s, "unknown authentication type '%.*s'", FL_FMT(arg[0]));
}

static int options(struct fl_setup *s, struct fl_disp *d, struct fl_tls_paths *p, const char **keylog)
{
	while (fl_disp_next_block(d)) {
		struct fl_str *arg, name = fl_disp_val(d);
		int ret = 0;
		if (fl_str_is(name, "client_auth"))
			ret = client_auth(s, d, p);
		else if (!fl_str_is(name, "keylog"))
			ret = fl_setup_parse_error(s, "unknown option '%.*s'", FL_FMT(name));
		else if (fl_disp_args(d, &arg) != 1)
			ret = fl_setup_arg_error(s);
		else
			*keylog = fl_setup_path(s, arg[0]);
		if (ret)
			return ret;
	}
	return 0;
}

/* As it is in the file system, for messages: without links resolved, as filepath.Abs(). */
static const char *absolute(struct fl_setup *s, const char *path)
{
	char here[PATH_MAX];
	if (*path == '/' || !getcwd(here, sizeof here))
		return path;
	return fl_arena_printf(fl_setup_arena(s), "%s/%s", here, path).p;
}

static int open_keylog(struct fl_setup *s, struct fl_tls_paths *p, const char *path)
{
	path = absolute(s, path);
	p->keylog = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (p->keylog < 0)
		return fl_setup_parse_error(s, "unable to write TLS Key Log to \"%s\": open %s: %s", path, path,
					    errno == ENOENT ? "no such file or directory" : errno == EACCES ? "permission denied" :
					    errno == EISDIR ? "is a directory" : strerror(errno));
	fl_log(FL_WARN, "plugin/tls", "Writing TLS Key Log to \"%s\"", path);
	return 0;
}

/* ---- the files ---- */

struct wanted { const struct fl_tls_paths *paths; struct fl_err err; bool made; };

static void *make(void *arg)
{
	struct wanted *w = arg;
	w->made = true;
	return fl_tls_host_create(w->paths, &w->err);
}

static void destroy_host(void *host) { fl_tls_host_destroy(host); }

/* Equal settings mean one object, in this configuration and in the next: its connections keep their sessions over a reload. */
static int host_get(struct fl_setup *s, struct tls *t, struct fl_tls_paths *p, const char *keylog)
{
	struct wanted w = { .paths = p };
	struct fl_str key = fl_arena_printf(fl_setup_arena(s), "tls\n%s\n%s\n%s\n%d\n%s", p->cert, p->key, p->ca ? p->ca : "", p->auth,
					    keylog ? keylog : "");
	p->keylog = -1;
	if (keylog && !fl_setup_process(s)->dry && !fl_setup_keep(s, key, NULL, NULL, NULL)) {
		int ret = open_keylog(s, p, keylog);
		if (ret)
			return ret;
	}
	t->host = fl_setup_keep(s, key, make, destroy_host, &w);
	if (!t->host || (!w.made && fl_tls_host_reload(t->host, &w.err) < 0))
		return fl_setup_error(s, "%s", w.err.msg);
	fl_setup_block(s)->tls = t->host;
	return 0;
}

static void changed(void *inst)
{
	struct tls *t = inst;
	struct fl_err e;
	int ret = fl_tls_host_reload(t->host, &e);
	if (ret > 0)
		fl_log(FL_INFO, "plugin/tls", "%s changed: new connections get the new certificate", t->file[0]);
	else if (ret < 0)
		fl_log(FL_ERROR, "plugin/tls", "%s changed: %s: the certificate from before goes on serving", t->file[0], e.msg);
}

static int manual(struct fl_setup *s, struct tls *t, struct fl_disp *d, const struct fl_str *arg, unsigned n)
{
	struct fl_tls_paths p = { .keylog = -1 };
	const char *keylog = NULL;
	if (n < 2 || n > 3) {
		struct fl_err e;
		fl_err_set(&e, "%s:%d - Error during parsing: Wrong argument count or unexpected line ending after '%.*s'",
			   fl_disp_file(d), fl_disp_line(d), FL_FMT(fl_disp_val(d)));
		return twice(s, &e);
	}
	int ret = options(s, d, &p, &keylog);
	if (ret)
		return ret;
	for (unsigned i = 0; i < n; i++)
		t->file[i] = fl_setup_path(s, arg[i]);
	p.cert = t->file[0];
	p.key = t->file[1];
	p.ca = t->file[2];
	return host_get(s, t, &p, keylog);
}

static int setup(struct fl_setup *s, void **inst)
{
	struct fl_disp *d = fl_setup_disp(s);
	struct tls *t = fl_zalloc(fl_setup_arena(s), sizeof *t);
	if (!t)
		return fl_setup_error(s, "out of memory");
	*inst = t;
	while (fl_disp_next(d)) {               /* of several the last is the one */
		struct fl_str *arg;
		unsigned n = fl_disp_args(d, &arg);
		memset(t->file, 0, sizeof t->file);
		int ret = n ? manual(s, t, d, arg, n) : acme(s, d);
		if (ret)
			return ret;
	}
	for (int i = 0; i < 3; i++)
		if (t->file[i] && fl_setup_watch(s, t->file[i], changed))
			return fl_setup_error(s, "out of memory");
	return 0;
}

static const struct fl_opt opts[] = {
	{ "", "CERT KEY [CA]", "files in PEM: the certificate with its chain, its key, whom clients must be signed by" },
	{ "client_auth", "nocert|request|require|verify_if_given|require_and_verify", "what is asked of clients; default nocert" },
	{ "keylog", "FILE", "secrets of the connections, for programs that read along: to search for faults only" },
	{ 0 },
};

FL_PLUGIN(tls, .opts = opts, .setup = setup);

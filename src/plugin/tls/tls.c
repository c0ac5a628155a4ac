/* tls: the certificate that the encrypted listeners of a block show, and what they ask of clients. Its files are read when the
 * configuration is, and whenever they change; or it is obtained and renewed by ACME, which an agent does (agent.h). */
#include "base/file.h"
#include "base/log.h"
#include "net/tls_server.h"
#include "plugin/tls/options.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

struct tls {
	struct fl_tls_host *host;       /* of files */
	const char *file[3];
	/* ACME */
	struct fl_acme_agent *agent;    /* NULL: none */
	struct fl_acme_options o;
	struct fl_str key;
	const void *gen;                /* the generation's arena: who is of the same */
	struct tls *next;
};

static struct tls *all;                 /* with an agent; main thread */

/* CoreDNS names the plugin twice in some errors. */
static int twice(struct fl_setup *s, struct fl_err *e)
{
	return fl_setup_error(s, "plugin/tls: %s", e->msg);
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

static int open_keylog(struct fl_setup *s, struct fl_tls_paths *p, const char *path)
{
	path = fl_tls_absolute(s, path);
	p->keylog = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (p->keylog < 0)
		return fl_setup_parse_error(s, "unable to write TLS Key Log to \"%s\": open %s: %s", path, path,
					    fl_file_why(errno));
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
	if (t->file[2] && !*t->file[2])         /* as if none was given */
		t->file[2] = NULL;
	p.ca = t->file[2];
	return host_get(s, t, &p, keylog);
}

/* ---- ACME ---- */

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

/* The same of two blocks, in whatever order the names are: one agent (plugin/tls/acme.go acmeOptions.key). */
static struct fl_str key_of(struct fl_setup *s, const struct fl_acme_options *o)
{
	struct fl_arena *a = fl_setup_arena(s);
	struct fl_str key = fl_arena_printf(a, "tls acme\n%s\n%s\n%s\n%s\n%s:%u", o->email, o->ca, o->storage, o->ca_root ? o->ca_root : "",
					    o->resolver ? o->resolver : "", o->resolver_port);
	const char **sorted = fl_copy(a, o->domain, o->ndomain * sizeof *sorted);
	qsort(sorted, o->ndomain, sizeof *sorted, by_text);
	for (unsigned i = 0; i < o->ndomain; i++)
		key = fl_arena_printf(a, "%.*s\n%s", FL_FMT(key), sorted[i]);
	return key;
}

static bool has(const struct fl_acme_options *o, const char *domain)
{
	for (unsigned i = 0; i < o->ndomain; i++)
		if (!strcmp(o->domain[i], domain))
			return true;
	return false;
}

/* A name has one agent. */
static int conflict(struct fl_setup *s, const struct tls *t)
{
	for (const struct tls *other = all; other; other = other->next)
		for (unsigned i = 0; other->gen == t->gen && !fl_str_eq(other->key, t->key) && i < t->o.ndomain; i++)
			if (has(&other->o, t->o.domain[i]))
				return fl_setup_error(s, "ACME domain \"%s\" is configured with conflicting options", t->o.domain[i]);
	return 0;
}

struct agent_wanted { struct fl_loop *loop; const struct fl_acme_options *o; struct fl_err err; };

static void *make_agent(void *arg)
{
	struct agent_wanted *w = arg;
	return fl_acme_agent_create(w->loop, w->o, &w->err);
}

static void destroy_agent(void *agent) { fl_acme_agent_destroy(agent); }

/* The CA will ask this server: not before it serves. */
static void serves(void *inst) { fl_acme_agent_start(((struct tls *)inst)->agent); }

static int acme(struct fl_setup *s, struct tls *t)
{
	const struct fl_process *p = fl_setup_process(s);
	int ret = fl_acme_options(s, &t->o);
	if (ret)
		return ret;
	t->key = key_of(s, &t->o);
	t->gen = fl_setup_arena(s);
	if ((ret = conflict(s, t)))
		return ret;
	struct agent_wanted w = { fl_setup_loop(s), &t->o, { "" } };
	t->agent = fl_setup_keep(s, t->key, make_agent, destroy_agent, &w);
	if (!t->agent)
		return fl_setup_error(s, "%s", w.err.msg);
	fl_setup_block(s)->tls = fl_acme_agent_host(t->agent);
	bool works = !p->dry && !p->trace && !fl_clock_is_virtual();    /* not only looked at (-check, explain, fl-sim) */
	if (works && fl_setup_serves(s, serves))
		return fl_setup_error(s, "out of memory");
	/* Above the cache: a denial that it holds from before must not hide a record from the CA. */
	return fl_setup_everywhere(s, &fl_acme_answers, NULL, "cache") ? fl_setup_error(s, "out of memory") : 0;
}

static void destroy(void *inst)
{
	struct tls **p = &all;
	while (*p && *p != inst)
		p = &(*p)->next;
	if (*p)
		*p = (*p)->next;
}

/* ---- the directive ---- */

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
		*t = (struct tls){ 0 };
		int ret = n ? manual(s, t, d, arg, n) : acme(s, t);
		if (ret)
			return ret;
	}
	if (t->agent) {
		t->next = all;
		all = t;
	}
	for (int i = 0; i < 3; i++)
		if (t->file[i] && fl_setup_watch(s, t->file[i], changed))
			return fl_setup_error(s, "out of memory");
	return 0;
}

static const struct fl_opt opts[] = {
	{ "", "[CERT KEY [CA]]", "files in PEM: the certificate with its chain, its key, whom clients must be signed by; without them: ACME" },
	{ "client_auth", "nocert|request|require|verify_if_given|require_and_verify", "what is asked of clients; default nocert" },
	{ "keylog", "FILE", "secrets of the connections, for programs that read along: to search for faults only" },
	{ "acme", "DOMAIN...", "names to obtain certificates for, one each, by ACME" },
	{ "email", "EMAIL", "where the CA may write to" },
	{ "ca", "URL", "the CA's directory; default Let's Encrypt's" },
	{ "storage", "DIRECTORY", "where account, keys and certificates are kept; default .coredns/acme" },
	{ "ca_root", "FILE", "authorities that the CA's own server may be signed by, besides the system's, in PEM" },
	{ "resolver", "HOST:PORT", "who is asked for the address of the CA's server; default the system's" },
	{ 0 },
};

FL_PLUGIN(tls, .opts = opts, .setup = setup, .destroy = destroy);

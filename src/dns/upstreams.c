#include "dns/upstreams.h"
#include "base/file.h"
#include "wire/pack.h"
#include <errno.h>
#include <stdio.h>

/* ---- targets ---- */

static const struct { const char *name, *port; } schemes[] = {
	{ "tls", "853" }, { "dns", "53" }, { "quic", "853" }, { "grpc", "443" }, { "https3", "443" }, { "https", "443" },
	{ "unix", "" },
};

static struct fl_str scheme_cut(struct fl_str s, const char **scheme, const char **port)
{
	*scheme = "dns";
	*port = "53";
	for (unsigned i = 0; i < FL_COUNT(schemes); i++) {
		size_t n = strlen(schemes[i].name);
		if (s.n < n + 3 || memcmp(s.p, schemes[i].name, n) || memcmp(s.p + n, "://", 3))
			continue;
		*scheme = schemes[i].name;
		*port = schemes[i].port;
		return (struct fl_str){ s.p + n + 3, s.n - n - 3 };
	}
	return s;
}

/* Go's net.SplitHostPort. */
static bool host_port(struct fl_str s, struct fl_str *host, struct fl_str *port)
{
	const char *colon = s.n ? memrchr(s.p, ':', s.n) : NULL, *end = s.p + s.n;
	if (!colon)
		return false;
	*port = (struct fl_str){ colon + 1, (size_t)(end - colon) - 1 };
	if (s.p[0] == '[') {
		if (colon == s.p || colon[-1] != ']')
			return false;
		*host = (struct fl_str){ s.p + 1, (size_t)(colon - s.p) - 2 };
	} else {
		*host = (struct fl_str){ s.p, (size_t)(colon - s.p) };
		if (memchr(host->p, ':', host->n))
			return false;
	}
	return !memchr(host->p, '[', host->n) && !memchr(host->p, ']', host->n);
}

static struct fl_str trim_brackets(struct fl_str s)
{
	while (s.n && (s.p[0] == '[' || s.p[0] == ']'))
		s.p++, s.n--;
	while (s.n && (s.p[s.n - 1] == '[' || s.p[s.n - 1] == ']'))
		s.n--;
	return s;
}

static struct fl_str zone_cut(struct fl_str s, struct fl_str *zone)
{
	const char *p = s.n ? memrchr(s.p, '%', s.n) : NULL;
	*zone = p ? (struct fl_str){ p + 1, (size_t)(s.p + s.n - p) - 1 } : (struct fl_str){ "", 0 };
	return p ? (struct fl_str){ s.p, (size_t)(p - s.p) } : s;
}

bool fl_target_parse(struct fl_str arg, struct fl_target *t)
{
	const char *port;
	struct fl_addr a;
	*t = (struct fl_target){ 0 };
	t->rest = scheme_cut(arg, &t->scheme, &port);
	if (!t->rest.n)
		return false;
	if (!strcmp(t->scheme, "unix")) {
		t->host = t->rest;
		return true;
	}
	t->port_given = host_port(t->rest, &t->host, &t->port);
	if (!t->port_given) {
		t->host = trim_brackets(t->rest);
		t->port = fl_str(port);
	}
	t->port = zone_cut(t->port, &t->zone);          /* behind the port is as good as before it */
	if (!t->zone.n)
		t->host = zone_cut(t->host, &t->zone);
	t->ip = fl_addr_parse(t->host, &a);
	return true;
}

const char *fl_target_text(struct fl_arena *a, const struct fl_target *t)
{
	bool v6 = memchr(t->host.p, ':', t->host.n);
	return fl_arena_printf(a, v6 ? "[%.*s]:%.*s" : "%.*s:%.*s", FL_FMT(t->host), FL_FMT(t->port)).p;
}

int fl_resolvconf_read(struct fl_arena *a, const char *path, struct fl_str **server, unsigned *n)
{
	struct fl_str text, line, word;
	*n = 0;
	*server = NULL;
	int ret = fl_conf_read(a, path, &text);
	if (ret)
		return ret == -EISDIR ? 0 : -ENOENT;    /* a folder names nobody */
	unsigned lines = 1;
	for (size_t i = 0; i < text.n; i++)
		lines += text.p[i] == '\n';
	*server = fl_zalloc(a, lines * sizeof **server);
	while (text.n) {
		text = fl_str_cut(text, '\n', &line);
		line = fl_str_trim(line);
		for (size_t i = 0; i < line.n; i++)
			if (line.p[i] == '\t')
				((char *)(uintptr_t)line.p)[i] = ' ';
		line = fl_str_trim(fl_str_cut(line, ' ', &word));
		if (!fl_str_is(word, "nameserver") || !line.n)
			continue;
		fl_str_cut(line, ' ', &word);
		(*server)[(*n)++] = word;
	}
	return 0;
}

/* ---- policies ---- */

int fl_setup_policy(struct fl_setup *s, enum fl_policy *to)
{
	static const char *const names[] = { [FL_RANDOM] = "random", [FL_ROUND_ROBIN] = "round_robin", [FL_SEQUENTIAL] = "sequential" };
	struct fl_disp *d = fl_setup_disp(s);
	if (!fl_disp_next_arg(d))
		return fl_setup_arg_error(s);
	struct fl_str t = fl_disp_val(d);
	for (unsigned i = 0; i < FL_COUNT(names); i++)
		if (fl_str_is(t, names[i])) {
			*to = (enum fl_policy)i;
			return 0;
		}
	return fl_setup_parse_error(s, "unknown policy '%.*s'", FL_FMT(t));
}

void fl_policy_order(enum fl_policy p, uint8_t *to, unsigned n, struct fl_rng *rng, uint32_t *robin)
{
	for (unsigned i = 0; i < n; i++)
		to[i] = (uint8_t)i;
	if (n == 1 || p == FL_SEQUENTIAL)
		return;
	if (p == FL_ROUND_ROBIN) {
		unsigned first = __atomic_add_fetch(robin, 1, __ATOMIC_RELAXED) % n;
		memmove(to + 1, to, first);
		to[0] = (uint8_t)first;
		return;
	}
	for (unsigned i = n - 1; i; i--) {
		unsigned k = fl_rng_below(rng, i + 1);
		uint8_t x = to[i];
		to[i] = to[k];
		to[k] = x;
	}
}

/* ---- TLS ---- */

struct files { struct fl_tls_trust trust; struct fl_err e; };

static void *creds_create(void *arg)
{
	struct files *f = arg;
	return fl_tls_creds_create(&f->trust, &f->e);
}

static void creds_destroy(void *obj) { fl_tls_creds_put(obj); }

static int pem(struct fl_setup *s, struct fl_str arg, const char *what, struct fl_str *to)
{
	const char *path = fl_setup_path(s, arg);
	int ret = fl_conf_read(fl_setup_arena(s), path, to);
	if (!ret)
		return 0;
	const char *why = fl_file_why(-ret), *verb = ret == -EISDIR ? "read" : "open";
	return *what ? fl_setup_error(s, "could not load %s: %s %s: %s", what, verb, path, why)
		     : fl_setup_error(s, "error reading %s: %s %s: %s", path, verb, path, why);
}

/* That the pair fits is found out before the CA is looked at, as CoreDNS does. */
static int try_pair(struct fl_setup *s, const struct files *f)
{
	struct files only = { .trust = { .cert = f->trust.cert, .key = f->trust.key, .insecure = true } };
	struct fl_tls_creds *c = creds_create(&only);
	if (!c)
		return fl_setup_error(s, "could not load TLS cert: %s", only.e.msg);
	fl_tls_creds_put(c);
	return 0;
}

int fl_setup_tls(struct fl_setup *s, const struct fl_str *arg, unsigned n, struct fl_tls_creds **out, uint64_t *id)
{
	struct files f = { 0 };
	char key[100];
	int ret = 0;
	if ((n == 1 || n == 3) && !*fl_setup_path(s, arg[n - 1]))       /* as if no CA was given */
		n--;
	if (n >= 2 && ((ret = pem(s, arg[0], "TLS cert", &f.trust.cert)) || (ret = pem(s, arg[1], "TLS cert", &f.trust.key)) ||
		       (ret = try_pair(s, &f))))
		return ret;
	if ((n == 1 || n == 3) && (ret = pem(s, arg[n - 1], "", &f.trust.ca)))
		return ret;
	if ((n == 1 || n == 3) && !f.trust.ca.n)
		return fl_setup_error(s, "could not read root certs: %%!s(<nil>)");
	*id = fl_hash(f.trust.ca.p, f.trust.ca.n) ^ fl_hash(f.trust.cert.p, f.trust.cert.n) << 1 ^ fl_hash(f.trust.key.p, f.trust.key.n) << 2;
	int len = snprintf(key, sizeof key, "tls client %016llx %zu %zu %zu", (unsigned long long)*id, f.trust.ca.n, f.trust.cert.n,
			   f.trust.key.n);
	*out = fl_setup_keep(s, (struct fl_str){ key, (size_t)len }, creds_create, creds_destroy, &f);
	if (*out)
		return 0;
	return f.trust.ca.n ? fl_setup_error(s, "could not read root certs: %%!s(<nil>)") : fl_setup_error(s, "%s", f.e.msg);
}

/* ---- questions of our own ---- */

struct fl_up_ask fl_own_query(uint8_t room[FL_OWN_QUERY], uint16_t flags, struct fl_name name, uint16_t type)
{
	struct fl_up_ask a = { .msg = room + FL_UP_ROOM, .question = (uint16_t)(name.len + 4u) };
	a.len = (uint16_t)fl_pack_query(a.msg, FL_OWN_QUERY - FL_UP_ROOM, 0, flags, name, type, FL_C_IN, false, 0, 0, NULL);
	return a;
}

unsigned fl_own_addresses(const struct fl_message *m, uint16_t type, struct fl_addr *to, unsigned most)
{
	unsigned n = 0;
	for (unsigned i = 0; i < m->n; i++) {
		const struct fl_item *it = &m->item[i];
		if (it->section != FL_ANSWER || it->set->type != type)
			continue;
		for (struct fl_rr r = { 0 }; n < most && fl_rr_next(it->set, &r);) {
			if (r.rdlen != (type == FL_T_A ? 4 : 16))
				continue;
			to[n].len = (uint8_t)r.rdlen;
			memcpy(to[n++].b, r.rdata, r.rdlen);
		}
	}
	return n;
}

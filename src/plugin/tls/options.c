#include "plugin/tls/options.h"
#include "base/file.h"
#include "plugin/tls/caller.h"
#include <ctype.h>
#include <errno.h>
#include <gnutls/gnutls.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { ACME, EMAIL, CA, STORAGE, CA_ROOT, RESOLVER, OPTIONS };

const char *fl_tls_absolute(struct fl_setup *s, const char *path)
{
	char here[PATH_MAX];
	if (*path == '/' || !getcwd(here, sizeof here))
		return path;
	return fl_arena_printf(fl_setup_arena(s), "%s/%s", here, path).p;
}

/* ---- domains (plugin/tls/acme.go normalizeACMEDomain) ---- */

static struct fl_str lower(struct fl_arena *a, struct fl_str s)
{
	s = fl_arena_str(a, s);
	for (size_t i = 0; i < s.n; i++)
		((char *)(uintptr_t)s.p)[i] = (char)fl_lower((uint8_t)s.p[i]);
	return s;
}

static int bad(struct fl_setup *s, struct fl_str domain, const char *why)
{
	return fl_setup_error(s, "invalid ACME domain \"%.*s\"%s%s", FL_FMT(domain), *why ? ": " : "", why);
}

/* What golang.org/x/net/idna's Lookup profile lets through, of ASCII. */
static int ascii(struct fl_setup *s, struct fl_str whole, struct fl_str name)
{
	char why[120];
	struct fl_str rest = name, label;
	while (rest.n) {
		rest = fl_str_cut(rest, '.', &label);
		for (size_t i = 0; i < label.n; i++)
			if (!isalnum((unsigned char)label.p[i]) && label.p[i] != '-') {
				snprintf(why, sizeof why, "idna: disallowed rune U+%04X", (unsigned char)label.p[i]);
				return bad(s, whole, why);
			}
		bool hyphens = label.n > 3 && label.p[2] == '-' && label.p[3] == '-' && !fl_str_starts(label, FL_STR("xn--"));
		if (label.n && (label.p[0] == '-' || label.p[label.n - 1] == '-' || hyphens)) {
			snprintf(why, sizeof why, "idna: invalid label \"%.*s\"", label.n < 64 ? (int)label.n : 64, label.p);
			return bad(s, whole, why);
		}
	}
	uint8_t wire[FL_NAME_MAX];
	return fl_name_parse(wire, name) < 0 ? bad(s, whole, "") : 0;
}

static int normal(struct fl_setup *s, struct fl_str text, const char **out)
{
	struct fl_arena *a = fl_setup_arena(s);
	struct fl_str d = lower(a, text), name;
	struct fl_addr ip;
	d.n -= d.n && d.p[d.n - 1] == '.';
	bool star = fl_str_starts(d, FL_STR("*."));
	name = star ? (struct fl_str){ d.p + 2, d.n - 2 } : d;
	if (!name.n || memchr(name.p, '*', name.n) || fl_addr_parse(name, &ip))
		return bad(s, d, "");
	for (size_t i = 0; i < name.n; i++)
		if ((unsigned char)name.p[i] >= 0x80) {
			gnutls_datum_t to = { 0 };
			int ret = gnutls_idna_map(name.p, (unsigned)name.n, &to, 0);
			if (ret < 0)
				return bad(s, d, gnutls_strerror(ret));
			name = fl_arena_str(a, (struct fl_str){ (const char *)to.data, to.size });
			gnutls_free(to.data);
			break;
		}
	int ret = ascii(s, d, name);
	*out = fl_arena_printf(a, "%s%.*s", star ? "*." : "", FL_FMT(name)).p;
	return ret;
}

static int domains(struct fl_setup *s, struct fl_acme_options *o, const struct fl_str *arg, unsigned n)
{
	o->domain = fl_zalloc(fl_setup_arena(s), (n + 1) * sizeof *o->domain);
	for (unsigned i = 0; i < n; i++) {
		const char *d = "";
		int ret = normal(s, arg[i], &d);
		if (ret)
			return ret;
		unsigned k = 0;
		while (k < o->ndomain && strcmp(o->domain[k], d))
			k++;
		if (k == o->ndomain)
			o->domain[o->ndomain++] = d;
	}
	return o->ndomain ? 0 : fl_setup_error(s, "ACME requires at least one domain");
}

/* ---- the others ---- */

/* net.SplitHostPort, with its words. */
static int resolver(struct fl_setup *s, struct fl_acme_options *o, struct fl_str text)
{
	const char *colon = memrchr(text.p, ':', text.n), *close = memrchr(text.p, ']', text.n);
	struct fl_str host = { text.p, colon ? (size_t)(colon - text.p) : 0 }, port = { 0 };
	const char *why = NULL;
	int64_t n;
	if (!colon || (close && colon < close))
		why = "missing port in address";
	else if (*text.p == '[' && close != colon - 1)
		why = "missing ']' in address";
	else if (*text.p != '[' && memchr(host.p, ':', host.n))
		why = "too many colons in address";
	if (why)
		return fl_setup_error(s, "invalid ACME resolver \"%.*s\": address %.*s: %s", FL_FMT(text), FL_FMT(text), why);
	port = (struct fl_str){ colon + 1, text.n - host.n - 1 };
	if (host.n && *host.p == '[')
		host = (struct fl_str){ host.p + 1, host.n - 2 };
	if (!host.n)
		return fl_setup_error(s, "invalid ACME resolver \"%.*s\": host is empty", FL_FMT(text));
	if (fl_parse_int(port, 1, 65535, &n))
		return fl_setup_error(s, "invalid ACME resolver port \"%.*s\"", FL_FMT(port));
	o->resolver = fl_arena_str(fl_setup_arena(s), host).p;
	o->resolver_port = (uint16_t)n;
	return 0;
}

/* Is it there, and are there certificates in it? It is read again each time that the CA is asked. */
static int ca_root(struct fl_setup *s, const char *path)
{
	struct fl_arena mem;
	struct fl_str pem;
	struct fl_err e;
	fl_arena_init(&mem, NULL, 0, NULL, 1 << 24);
	int ret = fl_conf_read(&mem, path, &pem);
	if (ret)
		ret = fl_setup_error(s, "reading ACME CA root \"%s\": open %s: %s", path, path, fl_file_why(-ret));
	else {
		struct fl_tls_creds *c = pem.n ? fl_tls_creds_create(&(struct fl_tls_trust){ .ca = pem }, &e) : NULL;
		ret = c ? 0 : fl_setup_error(s, "ACME CA root \"%s\" contains no certificates", path);
		fl_tls_creds_put(c);
	}
	fl_arena_finish(&mem);
	return ret;
}

int fl_acme_options(struct fl_setup *s, struct fl_acme_options *o)
{
	static const char *const known[OPTIONS] = { "acme", "email", "ca", "storage", "ca_root", "resolver" };
	struct fl_disp *d = fl_setup_disp(s);
	struct fl_str *value[OPTIONS] = { 0 }, *arg;
	unsigned n[OPTIONS] = { 0 };
	while (fl_disp_next_block(d)) {
		struct fl_str name = fl_disp_val(d);
		unsigned i = 0, given = fl_disp_args(d, &arg);
		while (i < OPTIONS && !fl_str_is(name, known[i]))
			i++;
		if (i == OPTIONS)
			return fl_setup_parse_error(s, "unknown ACME option \"%.*s\"", FL_FMT(name));
		if (value[i])
			return fl_setup_parse_error(s, "ACME option \"%.*s\" can only be specified once", FL_FMT(name));
		if (i == ACME ? !given : given != 1)
			return fl_setup_arg_error(s);
		value[i] = arg;
		n[i] = given;
	}
	struct fl_arena *a = fl_setup_arena(s);
	const char *storage = fl_setup_path(s, value[STORAGE] ? *value[STORAGE] : FL_STR(".coredns/acme"));
	*o = (struct fl_acme_options){
		.email = value[EMAIL] ? lower(a, fl_str_trim(*value[EMAIL])).p : "", .storage = fl_tls_absolute(s, storage),
		.ca = value[CA] ? fl_arena_str(a, *value[CA]).p : "https://acme-v02.api.letsencrypt.org/directory",
		.ca_root = value[CA_ROOT] ? fl_tls_absolute(s, fl_setup_path(s, *value[CA_ROOT])) : NULL,
	};
	int ret = domains(s, o, value[ACME], n[ACME]);
	if (!ret && !fl_acme_url(o->ca))
		ret = fl_setup_error(s, "invalid ACME CA URL \"%s\"", o->ca);
	if (!ret && value[RESOLVER])
		ret = resolver(s, o, *value[RESOLVER]);
	return ret || !o->ca_root ? ret : ca_root(s, o->ca_root);
}

/* The types of the toolkit as tables, and go-yaml's strict decoding over them: one walk over libyaml's nodes, which know their lines. */
#include "ctl/webconf.h"
#include "base/duration.h"
#include "base/file.h"
#include "base/scalar.h"
#include <errno.h>
#include <gnutls/crypto.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>

enum { MERGES = 8, ARENA = 16 << 20 };

enum kind { STRING, SECRET, BOOL, INT, DURATION, VERSION, SUITES, CURVES, STRINGS, HEADERS, USERS, STRUCT };
struct type;
struct field { const char *name; enum kind kind; size_t at; const struct type *of; };
struct type { const char *name; const struct field *fields; };

/* What messages call them. */
static const char *const go_names[] = { "string", "config.plain", "bool", "int", "time.Duration", "string", "[]web.Cipher", "[]web.Curve",
					"[]string", "map[string]string", "map[string]config.Secret" };

#define AT(member) offsetof(struct fl_webconf, member)
static const struct field tls_fields[] = {
	{ "cert", STRING, AT(cert) }, { "key", SECRET, AT(key) }, { "client_ca", STRING, AT(ca) }, { "cert_file", STRING, AT(cert_file) },
	{ "key_file", STRING, AT(key_file) }, { "client_auth_type", STRING, AT(auth_name) }, { "client_ca_file", STRING, AT(ca_file) },
	{ "cipher_suites", SUITES, 0 }, { "curve_preferences", CURVES, 0 }, { "min_version", VERSION, AT(policy.min) },
	{ "max_version", VERSION, AT(policy.max) }, { "prefer_server_cipher_suites", BOOL, AT(prefer_server) },
	{ "client_allowed_sans", STRINGS, 0 }, { NULL } };
static const struct field http_fields[] = { { "http2", BOOL, AT(http2) }, { "headers", HEADERS, AT(headers) }, { NULL } };
static const struct field rate_fields[] = { { "burst", INT, AT(burst) }, { "interval", DURATION, AT(interval_ns) }, { NULL } };
static const struct type tls_type = { "web.TLSConfig", tls_fields }, http_type = { "web.HTTPConfig", http_fields },
			 rate_type = { "web.RateLimiterConfig", rate_fields };
static const struct field top_fields[] = {
	{ "tls_server_config", STRUCT, 0, &tls_type }, { "http_server_config", STRUCT, 0, &http_type },
	{ "rate_limit", STRUCT, 0, &rate_type }, { "basic_auth_users", USERS, AT(users) }, { NULL } };
static const struct type top_type = { "web.Config", top_fields };

struct decoder {
	yaml_document_t doc;
	struct fl_webconf *c;
	struct fl_err *e;               /* all that is of the wrong type, a line each */
	size_t n;
	bool fatal;                     /* e ends the reading: what stands there is final */
};

static void *member(struct decoder *d, const struct field *f) { return (char *)d->c + f->at; }
static yaml_node_t *node_at(struct decoder *d, int i) { return yaml_document_get_node(&d->doc, i); }

/* ---- complaints ---- */

static void __attribute__((format(printf, 3, 4))) complain(struct decoder *d, const yaml_node_t *at, const char *fmt, ...)
{
	char *to = d->e->msg;
	size_t cap = sizeof d->e->msg;
	if (d->fatal || d->n >= cap - 1)
		return;
	va_list ap;
	va_start(ap, fmt);
	d->n += (size_t)snprintf(to + d->n, cap - d->n, "%s\n  line %zu: ", d->n ? "" : "yaml: unmarshal errors:", at->start_mark.line + 1);
	if (d->n < cap)
		d->n += (size_t)vsnprintf(to + d->n, cap - d->n, fmt, ap);
	va_end(ap);
}

static void refuse(struct decoder *d, const char *what, const char *name)
{
	if (!d->fatal)
		fl_err_set(d->e, "%s%s", what, name);
	d->fatal = true;
}

static void mismatch(struct decoder *d, const yaml_node_t *n, const char *wanted)
{
	static const char *const tags[] = { "str", "null", "bool", "bool", "int", "float", "float" };
	if (n->type != YAML_SCALAR_NODE) {
		complain(d, n, "cannot unmarshal !!%s into %s", n->type == YAML_MAPPING_NODE ? "map" : "seq", wanted);
		return;
	}
	const char *s = (const char *)n->data.scalar.value;
	double v;
	bool plain = n->data.scalar.style == YAML_PLAIN_SCALAR_STYLE, long_one = n->data.scalar.length > 10;
	complain(d, n, "cannot unmarshal !!%s `%.*s%s` into %s", plain ? tags[fl_scalar_of(s, &v)] : "str", long_one ? 7 : 10, s,
		 long_one ? "..." : "", wanted);
}

/* ---- scalars ---- */

static enum fl_scalar scalar(const yaml_node_t *n, double *v)
{
	*v = 0;
	if (n->type != YAML_SCALAR_NODE || n->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
		return FL_SCALAR_TEXT;
	return fl_scalar_of((const char *)n->data.scalar.value, v);
}

/* Nothing at all is go-yaml's zero value. */
static bool nothing(const yaml_node_t *n)
{
	double v;
	return scalar(n, &v) == FL_SCALAR_NULL;
}

/* The text of a scalar, whatever it looks like; NULL: it is none, and that was said. */
static const char *text(struct decoder *d, const yaml_node_t *n, const char *wanted)
{
	if (n->type != YAML_SCALAR_NODE) {
		mismatch(d, n, wanted);
		return NULL;
	}
	if (nothing(n))
		return "";
	size_t len = n->data.scalar.length;
	if (memchr(n->data.scalar.value, 0, len)) {
		refuse(d, "yaml: control characters are not allowed", "");
		return NULL;
	}
	char *s = fl_alloc(&d->c->arena, len + 1);
	if (!s) {
		refuse(d, "out of memory", "");
		return NULL;
	}
	memcpy(s, n->data.scalar.value, len + 1);
	return s;
}

static void whole_number(struct decoder *d, const yaml_node_t *n, const struct field *f)
{
	struct fl_str s = { (const char *)n->data.scalar.value, n->type == YAML_SCALAR_NODE ? n->data.scalar.length : 0 };
	int64_t *to = member(d, f);
	struct fl_err why;
	double v;
	enum fl_scalar kind = scalar(n, &v);
	if (n->type == YAML_SCALAR_NODE && f->kind == DURATION && kind == FL_SCALAR_TEXT && !fl_duration_parse(s, to, &why))
		return;
	if (kind == FL_SCALAR_NULL)
		*to = 0;
	else if ((kind == FL_SCALAR_INT || kind == FL_SCALAR_FLOAT) && v > -9.2e18 && v < 9.2e18)
		*to = (int64_t)v;
	else
		mismatch(d, n, go_names[f->kind]);
}

static void boolean(struct decoder *d, const yaml_node_t *n, const struct field *f)
{
	double v;
	enum fl_scalar kind = scalar(n, &v);
	if (kind == FL_SCALAR_TRUE || kind == FL_SCALAR_FALSE || kind == FL_SCALAR_NULL)
		*(bool *)member(d, f) = kind == FL_SCALAR_TRUE;
	else
		mismatch(d, n, go_names[BOOL]);
}

static void string(struct decoder *d, const yaml_node_t *n, const struct field *f)
{
	const char *s = text(d, n, go_names[f->kind]);
	if (s)
		*(const char **)member(d, f) = *s ? s : NULL;
}

static void version(struct decoder *d, const yaml_node_t *n, const struct field *f)
{
	const char *s = text(d, n, go_names[VERSION]);
	int v = s ? fl_tls_version(fl_str(s)) : -1;
	if (s && v < 0 && !nothing(n))
		refuse(d, "unknown TLS version: ", s);
	else if (s)
		*(int *)member(d, f) = v < 0 ? 0 : v;
}

/* ---- lists and maps ---- */

static void one_suite(struct decoder *d, const char *s)
{
	int i = fl_tls_suite(fl_str(s));
	if (i < 0)
		refuse(d, "unknown cipher: ", s);
	else
		d->c->policy.suites |= 1u << i;
}

static void one_curve(struct decoder *d, const char *s)
{
	struct fl_tls_policy *p = &d->c->policy;
	int i = fl_tls_curve(fl_str(s));
	if (i < 0) {
		refuse(d, "unknown curve: ", s);
		return;
	}
	for (unsigned k = 0; k < p->ncurves; k++)
		if (p->curve[k] == i)
			return;
	p->curve[p->ncurves++] = (unsigned char)i;
}

static void list(struct decoder *d, const yaml_node_t *n, enum kind kind)
{
	const yaml_node_item_t *i = n->type == YAML_SEQUENCE_NODE ? n->data.sequence.items.start : NULL;
	struct fl_tls_policy *p = &d->c->policy;
	if (n->type != YAML_SEQUENCE_NODE) {
		if (!nothing(n))
			mismatch(d, n, go_names[kind]);
		return;
	}
	size_t most = (size_t)(n->data.sequence.items.top - i);
	const char **sans = kind == STRINGS ? fl_alloc(&d->c->arena, (most + 1) * sizeof *sans) : NULL;
	if (kind == STRINGS && !sans) {
		refuse(d, "out of memory", "");
		return;
	}
	if (kind == STRINGS) {
		p->sans = sans;
		p->nsans = 0;
	}
	for (; i < n->data.sequence.items.top && !d->fatal; i++) {
		const char *s = text(d, node_at(d, *i), "string");
		if (!s || (kind != STRINGS && nothing(node_at(d, *i))))
			continue;
		if (kind == STRINGS)
			sans[p->nsans++] = s;
		else if (kind == SUITES)
			one_suite(d, s);
		else
			one_curve(d, s);
	}
}

static bool merges(const yaml_node_t *key)
{
	return key->type == YAML_SCALAR_NODE && key->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
	       !strcmp((const char *)key->data.scalar.value, "<<");
}

static void map_put(struct decoder *d, const yaml_node_t *at, struct fl_webconf_map *m, const char *key, const char *value)
{
	for (unsigned i = 0; i < m->n; i++)
		if (!strcmp(m->at[i].key, key)) {
			complain(d, at, "key \"%s\" already set in map", key);
			return;
		}
	m->at[m->n++] = (struct fl_webconf_pair){ key, value };
}

/* What is to be merged: a map, or a list of maps of which the first counts most. */
typedef void merge_fn(struct decoder *d, const yaml_node_t *n, const struct field *f, unsigned depth);
static void merge(struct decoder *d, const yaml_node_t *from, merge_fn *fn, const struct field *f, unsigned depth)
{
	bool seq = from->type == YAML_SEQUENCE_NODE;
	if (depth >= MERGES || (!seq && from->type != YAML_MAPPING_NODE)) {
		refuse(d, "yaml: map merge requires map or sequence of maps as the value", "");
		return;
	}
	if (!seq) {
		fn(d, from, f, depth + 1);
		return;
	}
	size_t most = (size_t)(from->data.sequence.items.top - from->data.sequence.items.start);
	for (size_t i = most < MERGES ? most : MERGES; i-- && !d->fatal;) {
		const yaml_node_t *one = node_at(d, from->data.sequence.items.start[i]);
		if (one->type == YAML_MAPPING_NODE)
			fn(d, one, f, depth + 1);
		else
			refuse(d, "yaml: map merge requires map or sequence of maps as the value", "");
	}
}

static void map(struct decoder *d, const yaml_node_t *n, const struct field *f, unsigned depth)
{
	struct fl_webconf_map *m = member(d, f);
	if (n->type != YAML_MAPPING_NODE) {
		if (nothing(n))
			m->n = 0;
		else
			mismatch(d, n, go_names[f->kind]);
		return;
	}
	size_t more = (size_t)(n->data.mapping.pairs.top - n->data.mapping.pairs.start);
	struct fl_webconf_pair *at = fl_alloc(&d->c->arena, (m->n + more + 1) * sizeof *at);
	if (!at) {
		refuse(d, "out of memory", "");
		return;
	}
	if (m->n)
		memcpy(at, m->at, m->n * sizeof *at);
	m->at = at;
	unsigned room = m->n + (unsigned)more;
	for (const yaml_node_pair_t *p = n->data.mapping.pairs.start; p < n->data.mapping.pairs.top && !d->fatal; p++) {
		const yaml_node_t *key = node_at(d, p->key), *value = node_at(d, p->value);
		if (merges(key)) {
			merge(d, value, map, f, depth);
			continue;
		}
		const char *k = text(d, key, "string");
		const char *v = k ? text(d, value, f->kind == USERS ? "config.plain" : "string") : NULL;
		if (v && m->n < room)
			map_put(d, value, m, k, v);
	}
}

/* ---- structures ---- */

static void fill(struct decoder *d, const yaml_node_t *n, const struct field *f, unsigned depth);

static void value(struct decoder *d, const yaml_node_t *n, const struct field *f)
{
	switch (f->kind) {
	case STRING:
	case SECRET:
		string(d, n, f);
		break;
	case BOOL:
		boolean(d, n, f);
		break;
	case INT:
	case DURATION:
		whole_number(d, n, f);
		break;
	case VERSION:
		version(d, n, f);
		break;
	case SUITES:
	case CURVES:
	case STRINGS:
		list(d, n, f->kind);
		break;
	case HEADERS:
	case USERS:
		map(d, n, f, 0);
		break;
	case STRUCT:
		if (nothing(n) && f->of == &http_type)          /* go-yaml empties it, http2 with it */
			d->c->http2 = false;
		else if (!nothing(n))
			fill(d, n, f, 0);
	}
}

static void fill(struct decoder *d, const yaml_node_t *n, const struct field *f, unsigned depth)
{
	const struct type *type = f->of;
	unsigned seen = 0;
	if (n->type != YAML_MAPPING_NODE) {
		mismatch(d, n, type->name);
		return;
	}
	for (const yaml_node_pair_t *p = n->data.mapping.pairs.start; p < n->data.mapping.pairs.top && !d->fatal; p++) {
		const yaml_node_t *key = node_at(d, p->key);
		if (merges(key)) {
			merge(d, node_at(d, p->value), fill, f, depth);
			continue;
		}
		const char *name = text(d, key, "string");
		unsigned i = 0;
		while (name && type->fields[i].name && strcmp(type->fields[i].name, name))
			i++;
		if (!name)
			continue;
		if (!type->fields[i].name)
			complain(d, key, "field %s not found in type %s", name, type->name);
		else if (seen & 1u << i)
			complain(d, key, "field %s already set in type %s", name, type->name);
		else
			value(d, node_at(d, p->value), &type->fields[i]);
		seen |= type->fields[i].name ? 1u << i : 0;
	}
}

/* ---- the whole ---- */

/* As go-yaml tells it: lines count from where its scanner stands, and the first has no number. */
static void broken(const yaml_parser_t *p, struct fl_err *e)
{
	size_t line = p->problem_mark.line ? p->problem_mark.line + (p->error == YAML_SCANNER_ERROR) : p->context_mark.line;
	char where[40] = "";
	if (line)
		snprintf(where, sizeof where, "line %zu: ", line);
	if (p->error == YAML_COMPOSER_ERROR)
		fl_err_set(e, "yaml: unknown anchor referenced");
	else
		fl_err_set(e, "yaml: %s%s", where, p->problem ? p->problem : "unknown problem parsing YAML content");
}

static int decode(struct fl_webconf *c, struct fl_str in, struct fl_err *e)
{
	static const struct field top = { "", STRUCT, 0, &top_type };
	struct decoder d = { .c = c, .e = e };
	yaml_parser_t parser;
	if (!yaml_parser_initialize(&parser))
		return fl_err_set(e, "out of memory");
	yaml_parser_set_input_string(&parser, (const unsigned char *)in.p, in.n);
	e->msg[0] = 0;
	if (!yaml_parser_load(&parser, &d.doc)) {
		broken(&parser, e);
		yaml_parser_delete(&parser);
		return -EINVAL;
	}
	yaml_node_t *root = yaml_document_get_root_node(&d.doc);
	if (root && !nothing(root))
		fill(&d, root, &top, 0);
	yaml_document_delete(&d.doc);
	yaml_parser_delete(&parser);
	return d.fatal || d.n ? -EINVAL : 0;
}

static int check_headers(const struct fl_webconf *c, struct fl_err *e)
{
	static const struct { const char *name, *values[3], *words; } known[] = {
		{ "Strict-Transport-Security" }, { "X-XSS-Protection" }, { "Content-Security-Policy" },
		{ "X-Content-Type-Options", { "nosniff" }, "[\"nosniff\"]" },
		{ "X-Frame-Options", { "deny", "sameorigin" }, "[\"deny\" \"sameorigin\"]" },
	};
	size_t bytes = 0;
	for (unsigned i = 0; i < c->headers.n; i++) {
		const char *name = c->headers.at[i].key, *value = c->headers.at[i].value;
		unsigned k = 0, v = 0;
		while (k < FL_COUNT(known) && strcmp(known[k].name, name))
			k++;
		if (k == FL_COUNT(known))
			return fl_err_set(e, "HTTP header \"%s\" can not be configured", name);
		while (known[k].values[v] && strcmp(known[k].values[v], value))
			v++;
		if (known[k].words && !known[k].values[v])
			return fl_err_set(e, "invalid value for %s. Expected one of: %s, but got: \"%s\"", name, known[k].words, value);
		for (const char *p = value; *p; p++)
			if ((unsigned char)*p < ' ' || *p == 0x7f)
				return fl_err_set(e, "invalid value for %s: a control character", name);
		bytes += strlen(value);
	}
	return bytes > FL_WEBCONF_HEADERS ? fl_err_set(e, "HTTP headers of more than %d bytes", FL_WEBCONF_HEADERS) : 0;
}

/* A path that is not absolute begins where the file lies. */
static bool join(struct fl_webconf *c, const char *path, const char **at)
{
	const char *slash = strrchr(path, '/');
	if (!*at || **at == '/' || !slash)
		return true;
	size_t dir = (size_t)(slash - path) + 1, n = strlen(*at);
	char *all = fl_alloc(&c->arena, dir + n + 1);
	if (!all)
		return false;
	memcpy(all, path, dir);
	memcpy(all + dir, *at, n + 1);
	*at = all;
	return true;
}

int fl_webconf_parse(struct fl_webconf *c, struct fl_str in, const char *path, struct fl_err *e)
{
	*c = (struct fl_webconf){ .http2 = true, .prefer_server = true };
	fl_arena_init(&c->arena, NULL, 0, NULL, ARENA);
	if (decode(c, in, e) || check_headers(c, e))
		return -EINVAL;
	return join(c, path, &c->cert_file) && join(c, path, &c->key_file) && join(c, path, &c->ca_file) ? 0 : fl_err_set(e, "out of memory");
}

void fl_webconf_finish(struct fl_webconf *c) { fl_arena_finish(&c->arena); }

bool fl_webconf_sealed(const struct fl_webconf *c)
{
	return c->cert_file || c->cert || c->key_file || c->key || c->ca_file || c->ca || c->auth_name;
}

/* As x/crypto/bcrypt looks at one. */
static int check_hash(const char *hash, struct fl_err *e)
{
	int64_t cost;
	if (strlen(hash) < 59)
		return fl_err_set(e, "crypto/bcrypt: hashedSecret too short to be a bcrypted password");
	if (hash[0] != '$')
		return fl_err_set(e, "crypto/bcrypt: bcrypt hashes must start with '$', but hashedSecret started with '%c'", hash[0]);
	if (hash[1] > '2')
		return fl_err_set(e, "crypto/bcrypt: bcrypt algorithm version '%c' requested is newer than current version '2'", hash[1]);
	struct fl_str digits = { hash + (hash[2] == '$' ? 3 : 4), 2 };
	if (fl_parse_int(digits, -9, 99, &cost))
		return fl_err_set(e, "strconv.Atoi: parsing \"%.*s\": invalid syntax", FL_FMT(digits));
	if (cost < 4 || cost > 31)
		return fl_err_set(e, "crypto/bcrypt: cost %d is outside allowed inclusive range 4..31", (int)cost);
	return 0;
}

int fl_webconf_check_users(const struct fl_webconf *c, struct fl_err *e)
{
	for (unsigned i = 0; i < c->users.n; i++)
		if (check_hash(c->users.at[i].value, e))
			return -EINVAL;
	return 0;
}

/* ---- what it names ---- */

char *fl_webconf_read(const char *path, size_t *n, struct fl_err *e)
{
	char *text;
	fl_file_read(path, FL_WEBCONF_FILE - 1, &text, n, e);
	return text;
}

static int auth_of(const struct fl_webconf *c, enum fl_tls_client_auth *auth, struct fl_err *e)
{
	static const struct { const char *name; enum fl_tls_client_auth auth; } rows[] = {
		{ "NoClientCert", FL_TLS_NOCERT }, { "RequestClientCert", FL_TLS_REQUEST }, { "RequireAnyClientCert", FL_TLS_REQUIRE },
		{ "RequireClientCert", FL_TLS_REQUIRE }, { "VerifyClientCertIfGiven", FL_TLS_VERIFY_IF_GIVEN },
		{ "RequireAndVerifyClientCert", FL_TLS_REQUIRE_AND_VERIFY } };
	unsigned i = 0;
	while (c->auth_name && i < FL_COUNT(rows) && strcmp(rows[i].name, c->auth_name))
		i++;
	if (i == FL_COUNT(rows))
		return fl_err_set(e, "invalid ClientAuth: %s", c->auth_name);
	*auth = rows[i].auth;
	if ((c->ca_file || c->ca) && *auth == FL_TLS_NOCERT)
		return fl_err_set(e, "client CA's have been configured without a Client Auth Policy");
	return 0;
}

/* A text of the file itself, or of the file it names (*own: to be freed). */
static int material(const char *path, const char *inline_text, const char *what, struct fl_str *to, char **own, struct fl_err *e)
{
	struct fl_err why;
	*to = fl_str(path ? NULL : inline_text);
	if (!path)
		return 0;
	*own = fl_webconf_read(path, &to->n, &why);
	to->p = *own;
	return *own ? 0 : what ? fl_err_set(e, "failed to read %s (%s): %s", what, path, why.msg) : fl_err_set(e, "%s", why.msg);
}

static void add(gnutls_hash_hd_t h, const char *path)
{
	struct fl_err why;
	size_t n = 0;
	char *own = path ? fl_webconf_read(path, &n, &why) : NULL;
	uint64_t head = own ? n : UINT64_MAX;
	gnutls_hash(h, &head, sizeof head);
	if (own) {
		gnutls_hash(h, own, n);
		explicit_bzero(own, n);
	}
	free(own);
}

void fl_webconf_sum(const struct fl_webconf *c, uint8_t to[32])
{
	gnutls_hash_hd_t h;
	memset(to, 0, 32);
	if (gnutls_hash_init(&h, GNUTLS_DIG_SHA256) < 0)
		return;
	add(h, c->cert_file);
	add(h, c->key_file);
	add(h, c->ca_file);
	gnutls_hash_deinit(h, to);
}

static unsigned http2_needs(void)
{
	return 1u << fl_tls_suite(FL_STR("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256")) |
	       1u << fl_tls_suite(FL_STR("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"));
}

struct fl_tls_server *fl_webconf_tls(const struct fl_webconf *c, struct fl_err *e)
{
	char *own[3] = { NULL };
	struct fl_tls_server *s = NULL;
	struct fl_tls_material m = { .words = "failed to load X509KeyPair", .ca_words = "no certificate is in client_ca_file or client_ca", .keylog = -1, .policy = &c->policy };
	if (!c->cert_file && !c->cert)
		return fl_err_set(e, "missing one of cert or cert_file"), NULL;
	if (!c->key_file && !c->key)
		return fl_err_set(e, "missing one of key or key_file"), NULL;
	if (material(c->cert_file, c->cert, "cert_file", &m.cert, &own[0], e) || material(c->key_file, c->key, "key_file", &m.key, &own[1], e) ||
	    material(c->ca_file, c->ca, NULL, &m.ca, &own[2], e) || auth_of(c, &m.auth, e))
		goto out;
	if (c->http2 && c->policy.min < 13 && c->policy.suites && !(c->policy.suites & http2_needs())) {       /* net/http will not begin */
		fl_err_set(e, "http2: TLSConfig.CipherSuites is missing an HTTP/2-required AES_128_GCM_SHA256 cipher (need at least one of "
			      "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 or TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256)");
		goto out;
	}
	if (m.auth != FL_TLS_VERIFY_IF_GIVEN && m.auth != FL_TLS_REQUIRE_AND_VERIFY)
		m.ca = (struct fl_str){ NULL, 0 };      /* nobody asks it */
	s = fl_tls_server_create(&m, e);
out:
	if (own[1])
		explicit_bzero(own[1], m.key.n);
	for (int i = 0; i < 3; i++)
		free(own[i]);
	return s;
}

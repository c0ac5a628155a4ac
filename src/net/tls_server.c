#include "net/tls_server_int.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/rcu.h"
#include "net/tls.h"
#include "net/tls_policy.h"
#include <arpa/inet.h>
#include <errno.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* What crypto/tls offers a server, in its order: key exchange forward secret, ciphers authenticated. */
#define PRIORITY "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-KX-ALL:+ECDHE-ECDSA:+ECDHE-RSA:" \
		 "-CIPHER-ALL:+AES-128-GCM:+AES-256-GCM:+CHACHA20-POLY1305:%SERVER_PRECEDENCE"

struct fl_tls_session {
	struct fl_tls_server *server;
	gnutls_session_t s;
	const struct fl_tls_wire *wire;
	void *arg;
	bool open;                              /* the handshake is done and nothing failed since */
	bool ended;                             /* nothing more will come */
	int error;                              /* GnuTLS's last */
};

static gnutls_priority_t priority;              /* never changes once it is there */

static gnutls_datum_t datum(struct fl_str s)
{
	return (gnutls_datum_t){ .data = (unsigned char *)(uintptr_t)s.p, .size = (unsigned)s.n };
}

/* ---- what serves ---- */

static void server_get(struct fl_tls_server *s) { __atomic_add_fetch(&s->refs, 1, __ATOMIC_RELAXED); }

void fl_tls_server_put(struct fl_tls_server *s)
{
	if (!s || __atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL))
		return;
	if (s->cred)
		gnutls_certificate_free_credentials(s->cred);
	if (s->ticket.data)
		gnutls_memset(s->ticket.data, 0, s->ticket.size);
	gnutls_free(s->ticket.data);
	if (s->keylog >= 0)
		close(s->keylog);
	gnutls_priority_deinit(s->any);
	gnutls_priority_deinit(s->before13);
	gnutls_priority_deinit(s->from13);
	for (unsigned i = 0; i < s->nsans; i++)
		free(s->sans[i]);
	free(s->sans);
	fl_tls_names_finish(s);
	free(s);
}

struct gnutls_certificate_credentials_st *fl_tls_server_creds(const struct fl_tls_server *s) { return s->cred; }

static int load_pair(struct fl_tls_server *s, const struct fl_tls_material *m, struct fl_err *e)
{
	gnutls_datum_t dc = datum(m->cert), dk = datum(m->key);
	struct fl_err why;
	int ret = gnutls_certificate_set_x509_key_mem2(s->cred, &dc, &dk, GNUTLS_X509_FMT_PEM, NULL, 0);
	if (ret >= 0)
		return 0;
	fl_tls_pair_error(m->cert, m->key, ret, &why);
	return fl_err_set(e, "%s: %s", m->words, why.msg);
}

/* ca.p NULL: the system's, and only when clients are to be verified: it costs megabytes. */
static int load_ca(struct fl_tls_server *s, const struct fl_tls_material *m, struct fl_err *e)
{
	gnutls_datum_t d = datum(m->ca);
	if (m->ca.p)
		return gnutls_certificate_set_x509_trust_mem(s->cred, &d, GNUTLS_X509_FMT_PEM) > 0 ? 0 :
		       fl_err_set(e, "%s", m->ca_words);
	if (s->auth != FL_TLS_VERIFY_IF_GIVEN && s->auth != FL_TLS_REQUIRE_AND_VERIFY)
		return 0;
	int n = gnutls_certificate_set_x509_system_trust(s->cred);
	return n < 0 ? fl_err_set(e, "unable to load the system's root certificates: %s", gnutls_strerror(n)) : 0;
}

static int set_priority(gnutls_priority_t *to, const struct fl_tls_policy *p, bool rsa, enum fl_tls_when when, struct fl_err *e)
{
	char text[FL_TLS_PRIORITY];
	if (!fl_tls_priority(text, p, rsa, when))
		return when == FL_TLS_BEFORE_13 ? 0 : fl_err_set(e, "tls: no version and cipher suite is left to be spoken");
	int ret = gnutls_priority_init2(to, text, NULL, 0);
	return ret < 0 ? fl_err_set(e, "tls: %s", gnutls_strerror(ret)) : 0;
}

static int load_policy(struct fl_tls_server *s, const struct fl_tls_policy *p, struct fl_err *e)
{
	gnutls_x509_privkey_t key = NULL;
	if (!p)
		return 0;
	int pk = gnutls_certificate_get_x509_key(s->cred, 0, &key) < 0 ? GNUTLS_PK_UNKNOWN : gnutls_x509_privkey_get_pk_algorithm(key);
	gnutls_x509_privkey_deinit(key);
	bool rsa = pk == GNUTLS_PK_RSA || pk == GNUTLS_PK_RSA_PSS;
	if (set_priority(&s->any, p, rsa, FL_TLS_ANY, e) ||
	    (p->suites && (set_priority(&s->before13, p, rsa, FL_TLS_BEFORE_13, e) || set_priority(&s->from13, p, rsa, FL_TLS_FROM_13, e))))
		return -EINVAL;
	s->sans = p->sans ? fl_xalloc((p->nsans + 1) * sizeof *s->sans) : NULL;
	for (; p->sans && s->nsans < p->nsans; s->nsans++)
		s->sans[s->nsans] = fl_xstrndup(p->sans[s->nsans], strlen(p->sans[s->nsans]));
	return 0;
}

struct fl_tls_server *fl_tls_server_empty(enum fl_tls_client_auth auth, int keylog, struct fl_err *e)
{
	struct fl_tls_server *s = fl_xalloc(sizeof *s);
	*s = (struct fl_tls_server){ .refs = 1, .auth = auth, .keylog = keylog < 0 ? -1 : dup(keylog) };
	fl_err_set(e, "out of memory");
	if ((!priority && gnutls_priority_init2(&priority, PRIORITY, NULL, 0) < 0) ||
	    gnutls_certificate_allocate_credentials(&s->cred) < 0 || gnutls_session_ticket_key_generate(&s->ticket) < 0) {
		fl_tls_server_put(s);
		return NULL;
	}
	return s;
}

struct fl_tls_server *fl_tls_server_create(const struct fl_tls_material *m, struct fl_err *e)
{
	struct fl_tls_server *s = fl_tls_server_empty(m->auth, m->keylog, e);
	if (!s || (!load_pair(s, m, e) && !load_ca(s, m, e) && !load_policy(s, m->policy, e)))
		return s;
	fl_tls_server_put(s);
	return NULL;
}

/* ---- files ---- */

enum { FILE_MAX = 1 << 20 };

static int file_read(const char *path, struct fl_tls_file *f, struct fl_err *e)
{
	return fl_file_read(path, FILE_MAX, &f->text, &f->n, e);
}

static void files_free(struct fl_tls_file f[3])
{
	for (int i = 0; i < 3; i++) {
		if (f[i].text)
			gnutls_memset(f[i].text, 0, f[i].n);    /* one of them is a key */
		free(f[i].text);
		f[i] = (struct fl_tls_file){ 0 };
	}
}

static int files_read(const struct fl_tls_host *h, struct fl_tls_file f[3], struct fl_err *e)
{
	struct fl_err why;
	if (file_read(h->path.cert, &f[0], &why) || file_read(h->path.key, &f[1], &why))
		return fl_err_set(e, "could not load TLS cert: %s", why.msg);
	if (h->path.ca && file_read(h->path.ca, &f[2], &why))
		return fl_err_set(e, "error reading %s: %s", h->path.ca, why.msg);
	return 0;
}

static int by_bytes(const void *a, const void *b) { return memcmp(a, b, FL_TLS_DIGEST); }

/* One sum for all certificates of a file: in their order (a chain), or as a set (authorities). */
static void sum(uint8_t to[FL_TLS_DIGEST], const struct fl_tls_file *f, bool set)
{
	gnutls_x509_crt_t *crt = NULL;
	unsigned n = 0;
	gnutls_datum_t d = datum((struct fl_str){ f->text, f->n });
	memset(to, 0, FL_TLS_DIGEST);
	if (!f->text || gnutls_x509_crt_list_import2(&crt, &n, &d, GNUTLS_X509_FMT_PEM, 0) < 0)
		return;
	uint8_t *each = fl_xalloc(n * FL_TLS_DIGEST + 1);
	for (unsigned i = 0; i < n; i++) {
		size_t size = FL_TLS_DIGEST;
		gnutls_x509_crt_get_fingerprint(crt[i], GNUTLS_DIG_SHA256, each + i * FL_TLS_DIGEST, &size);
		gnutls_x509_crt_deinit(crt[i]);
	}
	gnutls_free(crt);
	if (set)
		qsort(each, n, FL_TLS_DIGEST, by_bytes);
	gnutls_hash_fast(GNUTLS_DIG_SHA256, each, n * FL_TLS_DIGEST, to);
	free(each);
}

static bool files_same(const struct fl_tls_file a[3], const struct fl_tls_file b[3])
{
	for (int i = 0; i < 3; i++)
		if (a[i].n != b[i].n || !a[i].text != !b[i].text || (a[i].n && memcmp(a[i].text, b[i].text, a[i].n)))
			return false;
	return true;
}

void fl_tls_host_serve(struct fl_tls_host *h, struct fl_tls_server *s)
{
	struct fl_tls_server *old = h->now;
	fl_rcu_set(&h->now, s);
	if (!old)
		return;
	fl_rcu_synchronize();                   /* a shard that is counting it up right now must be through */
	fl_tls_server_put(old);
}

int fl_tls_host_reload(struct fl_tls_host *h, struct fl_err *e)
{
	struct fl_tls_file f[3] = { 0 };
	struct fl_tls_server *s = NULL;
	int ret = files_read(h, f, e);
	if (ret || (h->now && files_same(f, h->file)))
		goto out;
	s = fl_tls_server_create(&(struct fl_tls_material){
		.cert = { f[0].text, f[0].n }, .key = { f[1].text, f[1].n }, .ca = { f[2].text, f[2].n }, .auth = h->path.auth,
		.words = "could not load TLS cert",
		.ca_words = "could not read root certs: %!s(<nil>)",    /* CoreDNS formats a nil error */
		.keylog = h->path.keylog }, e);
	ret = s ? 1 : -EINVAL;
	if (!s)
		goto out;
	fl_tls_host_serve(h, s);
	sum(h->cert_sum, &f[0], false);
	sum(h->ca_sum, &f[2], true);
	files_free(h->file);
	memcpy(h->file, f, sizeof f);
	memset(f, 0, sizeof f);
out:
	files_free(f);
	return ret;
}

static char *copy(const char *s) { return s ? fl_xstrndup(s, strlen(s)) : NULL; }

struct fl_tls_host *fl_tls_host_create(const struct fl_tls_paths *p, struct fl_err *e)
{
	struct fl_tls_host *h = fl_xalloc(sizeof *h);
	h->path = *p;
	h->path.cert = copy(p->cert);
	h->path.key = copy(p->key);
	h->path.ca = copy(p->ca);
	if (fl_tls_host_reload(h, e) > 0)
		return h;
	fl_tls_host_destroy(h);
	return NULL;
}

struct fl_tls_host *fl_tls_host_of(struct fl_tls_server *s)
{
	struct fl_tls_host *h = fl_xalloc(sizeof *h);
	*h = (struct fl_tls_host){ .now = s, .path.keylog = -1 };
	return h;
}

void fl_tls_host_destroy(struct fl_tls_host *h)
{
	if (!h)
		return;
	fl_tls_server_put(h->now);
	files_free(h->file);
	if (h->path.keylog >= 0)
		close(h->path.keylog);
	free((char *)(uintptr_t)h->path.cert);
	free((char *)(uintptr_t)h->path.key);
	free((char *)(uintptr_t)h->path.ca);
	for (unsigned i = 0; i < h->nname; i++)
		free(h->name[i]);
	free(h->name);
	free(h);
}

const char *fl_tls_host_differs(const struct fl_tls_host *a, const struct fl_tls_host *b)
{
	if (a == b)
		return NULL;
	if (!a || !b)
		return "TLS is configured for only one server block";
	if (a->nname || b->nname)
		return "dynamic TLS callbacks differ";
	if (a->path.auth != b->path.auth)
		return "client authentication policies differ";
	if (!a->path.ca != !b->path.ca || memcmp(a->ca_sum, b->ca_sum, FL_TLS_DIGEST))
		return "client CA pools differ";
	return memcmp(a->cert_sum, b->cert_sum, FL_TLS_DIGEST) ? "server certificates differ" : NULL;
}

struct fl_tls_server *fl_tls_host_now(struct fl_tls_host *h)
{
	struct fl_tls_server *s = fl_rcu_get(&h->now);
	server_get(s);
	return s;
}

/* ---- sessions ---- */

static int verify_client(gnutls_session_t s)
{
	gnutls_typed_vdata_st purpose = { .type = GNUTLS_DT_KEY_PURPOSE_OID, .data = (unsigned char *)(uintptr_t)GNUTLS_KP_TLS_WWW_CLIENT };
	unsigned n = 0, status = 0;
	if (!gnutls_certificate_get_peers(s, &n) || !n)         /* whether that will do is decided by the request */
		return 0;
	int ret = gnutls_certificate_verify_peers(s, &purpose, 1, &status);
	return ret < 0 || status ? GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR : 0;
}

static bool san_listed(const struct fl_tls_server *s, int type, struct fl_str san)
{
	char ip[INET6_ADDRSTRLEN];
	if (type == GNUTLS_SAN_IPADDRESS && (san.n == 4 || san.n == 16))
		san = fl_str(inet_ntop(san.n == 4 ? AF_INET : AF_INET6, san.p, ip, sizeof ip));
	else if (type != GNUTLS_SAN_DNSNAME && type != GNUTLS_SAN_RFC822NAME && type != GNUTLS_SAN_URI)
		return false;
	for (unsigned i = 0; i < s->nsans; i++)
		if (fl_str_is(san, s->sans[i]))
			return true;
	return false;
}

/* Of the client's own certificate one name must be in the list; without a certificate there is none. */
static int verify_sans(gnutls_session_t session)
{
	struct fl_tls_session *t = gnutls_session_get_ptr(session);
	enum fl_tls_client_auth auth = t->server->auth;
	unsigned n = 0;
	const gnutls_datum_t *peer = gnutls_certificate_get_peers(session, &n);
	gnutls_x509_crt_t crt = NULL;
	bool ok = false;
	int type = 0, ret = auth == FL_TLS_VERIFY_IF_GIVEN || auth == FL_TLS_REQUIRE_AND_VERIFY ? verify_client(session) : 0;
	if (ret)
		return ret;
	if (peer && n && gnutls_x509_crt_init(&crt) >= 0 && gnutls_x509_crt_import(crt, peer, GNUTLS_X509_FMT_DER) >= 0)
		for (unsigned i = 0; !ok && i < 1000; i++) {
			char san[1024];
			size_t size = sizeof san;
			type = gnutls_x509_crt_get_subject_alt_name(crt, i, san, &size, NULL);
			ok = type >= 0 && san_listed(t->server, type, (struct fl_str){ san, size });
			if (type < 0 && type != GNUTLS_E_SHORT_MEMORY_BUFFER)
				break;
		}
	gnutls_x509_crt_deinit(crt);
	return ok ? 0 : GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR;
}

/* A choice of cipher suites does not speak of TLS 1.3: now it is known which of the two it is. */
static int hello(gnutls_session_t session)
{
	struct fl_tls_session *t = gnutls_session_get_ptr(session);
	bool v13 = gnutls_protocol_get_version(session) == GNUTLS_TLS1_3;
	gnutls_priority_t p = v13 ? t->server->from13 : t->server->before13;
	return p ? gnutls_priority_set(session, p) : 0;
}

/* A line of the NSS key log: LABEL CLIENT_RANDOM SECRET. */
static int keylog(gnutls_session_t s, const char *label, const gnutls_datum_t *secret)
{
	const struct fl_tls_server *server = gnutls_db_get_ptr(s);
	gnutls_datum_t client, srv;
	char line[512], *p = line, *end = line + sizeof line;
	gnutls_session_get_random(s, &client, &srv);
	p += snprintf(p, (size_t)(end - p), "%s ", label);
	if (!server || (size_t)(end - p) < 2 * (client.size + secret->size) + 3)
		return 0;
	for (unsigned i = 0; i < client.size; i++, p += 2)
		snprintf(p, (size_t)(end - p), "%02x", client.data[i]);
	*p++ = ' ';
	for (unsigned i = 0; i < secret->size; i++, p += 2)
		snprintf(p, (size_t)(end - p), "%02x", secret->data[i]);
	*p++ = '\n';
	ssize_t put = write(server->keylog, line, (size_t)(p - line));
	(void)put;                              /* a full disk ends no connection */
	return 0;
}

int fl_tls_server_prepare(struct fl_tls_server *s, gnutls_session_t session)
{
	int ret = gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, s->cred);
	if (ret < 0 || (ret = gnutls_session_ticket_enable_server(session, &s->ticket)) < 0)
		return ret;
	if (s->auth != FL_TLS_NOCERT) {
		bool must = s->auth == FL_TLS_REQUIRE || s->auth == FL_TLS_REQUIRE_AND_VERIFY;
		gnutls_certificate_server_set_request(session, must ? GNUTLS_CERT_REQUIRE : GNUTLS_CERT_REQUEST);
	}
	if (s->auth == FL_TLS_VERIFY_IF_GIVEN || s->auth == FL_TLS_REQUIRE_AND_VERIFY)
		gnutls_session_set_verify_function(session, verify_client);
	gnutls_db_set_ptr(session, s);
	if (s->keylog >= 0)
		gnutls_session_set_keylog_function(session, keylog);
	if (s->nname)
		gnutls_handshake_set_post_client_hello_function(session, fl_tls_name_known);
	return 0;
}

/* What the other side gave us, as GnuTLS wants to hear it. */
static ssize_t told(struct fl_tls_session *t, ssize_t n)
{
	if (n < 0)
		gnutls_transport_set_errno(t->s, (int)-n);
	return n < 0 ? -1 : n;
}

static ssize_t pull(gnutls_transport_ptr_t arg, void *to, size_t n)
{
	struct fl_tls_session *t = arg;
	ssize_t got = t->wire->pull(t->arg, to, n);
	t->ended = t->ended || !got;
	return told(t, got ? got : -EAGAIN);    /* were it told, GnuTLS would not write any more either */
}

static ssize_t push(gnutls_transport_ptr_t arg, const void *from, size_t n)
{
	struct fl_tls_session *t = arg;
	return told(t, t->wire->push(t->arg, from, n));
}

static int prepare(struct fl_tls_session *t, const char *const *alpn, bool alpn_must)
{
	gnutls_datum_t proto[4];
	unsigned n = 0;
	int ret = gnutls_init(&t->s, GNUTLS_SERVER | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL | GNUTLS_NO_AUTO_SEND_TICKET);
	if (ret < 0)
		return ret;
	for (; alpn && alpn[n] && n < FL_COUNT(proto); n++)
		proto[n] = datum(fl_str(alpn[n]));
	gnutls_session_set_ptr(t->s, t);
	if ((ret = gnutls_priority_set(t->s, t->server->any ? t->server->any : priority)) < 0 || (ret = fl_tls_server_prepare(t->server, t->s)) < 0)
		return ret;
	unsigned flags = GNUTLS_ALPN_SERVER_PRECEDENCE | (alpn_must ? GNUTLS_ALPN_MANDATORY : 0u);
	if (n && (ret = gnutls_alpn_set_protocols(t->s, proto, n, flags)) < 0)
		return ret;
	if (t->server->from13)
		gnutls_handshake_set_post_client_hello_function(t->s, hello);
	if (t->server->sans && t->server->auth != FL_TLS_NOCERT)
		gnutls_session_set_verify_function(t->s, verify_sans);
	gnutls_transport_set_ptr(t->s, t);
	gnutls_transport_set_pull_function(t->s, pull);
	gnutls_transport_set_push_function(t->s, push);
	gnutls_handshake_set_timeout(t->s, GNUTLS_INDEFINITE_TIMEOUT);  /* the caller's timer */
	gnutls_handshake_set_max_packet_length(t->s, 32 * 1024);
	return 0;
}

struct fl_tls_session *fl_tls_session_create(struct fl_tls_server *s, const char *const *alpn, bool alpn_must,
					     const struct fl_tls_wire *wire, void *arg)
{
	struct fl_tls_session *t = fl_xalloc(sizeof *t);
	*t = (struct fl_tls_session){ .server = s, .wire = wire, .arg = arg };
	if (prepare(t, alpn, alpn_must) >= 0)
		return t;
	fl_tls_session_destroy(t, false);
	return NULL;
}

void fl_tls_session_destroy(struct fl_tls_session *t, bool bye)
{
	if (!t)
		return;
	if (t->open && bye)
		gnutls_bye(t->s, GNUTLS_SHUT_WR);
	if (t->s)
		gnutls_deinit(t->s);
	fl_tls_server_put(t->server);
	free(t);
}

int fl_tls_session_handshake(struct fl_tls_session *t)
{
	int ret;
	do
		ret = gnutls_handshake(t->s);
	while (ret < 0 && ret != GNUTLS_E_AGAIN && !gnutls_error_is_fatal(ret));
	if (ret == GNUTLS_E_AGAIN && !t->ended)
		return -EAGAIN;
	if (ret < 0) {
		t->error = ret == GNUTLS_E_AGAIN ? GNUTLS_E_PREMATURE_TERMINATION : ret;
		gnutls_alert_send_appropriate(t->s, ret);
		return -EPROTO;
	}
	t->open = true;
	if (gnutls_protocol_get_version(t->s) == GNUTLS_TLS1_3)         /* one, as crypto/tls; GnuTLS of itself would send two */
		gnutls_session_ticket_send(t->s, 1, 0);
	return 0;
}

struct fl_str fl_tls_session_alpn(const struct fl_tls_session *t)
{
	gnutls_datum_t d;
	if (gnutls_alpn_get_selected_protocol(t->s, &d) < 0)
		return FL_STR("");
	return (struct fl_str){ (const char *)d.data, d.size };
}

bool fl_tls_session_resumed(const struct fl_tls_session *t) { return gnutls_session_is_resumed(t->s) != 0; }
bool fl_tls_session_pending(const struct fl_tls_session *t) { return gnutls_record_check_pending(t->s) > 0; }

static int failed(struct fl_tls_session *t, ssize_t code)
{
	t->open = false;
	t->error = (int)code;
	return -EPROTO;
}

ssize_t fl_tls_session_read(struct fl_tls_session *t, void *to, size_t n)
{
	for (;;) {
		ssize_t got = gnutls_record_recv(t->s, to, n);
		if (got >= 0)
			return got;
		if (got == GNUTLS_E_AGAIN)
			return t->ended ? 0 : -EAGAIN;          /* without a goodbye: messages have lengths of their own */
		if (got == GNUTLS_E_REHANDSHAKE)                /* TLS 1.2: refused, and that ends it: the peer may go on asking */
			return failed(t, got);
		if (gnutls_error_is_fatal((int)got)) {
			gnutls_alert_send_appropriate(t->s, (int)got);
			return failed(t, got);
		}
	}
}

int fl_tls_session_write(struct fl_tls_session *t, const void *from, size_t n)
{
	const char *p = from;
	while (n) {
		ssize_t put = gnutls_record_send(t->s, p, n);
		if (put == GNUTLS_E_INTERRUPTED)
			continue;
		if (put < 0)
			return failed(t, put);
		p += put;
		n -= (size_t)put;
	}
	return 0;
}

const char *fl_tls_session_reason(const struct fl_tls_session *t)
{
	if (t->error == GNUTLS_E_FATAL_ALERT_RECEIVED)
		return gnutls_alert_get_name(gnutls_alert_get(t->s));
	return gnutls_strerror(t->error);
}

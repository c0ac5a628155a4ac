#include "net/tls.h"
#include "base/mem.h"
#include <arpa/inet.h>
#include <errno.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#define PRIORITY "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

enum { FETCH = 16 * 1024 + 1024 };

struct fl_tls_creds {
	unsigned refs;                          /* atomic */
	bool insecure;
	gnutls_certificate_credentials_t cred;
};

struct fl_tls {
	struct fl_tls_creds *creds;
	gnutls_session_t s;
	char *name;
	int fd;
	bool empty;                             /* the socket: the next fetch would only say so */
	size_t at, n;                           /* of in[] */
	bool heard, odd;                        /* something came; it is not TLS */
	bool open;                              /* the handshake is done and nothing failed since */
	int error;                              /* GnuTLS's last */
	struct fl_tls_past *past;               /* NULL: not to be resumed, or told already */
	uint8_t in[FETCH];                      /* left alone by GnuTLS, it would read each record in two calls */
};

/* ---- credentials ---- */

static gnutls_datum_t datum(struct fl_str s)
{
	return (gnutls_datum_t){ .data = (unsigned char *)(uintptr_t)s.p, .size = (unsigned)s.n };
}

static int load_ca(struct fl_tls_creds *c, struct fl_str pem, bool system, struct fl_err *e)
{
	if (pem.n && system)
		gnutls_certificate_set_x509_system_trust(c->cred);
	if (!pem.n) {
		int n = gnutls_certificate_set_x509_system_trust(c->cred);
		return n < 0 ? fl_err_set(e, "unable to load the system's root certificates: %s", gnutls_strerror(n)) : 0;
	}
	gnutls_datum_t d = datum(pem);
	if (gnutls_certificate_set_x509_trust_mem(c->cred, &d, GNUTLS_X509_FMT_PEM) <= 0)
		return fl_err_set(e, "unable to load root certificates: unable to parse bytes as PEM block");
	return 0;
}

static bool has_pem(struct fl_str text, const char *what)
{
	const char *at = text.p, *end = text.p + text.n;
	while (at && (at = memmem(at, (size_t)(end - at), "-----BEGIN ", 11))) {
		const char *line = memchr(at, '\n', (size_t)(end - at));
		if (memmem(at, (size_t)((line ? line : end) - at), what, strlen(what)))
			return true;
		at = line;
	}
	return false;
}

int fl_tls_pair_error(struct fl_str cert, struct fl_str key, int code, struct fl_err *e)
{
	if (!has_pem(cert, "-----"))
		return fl_err_set(e, "tls: failed to find any PEM data in certificate input");
	if (!has_pem(cert, "CERTIFICATE-----") && has_pem(cert, "PRIVATE KEY-----"))
		return fl_err_set(e, "tls: failed to find certificate PEM data in certificate input, but did find a private key; "
				     "PEM inputs may have been switched");
	if (!has_pem(key, "-----"))
		return fl_err_set(e, "tls: failed to find any PEM data in key input");
	if (!has_pem(key, "PRIVATE KEY-----") && has_pem(key, "CERTIFICATE-----"))
		return fl_err_set(e, "tls: found a certificate rather than a key in the PEM for the private key");
	if (code == GNUTLS_E_CERTIFICATE_KEY_MISMATCH)
		return fl_err_set(e, "tls: private key does not match public key");
	return fl_err_set(e, "tls: %s", gnutls_strerror(code));
}

static int load_pair(struct fl_tls_creds *c, struct fl_str cert, struct fl_str key, struct fl_err *e)
{
	gnutls_datum_t dc = datum(cert), dk = datum(key);
	int ret = gnutls_certificate_set_x509_key_mem2(c->cred, &dc, &dk, GNUTLS_X509_FMT_PEM, NULL, 0);
	if (ret >= 0)
		return 0;
	return fl_tls_pair_error(cert, key, ret, e);
}

struct fl_tls_creds *fl_tls_creds_create(const struct fl_tls_trust *t, struct fl_err *e)
{
	struct fl_tls_creds *c = fl_xalloc(sizeof *c);
	c->refs = 1;
	c->insecure = t->insecure;
	if (gnutls_certificate_allocate_credentials(&c->cred) < 0) {
		free(c);
		fl_err_set(e, "out of memory");
		return NULL;
	}
	if ((!t->insecure && load_ca(c, t->ca, t->system, e)) || (t->cert.n && load_pair(c, t->cert, t->key, e))) {
		fl_tls_creds_put(c);
		return NULL;
	}
	return c;
}

struct fl_tls_creds *fl_tls_creds_get(struct fl_tls_creds *c)
{
	__atomic_fetch_add(&c->refs, 1, __ATOMIC_RELAXED);
	return c;
}

void fl_tls_creds_put(struct fl_tls_creds *c)
{
	if (!c || __atomic_sub_fetch(&c->refs, 1, __ATOMIC_ACQ_REL))
		return;
	gnutls_certificate_free_credentials(c->cred);
	free(c);
}

/* ---- sessions ---- */

static bool is_ip(const char *name)
{
	unsigned char b[16];
	return inet_pton(AF_INET, name, b) == 1 || inet_pton(AF_INET6, name, b) == 1;
}

static ssize_t pull(gnutls_transport_ptr_t arg, void *to, size_t n)
{
	struct fl_tls *t = arg;
	if (t->at == t->n && t->empty) {
		t->empty = false;
		gnutls_transport_set_errno(t->s, EAGAIN);
		return -1;
	}
	if (t->at == t->n) {
		ssize_t got = recv(t->fd, t->in, sizeof t->in, 0);
		if (got <= 0) {
			gnutls_transport_set_errno(t->s, got < 0 ? errno : 0);
			return got;
		}
		if (!t->heard)                          /* change_cipher_spec .. application_data: what a record begins with */
			t->odd = t->in[0] < 20 || t->in[0] > 23;
		t->heard = true;
		t->at = 0;
		t->n = (size_t)got;
		t->empty = t->n < sizeof t->in;
	}
	n = n < t->n - t->at ? n : t->n - t->at;
	memcpy(to, t->in + t->at, n);
	t->at += n;
	return (ssize_t)n;
}

int fl_tls_creds_prepare(struct fl_tls_creds *c, struct gnutls_session_int *s, const char *name)
{
	int ret = gnutls_credentials_set(s, GNUTLS_CRD_CERTIFICATE, c->cred);
	if (ret >= 0 && *name && !is_ip(name))
		ret = gnutls_server_name_set(s, GNUTLS_NAME_DNS, name, strlen(name));
	if (ret >= 0 && !c->insecure)
		gnutls_session_set_verify_cert(s, name, 0);
	return ret;
}

static int prepare(struct fl_tls *t, int fd, const char *const *alpn)
{
	int ret = gnutls_init(&t->s, GNUTLS_CLIENT | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL | GNUTLS_NO_TICKETS_TLS12);
	if (ret < 0)
		return ret;
	gnutls_datum_t proto[4];
	unsigned n = 0;
	while (alpn && alpn[n] && n < FL_COUNT(proto)) {
		proto[n] = datum(fl_str(alpn[n]));
		n++;
	}
	if ((ret = gnutls_priority_set_direct(t->s, PRIORITY, NULL)) < 0 || (ret = fl_tls_creds_prepare(t->creds, t->s, t->name)) < 0)
		return ret;
	if (n && (ret = gnutls_alpn_set_protocols(t->s, proto, n, 0)) < 0)
		return ret;
	t->fd = fd;
	gnutls_transport_set_ptr2(t->s, t, (gnutls_transport_ptr_t)(intptr_t)fd);
	gnutls_transport_set_pull_function(t->s, pull);
	gnutls_handshake_set_timeout(t->s, GNUTLS_INDEFINITE_TIMEOUT);  /* the caller's timer */
	return 0;
}

struct fl_tls *fl_tls_client(struct fl_tls_creds *c, int fd, const char *name, const char *const *alpn)
{
	struct fl_tls *t = fl_xalloc(sizeof *t);
	t->creds = fl_tls_creds_get(c);
	t->name = fl_xstrndup(name, strlen(name));
	if (prepare(t, fd, alpn) >= 0)
		return t;
	fl_tls_destroy(t);
	return NULL;
}

void fl_tls_destroy(struct fl_tls *t)
{
	if (!t)
		return;
	if (t->open)
		gnutls_bye(t->s, GNUTLS_SHUT_WR);
	if (t->s)
		gnutls_deinit(t->s);
	fl_tls_creds_put(t->creds);
	free(t->name);
	free(t);
}

/* ---- resumption ---- */

void fl_tls_past_finish(struct fl_tls_past *past)
{
	free(past->p);
	*past = (struct fl_tls_past){ 0 };
}

void fl_tls_resume(struct fl_tls *t, struct fl_tls_past *past)
{
	t->past = past;
	if (past->n && gnutls_session_set_data(t->s, past->p, past->n) < 0)
		fl_tls_past_finish(past);
}

bool fl_tls_resumed(const struct fl_tls *t) { return gnutls_session_is_resumed(t->s); }

/* TLS 1.3 has something to resume when a ticket came, after the handshake; before, the call would wait for one. */
static void remember(struct fl_tls *t)
{
	gnutls_datum_t d;
	if (!t->past || (gnutls_protocol_get_version(t->s) == GNUTLS_TLS1_3 &&
			 !(gnutls_session_get_flags(t->s) & GNUTLS_SFLAGS_SESSION_TICKET)))
		return;
	if (gnutls_session_get_data2(t->s, &d) >= 0) {
		fl_tls_past_finish(t->past);
		*t->past = (struct fl_tls_past){ fl_xalloc(d.size), d.size };
		memcpy(t->past->p, d.data, d.size);
		gnutls_free(d.data);
	}
	t->past = NULL;
}

/* The names or the addresses that a certificate is for, with commas between them; "" when there is no room for all. How many. */
static unsigned names_of(struct gnutls_session_int *s, bool ip, char *to, size_t cap)
{
	unsigned n = 0, all = 0;
	size_t at = 0;
	const gnutls_datum_t *chain = gnutls_certificate_get_peers(s, &n);
	gnutls_x509_crt_t crt;
	*to = 0;
	if (!n || gnutls_x509_crt_init(&crt))
		return 0;
	int ret = gnutls_x509_crt_import(crt, chain, GNUTLS_X509_FMT_DER);
	for (unsigned i = 0; ret >= 0; i++) {
		char one[256], text[INET6_ADDRSTRLEN];
		size_t len = sizeof one;
		ret = gnutls_x509_crt_get_subject_alt_name(crt, i, one, &len, NULL);
		if (ret == GNUTLS_E_SHORT_MEMORY_BUFFER)
			ret = 0;
		if (ret != (ip ? GNUTLS_SAN_IPADDRESS : GNUTLS_SAN_DNSNAME))
			continue;
		if (ip && !inet_ntop(len == 4 ? AF_INET : AF_INET6, one, text, sizeof text))
			continue;
		int k = snprintf(to + at, cap - at, "%s%.*s", all++ ? ", " : "", (int)(ip ? strlen(text) : len), ip ? text : one);
		at = at + (size_t)k < cap ? at + (size_t)k : cap - 1;
	}
	gnutls_x509_crt_deinit(crt);
	for (size_t i = 0; i < at; i++) /* it goes to the log */
		to[i] = to[i] >= ' ' && to[i] < 0x7f ? to[i] : '?';
	if (at + 1 >= cap)
		*to = 0;
	return all;
}

static void refused_name(struct gnutls_session_int *s, const char *name, const char *text, struct fl_err *e)
{
	char names[100], ip[16];
	bool address = inet_pton(AF_INET, name, ip) == 1 || inet_pton(AF_INET6, name, ip) == 1;
	unsigned n = names_of(s, address, names, sizeof names);
	if (!n && address)
		fl_err_set(e, "%scannot validate certificate for %s because it doesn't contain any IP SANs", text, name);
	else if (!n)
		fl_err_set(e, "%scertificate is not valid for any names, but wanted to match %s", text, name);
	else if (!*names)               /* Go has them all when they are fewer than that; we, as far as there is room */
		fl_err_set(e, "%scertificate is valid for %u names, but none matched %s", text, n, name);
	else
		fl_err_set(e, "%scertificate is valid for %s, not %s", text, names, name);
}

/* As crypto/x509 words it, where it has a word. */
void fl_tls_refused(struct gnutls_session_int *s, const char *name, struct fl_err *e)
{
	static const char *const text = "tls: failed to verify certificate: x509: ";
	unsigned status = gnutls_session_get_verify_cert_status(s);
	if (status & (GNUTLS_CERT_SIGNER_NOT_FOUND | GNUTLS_CERT_SIGNER_NOT_CA | GNUTLS_CERT_SIGNATURE_FAILURE)) {
		fl_err_set(e, "%scertificate signed by unknown authority", text);
	} else if (status & (GNUTLS_CERT_EXPIRED | GNUTLS_CERT_NOT_ACTIVATED)) {
		fl_err_set(e, "%scertificate has expired or is not yet valid", text);
	} else if (status & GNUTLS_CERT_UNEXPECTED_OWNER) {
		refused_name(s, name, text, e);
	} else {
		gnutls_datum_t words = { 0 };
		gnutls_certificate_verification_status_print(status, GNUTLS_CRT_X509, &words, 0);
		fl_err_set(e, "%s%s", text, words.data ? (const char *)words.data : "refused");
		gnutls_free(words.data);
	}
}

int fl_tls_handshake(struct fl_tls *t, struct fl_err *e)
{
	for (;;) {
		int ret = gnutls_handshake(t->s);
		if (ret == GNUTLS_E_SUCCESS) {
			t->open = true;
			remember(t);
			return 0;
		}
		if (ret == GNUTLS_E_AGAIN)
			return gnutls_record_get_direction(t->s) ? 2 : 1;
		if (!gnutls_error_is_fatal(ret))
			continue;                       /* interrupted, or a warning alert */
		t->error = ret;
		if (t->past)                            /* not with that again */
			fl_tls_past_finish(t->past);
		if (ret == GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR)
			fl_tls_refused(t->s, t->name, e);
		else if (ret == GNUTLS_E_FATAL_ALERT_RECEIVED)
			fl_err_set(e, "remote error: tls: %s", gnutls_alert_get_name(gnutls_alert_get(t->s)));
		else if (t->odd || ret == GNUTLS_E_UNEXPECTED_PACKET || ret == GNUTLS_E_RECORD_OVERFLOW ||
			 ret == GNUTLS_E_UNSUPPORTED_VERSION_PACKET)
			fl_err_set(e, "tls: first record does not look like a TLS handshake");
		else if (ret == GNUTLS_E_PREMATURE_TERMINATION || ret == GNUTLS_E_PULL_ERROR)
			fl_err_set(e, "EOF");
		else
			fl_err_set(e, "tls: %s", gnutls_strerror(ret));
		return -EPROTO;
	}
}

struct fl_str fl_tls_alpn(const struct fl_tls *t)
{
	gnutls_datum_t d;
	if (gnutls_alpn_get_selected_protocol(t->s, &d) < 0)
		return FL_STR("");
	return (struct fl_str){ (const char *)d.data, d.size };
}

static ssize_t result(struct fl_tls *t, ssize_t n)
{
	if (n >= 0)
		return n;
	if (n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED || !gnutls_error_is_fatal((int)n))
		return -EAGAIN;
	t->open = false;
	t->error = (int)n;
	if (n == GNUTLS_E_PULL_ERROR || n == GNUTLS_E_PUSH_ERROR)
		return errno && errno != EAGAIN ? -errno : -EIO;
	return -EPROTO;
}

ssize_t fl_tls_read(struct fl_tls *t, void *to, size_t n)
{
	ssize_t got;
	do                                      /* it says "again" after a session ticket too */
		got = gnutls_record_recv(t->s, to, n);
	while ((got == GNUTLS_E_AGAIN || got == GNUTLS_E_INTERRUPTED) && t->at < t->n);
	if (t->past)
		remember(t);
	return result(t, got);
}

ssize_t fl_tls_write(struct fl_tls *t, const void *from, size_t n) { return result(t, gnutls_record_send(t->s, from, n)); }
void fl_tls_last(struct fl_tls *t) { t->empty = true; }

bool fl_tls_cut(const struct fl_tls *t) { return t->error == GNUTLS_E_PREMATURE_TERMINATION; }

const char *fl_tls_reason(const struct fl_tls *t)
{
	if (t->error == GNUTLS_E_PREMATURE_TERMINATION)
		return "unexpected EOF";
	if (t->error == GNUTLS_E_FATAL_ALERT_RECEIVED)
		return gnutls_alert_get_name(gnutls_alert_get(t->s));
	return gnutls_strerror(t->error);
}

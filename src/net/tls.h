/* tls: GnuTLS client sessions over a non-blocking descriptor that the caller owns and polls. TLS 1.2 at least, ALPN, client
 * certificates. What the other side must prove is decided by the credentials: made once from PEM bytes, shared by sessions and
 * counted, so that new files mean new credentials while old connections keep theirs.
 *
 * A session may be resumed: fl_tls_resume().
 *
 * The system's certificate bundle is parsed only when no CA was given: it costs megabytes. Credentials may be shared by threads,
 * a session is one thread's. */
#pragma once
#include "base/err.h"
#include <sys/types.h>

struct fl_tls_trust {
	struct fl_str ca;               /* PEM; "": the system's */
	bool system;                    /* with a ca: the system's besides, when there are any */
	struct fl_str cert, key;        /* PEM; "": none */
	bool insecure;                  /* the server proves nothing */
};

struct fl_tls_creds;
struct fl_tls_creds *fl_tls_creds_create(const struct fl_tls_trust *t, struct fl_err *e);       /* NULL with Go's words in e */
struct fl_tls_creds *fl_tls_creds_get(struct fl_tls_creds *c);
void fl_tls_creds_put(struct fl_tls_creds *c);

/* What is wrong with a certificate and its key (PEM) that GnuTLS refused with `code`, as crypto/tls.X509KeyPair says it. -EINVAL. */
int fl_tls_pair_error(struct fl_str cert, struct fl_str key, int code, struct fl_err *e);

/* For transports that drive GnuTLS themselves (QUIC): credentials, the server's name and what it must prove, into a session of
 * gnutls_init(GNUTLS_CLIENT …); name and c must outlive it. 0, or a GnuTLS error. And why its certificate was refused. */
struct gnutls_session_int;
int fl_tls_creds_prepare(struct fl_tls_creds *c, struct gnutls_session_int *s, const char *name);
void fl_tls_refused(struct gnutls_session_int *s, const char *name, struct fl_err *e);

struct fl_tls;
/* name: what the certificate must be for, a DNS name (also sent as SNI) or an IP address. alpn: NUL-terminated, NULL ends; the
 * array may go after the call. NULL when there is no memory. */
struct fl_tls *fl_tls_client(struct fl_tls_creds *c, int fd, const char *name, const char *const *alpn);
void fl_tls_destroy(struct fl_tls *t);          /* says goodbye if that does not block; the descriptor stays open */

/* What is left of a session for the next one with the same server, name and credentials: no certificates again. Zeroed is empty. */
struct fl_tls_past { void *p; size_t n; };
void fl_tls_past_finish(struct fl_tls_past *past);
/* Before the handshake: resumes, and keeps what the server gives for next time. past is borrowed until fl_tls_destroy(). */
void fl_tls_resume(struct fl_tls *t, struct fl_tls_past *past);
bool fl_tls_resumed(const struct fl_tls *t);

/* Drives the handshake: 0: done; 1: wait until readable; 2: until writable; -EPROTO with the words in e. */
int fl_tls_handshake(struct fl_tls *t, struct fl_err *e);
struct fl_str fl_tls_alpn(const struct fl_tls *t);      /* what was agreed; "" nothing */

/* As read and write: bytes, 0 at the end (read), -EAGAIN, -errno, -EPROTO for what TLS calls an error. After -EAGAIN a write must
 * be repeated with the same bytes. */
ssize_t fl_tls_read(struct fl_tls *t, void *to, size_t n);
ssize_t fl_tls_write(struct fl_tls *t, const void *from, size_t n);
/* What the socket holds is fetched in one large piece, of which poll() knows nothing: whoever reads goes on until -EAGAIN. After
 * this nothing more is fetched before that, so that a busy peer does not hold its reader for ever. */
void fl_tls_last(struct fl_tls *t);
const char *fl_tls_reason(const struct fl_tls *t);      /* of the last -EPROTO */
bool fl_tls_cut(const struct fl_tls *t);        /* that was the end, without the words of TLS for it */

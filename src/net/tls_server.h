/* tls_server: the serving half of TLS, on GnuTLS: certificates that are re-read when their files change, and sessions that know no
 * socket.
 *
 *   fl_tls_host    one set of files (certificate, key, CA of clients) and what it means for clients. The main thread's.
 *     └ now ───→ fl_tls_server    what the files held when they were read last: never changed, counted, shared by all threads
 *                  └ fl_tls_session    one connection: keeps its fl_tls_server, and so its certificate, for life
 *
 * New files mean a new fl_tls_server; who has a session keeps the old one. Resumption goes by tickets under a key of the
 * fl_tls_server: any shard takes them, and a new certificate or CA of clients makes every client prove itself again.
 * As crypto/tls of Go has it: TLS 1.2 at least, ECDHE and AEAD ciphers only. */
#pragma once
#include "base/err.h"
#include <sys/types.h>

struct fl_tls_policy;
struct gnutls_session_int;
struct gnutls_certificate_credentials_st;

enum fl_tls_client_auth { FL_TLS_NOCERT, FL_TLS_REQUEST, FL_TLS_REQUIRE, FL_TLS_VERIFY_IF_GIVEN, FL_TLS_REQUIRE_AND_VERIFY };

/* ---- files (main thread) ---- */

struct fl_tls_paths {
	const char *cert, *key;
	const char *ca;                 /* whom clients must be signed by; NULL: the system's */
	enum fl_tls_client_auth auth;
	int keylog;                     /* secrets are appended there (NSS key log); -1: nowhere. Taken: closed with the last session */
};

struct fl_tls_host;
/* Copies p's strings. NULL with Go's words in e ("open a: no such file or directory"). */
struct fl_tls_host *fl_tls_host_create(const struct fl_tls_paths *p, struct fl_err *e);
void fl_tls_host_destroy(struct fl_tls_host *h);        /* when no thread looks at it any more; sessions go on. NULL is fine */
/* Reads the files again: 1: new ones serve from now on; 0: nothing changed; -EINVAL: they are no good, the old ones serve. */
int fl_tls_host_reload(struct fl_tls_host *h, struct fl_err *e);
/* One without files, which shows what it is given: a certificate for each of `names` ("a.example", "*.b.example"; copied), once it is there.
 * Who asks for another name, or for one whose certificate is not there yet, is refused; who asks for none gets the first name's. */
struct fl_tls_pair { struct fl_str cert, key; };        /* PEM; cert.n 0: not there yet */
/* pairs: one for each of the names. NULL with the words in e. */
struct fl_tls_host *fl_tls_host_create_given(const char *const *names, unsigned n, const struct fl_tls_pair *pairs, struct fl_err *e);
/* 0: these serve from now on; -EINVAL with the words: what served before goes on. */
int fl_tls_host_give(struct fl_tls_host *h, const struct fl_tls_pair *pairs, struct fl_err *e);
/* Why two may not share a listener, in CoreDNS's words; NULL: they may. Either may be NULL (no TLS). */
const char *fl_tls_host_differs(const struct fl_tls_host *a, const struct fl_tls_host *b);

/* ---- what serves now ---- */

struct fl_tls_server;
/* Of texts that somebody else read (PEM), once and for all. NULL with words in e; what is wrong with the pair stands behind `words` and a
 * colon. ca.p NULL: the system's. policy NULL: the usual; all is copied. Main thread. */
struct fl_tls_material {
	struct fl_str cert, key, ca;
	enum fl_tls_client_auth auth;
	const char *words, *ca_words;   /* the latter: there is no certificate in ca */
	int keylog;                     /* as above, but borrowed; -1 */
	const struct fl_tls_policy *policy;
};
struct fl_tls_server *fl_tls_server_create(const struct fl_tls_material *m, struct fl_err *e);
/* A host without files, for listeners: it has s, taken, for ever. */
struct fl_tls_host *fl_tls_host_of(struct fl_tls_server *s);

/* Counted; any thread that reads RCU, or the main thread. */
struct fl_tls_server *fl_tls_host_now(struct fl_tls_host *h);
void fl_tls_server_put(struct fl_tls_server *s);        /* any thread; NULL is fine */

/* For transports that drive GnuTLS themselves (QUIC): credentials, what is asked of clients, tickets and key log go into a session
 * made by gnutls_init(GNUTLS_SERVER …); s must outlive it, and has no policy. Priorities and ALPN are the caller's. Takes the session's
 * gnutls_db_ptr and, where names are given, its post_client_hello function. 0, or a GnuTLS error. */
int fl_tls_server_prepare(struct fl_tls_server *s, struct gnutls_session_int *session);
struct gnutls_certificate_credentials_st *fl_tls_server_creds(const struct fl_tls_server *s);

/* ---- sessions (one thread's) ---- */

/* Bytes from and to the peer. pull: as recv(): bytes, 0 at the end, -EAGAIN, -errno. push: takes all, or -errno. */
struct fl_tls_wire {
	ssize_t (*pull)(void *arg, void *to, size_t n);
	ssize_t (*push)(void *arg, const void *from, size_t n);
};
struct fl_tls_session;
/* alpn: NUL-terminated, in the order of preference, NULL ends; NULL: none is spoken. A client that offers only others goes on without
 * (as Go, and RFC 7858 §3.1), unless alpn_must. Takes the reference to s. wire is borrowed for life. NULL: no memory. */
struct fl_tls_session *fl_tls_session_create(struct fl_tls_server *s, const char *const *alpn, bool alpn_must,
					     const struct fl_tls_wire *wire, void *arg);
void fl_tls_session_destroy(struct fl_tls_session *t, bool bye);        /* bye: says so through push. NULL is fine */
int fl_tls_session_handshake(struct fl_tls_session *t); /* 0: done; -EAGAIN: more must come; -EPROTO: an alert went out */
struct fl_str fl_tls_session_alpn(const struct fl_tls_session *t);      /* "": none was agreed */
bool fl_tls_session_resumed(const struct fl_tls_session *t);
/* As recv(): bytes, 0 at the end, -EAGAIN, -EPROTO. */
ssize_t fl_tls_session_read(struct fl_tls_session *t, void *to, size_t n);
bool fl_tls_session_pending(const struct fl_tls_session *t);    /* a read would give bytes without a pull */
int fl_tls_session_write(struct fl_tls_session *t, const void *from, size_t n); /* all of it; 0, -EPROTO */
const char *fl_tls_session_reason(const struct fl_tls_session *t);      /* of the last -EPROTO */

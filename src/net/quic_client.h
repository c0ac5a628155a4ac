/* quic_client: questions to a server of DNS over QUIC (RFC 9250): one connection that is kept, a stream for each question.
 *
 *   ask → no connection: one is made, the question waits for its handshake → a stream → done()
 *       └ the server allows no more streams: it waits until one ended
 *
 * Messages go out with ID 0, as the RFC wants it, and a reply with another is a protocol error: who asks puts IDs back. A question on a
 * connection that had been kept and is lost goes once more over a new one. An idle connection closes after expire_ns; TLS sessions are
 * resumed. No time limits but the handshake's: who asks has its own and cancels. One thread's; it allocates, each connection at most
 * FL_QUIC_MEMORY beside GnuTLS's session. */
#pragma once
#include "net/loop.h"
#include <netinet/in.h>

struct gnutls_session_int;
struct fl_quic_client;
struct fl_quic_ask;             /* a question in flight; gone once done() was called, or it was cancelled */

struct fl_quic_client_conf {
	struct sockaddr_in6 addr; socklen_t addr_len;
	struct sockaddr_in6 source; socklen_t source_len;       /* what sockets are bound to; 0: the system chooses */
	uint64_t expire_ns, max_age_ns; /* an idle connection; one in use takes no more questions after this, 0: any age */
	const char *name;       /* of the server, for words about its certificate; borrowed */
	/* Puts credentials, the server's name and what it must prove into a new session: 0 or GnuTLS's error. */
	int (*tls)(void *arg, struct gnutls_session_int *s);
	/* Once for each question: 0 and the reply, or -errno; -EPROTO with words (fl_quic_client_why). Never from within fl_quic_client_ask(). */
	void (*done)(void *user, int ret, const uint8_t *msg, size_t n);
	void *arg;              /* tls's */
};

struct fl_quic_client *fl_quic_client_create(struct fl_loop *l, const struct fl_quic_client_conf *conf);        /* NULL: no memory */
void fl_quic_client_destroy(struct fl_quic_client *c);  /* says goodbye; done() is not called. NULL is fine; not from within done() */

/* msg is copied. 0 with *a, *reused: over a connection that was there; or -errno. */
int fl_quic_client_ask(struct fl_quic_client *c, const uint8_t *msg, size_t n, void *user, struct fl_quic_ask **a, bool *reused);
void fl_quic_client_cancel(struct fl_quic_ask *a);      /* done() will not come; the server is told to stop */

/* In done(), for a failure: quic-go's words where it has some; the address the connection came from. */
const char *fl_quic_client_why(const struct fl_quic_client *c);
const struct sockaddr_in6 *fl_quic_client_local(const struct fl_quic_client *c);

struct fl_quic_client_stats { uint64_t conns, resumed, protocol; };     /* opened, with a session resumed, ended by the server's breach of protocol */
const struct fl_quic_client_stats *fl_quic_client_stats(const struct fl_quic_client *c);

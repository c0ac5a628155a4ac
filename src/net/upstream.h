/* upstream: questions to other DNS servers and what comes back. Sockets, message IDs, who waits for what; no policy: which server,
 * how often and for how long is the asker's affair.
 *
 *   fl_upstream_ask ┬ UDP: a connected socket, many questions in flight on it, each with a random ID of its own; what is asked in one
 *                   │      turn of the loop goes out at its end, together
 *                   ├ TCP, TLS: a kept connection that idles, else a new one, else the least busy (pipelined, RFC 7766)
 *                   ├ HTTPS, gRPC: a stream each of one HTTP/2 connection
 *                   └ QUIC: a stream each of one connection
 *   reply → ID known on this socket? → a response, to this question? → done().  Anything else is counted, and waiting goes on:
 *                                                                       who guesses IDs gains nothing by guessing wrong.
 *
 * UDP sockets are renewed after `expire_ns` or FL_UP_USES questions, so that source ports move. A kept connection that the peer closed
 * is replaced once without the asker's knowledge. TLS sessions are resumed where the server allows it.
 *
 * One thread's. Nothing is allocated after creation but pieces of the pool: an index for each open socket, TCP bytes that wait. TLS and
 * HTTP/2 allocate; what an HTTP/2 connection may hold has a limit (upstream_h2.c). */
#pragma once
#include "base/mem.h"
#include "net/loop.h"
#include "net/tls.h"
#include <netinet/in.h>
#include <sys/socket.h>

enum { FL_UP_ROOM = 2, FL_UP_USES = 256, FL_UP_SOCKETS = 16, FL_UP_CONNS = 64 };

struct fl_up_net;               /* a thread's: receive buffer, random bytes */
struct fl_upstream;             /* one server, as this thread knows it */
struct fl_up_sock;

/* FL_UP_DNS is UDP or TCP, as each question says. FL_UP_GRPC is CoreDNS's DnsService, over TLS when there are credentials, else clear. */
enum fl_up_kind { FL_UP_DNS, FL_UP_TLS, FL_UP_HTTPS, FL_UP_QUIC, FL_UP_GRPC };

struct fl_up_stats {
	uint64_t wrong;         /* came from the server's address, but is no answer to what was asked */
	uint64_t stray;         /* nobody waits for it (any more) */
	uint64_t sockets, conns, resumed;       /* opened; sessions of TLS taken up again */
};

/* One question. Embedded in the asker's memory, which must stay until done() ran or fl_upstream_cancel() was called. */
struct fl_up_ask {
	/* the asker's */
	uint8_t *msg;           /* a query, FL_UP_ROOM bytes free before it; its ID is written here */
	uint16_t len, question; /* octets of it; of its question, which begins behind the header */
	bool loose;             /* any response with the right ID will do (health checks) */
	/* When set: the question's name as the client wrote it. It goes out with letters of random case, the answer must repeat those
	 * ("0x20"), and has the client's back when done() sees it. */
	const uint8_t *name;
	/* Once: ret 0 and the reply's octets, for the call only; or -errno (-ETIMEDOUT: none came). Never from within
	 * fl_upstream_ask(). */
	void (*done)(struct fl_up_ask *a, int ret, const uint8_t *msg, size_t n);
	/* to look at */
	bool tcp, reused;       /* how it went out; on a socket that was open */
	int fd;                 /* in done(): the socket, for getsockname(); -1: it had none */
	/* upstream.c's own */
	bool unsent, again;
	uint16_t id;
	uint32_t burst;         /* UDP: with whom it left; 0: alone */
	struct fl_upstream *up;
	struct fl_up_sock *sock;
	struct fl_up_ask *next, **at;           /* in a bucket of the socket */
	struct fl_up_ask *qnext, **qat;         /* not sent yet */
	void *stream;                           /* HTTP/2, QUIC */
	struct fl_timer timer;
};

struct fl_up_net *fl_up_net_create(struct fl_loop *l, struct fl_pool *pool);    /* both borrowed; aborts without memory */
void fl_up_net_destroy(struct fl_up_net *n);    /* NULL is fine; its upstreams first */

struct fl_up_conf {
	struct sockaddr_in6 addr; socklen_t addr_len;
	const char *path;       /* a socket of the file system instead of addr; borrowed, not with FL_UP_DNS or QUIC */
	const char *name;       /* for messages: "192.0.2.1:53"; borrowed */
	uint64_t expire_ns;     /* an idle connection and any UDP socket are kept so long */
	enum fl_up_kind kind;
	uint64_t max_age_ns;    /* a connection older than that takes no more questions; 0: no limit */
	unsigned max_idle;      /* so many connections are kept idle; 0: no limit */
	struct sockaddr_in6 source; socklen_t source_len;       /* what sockets are bound to; 0: the system chooses */
	struct fl_tls_creds *creds;     /* TLS, HTTPS, QUIC; counted while the upstream lives */
	const char *tls_name;   /* what the certificate must be for; borrowed */
	const char *authority;  /* HTTPS, GRPC; borrowed */
	bool get;               /* HTTPS: GET, not POST */
};
struct fl_upstream *fl_upstream_create(struct fl_up_net *n, const struct fl_up_conf *c);
void fl_upstream_destroy(struct fl_upstream *u);        /* NULL is fine; whatever is asked ends with -ECANCELED */
const struct fl_up_stats *fl_upstream_stats(const struct fl_upstream *u);

/* 0: done() will come, also when it turns out at the end of the loop's turn that the question cannot be sent. -errno: it did not go out
 * (-EAGAIN: no socket has room), and done() will not come. */
int fl_upstream_ask(struct fl_upstream *u, struct fl_up_ask *a, bool tcp, uint64_t timeout_ns);
void fl_upstream_cancel(struct fl_up_ask *a);           /* done() will not come; harmless when it did, and on a zeroed one */

/* What went wrong, in Go's words ("read udp 10.0.0.1:4711->192.0.2.1:53: i/o timeout"), because people grep by them.
 * To be called in done() or right after fl_upstream_ask(), for the error that these gave. NUL-terminated. */
void fl_upstream_why(const struct fl_up_ask *a, int ret, char *to, size_t cap);

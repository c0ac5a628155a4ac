/* explain: questions put to a server without a socket, and what each plugin said on the way. For a program that tells people why a name
 * does not resolve: it runs the real chains, so it cannot disagree with the server.
 *
 *   fl_process.trace set → the server binds nothing, and each chain's links lead through a shim that calls the plugin and tells its verdict
 *   fl_put() → group of the port → chain … step() step() … → answer()
 *
 * All on the thread of an inline server; answer() comes from its loop, at once or later. A server without a trace pays nothing. */
#pragma once
#include "dns/server.h"
#include "net/udp.h"

struct fl_step {
	const struct fl_query *q;       /* after the call: names its chain, its result so far */
	const struct fl_plugin *plugin;
	enum fl_verdict verdict;
	bool up;                        /* said by reply() */
	unsigned depth;                 /* 0: the question itself; lookups that it led to lie deeper */
	struct fl_name qname;           /* as they were before the call */
	uint16_t qtype;
};
struct fl_trace { void (*step)(void *arg, const struct fl_step *s); void *arg; };

struct fl_put;
/* Asks, as if the message had come by UDP from way->peer to way->local (info 4 or 6; 0: no address) and this port. answer() once: msg for the
 * call only, NULL when nothing would be sent; q NULL when no chain saw the question. NULL: nobody listens there (dns:// alone counts), or
 * the bytes are no question. The result is kept until fl_put_end(), after answer(). */
struct fl_put *fl_put(struct fl_server *s, const struct fl_udp_way *way, const char *port, const uint8_t *msg, size_t n,
		      void (*answer)(void *arg, const uint8_t *msg, size_t n, const struct fl_query *q), void *arg);
/* The same on a shard that serves, on its thread, in the configuration that it serves now: no trace. It counts and is logged as any question. */
struct fl_put *fl_put_on(struct fl_shard *sh, const struct fl_udp_way *way, const char *port, const uint8_t *msg, size_t n,
			 void (*answer)(void *arg, const uint8_t *msg, size_t n, const struct fl_query *q), void *arg);
bool fl_put_busy(const struct fl_put *p);       /* the query is not over yet, maybe for a job that is out: too early for fl_put_end() */
void fl_put_end(struct fl_put *p);      /* NULL is fine */

/* caller: HTTP to a CA: one request at a time, its answer whole. Knows how the CA's host is found and whom it must prove itself to; nothing
 * of ACME. Main thread. */
#pragma once
#include "net/http_client.h"
#include "net/proxy.h"
#include "plugin/tls/flow.h"
#include "plugin/tls/lookup.h"

struct fl_acme_caller {
	/* given: borrowed */
	struct fl_loop *loop;
	const char *ca_root, *resolver;         /* files and hosts as in fl_acme_options */
	uint16_t resolver_port;
	/* Once for each fl_acme_call(). a NULL: there is no answer, with Go's words in why. */
	void (*done)(void *arg, const struct fl_acme_answer *a, const char *why);
	void *arg;
	/* its own */
	struct fl_http_client *client;
	struct fl_http_req req;
	struct fl_timer late;
	const char *late_why; struct fl_err err;
	struct fl_acme_lookup *lookup;
	unsigned turn;                          /* which of the host's addresses that it found; the next one's when a request is lost */
	struct fl_arena mem; struct fl_proxy proxy;     /* of the environment; read once for a client */
	char *origin, *url, *post;              /* whom client talks to; what is asked now */
	char *body; size_t nbody;
	char nonce[256], location[2048];
};

void fl_acme_caller_finish(struct fl_acme_caller *c);   /* Not from within done(). What was asked is forgotten; a zeroed one is fine */
bool fl_acme_url(const char *url);      /* http:// or https://, with a host */
/* post NULL: a GET; else it is application/jose+json. done() comes within half a minute, never from within this call. Not from within
 * done(). */
void fl_acme_call(struct fl_acme_caller *c, const char *url, const char *post);

/* agent: keeps the certificates of some names, one each, obtained from one CA by ACME and renewed when a third of their life is left. All on
 * the main thread's loop, nothing blocks but small files; one certificate at a time.
 *
 *   storage ─→ certificate there? ─ yes, and fresh ─→ tls_host ─→ listeners       (asleep until it is due, an hour at most)
 *                   │ no, or due                         ▲
 *                   └→ flow (RFC 8555) over HTTP ─ done ─┴─→ storage
 *                        └ failed: logged with the CA's words, tried again later and later (fl_acme_retry_ms)
 *
 * Kept over reloads (fl_setup_keep): an order under way goes on, account and certificates stay. */
#pragma once
#include "net/loop.h"
#include "plugin/tls/challenge.h"

struct fl_acme_options {
	const char **domain; unsigned ndomain;          /* at least one; lower case, A-labels, no final dot */
	const char *email;                              /* "": none */
	const char *ca;                                 /* the directory's URL */
	const char *storage;                            /* an absolute path */
	const char *ca_root;                            /* PEM file of authorities besides the system's; NULL */
	const char *resolver; uint16_t resolver_port;   /* NULL: the system's */
};

struct fl_tls_host;
struct fl_acme_agent;
/* o is copied. Reads what the storage has; damaged files are named in the log. NULL with the words in e: GnuTLS will not. */
struct fl_acme_agent *fl_acme_agent_create(struct fl_loop *l, const struct fl_acme_options *o, struct fl_err *e);
void fl_acme_agent_destroy(struct fl_acme_agent *a);    /* when no listener has its host any more. NULL is fine */
struct fl_tls_host *fl_acme_agent_host(struct fl_acme_agent *a);
void fl_acme_agent_start(struct fl_acme_agent *a);      /* the process serves: a CA may ask. Again: harmless */

/* tls_server_int: what the files of the serving half of TLS share. */
#pragma once
#include "net/tls_server.h"
#include <gnutls/abstract.h>

/* A certificate for a name, of a host without files; nchain 0: not there yet. */
struct fl_tls_named { char *text; gnutls_pcert_st *chain; unsigned nchain; gnutls_privkey_t key; };

struct fl_tls_server {
	unsigned refs;                          /* atomic */
	enum fl_tls_client_auth auth;
	int keylog;                             /* of its own; -1 */
	gnutls_certificate_credentials_t cred;
	gnutls_datum_t ticket;
	/* Of a policy; NULL: */
	gnutls_priority_t any, before13, from13;        /* the usual; the two: no suites were chosen */
	char **sans; unsigned nsans;                    /* any will do */
	struct fl_tls_named *name; unsigned nname;      /* given, not of files */
};

enum { FL_TLS_DIGEST = 32 };
struct fl_tls_file { char *text; size_t n; };

struct fl_tls_host {
	struct fl_tls_server *now;              /* RCU */
	struct fl_tls_paths path;               /* strings of its own */
	struct fl_tls_file file[3];             /* as read last: cert, key, ca */
	char **name; unsigned nname;            /* given: of no files */
	uint8_t cert_sum[FL_TLS_DIGEST], ca_sum[FL_TLS_DIGEST];
};

/* tls_server.c */
struct fl_tls_server *fl_tls_server_empty(enum fl_tls_client_auth auth, int keylog, struct fl_err *e);   /* without a certificate yet */
void fl_tls_host_serve(struct fl_tls_host *h, struct fl_tls_server *s);         /* s is what new sessions get; taken */

/* tls_given.c */
void fl_tls_names_finish(struct fl_tls_server *s);
int fl_tls_name_known(gnutls_session_t session);        /* after the client's first words: may it go on? 0 or a GnuTLS error */

/* auth: the Authorization header and the TLS credentials of the moment. A token file is read again when what it said is older than
 * half a minute, and at once after a 401; certificate files when they changed; a credential plugin runs again when what it said has expired
 * or was refused, once, whoever waits for it. What cannot be read leaves what was there in use. */
#pragma once
#include "kube/config.h"
#include "net/tls.h"
#include <sys/stat.h>

struct fl_kube_auth {
	const struct fl_kube_config *cfg;
	char *header;                   /* "Bearer …", "Basic …"; NULL: none */
	uint64_t read_ns;               /* when the token file was read; 0: it is to be read */
	uint64_t warned_ns;
	struct fl_tls_creds *creds;
	struct stat stamp[3];           /* of CA, certificate, key */
	/* with an exec plugin */
	struct fl_exec_run run;
	struct fl_exec_cred cred;
	bool have;                      /* cred is what it said last */
	uint64_t got_ns, failed_ns;     /* when it said so; when it failed last, 0 */
	struct fl_err why;
	void (*signed_in)(void *arg, bool renew);       /* a run is over; renew: with another certificate */
	void *arg;
};

/* 0: a request may be made. -EAGAIN: a plugin runs, signed_in() tells when it is over. -EINVAL: it failed, a->why has the words; it is run
 * again a second later. */
int fl_kube_auth_ready(struct fl_kube_auth *a, uint64_t now_ns);
/* For plugins: before the first request. */
void fl_kube_auth_loop(struct fl_kube_auth *a, struct fl_loop *loop, void (*signed_in)(void *arg, bool renew), void *arg);
/* 0, or -EINVAL with the words: nothing usable at start. */
int fl_kube_auth_init(struct fl_kube_auth *a, const struct fl_kube_config *cfg, struct fl_err *e);
void fl_kube_auth_finish(struct fl_kube_auth *a);
/* NULL: no header. Valid until the next call. Never over plain http, as client-go. */
const char *fl_kube_auth_header(struct fl_kube_auth *a, uint64_t now_ns);
/* A 401 came for what was asked at asked_ns: true when there is, or will be, something else to say than what was sent (connections are to
 * be made anew). */
bool fl_kube_auth_refused(struct fl_kube_auth *a, uint64_t asked_ns, uint64_t now_ns);
/* For a new connection; counted for the caller. */
struct fl_tls_creds *fl_kube_auth_creds(struct fl_kube_auth *a, struct fl_err *e);

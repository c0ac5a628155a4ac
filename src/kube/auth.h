/* auth: the Authorization header and the TLS credentials of the moment. A token file is read again when what it said is older than
 * half a minute, and at once after a 401; certificate files when they changed. What cannot be read leaves what was there in use. */
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
};

/* 0, or -EINVAL with the words: nothing usable at start. */
int fl_kube_auth_init(struct fl_kube_auth *a, const struct fl_kube_config *cfg, struct fl_err *e);
void fl_kube_auth_finish(struct fl_kube_auth *a);
/* NULL: no header. Valid until the next call. Never over plain http, as client-go. */
const char *fl_kube_auth_header(struct fl_kube_auth *a, uint64_t now_ns);
/* A 401 came: true when the files say something else than what was sent (connections are to be made anew). */
bool fl_kube_auth_refused(struct fl_kube_auth *a, uint64_t now_ns);
/* For a new connection; counted for the caller. */
struct fl_tls_creds *fl_kube_auth_creds(struct fl_kube_auth *a, struct fl_err *e);

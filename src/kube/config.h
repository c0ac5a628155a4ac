/* config: how to reach an API server and who to be there: from an `endpoint`, from a kubeconfig, or from what a pod finds in
 * itself. Read and checked once, at start; what may change while running (token, certificates) stays a file name and is auth.h's.
 *
 * The words of errors are client-go's, so that what people find on the web about them stays true. */
#pragma once
#include "base/err.h"
#include "base/mem.h"
#include "kube/exec.h"
#include "kube/source.h"

/* PEM given by file or by value; both NULL: none. */
struct fl_kube_pem { const char *file; struct fl_str data; };

/* Who to be instead (as, as-uid, as-groups, as-user-extra), as headers of every request; names in lower case. */
enum { FL_KUBE_HEADERS = 24 };
struct fl_kube_header { const char *name, *value; };

struct fl_kube_config {
	struct fl_arena mem;            /* all strings */
	bool tls, insecure;
	const char *host;               /* no brackets */
	uint16_t port;
	const char *authority;          /* as in the URL: "10.96.0.1:443" */
	const char *base;               /* "https://10.96.0.1:443/prefix", no slash at the end; for messages */
	const char *prefix;             /* "" or "/prefix" */
	const char *tls_name;           /* "": host */
	struct fl_kube_pem ca, cert, key;
	const char *token, *token_file; /* NULL: none; the file wins */
	const char *username, *password;
	const struct fl_kube_exec *exec;        /* NULL: none, or something else says who we are */
	const char *proxy_url;          /* of the kubeconfig; NULL: none */
	const char *proxy_host, *proxy_auth; uint16_t proxy_port;       /* of an HTTP proxy; host NULL: none */
	struct fl_kube_header header[FL_KUBE_HEADERS]; unsigned nheader;
};

/* Zeroed before; finish it in any case. 0 or -EINVAL. */
int fl_kube_config_load(struct fl_kube_config *k, const struct fl_source_config *cfg, struct fl_err *e);
void fl_kube_config_finish(struct fl_kube_config *k);

/* ---- its parts ---- */

/* Fills base … port. A text without scheme is http://, https:// when tls. */
int fl_kube_config_url(struct fl_kube_config *k, struct fl_str text, bool tls, struct fl_err *e);
/* folder: /var/run/secrets/kubernetes.io/serviceaccount; host and port: the values of KUBERNETES_SERVICE_*, or NULL. */
int fl_kube_config_in_cluster(struct fl_kube_config *k, const char *folder, const char *host, const char *port, struct fl_err *e);
int fl_kube_config_file(struct fl_kube_config *k, const char *path, struct fl_str context, struct fl_err *e);
/* Checks what the three have in common: certificates readable, methods that do not go together. */
int fl_kube_config_check(struct fl_kube_config *k, const char *cluster, const char *user, struct fl_err *e);

/* A whole file of at most 1 MiB, malloc'd and NUL-terminated; NULL with "open F: no such file or directory". */
char *fl_kube_read_file(const char *path, size_t *n, struct fl_err *e);

/* exec: credential plugins of a kubeconfig (client-go plugin/pkg/client/auth/exec): a program prints an ExecCredential with a token, a
 * client certificate, or both. It runs beside the loop, in a process group of its own, with its standard input closed and its errors
 * on ours; who prints more than a MiB or is not done after FL_EXEC_LIMIT_NS is killed with all that it started, and named.
 *
 *   start → [reading stdout] → end of file → [waiting for its exit] → done(0 | -EINVAL with the words)
 *              └───────────── limit ─────────────┘ kill, done(-EINVAL)
 *
 * One loop's, the main thread's. Secrets are never logged, nor is what a plugin printed. */
#pragma once
#include "base/clock.h"
#include "base/err.h"
#include "net/loop.h"
#include <sys/types.h>

#define FL_EXEC_LIMIT_NS (30 * FL_SEC)

struct fl_kube_config;

/* As the kubeconfig says; strings live with it. */
struct fl_kube_exec {
	char **argv;                    /* ends with NULL; a relative command with a slash starts at the kubeconfig's folder */
	char **env; unsigned nenv;      /* "NAME=value", over our own */
	const char *name;               /* the command as written, for messages */
	const char *api_version;        /* client.authentication.k8s.io/v1 or …/v1beta1 */
	const char *hint;               /* installHint; NULL: none */
	bool cluster_info;
	const char *config;             /* JSON of the cluster's extension; NULL: none */
};

/* What a plugin said. malloc'd strings, NULL: none. */
struct fl_exec_cred { char *token, *cert, *key; bool expires; uint64_t expiry_s; };        /* Unix time */
void fl_exec_cred_finish(struct fl_exec_cred *c);               /* zeroed is fine */
/* 0, or -EINVAL with client-go's words: reads what a plugin printed. */
int fl_exec_cred_parse(struct fl_exec_cred *c, const char *text, size_t n, const char *api_version, struct fl_err *e);
/* The value of KUBERNETES_EXEC_INFO, malloc'd. */
char *fl_exec_info(const struct fl_kube_config *cfg);

struct fl_exec_run {
	const struct fl_kube_config *cfg;
	struct fl_loop *loop;
	uint64_t limit_ns;
	/* Not from fl_exec_start(). ret 0: *c is the receiver's; -EINVAL with the words in e. */
	void (*done)(struct fl_exec_run *r, int ret, struct fl_exec_cred *c, const struct fl_err *e);
	/* its own */
	pid_t pid;                      /* 0: nothing runs */
	struct fl_io out;
	struct fl_timer timer;
	uint64_t started_ns;
	char *text; size_t n, cap;
	bool ended;                     /* its standard output is closed */
};

/* cfg, loop and done are set, the rest is zero. 0: done() will be called; -EINVAL with the words: it could not be started. */
int fl_exec_start(struct fl_exec_run *r, struct fl_err *e);
void fl_exec_stop(struct fl_exec_run *r);       /* kills it; done() is not called. Harmless when nothing runs */

/* webconf: the web configuration file of Prometheus' exporters (exporter-toolkit 0.20), which `prometheus ADDRESS { tls FILE }` names: its
 * YAML, checked as there and refused in the same words. Pure but for the files it is told to read. Any thread. */
#pragma once
#include "base/err.h"
#include "base/mem.h"
#include "net/tls_policy.h"
#include "net/tls_server.h"

enum { FL_WEBCONF_FILE = 1 << 20, FL_WEBCONF_HEADERS = 4096 };

struct fl_webconf_pair { const char *key, *value; };
struct fl_webconf_map { struct fl_webconf_pair *at; unsigned n; };
struct fl_webconf {
	struct fl_arena arena;
	/* tls_server_config; what was not given is NULL */
	const char *cert, *key, *ca;                    /* texts */
	const char *cert_file, *key_file, *ca_file;     /* paths, from the folder of the file */
	const char *auth_name;
	struct fl_tls_policy policy;
	bool prefer_server;                             /* has no effect, as in Go */
	/* http_server_config */
	bool http2;
	struct fl_webconf_map headers;
	/* rate_limit */
	int64_t burst, interval_ns;
	struct fl_webconf_map users;                    /* name → bcrypt hash */
};

/* text is what the file at `path` holds. 0, or -EINVAL with the toolkit's words; to be finished either way. */
int fl_webconf_parse(struct fl_webconf *c, struct fl_str text, const char *path, struct fl_err *e);
void fl_webconf_finish(struct fl_webconf *c);           /* a zeroed one is fine */
bool fl_webconf_sealed(const struct fl_webconf *c);     /* is TLS wanted? */
/* What is to be known before it serves: hashes that bcrypt takes. 0 or -EINVAL. */
int fl_webconf_check_users(const struct fl_webconf *c, struct fl_err *e);
/* The TLS that it describes, of the files as they are now. NULL with words. Main thread. */
struct fl_tls_server *fl_webconf_tls(const struct fl_webconf *c, struct fl_err *e);
/* Changes when one of the files that it names does. */
void fl_webconf_sum(const struct fl_webconf *c, uint8_t to[32]);
/* A whole file, malloc'd; NULL with "open PATH: no such file or directory". */
char *fl_webconf_read(const char *path, size_t *n, struct fl_err *e);

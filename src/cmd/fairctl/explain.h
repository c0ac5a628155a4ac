/* explain: why a name does not resolve. Facts are gathered, then judged, then told; only gathering opens files and sockets.
 *
 *   Corefile ─ explain_conf: what only talks is taken out, kubernetes gets its source ─► explain_world: the real chains run, traced ─┐
 *   manifests, API ─ explain_cluster: a store without any filter; the pod ─► its resolv.conf, the names it asks for ─────────────────┼► struct facts
 *   the live server, upstreams that failed ─ explain_live: one question each, over UDP and over TCP ─────────────────────────────────┘
 *
 *   facts ─► diagnose(): one rule after the other, pure ─► findings ─► explain_print: text, JSON
 *
 * Texts lie in the facts' arena, which is never full; names in them are lower case, with their final dot. */
#pragma once
#include "cmd/fairctl/ctl.h"
#include "cmd/fairctl/pod.h"
#include "conf/conf.h"
#include "dns/explain.h"
#include "pod/search.h"
#include "store/store.h"

enum { EX_TYPES = 2, EX_STEPS = 200, EX_HOPS = 64, EX_FINDINGS = 32 };

/* ---- what a question met ---- */

struct ex_hop {
	const char *plugin;
	enum fl_verdict verdict;
	bool up;
	unsigned depth;
	struct fl_str before, after;    /* the name in question */
	uint16_t type, rcode;
	unsigned records;               /* in the answer section */
	const char *why;
};

struct ex_reply {
	bool got;
	uint16_t rcode;
	unsigned found;                 /* records of the type that was asked for */
	struct fl_words records;        /* of the answer section, as text without owner and TTL: "A 10.0.0.1" */
	struct fl_words aliases;        /* targets of CNAMEs */
	struct fl_str other;            /* whose records these are, when they are not of the name that was asked for: then nothing is found */
};

/* One server asked once, both ways. */
struct ex_probe {
	struct fl_str server;
	int udp, tcp;                   /* 0, or -errno; 1: not asked */
	struct ex_reply by_udp, by_tcp;
	struct fl_str other;            /* the name that it answered instead; n 0: the right one */
};

struct ex_step {
	struct fl_str name;
	uint16_t type;
	struct fl_str server, zone;     /* of the block: "dns://:53", "cluster.local."; n 0: none */
	const char *by;                 /* who answered; "" nobody */
	struct ex_hop *hop;
	unsigned nhop;
	struct ex_reply reply;
	bool unasked;                   /* offline: an upstream would be asked */
	struct ex_probe *live;          /* NULL: not asked */
	struct ex_probe *upstream;
	unsigned nupstream;
};

/* ---- what the Corefile says ---- */

struct ex_block { struct fl_words zones, ports; int line; bool kube; };
struct ex_kube {
	struct fl_words zones, namespaces;
	struct fl_str labels, namespace_labels;
	int line, namespaces_line, labels_line;
	unsigned block;
	bool pods_disabled, ignore_empty;
	struct fl_store *filtered;      /* what its selectors leave; NULL: it has none */
};
struct ex_forward { struct fl_str from; struct fl_words to, except; const char *file; int line; unsigned block; };

struct ex_conf {
	const char *path;               /* "Corefile"; for messages */
	struct ex_block *block; unsigned nblock;
	struct ex_kube *kube; unsigned nkube;
	struct ex_forward *forward; unsigned nforward;
	const char *port;               /* on which a pod's questions arrive */
};

/* ---- all of it ---- */

struct ex_event { const char *reason; struct fl_str text; };

struct facts {
	struct fl_arena *a;
	struct fl_str name;             /* as it was given */
	uint16_t type[EX_TYPES];
	unsigned ntype;

	bool has_pod;
	struct ctl_pod pod;
	struct fl_str ns;               /* the pod's; of a resolv.conf: what its search list tells; "" unknown */
	struct fl_str resolv;           /* the text */
	struct fl_resolv lines;         /* as written, before a resolver's own limits */
	struct fl_resolver client;        /* as glibc reads it */
	struct ex_event event[8];
	unsigned nevent;
	struct fl_words cluster_dns, node_servers;
	const char *node_file;
	struct fl_str cluster_domain;
	bool elsewhere;                 /* the pod asks other servers than the cluster's */

	struct ex_conf conf;
	struct fl_store *store;         /* NULL: nothing is known of the cluster */
	struct fl_words forbidden;      /* kinds that may not be listed */
	struct fl_str role;             /* a ClusterRole of the manifests that misses endpointslices: "system:coredns (FILE:LINE)" */
	void *source[40];               /* what fills the stores goes on until the process ends */
	unsigned nsource;
	bool offline;
	struct fl_str server;           /* --server; n 0: none */

	struct ex_step step[EX_STEPS];
	unsigned nstep, nglibc;         /* those of glibc come first */
	enum fl_answer end, musl_end;
	struct fl_words glibc_names, musl_names;
};

/* ---- findings ---- */

enum ex_severity { EX_NOTE, EX_WARNING, EX_ERROR };
struct ex_finding { enum ex_severity severity; const char *cause; struct fl_str words, fix; };
struct ex_findings { struct ex_finding at[EX_FINDINGS]; unsigned n; };

void ex_diagnose(const struct facts *f, struct ex_findings *to);
void ex_add(struct ex_findings *to, enum ex_severity s, const char *cause, struct fl_str words, struct fl_str fix);

/* The rules, by what they look at. */
void ex_rules_cluster(const struct facts *f, struct ex_findings *to);
void ex_rules_pod(const struct facts *f, struct ex_findings *to);
void ex_rules_server(const struct facts *f, struct ex_findings *to);

/* Which Service the asker has in mind. */
struct ex_meant {
	const struct ex_kube *kube;     /* NULL: no name of the cluster */
	struct fl_str zone;
	struct fl_str host, service, ns;        /* host: what stands before a service's name */
	const struct ex_step *step;
	bool pod;                       /* a-b-c-d.ns.pod.zone */
};
struct ex_meant ex_meant(const struct facts *f);
/* Is it the cluster that the asker has in mind, and not a name outside that the search list led into it? */
bool ex_certain(const struct facts *f, const struct ex_meant *m);
bool ex_failed(const struct facts *f);
const struct fl_service *ex_service(const struct facts *f, struct fl_str ns, struct fl_str name);
bool ex_has_ns(const struct facts *f, struct fl_str ns);
/* Ready endpoints of a service; *all: with those that are not. */
unsigned ex_ready(const struct facts *f, const struct fl_service *s, unsigned *all);
unsigned ex_distance(struct fl_str a, struct fl_str b);         /* Damerau-Levenshtein, letter case folded; at most 255 */
bool ex_near(struct fl_str a, struct fl_str b, unsigned *distance);     /* few enough slips for a word of that length */
bool ex_under(struct fl_str name, struct fl_str zone);  /* both with final dots */

/* ---- gathering ---- */

/* Where cluster objects come from; all "" is none. */
struct ex_from { struct fl_str manifests, kubeconfig, context; };

/* The Corefile (path NULL: kubeadm's), made fit to run here; malloc'd. NULL after words. from gets what the Corefile has where the command
 * line had nothing. */
struct fl_conf *ex_conf(const struct ctl *c, struct facts *f, const char *path, struct ex_from *from);

struct ex_world;
/* Takes conf. NULL after words. */
struct ex_world *ex_world(const struct ctl *c, struct facts *f, struct fl_conf *conf, struct fl_loop *loop);
void ex_world_ask(struct ex_world *w, const struct facts *f, struct ex_step *s);
void ex_run(struct fl_loop *l, bool (*over)(void *arg), void *arg, uint64_t ns);        /* the loop, until then or so long */

/* Fills store, forbidden and what selectors leave. 0 or a status. */
int ex_cluster(const struct ctl *c, struct facts *f, const struct ex_from *from, struct fl_loop *loop);
/* --pod NS/NAME from the same place. */
int ex_pod(const struct ctl *c, struct facts *f, const struct ex_from *from, struct fl_loop *loop, const char *which);

void ex_probe(struct facts *f, struct ex_probe *p, const char *server, const struct ex_step *s, uint64_t timeout_ns);
void ex_upstreams(struct facts *f, struct ex_step *s, uint64_t timeout_ns);     /* those of a step that forward answered badly */
void ex_reply(struct fl_arena *a, struct ex_reply *r, const uint8_t *msg, size_t n, uint16_t type);
const struct fl_directive_entry *ex_directives(bool offline);

int ex_print(struct ctl *c, const struct facts *f, const struct ex_findings *found);

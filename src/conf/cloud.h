/* cloud: what stands around a Corefile in managed clusters → the whole Corefile, for `fairctl translate`.
 *
 *   coredns-custom   AKS: *.override are lines of its default server block, *.server are server blocks (facts: kubernetes-node.md §7.2)
 *   node-local-dns   a template with __PILLAR__…__ variables of NodeLocal DNSCache (kubernetes/dns cmd/node-cache)
 *
 * Accidents of coredns-custom that AKS documents are said with the key and line: mended where only one thing can be meant, refused else.
 * All results lie in the caller's arena. One thread. */
#pragma once
#include "base/err.h"
#include "base/mem.h"

struct fl_cloud_key { struct fl_str name, text; };

struct fl_cloud {
	struct fl_str domain;           /* the cluster's */
	const struct fl_cloud_key *key; unsigned nkey;
	void (*note)(void *arg, struct fl_str key, int line, const char *text);        /* line of the key's text; 0: the key itself */
	void *arg;
	struct fl_str bad; int line;    /* out: where e belongs */
};

/* 0, or -EINVAL with words in e, c->bad and c->line. */
int fl_cloud_aks(struct fl_arena *a, struct fl_cloud *c, struct fl_str *out, struct fl_err *e);

/* NULL: not given. */
struct fl_pillars {
	const char *local_dns;          /* __PILLAR__LOCAL__DNS__ */
	const char *server;             /* __PILLAR__DNS__SERVER__: the kube-dns Service's address, which the node's program listens on too; NULL: erased */
	const char *domain;             /* __PILLAR__DNS__DOMAIN__ */
	const char *cluster_dns;        /* __PILLAR__CLUSTER__DNS__: the cluster's DNS as the node reaches it */
	const char *upstream;           /* __PILLAR__UPSTREAM__SERVERS__ */
};
bool fl_pillar_is_template(struct fl_str text);
/* 0, or -EINVAL with words in e about a variable that is not known or not given, and its line. */
int fl_pillar_corefile(struct fl_arena *a, struct fl_str text, const struct fl_pillars *p, struct fl_str *out, int *line, struct fl_err *e);

/* forward, inside: one instance a server block, with all its `forward` lines (stanzas).
 *
 *   stanza ── set ── server server …   configuration, and the servers that TO names now: a set is replaced as a whole when a resolv.conf
 *                                      changes (main thread)
 *   shard ─── view ── peer peer …      the shard's set of each stanza, with its sockets (net/upstream.h) and what it measured; an old one
 *                                      stays until its last query has left
 *   query ─── trip ── leg (leg)        where this query stands: which stanza, which servers in which order; a leg is a question that is
 *                                      out, the second one is the hedge
 *
 * Health: a shard that met an error rings the main loop, which asks the server "is anybody there" every interval until it answers
 * (health.c). While all is well nothing is sent. What is known of a server outlives reloads.
 *
 * setup.c: options; to.c: TO → servers, sets; resolve.c: names in TO; health.c; hedge.c: when a second server is asked; trip.c: a query's way;
 * forward.c: stanzas, shards, the plugin. */
#pragma once
#include "dns/plugin.h"
#include "dns/upstreams.h"
#include "net/upstream.h"
#include "wire/pack.h"

enum { FWD_MAX = 15 };          /* TO arguments of a stanza */
enum fwd_proto { FWD_UDP, FWD_TCP, FWD_TCP_TLS, FWD_QUIC, FWD_PROTOS, FWD_NONE };       /* as metrics name them */

struct fwd;
struct fwd_stanza;
struct fwd_health;

struct fwd_server {
	const char *to;                 /* "192.0.2.1:53" */
	const char *name;               /* of its certificate, as TO gives it: "" */
	struct fl_up_conf conf;
	struct fwd_stanza *stanza;
	struct fl_grid *took, *kept, *opened, *odd, *hedged, *won;
	struct fwd_health *health;      /* NULL: never probed (max_fails 0) */
};

/* Immutable but for refs. The main thread frees it when neither the stanza nor a shard has it. */
struct fwd_set {
	unsigned refs;                  /* atomic: views */
	struct fwd_set *older;
	struct fl_arena arena;
	struct fwd_server *server; unsigned n;
};

/* A TO argument: an address, a file, a name with the addresses that it had. */
struct fwd_to { struct fl_target target; const char *path; struct fl_str *addr; unsigned naddr; };

/* hedge.c: the last times of a server on this shard, and where 95 of 100 lie. */
enum { FWD_TIMES = 64 };
struct fwd_times { uint32_t us[FWD_TIMES]; unsigned n; uint32_t p95_us; };

struct fwd_peer { struct fl_upstream *up; uint64_t wrong, stray; struct fwd_times times; };
struct fwd_view { struct fwd_set *set; unsigned trips; bool old; struct fwd_peer peer[]; };

/* A question that is out so often for one client comes back from where it was sent: a loop, which would go on until memory is out. */
enum { FWD_EQUALS = 4096, FWD_EQUAL_MAX = 1024 };

/* A shard's. */
struct fwd_local {
	struct fwd *in;
	struct fl_shard *shard;
	struct fl_up_net *net;
	uint16_t equal[FWD_EQUALS];     /* questions that are out, by a hash of name, type and client */
	struct fwd_view *view[];        /* in stanzas' order */
};

struct fwd_stanza {
	struct fwd *in;
	unsigned index;
	struct fl_name from;
	struct fl_zones except;
	struct fwd_set *set;            /* main thread */
	struct fwd_to *arg; unsigned narg;      /* TO arguments that named something */
	enum fl_policy policy;
	bool force_tcp, prefer_udp, failfast, next_on_nodata, attempts_set, mix_case, doh_get, dry;
	bool hedge, hedge_auto;
	int64_t expire_ns, max_age_ns, read_ns, check_ns, hedge_ns;
	int64_t max_idle;
	bool check_rd;
	struct fl_name check_name;
	uint32_t max_fails, max_attempts;
	uint32_t next, failover;        /* rcodes, a bit each */
	int64_t max_concurrent;
	const char *too_many;           /* the error beyond that */
	uint32_t concurrent, robin;     /* atomic */
	struct fl_tls_creds *creds; uint64_t creds_id;  /* NULL: no `tls` line */
	const char *tls_name;           /* "" */
	struct sockaddr_in6 source; socklen_t source_len;
	struct fl_str *resolver; unsigned nresolver;
	/* while it is set up */
	struct fl_str *except_arg; unsigned nexcept;
};

struct fwd {
	struct fwd_stanza *stanza; unsigned n;
	unsigned shards;
	struct fl_loop *loop;           /* the main thread's */
	struct fwd_local **local;       /* by shard id; set before the swap */
	struct fwd_health *health;      /* made while it served, for servers of a changed resolv.conf */
	struct fl_grid *broken, *rejected, *renewed;
	const struct fl_tap_ops *tap; void *tap_inst;   /* dnstap of the same block, or NULL */
};

/* setup.c */
int fl_forward_setup(struct fl_setup *s, void **inst);
/* to.c */
int fl_forward_servers(struct fl_setup *s, struct fwd_stanza *st, const struct fl_str *arg, unsigned n);       /* the first set */
void fl_forward_changed(void *inst);                    /* a resolv.conf changed: other sets where they differ, to the shards */
void fl_forward_sets_free(struct fwd *f);               /* when no shard has any */
struct fwd_view *fl_forward_view(struct fwd_local *l, struct fwd_set *set);
void fl_forward_view_free(struct fwd_view *v);
/* resolve.c: the addresses of a host name, as text; blocks, for seconds at worst. 0, or -errno with CoreDNS's words in why. */
int fl_forward_resolve(struct fl_arena *a, struct fl_str host, const struct fl_str *resolver, unsigned n, struct fl_str **addr, unsigned *naddr,
		       char *why, size_t cap);
/* health.c */
/* What is known of a server, for all generations that probe it alike; NULL: no descriptor left. s NULL: while it serves. */
struct fwd_health *fl_forward_health(struct fl_setup *s, const struct fwd_server *v);
void fl_forward_health_free(struct fwd *f);             /* those that were made without s */
void fl_forward_ill(struct fwd_server *v);              /* any thread: an exchange failed */
bool fl_forward_down(const struct fwd_server *v);       /* any thread */
bool fl_forward_suspect(const struct fwd_server *v);    /* any thread: failed, and no probe was answered since */
/* Any thread: another server was quicker while this one was still waited for: slow at times, or dead? Its limit of time will not come. And:
 * it answered. */
void fl_forward_late(struct fwd_server *v);
void fl_forward_heard(struct fwd_server *v);
/* hedge.c */
void fl_forward_took(struct fwd_times *t, uint64_t ns);
uint64_t fl_forward_patience(const struct fwd_stanza *st, const struct fwd_times *t);   /* how long before another server is asked too */
/* trip.c */
enum fl_verdict fl_forward_query(void *inst, struct fl_query *q);
void fl_forward_cancel(void *inst, struct fl_query *q);
const char *fl_forward_asked(struct fl_query *q);       /* the server that was asked last; NULL */
struct fwd_stanza *fl_forward_stanza(struct fwd *f, unsigned i, struct fl_name n);      /* forward.c: the first from i on that takes the name */
/* tap.c */
int fl_forward_link(struct fl_setup *s, void *inst);
/* An exchange is over; reply NULL: none came. */
void fl_forward_tap(const struct fwd_server *v, struct fl_query *q, const struct fl_up_ask *a, uint64_t ago_ns, const uint8_t *reply, size_t n);

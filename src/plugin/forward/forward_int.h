/* forward, inside: one instance a server block, with all its `forward` lines (stanzas).
 *
 *   stanza ── server server …     configuration, and what all shards know of a server: how many probes failed in a row
 *   shard ─── upstream upstream … sockets of this shard (net/upstream.h), the same order over all stanzas
 *   query ─── trip                where this query stands: which stanza, which servers in which order, what came back
 *
 * Health: a shard that met an error rings the main loop, which asks the server "is anybody there" every interval until it answers
 * (health.c). While all is well nothing is sent. What is known of a server outlives reloads. */
#pragma once
#include "dns/plugin.h"
#include "net/upstream.h"
#include "wire/pack.h"

enum { FWD_MAX = 15 };          /* TO arguments of a stanza */

enum fwd_policy { FWD_RANDOM, FWD_ROUND_ROBIN, FWD_SEQUENTIAL };

struct fwd;
struct fwd_stanza;
struct fwd_health;

struct fwd_server {
	const char *to;                 /* "192.0.2.1:53" */
	struct fl_up_conf conf;
	struct fwd_stanza *stanza;
	unsigned index;                 /* over all stanzas: its place in a shard's table */
	struct fl_grid *took, *kept, *opened;
	struct fwd_health *health;      /* NULL: never probed (max_fails 0) */
};

struct fwd_stanza {
	struct fwd *in;
	struct fl_name from;
	struct fl_zones except;
	struct fwd_server *server; unsigned n;
	unsigned nargs;                 /* TO arguments that named something */
	enum fwd_policy policy;
	bool force_tcp, prefer_udp, failfast, next_on_nodata, attempts_set;
	int64_t expire_ns, max_age_ns, read_ns, check_ns;
	bool check_rd;
	struct fl_name check_name;
	uint32_t max_fails, max_attempts;
	uint32_t next, failover;        /* rcodes, a bit each */
	int64_t max_concurrent;
	const char *too_many;           /* the error beyond that */
	uint32_t concurrent, robin;     /* atomic */
	/* while it is set up */
	struct fl_str *except_arg; unsigned nexcept;
	const char *later; int later_at;
};

struct fwd {
	struct fwd_stanza *stanza; unsigned n;
	unsigned nservers;
	struct fl_grid *broken, *rejected;
	const struct fl_tap_ops *tap; void *tap_inst;   /* dnstap of the same block, or NULL */
};

/* setup.c */
int fl_forward_setup(struct fl_setup *s, void **inst);
/* to.c: the servers that the TO arguments name, in order, each once. */
int fl_forward_servers(struct fl_setup *s, struct fwd_stanza *st, const struct fl_str *arg, unsigned n);
/* Remembers an option that is understood but not built; the first one is told at the end of the stanza, where it stands. */
void fl_forward_later(struct fl_setup *s, struct fwd_stanza *st, struct fl_str what);
/* health.c */
/* What is known of a server, for all generations that probe it alike; NULL: no descriptor left. */
struct fwd_health *fl_forward_health(struct fl_setup *s, const struct fwd_server *v);
void fl_forward_ill(struct fwd_server *v);              /* any thread: an exchange failed */
bool fl_forward_down(const struct fwd_server *v);       /* any thread */
/* tap.c */
int fl_forward_link(struct fl_setup *s, void *inst);
/* An exchange is over; reply NULL: none came. */
void fl_forward_tap(const struct fwd_server *v, struct fl_query *q, const struct fl_up_ask *a, uint64_t ago_ns, const uint8_t *reply, size_t n);

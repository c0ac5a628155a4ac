/* plugin.h: the whole contract between the chain and a plugin (set-up time: dns/setup.h).
 *
 * One query's life. A shard (one thread, one event loop) receives a packet and copies it into a query's block.
 * The server picks a server block (longest zone, then the first whose admit() all agree) and runs its chain from the
 * top: query() of each plugin in order.def order, each one says with a verdict how it goes on. When one is DONE, the
 * way goes up again: reply() of each plugin that said WRAP, last first, may read or edit the result. At the top the
 * server packs the reply once, seals it, hands it to the socket, and tells sent() to those who keep books.
 *
 *        query()  prometheus   rewrite WRAP    cache WRAP    kubernetes NEXT    forward WAIT ... DONE
 *        reply()               rewrite DONE <- cache DONE <-----------------------------------'
 *        sent()   prometheus
 *
 * No thread ever blocks on a query. A plugin that needs something it does not have says WAIT, and when it is there the
 * same function runs again from its first line: lookups that came in are remembered (fl_lookup answers at once), its own
 * state lies in its slot. So until a function finishes it changes nothing but its slot.
 *
 * Memory. All that belongs to a query lies in its arena and dies with it. What the index or the cache lends (RRsets, names)
 * may be freed by another thread once this shard goes back to its loop: mark such an item `shared`, and the driver copies
 * what q->res and the remembered lookups hold when the query parks. A reply kept in a slot, or given to fl_offload():
 * fl_reply_own() first. Names (q->qname too), texts and meta() values are arena or generation memory, never lent.
 * A parked query keeps its configuration generation alive; a running one needs not. Lookups stay in their root's generation.
 *
 * Threads. setup(), link(), start(), stop(), destroy() run on the main thread, all else on a shard. Query-time code takes
 * no lock, calls no malloc, makes no system call that can block; heavy work goes to fl_offload(). */
#pragma once
#include "base/rng.h"
#include "dns/query.h"
#include "dns/setup.h"

/* ---- the plugin ---- */

enum { FL_LEARNT = 1 };

struct fl_sent {
	const uint8_t *bytes;   /* NULL: a lookup of our own, or dropped */
	size_t len;
	size_t full_len;        /* before OPT, compression and truncation: what CoreDNS logs */
	uint16_t flags;         /* header bits as sent, or as they would be (lookups) */
	uint64_t took_ns;
};

struct fl_plugin {
	const char *name;
	const struct fl_opt *opts;      /* grammar of the directive: tools/docopt compares it with the man page */

	/* Main thread. setup, then link when every setup() of the generation is through (find others here), then start before the
	 * swap: 0 or fl_setup_error(); on failure the old generation stays whole. stop: no new queries come; destroy: the last left. */
	int (*setup)(struct fl_setup *s, void **inst);
	int (*link)(struct fl_setup *s, void *inst);
	int (*start)(void *inst, struct fl_err *e);
	void (*stop)(void *inst);
	void (*destroy)(void *inst);
	/* The process is about to end: stop looking ready; returns ns for which everything must go on serving (lameduck). */
	uint64_t (*leave)(void *inst);
	/* For each chain that holds the plugin (one a key and listening address), before start(): data of its own there (metric grids with
	 * the chain's labels), found again by fl_mine(). Generation memory. */
	int (*chain)(void *inst, struct fl_chain *c, struct fl_arena *a, void **mine);
	/* On each shard, between start and the swap, and after its last query: the plugin's own data of this shard (upstream
	 * sockets, counters, tables), found again by fl_local(). No lock is ever needed for it. */
	int (*shard_start)(void *inst, struct fl_shard *sh, void **local);
	void (*shard_stop)(void *inst, struct fl_shard *sh, void *local);

	/* On the query's way. */
	enum fl_verdict (*query)(void *inst, struct fl_query *q);       /* all but AGAIN */
	enum fl_verdict (*reply)(void *inst, struct fl_query *q);       /* DONE AGAIN WAIT DROP */
	void (*cancel)(void *inst, struct fl_query *q); /* parked here, or owed a reply(), and will not run again: drop own I/O,
							 * wake who waits for it. May find a NULL slot; starts nothing */

	/* Beside the way. */
	bool (*admit)(void *inst, struct fl_query *q);          /* may this server block take it? (view); chain and slots are
						 * set; after a no, what was put in the arena is gone */
	int (*meta)(void *inst, struct fl_query *q, struct fl_str label, struct fl_str *value);
				/* value of a label such as kubernetes/service: 0 one of the client's question, FL_LEARNT one that
				 * came to light on the way (forward/upstream), -ENOENT */
	bool (*collects)(void *inst, struct fl_query *q);       /* metadata: may others have labels of this question? Without such a
				 * plugin in the chain nobody has any; where it says no, only what was learnt counts */
	int (*seal)(void *inst, struct fl_query *q, uint8_t *msg, size_t *len, size_t cap);
				/* each packed message, before it leaves (tsig); -errno: send SERVFAIL unsigned or reset */
	size_t seal_room;       /* bytes to leave free for seal(), at most */
	void (*sent)(void *inst, struct fl_query *q, const struct fl_sent *s);  /* prometheus log errors dnstap */
	void (*flush)(void *inst, struct fl_shard *sh, void *local);    /* end of a batch on a shard (log: one write) */
	bool (*ready)(void *inst);      /* any thread; whether a yes is kept is the ready plugin's affair */
	const void *(*iface)(void *inst, const char *name);     /* for fl_setup_find(): a table of functions, or NULL */
};

#define FL_PLUGIN(id, ...) extern const struct fl_plugin fl_plugin_##id; const struct fl_plugin fl_plugin_##id = { .name = #id, __VA_ARGS__ }

/* ---- services at query time; all act on the calling shard (dns/chain.c) ---- */

/* Ends my part with a bare rcode. why: static or arena. Returns FL_DONE. */
enum fl_verdict fl_fail(struct fl_query *q, uint16_t rcode, const char *why);

/* Appends to q->res. owner and set are borrowed until the query ends, or, when shared, until the shard's next turn of its
 * loop. Returns NULL when the arena is full: return fl_yield(q, -ENOMEM). */
struct fl_item *fl_reply_add(struct fl_query *q, enum fl_section sec, struct fl_name owner,
			     const struct fl_rrset *set, bool shared);
int fl_reply_copy(struct fl_query *q, const struct fl_reply *from);     /* a lookup's answer becomes mine; 0, -ENOMEM */
int fl_reply_own(struct fl_query *q, struct fl_reply *r);               /* nothing in r is lent after this; 0, -ENOMEM */

/* Asks the whole server, as a client would: 0 and *answer (borrowed until q ends, may be empty or a failure; a dropped one is a bare
 * SERVFAIL), or an error that must be returned at once through fl_yield(): -EAGAIN parks, -ENOMEM and -ELOOP (too deep) end in SERVFAIL.
 * Several may be started before yielding; the function runs again when all are in. */
int fl_lookup(struct fl_query *q, struct fl_name n, uint16_t qtype, const struct fl_reply **answer);
enum fl_verdict fl_yield(struct fl_query *q, int ret);

/* For owners of I/O: take a ticket, start, say FL_WAIT. fl_wake() only queues: it may be called before WAIT was returned,
 * late, twice, or after the query died; a ticket of an earlier step is ignored. */
struct fl_ticket { struct fl_query *q, *root; uint32_t turn, serial; };
struct fl_ticket fl_ticket(struct fl_query *q);
void fl_wake(struct fl_ticket t, int why);              /* 0 or -errno, seen as q->why */
void fl_wake_at(struct fl_query *q, uint64_t when_ns);  /* one timer a query: -ETIMEDOUT; 0 clears it */

/* A copy of q from the plugin below me on, without client; my reply() is owed (cache prefetch). It starts on the next turn,
 * and my slot of it may be filled before. NULL: no memory, or q is itself detached. */
struct fl_query *fl_detach(struct fl_query *q);
void **fl_slot_of(struct fl_query *detached, const struct fl_query *q);

/* Runs fn(arg) once when q ends in whatever way: answered and sent, cancelled, its stream cut. 0, -ENOMEM. */
int fl_defer(struct fl_query *q, void (*fn)(void *arg), void *arg);

void *fl_local(struct fl_query *q);                     /* what my shard_start() left for this shard */
void *fl_mine(struct fl_query *q);                      /* what my chain() left for this chain */
uint64_t fl_now(const struct fl_shard *sh);             /* ns; read once a batch */

/* Runs work(arg) on a helper thread, then wakes q with its result. arg may lie in the arena (the block outlives the job), holds
 * nothing lent, and work() allocates nothing from it. 0, -ENOMEM, -EBUSY (queue full). */
int fl_offload(struct fl_query *q, int (*work)(void *arg), void *arg);

/* The value of a label, from the plugins' meta(): 0, or -ENOENT, also when the chain has no plugin that collects(). */
int fl_meta(struct fl_query *q, struct fl_str label, struct fl_str *value);

/* ---- chain and shard, as plugins may see them ---- */

struct fl_link { const struct fl_plugin *p; void *inst; uint8_t self; };        /* self: which slot is its own */

/* The plugins of one server block behind one key and one listening address. */
struct fl_chain {
	struct fl_link *at, *beside;            /* with query(); with sent(), meta(), collects(), seal(), flush() or admit() */
	unsigned n, nbeside, nslots;
	struct fl_str server, zone, view;       /* "dns://:53", "cluster.local.", "" */
	const struct fl_zones *zones;           /* all of the block */
	void ***local;                          /* [shard id][slot] */
	void **mine;                            /* [slot] */
	unsigned *parked;                       /* [shard id]: queries that keep this generation */
	struct fl_group *group;                 /* the listener that it stands behind */
	bool first_key;                         /* of its block on this listener (coredns_plugin_enabled) */
	bool filtered;                          /* one of its plugins has admit() */
	size_t seal_room;
};

/* What the chain needs of a shard; the server fills the functions in, a test its own. */
struct fl_shard {
	unsigned id;                            /* 1..: also the slot of its metrics */
	struct fl_loop *loop;
	struct fl_pool *pool;
	struct fl_rng *rng;
	uint64_t now_ns;
	struct fl_query *run_first, *run_last;  /* woken: to run before the loop waits again */
	uint32_t round;
	bool park_always;                       /* tests: every lookup parks */
	/* The server block for a lookup, in the generation of q->root->chain; never NULL: an empty chain answers REFUSED. */
	const struct fl_chain *(*route)(struct fl_query *q);
	struct fl_query *(*block_get)(struct fl_shard *sh);     /* from the pool, arena set; NULL: at the cap */
	void (*block_put)(struct fl_query *q);
	void (*answer)(struct fl_query *q);                     /* pack, seal, send; then fl_chain_sent() */
	int (*job)(struct fl_ticket t, int (*work)(void *), void *arg);
	void (*timer)(struct fl_query *q);                      /* q->wake_at changed */
};

/* gen: one configuration generation: what a Corefile became. Built on the main thread, immutable once it serves, freed when the
 * last query that it keeps has left every shard. Private to dns/.
 *
 *   block ── inst inst inst …            one instance a directive and block, in chain order
 *     └ key × listening address ── chain (shares the block's instances and their rows of shard data)
 *   group = one listening address ("dns://:53"): zone → chains in file order */
#pragma once
#include "dns/chain.h"
#include "dns/setup.h"

struct fl_gen;
struct fl_server;

struct fl_inst {
	const struct fl_plugin *p;
	void *inst;
	struct fl_block *block;
	unsigned slot;                  /* in every chain of its block */
	bool set_up, started;
};

/* A server block. */
struct fl_block {
	struct fl_conf_block *conf;
	struct fl_block_conf say;
	struct fl_key *key; unsigned nkey;
	struct fl_zones zones;
	struct fl_inst *inst; unsigned ninst;   /* in chain order */
	void ***local;                  /* [shard id][slot] */
};

/* Chains behind one zone of a group, in file order; more than one only with views. */
struct fl_zone_entry { struct fl_name zone; struct fl_chain **chain; unsigned n; };

/* One listening address. */
struct fl_group {
	const char *scheme;
	struct fl_str host;             /* "" all addresses; else an IP as text */
	char port[8];
	struct fl_str addr;             /* "dns://:53" */
	struct fl_gen *gen;
	struct fl_zone_entry *zone; unsigned nzone;
	uint32_t *slot; uint32_t mask;  /* hash of the zone → index + 1 */
	unsigned max_labels;            /* of any zone */
	bool other_classes, has_root;
	uint16_t opcodes;
	uint64_t read_ns, write_ns, idle_ns;
	int32_t max_queries;
	struct fl_grid *doq;            /* answers by QUIC's application code; NULL: another scheme */
	struct fl_tls_host *tls;        /* NULL: none */
	bool settled;                   /* a block said how it is: the others must agree */
	bool streams_said;
	uint32_t max_conns, max_streams;        /* https, https3, grpc, quic; 0: no limit */
	uint32_t workers;               /* quic: queries in work */
	struct fl_grid *https;          /* https, https3: responses by status */
	bool by_quic;                   /* quic, https3 */
	struct fl_str first_zone;       /* of that block */
	struct fl_chain none;           /* empty: answers REFUSED */
	struct fl_stats *dropped;       /* counts of what no chain took */
};

struct fl_every { struct fl_timer t; struct fl_gen *gen; uint64_t ns; void (*fn)(void *); void **inst; struct fl_every *next; };
struct fl_wait { uint64_t ns; bool (*done)(void *); void (*given_up)(void *); void **inst; bool over; struct fl_wait *next; };
struct fl_watching { void *watch; void (*fn)(void *); void **inst; struct fl_watching *next; struct fl_str path; };
struct fl_serves { void (*fn)(void *); void **inst; struct fl_serves *next; };

/* fl_setup_everywhere() */
struct fl_everywhere { const struct fl_plugin *p; void *inst; const char *before; struct fl_everywhere *next; };

struct fl_gen {
	struct fl_arena arena;
	struct fl_server *server;
	struct fl_conf *conf;           /* owned */
	struct fl_block *block; unsigned nblock;
	struct fl_group **group; unsigned ngroup;
	struct fl_chain **chain; unsigned nchain;
	unsigned *parked;               /* [shard id] */
	struct fl_every *every;
	struct fl_wait *wait;
	struct fl_watching *watching;
	struct fl_serves *serves;
	struct fl_everywhere *everywhere; unsigned neverywhere;
	struct fl_kept_ref *kept;
	bool running, serving;
};

struct fl_setup {
	struct fl_gen *gen;
	struct fl_block *block;
	struct fl_inst *inst;
	struct fl_disp disp;
	struct fl_err err;              /* the dispenser's, without the plugin's prefix */
	struct fl_err *out;             /* what the caller of the build gets */
};

/* Sets up, links and makes the chains; nothing runs yet. conf is taken in any case. NULL with the words in e. */
struct fl_gen *fl_gen_build(struct fl_server *srv, struct fl_conf *conf, struct fl_err *e);
int fl_gen_start(struct fl_gen *g, struct fl_err *e);   /* start() of all, timers and watches */
void fl_gen_serve(struct fl_gen *g);                    /* every shard has it: those that asked are told */
void fl_gen_stop(struct fl_gen *g);                     /* no new queries come: timers, watches, stop() */
void fl_gen_destroy(struct fl_gen *g);                  /* NULL is fine; started ones are stopped first */

/* The main thread asks a shard's own plugins to begin and end; on the shard. 0 or -errno. */
int fl_gen_shard_start(struct fl_gen *g, struct fl_shard *sh);
void fl_gen_shard_stop(struct fl_gen *g, struct fl_shard *sh);
void fl_gen_flush(struct fl_gen *g, struct fl_shard *sh);

/* The chain for a question on a listener; never NULL (group->none). q's question is set; chain and slots are set for admit(). */
const struct fl_chain *fl_group_route(struct fl_group *g, struct fl_query *q);
int fl_query_slots(struct fl_query *q, const struct fl_chain *c);       /* q->chain and zeroed slots; 0, -ENOMEM */

void fl_kept_release(struct fl_gen *g);

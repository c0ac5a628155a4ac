/* server_int: what the files of the server share. Private to dns/. */
#pragma once
#include "dns/gen.h"
#include "dns/server.h"
#include "dns/stats.h"
#include "net/quic.h"
#include "net/tcp.h"
#include "net/udp.h"
#include "net/web.h"
#include <pthread.h>

struct fl_shard_x;

/* One listening address on one shard. Lives until it is removed and nothing uses it. */
struct fl_listener {
	struct fl_io udp;               /* fd -1: the scheme is not served by UDP */
	struct fl_tcp_listener tcp;
	struct fl_quic_listener quic;   /* has the socket of udp */
	struct fl_grid *doq, *https;    /* of its group, which connections of a removed listener outlive */
	bool by_quic;
	bool wildcard, removed;
	bool secret;                    /* encrypted: who asks with padding is answered with padding */
	unsigned users;                 /* queries that will answer through it */
	struct fl_web *web;             /* https, https3, grpc */
	struct fl_shard_x *shard;
	struct fl_group *group;         /* of the generation that serves now */
	struct fl_addr local;           /* its host and port, read once */
	uint16_t port;
	char key[96];                   /* "dns://127.0.0.1:53" */
	struct fl_listener *next;
};

/* A root query with all that it needs: one piece of FL_BLOCK bytes. */
struct fl_block_q {
	struct fl_query q;
	struct fl_timer deadline;
	struct fl_listener *via;
	struct fl_conn *conn;           /* TCP */
	struct fl_block_q *next, *prev; /* free, or parked on this shard */
	struct fl_block_q *conn_next, *conn_prev;       /* in work on the same connection */
	bool listed, orphan;            /* on parked; its connection closed */
	bool streaming;                 /* more messages follow when the connection has room: held until then */
	bool asked;                     /* by fl_query_stream() */
	struct fl_asker *asker;         /* who waits for the answer; NULL: it was told, or went */
	/* filled in by who takes the block; all above is 0 at first */
	struct fl_arena arena;
	struct fl_client client;
	struct fl_udp_way way;          /* UDP */
	_Alignas(16) char mem[];
};

struct fl_retired { struct fl_gen *gen; struct fl_retired *next; };

struct fl_shard_x {
	struct fl_shard sh;
	struct fl_server *server;
	pthread_t thread;
	bool threaded;
	struct fl_pool pool;
	struct fl_rng rng;
	struct fl_udp *udp;
	struct fl_tcp *tcp;
	struct fl_web_stats web;
	struct fl_quic *quic;           /* NULL until it is listened for; read by the main thread */
	struct fl_block_q *free, *parked;
	struct fl_listener *listener;
	struct fl_gen *gen;
	struct fl_retired *retired;
	bool sent_something;            /* since the last flush */
	uint64_t told_ns, told_for;     /* the clock as it was read last, and for which batch */
	unsigned told;
	/* busy.c; the first two are the shard's, read by the main thread */
	uint64_t waited_ns, waits_since_ns;     /* all waits that are over; since when it waits now, 0: it does not */
	uint64_t seen_waited_ns;
};

/* What a load hands to a shard. */
struct fl_new_socket {
	char key[96];
	int udp, tcp;                   /* descriptors; -1: none of that kind */
	bool wildcard;
	struct fl_tcp_share *share;     /* connections of the address on all shards; NULL: nobody limits them */
};
/* Of one address, for the life of the server. */
struct fl_share { struct fl_tcp_share tcp; struct fl_share *next; char key[96]; };

struct fl_load;
struct fl_server {
	struct fl_process process;
	struct fl_loop *loop;
	const struct fl_directive_entry *directives;
	struct fl_shard_x **shard;
	bool inline_shard;
	struct fl_gen *gen;
	struct fl_load *load;
	struct fl_stopping *stopping;
	struct fl_leaving *leaving;     /* generations whose last queries are still out */
	char (*key)[96]; unsigned nkey; /* addresses that are bound now */
	struct fl_grid *saturated, *malformed, *busiest;
	uint64_t seen_ns;               /* when busy.c looked last */
	struct fl_quic_stats told_quic; /* what doq.c counted so far */
	struct fl_tcp_stats told;       /* what conns.c counted so far */
	struct fl_web_stats web_told;
	struct fl_share *share;
};

/* busy.c: keeps the gauge fairlead_saturation, from create to destroy. Main thread. */
void fl_busy_watch(struct fl_server *s);
void fl_busy_forget(struct fl_server *s);
/* conns.c: TCP connections in /metrics, from create to destroy. Main thread. */
void fl_conns_watch(struct fl_server *s);
void fl_conns_forget(struct fl_server *s);
/* doq.c: listeners of QUIC (DoQ, HTTP/3), and what is said in DoQ. On the shard: */
enum { FL_DOQ_OK = 0, FL_DOQ_INTERNAL = 1, FL_DOQ_PROTOCOL = 2, FL_DOQ_EXCESS = 4 };    /* RFC 9250 §4.3 */
void fl_doq_ready(struct fl_io *io, uint32_t events);
void fl_doq_settings(struct fl_listener *l, const struct fl_group *g);
int fl_doq_listen(struct fl_listener *l, struct fl_tcp_share *share);   /* l->udp.fd is open; 0 or -errno */
void fl_doq_unlisten(struct fl_listener *l);    /* the socket closes with the last connection */
/* Main thread: */
struct fl_grid *fl_doq_grid(struct fl_str server);
void fl_doq_watch(struct fl_server *s);
void fl_doq_forget(struct fl_server *s);
/* shard.c */
struct fl_shard_x *fl_shard_create(struct fl_server *s, unsigned id);
void fl_shard_post(struct fl_shard_x *x, void (*fn)(void *arg), void *arg);
void fl_shard_destroy(struct fl_shard_x *x);    /* joins its thread */
void fl_shard_swap(struct fl_shard_x *x, struct fl_gen *g, const struct fl_new_socket *sock, unsigned n);
void fl_shard_retire(struct fl_shard_x *x, struct fl_gen *g);   /* tells the main thread (fl_load_retired) when its last query left */
void fl_shard_unlisten(struct fl_shard_x *x);
void fl_shard_expire_all(struct fl_shard_x *x);
unsigned fl_shard_parked(const struct fl_shard_x *x);
void fl_listener_put(struct fl_listener *l);

/* Who waits for the answer to a question that came on a stream of its own (HTTP, gRPC, QUIC). Embedded in the transport's stream. */
struct fl_asker {
	/* the transport's */
	const struct fl_udp_way *way;   /* peer, local with info 4 or 6; borrowed until the answer */
	bool udp;                       /* metrics and logs call it "udp" (QUIC, HTTP/3), else "tcp" */
	/* Once, maybe before fl_query_stream() returns; not after fl_query_gone(). msg: for the call only; NULL: the question was dropped, nothing
	 * may be said. q: still whole; NULL: no chain saw it. */
	void (*answer)(struct fl_asker *a, const uint8_t *msg, size_t n, const struct fl_query *q);
	/* query.c's own */
	struct fl_block_q *block;
};
/* false: no message that may be asked (CoreDNS refuses such below DNS: status 400, a stream error), answer() will not come. */
bool fl_query_stream(struct fl_listener *l, struct fl_asker *a, const uint8_t *bytes, size_t n);
void fl_query_gone(struct fl_asker *a);         /* the stream is no more; harmless after the answer, and on a zeroed one */

/* query.c: packets → queries → answers */
void fl_query_udp(struct fl_listener *l, const struct fl_udp_in *in);
void fl_query_tcp(struct fl_conn *c, const uint8_t *bytes, size_t n);
void fl_query_conn_closed(struct fl_conn *c);
void fl_query_conn_room(struct fl_conn *c);
void fl_query_hooks(struct fl_shard_x *x);      /* fills sh's functions in */

/* explain.c: every link of the chain leads through a shim. 0, -ENOMEM */
int fl_trace_chain(struct fl_chain *c, struct fl_arena *a, const struct fl_trace *trace);

/* jobs.c */
int fl_job_start(struct fl_ticket t, int (*work)(void *arg), void *arg);
void fl_jobs_close(void);               /* waits until the helper has nothing in hand, of a shard's or of a generation's; takes no more */
void fl_jobs_open(void);

/* load.c */
void fl_load_retired(struct fl_server *s, struct fl_gen *g);    /* posted by a shard to the main loop */

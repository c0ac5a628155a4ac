/* upstream, inside: what its files share. */
#pragma once
#include "net/upstream.h"

enum { UP_BUCKETS = 64, UP_BUFFER = 2 * 65536 + 2, UP_SOFT = 512, UP_HARD = 4096, UP_PIPELINE = 64, UP_RANDOM = 256 };
enum up_phase { UP_DIAL, UP_WRITE, UP_READ };

struct fl_up_net {
	struct fl_loop *loop;
	struct fl_pool *pool;
	uint8_t *buffer;                /* UP_BUFFER */
	uint8_t random[UP_RANDOM];
	unsigned random_at;
	/* of the error that is being told */
	enum up_phase phase;
	struct sockaddr_in6 local;
};

/* A UDP socket or a TCP connection. A slot of its upstream: closed ones have fd -1. */
struct fl_up_sock {
	struct fl_io io;
	struct fl_timer timer;          /* its end */
	struct fl_upstream *up;
	bool tcp, connecting, retiring; /* retiring: takes no new questions, closes with its last one */
	unsigned uses, inflight;
	uint64_t serial;                /* moves when it is opened */
	struct fl_up_ask *bucket[UP_BUCKETS];
	/* TCP */
	struct fl_up_ask *unsent, **unsent_last;
	uint8_t *out; size_t out_at, out_n, out_size;   /* the rest of a message that was sent in part */
	uint8_t *in; size_t in_n, in_size;              /* an incomplete frame */
};

struct fl_upstream {
	struct fl_up_net *net;
	struct fl_up_conf conf;
	struct fl_up_stats stats;
	struct fl_up_sock *udp;         /* the one that takes questions now */
	struct fl_up_sock sock[FL_UP_SOCKETS], conn[FL_UP_CONNS];
};

/* upstream.c */
int fl_up_open(struct fl_up_sock *s, int type);         /* a non-blocking socket that connects; 0 or -errno; not in the loop yet */
void fl_up_close(struct fl_up_sock *s);                 /* nobody waits on it any more */
void fl_up_idle(struct fl_up_sock *s);                  /* a question left: what becomes of the socket? */
void fl_up_link(struct fl_up_sock *s, struct fl_up_ask *a);     /* gives it an ID that is free there */
void fl_up_unlink(struct fl_up_ask *a);
void fl_up_finish(struct fl_up_ask *a, int ret, const uint8_t *msg, size_t n);
void fl_up_tell(struct fl_up_sock *s, enum up_phase phase);     /* notes where an error happened, for fl_upstream_why() */
void fl_up_deliver(struct fl_up_sock *s, const uint8_t *msg, size_t n);
struct fl_up_ask *fl_up_find(struct fl_up_sock *s, uint16_t id);
/* All that wait on s, as a list of their own; s waits for nothing then. */
struct fl_up_ask *fl_up_take_all(struct fl_up_sock *s, struct fl_up_ask **list);

/* upstream_udp.c, upstream_tcp.c */
int fl_up_udp_ask(struct fl_upstream *u, struct fl_up_ask *a);
int fl_up_tcp_ask(struct fl_upstream *u, struct fl_up_ask *a, bool fresh);
void fl_up_tcp_forget(struct fl_up_sock *s, struct fl_up_ask *a);       /* out of the queue of unsent ones */
void fl_up_tcp_reset(struct fl_up_sock *s);                             /* gives pieces back */

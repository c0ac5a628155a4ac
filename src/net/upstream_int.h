/* upstream, inside: what its files share. */
#pragma once
#include "net/upstream.h"

enum { UP_BUCKETS = FL_BLOCK / sizeof(void *), UP_BUFFER = 2 * 65536 + 2, UP_SOFT = 512, UP_HARD = 4096, UP_RANDOM = 256, UP_WORDS = 192,
       UP_SENDS = 64, UP_READS = 16, UP_SLOT = 65536 + 64 };      /* odd in cache lines: slots do not share their places in a cache */
#define UP_SILENCE FL_SEC       /* on a connection with questions in flight: it may be dead */
enum up_phase { UP_DIAL, UP_WRITE, UP_READ };

/* How questions of a kind travel: upstream_udp.c, upstream_tcp.c (TLS too), upstream_h2.c (HTTPS, gRPC), upstream_quic.c. */
struct fl_up_way {
	/* 0, or -errno: it did not go out. a->again: on a new connection, the kept one had gone. */
	int (*ask)(struct fl_upstream *u, struct fl_up_ask *a);
	void (*leave)(struct fl_up_ask *a);             /* a, still linked with its socket or stream, will not wait any longer; may be NULL */
	void (*reset)(struct fl_up_sock *s);            /* s closes: what it holds beside its descriptor; may be NULL */
	void (*end)(struct fl_upstream *u);             /* the upstream is destroyed: what is not in sock[] or conn[]; may be NULL */
};

/* Of the error that is being told. */
struct up_told {
	enum up_phase phase;
	bool shaking;                   /* in a handshake of TLS */
	struct sockaddr_in6 local;
	char words[UP_WORDS];           /* of a -EPROTO */
};

struct fl_up_net {
	struct fl_loop *loop;
	struct fl_pool *pool;
	uint8_t *buffer;                /* UP_BUFFER */
	uint8_t random[UP_RANDOM];
	unsigned random_at;
	/* UDP: what one call sends, and where one reads to. The pages of a slot are there only when they are used. */
	struct mmsghdr out[UP_SENDS], in[UP_READS];
	struct iovec out_iov[UP_SENDS], in_iov[UP_READS];
	struct fl_up_ask *order[UP_SENDS];      /* those of out_iov */
	_Alignas(struct cmsghdr) uint8_t out_control[UP_SENDS][CMSG_SPACE(sizeof(uint16_t))];
	uint32_t bursts;                /* messages of several questions so far */
	uint8_t *slots;                 /* UP_READS of UP_SLOT */
	struct up_told told;
};

/* A UDP socket or a TCP connection. A slot of its upstream: closed ones have fd -1. */
struct fl_up_sock {
	struct fl_io io;
	struct fl_timer timer;          /* its end */
	struct fl_upstream *up;
	const struct fl_up_way *way;
	bool tcp, connecting, retiring; /* connecting: until the handshake of TLS is through; retiring: takes no new questions, closes
					 * with its last one */
	bool busy;                      /* under its own callbacks (HTTP/2): not to be closed now */
	unsigned uses, inflight;
	uint64_t serial;                /* moves when it is opened */
	uint64_t born_ns, heard_ns;
	uint64_t mute_ns;               /* the first question since something was heard; not behind heard_ns: none is waiting */
	struct fl_up_ask **bucket;      /* UP_BUCKETS, a piece of the pool while it is open */
	struct fl_tls *tls;
	void *h2;
	struct fl_up_ask *unsent, **unsent_last;
	struct fl_later later;          /* UDP: sends those */
	/* TCP */
	uint8_t *out; size_t out_at, out_n, out_size;   /* the rest of a message that was sent in part */
	uint8_t *in; size_t in_n, in_size;              /* an incomplete frame */
};

struct fl_upstream {
	struct fl_up_net *net;
	struct fl_up_conf conf;
	struct fl_up_stats stats;
	const struct fl_up_way *way;    /* NULL: UDP or TCP, as asked */
	void *own;                      /* of a way that has more than sockets */
	bool singly;                    /* UDP: the kernel sends no bursts there */
	struct fl_tls_past past;
	struct fl_up_sock *udp;         /* the one that takes questions now */
	struct fl_up_sock sock[FL_UP_SOCKETS], conn[FL_UP_CONNS];
};

/* upstream.c */
int fl_up_open(struct fl_up_sock *s, int type);         /* a non-blocking socket that connects; 0 or -errno; not in the loop yet */
void fl_up_close(struct fl_up_sock *s);                 /* nobody waits on it any more */
void fl_up_idle(struct fl_up_sock *s);                  /* a question left: what becomes of the socket? */
void fl_up_link(struct fl_up_sock *s, struct fl_up_ask *a);     /* gives it an ID that is free there */
void fl_up_link_stream(struct fl_up_sock *s, struct fl_up_ask *a, uint16_t id); /* one that needs no ID of its own */
void fl_up_unlink(struct fl_up_ask *a);
void fl_up_queue(struct fl_up_sock *s, struct fl_up_ask *a);    /* last of s->unsent */
void fl_up_unqueue(struct fl_up_sock *s, struct fl_up_ask *a);
void fl_up_finish(struct fl_up_ask *a, int ret, const uint8_t *msg, size_t n);
void fl_up_tell(struct fl_up_sock *s, enum up_phase phase);     /* notes where an error happened, for fl_upstream_why() */
void fl_up_words(struct fl_upstream *u, const char *fmt, ...) __attribute__((format(printf, 2, 3)));   /* what a -EPROTO means */
bool fl_up_worn(struct fl_up_sock *s);                  /* too old for another question: retires, and closes when nobody waits on it */
void fl_up_deliver(struct fl_up_sock *s, uint8_t *msg, size_t n);
/* A reply that came on a way where it cannot be another's: done() with it, or with -EPROTO when it is no answer. */
void fl_up_answer(struct fl_up_ask *a, uint8_t *msg, size_t n);
struct fl_up_ask *fl_up_find(struct fl_up_sock *s, uint16_t id);
/* All that wait on s, as a list of their own; s waits for nothing then. */
struct fl_up_ask *fl_up_take_all(struct fl_up_sock *s, struct fl_up_ask **list);

/* upstream_stream.c: bytes of a connection, with TLS where the upstream has credentials */
int fl_up_stream_open(struct fl_up_sock *s);            /* 0 or -errno; in the loop, connecting */
/* Drives what comes before the first byte: 0: open now; -EAGAIN: not yet; else it failed (-EPROTO with words). */
int fl_up_stream_step(struct fl_up_sock *s, const char *const *alpn);   /* DoT: no ALPN, as CoreDNS: servers refuse words they do not know */
ssize_t fl_up_stream_send(struct fl_up_sock *s, const void *p, size_t n);       /* bytes, or -errno; after -EAGAIN the same bytes again */
ssize_t fl_up_stream_recv(struct fl_up_sock *s, void *p, size_t n);             /* bytes, 0 at the end, or -errno */
void fl_up_stream_last(struct fl_up_sock *s);           /* what was fetched is to be read to its end, nothing more for now */
/* The connection ended with ret. What was asked on a kept one may just have come too late: once more, on a new one. */
void fl_up_stream_lost(struct fl_up_sock *s, int ret);

extern const struct fl_up_way fl_up_udp, fl_up_tcp, fl_up_h2, fl_up_quic;

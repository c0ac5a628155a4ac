/* udp: datagrams in batches: one recvmmsg() for what came, one sendmmsg() for what goes. A wildcard socket answers from the address that
 * was asked (packet info). Buffers belong to the shard and are shared by all its sockets. */
#pragma once
#include "base/str.h"
#include <netinet/in.h>
#include <sys/socket.h>

struct fl_pool;

enum { FL_UDP_BATCH = 64, FL_UDP_IN = 4096 };

/* A way back to a client: its address, and ours that it asked. */
struct fl_udp_way {
	union { struct sockaddr sa; struct sockaddr_in v4; struct sockaddr_in6 v6; } peer;
	union { struct in_addr v4; struct in6_addr v6; } local; /* only on wildcard sockets */
	uint32_t ifindex;
	uint8_t info;                   /* 0: bound socket; 4 or 6: local is set */
};

struct fl_udp_in { const uint8_t *bytes; size_t n; bool cut; struct fl_udp_way way; };

struct fl_udp;
struct fl_udp *fl_udp_create(void);             /* a shard's buffers; NULL with errno */
void fl_udp_destroy(struct fl_udp *u);

/* Takes what is there, at most FL_UDP_BATCH datagrams; how many, 0: none. They stay until the next call. */
int fl_udp_recv(struct fl_udp *u, int fd, bool wildcard, struct fl_udp_in **in);
/* Room to pack a datagram of at most n bytes into; flushes when the batch is full. Never NULL for n <= 65535. */
uint8_t *fl_udp_room(struct fl_udp *u, size_t n);
/* The first n bytes of that room go to `way` by fd with the next flush. */
void fl_udp_queue(struct fl_udp *u, int fd, const struct fl_udp_way *way, size_t n);
/* Sends all that is queued. What the socket does not take is lost, as UDP loses, and counted. */
void fl_udp_flush(struct fl_udp *u);
uint64_t fl_udp_lost(const struct fl_udp *u);

/* ---- sockets (main thread) ---- */

/* A bound socket, non-blocking, SO_REUSEPORT. host: "" is all addresses, of both families where the machine has IPv6; port decimal.
 * *wildcard: packet info is on. Descriptor, or -errno with Go's words in `what` ("listen udp 192.0.2.1:53: bind: cannot assign …"). */
int fl_listen_udp(struct fl_str host, const char *port, bool *wildcard, char *what, size_t cap);
int fl_listen_tcp(struct fl_str host, const char *port, char *what, size_t cap);
/* For programs that try a server out: a port that nobody has at the moment, for both transports, below those that the kernel gives to
 * sockets that connect. 0: none was found. */
uint16_t fl_free_port(void);
/* Fills sa from text; scope as %eth0 is understood. Length, or 0. */
socklen_t fl_sockaddr(struct sockaddr_in6 *sa, struct fl_str host, uint16_t port);

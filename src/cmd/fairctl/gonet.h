/* gonet: addresses, sockets and errors in the words of Go's net package, which agnhost prints and tests look for. Blocking, bounded by
 * the deadlines that are given; safe on any thread. */
#pragma once
#include "base/err.h"
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

struct go_addr { struct sockaddr_storage sa; socklen_t len; };
enum { GO_ADDRS = 16, GO_ADDR_TEXT = 64 };

/* "host:port", "[::1]:80". 0, or -EINVAL with Go's words ("address x: missing port in address"); spans into text. */
int go_split(struct fl_str text, struct fl_str *host, struct fl_str *port, struct fl_err *e);
/* Addresses of host:port for "tcp" or "udp" (sctp: tcp's services), IPv4 first; host "": the wildcard. How many, or -EINVAL with words. */
int go_resolve(const char *network, struct fl_str host, struct fl_str port, struct go_addr to[GO_ADDRS], struct fl_err *e);
void go_addr_text(char to[GO_ADDR_TEXT], const struct go_addr *a);      /* "127.0.0.1:80", "[::1]:80"; ":0" of none */
const char *go_errno(int err);          /* "connection refused" */
void go_quote(FILE *to, struct fl_str s);       /* as %q */
void go_json(FILE *to, struct fl_str s);        /* as encoding/json writes a string */
/* "strconv.Atoi: parsing \"q\": invalid syntax" in e. */
int go_atoi(struct fl_str s, int64_t *to, struct fl_err *e);

/* A connected socket. deadline_ns of CLOCK_MONOTONIC, 0: none. -errno; -ETIMEDOUT at the deadline. type: SOCK_STREAM or SOCK_DGRAM. */
int go_dial(const struct go_addr *a, int type, int protocol, uint64_t deadline_ns);
/* Sockets' own time limits to what is left until the deadline (0: none). */
void go_deadline(int fd, uint64_t deadline_ns);
/* A listening (or bound) socket on address ("" all, both families) and port. -errno. */
int go_listen(const char *address, unsigned port, int type, int protocol);

/* A line on standard error as Kubernetes' programs log it. */
void go_log(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void go_fatal(const char *fmt, ...) __attribute__((format(printf, 1, 2)));    /* the same, and exit status 1 */
const char *go_hostname(void);          /* the thread's own memory */

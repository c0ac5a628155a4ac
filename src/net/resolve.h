/* resolve: a host name to addresses without blocking the loop: getaddrinfo() runs on a short-lived thread of its own and rings an
 * eventfd. IP literals need no thread and no call of the resolver. The asker's thread is the loop's. */
#pragma once
#include "net/loop.h"
#include <netinet/in.h>

enum { FL_RESOLVE_MAX = 8 };
struct fl_addresses { struct sockaddr_in6 sa[FL_RESOLVE_MAX]; socklen_t len[FL_RESOLVE_MAX]; unsigned n; };

/* host is an IP literal: its address. */
bool fl_resolve_literal(struct fl_addresses *to, const char *host, uint16_t port);

struct fl_resolve;
/* Calls fn once, later, on the loop; n is 0 when there is no address, with the words in why ("no such host"). NULL when no thread
 * could be started. */
struct fl_resolve *fl_resolve(struct fl_loop *l, const char *host, uint16_t port,
	void (*fn)(void *arg, const struct fl_addresses *a, const char *why), void *arg);
/* Before fn ran: it will not. Never blocks. NULL is fine. */
void fl_resolve_cancel(struct fl_resolve *r);

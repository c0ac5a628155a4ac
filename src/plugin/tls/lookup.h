/* lookup: the address of a host by one certain resolver (option `resolver`), without blocking the loop. A, and AAAA when there is no A; TCP
 * when an answer is cut. Who needs the system's resolver has net/resolve. */
#pragma once
#include "dns/plugin.h"

struct fl_acme_lookup;
/* Calls fn once, later, on the loop; n 0: none, with Go's words in why. resolver: host (a name is asked of the system) and port. */
struct fl_acme_lookup *fl_acme_lookup(struct fl_loop *l, const char *resolver, uint16_t port, const char *host,
				      void (*fn)(void *arg, const struct fl_addr *a, unsigned n, const char *why), void *arg);
void fl_acme_lookup_destroy(struct fl_acme_lookup *k);  /* before fn ran: it will not; not from within it. NULL is fine */

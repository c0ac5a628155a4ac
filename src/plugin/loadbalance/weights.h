/* weights: the file of `loadbalance weighted`: a line with a name, then lines of an address and its weight (1..255), # comments.
 * A table is immutable: the main thread reads and publishes it, shards look things up. */
#pragma once
#include "base/err.h"
#include "wire/name.h"

struct fl_weights;

/* NULL with CoreDNS's words in e. malloc'd, one piece: free() it, also after a grace period. */
struct fl_weights *fl_weights_parse(struct fl_str text, const char *file, struct fl_err *e);
/* The weight of an address (4 or 16 octets) of a name in any letter case; 1 when the file says nothing. */
unsigned fl_weights_get(const struct fl_weights *w, struct fl_name owner, const uint8_t *addr, size_t n);
size_t fl_weights_bytes(const struct fl_weights *w);

/* rdata: what stands in the rdata of each type, as a string of letters, one a field. Packing, parsing, checking and text all walk
 * these strings, so that a type is one row of a table. Private to wire/.
 *
 *   c  name that a packer may compress (RFC 1035)      n  name that it may not
 *   1 2 4 6 8  integer of so many octets                U  seconds, 4 octets, text may have units (1h30m)
 *   A  IPv4 address   Q  IPv6 address                   T  a type, 2 octets   D  a time, 4 octets (RFC 4034)
 *   s  <character-string>   g  the same, bare in text   t  those to the end   o  the rest, as one string in text
 *   b  the rest, base64   h  the rest, hex   x  the rest, opaque
 *   H  one octet length and hex   C  the same, base32   L  two octets length and bytes
 *   B  bitmap of types (RFC 4034)   S  service parameters (RFC 9460)   O  EDNS options
 * A leading '!' says that it has no text of its own here (RFC 3597's serves). */
#pragma once
#include "wire/rrset.h"

/* Never NULL: "x" (with its '!' gone) for types that are not in the table. */
const char *fl_rdata_fields(uint16_t type);
bool fl_rdata_has_text(uint16_t type);
/* Octets of a field other than a name at p, of which n are left; -1 when it does not fit in or is wrong. */
int fl_rdata_field(char kind, const uint8_t *p, size_t n);
static inline bool rdata_is_name(char kind) { return kind == 'c' || kind == 'n'; }
/* The length of the uncompressed name at p, n bytes left; 0 when it is none. */
size_t fl_name_check(const uint8_t *p, size_t n);

/* Room for another record of at most n octets of rdata; NULL when memory is out. fl_rrset_done() says how many it was. */
uint8_t *fl_rrset_room(struct fl_rrset_maker *m, size_t n);
void fl_rrset_done(struct fl_rrset_maker *m, uint32_t ttl, size_t n);

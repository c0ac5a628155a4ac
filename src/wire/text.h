/* text: presentation form of records (RFC 1035 §5.1), for template answers, hosts tools and tests. Not for the fast path. */
#pragma once
#include "base/err.h"
#include "wire/rrset.h"

/* One record in zone-file form, as miekg/dns's NewRR reads it: "name [ttl] [class] type rdata"; ttl default 3600, class IN, names
 * relative to the root. Types: A AAAA CNAME NS PTR DNAME MX SRV TXT SPF SOA HINFO CAA NAPTR DS DNSKEY SVCB HTTPS TLSA SSHFP, and
 * any as \# n hex (RFC 3597). Result in the arena: owner and a set of one. 0; -EINVAL with the words in e; -ENOMEM. */
int fl_rr_parse(struct fl_arena *a, struct fl_str text, struct fl_name *owner, const struct fl_rrset **set, struct fl_err *e);
/* rdata of a record as text, e.g. "10 mail.example.org."; unknown types as \# n hex. Returns the length, cut at cap - 1,
 * NUL-terminated. */
size_t fl_rdata_text(char *to, size_t cap, uint16_t type, const uint8_t *rdata, size_t n);

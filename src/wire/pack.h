/* pack: items → bytes. Two ways with the same meaning: the fast one writes owners that are the client's question as a pointer to
 * it and everything else spelled out; when that does not fit, the slow one compresses all it may, and cuts at a record. */
#pragma once
#include "wire/message.h"

struct fl_pack {
	/* in; ttl_max of a zeroed item is 0: say UINT32_MAX. ede of a zeroed pack is a code: say -1 */
	uint16_t id, flags;             /* flags: the whole word but TC and rcode, QR included */
	uint8_t opcode;
	uint16_t rcode;                 /* extended: the upper bits go into OPT */
	struct fl_name qname;           /* the client's; items with owner.wire == qname.wire become pointers. len 0: no question */
	uint16_t qtype, qclass;
	const struct fl_item *item;     /* in any section order; packed answer, authority, additional, else in the given order */
	unsigned n;
	bool edns;                      /* add an OPT */
	uint16_t udp_size, edns_flags;  /* what it says, as it is (CoreDNS: the client's size, its flags & 0xff00) */
	const struct fl_edns *opt;      /* its options */
	int ede;                        /* RFC 8914 info code, -1: none; goes in as an option */
	const char *ede_text;           /* may be NULL */
	size_t room;                    /* bytes to leave free behind it (seal) */
	size_t tight_above;             /* longer: compressed though it would fit; 0: never. CoreDNS on UDP: 1480, on IPv6 1220 */
	uint16_t pad_to;                /* with an OPT: filled up to a multiple of so many octets (RFC 7830), as far as the limit allows; 0: not */
	/* out */
	uint16_t opt_len;               /* of the OPT, which is last, without padding */
	size_t full_len;                /* uncompressed, before OPT and truncation: what CoreDNS counts and logs */
	uint16_t flags_out;             /* with TC as sent */
	bool cut;                       /* TC was set because records were left out */
};

/* Writes at most `limit` bytes to `to`; returns the length. Truncation as CoreDNS: compress, drop records from the tail of
 * additional, then authority, then answer; OPT is kept and its room reserved; TC when anything was left out.
 * limit >= 512 (header, question and OPT always fit; EDE text is shortened or left out first). No allocation. */
size_t fl_pack(struct fl_pack *p, uint8_t *to, size_t limit);
/* The same, always the slow way (the property test compares the two). */
size_t fl_pack_slow(struct fl_pack *p, uint8_t *to, size_t limit);
/* A query for an upstream: question and OPT (when edns). Returns the length. */
size_t fl_pack_query(uint8_t *to, size_t cap, uint16_t id, uint16_t flags, struct fl_name qname, uint16_t qtype, uint16_t qclass,
		     bool edns, uint16_t udp_size, uint16_t edns_flags, const struct fl_edns *opt);

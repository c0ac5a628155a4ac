/* message: bytes from a stranger → a view of them, without copying, allocating or recursion. */
#pragma once
#include "wire/rrset.h"

enum { FL_HEADER = 12 };

/* A parsed request. Pointers go into the packet (options into `opts`). */
struct fl_request {
	uint16_t id, flags;             /* flags as they stand in octets 3 and 4 */
	uint8_t opcode;
	struct fl_name qname;           /* in the packet: a question is never compressed */
	uint16_t qtype, qclass;
	size_t question_end;            /* offset just behind the question */
	bool edns, dnssec_ok;
	uint8_t edns_version;
	uint16_t udp_size, edns_flags;  /* as the client wrote them; edns_flags holds DO and Z */
	const uint8_t *opt_data;        /* rdata of the last OPT */
	uint16_t opt_len;
	uint16_t tsig_at;               /* offset of a TSIG record, 0: none */
};

enum fl_parsed {
	FL_PARSED_OK,
	FL_PARSED_DROP,         /* shorter than a header, or a response: say nothing */
	FL_PARSED_NOTIMP,       /* opcode: 12 bytes, opcode kept, RD TC RA AD CD copied */
	FL_PARSED_FORMERR_BARE, /* section counts: 12 bytes, opcode QUERY */
	FL_PARSED_FORMERR,      /* does not unpack; with the question when question_end > 0, else 12 bytes */
	FL_PARSED_SERVFAIL,     /* counts a question, ends at the header: 12 bytes, rcode SERVFAIL (CoreDNS's oddity) */
	FL_PARSED_BADVERS,      /* EDNS version not 0: question kept, OPT version 0 size 0 */
};

/* What CoreDNS 1.15.0 accepts and how it refuses the rest, but that a compressed question is a FORMERR here. opcodes: bit mask of
 * those that some plugin answers (QUERY and NOTIFY always). Never reads past n. Fields of r are valid as far as the verdict says. */
enum fl_parsed fl_request_parse(struct fl_request *r, const uint8_t *msg, size_t n, uint16_t opcodes);
/* The option list of an OPT in the arena; NULL when there is none or memory is out. */
struct fl_edns *fl_edns_parse(struct fl_arena *a, const uint8_t *data, size_t n);

/* A whole response, e.g. an upstream's: items in an arena, names expanded, records grouped into sets (equal owner, type, class and
 * section that stand together), OPT apart. 0, -EBADMSG (does not unpack), -ENOMEM. Bounded: O(n) work, at most 128 pointer hops a
 * name. */
struct fl_message {
	uint16_t id, flags, rcode;      /* rcode with the extended bits */
	uint8_t opcode;
	struct fl_name qname;           /* len 0: no question */
	uint16_t qtype, qclass, qdcount;
	struct fl_item *item;
	uint16_t n;
	bool edns, dnssec_ok;
	uint8_t edns_version;
	uint16_t udp_size;
	struct fl_edns *opt;
	size_t end;                     /* bytes used; what follows is ignored */
};
int fl_message_parse(struct fl_message *m, struct fl_arena *a, const uint8_t *msg, size_t n);
/* Expands a possibly compressed name at offset *at into to (FL_NAME_MAX); *at moves behind it. Length, or -EBADMSG. */
int fl_name_expand(uint8_t *to, const uint8_t *msg, size_t n, size_t *at);

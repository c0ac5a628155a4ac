/* rrset: what an answer is made of before it is packed. Records of one type are kept packed without their owner, so that one set
 * serves every letter case, every rewrite and every TTL bound; a reply is a short list of {section, owner, set}. */
#pragma once
#include "wire/name.h"

enum fl_section { FL_ANSWER, FL_AUTHORITY, FL_ADDITIONAL };

/* Records of one type, packed without their owner. Immutable once someone else can see it. */
struct fl_rrset {
	uint16_t type, count;
	uint16_t stride;        /* bytes of each record when all are alike (addresses): a shuffle is a permutation; else 0 */
	uint32_t len;
	const uint8_t *data;    /* count x { type, class, ttl, rdlen, rdata }, network order, nothing compressed inside */
};

/* What an editor changes most needs no copy of records: owner, TTL bounds and order lie here. */
struct fl_item {
	struct fl_name owner;   /* .wire == the client's question: packs as a pointer to it, the client's letter case kept */
	const struct fl_rrset *set;
	uint32_t ttl_min, ttl_max;      /* seconds, applied when packing: 0 and UINT32_MAX leave it; the maximum wins */
	uint32_t shuffle;       /* seed of the permutation when packing; 0: as stored */
	uint16_t first;         /* after that, the record at this place and the foremost change places (weighted) */
	uint8_t section;
	bool shared;            /* owner or set is lent by another thread */
};

/* An EDNS option (RFC 6891 §6.1.2), a list. Arena or generation memory. */
struct fl_edns { uint16_t code, len; const uint8_t *data; struct fl_edns *next; };

enum {
	FL_T_A = 1, FL_T_NS = 2, FL_T_CNAME = 5, FL_T_SOA = 6, FL_T_PTR = 12, FL_T_HINFO = 13, FL_T_MX = 15, FL_T_TXT = 16,
	FL_T_AAAA = 28, FL_T_SRV = 33, FL_T_NAPTR = 35, FL_T_DNAME = 39, FL_T_OPT = 41, FL_T_DS = 43, FL_T_RRSIG = 46,
	FL_T_NSEC = 47, FL_T_DNSKEY = 48, FL_T_NSEC3 = 50, FL_T_SVCB = 64, FL_T_HTTPS = 65, FL_T_TSIG = 250, FL_T_IXFR = 251,
	FL_T_AXFR = 252, FL_T_ANY = 255, FL_T_CAA = 257,
};
enum { FL_C_IN = 1, FL_C_CH = 3, FL_C_HS = 4, FL_C_NONE = 254, FL_C_ANY = 255 };
enum {
	FL_NOERROR, FL_FORMERR, FL_SERVFAIL, FL_NXDOMAIN, FL_NOTIMP, FL_REFUSED, FL_YXDOMAIN, FL_YXRRSET, FL_NXRRSET, FL_NOTAUTH,
	FL_NOTZONE, FL_BADVERS = 16,
};
enum { FL_OP_QUERY = 0, FL_OP_NOTIFY = 4, FL_OP_UPDATE = 5 };
/* Header bits as they stand in octets 3 and 4. */
enum { FL_QR = 0x8000, FL_AA = 0x0400, FL_TC = 0x0200, FL_RD = 0x0100, FL_RA = 0x0080, FL_Z = 0x0040, FL_AD = 0x0020,
	FL_CD = 0x0010 };

static inline uint16_t fl_get16(const uint8_t *p) { return (uint16_t)(p[0] << 8 | p[1]); }
static inline uint32_t fl_get32(const uint8_t *p) { return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]; }
static inline void fl_put16(uint8_t *p, uint16_t v) { p[0] = (uint8_t)(v >> 8), p[1] = (uint8_t)v; }
static inline void fl_put32(uint8_t *p, uint32_t v) { fl_put16(p, (uint16_t)(v >> 16)), fl_put16(p + 2, (uint16_t)v); }

/* Walks the records of a set: for (struct fl_rr r = { 0 }; fl_rr_next(set, &r);) */
struct fl_rr { const uint8_t *at; uint16_t type, class, rdlen; uint32_t ttl; const uint8_t *rdata; };
static inline bool fl_rr_next(const struct fl_rrset *s, struct fl_rr *r)
{
	const uint8_t *p = r->at ? r->rdata + r->rdlen : s->data;
	if (p >= s->data + s->len)
		return false;
	*r = (struct fl_rr){ .at = p, .type = fl_get16(p), .class = fl_get16(p + 2), .ttl = fl_get32(p + 4), .rdlen = fl_get16(p + 8), .rdata = p + 10 };
	return true;
}

/* Builds a set of one type in an arena, record by record; the arena must not be used for other things in between. */
struct fl_rrset_maker { struct fl_arena *a; uint8_t *buf; size_t n, cap; uint16_t type, class, count, stride; bool failed; };
void fl_rrset_begin(struct fl_rrset_maker *m, struct fl_arena *a, uint16_t type, uint16_t class, size_t hint);
void fl_rrset_put(struct fl_rrset_maker *m, uint32_t ttl, const void *rdata, size_t n);
/* rdata in two parts (SRV head and target, MX head and name). */
void fl_rrset_put2(struct fl_rrset_maker *m, uint32_t ttl, const void *head, size_t nhead, const void *tail, size_t ntail);
const struct fl_rrset *fl_rrset_end(struct fl_rrset_maker *m);  /* NULL when memory ran out */
/* A set of one record. NULL: no memory. */
const struct fl_rrset *fl_rrset_one(struct fl_arena *a, uint16_t type, uint32_t ttl, const void *rdata, size_t n);

/* Where the domain names lie in the rdata of a type, for packing, parsing, rewriting and checking.
 * Calls fn(arg, offset, compressible) for each; compressible: RFC 1035 types, whose names a packer may compress (RFC 3597 §4).
 * Returns 0 or -EBADMSG when rdata is not what its type says. rdata is uncompressed. */
int fl_rdata_names(uint16_t type, const uint8_t *rdata, size_t n, void (*fn)(void *arg, size_t offset, bool compressible),
	void *arg);

const char *fl_type_name(uint16_t type);        /* "A"; NULL when it has none (TYPE65280) */
size_t fl_type_text(char to[16], uint16_t type);        /* "A" or "TYPE65280" */
bool fl_type_parse(struct fl_str text, uint16_t *type); /* upper case, also TYPEnnn */
const char *fl_class_name(uint16_t class);
size_t fl_class_text(char to[16], uint16_t class);
bool fl_class_parse(struct fl_str text, uint16_t *class);
const char *fl_rcode_name(uint16_t rcode);      /* as miekg/dns: NOERROR .. BADCOOKIE; NULL */
bool fl_rcode_parse(struct fl_str text, uint16_t *rcode);       /* upper case name */

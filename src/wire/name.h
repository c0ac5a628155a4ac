/* name: domain names in uncompressed wire form (RFC 1035 §3.1), letter case kept, compared with ASCII letters folded (RFC 4343).
 * Length labels are below 64 and so never letters: folding whole names byte by byte is safe. */
#pragma once
#include "base/mem.h"

enum { FL_NAME_MAX = 255, FL_LABEL_MAX = 63, FL_NAME_TEXT_MAX = 1024 };

/* Borrowed bytes; len counts the final 0. The root is { "\0", 1 }. len 0: no name. */
struct fl_name { const uint8_t *wire; uint8_t len; };

#define FL_ROOT ((struct fl_name){ (const uint8_t *)"", 1 })

bool fl_name_same(const uint8_t *a, const uint8_t *b, size_t n);
static inline bool fl_name_eq(struct fl_name a, struct fl_name b)
{
	return a.len == b.len && (a.wire == b.wire || fl_name_same(a.wire, b.wire, a.len));
}
/* Zone is n itself or an ancestor of it, at a label boundary. */
bool fl_name_under(struct fl_name n, struct fl_name zone);
unsigned fl_name_labels(struct fl_name n);              /* without the root: 0 for "." */
static inline struct fl_name fl_name_parent(struct fl_name n)  /* the root's is the root */
{
	unsigned label = n.len > 1 ? n.wire[0] + 1u : 0;
	return (struct fl_name){ n.wire + label, (uint8_t)(n.len - label) };
}
/* What is left of n when `labels` labels are taken from its front. */
struct fl_name fl_name_skip(struct fl_name n, unsigned labels);
/* Label i (0: leftmost), without its length byte; p NULL past the end. */
struct fl_str fl_name_label(struct fl_name n, unsigned i);
/* Canonical order (RFC 4034 §6.1): <0, 0, >0. */
int fl_name_cmp(struct fl_name a, struct fl_name b);
uint64_t fl_name_hash(struct fl_name n);                /* folded, keyed (base/rng) */
/* Copies, letters folded; to holds FL_NAME_MAX. Returns { to, n.len }. */
struct fl_name fl_name_lower(uint8_t *to, struct fl_name n);

/* Presentation form to wire, relative to nothing: "a.b" and "a.b." are the same; \. and \DDD understood. to holds FL_NAME_MAX.
 * Returns the length, or -EINVAL (empty or too long label, bad escape), -ENAMETOOLONG. "" is an error, "." the root. */
int fl_name_parse(uint8_t *to, struct fl_str text);
struct fl_name fl_name_parse_in(struct fl_arena *a, struct fl_str text);        /* len 0 when it is none or memory is out */
/* Wire to presentation with the final dot, as miekg/dns prints it (\DDD, \., \\ ...). Returns the length without the NUL; at most
 * FL_NAME_TEXT_MAX - 1. */
size_t fl_name_text(char *to, struct fl_name n);
struct fl_str fl_name_text_in(struct fl_arena *a, struct fl_name n);
/* front's labels, then zone. to holds FL_NAME_MAX. 0-length when too long. */
struct fl_name fl_name_join(uint8_t *to, struct fl_name front, struct fl_name zone);

/* ---- reverse names (RFC 1035 §3.5, RFC 3596 §2.5) ---- */
struct fl_addr { uint8_t b[16]; uint8_t len; };         /* len 4 or 16; 0: none */
struct fl_name fl_name_reverse(uint8_t *to, const struct fl_addr *a);           /* d.c.b.a.in-addr.arpa. or nibbles.ip6.arpa. */
/* Whole addresses only (4 labels, 32 nibbles); false otherwise. */
bool fl_name_unreverse(struct fl_name n, struct fl_addr *a);
bool fl_addr_parse(struct fl_str text, struct fl_addr *a);      /* as Go's net.ParseIP; ::ffff:1.2.3.4 is 4 bytes */
size_t fl_addr_text(char *to, const struct fl_addr *a);         /* canonical (RFC 5952); to holds 46 */
bool fl_addr_eq(const struct fl_addr *a, const struct fl_addr *b);
struct fl_net { struct fl_addr addr; uint8_t bits; };
bool fl_net_parse(struct fl_str text, struct fl_net *n);        /* CIDR only, host bits kept out */
bool fl_net_has(const struct fl_net *n, const struct fl_addr *a);       /* families differ: false */

/* rewrite: asks below for something else than the client asked, and turns the answer back. setup.c reads rules, query.c applies them on the
 * way down (edns0.c: to options, metadata.c: with labels), reply.c on the way up (cname.c: to aliases). Names are matched as text, in lower case with the final dot, as CoreDNS matches them. */
#pragma once
#include "dns/plugin.h"
#include "lang/regex.h"

enum rewrite_kind { REWRITE_NAME, REWRITE_TYPE, REWRITE_CLASS, REWRITE_TTL, REWRITE_RCODE, REWRITE_EDNS0, REWRITE_CNAME };
enum rewrite_match { MATCH_EXACT, MATCH_PREFIX, MATCH_SUFFIX, MATCH_SUBSTRING, MATCH_REGEX };

/* What is done to records on the way up. */
enum rewrite_edit { EDIT_REMAP, EDIT_SUFFIX, EDIT_REGEX_NAME, EDIT_REGEX_VALUE, EDIT_TTL, EDIT_RCODE, EDIT_CNAME };
struct rule;
struct edit {
	enum rewrite_edit kind;
	bool names, values;             /* REMAP, SUFFIX: of owners, of rdata */
	struct fl_str from, to;
	struct fl_regex *regex;
	uint32_t ttl_min, ttl_max;
	uint16_t rcode_from, rcode_to;
	const struct rule *rule;        /* CNAME */
	struct edit *next;
};

enum edns0_type { EDNS0_LOCAL, EDNS0_NSID, EDNS0_SUBNET };
enum edns0_action { EDNS0_SET, EDNS0_APPEND, EDNS0_REPLACE, EDNS0_UNSET };
struct edns0 {
	enum edns0_type type;
	enum edns0_action action;
	uint16_t code;
	int variable;                   /* which, -1: data as it is */
	struct fl_str data;             /* or a label of metadata */
	uint8_t v4, v6;                 /* subnet: bits that are told */
};

/* A piece of what a name becomes: text, a group of the pattern, or the value of a label. */
struct meta_part { struct fl_str text; bool label; int group; struct meta_part *next; };

struct rule {
	enum rewrite_kind kind;
	enum rewrite_match match;
	bool go_on;                     /* continue */
	bool auto_answer;
	struct fl_str from, to;
	struct fl_regex *regex;
	uint16_t num_from, num_to;      /* type, class */
	struct edns0 *edns0;
	struct meta_part *parts;        /* instead of `to` */
	struct edit *edits;             /* in the order of the rule */
	struct rule *next;
};

struct rewrite { struct rule *first; };

/* One query's: what was asked, and the edits that are due, last rule first. */
struct rewritten { struct fl_name qname; uint16_t qtype, qclass; struct fl_ask ask; struct edit *edits; };

int fl_rewrite_setup(struct fl_setup *s, void **inst);
void fl_rewrite_destroy(void *inst);
enum fl_verdict fl_rewrite_query(void *inst, struct fl_query *q);
enum fl_verdict fl_rewrite_reply(void *inst, struct fl_query *q);

/* setup.c: */
int fl_rewrite_match_of(struct fl_str word);    /* enum rewrite_match, -1 */
struct fl_str fl_rewrite_lower(struct fl_setup *s, struct fl_str text);
struct fl_str fl_rewrite_normalize(struct fl_setup *s, struct fl_str text);     /* lower case, with the final dot */
struct edit *fl_rewrite_edit_add(struct fl_setup *s, struct rule *r, enum rewrite_edit kind);
/* edns0.c: the rule's words; then 1: done to q->ask, 0: not this rule's, -ENOMEM. */
int fl_rewrite_edns0_setup(struct fl_setup *s, struct edns0 **out, const struct fl_str *arg, unsigned n);
int fl_rewrite_edns0(struct fl_query *q, const struct edns0 *e);
/* metadata.c; the second as fl_rewrite_fits(); -EINVAL: too long for any name. */
int fl_rewrite_meta_setup(struct fl_setup *s, struct rule *r, struct fl_str to);
int fl_rewrite_meta(struct fl_query *q, const struct rule *r, struct fl_str name, struct fl_str *to);
/* cname.c; the second from reply(), before anything is edited: 0, or -errno for fl_yield(). */
int fl_rewrite_cname_setup(struct fl_setup *s, struct rule *r, const struct fl_str *arg, unsigned n);
int fl_rewrite_cname(struct fl_query *q, const struct edit *edits);

/* 1: the rule's match fits name; a rule that gives names has the new one in *to. 0, -E2BIG, -ENOMEM. */
int fl_rewrite_fits(struct fl_query *q, const struct rule *r, struct fl_str name, struct fl_str *to);

/* to with {0} … replaced by what the pattern found in text; p NULL: no memory. 0: no match (*out is text), 1, -E2BIG. */
int fl_rewrite_groups(struct fl_query *q, const struct fl_regex *re, struct fl_str text, struct fl_str to, struct fl_str *out);

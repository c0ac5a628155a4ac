/* rewrite: asks below for something else than the client asked, and turns the answer back. setup.c reads rules, query.c applies them on the
 * way down, reply.c on the way up. Names are matched as text, in lower case with the final dot, as CoreDNS matches them. */
#pragma once
#include "dns/plugin.h"
#include "lang/regex.h"

enum rewrite_kind { REWRITE_NAME, REWRITE_TYPE, REWRITE_CLASS, REWRITE_TTL, REWRITE_RCODE };
enum rewrite_match { MATCH_EXACT, MATCH_PREFIX, MATCH_SUFFIX, MATCH_SUBSTRING, MATCH_REGEX };

/* What is done to records on the way up. */
enum rewrite_edit { EDIT_REMAP, EDIT_SUFFIX, EDIT_REGEX_NAME, EDIT_REGEX_VALUE, EDIT_TTL, EDIT_RCODE };
struct edit {
	enum rewrite_edit kind;
	bool names, values;             /* REMAP, SUFFIX: of owners, of rdata */
	struct fl_str from, to;
	struct fl_regex *regex;
	uint32_t ttl_min, ttl_max;
	uint16_t rcode_from, rcode_to;
	struct edit *next;
};

struct rule {
	enum rewrite_kind kind;
	enum rewrite_match match;
	bool go_on;                     /* continue */
	bool auto_answer;
	struct fl_str from, to;
	struct fl_regex *regex;
	uint16_t num_from, num_to;      /* type, class */
	struct edit *edits;             /* in the order of the rule */
	struct rule *next;
};

struct rewrite { struct rule *first; };

/* One query's: what was asked, and the edits that are due, last rule first. */
struct rewritten { struct fl_name qname; uint16_t qtype, qclass; struct edit *edits; };

int fl_rewrite_setup(struct fl_setup *s, void **inst);
void fl_rewrite_destroy(void *inst);
enum fl_verdict fl_rewrite_query(void *inst, struct fl_query *q);
enum fl_verdict fl_rewrite_reply(void *inst, struct fl_query *q);

/* to with {0} … replaced by what the pattern found in text; p NULL: no memory. 0: no match (*out is text), 1, -E2BIG. */
int fl_rewrite_groups(struct fl_query *q, const struct fl_regex *re, struct fl_str text, struct fl_str to, struct fl_str *out);

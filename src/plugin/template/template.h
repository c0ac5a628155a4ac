/* template: answers made from text. setup.c reads the directive, plan.c looks for records that need no text, world.c is what templates
 * and expressions see of a question, answer.c answers. Private to the plugin. */
#pragma once
#include "dns/expression.h"
#include "dns/plugin.h"
#include "lang/gotmpl.h"
#include "lang/regex.h"

enum { TEMPLATE_REGEXES = 32, TEMPLATE_TYPES = 24, TEMPLATE_VARS = 16, TEMPLATE_EXPRS = 16 };

/* What a part of a flat template is: numbered once, so that no name is compared for a query. */
enum { TAG_NONE, TAG_TEXT, TAG_NAME, TAG_ZONE, TAG_CLASS, TAG_TYPE, TAG_REMOTE, TAG_MATCH, TAG_GROUP };

/* A record of an answer. One without fields is parsed once. One whose owner is {{ .Name }}, whose TTL and type stand there, and whose
 * data is one word, is made without the text of a record: its data word alone is filled in and read. */
struct template_rr {
	struct fl_tmpl text;
	uint8_t section;
	struct fl_name owner;           /* literal ones that parse */
	const struct fl_rrset *set;
	bool planned;
	uint16_t type;
	uint32_t ttl;
	struct fl_str rest;             /* of part 1: where the data begins */
	struct template_rr *next;
};

struct template {
	struct fl_zones zones;
	uint16_t class, type, rcode;
	struct fl_regex *regex[TEMPLATE_REGEXES];       /* none: everything */
	unsigned nregex;
	struct fl_expr_name var[TEMPLATE_VARS]; unsigned nvar;
	struct fl_expr *varexpr[TEMPLATE_VARS], *expr[TEMPLATE_EXPRS]; unsigned nexpr;
	struct template_rr *rr;
	struct fl_fall fall;
	bool has_ede;
	uint16_t ede;
	struct fl_str ede_text;
	unsigned first_grid;            /* of its zones, in a chain's grids */
	struct template *next;
};

struct templates { struct template *first; unsigned ngrid; };

/* What a template sees of a question. On the stack of the one who answers: a query that parks is looked at anew. */
struct view {
	struct fl_expression ask;       /* first: functions of expressions get it */
	struct fl_query *q;
	const struct template *t;
	struct fl_str name;             /* lower case, with the final dot */
	struct fl_name wire;            /* the same */
	int zone;
	uint16_t class, type;           /* the template's, where the question says ANY */
	const struct fl_regex *regex;
	struct fl_expr_value *var;      /* as many as the template has */
	struct fl_regex_match match;
};

extern const struct fl_tmpl_world fl_template_world;
extern const struct fl_expr_fn fl_template_group;
/* 0, 1: it must be run (an error, or it is not there), -ENOMEM. */
int fl_template_part(struct view *v, const struct fl_tmpl_part *p, struct fl_str *out);

void fl_template_plan(struct template_rr *r);
/* 0 and the record; 1: it must be made from its text; -ENOMEM. */
int fl_template_planned(struct view *v, const struct template_rr *r, struct fl_name *owner, const struct fl_rrset **set);

int fl_template_setup(struct fl_setup *s, void **inst);
void fl_template_destroy(void *inst);
int fl_template_chain(void *inst, struct fl_chain *c, struct fl_arena *a, void **mine);
int fl_template_shard_start(void *inst, struct fl_shard *sh, void **local);
void fl_template_shard_stop(void *inst, struct fl_shard *sh, void *local);
enum fl_verdict fl_template_query(void *inst, struct fl_query *q);

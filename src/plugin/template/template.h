/* template: answers made from text. setup.c reads the directive, answer.c answers. Private to the plugin. */
#pragma once
#include "dns/plugin.h"
#include "lang/gotmpl.h"
#include "lang/regex.h"

enum { TEMPLATE_REGEXES = 32, TEMPLATE_TYPES = 24 };

/* A record of an answer; one without fields is parsed once. */
struct template_rr {
	struct fl_tmpl text;
	struct fl_str source;           /* as written: a label of the failure counters */
	uint8_t section;
	struct fl_name owner;           /* literal ones that parse */
	const struct fl_rrset *set;
	struct template_rr *next;
};

struct template {
	struct fl_zones zones;
	uint16_t class, type, rcode;
	struct fl_regex *regex[TEMPLATE_REGEXES];       /* none: everything */
	unsigned nregex;
	struct template_rr *rr;
	struct fl_fall fall;
	bool has_ede;
	uint16_t ede;
	struct fl_str ede_text;
	unsigned first_grid;            /* of its zones, in a chain's grids */
	struct template *next;
};

struct templates { struct template *first; unsigned ngrid; };

int fl_template_setup(struct fl_setup *s, void **inst);
void fl_template_destroy(void *inst);
int fl_template_chain(void *inst, struct fl_chain *c, struct fl_arena *a, void **mine);
int fl_template_shard_start(void *inst, struct fl_shard *sh, void **local);
void fl_template_shard_stop(void *inst, struct fl_shard *sh, void *local);
enum fl_verdict fl_template_query(void *inst, struct fl_query *q);

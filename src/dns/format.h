/* format: texts with placeholders for what a query says, as log and dnstap have them (CoreDNS plugin/pkg/replacer): {name}, {>do},
 * {/kubernetes/service}. Parsed once to a list of literals and labels. Shards put, into lines that the caller owns; what does not fit is cut. */
#pragma once
#include "dns/plugin.h"

enum fl_format_what {
	FL_F_LITERAL, FL_F_META, FL_F_TYPE, FL_F_NAME, FL_F_CLASS, FL_F_PROTO, FL_F_SIZE, FL_F_REMOTE, FL_F_PORT, FL_F_LOCAL, FL_F_ID,
	FL_F_OPCODE, FL_F_DO, FL_F_BUFSIZE, FL_F_RCODE, FL_F_RSIZE, FL_F_DURATION, FL_F_RFLAGS,
};

struct fl_format_node { enum fl_format_what what; struct fl_str text; };
struct fl_format { struct fl_format_node *node; unsigned n; };
struct fl_line { char *p; size_t n, cap; };

int fl_format_parse(struct fl_arena *a, struct fl_str text, struct fl_format *f);       /* 0, -ENOMEM; text is borrowed */
/* s NULL: before the answer, and what only an answer tells is "-". */
void fl_format_put(struct fl_line *o, const struct fl_format *f, struct fl_query *q, const struct fl_sent *s);
void fl_format_one(struct fl_line *o, enum fl_format_what what, struct fl_query *q, const struct fl_sent *s);   /* neither literal nor meta */
void fl_line_put(struct fl_line *o, const char *p, size_t n);

/* checking: what a Corefile says, for check and diff. Pure but for reading it; texts in the arena or in the conf. */
#pragma once
#include "cmd/fairctl/ctl.h"
#include "conf/conf.h"
#include "pod/resolv.h"

/* Reads and parses; NULL with CoreDNS's words in e, or those of the file. Lives as long as the process. */
struct fl_conf *ck_read(struct fl_arena *a, const char *path, struct fl_err *e);

/* A directive in plain form: its arguments, and each line of its block; a directive that stands twice is two. */
struct ck_directive { struct fl_str name; struct fl_words args, lines; int line; };
struct ck_block { struct fl_words keys, zones; int line; struct ck_directive *dir; unsigned ndir; };     /* keys: "dns://cluster.local.:53" */
struct ck_conf { const char *path; struct ck_block *block; unsigned nblock; };

void ck_look(struct fl_arena *a, const struct fl_conf *c, struct ck_conf *to);
/* First word of a line. */
struct fl_str ck_word(struct fl_str line, struct fl_str *rest);

struct ck_advice { int line; const char *rule; struct fl_str words, fix; };
enum { CK_ADVICE = 128 };
struct ck_list { struct ck_advice at[CK_ADVICE]; unsigned n; };
void ck_advise(struct fl_arena *a, const struct ck_conf *c, struct ck_list *to);
/* What a directive of this name has to do with: "where names go that nobody here knows"; never NULL. */
const char *ck_effect(struct fl_str directive);

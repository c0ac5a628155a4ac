/* regex: Go's regular expressions (RE2 syntax), as Corefiles are full of them, run by PCRE2.
 *
 * The gate walks a pattern and lets through what Go takes, rewritten where the two mean different things (\v, \s, octal escapes, a
 * brace that is no repeat); what only PCRE2 has (look-around, back-references, atomic groups, possessive repeats, recursion, \Z \h \C
 * \K \R …) is an error in Go's words. Both take the leftmost match, earlier alternatives first.
 *
 * RE2 never backtracks, PCRE2 does: a match that needs more than FL_REGEX_STEPS steps is given up with -E2BIG, and what the caller was
 * about to decide should fail rather than go on as if nothing had matched.
 *
 * A compiled expression is read-only and may be used by every shard; matching needs a scratch of the shard's own, made once: no malloc
 * after that. */
#pragma once
#include "base/err.h"

enum { FL_REGEX_MAX = 10000, FL_REGEX_GROUPS = 99, FL_REGEX_STEPS = 10000, FL_REGEX_REPEAT = 1000 };

struct fl_regex;
struct fl_regex_scratch;

/* malloc'd; NULL with "error parsing regexp: …: `…`" in e. */
struct fl_regex *fl_regex_compile(struct fl_str pattern, struct fl_err *e);
void fl_regex_free(struct fl_regex *r);                                         /* NULL is fine */
unsigned fl_regex_groups(const struct fl_regex *r);                             /* without the whole match */
int fl_regex_group(const struct fl_regex *r, struct fl_str name);               /* its number, -1 */
const char *fl_regex_group_name(const struct fl_regex *r, unsigned group);      /* NULL: it has none */
const char *fl_regex_text(const struct fl_regex *r);                            /* as it was written */

/* For one thread; expressions of up to `groups` groups. NULL: no memory. */
struct fl_regex_scratch *fl_regex_scratch_create(unsigned groups);
void fl_regex_scratch_free(struct fl_regex_scratch *s);                         /* NULL is fine */

/* group[0] is the whole; p NULL: the group took no part. Points into the subject. */
struct fl_regex_match { unsigned n; struct fl_str group[FL_REGEX_GROUPS + 1]; };

/* 1 and *m (may be NULL), 0, or -E2BIG: too much work. The first match anywhere in the subject. */
int fl_regex_match(const struct fl_regex *r, struct fl_regex_scratch *s, struct fl_str subject, struct fl_regex_match *m);

/* The gate alone: pattern as PCRE2 shall read it, malloc'd with its length in *n; NULL with the words in e. */
char *fl_regex_translate(struct fl_str pattern, size_t *n, struct fl_err *e);

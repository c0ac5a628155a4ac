/* tree: the text of a Corefile as statements, to be changed and printed again with its comments; for `fairctl translate`. The parser
 * (conf.h) reads what counts and checks it; this one keeps what was written: words with their quotes, environment references and
 * imports as they are. It knows no directive but `import`.
 *
 *   # above
 *   word word { # beside         A statement without a brace ends with its line (in the top row a comma goes on).
 *       child
 *       # end
 *   }
 *
 * All lies in the caller's arena; words and comments are spans of the text, which must live as long. One thread. */
#pragma once
#include "base/err.h"
#include "base/mem.h"

enum { FL_TREE_DEPTH = 16 };

struct fl_stmt {
	struct fl_str *word; unsigned nword;
	int line;                       /* of its first word; 0: made here */
	bool braces;
	struct fl_str above, beside, end;       /* comments, from '#'; above and end: lines */
	struct fl_stmt *child, *next;
};

/* The top row becomes root's children. A file of one server block without braces gets them. 0; -EINVAL with words in e and their line. */
int fl_tree_parse(struct fl_arena *a, struct fl_str text, struct fl_stmt *root, int *line, struct fl_err *e);
/* Four blanks a level, an empty line between blocks. p NULL when the arena is full. */
struct fl_str fl_tree_text(struct fl_arena *a, const struct fl_stmt *root);

/* Word i, without quotes around it; "" past the end. */
struct fl_str fl_stmt_word(const struct fl_stmt *s, unsigned i);
bool fl_stmt_is(const struct fl_stmt *s, const char *name);             /* its first word */
struct fl_stmt *fl_stmt_find(const struct fl_stmt *parent, const char *name);
/* A new one of the words in text, which are separated by blanks; behind parent's last child when there is a parent. NULL: no memory. */
struct fl_stmt *fl_stmt_add(struct fl_arena *a, struct fl_stmt *parent, const char *text);
/* Takes it out; comments above it go to what follows. */
void fl_stmt_drop(struct fl_arena *a, struct fl_stmt *parent, struct fl_stmt *s);
bool fl_stmt_is_snippet(const struct fl_stmt *s);                       /* "(name)" */

/* conf, inside: what lexer, parser and import share.
 *
 * The tokens of the main file form a list. An import takes its own two tokens out and puts the imported ones in their place,
 * so the parser never recurses: the list and the place in it (`at`) are all its state. CoreDNS's parser does the same on an
 * array, and where its cursor may stand decides several messages, hence the two sentinels: `head` is its cursor -1, `tail` its
 * cursor behind the end.
 *
 * Everything is bounded: tokens, bytes, files, and the work of env references, all over one parse. Past a bound the parse fails
 * with a message; CoreDNS would go on until the memory ends. */
#pragma once
#include "conf/conf.h"

enum {
	FL_CONF_TOKENS_MAX = 1000000,           /* in all, imported ones counted each time */
	FL_CONF_FILE_MAX = 32 << 20,            /* bytes of one file */
	FL_CONF_ARENA_MAX = 512 << 20,
	FL_CONF_ENV_WORK_MAX = 256 << 20,       /* bytes read and written while replacing env references */
	FL_CONF_SNIPPETS_MAX = 10000,           /* uses of snippets, as in CoreDNS (caddyfile/parse.go) */
	FL_CONF_FILES_MAX = 100000,             /* imports of files, likewise */
};

/* ---- buf: bytes that grow; malloc ---- */

struct fl_conf_buf { char *p; size_t n, cap; };
void fl_conf_buf_add(struct fl_conf_buf *b, const char *p, size_t n);
void fl_conf_buf_finish(struct fl_conf_buf *b);

/* ---- map: string → value; keys borrowed. Emptied in O(1), for the names of one block after another ---- */

struct fl_conf_slot { struct fl_str key; void *value; unsigned round; };
struct fl_conf_map { struct fl_conf_slot *slot; size_t n, cap; unsigned round; };
/* Where key's value is; a new key's is NULL, and the caller must set it before the next call. */
void **fl_conf_map_at(struct fl_conf_map *m, struct fl_str key);
void *fl_conf_map_get(const struct fl_conf_map *m, struct fl_str key);
void fl_conf_map_clear(struct fl_conf_map *m);
void fl_conf_map_finish(struct fl_conf_map *m);

/* ---- lexer ---- */

struct fl_lexer { const char *p, *end; int line; struct fl_conf_buf buf; };
void fl_lexer_init(struct fl_lexer *l, struct fl_str text);     /* text borrowed */
void fl_lexer_finish(struct fl_lexer *l);
/* The next token: its text in buf and its line. false at the end. */
bool fl_lexer_next(struct fl_lexer *l, int *line);

/* Decodes the UTF-8 rune at p; what is none counts as U+FFFD of one byte, as Go does. Returns its bytes, at least 1. */
unsigned fl_conf_rune(const char *p, const char *end, uint32_t *rune);
bool fl_conf_rune_is_space(uint32_t rune);
/* s as Go's %q prints it, into to (cut at cap - 1, NUL-terminated); returns to. */
const char *fl_conf_quote(char *to, size_t cap, struct fl_str s);

/* ---- parser ---- */

struct fl_node { struct fl_node *prev, *next; struct fl_token t; };
struct fl_snippet { struct fl_token *tok; unsigned ntok; };

struct fl_parser {
	struct fl_conf *c;
	struct fl_err *e;
	const char *base;                       /* absolute and clean */
	const char *const *known;
	struct fl_node head, tail, *at;
	unsigned ntokens, snippets_used, files_used, cap_block, cap_source, cap_warning;
	size_t env_work;
	struct fl_conf_map snippets, files, sources;    /* files: by path as opened → struct fl_snippet */
	struct fl_conf_buf env;                 /* scratch of env.c */

	/* the block at hand */
	struct fl_token *key;
	unsigned nkey, cap_key;
	struct fl_conf_map names;               /* of its directives → index + 1 */
	struct fl_directive *dir;               /* malloc; reused by the next block */
	unsigned *cap_tok, ndir, cap_dir;       /* malloc; cap_tok: for each of dir */
};

int fl_parser_err(struct fl_parser *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int fl_parser_too_large(struct fl_parser *p);
bool fl_parser_next_arg(struct fl_parser *p);
/* A copy of t goes into the list before `before`. */
int fl_parser_insert(struct fl_parser *p, struct fl_node *before, const struct fl_token *t);
/* Room for one more behind n elements of size: the array, moved when it had to grow; NULL at the arena's limit. */
void *fl_conf_grow(struct fl_arena *a, void *array, unsigned n, unsigned *cap, size_t size);
/* Lexes text; tokens in the arena. file: for the tokens. */
int fl_parser_lex(struct fl_parser *p, struct fl_str text, struct fl_str file, struct fl_snippet *out);
/* At an import token: replaces it and its argument by what they stand for. `at` is then on what follows. */
int fl_parser_import(struct fl_parser *p);
/* s with its env references replaced; s itself when there are none. */
int fl_parser_env(struct fl_parser *p, struct fl_str s, struct fl_str *out);
int fl_conf_hash(struct fl_conf *c, struct fl_err *e);

/* ---- files ---- */

/* Lexically clean absolute path of s, which starts from dir unless it is absolute; p NULL when the arena is full. */
struct fl_str fl_path_join(struct fl_arena *a, struct fl_str dir, struct fl_str s);
struct fl_str fl_path_dir(struct fl_str path);          /* of a clean absolute path; a part of it */
/* What Go's filepath.Glob finds for an absolute pattern with at most one * and one ?, in its order. 0, -EINVAL (no pattern),
 * -ENOMEM. */
int fl_path_glob(struct fl_arena *a, struct fl_str pattern, struct fl_str **out, unsigned *nout);
/* The rest of fd, malloc'd. 0 or -errno; -EFBIG past FL_CONF_FILE_MAX. Waits at most wait_ms for each read (-1: for ever). */
int fl_path_slurp(int fd, int wait_ms, struct fl_conf_buf *out);

/* conf: Corefile text → server blocks of tokens, as CoreDNS's Caddy fork reads it (facts: coredns-core.md §1). Knows no plugin: the
 * list of directive names comes from the caller.
 *
 * Everything lies in the conf's own arena and lives until fl_conf_finish(). Main thread. */
#pragma once
#include "base/duration.h"
#include "base/mem.h"

struct fl_token {
	struct fl_str text;     /* env references replaced; NUL-terminated */
	struct fl_str raw;      /* as lexed (first token of a directive enters the hash unreplaced) */
	struct fl_str file;     /* "" for the main file, else the absolute path; messages print the main file's name as given */
	int line;               /* of its first rune, from 1 */
	bool is_name;           /* the first token of a directive */
};

struct fl_directive { struct fl_str name; struct fl_token *tok; unsigned ntok; };       /* all tokens of that name in the block, name tokens
											 * included, concatenated in file order */
struct fl_conf_block {
	struct fl_token *key; unsigned nkey;            /* as written */
	struct fl_directive *dir; unsigned ndir;        /* one per name, in order of first appearance */
};

/* A file or glob that the configuration was read from: what a watcher must follow. */
struct fl_conf_source { struct fl_str path; bool glob; };

struct fl_conf {
	struct fl_arena arena;
	const char *file;               /* name for messages, as given on the command line */
	struct fl_conf_block *block; unsigned nblock;
	struct fl_conf_source *source; unsigned nsource;
	struct fl_str *warning; unsigned nwarning;      /* "No files matching import glob pattern: …" and the like, to be logged as [WARNING] */
	char sha512[129];               /* hex of CoreDNS's JSON of the blocks (facts §2.4) */
};

/* Parses text. known: directive names, NULL-terminated, for "Unknown directive". base: the folder that relative imports of the main
 * file start from. 0 or -EINVAL with CoreDNS's words in e ("Corefile:3 - Error during parsing: …"). c is zeroed first; finish it
 * in both cases. An empty file, or one of snippets only, gives 0 blocks. */
int fl_conf_parse(struct fl_conf *c, const char *file, struct fl_str text, const char *base, const char *const *known, struct fl_err *e);
/* Reads a whole file (or standard input for "-" and "stdin") into the arena. 0 or -errno. */
int fl_conf_read(struct fl_arena *a, const char *path, struct fl_str *text);
void fl_conf_finish(struct fl_conf *c);

/* ---- keys ---- */

struct fl_key {
	struct fl_str zone;     /* lower case, with the final dot, presentation form */
	const char *scheme;     /* "dns", "tls", "quic", "grpc", "https", "https3", "unix" */
	char port[8];
};

/* One key of a block → one key, or several for a CIDR off an octet or nibble boundary. default_port: of -dns.port, for dns:// without
 * one. Result in the arena. 0 or -EINVAL with CoreDNS's words. */
int fl_key_parse(struct fl_arena *a, struct fl_str key, const char *default_port, struct fl_key **out, unsigned *nout, struct fl_err *e);
/* A zone argument of a plugin (normalize.Host.NormalizeExact): zone names with the final dot, lower case; a CIDR gives its reverse zones.
 * 0 names: not a name (CoreDNS drops such silently). */
unsigned fl_zone_parse(struct fl_arena *a, struct fl_str arg, struct fl_str **out);
/* ^(([A-Za-z]([A-Za-z0-9-]*[A-Za-z0-9])?)\.)+$; the root and reverse zones are fine too. */
bool fl_zone_is_preferred(struct fl_str zone);
/* What CoreDNS accepts and a person did not mean, in words with file:line, for -check and start-up warnings: a stray brace as a key, an
 * unknown scheme, a port that is none. NULL: nothing odd. */
const char *fl_key_accident(struct fl_arena *a, const struct fl_conf *c, const struct fl_token *key);

/* ---- the tokens of one directive (caddyfile.Dispenser) ---- */

struct fl_disp {
	const struct fl_conf *conf;
	const struct fl_token *tok;
	int n, at, nesting;     /* at: -1 before the first */
	struct fl_err *err;
};

void fl_disp_init(struct fl_disp *d, const struct fl_conf *c, const struct fl_directive *dir, struct fl_err *e);
bool fl_disp_next(struct fl_disp *d);           /* to the next token */
bool fl_disp_next_arg(struct fl_disp *d);       /* to the next token of the same line */
bool fl_disp_next_line(struct fl_disp *d);      /* to the next token, if on another line */
/* To the next line inside a block: use as while (fl_disp_next_block(d)) { property = fl_disp_val(d); … }. Opens the block at first. */
bool fl_disp_next_block(struct fl_disp *d);
struct fl_str fl_disp_val(const struct fl_disp *d);     /* "" before the first */
/* The remaining arguments of this line (stops before '{'); *out in the conf's arena. Returns how many. */
unsigned fl_disp_args(struct fl_disp *d, struct fl_str **out);
const char *fl_disp_file(const struct fl_disp *d);
int fl_disp_line(const struct fl_disp *d);
/* "FILE:LINE - Error during parsing: MSG"; returns -EINVAL. */
int fl_disp_err(struct fl_disp *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int fl_disp_arg_err(struct fl_disp *d);         /* "Wrong argument count or unexpected line ending after 'TOK'", or the one for '{' */
int fl_disp_syntax_err(struct fl_disp *d, const char *expected);        /* "FILE:LINE - Syntax error: Unexpected token 'TOK', expecting 'X'" */

/* ---- values ---- */

/* Go's strconv.Atoi with its words: `strconv.Atoi: parsing "abc": invalid syntax`. */
int fl_atoi(struct fl_str s, int64_t *out, struct fl_err *e);

/* Grammar of a directive as data, for tools/docopt and the man page: each option once. */
struct fl_opt {
	const char *name;       /* "" describes the directive's own arguments; NULL ends the table */
	const char *args;       /* "DURATION", "[ZONE...]" */
	const char *help;
};

/* ctl: the frame of fairctl's commands. A command is one file NAME.c here that defines `const struct ctl_command ctl_NAME`, one line in
 * commands.h, and man/cmd/fairctl-NAME.1.md. Usage, checks of flags, completion and help come from its table of flags.
 *
 *   main() → which command → ctl_parse() → [alarm] → command's main(c) → what it printed is flushed → exit status
 *
 * Exit status: 0; 1: it did not work (a file, a server, a name), said on standard error; 2: wrong flags, with the usage.
 * No command waits for ever: after `limit_s` the frame ends it, with a message and 1. Commands that serve have no limit.
 * One thread, one command a process: memory need not be freed, but what grows with the input should be. */
#pragma once
#include "base/err.h"
#include "base/mem.h"
#include <cjson/cJSON.h>

struct ctl;

struct ctl_flag {
	const char *name;               /* without dashes; "output" belongs to the frame */
	const char *arg;                /* what it takes, for the usage: "FILE", "ADDR[,ADDR]"; NULL: a switch */
	const char *help;
	const char *values;             /* "tcp|udp": only these; "@file", "@dir": completed so; "@time": a duration; NULL: any text */
	const char *initial;            /* NULL: none */
};

struct ctl_command {
	const char *name, *about;       /* about: one line, no full stop */
	const char *args;               /* behind the flags, for the usage: "NAME [TYPE]"; NULL: none */
	unsigned min, max;              /* how many of them */
	const struct ctl_flag *flag;    /* ends with one without name; NULL: none */
	bool json;                      /* it prints data: takes --output text|json */
	bool serves;                    /* runs until a signal ends it */
	bool agnhost;                   /* agnhost has it too, and it acts so: errors in Go's words */
	bool raw;                       /* flags are its own affair: gets all arguments as they are */
	unsigned limit_s;               /* 0: 60 */
	int (*main)(struct ctl *c);
};

enum { CTL_FLAGS_MAX = 64 };
struct ctl {
	const struct ctl_command *cmd;
	const char *program;            /* "fairctl" or "agnhost" */
	bool agnhost;                   /* called as agnhost */
	bool json;
	char **arg;                     /* NULL ends */
	unsigned narg;
	struct { const char *name, *value; } given[CTL_FLAGS_MAX];      /* in the order of the command line */
	unsigned ngiven;
};

/* ---- flags; name must be in the command's table ---- */

const char *ctl_text(const struct ctl *c, const char *flag);    /* the last one given, else the initial value; NULL: neither */
bool ctl_given(const struct ctl *c, const char *flag);
bool ctl_on(const struct ctl *c, const char *flag);             /* a switch: --x, --x=true, --x=false */
/* Those of a flag that may be repeated: i from 0; NULL past the last. No initial value here. */
const char *ctl_nth(const struct ctl *c, const char *flag, unsigned i);
/* A whole number within bounds; else complains and returns the status to end with (2), 0 when it is right. */
int ctl_int(const struct ctl *c, const char *flag, int64_t min, int64_t max, int64_t *to);
/* A duration as Go writes it ("1m30s"), or seconds ("5"); likewise. */
int ctl_time(const struct ctl *c, const char *flag, int64_t *ns);

/* ---- words on standard error; they return the status to end with ---- */

int ctl_fail(const struct ctl *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));          /* 1 */
int ctl_misuse(const struct ctl *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));        /* 2, with the usage */
void ctl_warn(const struct ctl *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));         /* "warning: …" */

/* ---- input and output ---- */

/* A copy in the arena of a text that ctl_read() gave, which is freed. */
struct fl_str ctl_keep(struct fl_arena *a, struct fl_str text);
/* The whole file ("-": standard input) of at most 64 MiB; free() text.p. 0, or 1 after "open PATH: no such file or directory". */
int ctl_read(const struct ctl *c, const char *path, struct fl_str *text);
/* Every document of a YAML or JSON text, List kinds unrolled, as trees for the call; non-zero from fn stops with that. 0, fn's, or 1
 * after "PATH:LINE: yaml: …". */
int ctl_documents(const struct ctl *c, const char *path, int (*fn)(void *arg, const cJSON *tree, int line), void *arg);
/* The same of a text that was read already; path is for the words. */
int ctl_documents_of(const struct ctl *c, const char *path, struct fl_str text, int (*fn)(void *arg, const cJSON *tree, int line), void *arg);
/* Prints the tree, indented, with a newline, and deletes it. 0, or 1 without memory. */
int ctl_print(const struct ctl *c, cJSON *tree);
cJSON *ctl_json_str(struct fl_str s);           /* a text that need not end in NUL; bytes that are no UTF-8 become U+FFFD */
/* The frame ends the program so many seconds from now instead. 0: never. */
void ctl_limit(unsigned seconds);

/* ---- the frame's own ---- */

int ctl_parse(struct ctl *c, int argc, char **argv);            /* arguments behind the command's name; -1: go on; else the status */
void ctl_usage(const struct ctl *c, int fd);

/* migrate: a Corefile of an older CoreDNS → one that a newer takes, with a note for each thing that changed; what kubeadm does with
 * github.com/coredns/corefile-migration, by the rules of its version 1.0.36. Where we differ (doc/compat.md): comments are kept, what was
 * gone before `from` goes too, and accidents of that library are not repeated.
 *
 * Works on the tree (conf/tree.h), in place. One thread. */
#pragma once
#include "conf/tree.h"

#define FL_MIGRATE_NOW "1.15.0"

struct fl_migrate_note {
	int line;
	const char *severity;           /* "deprecated", "ignored", "removed", "newdefault", "unsupported" */
	struct fl_str plugin, option;   /* option "": the plugin itself */
	const char *version;
	const char *by;                 /* what replaces it; NULL: nothing */
	const char *text;               /* all of it in words, lent for the call */
};

struct fl_migrate {
	const char *from, *to;          /* "1.9.4"; from NULL: guessed; to NULL: FL_MIGRATE_NOW */
	bool deprecated;                /* change what is deprecated only, too */
	const char *const *known;       /* names of today's directives, NULL-terminated; NULL: not asked */
	void (*note)(void *arg, const struct fl_migrate_note *n);
	void *arg;
	char guessed[16];               /* out: what from was taken to be */
};

/* 0; -EINVAL with words in e, and the line they are about (0: none). */
int fl_migrate(struct fl_arena *a, struct fl_migrate *m, struct fl_stmt *root, int *line, struct fl_err *e);

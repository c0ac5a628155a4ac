/* manifests_int: what reads a folder (manifests.c) and what puts it into the store (manifests_put.c) share.
 *
 * An object is kept as the words that name it. What it says goes into the store and is forgotten here, save what endpoints are made
 * of (Pods, Nodes, Services that select) and what another object of the same name shadows. A file is read again when it changed, or
 * when something of it is needed after all. */
#pragma once
#include "kube/source_int.h"

struct fl_manifest {
	const char *ns, *name, *service;        /* in the file's words; service: that a slice belongs to, or "" */
	const char *json;                       /* in the file's texts; NULL: not kept */
	int line;
	enum fl_kind kind;                      /* FL_KINDS: a Node */
	bool stored;                            /* what the store holds under this name is this one */
	bool shadowed;                          /* another of this name comes later, and counts */
	bool selects;                           /* a Service with a selector */
};

/* Strings, each with its NUL, one after the other. */
struct fl_manifest_words { char *p; size_t n, cap; };

struct fl_manifest_file {
	struct fl_manifest_file *next;          /* by name */
	char *name;
	struct fl_manifest *object;
	unsigned n, cap, skipped;
	struct fl_manifest_words words, texts;
	uint64_t dev, ino, size, ctime_ns;      /* as it was when it was read */
	uint64_t named_ns;                      /* its ctime when the log named it as broken */
	bool fresh;                             /* texts hold more than has to stay */
	bool unsure;                            /* it may have changed without looking so */
	bool again, broken;                     /* again: to be read, changed or not; broken: it could not be read as it is now */
};

struct fl_manifests {
	struct fl_source base;
	struct fl_store *store;
	struct fl_loop *loop;
	char *dir;
	struct fl_selector *labels, *namespace_labels;
	struct fl_watch *watch;
	struct fl_timer timer;                  /* the first reading */
	struct fl_manifest_file *file;
	bool loaded;
	int complaint;                          /* errno of the folder when it was named in the log */
	uint64_t *warned;                       /* what was warned of, as sorted hashes: once is enough */
	unsigned nwarned, warned_cap, warnings; /* warnings: of this round */
	size_t bytes_read;
};

/* Reads the file again (it has to be in the folder's list); on an error it keeps what it had. */
void fl_manifests_read_file(struct fl_manifests *m, struct fl_manifest_file *f);
void fl_manifest_word(struct fl_manifest_words *w, struct fl_str s);
/* All objects of all files into the store, as one list. */
void fl_manifests_put(struct fl_manifests *m);

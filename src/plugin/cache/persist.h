/* persist: a cache's entries in a file, so that a restart begins warm (persist FILE [INTERVAL]).
 *
 * The file is written aside, synchronised and renamed, so that it is whole or not there; by a thread of its own, because a slow disk may
 * block for seconds and neither shards nor the main thread may. It is read once, before anything serves, and only believed when every
 * octet is: magic, version, byte order, the configuration of its server block, a checksum for each block of entries, every record of
 * every entry, their number. One that is not is named in the log, ignored, and replaced by the next. Entries carry when they were stored
 * on the wall clock: what is left of their TTL counts while nobody runs. */
#pragma once
#include "base/err.h"
#include "plugin/cache/slab.h"

/* ---- the file's bytes (persist_file.c) ---- */

uint64_t fl_cache_file_sum(const void *p, size_t n);    /* 64 bits that notice damage; no secret in it */
/* All entries of s to fd. 0 or -errno; *n: how many. Any thread. */
int fl_cache_file_write(int fd, struct cache_slab *s, uint64_t config, uint64_t *n);
/* Looks at the whole image first (aligned to 8), then calls entry for each. 0; -EBADMSG with words in why; -ESTALE: of another configuration.
 * e: hash and stored_ns are 0; wall_ms: when it was stored. */
int fl_cache_file_read(const uint8_t *image, size_t n, uint64_t config, void (*entry)(void *arg, const struct cache_entry *e, uint64_t wall_ms),
		       void *arg, const char **why);

/* ---- when and by whom; all on the main thread ---- */

struct cache_persist;
/* Reads path into s (borrowed until destroy). config: text that must be the same for the entries to mean the same. NULL with words in e when
 * the folder cannot be written. */
struct cache_persist *fl_cache_persist_create(const char *path, struct fl_str config, struct cache_slab *s, uint64_t stale_ns, struct fl_err *e);
void fl_cache_persist_active(struct cache_persist *p);  /* it serves from now on: only such ones write. NULL is fine */
void fl_cache_persist_tick(struct cache_persist *p);    /* begins to write, unless that is under way or nothing changed */
void fl_cache_persist_now(struct cache_persist *p);      /* the same, and waits for it. NULL is fine */
void fl_cache_persist_destroy(struct cache_persist *p); /* writes once more, and waits for it. NULL is fine */

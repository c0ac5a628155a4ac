/* mem: where bytes come from. Four homes only: static, generation (freed with its configuration), store (freed through RCU),
 * query (freed with its block).
 *
 * An arena hands out bytes that are freed together. One whose `pool` is set grows from that pool (a shard's: no malloc, a limit
 * for each query and one for all); one without grows by malloc (a generation's, a parser's: main thread).
 * A pool keeps pieces of a few sizes in free lists over mapped memory: one thread's, never locked. */
#pragma once
#include "base/str.h"

enum { FL_BLOCK = 2048, FL_CHUNK = 8192, FL_PIECE_MAX = 256 * 1024 };

/* ---- config and kube threads: memory or death ---- */

void *fl_xalloc(size_t n);                      /* zeroed; aborts with a message when there is none */
void *fl_xrealloc(void *p, size_t n);
char *fl_xstrndup(const char *p, size_t n);     /* NUL-terminated copy; free() it */

/* ---- pool ---- */

enum { FL_POOL_CLASSES = 8 };                   /* 2 KiB .. 256 KiB, powers of two */

struct fl_pool {
	void *free[FL_POOL_CLASSES];
	char *slab, *slab_end;                  /* not yet cut */
	void *slabs;                            /* all mapped slabs, for fl_pool_finish */
	size_t used, limit;                     /* bytes handed out; the most that may be */
};

void fl_pool_init(struct fl_pool *p, size_t limit);
void fl_pool_finish(struct fl_pool *p);
/* A piece of at least n bytes, aligned to 16, not zeroed; NULL past the limit or FL_PIECE_MAX. Give the same n back. */
void *fl_pool_get(struct fl_pool *p, size_t n);
void fl_pool_put(struct fl_pool *p, void *piece, size_t n);
size_t fl_pool_size(size_t n);                  /* what a piece of n really holds; 0 past FL_PIECE_MAX */

/* ---- arena ---- */

struct fl_chunk;
struct fl_arena {
	char *p, *end;
	struct fl_chunk *more;
	size_t used, limit;                     /* bytes of chunks; 0 limit: none may be added */
	struct fl_pool *pool;                   /* NULL: malloc */
};

/* On the caller's memory (may be NULL, 0). */
void fl_arena_init(struct fl_arena *a, void *mem, size_t n, struct fl_pool *pool, size_t limit);
/* Frees the chunks; what it was given stays the caller's. Accepts a zeroed arena. */
void fl_arena_finish(struct fl_arena *a);
/* Chunks taken after the mark are freed, bytes after it forgotten. */
struct fl_arena_mark { char *p, *end; struct fl_chunk *more; };
struct fl_arena_mark fl_arena_mark(const struct fl_arena *a);
void fl_arena_rewind(struct fl_arena *a, struct fl_arena_mark m);

void *fl_arena_grow(struct fl_arena *a, size_t n);

/* n bytes aligned to 16, not zeroed, until the arena is finished; NULL at the limit. */
static inline void *fl_alloc(struct fl_arena *a, size_t n)
{
	n = (n + 15) & ~(size_t)15;
	if ((size_t)(a->end - a->p) < n)
		return fl_arena_grow(a, n);
	void *r = a->p;
	a->p += n;
	return r;
}

static inline void *fl_copy(struct fl_arena *a, const void *from, size_t n)
{
	void *to = fl_alloc(a, n);
	return to && n ? memcpy(to, from, n) : to;
}

void *fl_zalloc(struct fl_arena *a, size_t n);  /* zeroed */
/* NUL-terminated copies; p NULL when the arena is full. */
struct fl_str fl_arena_str(struct fl_arena *a, struct fl_str s);
struct fl_str fl_arena_printf(struct fl_arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

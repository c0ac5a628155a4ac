#include "base/mem.h"
#include "base/err.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

/* ---- memory or death ---- */

static void *or_die(void *p, size_t n)
{
	if (p || !n)
		return p;
	fprintf(stderr, "out of memory: %zu bytes\n", n);
	abort();
}

void *fl_xalloc(size_t n) { return or_die(calloc(1, n ? n : 1), n); }
void *fl_xrealloc(void *p, size_t n) { return or_die(realloc(p, n ? n : 1), n); }

char *fl_xstrndup(const char *p, size_t n)
{
	char *s = fl_xalloc(n + 1);
	if (n)
		memcpy(s, p, n);
	return s;
}

/* ---- pool ---- */

enum { SLAB = 512 * 1024, SLAB_HEAD = 64 };
struct slab { struct slab *next; };

static int class_of(size_t n)
{
	int c = 0;
	for (size_t size = FL_BLOCK; size < n; size *= 2)
		c++;
	return c;
}

size_t fl_pool_size(size_t n) { return n > FL_PIECE_MAX ? 0 : (size_t)FL_BLOCK << class_of(n); }

void fl_pool_init(struct fl_pool *p, size_t limit)
{
	*p = (struct fl_pool){ .limit = limit };
}

void fl_pool_finish(struct fl_pool *p)
{
	for (struct slab *s = p->slabs, *next; s; s = next) {
		next = s->next;
		munmap(s, SLAB);
	}
	*p = (struct fl_pool){ 0 };
}

/* What is left of the current slab is too small for `size`: cut it into free pieces, then map another. */
static bool slab_renew(struct fl_pool *p)
{
	for (int c = FL_POOL_CLASSES - 1; c >= 0; c--)
		while ((size_t)(p->slab_end - p->slab) >= (size_t)FL_BLOCK << c) {
			*(void **)p->slab = p->free[c];
			p->free[c] = p->slab;
			p->slab += (size_t)FL_BLOCK << c;
		}
	struct slab *s = mmap(NULL, SLAB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (s == MAP_FAILED)
		return false;
	s->next = p->slabs;
	p->slabs = s;
	p->slab = (char *)s + SLAB_HEAD;
	p->slab_end = (char *)s + SLAB;
	return true;
}

void *fl_pool_get(struct fl_pool *p, size_t n)
{
	size_t size = fl_pool_size(n);
	if (!size || p->used + size > p->limit)
		return NULL;
	int c = class_of(n);
	void *piece = p->free[c];
	if (piece) {
		p->free[c] = *(void **)piece;
	} else {
		if ((size_t)(p->slab_end - p->slab) < size && !slab_renew(p))
			return NULL;
		piece = p->slab;
		p->slab += size;
	}
	p->used += size;
	return piece;
}

void fl_pool_put(struct fl_pool *p, void *piece, size_t n)
{
	if (!piece)
		return;
	int c = class_of(n);
	p->used -= (size_t)FL_BLOCK << c;
	*(void **)piece = p->free[c];
	p->free[c] = piece;
}

/* ---- arena ---- */

struct fl_chunk { struct fl_chunk *next; size_t size; _Alignas(16) char bytes[]; };

void fl_arena_init(struct fl_arena *a, void *mem, size_t n, struct fl_pool *pool, size_t limit)
{
	*a = (struct fl_arena){ .p = mem, .end = mem ? (char *)mem + n : NULL, .pool = pool, .limit = limit };
}

static void chunk_free(struct fl_arena *a, struct fl_chunk *c)
{
	a->used -= c->size;
	if (a->pool)
		fl_pool_put(a->pool, c, c->size);
	else
		free(c);
}

void *fl_arena_grow(struct fl_arena *a, size_t n)
{
	size_t want = n + sizeof(struct fl_chunk);
	size_t size = want > FL_CHUNK ? want : FL_CHUNK;
	if (a->pool && !(size = fl_pool_size(size)))
		return NULL;
	if (n > a->limit || a->used + size > a->limit)
		return NULL;
	struct fl_chunk *c = a->pool ? fl_pool_get(a->pool, size) : malloc(size);
	if (!c)
		return NULL;
	c->next = a->more;
	c->size = size;
	a->more = c;
	a->used += size;
	if (size - want >= (size_t)(a->end - a->p)) {   /* go on where more is left */
		a->p = c->bytes + n;
		a->end = (char *)c + size;
	}
	return c->bytes;
}

void fl_arena_finish(struct fl_arena *a)
{
	while (a->more) {
		struct fl_chunk *c = a->more;
		a->more = c->next;
		chunk_free(a, c);
	}
	a->p = a->end = NULL;
}

struct fl_arena_mark fl_arena_mark(const struct fl_arena *a)
{
	return (struct fl_arena_mark){ a->p, a->end, a->more };
}

void fl_arena_rewind(struct fl_arena *a, struct fl_arena_mark m)
{
	while (a->more != m.more) {
		struct fl_chunk *c = a->more;
		a->more = c->next;
		chunk_free(a, c);
	}
	a->p = m.p;
	a->end = m.end;
}

void *fl_zalloc(struct fl_arena *a, size_t n)
{
	void *p = fl_alloc(a, n);
	return p ? memset(p, 0, n) : NULL;
}

struct fl_str fl_arena_str(struct fl_arena *a, struct fl_str s)
{
	char *p = fl_alloc(a, s.n + 1);
	if (!p)
		return (struct fl_str){ NULL, 0 };
	if (s.n)
		memcpy(p, s.p, s.n);
	p[s.n] = 0;
	return (struct fl_str){ p, s.n };
}

struct fl_str fl_arena_printf(struct fl_arena *a, const char *fmt, ...)
{
	va_list ap, again;
	va_start(ap, fmt);
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	fl_assert(n >= 0);
	char *p = fl_alloc(a, (size_t)n + 1);
	if (p)
		vsnprintf(p, (size_t)n + 1, fmt, again);
	va_end(again);
	return (struct fl_str){ p, p ? (size_t)n : 0 };
}

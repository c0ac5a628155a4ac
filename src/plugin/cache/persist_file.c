#include "plugin/cache/cache_int.h"
#include "base/file.h"
#include "plugin/cache/persist.h"
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* head, then blocks of entries (each: wall_ms, struct cache_entry and what follows it, padded to 8), then a block of length 0 that says how
 * many entries there were. Numbers are in the machine's order, which the head names: a file does not travel. */
struct head { char magic[8]; uint32_t version, order; uint64_t config, sum; };
struct block { uint32_t len, entries; uint64_t sum; };

enum { VERSION = 1, ORDER = 0x01020304, BLOCK_MAX = 256 * 1024 };
static const char magic[8] = "FLCACHE";

uint64_t fl_cache_file_sum(const void *p, size_t n)
{
	const uint8_t *b = p;
	uint64_t h = 0x9e3779b97f4a7c15ull ^ n, w;
	for (; n >= 8; b += 8, n -= 8) {
		memcpy(&w, b, 8);
		h = (h ^ w) * 0xff51afd7ed558ccdull;
		h ^= h >> 32;
	}
	for (; n; n--)
		h = (h ^ *b++) * 0x100000001b3ull;
	return h ^ h >> 29;
}

/* ---- out ---- */

static struct head head_of(uint64_t config)
{
	struct head h = { .version = VERSION, .order = ORDER, .config = config };
	memcpy(h.magic, magic, sizeof magic);
	h.sum = fl_cache_file_sum(&h, offsetof(struct head, sum));
	return h;
}

static int write_block(int fd, struct block *b, const uint8_t *payload)
{
	b->sum = b->len ? fl_cache_file_sum(payload, b->len) : fl_cache_file_sum(b, 8);
	int ret = fl_file_put(fd, b, sizeof *b);
	return ret ? ret : fl_file_put(fd, payload, b->len);
}

int fl_cache_file_write(int fd, struct cache_slab *s, uint64_t config, uint64_t *n)
{
	uint8_t *buf = malloc(BLOCK_MAX);
	struct cache_entry *e = malloc(CACHE_ENTRY_MAX);
	struct head h = head_of(config);
	uint64_t at = 0, wall = fl_clock_wall_ns() / FL_MS, now = fl_clock_ns();
	int ret = buf && e ? fl_file_put(fd, &h, sizeof h) : -ENOMEM;
	*n = 0;
	for (bool more = true; more && !ret;) {
		struct block b = { 0 };
		while (b.len <= BLOCK_MAX - 8 - CACHE_ENTRY_MAX && (more = fl_cache_slab_walk(s, &at, e))) {
			uint64_t stored = wall - (uint64_t)((int64_t)(now - e->stored_ns) / (int64_t)FL_MS);
			size_t len = (e->len + 7u) & ~7u;
			e->hash = e->stored_ns = 0;
			memcpy(buf + b.len, &stored, 8);
			memcpy(buf + b.len + 8, e, len);
			b.len += (uint32_t)(8 + len);
			b.entries++;
		}
		*n += b.entries;
		ret = b.len ? write_block(fd, &b, buf) : 0;
	}
	struct block end = { 0, (uint32_t)*n, 0 };
	ret = ret ? ret : write_block(fd, &end, NULL);
	free(buf);
	free(e);
	return ret;
}

/* ---- in ---- */

typedef void each(void *arg, const struct cache_entry *e, uint64_t wall_ms);

/* The entries of one block; how many, or -1. fn NULL: only look. */
static int64_t walk(const uint8_t *p, size_t n, each *fn, void *arg)
{
	int64_t count = 0;
	for (size_t at = 0; at < n; count++) {
		const struct cache_entry *e = (const struct cache_entry *)(p + at + 8);
		uint64_t wall;
		if (n - at < 8 + sizeof *e || (!fn && !fl_cache_sound(e, n - at - 8)))
			return -1;
		memcpy(&wall, p + at, 8);
		if (fn)
			fn(arg, e, wall);
		at += 8 + ((e->len + 7u) & ~(size_t)7);
		if (at > n)
			return -1;
	}
	return count;
}

static int bad(const char **why, const char *text)
{
	*why = text;
	return -EBADMSG;
}

/* All blocks, checked or handed out. */
static int blocks(const uint8_t *image, size_t n, each *fn, void *arg, const char **why)
{
	uint64_t total = 0;
	for (size_t at = sizeof(struct head);;) {
		struct block b;
		if (n - at < sizeof b)
			return bad(why, "it is cut short");
		memcpy(&b, image + at, sizeof b);
		at += sizeof b;
		if (!b.len)
			return b.entries != total || b.sum != fl_cache_file_sum(&b, 8) || at != n ? bad(why, "its end is damaged") : 0;
		if (b.len > BLOCK_MAX || b.len % 8 || n - at < b.len)
			return bad(why, "it is cut short");
		if (!fn && b.sum != fl_cache_file_sum(image + at, b.len))
			return bad(why, "a checksum is wrong");
		if (walk(image + at, b.len, fn, arg) != b.entries)
			return bad(why, "an entry is damaged");
		at += b.len;
		total += b.entries;
	}
}

int fl_cache_file_read(const uint8_t *image, size_t n, uint64_t config, each *entry, void *arg, const char **why)
{
	struct head h;
	if (n < sizeof h)
		return bad(why, "it is too short");
	memcpy(&h, image, sizeof h);
	if (memcmp(h.magic, magic, sizeof magic))
		return bad(why, "it is no cache file");
	if (h.version != VERSION || h.order != ORDER)
		return bad(why, "it is of another version or machine");
	if (h.sum != fl_cache_file_sum(&h, offsetof(struct head, sum)))
		return bad(why, "its head is damaged");
	if (h.config != config)
		return -ESTALE;
	int ret = blocks(image, n, NULL, NULL, why);
	return ret ? ret : blocks(image, n, entry, arg, why);
}

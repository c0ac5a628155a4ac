/* Any bytes as a cache's file: as they are, and behind a head and checksums that are right, so that the entries themselves are read. What is
 * believed can be answered from: every entry is stored, found again, decoded and packed. */
#include <errno.h>
#include <stdlib.h>
#include "plugin/cache/cache_int.h"
#include "plugin/cache/persist.h"
#include "base/err.h"
#include "wire/pack.h"

static struct cache_slab *slab;

static int any(const void *arg, const struct cache_found *f)
{
	int kind = *(const int *)arg;
	return f->there[kind] ? kind : -1;
}

static void entry(void *arg, const struct cache_entry *from, uint64_t wall_ms)
{
	static _Alignas(16) char memory[1 << 18];
	static uint8_t out[65535];
	_Alignas(8) uint8_t copy[CACHE_ENTRY_MAX];
	struct cache_entry *e = (struct cache_entry *)copy;
	struct fl_arena a;
	unsigned gone[2];
	uint32_t cell;
	(void)arg, (void)wall_ms;
	memcpy(copy, from, from->len);
	memset(copy + from->len, 0, -from->len & 7);
	e->hash = fl_cache_hash_of(e);
	fl_assert(!fl_cache_slab_put(slab, e, 0, gone));
	fl_arena_init(&a, memory, sizeof memory, NULL, 0);
	int kind = (int)fl_cache_kind_of(e);
	const struct cache_entry *got = fl_cache_slab_get(slab, e->hash, any, &kind, &a, &cell);
	fl_assert(got && got->len == e->len && !memcmp(got, e, e->len));
	struct fl_query q = { .arena = &a, .qname = { (const uint8_t *)(got + 1), got->name_len } };
	if (fl_cache_decode(&q, got, 30))
		return;
	struct fl_pack p = { .flags = FL_QR, .rcode = q.res.rcode, .qname = q.qname, .qtype = got->type, .qclass = got->class, .item = q.res.item,
			     .n = q.res.n, .edns = true, .ede = -1 };
	fl_assert(fl_pack(&p, out, 512) <= 512);
	fl_assert(fl_pack(&p, out, sizeof out) <= sizeof out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const char *why = "";
	if (n > 64 * 1024)
		return 0;
	if (!slab)
		slab = fl_cache_slab_create(&(struct cache_slab_how){ .cap = { 1024, 1024 } });
	uint8_t *image = aligned_alloc(16, (n + 128) & ~(size_t)15);
	memcpy(image, data, n);
	int ret = fl_cache_file_read(image, n, 1, entry, NULL, &why);
	fl_assert(ret == 0 || ret == -ESTALE || (ret == -EBADMSG && why[0]));
	/* The same as the entries of one block. */
	struct { char magic[8]; uint32_t version, order; uint64_t config, sum; uint32_t len, entries; uint64_t check; } head = {
		"FLCACHE", 1, 0x01020304, 1, 0, (uint32_t)(n & ~(size_t)7), n > 4 ? data[4] % 8 : 0, 0 };
	struct { uint32_t len, entries; uint64_t check; } end = { 0, head.entries, 0 };
	if (head.len) {
		head.sum = fl_cache_file_sum(&head, 24);
		head.check = fl_cache_file_sum(data, head.len);
		end.check = fl_cache_file_sum(&end, 8);
		memcpy(image, &head, sizeof head);
		memcpy(image + sizeof head, data, head.len);
		memcpy(image + sizeof head + head.len, &end, sizeof end);
		ret = fl_cache_file_read(image, sizeof head + head.len + sizeof end, 1, entry, NULL, &why);
		fl_assert(ret == 0 || (ret == -EBADMSG && why[0]));
	}
	free(image);
	return 0;
}

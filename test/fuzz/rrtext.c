/* A record as text: read, printed, read again. */
#include <stdio.h>
#include <stdlib.h>
#include "base/err.h"
#include "wire/text.h"

static char mem[1 << 20], text[1 << 18];

static void ignore(void *arg, size_t offset, bool compressible) { (void)arg, (void)offset, (void)compressible; }

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct fl_arena a;
	struct fl_name owner, owner2;
	const struct fl_rrset *set, *set2;
	struct fl_err e = { "" };
	if (n > 4096)
		return 0;
	fl_arena_init(&a, mem, sizeof mem, NULL, 0);
	char *own = malloc(n ? n : 1);
	if (n)
		memcpy(own, data, n);
	int ret = fl_rr_parse(&a, (struct fl_str){ own, n }, &owner, &set, &e);
	free(own);
	if (ret) {
		fl_assert(e.msg[0]);
		return 0;
	}
	struct fl_rr r = { 0 };
	fl_assert(set->count == 1 && fl_rr_next(set, &r) && !fl_rdata_names(r.type, r.rdata, r.rdlen, ignore, NULL));
	size_t len = fl_name_text(text, owner);
	len += (size_t)snprintf(text + len, sizeof text - len, " %u CLASS%u TYPE%u ", r.ttl, r.class, r.type);
	len += fl_rdata_text(text + len, sizeof text - len, r.type, r.rdata, r.rdlen);
	fl_assert(len + 1 < sizeof text);
	if (!fl_rr_parse(&a, (struct fl_str){ text, len }, &owner2, &set2, &e)) {
		fl_assert(owner.len == owner2.len && !memcmp(owner.wire, owner2.wire, owner.len));
		fl_assert(set->len == set2->len && !memcmp(set->data, set2->data, set->len));
	}
	return 0;
}

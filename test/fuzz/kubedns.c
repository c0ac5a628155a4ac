/* The keys of kube-dns's ConfigMap: the first byte says which, and which one follows behind a NUL. What passes is a Corefile of one block and one for each stub domain. */
#include <stdlib.h>
#include <string.h>
#include "conf/conf.h"
#include "conf/kubedns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const known[] = { "errors", "health", "ready", "kubernetes", "prometheus", "forward", "cache", "loop", "reload",
					     "loadbalance", NULL };
	static const char *const name[] = { "stubDomains", "upstreamNameservers", "federations" };
	struct fl_arena a = { .limit = 16 << 20 };
	struct fl_conf c;
	struct fl_str out;
	struct fl_err e;
	if (!size)
		return 0;
	const char *text = (const char *)data + 1, *end = (const char *)data + size, *nul = size > 1 ? memchr(text, 0, size - 1) : NULL;
	struct fl_kubedns_key key[] = { { fl_str(name[*data % 3]), { text, (size_t)((nul ? nul : end) - text) } },
					{ fl_str(name[*data / 3 % 3]), { nul ? nul + 1 : end, (size_t)(nul ? end - nul - 1 : 0) } } };
	struct fl_kubedns k = { .domain = FL_STR("cluster.local"), .port = FL_STR("53"), .key = key, .nkey = nul ? 2 : 1 };
	if (!fl_kubedns_corefile(&a, &k, &out, &e)) {
		if (fl_conf_parse(&c, "x", out, "/", known, &e) || !c.nblock || c.block[0].ndir != 10)
			__builtin_trap();
		for (unsigned i = 1; i < c.nblock; i++)
			if (c.block[i].nkey != 1 || c.block[i].ndir != 3)
				__builtin_trap();
		fl_conf_finish(&c);
	}
	fl_arena_finish(&a);
	return 0;
}

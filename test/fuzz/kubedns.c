/* The keys of kube-dns's ConfigMap: the first byte says which. What passes is a Corefile of one block and one for each stub domain. */
#include <stdlib.h>
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
	struct fl_kubedns_key key = { fl_str(name[*data % 3]), { (const char *)data + 1, size - 1 } };
	struct fl_kubedns k = { .domain = FL_STR("cluster.local"), .port = FL_STR("53"), .key = &key, .nkey = 1 };
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

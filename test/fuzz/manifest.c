/* Manifests, YAML or JSON: objects that are found decode, and their names are where they were said to be. */
#include "base/mem.h"
#include "kube/decode.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int object(void *arg, const struct fl_manifest_object *o)
{
	struct fl_arena a = { .limit = 64 << 20 };
	struct fl_decoded d;
	int *most = arg;
	bool namespaced = o->store_kind != FL_KIND_NAMESPACE && o->store_kind != FL_KINDS;
	if (o->line < 1 || !o->name.n || namespaced != (o->ns.n != 0) || --*most < 0)
		__builtin_trap();
	if (o->store_kind != FL_KINDS) {
		if (fl_decode_json(&d, &a, o->store_kind, o->json, o->n))
			__builtin_trap();
		if (!fl_str_eq(d.meta.name, o->name) || (namespaced && !fl_str_eq(d.meta.ns, o->ns)))
			__builtin_trap();
	}
	fl_arena_finish(&a);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fl_err e = { "" };
	unsigned skipped;
	int most = (int)(4 * size + (1 << 20));         /* what aliases may make of it */
	int ret = fl_manifest_read((struct fl_str){ (const char *)data, size }, object, &most, &skipped, &e);
	if ((ret != 0) != (e.msg[0] != 0))
		__builtin_trap();
	return 0;
}

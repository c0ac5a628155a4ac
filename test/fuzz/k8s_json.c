/* What an API server sends as JSON. */
#include "k8s_decode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Pods in JSON go the way of manifests. */
	static const enum fl_kind kinds[] = { FL_KIND_NAMESPACE, FL_KIND_SERVICE, FL_KIND_SLICE, FL_KIND_IMPORT };
	return decode(data, size, kinds, false);
}

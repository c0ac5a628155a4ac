/* What an API server sends as protobuf. */
#include "k8s_decode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum fl_kind kinds[] = { FL_KIND_NAMESPACE, FL_KIND_SERVICE, FL_KIND_SLICE, FL_KIND_POD };
	return decode(data, size, kinds, true);
}

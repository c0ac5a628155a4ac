/* The HTTP/1.1 reader: bytes in portions that the input chooses. */
#include <stdlib.h>
#include "net/http1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	struct fl_http1 h;
	struct fl_str piece;
	size_t step = 1 + data[0] % 61u;
	fl_http1_init(&h);
	const uint8_t *p = data + 1, *all = data + size;
	while (p < all) {
		const uint8_t *end = (size_t)(all - p) < step ? all : p + step;
		enum fl_http1_event ev;
		while ((ev = fl_http1_next(&h, &p, end, &piece)) == FL_HTTP1_HEAD || ev == FL_HTTP1_BODY)
			if (ev == FL_HTTP1_BODY && (!piece.n || (const uint8_t *)piece.p < data ||
				(const uint8_t *)piece.p + piece.n > end))
				abort();
		if (ev == FL_HTTP1_BAD || p > end || (ev == FL_HTTP1_MORE && p != end))
			break;
		if (ev == FL_HTTP1_DONE && !h.keep)
			break;
		if (ev == FL_HTTP1_DONE)
			fl_http1_init(&h);
	}
	return 0;
}

/* The message on a stream of DNS over QUIC: bytes in portions that the input chooses, against what the same bytes say in one piece. */
#include <stdlib.h>
#include "net/doq.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t used;

static void *resize(void *arg, void *p, size_t n)
{
	(void)arg;
	used = n > used ? n : used;
	if (n)
		return realloc(p, n);
	free(p);
	return NULL;
}

static const struct fl_doq_mem mem = { resize, NULL };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fl_doq d = { 0 };
	struct fl_str msg = { 0 };
	enum fl_doq_verdict v = FL_DOQ_MORE;
	bool whole = false;
	if (!size)
		return 0;
	size_t step = 1 + data[0] % 61u, at = 1, need = size >= 3 ? (size_t)data[1] << 8 | data[2] : 0;
	used = 0;
	do {
		size_t n = size - at < step ? size - at : step;
		v = fl_doq_feed(&d, data + at, n, at + n == size, &mem, &msg);
		at += n;
		if (v == FL_DOQ_WHOLE && (whole || msg.n != need || memcmp(msg.p, data + 3, need)))
			abort();
		whole |= v == FL_DOQ_WHOLE;
	} while (at < size && v != FL_DOQ_BAD);
	bool right = need && size == need + 3;  /* exactly one message and the end */
	if (right != (v != FL_DOQ_BAD && whole) || used > 2 * size + 512)
		abort();
	fl_doq_finish(&d, &mem);
	return 0;
}

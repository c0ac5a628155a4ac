#include "kube/proto.h"
#include <errno.h>

int fl_pb_varint(const uint8_t *p, const uint8_t *end, uint64_t *v)
{
	*v = 0;
	for (int i = 0; i < 10; i++) {
		if (p + i >= end)
			return 0;
		*v |= (uint64_t)(p[i] & 0x7f) << (7 * i);
		if (!(p[i] & 0x80))
			return i + 1;
	}
	return -1;
}

/* Nearly all tags and lengths are one byte. */
static inline int varint(const uint8_t *p, const uint8_t *end, uint64_t *v)
{
	if (p < end && *p < 0x80) {
		*v = *p;
		return 1;
	}
	return fl_pb_varint(p, end, v);
}

static bool broken(struct fl_pb *b)
{
	b->bad = true;
	b->p = b->end;
	return false;
}

bool fl_pb_next(struct fl_pb *b, struct fl_pb_field *f)
{
	uint64_t tag, n;
	if (b->p >= b->end)
		return false;
	int k = varint(b->p, b->end, &tag);
	if (k <= 0 || tag >> 3 == 0 || tag >> 3 > 0x1fffffff)
		return broken(b);
	b->p += k;
	f->number = (uint32_t)(tag >> 3);
	f->wire = tag & 7;
	f->value = 0;
	f->bytes = (struct fl_pb){ 0 };
	switch (f->wire) {
	case 0:
		k = varint(b->p, b->end, &f->value);
		if (k <= 0)
			return broken(b);
		b->p += k;
		return true;
	case 2:
		k = varint(b->p, b->end, &n);
		if (k <= 0 || n > (uint64_t)(b->end - b->p - k))
			return broken(b);
		f->bytes = fl_pb(b->p + k, (size_t)n);
		b->p += k + (size_t)n;
		return true;
	case 1:
	case 5:
		n = f->wire == 1 ? 8 : 4;
		if ((size_t)(b->end - b->p) < n)
			return broken(b);
		b->p += n;
		return true;
	default:                        /* groups are long gone */
		return broken(b);
	}
}

int fl_pb_unwrap(const uint8_t *p, size_t n, struct fl_pb *raw, struct fl_str *kind)
{
	struct fl_pb_field f, t;
	if (n < 4 || memcmp(p, "k8s\0", 4))
		return -EBADMSG;
	struct fl_pb u = fl_pb(p + 4, n - 4);
	*raw = (struct fl_pb){ 0 };
	while (fl_pb_next(&u, &f)) {
		if (f.number == 1 && kind)
			for (struct fl_pb type = f.bytes; fl_pb_next(&type, &t);)
				if (t.number == 2)
					*kind = fl_pb_str(&t);
		if (f.number == 2 && f.wire == 2)
			*raw = f.bytes;
	}
	return u.bad || !raw->p ? -EBADMSG : 0;
}

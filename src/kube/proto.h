/* proto: a reader of protobuf fields that copies nothing. Foreign bytes: every length is checked, unknown fields are skipped by
 * wire type. */
#pragma once
#include "base/str.h"

struct fl_pb { const uint8_t *p, *end; bool bad; };
struct fl_pb_field { uint32_t number; uint8_t wire; uint64_t value; struct fl_pb bytes; };      /* bytes: of wire type 2 */

static inline struct fl_pb fl_pb(const uint8_t *p, size_t n) { return (struct fl_pb){ p, p + n, false }; }
/* The next field; false at the end, and with bad set when the bytes are none. */
bool fl_pb_next(struct fl_pb *b, struct fl_pb_field *f);
/* A varint at *p (not past end): its length, 0 when it is not whole, -1 when it is none. */
int fl_pb_varint(const uint8_t *p, const uint8_t *end, uint64_t *v);
static inline struct fl_str fl_pb_str(const struct fl_pb_field *f)
{
	return f->wire == 2 ? (struct fl_str){ (const char *)f->bytes.p, (size_t)(f->bytes.end - f->bytes.p) } : FL_STR("");
}
/* "k8s\0" + runtime.Unknown: the object's own message; its kind in *kind when kind is not NULL. 0, -EBADMSG. */
int fl_pb_unwrap(const uint8_t *p, size_t n, struct fl_pb *raw, struct fl_str *kind);
/* RFC 3339 with a fraction → Unix ns; 0: none. (Both decoders read annotations that hold it.) */
uint64_t fl_decode_time(struct fl_str s);

/* doq: what travels on a stream of DNS over QUIC (RFC 9250 §4.2): one message behind a two-byte length, then the stream's end. Bytes in, a
 * message out; knows nothing of QUIC. A message that comes in one piece is not copied; otherwise a buffer grows with what came, never
 * with what the length promises. */
#pragma once
#include "base/str.h"

/* RFC 9250 §4.3 */
enum { FL_DOQ_NO_ERROR, FL_DOQ_INTERNAL_ERROR, FL_DOQ_PROTOCOL_ERROR, FL_DOQ_REQUEST_CANCELLED, FL_DOQ_EXCESSIVE_LOAD, FL_DOQ_UNSPECIFIED_ERROR };

enum fl_doq_verdict {
	FL_DOQ_MORE,            /* not yet, or nothing new */
	FL_DOQ_WHOLE,           /* the message is there: once a stream */
	FL_DOQ_BAD,             /* length 0, an early end, or more than one message: a protocol error (§4.3.3) */
	FL_DOQ_FULL,            /* no memory */
};

struct fl_doq_mem { void *(*resize)(void *arg, void *p, size_t n); void *arg; };       /* n 0 frees; NULL: none left */

/* One direction of a stream; zeroed is a new one. */
struct fl_doq { uint8_t head[2], nhead; bool whole; size_t need, have, cap; uint8_t *buf; };

/* fin: the stream ends behind these. *msg, when WHOLE: valid until the next call or fl_doq_finish(). */
enum fl_doq_verdict fl_doq_feed(struct fl_doq *d, const uint8_t *p, size_t n, bool fin, const struct fl_doq_mem *m, struct fl_str *msg);
void fl_doq_finish(struct fl_doq *d, const struct fl_doq_mem *m);       /* gives the buffer back */

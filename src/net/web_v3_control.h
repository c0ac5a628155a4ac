/* web_v3_control: a client's stream in one direction on its way to nghttp3. On the control stream (kind 0), frames that mean nothing to a server
 * without pushes and priorities are left out: GOAWAY, MAX_PUSH_ID, PRIORITY_UPDATE (RFC 9218), unknown ones. For nghttp3 0.8 aborts the process
 * when a PRIORITY_UPDATE is cut behind its first field, and takes what stands behind the number of a GOAWAY or MAX_PUSH_ID for the next frame.
 * SETTINGS pass, and what is an error there. Pure: bytes in any portions. Private to net/. */
#pragma once
#include "base/str.h"

/* Zeroed is a new stream. */
struct fl_web_control { uint64_t left; uint8_t head[16], nhead, at, state; bool begun, dropped; };

/* How many of n > 0 octets were taken; *pass: what is to go on, in p or in f, until the next call; n 0: nothing yet. */
size_t fl_web_control_feed(struct fl_web_control *f, const uint8_t *p, size_t n, struct fl_str *pass);

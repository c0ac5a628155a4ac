/* relay: a query as another server is to be asked it, and that server's answer as ours: what forward and grpc share of a query's way. On the
 * shard; memory is the query's. */
#pragma once
#include "dns/plugin.h"
#include "wire/message.h"

enum { FL_RELAY_ROOM = 2 };     /* octets free before a packed query (a length on TCP) */

/* May the query be filled up, so that its size on an encrypted way does not tell what is asked? Only one with EDNS that is not yet. */
bool fl_relay_may_pad(const struct fl_query *q);
/* The query as the plugins above left it: question, RD AD CD, opcode, EDNS; what else it held is not passed on. pad: to a multiple of 128 octets
 * (RFC 8467 §4.1). NULL: no memory, or longer than a message. */
uint8_t *fl_relay_query(struct fl_query *q, bool pad, uint16_t *len);
/* q->res becomes m, with the client's own letters where the question's name stands. mixed: they went out in another case; padded: what m says of
 * padding is an answer to ours. */
void fl_relay_reply(struct fl_query *q, struct fl_message *m, bool mixed, bool padded);

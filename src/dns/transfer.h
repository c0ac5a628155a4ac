/* transfer: whole zones, as the plugin of that name hands them out (AXFR, RFC 5936). Those that hold zones (kubernetes, k8s_external, file)
 * offer a struct fl_transfer_ops through iface("transfer"):
 *
 *   shard    query() → mine() … fl_offload()                     helper    records(): SOA, all records, SOA → struct fl_records
 *   shard    the buffer is cut into messages, as fast as the connection takes them
 *
 * A transfer is one look at the zone: records() runs in one go as a reader of the RCU, so what it lends from an index stays. */
#pragma once
#include "dns/query.h"

/* Records one behind the other, malloc'd: owner's length (one byte), owner, then what a struct fl_rrset of one record holds. */
struct fl_records { uint8_t *p; size_t n, cap; uint32_t count; bool failed; };

/* rdata in two parts; the second may be empty. Beyond FL_RECORDS_MAX bytes, or without memory: failed, and nothing is added any more. */
enum { FL_RECORDS_MAX = 256 * 1024 * 1024 };
void fl_records_put(struct fl_records *r, struct fl_name owner, uint16_t type, uint32_t ttl, const void *head, size_t nhead,
		    const void *tail, size_t ntail);
/* The record at *at, which moves behind it: owner and set point into r. false: the end. */
bool fl_records_next(const struct fl_records *r, size_t *at, struct fl_name *owner, struct fl_rrset *set);
void fl_records_finish(struct fl_records *r);

struct fl_transfer_ops {
	/* On a shard. 0: a whole zone of mine, which may be told; -ENOENT: none of mine; -EAGAIN: not now (SERVFAIL). */
	int (*mine)(void *inst, struct fl_name zone);
	/* On a helper thread. zone is folded. have: the serial of an IXFR; where nothing is newer the SOA alone is the answer. */
	void (*records)(void *inst, struct fl_name zone, const uint32_t *have, struct fl_records *to);
};

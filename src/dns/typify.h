/* typify: what kind of answer a reply is, in CoreDNS's words (plugin/pkg/response): caches, logs and minimal decide by it. */
#pragma once
#include "dns/query.h"

enum fl_kind { FL_KIND_NOERROR, FL_KIND_NXDOMAIN, FL_KIND_SERVERERROR, FL_KIND_NODATA, FL_KIND_DELEGATION, FL_KIND_META, FL_KIND_UPDATE,
	       FL_KIND_OTHERERROR };
enum fl_kind_class { FL_CLASS_ALL, FL_CLASS_SUCCESS, FL_CLASS_DENIAL, FL_CLASS_ERROR };

/* Of q->res as it stands. A dropped query is an OTHERERROR. wall_s: to find expired signatures when the client sent DO (0: do not look). */
enum fl_kind fl_typify(const struct fl_query *q, uint64_t wall_s);
enum fl_kind_class fl_classify(enum fl_kind k);
const char *fl_kind_name(enum fl_kind k);               /* "NOERROR" … "OTHERERROR" */
const char *fl_kind_class_name(enum fl_kind_class c);   /* "all" "success" "denial" "error" */
bool fl_kind_class_parse(struct fl_str text, enum fl_kind_class *c);

/* Octets of q->res spelled out: header, question, records, no OPT. What CoreDNS logs and counts; the packer knows it for what it packed,
 * this is for lookups, which nobody packs. */
size_t fl_reply_full_len(const struct fl_query *q);
/* Octets of the request: the packet's, or what a lookup's packet would have. */
size_t fl_request_len(const struct fl_query *q);

/* reflector: keeps one kind of object in the store equal to the server's, by the phases of policy.h. What it knows of the server
 * goes straight from the connection's buffer through the decoder into the store; objects are removed only by a DELETED event or at
 * the end of a whole list, never because the server cannot be heard.
 *
 * All reflectors of a source share its client, so on HTTP/2 one connection. One loop's. */
#pragma once
#include "kube/auth.h"
#include "kube/policy.h"
#include "net/http_client.h"

struct fl_source_api;

struct fl_reflector {
	struct fl_source_api *api;
	const struct fl_resource *res;          /* NULL: not wanted */
	struct fl_http_req req;
	struct fl_timer timer;                  /* FL_REST: go on; else: is anything coming? */
	struct fl_decoder *dec;                 /* a 200 is being read */
	enum fl_phase phase, then;              /* then: what comes after FL_REST */
	char rv[64];                            /* the last version known; "" none */
	bool forget;                            /* rv is of no use to the server */
	bool any_rv;                            /* the newest cannot be had (etcd is away): whatever the server has */
	bool refused;                           /* WatchList: by this server, in this pass */
	bool unpaged, listing, synced, healthy, hasty;
	bool told_to_wait;                      /* by Retry-After */
	bool signing;                           /* rests until a credential plugin is done */
	bool slot;                              /* holds one of the limit's */
	bool throttled;                         /* `next` is to be asked as soon as the limit lets it; the rest stands as it was */
	enum fl_phase next;
	uint64_t throttled_ns;                  /* since when */
	char *cont;                             /* page token */
	struct fl_backoff backoff;
	struct fl_status status;                /* of an ERROR event */
	char *refusal;                          /* body of an answer that is not 200 */
	size_t refusal_n;
	uint64_t asked_ns, heard_ns, quiet_ns;  /* quiet_ns: how long a watch may be silent */
	uint64_t lost_ns, logged_ns, odd_ns;    /* since when nothing is heard; last log lines */
	char logged[128];
	unsigned events;                        /* of this request */
};

void fl_reflector_init(struct fl_reflector *r, struct fl_source_api *api, enum fl_kind kind);
void fl_reflector_finish(struct fl_reflector *r);
void fl_reflector_start(struct fl_reflector *r);
void fl_reflector_relist(struct fl_reflector *r);       /* forgets the version */
bool fl_reflector_room(struct fl_reflector *r);          /* there is a slot: true when this one waited for it */
void fl_reflector_signed(struct fl_reflector *r);        /* the credential plugin is done */
void fl_reflector_hurry(struct fl_reflector *r);        /* the server is back: another one was answered */

/* autopath: search lists, for the plugin of that name and those that know what its clients search (kubernetes, erratic), which offer a
 * struct fl_autopath_ops through iface("autopath"). */
#pragma once
#include "dns/query.h"

enum { FL_SEARCH_MAX = 28 };    /* each name costs an FL_AGAIN (FL_AGAIN_MAX); Kubernetes allows a pod 32 with those of the cluster */

/* Without the empty one that ends each such list: the name as it is. */
struct fl_search { struct fl_name *name; unsigned n; };

struct fl_autopath_ops {
	/* On a shard. What the client of q completes names with; n 0: nobody knows, or q->qname is not below the first. guess: where its pod is
	 * not known, the question itself may tell. Lies in q's arena or the generation's memory. 0, -ENOMEM. */
	int (*search)(void *inst, struct fl_query *q, bool guess, struct fl_search *to);
	bool guesses;
};

/* The list of a resolv.conf(5) as miekg/dns reads it: the last `search` or `domain` line counts, names folded, what is no name left out.
 * 0; -errno of the file; -E2BIG: there were more than max, which are there. In the arena. */
int fl_search_read(struct fl_arena *a, const char *path, unsigned max, struct fl_search *to);

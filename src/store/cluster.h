/* cluster: what the kubernetes plugin lends to others of its block, through iface("cluster"). Called on shards, and on helper threads while
 * they read the RCU; what is lent stays until the shard goes back to its loop. */
#pragma once
#include "store/store.h"

struct fl_cluster_service { const struct fl_service *svc; const struct fl_slice *const *slice; uint32_t nslice; };

struct fl_cluster_scan { const void *index; uint32_t next; };

struct fl_cluster_ops {
	bool (*synced)(void *inst);
	bool (*exposed)(void *inst, struct fl_str ns);          /* letter case does not matter, here and below */
	bool (*service)(void *inst, struct fl_str ns, struct fl_str name, struct fl_cluster_service *to);       /* false: none, or not exposed */
	void (*services)(void *inst, void (*fn)(void *arg, const struct fl_cluster_service *s), void *arg);     /* all that are exposed */
	/* The same a piece at a time: looks at `slots` places of the index, fn as above, and moves *at (zeroed at first). 1: there are more; 0: that
	 * was the last; -ESTALE: the index was rebuilt in between, begin again. Main thread. */
	int (*scan)(void *inst, struct fl_cluster_scan *at, uint32_t slots, void (*fn)(void *arg, const struct fl_cluster_service *s), void *arg);
	/* Those with this external address, the first cap by namespace and name; how many there are. */
	unsigned (*by_external)(void *inst, const struct fl_ip *ip, const struct fl_service **to, unsigned cap);
	/* Where clients outside find this server: external addresses of services whose endpoint it is (headless: their endpoints), else this
	 * machine's. At most cap; how many. */
	unsigned (*selves)(void *inst, bool headless, struct fl_ip *to, unsigned cap);
	size_t (*endpoint_name)(void *inst, char to[256], const struct fl_slice *s, uint32_t i);
	uint32_t (*serial)(void *inst);
	uint32_t (*ttl)(void *inst);
};

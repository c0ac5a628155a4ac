/* k8s_external: names of Services for clients outside, from their external addresses (CoreDNS plugin/k8s_external). The cluster is what the
 * kubernetes plugin of the block lends (store/cluster.h).
 *
 *   setup.c  the directive      items.c  question → the addresses and ports that answer it
 *   answer.c  one question      transfer.c  the whole zone
 *
 * A question reads  [endpoint.]service.namespace.ZONE  or  _port._protocol.service.namespace.ZONE. */
#pragma once
#include "dns/plugin.h"
#include "dns/transfer.h"
#include "store/cluster.h"

struct ext {
	struct fl_zones zones;
	struct fl_fall fall;
	uint32_t ttl;
	bool headless;
	const uint8_t *apex; uint8_t napex;     /* labels, without a final 0: "\3dns" */
	const struct fl_cluster_ops *cluster;
	void *inst;                             /* the kubernetes plugin's */
};

/* ---- items.c ---- */

/* A question's labels before the zone. n 0: not there. */
struct ext_req { struct fl_str ns, service, endpoint, port, protocol; bool too_long; };
void fl_ext_parse(struct ext_req *r, struct fl_name name, unsigned zone_labels);

/* One address, or host name of a load balancer, with one port. */
struct ext_item {
	struct fl_ip ip;                /* len 0: host */
	struct fl_str host;
	const struct fl_port *port;     /* NULL: none is declared */
	const struct fl_slice *slice;   /* an endpoint: its name is part of the owner; NULL: the service's */
	uint32_t at;
};

/* The items of a service that a request names: for (fl_ext_walk(&w, …); fl_ext_next(&w, &it);) */
struct ext_walk {
	const struct ext *e;
	const struct ext_req *r;
	struct fl_cluster_service s;
	bool endpoints;
	uint32_t k, i, p;
};
void fl_ext_walk(struct ext_walk *w, const struct ext *e, const struct ext_req *r, const struct fl_cluster_service *s);
bool fl_ext_next(struct ext_walk *w, struct ext_item *it);
/* An SRV record can name it. */
static inline bool fl_ext_has_port(const struct ext_item *it) { return it->port && it->port->port >= 0; }
/* [endpoint.]service.namespace.ZONE of an item; to holds FL_NAME_MAX. len 0: too long. */
struct fl_name fl_ext_name(uint8_t *to, const struct ext *e, const struct fl_service *s, const struct ext_item *it, struct fl_name zone);
uint16_t fl_ext_weight(unsigned records);          /* they share 100 */

/* Names of this server below a zone: ns1.APEX.ZONE. to holds FL_NAME_MAX; len 0: too long. */
struct fl_name fl_ext_below_apex(uint8_t *to, const struct ext *e, const char *label, struct fl_name zone);
/* Rdata of the SOA; to holds 2 * FL_NAME_MAX + 20. The length; 0: the names are too long. */
size_t fl_ext_soa(uint8_t *to, const struct ext *e, struct fl_name zone, uint32_t serial);
enum { EXT_SELVES_MAX = 64 };

/* ---- answer.c, transfer.c ---- */

enum fl_verdict fl_ext_query(void *inst, struct fl_query *q);
extern const struct fl_transfer_ops fl_ext_transfer;

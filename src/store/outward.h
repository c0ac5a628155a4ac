/* outward: a cluster's Services as another cluster that is peered with it can reach them. Its cluster IPs mean nothing outside (both may
 * use the same range), so a Service is known by its external addresses (spec.externalIPs, then the load balancer's), by the load
 * balancer's host name as an alias, or by nothing. Headless Services keep their endpoints: pods are routed between peered networks.
 * An ExternalName in the cluster's own domain is one of that cluster: it is said in the zone under which the cluster is known here. */
#pragma once
#include "store/store.h"

enum { FL_OUTWARD_NAME_MAX = 256 };

/* Room for what fl_outward() makes up. */
struct fl_outward_room { struct fl_str ip[8]; char name[FL_OUTWARD_NAME_MAX]; };

/* Changes *in, whose spans then point into what they pointed into before, or into *room, which must live as long. Pure. */
void fl_outward(const struct fl_outward *how, struct fl_service_in *in, struct fl_outward_room *room);

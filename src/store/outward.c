#include "store/outward.h"

static void external_addresses(const struct fl_outward *how, struct fl_service_in *in, struct fl_outward_room *room)
{
	struct fl_str host = FL_STR("");
	struct fl_ip ip;
	unsigned n = 0;
	for (unsigned i = 0; i < in->nexternal; i++) {
		if (!fl_ip_parse(in->external[i], &ip))
			host = host.n ? host : in->external[i];
		else if (n < FL_COUNT(room->ip))
			room->ip[n++] = in->external[i];
	}
	if (!n && !host.n && how->clusterip)
		return;
	in->cluster_ip = room->ip;
	in->ncluster_ip = n;
	if (n || !host.n)
		return;
	in->type = FL_STR("ExternalName");      /* RFC 1034 §3.6.2: an alias has nothing beside it */
	in->external_name = host;
}

/* x.y.svc.DOMAIN[.] → x.y.svc.ZONE */
static void own_name(const struct fl_outward *how, struct fl_service_in *in, struct fl_outward_room *room)
{
	static const struct fl_str svc = { ".svc.", 5 };
	struct fl_str n = in->external_name, tail;
	n.n -= n.n && n.p[n.n - 1] == '.';
	if (n.n <= how->domain.n + svc.n)
		return;
	size_t front = n.n - how->domain.n;
	tail = (struct fl_str){ n.p + front, how->domain.n };
	if (!fl_str_ieq(tail, how->domain) || !fl_str_ieq((struct fl_str){ n.p + front - svc.n, svc.n }, svc) ||
	    front + how->zone.n > sizeof room->name)
		return;
	memcpy(room->name, n.p, front);
	memcpy(room->name + front, how->zone.p, how->zone.n);
	in->external_name = (struct fl_str){ room->name, front + how->zone.n };
}

void fl_outward(const struct fl_outward *how, struct fl_service_in *in, struct fl_outward_room *room)
{
	if (fl_str_is(in->type, "ExternalName"))
		own_name(how, in, room);
	else if (!in->ncluster_ip || !fl_str_is(in->cluster_ip[0], "None"))
		external_addresses(how, in, room);
}

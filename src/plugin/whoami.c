/* whoami: tells the asker its own address, port and protocol, in the additional section. */
#include "dns/plugin.h"
#include <errno.h>

static int setup(struct fl_setup *s, void **inst)
{
	struct fl_disp *d = fl_setup_disp(s);
	(void)inst;
	fl_disp_next(d);
	return fl_disp_next_arg(d) ? fl_setup_arg_error(s) : 0;
}

static const struct fl_rrset *one(struct fl_query *q, uint16_t type, const void *rdata, size_t n)
{
	struct fl_rrset_maker m;
	fl_rrset_begin(&m, q->arena, type, q->qclass, 16 + n);
	fl_rrset_put(&m, 0, rdata, n);
	return fl_rrset_end(&m);
}

/* _udp.QNAME, or len 0 when that is too long. */
static struct fl_name service(struct fl_query *q)
{
	uint8_t *to = fl_alloc(q->arena, FL_NAME_MAX);
	if (!to)
		return (struct fl_name){ 0 };
	struct fl_name front = { (const uint8_t *)(q->client->tcp ? "\4_tcp" : "\4_udp"), 6 };
	return fl_name_join(to, front, q->qname);
}

static enum fl_verdict query(void *inst, struct fl_query *q)
{
	const struct fl_client *c = q->client;
	uint8_t srv[7] = { 0 };                 /* priority, weight, port, target "." */
	(void)inst;
	fl_put16(srv + 4, c->peer_port);
	struct fl_name owner = service(q);
	const struct fl_rrset *addr = one(q, c->peer.len == 4 ? FL_T_A : FL_T_AAAA, c->peer.b, c->peer.len);
	const struct fl_rrset *port = one(q, FL_T_SRV, srv, sizeof srv);
	if (!addr || !port || !fl_reply_add(q, FL_ADDITIONAL, q->qname, addr, false))
		return fl_yield(q, -ENOMEM);
	if (owner.len && !fl_reply_add(q, FL_ADDITIONAL, owner, port, false))
		return fl_yield(q, -ENOMEM);
	q->res.set |= FL_AA;
	return FL_DONE;
}

static const struct fl_opt opts[] = { { 0 } };

FL_PLUGIN(whoami, .opts = opts, .setup = setup, .query = query);

/* tap.c: exchanges with upstream servers, for dnstap (CoreDNS plugin/forward/dnstap.go). */
#include "dns/tap.h"
#include "plugin/forward/forward_int.h"

int fl_forward_link(struct fl_setup *s, void *inst)
{
	struct fwd *f = inst;
	f->tap = fl_setup_find(s, "dnstap", "tap", &f->tap_inst);
	return 0;
}

static void address(const struct sockaddr_in6 *six, struct fl_addr *to, uint16_t *port)
{
	const struct sockaddr_in *four = (const struct sockaddr_in *)(const void *)six;
	bool v6 = six->sin6_family == AF_INET6;
	if (!v6 && six->sin6_family != AF_INET)
		return;                 /* a socket of the file system */
	to->len = v6 ? 16 : 4;
	memcpy(to->b, v6 ? (const void *)&six->sin6_addr : &four->sin_addr, to->len);
	*port = ntohs(six->sin6_port);
}

void fl_forward_tap(const struct fwd_server *v, struct fl_query *q, const struct fl_up_ask *a, uint64_t ago_ns, const uint8_t *reply, size_t n)
{
	const struct fwd *f = v->stanza->in;
	struct sockaddr_in6 own = { 0 };
	socklen_t len = sizeof own;
	if (!f->tap)
		return;
	struct fl_tap_exchange x = { .tcp = a->tcp && v->conf.kind != FL_UP_QUIC, .ago_ns = ago_ns, .query = a->msg, .nquery = a->len, .reply = reply,
				     .nreply = n };
	if (!getsockname(a->fd, (struct sockaddr *)&own, &len))
		address(&own, &x.from, &x.from_port);
	address(&v->conf.addr, &x.to, &x.to_port);
	f->tap->forwarded(f->tap_inst, q, &x);
}

/* tap.c: exchanges with upstream servers, for dnstap (CoreDNS plugin/forward/dnstap.go). */
#include "dns/tap.h"
#include "plugin/forward/forward_int.h"

int fl_forward_link(struct fl_setup *s, void *inst)
{
	struct fwd *f = inst;
	f->tap = fl_setup_find(s, "dnstap", "tap", &f->tap_inst);
	return 0;
}

void fl_forward_tap(const struct fwd_server *v, struct fl_query *q, const struct fl_up_ask *a, uint64_t ago_ns, const uint8_t *reply, size_t n)
{
	const struct fwd *f = v->stanza->in;
	const struct sockaddr_in6 *six = &v->conf.addr;
	const struct sockaddr_in *four = (const struct sockaddr_in *)(const void *)six;
	if (!f->tap)
		return;
	struct fl_tap_exchange x = { .to_port = ntohs(six->sin6_port), .tcp = a->tcp, .ago_ns = ago_ns, .query = a->msg, .nquery = a->len, .reply = reply,
				     .nreply = n };
	x.to.len = six->sin6_family == AF_INET6 ? 16 : 4;
	memcpy(x.to.b, x.to.len == 16 ? (const void *)&six->sin6_addr : &four->sin_addr, x.to.len);
	f->tap->forwarded(f->tap_inst, q, &x);
}

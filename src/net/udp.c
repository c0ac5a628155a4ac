#include "net/udp.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/uio.h>

enum { OUT_BYTES = 256 * 1024, CONTROL = 64 };

struct fl_udp {
	struct mmsghdr in[FL_UDP_BATCH], out[FL_UDP_BATCH];
	struct iovec in_iov[FL_UDP_BATCH], out_iov[FL_UDP_BATCH];
	struct fl_udp_in got[FL_UDP_BATCH];
	struct fl_udp_way to[FL_UDP_BATCH];
	int fd[FL_UDP_BATCH];
	_Alignas(8) char in_control[FL_UDP_BATCH][CONTROL], out_control[FL_UDP_BATCH][CONTROL];
	unsigned nout;
	size_t at;                      /* bytes of out_bytes in use */
	uint64_t lost;
	uint8_t in_bytes[FL_UDP_BATCH][FL_UDP_IN];
	uint8_t out_bytes[OUT_BYTES];
};

struct fl_udp *fl_udp_create(void)
{
	struct fl_udp *u = mmap(NULL, sizeof *u, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (u == MAP_FAILED)
		return NULL;
	for (unsigned i = 0; i < FL_UDP_BATCH; i++) {
		u->in_iov[i] = (struct iovec){ u->in_bytes[i], FL_UDP_IN };
		u->in[i].msg_hdr = (struct msghdr){ .msg_name = &u->got[i].way.peer, .msg_namelen = sizeof u->got[i].way.peer,
						    .msg_iov = &u->in_iov[i], .msg_iovlen = 1 };
		u->out[i].msg_hdr = (struct msghdr){ .msg_iov = &u->out_iov[i], .msg_iovlen = 1 };
	}
	return u;
}

void fl_udp_destroy(struct fl_udp *u)
{
	if (u)
		munmap(u, sizeof *u);
}

static void local_of(struct fl_udp_in *in, struct msghdr *h)
{
	in->way.info = 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo pi;
			memcpy(&pi, CMSG_DATA(c), sizeof pi);
			in->way.local.v6 = pi.ipi6_addr;
			in->way.ifindex = pi.ipi6_ifindex;
			in->way.info = 6;
		} else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo pi;
			memcpy(&pi, CMSG_DATA(c), sizeof pi);
			in->way.local.v4 = pi.ipi_addr;
			in->way.ifindex = (uint32_t)pi.ipi_ifindex;
			in->way.info = 4;
		}
	}
}

int fl_udp_recv(struct fl_udp *u, int fd, bool wildcard, struct fl_udp_in **in)
{
	static const size_t name_len = sizeof u->got[0].way.peer;
	for (unsigned i = 0; wildcard && i < FL_UDP_BATCH && u->in[i].msg_hdr.msg_controllen != CONTROL; i++) {
		u->in[i].msg_hdr.msg_control = u->in_control[i];
		u->in[i].msg_hdr.msg_controllen = CONTROL;
	}
	int n = recvmmsg(fd, u->in, FL_UDP_BATCH, MSG_DONTWAIT, NULL);
	if (n <= 0)
		return 0;
	for (int i = 0; i < n; i++) {
		struct msghdr *h = &u->in[i].msg_hdr;
		u->got[i].bytes = u->in_bytes[i];
		u->got[i].n = u->in[i].msg_len;
		u->got[i].cut = h->msg_flags & MSG_TRUNC;
		if (wildcard)
			local_of(&u->got[i], h);
		else
			u->got[i].way.info = 0;
		h->msg_namelen = name_len;
		h->msg_controllen = wildcard ? CONTROL : 0;
	}
	*in = u->got;
	return n;
}

/* Sends messages from..to, all of one socket. A socket that is full loses the rest: the client asks again. */
static void send_run(struct fl_udp *u, unsigned from, unsigned to)
{
	while (from < to) {
		int n = sendmmsg(u->fd[from], u->out + from, to - from, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {            /* this one cannot go (unreachable, too big, full): the next may */
			u->lost++;
			n = 1;
		}
		from += (unsigned)n;
	}
}

void fl_udp_flush(struct fl_udp *u)
{
	for (unsigned i = 0, from = 0; i < u->nout; from = i) {
		while (i < u->nout && u->fd[i] == u->fd[from])
			i++;
		send_run(u, from, i);
	}
	u->nout = 0;
	u->at = 0;
}

uint8_t *fl_udp_room(struct fl_udp *u, size_t n)
{
	if (u->nout == FL_UDP_BATCH || OUT_BYTES - u->at < n)
		fl_udp_flush(u);
	return u->out_bytes + u->at;
}

static void set_local(struct msghdr *h, const struct fl_udp_way *way)
{
	struct cmsghdr *c = h->msg_control;
	if (way->info == 6) {
		struct in6_pktinfo pi = { .ipi6_addr = way->local.v6 };
		if (IN6_IS_ADDR_LINKLOCAL(&pi.ipi6_addr))
			pi.ipi6_ifindex = way->ifindex;
		*c = (struct cmsghdr){ CMSG_LEN(sizeof pi), IPPROTO_IPV6, IPV6_PKTINFO };
		memcpy(CMSG_DATA(c), &pi, sizeof pi);
		h->msg_controllen = CMSG_SPACE(sizeof pi);
	} else {
		struct in_pktinfo pi = { .ipi_spec_dst = way->local.v4 };
		*c = (struct cmsghdr){ CMSG_LEN(sizeof pi), IPPROTO_IP, IP_PKTINFO };
		memcpy(CMSG_DATA(c), &pi, sizeof pi);
		h->msg_controllen = CMSG_SPACE(sizeof pi);
	}
}

void fl_udp_queue(struct fl_udp *u, int fd, const struct fl_udp_way *way, size_t n)
{
	unsigned i = u->nout++;
	struct msghdr *h = &u->out[i].msg_hdr;
	u->fd[i] = fd;
	u->to[i].peer = way->peer;
	u->out_iov[i] = (struct iovec){ u->out_bytes + u->at, n };
	u->at += (n + 15) & ~(size_t)15;
	h->msg_name = &u->to[i].peer;
	h->msg_namelen = way->peer.sa.sa_family == AF_INET ? sizeof way->peer.v4 : sizeof way->peer.v6;
	h->msg_control = way->info ? u->out_control[i] : NULL;
	h->msg_controllen = 0;
	if (way->info)
		set_local(h, way);
}

uint64_t fl_udp_lost(const struct fl_udp *u) { return u->lost; }

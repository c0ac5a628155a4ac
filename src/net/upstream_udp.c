/* UDP to a server: connected sockets, so that the kernel drops what comes from elsewhere and says when nobody is there.
 * What is asked in a turn of the loop is sent at its end by one call, many questions to a message (doc/design/0045); replies are read some at
 * a time. */
#include "net/upstream_int.h"
#include <errno.h>
#include <linux/errqueue.h>
#include <linux/udp.h>
#include <sys/epoll.h>

enum { ERRORS = 32, ROUNDS = 4, POLLED = 6, BURST = 16, BURST_LEN = 512 };    /* POLLED: sockets beside which one more is worth its place */

/* One that left with the same message as others. */
static struct fl_up_ask *find_burst(struct fl_up_sock *s, uint32_t burst)
{
	for (unsigned i = 0; i < UP_BUCKETS; i++)
		for (struct fl_up_ask *a = s->bucket[i]; a; a = a->next)
			if (a->burst == burst && !a->unsent)
				return a;
	return NULL;
}

static void refuse(struct fl_up_sock *s, struct fl_up_ask *a, int ret)
{
	uint32_t burst = a->burst;
	uint64_t serial = s->serial;
	do {
		fl_up_tell(s, UP_READ);
		fl_up_finish(a, ret, NULL, 0);
	} while (burst && s->serial == serial && s->io.fd >= 0 && (a = find_burst(s, burst)));
}

/* What an ICMP error or the kernel itself said: it quotes the datagram, and so the question that will have no answer. */
static bool take_errors(struct fl_up_sock *s)
{
	uint64_t serial = s->serial;
	bool any = false;
	for (int i = 0; i < ERRORS && s->serial == serial && s->io.fd >= 0; i++) {
		uint8_t quoted[2];
		_Alignas(struct cmsghdr) char control[512];
		struct iovec iov = { quoted, sizeof quoted };
		struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
		ssize_t n = recvmsg(s->io.fd, &h, MSG_ERRQUEUE | MSG_DONTWAIT);
		if (n < 0)
			break;
		any = true;
		int error = ECONNREFUSED;
		for (struct cmsghdr *c = CMSG_FIRSTHDR(&h); c; c = CMSG_NXTHDR(&h, c))
			if ((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) ||
			    (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR)) {
				struct sock_extended_err e;
				memcpy(&e, CMSG_DATA(c), sizeof e);
				error = (int)e.ee_errno;
			}
		struct fl_up_ask *a = n == 2 ? fl_up_find(s, (uint16_t)(quoted[0] << 8 | quoted[1])) : NULL;
		if (!a || a->unsent)    /* its ID was another's before */
			continue;
		refuse(s, a, -error);
	}
	return any;
}

static void fail_all(struct fl_up_sock *s, int ret)
{
	struct fl_up_ask *list;
	fl_up_tell(s, UP_READ);
	fl_up_take_all(s, &list);
	fl_up_close(s);
	while (list)
		fl_up_finish(list, ret, NULL, 0);
}

static void ready(struct fl_io *io, uint32_t events)
{
	struct fl_up_sock *s = (struct fl_up_sock *)io;
	struct fl_up_net *net = s->up->net;
	uint64_t serial = s->serial;
	bool told = events & EPOLLERR && take_errors(s);
	for (int i = 0; i < ROUNDS && s->io.fd >= 0 && s->serial == serial; i++) {
		int n = recvmmsg(s->io.fd, net->in, UP_READS, MSG_DONTWAIT, NULL);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0 && errno != EINTR) {
			int ret = -errno;       /* perhaps the same that the queue of errors told */
			if (!take_errors(s) && !told) {
				fail_all(s, ret);
				return;
			}
			told = false;
		}
		for (int k = 0; k < n && s->io.fd >= 0 && s->serial == serial; k++)
			fl_up_deliver(s, net->slots + (size_t)k * UP_SLOT, net->in[k].msg_len);
		if ((n >= 0 && n < UP_READS) || !s->inflight)   /* an error that ended the call is told by the next event */
			return;
	}
}

/* Those that wait, the longest first: what is equally long, and one that is shorter, can leave as one message. */
static unsigned line_up(struct fl_up_sock *s, unsigned most)
{
	struct fl_up_ask **order = s->up->net->order;
	unsigned n = 0;
	for (struct fl_up_ask *a = s->unsent; a && n < UP_SENDS && n < most; a = a->qnext) {
		unsigned at = n++;
		for (; !s->up->singly && at && order[at - 1]->len < a->len; at--)
			order[at] = order[at - 1];
		order[at] = a;
	}
	return n;
}

/* So many of those in line become one message, which the kernel (or the network card) cuts again where each ends: the way through the kernel
 * is most of what a question costs, and it is gone once (udp(7), UDP_SEGMENT). */
static unsigned burst(struct fl_up_net *net, struct mmsghdr *to, unsigned at, unsigned n, bool singly)
{
	unsigned k = 0;
	for (unsigned len = net->order[at]->len, last = len; k < n - at && k < BURST; k++) {
		struct fl_up_ask *a = net->order[at + k];
		if (k && (singly || len > BURST_LEN || last < len))
			break;
		last = a->len;
		net->out_iov[at + k] = (struct iovec){ a->msg, a->len };
	}
	to->msg_hdr = (struct msghdr){ .msg_iov = &net->out_iov[at], .msg_iovlen = k };
	if (k == 1)
		return 1;
	struct cmsghdr *c = (struct cmsghdr *)net->out_control[at];
	uint16_t len = net->order[at]->len;
	*c = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof len), .cmsg_level = IPPROTO_UDP, .cmsg_type = UDP_SEGMENT };
	memcpy(CMSG_DATA(c), &len, sizeof len);
	to->msg_hdr.msg_control = c;
	to->msg_hdr.msg_controllen = CMSG_SPACE(sizeof len);
	return k;
}

/* Gone, with the same message: an ICMP error that quotes one of them is for all. */
static void gone(struct fl_up_sock *s, unsigned at, unsigned k)
{
	struct fl_up_net *net = s->up->net;
	net->bursts += k > 1;
	for (unsigned i = at; i < at + k; i++) {
		fl_up_unqueue(s, net->order[i]);
		net->order[i]->burst = k > 1 ? net->bursts : 0;
	}
}

/* Without UDP_SEGMENT (before Linux 4.18) a message of many questions would be one datagram, and nobody would say so. */
static bool knows_bursts(int fd)
{
	int size;
	socklen_t n = sizeof size;
	return !getsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &size, &n);
}

/* A device that leaves checksums to the kernel, or IPsec; a path whose packets are very small. */
static bool is_of_bursts(int e) { return e == EINVAL || e == EIO || e == EOPNOTSUPP || e == ENOPROTOOPT || e == EMSGSIZE; }

/* The end of the loop's turn. */
static bool flush(struct fl_later *d)
{
	struct fl_up_sock *s = (struct fl_up_sock *)((char *)d - offsetof(struct fl_up_sock, later));
	struct fl_up_net *net = s->up->net;
	uint64_t serial = s->serial;
	bool tried = false, called = false;
	/* Not more than wait now: who asks again when he is told of an error waits for the next turn. */
	for (unsigned left = s->inflight; left && s->unsent && s->serial == serial;) {
		unsigned n = line_up(s, left), messages = 0, at = 0;
		for (; at < n; messages++)
			at += burst(net, &net->out[messages], at, n, s->up->singly);
		int sent = sendmmsg(s->io.fd, net->out, messages, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (sent < 0 && errno == EAGAIN)
			sent = 1;               /* full: lost, as UDP loses; the time limit finds out */
		if (sent < 0 && !tried) {       /* may report an error that an earlier datagram met */
			tried = true;
			continue;
		}
		if (sent < 0 && net->out[0].msg_hdr.msg_iovlen > 1 && is_of_bursts(errno)) {
			s->up->singly = true;
			continue;
		}
		tried = false;
		at = 0;
		for (int i = 0; i < sent; at += (unsigned)net->out[i++].msg_hdr.msg_iovlen)
			gone(s, at, (unsigned)net->out[i].msg_hdr.msg_iovlen);
		left -= sent < 0 ? 1 : at;
		if (sent < 0) {
			int ret = -errno;
			fl_up_tell(s, UP_WRITE);
			fl_up_finish(net->order[0], ret, NULL, 0);
			called = true;
		}
	}
	return called;
}

static void reset(struct fl_up_sock *s) { fl_later_clear(s->up->net->loop, &s->later); }

static int open_one(struct fl_up_sock *s)
{
	struct fl_upstream *u = s->up;
	struct fl_loop *l = u->net->loop;
	int ret = fl_up_open(s, SOCK_DGRAM);
	if (ret)
		return ret;
	u->singly = u->singly || !knows_bursts(s->io.fd);
	s->io.fn = ready;
	s->later.fn = flush;
	ret = fl_loop_add_polled(l, &s->io, POLLED);
	if (ret) {
		fl_up_close(s);
		return ret;
	}
	fl_timer_set(l, &s->timer, fl_loop_now(l) + u->conf.expire_ns);
	u->stats.sockets++;
	u->udp = s;
	return 0;
}

/* The current socket; a new one when that is worn; when none is left, the one that waits for the fewest. */
static int pick(struct fl_upstream *u, struct fl_up_sock **to)
{
	struct fl_up_sock *s = u->udp, *least = NULL;
	int ret = -EAGAIN;
	if (s && !s->retiring && s->uses < FL_UP_USES && s->inflight < UP_SOFT) {
		*to = s;
		return 0;
	}
	if (s && s->uses >= FL_UP_USES)
		s->retiring = true;
	if (s && s->retiring)
		fl_up_idle(s);
	for (unsigned i = 0; i < FL_UP_SOCKETS; i++) {
		s = &u->sock[i];
		if (s->io.fd < 0) {
			ret = open_one(s);
			*to = s;
			if (!ret)
				return 0;
			break;
		}
	}
	for (unsigned i = 0; i < FL_UP_SOCKETS; i++) {
		s = &u->sock[i];
		if (s->io.fd >= 0 && s->inflight < UP_HARD && (!least || s->inflight < least->inflight))
			least = s;
	}
	*to = least;
	return least ? 0 : ret;
}

static int ask(struct fl_upstream *u, struct fl_up_ask *a)
{
	struct fl_up_sock *s;
	int ret = pick(u, &s);
	if (ret)
		return ret;
	fl_up_link(s, a);
	fl_up_queue(s, a);
	fl_loop_later(u->net->loop, &s->later);
	return 0;
}

static void leave(struct fl_up_ask *a)
{
	if (a->unsent)
		fl_up_unqueue(a->sock, a);
}

const struct fl_up_way fl_up_udp = { .ask = ask, .leave = leave, .reset = reset };

/* Listening sockets of both transports. */
#include "net/udp.h"
#include "base/rng.h"
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

socklen_t fl_sockaddr(struct sockaddr_in6 *sa, struct fl_str host, uint16_t port)
{
	char text[INET6_ADDRSTRLEN + IF_NAMESIZE];
	struct sockaddr_in *v4 = (struct sockaddr_in *)sa;
	struct fl_str ip, scope = fl_str_cut(host, '%', &ip);
	if (ip.n >= INET6_ADDRSTRLEN)
		return 0;
	memcpy(text, ip.p, ip.n);
	text[ip.n] = 0;
	memset(sa, 0, sizeof *sa);
	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		return sizeof *v4;
	}
	if (inet_pton(AF_INET6, text, &sa->sin6_addr) != 1)
		return 0;
	sa->sin6_family = AF_INET6;
	sa->sin6_port = htons(port);
	if (scope.n && scope.n < IF_NAMESIZE) {
		memcpy(text, scope.p, scope.n);
		text[scope.n] = 0;
		sa->sin6_scope_id = if_nametoindex(text);
	}
	return sizeof *sa;
}

/* Go's words for the errors that binding meets. */
static const char *go_error(int err)
{
	switch (err) {
	case EADDRINUSE: return "address already in use";
	case EADDRNOTAVAIL: return "cannot assign requested address";
	case EACCES: return "permission denied";
	default: return strerror(err);
	}
}

static int on(int fd, int level, int name)
{
	int one = 1;
	return setsockopt(fd, level, name, &one, sizeof one);
}

static int open_one(int type, struct fl_str host, uint16_t port, int family, bool *wildcard)
{
	struct sockaddr_in6 sa;
	socklen_t len = fl_sockaddr(&sa, host.n ? host : family == AF_INET6 ? FL_STR("::") : FL_STR("0.0.0.0"), port);
	if (!len)
		return -EADDRNOTAVAIL;
	int fd = socket(sa.sin6_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), off = 0;
	if (fd < 0)
		return -errno;
	bool any = sa.sin6_family == AF_INET6 ? IN6_IS_ADDR_UNSPECIFIED(&sa.sin6_addr)
					      : ((struct sockaddr_in *)&sa)->sin_addr.s_addr == htonl(INADDR_ANY);
	on(fd, SOL_SOCKET, SO_REUSEPORT);
	if (type == SOCK_STREAM)
		on(fd, SOL_SOCKET, SO_REUSEADDR);
	if (sa.sin6_family == AF_INET6) {
		if (host.n)
			on(fd, IPPROTO_IPV6, IPV6_V6ONLY);
		else
			setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
	}
	if (type == SOCK_DGRAM) {       /* room for what comes while the machine runs somebody else: forced where that is allowed */
		int room = 4 << 20;
		if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room))
			setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
	}
	if (any && type == SOCK_DGRAM) {
		if (sa.sin6_family == AF_INET6)
			on(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO);
		else
			on(fd, IPPROTO_IP, IP_PKTINFO);
	}
	if (bind(fd, (struct sockaddr *)&sa, len) || (type == SOCK_STREAM && listen(fd, 1024))) {
		int err = errno;
		close(fd);
		return -err;
	}
	if (wildcard)
		*wildcard = any;
	return fd;
}

static int listen_on(int type, struct fl_str host, const char *port, bool *wildcard, char *what, size_t cap)
{
	const char *proto = type == SOCK_DGRAM ? "udp" : "tcp";
	bool v6 = memchr(host.p ? host.p : "", ':', host.n) != NULL;
	int64_t number;
	if (fl_parse_int(fl_str(port), 0, 65535, &number)) {
		snprintf(what, cap, "listen %s: address %s: invalid port", proto, port);
		return -EINVAL;
	}
	int fd = open_one(type, host, (uint16_t)number, AF_INET6, wildcard);
	if (fd == -EAFNOSUPPORT && !host.n)     /* a machine without IPv6 */
		fd = open_one(type, host, (uint16_t)number, AF_INET, wildcard);
	if (fd < 0)
		snprintf(what, cap, "listen %s %s%.*s%s:%s: bind: %s", proto, v6 ? "[" : "", FL_FMT(host), v6 ? "]" : "", port,
			 go_error(-fd));
	return fd;
}

int fl_listen_udp(struct fl_str host, const char *port, bool *wildcard, char *what, size_t cap)
{
	return listen_on(SOCK_DGRAM, host, port, wildcard, what, cap);
}

int fl_listen_tcp(struct fl_str host, const char *port, char *what, size_t cap)
{
	int fd = listen_on(SOCK_STREAM, host, port, NULL, what, cap);
	if (fd >= 0)
		on(fd, IPPROTO_TCP, TCP_NODELAY);       /* accepted ones inherit it */
	return fd;
}

uint16_t fl_free_port(void)
{
	for (int i = 0; i < 1000; i++) {
		uint16_t r;
		fl_random_bytes(&r, sizeof r);
		const uint16_t port = (uint16_t)(10000 + r % 22000);
		const struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(port) };
		int t = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), u = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		bool taken = bind(t, (const struct sockaddr *)&sa, sizeof sa) || bind(u, (const struct sockaddr *)&sa, sizeof sa);
		close(t);
		close(u);
		if (!taken)
			return port;
	}
	return 0;
}

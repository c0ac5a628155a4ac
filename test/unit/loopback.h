/* loopback: sockets of 127.0.0.1 that the kernel has given a port. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

static inline struct sockaddr_in loopback(uint16_t port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port) };
}

/* On *port, 0: any, which is then told; -1: it is taken. */
static inline int bound(int type, uint16_t *port)
{
	struct sockaddr_in sa = loopback(*port);
	socklen_t len = sizeof sa;
	int fd = socket(AF_INET, type, 0), one = 1;
	if (type & SOCK_STREAM)                 /* whatever a connection of before left there */
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(fd, (struct sockaddr *)&sa, len)) {
		close(fd);
		return -1;
	}
	getsockname(fd, (struct sockaddr *)&sa, &len);
	*port = ntohs(sa.sin_port);
	return fd;
}

/* One port for both transports; the stream listens. how: SOCK_NONBLOCK or 0. */
static inline uint16_t bound_pair(int *udp, int *tcp, int how)
{
	uint16_t port;
	do {
		port = 0;
		*udp = bound(SOCK_DGRAM | how, &port);
		*tcp = bound(SOCK_STREAM | how, &port);
	} while (*tcp < 0 && !close(*udp));
	assert_int_equal(listen(*tcp, 64), 0);
	return port;
}

/* On any port, which is told. */
static inline int listening(uint16_t *port)
{
	*port = 0;
	int fd = bound(SOCK_STREAM, port);
	assert_int_equal(listen(fd, 64), 0);
	return fd;
}

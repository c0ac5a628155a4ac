/* free_port: a port that nobody has, for both transports, below those that the kernel gives to sockets that connect. */
#pragma once
#include <arpa/inet.h>
#include <stdint.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

static uint16_t free_port(void)
{
	for (int i = 0; i < 1000; i++) {
		uint16_t r = 0;
		if (getrandom(&r, sizeof r, 0) != sizeof r)
			continue;
		uint16_t port = (uint16_t)(10000 + r % 22000);
		struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(port) };
		int t = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), u = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		int ret = bind(t, (struct sockaddr *)&sa, sizeof sa) || bind(u, (struct sockaddr *)&sa, sizeof sa);
		close(t);
		close(u);
		if (!ret)
			return port;
	}
	return 0;
}

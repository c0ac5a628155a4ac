/* The floor: a server that sends back what comes (with QR set), in batches, and does nothing else. Its socket is bound as the one that it is
 * compared with (family, packet info), so that both pay the same to the kernel. usage: bench_echo ADDR PORT [BYTES]
 * BYTES: each reply is padded to this length (a headless name's answer). Ends at SIGTERM. */
#include "net/udp.h"
#include "base/mem.h"
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
	char what[256];
	bool wildcard;
	int64_t bytes = 0;
	if (argc < 3 || (argc > 3 && fl_parse_int(fl_str(argv[3]), 0, 65535, &bytes)))
		return fprintf(stderr, "usage: %s ADDR PORT [BYTES]   (ADDR '' is all addresses)\n", argv[0]), 2;
	int fd = fl_listen_udp(fl_str(argv[1]), argv[2], &wildcard, what, sizeof what);
	if (fd < 0)
		return fprintf(stderr, "%s\n", what), 1;
	struct fl_udp *u = fl_udp_create();
	struct fl_udp_in *in;
	struct pollfd p = { .fd = fd, .events = POLLIN };
	for (int n = 0;;) {
		if (n < FL_UDP_BATCH)           /* less than a batch came: that was all, and to ask again would cost a call for nothing */
			poll(&p, 1, -1);
		n = fl_udp_recv(u, fd, wildcard, &in);
		for (int i = 0; i < n; i++) {
			size_t len = in[i].n > (size_t)bytes ? in[i].n : (size_t)bytes;
			uint8_t *to = fl_udp_room(u, len);
			memset(to + in[i].n, 0, len - in[i].n);
			memcpy(to, in[i].bytes, in[i].n);
			if (in[i].n > 2)
				to[2] |= 0x80;
			fl_udp_queue(u, fd, &in[i].way, len);
		}
		fl_udp_flush(u);
	}
}

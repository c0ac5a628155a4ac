/* An upstream for caches: answers every question with one address (TTL 3600, the same for the same name), in batches, without a look at its
 * name; an OPT that the question brings is left out. usage: bench_upstream ADDR PORT. Ends at SIGTERM. */
#include "net/udp.h"
#include "wire/message.h"
#include <poll.h>
#include <stdio.h>

enum { RR = 16 };

/* The reply to a question of n octets, in `to`; its length, 0: none. */
static size_t answer(uint8_t *to, const uint8_t *bytes, size_t n)
{
	struct fl_request r;
	if (fl_request_parse(&r, bytes, n, 1 << FL_OP_QUERY) != FL_PARSED_OK)
		return 0;
	size_t end = r.question_end;
	static const uint8_t head[12] = { 0xc0, FL_HEADER, 0, FL_T_A, 0, FL_C_IN, 0, 0, 3600 >> 8, 3600 & 255, 0, 4 };
	memcpy(to, bytes, end);
	fl_put16(to + 2, (uint16_t)(FL_QR | FL_RA | (r.flags & (FL_RD | FL_CD))));
	fl_put16(to + 6, 1);
	fl_put32(to + 8, 0);
	memcpy(to + end, head, sizeof head);
	to[end + 12] = 10;
	memcpy(to + end + 13, to + FL_HEADER + 1, 3);
	return end + RR;
}

int main(int argc, char **argv)
{
	char what[256];
	bool wildcard;
	if (argc < 3)
		return fprintf(stderr, "usage: %s ADDR PORT\n", argv[0]), 2;
	int fd = fl_listen_udp(fl_str(argv[1]), argv[2], &wildcard, what, sizeof what);
	if (fd < 0)
		return fprintf(stderr, "%s\n", what), 1;
	struct fl_udp *u = fl_udp_create();
	struct fl_udp_in *in;
	struct pollfd p = { .fd = fd, .events = POLLIN };
	for (int n = 0;;) {
		if (n < FL_UDP_BATCH)
			poll(&p, 1, -1);
		n = fl_udp_recv(u, fd, wildcard, &in);
		for (int i = 0; i < n; i++) {
			size_t len = answer(fl_udp_room(u, in[i].n + RR), in[i].bytes, in[i].n);
			if (len)
				fl_udp_queue(u, fd, &in[i].way, len);
		}
		fl_udp_flush(u);
	}
}

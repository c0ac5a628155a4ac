/* An upstream for caches: answers every question with one address (TTL 3600, the same for the same name), in batches, without a look at its
 * name; an OPT that the question brings is left out. With DELAY-MS each answer is held for so long, in the order of the questions.
 * usage: bench_upstream ADDR PORT [DELAY-MS]. Ends at SIGTERM, and says then how many answers it held at most. */
#include "base/clock.h"
#include "base/mem.h"
#include "net/udp.h"
#include "wire/message.h"
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

enum { RR = 16 };

struct held { struct held *next; uint64_t due_ns; struct fl_udp_way way; size_t n; uint8_t bytes[]; };

static struct held *first, **last = &first;     /* all wait equally long: the first is due first */
static unsigned holding, peak;
static volatile sig_atomic_t over;

static void end(int sig)
{
	(void)sig;
	over = 1;
}

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

static void hold(const struct fl_udp_in *in, uint64_t due_ns)
{
	struct held *h = fl_xalloc(sizeof *h + in->n + RR);
	h->n = answer(h->bytes, in->bytes, in->n);
	if (!h->n) {
		free(h);
		return;
	}
	h->next = NULL;
	h->due_ns = due_ns;
	h->way = in->way;
	*last = h;
	last = &h->next;
	if (++holding > peak)
		peak = holding;
}

static void release(struct fl_udp *u, int fd)
{
	for (uint64_t now = fl_clock_ns(); first && first->due_ns <= now; holding--) {
		struct held *h = first;
		memcpy(fl_udp_room(u, h->n), h->bytes, h->n);
		fl_udp_queue(u, fd, &h->way, h->n);
		first = h->next;
		free(h);
		if (!first)
			last = &first;
	}
}

static int wait_ms(void)
{
	uint64_t now = fl_clock_ns();
	return !first ? -1 : first->due_ns <= now ? 0 : (int)((first->due_ns - now) / FL_MS) + 1;
}

int main(int argc, char **argv)
{
	char what[256];
	bool wildcard;
	int64_t delay_ms = 0;
	if (argc < 3 || (argc > 3 && fl_parse_int(fl_str(argv[3]), 0, 60000, &delay_ms)))
		return fprintf(stderr, "usage: %s ADDR PORT [DELAY-MS]\n", argv[0]), 2;
	int fd = fl_listen_udp(fl_str(argv[1]), argv[2], &wildcard, what, sizeof what);
	if (fd < 0)
		return fprintf(stderr, "%s\n", what), 1;
	sigaction(SIGTERM, &(struct sigaction){ .sa_handler = end }, NULL);
	struct fl_udp *u = fl_udp_create();
	struct fl_udp_in *in;
	struct pollfd p = { .fd = fd, .events = POLLIN };
	for (int n = 0; !over;) {
		if (n < FL_UDP_BATCH)
			poll(&p, 1, wait_ms());
		n = fl_udp_recv(u, fd, wildcard, &in);
		for (int i = 0; i < n; i++) {
			if (delay_ms) {
				hold(&in[i], fl_clock_ns() + (uint64_t)delay_ms * FL_MS);
				continue;
			}
			size_t len = answer(fl_udp_room(u, in[i].n + RR), in[i].bytes, in[i].n);
			if (len)
				fl_udp_queue(u, fd, &in[i].way, len);
		}
		release(u, fd);
		fl_udp_flush(u);
	}
	printf("%u\n", peak);
	return 0;
}

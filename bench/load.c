/* Asks questions from a file, over and over, and counts what comes back. One thread, several sockets, batches.
 *
 * usage: bench_load ADDR PORT FILE [-t SECONDS] [-s SOCKETS] [-w WINDOW] [-r RATE] [-e BUFSIZE] [-n COUNT] [-p PATIENCE]
 * FILE: see questions.h. WINDOW: queries in flight over all sockets; RATE: queries a second, each sent at its time whatever became of
 * those before (open loop), and its latency counted from when it was due. 0: as fast as the window allows; it then never sleeps, so that the
 * server need not wake it: else a fast server, whose client is always busy, would be spared what a slower one pays. -n: after so many. Prints
 * one JSON line. A query that stays unanswered for PATIENCE seconds (2) is lost, its slot used again. */
#include "questions.h"
#include "base/clock.h"
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <sys/prctl.h>
#include <sys/socket.h>

enum { SOCKETS = 64, WINDOW = 65536, BATCH = 64, LAT = 8000000 };

struct slot { uint64_t sent_ns; bool out; };

static unsigned nsock = 8, window = 300;
static uint64_t rate, count, patience = 2;
static int64_t seconds = 5;
static int fd[SOCKETS];
static struct slot *slots;              /* [socket][id] */
static uint64_t sent, answered, lost, late, bytes_in, rcodes[16], truncated;
static uint32_t *histogram;             /* of latencies, in microseconds */

static void count_latency(uint64_t ns)
{
	uint64_t us = ns / 1000;
	histogram[us < LAT ? us : LAT - 1]++;
}

static double quantile(double q)
{
	uint64_t want = (uint64_t)((double)answered * q), have = 0;
	for (unsigned i = 0; i < LAT; i++)
		if ((have += histogram[i]) > want)
			return i;
	return LAT;
}

static void open_sockets(const char *addr, const char *port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET };
	int64_t p;
	if (inet_pton(AF_INET, addr, &sa.sin_addr) != 1 || fl_parse_int(fl_str(port), 1, 65535, &p))
		exit(fprintf(stderr, "bad address %s:%s\n", addr, port));
	sa.sin_port = htons((uint16_t)p);
	for (unsigned i = 0; i < nsock; i++) {
		int size = 4 << 20;
		fd[i] = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
		setsockopt(fd[i], SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
		if (fd[i] < 0 || connect(fd[i], (struct sockaddr *)&sa, sizeof sa))
			exit(fprintf(stderr, "socket: %s\n", strerror(errno)));
	}
}

static unsigned receive(unsigned s)
{
	static uint8_t in[BATCH][65536];
	static struct mmsghdr m[BATCH];
	static struct iovec iov[BATCH];
	for (unsigned i = 0; i < BATCH; i++) {
		iov[i] = (struct iovec){ in[i], sizeof in[i] };
		m[i].msg_hdr = (struct msghdr){ .msg_iov = &iov[i], .msg_iovlen = 1 };
	}
	int n = recvmmsg(fd[s], m, BATCH, MSG_DONTWAIT, NULL);
	uint64_t now = fl_clock_ns();
	unsigned got = 0;
	for (int i = 0; i < n; i++) {
		if (m[i].msg_len < FL_HEADER)
			continue;
		struct slot *sl = &slots[s * 65536u + fl_get16(in[i])];
		if (!sl->out) {
			late++;
			continue;
		}
		sl->out = false;
		got++;
		bytes_in += m[i].msg_len;
		rcodes[in[i][3] & 15]++;
		truncated += (in[i][2] & 2) != 0;
		count_latency(now - sl->sent_ns);
	}
	answered += got;
	return got;
}

static uint16_t next_id[SOCKETS];
static unsigned at_question;

/* Sends up to n on socket s, the first due at `due` and each other `step` later; how many went. */
static unsigned transmit(unsigned s, unsigned n, uint64_t due, uint64_t step)
{
	static uint8_t out[BATCH][512];
	struct iovec iov[BATCH];
	n = n > BATCH ? BATCH : n;
	for (unsigned i = 0; i < n; i++) {
		const struct question *q = &question[at_question];
		at_question = (at_question + 1) % nquestion;
		uint16_t id = next_id[s]++;
		struct slot *sl = &slots[s * 65536u + id];
		lost += sl->out;                /* its turn came round again: given up */
		*sl = (struct slot){ due + i * step, true };
		memcpy(out[i], q->bytes, q->n);
		fl_put16(out[i], id);
		iov[i] = (struct iovec){ out[i], q->n };
	}
	unsigned went = 0;              /* each by a call of its own, as clients are: a batch would wake the server once for all of it */
	while (went < n && send(fd[s], iov[went].iov_base, iov[went].iov_len, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
		went++;
	for (unsigned i = went; i < n; i++)
		slots[s * 65536u + (uint16_t)(next_id[s] - n + i)].out = false;
	next_id[s] = (uint16_t)(next_id[s] - (n - went));
	sent += went;
	return went;
}

static uint64_t sweep(uint64_t older_than)
{
	uint64_t n = 0;
	for (unsigned i = 0; i < nsock * 65536u; i++)
		if (slots[i].out && slots[i].sent_ns < older_than) {
			slots[i].out = false;
			n++;
		}
	lost += n;
	return n;
}

static void wait_for(uint64_t ns)
{
	struct pollfd p[SOCKETS];
	for (unsigned i = 0; i < nsock; i++)
		p[i] = (struct pollfd){ .fd = fd[i], .events = POLLIN };
	struct timespec t = { .tv_sec = (time_t)(ns / FL_SEC), .tv_nsec = (long)(ns % FL_SEC) };
	ppoll(p, nsock, &t, NULL);
}

static void run(void)
{
	uint64_t start = fl_clock_ns(), end = start + (uint64_t)seconds * FL_SEC, swept = start, due = start, now;
	uint64_t step = rate ? FL_SEC / rate : 0;
	int64_t out = 0;
	for (unsigned turn = 0; (now = fl_clock_ns()) < end && (!count || sent < count); turn++) {
		unsigned s = turn % nsock;
		out -= receive(s);
		if (rate) {
			if (now >= due) {       /* what the socket does not take is late, not left out */
				unsigned went = transmit(s, (unsigned)((now - due) / step < BATCH ? (now - due) / step + 1 : BATCH), due, step);
				out += went;
				due += went * step;
			} else {
				wait_for(due - now);
				for (unsigned i = 0; i < nsock; i++)
					out -= receive(i);
			}
		} else if (out < (int64_t)window) {
			unsigned share = (unsigned)((int64_t)window - out);
			out += transmit(s, share > window / nsock + 1 ? window / nsock + 1 : share, fl_clock_ns(), 0);
		} else if (s == 0 && window < nsock) {
			wait_for(FL_MS);        /* lone queries: as a resolver waits */
		}
		if (now - swept > FL_SEC) {
			out -= (int64_t)sweep(now - patience * FL_SEC);
			swept = now;
		}
	}
	double took = (double)(fl_clock_ns() - start) / 1e9;
	for (uint64_t until = fl_clock_ns() + patience * FL_SEC; sent - answered - lost > 0 && fl_clock_ns() < until;) {
		wait_for(10 * FL_MS);
		for (unsigned i = 0; i < nsock; i++)
			receive(i);
	}
	sweep(UINT64_MAX);
	printf("{\"sent\": %lu, \"answered\": %lu, \"lost\": %lu, \"late\": %lu, \"seconds\": %.3f, \"qps\": %.0f, \"p50_us\": %.0f, "
	       "\"p90_us\": %.0f, \"p99_us\": %.0f, \"p999_us\": %.0f, \"bytes\": %lu, \"tc\": %lu, \"noerror\": %lu, \"servfail\": %lu, "
	       "\"nxdomain\": %lu, \"refused\": %lu}\n", sent, answered, lost, late, took, (double)answered / took, quantile(0.5), quantile(0.9),
	       quantile(0.99), quantile(0.999), bytes_in, truncated, rcodes[0], rcodes[2], rcodes[3], rcodes[5]);
}

int main(int argc, char **argv)
{
	int64_t v, bufsize = 0;
	if (argc < 4)
		return fprintf(stderr, "usage: %s ADDR PORT FILE [-t S] [-s SOCKETS] [-w WINDOW] [-r RATE] [-e BUFSIZE] [-n COUNT] [-p S]\n", argv[0]), 2;
	for (int i = 4; i + 1 < argc; i += 2) {
		if (fl_parse_int(fl_str(argv[i + 1]), 0, INT32_MAX, &v))
			return fprintf(stderr, "%s: not a number\n", argv[i + 1]), 2;
		switch (argv[i][1]) {
		case 't': seconds = v; break;
		case 's': nsock = v > 0 && v <= SOCKETS ? (unsigned)v : 8; break;
		case 'w': window = v > 0 && v <= WINDOW ? (unsigned)v : 300; break;
		case 'r': rate = (uint64_t)v; break;
		case 'e': bufsize = v; break;
		case 'n': count = (uint64_t)v; break;
		case 'p': patience = v > 0 && v <= 60 ? (uint64_t)v : 2; break;
		default: return fprintf(stderr, "unknown option %s\n", argv[i]), 2;
		}
	}
	prctl(PR_SET_TIMERSLACK, 1UL);          /* else what -r sends alone would come in pairs */
	slots = fl_xalloc(nsock * 65536u * sizeof *slots);
	histogram = fl_xalloc(LAT * sizeof *histogram);
	read_questions(argv[3], bufsize);
	open_sockets(argv[1], argv[2]);
	run();
	return 0;
}

/* What a server does outside the kernel, alone: preloaded (LD_PRELOAD), it hands the questions of a file to recvmmsg() over and over, takes the
 * answers from sendmmsg(), and measures the CPU time of the thread. So a busy machine or its kernel hardly disturb the figure.
 *
 * FEED: the file, each question a length of 16 bits and its bytes. FEED_GO: begins when this file is there, on the socket that receives next;
 * until then all calls go to the kernel. FEED_OUT: nanoseconds a query go there (least and median of ROUNDS rounds), then the process exits.
 * FEED_WHO: the name of the program that is meant; those that it was started by or that start beside it are left alone. */
#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { QUESTIONS = 100000, ROUND = 65536, ROUNDS = 60 };

static struct { const unsigned char *bytes; unsigned short n; } question[QUESTIONS];
static unsigned nquestion, rounds;
static int fed = -1;                    /* the socket */
static FILE *out;
static double took[ROUNDS];

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("FEED_OUT"), *who = getenv("FEED_WHO");
	if (path && who && !strcmp(who, program_invocation_short_name))
		out = fopen(path, "w"); /* before the process confines itself */
}

static void read_questions(void)
{
	static unsigned char file[1 << 24];
	FILE *f = fopen(getenv("FEED"), "r");
	size_t n = f ? fread(file, 1, sizeof file, f) : 0;
	for (size_t at = 0, len; at + 2 < n && nquestion < QUESTIONS; at += 2 + len) {
		len = (size_t)(file[at] << 8 | file[at + 1]);
		question[nquestion].bytes = file + at + 2;
		question[nquestion++].n = (unsigned short)len;
	}
	if (f)
		fclose(f);
}

static double cpu_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int order(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static void round_done(double ns)
{
	took[rounds++] = ns;
	if (rounds < ROUNDS)
		return;
	qsort(took, ROUNDS, sizeof *took, order);
	fprintf(out, "{\"least\": %.1f, \"median\": %.1f}\n", took[0], took[ROUNDS / 2]);
	fflush(out);
	_exit(0);
}

int recvmmsg(int fd, struct mmsghdr *m, unsigned n, int flags, struct timespec *timeout)
{
	static unsigned at, since;
	static double start;
	const char *go = getenv("FEED_GO");
	if (fed < 0 && out && go && !access(go, F_OK)) {
		read_questions();
		fed = nquestion ? fd : -1;
	}
	if (fd != fed)
		return REAL(recvmmsg)(fd, m, n, flags, timeout);
	if (since >= ROUND) {
		round_done((cpu_ns() - start) / since);
		since = 0;
	}
	if (!since)
		start = cpu_ns();
	for (unsigned i = 0; i < n; i++, at = (at + 1) % nquestion) {
		struct sockaddr_in from = { .sin_family = AF_INET, .sin_port = htons((unsigned short)(4000 + i)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
		memcpy(m[i].msg_hdr.msg_iov->iov_base, question[at].bytes, question[at].n);
		memcpy(m[i].msg_hdr.msg_name, &from, sizeof from);
		m[i].msg_hdr.msg_namelen = sizeof from;
		m[i].msg_hdr.msg_flags = 0;
		m[i].msg_len = question[at].n;
	}
	since += n;
	return (int)n;
}

int sendmmsg(int fd, struct mmsghdr *m, unsigned n, int flags)
{
	return fed >= 0 && fd == fed ? (int)n : REAL(sendmmsg)(fd, m, n, flags);
}

/* The fed socket is always ready, the others never. */
static int always(struct pollfd *p, nfds_t n)
{
	int found = 0;
	for (nfds_t i = 0; i < n; i++) {
		p[i].revents = p[i].fd == fed ? POLLIN : 0;
		found += p[i].fd == fed;
	}
	return found;
}

int poll(struct pollfd *p, nfds_t n, int timeout)
{
	int found = fed >= 0 ? always(p, n) : 0;
	return found ? found : REAL(poll)(p, n, timeout);
}

int __poll_chk(struct pollfd *p, nfds_t n, int timeout, size_t size);
int __poll_chk(struct pollfd *p, nfds_t n, int timeout, size_t size)   /* poll() of programs built with _FORTIFY_SOURCE */
{
	(void)size;
	return poll(p, n, timeout);
}

/* netexec's UDP and SCTP servers: they answer a message of a few verbs. */
#include "cmd/fairctl/netexec.h"
#include "base/clock.h"
#include <ctype.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

static int64_t udp_port, sctp_port;
static atomic_int serving;

/* The reply to a message; false: none. */
static bool verb(char *text, const char *peer, int64_t port, char *to, size_t cap, int *n)
{
	struct fl_str raw = fl_str_trim(fl_str(text));
	char low[2049];
	snprintf(low, sizeof low, "%.*s", FL_FMT(raw));
	for (char *p = low; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	if (!strcmp(low, "hostname")) {
		*n = snprintf(to, cap, "%s", go_hostname());
	} else if (!strncmp(low, "echo ", 5)) {
		*n = snprintf(to, cap, "%s", low + 5);          /* lower case: agnhost's way */
	} else if (!strncmp(low, "envvar ", 7)) {
		char name[2049];
		struct fl_str rest = fl_str_trim((struct fl_str){ raw.p + 7, raw.n - 7 });
		snprintf(name, sizeof name, "%.*s", FL_FMT(rest));
		const char *value = getenv(name);
		*n = snprintf(to, cap, "%s", value ? value : "");
	} else if (!strcmp(low, "clientip")) {
		*n = snprintf(to, cap, "%s", peer);
	} else if (!strcmp(low, "serverport")) {
		*n = snprintf(to, cap, "%lld", (long long)port);
	} else {
		if (*low)
			go_log("Unknown command received from %s: %s", peer, low);
		return false;
	}
	*n = *n < (int)cap ? *n : (int)cap - 1;
	return true;
}

static void *udp(void *arg)
{
	int fd = (int)(intptr_t)arg, n;
	char buf[2049], reply[4096], text[GO_ADDR_TEXT];
	for (;;) {
		struct go_addr peer = { .len = sizeof peer.sa };
		ssize_t got = recvfrom(fd, buf, sizeof buf - 1, 0, (struct sockaddr *)&peer.sa, &peer.len);
		if (got < 0)
			continue;
		buf[got] = 0;
		go_addr_text(text, &peer);
		if (verb(buf, text, udp_port, reply, sizeof reply, &n) && sendto(fd, reply, (size_t)n, 0, (struct sockaddr *)&peer.sa, peer.len) < 0)
			go_log("write udp %s: %s", text, go_errno(errno));
	}
	return NULL;
}

static void *sctp(void *arg)
{
	int fd = (int)(intptr_t)arg, n;
	char buf[1025], reply[4096], text[GO_ADDR_TEXT];
	for (;;) {
		struct go_addr peer = { .len = sizeof peer.sa };
		int c = accept4(fd, (struct sockaddr *)&peer.sa, &peer.len, SOCK_CLOEXEC);
		if (c < 0)
			continue;
		go_deadline(c, fl_clock_ns() + 5 * FL_SEC);
		ssize_t got = recv(c, buf, sizeof buf - 1, 0);
		buf[got > 0 ? got : 0] = 0;
		go_addr_text(text, &peer);
		if (got > 0 && verb(buf, text, sctp_port, reply, sizeof reply, &n) && send(c, reply, (size_t)n, MSG_NOSIGNAL) < 0)
			go_log("write sctp %s: %s", text, go_errno(errno));
		close(c);
	}
	return NULL;
}

static void start(const char *address, int64_t port, bool is_udp)
{
	pthread_t t;
	int fd = go_listen(address, (unsigned)port, is_udp ? SOCK_DGRAM : SOCK_STREAM, is_udp ? 0 : IPPROTO_SCTP);
	if (fd < 0)
		go_fatal("Error occurred: failed to create listener for %s address %s:%lld:listen %s %s:%lld: bind: %s", is_udp ? "UDP" : "SCTP", address,
			 (long long)port, is_udp ? "udp" : "sctp", address, (long long)port, go_errno(-fd));
	if (is_udp)
		go_log("Started UDP server on port %s %lld", address, (long long)port);
	else
		go_log("Started SCTP server");
	atomic_fetch_add(&serving, 1);
	if (pthread_create(&t, NULL, is_udp ? udp : sctp, (void *)(intptr_t)fd))
		go_fatal("no thread could be started");
	pthread_detach(t);
}

void netexec_start_udp(const char *addresses, int64_t port)
{
	struct fl_str rest = fl_str(addresses), one;
	char seen[64][64];
	unsigned n = 0;
	udp_port = port;
	if (!rest.n)
		return start("", port, true);
	for (bool last = false; !last && n < FL_COUNT(seen); n++) {
		last = !memchr(rest.p, ',', rest.n);
		rest = fl_str_cut(rest, ',', &one);
		snprintf(seen[n], sizeof seen[n], "%.*s", FL_FMT(one));
		struct fl_str host = fl_str(seen[n]);
		bool again = false;
		for (unsigned i = 0; i < n; i++)
			again |= !strcmp(seen[i], seen[n]);
		if (!host.n || strspn(seen[n], "0123456789abcdefABCDEF.:") != host.n || !strpbrk(seen[n], ".:"))
			go_fatal("parseAddress: invalid address %s", seen[n]);
		if (!again)
			start(seen[n], port, true);
	}
}

void netexec_start_sctp(int64_t port)
{
	sctp_port = port;
	start("", port, false);
}

int netexec_serving(void) { return atomic_load(&serving); }

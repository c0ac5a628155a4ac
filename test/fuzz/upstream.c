/* What a server sends on a connection of ours: frames of TCP, HTTP/2 with DNS over HTTPS in it, HTTP/2 with gRPC. The first octet says which,
 * the second how the bytes are cut; the rest is what the server says behind its preface. Every question must end once. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "net/upstream.h"

enum { ASKS = 3, HEAD = 12 };
static const uint8_t question[] = { 3, 'W', 'w', 'W', 1, 'x', 0, 0, 1, 0, 1 };
static struct asked { struct fl_up_ask a; uint8_t room[FL_UP_ROOM + HEAD + sizeof question]; int done; } asked[ASKS];

static void on_done(struct fl_up_ask *a, int ret, const uint8_t *msg, size_t n)
{
	char why[300];
	struct asked *x = (struct asked *)a;
	if (x->done++ || (!ret && (n < HEAD || !(msg[2] & 0x80))))
		abort();
	if (ret)
		fl_upstream_why(a, ret, why, sizeof why);
}

static int listener(char *path, size_t cap)
{
	static unsigned count;
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	snprintf(path, cap, "/tmp/fl-fuzz-%d-%u", getpid(), count++);
	snprintf(un.sun_path, sizeof un.sun_path, "%s", path);
	unlink(path);
	if (bind(fd, (struct sockaddr *)&un, sizeof un) || listen(fd, 8))
		abort();
	return fd;
}

static void ask(struct fl_upstream *up, struct asked *x)
{
	*x = (struct asked){ .a = { .msg = x->room + FL_UP_ROOM, .len = HEAD + sizeof question, .question = sizeof question, .done = on_done } };
	x->a.msg[5] = 1;
	memcpy(x->a.msg + HEAD, question, sizeof question);
	if (fl_upstream_ask(up, &x->a, true, FL_SEC))
		x->done = 1;
}

/* The bytes, in pieces of `step`, to every connection that is there. IDs of frames are those that were asked. */
static void say(struct fl_loop *l, int fd, const uint8_t *p, size_t n, size_t step, bool frames)
{
	static const uint8_t settings[9] = { 0, 0, 0, 4, 0, 0, 0, 0, 0 };
	uint8_t sink[4096];
	if (!frames && send(fd, settings, sizeof settings, MSG_NOSIGNAL) < 0)
		return;
	for (size_t at = 0; at < n; at += step) {
		size_t k = n - at < step ? n - at : step;
		if (send(fd, p + at, k, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			return;
		fl_loop_run_until_idle(l);
		while (recv(fd, sink, sizeof sink, MSG_DONTWAIT) > 0)
			;
	}
}

/* IDs that were asked, where frames have theirs. */
static void give_ids(uint8_t *p, size_t n)
{
	for (size_t at = 0, i = 0; at + 4 <= n; at += 2u + ((size_t)p[at] << 8 | p[at + 1]), i++)
		memcpy(p + at + 2, asked[i % ASKS].a.msg, 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static uint8_t copy[1 << 16];
	static const enum fl_up_kind kinds[] = { FL_UP_TLS, FL_UP_HTTPS, FL_UP_GRPC };
	char path[64];
	struct fl_pool pool;
	int conn[8];
	unsigned conns = 0;
	if (n < 2 || n > sizeof copy)
		return 0;
	memcpy(copy, data, n);
	fl_clock_virtual(1000 * FL_SEC);
	struct fl_loop *l = fl_loop_create();
	fl_pool_init(&pool, 1 << 22);
	struct fl_up_net *net = fl_up_net_create(l, &pool);
	int fd = listener(path, sizeof path);
	enum fl_up_kind kind = kinds[data[0] % FL_COUNT(kinds)];
	struct fl_up_conf c = { .name = "fuzz", .authority = "fuzz", .path = path, .kind = kind, .expire_ns = FL_SEC, .get = data[0] & 0x80 };
	struct fl_upstream *up = fl_upstream_create(net, &c);
	for (unsigned i = 0; i < ASKS; i++)
		ask(up, &asked[i]);
	fl_loop_run_until_idle(l);
	for (int k; conns < FL_COUNT(conn) && (k = accept4(fd, NULL, NULL, SOCK_NONBLOCK)) >= 0;)
		conn[conns++] = k;
	if (data[0] & 0x40)
		fl_upstream_cancel(&asked[1].a), asked[1].done = 1;
	if (kind == FL_UP_TLS)
		give_ids(copy + 2, n - 2);
	for (unsigned i = 0; i < conns; i++)
		say(l, conn[i], copy + 2, n - 2, data[1] ? data[1] : n, kind == FL_UP_TLS);
	for (unsigned i = 0; i < conns; i++)
		close(conn[i]);
	close(fd);
	unlink(path);
	fl_loop_advance(l, 5 * FL_SEC);
	for (unsigned i = 0; i < ASKS; i++)
		if (asked[i].done != 1)
			abort();
	fl_upstream_destroy(up);
	fl_up_net_destroy(net);
	if (pool.used)
		abort();
	fl_pool_finish(&pool);
	fl_loop_destroy(l);
	fl_clock_virtual(0);
	return 0;
}

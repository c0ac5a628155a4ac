#include "net/resolve.h"
#include "base/mem.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { STACK = 256 * 1024 };

struct fl_resolve {
	unsigned refs;                          /* the asker's and the thread's */
	int bell;
	struct fl_loop *loop;
	struct fl_io io;
	void (*fn)(void *arg, const struct fl_addresses *a, const char *why);
	void *arg;
	struct fl_addresses got;                /* the thread's until it rang */
	const char *why;
	uint16_t port;
	char host[];
};

bool fl_resolve_literal(struct fl_addresses *to, const char *host, uint16_t port)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)&to->sa[0];
	*to = (struct fl_addresses){ .n = 1 };
	if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		to->len[0] = sizeof *v4;
		return true;
	}
	if (inet_pton(AF_INET6, host, &to->sa[0].sin6_addr) != 1)
		return false;
	to->sa[0].sin6_family = AF_INET6;
	to->sa[0].sin6_port = htons(port);
	to->len[0] = sizeof to->sa[0];
	return true;
}

static void put(struct fl_resolve *r)
{
	if (__atomic_sub_fetch(&r->refs, 1, __ATOMIC_ACQ_REL))
		return;
	close(r->bell);
	free(r);
}

static void *ask(void *arg)
{
	struct fl_resolve *r = arg;
	struct addrinfo hint = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG | AI_NUMERICSERV }, *list = NULL;
	char port[8];
	snprintf(port, sizeof port, "%u", r->port);
	int ret = getaddrinfo(r->host, port, &hint, &list);
	if (ret)
		r->why = ret == EAI_NONAME || ret == EAI_NODATA ? "no such host" : gai_strerror(ret);
	for (struct addrinfo *a = list; a && r->got.n < FL_RESOLVE_MAX; a = a->ai_next) {
		if (a->ai_family != AF_INET && a->ai_family != AF_INET6)
			continue;
		memcpy(&r->got.sa[r->got.n], a->ai_addr, a->ai_addrlen);
		r->got.len[r->got.n++] = a->ai_addrlen;
	}
	if (list)
		freeaddrinfo(list);
	uint64_t one = 1;
	if (write(r->bell, &one, sizeof one) < 0)
		r->why = "internal error";      /* an eventfd takes one write; nobody reads this */
	put(r);
	return NULL;
}

static void rang(struct fl_io *io, uint32_t events)
{
	(void)events;
	struct fl_resolve *r = (struct fl_resolve *)((char *)io - offsetof(struct fl_resolve, io));
	uint64_t n;
	if (read(r->bell, &n, sizeof n) != sizeof n)
		return;
	fl_loop_del(r->loop, io);
	r->fn(r->arg, &r->got, r->got.n ? NULL : r->why ? r->why : "no such host");
	put(r);
}

struct fl_resolve *fl_resolve(struct fl_loop *l, const char *host, uint16_t port,
	void (*fn)(void *arg, const struct fl_addresses *a, const char *why), void *arg)
{
	size_t n = strlen(host) + 1;
	struct fl_resolve *r = fl_xalloc(sizeof *r + n);
	memcpy(r->host, host, n);
	r->refs = 2;
	r->loop = l;
	r->port = port;
	r->fn = fn;
	r->arg = arg;
	r->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r->io = (struct fl_io){ .fd = r->bell, .fn = rang };
	pthread_attr_t attr;
	pthread_t thread;
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK);
	int ret = r->bell < 0 ? -errno : fl_loop_add(l, &r->io, EPOLLIN);
	if (!ret && (ret = pthread_create(&thread, &attr, ask, r)))
		fl_loop_del(l, &r->io);
	pthread_attr_destroy(&attr);
	if (!ret)
		return r;
	if (r->bell >= 0)
		close(r->bell);
	free(r);
	return NULL;
}

void fl_resolve_cancel(struct fl_resolve *r)
{
	if (!r)
		return;
	fl_loop_del(r->loop, &r->io);
	put(r);
}

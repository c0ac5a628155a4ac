/* A host name in TO, when the server starts: asked of `resolver`, or of the system (CoreDNS plugin/forward/resolve.go). The main thread waits:
 * there is nothing to serve yet; in a reload the old configuration goes on serving. */
#include "plugin/forward/forward_int.h"
#include "net/udp.h"
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>

enum { WAIT_S = 2, POOL = 1 << 18, ADDRS = 64, WHY = 200 };

/* One question on a loop of its own. */
struct lookup {
	struct fl_loop *loop;
	struct fl_up_ask ask;
	struct fl_arena *arena;
	struct fl_str *addr; unsigned n;
	uint16_t type;
	bool over;
	int ret;
	char why[WHY];
	uint8_t query[FL_OWN_QUERY];
};

static void take(struct lookup *l, const struct fl_message *m)
{
	struct fl_addr a[ADDRS];
	unsigned n = fl_own_addresses(m, l->type, a, ADDRS - l->n);
	for (unsigned i = 0; i < n; i++) {
		char text[46];
		l->addr[l->n++] = fl_arena_str(l->arena, (struct fl_str){ text, fl_addr_text(text, &a[i]) });
	}
}

static void answered(struct fl_up_ask *ask, int ret, const uint8_t *msg, size_t n)
{
	struct lookup *l = (struct lookup *)((char *)ask - offsetof(struct lookup, ask));
	struct fl_message m;
	l->over = true;
	l->ret = ret ? ret : fl_message_parse(&m, l->arena, msg, n);
	if (ret)
		fl_upstream_why(ask, ret, l->why, sizeof l->why);
	else if (l->ret)
		snprintf(l->why, sizeof l->why, "dns: reply does not unpack");
	else
		take(l, &m);
	fl_loop_stop(l->loop);
}

static int ask(struct lookup *l, struct fl_upstream *up, struct fl_name name, uint16_t type)
{
	l->type = type;
	l->over = false;
	l->ask = fl_own_query(l->query, FL_RD, name, type);
	l->ask.done = answered;
	l->ret = fl_upstream_ask(up, &l->ask, false, WAIT_S * FL_SEC);
	if (l->ret)
		fl_upstream_why(&l->ask, l->ret, l->why, sizeof l->why);
	else if (!l->over)
		fl_loop_run(l->loop);
	return l->ret;
}

/* A, then AAAA of one resolver; A alone will do when the second one fails. */
static int ask_both(struct lookup *l, struct fl_up_net *net, struct fl_name name, struct fl_str resolver)
{
	struct fl_target t;
	int64_t port;
	if (!fl_target_parse(resolver, &t) || fl_parse_int(t.port, 1, 65535, &port))
		return -EINVAL;
	struct fl_up_conf c = { .name = fl_target_text(l->arena, &t), .expire_ns = FL_SEC };
	c.addr_len = fl_sockaddr(&c.addr, t.host, (uint16_t)port);
	struct fl_upstream *up = fl_upstream_create(net, &c);
	int ret = ask(l, up, name, FL_T_A);
	if (!ret)
		ret = ask(l, up, name, FL_T_AAAA);
	fl_upstream_destroy(up);
	return l->n ? 0 : ret;
}

static int by_resolver(struct fl_arena *a, struct fl_str host, const struct fl_str *resolver, unsigned n, struct fl_str **addr, unsigned *naddr,
		       char *why, size_t cap)
{
	struct fl_pool pool;
	struct lookup *l = fl_xalloc(sizeof *l);
	struct fl_name name = fl_name_parse_in(a, host);
	*l = (struct lookup){ .loop = fl_loop_create(), .arena = a, .addr = fl_zalloc(a, ADDRS * sizeof *l->addr) };
	if (!l->loop) {
		snprintf(why, cap, "too many open files");
		free(l);
		return -EMFILE;
	}
	fl_pool_init(&pool, POOL);
	struct fl_up_net *net = fl_up_net_create(l->loop, &pool);
	for (unsigned i = 0; i < n && !l->n; i++)
		ask_both(l, net, name, resolver[i]);
	fl_up_net_destroy(net);
	fl_pool_finish(&pool);
	fl_loop_destroy(l->loop);
	*addr = l->addr;
	*naddr = l->n;
	snprintf(why, cap, "no addresses found for \"%.*s\"%s%s", FL_FMT(host), l->why[0] ? ": " : "", l->why);
	free(l);
	return *naddr ? 0 : -ENOENT;
}

/* The C library does not find a name with a final dot in its hosts file; Go does. */
static void by_hosts_file(struct fl_arena *a, struct fl_str host, struct fl_str *addr, unsigned *n)
{
	struct fl_str text, line, word, ip;
	struct fl_addr x;
	host.n -= host.n && host.p[host.n - 1] == '.';
	if (fl_conf_read(a, "/etc/hosts", &text))
		return;
	while (text.n && *n < ADDRS) {
		text = fl_str_cut(text, '\n', &line);
		fl_str_cut(line, '#', &line);
		for (size_t i = 0; i < line.n; i++)
			if (line.p[i] == '\t')
				((char *)(uintptr_t)line.p)[i] = ' ';
		bool named = false;
		for (line = fl_str_trim(fl_str_cut(fl_str_trim(line), ' ', &ip)); line.n && !named; line = fl_str_trim(line)) {
			line = fl_str_cut(line, ' ', &word);
			named = fl_str_ieq(word, host);
		}
		if (named && fl_addr_parse(ip, &x))
			addr[(*n)++] = fl_arena_str(a, ip);
	}
}

/* With a final dot: no search list. */
static int by_system(struct fl_arena *a, struct fl_str host, struct fl_str **addr, unsigned *naddr, char *why, size_t cap)
{
	struct addrinfo hint = { .ai_socktype = SOCK_DGRAM }, *list = NULL;
	bool dot = host.n && host.p[host.n - 1] == '.';
	const char *name = fl_arena_printf(a, "%.*s%s", FL_FMT(host), dot ? "" : ".").p;
	*addr = fl_zalloc(a, ADDRS * sizeof **addr);
	*naddr = 0;
	by_hosts_file(a, host, *addr, naddr);
	if (*naddr)
		return 0;
	int ret = getaddrinfo(name, NULL, &hint, &list);
	for (struct addrinfo *i = list; !ret && i && *naddr < ADDRS; i = i->ai_next) {
		char text[46];
		struct fl_addr x = { .len = i->ai_family == AF_INET ? 4 : 16 };
		if (i->ai_family == AF_INET)
			memcpy(x.b, &((struct sockaddr_in *)i->ai_addr)->sin_addr, 4);
		else if (i->ai_family == AF_INET6)
			memcpy(x.b, &((struct sockaddr_in6 *)i->ai_addr)->sin6_addr, 16);
		else
			continue;
		(*addr)[(*naddr)++] = fl_arena_str(a, (struct fl_str){ text, fl_addr_text(text, &x) });
	}
	if (list)
		freeaddrinfo(list);
	snprintf(why, cap, "lookup %s: %s", name, ret == EAI_AGAIN ? "server misbehaving" : "no such host");
	return *naddr ? 0 : -ENOENT;
}

int fl_forward_resolve(struct fl_arena *a, struct fl_str host, const struct fl_str *resolver, unsigned n, struct fl_str **addr, unsigned *naddr,
		       char *why, size_t cap)
{
	return n ? by_resolver(a, host, resolver, n, addr, naddr, why, cap) : by_system(a, host, addr, naddr, why, cap);
}

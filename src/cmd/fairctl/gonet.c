#include "cmd/fairctl/gonet.h"
#include "base/clock.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/time.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* ---- text ---- */

static int bad(struct fl_str text, const char *why, struct fl_err *e)
{
	return fl_err_set(e, "address %.*s: %s", FL_FMT(text), why);
}

int go_split(struct fl_str text, struct fl_str *host, struct fl_str *port, struct fl_err *e)
{
	const char *colon = text.n ? memrchr(text.p, ':', text.n) : NULL;
	if (!colon)
		return bad(text, text.n && *text.p == '[' && !memchr(text.p, ']', text.n) ? "missing ']' in address" : "missing port in address", e);
	*host = (struct fl_str){ text.p, (size_t)(colon - text.p) };
	*port = (struct fl_str){ colon + 1, text.n - host->n - 1 };
	if (*text.p == '[') {
		const char *end = memchr(text.p, ']', text.n);
		if (!end)
			return bad(text, "missing ']' in address", e);
		if (end + 1 != colon)
			return bad(text, end[1] == ':' ? "too many colons in address" : "missing port in address", e);
		*host = (struct fl_str){ text.p + 1, (size_t)(end - text.p) - 1 };
	} else if (memchr(host->p, ':', host->n)) {
		return bad(text, "too many colons in address", e);
	}
	if (memchr(host->p, '[', host->n) || memchr(port->p, '[', port->n))
		return bad(text, "unexpected '[' in address", e);
	if (memchr(host->p, ']', host->n) || memchr(port->p, ']', port->n))
		return bad(text, "unexpected ']' in address", e);
	return 0;
}

void go_addr_text(char to[GO_ADDR_TEXT], const struct go_addr *a)
{
	char ip[INET6_ADDRSTRLEN];
	const struct sockaddr_in *four = (const void *)&a->sa;
	const struct sockaddr_in6 *six = (const void *)&a->sa;
	if (!a->len)
		snprintf(to, GO_ADDR_TEXT, ":0");
	else if (a->sa.ss_family == AF_INET)
		snprintf(to, GO_ADDR_TEXT, "%s:%u", inet_ntop(AF_INET, &four->sin_addr, ip, sizeof ip), ntohs(four->sin_port));
	else if (IN6_IS_ADDR_V4MAPPED(&six->sin6_addr))
		snprintf(to, GO_ADDR_TEXT, "%s:%u", inet_ntop(AF_INET, six->sin6_addr.s6_addr + 12, ip, sizeof ip), ntohs(six->sin6_port));
	else
		snprintf(to, GO_ADDR_TEXT, "[%s]:%u", inet_ntop(AF_INET6, &six->sin6_addr, ip, sizeof ip), ntohs(six->sin6_port));
}

const char *go_errno(int err)
{
	switch (err) {
	case ECONNREFUSED: return "connection refused";
	case ECONNRESET: return "connection reset by peer";
	case EHOSTUNREACH: return "no route to host";
	case ENETUNREACH: return "network is unreachable";
	case ETIMEDOUT: return "connection timed out";
	case EINVAL: return "invalid argument";
	case EACCES: return "permission denied";
	case EPERM: return "operation not permitted";
	case EADDRINUSE: return "address already in use";
	case EADDRNOTAVAIL: return "cannot assign requested address";
	case EPROTONOSUPPORT: return "protocol not supported";
	case EAFNOSUPPORT: return "address family not supported by protocol";
	case EPIPE: return "broken pipe";
	case ENOENT: return "no such file or directory";
	}
	return strerror(err);
}

void go_quote(FILE *to, struct fl_str s)
{
	putc('"', to);
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c == '"' || c == '\\')
			fprintf(to, "\\%c", c);
		else if (c == '\n' || c == '\t' || c == '\r')
			fprintf(to, "\\%c", c == '\n' ? 'n' : c == '\t' ? 't' : 'r');
		else if (c < 32 || c == 127)
			fprintf(to, "\\x%02x", c);
		else
			putc(c, to);
	}
	putc('"', to);
}

void go_json(FILE *to, struct fl_str s)
{
	static const char escapes[] = "\b\f\n\r\t", letters[] = "bfnrt";
	putc('"', to);
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		const char *known = c ? strchr(escapes, c) : NULL;
		if (c == '"' || c == '\\')
			fprintf(to, "\\%c", c);
		else if (known)
			fprintf(to, "\\%c", letters[known - escapes]);
		else if (c < 32 || c == '<' || c == '>' || c == '&')
			fprintf(to, "\\u%04x", c);
		else
			putc(c, to);
	}
	putc('"', to);
}

int go_atoi(struct fl_str s, int64_t *to, struct fl_err *e)
{
	int ret = fl_parse_int(s, INT64_MIN, INT64_MAX, to);
	if (!ret)
		return 0;
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);
	if (f) {
		go_quote(f, s);
		fclose(f);
	}
	fl_err_set(e, "strconv.Atoi: parsing %s: %s", text ? text : "", ret == -ERANGE ? "value out of range" : "invalid syntax");
	free(text);
	return -EINVAL;
}

/* ---- names ---- */

static int port_of(const char *network, struct fl_str text, struct fl_err *e)
{
	int64_t n;
	if (!text.n)
		return 0;
	int ret = fl_parse_int(text, INT64_MIN, INT64_MAX, &n);
	if (!ret || ret == -ERANGE)
		return !ret && n >= 0 && n <= 65535 ? (int)n : fl_err_set(e, "address %.*s: invalid port", FL_FMT(text));
	char name[64];
	snprintf(name, sizeof name, "%.*s", FL_FMT(text));
	struct servent entry, *found = NULL;
	char buf[1024];
	if (!getservbyname_r(name, network, &entry, buf, sizeof buf, &found) && found)
		return ntohs((uint16_t)found->s_port);
	return fl_err_set(e, "lookup %s/%.*s: unknown port", network, FL_FMT(text));
}

/* The resolver that Go would name. */
static void first_server(char *to, size_t cap)
{
	char line[256], word[64] = "";
	FILE *f = fopen("/etc/resolv.conf", "re");
	while (f && !*word && fgets(line, sizeof line, f))
		if (sscanf(line, "nameserver %63s", word) != 1)
			*word = 0;
	if (f)
		fclose(f);
	snprintf(to, cap, strchr(word, ':') ? "[%s]:53" : "%s:53", *word ? word : "127.0.0.1");
}

static int no_address(const char *host, int why, struct fl_err *e)
{
	char server[80];
	first_server(server, sizeof server);
	if (strstr(host, "..") || *host == '.' || strlen(host) > 253)
		return fl_err_set(e, "lookup %s: no such host", host);
	return fl_err_set(e, "lookup %s on %s: %s", host, server, why == EAI_AGAIN ? "server misbehaving" : "no such host");
}

int go_resolve(const char *network, struct fl_str host, struct fl_str port, struct go_addr to[GO_ADDRS], struct fl_err *e)
{
	int number = port_of(strcmp(network, "udp") ? "tcp" : "udp", port, e), n = 0;
	if (number < 0)
		return number;
	char name[256], service[12];
	snprintf(name, sizeof name, "%.*s", FL_FMT(host));
	snprintf(service, sizeof service, "%d", number);
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV }, *all = NULL;
	int ret = host.n >= sizeof name || strstr(name, "..") ? EAI_NONAME : getaddrinfo(host.n ? name : NULL, service, &hints, &all);
	if (ret)
		return no_address(name, ret, e);
	for (int family = AF_INET; family; family = family == AF_INET ? AF_INET6 : 0)
		for (struct addrinfo *a = all; a && n < GO_ADDRS; a = a->ai_next)
			if (a->ai_family == family) {
				memcpy(&to[n].sa, a->ai_addr, a->ai_addrlen);
				to[n++].len = a->ai_addrlen;
			}
	freeaddrinfo(all);
	return n ? n : no_address(name, EAI_NONAME, e);
}

/* ---- sockets ---- */

void go_deadline(int fd, uint64_t deadline_ns)
{
	uint64_t now = fl_clock_ns(), left = deadline_ns > now ? deadline_ns - now : 1000;
	struct timeval tv = { (time_t)(left / FL_SEC), (suseconds_t)(left % FL_SEC / 1000) };
	if (!deadline_ns)
		tv = (struct timeval){ 0 };
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv);
}

/* The end of a connect() that has begun. */
static int finish(int fd, uint64_t deadline_ns)
{
	for (;;) {
		uint64_t now = fl_clock_ns();
		int ms = !deadline_ns ? -1 : deadline_ns <= now ? 0 : (int)((deadline_ns - now + 999999) / 1000000);
		struct pollfd p = { .fd = fd, .events = POLLOUT };
		int n = poll(&p, 1, ms);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			return -ETIMEDOUT;
		int err = 0;
		socklen_t len = sizeof err;
		getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len);
		return -err;
	}
}

int go_dial(const struct go_addr *a, int type, int protocol, uint64_t deadline_ns)
{
	struct go_addr to = *a;
	struct sockaddr_in *four = (void *)&to.sa;
	struct sockaddr_in6 *six = (void *)&to.sa;
	if (to.sa.ss_family == AF_INET && !four->sin_addr.s_addr)
		four->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (to.sa.ss_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&six->sin6_addr))
		six->sin6_addr = in6addr_loopback;
	if (deadline_ns && fl_clock_ns() >= deadline_ns)
		return -ETIMEDOUT;
	int fd = socket(a->sa.ss_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol), on = 1;
	if (fd < 0)
		return -errno;
	if (type == SOCK_DGRAM)
		setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof on);
	int ret = connect(fd, (struct sockaddr *)&to.sa, to.len) ? -errno : 0;
	if (ret == -EINPROGRESS)
		ret = finish(fd, deadline_ns);
	if (ret) {
		close(fd);
		return ret;
	}
	fcntl(fd, F_SETFL, 0);
	go_deadline(fd, deadline_ns);
	return fd;
}

int go_listen(const char *address, unsigned port, int type, int protocol)
{
	struct go_addr a = { .len = sizeof(struct sockaddr_in6) };
	struct sockaddr_in *four = (void *)&a.sa;
	struct sockaddr_in6 *six = (void *)&a.sa;
	bool all = !*address;
	six->sin6_family = AF_INET6;
	six->sin6_port = htons((uint16_t)port);
	if (inet_pton(AF_INET, address, &four->sin_addr) == 1) {
		four->sin_family = AF_INET;
		a.len = sizeof *four;
	} else if (!all && inet_pton(AF_INET6, address, &six->sin6_addr) != 1) {
		return -EINVAL;
	}
	int fd = socket(a.sa.ss_family, type | SOCK_CLOEXEC, protocol), off = 0, on = 1;
	if (fd < 0 && all && errno == EAFNOSUPPORT)
		return go_listen("0.0.0.0", port, type, protocol);
	if (fd < 0)
		return -errno;
	if (all)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
	if (type == SOCK_STREAM)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(fd, (struct sockaddr *)&a.sa, a.len) || (type == SOCK_STREAM && listen(fd, 1024))) {
		int ret = -errno;
		close(fd);
		return ret == -EADDRNOTAVAIL && all ? go_listen("0.0.0.0", port, type, protocol) : ret;
	}
	return fd;
}

/* ---- log ---- */

static void line(const char *fmt, va_list ap)
{
	struct timespec ts;
	struct tm tm;
	char text[4096];
	clock_gettime(CLOCK_REALTIME, &ts);
	localtime_r(&ts.tv_sec, &tm);
	int n = snprintf(text, sizeof text, "I%02d%02d %02d:%02d:%02d.%06ld %7ld fairctl] ", tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
			 ts.tv_nsec / 1000, (long)syscall(SYS_gettid));
	vsnprintf(text + n, sizeof text - (size_t)n - 1, fmt, ap);
	for (char *p = text + n; *p; p++)
		if (*p == '\n' || *p == '\r')
			*p = ' ';               /* foreign text makes no lines */
	fprintf(stderr, "%s\n", text);
}

void go_log(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	line(fmt, ap);
	va_end(ap);
}

void go_fatal(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	line(fmt, ap);
	va_end(ap);
	exit(1);
}

const char *go_hostname(void)
{
	static _Thread_local char name[256];
	if (gethostname(name, sizeof name - 1))
		go_fatal("Error occurred: failed to get hostname:%s", go_errno(errno));
	return name;
}

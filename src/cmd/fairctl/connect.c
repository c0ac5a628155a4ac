/* connect: tries a TCP, UDP or SCTP connection and prints a word that tests look for: agnhost's connect (test/images/agnhost/connect). */
#include "cmd/fairctl/commands.h"
#include "cmd/fairctl/gonet.h"
#include "base/clock.h"
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

/* A peer that is silent where agnhost would wait for ever: about as long as the kernel tries a TCP connection. */
#define AT_MOST (127 * FL_SEC)

static const struct ctl_flag flags[] = {
	{ "timeout", "DURATION", "Maximum time before returning an error", "@time", "0s" },
	{ "protocol", "PROTOCOL", "The protocol to use to perform the connection, can be tcp, udp or sctp", NULL, "tcp" },
	{ "udp-data", "TEXT", "The UDP payload send to the server", NULL, "hostname" },
	{ "sctp-data", "TEXT", "The SCTP payload send to the server", NULL, "hostname" },
	{ NULL },
};

struct try { const struct ctl *c; const char *dest, *protocol, *data; int64_t timeout; };

/* What agnhost prints, on standard error; with --output json on standard output as well. */
static int result(const struct try *t, const char *word, const char *more)
{
	if (t->c->json) {
		cJSON *json = cJSON_CreateObject();
		cJSON_AddItemToObject(json, "address", ctl_json_str(fl_str(t->dest)));
		cJSON_AddItemToObject(json, "protocol", ctl_json_str(fl_str(t->protocol)));
		cJSON_AddStringToObject(json, "result", word);
		cJSON_AddItemToObject(json, "error", ctl_json_str(fl_str(more)));
		ctl_print(t->c, json);
	}
	if (strcmp(word, "OK"))
		fprintf(stderr, *more ? "%s: %s\n" : "%s\n", word, more);
	return strcmp(word, "OK") != 0;
}

static int failed(const struct try *t, const char *op, int fd, const struct go_addr *to, int ret, bool udp)
{
	char text[256], from[GO_ADDR_TEXT], dest[GO_ADDR_TEXT];
	struct go_addr local = { .len = sizeof local.sa };
	go_addr_text(dest, to);
	if (fd >= 0)
		getsockname(fd, (struct sockaddr *)&local.sa, &local.len);
	go_addr_text(from, &local);
	if (!strcmp(op, "dial"))
		snprintf(text, sizeof text, "dial %s %s: connect: %s", t->protocol, dest, go_errno(-ret));
	else
		snprintf(text, sizeof text, "%s %s %s->%s: %s%s%s", op, t->protocol, from, dest, ret == -EAGAIN ? "" : op, ret == -EAGAIN ? "" : ": ",
			 ret == -EAGAIN ? "i/o timeout" : go_errno(-ret));
	if (fd >= 0)
		close(fd);
	if (!udp)
		return result(t, ret == -ETIMEDOUT ? "TIMEOUT" : ret == -ECONNREFUSED ? "REFUSED" : "OTHER",
			      ret == -ETIMEDOUT || ret == -ECONNREFUSED ? "" : text);
	return result(t, ret == -EAGAIN ? "TIMEOUT" : ret == -ECONNREFUSED ? "REFUSED" : "UNKNOWN", text);
}

static int tcp(const struct try *t, const struct go_addr *to, int n, uint64_t deadline)
{
	int ret = -EINVAL, first = 0;
	for (int i = 0; i < n; i++) {
		uint64_t now = fl_clock_ns(), part = deadline ? now + (deadline > now ? (deadline - now) / (uint64_t)(n - i) : 0) : 0;
		ret = go_dial(&to[i], SOCK_STREAM, 0, part);
		if (ret >= 0) {
			close(ret);
			return result(t, "OK", "");
		}
		first = first ? first : ret;
	}
	return failed(t, "dial", -1, &to[0], first, false);
}

/* One message there and at least one byte back. */
static int udp(const struct try *t, const struct go_addr *to, uint64_t deadline)
{
	char buf[1024];
	int fd = go_dial(to, SOCK_DGRAM, 0, deadline);
	if (fd == -ETIMEDOUT)
		return result(t, "TIMEOUT", "");
	if (fd < 0) {
		char dest[GO_ADDR_TEXT], text[128];
		go_addr_text(dest, to);
		snprintf(text, sizeof text, "dial udp %s: connect: %s", dest, go_errno(-fd));
		return result(t, "OTHER", text);
	}
	struct fl_str data = fl_str(t->data);
	snprintf(buf, sizeof buf, "%.*s\n", (int)(data.n < sizeof buf - 2 ? data.n : sizeof buf - 2), data.p);
	if (send(fd, buf, strlen(buf), MSG_NOSIGNAL) < 0)
		return failed(t, "write", fd, to, -errno, true);
	ssize_t got = recv(fd, buf, sizeof buf, 0);
	if (got < 0)
		return failed(t, "read", fd, to, -errno, true);
	close(fd);
	return got ? result(t, "OK", "")
		   : result(t, "OTHER", "No data received from the server. Cannot guarantee the server received the request.");
}

static int sctp(const struct try *t, const struct go_addr *to, uint64_t deadline)
{
	char buf[1024];
	int fd = go_dial(to, SOCK_STREAM, IPPROTO_SCTP, deadline);
	if (fd == -ETIMEDOUT)
		return result(t, "TIMEOUT", "");
	if (fd < 0)
		return result(t, "OTHER", go_errno(-fd));
	snprintf(buf, sizeof buf, "%.1000s\n", t->data);
	ssize_t got = send(fd, buf, strlen(buf), MSG_NOSIGNAL) < 0 ? -1 : recv(fd, buf, sizeof buf, 0);
	int err = errno;
	close(fd);
	if (got >= 0)
		return got ? result(t, "OK", "") : result(t, "OTHER", "EOF");
	return err == EAGAIN ? result(t, "TIMEOUT", "") : result(t, "OTHER", go_errno(err));
}

static int run(struct ctl *c)
{
	struct try t = { .c = c, .dest = c->arg[0], .protocol = ctl_text(c, "protocol") };
	struct fl_str host, port;
	struct go_addr to[GO_ADDRS];
	struct fl_err e;
	ctl_time(c, "timeout", &t.timeout);
	ctl_limit((unsigned)((uint64_t)t.timeout / FL_SEC) + 2 * (unsigned)(AT_MOST / FL_SEC));
	t.protocol = *t.protocol ? t.protocol : "tcp";
	bool is_udp = !strcmp(t.protocol, "udp"), is_sctp = !strcmp(t.protocol, "sctp");
	t.data = ctl_text(c, is_udp ? "udp-data" : "sctp-data");
	if (!is_udp && !is_sctp && strcmp(t.protocol, "tcp")) {
		fprintf(stderr, "Unsupported protocol\n%s", t.protocol);
		return 1;
	}
	if (go_split(fl_str(t.dest), &host, &port, &e))
		return result(&t, is_udp || is_sctp ? "DNS" : "UNKNOWN", e.msg);
	int n = go_resolve(t.protocol, host, port, to, &e);
	if (n < 0)
		return result(&t, "DNS", e.msg);
	uint64_t now = fl_clock_ns(), deadline = now + (t.timeout ? (uint64_t)t.timeout : AT_MOST);
	if (is_sctp)
		return sctp(&t, &to[0], deadline);
	return is_udp ? udp(&t, &to[0], deadline) : tcp(&t, to, n, t.timeout ? deadline : 0);
}

const struct ctl_command ctl_connect = {
	.name = "connect", .about = "Attempts a TCP, UDP or SCTP connection and returns useful errors", .args = "HOST:PORT", .min = 1, .max = 1,
	.flag = flags, .json = true, .agnhost = true, .main = run,
};

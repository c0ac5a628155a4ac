/* serve-hostname: the host's name over HTTP, TCP or UDP (test/images/agnhost/serve-hostname). */
#include "cmd/fairctl/commands.h"
#include "cmd/fairctl/httpd.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

static const struct ctl_flag flags[] = {
	{ "tcp", NULL, "Serve raw over TCP.", NULL, NULL }, { "udp", NULL, "Serve raw over UDP.", NULL, NULL },
	{ "http", NULL, "Serve HTTP.", NULL, "true" }, { "close", NULL, "Close connection per each HTTP request.", NULL, NULL },
	{ "port", "PORT", "Port number.", NULL, "9376" }, { NULL },
};
static bool closing;

static void handle(struct http_request *r)
{
	char peer[GO_ADDR_TEXT];
	go_addr_text(peer, &r->peer);
	go_log("HTTP request from %s", peer);
	r->close |= closing;
	fputs(go_hostname(), r->out);
}

static void *tcp(void *arg)
{
	int fd = (int)(intptr_t)arg;
	for (;;) {
		struct go_addr peer = { .len = sizeof peer.sa };
		char text[GO_ADDR_TEXT];
		int c = accept4(fd, (struct sockaddr *)&peer.sa, &peer.len, SOCK_CLOEXEC);
		if (c < 0)
			continue;
		go_addr_text(text, &peer);
		go_log("TCP request from %s", text);
		if (send(c, go_hostname(), strlen(go_hostname()), MSG_NOSIGNAL) < 0)
			go_log("write: %s", go_errno(errno));
		close(c);
	}
	return NULL;
}

static void *udp(void *arg)
{
	int fd = (int)(intptr_t)arg;
	for (;;) {
		struct go_addr peer = { .len = sizeof peer.sa };
		char buf[16], text[GO_ADDR_TEXT];
		if (recvfrom(fd, buf, sizeof buf, 0, (struct sockaddr *)&peer.sa, &peer.len) < 0)
			continue;
		go_addr_text(text, &peer);
		go_log("UDP request from %s", text);
		if (sendto(fd, go_hostname(), strlen(go_hostname()), 0, (struct sockaddr *)&peer.sa, peer.len) < 0)
			go_log("write: %s", go_errno(errno));
	}
	return NULL;
}

static int open_or_die(unsigned port, int type, const char *what)
{
	int fd = go_listen("", port, type, 0);
	if (fd < 0)
		go_fatal("Error from %s: listen %s :%u: bind: %s", what, type == SOCK_DGRAM ? "udp" : "tcp", port, go_errno(-fd));
	return fd;
}

static void start(void *(*fn)(void *), int fd)
{
	pthread_t t;
	if (pthread_create(&t, NULL, fn, (void *)(intptr_t)fd))
		go_fatal("no thread could be started");
	pthread_detach(t);
}

static int run(struct ctl *c)
{
	static struct http_server server = { .handle = handle };
	bool http = ctl_on(c, "http"), tcps = ctl_on(c, "tcp"), udps = ctl_on(c, "udp");
	int64_t port;
	int ret = ctl_int(c, "port", 0, 65535, &port), sig;
	if (ret)
		return ret;
	if (http && (tcps || udps))
		go_fatal("Can't server TCP/UDP mode and HTTP mode at the same time");
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	closing = ctl_on(c, "close");
	if (tcps)
		start(tcp, open_or_die((unsigned)port, SOCK_STREAM, "net.Listen()"));
	if (udps)
		start(udp, open_or_die((unsigned)port, SOCK_DGRAM, "ListenUDP()"));
	if (http) {
		server.fd = open_or_die((unsigned)port, SOCK_STREAM, "net.Listen()");
		http_serve(&server);
	}
	go_log("Serving on port %u.", (unsigned)port);
	sigwait(&set, &sig);
	go_log("Shutting down after receiving signal: terminated.");
	go_log("Awaiting pod deletion.");
	sleep(60);
	return 0;
}

const struct ctl_command ctl_serve_hostname = {
	.name = "serve-hostname", .about = "Serves the hostname", .flag = flags, .serves = true, .agnhost = true, .main = run,
};

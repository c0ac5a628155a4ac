/* fake_api: test/live/fakeapi.py as a child of the test: its methods are called over its control port. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <dirent.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct fake { pid_t pid; int in, out, control; char url[128]; };

static inline bool have_python(void) { return !system("python3 -c 'import ssl' >/dev/null 2>&1"); }

static void spawn(struct fake *f, const char *more)
{
	int in[2], out[2];
	assert_int_equal(pipe(in) | pipe(out), 0);
	f->pid = fork();
	if (!f->pid) {
		char cmd[256];
		dup2(in[0], 0);
		dup2(out[1], 1);
		close(in[0]), close(in[1]), close(out[0]), close(out[1]);
		snprintf(cmd, sizeof cmd, "exec python3 test/live/fakeapi.py %s", more);
		execl("/bin/sh", "sh", "-c", cmd, NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	f->in = in[1];
	f->out = out[0];
	char line[512] = "";
	size_t n = 0;
	while (!strchr(line, '\n')) {
		ssize_t got = read(f->out, line + n, sizeof line - 1 - n);
		assert_true(got > 0);
		n += (size_t)got;
	}
	const char *control = strstr(line, "\"control\": \"http://127.0.0.1:");
	assert_non_null(control);
	assert_int_equal(sscanf(line, "{\"url\": \"%127[^\"]\"", f->url), 1);
	f->control = (int)strtol(control + 29, NULL, 10);
}

static void finish(struct fake *f)
{
	close(f->in);
	close(f->out);
	kill(f->pid, SIGTERM);
	waitpid(f->pid, NULL, 0);
}

static char reply[1 << 20];

/* Calls a method of the fake; its answer as JSON text. */
static const char *call(const struct fake *f, const char *method, const char *args)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)f->control),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	char head[128];
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
	int n = snprintf(head, sizeof head, "POST /%s HTTP/1.0\r\nContent-Length: %zu\r\n\r\n", method, strlen(args));
	assert_int_equal(write(fd, head, (size_t)n), n);
	assert_int_equal(write(fd, args, strlen(args)), strlen(args));
	size_t got = 0;
	ssize_t r;
	while ((r = read(fd, reply + got, sizeof reply - 1 - got)) > 0)
		got += (size_t)r;
	reply[got] = 0;
	close(fd);
	if (!strstr(reply, " 200 "))
		fail_msg("%s(%s): %s", method, args, reply);
	return strstr(reply, "\r\n\r\n") + 4;
}

static void put_service(const struct fake *f, const char *name, const char *ip)
{
	char args[512];
	snprintf(args, sizeof args,
		"[\"services\", {\"metadata\": {\"namespace\": \"d\", \"name\": \"%s\", \"labels\": {\"n\": \"%s\"}}, "
		"\"spec\": {\"type\": \"ClusterIP\", \"clusterIP\": \"%s\", \"clusterIPs\": [\"%s\"], \"ports\": [{\"port\": "
			"80}]}}]", name, name, ip, ip);
	call(f, "put", args);
}

/* How often a request of this verb for services came. */
static int asked(const struct fake *f, const char *verb)
{
	char what[64];
	int n = 0;
	snprintf(what, sizeof what, "\"verb\": \"%s\"", verb);
	for (const char *at = call(f, "requests", "[]"); (at = strstr(at, "\"path\": \"/api/v1/services\"")); at++) {
		const char *v = strstr(at, "\"verb\": ");
		n += v && !strncmp(v, what, strlen(what));
	}
	return n;
}

/* Does a thread of the child run, or want to? */
static bool busy(const struct fake *f)
{
	char path[300], stat[256];
	bool any = false;
	snprintf(path, sizeof path, "/proc/%d/task", (int)f->pid);
	DIR *d = opendir(path);
	for (struct dirent *e; d && !any && (e = readdir(d));) {
		snprintf(path, sizeof path, "/proc/%d/task/%.20s/stat", (int)f->pid, e->d_name);
		FILE *in = fopen(path, "r");
		size_t n = in ? fread(stat, 1, sizeof stat - 1, in) : 0;
		stat[n] = 0;
		any = strstr(stat, ") R") || strstr(stat, ") D");
		if (in)
			fclose(in);
	}
	if (d)
		closedir(d);
	return any;
}

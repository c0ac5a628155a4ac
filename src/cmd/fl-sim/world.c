/* The server of a case, its clock and its folder. */
#include "plugin/table.h"
#include "cmd/fl-sim/sim.h"
#include "base/log.h"
#include "net/udp.h"
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static void keep_log(void *arg, const char *line, size_t n)
{
	struct sim *s = arg;
	if (s->nlog + n + 1 > s->cap_log) {
		s->cap_log = 2 * (s->nlog + n + 1);
		s->log = fl_xrealloc(s->log, s->cap_log);
	}
	memcpy(s->log + s->nlog, line, n);
	s->nlog += n;
	s->log[s->nlog] = 0;
}

int sim_write(struct sim *s, struct fl_str name, struct fl_str content)
{
	char path[256], part[256];
	snprintf(path, sizeof path, "%.*s", FL_FMT(name));
	for (char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
		snprintf(part, sizeof part, "%.*s", (int)(slash - path), path);
		mkdir(part, 0755);
	}
	char tmp[272];
	snprintf(tmp, sizeof tmp, "%s.new", path);
	FILE *f = fopen(tmp, "we");
	if (!f || fwrite(content.p, 1, content.n, f) != content.n || fclose(f) || rename(tmp, path))
		return sim_fail(s, "cannot write %s: %s", path, strerror(errno));
	return 0;
}

/* :53 .. :56 become free ports, @NAME an upstream's address, @@ an @. */
static struct fl_str fill_in(struct sim *s, struct fl_str text)
{
	char *out = fl_alloc(&s->arena, text.n * 8 + 64), *p = out;
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i], after = i + 3 < text.n ? text.p[i + 3] : ' ';
		if (c == ':' && i + 2 < text.n && text.p[i + 1] == '5' && text.p[i + 2] >= '3' && text.p[i + 2] <= '6' &&
		    (after < '0' || after > '9')) {
			p += sprintf(p, ":%u", s->port[text.p[i + 2] - '3']);
			i += 2;
		} else if (c == '@') {
			size_t n = 0;
			while (i + 1 + n < text.n && (isalnum((unsigned char)text.p[i + 1 + n]) || text.p[i + 1 + n] == '_'))
				n++;
			struct sim_upstream *u = n ? sim_upstream_get(s, (struct fl_str){ text.p + i + 1, n }) : NULL;
			p += u ? sprintf(p, "%s", u->addr) : sprintf(p, "@");
			i += u ? n : i + 1 < text.n && text.p[i + 1] == '@';
		} else {
			*p++ = c;
		}
	}
	return (struct fl_str){ out, (size_t)(p - out) };
}

static void loaded(void *arg, const struct fl_err *e)
{
	struct sim *s = arg;
	s->load_done = true;
	s->failed_load = e != NULL;
	if (e)
		s->load_err = *e;
}

static int start(struct sim *s)
{
	const char *const *known = fl_plugins_known();
	char *port = fl_alloc(&s->arena, 8);
	snprintf(port, 8, "%u", s->port[0]);
	struct fl_process p = { .conf = "Corefile", .conf_given = true, .port = port, .shards = 1 };
	if (!s->server) {
		s->server = fl_server_create(&p, s->loop, fl_plugins, true);
		s->reload = fl_reload_create(s->server, s->loop, &p, known);
		fl_server_park_always(s->server, s->park);
	}
	s->failed_load = s->load_done = false;
	struct fl_conf *c = fl_reload_read(s->reload, &s->load_err);
	if (!c) {
		s->failed_load = s->load_done = true;
		return 0;
	}
	fl_reload_first(s->reload, c, loaded, s);
	for (int i = 0; i < 4000 && !s->load_done; i++) {
		fl_loop_run_until_idle(s->loop);
		if (!s->load_done)
			fl_loop_advance(s->loop, 5 * FL_MS);
	}
	if (!s->load_done)
		return sim_fail(s, "the server did not come up");
	fl_loop_run_until_idle(s->loop);
	return 0;
}

int sim_start(struct sim *s, struct fl_str corefile)
{
	for (unsigned i = 0; i < FL_COUNT(s->port) && !s->port[i]; i++)
		s->port[i] = fl_free_port();
	if (!s->started)
		fl_log_capture(keep_log, s);
	int ret = sim_write(s, FL_STR("Corefile"), fill_in(s, corefile));
	if (ret || (s->started && !s->failed_load))
		return ret;
	s->started = true;
	return start(s);
}

int sim_reload(struct sim *s)
{
	fl_reload_force(s->reload);
	for (int i = 0; i < 4000; i++) {
		fl_loop_run_until_idle(s->loop);
		if (!fl_server_busy(s->server))
			return 0;
		fl_loop_advance(s->loop, 5 * FL_MS);
	}
	return sim_fail(s, "the reload did not end");
}

void sim_advance(struct sim *s, uint64_t ns)
{
	fl_loop_run_until_idle(s->loop);
	fl_loop_advance(s->loop, ns);
	fl_loop_run_until_idle(s->loop);
}

static void stopped(void *arg) { *(bool *)arg = true; }

void sim_stop(struct sim *s)
{
	bool over = false;
	if (!s->server) {
		fl_loop_destroy(s->loop);
		return;
	}
	if (s->started && !s->failed_load) {
		fl_server_stop(s->server, stopped, &over);
		for (int i = 0; i < 100 && !over; i++)
			sim_advance(s, FL_SEC);
		fl_loop_run_until_idle(s->loop);
	}
	fl_server_destroy(s->server);
	fl_reload_destroy(s->reload);
	fl_loop_destroy(s->loop);
}

/* ---- the client ---- */

static int client_socket(struct sim *s, bool tcp, const char *from, uint16_t port)
{
	struct sockaddr_in me = { .sin_family = AF_INET }, to = { .sin_family = AF_INET, .sin_port = htons(port) };
	inet_pton(AF_INET, from, &me.sin_addr);
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int fd = socket(AF_INET, (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&me, sizeof me) || connect(fd, (struct sockaddr *)&to, sizeof to)) {
		sim_fail(s, "cannot ask port %u: %s", port, strerror(errno));
		if (fd >= 0)
			close(fd);
		return -1;
	}
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

static size_t take_reply(int fd, bool tcp, uint8_t *reply, size_t cap)
{
	uint8_t frame[65537];
	if (!tcp) {
		ssize_t n = recv(fd, reply, cap, 0);
		return n > 0 ? (size_t)n : 0;
	}
	size_t have = 0;
	for (ssize_t n; have < sizeof frame && (n = recv(fd, frame + have, sizeof frame - have, 0)) > 0;)
		have += (size_t)n;
	size_t len = have >= 2 ? fl_get16(frame) : 0;
	if (have < 2 || have - 2 < len || len > cap)
		return 0;
	memcpy(reply, frame + 2, len);
	return len;
}

size_t sim_exchange(struct sim *s, const uint8_t *query, size_t n, bool tcp, const char *from, uint16_t port, uint8_t *reply, size_t cap)
{
	uint8_t frame[4096];
	int fd = client_socket(s, tcp, from, port);
	if (fd < 0)
		return 0;
	fl_put16(frame, (uint16_t)n);
	memcpy(frame + 2, query, n);
	if (send(fd, tcp ? frame : query, tcp ? n + 2 : n, MSG_NOSIGNAL) < 0) {
		close(fd);
		return 0;
	}
	if (s->swap)                    /* a new generation and index while it is parked; the old ones go away under it */
		fl_reload_force(s->reload);
	size_t got = 0;
	for (int i = 0; i < 250 && !got; i++) { /* up to 25 virtual seconds */
		fl_loop_run_until_idle(s->loop);
		got = take_reply(fd, tcp, reply, cap);
		if (!got)
			fl_loop_advance(s->loop, i < 20 ? 5 * FL_MS : 100 * FL_MS);
	}
	close(fd);
	for (int i = 0; i < 100 && fl_server_busy(s->server); i++)
		sim_advance(s, 5 * FL_MS);
	return got;
}

/* served: a server on the test's own thread under the virtual clock, its log kept quiet, and clients of it on loopback. */
#pragma once
#include "loopback.h"
#include <stdio.h>
#include "base/log.h"
#include "dns/gen.h"
#include "dns/server.h"
#include "net/udp.h"

static struct fl_loop *loop;
static struct fl_server *server;
static struct sockaddr_in server_at;
static bool server_over;

static inline void on_loaded(void *arg, const struct fl_err *e)
{
	(void)arg;
	if (e)
		fail_msg("%s", e->msg);
}

static inline void on_stopped(void *arg) { *(bool *)arg = true; }
static inline void no_log(void *arg, const char *line, size_t n) { (void)arg, (void)line, (void)n; }

/* A port for the Corefile, to which dial() goes. */
static inline uint16_t server_port(void)
{
	uint16_t port = fl_free_port();
	server_at = loopback(port);
	return port;
}

/* trace: NULL, or who is told of each step. */
static inline void serve(const struct fl_directive_entry *table, const char *const *known, const struct fl_trace *trace, const char *corefile)
{
	const struct fl_process p = { .conf = "Corefile", .port = "53", .shards = 1, .trace = trace };
	struct fl_conf *c = fl_xalloc(sizeof *c);
	struct fl_err e;
	fl_log_capture(no_log, NULL);
	fl_clock_virtual(1000 * FL_SEC);
	loop = fl_loop_create();
	server = fl_server_create(&p, loop, table, true);
	server_over = false;
	assert_int_equal(fl_conf_parse(c, "Corefile", fl_str(corefile), ".", known, &e), 0);
	assert_int_equal(fl_server_load(server, c, on_loaded, NULL), 0);
	fl_loop_run_until_idle(loop);
}

/* Everybody is answered, or has waited as long as anybody may. */
static inline void stop_server(void)
{
	fl_server_stop(server, on_stopped, &server_over);
	for (int i = 0; i < 100 && !server_over; i++)
		fl_loop_advance(loop, FL_SEC);
	fl_loop_run_until_idle(loop);
}

static inline void close_server(void)
{
	if (!server_over)
		stop_server();
	fl_server_destroy(server);
	fl_loop_destroy(loop);
	fl_clock_virtual(0);
	fl_log_capture(NULL, NULL);
}

static inline int dial(int type)
{
	int fd = socket(AF_INET, type, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&server_at, sizeof server_at), 0);
	return fd;
}

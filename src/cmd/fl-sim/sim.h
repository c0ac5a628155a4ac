/* fl-sim: runs .case files: the real server, its real sockets on loopback, one thread, and a clock that only the case moves. Upstreams
 * are scripted and live in the same loop, so that a case takes milliseconds whatever time passes in it. The language: doc/api/case.md. */
#pragma once
#include "base/err.h"
#include "base/mem.h"
#include "dns/reload.h"
#include "wire/message.h"

struct sim_rule {                       /* one line of `upstream` */
	struct fl_str name, type;       /* "*": any */
	struct fl_str effect;           /* "noerror nxdomain servfail refused formerr notimp drop tc" */
	struct fl_str *rr; unsigned nrr;        /* records in zone-file form, owner "@" is the question */
	bool soa;
	struct sim_rule *next;
};

struct sim_upstream {
	struct fl_str name;
	struct fl_io udp, tcp;
	char addr[32];                  /* 127.0.0.1:port */
	struct sim_rule *rule, **last;
	unsigned seen;                  /* queries since the case last looked */
	struct sim *sim;
	struct sim_upstream *next;
};

struct sim {
	const char *path;               /* of the case */
	char dir[64];                   /* its folder: working directory */
	struct fl_arena arena;
	struct fl_loop *loop;
	struct fl_server *server;
	struct fl_reload *reload;
	struct sim_upstream *upstream;
	uint16_t port[4];               /* what :53 :54 :55 :56 became */
	bool park, swap;                /* how it is run */
	bool started, load_done, failed_load;
	struct fl_err load_err;
	char *log; size_t nlog, cap_log, log_seen;
	unsigned line, checks;
	struct fl_err err;              /* why the case failed */
};

/* world.c */
int sim_start(struct sim *s, struct fl_str corefile);   /* writes Corefile, first time starts, later leaves the reload to the case */
int sim_reload(struct sim *s);
void sim_advance(struct sim *s, uint64_t ns);
void sim_stop(struct sim *s);
int sim_write(struct sim *s, struct fl_str name, struct fl_str content);
/* Sends a query from `from` and waits for the reply; the length, 0: none came. */
size_t sim_exchange(struct sim *s, const uint8_t *query, size_t n, bool tcp, const char *from, uint16_t port, uint8_t *reply, size_t cap);

/* upstream.c */
struct sim_upstream *sim_upstream_get(struct sim *s, struct fl_str name);
int sim_upstream_rule(struct sim *s, struct fl_str line);       /* what stands behind `upstream` */

/* ask.c */
int sim_ask(struct sim *s, struct fl_str line);
int sim_metric(struct sim *s, struct fl_str text);
int sim_expect_log(struct sim *s, struct fl_str regex, bool there);

/* Fails the case: returns -EINVAL. */
#define sim_fail(s, ...) fl_err_set(&(s)->err, __VA_ARGS__)
/* The next word of *rest, "" at the end; a word in double quotes may hold spaces. */
struct fl_str sim_word(struct fl_str *rest);

/* resolve: a name the way a program in a pod resolves it: each name of the search, each type, the servers one after the other, with
 * their timeouts. What is asked and what came back goes to a callback, step by step. */
#pragma once
#include "cmd/fairctl/ask.h"
#include "pod/search.h"

enum { RESOLVE_TYPES = 4, RESOLVE_SERVERS = 8 };

struct resolve_step {
	struct fl_name name;
	uint16_t type;
	const struct ask_server *server;
	const struct ask_reply *reply;  /* NULL: none */
	const char *error;              /* then */
	uint64_t took_ns;
	unsigned number;                /* from 1 */
};

struct resolve {
	struct fl_arena *a;
	enum fl_libc libc;
	struct fl_resolver client;        /* searches, ndots, timeout, attempts */
	struct ask_server server[RESOLVE_SERVERS];
	unsigned nserver;
	uint16_t type[RESOLVE_TYPES];
	unsigned ntype;
	uint16_t flags;                 /* FL_RD */
	uint64_t until_ns;              /* of all of it; 0: none */
	void (*step)(void *arg, const struct resolve_step *s);
	void *arg;
	/* out */
	unsigned queries;
	uint16_t rcode;                 /* of the last reply */
	struct fl_name last;            /* last name that was asked for, in the arena */
};

/* How it ended. */
enum fl_answer resolve(struct resolve *r, struct fl_str name);
/* Fills client and server from a resolv.conf. 0, or -EINVAL with words. */
int resolve_conf(struct resolve *r, struct fl_str text, enum ask_how how, unsigned port, struct fl_err *e);
/* "1.2.3.4" → its reverse name as text, in the arena; p NULL: it is no address. */
struct fl_str resolve_reverse(struct fl_arena *a, struct fl_str text);

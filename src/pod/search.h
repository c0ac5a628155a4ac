/* search: which names a program in a pod asks for, one after the other, when it resolves a short name: the search list and ndots of its
 * resolv.conf, as glibc (res_search), musl (name_from_dns_search) and BIND's nslookup apply them. Pure: the caller asks each name and
 * tells what came back.
 *
 *   fl_search_begin() → fl_search_next() → the caller asks → fl_search_told() → fl_search_next() … false: over, s->result says how
 *
 * They differ where it hurts: glibc goes on after "no such type" and SERVFAIL, musl ends there; a name with ndots dots is never
 * searched by musl, and first asked as it is by the others. */
#pragma once
#include "pod/resolv.h"

enum fl_libc { FL_GLIBC, FL_MUSL, FL_NSLOOKUP };

/* A resolv.conf as a pod's resolver reads it, with its limits. */
struct fl_resolver {
	struct fl_words servers, searches;      /* servers: addresses, never empty (127.0.0.1 then) */
	unsigned ndots, timeout_s, attempts;
	bool use_tcp, rotate;
};
void fl_client_parse(struct fl_arena *a, struct fl_str text, enum fl_libc libc, struct fl_resolver *to);

enum fl_answer {                /* of one name, all its types together */
	FL_ANSWER_FOUND, FL_ANSWER_NODATA, FL_ANSWER_NXDOMAIN, FL_ANSWER_SERVFAIL,
	FL_ANSWER_OTHER,        /* another rcode */
	FL_ANSWER_SILENT,       /* no server answered in time */
	FL_ANSWER_UNREACHABLE,  /* connection refused by all */
	FL_ANSWER_BAD_NAME,     /* never asked: it is no name */
};

struct fl_search {
	struct fl_arena *a;
	enum fl_libc libc;
	const struct fl_resolver *client;
	struct fl_str name;             /* without its final dot */
	bool absolute;                  /* had one */
	enum fl_answer result;          /* when it is over */
	/* its own */
	unsigned at;                    /* next of the search list */
	bool first_as_is, tried_as_is, listing, over, nodata, servfail, asking_as_is;
	int saved;
};

void fl_search_begin(struct fl_search *s, struct fl_arena *a, enum fl_libc libc, const struct fl_resolver *client, struct fl_str name);
/* The next name, without final dot ("" is the root). False: over. */
bool fl_search_next(struct fl_search *s, struct fl_str *name);
void fl_search_told(struct fl_search *s, enum fl_answer answer);
const char *fl_answer_text(enum fl_answer a);   /* "no such name" */

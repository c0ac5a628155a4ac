/* http, inside: the reader of requests, pure, and what faces and connections know of each other. */
#pragma once
#include "ctl/http.h"

struct fl_http_head_in {
	struct fl_http_request rq;
	bool keep;                      /* the connection may be asked again */
	bool http10;
	bool is_head;
	uint64_t body;                  /* bytes that follow; UINT64_MAX: their end is not to be seen from here */
};

/* Reads one head from p; decodes the path in place. Bytes it took, 0 when its end is not there yet, or -status (-400, -431, -505)
 * with *why, Go's words after the status, or NULL. */
int fl_http_read(char *p, size_t n, struct fl_http_head_in *h, const char **why);
/* What of it is %XX becomes bytes; plus: '+' is a space. Length, or -1. to may be from. */
int fl_http_unescape(char *to, struct fl_str from, bool plus);
const char *fl_http_reason(int status);
/* Go's ServeMux sends who asks for "//health" or "/a/../health" to "/health": fills location with that and the query, or leaves it empty
 * when path is clean already. False: it has to go somewhere else, and there is no room to say so. */
bool fl_http_redirect(char *location, size_t cap, const struct fl_http_request *rq);

/* ---- faces (http.c) and connections (http_conn.c) ---- */

enum fl_http_drop { FL_HTTP_BAD, FL_HTTP_LARGE, FL_HTTP_TIMEOUT, FL_HTTP_EVICTED };

struct fl_http_peer;
struct fl_http_peers {                  /* of one listener; oldest silence first */
	struct fl_loop *loop;
	struct fl_http_peer *first, *last;
	unsigned n;
	bool closing;
	void (*answer)(struct fl_http_peers *ps, const struct fl_http_request *rq, struct fl_http_response *rs);
	void (*gone)(struct fl_http_peers *ps);         /* the last one went while closing; ps may be freed */
};
void fl_http_peer_add(struct fl_http_peers *ps, int fd);       /* fd is taken */
void fl_http_peer_evict(struct fl_http_peers *ps);
/* cut: at once; else those that idle go now, the others when they are answered. */
void fl_http_peers_close(struct fl_http_peers *ps, bool cut);
void fl_http_dropped(enum fl_http_drop why);

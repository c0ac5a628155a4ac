/* http, inside: what a request's target means, pure. */
#pragma once
#include "ctl/http.h"

enum { FL_HTTP_TARGET = 16 * 1024 };

/* Cuts a target ("/path?query", "*") at p, n, into rq's path and query, and decodes the path in place. 0 or -EINVAL. */
int fl_http_target(char *p, size_t n, struct fl_http_request *rq);
/* What of it is %XX becomes bytes; plus: '+' is a space. Length, or -1. to may be from. */
int fl_http_unescape(char *to, struct fl_str from, bool plus);
/* Go's ServeMux sends who asks for "//health" or "/a/../health" to "/health": fills location with that and the query, or leaves it empty
 * when path is clean already. False: it has to go somewhere else, and there is no room to say so. */
bool fl_http_redirect(char *location, size_t cap, const struct fl_http_request *rq);

/* ---- faces and listeners (http.c), requests and answers (http_serve.c) ---- */

struct fl_conn;
struct fl_web_ops;
extern const struct fl_web_ops fl_http_ops;
/* What guards the connection's listener; look: if there is something new; NULL: nothing. */
struct fl_guard *fl_http_guard(struct fl_conn *c, bool look);
struct fl_loop *fl_http_loop(struct fl_conn *c);
/* The answer of the face that rq is for. */
void fl_http_route(struct fl_conn *c, const struct fl_http_request *rq, struct fl_http_response *rs);

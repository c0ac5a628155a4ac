/* policy: what a reflector asks, and what it does when something else comes than it wanted. Pure: no clock, no socket.
 *
 *            ┌───────── clean end ─────────┐
 *            ▼                             │
 *   WATCHLIST ── mark ──────────────────▶ WATCH ── cut, silence, 410 ──▶ WATCHLIST from the last version
 *       │ 4xx, 5xx, ERROR                  ▲
 *       └────▶ LIST, page after page ──────┘
 *
 * A WatchList (initial events, a mark, then the watch on the same stream) is also the way to resume: from a version that the
 * server has forgotten it works where a plain watch gets 410, and from one ahead of the server it fails where a plain watch stays
 * silent. */
#pragma once
#include "base/rng.h"
#include "kube/decode.h"

enum fl_phase { FL_REST, FL_WATCHLIST, FL_LIST, FL_WATCH };

/* ---- what to ask ---- */

struct fl_resource {
	enum fl_kind kind;
	const char *path;               /* "/api/v1/services" */
	const char *type;               /* "*v1.Service", as client-go's logs have it */
	const char *fields;             /* fieldSelector; "" none */
	const char *label;              /* a label that must be there; "" none */
	bool json;                      /* a custom resource: the server has no protobuf for it */
};
const struct fl_resource *fl_resource(enum fl_kind kind);

struct fl_question {
	enum fl_phase phase;
	const char *prefix;             /* of the server's URL */
	struct fl_str labels;           /* label selector; "" all */
	const char *rv;                 /* "" the newest; LIST: "0" whatever the server has at hand */
	const char *cont;               /* LIST: "" the first page */
	unsigned limit;                 /* LIST: 0 all at once */
	unsigned timeout_s;
};
/* Path and query; bytes written without NUL, or 0 when cap is too small. */
size_t fl_question_path(char *to, size_t cap, const struct fl_resource *r, const struct fl_question *q);

/* ---- what to do about an answer that is none ---- */

enum fl_remedy {
	FL_BACK_OFF,            /* the same again, later */
	FL_FALL_BACK,           /* LIST now: this server does no WatchList */
	FL_FORGET,              /* again now, without a version */
	FL_RESYNC,              /* WatchList now, from the last version */
	FL_UNPAGED,             /* LIST again now, in one piece */
	FL_SIGN_IN,             /* the token or certificate was refused */
};
/* st: a Status that came as an ERROR event, or as (or made from) the body of a failed request. paging: on a second or later page. */
enum fl_remedy fl_remedy(enum fl_phase phase, bool paging, const struct fl_status *st);

/* ---- when ---- */

/* First 50–200 ms, then doubling with jitter, never above 5 s. */
struct fl_backoff { unsigned n; };
uint64_t fl_backoff_next(struct fl_backoff *b, struct fl_rng *r);
/* Retry-After is obeyed up to 60 s, and a little jitter keeps a crowd apart. seconds <= 0: backoff alone. */
uint64_t fl_backoff_after(struct fl_backoff *b, struct fl_rng *r, int seconds);

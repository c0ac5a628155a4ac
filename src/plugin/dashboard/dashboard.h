/* dashboard, inside: a status page for people, and the JSON that it is drawn from. Ours; CoreDNS has nothing like it.
 *
 *   setup.c     directive, reload, who may ask (Host), which answer a path has
 *   books.c     names and clients that are asked most, by shard
 *   status.c    the numbers: every TICK the metrics are summed up; /api/status, /api/history, /api/zones
 *   jobs.c      what takes its time: started by one GET, told to a later one
 *   ask.c       explain a name: the question goes through a shard's own chain
 *   services.c  the cluster's services, a piece of the index a turn of the loop
 *   page.*      the page; tools/page makes one text of it
 *
 * All but sent() is the main thread's. Read-only: nothing here changes what the server does. */
#pragma once
#include "ctl/http.h"
#include "dns/plugin.h"
#include "plugin/dashboard/books.h"
#include "store/cluster.h"

#define DASH_TICK (2 * FL_SEC)

/* One (server, zone) that a block with the directive serves. */
struct dash_zone { struct fl_str server, zone, view; char *plugins; struct dash_zone *next; };

struct dash_books { unsigned n; struct book *book[]; };         /* kept over reloads; [shard id] */

struct dash {
	struct fl_str addr;
	struct fl_loop *loop;
	struct fl_arena *arena;
	struct fl_http_face *face[2];
	struct dash_books *names, *clients;     /* clients NULL: not wanted */
	unsigned nshards;
	struct fl_shard **shard;                /* [id]; of the process, set once */
	bool has_prometheus;
	const struct fl_cluster_ops *cluster;   /* NULL: no kubernetes in this block */
	void *cluster_inst;
	struct fl_str cluster_zone;
	struct dash_zone *zone, **last;
	struct dash *next;                      /* of all that serve, the oldest first */
};

extern struct dash *fl_dash_all;

/* ---- words ---- */
void fl_dash_text(struct fl_http_response *rs, const char *key, struct fl_str s);      /* key (",\"name\":") and the quoted text */
void fl_dash_number(struct fl_http_response *rs, const char *key, double v);            /* not finite: null */
void fl_dash_error(struct fl_http_response *rs, int status, const char *why);           /* {"error": why} */
/* The value of a parameter, NUL-terminated, at most cap - 1 octets; false: not there, or longer. "" counts as there. */
bool fl_dash_param(const struct fl_http_request *rq, const char *name, char *to, size_t cap);

/* ---- status.c ---- */
void fl_dash_tick(void *inst);                  /* of the oldest instance */
void fl_dash_status(struct dash *d, struct fl_http_response *rs);
void fl_dash_history(const struct fl_http_request *rq, struct fl_http_response *rs);
void fl_dash_zones(struct dash *d, struct fl_http_response *rs);

/* ---- jobs.c: a job is started by its first request, {"id": "…", "done": false}, and told to those that bring the id ---- */
enum { DASH_JOBS = 16 };
struct dash_job {
	char id[20];                            /* not to be guessed */
	bool used, done;
	uint64_t began_ns;
	struct dash_ask *ask;           /* out on a shard; one that is when the process ends stays so */
	struct fl_http_response out;            /* the result, an object's members behind {"id":…,"done":true */
};
/* Free, or the oldest that is done; NULL: all are at work. */
struct dash_job *fl_dash_job(const struct dash *d);
void fl_dash_job_told(struct dash_job *j, struct fl_http_response *rs);
bool fl_dash_job_asked(const struct fl_http_request *rq, struct fl_http_response *rs);        /* ?id=: tells of that job; false: there is no id */

void fl_dash_ask(struct dash *d, const struct fl_http_request *rq, struct fl_http_response *rs);
void fl_dash_services(struct dash *d, const struct fl_http_request *rq, struct fl_http_response *rs);
void fl_dash_services_stop(const struct dash *d);       /* it goes: scans that may look into its cluster end */

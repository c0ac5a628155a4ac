#include "plugin/dashboard/dashboard.h"
#include <stdio.h>
#include <stdlib.h>

static struct dash_job jobs[DASH_JOBS];

struct dash_job *fl_dash_job(const struct dash *d)
{
	struct dash_job *best = NULL;
	uint8_t r[8];
	for (struct dash_job *j = jobs; j < jobs + DASH_JOBS; j++) {    /* one that was never used began at 0 */
		if (j->used && !j->done)
			continue;
		if (!best || j->began_ns < best->began_ns)
			best = j;
	}
	if (!best)
		return NULL;
	free(best->out.body);
	*best = (struct dash_job){ .used = true, .began_ns = fl_loop_now(d->loop) };
	fl_random_bytes(r, sizeof r);
	for (unsigned i = 0; i < sizeof r; i++)
		snprintf(best->id + 2 * i, 3, "%02x", r[i]);
	return best;
}

static struct dash_job *find(const char *id)
{
	for (struct dash_job *j = jobs; j < jobs + DASH_JOBS; j++)
		if (j->used && !strcmp(j->id, id))
			return j;
	return NULL;
}

void fl_dash_job_told(struct dash_job *j, struct fl_http_response *rs)
{
	fl_http_printf(rs, "{\"id\":\"%s\",\"done\":%s", j->id, j->done ? "true" : "false");
	if (j->done)
		fl_http_write(rs, j->out.body, j->out.n);
	fl_http_printf(rs, "}\n");
}

bool fl_dash_job_asked(const struct fl_http_request *rq, struct fl_http_response *rs)
{
	char id[32];
	if (!fl_dash_param(rq, "id", id, sizeof id))
		return false;
	struct dash_job *j = find(id);
	if (j)
		fl_dash_job_told(j, rs);
	else
		fl_dash_error(rs, 404, "there is no such job (any more)");
	return true;
}

/* Who has the requests that fuzzers of HTTP bring: DoH looks at their targets, some are answered at once, some by the next one. */
#pragma once
#include "base/err.h"
#include "dns/doh.h"
#include "net/web_int.h"

static struct fl_web_req *late;         /* one request is answered by the next */
static size_t live;                     /* requests that were handed out and not ended */

static void answer(struct fl_web_req *r)
{
	const struct fl_web_field f[] = { { FL_STR("content-type"), FL_STR("x/y") } }, t[] = { { FL_STR("grpc-status"), FL_STR("0") } };
	live--;
	fl_web_answer(r, 200, f, 1, r->n ? (const void *)r->body : "", r->n, t, r->v2 && r->n % 2);
}

static void request(struct fl_web_req *r)
{
	struct fl_web_req *was = late;
	uint8_t got[FL_WEB_HEAD];
	live++;
	fl_assert(r->n <= FL_WEB_BODY && r->target.n <= FL_WEB_HEAD);
	int n = fl_doh_get(r->target, got, sizeof got);
	fl_assert(n <= (int)r->target.n);
	late = NULL;
	if (n >= 0 || r->n % 3 == 1)
		late = r;
	else
		answer(r);
	if (was)
		answer(was);
}

static void gone(struct fl_web_req *r)
{
	live--;
	late = late == r ? NULL : late;
}

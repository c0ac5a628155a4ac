#include "kube/policy.h"
#include "base/clock.h"
#include <stdarg.h>
#include <stdio.h>

enum { RETRY_AFTER_MAX_S = 60 };
#define FIRST_MIN (50 * FL_MS)
#define FIRST_MAX (200 * FL_MS)
#define WAIT_MAX (5 * FL_SEC)

static const struct fl_resource resources[FL_KINDS] = {
	[FL_KIND_NAMESPACE] = { FL_KIND_NAMESPACE, "/api/v1/namespaces", "*v1.Namespace", "", "", false },
	[FL_KIND_SERVICE] = { FL_KIND_SERVICE, "/api/v1/services", "*v1.Service", "", "", false },
	[FL_KIND_SLICE] = { FL_KIND_SLICE, "/apis/discovery.k8s.io/v1/endpointslices", "*v1.EndpointSlice", "", "", false },
	[FL_KIND_POD] = { FL_KIND_POD, "/api/v1/pods", "*v1.Pod",
		"status.phase!=Succeeded,status.phase!=Failed,status.phase!=Unknown", "", false },
	[FL_KIND_IMPORT] = { FL_KIND_IMPORT, "/apis/multicluster.x-k8s.io/v1alpha1/serviceimports", "*v1alpha1.ServiceImport", "",
		"", true },
	[FL_KIND_MCSLICE] = { FL_KIND_MCSLICE, "/apis/discovery.k8s.io/v1/endpointslices", "*v1.EndpointSlice", "",
		"multicluster.kubernetes.io/service-name", false },
};

const struct fl_resource *fl_resource(enum fl_kind kind) { return &resources[kind]; }

/* ---- paths ---- */

struct out { char *p; size_t n, cap; char sep; };

static void put(struct out *o, const char *p, size_t n)
{
	if (o->n + n <= o->cap)
		fl_put_bytes(o->p + o->n, p, n);
	o->n += n;
}

static void put_escaped(struct out *o, struct fl_str s)
{
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = (uint8_t)s.p[i], l = fl_lower(c);
		char hex[4];
		if ((l >= 'a' && l <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.' || c == '~')
			put(o, s.p + i, 1);
		else
			put(o, hex, (size_t)snprintf(hex, sizeof hex, "%%%02X", c));
	}
}

static void param(struct out *o, const char *name, struct fl_str value)
{
	put(o, &o->sep, 1);
	o->sep = '&';
	put(o, name, strlen(name));
	put(o, "=", 1);
	put_escaped(o, value);
}

static void param_int(struct out *o, const char *name, unsigned n)
{
	char text[16];
	snprintf(text, sizeof text, "%u", n);
	param(o, name, fl_str(text));
}

static void selectors(struct out *o, const struct fl_resource *r, const struct fl_question *q)
{
	char both[2048];
	struct fl_str labels = q->labels;
	if (*r->fields)
		param(o, "fieldSelector", fl_str(r->fields));
	if (*r->label) {
		size_t n = (size_t)snprintf(both, sizeof both, "%s%s%.*s", r->label, labels.n ? "," : "", FL_FMT(labels));
		labels = (struct fl_str){ both, n };
		if (n >= sizeof both)
			o->n = o->cap + 1;      /* too long: the answer is 0 */
	}
	if (labels.n && o->n <= o->cap)
		param(o, "labelSelector", labels);
}

size_t fl_question_path(char *to, size_t cap, const struct fl_resource *r, const struct fl_question *q)
{
	struct out o = { to, 0, cap, '?' };
	put(&o, q->prefix, strlen(q->prefix));
	put(&o, r->path, strlen(r->path));
	if (q->phase != FL_LIST)
		param(&o, "allowWatchBookmarks", FL_STR("true"));
	else if (*q->cont)
		param(&o, "continue", fl_str(q->cont));
	selectors(&o, r, q);
	if (q->phase == FL_LIST && q->limit)
		param_int(&o, "limit", q->limit);
	if (*q->rv && !(q->phase == FL_LIST && *q->cont))       /* a token has its own */
		param(&o, "resourceVersion", fl_str(q->rv));
	if (q->phase == FL_WATCHLIST) {
		param(&o, "resourceVersionMatch", FL_STR("NotOlderThan"));
		param(&o, "sendInitialEvents", FL_STR("true"));
	}
	if (q->phase != FL_LIST) {
		param_int(&o, "timeoutSeconds", q->timeout_s);
		param(&o, "watch", FL_STR("true"));
	}
	return o.n <= cap ? o.n : 0;
}

/* ---- remedies ---- */

enum fl_remedy fl_remedy(enum fl_phase phase, bool paging, const struct fl_status *st)
{
	bool expired = st->code == 410 || !strcmp(st->reason, "Expired") || !strcmp(st->reason, "Gone");
	if (expired && paging)
		return FL_UNPAGED;
	if (expired && phase == FL_WATCH)
		return FL_RESYNC;
	if (expired || st->too_large_rv)
		return FL_FORGET;
	if (st->code == 401)
		return FL_SIGN_IN;
	if (phase == FL_WATCHLIST && st->code != 429 && st->retry_after_s <= 0)
		return FL_FALL_BACK;
	return FL_BACK_OFF;
}

/* ---- times ---- */

static uint64_t between(struct fl_rng *r, uint64_t min, uint64_t max)
{
	return min + (uint64_t)fl_rng_below(r, (uint32_t)((max - min) / 1000) + 1) * 1000;
}

uint64_t fl_backoff_next(struct fl_backoff *b, struct fl_rng *r)
{
	uint64_t most = FIRST_MAX;
	for (unsigned i = 0; i < b->n && most < WAIT_MAX; i++)
		most *= 2;
	most = most < WAIT_MAX ? most : WAIT_MAX;
	return between(r, b->n++ ? most / 2 : FIRST_MIN, most);
}

uint64_t fl_backoff_after(struct fl_backoff *b, struct fl_rng *r, int seconds)
{
	uint64_t wait = fl_backoff_next(b, r);
	if (seconds <= 0)
		return wait;
	uint64_t told = (uint64_t)(seconds < RETRY_AFTER_MAX_S ? seconds : RETRY_AFTER_MAX_S) * FL_SEC;
	return told + between(r, 0, 200 * FL_MS);
}

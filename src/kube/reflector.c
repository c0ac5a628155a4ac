#include "kube/reflector.h"
#include "base/log.h"
#include "kube/api_int.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define WHO "plugin/kubernetes"
#define FRESH_NS (3 * FL_SEC)           /* a WatchList of the newest that says nothing for so long waits for a dead etcd */
#define HEAD_NS (15 * FL_SEC)           /* for the head of an answer */
#define STALL_NS (30 * FL_SEC)          /* in the middle of a list */
#define QUIET_MIN_NS (90 * FL_SEC)      /* a watch: a bookmark comes about every minute */
#define QUIET_MAX_NS (900 * FL_SEC)
#define SETTLED_NS (5 * FL_SEC)         /* a watch that lived so long was a good one: the next trouble begins anew */
#define LOG_AGAIN_NS (30 * FL_SEC)
enum { PAGE = 500, REFUSAL_MAX = 8192, PATH_MAX_LEN = 8192, OBJECT_MAX = 8 << 20, CONT_MAX = 4096 };

static void ask(struct fl_reflector *r, enum fl_phase phase);

static uint64_t now(const struct fl_reflector *r) { return fl_loop_now(r->api->loop); }
static struct fl_source_state *state(struct fl_reflector *r) { return fl_store_source(r->api->store); }

/* ---- from phase to phase ---- */

/* The head is there, or will never be. */
static void give_slot(struct fl_reflector *r)
{
	if (!r->slot)
		return;
	r->slot = false;
	fl_limit_give(&r->api->limit);
	fl_source_api_room(r->api);
}

/* What was being read is over. */
static void drop(struct fl_reflector *r)
{
	r->throttled = r->signing = false;
	fl_http_cancel(&r->req);
	give_slot(r);
	fl_timer_clear(r->api->loop, &r->timer);
	fl_decoder_destroy(r->dec);
	r->dec = NULL;
	free(r->refusal);
	r->refusal = NULL;
	r->refusal_n = 0;
	if (r->listing)
		fl_store_list_abort(r->api->store, r->res->kind);
	r->listing = false;
}

static void rest(struct fl_reflector *r, uint64_t wait_ns, enum fl_phase then)
{
	drop(r);
	r->phase = FL_REST;
	r->then = then;
	fl_timer_set(r->api->loop, &r->timer, now(r) + wait_ns);
}

/* Was it good for something? Not a mere event: who cuts each stream after the first one is to be asked less often too. */
static void judge(struct fl_reflector *r)
{
	if (r->phase != FL_WATCH || !r->req.head.status || now(r) - r->asked_ns < SETTLED_NS)
		return;
	r->backoff.n = 0;
	r->hasty = false;
}

/* At once, but only once in a row: a server that answers so again makes it a matter of backing off. */
static void again(struct fl_reflector *r, enum fl_phase then)
{
	judge(r);
	r->told_to_wait = false;
	rest(r, r->hasty ? fl_backoff_next(&r->backoff, &r->api->rng) : 0, then);
	r->hasty = true;
}

static void log_failure(struct fl_reflector *r, const char *why)
{
	uint64_t since = now(r) - r->logged_ns;
	bool same = !strncmp(why, r->logged, sizeof r->logged - 1);
	if (r->logged_ns && since < (same ? LOG_AGAIN_NS : FL_SEC))
		return;
	r->logged_ns = now(r);
	snprintf(r->logged, sizeof r->logged, "%s", why);
	fl_log(FL_ERROR, WHO, "Failed to watch: failed to %s %s: %s type=\"%s\"", r->phase == FL_WATCH ? "watch" : "list",
		r->res->type, why, r->res->type);
}

/* Later again, with `then`. told_s: Retry-After. */
static void fail_to(struct fl_reflector *r, const char *why, int told_s, enum fl_phase then)
{
	log_failure(r, why);
	state(r)->errors++;
	r->healthy = false;
	if (!r->lost_ns)
		r->lost_ns = now(r);
	fl_source_api_state(r->api);
	judge(r);
	r->told_to_wait = told_s > 0;
	rest(r, fl_backoff_after(&r->backoff, &r->api->rng, told_s), then);
}

/* A server without WatchList gets the plain watch again, as long as it takes the version. */
static void fail(struct fl_reflector *r, const char *why, int told_s)
{
	fail_to(r, why, told_s, r->phase == FL_WATCH && r->refused && *r->rv ? FL_WATCH : FL_WATCHLIST);
}

static void streaming(struct fl_reflector *r)
{
	if (r->healthy)
		return;
	r->healthy = true;
	fl_source_api_state(r->api);
}

/* Something came that a sick server does not send. */
static void well(struct fl_reflector *r)
{
	r->forget = r->any_rv = r->unpaged = false;
	if (r->lost_ns && r->synced)
		fl_log(FL_INFO, WHO, "Watching %s again after %.1fs", r->res->type, (double)(now(r) - r->lost_ns) / 1e9);
	r->lost_ns = r->logged_ns = 0;
	streaming(r);
}

/* ---- objects ---- */

static uint64_t number(const char *rv)
{
	int64_t n;
	return fl_parse_int(fl_str(rv), 0, INT64_MAX, &n) ? fl_hash(rv, strlen(rv)) : (uint64_t)n;
}

static void set_rv(struct fl_reflector *r, struct fl_str rv)
{
	if (!rv.n || rv.n >= sizeof r->rv)
		return;
	memcpy(r->rv, rv.p, rv.n);
	r->rv[rv.n] = 0;
	state(r)->rv[r->res->kind] = number(r->rv);
}

static void put(struct fl_reflector *r, const struct fl_decoded *d)
{
	struct fl_store *s = r->api->store;
	const char *what = NULL;
	int ret = 0;
	switch (d->kind) {
	case FL_KIND_NAMESPACE:
		ret = fl_store_put_namespace(s, &d->meta);
		break;
	case FL_KIND_SERVICE:
		ret = fl_store_put_service(s, &d->service, &what);
		break;
	case FL_KIND_IMPORT:
		ret = fl_store_put_import(s, &d->service, &what);
		break;
	case FL_KIND_SLICE: case FL_KIND_MCSLICE:
		ret = fl_store_put_slice(s, d->kind, &d->slice, &what);
		break;
	case FL_KIND_POD:
		if (d->deleting)                /* CoreDNS does so (plugin/kubernetes/object/pod.go) */
			fl_store_remove(s, d->kind, d->meta.ns, d->meta.name);
		else
			ret = fl_store_put_pod(s, &d->pod, &what);
		break;
	case FL_KINDS:
		break;
	}
	if (ret && fl_log_every(10 * FL_SEC, &r->odd_ns))
		fl_log(FL_WARN, WHO, "%s %.*s/%.*s: %s", r->res->type, FL_FMT(d->meta.ns), FL_FMT(d->meta.name),
			what ? what : "not usable");
}

static void listed(struct fl_reflector *r)
{
	fl_store_list_end(r->api->store, r->res->kind);
	r->listing = false;
	r->synced = true;
	state(r)->relists++;
}

static int on_object(void *arg, enum fl_watch_type type, const struct fl_decoded *d)
{
	struct fl_reflector *r = arg;
	struct fl_source_state *st = state(r);
	st->last_event_ns = now(r);
	if (type == FL_EV_BOOKMARK) {
		if (r->phase == FL_WATCHLIST && d->initial_end) {
			listed(r);
			r->phase = FL_WATCH;
			r->asked_ns = now(r);
			r->refused = false;
		}
		r->quiet_ns = QUIET_MIN_NS + fl_rng_below(&r->api->rng, 30) * FL_SEC;
	} else if (type == FL_EV_DELETED) {
		fl_store_remove(r->api->store, r->res->kind, d->meta.ns, d->meta.name);
	} else {
		put(r, d);
	}
	r->events++;
	st->events += type != FL_EV_BOOKMARK;
	if (r->phase == FL_WATCH) {             /* the initial ones come in any order: their versions mean nothing */
		set_rv(r, d->meta.rv);
		well(r);
	}
	return 0;
}

static int on_error(void *arg, const struct fl_status *st)
{
	struct fl_reflector *r = arg;
	r->status = *st;
	return -ECANCELED;
}

static const struct fl_stream_ops stream_ops = { on_object, on_error };

/* ---- what went wrong ---- */

static void refused(struct fl_reflector *r, const struct fl_status *st)
{
	char why[320];
	snprintf(why, sizeof why, "%s", *st->message ? st->message : "the server rejected our request for an unknown reason");
	bool paging = r->phase == FL_LIST && r->cont;
	enum fl_remedy remedy = fl_remedy(r->phase, paging, st);
	if ((remedy == FL_FORGET && r->forget) || (remedy == FL_UNPAGED && r->unpaged))
		remedy = FL_BACK_OFF;
	switch (remedy) {
	case FL_FORGET:
		r->forget = true;
		again(r, FL_WATCHLIST);
		return;
	case FL_RESYNC:
		again(r, FL_WATCHLIST);
		return;
	case FL_UNPAGED:
		r->unpaged = r->forget = true;
		free(r->cont);
		r->cont = NULL;
		again(r, FL_LIST);
		return;
	case FL_FALL_BACK:
		r->refused = true;
		rest(r, 0, FL_LIST);
		return;
	case FL_SIGN_IN:
		if (fl_kube_auth_refused(&r->api->auth, r->asked_ns, now(r))) {
			fl_http_client_renew(r->api->client);
			again(r, r->phase == FL_WATCH ? FL_WATCH : FL_WATCHLIST);
			return;
		}
		break;
	case FL_BACK_OFF:
		break;
	}
	fail(r, why, st->retry_after_s);
}

static void broken(struct fl_reflector *r, int err)
{
	if (err == -ECANCELED)
		refused(r, &r->status);
	else
		fail(r, err == -EMSGSIZE ? "an object is larger than 8 MiB" : "unable to decode an event from the watch stream", 0);
}

/* The body of an answer that is not 200 is there. */
static void refusal(struct fl_reflector *r)
{
	struct fl_status st = { 0 };
	const struct fl_http_head *h = &r->req.head;
	bool json = !strncmp(h->content_type, "application/json", 16);
	if (!r->refusal_n || (!json && strncmp(h->content_type, "application/vnd.kubernetes.protobuf", 35)) ||
	    fl_decode_status(&st, (const uint8_t *)r->refusal, r->refusal_n, json)) {
		st = (struct fl_status){ 0 };   /* text, as an overloaded server or a proxy sends it */
		size_t n = r->refusal_n < 120 ? r->refusal_n : 120;
		while (n && (uint8_t)r->refusal[n - 1] <= ' ')
			n--;
		for (size_t i = 0; i < n; i++)
			if ((uint8_t)r->refusal[i] < ' ' || (uint8_t)r->refusal[i] > '~')
				r->refusal[i] = '?';
		snprintf(st.message, sizeof st.message, "the server answered %d%s%.*s", h->status, n ? ": " : "", (int)n,
			n ? r->refusal : "");
	}
	st.code = h->status;
	if (h->retry_after_s > 0)
		st.retry_after_s = h->retry_after_s;
	refused(r, &st);
}

/* ---- the request's own ---- */

static struct fl_reflector *of(struct fl_http_req *req)
{
	return (struct fl_reflector *)((char *)req - offsetof(struct fl_reflector, req));
}

static void on_head(struct fl_http_req *req)
{
	struct fl_reflector *r = of(req);
	const struct fl_http_head *h = &req->head;
	fl_kube_count_request(r->api->config.authority, h->status);
	give_slot(r);
	r->heard_ns = now(r);
	if (h->status != 200)
		return;
	bool proto = !strncmp(h->content_type, "application/vnd.kubernetes.protobuf", 35);
	if (h->encoded || (!proto && strncmp(h->content_type, "application/json", 16)))
		return;                         /* on_body() sees that there is no decoder */
	r->dec = fl_decoder_create(r->res->kind, r->phase == FL_LIST, proto, OBJECT_MAX, &stream_ops, r);
	fl_source_api_alive(r->api);
	if (r->phase == FL_WATCH) {
		streaming(r);
	} else if (!r->listing) {
		fl_store_list_begin(r->api->store, r->res->kind);
		r->listing = true;
	}
}

static void on_body(struct fl_http_req *req, const uint8_t *p, size_t n)
{
	struct fl_reflector *r = of(req);
	r->heard_ns = now(r);
	if (r->dec) {
		int ret = fl_decoder_feed(r->dec, p, n);
		if (ret)
			broken(r, ret);
	} else if (req->head.status == 200) {
		char why[160];
		snprintf(why, sizeof why, "unknown %s: \"%s\"", req->head.encoded ? "content encoding of" : "content type",
			req->head.content_type);
		fail(r, why, 0);
	} else if (r->refusal_n < REFUSAL_MAX) {
		size_t take = n < REFUSAL_MAX - r->refusal_n ? n : REFUSAL_MAX - r->refusal_n;
		r->refusal = fl_xrealloc(r->refusal, r->refusal_n + take);
		fl_put_bytes(r->refusal + r->refusal_n, p, take);
		r->refusal_n += take;
	}
}

static void page_done(struct fl_reflector *r)
{
	fl_kube_observe_list(r->api->config.authority, now(r) - r->asked_ns);
	struct fl_str cont = fl_decoder_continue(r->dec);
	set_rv(r, fl_decoder_rv(r->dec));
	free(r->cont);
	r->cont = cont.n && cont.n < CONT_MAX ? fl_xstrndup(cont.p, cont.n) : NULL;
	if (cont.n && !r->cont) {
		fail(r, "continue token is too long", 0);
		return;
	}
	if (r->cont) {
		fl_decoder_destroy(r->dec);
		r->dec = NULL;
		ask(r, FL_LIST);
		return;
	}
	listed(r);
	fl_store_flush(r->api->store);          /* the end of the answer may have come without a piece of its body */
	r->forget = r->unpaged = false;
	rest(r, 0, FL_WATCH);
}

static void on_end(struct fl_http_req *req, int err, const char *why)
{
	struct fl_reflector *r = of(req);
	char text[512];
	give_slot(r);
	if (err) {
		if (!req->head.status)
			fl_kube_count_request(r->api->config.authority, 0);
		snprintf(text, sizeof text, "Get \"%s%s\": %s", r->api->config.base, r->res->path, why);
		fail(r, text, 0);
	} else if (req->head.status != 200) {
		refusal(r);
	} else if (!r->dec) {
		fail(r, "an answer without a content type that is known", 0);
	} else if (fl_decoder_end(r->dec)) {
		fail(r, "unexpected EOF in the middle of an object", 0);
	} else if (r->phase == FL_LIST) {
		page_done(r);
	} else if (r->phase == FL_WATCHLIST) {
		fail(r, "the stream ended before all initial events came", 0);
	} else if (now(r) - r->asked_ns < FL_SEC && !r->events) {
		fail_to(r, "very short watch: unexpected watch close - watch lasted less than a second and no items received", 0,
			FL_WATCH);
	} else {
		again(r, FL_WATCH);             /* its time was over: the usual end */
	}
}

static const struct fl_http_ops http_ops = { on_head, on_body, on_end };

/* ---- asking ---- */

/* false: the limit says later, and the timer will ask again. */
static bool may_ask(struct fl_reflector *r, enum fl_phase phase)
{
	uint64_t since = r->throttled ? r->throttled_ns : now(r), wait = fl_limit_take(&r->api->limit, phase != FL_LIST, now(r));
	r->throttled = wait > 0;
	r->throttled_ns = since;
	r->next = phase;
	if (!wait) {
		r->slot = true;
		if (phase == FL_LIST && r->api->limit.rate > 0)
			fl_kube_observe_limit(r->api->config.authority, now(r) - since);
		return true;
	}
	fl_timer_clear(r->api->loop, &r->timer);
	if (wait < UINT64_MAX)          /* else a slot's return */
		fl_timer_set(r->api->loop, &r->timer, now(r) + wait);
	return false;
}

/* false: a credential plugin runs or failed; asked again when it is over, or later. */
static bool may_sign(struct fl_reflector *r, enum fl_phase phase)
{
	struct fl_kube_auth *auth = &r->api->auth;
	char text[640];
	int ret = fl_kube_auth_ready(auth, now(r));
	if (!ret)
		return true;
	r->phase = phase;
	if (ret == -EAGAIN) {
		rest(r, FL_EXEC_LIMIT_NS + 5 * FL_SEC, phase);
		r->signing = true;
		return false;
	}
	snprintf(text, sizeof text, "Get \"%s%s\": getting credentials: %s", r->api->config.base, r->res->path, auth->why.msg);
	fail_to(r, text, 0, phase);
	return false;
}

static void ask(struct fl_reflector *r, enum fl_phase phase)
{
	struct fl_source_api *a = r->api;
	if (phase == FL_WATCHLIST && a->no_watchlist) {
		phase = FL_LIST;
		r->refused = true;
	}
	if (!may_sign(r, phase) || !may_ask(r, phase))
		return;
	bool newest = r->forget || !*r->rv;
	struct fl_question q = {
		.phase = phase, .prefix = a->config.prefix, .rv = newest ? "" : r->rv, .cont = r->cont ? r->cont : "",
		.labels = fl_str(r->res->kind == FL_KIND_NAMESPACE ? a->namespace_labels : a->labels),
		.timeout_s = 300 + fl_rng_below(&a->rng, 300),
	};
	if (phase == FL_LIST && !r->forget && !*r->rv)
		q.rv = "0";
	else if (phase == FL_WATCHLIST && newest && r->any_rv)
		q.rv = "0";
	if (phase == FL_LIST && !r->unpaged && (r->cont || newest))
		q.limit = PAGE;
	char path[PATH_MAX_LEN];
	size_t n = fl_question_path(path, sizeof path - 1, r->res, &q);
	path[n] = 0;
	struct fl_http_header h[3 + FL_KUBE_HEADERS] = {
		{ "accept", fl_str(r->res->json ? "application/json" : "application/vnd.kubernetes.protobuf,application/json") },
		{ "user-agent", fl_str(a->user_agent) },
	};
	const char *who = fl_kube_auth_header(&a->auth, now(r));
	unsigned nh = 2;
	if (who)
		h[nh++] = (struct fl_http_header){ "authorization", fl_str(who) };
	for (unsigned i = 0; i < a->config.nheader; i++)
		h[nh++] = (struct fl_http_header){ a->config.header[i].name, fl_str(a->config.header[i].value) };
	r->phase = phase;
	r->asked_ns = r->heard_ns = now(r);
	r->events = 0;
	r->quiet_ns = r->quiet_ns ? r->quiet_ns : QUIET_MIN_NS + fl_rng_below(&a->rng, 30) * FL_SEC;
	r->req.ops = &http_ops;
	if (!n) {
		fail(r, "the request would be too long", 0);
		return;
	}
	fl_http_get(a->client, &r->req, path, h, nh);
	fl_timer_set(a->loop, &r->timer, now(r) + FRESH_NS);
}

/* How long nothing may come, at this point. */
static uint64_t patience(const struct fl_reflector *r)
{
	bool head = r->req.head.status;
	if (r->phase == FL_WATCH && head)
		return r->quiet_ns;
	if (r->phase == FL_WATCHLIST && !head && !r->any_rv && (r->forget || !*r->rv))
		return FRESH_NS;
	return r->phase == FL_LIST || head ? STALL_NS : HEAD_NS;
}

static void silent(struct fl_reflector *r)
{
	if (r->phase == FL_WATCHLIST && patience(r) == FRESH_NS) {
		r->any_rv = true;               /* the store of the server is away, its cache will do */
		rest(r, 0, FL_WATCHLIST);
	} else if (r->phase == FL_WATCH && r->req.head.status) {
		fl_log(FL_WARN, WHO, "Nothing heard of %s for %us, asking again", r->res->type, (unsigned)(r->quiet_ns / FL_SEC));
		state(r)->errors++;
		r->quiet_ns = r->quiet_ns * 2 < QUIET_MAX_NS ? r->quiet_ns * 2 : QUIET_MAX_NS;
		again(r, FL_WATCHLIST);
	} else {
		fail(r, r->req.head.status ? "the server stopped in the middle of its answer" :
			"net/http: timeout awaiting response headers", 0);
	}
}

static void on_timer(struct fl_timer *t)
{
	struct fl_reflector *r = (struct fl_reflector *)((char *)t - offsetof(struct fl_reflector, timer));
	if (r->throttled) {
		ask(r, r->next);
		return;
	}
	if (r->phase == FL_REST) {
		if (r->then != FL_LIST) {
			free(r->cont);
			r->cont = NULL;
		}
		ask(r, r->then);
		return;
	}
	if (!r->req.conn)                       /* not sent yet: the connection has time-outs of its own */
		r->heard_ns = now(r);
	uint64_t until = r->heard_ns + patience(r);
	if (until <= now(r))
		silent(r);
	else
		fl_timer_set(r->api->loop, &r->timer, until);
}

/* ---- life ---- */

void fl_reflector_init(struct fl_reflector *r, struct fl_source_api *api, enum fl_kind kind)
{
	*r = (struct fl_reflector){ .api = api, .res = fl_resource(kind), .timer.fn = on_timer };
}

void fl_reflector_start(struct fl_reflector *r) { rest(r, 0, FL_WATCHLIST); }

void fl_reflector_relist(struct fl_reflector *r)
{
	r->rv[0] = 0;
	free(r->cont);
	r->cont = NULL;
	r->backoff.n = 0;
	rest(r, 0, FL_WATCHLIST);
}

bool fl_reflector_room(struct fl_reflector *r)
{
	if (!r->throttled || r->timer.on)
		return false;
	fl_timer_set(r->api->loop, &r->timer, now(r));
	return true;
}

void fl_reflector_signed(struct fl_reflector *r)
{
	if (r->signing)
		fl_timer_set(r->api->loop, &r->timer, now(r));
	r->signing = false;
}

void fl_reflector_hurry(struct fl_reflector *r)
{
	uint64_t soon = now(r) + fl_rng_below(&r->api->rng, 50) * FL_MS;
	if (r->phase == FL_REST && !r->throttled && !r->told_to_wait && r->timer.on && r->timer.at_ns > soon && r->lost_ns)
		fl_timer_set(r->api->loop, &r->timer, soon);
}

void fl_reflector_finish(struct fl_reflector *r)
{
	if (!r->res)
		return;
	drop(r);
	free(r->cont);
	r->cont = NULL;
	r->res = NULL;
}

#include "plugin/tls/agent.h"
#include "base/log.h"
#include "net/tls_server.h"
#include "plugin/tls/caller.h"
#include "plugin/tls/storage.h"
#include <cjson/cJSON.h>
#include <errno.h>
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define LOOK_NS (3600 * FL_SEC)         /* the clock may be set, a neighbour may have renewed: looked at so often at least */
#define LEAST_NS (5 * FL_SEC)           /* between a certificate and the next of a CA that gives them for seconds */

struct site {
	const char *name;
	char *cert, *key;               /* PEM; NULL: none */
	int64_t from, until;            /* of the certificate, Unix seconds */
	uint64_t at_ns;                 /* when to look again */
	unsigned failures;
};

struct fl_acme_agent {
	struct fl_loop *loop;
	struct fl_arena mem;            /* of the options */
	struct fl_acme_options o;
	struct fl_acme_storage storage;
	struct fl_tls_host *host;
	struct fl_rng rng;
	struct fl_acme_key *account;    /* NULL: not read yet, or given up */
	char *kid;                      /* NULL: not known */
	struct site *site;              /* ndomain of them */
	bool started;
	struct fl_timer timer;          /* the next site; or, while one is busy, the next question */
	/* one certificate under way */
	struct site *busy;              /* NULL: none */
	struct fl_acme_key *new_key;
	struct fl_acme_flow flow;
	struct fl_acme_caller caller;
	bool kid_of_before;             /* the account was not made just now */
	char shown[FL_ACME_HASH];       /* "": no record is answered */
};

static char *copy(const char *s) { return s ? fl_xstrndup(s, strlen(s)) : NULL; }

static void wipe(char **s)
{
	if (*s)
		gnutls_memset(*s, 0, strlen(*s));
	free(*s);
	*s = NULL;
}

static void date(char to[32], int64_t s)
{
	time_t t = (time_t)s;
	struct tm tm;
	strftime(to, 32, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &tm));
}

/* ---- certificates ---- */

/* What there is goes to the listeners. */
static int give(struct fl_acme_agent *a, struct fl_err *e)
{
	struct fl_tls_pair *pair = fl_xalloc(a->o.ndomain * sizeof *pair);
	for (unsigned i = 0; i < a->o.ndomain; i++)
		pair[i] = (struct fl_tls_pair){ fl_str(a->site[i].cert), fl_str(a->site[i].key) };
	int ret = 0;
	if (a->host)
		ret = fl_tls_host_give(a->host, pair, e);
	else if (!(a->host = fl_tls_host_create_given(a->o.domain, a->o.ndomain, pair, e)))
		ret = -EINVAL;
	free(pair);
	return ret;
}

/* cert and key are taken when they are good, and better than what is there when they were found. 1: taken; 0: not better; -EINVAL with the
 * words. */
static int take(struct fl_acme_agent *a, struct site *s, char **cert, char **key, bool found, struct fl_err *e)
{
	int64_t from, until;
	struct fl_acme_key *k = fl_acme_key_parse(fl_str(*key), e);
	int ret = k ? fl_acme_chain(fl_str(*cert), k, s->name, &from, &until, e) : -EINVAL;
	fl_acme_key_destroy(k);
	if (ret || (found && s->cert && until <= s->until))
		return ret;
	struct site old = *s;
	s->cert = *cert;
	s->key = *key;
	if (a->host && give(a, e)) {            /* the first time all at once */
		*s = old;
		return -EINVAL;
	}
	s->from = from;
	s->until = until;
	*cert = *key = NULL;
	free(old.cert);
	wipe(&old.key);
	return 1;
}

static void damaged(struct fl_acme_agent *a, const struct site *s, enum fl_acme_file f, const char *why)
{
	char *path = fl_acme_path(&a->storage, f, s ? s->name : NULL);
	fl_log(FL_WARN, "plugin/tls", "ACME: %s: %s: it will be replaced", path, why);
	free(path);
}

/* What the storage has, when it is good: at the start, and before a certificate is asked for, because another process may have been faster.
 * 1: a new one; 0: nothing new. */
static int load(struct fl_acme_agent *a, struct site *s)
{
	char *cert = NULL, *key = NULL;
	struct fl_err e;
	int no_cert = fl_acme_read(&a->storage, FL_ACME_CERT, s->name, &cert, &e);
	if (no_cert && no_cert != -ENOENT)
		damaged(a, s, FL_ACME_CERT, e.msg);
	int no_key = fl_acme_read(&a->storage, FL_ACME_CERT_KEY, s->name, &key, &e);
	if (no_key && (no_key != -ENOENT || !no_cert))
		damaged(a, s, FL_ACME_CERT_KEY, e.msg);
	int ret = 0;
	if (!no_cert && !no_key && (ret = take(a, s, &cert, &key, true, &e)) < 0) {
		damaged(a, s, FL_ACME_CERT, e.msg);
		ret = 0;
	}
	free(cert);
	wipe(&key);
	return ret;
}

static uint64_t until_ns(int64_t when)
{
	int64_t now = (int64_t)fl_clock_wall_s();
	return when <= now ? 0 : (uint64_t)(when - now) * FL_SEC;
}

/* Asleep until it is due. */
static void rest(struct fl_acme_agent *a, struct site *s, uint64_t least)
{
	uint64_t ns = s->cert ? until_ns(fl_acme_renew_at(s->from, s->until)) : 0;
	ns = ns > least ? ns : least;
	s->at_ns = fl_loop_now(a->loop) + (ns < LOOK_NS ? ns : LOOK_NS);
}

static bool fresh(const struct site *s) { return s->cert && until_ns(fl_acme_renew_at(s->from, s->until)); }

/* ---- the account ---- */

static void account_drop(struct fl_acme_agent *a)
{
	fl_acme_remove(&a->storage, FL_ACME_ACCOUNT, NULL);
	fl_acme_remove(&a->storage, FL_ACME_ACCOUNT_KEY, NULL);
	fl_acme_key_destroy(a->account);
	a->account = NULL;
	free(a->kid);
	a->kid = NULL;
}

static int account_new(struct fl_acme_agent *a, struct fl_err *e)
{
	a->account = fl_acme_key_create();
	char *pem = fl_acme_key_pem(a->account);
	int ret = fl_acme_write(&a->storage, FL_ACME_ACCOUNT_KEY, NULL, pem, e);        /* before the CA knows it */
	wipe(&pem);
	if (ret) {
		fl_acme_key_destroy(a->account);
		a->account = NULL;
	}
	return ret;
}

static int account_load(struct fl_acme_agent *a, struct fl_err *e)
{
	char *text = NULL, print[FL_ACME_HASH];
	struct fl_err why;
	if (a->account)
		return 0;
	int ret = fl_acme_read(&a->storage, FL_ACME_ACCOUNT_KEY, NULL, &text, &why);
	a->account = ret ? NULL : fl_acme_key_parse(fl_str(text), &why);
	wipe(&text);
	if (!a->account && ret != -ENOENT)
		damaged(a, NULL, FL_ACME_ACCOUNT_KEY, why.msg);
	if (!a->account)
		return account_new(a, e);
	ret = fl_acme_read(&a->storage, FL_ACME_ACCOUNT, NULL, &text, &why);
	cJSON *o = ret ? NULL : cJSON_Parse(text);
	const cJSON *where = cJSON_GetObjectItemCaseSensitive(o, "location"), *whose = cJSON_GetObjectItemCaseSensitive(o, "thumbprint");
	fl_acme_thumbprint(a->account, print);
	if (cJSON_IsString(whose) && strcmp(whose->valuestring, print))         /* another process made one at the same time */
		damaged(a, NULL, FL_ACME_ACCOUNT, "the account of another key");
	else if (cJSON_IsString(where) && *where->valuestring)
		a->kid = copy(where->valuestring);
	else if (ret != -ENOENT)
		damaged(a, NULL, FL_ACME_ACCOUNT, ret ? why.msg : "no account");
	cJSON_Delete(o);
	free(text);
	return 0;
}

static void account_save(struct fl_acme_agent *a)
{
	struct fl_err e;
	char mail[600], print[FL_ACME_HASH];
	cJSON *o = cJSON_CreateObject();
	fl_acme_thumbprint(a->account, print);
	cJSON_AddStringToObject(o, "status", "valid");
	snprintf(mail, sizeof mail, "mailto:%s", a->o.email);
	if (*a->o.email)
		cJSON_AddItemToArray(cJSON_AddArrayToObject(o, "contact"), cJSON_CreateString(mail));
	cJSON_AddTrueToObject(o, "termsOfServiceAgreed");
	cJSON_AddStringToObject(o, "location", a->kid);
	cJSON_AddStringToObject(o, "thumbprint", print);        /* ours, not certmagic's: whose account it is */
	char *text = cJSON_Print(o);
	if (fl_acme_write(&a->storage, FL_ACME_ACCOUNT, NULL, text, &e))
		fl_log(FL_ERROR, "plugin/tls", "ACME: %s", e.msg);
	cJSON_free(text);
	cJSON_Delete(o);
}

/* ---- one certificate ---- */

static void next(struct fl_acme_agent *a);
static void act(struct fl_acme_agent *a, enum fl_acme_do d);

/* Of the busy site txt is answered, and nothing else. "": nothing. */
static void show(struct fl_acme_agent *a, const char *txt)
{
	if (!strcmp(a->shown, txt))
		return;
	if (*a->shown)
		fl_acme_hide(a->busy->name, a->shown);
	if (*txt)
		fl_acme_show(a->busy->name, txt);
	stpcpy(a->shown, txt);
}

/* The site is no longer busy; the caller has said when it comes again. */
static void leave(struct fl_acme_agent *a)
{
	show(a, "");
	a->busy = NULL;
	fl_acme_flow_finish(&a->flow);
	fl_acme_key_destroy(a->new_key);
	a->new_key = NULL;
	next(a);
}

static void failed(struct fl_acme_agent *a, const char *why, bool answered, int retry_after_s)
{
	struct site *s = a->busy;
	uint64_t ms = fl_acme_retry_ms(++s->failures, answered, retry_after_s);
	ms += fl_rng_below(&a->rng, (uint32_t)(ms / 10) + 1);
	char when[32], serves[80] = "";
	date(when, s->until);
	if (s->cert)
		snprintf(serves, sizeof serves, "; the one that serves ends at %s", when);
	fl_log(FL_ERROR, "plugin/tls", "ACME: no certificate for %s from %s: %s; attempt %u, the next in %llus%s", s->name, a->o.ca, why, s->failures,
	       (unsigned long long)(ms + 500) / 1000, serves);
	s->at_ns = fl_loop_now(a->loop) + ms * FL_MS;
	leave(a);
}

static int meta_save(struct fl_acme_agent *a, const struct site *s, const char *url, struct fl_err *e)
{
	cJSON *o = cJSON_CreateObject(), *data;
	cJSON_AddItemToArray(cJSON_AddArrayToObject(o, "sans"), cJSON_CreateString(s->name));
	data = cJSON_AddObjectToObject(o, "issuer_data");
	cJSON_AddStringToObject(data, "url", url);
	cJSON_AddStringToObject(data, "ca", a->o.ca);
	if (a->kid)
		cJSON_AddStringToObject(data, "account", a->kid);
	char *text = cJSON_Print(o);
	int ret = fl_acme_write(&a->storage, FL_ACME_CERT_META, s->name, text, e);
	cJSON_free(text);
	cJSON_Delete(o);
	return ret;
}

static void obtained(struct fl_acme_agent *a)
{
	struct site *s = a->busy;
	struct fl_err e;
	char *cert = copy(a->flow.chain), *key = fl_acme_key_pem(a->new_key), until[32], renew[32];
	int ret = take(a, s, &cert, &key, false, &e);
	if (ret >= 0) {
		/* It serves in any case; without the files the next start will need another one. */
		if (fl_acme_write(&a->storage, FL_ACME_CERT_KEY, s->name, s->key, &e) ||
		    fl_acme_write(&a->storage, FL_ACME_CERT, s->name, s->cert, &e) || meta_save(a, s, a->flow.certificate, &e))
			fl_log(FL_ERROR, "plugin/tls", "ACME: %s", e.msg);
		date(until, s->until);
		date(renew, fl_acme_renew_at(s->from, s->until));
		fl_log(FL_INFO, "plugin/tls", "ACME: certificate for %s from %s: it ends at %s, to be renewed from %s", s->name, a->o.ca, until, renew);
		if (fresh(s)) {
			s->failures = 0;
			rest(a, s, LEAST_NS);
		} else {
			uint64_t ms = fl_acme_retry_ms(++s->failures, true, -1);
			fl_log(FL_WARN, "plugin/tls", "ACME: the certificate for %s is due already: is the clock right?", s->name);
			s->at_ns = fl_loop_now(a->loop) + ms * FL_MS;
		}
	}
	free(cert);
	wipe(&key);
	if (ret < 0)
		failed(a, e.msg, true, -1);
	else
		leave(a);
}

static void on_answer(void *arg, const struct fl_acme_answer *answer, const char *why)
{
	struct fl_acme_agent *a = arg;
	if (!answer) {
		failed(a, why, false, -1);
		return;
	}
	enum fl_acme_do d = fl_acme_flow_answer(&a->flow, answer);
	if (a->flow.kid && !a->kid) {
		a->kid = copy(a->flow.kid);
		account_save(a);
	}
	act(a, d);
}

static void act(struct fl_acme_agent *a, enum fl_acme_do d)
{
	show(a, a->flow.show ? a->flow.txt : "");
	if (d == FL_ACME_ASK) {
		fl_timer_set(a->loop, &a->timer, fl_loop_now(a->loop) + a->flow.wait_ms * FL_MS);
	} else if (d == FL_ACME_DONE) {
		obtained(a);
	} else if (a->flow.account_gone && a->kid_of_before) {
		fl_log(FL_WARN, "plugin/tls", "ACME: %s does not know the account %s any more: a new one will be made", a->o.ca, a->kid);
		account_drop(a);
		a->busy->at_ns = fl_loop_now(a->loop);
		leave(a);
	} else {
		failed(a, a->flow.err.msg, a->flow.answered, a->flow.retry_after_s);
	}
}

static void begin(struct fl_acme_agent *a, struct site *s)
{
	struct fl_err e;
	fl_acme_caller_finish(&a->caller);      /* of the time before: the CA's host may have moved */
	if (load(a, s) > 0)
		s->failures = 0;
	if (fresh(s)) {
		rest(a, s, 0);
		next(a);
		return;
	}
	a->busy = s;
	/* What cannot be kept is not asked for: CAs count. */
	if (account_load(a, &e) || meta_save(a, s, "", &e)) {
		failed(a, e.msg, true, -1);
		return;
	}
	a->new_key = fl_acme_key_create();
	a->kid_of_before = a->kid != NULL;
	a->flow = (struct fl_acme_flow){ .account = a->account, .key = a->new_key, .directory = a->o.ca, .email = a->o.email, .name = s->name,
					 .kid = copy(a->kid) };
	act(a, fl_acme_flow_start(&a->flow));
}

/* ---- when ---- */

static struct site *first(struct fl_acme_agent *a)
{
	struct site *s = &a->site[0];
	for (unsigned i = 1; i < a->o.ndomain; i++)
		if (a->site[i].at_ns < s->at_ns)
			s = &a->site[i];
	return s;
}

/* Nothing is under way: when is the next one? */
static void next(struct fl_acme_agent *a) { fl_timer_set(a->loop, &a->timer, first(a)->at_ns); }

static void on_timer(struct fl_timer *t)
{
	struct fl_acme_agent *a = (struct fl_acme_agent *)((char *)t - offsetof(struct fl_acme_agent, timer));
	if (a->busy) {
		fl_acme_call(&a->caller, a->flow.url, a->flow.post);
		return;
	}
	struct site *s = first(a);
	if (s->at_ns > fl_loop_now(a->loop))
		next(a);
	else
		begin(a, s);
}

/* ---- life ---- */

struct fl_acme_agent *fl_acme_agent_create(struct fl_loop *l, const struct fl_acme_options *o, struct fl_err *e)
{
	struct fl_acme_agent *a = fl_xalloc(sizeof *a);
	fl_arena_init(&a->mem, NULL, 0, NULL, SIZE_MAX / 2);
	a->loop = l;
	a->timer.fn = on_timer;
	fl_rng_init(&a->rng, 0);
	a->o = *o;
	a->o.domain = fl_alloc(&a->mem, o->ndomain * sizeof *o->domain);
	a->o.email = fl_arena_str(&a->mem, fl_str(o->email)).p;
	a->o.ca = fl_arena_str(&a->mem, fl_str(o->ca)).p;
	a->o.storage = fl_arena_str(&a->mem, fl_str(o->storage)).p;
	a->o.ca_root = o->ca_root ? fl_arena_str(&a->mem, fl_str(o->ca_root)).p : NULL;
	a->o.resolver = o->resolver ? fl_arena_str(&a->mem, fl_str(o->resolver)).p : NULL;
	a->storage = (struct fl_acme_storage){ a->o.storage, a->o.ca, a->o.email };
	a->caller = (struct fl_acme_caller){ .loop = l, .ca_root = a->o.ca_root, .resolver = a->o.resolver, .resolver_port = o->resolver_port,
					     .done = on_answer, .arg = a };
	a->site = fl_xalloc(o->ndomain * sizeof *a->site);
	for (unsigned i = 0; i < o->ndomain; i++)
		a->site[i].name = a->o.domain[i] = fl_arena_str(&a->mem, fl_str(o->domain[i])).p;
	for (unsigned i = 0; i < o->ndomain; i++)
		load(a, &a->site[i]);
	if (!give(a, e))
		return a;
	fl_acme_agent_destroy(a);
	return NULL;
}

void fl_acme_agent_destroy(struct fl_acme_agent *a)
{
	if (!a)
		return;
	fl_timer_clear(a->loop, &a->timer);
	fl_acme_caller_finish(&a->caller);
	show(a, "");
	fl_acme_flow_finish(&a->flow);
	fl_acme_key_destroy(a->new_key);
	fl_acme_key_destroy(a->account);
	free(a->kid);
	for (unsigned i = 0; i < a->o.ndomain; i++) {
		free(a->site[i].cert);
		wipe(&a->site[i].key);
	}
	free(a->site);
	fl_tls_host_destroy(a->host);
	fl_arena_finish(&a->mem);
	free(a);
}

struct fl_tls_host *fl_acme_agent_host(struct fl_acme_agent *a) { return a->host; }

void fl_acme_agent_start(struct fl_acme_agent *a)
{
	if (a->started)
		return;
	a->started = true;
	for (unsigned i = 0; i < a->o.ndomain; i++)
		a->site[i].at_ns = fl_loop_now(a->loop);
	next(a);
}
